/* Private to opt/: the passes, and what they share. */
#ifndef OPT_PASS_H
#define OPT_PASS_H

#include "opt/opt.h"

#define OPT_PASS(name, fn, mandatory, what) void fn(IrRegion *r, const OptConfig *cfg);
#include "opt/passes.def"
#undef OPT_PASS

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

#endif
