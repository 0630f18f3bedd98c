/*
 * Condition flags in what a signal handler sees at a faulting access, for everything that flags may be of. Expected is
 * what the guest reads itself (mrs) where the access succeeds.
 */
#include "flags_seen.h"

#include <stdio.h>
#include <stdlib.h>

/* x0 and x1 operands, x2 what is loaded from. Returns the flags. */
typedef uint64_t Case(uint64_t a, uint64_t b, const uint64_t *p);

/* A case's name, and its instructions. */
#define CASES(X)                                                        \
    X(cmp64, "cmp x0, x1\n")                                            \
    X(cmp32, "cmp w0, w1\n")                                            \
    X(cmp_small, "cmp x0, #5\n")                                        \
    X(cmp32_zero, "cmp w0, #0\n")                                       \
    X(cmn, "cmn x0, x1\n")                                              \
    X(subs_over, "subs x0, x0, x1\n")                                   \
    X(subs32_over, "subs w0, w0, #7\n")                                 \
    X(subs_both_gone, "subs x3, x0, x1\nmov x0, #1\nmov x4, x3\n")      \
    X(adds_over, "adds x0, x0, x1\n")                                   \
    X(adds32, "adds w5, w0, w1\n")                                      \
    X(tst, "tst x0, x1\n")                                              \
    X(tst32_mask, "tst w0, #0xff00\n")                                  \
    X(ands_over, "ands x0, x0, x1\n")                                   \
    X(bics, "bics w6, w0, w1\n")                                        \
    X(adcs, "cmp x0, x1\nadcs x5, x0, x1\n")                            \
    X(ccmp, "cmp x0, #3\nccmp x1, x0, #9, lt\n")                        \
    X(fcmp, "fmov d0, x0\nfmov d1, x1\nfcmp d0, d1\n")                  \
    X(set, "and x5, x0, #0xf0000000\nmsr nzcv, x5\n")

#define DEFINE(name, code) \
    Case flags_##name; \
    __asm__(".globl flags_" #name "\nflags_" #name ":\n" code "ldr x7, [x2]\nmrs x0, nzcv\nret\n");
CASES(DEFINE)

static const struct {
    const char *name;
    Case *fn;
} cases[] = {
#define ROW(name, code) {#name, flags_##name},
    CASES(ROW)
};

static const uint64_t values[] = {
    0, 1, 5, 7, 0xff00, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000, 0x3ff0000000000000, 0x7ff8000000000000,
    0x7fffffffffffffff, 0x8000000000000000, 0xffffffff00000005, 0xffffffffffffffff,
};
enum { NVALUES = sizeof values / sizeof *values };

static unsigned check(unsigned k, uint64_t a, uint64_t b)
{
    static const uint64_t good = 1;
    uint64_t want = cases[k].fn(a, b, &good) & FLAGS;

    seen = ~0ull;
    if (!sigsetjmp(away, 1))
        cases[k].fn(a, b, NULL);
    if (seen == want)
        return 0;
    fprintf(stderr, "%s of %#llx, %#llx: flags %#llx, not %#llx\n", cases[k].name, (unsigned long long)a,
            (unsigned long long)b, (unsigned long long)seen, (unsigned long long)want);
    return 1;
}

int main(void)
{
    unsigned bad = catch_faults() != 0;

    for (unsigned k = 0; k < sizeof cases / sizeof *cases; k++)
        for (unsigned i = 0; i < NVALUES; i++)
            for (unsigned j = 0; j < NVALUES; j++)
                bad += check(k, values[i], values[j]);
    return bad != 0;
}
