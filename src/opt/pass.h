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
} Opt;

#define OPT_PASS(name, fn, mandatory, what) void fn(Opt *o);
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

/* A map of every value to itself, with room for `extra` values to come. */
IrRef *opt_map_new(IrRegion *r, uint32_t extra);

/* --- block parameters (param.c) ------------------------------------------------------------------------------------------ */

/* Arguments that `block` hands along its edge number `edge` (0; of a BRIF: 0 or 1); their number in *n. Valid until the pool grows. */
IrRef *opt_edge_args(IrRegion *r, uint32_t block, unsigned edge, uint32_t *n);

/* Replace the list of an edge: `n` words of the pool at `at`, which must have one word more before it for a BRIF's count. */
void opt_edge_set_args(IrRegion *r, uint32_t block, unsigned edge, uint32_t at, uint32_t n);

/* Remove the parameters with drop[ref] set, and the arguments for them. Nobody may use them any more. */
void opt_drop_params(Opt *o, const uint8_t *drop);

/* Leave out blocks that cannot be reached and number the rest anew. Computes o->g. */
void opt_drop_blocks(Opt *o);

#endif
