/*
 * The guest's time. Every clock that a guest can read comes from here: system calls, the vDSO, counters. The sources are
 * one table each; `host` shows the host's own clocks, through the door.
 */
#ifndef CLOCK_CLOCK_H
#define CLOCK_CLOCK_H

#include "replay/nondet.h"

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

typedef struct Clock Clock;

typedef struct ClockSource {
    const char *name;
    /* Clock `id` in nanoseconds for guest thread `tid`; false when there is no such clock. */
    bool (*get)(Clock *c, int tid, clockid_t id, int64_t *ns);
    /* The architecture's counter, in ticks of `frequency` a second. */
    uint64_t (*counter)(Clock *c, int tid, uint64_t frequency);
} ClockSource;

struct Clock {
    const ClockSource *source;
    Nondet *nondet;
};

/* The host's clocks as they are. */
void clock_init_host(Clock *c, Nondet *n);

static inline bool clock_now(Clock *c, int tid, clockid_t id, int64_t *ns)
{
    return c->source->get(c, tid, id, ns);
}

static inline uint64_t clock_counter(Clock *c, int tid, uint64_t frequency)
{
    return c->source->counter(c, tid, frequency);
}

#endif
