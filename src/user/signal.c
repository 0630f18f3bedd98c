#include "user/signal.h"

#include "base/check.h"
#include "base/log.h"
#include "engine/instrument.h"
#include "user/core.h"
#include "user/ptrace.h"
#include "user/rseq.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define ALT_STACK (64u << 10) /* host handlers of translated code run here: the C stack pointer may not be one */
#define SYNC_SIGNALS (SIG_BIT(SIGSEGV) | SIG_BIT(SIGBUS) | SIG_BIT(SIGFPE) | SIG_BIT(SIGILL) | SIG_BIT(SIGTRAP))
#define NEVER_BLOCKED (SIG_BIT(SIGKILL) | SIG_BIT(SIGSTOP))
#define IGNORED_BY_DEFAULT (SIG_BIT(SIGCHLD) | SIG_BIT(SIGURG) | SIG_BIT(SIGWINCH) | SIG_BIT(SIGCONT))
#define STOPS_BY_DEFAULT (SIG_BIT(SIGSTOP) | SIG_BIT(SIGTSTP) | SIG_BIT(SIGTTIN) | SIG_BIT(SIGTTOU))
#define DEFAULT_ACTION UINT64_C(0)
#define IGNORE_ACTION UINT64_C(1)
#define SA_RESTORER_FLAG 0x04000000u
#define ALT_DISABLE 2u
#define ALT_AUTODISARM (1u << 31)

/* The signal handler finds its thread here: it has no argument of ours. Written by the thread itself only. */
static _Thread_local UserThread *self_thread;

UserThread *user_self(void)
{
    return self_thread;
}

void user_set_self(UserThread *t)
{
    self_thread = t;
}

/* --- the host's side ------------------------------------------------------------------------------------------------ */

/* The kernel's struct sigaction, the same on every 64-bit host that has SA_RESTORER. libc's sigaction() refuses 32 and 33. */
typedef struct KernelSigAction {
    uint64_t handler, flags, restorer, mask;
} KernelSigAction;

static long kernel_sigaction(int sig, const KernelSigAction *act, KernelSigAction *old)
{
    return syscall(SYS_rt_sigaction, sig, act, old, 8);
}

static void kernel_mask(int how, uint64_t set, uint64_t *old)
{
    syscall(SYS_rt_sigprocmask, how, &set, old, 8);
}

uint64_t signal_host_set(uint64_t mask)
{
    return mask & ~(SYNC_SIGNALS | NEVER_BLOCKED);
}

void signal_block_all(void)
{
    kernel_mask(SIG_SETMASK, signal_host_set(~UINT64_C(0)), NULL);
}

void signal_unblock(UserThread *t)
{
    kernel_mask(SIG_SETMASK, signal_host_set(t->mask), NULL);
}

uint64_t signal_host_mask(void)
{
    uint64_t old = 0;
    kernel_mask(SIG_BLOCK, 0, &old);
    return old;
}

/* In a host's handler: the thread comes to a boundary soon, with every signal blocked until it has looked at its queue. */
static void leave_code(UserThread *t, void *ucv)
{
    ucontext_t *uc = ucv;
    uint64_t all = signal_host_set(~UINT64_C(0));
    t->stop = 1;
    engine_kick(t->cpu);
    memcpy(&uc->uc_sigmask, &all, sizeof all);
    t->p->nondet->ops->interrupt(t->p->nondet, uc);
}

static void note_signal(UserThread *t, int sig, const siginfo_t *info, void *uc)
{
    uint32_t n = t->npend;
    if (n < sizeof t->pend / sizeof t->pend[0]) {
        t->pend[n] = *info;
        t->pend[n].si_signo = sig;
        t->npend = n + 1;
    }
    leave_code(t, uc);
}

static void on_signal(int sig, siginfo_t *info, void *uc)
{
    UserThread *t = self_thread;
    int err = errno;
    if (t)
        note_signal(t, sig, info, uc);
    errno = err;
}

static unsigned sync_index(int sig)
{
    return sig == SIGSEGV ? 0 : sig == SIGBUS ? 1 : sig == SIGFPE ? 2 : sig == SIGILL ? 3 : 4;
}

bool signal_queue(UserThread *t, const siginfo_t *info)
{
    int sig = info->si_signo;
    if (SYNC_SIGNALS & t->mask & SIG_BIT(sig)) {
        t->sync_pend |= SIG_BIT(sig);
        t->sync_info[sync_index(sig)] = *info;
        return true;
    }
    if (t->npend == sizeof t->pend / sizeof t->pend[0])
        return false;
    t->pend[t->npend++] = *info;
    return true;
}

/* A tracer has given the thread signals, or wants it at a boundary (user/ptrace.h). */
static void note_trace(UserThread *t, void *uc)
{
    ptrace_take_notes(t);
    leave_code(t, uc);
}

void signal_async(int sig, siginfo_t *info, void *uc)
{
    UserThread *t = self_thread;
    if (!t)
        return;
    if (sig == SIGTRAP && (info->si_code == PTRACE_CODE_STOP || info->si_code == PTRACE_CODE_NOTE)) {
        if (t->pt)
            note_trace(t, uc);
        return;
    }
    if (t->mask & SIG_BIT(sig)) {
        t->sync_pend |= SIG_BIT(sig);
        t->sync_info[sync_index(sig)] = *info;
    } else {
        note_signal(t, sig, info, uc);
    }
}

/* One that opens or closes tools' windows: the guest never hears of it. */
static void on_tools_signal(int sig, siginfo_t *info, void *uc)
{
    UserThread *t = self_thread;
    Tools *tools = t && t->p->engine ? engine_tools(t->p->engine) : NULL;
    if (tools) {
        atomic_fetch_or(&tools->signalled, SIG_BIT(sig));
        leave_code(t, uc); /* to the run loop, which asks the tools */
    }
}

/* libc's return trampoline, found by letting libc install a handler for a signal that is put back at once. */
static uint64_t libc_restorer(void)
{
    struct sigaction mine = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO }, old;
    KernelSigAction k = { 0 };
    sigaction(SIGURG, &mine, &old);
    kernel_sigaction(SIGURG, NULL, &k);
    sigaction(SIGURG, &old, NULL);
    return k.restorer;
}

/* Whether the process is to end by `sig` through signal_default, and not at once by the host's kernel, whose core file is no guest's. */
static bool ends_here(const UserSigs *s, int sig)
{
    const uint64_t others = IGNORED_BY_DEFAULT | STOPS_BY_DEFAULT | NEVER_BLOCKED;
    return (s->tell_end || (CORE_SIGNALS & SIG_BIT(sig))) && s->act[sig].handler == DEFAULT_ACTION && !(others & SIG_BIT(sig));
}

/* Make the host's disposition of `sig` follow the guest's. */
static void install(const UserSigs *s, int sig)
{
    const UserSigAction *a = &s->act[sig];
    KernelSigAction k = { .handler = a->handler, .mask = signal_host_set(~UINT64_C(0)) };
    if (SYNC_SIGNALS & SIG_BIT(sig))
        return;
    if ((a->handler != DEFAULT_ACTION && a->handler != IGNORE_ACTION) || ends_here(s, sig)) {
        k.handler = (uint64_t)(uintptr_t)on_signal;
        k.flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART | SA_RESTORER_FLAG;
        k.restorer = s->restorer;
    }
    if (s->of_tools & SIG_BIT(sig))
        k = (KernelSigAction){ (uint64_t)(uintptr_t)on_tools_signal, SA_SIGINFO | SA_ONSTACK | SA_RESTART | SA_RESTORER_FLAG, s->restorer, k.mask };
    k.flags |= a->flags & (SA_NOCLDSTOP | SA_NOCLDWAIT);
    kernel_sigaction(sig, &k, NULL);
}

void signal_keep_own(UserThread *t)
{
    const int setxid = 33; /* glibc's, for setuid in all threads; installed with the first thread */
    pthread_mutex_lock(&t->p->sigs->lock);
    install(t->p->sigs, setxid);
    pthread_mutex_unlock(&t->p->sigs->lock);
}

/* --- dispositions ----------------------------------------------------------------------------------------------------- */

UserSigs *sigs_inherit(void)
{
    UserSigs *s = calloc(1, sizeof *s);
    CHECK(s != NULL);
    pthread_mutex_init(&s->lock, NULL);
    for (int sig = 1; sig <= USER_NSIG; sig++) {
        KernelSigAction k = { 0 };
        if (kernel_sigaction(sig, NULL, &k) == 0 && k.handler == IGNORE_ACTION)
            s->act[sig].handler = IGNORE_ACTION;
    }
    s->restorer = libc_restorer();
    return s;
}

void sigs_begin(UserSigs *s, bool tools, uint64_t set)
{
    s->of_tools = set;
    s->tell_end = tools;
    for (int sig = 1; sig <= USER_NSIG; sig++)
        if ((set & SIG_BIT(sig)) || ends_here(s, sig))
            install(s, sig);
}

UserSigs *sigs_copy(UserSigs *from)
{
    UserSigs *s = calloc(1, sizeof *s);
    CHECK(s != NULL);
    pthread_mutex_lock(&from->lock);
    memcpy(s->act, from->act, sizeof s->act);
    s->restorer = from->restorer;
    s->of_tools = from->of_tools;
    s->tell_end = from->tell_end;
    pthread_mutex_unlock(&from->lock);
    pthread_mutex_init(&s->lock, NULL);
    return s;
}

void sigs_free(UserSigs *s)
{
    pthread_mutex_destroy(&s->lock);
    free(s);
}

void sigs_reset(UserSigs *s)
{
    for (int sig = 1; sig <= USER_NSIG; sig++) {
        if (s->act[sig].handler == IGNORE_ACTION)
            continue;
        s->act[sig] = (UserSigAction){ 0 };
        if (!(NEVER_BLOCKED & SIG_BIT(sig)))
            install(s, sig);
    }
}

static bool read_action(UserThread *t, uint64_t va, UserSigAction *a)
{
    return guest_read(t->cpu, a, va, sizeof *a);
}

int64_t sys_rt_sigaction(UserThread *t, SysCall *c)
{
    const uint64_t known = SA_NOCLDSTOP | SA_NOCLDWAIT | SA_SIGINFO | SA_ONSTACK | SA_RESTART | SA_NODEFER | SA_RESETHAND |
                           SA_RESTORER_FLAG | 0x800 /* SA_EXPOSE_TAGBITS */;
    int sig = (int)c->arg[0];
    UserSigAction act, old;
    if (c->arg[3] != 8)
        return -EINVAL;
    if (c->arg[1] && !read_action(t, c->arg[1], &act))
        return -EFAULT;
    if (sig < 1 || sig > USER_NSIG || (c->arg[1] && (NEVER_BLOCKED & SIG_BIT(sig))))
        return -EINVAL;
    UserSigs *s = t->p->sigs;
    signal_block_all(); /* the lock is taken on delivery too */
    pthread_mutex_lock(&s->lock);
    old = s->act[sig];
    if (c->arg[1]) {
        act.flags &= known;
        act.mask &= ~NEVER_BLOCKED;
        s->act[sig] = act;
        install(s, sig);
    }
    pthread_mutex_unlock(&s->lock);
    signal_unblock(t);
    if (c->arg[2] && !guest_write(t->cpu, c->arg[2], &old, sizeof old))
        return -EFAULT;
    return 0;
}

/* --- delivery --------------------------------------------------------------------------------------------------------- */

static bool on_alt_stack(const UserThread *t, uint64_t sp)
{
    return sp > t->alt_sp && sp - t->alt_sp <= t->alt_size;
}

static uint32_t alt_state(const UserThread *t, uint64_t sp)
{
    if (!t->alt_size)
        return ALT_DISABLE;
    return (on_alt_stack(t, sp) ? SS_ONSTACK : 0) | (t->alt_flags & ALT_AUTODISARM);
}

void signal_default(UserThread *t, int sig, const siginfo_t *info)
{
    KernelSigAction k = { .handler = DEFAULT_ACTION };
    if (!(STOPS_BY_DEFAULT & SIG_BIT(sig))) {
        core_dump(t, sig, info); /* first: it needs the other threads to move */
        if (!t->vforked)
            engine_save(t->cpu);
        user_stats(t->p);
    }
    kernel_sigaction(sig, &k, NULL);
    ptrace_raising(t, sig);
    syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), sig);
    kernel_mask(SIG_UNBLOCK, SIG_BIT(sig), NULL);
    if (STOPS_BY_DEFAULT & SIG_BIT(sig)) {
        kernel_mask(SIG_BLOCK, SIG_BIT(sig), NULL);
        ptrace_raising(t, 0);
        return;
    }
    _exit(128 + sig); /* not reached */
}

/* The action to take for `sig` now; SA_RESETHAND is done here. */
static UserSigAction take_action(UserThread *t, int sig)
{
    UserSigs *s = t->p->sigs;
    pthread_mutex_lock(&s->lock);
    UserSigAction a = s->act[sig];
    if (a.handler > IGNORE_ACTION && (a.flags & SA_RESETHAND)) {
        s->act[sig].handler = DEFAULT_ACTION;
        install(s, sig);
    }
    pthread_mutex_unlock(&s->lock);
    return a;
}

static uint64_t frame_stack(UserThread *t, const UserSigAction *a)
{
    uint64_t sp = t->p->abi->get_stack(&t->cpu->h.ir);
    bool on = on_alt_stack(t, sp) && !(t->alt_flags & ALT_AUTODISARM);
    if ((a->flags & SA_ONSTACK) && t->alt_size && !on)
        return t->alt_sp + t->alt_size;
    return sp;
}

/* A handler is about to run: a call that was backed up to, to be made again, may be over instead. */
static void settle_call(UserThread *t, const UserSigAction *a)
{
    IrCpu *ir = &t->cpu->h.ir;
    bool over = t->restart == SYS_RESTART_NOHAND || t->restart == SYS_RESTART_BLOCK ||
                (t->restart == SYS_RESTART && !(a->flags & SA_RESTART));
    if (over && ir->pc == t->restart_pc) {
        ir->pc += t->p->abi->insn_size;
        t->p->abi->set_result(ir, (uint64_t)-EINTR);
    }
    t->restart = 0;
}

static bool no_room(UserThread *t, int sig);

/* Deliver one signal. Returns whether a handler runs now. */
static bool deliver(UserThread *t, const siginfo_t *info, const GuestFault *fault)
{
    int sig = info->si_signo;
    UserSigAction a = take_action(t, sig);
    t->p->nondet->ops->signal(t->p->nondet, t->tid, info);
    if (strace_on(t))
        strace_signal(t, info);
    if (log_on(LOG_SIGNAL))
        log_line("signal %d code %d to thread %d: handler 0x%llx", sig, info->si_code, t->tid, (unsigned long long)a.handler);
    if (engine_tools(t->p->engine))
        tool_signal(t, info, a.handler > IGNORE_ACTION ? a.handler : 0);
    if (a.handler == IGNORE_ACTION)
        return false;
    if (a.handler == DEFAULT_ACTION) {
        if (fault || !(IGNORED_BY_DEFAULT & SIG_BIT(sig)))
            signal_default(t, sig, info);
        return false;
    }
    uint64_t restorer = a.flags & SA_RESTORER_FLAG ? a.restorer : t->p->vdso + *t->p->abi->vdso_sigreturn;
    AbiFrame f = {
        .sig = sig, .info = info, .handler = a.handler, .restorer = restorer,
        .mask = t->restore_mask ? t->saved_mask : t->mask, .alt_sp = t->alt_sp, .alt_size = t->alt_size,
        .alt_flags = alt_state(t, t->p->abi->get_stack(&t->cpu->h.ir)), .stack = frame_stack(t, &a), .fault = fault,
    };
    t->restore_mask = false;
    settle_call(t, &a);
    rseq_signal(t);
    t->cpu->signalling = true;
    bool pushed = t->p->abi->push_frame(t->cpu, &f);
    t->cpu->signalling = false;
    if (!pushed)
        return no_room(t, sig);
    if (t->alt_flags & ALT_AUTODISARM)
        t->alt_size = 0;
    t->mask |= a.mask | (a.flags & SA_NODEFER ? 0 : SIG_BIT(sig));
    if (t->cpu->step) /* before the handler's first instruction */
        ptrace_step(t);
    return true;
}

/* A thread's own fault cannot wait: blocked or ignored, it gets its default action, and is not blocked from then on. */
static void unblock_fault(UserThread *t, int sig)
{
    UserSigs *s = t->p->sigs;
    pthread_mutex_lock(&s->lock);
    if ((t->mask & SIG_BIT(sig)) || s->act[sig].handler == IGNORE_ACTION) {
        s->act[sig].handler = DEFAULT_ACTION;
        install(s, sig);
        t->mask &= ~SIG_BIT(sig);
    }
    pthread_mutex_unlock(&s->lock);
}

/* The frame did not fit: the thread has a segmentation fault instead, whose handler may have a stack of its own. */
static bool no_room(UserThread *t, int sig)
{
    const GuestFault f = { .sig = SIGSEGV, .code = SI_KERNEL };
    const siginfo_t info = { .si_signo = SIGSEGV, .si_code = SI_KERNEL };
    if (sig == SIGSEGV)
        signal_default(t, SIGSEGV, &info);
    unblock_fault(t, SIGSEGV);
    return deliver(t, &info, &f);
}

/* Take the first waiting signal that may be delivered. Every signal is blocked on the host. */
static bool take_pending(UserThread *t, siginfo_t *info)
{
    uint64_t ready = t->sync_pend & ~t->mask;
    if (ready) {
        int sig = __builtin_ctzll(ready) + 1;
        t->sync_pend &= ~SIG_BIT(sig);
        *info = t->sync_info[sync_index(sig)];
        return true;
    }
    if (t->npend == 0)
        return false;
    *info = t->pend[0];
    t->npend--;
    memmove(&t->pend[0], &t->pend[1], t->npend * sizeof t->pend[0]);
    return true;
}

/* Deliver everything that waits, then let the host's signals in again. Returns whether a handler was started. */
static bool deliver_all(UserThread *t)
{
    bool any = false;
    siginfo_t info;
    do {
        ptrace_boundary(t);
        while (take_pending(t, &info))
            if (!ptrace_on(t) || ptrace_signal(t, &info))
                any |= deliver(t, &info, NULL);
        t->stop = 0;
        if (t->restore_mask && !any) {
            t->mask = t->saved_mask;
            t->restore_mask = false;
        }
        signal_unblock(t); /* a further signal may come at once: its frame goes on top, as the kernel does it */
    } while (t->npend != 0 || ptrace_pending(t));
    return any;
}

bool signal_pending(Vcpu *cpu)
{
    UserThread *t = user_thread(cpu);
    if (t->stop || t->npend != 0 || (t->sync_pend & ~t->mask) || ptrace_pending(t)) {
        signal_block_all();
        deliver_all(t);
    }
    return true;
}

bool signal_fault(Vcpu *cpu, const GuestFault *f)
{
    UserThread *t = user_thread(cpu);
    siginfo_t info;
    memset(&info, 0, sizeof info);
    info.si_signo = f->sig;
    info.si_code = f->code;
    info.si_addr = (void *)(uintptr_t)f->addr;
    signal_block_all();
    unblock_fault(t, f->sig);
    if (!ptrace_on(t))
        deliver(t, &info, f);
    else if (ptrace_signal(t, &info))
        deliver(t, &info, info.si_signo == f->sig ? f : NULL);
    signal_unblock(t);
    return true;
}

void signal_force(UserThread *t, const siginfo_t *info)
{
    const GuestFault cause = { .sig = info->si_signo, .code = info->si_code };
    siginfo_t may_change = *info;
    signal_block_all();
    unblock_fault(t, info->si_signo);
    if (!ptrace_on(t) || ptrace_signal(t, &may_change))
        deliver(t, &may_change, may_change.si_signo == cause.sig ? &cause : NULL);
    signal_unblock(t);
}

bool signal_after_call(UserThread *t, int64_t ret)
{
    IrCpu *ir = &t->cpu->h.ir;
    signal_block_all();
    t->restart = 0;
    if (ret < -4095 && ret != SYS_NORETURN) {
        ir->pc -= t->p->abi->insn_size;
        t->restart = ret;
        t->restart_pc = ir->pc;
    } else if (ret != SYS_NORETURN) {
        t->p->abi->set_result(ir, (uint64_t)ret);
    }
    deliver_all(t);
    if (t->restart == SYS_RESTART_BLOCK && ir->pc == t->restart_pc)
        t->p->abi->set_restart(ir);
    t->restart = 0;
    return true;
}

/* --- masks ------------------------------------------------------------------------------------------------------------ */

/* Whether a waiting signal would be blocked by `mask`. */
static bool blocks_waiting(const UserThread *t, uint64_t mask)
{
    for (uint32_t i = 0; i < t->npend; i++)
        if (mask & SIG_BIT(t->pend[i].si_signo))
            return true;
    return false;
}

int64_t signal_set_mask(UserThread *t, uint64_t mask)
{
    mask &= ~NEVER_BLOCKED;
    if (signal_host_set(mask) != signal_host_set(t->mask))
        kernel_mask(SIG_SETMASK, signal_host_set(mask), NULL);
    if (blocks_waiting(t, mask))
        return SYS_AGAIN;
    t->mask = mask;
    if (t->sync_pend & ~mask)
        t->stop = 1;
    return 0;
}

int64_t signal_wait_masked(UserThread *t, const SysCall *c, const uint64_t arg[6], uint64_t mask)
{
    mask &= ~NEVER_BLOCKED;
    signal_block_all();
    if (t->npend != 0) /* it came before the call */
        return SYS_AGAIN;
    t->saved_mask = t->mask;
    t->mask = mask;
    if (t->sync_pend & ~mask) {
        t->restore_mask = true;
        t->stop = 1;
        return SYS_RESTART_NOHAND;
    }
    int64_t ret = host_block(t, c, arg);
    if (t->npend != 0 && (ret == -EINTR || ret == SYS_RESTART)) {
        t->restore_mask = true; /* the handler's frame shows the old mask */
        return SYS_RESTART_NOHAND;
    }
    t->mask = t->saved_mask;
    signal_unblock(t);
    return ret == -EINTR || ret == SYS_RESTART ? SYS_AGAIN : ret;
}

int64_t sys_rt_sigprocmask(UserThread *t, SysCall *c)
{
    uint64_t set = 0, old = t->mask, mask = old;
    if (c->arg[3] != 8)
        return -EINVAL;
    if (c->arg[1]) {
        if (!guest_read(t->cpu, &set, c->arg[1], 8))
            return -EFAULT;
        switch ((int)c->arg[0]) {
        case SIG_BLOCK: mask |= set; break;
        case SIG_UNBLOCK: mask &= ~set; break;
        case SIG_SETMASK: mask = set; break;
        default: return -EINVAL;
        }
        int64_t err = signal_set_mask(t, mask);
        if (err)
            return err;
    }
    return c->arg[2] && !guest_write(t->cpu, c->arg[2], &old, 8) ? -EFAULT : 0;
}

int64_t sys_rt_sigpending(UserThread *t, SysCall *c)
{
    uint64_t set = 0;
    if (c->arg[1] > 8)
        return -EINVAL;
    const uint64_t arg[6] = { (uint64_t)(uintptr_t)&set, 8 };
    int64_t err = host_call_out(t, SYS_rt_sigpending, arg, &set, sizeof set);
    if (err < 0)
        return err;
    set |= t->sync_pend;
    return guest_write(t->cpu, c->arg[0], &set, c->arg[1]) ? 0 : -EFAULT;
}

int64_t sys_rt_sigsuspend(UserThread *t, SysCall *c)
{
    uint64_t set;
    if (c->arg[1] != 8)
        return -EINVAL;
    if (!guest_read(t->cpu, &set, c->arg[0], 8))
        return -EFAULT;
    uint64_t host = signal_host_set(set);
    const uint64_t arg[6] = { (uint64_t)(uintptr_t)&host, 8 };
    return signal_wait_masked(t, c, arg, set);
}

int64_t sys_rt_sigtimedwait(UserThread *t, SysCall *c)
{
    uint64_t set;
    if (c->arg[3] != 8)
        return -EINVAL;
    if (!guest_read(t->cpu, &set, c->arg[0], 8))
        return -EFAULT;
    uint64_t ready = t->sync_pend & set;
    if (ready) {
        int sig = __builtin_ctzll(ready) + 1;
        t->sync_pend &= ~SIG_BIT(sig);
        if (c->arg[1] && !guest_write(t->cpu, c->arg[1], &t->sync_info[sync_index(sig)], sizeof(siginfo_t)))
            return -EFAULT;
        return sig;
    }
    set = signal_host_set(set);
    const uint64_t arg[6] = { (uint64_t)(uintptr_t)&set, c->arg[1], c->arg[2], 8 };
    return host_block(t, c, arg);
}

int64_t sys_rt_sigreturn(UserThread *t, SysCall *c)
{
    AbiReturn r;
    t->cpu->signalling = true;
    bool popped = t->p->abi->pop_frame(t->cpu, &r);
    t->cpu->signalling = false;
    if (!popped) {
        const GuestFault f = { .sig = SIGSEGV, .code = SEGV_ACCERR, .addr = t->p->abi->get_stack(&t->cpu->h.ir) };
        signal_fault(t->cpu, &f);
        return SYS_NORETURN;
    }
    if (t->alt_flags & ALT_AUTODISARM) { /* the frame holds the stack that the handler's entry took away */
        t->alt_sp = r.alt_sp;
        t->alt_size = r.alt_flags & ALT_DISABLE ? 0 : r.alt_size;
    }
    t->again.fn = NULL;
    t->mask = r.mask & ~NEVER_BLOCKED; /* in force once signal_after_call has run */
    return SYS_NORETURN;
}

int64_t sys_sigaltstack(UserThread *t, SysCall *c)
{
    struct {
        uint64_t sp;
        uint32_t flags, pad;
        uint64_t size;
    } new, old = { t->alt_sp, 0, 0, t->alt_size };
    uint64_t sp = t->p->abi->get_stack(&t->cpu->h.ir);
    old.flags = alt_state(t, sp);
    if (c->arg[0]) {
        if (!guest_read(t->cpu, &new, c->arg[0], sizeof new))
            return -EFAULT;
        if (old.flags & SS_ONSTACK)
            return -EPERM;
        uint32_t mode = new.flags & ~ALT_AUTODISARM;
        if (mode != 0 && mode != SS_ONSTACK && mode != ALT_DISABLE)
            return -EINVAL;
        bool same = new.sp == t->alt_sp && new.size == t->alt_size && new.flags == t->alt_flags;
        if (!same && mode != ALT_DISABLE && new.size < t->p->abi->min_sigstack)
            return -ENOMEM;
        t->alt_sp = mode == ALT_DISABLE ? 0 : new.sp;
        t->alt_size = mode == ALT_DISABLE ? 0 : new.size;
        t->alt_flags = new.flags & ALT_AUTODISARM;
    }
    return c->arg[1] && !guest_write(t->cpu, c->arg[1], &old, sizeof old) ? -EFAULT : 0;
}

/* --- threads, exec ---------------------------------------------------------------------------------------------------- */

void signal_thread_start(UserThread *t)
{
    stack_t have;
    if (sigaltstack(NULL, &have) == 0 && (have.ss_flags & SS_DISABLE)) {
        stack_t s = { .ss_size = ALT_STACK };
        s.ss_sp = mmap(NULL, ALT_STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(s.ss_sp != MAP_FAILED);
        t->host_alt = s.ss_sp;
        sigaltstack(&s, NULL);
    }
    signal_unblock(t);
}

void signal_thread_end(UserThread *t)
{
    if (!t->host_alt)
        return;
    stack_t off = { .ss_flags = SS_DISABLE };
    sigaltstack(&off, NULL);
    munmap(t->host_alt, ALT_STACK);
    t->host_alt = NULL;
}

static void restore_faults(UserThread *t, KernelSigAction saved[USER_NSIG + 1], bool undo)
{
    for (int sig = 1; sig <= USER_NSIG; sig++) {
        if (!(SYNC_SIGNALS & SIG_BIT(sig)))
            continue;
        KernelSigAction ignore = { .handler = IGNORE_ACTION };
        if (undo)
            kernel_sigaction(sig, &saved[sig], NULL);
        else if (t->p->sigs->act[sig].handler == IGNORE_ACTION)
            kernel_sigaction(sig, &ignore, NULL);
    }
}

int64_t signal_exec(UserThread *t, const uint64_t arg[6], long nr)
{
    KernelSigAction saved[USER_NSIG + 1];
    for (int sig = 1; sig <= USER_NSIG; sig++)
        kernel_sigaction(sig, NULL, &saved[sig]);
    restore_faults(t, saved, false);
    kernel_mask(SIG_SETMASK, t->mask & ~NEVER_BLOCKED, NULL);
    int64_t err = t->p->nondet->ops->syscall(t->p->nondet, t->tid, NULL, nr, arg, NULL, 0);
    restore_faults(t, saved, true);
    signal_unblock(t);
    return err;
}
