/* Rounding and the cumulative flags, while code becomes hot: they are the same whatever runs it just then. */
#include "t.h"

enum { OVERFLOW = 4, ROUND_UP = 1 << 22, ROUND_DOWN = 2 << 22, TIMES = 30000 };

/* Functions, because what is called often is what becomes hot; each one's first call may be another's middle. */
static __attribute__((noinline)) uint64_t read_flags(void)
{
    uint64_t v;
    asm volatile("mrs %0, fpsr" : "=r"(v));
    return v;
}

static __attribute__((noinline)) void write_flags(uint64_t v)
{
    asm volatile("msr fpsr, %0" : : "r"(v));
}

static __attribute__((noinline)) void set_rounding(uint64_t v)
{
    asm volatile("msr fpcr, %0" : : "r"(v));
}

static __attribute__((noinline)) double multiply(double a, double b)
{
    double r;
    asm volatile("fmul %d0, %d1, %d2" : "=w"(r) : "w"(a), "w"(b));
    return r;
}

static __attribute__((noinline)) double divide(double a, double b)
{
    double r;
    asm volatile("fdiv %d0, %d1, %d2" : "=w"(r) : "w"(a), "w"(b));
    return r;
}

int main(void)
{
    unsigned lost = 0, invented = 0, wrong = 0;
    for (unsigned i = 0; i < TIMES; i++) {
        multiply(0x1p1000, 0x1p1000);
        lost += !(read_flags() & OVERFLOW);
        write_flags(0);
        invented += read_flags() != 0;
    }
    OK(lost == 0);
    OK(invented == 0);
    for (unsigned i = 0; i < TIMES; i++) {
        set_rounding(i & 1 ? ROUND_UP : ROUND_DOWN);
        wrong += divide(1, 3) != (i & 1 ? 0x1.5555555555556p-2 : 0x1.5555555555555p-2);
    }
    set_rounding(0);
    OK(wrong == 0);
    printf("# %u %u %u\n", lost, invented, wrong);
    return t_done();
}
