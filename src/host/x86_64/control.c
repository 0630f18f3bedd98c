/*
 * Leaving a region: guest state goes where it is kept between translations (pinned registers, homes), then on to the
 * next translation by a chained jump, a predicted call or return, the jump cache, or back to the run loop.
 */
#include "host/x86_64/flags.h"

#include "base/check.h"
#include "host/x86_64/asm_vec.h"

#include <string.h>

/* A value that must be in a register: a pinned slot's, or an operand of the exit. */
typedef struct Target {
    uint8_t reg;
    IrRef root;
} Target;

/* A value that goes to the home of a slot. */
typedef struct HomeStore {
    IrRef root;
    uint16_t slot;
} HomeStore;

typedef struct Leave {
    Sel *s;
    Target target[PLAN_MAX_PINS + 2];
    unsigned ntarget;
    HomeStore lazy[IR_MAX_SLOTS];  /* those that are computed only now, in the order of slots ... */
    HomeStore store[IR_MAX_SLOTS]; /* ... and the rest */
    unsigned nlazy, nstore;
    uint64_t kept;    /* registers of pinned slots that still have their entry value */
    uint64_t stay;    /* those of them where it is */
    const IrRef *arg; /* of a helper that the exit calls */
    uint32_t narg;
    bool risk;        /* some home that will be written has held a value */
    uint64_t over[IR_MAX_SLOTS / 64]; /* homes that will be written */
    uint64_t over_early[IR_MAX_SLOTS / 64]; /* those of them that are written while lazy values are still computed */
    IrRef flag[FLAG_COUNT]; /* values of the flags, 0 for those that are as they were */
    unsigned nflag;
    FlagForm flags;
} Leave;

static bool in_home(const Sel *s, IrRef root, unsigned slot)
{
    return ra_val(s, root)->home == slot + 1;
}

static void add_target(Leave *l, unsigned reg, IrRef root)
{
    l->target[l->ntarget++] = (Target){(uint8_t)reg, root};
}

static void collect_home(Leave *l, unsigned slot, IrRef val, IrRef root)
{
    const Sel *s = l->s;
    unsigned flag = s->plan->slot_flag[slot];

    if (flag < FLAG_COUNT) {
        l->flag[flag] = val;
        l->nflag++;
    }
    if (in_home(s, root, slot))
        return;
    l->over[slot / 64] |= 1ull << (slot % 64);
    l->risk |= s->ra->slot_get[slot] || s->ra->home_val[slot];
    if (ra_val(s, root)->flags & VAL_LAZY) {
        l->over_early[slot / 64] |= 1ull << (slot % 64);
        l->lazy[l->nlazy++] = (HomeStore){root, (uint16_t)slot};
    } else {
        l->store[l->nstore++] = (HomeStore){root, (uint16_t)slot};
    }
}

/* Which values the exit needs where. */
static void collect(Leave *l, const IrInsn *i)
{
    const Sel *s = l->s;
    const HostPlan *plan = s->plan;
    const IrSnap *snap = &s->r->snap[i->snap];
    const IrSnapEnt *e = &s->r->snapent[snap->first], *end = e + snap->count;
    uint64_t set = 0;

    if (i->op == IR_EXIT_HELP) {
        l->arg = &s->r->pool[i->a];
        l->narg = i->b;
    }
    for (; e < end; e++) {
        unsigned pin = plan->slot_pin[e->slot];
        IrRef root = ra_root(s, e->val);
        if (pin != 0xff) {
            set |= REG_BIT(plan->pin[pin].reg);
            add_target(l, plan->pin[pin].reg, root);
        } else {
            collect_home(l, e->slot, e->val, root);
        }
    }
    l->kept = plan->pinned & ~set;
}

/* Pinned slots with their entry value that a temporary has displaced: when no more temporaries are to come. */
static void collect_kept(Leave *l)
{
    l->stay = l->kept & l->s->ra->at_pin;
    for (uint64_t m = l->kept & ~l->stay; m; m &= m - 1) {
        unsigned reg = (unsigned)__builtin_ctzll(m);
        add_target(l, reg, ra_pin_ref(l->s, l->s->plan->reg_pin[reg]));
    }
}

/* --- values that are only in a home about to be written ---------------------------------------------------------------- */

static void copy_home(Sel *s, IrRef root)
{
    Val *x = &s->ra->val[root];
    Mem from = plan_slot(s->plan, x->home - 1u);
    IrType t = ra_type(s, root);
    unsigned place = ra_spill_place(s, root);

    x->home = 0;
    if (ra_high(place) != REG_NONE) {
        ra_load_memory(s, ra_high(place), t, false, from);
        return;
    }
    Mem to = ra_spill_mem(place);
    x64_mov_mr(s->a, W64, plan_scratch(0), RAX);
    if (plan_is_x(t)) {
        Mem from2 = from, to2 = to;
        from2.disp += 8;
        to2.disp += 8;
        x64_mov_rm(s->a, W64, RAX, from2);
        x64_mov_mr(s->a, W64, to2, RAX);
        x64_mov_rm(s->a, W64, RAX, from);
    } else if (t == IR_I64) {
        x64_mov_rm(s->a, W64, RAX, from);
    } else {
        x64_movzx(s->a, t == IR_I8 ? W8 : t == IR_I16 ? W16 : W32, RAX, rm_m(from));
    }
    x64_mov_mr(s->a, W64, to, RAX);
    x64_mov_rm(s->a, W64, RAX, plan_scratch(0));
}

/* A value with a home. `over`: what is written before the value is needed for the last time. */
static void rescue_from_home(Leave *l, IrRef root, const uint64_t *over)
{
    Val *x = ra_val(l->s, root);
    if ((x->flags & VAL_CONST) || x->spill)
        return;
    unsigned slot = x->home - 1u;
    if (!(over[slot / 64] >> (slot % 64) & 1))
        return;
    if (x->reg == REG_NONE) {
        copy_home(l->s, root);
    } else { /* a lazy flag's temporary may still evict it: then not to this home */
        ra_trail(l->s, root);
        x->home = 0;
    }
}

static void rescue_lazy(Leave *l, IrRef root)
{
    IrRef op[LAZY_OPS];
    for (unsigned n = live_lazy_operands(l->s, root, op); n--;)
        if (ra_val(l->s, op[n])->home)
            rescue_from_home(l, op[n], l->over_early);
}

static inline void rescue(Leave *l, IrRef root)
{
    const Val *x = ra_val(l->s, root);
    if (x->flags & VAL_LAZY)
        rescue_lazy(l, root);
    else if (x->home)
        rescue_from_home(l, root, l->over);
}

/* The flag of a form that is stored instead. */
static bool is_described(const Leave *l, unsigned slot)
{
    return l->flags.known && l->s->plan->slot_flag[slot] < FLAG_COUNT;
}

/* A count, not computed yet, of what is in its own home: one addition to memory makes it. */
static bool counts_in_place(const Sel *s, IrRef root, unsigned slot)
{
    const IrInsn *i = &s->r->insn[root];
    return (ra_val(s, root)->flags & VAL_LAZY) && i->op == IR_TALLY && in_home(s, ra_root(s, i->a), slot);
}

/* No pinned slot's home is written, so what is left of their entry values is safe. */
static void rescue_all(Leave *l)
{
    for (unsigned k = 0; k < l->nlazy; k++)
        if (!counts_in_place(l->s, l->lazy[k].root, l->lazy[k].slot) && !is_described(l, l->lazy[k].slot))
            rescue(l, l->lazy[k].root);
    for (unsigned k = 0; k < l->nstore; k++)
        rescue(l, l->store[k].root);
    for (unsigned k = 0; k < l->ntarget; k++)
        rescue(l, l->target[k].root);
    for (uint32_t k = 0; k < l->narg; k++)
        rescue(l, ra_root(l->s, l->arg[k]));
}

/* --- stores to homes --------------------------------------------------------------------------------------------------- */

static Width slot_width(IrType t)
{
    return t == IR_I8 ? W8 : t == IR_I16 ? W16 : t == IR_I32 || t == IR_F32 ? W32 : W64;
}

static void store_slot(Sel *s, unsigned slot, unsigned reg)
{
    Mem m = plan_slot(s->plan, slot);
    IrType t = (IrType)s->r->slots->slot[slot].type;
    if (reg < REG_X)
        x64_mov_mr(s->a, slot_width(t), m, (Gpr){(uint8_t)reg});
    else
        x64_mr_m(s->a, t == IR_V128 ? VMOVDQU_ST : t == IR_F64 ? VMOVQ_ST : VMOVD_GX, m, (Xmm){(uint8_t)(reg - REG_X)});
}

static bool store_const(Sel *s, unsigned slot, IrRef root)
{
    IrVal c;
    IrType t = (IrType)s->r->slots->slot[slot].type;
    if (plan_is_x(t) || !ra_const(s, root, &c))
        return false;
    if (t == IR_I64 && (int64_t)c.u64[0] != (int32_t)c.u64[0])
        return false;
    x64_mov_mi(s->a, slot_width(t), plan_slot(s->plan, slot), (int32_t)c.u64[0]);
    return true;
}

static void store_count(Sel *s, IrRef root, unsigned slot)
{
    const IrInsn *i = &s->r->insn[root];
    Mem m = plan_slot(s->plan, slot);

    if (counts_in_place(s, root, slot)) {
        x64_alu_mi(s->a, ALU_ADD, W64, m, (int32_t)i->imm);
        return;
    }
    Gpr a = sel_use_r(s, i->a), t = sel_tmp_r(s);
    x64_lea(s->a, W64, t, mem_b(a, (int32_t)i->imm));
    x64_mov_mr(s->a, W64, m, t);
}

static bool is_combined(const Leave *l, const HomeStore *h)
{
    return l->s->r->slots->slot[h->slot].counter && l->s->r->insn[h->root].op == IR_TALLY && counts_in_place(l->s, h->root, h->slot);
}

/* Additions to counters that have lanes: one, in a register (HostConfig.lanes). */
static void count_lanes(Leave *l)
{
    uint64_t by[HOST_LANES] = {0};
    unsigned rest = 0;

    for (unsigned k = 0; k < l->nlazy; k++) {
        const HomeStore h = l->lazy[k];
        unsigned lane = l->s->r->slots->slot[h.slot].lane;
        if (lane && is_combined(l, &h))
            by[lane - 1] += l->s->r->insn[h.root].imm;
        else
            l->lazy[rest++] = h;
    }
    if (rest < l->nlazy)
        x64_rvm_m(l->s->a, VPADDQ, REG_LANES, REG_LANES, sel_vconst(l->s, by[0], by[1]));
    l->nlazy = rest;
}

/* Additions to several counters become one, where it is kept how often just these happen together (HostConfig.combine). */
static void combine_counts(Leave *l)
{
    const HostConfig *cfg = &l->s->plan->cfg;
    HostCount count[HOST_COMBINE_MAX];
    unsigned n = 0, rest = 0;

    for (const HomeStore *h = l->lazy, *end = h + l->nlazy; h < end && n < HOST_COMBINE_MAX; h++)
        if (is_combined(l, h))
            count[n++] = (HostCount){h->slot, (int32_t)l->s->r->insn[h->root].imm};
    uint32_t disp = n > 1 ? cfg->combine(cfg->combine_data, count, n, sel_is_hot(l->s)) : 0;
    if (!disp)
        return;
    x64_alu_mi(l->s->a, ALU_ADD, W64, mem_b(R15, (int32_t)disp - STATE_BIAS), 1);
    for (unsigned k = 0; k < l->nlazy; k++) { /* the others, and those that were too many */
        if (n && is_combined(l, &l->lazy[k]))
            n--;
        else
            l->lazy[rest++] = l->lazy[k];
    }
    l->nlazy = rest;
}

/* Flags and counts that were not computed on the way: into their homes, while all other values are still where they were. */
static void store_lazy(Leave *l)
{
    Sel *s = l->s;
    for (const HomeStore *h = l->lazy, *end = h + l->nlazy; h < end; h++) {
        if (is_described(l, h->slot))
            continue;
        if (s->r->insn[h->root].op == IR_TALLY)
            store_count(s, h->root, h->slot);
        else
            sel_cond_store(s, h->root, plan_slot(s->plan, h->slot));
        s->ra->locked = 0;
    }
}

/* A register of the class that holds nothing which the exit still needs. */
static unsigned scratch_reg(const Leave *l, bool x)
{
    uint64_t busy = l->stay, pool = x ? l->s->plan->pool_x : l->s->plan->pool_r;
    for (unsigned k = 0; k < l->ntarget; k++)
        if (ra_val(l->s, l->target[k].root)->reg != REG_NONE)
            busy |= REG_BIT(ra_val(l->s, l->target[k].root)->reg);
    CHECK(pool & ~busy);
    return (unsigned)__builtin_ctzll(pool & ~busy);
}

static void store_slots(Leave *l)
{
    Sel *s = l->s;
    unsigned late = 0;

    for (unsigned k = 0; k < l->nstore; k++) {
        HomeStore h = l->store[k];
        unsigned reg = ra_val(s, h.root)->reg;
        if (is_described(l, h.slot))
            continue;
        if (reg != REG_NONE)
            store_slot(s, h.slot, reg);
        else if (!store_const(s, h.slot, h.root))
            l->store[late++] = h;
    }
    for (unsigned k = 0; k < late; k++) { /* now registers are free */
        HomeStore h = l->store[k];
        unsigned reg = scratch_reg(l, plan_is_x(ra_type(s, h.root)));
        ra_load_into(s, reg, h.root);
        store_slot(s, h.slot, reg);
    }
}

/* --- parallel move ----------------------------------------------------------------------------------------------------- */

typedef struct Moves {
    uint8_t to[PLAN_MAX_PINS + 2], from[PLAN_MAX_PINS + 2];
    unsigned n;
} Moves;

static bool is_source(const Moves *m, unsigned reg)
{
    for (unsigned k = 0; k < m->n; k++)
        if (m->from[k] == reg)
            return true;
    return false;
}

static void drop_move(Moves *m, unsigned k)
{
    m->n--;
    m->to[k] = m->to[m->n];
    m->from[k] = m->from[m->n];
}

static void redirect(Moves *m, unsigned from, unsigned to)
{
    for (unsigned k = 0; k < m->n; k++)
        if (m->from[k] == from)
            m->from[k] = (uint8_t)to;
}

/* All that is left are cycles: open one. */
static void break_cycle(Sel *s, Moves *m, uint64_t stay)
{
    unsigned to = m->to[0], from = m->from[0];
    if (to < REG_X) {
        x64_xchg_rr(s->a, W64, (Gpr){(uint8_t)to}, (Gpr){(uint8_t)from});
        drop_move(m, 0);
        for (unsigned k = 0; k < m->n; k++)
            m->from[k] = (uint8_t)(m->from[k] == to ? from : m->from[k] == from ? to : m->from[k]);
        return;
    }
    uint64_t busy = stay;
    for (unsigned k = 0; k < m->n; k++)
        busy |= REG_BIT(m->to[k]) | REG_BIT(m->from[k]);
    CHECK(s->plan->pool_x & ~busy);
    unsigned t = (unsigned)__builtin_ctzll(s->plan->pool_x & s->plan->temps & ~busy ? s->plan->pool_x & s->plan->temps & ~busy
                                                                                  : s->plan->pool_x & ~busy);
    ra_move(s, t, from);
    redirect(m, from, t);
}

static void run_moves(Sel *s, Moves *m, uint64_t stay)
{
    while (m->n) {
        bool moved = false;
        for (unsigned k = 0; k < m->n;) {
            if (m->to[k] == m->from[k]) {
                drop_move(m, k);
            } else if (!is_source(m, m->to[k])) {
                ra_move(s, m->to[k], m->from[k]);
                drop_move(m, k);
                moved = true;
            } else {
                k++;
            }
        }
        if (m->n && !moved)
            break_cycle(s, m, stay);
    }
}

static void move_targets(Leave *l)
{
    Sel *s = l->s;
    Moves m;

    m.n = 0;
    for (unsigned k = 0; k < l->ntarget; k++) {
        unsigned reg = ra_val(s, l->target[k].root)->reg;
        if (reg != REG_NONE && reg != l->target[k].reg) {
            m.to[m.n] = l->target[k].reg;
            m.from[m.n++] = (uint8_t)reg;
        }
    }
    run_moves(s, &m, l->stay);
    for (unsigned k = 0; k < l->ntarget; k++)
        if (ra_val(s, l->target[k].root)->reg == REG_NONE)
            ra_load_into(s, l->target[k].reg, l->target[k].root);
}

/* All but the lists. */
static void leave_init(Leave *l, Sel *s)
{
    l->s = s;
    l->ntarget = l->nlazy = l->nstore = 0;
    l->narg = 0;
    l->risk = false;
    memset(l->over, 0, sizeof l->over);
    memset(l->over_early, 0, sizeof l->over_early);
    memset(l->flag, 0, sizeof l->flag);
    l->nflag = 0;
    l->flags = (FlagForm){0};
}

/* Guest state to where it is kept between translations, and up to two values to given registers. */
static void leave_state(Sel *s, const IrInsn *i, const Target *extra, unsigned n)
{
    Leave leave, *l = &leave;

    leave_init(l, s);
    collect(l, i);
    for (unsigned k = 0; k < n; k++)
        add_target(l, extra[k].reg, extra[k].root);
    if (l->nflag == FLAG_COUNT && !(i->op == IR_EXIT && (i->aux & IR_EXIT_FLAGS)))
        l->flags = flags_form(s, l->flag);
    if (l->risk)
        rescue_all(l);
    if (l->nflag)
        flags_store(s, &l->flags);
    if (l->nlazy && s->plan->cfg.lanes)
        count_lanes(l);
    if (l->nlazy > 1 && s->plan->cfg.combine)
        combine_counts(l);
    store_lazy(l);
    /* not before: a careful comparison among the flags is evaluated with arguments of its own */
    for (uint32_t k = 0; k < l->narg; k++)
        sel_store_arg(s, k, l->arg[k]);
    collect_kept(l);
    store_slots(l);
    move_targets(l);
}

/* --- ways out ---------------------------------------------------------------------------------------------------------- */

/* Jump to a label, which is returned, when an exit is requested. */
static uint32_t emit_poll(Sel *s)
{
    uint32_t out = sel_label(s);
    x64_alu_mi(s->a, ALU_CMP, W32, sel_cpu(s, offsetof(HostCpu, exit_request)), 0);
    x64_jcc(s->a, CC_NE, out);
    return out;
}

/* Leave to the run loop with the pc in rax when an exit is requested. */
static void emit_poll_rax(Sel *s)
{
    uint32_t out = emit_poll(s);
    sel_cold_begin(s);
    sel_bind(s, out);
    x64_mov_ri(s->a, RCX, IR_STOP_CHECK);
    x64_jmp(s->a, label_stub(STUB_LEAVE));
    sel_cold_end(s);
}

/* Count an exit to pc; the engine hears of it when its counter comes to zero. */
static void emit_count(Sel *s, uint64_t pc)
{
    uint32_t out = sel_label(s), counter = host_hot_index(pc, s->plan->cfg.pc_shift);
    x64_alu_mi(s->a, ALU_SUB, W32, sel_cpu(s, offsetof(HostCpu, counter) + 4 * counter), 1);
    x64_jcc(s->a, CC_E, out);
    sel_cold_begin(s);
    sel_bind(s, out);
    emit_guest_addr(s, RAX, pc);
    x64_jmp(s->a, label_stub(STUB_HOT));
    sel_cold_end(s);
}

/*
 * Where a call returns to, with the guest address that the return wants in rax. When that is not the one behind the call, the
 * guest has not returned from what it called last: what the return stack holds is not what the guest will do.
 */
static void emit_return_point(Sel *s, bool known, uint64_t ret)
{
    if (!known) {
        x64_jmp(s->a, label_stub(STUB_LOOKUP));
        return;
    }
    if ((int64_t)ret == (int32_t)ret) {
        x64_alu_ri(s->a, ALU_CMP, W64, RAX, (int32_t)ret);
    } else {
        emit_guest_addr(s, RCX, ret);
        x64_alu_rr(s->a, ALU_CMP, W64, RAX, RCX);
    }
    x64_jcc(s->a, CC_NE, label_stub(STUB_RET_MISS));
    emit_chain(s, 0, ret, LABEL_NONE);
}

/* The return stack gets what a call would have left on it: a call, but of what follows. */
void sel_owe(Sel *s, const IrInsn *i)
{
    if (!s->plan->cfg.ret_predict)
        return;
    uint32_t on = sel_label(s);
    x64_call(s->a, on);
    emit_return_point(s, true, i->imm);
    sel_bind(s, on);
}

static void exit_call(Sel *s, const IrInsn *i)
{
    uint64_t ret;
    bool known = sel_const(s, i->a, &ret);

    leave_state(s, i, NULL, 0);
    uint32_t out = i->aux & IR_EXIT_POLL ? emit_poll(s) : LABEL_NONE;
    if (!s->plan->cfg.ret_predict) {
        emit_chain(s, CHAIN_HOT, i->imm, out);
        return;
    }
    emit_chain(s, CHAIN_CALL | CHAIN_HOT, i->imm, out);
    emit_return_point(s, known, ret);
}

/* On to the guest address in rax. */
static void exit_on(Sel *s, bool call, IrHint hint, uint64_t pc)
{
    bool returns = hint == IR_HINT_RET || hint == IR_HINT_STRAY;

    if (s->plan->cfg.promote && hint == IR_HINT_MANY) {
        emit_plain_indirect(s, pc);
    } else if (s->plan->cfg.promote) {
        emit_indirect(s, call ? HOST_SITE_CALL : returns ? HOST_SITE_RETURN : HOST_SITE_JUMP, pc);
    } else if (!call) {
        emit_lookup(s);
    } else {
        uint32_t lookup = sel_label(s);
        x64_call(s->a, lookup);
        sel_cold_begin(s);
        sel_bind(s, lookup);
        emit_lookup(s);
        sel_cold_end(s);
    }
}

static void exit_ind(Sel *s, const IrInsn *i)
{
    bool predict = s->plan->cfg.ret_predict, call = i->aux == IR_HINT_CALL && predict;
    uint64_t ret = 0;
    bool known = call && sel_const(s, i->b, &ret);
    Target t = {RAX.n, ra_root(s, i->a)};

    leave_state(s, i, &t, 1);
    if (i->aux == IR_HINT_RET && predict) {
        x64_ret(s->a);
        return;
    }
    emit_poll_rax(s);
    exit_on(s, call, (IrHint)i->aux, s->r->snap[i->snap].pc);
    if (call)
        emit_return_point(s, known, ret);
}

static void exit_help(Sel *s, const IrInsn *i)
{
    Target t = {RAX.n, ra_root(s, i->c)};

    leave_state(s, i, &t, 1);
    x64_mov_mr(s->a, W64, sel_cpu(s, offsetof(HostCpu, ir.pc)), RAX);
    x64_mov_ri(s->a, RCX, i->imm);
    x64_jmp(s->a, label_stub(STUB_HELP));
}

static void exit_to(Sel *s, const IrInsn *i)
{
    bool polls = i->aux & IR_EXIT_POLL;

    leave_state(s, i, NULL, 0);
    uint32_t out = polls ? emit_poll(s) : LABEL_NONE;
    if (i->aux & IR_EXIT_COUNT)
        emit_count(s, i->imm);
    emit_chain(s, polls ? CHAIN_HOT : 0, i->imm, out);
}

void sel_exit(Sel *s, const IrInsn *i)
{
    switch (i->op) {
    case IR_EXIT:
        exit_to(s, i);
        break;
    case IR_EXIT_CALL:
        exit_call(s, i);
        break;
    case IR_EXIT_IND:
        exit_ind(s, i);
        break;
    case IR_EXIT_HELP:
        exit_help(s, i);
        break;
    default:
        leave_state(s, i, NULL, 0);
        emit_guest_addr(s, RAX, i->imm);
        x64_mov_ri(s->a, RCX, i->aux);
        x64_jmp(s->a, label_stub(STUB_LEAVE));
        break;
    }
}
