/*
 * Exclusive sequences that need no monitor (lift_excl.h): the load, a few instructions that only compute, the store. Three forms,
 * tried in this order:
 *
 *   loop: ldxr w0, [x1]            one read-modify-write; the instructions between are lifted behind it, from the old
 *         add  w2, w0, w3          value, for their registers and flags
 *         stxr w4, w2, [x1]
 *         cbnz w4, loop
 *
 *   loop: ldxr w0, [x1]            one compare-exchange
 *         cmp  w0, w3
 *         b.ne out
 *         stxr w4, w2, [x1]
 *         cbnz w4, loop            (or none)
 *
 *         ldxr ... stxr            load, and a compare-exchange from what it loaded
 *
 * As one instruction they fault as the load. Where the fault is the store's, the engine has the load done alone and translates
 * the sequence apart from then on (Guest.joins).
 */
#include "guest/aarch64/guest.h"
#include "guest/aarch64/lift_excl.h"

enum { BETWEEN_MAX = 10 }; /* instructions from the load to the store */

/* A sequence as found in the code. */
typedef struct Seq {
    uint32_t insn[BETWEEN_MAX]; /* between load and store */
    int id[BETWEEN_MAX];
    unsigned n;
    uint32_t store;             /* the store's word */
    uint64_t store_pc;
    bool loop;                  /* CBNZ of the status, back to the load, follows */
    uint64_t end;               /* behind all of it */
} Seq;

static unsigned field(uint32_t insn, unsigned lsb, unsigned width)
{
    return insn >> lsb & ((1u << width) - 1);
}

static unsigned rd_of(uint32_t insn)
{
    return field(insn, 0, 5);
}

static unsigned rn_of(uint32_t insn)
{
    return field(insn, 5, 5);
}

static unsigned rm_of(uint32_t insn)
{
    return field(insn, 16, 5);
}

/* --- finding one --- */

/* Whether it only computes in general registers and flags. */
static bool computes(int id)
{
    switch (id) {
    case A64_INSN_add_imm: case A64_INSN_adds_imm: case A64_INSN_sub_imm: case A64_INSN_subs_imm: case A64_INSN_and_imm:
    case A64_INSN_orr_imm: case A64_INSN_eor_imm: case A64_INSN_ands_imm: case A64_INSN_movn: case A64_INSN_movz:
    case A64_INSN_movk: case A64_INSN_sbfm: case A64_INSN_bfm: case A64_INSN_ubfm: case A64_INSN_extr:
    case A64_INSN_and_shift: case A64_INSN_bic_shift: case A64_INSN_orr_shift: case A64_INSN_orn_shift:
    case A64_INSN_eor_shift: case A64_INSN_eon_shift: case A64_INSN_ands_shift: case A64_INSN_bics_shift:
    case A64_INSN_add_shift: case A64_INSN_adds_shift: case A64_INSN_sub_shift: case A64_INSN_subs_shift:
    case A64_INSN_add_ext: case A64_INSN_adds_ext: case A64_INSN_sub_ext: case A64_INSN_subs_ext: case A64_INSN_adc:
    case A64_INSN_adcs: case A64_INSN_sbc: case A64_INSN_sbcs: case A64_INSN_ccmn_reg: case A64_INSN_ccmp_reg:
    case A64_INSN_ccmn_imm: case A64_INSN_ccmp_imm: case A64_INSN_csel: case A64_INSN_csinc: case A64_INSN_csinv:
    case A64_INSN_csneg: case A64_INSN_madd: case A64_INSN_msub: case A64_INSN_lslv: case A64_INSN_lsrv: case A64_INSN_asrv:
    case A64_INSN_nop:
        return true;
    default:
        return false;
    }
}

/* The target of a conditional branch; false: it is none. */
static bool branch_target(int id, uint32_t insn, uint64_t pc, uint64_t *target)
{
    if (id == A64_INSN_b_cond || id == A64_INSN_cbz || id == A64_INSN_cbnz)
        *target = pc + (uint64_t)a64_sext(field(insn, 5, 19), 19) * 4;
    else if (id == A64_INSN_tbz || id == A64_INSN_tbnz)
        *target = pc + (uint64_t)a64_sext(field(insn, 5, 14), 14) * 4;
    else
        return false;
    return true;
}

/* Whether the store belongs to the load: the same address and size. */
static bool matches(const A64Excl *x, int id, uint32_t load, uint32_t store)
{
    if (id != (x->pair ? A64_INSN_stxp : A64_INSN_stxr) || (load ^ store) >> 30 || rn_of(load) != rn_of(store))
        return false;
    unsigned rs = rm_of(store);
    return rs != rn_of(store) && rs != rd_of(store) && !(x->pair && rs == field(store, 10, 5));
}

/* What of a sequence is behind the store. */
static void find_loop(Lift *l, Seq *q)
{
    uint32_t insn;
    uint64_t target, pc = q->store_pc + 4;

    q->end = pc;
    q->loop = a64_word_ahead(l, pc, &insn) && a64_decode(UINT64_MAX, insn) == A64_INSN_cbnz && rd_of(insn) == rm_of(q->store) &&
              branch_target(A64_INSN_cbnz, insn, pc, &target) && target == l->pc;
    if (q->loop)
        q->end += 4;
}

/* Find the store; nothing on the way leads elsewhere than out, or changes the address. */
static bool find(Lift *l, const A64Excl *x, Seq *q)
{
    uint64_t has = a64_features(l)->has, target;
    uint32_t load = x->a->insn, insn;

    if (rd_of(load) == rn_of(load) || (x->pair && field(load, 10, 5) == rn_of(load)))
        return false;
    for (q->n = 0; q->n <= BETWEEN_MAX; q->n++) {
        uint64_t pc = l->pc + 4 + 4 * q->n;
        if (!a64_word_ahead(l, pc, &insn))
            return false;
        int id = a64_decode(has, insn);
        if (id == A64_INSN_stxr || id == A64_INSN_stxp) {
            q->store = insn;
            q->store_pc = pc;
            find_loop(l, q);
            return matches(x, id, load, insn);
        }
        bool branch = branch_target(id, insn, pc, &target);
        if (q->n == BETWEEN_MAX || (!branch && (!computes(id) || rd_of(insn) == rn_of(load))))
            return false;
        q->insn[q->n] = insn;
        q->id[q->n] = id;
    }
    return false;
}

/* Whether all branches lead out of the sequence, or back to its beginning. */
static bool branches_leave(const Lift *l, const Seq *q)
{
    uint64_t target;

    for (unsigned k = 0; k < q->n; k++) {
        if (branch_target(q->id[k], q->insn[k], l->pc + 4 + 4 * k, &target) && target > l->pc && target < q->end)
            return false;
    }
    return true;
}

/* --- lifting what is between --- */

/* Lift instruction k where it stands. */
static void lift_between(Lift *l, const Seq *q, unsigned k)
{
    uint64_t pc = l->pc;
    LiftFlow *flow = l->flow;

    l->pc += 4 + 4 * k;
    l->next = l->cont = l->pc + 4;
    l->inside = true;
    l->flow = NULL;
    ir_mark(&l->b, l->pc, 4);
    a64_decode_lift(l, a64_features(l)->has, q->insn[k]);
    l->pc = pc;
    l->inside = false;
    l->flow = flow;
}

static void finish(Lift *l, const Seq *q)
{
    l->b.r->guest_insns += (uint32_t)(q->end - l->pc) / 4 - 1;
    l->next = l->cont = q->end;
}

/* --- one read-modify-write --- */

typedef struct Rmw {
    IrRmw kind;
    IrRef operand; /* of the register's type */
} Rmw;

/* Two-register form: what is combined with the old value. `invert`: complemented first. */
static bool rmw_shifted(Lift *l, const A64Excl *x, uint32_t insn, IrRmw kind, bool negate, bool invert, bool commutes, Rmw *m)
{
    static const IrOp shift_op[4] = {IR_SHL, IR_SHR, IR_SAR, IR_ROR};
    unsigned rt = rd_of(x->a->insn), rn = rn_of(insn), rm = rm_of(insn), amount = field(insn, 10, 6), sf = insn >> 31;

    if (commutes && rm == rt && amount == 0) {
        rm = rn;
        rn = rt;
    }
    if (rn != rt || rm == rt || (x->bytes == 8 && !sf))
        return false;
    IrType t = a64_type(sf);
    IrRef v = a64_get(l, sf, rm);
    if (amount)
        v = ir_op2(&l->b, shift_op[field(insn, 22, 2)], t, v, a64_c8(l, (uint8_t)amount));
    if (negate)
        v = ir_op1(&l->b, IR_NEG, t, v);
    if (invert)
        v = ir_op1(&l->b, IR_NOT, t, v);
    *m = (Rmw){kind, ir_trunc(&l->b, x->reg, v)};
    return true;
}

/* An immediate is added or subtracted. */
static bool rmw_imm(Lift *l, const A64Excl *x, uint32_t insn, int id, Rmw *m)
{
    if (rn_of(insn) != rd_of(x->a->insn) || (x->bytes == 8 && !(insn >> 31)))
        return false;
    uint64_t v = (uint64_t)field(insn, 10, 12) << (field(insn, 22, 1) ? 12 : 0);
    bool sub = id == A64_INSN_sub_imm || id == A64_INSN_subs_imm;
    *m = (Rmw){IR_RMW_ADD, ir_const(&l->b, x->reg, sub ? -v : v)};
    return true;
}

/* The least or greatest of the old value and a register: cmp old, b; csel. */
static bool rmw_minmax(Lift *l, const A64Excl *x, const Seq *q, Rmw *m)
{
    static const uint8_t kind[16] = { /* by the condition under which the old value stays; 0: it is no such */
        [2] = IR_RMW_MAXU, [3] = IR_RMW_MINU, [8] = IR_RMW_MAXU, [9] = IR_RMW_MINU,
        [10] = IR_RMW_MAXS, [11] = IR_RMW_MINS, [12] = IR_RMW_MAXS, [13] = IR_RMW_MINS};
    uint32_t cmp = q->insn[0], sel = q->insn[1];
    unsigned rt = rd_of(x->a->insn), rm = rm_of(cmp), sf = cmp >> 31, cond = field(sel, 12, 4);

    if (q->id[0] != A64_INSN_subs_shift || q->id[1] != A64_INSN_csel || rd_of(cmp) != 31 || rn_of(cmp) != rt || rm == rt ||
        field(cmp, 10, 6) || sel >> 31 != sf || x->bytes != (sf ? 8 : 4))
        return false;
    if (rn_of(sel) == rm && rm_of(sel) == rt)
        cond ^= 1;
    else if (rn_of(sel) != rt || rm_of(sel) != rm)
        return false;
    *m = (Rmw){(IrRmw)kind[cond], a64_get(l, sf, rm)};
    return kind[cond] != 0;
}

static bool rmw_one(Lift *l, const A64Excl *x, uint32_t insn, int id, Rmw *m)
{
    switch (id) {
    case A64_INSN_add_shift: case A64_INSN_adds_shift: return rmw_shifted(l, x, insn, IR_RMW_ADD, false, false, true, m);
    case A64_INSN_sub_shift: case A64_INSN_subs_shift: return rmw_shifted(l, x, insn, IR_RMW_ADD, true, false, false, m);
    case A64_INSN_and_shift: case A64_INSN_ands_shift: return rmw_shifted(l, x, insn, IR_RMW_CLR, false, true, true, m);
    case A64_INSN_bic_shift: case A64_INSN_bics_shift: return rmw_shifted(l, x, insn, IR_RMW_CLR, false, false, false, m);
    case A64_INSN_orr_shift: return rmw_shifted(l, x, insn, IR_RMW_OR, false, false, true, m);
    case A64_INSN_orn_shift: return rmw_shifted(l, x, insn, IR_RMW_OR, false, true, false, m);
    case A64_INSN_eor_shift: return rmw_shifted(l, x, insn, IR_RMW_XOR, false, false, true, m);
    case A64_INSN_eon_shift: return rmw_shifted(l, x, insn, IR_RMW_XOR, false, true, false, m);
    case A64_INSN_add_imm: case A64_INSN_adds_imm: case A64_INSN_sub_imm: case A64_INSN_subs_imm:
        return rmw_imm(l, x, insn, id, m);
    default: return false;
    }
}

/* The operation that the sequence is: its operand is read here, before anything is put. */
static bool find_rmw(Lift *l, const A64Excl *x, const Seq *q, Rmw *m)
{
    unsigned rt = rd_of(x->a->insn), value = rd_of(q->store);

    if (!q->loop || x->pair || rm_of(q->store) == rt)
        return false;
    if (q->n == 0) {
        bool same = value == rt; /* an atomic load */
        *m = (Rmw){same ? IR_RMW_ADD : IR_RMW_SWAP, same ? ir_const(&l->b, x->reg, 0) : ir_trunc(&l->b, x->reg, a64_get_x(l, value))};
        return rt != 31;
    }
    if (rt == 31 || value == 31 || rd_of(q->insn[q->n - 1]) != value)
        return false;
    return q->n == 1 ? rmw_one(l, x, q->insn[0], q->id[0], m) : q->n == 2 && rmw_minmax(l, x, q, m);
}

static void lift_rmw(Lift *l, const A64Excl *x, const Seq *q, const Rmw *m)
{
    IrRef va = a64_aligned(l, a64_get_xsp(l, x->a->Rn), 0, x->bytes);
    unsigned flags = a64_order(x->a->o0, field(q->store, 15, 1)) | a64_lock(l, va);
    IrRef old = ir_emit(&l->b, (IrInsn){.op = IR_RMW, .type = x->reg, .lane = x->mem, .aux = m->kind, .flags = flags, .a = va,
                                        .b = m->operand});

    a64_put_zext(l, x->a->Rt, old);
    for (unsigned k = 0; k < q->n; k++)
        lift_between(l, q, k);
    ir_mark(&l->b, q->store_pc, 4);
    a64_excl_clear(l);
    a64_put_x(l, rm_of(q->store), a64_c64(l, 0));
    ir_mark(&l->b, q->store_pc + 4, 4);
    finish(l, q);
}

/* --- one compare-exchange --- */

/* Whether the instructions compare the old value, all of it, with a register (or zero), and leave where it differs. */
static bool find_cas(const A64Excl *x, const Seq *q, unsigned *expect)
{
    unsigned rt = rd_of(x->a->insn), sf = q->insn[0] >> 31;
    bool full = x->bytes == (sf ? 8 : 4);

    if (x->pair || rt == 31 || rd_of(q->store) == rt || rm_of(q->store) == rt)
        return false;
    *expect = 31;
    if (q->n == 1)
        return q->id[0] == A64_INSN_cbnz && rd_of(q->insn[0]) == rt && (sf || x->bytes < 8);
    if (q->n != 2 || q->id[1] != A64_INSN_b_cond || field(q->insn[1], 0, 4) != 1 || rd_of(q->insn[0]) != 31 || rn_of(q->insn[0]) != rt)
        return false;
    *expect = rm_of(q->insn[0]);
    if (q->id[0] == A64_INSN_subs_ext) /* uxtb, uxth of what is compared */
        return !sf && field(q->insn[0], 10, 3) == 0 && x->bytes < 4 && field(q->insn[0], 13, 3) == x->a->size && *expect != rt;
    return q->id[0] == A64_INSN_subs_shift && full && field(q->insn[0], 10, 6) == 0 && *expect != rt;
}

static void lift_cas(Lift *l, const A64Excl *x, const Seq *q, unsigned expect_reg)
{
    IrRef base = a64_get_xsp(l, x->a->Rn), va = a64_aligned(l, base, 0, x->bytes);
    IrRef expect = ir_trunc(&l->b, x->reg, a64_get_x(l, expect_reg));
    IrRef desired = ir_trunc(&l->b, x->reg, a64_get_x(l, rd_of(q->store)));
    unsigned rs = rm_of(q->store);
    uint64_t out;

    if (x->bytes < 4)
        expect = ir_op1i(&l->b, IR_UBFX, x->reg, expect, (8u * x->bytes) << 8);
    unsigned flags = a64_order(x->a->o0, field(q->store, 15, 1)) | a64_lock(l, va);
    IrRef old = ir_emit(&l->b, (IrInsn){.op = IR_CAS, .type = x->reg, .lane = x->mem, .flags = flags, .a = va, .b = expect,
                                        .c = desired});
    /* On the way out the monitor is open, in case there is another store. */
    IrRef version = l->mode & A64_MODE_VERSIONS ? ir_op1(&l->b, IR_VERSION, IR_I64, va) : a64_c64(l, 0);
    IrRef failed = ir_icmp(&l->b, IR_LT | IR_GT, old, expect);
    a64_put_zext(l, x->a->Rt, old);
    ir_put(&l->b, A64_EXCL_LO, ir_zext(&l->b, IR_I64, old));
    ir_put(&l->b, A64_EXCL_HI, a64_c64(l, 0));
    ir_put(&l->b, A64_EXCL_VERSION, version);
    ir_put(&l->b, A64_EXCL_ADDR, ir_select(&l->b, failed, base, a64_c64(l, A64_NO_EXCL)));
    if (q->n == 2)
        lift_between(l, q, 0);
    a64_put_x(l, rs, ir_select(&l->b, failed, a64_get_x(l, rs), a64_c64(l, 0)));
    ir_mark(&l->b, q->store_pc, 4);
    branch_target(q->id[q->n - 1], q->insn[q->n - 1], l->pc + 4 * q->n, &out);
    finish(l, q);
    lift_branch(l, failed, out);
}

/* --- load and compare-exchange --- */

static void lift_pair(Lift *l, const A64Excl *x, const Seq *q)
{
    uint64_t pc = l->pc;
    IrRef va = a64_aligned(l, a64_get_xsp(l, x->a->Rn), 0, x->bytes);
    IrRef version = l->mode & A64_MODE_VERSIONS ? ir_op1(&l->b, IR_VERSION, IR_I64, va) : a64_c64(l, 0);
    IrRef expect = a64_excl_load(l, x, va, version);
    A64Args store = {.insn = q->store, .Rs = rm_of(q->store), .Rt = rd_of(q->store), .Rt2 = field(q->store, 10, 5),
                     .Rn = rn_of(q->store), .o0 = field(q->store, 15, 1), .size = x->a->size, .sz = x->a->sz};
    A64Excl st = a64_excl(&store, x->pair);
    unsigned flags = 0;

    for (unsigned k = 0; k < q->n; k++)
        lift_between(l, q, k);
    l->pc = q->store_pc;
    l->next = l->cont = q->store_pc + 4;
    ir_mark(&l->b, l->pc, 4);
    if (l->mode & A64_MODE_VERSIONS) {
        a64_excl_check(l, store.Rs, ir_opx(&l->b, IR_VLOCK, IR_I8, 0, 0, IR_LOCK_ANY, 0, va, a64_c64(l, 0), 0));
        flags = IR_MEM_UNLOCK;
    }
    a64_excl_store(l, &st, va, st.mem == IR_V128 ? expect : ir_trunc(&l->b, st.reg, expect), flags);
    l->b.r->guest_insns += (uint32_t)(q->store_pc - pc) / 4;
    l->pc = pc;
}

bool a64_fuse(Lift *l, const A64Excl *x)
{
    bool first_guarded = l->mode & A64_MODE_BTI && l->pc == l->b.r->pc; /* BTYPE is put behind the first access */
    unsigned expect;
    Seq q;
    Rmw m;

    if (!l->ahead || (l->careful & LIFT_CAREFUL_ALONE) || first_guarded || !find(l, x, &q) ||
        (!l->flow && l->budget < (q.end - l->pc) / 4) || !branches_leave(l, &q))
        return false;
    if (find_rmw(l, x, &q, &m))
        lift_rmw(l, x, &q, &m);
    else if (find_cas(x, &q, &expect))
        lift_cas(l, x, &q, expect);
    else
        lift_pair(l, x, &q);
    return true;
}
