/*
 * Extensions of Advanced SIMD floating point: widening multiply-add of half precision (FHM), complex numbers (FCMA),
 * bfloat16 (BF16).
 */
#include "guest/aarch64/lift_simd.h"

static IrRef fmlal(Lift *l, const A64Args *a, IrRef m)
{
    VShape s = simd_fshape(IR_F32, a->Q, false);
    return simd_op(l, IR_FMLAL, s, a->part | a->S << 1, 0, a64_get_v(l, a->Rd), a64_get_v(l, a->Rn), m);
}

/* FMLAL, FMLAL2, FMLSL, FMLSL2 (vector) */
bool a64_lift_fmlal_v(Lift *l, const A64Args *a)
{
    a64_put_v(l, a->Rd, fmlal(l, a, a64_get_v(l, a->Rm)));
    return true;
}

/* ... (by element) */
bool a64_lift_fmlal_e(Lift *l, const A64Args *a)
{
    a64_put_v(l, a->Rd, fmlal(l, a, simd_dup_elem(l, simd_shape(1, 1), simd_elem(a, 1))));
    return true;
}

/* FCMLA and FCADD have elements of 16 (with FEAT_FP16), 32, and in full vectors 64 bits */
static bool complex_size(const Lift *l, const A64Args *a)
{
    if (a->size == 1)
        return a64_has(a64_features(l), A64_F_FP16);
    return a->size == 2 || (a->size == 3 && a->Q);
}

static bool complex_shape(const Lift *l, const A64Args *a, VShape *s)
{
    if (!complex_size(l, a))
        return false;
    *s = simd_fshape(IR_F16 + a->size - 1, a->Q, false);
    return true;
}

/* FCADD */
bool a64_lift_fcadd_v(Lift *l, const A64Args *a)
{
    VShape s;
    if (!complex_shape(l, a, &s))
        return false;
    a64_put_v(l, a->Rd, simd_op(l, IR_FCADD, s, a->rot, 0, a64_get_v(l, a->Rn), a64_get_v(l, a->Rm), 0));
    return true;
}

static IrRef fcmla(Lift *l, const A64Args *a, VShape s, IrRef m)
{
    return simd_op(l, IR_FCMLA, s, a->rot, 0, a64_get_v(l, a->Rd), a64_get_v(l, a->Rn), m);
}

/* FCMLA */
bool a64_lift_fcmla_v(Lift *l, const A64Args *a)
{
    VShape s;
    if (!complex_shape(l, a, &s))
        return false;
    a64_put_v(l, a->Rd, fcmla(l, a, s, a64_get_v(l, a->Rm)));
    return true;
}

/* FCMLA (by element): the element is a pair, real and imaginary part */
bool a64_lift_fcmla_e(Lift *l, const A64Args *a)
{
    VShape s = simd_fshape(IR_F16 + a->size - 1, a->Q, false);
    VElem e = {.reg = a->M << 4 | a->Rm, .index = a->size == 1 ? a->H << 1 | a->L : a->H};
    if (!complex_size(l, a) || (a->size == 1 ? a->H && !a->Q : a->L || !a->Q))
        return false;
    a64_put_v(l, a->Rd, fcmla(l, a, s, simd_dup_elem(l, simd_shape(a->size + 1, a->Q), e)));
    return true;
}

static bool bfdot(Lift *l, const A64Args *a, IrRef m)
{
    VShape s = simd_fshape(IR_F32, a->Q, false);
    a64_put_v(l, a->Rd, simd_op(l, IR_BFDOT, s, 0, 0, a64_get_v(l, a->Rd), a64_get_v(l, a->Rn), m));
    return true;
}

/* BFDOT (vector), (by element: a pair) */
bool a64_lift_bfdot_v(Lift *l, const A64Args *a)
{
    return bfdot(l, a, a64_get_v(l, a->Rm));
}

bool a64_lift_bfdot_e(Lift *l, const A64Args *a)
{
    return bfdot(l, a, simd_dup_elem(l, simd_shape(2, a->Q), simd_elem(a, 2)));
}

/* BFMMLA */
bool a64_lift_bfmmla_v(Lift *l, const A64Args *a)
{
    VShape s = simd_fshape(IR_F32, 1, false);
    IrRef d = a64_get_v(l, a->Rd);
    a64_put_v(l, a->Rd, simd_op(l, IR_BFMMLA, s, 0, 0, d, a64_get_v(l, a->Rn), a64_get_v(l, a->Rm)));
    return true;
}

/* The even (Q 0) or odd (Q 1) bfloat16 elements as single precision */
static IrRef bf_half(Lift *l, const A64Args *a, IrRef v)
{
    VShape s = simd_shape(2, 1);
    return a->Q ? simd_op2(l, IR_AND, s, v, simd_dup(l, s, 0xffff0000)) : simd_shift(l, IR_VSHLI, s, v, 16);
}

static bool bfmlal(Lift *l, const A64Args *a, IrRef m)
{
    VShape s = simd_fshape(IR_F32, 1, false);
    IrRef n = bf_half(l, a, a64_get_v(l, a->Rn));
    a64_put_v(l, a->Rd, simd_op(l, IR_FMA, s, 0, 0, n, bf_half(l, a, m), a64_get_v(l, a->Rd)));
    return true;
}

/* BFMLALB, BFMLALT (vector), (by element) */
bool a64_lift_bfmlal_v(Lift *l, const A64Args *a)
{
    return bfmlal(l, a, a64_get_v(l, a->Rm));
}

bool a64_lift_bfmlal_e(Lift *l, const A64Args *a)
{
    return bfmlal(l, a, simd_dup_elem(l, simd_shape(1, 1), simd_elem(a, 1)));
}

/* BFCVTN, BFCVTN2 */
bool a64_lift_bfcvtn_v(Lift *l, const A64Args *a)
{
    IrRef n = a64_get_v(l, a->Rn);
    simd_put_part(l, a->Q, a->Rd, simd_op(l, IR_VBFCVT, simd_fshape(IR_F32, 1, false), 0, 0, n, 0, 0));
    return true;
}
