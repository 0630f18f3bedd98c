/*
 * Signals. The host's kernel does the queueing: the guest's mask is the host thread's mask, its dispositions are the host's
 * (a guest handler becomes ours), so that pending sets, signalfd, sigtimedwait, stop and continue, and death by a signal
 * are the kernel's own. What remains is to deliver at a safe point:
 *
 *   host signal -> on_signal (notes siginfo, blocks everything, kicks) -> signal_deliver (frame on the guest's stack)
 *
 * Exceptions: SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGTRAP are never blocked on the host, since translated code needs them;
 * the engine handles them, gives sent ones to signal_async, and the guest's blocking of them is done here.
 */
#ifndef USER_SIGNAL_H
#define USER_SIGNAL_H

#include "user/process.h"

/* The process's dispositions as inherited: call before engine_new, which changes those of faults. */
UserSigs *sigs_inherit(void);
UserSigs *sigs_copy(UserSigs *from);
/*
 * From here on signals reach the guest's threads. `tools`: there are such, and they hear of the end by any signal; `set` are
 * theirs (Tools.signals), whatever the guest does with them.
 */
void sigs_begin(UserSigs *s, bool tools, uint64_t set);
void sigs_free(UserSigs *s);
/* Handlers become the default action (CLONE_CLEAR_SIGHAND). */
void sigs_reset(UserSigs *s);

/* Start of a thread: its signal stack; the guest's mask takes effect on the host. */
void signal_thread_start(UserThread *t);
/* After a host thread was made: the C library may have taken a signal of the guest's for itself. Every signal must be blocked. */
void signal_keep_own(UserThread *t);
/* Block everything on the host; signals stay with the kernel. signal_unblock puts the guest's mask in force again. */
void signal_block_all(void);
void signal_unblock(UserThread *t);
/* The mask that this host thread has; used once, for a new process. */
uint64_t signal_host_mask(void);

/* EnvOps.pending: deliver what is there. EnvOps.fault. EnvOps.async_signal. */
bool signal_pending(Vcpu *cpu);
bool signal_fault(Vcpu *cpu, const GuestFault *f);
void signal_async(int sig, siginfo_t *info, void *uc);
/* Put a signal that a tracer held up where delivery finds it; false when there is no room now. */
bool signal_queue(UserThread *t, const siginfo_t *info);
/* Deliver a signal that the thread has brought about by what it did: neither blocking nor ignoring it helps. */
void signal_force(UserThread *t, const siginfo_t *info);

/*
 * After a system call returned `ret` (perhaps SYS_AGAIN or SYS_RESTART) with signals waiting: set the guest's result or back up
 * to make the call again, then deliver. False when the thread must end.
 */
bool signal_after_call(UserThread *t, int64_t ret);

/*
 * Change the guest's mask. Returns 0, or SYS_AGAIN when a signal that the new mask blocks came first.
 */
int64_t signal_set_mask(UserThread *t, uint64_t mask);
/* Make the call of `c`, with the host's arguments `arg` (its mask in them), wait under `mask`: sigsuspend, ppoll ... */
int64_t signal_wait_masked(UserThread *t, const SysCall *c, const uint64_t arg[6], uint64_t mask);
/* A mask as the host may have it: without the signals of faults. */
uint64_t signal_host_set(uint64_t mask);

/* Die by `sig`, or stop, as its default action says. Returns only for a stop. `info`: for a core file; may be NULL. */
void signal_default(UserThread *t, int sig, const siginfo_t *info);
/* Make host call `nr`, an execve, under the guest's exact mask and ignored signals. Returns only when it fails. */
int64_t signal_exec(UserThread *t, const uint64_t arg[6], long nr);
/* End of a thread: its signal stack. Every signal must be blocked. */
void signal_thread_end(UserThread *t);

#define SIG_BIT(sig) (UINT64_C(1) << ((sig) - 1))

#endif
