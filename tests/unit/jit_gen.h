/*
 * Random code for the tests of the host backend, and running it: translated and interpreted from the same random state,
 * registers, memory, pc and stop must agree. Every scalar operation, loads and stores of every kind, side exits, all ways out,
 * high pressure, and faults in the middle.
 */
#ifndef TESTS_JIT_GEN_H
#define TESTS_JIT_GEN_H

#include "jit_env.h"
#include "test.h"

static uint64_t rng;

static uint64_t rnd(void)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return rng * 0x2545f4914f6cdd1d;
}

static unsigned pick(unsigned n)
{
    return (unsigned)((rnd() >> 33) % n);
}

static uint64_t value(void)
{
    static const uint64_t special[] = {0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0x7fffffff, 0x80000000, 0xffffffff,
                                       0x7fffffffffffffff, 0x8000000000000000, UINT64_MAX, 63, 64, 31, 32};
    switch (pick(4)) {
    case 0: return special[pick(sizeof special / sizeof *special)];
    case 1: return rnd() >> pick(64);
    case 2: return (uint64_t)((int64_t)rnd() >> pick(64));
    default: return rnd();
    }
}

/* --- generation ------------------------------------------------------------------------------------------------------- */

enum { MAX_VALS = 4096 };

typedef struct Gen {
    IrBuilder b;
    IrRef val[IR_NTYPES][MAX_VALS];
    unsigned n[IR_NTYPES];
    uint64_t pc;
    bool graph;              /* slots are SSA values already, and operations get their snapshots here */
    IrRef cur[S_COUNT];      /* in a graph: the slots' values; 0: as on entry */
    bool fixed[S_COUNT];     /* in a graph: not to be changed here, a loop's header has no parameter for it */
} Gen;

static IrRef slot_get(Gen *g, unsigned slot)
{
    return g->graph && g->cur[slot] ? g->cur[slot] : ir_get(&g->b, slot);
}

static void slot_put(Gen *g, unsigned slot, IrRef v)
{
    if (!g->graph)
        ir_put(&g->b, slot, v);
    else if (!g->fixed[slot])
        g->cur[slot] = v;
}

/* In a graph: give the operation just emitted its snapshot. */
static void snapped(Gen *g)
{
    IrRegion *r = g->b.r;
    IrInsn *i = ir_insn(r, r->block[g->b.block].last);
    if (!g->graph || !(ir_ops[i->op].flags & IRF_SNAP))
        return;
    uint32_t snap = ir_snap_new(r, g->pc - 4);
    for (unsigned k = 0; k < S_COUNT; k++)
        if (g->cur[k]) {
            *ir_snapent_room(r, 1) = (IrSnapEnt){(uint16_t)k, g->cur[k]};
            r->nsnapent++;
            r->snap[snap].count++;
        }
    ir_insn(r, r->block[g->b.block].last)->snap = snap;
}

static void add_val(Gen *g, IrType t, IrRef v)
{
    if (g->n[t] < MAX_VALS)
        g->val[t][g->n[t]++] = v;
}

static IrRef get(Gen *g, IrType t)
{
    if (t == IR_I64 && pick(4) == 0)
        return slot_get(g, S_X0 + pick(S_NX));
    if (t == IR_V128 && pick(4) == 0)
        return slot_get(g, S_V0 + pick(S_NV));
    if (t != IR_V128 && t < IR_F16 && pick(8) == 0)
        return ir_const(&g->b, t, value());
    if (!g->n[t]) {
        if (t == IR_V128)
            return slot_get(g, S_V0 + pick(S_NV));
        if (t == IR_I64)
            return slot_get(g, S_X0 + pick(S_NX));
        if (t == IR_F32 || t == IR_F64)
            return ir_opx(&g->b, IR_VGET, t, t, t == IR_F32 ? 4 : 2, 0, pick(2), get(g, IR_V128), 0, 0);
        return ir_trunc(&g->b, t, get(g, IR_I64));
    }
    /* prefer recent values, so that chains form */
    unsigned n = g->n[t], back = pick(3) ? pick(n < 6 ? n : 6) : pick(n);
    return g->val[t][n - 1 - back];
}

static IrRef gen_fcmp(Gen *g, IrRef a, IrRef b, IrType t, unsigned how)
{
    return ir_opx(&g->b, IR_FCMP, IR_I8, t, 0, pick(16) | how, 0, a, b, 0);
}

static IrRef boolean(Gen *g)
{
    IrType t = pick(2) ? IR_I64 : IR_I32;
    if (pick(8) == 0) {
        t = pick(2) ? IR_F64 : IR_F32;
        return gen_fcmp(g, get(g, t), get(g, t), t, pick(3) ? 0 : IR_SIGNALLING);
    }
    unsigned rel = 1 + pick(6);
    if (rel != 5 && rel != 2 && pick(2))
        rel |= IR_PSIGNED;
    switch (pick(6)) {
    case 0: return slot_get(g, S_N + pick(4));
    case 1: return ir_opx(&g->b, pick(2) ? IR_ADD_C : IR_ADD_V, IR_I8, t, 0, 0, 0, get(g, t), get(g, t), 0);
    case 2: return ir_opx(&g->b, pick(2) ? IR_ADC_C : IR_ADC_V, IR_I8, t, 0, 0, 0, get(g, t), get(g, t),
                          slot_get(g, S_N + pick(4)));
    case 3: return ir_opx(&g->b, IR_SUB_V, IR_I8, t, 0, 0, 0, get(g, t), get(g, t), 0);
    case 4: t = pick(2) ? IR_I8 : IR_I16; /* fall through */
    default: return ir_icmp(&g->b, rel, get(g, t), get(g, t));
    }
}

static IrRef gen_binary(Gen *g, IrType t)
{
    static const IrOp ops[] = {IR_ADD, IR_SUB, IR_MUL, IR_MULHU, IR_MULHS, IR_DIVU, IR_DIVS, IR_MINS, IR_MAXS, IR_MINU,
                               IR_MAXU, IR_AND, IR_OR, IR_XOR, IR_ANDN, IR_ORN, IR_ADD, IR_SUB, IR_ADD, IR_AND};
    return ir_op2(&g->b, ops[pick(sizeof ops / sizeof *ops)], t, get(g, t), get(g, t));
}

static IrRef gen_unary(Gen *g, IrType t)
{
    static const IrOp ops[] = {IR_NEG, IR_ABS, IR_NOT, IR_CLZ, IR_CLS, IR_CTZ, IR_POPCNT, IR_BSWAP, IR_BITREV};
    return ir_op1(&g->b, ops[pick(sizeof ops / sizeof *ops)], t, get(g, t));
}

static IrRef gen_shift(Gen *g, IrType t)
{
    static const IrOp ops[] = {IR_SHL, IR_SHR, IR_SAR, IR_ROR};
    IrRef n = pick(2) ? ir_const(&g->b, IR_I8, rnd() & 0xff) : get(g, IR_I8);
    return ir_op2(&g->b, ops[pick(4)], t, get(g, t), n);
}

static IrRef gen_field(Gen *g, IrType t)
{
    unsigned n = t == IR_I64 ? 64 : 32, lsb = pick(n), width = 1 + pick(n - lsb);
    if (pick(3) == 0) {
        lsb = 0;
        width = 8u << pick(n == 64 ? 3 : 2);
    }
    uint64_t imm = lsb | width << 8;
    switch (pick(4)) {
    case 0: return ir_op1i(&g->b, IR_UBFX, t, get(g, t), imm);
    case 1: return ir_op1i(&g->b, IR_SBFX, t, get(g, t), imm);
    case 2: return ir_op2i(&g->b, IR_BFI, t, get(g, t), get(g, t), imm);
    default: return ir_op2i(&g->b, IR_EXTR, t, get(g, t), get(g, t), pick(n));
    }
}

static IrRef gen_width(Gen *g, IrType *t)
{
    static const IrType types[] = {IR_I8, IR_I16, IR_I32, IR_I64};
    unsigned from = pick(4), to = pick(4);
    *t = types[to];
    IrRef a = get(g, types[from]);
    if (from == to)
        return a;
    if (from > to)
        return ir_trunc(&g->b, types[to], a);
    return pick(2) ? ir_zext(&g->b, types[to], a) : ir_sext(&g->b, types[to], a);
}

static IrRef gen_vector(Gen *g)
{
    static const IrOp ops[] = {IR_ADD, IR_SUB, IR_XOR, IR_AND, IR_OR, IR_MINU, IR_VZIP1, IR_VTRN2, IR_ANDN};
    static const IrType lane[] = {IR_I8, IR_I16, IR_I32};
    unsigned k = pick(3), wide = pick(2);
    return ir_opx(&g->b, ops[pick(sizeof ops / sizeof *ops)], IR_V128, lane[k], (wide ? 16 : 8) >> k, 0, 0,
                  get(g, IR_V128), get(g, IR_V128), 0);
}

static IrRef gen_crc(Gen *g, IrType *t)
{
    IrType lane = (IrType)(IR_I8 + pick(4));
    *t = IR_I32;
    return ir_opx(&g->b, IR_CRC32, IR_I32, lane, 0, pick(2), 0, get(g, IR_I32), get(g, lane), 0);
}

static IrRef gen_misc(Gen *g, IrType *t)
{
    *t = pick(2) ? IR_I64 : IR_I32;
    switch (pick(10)) {
    case 0: return ir_select(&g->b, boolean(g), get(g, *t), get(g, *t));
    case 1: return ir_op3(&g->b, IR_ADC, *t, get(g, *t), get(g, *t), boolean(g));
    case 2: return gen_crc(g, t);
    case 3: *t = IR_I8; return boolean(g);
    case 4: *t = IR_V128; return ir_select(&g->b, boolean(g), get(g, IR_V128), get(g, IR_V128));
    case 5: *t = IR_I64; return ir_opx(&g->b, IR_VGET, IR_I64, IR_I64, 2, 0, pick(2), get(g, IR_V128), 0, 0);
    case 6: *t = IR_V128; return ir_opx(&g->b, IR_VPAIR, IR_V128, IR_I64, 2, 0, 0, get(g, IR_I64), get(g, IR_I64), 0);
    case 7: *t = IR_F64; return ir_op2(&g->b, pick(2) ? IR_FADD : IR_FMUL, IR_F64, get(g, IR_F64), get(g, IR_F64));
    case 8: *t = IR_I64; return ir_call(&g->b, 0, 2, (IrRef[]){get(g, IR_I64), get(g, IR_V128)});
    default: *t = IR_V128; return gen_vector(g);
    }
}

static void gen_value(Gen *g)
{
    IrType t = pick(2) ? IR_I64 : IR_I32;
    IrRef v;
    switch (pick(12)) {
    case 0: case 1: case 2: case 3: v = gen_binary(g, t); break;
    case 4: v = gen_unary(g, t); break;
    case 5: v = gen_shift(g, t); break;
    case 6: v = gen_field(g, t); break;
    case 7: case 8: v = gen_width(g, &t); break;
    default: v = gen_misc(g, &t); break;
    }
    add_val(g, t, v);
}

static void gen_side(Gen *g, unsigned depth, IrRef cond);

static void put_some(Gen *g, unsigned n)
{
    while (n--) {
        switch (pick(8)) {
        case 0: slot_put(g, S_N + pick(4), boolean(g)); break;
        case 1: slot_put(g, S_V0 + pick(S_NV), get(g, IR_V128)); break;
        default: slot_put(g, S_X0 + pick(S_NX), get(g, IR_I64)); break;
        }
    }
}

/* As a flag-setting addition, subtraction or test is lifted; often followed by a branch on it. */
static void gen_flags_insn(Gen *g, unsigned depth)
{
    IrType t = pick(2) ? IR_I64 : IR_I32;
    IrRef a = get(g, t), b = get(g, t), zero = ir_const(&g->b, t, 0), r, c, v;
    switch (pick(4)) {
    case 0:
        r = ir_op2(&g->b, IR_ADD, t, a, b);
        c = ir_opx(&g->b, IR_ADD_C, IR_I8, t, 0, 0, 0, a, b, 0);
        v = ir_opx(&g->b, IR_ADD_V, IR_I8, t, 0, 0, 0, a, b, 0);
        break;
    case 1:
        r = ir_op2(&g->b, IR_AND, t, a, b);
        c = v = ir_const(&g->b, IR_I8, 0);
        break;
    default:
        r = ir_op2(&g->b, IR_SUB, t, a, b);
        c = ir_icmp(&g->b, IR_GT | IR_EQ, a, b);
        v = ir_opx(&g->b, IR_SUB_V, IR_I8, t, 0, 0, 0, a, b, 0);
        break;
    }
    IrRef all[4] = {ir_icmp(&g->b, IR_LT | IR_PSIGNED, r, zero),
                    pick(2) ? ir_icmp(&g->b, IR_EQ, r, zero) : ir_icmp(&g->b, IR_EQ, a, b), c, v};
    IrRef cond = pick(4) == 0 ? boolean(g) : 0; /* as a conditional comparison does */
    for (unsigned k = 0; k < 4; k++) {
        IrRef other = pick(2) ? ir_const(&g->b, IR_I8, pick(2)) : slot_get(g, S_N + k);
        slot_put(g, S_N + k, !cond ? all[k] : pick(2) ? ir_select(&g->b, cond, all[k], other) : ir_select(&g->b, cond, other, all[k]));
    }
    if (pick(2)) {
        add_val(g, t, r);
        slot_put(g, S_X0 + pick(S_NX), t == IR_I64 ? r : ir_zext(&g->b, IR_I64, r));
    }
    if (pick(3) == 0) {
        unsigned rel = 1 + pick(6);
        gen_side(g, depth, pick(2) ? ir_icmp(&g->b, rel | (rel != 2 && rel != 5 ? IR_PSIGNED : 0), a, b)
                                   : ir_icmp(&g->b, rel, pick(2) ? r : a, pick(2) ? zero : b));
    }
}

/* A floating-point comparison into the flags, and a branch on one of its relations. */
static void gen_fcmp_insn(Gen *g, unsigned depth)
{
    IrType t = pick(2) ? IR_F64 : IR_F32;
    IrRef a = get(g, t), b = get(g, t);
    unsigned how = pick(3) ? 0 : IR_SIGNALLING;
    for (unsigned k = 0; k < 4; k++)
        slot_put(g, S_N + k, gen_fcmp(g, a, b, t, how));
    if (pick(2))
        gen_side(g, depth, gen_fcmp(g, a, b, t, how));
}

/* An address: mostly in the buffer, sometimes outside. Through adds and shifts, so that address modes are matched. */
static IrRef gen_addr(Gen *g, int64_t *disp)
{
    uint64_t base = (uint64_t)(uintptr_t)env->mem;
    IrRef a = ir_const(&g->b, IR_I64, base + (pick(24) ? 8 * pick(300) : MEM_SIZE + 8 * pick(100)));
    if (pick(2)) {
        IrRef idx = ir_op2(&g->b, IR_AND, IR_I64, get(g, IR_I64), ir_const(&g->b, IR_I64, pick(2) ? 0x78 : 0x7f));
        if (pick(2))
            idx = ir_op2(&g->b, IR_SHL, IR_I64, idx, ir_const(&g->b, IR_I8, pick(5)));
        a = ir_op2(&g->b, IR_ADD, IR_I64, pick(2) ? a : idx, pick(2) ? idx : a);
        a = ir_op2(&g->b, IR_AND, IR_I64, a, ir_const(&g->b, IR_I64, UINT64_MAX));
    }
    if (pick(3) == 0)
        a = ir_op2(&g->b, IR_ADD, IR_I64, a, ir_const(&g->b, IR_I64, 8 * pick(16)));
    *disp = pick(2) ? 0 : 8 * (int64_t)pick(20);
    return a;
}

static unsigned gen_flags(void)
{
    static const unsigned order[] = {IR_PLAIN, IR_PLAIN, IR_ACQUIRE, IR_RELEASE, IR_SEQ_CST, IR_ACQ_REL};
    return order[pick(6)];
}

static void gen_memory(Gen *g)
{
    static const IrType mem[] = {IR_I8, IR_I16, IR_I32, IR_I64, IR_V128, IR_F64, IR_F32};
    int64_t disp;
    IrType m = mem[pick(7)], t = m;
    IrRef a = gen_addr(g, &disp), v = 0;
    if (m <= IR_I64)
        t = m == IR_I64 ? IR_I64 : pick(2) ? IR_I64 : IR_I32;
    switch (pick(6)) {
    case 0: case 1:
        v = ir_load(&g->b, t, m, a, disp, gen_flags() | (t != m && pick(2) ? IR_MEM_SIGNED : 0));
        break;
    case 2: case 3:
        ir_store(&g->b, m, a, disp, get(g, t), gen_flags());
        break;
    case 4:
        if (m > IR_I64 && m != IR_V128)
            break;
        if (m == IR_V128)
            a = ir_op2(&g->b, IR_AND, IR_I64, a, ir_const(&g->b, IR_I64, ~15ull));
        v = ir_emit(&g->b, (IrInsn){.op = IR_CAS, .type = (uint8_t)t, .lane = (uint8_t)m, .a = a, .b = get(g, t),
                                    .c = get(g, t), .flags = (uint16_t)(IR_ACQ_REL)});
        break;
    default:
        if (m > IR_I64)
            break;
        v = ir_emit(&g->b, (IrInsn){.op = IR_RMW, .type = (uint8_t)t, .lane = (uint8_t)m, .a = a, .b = get(g, t),
                                    .aux = (uint8_t)pick(9), .flags = (uint16_t)(IR_ACQ_REL)});
        break;
    }
    snapped(g);
    if (v)
        add_val(g, t, v);
}

static void gen_exit(Gen *g)
{
    uint64_t to = 4 * (rnd() >> 20);
    switch (pick(8)) {
    case 0: ir_exit_call(&g->b, to, pick(2) ? g->pc + 4 : to | 0x7fff00000000); break;
    case 1: ir_exit_ind(&g->b, get(g, IR_I64), (IrHint)pick(2), g->pc + 4); break;
    case 2: ir_exit_ind(&g->b, get(g, IR_I64), IR_HINT_RET, 0); break;
    case 3: ir_exit_help(&g->b, 1, to, 2, (IrRef[]){get(g, IR_I64), get(g, IR_V128)}); break;
    case 4: ir_exit_stop(&g->b, g->pc, IR_STOP_BREAK); break;
    default: ir_exit(&g->b, to, pick(4) ? 0 : IR_EXIT_POLL); break;
    }
    snapped(g);
}

static void gen_insn(Gen *g)
{
    ir_emit(&g->b, (IrInsn){.op = IR_INSN, .imm = g->pc, .aux = 4});
    g->pc += 4;
}

static void gen_body(Gen *g, unsigned size, unsigned depth)
{
    while (size--) {
        gen_insn(g);
        if (pick(4) == 0)
            gen_memory(g);
        for (unsigned k = pick(4); k--;)
            gen_value(g);
        put_some(g, pick(3));
        if (pick(4) == 0)
            gen_flags_insn(g, depth);
        if (pick(12) == 0)
            gen_fcmp_insn(g, depth);
        if (pick(8) == 0)
            gen_side(g, depth, boolean(g));
    }
}

static void gen_side(Gen *g, unsigned depth, IrRef cond)
{
    unsigned n[IR_NTYPES];
    IrRef cur[S_COUNT];
    uint32_t side = ir_block_new(g->b.r), on = ir_block_new(g->b.r);
    bool swap = pick(2);

    g->b.r->block[side].cold = pick(8) != 0;
    memcpy(n, g->n, sizeof n);
    memcpy(cur, g->cur, sizeof cur);
    ir_brif(&g->b, cond, swap ? on : side, swap ? side : on);
    g->b.block = side;
    if (pick(2) && depth < 2)
        gen_body(g, pick(4), depth + 1);
    gen_exit(g);
    memcpy(g->n, n, sizeof n);
    memcpy(g->cur, cur, sizeof cur);
    g->b.block = on;
}

/* --- running ---------------------------------------------------------------------------------------------------------- */

static uint64_t help_mix(IrCpu *cpu, IrArgs *args)
{
    clobber_high();
    args->ret = (IrVal){.u64 = {args->arg[0].u64[0] * 3 + args->arg[1].u64[1], 0}};
    return 0;
}

static uint64_t help_state(IrCpu *cpu, IrArgs *args)
{
    for (unsigned k = 0; k < STATE_SIZE / 8; k++)
        ((uint64_t *)cpu->state)[k] += k >= S_NX && k < S_NX + 2 ? 0 : args->arg[0].u64[0] + args->arg[1].u64[1] + k;
    return args->arg[0].u64[0] & 1 ? IR_STOP_CHECK : IR_STOP_NONE;
}

static const IrHelper helpers[] = {
    {"mix", help_mix, IR_I64, 2, {IR_I64, IR_V128}},
    {"state", help_state, IR_VOID, 2, {IR_I64, IR_V128}},
};

static void random_state(HostCpu *cpu)
{
    for (unsigned k = 0; k < STATE_SIZE / 8; k++)
        ((uint64_t *)cpu->state)[k] = value();
    memset(cpu->state + 8 * S_NX, 0, 16);
    for (unsigned k = 0; k < 4; k++)
        cpu->state[8 * S_NX + k] = rnd() & 1;
}

static bool same(const HostCpu *a, const HostCpu *b, IrStop sa, IrStop sb)
{
    if (sa == IR_STOP_NONE)
        sa = IR_STOP_CHECK;
    if (sb == IR_STOP_NONE)
        sb = IR_STOP_CHECK;
    return sa == sb && a->ir.pc == b->ir.pc && a->ir.fp.flags == b->ir.fp.flags &&
           !memcmp(a->state, b->state, STATE_SIZE);
}

static void report(const IrRegion *r, IrStop sa, IrStop sb, const uint8_t *mem)
{
    ir_print(stderr, r);
    env_disas(stderr);
    fprintf(stderr, "jit: stop %d pc %lx fp %x   interp: stop %d pc %lx fp %x\n", sa, (long)env->cpu->ir.pc, env->cpu->ir.fp.flags,
            sb, (long)env->ref->ir.pc, env->ref->ir.fp.flags);
    for (unsigned k = 0; k < S_COUNT; k++) {
        IrVal x = {0}, y = {0};
        memcpy(&x, env->cpu->state + env->slot[k].offset, ir_type_size((IrType)env->slot[k].type));
        memcpy(&y, env->ref->state + env->slot[k].offset, ir_type_size((IrType)env->slot[k].type));
        if (memcmp(&x, &y, 16))
            fprintf(stderr, "%s: jit %016lx%016lx interp %016lx%016lx\n", env->slot[k].name, (long)x.u64[1], (long)x.u64[0],
                    (long)y.u64[1], (long)y.u64[0]);
    }
    if (memcmp(mem, env->mem, MEM_SIZE))
        fprintf(stderr, "memory differs\n");
}

static bool polled(IrCpu *cpu)
{
    return env->cpu->exit_request;
}

/* Both ways from `states` random states. */
static inline bool same_runs(const IrRegion *r, unsigned states)
{
    static uint8_t mem0[MEM_SIZE], mem1[MEM_SIZE];

    if (!env_compile(r)) {
        if (r->graph && !env->cb.overflow) {
            env->refused++;
            return true;
        }
        fprintf(stderr, "does not compile\n");
        return false;
    }
    while (states--) {
        random_state(env->ref);
        memcpy(env->cpu->state, env->ref->state, STATE_SIZE);
        for (unsigned k = 0; k < MEM_SIZE / 8; k++)
            ((uint64_t *)mem0)[k] = value();
        env->ref->ir.fp = env->cpu->ir.fp = (FpEnv){0};
        env->ref->ir.pc = env->cpu->ir.pc = r->pc;
        env->world.poll = polled;
        env->cpu->exit_request = pick(4) == 0;

        memcpy(env->mem, mem0, MEM_SIZE);
        IrStop sb = ir_interp(r, &env->ref->ir, &env->arena);
        memcpy(mem1, env->mem, MEM_SIZE);
        memcpy(env->mem, mem0, MEM_SIZE);
        host_native.fp_load(env->cpu);
        IrStop sa = host_native.enter(env->plan, env->cpu, env->code_rx);
        host_native.fp_store(env->cpu);
        if (!same(env->cpu, env->ref, sa, sb) || memcmp(mem1, env->mem, MEM_SIZE)) {
            report(r, sa, sb, mem1);
            return false;
        }
    }
    return true;
}

typedef bool RandomFn(unsigned size, unsigned states);

/* `count` random pieces of code of `size` from `seed`, for this host processor; `one` makes and runs one. */
static inline bool random_run(const char *host, uint64_t seed, unsigned count, unsigned size, const char *what, RandomFn *one)
{
    char name[80];
    unsigned k;

    env_new(helpers, 2, true, host);
    for (k = 0; k < count; k++) {
        rng = (seed + k) * 0x9e3779b97f4a7c15 + 1;
        if (!one(size, 4))
            break;
    }
    snprintf(name, sizeof name, "%u random %s from seed %lu, %s", k, what, (unsigned long)seed, host);
    TEST(name, k == count && env->refused <= count / 20);
    if (k < count)
        printf("# failed with seed %lu\n", (unsigned long)(seed + k));
    printf("# %lu faults recovered, %lu too large\n", (unsigned long)env->faults, (unsigned long)env->refused);
    return k == count;
}

/* main() of a test of such code. */
static inline int random_main(int argc, char **argv, unsigned count, unsigned size, const char *what, RandomFn *one)
{
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;

    TEST_BEGIN();
    random_run("native", seed, argc > 2 ? (unsigned)atoi(argv[2]) : count, argc > 3 ? (unsigned)atoi(argv[3]) : size, what, one);
    return TEST_END();
}

#endif
