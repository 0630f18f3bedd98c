/*
 * Ways from one translation to the next, with an engine of a few lines: chained jumps, calls and returns over the host's
 * return stack and when it mispredicts or overflows, the jump cache, helpers, polls, unlinking.
 */
#include "jit_env.h"
#include "test.h"

#include "base/check.h"

#define MAX_REGIONS 16

typedef struct Region {
    uint64_t pc;
    HostCode code;
    const uint8_t *rx;
} Region;

typedef struct Link {
    const HostSite *site;
    uint8_t *rw;
} Link;

static Region regions[MAX_REGIONS];
static unsigned nregions, nlinks, nlookups;
static Link linked[64];
static uint8_t *shadow_map;

static Region *find(uint64_t pc)
{
    for (unsigned k = 0; k < nregions; k++)
        if (regions[k].pc == pc)
            return &regions[k];
    return NULL;
}

static const void *do_link(HostCpu *cpu)
{
    const uint8_t *stub = (const uint8_t *)(uintptr_t)cpu->link_site;
    Region *to = NULL;
    for (unsigned k = 0; k < nregions; k++) {
        const Region *r = &regions[k];
        for (uint32_t n = 0; n < r->code.nsite; n++)
            if (r->rx + r->code.site[n].stub == stub) {
                cpu->ir.pc = r->code.site[n].target;
                to = cpu->exit_request ? NULL : find(cpu->ir.pc);
                if (!to)
                    return NULL;
                host_native.patch(&r->code.site[n], r->code.rw, env->cb.delta, to->rx);
                linked[nlinks++] = (Link){&r->code.site[n], r->code.rw};
            }
    }
    return to->rx;
}

static const void *do_lookup(HostCpu *cpu)
{
    Region *to = find(cpu->ir.pc);
    nlookups++;
    if (!to)
        return NULL;
    cpu->jcache[host_jcache_index(cpu->ir.pc, 2)] = (HostJump){cpu->ir.pc, to->rx};
    return to->rx;
}

static void unlink_all(void)
{
    while (nlinks) {
        Link *l = &linked[--nlinks];
        host_native.patch(l->site, l->rw, env->cb.delta, NULL);
    }
}

static void add_careful(uint64_t pc, const char *text, unsigned careful)
{
    char err[256];
    OptConfig cfg = {0};
    IrRegion *r = ir_parse(&env->arena, text, &env->slots, env->helpers, env->nhelpers, err, sizeof err);
    if (!r) {
        fprintf(stderr, "%s\n", err);
        exit(1);
    }
    r->pc = pc;
    r->fp.careful = (uint8_t)careful;
    opt_run(r, &cfg);
    Region *x = &regions[nregions++];
    x->pc = pc;
    if (!host_native.compile(env->plan, r, &env->cb, &x->code))
        exit(1);
    x->rx = x->code.rw + env->cb.delta;
}

static void add(uint64_t pc, const char *text)
{
    add_careful(pc, text, 0);
}

static uint64_t reg(unsigned n)
{
    return ((uint64_t *)env->cpu->state)[n];
}

static void start_state(void)
{
    memset(env->cpu->state, 0, STATE_SIZE);
    nlookups = 0;
    host_native.fp_load(env->cpu);
}

static IrStop run(uint64_t pc)
{
    start_state();
    return host_native.enter(env->plan, env->cpu, find(pc)->rx);
}

static uint64_t help_next(IrCpu *cpu, IrArgs *args)
{
    ((uint64_t *)cpu->state)[4] += args->arg[0].u64[0];
    return 0;
}

static uint64_t help_kick(IrCpu *cpu, IrArgs *args)
{
    ((HostCpu *)cpu)->exit_request = 1;
    return 0;
}

static const IrHelper helpers[] = {
    {"next", help_next, IR_VOID, 1, {IR_I64}},
    {"kick", help_kick, IR_VOID, 0, {0}},
};

/* Overrun of the return stack, beside what env_signal does. */
static void on_fault(int sig, siginfo_t *info, void *uc)
{
    if (sig == SIGSEGV && host_native.shadow_overflow(env->plan, env->cpu, uc, info->si_addr)) {
        env->faults++;
        return;
    }
    env_signal(sig, info, uc);
}

static void setup(bool predict)
{
    struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    env_new(helpers, 2, predict, NULL);
    sigaction(SIGSEGV, &sa, NULL);
    shadow_map = mmap(NULL, 3 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(shadow_map + 4096, 4096, PROT_READ | PROT_WRITE);
    env->cpu->shadow_base = shadow_map + 8192 - 64;
    env->cpu->shadow_limit = shadow_map + 4096;
    env->cpu->link = do_link;
    env->cpu->lookup = do_lookup;
    nregions = nlinks = 0;
}

/* x1 times: call 0x2000 (x0 += 1); then stop */
static void test_calls(const char *name)
{
    char t[80];
    add(0x1000, "block0:\n insn 0x1000\n %1:i64 = get x1\n %2:i64 = const 1000\n put x1, %2\n exit 0x1010\n");
    add(0x1010, "block0:\n insn 0x1010\n %1:i64 = const 0x1014\n put x30, %1\n exit.call 0x2000, %1\n");
    add(0x1014, "block0:\n insn 0x1014\n %1:i64 = get x1\n %2:i64 = const 1\n %3:i64 = sub %1, %2\n put x1, %3\n"
                " %4:i64 = const 0\n %5:i8 = icmp.i64 eq %3, %4\n brif %5, block1, block2\n"
                "block1:\n exit.stop 0x1018 break\nblock2:\n exit 0x1010 poll\n");
    add(0x2000, "block0:\n insn 0x2000\n %1:i64 = get x0\n %2:i64 = const 1\n %3:i64 = add %1, %2\n put x0, %3\n"
                " %4:i64 = get x30\n exit.ind ret %4\n");
    IrStop why = run(0x1000);
    snprintf(t, sizeof t, "%s: calls and returns", name);
    TEST(t, why == IR_STOP_BREAK && reg(0) == 1000 && reg(1) == 0 && env->cpu->ir.pc == 0x1018);
    snprintf(t, sizeof t, "%s: few misses (%u links, %u lookups)", name, nlinks, nlookups);
    TEST(t, nlinks <= 8 && nlookups <= 2);
    unlink_all();
    why = run(0x1000);
    snprintf(t, sizeof t, "%s: the same after unlinking", name);
    TEST(t, why == IR_STOP_BREAK && reg(0) == 1000 && nlinks > 0);
}

/* 0x3000: recurses x0 deep by 0x3010, counts in x2 on the way back */
static void test_recursion(const char *name)
{
    char t[80];
    add(0x3000, "block0:\n insn 0x3000\n %1:i64 = const 2000\n put x0, %1\n %2:i64 = const 0x3004\n put x30, %2\n"
                " exit.call 0x3010, %2\n");
    add(0x3004, "block0:\n insn 0x3004\n exit.stop 0x3004 break\n");
    /* counts down; at 0 returns; else calls itself with its caller's kind of frame */
    add(0x3010, "block0:\n insn 0x3010\n %1:i64 = get x0\n %2:i64 = const 0\n %3:i8 = icmp.i64 eq %1, %2\n"
                " brif %3, block1, block2\nblock1:\n %4:i64 = get x30\n exit.ind ret %4\n"
                "block2:\n %5:i64 = const 1\n %6:i64 = sub %1, %5\n put x0, %6\n %7:i64 = const 0x3014\n put x30, %7\n"
                " exit.call 0x3010, %7 poll\n");
    add(0x3014, "block0:\n insn 0x3014\n %1:i64 = get x2\n %2:i64 = const 1\n %3:i64 = add %1, %2\n put x2, %3\n"
                " %4:i64 = const 2000\n %5:i8 = icmp.i64 eq %3, %4\n %6:i64 = const 0x3004\n %7:i64 = const 0x3014\n"
                " %8:i64 = select %5, %6, %7\n exit.ind ret %8\n");
    uint64_t before = env->faults;
    IrStop why = run(0x3000);
    snprintf(t, sizeof t, "%s: deep recursion, the return stack overflowed %lu times", name,
             (unsigned long)(env->faults - before));
    TEST(t, why == IR_STOP_BREAK && reg(2) == 2000 && reg(0) == 0);
}

/* A flag that only the exit wants is evaluated there, out of line with arguments of its own: not over the helper's. */
static void test_help_careful(const char *name)
{
    char t[80];
    add_careful(0x5100,
                "block0:\n insn 0x5100\n %1:i64 = const 0x7ff0000000000001\n %2:f64 = bitcast.i64 %1\n %3:i64 = const 9\n"
                " %4:f64 = bitcast.i64 %3\n %5:i8 = fcmp.f64 un %2, %4\n put v, %5\n %6:i64 = get x6\n %7:i64 = const 7\n"
                " %8:i64 = add %6, %7\n %9:i64 = const 0x4030\n exit.help next(%8), %9\n",
                IR_FP_CAREFUL_COMPARE);
    IrStop why = run(0x5100);
    snprintf(t, sizeof t, "%s: a helper's arguments beside a careful comparison", name);
    TEST(t, why == IR_STOP_CHECK && reg(4) == 7 && env->cpu->state[8 * S_NX + S_V] == 1);
    env->cpu->exit_request = 0;
}

static void test_indirect(const char *name)
{
    char t[80];
    add(0x4000, "block0:\n insn 0x4000\n %1:i64 = const 0x4010\n %2:i64 = const 0x4004\n put x30, %2\n"
                " exit.ind call %1, %2\n");
    add(0x4004, "block0:\n insn 0x4004\n %1:i64 = const 0x4020\n exit.ind jump %1\n");
    add(0x4010, "block0:\n insn 0x4010\n %1:i64 = get x30\n exit.ind ret %1\n");
    add(0x4020, "block0:\n insn 0x4020\n %1:i64 = const 7\n %2:i64 = const 0x4030\n put x5, %1\n exit.help next(%1), %2\n");
    add(0x4030, "block0:\n insn 0x4030\n %1:i64 = const 0x4040\n exit.help kick(), %1\n");
    IrStop why = run(0x4000);
    snprintf(t, sizeof t, "%s: indirect calls and jumps, helpers, exit request", name);
    TEST(t, why == IR_STOP_CHECK && reg(4) == 7 && reg(5) == 7 && env->cpu->ir.pc == 0x4040);
    env->cpu->exit_request = 0;
    why = run(0x4000);
    snprintf(t, sizeof t, "%s: the jump cache hits", name);
    TEST(t, why == IR_STOP_CHECK && nlookups == 0);
    env->cpu->exit_request = 0;
    HostJump *first = &env->cpu->jcache[host_jcache_index(0x4020, 2)];
    env->cpu->jcache2[host_jcache2_index(0x4020, 2)] = *first;
    first->pc ^= 4;
    why = run(0x4000);
    snprintf(t, sizeof t, "%s: so does the second one", name);
    TEST(t, why == IR_STOP_CHECK && nlookups == 0 && reg(5) == 7);
    env->cpu->exit_request = 1;
    why = run(0x1014);
    env->cpu->exit_request = 0;
    snprintf(t, sizeof t, "%s: a poll leaves at the target", name);
    TEST(t, why == IR_STOP_CHECK && env->cpu->ir.pc == 0x1010 && reg(1) == UINT64_MAX);
}

/*
 * An exit under register pressure: x10's old value, in a register, goes to x11 while x10 is overwritten, and a flag that is
 * computed at the exit needs a register. The value evicted for it must not be left in x10's home. Tried with every number of
 * other values that keep registers busy.
 */
static void test_crowded_exit(const char *name)
{
    static const unsigned dest[] = {10, 12, 13, 14, 15, 16, 17, 18, 20, 21, 22, 23, 24, 25, 26, 27};
    char t[80];
    unsigned bad = 0;
    for (unsigned n = 1; n <= sizeof dest / sizeof *dest; n++) {
        char text[2048];
        int at = snprintf(text, sizeof text, "block0:\n insn 0x5000\n %%1:i64 = get x10\n %%2:i64 = get x0\n"
                          " %%3:i64 = get x1\n %%4:i8 = add.c.i64 %%2, %%3\n put c, %%4\n put x11, %%1\n");
        for (unsigned k = 0; k < n; k++)
            at += snprintf(text + at, sizeof text - (size_t)at, " %%%u:i64 = const %u\n %%%u:i64 = mul %%1, %%%u\n put x%u, %%%u\n",
                           100 + k, 3 + k, 200 + k, 100 + k, dest[k], 200 + k);
        snprintf(text + at, sizeof text - (size_t)at, " exit.stop 0x5004 break\n");
        nregions = 0;
        add(0x5000, text);
        start_state();
        uint64_t *x = (uint64_t *)env->cpu->state;
        x[0] = x[1] = 1ull << 63;
        x[10] = 1000003;
        host_native.enter(env->plan, env->cpu, find(0x5000)->rx);
        bool ok = reg(11) == 1000003 && env->cpu->state[8 * S_NX + S_C] == 1;
        for (unsigned k = 0; k < n; k++)
            ok = ok && reg(dest[k]) == 1000003 * (3ull + k);
        bad += !ok;
    }
    snprintf(t, sizeof t, "%s: exits that compute a flag, with up to 17 values in registers", name);
    TEST(t, bad == 0);
}

/* What of x0 and x1 the flags are set by, n z c v in that order; and whether x0 is overwritten by the result. */
typedef struct FlagCase {
    const char *what, *text;
} FlagCase;

static const FlagCase flag_cases[] = {
    {"difference", " %3:i64 = sub %1, %2\n %4:i64 = const 0\n %5:i8 = icmp.i64 slt %3, %4\n %6:i8 = icmp.i64 eq %1, %2\n"
                   " %7:i8 = icmp.i64 uge %1, %2\n %8:i8 = sub.v.i64 %1, %2\n"},
    {"difference kept", " %3:i64 = sub %1, %2\n put x0, %3\n %4:i64 = const 0\n %5:i8 = icmp.i64 slt %3, %4\n"
                        " %6:i8 = icmp.i64 eq %3, %4\n %7:i8 = icmp.i64 uge %1, %2\n %8:i8 = sub.v.i64 %1, %2\n"},
    {"difference of 32 bits", " %20:i32 = trunc %1\n %21:i32 = trunc %2\n %3:i32 = sub %20, %21\n %4:i32 = const 0\n"
                " %5:i8 = icmp.i32 slt %3, %4\n %6:i8 = icmp.i32 eq %20, %21\n %7:i8 = icmp.i32 uge %20, %21\n"
                " %8:i8 = sub.v.i32 %20, %21\n"},
    {"difference to a constant", " %9:i64 = const 3\n %3:i64 = sub %1, %9\n %4:i64 = const 0\n %5:i8 = icmp.i64 slt %3, %4\n"
                      " %6:i8 = icmp.i64 eq %1, %9\n %7:i8 = icmp.i64 uge %1, %9\n %8:i8 = sub.v.i64 %1, %9\n"},
    {"difference to a constant, kept", " %9:i64 = const 3\n %3:i64 = sub %1, %9\n put x0, %3\n"
     " %4:i64 = const 0\n %5:i8 = icmp.i64 slt %3, %4\n %6:i8 = icmp.i64 eq %1, %9\n"
     " %7:i8 = icmp.i64 uge %1, %9\n %8:i8 = sub.v.i64 %1, %9\n"},
    {"difference of 32 bits to a negative constant, kept", " %9:i32 = const 0xfffffffd\n %20:i32 = trunc %1\n %3:i32 = sub %20, %9\n %22:i64 = zext.i32 %3\n put x0, %22\n"
     " %4:i32 = const 0\n %5:i8 = icmp.i32 slt %3, %4\n %6:i8 = icmp.i32 eq %20, %9\n"
     " %7:i8 = icmp.i32 uge %20, %9\n %8:i8 = sub.v.i32 %20, %9\n"},
    {"difference to the largest constant that is not stored", " %9:i64 = const 0x1fffff\n %3:i64 = sub %1, %9\n"
     " %4:i64 = const 0\n %5:i8 = icmp.i64 slt %3, %4\n %6:i8 = icmp.i64 eq %1, %9\n"
     " %7:i8 = icmp.i64 uge %1, %9\n %8:i8 = sub.v.i64 %1, %9\n"},
    {"difference to the smallest that is, kept", " %9:i64 = const 0x200000\n %3:i64 = sub %1, %9\n put x0, %3\n"
     " %4:i64 = const 0\n %5:i8 = icmp.i64 slt %3, %4\n %6:i8 = icmp.i64 eq %1, %9\n"
     " %7:i8 = icmp.i64 uge %1, %9\n %8:i8 = sub.v.i64 %1, %9\n"},
    {"conjunction", " %3:i64 = and %1, %2\n %4:i64 = const 0\n %5:i8 = icmp.i64 slt %3, %4\n %6:i8 = icmp.i64 eq %3, %4\n"
                    " %7:i8 = const 0\n %8:i8 = const 0\n"},
    {"conjunction of 32 bits", " %20:i32 = trunc %1\n %21:i32 = trunc %2\n %3:i32 = and %20, %21\n %4:i32 = const 0\n"
                               " %5:i8 = icmp.i32 slt %3, %4\n %6:i8 = icmp.i32 eq %3, %4\n %7:i8 = const 0\n %8:i8 = const 0\n"},
    {"comparison with zero", " %4:i64 = const 0\n %5:i8 = icmp.i64 slt %1, %4\n %6:i8 = icmp.i64 eq %1, %4\n %7:i8 = const 1\n"
                     " %8:i8 = const 0\n"},
    {"sum", " %3:i64 = add %1, %2\n %4:i64 = const 0\n %5:i8 = icmp.i64 slt %3, %4\n %6:i8 = icmp.i64 eq %3, %4\n"
            " %7:i8 = add.c.i64 %1, %2\n %8:i8 = add.v.i64 %1, %2\n"},
};

/* The flags after 0x6000 by the interpreter, as bits. */
static unsigned flags_expected(const char *text, const uint64_t x[2])
{
    char err[256];
    IrRegion *r = ir_parse(&env->arena, text, &env->slots, env->helpers, env->nhelpers, err, sizeof err);
    const uint8_t *f = env->ref->state + 8 * S_NX;

    CHECK(r != NULL);
    memcpy(env->ref->state, x, 16);
    ir_interp(r, &env->ref->ir, &env->arena);
    return f[S_N] | f[S_Z] << 1 | f[S_C] << 2 | f[S_V] << 3;
}

static unsigned bits_at(const uint8_t *f, size_t step)
{
    return f[0] | f[step] << 1 | f[2 * step] << 2 | f[3 * step] << 3;
}

/* Flags that one region sets and others read, show when they fault, or pass on to C: 0x6000 goes on at `to`. */
static bool flags_case(const FlagCase *c, uint64_t to, const uint64_t x[2])
{
    char text[1024];

    snprintf(text, sizeof text, "block0:\n insn 0x6000\n %%1:i64 = get x0\n %%2:i64 = get x1\n%s put n, %%5\n put z, %%6\n"
             " put c, %%7\n put v, %%8\n exit 0x%lx\n", c->text, (long)to);
    nregions = nlinks = 0;
    env->cb.p = env->code_start;
    arena_reset(&env->arena);
    add(0x6000, text);
    add(0x6100, "block0:\n insn 0x6100\n %1:i8 = get n\n %2:i8 = get z\n %3:i8 = get c\n %4:i8 = get v\n %5:i64 = zext.i8 %1\n"
                " %6:i64 = zext.i8 %2\n %7:i64 = zext.i8 %3\n %8:i64 = zext.i8 %4\n put x10, %5\n put x11, %6\n put x12, %7\n"
                " put x13, %8\n exit.stop 0x6104 break\n");
    add(0x6200, "block0:\n insn 0x6200\n %1:i64 = const 16\n %2:i64 = load.i64 [%1]\n put x2, %2\n exit.stop 0x6204 break\n");
    env->code = find(0x6200)->code; /* the one that faults */
    env->code_rx = find(0x6200)->rx;
    start_state();
    memcpy(env->cpu->state, x, 16);
    memset(env->cpu->state + 8 * S_NX, x[0] & 1, 4);
    IrStop why = host_native.enter(env->plan, env->cpu, find(0x6000)->rx);
    unsigned want = flags_expected(text, x);
    bool ok = bits_at(env->cpu->state + 8 * S_NX, 1) == want;
    if (to == 0x6100)
        return ok && why == IR_STOP_BREAK && bits_at(env->cpu->state + 80, 8) == want;
    return ok && why == (to == 0x6200 ? IR_STOP_FAULT : IR_STOP_CHECK) && env->cpu->ir.pc == to;
}

static void test_flags(const char *name)
{
    static const uint64_t value[] = {0, 1, 3, 1ull << 31, 1ull << 32, (1ull << 32) + 3, 1ull << 63, ~0ull >> 1, ~0ull, 0xffffffff};
    char t[160];

    for (unsigned k = 0; k < sizeof flag_cases / sizeof *flag_cases; k++) {
        unsigned bad = 0;
        for (unsigned a = 0; a < 10; a++)
            for (unsigned b = 0; b < 10; b++)
                for (uint64_t to = 0x6100; to <= 0x6300; to += 0x100) /* 0x6300 is nowhere */
                    bad += !flags_case(&flag_cases[k], to, (uint64_t[]){value[a], value[b]});
        snprintf(t, sizeof t, "%s: flags of a %s, read, shown by a fault, at the end", name, flag_cases[k].what);
        TEST(t, bad == 0);
    }
}

/* What mostly comes back to where it begins: one comparison in two lines made such a loop a third slower. */
static void test_entry(const char *name)
{
    static const char text[] = "block0:\n insn 0x7000\n exit 0x7010\n";
    char t[80], err[256];
    bool ok = true;

    for (unsigned k = 0; k < 8; k++) {
        HostCode code;
        IrRegion *r = ir_parse(&env->arena, text, &env->slots, env->helpers, env->nhelpers, err, sizeof err);
        r->deep = true;
        ok = ok && host_native.compile(env->plan, r, &env->cb, &code) && ((uintptr_t)code.rw + (uintptr_t)env->cb.delta) % 64 == 0;
    }
    snprintf(t, sizeof t, "%s: a trail begins at a line", name);
    TEST(t, ok);
}

int main(void)
{
    TEST_BEGIN();
    for (int predict = 0; predict < 2; predict++) {
        const char *name = predict ? "predicted" : "plain";
        setup(predict);
        test_calls(name);
        test_recursion(name);
        test_indirect(name);
        test_entry(name);
        test_help_careful(name);
        test_crowded_exit(name);
        test_flags(name);
    }
    return TEST_END();
}
