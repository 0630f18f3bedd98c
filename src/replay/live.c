/*
 * The live world: does what is asked, at once, and notes nothing.
 */
#include "replay/nondet.h"

#include <errno.h>
#include <sys/random.h>
#include <ucontext.h>

long live_call(const volatile uint32_t *stop, long nr, const uint64_t arg[6]);
extern const char live_call_begin[], live_call_insn[], live_call_end[], live_call_stop[];

static long live_syscall(Nondet *n, int tid, const volatile uint32_t *stop, long nr, const uint64_t arg[6],
                         const NondetOut *outs, unsigned nouts)
{
    static const uint32_t never = 0;
    return live_call(stop ? stop : &never, nr, arg);
}

static void live_interrupt(Nondet *n, void *ucv)
{
    ucontext_t *uc = ucv;
    greg_t *r = uc->uc_mcontext.gregs;
    uintptr_t pc = (uintptr_t)r[REG_RIP];
    if (pc < (uintptr_t)live_call_begin || pc > (uintptr_t)live_call_insn)
        return;
    if (pc == (uintptr_t)live_call_insn && r[REG_RCX] != 0) {
        r[REG_RAX] = NONDET_RESTART;
        r[REG_RIP] = (greg_t)(uintptr_t)live_call_end;
    } else {
        r[REG_RIP] = (greg_t)(uintptr_t)live_call_stop;
    }
}

static int64_t live_clock(Nondet *n, int tid, clockid_t id)
{
    struct timespec ts;
    if (clock_gettime(id, &ts) != 0)
        return NONDET_NO_CLOCK;
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static uint64_t live_counter(Nondet *n, int tid, uint64_t frequency)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)(((unsigned __int128)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec) * frequency / 1000000000u);
}

static void live_random(Nondet *n, int tid, void *buf, size_t len)
{
    char *p = buf;
    while (len > 0) {
        ssize_t got = getrandom(p, len, 0);
        if (got < 0 && errno != EINTR)
            return;
        if (got > 0) {
            p += got;
            len -= (size_t)got;
        }
    }
}

static void live_signal(Nondet *n, int tid, const siginfo_t *info)
{
}

Nondet *nondet_live(void)
{
    static const NondetOps ops = {
        .syscall = live_syscall, .interrupt = live_interrupt, .clock = live_clock, .counter = live_counter,
        .random = live_random, .signal = live_signal,
    };
    static Nondet live = { &ops };
    return &live;
}
