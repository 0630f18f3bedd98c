/*
 * What the engine needs of the world around a guest: user/ (a Linux process) and later machine/ implement it.
 * All calls are made on the vcpu's own thread, outside translated code, with exact guest state in the vcpu.
 */
#ifndef ENGINE_ENV_H
#define ENGINE_ENV_H

#include "ir/ir.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Vcpu Vcpu;

/* A synchronous guest fault, as found by the host's signal handler or the interpreter. */
typedef struct GuestFault {
    int sig;         /* SIGSEGV, SIGBUS, SIGFPE, SIGILL or SIGTRAP */
    int code;        /* si_code */
    uint64_t addr;   /* guest address concerned */
    bool write;      /* the access was a store */
} GuestFault;

/* A mapping of a file's code that the guest cannot write to. */
typedef struct EnvImage {
    uint64_t start, end;   /* guest addresses, whole pages */
    uint64_t offset;       /* of start in the file */
    bool guarded;          /* as EnvOps.guarded */
} EnvImage;

/* Guest code that must not go on once its thread has been preempted: see section.c. */
typedef struct EnvSection {
    uint64_t start, end;
} EnvSection;

typedef enum EnvNamed { ENV_NAMED_NONE, ENV_NAMED_KNOWN, ENV_NAMED_NEW } EnvNamed;

typedef struct EnvOps {
    /*
     * Host memory from which instructions at guest `pc` may be read. Sets *len to the bytes that are readable and
     * executable for the guest from there (at most to the end of the mapping). NULL: not executable, or not mapped.
     */
    const uint8_t *(*code)(Vcpu *cpu, uint64_t pc, size_t *len);
    /* An exit request was seen: deliver pending signals, stop the thread, ... Returns false when the thread must end. */
    bool (*pending)(Vcpu *cpu);
    /* Deliver a synchronous fault or illegal instruction. Returns false when the thread must end. */
    bool (*fault)(Vcpu *cpu, const GuestFault *f);
    /* The guest made a system call; pc is after the instruction. IR_STOP_NONE: go on. Reached as IrWorld.syscall. */
    IrStop (*syscall)(Vcpu *cpu);
    /* Virtual counter in ticks of `frequency`, and 64 random bits: IrWorld.counter and IrWorld.random. */
    uint64_t (*counter)(Vcpu *cpu, uint64_t frequency);
    uint64_t (*random)(Vcpu *cpu);
    /*
     * A SIGSEGV, SIGBUS, SIGFPE, SIGILL or SIGTRAP that some process sent (si_code <= 0): the engine owns the host's
     * handlers of these. Called inside the host's signal handler. May be NULL.
     */
    void (*async_signal)(int sig, siginfo_t *info, void *uc);
    /* Whether the page of pc is guarded: code of a kind that checks where indirect branches land. NULL: none ever is. */
    bool (*guarded)(Vcpu *cpu, uint64_t pc);
    /*
     * The mapping of a file that holds pc: private, executable, not writable. False when pc is in none: its translations
     * are not kept between processes. NULL: there never is one.
     */
    bool (*image)(Vcpu *cpu, uint64_t pc, EnvImage *out);
    /* A name for people of the file mapped at pc; "" when it has none. May be NULL. */
    void (*image_name)(Vcpu *cpu, uint64_t pc, char *buf, size_t len);
    /* The `env` of a vcpu that runs nothing, for calls of `code` and `guarded` by the engine's own thread. Asked of a guest's
     * thread, once; one malloc block, which the engine frees. NULL: that thread's own. */
    void *(*translator)(Vcpu *cpu);
    /* Vcpu.step is set, and an instruction was executed without a fault. Needed by who sets it. */
    void (*stepped)(Vcpu *cpu);
    /* Whether the process must not get another thread now. NULL: it may. */
    bool (*alone)(Vcpu *cpu);
    /*
     * Restartable sections; all NULL: there are none. `section_near`: whether there may be one on the page of pc.
     * `section`: the one that pc is in, always the same structure; NULL: in none. `section_named`: code has the
     * constant va; whether a section is described there, which is known from now on, and was before.
     * `section_abort`: cpu was preempted in the section that its pc is in: pc becomes where that is aborted to.
     */
    bool (*section_near)(Vcpu *cpu, uint64_t pc);
    const EnvSection *(*section)(Vcpu *cpu, uint64_t pc);
    EnvNamed (*section_named)(Vcpu *cpu, uint64_t va, EnvSection *out);
    void (*section_abort)(Vcpu *cpu);
    /* Copies n bytes of guest memory at va; false: they cannot be read. For guesses. NULL: there are none. */
    bool (*read)(Vcpu *cpu, uint64_t va, void *buf, size_t n);
} EnvOps;

#endif
