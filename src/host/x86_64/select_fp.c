/*
 * Scalar floating point. The upper bits of scalars are unspecified, so that scalar instructions are used as they are; only
 * conversions that exist for packed operands alone clear them first.
 */
#include "host/x86_64/regalloc.h"
#include "host/x86_64/vsel.h"

/* Whether the host has arithmetic for this type. */
static bool fp_host(const Sel *s, IrType t)
{
    return t == IR_F32 || t == IR_F64 || (t == IR_F16 && s->feat->fp16);
}

static unsigned fp_bytes(IrType t)
{
    return 2u << fp_index(t);
}

static uint64_t fp_sign_bit(IrType t)
{
    return 1ull << (8 * fp_bytes(t) - 1);
}

static uint64_t fp_min_normal(IrType t)
{
    static const uint64_t v[] = {0x0400, 0x00800000, 0x0010000000000000};
    return v[fp_index(t)];
}

static const X64Vec ucomi[] = {VUCOMISH, VUCOMISS, VUCOMISD};
static const X64Vec comi[] = {VCOMISH, VCOMISS, VCOMISD};
static const X64Vec round_scalar[] = {X64_NVEC, VROUNDSS, VROUNDSD};

/* --- arithmetic ---------------------------------------------------------------------------------------------------- */

/* Careful code: jump to `slow` when a is an infinity or a NaN, without a look at it that could trap. */
static void guard(Sel *s, IrType f, Xmm a, Gpr g, uint32_t slow)
{
    static const uint8_t fraction[] = {10, 23, 52}, exponent[] = {5, 8, 11};
    unsigned k = fp_index(f);

    x64_gx(s->a, k == 2 ? VMOVQ_GX : VMOVD_GX, g, a);
    x64_shift_i(s->a, SH_SHR, k == 2 ? W64 : W32, g, fraction[k]);
    x64_alu_ri(s->a, ALU_ADD, W32, g, 1);
    x64_alu_ri(s->a, ALU_AND, W32, g, (1 << exponent[k]) - 1);
    x64_jcc(s->a, CC_E, slow);
}

/* What a rule does besides the operation. Made after the operands have been asked for, before the result. */
typedef struct Extra {
    bool careful, tiny, any;
    uint32_t slow;
    Gpr g; /* careful */
    Xmm t; /* tiny */
} Extra;

/* `may_tiny`: the operation's result may have been tiny before rounding only. */
static Extra extra(Sel *s, bool may_tiny)
{
    Extra x = {.careful = sel_careful(s), .tiny = may_tiny && s->r->fp.exact};
    x.any = x.careful || x.tiny;
    if (x.any)
        x.slow = sel_label(s);
    if (x.careful)
        x.g = sel_tmp_r(s);
    if (x.tiny)
        x.t = sel_tmp_x(s);
    return x;
}

/* The cold path needs the operands again. */
static Xmm extra_def(Sel *s, const IrInsn *i, const Extra *x)
{
    return x->any ? sel_def_x(s, i) : sel_def_x_last(s, i);
}

static void extra_guard(Sel *s, const Extra *x, IrType f, Xmm a)
{
    if (x->careful)
        guard(s, f, a, x->g, x->slow);
}

/*
 * Results of the least normal magnitude: Arm calls these tiny when the unrounded value was below, the host does not, so that
 * the underflow flag may be missing. Every other tiny inexact result raises it on both. The end of a rule with extras.
 */
static void extra_done(Sel *s, const IrInsn *i, const Extra *x, Xmm d)
{
    IrType f = (IrType)i->type;

    if (x->tiny) {
        x64_rvm_m(s->a, VANDPS, x->t, d, sel_vconst(s, fp_sign_bit(f) - 1, 0));
        x64_rm_m(s->a, ucomi[fp_index(f)], x->t, sel_vconst(s, fp_min_normal(f), 0));
        x64_jcc(s->a, CC_E, x->slow);
    }
    if (x->any)
        sel_cold_eval_at(s, i, x->slow);
}

/*
 * The upper bits of results are the first operand's. Where they are zero the result is the whole vector register that the
 * guest sees, and its vzext costs nothing.
 */
static bool clean(const Sel *s, IrRef v)
{
    return ra_val(s, v)->flags & VAL_CLEAN;
}

bool fp_clean(const Sel *s, const IrInsn *i)
{
    if (!ir_type_is_float((IrType)i->type) || i->lanes > 1)
        return false;
    if (i->type == IR_F16)
        return i->op == IR_CONST || i->op == IR_LOAD;
    switch (i->op) {
    case IR_CONST: case IR_LOAD: case IR_FABS: case IR_ITOF:
        return true;
    case IR_BITCAST:
        return i->type != IR_F16;
    case IR_FADD: case IR_FMUL: case IR_FSUB: case IR_FDIV: case IR_FSQRT: case IR_FNEG: case IR_FRINT:
        return clean(s, i->a);
    case IR_FMIN: case IR_FMAX: case IR_FMINNUM: case IR_FMAXNUM:
        return clean(s, i->a) && clean(s, i->b);
    case IR_FMA:
        return clean(s, i->c);
    case IR_FCVT:
        return i->lane != IR_F32 || i->type != IR_F64 || clean(s, i->a);
    case IR_SELECT:
        return clean(s, i->b) && clean(s, i->c);
    case IR_VGET:
        return i->imm == 0 && vsel_bits(s, i->a) <= 8 * fp_bytes((IrType)i->type);
    default:
        return false;
    }
}

/* The order of the operands decides which of two NaNs results. */
static bool arith(Sel *s, const IrInsn *i)
{
    static const X64Vec op[4][3] = {
        {VADDSH, VADDSS, VADDSD}, {VSUBSH, VSUBSS, VSUBSD}, {VMULSH, VMULSS, VMULSD}, {VDIVSH, VDIVSS, VDIVSD}};
    unsigned k = i->op == IR_FADD ? 0 : i->op == IR_FSUB ? 1 : i->op == IR_FMUL ? 2 : 3;
    IrType f = (IrType)i->type;

    if (!fp_host(s, f))
        return vsel_f16_arith(s, i);
    Xmm a = sel_use_x(s, i->a);
    RXm b = sel_careful(s) ? xm_x(sel_use_x(s, i->b)) : sel_use_xm(s, i->b, fp_bytes(f));
    Extra x = extra(s, k >= 2);
    Xmm d = extra_def(s, i, &x);
    extra_guard(s, &x, f, a);
    extra_guard(s, &x, f, b.x);
    if (x.careful && k == 3) { /* 0 / 0 */
        x64_rm_m(s->a, ucomi[fp_index(f)], b.x, sel_vconst(s, 0, 0));
        x64_jcc(s->a, CC_E, x.slow);
    }
    x64_rvm_xm(s->a, op[k][fp_index(f)], d, a, b);
    extra_done(s, i, &x, d);
    return true;
}

static bool square_root(Sel *s, const IrInsn *i)
{
    static const X64Vec op[] = {VSQRTSH, VSQRTSS, VSQRTSD};
    IrType f = (IrType)i->type;

    if (!fp_host(s, f))
        return vsel_f16_arith(s, i);
    Xmm a = sel_use_x(s, i->a);
    Extra x = extra(s, false);
    Xmm d = extra_def(s, i, &x);
    extra_guard(s, &x, f, a);
    if (x.careful) {
        x64_rm_m(s->a, VPTEST, a, sel_vconst(s, fp_sign_bit(f), 0));
        x64_jcc(s->a, CC_NE, x.slow);
    }
    x64_rvm(s->a, op[fp_index(f)], d, a, a);
    extra_done(s, i, &x, d);
    return true;
}

/* A quiet NaN traps at the comparison behind it, whose handler looks at the instructions before: see fptrap.c. */
static bool fused(Sel *s, const IrInsn *i)
{
    static const X64Vec op[4][3] = {
        {VFMADD231SH, VFMADD231SS, VFMADD231SD}, {VFNMADD231SH, VFNMADD231SS, VFNMADD231SD},
        {VFMSUB231SH, VFMSUB231SS, VFMSUB231SD}, {VFNMSUB231SH, VFNMSUB231SS, VFNMSUB231SD}};
    IrType f = (IrType)i->type;

    if (!fp_host(s, f))
        return false;
    Xmm a = sel_use_x(s, i->a);
    Xmm b = sel_use_x(s, i->b);
    Xmm c = sel_use_x(s, i->c);
    Extra x = extra(s, true);
    Xmm d = sel_def_x(s, i);
    Xmm t = x.tiny ? x.t : sel_tmp_x(s);
    extra_guard(s, &x, f, a);
    extra_guard(s, &x, f, b);
    extra_guard(s, &x, f, c);
    x64_rm(s->a, VMOVAPS, d, c);
    x64_rvm(s->a, op[i->aux & 3][fp_index(f)], d, a, b);
    if (f == IR_F16 && !x.any) { /* its vcmp has no vector for a result */
        x64_rm(s->a, VUCOMISH, d, d);
        sel_cold_eval(s, i, CC_P);
    } else if (!x.any) {
        x64_rvmi(s->a, f == IR_F64 ? VCMPSD : VCMPSS, t, d, d, X64_CMP_FALSE_OS);
    }
    extra_done(s, i, &x, d);
    return true;
}

/* FMULX: a product that is not invalid when it is zero by infinity. Zeros and NaNs are left to ir_eval. */
static bool mulx(Sel *s, const IrInsn *i)
{
    IrType f = (IrType)i->type;

    if (f == IR_F16)
        return false;
    Xmm a = sel_use_x(s, i->a);
    Xmm b = sel_use_x(s, i->b);
    Extra x = extra(s, true);
    Xmm d = sel_def_x(s, i);
    if (!x.any)
        x.slow = sel_label(s);
    extra_guard(s, &x, f, a);
    extra_guard(s, &x, f, b);
    x64_rm_m(s->a, ucomi[fp_index(f)], a, sel_vconst(s, 0, 0));
    x64_jcc(s->a, CC_E, x.slow);
    x64_rm_m(s->a, ucomi[fp_index(f)], b, sel_vconst(s, 0, 0));
    x64_jcc(s->a, CC_E, x.slow);
    x64_rvm(s->a, f == IR_F64 ? VMULSD : VMULSS, d, a, b);
    x.any = true;
    extra_done(s, i, &x, d);
    return true;
}

/*
 * FRECPS, FRSQRTS: 2 - a * b, (3 - a * b) / 2. For the latter a is halved, which is exact unless it is about to underflow.
 * Zero by infinity traps; a NaN in a, whose sign Arm inverts, goes to `slow`.
 */
static bool step(Sel *s, const IrInsn *i)
{
    IrType f = (IrType)i->type;
    bool dbl = f == IR_F64, rsqrt = i->op == IR_FRSQRTS;
    uint64_t k = dbl ? rsqrt ? 0x3ff8000000000000 : 0x4000000000000000 : rsqrt ? 0x3fc00000 : 0x40000000;

    if (f == IR_F16)
        return false;
    Xmm a = sel_use_x(s, i->a);
    Xmm b = sel_use_x(s, i->b);
    Extra x = extra(s, true);
    Xmm d = sel_def_x(s, i);
    if (!x.any)
        x.slow = sel_label(s);
    extra_guard(s, &x, f, a);
    extra_guard(s, &x, f, b);
    if (rsqrt) {
        x64_rvm_m(s->a, VANDPS, d, a, sel_vconst(s, fp_sign_bit(f) - 1, 0));
        x64_rm_m(s->a, ucomi[fp_index(f)], d, sel_vconst(s, 2 * fp_min_normal(f), 0));
        x64_jcc(s->a, CC_B, x.slow);
        x64_rvm_m(s->a, dbl ? VMULSD : VMULSS, d, a, sel_vconst(s, dbl ? 0x3fe0000000000000 : 0x3f000000, 0));
    } else {
        x64_rm(s->a, ucomi[fp_index(f)], a, a);
        x64_jcc(s->a, CC_P, x.slow);
        x64_rm(s->a, VMOVAPS, d, a);
    }
    x64_rvm_m(s->a, dbl ? VFNMADD213SD : VFNMADD213SS, d, b, sel_vconst(s, k, 0));
    x.any = true;
    extra_done(s, i, &x, d);
    return true;
}

static bool negate(Sel *s, const IrInsn *i)
{
    Xmm a = sel_use_x(s, i->a);
    Xmm d = sel_def_x_last(s, i);
    x64_rvm_m(s->a, VXORPS, d, a, sel_vconst(s, fp_sign_bit((IrType)i->type), 0));
    return true;
}

static bool absolute(Sel *s, const IrInsn *i)
{
    Xmm a = sel_use_x(s, i->a);
    Xmm d = sel_def_x_last(s, i);
    x64_rvm_m(s->a, VANDPS, d, a, sel_vconst(s, fp_sign_bit((IrType)i->type) - 1, 0));
    return true;
}

/*
 * The host's minimum takes the second operand when the two are equal (-0, +0): so it is taken both ways, and of the two,
 * which have the same bits or are two zeros, `or` gives the minimum and `and` the maximum. Any NaN traps; which `or` it is
 * tells the handler the kind of minimum (see fptrap.c).
 */
static bool min_max(Sel *s, const IrInsn *i)
{
    static const X64Vec op[2][3] = {{X64_NVEC, VMINSS, VMINSD}, {X64_NVEC, VMAXSS, VMAXSD}};
    static const X64Vec join[2][2] = {{VORPS, VORPD}, {VANDPS, VANDPD}};
    IrType f = (IrType)i->type;
    bool max = i->op == IR_FMAX || i->op == IR_FMAXNUM, number = i->op == IR_FMINNUM || i->op == IR_FMAXNUM;

    if (f == IR_F16)
        return vsel_f16_minmax(s, i);
    Xmm a = sel_use_x(s, i->a);
    Xmm b = sel_use_x(s, i->b);
    Extra x = extra(s, false);
    Xmm d = sel_def_x(s, i);
    Xmm t = sel_tmp_x(s);
    extra_guard(s, &x, f, a);
    extra_guard(s, &x, f, b);
    x64_rvm(s->a, op[max][fp_index(f)], t, a, b);
    x64_rvm(s->a, op[max][fp_index(f)], d, b, a);
    x64_rvm(s->a, join[max][number], d, t, d);
    extra_done(s, i, &x, d);
    return true;
}

/* --- rounding to integral values ------------------------------------------------------------------------------------ */

/* Registers of the round-to-nearest, ties-away sequence. */
typedef struct Away {
    Xmm abs, frac;
} Away;

/*
 * d = a rounded to nearest, ties away from zero. Magnitudes with no fraction bits and NaNs go to `slow`. Raises no flag
 * but that of a signalling NaN. The subtraction and the addition are exact.
 */
static void round_away(Sel *s, IrType f, Xmm d, Xmm a, Away w, uint32_t slow)
{
    bool dbl = f == IR_F64;
    uint64_t limit = dbl ? 0x4330000000000000 : 0x4b000000; /* 2^52, 2^23 */
    uint64_t half = dbl ? 0x3fe0000000000000 : 0x3f000000;
    uint64_t one = dbl ? 0x3ff0000000000000 : 0x3f800000;

    x64_rvm_m(s->a, VANDPS, w.abs, a, sel_vconst(s, fp_sign_bit(f) - 1, 0));
    x64_rm_m(s->a, ucomi[fp_index(f)], w.abs, sel_vconst(s, limit, 0));
    x64_jcc(s->a, CC_P, slow);
    x64_jcc(s->a, CC_AE, slow);
    x64_rvmi(s->a, round_scalar[fp_index(f)], d, w.abs, w.abs, X64_ROUND_RTZ | X64_ROUND_QUIET);
    x64_rvm(s->a, dbl ? VSUBSD : VSUBSS, w.frac, w.abs, d);
    x64_rvmi_m(s->a, dbl ? VCMPSD : VCMPSS, w.frac, w.frac, sel_vconst(s, half, 0), X64_CMP_GE_OQ);
    x64_rvm_m(s->a, VANDPS, w.frac, w.frac, sel_vconst(s, one, 0));
    x64_rvm(s->a, dbl ? VADDSD : VADDSS, d, d, w.frac);
    x64_rvm_m(s->a, VANDPS, w.abs, a, sel_vconst(s, fp_sign_bit(f), 0));
    x64_rvm(s->a, VORPS, d, d, w.abs);
}

/*
 * t = a + 0.49999.. with a's sign, to nearest and without flags: its integral part is a rounded to nearest, ties away from
 * zero. The addend is the largest number below a half: then no sum reaches the next integer that should not. NaNs stay NaNs.
 */
static void away_estimate(Sel *s, bool dbl, Xmm t, Xmm a)
{
    x64_rvm_m(s->a, VANDPS, t, a, sel_vconst(s, dbl ? 1ull << 63 : 1u << 31, 0));
    x64_rvm_m(s->a, VORPS, t, t, sel_vconst(s, dbl ? 0x3fdfffffffffffff : 0x3effffff, 0));
    x64_rvm(s->a, dbl ? VADDSD_RN : VADDSS_RN, t, a, t);
}

static bool rint_away512(Sel *s, const IrInsn *i)
{
    bool dbl = i->type == IR_F64;
    Xmm a = sel_use_x(s, i->a);
    Extra x = extra(s, false);
    Xmm d = extra_def(s, i, &x);
    Xmm t = sel_tmp_x(s);
    extra_guard(s, &x, (IrType)i->type, a);
    if (!x.careful) /* a signalling NaN traps */
        x64_rvmi(s->a, dbl ? VCMPSD : VCMPSS, t, a, a, X64_CMP_UNORD_Q);
    away_estimate(s, dbl, t, a);
    x64_rvmi(s->a, dbl ? VROUNDSD : VROUNDSS, d, t, t, X64_ROUND_RTZ | X64_ROUND_QUIET);
    extra_done(s, i, &x, d);
    return true;
}

static bool rint_away(Sel *s, const IrInsn *i)
{
    if (s->feat->avx512)
        return rint_away512(s, i);
    Xmm a = sel_use_x(s, i->a);
    Extra x = extra(s, false);
    Xmm d = sel_def_x(s, i);
    Away w = {sel_tmp_x(s), sel_tmp_x(s)};
    if (!x.any)
        x.slow = sel_label(s);
    extra_guard(s, &x, (IrType)i->type, a);
    round_away(s, (IrType)i->type, d, a, w, x.slow);
    sel_cold_eval_at(s, i, x.slow);
    return true;
}

/* A NaN operand gives itself, quieted, on both sides. */
static bool rint_(Sel *s, const IrInsn *i)
{
    IrType f = (IrType)i->type;
    unsigned imm;

    if (f == IR_F16)
        return vsel_f16_rint(s, i);
    if ((i->aux & 7) == FP_RNA && !(i->aux & IR_EXACT))
        return rint_away(s, i);
    if (!vsel_round_imm(i->aux & 7, &imm))
        return false;
    Xmm a = sel_use_x(s, i->a);
    Extra x = extra(s, false);
    Xmm d = extra_def(s, i, &x);
    extra_guard(s, &x, f, a);
    x64_rvmi(s->a, round_scalar[fp_index(f)], d, a, a, imm | (i->aux & IR_EXACT ? 0 : X64_ROUND_QUIET));
    extra_done(s, i, &x, d);
    return true;
}

/* --- comparison ------------------------------------------------------------------------------------------------------- */

/* Flags after (u)comi x, y: unordered ZF PF CF; less CF; equal ZF; greater none. `swap`: compare b with a. */
typedef struct CompareRow {
    bool valid, swap;
    SelCond cond;
} CompareRow;

static const CompareRow compare_row[16] = {
    [IR_LT] = {true, true, {.cc = CC_A}},
    [IR_EQ] = {true, false, {.cc = CC_NE, .cc2 = CC_P, .two = true, .inv = true}},
    [IR_LT | IR_EQ] = {true, true, {.cc = CC_AE}},
    [IR_GT] = {true, false, {.cc = CC_A}},
    [IR_LT | IR_GT] = {true, false, {.cc = CC_NE}},
    [IR_EQ | IR_GT] = {true, false, {.cc = CC_AE}},
    [IR_LT | IR_EQ | IR_GT] = {true, false, {.cc = CC_NP}},
    [IR_UN] = {true, false, {.cc = CC_P}},
    [IR_LT | IR_UN] = {true, false, {.cc = CC_B}},
    [IR_EQ | IR_UN] = {true, false, {.cc = CC_E}},
    [IR_LT | IR_EQ | IR_UN] = {true, false, {.cc = CC_BE}},
    [IR_GT | IR_UN] = {true, true, {.cc = CC_B}},
    [IR_LT | IR_GT | IR_UN] = {true, false, {.cc = CC_NE, .cc2 = CC_P, .two = true}},
    [IR_EQ | IR_GT | IR_UN] = {true, true, {.cc = CC_BE}},
};

/*
 * Without a trap: operands that may be NaNs go out of line, where ir_eval raises what is to be raised and says whether they
 * are unordered; 1 + 255 as a byte then makes the flags of that.
 */
static void compare_careful(Sel *s, const IrInsn *i, bool swap)
{
    IrType f = (IrType)i->lane;
    Xmm x = sel_use_x(s, swap ? i->b : i->a), y = sel_use_x(s, swap ? i->a : i->b);
    Gpr g = sel_tmp_r(s);
    uint32_t slow = sel_label(s), ordered = sel_label(s), back = sel_label(s);
    IrInsn unordered = *i;

    unordered.aux = (uint8_t)(IR_UN | (i->aux & IR_SIGNALLING));
    guard(s, f, x, g, slow);
    guard(s, f, y, g, slow);
    sel_bind(s, ordered);
    x64_rm(s->a, ucomi[fp_index(f)], x, y);
    sel_bind(s, back);
    sel_cold_begin(s);
    sel_bind(s, slow);
    Mem m = sel_cold_call(s, &unordered);
    x64_alu_mi(s->a, ALU_ADD, W8, m, -1);
    x64_jcc(s->a, CC_AE, ordered);
    x64_jmp(s->a, back);
    sel_cold_end(s);
}

static bool compare(Sel *s, const IrInsn *i, SelCond *out)
{
    IrType f = (IrType)i->lane;
    const CompareRow *row = &compare_row[i->aux & 15];

    if (!row->valid)
        return false;
    *out = row->cond;
    if (!fp_host(s, f)) {
        if (s->r->fp.careful & IR_FP_CAREFUL_COMPARE)
            return false;
        vsel_f16_compare(s, row->swap ? i->b : i->a, row->swap ? i->a : i->b, i->aux & IR_SIGNALLING);
        return true;
    }
    if (s->r->fp.careful & IR_FP_CAREFUL_COMPARE) {
        compare_careful(s, i, row->swap);
        return true;
    }
    Xmm x = sel_use_x(s, row->swap ? i->b : i->a);
    RXm y = sel_use_xm(s, row->swap ? i->a : i->b, fp_bytes(f));
    x64_rm_xm(s->a, (i->aux & IR_SIGNALLING ? comi : ucomi)[fp_index(f)], x, y);
    return true;
}

/* --- between formats ---------------------------------------------------------------------------------------------------- */

/* t = the low `bytes` of a, zero above: packed conversions must not see what lies there. */
static void isolate(Sel *s, Xmm t, Xmm a, unsigned bytes)
{
    x64_rvm_m(s->a, VPAND, t, a, sel_vconst(s, bytes == 2 ? 0xffff : 0xffffffff, 0));
}

/* Widening is exact; NaNs keep sign and payload and become quiet, as Arm's do. */
static bool widen(Sel *s, const IrInsn *i)
{
    Xmm a = sel_use_x(s, i->a);
    Extra x = extra(s, false);
    Xmm d = extra_def(s, i, &x);

    extra_guard(s, &x, (IrType)i->lane, a);
    if (i->lane == IR_F32) {
        x64_rvm(s->a, VCVTSS2SD, d, a, a);
    } else {
        isolate(s, d, a, 2);
        x64_rm(s->a, VCVTPH2PS, d, d);
        if (i->type == IR_F64)
            x64_rvm(s->a, VCVTSS2SD, d, d, d);
    }
    extra_done(s, i, &x, d);
    return true;
}

static bool narrow_f32(Sel *s, const IrInsn *i)
{
    Xmm a = sel_use_x(s, i->a);
    Extra x = extra(s, true);
    Xmm d = sel_def_x(s, i);

    extra_guard(s, &x, IR_F64, a);
    x64_rvm(s->a, VPXOR, d, d, d);
    x64_rvm(s->a, VCVTSD2SS, d, d, a);
    extra_done(s, i, &x, d);
    return true;
}

static bool narrow_f16(Sel *s, const IrInsn *i)
{
    Xmm a = sel_use_x(s, i->a);
    Extra x = extra(s, false);
    Xmm d = sel_def_x(s, i);
    Gpr t = s->r->fp.exact ? sel_tmp_r(s) : x.g;

    extra_guard(s, &x, (IrType)i->lane, a);
    if (i->lane == IR_F64) {
        x64_rvm(s->a, VPXOR, d, d, d);
        x64_rvm(s->a, VCVTSD2SH, d, d, a);
    } else {
        isolate(s, d, a, 4);
        x64_mri(s->a, VCVTPS2PH, d, d, X64_ROUND_CUR);
    }
    if (s->r->fp.exact) { /* as in extra_done */
        x64_gx(s->a, VMOVD_GX, t, d);
        x64_alu_ri(s->a, ALU_AND, W32, t, 0x7fff);
        x64_alu_ri(s->a, ALU_CMP, W32, t, 0x0400);
        sel_cold_eval(s, i, CC_E);
    }
    extra_done(s, i, &x, d);
    return true;
}

static bool convert(Sel *s, const IrInsn *i)
{
    if (i->type > i->lane)
        return widen(s, i);
    if ((i->aux & 7) != FP_RCUR || i->type == i->lane)
        return false;
    if (i->type == IR_F32)
        return narrow_f32(s, i);
    if (i->lane == IR_F64 && !s->feat->fp16)
        return false; /* through f32 it would be rounded twice */
    return narrow_f16(s, i);
}

/* --- to integers -------------------------------------------------------------------------------------------------------- */

/* To integer, truncating: [source f64][result 64 bits][unsigned, AVX-512]; `raise`: the same for its "inexact" flag only. */
static const X64Vec cvtt[2][2][2] = {
    {{VCVTTSS2SI, VCVTTSS2USI}, {VCVTTSS2SI_Q, VCVTTSS2USI_Q}},
    {{VCVTTSD2SI, VCVTTSD2USI}, {VCVTTSD2SI_Q, VCVTTSD2USI_Q}},
};
static const X64Vec cvt_raise[2][2][2] = {
    {{VCVTSS2SI, VCVTSS2USI}, {VCVTSS2SI_Q, VCVTSS2USI_Q}},
    {{VCVTSD2SI, VCVTSD2USI}, {VCVTSD2SI_Q, VCVTSD2USI_Q}},
};

typedef struct ToInt {
    bool dbl, wide, sign, usi; /* usi: by AVX-512's unsigned conversions */
    unsigned round;            /* FpRound */
} ToInt;

/* Careful code: values that might not fit, rounded or not, go to `slow`, and some that do; t is spoiled. */
static void int_range(Sel *s, ToInt k, Xmm a, Xmm t, uint32_t slow)
{
    unsigned bits = (k.wide ? 64 : 32) - k.sign - (k.round != FP_RTZ);

    x64_rvm_m(s->a, VANDPS, t, a, sel_vconst(s, k.dbl ? ~0ull >> 1 : 0x7fffffff, 0));
    x64_rm_m(s->a, k.dbl ? VUCOMISD : VUCOMISS, t,
             sel_vconst(s, k.dbl ? (1023ull + bits) << 52 : (127ull + bits) << 23, 0));
    x64_jcc(s->a, CC_AE, slow);
    if (!k.sign) {
        x64_rm_m(s->a, VPTEST, a, sel_vconst(s, k.dbl ? 1ull << 63 : 1u << 31, 0));
        x64_jcc(s->a, CC_NE, slow);
    }
}

/*
 * Unsigned without AVX-512: convert t, rounded already, by the signed conversion, with a jump to `slow` when the result is not
 * that; then ir_eval does everything, and what trapped raised at most "invalid", which is what Arm raises.
 */
static void to_unsigned(Sel *s, ToInt k, Gpr d, Xmm t, Gpr g, uint32_t slow)
{
    if (!k.wide) {
        x64_gx(s->a, cvtt[k.dbl][1][0], g, t);
        x64_mov_rr(s->a, W32, d, g);
        x64_alu_rr(s->a, ALU_CMP, W64, d, g);
        x64_jcc(s->a, CC_NE, slow);
    } else {
        /* values of 2^63 and more would be invalid to the host's signed conversion */
        x64_rm_m(s->a, k.dbl ? VUCOMISD : VUCOMISS, t, sel_vconst(s, k.dbl ? 0x43e0000000000000 : 0x5f000000, 0));
        x64_jcc(s->a, CC_P, slow);
        x64_jcc(s->a, CC_AE, slow);
        x64_gx(s->a, cvtt[k.dbl][1][0], d, t);
        x64_test_rr(s->a, W64, d, d);
        x64_jcc(s->a, CC_S, slow);
    }
}

/*
 * x = a (f16: as f32) times 2^fbits. That is exact but for overflow: values which no integer can hold anyway, and NaNs, go
 * to `slow` before.
 */
static void scale_up(Sel *s, const IrInsn *i, Xmm x, Xmm a, Xmm t, uint32_t slow)
{
    bool dbl = i->lane == IR_F64;

    if (i->lane == IR_F16) {
        vsel_f16_widen(s, x, a);
        a = x;
    }
    if (!i->imm)
        return;
    x64_rvm_m(s->a, VANDPS, t, a, sel_vconst(s, dbl ? ~0ull >> 1 : 0x7fffffff, 0));
    x64_rm_m(s->a, dbl ? VUCOMISD : VUCOMISS, t, sel_vconst(s, dbl ? 0x43e0000000000000 : 0x5f000000, 0)); /* 2^63 */
    x64_jcc(s->a, CC_P, slow);
    x64_jcc(s->a, CC_AE, slow);
    if (dbl)
        x64_rvm_m(s->a, VMULSD, x, a, sel_vconst(s, (1023 + i->imm) << 52, 0));
    else
        x64_rvm_m(s->a, VMULSS, x, a, sel_vconst(s, (127 + i->imm) << 23, 0));
}

/* Ties away, where a number that has a fraction cannot be too large for the integer. */
static bool to_int_away(const Sel *s, ToInt k)
{
    return s->feat->avx512 && k.round == FP_RNA && k.sign && (k.wide || !k.dbl);
}

/*
 * d = a rounded as k says. What does not fit traps, or goes to `slow`: there it must not have raised "inexact", so it is
 * rounded first.
 */
static void convert_rounded(Sel *s, ToInt k, Gpr d, Xmm a, Xmm t, const Away *w, Gpr g, unsigned imm, uint32_t slow)
{
    bool host = k.sign || k.usi;

    if (to_int_away(s, k)) {
        static const X64Vec quiet[2][2] = {{VCVTTSS2SI_SAE, VCVTTSS2SI_Q_SAE}, {X64_NVEC, VCVTTSD2SI_Q_SAE}};
        away_estimate(s, k.dbl, t, a);
        x64_gx(s->a, quiet[k.dbl][k.wide], d, t);
        x64_gx(s->a, cvt_raise[k.dbl][k.wide][0], g, a);
        return;
    }
    bool direct = k.round == FP_RTZ && host;
    if (direct) {
        t = a;
    } else if (k.round == FP_RNA) {
        round_away(s, k.dbl ? IR_F64 : IR_F32, t, a, *w, slow);
    } else {
        x64_rvmi(s->a, k.dbl ? VROUNDSD : VROUNDSS, t, a, a, imm | X64_ROUND_QUIET);
    }
    if (host)
        x64_gx(s->a, cvtt[k.dbl][k.wide][k.usi], d, t);
    else
        to_unsigned(s, k, d, t, g, slow);
    if (direct)
        return;
    if (host) /* see fptrap.c */
        x64_gx(s->a, cvt_raise[k.dbl][k.wide][k.usi], g, a);
    else /* it fits: raise "inexact" if the rounding was */
        x64_gx(s->a, cvtt[k.dbl][1][0], g, a);
}

static bool to_int(Sel *s, const IrInsn *i)
{
    ToInt k = {.dbl = i->lane == IR_F64, .wide = i->type == IR_I64, .sign = i->aux & IR_SIGNED, .round = i->aux & 7};
    unsigned imm = 0;
    Away w = {{0}, {0}};
    Xmm t = {0}, x = {0};
    Gpr g = {0};

    if (i->type < IR_I32)
        return false;
    if (k.round != FP_RNA && !vsel_round_imm(k.round, &imm))
        return false;
    k.usi = !k.sign && s->feat->avx512;
    bool direct = k.round == FP_RTZ && (k.sign || k.usi), scaled = i->imm || i->lane == IR_F16;
    Xmm a = sel_use_x(s, i->a);
    Extra e = extra(s, false);
    Gpr d = sel_def_r(s, i);
    if (!direct)
        g = sel_tmp_r(s);
    if (!direct || scaled || e.careful)
        t = sel_tmp_x(s);
    if (k.round == FP_RNA && !to_int_away(s, k))
        w = (Away){sel_tmp_x(s), sel_tmp_x(s)};
    if (scaled)
        x = sel_tmp_x(s);
    bool cold = e.careful || !direct || i->imm;
    if (!e.any && cold)
        e.slow = sel_label(s);
    extra_guard(s, &e, (IrType)i->lane, a);
    if (scaled) {
        scale_up(s, i, x, a, t, e.slow);
        a = x;
    }
    if (e.careful)
        int_range(s, k, a, t, e.slow);
    convert_rounded(s, k, d, a, t, &w, g, imm, e.slow);
    if (cold)
        sel_cold_eval_at(s, i, e.slow);
    return true;
}

/* FJCVTZS: the result is exact when it converts back to the same bits (-0 does not). Large values wrap: left to ir_eval. */
static bool js_to_int(Sel *s, const IrInsn *i)
{
    Xmm a = sel_use_x(s, i->a);
    Extra x = extra(s, false);
    Gpr d = sel_def_r(s, i);
    Gpr g = sel_tmp_r(s), h = sel_tmp_r(s);
    Xmm t = sel_tmp_x(s);

    if (!x.any)
        x.slow = sel_label(s);
    extra_guard(s, &x, IR_F64, a);
    x64_rvm_m(s->a, VANDPS, t, a, sel_vconst(s, ~0ull >> 1, 0));
    x64_rm_m(s->a, VUCOMISD, t, sel_vconst(s, 0x41e0000000000000, 0)); /* 2^31 */
    x64_jcc(s->a, CC_P, x.slow);
    x64_jcc(s->a, CC_AE, x.slow);
    x64_gx(s->a, VCVTTSD2SI, d, a);
    x64_rvm(s->a, VPXOR, t, t, t);
    x64_rvm_g(s->a, VCVTSI2SD, t, t, d);
    x64_gx(s->a, VMOVQ_GX, g, t);
    x64_gx(s->a, VMOVQ_GX, h, a);
    x64_alu_rr(s->a, ALU_CMP, W64, g, h);
    x64_mov_ri(s->a, g, 0);
    x64_setcc(s->a, CC_E, g);
    x64_shift_i(s->a, SH_SHL, W64, g, 32);
    x64_alu_rr(s->a, ALU_OR, W64, d, g);
    sel_cold_eval_at(s, i, x.slow);
    return true;
}

/* --- from integers -------------------------------------------------------------------------------------------------------- */

static const X64Vec cvtsi[2][2] = {{VCVTSI2SS, VCVTSI2SS_Q}, {VCVTSI2SD, VCVTSI2SD_Q}};

/* Exact, as the result is far from underflow: it is the integer, rounded, times 2^-fbits. */
static void scale_down(Sel *s, const IrInsn *i, Xmm d)
{
    if (!i->imm)
        return;
    if (i->type == IR_F64)
        x64_rvm_m(s->a, VMULSD, d, d, sel_vconst(s, (1023 - i->imm) << 52, 0));
    else
        x64_rvm_m(s->a, VMULSS, d, d, sel_vconst(s, (127 - i->imm) << 23, 0));
}

/* Unsigned 64 bits without AVX-512: large values are halved with a sticky last bit, converted, doubled. */
static void from_u64(Sel *s, bool dbl, Xmm d, Gpr a, Gpr t, Gpr u)
{
    uint32_t large = sel_label(s), back = sel_label(s);

    x64_test_rr(s->a, W64, a, a);
    x64_jcc(s->a, CC_S, large);
    x64_rvm_g(s->a, cvtsi[dbl][1], d, d, a);
    sel_bind(s, back);
    sel_cold_begin(s);
    sel_bind(s, large);
    x64_mov_rr(s->a, W64, t, a);
    x64_mov_rr(s->a, W32, u, a);
    x64_shift_i(s->a, SH_SHR, W64, t, 1);
    x64_alu_ri(s->a, ALU_AND, W32, u, 1);
    x64_alu_rr(s->a, ALU_OR, W64, t, u);
    x64_rvm_g(s->a, cvtsi[dbl][1], d, d, t);
    x64_rvm(s->a, dbl ? VADDSD : VADDSS, d, d, d);
    x64_jmp(s->a, back);
    sel_cold_end(s);
}

static bool from_int(Sel *s, const IrInsn *i)
{
    static const X64Vec cvtusi[2] = {VCVTUSI2SS_Q, VCVTUSI2SD_Q};
    bool dbl = i->type == IR_F64, sign = i->aux & IR_SIGNED, wide = i->lane == IR_I64;

    if ((i->type == IR_F16 && i->imm) || i->lane < IR_I32)
        return false; /* scaled halves would be rounded twice */
    Gpr a = sel_use_r(s, i->a), t = {0}, u = {0};
    Xmm d = sel_def_x(s, i);
    if (!sign && (!wide || !s->feat->avx512)) {
        t = sel_tmp_r(s);
        u = sel_tmp_r(s);
    }
    x64_rvm(s->a, VPXOR, d, d, d); /* no dependency on what the register held */
    if (sign) {
        x64_rvm_g(s->a, cvtsi[dbl][wide], d, d, a);
    } else if (!wide) {
        x64_mov_rr(s->a, W32, t, a);
        x64_rvm_g(s->a, cvtsi[dbl][1], d, d, t);
    } else if (s->feat->avx512) {
        x64_rvm_g(s->a, cvtusi[dbl], d, d, a);
    } else {
        from_u64(s, dbl, d, a, t, u);
    }
    if (i->type == IR_F16) /* integers in its range were converted exactly */
        x64_mri(s->a, VCVTPS2PH, d, d, X64_ROUND_CUR);
    else
        scale_down(s, i, d);
    return true;
}

/* Bits between the register classes; only the low part counts. */
static bool bitcast(Sel *s, const IrInsn *i)
{
    bool to_int_reg = ir_type_is_int((IrType)i->type);
    bool wide = i->type == IR_F64 || i->lane == IR_F64;

    if (to_int_reg == ir_type_is_int((IrType)i->lane))
        return false;
    if (to_int_reg) {
        Xmm a = sel_use_x(s, i->a);
        Gpr d = sel_def_r(s, i);
        x64_gx(s->a, wide ? VMOVQ_GX : VMOVD_GX, d, a);
    } else {
        Gpr a = sel_use_r(s, i->a);
        Xmm d = sel_def_x(s, i);
        x64_xg(s->a, wide ? VMOVQ_XG : VMOVD_XG, d, a);
    }
    return true;
}

SelRule *const sel_fp_rules[IR_NOPS] = {
    [IR_FADD] = arith, [IR_FSUB] = arith, [IR_FMUL] = arith, [IR_FDIV] = arith,
    [IR_FSQRT] = square_root, [IR_FMA] = fused, [IR_FNEG] = negate, [IR_FABS] = absolute,
    [IR_FMIN] = min_max, [IR_FMAX] = min_max, [IR_FMINNUM] = min_max, [IR_FMAXNUM] = min_max,
    [IR_FRINT] = rint_, [IR_FCVT] = convert, [IR_FTOI] = to_int, [IR_ITOF] = from_int,
    [IR_BITCAST] = bitcast, [IR_FMULX] = mulx, [IR_FRECPS] = step, [IR_FRSQRTS] = step, [IR_FJCVT] = js_to_int,
};

/* Whether any bit of a vector is set. */
static bool any_bit(Sel *s, const IrInsn *i, SelCond *out)
{
    Xmm a = sel_use_x(s, i->a);
    x64_rm(s->a, VPTEST, a, a);
    *out = (SelCond){.cc = CC_NE};
    return true;
}

SelCondRule *const sel_fp_conds[IR_NOPS] = {
    [IR_FCMP] = compare, [IR_VANY] = any_bit,
};
