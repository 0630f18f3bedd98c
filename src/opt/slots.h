/* Private to opt/: which slots matter where, for the construction of SSA form over graphs. */
#ifndef OPT_SLOTS_H
#define OPT_SLOTS_H

#include "opt/pass.h"

typedef struct SlotSet {
    uint64_t w[IR_MAX_SLOTS / 64];
} SlotSet;

/* By block */
typedef struct SlotLive {
    SlotSet in;        /* slots whose value at the block's start is read, or shown by a snapshot, before it is put */
    SlotSet loop_put;  /* of a loop's header: slots that the loop puts */
    uint64_t dead;     /* slots (< 64) that the exit at its end need not store */
} SlotLive;

/* The slots that nobody will read after leaving by `i` (OptConfig.dead). */
static inline uint64_t slots_dead(const OptConfig *cfg, const IrInsn *i)
{
    return cfg->dead && (i->op == IR_EXIT || i->op == IR_EXIT_CALL) ? cfg->dead(cfg->dead_ctx, i->imm) : 0;
}

/* Of a graph in lifted form; by block, in the region's arena. */
SlotLive *slots_live(Opt *o);

#endif
