/*
 * Dead code: one backward walk over the region. Roots are the operations with an effect: control, stores, and also loads and
 * FP operations, since a fault and a sticky flag are effects. A snapshot's values are uses where its operation stands.
 * In that order a value's uses are met before it, but for arguments of a loop's header: which parameters of a graph live is found
 * before, by marking what roots need.
 *
 * Two rewritings need to know all uses of a value, and are done here, where each value is met after its last use:
 *   - a difference that is only compared with zero, by eq and ne, gives way to comparing its operands;
 *   - an unused FP comparison hands the raising of its flags to a quiet one of the same values that follows it, when
 *     nothing between them can see the flags.
 *
 * Values that only matter when an operation faults, most often flags, are marked IR_LAZY on the way.
 */
#include "opt/pass.h"

#define MAX_QUIET 4

enum {
    LIVE = 1,
    LIVE_ZERO_CMP = 2, /* used by icmp eq/ne with 0 */
    LIVE_FAULT = 4,    /* used by the snapshot of an operation that may fault, or by a lazy operation */
};

typedef struct Dce {
    IrRegion *r;
    uint8_t *live;  /* by value */
    IrRef *user;    /* by value with LIVE_ZERO_CMP: its last icmp with 0; by such an icmp: the next one of the same value */
    uint8_t *drop;  /* graphs only, by value: a parameter that nobody needs */
    IrSnap shown;   /* the snapshot that was marked last, */
    uint8_t how;    /* and so */
    IrRef quiet[MAX_QUIET]; /* quiet comparisons since the last operation that may see FP flags */
    unsigned nquiet;
} Dce;

static void mark_list(Dce *d, IrRef at, uint32_t n)
{
    for (uint32_t k = 0; k < n; k++)
        d->live[d->r->pool[at + k]] |= LIVE;
}

/* The arguments of parameters that stay. */
static void mark_args(Dce *d, uint32_t block, const IrInsn *i)
{
    if (i->op == IR_BRIF && !(i->b | i->c))
        return;
    for (unsigned e = 0; e < (i->op == IR_BRIF ? 2 : 1); e++) {
        uint32_t n;
        const IrRef *arg = opt_edge_args(d->r, block, e, &n);
        IrRef ref = d->r->block[e ? i->imm >> 32 : (uint32_t)i->imm].first;
        for (uint32_t k = 0; k < n; k++, ref = ir_insn(d->r, ref)->next)
            if (!d->drop || !d->drop[ref])
                d->live[arg[k]] |= LIVE;
    }
}

static bool is_zero_compare(const Dce *d, const IrInsn *i)
{
    uint64_t k;

    return (i->aux == IR_EQ || i->aux == (IR_LT | IR_GT)) && ir_is_const(d->r, i->b, &k) && k == 0;
}

/* `how`: what the operands are needed for. */
static inline void mark_uses(Dce *d, uint32_t block, IrRef ref, const IrInsn *i, uint8_t how)
{
    unsigned values = ir_ops[i->op].values;

    if (i->op == IR_ICMP && how == LIVE && is_zero_compare(d, i)) {
        d->user[ref] = d->live[i->a] & LIVE_ZERO_CMP ? d->user[i->a] : 0;
        d->user[i->a] = ref;
        d->live[i->a] |= LIVE_ZERO_CMP;
        d->live[i->b] |= LIVE;
        return;
    }
    d->live[values & 1 ? i->a : 0] |= how;
    d->live[values & 2 ? i->b : 0] |= how;
    d->live[values & 4 ? i->c : 0] |= how;
    if (!(values & IR_VALUES_LISTED))
        return;
    if (i->op == IR_CALL || i->op == IR_EXIT_HELP)
        mark_list(d, i->a, i->b);
    else if (i->op == IR_BRIF || i->b)
        mark_args(d, block, i);
}

/* `how` says whether the values must be there (an exit) or only when the operation faults. */
static void mark_snap(Dce *d, uint32_t snap, uint8_t how)
{
    const IrSnap *s = &d->r->snap[snap];

    if (s->first == d->shown.first && s->count == d->shown.count && how == d->how)
        return; /* snapshots share their entries while no slot changes */
    d->shown = *s;
    d->how = how;
    for (uint32_t k = 0; k < s->count; k++)
        d->live[d->r->snapent[s->first + k].val] |= how;
}

/* The users of the difference `ref` compare its operands instead. */
static void compare_operands(Dce *d, IrRef ref)
{
    IrInsn sub = *ir_insn(d->r, ref);

    for (IrRef u = d->user[ref], next; u; u = next) {
        IrInsn *i = ir_insn(d->r, u);
        next = d->user[u];
        i->a = sub.a;
        i->b = sub.b;
    }
    d->live[sub.a] |= LIVE;
    d->live[sub.b] |= LIVE;
}

/* Whether a quiet comparison that follows can raise the flags of the unused one `i`. */
static bool hand_over(Dce *d, const IrInsn *i)
{
    for (unsigned k = 0; k < d->nquiet; k++) {
        IrInsn *q = ir_insn(d->r, d->quiet[k]);
        if (q->a == i->a && q->b == i->b && q->lane == i->lane && ((q->aux ^ i->aux) & IR_SIGNALLING) == 0) {
            q->flags &= (uint16_t)~IR_QUIET;
            return true;
        }
    }
    return false;
}

static bool dead(Dce *d, IrRef ref, const IrInsn *i)
{
    if ((d->live[ref] & (LIVE | LIVE_ZERO_CMP)) == LIVE_ZERO_CMP && i->op == IR_SUB && i->type != IR_V128) {
        compare_operands(d, ref);
        d->live[ref] &= (uint8_t)~LIVE_ZERO_CMP;
        if (!d->live[ref])
            return true;
    }
    if (d->live[ref])
        return false;
    return opt_removable(i) || (i->op == IR_FCMP && hand_over(d, i));
}

/* Whether the pure operation `i` is marked IR_LAZY: then its operands are as well needed only for what may fault. */
static bool note_lazy(Dce *d, IrRef ref, IrInsn *i)
{
    if (i->op == IR_CONST || i->op == IR_VCONST || i->op == IR_PARAM)
        return false;
    i->flags &= (uint16_t)~IR_LAZY;
    if (d->live[ref] == LIVE_FAULT)
        i->flags |= IR_LAZY;
    return d->live[ref] == LIVE_FAULT;
}

static void note_flags(Dce *d, IrRef ref, const IrInsn *i, unsigned flags)
{
    if ((flags & IRF_SNAP) || i->op == IR_CALL)
        d->nquiet = 0;
    else if (i->op == IR_FCMP && (i->flags & IR_QUIET) && d->nquiet < MAX_QUIET)
        d->quiet[d->nquiet++] = ref;
}

/* The parameters of a graph that no root needs, not even through other parameters. */
static uint8_t *dead_params(const Opt *o)
{
    uint8_t *drop = opt_demand(o);

    for (IrRef ref = 1; ref < o->r->ninsn; ref++)
        drop[ref] = ir_insn(o->r, ref)->op == IR_PARAM && drop[ref] == 0;
    return drop;
}

/* *i stays: note what it needs. */
static inline void keep(Dce *d, uint32_t block, IrRef ref, IrInsn *i)
{
    unsigned flags = ir_ops[i->op].flags;
    uint8_t how = LIVE;

    if (flags & IRF_PURE) {
        if (note_lazy(d, ref, i))
            how = LIVE_FAULT;
    } else {
        note_flags(d, ref, i, flags);
        if (i->snap)
            mark_snap(d, i->snap, flags & IRF_END ? LIVE : LIVE_FAULT);
    }
    mark_uses(d, block, ref, i, how);
}

void opt_dce(Opt *o)
{
    IrRegion *r = o->r;
    Dce d = {.r = r, .live = arena_zalloc(r->arena, r->ninsn), .user = ARENA_ARRAY(r->arena, IrRef, r->ninsn)};

    if (r->graph)
        d.drop = dead_params(o);
    for (uint32_t k = o->g->n; k-- > 0;) {
        uint32_t b = o->g->rpo[k];
        d.nquiet = 0;
        for (IrRef ref = r->block[b].last, prev; ref; ref = prev) {
            IrInsn *i = ir_insn(r, ref);
            prev = i->prev;
            if (!(d.live[ref] & LIVE) && dead(&d, ref, i))
                ir_remove(r, b, ref);
            else
                keep(&d, b, ref, i);
        }
    }
    if (d.drop)
        opt_drop_params(o, d.drop);
}
