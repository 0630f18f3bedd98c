/* Random floating-point operands, rich in the values where rounding and rules go wrong; and a small generator. */
#ifndef TESTS_FP_RANDOM_H
#define TESTS_FP_RANDOM_H

#include "base/fp.h"

#include <stdlib.h>
#include <string.h>

static const struct { int bits, ebits, fbits, emin; const char *name; } fmt_of[4] = {
    {16, 5, 10, -14, "f16"}, {16, 8, 7, -126, "bf16"}, {32, 8, 23, -126, "f32"}, {64, 11, 52, -1022, "f64"},
};

static uint64_t rnd_state = 0x9e3779b97f4a7c15;

static inline uint64_t rnd(void)
{
    uint64_t z = rnd_state += 0x9e3779b97f4a7c15;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static inline uint64_t low_mask(int n)
{
    return n >= 64 ? UINT64_MAX : (1ull << n) - 1;
}

/* A fraction with few bits set, or few clear, or a run, or anything. */
static inline uint64_t rnd_frac(int fbits)
{
    uint64_t m = low_mask(fbits), v = 0;

    switch (rnd() % 6) {
    case 0: return 0;
    case 1: return m;
    case 2: v = 1ull << rnd() % fbits | 1ull << rnd() % fbits; break;
    case 3: v = ~(1ull << rnd() % fbits); break;
    case 4: v = (m << rnd() % fbits) ^ (rnd() & 1 ? 0 : m); break;
    default: v = rnd(); break;
    }
    return v & m;
}

/* `near`: another operand, whose exponent is often taken over with a small change. */
static inline uint64_t rnd_fp(FpFmt f, uint64_t near)
{
    int eb = fmt_of[f].ebits, fb = fmt_of[f].fbits;
    uint64_t emax = low_mask(eb), exp, sign = rnd() & 1;

    switch (rnd() % 16) {
    case 0: exp = 0; break;                                     /* zero, subnormal */
    case 1: exp = emax; break;                                  /* infinity, NaN */
    case 2: exp = 1 + rnd() % 3; break;                         /* least normals */
    case 3: exp = emax - 1 - rnd() % 3; break;                  /* greatest */
    case 4: case 5: exp = emax / 2 + rnd() % 4 - 2; break;      /* around one */
    case 6: exp = emax / 2 + rnd() % 70 - 3; break;             /* integers */
    case 7: exp = emax / 2 - rnd() % (2 * fb); break;
    case 8: case 9: exp = (near >> fb) + rnd() % 7 - 3; break;
    case 10: exp = (near >> fb) + rnd() % (4 * fb) - 2 * fb; break;
    case 11: exp = emax - (near >> fb) + rnd() % 7 - 3; break;  /* product near one */
    case 12: exp = emax / 2 - (near >> fb) + rnd() % 7 - 3; break; /* product near the bottom */
    default: exp = rnd(); break;
    }
    exp &= emax;
    uint64_t frac = rnd_frac(fb);
    if (rnd() % 64 == 0)
        frac = near & low_mask(fb);
    return sign << (eb + fb) | exp << fb | frac;
}

static inline bool fp_bits_nan(FpFmt f, uint64_t a)
{
    return (a & low_mask(fmt_of[f].bits - 1)) > low_mask(fmt_of[f].ebits) << fmt_of[f].fbits;
}

static inline bool fp_bits_snan(FpFmt f, uint64_t a)
{
    return fp_bits_nan(f, a) && !(a >> (fmt_of[f].fbits - 1) & 1);
}

/* How many random cases: `n`, or a hundred times that in the long run (LONG=1). */
static inline unsigned long rnd_count(unsigned long n)
{
    const char *l = getenv("LONG");

    return l && *l && *l != '0' ? n * 100 : n;
}

#endif
