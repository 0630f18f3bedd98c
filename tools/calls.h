/*
 * For tools that follow calls: a stack of functions for each thread, and for every call site and function called from it how
 * often and at what cost, its own and that of what it called in turn.
 *
 * Translated code records what may call, return or jump elsewhere (CallRecord); that is worked off in order for each thread.
 * A frame is gone when its return address is returned to, or when the stack pointer is above it (longjmp, exceptions). A
 * jump to the beginning of a function is a call from the same frame: both return at once.
 */
#ifndef TOOLS_CALLS_H
#define TOOLS_CALLS_H

#include "dragoman/plugin.h"

#include <stdlib.h>
#include <string.h>

#define COSTS_MAX 9
#define TAILS_MAX 32 /* jumps from function to function, one upon the other, that are told apart */

typedef struct CallSite {
    uint64_t pc, ret;      /* ret: where a call returns to */
    uint64_t start, end;   /* of the function that it is in; end 0: of none */
} CallSite;

typedef struct Arc {
    uint64_t from, to; /* of the instruction, and of what it calls */
    uint64_t count, cost[COSTS_MAX];
    uint32_t callee; /* number in Calls.active */
} Arc;

typedef struct Frame {
    uint64_t ret, sp; /* sp 0: not known yet */
    uint64_t cost[COSTS_MAX];
    uint32_t arc;
    uint32_t tails; /* how many frames from here down came about by a jump; 0: by a call */
} Frame;

/* Of one thread. */
typedef struct Calls {
    Arc *arc;
    uint32_t narc, cap_arc, *slot, slots;
    uint32_t *active; /* by callee: frames of it */
    uint32_t ncallee, cap_callee;
    Frame *frame;
    uint32_t depth, cap_frame;
    uint64_t now[COSTS_MAX];
    unsigned costs; /* how many there are of each */
    bool missed_last; /* the access recorded last has missed the last level: callgrind.c */
} Calls;

/* --- arcs ----------------------------------------------------------------------------------------------------------- */

static inline uint32_t arc_slot(const Calls *c, uint64_t from, uint64_t to)
{
    uint64_t hash = (from * 0x9e3779b97f4a7c15u) ^ (to * 0xc2b2ae3d27d4eb4fu);
    uint32_t at = (uint32_t)(hash >> 36) & (c->slots - 1);

    while (c->slot[at] && (c->arc[c->slot[at] - 1].from != from || c->arc[c->slot[at] - 1].to != to))
        at = (at + 1) & (c->slots - 1);
    return at;
}

static inline bool arcs_grow(Calls *c)
{
    uint32_t slots = c->slots ? 2 * c->slots : 1 << 10, *slot = calloc(slots, sizeof *slot);
    Arc *arc = realloc(c->arc, slots / 2 * sizeof *arc);

    if (arc)
        c->arc = arc;
    if (!arc || !slot) {
        free(slot);
        return false;
    }
    free(c->slot);
    c->slot = slot;
    c->slots = slots;
    c->cap_arc = slots / 2;
    for (uint32_t k = 0; k < c->narc; k++)
        c->slot[arc_slot(c, c->arc[k].from, c->arc[k].to)] = k + 1;
    return true;
}

static inline uint32_t callee_number(Calls *c, uint64_t to)
{
    for (uint32_t k = 0; k < c->narc; k++) /* an arc is made seldom */
        if (c->arc[k].to == to)
            return c->arc[k].callee;
    if (c->ncallee == c->cap_callee) {
        uint32_t cap = c->cap_callee ? 2 * c->cap_callee : 256;
        uint32_t *active = realloc(c->active, cap * sizeof *active);
        if (!active)
            return UINT32_MAX;
        c->active = active;
        c->cap_callee = cap;
    }
    c->active[c->ncallee] = 0;
    return c->ncallee++;
}

/* UINT32_MAX: no memory. */
static inline uint32_t arc_find(Calls *c, uint64_t from, uint64_t to)
{
    if (c->narc == c->cap_arc && !arcs_grow(c))
        return UINT32_MAX;
    uint32_t at = arc_slot(c, from, to);
    if (!c->slot[at]) {
        uint32_t callee = callee_number(c, to);
        if (callee == UINT32_MAX)
            return UINT32_MAX;
        Arc *a = &c->arc[c->narc];
        memset(a, 0, sizeof *a);
        a->from = from;
        a->to = to;
        a->callee = callee;
        c->slot[at] = ++c->narc;
    }
    return c->slot[at] - 1;
}

/* --- frames --------------------------------------------------------------------------------------------------------- */

static inline void calls_push(Calls *c, uint64_t from, uint64_t to, uint64_t ret, uint64_t sp, bool tail)
{
    uint32_t arc = arc_find(c, from, to);

    if (c->depth == c->cap_frame) {
        uint32_t cap = c->cap_frame ? 2 * c->cap_frame : 256;
        Frame *more = realloc(c->frame, cap * sizeof *more);
        if (!more)
            return;
        c->frame = more;
        c->cap_frame = cap;
    }
    if (arc == UINT32_MAX)
        return;
    Frame *f = &c->frame[c->depth++];
    f->ret = ret;
    f->sp = sp;
    f->arc = arc;
    f->tails = tail ? c->depth > 1 ? f[-1].tails + 1 : 1 : 0;
    for (unsigned k = 0; k < c->costs; k++)
        f->cost[k] = c->now[k];
    c->arc[arc].count++;
    c->active[c->arc[arc].callee]++;
}

/* What a function costs that calls itself, however indirectly, is counted when the first of its frames ends. */
static inline void calls_pop(Calls *c)
{
    const Frame *f = &c->frame[--c->depth];
    Arc *a = &c->arc[f->arc];

    if (--c->active[a->callee] == 0)
        for (unsigned k = 0; k < c->costs; k++)
            a->cost[k] += c->now[k] - f->cost[k];
}

/* Frames below the stack pointer are gone. */
static inline void calls_unwind(Calls *c, uint64_t sp)
{
    while (c->depth) {
        Frame *f = &c->frame[c->depth - 1];
        if (!f->sp)
            f->sp = sp;
        if (f->sp >= sp)
            break;
        calls_pop(c);
    }
}

/* A function calls from where it has called before: what it called then has not returned, but is gone (longjmp). */
static inline void calls_again(Calls *c, const CallSite *s, uint64_t sp)
{
    for (uint32_t depth = c->depth; depth && c->frame[depth - 1].sp == sp; depth--) {
        uint64_t from = c->arc[c->frame[depth - 1].arc].from;
        if (c->frame[depth - 1].tails || from < s->start || from >= s->end)
            continue;
        while (c->depth >= depth)
            calls_pop(c);
        return;
    }
}

static inline void calls_call(Calls *c, const CallSite *s, uint64_t to, uint64_t sp)
{
    calls_unwind(c, sp);
    calls_again(c, s, sp);
    calls_push(c, s->pc, to, s->ret, sp, false);
}

static inline void calls_return(Calls *c, uint64_t to, uint64_t sp)
{
    uint32_t depth;

    calls_unwind(c, sp);
    for (depth = c->depth; depth && c->frame[depth - 1].sp == sp; depth--)
        if (c->frame[depth - 1].ret == to && !c->frame[depth - 1].tails)
            break;
    if (!depth || c->frame[depth - 1].sp != sp)
        return;
    while (c->depth >= depth)
        calls_pop(c);
}

/* A jump out of the function: to another's beginning, or from code of no function (a linkage stub), which the call was meant for. */
static inline void calls_jump(Calls *c, const CallSite *s, uint64_t to, uint64_t sp, bool begins)
{
    calls_unwind(c, sp);
    Frame *f = c->depth ? &c->frame[c->depth - 1] : NULL;
    if (f && !s->end && !f->tails) {
        uint32_t arc = arc_find(c, c->arc[f->arc].from, to);
        if (arc == UINT32_MAX)
            return;
        c->arc[f->arc].count--;
        c->active[c->arc[f->arc].callee]--;
        f->arc = arc;
        c->arc[arc].count++;
        c->active[c->arc[arc].callee]++;
    } else if (begins && f) {
        if (f->tails >= TAILS_MAX)
            while (c->frame[c->depth - 1].tails)
                calls_pop(c);
        calls_push(c, s->pc, to, c->frame[c->depth - 1].ret, sp, true);
    }
}

/* All frames end. */
static inline void calls_end(Calls *c)
{
    while (c->depth)
        calls_pop(c);
}

/* A child of fork begins with nothing but the frames. */
static inline void calls_forget(Calls *c)
{
    for (uint32_t k = 0; k < c->narc; k++) {
        c->arc[k].count = 0;
        memset(c->arc[k].cost, 0, sizeof c->arc[k].cost);
    }
    memset(c->now, 0, sizeof c->now);
    for (uint32_t k = 0; k < c->depth; k++)
        memset(c->frame[k].cost, 0, sizeof c->frame[k].cost);
}

#endif
