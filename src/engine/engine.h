/*
 * The engine: translates guest code, keeps translations, runs them. One Engine a process; one Vcpu a guest thread.
 * Start reading at engine/translate.c.
 */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include "engine/env.h"
#include "engine/perf.h"
#include "engine/promote.h"
#include "engine/vcpu.h"

/* Times that code runs before it is translated again: see docs/tier2.md, "The threshold". */
#define TIER2_DEFAULT 5000
#define TIER2_WITHIN_NS 5000000

typedef enum EngineKind { ENGINE_JIT, ENGINE_INTERP } EngineKind;

typedef struct EngineConfig {
    const Guest *guest;
    const void *features;      /* from guest->cpu_new */
    const EnvOps *env;
    EngineKind kind;
    bool check;                /* --check: both engines in lock step */
    bool one_insn;             /* one guest instruction a region */
    bool no_chain;
    bool ret_predict;
    bool count;                /* count executions, for engine_stats to show the hottest code (hot.c) */
    bool timing;               /* measure translation time for engine_stats */
    bool exact_flags;          /* never drop dead flags at exits */
    bool llsc_strict;          /* exclusive stores fail after plain stores of others too, whatever the value is */
    bool fp_exact;             /* every FP flag exact from the start, not from the guest's first look at them */
    size_t cache_bytes;        /* size of the code cache; 0: default */
    const char *host_cpu;      /* NULL: native */
    const char *opt;           /* "-gvn,-dce": passes to leave out */
    /* A host signal whose handler the environment has installed (doing nothing): engine_kick sends it to a thread between
     * engine_block_begin and engine_block_end. 0: none. */
    int kick_signal;
    const char *persist_dir;   /* directory of the persistent cache, absolute; NULL: none */
    uint64_t persist_limit;    /* bytes that it may take; 0: default */
    const char *cpu_list;      /* what `features` was made from: part of what translations depend on */
    uint64_t tier2_within;     /* ns of the thread within which it must have run that often again; 0: any */
    uint32_t tier2;            /* times until code counts as hot; 0: tier 1 alone; 1: graphs at once, on the guest's thread */
    struct Tools *tools;       /* see engine/instrument.h; NULL: none */
    PromoteConfig promote;     /* of indirect branches; slots and window may be PROMOTE_DEFAULT */
    HostHarden harden;
    bool count_branches;       /* promotion stubs count, for engine_branches */
    PerfKind perf;             /* files for Linux's perf */
    uint64_t jit_limit;        /* translate only this many regions, interpret the rest; UINT64_MAX: no limit */
} EngineConfig;

/* Create the engine and install the host's fault handlers (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP). NULL with st set. */
Engine *engine_new(const EngineConfig *cfg, Status *st);
void engine_free(Engine *e);

/* A vcpu in reset state, registered with the engine; the calling thread owns it until vcpu_free. */
Vcpu *vcpu_new(Engine *e);
/* Copy of registers for a new thread (clone): state, fp, mode. */
Vcpu *vcpu_clone(const Vcpu *from);
/* Bytes of HostCpu.state that are the guest's. Behind them are cells of tools (instrument.h). */
size_t vcpu_state_size(const Vcpu *cpu);
void vcpu_free(Vcpu *cpu);
/* Must be called by the thread that will run the vcpu, before vcpu_run: registers it for reclamation and signals. */
void vcpu_attach(Vcpu *cpu);
void vcpu_detach(Vcpu *cpu);
/* Tell tools that the thread has done its last instruction: before others can know. vcpu_detach does it if nobody has. */
void vcpu_over(Vcpu *cpu);

/* Run until the thread ends (env->pending or env->fault returned false, or IR_STOP_EXIT). */
void vcpu_run(Vcpu *cpu);

/* Ask a vcpu to leave translated code at its next poll. Async-signal-safe, any thread. */
void engine_kick(Vcpu *cpu);
void engine_kick_all(Engine *e);

/*
 * Guest code in [va, va + len) may have changed (ic ivau, munmap, mprotect, mmap over it): no translation of it is entered
 * any more once this returns, by any thread, except that a thread inside one finishes it up to its next branch or poll.
 */
void engine_invalidate(Engine *e, uint64_t va, uint64_t len);

/*
 * Code in [va, va + len) cannot be executed any more, but is still there: as engine_invalidate, but when it is made executable
 * again, what has not been invalidated meanwhile is used again.
 */
void engine_park(Engine *e, uint64_t va, uint64_t len);

/*
 * Enter and leave a system call that may block: an extended quiescent state, so that others' reclamation does not wait
 * for this thread, and engine_kick interrupts it (EngineConfig.kick_signal). Between the two nothing of the engine is
 * called but engine_kick. The caller looks at h.exit_request after engine_block_begin and before it blocks.
 */
void engine_block_begin(Vcpu *cpu);
void engine_block_end(Vcpu *cpu);

/* After fork, in the child, before anything else: only the calling thread's vcpu is left. */
void engine_fork_prepare(Engine *e);
void engine_fork_parent(Engine *e);
void engine_fork_child(Engine *e, Vcpu *self);

/* Push or pull the guest's FP environment around changes to cpu->h.ir.fp (signal frames, ptrace). */
void vcpu_fp_sync(Vcpu *cpu);  /* host flags -> ir.fp.flags */
void vcpu_fp_changed(Vcpu *cpu); /* ir.fp changed -> host */

/*
 * Tell tools, and write what was translated to the persistent cache, if there is one and it is worth it. Called by a guest thread at the
 * end of the process and before it becomes another program. Never fails: what cannot be written is not kept. Where there are tools,
 * the other threads stand still from then on.
 */
void engine_save(Vcpu *cpu);
/* It did not end, nor become another program. */
void engine_go_on(Vcpu *cpu);
/* The guest's view of files changes (chroot): the persistent cache is not touched any more. */
void engine_persist_off(Engine *e);
/* End the engine's own thread, if there is one: the calling thread is about to do what only a process of one thread may. It
 * is started again when it is needed. */
void engine_stop_background(Engine *e);
/* Kernel id of that thread (0), or of one of the tools' (1), to hide it from the guest; 0: there is none. */
#define ENGINE_BACKGROUND 2
int engine_background_tid(Engine *e, unsigned n);
/* Start a thread that is not the guest's: no signal but those of faults is delivered to it. */
bool engine_spawn(pthread_t *thread, void *(*fn)(void *), void *arg);

/* Print --stats to f. */
void engine_stats(Engine *e, FILE *f);
/*
 * Print the indirect branches that the promotion policy has heard of, most executions first; as text or JSON.
 *   name  writes a name for people of a guest address to buf, or ""
 */
void engine_branches(Engine *e, FILE *f, bool json, void (*name)(uint64_t pc, char *buf, size_t len));

/*
 * Memory of the guest, from C code outside translated code. The guest is mapped 1:1. Never fault the host: return false
 * when any byte is not accessible (EFAULT); a partial copy may have happened.
 */
bool guest_read(Vcpu *cpu, void *dst, uint64_t va, size_t n);
bool guest_write(Vcpu *cpu, uint64_t va, const void *src, size_t n);
/* Length of the NUL-terminated string at va, or -1 when it runs off accessible memory or past max. */
ssize_t guest_strlen(Vcpu *cpu, uint64_t va, size_t max);

#endif
