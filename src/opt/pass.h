/* Private to opt/: the passes, and what they share. */
#ifndef OPT_PASS_H
#define OPT_PASS_H

#include "ir/cfg.h"
#include "opt/opt.h"

/* What a pass is given. */
typedef struct Opt {
    IrRegion *r;
    const OptConfig *cfg;
    const IrCfg *g;   /* the region's shape; of a tree: the blocks in their own order, no loops */
    IrRef *map;       /* by value: what it was replaced by, else itself. Nothing uses a value that a pass before has replaced, */
    uint32_t cap_map; /* so passes share it */
} Opt;

#define OPT_PASS(name, fn, kind, what) void fn(Opt *o);
#include "opt/passes.def"
#undef OPT_PASS

/* Work out o->g anew, after blocks or edges have changed. */
void opt_shape(Opt *o);

/* The same for the operands of *i that are in lists. */
void opt_map_lists(IrRegion *r, IrInsn *i, const IrRef *map);

/* Replace each operand u of *i by map[u]; map[0] is 0. */
static inline void opt_map_uses(IrRegion *r, IrInsn *i, const IrRef *map)
{
    if (i->op == IR_CALL || i->op == IR_BR || i->op == IR_BRIF || i->op == IR_EXIT_HELP) {
        opt_map_lists(r, i, map);
        return;
    }
    i->a = map[i->a];
    i->b = map[i->b];
    i->c = map[i->c];
}

/* The same for every snapshot of the region. */
void opt_map_snaps(IrRegion *r, const IrRef *map);

/* o->map for all values that there are. Valid until one is added to it. */
IrRef *opt_map(Opt *o);
/* The same for a value that may be new. */
void opt_map_add(Opt *o, IrRef ref, IrRef to);

/* A map of every value to itself, with room for `extra` values to come, for a pass that cannot use o->map. */
IrRef *opt_map_new(IrRegion *r, uint32_t extra);

/* --- what values are for (demand.c) ------------------------------------------------------------------------------- */

/* Nothing; only to be seen in snapshots; to compute something that has an effect. */
enum { OPT_UNWANTED, OPT_SHOWN, OPT_WANTED };

/* By value, for a graph: the most that it is wanted for, directly or through other operations and parameters. */
uint8_t *opt_demand(const Opt *o);

/* Whether an operation may go when nobody uses its value. */
bool opt_removable(const IrInsn *i);

/* --- block parameters (param.c) ----------------------------------------------------------------------------------- */

/* Arguments that `block` hands along its edge number `edge` (0; of a BRIF: 0 or 1); their number in *n. Valid until the pool
 * grows. */
IrRef *opt_edge_args(IrRegion *r, uint32_t block, unsigned edge, uint32_t *n);

/* Replace the list of an edge: `n` words of the pool at `at`, which must have one word more before it for a BRIF's count. */
void opt_edge_set_args(IrRegion *r, uint32_t block, unsigned edge, uint32_t at, uint32_t n);

/* Give `n` more arguments to an edge. */
void opt_edge_append(IrRegion *r, uint32_t block, unsigned edge, const IrRef *arg, uint32_t n);

/* Remove the parameters with drop[ref] set, and the arguments for them. Nobody may use them any more. */
void opt_drop_params(Opt *o, const uint8_t *drop);

/*
 * Replace parameters that stand for one value, or for one constant, on all edges. Returns whether there was any. Lists of
 * snapshots keep entries that now say what memory holds anyway.
 */
bool opt_prune_params(Opt *o);

/* --- blocks of a graph (blocks.c) --------------------------------------------------------------------------------- */

/* After edges have changed: compute o->g, leave out blocks that cannot be reached and number the rest anew. */
void opt_drop_blocks(Opt *o);

/* Make one block of two that can only follow one another, and lead edges past blocks that do nothing. In lifted form. */
void opt_join_blocks(Opt *o);

/*
 * A block with copies of what `block` has, and the same way on. Neither has parameters. In lifted form.
 *   copy, ncopy  a map of values below ncopy to themselves, which that comes to say what stands for them in the copy
 */
uint32_t opt_copy_block(IrRegion *r, uint32_t block, IrRef *copy, uint32_t ncopy);

/* Lead the edges from `from` to `old` to `new` instead; neither has parameters. */
void opt_lead_to(IrRegion *r, uint32_t from, uint32_t old, uint32_t new);

/* Put a block in front of each loop that goes nowhere else, where there is none. In lifted form. */
void opt_preheaders(Opt *o);

#endif
