/*
 * The one door. Everything that a guest cannot compute from its own state comes through here: system calls, time,
 * counters, random numbers, signals, and the order in which threads run. Live mode just does it; recording and replay are
 * other implementations of the same table. Nothing else in the tree asks which one is in use, and nothing else calls
 * the host on the guest's behalf.
 */
#ifndef REPLAY_NONDET_H
#define REPLAY_NONDET_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

typedef struct Nondet Nondet;

/* A piece of guest memory that a host call filled in. */
typedef struct NondetOut {
    void *host;      /* where it was written (host address; guest memory or a conversion buffer) */
    size_t size;
} NondetOut;

typedef struct NondetOps {
    /*
     * Make host system call `nr` with raw arguments for guest thread `tid`.
     *   outs, nouts  buffers that the call may write, so that they can be saved; sizes are maxima
     * Returns the kernel's value (-errno on error).
     */
    long (*syscall)(Nondet *n, int tid, long nr, const uint64_t arg[6], const NondetOut *outs, unsigned nouts);
    /* Clock `id` (CLOCK_*), in nanoseconds. */
    int64_t (*clock)(Nondet *n, int tid, clockid_t id);
    /* The guest's counter (CNTVCT_EL0, time CSR), in ticks of its frequency. */
    uint64_t (*counter)(Nondet *n, int tid, uint64_t frequency);
    /* Random bytes. */
    void (*random)(Nondet *n, int tid, void *buf, size_t len);
    /* An asynchronous signal is about to be delivered to the guest at this point. */
    void (*signal)(Nondet *n, int tid, const siginfo_t *info);
} NondetOps;

struct Nondet {
    const NondetOps *ops;
};

/* The live implementation: does it, notes nothing. Static; never freed. */
Nondet *nondet_live(void);

#endif
