/*
 * Where values are to be on entry to a block of a graph: decided once, by the state at the end of the first predecessor that
 * is emitted and, at a loop's header, by what the loop wants.
 */
#include "host/x86_64/graph.h"

#include "base/check.h"

#include <string.h>

/* Registers that a loop's values may take; the rest is for what rules need in between. */
#define SPARE 1

bool graph_in_memory(const Sel *s, IrRef v)
{
    return ra_val(s, v)->spill || ra_val(s, v)->home;
}

static bool is_const(const Sel *s, IrRef v)
{
    return ra_val(s, v)->flags & VAL_CONST;
}

bool graph_is_param(const Sel *s, uint32_t block, IrRef v)
{
    const Graph *g = s->ra->g;
    return v < s->r->ninsn && s->r->insn[v].op == IR_PARAM && g->at[v] >= g->block[block].first &&
           g->at[v] <= g->block[block].last;
}

static bool is_x(const Sel *s, IrRef v)
{
    return plan_is_x(ra_type(s, v));
}

static uint64_t pool(const Sel *s, bool x)
{
    return x ? s->plan->pool_x : s->plan->pool_r;
}

static int room(const Sel *s, bool x)
{
    return __builtin_popcountll(pool(s, x)) - SPARE;
}

uint32_t graph_headed(const Graph *g, uint32_t b)
{
    uint32_t l = g->cfg->loop[b];
    return l != IR_NO_BLOCK && g->cfg->loops[l].header == b ? l : IR_NO_BLOCK;
}

uint64_t graph_distance(const Sel *s, IrRef v)
{
    const SelAlloc *ra = s->ra;
    const Graph *g = ra->g;
    uint32_t next = ra_next_use(s, v, false), u = ra->val[v].use, end = NEVER;
    uint32_t l = g->cfg->loop[g->block_at[ra->pos]];

    if (next == NEVER)
        return 1ull << 32;
    if (l != IR_NO_BLOCK)
        end = g->loop[l].end;
    for (unsigned k = 0; u && ra->use[u].soft && k < 8; k++)
        u = ra->use[u].next;
    if (!u || ra->use[u].pos > end)
        return (1ull << 24) + (u ? ra->use[u].pos : NEVER) - ra->pos;
    return ra->use[u].pos - ra->pos + 1;
}

/* --- lessons ------------------------------------------------------------------------------------------------------------- */

static const Lesson *lesson(const Sel *s, uint32_t loop, IrRef v)
{
    const Lessons *x = s->ra->lessons;
    for (uint32_t k = 0; k < x->n; k++)
        if (x->l[k].loop == loop && x->l[k].v == v)
            return &x->l[k];
    return NULL;
}

void graph_learn(Sel *s, uint32_t loop, IrRef v, bool out)
{
    Lessons *x = s->ra->lessons;
    Lesson *old = (Lesson *)lesson(s, loop, v);
    if (old && (old->out || !out))
        return;
    if (x->n == x->cap) {
        Lesson *l = ARENA_ARRAY(s->arena, Lesson, x->cap ? 2 * x->cap : 16);
        if (x->n)
            memcpy(l, x->l, x->n * sizeof *l);
        x->l = l;
        x->cap = x->cap ? 2 * x->cap : 16;
    }
    x->l[x->n++] = (Lesson){loop, v, out};
}

void graph_stored(Sel *s, IrRef v)
{
    const Graph *g = s->ra->g;
    uint32_t best = IR_NO_BLOCK;
    g->stored[v] = s->ra->pos;
    for (uint32_t l = g->cfg->loop[g->block_at[s->ra->pos]]; l != IR_NO_BLOCK; l = g->cfg->loops[l].parent)
        if (graph_bit(g->block[g->cfg->loops[l].header].in, v))
            best = l;
    if (best != IR_NO_BLOCK && !s->ra->depth)
        graph_learn(s, best, v, false);
}

/* --- live values ---------------------------------------------------------------------------------------------------------- */

/* Where a value that is live into block `to` is to be, by where it is now. */
static Place place_live(const Sel *s, uint32_t to, IrRef v)
{
    const Graph *g = s->ra->g;
    const Val *x = ra_val(s, v);
    Place p = {.v = v, .reg = x->reg, .mem = !is_const(s, v) && graph_in_memory(s, v)};
    if (p.reg != REG_NONE)
        p.bound = g->bound[p.reg];
    if (graph_npreds(g, to) < 2 || p.reg == REG_NONE)
        return p;
    /* what came about behind the last place that all ways here pass is hardly so on the others */
    uint32_t common = to ? g->block[g->cfg->idom[to]].last : 0;
    bool in_home = x->home && v < s->r->ninsn;
    if (p.bound > common && (is_const(s, v) || (p.mem && (in_home || g->stored[v] <= common))))
        p.reg = REG_NONE;
    else if (p.mem && !in_home && g->stored[v] > common)
        p.mem = false;
    return p;
}

/* --- parameters ----------------------------------------------------------------------------------------------------------- */

static unsigned free_reg(const Sel *s, IrRef v, uint64_t used)
{
    const HostPlan *plan = s->plan;
    unsigned hint = ra_val(s, v)->hint;
    uint64_t avail = pool(s, is_x(s, v)) & ~used;
    if (hint != REG_NONE && (avail & REG_BIT(hint)))
        return hint;
    if (avail & ~s->ra->used)
        avail &= ~s->ra->used;
    if (avail & plan->temps)
        avail &= plan->temps;
    return avail ? (unsigned)__builtin_ctzll(avail) : REG_NONE;
}

/* One without a use has no place: it would be given to others while edges still write there. */
static bool is_needed_param(const Sel *s, IrRef ref)
{
    const Val *x = ra_val(s, ref);

    return s->r->insn[ref].op == IR_PARAM && ra_root(s, ref) == ref && (x->flags & VAL_NEEDED) && x->use;
}

static IrRef arg_of(const Sel *s, IrRef args, IrRef param)
{
    return ra_root(s, s->r->pool[args + s->r->insn[param].imm]);
}

/* A parameter takes over the slot of an argument that is needed for nothing else from here on: then there is nothing to move. */
static void adopt_slot(Sel *s, IrRef param, IrRef arg)
{
    SelAlloc *ra = s->ra;
    Graph *g = ra->g;
    uint16_t slot = ra_val(s, arg)->spill;

    if (!slot || g->slot[arg] != slot || g->slot[param] || ra->spill_val[slot - 1] != arg || g->last[arg] > ra->pos ||
        ra_type(s, arg) != ra_type(s, param))
        return;
    g->slot[param] = slot;
    if (g->spill_last[slot - 1] < g->last[param])
        g->spill_last[slot - 1] = g->last[param];
    ra->spill_val[slot - 1] = param;
}

/* A parameter's slot is written at the loop's back-edges too. */
static void keep_slot(Sel *s, uint32_t to, IrRef param, IrRef arg)
{
    Graph *g = s->ra->g;
    adopt_slot(s, param, arg);
    unsigned slot = ra_graph_slot(s, param);
    uint32_t l = graph_headed(g, to);
    if (l != IR_NO_BLOCK && g->spill_last[slot] < g->loop[l].end)
        g->spill_last[slot] = g->loop[l].end;
    g->stored[param] = g->block[to].first;
}

/*
 * Registers: for parameters the argument's where that is free afterwards, else another one, else memory; then for values that
 * a loop wants in one, while there are any.
 */
static void give_registers(Sel *s, uint32_t to, IrRef args)
{
    GraphBlock *x = &s->ra->g->block[to];
    Place *end = &x->place[x->nplace];
    uint64_t used = 0;

    for (Place *p = x->place; p < end; p++)
        if (p->reg != REG_NONE)
            used |= REG_BIT(p->reg);
    for (Place *p = x->place; p < end; p++) {
        if (!p->want || p->out || !graph_is_param(s, to, p->v))
            continue;
        unsigned reg = ra_val(s, arg_of(s, args, p->v))->reg;
        if (reg == REG_NONE || (used & REG_BIT(reg)) || !(pool(s, is_x(s, p->v)) & REG_BIT(reg)))
            continue;
        p->reg = (uint8_t)reg;
        used |= REG_BIT(reg);
    }
    for (unsigned others = 0; others < 2; others++)
        for (Place *p = x->place; p < end; p++) {
            bool param = graph_is_param(s, to, p->v);
            if (!p->want || p->out || p->reg != REG_NONE || param == others)
                continue;
            p->reg = (uint8_t)free_reg(s, p->v, used);
            if (p->reg != REG_NONE)
                used |= REG_BIT(p->reg);
            else if (param)
                p->mem = true;
        }
}

/* --- loops ---------------------------------------------------------------------------------------------------------------- */

/* How much a loop wants a value in a register: its uses, those in inner loops the more. 0: it only lives through. */
static uint32_t loop_weight(const Sel *s, uint32_t l, IrRef v)
{
    const SelAlloc *ra = s->ra;
    const Graph *g = ra->g;
    const IrLoop *loop = &g->cfg->loops[l];
    uint32_t first = g->block[loop->header].first, w = 0;
    for (uint32_t u = ra->val[v].use; u && ra->use[u].pos <= g->loop[l].end; u = ra->use[u].next) {
        if (ra->use[u].pos < first || ra->use[u].soft || ra->use[u].turn)
            continue;
        uint32_t depth = ir_cfg_depth(g->cfg, g->block_at[ra->use[u].pos]) - loop->depth;
        w += 1u << (depth > 4 ? 12 : 3 * depth);
    }
    return w;
}

/* One that is part of an instruction, or a short one. */
static bool is_small_const(const Sel *s, IrRef v)
{
    IrVal c;
    return !is_x(s, v) && ra_const(s, v, &c) && (int64_t)c.u64[0] == (int32_t)c.u64[0];
}

/* What it costs to have a value in memory in loop `l`: uses in the loop above all, then a store before and a load behind it. */
static uint32_t memory_cost(const Sel *s, uint32_t l, const Place *p)
{
    uint32_t outer = s->ra->g->cfg->loops[l].parent;
    return 8 * p->weight + (p->mem ? 0 : 2) + (outer != IR_NO_BLOCK && loop_weight(s, outer, p->v) ? 2 : 0);
}

/*
 * Leave in memory, or put there before the loop, what it wants least, until the rest has registers.
 *   need   how many it should be
 *   idle   only such as the loop does not want at all
 */
static void lighten(Sel *s, uint32_t to, uint32_t l, bool x, unsigned need, bool idle)
{
    const Graph *g = s->ra->g;
    Place *p = g->block[to].place, *end = p + g->block[to].nplace;
    int over = (int)need - room(s, x);

    for (Place *q = p; q < end; q++)
        over -= is_x(s, q->v) == x && (q->out || (q->reg == REG_NONE && !q->weight));
    for (; over > 0; over--) {
        uint32_t best = UINT32_MAX;
        Place *least = NULL;
        for (Place *q = p; q < end; q++) {
            if (is_x(s, q->v) != x || q->out || (q->weight ? idle : q->reg == REG_NONE))
                continue;
            uint32_t cost = memory_cost(s, l, q);
            if (cost < best) {
                best = cost;
                least = q;
            }
        }
        if (!least)
            return;
        least->out = true;
    }
}

/* A loop's header. Values that it wants get registers, before the loop; what it will push out is stored before it, once. */
static void place_loop(Sel *s, uint32_t to, uint32_t l)
{
    Graph *g = s->ra->g;
    GraphBlock *b = &g->block[to];

    for (uint32_t k = 0; k < b->nplace; k++) {
        Place *p = &b->place[k];
        p->weight = is_small_const(s, p->v) ? 0 : loop_weight(s, l, p->v) + (graph_is_param(s, to, p->v) ? 2 : 0);
    }
    for (unsigned x = 0; x < 2; x++) {
        lighten(s, to, l, x, g->loop[l].own[x], false);
        lighten(s, to, l, x, g->loop[l].inner[x], true); /* else loops inside would, in each turn */
    }
    for (uint32_t k = 0; k < b->nplace; k++) {
        Place *p = &b->place[k];
        bool x = is_x(s, p->v), param = graph_is_param(s, to, p->v);
        const Lesson *known = lesson(s, l, p->v);
        p->want = p->weight != 0;
        p->out |= known && known->out && !param;
        if (p->out) {
            p->reg = REG_NONE;
            p->mem = !is_const(s, p->v);
        } else if (!param && !is_const(s, p->v) && (known || g->loop[l].inner[x] > room(s, x))) {
            p->mem = true;
        }
    }
}

/* --- hints ---------------------------------------------------------------------------------------------------------------- */

/* What ends in `reg` had best be there all along: an operation's first operand too, where it is used by that alone. */
static void hint_chain(Sel *s, IrRef v, unsigned reg, IrRef param, uint32_t from)
{
    const Graph *g = s->ra->g;
    for (unsigned depth = 0; depth < 4; depth++) {
        if (v >= s->r->ninsn || v == param || is_const(s, v) || g->at[v] < from || is_x(s, v) != (reg >= REG_X))
            return;
        ra_val(s, v)->hint = (uint8_t)reg;
        const IrInsn *i = &s->r->insn[v];
        if (i->op == IR_PARAM || ir_ops[i->op].arg[0] != IRR_T || ra_val(s, ra_root(s, i->a))->count != 1)
            return;
        v = ra_root(s, i->a);
    }
}

/* Whether a value comes about in the loop that block `head` is the header of. */
static bool is_made_in(const Sel *s, uint32_t head, IrRef v)
{
    const Graph *g = s->ra->g;
    return v < s->r->ninsn && !is_const(s, v) && g->at[v] >= g->block[head].first && s->r->insn[v].op != IR_GET &&
           g->at[v] <= g->loop[graph_headed(g, head)].end;
}

/* Tell the arguments of the edges that are still to come where they are wanted. */
static void hint_args(Sel *s, uint32_t to)
{
    const Graph *g = s->ra->g;
    const GraphBlock *x = &g->block[to];
    for (uint32_t k = g->cfg->pred_first[to]; k < g->cfg->pred_first[to + 1]; k++) {
        uint32_t p = g->cfg->pred[k], target, n;
        const IrInsn *i = &s->r->insn[s->r->block[p].last];
        if (g->block[p].last <= s->ra->pos)
            continue;
        for (unsigned e = 0; e < (i->op == IR_BRIF ? 2u : 1u); e++) {
            IrRef args = graph_args(s->r, i, e, &target, &n);
            for (uint32_t j = 0; target == to && j < x->nplace; j++) {
                IrRef v = x->place[j].v;
                if (!graph_is_param(s, to, v))
                    continue;
                if (x->place[j].reg != REG_NONE)
                    hint_chain(s, arg_of(s, args, v), x->place[j].reg, v, s->ra->pos);
                else if (graph_headed(g, to) != IR_NO_BLOCK && is_made_in(s, to, arg_of(s, args, v)))
                    g->becomes[arg_of(s, args, v)] = v;
            }
        }
    }
    for (uint32_t j = 0; j < x->nplace; j++)
        if (x->place[j].reg != REG_NONE)
            ra_val(s, x->place[j].v)->hint = x->place[j].reg;
}

/* --- all of it -------------------------------------------------------------------------------------------------------------- */

static void list_values(Sel *s, uint32_t to, bool keep_consts)
{
    Graph *g = s->ra->g;
    GraphBlock *x = &g->block[to];
    uint32_t n = s->r->block[to].nparams;

    for (uint32_t w = 0; w < g->words; w++)
        n += (uint32_t)__builtin_popcountll(x->in[w]);
    x->place = ARENA_ARRAY(s->arena, Place, n + 1);
    for (uint32_t w = 0; w < g->words; w++)
        for (uint64_t m = x->in[w]; m; m &= m - 1) {
            Place p = place_live(s, to, 64 * w + (uint32_t)__builtin_ctzll(m));
            if (p.reg != REG_NONE || p.mem || (keep_consts && is_x(s, p.v)))
                x->place[x->nplace++] = p;
        }
    if (graph_npreds(g, to) < 2)
        return;
    n = s->r->block[to].nparams;
    for (IrRef ref = s->r->block[to].first; n; ref = s->r->insn[ref].next) {
        if (s->r->insn[ref].op != IR_PARAM)
            continue;
        if (is_needed_param(s, ref))
            x->place[x->nplace++] = (Place){.v = ref, .reg = REG_NONE, .want = true, .bound = x->first};
        n--;
    }
}

void graph_place(Sel *s, uint32_t to, IrRef args)
{
    Graph *g = s->ra->g;
    GraphBlock *x = &g->block[to];
    uint32_t l = graph_headed(g, to);

    x->fixed = true;
    list_values(s, to, l != IR_NO_BLOCK);
    if (graph_npreds(g, to) < 2)
        return;
    if (l != IR_NO_BLOCK)
        place_loop(s, to, l);
    give_registers(s, to, args);
    for (uint32_t k = 0; k < x->nplace; k++) {
        IrRef v = x->place[k].v;
        if (x->place[k].mem && graph_is_param(s, to, v))
            keep_slot(s, to, v, arg_of(s, args, v));
        else if (x->place[k].mem && !graph_in_memory(s, v))
            g->stored[v] = x->first;
    }
    hint_args(s, to);
}
