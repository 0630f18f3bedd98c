/* Conversions: to and from integers and fixed point, between formats, and rounding to integral values. */
#include "base/fp_core.h"

/* The integer nearest to |n| * 2^scale by mode r, for magnitudes below 2^64 before rounding. */
static FpU128 round_to_integer(const FpNum *n, int scale, FpRound r, bool *inexact)
{
    int exp = n->exp + scale;
    FpU128 fixed = exp >= 0 ? (FpU128)n->sig << (exp + 1) : fp_shr_sticky((FpU128)n->sig << 1, -exp);
    uint64_t whole = (uint64_t)(fixed >> 64), rest = (uint64_t)fixed;

    *inexact = rest != 0;
    if (r == FP_RTO)
        return whole | *inexact;
    return (FpU128)whole + fp_rounds_up(r, n->sign, whole & 1, rest);
}

static uint64_t from_magnitude(FpFmt f, bool sign, uint64_t mag, int scale, FpEnv *e)
{
    int lead = __builtin_clzll(mag);

    return fp_pack(f, sign, 63 - lead + scale, mag << lead, (FpRound)e->round, FP_KIND_ARITH, e);
}

uint64_t fp_rint(FpFmt f, uint64_t a, FpRound r, bool exact, FpEnv *e)
{
    FpNum x = fp_unpack(f, a, FP_KIND_ARITH, e);
    bool inexact;

    if (fp_is_nan(&x))
        return fp_pick_nan1(f, &x, e);
    if (x.cls != FP_IS_FINITE || x.exp >= fp_shape[f].fbits)
        return x.raw;
    uint64_t mag = (uint64_t)round_to_integer(&x, 0, fp_mode(r, e), &inexact);
    if (exact && inexact)
        e->flags |= FP_INEXACT;
    return mag ? from_magnitude(f, x.sign, mag, 0, e) : fp_zero(f, x.sign);
}

uint64_t fp_rint_n(FpFmt f, uint64_t a, FpRound r, unsigned bits, FpEnv *e)
{
    FpNum x = fp_unpack(f, a, FP_KIND_ARITH, e);
    FpU128 limit = (FpU128)1 << (bits - 1), mag = 0;
    bool inexact = false;

    if (x.cls == FP_IS_ZERO)
        return x.raw;
    if (x.cls == FP_IS_FINITE && x.exp < 64)
        mag = round_to_integer(&x, 0, fp_mode(r, e), &inexact);
    if (x.cls != FP_IS_FINITE || x.exp >= 64 || mag > limit - !x.sign) {
        e->flags |= FP_INVALID;
        return fp_pack(f, true, (int)bits - 1, 1ull << 63, FP_RTZ, FP_KIND_ARITH, e);
    }
    if (inexact)
        e->flags |= FP_INEXACT;
    return mag ? from_magnitude(f, x.sign, (uint64_t)mag, 0, e) : fp_zero(f, x.sign);
}

static uint64_t ones(unsigned bits)
{
    return bits >= 64 ? UINT64_MAX : (1ull << bits) - 1;
}

/* The value nearest to one out of range. */
static uint64_t saturated(unsigned bits, bool is_signed, bool negative)
{
    if (!is_signed)
        return negative ? 0 : ones(bits);
    return negative ? 1ull << (bits - 1) : ones(bits - 1);
}

uint64_t fp_to_int(FpFmt f, uint64_t a, unsigned bits, bool is_signed, unsigned fbits, FpRound r, FpEnv *e)
{
    FpNum x = fp_unpack(f, a, FP_KIND_ARITH, e);
    FpU128 limit = saturated(bits, is_signed, x.sign), mag = 0;
    bool inexact = false;

    if (x.cls == FP_IS_ZERO)
        return 0;
    if (fp_is_nan(&x)) {
        e->flags |= FP_INVALID;
        return 0;
    }
    bool small = x.cls == FP_IS_FINITE && x.exp + (int)fbits < 64;
    if (small)
        mag = round_to_integer(&x, (int)fbits, fp_mode(r, e), &inexact);
    if (!small || mag > limit) {
        e->flags |= FP_INVALID; /* and not inexact */
        return (uint64_t)limit;
    }
    if (inexact)
        e->flags |= FP_INEXACT;
    return (x.sign ? -(uint64_t)mag : (uint64_t)mag) & ones(bits);
}

uint64_t fp_from_int(FpFmt f, uint64_t a, unsigned bits, bool is_signed, unsigned fbits, FpEnv *e)
{
    uint64_t mag = a & ones(bits);
    bool sign = is_signed && mag >> (bits - 1);

    if (sign)
        mag = -mag & ones(bits);
    return mag ? from_magnitude(f, sign, mag, -(int)fbits, e) : 0;
}

/* The payload keeps its leading bits; the result is quiet. */
static uint64_t convert_nan(FpFmt to, FpFmt from, const FpNum *x, FpEnv *e)
{
    const FpShape *t = &fp_shape[to], *s = &fp_shape[from];

    if (x->cls == FP_IS_SNAN)
        e->flags |= FP_INVALID;
    if (to == FP_F16 && e->alt_half) {
        e->flags |= FP_INVALID; /* the alternative format has no NaNs */
        return fp_zero(to, x->sign);
    }
    if (e->default_nan || e->nan_rule == FP_NAN_RISCV)
        return fp_default_nan(to, e);
    uint64_t frac = x->raw << (64 - s->fbits) >> (64 - t->fbits);
    return fp_inf(to, x->sign) | 1ull << (t->fbits - 1) | frac;
}

uint64_t fp_convert(FpFmt to, FpFmt from, uint64_t a, FpRound r, FpEnv *e)
{
    FpNum x = fp_unpack(from, a, FP_KIND_CVT, e);

    if (fp_is_nan(&x))
        return convert_nan(to, from, &x, e);
    if (x.cls == FP_IS_INF && to == FP_F16 && e->alt_half) {
        e->flags |= FP_INVALID;
        return fp_zero(to, x.sign) | (fp_sign_bit(to) - 1);
    }
    if (x.cls == FP_IS_INF)
        return fp_inf(to, x.sign);
    if (x.cls == FP_IS_ZERO)
        return fp_zero(to, x.sign);
    return fp_pack(to, x.sign, x.exp, x.sig, fp_mode(r, e), FP_KIND_CVT, e);
}

uint32_t fp_js_to_int32(uint64_t a, bool *exact, FpEnv *e)
{
    FpNum x = fp_unpack(FP_F64, a, FP_KIND_ARITH, e);
    bool inexact = false;
    uint64_t mag = 0;

    *exact = false;
    if (x.cls == FP_IS_ZERO) {
        *exact = a == 0; /* neither -0 nor a flushed subnormal */
        return 0;
    }
    if (x.cls != FP_IS_FINITE) {
        e->flags |= FP_INVALID;
        return 0;
    }
    if (x.exp < 64)
        mag = (uint64_t)round_to_integer(&x, 0, FP_RTZ, &inexact);
    else if (x.exp < 64 + 32)
        mag = x.sig << (x.exp - 63); /* modulo 2^64 is enough; the shift is at most 32 */
    if (x.exp >= 64 || mag > (1ull << 31) - !x.sign)
        e->flags |= FP_INVALID;
    else if (inexact)
        e->flags |= FP_INEXACT;
    else
        *exact = true;
    return (uint32_t)(x.sign ? -mag : mag);
}
