/*
 * Pointer authentication instructions: Arm ARM C6.2, PACIA to XPACLRI. The codes are computed in pauth.c.
 */
#include "guest/aarch64/pauth.h"

#include "guest/aarch64/lift.h"

enum { LR = 30 };

static IrRef sign(Lift *l, A64Helper helper, A64KeyId key, IrRef ptr, IrRef modifier)
{
    IrRef args[] = {ptr, modifier, ir_const(&l->b, IR_I32, key)};
    return ir_call(&l->b, helper, 3, args);
}

IrRef a64_auth(Lift *l, A64KeyId key, IrRef ptr, IrRef modifier)
{
    return sign(l, A64_HELP_AUT, key, ptr, modifier);
}

static A64Helper pac_or_aut(const A64Args *a)
{
    return a->A ? A64_HELP_AUT : A64_HELP_PAC;
}

/* A: authenticate; D: data key; K: B key; Z: modifier zero. */
bool a64_lift_pac(Lift *l, const A64Args *a)
{
    IrRef modifier = a->Z ? a64_c64(l, 0) : a64_get_xsp(l, a->Rn);
    a64_put_x(l, a->Rd, sign(l, pac_or_aut(a), a->D << 1 | a->K, a64_get_x(l, a->Rd), modifier));
    return true;
}

bool a64_lift_pac1716(Lift *l, const A64Args *a)
{
    a64_put_x(l, 17, sign(l, pac_or_aut(a), a->K, a64_get_x(l, 17), a64_get_x(l, 16)));
    return true;
}

bool a64_lift_pacsp(Lift *l, const A64Args *a)
{
    IrRef modifier = a->sp ? ir_get(&l->b, A64_SP) : a64_c64(l, 0);
    a64_put_x(l, LR, sign(l, pac_or_aut(a), a->K, a64_get_x(l, LR), modifier));
    return true;
}

bool a64_lift_pacga(Lift *l, const A64Args *a)
{
    IrRef args[] = {a64_get_x(l, a->Rn), a64_get_xsp(l, a->Rm)};
    a64_put_x(l, a->Rd, ir_call(&l->b, A64_HELP_PACGA, 2, args));
    return true;
}

static bool strip(Lift *l, unsigned n)
{
    IrRef x = a64_get_x(l, n);
    IrRef sign = ir_op2(&l->b, IR_AND, IR_I64, x, a64_c64(l, 1ull << 55));
    IrRef upper = ir_op2(&l->b, IR_OR, IR_I64, x, a64_c64(l, A64_PAC_UPPER));
    IrRef lower = ir_op2(&l->b, IR_AND, IR_I64, x, a64_c64(l, ~A64_PAC_LOWER));
    a64_put_x(l, n, ir_select(&l->b, ir_icmp(&l->b, IR_EQ, sign, a64_c64(l, 0)), lower, upper));
    return true;
}

bool a64_lift_xpac(Lift *l, const A64Args *a)
{
    return strip(l, a->Rd);
}

bool a64_lift_xpaclri(Lift *l, const A64Args *a)
{
    return strip(l, LR);
}
