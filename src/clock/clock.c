/* The host source: see clock.h. */
#include "clock/clock.h"

static bool host_get(Clock *c, int tid, clockid_t id, int64_t *ns)
{
    *ns = c->nondet->ops->clock(c->nondet, tid, id);
    return *ns != NONDET_NO_CLOCK;
}

static uint64_t host_counter(Clock *c, int tid, uint64_t frequency)
{
    return c->nondet->ops->counter(c->nondet, tid, frequency);
}

void clock_init_host(Clock *c, Nondet *n)
{
    static const ClockSource host = { "host", host_get, host_counter };
    c->source = &host;
    c->nondet = n;
}
