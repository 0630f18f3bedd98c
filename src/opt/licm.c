/*
 * Loop-invariant operations go to the block in front of the loop: pure ones whose operands come from outside, to the outermost
 * loop of which that is true. Preheaders are there (opt_preheaders). Not moved: constants, which the host makes again
 * wherever it wants them; comparisons, which are one with their branches, and flags; width changes that cost nothing. FP
 * operations stay because they may raise flags, loads because they may fault.
 *
 * A value that is kept over a whole loop takes a register there. So cheap operations move only while a loop needs few
 * registers; what costs more than a reload moves always.
 */
#include "opt/pass.h"

#include <string.h>

/* Registers of one kind that values from outside, and the loop's own parameters, may take before cheap operations stay. */
enum { FEW = 9, FEW_VECTORS = 10 };

typedef struct Licm {
    Opt *o;
    IrRegion *r;
    uint32_t *home;        /* by value: its block */
    unsigned (*need)[2];   /* by loop: registers needed all through it, of integers and vectors */
} Licm;

static bool is_const_op(const IrInsn *i)
{
    return i->op == IR_CONST || i->op == IR_VCONST;
}

static bool is_vector(const IrInsn *i)
{
    return i->type == IR_V128 || ir_type_is_float((IrType)i->type);
}

static bool may_move(const IrInsn *i)
{
    if (!(ir_ops[i->op].flags & IRF_PURE) || is_const_op(i))
        return false;
    switch (i->op) {
    case IR_PARAM: case IR_ICMP: case IR_SUB_V: case IR_ADD_V: case IR_ADD_C: case IR_ADC_V: case IR_ADC_C: case IR_TRUNC:
        return false;
    default:
        return i->type != IR_I8;
    }
}

/* What a reload from memory would be no dearer than. */
static bool cheap(const IrInsn *i)
{
    switch (i->op) {
    case IR_ADD: case IR_SUB: case IR_AND: case IR_OR: case IR_XOR: case IR_ANDN: case IR_NOT: case IR_NEG: case IR_SHL:
    case IR_SHR: case IR_SAR: case IR_ROR: case IR_ZEXT: case IR_SEXT: case IR_UBFX: case IR_SBFX:
        return true;
    default:
        return false;
    }
}

/* --- registers that a loop needs ---------------------------------------------------------------------------------- */

typedef struct Count {
    Licm *m;
    uint32_t loop;
    uint32_t *seen;   /* by value: the last loop for which it was counted, plus one */
} Count;

static void count_use(void *ctx, IrRef *use)
{
    Count *c = ctx;
    const IrInsn *i = ir_insn(c->m->r, *use);

    if (is_const_op(i) || ir_cfg_in_loop(c->m->o->g, c->loop, c->m->home[*use]) || c->seen[*use] == c->loop + 1)
        return;
    c->seen[*use] = c->loop + 1;
    c->m->need[c->loop][is_vector(i)]++;
}

static void count_needs(Licm *m)
{
    const IrCfg *g = m->o->g;
    IrRegion *r = m->r;
    Count c = {.m = m, .seen = arena_zalloc(r->arena, r->ninsn * sizeof *c.seen)};

    for (c.loop = 0; c.loop < g->nloops; c.loop++) {
        const IrLoop *l = &g->loops[c.loop];
        for (uint32_t k = l->first; k <= l->last; k++)
            for (IrRef ref = r->block[g->rpo[k]].first; ref; ref = ir_insn(r, ref)->next)
                if (ir_insn(r, ref)->op != IR_PARAM)
                    ir_each_use(r, ir_insn(r, ref), count_use, &c);
        for (IrRef ref = r->block[l->header].first; ir_insn(r, ref)->op == IR_PARAM; ref = ir_insn(r, ref)->next)
            m->need[c.loop][is_vector(ir_insn(r, ref))]++;
    }
}

/* --- moving ------------------------------------------------------------------------------------------------------- */

typedef struct Outside {
    const Licm *m;
    uint32_t loop;
    bool all;
} Outside;

static void is_outside(void *ctx, IrRef *use)
{
    Outside *c = ctx;

    if (!is_const_op(ir_insn(c->m->r, *use)) && ir_cfg_in_loop(c->m->o->g, c->loop, c->m->home[*use]))
        c->all = false;
}

/* The block in front of a loop: its header's one predecessor outside, if it goes nowhere else. */
static uint32_t preheader(const Licm *m, uint32_t loop)
{
    const IrCfg *g = m->o->g;
    uint32_t h = g->loops[loop].header, found = IR_NO_BLOCK;

    for (uint32_t p = g->pred_first[h]; p < g->pred_first[h + 1]; p++) {
        if (ir_cfg_in_loop(g, loop, g->pred[p]))
            continue;
        if (found != IR_NO_BLOCK)
            return IR_NO_BLOCK;
        found = g->pred[p];
    }
    return found != IR_NO_BLOCK && ir_insn(m->r, m->r->block[found].last)->op == IR_BR ? found : IR_NO_BLOCK;
}

/* Whether the operation may leave this loop: for the block in front of it. */
static uint32_t way_out(const Licm *m, uint32_t loop, IrInsn *i)
{
    Outside c = {m, loop, true};
    bool vec = is_vector(i);

    ir_each_use(m->r, i, is_outside, &c);
    if (!c.all || (cheap(i) && m->need[loop][vec] >= (vec ? FEW_VECTORS : FEW)))
        return IR_NO_BLOCK;
    return preheader(m, loop);
}

typedef struct Bring {
    Licm *m;
    uint32_t to;
} Bring;

static void move(Licm *m, uint32_t from, IrRef ref, uint32_t to)
{
    ir_unlink(m->r, from, ref);
    ir_link_before(m->r, to, m->r->block[to].last, ref);
    m->home[ref] = to;
}

/* A constant operand comes along, unless it is defined further up. */
static void bring_const(void *ctx, IrRef *use)
{
    Bring *b = ctx;

    if (is_const_op(ir_insn(b->m->r, *use)) && !ir_cfg_dominates(b->m->o->g, b->m->home[*use], b->to))
        move(b->m, b->m->home[*use], *use, b->to);
}

static void try_move(Licm *m, uint32_t block, IrRef ref)
{
    const IrCfg *g = m->o->g;
    IrInsn *i = ir_insn(m->r, ref);
    uint32_t to = IR_NO_BLOCK;

    for (uint32_t l = g->loop[block]; l != IR_NO_BLOCK; l = g->loops[l].parent) {
        uint32_t out = way_out(m, l, i);
        if (out == IR_NO_BLOCK)
            break;
        to = out;
        m->need[l][is_vector(i)]++;
    }
    if (to == IR_NO_BLOCK)
        return;
    Bring b = {m, to};
    ir_each_use(m->r, i, bring_const, &b);
    move(m, block, ref, to);
}

void opt_licm(Opt *o)
{
    IrRegion *r = o->r;
    const IrCfg *g = o->g;
    Licm m = {.o = o, .r = r};

    if (g->nloops == 0)
        return;
    m.home = ARENA_ARRAY(r->arena, uint32_t, r->ninsn);
    m.need = arena_zalloc(r->arena, g->nloops * sizeof *m.need);
    for (uint32_t k = 0; k < g->n; k++)
        for (IrRef ref = r->block[g->rpo[k]].first; ref; ref = ir_insn(r, ref)->next)
            m.home[ref] = g->rpo[k];
    count_needs(&m);
    for (uint32_t k = 0; k < g->n; k++) {
        uint32_t b = g->rpo[k];
        for (IrRef ref = r->block[b].first, next; ref; ref = next) {
            next = ir_insn(r, ref)->next;
            if (g->loop[b] != IR_NO_BLOCK && may_move(ir_insn(r, ref)))
                try_move(&m, b, ref);
        }
    }
}
