/*
 * Advanced SIMD "three different": results of twice the width (long), one wide operand (wide), the high half (narrow);
 * with their scalar and by-element forms.
 */
#include "guest/aarch64/lift_simd.h"

/* The half of v that "2" forms (high) or plain ones use, each element in double width */
static IrRef widen(Lift *l, VShape s, bool high, bool is_signed, IrRef v)
{
    VShape w = {.lane = s.lane, .lanes = 64 / simd_bits(s)};
    return simd_op(l, IR_VWIDEN, w, high | (is_signed ? IR_SIGNED : 0), 0, v, 0, 0);
}

/* Sources of `s` elements, 64 bits of them; all results are full vectors of `wide` elements. */
typedef struct Long {
    VShape s, wide;
    bool high, is_signed;
} Long;

static Long long_of(const A64Args *a)
{
    VShape s = simd_shape(a->size, 0);
    return (Long){.s = s, .wide = simd_shape(a->size + 1, 1), .high = a->Q, .is_signed = !a->U};
}

/* SADDL, UADDL, SSUBL, USUBL, SADDW, UADDW, SSUBW, USUBW */
static bool add_long(Lift *l, const A64Args *a, IrOp op, bool wide_n)
{
    Long g = long_of(a);
    IrRef n = a64_get_v(l, a->Rn);
    if (!wide_n)
        n = widen(l, g.s, g.high, g.is_signed, n);
    a64_put_v(l, a->Rd, simd_op2(l, op, g.wide, n, widen(l, g.s, g.high, g.is_signed, a64_get_v(l, a->Rm))));
    return true;
}

/* ADDHN, RADDHN, SUBHN, RSUBHN: U asks for rounding */
static bool add_high(Lift *l, const A64Args *a, IrOp op)
{
    VShape wide = simd_shape(a->size + 1, 1);
    unsigned half = simd_bits(wide) / 2;
    IrRef sum = simd_op2(l, op, wide, a64_get_v(l, a->Rn), a64_get_v(l, a->Rm));
    if (a->U)
        sum = simd_op2(l, IR_ADD, wide, sum, simd_dup(l, wide, UINT64_C(1) << (half - 1)));
    sum = simd_shift(l, IR_VSHRI, wide, sum, half);
    simd_put_part(l, a->Q, a->Rd, simd_op(l, IR_VNARROW, wide, IR_NARROW_TRUNC, 0, sum, 0, 0));
    return true;
}

/* SABDL, UABDL; SABAL, UABAL accumulate. The difference is taken narrow: it fits the unsigned narrow element. */
static bool abd_long(Lift *l, const A64Args *a, bool accumulate)
{
    Long g = long_of(a);
    VShape full = simd_shape(a->size, 1);
    unsigned aux = g.is_signed ? IR_SIGNED : 0;
    IrRef diff = simd_op(l, IR_VABD, full, aux, 0, a64_get_v(l, a->Rn), a64_get_v(l, a->Rm), 0);
    diff = widen(l, g.s, g.high, false, diff);
    if (accumulate)
        diff = simd_op2(l, IR_ADD, g.wide, a64_get_v(l, a->Rd), diff);
    a64_put_v(l, a->Rd, diff);
    return true;
}

/* SMULL, UMULL; acc IR_ADD or IR_SUB: SMLAL, SMLSL ...; IR_NOP: the product alone */
static void mul_long(Lift *l, const A64Args *a, IrOp acc, IrRef m)
{
    Long g = long_of(a);
    VShape src = {.lane = g.s.lane, .lanes = g.wide.lanes};
    unsigned aux = g.high | (g.is_signed ? IR_SIGNED : 0);
    IrRef res = simd_op(l, IR_VMULL, src, aux, 0, a64_get_v(l, a->Rn), m, 0);
    if (acc != IR_NOP)
        res = simd_op2(l, acc, g.wide, a64_get_v(l, a->Rd), res);
    a64_put_v(l, a->Rd, res);
}

IrRef simd_sqdmull(Lift *l, VShape s, bool high, IrRef n, IrRef m)
{
    /* only MIN * MIN saturates; the mask at source width is as good as one at the result's */
    VShape full = {.lane = s.lane, .lanes = 128 / simd_bits(s)};
    IrRef min = simd_dup(l, full, UINT64_C(1) << (simd_bits(s) - 1));
    IrRef both = simd_op2(l, IR_AND, full, simd_cmp(l, full, IR_EQ, n, min), simd_cmp(l, full, IR_EQ, m, min));
    VShape half = {.lane = IR_I64, .lanes = 2};
    if (!s.scalar)
        both = simd_op1(l, high ? IR_VHIGH : IR_VLOW, half, both);
    simd_qc(l, s, both);
    VShape res = {.lane = s.lane, .lanes = 64 / simd_bits(s)};
    IrRef product = simd_op(l, IR_VSATDMULL, res, high, 0, n, m, 0);
    return s.scalar ? simd_op1(l, IR_VLOW, half, product) : product;
}

/* SQDMULL; acc IR_VADDS_SAT: SQDMLAL, IR_VSUBS_SAT: SQDMLSL */
static void sqdmull(Lift *l, const A64Args *a, IrOp acc, IrRef m)
{
    VShape s = a->scalar ? simd_shape_scalar(a->size) : simd_shape(a->size, 0);
    VShape wide = a->scalar ? simd_shape_scalar(a->size + 1) : simd_shape(a->size + 1, 1);
    IrRef res = simd_sqdmull(l, s, a->Q && !a->scalar, a64_get_v(l, a->Rn), m);
    if (acc != IR_NOP) {
        IrRef d = a64_get_v(l, a->Rd), product = res;
        res = simd_op2(l, acc, wide, d, product);
        simd_qc_differ(l, wide, res, simd_op2(l, acc == IR_VADDS_SAT ? IR_ADD : IR_SUB, wide, d, product));
    }
    simd_put_shape(l, wide, a->Rd, res);
}

/* The multiplications, shared with the by-element forms; opcode is that of "three different" */
static bool multiply_long(Lift *l, const A64Args *a, unsigned opcode, IrRef m)
{
    switch (opcode) {
    case 8:
        mul_long(l, a, IR_ADD, m);
        break;
    case 9:
        sqdmull(l, a, IR_VADDS_SAT, m);
        break;
    case 10:
        mul_long(l, a, IR_SUB, m);
        break;
    case 11:
        sqdmull(l, a, IR_VSUBS_SAT, m);
        break;
    case 12:
        mul_long(l, a, IR_NOP, m);
        break;
    default:
        sqdmull(l, a, IR_NOP, m);
        break;
    }
    return true;
}

/* Advanced SIMD three different and scalar three different, by opcode and U */
bool a64_lift_simd_long(Lift *l, const A64Args *a)
{
    if (a->size == 3)
        return false;
    switch (a->opcode) {
    case 0:
        return add_long(l, a, IR_ADD, false);
    case 1:
        return add_long(l, a, IR_ADD, true);
    case 2:
        return add_long(l, a, IR_SUB, false);
    case 3:
        return add_long(l, a, IR_SUB, true);
    case 4:
        return add_high(l, a, IR_ADD);
    case 5:
        return abd_long(l, a, true);
    case 6:
        return add_high(l, a, IR_SUB);
    case 7:
        return abd_long(l, a, false);
    case 9:
    case 11:
    case 13:
        if (a->size == 0)
            return false;
        break;
    }
    return multiply_long(l, a, a->opcode, a64_get_v(l, a->Rm));
}

/* SMLAL, SMLSL, SMULL, SQDMLAL, SQDMLSL, SQDMULL and unsigned ones (by element) */
bool a64_lift_simd_long_elem(Lift *l, const A64Args *a)
{
    static const uint8_t as_vector[16] = {[2] = 8, [3] = 9, [6] = 10, [7] = 11, [10] = 12, [11] = 13};
    IrRef m = simd_dup_elem(l, simd_shape(a->size, 1), simd_elem(a, a->size));
    return multiply_long(l, a, as_vector[a->opcode], m);
}

/* PMULL, PMULL2: 8-bit elements, or one of 64 bits (FEAT_PMULL) */
bool a64_lift_pmull(Lift *l, const A64Args *a)
{
    VShape s = {.lane = a->size ? IR_I64 : IR_I8, .lanes = a->size ? 1 : 8};
    a64_put_v(l, a->Rd, simd_op(l, IR_VPMULL, s, a->Q, 0, a64_get_v(l, a->Rn), a64_get_v(l, a->Rm), 0));
    return true;
}
