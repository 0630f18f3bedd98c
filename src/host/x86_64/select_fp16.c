/*
 * Half precision without AVX512-FP16, by way of single precision. Single has more than twice the digits and two more, so
 * that rounding twice is rounding once for addition, subtraction, multiplication, division and square root; rounding to
 * integers, minimum, maximum and comparison are exact. Fused multiplication is not, and has no rule here.
 */
#include "host/x86_64/vsel.h"

/* t = the f16 in the low bits of a as f32; what lies above must not be converted, it might signal. */
static void widen(Sel *s, Xmm t, Xmm a)
{
    x64_rvm_m(s->a, VPAND, t, a, sel_vconst(s, 0xffff, 0));
    x64_rm(s->a, VCVTPH2PS, t, t);
}

/*
 * d = the f32 in d, rounded. A NaN leads to `slow`: the operands became quiet when they were widened, and Arm prefers a
 * signalling one. In exact regions so does the least normal magnitude (see extra_done in select_fp.c).
 */
static void narrow_checked(Sel *s, Xmm d, Gpr g, uint32_t slow)
{
    x64_mri(s->a, VCVTPS2PH, d, d, X64_ROUND_CUR);
    x64_gx(s->a, VMOVD_GX, g, d);
    x64_alu_ri(s->a, ALU_AND, W32, g, 0x7fff);
    x64_alu_ri(s->a, ALU_CMP, W32, g, 0x7c00);
    x64_jcc(s->a, CC_A, slow);
    if (!s->r->fp.exact)
        return;
    x64_alu_ri(s->a, ALU_CMP, W32, g, 0x0400);
    x64_jcc(s->a, CC_E, slow);
}

bool vsel_f16_arith(Sel *s, const IrInsn *i)
{
    if (sel_careful(s))
        return false;
    X64Vec op = i->op == IR_FADD ? VADDSS : i->op == IR_FSUB ? VSUBSS : i->op == IR_FMUL ? VMULSS : VDIVSS;
    Xmm a = sel_use_x(s, i->a);
    Xmm b = i->op == IR_FSQRT ? a : sel_use_x(s, i->b);
    Xmm d = sel_def_x(s, i);
    Xmm t = sel_tmp_x(s);
    Gpr g = sel_tmp_r(s);
    uint32_t slow = sel_label(s);

    widen(s, d, a);
    if (i->op == IR_FSQRT) {
        x64_rvm(s->a, VSQRTSS, d, d, d);
    } else {
        widen(s, t, b);
        x64_rvm(s->a, op, d, d, t);
    }
    narrow_checked(s, d, g, slow);
    sel_cold_eval_at(s, i, slow);
    return true;
}

/* The host's minimum takes the second of equal operands: of these `or` gives the minimum and `and` the maximum. */
bool vsel_f16_minmax(Sel *s, const IrInsn *i)
{
    bool max = i->op == IR_FMAX || i->op == IR_FMAXNUM;
    if (sel_careful(s))
        return false;
    Xmm a = sel_use_x(s, i->a);
    Xmm b = sel_use_x(s, i->b);
    Xmm d = sel_def_x(s, i);
    Xmm t = sel_tmp_x(s);
    uint32_t equal = sel_label(s), back = sel_label(s), slow = sel_label(s);

    widen(s, d, a);
    widen(s, t, b);
    x64_rm(s->a, VUCOMISS, d, t);
    x64_jcc(s->a, CC_E, equal);
    x64_rvm(s->a, max ? VMAXSS : VMINSS, d, d, t);
    x64_mri(s->a, VCVTPS2PH, d, d, X64_ROUND_CUR);
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

bool vsel_f16_rint(Sel *s, const IrInsn *i)
{
    unsigned imm;

    if (!vsel_round_imm(i->aux & 7, &imm) || sel_careful(s))
        return false;
    Xmm a = sel_use_x(s, i->a);
    Xmm d = sel_def_x_last(s, i);
    widen(s, d, a);
    x64_rvmi(s->a, VROUNDSS, d, d, d, imm | (i->aux & IR_EXACT ? 0 : X64_ROUND_QUIET));
    x64_mri(s->a, VCVTPS2PH, d, d, X64_ROUND_CUR);
    return true;
}

/* The operands of a comparison as f32: t against u. */
void vsel_f16_compare(Sel *s, IrRef x, IrRef y, bool signalling)
{
    Xmm a = sel_use_x(s, x);
    Xmm b = sel_use_x(s, y);
    Xmm t = sel_tmp_x(s), u = sel_tmp_x(s);

    widen(s, t, a);
    widen(s, u, b);
    x64_rm(s->a, signalling ? VCOMISS : VUCOMISS, t, u);
}

void vsel_f16_widen(Sel *s, Xmm t, Xmm a)
{
    widen(s, t, a);
}

/* --- vectors ------------------------------------------------------------------------------------------------------------ */

static X64Vec packed_op(const IrInsn *i)
{
    switch (i->op) {
    case IR_FADD: return VADDPS;
    case IR_FSUB: return VSUBPS;
    case IR_FMUL: return VMULPS;
    case IR_FDIV: return VDIVPS;
    case IR_FMIN: case IR_FMINNUM: return VMINPS;
    default: return VMAXPS;
    }
}

/* Operands' NaNs lead to `slow`: see narrow_checked; and which minimum is meant is for ir_eval to know. */
static void ordered(Sel *s, Xmm a, Xmm b, Xmm t, uint32_t slow)
{
    x64_rvmi(s->a, VCMPPS, t, a, b, X64_CMP_UNORD_Q);
    x64_rm(s->a, VPTEST, t, t);
    x64_jcc(s->a, CC_NE, slow);
}

/* a = a op b, four lanes of f32, and back to four f16. */
static void half_of_vector(Sel *s, const IrInsn *i, Xmm a, Xmm b, Xmm t, uint32_t slow)
{
    bool min = i->op == IR_FMIN || i->op == IR_FMINNUM, max = i->op == IR_FMAX || i->op == IR_FMAXNUM;

    if (min || max) {
        ordered(s, a, b, t, slow);
        x64_rvm(s->a, packed_op(i), t, a, b);
        x64_rvm(s->a, packed_op(i), a, b, a);
        x64_rvm(s->a, min ? VORPS : VANDPS, a, t, a);
    } else if (i->op == IR_FSQRT) {
        x64_rm(s->a, VSQRTPS, a, a);
    } else {
        x64_rvm(s->a, packed_op(i), a, a, b);
    }
    x64_mri(s->a, VCVTPS2PH, a, a, X64_ROUND_CUR);
}

bool vsel_f16_vector(Sel *s, const IrInsn *i)
{
    bool full = i->lanes == 8, binary = i->op != IR_FSQRT;

    if (sel_careful(s) || (!full && i->lanes != 4))
        return false;
    Xmm a = sel_use_x(s, i->a);
    Xmm b = binary ? sel_use_x(s, i->b) : a;
    Xmm d = sel_def_x(s, i);
    Xmm t = sel_tmp_x(s), u = sel_tmp_x(s), v = full ? sel_tmp_x(s) : d;
    uint32_t slow = sel_label(s);

    x64_rm(s->a, VCVTPH2PS, d, a);
    if (binary)
        x64_rm(s->a, VCVTPH2PS, u, b);
    half_of_vector(s, i, d, u, t, slow);
    if (full) {
        x64_rvm(s->a, VMOVHLPS, v, a, a);
        x64_rm(s->a, VCVTPH2PS, v, v);
        if (binary) {
            x64_rvm(s->a, VMOVHLPS, u, b, b);
            x64_rm(s->a, VCVTPH2PS, u, u);
        }
        half_of_vector(s, i, v, u, t, slow);
        x64_rvm(s->a, VPUNPCKLQDQ, d, d, v);
    }
    x64_rvm_m(s->a, VPAND, t, d, vsel_rep(s, 16, 0x7fff));
    if (s->r->fp.exact) {
        x64_rvm_m(s->a, VPCMPEQW, u, t, vsel_rep(s, 16, 0x0400));
        x64_rvm_m(s->a, VPCMPGTW, t, t, vsel_rep(s, 16, 0x7c00));
        x64_rvm(s->a, VPOR, t, t, u);
    } else {
        x64_rvm_m(s->a, VPCMPGTW, t, t, vsel_rep(s, 16, 0x7c00));
    }
    x64_rm(s->a, VPTEST, t, t);
    x64_jcc(s->a, CC_NE, slow);
    sel_cold_eval_at(s, i, slow);
    return true;
}
