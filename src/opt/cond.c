/*
 * The algebra of conditions. Guests with flags compute conditions such as "greater" from the single flags of an earlier
 * subtraction or comparison. Seen as sets of relations between two values, flags combine exactly:
 *
 *   z = icmp eq (sub a b) 0     relation of a to b in {EQ}
 *   n ^ v                       of a subtraction: {LT}, signed
 *   !z & !(n ^ v)               {LT GT} & {EQ GT} = {GT}: icmp sgt a b
 *
 * FP comparisons work in the same way with a fourth relation, unordered. A comparison that replaces others raises no flag that
 * they have not raised before it, and is marked IR_QUIET.
 */
#include "opt/fold.h"

#include "ir/eval.h"

enum { ANY_INT = IR_LT | IR_EQ | IR_GT, ANY_FP = ANY_INT | IR_UN };

/* A boolean as a set of relations between two values; the second may be a constant that exists nowhere yet. */
typedef struct View {
    bool fp;
    uint8_t set;   /* IR_LT ... */
    uint8_t how;   /* IR_PSIGNED, IR_SIGNALLING */
    uint8_t type;
    bool is_const; /* b is the number k */
    IrRef a, b;
    uint64_t k;
} View;

static unsigned bits_of(unsigned type)
{
    return 8 * ir_type_size(type);
}

static void view_b(const Fold *f, View *v, IrRef b)
{
    v->b = b;
    v->is_const = ir_is_const(f->r, b, &v->k);
}

/* The comparison itself. */
static bool plain_view(const Fold *f, IrRef ref, View *v)
{
    const IrInsn *i = ir_insn(f->r, ref);

    if (i->op != IR_ICMP && i->op != IR_FCMP)
        return false;
    *v = (View){.fp = i->op == IR_FCMP, .type = i->lane, .a = i->a};
    v->set = i->aux & (v->fp ? ANY_FP : ANY_INT);
    v->how = i->aux & (v->fp ? IR_SIGNALLING : IR_PSIGNED);
    view_b(f, v, i->b);
    return true;
}

/* `a - b` is zero, or `a + k` is: a relation of a to b, or to -k. */
static bool zero_view(const Fold *f, IrRef ref, View *v)
{
    if (!plain_view(f, ref, v) || v->fp || !v->is_const || v->k != 0 || (v->set != IR_EQ && v->set != (IR_LT | IR_GT)))
        return false;
    const IrInsn *x = ir_insn(f->r, v->a);
    uint64_t k;
    if (x->op == IR_SUB) {
        v->a = x->a;
        view_b(f, v, x->b);
        return true;
    }
    if (x->op == IR_ADD && ir_is_const(f->r, x->b, &k)) {
        v->a = x->a;
        v->b = 0;
        v->k = ir_low(0 - k, bits_of(v->type));
        return true;
    }
    return false;
}

static unsigned swap_set(unsigned set)
{
    return (set & ~(unsigned)(IR_LT | IR_GT)) | (set & IR_LT ? IR_GT : 0) | (set & IR_GT ? IR_LT : 0);
}

static bool same_b(const View *x, const View *y)
{
    return x->is_const && y->is_const ? x->k == y->k : x->b == y->b && x->b != 0;
}

static bool is_equality(const View *v)
{
    return !v->fp && (v->set == IR_EQ || v->set == (IR_LT | IR_GT));
}

/* Make y a relation between the same values as x, in the same sense; false when it is about others. */
static bool align(const View *x, View *y, uint8_t *how)
{
    if (x->fp != y->fp || x->type != y->type)
        return false;
    if (x->a != y->a || !same_b(x, y)) {
        if (x->a != y->b || y->a != x->b || x->b == 0)
            return false;
        y->set = (uint8_t)swap_set(y->set);
    }
    *how = is_equality(x) ? y->how : x->how;
    return x->how == y->how || is_equality(x) || is_equality(y);
}

static unsigned combine(unsigned op, unsigned x, unsigned y)
{
    return op == IR_AND ? x & y : op == IR_OR ? x | y : x ^ y;
}

/* Turn *i into the comparison that `v` describes. */
static IrRef become(Fold *f, IrInsn *i, const View *v)
{
    IrRef b = v->b ? v->b : f->s.konst(&f->s, (IrType)v->type, v->k);

    *i = (IrInsn){.op = v->fp ? IR_FCMP : IR_ICMP, .type = IR_I8, .lane = v->type, .aux = v->set | v->how, .a = v->a, .b = b};
    if (v->fp)
        i->flags = IR_QUIET;
    return v->fp ? 0 : ir_simplify(&f->s, i);
}

static bool get_view(const Fold *f, IrRef ref, unsigned which, View *v)
{
    return which ? zero_view(f, ref, v) : plain_view(f, ref, v);
}

static IrRef combine_relations(Fold *f, IrInsn *i, bool *done)
{
    for (unsigned k = 0; k < 4; k++) {
        View x, y;
        uint8_t how;
        if (!get_view(f, i->a, k & 1, &x) || !get_view(f, i->b, k >> 1, &y) || !align(&x, &y, &how))
            continue;
        x.set = (uint8_t)combine(i->op, x.set, y.set);
        x.how = how;
        *done = true;
        return become(f, i, &x);
    }
    return 0;
}

/*
 * n ^ v, n the sign of a - b and v its overflow, is the sign of the exact difference: a < b. Of a + k: a < -k, but for the
 * k whose negation does not exist.
 */
static bool exact_sign(const Fold *f, IrRef n, IrRef v, View *out)
{
    const IrInsn *i = ir_insn(f->r, n), *o = ir_insn(f->r, v);
    uint64_t k;

    if (i->op != IR_ICMP || i->aux != (IR_LT | IR_PSIGNED) || !ir_is_const(f->r, i->b, &k) || k != 0)
        return false;
    const IrInsn *x = ir_insn(f->r, i->a);
    if (o->lane != i->lane || o->a != x->a)
        return false;
    *out = (View){.set = IR_LT, .how = IR_PSIGNED, .type = i->lane, .a = x->a};
    if (x->op == IR_SUB && o->op == IR_SUB_V) {
        View other = {0};
        view_b(f, out, x->b);
        view_b(f, &other, o->b);
        return same_b(out, &other);
    }
    if (x->op != IR_ADD || o->op != IR_ADD_V || !ir_is_const(f->r, x->b, &k))
        return false;
    uint64_t k2;
    out->is_const = true;
    out->k = ir_low(0 - k, bits_of(i->lane));
    return ir_is_const(f->r, o->b, &k2) && k == k2 && k != 1ull << (bits_of(i->lane) - 1);
}

/* A boolean select with a constant at the end: `c ? x : k`. */
static bool select_const(const Fold *f, IrRef ref, const IrInsn **sel, uint64_t *k)
{
    *sel = ir_insn(f->r, ref);
    return (*sel)->op == IR_SELECT && (*sel)->type == IR_I8 && ir_is_const(f->r, (*sel)->c, k) && *k <= 1;
}

static IrRef bool_const(Fold *f, uint64_t v)
{
    return f->s.konst(&f->s, IR_I8, v);
}

static IrRef bool_op(Fold *f, unsigned op, IrRef a, IrRef b)
{
    return fold_value(f, (IrInsn){.op = (uint16_t)op, .type = IR_I8, .a = a, .b = b});
}

/* op(c ? x : k, c ? y : l) is c ? op(x, y) : op(k, l): how conditions on a conditional comparison come out. */
static IrRef combine_selects(Fold *f, IrInsn *i, bool *done)
{
    const IrInsn *p, *q;
    uint64_t k, l;

    if (!select_const(f, i->a, &p, &k))
        return 0;
    IrRef cond = p->a, x = p->b, y;
    if (ir_is_const(f->r, i->b, &l)) {
        y = i->b;
    } else {
        if (!select_const(f, i->b, &q, &l) || q->a != cond)
            return 0;
        y = q->b;
    }
    *done = true;
    IrRef yes = bool_op(f, i->op, x, y), no = bool_const(f, combine(i->op, (unsigned)k, (unsigned)l));
    *i = (IrInsn){.op = IR_SELECT, .type = IR_I8, .a = cond, .b = yes, .c = no};
    return ir_simplify(&f->s, i);
}

/* The opposite of an FP comparison. Integer ones are ir_simplify's. */
static bool invert_fcmp(Fold *f, IrInsn *i)
{
    const IrInsn *x = ir_insn(f->r, i->a);
    uint64_t k;

    if (x->op != IR_FCMP || !ir_is_const(f->r, i->b, &k) || k != 1)
        return false;
    *i = *x;
    i->aux ^= ANY_FP;
    i->flags = IR_QUIET;
    i->snap = 0;
    return true;
}

static bool is_bool(const Fold *f, IrRef ref)
{
    return ir_value_bits(f->r, ref) == 1;
}

static IrRef fold_logic(Fold *f, IrInsn *i)
{
    bool done = false;
    View v;

    if (i->op == IR_XOR && invert_fcmp(f, i))
        return 0;
    IrRef same = combine_relations(f, i, &done);
    if (done)
        return same;
    if (i->op == IR_XOR && (exact_sign(f, i->a, i->b, &v) || exact_sign(f, i->b, i->a, &v)))
        return become(f, i, &v);
    return combine_selects(f, i, &done);
}

/* Carry of a + k, k not 0: a >= -k, unsigned. */
static IrRef fold_carry(Fold *f, IrInsn *i)
{
    uint64_t k;

    if (!ir_is_const(f->r, i->b, &k) || k == 0)
        return 0;
    View v = {.set = IR_EQ | IR_GT, .type = i->lane, .is_const = true, .a = i->a, .k = ir_low(0 - k, bits_of(i->lane))};
    return become(f, i, &v);
}

/* Select by a negated boolean: the other way round. */
static IrRef fold_select(Fold *f, IrInsn *i)
{
    const IrInsn *c = ir_insn(f->r, i->a);
    uint64_t k;

    if (c->op == IR_XOR && ir_is_const(f->r, c->b, &k) && k == 1 && is_bool(f, c->a)) {
        *i = (IrInsn){.op = IR_SELECT, .type = i->type, .lane = i->lane, .lanes = i->lanes, .a = c->a, .b = i->c, .c = i->b};
        return fold_insn(f, i);
    }
    return 0;
}

/* Whether a vector's pairwise maximum is zero: whether the vector is. */
static IrRef fold_any(Fold *f, IrInsn *i)
{
    unsigned set = i->aux & 7;
    uint64_t k;

    if (i->lane != IR_I64 || (set != IR_EQ && set != (IR_LT | IR_GT)) || !ir_is_const(f->r, i->b, &k) || k != 0)
        return 0;
    IrRef v = ir_any_of(f->r, i->a);
    if (!v)
        return 0;
    IrInsn any = {.op = IR_VANY, .type = IR_I8, .a = v};
    if (set == IR_EQ) {
        IrRef some = fold_value(f, any);
        *i = (IrInsn){.op = IR_XOR, .type = IR_I8, .a = some, .b = bool_const(f, 1)};
    } else {
        *i = any;
    }
    return 0;
}

IrRef fold_cond(Fold *f, IrInsn *i)
{
    switch (i->op) {
    case IR_ICMP:
        return fold_any(f, i);
    case IR_AND: case IR_OR: case IR_XOR:
        return i->type == IR_I8 && is_bool(f, i->a) && is_bool(f, i->b) ? fold_logic(f, i) : 0;
    case IR_ADD_C:
        return fold_carry(f, i);
    case IR_SELECT:
        return fold_select(f, i);
    default:
        return 0;
    }
}
