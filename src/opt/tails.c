/*
 * Ways out of the region that several paths share, as the end of a function with an early return. Where they meet, registers have
 * been saved on one path and not on the other, and flags are of different comparisons: all of that would become parameters,
 * flags computed on the way. Each path gets a copy of a short end of its own, in which it knows better.
 *
 *   block1: cmp ..; brif %x, block3, block2       block1: cmp ..; brif %x, block4, block2
 *   block2: str x19, [sp]; tst ..; br block3  =>  block2: str x19, [sp]; tst ..; br block3
 *   block3: ldr x19, [sp]; ret                    block3: ldr x19, [sp]; ret         (x19 is known: mem.c)
 *                                                 block4: ldr x19, [sp]; ret
 *
 * Works on the lifted form, in which values do not outlive their block but through slots.
 */
#include "opt/pass.h"

enum {
    MAX_WAYS = 4, /* into one end */
    MAX_OPS = 64, /* of one end: a dozen guest instructions */
    MAX_COPIED = 256 /* in all */
};

static unsigned length(const IrRegion *r, uint32_t block)
{
    unsigned n = 0;

    for (IrRef ref = r->block[block].first; ref && n <= MAX_OPS; ref = ir_insn(r, ref)->next)
        n++;
    return n;
}

/* Whether `block` is an end that is worth a copy for each way to it: one that only leads on is somebody's side exit. */
static bool is_end(const Opt *o, uint32_t block)
{
    const IrRegion *r = o->r;
    const IrCfg *g = o->g;
    uint32_t ways = g->pred_first[block + 1] - g->pred_first[block];

    return ways >= 2 && ways <= MAX_WAYS && !r->block[block].nparams && !r->block[block].cold &&
           ir_insn(r, r->block[block].last)->op == IR_EXIT_IND;
}

void opt_tails(Opt *o)
{
    IrRegion *r = o->r;
    const IrCfg *g = o->g;
    uint32_t ncopy = r->ninsn;
    unsigned left = MAX_COPIED;
    bool changed = false;

    for (uint32_t k = 1; k < g->n; k++) {
        uint32_t block = g->rpo[k];
        unsigned ops = is_end(o, block) ? length(r, block) : 0;
        if (ops == 0 || ops > MAX_OPS)
            continue;
        IrRef *copy = NULL;
        for (uint32_t p = g->pred_first[block] + 1; p < g->pred_first[block + 1] && ops <= left; p++) {
            if (g->pred[p] == g->pred[p - 1])
                continue; /* both edges of a BRIF */
            if (!copy)
                copy = opt_map_new(r, 0);
            opt_lead_to(r, g->pred[p], block, opt_copy_block(r, block, copy, ncopy));
            left -= ops;
            changed = true;
        }
    }
    if (changed)
        opt_drop_blocks(o);
}
