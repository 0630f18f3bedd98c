/*
 * Folding: one walk down the region that simplifies each pure operation by what its operands have become, now that slots are
 * values: ir_simplify's rules, the algebra of conditions (cond.c), and displacements moved into memory operations.
 */
#include "opt/fold.h"

#include "opt/pass.h"

#include <string.h>

static void map_set(Fold *f, IrRef ref, IrRef to)
{
    if (ref >= f->cap) {
        uint32_t cap = 2 * ref + 64;
        IrRef *map = ARENA_ARRAY(f->r->arena, IrRef, cap);
        memcpy(map, f->map, f->cap * sizeof *map);
        for (uint32_t k = f->cap; k < cap; k++)
            map[k] = k;
        f->map = map;
        f->cap = cap;
    }
    f->map[ref] = to;
}

static IrRef insert(Fold *f, const IrInsn *i)
{
    IrRef ref = ir_insn_new(f->r, i);

    ir_link_before(f->r, f->block, f->at, ref);
    map_set(f, ref, ref);
    return ref;
}

static IrRef konst(IrSimplify *s, IrType t, uint64_t v)
{
    Fold *f = (Fold *)s;
    IrInsn i = {.op = IR_CONST, .type = t, .imm = v};

    return insert(f, &i);
}

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
    return same ? same : insert(f, &i);
}

/* [x + k + d] becomes [x + (k + d)] where the displacement stays within 32 bits. The address is the same number. */
static void fold_address(Fold *f, IrInsn *i)
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

/* The edge that is taken when the condition is known, as the only one. In a graph: a tree must keep its blocks. */
static void fold_known(Fold *f, IrInsn *i, bool yes)
{
    IrRef list = yes ? i->b : i->c;
    uint32_t n = list ? f->r->pool[list] : 0;

    *i = (IrInsn){.op = IR_BR, .imm = yes ? (uint32_t)i->imm : i->imm >> 32, .a = n ? list + 1 : 0, .b = n, .prev = i->prev};
    f->cut = true;
}

/* A branch on `not x` is the opposite branch on x. */
static void fold_branch(Fold *f, IrInsn *i)
{
    const IrInsn *x = ir_insn(f->r, i->a);
    uint64_t k;

    if (f->r->graph && ir_is_const(f->r, i->a, &k)) {
        fold_known(f, i, k != 0);
        return;
    }
    if (x->op != IR_XOR || !ir_is_const(f->r, x->b, &k) || k != 1 || ir_value_bits(f->r, x->a) != 1)
        return;
    i->a = x->a;
    i->imm = i->imm << 32 | i->imm >> 32;
    IrRef t = i->b;
    i->b = i->c;
    i->c = t;
}

static void fold_pure(Fold *f, IrRef ref)
{
    IrInsn i = *ir_insn(f->r, ref);
    IrRef same = fold_insn(f, &i);

    if (same) {
        map_set(f, ref, same);
        ir_remove(f->r, f->block, ref);
        return;
    }
    IrInsn *old = ir_insn(f->r, ref);
    i.prev = old->prev;
    i.next = old->next;
    *old = i;
}

/* Negated operands of a fused multiplication become attributes of it: hosts have instructions for them. */
static void fold_fma(Fold *f, IrInsn *i)
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

static bool fold(Opt *o)
{
    IrRegion *r = o->r;
    Fold f = {.s = {.r = r, .konst = konst}, .r = r, .cap = r->ninsn + r->ninsn / 2};

    f.map = opt_map_new(r, r->ninsn / 2);
    for (uint32_t k = 0; k < o->g->n; k++) {
        f.block = o->g->rpo[k];
        for (IrRef ref = r->block[f.block].first, next; ref; ref = next) {
            IrInsn *i = ir_insn(r, ref);
            next = i->next;
            if (i->op == IR_CONST || i->op == IR_GET || i->op == IR_INSN)
                continue;
            f.at = ref;
            opt_map_uses(r, i, f.map);
            if (ir_ops[i->op].flags & IRF_PURE)
                fold_pure(&f, ref);
            else if (i->op == IR_LOAD || i->op == IR_STORE)
                fold_address(&f, i);
            else if (i->op == IR_FMA)
                fold_fma(&f, i);
            else if (i->op == IR_BRIF)
                fold_branch(&f, i);
        }
    }
    opt_map_snaps(r, f.map);
    if (f.cut)
        opt_drop_blocks(o);
    return f.cut;
}

void opt_fold(Opt *o)
{
    /* A branch that always goes one way leaves parameters with one value, with which more can be folded: seldom, so once more. */
    if (fold(o) && opt_prune_params(o))
        fold(o);
}
