/* Private to opt/: folding at one place of a region (fold.c), shared with the algebra of conditions (cond.c). */
#ifndef OPT_FOLD_H
#define OPT_FOLD_H

#include "ir/simplify.h"

struct Opt;

typedef struct Fold {
    IrSimplify s;       /* first: s.konst inserts before `at` */
    IrRegion *r;
    uint32_t block;     /* the place: new instructions go before `at` */
    IrRef at;
    unsigned depth;     /* of fold_value in itself */
    struct Opt *o;
    bool cut;           /* an edge is gone */
    bool merged;        /* some value became another one */
} Fold;

/* Simplify *i by all rules. As ir_simplify: returns an equal value, or 0 when *i, as it now stands, is to be used. */
IrRef fold_insn(Fold *f, IrInsn *i);

/* The value of *i, which is simplified and inserted at the place. */
IrRef fold_value(Fold *f, IrInsn i);

/* The rules for booleans (cond.c), tried after ir_simplify found nothing. */
IrRef fold_cond(Fold *f, IrInsn *i);

#endif
