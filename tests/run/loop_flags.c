/*
 * Condition flags in what a signal handler sees at the load of a loop, in its first and in later rounds: they are then
 * of different comparisons, or of none that the loop's code knows. Expected is what the same loop reads itself (mrs) in
 * front of each load.
 */
#include "flags_seen.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ROUNDS = 40 /* at most, of a loop */, TRIALS = 48, FAULTS = 14 };

/* p: what is loaded, which says where the loop goes; its flags at entry; where to note those at each load. Returns the last. */
typedef uint64_t Loop(const uint64_t *p, uint64_t nzcv, uint64_t *log);

/* Each round: note flags or not, leave in the middle by bit 4 of what was loaded, go one way or another by bit 0. */
#define LOAD "  note\n  ldr x3, [x0], #8\n  sub x9, x9, #1\n  cbz x9, 9f\n  tbnz x3, #4, 9f\n"

/* One way back, or another, after the same instructions. */
#define TWO_WAYS(set, back)                                                                             \
    "  tbnz x3, #0, 3f\n  " set "\n  " back " 2b\n  b 4f\n"                                             \
    "3: mul x7, x3, x3\n  " set "\n  " back " 2b\n4:\n"

#define LOOPS(X)                                                                                        \
    X(two_ways, LOAD TWO_WAYS("add x4, x4, #1\n  cmp x4, #12", "b.ne"))                                 \
    X(nest, LOAD TWO_WAYS("add x4, x4, #1\n  cmp x4, #3", "b.ne")                                       \
        "  add x8, x8, #1\n  cmp x8, #4\n  b.ne 1b\n")                                                  \
    X(nest_kinds, LOAD TWO_WAYS("add x4, x4, #1\n  cmp x4, #3", "b.ne")                                 \
        "  add x8, x8, #1\n  tst x8, #4\n  b.eq 1b\n")                                                  \
    X(deep, LOAD TWO_WAYS("add x4, x4, #1\n  cmp x4, #2", "b.ne")                                       \
        "  mov x4, #0\n  add x8, x8, #1\n  tst x8, #1\n  b.ne 2b\n"                                     \
        "  adds w10, w10, #1\n  cmp w10, #3\n  b.ne 1b\n")                                              \
    X(deeper, "5: mov x14, #0\n6: mov x4, #0\n7: " LOAD "  add x4, x4, #1\n  cmp x4, #2\n"              \
        "  tbnz x3, #0, 7b\n  b.ne 7b\n  add x14, x14, #1\n  cmp x14, #2\n  tbnz x3, #1, 6b\n"          \
        "  b.ne 6b\n  add x8, x8, #1\n  cmp x8, #2\n  tbnz x3, #2, 5b\n  b.ne 5b\n")                    \
    X(kept, LOAD "  tbnz x3, #0, 2b\n  add x4, x4, #1\n  cmp x4, #12\n  b.ne 2b\n")                     \
    X(counted, LOAD TWO_WAYS("subs w8, w8, #3", "b.ne"))                                                \
    X(tested, LOAD "  add x4, x4, #1\n" TWO_WAYS("tst x4, #7", "b.ne"))                                 \
    X(floats, LOAD "  add x4, x4, #1\n  scvtf d1, x4\n" TWO_WAYS("fcmp d1, d0", "b.ne"))                \
    X(registers, LOAD "  add x4, x4, #1\n" TWO_WAYS("cmp x4, x11", "b.ne"))

#define ENTER                                                                                           \
    "  mov x6, x2\n  mov x8, #0\n  mov x9, #40\n  mov w10, #0\n  mov x11, #12\n  scvtf d0, x11\n"        \
    "  adr x12, 1f\n  adr x13, flags_last\n  msr nzcv, x1\n  br x12\n1: mov x4, #0\n2: "
#define DEFINE(name, body)                                                                              \
    Loop name, noted_##name;                                                                            \
    __asm__(".globl " #name ", noted_" #name "\n.macro note\n.endm\n"                                   \
        #name ":\n" ENTER body "9: br x13\n"                                                            \
        ".purgem note\n.macro note\n  mrs x7, nzcv\n  str x7, [x6], #8\n.endm\n"                         \
        "noted_" #name ":\n" ENTER body "9: br x13\n.purgem note\n");
/* A branch that no region goes on behind: flags that a loop leaves with are only shown. */
__asm__("flags_last: mrs x0, nzcv\nret\n");
LOOPS(DEFINE)

static const struct {
    const char *name;
    Loop *fn, *noted;
} loops[] = {
#define ROW(name, body) {#name, name, noted_##name},
    LOOPS(ROW)
};

/* The load number k of the loop faults: what it loads begins k elements before `end`, behind which nothing may be read.
 * Where the loop ends before, its last flags are compared. */
static unsigned check(unsigned n, const uint64_t *data, uint64_t *end, unsigned k, uint64_t nzcv)
{
    uint64_t log[ROUNDS + 1], last;

    memset(log, 0xff, sizeof log);
    last = loops[n].noted(data, nzcv, log);
    uint64_t *p = memcpy(end - k, data, k * sizeof *p);
    seen = last;
    if (!sigsetjmp(away, 1))
        seen = loops[n].fn(log[k] == ~0ull ? data : p, nzcv, NULL);
    uint64_t want = log[k] == ~0ull ? last : log[k];
    if (seen == want)
        return 0;
    fprintf(stderr, "%s entered with %#llx: flags %#llx, not %#llx at load %u\n", loops[n].name, (unsigned long long)nzcv,
            (unsigned long long)seen, (unsigned long long)want, k);
    return 1;
}

int main(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *map = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint64_t x = 88172645463325252ull, data[ROUNDS];
    unsigned bad = map == MAP_FAILED || mprotect(map + page, page, PROT_NONE) || catch_faults();

    for (unsigned trial = 0; trial < TRIALS && !bad; trial++) {
        for (unsigned k = 0; k < ROUNDS; k++) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            data[k] = x & ((x >> 32) % 16 ? ~16ull : ~0ull);
        }
        for (unsigned n = 0; n < sizeof loops / sizeof *loops; n++)
            for (unsigned k = 0; k < FAULTS; k++)
                bad += check(n, data, (uint64_t *)(map + page), k, (uint64_t)(trial % 16) << 28);
    }
    return bad != 0;
}
