/*
 * A NOTE at an address that is known does nothing when its line is the one that its place in the table has seen last
 * already: on every path there was a NOTE of the line, and none since that may have been of another one at that place.
 * What is fetched in a loop is mostly so from its second round on, and a loop's first NOTE moves in front of it.
 *
 * Forward over the blocks, to a fixed point: what is known where a block begins is what is known at the end of all that
 * lead to it.
 *
 * So does one of bytes that were noted before in the block, when all since were at the same base and near: what is added to
 * memory, fields of a structure, what is on the stack.
 */
#include "opt/pass.h"

#include <string.h>

enum { LINES_MAX = 24, ROUNDS_MAX = 12, TABLES_MAX = 4, NEAR_MAX = 8 };

/* A line that its place of a table has seen last. */
typedef struct Line {
    uint32_t table, place;
    uint64_t line;
} Line;

/* What is known at a point. */
typedef struct Lines {
    bool all; /* anything: no path leads here yet */
    unsigned n;
    Line line[LINES_MAX];
} Lines;

typedef struct Notes {
    IrRegion *r;
    const IrCfg *g;
    Lines *out; /* by block, at its end */
} Notes;

static const IrNote *note_of(const IrInsn *i)
{
    return (const IrNote *)(uintptr_t)i->imm;
}

/* Whether the line of a NOTE is known, and the only one of its access. */
static bool line_of(const IrRegion *r, const IrInsn *i, Line *to)
{
    const IrNote *n = note_of(i);
    uint64_t addr;

    if (n->forgets || !ir_is_const(r, i->a, &addr))
        return false;
    addr += n->disp;
    *to = (Line){n->table, ir_note_index(n, addr), addr & ~n->low};
    return ((addr + n->span) & ~n->low) == to->line;
}

static bool knows(const Lines *l, const Line *x)
{
    for (unsigned k = 0; k < l->n; k++)
        if (l->line[k].table == x->table && l->line[k].line == x->line)
            return true;
    return l->all;
}

/* Forget what a NOTE of x, or (NULL) of anything in that table, may push back. */
static void forget(Lines *l, uint32_t table, const Line *x)
{
    unsigned n = 0;

    for (unsigned k = 0; k < l->n; k++)
        if (l->line[k].table != table || (x && l->line[k].place != x->place))
            l->line[n++] = l->line[k];
    l->n = n;
}

/* Go past a NOTE; whether it does nothing. */
static bool pass(const IrRegion *r, Lines *l, const IrInsn *i)
{
    Line x;

    if (!line_of(r, i, &x)) {
        forget(l, note_of(i)->table, NULL);
        return false;
    }
    if (knows(l, &x))
        return true;
    forget(l, x.table, &x);
    if (l->n < LINES_MAX)
        l->line[l->n++] = x;
    return false;
}

/* At the beginning of a block. */
static void enter(const Notes *s, uint32_t block, Lines *l)
{
    const IrCfg *g = s->g;

    l->n = 0;
    l->all = block != 0;
    for (uint32_t k = g->pred_first[block]; l->all && k < g->pred_first[block + 1]; k++)
        if (!s->out[g->pred[k]].all)
            *l = s->out[g->pred[k]];
    for (uint32_t k = g->pred_first[block]; k < g->pred_first[block + 1]; k++) {
        unsigned n = 0;
        for (unsigned m = 0; m < l->n; m++)
            if (knows(&s->out[g->pred[k]], &l->line[m]))
                l->line[n++] = l->line[m];
        l->n = n;
    }
}

/* Through one block. `remove`: take out what does nothing. */
static void walk(Notes *s, uint32_t block, Lines *l, bool remove)
{
    IrRegion *r = s->r;

    for (IrRef ref = r->block[block].first, next; ref; ref = next) {
        const IrInsn *i = ir_insn(r, ref);
        next = i->next;
        if (i->op == IR_NOTE && pass(r, l, i) && remove)
            ir_remove(r, block, ref);
    }
}

/* False: it takes too long. */
static bool settle(Notes *s)
{
    bool changed = true;

    for (uint32_t b = 0; b < s->r->nblock; b++)
        s->out[b] = (Lines){.all = true};
    for (unsigned round = 0; changed && round < ROUNDS_MAX; round++) {
        changed = false;
        for (uint32_t k = 0; k < s->g->n; k++) {
            uint32_t b = s->g->rpo[k];
            Lines l;
            enter(s, b, &l);
            walk(s, b, &l, false);
            changed |= l.all != s->out[b].all || l.n != s->out[b].n;
            s->out[b] = l;
        }
    }
    return !changed;
}

/* The first NOTE of a block, if nothing before it can be told from what comes after; else 0. */
static IrRef leading(const IrRegion *r, uint32_t block)
{
    for (IrRef ref = r->block[block].first; ref; ref = ir_insn(r, ref)->next) {
        const IrInsn *i = ir_insn(r, ref);
        if (i->op == IR_NOTE)
            return ref;
        if ((ir_ops[i->op].flags & (IRF_SNAP | IRF_END)) || i->op == IR_ROOM)
            return 0;
    }
    return 0;
}

/* Whether all ways back to the header of loop `l` know x; *before: the block in front, which leads nowhere else. */
static bool comes_back(const Notes *s, const IrLoop *l, const Line *x, uint32_t *before)
{
    const IrCfg *g = s->g;

    *before = IR_NO_BLOCK;
    for (uint32_t k = g->pred_first[l->header]; k < g->pred_first[l->header + 1]; k++) {
        uint32_t p = g->pred[k];
        if (g->at[p] != IR_NO_BLOCK && g->at[p] >= l->first && g->at[p] <= l->last) {
            if (!knows(&s->out[p], x))
                return false;
        } else if (*before != IR_NO_BLOCK) {
            return false;
        } else {
            *before = p;
        }
    }
    return *before != IR_NO_BLOCK && ir_insn(s->r, s->r->block[*before].last)->op == IR_BR;
}

/* Move what each round would find known, but for the first, in front of the loop. */
static bool hoist(Notes *s)
{
    IrRegion *r = s->r;
    bool moved = false;

    for (uint32_t k = s->g->nloops; k--;) { /* inner ones first: it may go further */
        const IrLoop *l = &s->g->loops[k];
        IrRef ref = leading(r, l->header);
        uint32_t before;
        Line x;
        if (!ref || !line_of(r, ir_insn(r, ref), &x) || !comes_back(s, l, &x, &before))
            continue;
        IrInsn note = *ir_insn(r, ref);
        note.a = ir_insn_new(r, &(IrInsn){.op = IR_CONST, .type = IR_I64, .imm = ir_insn(r, note.a)->imm});
        ir_remove(r, l->header, ref);
        IrRef end = r->block[before].last;
        ir_link_before(r, before, end, note.a);
        ir_link_before(r, before, end, ir_insn_new(r, &note));
        moved = true;
    }
    return moved;
}

/* --- what was noted before in a block ----------------------------------------------------------------------------------- */

/* What a table has noted last, all at one base: of each the line is what its set has used last. */
typedef struct Near {
    uint32_t table; /* 0: none */
    IrRef base;
    unsigned n;
    struct Bytes {
        int64_t first, last;
    } bytes[NEAR_MAX];
} Near;

/* Whether bytes so far apart that are not on one line are of different sets: the one does not push back the other. */
static bool apart(const IrNote *n, const struct Bytes *x, const struct Bytes *y)
{
    int64_t first = x->first < y->first ? x->first : y->first, last = x->last > y->last ? x->last : y->last;
    uint64_t sets = (n->mask >> n->place_bits) + 1, size = n->low + 1;

    return last >= first && sets >= 2 && (uint64_t)(last - first) <= (sets - 2) * size;
}

/* Go past a NOTE; whether it does nothing. */
static bool near_pass(Near *l, const IrInsn *i)
{
    const IrNote *n = note_of(i);
    struct Bytes x = {(int64_t)n->disp, (int64_t)(n->disp + n->span)};
    unsigned kept = 0;

    if (l->table != n->table || l->base != i->a)
        *l = (Near){.table = n->table, .base = i->a};
    for (unsigned k = 0; k < l->n; k++)
        if (x.first >= l->bytes[k].first && x.last <= l->bytes[k].last && x.last >= x.first)
            return true;
    for (unsigned k = 0; k < l->n; k++)
        if (apart(n, &l->bytes[k], &x))
            l->bytes[kept++] = l->bytes[k];
    if (kept == NEAR_MAX)
        memmove(l->bytes, l->bytes + 1, --kept * sizeof *l->bytes);
    l->bytes[kept++] = x;
    l->n = kept;
    return false;
}

static void near_block(IrRegion *r, uint32_t block)
{
    Near list[TABLES_MAX] = {{0}};

    for (IrRef ref = r->block[block].first, next; ref; ref = next) {
        const IrInsn *i = ir_insn(r, ref);
        unsigned at = 0;
        next = i->next;
        if (i->op != IR_NOTE || note_of(i)->forgets || note_of(i)->mask == 0)
            continue;
        while (at < TABLES_MAX - 1 && list[at].table && list[at].table != note_of(i)->table)
            at++;
        if (near_pass(&list[at], i))
            ir_remove(r, block, ref);
    }
}

/* Whether there is anything to be had: two NOTEs at known addresses, or one in a loop. */
static bool worthwhile(const Notes *s)
{
    unsigned n = 0;
    Line x;

    for (uint32_t k = 0; k < s->g->n; k++)
        for (IrRef ref = s->r->block[s->g->rpo[k]].first; ref; ref = ir_insn(s->r, ref)->next)
            if (ir_insn(s->r, ref)->op == IR_NOTE && line_of(s->r, ir_insn(s->r, ref), &x))
                n += 1 + (s->g->nloops > 0);
    return n > 1;
}

void opt_notes(Opt *o)
{
    Notes s = {.r = o->r, .g = o->g};

    for (uint32_t k = 0; k < s.g->n; k++)
        near_block(s.r, s.g->rpo[k]);
    if (!worthwhile(&s))
        return;
    s.out = ARENA_ARRAY(o->r->arena, Lines, o->r->nblock);
    if (!settle(&s) || (hoist(&s) && !settle(&s)))
        return;
    for (uint32_t k = 0; k < s.g->n; k++) {
        Lines l;
        enter(&s, s.g->rpo[k], &l);
        walk(&s, s.g->rpo[k], &l, true);
    }
}
