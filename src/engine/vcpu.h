/*
 * One guest processor: in user mode, one guest thread. Owned by the host thread that runs it; other threads may only set
 * h.exit_request (engine_kick).
 */
#ifndef ENGINE_VCPU_H
#define ENGINE_VCPU_H

#include "base/restart.h"
#include "engine/env.h"
#include "guest/guest.h"
#include "host/host.h"

#include <pthread.h>
#include <stdatomic.h>

typedef struct Engine Engine;
typedef struct Trail Trail;
typedef struct Watch Watch;

#define SECTIONS_FOUND 8 /* in one translation; the others at the next one */
#define VCPU_CODE_CALL ((void *)1) /* Vcpu.escape: behind the call in translated code (Host.abandon) */

struct Vcpu {
    HostCpu h;                 /* first: translated code and helpers know only this part */
    Engine *e;
    void *env;                 /* the environment's own per-thread structure */
    GuestFault fault;          /* valid after IR_STOP_FAULT */
    pthread_t thread;
    int tid;                   /* kernel id of that thread */
    atomic_bool blocked;       /* between engine_block_begin and engine_block_end */
    atomic_bool writing;       /* writes to the code cache: a fork waits for it (engine/fork.c) */
    bool drop_returns;         /* killed a translation itself */
    bool step;                 /* one instruction at a time, EnvOps.stepped after each */
    Trail *trail;              /* being noted (engine/trail.c); NULL: none is */
    Watch *watch;              /* of returns (engine/returns.c); NULL: none is kept */
    uint32_t unpaired_period;  /* what h.unpaired_left was set to ... */
    uint64_t unpaired_ns;      /* and when, by the time of the thread */
    uint64_t watch_ns;         /* not before is another watch kept */
    bool stepping;             /* in one; cleared by the environment when what is done after it is done already */
    struct {                   /* a translation to be made anew, carefully: its operations trapped too often */
        uint64_t pc;
        const void *hpc;       /* or the one whose code is here, in an image of the persistent cache */
        uint32_t mode;
        unsigned forms;        /* LIFT_CAREFUL_*; 0: none */
    } redo;
    uint8_t kept_traps[64];    /* as Translation.fp_traps, of code of the persistent cache, by address */
    uint32_t mode_seen;        /* mode that the jump cache and return stack are of */
    uint64_t flush_seen;       /* kills after which they were last emptied */
    uint64_t replaced_seen;    /* Engine.replaced_seq, as far as it was looked at */
    _Atomic uint64_t epoch;    /* see engine/grace.c; 0: not attached to a thread */
    uint64_t block_epoch;      /* what it was at the last engine_block_begin */
    Arena arena;               /* translation scratch */
    Arena interp_arena;        /* interpreter scratch */
    struct CacheRegion *region; /* where this thread emits */
    struct Lockstep *lockstep; /* --check */
    struct {                   /* section.c; `word` and `by` are the environment's */
        uint64_t *word;        /* cleared by the kernel when the thread is preempted; NULL: it has none */
        const Restart *by;
        bool inside;           /* the interpreter runs code of a section, in which the word was set */
        bool waits;            /* the same, but it was not yet */
        bool cleared;          /* it left one because the word was cleared */
        const EnvSection *armed; /* the word was set in this section since it was begun */
        const EnvSection *disarmed; /* and cleared in it by the guest itself */
        const EnvSection *empty; /* one that was begun without, and how often in a row */
        unsigned entries;
    } section;
    EnvSection found[SECTIONS_FOUND]; /* whose translations are to go */
    unsigned nfound;
    void *tool;                /* the tools' own structure for this thread; NULL: it has not started, or is over */
    bool unseen;               /* accesses to guest memory now are nobody's business */
    bool signalling;           /* they are of a signal's frame */
    void *escape;              /* where to go when a tool crashes that is being called: of __builtin_setjmp, or VCPU_CODE_CALL */
    void *altstack, *shadow;   /* host signal stack; return stack with its guard pages */
    Vcpu *next, *prev;         /* engine's list of vcpus */
    struct {
        uint64_t pc, ns;       /* guest pc, and time of the thread */
    } hot[1 << HOST_HOT_BITS]; /* by counter (HostCpu.counter): when it came to zero last */
    struct VcpuStats {
        uint64_t translations, guest_insns, host_bytes, translate_ns, lookups, links, faults, fp_traps, interp_regions, discarded;
        uint64_t unpaired, watches; /* returns.c */
        uint64_t counters, hot, graphs, graph_insns, graph_bytes, graph_ns; /* tier 2 */
    } stats;
};

static inline Vcpu *vcpu_of(IrCpu *cpu)
{
    return (Vcpu *)cpu;
}

#endif
