#include "host/x86_64/graph.h"

#include "base/check.h"

#include <string.h>

/* --- order and aliases ------------------------------------------------------------------------------------------------ */

/* A block that goes straight back, as at the end of a loop's body: taken most of the time. */
static bool is_loop_exit(const IrRegion *r, uint32_t b)
{
    const IrInsn *i = &r->insn[r->block[b].last];
    return i->op == IR_EXIT && (i->aux & IR_EXIT_POLL);
}

void live_targets(const IrRegion *r, const IrInsn *brif, uint32_t *main, uint32_t *side)
{
    uint32_t yes = (uint32_t)brif->imm, no = (uint32_t)(brif->imm >> 32);
    bool through_yes = !r->block[yes].cold && (r->block[no].cold || is_loop_exit(r, yes));
    *main = through_yes ? yes : no;
    *side = through_yes ? no : yes;
}

typedef struct Live {
    Sel *s;
    SelAlloc *ra;
    const IrRegion *r;
    uint32_t pos;
    uint32_t *args;       /* by block: pool index of its arguments */
    unsigned depth;       /* side exits entered (number_block) */
    IrRef sum;            /* latest addition on the main path */
    uint32_t first;       /* in a graph: position at which the present main block begins */
    IrRef *sub_of;        /* by value: latest subtraction from it on the main path */
    IrRef *lazy;          /* what mark_lazy is to look at: flags, counts, sums and differences, in order */
    uint32_t nlazy;
    uint64_t pins_kept;   /* pinned slots whose entry values a use behind this one, in the present scope, keeps */
    IrSnap kept;          /* the snapshot behind this one, all of whose values are kept in the present scope */
} Live;

static IrRef alias_get(Live *l, IrRef ref, const IrInsn *i)
{
    unsigned pin = l->s->plan->slot_pin[i->imm];
    if (pin != 0xff)
        return ra_pin_ref(l->s, pin);
    IrRef *get = &l->ra->slot_get[i->imm];
    if (*get)
        return *get;
    *get = ref;
    l->ra->val[ref].home = (uint16_t)(i->imm + 1);
    return ref;
}

/* The value that the instruction's result is: itself, or an operand when registers would hold the same (see x64.h). */
static IrRef alias_of(Live *l, uint32_t block, IrRef ref, const IrInsn *i)
{
    switch (i->op) {
    case IR_COPY:
    case IR_TRUNC:
        return l->ra->root[i->a];
    case IR_ZEXT:
        if (i->lane == IR_I32 && ra_type(l->s, l->ra->root[i->a]) == IR_I32)
            return l->ra->root[i->a];
        return ref;
    case IR_VZEXT:
        return l->ra->val[i->a].flags & VAL_CLEAN ? l->ra->root[i->a] : ref;
    case IR_VGET:
        if (i->imm == 0 && plan_is_x((IrType)i->type))
            return l->ra->root[i->a];
        return ref;
    case IR_PARAM:
        if (l->ra->g && graph_npreds(l->ra->g, block) > 1)
            return ref;
        return l->ra->root[l->r->pool[l->args[block] + i->imm]];
    case IR_GET:
        return alias_get(l, ref, i);
    default:
        return ref;
    }
}

static bool has_pool_args(const IrInsn *i)
{
    return i->op == IR_CALL || i->op == IR_EXIT_HELP;
}

static void count_operand(Live *l, IrRef ref)
{
    uint16_t *c = &l->ra->count[l->ra->root[ref]];
    if (ref && *c != UINT16_MAX)
        ++*c;
}

bool live_has_cond(const IrInsn *i)
{
    if (i->op == IR_POLL)
        return true;
    if (plan_is_x((IrType)i->lane) || i->op == IR_VANY)
        return sel_fp_conds[i->op] != NULL;
    return sel_int_conds[i->op] != NULL;
}

static bool can_fuse(const Live *l, IrRef cond)
{
    IrRef root = l->ra->root[cond];
    return root < l->r->ninsn && live_has_cond(&l->r->insn[root]);
}

static void count_operands(Live *l, const IrInsn *i)
{
    unsigned mask = ir_ops[i->op].values;
    if ((i->op == IR_BRIF || i->op == IR_SELECT) && can_fuse(l, i->a))
        mask &= ~1u;
    if (mask & 1)
        count_operand(l, i->a);
    if (mask & 2)
        count_operand(l, i->b);
    if (mask & 4)
        count_operand(l, i->c);
    if (has_pool_args(i))
        for (uint32_t k = 0; k < i->b; k++)
            count_operand(l, l->r->pool[i->a + k]);
}

/* Whether what is defined by `ref` is done on every path to here, and as often: in a graph, by the same block. */
static bool same_block(const Live *l, IrRef ref)
{
    return !l->ra->g || l->ra->g->at[ref] >= l->first;
}

static void note_sum(Live *l, IrRef ref, const IrInsn *i)
{
    SelAlloc *ra = l->ra;
    const IrInsn *x = &l->r->insn[l->sum];
    if (l->sum && ra->root[x->a] == ra->root[i->a] && ra->root[x->b] == ra->root[i->b] && x->type == i->lane &&
        same_block(l, l->sum))
        ra->alt[ref] = l->sum;
}

static void note_sub(Live *l, IrRef ref, const IrInsn *i)
{
    SelAlloc *ra = l->ra;
    IrRef sub = l->sub_of[ra->root[i->a]];
    const IrInsn *x = &l->r->insn[sub];
    if (sub && ra->root[x->b] == ra->root[i->b] && x->type == i->lane && same_block(l, sub))
        ra->alt[ref] = sub;
}

/* Remember subtractions of the main path; find that of a comparison's operands. Additions are only told that it comes. */
static void note_arith(Live *l, IrRef ref, const IrInsn *i)
{
    switch (i->op) {
    case IR_ADD: case IR_SUB:
        if (l->depth == 0 && !plan_is_x((IrType)i->type)) {
            if (i->op == IR_ADD)
                l->sum = ref;
            else
                l->sub_of[l->ra->root[i->a]] = ref;
        }
        break;
    case IR_ADD_V: case IR_ADD_C:
        note_sum(l, ref, i);
        break;
    case IR_ICMP: case IR_SUB_V:
        note_sub(l, ref, i);
        break;
    case IR_AND: case IR_SELECT: case IR_TALLY: case IR_FCMP:
        break;
    default:
        return;
    }
    l->lazy[l->nlazy++] = ref;
}

/* Snapshots share their entries while no slot changes. */
static bool is_kept(const Live *l, const IrSnap *snap)
{
    return snap->first == l->kept.first && snap->count == l->kept.count;
}

/* Its values' roots are known: they are defined before it. */
static void note_snapshot(Live *l, const IrInsn *i)
{
    const IrSnap *snap = &l->r->snap[i->snap];
    if (is_kept(l, snap)) /* it names what the one before does */
        return;
    l->kept = *snap;
    for (uint32_t k = 0; k < snap->count; k++)
        l->ra->val[l->ra->root[l->r->snapent[snap->first + k].val]].flags |= VAL_SNAP;
}

static void value_init(SelAlloc *ra, IrRef v)
{
    ra->root[v] = v;
    ra->val[v].reg = ra->val[v].hint = REG_NONE;
}

/* One block; returns its terminator. */
static const IrInsn *number_insns(Live *l, uint32_t b)
{
    SelAlloc *ra = l->ra;
    const IrInsn *i = NULL;
    for (IrRef ref = l->r->block[b].first; ref; ref = i->next) {
        i = &l->r->insn[ref];
        if (ra->g)
            ra->g->at[ref] = l->pos;
        ra->order[l->pos++] = ref;
        value_init(ra, ref);
        switch (i->op) {
        case IR_INSN:
            continue;
        case IR_CONST: case IR_VCONST:
            ra->val[ref].flags = VAL_CONST;
            break;
        default:
            ra->root[ref] = alias_of(l, b, ref, i);
            count_operands(l, i);
            note_arith(l, ref, i);
            break;
        }
        if (plan_is_x((IrType)i->type) && fp_clean(l->s, i))
            ra->val[ref].flags |= VAL_CLEAN;
        if (i->snap)
            note_snapshot(l, i);
    }
    CHECK(i);
    if (i->op == IR_BR) {
        l->args[(uint32_t)i->imm] = i->a;
    } else if (i->op == IR_BRIF) {
        l->args[(uint32_t)i->imm] = i->b + 1;
        l->args[(uint32_t)(i->imm >> 32)] = i->c + 1;
    }
    return i;
}

static void number_block(Live *l, uint32_t b);

static void number_side(Live *l, uint32_t side)
{
    l->depth++;
    number_block(l, side);
    l->depth--;
    l->ra->bend[side] = l->pos - 1;
}

static void number_block(Live *l, uint32_t b)
{
    for (;;) {
        const IrInsn *i = number_insns(l, b);
        if (i->op == IR_BR) {
            b = (uint32_t)i->imm;
        } else if (i->op == IR_BRIF) {
            uint32_t side;
            live_targets(l->r, i, &b, &side);
            number_side(l, side);
        } else {
            return;
        }
    }
}

static void number_graph(Live *l)
{
    Graph *g = l->ra->g;
    for (uint32_t k = 0; k < g->cfg->n; k++) {
        uint32_t b = g->cfg->rpo[k], main, side;
        if (g->block[b].side)
            continue;
        g->block[b].first = l->first = l->pos;
        const IrInsn *i = number_insns(l, b);
        if (i->op == IR_BRIF && graph_side(l->s, i, &main, &side))
            number_side(l, side);
        g->block[b].last = l->pos;
        l->ra->order[l->pos++] = 0;
    }
}

/* --- lazy values ------------------------------------------------------------------------------------------------------- */

/* A comparison with zero that the flags of the operation itself answer: no overflow is involved. */
bool live_sign_test(const Sel *s, const IrInsn *i)
{
    uint64_t c;
    unsigned rel = i->aux & (IR_LT | IR_EQ | IR_GT);
    if (i->op != IR_ICMP || !sel_const(s, i->b, &c) || c != 0)
        return false;
    return rel == IR_EQ || rel == (IR_LT | IR_GT) || ((i->aux & IR_PSIGNED) && (rel == IR_LT || rel == (IR_EQ | IR_GT)));
}

/* A choice of flags, by what is no choice itself. */
static bool lazy_select(const Live *l, const IrInsn *i)
{
    const IrRef from[3] = {i->a, i->b, i->c};
    for (unsigned k = 0; k < 3; k++) {
        IrRef root = l->ra->root[from[k]];
        if (root < l->r->ninsn && l->r->insn[root].op == IR_SELECT)
            return false;
    }
    return i->type == IR_I8;
}

static bool may_be_lazy(const Live *l, const IrInsn *i)
{
    const IrRegion *r = l->r;
    unsigned rel = i->aux & (IR_LT | IR_EQ | IR_GT);
    if (i->op == IR_TALLY)
        return (int64_t)i->imm == (int32_t)i->imm;
    if (i->op == IR_SELECT)
        return lazy_select(l, i);
    if (i->op == IR_FCMP) /* its value; the flags that it raises are another matter, see live_insn */
        return (i->lane == IR_F32 || i->lane == IR_F64) && (i->aux & 15) % 15 && !r->fp.soft;
    if (i->op == IR_ICMP ? rel == 0 || rel == 7 : i->op != IR_SUB_V && i->op != IR_ADD_C && i->op != IR_ADD_V)
        return false;
    return i->lane == IR_I32 || i->lane == IR_I64;
}

static void discount(Live *l, IrRef ref)
{
    uint16_t *c = &l->ra->count[l->ra->root[ref]];
    if (ref && *c != UINT16_MAX)
        --*c;
}

/*
 * Flags that only snapshots want are not computed on the way: exits compute them into memory, and faults from the side
 * table. Neither is a sum or difference that only they want, nor a count of tools.
 */
static void mark_lazy(Live *l)
{
    SelAlloc *ra = l->ra;
    for (uint32_t k = l->nlazy; k--;) {
        IrRef ref = l->lazy[k];
        const IrInsn *i = &l->r->insn[ref];
        if (ra->count[ref] || ra->root[ref] != ref || !may_be_lazy(l, i))
            continue;
        ra->val[ref].flags |= VAL_LAZY;
        if (i->op == IR_SELECT) { /* what it chooses from comes before it, and may be lazy too */
            discount(l, can_fuse(l, i->a) ? 0 : i->a);
            discount(l, i->b);
            discount(l, i->c);
        } else if (live_sign_test(l->s, i)) {
            discount(l, i->a);
        }
    }
    for (uint32_t k = l->nlazy; k--;) {
        IrRef ref = l->lazy[k];
        const IrInsn *i = &l->r->insn[ref];
        bool arith = (i->op == IR_SUB || i->op == IR_ADD || i->op == IR_AND) && (i->type == IR_I32 || i->type == IR_I64);
        if (arith && !ra->count[ref] && !(ra->val[ref].flags & VAL_SNAP))
            ra->val[ref].flags |= VAL_LAZY;
    }
    for (uint32_t k = l->nlazy; k--;) {
        IrRef ref = l->lazy[k];
        bool sub = l->r->insn[ref].op == IR_ICMP || l->r->insn[ref].op == IR_SUB_V;
        if (sub && (ra->val[ref].flags & VAL_LAZY) && ra->alt[ref] && !(ra->val[ra->alt[ref]].flags & VAL_LAZY))
            ra->val[ref].flags |= VAL_ALT;
    }
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
        const IrRef from[3] = {i->a, i->b, i->c};
        for (unsigned k = 0; k < 3; k++)
            if (ra->val[ra->root[from[k]]].flags & VAL_LAZY)
                settle(l, ra->root[from[k]]);
    } else if (!(ra->val[root].flags & VAL_SETTLED)) {
        IrRef a = ra->root[i->a];
        if ((ra->val[a].use || (ra->val[a].flags & VAL_CONST)))
            ra->val[root].flags &= ~VAL_ALT & 0xff;
        ra->val[root].flags |= VAL_SETTLED;
    }
}

/* A comparison that is done in line had best find the flags of the subtraction. */
static void want_flags(Live *l, IrRef root)
{
    const IrInsn *i = &l->r->insn[root];
    IrRef sub = l->ra->alt[root];
    if (!sub && live_sign_test(l->s, i))
        sub = l->ra->root[i->a];
    if (sub && sub < l->r->ninsn)
        l->ra->val[sub].am = 1;
}

static unsigned select_operands(const Sel *s, const IrInsn *i, IrRef op[LAZY_OPS])
{
    const IrRef from[3] = {i->a, i->b, i->c};
    unsigned n = 0;
    for (unsigned k = 0; k < 3; k++) {
        IrRef root = s->ra->root[from[k]];
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
        op[0] = ra->root[i->a];
        return 1;
    }
    if (i->op == IR_SELECT)
        return select_operands(s, i, op);
    if (ra->val[root].flags & VAL_ALT) {
        op[0] = ra->alt[root];
        op[1] = ra->root[i->b];
        return 2;
    }
    op[0] = ra->root[i->a];
    op[1] = ra->root[i->b];
    if (op[0] < s->r->ninsn && (ra->val[op[0]].flags & VAL_LAZY)) { /* a sign test of a lazy result */
        const IrInsn *x = &s->r->insn[op[0]];
        op[0] = ra->root[x->a];
        op[1] = ra->root[x->b];
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

static inline uint32_t use_new(Sel *s)
{
    SelAlloc *ra = s->ra;
    if (__builtin_expect(ra->nuse == ra->cap_use, 0))
        use_grow(s);
    return ra->nuse++;
}

uint32_t ra_use_new(Sel *s)
{
    return use_new(s);
}

static inline void push_use(Live *l, IrRef root, bool soft)
{
    SelAlloc *ra = l->ra;
    uint32_t n = use_new(l->s);
    ra->use[n] = (Use){.pos = l->pos, .next = ra->val[root].use, .soft = soft};
    ra->val[root].use = n;
}

static void use_value(Live *l, IrRef ref)
{
    IrRef root = l->ra->root[ref];
    uint32_t u = l->ra->val[root].use;
    if (ref && !(u && l->ra->use[u].pos == l->pos))
        push_use(l, root, false);
    else if (ref)
        l->ra->use[u].soft = false;
}

/* A use that any place satisfies: it only keeps the value alive, so a later use in the same scope says it all. */
static inline void keep_value(Live *l, IrRef root)
{
    uint32_t u = l->ra->val[root].use;
    if (!(u && l->ra->use[u].pos <= l->ra->end))
        push_use(l, root, true);
}

static void keep_root(Live *l, IrRef root)
{
    IrRef op[LAZY_OPS];
    if (!(l->ra->val[root].flags & VAL_LAZY)) {
        keep_value(l, root);
        return;
    }
    settle(l, root);
    for (unsigned n = live_lazy_operands(l->s, root, op); n--;)
        keep_value(l, op[n]);
}

/* A new scope: what keeps a value in another one says nothing here. */
static void scope_begin(Live *l, uint32_t end)
{
    l->ra->end = end;
    l->pins_kept = 0;
    l->kept.first = NEVER;
}

static void use_snapshot(Live *l, const IrInsn *i, bool exit)
{
    const HostPlan *plan = l->s->plan;
    const IrSnap *snap = &l->r->snap[i->snap];
    uint64_t set = 0;

    if (is_kept(l, snap))
        return;
    l->kept = *snap;
    for (uint32_t k = 0; k < snap->count; k++) {
        const IrSnapEnt *e = &l->r->snapent[snap->first + k];
        IrRef root = l->ra->root[e->val];
        unsigned pin = plan->slot_pin[e->slot];
        keep_root(l, root);
        if (pin == 0xff)
            continue;
        set |= 1ull << pin;
        if (exit && l->ra->val[root].hint == REG_NONE)
            l->ra->val[root].hint = plan->pin[pin].reg;
    }
    uint64_t rest = ((1ull << plan->npin) - 1) & ~set & ~l->pins_kept;
    l->pins_kept |= rest;
    for (; rest; rest &= rest - 1)
        keep_value(l, ra_pin_ref(l->s, (unsigned)__builtin_ctzll(rest)));
}

/* --- folding ----------------------------------------------------------------------------------------------------------- */

/* Whether a value is in a register later anyway, or needs none. */
static bool stays(const Live *l, IrRef ref)
{
    const SelAlloc *ra = l->ra;
    IrRef root = ra->root[ref];
    uint32_t u = ra->val[root].use;
    if (ra->val[root].flags & VAL_CONST)
        return true;
    for (unsigned k = 0; u && ra->use[u].soft && k < 4; k++)
        u = ra->use[u].next;
    return u && !ra->use[u].soft;
}

/*
 * `root` when it is an operation `op` that can be done where it is used, as part of an address: because nothing else needs it,
 * or nothing behind this does and its operands stay. In the latter case it may turn out that all its uses do it themselves.
 */
static const IrInsn *sole(Live *l, IrRef root, IrOp op)
{
    const IrInsn *i = &l->r->insn[root];
    if (root >= l->r->ninsn || i->op != op || l->ra->val[root].use || !same_block(l, root))
        return NULL;
    if (l->ra->count[root] == 1 || (l->ra->count[root] <= 4 && stays(l, i->a) && stays(l, i->b)))
        return i;
    return NULL;
}

static bool small_const(Live *l, IrRef ref, int64_t *v)
{
    IrVal c;
    IrRef root = l->ra->root[ref];
    if (!ra_const(l->s, root, &c) || plan_is_x(ra_type(l->s, root)))
        return false;
    *v = (int64_t)c.u64[0];
    return *v == (int32_t)*v;
}

static void addr_index(Live *l, AddrMode *m, IrRef x, IrRef y)
{
    for (int swap = 0; swap < 2; swap++) {
        IrRef idx = swap ? x : y;
        int64_t k;
        const IrInsn *i = sole(l, l->ra->root[idx], IR_SHL);
        if (i && i->type == IR_I64 && small_const(l, i->b, &k) && k >= 0 && k <= 3) {
            m->base = swap ? y : x;
            m->index = i->a;
            m->scale = (uint8_t)k;
            return;
        }
    }
    m->base = x;
    m->index = y;
}

/* The address of memory operation `i` as an x86 address mode; adds that only it needs are folded. */
static AddrMode addr_match(Live *l, const IrInsn *i)
{
    AddrMode m = {.base = i->a};
    int64_t disp = (int64_t)i->imm, k;
    bool has_disp = i->op == IR_LOAD || i->op == IR_STORE;

    if (!has_disp)
        disp = 0;
    if (disp != (int32_t)disp)
        return m; /* the rule adds the displacement itself */
    for (int depth = 0; depth < 4; depth++) {
        const IrInsn *add = sole(l, l->ra->root[m.base], IR_ADD);
        if (!add)
            break;
        if (small_const(l, add->b, &k) && disp + k == (int32_t)(disp + k)) {
            disp += k;
            m.base = add->a;
        } else {
            addr_index(l, &m, add->a, add->b);
            break;
        }
    }
    m.disp = (int32_t)disp;
    return m;
}

static void use_address(Live *l, IrRef ref, const IrInsn *i)
{
    SelAlloc *ra = l->ra;
    AddrMode m = addr_match(l, i);
    if (ra->nam == ra->cap_am) {
        AddrMode *am = ARENA_ARRAY(l->s->arena, AddrMode, 2 * ra->cap_am);
        memcpy(am, ra->am, ra->nam * sizeof *am);
        ra->am = am;
        ra->cap_am *= 2;
    }
    ra->val[ref].am = (uint16_t)ra->nam;
    ra->am[ra->nam++] = m;
    use_value(l, m.base);
    use_value(l, m.index);
}

/* The condition of a BRIF or SELECT: in flags when a rule may do that, else as a value. */
static void use_condition(Live *l, IrRef ref, IrRef cond)
{
    IrRef root = l->ra->root[cond], op[LAZY_OPS];
    const IrInsn *i = &l->r->insn[root];

    if (!can_fuse(l, cond)) {
        use_value(l, cond);
        return;
    }
    l->ra->val[ref].flags |= VAL_COND;
    want_flags(l, root);
    if (l->ra->val[root].flags & VAL_LAZY) {
        settle(l, root);
        for (unsigned n = live_lazy_operands(l->s, root, op); n--;)
            use_value(l, op[n]);
        return;
    }
    use_value(l, i->a);
    use_value(l, i->b);
    use_value(l, i->c);
}

static void use_operands(Live *l, IrRef ref, const IrInsn *i)
{
    switch (i->op) {
    case IR_BRIF:
        use_condition(l, ref, i->a);
        return;
    case IR_SELECT:
        use_condition(l, ref, i->a);
        use_value(l, i->b);
        use_value(l, i->c);
        return;
    case IR_LOAD:
    case IR_STORE:
    case IR_CAS:
    case IR_RMW:
        use_address(l, ref, i);
        break;
    default:
        break;
    }
    unsigned mask = ir_ops[i->op].values;
    if (i->op == IR_LOAD || i->op == IR_STORE || i->op == IR_CAS || i->op == IR_RMW)
        mask &= ~1u;
    if (mask & 1)
        use_value(l, i->a);
    if (mask & 2)
        use_value(l, i->b);
    if (mask & 4)
        use_value(l, i->c);
    if (has_pool_args(i))
        for (uint32_t k = 0; k < i->b; k++)
            use_value(l, l->r->pool[i->a + k]);
}

/* A value that ends in an operation with this hint would save a move by having it too. */
static void pass_hint(Live *l, IrRef ref, const IrInsn *i)
{
    SelAlloc *ra = l->ra;
    if (ra->val[ref].hint == REG_NONE || !i->a || !(ir_ops[i->op].values & 1))
        return;
    Val *x = &ra->val[ra->root[i->a]];
    if (!x->use && x->hint == REG_NONE && plan_is_x(ra_type(l->s, ra->root[i->a])) == plan_is_x((IrType)i->type))
        x->hint = ra->val[ref].hint;
}

/* --- the pass ---------------------------------------------------------------------------------------------------------- */

/* Two FP comparisons that raise the same flags. */
static bool same_fcmp(const Live *l, const IrInsn *x, const IrInsn *y)
{
    const IrRef *root = l->ra->root;
    return x->op == IR_FCMP && y->op == IR_FCMP && x->lane == y->lane && !((x->aux ^ y->aux) & IR_SIGNALLING) &&
           root[x->a] == root[y->a] && root[x->b] == root[y->b];
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
            l->ra->root[i->a] < l->r->ninsn && same_fcmp(l, cmp, &l->r->insn[l->ra->root[i->a]]))
            return true;
        if (ir_ops[i->op].flags & IRF_SNAP)
            return false;
    }
    return false;
}

static void live_insn(Live *l, IrRef ref)
{
    const IrInsn *i = &l->r->insn[ref];
    Val *x = &l->ra->val[ref];

    if (i->op == IR_INSN || l->ra->root[ref] != ref || (x->flags & VAL_CONST) || i->op == IR_GET || i->op == IR_NOP ||
        i->op == IR_PARAM)
        return;
    if (!x->use && ((ir_ops[i->op].flags & IRF_PURE) || i->op == IR_POLL || (i->flags & IR_QUIET && ir_ops[i->op].flags & IRF_FP) ||
                    (i->op == IR_FCMP && !l->r->fp.soft && fused_soon(l, i))))
        return;
    x->flags |= VAL_NEEDED;
    if (i->op == IR_ICMP || i->op == IR_SUB_V || i->op == IR_ADD_C || i->op == IR_ADD_V)
        want_flags(l, ref);
    pass_hint(l, ref, i);
    use_operands(l, ref, i);
    if (ir_ops[i->op].flags & IRF_SNAP)
        use_snapshot(l, i, ir_ops[i->op].flags & IRF_END);
}

static void live_insns(Live *l, uint32_t b)
{
    for (IrRef ref = l->r->block[b].last; ref; ref = l->r->insn[ref].prev) {
        l->pos--;
        live_insn(l, ref);
    }
}

static void live_block(Live *l, uint32_t b);

static void live_side(Live *l, uint32_t side)
{
    uint32_t scope = l->ra->end;
    uint64_t pins = l->pins_kept;
    scope_begin(l, l->ra->bend[side]);
    live_block(l, side);
    l->ra->end = scope; /* what the side keeps is kept up to it here too */
    l->pins_kept |= pins;
}

static void live_block(Live *l, uint32_t b)
{
    uint32_t *path = ARENA_ARRAY(l->s->arena, uint32_t, l->r->nblock);
    uint32_t n = 0;

    for (;;) {
        const IrInsn *end = &l->r->insn[l->r->block[b].last];
        uint32_t side;
        path[n++] = b;
        if (end->op == IR_BR)
            b = (uint32_t)end->imm;
        else if (end->op == IR_BRIF)
            live_targets(l->r, end, &b, &side);
        else
            break;
    }
    while (n--) {
        const IrInsn *end = &l->r->insn[l->r->block[path[n]].last];
        if (end->op == IR_BRIF) {
            uint32_t main, side;
            live_targets(l->r, end, &main, &side);
            live_side(l, side);
        }
        live_insns(l, path[n]);
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
            IrRef root = l->ra->root[l->r->pool[args + p++]];
            if (!(l->ra->val[ref].flags & VAL_NEEDED))
                continue;
            use_value(l, root);
            if (l->ra->val[root].hint == REG_NONE)
                l->ra->val[root].hint = l->ra->val[ref].hint;
        }
    }
}

static void live_graph(Live *l)
{
    Graph *g = l->ra->g;
    for (uint32_t k = g->cfg->n; k-- > 0;) {
        uint32_t b = g->cfg->rpo[k], main, side;
        const IrInsn *end = &l->r->insn[l->r->block[b].last];
        if (g->block[b].side)
            continue;
        l->first = g->block[b].first;
        scope_begin(l, --l->pos);
        if (end->op == IR_BR || end->op == IR_BRIF)
            use_args(l, end);
        if (end->op == IR_BRIF && graph_side(l->s, end, &main, &side))
            live_side(l, side);
        live_insns(l, b);
    }
    graph_live(l->s);
}

static void live_alloc(Sel *s)
{
    SelAlloc *ra = s->ra;
    ra->nval = s->r->ninsn + s->plan->npin;
    ra->val = arena_zalloc(s->arena, ra->nval * (sizeof *ra->val + sizeof *ra->root + sizeof *ra->alt + sizeof *ra->count));
    ra->root = (IrRef *)(ra->val + ra->nval);
    ra->alt = ra->root + ra->nval;
    ra->count = (uint16_t *)(ra->alt + ra->nval);
    ra->slot_get = arena_zalloc(s->arena, s->r->slots->count * sizeof *ra->slot_get);
    ra->order = ARENA_ARRAY(s->arena, IrRef, ra->nval + s->r->nblock);
    ra->bend = ARENA_ARRAY(s->arena, uint32_t, s->r->nblock);
    ra->cap_use = 4 * ra->nval + 64;
    ra->use = ARENA_ARRAY(s->arena, Use, ra->cap_use);
    ra->nuse = 1;
    ra->cap_am = s->r->ninsn / 4 + 16;
    ra->am = ARENA_ARRAY(s->arena, AddrMode, ra->cap_am);
    value_init(ra, 0);
    for (uint32_t v = s->r->ninsn; v < ra->nval; v++)
        value_init(ra, v);
}

void live_run(Sel *s)
{
    live_alloc(s);
    Live *l = ARENA_NEW(s->arena, Live);
    l->s = s;
    l->ra = s->ra;
    l->r = s->r;
    l->args = arena_zalloc(s->arena, s->r->nblock * sizeof *l->args);
    l->sub_of = arena_zalloc(s->arena, s->ra->nval * sizeof *l->sub_of);
    l->lazy = ARENA_ARRAY(s->arena, IrRef, s->ra->nval);
    l->kept.first = NEVER;
    if (s->r->graph) {
        graph_begin(s);
        number_graph(l);
    } else {
        number_block(l, 0);
    }
    s->ra->norder = l->pos;
    if (s->r->graph)
        graph_params(s);
    mark_lazy(l);
    scope_begin(l, NEVER - 1);
    if (s->r->graph)
        live_graph(l);
    else
        live_block(l, 0);
    CHECK(l->pos == 0);
}
