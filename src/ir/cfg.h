/*
 * The shape of a region that is a graph: order, predecessors, dominators, loops. Passes and backends ask for it anew
 * whenever blocks or edges have changed; it is cheap (linear but for a few sorts of short lists).
 *
 * Graph regions are reducible: an edge that goes back goes to a block that dominates its source. Whoever forms a region
 * cuts other edges into exits; ir_verify checks it.
 *
 * The order is a reverse post-order in which each loop's blocks are contiguous, its header first, and in which cold blocks
 * (exits) of a loop stand right behind the loop they leave or later. So when blocks are visited in `rpo` order, all predecessors
 * of a block but those of back-edges have been visited.
 */
#ifndef IR_CFG_H
#define IR_CFG_H

#include "ir/ir.h"

#define IR_NO_BLOCK UINT32_MAX

typedef struct IrLoop {
    uint32_t header;       /* block */
    uint32_t parent;       /* enclosing loop's number, or IR_NO_BLOCK */
    uint32_t first, last;  /* positions in rpo of its first (the header) and last block */
    uint32_t depth;        /* 1 for an outermost loop */
} IrLoop;

typedef struct IrCfg {
    uint32_t *rpo;         /* blocks that can be reached, in order */
    uint32_t n;            /* how many */
    uint32_t *at;          /* by block: its position in rpo, IR_NO_BLOCK when it cannot be reached */
    uint32_t *idom;        /* by block: immediate dominator; of the entry: itself */
    uint32_t *pred_first;  /* by block: its predecessors are pred[pred_first[b]] .. pred[pred_first[b + 1] - 1] */
    uint32_t *pred;        /* one entry an edge: a BRIF to one block twice counts twice */
    uint32_t *loop;        /* by block: number of its innermost loop, or IR_NO_BLOCK */
    IrLoop *loops;         /* outer ones before those inside */
    uint32_t nloops;
    bool reducible;
} IrCfg;

/* Compute it, in the region's arena. Uses terminators only, not IrBlock.pred. */
IrCfg *ir_cfg(const IrRegion *r);

/* Whether block `d` dominates `b`, both reached. */
bool ir_cfg_dominates(const IrCfg *g, uint32_t d, uint32_t b);

/* Loop depth of a block: 0 outside loops. */
static inline uint32_t ir_cfg_depth(const IrCfg *g, uint32_t b)
{
    return g->loop[b] == IR_NO_BLOCK ? 0 : g->loops[g->loop[b]].depth;
}

/* Whether block b is in loop l or in one inside it. */
static inline bool ir_cfg_in_loop(const IrCfg *g, uint32_t l, uint32_t b)
{
    return g->at[b] != IR_NO_BLOCK && g->at[b] >= g->loops[l].first && g->at[b] <= g->loops[l].last;
}

/* Successors of a block, 0 to 2, in to[]; returns their number. */
unsigned ir_successors(const IrRegion *r, uint32_t block, uint32_t to[2]);

#endif
