/* What passes over graphs share: arguments along edges, taking parameters and blocks out. */
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

void opt_drop_blocks(Opt *o)
{
    IrRegion *r = o->r;

    opt_shape(o);
    if (o->g->n == r->nblock)
        return;
    uint32_t *to = ARENA_ARRAY(r->arena, uint32_t, r->nblock), n = 0;
    for (uint32_t b = 0; b < r->nblock; b++) {
        to[b] = n;
        if (o->g->at[b] != IR_NO_BLOCK)
            r->block[n++] = r->block[b];
    }
    r->nblock = n;
    for (uint32_t b = 0; b < n; b++)
        r->block[b].pred = r->block[b].npreds = 0;
    for (uint32_t b = 0; b < n; b++) {
        IrInsn *i = ir_insn(r, r->block[b].last);
        if (i->op == IR_BR)
            i->imm = to[i->imm];
        else if (i->op == IR_BRIF)
            i->imm = to[(uint32_t)i->imm] | (uint64_t)to[i->imm >> 32] << 32;
        ir_count_preds(r, b, i);
    }
    opt_shape(o);
}
