/* The arithmetic operations: exact significands in 128 bits, one rounding. */
#include "base/fp_core.h"

/* A finite non-zero value as wide as it comes: (-1)^sign * sig / 2^126 * 2^exp, sig in [2^126, 2^127). */
typedef struct Wide {
    FpU128 sig;
    int exp;
    bool sign;
} Wide;

static Wide widen(const FpNum *n)
{
    return (Wide){(FpU128)n->sig << 63, n->exp, n->sign};
}

/* The product of two significands has at most 106 bits, so the shift loses nothing. */
static Wide product(const FpNum *a, const FpNum *b)
{
    FpU128 p = (FpU128)a->sig * b->sig;
    Wide w = {p >> 1, a->exp + b->exp + 1, a->sign != b->sign};

    if (!(p >> 127)) {
        w.sig = p;
        w.exp--;
    }
    return w;
}

static uint64_t finish(FpFmt f, bool sign, int exp, FpU128 sig, FpEnv *e)
{
    exp++; /* the unit is 2^126 here, 2^127 there */
    uint64_t top = fp_squeeze(sig, &exp);

    return fp_pack(f, sign, exp, top, (FpRound)e->round, FP_KIND_ARITH, e);
}

/* The sum of two finite non-zero values. Bits lost in alignment are below anything that rounding looks at. */
static uint64_t sum(FpFmt f, Wide a, Wide b, int scale, FpEnv *e)
{
    if (a.exp < b.exp || (a.exp == b.exp && a.sig < b.sig)) {
        Wide t = a;
        a = b;
        b = t;
    }
    b.sig = fp_shr_sticky(b.sig, a.exp - b.exp);
    if (a.sign == b.sign)
        return finish(f, a.sign, a.exp + scale, a.sig + b.sig, e);
    if (a.sig == b.sig)
        return fp_zero(f, fp_zero_sum_sign(e));
    return finish(f, a.sign, a.exp + scale, a.sig - b.sig, e);
}

uint64_t fp_mul_add(FpFmt f, const FpNum *a, const FpNum *b, const FpNum *c, int scale, FpEnv *e)
{
    bool sign = a->sign != b->sign;
    bool inf = a->cls == FP_IS_INF || b->cls == FP_IS_INF;

    if (inf && c->cls == FP_IS_INF && sign != c->sign)
        return fp_invalid(f, e);
    if (inf)
        return fp_inf(f, sign);
    if (c->cls == FP_IS_INF)
        return c->raw;
    if (a->cls != FP_IS_ZERO && b->cls != FP_IS_ZERO) {
        Wide p = product(a, b);
        if (c->cls == FP_IS_ZERO)
            return finish(f, p.sign, p.exp + scale, p.sig, e);
        return sum(f, p, widen(c), scale, e);
    }
    if (c->cls == FP_IS_ZERO)
        return fp_zero(f, sign == c->sign ? sign : fp_zero_sum_sign(e));
    return fp_pack(f, c->sign, c->exp + scale, c->sig, (FpRound)e->round, FP_KIND_ARITH, e);
}

static uint64_t add_num(FpFmt f, const FpNum *a, const FpNum *b, bool bsign, FpEnv *e)
{
    FpNum t = *b;

    t.sign = bsign;
    if (a->cls == FP_IS_INF && b->cls == FP_IS_INF && a->sign != bsign)
        return fp_invalid(f, e);
    if (a->cls == FP_IS_INF)
        return a->raw;
    if (b->cls == FP_IS_INF)
        return fp_inf(f, bsign);
    if (a->cls == FP_IS_FINITE && b->cls == FP_IS_FINITE)
        return sum(f, widen(a), widen(&t), 0, e);
    if (a->cls == FP_IS_ZERO && b->cls == FP_IS_ZERO)
        return fp_zero(f, a->sign == bsign ? bsign : fp_zero_sum_sign(e));
    if (a->cls == FP_IS_ZERO)
        a = &t;
    return fp_pack(f, a->sign, a->exp, a->sig, (FpRound)e->round, FP_KIND_ARITH, e);
}

uint64_t fp_add(FpFmt f, uint64_t a, uint64_t b, FpEnv *e)
{
    FpNum x = fp_unpack(f, a, FP_KIND_ARITH, e), y = fp_unpack(f, b, FP_KIND_ARITH, e);

    if (fp_is_nan(&x) || fp_is_nan(&y))
        return fp_pick_nan2(f, &x, &y, e);
    return add_num(f, &x, &y, y.sign, e);
}

uint64_t fp_sub(FpFmt f, uint64_t a, uint64_t b, FpEnv *e)
{
    FpNum x = fp_unpack(f, a, FP_KIND_ARITH, e), y = fp_unpack(f, b, FP_KIND_ARITH, e);

    /* a NaN subtrahend keeps its sign */
    if (fp_is_nan(&x) || fp_is_nan(&y))
        return fp_pick_nan2(f, &x, &y, e);
    return add_num(f, &x, &y, !y.sign, e);
}

static uint64_t mul(FpFmt f, uint64_t a, uint64_t b, bool extended, FpEnv *e)
{
    FpNum x = fp_unpack(f, a, FP_KIND_ARITH, e), y = fp_unpack(f, b, FP_KIND_ARITH, e);
    bool sign = x.sign != y.sign;

    if (fp_is_nan(&x) || fp_is_nan(&y))
        return fp_pick_nan2(f, &x, &y, e);
    bool inf = x.cls == FP_IS_INF || y.cls == FP_IS_INF;
    bool zero = x.cls == FP_IS_ZERO || y.cls == FP_IS_ZERO;
    if (inf && zero && extended)
        return fp_pack(f, sign, 1, 1ull << 63, FP_RTZ, FP_KIND_ARITH, e);
    if (inf)
        return zero ? fp_invalid(f, e) : fp_inf(f, sign);
    if (zero)
        return fp_zero(f, sign);
    Wide p = product(&x, &y);
    return finish(f, p.sign, p.exp, p.sig, e);
}

uint64_t fp_mul(FpFmt f, uint64_t a, uint64_t b, FpEnv *e)
{
    return mul(f, a, b, false, e);
}

uint64_t fp_mulx(FpFmt f, uint64_t a, uint64_t b, FpEnv *e)
{
    return mul(f, a, b, true, e);
}

uint64_t fp_div(FpFmt f, uint64_t a, uint64_t b, FpEnv *e)
{
    FpNum x = fp_unpack(f, a, FP_KIND_ARITH, e), y = fp_unpack(f, b, FP_KIND_ARITH, e);
    bool sign = x.sign != y.sign;

    if (fp_is_nan(&x) || fp_is_nan(&y))
        return fp_pick_nan2(f, &x, &y, e);
    if (x.cls == y.cls && x.cls != FP_IS_FINITE)
        return fp_invalid(f, e); /* 0/0, inf/inf */
    if (x.cls == FP_IS_INF)
        return fp_inf(f, sign);
    if (y.cls == FP_IS_ZERO) {
        e->flags |= FP_DIVZERO;
        return fp_inf(f, sign);
    }
    if (x.cls == FP_IS_ZERO || y.cls == FP_IS_INF)
        return fp_zero(f, sign);

    /* significands of 53 bits at most: a quotient of 62 or 63 bits, the remainder sticky */
    FpU128 num = (FpU128)(x.sig >> 11) << 62;
    uint64_t den = y.sig >> 11;
    FpU128 quot = num / den;
    quot = quot << 1 | (quot * den != num);
    int exp = x.exp - y.exp + 127 - 63;
    uint64_t sig = fp_squeeze(quot, &exp);
    return fp_pack(f, sign, exp, sig, (FpRound)e->round, FP_KIND_ARITH, e);
}

/* floor(sqrt(v)), one bit at a time. */
static uint64_t isqrt(FpU128 v, bool *exact)
{
    FpU128 root = 0, bit = (FpU128)1 << 126;

    while (bit > v)
        bit >>= 2;
    for (; bit; bit >>= 2) {
        if (v >= root + bit) {
            v -= root + bit;
            root = (root >> 1) + bit;
        } else {
            root >>= 1;
        }
    }
    *exact = v == 0;
    return (uint64_t)root;
}

uint64_t fp_sqrt(FpFmt f, uint64_t a, FpEnv *e)
{
    FpNum x = fp_unpack(f, a, FP_KIND_ARITH, e);
    bool exact;

    if (fp_is_nan(&x))
        return fp_pick_nan1(f, &x, e);
    if (x.cls == FP_IS_ZERO)
        return x.raw;
    if (x.sign)
        return fp_invalid(f, e);
    if (x.cls == FP_IS_INF)
        return x.raw;
    /* with an even exponent and the value in [1, 4) at 2^124, the root is in [2^62, 2^63) */
    bool odd = x.exp & 1;
    uint64_t root = isqrt((FpU128)x.sig << (odd ? 62 : 61), &exact);
    return fp_pack(f, false, (x.exp - odd) / 2, root << 1 | !exact, (FpRound)e->round, FP_KIND_ARITH, e);
}

/*
 * Zero times infinity with a NaN addend: Arm signals it and gives the default NaN where the addend is quiet; RISC-V
 * signals it; x86 does not.
 */
static uint64_t fma_nan(FpFmt f, const FpNum *a, const FpNum *b, const FpNum *c, bool zero_inf, FpEnv *e)
{
    if (e->nan_rule == FP_NAN_X86)
        return fp_pick_nan(f, (const FpNum *const[]){a, b, c}, 3, e);
    if (zero_inf)
        e->flags |= FP_INVALID;
    if (zero_inf && c->cls == FP_IS_QNAN)
        return fp_default_nan(f, e);
    return fp_pick_nan(f, (const FpNum *const[]){c, a, b}, 3, e);
}

uint64_t fp_fma(FpFmt f, uint64_t a, uint64_t b, uint64_t c, FpEnv *e)
{
    FpNum x = fp_unpack(f, a, FP_KIND_ARITH, e), y = fp_unpack(f, b, FP_KIND_ARITH, e);
    FpNum z = fp_unpack(f, c, FP_KIND_ARITH, e);
    bool zero_inf = (x.cls == FP_IS_ZERO && y.cls == FP_IS_INF) || (x.cls == FP_IS_INF && y.cls == FP_IS_ZERO);

    if (fp_is_nan(&x) || fp_is_nan(&y) || fp_is_nan(&z))
        return fma_nan(f, &x, &y, &z, zero_inf, e);
    if (zero_inf)
        return fp_invalid(f, e);
    return fp_mul_add(f, &x, &y, &z, 0, e);
}
