/*
 * System calls: what the table (spec/syscalls.tbl) says of each, and how handlers are written.
 *
 * A handler is `int64_t sys_NAME(UserThread *t, SysCall *c)`: arguments in c->arg[], pointers already untagged, paths
 * still as the guest gave them (path_lookup() finds the host's). It returns the result, or -errno, or one of the SYS_*
 * values below. It reaches the host only through host_call() and its relatives, and guest memory through guest_read() and
 * guest_write() or by passing the guest's own pointer on (the guest is mapped 1:1; the host's kernel then answers
 * EFAULT for it).
 */
#ifndef USER_SYSCALL_H
#define USER_SYSCALL_H

#include "engine/engine.h"
#include "replay/nondet.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct UserThread UserThread;
typedef struct SysCall SysCall;
typedef struct SysDesc SysDesc;
typedef int64_t SysFn(UserThread *t, SysCall *c);

typedef enum SysArgKind {
    SCA_NONE, SCA_INT, SCA_UINT, SCA_LONG, SCA_HEX, SCA_OCT, SCA_SIZE, SCA_OFF, SCA_FD, SCA_PID, SCA_UID, SCA_SIG,
    SCA_CLOCK, SCA_DEV, SCA_DIRFD, SCA_PTR, SCA_PATH, SCA_LPATH, SCA_NPATH, SCA_APATH, SCA_STR, SCA_STRS, SCA_IN, SCA_OUT,
    SCA_IOV, SCA_OIOV, SCA_STRUCT_IN, SCA_STRUCT_OUT, SCA_STRUCT_IO, SCA_FLAGS, SCA_ENUM,
    SCA_IOCTL, SCA_IOARG,
} SysArgKind;

/* One name of a flag set or list; ends with name NULL. */
typedef struct SysName {
    int64_t value;
    int64_t mask;      /* it is meant when the argument's bits under mask are `value` */
    const char *name;
} SysName;

typedef struct SysArg {
    uint8_t kind;      /* SysArgKind */
    uint8_t set;       /* SysStruct of a structure */
    uint8_t size_arg;  /* index + 1 of the argument that holds the size or count; 0: `size` */
    bool deref;        /* that argument points to the size (32 bits) */
    uint32_t size;
    const SysName *names;
} SysArg;

typedef enum SysHandler { SC_NONE, SC_PASS, SC_BLOCK, SC_FN, SC_ENOSYS, SC_EPERM } SysHandler;

struct SysDesc {
    const char *name;  /* NULL: no such call */
    SysFn *fn;
    int16_t host;      /* number on the host; -1: none */
    uint8_t handler;   /* SysHandler */
    uint8_t nargs;
    uint8_t pointers;  /* bit i: argument i is a pointer */
    uint8_t paths;     /* bit i: argument i is a path to look up */
    uint8_t open_flags; /* bit i: argument i holds O_* flags in the guest's values */
    uint8_t at_flags;  /* index + 1 of the argument with AT_* flags */
    bool hex_result;
    SysArg arg[6];
};

#include "syscalls_gen.h"

extern const SysDesc syscall_table[SYSCALL_LIMIT];

struct SysCall {
    const SysDesc *d;
    uint64_t nr;       /* the guest's number */
    uint64_t arg[6];
};

/*
 * Results that are not the guest's: values below -4095.
 *   SYS_RESTART   the host call was interrupted after it began; restarted unless a handler without SA_RESTART runs
 *   SYS_RESTART_NOHAND  the same, but restarted only when no handler runs at all
 *   SYS_RESTART_BLOCK   the same, and it goes on as restart_syscall with what is left of its time (t->again)
 *   SYS_AGAIN     nothing was begun: deliver signals, then make the call again, whatever the handlers' flags
 *   SYS_NORETURN  registers are set already (rt_sigreturn)
 *   SYS_EXIT      the thread ends
 */
enum { SYS_RESTART = -5000, SYS_AGAIN = -5001, SYS_NORETURN = -5002, SYS_EXIT = -5003, SYS_RESTART_NOHAND = -5004,
       SYS_RESTART_BLOCK = -5005 };

/* Find c->d by the guest's number. */
void syscall_describe(SysCall *c);

/* EnvOps.syscall: answer the system call that the vcpu has just made. */
IrStop user_syscall(Vcpu *cpu);

/*
 * Make host call `nr` on the guest's behalf.
 *   host_call    does not wait for anything; never interrupted by the guest's signals
 *   host_block   may wait: returns SYS_AGAIN when a signal is there already, SYS_RESTART when one interrupted it
 * Outputs are declared by the table when `c` is the call being answered; otherwise with host_call_out.
 */
int64_t host_call(UserThread *t, long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f);
int64_t host_call_out(UserThread *t, long nr, const uint64_t arg[6], void *out, size_t out_size);
int64_t host_block(UserThread *t, const SysCall *c, const uint64_t arg[6]);
/* host_block of another call than the one being answered, which writes nothing. */
int64_t host_block_nr(UserThread *t, long nr, const uint64_t arg[6]);
int64_t host_block_out(UserThread *t, const SysCall *c, const uint64_t arg[6], const NondetOut *outs, unsigned nouts);
/* The call itself with its (perhaps changed) arguments, as `pass` would do it, paths excepted. */
int64_t host_pass(UserThread *t, const SysCall *c);

#define HOST0(t, nr) host_call(t, nr, 0, 0, 0, 0, 0, 0)
#define HOST1(t, nr, a) host_call(t, nr, (uint64_t)(a), 0, 0, 0, 0, 0)
#define HOST2(t, nr, a, b) host_call(t, nr, (uint64_t)(a), (uint64_t)(b), 0, 0, 0, 0)
#define HOST3(t, nr, a, b, c) host_call(t, nr, (uint64_t)(a), (uint64_t)(b), (uint64_t)(c), 0, 0, 0)
#define HOST4(t, nr, a, b, c, d) host_call(t, nr, (uint64_t)(a), (uint64_t)(b), (uint64_t)(c), (uint64_t)(d), 0, 0)
#define HOST6(t, nr, a, b, c, d, e, f) \
    host_call(t, nr, (uint64_t)(a), (uint64_t)(b), (uint64_t)(c), (uint64_t)(d), (uint64_t)(e), (uint64_t)(f))

/*
 * sys_sandbox.c: whether Landlock, once in force, lets the program at a host path be executed: 0 or -errno. The host's kernel
 * sees dragoman executed in its place.
 */
int64_t landlock_may_execute(UserThread *t, const char *host_path);

/* strace.c: print a call as it begins and its result; only called when tracing. */
/* Whether system calls are shown: --strace or --log=sys. */
bool strace_on(const UserThread *t);
void strace_enter(UserThread *t, const SysCall *c);
void strace_leave(UserThread *t, const SysCall *c, int64_t ret);
void strace_signal(UserThread *t, const siginfo_t *info);
/* The call with its result, as a string. */
void strace_text(UserThread *t, const SysCall *c, int64_t ret, char *buf, size_t len);

/* Bytes (or elements) that the table gives argument `a`. */
uint64_t syscall_arg_size(UserThread *t, const SysArg *a, const uint64_t arg[6]);

/* tool.c: tell tools; only called when there are any. `before` returns true when a tool has answered, *ret. */
bool tool_syscall_before(UserThread *t, const SysCall *c, int64_t *ret);
void tool_syscall_after(UserThread *t, const SysCall *c, int64_t ret);
/* The thread has done its last instruction: tools hear of it before other threads can. */
void tool_thread_over(UserThread *t);
void tool_signal(UserThread *t, const siginfo_t *info, uint64_t handler);

#endif
