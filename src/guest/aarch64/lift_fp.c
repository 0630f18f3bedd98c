/*
 * Scalar floating point (Arm ARM C4.1, "Data Processing -- Scalar Floating-Point").
 */
#include "guest/aarch64/lift_simd.h"

/* The format that ptype names; 10 occurs only where a line of the table says so. */
static IrType fp_type(uint32_t ptype)
{
    return ptype == 0 ? IR_F32 : ptype == 1 ? IR_F64 : IR_F16;
}

static IrRef op1(Lift *l, IrOp op, IrType t, unsigned aux, uint64_t imm, IrRef x)
{
    return ir_opx(&l->b, op, t, 0, 0, aux, imm, x, 0, 0);
}

/* --- one to three operands --------------------------------------------------------------------------------------- */

/* FMOV (register), FABS, FNEG, FSQRT */
bool a64_lift_fp_dp1(Lift *l, const A64Args *a)
{
    static const IrOp op[4] = {IR_COPY, IR_FABS, IR_FNEG, IR_FSQRT};
    IrType t = fp_type(a->ptype);
    IrRef n = simd_get_fp(l, t, a->Rn);
    simd_put_scalar(l, t, a->Rd, a->opcode ? op1(l, op[a->opcode], t, 0, 0, n) : n);
    return true;
}

/* FRINTN, P, M, Z, A, X, I */
bool a64_lift_fp_rint(Lift *l, const A64Args *a)
{
    static const uint8_t aux[8] = {FP_RNE, FP_RUP, FP_RDN, FP_RTZ, FP_RNA, 0, FP_RCUR | IR_EXACT, FP_RCUR};
    IrType t = fp_type(a->ptype);
    simd_put_scalar(l, t, a->Rd, op1(l, IR_FRINT, t, aux[a->opcode & 7], 0, simd_get_fp(l, t, a->Rn)));
    return true;
}

/* FRINT32Z, FRINT32X, FRINT64Z, FRINT64X */
bool a64_lift_fp_rint_n(Lift *l, const A64Args *a)
{
    IrType t = fp_type(a->ptype);
    unsigned round = a->opcode & 1 ? FP_RCUR : FP_RTZ, bits = a->opcode & 2 ? 64 : 32;
    simd_put_scalar(l, t, a->Rd, op1(l, IR_FRINTN, t, round, bits, simd_get_fp(l, t, a->Rn)));
    return true;
}

/* FCVT: between half, single and double */
bool a64_lift_fcvt(Lift *l, const A64Args *a)
{
    IrType from = fp_type(a->ptype), to = fp_type(a->opc);
    IrRef n = simd_get_fp(l, from, a->Rn);
    simd_put_scalar(l, to, a->Rd, ir_opx(&l->b, IR_FCVT, to, from, 0, FP_RCUR, 0, n, 0, 0));
    return true;
}

/* BFCVT */
bool a64_lift_bfcvt(Lift *l, const A64Args *a)
{
    IrRef n = simd_get_fp(l, IR_F32, a->Rn);
    simd_put_scalar(l, IR_I16, a->Rd, ir_opx(&l->b, IR_BFCVT, IR_I16, IR_F32, 0, 0, 0, n, 0, 0));
    return true;
}

/* FMUL, FDIV, FADD, FSUB, FMAX, FMIN, FMAXNM, FMINNM, FNMUL */
bool a64_lift_fp_dp2(Lift *l, const A64Args *a)
{
    static const IrOp op[9] = {
        IR_FMUL, IR_FDIV, IR_FADD, IR_FSUB, IR_FMAX, IR_FMIN, IR_FMAXNUM, IR_FMINNUM, IR_FMUL,
    };
    IrType t = fp_type(a->ptype);
    IrRef n = simd_get_fp(l, t, a->Rn), m = simd_get_fp(l, t, a->Rm);
    IrRef res = ir_op2(&l->b, op[a->opcode], t, n, m);
    if (a->opcode == 8)
        res = op1(l, IR_FNEG, t, 0, 0, res);
    simd_put_scalar(l, t, a->Rd, res);
    return true;
}

/* FMADD: a + n*m; FMSUB: a + (-n)*m; FNMADD: -a + (-n)*m; FNMSUB: -a + n*m */
bool a64_lift_fp_dp3(Lift *l, const A64Args *a)
{
    IrType t = fp_type(a->ptype);
    IrRef acc = simd_get_fp(l, t, a->Ra), n = simd_get_fp(l, t, a->Rn), m = simd_get_fp(l, t, a->Rm);
    if (a->o1)
        acc = op1(l, IR_FNEG, t, 0, 0, acc);
    if (a->o1 != a->o0)
        n = op1(l, IR_FNEG, t, 0, 0, n);
    simd_put_scalar(l, t, a->Rd, ir_op3(&l->b, IR_FMA, t, n, m, acc));
    return true;
}

/* FMOV (scalar, immediate) */
bool a64_lift_fmov_imm(Lift *l, const A64Args *a)
{
    a64_put_v(l, a->Rd, ir_vconst(&l->b, simd_fp_imm(fp_type(a->ptype), a->imm8), 0));
    return true;
}

/* --- comparison and selection ------------------------------------------------------------------------------------ */

/* The relations that set N, Z, C, V */
static const uint8_t flag_pred[4] = {IR_LT, IR_EQ, IR_EQ | IR_GT | IR_UN, IR_UN};

static void put_compare(Lift *l, IrRef n, IrRef m, bool signalling)
{
    for (unsigned i = 0; i < 4; i++)
        ir_put(&l->b, A64_N + i, ir_fcmp(&l->b, flag_pred[i] | (signalling ? IR_SIGNALLING : 0), n, m));
}

/* FCMP, FCMPE */
bool a64_lift_fcmp(Lift *l, const A64Args *a)
{
    IrType t = fp_type(a->ptype);
    put_compare(l, simd_get_fp(l, t, a->Rn), simd_get_fp(l, t, a->Rm), a->op);
    return true;
}

/* FCMP, FCMPE with #0.0 */
bool a64_lift_fcmp_zero(Lift *l, const A64Args *a)
{
    IrType t = fp_type(a->ptype);
    put_compare(l, simd_get_fp(l, t, a->Rn), ir_const(&l->b, t, 0), a->op);
    return true;
}

/*
 * FCCMP, FCCMPE. The comparison must raise nothing when the condition fails: it then compares zeros.
 */
bool a64_lift_fccmp(Lift *l, const A64Args *a)
{
    IrType t = fp_type(a->ptype);
    IrRef n = simd_get_fp(l, t, a->Rn), m = simd_get_fp(l, t, a->Rm);
    bool always = a->cond >= 14;
    if (always) {
        put_compare(l, n, m, a->op);
        return true;
    }
    IrRef cond = a64_cond(l, a->cond), zero = ir_const(&l->b, t, 0);
    n = ir_select(&l->b, cond, n, zero);
    m = ir_select(&l->b, cond, m, zero);
    for (unsigned i = 0; i < 4; i++) {
        IrRef flag = ir_fcmp(&l->b, flag_pred[i] | (a->op ? IR_SIGNALLING : 0), n, m);
        IrRef other = ir_const(&l->b, IR_I8, a->nzcv >> (3 - i) & 1);
        ir_put(&l->b, A64_N + i, ir_select(&l->b, cond, flag, other));
    }
    return true;
}

/* FCSEL */
bool a64_lift_fcsel(Lift *l, const A64Args *a)
{
    IrType t = fp_type(a->ptype);
    IrRef n = simd_get_fp(l, t, a->Rn), m = simd_get_fp(l, t, a->Rm);
    simd_put_scalar(l, t, a->Rd, ir_select(&l->b, a64_cond(l, a->cond), n, m));
    return true;
}

/* --- conversion to and from general registers --------------------------------------------------------------------- */

/* Xd or Wd = Vn * 2^fbits as an integer */
static void to_int(Lift *l, const A64Args *a, FpRound round, unsigned fbits)
{
    IrType t = fp_type(a->ptype), to = a64_type(a->sf);
    unsigned aux = round | (a->U ? 0 : IR_SIGNED);
    IrRef res = ir_opx(&l->b, IR_FTOI, to, t, 0, aux, fbits, simd_get_fp(l, t, a->Rn), 0, 0);
    a64_put_zext(l, a->Rd, res);
}

/* Vd = Xn or Wn / 2^fbits */
static void from_int(Lift *l, const A64Args *a, unsigned fbits)
{
    IrType t = fp_type(a->ptype), from = a64_type(a->sf);
    IrRef n = a64_get(l, a->sf, a->Rn);
    simd_put_scalar(l, t, a->Rd, ir_opx(&l->b, IR_ITOF, t, from, 0, a->U ? 0 : IR_SIGNED, fbits, n, 0, 0));
}

/* FCVTZS, FCVTZU (scalar, fixed-point) */
bool a64_lift_fcvtz_fix(Lift *l, const A64Args *a)
{
    if (!a->sf && a->scale < 32)
        return false;
    to_int(l, a, FP_RTZ, 64 - a->scale);
    return true;
}

/* SCVTF, UCVTF (scalar, fixed-point) */
bool a64_lift_scvtf_fix(Lift *l, const A64Args *a)
{
    if (!a->sf && a->scale < 32)
        return false;
    from_int(l, a, 64 - a->scale);
    return true;
}

/* FCVTNS, FCVTPS, FCVTMS, FCVTZS and unsigned ones: rmode numbers FpRound */
bool a64_lift_fcvt_int(Lift *l, const A64Args *a)
{
    to_int(l, a, (FpRound)a->rmode, 0);
    return true;
}

/* FCVTAS, FCVTAU */
bool a64_lift_fcvta_int(Lift *l, const A64Args *a)
{
    to_int(l, a, FP_RNA, 0);
    return true;
}

/* SCVTF, UCVTF (scalar, integer) */
bool a64_lift_scvtf_int(Lift *l, const A64Args *a)
{
    from_int(l, a, 0);
    return true;
}

/* FMOV (general): opcode 0 to the general register, 1 from it; half precision in either width */
bool a64_lift_fmov_gen(Lift *l, const A64Args *a)
{
    IrType t = a->ptype == 3 ? IR_I16 : a64_type(a->sf);
    if (a->opcode)
        simd_put_scalar(l, t, a->Rd, ir_trunc(&l->b, t, a64_get_x(l, a->Rn)));
    else
        a64_put_zext(l, a->Rd, simd_get_fp(l, t, a->Rn));
    return true;
}

/* FMOV Xd, Vn.D[1]; FMOV Vd.D[1], Xn */
bool a64_lift_fmov_top(Lift *l, const A64Args *a)
{
    if (a->opcode) {
        IrRef d = a64_get_v(l, a->Rd);
        a64_put_v(l, a->Rd, simd_op(l, IR_VSET, simd_shape(3, 1), 0, 1, d, a64_get_x(l, a->Rn), 0));
    } else {
        a64_put_x(l, a->Rd, ir_opx(&l->b, IR_VGET, IR_I64, IR_I64, 0, 0, 1, a64_get_v(l, a->Rn), 0, 0));
    }
    return true;
}

/* FJCVTZS */
bool a64_lift_fjcvtzs(Lift *l, const A64Args *a)
{
    IrRef res = ir_opx(&l->b, IR_FJCVT, IR_I64, IR_F64, 0, 0, 0, simd_get_fp(l, IR_F64, a->Rn), 0, 0);
    IrRef exact = ir_trunc(&l->b, IR_I8, ir_op1i(&l->b, IR_UBFX, IR_I64, res, 32 | 1 << 8));
    IrRef zero = a64_c8(l, 0);
    a64_put_zext(l, a->Rd, ir_trunc(&l->b, IR_I32, res));
    a64_put_nzcv(l, zero, exact, zero, zero);
    return true;
}
