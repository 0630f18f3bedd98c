/*
 * Simplification of vector operations, most of all moves between scalars and vectors. A guest's scalar register is the low
 * part of a vector register, so that lifted code goes to and fro: every scalar result is a vzext, every scalar operand a
 * vget. See simplify.h.
 */
#include "ir/simplify.h"

#include "ir/eval.h"

static unsigned bits_of(unsigned t)
{
    return 8 * ir_type_size(t);
}

static const IrInsn *def(const IrSimplify *s, IrRef ref)
{
    return ir_insn(s->r, ref);
}

unsigned ir_vector_bits(const IrRegion *r, IrRef ref)
{
    const IrInsn *i = ir_insn(r, ref);

    switch (i->op) {
    case IR_CONST:
        return 64;
    case IR_VCONST:
        return r->vconst[i->imm].u64[1] ? 128 : 64;
    case IR_VZEXT:
        return bits_of(i->lane);
    case IR_VLOW: case IR_VHIGH: case IR_VNARROW: case IR_VFNARROW: case IR_VBFCVT:
        return 64;
    case IR_LOAD:
        return bits_of(i->lane);
    case IR_VDUP: case IR_VDUPL: case IR_VFTOI: case IR_VITOF:
        return i->lanes * bits_of(i->lane) <= 64 ? 64 : 128;
    default:
        return ir_ops[i->op].result == IRR_T && i->lanes && i->lanes * bits_of(i->lane) <= 64 ? 64 : 128;
    }
}

/* Lane `i->imm` of a vector whose only content is scalar `x` of type `u` at the bottom. */
static IrRef get_of_scalar(IrInsn *i, IrRef x, IrType u)
{
    IrType t = (IrType)i->type;
    unsigned want = bits_of(t), have = bits_of(u);

    if (i->imm * want >= have) {
        *i = (IrInsn){.op = IR_CONST, .type = t};
        return 0;
    }
    if (i->imm)
        return 0;
    if (t == u)
        return x;
    if (want == have)
        *i = (IrInsn){.op = IR_BITCAST, .type = t, .lane = u, .a = x};
    else if (ir_type_is_int(t) && ir_type_is_int(u))
        *i = (IrInsn){.op = want < have ? IR_TRUNC : IR_ZEXT, .type = t, .lane = u, .a = x};
    return 0;
}

/* Lane `i->imm` of the constant v. */
static void get_of_const(const IrRegion *r, IrInsn *i, const IrInsn *v)
{
    unsigned size = ir_type_size(i->type), at = (unsigned)i->imm * size;
    IrVal k = {{v->imm, 0}};

    if (v->op == IR_VCONST)
        k = r->vconst[v->imm];
    uint64_t word = k.u64[at / 8] >> 8 * (at % 8);
    *i = (IrInsn){.op = IR_CONST, .type = i->type, .imm = size == 8 ? word : word & ((UINT64_C(1) << 8 * size) - 1)};
}

/* One step: through the operation that made the vector. Returns false when there is none; *res: an equal value. */
static bool get_step(IrSimplify *s, IrInsn *i, IrRef *res)
{
    const IrInsn *v = def(s, i->a);
    unsigned bits = bits_of(i->type), at = (unsigned)i->imm * bits;

    switch (v->op) {
    case IR_CONST: case IR_VCONST:
        get_of_const(s->r, i, v);
        return false;
    case IR_VZEXT:
        *res = get_of_scalar(i, v->a, (IrType)v->lane);
        return false;
    case IR_VPAIR:
        if (i->type == IR_I64)
            *res = i->imm ? v->b : v->a;
        return false;
    case IR_VDUP:
        if (i->type == v->lane && i->imm < v->lanes)
            *res = v->a;
        return false;
    case IR_VLOW:
        if (at >= 64)
            return false;
        i->a = v->a;
        return true;
    case IR_VHIGH:
        if (at >= 64)
            return false;
        i->imm += 64 / bits;
        i->a = v->a;
        return true;
    case IR_VCONCAT:
        i->a = at < 64 ? v->a : v->b;
        i->imm = at % 64 / bits;
        return true;
    case IR_VDUPL:
        if (bits_of(v->lane) != bits || i->imm >= v->lanes)
            return false;
        i->imm = v->imm;
        i->a = v->a;
        return true;
    case IR_VSETL:
        if (bits_of(v->lane) != bits || v->lanes * bits != 128)
            return false;
        i->a = i->imm == (v->imm & 255) ? v->b : v->a;
        i->imm = i->imm == (v->imm & 255) ? v->imm >> 8 : i->imm;
        return true;
    case IR_VSET:
        if (bits_of(v->lane) != bits)
            return false;
        if (v->imm != i->imm)
            i->a = v->a;
        else if (v->lane == i->type)
            *res = v->b;
        return v->imm != i->imm;
    default:
        return false;
    }
}

static IrRef simplify_get(IrSimplify *s, IrInsn *i)
{
    IrRef res = 0;

    while (i->op == IR_VGET && get_step(s, i, &res))
        ;
    return res;
}

/* The low lane of a vector put into a vector again. */
static IrRef simplify_zext(IrSimplify *s, IrInsn *i)
{
    const IrInsn *x = def(s, i->a);

    if (x->op == IR_BITCAST) {
        i->lane = x->lane;
        i->a = x->a;
        x = def(s, i->a);
    }
    if (x->op != IR_VGET || x->imm || x->lane != i->lane)
        return 0;
    if (ir_vector_bits(s->r, x->a) <= bits_of(i->lane))
        return x->a;
    if (bits_of(i->lane) == 64)
        *i = (IrInsn){.op = IR_VLOW, .type = IR_V128, .a = x->a};
    return 0;
}

/* Both take the low halves of their operands alone. */
static IrRef low_operands(IrSimplify *s, IrInsn *i)
{
    if (def(s, i->a)->op == IR_VLOW)
        i->a = def(s, i->a)->a;
    if (i->op == IR_VLOW)
        return ir_vector_bits(s->r, i->a) <= 64 ? i->a : 0;
    if (def(s, i->b)->op == IR_VLOW)
        i->b = def(s, i->b)->a;
    const IrInsn *high = def(s, i->b);
    return high->op == IR_VHIGH && high->a == i->a ? i->a : 0;
}

/* Both operands the same: moves and zeros, as compilers write them. */
static IrRef simplify_same(IrSimplify *s, IrInsn *i)
{
    if (i->op == IR_XOR || i->op == IR_ANDN || i->op == IR_SUB) {
        *i = (IrInsn){.op = IR_CONST, .type = IR_V128};
        return 0;
    }
    if (i->lanes * bits_of(i->lane) == 128 || ir_vector_bits(s->r, i->a) <= 64)
        return i->a;
    *i = (IrInsn){.op = IR_VLOW, .type = IR_V128, .a = i->a};
    return low_operands(s, i);
}

/* A round's two halves, which guests have as two instructions, are one of the host's. */
static void join_aes(IrSimplify *s, IrInsn *i, IrOp first)
{
    const IrInsn *x = def(s, i->a);

    if (x->op == first && x->aux == 0)
        *i = (IrInsn){.op = first, .type = IR_V128, .aux = 1, .a = x->a};
}

/* --- constants ----------------------------------------------------------------------------------------------------------- */

static bool known(const IrRegion *r, IrRef ref, IrVal *v)
{
    const IrInsn *i = ir_insn(r, ref);

    if (i->op == IR_VCONST)
        *v = r->vconst[i->imm];
    else if (i->op == IR_CONST)
        *v = (IrVal){.u64 = {i->imm, 0}};
    else
        return false;
    return true;
}

/* A vector operation on constants only, as the broadcast of one that was just put into a register. */
static bool fold_vector(IrSimplify *s, IrInsn *i)
{
    const IrOpInfo *o = &ir_ops[i->op];
    IrRef ref[3] = {i->a, i->b, i->c};
    IrVal arg[3] = {{{0}}}, out;
    unsigned n = 0;

    if (i->op == IR_CONST || i->op == IR_VCONST || i->op == IR_PARAM || i->op == IR_CALL)
        return false;
    for (unsigned k = 0; k < 3; k++) {
        if (o->arg[k] == IRR_N)
            continue;
        if (!known(s->r, ref[k], &arg[k]))
            return false;
        n++;
    }
    if (n == 0)
        return false;
    FpEnv none = {0}; /* not read: pure operations only */
    ir_eval(i, arg, &none, &out);
    if (i->type != IR_V128)
        *i = (IrInsn){.op = IR_CONST, .type = i->type, .imm = out.u64[0]};
    else if (out.u64[1])
        *i = (IrInsn){.op = IR_VCONST, .type = IR_V128, .imm = ir_vconst_new(s->r, out.u64[0], out.u64[1])};
    else
        *i = (IrInsn){.op = IR_CONST, .type = IR_V128, .imm = out.u64[0]};
    return true;
}

/* --- questions about a whole vector ---------------------------------------------------------------------------------------- */

IrRef ir_any_of(const IrRegion *r, IrRef ref)
{
    const IrInsn *i = ir_insn(r, ref);

    if (i->op != IR_VGET || i->imm || i->type != IR_I64)
        return 0;
    const IrInsn *max = ir_insn(r, i->a);
    if ((max->op != IR_MAXU && max->op != IR_OR) || max->type != IR_V128)
        return 0;
    const IrInsn *x = ir_insn(r, max->a), *y = ir_insn(r, max->b);
    if (x->op == IR_VUZP2) {
        const IrInsn *t = x;
        x = y;
        y = t;
    }
    bool pairs = x->op == IR_VUZP1 && y->op == IR_VUZP2 && x->lane == y->lane && x->lanes * bits_of(x->lane) == 128 &&
                 y->lanes == x->lanes;
    return pairs && x->a == x->b && y->a == x->a && y->b == x->a ? x->a : 0;
}

IrRef ir_simplify_vec(IrSimplify *s, IrInsn *i)
{
    if (fold_vector(s, i))
        return 0;
    switch (i->op) {
    case IR_AESMC: join_aes(s, i, IR_AESENC); return 0;
    case IR_AESIMC: join_aes(s, i, IR_AESDEC); return 0;
    case IR_VGET: return simplify_get(s, i);
    case IR_VZEXT: return simplify_zext(s, i);
    case IR_AND: case IR_OR: case IR_MINS: case IR_MAXS: case IR_MINU: case IR_MAXU: case IR_XOR: case IR_ANDN: case IR_SUB:
        return i->a == i->b ? simplify_same(s, i) : 0;
    case IR_VLOW: case IR_VCONCAT: return low_operands(s, i);
    default: return 0;
    }
}
