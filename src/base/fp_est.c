/* Arm's estimates of reciprocal and reciprocal square root, and the Newton-Raphson steps that refine them. */
#include "base/fp_core.h"

/* The 8 bits after the leading one of 1/x, for x = (a + 1/2) / 512 in [1/2, 1): a in 256..511, result too. */
static unsigned recip_estimate(unsigned a)
{
    unsigned b = (1u << 19) / (a * 2 + 1);

    return (b + 1) / 2;
}

/* The same for 1/sqrt(x), x = a / 512 in [1/4, 1): a in 128..511, result in 256..511. */
static unsigned rsqrt_estimate(unsigned a)
{
    unsigned b = 512;

    a = a < 256 ? a * 2 + 1 : ((a | 1) * 2);
    for (unsigned bit = 256; bit; bit >>= 1) /* the largest b with a * b * b < 2^28 */
        b += a * (b + bit) * (b + bit) < 1u << 28 ? bit : 0;
    return (b + 1) / 2;
}

/* An estimate as a value: the 9 bits of `est` (leading one included) at exponent field `field`, which may be 0 or -1. */
static uint64_t assemble(FpFmt f, bool sign, int field, unsigned est)
{
    const FpShape *s = &fp_shape[f];
    uint64_t frac = (uint64_t)(est & 255) << 44; /* 52 bits, the widest fraction */

    if (field == 0)
        frac = 1ull << 51 | frac >> 1;
    if (field == -1)
        frac = 1ull << 50 | frac >> 2;
    if (field < 0)
        field = 0;
    return fp_zero(f, sign) | (uint64_t)field << s->fbits | frac >> (52 - s->fbits);
}

static bool flush_results(FpFmt f, const FpEnv *e)
{
    return f == FP_F16 ? e->flush16 : e->flush;
}

uint64_t fp_recpe(FpFmt f, uint64_t a, FpEnv *e)
{
    FpNum x = fp_unpack(f, a, FP_KIND_ARITH, e);
    int emin = fp_shape[f].emin;

    if (fp_is_nan(&x))
        return fp_pick_nan1(f, &x, e);
    if (x.cls == FP_IS_INF)
        return fp_zero(f, x.sign);
    if (x.cls == FP_IS_ZERO) {
        e->flags |= FP_DIVZERO;
        return fp_inf(f, x.sign);
    }
    if (x.exp < emin - 2) { /* below a quarter of the least normal value: the reciprocal overflows */
        e->flags |= FP_OVERFLOW | FP_INEXACT;
        return fp_huge(f, x.sign, (FpRound)e->round);
    }
    if (x.exp >= -emin && flush_results(f, e)) {
        e->flags |= FP_UNDERFLOW;
        return fp_zero(f, x.sign);
    }
    /* 1/x of [2^exp, 2^(exp+1)) has exponent -exp - 1, thus the field -exp - emin */
    return assemble(f, x.sign, -x.exp - emin, recip_estimate((unsigned)(x.sig >> 55)));
}

uint64_t fp_rsqrte(FpFmt f, uint64_t a, FpEnv *e)
{
    FpNum x = fp_unpack(f, a, FP_KIND_ARITH, e);

    if (fp_is_nan(&x))
        return fp_pick_nan1(f, &x, e);
    if (x.cls == FP_IS_ZERO) {
        e->flags |= FP_DIVZERO;
        return fp_inf(f, x.sign);
    }
    if (x.sign)
        return fp_invalid(f, e);
    if (x.cls == FP_IS_INF)
        return fp_zero(f, false);
    /* x = m * 2^(even), m in [1/4, 1): an odd exponent (exp + 1 even) puts it in the upper part */
    bool odd = x.exp & 1;
    unsigned scaled = (unsigned)(x.sig >> (odd ? 55 : 56));
    int root = (x.exp + (odd ? 1 : 2)) / 2; /* exact */
    return assemble(f, false, -root - fp_shape[f].emin + 1, rsqrt_estimate(scaled));
}

uint64_t fp_recpx(FpFmt f, uint64_t a, FpEnv *e)
{
    const FpShape *s = &fp_shape[f];
    FpNum x = fp_unpack(f, a, FP_KIND_ARITH, e);
    uint64_t ones = (1ull << s->ebits) - 1, field = a >> s->fbits & ones;

    if (fp_is_nan(&x))
        return fp_pick_nan1(f, &x, e);
    return fp_zero(f, x.sign) | (field ? ~field & ones : ones - 1) << s->fbits;
}

/* (base + -a * b) * 2^scale; zero times infinity counts as zero. The operand negated is the one whose NaN shows. */
static uint64_t step(FpFmt f, uint64_t a, uint64_t b, uint64_t base_sig, int scale, FpEnv *e)
{
    FpNum x = fp_unpack(f, a ^ fp_sign_bit(f), FP_KIND_ARITH, e), y = fp_unpack(f, b, FP_KIND_ARITH, e);
    FpNum base = {.sig = base_sig, .exp = 1, .cls = FP_IS_FINITE};

    if (fp_is_nan(&x) || fp_is_nan(&y))
        return fp_pick_nan2(f, &x, &y, e);
    if ((x.cls == FP_IS_INF && y.cls == FP_IS_ZERO) || (x.cls == FP_IS_ZERO && y.cls == FP_IS_INF))
        return fp_pack(f, false, base.exp + scale, base.sig, FP_RTZ, FP_KIND_ARITH, e);
    return fp_mul_add(f, &x, &y, &base, scale, e);
}

uint64_t fp_recps(FpFmt f, uint64_t a, uint64_t b, FpEnv *e)
{
    return step(f, a, b, 1ull << 63, 0, e); /* 2 */
}

uint64_t fp_rsqrts(FpFmt f, uint64_t a, uint64_t b, FpEnv *e)
{
    return step(f, a, b, 3ull << 62, -1, e); /* 3, halved */
}
