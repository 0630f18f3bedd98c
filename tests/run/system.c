/* Instructions that need the system: identification and counter registers, memory copy and set, signed pointers, alignment. */
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

__asm__(".arch armv8.8-a+mops+rng+pauth+lse");

#define MRS(reg) ({ uint64_t v_; __asm__ volatile("mrs %0, " reg : "=r"(v_)); v_; })

static sigjmp_buf back;

static void on_signal(int sig, siginfo_t *info, void *uc)
{
    siglongjmp(back, sig << 8 | info->si_code);
}

static void cpy(void *d, const void *s, size_t n)
{
    __asm__ volatile("cpyp [%0]!, [%1]!, %2!\n cpym [%0]!, [%1]!, %2!\n cpye [%0]!, [%1]!, %2!"
                     : "+r"(d), "+r"(s), "+r"(n)::"memory", "cc");
}

static void set(void *d, int c, size_t n)
{
    __asm__ volatile("setp [%0]!, %1!, %x2\n setm [%0]!, %1!, %x2\n sete [%0]!, %1!, %x2"
                     : "+r"(d), "+r"(n) : "r"(c) : "memory", "cc");
}

static int copies(void)
{
    enum { SIZE = 3000000 };
    static char a[SIZE], b[SIZE];
    int bad = 0;
    for (int i = 0; i < SIZE; i++)
        a[i] = i * 13 + i / 256;
    for (int i = 0; i < 50; i++) {
        size_t n = rand() % (SIZE / 2), to = rand() % (SIZE / 2), from = rand() % (SIZE / 2);
        memset(b, 0, sizeof b);
        cpy(b + to, a + from, n);
        bad += memcmp(b + to, a + from, n) != 0;
    }
    memcpy(b, a, SIZE);
    memmove(b + 100, b, SIZE / 2);
    cpy(a + 100, a, SIZE / 2);
    bad += memcmp(a, b, SIZE) != 0;
    memset(b + 7, 0xab, SIZE / 2 + 1);
    set(a + 7, 0x1ab, SIZE / 2 + 1);
    return bad + (memcmp(a, b, SIZE) != 0);
}

/* A wrong key's code is right by chance once in 2^7 (the bits between a 48-bit address and its tag): so several tries. */
static int wrong_key_accepted(void)
{
    int accepted = 0;
    for (uint64_t modifier = 0; modifier < 32; modifier++) {
        void *p = on_signal;
        __asm__ volatile("pacia %0, %1\n autib %0, %1" : "+r"(p) : "r"(modifier));
        accepted += p == on_signal;
    }
    return accepted > 8;
}

static int pointers(void)
{
    void *p = on_signal, *q = p;
    uint64_t generic1, generic2, modifier = 42;
    __asm__ volatile("pacia %0, %1" : "+r"(q) : "r"(modifier));
    __asm__ volatile("xpaci %0" : "+r"(p));
    __asm__ volatile("pacga %0, %2, %3\n pacga %1, %2, %3" : "=&r"(generic1), "=&r"(generic2) : "r"(p), "r"(modifier));
    __asm__ volatile("autia %0, %1" : "+r"(q) : "r"(modifier));
    return (p != on_signal) + (q != on_signal) + wrong_key_accepted() + (generic1 != generic2) + ((generic1 & 0xffffffff) != 0);
}

/* The signal and code of an access, 0 when there is none. */
static int unaligned(int kind)
{
    static _Alignas(16) char buf[64];
    int r = sigsetjmp(back, 1);
    if (r)
        return r;
    char *p = buf + (kind & 1 ? 8 : 7);
    uint64_t v = 1;
    switch (kind >> 1) {
    case 0: __asm__ volatile("ldar %0, [%1]" : "=r"(v) : "r"(p) : "memory"); break;
    case 1: __asm__ volatile("stlr %0, [%1]" ::"r"(v), "r"(p) : "memory"); break;
    case 2: __asm__ volatile("ldxr %0, [%1]" : "=r"(v) : "r"(p) : "memory"); break;
    case 3: __asm__ volatile("ldadd %0, %0, [%1]" : "+r"(v) : "r"(p) : "memory"); break;
    case 4: __asm__ volatile("cas %0, %0, [%1]" : "+r"(v) : "r"(p) : "memory"); break;
    default: __asm__ volatile("ldr %0, [%1]" : "=r"(v) : "r"(p) : "memory"); break;
    }
    return 0;
}

int main(void)
{
    struct sigaction sa = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    sigaction(SIGBUS, &sa, NULL);
    printf("hwcap %lx %lx\n", getauxval(AT_HWCAP), getauxval(AT_HWCAP2));
    printf("isar %lx %lx pfr %lx %lx\n", MRS("ID_AA64ISAR0_EL1"), MRS("ID_AA64ISAR1_EL1"), MRS("ID_AA64PFR0_EL1"),
           MRS("ID_AA64PFR1_EL1"));
    uint64_t t1 = MRS("CNTVCT_EL0"), t2 = MRS("CNTVCT_EL0");
    printf("counter %d, random %d\n", t2 > t1, MRS("RNDR") != MRS("RNDR"));
    printf("copies %d, pointers %d\n", copies(), pointers());
    for (int kind = 0; kind < 12; kind++)
        printf("%x ", unaligned(kind));
    printf("\n");
    return 0;
}
