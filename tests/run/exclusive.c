/*
 * Exclusive sequences of every form: alone against what they must compute, shared by threads against lost updates, and ABA: a
 * location that is changed and changed back between the load and the store.
 *
 *   exclusive            the sequences; prints "0 bad"
 *   exclusive aba        1 line a case: whether the store exclusive failed after atomics, after plain stores
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 4
#define ROUNDS 20000

typedef uint64_t u64;
typedef uint32_t u32;

static unsigned bad;

static void check(const char *what, u64 got, u64 want)
{
    if (got != want) {
        printf("%s: %llx, not %llx\n", what, (unsigned long long)got, (unsigned long long)want);
        bad++;
    }
}

/*
 * A loop with `body` from w0/x0 (old) and w3/x3 (operand) to w2/x2 (new): old, new, status and flags come back, memory changes. `S`
 * is the suffix of the access, R the register letter.
 */
typedef struct Out {
    u64 old, new, status, nzcv;
} Out;

#define LOOP(name, load, store, S, R, body)                                                                                        \
    static Out name(void *p, u64 operand)                                                                                         \
    {                                                                                                                             \
        register u64 at asm("x1") = (u64)p, v asm("x3") = operand, old asm("x0"), new asm("x2") = operand, st asm("x4");           \
        u64 f;                                                                                                                    \
        asm volatile("1: " load S " " R "0, [x1]\n" body "\n" store S " w4, " R "2, [x1]\n cbnz w4, 1b\n mrs %3, nzcv"               \
                     : "=&r"(old), "+&r"(new), "=&r"(st), "=&r"(f)                                                                 \
                     : "r"(at), "r"(v)                                                                                            \
                     : "memory", "cc");                                                                                           \
        return (Out){old, new, st, f >> 28};                                                                                      \
    }

LOOP(add_w, "ldxr", "stxr", "", "w", "add w2, w0, w3")
LOOP(add_x, "ldaxr", "stlxr", "", "x", "add x2, x0, x3")
LOOP(add_rev, "ldxr", "stlxr", "", "x", "add x2, x3, x0")
LOOP(add_lsl, "ldxr", "stxr", "", "x", "add x2, x0, x3, lsl #3")
LOOP(add_b, "ldaxr", "stlxr", "b", "w", "add w2, w0, w3")
LOOP(add_h, "ldxr", "stxr", "h", "w", "add w2, w0, w3")
LOOP(add_imm, "ldxr", "stxr", "", "w", "add w2, w0, #7")
LOOP(sub_w, "ldxr", "stxr", "", "w", "sub w2, w0, w3")
LOOP(subs_x, "ldxr", "stxr", "", "x", "subs x2, x0, x3")
LOOP(subs_imm, "ldxr", "stxr", "", "w", "subs w2, w0, #1")
LOOP(and_w, "ldxr", "stxr", "", "w", "and w2, w0, w3")
LOOP(ands_x, "ldxr", "stxr", "", "x", "ands x2, x0, x3")
LOOP(bic_x, "ldxr", "stxr", "", "x", "bic x2, x0, x3")
LOOP(orr_w, "ldxr", "stxr", "", "w", "orr w2, w0, w3")
LOOP(orr_imm, "ldxr", "stxr", "", "w", "orr w2, w0, #0xff00")
LOOP(orn_x, "ldxr", "stxr", "", "x", "orn x2, x0, x3")
LOOP(eor_x, "ldxr", "stxr", "", "x", "eor x2, x0, x3, ror #7")
LOOP(eon_w, "ldxr", "stxr", "", "w", "eon w2, w0, w3")
LOOP(nand_w, "ldxr", "stxr", "", "w", "and w2, w0, w3\n mvn w2, w2")
LOOP(smax_w, "ldxr", "stxr", "", "w", "cmp w0, w3\n csel w2, w0, w3, gt")
LOOP(smin_x, "ldxr", "stxr", "", "x", "cmp x0, x3\n csel x2, x0, x3, le")
LOOP(umax_x, "ldxr", "stxr", "", "x", "cmp x0, x3\n csel x2, x3, x0, lo")
LOOP(umin_w, "ldxr", "stxr", "", "w", "cmp w0, w3\n csel w2, w0, w3, ls")
LOOP(swap_w, "ldxr", "stxr", "", "w", "")
LOOP(swap_b, "ldxr", "stxr", "b", "w", "")
LOOP(keep_x, "ldxr", "stxr", "", "x", "mov x2, x0")

typedef u64 Model(u64 old, u64 v);
static u64 m_add(u64 o, u64 v) { return o + v; }
static u64 m_lsl(u64 o, u64 v) { return o + (v << 3); }
static u64 m_imm(u64 o, u64 v) { return o + 7; }
static u64 m_sub(u64 o, u64 v) { return o - v; }
static u64 m_dec(u64 o, u64 v) { return o - 1; }
static u64 m_and(u64 o, u64 v) { return o & v; }
static u64 m_bic(u64 o, u64 v) { return o & ~v; }
static u64 m_orr(u64 o, u64 v) { return o | v; }
static u64 m_ori(u64 o, u64 v) { return o | 0xff00; }
static u64 m_orn(u64 o, u64 v) { return o | ~v; }
static u64 m_eor(u64 o, u64 v) { return o ^ (v >> 7 | v << 57); }
static u64 m_eon(u64 o, u64 v) { return o ^ ~v; }
static u64 m_nand(u64 o, u64 v) { return ~(o & v); }
static u64 m_smax(u64 o, u64 v) { return (int32_t)o > (int32_t)v ? o : v; }
static u64 m_smin(u64 o, u64 v) { return (int64_t)o < (int64_t)v ? o : v; }
static u64 m_umax(u64 o, u64 v) { return o > v ? o : v; }
static u64 m_umin(u64 o, u64 v) { return (u32)o < (u32)v ? o : v; }
static u64 m_swap(u64 o, u64 v) { return v; }
static u64 m_keep(u64 o, u64 v) { return o; }

/* flags: 0 untouched, 1 of old - operand, 2 of old & operand, 3 of old - 1 */
static const struct {
    const char *name;
    Out (*run)(void *, u64);
    Model *model;
    unsigned size, flags, width;
} forms[] = {
    {"add_w", add_w, m_add, 4, 0, 4}, {"add_x", add_x, m_add, 8, 0, 8}, {"add_rev", add_rev, m_add, 8, 0, 8},
    {"add_lsl", add_lsl, m_lsl, 8, 0, 8}, {"add_b", add_b, m_add, 1, 0, 4}, {"add_h", add_h, m_add, 2, 0, 4},
    {"add_imm", add_imm, m_imm, 4, 0, 4}, {"sub_w", sub_w, m_sub, 4, 0, 4}, {"subs_x", subs_x, m_sub, 8, 1, 8},
    {"subs_imm", subs_imm, m_dec, 4, 3, 4}, {"and_w", and_w, m_and, 4, 0, 4}, {"ands_x", ands_x, m_and, 8, 2, 8},
    {"bic_x", bic_x, m_bic, 8, 0, 8}, {"orr_w", orr_w, m_orr, 4, 0, 4}, {"orr_imm", orr_imm, m_ori, 4, 0, 4},
    {"orn_x", orn_x, m_orn, 8, 0, 8}, {"eor_x", eor_x, m_eor, 8, 0, 8}, {"eon_w", eon_w, m_eon, 4, 0, 4},
    {"nand_w", nand_w, m_nand, 4, 0, 4}, {"smax_w", smax_w, m_smax, 4, 1, 4}, {"smin_x", smin_x, m_smin, 8, 1, 8},
    {"umax_x", umax_x, m_umax, 8, 1, 8}, {"umin_w", umin_w, m_umin, 4, 1, 4}, {"swap_w", swap_w, m_swap, 4, 0, 8},
    {"swap_b", swap_b, m_swap, 1, 0, 8}, {"keep_x", keep_x, m_keep, 8, 0, 8},
};

static u64 low(u64 v, unsigned bytes)
{
    return bytes == 8 ? v : v & ((1ull << 8 * bytes) - 1);
}

static u64 flags_of(unsigned kind, u64 o, u64 v, unsigned bytes)
{
    unsigned sign = 8 * bytes - 1;
    u64 b = kind == 3 ? 1 : v, r = low(kind == 2 ? o & b : o - b, bytes), c = 0, ov = 0;
    if (kind != 2) {
        c = low(o, bytes) >= low(b, bytes);
        ov = ((o ^ b) & (o ^ r)) >> sign & 1;
    }
    return (r >> sign & 1) << 3 | (u64)(r == 0) << 2 | c << 1 | ov;
}

static void alone(void)
{
    static const u64 values[] = {0, 1, 5, 0x7f, 0x80, 0xff, 0x7fffffff, 0x80000000, 0xffffffff, 0x8000000000000000, 0xfedcba9876543210, ~0ull};
    enum { N = sizeof values / sizeof values[0] };
    for (unsigned f = 0; f < sizeof forms / sizeof forms[0]; f++) {
        for (unsigned i = 0; i < N * N; i++) {
            u64 cell[3] = {~0ull, values[i / N], ~0ull}, v = values[i % N], before = cell[1];
            u64 old = low(before, forms[f].size), new = forms[f].model(old, v);
            Out o = forms[f].run(&cell[1], v);
            check(forms[f].name, o.old, old);
            check(forms[f].name, o.new, low(new, forms[f].width));
            check(forms[f].name, o.status, 0);
            check(forms[f].name, cell[1], (before & ~low(~0ull, forms[f].size)) | low(new, forms[f].size));
            check(forms[f].name, cell[0] & cell[2], ~0ull);
            if (forms[f].flags)
                check(forms[f].name, o.nzcv, flags_of(forms[f].flags, old, v, forms[f].width));
        }
    }
}

/* --- compare and swap --- */

static u64 cas_x(u64 *p, u64 expect, u64 new)
{
    u64 old, st = 77;
    asm volatile("1: ldaxr %0, [%2]\n cmp %0, %3\n b.ne 2f\n stlxr %w1, %4, [%2]\n cbnz %w1, 1b\n2:"
                 : "=&r"(old), "+&r"(st) : "r"(p), "r"(expect), "r"(new) : "memory", "cc");
    if (old != expect && st == 1) /* a store failed, for another thread had changed the cell */
        st = 77;
    check("cas status", st, old == expect ? 0 : 77);
    return old;
}

static u32 cas_b(uint8_t *p, u32 expect, u32 new)
{
    u32 old, st;
    asm volatile("1: ldaxrb %w0, [%2]\n cmp %w0, %w3, uxtb\n b.ne 2f\n stlxrb %w1, %w4, [%2]\n cbnz %w1, 1b\n b 3f\n2: clrex\n3:"
                 : "=&r"(old), "=&r"(st) : "r"(p), "r"(expect), "r"(new) : "memory", "cc");
    return old;
}

/* Weak, with the status as its result. */
static u32 cas_weak(u32 *p, u32 expect, u32 new)
{
    u32 old, st = 1;
    asm volatile("ldxr %w0, [%2]\n cmp %w0, %w3\n b.ne 2f\n stxr %w1, %w4, [%2]\n2:"
                 : "=&r"(old), "+&r"(st) : "r"(p), "r"(expect), "r"(new) : "memory", "cc");
    return st;
}

static void spin_lock(u32 *p)
{
    u32 a;
    asm volatile("1: ldaxr %w0, [%1]\n cbnz %w0, 1b\n stxr %w0, %w2, [%1]\n cbnz %w0, 1b" : "=&r"(a) : "r"(p), "r"(1) : "memory");
}

/* The way out of the first store leads to another one. */
static u32 two_stores(u32 *p)
{
    u32 a, st;
    asm volatile("1: ldxr %w0, [%2]\n cmp %w0, #5\n b.ne 2f\n mov %w0, #50\n stxr %w1, %w0, [%2]\n cbnz %w1, 1b\n b 3f\n"
                 "2: add %w0, %w0, #1\n stxr %w1, %w0, [%2]\n cbnz %w1, 1b\n3:"
                 : "=&r"(a), "=&r"(st) : "r"(p) : "memory", "cc");
    return a;
}

static void pair_add(u64 p[2])
{
    asm volatile("1: ldaxp x2, x3, [%0]\n adds x2, x2, #1\n adc x3, x3, xzr\n stlxp w4, x2, x3, [%0]\n cbnz w4, 1b"
                 :: "r"(p) : "x2", "x3", "x4", "memory", "cc");
}

static void pair_add_w(u32 p[2])
{
    asm volatile("1: ldxp w2, w3, [%0]\n add w2, w2, #1\n add w3, w3, #2\n stxp w4, w2, w3, [%0]\n cbnz w4, 1b"
                 :: "r"(p) : "x2", "x3", "x4", "memory");
}

static void compare(void)
{
    u64 x = 5, pair[2] __attribute__((aligned(16))) = {~0ull - 1, 7};
    u32 w = 5, half[2] __attribute__((aligned(8))) = {1, 2};
    uint8_t b[2] = {0x85, 0x77};

    check("cas_x", cas_x(&x, 5, 9), 5);
    check("cas_x", cas_x(&x, 5, 10), 9);
    check("cas_x", x, 9);
    check("cas_b", cas_b(b, 0xffffff85, 0x1234), 0x85);
    check("cas_b", cas_b(b, 0x35, 0x11), 0x34);
    check("cas_b", b[0] | b[1] << 8, 0x7734);
    check("cas_weak", cas_weak(&w, 5, 6), 0);
    check("cas_weak", cas_weak(&w, 5, 7), 1);
    check("cas_weak", w, 6);
    check("two stores", two_stores(&w), 7);
    w = 5;
    check("two stores", two_stores(&w), 50);
    check("two stores", w, 50);
    pair_add(pair);
    pair_add(pair);
    check("pair", pair[0], 0);
    check("pair", pair[1], 8);
    pair_add_w(half);
    check("pair_w", half[0] | (u64)half[1] << 32, 2 | 4ull << 32);
}

/* --- shared by threads --- */

static struct {
    u64 add, or, max, cas, locked, lse;
    u32 lock;
    u64 general;
    u64 pair[2] __attribute__((aligned(16)));
} shared __attribute__((aligned(64)));

/* A sequence with another access between load and store: through the monitor. */
static void general_add(u64 *p, volatile u64 *other)
{
    asm volatile("1: ldxr x2, [%0]\n ldr x3, [%1]\n add x2, x2, x3\n stxr w4, x2, [%0]\n cbnz w4, 1b"
                 :: "r"(p), "r"(other) : "x2", "x3", "x4", "memory");
}

static void *worker(void *arg)
{
    u64 id = (u64)arg;
    volatile u64 one = 1;

    for (u64 i = 0; i < ROUNDS; i++) {
        add_x(&shared.add, 1);
        orr_w(&shared.or, 1u << (id * 8 + i % 8));
        umax_x(&shared.max, id * ROUNDS + i);
        for (u64 old = __atomic_load_n(&shared.cas, __ATOMIC_RELAXED), seen; (seen = cas_x(&shared.cas, old, old + 1)) != old; old = seen)
            ;
        spin_lock(&shared.lock);
        shared.locked++;
        __atomic_store_n(&shared.lock, 0, __ATOMIC_RELEASE);
        pair_add(shared.pair);
        general_add(&shared.general, &one);
        asm volatile(".arch_extension lse\n ldadd %0, x2, [%1]" :: "r"(1ull), "r"(&shared.lse) : "x2", "memory");
        asm volatile(".arch_extension lse\n stadd %0, [%1]" :: "r"(1ull), "r"(&shared.general) : "memory");
    }
    return NULL;
}

static void threads(void)
{
    pthread_t t[THREADS];
    for (u64 i = 0; i < THREADS; i++)
        pthread_create(&t[i], NULL, worker, (void *)i);
    for (u64 i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
    check("threads add", shared.add, THREADS * ROUNDS);
    check("threads or", shared.or, 0xffffffff);
    check("threads max", shared.max, THREADS * ROUNDS - 1);
    check("threads cas", shared.cas, THREADS * ROUNDS);
    check("threads lock", shared.locked, THREADS * ROUNDS);
    check("threads pair", shared.pair[0], THREADS * ROUNDS);
    check("threads lse", shared.lse, THREADS * ROUNDS);
    check("threads general", shared.general, 2 * THREADS * ROUNDS);
}

/* Processes that share memory: each has versions of its own, the operations are the host's. */
static void processes(void)
{
    u64 *m = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    volatile u64 one = 1;
    for (int k = 0; k < 2; k++) {
        if (fork())
            continue;
        for (int i = 0; i < ROUNDS; i++) {
            add_x(&m[0], 1);
            general_add(&m[8], &one);
        }
        _exit(0);
    }
    wait(NULL);
    wait(NULL);
    check("processes add", m[0], 2 * ROUNDS);
    check("processes general", m[8], 2 * ROUNDS);
}

/* --- faults --- */

static volatile u64 fault_pc, fault_x0, fault_x2;
static u64 fault_at[3];

static void on_fault(int sig, siginfo_t *info, void *ctx)
{
    ucontext_t *uc = ctx;
    fault_pc = uc->uc_mcontext.pc;
    fault_x0 = uc->uc_mcontext.regs[0];
    fault_x2 = uc->uc_mcontext.regs[2];
    uc->uc_mcontext.pc = fault_at[2];
}

/* Read-only memory: the load is done, the store faults, at its own address with the registers of that place. */
static void faults(void)
{
    struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    u64 *ro = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), st = 0;
    ro[0] = 41;
    ro[1] = 5;
    mprotect(ro, 4096, PROT_READ);
    sigaction(SIGSEGV, &sa, NULL);
    for (int k = 0; k < 3; k++) {
        asm volatile("adr x5, 1f\n adr x6, 2f\n adr x7, 3f\n stp x5, x6, [%1]\n str x7, [%1, #16]\n mov x0, #1\n mov x2, #2\n"
                     "1: ldxr x0, [%0]\n add x2, x0, #1\n2: stxr w4, x2, [%0]\n cbnz w4, 1b\n3:"
                     :: "r"(ro), "r"(fault_at) : "x0", "x2", "x4", "x5", "x6", "x7", "memory");
        check("fault pc", fault_pc, fault_at[1]);
        check("fault old", fault_x0, 41);
        check("fault new", fault_x2, 42);
        asm volatile("adr x5, 1f\n adr x6, 2f\n adr x7, 3f\n stp x5, x6, [%1]\n str x7, [%1, #16]\n mov x0, #1\n mov x2, #2\n"
                     "1: ldxr x0, [%0]\n add x2, x0, #1\n2: stxr w4, x2, [%0]\n cbnz w4, 1b\n3:"
                     :: "r"(0x10), "r"(fault_at) : "x0", "x2", "x4", "x5", "x6", "x7", "memory");
        check("fault pc", fault_pc, fault_at[0]);
        check("fault old", fault_x0, 1);
        fault_pc = 0; /* a comparison that fails stores nothing */
        check("read-only cas", cas_weak((u32 *)&ro[1], 6, 7), 1);
        check("no fault", fault_pc, 0);
        volatile u64 one = 1;
        asm volatile("adr x5, 1f\n adr x6, 2f\n adr x7, 3f\n stp x5, x6, [%1]\n str x7, [%1, #16]\n mov x0, #1\n mov x2, #2\n"
                     "1: ldxr x0, [%0]\n ldr x2, [%2]\n2: stxr w4, x2, [%0]\n cbnz w4, 1b\n3:"
                     :: "r"(ro), "r"(fault_at), "r"(&one) : "x0", "x2", "x4", "x5", "x6", "x7", "memory");
        check("general fault pc", fault_pc, fault_at[1]);
    }
    mprotect(ro, 4096, PROT_READ | PROT_WRITE);
    volatile u64 one = 1;
    general_add(ro, &one); /* the fault has left no lock behind */
    check("after faults", ro[0], 42 + st);
}

/* --- ABA --- */

static u64 cell;
static _Atomic int step;


static void *disturber(void *arg)
{
    for (int k = 0; k < 4; k++) {
        while (step != 1)
            ;
        if (arg) {
            asm volatile("str %1, [%0]\n str %2, [%0]" :: "r"(&cell), "r"(2ull), "r"(1ull) : "memory");
        } else {
            add_x(&cell, 1);
            asm volatile(".arch_extension lse\n swp %1, x2, [%0]" :: "r"(&cell), "r"(1ull) : "x2", "memory");
        }
        step = 2;
    }
    return NULL;
}

/* The load here, the store there, after another thread has changed the cell and changed it back: the store's status. */
static u32 disturbed(void)
{
    u64 v;
    u32 st;
    asm volatile("ldxr %0, [%1]" : "=&r"(v) : "r"(&cell) : "memory");
    step = 1;
    while (step != 2)
        ;
    asm volatile("stxr %w0, %1, [%2]" : "=&r"(st) : "r"(3ull), "r"(&cell) : "memory");
    cell = 1;
    return st;
}

static void aba(void)
{
    for (long plain = 0; plain < 2; plain++) {
        pthread_t t;
        unsigned failed = 0;
        cell = 1;
        step = 0;
        pthread_create(&t, NULL, disturber, (void *)plain);
        for (int k = 0; k < 4; k++)
            failed += disturbed();
        pthread_join(t, NULL);
        printf("after %s: %u of 4 failed\n", plain ? "plain stores" : "atomics", failed);
    }
}

/* A signal and a system call close the monitor. */
static void on_signal(int sig)
{
}

static void closed(void)
{
    u64 v;
    u32 st;
    u32 pid = (u32)getpid();
    signal(SIGUSR1, on_signal);
    asm volatile("ldxr %0, [%2]\n mov x0, %3\n mov x1, #10\n mov x8, #129\n svc #0\n stxr %w1, %0, [%2]"
                 : "=&r"(v), "=&r"(st) : "r"(&cell), "r"((u64)pid) : "x0", "x1", "x8", "memory");
    check("monitor after a signal", st, 1);
    asm volatile("ldxr %0, [%2]\n mov x8, #172\n svc #0\n stxr %w1, %0, [%2]"
                 : "=&r"(v), "=&r"(st) : "r"(&cell) : "x0", "x8", "memory");
    check("monitor after a system call", st, 1);
    asm volatile("ldxr %0, [%2]\n clrex\n stxr %w1, %0, [%2]" : "=&r"(v), "=&r"(st) : "r"(&cell) : "memory");
    check("monitor after clrex", st, 1);
    asm volatile("ldxr %0, [%2]\n stxr %w1, %0, [%3]" : "=&r"(v), "=&r"(st) : "r"(&cell), "r"(&shared.add) : "memory");
    check("another address", st, 1);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "aba") == 0) {
        aba();
        return 0;
    }
    alone();
    compare();
    threads();
    processes();
    faults();
    closed();
    alone(); /* versions are kept now */
    compare();
    printf("%u bad\n", bad);
    return bad != 0;
}
