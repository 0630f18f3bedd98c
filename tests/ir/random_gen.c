/* Random instructions: what a lifter may make, in the made-up guest of support.h. */
#include "random_gen.h"

#include "support.h"

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

unsigned gen_below(Gen *g, unsigned n)
{
    return (unsigned)(test_random(&g->seed) % n);
}

static IrRef keep(Gen *g, unsigned kind, IrRef v)
{
    if (g->nval[kind] < GEN_MAX_VALS)
        g->val[kind][g->nval[kind]++] = v;
    else
        g->val[kind][gen_below(g, GEN_MAX_VALS)] = v;
    return v;
}

static IrRef constant(Gen *g, unsigned kind)
{
    static const IrType type[3] = {IR_I64, IR_I32, IR_I8};
    uint64_t v = gen_below(g, 3) ? gen_below(g, 20) : test_value(&g->seed);

    if (gen_below(g, 8) == 0)
        v = 0 - v;
    return ir_const(&g->b, type[kind], kind == VBOOL ? v & 1 : kind == V32 ? (uint32_t)v : v);
}

static IrRef pick(Gen *g, unsigned kind)
{
    if (g->nval[kind] == 0 || gen_below(g, 8) == 0)
        return constant(g, kind);
    return g->val[kind][gen_below(g, g->nval[kind])];
}

static IrType word(unsigned kind)
{
    return kind == V64 ? IR_I64 : IR_I32;
}

static void arith(Gen *g)
{
    static const uint16_t ops[] = {IR_ADD, IR_SUB, IR_MUL, IR_AND, IR_OR, IR_XOR, IR_ANDN, IR_ORN, IR_MINS, IR_MAXU, IR_MULHU,
                                   IR_DIVS, IR_DIVU, IR_ADD, IR_SUB, IR_ADD};
    unsigned kind = gen_below(g, 2);
    keep(g, kind, op2(g, (IrOp)ops[gen_below(g, 16)], word(kind), pick(g, kind), pick(g, kind)));
}

static void unary(Gen *g)
{
    static const uint16_t ops[] = {IR_NOT, IR_NEG, IR_CLZ, IR_CTZ, IR_BSWAP, IR_BITREV, IR_ABS, IR_POPCNT};
    unsigned kind = gen_below(g, 2);
    keep(g, kind, op1(g, (IrOp)ops[gen_below(g, 8)], word(kind), pick(g, kind)));
}

static void shift(Gen *g)
{
    static const uint16_t ops[] = {IR_SHL, IR_SHR, IR_SAR, IR_ROR};
    unsigned kind = gen_below(g, 2), n = kind == V64 ? 64 : 32;
    IrRef amount = gen_below(g, 2) ? ir_const(&g->b, IR_I8, gen_below(g, 70)) : narrow(g, IR_I8, pick(g, kind));
    keep(g, kind, op2(g, (IrOp)ops[gen_below(g, 4)], word(kind), pick(g, kind), amount));
    unsigned lsb = gen_below(g, n), width = 1 + gen_below(g, n - lsb);
    keep(g, kind, op1i(g, gen_below(g, 2) ? IR_UBFX : IR_SBFX, word(kind), pick(g, kind), lsb | (uint64_t)width << 8));
    keep(g, kind, op2i(g, IR_BFI, word(kind), pick(g, kind), pick(g, kind), lsb | (uint64_t)width << 8));
    keep(g, kind, op2i(g, IR_EXTR, word(kind), pick(g, kind), pick(g, kind), gen_below(g, n)));
}

static void width_change(Gen *g)
{
    static const IrType less[3] = {IR_I8, IR_I16, IR_I32};
    IrRef w = narrow(g, less[gen_below(g, 3)], pick(g, V64));
    keep(g, V32, narrow(g, IR_I32, pick(g, V64)));
    keep(g, V64, gen_below(g, 2) ? zext(g, IR_I64, pick(g, V32)) : sext(g, IR_I64, pick(g, V32)));
    keep(g, V64, gen_below(g, 2) ? zext(g, IR_I64, w) : sext(g, IR_I64, w));
    keep(g, V64, zext(g, IR_I64, pick(g, VBOOL)));
}

static unsigned predicate(Gen *g)
{
    return gen_below(g, 8) | (gen_below(g, 2) ? IR_PSIGNED : 0);
}

static void compare(Gen *g)
{
    unsigned kind = gen_below(g, 2);
    keep(g, VBOOL, icmp(g, predicate(g), pick(g, kind), pick(g, kind)));
}

static void flags(Gen *g)
{
    unsigned kind = gen_below(g, 2), how = gen_below(g, 4);
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
    IrRef cond = gen_below(g, 3) ? 0 : pick(g, VBOOL); /* as a conditional comparison does */
    for (unsigned k = 0; k < 4; k++)
        ir_put(&g->b, TEST_N + k, cond ? choose(g, cond, all[k], ir_const(&g->b, IR_I8, gen_below(g, 2))) : all[k]);
    if (how != 3)
        keep(g, kind, r);
}

static IrRef negate(Gen *g, IrRef b)
{
    return op2(g, IR_XOR, IR_I8, b, ir_const(&g->b, IR_I8, 1));
}

IrRef gen_condition(Gen *g)
{
    IrRef n = ir_get(&g->b, TEST_N), z = ir_get(&g->b, TEST_Z), c = ir_get(&g->b, TEST_C), v = ir_get(&g->b, TEST_V);
    IrRef r;

    switch (gen_below(g, 8)) {
    case 0: r = z; break;
    case 1: r = c; break;
    case 2: r = n; break;
    case 3: r = v; break;
    case 4: r = op2(g, IR_AND, IR_I8, c, negate(g, z)); break;
    case 5: r = negate(g, op2(g, IR_XOR, IR_I8, n, v)); break;
    case 6: r = op2(g, IR_AND, IR_I8, negate(g, op2(g, IR_XOR, IR_I8, n, v)), negate(g, z)); break;
    default: r = op2(g, IR_OR, IR_I8, z, op2(g, IR_XOR, IR_I8, n, v)); break;
    }
    return keep(g, VBOOL, gen_below(g, 2) ? negate(g, r) : r);
}

static void boolean(Gen *g)
{
    static const uint16_t ops[] = {IR_AND, IR_OR, IR_XOR};
    keep(g, VBOOL, op2(g, (IrOp)ops[gen_below(g, 3)], IR_I8, pick(g, VBOOL), pick(g, VBOOL)));
    keep(g, VBOOL, choose(g, pick(g, VBOOL), pick(g, VBOOL), pick(g, VBOOL)));
    unsigned kind = gen_below(g, 2);
    keep(g, kind, choose(g, gen_condition(g), pick(g, kind), pick(g, kind)));
}

static void carry(Gen *g)
{
    unsigned kind = gen_below(g, 2);
    IrType t = word(kind);
    IrRef a = pick(g, kind), b = pick(g, kind), c = pick(g, VBOOL);
    keep(g, kind, op3(g, IR_ADC, t, a, b, c));
    keep(g, VBOOL, opx(g, gen_below(g, 2) ? IR_ADC_C : IR_ADC_V, IR_I8, t, 0, 0, 0, a, b, c));
}

static void fp(Gen *g)
{
    IrRef a = opx(g, IR_BITCAST, IR_F64, IR_I64, 0, 0, 0, pick(g, V64), 0, 0);
    IrRef b = opx(g, IR_BITCAST, IR_F64, IR_I64, 0, 0, 0, pick(g, V64), 0, 0);
    unsigned sig = gen_below(g, 2) ? IR_SIGNALLING : 0;

    ir_put(&g->b, TEST_N, fcmp(g, IR_LT | sig, a, b));
    ir_put(&g->b, TEST_Z, fcmp(g, IR_EQ | sig, a, b));
    ir_put(&g->b, TEST_C, fcmp(g, IR_EQ | IR_GT | IR_UN | sig, a, b));
    ir_put(&g->b, TEST_V, fcmp(g, IR_UN | sig, a, b));
    IrRef s = op2(g, gen_below(g, 2) ? IR_FADD : IR_FMUL, IR_F64, a, b);
    keep(g, V64, opx(g, IR_BITCAST, IR_I64, IR_F64, 0, 0, 0, s, 0, 0));
    if (gen_below(g, 2))
        gen_condition(g);
}

static void vector(Gen *g)
{
    IrRef a = ir_get(&g->b, TEST_V0 + gen_below(g, 4)), b = ir_get(&g->b, TEST_V0 + gen_below(g, 4));
    IrRef r = opx(g, gen_below(g, 2) ? IR_ADD : IR_VADDS_SAT, IR_V128, IR_I16, 8, 0, 0, a, b, 0);
    r = opx(g, IR_XOR, IR_V128, 0, 0, 0, 0, r, gen_below(g, 2) ? a : r, 0);
    keep(g, V64, opx(g, IR_VGET, IR_I64, IR_I64, 0, 0, gen_below(g, 2), r, 0, 0));
    ir_put(&g->b, TEST_V0 + gen_below(g, 4), r);
}

/* An address, mostly a wild one; with `frame` mostly near the value of that slot. */
static IrRef address(Gen *g)
{
    if (g->frame && gen_below(g, 3))
        return op2(g, IR_ADD, IR_I64, ir_get(&g->b, g->frame), ir_const(&g->b, IR_I64, gen_below(g, 4) * 8));
    if (g->frame && gen_below(g, 4)) {
        IrRef in = op2(g, IR_AND, IR_I64, pick(g, V64), ir_const(&g->b, IR_I64, 0xff8));
        return op2(g, IR_ADD, IR_I64, in, ir_const(&g->b, IR_I64, TEST_MEM_BASE + 64));
    }
    return op2(g, gen_below(g, 4) ? IR_ADD : IR_SUB, IR_I64, ir_get(&g->b, TEST_X0 + gen_below(g, 8)),
               ir_const(&g->b, IR_I64, gen_below(g, 3) * 8));
}

/* A loaded value is put at the end of the instruction, as lifters must. */
static void memory(Gen *g)
{
    IrRef addr = address(g);
    static const IrType type[4] = {IR_I8, IR_I16, IR_I32, IR_I64};
    IrType t = type[gen_below(g, 4)];
    int disp = g->frame ? (int)gen_below(g, 6) * 4 - 8 : (int)gen_below(g, 40) - 20;

    if (gen_below(g, 2)) {
        ir_store(&g->b, t, addr, disp, pick(g, V64), 0);
    } else {
        IrRef v = keep(g, V64, ir_load(&g->b, IR_I64, t, addr, disp, gen_below(g, 2) ? IR_MEM_SIGNED : 0));
        ir_put(&g->b, TEST_X0 + gen_below(g, g->nput), v);
        if (gen_below(g, 2)) /* write-back */
            ir_put(&g->b, TEST_X0 + gen_below(g, g->nput), addr);
    }
}

void gen_insn(Gen *g)
{
    static void (*const kind[])(Gen *g) = {arith, arith, unary, shift, width_change, compare, flags, flags, flags, boolean,
                                           carry, fp, vector, memory, memory, memory};

    ir_emit(&g->b, (IrInsn){.op = IR_INSN, .imm = g->pc, .aux = 4});
    g->pc += 4;
    if (g->local) {
        memset(g->nval, 0, sizeof g->nval);
        for (unsigned k = gen_below(g, 3); k > 0; k--)
            keep(g, V64, ir_get(&g->b, TEST_X0 + gen_below(g, 8)));
    }
    kind[gen_below(g, 16)](g);
    if (gen_below(g, 2))
        ir_put(&g->b, TEST_X0 + gen_below(g, g->nput), pick(g, V64));
    if (gen_below(g, 3) == 0)
        keep(g, V64, ir_get(&g->b, TEST_X0 + gen_below(g, 8)));
}

bool gen_room(const Gen *g)
{
    return g->nval[0] < GEN_MAX_VALS - 8 && g->nval[1] < GEN_MAX_VALS - 8 && g->nval[2] < GEN_MAX_VALS - 8;
}

void gen_leave(Gen *g)
{
    if (gen_below(g, 8) == 0)
        ir_emit(&g->b, (IrInsn){.op = IR_OWE, .imm = 0x6000});
    switch (gen_below(g, 5)) {
    case 0: ir_exit_ind(&g->b, pick(g, V64), (IrHint)(gen_below(g, 2) ? IR_HINT_RET : IR_HINT_CALL), g->pc); break;
    case 1: ir_exit_call(&g->b, 0x5000, g->pc); break;
    case 2: ir_exit(&g->b, 0x100, IR_EXIT_POLL); break;
    case 3: ir_exit_stop(&g->b, g->pc, IR_STOP_ILLEGAL); break;
    default: ir_exit(&g->b, 0xdead, 0); break;
    }
}
