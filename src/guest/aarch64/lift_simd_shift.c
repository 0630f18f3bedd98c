/*
 * Advanced SIMD shifts by immediate: vector and scalar forms, and the fixed-point conversions encoded among them.
 */
#include "guest/aarch64/lift_simd.h"

/* The element size (log2 of bytes) that immh gives; immh is not 0. */
static unsigned immh_size(const A64Args *a)
{
    return 31 - __builtin_clz(a->immh);
}

/* Shift amounts: right 1..esize, left 0..esize-1. */
static unsigned right_amount(const A64Args *a)
{
    return (16u << immh_size(a)) - (a->immh << 3 | a->immb);
}

static unsigned left_amount(const A64Args *a)
{
    return (a->immh << 3 | a->immb) - (8u << immh_size(a));
}

/* x >> amount, 1..N; rounding adds the last bit shifted out. */
static IrRef shift_right(Lift *l, VShape s, bool is_signed, bool rounding, unsigned amount, IrRef x)
{
    IrRef res = simd_shift(l, is_signed ? IR_VSARI : IR_VSHRI, s, x, amount);
    if (rounding) {
        IrRef last = simd_op2(l, IR_AND, s, simd_shift(l, IR_VSHRI, s, x, amount - 1), simd_dup(l, s, 1));
        res = simd_op2(l, IR_ADD, s, res, last);
    }
    return res;
}

/* SRI: the bits of d above the shifted value stay */
static IrRef sri(Lift *l, VShape s, unsigned amount, IrRef d, IrRef n)
{
    unsigned bits = simd_bits(s);
    uint64_t mask = amount == 64 ? 0 : (UINT64_MAX >> (64 - bits)) >> amount;
    return simd_op(l, IR_BSL, s, 0, 0, simd_dup(l, s, mask), simd_shift(l, IR_VSHRI, s, n, amount), d);
}

/* SLI: the bits of d below the shifted value stay */
static IrRef sli(Lift *l, VShape s, unsigned amount, IrRef d, IrRef n)
{
    uint64_t mask = UINT64_MAX << amount;
    return simd_op(l, IR_BSL, s, 0, 0, simd_dup(l, s, mask), simd_shift(l, IR_VSHLI, s, n, amount), d);
}

/* SQSHL, UQSHL, SQSHLU (immediate) */
static IrRef shift_left_sat(Lift *l, VShape s, unsigned aux, unsigned amount, IrRef n)
{
    IrRef by = simd_dup(l, s, amount);
    simd_qc(l, s, simd_op(l, IR_VSHIFT_Q, s, aux, 0, n, by, 0));
    return simd_op(l, IR_VSHIFT, s, aux, 0, n, by, 0);
}

/* SSHR, SSRA, SRSHR, SRSRA and unsigned ones, SRI, SHL, SLI, SQSHLU, SQSHL, UQSHL: vector and scalar */
bool a64_lift_simd_shift(Lift *l, const A64Args *a)
{
    unsigned size = immh_size(a);
    if (size == 3 && !a->Q && !a->scalar)
        return false;
    VShape s = a->scalar ? simd_shape_scalar(size) : simd_shape(size, a->Q);
    IrRef n = a64_get_v(l, a->Rn), res;
    switch (a->opcode) {
    case 8:
        res = sri(l, s, right_amount(a), a64_get_v(l, a->Rd), n);
        break;
    case 10:
        res = a->U ? sli(l, s, left_amount(a), a64_get_v(l, a->Rd), n)
                   : simd_shift(l, IR_VSHLI, s, n, left_amount(a));
        break;
    case 12:
        res = shift_left_sat(l, s, IR_SIGNED | IR_SATU, left_amount(a), n);
        break;
    case 14:
        res = shift_left_sat(l, s, IR_SAT | (a->U ? 0 : IR_SIGNED), left_amount(a), n);
        break;
    default: /* 0, 2, 4, 6: bit 1 accumulates, bit 2 rounds */
        res = shift_right(l, s, !a->U, a->opcode & 4, right_amount(a), n);
        if (a->opcode & 2)
            res = simd_op2(l, IR_ADD, s, a64_get_v(l, a->Rd), res);
        break;
    }
    simd_put_shape(l, s, a->Rd, res);
    return true;
}

/* SHRN, RSHRN, SQSHRN, SQRSHRN, UQSHRN, UQRSHRN, SQSHRUN, SQRSHRUN: opcode bit 0 rounds */
bool a64_lift_simd_shift_narrow(Lift *l, const A64Args *a)
{
    unsigned size = immh_size(a);
    VShape wide = simd_shape(size + 1, 1), back = {.lane = IR_I8 + size, .lanes = wide.lanes};
    bool sat = a->opcode >= 18 || a->U;      /* SHRN and RSHRN do not */
    bool from_signed = a->opcode < 18 || !a->U;
    bool to_signed = a->opcode >= 18 && !a->U;
    unsigned kind = !sat ? IR_NARROW_TRUNC : to_signed ? IR_NARROW_SS : from_signed ? IR_NARROW_SU : IR_NARROW_UU;
    wide.scalar = a->scalar;
    IrRef n = shift_right(l, wide, sat && from_signed, a->opcode & 1, right_amount(a), a64_get_v(l, a->Rn));
    IrRef res = simd_op(l, IR_VNARROW, wide, kind, 0, n, 0, 0);
    if (sat)
        simd_qc_differ(l, wide, simd_op(l, IR_VWIDEN, back, to_signed ? IR_SIGNED : 0, 0, res, 0, 0), n);
    if (a->scalar)
        simd_put_shape(l, simd_shape_scalar(size), a->Rd, res);
    else
        simd_put_part(l, a->Q, a->Rd, res);
    return true;
}

/* SSHLL, USHLL (SXTL, UXTL when the amount is 0) */
bool a64_lift_simd_shll(Lift *l, const A64Args *a)
{
    unsigned size = immh_size(a);
    VShape wide = simd_shape(size + 1, 1), src = {.lane = IR_I8 + size, .lanes = wide.lanes};
    IrRef n = simd_op(l, IR_VWIDEN, src, a->Q | (a->U ? 0 : IR_SIGNED), 0, a64_get_v(l, a->Rn), 0, 0);
    a64_put_v(l, a->Rd, left_amount(a) ? simd_shift(l, IR_VSHLI, wide, n, left_amount(a)) : n);
    return true;
}

/* FP shape of the fixed-point conversions; false when undefined */
static bool fix_shape(const A64Args *a, VShape *s)
{
    unsigned size = immh_size(a);
    *s = simd_fshape(IR_F16 + size - 1, a->Q, a->scalar);
    return size != 3 || a->Q || a->scalar;
}

/* SCVTF, UCVTF (vector and scalar, fixed-point) */
bool a64_lift_simd_scvtf_fix(Lift *l, const A64Args *a)
{
    VShape s;
    if (!fix_shape(a, &s))
        return false;
    simd_fput(l, s, a->Rd, simd_itof(l, s, !a->U, right_amount(a), a64_get_v(l, a->Rn)));
    return true;
}

/* FCVTZS, FCVTZU (vector and scalar, fixed-point) */
bool a64_lift_simd_fcvtz_fix(Lift *l, const A64Args *a)
{
    VShape s;
    if (!fix_shape(a, &s))
        return false;
    simd_put_ftoi(l, s, a->Rd, FP_RTZ, !a->U, right_amount(a), a->Rn);
    return true;
}
