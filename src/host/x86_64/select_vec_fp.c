/*
 * Vector floating point. Shapes of 64 bits clear the upper lanes of operands first: whatever lay there could raise flags.
 * Zeros there give zeros without flags (a zero of either sign for subtraction; division gets a divisor of one).
 */
#include "host/x86_64/vsel.h"

static const uint64_t sign_bit[] = {0x8000, 0x80000000, 0x8000000000000000};
static const uint64_t min_normal[] = {0x0400, 0x00800000, 0x0010000000000000};
static const unsigned width[] = {16, 32, 64};

static const X64Vec cmp_packed[] = {X64_NVEC, VCMPPS, VCMPPD};
static const X64Vec equal_lanes[] = {VPCMPEQW, VPCMPEQD, VPCMPEQQ};
static const X64Vec round_packed[] = {X64_NVEC, VROUNDPS, VROUNDPD};

static bool fp_host(const Sel *s, IrType lane)
{
    return lane == IR_F32 || lane == IR_F64 || (lane == IR_F16 && s->feat->fp16);
}

/* --- what operations do besides (see select_fp.c) -------------------------------------------------------------------- */

/* t = lanes of ones where the shape's lanes of a are infinities or NaNs (`quiet`: but quiet ones), found by integers. */
static void special_lanes(Sel *s, unsigned f, Xmm t, Xmm a, bool quiet)
{
    static const uint64_t exponent[] = {0x7c00, 0x7f800000, 0x7ff0000000000000};
    static const uint64_t quiet_bit[] = {0x200, 0x400000, 0x8000000000000};

    x64_rvm_m(s->a, VPAND, t, a, vsel_rep(s, width[f], exponent[f] | (quiet ? quiet_bit[f] : 0)));
    x64_rvm_m(s->a, equal_lanes[f], t, t, vsel_rep(s, width[f], exponent[f]));
}

typedef struct Extra {
    bool careful, tiny, any;
    uint32_t slow;
    Xmm t, u; /* any; u only in careful code or for f16 */
} Extra;

static Extra extra(Sel *s, const IrInsn *i, bool may_tiny)
{
    Extra x = {.careful = s->r->fp.careful & (i->op == IR_VFCMP ? IR_FP_CAREFUL_COMPARE : IR_FP_CAREFUL_ARITH),
               .tiny = may_tiny && s->r->fp.exact};
    x.any = x.careful || x.tiny;
    if (x.any) {
        x.slow = sel_label(s);
        x.t = sel_tmp_x(s);
    }
    return x;
}

static Xmm extra_def(Sel *s, const IrInsn *i, const Extra *x)
{
    return x->any ? sel_def_x(s, i) : sel_def_x_last(s, i);
}

/* Careful code: infinities and NaNs (`quiet`: but quiet ones) in lanes of float type f of a lead to `slow`. */
static void guard(Sel *s, const Extra *x, unsigned f, Xmm a, bool quiet)
{
    if (!x->careful)
        return;
    special_lanes(s, f, x->t, a, quiet);
    x64_rm(s->a, VPTEST, x->t, x->t);
    x64_jcc(s->a, CC_NE, x->slow);
}

static void extra_guard(Sel *s, const Extra *x, unsigned f, Xmm a)
{
    guard(s, x, f, a, false);
}

/* Where a quiet NaN cannot trap and gives what it gives on the guest. */
static void extra_guard_quiet(Sel *s, const Extra *x, unsigned f, Xmm a)
{
    guard(s, x, f, a, true);
}

/* Results of the least normal magnitude, in lanes of float type f of the result. */
static void extra_done(Sel *s, const IrInsn *i, const Extra *x, unsigned f, Xmm d)
{
    if (x->tiny) {
        x64_rvm_m(s->a, VPAND, x->t, d, vsel_rep(s, width[f], sign_bit[f] - 1));
        x64_rvm_m(s->a, equal_lanes[f], x->t, x->t, vsel_rep(s, width[f], min_normal[f]));
        x64_rm(s->a, VPTEST, x->t, x->t);
        x64_jcc(s->a, CC_NE, x->slow);
    }
    if (x->any)
        sel_cold_eval_at(s, i, x->slow);
}

/* --- arithmetic ------------------------------------------------------------------------------------------------------ */

/* The divisor of a 64-bit shape: ones in the upper half. */
static Xmm use_divisor(Sel *s, const IrInsn *i, IrRef v)
{
    static const uint64_t one[] = {0x3c00, 0x3f800000, 0x3ff0000000000000};
    unsigned f = fp_index((IrType)i->lane);
    Xmm x = sel_use_x(s, v);

    if (!half_shape(i))
        return x;
    Xmm t = sel_tmp_x(s);
    x64_rvm_m(s->a, VPUNPCKLQDQ, t, x, vsel_rep(s, width[f], one[f]));
    return t;
}

/* The last operand of `op`; careful code looks at it first. */
static Xmm use_last(Sel *s, const IrInsn *i, X64Vec op, IrRef v)
{
    bool shaped = !half_shape(i) || vsel_upper_zero(s, v);

    return shaped && !sel_careful(s) ? vsel_use_x(s, op, v) : vsel_use_shaped(s, i, v);
}

bool vsel_fvec_arith(Sel *s, const IrInsn *i)
{
    static const X64Vec ops[4][3] = {
        {VADDPH, VADDPS, VADDPD}, {VSUBPH, VSUBPS, VSUBPD}, {VMULPH, VMULPS, VMULPD}, {VDIVPH, VDIVPS, VDIVPD}};
    unsigned f = fp_index((IrType)i->lane), k = i->op == IR_FADD ? 0 : i->op == IR_FSUB ? 1 : i->op == IR_FMUL ? 2 : 3;

    if (!fp_host(s, (IrType)i->lane))
        return vsel_f16_vector(s, i);
    Xmm a = vsel_use_shaped(s, i, i->a);
    Xmm b = k == 3 ? use_divisor(s, i, i->b) : use_last(s, i, ops[k][f], i->b);
    Extra x = extra(s, i, k >= 2);
    Xmm d = extra_def(s, i, &x);
    extra_guard_quiet(s, &x, f, a);
    extra_guard_quiet(s, &x, f, b);
    if (x.careful && k == 3) { /* 0 / 0 */
        x64_rvm_m(s->a, VPAND, x.t, b, vsel_rep(s, width[f], sign_bit[f] - 1));
        x64_rvm_m(s->a, equal_lanes[f], x.t, x.t, vsel_rep(s, width[f], 0));
        x64_rm(s->a, VPTEST, x.t, x.t);
        x64_jcc(s->a, CC_NE, x.slow);
    }
    x64_rvm(s->a, ops[k][f], d, a, b);
    if (k == 1)
        vsel_finish(s, i, d); /* 0 - 0 is -0 when rounding down */
    extra_done(s, i, &x, f, d);
    return true;
}

bool vsel_fvec_sqrt(Sel *s, const IrInsn *i)
{
    static const X64Vec op[] = {VSQRTPH, VSQRTPS, VSQRTPD};
    unsigned f = fp_index((IrType)i->lane);

    if (!fp_host(s, (IrType)i->lane))
        return vsel_f16_vector(s, i);
    Xmm a = vsel_use_shaped(s, i, i->a);
    Extra x = extra(s, i, false);
    Xmm d = extra_def(s, i, &x);
    extra_guard_quiet(s, &x, f, a);
    if (x.careful) {
        x64_rm_m(s->a, VPTEST, a, vsel_rep(s, width[f], sign_bit[f]));
        x64_jcc(s->a, CC_NE, x.slow);
    }
    x64_rm(s->a, op[f], d, a);
    extra_done(s, i, &x, f, d);
    return true;
}

/* As `fused` of select_fp.c. */
bool vsel_fvec_fma(Sel *s, const IrInsn *i)
{
    static const X64Vec op[4][3] = {
        {VFMADD231PH, VFMADD231PS, VFMADD231PD}, {VFNMADD231PH, VFNMADD231PS, VFNMADD231PD},
        {VFMSUB231PH, VFMSUB231PS, VFMSUB231PD}, {VFNMSUB231PH, VFNMSUB231PS, VFNMSUB231PD}};
    unsigned f = fp_index((IrType)i->lane);

    if (!fp_host(s, (IrType)i->lane))
        return false;
    Xmm a = vsel_use_shaped(s, i, i->a);
    Xmm b = vsel_use_shaped(s, i, i->b);
    Xmm c = use_last(s, i, VMOVAPS, i->c);
    Extra x = extra(s, i, true);
    Xmm d = sel_def_x(s, i);
    Xmm t = x.any ? x.t : sel_tmp_x(s);
    extra_guard(s, &x, f, a);
    extra_guard(s, &x, f, b);
    guard(s, &x, f, c, !(i->aux & 2)); /* whose sign it inverts, a NaN's too */
    x64_rm(s->a, VMOVAPS, d, c);
    x64_rvm(s->a, op[i->aux & 3][f], d, a, b);
    if (f == 0 && !x.careful) { /* its vcmp has no vector for a result */
        if (!x.any)
            x.slow = sel_label(s);
        x.any = true;
        x64_rvm_m(s->a, VPAND, t, d, vsel_rep(s, 16, 0x7fff));
        x64_rvm_m(s->a, VPCMPGTW, t, t, vsel_rep(s, 16, 0x7c00));
        x64_rm(s->a, VPTEST, t, t);
        x64_jcc(s->a, CC_NE, x.slow);
    } else if (!x.careful) {
        x64_rvmi(s->a, cmp_packed[f], t, d, d, X64_CMP_FALSE_OS);
    }
    if (i->aux)
        vsel_finish(s, i, d); /* zeros may have become negative */
    extra_done(s, i, &x, f, d);
    return true;
}

/* As `mulx` of select_fp.c: zeros and NaNs in any lane used lead to ir_eval. */
bool vsel_fvec_mulx(Sel *s, const IrInsn *i)
{
    unsigned f = fp_index((IrType)i->lane);

    if (f == 0)
        return false;
    Xmm a = use_divisor(s, i, i->a), b = use_divisor(s, i, i->b); /* unused lanes: ones */
    Extra x = extra(s, i, true);
    Xmm d = sel_def_x(s, i);
    Xmm t = sel_tmp_x(s), u = sel_tmp_x(s);
    if (!x.any)
        x.slow = sel_label(s);
    extra_guard(s, &x, f, a);
    extra_guard(s, &x, f, b);
    x64_rvmi_m(s->a, cmp_packed[f], u, b, vsel_rep(s, width[f], 0), X64_CMP_EQ_UQ);
    x64_rvmi_m(s->a, cmp_packed[f], t, a, vsel_rep(s, width[f], 0), X64_CMP_EQ_UQ);
    x64_rvm(s->a, VPOR, t, t, u);
    x64_rm(s->a, VPTEST, t, t);
    x64_jcc(s->a, CC_NE, x.slow);
    x64_rvm(s->a, f == 2 ? VMULPD : VMULPS, d, a, b);
    vsel_finish(s, i, d);
    x.any = true;
    extra_done(s, i, &x, f, d);
    return true;
}

/* As `step` of select_fp.c: FRECPS, FRSQRTS. */
bool vsel_fvec_step(Sel *s, const IrInsn *i)
{
    static const uint64_t two[] = {0, 0x40000000, 0x4000000000000000}, one_half[] = {0, 0x3fc00000, 0x3ff8000000000000};
    static const uint64_t half[] = {0, 0x3f000000, 0x3fe0000000000000};
    unsigned f = fp_index((IrType)i->lane), n = width[f];
    bool rsqrt = i->op == IR_FRSQRTS, dbl = f == 2;

    if (f == 0)
        return false;
    Xmm a = use_divisor(s, i, i->a), b = use_divisor(s, i, i->b); /* unused lanes: ones */
    Extra x = extra(s, i, true);
    Xmm d = sel_def_x(s, i);
    Xmm t = x.any ? x.t : sel_tmp_x(s);
    if (!x.any)
        x.slow = sel_label(s);
    extra_guard(s, &x, f, a);
    extra_guard(s, &x, f, b);
    if (rsqrt) { /* a is to be halved, exactly */
        x64_rvm_m(s->a, VANDPS, t, a, vsel_rep(s, n, sign_bit[f] - 1));
        x64_rvmi_m(s->a, cmp_packed[f], t, t, vsel_rep(s, n, 2 * min_normal[f]), X64_CMP_NGE_UQ);
    } else {
        x64_rvmi(s->a, cmp_packed[f], t, a, a, X64_CMP_UNORD_Q);
    }
    x64_rm(s->a, VPTEST, t, t);
    x64_jcc(s->a, CC_NE, x.slow);
    if (rsqrt)
        x64_rvm_m(s->a, dbl ? VMULPD : VMULPS, d, a, vsel_rep(s, n, half[f]));
    else
        x64_rm(s->a, VMOVAPS, d, a);
    x64_rvm_m(s->a, dbl ? VFNMADD213PD : VFNMADD213PS, d, b, vsel_rep(s, n, rsqrt ? one_half[f] : two[f]));
    vsel_finish(s, i, d);
    x.any = true;
    extra_done(s, i, &x, f, d);
    return true;
}

/* --- complex numbers: pairs of lanes, the real part first ------------------------------------------------------------- */

/* t = a with the lanes of each pair exchanged, if so, and the signs of `re` and `im` lanes inverted. */
static void turn(Sel *s, bool dbl, Xmm t, Xmm a, bool swap, bool re, bool im)
{
    if (swap) {
        x64_rmi(s->a, VPSHUFD, t, a, dbl ? 0x4e : 0xb1);
        a = t;
    }
    uint64_t lo = dbl ? (uint64_t)re << 63 : (uint64_t)re << 31 | (uint64_t)im << 63, hi = dbl ? (uint64_t)im << 63 : lo;
    if (re || im)
        x64_rvm_m(s->a, VXORPS, t, a, sel_vconst(s, lo, hi));
    else if (!swap)
        x64_rm(s->a, VMOVAPS, t, a);
}

bool vsel_fcadd(Sel *s, const IrInsn *i)
{
    unsigned f = fp_index((IrType)i->lane);
    bool dbl = f == 2;

    if (f == 0)
        return false;
    Xmm a = vsel_use_shaped(s, i, i->a);
    Xmm b = vsel_use_shaped(s, i, i->b);
    Extra x = extra(s, i, false);
    Xmm d = sel_def_x(s, i);
    Xmm t = sel_tmp_x(s);
    extra_guard_quiet(s, &x, f, a);
    extra_guard_quiet(s, &x, f, b);
    turn(s, dbl, t, b, true, !i->aux, i->aux);
    x64_rvm(s->a, dbl ? VADDPD : VADDPS, d, a, t);
    vsel_finish(s, i, d);
    extra_done(s, i, &x, f, d);
    return true;
}

bool vsel_fcmla(Sel *s, const IrInsn *i)
{
    unsigned f = fp_index((IrType)i->lane);
    bool dbl = f == 2, odd = i->aux & 1;

    if (f == 0)
        return false;
    Xmm a = vsel_use_shaped(s, i, i->a);
    Xmm b = vsel_use_shaped(s, i, i->b);
    Xmm c = vsel_use_shaped(s, i, i->c);
    Extra x = extra(s, i, true);
    Xmm d = sel_def_x(s, i);
    Xmm by = sel_tmp_x(s), u = sel_tmp_x(s), t = x.any ? x.t : sel_tmp_x(s);
    extra_guard(s, &x, f, a);
    extra_guard(s, &x, f, b);
    extra_guard(s, &x, f, c);
    x64_rmi(s->a, VPSHUFD, by, b, dbl ? (odd ? 0xee : 0x44) : (odd ? 0xf5 : 0xa0));
    turn(s, dbl, u, c, odd, i->aux == 1 || i->aux == 2, i->aux >= 2);
    x64_rm(s->a, VMOVAPS, d, a);
    x64_rvm(s->a, dbl ? VFMADD231PD : VFMADD231PS, d, by, u);
    if (!x.careful)
        x64_rvmi(s->a, cmp_packed[f], t, d, d, X64_CMP_FALSE_OS);
    vsel_finish(s, i, d);
    extra_done(s, i, &x, f, d);
    return true;
}

/* --- half precision products ------------------------------------------------------------------------------------------ */

/* t = the f16 lanes of a that are meant, as f32; nothing above them. */
static void half_lanes(Sel *s, const IrInsn *i, Xmm t, Xmm a)
{
    if (i->lanes == 4 && i->aux & 1)
        x64_rvm(s->a, VMOVHLPS, t, a, a);
    else if (i->lanes == 2 && i->aux & 1)
        x64_vmi(s->a, VPSRLQ_I, t, a, 32);
    else if (i->lanes == 2)
        x64_rvmi(s->a, VINSERTPS, t, a, a, 0x0e);
    x64_rm(s->a, VCVTPH2PS, t, i->lanes == 4 && !(i->aux & 1) ? a : t);
}

/* FMLAL, FMLSL: products of f16 are exact in f32. NaNs, which widening has made quiet, go to ir_eval. */
bool vsel_fmlal(Sel *s, const IrInsn *i)
{
    if (i->lanes != 4 && i->lanes != 2)
        return false;
    Xmm a = i->lanes == 2 ? vsel_use_low(s, i->a) : sel_use_x(s, i->a);
    Xmm b = sel_use_x(s, i->b);
    Xmm c = sel_use_x(s, i->c);
    Extra x = extra(s, i, true);
    Xmm d = sel_def_x(s, i);
    Xmm t = sel_tmp_x(s), u = sel_tmp_x(s);
    if (!x.any)
        x.slow = sel_label(s);
    x.any = true;
    extra_guard(s, &x, 1, a);
    extra_guard(s, &x, 0, b);
    extra_guard(s, &x, 0, c);
    half_lanes(s, i, t, b);
    half_lanes(s, i, u, c);
    x64_rm(s->a, VMOVAPS, d, a);
    x64_rvm(s->a, i->aux & 2 ? VFNMADD231PS : VFMADD231PS, d, t, u);
    x64_rvmi(s->a, VCMPPS, t, d, d, X64_CMP_UNORD_Q);
    x64_rm(s->a, VPTEST, t, t);
    x64_jcc(s->a, CC_NE, x.slow);
    if (i->lanes == 2)
        x64_rm(s->a, VMOVQ, d, d);
    extra_done(s, i, &x, 1, d);
    return true;
}

/* --- signs ------------------------------------------------------------------------------------------------------------ */

/* Sign inverted or cleared: no arithmetic, so that a shape of 64 bits is a matter of the constant. */
bool vsel_fvec_sign(Sel *s, const IrInsn *i)
{
    unsigned f = fp_index((IrType)i->lane);
    bool neg = i->op == IR_FNEG;
    uint64_t mask = neg ? sign_bit[f] : sign_bit[f] - 1;

    for (unsigned w = width[f]; w < 64; w *= 2)
        mask |= mask << w;
    Xmm a = sel_use_x(s, i->a);
    Xmm d = sel_def_x_last(s, i);
    x64_rvm_m(s->a, neg ? VXORPS : VANDPS, d, a, sel_vconst(s, mask, half_shape(i) ? 0 : mask));
    if (neg)
        vsel_finish(s, i, d);
    return true;
}

/* As min_max of select_fp.c. */
bool vsel_fvec_minmax(Sel *s, const IrInsn *i)
{
    static const X64Vec op[2][3] = {{X64_NVEC, VMINPS, VMINPD}, {X64_NVEC, VMAXPS, VMAXPD}};
    static const X64Vec join[2][2] = {{VORPS, VORPD}, {VANDPS, VANDPD}};
    unsigned f = fp_index((IrType)i->lane);
    bool max = i->op == IR_FMAX || i->op == IR_FMAXNUM, number = i->op == IR_FMINNUM || i->op == IR_FMAXNUM;

    if (f == 0)
        return vsel_f16_vector(s, i);
    Xmm a = vsel_use_shaped(s, i, i->a);
    Xmm b = vsel_use_shaped(s, i, i->b);
    Extra x = extra(s, i, false);
    Xmm d = sel_def_x(s, i);
    Xmm t = x.any ? x.t : sel_tmp_x(s);
    extra_guard(s, &x, f, a);
    extra_guard(s, &x, f, b);
    x64_rvm(s->a, op[max][f], t, a, b);
    x64_rvm(s->a, op[max][f], d, b, a);
    x64_rvm(s->a, join[max][number], d, t, d);
    extra_done(s, i, &x, f, d);
    return true;
}

/* --- rounding to integral values ---------------------------------------------------------------------------------------- */

typedef struct Away {
    Xmm abs, frac;
} Away;

/* As round_away of select_fp.c; every lane must be small, else all go to `slow`. */
static void round_away(Sel *s, unsigned f, Xmm d, Xmm a, Away w, uint32_t slow)
{
    static const uint64_t limit[] = {0, 0x4b000000, 0x4330000000000000};
    static const uint64_t half[] = {0, 0x3f000000, 0x3fe0000000000000};
    static const uint64_t one[] = {0, 0x3f800000, 0x3ff0000000000000};
    unsigned n = width[f];

    x64_rvm_m(s->a, VANDPS, w.abs, a, vsel_rep(s, n, sign_bit[f] - 1));
    x64_rvmi_m(s->a, cmp_packed[f], w.frac, w.abs, vsel_rep(s, n, limit[f]), X64_CMP_NLT_UQ);
    x64_rm(s->a, VPTEST, w.frac, w.frac);
    x64_jcc(s->a, CC_NE, slow);
    x64_rmi(s->a, round_packed[f], d, w.abs, X64_ROUND_RTZ | X64_ROUND_QUIET);
    x64_rvm(s->a, f == 2 ? VSUBPD : VSUBPS, w.frac, w.abs, d);
    x64_rvmi_m(s->a, cmp_packed[f], w.frac, w.frac, vsel_rep(s, n, half[f]), X64_CMP_GE_OQ);
    x64_rvm_m(s->a, VANDPS, w.frac, w.frac, vsel_rep(s, n, one[f]));
    x64_rvm(s->a, f == 2 ? VADDPD : VADDPS, d, d, w.frac);
    x64_rvm_m(s->a, VANDPS, w.abs, a, vsel_rep(s, n, sign_bit[f]));
    x64_rvm(s->a, VORPS, d, d, w.abs);
}

static bool rint_away(Sel *s, const IrInsn *i)
{
    unsigned f = fp_index((IrType)i->lane);
    Xmm a = vsel_use_shaped(s, i, i->a);
    Extra x = extra(s, i, false);
    Xmm d = sel_def_x(s, i);
    Away w = {x.any ? x.t : sel_tmp_x(s), sel_tmp_x(s)};
    if (!x.any)
        x.slow = sel_label(s);
    extra_guard(s, &x, f, a);
    round_away(s, f, d, a, w, x.slow);
    sel_cold_eval_at(s, i, x.slow);
    return true;
}

bool vsel_fvec_rint(Sel *s, const IrInsn *i)
{
    unsigned f = fp_index((IrType)i->lane), imm;

    if (f == 0)
        return false;
    if ((i->aux & 7) == FP_RNA && !(i->aux & IR_EXACT))
        return rint_away(s, i);
    if (!vsel_round_imm(i->aux & 7, &imm))
        return false;
    Xmm a = vsel_use_shaped(s, i, i->a);
    Extra x = extra(s, i, false);
    Xmm d = extra_def(s, i, &x);
    extra_guard_quiet(s, &x, f, a);
    x64_rmi(s->a, round_packed[f], d, a, imm | (i->aux & IR_EXACT ? 0 : X64_ROUND_QUIET));
    extra_done(s, i, &x, f, d);
    return true;
}

/* FRINT32, FRINT64: what an integer cannot hold goes to ir_eval, and only what it can may be inexact. */
bool vsel_fvec_rintn(Sel *s, const IrInsn *i)
{
    unsigned f = fp_index((IrType)i->lane), n = width[f], imm;
    uint64_t limit = f == 2 ? (1022 + i->imm) << 52 : (126 + i->imm) << 23;

    if (f == 0 || !vsel_round_imm(i->aux & 7, &imm))
        return false;
    Xmm a = vsel_use_shaped(s, i, i->a);
    Extra x = extra(s, i, false);
    Xmm d = sel_def_x(s, i);
    Xmm t = x.any ? x.t : sel_tmp_x(s);
    if (!x.any)
        x.slow = sel_label(s);
    extra_guard(s, &x, f, a);
    x64_rmi(s->a, round_packed[f], d, a, imm | X64_ROUND_QUIET);
    x64_rvm_m(s->a, VANDPS, t, d, vsel_rep(s, n, sign_bit[f] - 1));
    x64_rvmi_m(s->a, cmp_packed[f], t, t, vsel_rep(s, n, limit), X64_CMP_NLT_UQ);
    x64_rm(s->a, VPTEST, t, t);
    x64_jcc(s->a, CC_NE, x.slow);
    x64_rmi(s->a, round_packed[f], d, a, imm);
    sel_cold_eval_at(s, i, x.slow);
    return true;
}

/* --- comparison ----------------------------------------------------------------------------------------------------------- */

/* Half precision: both halves compared as f32, which is exact and signals the same; 16-bit masks by packing. */
static bool compare16(Sel *s, const IrInsn *i, unsigned imm)
{
    Xmm a = vsel_use_shaped(s, i, i->a);
    Xmm b = vsel_use_shaped(s, i, i->b);
    Extra x = extra(s, i, false);
    Xmm d = sel_def_x(s, i);
    Xmm t = sel_tmp_x(s), u = sel_tmp_x(s);

    extra_guard(s, &x, 0, a);
    extra_guard(s, &x, 0, b);
    x64_rvm(s->a, VMOVHLPS, t, a, a);
    x64_rvm(s->a, VMOVHLPS, u, b, b);
    x64_rm(s->a, VCVTPH2PS, t, t);
    x64_rm(s->a, VCVTPH2PS, u, u);
    x64_rvmi(s->a, VCMPPS, t, t, u, imm);
    x64_rm(s->a, VCVTPH2PS, d, a);
    x64_rm(s->a, VCVTPH2PS, u, b);
    x64_rvmi(s->a, VCMPPS, d, d, u, imm);
    x64_rvm(s->a, VPACKSSDW, d, d, t);
    vsel_finish(s, i, d);
    extra_done(s, i, &x, 0, d);
    return true;
}

bool vsel_vfcmp(Sel *s, const IrInsn *i)
{
    unsigned f = fp_index((IrType)i->lane), imm;

    if (!vsel_cmp_imm(i->aux, &imm))
        return false;
    if (f == 0)
        return compare16(s, i, imm);
    Xmm a = vsel_use_shaped(s, i, i->a);
    Xmm b = vsel_use_shaped(s, i, i->b);
    Extra x = extra(s, i, false);
    Xmm d = extra_def(s, i, &x);
    extra_guard(s, &x, f, a);
    extra_guard(s, &x, f, b);
    x64_rvmi(s->a, cmp_packed[f], d, a, b, imm);
    vsel_finish(s, i, d);
    extra_done(s, i, &x, f, d);
    return true;
}

/* --- to integers ------------------------------------------------------------------------------------------------------------ */

static const uint64_t least_int[] = {0x8000, 0x80000000, 0x8000000000000000};

/* Two f64 to i64 by the scalar unit. */
static void pair_to_int(Sel *s, Xmm d, Xmm t, Xmm a, Gpr g, Gpr h)
{
    x64_rvm(s->a, VMOVHLPS, t, a, a);
    x64_gx(s->a, VCVTTSD2SI_Q, g, a);
    x64_gx(s->a, VCVTTSD2SI_Q, h, t);
    x64_xg(s->a, VMOVQ_XG, d, g);
    x64_rvmi_g(s->a, VPINSRQ, d, d, h, 1);
}

/* What a conversion to integers works with. */
typedef struct ToInt {
    bool dbl, sign, usi;
    bool pair; /* no packed conversion */
    Xmm d, t, u;
    Gpr g, h;
    uint32_t slow;
} ToInt;

/* d = truncated lanes of x. */
static void truncate_lanes(Sel *s, const ToInt *k, Xmm d, Xmm x)
{
    if (k->pair)
        pair_to_int(s, d, k->t, x, k->g, k->h);
    else if (k->dbl)
        x64_rm(s->a, k->usi ? VCVTTPD2UQQ : VCVTTPD2QQ, d, x);
    else
        x64_rm(s->a, k->usi ? VCVTTPS2UDQ : VCVTTPS2DQ, d, x);
}

/* After truncate_lanes of rounded lanes: raise "inexact" for x, the lanes before that. See fptrap.c. */
static void raise_inexact(Sel *s, const ToInt *k, Xmm d, Xmm x)
{
    if (k->pair || (!k->sign && !k->usi))
        truncate_lanes(s, k, d, x);
    else if (k->dbl)
        x64_rm(s->a, k->usi ? VCVTPD2UQQ : VCVTPD2QQ, d, x);
    else
        x64_rm(s->a, k->usi ? VCVTPS2UDQ : VCVTPS2DQ, d, x);
}

/* Lanes of x that are not less than the number whose bits are `limit`, or NaNs, lead to `slow`. */
static void below(Sel *s, const ToInt *k, Xmm x, uint64_t limit)
{
    unsigned f = k->dbl ? 2 : 1;

    x64_rvmi_m(s->a, cmp_packed[f], k->t, x, vsel_rep(s, width[f], limit), X64_CMP_NLT_UQ);
    x64_rm(s->a, VPTEST, k->t, k->t);
    x64_jcc(s->a, CC_NE, k->slow);
}

/* Convert the rounded lanes of x. Unsigned by the signed conversion: a lane that is not the same for that leads to `slow`. */
static void convert_lanes(Sel *s, const ToInt *k, Xmm x)
{
    bool host = k->sign || k->usi;

    if (!host) /* 2^31 or 2^63 and more would be invalid to the signed conversion */
        below(s, k, x, k->dbl ? 0x43e0000000000000 : 0x4f000000);
    truncate_lanes(s, k, k->d, x);
    if (!host) {
        x64_rm_m(s->a, VPTEST, k->d, vsel_rep(s, k->dbl ? 64 : 32, least_int[k->dbl ? 2 : 1]));
        x64_jcc(s->a, CC_NE, k->slow);
    }
}

/* Careful code: lanes that might not fit lead to `slow`. */
static void int_range(Sel *s, const ToInt *k, Xmm a)
{
    unsigned f = k->dbl ? 2 : 1, bits = width[f] - k->sign;

    x64_rvm_m(s->a, VANDPS, k->t, a, vsel_rep(s, width[f], sign_bit[f] - 1));
    below(s, k, k->t, k->dbl ? (1023ull + bits) << 52 : (127ull + bits) << 23);
    if (!k->sign) {
        x64_rm_m(s->a, VPTEST, a, vsel_rep(s, width[f], sign_bit[f]));
        x64_jcc(s->a, CC_NE, k->slow);
    }
}

/* x = lanes of a times 2^fbits: exact but for overflow; lanes that no integer can hold, and NaNs, go to `slow` before. */
static void scale_up(Sel *s, const IrInsn *i, const ToInt *k, Xmm x, Xmm a)
{
    unsigned f = fp_index((IrType)i->lane), n = width[f];

    x64_rvm_m(s->a, VANDPS, k->t, a, vsel_rep(s, n, sign_bit[f] - 1));
    below(s, k, k->t, f == 2 ? 0x43e0000000000000 : 0x5f000000);
    x64_rvm_m(s->a, f == 2 ? VMULPD : VMULPS, x, a,
              vsel_rep(s, n, f == 2 ? (1023 + i->imm) << 52 : (127 + i->imm) << 23));
}

bool vsel_vftoi(Sel *s, const IrInsn *i)
{
    unsigned round = i->aux & 7, imm = 0, f = fp_index((IrType)i->lane);
    ToInt k = {.dbl = i->lane == IR_F64, .sign = i->aux & IR_SIGNED};
    Away w = {{0}, {0}};

    if (f == 0 || (round != FP_RNA && !vsel_round_imm(round, &imm)))
        return false;
    k.usi = !k.sign && s->feat->avx512;
    k.pair = k.dbl && !s->feat->avx512;
    Xmm a = vsel_use_shaped(s, i, i->a);
    Extra e = extra(s, i, false);
    k.d = sel_def_x(s, i);
    k.t = sel_tmp_x(s);
    k.u = sel_tmp_x(s);
    if (round == FP_RNA)
        w = (Away){k.t, sel_tmp_x(s)};
    if (k.pair) {
        k.g = sel_tmp_r(s);
        k.h = sel_tmp_r(s);
    }
    bool cold = e.any || i->imm || round == FP_RNA || (!k.sign && !k.usi);
    k.slow = e.any ? e.slow : cold ? sel_label(s) : 0;
    Xmm x = i->imm ? sel_tmp_x(s) : a; /* before any jump: what is spilled for it would be so on one path only */
    extra_guard(s, &e, f, a);
    if (i->imm) {
        scale_up(s, i, &k, x, a);
        a = x;
    }
    if (e.careful)
        int_range(s, &k, a);
    if (round == FP_RTZ && (k.sign || k.usi)) {
        convert_lanes(s, &k, a);
    } else {
        if (round == FP_RNA)
            round_away(s, f, k.u, a, w, k.slow);
        else
            x64_rmi(s->a, round_packed[f], k.u, a, imm | X64_ROUND_QUIET);
        convert_lanes(s, &k, k.u);
        raise_inexact(s, &k, k.u, a);
    }
    if (cold)
        sel_cold_eval_at(s, i, k.slow);
    return true;
}

/* --- from integers ---------------------------------------------------------------------------------------------------------- */

/* Unsigned 32 bits: high half * 65536, exact, plus low half: one rounding. */
static void from_u32(Sel *s, Xmm d, Xmm a, Xmm t)
{
    x64_vmi(s->a, VPSRLD_I, t, a, 16);
    x64_rvmi_m(s->a, VPBLENDW, d, a, vsel_rep(s, 32, 0), 0xaa);
    x64_rm(s->a, VCVTDQ2PS, t, t);
    x64_rm(s->a, VCVTDQ2PS, d, d);
    x64_rvm_m(s->a, VMULPS, t, t, vsel_rep(s, 32, 0x47800000));
    x64_rvm(s->a, VADDPS, d, d, t);
}

/*
 * Unsigned 64 bits: the halves become doubles by putting them into mantissas; (2^84 + high * 2^32) - (2^84 + 2^52) is
 * exact, (2^52 + low) is, so that their sum is rounded once. A zero gets its sign cleared (rounding down makes it -0).
 */
static void from_u64(Sel *s, Xmm d, Xmm a, Xmm t)
{
    x64_vmi(s->a, VPSRLQ_I, t, a, 32);
    x64_rvm_m(s->a, VPOR, t, t, vsel_rep(s, 64, 0x4530000000000000));
    x64_rvmi_m(s->a, VPBLENDD, d, a, vsel_rep(s, 64, 0x4330000000000000), 0xa);
    x64_rvm_m(s->a, VSUBPD, t, t, vsel_rep(s, 64, 0x4530000000100000));
    x64_rvm(s->a, VADDPD, d, d, t);
    x64_rvm_m(s->a, VANDPS, d, d, vsel_rep(s, 64, ~0ull >> 1));
}

static void from_s64(Sel *s, Xmm d, Xmm a, Xmm t, Gpr g)
{
    x64_gx(s->a, VMOVQ_GX, g, a);
    x64_rvm(s->a, VPXOR, t, t, t);
    x64_rvm_g(s->a, VCVTSI2SD_Q, t, t, g);
    x64_gxi(s->a, VPEXTRQ, g, a, 1);
    x64_rvm_g(s->a, VCVTSI2SD_Q, d, t, g);
    x64_rvm(s->a, VPUNPCKLQDQ, d, t, d);
}

bool vsel_vitof(Sel *s, const IrInsn *i)
{
    bool dbl = i->lane == IR_F64, sign = i->aux & IR_SIGNED, new = s->feat->avx512;
    unsigned f = fp_index((IrType)i->lane);
    Gpr g = {0};

    if (f == 0)
        return false;
    Xmm a = vsel_use_shaped(s, i, i->a);
    Xmm d = sel_def_x(s, i);
    Xmm t = sel_tmp_x(s);
    if (dbl && sign && !new)
        g = sel_tmp_r(s);
    if (!dbl && (sign || new))
        x64_rm(s->a, sign ? VCVTDQ2PS : VCVTUDQ2PS, d, a);
    else if (dbl && new)
        x64_rm(s->a, sign ? VCVTQQ2PD : VCVTUQQ2PD, d, a);
    else if (!dbl)
        from_u32(s, d, a, t);
    else if (sign)
        from_s64(s, d, a, t, g);
    else
        from_u64(s, d, a, t);
    if (i->imm) /* exact: see scale_down in select_fp.c */
        x64_rvm_m(s->a, dbl ? VMULPD : VMULPS, d, d,
                  vsel_rep(s, width[f], dbl ? (1023 - i->imm) << 52 : (127 - i->imm) << 23));
    return true;
}

/* --- between formats --------------------------------------------------------------------------------------------------------- */

/* Exact; NaNs as in scalar widening. aux 1: from the high half. */
bool vsel_vfwiden(Sel *s, const IrInsn *i)
{
    bool high = i->aux & 1;

    if (i->lanes != (i->lane == IR_F32 ? 2 : 4) || i->lane == IR_F64)
        return false;
    Xmm a = sel_use_x(s, i->a);
    Extra x = extra(s, i, false);
    Xmm d = extra_def(s, i, &x);
    extra_guard_quiet(s, &x, fp_index((IrType)i->lane), a); /* the other half too: that only costs time */
    if (high)
        x64_rvm(s->a, VMOVHLPS, d, a, a);
    x64_rm(s->a, i->lane == IR_F32 ? VCVTPS2PD : VCVTPH2PS, d, high ? d : a);
    if (x.any)
        sel_cold_eval_at(s, i, x.slow);
    return true;
}

bool vsel_vfnarrow(Sel *s, const IrInsn *i)
{
    if ((i->aux & 7) != FP_RCUR || !full_shape(i) || i->lane == IR_F16)
        return false;
    Xmm a = sel_use_x(s, i->a);
    Extra x = extra(s, i, true);
    Xmm d = extra_def(s, i, &x);
    unsigned f = fp_index((IrType)i->lane);
    extra_guard_quiet(s, &x, f, a);
    if (f == 2)
        x64_rm(s->a, VCVTPD2PS, d, a);
    else
        x64_mri(s->a, VCVTPS2PH, d, a, X64_ROUND_CUR);
    extra_done(s, i, &x, f - 1, d);
    return true;
}
