/*
 * The register plan: which guest slots live in which host registers between translations, which registers the allocator
 * may use, how guest state and HostCpu are addressed, and where the common stubs are. Fixed for the life of a process.
 *
 * r15 holds &cpu->state + 112, so that the first 240 bytes of guest state, and the 16 before it, need a displacement of one
 * byte only. rsp is the return predictor's stack. All other registers belong to the allocator; between translations the pinned
 * ones hold their slots and the rest hold nothing.
 */
#ifndef HOST_X86_64_PLAN_H
#define HOST_X86_64_PLAN_H

#include "host/host.h"
#include "host/x86_64/asm.h"
#include "host/x86_64/x64.h"

/* Registers of both classes in one numbering: 0..15 integer, 16.. vector. */
enum { REG_X = 16, REG_COUNT = 48, REG_NONE = 0xff };
#define REG_BIT(r) (1ull << (r))
#define REG_ALL_R  0xffffull

#define STATE_BIAS 112
_Static_assert(offsetof(HostCpu, flags_x) + 16 == offsetof(HostCpu, state), "the last of HostCpu before the state");
#define HOST_CALL_BYTES 5 /* of a call with a displacement */
#define PLAN_MAX_PINS 40

/* Routines at the start of the cache that translated code jumps to or calls; numbers are part of relocations.
 * None keeps xmm16-31: code that has values there does, around its calls (ra_call_stub). */
typedef enum Stub {
    STUB_ENTER,   /* C: IrStop enter(HostCpu *, const void *hpc) */
    STUB_LEAVE,   /* rax pc, ecx IrStop: note the pc, store pinned slots, return from enter */
    STUB_RESUME,  /* eax IrStop: return from enter, slots are stored already */
    STUB_LINK,    /* called from a chain site's own stub: translate its target, chain, go on there */
    STUB_LOOKUP,  /* rax pc: find the translation, go on there */
    STUB_RET_MISS,/* rax pc: a guest return that the return stack did not predict */
    STUB_HELP,    /* ecx helper: slots stored, helper called; goes on at cpu->pc when it returns 0 */
    STUB_EVAL,    /* ir_eval of the operation in scratch[4..5]; clobbers nothing */
    STUB_NOTE_HIT, /* a line, in both halves of xmm0, goes to the front of the set of eight at ir.call.arg that it is in;
                      clobbers xmm1, xmm2 */
    STUB_CALL,    /* helper number scratch[4]; clobbers nothing */
    STUB_HOT,     /* rax pc: its counter has come to zero; goes on where the engine says */
    STUB_NOTE,    /* a NOTE operation, scratch[5]: host_note_site; place and address in ir.call.arg; clobbers nothing */
    STUB_TOOL,    /* HostCpu.tool with scratch[5], from the address behind which it was called; clobbers nothing, or leaves */
    STUB_TOOL_CALL, /* the same, and clobbers what C functions do, their FP environment left there (HostConfig.tool_calls) */
    STUB_TELL,    /* rax IrTell: its function, whose arguments are in their registers; clobbers as STUB_TOOL_CALL */
    STUB_TOOL_LOST, /* r15: go on behind the call of a tool's function, whose registers and stack are lost */
    STUB_GUEST_FP, /* the guest's again; clobbers nothing, not even flags */
    STUB_HOST_FP, /* the host's, when the guest's is there; clobbers flags only */
    STUB_PROMOTE, /* rax pc, rcx site of an indirect branch: its count of misses has come to zero; goes on at pc */
    STUB_THUNK,   /* rcx host address: go there by a return, which nothing but this predicts (HARDEN_RETPOLINE) */
    STUB_UNPAIRED, /* as STUB_RET_MISS, when HostCpu.unpaired_left has come to zero */
    STUB_NOTE_EIGHT, /* as STUB_NOTE, of sets of eight lines: with AVX-512 only */
    STUB_ESTIMATES, /* data: the table of select_est.c */
    STUB_COUNT
} Stub;

typedef struct Pin {
    uint16_t slot;
    uint8_t reg;
    uint8_t type; /* the slot's: IrType */
} Pin;

struct HostPlan {
    HostConfig cfg;
    X64Features feat;
    Pin pin[PLAN_MAX_PINS];
    unsigned npin;                  /* those in integer registers come first */
    uint8_t slot_pin[IR_MAX_SLOTS]; /* index into pin[], or 0xff */
    uint8_t slot_flag[IR_MAX_SLOTS]; /* FlagRole, or 0xff */
    uint64_t flag_slots[IR_MAX_SLOTS / 64]; /* which slots are */
    uint64_t pool_r, pool_x;        /* registers that the allocator may use */
    uint64_t temps;                 /* those that hold no pinned slot */
    uint64_t pinned;                /* those that do */
    uint8_t reg_pin[REG_COUNT];     /* by register: index into pin[], or 0xff */
    uint32_t high_at;               /* where xmm16-31 are in a signal frame's FP state, 64 bytes each; 0: there are none */
    const uint8_t *stub[STUB_COUNT]; /* executable addresses */
};

/* Displacement from r15 of a byte of HostCpu, and of guest state. */
static inline int32_t plan_cpu_disp(size_t offset)
{
    return (int32_t)offset - (int32_t)offsetof(HostCpu, state) - STATE_BIAS;
}

static inline Mem plan_cpu(size_t offset)
{
    return mem_b(R15, plan_cpu_disp(offset));
}

static inline Mem plan_slot(const HostPlan *p, unsigned slot)
{
    return mem_b(R15, (int32_t)p->cfg.slots->slot[slot].offset - STATE_BIAS);
}

/* With HostConfig.lanes: what holds HostCpu.counted, between translations and within, and nothing else. */
#define REG_LANES ((Xmm){15})

/* Registers that C functions keep, but for rsp and r15: rbx rbp r12 r13 r14. */
#define REG_KEPT 0x7028ull

/* Where the thunks of tools keep registers, by number, in HostCpu.save; and the length of the instruction that calls them. */
enum { SAVE_XMM = 128, CALL_BYTES = 5 };

/* An XSAVE area: where its bits of present components are, and the number of that of zmm16-31. */
enum { XSAVE_PRESENT = 512, XSAVE_HIGH = 7 };

/* Where registers that C keeps are during a TELL, by number, in HostCpu.save: nothing else writes there. */
enum { SAVE_KEPT = 1024 };

/* Uses of HostCpu.scratch: 0..3 belong to rules, the rest to stubs. */
enum { SCRATCH_OP = 4, SCRATCH_IMM = 5, SCRATCH_RSP = 6, SCRATCH_PC = 7 };

static inline Mem plan_scratch(unsigned n)
{
    return plan_cpu(offsetof(HostCpu, scratch) + 8 * n);
}

static inline bool plan_is_x(IrType t)
{
    return t >= IR_F16 && t <= IR_V512;
}

/* Fractions of FRECPE and FRSQRTE (select_est.c). */
enum { EST_BYTES = 768 + 8 };
void est_table(uint8_t table[EST_BYTES]);

HostPlan *plan_new(const HostConfig *cfg, Status *st);
void plan_free(HostPlan *p);
/* Emit the common stubs at cb->p and note their addresses (stubs.c). */
bool plan_stubs(HostPlan *p, CodeBuf *cb);

/* ir_eval of operands that registers held: bits above their types, and above the result's, are cleared (call.c). */
void x64_eval(const IrInsn *i, IrVal arg[3], FpEnv *fp, IrVal *out);
/* What the thunks call (call.c). */
void x64_eval_thunk(HostCpu *cpu);
void x64_call_thunk(HostCpu *cpu, const HostPlan *plan);
uint64_t x64_help_thunk(HostCpu *cpu, const HostPlan *plan, uint64_t number);
/* Compute the flags that the last exit only described (flags.c). */
void x64_flags_settle(HostCpu *cpu, const HostPlan *plan);
/* The same in a copy of the guest's state. */
void x64_flags_show(const HostCpu *cpu, const HostPlan *plan, uint8_t *state);
/* recover.c: see Host */
bool x64_recover(HostPlan *plan, HostCpu *cpu, const uint8_t *code_rx, const uint8_t *side, uint32_t side_len,
                 const void *hpc, void *uc);
uint64_t x64_show(HostPlan *plan, const HostCpu *cpu, const uint8_t *code_rx, const uint8_t *side, uint32_t side_len,
                  const void *hpc, uint8_t *state);
void x64_leave(HostPlan *plan, HostCpu *cpu, void *uc, IrStop why);
void x64_abandon(HostPlan *plan, HostCpu *cpu, void *uc);
bool x64_shadow_overflow(HostPlan *plan, HostCpu *cpu, void *uc, const void *fault_addr);
/* indirect.c: see Host */
size_t x64_unprotected(const HostPlan *plan, const uint8_t *code, size_t len);
bool x64_promotion(const HostPlan *plan, CodeBuf *cb, const HostPromotion *what, HostSite *site);
unsigned x64_fp_trap(HostCpu *cpu, void *uc); /* fptrap.c */
void x64_fp_load(HostCpu *cpu);
void x64_fp_store(HostCpu *cpu);

#endif
