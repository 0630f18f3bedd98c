/*
 * Simplification of one instruction by looking at its operands: constants, identities, width changes, bit fields,
 * comparisons against constants. The builder applies it to what lifters append, opt/fold.c to what slots and other
 * passes have made visible. It never looks at uses, so it is right anywhere.
 */
#ifndef IR_SIMPLIFY_H
#define IR_SIMPLIFY_H

#include "ir/ir.h"

typedef struct IrSimplify {
    IrRegion *r;
    /* A constant that dominates the instruction at hand. */
    IrRef (*konst)(struct IrSimplify *s, IrType t, uint64_t v);
    void *ctx;
} IrSimplify;

/*
 * May rewrite *i (not yet, or no longer, in the region's order) into a cheaper instruction with the same value.
 * Returns an existing value that is equal to it, or 0: then *i, as it now stands, is to be used.
 * Only operations with flag P are touched, and never one that may raise FP flags.
 */
IrRef ir_simplify(IrSimplify *s, IrInsn *i);

/* The part of it for moves between scalars and vectors (simplify_vec.c). */
IrRef ir_simplify_vec(IrSimplify *s, IrInsn *i);

/*
 * The v128 value that is zero exactly when the integer `ref` is: `ref` is the low half of its pairwise maximum with itself,
 * which is a guest's way of asking (umaxp v1, v0, v0; fmov x0, d1; cbz x0). 0: none.
 */
IrRef ir_any_of(const IrRegion *r, IrRef ref);

/* An upper bound of the number of low bits of a v128 value above which it is zero. */
unsigned ir_vector_bits(const IrRegion *r, IrRef ref);

/* An upper bound of the number of significant low bits of an integer value (a boolean: 1). */
unsigned ir_value_bits(const IrRegion *r, IrRef ref);

#endif
