/*
 * Advanced SIMD two-register miscellaneous on integers, across lanes, and scalar pairwise addition.
 */
#include "guest/aarch64/lift_simd.h"

static VShape shape_of(const A64Args *a)
{
    return a->scalar ? simd_shape_scalar(a->size) : simd_shape(a->size, a->Q);
}

/* REV64 (group 64), REV32, REV16 */
static IrRef rev(Lift *l, const A64Args *a, unsigned group)
{
    return simd_op(l, IR_VREV, shape_of(a), 0, group, a64_get_v(l, a->Rn), 0, 0);
}

/* SADDLP, UADDLP; SADALP, UADALP accumulate */
static IrRef add_pairs_long(Lift *l, const A64Args *a, bool accumulate)
{
    VShape s = shape_of(a);
    IrRef sum = simd_op(l, IR_VPADDL, s, a->U ? 0 : IR_SIGNED, 0, a64_get_v(l, a->Rn), 0, 0);
    return accumulate ? simd_op2(l, IR_ADD, simd_wider(s), a64_get_v(l, a->Rd), sum) : sum;
}

/* SUQADD, USQADD: the destination is the first operand */
static IrRef add_mixed_sat(Lift *l, const A64Args *a)
{
    VShape s = shape_of(a);
    IrRef d = a64_get_v(l, a->Rd), n = a64_get_v(l, a->Rn);
    IrRef res = simd_op2(l, a->U ? IR_VADDUS_SAT : IR_VADDSU_SAT, s, d, n);
    simd_qc_differ(l, s, res, simd_op2(l, IR_ADD, s, d, n));
    return res;
}

/* SQABS, SQNEG: only MIN saturates */
static IrRef abs_neg_sat(Lift *l, const A64Args *a)
{
    VShape s = shape_of(a);
    IrRef n = a64_get_v(l, a->Rn), neg = simd_op2(l, IR_VSUBS_SAT, s, simd_zero(l), n);
    simd_qc_differ(l, s, neg, simd_op1(l, IR_NEG, s, n));
    return a->U ? neg : simd_op2(l, IR_MAXS, s, n, neg);
}

static IrRef cmp_zero(Lift *l, const A64Args *a, unsigned pred)
{
    return simd_cmp(l, shape_of(a), pred, a64_get_v(l, a->Rn), simd_zero(l));
}

static IrRef unary(Lift *l, const A64Args *a, IrOp op)
{
    return simd_op1(l, op, shape_of(a), a64_get_v(l, a->Rn));
}

/* Which element sizes an opcode has, as bits: vector and scalar forms */
static bool misc_size_ok(const A64Args *a)
{
    switch (a->opcode) {
    case 0: /* REV64, REV32: elements below the group */
        return a->size < (a->U ? 2 : 3);
    case 1: /* REV16 */
        return a->size == 0;
    case 2: /* SADDLP */
    case 4: /* CLS, CLZ */
    case 6: /* SADALP */
        return a->size < 3;
    case 3: /* SUQADD */
    case 7: /* SQABS, SQNEG: all sizes in both forms */
        return a->scalar || a->size < 3 || a->Q;
    default: /* comparisons, ABS, NEG: scalar ones of 64 bits only */
        return a->scalar ? a->size == 3 : a->size < 3 || a->Q;
    }
}

static IrRef misc_result(Lift *l, const A64Args *a)
{
    switch (a->opcode) {
    case 0:
        return rev(l, a, a->U ? 32 : 64);
    case 1:
        return rev(l, a, 16);
    case 2:
        return add_pairs_long(l, a, false);
    case 3:
        return add_mixed_sat(l, a);
    case 4:
        return unary(l, a, a->U ? IR_CLZ : IR_CLS);
    case 6:
        return add_pairs_long(l, a, true);
    case 7:
        return abs_neg_sat(l, a);
    case 8: /* CMGT, CMGE */
        return cmp_zero(l, a, IR_PSIGNED | IR_GT | (a->U ? IR_EQ : 0));
    case 9: /* CMEQ, CMLE */
        return cmp_zero(l, a, a->U ? IR_PSIGNED | IR_LT | IR_EQ : IR_EQ);
    case 10: /* CMLT */
        return cmp_zero(l, a, IR_PSIGNED | IR_LT);
    default: /* 11 */
        return unary(l, a, a->U ? IR_NEG : IR_ABS);
    }
}

/* Two-register miscellaneous of one shape, vector and scalar, by U and opcode */
bool a64_lift_simd_misc(Lift *l, const A64Args *a)
{
    if (!misc_size_ok(a))
        return false;
    simd_put_shape(l, shape_of(a), a->Rd, misc_result(l, a));
    return true;
}

/* CNT, NOT, RBIT: on bytes; told apart by U and size */
bool a64_lift_simd_bytes(Lift *l, const A64Args *a)
{
    IrOp op = !a->U ? IR_POPCNT : a->size ? IR_BITREV : IR_NOT;
    a64_put_v(l, a->Rd, simd_op1(l, op, simd_shape(0, a->Q), a64_get_v(l, a->Rn)));
    return true;
}

/* XTN, SQXTN, UQXTN, SQXTUN: from elements of `wide` to half width; QC where widening again gives another value */
static IrRef narrow(Lift *l, VShape wide, unsigned kind, IrRef n)
{
    IrRef res = simd_op(l, IR_VNARROW, wide, kind, 0, n, 0, 0);
    if (kind != IR_NARROW_TRUNC) {
        VShape back = {.lane = wide.lane - 1, .lanes = wide.lanes};
        unsigned aux = kind == IR_NARROW_SS ? IR_SIGNED : 0;
        IrRef again = simd_op(l, IR_VWIDEN, back, aux, 0, res, 0, 0);
        simd_qc_differ(l, wide, again, n);
    }
    return res;
}

bool a64_lift_simd_xtn(Lift *l, const A64Args *a)
{
    if (a->size == 3)
        return false;
    unsigned kind = a->opcode == 20 ? (a->U ? IR_NARROW_UU : IR_NARROW_SS) : a->U ? IR_NARROW_SU : IR_NARROW_TRUNC;
    VShape wide = simd_shape(a->size + 1, 1);
    IrRef n = a64_get_v(l, a->Rn);
    if (a->scalar) {
        wide.scalar = true;
        simd_put_shape(l, simd_shape_scalar(a->size), a->Rd, narrow(l, wide, kind, n));
    } else {
        simd_put_part(l, a->Q, a->Rd, narrow(l, wide, kind, n));
    }
    return true;
}

/* SHLL: widen, shift left by the element size */
bool a64_lift_shll_v(Lift *l, const A64Args *a)
{
    if (a->size == 3)
        return false;
    VShape wide = simd_shape(a->size + 1, 1);
    VShape src = {.lane = wide.lane - 1, .lanes = wide.lanes};
    IrRef n = simd_op(l, IR_VWIDEN, src, a->Q, 0, a64_get_v(l, a->Rn), 0, 0);
    a64_put_v(l, a->Rd, simd_shift(l, IR_VSHLI, wide, n, 8u << a->size));
    return true;
}

/* URECPE, URSQRTE */
bool a64_lift_simd_estimate(Lift *l, const A64Args *a)
{
    IrOp op = a->U ? IR_VURSQRTE : IR_VURECPE;
    a64_put_v(l, a->Rd, simd_op1(l, op, simd_shape(2, a->Q), a64_get_v(l, a->Rn)));
    return true;
}

/* A scalar from all elements of n: op VSUM, VMINV or VMAXV */
static void reduce(Lift *l, const A64Args *a, IrOp op, VShape s, unsigned aux, IrRef n)
{
    IrRef res = ir_opx(&l->b, op, s.lane, s.lane, s.lanes, aux, 0, n, 0, 0);
    simd_put_scalar(l, s.lane, a->Rd, res);
}

/* ADDV, SADDLV, UADDLV, SMAXV, UMAXV, SMINV, UMINV */
bool a64_lift_simd_across(Lift *l, const A64Args *a)
{
    if (a->size == 3 || (a->size == 2 && !a->Q))
        return false;
    VShape s = simd_shape(a->size, a->Q);
    IrRef n = a64_get_v(l, a->Rn);
    unsigned is_signed = a->U ? 0 : IR_SIGNED;
    switch (a->opcode) {
    case 3:
        reduce(l, a, IR_VSUM, simd_wider(s), 0, simd_op(l, IR_VPADDL, s, is_signed, 0, n, 0, 0));
        break;
    case 10:
        reduce(l, a, IR_VMAXV, s, is_signed, n);
        break;
    case 26:
        reduce(l, a, IR_VMINV, s, is_signed, n);
        break;
    default:
        reduce(l, a, IR_VSUM, s, 0, n);
        break;
    }
    return true;
}

/* ADDP (scalar) */
bool a64_lift_addp_sc(Lift *l, const A64Args *a)
{
    reduce(l, a, IR_VSUM, simd_shape(3, 1), 0, a64_get_v(l, a->Rn));
    return true;
}
