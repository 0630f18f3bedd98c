/*
 * The edges of a graph region: what a block expects where, and the moves that make it so. Moves of one edge are parallel: a
 * location is written when nobody has still to read it; cycles are opened through a word of scratch.
 */
#include "host/x86_64/emit.h"
#include "host/x86_64/graph.h"

#include "base/check.h"
#include "host/x86_64/asm_vec.h"

#include <string.h>

/* Locations: registers, with those that are spill places; other spill places; then what is read or written on its own. */
enum { LOC_SPILL = REG_COUNT, LOC_COUNT = LOC_SPILL + SPILL_PLACES, LOC_HOME, LOC_CONST, LOC_TEMP };

typedef struct Move {
    uint16_t to, from;
    IrRef v;    /* what is moved */
    bool clear; /* the upper half, which the parameter's type has not */
} Move;

typedef struct Moves {
    Sel *s;
    Move *m;
    unsigned n;
    uint64_t taken;           /* registers that hold something, before or after */
    uint8_t readers[LOC_COUNT];
} Moves;

/* --- moves -------------------------------------------------------------------------------------------------------------- */

static unsigned loc_spill(unsigned place)
{
    return ra_high(place) != REG_NONE ? ra_high(place) : LOC_SPILL + place;
}

static unsigned where(const Sel *s, IrRef v)
{
    const Val *x = ra_val(s, v);
    if (x->reg != REG_NONE)
        return x->reg;
    if (x->flags & VAL_CONST)
        return LOC_CONST;
    CHECK(x->spill || x->home);
    return x->spill ? loc_spill(x->spill - 1u) : LOC_HOME;
}

static void add_move(Moves *m, unsigned to, unsigned from, IrRef v, bool clear)
{
    if (from < REG_COUNT)
        m->taken |= REG_BIT(from);
    if (to < REG_COUNT)
        m->taken |= REG_BIT(to);
    if (to == from && !clear)
        return;
    if (from < LOC_COUNT && to != from)
        m->readers[from]++;
    m->m[m->n++] = (Move){(uint16_t)to, (uint16_t)from, v, clear};
}

static IrRef arg_of(const Sel *s, IrRef args, IrRef param)
{
    return ra_root(s, s->r->pool[args + s->r->insn[param].imm]);
}

static void collect_moves(Moves *m, uint32_t to, IrRef args)
{
    Sel *s = m->s;
    const GraphBlock *x = &s->ra->g->block[to];
    for (uint32_t k = 0; k < x->nplace; k++) {
        const Place *p = &x->place[k];
        if (graph_is_param(s, to, p->v)) {
            IrRef arg = arg_of(s, args, p->v);
            bool clear = ra_type(s, p->v) == IR_I32 && ra_type(s, arg) != IR_I32;
            add_move(m, p->mem ? loc_spill(s->ra->g->slot[p->v] - 1u) : p->reg, where(s, arg), arg, clear);
            continue;
        }
        unsigned from = where(s, p->v);
        if (p->reg != REG_NONE)
            add_move(m, p->reg, from, p->v, false);
        if (p->reg != REG_NONE && ra_val(s, p->v)->reg == REG_NONE && !p->weight && s->ra->pos > x->first && graph_headed(s->ra->g, to) != IR_NO_BLOCK)
            graph_learn(s, graph_headed(s->ra->g, to), p->v, true);
        if (p->mem && !graph_in_memory(s, p->v))
            add_move(m, p->v >= s->r->ninsn ? LOC_HOME : loc_spill(ra_graph_slot(s, p->v)), where(s, p->v), p->v, false);
    }
}

static Mem loc_mem(const Sel *s, unsigned loc, IrRef v)
{
    if (loc == LOC_TEMP)
        return plan_scratch(2);
    if (loc < LOC_COUNT)
        return ra_spill_mem(loc - LOC_SPILL);
    if (v >= s->r->ninsn)
        return plan_slot(s->plan, s->plan->pin[v - s->r->ninsn].slot);
    return plan_slot(s->plan, ra_val(s, v)->home - 1u);
}

static void load_reg(Sel *s, const Move *m)
{
    Gpr to = {(uint8_t)m->to};
    IrVal c;
    if (m->from == LOC_CONST) {
        ra_const(s, m->v, &c);
        if (m->clear)
            c.u64[0] = (uint32_t)c.u64[0];
        ra_load_const(s, m->to, &c);
    } else if (m->from >= REG_COUNT && m->clear) {
        x64_mov_rm(s->a, W32, to, loc_mem(s, m->from, m->v));
    } else if (m->from >= REG_COUNT) {
        ra_load_memory(s, m->to, ra_type(s, m->v), m->from != LOC_HOME, loc_mem(s, m->from, m->v));
    } else if (m->clear) {
        x64_mov_rr(s->a, W32, to, (Gpr){(uint8_t)m->from});
    } else {
        ra_move(s, m->to, m->from);
    }
}

/* To memory, from a register. */
static void store_mem(Sel *s, Mem to, unsigned reg, bool clear)
{
    if (!clear) {
        ra_store_reg(s, to, reg);
        return;
    }
    x64_mov_mr(s->a, W32, to, (Gpr){(uint8_t)reg});
    to.disp += 4;
    x64_mov_mi(s->a, W32, to, 0);
}

/* To memory from elsewhere: through a free register, or rax, which is kept. */
static void copy_mem(Moves *all, const Move *m)
{
    Sel *s = all->s;
    bool x = plan_is_x(ra_type(s, m->v));
    uint64_t pool = (x ? s->plan->pool_x : s->plan->pool_r) & ~all->taken;
    Mem to = loc_mem(s, m->to, m->v), from;
    IrVal c;
    if (m->from == LOC_CONST && !x && ra_const(s, m->v, &c) && c.u64[0] <= INT32_MAX) {
        x64_mov_mi(s->a, W64, to, (int32_t)c.u64[0]);
        return;
    }
    if (pool) {
        Move load = {(uint16_t)__builtin_ctzll(pool), m->from, m->v, m->clear};
        load_reg(s, &load);
        ra_store_reg(s, to, load.to);
        return;
    }
    x64_mov_mr(s->a, W64, plan_scratch(0), RAX);
    if (!x) {
        Move load = {(uint16_t)RAX.n, m->from, m->v, m->clear};
        load_reg(s, &load);
        x64_mov_mr(s->a, W64, to, RAX);
    } else {
        from = m->from == LOC_CONST && ra_const(s, m->v, &c) ? sel_vconst(s, c.u64[0], c.u64[1]) : loc_mem(s, m->from, m->v);
        for (unsigned k = 0; k < 2; k++, to.disp += 8, from.disp += 8) {
            x64_mov_rm(s->a, W64, RAX, from);
            x64_mov_mr(s->a, W64, to, RAX);
        }
    }
    x64_mov_rm(s->a, W64, RAX, plan_scratch(0));
}

static void emit_move(Moves *all, const Move *m)
{
    asm_room(all->s->a);
    if (m->to < REG_COUNT)
        load_reg(all->s, m);
    else if (m->from < REG_COUNT)
        store_mem(all->s, loc_mem(all->s, m->to, m->v), m->from, m->clear);
    else
        copy_mem(all, m);
    if (m->from < LOC_COUNT && m->from != m->to)
        all->readers[m->from]--;
}

/* All that is left are cycles: what the first one reads is read from a free register, or from scratch. */
static void open_cycle(Moves *all)
{
    Move *m = all->m;
    while (m->from >= LOC_COUNT || m->from == m->to)
        m++;
    bool x = plan_is_x(ra_type(all->s, m->v));
    uint64_t pool = (x ? all->s->plan->pool_x : all->s->plan->pool_r) & ~all->taken;
    unsigned temp = pool ? (unsigned)__builtin_ctzll(pool) : LOC_TEMP;
    Move save = {.to = (uint16_t)temp, .from = m->from, .v = m->v};
    emit_move(all, &save);
    m->from = (uint16_t)temp;
    if (pool) {
        all->taken |= REG_BIT(temp);
        all->readers[temp]++;
    }
}

static void run_moves(Moves *all)
{
    while (all->n) {
        unsigned kept = 0;
        for (unsigned k = 0; k < all->n; k++) {
            Move *m = &all->m[k];
            if (m->to < LOC_COUNT && all->readers[m->to])
                all->m[kept++] = *m;
            else
                emit_move(all, m);
        }
        if (kept == all->n)
            open_cycle(all);
        all->n = kept;
    }
}

static Moves *edge_moves(Sel *s, const IrInsn *branch, unsigned edge)
{
    uint32_t to, n;
    IrRef args = graph_args(s->r, branch, edge, &to, &n);
    GraphBlock *x = &s->ra->g->block[to];
    if (!x->fixed)
        graph_place(s, to, args);
    Moves *m = ARENA_NEW(s->arena, Moves);
    m->s = s;
    m->m = ARENA_ARRAY(s->arena, Move, 2 * x->nplace + 1);
    collect_moves(m, to, args);
    return m;
}

void graph_start(Sel *s)
{
    if (graph_npreds(s->ra->g, 0) > 1)
        graph_place(s, 0, 0);
    else
        s->ra->g->block[0].fixed = true;
}

bool graph_edge_moves(Sel *s, const IrInsn *branch, unsigned edge)
{
    return edge_moves(s, branch, edge)->n != 0;
}

void graph_edge(Sel *s, const IrInsn *branch, unsigned edge)
{
    run_moves(edge_moves(s, branch, edge));
}

/* --- entering a block ----------------------------------------------------------------------------------------------------- */

void graph_enter(Sel *s, uint32_t block)
{
    SelAlloc *ra = s->ra;
    Graph *g = ra->g;
    const GraphBlock *x = &g->block[block];

    CHECK(x->fixed);
    if (block || x->nplace)
        ra_forget(s);
    for (uint32_t k = 0; k < x->nplace; k++) {
        const Place *p = &x->place[k];
        Val *v = &ra->val[p->v];
        if (p->reg != REG_NONE) {
            ra_bind(ra, p->reg, p->v);
            g->bound[p->reg] = p->bound;
        }
        if (p->v >= s->r->ninsn)
            v->home = p->mem ? (uint16_t)(s->plan->pin[p->v - s->r->ninsn].slot + 1) : 0;
        else if (!(v->flags & VAL_CONST) && !v->home)
            v->spill = p->mem ? g->slot[p->v] : 0;
    }
    ra->locked = 0;
    ra->pos = x->first;
    ra->block_end = x->last;
    ra->live_out = x->out;
}
