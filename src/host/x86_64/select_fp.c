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

/* NaN results are redone: Arm's choice of operand and its default NaN differ from the host's. */
static void nan_check(Sel *s, const IrInsn *i, Xmm d)
{
    x64_rm(s->a, ucomi[fp_index((IrType)i->type)], d, d);
    sel_cold_eval(s, i, CC_P);
}

/*
 * NaN results, and those of the least normal magnitude: Arm calls these tiny when the unrounded value was below, the
 * host does not, so that the underflow flag may be missing. Every other tiny inexact result raises it on both. One
 * comparison finds both kinds, as unordered sets ZF too.
 */
static void tiny_check(Sel *s, const IrInsn *i, Xmm d, Xmm t)
{
    IrType f = (IrType)i->type;

    x64_rvm_m(s->a, VANDPS, t, d, sel_vconst(s, fp_sign_bit(f) - 1, 0));
    x64_rm_m(s->a, ucomi[fp_index(f)], t, sel_vconst(s, fp_min_normal(f), 0));
    sel_cold_eval(s, i, CC_E);
}

/*
 * The upper bits of results are the first operand's. Where they are zero the result is the whole vector register that the
 * guest sees, and its vzext costs nothing. Operands that may change places do so for that.
 */
static bool clean(const Sel *s, IrRef v)
{
    return ra_val(s, v)->flags & VAL_CLEAN;
}

static bool swap(const Sel *s, const IrInsn *i)
{
    return (i->op == IR_FADD || i->op == IR_FMUL) && !clean(s, i->a) && clean(s, i->b);
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
    case IR_FADD: case IR_FMUL:
        return clean(s, i->a) || clean(s, i->b);
    case IR_FSUB: case IR_FDIV: case IR_FSQRT: case IR_FNEG:
        return clean(s, i->a);
    case IR_FRINT:
        return clean(s, i->a) || (i->aux & 7) == FP_RNA;
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

static bool add_sub(Sel *s, const IrInsn *i)
{
    static const X64Vec op[2][3] = {{VADDSH, VADDSS, VADDSD}, {VSUBSH, VSUBSS, VSUBSD}};
    IrType f = (IrType)i->type;

    if (!fp_host(s, f))
        return vsel_f16_arith(s, i);
    bool sw = swap(s, i);
    Xmm a = sel_use_x(s, sw ? i->b : i->a);
    RXm b = sel_use_xm(s, sw ? i->a : i->b, fp_bytes(f));
    Xmm d = sel_def_x(s, i);
    x64_rvm_xm(s->a, op[i->op == IR_FSUB][fp_index(f)], d, a, b);
    nan_check(s, i, d);
    return true;
}

static bool mul_div(Sel *s, const IrInsn *i)
{
    static const X64Vec op[2][3] = {{VMULSH, VMULSS, VMULSD}, {VDIVSH, VDIVSS, VDIVSD}};
    IrType f = (IrType)i->type;

    if (!fp_host(s, f))
        return vsel_f16_arith(s, i);
    bool sw = swap(s, i);
    Xmm a = sel_use_x(s, sw ? i->b : i->a);
    RXm b = sel_use_xm(s, sw ? i->a : i->b, fp_bytes(f));
    Xmm d = sel_def_x(s, i);
    Xmm t = sel_tmp_x(s);
    x64_rvm_xm(s->a, op[i->op == IR_FDIV][fp_index(f)], d, a, b);
    tiny_check(s, i, d, t);
    return true;
}

static bool square_root(Sel *s, const IrInsn *i)
{
    static const X64Vec op[] = {VSQRTSH, VSQRTSS, VSQRTSD};
    IrType f = (IrType)i->type;

    if (!fp_host(s, f))
        return vsel_f16_arith(s, i);
    Xmm a = sel_use_x(s, i->a);
    Xmm d = sel_def_x(s, i);
    x64_rvm(s->a, op[fp_index(f)], d, a, a);
    nan_check(s, i, d);
    return true;
}

static bool fused(Sel *s, const IrInsn *i)
{
    static const X64Vec op[4][3] = {
        {VFMADD231SH, VFMADD231SS, VFMADD231SD}, {VFNMADD231SH, VFNMADD231SS, VFNMADD231SD},
        {VFMSUB231SH, VFMSUB231SS, VFMSUB231SD}, {VFNMSUB231SH, VFNMSUB231SS, VFNMSUB231SD}};
    IrType f = (IrType)i->type;

    if (!fp_host(s, f))
        return false;
    Xmm a = sel_use_x(s, i->a);
    RXm b = sel_use_xm(s, i->b, fp_bytes(f));
    Xmm c = sel_use_x(s, i->c);
    Xmm d = sel_def_x(s, i);
    Xmm t = sel_tmp_x(s);
    x64_rm(s->a, VMOVAPS, d, c);
    x64_rvm_xm(s->a, op[i->aux & 3][fp_index(f)], d, a, b);
    tiny_check(s, i, d, t);
    return true;
}

/* Zeros and NaNs in `a` go to `slow`. */
static void nonzero(Sel *s, IrType f, Xmm a, uint32_t slow)
{
    x64_rm_m(s->a, ucomi[fp_index(f)], a, sel_vconst(s, 0, 0));
    x64_jcc(s->a, CC_E, slow);
}

/*
 * FMULX, FRECPS, FRSQRTS: a product that is not invalid when it is zero by infinity; the steps subtract it from 2, or from
 * 3 and halve. For the latter a is halved instead, which is exact unless it is about to underflow.
 */
static bool step(Sel *s, const IrInsn *i)
{
    IrType f = (IrType)i->type;
    bool dbl = f == IR_F64, rsqrt = i->op == IR_FRSQRTS;

    if (f == IR_F16)
        return false;
    Xmm a = sel_use_x(s, i->a);
    Xmm b = sel_use_x(s, i->b);
    Xmm d = sel_def_x(s, i);
    Xmm t = sel_tmp_x(s);
    uint32_t slow = sel_label(s);
    nonzero(s, f, a, slow);
    nonzero(s, f, b, slow);
    if (rsqrt) {
        x64_rvm_m(s->a, VANDPS, t, a, sel_vconst(s, fp_sign_bit(f) - 1, 0));
        x64_rm_m(s->a, ucomi[fp_index(f)], t, sel_vconst(s, 2 * fp_min_normal(f), 0));
        x64_jcc(s->a, CC_B, slow);
        x64_rvm_m(s->a, dbl ? VMULSD : VMULSS, t, a, sel_vconst(s, dbl ? 0x3fe0000000000000 : 0x3f000000, 0));
        a = t;
    }
    if (i->op == IR_FMULX) {
        x64_rvm(s->a, dbl ? VMULSD : VMULSS, d, a, b);
    } else {
        uint64_t k = dbl ? rsqrt ? 0x3ff8000000000000 : 0x4000000000000000 : rsqrt ? 0x3fc00000 : 0x40000000;
        x64_rm_m(s->a, VMOVAPS, d, sel_vconst(s, k, 0));
        x64_rvm(s->a, dbl ? VFNMADD231SD : VFNMADD231SS, d, a, b);
    }
    x64_rvm_m(s->a, VANDPS, t, d, sel_vconst(s, fp_sign_bit(f) - 1, 0));
    x64_rm_m(s->a, ucomi[fp_index(f)], t, sel_vconst(s, fp_min_normal(f), 0));
    x64_jcc(s->a, CC_E, slow);
    sel_cold_eval_at(s, i, slow);
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
 * The host's minimum takes the second operand when the two are equal (-0, +0) or unordered, and signals quiet NaNs. So it
 * runs only on ordered unequal operands; of equal ones the bits are the same, or those of the two zeros, of which `or` gives
 * the minimum and `and` the maximum.
 */
static bool min_max(Sel *s, const IrInsn *i)
{
    static const X64Vec op[2][3] = {{X64_NVEC, VMINSS, VMINSD}, {X64_NVEC, VMAXSS, VMAXSD}};
    IrType f = (IrType)i->type;
    bool max = i->op == IR_FMAX || i->op == IR_FMAXNUM;

    if (f == IR_F16)
        return vsel_f16_minmax(s, i);
    Xmm a = sel_use_x(s, i->a);
    Xmm b = sel_use_x(s, i->b);
    Xmm d = sel_def_x(s, i);
    uint32_t equal = sel_label(s), back = sel_label(s), slow = sel_label(s);
    x64_rm(s->a, ucomi[fp_index(f)], a, b);
    x64_jcc(s->a, CC_E, equal);
    x64_rvm(s->a, op[max][fp_index(f)], d, a, b);
    sel_bind(s, back);
    sel_cold_begin(s);
    sel_bind(s, equal);
    x64_jcc(s->a, CC_P, slow);
    x64_rvm(s->a, max ? VANDPS : VORPS, d, a, b);
    x64_jmp(s->a, back);
    sel_cold_end(s);
    sel_cold_eval_at(s, i, slow);
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

static bool rint_away(Sel *s, const IrInsn *i)
{
    Xmm a = sel_use_x(s, i->a);
    Xmm d = sel_def_x(s, i);
    Away w = {sel_tmp_x(s), sel_tmp_x(s)};
    uint32_t slow = sel_label(s);
    round_away(s, (IrType)i->type, d, a, w, slow);
    sel_cold_eval_at(s, i, slow);
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
    Xmm d = sel_def_x_last(s, i);
    x64_rvmi(s->a, round_scalar[fp_index(f)], d, a, a, imm | (i->aux & IR_EXACT ? 0 : X64_ROUND_QUIET));
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

static bool compare(Sel *s, const IrInsn *i, SelCond *out)
{
    IrType f = (IrType)i->lane;
    const CompareRow *row = &compare_row[i->aux & 15];

    if (!row->valid)
        return false;
    *out = row->cond;
    if (!fp_host(s, f)) {
        vsel_f16_compare(s, row->swap ? i->b : i->a, row->swap ? i->a : i->b, i->aux & IR_SIGNALLING);
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
    Xmm d = sel_def_x_last(s, i);

    if (i->lane == IR_F32) {
        x64_rvm(s->a, VCVTSS2SD, d, a, a);
        return true;
    }
    isolate(s, d, a, 2);
    x64_rm(s->a, VCVTPH2PS, d, d);
    if (i->type == IR_F64)
        x64_rvm(s->a, VCVTSS2SD, d, d, d);
    return true;
}

static bool narrow_f32(Sel *s, const IrInsn *i)
{
    Xmm a = sel_use_x(s, i->a);
    Xmm d = sel_def_x(s, i);
    Xmm t = sel_tmp_x(s);
    x64_rvm(s->a, VPXOR, d, d, d);
    x64_rvm(s->a, VCVTSD2SS, d, d, a);
    tiny_check(s, i, d, t);
    return true;
}

static bool narrow_f16(Sel *s, const IrInsn *i)
{
    Xmm a = sel_use_x(s, i->a);
    Xmm d = sel_def_x(s, i);
    Gpr t = sel_tmp_r(s);

    if (i->lane == IR_F64) {
        x64_rvm(s->a, VPXOR, d, d, d);
        x64_rvm(s->a, VCVTSD2SH, d, d, a);
    } else {
        isolate(s, d, a, 4);
        x64_mri(s->a, VCVTPS2PH, d, d, X64_ROUND_CUR);
    }
    x64_gx(s->a, VMOVD_GX, t, d);
    x64_alu_ri(s->a, ALU_AND, W32, t, 0x7fff);
    x64_alu_ri(s->a, ALU_CMP, W32, t, 0x0400);
    sel_cold_eval(s, i, CC_E);
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

/* cvtt to integer: [source f64][result 64 bits][unsigned, AVX-512] */
static const X64Vec cvtt[2][2][2] = {
    {{VCVTTSS2SI, VCVTTSS2USI}, {VCVTTSS2SI_Q, VCVTTSS2USI_Q}},
    {{VCVTTSD2SI, VCVTTSD2USI}, {VCVTTSD2SI_Q, VCVTTSD2USI_Q}},
};

typedef struct ToInt {
    bool dbl, wide, sign, usi; /* usi: by AVX-512's unsigned conversions */
    unsigned round;            /* FpRound */
} ToInt;

/*
 * Convert t, rounded already, with a jump to `slow` when it does not fit: then ir_eval does everything, and the host has
 * raised at most "invalid", which is what Arm raises.
 */
static void to_int_checked(Sel *s, ToInt k, Gpr d, Xmm t, Gpr g, uint32_t slow)
{
    if (k.sign || k.usi) {
        x64_gx(s->a, cvtt[k.dbl][k.wide][k.usi], d, t);
        /* the value that stands for "does not fit": the least one, or all ones */
        x64_alu_ri(s->a, ALU_CMP, k.wide ? W64 : W32, d, k.sign ? 1 : -1);
        x64_jcc(s->a, k.sign ? CC_O : CC_E, slow);
    } else if (!k.wide) {
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

/* Whether the host's truncating conversion alone gives result and flags. */
static bool direct(ToInt k)
{
    return k.round == FP_RTZ && (k.sign || k.usi);
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

static bool to_int(Sel *s, const IrInsn *i)
{
    ToInt k = {.dbl = i->lane == IR_F64, .wide = i->type == IR_I64, .sign = i->aux & IR_SIGNED, .round = i->aux & 7};
    unsigned imm = 0;
    Away w;

    if (i->type < IR_I32)
        return false;
    if (k.round != FP_RNA && !vsel_round_imm(k.round, &imm))
        return false;
    k.usi = !k.sign && s->feat->avx512;
    Xmm a = sel_use_x(s, i->a);
    Gpr d = sel_def_r(s, i);
    Gpr g = sel_tmp_r(s);
    Xmm t = sel_tmp_x(s);
    if (k.round == FP_RNA)
        w = (Away){sel_tmp_x(s), sel_tmp_x(s)};
    uint32_t slow = sel_label(s);
    if (i->imm || i->lane == IR_F16) {
        Xmm x = sel_tmp_x(s);
        scale_up(s, i, x, a, t, slow);
        a = x;
    }
    if (direct(k)) {
        to_int_checked(s, k, d, a, g, slow);
    } else {
        if (k.round == FP_RNA)
            round_away(s, k.dbl ? IR_F64 : IR_F32, t, a, w, slow);
        else
            x64_rvmi(s->a, k.dbl ? VROUNDSD : VROUNDSS, t, a, a, imm | X64_ROUND_QUIET);
        to_int_checked(s, k, d, t, g, slow);
        /* it fits: raise "inexact" if the rounding was */
        x64_gx(s->a, k.usi ? cvtt[k.dbl][k.wide][1] : cvtt[k.dbl][k.wide || !k.sign][0], g, a);
    }
    sel_cold_eval_at(s, i, slow);
    return true;
}

/* FJCVTZS: the result is exact when it converts back to the same bits (-0 does not). Large values wrap: left to ir_eval. */
static bool js_to_int(Sel *s, const IrInsn *i)
{
    Xmm a = sel_use_x(s, i->a);
    Gpr d = sel_def_r(s, i);
    Gpr g = sel_tmp_r(s), h = sel_tmp_r(s);
    Xmm t = sel_tmp_x(s);

    x64_gx(s->a, VCVTTSD2SI, d, a);
    x64_alu_ri(s->a, ALU_CMP, W32, d, 1);
    uint32_t slow = sel_label(s);
    x64_jcc(s->a, CC_O, slow);
    x64_rvm(s->a, VPXOR, t, t, t);
    x64_rvm_g(s->a, VCVTSI2SD, t, t, d);
    x64_gx(s->a, VMOVQ_GX, g, t);
    x64_gx(s->a, VMOVQ_GX, h, a);
    x64_alu_rr(s->a, ALU_CMP, W64, g, h);
    x64_mov_ri(s->a, g, 0);
    x64_setcc(s->a, CC_E, g);
    x64_shift_i(s->a, SH_SHL, W64, g, 32);
    x64_alu_rr(s->a, ALU_OR, W64, d, g);
    sel_cold_eval_at(s, i, slow);
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
    Gpr a = sel_use_r(s, i->a);
    Xmm d = sel_def_x(s, i);
    Gpr t = sel_tmp_r(s);
    Gpr u = sel_tmp_r(s);
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
    [IR_FADD] = add_sub, [IR_FSUB] = add_sub, [IR_FMUL] = mul_div, [IR_FDIV] = mul_div,
    [IR_FSQRT] = square_root, [IR_FMA] = fused, [IR_FNEG] = negate, [IR_FABS] = absolute,
    [IR_FMIN] = min_max, [IR_FMAX] = min_max, [IR_FMINNUM] = min_max, [IR_FMAXNUM] = min_max,
    [IR_FRINT] = rint_, [IR_FCVT] = convert, [IR_FTOI] = to_int, [IR_ITOF] = from_int,
    [IR_BITCAST] = bitcast, [IR_FMULX] = step, [IR_FRECPS] = step, [IR_FRSQRTS] = step, [IR_FJCVT] = js_to_int,
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
