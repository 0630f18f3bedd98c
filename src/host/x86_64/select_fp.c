/*
 * Scalar floating point. The upper bits of scalars are unspecified, so that scalar instructions are used as they are; only
 * conversions that exist for packed operands alone clear them first.
 */
#include "host/x86_64/regalloc.h"
#include "host/x86_64/select_fp.h"

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

/* The same for infinities and signalling NaNs: where a quiet NaN cannot trap and gives what it gives on the guest. */
static void guard_quiet(Sel *s, IrType f, Xmm a, Gpr g, uint32_t slow)
{
    static const uint8_t fraction[] = {10, 23, 52}, exponent[] = {5, 8, 11};
    unsigned k = fp_index(f);

    x64_gx(s->a, k == 2 ? VMOVQ_GX : VMOVD_GX, g, a);
    x64_shift_i(s->a, SH_SHR, k == 2 ? W64 : W32, g, fraction[k] - 1u);
    x64_alu_ri(s->a, ALU_AND, W32, g, (2 << exponent[k]) - 1);
    x64_alu_ri(s->a, ALU_CMP, W32, g, (2 << exponent[k]) - 2);
    x64_jcc(s->a, CC_E, slow);
}

/* `may_tiny`: the operation's result may have been tiny before rounding only. */
FpExtra fp_extra(Sel *s, bool may_tiny)
{
    FpExtra x = {.careful = sel_careful(s), .tiny = may_tiny && s->r->fp.exact};
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
Xmm fp_extra_def(Sel *s, const IrInsn *i, const FpExtra *x)
{
    return x->any ? sel_def_x(s, i) : sel_def_x_last(s, i);
}

void fp_extra_guard(Sel *s, const FpExtra *x, IrType f, Xmm a)
{
    if (x->careful)
        guard(s, f, a, x->g, x->slow);
}

void fp_extra_guard_quiet(Sel *s, const FpExtra *x, IrType f, Xmm a)
{
    if (x->careful)
        guard_quiet(s, f, a, x->g, x->slow);
}

/*
 * Results of the least normal magnitude: Arm calls these tiny when the unrounded value was below, the host does not, so that
 * the underflow flag may be missing. Every other tiny inexact result raises it on both. The end of a rule with extras.
 */
void fp_extra_done(Sel *s, const IrInsn *i, const FpExtra *x, Xmm d)
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
 * guest sees, and its vzext costs nothing. So an operand that is not clean is made so where a computation begins, and all
 * that follows from it is clean.
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
    case IR_CONST: case IR_LOAD: case IR_FABS: case IR_ITOF: case IR_BITCAST: case IR_FCVT: case IR_FADD: case IR_FMUL: case IR_FSUB:
    case IR_FDIV: case IR_FSQRT: case IR_FMA: case IR_FRINT:
        return true;
    case IR_FNEG:
        return clean(s, i->a);
    case IR_FMIN: case IR_FMAX: case IR_FMINNUM: case IR_FMAXNUM:
        return clean(s, i->a) && clean(s, i->b);
    case IR_SELECT:
        return clean(s, i->b) && clean(s, i->c);
    case IR_VGET:
        return i->imm == 0 && vsel_bits(s, i->a) <= 8 * fp_bytes((IrType)i->type);
    default:
        return false;
    }
}

/* d = a with zeros above it. */
static void copy_clean(Sel *s, IrType f, Xmm d, Xmm a)
{
    if (f == IR_F64)
        x64_rm(s->a, VMOVQ, d, a);
    else
        x64_rvmi(s->a, VINSERTPS, d, a, a, 0x0e);
}

/* Before an operation of one operand: what to take the upper bits from. `d` is not the operand's if that is not clean. */
Xmm fp_above(Sel *s, const IrInsn *i, Xmm d, Xmm a)
{
    if (clean(s, i->a))
        return a;
    x64_rvm(s->a, VPXOR, d, d, d);
    return d;
}

/* The result, which may be a register that is read when d has been written already only if the operand is clean. */
Xmm fp_def_above(Sel *s, const IrInsn *i, const FpExtra *x)
{
    return clean(s, i->a) ? fp_extra_def(s, i, x) : sel_def_x(s, i);
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
    RXm b = sel_careful(s) ? xm_x(sel_use_x(s, i->b)) : vsel_use_xm(s, op[k][fp_index(f)], i->b, fp_bytes(f));
    FpExtra x = fp_extra(s, k >= 2);
    Xmm d = fp_def_above(s, i, &x);
    fp_extra_guard_quiet(s, &x, f, a);
    fp_extra_guard_quiet(s, &x, f, b.x);
    if (x.careful && k == 3) { /* 0 / 0 */
        x64_rm_m(s->a, ucomi[fp_index(f)], b.x, sel_vconst(s, 0, 0));
        x64_jcc(s->a, CC_E, x.slow);
    }
    if (!clean(s, i->a) && f != IR_F16) {
        copy_clean(s, f, d, a);
        a = d;
    }
    x64_rvm_xm(s->a, op[k][fp_index(f)], d, a, b);
    fp_extra_done(s, i, &x, d);
    return true;
}

static bool square_root(Sel *s, const IrInsn *i)
{
    static const X64Vec op[] = {VSQRTSH, VSQRTSS, VSQRTSD};
    IrType f = (IrType)i->type;

    if (!fp_host(s, f))
        return vsel_f16_arith(s, i);
    Xmm a = sel_use_x(s, i->a);
    FpExtra x = fp_extra(s, false);
    Xmm d = fp_def_above(s, i, &x);
    fp_extra_guard_quiet(s, &x, f, a);
    if (x.careful) {
        x64_rm_m(s->a, VPTEST, a, sel_vconst(s, fp_sign_bit(f), 0));
        x64_jcc(s->a, CC_NE, x.slow);
    }
    x64_rvm(s->a, op[fp_index(f)], d, fp_above(s, i, d, a), a);
    fp_extra_done(s, i, &x, d);
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
    bool copied = !sel_careful(s) && (clean(s, i->c) || f == IR_F16);
    Xmm c = copied ? vsel_use_x(s, VMOVAPS, i->c) : sel_use_x(s, i->c);
    FpExtra x = fp_extra(s, true);
    Xmm d = sel_def_x(s, i);
    Xmm t = x.tiny ? x.t : sel_tmp_x(s);
    fp_extra_guard(s, &x, f, a);
    fp_extra_guard(s, &x, f, b);
    if (i->aux & 2) /* inverts its sign, a NaN's too */
        fp_extra_guard(s, &x, f, c);
    else
        fp_extra_guard_quiet(s, &x, f, c);
    if (clean(s, i->c) || f == IR_F16)
        x64_rm(s->a, VMOVAPS, d, c);
    else
        copy_clean(s, f, d, c);
    x64_rvm(s->a, op[i->aux & 3][fp_index(f)], d, a, b);
    if (f == IR_F16 && !x.any) { /* its vcmp has no vector for a result */
        x64_rm(s->a, VUCOMISH, d, d);
        sel_cold_eval(s, i, CC_P);
    } else if (!x.any) {
        x64_rvmi(s->a, f == IR_F64 ? VCMPSD : VCMPSS, t, d, d, X64_CMP_FALSE_OS);
    }
    fp_extra_done(s, i, &x, d);
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
    FpExtra x = fp_extra(s, true);
    Xmm d = sel_def_x(s, i);
    if (!x.any)
        x.slow = sel_label(s);
    fp_extra_guard(s, &x, f, a);
    fp_extra_guard(s, &x, f, b);
    x64_rm_m(s->a, ucomi[fp_index(f)], a, sel_vconst(s, 0, 0));
    x64_jcc(s->a, CC_E, x.slow);
    x64_rm_m(s->a, ucomi[fp_index(f)], b, sel_vconst(s, 0, 0));
    x64_jcc(s->a, CC_E, x.slow);
    x64_rvm(s->a, f == IR_F64 ? VMULSD : VMULSS, d, a, b);
    x.any = true;
    fp_extra_done(s, i, &x, d);
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
    FpExtra x = fp_extra(s, true);
    Xmm d = sel_def_x(s, i);
    if (!x.any)
        x.slow = sel_label(s);
    fp_extra_guard(s, &x, f, a);
    fp_extra_guard(s, &x, f, b);
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
    fp_extra_done(s, i, &x, d);
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
    FpExtra x = fp_extra(s, false);
    Xmm d = sel_def_x(s, i);
    Xmm t = sel_tmp_x(s);
    fp_extra_guard(s, &x, f, a);
    fp_extra_guard(s, &x, f, b);
    x64_rvm(s->a, op[max][fp_index(f)], t, a, b);
    x64_rvm(s->a, op[max][fp_index(f)], d, b, a);
    x64_rvm(s->a, join[max][number], d, t, d);
    fp_extra_done(s, i, &x, d);
    return true;
}

/* --- rounding to integral values ------------------------------------------------------------------------------------ */

/*
 * d = a rounded to nearest, ties away from zero. Magnitudes with no fraction bits and NaNs go to `slow`. Raises no flag
 * but that of a signalling NaN. The subtraction and the addition are exact.
 */
void fp_round_away(Sel *s, IrType f, Xmm d, Xmm a, FpAway w, uint32_t slow)
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
void fp_away_estimate(Sel *s, bool dbl, Xmm t, Xmm a)
{
    x64_rvm_m(s->a, VANDPS, t, a, sel_vconst(s, dbl ? 1ull << 63 : 1u << 31, 0));
    x64_rvm_m(s->a, VORPS, t, t, sel_vconst(s, dbl ? 0x3fdfffffffffffff : 0x3effffff, 0));
    x64_rvm(s->a, dbl ? VADDSD_RN : VADDSS_RN, t, a, t);
}

static bool rint_away512(Sel *s, const IrInsn *i)
{
    bool dbl = i->type == IR_F64;
    Xmm a = sel_use_x(s, i->a);
    FpExtra x = fp_extra(s, false);
    Xmm d = fp_def_above(s, i, &x);
    Xmm t = sel_tmp_x(s);
    fp_extra_guard(s, &x, (IrType)i->type, a);
    if (!x.careful) /* a signalling NaN traps */
        x64_rvmi(s->a, dbl ? VCMPSD : VCMPSS, t, a, a, X64_CMP_UNORD_Q);
    fp_away_estimate(s, dbl, t, a);
    x64_rvmi(s->a, dbl ? VROUNDSD : VROUNDSS, d, fp_above(s, i, d, t), t, X64_ROUND_RTZ | X64_ROUND_QUIET);
    fp_extra_done(s, i, &x, d);
    return true;
}

static bool rint_away(Sel *s, const IrInsn *i)
{
    if (s->feat->avx512)
        return rint_away512(s, i);
    Xmm a = sel_use_x(s, i->a);
    FpExtra x = fp_extra(s, false);
    Xmm d = sel_def_x(s, i);
    FpAway w = {sel_tmp_x(s), sel_tmp_x(s)};
    if (!x.any)
        x.slow = sel_label(s);
    fp_extra_guard(s, &x, (IrType)i->type, a);
    fp_round_away(s, (IrType)i->type, d, a, w, x.slow);
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
    FpExtra x = fp_extra(s, false);
    Xmm d = fp_def_above(s, i, &x);
    fp_extra_guard_quiet(s, &x, f, a);
    x64_rvmi(s->a, round_scalar[fp_index(f)], d, fp_above(s, i, d, a), a, imm | (i->aux & IR_EXACT ? 0 : X64_ROUND_QUIET));
    fp_extra_done(s, i, &x, d);
    return true;
}

/* As vsel_fvec_rintn. */
static bool rint_n(Sel *s, const IrInsn *i)
{
    IrType f = (IrType)i->type;
    uint64_t limit = f == IR_F64 ? (1022 + i->imm) << 52 : (126 + i->imm) << 23;
    unsigned imm;

    if (f == IR_F16 || !vsel_round_imm(i->aux & 7, &imm))
        return false;
    Xmm a = sel_use_x(s, i->a);
    FpExtra x = fp_extra(s, false);
    Xmm d = sel_def_x(s, i);
    Xmm t = sel_tmp_x(s);
    if (!x.any)
        x.slow = sel_label(s);
    fp_extra_guard(s, &x, f, a);
    x64_rvmi(s->a, round_scalar[fp_index(f)], d, a, a, imm | X64_ROUND_QUIET);
    x64_rvm_m(s->a, VANDPS, t, d, sel_vconst(s, fp_sign_bit(f) - 1, 0));
    x64_rm_m(s->a, ucomi[fp_index(f)], t, sel_vconst(s, limit, 0));
    x64_jcc(s->a, CC_P, x.slow);
    x64_jcc(s->a, CC_AE, x.slow);
    x64_rvmi(s->a, round_scalar[fp_index(f)], d, a, a, imm);
    sel_cold_eval_at(s, i, x.slow);
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
    (i->aux & IR_SIGNALLING ? guard : guard_quiet)(s, f, x, g, slow);
    (i->aux & IR_SIGNALLING ? guard : guard_quiet)(s, f, y, g, slow);
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

/* By a mask, where the values are as wide as what is compared. */
bool fp_select(Sel *s, const IrInsn *i, const IrInsn *cond)
{
    IrType f = (IrType)i->type;
    bool dbl = f == IR_F64;
    unsigned imm;

    if (cond->op != IR_FCMP || cond->lane != f || (f != IR_F32 && f != IR_F64) || s->r->fp.soft ||
        (s->r->fp.careful & IR_FP_CAREFUL_COMPARE) || !vsel_cmp_imm(cond->aux, &imm))
        return false;
    Xmm x = sel_use_x(s, cond->a);
    RXm y = sel_use_xm(s, cond->b, fp_bytes(f));
    Xmm yes = sel_use_x(s, i->b), no = sel_use_x(s, i->c);
    Xmm d = sel_def_x_last(s, i);
    Xmm t = sel_tmp_x(s);
    x64_rvmi_xm(s->a, dbl ? VCMPSD : VCMPSS, t, x, y, imm);
    x64_rvms(s->a, dbl ? VBLENDVPD : VBLENDVPS, d, no, yes, t);
    return true;
}

SelRule *const sel_fp_rules[IR_NOPS] = {
    [IR_FADD] = arith, [IR_FSUB] = arith, [IR_FMUL] = arith, [IR_FDIV] = arith,
    [IR_FSQRT] = square_root, [IR_FMA] = fused, [IR_FNEG] = negate, [IR_FABS] = absolute,
    [IR_FMIN] = min_max, [IR_FMAX] = min_max, [IR_FMINNUM] = min_max, [IR_FMAXNUM] = min_max,
    [IR_FRINT] = rint_, [IR_FCVT] = fp_convert_rule, [IR_FTOI] = fp_to_int_rule, [IR_ITOF] = fp_from_int_rule,
    [IR_BITCAST] = fp_bitcast, [IR_FMULX] = mulx, [IR_FRECPS] = step, [IR_FRSQRTS] = step, [IR_FJCVT] = fp_js_to_int, [IR_FRINTN] = rint_n,
    [IR_FRECPE] = vsel_estimate, [IR_FRSQRTE] = vsel_estimate,
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
