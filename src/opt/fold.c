/*
 * Folding: one walk down the region that simplifies each pure operation by what its operands have become, now that slots are
 * values: ir_simplify's rules, the algebra of conditions (cond.c), and displacements moved into memory operations.
 */
#include "opt/fold.h"

#include "opt/pass.h"

#include <string.h>

IrRef fold_insn(Fold *f, IrInsn *i)
{
    IrRef same = ir_simplify(&f->s, i);

    return same ? same : fold_cond(f, i);
}

IrRef fold_value(Fold *f, IrInsn i)
{
    IrRef same = 0;

    /* Rules build on each other's results; the limit only guards against rules that undo one another. */
    if (f->depth < 8) {
        f->depth++;
        same = fold_insn(f, &i);
        f->depth--;
    }
    return same ? same : f->insert(f, &i);
}

/* [x + k + d] becomes [x + (k + d)] where the displacement stays within 32 bits. The address is the same number. */
static void fold_address(const Fold *f, IrInsn *i)
{
    for (;;) {
        const IrInsn *x = ir_insn(f->r, i->a);
        uint64_t k;
        if ((x->op != IR_ADD && x->op != IR_SUB) || !ir_is_const(f->r, x->b, &k))
            return;
        uint64_t d = x->op == IR_ADD ? i->imm + k : i->imm - k;
        if ((int64_t)d != (int32_t)d)
            return;
        i->imm = d;
        i->a = x->a;
    }
}

/* Negated operands of a fused multiplication become attributes of it: hosts have instructions for them. */
static void fold_fma(const Fold *f, IrInsn *i)
{
    const IrInsn *a = ir_insn(f->r, i->a), *c = ir_insn(f->r, i->c);

    if (a->op == IR_FNEG && a->lane == i->lane && a->lanes == i->lanes) {
        i->a = a->a;
        i->aux ^= 1;
    }
    if (c->op == IR_FNEG && c->lane == i->lane && c->lanes == i->lanes) {
        i->c = c->a;
        i->aux ^= 2;
    }
}

static void fold_branch(const Fold *f, IrInsn *i)
{
    const IrInsn *x = ir_insn(f->r, i->a);
    uint64_t k;

    if (x->op != IR_XOR || !ir_is_const(f->r, x->b, &k) || k != 1 || ir_value_bits(f->r, x->a) != 1)
        return;
    i->a = x->a;
    i->imm = i->imm << 32 | i->imm >> 32;
    IrRef t = i->b;
    i->b = i->c;
    i->c = t;
}

void fold_operands(const Fold *f, IrInsn *i)
{
    if (i->op == IR_LOAD || i->op == IR_STORE)
        fold_address(f, i);
    else if (i->op == IR_FMA)
        fold_fma(f, i);
    else if (i->op == IR_BRIF)
        fold_branch(f, i);
}

/* --- the pass ----------------------------------------------------------------------------------------------------- */

typedef struct Walk {
    Fold f;         /* first */
    Opt *o;
    uint32_t block; /* the place: new instructions go before `at` */
    IrRef at;
    bool cut;       /* an edge is gone */
    bool merged;    /* some value became another one */
} Walk;

static IrRef insert(Fold *f, const IrInsn *i)
{
    Walk *w = (Walk *)f;
    IrRef ref = ir_insn_new(f->r, i);

    ir_link_before(f->r, w->block, w->at, ref);
    opt_map_add(w->o, ref, ref);
    return ref;
}

static IrRef konst(IrSimplify *s, IrType t, uint64_t v)
{
    IrInsn i = {.op = IR_CONST, .type = t, .imm = v};

    return insert((Fold *)s, &i);
}

/* The edge that is taken when the condition is known, as the only one. In a graph: a tree must keep its blocks. */
static void fold_known(Walk *w, IrInsn *i, bool yes)
{
    IrRef list = yes ? i->b : i->c;
    uint32_t n = list ? w->o->r->pool[list] : 0;

    *i = (IrInsn){.op = IR_BR, .imm = yes ? (uint32_t)i->imm : i->imm >> 32, .a = n ? list + 1 : 0, .b = n, .prev = i->prev};
    w->cut = true;
}

static void fold_pure(Walk *w, IrRef ref)
{
    IrRegion *r = w->o->r;
    IrInsn i = *ir_insn(r, ref);
    IrRef same = fold_insn(&w->f, &i);

    if (same) {
        opt_map_add(w->o, ref, same);
        w->merged = true;
        ir_remove(r, w->block, ref);
        return;
    }
    IrInsn *old = ir_insn(r, ref);
    i.prev = old->prev;
    i.next = old->next;
    *old = i;
}

static void fold_at(Walk *w, IrInsn *i, IrRef ref)
{
    uint64_t k;

    w->at = ref;
    opt_map_uses(w->o->r, i, w->o->map);
    if (ir_ops[i->op].flags & IRF_PURE)
        fold_pure(w, ref);
    else if (i->op == IR_BRIF && w->o->r->graph && ir_is_const(w->o->r, i->a, &k))
        fold_known(w, i, k != 0);
    else
        fold_operands(&w->f, i);
}

static bool fold(Opt *o)
{
    IrRegion *r = o->r;
    Walk w = {.f = {.s = {.r = r, .konst = konst}, .r = r, .insert = insert}, .o = o};

    opt_map(o);
    for (uint32_t k = 0; k < o->g->n; k++) {
        w.block = o->g->rpo[k];
        for (IrRef ref = r->block[w.block].first, next; ref; ref = next) {
            IrInsn *i = ir_insn(r, ref);
            next = i->next;
            if (i->op != IR_CONST && i->op != IR_GET && i->op != IR_INSN)
                fold_at(&w, i, ref);
        }
    }
    if (w.merged)
        opt_map_snaps(r, o->map);
    if (w.cut)
        opt_drop_blocks(o);
    return w.cut;
}

void opt_fold(Opt *o)
{
    /* A branch that always goes one way leaves parameters with one value, with which more can be folded: seldom, so once more. */
    if (fold(o) && opt_prune_params(o))
        fold(o);
}
