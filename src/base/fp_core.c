/* Taking floating-point values apart, rounding them, and choosing NaNs. See fp_core.h. */
#include "base/fp_core.h"

#include <stddef.h>

const FpShape fp_shape[4] = {
    [FP_F16] = {16, 5, 10, -14},
    [FP_BF16] = {16, 8, 7, -126},
    [FP_F32] = {32, 8, 23, -126},
    [FP_F64] = {64, 11, 52, -1022},
};

static uint64_t exp_ones(const FpShape *s)
{
    return (1ull << s->ebits) - 1;
}

static bool flushes(FpFmt f, FpKind kind, const FpEnv *e)
{
    return f == FP_F16 ? e->flush16 && kind != FP_KIND_CVT : e->flush;
}

uint64_t fp_zero(FpFmt f, bool sign)
{
    return sign ? fp_sign_bit(f) : 0;
}

uint64_t fp_inf(FpFmt f, bool sign)
{
    return fp_zero(f, sign) | exp_ones(&fp_shape[f]) << fp_shape[f].fbits;
}

uint64_t fp_max_normal(FpFmt f, bool sign)
{
    return fp_inf(f, sign) - 1;
}

uint64_t fp_huge(FpFmt f, bool sign, FpRound r)
{
    bool inf = r == FP_RNE || r == FP_RNA || (r == FP_RUP && !sign) || (r == FP_RDN && sign);

    return inf ? fp_inf(f, sign) : fp_max_normal(f, sign);
}

uint64_t fp_default_nan(FpFmt f, const FpEnv *e)
{
    return fp_inf(f, e->nan_rule == FP_NAN_X86) | 1ull << (fp_shape[f].fbits - 1);
}

uint64_t fp_invalid(FpFmt f, FpEnv *e)
{
    e->flags |= FP_INVALID;
    return fp_default_nan(f, e);
}

/* A subnormal or zero: the exponent field is zero. */
static FpNum unpack_small(FpFmt f, FpNum n, uint64_t frac, FpKind kind, FpEnv *e)
{
    const FpShape *s = &fp_shape[f];

    if (frac && flushes(f, kind, e)) {
        /* flushing halves is silent */
        if (f != FP_F16)
            e->flags |= FP_DENORMAL;
        frac = 0;
    }
    if (!frac) {
        n.cls = FP_IS_ZERO;
        n.raw = fp_zero(f, n.sign);
        return n;
    }
    int lead = __builtin_clzll(frac);
    n.cls = FP_IS_FINITE;
    n.sig = frac << lead;
    n.exp = s->emin + (63 - s->fbits) - lead;
    return n;
}

FpNum fp_unpack(FpFmt f, uint64_t a, FpKind kind, FpEnv *e)
{
    const FpShape *s = &fp_shape[f];
    uint64_t frac = a & ((1ull << s->fbits) - 1);
    uint64_t exp = a >> s->fbits & exp_ones(s);
    FpNum n = {0};

    n.raw = s->bits == 64 ? a : a & ((1ull << s->bits) - 1);
    n.sign = n.raw >> (s->bits - 1);
    if (exp == 0)
        return unpack_small(f, n, frac, kind, e);
    bool alt = f == FP_F16 && kind == FP_KIND_CVT && e->alt_half;
    if (exp == exp_ones(s) && !alt) {
        if (frac)
            n.cls = frac >> (s->fbits - 1) ? FP_IS_QNAN : FP_IS_SNAN;
        else
            n.cls = FP_IS_INF;
        return n;
    }
    n.cls = FP_IS_FINITE;
    n.sig = 1ull << 63 | frac << (63 - s->fbits);
    n.exp = (int)exp - 1 + s->emin;
    return n;
}

FpU128 fp_shr_sticky(FpU128 v, int n)
{
    if (n == 0)
        return v;
    if (n > 127)
        return v != 0;
    return v >> n | ((v << (128 - n)) != 0);
}

uint64_t fp_squeeze(FpU128 v, int *exp)
{
    uint64_t hi = (uint64_t)(v >> 64);
    int lead = hi ? __builtin_clzll(hi) : 64 + __builtin_clzll((uint64_t)v);

    v <<= lead;
    *exp -= lead;
    return (uint64_t)(v >> 64) | ((uint64_t)v != 0);
}

bool fp_rounds_up(FpRound r, bool sign, bool odd, uint64_t rest)
{
    const uint64_t half = 1ull << 63;

    switch (r) {
    case FP_RNE: return rest > half || (rest == half && odd);
    case FP_RNA: return rest >= half;
    case FP_RUP: return rest && !sign;
    case FP_RDN: return rest && sign;
    default: return false; /* FP_RTZ; FP_RTO sets the low bit itself */
    }
}

/* Whether a value below the smallest normal one would round up to it if the exponent had no lower limit. */
static bool rounds_to_normal(const FpShape *s, bool sign, int exp, uint64_t sig, FpRound r)
{
    int keep = 63 - s->fbits;
    uint64_t mant = sig >> keep;

    return exp == s->emin - 1 && mant == (2ull << s->fbits) - 1 && fp_rounds_up(r, sign, true, sig << (64 - keep));
}

uint64_t fp_pack(FpFmt f, bool sign, int exp, uint64_t sig, FpRound r, FpKind kind, FpEnv *e)
{
    const FpShape *s = &fp_shape[f];
    int shift = 63 - s->fbits;
    int biased = exp - s->emin + 1;

    if (biased <= 0 && flushes(f, kind, e)) {
        e->flags |= FP_UNDERFLOW; /* alone: flushing is not inexact */
        return fp_zero(f, sign);
    }
    if (biased <= 0) {
        shift += 1 - biased;
        biased = 0;
    }
    FpU128 wide = shift > 65 ? 1 : ((FpU128)sig << 64) >> shift;
    uint64_t mant = (uint64_t)(wide >> 64), rest = (uint64_t)wide;
    if (rest && biased == 0 && !(e->tiny_after && rounds_to_normal(s, sign, exp, sig, r)))
        e->flags |= FP_UNDERFLOW;
    if (r == FP_RTO)
        mant |= rest != 0;
    else
        mant += fp_rounds_up(r, sign, mant & 1, rest);

    /* the significand's leading bit, or a carry out of it, adds to the exponent field */
    uint64_t bits = (biased ? (uint64_t)(biased - 1) << s->fbits : 0) + mant;
    bool alt = f == FP_F16 && kind == FP_KIND_CVT && e->alt_half;
    uint64_t field = bits >> s->fbits;
    if (alt && field > exp_ones(s)) {
        e->flags |= FP_INVALID;
        return fp_zero(f, sign) | (fp_sign_bit(f) - 1);
    }
    if (!alt && field >= exp_ones(s)) {
        e->flags |= FP_OVERFLOW | FP_INEXACT;
        return fp_huge(f, sign, r);
    }
    if (rest)
        e->flags |= FP_INEXACT;
    return fp_zero(f, sign) | bits;
}

/* --- NaNs -------------------------------------------------------------------------------------------------------- */

uint64_t fp_pick_nan(FpFmt f, const FpNum *const *op, unsigned n, FpEnv *e)
{
    const FpNum *quiet = NULL, *signalling = NULL, *first = NULL;

    for (unsigned i = n; i-- > 0;) {
        if (!fp_is_nan(op[i]))
            continue;
        first = op[i];
        if (op[i]->cls == FP_IS_SNAN)
            signalling = op[i];
        else
            quiet = op[i];
    }
    if (signalling)
        e->flags |= FP_INVALID;
    if (e->default_nan || e->nan_rule == FP_NAN_RISCV)
        return fp_default_nan(f, e);
    if (e->nan_rule == FP_NAN_ARM)
        first = signalling ? signalling : quiet;
    return first->raw | 1ull << (fp_shape[f].fbits - 1);
}

uint64_t fp_pick_nan1(FpFmt f, const FpNum *a, FpEnv *e)
{
    return fp_pick_nan(f, (const FpNum *const[]){a}, 1, e);
}

uint64_t fp_pick_nan2(FpFmt f, const FpNum *a, const FpNum *b, FpEnv *e)
{
    return fp_pick_nan(f, (const FpNum *const[]){a, b}, 2, e);
}
