/*
 * An AArch64 program: runs each instruction of fp_ops.h on random operands under random FPCR values, and writes operands,
 * results and FPSR to stdout (FpCase records). Usage: fp_guest COUNT SEED.
 */
#include "../unit/fp_random.h"
#include "fp_case.h"

#include <stdio.h>

enum { FIRST = __COUNTER__ + 1 };

/* Loads, the instruction, stores; FPCR is set and FPSR cleared just before, read just after. */
#define RUN(text)                                                                                                           \
    __asm__ volatile(".arch armv8.6-a+fp16+bf16\n\t"                                                                        \
                     "ldp d0, d1, [%0, #16]\n\tldr d2, [%0, #32]\n\tmovi v3.2d, #0\n\tldr w6, [%0, #4]\n\t"                 \
                     "msr fpcr, x6\n\tmsr fpsr, xzr\n\t" text "\n\tmrs x6, fpsr\n\tmsr fpcr, xzr\n\t"                       \
                     "str w6, [%0, #8]\n\tstr d3, [%0, #40]"                                                                \
                     : : "r"(c) : "x4", "x5", "x6", "v0", "v1", "v2", "v3", "cc", "memory")

static void run(FpCase *c)
{
    switch (c->op) {
#define FPV(F, insn, expr) case __COUNTER__ - FIRST: RUN(insn); break;
#include "fp_ops.h"
#undef FPV
    }
}

static const uint8_t format[] = {
#define FPV(F, insn, expr) F,
#include "fp_ops.h"
#undef FPV
};

/* Rounding mode, FZ, FZ16, DN, AHP: half of the cases have rounding only. */
static uint32_t rnd_fpcr(void)
{
    uint32_t rounding = (uint32_t)(rnd() & 3) << 22;

    return rnd() & 1 ? rounding : rounding | (uint32_t)(rnd() & 1) << 24 | (uint32_t)(rnd() & 1) << 19 |
           (uint32_t)(rnd() % 4 == 0) << 25 | (uint32_t)(rnd() % 4 == 0) << 26;
}

int main(int argc, char **argv)
{
    unsigned long count = argc > 1 ? strtoul(argv[1], NULL, 0) : 1000;
    FpCase c = {0};

    rnd_state += argc > 2 ? strtoul(argv[2], NULL, 0) : 0;
    for (unsigned long i = 0; i < count; i++) {
        c.op = (uint32_t)(i % sizeof format);
        FpFmt f = (FpFmt)format[c.op];
        c.fpcr = rnd_fpcr();
        c.a = rnd_fp(f, 0x3ff0000000000000 >> (64 - fmt_of[f].bits));
        c.b = rnd_fp(f, c.a);
        c.c = rnd_fp(f, c.a + c.b - ((low_mask(fmt_of[f].ebits) >> 1) << fmt_of[f].fbits));
        run(&c);
        fwrite(&c, sizeof c, 1, stdout);
    }
    return 0;
}
