/* The meaning of floating-point operations, scalar and by lanes, in terms of base/fp. */
#include "ir/eval.h"

#include "base/check.h"

typedef uint64_t Unary(FpFmt f, uint64_t a, FpEnv *e);
typedef uint64_t Binary(FpFmt f, uint64_t a, uint64_t b, FpEnv *e);

static Unary *const unary[IR_NOPS] = {
    [IR_FSQRT] = fp_sqrt, [IR_FRECPE] = fp_recpe, [IR_FRSQRTE] = fp_rsqrte, [IR_FRECPX] = fp_recpx,
};

static Binary *const binary[IR_NOPS] = {
    [IR_FADD] = fp_add, [IR_FSUB] = fp_sub, [IR_FMUL] = fp_mul, [IR_FDIV] = fp_div, [IR_FMULX] = fp_mulx,
    [IR_FMIN] = fp_min, [IR_FMAX] = fp_max, [IR_FMINNUM] = fp_minnum, [IR_FMAXNUM] = fp_maxnum,
    [IR_FRECPS] = fp_recps, [IR_FRSQRTS] = fp_rsqrts,
};

static FpFmt format(unsigned type)
{
    CHECK(type == IR_F16 || type == IR_F32 || type == IR_F64);
    return type == IR_F16 ? FP_F16 : type == IR_F32 ? FP_F32 : FP_F64;
}

static unsigned format_size(FpFmt f)
{
    return f == FP_F64 ? 8 : f == FP_F32 ? 4 : 2;
}

static FpFmt wider(FpFmt f)
{
    return f == FP_F16 ? FP_F32 : FP_F64;
}

static FpFmt narrower(FpFmt f)
{
    return f == FP_F64 ? FP_F32 : FP_F16;
}

static uint64_t sign_bit(FpFmt f)
{
    return 1ull << (format_size(f) * 8 - 1);
}

/* One lane of an operation whose operands and result have one format. Returns false when it is not of that kind. */
static bool same_format(const IrInsn *op, FpFmt f, uint64_t a, uint64_t b, uint64_t c, FpEnv *e, uint64_t *out)
{
    FpRound round = (FpRound)(op->aux & 7);

    if (unary[op->op])
        *out = unary[op->op](f, a, e);
    else if (binary[op->op])
        *out = binary[op->op](f, a, b, e);
    else if (op->op == IR_FMA)
        *out = fp_fma(f, op->aux & 1 ? a ^ sign_bit(f) : a, b, op->aux & 2 ? c ^ sign_bit(f) : c, e);
    else if (op->op == IR_FNEG)
        *out = a ^ sign_bit(f);
    else if (op->op == IR_FABS)
        *out = a & ~sign_bit(f);
    else if (op->op == IR_FRINT)
        *out = fp_rint(f, a, round, op->aux & IR_EXACT, e);
    else if (op->op == IR_FRINTN)
        *out = fp_rint_n(f, a, round, (unsigned)op->imm, e);
    else
        return false;
    return true;
}

static bool relation_holds(const IrInsn *op, FpFmt f, uint64_t a, uint64_t b, FpEnv *e)
{
    return fp_compare(f, a, b, op->aux & IR_SIGNALLING, e) & op->aux;
}

static uint64_t to_int(const IrInsn *op, FpFmt f, uint64_t a, unsigned bits, FpEnv *e)
{
    return fp_to_int(f, a, bits, op->aux & IR_SIGNED, (unsigned)op->imm, (FpRound)(op->aux & 7), e);
}

static uint64_t from_int(const IrInsn *op, FpFmt f, uint64_t a, unsigned bits, FpEnv *e)
{
    return fp_from_int(f, a, bits, op->aux & IR_SIGNED, (unsigned)op->imm, e);
}

/* Conversions and comparisons of scalars; `lane` is the operands' type. */
static bool scalar_mixed(const IrInsn *op, const IrVal arg[3], FpEnv *e, IrVal *out)
{
    uint64_t a = arg[0].u64[0];
    bool exact;

    switch (op->op) {
    case IR_FCMP:
        out->u64[0] = relation_holds(op, format(op->lane), a, arg[1].u64[0], e);
        return true;
    case IR_FCVT:
        out->u64[0] = fp_convert(format(op->type), format(op->lane), a, (FpRound)(op->aux & 7), e);
        return true;
    case IR_FTOI:
        out->u64[0] = to_int(op, format(op->lane), a, ir_type_size(op->type) * 8, e);
        return true;
    case IR_ITOF:
        out->u64[0] = from_int(op, format(op->type), a, ir_type_size(op->lane) * 8, e);
        return true;
    case IR_FJCVT:
        out->u64[0] = fp_js_to_int32(a, &exact, e);
        out->u64[0] |= (uint64_t)exact << 32;
        return true;
    case IR_BFCVT:
        out->u64[0] = fp_convert(FP_BF16, FP_F32, a & UINT32_MAX, FP_RCUR, e);
        return true;
    default:
        return false;
    }
}

static void widen(const IrInsn *op, const IrVal *a, FpEnv *e, IrVal *out)
{
    FpFmt f = format(op->lane);
    unsigned size = format_size(f), first = op->aux & 1 ? op->lanes : 0;

    for (unsigned i = 0; i < op->lanes; i++)
        ir_lane_set(out, size * 2, i, fp_convert(wider(f), f, ir_lane(a, size, first + i), FP_RCUR, e));
}

static void narrow(FpFmt to, FpFmt from, unsigned lanes, FpRound r, const IrVal *a, FpEnv *e, IrVal *out)
{
    unsigned size = format_size(from);

    for (unsigned i = 0; i < lanes; i++)
        ir_lane_set(out, size / 2, i, fp_convert(to, from, ir_lane(a, size, i), r, e));
}

/* Vector operations whose lanes change kind or width. */
static bool vector_mixed(const IrInsn *op, const IrVal arg[3], FpEnv *e, IrVal *out)
{
    if (op->op == IR_VFWIDEN) {
        widen(op, &arg[0], e, out);
        return true;
    }
    if (op->op == IR_VBFCVT) {
        narrow(FP_BF16, FP_F32, 4, FP_RCUR, &arg[0], e, out);
        return true;
    }
    if (op->op == IR_VFNARROW) {
        FpFmt f = format(op->lane);
        narrow(narrower(f), f, op->lanes, (FpRound)(op->aux & 7), &arg[0], e, out);
        return true;
    }
    if (op->op != IR_VFCMP && op->op != IR_VFTOI && op->op != IR_VITOF)
        return false;
    FpFmt f = format(op->lane);
    unsigned size = format_size(f);
    for (unsigned i = 0; i < op->lanes; i++) {
        uint64_t a = ir_lane(&arg[0], size, i), r;
        if (op->op == IR_VFCMP)
            r = relation_holds(op, f, a, ir_lane(&arg[1], size, i), e) ? UINT64_MAX : 0;
        else if (op->op == IR_VFTOI)
            r = to_int(op, f, a, size * 8, e);
        else
            r = from_int(op, f, a, size * 8, e);
        ir_lane_set(out, size, i, r);
    }
    return true;
}

/* --- complex arithmetic: pairs of lanes, the real part first --------------------------------------------------------- */

static void complex_add(const IrInsn *op, const IrVal arg[3], FpEnv *e, IrVal *out)
{
    FpFmt f = format(op->lane);
    unsigned size = format_size(f);
    uint64_t neg_re = op->aux ? 0 : sign_bit(f), neg_im = op->aux ? sign_bit(f) : 0;

    for (unsigned i = 0; i + 1 < op->lanes; i += 2) {
        uint64_t re = ir_lane(&arg[1], size, i), im = ir_lane(&arg[1], size, i + 1);
        ir_lane_set(out, size, i, fp_add(f, ir_lane(&arg[0], size, i), im ^ neg_re, e));
        ir_lane_set(out, size, i + 1, fp_add(f, ir_lane(&arg[0], size, i + 1), re ^ neg_im, e));
    }
}

/* A quarter of a complex product each: which part of b multiplies, and the signs, go by the rotation. */
static void complex_mul_add(const IrInsn *op, const IrVal arg[3], FpEnv *e, IrVal *out)
{
    FpFmt f = format(op->lane);
    unsigned size = format_size(f), odd = op->aux & 1;
    uint64_t sign = sign_bit(f);
    uint64_t neg_re = op->aux == 1 || op->aux == 2 ? sign : 0, neg_im = op->aux >= 2 ? sign : 0;

    for (unsigned i = 0; i + 1 < op->lanes; i += 2) {
        uint64_t by = ir_lane(&arg[1], size, i + odd);
        uint64_t re = ir_lane(&arg[2], size, i + odd) ^ neg_re, im = ir_lane(&arg[2], size, i + 1 - odd) ^ neg_im;
        ir_lane_set(out, size, i, fp_fma(f, by, re, ir_lane(&arg[0], size, i), e));
        ir_lane_set(out, size, i + 1, fp_fma(f, by, im, ir_lane(&arg[0], size, i + 1), e));
    }
}

/* --- half and bfloat16 products --------------------------------------------------------------------------------------- */

/* f16 to f32 without a change of meaning: signalling NaNs stay so, and only flushing touches the value. */
static uint64_t half_to_single(uint64_t h, const FpEnv *e)
{
    uint64_t sign = (h & 0x8000) << 16;
    FpEnv exact = {.nan_rule = FP_NAN_ARM};

    if ((h & 0x7c00) == 0x7c00)
        return sign | 0x7f800000 | (h & 0x3ff) << 13;
    if ((h & 0x7c00) == 0 && e->flush16)
        return sign;
    return fp_convert(FP_F32, FP_F16, h, FP_RNE, &exact);
}

static void half_mul_add(const IrInsn *op, const IrVal arg[3], FpEnv *e, IrVal *out)
{
    unsigned first = op->aux & 1 ? op->lanes : 0;
    uint64_t negate = op->aux & 2 ? 0x8000 : 0;

    for (unsigned i = 0; i < op->lanes; i++) {
        uint64_t b = half_to_single(arg[1].u16[(first + i) & 7] ^ negate, e);
        uint64_t c = half_to_single(arg[2].u16[(first + i) & 7], e);
        out->u32[i & 3] = (uint32_t)fp_fma(FP_F32, b, c, arg[0].u32[i & 3], e);
    }
}

/* Arm's BFAdd and BFMul: to odd, flushing, default NaN; overflow gives infinity and no flag is kept. */
static uint64_t bf_step(Binary *fn, uint64_t a, uint64_t b)
{
    FpEnv e = {.round = FP_RTO, .nan_rule = FP_NAN_ARM, .default_nan = 1, .flush = 1};
    uint64_t r = fn(FP_F32, a, b, &e);

    return e.flags & FP_OVERFLOW ? (r & 0x80000000) | 0x7f800000 : r;
}

/* acc + (b0 * c0 + b1 * c1), pairs number ib of b and ic of c. */
static uint32_t bf_dot(uint32_t acc, const IrVal *b, unsigned ib, const IrVal *c, unsigned ic)
{
    uint64_t even = bf_step(fp_mul, (uint64_t)b->u16[2 * ib] << 16, (uint64_t)c->u16[2 * ic] << 16);
    uint64_t odd = bf_step(fp_mul, (uint64_t)b->u16[2 * ib + 1] << 16, (uint64_t)c->u16[2 * ic + 1] << 16);

    return (uint32_t)bf_step(fp_add, acc, bf_step(fp_add, even, odd));
}

static bool bfloat(const IrInsn *op, const IrVal arg[3], IrVal *out)
{
    if (op->op == IR_BFDOT) {
        for (unsigned i = 0; i < op->lanes && i < 4; i++)
            out->u32[i] = bf_dot(arg[0].u32[i], &arg[1], i, &arg[2], i);
        return true;
    }
    if (op->op != IR_BFMMLA)
        return false;
    for (unsigned row = 0; row < 2; row++) {
        for (unsigned col = 0; col < 2; col++) {
            uint32_t acc = arg[0].u32[2 * row + col];
            for (unsigned k = 0; k < 2; k++)
                acc = bf_dot(acc, &arg[1], 2 * row + k, &arg[2], 2 * col + k);
            out->u32[2 * row + col] = acc;
        }
    }
    return true;
}

/* --- dispatch --------------------------------------------------------------------------------------------------------- */

static bool vector_same(const IrInsn *op, const IrVal arg[3], FpEnv *e, IrVal *out)
{
    FpFmt f = format(op->lane);
    unsigned size = format_size(f);

    for (unsigned i = 0; i < op->lanes; i++) {
        uint64_t r;
        if (!same_format(op, f, ir_lane(&arg[0], size, i), ir_lane(&arg[1], size, i), ir_lane(&arg[2], size, i), e, &r))
            return false;
        ir_lane_set(out, size, i, r);
    }
    return true;
}

static bool scalar_same(const IrInsn *op, const IrVal arg[3], FpEnv *e, IrVal *out)
{
    FpFmt f = format(op->type);
    unsigned size = format_size(f);

    return same_format(op, f, ir_lane(&arg[0], size, 0), ir_lane(&arg[1], size, 0), ir_lane(&arg[2], size, 0), e,
                       &out->u64[0]);
}

bool ir_eval_fp(const IrInsn *op, const IrVal arg[3], FpEnv *e, IrVal *out)
{
    if (scalar_mixed(op, arg, e, out) || bfloat(op, arg, out))
        return true;
    if (op->type != IR_V128)
        return scalar_same(op, arg, e, out);
    if (vector_mixed(op, arg, e, out))
        return true;
    if (op->op == IR_FCADD)
        complex_add(op, arg, e, out);
    else if (op->op == IR_FCMLA)
        complex_mul_add(op, arg, e, out);
    else if (op->op == IR_FMLAL)
        half_mul_add(op, arg, e, out);
    else
        return vector_same(op, arg, e, out);
    return true;
}
