/* What number.c, live.c and folded.c share: the numbering pass and the backward pass over a region. See regalloc.h. */
#ifndef HOST_X86_64_LIVE_H
#define HOST_X86_64_LIVE_H

#include "host/x86_64/early.h"

/* What is around a side while the backward pass is in it. */
typedef struct LiveScope {
    uint32_t end;
    uint64_t pins_kept;
} LiveScope;

typedef struct Live {
    Sel *s;
    SelAlloc *ra;
    const IrRegion *r;
    uint32_t pos;
    uint32_t *args;       /* by block: pool index of its arguments */
    unsigned depth;       /* sides that we are in */
    IrRef sum;            /* latest addition on the main path */
    IrRef *sub;           /* subtractions of the main path, in order */
    uint32_t nsub;
    uint32_t first;       /* in a graph: position at which the present main block begins */
    EarlyScan early;
    IrRef *lazy;          /* what may be lazy: flags, counts, sums and differences, in order */
    uint32_t nlazy;
    uint64_t changed;     /* pinned slots that some snapshot lists; bit 63: other slots */
    uint64_t pins;        /* pinned slots whose entry values' uses are to be noted */
    uint64_t pins_kept;   /* pinned slots whose entry values a use behind this one, in the present scope, keeps */
    LiveScope *outer;     /* of the sides that we are in */
    IrSnap kept;          /* the snapshot behind this one, all of whose values are kept in the present scope */
} Live;

/* Snapshots share their entries while no slot changes. */
static inline bool live_is_kept(const Live *l, const IrSnap *snap)
{
    return snap->first == l->kept.first && snap->count == l->kept.count;
}

/* Whether something behind the present instruction wants the value. */
static inline bool live_is_wanted(const Val *x)
{
    return x->use || (x->flags & VAL_STAYS);
}

/* number.c: the numbering pass. */
void live_number(Live *l);

/* Whether what is defined by `ref` is done on every path to here, and as often: in a graph, by the same block. */
bool live_same_block(const Live *l, IrRef ref);
/* Whether a condition rule may evaluate `cond` where it is used. */
bool live_can_fuse(const Live *l, IrRef cond);
/* The present instruction needs the value. */
void live_use(Live *l, IrRef ref);

/* folded.c: note what instruction `ref`, whose results are as yet used only behind it, needs instead of its operands. */
void live_use_address(Live *l, IrRef ref, const IrInsn *i);   /* of a memory operation */
bool live_use_sum(Live *l, IrRef ref, const IrInsn *i);       /* false: an addition like any other */
bool live_use_increment(Live *l, IrRef ref, const IrInsn *i); /* false: a SELECT like any other */

#endif
