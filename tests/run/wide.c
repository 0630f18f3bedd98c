/*
 * Loops with more vector values alive than there are registers: 28 accumulators, shifted among each other, with a system call,
 * a fault that looks at every register, an invalid operation, and signals in the midst. Prints sums, the same in every engine.
 */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <ucontext.h>

enum { TURNS = 300 };

static uint64_t sum;
static volatile sig_atomic_t faults, ticks;
static char *page;
static const uint64_t numbers[4] = {0x3ff0000000000000, 0x3fe8000000000000, 3, 0x123456789abcdef};
static const uint64_t traps[4] = {0x7ff0000000000001, 0x7f8000017f800001, 0x7f8000007f800000, 0}; /* signalling NaNs, infinity and 0 */

static void mix(const void *data, size_t size)
{
    const uint8_t *p = data;

    for (size_t k = 0; k < size; k++)
        sum = (sum ^ p[k]) * 0x100000001b3;
}

static struct fpsimd_context *vectors(const ucontext_t *uc)
{
    uint8_t *p = (uint8_t *)&((ucontext_t *)uc)->uc_mcontext.__reserved[0];
    struct _aarch64_ctx head;

    for (;; p += head.size) {
        memcpy(&head, p, sizeof head);
        if (head.magic == FPSIMD_MAGIC)
            return (struct fpsimd_context *)p;
    }
}

static void on_fault(int sig, siginfo_t *info, void *ucv)
{
    ucontext_t *uc = ucv;
    struct fpsimd_context *v = vectors(uc);
    (void)sig;

    mix(v->vregs, sizeof v->vregs);
    uc->uc_mcontext.regs[2] -= (uintptr_t)page;
    mix(uc->uc_mcontext.regs, 4 * sizeof uc->uc_mcontext.regs[0]);
    uc->uc_mcontext.regs[2] += (uintptr_t)page;
    v->vregs[7] += 0x100; /* goes on with this */
    v->vregs[27] ^= 1;
    faults++;
    mprotect(page, 4 * 4096, PROT_READ | PROT_WRITE);
    (void)info;
}

static void on_tick(int sig)
{
    (void)sig;
    ticks++;
}

/* Registers by number: x0 from, x1 turns, x2 address of a store; v0 to v27 the accumulators, v28 and up the input. */
#define EACH(f) f(0) f(1) f(2) f(3) f(4) f(5) f(6) f(7) f(8) f(9) f(10) f(11) f(12) f(13) f(14) f(15) f(16) f(17) f(18) f(19) \
    f(20) f(21) f(22) f(23) f(24) f(25) f(26) f(27)
#define SET(n) "dup v" #n ".2d, x3\nadd x3, x3, x0\n"
#define PUT(n) "str q" #n ", [%0, 16 * " #n "]\n"
#define REG(n) , "v" #n

#define ADD(n) "add v" #n ".2d, v" #n ".2d, v28.2d\neor v28.16b, v28.16b, v" #n ".16b\n"
#define FMA(n) "fmla v" #n ".4s, v28.4s, v29.4s\n"
#define FMS(n) "fmadd d" #n ", d28, d29, d" #n "\n"
#define SAT(n) "sqadd v" #n ".8h, v" #n ".8h, v28.8h\next v28.16b, v28.16b, v" #n ".16b, #3\n"
#define SHIFT "mov v30.16b, v0.16b\nmov v0.16b, v9.16b\nmov v9.16b, v18.16b\nmov v18.16b, v27.16b\nmov v27.16b, v30.16b\n"

/* A function of a loop: `step` on each accumulator in every turn, then `more`. */
#define LOOP(name, step, more)                                                                                              \
    static __attribute__((noinline)) void name(uint64_t out[56], const uint64_t *in, long turns, char *at)                    \
    {                                                                                                                        \
        __asm__ volatile("mov x0, %1\nmov x1, %2\nmov x2, %3\nld1 {v28.2d, v29.2d}, [x0]\nmov x0, #0x1234\nmov x3, #0x3f80\n"  \
                         EACH(SET) "1:\n" EACH(step) more "subs x1, x1, #1\nb.ne 1b\n" EACH(PUT)                                \
                         : : "r"(out), "r"(in), "r"(turns), "r"(at)                                                          \
                         : "x0", "x1", "x2", "x3", "x4", "x8", "memory", "cc", "v28", "v29", "v30", "v31" EACH(REG));             \
    }

LOOP(plain, ADD, "")
LOOP(fused, FMA, "")
LOOP(scalar, FMS, "")
LOOP(stores, ADD, "str x1, [x2], #8\n" SHIFT)
LOOP(fused_stores, FMA, "str q13, [x2], #16\n")
LOOP(saturates, SAT, SHIFT)
LOOP(estimates, ADD, "frecpe v31.4s, v28.4s\nfsqrt v30.2d, v28.2d\nurecpe v31.4s, v28.4s\n") /* done by C functions, some of it */
LOOP(helps, ADD, ".arch armv8.3-a\npacga x4, x1, x0\n")                                                        /* a helper, with --cpu=max */
LOOP(calls, ADD, "mov x8, #178\nmov x0, #0\nsvc #0\n")                                    /* gettid */

typedef void Loop(uint64_t *, const uint64_t *, long, char *);

/* Stores of protected loops come to the second page in the midst of their turns. */
static void run(const char *name, Loop *loop, const uint64_t *in, int protect)
{
    uint64_t out[56];

    sum = 0xcbf29ce484222325;
    for (int k = 0; k < 3; k++) {
        mprotect(page + 4096, 4096, protect ? PROT_NONE : PROT_READ | PROT_WRITE);
        loop(out, in, k == 2 ? 1 : TURNS, page + 3072);
        mix(out, sizeof out);
    }
    printf("%s %016llx %d\n", name, (unsigned long long)sum, (int)faults);
}

int main(void)
{
    struct sigaction fault = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO}, tick = {.sa_handler = on_tick, .sa_flags = SA_RESTART};
    struct itimerval often = {{0, 500}, {0, 500}}, never = {{0, 0}, {0, 0}};

    page = mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    sigaction(SIGSEGV, &fault, NULL);
    sigaction(SIGALRM, &tick, NULL);
    for (int turn = 0; turn < 2; turn++) {
        if (turn)
            setitimer(ITIMER_REAL, &often, NULL);
        run("plain", plain, numbers, 0);
        run("fused", fused, numbers, 0);
        run("scalar", scalar, numbers, 0);
        run("stores", stores, numbers, 0);
        run("stores", stores, numbers, 1);
        run("fused_stores", fused_stores, numbers, 1);
        run("traps", fused, traps, 0);
        run("traps", scalar, traps, 0);
        run("saturates", saturates, numbers, 0);
        run("estimates", estimates, numbers, 0);
        run("helps", getauxval(AT_HWCAP) & HWCAP_PACG ? helps : plain, numbers, 0);
        run("calls", calls, numbers, 0);
    }
    setitimer(ITIMER_REAL, &never, NULL);
    return 0;
}
