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

static bool is_konst(const IrSimplify *s, IrRef ref, uint64_t *v)
{
    return ref && ir_is_const(s->r, ref, v);
}

/* Make *i a constant; it then is the value itself. */
static IrRef to_const(IrInsn *i, uint64_t v)
{
    *i = (IrInsn){.op = IR_CONST, .type = i->type, .imm = ir_low(v, bits_of(i->type))};
    return 0;
}

static unsigned min_u(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

static unsigned max_u(unsigned a, unsigned b)
{
    return a > b ? a : b;
}

static unsigned value_bits(const IrRegion *r, IrRef ref, unsigned depth)
{
    const IrInsn *i = ir_insn(r, ref);
    unsigned n = bits_of(i->type);
    uint64_t k;

    if (i->op == IR_CONST)
        return i->imm ? 64 - (unsigned)__builtin_clzll(i->imm) : 1;
    if (depth == 0)
        return n;
    switch (i->op) {
    case IR_ICMP: case IR_FCMP: case IR_ADC_C: case IR_ADC_V: case IR_ADD_C: case IR_ADD_V: case IR_SUB_V: case IR_VANY:
        return 1;
    case IR_GET:
        return r->slots->slot[i->imm].boolean ? 1 : n;
    case IR_PARAM:
        return i->flags & IR_BOOL ? 1 : n;
    case IR_ZEXT:
        return value_bits(r, i->a, depth - 1);
    case IR_TRUNC:
        return min_u(n, value_bits(r, i->a, depth - 1));
    case IR_UBFX:
        return (unsigned)(i->imm >> 8);
    case IR_LOAD:
        return i->flags & IR_MEM_SIGNED ? n : min_u(n, bits_of(i->lane));
    case IR_AND:
        return min_u(value_bits(r, i->a, depth - 1), value_bits(r, i->b, depth - 1));
    case IR_OR: case IR_XOR:
        return max_u(value_bits(r, i->a, depth - 1), value_bits(r, i->b, depth - 1));
    case IR_SELECT:
        return max_u(value_bits(r, i->b, depth - 1), value_bits(r, i->c, depth - 1));
    case IR_SHR:
        return ir_is_const(r, i->b, &k) ? max_u(1, n - (unsigned)(k & (n - 1))) : n;
    default:
        return n;
    }
}

unsigned ir_value_bits(const IrRegion *r, IrRef ref)
{
    return value_bits(r, ref, 4);
}

/* --- constants ------------------------------------------------------------------------------------------------------------ */

/* A scalar operation on constants only. */
static bool fold_consts(IrSimplify *s, IrInsn *i)
{
    unsigned values = ir_ops[i->op].values;
    uint64_t k[3] = {0};

    /* The first operand decides nearly always. */
    if (!(values & 1) || !is_konst(s, i->a, &k[0]) || ((values & 2) && !is_konst(s, i->b, &k[1])) ||
        ((values & 4) && !is_konst(s, i->c, &k[2])) || i->op == IR_FNEG || i->op == IR_FABS || i->type == IR_V128)
        return false;
    IrVal arg[3] = {{{k[0]}}, {{k[1]}}, {{k[2]}}}, out;
    FpEnv none = {0}; /* not read: pure operations only */
    ir_eval(i, arg, &none, &out);
    to_const(i, out.u64[0]);
    return true;
}

static void swap_args(IrInsn *i)
{
    IrRef t = i->a;
    i->a = i->b;
    i->b = t;
}

/* Constants go to the right of commutative operations. */
static void canonical_order(IrSimplify *s, IrInsn *i)
{
    uint64_t k;

    if ((ir_ops[i->op].flags & IRF_COMM) && is_konst(s, i->a, &k) && !is_konst(s, i->b, &k))
        swap_args(i);
}

/* --- arithmetic ------------------------------------------------------------------------------------------------------------ */

/* x + k, where x may be a sum or difference with a constant itself. */
static IrRef add_const(IrSimplify *s, IrInsn *i, uint64_t k)
{
    unsigned n = bits_of(i->type);
    const IrInsn *x = def(s, i->a);
    uint64_t k2;

    k = ir_low(k, n);
    if (k == 0)
        return i->a;
    if (x->op == IR_ADD && is_konst(s, x->b, &k2)) {
        IrRef base = x->a;
        if (ir_low(k + k2, n) == 0)
            return base;
        IrRef sum = s->konst(s, i->type, ir_low(k + k2, n));
        *i = (IrInsn){.op = IR_ADD, .type = i->type, .a = base, .b = sum};
    } else if (x->op == IR_SUB && is_konst(s, x->b, &k2)) {
        IrRef base = x->a;
        if (k == k2)
            return base;
        IrRef sum = s->konst(s, i->type, ir_low(k - k2, n));
        *i = (IrInsn){.op = IR_ADD, .type = i->type, .a = base, .b = sum};
    }
    return 0;
}

/*
 * x ^ x and x - x of whole registers are written to make what follows depend on x: loads are kept in order by such an
 * address, also by passes that merge loads. Nothing else would write them.
 */
static bool keeps_dependency(const IrInsn *i)
{
    return i->type == IR_I32 || i->type == IR_I64;
}

static IrRef simplify_arith(IrSimplify *s, IrInsn *i)
{
    uint64_t k = 0;
    bool right = is_konst(s, i->b, &k);

    switch (i->op) {
    case IR_ADD:
        return right ? add_const(s, i, k) : 0;
    case IR_SUB:
        if (i->a == i->b)
            return keeps_dependency(i) ? 0 : to_const(i, 0);
        if (right && k == 0)
            return i->a;
        if (is_konst(s, i->a, &k) && k == 0)
            *i = (IrInsn){.op = IR_NEG, .type = i->type, .a = i->b};
        return 0;
    case IR_MUL:
        if (right && k == 0)
            return i->b;
        return right && k == 1 ? i->a : 0;
    case IR_DIVU:
        return right && k == 1 ? i->a : 0;
    case IR_ADC:
        if (is_konst(s, i->c, &k) && k == 0) {
            *i = (IrInsn){.op = IR_ADD, .type = i->type, .a = i->a, .b = i->b};
            return ir_simplify(s, i);
        }
        return 0;
    case IR_ADC_C: case IR_ADC_V:
        if (is_konst(s, i->c, &k) && k == 0)
            *i = (IrInsn){.op = i->op == IR_ADC_C ? IR_ADD_C : IR_ADD_V, .type = IR_I8, .lane = i->lane, .a = i->a, .b = i->b};
        return 0;
    case IR_ADD_C: case IR_ADD_V: case IR_SUB_V:
        return right && k == 0 ? to_const(i, 0) : 0;
    default:
        return 0;
    }
}

/* --- logic ------------------------------------------------------------------------------------------------------------------ */

static IrRef and_const(IrSimplify *s, IrInsn *i, uint64_t k)
{
    unsigned n = bits_of(i->type), bits = ir_value_bits(s->r, i->a);
    const IrInsn *x = def(s, i->a);
    uint64_t k2;

    if (k == 0)
        return i->b;
    if (ir_low(~k, bits) == 0 || k == ir_low(UINT64_MAX, n))
        return i->a;
    if (x->op == IR_AND && is_konst(s, x->b, &k2)) {
        IrRef base = x->a;
        i->b = s->konst(s, i->type, k & k2);
        i->a = base;
    }
    return 0;
}

/* x ^ 1 of a comparison is the opposite comparison. */
static IrRef xor_const(IrSimplify *s, IrInsn *i, uint64_t k)
{
    const IrInsn *x = def(s, i->a);
    uint64_t k2;

    if (k == 0)
        return i->a;
    if (i->type == IR_I8 && k == 1 && (x->op == IR_ICMP || x->op == IR_FCMP)) {
        if (x->op == IR_FCMP) /* may raise flags: inverting it would do so twice; opt/cmp.c knows when to */
            return 0;
        *i = *x;
        i->prev = i->next = 0;
        i->aux ^= IR_LT | IR_EQ | IR_GT;
        return 0;
    }
    if (x->op == IR_XOR && is_konst(s, x->b, &k2)) {
        IrRef base = x->a;
        if (k == k2)
            return base;
        i->b = s->konst(s, i->type, k ^ k2);
        i->a = base;
    } else if (k == ir_low(UINT64_MAX, bits_of(i->type))) {
        *i = (IrInsn){.op = IR_NOT, .type = i->type, .a = i->a};
    }
    return 0;
}

/* A conjunction with a complement is one operation: guests with flags write it as two. */
static IrRef and_not(IrSimplify *s, IrInsn *i)
{
    IrRef a = i->a, b = i->b;

    if (def(s, a)->op == IR_NOT) {
        a = i->b;
        b = i->a;
    }
    if (def(s, b)->op == IR_NOT && (i->type == IR_I32 || i->type == IR_I64))
        *i = (IrInsn){.op = IR_ANDN, .type = i->type, .a = a, .b = def(s, b)->a};
    return 0;
}

static IrRef simplify_logic(IrSimplify *s, IrInsn *i)
{
    uint64_t k = 0, ones = ir_low(UINT64_MAX, bits_of(i->type));
    bool right = is_konst(s, i->b, &k), same = i->a == i->b;

    switch (i->op) {
    case IR_AND:
        return same ? i->a : right ? and_const(s, i, k) : and_not(s, i);
    case IR_OR:
        if (same || (right && k == 0))
            return i->a;
        return right && k == ones ? i->b : 0;
    case IR_XOR:
        return same ? (keeps_dependency(i) ? 0 : to_const(i, 0)) : right ? xor_const(s, i, k) : 0;
    case IR_ANDN:
        if (same)
            return to_const(i, 0);
        if (right) {
            *i = (IrInsn){.op = IR_AND, .type = i->type, .a = i->a, .b = s->konst(s, i->type, ir_low(~k, bits_of(i->type)))};
            return ir_simplify(s, i);
        }
        if (is_konst(s, i->a, &k) && k == ones)
            *i = (IrInsn){.op = IR_NOT, .type = i->type, .a = i->b};
        return 0;
    case IR_ORN:
        if (same)
            return to_const(i, ones);
        if (right) {
            *i = (IrInsn){.op = IR_OR, .type = i->type, .a = i->a, .b = s->konst(s, i->type, ir_low(~k, bits_of(i->type)))};
            return ir_simplify(s, i);
        }
        if (is_konst(s, i->a, &k) && k == 0)
            *i = (IrInsn){.op = IR_NOT, .type = i->type, .a = i->b};
        return 0;
    case IR_NOT:
        return def(s, i->a)->op == IR_NOT ? def(s, i->a)->a : 0;
    default:
        return 0;
    }
}

/* --- shifts, fields and widths ------------------------------------------------------------------------------------------------ */

static IrRef simplify_shift(IrSimplify *s, IrInsn *i)
{
    unsigned n = bits_of(i->type), lsb, width;
    const IrInsn *x = def(s, i->a);
    uint64_t k, k2;

    switch (i->op) {
    case IR_SHL: case IR_SHR: case IR_SAR: case IR_ROR:
        return is_konst(s, i->b, &k) && (k & (n - 1)) == 0 ? i->a : 0;
    case IR_EXTR:
        if (i->imm == 0)
            return i->b;
        if (i->a == i->b)
            *i = (IrInsn){.op = IR_ROR, .type = i->type, .a = i->a, .b = s->konst(s, IR_I8, i->imm)};
        return 0;
    case IR_UBFX: case IR_SBFX:
        lsb = i->imm & 255, width = (unsigned)(i->imm >> 8);
        if (lsb == 0 && width == n)
            return i->a;
        if (i->op == IR_UBFX && lsb == 0 && ir_value_bits(s->r, i->a) <= width)
            return i->a;
        /* The field of a value shifted right lies further up in the value itself. */
        if (x->op == IR_SHR && is_konst(s, x->b, &k2) && (k2 & (n - 1)) + lsb + width <= n) {
            i->imm = ((k2 & (n - 1)) + lsb) | (uint64_t)width << 8;
            i->a = x->a;
        }
        return 0;
    case IR_BFI:
        return (i->imm & 255) == 0 && i->imm >> 8 == n ? i->b : 0;
    default:
        return 0;
    }
}

/* One width change of another: at most one remains. */
static IrRef simplify_width(IrSimplify *s, IrInsn *i)
{
    const IrInsn *x = def(s, i->a);
    unsigned n = bits_of(i->type);
    bool x_is_ext = x->op == IR_ZEXT || x->op == IR_SEXT;

    if (i->op == IR_TRUNC && x_is_ext) {
        if (x->lane == i->type)
            return x->a;
        uint16_t op = bits_of(x->lane) < n ? x->op : IR_TRUNC;
        *i = (IrInsn){.op = op, .type = i->type, .lane = x->lane, .a = x->a};
    } else if (i->op == IR_TRUNC && x->op == IR_TRUNC) {
        *i = (IrInsn){.op = IR_TRUNC, .type = i->type, .lane = x->lane, .a = x->a};
    } else if (i->op == IR_ZEXT && x->op == IR_ZEXT) {
        *i = (IrInsn){.op = IR_ZEXT, .type = i->type, .lane = x->lane, .a = x->a};
    } else if (i->op == IR_SEXT && x_is_ext) {
        *i = (IrInsn){.op = x->op, .type = i->type, .lane = x->lane, .a = x->a};
    } else if (i->op == IR_ZEXT && x->op == IR_TRUNC && def(s, x->a)->type == i->type &&
               ir_value_bits(s->r, x->a) <= bits_of(i->lane)) {
        return x->a; /* what was cut off is known to be zero */
    } else if (i->op == IR_BITCAST && x->op == IR_BITCAST) {
        if (x->lane == i->type)
            return x->a;
        *i = (IrInsn){.op = IR_BITCAST, .type = i->type, .lane = x->lane, .a = x->a};
    }
    return 0;
}

/* --- comparisons ---------------------------------------------------------------------------------------------------------------- */

static unsigned swap_pred(unsigned aux)
{
    return (aux & ~(unsigned)(IR_LT | IR_GT)) | (aux & IR_LT ? IR_GT : 0) | (aux & IR_GT ? IR_LT : 0);
}

/* Compare a boolean, or an extension of something narrower, with a constant that fits below: compare it itself. */
static IrRef narrow_compare(IrSimplify *s, IrInsn *i, uint64_t k)
{
    const IrInsn *x = def(s, i->a);
    unsigned set = i->aux & 7;

    if (x->op == IR_ZEXT && k <= ir_low(UINT64_MAX, bits_of(x->lane)) && (set == IR_EQ || set == (IR_LT | IR_GT))) {
        i->b = s->konst(s, x->lane, k);
        i->lane = x->lane;
        i->a = x->a;
        return ir_simplify(s, i);
    }
    if (i->lane == IR_I8 && ir_value_bits(s->r, i->a) == 1 && k <= 1 && (set == IR_EQ || set == (IR_LT | IR_GT))) {
        if ((set == IR_EQ) == (k == 1))
            return i->a;
        *i = (IrInsn){.op = IR_XOR, .type = IR_I8, .a = i->a, .b = s->konst(s, IR_I8, 1)};
        return ir_simplify(s, i);
    }
    return 0;
}

static IrRef simplify_icmp(IrSimplify *s, IrInsn *i)
{
    uint64_t k;

    if (is_konst(s, i->a, &k) && !is_konst(s, i->b, &k)) {
        swap_args(i);
        i->aux = (uint8_t)swap_pred(i->aux);
    }
    unsigned set = i->aux & 7;
    if (set == 0 || set == 7)
        return to_const(i, set == 7);
    if (i->a == i->b)
        return to_const(i, !!(set & IR_EQ));
    if (set == IR_EQ || set == (IR_LT | IR_GT))
        i->aux = (uint8_t)set;
    if (!is_konst(s, i->b, &k))
        return 0;
    if (k == 0 && !(i->aux & IR_PSIGNED)) {
        /* Nothing is below zero. */
        set &= ~(unsigned)IR_LT;
        if (set == 0)
            return to_const(i, 0);
        if (set == (IR_EQ | IR_GT))
            return to_const(i, 1);
        i->aux = set == IR_GT ? IR_LT | IR_GT : IR_EQ;
        /* LT was in the set: NE stays NE */
    }
    return narrow_compare(s, i, k);
}

static IrRef simplify_select(IrSimplify *s, IrInsn *i)
{
    uint64_t k, y, n;

    if (is_konst(s, i->a, &k))
        return k ? i->b : i->c;
    if (i->b == i->c)
        return i->b;
    if (i->type == IR_I8 && ir_value_bits(s->r, i->a) == 1 && is_konst(s, i->b, &y) && is_konst(s, i->c, &n)) {
        if (y == 1 && n == 0)
            return i->a;
        if (y == 0 && n == 1) {
            *i = (IrInsn){.op = IR_XOR, .type = IR_I8, .a = i->a, .b = s->konst(s, IR_I8, 1)};
            return ir_simplify(s, i);
        }
    }
    return 0;
}

IrRef ir_simplify(IrSimplify *s, IrInsn *i)
{
    if (fold_consts(s, i))
        return 0;
    if (i->op == IR_SELECT)
        return simplify_select(s, i);
    if (i->op == IR_COPY)
        return i->a;
    if (i->type == IR_V128 || i->op == IR_VGET)
        return ir_simplify_vec(s, i);
    canonical_order(s, i);
    switch (i->op) {
    case IR_ADD: case IR_SUB: case IR_MUL: case IR_DIVU: case IR_ADC: case IR_ADC_C: case IR_ADC_V: case IR_ADD_C: case IR_ADD_V:
    case IR_SUB_V:
        return simplify_arith(s, i);
    case IR_AND: case IR_OR: case IR_XOR: case IR_ANDN: case IR_ORN: case IR_NOT:
        return simplify_logic(s, i);
    case IR_SHL: case IR_SHR: case IR_SAR: case IR_ROR: case IR_EXTR: case IR_UBFX: case IR_SBFX: case IR_BFI:
        return simplify_shift(s, i);
    case IR_TRUNC: case IR_ZEXT: case IR_SEXT: case IR_BITCAST:
        return simplify_width(s, i);
    case IR_TALLY:
        if (i->imm == 0)
            return i->a;
        if (def(s, i->a)->op == IR_TALLY) {
            i->imm += def(s, i->a)->imm;
            i->a = def(s, i->a)->a;
        }
        return i->imm ? 0 : i->a;
    case IR_CLZ: /* of the bits reversed, as guests without the instruction count trailing zeros */
        if (def(s, i->a)->op == IR_BITREV)
            *i = (IrInsn){.op = IR_CTZ, .type = i->type, .a = def(s, i->a)->a};
        return 0;
    case IR_BITREV: case IR_BSWAP:
        return def(s, i->a)->op == i->op ? def(s, i->a)->a : 0;
    case IR_ICMP:
        return simplify_icmp(s, i);
    default:
        return 0;
    }
}
