/* Tagged addresses: the top byte of a data address and of a branch's target is ignored, as Linux sets TCR_EL1.TBI0. */
#include "t.h"

#include <setjmp.h>
#include <sys/time.h>
#include <ucontext.h>

#define TAG(p, tag) ((void *)((uintptr_t)(p) | (uint64_t)(tag) << 56))

static sigjmp_buf env;
static volatile int fault_sig;
static volatile uint64_t fault_addr, fault_pc;
static volatile unsigned ticks, ticks_tagged;

static void on_fault(int sig, siginfo_t *info, void *uc)
{
    fault_sig = sig;
    fault_addr = (uintptr_t)info->si_addr;
    fault_pc = ((ucontext_t *)uc)->uc_mcontext.pc;
    siglongjmp(env, 1);
}

/* Where it is, and where it returns to. */
__attribute__((noinline)) static uint64_t here(uint64_t *ret)
{
    uint64_t pc;
    __asm__ volatile("adr %0, here" : "=r"(pc));
    *ret = (uintptr_t)__builtin_return_address(0);
    return pc;
}

static void test_branches(void)
{
    uint64_t ret, (*volatile tagged)(uint64_t *) = TAG(here, 0xab), pc, flags = 0;

    for (int k = 0; k < 3; k++) {
        OK(tagged(&ret) == (uintptr_t)here);
        OK(ret >> 56 == 0);
    }
    __asm__ volatile("adr x9, 1f\n orr x9, x9, #0x7f00000000000000\n br x9\n 1: adr %0, .\n"
                     "adr x30, 2f\n orr x30, x30, #0xff00000000000000\n ret\n nop\n 2: mov %1, #1\n"
                     : "=&r"(pc), "+r"(flags) : : "x9", "x30");
    OK(pc >> 56 == 0 && flags == 1);
}

/* What a fault says of a target: the tag is gone where bit 55 is clear. */
static int faults_at(uint64_t target, uint64_t want)
{
    if (sigsetjmp(env, 1) == 0) {
        ((void (*)(void))target)();
        return 0;
    }
    return fault_sig == SIGSEGV && fault_pc == want && fault_addr == want;
}

static void test_faults(void)
{
    OK(faults_at(0xab00000000001000, 0x1000));
    OK(faults_at(0x7f00800000001000, 0x0000800000001000));
    OK(faults_at(0xab80000000001000, 0xab80000000001000));
    OK(faults_at(0x0080000000001000, 0x0080000000001000));
}

static void on_tick(int sig, siginfo_t *info, void *uc)
{
    ticks++;
    ticks_tagged += ((ucontext_t *)uc)->uc_mcontext.pc >> 56 != 0;
}

__attribute__((noinline)) static void nothing(void)
{
    __asm__ volatile("");
}

/* A handler may have a tag; and no signal sees one in pc, however often it comes between a branch and its target. */
static void test_signals(void)
{
    struct sigaction sa = {.sa_sigaction = TAG(on_tick, 0x55), .sa_flags = SA_SIGINFO | SA_RESTART};
    struct itimerval every = {{0, 500}, {0, 500}}, never = {{0, 0}, {0, 0}};
    void (*volatile tagged)(void) = TAG(nothing, 0x33);

    sigaction(SIGALRM, &sa, NULL);
    raise(SIGALRM);
    OK(ticks == 1);
    setitimer(ITIMER_REAL, &every, NULL);
    while (ticks < 50)
        tagged();
    setitimer(ITIMER_REAL, &never, NULL);
    OK(ticks_tagged == 0);
}

static void test_data(void)
{
    static uint64_t cell[4];
    volatile uint64_t *p = TAG(cell, 0x81);
    uint64_t pair[2];

    p[0] = 5;
    __atomic_fetch_add(p, 2, __ATOMIC_SEQ_CST);
    OK(cell[0] == 7 && p[0] == 7);
    __asm__ volatile("stp %2, %3, [%4, #16]\n ldp %0, %1, [%4, #16]" : "=&r"(pair[0]), "=&r"(pair[1]) :
                     "r"(UINT64_C(11)), "r"(UINT64_C(12)), "r"(p) : "memory");
    OK(pair[0] == 11 && pair[1] == 12 && cell[2] == 11 && cell[3] == 12);
}

int main(void)
{
    struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};

    sigaction(SIGSEGV, &sa, NULL);
    test_branches();
    test_faults();
    test_signals();
    test_data();
    return t_done();
}
