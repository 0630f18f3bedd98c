/*
 * Registers, flags and conditions for the lifters: see lift.h.
 */
#include "guest/aarch64/lift.h"

#include <string.h>

IrRef a64_get_x(Lift *l, unsigned n)
{
    return n == 31 ? a64_c64(l, 0) : ir_get(&l->b, A64_X0 + n);
}

IrRef a64_get_xsp(Lift *l, unsigned n)
{
    return ir_get(&l->b, A64_X0 + n);
}

void a64_put_x(Lift *l, unsigned n, IrRef v)
{
    if (n != 31)
        ir_put(&l->b, A64_X0 + n, v);
}

void a64_put_xsp(Lift *l, unsigned n, IrRef v)
{
    ir_put(&l->b, A64_X0 + n, v);
}

IrRef a64_get(Lift *l, unsigned sf, unsigned n)
{
    if (n == 31)
        return ir_const(&l->b, a64_type(sf), 0);
    return ir_trunc(&l->b, a64_type(sf), a64_get_x(l, n));
}

IrRef a64_get_sp(Lift *l, unsigned sf, unsigned n)
{
    return ir_trunc(&l->b, a64_type(sf), a64_get_xsp(l, n));
}

void a64_put(Lift *l, unsigned sf, unsigned n, IrRef v)
{
    if (n != 31)
        a64_put_x(l, n, ir_zext(&l->b, IR_I64, v));
}

void a64_put_sp(Lift *l, unsigned sf, unsigned n, IrRef v)
{
    a64_put_xsp(l, n, ir_zext(&l->b, IR_I64, v));
}

void a64_put_zext(Lift *l, unsigned n, IrRef v)
{
    if (n != 31)
        a64_put_x(l, n, ir_zext(&l->b, IR_I64, v));
}

IrRef a64_get_v(Lift *l, unsigned n)
{
    return ir_get(&l->b, A64_V0 + n);
}

void a64_put_v(Lift *l, unsigned n, IrRef v)
{
    ir_put(&l->b, A64_V0 + n, v);
}

void a64_put_nzcv(Lift *l, IrRef n, IrRef z, IrRef c, IrRef v)
{
    ir_put(&l->b, A64_N, n);
    ir_put(&l->b, A64_Z, z);
    ir_put(&l->b, A64_C, c);
    ir_put(&l->b, A64_V, v);
}

void a64_put_logic_flags(Lift *l, IrType t, IrRef result)
{
    IrRef zero = ir_const(&l->b, t, 0);
    IrRef n = ir_icmp(&l->b, IR_LT | IR_PSIGNED, result, zero);
    IrRef z = ir_icmp(&l->b, IR_EQ, result, zero);
    IrRef none = a64_c8(l, 0);
    a64_put_nzcv(l, n, z, none, none);
}

IrRef a64_pack_nzcv(Lift *l)
{
    IrRef r = a64_c64(l, 0);
    static const uint8_t slot[4] = {A64_N, A64_Z, A64_C, A64_V};
    for (unsigned i = 0; i < 4; i++) {
        IrRef bit = ir_zext(&l->b, IR_I64, ir_get(&l->b, slot[i]));
        r = ir_op2(&l->b, IR_OR, IR_I64, r, ir_op2(&l->b, IR_SHL, IR_I64, bit, a64_c8(l, 31 - i)));
    }
    return r;
}

void a64_unpack_nzcv(Lift *l, IrRef v)
{
    static const uint8_t slot[4] = {A64_N, A64_Z, A64_C, A64_V};
    for (unsigned i = 0; i < 4; i++) {
        IrRef bit = ir_op1i(&l->b, IR_UBFX, IR_I64, v, (31 - i) | 1 << 8);
        ir_put(&l->b, slot[i], ir_trunc(&l->b, IR_I8, bit));
    }
}

IrRef a64_not(Lift *l, IrRef b)
{
    return ir_op2(&l->b, IR_XOR, IR_I8, b, a64_c8(l, 1));
}

/* The condition with bit 0 clear, from the flags. */
static IrRef base_cond(Lift *l, unsigned cond)
{
    IrBuilder *b = &l->b;
    switch (cond >> 1) {
    case 0: return ir_get(b, A64_Z);
    case 1: return ir_get(b, A64_C);
    case 2: return ir_get(b, A64_N);
    case 3: return ir_get(b, A64_V);
    case 4: return ir_op2(b, IR_AND, IR_I8, ir_get(b, A64_C), a64_not(l, ir_get(b, A64_Z)));
    case 5: return a64_not(l, ir_op2(b, IR_XOR, IR_I8, ir_get(b, A64_N), ir_get(b, A64_V)));
    default: {
        IrRef ge = a64_not(l, ir_op2(b, IR_XOR, IR_I8, ir_get(b, A64_N), ir_get(b, A64_V)));
        return ir_op2(b, IR_AND, IR_I8, ge, a64_not(l, ir_get(b, A64_Z)));
    }
    }
}

IrRef a64_cond(Lift *l, unsigned cond)
{
    if (cond >= 14)
        return a64_c8(l, 1);
    IrRef c = base_cond(l, cond);
    return cond & 1 ? a64_not(l, c) : c;
}

IrRef a64_addi(Lift *l, IrRef x, int64_t v)
{
    return v ? ir_op2(&l->b, IR_ADD, IR_I64, x, a64_c64(l, v)) : x;
}

IrRef a64_extend(Lift *l, IrType t, unsigned m, unsigned option, unsigned shift)
{
    IrType from = IR_I8 + (option & 3);
    IrRef x = ir_trunc(&l->b, from < t ? from : t, a64_get_x(l, m));
    x = option & 4 ? ir_sext(&l->b, t, x) : ir_zext(&l->b, t, x);
    return shift ? ir_op2(&l->b, IR_SHL, t, x, a64_c8(l, shift)) : x;
}

bool a64_word_ahead(Lift *l, uint64_t pc, uint32_t *insn)
{
    size_t avail;
    const uint8_t *code = l->ahead(l->ahead_ctx, pc, &avail);

    if (!code || avail < sizeof *insn)
        return false;
    memcpy(insn, code, sizeof *insn);
    return true;
}
