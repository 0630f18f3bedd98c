#include "host/x86_64/flags.h"

#include "base/check.h"

#include <string.h>

/*
 * HostCpu.flags_from. Operands of 32 bits are compared in the upper halves, which gives the same flags; a result that sets no
 * carry is compared with zero, which would. A second operand that is a small constant, as most are, is in the bits from
 * FROM_Y on, which saves a store; the first may then be what is left of their difference. Only where there is one are these bits
 * written: all else is in the low byte, for a short instruction to store.
 */
enum { FROM_ZERO = 1, FROM_CONST = 2, FROM_SUM = 4, FROM_32 = 0x20, FROM_CARRY = 0x40, FROM_PENDING = 0x80, FROM_Y = 8 };

/* --- exits ---------------------------------------------------------------------------------------------------------------- */

static bool same(const Sel *s, IrRef a, IrRef b)
{
    return ra_root(s, a) == ra_root(s, b);
}

static const IrInsn *insn_of(const Sel *s, IrRef v)
{
    IrRef root = ra_root(s, v);
    return root && root < s->r->ninsn ? &s->r->insn[root] : NULL;
}

/* A flag's value, or -1 and its constant. */
typedef struct Flag {
    IrRef v;
    int k;
} Flag;

static Flag flag_of(const Sel *s, IrRef v)
{
    uint64_t c;
    return sel_const(s, v, &c) ? (Flag){0, (int)(c & 1)} : (Flag){v, -1};
}

static bool is_zero(const Sel *s, IrRef v)
{
    uint64_t c;
    return sel_const(s, v, &c) && c == 0;
}

static bool is_lazy(const Sel *s, IrRef v)
{
    return insn_of(s, v) && ra_val(s, ra_root(s, v))->flags & VAL_LAZY;
}

/* Whether `v` is, or need not be lazily, relation `rel` of x - y and zero. */
static bool is_relation(const Sel *s, IrRef v, unsigned rel, IrType t, IrRef x, IrRef y)
{
    const IrInsn *i = insn_of(s, v), *d;

    if (!i || i->op != IR_ICMP || i->lane != t || (i->aux & (IR_LT | IR_EQ | IR_GT | IR_PSIGNED)) != rel)
        return false;
    if (rel == IR_EQ && same(s, i->a, x) && (y ? same(s, i->b, y) : is_zero(s, i->b)))
        return true;
    if (!is_zero(s, i->b))
        return false;
    if (!y && same(s, i->a, x))
        return true;
    d = insn_of(s, i->a);
    return y && d && d->op == IR_SUB && d->type == t && same(s, d->a, x) && same(s, d->b, y);
}

static unsigned how_of(IrType t, bool carry)
{
    return (carry ? FLAGS_CARRY : 0) | (t == IR_I64 ? 0 : FLAGS_32);
}

/* x - y, by the flag for overflow, which only that has. */
static bool form_difference(const Sel *s, const Flag val[FLAG_COUNT], FlagForm *f)
{
    const IrInsn *v = insn_of(s, val[FLAG_OVERFLOW].v), *c = insn_of(s, val[FLAG_CARRY].v);
    IrRef root = ra_root(s, val[FLAG_OVERFLOW].v);

    if (!v || v->op != IR_SUB_V || !is_lazy(s, root) || !c || c->op != IR_ICMP || c->lane != v->lane ||
        (c->aux & (IR_LT | IR_EQ | IR_GT | IR_PSIGNED)) != (IR_EQ | IR_GT) || !same(s, c->a, v->a) || !same(s, c->b, v->b))
        return false;
    if (!is_relation(s, val[FLAG_SIGN].v, IR_LT | IR_PSIGNED, (IrType)v->lane, v->a, v->b) ||
        !is_relation(s, val[FLAG_ZERO].v, IR_EQ, (IrType)v->lane, v->a, v->b))
        return false;
    bool sum = ra_val(s, root)->flags & VAL_ALT;
    unsigned how = how_of((IrType)v->lane, true) | (sum ? FLAGS_SUM : 0);
    *f = (FlagForm){true, (uint8_t)how, sum ? ra_val(s, root)->alt : v->a, v->b};
    return true;
}

/* One value compared with zero, or a conjunction. */
static bool form_value(const Sel *s, const Flag val[FLAG_COUNT], FlagForm *f)
{
    IrRef sign = val[FLAG_SIGN].v;
    const IrInsn *n = insn_of(s, sign);

    if (!n || !is_lazy(s, sign) || ra_val(s, ra_root(s, sign))->flags & VAL_ALT || val[FLAG_OVERFLOW].k != 0 || val[FLAG_CARRY].k < 0)
        return false;
    if (!is_relation(s, sign, IR_LT | IR_PSIGNED, (IrType)n->lane, n->a, 0) ||
        !is_relation(s, val[FLAG_ZERO].v, IR_EQ, (IrType)n->lane, n->a, 0))
        return false;
    unsigned how = how_of((IrType)n->lane, val[FLAG_CARRY].k == 1);
    *f = (FlagForm){true, (uint8_t)how, n->a, 0};
    if (is_lazy(s, n->a)) {
        const IrInsn *x = insn_of(s, n->a);
        *f = (FlagForm){x->op == IR_AND, (uint8_t)(how | FLAGS_BOTH), x->a, x->b};
    }
    return f->known;
}

static bool form_comparison(const Sel *s, const Flag val[FLAG_COUNT], FlagForm *f)
{
    return form_difference(s, val, f) || form_value(s, val, f);
}

/* Flags that are the same whatever is compared, as a comparison of flags_x with a constant; from 0: not to be had. */
static const struct Fixed {
    int32_t x;
    uint32_t from;
} fixed[16] = {
    [0] = {1, FROM_PENDING | FROM_ZERO},
    [1] = {INT32_MIN, FROM_PENDING | FROM_CONST | FROM_32 | 1u << FROM_Y},
    [2] = {1, FROM_PENDING | FROM_ZERO | FROM_CARRY},
    [3] = {INT32_MIN, FROM_PENDING | FROM_CONST | FROM_CARRY | FROM_32 | 1u << FROM_Y},
    [4] = {0, FROM_PENDING | FROM_ZERO},
    [6] = {0, FROM_PENDING | FROM_ZERO | FROM_CARRY},
    [8] = {-1, FROM_PENDING | FROM_ZERO},
    [9] = {INT32_MAX, FROM_PENDING | FROM_CONST | FROM_32 | UINT32_MAX << FROM_Y},
    [10] = {-1, FROM_PENDING | FROM_ZERO | FROM_CARRY},
};

/* One flag of `cond ? yes : no`. What chooses between constants has become the condition or its opposite. */
static bool split(const Sel *s, IrRef cond, Flag f, Flag *yes, Flag *no)
{
    const IrInsn *i = insn_of(s, f.v);

    *yes = *no = f;
    if (f.k >= 0)
        return true;
    if (same(s, f.v, cond)) {
        *yes = (Flag){0, 1};
        *no = (Flag){0, 0};
        return true;
    }
    if (!i || i->op != IR_SELECT || !same(s, i->a, cond))
        return false;
    *yes = flag_of(s, i->b);
    *no = flag_of(s, i->c);
    return true;
}

static bool form_choice(const Sel *s, const Flag val[FLAG_COUNT], FlagForm *f);

static bool constant_operand(const Sel *s, const FlagForm *f, uint32_t *bits);

/* Whether the form has operands that may be stored where no register may change. */
static bool is_plain(const Sel *s, const FlagForm *f)
{
    uint32_t bits;

    if ((f->how & FLAGS_BOTH) || (f->cond && is_lazy(s, f->cond)))
        return false;
    return !(f->how & FLAGS_SUM) || constant_operand(s, f, &bits);
}

/* What flags are when f->cond is false. */
static bool form_otherwise(const Sel *s, const Flag val[FLAG_COUNT], FlagForm *f)
{
    static const uint8_t bit[FLAG_COUNT] = {[FLAG_SIGN] = 8, [FLAG_ZERO] = 4, [FLAG_CARRY] = 2, [FLAG_OVERFLOW] = 1};
    unsigned known = 0, kept = 0;

    for (unsigned k = 0; k < FLAG_COUNT; k++) {
        known += val[k].k >= 0;
        f->otherwise |= val[k].k > 0 ? bit[k] : 0;
        kept += val[k].k < 0 && ra_val(s, ra_root(s, val[k].v))->home == s->plan->cfg.flags[k] + 1;
    }
    f->homes = kept == FLAG_COUNT;
    if (known == FLAG_COUNT || f->homes)
        return f->homes || fixed[f->otherwise].from;
    FlagForm *other = ARENA_NEW(s->arena, FlagForm);
    *other = (FlagForm){0};
    f->other = other;
    return (form_comparison(s, val, other) || form_choice(s, val, other)) && is_plain(s, other);
}

/* A conditional comparison: by what a choice says that is made at exits only, whose operands are there then. */
static bool form_choice(const Sel *s, const Flag val[FLAG_COUNT], FlagForm *f)
{
    const IrInsn *v = insn_of(s, val[FLAG_OVERFLOW].v), *n = insn_of(s, val[FLAG_SIGN].v);
    const IrInsn *by = v && v->op == IR_SELECT && is_lazy(s, val[FLAG_OVERFLOW].v) ? v : n;
    Flag yes[FLAG_COUNT], no[FLAG_COUNT];

    if (!by || by->op != IR_SELECT || (by == n && !is_lazy(s, val[FLAG_SIGN].v)))
        return false;
    for (unsigned k = 0; k < FLAG_COUNT; k++)
        if (!split(s, by->a, val[k], &yes[k], &no[k]))
            return false;
    if (!form_comparison(s, yes, f))
        return false;
    f->cond = by->a;
    return form_otherwise(s, no, f);
}

typedef struct SelForm {
    IrRef val[FLAG_COUNT];
    FlagForm form;
} SelForm;

FlagForm flags_form(Sel *s, const IrRef val[FLAG_COUNT])
{
    SelForm *last = s->form; /* they seldom change between one operation that asks and the next */

    if (memcmp(last->val, val, sizeof last->val)) {
        Flag flag[FLAG_COUNT];
        memcpy(last->val, val, sizeof last->val);
        for (unsigned k = 0; k < FLAG_COUNT; k++)
            flag[k] = flag_of(s, val[k]);
        last->form = (FlagForm){0};
        if (!form_comparison(s, flag, &last->form) && !form_choice(s, flag, &last->form))
            last->form = (FlagForm){0};
    }
    FlagForm form = last->form;
    if (form.homes || form.other) /* another time homes may hold something else */
        last->val[0] = 0;
    return form;
}

static bool small(const Sel *s, IrRef v, int32_t *c)
{
    uint64_t k;
    if (!sel_const(s, v, &k) || (int64_t)k != (int32_t)k)
        return false;
    *c = (int32_t)k;
    return true;
}

/* Whether the second operand fits flags_from; what it adds to that. */
static bool constant_operand(const Sel *s, const FlagForm *f, uint32_t *bits)
{
    uint64_t k = 0;
    if (f->y && !(f->how & FLAGS_BOTH) && !sel_const(s, f->y, &k))
        return false;
    int64_t y = f->how & FLAGS_32 ? (int32_t)k : (int64_t)k;
    *bits = y ? FROM_CONST | (f->how & FLAGS_SUM ? FROM_SUM : 0) | (uint32_t)y << FROM_Y : FROM_ZERO;
    return y == 0 || y == (int32_t)*bits >> FROM_Y;
}

static void store_from(Sel *s, uint32_t from)
{
    x64_mov_mi(s->a, from & FROM_CONST ? W32 : W8, sel_cpu(s, offsetof(HostCpu, flags_from)), (int32_t)from);
}

static void store_operand(Sel *s, size_t to, IrRef v)
{
    int32_t c;
    if (ra_val(s, ra_root(s, v))->reg == REG_NONE && small(s, v, &c))
        x64_mov_mi(s->a, W64, sel_cpu(s, to), c);
    else
        x64_mov_mr(s->a, W64, sel_cpu(s, to), sel_use_r(s, v));
}

/* x + y or x & y */
static void store_result(Sel *s, size_t to, const FlagForm *f)
{
    Gpr x = sel_use_r(s, f->x);
    int32_t c = 0;
    bool imm = small(s, f->y, &c);
    Gpr y = imm ? x : sel_use_r(s, f->y);
    Gpr t = sel_tmp_r(s);

    if (f->how & FLAGS_SUM) {
        x64_lea(s->a, W64, t, imm ? mem_b(x, c) : mem_bi(x, y, 0, 0));
    } else {
        x64_mov_rr(s->a, W64, t, x);
        if (imm)
            x64_alu_ri(s->a, ALU_AND, W64, t, c);
        else
            x64_alu_rr(s->a, ALU_AND, W64, t, y);
    }
    x64_mov_mr(s->a, W64, sel_cpu(s, to), t);
}

static uint32_t from_of(const FlagForm *f, uint32_t constant)
{
    return FROM_PENDING | (f->how & FLAGS_CARRY ? FROM_CARRY : 0) | (f->how & FLAGS_32 ? FROM_32 : 0) | constant;
}

/* An operand, no register's value but that of the temporary t being another behind it. */
static void store_apart(Sel *s, size_t to, IrRef v, Gpr t)
{
    IrRef root = ra_root(s, v);
    unsigned reg = ra_val(s, root)->reg;

    if (reg == REG_NONE) {
        ra_load_into(s, t.n, root);
        reg = t.n;
    }
    x64_mov_mr(s->a, W64, sel_cpu(s, to), (Gpr){(uint8_t)reg});
}

/* The same form, plain, where the code may not come by: allocation must be the same behind it. */
static void store_other(Sel *s, const FlagForm *f, Gpr t)
{
    uint32_t bits = 0;
    bool constant = constant_operand(s, f, &bits);

    store_from(s, from_of(f, constant ? bits : 0));
    store_apart(s, offsetof(HostCpu, flags_x), f->x, t);
    if (!constant)
        store_apart(s, offsetof(HostCpu, flags_y), f->y, t);
}

/* The form f has been stored: unless its condition is true another one takes its place, and so on. */
static void store_otherwise(Sel *s, const FlagForm *f)
{
    uint32_t done = sel_label(s);
    Gpr t = f->other ? sel_tmp_r(s) : RAX;
    SelCond c;

    sel_lazy_cond(s, ra_root(s, f->cond), &c);
    sel_jump_if(s, c, true, done);
    for (; f->other; f = f->other) {
        store_other(s, f->other, t);
        if (!f->other->cond)
            break;
        ra_load_into(s, t.n, ra_root(s, f->other->cond));
        x64_test_rr(s->a, W8, t, t);
        x64_jcc(s->a, CC_NE, done);
    }
    if (f->homes) {
        store_from(s, 0);
    } else if (!f->other) {
        x64_mov_mi(s->a, W64, sel_cpu(s, offsetof(HostCpu, flags_x)), fixed[f->otherwise].x);
        store_from(s, fixed[f->otherwise].from);
    }
    sel_bind(s, done);
}

void flags_store(Sel *s, const FlagForm *f)
{
    size_t x = offsetof(HostCpu, flags_x), y = offsetof(HostCpu, flags_y);

    uint32_t bits = 0;
    bool constant = f->known && constant_operand(s, f, &bits);
    store_from(s, f->known ? from_of(f, constant ? bits : 0) : 0);
    if (!f->known)
        return;
    if (((f->how & FLAGS_SUM) && !constant) || (f->how & FLAGS_BOTH))
        store_result(s, x, f);
    else
        store_operand(s, x, f->x);
    if (!constant)
        store_operand(s, y, f->y);
    s->ra->locked = 0;
    if (f->cond) {
        store_otherwise(s, f);
        s->ra->locked = 0;
    }
}

/* --- reading ------------------------------------------------------------------------------------------------------------- */

/* Whether the region uses what a flag held at its entry, or leaves some of the flags as they were and not others. */
static bool reads(const Sel *s)
{
    for (unsigned k = 0; k < FLAG_COUNT; k++) {
        IrRef get = s->ra->slot_get[s->plan->cfg.flags[k]];
        if (get && ra_val(s, get)->use)
            return true;
    }
    return s->ra->mixed_flags;
}

static Mem home(const Sel *s, FlagRole role)
{
    return plan_slot(s->plan, s->plan->cfg.flags[role]);
}

void flags_entry(Sel *s)
{
    s->form = ARENA_NEW(s->arena, SelForm);
    if (!s->plan->cfg.flags || !reads(s))
        return;
    uint32_t settle = sel_label(s), back = sel_label(s);
    Mem from = sel_cpu(s, offsetof(HostCpu, flags_from));

    asm_room(&s->main);
    asm_room(&s->cold);
    x64_alu_mi(s->a, ALU_CMP, W8, from, 0);
    x64_jcc(s->a, CC_NE, settle);
    sel_bind(s, back);
    sel_cold_begin(s);
    sel_bind(s, settle);
    x64_movzx(s->a, W8, RCX, rm_m(from));
    x64_mov_rm(s->a, W64, RAX, sel_cpu(s, offsetof(HostCpu, flags_x)));
    x64_mov_rm(s->a, W64, RDX, sel_cpu(s, offsetof(HostCpu, flags_y)));
    x64_test_ri(s->a, W32, RCX, FROM_ZERO);
    uint32_t not_zero = x64_jcc_short(s->a, CC_E);
    x64_mov_ri(s->a, RDX, 0);
    asm_short_here(s->a, not_zero);
    x64_test_ri(s->a, W32, RCX, FROM_CONST);
    uint32_t stored = x64_jcc_short(s->a, CC_E);
    x64_movsx(s->a, W64, W32, RDX, rm_m(from));
    x64_shift_i(s->a, SH_SAR, W64, RDX, FROM_Y);
    x64_test_ri(s->a, W32, RCX, FROM_SUM);
    uint32_t whole = x64_jcc_short(s->a, CC_E);
    x64_alu_rr(s->a, ALU_ADD, W64, RAX, RDX);
    asm_short_here(s->a, whole);
    asm_short_here(s->a, stored);
    x64_test_ri(s->a, W32, RCX, FROM_32);
    uint32_t wide = x64_jcc_short(s->a, CC_E);
    x64_shift_i(s->a, SH_SHL, W64, RAX, 32);
    x64_shift_i(s->a, SH_SHL, W64, RDX, 32);
    asm_short_here(s->a, wide);
    x64_shift_i(s->a, SH_SHR, W32, RCX, 6); /* bit 0: whether carry may be set */
    x64_alu_rr(s->a, ALU_CMP, W64, RAX, RDX);
    x64_setcc_m(s->a, CC_S, home(s, FLAG_SIGN));
    x64_setcc_m(s->a, CC_E, home(s, FLAG_ZERO));
    x64_setcc_m(s->a, CC_O, home(s, FLAG_OVERFLOW));
    x64_setcc(s->a, CC_AE, RAX);
    x64_alu_rr(s->a, ALU_AND, W32, RAX, RCX);
    x64_mov_mr(s->a, W8, home(s, FLAG_CARRY), RAX);
    x64_mov_mi(s->a, W8, from, 0);
    x64_jmp(s->a, back);
    sel_cold_end(s);
}

void flags_values(unsigned how, uint64_t x, uint64_t y, bool flag[FLAG_COUNT])
{
    if (how & FLAGS_SUM)
        x += y;
    if (how & FLAGS_BOTH) {
        x &= y;
        y = 0;
    }
    if (how & FLAGS_32) {
        x <<= 32;
        y <<= 32;
    }
    flag[FLAG_SIGN] = (x - y) >> 63;
    flag[FLAG_ZERO] = x == y;
    flag[FLAG_CARRY] = x >= y && (how & FLAGS_CARRY);
    flag[FLAG_OVERFLOW] = ((x ^ y) & (x ^ (x - y))) >> 63;
}

void x64_flags_show(const HostCpu *cpu, const HostPlan *plan, uint8_t *state)
{
    uint32_t from = cpu->flags_from;
    uint64_t y = from & FROM_ZERO ? 0 : from & FROM_CONST ? (uint64_t)(int64_t)((int32_t)from >> FROM_Y) : cpu->flags_y;
    unsigned how = (from & FROM_CARRY ? FLAGS_CARRY : 0) | (from & FROM_32 ? FLAGS_32 : 0) | (from & FROM_SUM ? FLAGS_SUM : 0);
    bool flag[FLAG_COUNT];

    flags_values(how, cpu->flags_x, y, flag);
    for (unsigned k = 0; (from & FROM_PENDING) && k < FLAG_COUNT; k++)
        state[plan->cfg.slots->slot[plan->cfg.flags[k]].offset] = flag[k];
}

void x64_flags_settle(HostCpu *cpu, const HostPlan *plan)
{
    x64_flags_show(cpu, plan, cpu->state);
    cpu->flags_from = 0;
}
