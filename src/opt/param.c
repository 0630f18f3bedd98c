/* What passes over graphs share: arguments along edges, and taking parameters out. */
#include "opt/pass.h"

#include <string.h>

IrRef *opt_edge_args(IrRegion *r, uint32_t block, unsigned edge, uint32_t *n)
{
    const IrInsn *i = ir_insn(r, r->block[block].last);

    if (i->op == IR_BR) {
        *n = i->b;
        return &r->pool[i->a];
    }
    IrRef at = edge ? i->c : i->b;
    *n = at ? r->pool[at] : 0;
    return &r->pool[at + 1];
}

void opt_edge_set_args(IrRegion *r, uint32_t block, unsigned edge, uint32_t at, uint32_t n)
{
    IrInsn *i = ir_insn(r, r->block[block].last);

    if (i->op == IR_BR) {
        i->a = n ? at : 0;
        i->b = n;
        return;
    }
    if (n)
        r->pool[at - 1] = n;
    *(edge ? &i->c : &i->b) = n ? at - 1 : 0;
}

void opt_edge_append(IrRegion *r, uint32_t block, unsigned edge, const IrRef *arg, uint32_t n)
{
    uint32_t old;

    opt_edge_args(r, block, edge, &old);
    uint32_t at = ir_pool_new(r, old + n + 1) + 1;
    memcpy(&r->pool[at], opt_edge_args(r, block, edge, &old), old * sizeof *arg);
    memcpy(&r->pool[at + old], arg, n * sizeof *arg);
    opt_edge_set_args(r, block, edge, at, old + n);
}

/* Keep those arguments of each edge to `to` whose parameter stays. */
static void drop_args(Opt *o, uint32_t to, const uint8_t *drop, const IrRef *param)
{
    IrRegion *r = o->r;
    uint32_t succ[2];

    for (uint32_t p = o->g->pred_first[to]; p < o->g->pred_first[to + 1]; p++) {
        uint32_t from = o->g->pred[p];
        if (p > o->g->pred_first[to] && o->g->pred[p - 1] == from)
            continue; /* both edges of a BRIF: done with the first */
        for (unsigned e = ir_successors(r, from, succ); e--;) {
            uint32_t n, kept = 0;
            if (succ[e] != to)
                continue;
            IrRef *arg = opt_edge_args(r, from, e, &n);
            for (uint32_t k = 0; k < n; k++)
                if (!drop[param[k]])
                    arg[kept++] = arg[k];
            opt_edge_set_args(r, from, e, (uint32_t)(arg - r->pool), kept);
        }
    }
}

void opt_drop_params(Opt *o, const uint8_t *drop)
{
    IrRegion *r = o->r;
    IrRef param[UINT8_MAX + 1]; /* the first ones of the block */

    for (uint32_t k = 0; k < o->g->n; k++) {
        uint32_t b = o->g->rpo[k], n = 0, kept = 0, np = r->block[b].nparams;
        IrRef *list = np > UINT8_MAX ? ARENA_ARRAY(r->arena, IrRef, np) : param;
        bool any = false;
        for (IrRef ref = r->block[b].first; n < np; ref = ir_insn(r, ref)->next)
            if (ir_insn(r, ref)->op == IR_PARAM) {
                any |= drop[ref];
                list[n++] = ref;
            }
        if (!any)
            continue;
        drop_args(o, b, drop, list);
        for (uint32_t i = 0; i < np; i++) {
            if (drop[list[i]])
                ir_remove(r, b, list[i]);
            else
                ir_insn(r, list[i])->imm = kept++;
        }
        r->block[b].nparams = (uint16_t)kept;
    }
}

/* --- parameters that stand for one value -------------------------------------------------------------------------- */

typedef struct Prune {
    Opt *o;
    IrRef *map;
    uint32_t cap;    /* of map */
    uint8_t *drop;   /* as long as the region was at the start */
    bool any;
} Prune;

static IrRef mapped(const Prune *p, IrRef v)
{
    while (p->map[v] != v)
        v = p->map[v];
    return v;
}

static bool same_const(const IrRegion *r, IrRef x, IrRef y)
{
    const IrInsn *i = ir_insn(r, x), *j = ir_insn(r, y);

    return (i->op == IR_CONST || i->op == IR_VCONST) && j->op == i->op && j->type == i->type && j->imm == i->imm;
}

/* The only value but itself that is handed to parameter `ref`, number k of its block; 0 when there are several. */
static IrRef only_value(const Prune *p, uint32_t block, IrRef ref, uint32_t k, bool *copies)
{
    const IrCfg *g = p->o->g;
    IrRegion *r = p->o->r;
    IrRef v = 0;
    uint32_t to[2], n;

    *copies = false;
    for (uint32_t q = g->pred_first[block]; q < g->pred_first[block + 1]; q++)
        for (unsigned e = ir_successors(r, g->pred[q], to); e--;) {
            if (to[e] != block)
                continue;
            IrRef arg = mapped(p, opt_edge_args(r, g->pred[q], e, &n)[k]);
            if (arg == ref || arg == v)
                continue;
            if (v && !same_const(r, v, arg))
                return 0;
            *copies |= v != 0;
            v = arg;
        }
    return v;
}

/* A copy of a constant that dominates what `block` does. */
static IrRef const_here(Prune *p, uint32_t block, IrRef like)
{
    IrRegion *r = p->o->r;
    IrInsn i = {.op = ir_insn(r, like)->op, .type = ir_insn(r, like)->type, .imm = ir_insn(r, like)->imm};
    IrRef before = r->block[block].first, ref = ir_insn_new(r, &i);

    while (ir_insn(r, before)->op == IR_PARAM)
        before = ir_insn(r, before)->next;
    ir_link_before(r, block, before, ref);
    if (ref >= p->cap) {
        IrRef *map = ARENA_ARRAY(r->arena, IrRef, 2 * ref + 64);
        memcpy(map, p->map, p->cap * sizeof *map);
        p->map = map;
        p->cap = 2 * ref + 64;
    }
    p->map[ref] = ref;
    return ref;
}

static bool prune_block(Prune *p, uint32_t block)
{
    IrRegion *r = p->o->r;
    bool changed = false, copies;
    uint32_t n = 0;

    for (IrRef ref = r->block[block].first, next; n < r->block[block].nparams; ref = next, n++) {
        next = ir_insn(r, ref)->next;
        IrRef v = p->drop[ref] ? 0 : only_value(p, block, ref, n, &copies);
        if (!v)
            continue;
        IrRef to = copies ? const_here(p, block, v) : v;
        p->map[ref] = to;
        p->drop[ref] = 1;
        changed = true;
    }
    return changed;
}

bool opt_prune_params(Opt *o)
{
    IrRegion *r = o->r;
    Prune p = {.o = o, .map = opt_map_new(r, 0), .cap = r->ninsn, .drop = arena_zalloc(r->arena, r->ninsn)};

    /* One makes another, so until nothing changes. */
    for (bool changed = true; changed; p.any |= changed) {
        changed = false;
        for (uint32_t k = 0; k < o->g->n; k++)
            changed |= prune_block(&p, o->g->rpo[k]);
    }
    if (!p.any)
        return false;
    for (IrRef ref = 1; ref < r->ninsn; ref++)
        p.map[ref] = mapped(&p, ref);
    for (uint32_t k = 0; k < o->g->n; k++)
        for (IrRef ref = r->block[o->g->rpo[k]].first; ref; ref = ir_insn(r, ref)->next)
            opt_map_uses(r, ir_insn(r, ref), p.map);
    opt_map_snaps(r, p.map);
    opt_drop_params(o, p.drop);
    return true;
}
