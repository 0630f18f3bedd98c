/* Memory copy and set: every register after each part, both directions, faults in the middle and restarts. */
#include "guest/aarch64/features.h"
#include "guest/aarch64/helpers.h"
#include "guest/aarch64/state.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

enum { PROLOGUE, MAIN, EPILOGUE, BOTH = 4, D = 0, S = 1, N = 2, REGS = D | S << 5 | N << 10 };

static uint8_t memory[4096];
static uint64_t bad = UINT64_MAX; /* offset that faults */
static bool poll_now;

static uint64_t good_bytes(uint64_t at, uint64_t n, bool backward)
{
    if (bad < at || bad >= at + n)
        return n;
    return backward ? at + n - 1 - bad : bad - at;
}

static uint64_t copy(IrCpu *cpu, uint64_t dst, uint64_t src, uint64_t n, bool backward)
{
    uint64_t done = good_bytes(dst, n, backward);
    for (uint64_t i = 0; i < done; i++) {
        uint64_t k = backward ? n - 1 - i : i;
        memory[dst + k] = memory[src + k];
    }
    return done;
}

static uint64_t fill(IrCpu *cpu, uint64_t dst, uint8_t byte, uint64_t n)
{
    uint64_t done = good_bytes(dst, n, false);
    memset(memory + dst, byte, done);
    return done;
}

static bool poll(IrCpu *cpu)
{
    return poll_now;
}

static const IrWorld world = {.mem = {.copy = copy, .fill = fill}, .poll = poll};

static IrStop step(IrCpu *cpu, IrHelperFn *fn, unsigned kind)
{
    IrArgs args = {.arg = {{{REGS, 0}}, {{kind, 0}}}};
    cpu->pc += 4;
    return fn(cpu, &args);
}

static void set_registers(A64State *s, uint64_t d, uint64_t src, uint64_t n)
{
    s->x[D] = d;
    s->x[S] = src;
    s->x[N] = n;
    s->n = s->z = s->c = s->v = 1;
    for (unsigned i = 0; i < sizeof memory; i++)
        memory[i] = i * 7 + i / 256;
    bad = UINT64_MAX;
}

static bool registers(const A64State *s, uint64_t d, uint64_t src, uint64_t n)
{
    return s->x[D] == d && s->x[S] == src && s->x[N] == n;
}

static bool moved(uint64_t d, uint64_t src, uint64_t n)
{
    static uint8_t expect[sizeof memory];
    for (unsigned i = 0; i < sizeof expect; i++)
        expect[i] = i * 7 + i / 256;
    memmove(expect + d, expect + src, n);
    return memcmp(expect, memory, sizeof memory) == 0;
}

static void test_copy(IrCpu *cpu, A64State *s)
{
    set_registers(s, 1000, 2000, 300);
    step(cpu, a64_help_cpy, PROLOGUE | BOTH);
    TEST("forward: prologue", registers(s, 1300, 2300, -300ull) && !s->n && !s->z && !s->c && !s->v);
    TEST("forward: main", step(cpu, a64_help_cpy, MAIN | BOTH) == IR_STOP_NONE && registers(s, 1300, 2300, 0));
    TEST("forward: epilogue", step(cpu, a64_help_cpy, EPILOGUE | BOTH) == IR_STOP_NONE && moved(1000, 2000, 300));

    set_registers(s, 1100, 1000, 300);
    step(cpu, a64_help_cpy, PROLOGUE | BOTH);
    TEST("backward: prologue", registers(s, 1100, 1000, 300));
    TEST("backward: main", step(cpu, a64_help_cpy, MAIN | BOTH) == IR_STOP_NONE && registers(s, 1100, 1000, 0));
    TEST("backward: memory", moved(1100, 1000, 300));

    set_registers(s, 1000, 1100, 300);
    step(cpu, a64_help_cpy, PROLOGUE | BOTH);
    step(cpu, a64_help_cpy, MAIN | BOTH);
    TEST("overlap that must go up", moved(1000, 1100, 300));

    set_registers(s, 1000, 2000, 300);
    step(cpu, a64_help_cpy, PROLOGUE);
    bad = 1100;
    cpu->pc = 0x1000;
    TEST("a fault stops at the instruction", step(cpu, a64_help_cpy, MAIN) == IR_STOP_FAULT && cpu->pc == 0x1000);
    TEST("with exact registers", registers(s, 1300, 2300, -200ull));
    bad = UINT64_MAX;
    TEST("and restarts", step(cpu, a64_help_cpy, MAIN) == IR_STOP_NONE && registers(s, 1300, 2300, 0));
    TEST("to the same memory", moved(1000, 2000, 300));

    set_registers(s, 1100, 1000, 300);
    step(cpu, a64_help_cpy, PROLOGUE | BOTH);
    bad = 1150;
    TEST("backward fault", step(cpu, a64_help_cpy, MAIN | BOTH) == IR_STOP_FAULT && registers(s, 1100, 1000, 51));
    bad = UINT64_MAX;
    step(cpu, a64_help_cpy, MAIN | BOTH);
    TEST("backward restart", moved(1100, 1000, 300));

    set_registers(s, 1000, 2000, UINT64_MAX);
    step(cpu, a64_help_cpy, PROLOGUE | BOTH);
    TEST("size is limited", s->x[N] == -0x007fffffffffffffull);
}

static void test_set(IrCpu *cpu, A64State *s)
{
    set_registers(s, 1000, 0x1ab, 300);
    step(cpu, a64_help_set, PROLOGUE);
    TEST("set: prologue", registers(s, 1300, 0x1ab, -300ull) && !s->c);
    bad = 1200;
    TEST("set: fault", step(cpu, a64_help_set, MAIN) == IR_STOP_FAULT && s->x[N] == -100ull);
    bad = UINT64_MAX;
    TEST("set: main", step(cpu, a64_help_set, MAIN) == IR_STOP_NONE && registers(s, 1300, 0x1ab, 0));
    bool all = true;
    for (unsigned i = 1000; i < 1300; i++)
        all &= memory[i] == 0xab;
    TEST("set: memory", all && memory[999] == (uint8_t)(999 * 7 + 3) && memory[1300] == (uint8_t)(1300 * 7 + 5));
}

int main(void)
{
    A64State *s = calloc(1, sizeof *s);
    IrCpu cpu = {.state = (uint8_t *)s, .world = &world};
    TEST_BEGIN();
    test_copy(&cpu, s);
    test_set(&cpu, s);
    free(s);
    return TEST_END();
}
