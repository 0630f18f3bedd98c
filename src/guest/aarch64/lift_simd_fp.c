/*
 * Advanced SIMD floating point: vector, scalar, pairwise, across-lanes and by-element forms. Operand order is that of
 * the manual's pseudocode, since it decides which NaN results.
 */
#include "guest/aarch64/lift_simd.h"

/* The shape that half, sz and scalar say; false when undefined (64-bit elements in a 64-bit vector). */
static bool fp_shape(const A64Args *a, VShape *s)
{
    IrType lane = a->half ? IR_F16 : a->sz ? IR_F64 : IR_F32;
    *s = simd_fshape(lane, a->Q, a->scalar);
    return lane != IR_F64 || a->Q || a->scalar;
}

/* All bits of the element where the relation holds */
static IrRef compare(Lift *l, VShape s, unsigned pred, IrRef x, IrRef y)
{
    if (!s.scalar)
        return simd_op(l, IR_VFCMP, s, pred, 0, x, y, 0);
    IrType t = simd_int(s).lane;
    IrRef mask = ir_op1(&l->b, IR_NEG, IR_I64, ir_zext(&l->b, IR_I64, ir_fcmp(&l->b, pred, x, y)));
    return ir_opx(&l->b, IR_BITCAST, s.lane, t, 0, 0, 0, ir_trunc(&l->b, t, mask), 0, 0);
}

static IrRef fneg(Lift *l, VShape s, IrRef x)
{
    return simd_fop(l, IR_FNEG, s, 0, 0, x, 0, 0);
}

static IrRef fabs_of(Lift *l, VShape s, IrRef x)
{
    return simd_fop(l, IR_FABS, s, 0, 0, x, 0, 0);
}

enum { GE = IR_GT | IR_EQ | IR_SIGNALLING, GT = IR_GT | IR_SIGNALLING };

/* op(first of each pair, second of each pair), pairs of n then of m */
static IrRef pairwise(Lift *l, VShape s, IrOp op, IrRef n, IrRef m)
{
    VShape i = simd_int(s);
    return simd_fop2(l, op, s, simd_op2(l, IR_VUZP1, i, n, m), simd_op2(l, IR_VUZP2, i, n, m));
}

/* By U, a and the low three bits of opcode: the plain operations; IR_NOP where there is more to do */
static const IrOp fsame_op[2][2][8] = {
    {{IR_FMAXNUM, 0, IR_FADD, IR_FMULX, 0, 0, IR_FMAX, IR_FRECPS},
     {IR_FMINNUM, 0, IR_FSUB, 0, 0, 0, IR_FMIN, IR_FRSQRTS}},
    {{0, 0, 0, IR_FMUL, 0, 0, 0, IR_FDIV}},
};
/* The pairwise ones, U = 1 */
static const IrOp fpair_op[2][8] = {
    {IR_FMAXNUM, 0, IR_FADD, 0, 0, 0, IR_FMAX, 0},
    {IR_FMINNUM, 0, 0, 0, 0, 0, IR_FMIN, 0},
};

static IrRef fsame_result(Lift *l, VShape s, const A64Args *a, IrRef n, IrRef m)
{
    unsigned opcode = a->opcode;
    if (fsame_op[a->U][a->a][opcode])
        return simd_fop2(l, fsame_op[a->U][a->a][opcode], s, n, m);
    switch (opcode) {
    case 1: /* FMLA, FMLS */
        return simd_fop(l, IR_FMA, s, 0, 0, a->a ? fneg(l, s, n) : n, m, simd_fget(l, s, a->Rd));
    case 4: /* FCMEQ, FCMGE, FCMGT */
        return compare(l, s, a->a ? GT : a->U ? GE : IR_EQ, n, m);
    case 5: /* FACGE, FACGT */
        return compare(l, s, a->a ? GT : GE, fabs_of(l, s, n), fabs_of(l, s, m));
    case 2:
        if (a->a) /* FABD */
            return fabs_of(l, s, simd_fop2(l, IR_FSUB, s, n, m));
        break;
    }
    return pairwise(l, s, fpair_op[a->a][opcode], n, m);
}

/* Three registers of the same type, floating point */
bool a64_lift_simd_fsame(Lift *l, const A64Args *a)
{
    VShape s;
    if (!fp_shape(a, &s))
        return false;
    simd_fput(l, s, a->Rd, fsame_result(l, s, a, simd_fget(l, s, a->Rn), simd_fget(l, s, a->Rm)));
    return true;
}

/* FMLA, FMLS, FMUL, FMULX (by element) */
bool a64_lift_simd_fp_elem(Lift *l, const A64Args *a)
{
    unsigned size = a->size ? a->size : 1;
    VShape s = simd_fshape(IR_F16 + size - 1, a->Q, a->scalar);
    if (size == 3 && (a->L || (!a->Q && !a->scalar)))
        return false;
    VElem e = simd_elem(a, size);
    IrRef n = simd_fget(l, s, a->Rn), m;
    if (s.scalar)
        m = ir_opx(&l->b, IR_VGET, s.lane, s.lane, 0, 0, e.index, a64_get_v(l, e.reg), 0, 0);
    else
        m = simd_dup_elem(l, simd_int(s), e);
    if (a->opcode == 9)
        simd_fput(l, s, a->Rd, simd_fop2(l, a->U ? IR_FMULX : IR_FMUL, s, n, m));
    else
        simd_fput(l, s, a->Rd,
                  simd_fop(l, IR_FMA, s, 0, 0, a->opcode == 5 ? fneg(l, s, n) : n, m, simd_fget(l, s, a->Rd)));
    return true;
}

/* --- two registers ---------------------------------------------------------------------------------------------- */

/* FABS, FNEG, FSQRT, FRECPE, FRSQRTE, FRECPX: by U and opcode */
bool a64_lift_simd_funary(Lift *l, const A64Args *a)
{
    VShape s;
    if (!fp_shape(a, &s))
        return false;
    IrOp op;
    if (a->opcode == 15)
        op = a->U ? IR_FNEG : IR_FABS;
    else if (a->opcode == 29)
        op = a->U ? IR_FRSQRTE : IR_FRECPE;
    else
        op = a->U ? IR_FSQRT : IR_FRECPX;
    simd_fput(l, s, a->Rd, simd_fop(l, op, s, 0, 0, simd_fget(l, s, a->Rn), 0, 0));
    return true;
}

/* FRINTN, P, M, Z, A, X, I: by U, a and opcode */
bool a64_lift_simd_frint(Lift *l, const A64Args *a)
{
    static const uint8_t aux[2][2][2] = {
        {{FP_RNE, FP_RDN}, {FP_RUP, FP_RTZ}}, {{FP_RNA, FP_RCUR | IR_EXACT}, {0, FP_RCUR}},
    };
    VShape s;
    if (!fp_shape(a, &s))
        return false;
    simd_fput(l, s, a->Rd, simd_fop(l, IR_FRINT, s, aux[a->U][a->a][a->opcode & 1], 0, simd_fget(l, s, a->Rn), 0, 0));
    return true;
}

/* FRINT32Z, FRINT64Z, FRINT32X, FRINT64X */
bool a64_lift_simd_frint_n(Lift *l, const A64Args *a)
{
    VShape s;
    if (!fp_shape(a, &s))
        return false;
    IrRef n = simd_fget(l, s, a->Rn);
    simd_fput(l, s, a->Rd, simd_fop(l, IR_FRINTN, s, a->U ? FP_RCUR : FP_RTZ, a->wide ? 64 : 32, n, 0, 0));
    return true;
}

void simd_put_ftoi(Lift *l, VShape s, unsigned rd, FpRound round, bool is_signed, unsigned fbits, unsigned rn)
{
    unsigned aux = round | (is_signed ? IR_SIGNED : 0);
    IrRef n = simd_fget(l, s, rn);
    if (!s.scalar) {
        a64_put_v(l, rd, simd_op(l, IR_VFTOI, s, aux, fbits, n, 0, 0));
        return;
    }
    IrType t = simd_int(s).lane;
    simd_put_scalar(l, t, rd, ir_opx(&l->b, IR_FTOI, t, s.lane, 0, aux, fbits, n, 0, 0));
}

IrRef simd_itof(Lift *l, VShape s, bool is_signed, unsigned fbits, IrRef v)
{
    unsigned aux = is_signed ? IR_SIGNED : 0;
    if (!s.scalar)
        return simd_op(l, IR_VITOF, s, aux, fbits, v, 0, 0);
    IrType t = simd_int(s).lane;
    IrRef n = ir_opx(&l->b, IR_VGET, t, t, 0, 0, 0, v, 0, 0);
    return ir_opx(&l->b, IR_ITOF, s.lane, t, 0, aux, fbits, n, 0, 0);
}

/* FCVTNS, FCVTPS, FCVTMS, FCVTZS, FCVTAS and unsigned ones */
bool a64_lift_simd_fcvt_int(Lift *l, const A64Args *a)
{
    static const uint8_t round[2][2] = {{FP_RNE, FP_RDN}, {FP_RUP, FP_RTZ}};
    VShape s;
    if (!fp_shape(a, &s))
        return false;
    simd_put_ftoi(l, s, a->Rd, a->opcode == 28 ? FP_RNA : round[a->a][a->opcode & 1], !a->U, 0, a->Rn);
    return true;
}

/* SCVTF, UCVTF (integer) */
bool a64_lift_simd_scvtf(Lift *l, const A64Args *a)
{
    VShape s;
    if (!fp_shape(a, &s))
        return false;
    simd_fput(l, s, a->Rd, simd_itof(l, s, !a->U, 0, a64_get_v(l, a->Rn)));
    return true;
}

/* FCMGT, FCMEQ, FCMLT, FCMGE, FCMLE (zero) */
bool a64_lift_simd_fcmp_zero(Lift *l, const A64Args *a)
{
    static const uint8_t pred[2][3] = {{GT, IR_EQ, IR_LT | IR_SIGNALLING}, {GE, IR_LT | IR_EQ | IR_SIGNALLING}};
    VShape s;
    if (!fp_shape(a, &s))
        return false;
    IrRef zero = s.scalar ? ir_const(&l->b, s.lane, 0) : simd_zero(l);
    simd_fput(l, s, a->Rd, compare(l, s, pred[a->U][a->opcode - 12], simd_fget(l, s, a->Rn), zero));
    return true;
}

/* FCVTL, FCVTL2 */
bool a64_lift_fcvtl_v(Lift *l, const A64Args *a)
{
    VShape s = {.lane = a->sz ? IR_F32 : IR_F16, .lanes = a->sz ? 2 : 4};
    a64_put_v(l, a->Rd, simd_op(l, IR_VFWIDEN, s, a->Q, 0, a64_get_v(l, a->Rn), 0, 0));
    return true;
}

static bool fcvt_narrow(Lift *l, const A64Args *a, IrType from, FpRound round)
{
    IrRef n = a64_get_v(l, a->Rn);
    simd_put_part(l, a->Q, a->Rd, simd_op(l, IR_VFNARROW, simd_fshape(from, 1, false), round, 0, n, 0, 0));
    return true;
}

/* FCVTN, FCVTN2 */
bool a64_lift_fcvtn_v(Lift *l, const A64Args *a)
{
    return fcvt_narrow(l, a, a->sz ? IR_F64 : IR_F32, FP_RCUR);
}

/* FCVTXN, FCVTXN2 (vector) */
bool a64_lift_fcvtxn_v(Lift *l, const A64Args *a)
{
    return fcvt_narrow(l, a, IR_F64, FP_RTO);
}

/* FCVTXN (scalar) */
bool a64_lift_fcvtxn_sc(Lift *l, const A64Args *a)
{
    IrRef n = simd_get_fp(l, IR_F64, a->Rn);
    simd_put_scalar(l, IR_F32, a->Rd, ir_opx(&l->b, IR_FCVT, IR_F32, IR_F64, 0, FP_RTO, 0, n, 0, 0));
    return true;
}

/* --- reductions --------------------------------------------------------------------------------------------------- */

/* FMAXNM, FMAX, FMINNM, FMIN and FADD of the reductions: by a and opcode */
static IrOp reduction(const A64Args *a)
{
    if (a->opcode == 13)
        return IR_FADD;
    if (a->opcode == 12)
        return a->a ? IR_FMINNUM : IR_FMAXNUM;
    return a->a ? IR_FMIN : IR_FMAX;
}

/* The manual's Reduce: a tree over halves, which pairwise steps on the vector with itself walk in the same order */
static void across(Lift *l, const A64Args *a, VShape s)
{
    IrRef v = a64_get_v(l, a->Rn);
    for (unsigned n = s.lanes; n > 1; n /= 2)
        v = pairwise(l, s, reduction(a), v, v);
    simd_put_scalar(l, s.lane, a->Rd, ir_opx(&l->b, IR_VGET, s.lane, s.lane, 0, 0, 0, v, 0, 0));
}

/* FMAXNMV, FMAXV, FMINNMV, FMINV */
bool a64_lift_simd_facross(Lift *l, const A64Args *a)
{
    across(l, a, simd_fshape(IR_F32, 1, false));
    return true;
}

bool a64_lift_simd_facross16(Lift *l, const A64Args *a)
{
    across(l, a, simd_fshape(IR_F16, a->Q, false));
    return true;
}

static bool pair_scalar(Lift *l, const A64Args *a, IrType t)
{
    IrRef v = a64_get_v(l, a->Rn);
    IrRef lo = ir_opx(&l->b, IR_VGET, t, t, 0, 0, 0, v, 0, 0), hi = ir_opx(&l->b, IR_VGET, t, t, 0, 0, 1, v, 0, 0);
    simd_put_scalar(l, t, a->Rd, ir_op2(&l->b, reduction(a), t, lo, hi));
    return true;
}

/* FADDP, FMAXNMP, FMAXP, FMINNMP, FMINP (scalar) */
bool a64_lift_simd_fpair(Lift *l, const A64Args *a)
{
    return pair_scalar(l, a, a->sz ? IR_F64 : IR_F32);
}

bool a64_lift_simd_fpair16(Lift *l, const A64Args *a)
{
    return pair_scalar(l, a, IR_F16);
}
