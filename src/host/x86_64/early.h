/* See early.c. */
#ifndef HOST_X86_64_EARLY_H
#define HOST_X86_64_EARLY_H

#include "host/x86_64/regalloc.h"

#define EARLY_WORDS (IR_MAX_SLOTS / 64)

/* Of the backward pass: by slot, the value that an exit ahead stores in its home; and for which slots there is one. */
typedef struct EarlyScan {
    IrRef *val;
    uint64_t open[EARLY_WORDS];
    unsigned words; /* of open that there are slots for */
} EarlyScan;

/* The snapshot of an operation at `pos` lists of the slots with homes those in `listed`. */
void early_note(EarlyScan *e, const SelAlloc *ra, const uint64_t listed[EARLY_WORDS], uint32_t pos);
/* An exit there stores the value in the home of the slot. */
void early_exit(EarlyScan *e, SelAlloc *ra, IrRef root, unsigned slot, uint32_t pos);
/* In front of `pos` there are other ways than those that leave by exits up to position `last`. */
void early_end(EarlyScan *e, const SelAlloc *ra, uint32_t pos, uint32_t last);

/* Whether a value that is in a register only may go to the home that an exit will store it in, early[v].slot, for good. */
bool early_home(const Sel *s, IrRef v);

#endif
