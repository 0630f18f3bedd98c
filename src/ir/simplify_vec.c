/*
 * Simplification of vector operations: elements that are read where it is known what was put there, so that scalar code on
 * vector registers becomes code on scalars; moves written as logic; halves that are zero already.
 */
#include "ir/simplify.h"

static const IrInsn *def(IrSimplify *s, IrRef ref)
{
    return ir_insn(s->r, ref);
}

/* Whether a vector value is a constant; its halves. */
static bool vector_const(IrSimplify *s, const IrInsn *x, IrVal *v)
{
    if (x->op == IR_VCONST)
        *v = s->r->vconst[x->imm];
    else if (x->op == IR_CONST && x->type == IR_V128)
        *v = (IrVal){{x->imm, 0}};
    else
        return false;
    return true;
}

static IrRef become_const(IrInsn *i, uint64_t v)
{
    *i = (IrInsn){.op = IR_CONST, .type = i->type, .imm = v};
    return 0;
}

/* *i becomes the scalar x as a value of i->type, of the same size. */
static IrRef become(IrSimplify *s, IrInsn *i, IrRef x)
{
    IrType from = def(s, x)->type;

    if (from == i->type)
        return x;
    *i = (IrInsn){.op = IR_BITCAST, .type = i->type, .lane = from, .a = x};
    return ir_simplify(s, i);
}

/* Bytes of the vector that x's shape covers; the rest of its result is zero. */
static unsigned shape_bytes(const IrInsn *x)
{
    return x->lanes * ir_type_size(x->lane);
}

/* --- reading an element: `off` and `size` in bytes --------------------------------------------------------------------- */

typedef struct Read {
    IrRef from;
    unsigned off, size;
} Read;

/* The element of a constant */
static uint64_t const_element(const IrVal *v, const Read *g)
{
    uint64_t word = v->u64[g->off / 8] >> 8 * (g->off % 8);

    return g->size == 8 ? word : word & ((UINT64_C(1) << 8 * g->size) - 1);
}

/*
 * One step towards the origin of the element: x copies it from another vector unchanged. A source byte offset, or one that
 * lies where x is zero (16 and above), is stored.
 */
static bool read_through(const IrInsn *x, Read *g)
{
    unsigned elem = ir_type_size(x->lane), at = (unsigned)(x->imm & 255) * elem;

    switch (x->op) {
    case IR_VLOW:
        *g = (Read){x->a, g->off < 8 ? g->off : 16, g->size};
        return true;
    case IR_VHIGH:
        *g = (Read){x->a, g->off + 8, g->size};
        return true;
    case IR_VCONCAT:
        *g = (Read){g->off < 8 ? x->a : x->b, g->off % 8, g->size};
        return true;
    case IR_VDUPL:
        if (g->size != elem || g->off >= shape_bytes(x))
            return false;
        *g = (Read){x->a, at, g->size};
        return true;
    case IR_VSET:
    case IR_VSETL:
        if (shape_bytes(x) != 16)
            return false;
        if (g->off + g->size <= at || at + elem <= g->off) {
            g->from = x->a;
            return true;
        }
        if (x->op == IR_VSET || g->size != elem)
            return false;
        *g = (Read){x->b, (unsigned)(x->imm >> 8) * elem, g->size};
        return true;
    default:
        return false;
    }
}

/* The element is in, or is, the scalar that x was made from. */
static IrRef read_scalar(IrSimplify *s, IrInsn *i, const IrInsn *x, const Read *g)
{
    unsigned elem = ir_type_size(x->lane);

    switch (x->op) {
    case IR_VZEXT:
        if (g->off >= elem)
            return become_const(i, 0);
        if (g->off == 0 && g->size == elem)
            return become(s, i, x->a);
        if (g->off == 0 && ir_type_is_int(x->lane) && ir_type_is_int(i->type)) {
            *i = (IrInsn){.op = g->size < elem ? IR_TRUNC : IR_ZEXT, .type = i->type, .lane = x->lane, .a = x->a};
            return ir_simplify(s, i);
        }
        return 0;
    case IR_VDUP:
        return g->size == elem && g->off < shape_bytes(x) ? become(s, i, x->a) : 0;
    case IR_VSET:
        return g->size == elem && g->off == (unsigned)x->imm * elem ? become(s, i, x->b) : 0;
    case IR_VPAIR:
        return g->size == 8 ? become(s, i, g->off ? x->b : x->a) : 0;
    default:
        return 0;
    }
}

static IrRef simplify_get(IrSimplify *s, IrInsn *i)
{
    Read g = {i->a, 0, ir_type_size(i->lane)};
    IrVal v;

    g.off = (unsigned)i->imm * g.size;
    while (read_through(def(s, g.from), &g)) {
        if (g.off >= 16)
            return become_const(i, 0);
    }
    i->a = g.from;
    i->imm = g.off / g.size;
    if (vector_const(s, def(s, g.from), &v))
        return become_const(i, const_element(&v, &g));
    return read_scalar(s, i, def(s, g.from), &g);
}

/* --- whole vectors ------------------------------------------------------------------------------------------------------ */

/* Whether the upper half of a vector value is known to be zero. */
static bool upper_zero(IrSimplify *s, IrRef ref)
{
    const IrInsn *x = def(s, ref);
    IrVal v;

    if (vector_const(s, x, &v))
        return v.u64[1] == 0;
    if (x->op == IR_VZEXT || x->op == IR_VLOW || x->op == IR_VHIGH || x->op == IR_VNARROW || x->op == IR_VFNARROW)
        return true;
    /* A result of the operation's own shape */
    return ir_ops[x->op].result == IRR_T && (ir_ops[x->op].flags & (IRF_PURE | IRF_FP)) && x->op != IR_CALL &&
           x->type == IR_V128 && x->lanes && shape_bytes(x) == 8;
}

/* x cut to its low half */
static IrRef low_half(IrSimplify *s, IrInsn *i, IrRef x)
{
    if (upper_zero(s, x))
        return x;
    *i = (IrInsn){.op = IR_VLOW, .type = IR_V128, .lane = IR_I64, .lanes = 2, .a = x};
    return 0;
}

static IrRef simplify_zext(IrSimplify *s, IrInsn *i)
{
    const IrInsn *x = def(s, i->a);

    if (x->op == IR_CONST)
        return become_const(i, x->imm);
    if (x->op == IR_BITCAST) {
        i->lane = x->lane;
        i->a = x->a;
    } else if (x->op == IR_VGET && x->imm == 0 && ir_type_size(x->lane) == 8) {
        return low_half(s, i, x->a);
    }
    return 0;
}

/* Two equal operands: moves and zeros as compilers write them */
static IrRef simplify_same(IrSimplify *s, IrInsn *i)
{
    switch (i->op) {
    case IR_AND: case IR_OR: case IR_MINS: case IR_MAXS: case IR_MINU: case IR_MAXU:
        return i->lanes && shape_bytes(i) == 8 ? low_half(s, i, i->a) : i->a;
    case IR_XOR: case IR_ANDN: case IR_SUB:
        return become_const(i, 0);
    default:
        return 0;
    }
}

IrRef ir_simplify_vec(IrSimplify *s, IrInsn *i)
{
    switch (i->op) {
    case IR_VGET:
        return simplify_get(s, i);
    case IR_VZEXT:
        return simplify_zext(s, i);
    case IR_VLOW:
        return low_half(s, i, i->a);
    case IR_AND: case IR_OR: case IR_MINS: case IR_MAXS: case IR_MINU: case IR_MAXU: case IR_XOR: case IR_ANDN: case IR_SUB:
        return i->a == i->b ? simplify_same(s, i) : 0;
    default:
        return 0;
    }
}
