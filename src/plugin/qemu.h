/*
 * QEMU's plugin interface, as far as programs see it: the names, types and numbers that a plugin compiled against QEMU's own
 * header expects, written from its documentation (QEMU, "TCG Plugins"; API versions 2 to 7). docs/qemu-plugins.md says what each
 * function does here. The functions are in qemu*.c and exported by the program.
 */
#ifndef PLUGIN_QEMU_H
#define PLUGIN_QEMU_H

#include "plugin/internal.h"

/* The prototypes of exported functions are in QEMU's header, not here. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

#define QEMU_API_MIN 2
#define QEMU_API_CUR 7
#define QEMU_API_BOOL 6 /* from here on functions for registers return whether they could, before this how many bytes */
#define QEMU_API_DATA 7 /* from here on all callbacks get data that was registered with them, last, and no id */
#define QEMU_EXPORT __attribute__((visibility("default"), used))

typedef uint64_t qemu_plugin_id_t;

/* What qemu_plugin_install is told. */
typedef struct qemu_info_t {
    const char *target_name;
    struct {
        int min, cur;
    } version;
    bool system_emulation;
    union {
        struct {
            int smp_vcpus, max_vcpus;
        } system;
    };
} qemu_info_t;

typedef int QemuInstall(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv);

struct qemu_plugin_insn;
struct qemu_plugin_tb;
struct qemu_plugin_register;
struct qemu_plugin_hwaddr;

/* A piece of memory for each vcpu. Here: cells of each thread. */
struct qemu_plugin_scoreboard {
    DgHost *h;
    DgCell first;
    uint32_t cells;
    uint32_t disp;  /* of its first cell; 0 before there are threads */
    uint8_t **gone; /* by vcpu: contents before it started or after it ended; NULL: nothing */
    uint32_t ngone;
    struct qemu_plugin_scoreboard *next;
};

/* A number in it; passed by value. */
typedef struct qemu_plugin_u64 {
    struct qemu_plugin_scoreboard *score;
    size_t offset;
} qemu_plugin_u64;

enum { QEMU_CB_NO_REGS, QEMU_CB_R_REGS, QEMU_CB_RW_REGS, QEMU_CB_RW_REGS_PC };
enum { QEMU_MEM_R = 1, QEMU_MEM_W, QEMU_MEM_RW };
enum { QEMU_COND_NEVER, QEMU_COND_ALWAYS, QEMU_COND_EQ, QEMU_COND_NE, QEMU_COND_LT, QEMU_COND_LE, QEMU_COND_GT, QEMU_COND_GE };
enum { QEMU_INLINE_ADD_U64, QEMU_INLINE_STORE_U64 };

typedef uint32_t qemu_plugin_meminfo_t; /* here: log2 of the size, then bits */
enum { QEMU_INFO_SHIFT = 15, QEMU_INFO_STORE = 16, QEMU_INFO_SIGNED = 32 };

typedef struct qemu_plugin_mem_value {
    int type; /* log2 of its bytes */
    union {
        uint8_t u8;
        uint16_t u16;
        uint32_t u32;
        uint64_t u64;
        struct {
            uint64_t low, high;
        } u128;
    } data;
} qemu_plugin_mem_value;

typedef struct qemu_plugin_reg_descriptor {
    struct qemu_plugin_register *handle;
    const char *name, *feature;
} qemu_plugin_reg_descriptor;

/* What is called on events, before QEMU_API_DATA and since. */
typedef void QemuSimple(qemu_plugin_id_t id);
typedef void QemuSimpleData(void *data);
typedef void QemuData(qemu_plugin_id_t id, void *data);
typedef void QemuVcpu(qemu_plugin_id_t id, unsigned vcpu);
typedef void QemuVcpuData(unsigned vcpu, void *data); /* also of code that runs, in all versions */
typedef void QemuTrans(qemu_plugin_id_t id, struct qemu_plugin_tb *tb);
typedef void QemuTransData(struct qemu_plugin_tb *tb, void *data);
typedef void QemuSyscall(qemu_plugin_id_t id, unsigned vcpu, int64_t number, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
                         uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8);
typedef void QemuSyscallData(unsigned vcpu, int64_t number, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5,
                             uint64_t a6, uint64_t a7, uint64_t a8, void *data);
typedef bool QemuFilter(qemu_plugin_id_t id, unsigned vcpu, int64_t number, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
                        uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8, uint64_t *result);
typedef bool QemuFilterData(unsigned vcpu, int64_t number, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5,
                            uint64_t a6, uint64_t a7, uint64_t a8, uint64_t *result, void *data);
typedef void QemuSyscallRet(qemu_plugin_id_t id, unsigned vcpu, int64_t number, int64_t result);
typedef void QemuSyscallRetData(unsigned vcpu, int64_t number, int64_t result, void *data);
typedef void QemuMem(unsigned vcpu, qemu_plugin_meminfo_t info, uint64_t va, void *data);

/* --- inside --------------------------------------------------------------------------------------------------------------- */

/* A function for an event, of the type that the plugin's version has. */
typedef struct QemuFn {
    void (*fn)(void); /* NULL: none */
    void *data;
} QemuFn;

#define QEMU_CALL_BITS 12

/* A plugin that is loaded. Its id is its place in the list of tools, from 1. */
typedef struct QemuPlugin {
    DgTool tool;
    DgHost *h;
    char *path, **argv; /* argv: as qemu_plugin_install wants them */
    int argc;
    void *library;
    int version;        /* of the interface that it was compiled for */
    bool shares;        /* it finds GLib among the libraries that all may use */
    QemuFn trans, vcpu_init, vcpu_exit, syscall, syscall_ret, filter, atexit;
    bool shown, stale;  /* it is being shown code; what it attached before is to be undone */
    struct QemuPlugin *next;
    const DgApi *api;
    struct QemuCall *call[1 << QEMU_CALL_BITS]; /* what it has registered so far, by function and data */
} QemuPlugin;

/* One registration at an instruction: what its call needs. They live as long as the process. */
typedef struct QemuHook {
    union {
        QemuVcpuData *exec;
        QemuMem *mem;
    };
    void *data;
    uint64_t pc;
    unsigned rw;
    GuestQemuView view;
    struct QemuHook *next; /* memory hooks of instructions that helpers serve, by pc */
} QemuHook;

/* Registrations carry the plugin: run-time calls come with their own data only. */
typedef struct QemuCall {
    QemuPlugin *q;
    QemuHook hook;
    int cond; /* of one that may change registers: not tested inline */
    qemu_plugin_u64 entry;
    uint64_t imm;
    struct QemuCall *next; /* in the plugin's table */
} QemuCall;

/* What a plugin's calls are about: the plugin, the thread and the access of the call that is going on in this host thread. */
typedef struct QemuNow {
    QemuPlugin *plugin;
    DgThread *thread;
    const DgEvent *ev;
    jmp_buf *leave; /* where qemu_plugin_set_pc goes on; NULL: it may not be called */
} QemuNow;

extern _Thread_local QemuNow qemu_now;

/*
 * The guest's thread that this host thread is. Translated code calls functions of plugins by itself (IrTell) and notes nothing in
 * qemu_now: what those ask for is found from here.
 */
typedef struct QemuSelf {
    DgThread *thread; /* NULL: none, or it is over */
    uint8_t *state;   /* of its vcpu: scoreboards are at fixed distances */
    unsigned vcpu;    /* QEMU_NO_VCPU: none */
} QemuSelf;

#define QEMU_NO_VCPU UINT32_MAX
/* Programs only are linked with this: it is where the compiler can say. */
extern _Thread_local __attribute__((tls_model("local-exec"))) QemuSelf qemu_self;

/* The call that code is making so; NULL: none. */
const QemuCall *qemu_told(void);
/* Whose callback is running, either way; NULL: none is. */
DgThread *qemu_caller(void);

static inline bool qemu_has_data(const QemuPlugin *q)
{
    return q->version >= QEMU_API_DATA;
}

QemuPlugin *qemu_plugin_by_id(qemu_plugin_id_t id);
/* Open its library; *why says why not. */
bool qemu_open(QemuPlugin *q, const char **why);
/* Any plugin: functions without an id are about the process. */
QemuPlugin *qemu_plugin_any(void);
/* A thread begins: what was written for it before becomes its own. */
void qemu_scores_start(DgThread *t);
/* Of a process that was forked: what other threads did to GLib's mutexes is over. A function for DgApi.on_fork. */
void qemu_mutex_fork_child(void *unused);
/* The cell of an entry; DG_NO_CELL when it is none. */
DgCell qemu_entry_cell(qemu_plugin_u64 entry);
/* on_translate, on_access */
void qemu_translate(void *data, DgBlock *b);
void qemu_access(DgThread *t, void *data, const DgEvent *ev);

#endif
