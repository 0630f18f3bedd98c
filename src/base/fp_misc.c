/* Comparison, minimum and maximum. */
#include "base/fp_core.h"

/* Order of two values that are not NaNs; zeros are equal. */
static int order(const FpNum *a, const FpNum *b)
{
    if (a->cls == FP_IS_ZERO && b->cls == FP_IS_ZERO)
        return 0;
    if (a->cls == FP_IS_ZERO)
        return b->sign ? 1 : -1;
    if (b->cls == FP_IS_ZERO || a->sign != b->sign)
        return a->sign ? -1 : 1;
    if (a->raw == b->raw)
        return 0;
    /* of one sign, magnitudes compare as integers */
    return (a->raw > b->raw) != a->sign ? 1 : -1;
}

unsigned fp_compare(FpFmt f, uint64_t a, uint64_t b, bool signalling, FpEnv *e)
{
    FpNum x = fp_unpack(f, a, FP_KIND_ARITH, e), y = fp_unpack(f, b, FP_KIND_ARITH, e);

    if (fp_is_nan(&x) || fp_is_nan(&y)) {
        if (signalling || x.cls == FP_IS_SNAN || y.cls == FP_IS_SNAN)
            e->flags |= FP_INVALID;
        return FP_UN;
    }
    int o = order(&x, &y);
    return o < 0 ? FP_LT : o > 0 ? FP_GT : FP_EQ;
}

static uint64_t pick(const FpNum *x, const FpNum *y, bool max)
{
    int o = order(x, y);

    if (o == 0) {
        /* equal values differ in nothing but the sign of zero */
        bool first = max ? !x->sign : x->sign;
        return first ? x->raw : y->raw;
    }
    return (o > 0) == max ? x->raw : y->raw;
}

static uint64_t min_max(FpFmt f, uint64_t a, uint64_t b, bool max, bool num, FpEnv *e)
{
    FpNum x = fp_unpack(f, a, FP_KIND_ARITH, e), y = fp_unpack(f, b, FP_KIND_ARITH, e);
    bool xnan = fp_is_nan(&x), ynan = fp_is_nan(&y);

    if (num && xnan != ynan) {
        const FpNum *nan = xnan ? &x : &y;
        if (nan->cls == FP_IS_QNAN)
            return xnan ? y.raw : x.raw;
        if (e->nan_rule == FP_NAN_RISCV) { /* a signalling NaN is reported, but loses as well */
            e->flags |= FP_INVALID;
            return xnan ? y.raw : x.raw;
        }
    }
    if (xnan || ynan)
        return fp_pick_nan2(f, &x, &y, e);
    return pick(&x, &y, max);
}

uint64_t fp_min(FpFmt f, uint64_t a, uint64_t b, FpEnv *e)
{
    return min_max(f, a, b, false, false, e);
}

uint64_t fp_max(FpFmt f, uint64_t a, uint64_t b, FpEnv *e)
{
    return min_max(f, a, b, true, false, e);
}

uint64_t fp_minnum(FpFmt f, uint64_t a, uint64_t b, FpEnv *e)
{
    return min_max(f, a, b, false, true, e);
}

uint64_t fp_maxnum(FpFmt f, uint64_t a, uint64_t b, FpEnv *e)
{
    return min_max(f, a, b, true, true, e);
}
