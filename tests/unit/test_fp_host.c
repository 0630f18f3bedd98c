/* base/fp against this host's SSE and FMA units, under x86's rules: values and flags, every rounding mode. */
#include "fp_random.h"
#include "test.h"

#include <immintrin.h>
#include <inttypes.h>

typedef enum { H_ADD, H_SUB, H_MUL, H_DIV, H_SQRT, H_FMA, H_CVT, H_INT32, H_INT64, H_FROM32, H_FROM64, H_CMP, H_NKINDS } Kind;
static const char *const kind_name[] = {"add", "sub", "mul", "div", "sqrt", "fma", "convert", "to int32", "to int64",
                                        "from int32", "from int64", "compare"};

#define MXCSR_MASKED 0x1f80u

static unsigned mxcsr_rounding(FpRound r)
{
    static const unsigned rc[] = {[FP_RNE] = 0, [FP_RDN] = 1, [FP_RUP] = 2, [FP_RTZ] = 3};
    return MXCSR_MASKED | rc[r] << 13;
}

static unsigned flags_of(unsigned mxcsr)
{
    return (mxcsr & 1 ? FP_INVALID : 0) | (mxcsr & 4 ? FP_DIVZERO : 0) | (mxcsr & 8 ? FP_OVERFLOW : 0) |
           (mxcsr & 16 ? FP_UNDERFLOW : 0) | (mxcsr & 32 ? FP_INEXACT : 0);
}

/* From COMIS's answer in CF (1), PF (4) and ZF (64). */
static unsigned relation(uint64_t ah)
{
    return ah & 4 ? FP_UN : ah & 64 ? FP_EQ : ah & 1 ? FP_LT : FP_GT;
}

/* Assembly, so that the compiler moves nothing across the changes of MXCSR. */
#define HOST1(insn, r, x) __asm__ volatile(insn " %1, %0" : "=x"(r) : "x"(x))
#define HOST2(insn, r, x, y) __asm__ volatile(insn " %2, %1, %0" : "=x"(r) : "x"(x), "x"(y))

static uint64_t host64(Kind k, uint64_t ia, uint64_t ib, uint64_t ic)
{
    double a, b, c, r = 0;
    float f;
    uint64_t v = 0;
    uint32_t w;

    memcpy(&a, &ia, 8);
    memcpy(&b, &ib, 8);
    memcpy(&c, &ic, 8);
    switch (k) {
    case H_ADD: HOST2("vaddsd", r, a, b); break;
    case H_SUB: HOST2("vsubsd", r, a, b); break;
    case H_MUL: HOST2("vmulsd", r, a, b); break;
    case H_DIV: HOST2("vdivsd", r, a, b); break;
    case H_SQRT: HOST1("sqrtsd", r, a); break;
    case H_FMA:
        r = c;
        __asm__ volatile("vfmadd231sd %2, %1, %0" : "+x"(r) : "x"(a), "x"(b));
        break;
    case H_CVT:
        HOST1("cvtsd2ss", f, a);
        memcpy(&w, &f, 4);
        return w;
    case H_INT32: __asm__ volatile("cvtsd2si %1, %k0" : "=r"(v) : "x"(a)); return (uint32_t)v;
    case H_INT64: __asm__ volatile("cvtsd2si %1, %q0" : "=r"(v) : "x"(a)); return v;
    case H_FROM32: __asm__ volatile("cvtsi2sdl %1, %0" : "+x"(r) : "r"((uint32_t)ia)); break;
    case H_FROM64: __asm__ volatile("cvtsi2sdq %1, %0" : "+x"(r) : "r"(ia)); break;
    default:
        __asm__ volatile("comisd %2, %1; lahf; movzbl %%ah, %k0" : "=a"(v) : "x"(a), "x"(b));
        return relation(v);
    }
    memcpy(&v, &r, 8);
    return v;
}

static uint64_t host32(Kind k, uint64_t ia, uint64_t ib, uint64_t ic)
{
    float a, b, c, r = 0;
    double d;
    uint64_t v = 0;
    uint32_t w;

    memcpy(&a, &ia, 4);
    memcpy(&b, &ib, 4);
    memcpy(&c, &ic, 4);
    switch (k) {
    case H_ADD: HOST2("vaddss", r, a, b); break;
    case H_SUB: HOST2("vsubss", r, a, b); break;
    case H_MUL: HOST2("vmulss", r, a, b); break;
    case H_DIV: HOST2("vdivss", r, a, b); break;
    case H_SQRT: HOST1("sqrtss", r, a); break;
    case H_FMA:
        r = c;
        __asm__ volatile("vfmadd231ss %2, %1, %0" : "+x"(r) : "x"(a), "x"(b));
        break;
    case H_CVT:
        HOST1("cvtss2sd", d, a);
        memcpy(&v, &d, 8);
        return v;
    case H_INT32: __asm__ volatile("cvtss2si %1, %k0" : "=r"(v) : "x"(a)); return (uint32_t)v;
    case H_INT64: __asm__ volatile("cvtss2si %1, %q0" : "=r"(v) : "x"(a)); return v;
    case H_FROM32: __asm__ volatile("cvtsi2ssl %1, %0" : "+x"(r) : "r"((uint32_t)ia)); break;
    case H_FROM64: __asm__ volatile("cvtsi2ssq %1, %0" : "+x"(r) : "r"(ia)); break;
    default:
        __asm__ volatile("comiss %2, %1; lahf; movzbl %%ah, %k0" : "=a"(v) : "x"(a), "x"(b));
        return relation(v);
    }
    memcpy(&w, &r, 4);
    return w;
}

/* x86 gives the "integer indefinite" where Arm saturates. */
static uint64_t to_int(FpFmt f, uint64_t a, unsigned bits, FpEnv *e)
{
    uint64_t v = fp_to_int(f, a, bits, true, 0, FP_RCUR, e);

    return e->flags & FP_INVALID ? 1ull << (bits - 1) : v;
}

static uint64_t ours(Kind k, FpFmt f, uint64_t a, uint64_t b, uint64_t c, FpEnv *e)
{
    switch (k) {
    case H_ADD: return fp_add(f, a, b, e);
    case H_SUB: return fp_sub(f, a, b, e);
    case H_MUL: return fp_mul(f, a, b, e);
    case H_DIV: return fp_div(f, a, b, e);
    case H_SQRT: return fp_sqrt(f, a, e);
    case H_FMA: return fp_fma(f, a, b, c, e);
    case H_CVT: return fp_convert(f == FP_F64 ? FP_F32 : FP_F64, f, a, FP_RCUR, e);
    case H_INT32: return to_int(f, a, 32, e);
    case H_INT64: return to_int(f, a, 64, e);
    case H_FROM32: return fp_from_int(f, a, 32, true, 0, e);
    case H_FROM64: return fp_from_int(f, a, 64, true, 0, e);
    default: return fp_compare(f, a, b, true, e);
    }
}

static bool try_kind(Kind kind, FpFmt f, unsigned long n)
{
    for (unsigned long i = 0; i < n; i++) {
        uint64_t a = rnd_fp(f, (uint64_t)1 << (fmt_of[f].bits - 2)), b = rnd_fp(f, a), c = rnd_fp(f, a + b);
        FpEnv e = {.round = rnd() & 3, .nan_rule = FP_NAN_X86, .tiny_after = 1};
        unsigned saved = _mm_getcsr();

        _mm_setcsr(mxcsr_rounding((FpRound)e.round));
        uint64_t want = f == FP_F64 ? host64(kind, a, b, c) : host32(kind, a, b, c);
        unsigned want_flags = flags_of(_mm_getcsr());
        _mm_setcsr(saved);
        uint64_t got = ours(kind, f, a, b, c, &e);
        if (want == got && want_flags == e.flags)
            continue;
        printf("# %s %s a=%" PRIx64 " b=%" PRIx64 " c=%" PRIx64 " round=%d: got %" PRIx64 " flags %x, host %" PRIx64 " flags %x\n",
               kind_name[kind], fmt_of[f].name, a, b, c, e.round, got, e.flags, want, want_flags);
        return false;
    }
    return true;
}

int main(void)
{
    unsigned long n = rnd_count(100000);
    char name[64];

    TEST_BEGIN();
    for (int k = 0; k < H_NKINDS; k++) {
        for (int f = FP_F32; f <= FP_F64; f++) {
            snprintf(name, sizeof name, "%s %s as the host", kind_name[k], fmt_of[f].name);
            TEST(name, try_kind((Kind)k, (FpFmt)f, n));
        }
    }
    return TEST_END();
}
