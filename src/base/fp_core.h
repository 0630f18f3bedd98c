/*
 * Private to base/fp_*.c: taking values apart, putting them together with one rounding, and the choice of NaNs. Everything
 * about formats, flushing, tininess and overflow is here; the operations only compute exact significands.
 */
#ifndef BASE_FP_CORE_H
#define BASE_FP_CORE_H

#include "base/fp.h"

typedef unsigned __int128 FpU128;

typedef enum FpClass { FP_IS_ZERO, FP_IS_FINITE, FP_IS_INF, FP_IS_QNAN, FP_IS_SNAN } FpClass;

/* A value taken apart. Finite non-zero: (-1)^sign * sig / 2^63 * 2^exp with bit 63 of sig set. */
typedef struct FpNum {
    uint64_t sig;
    uint64_t raw; /* the value itself, after flushing */
    int exp;
    bool sign;
    uint8_t cls;  /* FpClass */
} FpNum;

typedef struct FpShape {
    uint8_t bits, ebits, fbits;
    int16_t emin; /* exponent of the smallest normal value */
} FpShape;

extern const FpShape fp_shape[4];

/* FP_KIND_CVT: a conversion between formats, where FZ16 has no effect and AHP has one. */
typedef enum FpKind { FP_KIND_ARITH, FP_KIND_CVT } FpKind;

/* Take apart; flushes a subnormal and raises FP_DENORMAL when the environment says so. */
FpNum fp_unpack(FpFmt f, uint64_t a, FpKind kind, FpEnv *e);

/*
 * Round and put together (-1)^sign * sig / 2^63 * 2^exp, raising what rounding raises.
 *   sig  bit 63 set; bit 0 also stands for any lower non-zero bits ("sticky")
 *   r    not FP_RCUR
 */
uint64_t fp_pack(FpFmt f, bool sign, int exp, uint64_t sig, FpRound r, FpKind kind, FpEnv *e);

/* Normalise a non-zero 128-bit significand (value v / 2^127 * 2^*exp) to the 64 bits that fp_pack takes. */
uint64_t fp_squeeze(FpU128 v, int *exp);

/* v >> n, the bits lost or-ed into bit 0; any n >= 0. */
FpU128 fp_shr_sticky(FpU128 v, int n);

uint64_t fp_default_nan(FpFmt f, const FpEnv *e);
/* The default NaN, with FP_INVALID. */
uint64_t fp_invalid(FpFmt f, FpEnv *e);
uint64_t fp_zero(FpFmt f, bool sign);
uint64_t fp_inf(FpFmt f, bool sign);
uint64_t fp_max_normal(FpFmt f, bool sign);
/* What an overflow gives in rounding mode r. */
uint64_t fp_huge(FpFmt f, bool sign, FpRound r);

/* The result of an operation on `n` operands of which at least one is a NaN, in order of priority. */
uint64_t fp_pick_nan(FpFmt f, const FpNum *const *op, unsigned n, FpEnv *e);
uint64_t fp_pick_nan1(FpFmt f, const FpNum *a, FpEnv *e);
uint64_t fp_pick_nan2(FpFmt f, const FpNum *a, const FpNum *b, FpEnv *e);

/*
 * a * b + c, times 2^scale, rounded once. None of the three is a NaN; a * b is not zero times infinity.
 * Infinities of opposite sign are invalid.
 */
uint64_t fp_mul_add(FpFmt f, const FpNum *a, const FpNum *b, const FpNum *c, int scale, FpEnv *e);

/* Whether rounding in mode r moves the magnitude up, given its lowest kept bit and the rest (1 << 63 is half). */
bool fp_rounds_up(FpRound r, bool sign, bool odd, uint64_t rest);

static inline bool fp_is_nan(const FpNum *n)
{
    return n->cls >= FP_IS_QNAN;
}

static inline FpRound fp_mode(FpRound r, const FpEnv *e)
{
    return r == FP_RCUR ? (FpRound)e->round : r;
}

static inline uint64_t fp_sign_bit(FpFmt f)
{
    return 1ull << (fp_shape[f].bits - 1);
}

/* The sign of an exact zero sum of operands of opposite signs. */
static inline bool fp_zero_sum_sign(const FpEnv *e)
{
    return e->round == FP_RDN;
}

#endif
