/* base/fp against MPFR: values and flags of arithmetic and conversions, every format, rounding mode and flush rule. */
#include "fp_random.h"
#include "test.h"

#include <inttypes.h>
#include <mpfr.h>

typedef enum { T_ADD, T_SUB, T_MUL, T_DIV, T_SQRT, T_FMA, T_RECPS, T_RSQRTS, T_CVT, T_ITOF, T_NKINDS } Kind;
static const char *const kind_name[] = {"add", "sub", "mul", "div", "sqrt", "fma", "recps", "rsqrts", "convert", "from_int"};

/* One case: operands in format `from`, result in `to`. */
typedef struct Case {
    Kind kind;
    FpFmt from, to;
    uint64_t a, b, c;
    FpRound r;
    unsigned bits, fbits;
    bool is_signed;
    FpEnv env;
} Case;

static mpfr_t A, B, C, R, W;
static int ternary;

static void limits(FpFmt f, bool bounded)
{
    mpfr_set_emin(bounded ? fmt_of[f].emin - fmt_of[f].fbits + 1 : mpfr_get_emin_min() / 2);
    mpfr_set_emax(bounded ? 2 - fmt_of[f].emin : mpfr_get_emax_max() / 2);
}

static void load(mpfr_t x, FpFmt f, uint64_t v)
{
    uint64_t frac = v & low_mask(fmt_of[f].fbits), exp = v >> fmt_of[f].fbits & low_mask(fmt_of[f].ebits);
    bool neg = v >> (fmt_of[f].bits - 1) & 1;

    if (exp == low_mask(fmt_of[f].ebits)) {
        frac ? mpfr_set_nan(x) : mpfr_set_inf(x, neg ? -1 : 1);
        return;
    }
    if (exp)
        frac |= 1ull << fmt_of[f].fbits;
    else
        exp = 1;
    mpfr_set_uj_2exp(x, frac, (long)exp - 1 + fmt_of[f].emin - fmt_of[f].fbits, MPFR_RNDZ);
    mpfr_setsign(x, x, neg, MPFR_RNDZ);
}

static uint64_t store(FpFmt f, const mpfr_t x)
{
    uint64_t sign = mpfr_signbit(x) ? 1ull << (fmt_of[f].bits - 1) : 0;
    uint64_t inf = low_mask(fmt_of[f].ebits) << fmt_of[f].fbits;

    if (mpfr_zero_p(x))
        return sign;
    if (mpfr_inf_p(x))
        return sign | inf;
    long exp = mpfr_get_exp(x) - 1;
    if (exp < fmt_of[f].emin)
        exp = fmt_of[f].emin;
    mpfr_t t;
    mpfr_init2(t, 64);
    limits(f, false);
    mpfr_abs(t, x, MPFR_RNDZ);
    mpfr_mul_2si(t, t, fmt_of[f].fbits - exp, MPFR_RNDZ);
    uint64_t mant = mpfr_get_uj(t, MPFR_RNDZ);
    mpfr_clear(t);
    return sign | (((uint64_t)(exp - fmt_of[f].emin) << fmt_of[f].fbits) + mant);
}

static mpfr_rnd_t mode_of(FpRound r)
{
    static const mpfr_rnd_t m[] = {[FP_RNE] = MPFR_RNDN, [FP_RUP] = MPFR_RNDU, [FP_RDN] = MPFR_RNDD, [FP_RTZ] = MPFR_RNDZ};
    return m[r];
}

/* The operation into x, in the precision of x. A, B, C hold the operands. */
static int compute(mpfr_t x, const Case *k, mpfr_rnd_t m)
{
    switch (k->kind) {
    case T_ADD: return mpfr_add(x, A, B, m);
    case T_SUB: return mpfr_sub(x, A, B, m);
    case T_MUL: return mpfr_mul(x, A, B, m);
    case T_DIV: return mpfr_div(x, A, B, m);
    case T_SQRT: return mpfr_sqrt(x, A, m);
    case T_FMA: return mpfr_fma(x, A, B, C, m);
    case T_RECPS: case T_RSQRTS: return mpfr_fma(x, A, B, C, m);
    default: return mpfr_set(x, A, m);
    }
}

static uint64_t flush_in(FpFmt f, uint64_t v, const FpEnv *e, unsigned *flags)
{
    bool sub = !(v >> fmt_of[f].fbits & low_mask(fmt_of[f].ebits)) && (v & low_mask(fmt_of[f].fbits));

    if (!sub || !(f == FP_F16 ? e->flush16 : e->flush))
        return v;
    if (f != FP_F16)
        *flags |= FP_DENORMAL;
    return v & 1ull << (fmt_of[f].bits - 1);
}

static uint64_t nan_in(FpFmt from, FpFmt to, uint64_t v, const FpEnv *e, unsigned *flags)
{
    uint64_t quiet = low_mask(fmt_of[to].ebits + 1) << (fmt_of[to].fbits - 1);

    if (fp_bits_snan(from, v))
        *flags |= FP_INVALID;
    if (e->default_nan || e->nan_rule == FP_NAN_RISCV)
        return quiet;
    uint64_t sign = v >> (fmt_of[from].bits - 1) & 1, frac = v & low_mask(fmt_of[from].fbits);
    int d = fmt_of[to].fbits - fmt_of[from].fbits;
    return sign << (fmt_of[to].bits - 1) | quiet | (d >= 0 ? frac << d : frac >> -d);
}

/* The NaN result of operands in Arm's or RISC-V's rules; false when there is no NaN operand. */
static bool expect_nan(const Case *k, uint64_t a, uint64_t b, uint64_t c, uint64_t *res, unsigned *flags)
{
    bool fused = k->kind == T_FMA;
    uint64_t v[3] = {fused ? c : a, fused ? a : b, fused ? b : b};
    int n = fused ? 3 : k->kind == T_SQRT || k->kind == T_CVT ? 1 : 2, best = -1;

    for (int i = n - 1; i >= 0; i--)
        if (fp_bits_nan(k->from, v[i]))
            best = i;
    for (int i = n - 1; i >= 0; i--)
        if (fp_bits_snan(k->from, v[i]))
            best = i;
    if (best < 0)
        return false;
    *res = nan_in(k->from, k->to, v[best], &k->env, flags);
    for (int i = 0; i < n; i++)
        if (fp_bits_snan(k->from, v[i]))
            *flags |= FP_INVALID;
    if (fused && fp_bits_nan(k->from, c) && ((mpfr_zero_p(A) && mpfr_inf_p(B)) || (mpfr_inf_p(A) && mpfr_zero_p(B)))) {
        *flags |= FP_INVALID;
        if (!fp_bits_snan(k->from, c))
            *res = low_mask(fmt_of[k->to].ebits + 1) << (fmt_of[k->to].fbits - 1);
    }
    return true;
}

/* Round the operation in modes that MPFR has not: from two neighbours towards zero and the exact value. */
static void round_odd_or_away(const Case *k)
{
    FpFmt f = k->to;
    long exp = mpfr_zero_p(A) || mpfr_inf_p(A) ? fmt_of[f].emin : mpfr_get_exp(A) - 1;
    long unit = (exp < fmt_of[f].emin ? fmt_of[f].emin : exp) - fmt_of[f].fbits;

    limits(f, false);
    mpfr_set(W, A, MPFR_RNDN);
    if (mpfr_zero_p(A) || mpfr_inf_p(A)) {
        mpfr_set(R, A, MPFR_RNDN);
        ternary = 0;
        return;
    }
    mpfr_mul_2si(W, W, -unit, MPFR_RNDN); /* exact; the result is an integer in these units */
    mpfr_t t;
    mpfr_init2(t, 300);
    if (k->r == FP_RNA) {
        mpfr_round(t, W);
    } else {
        mpfr_trunc(t, W);
        if (!mpfr_equal_p(t, W) && !mpfr_zero_p(t)) {
            mpfr_t h;
            mpfr_init2(h, 300);
            mpfr_div_2ui(h, t, 1, MPFR_RNDZ);
            if (mpfr_integer_p(h))
                mpfr_add_si(t, t, mpfr_signbit(W) ? -1 : 1, MPFR_RNDZ);
            mpfr_clear(h);
        } else if (!mpfr_equal_p(t, W)) {
            mpfr_set_si(t, mpfr_signbit(W) ? -1 : 1, MPFR_RNDZ);
        }
    }
    ternary = mpfr_cmp(t, W);
    mpfr_mul_2si(R, t, unit, MPFR_RNDN);
    mpfr_setsign(R, R, mpfr_signbit(A), MPFR_RNDN);
    mpfr_clear(t);
}

static bool is_tiny(const Case *k, mpfr_rnd_t m)
{
    limits(k->to, false);
    mpfr_set_prec(W, fmt_of[k->to].fbits + 1);
    compute(W, k, k->env.tiny_after ? m : MPFR_RNDZ);
    if (k->kind == T_RSQRTS)
        mpfr_div_2ui(W, W, 1, MPFR_RNDZ);
    bool tiny = mpfr_regular_p(W) && mpfr_get_exp(W) - 1 < fmt_of[k->to].emin;
    mpfr_set_prec(W, 4400);
    return tiny;
}

/* Expected result of a case whose operands are not NaNs. */
static uint64_t expect_number(const Case *k, unsigned *flags)
{
    FpFmt f = k->to;
    bool odd = k->r == FP_RTO || k->r == FP_RNA;
    mpfr_rnd_t m = odd ? MPFR_RNDZ : mode_of(k->r);
    bool flush = f == FP_F16 ? k->env.flush16 && k->kind != T_CVT : k->env.flush;
    /* a tie that matters to tininess is above an odd significand: RNE and RNA agree */
    bool tiny = is_tiny(k, k->r == FP_RNA ? MPFR_RNDN : m);

    mpfr_set_prec(R, fmt_of[f].fbits + 1);
    limits(f, false);
    mpfr_clear_flags();
    if (odd) {
        round_odd_or_away(k);
    } else {
        ternary = compute(R, k, m);
        if (k->kind == T_RSQRTS) /* with exponents unbounded halving is exact */
            mpfr_div_2ui(R, R, 1, MPFR_RNDZ);
        limits(f, true);
        ternary = mpfr_check_range(R, ternary, m);
        if (mpfr_number_p(R))
            ternary = mpfr_subnormalize(R, ternary, m);
    }
    if (mpfr_nan_p(R)) {
        *flags |= FP_INVALID;
        return low_mask(fmt_of[f].ebits + 1) << (fmt_of[f].fbits - 1);
    }
    if (mpfr_divby0_p())
        *flags |= FP_DIVZERO;
    if (flush && tiny) {
        *flags |= FP_UNDERFLOW;
        return mpfr_signbit(R) ? 1ull << (fmt_of[f].bits - 1) : 0;
    }
    if (odd && mpfr_regular_p(R) && mpfr_get_exp(R) > 2 - fmt_of[f].emin) {
        *flags |= FP_OVERFLOW | FP_INEXACT;
        uint64_t inf = low_mask(fmt_of[f].ebits) << fmt_of[f].fbits;
        return (mpfr_signbit(R) ? 1ull << (fmt_of[f].bits - 1) : 0) | (inf - (k->r == FP_RTO));
    }
    if (mpfr_overflow_p())
        *flags |= FP_OVERFLOW | FP_INEXACT;
    if (ternary)
        *flags |= FP_INEXACT | (tiny ? FP_UNDERFLOW : 0);
    return store(f, R);
}

static void load_operands(const Case *k, uint64_t a, uint64_t b, uint64_t c)
{
    limits(FP_F64, false);
    load(A, k->from, a);
    load(B, k->from, b);
    load(C, k->from, c);
    if (k->kind == T_RECPS || k->kind == T_RSQRTS)
        mpfr_set_ui(C, k->kind == T_RECPS ? 2 : 3, MPFR_RNDN);
    if (k->kind == T_ITOF) {
        uint64_t v = k->a & low_mask(k->bits);
        if (k->is_signed && v >> (k->bits - 1))
            mpfr_set_sj(A, (int64_t)(v | ~low_mask(k->bits)), MPFR_RNDN);
        else
            mpfr_set_uj(A, v, MPFR_RNDN);
        mpfr_div_2ui(A, A, k->fbits, MPFR_RNDN);
    }
}

static uint64_t expect(const Case *k, unsigned *flags)
{
    uint64_t a = k->a, b = k->b, c = k->c, res;

    if (k->kind == T_RECPS || k->kind == T_RSQRTS)
        a ^= 1ull << (fmt_of[k->from].bits - 1);
    if (k->kind != T_ITOF && !(k->kind == T_CVT && k->from == FP_F16))
        a = flush_in(k->from, a, &k->env, flags);
    if (k->kind != T_ITOF && k->kind != T_SQRT && k->kind != T_CVT)
        b = flush_in(k->from, b, &k->env, flags);
    if (k->kind == T_FMA)
        c = flush_in(k->from, c, &k->env, flags);
    load_operands(k, a, b, c);
    if (k->kind != T_ITOF && expect_nan(k, a, b, c, &res, flags))
        return res;
    bool zero_inf = (mpfr_zero_p(A) && mpfr_inf_p(B)) || (mpfr_inf_p(A) && mpfr_zero_p(B));
    if ((k->kind == T_RECPS || k->kind == T_RSQRTS) && zero_inf)
        mpfr_set_zero(A, 1), mpfr_set_zero(B, 1);
    return expect_number(k, flags);
}

static uint64_t run(const Case *k, unsigned *flags)
{
    FpEnv e = k->env;
    uint64_t r;

    switch (k->kind) {
    case T_ADD: r = fp_add(k->from, k->a, k->b, &e); break;
    case T_SUB: r = fp_sub(k->from, k->a, k->b, &e); break;
    case T_MUL: r = fp_mul(k->from, k->a, k->b, &e); break;
    case T_DIV: r = fp_div(k->from, k->a, k->b, &e); break;
    case T_SQRT: r = fp_sqrt(k->from, k->a, &e); break;
    case T_FMA: r = fp_fma(k->from, k->a, k->b, k->c, &e); break;
    case T_RECPS: r = fp_recps(k->from, k->a, k->b, &e); break;
    case T_RSQRTS: r = fp_rsqrts(k->from, k->a, k->b, &e); break;
    case T_CVT: r = fp_convert(k->to, k->from, k->a, k->r, &e); break;
    default: r = fp_from_int(k->to, k->a, k->bits, k->is_signed, k->fbits, &e); break;
    }
    *flags = e.flags;
    return r;
}

static Case make(Kind kind, FpFmt f)
{
    Case k = {.kind = kind, .from = f, .to = f};

    k.a = rnd_fp(f, 0x3ff0000000000000 >> (64 - fmt_of[f].bits));
    k.b = rnd_fp(f, k.a);
    k.c = rnd_fp(f, k.a + k.b - ((low_mask(fmt_of[f].ebits) >> 1) << fmt_of[f].fbits));
    k.r = (FpRound)(rnd() % 4);
    k.env.round = (uint8_t)k.r;
    k.env.nan_rule = rnd() % 8 == 0 ? FP_NAN_RISCV : FP_NAN_ARM;
    k.env.default_nan = rnd() % 8 == 0;
    k.env.flush = rnd() % 4 == 0;
    k.env.flush16 = rnd() % 4 == 0;
    k.env.tiny_after = !k.env.flush && !k.env.flush16 && rnd() % 4 == 0;
    if (kind == T_CVT) {
        while (k.from == k.to)
            k.to = (FpFmt)(rnd() % 4);
        k.r = (FpRound)(rnd() % 6);
        /* operands near the limits of the target */
        if (rnd() & 1 && k.to != FP_F64 && k.from == FP_F64)
            k.a = (k.a & 0x800fffffffffffff) |
                  (1023 + fmt_of[k.to].emin * (rnd() & 1 ? 1 : -1) + rnd() % 30 - 20) << 52;
    }
    if (kind == T_ITOF) {
        k.bits = 16u << rnd() % 3;
        k.is_signed = rnd() & 1;
        k.fbits = rnd() % (k.bits + 1);
        k.a = rnd() & 1 ? rnd_frac(63) : rnd() >> rnd() % 64;
    }
    return k;
}

static bool try_kind(Kind kind, FpFmt f, unsigned long n)
{
    for (unsigned long i = 0; i < n; i++) {
        Case k = make(kind, f);
        unsigned want_flags = 0, flags;
        uint64_t want = expect(&k, &want_flags), got = run(&k, &flags);
        if (want == got && want_flags == flags)
            continue;
        printf("# %s %s->%s a=%" PRIx64 " b=%" PRIx64 " c=%" PRIx64 " bits=%u.%u signed=%d round=%d flush=%d,%d dn=%d rule=%d "
               "after=%d: got %" PRIx64 " flags %x, want %" PRIx64 " flags %x\n",
               kind_name[kind], fmt_of[k.from].name, fmt_of[k.to].name, k.a, k.b, k.c, k.bits, k.fbits, k.is_signed, k.r,
               k.env.flush, k.env.flush16, k.env.default_nan, k.env.nan_rule, k.env.tiny_after, got, flags, want, want_flags);
        return false;
    }
    return true;
}

int main(void)
{
    unsigned long n = rnd_count(20000);
    char name[64];

    TEST_BEGIN();
    mpfr_inits2(300, A, B, C, R, (mpfr_ptr)0);
    mpfr_init2(W, 4400);
    for (int kind = 0; kind < T_NKINDS; kind++) {
        for (int f = 0; f < 4; f++) {
            snprintf(name, sizeof name, "%s %s", kind_name[kind], fmt_of[f].name);
            TEST(name, try_kind((Kind)kind, (FpFmt)f, n));
        }
    }
    mpfr_clears(A, B, C, R, W, (mpfr_ptr)0);
    return TEST_END();
}
