/*
 * Dead code: one backward walk over the tree. Roots are the operations with an effect: control, stores, and also loads and
 * FP operations, since a fault and a sticky flag are effects. A snapshot's values are uses where its operation stands.
 */
#include "opt/pass.h"

typedef struct Dce {
    IrRegion *r;
    uint8_t *live; /* by value */
} Dce;

static void mark_list(Dce *d, IrRef at, uint32_t n)
{
    for (uint32_t k = 0; k < n; k++)
        d->live[d->r->pool[at + k]] = 1;
}

static void mark_uses(Dce *d, const IrInsn *i)
{
    const IrOpInfo *o = &ir_ops[i->op];

    if (o->arg[0] != IRR_K)
        d->live[i->a] = 1;
    if (o->arg[1] != IRR_K)
        d->live[i->b] = 1;
    d->live[i->c] |= o->arg[2] != IRR_K;
    if (i->op == IR_CALL || i->op == IR_BR || i->op == IR_EXIT_HELP) {
        mark_list(d, i->a, i->b);
    } else if (i->op == IR_BRIF) {
        if (i->b)
            mark_list(d, i->b + 1, d->r->pool[i->b]);
        if (i->c)
            mark_list(d, i->c + 1, d->r->pool[i->c]);
    }
}

static void mark_snap(Dce *d, uint32_t snap)
{
    const IrSnap *s = &d->r->snap[snap];

    for (uint32_t k = 0; k < s->count; k++)
        d->live[d->r->snapent[s->first + k].val] = 1;
}

static bool removable(const IrInsn *i)
{
    return (ir_ops[i->op].flags & IRF_PURE) ? i->op != IR_PARAM : i->op == IR_GET;
}

void opt_dce(IrRegion *r, const OptConfig *cfg)
{
    Dce d = {r, arena_zalloc(r->arena, r->ninsn)};

    for (uint32_t b = r->nblock; b-- > 0;) {
        for (IrRef ref = r->block[b].last, prev; ref; ref = prev) {
            IrInsn *i = ir_insn(r, ref);
            prev = i->prev;
            if (removable(i) && !d.live[ref]) {
                ir_remove(r, b, ref);
                continue;
            }
            mark_uses(&d, i);
            if (i->snap)
                mark_snap(&d, i->snap);
        }
    }
}
