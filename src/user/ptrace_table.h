/*
 * What a guest process shows its tracer: one table a process, at an address that a tracer's dragoman knows (mm_ptrace_at),
 * read and written by it with process_vm_readv and process_vm_writev. See docs/ptrace.md. Two dragomans share this layout:
 * a change needs a new PTRACE_MAGIC.
 *
 * A tracer writes a block only while its thread is stopped on the host, but for `traced`, `seized` and `options` at
 * attachment; the thread itself writes it only while it runs.
 */
#ifndef USER_PTRACE_TABLE_H
#define USER_PTRACE_TABLE_H

#include <signal.h>
#include <stdint.h>

#define PTRACE_MAGIC UINT64_C(0x3130656361727470) /* "ptrace01" */
#define PTRACE_SLOTS 8192     /* threads of a process that can be traced */
#define PTRACE_RING 8         /* signals on their way: all but SIGSTOP and those of faults are blocked meanwhile */
#define PTRACE_CHANGES 64     /* ranges of changed code; more: everything */
#define PTRACE_REGS 1536      /* room for the registers of a guest: UserAbi.regs_size */

/* si_code of the host's SIGTRAP by which a thread stops itself, and of that by which it is given a signal. */
enum { PTRACE_CODE_STOP = -9801, PTRACE_CODE_NOTE = -9802 };

/* What PTRACE_GET_SYSCALL_INFO says of a stop. */
enum { PTRACE_OP_NONE, PTRACE_OP_ENTRY, PTRACE_OP_EXIT, PTRACE_OP_SECCOMP };

typedef struct PtraceBlock {
    int32_t tid, pid;
    uint32_t traced, seized;
    uint32_t options;         /* PTRACE_O_*, the guest tracer's */
    uint32_t mode;            /* request that the thread was last resumed with: PTRACE_SYSCALL ...; 0 for PTRACE_CONT */
    uint32_t stop;            /* it stops itself, at an instruction boundary; cleared by who resumes it */
    uint32_t status;          /* of that stop, as wait4 gives it */
    uint32_t want;            /* status of the stop to make at the next boundary; 0: none */
    uint32_t raising;         /* signal whose default action it is taking on the host */
    uint32_t resume_sig;      /* signal to go on with */
    uint32_t exiting;         /* it has told of its end */
    uint32_t stops;           /* how many it has made itself */
    uint32_t dirty;           /* registers were changed while it was stopped */
    uint32_t op;              /* PTRACE_OP_* of the stop */
    uint64_t msg;             /* PTRACE_GETEVENTMSG */
    uint64_t mask;            /* blocked signals */
    uint64_t exit_request;    /* where a 1 makes it leave translated code */
    siginfo_t info;
    uint32_t head, tail;      /* ring: taken out by the thread, put in by the tracer */
    siginfo_t ring[PTRACE_RING];
    _Alignas(16) uint8_t regs[PTRACE_REGS];
} PtraceBlock;

typedef struct PtraceTable {
    uint64_t magic;
    int32_t background_tid;   /* the translator's own thread; 0: none */
    uint32_t used;            /* no block from here on was ever taken */
    uint32_t changes_head, changes_tail; /* code that others wrote */
    struct {
        uint64_t start, len;
    } changes[PTRACE_CHANGES];
    int32_t tid[PTRACE_SLOTS]; /* of each block; 0: free */
    _Alignas(4096) PtraceBlock block[PTRACE_SLOTS];
} PtraceTable;

#endif
