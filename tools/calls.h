/*
 * For tools that follow calls: a stack of functions for each thread, and for every call site and function called from it how
 * often and at what cost, its own and that of what it called in turn.
 *
 * Translated code records what may call, return or jump elsewhere (CallRecord); that is worked off in order for each thread.
 * A frame is gone when its return address is returned to, or when the stack pointer is above it (longjmp, exceptions). A
 * jump to the beginning of a function is a call from the same frame: both return at once.
 *
 * Nearly all records are of calls from a site to where it has called last, and of returns of the function called last. Which of the two
 * comes next nobody can predict, so calls_step does both without a branch; the functions below it do whatever is otherwise.
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
    uint32_t what;
} CallSite;

enum { IS_CALL = 1, IS_RETURN, IS_JUMP }; /* CallSite.what */

/* A function that is called. */
typedef struct Callee {
    uint64_t to, active; /* active: frames of it */
    struct Callee *next;
} Callee;

#define CALLEE_BITS 12

typedef struct Arc {
    uint64_t from, to; /* of the instruction, and of what it calls */
    Callee *callee;
    uint64_t count, cost[COSTS_MAX];
} Arc;

typedef struct Frame {
    uint64_t ret, sp; /* sp 0: not known yet */
    Arc *arc;
    uint64_t tails; /* how many frames from here down came about by a jump; 0: by a call */
    uint64_t cost[COSTS_MAX];
} Frame;

/* What a site has led to last: with `was`, the arc of the frame then, to `arc`. NULL: to nothing yet. */
typedef struct Led {
    uint64_t to, ret; /* ret: CallSite's */
    Arc *arc, *was;
    uint64_t is_call; /* all bits, or none */
    uint64_t how;     /* LED_OTHER ... */
} Led;

enum { LED_OTHER, LED_PLAIN, LED_TAIL }; /* what may be anything; a return, or a call that has led to something; a tail call that has */

/* Of one thread. Arcs and callees stay where they are. */
typedef struct Calls {
    Arc **arc;
    uint32_t narc, cap_arc, *slot, slots;
    Callee *callee[1 << CALLEE_BITS];
    Led *led; /* by site */
    uint32_t nled;
    Frame *frame; /* in front of the first is one that nothing returns from and nothing is above */
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

    while (c->slot[at] && (c->arc[c->slot[at] - 1]->from != from || c->arc[c->slot[at] - 1]->to != to))
        at = (at + 1) & (c->slots - 1);
    return at;
}

static inline bool arcs_grow(Calls *c)
{
    uint32_t slots = c->slots ? 2 * c->slots : 1 << 10, *slot = calloc(slots, sizeof *slot);
    Arc **arc = realloc(c->arc, slots / 2 * sizeof *arc);

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
        c->slot[arc_slot(c, c->arc[k]->from, c->arc[k]->to)] = k + 1;
    return true;
}

static inline Callee *callee_find(Calls *c, uint64_t to)
{
    Callee **at = &c->callee[to * 0x9e3779b97f4a7c15u >> (64 - CALLEE_BITS)], *f = *at;

    while (f && f->to != to)
        f = f->next;
    if (f || !(f = calloc(1, sizeof *f)))
        return f;
    f->to = to;
    f->next = *at;
    return *at = f;
}

/* NULL: no memory. */
static inline Arc *arc_find(Calls *c, uint64_t from, uint64_t to)
{
    if (c->narc == c->cap_arc && !arcs_grow(c))
        return NULL;
    uint32_t at = arc_slot(c, from, to);
    if (!c->slot[at]) {
        Callee *callee = callee_find(c, to);
        Arc *a = callee ? calloc(1, sizeof *a) : NULL;
        if (!a)
            return NULL;
        a->from = from;
        a->to = to;
        a->callee = callee;
        c->arc[c->narc] = a;
        c->slot[at] = ++c->narc;
    }
    return c->arc[c->slot[at] - 1];
}

/* --- frames --------------------------------------------------------------------------------------------------------- */

static inline bool frames_grow(Calls *c)
{
    uint32_t cap = c->cap_frame ? 2 * c->cap_frame : 256;
    Frame *more = realloc(c->frame ? c->frame - 1 : NULL, (cap + 1) * sizeof *more);

    if (!more)
        return false;
    more[0] = (Frame){.sp = UINT64_MAX, .tails = TAILS_MAX + 1};
    c->frame = more + 1;
    c->cap_frame = cap;
    return true;
}

static inline void calls_push(Calls *c, Arc *arc, uint64_t ret, uint64_t sp, bool tail)
{
    if (!arc || (c->depth == c->cap_frame && !frames_grow(c)))
        return;
    Frame *f = &c->frame[c->depth++];
    f->ret = ret;
    f->sp = sp;
    f->arc = arc;
    f->tails = tail ? c->depth > 1 ? f[-1].tails + 1 : 1 : 0;
    for (unsigned k = 0; k < c->costs; k++)
        f->cost[k] = c->now[k];
    arc->count++;
    arc->callee->active++;
}

/* What a function costs that calls itself, however indirectly, is counted when the first of its frames ends. */
static inline void frame_end(const Frame *f, const uint64_t *now, unsigned costs)
{
    Arc *a = f->arc;

    if (--a->callee->active == 0)
        for (unsigned k = 0; k < costs; k++)
            a->cost[k] += now[k] - f->cost[k];
}

static inline void calls_pop(Calls *c)
{
    frame_end(&c->frame[--c->depth], c->now, c->costs);
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
        uint64_t from = c->frame[depth - 1].arc->from;
        if (c->frame[depth - 1].tails || from < s->start || from >= s->end)
            continue;
        while (c->depth >= depth)
            calls_pop(c);
        return;
    }
}

/* Of a call from s, or a jump. NULL: no memory. */
static inline Arc *led_arc(Calls *c, const CallSite *s, Led *led, uint64_t to)
{
    if (led->arc && led->to == to && !led->was)
        return led->arc;
    led->to = to;
    led->was = NULL;
    return led->arc = arc_find(c, s->pc, to);
}

static inline void calls_call(Calls *c, const CallSite *s, Led *led, uint64_t to, uint64_t sp)
{
    calls_unwind(c, sp);
    calls_again(c, s, sp);
    Arc *arc = led_arc(c, s, led, to);
    led->ret = s->ret;
    led->is_call = UINT64_MAX;
    led->how = arc ? LED_PLAIN : LED_OTHER;
    calls_push(c, arc, s->ret, sp, false);
}

static inline void calls_return(Calls *c, Led *led, uint64_t to, uint64_t sp)
{
    uint32_t depth;

    led->how = LED_PLAIN;
    calls_unwind(c, sp);
    for (depth = c->depth; depth && c->frame[depth - 1].sp == sp; depth--)
        if (c->frame[depth - 1].ret == to && !c->frame[depth - 1].tails)
            break;
    if (!depth || c->frame[depth - 1].sp != sp)
        return;
    while (c->depth >= depth)
        calls_pop(c);
}

/* The function on top has called another than it seemed to. */
static inline void calls_instead(Calls *c, Led *led, uint64_t to)
{
    Frame *f = &c->frame[c->depth - 1];

    led->how = LED_OTHER;
    if (!led->arc || led->to != to || led->was != f->arc) {
        Arc *arc = arc_find(c, f->arc->from, to);
        if (!arc)
            return;
        led->to = to;
        led->was = f->arc;
        led->arc = arc;
    }
    f->arc->count--;
    f->arc->callee->active--;
    f->arc = led->arc;
    f->arc->count++;
    f->arc->callee->active++;
}

/* Whether a function begins there. */
typedef bool BeginsFn(uint64_t pc);

/* A jump out of the function: to another's beginning, or from code of no function (a linkage stub), which the call was meant for. */
static inline void calls_jump(Calls *c, const CallSite *s, Led *led, uint64_t to, uint64_t sp, BeginsFn *begins)
{
    calls_unwind(c, sp);
    const Frame *f = c->depth ? &c->frame[c->depth - 1] : NULL;
    if (f && !s->end && !f->tails) {
        calls_instead(c, led, to);
    } else if (f && ((led->how == LED_TAIL && led->to == to) || begins(to))) {
        if (f->tails >= TAILS_MAX)
            while (c->frame[c->depth - 1].tails)
                calls_pop(c);
        Arc *arc = led_arc(c, s, led, to);
        led->how = arc ? LED_TAIL : LED_OTHER;
        calls_push(c, arc, c->frame[c->depth - 1].ret, sp, true);
    }
}

/* --- the common case ------------------------------------------------------------------------------------------------- */

/* Let there be a Led for each of n sites, and frames. What a thread never comes to is not touched. */
static inline bool calls_ready(Calls *c, uint32_t n)
{
    if (!c->frame && !frames_grow(c))
        return false;
    if (n <= c->nled)
        return true;
    Led *more = calloc(2 * n, sizeof *more);
    if (!more)
        return false;
    if (c->nled)
        memcpy(more, c->led, c->nled * sizeof *more);
    free(c->led);
    c->led = more;
    c->nled = 2 * n;
    return true;
}

/* Whether there is a frame above `top`. */
static inline bool calls_room(const Calls *c, const Frame *top)
{
    return top + 1 < c->frame + c->cap_frame;
}

/*
 * If there is room: a call to where its site has led last, from a frame that is above `sp`, or the return of the uppermost frame,
 * at a cost of `now` until then. The frame on top afterwards, which need not have been there; NULL: it is neither.
 */
static inline Frame *calls_step(Frame *top, const Led *led, uint64_t to, uint64_t sp, const uint64_t *now, unsigned costs)
{
    uint64_t call = led->is_call;
    uint64_t no_call = (led->to ^ to) | (top->sp <= sp), no_return = (top->ret ^ to) | (top->sp ^ sp) | top->tails;

    if ((led->how ^ LED_PLAIN) | (call & no_call) | (~call & no_return))
        return NULL;
    Arc *a = (Arc *)(((uintptr_t)led->arc & call) | ((uintptr_t)top->arc & ~call));
    Frame *put = top + 1; /* nobody's, when it is a return */
    uint64_t active = a->callee->active - (call | 1), all = ~call & -(uint64_t)(active == 0);
    a->callee->active = active;
    a->count -= call;
    put->ret = led->ret;
    put->sp = sp;
    put->arc = a;
    put->tails = 0;
    for (unsigned k = 0; k < costs; k++) {
        a->cost[k] += (now[k] - top->cost[k]) & all;
        put->cost[k] = now[k];
    }
    return (Frame *)((char *)top - (ptrdiff_t)((call | 1) * sizeof *top));
}

/* The same for a jump to where its site has led last, and the return of the uppermost frame and of all that it came about by. */
static inline Frame *calls_step_tail(Frame *top, const Led *led, uint64_t to, uint64_t sp, const uint64_t *now, unsigned costs)
{
    if (led->how == LED_TAIL && led->to == to && top->sp >= sp && top->tails < TAILS_MAX) {
        Frame *put = top + 1;
        put->ret = top->ret;
        put->sp = sp;
        put->arc = led->arc;
        put->tails = top->tails + 1;
        for (unsigned k = 0; k < costs; k++)
            put->cost[k] = now[k];
        led->arc->count++;
        led->arc->callee->active++;
        return put;
    }
    if (led->how != LED_PLAIN || led->is_call || top->ret != to || top->sp != sp || top->tails > TAILS_MAX)
        return NULL;
    const Frame *call = top - top->tails;
    if (call->sp != sp)
        return NULL;
    for (; top >= call; top--)
        frame_end(top, now, costs);
    return top;
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
        c->arc[k]->count = 0;
        memset(c->arc[k]->cost, 0, sizeof c->arc[k]->cost);
    }
    memset(c->now, 0, sizeof c->now);
    for (uint32_t k = 0; k < c->depth; k++)
        memset(c->frame[k].cost, 0, sizeof c->frame[k].cost);
}

#endif
