/*
 * What the lifters of floating point and Advanced SIMD share: registers as IR values, shapes, and the sticky saturation
 * flag. Private to lift_fp.c, lift_simd_*.c and lift_crypto.c.
 *
 * A scalar Advanced SIMD instruction on integers is lifted as the 64-bit vector instruction, and its result cut to the
 * lowest element; on floating point it must be a scalar operation, since the other elements would raise flags.
 */
#ifndef GUEST_AARCH64_LIFT_SIMD_H
#define GUEST_AARCH64_LIFT_SIMD_H

#include "guest/aarch64/lift.h"

/* Arrangement of a vector operand: `lanes` elements of type `lane`. When `scalar`, only the lowest one counts. */
typedef struct VShape {
    IrType lane;
    uint8_t lanes;
    bool scalar;
} VShape;

/* Integer elements of 8 << size bits in a 64-bit (q 0) or 128-bit (q 1) vector; the scalar form of the same. */
VShape simd_shape(unsigned size, unsigned q);
VShape simd_shape_scalar(unsigned size);
/* The same number of bits in elements of double width; shape of twice as many elements, half as wide. */
VShape simd_wider(VShape s);
VShape simd_narrower(VShape s);
/* Element width in bits. */
unsigned simd_bits(VShape s);
/* Floating-point elements: lane IR_F16, IR_F32 or IR_F64. */
VShape simd_fshape(IrType lane, unsigned q, bool scalar);
/* The integer shape of the same layout. */
VShape simd_int(VShape s);

/* Write a result of the shape: cuts scalars to the lowest element. */
void simd_put_shape(Lift *l, VShape s, unsigned n, IrRef v);
/* Write the low 64 bits of v to the register (q 0), or to its upper half and keep the lower (q 1): "XTN, XTN2". */
void simd_put_part(Lift *l, unsigned q, unsigned n, IrRef v);

/* Scalar FP registers of type t; writing zeroes the rest of the register. */
IrRef simd_get_fp(Lift *l, IrType t, unsigned n);
void simd_put_scalar(Lift *l, IrType t, unsigned n, IrRef v);

/* One vector operation in shape s. */
IrRef simd_op(Lift *l, IrOp op, VShape s, unsigned aux, uint64_t imm, IrRef x, IrRef y, IrRef z);
IrRef simd_op1(Lift *l, IrOp op, VShape s, IrRef x);
IrRef simd_op2(Lift *l, IrOp op, VShape s, IrRef x, IrRef y);
/* x shifted by a constant: op VSHLI, VSHRI or VSARI. */
IrRef simd_shift(Lift *l, IrOp op, VShape s, IrRef x, unsigned amount);
/* A constant in every element; the zero vector. */
IrRef simd_dup(Lift *l, VShape s, uint64_t value);
IrRef simd_zero(Lift *l);
/* Elements of ones where the integer relation (IR_LT, ..., IR_PSIGNED) holds. */
IrRef simd_cmp(Lift *l, VShape s, unsigned pred, IrRef x, IrRef y);

/* FP operation in vector or scalar form, as s.scalar says; operands from simd_fget, result to simd_fput. */
IrRef simd_fget(Lift *l, VShape s, unsigned n);
void simd_fput(Lift *l, VShape s, unsigned n, IrRef v);
IrRef simd_fop(Lift *l, IrOp op, VShape s, unsigned aux, uint64_t imm, IrRef x, IrRef y, IrRef z);
IrRef simd_fop2(Lift *l, IrOp op, VShape s, IrRef x, IrRef y);

/* Elements of v (a whole register) from integers to FP of shape s, divided by 2^fbits. */
IrRef simd_itof(Lift *l, VShape s, bool is_signed, unsigned fbits, IrRef v);
/* Write to rd the elements of rn, times 2^fbits, as integers. */
void simd_put_ftoi(Lift *l, VShape s, unsigned rd, FpRound round, bool is_signed, unsigned fbits, unsigned rn);

/* FPSR.QC is set when any bit of `mask` in the shape is. */
void simd_qc(Lift *l, VShape s, IrRef mask);
/* ... when saturated and exact results differ. */
void simd_qc_differ(Lift *l, VShape s, IrRef saturated, IrRef exact);

/* The operand of a by-element instruction: the index and register from L, M, H, Rm for elements of 8 << size bits. */
typedef struct VElem {
    unsigned reg, index;
} VElem;
VElem simd_elem(const A64Args *a, unsigned size);
/* That element in every lane of the shape. */
IrRef simd_dup_elem(Lift *l, VShape s, VElem e);

/* VFPExpandImm: the 8-bit immediate of FMOV as a value of type t. */
uint64_t simd_fp_imm(IrType t, uint32_t imm8);

/*
 * Operations shared by the vector, scalar and by-element forms of one instruction: the result for operands n, m and the
 * destination's old value d.
 */
IrRef simd_sqdmulh(Lift *l, VShape s, bool rounding, IrRef n, IrRef m);
IrRef simd_sqrdmlah(Lift *l, VShape s, bool subtract, IrRef d, IrRef n, IrRef m);
/* `s` is the shape of the sources. `high` selects their upper halves; d and the result are of double width. */
IrRef simd_sqdmull(Lift *l, VShape s, bool high, IrRef n, IrRef m);

#endif
