/*
 * A plugin made for version 7 of QEMU's interface, in which every callback gets data that was registered with it, last, and no id.
 * It tells each callback's data apart and prints how often each was called. Argument: quiet (it answers system calls that write).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef uint64_t Id;
typedef struct Tb Tb;
typedef struct Insn Insn;
typedef void Data(void *), Vcpu(unsigned, void *), Trans(Tb *, void *);
typedef void Syscall(unsigned, int64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, void *);
typedef bool Filter(unsigned, int64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t *, void *);
typedef void Ret(unsigned, int64_t, int64_t, void *);
typedef void Discon(unsigned, int, uint64_t, uint64_t, void *);

int qemu_plugin_version = 7;
void qemu_plugin_register_vcpu_init_cb(Id, Vcpu *, void *);
void qemu_plugin_register_vcpu_exit_cb(Id, Vcpu *, void *);
void qemu_plugin_register_vcpu_idle_cb(Id, Vcpu *, void *);
void qemu_plugin_register_vcpu_resume_cb(Id, Vcpu *, void *);
void qemu_plugin_register_vcpu_discon_cb(Id, int, Discon *, void *);
void qemu_plugin_register_vcpu_tb_trans_cb(Id, Trans *, void *);
void qemu_plugin_register_vcpu_insn_exec_cb(Insn *, Vcpu *, int, void *);
void qemu_plugin_register_vcpu_syscall_cb(Id, Syscall *, void *);
void qemu_plugin_register_vcpu_syscall_ret_cb(Id, Ret *, void *);
void qemu_plugin_register_vcpu_syscall_filter_cb(Id, Filter *, void *);
void qemu_plugin_register_flush_cb(Id, Data *, void *);
void qemu_plugin_register_atexit_cb(Id, Data *, void *);
void qemu_plugin_vcpu_for_each(Id, Vcpu *, void *);
void qemu_plugin_reset(Id, Data *, void *);
void qemu_plugin_uninstall(Id, Data *, void *);
size_t qemu_plugin_tb_n_insns(const Tb *);
Insn *qemu_plugin_tb_get_insn(const Tb *, size_t);
void qemu_plugin_outs(const char *);
int qemu_plugin_install(Id, const void *, int, char **);

enum { INIT, EXIT, TRANS, EXEC, SYSCALL, RET, FILTER, FINISH, EACH, RESET, REMOVED, KINDS };
enum { SYS_WRITE = 64 };

static const char *const name[KINDS] = {"inits", "exits", "blocks", "insns", "syscalls", "returns", "filtered", "ends", "each", "resets", "removed"};
static long calls[KINDS], bad;
static char mark[KINDS];
static Id self;
static bool quiet;

static void note(int kind, const void *data)
{
    calls[kind]++;
    bad += data != &mark[kind];
}

static void on_init(unsigned vcpu, void *data)
{
    note(INIT, data);
    bad += vcpu != 0;
}

static void on_exit(unsigned vcpu, void *data)
{
    note(EXIT, data);
    bad += vcpu != 0;
}

static void on_never(unsigned vcpu, void *data)
{
    bad++;
}

static void on_discon(unsigned vcpu, int type, uint64_t from, uint64_t to, void *data)
{
    bad++;
}

static void on_flush(void *data)
{
    bad++;
}

static void on_exec(unsigned vcpu, void *data)
{
    note(EXEC, data);
    bad += vcpu != 0;
}

static void on_trans(Tb *tb, void *data)
{
    calls[TRANS] = 1;
    bad += data != &mark[TRANS];
    for (size_t k = 0; k < qemu_plugin_tb_n_insns(tb); k++)
        qemu_plugin_register_vcpu_insn_exec_cb(qemu_plugin_tb_get_insn(tb, k), on_exec, 0, &mark[EXEC]);
}

static void on_syscall(unsigned vcpu, int64_t number, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5, uint64_t a6,
                       uint64_t a7, uint64_t a8, void *data)
{
    note(SYSCALL, data);
    bad += vcpu != 0 || number < 0 || (number == SYS_WRITE && (a1 != 1 || a3 == 0));
}

static bool on_filter(unsigned vcpu, int64_t number, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5, uint64_t a6,
                      uint64_t a7, uint64_t a8, uint64_t *result, void *data)
{
    note(FILTER, data);
    if (!quiet || number != SYS_WRITE)
        return false;
    *result = a3;
    return true;
}

static void on_ret(unsigned vcpu, int64_t number, int64_t result, void *data)
{
    note(RET, data);
    bad += number == SYS_WRITE && result <= 0;
}

static void on_each(unsigned vcpu, void *data)
{
    note(EACH, data);
}

static void on_removed(void *data)
{
    char text[64];

    note(REMOVED, data);
    for (int k = 0; k < KINDS; k++) {
        snprintf(text, sizeof text, "%s %ld\n", name[k], calls[k]);
        qemu_plugin_outs(text);
    }
    snprintf(text, sizeof text, "bad %ld\n", bad);
    qemu_plugin_outs(text);
}

static void on_finish(void *data)
{
    note(FINISH, data);
    qemu_plugin_vcpu_for_each(self, on_each, &mark[EACH]);
    qemu_plugin_uninstall(self, on_removed, &mark[REMOVED]);
}

static void all(void)
{
    qemu_plugin_register_vcpu_init_cb(self, on_init, &mark[INIT]);
    qemu_plugin_register_vcpu_exit_cb(self, on_exit, &mark[EXIT]);
    qemu_plugin_register_vcpu_idle_cb(self, on_never, NULL);
    qemu_plugin_register_vcpu_resume_cb(self, on_never, NULL);
    qemu_plugin_register_vcpu_discon_cb(self, -1, on_discon, NULL);
    qemu_plugin_register_flush_cb(self, on_flush, NULL);
    qemu_plugin_register_vcpu_tb_trans_cb(self, on_trans, &mark[TRANS]);
    qemu_plugin_register_vcpu_syscall_cb(self, on_syscall, &mark[SYSCALL]);
    qemu_plugin_register_vcpu_syscall_ret_cb(self, on_ret, &mark[RET]);
    qemu_plugin_register_vcpu_syscall_filter_cb(self, on_filter, &mark[FILTER]);
    qemu_plugin_register_atexit_cb(self, on_finish, &mark[FINISH]);
}

static void on_reset(void *data)
{
    note(RESET, data);
    all();
}

int qemu_plugin_install(Id id, const void *info, int argc, char **argv)
{
    self = id;
    quiet = argc > 0 && strcmp(argv[0], "quiet") == 0;
    qemu_plugin_reset(id, on_reset, &mark[RESET]);
    return 0;
}
