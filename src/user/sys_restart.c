/*
 * Calls that wait for a time relative to now. When a signal interrupts one and no handler runs (a tracer took it, the
 * process was stopped), it goes on as restart_syscall with what is left of its time, as the kernel does it.
 */
#include "user/process.h"
#include "user/ptrace.h"
#include "user/signal.h"

#include <errno.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#define NS_PER_S 1000000000

/* Absolute time of `clock` after `rel` from now. */
static int64_t deadline_of(UserThread *t, uint64_t clock, const struct timespec *rel, struct timespec *out)
{
    struct timespec now;
    if (rel->tv_sec < 0 || rel->tv_nsec < 0 || rel->tv_nsec >= NS_PER_S)
        return -EINVAL;
    const uint64_t arg[6] = { clock, (uintptr_t)&now };
    int64_t err = host_call_out(t, SYS_clock_gettime, arg, &now, sizeof now);
    if (err)
        return err;
    out->tv_nsec = now.tv_nsec + rel->tv_nsec;
    int64_t carry = out->tv_nsec >= NS_PER_S;
    out->tv_nsec -= carry * NS_PER_S;
    if (__builtin_add_overflow(now.tv_sec, rel->tv_sec, &out->tv_sec) || out->tv_sec == INT64_MAX)
        out->tv_sec = INT64_MAX - 1; /* for ever */
    out->tv_sec += carry;
    return 0;
}

static bool interrupted(int64_t ret)
{
    return ret == -EINTR || ret == SYS_RESTART;
}

/* --- sleeping -------------------------------------------------------------------------------------------------------- */

static void put_left(UserThread *t, const UserRestart *r)
{
    struct timespec now, left;
    const uint64_t arg[6] = { r->arg[0], (uintptr_t)&now };
    if (!r->arg[1] || host_call_out(t, SYS_clock_gettime, arg, &now, sizeof now))
        return;
    left.tv_sec = r->deadline.tv_sec - now.tv_sec;
    left.tv_nsec = r->deadline.tv_nsec - now.tv_nsec;
    if (left.tv_nsec < 0) {
        left.tv_sec--;
        left.tv_nsec += NS_PER_S;
    }
    if (left.tv_sec < 0)
        left = (struct timespec){ 0, 0 };
    guest_write(t->cpu, r->arg[1], &left, sizeof left);
}

/* arg: clock, where the time that is left goes. */
static int64_t sleep_on(UserThread *t, UserRestart *r)
{
    const uint64_t arg[6] = { r->arg[0], TIMER_ABSTIME, (uintptr_t)&r->deadline, 0 };
    int64_t ret = host_block_nr(t, SYS_clock_nanosleep, arg);
    bool begun = ret != SYS_AGAIN || t->npend != 0 || ptrace_on(t); /* as far as the guest, or its tracer, can tell */
    if (!begun || (!interrupted(ret) && ret != SYS_AGAIN))
        return ret;
    put_left(t, r);
    return SYS_RESTART_BLOCK;
}

static int64_t sleep_for(UserThread *t, uint64_t clock, uint64_t req, uint64_t left)
{
    UserRestart *r = &t->again;
    struct timespec rel;
    if (!guest_read(t->cpu, &rel, req, sizeof rel))
        return -EFAULT;
    *r = (UserRestart){ .fn = sleep_on, .arg = { clock, left } };
    int64_t err = deadline_of(t, clock, &rel, &r->deadline);
    return err ? err : sleep_on(t, r);
}

int64_t sys_nanosleep(UserThread *t, SysCall *c)
{
    return sleep_for(t, CLOCK_MONOTONIC, c->arg[0], c->arg[1]);
}

int64_t sys_clock_nanosleep(UserThread *t, SysCall *c)
{
    uint64_t clock = (uint32_t)c->arg[0];
    if (c->arg[1] & TIMER_ABSTIME) {
        int64_t ret = host_block(t, c, c->arg);
        return interrupted(ret) ? SYS_RESTART_NOHAND : ret;
    }
    if (clock == CLOCK_THREAD_CPUTIME_ID)
        return host_block(t, c, c->arg); /* an error */
    /* Steps of the clock do not change a relative sleep. */
    return sleep_for(t, clock == CLOCK_REALTIME || clock == CLOCK_TAI ? CLOCK_MONOTONIC : clock, c->arg[2], c->arg[3]);
}

/* --- futexes --------------------------------------------------------------------------------------------------------- */

/* arg: address, operation, value. */
static int64_t futex_wait(UserThread *t, UserRestart *r)
{
    const uint64_t arg[6] = { r->arg[0], r->arg[1], r->arg[2], (uintptr_t)&r->deadline, 0, FUTEX_BITSET_MATCH_ANY };
    int64_t ret = host_block_nr(t, SYS_futex, arg);
    return interrupted(ret) ? SYS_RESTART_BLOCK : ret;
}

/* These go on after any handler, and never end with EINTR: kernel/futex/pi.c and requeue.c. */
static bool waits_for_pi(uint32_t cmd)
{
    return cmd == FUTEX_LOCK_PI || cmd == FUTEX_LOCK_PI2 || cmd == FUTEX_WAIT_REQUEUE_PI;
}

int64_t sys_futex(UserThread *t, SysCall *c)
{
    uint32_t op = (uint32_t)c->arg[1];
    struct timespec rel;
    UserRestart *r = &t->again;
    if ((op & ~(uint32_t)FUTEX_PRIVATE_FLAG) != FUTEX_WAIT || !c->arg[3]) {
        int64_t ret = host_block(t, c, c->arg);
        if (interrupted(ret) && waits_for_pi(op & FUTEX_CMD_MASK))
            return SYS_AGAIN;
        return ret == -EINTR && c->arg[3] && (op & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET ? SYS_RESTART_NOHAND : ret;
    }
    if (!guest_read(t->cpu, &rel, c->arg[3], sizeof rel))
        return -EFAULT;
    /* FUTEX_WAIT with its time made absolute: FUTEX_WAIT_BITSET, woken by any bit */
    *r = (UserRestart){ .fn = futex_wait, .arg = { c->arg[0], FUTEX_WAIT_BITSET | (op & FUTEX_PRIVATE_FLAG), c->arg[2] } };
    int64_t err = deadline_of(t, CLOCK_MONOTONIC, &rel, &r->deadline);
    return err ? err : futex_wait(t, r);
}

int64_t sys_restart_syscall(UserThread *t, SysCall *c)
{
    UserRestart *r = &t->again;
    int64_t ret = r->fn ? r->fn(t, r) : -EINTR;
    return ret == SYS_AGAIN ? SYS_RESTART_BLOCK : ret; /* a handler that ran now would end it */
}
