/* ptrace(2): the tracer's requests, by a table. */
#include "user/ptrace.h"

#include "base/restart.h"
#include "user/signal.h"

#include <errno.h>
#include <linux/ptrace.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define OPTIONS_KNOWN (0x3000ffu)    /* PTRACE_O_MASK */
#define OPTIONS_HOST (PTRACE_O_EXITKILL | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | \
                      PTRACE_O_TRACEVFORKDONE | PTRACE_O_TRACEEXIT)

#define BIRTH_TRIES 1000
#define BIRTH_SLEEP_US 1000

/* A stopped tracee, as a request finds it. */
typedef struct Target {
    Tracee *w;
    PtraceBlock b;
    StopKind kind;
} Target;

typedef int64_t Request(UserThread *t, Target *g, uint64_t addr, uint64_t data);

/* `ret`, with what is asked for written to the tracer's memory. */
static int64_t give(UserThread *t, uint64_t va, const void *src, size_t n, int64_t ret)
{
    return guest_write(t->cpu, va, src, n) ? ret : -EFAULT;
}

/* --- attaching ------------------------------------------------------------------------------------------------------- */

static int64_t set_options(UserThread *t, Target *g, uint64_t addr, uint64_t data)
{
    if (data & ~(uint64_t)(OPTIONS_KNOWN & ~PTRACE_O_SUSPEND_SECCOMP)) /* it: as a kernel without CHECKPOINT_RESTORE */
        return -EINVAL;
    int64_t err = host_ptrace(t, PTRACE_SETOPTIONS, g->w->tid, 0, data & OPTIONS_HOST);
    if (!err)
        TRACEE_PUT(t, g->w, options, (uint32_t)data);
    return err;
}

static bool runs_dragoman(UserThread *t, int tid)
{
    char link[40], mine[PATH_MAX], theirs[PATH_MAX];
    snprintf(link, sizeof link, "/proc/%d/exe", tid);
    int64_t a = HOST4(t, SYS_readlinkat, AT_FDCWD, (uintptr_t)"/proc/self/exe", (uintptr_t)mine, sizeof mine);
    int64_t b = HOST4(t, SYS_readlinkat, AT_FDCWD, (uintptr_t)link, (uintptr_t)theirs, sizeof theirs);
    return a > 0 && a == b && memcmp(mine, theirs, (size_t)a) == 0;
}

/*
 * To a tracer that is no guest of dragoman the translator's own stops would show. Whoever forked this process is one; to look
 * at another parent Landlock may forbid.
 */
static int64_t trace_me(UserThread *t)
{
    int parent = (int)HOST0(t, SYS_getppid);
    if (parent != t->p->forked_by && !runs_dragoman(t, parent))
        return -EPERM;
    int64_t err = host_ptrace(t, PTRACE_TRACEME, 0, 0, 0);
    if (!err && t->pt)
        t->pt->traced = 1;
    return err;
}

/* Whether the thread has a block. One that is being born, or has a new program, is waited for: it gets there by itself. */
static bool is_guest(UserThread *t, int tid)
{
    int slot = -1;
    for (unsigned i = 0; i < BIRTH_TRIES; i++) {
        if (ptrace_table_of(t, tid, &slot))
            return true;
        if (!runs_dragoman(t, tid))
            return false;
        usleep(BIRTH_SLEEP_US);
    }
    return false;
}

/* PTRACE_ATTACH and PTRACE_SEIZE: only of guest programs, for a host's registers are not what the tracer understands. */
static int64_t attach(UserThread *t, long request, int tid, uint64_t addr, uint64_t data)
{
    PtraceBlock b;
    bool seize = request == PTRACE_SEIZE;
    if (seize && (addr || (data & ~(uint64_t)OPTIONS_KNOWN)))
        return -EIO;
    if (seize && (data & PTRACE_O_SUSPEND_SECCOMP))
        return -EINVAL;
    if (tid > 0 && tid != t->tid && !is_guest(t, tid) && HOST2(t, SYS_tkill, tid, 0) == 0)
        return -EPERM;
    int64_t err = host_ptrace(t, request, tid, 0, seize ? data & OPTIONS_HOST : 0);
    if (err)
        return err;
    Tracee *w = tracee_find(t, tid, true);
    *w = (Tracee){ .next = w->next, .tid = tid, .seized = seize, .begun = true };
    if (tracee_block(t, w, &b)) {
        TRACEE_PUT(t, w, seized, seize);
        TRACEE_PUT(t, w, options, seize ? (uint32_t)data : 0);
        TRACEE_PUT(t, w, traced, 1);
    }
    return 0;
}

static int64_t interrupt(UserThread *t, Target *g, uint64_t addr, uint64_t data)
{
    return host_ptrace(t, PTRACE_INTERRUPT, g->w->tid, 0, 0);
}

/* --- going on -------------------------------------------------------------------------------------------------------- */

static int64_t resume(UserThread *t, Target *g, uint32_t mode, uint64_t sig, long host)
{
    if (sig > USER_NSIG)
        return -EIO;
    TRACEE_PUT(t, g->w, mode, mode);
    g->w->group = 0;
    if (g->kind != STOP_SELF)
        return host_ptrace(t, host, g->w->tid, 0, g->kind == STOP_EVENT ? sig : 0);
    TRACEE_PUT(t, g->w, resume_sig, (uint32_t)sig);
    TRACEE_PUT(t, g->w, stop, 0);
    return host_ptrace(t, host, g->w->tid, 0, 0);
}

static int64_t go_on(UserThread *t, Target *g, uint64_t addr, uint64_t data)
{
    return resume(t, g, 0, data, PTRACE_CONT);
}

static int64_t go_to_call(UserThread *t, Target *g, uint64_t addr, uint64_t data)
{
    return resume(t, g, PTRACE_SYSCALL, data, PTRACE_CONT);
}

static int64_t go_emulating(UserThread *t, Target *g, uint64_t addr, uint64_t data)
{
    return resume(t, g, PTRACE_SYSEMU, data, PTRACE_CONT);
}

static void settle_group(UserThread *t, Target *g)
{
    if (g->kind == STOP_GROUP && !g->b.raising) {
        tracee_settle_now(t, g->w, g->w->group);
        g->kind = tracee_stopped(t, g->w, &g->b);
    }
}

static int64_t step(UserThread *t, Target *g, uint32_t mode, uint64_t sig)
{
    settle_group(t, g);
    return resume(t, g, mode, sig, PTRACE_CONT);
}

static int64_t go_step(UserThread *t, Target *g, uint64_t addr, uint64_t data)
{
    return step(t, g, PTRACE_SINGLESTEP, data);
}

static int64_t go_step_emulating(UserThread *t, Target *g, uint64_t addr, uint64_t data)
{
    return step(t, g, PTRACE_SYSEMU_SINGLESTEP, data);
}

static int64_t detach(UserThread *t, Target *g, uint64_t addr, uint64_t data)
{
    int tid = g->w->tid;
    TRACEE_PUT(t, g->w, traced, 0);
    TRACEE_PUT(t, g->w, options, 0);
    int64_t err = resume(t, g, 0, data, PTRACE_DETACH);
    if (!err)
        tracee_forget(t, tid);
    return err;
}

static int64_t end(UserThread *t, Target *g, uint64_t addr, uint64_t data)
{
    int64_t err = host_ptrace(t, PTRACE_KILL, g->w->tid, 0, 0); /* ESRCH when it has ended: its id may be another's now */
    return err ? err : HOST2(t, SYS_tkill, g->w->tid, SIGKILL);
}

/* A group stop is to go on until SIGCONT: one that registers were asked of has left it, and is stopped all the same. */
static int64_t listen_stop(UserThread *t, Target *g, uint64_t addr, uint64_t data)
{
    if (!g->w->seized && !g->b.seized)
        return -EIO;
    if (g->kind == STOP_GROUP)
        return host_ptrace(t, PTRACE_LISTEN, g->w->tid, 0, 0);
    return g->kind == STOP_SELF && g->b.status >> 16 == PTRACE_EVENT_STOP ? 0 : -EIO;
}

/* --- memory, registers ----------------------------------------------------------------------------------------------- */

static int64_t peek(UserThread *t, Target *g, uint64_t addr, uint64_t data)
{
    uint64_t word;
    int64_t err = host_ptrace(t, PTRACE_PEEKDATA, g->w->tid, addr, (uintptr_t)&word);
    return err ? err : give(t, data, &word, sizeof word, 0);
}

static int64_t poke(UserThread *t, Target *g, uint64_t addr, uint64_t data)
{
    int64_t err = host_ptrace(t, PTRACE_POKEDATA, g->w->tid, addr, data);
    if (!err)
        ptrace_code_changed(t, g->w->tid, addr, sizeof data);
    return err;
}

static const AbiRegset *regset(UserThread *t, uint64_t note)
{
    uint64_t cap, cap2;
    t->p->abi->hwcap(t->p->cfg->engine.features, &cap, &cap2);
    for (const AbiRegset *r = t->p->abi->regsets; r->note; r++)
        if (r->note == note && (r->hwcap & ~cap) == 0)
            return r;
    return NULL;
}

static int64_t get_regset(UserThread *t, Target *g, uint64_t addr, uint64_t data)
{
    struct iovec v;
    const AbiRegset *r = regset(t, addr);
    if (!guest_read(t->cpu, &v, data, sizeof v))
        return -EFAULT;
    if (!r)
        return -EINVAL;
    settle_group(t, g);
    if (v.iov_len > r->size)
        v.iov_len = r->size;
    if (!guest_write(t->cpu, (uintptr_t)v.iov_base, g->b.regs + r->at, v.iov_len) ||
        !guest_write(t->cpu, data + offsetof(struct iovec, iov_len), &v.iov_len, sizeof v.iov_len))
        return -EFAULT;
    return 0;
}

static int64_t set_regset(UserThread *t, Target *g, uint64_t addr, uint64_t data)
{
    struct iovec v;
    const AbiRegset *r = regset(t, addr);
    if (!guest_read(t->cpu, &v, data, sizeof v))
        return -EFAULT;
    if (!r)
        return -EINVAL;
    settle_group(t, g);
    size_t n = v.iov_len < r->size ? v.iov_len : r->size;
    if (!guest_read(t->cpu, g->b.regs + r->at, (uintptr_t)v.iov_base, n))
        return -EFAULT;
    if (!r->settable)
        return n > 8 ? -ENOSPC : 0; /* no debug register to be set */
    if (!t->p->abi->regs_valid(g->b.regs))
        return -EINVAL;
    tracee_put(t, g->w, offsetof(PtraceBlock, regs) + r->at, g->b.regs + r->at, n);
    TRACEE_PUT(t, g->w, dirty, 1);
    v.iov_len = n;
    return give(t, data, &v, sizeof v, 0);
}

/* --- about the stop -------------------------------------------------------------------------------------------------- */

static int64_t get_message(UserThread *t, Target *g, uint64_t addr, uint64_t data)
{
    uint64_t msg = g->b.msg;
    if (g->kind == STOP_EVENT)
        host_ptrace(t, PTRACE_GETEVENTMSG, g->w->tid, 0, (uintptr_t)&msg);
    return give(t, data, &msg, sizeof msg, 0);
}

static int64_t get_siginfo(UserThread *t, Target *g, uint64_t addr, uint64_t data)
{
    siginfo_t info = g->b.info;
    if (g->kind == STOP_GROUP && g->b.seized)
        info = (siginfo_t){ .si_signo = (int)(g->w->group >> 8 & 0xff), .si_code = (int)(g->w->group >> 8) };
    else if (g->kind == STOP_GROUP)
        return -EINVAL;
    if (g->kind == STOP_EVENT)
        host_ptrace(t, PTRACE_GETSIGINFO, g->w->tid, 0, (uintptr_t)&info);
    return give(t, data, &info, sizeof info, 0);
}

static int64_t set_siginfo(UserThread *t, Target *g, uint64_t addr, uint64_t data)
{
    siginfo_t info;
    if (!guest_read(t->cpu, &info, data, sizeof info))
        return -EFAULT;
    if (g->kind != STOP_SELF)
        return -EINVAL;
    return tracee_put(t, g->w, offsetof(PtraceBlock, info), &info, sizeof info) ? 0 : -EINVAL;
}

static int64_t get_mask(UserThread *t, Target *g, uint64_t addr, uint64_t data)
{
    if (addr != sizeof g->b.mask)
        return -EINVAL;
    return give(t, data, &g->b.mask, sizeof g->b.mask, 0);
}

static int64_t set_mask(UserThread *t, Target *g, uint64_t addr, uint64_t data)
{
    uint64_t mask;
    if (addr != sizeof mask)
        return -EINVAL;
    if (!guest_read(t->cpu, &mask, data, sizeof mask))
        return -EFAULT;
    settle_group(t, g);
    TRACEE_PUT(t, g->w, mask, mask);
    return 0;
}

/* struct ptrace_syscall_info, of 88 bytes. */
typedef struct CallInfo {
    uint8_t op, pad[3];
    uint32_t arch;
    uint64_t pc, sp;
    union {
        struct {
            uint64_t nr, arg[6];
            uint32_t data;
        } entry; /* `data` of PTRACE_OP_SECCOMP alone */
        struct {
            int64_t result;
            uint8_t is_error;
        } exit;
    };
} CallInfo;

enum { CALL_INFO_NONE = 24, CALL_INFO_EXIT = 33, CALL_INFO_ENTRY = 80, CALL_INFO_SECCOMP = 84 };

static uint64_t register_at(const Target *g, unsigned offset)
{
    uint64_t v;
    memcpy(&v, g->b.regs + offset, sizeof v);
    return v;
}

static int64_t get_call_info(UserThread *t, Target *g, uint64_t addr, uint64_t data)
{
    static const uint64_t sizes[] = { CALL_INFO_NONE, CALL_INFO_ENTRY, CALL_INFO_EXIT, CALL_INFO_SECCOMP };
    const UserAbi *abi = t->p->abi;
    CallInfo i;
    int32_t nr;
    memset(&i, 0, sizeof i);
    i.op = (uint8_t)(g->kind == STOP_SELF ? g->b.op : PTRACE_OP_NONE);
    i.arch = abi->audit_arch;
    i.pc = register_at(g, abi->regs_pc);
    i.sp = register_at(g, abi->regs_sp);
    if (i.op == PTRACE_OP_ENTRY || i.op == PTRACE_OP_SECCOMP) {
        memcpy(&nr, g->b.regs + abi->regs_call, sizeof nr);
        i.entry.nr = (uint64_t)(int64_t)nr;
        memcpy(i.entry.arg, g->b.regs + abi->regs_result, sizeof i.entry.arg);
        i.entry.data = (uint32_t)g->b.msg;
    } else if (i.op == PTRACE_OP_EXIT) {
        i.exit.result = (int64_t)register_at(g, abi->regs_result);
        i.exit.is_error = i.exit.result < 0 && i.exit.result >= -4095;
    }
    uint64_t size = sizes[i.op & 3], n = addr < size ? addr : size;
    return give(t, data, &i, n, (int64_t)size);
}

/* The area is registered with the host's kernel as the guest gave it. */
static int64_t get_rseq(UserThread *t, Target *g, uint64_t addr, uint64_t data)
{
    struct ptrace_rseq_configuration conf = { 0 };
    if (addr != sizeof conf)
        return -EINVAL;
    int64_t n = host_ptrace(t, PTRACE_GET_RSEQ_CONFIGURATION, g->w->tid, addr, (uintptr_t)&conf);
    if (n < 0)
        return n;
    if (restart_is_own(conf.signature))
        conf = (struct ptrace_rseq_configuration){ 0 };
    return give(t, data, &conf, sizeof conf, n);
}

static int64_t peek_queue(UserThread *t, Target *g, uint64_t addr, uint64_t data)
{
    return host_ptrace(t, PTRACE_PEEKSIGINFO, g->w->tid, addr, data);
}

/* --- dispatch -------------------------------------------------------------------------------------------------------- */

/* For CRIU; as a kernel without CHECKPOINT_RESTORE. */
static int64_t get_filter(UserThread *t, Target *g, uint64_t addr, uint64_t data)
{
    return -EINVAL;
}

static const struct {
    uint32_t nr;
    bool running; /* of a thread that runs, too */
    Request *fn;
} requests[] = {
    { PTRACE_PEEKTEXT, false, peek }, { PTRACE_PEEKDATA, false, peek },
    { PTRACE_POKETEXT, false, poke }, { PTRACE_POKEDATA, false, poke },
    { PTRACE_CONT, false, go_on }, { PTRACE_KILL, true, end }, { PTRACE_SINGLESTEP, false, go_step },
    { PTRACE_DETACH, false, detach }, { PTRACE_SYSCALL, false, go_to_call },
    { PTRACE_SYSEMU, false, go_emulating }, { PTRACE_SYSEMU_SINGLESTEP, false, go_step_emulating },
    { PTRACE_SETOPTIONS, false, set_options }, { PTRACE_OLDSETOPTIONS, false, set_options },
    { PTRACE_GETEVENTMSG, false, get_message }, { PTRACE_GETSIGINFO, false, get_siginfo },
    { PTRACE_SETSIGINFO, false, set_siginfo }, { PTRACE_GETREGSET, false, get_regset },
    { PTRACE_SETREGSET, false, set_regset }, { PTRACE_INTERRUPT, true, interrupt }, { PTRACE_LISTEN, false, listen_stop },
    { PTRACE_PEEKSIGINFO, false, peek_queue }, { PTRACE_GETSIGMASK, false, get_mask }, { PTRACE_SETSIGMASK, false, set_mask },
    { PTRACE_SECCOMP_GET_FILTER, false, get_filter }, { PTRACE_SECCOMP_GET_METADATA, false, get_filter },
    { PTRACE_GET_SYSCALL_INFO, false, get_call_info }, { PTRACE_GET_RSEQ_CONFIGURATION, false, get_rseq },
};

int64_t sys_ptrace(UserThread *t, SysCall *c)
{
    long request = (long)c->arg[0];
    int tid = (int)c->arg[1];
    if (request == PTRACE_TRACEME)
        return trace_me(t);
    if (request == PTRACE_ATTACH || request == PTRACE_SEIZE)
        return attach(t, request, tid, c->arg[2], c->arg[3]);
    int64_t err = host_ptrace(t, PTRACE_GETSIGINFO, tid, 0, (uintptr_t)&(siginfo_t){ .si_signo = 0 });
    Target g = { .w = tracee_find(t, tid, err == 0 || err == -EINVAL) }; /* traced, and perhaps not waited for yet */
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        if (requests[i].nr != (uint64_t)request)
            continue;
        if (!g.w)
            return -ESRCH;
        if (!requests[i].running && (g.kind = tracee_stopped(t, g.w, &g.b)) == STOP_NONE)
            return -ESRCH;
        return requests[i].fn(t, &g, c->arg[2], c->arg[3]);
    }
    return g.w && tracee_stopped(t, g.w, &g.b) != STOP_NONE ? -EIO : -ESRCH;
}
