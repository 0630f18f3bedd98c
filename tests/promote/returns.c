/*
 * Returns that do not go back to the last call, for test_returns.py.
 *   thunks N     N jumps by `ret` from within calls to one of two functions, which return for their caller
 *   spoiled N    N calls by way of a call that is never returned from, whose return address is replaced (a retpoline's way)
 *   yields N     N switches between two stacks, which run different code
 *   unwinds N    N times out of some calls at once, by setjmp and longjmp
 *   deep N       N levels of recursion, a hundred times
 *   turns N      N calls that return as they should, then N jumps by the same `ret`, then N calls again
 *   calls N      N system calls from within calls
 *   race SECONDS eight threads that jump by `ret`, while another changes where to: each must come where it was sent
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define THREADS 8
#define NEVER_INLINE __attribute__((noinline, noclone))

#define F(n) NEVER_INLINE unsigned f##n(unsigned x) { return x * 32 + n; }
F(0) F(1) F(2) F(3) F(4) F(5) F(6) F(7)
typedef unsigned Fn(unsigned);
static Fn *const fn[8] = {f0, f1, f2, f3, f4, f5, f6, f7};

/* The function is in x1. It returns for thunk_place. */
unsigned thunk_place(unsigned x, Fn *f);
/* The same, by a register that could be one of a real return too. */
unsigned maybe_place(unsigned x, void *to);
/* It calls a place that forgets that, and goes to the function instead; then returns itself. */
unsigned spoil_place(unsigned x, Fn *f);
__asm__(".text\n"
        ".macro function name\n"
        ".global \\name\n"
        ".type \\name, %function\n"
        "\\name:\n"
        ".endm\n"
        ".macro end name\n"
        ".size \\name, . - \\name\n"
        ".endm\n"
        "function thunk_place\n add w0, w0, #1; mov x9, x1; cbz x9, 1f; nop; ret x9; 1: ret\n end thunk_place\n"
        "function maybe_place\n mov x9, x30; cbz x1, 1f; mov x9, x1; 1: add w0, w0, #1; ret x9\n end maybe_place\n"
        "function spoil_place\n"
        "stp x29, x30, [sp, #-16]!; mov x2, x1; bl 2f; ldp x29, x30, [sp], #16; add w0, w0, #1; ret\n"
        "2: mov x3, x30; bl 3f; brk #1; 3: adr x9, 4f; add w0, w0, #1; mov x30, x9; ret; 4: mov x30, x3; br x2\n"
        "end spoil_place\n");

static NEVER_INLINE unsigned outer(unsigned (*place)(unsigned, Fn *), unsigned x, Fn *f)
{
    unsigned r = place(x, f);
    __asm__ volatile("" : "+r"(r));
    return r + 3;
}

static unsigned thunks(long n, unsigned (*place)(unsigned, Fn *))
{
    unsigned x = 1;
    for (long i = 0; i < n; i++)
        x = outer(place, x, i % 8 ? f1 : f2);
    return x;
}

/* --- stacks ------------------------------------------------------------------------------------------------------------ */

void switch_stack(void **from, void *to);
__asm__("function switch_stack\n"
        "sub sp, sp, #160\n"
        "stp x19, x20, [sp, #0]; stp x21, x22, [sp, #16]; stp x23, x24, [sp, #32]; stp x25, x26, [sp, #48]\n"
        "stp x27, x28, [sp, #64]; stp x29, x30, [sp, #80]; stp d8, d9, [sp, #96]; stp d10, d11, [sp, #112]\n"
        "stp d12, d13, [sp, #128]; stp d14, d15, [sp, #144]\n"
        "mov x9, sp; str x9, [x0]; mov sp, x1\n"
        "ldp x19, x20, [sp, #0]; ldp x21, x22, [sp, #16]; ldp x23, x24, [sp, #32]; ldp x25, x26, [sp, #48]\n"
        "ldp x27, x28, [sp, #64]; ldp x29, x30, [sp, #80]; ldp d8, d9, [sp, #96]; ldp d10, d11, [sp, #112]\n"
        "ldp d12, d13, [sp, #128]; ldp d14, d15, [sp, #144]\n"
        "add sp, sp, #160\n"
        "ret\n"
        "end switch_stack\n");

static void *one, *two;
static unsigned passed;

static NEVER_INLINE void yield_one(unsigned x) { passed = x; switch_stack(&one, two); __asm__ volatile("" ::: "memory"); }
static NEVER_INLINE void yield_two(unsigned x) { passed = x; switch_stack(&two, one); __asm__ volatile("" ::: "memory"); }
static NEVER_INLINE void produce(unsigned x) { yield_two(x + 7); __asm__ volatile(""); }

static void second(void)
{
    for (unsigned x = 0;; x = x * 3 + passed)
        produce(x);
}

static unsigned yields(long n)
{
    static _Alignas(16) char stack[1 << 16];
    unsigned x = 0;
    uint64_t *top = (uint64_t *)(void *)(stack + sizeof stack - 160);
    top[11] = (uintptr_t)second; /* x30 */
    two = top;
    for (long i = 0; i < n; i++) {
        yield_one(x);
        x = x * 5 + passed;
    }
    return x;
}

/* --- others ------------------------------------------------------------------------------------------------------------ */

static NEVER_INLINE void throw_from(jmp_buf to, unsigned depth)
{
    if (depth)
        throw_from(to, depth - 1);
    else if (to)
        longjmp(to, 1);
    __asm__ volatile("");
}

static NEVER_INLINE unsigned try(unsigned x)
{
    jmp_buf here;
    if (!setjmp(here))
        throw_from(here, 3);
    return x * 5 + 1;
}

static NEVER_INLINE unsigned try_outer(unsigned x) { unsigned r = try(x); __asm__ volatile("" : "+r"(r)); return r + 1; }

static NEVER_INLINE unsigned levels(unsigned n, unsigned x)
{
    unsigned r = n ? levels(n - 1, x * 3 + n) : x;
    __asm__ volatile("" : "+r"(r));
    return r + 1;
}

static NEVER_INLINE long call_inner(void) { long r = syscall(SYS_getppid); __asm__ volatile("" : "+r"(r)); return r; }
static NEVER_INLINE long call_outer(void) { long r = call_inner(); __asm__ volatile("" : "+r"(r)); return r; }

static unsigned turn(long n, bool jump)
{
    unsigned x = 1;
    for (long i = 0; i < n; i++)
        x = outer((unsigned (*)(unsigned, Fn *))maybe_place, x, jump ? f3 : NULL);
    return x;
}

/* --- race -------------------------------------------------------------------------------------------------------------- */

static _Atomic unsigned which;
static atomic_bool stop;
static atomic_ulong calls, wrong;

static void *racer(void *arg)
{
    unsigned long n = 0, bad = 0;
    unsigned x = (unsigned)(uintptr_t)arg;
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        for (unsigned i = 0; i < 1000; i++, n++) {
            unsigned k = atomic_load_explicit(&which, memory_order_relaxed);
            bad += outer(i % 2 ? thunk_place : spoil_place, x + i, fn[k]) != (x + i + 1) * 32 + k + (i % 2 ? 3 : 4);
        }
        x += 12345;
    }
    calls += n;
    wrong += bad;
    return NULL;
}

static int race(long seconds)
{
    pthread_t th[THREADS];
    struct timespec start, now, pause = {0, 100000};
    unsigned seed = 1;
    for (uintptr_t i = 0; i < THREADS; i++)
        pthread_create(&th[i], NULL, racer, (void *)i);
    clock_gettime(CLOCK_MONOTONIC, &start);
    do {
        seed = seed * 1664525u + 1013904223u;
        atomic_store(&which, (seed >> 12) % (1u << (seed >> 28) % 4)); /* now few targets, now many */
        nanosleep(&pause, NULL);
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (now.tv_sec - start.tv_sec < seconds);
    atomic_store(&stop, true);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(th[i], NULL);
    printf("wrong %lu\n", wrong);
    fprintf(stderr, "%lu calls\n", calls);
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
    if (!strcmp(argv[1], "thunks"))
        x = thunks(n, thunk_place);
    if (!strcmp(argv[1], "spoiled"))
        x = thunks(n, spoil_place);
    if (!strcmp(argv[1], "yields"))
        x = yields(n);
    for (long i = 0; !strcmp(argv[1], "unwinds") && i < n; i++)
        x = try_outer(x);
    for (long i = 0; !strcmp(argv[1], "deep") && i < 100; i++)
        x = levels((unsigned)n, x);
    for (int k = 0; !strcmp(argv[1], "turns") && k < 3; k++)
        x += turn(n, k == 1);
    for (long i = 0; !strcmp(argv[1], "calls") && i < n; i++)
        x += call_outer() > 0;
    printf("%u\n", x);
    return 0;
}
