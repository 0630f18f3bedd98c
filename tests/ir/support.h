/*
 * A small made-up guest for tests of IR: slots, a 64 KiB memory, helpers. Include it once, from the test's C file.
 */
#ifndef TESTS_IR_SUPPORT_H
#define TESTS_IR_SUPPORT_H

#include "ir/ir.h"

#include <stdlib.h>
#include <string.h>

#define TEST_MEM_BASE 0x10000u
#define TEST_MEM_SIZE 0x10000u

typedef struct TestState {
    uint8_t n, z, c, v;
    uint64_t x[8];
    _Alignas(16) IrVal q[4];
} TestState;

static const IrSlot test_slot[] = {
    {"n", IR_I8, offsetof(TestState, n)}, {"z", IR_I8, offsetof(TestState, z)},
    {"c", IR_I8, offsetof(TestState, c)}, {"v", IR_I8, offsetof(TestState, v)},
    {"x0", IR_I64, offsetof(TestState, x[0])}, {"x1", IR_I64, offsetof(TestState, x[1])},
    {"x2", IR_I64, offsetof(TestState, x[2])}, {"x3", IR_I64, offsetof(TestState, x[3])},
    {"x4", IR_I64, offsetof(TestState, x[4])}, {"x5", IR_I64, offsetof(TestState, x[5])},
    {"x6", IR_I64, offsetof(TestState, x[6])}, {"x7", IR_I64, offsetof(TestState, x[7])},
    {"v0", IR_V128, offsetof(TestState, q[0])}, {"v1", IR_V128, offsetof(TestState, q[1])},
    {"v2", IR_V128, offsetof(TestState, q[2])}, {"v3", IR_V128, offsetof(TestState, q[3])},
};
enum { TEST_N, TEST_Z, TEST_C, TEST_V, TEST_X0, TEST_V0 = TEST_X0 + 8, TEST_NSLOTS = TEST_V0 + 4 };

static const IrSlots test_slots = {test_slot, TEST_NSLOTS, sizeof(TestState)};

static uint64_t test_help_sum(IrCpu *cpu, IrArgs *args)
{
    args->ret = (IrVal){{args->arg[0].u64[0] + args->arg[1].u64[0], 0}};
    return 0;
}

/* Changes a slot and the pc's continuation is its argument: 0 goes on, else a stop. */
static uint64_t test_help_leave(IrCpu *cpu, IrArgs *args)
{
    ((TestState *)cpu->state)->x[7] += args->arg[0].u64[0];
    return args->arg[0].u64[0] & 1 ? IR_STOP_CHECK : IR_STOP_NONE;
}

static const IrHelper test_helpers[] = {
    {"sum", test_help_sum, IR_I64, 2, {IR_I64, IR_I64}},
    {"leave", test_help_leave, IR_VOID, 1, {IR_I64}},
};
#define TEST_NHELPERS 2

/* A vcpu of the made-up guest with its memory. */
typedef struct TestCpu {
    IrCpu cpu;
    IrWorld world;
    TestState state;
    uint8_t mem[TEST_MEM_SIZE];
    bool poll;
    unsigned polls;  /* how often it was asked: in the end any loop with a poll is left */
    uint64_t fault_va;
} TestCpu;

static uint8_t *test_at(IrCpu *cpu, uint64_t va, unsigned size)
{
    TestCpu *t = (TestCpu *)cpu;

    if (va >= TEST_MEM_BASE && va - TEST_MEM_BASE <= TEST_MEM_SIZE - size)
        return &t->mem[va - TEST_MEM_BASE];
    t->fault_va = va;
    return NULL;
}

static bool test_load(IrCpu *cpu, uint64_t va, unsigned size, unsigned flags, IrVal *out)
{
    uint8_t *p = test_at(cpu, va, size);

    if (p)
        memcpy(out, p, size);
    return p != NULL;
}

static bool test_store(IrCpu *cpu, uint64_t va, unsigned size, unsigned flags, const IrVal *val)
{
    uint8_t *p = test_at(cpu, va, size);

    if (p)
        memcpy(p, val, size);
    return p != NULL;
}

static bool test_cas(IrCpu *cpu, uint64_t va, unsigned size, unsigned flags, const IrVal *expect, const IrVal *desired,
                     IrVal *old)
{
    uint8_t *p = test_at(cpu, va, size);

    if (!p)
        return false;
    memcpy(old, p, size);
    if (memcmp(p, expect, size) == 0)
        memcpy(p, desired, size);
    return true;
}

static bool test_rmw(IrCpu *cpu, uint64_t va, unsigned size, unsigned flags, IrRmw kind, const IrVal *val, IrVal *old)
{
    uint8_t *p = test_at(cpu, va, size);

    if (!p)
        return false;
    memcpy(old, p, size);
    uint64_t now = ir_rmw(kind, size, old->u64[0], val->u64[0]);
    memcpy(p, &now, size);
    return true;
}

static bool test_poll(IrCpu *cpu)
{
    TestCpu *t = (TestCpu *)cpu;

    return t->poll || ++t->polls > 20;
}

static inline char *test_print(const IrRegion *r)
{
    char *buf = NULL;
    size_t len;
    FILE *f = open_memstream(&buf, &len);

    ir_print(f, r);
    fclose(f);
    return buf;
}

static inline uint64_t test_random(uint64_t *seed)
{
    uint64_t x = *seed;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return *seed = x;
}

/* A 64-bit number in which special values are frequent. */
static inline uint64_t test_value(uint64_t *seed)
{
    static const uint64_t special[] = {0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff,
        0x100000000, 0x7fffffffffffffff, 0x8000000000000000, 0xffffffffffffffff, 0xfffffffffffffffe, 0x3ff0000000000000,
        0x7ff0000000000000, 0x7ff8000000000000, 0xffffffff80000000};
    uint64_t r = test_random(seed);

    switch (r % 5) {
    case 0: return special[r / 8 % (sizeof special / sizeof *special)];
    case 1: return r >> 8 & 0xff;
    case 2: return TEST_MEM_BASE + (r >> 8) % TEST_MEM_SIZE;
    default: return test_random(seed);
    }
}

static inline void test_cpu_init(TestCpu *t, uint64_t *seed)
{
    memset(t, 0, sizeof *t);
    t->cpu.state = (uint8_t *)&t->state;
    t->cpu.world = &t->world;
    t->world.mem = (IrMemOps){test_load, test_store, test_cas, test_rmw, NULL, NULL};
    t->world.poll = test_poll;
    t->poll = test_random(seed) & 1;
    t->state.n = test_random(seed) & 1;
    t->state.z = test_random(seed) & 1;
    t->state.c = test_random(seed) & 1;
    t->state.v = test_random(seed) & 1;
    for (unsigned k = 0; k < 8; k++)
        t->state.x[k] = test_value(seed);
    for (unsigned k = 0; k < 4; k++)
        t->state.q[k] = (IrVal){{test_value(seed), test_value(seed)}};
    for (unsigned k = 0; k < TEST_MEM_SIZE; k += 8) {
        uint64_t r = test_random(seed);
        memcpy(t->mem + k, &r, 8);
    }
}

/*
 * Run both regions on one random state; compare everything that a guest can see.
 *   dead  slots that need not agree when the run ended at 0xdead
 */
static inline bool test_same_run(const IrRegion *a, const IrRegion *b, uint64_t dead, uint64_t seed)
{
    static TestCpu ca, cb;
    Arena scratch;
    uint64_t s1 = seed, s2 = seed;

    arena_init(&scratch);
    test_cpu_init(&ca, &s1);
    test_cpu_init(&cb, &s2);
    IrStop ra = ir_interp(a, &ca.cpu, &scratch);
    IrStop rb = ir_interp(b, &cb.cpu, &scratch);
    arena_done(&scratch);
    if (ca.cpu.pc == 0xdead)
        for (unsigned k = 0; k < 64 && k < TEST_NSLOTS; k++)
            if (dead >> k & 1)
                memcpy((char *)&ca.state + test_slot[k].offset, (char *)&cb.state + test_slot[k].offset,
                       ir_type_size(test_slot[k].type));
    bool ok = ra == rb && ca.cpu.pc == cb.cpu.pc && memcmp(&ca.state, &cb.state, sizeof ca.state) == 0 &&
              memcmp(ca.mem, cb.mem, sizeof ca.mem) == 0 && ca.cpu.fp.flags == cb.cpu.fp.flags;
    if (!ok)
        printf("# seed 0x%llx: stop %d/%d pc 0x%llx/0x%llx\n", (unsigned long long)seed, ra, rb,
               (unsigned long long)ca.cpu.pc, (unsigned long long)cb.cpu.pc);
    return ok;
}

/* Read a whole file into malloc'd, NUL-terminated memory; NULL when it cannot be read. */
static inline char *test_read_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    char *buf = NULL;
    size_t n = 0, got;

    if (!f)
        return NULL;
    do {
        buf = realloc(buf, n + 4097);
        got = fread(buf + n, 1, 4096, f);
        n += got;
    } while (got);
    buf[n] = 0;
    fclose(f);
    return buf;
}

#endif
