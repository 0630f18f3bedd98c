/*
 * Hot loops and what may happen in their middle: faults whose handlers look at every register and flag, signals, longjmp,
 * threads, forks, and code that changes under them. Each case runs long enough to be translated again as a whole.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#define N (1u << 16)
#define FLAG_N (1u << 31)
#define FLAG_Z (1u << 30)
#define FLAG_C (1u << 29)
#define FLAG_V (1u << 28)

static unsigned bad;

static void expect(int ok, const char *what, int line)
{
    if (!ok) {
        bad++;
        fprintf(stderr, "line %d: %s\n", line, what);
    }
}
#define EXPECT(c) expect(c, #c, __LINE__)

/* --- loops in assembler, whose state is known at every instruction ------------------------------------------------------ */

/* x0 first, x1 count, x2 sum, x4 hash, x5 flags at entry. */
uint64_t sum_loop(const uint64_t *p, uint64_t n, uint64_t sum, uint64_t unused, uint64_t hash, uint64_t nzcv);
extern char sum_load[];
__asm__(".globl sum_loop, sum_load\nsum_loop:\n  msr nzcv, x5\nsum_load:\n  ldr x3, [x0], #8\n  add x2, x2, x3\n  eor x4, x4, x2\n"
        "  fmov d1, x4\n  subs x1, x1, #1\n  b.ne sum_load\n  mov x0, x2\n  ret\n");

/* Two ways back, with flags of different kinds: adds of 32 bits for odd elements, ands for even ones. */
uint64_t two_ways(const uint32_t *p, const uint32_t *end, uint64_t acc);
extern char two_load[];
__asm__(".globl two_ways, two_load\ntwo_ways:\n  cmp x0, x0\ntwo_load:\n  ldr w3, [x0]\n  add x0, x0, #4\n  cmp x0, x1\n  b.eq 3f\n"
        "  tbz w3, #0, 2f\n  adds w2, w2, w3\n  b two_load\n2:\n  ands x4, x3, #0xff00\n  add x2, x2, x4\n  b two_load\n"
        "3:\n  mov x0, x2\n  ret\n");

/* A loop that is entered in two places. */
uint64_t irreducible(uint64_t n, uint64_t where);
__asm__(".globl irreducible\nirreducible:\n  mov x2, #0\n  cbnz x1, 2f\n1:\n  add x2, x2, #3\n  tbnz x0, #2, 2f\n  add x2, x2, #1\n"
        "2:\n  eor x2, x2, x0\n  subs x0, x0, #1\n  b.ne 1b\n  mov x0, x2\n  ret\n");

/* Loops in a loop in a loop, all leaving in the middle now and then. */
uint64_t nested(uint64_t a, uint64_t b, uint64_t c);
__asm__(".globl nested\nnested:\n  mov x9, #0\n1:\n  mov x4, x1\n2:\n  mov x5, x2\n3:\n  add x9, x9, x5\n  and x6, x9, #63\n"
        "  cmp x6, #13\n  b.eq 4f\n  subs x5, x5, #1\n  b.ne 3b\n4:\n  ror x9, x9, #7\n  cmp x6, #21\n  b.eq 5f\n  subs x4, x4, #1\n"
        "  b.hi 2b\n5:\n  eor x9, x9, x0\n  sub x0, x0, #1\n  cbnz x0, 1b\n  mov x0, x9\n  ret\n");

/* Calls of a leaf that now and then returns behind its call, and of one that calls again. */
uint64_t odd_returns(uint64_t n);
__asm__(".globl odd_returns\nodd_returns:\n  stp x29, x30, [sp, #-16]!\n  mov x2, #0\n1:\n  bl 8f\n  add x2, x2, #1\n  add x2, x2, #100\n"
        "  bl 9f\n  subs x0, x0, #1\n  b.ne 1b\n  mov x0, x2\n  ldp x29, x30, [sp], #16\n  ret\n"
        "8:\n  tst x0, #7\n  b.ne 7f\n  add x30, x30, #4\n7:\n  ret\n"
        "9:\n  str x30, [sp, #-16]!\n  bl 6f\n  ldr x30, [sp], #16\n  ret\n6:\n  eor x2, x2, x0\n  ret\n");

static uint64_t c_irreducible(uint64_t n, uint64_t where)
{
    uint64_t r = 0;
    int second = where != 0;
    do {
        if (!second) {
            r += 3;
            if (!(n & 4))
                r += 1;
        }
        second = 0;
        r ^= n;
    } while (--n);
    return r;
}

static uint64_t c_nested(uint64_t a, uint64_t b, uint64_t c)
{
    uint64_t r = 0, low = 0;
    do {
        for (uint64_t j = b;; ) {
            for (uint64_t k = c;; ) {
                r += k;
                low = r & 63;
                if (low == 13 || --k == 0)
                    break;
            }
            r = r >> 7 | r << 57;
            if (low == 21)
                break;
            if (--j == 0)
                break;
        }
        r ^= a;
    } while (--a);
    return r;
}

static uint64_t c_odd(uint64_t n)
{
    uint64_t r = 0;
    for (; n; n--) {
        r += n & 7 ? 101 : 100;
        r ^= n;
    }
    return r;
}

static void test_shapes(void)
{
    for (unsigned k = 0; k < 40; k++) {
        EXPECT(irreducible(5000 + k, k & 1) == c_irreducible(5000 + k, k & 1));
        EXPECT(nested(60 + k, 9, 11) == c_nested(60 + k, 9, 11));
        EXPECT(odd_returns(3000 + k) == c_odd(3000 + k));
    }
}

/* --- faults ------------------------------------------------------------------------------------------------------------- */

static ucontext_t seen;
static unsigned nseen;
static void *bad_page;
static size_t page;
static sigjmp_buf away;
static int jump_away;

static void on_fault(int sig, siginfo_t *info, void *uc)
{
    (void)sig;
    (void)info;
    seen = *(ucontext_t *)uc;
    nseen++;
    if (jump_away)
        siglongjmp(away, 1);
    mprotect(bad_page, page, PROT_READ | PROT_WRITE);
}

static uint64_t d1_of(const ucontext_t *uc)
{
    const struct fpsimd_context *f = (const void *)uc->uc_mcontext.__reserved;
    return f->head.magic == FPSIMD_MAGIC ? (uint64_t)f->vregs[1] : 0;
}

/* Elements [0, k) are read; the k-th faults. */
static void check_sum(const uint64_t *p, uint64_t n, uint64_t k, uint64_t nzcv)
{
    const mcontext_t *m = &seen.uc_mcontext;
    uint64_t sum = 7, hash = 9;
    for (uint64_t i = 0; i < k; i++) {
        sum += p[i];
        hash ^= sum;
    }
    EXPECT(m->pc == (uintptr_t)sum_load);
    EXPECT(m->regs[0] == (uintptr_t)(p + k));
    EXPECT(m->regs[1] == n - k);
    EXPECT(m->regs[2] == sum);
    EXPECT(m->regs[4] == hash);
    EXPECT(m->regs[5] == nzcv);
    EXPECT((m->pstate >> 28 << 28) == (k ? FLAG_C : nzcv)); /* subs: not zero, no borrow */
    EXPECT(k == 0 || m->regs[3] == p[k - 1]);
    EXPECT(k == 0 || d1_of(&seen) == hash);
}

static void test_sum(uint64_t *p)
{
    static const uint64_t entry[] = {0, FLAG_N | FLAG_V, FLAG_Z | FLAG_C, FLAG_V};
    for (unsigned round = 0; round < 24; round++) {
        uint64_t n = N / 8, k = round % 3 == 0 ? 0 : (page / 8) * (1 + round % 4), nzcv = entry[round % 4], sum = 7;
        for (uint64_t i = 0; i < n; i++)
            sum += p[i];
        bad_page = (char *)p + k * 8;
        mprotect(bad_page, page, PROT_NONE);
        nseen = 0;
        uint64_t got = sum_loop(p, n, 7, 0, 9, nzcv);
        EXPECT(nseen == 1 && got == sum);
        check_sum(p, n, k, nzcv);
    }
}

static void test_two_ways(uint32_t *p)
{
    const mcontext_t *m = &seen.uc_mcontext;
    uint32_t n = N / 4;
    for (unsigned round = 0; round < 24; round++) {
        uint32_t k = (uint32_t)(page / 4) * (1 + round % 8);
        uint64_t acc = round, flags = 0, at_k = 0, flags_k = 0;
        p[k - 1] = round & 1 ? p[k - 1] | 1 : p[k - 1] & ~1u; /* both ways lead to the fault */
        if (round % 6 == 2)
            p[k - 1] &= ~0xff00u;
        for (uint32_t i = 0; i < n - 1; i++) {
            if (i == k) {
                at_k = acc;
                flags_k = flags;
            }
            if (p[i] & 1) {
                uint64_t s = (uint64_t)(uint32_t)acc + p[i];
                uint32_t a = (uint32_t)acc, r = (uint32_t)s;
                flags = (r >> 31 ? FLAG_N : 0) | (r == 0 ? FLAG_Z : 0) | (s >> 32 ? FLAG_C : 0) |
                        ((~(a ^ p[i]) & (a ^ r)) >> 31 ? FLAG_V : 0);
                acc = r;
            } else {
                uint64_t x = p[i] & 0xff00;
                flags = x ? 0 : FLAG_Z;
                acc += x;
            }
        }
        bad_page = p + k;
        mprotect(bad_page, page, PROT_NONE);
        nseen = 0;
        uint64_t got = two_ways(p, p + n, round);
        EXPECT(nseen == 1 && got == acc);
        EXPECT(m->pc == (uintptr_t)two_load && m->regs[0] == (uintptr_t)(p + k) && m->regs[1] == (uintptr_t)(p + n));
        EXPECT(m->regs[2] == at_k && m->regs[3] == p[k - 1]);
        EXPECT((m->pstate >> 28 << 28) == flags_k);
    }
}

static void test_jump_away(uint64_t *p)
{
    jump_away = 1;
    for (volatile unsigned round = 0; round < 20; round++) {
        bad_page = (char *)p + page * (1 + round % 5);
        mprotect(bad_page, page, PROT_NONE);
        nseen = 0;
        if (sigsetjmp(away, 1) == 0) {
            sum_loop(p, N / 8, 7, 0, 9, 0);
            EXPECT(!"reached");
        }
        EXPECT(nseen == 1);
        check_sum(p, N / 8, page / 8 * (1 + round % 5), 0);
        mprotect(bad_page, page, PROT_READ | PROT_WRITE);
    }
    jump_away = 0;
}

static void test_faults(void)
{
    struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    page = (size_t)sysconf(_SC_PAGESIZE);
    uint64_t *p = mmap(NULL, N, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint64_t x = 88172645463325252ull;
    for (unsigned i = 0; i < N / 8; i++)
        p[i] = x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    sigaction(SIGSEGV, &sa, NULL);
    for (unsigned i = 0; i < 60; i++) /* hot first */
        sum_loop(p, 1000, 0, 0, 0, 0), two_ways((uint32_t *)p, (uint32_t *)p + 1000, 0);
    test_sum(p);
    test_two_ways((uint32_t *)p);
    test_jump_away(p);
    signal(SIGSEGV, SIG_DFL);
    munmap(p, N);
}

/* --- signals ------------------------------------------------------------------------------------------------------------ */

static volatile unsigned ticks, torn;

/* x1 is twice x0 and x2 its complement wherever the loop can be interrupted between its rounds; within one, at most one apart. */
extern char spin_start[], spin_end[];
uint64_t spin(volatile unsigned *stop, unsigned until);
__asm__(".globl spin, spin_start, spin_end\nspin:\n  mov x3, x0\n  mov w4, w1\n  mov x0, #0\n  mov x1, #0\n  mov x2, #-1\nspin_start:\n"
        "  add x0, x0, #1\n  add x1, x1, #2\n  sub x2, x2, #1\n  ldr w5, [x3]\n  cmp w5, w4\n  b.lo spin_start\nspin_end:\n  ret\n");

static void on_tick(int sig, siginfo_t *info, void *uc)
{
    const mcontext_t *m = &((ucontext_t *)uc)->uc_mcontext;
    (void)sig;
    (void)info;
    ticks++;
    if (m->pc < (uintptr_t)spin_start || m->pc >= (uintptr_t)spin_end)
        return;
    unsigned at = (unsigned)(m->pc - (uintptr_t)spin_start) / 4;
    uint64_t n = m->regs[0];
    if (m->regs[1] != 2 * (n - (at == 1)) || m->regs[2] != ~(n - (at == 1 || at == 2)))
        torn++;
}

static void test_signals(void)
{
    struct sigaction sa = {.sa_sigaction = on_tick, .sa_flags = SA_SIGINFO | SA_RESTART};
    struct itimerval it = {{0, 1000}, {0, 1000}}, off = {{0, 0}, {0, 0}};
    sigaction(SIGALRM, &sa, NULL);
    setitimer(ITIMER_REAL, &it, NULL);
    EXPECT(spin(&ticks, 150) > 0);
    setitimer(ITIMER_REAL, &off, NULL);
    EXPECT(ticks >= 150 && torn == 0);
}

/* --- threads and processes ---------------------------------------------------------------------------------------------- */

static void *work(void *arg)
{
    uint64_t n = (uintptr_t)arg;
    unsigned wrong = 0;
    for (unsigned k = 0; k < 60; k++) {
        wrong += irreducible(4000 + n, k & 1) != c_irreducible(4000 + n, k & 1);
        wrong += nested(40 + n, 7, 9) != c_nested(40 + n, 7, 9);
    }
    return (void *)(uintptr_t)wrong;
}

static void test_threads(void)
{
    pthread_t t[4];
    void *wrong;
    for (uintptr_t i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, work, (void *)i);
    for (unsigned i = 0; i < 4; i++) {
        pthread_join(t[i], &wrong);
        EXPECT(wrong == NULL);
    }
}

static void test_forks(void)
{
    uint64_t sum = 0;
    for (unsigned k = 0; k < 12; k++) {
        sum += c_odd(2000 + k);
        pid_t pid = fork();
        if (pid == 0) {
            unsigned wrong = 0;
            for (unsigned i = 0; i < 20; i++)
                wrong += odd_returns(2000 + i) != c_odd(2000 + i) || nested(30, 5, i + 1) != c_nested(30, 5, i + 1);
            _exit(wrong ? 1 : 0);
        }
        sum -= odd_returns(2000 + k);
        int status = -1;
        EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
    }
    EXPECT(sum == 0);
}

/* --- code that changes -------------------------------------------------------------------------------------------------- */

typedef uint64_t Fn(uint64_t n);
static uint32_t *code;
static volatile int running;

/* for (x1 = 0; x0; x0--) x1 = leaf(x1), which adds imm; the leaf is taken into the loop. */
static void emit_loop(unsigned imm)
{
    static const uint32_t insn[] = {
        0xaa1e03e9, /* mov x9, x30 */ 0xd2800001, /* mov x1, #0 */
        0x94000006, /* bl leaf */     0xf1000400, /* subs x0, x0, #1 */
        0x54ffffc1, /* b.ne -2 */     0xaa0103e0, /* mov x0, x1 */
        0xaa0903fe, /* mov x30, x9 */ 0xd65f03c0, /* ret */
        0x91000021, /* leaf: add x1, x1, #imm */ 0xd65f03c0,
    };
    for (unsigned i = 0; i < sizeof insn / 4; i++)
        code[i] = insn[i] | (i == 8 ? imm << 10 : 0);
    __builtin___clear_cache((char *)code, (char *)(code + 10));
}

static void *run_forever(void *arg)
{
    (void)arg;
    running = 1;
    return (void *)(uintptr_t)((Fn *)code)(UINT64_MAX);
}

static void on_exec_fault(int sig)
{
    (void)sig;
    nseen++;
    mprotect(code, page, PROT_READ | PROT_WRITE | PROT_EXEC);
}

/* A thread inside a loop, while the loop is taken away from it, given back, and at last made to end. */
static void test_running_code(void)
{
    pthread_t t;
    void *result;
    struct sigaction sa = {.sa_handler = on_exec_fault};

    sigaction(SIGSEGV, &sa, NULL);
    emit_loop(1);
    nseen = 0;
    running = 0;
    pthread_create(&t, NULL, run_forever, NULL);
    while (!running)
        ;
    for (unsigned i = 0; i < 20; i++) {
        usleep(2000);
        mprotect(code, page, PROT_READ | PROT_WRITE);
        for (unsigned k = 0; k < 1000 && nseen == i; k++)
            usleep(1000);
    }
    EXPECT(nseen == 20);
    usleep(2000);
    code[4] = 0xd503201f; /* the way back becomes a nop */
    __builtin___clear_cache((char *)(code + 4), (char *)(code + 5));
    pthread_join(t, &result);
    EXPECT(result != NULL);
    signal(SIGSEGV, SIG_DFL);
}

static void test_changing_code(void)
{
    code = mmap(NULL, page, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (unsigned i = 1; i < 60; i++) {
        emit_loop(i);
        EXPECT(((Fn *)code)(30000) == 30000 * i);
        code[8] = 0x91000021 | (i + 1000) << 10; /* only the leaf */
        __builtin___clear_cache((char *)(code + 8), (char *)(code + 9));
        EXPECT(((Fn *)code)(20000) == 20000 * (i + 1000));
    }
    test_running_code();
    munmap(code, page);
}

/* --- recursion ---------------------------------------------------------------------------------------------------------- */

static __attribute__((noinline)) uint64_t deep(uint64_t n, uint64_t x)
{
    return n ? deep(n - 1, x * 3 + n) + (x & 1) : x;
}

static __attribute__((noinline)) unsigned fib(unsigned n)
{
    return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

static void test_recursion(void)
{
    uint64_t a = deep(60000, 1);
    for (unsigned i = 0; i < 20; i++)
        EXPECT(deep(60000, 1) == a);
    EXPECT(fib(24) == 46368);
}

int main(void)
{
    test_shapes();
    test_faults();
    test_signals();
    test_threads();
    test_forks();
    test_changing_code();
    test_recursion();
    printf("%u bad\n", bad);
    return 0;
}
