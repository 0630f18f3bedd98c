/*
 * Indirect branches for test_promote.py.
 *   one N         N calls of one function through one place
 *   two N         the second function half of the time, by turns
 *   phases N      16 functions, N calls each, one after another
 *   back N        two functions, N calls each, eight times
 *   jump N        N jumps through a table of labels
 *   thunks N      N calls of a function from each of four places by thunks, as compilers make them against speculation
 *   low N, near N, far N  48 functions in turn: where addresses have 31 bits; above that, but close to each other; gigabytes apart
 *   race SECONDS  eight threads through the same places, while another changes where they lead thousands of times a second:
 *                 each call says where it went, and that must be where it was sent
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define THREADS 8
#define PLACES 4

#define MANY 48
#define CYCLE 40

#define F(n) static __attribute__((noinline)) unsigned f##n(unsigned x) { return x * 64 + n; }
F(0) F(1) F(2) F(3) F(4) F(5) F(6) F(7) F(8) F(9) F(10) F(11) F(12) F(13) F(14) F(15)
#define F8(n) F(n##0) F(n##1) F(n##2) F(n##3) F(n##4) F(n##5) F(n##6) F(n##7)
F8(2) F8(3) F8(4) F8(5) F8(6)
#define P8(n) f##n##0, f##n##1, f##n##2, f##n##3, f##n##4, f##n##5, f##n##6, f##n##7
typedef unsigned Fn(unsigned);
static Fn *const fn[16 + CYCLE] = {f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14, f15, P8(2), P8(3), P8(4), P8(5), P8(6)};
/* What fn[k] adds. */
static unsigned added(unsigned k)
{
    return k < 16 ? k : 20 + (k - 16) / 8 * 10 + k % 8;
}

__attribute__((noinline)) unsigned call_place(Fn *f, unsigned x)
{
    unsigned r = f(x);
    __asm__ volatile("" : "+r"(r));
    return r;
}

static unsigned jumps(long n)
{
    static const void *const to[] = {&&a, &&b, &&c};
    unsigned x = 1;
    for (long i = 0; i < n; i++) {
        goto *to[i % 7 ? 0 : 1 + i % 2];
    a:  x += 3; continue;
    b:  x *= 5; continue;
    c:  x ^= 7;
    }
    return x;
}

/* The function is in x1. The last place jumps: its callee returns to where it was called. */
unsigned thunk_place0(unsigned x, Fn *f), thunk_place1(unsigned x, Fn *f), thunk_place2(unsigned x, Fn *f), thunk_place3(unsigned x, Fn *f);
__asm__(".text\n"
        "thunk_br:     mov x16, x1; br x16; dsb sy; isb\n"
        "thunk_ret:    mov x17, x30; bl 1f; 0: wfe; b 0b; 1: mov x30, x17; ret x1\n"
        ".macro place name, thunk\n"
        ".global \\name\n"
        ".type \\name, %function\n"
        "\\name: stp x29, x30, [sp, #-16]!; bl \\thunk; ldp x29, x30, [sp], #16; ret\n"
        ".size \\name, . - \\name\n"
        ".endm\n"
        "place thunk_place0, thunk_br\n"
        "place thunk_place1, thunk_br\n"
        "place thunk_place2, thunk_ret\n"
        ".global thunk_place3\n"
        ".type thunk_place3, %function\n"
        "thunk_place3: b thunk_ret\n"
        ".size thunk_place3, . - thunk_place3\n");

static unsigned thunks(long n)
{
    unsigned (*const place[PLACES])(unsigned, Fn *) = {thunk_place0, thunk_place1, thunk_place2, thunk_place3};
    unsigned x = 1;
    for (long i = 0; i < n; i++)
        for (unsigned p = 0; p < PLACES; p++)
            x = place[p](x, fn[p + 4]);
    return x;
}

/* Functions that are made where `at` says, `step` bytes apart. */
static unsigned many(long n, uint64_t at, uint64_t step)
{
    Fn *to[MANY];
    unsigned x = 1;
    for (unsigned k = 0; k < MANY; k++) {
        uint64_t va = at + (k * 29 % MANY) * step; /* not in the order of their addresses */
        const uint32_t code[] = {0x0b000400 /* add w0, w0, w0, lsl #1 */, 0x11000000 | k << 10 /* add w0, w0, #k */, 0xd65f03c0 /* ret */};
        void *page = mmap((void *)(va & -4096), 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
        if (page == MAP_FAILED)
            exit(3);
        memcpy((void *)va, code, sizeof code);
        __builtin___clear_cache((char *)va, (char *)va + sizeof code);
        to[k] = (Fn *)va;
    }
    for (long i = 0; i < n; i++)
        x = call_place(to[i % MANY], x);
    return x;
}

static _Atomic unsigned which[PLACES];
static atomic_bool stop;
static atomic_ulong calls, wrong;

static __attribute__((noinline)) unsigned place0(unsigned k, unsigned x) { unsigned r = fn[k](x); __asm__ volatile("" : "+r"(r)); return r; }
static __attribute__((noinline)) unsigned place1(unsigned k, unsigned x) { unsigned r = fn[k](x); __asm__ volatile("" : "+r"(r)); return r; }
static __attribute__((noinline)) unsigned place2(unsigned k, unsigned x) { unsigned r = fn[k](x); __asm__ volatile("" : "+r"(r)); return r; }
static __attribute__((noinline)) unsigned place3(unsigned k, unsigned x) { return fn[k](x); } /* a tail call: a jump */

static void *racer(void *arg)
{
    unsigned (*const place[PLACES])(unsigned, unsigned) = {place0, place1, place2, place3};
    unsigned long n = 0, bad = 0;
    unsigned x = (unsigned)(uintptr_t)arg;
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        for (unsigned i = 0; i < 1000; i++) {
            unsigned p = (x + i) % PLACES, k = atomic_load_explicit(&which[p], memory_order_relaxed);
            if (p == PLACES - 1) /* many, one after the other */
                k += i / PLACES % CYCLE;
            bad += place[p](k, x + i) != (x + i) * 64 + added(k);
        }
        n += 1000;
        x += 12345;
    }
    calls += n;
    wrong += bad;
    return NULL;
}

static long resident_kib(void)
{
    char line[256];
    long kib = -1;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "VmRSS: %ld", &kib) == 1)
            break;
    if (f)
        fclose(f);
    return kib;
}

static int race(long seconds)
{
    long warm = 0;
    pthread_t th[THREADS];
    struct timespec start, now, pause = {0, 100000};
    unsigned seed = 1, changes = 0;
    for (uintptr_t i = 0; i < THREADS; i++)
        pthread_create(&th[i], NULL, racer, (void *)i);
    clock_gettime(CLOCK_MONOTONIC, &start);
    do {
        seed = seed * 1664525u + 1013904223u;
        unsigned spread = 1u << (seed >> 28) % 5; /* now few targets, now many */
        atomic_store(&which[(seed >> 8) % PLACES], (seed >> 12) % spread);
        changes++;
        nanosleep(&pause, NULL);
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (!warm && now.tv_sec - start.tv_sec >= seconds / 3)
            warm = resident_kib();
    } while (now.tv_sec - start.tv_sec < seconds);
    atomic_store(&stop, true);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(th[i], NULL);
    printf("wrong %lu\n", wrong);
    fprintf(stderr, "%lu calls, %u changes, %ld KiB, then %ld KiB\n", calls, changes, warm, resident_kib());
    return wrong != 0;
}

int main(int argc, char **argv)
{
    long n = argc > 2 ? atol(argv[2]) : 1;
    unsigned x = 1;
    if (argc < 2)
        return 2;
    if (!strcmp(argv[1], "race"))
        return race(n);
    if (!strcmp(argv[1], "jump"))
        x = jumps(n);
    if (!strcmp(argv[1], "thunks"))
        x = thunks(n);
    if (!strcmp(argv[1], "low"))
        x = many(n, 0x30000000, 4096 + 64);
    if (!strcmp(argv[1], "near"))
        x = many(n, 0x200000000000, 4096 + 64);
    if (!strcmp(argv[1], "far"))
        x = many(n, 0x200000000000, 0x140000040);
    for (long i = 0; !strcmp(argv[1], "one") && i < n; i++)
        x = call_place(f3, x);
    for (long i = 0; !strcmp(argv[1], "two") && i < n; i++)
        x = call_place(fn[i % 2], x);
    for (long k = 0; !strcmp(argv[1], "phases") && k < 16; k++)
        for (long i = 0; i < n; i++)
            x = call_place(fn[k], x);
    for (long k = 0; !strcmp(argv[1], "back") && k < 8; k++)
        for (long i = 0; i < n; i++)
            x = call_place(fn[k % 2], x);
    printf("%u\n", x);
    return 0;
}
