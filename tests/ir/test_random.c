/*
 * Random regions, through every pass: the optimised region must do what the one as built did, on random states, whatever
 * passes are left out. Regions are trees such as lifters make: traces with side exits, flag-setting arithmetic followed by
 * conditions, loads and stores that sometimes fault, scalar and vector values. With arguments: SEED [COUNT], to repeat.
 */
#include "../unit/test.h"
#include "opt/opt.h"
#include "support.h"

#define MAX_VALS 64

typedef struct Gen {
    uint64_t seed;
    IrBuilder b;
    uint64_t pc;
    IrRef val[3][MAX_VALS]; /* values of types i64, i32, i8 (booleans) in scope */
    unsigned nval[3];
    bool raw;               /* emit as told, without the builder's simplification */
} Gen;

enum { V64, V32, VBOOL };

/* The builder's functions, or plain emission. */

static IrRef opx(Gen *g, IrOp op, IrType t, IrType lane, unsigned lanes, unsigned aux, uint64_t imm, IrRef x, IrRef y, IrRef z)
{
    if (!g->raw)
        return ir_opx(&g->b, op, t, lane, lanes, aux, imm, x, y, z);
    return ir_emit(&g->b, (IrInsn){.op = op, .type = t, .lane = lane, .lanes = (uint8_t)lanes, .aux = (uint8_t)aux, .a = x,
                                   .b = y, .c = z, .imm = imm});
}

static IrRef op1(Gen *g, IrOp op, IrType t, IrRef a)
{
    return opx(g, op, t, 0, 0, 0, 0, a, 0, 0);
}

static IrRef op2(Gen *g, IrOp op, IrType t, IrRef a, IrRef b)
{
    return opx(g, op, t, 0, 0, 0, 0, a, b, 0);
}

static IrRef op3(Gen *g, IrOp op, IrType t, IrRef a, IrRef b, IrRef c)
{
    return opx(g, op, t, 0, 0, 0, 0, a, b, c);
}

static IrRef op1i(Gen *g, IrOp op, IrType t, IrRef a, uint64_t imm)
{
    return opx(g, op, t, 0, 0, 0, imm, a, 0, 0);
}

static IrRef op2i(Gen *g, IrOp op, IrType t, IrRef a, IrRef b, uint64_t imm)
{
    return opx(g, op, t, 0, 0, 0, imm, a, b, 0);
}

static IrType type_of(const Gen *g, IrRef a)
{
    return (IrType)ir_insn(g->b.r, a)->type;
}

static IrRef icmp(Gen *g, unsigned pred, IrRef a, IrRef b)
{
    return opx(g, IR_ICMP, IR_I8, type_of(g, a), 0, pred, 0, a, b, 0);
}

static IrRef fcmp(Gen *g, unsigned pred, IrRef a, IrRef b)
{
    return opx(g, IR_FCMP, IR_I8, type_of(g, a), 0, pred, 0, a, b, 0);
}

static IrRef choose(Gen *g, IrRef c, IrRef a, IrRef b)
{
    return opx(g, IR_SELECT, type_of(g, a), 0, 0, 0, 0, c, a, b);
}

static IrRef width(Gen *g, IrOp op, IrType to, IrRef a)
{
    return type_of(g, a) == to ? a : opx(g, op, to, type_of(g, a), 0, 0, 0, a, 0, 0);
}

static IrRef zext(Gen *g, IrType to, IrRef a)
{
    return width(g, IR_ZEXT, to, a);
}

static IrRef sext(Gen *g, IrType to, IrRef a)
{
    return width(g, IR_SEXT, to, a);
}

static IrRef narrow(Gen *g, IrType to, IrRef a)
{
    return width(g, IR_TRUNC, to, a);
}

static unsigned below(Gen *g, unsigned n)
{
    return (unsigned)(test_random(&g->seed) % n);
}

static IrRef keep(Gen *g, unsigned kind, IrRef v)
{
    if (g->nval[kind] < MAX_VALS)
        g->val[kind][g->nval[kind]++] = v;
    else
        g->val[kind][below(g, MAX_VALS)] = v;
    return v;
}

static IrRef constant(Gen *g, unsigned kind)
{
    static const IrType type[3] = {IR_I64, IR_I32, IR_I8};
    uint64_t v = below(g, 3) ? below(g, 20) : test_value(&g->seed);

    if (below(g, 8) == 0)
        v = 0 - v;
    return ir_const(&g->b, type[kind], kind == VBOOL ? v & 1 : kind == V32 ? (uint32_t)v : v);
}

static IrRef pick(Gen *g, unsigned kind)
{
    if (g->nval[kind] == 0 || below(g, 8) == 0)
        return constant(g, kind);
    return g->val[kind][below(g, g->nval[kind])];
}

static IrType word(unsigned kind)
{
    return kind == V64 ? IR_I64 : IR_I32;
}

static void arith(Gen *g)
{
    static const uint16_t ops[] = {IR_ADD, IR_SUB, IR_MUL, IR_AND, IR_OR, IR_XOR, IR_ANDN, IR_ORN, IR_MINS, IR_MAXU, IR_MULHU,
                                   IR_DIVS, IR_DIVU, IR_ADD, IR_SUB, IR_ADD};
    unsigned kind = below(g, 2);
    keep(g, kind, op2(g, (IrOp)ops[below(g, 16)], word(kind), pick(g, kind), pick(g, kind)));
}

static void unary(Gen *g)
{
    static const uint16_t ops[] = {IR_NOT, IR_NEG, IR_CLZ, IR_CTZ, IR_BSWAP, IR_BITREV, IR_ABS, IR_POPCNT};
    unsigned kind = below(g, 2);
    keep(g, kind, op1(g, (IrOp)ops[below(g, 8)], word(kind), pick(g, kind)));
}

static void shift(Gen *g)
{
    static const uint16_t ops[] = {IR_SHL, IR_SHR, IR_SAR, IR_ROR};
    unsigned kind = below(g, 2), n = kind == V64 ? 64 : 32;
    IrRef amount = below(g, 2) ? ir_const(&g->b, IR_I8, below(g, 70)) : narrow(g, IR_I8, pick(g, kind));
    keep(g, kind, op2(g, (IrOp)ops[below(g, 4)], word(kind), pick(g, kind), amount));
    unsigned lsb = below(g, n), width = 1 + below(g, n - lsb);
    keep(g, kind, op1i(g, below(g, 2) ? IR_UBFX : IR_SBFX, word(kind), pick(g, kind), lsb | (uint64_t)width << 8));
    keep(g, kind, op2i(g, IR_BFI, word(kind), pick(g, kind), pick(g, kind), lsb | (uint64_t)width << 8));
    keep(g, kind, op2i(g, IR_EXTR, word(kind), pick(g, kind), pick(g, kind), below(g, n)));
}

static void width_change(Gen *g)
{
    static const IrType less[3] = {IR_I8, IR_I16, IR_I32};
    IrRef w = narrow(g, less[below(g, 3)], pick(g, V64));
    keep(g, V32, narrow(g, IR_I32, pick(g, V64)));
    keep(g, V64, below(g, 2) ? zext(g, IR_I64, pick(g, V32)) : sext(g, IR_I64, pick(g, V32)));
    keep(g, V64, below(g, 2) ? zext(g, IR_I64, w) : sext(g, IR_I64, w));
    keep(g, V64, zext(g, IR_I64, pick(g, VBOOL)));
}

static unsigned predicate(Gen *g)
{
    return below(g, 8) | (below(g, 2) ? IR_PSIGNED : 0);
}

static void compare(Gen *g)
{
    unsigned kind = below(g, 2);
    keep(g, VBOOL, icmp(g, predicate(g), pick(g, kind), pick(g, kind)));
}

static void flags(Gen *g)
{
    unsigned kind = below(g, 2), how = below(g, 4);
    IrType t = word(kind);
    IrRef a = pick(g, kind), b = pick(g, kind), zero = ir_const(&g->b, t, 0), c, v, r;

    if (how == 0) {
        r = op2(g, IR_ADD, t, a, b);
        c = opx(g, IR_ADD_C, IR_I8, t, 0, 0, 0, a, b, 0);
        v = opx(g, IR_ADD_V, IR_I8, t, 0, 0, 0, a, b, 0);
    } else if (how == 1) {
        r = op2(g, IR_AND, t, a, b);
        c = v = ir_const(&g->b, IR_I8, 0);
    } else {
        r = op2(g, IR_SUB, t, a, b);
        c = icmp(g, IR_EQ | IR_GT, a, b);
        v = opx(g, IR_SUB_V, IR_I8, t, 0, 0, 0, a, b, 0);
    }
    IrRef n = icmp(g, IR_LT | IR_PSIGNED, r, zero), z = icmp(g, IR_EQ, r, zero);
    IrRef all[4] = {n, z, c, v};
    IrRef cond = below(g, 3) ? 0 : pick(g, VBOOL); /* as a conditional comparison does */
    for (unsigned k = 0; k < 4; k++)
        ir_put(&g->b, TEST_N + k, cond ? choose(g, cond, all[k], ir_const(&g->b, IR_I8, below(g, 2))) : all[k]);
    if (how != 3)
        keep(g, kind, r);
}

static IrRef negate(Gen *g, IrRef b)
{
    return op2(g, IR_XOR, IR_I8, b, ir_const(&g->b, IR_I8, 1));
}

static IrRef condition(Gen *g)
{
    IrRef n = ir_get(&g->b, TEST_N), z = ir_get(&g->b, TEST_Z), c = ir_get(&g->b, TEST_C), v = ir_get(&g->b, TEST_V);
    IrRef r;

    switch (below(g, 8)) {
    case 0: r = z; break;
    case 1: r = c; break;
    case 2: r = n; break;
    case 3: r = v; break;
    case 4: r = op2(g, IR_AND, IR_I8, c, negate(g, z)); break;
    case 5: r = negate(g, op2(g, IR_XOR, IR_I8, n, v)); break;
    case 6: r = op2(g, IR_AND, IR_I8, negate(g, op2(g, IR_XOR, IR_I8, n, v)), negate(g, z)); break;
    default: r = op2(g, IR_OR, IR_I8, z, op2(g, IR_XOR, IR_I8, n, v)); break;
    }
    return keep(g, VBOOL, below(g, 2) ? negate(g, r) : r);
}

static void boolean(Gen *g)
{
    static const uint16_t ops[] = {IR_AND, IR_OR, IR_XOR};
    keep(g, VBOOL, op2(g, (IrOp)ops[below(g, 3)], IR_I8, pick(g, VBOOL), pick(g, VBOOL)));
    keep(g, VBOOL, choose(g, pick(g, VBOOL), pick(g, VBOOL), pick(g, VBOOL)));
    unsigned kind = below(g, 2);
    keep(g, kind, choose(g, condition(g), pick(g, kind), pick(g, kind)));
}

static void carry(Gen *g)
{
    unsigned kind = below(g, 2);
    IrType t = word(kind);
    IrRef a = pick(g, kind), b = pick(g, kind), c = pick(g, VBOOL);
    keep(g, kind, op3(g, IR_ADC, t, a, b, c));
    keep(g, VBOOL, opx(g, below(g, 2) ? IR_ADC_C : IR_ADC_V, IR_I8, t, 0, 0, 0, a, b, c));
}

static void fp(Gen *g)
{
    IrRef a = opx(g, IR_BITCAST, IR_F64, IR_I64, 0, 0, 0, pick(g, V64), 0, 0);
    IrRef b = opx(g, IR_BITCAST, IR_F64, IR_I64, 0, 0, 0, pick(g, V64), 0, 0);
    unsigned sig = below(g, 2) ? IR_SIGNALLING : 0;

    ir_put(&g->b, TEST_N, fcmp(g, IR_LT | sig, a, b));
    ir_put(&g->b, TEST_Z, fcmp(g, IR_EQ | sig, a, b));
    ir_put(&g->b, TEST_C, fcmp(g, IR_EQ | IR_GT | IR_UN | sig, a, b));
    ir_put(&g->b, TEST_V, fcmp(g, IR_UN | sig, a, b));
    IrRef s = op2(g, below(g, 2) ? IR_FADD : IR_FMUL, IR_F64, a, b);
    keep(g, V64, opx(g, IR_BITCAST, IR_I64, IR_F64, 0, 0, 0, s, 0, 0));
    if (below(g, 2))
        condition(g);
}

static void vector(Gen *g)
{
    IrRef a = ir_get(&g->b, TEST_V0 + below(g, 4)), b = ir_get(&g->b, TEST_V0 + below(g, 4));
    IrRef r = opx(g, below(g, 2) ? IR_ADD : IR_VADDS_SAT, IR_V128, IR_I16, 8, 0, 0, a, b, 0);
    r = opx(g, IR_XOR, IR_V128, 0, 0, 0, 0, r, below(g, 2) ? a : r, 0);
    keep(g, V64, opx(g, IR_VGET, IR_I64, IR_I64, 0, 0, below(g, 2), r, 0, 0));
    ir_put(&g->b, TEST_V0 + below(g, 4), r);
}

/* A loaded value is put at the end of the instruction, as lifters must. */
static void memory(Gen *g)
{
    IrRef addr = op2(g, below(g, 4) ? IR_ADD : IR_SUB, IR_I64, ir_get(&g->b, TEST_X0 + below(g, 8)),
                        ir_const(&g->b, IR_I64, below(g, 3) * 8));
    static const IrType type[4] = {IR_I8, IR_I16, IR_I32, IR_I64};
    IrType t = type[below(g, 4)];

    if (below(g, 2)) {
        ir_store(&g->b, t, addr, (int)below(g, 40) - 20, pick(g, V64), 0);
    } else {
        IrRef v = keep(g, V64, ir_load(&g->b, IR_I64, t, addr, (int)below(g, 40) - 20, below(g, 2) ? IR_MEM_SIGNED : 0));
        ir_put(&g->b, TEST_X0 + below(g, 8), v);
        if (below(g, 2)) /* write-back */
            ir_put(&g->b, TEST_X0 + below(g, 8), addr);
    }
}

static void instruction(Gen *g)
{
    static void (*const kind[])(Gen *g) = {arith, arith, unary, shift, width_change, compare, flags, flags, flags, boolean,
                                           carry, fp, vector, memory, memory, memory};

    ir_emit(&g->b, (IrInsn){.op = IR_INSN, .imm = g->pc, .aux = 4});
    g->pc += 4;
    kind[below(g, 16)](g);
    if (below(g, 2))
        ir_put(&g->b, TEST_X0 + below(g, 8), pick(g, V64));
    if (below(g, 3) == 0)
        keep(g, V64, ir_get(&g->b, TEST_X0 + below(g, 8)));
}

static void leave(Gen *g)
{
    switch (below(g, 5)) {
    case 0: ir_exit_ind(&g->b, pick(g, V64), (IrHint)(below(g, 2) ? IR_HINT_RET : IR_HINT_CALL), g->pc); break;
    case 1: ir_exit_call(&g->b, 0x5000, g->pc); break;
    case 2: ir_exit(&g->b, 0x100, IR_EXIT_POLL); break;
    case 3: ir_exit_stop(&g->b, g->pc, IR_STOP_ILLEGAL); break;
    default: ir_exit(&g->b, 0xdead, 0); break;
    }
}

/* A conditional branch: a side exit, and on along the trace. */
static void side_exit(Gen *g)
{
    IrRef cond = condition(g);
    uint32_t here = g->b.block, side = ir_block_new(g->b.r), on = ir_block_new(g->b.r);
    unsigned nval[3] = {g->nval[0], g->nval[1], g->nval[2]};

    (void)here;
    if (below(g, 2))
        ir_brif(&g->b, cond, side, on);
    else
        ir_brif(&g->b, cond, on, side);
    g->b.r->block[side].cold = true;
    g->b.block = side;
    /* values made here are out of scope afterwards; only with room left, so that none is overwritten */
    if (below(g, 3) == 0 && nval[0] < MAX_VALS - 8 && nval[1] < MAX_VALS - 8 && nval[2] < MAX_VALS - 8)
        instruction(g);
    leave(g);
    g->b.block = on;
    memcpy(g->nval, nval, sizeof nval);
}

static IrRegion *generate(Arena *a, uint64_t seed, bool raw)
{
    Gen g = {.raw = raw, .seed = seed * 0x9e3779b97f4a7c15ull + 1, .pc = 0x1000};

    ir_builder_init(&g.b, ir_region_new(a, &test_slots, test_helpers, TEST_NHELPERS, g.pc));
    for (unsigned n = 3 + below(&g, 20); n > 0; n--) {
        instruction(&g);
        if (below(&g, 5) == 0)
            side_exit(&g);
    }
    leave(&g);
    return g.b.r;
}

static uint64_t dead_at(void *ctx, uint64_t pc)
{
    return pc == 0xdead ? 0xf : 0;
}

static bool one(uint64_t seed, bool loud)
{
    Arena a;
    OptConfig cfg = {.verify = true, .dead = dead_at};
    uint64_t s = seed;
    bool ok = true;

    arena_init(&a);
    IrRegion *before = generate(&a, seed, true), *r = generate(&a, seed, seed & 1);
    if (seed % 3 == 0)
        cfg.skip = (uint32_t)test_random(&s);
    if (loud)
        ir_print(stdout, before);
    opt_run(r, &cfg);
    if (loud)
        ir_print(stdout, r);
    for (uint64_t k = 0; k < 12 && ok; k++)
        ok = test_same_run(before, r, 0xf, seed * 1000 + k + 1);
    if (!ok)
        printf("# region of seed %llu\n", (unsigned long long)seed);
    arena_done(&a);
    return ok;
}

int main(int argc, char **argv)
{
    uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 0) : 1, count = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
    unsigned bad = 0;

    if (argc == 1)
        count = 3000;
    TEST_BEGIN();
    for (uint64_t k = 0; k < count && bad < 5; k++)
        bad += !one(first + k, argc == 2);
    TEST("random regions", bad == 0);
    return TEST_END();
}
