/*
 * Wrapping of functions by name. A call at a function's first instruction tells the tool, and remembers where the function will
 * return to and with which stack pointer. Such places get a call of their own (code that exists of one is made anew, once), which
 * finds out whether what comes there is that return.
 *
 * A function that is left otherwise (longjmp, an exception) leaves its frame behind: it is dropped when a frame that lies at or above
 * its stack pointer, on the same stack, is entered or returned from.
 */
#include "plugin/code.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

#define SAME_STACK (UINT64_C(8) << 20) /* frames that are farther apart are on different stacks */

/* --- places of return --------------------------------------------------------------------------------------------- */

static _Atomic(ReturnPlace *) *bucket(Plugins *p, uint64_t pc)
{
    return &p->place[(pc >> 2) % PLACE_BUCKETS];
}

static bool is_place(Plugins *p, uint64_t pc)
{
    const ReturnPlace *x = atomic_load_explicit(bucket(p, pc), memory_order_acquire);

    while (x && x->pc != pc)
        x = x->next;
    return x != NULL;
}

/* Returns whether it is new: then no code that has been made so far knows it. */
static bool add_place(Plugins *p, uint64_t pc)
{
    if (is_place(p, pc))
        return false;
    pthread_mutex_lock(&p->lock);
    bool new = !is_place(p, pc);
    if (new) {
        ReturnPlace *x = arena_zalloc(&p->arena, sizeof *x);
        *x = (ReturnPlace){pc, atomic_load(bucket(p, pc))};
        atomic_store_explicit(bucket(p, pc), x, memory_order_release);
    }
    pthread_mutex_unlock(&p->lock);
    if (new)
        engine_invalidate(p->tools.e, pc, 1);
    return new;
}

/* --- frames ------------------------------------------------------------------------------------------------------- */

/* Drop what a frame at sp shows to be dead: all below it, and (`too`) those at it. */
static void drop_dead(DgThread *t, uint64_t sp, bool too)
{
    unsigned n = 0;

    for (unsigned k = 0; k < t->nframe; k++) {
        const WrapFrame *f = &t->frame[k];
        bool dead = (f->sp < sp && sp - f->sp < SAME_STACK) || (too && f->sp == sp);
        if (!dead)
            t->frame[n++] = *f;
    }
    t->nframe = n;
}

static void push(DgThread *t, const Wrap *w, uint64_t sp, uint64_t ret)
{
    if (t->nframe == t->cap_frame) {
        t->cap_frame = t->cap_frame ? 2 * t->cap_frame : 16;
        t->frame = realloc(t->frame, t->cap_frame * sizeof *t->frame);
        CHECK(t->frame != NULL);
    }
    t->frame[t->nframe++] = (WrapFrame){w, sp, ret};
}

/* The same function at the same place: it was left before by a jump. One that is jumped to at another's end has another name. */
static void drop_stale(DgThread *t, const Wrap *w, uint64_t sp)
{
    drop_dead(t, sp, false);
    for (unsigned k = 0; k < t->nframe; k++)
        if (t->frame[k].w == w && t->frame[k].sp == sp) {
            t->nframe = k;
            return;
        }
}

static uint64_t reg(DgThread *t, unsigned slot)
{
    uint64_t v = 0;

    plugin_api()->reg_read(t, slot, &v);
    return v;
}

static void on_enter(DgThread *t, void *data, const DgEvent *ev)
{
    const Wrap *w = data;
    const GuestCall *g = engine_guest(t->p->tools.e)->call;
    uint64_t sp = reg(t, g->sp), ret = reg(t, g->link);

    t->skipped = false;
    if (w->enter)
        w->enter(t, w->data, ev);
    if (!w->leave || t->skipped)
        return;
    drop_stale(t, w, sp);
    push(t, w, sp, ret);
    t->again |= add_place(t->p, ret); /* this very code may go on there without knowing */
}

typedef struct Leave {
    const Wrap *w;
    DgThread *t;
    const DgEvent *ev;
} Leave;

static void body_leave(void *ctx)
{
    const Leave *l = ctx;
    l->w->leave(l->t, l->w->data, l->ev);
}

static void on_return(DgThread *t, void *data, const DgEvent *ev)
{
    uint64_t sp = reg(t, engine_guest(t->p->tools.e)->call->sp);

    if (!t->nframe)
        return;
    drop_dead(t, sp, false);
    /* Several: a function whose last act was a jump to the next. */
    while (t->nframe && t->frame[t->nframe - 1].sp == sp && t->frame[t->nframe - 1].ret == ev->pc) {
        Leave l = {t->frame[--t->nframe].w, t, ev};
        plugin_guard(l.w->h, t->cpu, "being called", body_leave, &l);
    }
}

/* --- code --------------------------------------------------------------------------------------------------------- */

void wrap_attach(Code *c)
{
    Plugins *p = c->p;

    for (uint32_t b = 0; p->wraps && b < c->nblock; b++)
        for (uint32_t k = 0; k < c->block[b]->n; k++) {
            DgInsn *i = c->block[b]->insn[k];
            c->now = p->self;
            if (is_place(p, i->info.pc))
                plugin_api()->call(i, DG_BEFORE, 0, on_return, NULL, DG_PC_WRITE);
            for (Wrap *w = p->wraps; w; w = w->next) {
                c->now = w->h;
                if (symbol_is(p, i->info.pc, w->name))
                    plugin_api()->call(i, DG_BEFORE, 0, on_enter, w, DG_PC_WRITE);
            }
        }
}

/* --- the interface ------------------------------------------------------------------------------------------------ */

static bool api_wrap(DgHost *h, const char *name, DgCallFn *enter, DgCallFn *leave, void *data)
{
    Plugins *p = h->p;
    Wrap *w = calloc(1, sizeof *w), **at = &p->wraps;

    if (!w || !name || !*name || (!enter && !leave) || !engine_guest(p->tools.e)->call) {
        free(w);
        return false;
    }
    *w = (Wrap){h, strdup(name), enter, leave, data, NULL};
    CHECK(w->name != NULL);
    pthread_mutex_lock(&p->lock);
    while (*at)
        at = &(*at)->next;
    *at = w;
    pthread_mutex_unlock(&p->lock);
    if (p->running)
        engine_invalidate(p->tools.e, 0, UINT64_MAX);
    return true;
}

static bool slot_of(DgThread *t, unsigned n, uint32_t *slot)
{
    const GuestCall *g = engine_guest(t->p->tools.e)->call;

    if (n < g->nargs)
        *slot = g->args[n];
    return n < g->nargs;
}

static bool api_wrap_arg(DgThread *t, unsigned n, uint64_t *value)
{
    uint32_t slot;

    return slot_of(t, n, &slot) && plugin_api()->reg_read(t, slot, value);
}

static bool api_wrap_set_arg(DgThread *t, unsigned n, uint64_t value)
{
    uint32_t slot;

    return slot_of(t, n, &slot) && plugin_api()->reg_write(t, slot, &value);
}

static bool api_wrap_result(DgThread *t, uint64_t *value)
{
    return plugin_api()->reg_read(t, engine_guest(t->p->tools.e)->call->result, value);
}

static bool api_wrap_set_result(DgThread *t, uint64_t value)
{
    return plugin_api()->reg_write(t, engine_guest(t->p->tools.e)->call->result, &value);
}

static bool api_wrap_skip(DgThread *t, uint64_t result)
{
    const GuestCall *g = engine_guest(t->p->tools.e)->call;

    t->skipped = api_wrap_set_result(t, result) && plugin_api()->pc_write(t, reg(t, g->link));
    return t->skipped;
}

void wrap_api(DgApi *api)
{
    api->wrap = api_wrap;
    api->wrap_arg = api_wrap_arg;
    api->wrap_set_arg = api_wrap_set_arg;
    api->wrap_result = api_wrap_result;
    api->wrap_set_result = api_wrap_set_result;
    api->wrap_skip = api_wrap_skip;
}

void wraps_free(Plugins *p)
{
    for (Wrap *w = p->wraps, *next; w; w = next) {
        next = w->next;
        free(w->name);
        free(w);
    }
}
