/* Private to opt/: folding at one place of a region (fold.c, online.c), shared with the algebra of conditions (cond.c). */
#ifndef OPT_FOLD_H
#define OPT_FOLD_H

#include "ir/simplify.h"

typedef struct Fold {
    IrSimplify s;       /* first: s.konst inserts at the place */
    IrRegion *r;
    /* Puts *i, which cannot be simplified, at the place; returns its value. */
    IrRef (*insert)(struct Fold *f, const IrInsn *i);
    unsigned depth;     /* of fold_value in itself */
} Fold;

/* Simplify *i by all rules. As ir_simplify: returns an equal value, or 0 when *i, as it now stands, is to be used. */
IrRef fold_insn(Fold *f, IrInsn *i);

/* The value of *i, which is simplified and inserted at the place. */
IrRef fold_value(Fold *f, IrInsn i);

/* What can be folded into *i, which is not pure: displacements, negations; a branch on `not x` is the opposite branch on x. */
void fold_operands(const Fold *f, IrInsn *i);

/* The rules for booleans (cond.c), tried after ir_simplify found nothing. */
IrRef fold_cond(Fold *f, IrInsn *i);

#endif
