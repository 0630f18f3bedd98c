/*
 * Value numbering (number.h): one walk down the region with one table; preorder numbers of the dominator tree say in constant
 * time whether an entry's block dominates.
 */
#include "ir/simplify.h"
#include "opt/number.h"
#include "opt/pass.h"

#include <string.h>

/* --- numbers ------------------------------------------------------------------------------------------------------ */

void number_init(Numbers *n, const IrRegion *r, uint32_t ninsn)
{
    *n = (Numbers){.r = r, .mask = 63};
    while (n->mask < 2 * ninsn)
        n->mask = 2 * n->mask + 1;
    n->table = arena_zalloc(r->arena, (n->mask + 1) * sizeof *n->table);
}

/* What is done, of which types: op, type, lane and lanes, which stand in one word with `flags` and `aux`. */
static uint64_t kind(const IrInsn *i)
{
    const IrInsn rest = {.flags = UINT16_MAX, .aux = UINT8_MAX};
    uint64_t word, mask;

    _Static_assert(offsetof(IrInsn, aux) == 7, "all that says what is done is in one word");
    memcpy(&word, i, sizeof word);
    memcpy(&mask, &rest, sizeof mask);
    return word & ~mask;
}

/* `aux` apart, so that FP comparisons of one pair of values meet in one place. */
static uint32_t hash(const IrInsn *i, unsigned aux)
{
    uint64_t h = (kind(i) ^ (uint64_t)aux << 16 ^ (uint64_t)i->a << 20) * 0x9e3779b97f4a7c15ull;

    h ^= (i->b | (uint64_t)i->c << 32) * 0xc2b2ae3d27d4eb4full;
    h ^= i->imm * 0xd6e8feb86659fd93ull;
    return (uint32_t)(h >> 32) ^ (uint32_t)(h >> 52);
}

static bool same_but_aux(const IrInsn *x, const IrInsn *y)
{
    return kind(x) == kind(y) && x->a == y->a && x->b == y->b && x->c == y->c && x->imm == y->imm;
}

/* One order for the operands of commutative operations. Constants stay on the right, where rules and backends look. */
static void order_operands(const IrRegion *r, IrInsn *i)
{
    if ((ir_ops[i->op].flags & IRF_COMM) && i->a > i->b && ir_insn(r, i->b)->op != IR_CONST) {
        IrRef t = i->a;
        i->a = i->b;
        i->b = t;
    }
}

static bool dominates(const Numbers *n, const Numbered *e, uint32_t block)
{
    return e->block == block || n->dominates(n->ctx, e->block, block);
}

static Numbered *entry(Numbers *n, const IrInsn *i, unsigned aux)
{
    return &n->table[hash(i, aux) & n->mask];
}

/* Where FP comparisons of these two values meet, whatever they ask for. */
static Numbered *compared(Numbers *n, const IrInsn *i)
{
    return entry(n, i, i->aux & IR_SIGNALLING);
}

IrRef number_find(Numbers *n, uint32_t block, IrInsn *i, Numbered **at)
{
    order_operands(n->r, i);
    Numbered *e = *at = entry(n, i, i->aux);
    const IrInsn *other = ir_insn(n->r, e->ref);

    if (e->ref && same_but_aux(other, i) && other->aux == i->aux && dominates(n, e, block))
        return e->ref;
    if (i->op != IR_FCMP)
        return 0;
    e = compared(n, i);
    other = ir_insn(n->r, e->ref);
    if (e->ref && same_but_aux(other, i) && ((other->aux ^ i->aux) & IR_SIGNALLING) == 0 && dominates(n, e, block))
        i->flags |= IR_QUIET;
    return 0;
}

void number_enter(Numbers *n, uint32_t block, IrRef ref, Numbered *at)
{
    const IrInsn *i = ir_insn(n->r, ref);

    *at = (Numbered){ref, block};
    if (i->op == IR_FCMP && !(i->flags & IR_QUIET))
        *compared(n, i) = *at;
}

/* --- the pass ----------------------------------------------------------------------------------------------------- */

typedef struct Tree {
    uint32_t *pre, *size; /* by block: preorder number, blocks of its subtree */
} Tree;

static void number_tree(Tree *t, const IrRegion *r, const IrCfg *cfg)
{
    uint32_t *next = ARENA_ARRAY(r->arena, uint32_t, r->nblock);

    t->pre = ARENA_ARRAY(r->arena, uint32_t, r->nblock);
    t->size = ARENA_ARRAY(r->arena, uint32_t, r->nblock);
    for (uint32_t b = 0; b < r->nblock; b++)
        t->size[b] = 1;
    for (uint32_t k = cfg->n; k-- > 1;)
        t->size[cfg->idom[cfg->rpo[k]]] += t->size[cfg->rpo[k]];
    t->pre[0] = 0;
    next[0] = 1;
    for (uint32_t k = 1; k < cfg->n; k++) {
        uint32_t b = cfg->rpo[k], parent = cfg->idom[b];
        t->pre[b] = next[parent];
        next[parent] += t->size[b];
        next[b] = t->pre[b] + 1;
    }
}

static bool above(const void *tree, uint32_t d, uint32_t b)
{
    const Tree *t = tree;

    return t->pre[b] - t->pre[d] < t->size[d];
}

void opt_gvn(Opt *o)
{
    IrRegion *r = o->r;
    IrRef *map = opt_map(o);
    Numbers n;
    Tree t;
    bool any = false;

    number_init(&n, r, r->ninsn);
    number_tree(&t, r, o->g);
    n.dominates = above;
    n.ctx = &t;
    for (uint32_t k = 0; k < o->g->n; k++) {
        uint32_t b = o->g->rpo[k];
        for (IrRef ref = r->block[b].first, next; ref; ref = next) {
            IrInsn *i = ir_insn(r, ref);
            Numbered *at;
            next = i->next;
            opt_map_uses(r, i, map);
            if (!number_takes(i->op))
                continue;
            IrRef same = number_find(&n, b, i, &at);
            if (same) {
                map[ref] = same;
                any = true;
                ir_remove(r, b, ref);
            } else {
                number_enter(&n, b, ref, at);
            }
        }
    }
    if (any)
        opt_map_snaps(r, map);
}
