/*
 * Private to opt/: numbers of values. An operation with the same operands as one that dominates it is that one. A hash table
 * remembers one operation at each place: a collision replaces the older one, which loses a merge now and then and nothing else.
 */
#ifndef OPT_NUMBER_H
#define OPT_NUMBER_H

#include "ir/ir.h"

typedef struct Numbered {
    IrRef ref;      /* 0: none */
    uint32_t block; /* that it is in */
} Numbered;

typedef struct Numbers {
    const IrRegion *r;
    Numbered *table;
    uint32_t mask; /* entries - 1 */
    /* Whether block d dominates b, which is another one. */
    bool (*dominates)(const void *ctx, uint32_t d, uint32_t b);
    const void *ctx;
} Numbers;

/* For a region of about `ninsn` instructions; in its arena. The caller sets `dominates` and `ctx`. */
void number_init(Numbers *n, const IrRegion *r, uint32_t ninsn);

/* Whether operations of this kind take part: pure ones, and FP operations, as nothing in a region changes their environment. */
static inline bool number_takes(unsigned op)
{
    return (ir_ops[op].flags & (IRF_PURE | IRF_FP)) && op != IR_CALL && op != IR_PARAM;
}

/*
 * An equal value that dominates an operation *i of `block`, or 0: then *at is where number_enter must put it, when it is in the
 * region. Orders operands. The second of two FP operations raises no flag that the first has not raised; an FP comparison of
 * values that were compared before, whatever relation it asks for, becomes IR_QUIET.
 */
IrRef number_find(Numbers *n, uint32_t block, IrInsn *i, Numbered **at);
void number_enter(Numbers *n, uint32_t block, IrRef ref, Numbered *at);

#endif
