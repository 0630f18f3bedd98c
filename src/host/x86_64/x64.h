/*
 * Selection: from one IR operation to host instructions. This header is what rules are written against; select*.c hold
 * the rules, regalloc.c decides where values are.
 *
 * One forward pass over the region takes each IR instruction that is needed, calls its rule, and the rule emits. A rule
 * asks the allocator for its operands (sel_use_*), for its result (sel_def_*) and for temporaries (sel_tmp_*); the
 * allocator may emit moves, loads or spills at each of these calls, so a rule makes all of them before its first
 * instruction (and certainly never between an instruction that sets flags and the one that reads them; the allocator's
 * own moves do not change flags). Every register handed to a rule stays its own until the rule returns.
 *
 * A rule returns false, before any other call than the asking ones (sel_type, sel_const, ...), when it does not handle
 * this form; then the operation is compiled to a call of ir_eval. So a missing rule is slow, never wrong.
 *
 * What registers hold:
 *   i64          the value
 *   i32          the value, bits 63:32 of a *defined* register are zero (any 32-bit instruction does that); operands may
 *                have anything there: use 32-bit instructions, or extend
 *   i8, i16      bits above the width are unspecified, in definitions and operands; booleans are 0 or 1 in the low byte
 *   f16 f32 f64  in an Xmm; bits above the width are unspecified
 *   v128         in an Xmm; bits above 127 are zero (any VEX instruction does that)
 * Operations that change nothing in these terms (copy, trunc, zext of i32, vget of lane 0 as a float, ...) never reach
 * a rule: the operand's register is the result's.
 *
 * Worked example, scalar FP addition by its result's NaN (the rule in use leaves NaNs to a trap, see vsel.h). b may come
 * from memory; the result must not share a register with an operand, because the cold path needs the operands again:
 *
 *   static bool sel_fadd(Sel *s, const IrInsn *i)
 *   {
 *       if (i->type != IR_F64)
 *           return false;
 *       Xmm a = sel_use_x(s, i->a);
 *       RXm b = sel_use_xm(s, i->b, 8);
 *       Xmm d = sel_def_x(s, i);
 *       x64_rvm_xm(s->a, VADDSD, d, a, b);
 *       x64_rm(s->a, VUCOMISD, d, d);
 *       sel_cold_eval(s, i, CC_P);        // jp cold; cold: d = ir_eval(a, b); jmp back; back:
 *       return true;
 *   }
 *
 * and one that needs no second look at its operands, a vector constant and a temporary:
 *
 *   static bool sel_vnot(Sel *s, const IrInsn *i)
 *   {
 *       Xmm a = sel_use_x(s, i->a);
 *       Xmm d = sel_def_x_last(s, i);     // may be a's register if a dies here: d is written when a has been read
 *       vx_pxor(s->a, d, a, xm_m(sel_vconst(s, ~0ull, ~0ull)));
 *       return true;
 *   }
 *
 * Out-of-line code of any shape:
 *
 *       uint32_t slow = sel_label(s), back = sel_label(s);
 *       x64_jcc(s->a, CC_E, slow);
 *       ...fast path...
 *       sel_bind(s, back);
 *       sel_cold_begin(s);                // s->a is now the cold part; registers are as at this point
 *       sel_bind(s, slow);
 *       ...repair; no allocator calls here...
 *       x64_jmp(s->a, back);
 *       sel_cold_end(s);
 */
#ifndef HOST_X86_64_X64_H
#define HOST_X86_64_X64_H

#include "host/host.h"
#include "host/x86_64/asm.h"

/* Optional processor features (x86-64-v3 is always there); chosen once by --host-cpu. */
typedef struct X64Features {
    bool avx512;    /* F, VL, BW, DQ */
    bool vbmi, vbmi2, bitalg, vpopcntdq, ifma, vnni512, bf16, fp16; /* only with avx512 */
    bool gfni, vaes, vpclmul, aes, pclmul, sha;
} X64Features;

typedef struct Sel Sel;

/* Emits one operation; false: form not handled, nothing was done. */
typedef bool SelRule(Sel *s, const IrInsn *i);

/*
 * Rules by operation and class: `vec` for vector forms (type v128, or lanes set), `fp` where the type or the lane is a
 * float, `int` for the rest. If the class's table has no rule for an operation the vec table is tried too (vget, vsum ... to
 * integers). Absent entries are NULL. sel_vec_rules is defined in select_vec.c, sel_fp_rules in select_fp.c.
 * CONST VCONST COPY PARAM GET SELECT LOAD STORE CAS RMW CALL and control are the core's for all types.
 */
extern SelRule *const sel_int_rules[IR_NOPS];
extern SelRule *const sel_fp_rules[IR_NOPS];
extern SelRule *const sel_vec_rules[IR_NOPS];

/*
 * A condition in the host's flags: true when cc holds, or when cc2 holds (if any), the whole inverted if `inv`.
 * FCMP EQ by ucomisd is "not (NE or P)": {CC_NE, CC_P, .two = true, .inv = true}.
 */
typedef struct SelCond {
    Cc cc, cc2;
    bool two, inv;
} SelCond;

/*
 * Rules that leave a boolean operation's result in flags, for a BRIF or SELECT that is its only user (and for the
 * general case: the core then materialises it, so such an operation needs no SelRule). Same protocol as SelRule; no
 * result register is defined.
 */
typedef bool SelCondRule(Sel *s, const IrInsn *i, SelCond *out);
extern SelCondRule *const sel_int_conds[IR_NOPS];
extern SelCondRule *const sel_fp_conds[IR_NOPS]; /* also for VANY; in select_fp.c */

typedef struct SelAlloc SelAlloc; /* the allocator's own, see regalloc.h */

/* What calls of tools' functions have left in the present block, with HostConfig.tool_calls: tell.c. */
typedef struct SelCalls {
    bool fp_block;    /* it computes with floating point */
    bool fp_host;     /* the host's FP environment is there */
    bool told;        /* HostCpu.told is not NULL */
    bool rsp;         /* HostCpu.told_rsp is rsp */
    IrRef kept[16];   /* by register: the value that STUB_TOOL_LOST would load */
} SelCalls;

struct Sel {
    Asm *a;                  /* where to emit: the main or the cold part */
    const IrRegion *r;
    const X64Features *feat;
    const HostPlan *plan;
    Arena *arena;
    SelAlloc *ra;
    Asm main, cold;          /* cold code goes behind the main path */
    IrRef ref;               /* the instruction being selected */
    const uint8_t *param_bits; /* of a graph: see vsel_params */
    struct SelFlags {        /* what the host's flags are known to hold where Asm.flags_at is the place that is written */
        IrRef x, y;
        uint8_t kind, w;
    } flags;
    SelCalls calls;
    struct SelForm *form;    /* the latest of flags_form's answers */
    struct SelEmit *em;      /* labels, constant pool, chain sites, side table: see emit.h */
};

/* Whether the region is hot code: of many executions, and worth more time and room. */
static inline bool sel_is_hot(const Sel *s)
{
    return s->r->graph || s->r->deep;
}

/* --- questions that commit to nothing ---------------------------------------------------------------------------- */

/* Type of an operand. */
static inline IrType sel_type(const Sel *s, IrRef v)
{
    return (IrType)s->r->insn[v].type;
}

/* Whether `v` is a scalar constant; its value, zero-extended from its type, in *c. */
bool sel_const(const Sel *s, IrRef v, uint64_t *c);
/* The same for v128 constants (CONST and VCONST). */
bool sel_const128(const Sel *s, IrRef v, IrVal *c);
/* Whether this instruction is the last to need `v` (its register may then be reused by sel_def_*_last). */
bool sel_dies(const Sel *s, IrRef v);

/* --- operands ------------------------------------------------------------------------------------------------------ */

/* The value in a register (loaded or rematerialised if it is not in one). Not to be written. */
Gpr sel_use_r(Sel *s, IrRef v);
Xmm sel_use_x(Sel *s, IrRef v);
/*
 * The value in a register or in memory, wherever it is: at least `bytes` of it are readable there. As memory it may
 * be unaligned for legacy SSE instructions (16 bytes): VEX only.
 */
RGm sel_use_rm(Sel *s, IrRef v, unsigned bytes);
RXm sel_use_xm(Sel *s, IrRef v, unsigned bytes);
/* Whether the value is in a register from xmm16 on only: which. It may be read there, until the rule returns (x64_has_high). */
bool sel_in_high(const Sel *s, IrRef v, Xmm *x);
/* The value in this very register, which the rule may overwrite. */
void sel_use_r_in(Sel *s, IrRef v, Gpr r);

/* --- results ------------------------------------------------------------------------------------------------------- */

/* A register of its own, different from all that the rule uses. */
Gpr sel_def_r(Sel *s, const IrInsn *i);
Xmm sel_def_x(Sel *s, const IrInsn *i);
/* May be the register of an operand that dies here: to be written only after all operands have been read. Call it after
 * all sel_use_*; temporaries asked for later are different from it. */
Gpr sel_def_r_last(Sel *s, const IrInsn *i);
Xmm sel_def_x_last(Sel *s, const IrInsn *i);
/* A register that already holds the value of operand `v` (v's own if it dies here, else a copy): for instructions that
 * overwrite their first operand. Call it after the other operands' sel_use_*; do not sel_use `v` itself. */
Gpr sel_def_r_from(Sel *s, const IrInsn *i, IrRef v);
Xmm sel_def_x_from(Sel *s, const IrInsn *i, IrRef v);
/* This very register. */
void sel_def_r_in(Sel *s, const IrInsn *i, Gpr r);

/* --- temporaries --------------------------------------------------------------------------------------------------- */

/* A free register until the rule returns. */
Gpr sel_tmp_r(Sel *s);
Xmm sel_tmp_x(Sel *s);
/* Empty this very register for the rule's use. Ask for these before any other operand. */
void sel_take_r(Sel *s, Gpr r);

/* --- constants, memory --------------------------------------------------------------------------------------------- */

/* A 16-byte constant in the pool after the code (aligned to 16). */
Mem sel_vconst(Sel *s, uint64_t lo, uint64_t hi);
/* A field of the running HostCpu, by its offset. */
Mem sel_cpu(const Sel *s, size_t offset);
/* 64 bits of scratch in HostCpu, number 0..3: dead when the rule returns. */
Mem sel_scratch(const Sel *s, unsigned n);

/* --- control inside a rule ----------------------------------------------------------------------------------------- */

/* Nothing is known of the host's flags: where code comes that is jumped to. */
static inline void sel_flags_forget(Sel *s)
{
    s->main.flags_at = s->cold.flags_at = NULL;
}

uint32_t sel_label(Sel *s);
void sel_bind(Sel *s, uint32_t label);  /* here, in the part being written */
void sel_cold_begin(Sel *s);            /* write to the cold part ... */
void sel_cold_end(Sel *s);              /* ... until here */
/*
 * Now: `jcc cold`, and bind the return point here. Cold: the result register of `i` (defined by a sel_def_* that is not
 * _last or _from) gets ir_eval's result for i's operands; everything else is preserved, and MXCSR's flags get
 * whatever the fast path raised (ir_eval's own go to cpu->ir.fp.flags).
 */
void sel_cold_eval(Sel *s, const IrInsn *i, Cc cc);
/* In cold code: ir_eval of i's operands; where its result then is. Registers but flags are preserved. */
Mem sel_cold_call(Sel *s, const IrInsn *i);
/* The same for code that jumps to `slow` itself, at several places: emits the cold code for it; binds the return here. */
void sel_cold_eval_at(Sel *s, const IrInsn *i, uint32_t slow);

#endif
