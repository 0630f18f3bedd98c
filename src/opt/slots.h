/* Private to opt/: which slots matter where, for the construction of SSA form over graphs. */
#ifndef OPT_SLOTS_H
#define OPT_SLOTS_H

#include "opt/pass.h"

typedef struct SlotSet {
    uint64_t w[IR_MAX_SLOTS / 64];
} SlotSet;

/* What is known at a point of a region. */
typedef struct SlotState {
    IrRef *cur;    /* by slot: its value; 0: not read or written yet on this path */
    SlotSet dirty; /* slots whose value differs from memory's */
    uint64_t pc;   /* guest instruction */
    uint32_t snap; /* snapshot of just this state; 0: none made yet */
    bool shared;   /* cur belongs to another block */
} SlotState;

static inline bool slot_is_dirty(const SlotState *st, unsigned slot)
{
    return st->dirty.w[slot / 64] >> (slot % 64) & 1;
}

static inline void slot_set_dirty(SlotState *st, unsigned slot, bool dirty)
{
    uint64_t bit = 1ull << (slot % 64);

    if (dirty)
        st->dirty.w[slot / 64] |= bit;
    else
        st->dirty.w[slot / 64] &= ~bit;
}

/* The slot is known to be v, which is what memory has if it was not dirty. */
void slot_set(const IrRegion *r, SlotState *st, unsigned slot, IrRef v);
/* v is put to the slot. */
void slot_put(const IrRegion *r, SlotState *st, unsigned slot, IrRef v);
/* The snapshot of the state. Entries are shared while no slot changes. */
uint32_t slot_snap(IrRegion *r, SlotState *st);
/* A new one, without the slots < 64 in `dead`. */
uint32_t slot_snap_new(IrRegion *r, const SlotState *st, uint64_t dead);

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
