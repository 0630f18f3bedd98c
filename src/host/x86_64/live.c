/*
 * The backward pass, over positions: notes every use of every value, and chooses what is folded. See regalloc.h.
 */
#include "host/x86_64/graph.h"
#include "host/x86_64/live.h"

#include "base/check.h"

#include <string.h>

/* --- lazy values ------------------------------------------------------------------------------------------------------- */

static void settle(Live *l, IrRef root);

/* Apart, as what it calls for it is mostly done without: so is select_operands. */
static __attribute__((noinline)) void settle_operands(Live *l, const IrInsn *select)
{
    const Val *val = l->ra->val;
    const IrRef from[3] = {select->a, select->b, select->c};
    for (unsigned k = 0; k < 3; k++)
        if (val[val[from[k]].root].flags & VAL_LAZY)
            settle(l, val[from[k]].root);
}

/*
 * At the last use of a lazy value: a difference stands for the first operand only if that is not there anyway. All uses
 * agree on it, so that what is kept is what is used.
 */
static void settle(Live *l, IrRef root)
{
    SelAlloc *ra = l->ra;
    const IrInsn *i = &l->r->insn[root];
    if (i->op == IR_SELECT) {
        settle_operands(l, i);
    } else if (!(ra->val[root].flags & VAL_SETTLED)) {
        IrRef a = ra->val[i->a].root;
        if (live_is_wanted(&ra->val[a]) || (ra->val[a].flags & VAL_CONST))
            ra->val[root].flags &= ~VAL_ALT & 0xff;
        ra->val[root].flags |= VAL_SETTLED;
    }
}

/* A comparison that is done in line had best find the flags of the subtraction. */
static void want_flags(Live *l, IrRef root)
{
    const IrInsn *i = &l->r->insn[root];
    IrRef sub = l->ra->val[root].alt;
    if (!sub && live_sign_test(l->s, i))
        sub = l->ra->val[i->a].root;
    if (sub && sub < l->r->ninsn)
        l->ra->val[sub].am = VAL_AM_FLAGS;
}

static __attribute__((noinline)) unsigned select_operands(const Sel *s, const IrInsn *i, IrRef op[LAZY_OPS])
{
    const IrRef from[3] = {i->a, i->b, i->c};
    unsigned n = 0;
    for (unsigned k = 0; k < 3; k++) {
        IrRef root = s->ra->val[from[k]].root;
        if (s->ra->val[root].flags & VAL_LAZY)
            n += live_lazy_operands(s, root, op + n);
        else
            op[n++] = root;
    }
    return n;
}

unsigned live_lazy_operands(const Sel *s, IrRef root, IrRef op[LAZY_OPS])
{
    const SelAlloc *ra = s->ra;
    const IrInsn *i = &s->r->insn[root];
    if (i->op == IR_TALLY) {
        op[0] = ra->val[i->a].root;
        return 1;
    }
    if (i->op == IR_SELECT)
        return select_operands(s, i, op);
    if (ra->val[root].flags & VAL_ALT) {
        op[0] = ra->val[root].alt;
        op[1] = ra->val[i->b].root;
        return 2;
    }
    op[0] = ra->val[i->a].root;
    op[1] = ra->val[i->b].root;
    if (op[0] < s->r->ninsn && (ra->val[op[0]].flags & VAL_LAZY)) { /* a sign test of a lazy result */
        const IrInsn *x = &s->r->insn[op[0]];
        op[0] = ra->val[x->a].root;
        op[1] = ra->val[x->b].root;
    }
    return 2;
}

/* --- uses, backward ---------------------------------------------------------------------------------------------------- */

static void use_grow(Sel *s)
{
    SelAlloc *ra = s->ra;
    Use *u = ARENA_ARRAY(s->arena, Use, 2 * ra->cap_use);
    memcpy(u, ra->use, ra->nuse * sizeof *u);
    ra->use = u;
    ra->cap_use *= 2;
}

static inline uint32_t use_new(Sel *s, SelAlloc *ra)
{
    uint32_t n = ra->nuse;
    if (__builtin_expect(n == ra->cap_use, 0))
        use_grow(s);
    ra->nuse = n + 1;
    return n;
}

uint32_t ra_use_new(Sel *s)
{
    return use_new(s, s->ra);
}

static void push_use(Live *l, Val *x, bool soft)
{
    SelAlloc *ra = l->ra;
    uint32_t n = use_new(l->s, ra), pos = l->pos;
    Use *u = &ra->use[n];
    u->pos = pos;
    u->next = x->use;
    u->soft = soft;
    u->turn = false;
    x->use = n;
    x->first = pos;
}

void live_use(Live *l, IrRef ref)
{
    Val *val = l->ra->val, *x = &val[val[ref].root];
    if (x->first == l->pos)
        l->ra->use[x->use].soft = false;
    else if (ref)
        push_use(l, x, false);
}

/* A use that any place satisfies: it only keeps the value alive, so a later use in the same scope says it all. */
static inline void keep_value(Live *l, Val *x)
{
    if (x->first > l->ra->end)
        push_use(l, x, true);
}

static void keep_lazy(Live *l, IrRef root)
{
    IrRef op[LAZY_OPS];
    Val *val = l->ra->val;
    val[root].first = l->pos;
    settle(l, root);
    for (unsigned n = live_lazy_operands(l->s, root, op); n--;)
        keep_value(l, &val[op[n]]);
}

/* A new scope: what keeps a value in another one says nothing here. */
static void scope_begin(Live *l, uint32_t end)
{
    l->ra->end = end;
    l->pins_kept = 0;
    l->kept.first = NEVER;
}

/* An exit that changes the slots in `homes`. */
static void check_flags(Live *l, const uint64_t homes[EARLY_WORDS])
{
    const uint64_t *flags = l->s->plan->flag_slots;
    uint64_t some = 0, rest = 0;

    for (unsigned w = 0; w < l->early.words; w++) {
        some |= homes[w] & flags[w];
        rest |= flags[w] & ~homes[w];
    }
    l->ra->mixed_flags |= some && rest;
}

/* Entry values of pinned slots that a snapshot does not list are as they were; so does it list those in `listed`. */
static void keep_pins(Live *l, uint64_t listed)
{
    Val *pin = &l->ra->val[l->ra->first_pin];
    uint64_t rest = l->pins & ~listed & ~l->pins_kept;
    l->pins_kept |= rest;
    for (; rest; rest &= rest - 1)
        keep_value(l, &pin[__builtin_ctzll(rest)]);
}

static void use_snapshot(Live *l, const IrInsn *i, bool exit)
{
    const HostPlan *plan = l->s->plan;
    const IrSnap *snap = &l->r->snap[i->snap];
    const IrSnapEnt *e = &l->r->snapent[snap->first], *last = e + snap->count;
    Val *val = l->ra->val;
    uint32_t end = l->ra->end;
    uint64_t pins = 0, homes[EARLY_WORDS] = {0}; /* slots that it lists, by where they are kept */

    if (live_is_kept(l, snap))
        return;
    l->kept = *snap;
    for (; e < last; e++) {
        IrRef root = val[e->val].root;
        unsigned slot = e->slot, pin = plan->slot_pin[slot];
        Val *x = &val[root];
        if (x->first > end) {
            if (x->flags & VAL_LAZY)
                keep_lazy(l, root);
            else
                push_use(l, x, true);
        }
        if (pin == 0xff) {
            homes[slot / 64] |= 1ull << (slot % 64);
            if (exit)
                early_exit(&l->early, l->ra, root, slot, l->pos);
        } else {
            pins |= 1ull << pin;
            if (exit && x->hint == REG_NONE)
                x->hint = plan->pin[pin].reg;
        }
    }
    early_note(&l->early, l->ra, homes, l->pos);
    if (exit)
        check_flags(l, homes);
    keep_pins(l, pins);
}

/* The condition of a BRIF or SELECT: in flags when a rule may do that, else as a value. */
static void use_condition(Live *l, IrRef ref, IrRef cond)
{
    IrRef root = l->ra->val[cond].root, op[LAZY_OPS];
    const IrInsn *i = &l->r->insn[root];

    if (!live_can_fuse(l, cond)) {
        live_use(l, cond);
        return;
    }
    l->ra->val[ref].flags |= VAL_COND;
    want_flags(l, root);
    if (l->ra->val[root].flags & VAL_LAZY) {
        settle(l, root);
        for (unsigned n = live_lazy_operands(l->s, root, op); n--;)
            live_use(l, op[n]);
        return;
    }
    live_use(l, i->a);
    live_use(l, i->b);
    live_use(l, i->c);
}

static void use_operands(Live *l, IrRef ref, const IrInsn *i)
{
    unsigned mask = ir_ops[i->op].values;
    switch (i->op) {
    case IR_BRIF:
        use_condition(l, ref, i->a);
        return;
    case IR_SELECT:
        use_condition(l, ref, i->a);
        if (live_use_increment(l, ref, i))
            return;
        live_use(l, i->b);
        live_use(l, i->c);
        return;
    case IR_ADD:
        if (live_use_sum(l, ref, i))
            return;
        break;
    case IR_LOAD:
    case IR_STORE:
    case IR_CAS:
    case IR_RMW:
        live_use_address(l, ref, i);
        mask &= ~1u;
        break;
    case IR_CALL:
    case IR_EXIT_HELP:
        for (uint32_t k = 0; k < i->b; k++)
            live_use(l, l->r->pool[i->a + k]);
        break;
    default:
        break;
    }
    if (mask & 1)
        live_use(l, i->a);
    if (mask & 2)
        live_use(l, i->b);
    if (mask & 4)
        live_use(l, i->c);
}

/* A value that ends in an operation with this hint would save a move by having it too. */
static void pass_hint(Live *l, IrRef ref, const IrInsn *i)
{
    SelAlloc *ra = l->ra;
    if (ra->val[ref].hint == REG_NONE || !i->a || !(ir_ops[i->op].values & 1))
        return;
    Val *x = &ra->val[ra->val[i->a].root];
    if (!live_is_wanted(x) && x->hint == REG_NONE &&
        plan_is_x(ra_type(l->s, ra->val[i->a].root)) == plan_is_x((IrType)i->type))
        x->hint = ra->val[ref].hint;
}

/* --- the pass ---------------------------------------------------------------------------------------------------------- */

/* Two FP comparisons that raise the same flags. */
static bool same_fcmp(const Live *l, const IrInsn *x, const IrInsn *y)
{
    const Val *val = l->ra->val;
    return x->op == IR_FCMP && y->op == IR_FCMP && x->lane == y->lane && !((x->aux ^ y->aux) & IR_SIGNALLING) &&
           val[x->a].root == val[y->a].root && val[x->b].root == val[y->b].root;
}

/*
 * Whether the flags of FP comparison `cmp` are raised anyway before anything can leave: by an equal comparison that is
 * emitted, or by a BRIF or SELECT that evaluates one.
 */
static bool fused_soon(Live *l, const IrInsn *cmp)
{
    const IrInsn *i = cmp;
    while (i->next) {
        IrRef ref = i->next;
        i = &l->r->insn[ref];
        if (same_fcmp(l, cmp, i) && (l->ra->val[ref].flags & VAL_NEEDED))
            return true;
        if ((i->op == IR_BRIF || i->op == IR_SELECT) && (l->ra->val[ref].flags & (VAL_NEEDED | VAL_COND)) == (VAL_NEEDED | VAL_COND) &&
            l->ra->val[i->a].root < l->r->ninsn && same_fcmp(l, cmp, &l->r->insn[l->ra->val[i->a].root]))
            return true;
        if (ir_ops[i->op].flags & IRF_SNAP)
            return false;
    }
    return false;
}

/* Whether an instruction whose value nobody needs is left out. */
static bool is_idle(Live *l, const IrInsn *i, unsigned flags)
{
    return (flags & IRF_PURE) || i->op == IR_POLL || (i->flags & IR_QUIET && flags & IRF_FP) ||
           (i->op == IR_FCMP && !l->r->fp.soft && fused_soon(l, i));
}

static void live_insn(Live *l, IrRef ref, const IrInsn *i)
{
    unsigned flags = ir_ops[i->op].flags;
    Val *x = &l->ra->val[ref];

    if (!x->use && is_idle(l, i, flags))
        return;
    x->flags |= VAL_NEEDED;
    if (i->op == IR_ICMP || i->op == IR_SUB_V || i->op == IR_ADD_C || i->op == IR_ADD_V)
        want_flags(l, ref);
    pass_hint(l, ref, i);
    use_operands(l, ref, i);
    if (flags & IRF_SNAP)
        use_snapshot(l, i, flags & IRF_END);
}

static void side_begin(Live *l)
{
    l->outer[l->depth++] = (LiveScope){l->ra->end, l->pins_kept};
    scope_begin(l, l->pos);
}

/* In front of the side at whose branch we are. */
static void side_end(Live *l)
{
    const LiveScope *outer = &l->outer[--l->depth];
    early_end(&l->early, l->ra, l->pos + 1, l->ra->end);
    l->ra->end = outer->end; /* what the side keeps is kept up to it here too */
    l->pins_kept |= outer->pins_kept;
}

/*
 * Positions from `first` up to the present one, backward; they end with `last`. Any other exit is where a side ends, which
 * began behind its branch.
 */
static void live_range(Live *l, uint32_t first, IrRef last)
{
    while (l->pos > first) {
        IrRef ref = l->ra->order[--l->pos];
        const IrInsn *i = &l->r->insn[ref];
        if (ir_ops[i->op].flags & IRF_END) {
            if (i->op == IR_BR)
                continue;
            if (i->op != IR_BRIF && ref != last)
                side_begin(l);
            else if (i->op == IR_BRIF && l->depth)
                side_end(l);
        } else if (i->op == IR_INSN) {
            continue;
        }
        live_insn(l, ref, i);
    }
}

/* Arguments are used behind the branch and its side exits, where the edges' moves are. */
static void use_args(Live *l, const IrInsn *i)
{
    for (unsigned e = 0; e < (i->op == IR_BRIF ? 2u : 1u); e++) {
        uint32_t to, n, p = 0;
        IrRef args = graph_args(l->r, i, e, &to, &n);
        if (!n || graph_npreds(l->ra->g, to) < 2)
            continue;
        for (IrRef ref = l->r->block[to].first; p < n; ref = l->r->insn[ref].next) {
            if (l->r->insn[ref].op != IR_PARAM)
                continue;
            IrRef root = l->ra->val[l->r->pool[args + p++]].root;
            if (!(l->ra->val[ref].flags & VAL_NEEDED))
                continue;
            live_use(l, root);
            if (l->ra->val[root].hint == REG_NONE)
                l->ra->val[root].hint = l->ra->val[ref].hint;
        }
    }
}

static void live_graph(Live *l)
{
    Graph *g = l->ra->g;
    for (uint32_t k = g->cfg->n; k-- > 0;) {
        uint32_t b = g->cfg->rpo[k];
        IrRef last = l->r->block[b].last;
        const IrInsn *end = &l->r->insn[last];
        if (g->block[b].side)
            continue;
        l->first = g->block[b].first;
        scope_begin(l, --l->pos);
        if (end->op == IR_BR || end->op == IR_BRIF)
            use_args(l, end);
        live_range(l, l->first, last);
        early_end(&l->early, l->ra, l->pos, NEVER);
    }
    graph_live(l->s);
}

/* The entry values of pinned slots are in their registers. */
static void init_pins(Sel *s)
{
    const HostPlan *plan = s->plan;
    SelAlloc *ra = s->ra;
    uint16_t flags = s->r->graph ? 0 : VAL_STAYS;
    IrRef v = ra->first_pin;
    for (const Pin *p = plan->pin, *end = p + plan->npin; p < end; p++, v++) {
        ra->reg_val[p->reg] = v;
        ra->val[v] = (Val){.root = v, .first = NEVER, .flags = flags, .reg = p->reg, .hint = REG_NONE, .type = p->type};
    }
}

static void live_alloc(Live *l)
{
    Sel *s = l->s;
    SelAlloc *ra = s->ra;
    uint32_t nslot = s->r->slots->count;
    ra->first_pin = s->r->ninsn;
    ra->reg_pin = s->plan->reg_pin;
    ra->spill_val = ARENA_ARRAY(s->arena, IrRef, SPILL_PLACES);
    ra->nval = s->r->ninsn + s->plan->npin;
    ra->val = ARENA_ARRAY(s->arena, Val, ra->nval);
    if (s->r->graph) /* whose liveness looks at all numbers, also those of removed instructions */
        memset(ra->val, 0, ra->nval * sizeof *ra->val);
    ra->val[0] = (Val){.first = NEVER, .reg = REG_NONE, .hint = REG_NONE};
    init_pins(s);
    ra->slot_get = arena_zalloc(s->arena, 2 * nslot * sizeof *ra->slot_get);
    ra->home_val = ra->slot_get + nslot;
    ra->early = ARENA_ARRAY(s->arena, Early, ra->nval);
    ra->order = ARENA_ARRAY(s->arena, IrRef, ra->nval + s->r->nblock);
    ra->bend = ARENA_ARRAY(s->arena, uint32_t, s->r->nblock);
    ra->cap_use = 4 * ra->nval + 64;
    ra->use = ARENA_ARRAY(s->arena, Use, ra->cap_use);
    ra->use[0] = (Use){.pos = NEVER};
    ra->nuse = 1;
    ra->nam = VAL_AM_FIRST;
    ra->cap_am = s->r->ninsn / 4 + 16;
    ra->am = ARENA_ARRAY(s->arena, AddrMode, ra->cap_am);
    l->args = arena_zalloc(s->arena, s->r->nblock * sizeof *l->args);
    l->lazy = ARENA_ARRAY(s->arena, IrRef, ra->nval);
    l->sub = ARENA_ARRAY(s->arena, IrRef, ra->nval);
    l->outer = ARENA_ARRAY(s->arena, LiveScope, s->r->nblock);
    l->early.val = ARENA_ARRAY(s->arena, IrRef, nslot);
    l->early.words = (nslot + 63) / 64;
}

/* In a tree only what changes needs a look: most pinned slots stay as they are. */
static void choose_pins(Live *l)
{
    Val *pin = &l->ra->val[l->ra->first_pin];

    l->pins = ((1ull << l->s->plan->npin) - 1) & (l->r->graph ? UINT64_MAX : l->changed);
    for (uint64_t m = l->pins; m; m &= m - 1)
        pin[__builtin_ctzll(m)].flags &= ~VAL_STAYS & 0xffff;
}

void live_run(Sel *s)
{
    Live l = {.s = s, .ra = s->ra, .r = s->r, .kept = {.first = NEVER}};

    live_alloc(&l);
    live_number(&l);
    choose_pins(&l);
    scope_begin(&l, NEVER - 1);
    if (s->r->graph)
        live_graph(&l);
    else
        live_range(&l, 0, s->ra->order[l.pos - 1]);
    CHECK(l.pos == 0);
}
