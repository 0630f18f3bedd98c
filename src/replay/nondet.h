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
     *   stop         NULL: runs to its end. Else when *stop is not 0 by the time the host would be entered, the call is not
     *                made (NONDET_NOT_BEGUN); a signal handler that sets it must also call `interrupt`
     *   outs, nouts  buffers that the call may write, so that they can be saved; sizes are maxima
     * Returns the kernel's value (-errno on error), or NONDET_NOT_BEGUN or NONDET_RESTART.
     */
    long (*syscall)(Nondet *n, int tid, const volatile uint32_t *stop, long nr, const uint64_t arg[6],
                    const NondetOut *outs, unsigned nouts);
    /*
     * In a signal handler that has set *stop: if the interrupted context `uc` is in `syscall` but the host has not been
     * entered, or the kernel would restart the call by itself, make `syscall` return instead.
     */
    void (*interrupt)(Nondet *n, void *uc);
    /* Clock `id` (CLOCK_*), in nanoseconds; NONDET_NO_CLOCK when there is none. */
    int64_t (*clock)(Nondet *n, int tid, clockid_t id);
    /* The guest's counter (CNTVCT_EL0, time CSR), in ticks of its frequency. */
    uint64_t (*counter)(Nondet *n, int tid, uint64_t frequency);
    /* Random bytes. */
    void (*random)(Nondet *n, int tid, void *buf, size_t len);
    /* An asynchronous signal is about to be delivered to the guest at this point. */
    void (*signal)(Nondet *n, int tid, const siginfo_t *info);
} NondetOps;

#define NONDET_NO_CLOCK INT64_MIN

/* Results of an interrupted `syscall`, outside the kernel's range of errors. */
enum {
    NONDET_NOT_BEGUN = -5001, /* nothing has happened yet */
    NONDET_RESTART = -5000,   /* it was waiting, and is of the kind that SA_RESTART restarts */
};

struct Nondet {
    const NondetOps *ops;
};

/* The live implementation: does it, notes nothing. Static; never freed. */
Nondet *nondet_live(void);

#endif
