/*
 * Value numbering: an operation with the same operands as one that dominates it is that one. Pure operations and FP
 * operations without changed environment (nothing in a region changes it) take part; the second of two FP operations
 * raises no flag that the first has not raised. FP comparisons of the same values with other relations stay, but are
 * marked IR_QUIET.
 *
 * One walk down the region with one hash table; an entry found is used only when its block dominates, which preorder numbers
 * of the dominator tree answer in constant time. A collision replaces the older entry: that loses a merge now and then, and
 * nothing else.
 */
#include "ir/simplify.h"
#include "opt/pass.h"

typedef struct Gvn {
    IrRegion *r;
    IrRef *map;
    IrRef *table;
    uint32_t mask;            /* entries - 1 */
    uint32_t *home;           /* by value: its block, for values in the table */
    uint32_t *pre, *size;     /* by block: preorder number, blocks of its subtree */
} Gvn;

static void number_tree(Gvn *g, const IrCfg *cfg)
{
    IrRegion *r = g->r;
    uint32_t *next = ARENA_ARRAY(r->arena, uint32_t, r->nblock);

    g->pre = ARENA_ARRAY(r->arena, uint32_t, r->nblock);
    g->size = ARENA_ARRAY(r->arena, uint32_t, r->nblock);
    for (uint32_t b = 0; b < r->nblock; b++)
        g->size[b] = 1;
    for (uint32_t k = cfg->n; k-- > 1;)
        g->size[cfg->idom[cfg->rpo[k]]] += g->size[cfg->rpo[k]];
    g->pre[0] = 0;
    next[0] = 1;
    for (uint32_t k = 1; k < cfg->n; k++) {
        uint32_t b = cfg->rpo[k], parent = cfg->idom[b];
        g->pre[b] = next[parent];
        next[parent] += g->size[b];
        next[b] = g->pre[b] + 1;
    }
}

static bool block_dominates(const Gvn *g, uint32_t d, uint32_t b)
{
    return g->pre[b] - g->pre[d] < g->size[d];
}

/* `aux` apart, so that FP comparisons of one pair of values meet in one place. */
static uint32_t hash(const IrInsn *i, unsigned aux)
{
    uint64_t what = i->op | (uint64_t)i->type << 16 | (uint64_t)i->lane << 24 | (uint64_t)i->lanes << 32 | (uint64_t)aux << 40;
    uint64_t h = (what ^ (uint64_t)i->a << 20) * 0x9e3779b97f4a7c15ull;

    h ^= (i->b | (uint64_t)i->c << 32) * 0xc2b2ae3d27d4eb4full;
    h ^= i->imm * 0xd6e8feb86659fd93ull;
    return (uint32_t)(h >> 32) ^ (uint32_t)(h >> 52);
}

static bool same_but_aux(const IrInsn *x, const IrInsn *y)
{
    return x->op == y->op && x->type == y->type && x->lane == y->lane && x->lanes == y->lanes && x->a == y->a &&
           x->b == y->b && x->c == y->c && x->imm == y->imm;
}

/* One order for the operands of commutative operations. Constants stay on the right, where rules and backends look. */
static void order_operands(Gvn *g, IrInsn *i)
{
    if ((ir_ops[i->op].flags & IRF_COMM) && i->a > i->b && ir_insn(g->r, i->b)->op != IR_CONST) {
        IrRef t = i->a;
        i->a = i->b;
        i->b = t;
    }
}

static IrRef *entry(Gvn *g, const IrInsn *i, unsigned aux)
{
    return &g->table[hash(i, aux) & g->mask];
}

/* An equal value that dominates, or 0; then *ref is entered. */
static IrRef lookup(Gvn *g, uint32_t block, IrRef ref)
{
    const IrInsn *i = ir_insn(g->r, ref);
    IrRef *e = entry(g, i, i->aux);

    if (*e) {
        const IrInsn *other = ir_insn(g->r, *e);
        if (same_but_aux(other, i) && other->aux == i->aux && block_dominates(g, g->home[*e], block))
            return *e;
    }
    *e = ref;
    g->home[ref] = block;
    return 0;
}

/* A comparison of two values that have been compared before raises nothing new, whatever relation it asks for. */
static void mark_quiet(Gvn *g, uint32_t block, IrRef ref)
{
    IrInsn *i = ir_insn(g->r, ref);
    IrRef *e = entry(g, i, i->aux & IR_SIGNALLING);

    /* lookup() may have entered `ref` itself in this very place */
    if (*e && *e != ref) {
        const IrInsn *other = ir_insn(g->r, *e);
        if (same_but_aux(other, i) && ((other->aux ^ i->aux) & IR_SIGNALLING) == 0 &&
            block_dominates(g, g->home[*e], block)) {
            i->flags |= IR_QUIET;
            return;
        }
    }
    *e = ref;
    g->home[ref] = block;
}

/* A boolean select with a constant is logic: left to here, because conditions are easier to see through a select. */
static void select_to_logic(Gvn *g, IrInsn *i)
{
    uint64_t k;

    if (i->type != IR_I8 || !ir_is_const(g->r, i->c, &k) || k != 0 || ir_value_bits(g->r, i->a) != 1 ||
        ir_value_bits(g->r, i->b) != 1)
        return;
    i->op = IR_AND;
    i->c = 0;
}

void opt_gvn(Opt *o)
{
    IrRegion *r = o->r;
    Gvn g = {.r = r, .map = opt_map(o), .mask = 63};
    bool any = false;

    while (g.mask < 2 * r->ninsn)
        g.mask = 2 * g.mask + 1;
    g.table = arena_zalloc(r->arena, (g.mask + 1) * sizeof *g.table);
    g.home = ARENA_ARRAY(r->arena, uint32_t, r->ninsn);
    number_tree(&g, o->g);
    for (uint32_t k = 0; k < o->g->n; k++) {
        uint32_t b = o->g->rpo[k];
        for (IrRef ref = r->block[b].first, next; ref; ref = next) {
            IrInsn *i = ir_insn(r, ref);
            next = i->next;
            opt_map_uses(r, i, g.map);
            if (i->op == IR_SELECT)
                select_to_logic(&g, i);
            if (!(ir_ops[i->op].flags & (IRF_PURE | IRF_FP)) || i->op == IR_CALL || i->op == IR_PARAM)
                continue;
            order_operands(&g, i);
            IrRef same = lookup(&g, b, ref);
            if (same) {
                g.map[ref] = same;
                any = true;
                ir_remove(r, b, ref);
            } else if (i->op == IR_FCMP) {
                mark_quiet(&g, b, ref);
            }
        }
    }
    if (any)
        opt_map_snaps(r, g.map);
}
