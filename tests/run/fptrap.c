/*
 * Operations on NaNs, infinities and the edges of ranges, in loops that meet them at every turn: what a translator leaves to
 * a trap must become right, and stay right when it gives up trapping. In every rounding mode, in several threads, under a
 * timer whose handler computes too; first without a look at FPSR, then with one after every step. Prints a hash of all
 * results and of FPSR, which is what qemu-aarch64 7.2 prints. With an argument: only ordinary numbers.
 */
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>

enum { THREADS = 3, STEPS = 3000 };

typedef struct Step {
    uint64_t in[6];
    uint64_t out[34];
    uint64_t x[8];
} Step;

static volatile sig_atomic_t ticks;
static int calm;
static volatile double zero;

static void on_tick(int sig)
{
    ticks += zero / zero != 1.0;
}

/* One of everything; the same code at every step, so that each site has its share of what is special. */
static __attribute__((noinline)) void compute(Step *s)
{
    __asm__ volatile(
        "ldp q0, q1, [%0]\n\tldr q2, [%0, #32]\n\t"
        "fadd d3, d0, d1\n\tfsub d4, d0, d1\n\tfmul d5, d0, d1\n\tfdiv d6, d0, d1\n\tstp d3, d4, [%1]\n\tstp d5, d6, [%1, #16]\n\t"
        "fmadd d3, d0, d1, d2\n\tfmsub d4, d0, d1, d2\n\tfnmadd d5, d0, d1, d2\n\tfnmsub d6, d0, d1, d2\n\t"
        "stp d3, d4, [%1, #32]\n\tstp d5, d6, [%1, #48]\n\t"
        "fsqrt d3, d0\n\tfmin d4, d0, d1\n\tfmaxnm d5, d0, d1\n\tfrinta d6, d0\n\tstp d3, d4, [%1, #64]\n\tstp d5, d6, [%1, #80]\n\t"
        "fcvt s3, d0\n\tfcvt d4, s1\n\tfrecps d5, d0, d1\n\tfrsqrts s6, s0, s1\n\tstp d3, d4, [%1, #96]\n\tstp d5, d6, [%1, #112]\n\t"
        "fadd v3.4s, v0.4s, v1.4s\n\tmov v4.16b, v2.16b\n\tfmla v4.4s, v0.4s, v1.4s\n\tstp q3, q4, [%1, #128]\n\t"
        "fdiv v3.2d, v0.2d, v1.2d\n\tmov v4.16b, v2.16b\n\tfmls v4.2d, v0.2d, v1.2d\n\tstp q3, q4, [%1, #160]\n\t"
        "fminnm v3.4s, v0.4s, v1.4s\n\tfcvtzs v4.4s, v0.4s\n\tstp q3, q4, [%1, #192]\n\t"
        "fcmgt v3.2d, v0.2d, v1.2d\n\tstr d3, [%1, #216]\n\t"
        "fcmpe d0, d1\n\tmrs x3, nzcv\n\tfcmp s0, s1\n\tmrs x4, nzcv\n\tstp x3, x4, [%2]\n\t"
        "fcvtzs w3, d0\n\tfcvtzu x4, d0\n\tstp x3, x4, [%2, #16]\n\tfcvtas x3, d0\n\tfcvtms w4, d0\n\tstp x3, x4, [%2, #32]\n\t"
        "fcvtnu w3, s0\n\tfcvtps x4, s1\n\tstp x3, x4, [%2, #48]\n\t"
        "fcmp d0, d1\n\tfcsel d3, d0, d1, gt\n\tfcmp s0, s1\n\tfcsel s4, s1, s2, mi\n\tstp d3, d4, [%1, #224]\n\t"
        "fcmpe d0, d2\n\tfcsel d3, d0, d1, vs\n\tfcmp d1, d2\n\tfcsel d4, d2, d1, ne\n\tstp d3, d4, [%1, #240]\n\t"
        "fcmpe s0, s2\n\tfcsel s3, s0, s1, ge\n\tfcmp s1, s2\n\tfcsel s4, s2, s1, hi\n\tstp d3, d4, [%1, #256]\n\t"
        :
        : "r"(s->in), "r"(s->out), "r"(s->x)
        : "x3", "x4", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "cc", "memory");
}

static uint64_t next(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed >> 32 ^ *seed << 20;
}

static uint64_t operand(uint64_t *seed)
{
    static const uint64_t special[] = {
        0, 1ull << 63, 0x7ff0000000000000, 0xfff0000000000000, 0x7ff8000000000123, 0xfff8000000000456, 0x7ff0000000000789,
        0xfff4000000000abc, 0x0010000000000000, 0x000fffffffffffff, 0x7fefffffffffffff, 0x41dfffffffe00000, 0xc1e0000000000000,
        0x43e0000000000000, 0x7fc000017fa00002, 0xff80000000800000, 0x7f7fffff00000001, 0x3fdfffffffffffff, 0xbfe0000000000000,
    };
    uint64_t r = next(seed);

    if (calm)
        return 0x3ff000003f800000 | (r & 0xfffff000fffff);
    if (r & 1)
        return special[r / 2 % (sizeof special / sizeof special[0])];
    return 0x3ff0000000000000 + (next(seed) >> 12) + (r & 2 ? 0 : 0x3f80000000000000);
}

static uint64_t run(uint64_t seed, int look)
{
    uint64_t hash = seed, fpsr = 0;
    Step s;

    for (unsigned i = 0; i < STEPS; i++) {
        for (unsigned k = 0; k < 6; k++)
            s.in[k] = operand(&seed);
        __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)(i / 64 & 3) << 22));
        if (look)
            __asm__ volatile("msr fpsr, xzr");
        compute(&s);
        if (look)
            __asm__ volatile("mrs %0, fpsr" : "=r"(fpsr));
        for (unsigned k = 0; k < sizeof s.out / 8; k++)
            hash = (hash ^ s.out[k]) * 0x100000001b3;
        for (unsigned k = 0; k < 8; k++)
            hash = (hash ^ s.x[k]) * 0x100000001b3;
        hash = (hash ^ fpsr) * 0x100000001b3;
    }
    __asm__ volatile("msr fpcr, xzr");
    return hash;
}

static void *thread(void *seed)
{
    uint64_t first = run((uintptr_t)seed, 0), fpsr;

    __asm__ volatile("mrs %0, fpsr" : "=r"(fpsr));
    return (void *)(uintptr_t)(first ^ run((uintptr_t)seed, 1) ^ (fpsr & 1));
}

int main(int argc, char **argv)
{
    struct sigaction sa = {.sa_handler = on_tick, .sa_flags = SA_RESTART};
    struct itimerval every = {{0, 2000}, {0, 2000}}, off = {{0, 0}, {0, 0}};
    pthread_t t[THREADS];
    uint64_t sum = 0;

    calm = argc > 1;
    sigaction(SIGALRM, &sa, NULL);
    setitimer(ITIMER_REAL, &every, NULL);
    for (uintptr_t k = 0; k < THREADS; k++)
        pthread_create(&t[k], NULL, thread, (void *)(k + 1));
    for (unsigned k = 0; k < THREADS; k++) {
        void *hash;
        pthread_join(t[k], &hash);
        sum += (uintptr_t)hash;
    }
    setitimer(ITIMER_REAL, &off, NULL);
    printf("%016llx\n", (unsigned long long)sum);
    return 0;
}
