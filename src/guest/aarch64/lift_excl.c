/*
 * Exclusive accesses: Arm ARM B2.9, C6.2. See lift_excl.h.
 */
#include "guest/aarch64/lift_excl.h"

A64Excl a64_excl(const A64Args *a, bool pair)
{
    A64Excl x = {.a = a, .pair = pair};

    x.mem = !pair ? IR_I8 + a->size : a->sz ? IR_V128 : IR_I64;
    x.reg = x.mem == IR_V128 ? IR_V128 : x.mem == IR_I64 ? IR_I64 : IR_I32;
    x.bytes = ir_type_size(x.mem);
    return x;
}

void a64_excl_clear(Lift *l)
{
    ir_put(&l->b, A64_EXCL_ADDR, a64_c64(l, A64_NO_EXCL));
}

bool a64_lift_clrex(Lift *l, const A64Args *a)
{
    a64_excl_clear(l);
    return true;
}

/* --- load --- */

static IrRef half_of(Lift *l, const A64Excl *x, IrRef v, unsigned half)
{
    if (x->mem == IR_V128)
        return ir_opx(&l->b, IR_VGET, IR_I64, IR_I64, 2, 0, half, v, 0, 0);
    return half ? ir_op2(&l->b, IR_SHR, IR_I64, v, a64_c8(l, 32)) : ir_zext(&l->b, IR_I64, ir_trunc(&l->b, IR_I32, v));
}

IrRef a64_excl_load(Lift *l, const A64Excl *x, IrRef va, IrRef version)
{
    IrType t = x->mem == IR_V128 ? IR_V128 : IR_I64;
    IrRef v = ir_load(&l->b, t, x->mem, va, 0, a64_order(x->a->o0, false));
    bool wide = x->mem == IR_V128;

    ir_put(&l->b, A64_EXCL_ADDR, a64_get_xsp(l, x->a->Rn));
    ir_put(&l->b, A64_EXCL_LO, wide ? half_of(l, x, v, 0) : v);
    ir_put(&l->b, A64_EXCL_HI, wide ? half_of(l, x, v, 1) : a64_c64(l, 0));
    ir_put(&l->b, A64_EXCL_VERSION, version);
    a64_put_x(l, x->a->Rt, x->pair ? half_of(l, x, v, 0) : v);
    if (x->pair)
        a64_put_x(l, x->a->Rt2, half_of(l, x, v, 1));
    return v;
}

static bool load_exclusive(Lift *l, const A64Args *a, bool pair)
{
    A64Excl x = a64_excl(a, pair);

    if (a64_fuse(l, &x))
        return true;
    IrRef va = a64_aligned(l, a64_get_xsp(l, a->Rn), 0, x.bytes);
    if (!(l->mode & A64_MODE_VERSIONS)) {
        lift_instead(l, A64_HELP_MONITOR, 1, &va);
        return true;
    }
    /* In this order: what is written after the version was read shows in it. */
    uint64_t ready = l->mode & A64_MODE_STRICT ? 2 : 0;
    IrRef version = ir_op1(&l->b, IR_VERSION, IR_I64, va);
    IrRef state = ir_op2(&l->b, IR_AND, IR_I64, version, a64_c64(l, ready | 1));
    lift_guard(l, ir_icmp(&l->b, IR_EQ, state, a64_c64(l, ready)), A64_HELP_MONITOR, 1, &va);
    a64_excl_load(l, &x, va, version);
    return true;
}

bool a64_lift_ldxr(Lift *l, const A64Args *a)
{
    return load_exclusive(l, a, false);
}

bool a64_lift_ldxp(Lift *l, const A64Args *a)
{
    return load_exclusive(l, a, true);
}

/* --- store --- */

void a64_excl_check(Lift *l, unsigned Rs, IrRef cond)
{
    uint32_t on = ir_block_new(l->b.r), failed = ir_block_new(l->b.r);

    ir_brif(&l->b, cond, on, failed);
    l->b.block = failed;
    l->b.r->block[failed].cold = true;
    a64_excl_clear(l);
    a64_put_x(l, Rs, a64_c64(l, 1));
    ir_exit(&l->b, l->next, 0);
    l->b.block = on;
}

/* What memory held, as the type in which the operation compares it. */
static IrRef expected(Lift *l, const A64Excl *x)
{
    IrRef lo = ir_get(&l->b, A64_EXCL_LO);

    if (x->mem == IR_V128)
        return a64_pair(l, 1, lo, ir_get(&l->b, A64_EXCL_HI));
    lo = ir_trunc(&l->b, x->reg, lo);
    return x->bytes < 4 ? ir_op1i(&l->b, IR_UBFX, x->reg, lo, (8u * x->bytes) << 8) : lo;
}

void a64_excl_store(Lift *l, const A64Excl *x, IrRef va, IrRef expect, unsigned flags)
{
    IrRef value = a64_get_x(l, x->a->Rt), differ;
    IrRef desired = x->pair ? a64_pair(l, x->a->sz, value, a64_get_x(l, x->a->Rt2)) : ir_trunc(&l->b, x->reg, value);
    IrRef old = ir_emit(&l->b, (IrInsn){.op = IR_CAS, .type = x->reg, .lane = x->mem, .flags = flags | a64_order(false, x->a->o0),
                                        .a = va, .b = expect, .c = desired});

    if (x->mem == IR_V128) {
        differ = ir_opx(&l->b, IR_XOR, IR_V128, IR_I64, 2, 0, 0, old, expect, 0);
        differ = ir_opx(&l->b, IR_VANY, IR_I8, IR_I64, 2, 0, 0, differ, 0, 0);
    } else {
        differ = ir_icmp(&l->b, IR_LT | IR_GT, old, expect);
    }
    a64_excl_clear(l);
    a64_put_zext(l, x->a->Rs, differ);
}

/* Load and store compare the register's value, with its tag: one of them may be in careful form and the other not. */
static bool store_exclusive(Lift *l, const A64Args *a, bool pair)
{
    A64Excl x = a64_excl(a, pair);
    IrRef base = a64_get_xsp(l, a->Rn);
    unsigned flags = 0;

    a64_excl_check(l, a->Rs, ir_icmp(&l->b, IR_EQ, base, ir_get(&l->b, A64_EXCL_ADDR)));
    IrRef va = a64_aligned(l, base, 0, x.bytes);
    if (l->mode & A64_MODE_VERSIONS) {
        IrRef version = ir_get(&l->b, A64_EXCL_VERSION);
        a64_excl_check(l, a->Rs, ir_op2(&l->b, IR_VLOCK, IR_I8, va, version));
        flags = IR_MEM_UNLOCK;
    }
    a64_excl_store(l, &x, va, expected(l, &x), flags);
    return true;
}

bool a64_lift_stxr(Lift *l, const A64Args *a)
{
    return store_exclusive(l, a, false);
}

bool a64_lift_stxp(Lift *l, const A64Args *a)
{
    return store_exclusive(l, a, true);
}
