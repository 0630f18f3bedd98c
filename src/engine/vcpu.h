/*
 * One guest processor: in user mode, one guest thread. Owned by the host thread that runs it; other threads may only set
 * h.exit_request (engine_kick).
 */
#ifndef ENGINE_VCPU_H
#define ENGINE_VCPU_H

#include "engine/env.h"
#include "guest/guest.h"
#include "host/host.h"

#include <pthread.h>

typedef struct Engine Engine;

struct Vcpu {
    HostCpu h;                 /* first: translated code and helpers know only this part */
    Engine *e;
    void *env;                 /* the environment's own per-thread structure */
    GuestFault fault;          /* valid after IR_STOP_FAULT */
    pthread_t thread;
    Arena arena;               /* translation scratch */
    struct CacheRegion *region; /* where this thread emits */
    uint64_t epoch;            /* invalidations this thread has seen */
    Vcpu *next, *prev;         /* engine's list of vcpus */
    struct VcpuStats {
        uint64_t translations, guest_insns, host_bytes, translate_ns, lookups, links, faults, interp_regions;
    } stats;
};

static inline Vcpu *vcpu_of(IrCpu *cpu)
{
    return (Vcpu *)cpu;
}

#endif
