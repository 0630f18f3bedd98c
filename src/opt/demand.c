/* What values are wanted for, over a whole graph: marked from the roots, through parameters. */
#include "opt/pass.h"

typedef struct Demand {
    const Opt *o;
    uint8_t *level;  /* by value */
    uint32_t *home;  /* by parameter: its block */
    IrRef *todo;     /* their level rose, and has not been handed on */
    uint32_t ntodo;
    uint8_t now;     /* the level being handed on */
} Demand;

static void want(void *ctx, IrRef *use)
{
    Demand *d = ctx;

    if (d->level[*use] >= d->now)
        return;
    d->level[*use] = d->now;
    d->todo[d->ntodo++] = *use;
}

static void want_snap(Demand *d, uint32_t snap)
{
    const IrSnap *s = &d->o->r->snap[snap];

    d->now = OPT_SHOWN;
    for (uint32_t k = 0; k < s->count; k++)
        want(d, &d->o->r->snapent[s->first + k].val);
}

/* A parameter's arguments on all edges. */
static void want_args(Demand *d, uint32_t block, uint32_t param)
{
    const Opt *o = d->o;
    uint32_t to[2], count;

    for (uint32_t p = o->g->pred_first[block]; p < o->g->pred_first[block + 1]; p++)
        for (unsigned e = ir_successors(o->r, o->g->pred[p], to); e--;)
            if (to[e] == block)
                want(d, &opt_edge_args(o->r, o->g->pred[p], e, &count)[param]);
}

static void hand_on(Demand *d)
{
    while (d->ntodo) {
        IrRef ref = d->todo[--d->ntodo];
        IrInsn *i = ir_insn(d->o->r, ref);
        d->now = d->level[ref];
        if (i->op == IR_PARAM)
            want_args(d, d->home[ref], (uint32_t)i->imm);
        else
            ir_each_use(d->o->r, i, want, d);
    }
}

bool opt_removable(const IrInsn *i)
{
    unsigned f = ir_ops[i->op].flags;

    return (f & IRF_PURE) ? i->op != IR_PARAM : i->op == IR_GET || ((f & IRF_FP) && (i->flags & IR_QUIET));
}

uint8_t *opt_demand(const Opt *o)
{
    IrRegion *r = o->r;
    Demand d = {.o = o, .level = arena_zalloc(r->arena, r->ninsn), .home = ARENA_ARRAY(r->arena, uint32_t, r->ninsn)};
    uint32_t snap = 0;

    d.todo = ARENA_ARRAY(r->arena, IrRef, 2 * r->ninsn); /* a level rises twice at most */
    for (uint32_t k = 0; k < o->g->n; k++)
        for (IrRef ref = r->block[o->g->rpo[k]].first; ref; ref = ir_insn(r, ref)->next) {
            IrInsn *i = ir_insn(r, ref);
            d.now = OPT_WANTED;
            if (i->op == IR_PARAM)
                d.home[ref] = o->g->rpo[k];
            else if (i->op == IR_BRIF)
                want(&d, &i->a);
            else if (i->op != IR_BR && !opt_removable(i))
                ir_each_use(r, i, want, &d);
            if (i->snap && i->snap != snap)
                want_snap(&d, snap = i->snap);
        }
    hand_on(&d);
    return d.level;
}
