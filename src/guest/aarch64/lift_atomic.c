/*
 * Ordered, exclusive and atomic accesses: Arm ARM B2.3, C6.2. Without FEAT_LSE2 all of them fault on an unaligned address,
 * so each is preceded by a test of it.
 *
 * Exclusives: a load notes its address and value; the store succeeds when the address is the same and a compare-exchange
 * from that value succeeds.
 */
#include "guest/aarch64/lift_mem.h"

/* base + disp as an address, checked: where it is not a multiple of `size` the region ends in a fault. */
static IrRef aligned(Lift *l, IrRef base, int64_t disp, unsigned size)
{
    A64Addr at = a64_addr(l, base, disp);
    IrRef va = a64_addi(l, at.base, at.disp);
    if (size == 1)
        return va;
    IrRef low = ir_op2(&l->b, IR_AND, IR_I64, va, a64_c64(l, size - 1));
    lift_guard(l, ir_icmp(&l->b, IR_EQ, low, a64_c64(l, 0)), A64_HELP_UNALIGNED, 1, &va);
    return va;
}

static IrType reg_type(unsigned size)
{
    return size == 3 ? IR_I64 : IR_I32;
}

static unsigned order(bool acquire, bool release)
{
    return IR_MEM_ALIGNED | (acquire ? IR_ACQUIRE : 0) | (release ? IR_RELEASE : 0);
}

/* --- acquire and release --- */

static bool load_ordered(Lift *l, const A64Args *a, int64_t disp, IrType reg, unsigned flags)
{
    IrRef va = aligned(l, a64_get_xsp(l, a->Rn), disp, 1u << a->size);
    a64_put_zext(l, a->Rt, ir_load(&l->b, reg, IR_I8 + a->size, va, 0, flags | IR_MEM_ALIGNED));
    return true;
}

static bool store_release(Lift *l, const A64Args *a, int64_t disp)
{
    IrRef va = aligned(l, a64_get_xsp(l, a->Rn), disp, 1u << a->size);
    ir_store(&l->b, IR_I8 + a->size, va, 0, a64_get_x(l, a->Rt), IR_RELEASE | IR_MEM_ALIGNED);
    return true;
}

bool a64_lift_ldar(Lift *l, const A64Args *a)
{
    return load_ordered(l, a, 0, IR_I64, IR_ACQUIRE);
}

bool a64_lift_stlr(Lift *l, const A64Args *a)
{
    return store_release(l, a, 0);
}

bool a64_lift_ldapr(Lift *l, const A64Args *a)
{
    return load_ordered(l, a, 0, IR_I64, IR_ACQUIRE_PC);
}

bool a64_lift_ldapur(Lift *l, const A64Args *a)
{
    unsigned sign = a->opc >= 2 ? IR_MEM_SIGNED : 0;
    return load_ordered(l, a, a64_sext(a->imm9, 9), a->opc == 3 ? IR_I32 : IR_I64, IR_ACQUIRE_PC | sign);
}

bool a64_lift_stlur(Lift *l, const A64Args *a)
{
    return store_release(l, a, a64_sext(a->imm9, 9));
}

/* --- exclusive --- */

static void put_excl(Lift *l, IrRef addr, IrRef lo, IrRef hi)
{
    ir_put(&l->b, A64_EXCL_ADDR, addr);
    ir_put(&l->b, A64_EXCL_LO, lo);
    ir_put(&l->b, A64_EXCL_HI, hi);
}

static void clear_excl(Lift *l)
{
    ir_put(&l->b, A64_EXCL_ADDR, a64_c64(l, A64_NO_EXCL));
}

bool a64_lift_clrex(Lift *l, const A64Args *a)
{
    clear_excl(l);
    return true;
}

bool a64_lift_ldxr(Lift *l, const A64Args *a)
{
    IrRef base = a64_get_xsp(l, a->Rn), va = aligned(l, base, 0, 1u << a->size);
    IrRef v = ir_load(&l->b, IR_I64, IR_I8 + a->size, va, 0, order(a->o0, false));
    put_excl(l, base, v, a64_c64(l, 0));
    a64_put_x(l, a->Rt, v);
    return true;
}

bool a64_lift_ldxp(Lift *l, const A64Args *a)
{
    IrRef base = a64_get_xsp(l, a->Rn), va = aligned(l, base, 0, a->sz ? 16 : 8), lo, hi;
    if (a->sz) {
        IrRef v = ir_load(&l->b, IR_V128, IR_V128, va, 0, order(a->o0, false));
        lo = ir_opx(&l->b, IR_VGET, IR_I64, IR_I64, 2, 0, 0, v, 0, 0);
        hi = ir_opx(&l->b, IR_VGET, IR_I64, IR_I64, 2, 0, 1, v, 0, 0);
        put_excl(l, base, lo, hi);
    } else {
        IrRef v = ir_load(&l->b, IR_I64, IR_I64, va, 0, order(a->o0, false));
        put_excl(l, base, v, a64_c64(l, 0));
        lo = ir_zext(&l->b, IR_I64, ir_trunc(&l->b, IR_I32, v));
        hi = ir_op2(&l->b, IR_SHR, IR_I64, v, a64_c8(l, 32));
    }
    a64_put_x(l, a->Rt, lo);
    a64_put_x(l, a->Rt2, hi);
    return true;
}

/*
 * Begin a store exclusive: where the monitor is not open for the address, status 1 and on at the next instruction. Load
 * and store compare the register's value, with its tag: one of them may be in careful form and the other not.
 */
static void check_monitor(Lift *l, const A64Args *a, IrRef base)
{
    IrRef open = ir_icmp(&l->b, IR_EQ, base, ir_get(&l->b, A64_EXCL_ADDR));
    uint32_t on = ir_block_new(l->b.r), failed = ir_block_new(l->b.r);
    ir_brif(&l->b, open, on, failed);
    l->b.block = failed;
    l->b.r->block[failed].cold = true;
    clear_excl(l);
    a64_put_x(l, a->Rs, a64_c64(l, 1));
    ir_exit(&l->b, l->next, 0);
    l->b.block = on;
}

/* Low bytes of v, as many as an access of `size` log2 bytes sees. */
static IrRef low_bytes(Lift *l, IrType t, IrRef v, unsigned size)
{
    return size < 2 ? ir_op1i(&l->b, IR_UBFX, t, v, (8u << size) << 8) : v;
}

bool a64_lift_stxr(Lift *l, const A64Args *a)
{
    IrType t = reg_type(a->size), mem = IR_I8 + a->size;
    IrRef base = a64_get_xsp(l, a->Rn);
    check_monitor(l, a, base);
    IrRef va = aligned(l, base, 0, 1u << a->size);
    IrRef expect = low_bytes(l, t, ir_trunc(&l->b, t, ir_get(&l->b, A64_EXCL_LO)), a->size);
    IrRef desired = ir_trunc(&l->b, t, a64_get_x(l, a->Rt));
    IrRef old = ir_emit(&l->b, (IrInsn){.op = IR_CAS, .type = t, .lane = mem, .flags = order(false, a->o0), .a = va,
                                        .b = expect, .c = desired});
    clear_excl(l);
    a64_put_zext(l, a->Rs, ir_icmp(&l->b, IR_LT | IR_GT, old, expect));
    return true;
}

/* Two registers as the value of a 16-byte or, sz 0, an 8-byte access. */
static IrRef pair_value(Lift *l, unsigned sz, IrRef lo, IrRef hi)
{
    if (sz)
        return ir_op2(&l->b, IR_VPAIR, IR_V128, lo, hi);
    lo = ir_zext(&l->b, IR_I64, ir_trunc(&l->b, IR_I32, lo));
    return ir_op2(&l->b, IR_OR, IR_I64, lo, ir_op2(&l->b, IR_SHL, IR_I64, hi, a64_c8(l, 32)));
}

static IrRef pair_cas(Lift *l, unsigned sz, unsigned flags, IrRef va, IrRef expect, IrRef desired)
{
    IrType t = sz ? IR_V128 : IR_I64;
    return ir_emit(&l->b, (IrInsn){.op = IR_CAS, .type = t, .lane = t, .flags = flags, .a = va, .b = expect, .c = desired});
}

bool a64_lift_stxp(Lift *l, const A64Args *a)
{
    IrRef base = a64_get_xsp(l, a->Rn);
    check_monitor(l, a, base);
    IrRef va = aligned(l, base, 0, a->sz ? 16 : 8);
    IrRef desired = pair_value(l, a->sz, a64_get_x(l, a->Rt), a64_get_x(l, a->Rt2));
    IrRef expect = ir_get(&l->b, A64_EXCL_LO), failed;
    if (a->sz)
        expect = pair_value(l, 1, expect, ir_get(&l->b, A64_EXCL_HI));
    IrRef old = pair_cas(l, a->sz, order(false, a->o0), va, expect, desired);
    if (a->sz) {
        IrRef differ = ir_opx(&l->b, IR_XOR, IR_V128, IR_I64, 2, 0, 0, old, expect, 0);
        failed = ir_opx(&l->b, IR_VANY, IR_I8, IR_I64, 2, 0, 0, differ, 0, 0);
    } else {
        failed = ir_icmp(&l->b, IR_LT | IR_GT, old, expect);
    }
    clear_excl(l);
    a64_put_zext(l, a->Rs, failed);
    return true;
}

/* --- compare and swap: L acquire, o0 release --- */

bool a64_lift_cas(Lift *l, const A64Args *a)
{
    IrType t = reg_type(a->size);
    IrRef va = aligned(l, a64_get_xsp(l, a->Rn), 0, 1u << a->size);
    IrRef expect = ir_trunc(&l->b, t, a64_get_x(l, a->Rs)), desired = ir_trunc(&l->b, t, a64_get_x(l, a->Rt));
    IrRef old = ir_emit(&l->b, (IrInsn){.op = IR_CAS, .type = t, .lane = IR_I8 + a->size, .flags = order(a->L, a->o0),
                                        .a = va, .b = expect, .c = desired});
    a64_put_zext(l, a->Rs, old);
    return true;
}

bool a64_lift_casp(Lift *l, const A64Args *a)
{
    IrRef va = aligned(l, a64_get_xsp(l, a->Rn), 0, a->sz ? 16 : 8), lo, hi;
    IrRef expect = pair_value(l, a->sz, a64_get_x(l, a->Rs), a64_get_x(l, a->Rs + 1));
    IrRef desired = pair_value(l, a->sz, a64_get_x(l, a->Rt), a64_get_x(l, a->Rt + 1));
    IrRef old = pair_cas(l, a->sz, order(a->L, a->o0), va, expect, desired);
    if (a->sz) {
        lo = ir_opx(&l->b, IR_VGET, IR_I64, IR_I64, 2, 0, 0, old, 0, 0);
        hi = ir_opx(&l->b, IR_VGET, IR_I64, IR_I64, 2, 0, 1, old, 0, 0);
    } else {
        lo = ir_zext(&l->b, IR_I64, ir_trunc(&l->b, IR_I32, old));
        hi = ir_op2(&l->b, IR_SHR, IR_I64, old, a64_c8(l, 32));
    }
    a64_put_x(l, a->Rs, lo);
    a64_put_x(l, a->Rs + 1, hi);
    return true;
}

/* --- read-modify-write --- */

static bool rmw(Lift *l, const A64Args *a, IrRmw kind)
{
    IrType t = reg_type(a->size);
    IrRef va = aligned(l, a64_get_xsp(l, a->Rn), 0, 1u << a->size);
    IrRef v = ir_trunc(&l->b, t, a64_get_x(l, a->Rs));
    IrRef old = ir_emit(&l->b, (IrInsn){.op = IR_RMW, .type = t, .lane = IR_I8 + a->size, .aux = kind,
                                        .flags = order(a->A, a->R), .a = va, .b = v});
    a64_put_zext(l, a->Rt, old);
    return true;
}

bool a64_lift_ldop(Lift *l, const A64Args *a)
{
    static const IrRmw kind[8] = {IR_RMW_ADD,  IR_RMW_CLR,  IR_RMW_XOR,  IR_RMW_OR,
                                  IR_RMW_MAXS, IR_RMW_MINS, IR_RMW_MAXU, IR_RMW_MINU};
    return rmw(l, a, kind[a->opc]);
}

bool a64_lift_swp(Lift *l, const A64Args *a)
{
    return rmw(l, a, IR_RMW_SWAP);
}
