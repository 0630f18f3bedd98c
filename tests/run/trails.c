/*
 * Functions that call each other, hot: what tier 2 makes trails of (engine/trail.c). Every way out of the middle of
 * nested calls: side exits, long jumps, faults, switches of context, other targets of an indirect call. Prints how many
 * results were wrong. Signals come all the while, but with an argument.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/time.h>
#include <ucontext.h>

#define NOINLINE __attribute__((noinline, noclone))
#define ROUNDS 20000

static jmp_buf out;
static sigjmp_buf fault_out;
static volatile int ticks;
static uint64_t cell = 7;
static unsigned bad;

static void expect(uint64_t is, uint64_t should)
{
    bad += is != should;
}

NOINLINE static uint64_t inner(uint64_t x, uint64_t *p)
{
    __asm__ volatile("" ::: "x19", "x20", "x21");
    return x % 97 == 96 ? *p * 3 : *p + x; /* a side exit, two calls deep */
}

NOINLINE static uint64_t middle(uint64_t x, uint64_t *p)
{
    uint64_t a = inner(x, p);

    return a ^ inner(x + 1, p);
}

NOINLINE static uint64_t outer(uint64_t x, uint64_t *p)
{
    return middle(x, p) + (x & 1 ? 5 : 9);
}

static uint64_t inner_is(uint64_t x)
{
    return x % 97 == 96 ? 21 : 7 + x;
}

static uint64_t outer_is(uint64_t x)
{
    return (inner_is(x) ^ inner_is(x + 1)) + (x & 1 ? 5 : 9);
}

NOINLINE static uint64_t jump_inner(uint64_t x)
{
    if (x % 61 == 60)
        longjmp(out, 1);
    return x * 2;
}

NOINLINE static uint64_t jump_outer(uint64_t x)
{
    return jump_inner(x) + jump_inner(x / 2) + 1;
}

static void long_jumps(void)
{
    volatile unsigned jumps = 0, should = 0;

    for (volatile uint64_t x = 0; x < ROUNDS; x++) {
        if (x % 61 == 60 || x / 2 % 61 == 60)
            should++;
        if (setjmp(out))
            jumps++;
        else
            expect(jump_outer(x), x * 2 + x / 2 * 2 + 1);
    }
    expect(jumps, should);
}

/* What the handler of a fault in `inner` is shown: x, and the link register into `middle`. */
static uint64_t seen_x, seen_lr;

static void on_fault(int sig, siginfo_t *si, void *uc)
{
    const mcontext_t *m = &((ucontext_t *)uc)->uc_mcontext;

    seen_x = m->regs[0];
    seen_lr = m->regs[30];
    (void)sig;
    (void)si;
    siglongjmp(fault_out, 1);
}

static void faults(void)
{
    struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    volatile unsigned n = 0;

    sigaction(SIGSEGV, &sa, NULL);
    for (volatile uint64_t x = 0; x < ROUNDS; x++) {
        uint64_t *p = x % 211 == 210 ? (uint64_t *)8 : &cell;
        if (sigsetjmp(fault_out, 1)) {
            n++;
            expect(seen_x, x);
            expect(seen_lr - (uintptr_t)middle < 64, 1);
        } else {
            expect(outer(x, p), outer_is(x));
        }
    }
    expect(n, ROUNDS / 211);
}

static ucontext_t here, there;

NOINLINE static void deep_switch(unsigned depth)
{
    if (depth)
        deep_switch(depth - 1);
    else
        swapcontext(&there, &here);
    __asm__ volatile("");
}

static void other(void)
{
    for (unsigned k = 0;; k++)
        deep_switch(k % 4);
}

NOINLINE static uint64_t switch_outer(uint64_t x)
{
    if (x % 8 == 0)
        swapcontext(&here, &there);
    return x + 1;
}

static void switches(void)
{
    static char stack[64 << 10];

    getcontext(&there);
    there.uc_stack.ss_sp = stack;
    there.uc_stack.ss_size = sizeof stack;
    makecontext(&there, other, 0);
    for (uint64_t x = 0; x < ROUNDS; x++)
        expect(switch_outer(x), x + 1);
}

static uint64_t twice(uint64_t x)
{
    return 2 * x;
}

static uint64_t thrice(uint64_t x)
{
    return 3 * x;
}

static uint64_t (*volatile called)(uint64_t);

NOINLINE static uint64_t call(uint64_t x)
{
    return called(x) + 1;
}

static void indirect(void)
{
    for (uint64_t x = 0; x < ROUNDS; x++) {
        called = x % 16 == 5 ? thrice : twice;
        expect(call(x), (x % 16 == 5 ? 3 : 2) * x + 1);
    }
}

static void on_tick(int sig)
{
    (void)sig;
    ticks++;
}

int main(int argc, char **argv)
{
    struct itimerval every = {{0, 500}, {0, 500}};

    (void)argv;
    signal(SIGALRM, on_tick);
    if (argc < 2)
        setitimer(ITIMER_REAL, &every, NULL);
    for (uint64_t x = 0; x < ROUNDS; x++)
        expect(outer(x, &cell), outer_is(x));
    long_jumps();
    faults();
    switches();
    indirect();
    printf("%u bad\n", bad);
    return 0;
}
