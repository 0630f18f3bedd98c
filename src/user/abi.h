/*
 * What Linux differs in from one guest architecture to the next, as a table of functions: the only door from this folder
 * to a guest's registers. Each abi_X.c implements it and alone includes guest/X/state.h.
 */
#ifndef USER_ABI_H
#define USER_ABI_H

#include "engine/engine.h"

#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>

/* What a signal frame is made of. */
typedef struct AbiFrame {
    int sig;
    const siginfo_t *info;
    uint64_t handler, restorer; /* restorer: return address of the handler */
    uint64_t mask;              /* to be restored by rt_sigreturn */
    uint64_t alt_sp, alt_size;  /* the alternative stack, as sigaltstack would show it */
    uint32_t alt_flags;
    uint64_t stack;             /* frame goes below this address */
    const GuestFault *fault;    /* NULL unless synchronous */
} AbiFrame;

/* What rt_sigreturn restores besides registers. */
typedef struct AbiReturn {
    uint64_t mask, alt_sp, alt_size;
    uint32_t alt_flags;
} AbiReturn;

/* A set of registers as PTRACE_GETREGSET and core files show it: part of what get_regs gives. */
typedef struct AbiRegset {
    uint32_t note;           /* NT_* */
    uint16_t at, size;
    bool settable;
    uint64_t hwcap;          /* there only when AT_HWCAP has this; 0: always */
} AbiRegset;

typedef struct UserAbi {
    const char *guest;       /* Guest.name */
    const char *machine;     /* uname */
    const char *platform;    /* AT_PLATFORM */
    unsigned insn_size;      /* of the system call instruction */
    uint32_t audit_arch;     /* AUDIT_ARCH_*: what seccomp filters see */
    uint64_t min_sigstack;   /* AT_MINSIGSTKSZ */
    uint32_t rseq_sig;       /* what everybody registers with rseq */

    void (*get_call)(IrCpu *cpu, uint64_t *nr, uint64_t arg[6]);
    void (*set_result)(IrCpu *cpu, uint64_t value);
    /* An interrupted call goes on as restart_syscall when the instruction is executed again. */
    void (*set_restart)(IrCpu *cpu);
    /* Registers of a new program, of a new thread. */
    void (*start)(IrCpu *cpu, uint64_t pc, uint64_t sp);
    void (*set_stack)(IrCpu *cpu, uint64_t sp);
    void (*set_tls)(IrCpu *cpu, uint64_t tls);
    uint64_t (*get_stack)(IrCpu *cpu);
    /* Arguments of clone(2), whose order differs. */
    void (*clone_args)(const uint64_t arg[6], uint64_t *tls, uint64_t *ctid);
    /* Fresh secrets of a process (pointer authentication keys); `which` as prctl(PR_PAC_RESET_KEYS), 0: all. */
    void (*set_secrets)(IrCpu *cpu, const uint8_t random[80], unsigned which);
    void (*hwcap)(const void *features, uint64_t *hwcap, uint64_t *hwcap2);

    /* Guarded pages (PROT_BTI) are mapped from now on; false when this guest has none. */
    bool (*guard_pages)(IrCpu *cpu);

    /* Build a frame and point the registers at the handler. False when the stack cannot be written. */
    bool (*push_frame)(Vcpu *cpu, const AbiFrame *f);
    /* Undo: false when the frame is bad. */
    bool (*pop_frame)(Vcpu *cpu, AbiReturn *out);

    /*
     * All registers, for a tracer or a core file: regs_size bytes at `regs`, described by `regsets` (the first is
     * NT_PRSTATUS; ends with note 0). regs_call: offset of the int32_t number of the system call, which get_regs leaves alone.
     * regs_valid: whether a process may have them; set_regs is only for such.
     */
    void (*get_regs)(Vcpu *cpu, void *regs);
    bool (*regs_valid)(const void *regs);
    void (*set_regs)(Vcpu *cpu, const void *regs);
    const AbiRegset *regsets;
    unsigned regs_size, regs_call;
    uint16_t elf_machine;
    /* Of `regs`: pc, stack pointer, and result of a call. */
    unsigned regs_pc, regs_sp, regs_result;

    /* Conversions. */
    void (*put_stat)(void *dst, const struct stat *st);
    unsigned stat_size;
    uint64_t (*open_flags_in)(uint64_t guest);   /* guest's O_* to the host's */
    uint64_t (*open_flags_out)(uint64_t host);
    unsigned epoll_size, epoll_data;             /* struct epoll_event: size, offset of data */
    /* An architecture-specific prctl; false when it has none of that number. */
    bool (*prctl)(Vcpu *cpu, const uint64_t arg[6], int64_t *ret);
    void (*cpuinfo)(FILE *f, const void *features, unsigned ncpus);
    /* The vDSO: an ELF image, and the offset of its rt_sigreturn code. */
    const uint8_t *vdso;
    const size_t *vdso_size;
    const uint64_t *vdso_sigreturn;
} UserAbi;

/* NULL when this guest has no Linux here. */
const UserAbi *abi_by_guest(const Guest *g);
extern const UserAbi abi_aarch64;

#endif
