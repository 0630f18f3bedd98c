/*
 * Ordered and atomic accesses: Arm ARM B2.3, C6.2. Without FEAT_LSE2 all of them fault on an unaligned address, so each is
 * preceded by a test of it. What exclusives and atomics share is here too; the exclusives are in lift_excl.c.
 */
#include "guest/aarch64/lift_excl.h"

/* base + disp as an address, checked: where it is not a multiple of `size` the region ends in a fault. */
IrRef a64_aligned(Lift *l, IrRef base, int64_t disp, unsigned size)
{
    A64Addr at = a64_addr(l, base, disp);
    IrRef va = a64_addi(l, at.base, at.disp);
    if (size == 1)
        return va;
    IrRef low = ir_op2(&l->b, IR_AND, IR_I64, va, a64_c64(l, size - 1));
    lift_guard(l, ir_icmp(&l->b, IR_EQ, low, a64_c64(l, 0)), A64_HELP_UNALIGNED, 1, &va);
    return va;
}

/* Where versions are kept: lock va's granule, whatever its version. */
static unsigned lock(Lift *l, IrRef va, unsigned how)
{
    IrRef got = ir_opx(&l->b, IR_VLOCK, IR_I8, 0, 0, how, 0, va, a64_c64(l, 0), 0);
    lift_guard(l, got, A64_HELP_LOCKED, 0, NULL);
    return IR_MEM_UNLOCK;
}

unsigned a64_lock(Lift *l, IrRef va)
{
    return l->mode & A64_MODE_VERSIONS ? lock(l, va, IR_LOCK_ANY) : 0;
}

unsigned a64_lock_store(Lift *l, A64Addr at)
{
    return l->mode & A64_MODE_STRICT ? lock(l, a64_addi(l, at.base, at.disp), IR_LOCK_ANY | IR_LOCK_WATCHED) : 0;
}

/* --- acquire and release --- */

static bool load_ordered(Lift *l, const A64Args *a, int64_t disp, IrType reg, unsigned flags)
{
    IrRef va = a64_aligned(l, a64_get_xsp(l, a->Rn), disp, 1u << a->size);
    a64_put_zext(l, a->Rt, ir_load(&l->b, reg, IR_I8 + a->size, va, 0, flags | IR_MEM_ALIGNED));
    return true;
}

static bool store_release(Lift *l, const A64Args *a, int64_t disp)
{
    IrRef va = a64_aligned(l, a64_get_xsp(l, a->Rn), disp, 1u << a->size);
    a64_store(l, IR_I8 + a->size, (A64Addr){va, 0}, a64_get_x(l, a->Rt), IR_RELEASE | IR_MEM_ALIGNED);
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

IrRef a64_pair(Lift *l, unsigned sz, IrRef lo, IrRef hi)
{
    if (sz)
        return ir_op2(&l->b, IR_VPAIR, IR_V128, lo, hi);
    lo = ir_zext(&l->b, IR_I64, ir_trunc(&l->b, IR_I32, lo));
    return ir_op2(&l->b, IR_OR, IR_I64, lo, ir_op2(&l->b, IR_SHL, IR_I64, hi, a64_c8(l, 32)));
}

IrRef a64_pair_cas(Lift *l, unsigned sz, unsigned flags, IrRef va, IrRef expect, IrRef desired)
{
    IrType t = sz ? IR_V128 : IR_I64;
    return ir_emit(&l->b, (IrInsn){.op = IR_CAS, .type = t, .lane = t, .flags = flags, .a = va, .b = expect, .c = desired});
}

/* --- compare and swap: L acquire, o0 release --- */

bool a64_lift_cas(Lift *l, const A64Args *a)
{
    IrType t = a64_reg_type(a->size);
    IrRef va = a64_aligned(l, a64_get_xsp(l, a->Rn), 0, 1u << a->size);
    IrRef expect = ir_trunc(&l->b, t, a64_get_x(l, a->Rs)), desired = ir_trunc(&l->b, t, a64_get_x(l, a->Rt));
    unsigned flags = a64_order(a->L, a->o0) | a64_lock(l, va);
    IrRef old = ir_emit(&l->b, (IrInsn){.op = IR_CAS, .type = t, .lane = IR_I8 + a->size, .flags = flags, .a = va,
                                        .b = expect, .c = desired});
    a64_put_zext(l, a->Rs, old);
    return true;
}

bool a64_lift_casp(Lift *l, const A64Args *a)
{
    IrRef va = a64_aligned(l, a64_get_xsp(l, a->Rn), 0, a->sz ? 16 : 8), lo, hi;
    IrRef expect = a64_pair(l, a->sz, a64_get_x(l, a->Rs), a64_get_x(l, a->Rs + 1));
    IrRef desired = a64_pair(l, a->sz, a64_get_x(l, a->Rt), a64_get_x(l, a->Rt + 1));
    IrRef old = a64_pair_cas(l, a->sz, a64_order(a->L, a->o0) | a64_lock(l, va), va, expect, desired);
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
    IrType t = a64_reg_type(a->size);
    IrRef va = a64_aligned(l, a64_get_xsp(l, a->Rn), 0, 1u << a->size);
    IrRef v = ir_trunc(&l->b, t, a64_get_x(l, a->Rs));
    unsigned flags = a64_order(a->A, a->R) | a64_lock(l, va);
    IrRef old = ir_emit(&l->b, (IrInsn){.op = IR_RMW, .type = t, .lane = IR_I8 + a->size, .aux = kind, .flags = flags,
                                        .a = va, .b = v});
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
