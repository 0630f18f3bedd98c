/* Scalar floating point: between formats, to integers, from integers. */
#include "host/x86_64/select_fp.h"

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
    FpExtra x = fp_extra(s, false);
    Xmm d = fp_def_above(s, i, &x);

    fp_extra_guard_quiet(s, &x, (IrType)i->lane, a);
    if (i->lane == IR_F32) {
        x64_rvm(s->a, VCVTSS2SD, d, fp_above(s, i, d, a), a);
    } else {
        isolate(s, d, a, 2);
        x64_rm(s->a, VCVTPH2PS, d, d);
        if (i->type == IR_F64)
            x64_rvm(s->a, VCVTSS2SD, d, d, d);
    }
    fp_extra_done(s, i, &x, d);
    return true;
}

static bool narrow_f32(Sel *s, const IrInsn *i)
{
    Xmm a = sel_use_x(s, i->a);
    FpExtra x = fp_extra(s, true);
    Xmm d = sel_def_x(s, i);

    fp_extra_guard_quiet(s, &x, IR_F64, a);
    x64_rvm(s->a, VPXOR, d, d, d);
    x64_rvm(s->a, VCVTSD2SS, d, d, a);
    fp_extra_done(s, i, &x, d);
    return true;
}

static bool narrow_f16(Sel *s, const IrInsn *i)
{
    Xmm a = sel_use_x(s, i->a);
    FpExtra x = fp_extra(s, false);
    Xmm d = sel_def_x(s, i);
    Gpr t = s->r->fp.exact ? sel_tmp_r(s) : x.g;

    fp_extra_guard_quiet(s, &x, (IrType)i->lane, a);
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
    fp_extra_done(s, i, &x, d);
    return true;
}

bool fp_convert_rule(Sel *s, const IrInsn *i)
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
static void convert_rounded(Sel *s, ToInt k, Gpr d, Xmm a, Xmm t, const FpAway *w, Gpr g, unsigned imm, uint32_t slow)
{
    bool host = k.sign || k.usi;

    if (to_int_away(s, k)) {
        static const X64Vec quiet[2][2] = {{VCVTTSS2SI_SAE, VCVTTSS2SI_Q_SAE}, {X64_NVEC, VCVTTSD2SI_Q_SAE}};
        fp_away_estimate(s, k.dbl, t, a);
        x64_gx(s->a, quiet[k.dbl][k.wide], d, t);
        x64_gx(s->a, cvt_raise[k.dbl][k.wide][0], g, a);
        return;
    }
    bool direct = k.round == FP_RTZ && host;
    if (direct) {
        t = a;
    } else if (k.round == FP_RNA) {
        fp_round_away(s, k.dbl ? IR_F64 : IR_F32, t, a, *w, slow);
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

bool fp_to_int_rule(Sel *s, const IrInsn *i)
{
    ToInt k = {.dbl = i->lane == IR_F64, .wide = i->type == IR_I64, .sign = i->aux & IR_SIGNED, .round = i->aux & 7};
    unsigned imm = 0;
    FpAway w = {{0}, {0}};
    Xmm t = {0}, x = {0};
    Gpr g = {0};

    if (i->type < IR_I32)
        return false;
    if (k.round != FP_RNA && !vsel_round_imm(k.round, &imm))
        return false;
    k.usi = !k.sign && s->feat->avx512;
    bool direct = k.round == FP_RTZ && (k.sign || k.usi), scaled = i->imm || i->lane == IR_F16;
    Xmm a = sel_use_x(s, i->a);
    FpExtra e = fp_extra(s, false);
    Gpr d = sel_def_r(s, i);
    if (!direct)
        g = sel_tmp_r(s);
    if (!direct || scaled || e.careful)
        t = sel_tmp_x(s);
    if (k.round == FP_RNA && !to_int_away(s, k))
        w = (FpAway){sel_tmp_x(s), sel_tmp_x(s)};
    if (scaled)
        x = sel_tmp_x(s);
    bool cold = e.careful || !direct || i->imm;
    if (!e.any && cold)
        e.slow = sel_label(s);
    fp_extra_guard(s, &e, (IrType)i->lane, a);
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
bool fp_js_to_int(Sel *s, const IrInsn *i)
{
    Xmm a = sel_use_x(s, i->a);
    FpExtra x = fp_extra(s, false);
    Gpr d = sel_def_r(s, i);
    Gpr g = sel_tmp_r(s), h = sel_tmp_r(s);
    Xmm t = sel_tmp_x(s);

    if (!x.any)
        x.slow = sel_label(s);
    fp_extra_guard(s, &x, IR_F64, a);
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

bool fp_from_int_rule(Sel *s, const IrInsn *i)
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
bool fp_bitcast(Sel *s, const IrInsn *i)
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
