/*
 * Branches: Arm ARM C6.2. Those with pointer authentication take their target through a64_auth.
 */
#include "guest/aarch64/lift_branch.h"

enum { LR = 30 };

static void put_lr(Lift *l)
{
    a64_put_x(l, LR, a64_c64(l, l->next));
}

bool a64_lift_b(Lift *l, const A64Args *a)
{
    uint64_t target = l->pc + (uint64_t)a64_sext(a->imm26, 26) * 4;
    if (!a64_thunk(l, target, false))
        lift_jump(l, target);
    return true;
}

bool a64_lift_bl(Lift *l, const A64Args *a)
{
    uint64_t target = l->pc + (uint64_t)a64_sext(a->imm26, 26) * 4;
    if (a64_thunk(l, target, true))
        return true;
    put_lr(l);
    lift_call(l, target, l->next);
    return true;
}

bool a64_lift_b_cond(Lift *l, const A64Args *a)
{
    lift_branch(l, a64_cond(l, a->cond), l->pc + a64_sext(a->imm19, 19) * 4);
    return true;
}

bool a64_lift_cbz(Lift *l, const A64Args *a)
{
    IrRef zero = ir_const(&l->b, a64_type(a->sf), 0);
    IrRef cond = ir_icmp(&l->b, a->op ? IR_LT | IR_GT : IR_EQ, a64_get(l, a->sf, a->Rt), zero);
    lift_branch(l, cond, l->pc + a64_sext(a->imm19, 19) * 4);
    return true;
}

bool a64_lift_tbz(Lift *l, const A64Args *a)
{
    IrRef bit = a64_c64(l, 1ull << (a->b5 << 5 | a->b40));
    IrRef masked = ir_op2(&l->b, IR_AND, IR_I64, a64_get_x(l, a->Rt), bit);
    IrRef cond = ir_icmp(&l->b, a->op ? IR_LT | IR_GT : IR_EQ, masked, a64_c64(l, 0));
    lift_branch(l, cond, l->pc + a64_sext(a->imm14, 14) * 4);
    return true;
}

/* PSTATE.BTYPE, which says how the target was reached, is kept only where the process has guarded pages. */
static void put_btype(Lift *l, unsigned btype)
{
    if (!(l->mode & A64_MODE_BTI))
        return;
    ir_put(&l->b, A64_BTYPE, a64_c8(l, btype));
    if (l->flow)
        l->flow->lands = true;
}

/* BR: 1 through x16 or x17 (veneers), or from code that is not guarded; else 3. BLR: 2. */
static void put_btype_jump(Lift *l, unsigned n)
{
    put_btype(l, n == 16 || n == 17 || !l->guarded ? 1 : 3);
}

bool a64_lift_br(Lift *l, const A64Args *a)
{
    put_btype_jump(l, a->Rn);
    lift_jump_ind(l, a64_get_x(l, a->Rn), IR_HINT_JUMP, 0);
    return true;
}

/* The target is read before LR is written: `blr x30`. */
bool a64_lift_blr(Lift *l, const A64Args *a)
{
    IrRef target = a64_get_x(l, a->Rn);
    put_lr(l);
    put_btype(l, 2);
    lift_jump_ind(l, target, IR_HINT_CALL, l->next);
    return true;
}

bool a64_lift_ret(Lift *l, const A64Args *a)
{
    lift_jump_ind(l, a64_get_x(l, a->Rn), IR_HINT_RET, 0);
    return true;
}

/* BRAA, BRAB, BRAAZ, BRABZ, and the same for BLR: M selects key B, Z clear means modifier 0. */
static IrRef authenticated(Lift *l, const A64Args *a)
{
    IrRef modifier = a->Z ? a64_get_xsp(l, a->Rm) : a64_c64(l, 0);
    return a64_auth(l, a->M ? A64_KEY_IB : A64_KEY_IA, a64_get_x(l, a->Rn), modifier);
}

bool a64_lift_bra(Lift *l, const A64Args *a)
{
    put_btype_jump(l, a->Rn);
    lift_jump_ind(l, authenticated(l, a), IR_HINT_JUMP, 0);
    return true;
}

bool a64_lift_blra(Lift *l, const A64Args *a)
{
    IrRef target = authenticated(l, a);
    put_lr(l);
    put_btype(l, 2);
    lift_jump_ind(l, target, IR_HINT_CALL, l->next);
    return true;
}

bool a64_lift_reta(Lift *l, const A64Args *a)
{
    IrRef target = a64_auth(l, a->M ? A64_KEY_IB : A64_KEY_IA, a64_get_x(l, LR), ir_get(&l->b, A64_SP));
    lift_jump_ind(l, target, IR_HINT_RET, 0);
    return true;
}
