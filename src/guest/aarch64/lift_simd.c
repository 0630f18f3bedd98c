/*
 * Shared parts of the Advanced SIMD lifters: see lift_simd.h.
 */
#include "guest/aarch64/lift_simd.h"

VShape simd_shape(unsigned size, unsigned q)
{
    return (VShape){.lane = IR_I8 + size, .lanes = (8u << q) >> size};
}

VShape simd_shape_scalar(unsigned size)
{
    return (VShape){.lane = IR_I8 + size, .lanes = 8u >> size, .scalar = true};
}

VShape simd_wider(VShape s)
{
    return (VShape){.lane = s.lane + 1, .lanes = s.lanes / 2, .scalar = s.scalar};
}

VShape simd_narrower(VShape s)
{
    return (VShape){.lane = s.lane - 1, .lanes = s.lanes * 2, .scalar = s.scalar};
}

unsigned simd_bits(VShape s)
{
    return 8 * ir_type_size(s.lane);
}

VShape simd_fshape(IrType lane, unsigned q, bool scalar)
{
    return (VShape){.lane = lane, .lanes = (scalar ? 8u : 8u << q) / ir_type_size(lane), .scalar = scalar};
}

VShape simd_int(VShape s)
{
    s.lane = s.lane - IR_F16 + IR_I16;
    return s;
}

IrRef simd_get_fp(Lift *l, IrType t, unsigned n)
{
    return ir_opx(&l->b, IR_VGET, t, t, 0, 0, 0, a64_get_v(l, n), 0, 0);
}

void simd_put_scalar(Lift *l, IrType t, unsigned n, IrRef v)
{
    a64_put_v(l, n, ir_opx(&l->b, IR_VZEXT, IR_V128, t, 0, 0, 0, v, 0, 0));
}

/* The lowest element with zeros above; 64-bit elements are already alone in the shape. */
static IrRef lowest(Lift *l, VShape s, IrRef v)
{
    if (s.lanes == 1)
        return v;
    IrRef e = ir_opx(&l->b, IR_VGET, s.lane, s.lane, 0, 0, 0, v, 0, 0);
    return ir_opx(&l->b, IR_VZEXT, IR_V128, s.lane, 0, 0, 0, e, 0, 0);
}

void simd_put_shape(Lift *l, VShape s, unsigned n, IrRef v)
{
    a64_put_v(l, n, s.scalar ? lowest(l, s, v) : v);
}

void simd_put_part(Lift *l, unsigned q, unsigned n, IrRef v)
{
    if (q)
        v = ir_opx(&l->b, IR_VCONCAT, IR_V128, IR_I64, 2, 0, 0, a64_get_v(l, n), v, 0);
    a64_put_v(l, n, v);
}

IrRef simd_op(Lift *l, IrOp op, VShape s, unsigned aux, uint64_t imm, IrRef x, IrRef y, IrRef z)
{
    return ir_opx(&l->b, op, IR_V128, s.lane, s.lanes, aux, imm, x, y, z);
}

IrRef simd_op1(Lift *l, IrOp op, VShape s, IrRef x)
{
    return simd_op(l, op, s, 0, 0, x, 0, 0);
}

IrRef simd_op2(Lift *l, IrOp op, VShape s, IrRef x, IrRef y)
{
    return simd_op(l, op, s, 0, 0, x, y, 0);
}

IrRef simd_shift(Lift *l, IrOp op, VShape s, IrRef x, unsigned amount)
{
    return simd_op(l, op, s, 0, amount, x, 0, 0);
}

IrRef simd_dup(Lift *l, VShape s, uint64_t value)
{
    unsigned bits = simd_bits(s);
    if (bits < 64)
        value &= (UINT64_C(1) << bits) - 1;
    for (; bits < 64; bits *= 2)
        value |= value << bits;
    return ir_vconst(&l->b, value, value);
}

IrRef simd_zero(Lift *l)
{
    return ir_vconst(&l->b, 0, 0);
}

IrRef simd_cmp(Lift *l, VShape s, unsigned pred, IrRef x, IrRef y)
{
    return simd_op(l, IR_VICMP, s, pred, 0, x, y, 0);
}

IrRef simd_fget(Lift *l, VShape s, unsigned n)
{
    return s.scalar ? simd_get_fp(l, s.lane, n) : a64_get_v(l, n);
}

void simd_fput(Lift *l, VShape s, unsigned n, IrRef v)
{
    if (s.scalar)
        simd_put_scalar(l, s.lane, n, v);
    else
        a64_put_v(l, n, v);
}

IrRef simd_fop(Lift *l, IrOp op, VShape s, unsigned aux, uint64_t imm, IrRef x, IrRef y, IrRef z)
{
    if (s.scalar)
        return ir_opx(&l->b, op, s.lane, 0, 0, aux, imm, x, y, z);
    return simd_op(l, op, s, aux, imm, x, y, z);
}

IrRef simd_fop2(Lift *l, IrOp op, VShape s, IrRef x, IrRef y)
{
    return simd_fop(l, op, s, 0, 0, x, y, 0);
}

void simd_qc(Lift *l, VShape s, IrRef mask)
{
    static const VShape all = {.lane = IR_I64, .lanes = 2};
    if (s.scalar)
        mask = lowest(l, s, mask);
    ir_put(&l->b, A64_QC, simd_op2(l, IR_OR, all, ir_get(&l->b, A64_QC), mask));
}

void simd_qc_differ(Lift *l, VShape s, IrRef saturated, IrRef exact)
{
    simd_qc(l, s, simd_op2(l, IR_XOR, s, saturated, exact));
}

VElem simd_elem(const A64Args *a, unsigned size)
{
    switch (size) {
    case 1:
        return (VElem){.reg = a->Rm, .index = a->H << 2 | a->L << 1 | a->M};
    case 2:
        return (VElem){.reg = a->M << 4 | a->Rm, .index = a->H << 1 | a->L};
    default:
        return (VElem){.reg = a->M << 4 | a->Rm, .index = a->H};
    }
}

IrRef simd_dup_elem(Lift *l, VShape s, VElem e)
{
    return simd_op(l, IR_VDUPL, s, 0, e.index, a64_get_v(l, e.reg), 0, 0);
}

uint64_t simd_fp_imm(IrType t, uint32_t imm8)
{
    /* sign, exponent NOT(b):Replicate(b):cd, fraction efgh (Arm ARM, VFPExpandImm) */
    unsigned exp_bits = t == IR_F16 ? 5 : t == IR_F32 ? 8 : 11;
    unsigned frac_bits = 8 * ir_type_size(t) - exp_bits - 1;
    uint64_t sign = imm8 >> 7, b = imm8 >> 6 & 1, cd = imm8 >> 4 & 3, frac = imm8 & 15;
    uint64_t ones = b ? (UINT64_C(1) << (exp_bits - 3)) - 1 : 0;
    uint64_t exp = (b ^ 1) << (exp_bits - 1) | ones << 2 | cd;
    return (sign << exp_bits | exp) << frac_bits | frac << (frac_bits - 4);
}
