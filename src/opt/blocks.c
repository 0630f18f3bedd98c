/* Blocks of a graph: joining those that follow one another, leaving out those that cannot be reached. */
#include "opt/pass.h"

#include "base/check.h"

/* Where an edge to `to` really leads: past blocks that only branch on. */
static uint32_t lead_on(const IrRegion *r, uint32_t to)
{
    for (unsigned limit = 8; limit--;) {
        const IrInsn *i = ir_insn(r, r->block[to].first);
        if (i->op != IR_BR || i->b || i->imm == to || r->block[i->imm].nparams)
            break;
        to = (uint32_t)i->imm;
    }
    return to;
}

static void thread(IrRegion *r, uint32_t block)
{
    IrInsn *i = ir_insn(r, r->block[block].last);

    if (i->op == IR_BR && !r->block[i->imm].nparams) {
        i->imm = lead_on(r, (uint32_t)i->imm);
    } else if (i->op == IR_BRIF) {
        uint32_t yes = lead_on(r, (uint32_t)i->imm), no = lead_on(r, (uint32_t)(i->imm >> 32));
        i->imm = yes | (uint64_t)no << 32;
        if (yes == no && !r->block[yes].nparams)
            *i = (IrInsn){.op = IR_BR, .imm = yes, .prev = i->prev};
    }
}

/* Append the blocks to which `block` goes on and nobody else does. */
static void take_in(IrRegion *r, uint32_t block, const uint32_t *npreds)
{
    for (;;) {
        IrRef br = r->block[block].last;
        const IrInsn *i = ir_insn(r, br);
        uint32_t to = (uint32_t)i->imm;
        if (i->op != IR_BR || npreds[to] != 1 || to == 0 || to == block || r->block[to].nparams)
            return;
        IrRef first = r->block[to].first, last = r->block[to].last;
        ir_remove(r, block, br);
        ir_insn(r, first)->prev = r->block[block].last;
        if (r->block[block].last)
            ir_insn(r, r->block[block].last)->next = first;
        else
            r->block[block].first = first;
        r->block[block].last = last;
        /* What is left cannot be reached; it must still be a block until it is dropped. */
        IrInsn stop = {.op = IR_EXIT_STOP};
        r->block[to].first = r->block[to].last = 0;
        ir_link_last(r, to, ir_insn_new(r, &stop));
    }
}

void opt_join_blocks(Opt *o)
{
    IrRegion *r = o->r;
    uint32_t *npreds = arena_zalloc(r->arena, r->nblock * sizeof *npreds), to[2];

    opt_shape(o);
    for (uint32_t k = 0; k < o->g->n; k++)
        thread(r, o->g->rpo[k]);
    opt_drop_blocks(o);
    for (uint32_t k = 0; k < o->g->n; k++)
        for (unsigned n = ir_successors(r, o->g->rpo[k], to); n--;)
            npreds[to[n]]++;
    for (uint32_t k = 0; k < o->g->n; k++)
        take_in(r, o->g->rpo[k], npreds);
    opt_drop_blocks(o);
}

static void to_copy(void *ctx, IrRef *use)
{
    const IrRef *copy = ctx;

    *use = copy[*use];
}

uint32_t opt_copy_block(IrRegion *r, uint32_t block, IrRef *copy, uint32_t ncopy)
{
    uint32_t to = ir_block_new(r);

    r->block[to].cold = r->block[block].cold;
    for (IrRef ref = r->block[block].first; ref; ref = ir_insn(r, ref)->next) {
        IrInsn i = *ir_insn(r, ref);
        if (i.op == IR_CALL || i.op == IR_EXIT_HELP) {
            uint32_t at = ir_pool_new(r, i.b);
            for (uint32_t k = 0; k < i.b; k++)
                r->pool[at + k] = r->pool[i.a + k];
            i.a = at;
        }
        if (i.op == IR_BR) { /* it may be newer than the map, and nobody uses it */
            ir_link_last(r, to, ir_insn_new(r, &i));
            continue;
        }
        CHECK(ref < ncopy);
        ir_each_use(r, &i, to_copy, copy);
        copy[ref] = ir_insn_new(r, &i);
        ir_link_last(r, to, copy[ref]);
    }
    return to;
}

/* The predecessors of a loop's header that are outside the loop, in from[]; how many. */
static uint32_t entries(const Opt *o, uint32_t loop, uint32_t *from)
{
    const IrCfg *g = o->g;
    uint32_t h = g->loops[loop].header, n = 0;

    for (uint32_t p = g->pred_first[h]; p < g->pred_first[h + 1]; p++)
        if (!ir_cfg_in_loop(g, loop, g->pred[p]))
            from[n++] = g->pred[p];
    return n;
}

void opt_lead_to(IrRegion *r, uint32_t from, uint32_t old, uint32_t new)
{
    IrInsn *i = ir_insn(r, r->block[from].last);
    uint32_t yes = (uint32_t)i->imm, no = (uint32_t)(i->imm >> 32);

    if (yes == old)
        yes = new;
    if (i->op == IR_BRIF && no == old)
        no = new;
    i->imm = yes | (uint64_t)no << 32;
}

void opt_preheaders(Opt *o)
{
    IrRegion *r = o->r;
    const IrCfg *g = o->g;
    uint32_t *from = ARENA_ARRAY(r->arena, uint32_t, 2 * g->n), before = r->nblock;

    for (uint32_t l = 0; l < g->nloops; l++) {
        uint32_t n = entries(o, l, from), h = g->loops[l].header;
        if (r->block[h].nparams || (n == 1 && ir_insn(r, r->block[from[0]].last)->op == IR_BR))
            continue;
        uint32_t front = ir_block_new(r);
        IrInsn br = {.op = IR_BR, .imm = h};
        ir_link_last(r, front, ir_insn_new(r, &br));
        while (n--)
            opt_lead_to(r, from[n], h, front);
    }
    if (r->nblock != before)
        opt_drop_blocks(o);
}

/* Edges have changed: find the shape, and number the blocks that can be reached anew. */
void opt_drop_blocks(Opt *o)
{
    IrRegion *r = o->r;

    opt_shape(o);
    uint32_t *to = ARENA_ARRAY(r->arena, uint32_t, r->nblock), n = 0;
    for (uint32_t b = 0; b < r->nblock; b++) {
        to[b] = n;
        if (o->g->at[b] != IR_NO_BLOCK)
            r->block[n++] = r->block[b];
    }
    bool same = n == r->nblock;
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
    if (!same)
        opt_shape(o);
}
