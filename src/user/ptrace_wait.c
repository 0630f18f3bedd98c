/* wait4 and waitid: of the host's stops of a tracee, those that the guest may see. */
#include "user/ptrace.h"

#include "user/signal.h"

#include <errno.h>
#include <linux/ptrace.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define FAULTS (SIG_BIT(SIGSEGV) | SIG_BIT(SIGBUS) | SIG_BIT(SIGFPE) | SIG_BIT(SIGILL) | SIG_BIT(SIGTRAP) | SIG_BIT(SIGSYS))
#define STOPS (SIG_BIT(SIGSTOP) | SIG_BIT(SIGTSTP) | SIG_BIT(SIGTTIN) | SIG_BIT(SIGTTOU))

#define WAITID_BYTES 28 /* of a siginfo: the kernel writes up to si_status and no further */

/* --- stops on the host ----------------------------------------------------------------------------------------------- */

/* Go on; the guest has not seen it. */
static bool hide(UserThread *t, const Tracee *w, int sig)
{
    host_ptrace(t, PTRACE_CONT, w->tid, 0, (uint64_t)sig);
    return false;
}

/* Put a signal into the thread's ring, and give it the SIGTRAP that makes it look there instead. */
static bool give_note(UserThread *t, const Tracee *w, PtraceBlock *b, const siginfo_t *info)
{
    siginfo_t trap = { .si_signo = SIGTRAP, .si_code = PTRACE_CODE_NOTE };
    if (info && b->tail - b->head < PTRACE_RING) {
        tracee_put(t, w, offsetof(PtraceBlock, ring) + b->tail % PTRACE_RING * sizeof *info, info, sizeof *info);
        b->tail++;
        TRACEE_PUT(t, w, tail, b->tail);
    }
    host_ptrace(t, PTRACE_SETSIGINFO, w->tid, 0, (uintptr_t)&trap);
    return hide(t, w, SIGTRAP);
}

/*
 * A child that the kernel has attached: its first stop is on its way to its first instruction, before it has a block. It
 * goes on until it stops itself, without the tracer having to wait for it: its parent may be waiting for it to be born.
 */
static void begin_child(UserThread *t, int tid)
{
    int status;
    Tracee *w = tid > 0 ? tracee_find(t, tid, true) : NULL;
    if (!w || w->begun)
        return;
    w->begun = true;
    if (HOST4(t, SYS_wait4, tid, (uintptr_t)&status, __WALL, 0) == tid && WIFSTOPPED(status))
        hide(t, w, 0);
}

/* No guest program, or not yet one: between execve and its first instruction, or before a thread's. */
static bool hide_early(UserThread *t, Tracee *w, uint32_t status)
{
    int sig = (int)(status >> 8 & 0xff);
    unsigned event = status >> 16;
    siginfo_t info;
    if (event == PTRACE_EVENT_EXIT && w->shown)
        return true;
    if (event == PTRACE_EVENT_EXEC)
        w->table = 0;
    bool first = !w->begun;
    w->begun = true;
    if (event || sig == SIGTRAP || (first && sig == SIGSTOP))
        return hide(t, w, 0);
    if (!(STOPS & SIG_BIT(sig)))
        return hide(t, w, sig);
    if (host_ptrace(t, PTRACE_GETSIGINFO, w->tid, 0, (uintptr_t)&info) == 0)
        w->held = info; /* it would stop where nobody sees it */
    return hide(t, w, 0);
}

/* The host has a signal for the thread. */
static bool on_signal(UserThread *t, Tracee *w, PtraceBlock *b, const siginfo_t *info, uint32_t *status)
{
    int sig = info->si_signo;
    if (sig == SIGTRAP && info->si_code == PTRACE_CODE_STOP) {
        if (!b->stop)
            return hide(t, w, 0);
        if (w->held.si_signo) { /* at last it can be told */
            siginfo_t held = w->held;
            w->held.si_signo = 0;
            tracee_put(t, w, offsetof(PtraceBlock, ring) + b->tail % PTRACE_RING * sizeof held, &held, sizeof held);
            TRACEE_PUT(t, w, tail, b->tail + 1);
        }
        *status = b->status;
        return true;
    }
    if ((FAULTS & SIG_BIT(sig)) && info->si_code > 0)
        return hide(t, w, sig);
    if (sig == SIGTRAP && info->si_code == PTRACE_CODE_NOTE) /* it was blocked when it was given: by libc, for a moment */
        return hide(t, w, sig);
    if (b->raising == (uint32_t)sig)
        return hide(t, w, sig);
    if (sig == SIGTRAP && b->want && info->si_code == SI_TKILL)
        return give_note(t, w, b, NULL);
    return give_note(t, w, b, info);
}

bool tracee_translate(UserThread *t, int tid, uint32_t *status)
{
    PtraceBlock b;
    siginfo_t info;
    uint64_t msg = 0;
    uint32_t stopped = *status;
    unsigned event = stopped >> 16;
    int64_t err = host_ptrace(t, PTRACE_GETSIGINFO, tid, 0, (uintptr_t)&info);
    if (err && err != -EINVAL)
        return true; /* nothing that this thread traces */
    Tracee *w = tracee_find(t, tid, true);
    w->group = 0;
    if (!tracee_block(t, w, &b))
        return hide_early(t, w, stopped);
    w->begun = true;
    switch (event) {
    case 0:
        if (err == 0)
            return on_signal(t, w, &b, &info, status);
        w->group = stopped;
        return true;
    case PTRACE_EVENT_FORK:
    case PTRACE_EVENT_CLONE:
        host_ptrace(t, PTRACE_GETEVENTMSG, tid, 0, (uintptr_t)&msg);
        hide(t, w, 0); /* the thread makes this stop itself, when it holds no lock */
        begin_child(t, (int)msg);
        return false;
    case PTRACE_EVENT_VFORK:
        host_ptrace(t, PTRACE_GETEVENTMSG, tid, 0, (uintptr_t)&msg);
        begin_child(t, (int)msg);
        return true;
    case PTRACE_EVENT_VFORK_DONE:
        return true;
    case PTRACE_EVENT_EXIT:
        return b.exiting ? hide(t, w, 0) : true;
    case PTRACE_EVENT_STOP:
        if ((stopped >> 8 & 0xff) == SIGTRAP) {
            tracee_settle(t, w, stopped);
            return false;
        }
        w->group = stopped;
        return true;
    default:
        return hide(t, w, 0);
    }
}

/* --- the calls ------------------------------------------------------------------------------------------------------- */

/* A child has ended: what was known of it is known of nobody. */
static void note_end(UserThread *t, int tid)
{
    if (t->p->tracees)
        tracee_forget(t, tid);
}

/*
 * The host's call, argument `options` of which has W*. A signal that came before it was begun finds the guest waiting, as
 * far as that can tell: the call is interrupted when no child has anything to say.
 */
static int64_t wait_host(UserThread *t, SysCall *c, const uint64_t arg[6], unsigned options, void *out, size_t size, const pid_t *found)
{
    int64_t ret = host_block(t, c, arg);
    if (ret != SYS_AGAIN || t->npend == 0)
        return ret;
    uint64_t now[6];
    memcpy(now, arg, sizeof now);
    now[options] |= WNOHANG;
    ret = host_call_out(t, c->d->host, now, out, size);
    return ret == 0 && (!found || *found == 0) && !(arg[options] & WNOHANG) ? SYS_RESTART : ret;
}

int64_t sys_wait4(UserThread *t, SysCall *c)
{
    for (;;) {
        int status = 0;
        const uint64_t arg[6] = { c->arg[0], (uintptr_t)&status, c->arg[2], c->arg[3] };
        int64_t tid = wait_host(t, c, arg, 2, &status, sizeof status, NULL);
        if (tid <= 0)
            return tid;
        uint32_t shown = (uint32_t)status;
        if (!WIFSTOPPED(status) && !WIFCONTINUED(status))
            note_end(t, (int)tid);
        else if (WIFSTOPPED(status) && !tracee_translate(t, (int)tid, &shown))
            continue;
        return !c->arg[1] || guest_write(t->cpu, c->arg[1], &shown, sizeof shown) ? tid : -EFAULT;
    }
}

int64_t sys_waitid(UserThread *t, SysCall *c)
{
    for (;;) {
        siginfo_t info;
        memset(&info, 0, sizeof info);
        const uint64_t arg[6] = { c->arg[0], c->arg[1], (uintptr_t)&info, c->arg[3], c->arg[4] };
        int64_t err = wait_host(t, c, arg, 3, &info, sizeof info, &info.si_pid);
        if (err < 0 && err >= -4095 && c->arg[2] && !guest_write(t->cpu, c->arg[2], &info, WAITID_BYTES))
            return -EFAULT; /* what an error leaves there is zeros */
        if (err)
            return err;
        if (info.si_signo && info.si_code == CLD_TRAPPED) {
            uint32_t shown = (uint32_t)info.si_status << 8 | 0x7f;
            if (!tracee_translate(t, info.si_pid, &shown))
                continue;
            info.si_status = (int)(shown >> 8);
        } else if (info.si_signo && info.si_code <= CLD_DUMPED && !(c->arg[3] & WNOWAIT)) {
            note_end(t, info.si_pid);
        }
        return !c->arg[2] || guest_write(t->cpu, c->arg[2], &info, WAITID_BYTES) ? 0 : -EFAULT;
    }
}
