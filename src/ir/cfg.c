#include "ir/cfg.h"

#include <string.h>

unsigned ir_successors(const IrRegion *r, uint32_t block, uint32_t to[2])
{
    const IrInsn *i = ir_insn(r, r->block[block].last);

    if (i->op == IR_BR) {
        to[0] = (uint32_t)i->imm;
        return 1;
    }
    if (i->op != IR_BRIF)
        return 0;
    to[0] = (uint32_t)i->imm;
    to[1] = (uint32_t)(i->imm >> 32);
    return 2;
}

/* --- any reverse post-order, to compute the rest with ----------------------------------------------------------------- */

typedef struct Walk {
    uint32_t block;
    unsigned next;
} Walk;

/* Fills g->rpo, g->at and g->n. */
static void post_order(const IrRegion *r, IrCfg *g)
{
    Walk *stack = ARENA_ARRAY(r->arena, Walk, r->nblock + 1);
    uint8_t *seen = arena_zalloc(r->arena, r->nblock);
    uint32_t depth = 0, end = r->nblock;

    stack[depth++] = (Walk){0, 0};
    seen[0] = 1;
    while (depth) {
        Walk *w = &stack[depth - 1];
        uint32_t to[2];
        if (w->next == ir_successors(r, w->block, to)) {
            g->rpo[--end] = w->block;
            depth--;
            continue;
        }
        uint32_t b = to[w->next++];
        if (!seen[b]) {
            seen[b] = 1;
            stack[depth++] = (Walk){b, 0};
        }
    }
    g->n = r->nblock - end;
    memmove(g->rpo, g->rpo + end, g->n * sizeof *g->rpo);
    for (uint32_t k = 0; k < g->n; k++)
        g->at[g->rpo[k]] = k;
}

static void find_preds(const IrRegion *r, IrCfg *g)
{
    uint32_t to[2];

    g->pred_first = arena_zalloc(r->arena, (r->nblock + 2) * sizeof *g->pred_first);
    g->pred = ARENA_ARRAY(r->arena, uint32_t, 2 * r->nblock + 1);
    uint32_t *first = g->pred_first + 1; /* counts, then running starts: it ends as the table wants it */
    for (uint32_t k = 0; k < g->n; k++)
        for (unsigned n = ir_successors(r, g->rpo[k], to); n--;)
            first[to[n]]++;
    uint32_t sum = 0;
    for (uint32_t b = 0; b < r->nblock; b++) {
        uint32_t count = first[b];
        first[b] = sum;
        sum += count;
    }
    for (uint32_t k = 0; k < g->n; k++)
        for (unsigned n = ir_successors(r, g->rpo[k], to); n--;)
            g->pred[first[to[n]]++] = g->rpo[k];
}

/* Cooper, Harvey, Kennedy: A Simple, Fast Dominance Algorithm. */
static void find_dominators(IrCfg *g)
{
    for (uint32_t k = 0; k < g->n; k++)
        g->idom[g->rpo[k]] = IR_NO_BLOCK;
    g->idom[g->rpo[0]] = g->rpo[0];
    for (bool changed = true; changed;) {
        changed = false;
        for (uint32_t k = 1; k < g->n; k++) {
            uint32_t b = g->rpo[k], dom = IR_NO_BLOCK;
            for (uint32_t p = g->pred_first[b]; p < g->pred_first[b + 1]; p++) {
                uint32_t x = g->pred[p];
                if (g->idom[x] == IR_NO_BLOCK)
                    continue;
                while (dom != IR_NO_BLOCK && x != dom) {
                    if (g->at[x] > g->at[dom])
                        x = g->idom[x];
                    else
                        dom = g->idom[dom];
                }
                dom = x;
            }
            changed |= g->idom[b] != dom;
            g->idom[b] = dom;
        }
    }
}

bool ir_cfg_dominates(const IrCfg *g, uint32_t d, uint32_t b)
{
    while (g->at[b] > g->at[d])
        b = g->idom[b];
    return b == d;
}

/* --- loops ------------------------------------------------------------------------------------------------------------- */

/* Give the blocks of the loop with this header, which goes back from `tail`, to it; what is in an inner loop keeps that. */
static void add_tail(IrCfg *g, uint32_t loop, uint32_t tail, uint32_t *stack)
{
    uint32_t n = 0, header = g->loops[loop].header;

    stack[n++] = tail;
    while (n) {
        uint32_t b = stack[--n], l = g->loop[b];
        /* Stands for the outermost loop so far that holds it, whose header's predecessors outside lead on. */
        while (l != IR_NO_BLOCK && l != loop && g->loops[l].parent != IR_NO_BLOCK)
            l = g->loops[l].parent;
        if (l == loop)
            continue;
        if (l == IR_NO_BLOCK) {
            g->loop[b] = loop;
        } else {
            g->loops[l].parent = loop;
            b = g->loops[l].header;
        }
        if (b == header)
            continue;
        for (uint32_t p = g->pred_first[b]; p < g->pred_first[b + 1]; p++)
            if (!ir_cfg_dominates(g, b, g->pred[p])) /* not b's own back-edges */
                stack[n++] = g->pred[p];
    }
}

/* Inner headers come later in rpo, so going backward inner loops are complete before those around them. */
static void find_loops(const IrRegion *r, IrCfg *g)
{
    uint32_t *stack = ARENA_ARRAY(r->arena, uint32_t, 2 * r->nblock + 2);

    g->loops = ARENA_ARRAY(r->arena, IrLoop, g->n);
    g->reducible = true;
    for (uint32_t k = g->n; k-- > 0;) {
        uint32_t b = g->rpo[k], loop = IR_NO_BLOCK;
        for (uint32_t p = g->pred_first[b]; p < g->pred_first[b + 1]; p++) {
            uint32_t x = g->pred[p];
            if (g->at[x] < k)
                continue;
            if (!ir_cfg_dominates(g, b, x)) {
                g->reducible = false;
                continue;
            }
            if (loop == IR_NO_BLOCK) {
                loop = g->nloops++;
                g->loops[loop] = (IrLoop){.header = b, .parent = IR_NO_BLOCK};
                g->loop[b] = loop;
            }
            add_tail(g, loop, x, stack);
        }
    }
    /* They were found inner ones first: turn the list round. */
    for (uint32_t i = 0, j = g->nloops; i + 1 < j; i++) {
        IrLoop t = g->loops[i];
        g->loops[i] = g->loops[--j];
        g->loops[j] = t;
    }
    for (uint32_t i = 0; i < g->nloops; i++) {
        IrLoop *l = &g->loops[i];
        if (l->parent != IR_NO_BLOCK)
            l->parent = g->nloops - 1 - l->parent;
        l->depth = l->parent == IR_NO_BLOCK ? 1 : g->loops[l->parent].depth + 1;
    }
    for (uint32_t k = 0; k < g->n; k++)
        if (g->loop[g->rpo[k]] != IR_NO_BLOCK)
            g->loop[g->rpo[k]] = g->nloops - 1 - g->loop[g->rpo[k]];
}

/* --- the order ---------------------------------------------------------------------------------------------------------- */

static bool loop_within(const IrCfg *g, uint32_t l, uint32_t outer)
{
    while (l != outer && l != IR_NO_BLOCK)
        l = g->loops[l].parent;
    return l == outer;
}

/*
 * Which of two blocks to place next when `last` was placed last: the one deeper in the loops that are still open, then one
 * that is not cold, then a successor of `last`, then the one that came first.
 */
static bool place_before(const IrRegion *r, const IrCfg *g, uint32_t last, uint32_t x, uint32_t y)
{
    uint32_t l = g->loop[last], to[2];

    for (; l != IR_NO_BLOCK; l = g->loops[l].parent) {
        bool in_x = loop_within(g, g->loop[x], l), in_y = loop_within(g, g->loop[y], l);
        if (in_x != in_y)
            return in_x;
        if (in_x)
            break;
    }
    if (r->block[x].cold != r->block[y].cold)
        return r->block[y].cold;
    unsigned n = ir_successors(r, last, to);
    bool next_x = false, next_y = false;
    while (n--) {
        next_x |= to[n] == x;
        next_y |= to[n] == y;
    }
    return next_x != next_y ? next_x : g->at[x] < g->at[y];
}

/* Topological over forward edges, loops kept together. */
static void place(const IrRegion *r, IrCfg *g)
{
    uint32_t *wait = arena_zalloc(r->arena, r->nblock * sizeof *wait);
    uint32_t *ready = ARENA_ARRAY(r->arena, uint32_t, g->n + 1);
    uint32_t *order = ARENA_ARRAY(r->arena, uint32_t, g->n);
    uint32_t nready = 0, to[2];

    for (uint32_t k = 0; k < g->n; k++)
        for (uint32_t p = g->pred_first[g->rpo[k]]; p < g->pred_first[g->rpo[k] + 1]; p++)
            wait[g->rpo[k]] += g->at[g->pred[p]] < k;
    ready[nready++] = 0;
    for (uint32_t n = 0, last = 0; nready; n++) {
        uint32_t best = 0;
        for (uint32_t k = 1; k < nready; k++)
            if (place_before(r, g, last, ready[k], ready[best]))
                best = k;
        last = order[n] = ready[best];
        ready[best] = ready[--nready];
        for (unsigned s = ir_successors(r, last, to); s--;)
            if (g->at[last] < g->at[to[s]] && --wait[to[s]] == 0)
                ready[nready++] = to[s];
    }
    memcpy(g->rpo, order, g->n * sizeof *order);
    for (uint32_t k = 0; k < g->n; k++)
        g->at[order[k]] = k;
}

static void bound_loops(IrCfg *g)
{
    for (uint32_t i = 0; i < g->nloops; i++)
        g->loops[i].first = g->loops[i].last = g->at[g->loops[i].header];
    for (uint32_t k = 0; k < g->n; k++)
        for (uint32_t l = g->loop[g->rpo[k]]; l != IR_NO_BLOCK; l = g->loops[l].parent)
            if (g->loops[l].last < k)
                g->loops[l].last = k;
}

IrCfg *ir_cfg(const IrRegion *r)
{
    IrCfg *g = ARENA_NEW(r->arena, IrCfg);

    g->rpo = ARENA_ARRAY(r->arena, uint32_t, r->nblock);
    g->at = ARENA_ARRAY(r->arena, uint32_t, r->nblock);
    g->idom = ARENA_ARRAY(r->arena, uint32_t, r->nblock);
    g->loop = ARENA_ARRAY(r->arena, uint32_t, r->nblock);
    memset(g->at, 0xff, r->nblock * sizeof *g->at);
    memset(g->idom, 0xff, r->nblock * sizeof *g->idom);
    memset(g->loop, 0xff, r->nblock * sizeof *g->loop);
    post_order(r, g);
    find_preds(r, g);
    find_dominators(g);
    find_loops(r, g);
    place(r, g);
    bound_loops(g);
    return g;
}
