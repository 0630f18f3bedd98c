/*
 * ir_eval against plain C on the host's own types, and against the host's instructions where one does the same thing:
 * every scalar and vector integer operation, on random and special operands.
 */
#include "../unit/test.h"
#include "support.h"

#pragma GCC target("avx2,lzcnt,bmi,pclmul,sse4.2")
#include <immintrin.h>

#define ROUNDS 4000

static uint64_t seed = 88172645463325252ull;
static unsigned complaints;

static uint64_t rnd(void)
{
    return test_value(&seed);
}

static IrVal rndv(void)
{
    IrVal v = {{rnd(), rnd()}};

    if (test_random(&seed) % 3 == 0) /* lanes near the ends of their ranges */
        for (unsigned k = 0; k < 16; k++)
            v.u8[k] = (uint8_t)(test_random(&seed) % 4 == 0 ? test_random(&seed) : (test_random(&seed) & 1 ? 0x7f : 0x80) + (k & 1));
    return v;
}

static IrVal eval(IrInsn op, IrVal a, IrVal b, IrVal c)
{
    IrVal arg[3] = {a, b, c}, out;
    FpEnv fp = {0};

    ir_eval(&op, arg, &fp, &out);
    return out;
}

static uint64_t scalar(IrInsn op, uint64_t a, uint64_t b, uint64_t c)
{
    IrVal r = eval(op, (IrVal){{a, 0}}, (IrVal){{b, 0}}, (IrVal){{c, 0}});
    return r.u64[1] ? ~0xdeadull : r.u64[0];
}

static bool expect(const char *what, uint64_t got, uint64_t want)
{
    if (got != want && complaints++ < 20)
        printf("# %s: got 0x%llx, want 0x%llx\n", what, (unsigned long long)got, (unsigned long long)want);
    return got == want;
}

/* --- scalars --------------------------------------------------------------------------------------------------------- */

/* The same text for 32 and 64 bits: U and S are the types, W a signed type at least twice as wide. */
#define SCALAR_TESTS(NAME, T, U, S, W, UW) \
    static bool NAME(void) \
    { \
        bool ok = true; \
        const unsigned n = 8 * sizeof(U); \
        for (unsigned k = 0; k < ROUNDS; k++) { \
            U a = (U)rnd(), b = (U)rnd(); \
            S sa = (S)a, sb = (S)b; \
            unsigned c = rnd() & 1, sh = rnd() & 255, m = sh % n; \
            OP(ADD, a, b, 0, 0, (U)(a + b)); \
            OP(SUB, a, b, 0, 0, (U)(a - b)); \
            OP(MUL, a, b, 0, 0, (U)(a * b)); \
            OP(MULHU, a, b, 0, 0, (U)(((UW)a * b) >> n)); \
            OP(MULHS, a, b, 0, 0, (U)(((W)sa * sb) >> n)); \
            OP(DIVU, a, b, 0, 0, b ? a / b : 0); \
            OP(DIVS, a, b, 0, 0, b == 0 ? 0 : sb == -1 ? (U)(0 - a) : (U)(sa / sb)); \
            OP(NEG, a, 0, 0, 0, (U)(0 - a)); \
            OP(ABS, a, 0, 0, 0, sa < 0 ? (U)(0 - a) : a); \
            OP(MINS, a, b, 0, 0, sa < sb ? a : b); \
            OP(MAXS, a, b, 0, 0, sa > sb ? a : b); \
            OP(MINU, a, b, 0, 0, a < b ? a : b); \
            OP(MAXU, a, b, 0, 0, a > b ? a : b); \
            OP(ADC, a, b, c, 0, (U)(a + b + c)); \
            OP(AND, a, b, 0, 0, a & b); \
            OP(OR, a, b, 0, 0, a | b); \
            OP(XOR, a, b, 0, 0, a ^ b); \
            OP(ANDN, a, b, 0, 0, (U)(a & ~b)); \
            OP(ORN, a, b, 0, 0, (U)(a | ~b)); \
            OP(NOT, a, 0, 0, 0, (U)~a); \
            OP(SHL, a, sh, 0, 0, (U)(a << m)); \
            OP(SHR, a, sh, 0, 0, a >> m); \
            OP(SAR, a, sh, 0, 0, (U)(sa >> m)); \
            OP(ROR, a, sh, 0, 0, (U)(((UW)a | (UW)a << n) >> m)); \
            OP(EXTR, a, b, 0, m, (U)(((UW)b | (UW)a << n) >> m)); \
            unsigned lsb = m, width = 1 + (unsigned)(rnd() % (n - lsb)); \
            uint64_t field = lsb | (uint64_t)width << 8; \
            OP(UBFX, a, 0, 0, field, (U)((U)(a << (n - lsb - width)) >> (n - width))); \
            OP(SBFX, a, 0, 0, field, (U)((S)(U)(a << (n - lsb - width)) >> (n - width))); \
            U mask = (U)((((UW)1 << width) - 1) << lsb); \
            OP(BFI, a, b, 0, field, (U)((a & ~mask) | ((U)(b << lsb) & mask))); \
            OP(CLZ, a, 0, 0, 0, n == 64 ? _lzcnt_u64(a) : _lzcnt_u32((uint32_t)a)); \
            OP(CTZ, a, 0, 0, 0, n == 64 ? _tzcnt_u64(a) : _tzcnt_u32((uint32_t)a)); \
            OP(CLS, a, 0, 0, 0, n == 64 ? (U)__builtin_clrsbll((long long)a) : (U)__builtin_clrsb((int)a)); \
            OP(POPCNT, a, 0, 0, 0, (U)__builtin_popcountll(a)); \
            OP(BSWAP, a, 0, 0, 0, n == 64 ? (U)__builtin_bswap64(a) : (U)__builtin_bswap32((uint32_t)a)); \
            U rev = 0; \
            for (unsigned j = 0; j < n; j++) \
                rev |= (U)(a >> j & 1) << (n - 1 - j); \
            OP(BITREV, a, 0, 0, 0, rev); \
            OPL(ADC_C, a, b, c, 0, (U)(((UW)a + b + c) >> n)); \
            OPL(ADC_V, a, b, c, 0, (W)sa + sb + c != (S)((W)sa + sb + c)); \
            OPL(ADD_C, a, b, 0, 0, (U)(a + b) < a); \
            OPL(ADD_V, a, b, 0, 0, __builtin_add_overflow(sa, sb, &sa)); \
            sa = (S)a; \
            OPL(SUB_V, a, b, 0, 0, __builtin_sub_overflow(sa, sb, &sa)); \
            sa = (S)a; \
            for (unsigned p = 0; p < 8; p++) { \
                OPL(ICMP, a, b, 0, p, (p & IR_LT && a < b) || (p & IR_EQ && a == b) || (p & IR_GT && a > b)); \
                OPL(ICMP, a, b, 0, p | IR_PSIGNED, (p & IR_LT && sa < sb) || (p & IR_EQ && a == b) || (p & IR_GT && sa > sb)); \
                OPL(ICMP, a, a, 0, p, !!(p & IR_EQ)); \
            } \
        } \
        return ok; \
    }

#define OP(op_, a_, b_, c_, imm_, want) \
    ok &= expect(#op_, scalar((IrInsn){.op = IR_##op_, .type = 8 * sizeof(a) == 64 ? IR_I64 : IR_I32, .imm = (imm_)}, a_, b_, c_), want)
/* Operations with a lane and a boolean result; `aux_` is the relation. */
#define OPL(op_, a_, b_, c_, aux_, want) \
    ok &= expect(#op_, scalar((IrInsn){.op = IR_##op_, .type = IR_I8, .lane = 8 * sizeof(a) == 64 ? IR_I64 : IR_I32, \
                                       .aux = (uint8_t)(aux_)}, a_, b_, c_), want)

SCALAR_TESTS(scalar32, IR_I32, uint32_t, int32_t, int64_t, uint64_t)
SCALAR_TESTS(scalar64, IR_I64, uint64_t, int64_t, __int128, unsigned __int128)

#undef OP
#undef OPL

static bool widths(void)
{
    bool ok = true;

    for (unsigned k = 0; k < ROUNDS; k++) {
        uint64_t a = rnd();
        ok &= expect("trunc", scalar((IrInsn){.op = IR_TRUNC, .type = IR_I16, .lane = IR_I64}, a, 0, 0), (uint16_t)a);
        ok &= expect("zext", scalar((IrInsn){.op = IR_ZEXT, .type = IR_I64, .lane = IR_I8}, a & 0xff, 0, 0), (uint8_t)a);
        ok &= expect("sext", scalar((IrInsn){.op = IR_SEXT, .type = IR_I32, .lane = IR_I8}, a & 0xff, 0, 0), (uint32_t)(int8_t)a);
        ok &= expect("sext64", scalar((IrInsn){.op = IR_SEXT, .type = IR_I64, .lane = IR_I32}, (uint32_t)a, 0, 0), (uint64_t)(int32_t)a);
        ok &= expect("bitcast", scalar((IrInsn){.op = IR_BITCAST, .type = IR_F32, .lane = IR_I32}, (uint32_t)a, 0, 0), (uint32_t)a);
        ok &= expect("select", scalar((IrInsn){.op = IR_SELECT, .type = IR_I64}, a & 1, 5, 7), a & 1 ? 5 : 7);
        ok &= expect("icmp8", scalar((IrInsn){.op = IR_ICMP, .type = IR_I8, .lane = IR_I8, .aux = IR_LT | IR_PSIGNED}, a & 0xff,
                     a >> 8 & 0xff, 0), (int8_t)a < (int8_t)(a >> 8));
    }
    return ok;
}

static bool crc(void)
{
    /* CRC-32 of "123456789" is 0xCBF43926; that of zlib's step without inversions follows from it. */
    uint32_t acc = 0xffffffff;
    bool ok = true;

    for (const char *p = "123456789"; *p; p++)
        acc = (uint32_t)scalar((IrInsn){.op = IR_CRC32, .type = IR_I32, .lane = IR_I8}, acc, (uint8_t)*p, 0);
    ok &= expect("crc32", ~acc, 0xCBF43926);
    for (unsigned k = 0; k < ROUNDS; k++) {
        uint64_t a = rnd() & 0xffffffff, b = rnd();
        ok &= expect("crc32c.i64", scalar((IrInsn){.op = IR_CRC32, .type = IR_I32, .lane = IR_I64, .aux = 1}, a, b, 0), _mm_crc32_u64(a, b));
        ok &= expect("crc32c.i32", scalar((IrInsn){.op = IR_CRC32, .type = IR_I32, .lane = IR_I32, .aux = 1}, a, (uint32_t)b, 0),
                     _mm_crc32_u32((uint32_t)a, (uint32_t)b));
        ok &= expect("crc32c.i16", scalar((IrInsn){.op = IR_CRC32, .type = IR_I32, .lane = IR_I16, .aux = 1}, a, (uint16_t)b, 0),
                     _mm_crc32_u16((uint32_t)a, (uint16_t)b));
    }
    return ok;
}

/* --- lanes ------------------------------------------------------------------------------------------------------------- */

static bool expect_vec(const char *what, const IrVal *got, const IrVal *want)
{
    return expect(what, got->u64[0], want->u64[0]) & expect(what, got->u64[1], want->u64[1]);
}

/* Saturation by hand. */
static __int128 sat(__int128 x, __int128 lo, __int128 hi)
{
    return x < lo ? lo : x > hi ? hi : x;
}

/* One operation lane by lane: `want` is an expression of the lanes x, y, z (unsigned), sx, sy, sz (signed). */
#define LANES(op_, aux_, imm_, want) \
    do { \
        IrInsn op = {.op = IR_##op_, .type = IR_V128, .lane = LANE, .lanes = (uint8_t)lanes, .aux = (aux_), .imm = (imm_)}; \
        IrVal got = eval(op, a, b, c), exp = {{0, 0}}; \
        for (unsigned i = 0; i < lanes; i++) { \
            U x = ((U *)&a)[i], y = ((U *)&b)[i], z = ((U *)&c)[i]; \
            S sx = (S)x, sy = (S)y, sz = (S)z; \
            (void)x, (void)y, (void)z, (void)sx, (void)sy, (void)sz; \
            ((U *)&exp)[i] = (U)(want); \
        } \
        ok &= expect_vec(#op_ " " #aux_, &got, &exp); \
    } while (0)

#define LANE_TESTS(NAME, LANE_, U_, S_, W_) \
    static bool NAME(unsigned lanes) \
    { \
        typedef U_ U; \
        typedef S_ S; \
        typedef W_ W; \
        enum { LANE = LANE_, N = 8 * sizeof(U) }; \
        const W smax = (W)(((W)1 << (N - 1)) - 1), smin = -smax - 1, umax = ((W)1 << N) - 1; \
        bool ok = true; \
        for (unsigned k = 0; k < ROUNDS; k++) { \
            IrVal a = rndv(), b = rndv(), c = rndv(); \
            unsigned sh = (unsigned)(rnd() % N), shr = (unsigned)(rnd() % (N + 1)); \
            LANES(ADD, 0, 0, x + y); \
            LANES(SUB, 0, 0, x - y); \
            LANES(MUL, 0, 0, (unsigned __int128)x * y); \
            LANES(NEG, 0, 0, 0 - x); \
            LANES(ABS, 0, 0, sx < 0 ? 0 - x : x); \
            LANES(MINS, 0, 0, sx < sy ? x : y); \
            LANES(MAXS, 0, 0, sx > sy ? x : y); \
            LANES(MINU, 0, 0, x < y ? x : y); \
            LANES(MAXU, 0, 0, x > y ? x : y); \
            LANES(VSHLI, 0, sh, x << sh); \
            LANES(VSHRI, 0, shr, shr == N ? 0 : x >> shr); \
            LANES(VSARI, 0, shr, shr == N ? (sx < 0 ? -1 : 0) : sx >> shr); \
            LANES(VROR, 0, sh, sh ? (U)(x >> sh) | (U)(x << (N - sh)) : x); \
            LANES(VADDS_SAT, 0, 0, sat((W)sx + sy, smin, smax)); \
            LANES(VADDU_SAT, 0, 0, sat((W)x + y, (W)0, umax)); \
            LANES(VSUBS_SAT, 0, 0, sat((W)sx - sy, smin, smax)); \
            LANES(VSUBU_SAT, 0, 0, sat((W)x - y, (W)0, umax)); \
            LANES(VADDSU_SAT, 0, 0, sat((W)sx + y, smin, smax)); \
            LANES(VADDUS_SAT, 0, 0, sat((W)x + sy, (W)0, umax)); \
            LANES(VHADD, IR_SIGNED, 0, ((W)sx + sy) >> 1); \
            LANES(VHADD, 0, 0, ((W)x + y) >> 1); \
            LANES(VHADD, IR_SIGNED | IR_ROUNDING, 0, ((W)sx + sy + 1) >> 1); \
            LANES(VHADD, IR_ROUNDING, 0, ((W)x + y + 1) >> 1); \
            LANES(VHSUB, IR_SIGNED, 0, ((W)sx - sy) >> 1); \
            LANES(VHSUB, 0, 0, ((W)x - y) >> 1); \
            LANES(VABD, IR_SIGNED, 0, sx > sy ? (W)sx - sy : (W)sy - sx); \
            LANES(VABD, 0, 0, x > y ? x - y : y - x); \
            LANES(VICMP, IR_EQ, 0, x == y ? -1 : 0); \
            LANES(VICMP, IR_GT, 0, x > y ? -1 : 0); \
            LANES(VICMP, IR_LT | IR_EQ | IR_PSIGNED, 0, sx <= sy ? -1 : 0); \
            LANES(VICMP, IR_GT | IR_PSIGNED, 0, sx > sy ? -1 : 0); \
            LANES(CLZ, 0, 0, clz_ref(x, N)); \
            LANES(CLS, 0, 0, clz_ref((U)(sx < 0 ? ~x : x), N) - 1); \
            LANES(VSHIFT, 0, 0, shift_ref(x, (int8_t)y, N, false)); \
            LANES(VSHIFT, IR_SIGNED, 0, shift_ref(sx, (int8_t)y, N, false)); \
            LANES(VSHIFT, IR_ROUNDING, 0, shift_ref(x, (int8_t)y, N, true)); \
            LANES(VSHIFT, IR_SIGNED | IR_ROUNDING, 0, shift_ref(sx, (int8_t)y, N, true)); \
            LANES(VSHIFT, IR_SIGNED | IR_SAT, 0, sat(shift_wide(sx, (int8_t)y, false), (__int128)smin, (__int128)smax)); \
            LANES(VSHIFT, IR_SAT | IR_ROUNDING, 0, sat(shift_wide(x, (int8_t)y, true), (__int128)0, (__int128)umax)); \
            LANES(VSHIFT, IR_SIGNED | IR_SATU, 0, sat(shift_wide(sx, (int8_t)y, false), (__int128)0, (__int128)umax)); \
            LANES(VSHIFT_Q, IR_SIGNED | IR_SAT, 0, shift_wide(sx, (int8_t)y, false) < smin || shift_wide(sx, (int8_t)y, false) > smax ? -1 : 0); \
            LANES(VSHIFT_Q, IR_SAT, 0, shift_wide(x, (int8_t)y, false) > umax ? -1 : 0); \
            LANES(AND, 0, 0, x & y); \
            LANES(ORN, 0, 0, x | ~y); \
            LANES(BSL, 0, 0, (x & y) | (~x & z)); \
            LANES(BCAX, 0, 0, x ^ (y & ~z)); \
            LANES(VZIP1, 0, 0, ((U *)(i & 1 ? &b : &a))[i / 2]); \
            LANES(VZIP2, 0, 0, ((U *)(i & 1 ? &b : &a))[lanes / 2 + i / 2]); \
            LANES(VUZP1, 0, 0, ((U *)(i < lanes / 2 ? &a : &b))[(2 * i) % lanes]); \
            LANES(VUZP2, 0, 0, ((U *)(i < lanes / 2 ? &a : &b))[(2 * i) % lanes + 1]); \
            LANES(VTRN1, 0, 0, ((U *)(i & 1 ? &b : &a))[i & ~1u]); \
            LANES(VTRN2, 0, 0, ((U *)(i & 1 ? &b : &a))[i | 1u]); \
            LANES(VADDP, 0, 0, ((U *)(i < lanes / 2 ? &a : &b))[(2 * i) % lanes] + ((U *)(i < lanes / 2 ? &a : &b))[(2 * i) % lanes + 1]); \
            LANES(VDUPL, 0, k % lanes, ((U *)&a)[k % lanes]); \
            LANES(VDUP, 0, 0, ((U *)&a)[0]); \
            LANES(VSET, 0, k % lanes, i == k % lanes ? ((U *)&b)[0] : x); \
            LANES(VSETL, 0, k % lanes | (uint64_t)(k / 7 % lanes) << 8, i == k % lanes ? ((U *)&b)[k / 7 % lanes] : x); \
            ok &= reduce_ref(LANE, lanes, N, &a); \
        } \
        return ok; \
    }

static unsigned clz_ref(uint64_t x, unsigned n)
{
    unsigned k = 0;

    while (k < n && !(x >> (n - 1 - k) & 1))
        k++;
    return k;
}

/* The exact value of x * 2^by, rounded down or to nearest, clamped to something that fits any test. */
static __int128 shift_wide(__int128 x, int by, bool round)
{
    for (; by > 0; by--)
        if (x < ((__int128)1 << 100) && x > -((__int128)1 << 100))
            x *= 2;
    if (by < -100)
        by = -100;
    if (by == 0)
        return x;
    if (round)
        x += (__int128)1 << (-by - 1);
    for (; by < 0; by++)
        x = x >= 0 ? x / 2 : -((-x + 1) / 2);
    return x;
}

static uint64_t shift_ref(__int128 x, int by, unsigned n, bool round)
{
    if (by >= 0)
        return by >= (int)n ? 0 : (uint64_t)x << by;
    return (uint64_t)shift_wide(x, by, round);
}

static uint64_t lane_of(const IrVal *v, unsigned n, unsigned i)
{
    uint64_t x = 0;
    memcpy(&x, (const uint8_t *)v + i * n / 8, n / 8);
    return x;
}

static bool reduce_ref(unsigned lane, unsigned lanes, unsigned n, const IrVal *a)
{
    uint64_t sum = 0, mask = n == 64 ? UINT64_MAX : (1ull << n) - 1, min = UINT64_MAX, max = 0;
    int64_t smin = INT64_MAX;
    IrInsn op = {.type = (uint8_t)lane, .lane = (uint8_t)lane, .lanes = (uint8_t)lanes};
    bool ok = true;

    for (unsigned i = 0; i < lanes; i++) {
        uint64_t x = lane_of(a, n, i);
        int64_t sx = (int64_t)(x << (64 - n)) >> (64 - n);
        sum += x;
        min = x < min ? x : min;
        max = x > max ? x : max;
        smin = sx < smin ? sx : smin;
    }
    op.op = IR_VSUM;
    ok &= expect("vsum", eval(op, *a, *a, *a).u64[0], sum & mask);
    op.op = IR_VMINV;
    ok &= expect("vminv", eval(op, *a, *a, *a).u64[0], min);
    op.op = IR_VMAXV;
    ok &= expect("vmaxv", eval(op, *a, *a, *a).u64[0], max);
    op.op = IR_VMINV;
    op.aux = IR_SIGNED;
    ok &= expect("vminv signed", eval(op, *a, *a, *a).u64[0], (uint64_t)smin & mask);
    op = (IrInsn){.op = IR_VGET, .type = (uint8_t)lane, .lane = (uint8_t)lane, .imm = lanes - 1};
    ok &= expect("vget", eval(op, *a, *a, *a).u64[0], lane_of(a, n, lanes - 1));
    return ok;
}

LANE_TESTS(lanes8, IR_I8, uint8_t, int8_t, int32_t)
LANE_TESTS(lanes16, IR_I16, uint16_t, int16_t, int32_t)
LANE_TESTS(lanes32, IR_I32, uint32_t, int32_t, int64_t)
LANE_TESTS(lanes64, IR_I64, uint64_t, int64_t, __int128)

/* --- width changes and products ------------------------------------------------------------------------------------------ */

#define WIDE_TESTS(NAME, LANE_, U, S, WIDE_LANE, WU, WS) \
    static bool NAME(void) \
    { \
        const unsigned n = 8 * sizeof(U), lanes = 64 / n; \
        bool ok = true; \
        for (unsigned k = 0; k < ROUNDS; k++) { \
            IrVal a = rndv(), b = rndv(), e[5]; \
            unsigned hi = k & 1; \
            memset(e, 0, sizeof e); \
            for (unsigned i = 0; i < lanes; i++) { \
                U x = ((U *)&a)[hi * lanes + i], y = ((U *)&b)[hi * lanes + i]; \
                ((WU *)&e[0])[i] = x; \
                ((WU *)&e[1])[i] = (WU)(WS)(S)x; \
                ((WU *)&e[2])[i] = (WU)((WU)x * y); \
                ((WU *)&e[3])[i] = (WU)((WS)(S)x * (S)y); \
                ((WU *)&e[4])[i] = (WU)(2 * (__int128)(S)x * (S)y == (__int128)1 << (2 * n - 1) ? \
                                        ((WU)1 << (2 * n - 1)) - 1 : (WU)(2 * (unsigned __int128)((__int128)(S)x * (S)y))); \
            } \
            IrInsn op = {.type = IR_V128, .lane = LANE_, .lanes = (uint8_t)lanes}; \
            op.op = IR_VWIDEN, op.aux = (uint8_t)hi; \
            ok &= VEC("vwiden", op, a, b, e[0]); \
            op.aux = (uint8_t)(hi | IR_SIGNED); \
            ok &= VEC("vwiden signed", op, a, b, e[1]); \
            op.op = IR_VMULL, op.aux = (uint8_t)hi; \
            ok &= VEC("vmull", op, a, b, e[2]); \
            op.aux = (uint8_t)(hi | IR_SIGNED); \
            ok &= VEC("vmull signed", op, a, b, e[3]); \
            op.op = IR_VSATDMULL, op.aux = (uint8_t)hi; \
            if (n > 8) \
                ok &= VEC("satdmull", op, a, b, e[4]); \
            IrVal t = {{0, 0}}, ss = t, uu = t, su = t, pl = t; \
            for (unsigned i = 0; i < lanes; i++) { \
                WU x = ((WU *)&a)[i]; \
                const __int128 smax = ((__int128)1 << (n - 1)) - 1, umax = ((__int128)1 << n) - 1; \
                ((U *)&t)[i] = (U)x; \
                ((U *)&ss)[i] = (U)sat((__int128)(WS)x, -smax - 1, smax); \
                ((U *)&uu)[i] = (U)sat((__int128)x, (__int128)0, umax); \
                ((U *)&su)[i] = (U)sat((__int128)(WS)x, (__int128)0, umax); \
                ((WU *)&pl)[i] = (WU)((WS)((S *)&a)[2 * i] + ((S *)&a)[2 * i + 1]); \
            } \
            op = (IrInsn){.op = IR_VNARROW, .type = IR_V128, .lane = WIDE_LANE, .lanes = (uint8_t)lanes}; \
            ok &= VEC("vnarrow", op, a, b, t); \
            op.aux = IR_NARROW_SS; \
            ok &= VEC("vnarrow ss", op, a, b, ss); \
            op.aux = IR_NARROW_UU; \
            ok &= VEC("vnarrow uu", op, a, b, uu); \
            op.aux = IR_NARROW_SU; \
            ok &= VEC("vnarrow su", op, a, b, su); \
            op = (IrInsn){.op = IR_VPADDL, .type = IR_V128, .lane = LANE_, .lanes = (uint8_t)(2 * lanes), .aux = IR_SIGNED}; \
            ok &= VEC("vpaddl", op, a, b, pl); \
        } \
        return ok; \
    }

static bool vec_is(const char *what, IrInsn op, IrVal a, IrVal b, IrVal want)
{
    IrVal got = eval(op, a, b, b);
    return expect_vec(what, &got, &want);
}
#define VEC vec_is

WIDE_TESTS(wide8, IR_I8, uint8_t, int8_t, IR_I16, uint16_t, int16_t)
WIDE_TESTS(wide16, IR_I16, uint16_t, int16_t, IR_I32, uint32_t, int32_t)
WIDE_TESTS(wide32, IR_I32, uint32_t, int32_t, IR_I64, uint64_t, int64_t)

/* --- against the host's vector instructions ------------------------------------------------------------------------------- */

static __m128i m(IrVal v)
{
    __m128i x;
    memcpy(&x, &v, 16);
    return x;
}

static IrVal un(__m128i x)
{
    IrVal v;
    memcpy(&v, &x, 16);
    return v;
}

static bool host_vector(void)
{
    bool ok = true;

    for (unsigned k = 0; k < ROUNDS; k++) {
        IrVal a = rndv(), b = rndv();
        IrInsn op = {.type = IR_V128, .lane = IR_I8, .lanes = 16};
        op.op = IR_VADDS_SAT;
        ok &= VEC("paddsb", op, a, b, un(_mm_adds_epi8(m(a), m(b))));
        op.op = IR_VHADD, op.aux = IR_ROUNDING;
        ok &= VEC("pavgb", op, a, b, un(_mm_avg_epu8(m(a), m(b))));
        op = (IrInsn){.op = IR_VTBL, .type = IR_V128, .lane = IR_I8, .lanes = 16};
        IrVal idx = b;
        for (unsigned i = 0; i < 16; i++)
            idx.u8[i] = idx.u8[i] < 16 ? idx.u8[i] : 0x80;
        ok &= VEC("pshufb", op, a, b, un(_mm_shuffle_epi8(m(a), m(idx))));
        op.op = IR_VEXT, op.imm = 5;
        ok &= VEC("palignr", op, a, b, un(_mm_alignr_epi8(m(b), m(a), 5)));
        op = (IrInsn){.op = IR_VSATDMULH, .type = IR_V128, .lane = IR_I16, .lanes = 8, .aux = IR_ROUNDING};
        IrVal want = un(_mm_mulhrs_epi16(m(a), m(b)));
        for (unsigned i = 0; i < 8; i++)
            if (a.u16[i] == 0x8000 && b.u16[i] == 0x8000)
                want.u16[i] = 0x7fff;
        ok &= VEC("pmulhrsw", op, a, b, want);
        op = (IrInsn){.op = IR_VPMULL, .type = IR_V128, .lane = IR_I64, .lanes = 1};
        ok &= VEC("pclmul", op, a, b, un(_mm_clmulepi64_si128(m(a), m(b), 0x00)));
        op.aux = 1;
        ok &= VEC("pclmul high", op, a, b, un(_mm_clmulepi64_si128(m(a), m(b), 0x11)));
        op = (IrInsn){.op = IR_VREV, .type = IR_V128, .lane = IR_I8, .lanes = 16, .imm = 32};
        ok &= VEC("rev32", op, a, b, un(_mm_shuffle_epi8(m(a), _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3))));
        op = (IrInsn){.op = IR_VREV, .type = IR_V128, .lane = IR_I16, .lanes = 8, .imm = 64};
        ok &= VEC("rev64 h", op, a, b, un(_mm_shuffle_epi8(m(a), _mm_set_epi8(9, 8, 11, 10, 13, 12, 15, 14, 1, 0, 3, 2, 5, 4, 7, 6))));
    }
    return ok;
}

/* Dot and matrix products, saturating accumulations, estimates: from their definitions. */
static bool products(void)
{
    bool ok = true;

    for (unsigned k = 0; k < ROUNDS; k++) {
        IrVal a = rndv(), b = rndv(), c = rndv(), dot = {{0, 0}}, mm = {{0, 0}}, rd = {{0, 0}}, rq = {{0, 0}};
        unsigned signs = k & 3;
        for (unsigned i = 0; i < 4; i++) {
            uint32_t d = a.u32[i], p = d;
            for (unsigned j = 0; j < 4; j++)
                d += (uint32_t)((signs & 1 ? (int8_t)b.u8[4 * i + j] : b.u8[4 * i + j]) *
                                (signs & 2 ? (int8_t)c.u8[4 * i + j] : c.u8[4 * i + j]));
            for (unsigned j = 0; j < 8; j++)
                p += (uint32_t)((signs & 1 ? (int8_t)b.u8[8 * (i / 2) + j] : b.u8[8 * (i / 2) + j]) *
                                (signs & 2 ? (int8_t)c.u8[8 * (i % 2) + j] : c.u8[8 * (i % 2) + j]));
            dot.u32[i] = d;
            mm.u32[i] = p;
            __int128 x = (__int128)(int32_t)a.u32[i] * (1ll << 32) + (k & 4 ? -2 : 2) * (__int128)(int32_t)b.u32[i] * (int32_t)c.u32[i] + (1ll << 31);
            x >>= 32;
            rd.u32[i] = (uint32_t)sat(x, (__int128)INT32_MIN, (__int128)INT32_MAX);
            rq.u32[i] = x < INT32_MIN || x > INT32_MAX ? UINT32_MAX : 0;
        }
        IrInsn op = {.op = IR_VDOT, .type = IR_V128, .lane = IR_I32, .lanes = 4, .aux = (uint8_t)signs};
        IrVal got = eval(op, a, b, c);
        ok &= expect_vec("vdot", &got, &dot);
        op.op = IR_VMMLA;
        got = eval(op, a, b, c);
        ok &= expect_vec("vmmla", &got, &mm);
        op.op = IR_VRDMLAH;
        op.aux = k & 4 ? 1 : 0;
        got = eval(op, a, b, c);
        ok &= expect_vec("satrdmlah", &got, &rd);
        op.op = IR_VRDMLAH_Q;
        got = eval(op, a, b, c);
        ok &= expect_vec("satrdmlah.q", &got, &rq);
    }
    return ok;
}

/* The estimates approximate 1/x and 1/sqrt(x) to 8 bits. */
static bool estimates(void)
{
    bool ok = true;

    for (unsigned k = 0; k < ROUNDS; k++) {
        uint32_t x = (uint32_t)test_random(&seed) | 0x80000000, y = (uint32_t)test_random(&seed) | 0x40000000;
        IrVal a = {{x | (uint64_t)(x & 0x7fffffff) << 32, 0}}, b = {{y | (uint64_t)(y & 0x3fffffff) << 32, 0}};
        IrInsn op = {.op = IR_VURECPE, .type = IR_V128, .lane = IR_I32, .lanes = 2};
        IrVal r = eval(op, a, a, a);
        double got = r.u32[0] / 4294967296.0 * 2, want = 1 / (x / 4294967296.0);
        ok &= got / want > 1 - 1 / 128.0 && got / want < 1 + 1 / 128.0 && r.u32[1] == 0xffffffff && (r.u32[0] & 0x7fffff) == 0;
        op.op = IR_VURSQRTE;
        r = eval(op, b, b, b);
        got = r.u32[0] / 4294967296.0 * 2;
        got *= got * (y / 4294967296.0);
        ok &= got > 1 - 1 / 64.0 && got < 1 + 1 / 64.0 && r.u32[1] == 0xffffffff;
    }
    return ok;
}

/* A 64-bit shape ignores what is above it and leaves zeros there. */
static bool half_shapes(void)
{
    static const uint16_t ops[] = {IR_ADD, IR_AND, IR_NOT, IR_VZIP1, IR_VUZP2, IR_VEXT, IR_VHADD, IR_VTBL, IR_VREV, IR_VADDP};
    bool ok = true;

    for (unsigned k = 0; k < ROUNDS; k++) {
        IrVal a = rndv(), b = rndv(), a2 = a, b2 = b;
        unsigned op = ops[k % (sizeof ops / sizeof *ops)];
        IrInsn i = {.op = (uint16_t)op, .type = IR_V128, .lane = IR_I8, .lanes = 8, .imm = op == IR_VREV ? 32 : 3};
        if (op != IR_VTBL)
            a2.u64[1] = rnd();
        b2.u64[1] = rnd();
        IrVal x = eval(i, a, b, b), y = eval(i, a2, b2, b2);
        ok &= expect_vec(ir_ops[op].name, &x, &y) & expect(ir_ops[op].name, x.u64[1], 0);
    }
    return ok;
}

int main(void)
{
    TEST_BEGIN();
    TEST("scalars of 32 bits", scalar32());
    TEST("scalars of 64 bits", scalar64());
    TEST("width changes", widths());
    TEST("crc32", crc());
    TEST("lanes 8x16", lanes8(16));
    TEST("lanes 8x8", lanes8(8));
    TEST("lanes 16x8", lanes16(8));
    TEST("lanes 16x4", lanes16(4));
    TEST("lanes 32x4", lanes32(4));
    TEST("lanes 32x2", lanes32(2));
    TEST("lanes 64x2", lanes64(2));
    TEST("widening 8", wide8());
    TEST("widening 16", wide16());
    TEST("widening 32", wide32());
    TEST("host vectors", host_vector());
    TEST("products", products());
    TEST("estimates", estimates());
    TEST("64-bit shapes", half_shapes());
    return TEST_END();
}
