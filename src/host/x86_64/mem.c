/*
 * Memory operations. What their order becomes is in order.h. Accesses that must be aligned are: lifters test before them.
 */
#include "host/x86_64/emit.h"

#include "base/check.h"
#include "host/x86_64/asm_vec.h"
#include "host/x86_64/order.h"

static Width lane_width(IrType t)
{
    switch (ir_type_size(t)) {
    case 1: return W8;
    case 2: return W16;
    case 4: return W32;
    default: return W64;
    }
}

/* The host address of the access; its registers stay locked until the rule ends. */
static Mem address(Sel *s, const IrInsn *i)
{
    const AddrMode *m = &s->ra->am[ra_val(s, (IrRef)(i - s->r->insn))->am];
    bool has_disp = i->op == IR_LOAD || i->op == IR_STORE;
    int64_t disp = has_disp ? (int64_t)i->imm : 0;
    Gpr base = sel_use_r(s, m->base);

    if (disp != (int32_t)disp) {
        Gpr t = sel_tmp_r(s);
        x64_mov_ri(s->a, t, (uint64_t)disp);
        return mem_bi(base, t, 0, 0);
    }
    if (m->index)
        return mem_bi(base, sel_use_r(s, m->index), m->scale, m->disp);
    return mem_b(base, m->disp);
}

/* --- load ------------------------------------------------------------------------------------------------------------- */

static void load_x(Sel *s, const IrInsn *i, Mem m)
{
    unsigned size = ir_type_size((IrType)i->lane);
    Gpr t = size < 4 ? sel_tmp_r(s) : RAX;
    Xmm d = sel_def_x_last(s, i); /* a fault leaves it as it was */

    side_here(s);
    if (size == 16) {
        x64_rm_m(s->a, VMOVDQU, d, m);
    } else if (size == 8) {
        x64_rm_m(s->a, VMOVQ, d, m);
    } else if (size == 4) {
        x64_xg_m(s->a, VMOVD_XG, d, m);
    } else {
        x64_movzx(s->a, size == 1 ? W8 : W16, t, rm_m(m));
        x64_xg(s->a, VMOVD_XG, d, t);
    }
}

static void load_r(Sel *s, const IrInsn *i, Mem m)
{
    Width from = lane_width((IrType)i->lane), to = i->type == IR_I64 ? W64 : W32;
    Gpr d = sel_def_r_last(s, i); /* one instruction: a fault leaves the register as it was */

    side_here(s);
    if ((i->flags & IR_MEM_SIGNED) && from < to)
        x64_movsx(s->a, to, from, d, rm_m(m));
    else if (from < W64)
        x64_movzx(s->a, from, d, rm_m(m));
    else
        x64_mov_rm(s->a, W64, d, m);
}

void sel_load(Sel *s, const IrInsn *i)
{
    Mem m = address(s, i);
    side_open(s, i);
    if (plan_is_x((IrType)i->type))
        load_x(s, i, m);
    else
        load_r(s, i, m);
}

/* --- store ------------------------------------------------------------------------------------------------------------ */

static void store_x(Sel *s, unsigned size, Mem m, Xmm x)
{
    side_here(s);
    if (size == 16)
        x64_mr_m(s->a, VMOVDQU_ST, m, x);
    else if (size == 8)
        x64_mr_m(s->a, VMOVQ_ST, m, x);
    else if (size == 4)
        x64_mr_m(s->a, VMOVD_GX, m, x);
    else if (size == 2)
        x64_mri_m(s->a, VPEXTRW, m, x, 0);
    else
        x64_mri_m(s->a, VPEXTRB, m, x, 0);
}

static bool is_locked(X64Access access, const IrInsn *i)
{
    return x64_orders[access][i->flags & IR_ORDER_MASK] == X64_LOCKED;
}

static void full_fence(Sel *s)
{
    x64_lock(s->a);
    x64_alu_mi(s->a, ALU_OR, W32, mem_b(RSP, 0), 0);
}

/* A register for `unlock`, if it will need one. */
static Gpr unlock_tmp(Sel *s, const IrInsn *i)
{
    return i->flags & IR_MEM_UNLOCK ? sel_tmp_r(s) : RAX;
}

static void unlock(Sel *s, const IrInsn *i, Gpr t)
{
    if (i->flags & IR_MEM_UNLOCK)
        sel_unlock(s, i, t);
}

static void store_r(Sel *s, const IrInsn *i, Mem m)
{
    Width w = lane_width((IrType)i->lane);
    uint64_t c;

    if (is_locked(X64_STORE, i)) {
        Gpr v = sel_use_r(s, i->b);
        Gpr t = sel_tmp_r(s);
        side_open(s, i);
        x64_mov_rr(s->a, W64, t, v);
        side_here(s);
        x64_xchg_mr(s->a, w, m, t);
        unlock(s, i, t);
        return;
    }
    if (sel_const(s, i->b, &c) && s->ra->val[ra_root(s, i->b)].reg == REG_NONE && (w != W64 || (int64_t)c == (int32_t)c)) {
        Gpr t = unlock_tmp(s, i);
        side_open(s, i);
        side_here(s);
        x64_mov_mi(s->a, w, m, (int32_t)c);
        unlock(s, i, t);
        return;
    }
    Gpr v = sel_use_r(s, i->b), t = unlock_tmp(s, i);
    side_open(s, i);
    side_here(s);
    x64_mov_mr(s->a, w, m, v);
    unlock(s, i, t);
}

void sel_store(Sel *s, const IrInsn *i)
{
    Mem m = address(s, i);
    if (!plan_is_x(ra_type(s, ra_root(s, i->b)))) {
        store_r(s, i, m);
        return;
    }
    Xmm x = sel_use_x(s, i->b);
    Gpr t = unlock_tmp(s, i);
    side_open(s, i);
    store_x(s, ir_type_size((IrType)i->lane), m, x);
    unlock(s, i, t);
    if (is_locked(X64_STORE, i))
        full_fence(s);
}

/* --- atomics ---------------------------------------------------------------------------------------------------------- */

/* Zero-extend the old value, which is in `d`, from its width. */
static void zero_extend(Sel *s, Width w, Gpr d)
{
    if (w < W64)
        x64_movzx(s->a, w, d, rm_r(d));
}

static void cas16(Sel *s, const IrInsn *i)
{
    sel_take_r(s, RAX);
    sel_take_r(s, RDX);
    sel_take_r(s, RCX);
    sel_take_r(s, RBX);
    Xmm expect = sel_use_x(s, i->b), want = sel_use_x(s, i->c);
    Mem m = address(s, i);
    Xmm d = sel_def_x(s, i);
    Gpr t = unlock_tmp(s, i);

    side_open(s, i);
    x64_gx(s->a, VMOVQ_GX, RAX, expect);
    x64_gxi(s->a, VPEXTRQ, RDX, expect, 1);
    x64_gx(s->a, VMOVQ_GX, RBX, want);
    x64_gxi(s->a, VPEXTRQ, RCX, want, 1);
    side_here(s);
    x64_cmpxchg16b(s->a, m);
    unlock(s, i, t);
    x64_xg(s->a, VMOVQ_XG, d, RAX);
    x64_rvmi_g(s->a, VPINSRQ, d, d, RDX, 1);
}

void sel_cas(Sel *s, const IrInsn *i)
{
    Width w = lane_width((IrType)i->lane);
    if (ir_type_size((IrType)i->lane) == 16) {
        cas16(s, i);
        return;
    }
    sel_use_r_in(s, i->b, RAX);
    Mem m = address(s, i);
    Gpr want = sel_use_r(s, i->c), t = unlock_tmp(s, i);
    side_open(s, i);
    side_here(s);
    x64_cmpxchg(s->a, w, m, want);
    unlock(s, i, t);
    zero_extend(s, w, RAX);
    sel_def_r_in(s, i, RAX);
}

/* t = the new value from the old one in rax */
static void rmw_combine(Sel *s, const IrInsn *i, Width w, Gpr t, Gpr b)
{
    static const uint8_t keep_b[] = {
        [IR_RMW_MAXS] = CC_L, [IR_RMW_MINS] = CC_G, [IR_RMW_MAXU] = CC_B, [IR_RMW_MINU] = CC_A};
    switch (i->aux) {
    case IR_RMW_CLR:
        x64_andn(s->a, W64, t, b, rm_r(RAX));
        break;
    case IR_RMW_XOR:
    case IR_RMW_OR:
        x64_mov_rr(s->a, W64, t, RAX);
        x64_alu_rr(s->a, i->aux == IR_RMW_XOR ? ALU_XOR : ALU_OR, W64, t, b);
        break;
    default:
        x64_mov_rr(s->a, W64, t, RAX);
        x64_alu_rr(s->a, ALU_CMP, w, RAX, b);
        x64_cmov(s->a, (Cc)keep_b[i->aux], W64, t, rm_r(b));
        break;
    }
}

static void rmw_loop(Sel *s, const IrInsn *i, Width w)
{
    sel_take_r(s, RAX);
    Mem m = address(s, i);
    Gpr b = sel_use_r(s, i->b), t = sel_tmp_r(s);
    uint32_t retry = sel_label(s);

    side_open(s, i);
    side_here(s);
    if (w < W64)
        x64_movzx(s->a, w, RAX, rm_m(m));
    else
        x64_mov_rm(s->a, W64, RAX, m);
    sel_bind(s, retry);
    rmw_combine(s, i, w, t, b);
    side_here(s);
    x64_cmpxchg(s->a, w, m, t);
    x64_jcc(s->a, CC_NE, retry);
    unlock(s, i, t);
    zero_extend(s, w, RAX);
    sel_def_r_in(s, i, RAX);
}

/* Forms without an old value: one locked instruction. */
static bool rmw_plain(Sel *s, const IrInsn *i, Width w)
{
    static const uint8_t op[] = {
        [IR_RMW_ADD] = ALU_ADD, [IR_RMW_CLR] = ALU_AND, [IR_RMW_XOR] = ALU_XOR, [IR_RMW_OR] = ALU_OR};
    if (i->aux > IR_RMW_OR || ra_next_use(s, (IrRef)(i - s->r->insn), false) != NEVER)
        return false;
    Mem m = address(s, i);
    Gpr b = sel_use_r(s, i->b);
    Gpr t = i->aux == IR_RMW_CLR ? sel_tmp_r(s) : b, u = unlock_tmp(s, i);
    side_open(s, i);
    if (i->aux == IR_RMW_CLR) {
        x64_mov_rr(s->a, W64, t, b);
        x64_not(s->a, W64, t);
    }
    side_here(s);
    x64_lock(s->a);
    x64_alu_mr(s->a, (Alu)op[i->aux], w, m, t);
    unlock(s, i, u);
    return true;
}

void sel_rmw(Sel *s, const IrInsn *i)
{
    Width w = lane_width((IrType)i->lane);
    if (rmw_plain(s, i, w))
        return;
    if (i->aux != IR_RMW_ADD && i->aux != IR_RMW_SWAP) {
        rmw_loop(s, i, w);
        return;
    }
    Mem m = address(s, i);
    Gpr b = sel_use_r(s, i->b);
    Gpr d = sel_def_r(s, i), t = unlock_tmp(s, i);
    side_open(s, i);
    x64_mov_rr(s->a, W64, d, b);
    side_here(s);
    if (i->aux == IR_RMW_ADD)
        x64_xadd(s->a, w, m, d);
    else
        x64_xchg_mr(s->a, w, m, d);
    unlock(s, i, t);
    zero_extend(s, w, d);
}

void sel_fence(Sel *s, const IrInsn *i)
{
    if (is_locked(X64_FENCE, i))
        full_fence(s);
}
