/*
 * Condition flags in what a signal handler sees at the load of a loop, in its first and in later rounds: they are then of different
 * comparisons, or of none that the loop's code knows. Expected is what the same loop reads itself (mrs) in front of each load.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#define FLAGS (0xfull << 28)

enum { ROUNDS = 40 /* at most, of a loop */, TRIALS = 48, FAULTS = 14 };

/* p: what is loaded, which says where the loop goes; its flags at entry; where to note those at each load. Returns the last. */
typedef uint64_t Loop(const uint64_t *p, uint64_t nzcv, uint64_t *log);

/* Each round: leave in the middle by bit 4 of what was loaded, go one way or another by bit 0. */
#define LOAD "ldr x3, [x0], #8\n  sub x9, x9, #1\n  cbz x9, 9f\n  tbnz x3, #4, 9f\n"

#define LOOPS(X)                                                                                                               \
    X(two_ways, LOAD "tbnz x3, #0, 3f\nadd x4, x4, #1\ncmp x4, #12\nb.ne 2b\nb 9f\n"                                        \
        "3: add x4, x4, #1\nmul x7, x3, x3\ncmp x4, #12\nb.ne 2b\n")                                                           \
    X(nest, LOAD "tbnz x3, #0, 3f\nadd x4, x4, #1\ncmp x4, #3\nb.ne 2b\nb 4f\n3: add x4, x4, #1\ncmp x4, #3\nb.ne 2b\n"     \
        "4: add x8, x8, #1\ncmp x8, #4\nb.ne 1b\n")                                                                            \
    X(nest_kinds, LOAD "tbnz x3, #0, 3f\nadd x4, x4, #1\ncmp x4, #3\nb.ne 2b\nb 4f\n3: add x4, x4, #1\ncmp x4, #3\n"        \
        "b.ne 2b\n4: add x8, x8, #1\ntst x8, #4\nb.eq 1b\n")                                                                   \
    X(deep, LOAD "tbnz x3, #0, 3f\nadd x4, x4, #1\ncmp x4, #2\nb.ne 2b\nb 4f\n3: add x4, x4, #1\ncmp x4, #2\n"        \
        "b.ne 2b\n4: mov x4, #0\nadd x8, x8, #1\ntst x8, #1\nb.ne 2b\nadds w10, w10, #1\ncmp w10, #3\nb.ne 1b\n")              \
    X(kept, LOAD "tbnz x3, #0, 2b\nadd x4, x4, #1\ncmp x4, #12\nb.ne 2b\n")                                                 \
    X(counted, LOAD "tbnz x3, #0, 3f\nadd w4, w4, #9\nsubs w8, w8, #3\nb.cc 2b\nb 9f\n3: subs w8, w8, #3\nb.ne 2b\n")       \
    X(tested, LOAD "add x4, x4, #1\ntbnz x3, #0, 3f\ntst x4, #7\nb.ne 2b\nb 9f\n3: tst x4, #7\nb.ne 2b\n")                  \
    X(floats, LOAD "add x4, x4, #1\nscvtf d1, x4\ntbnz x3, #0, 3f\nfcmp d1, d0\nb.ne 2b\nb 9f\n3: fcmp d1, d0\nb.ne 2b\n") \
    X(registers, LOAD "add x4, x4, x8\nadd x4, x4, #1\ntbnz x3, #0, 3f\ncmp x4, x11\nb.ne 2b\nb 9f\n"                       \
        "3: cmp x4, x11\nb.ne 2b\n")

#define ENTER "mov x6, x2\nmov x4, #0\nmov x8, #0\nmov x9, #40\nmov w10, #0\nmov x11, #12\nscvtf d0, x11\nadr x12, 1f\n"       \
    "adr x13, flags_last\nmsr nzcv, x1\nbr x12\n"
/* A branch that no region goes on behind: flags that the loop leaves with are only shown. */
__asm__("flags_last: mrs x0, nzcv\nret\n");
#define DEFINE(name, body)                                                                                            \
    Loop name, noted_##name;                                                                                                  \
    __asm__(".globl " #name ", noted_" #name "\n" #name ": " ENTER "1: mov x4, #0\n2: " body "9: br x13\n"         \
            "noted_" #name ": " ENTER "1: mov x4, #0\n2: mrs x7, nzcv\nstr x7, [x6], #8\n" body "9: br x13\n");
LOOPS(DEFINE)

static const struct {
    const char *name;
    Loop *fn, *noted;
} loops[] = {
#define ROW(name, body) {#name, name, noted_##name},
    LOOPS(ROW)
};

static volatile uint64_t seen;
static sigjmp_buf away;

static void on_fault(int sig, siginfo_t *info, void *uc)
{
    (void)sig;
    (void)info;
    seen = ((ucontext_t *)uc)->uc_mcontext.pstate & FLAGS;
    siglongjmp(away, 1);
}

/* The load number k of the loop faults: what it loads begins k elements before `end`, behind which nothing may be read. Where
 * the loop ends before, its last flags are compared. */
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
    struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *map = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint64_t x = 88172645463325252ull, data[ROUNDS];
    unsigned bad = map == MAP_FAILED || mprotect(map + page, page, PROT_NONE) || sigaction(SIGSEGV, &sa, NULL);

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
