/*
 * What `slots`, `fold` and `gvn` do, done for a tree while it is built: each operation is simplified, looked up among those that
 * dominate it, and only then appended. Slots are values from the start; no get, put or equal operation is made to be
 * removed again. Short-lived translations are most of what is translated, and passes over them took as long as lifting them.
 *
 * A block that is built for the first time goes on from where the builder was, or from the block that leads to it: what is built
 * in front of a branch to it must be there before. Blocks may be gone back to. Exits get snapshots of all that differs; the
 * pass, at the end, leaves out what nobody reads behind them.
 */
#include "base/check.h"
#include "opt/fold.h"
#include "opt/number.h"
#include "opt/slots.h"

#include <string.h>

/* Operations of a short region: the table of numbers does not grow. */
#define NUMBERS 64

typedef struct Place {
    SlotState st;    /* cur NULL: nothing was built here yet */
    uint32_t parent; /* the block that it goes on from */
} Place;

typedef struct Online {
    IrOnline hook; /* first */
    Fold fold;
    Numbers numbers;
    IrRegion *r;
    bool marks;      /* keep IR_INSN */
    uint32_t block;  /* where the builder was, */
    SlotState *st;   /* and what is known there */
    Place *place;    /* by block */
    uint32_t nplace;
} Online;

/* --- places ------------------------------------------------------------------------------------------------------- */

static bool above(const void *online, uint32_t d, uint32_t b)
{
    const Online *o = online;

    while (b && b != d)
        b = o->place[b].parent;
    return b == d;
}

static void place_room(Online *o, uint32_t n)
{
    Place *old = o->place;

    if (n <= o->nplace)
        return;
    o->place = ARENA_ARRAY(o->r->arena, Place, 2 * n);
    if (old)
        memcpy(o->place, old, o->nplace * sizeof *old);
    memset(o->place + o->nplace, 0, (2 * n - o->nplace) * sizeof *old);
    o->nplace = 2 * n;
}

static void begin_block(Online *o, uint32_t block)
{
    uint32_t pred = o->r->block[block].pred, from = pred ? pred - 1 : o->block;

    o->place[from].st.shared = true;
    o->place[block].st = o->place[from].st;
    o->place[block].parent = from;
}

static __attribute__((noinline)) void go_to(Online *o, uint32_t block)
{
    place_room(o, block + 1);
    if (!o->place[block].st.cur)
        begin_block(o, block);
    o->block = block;
    o->st = &o->place[block].st;
}

static inline SlotState *here(const IrBuilder *b)
{
    Online *o = (Online *)b->online;

    if (__builtin_expect(b->block != o->block, 0))
        go_to(o, b->block);
    return o->st;
}

/* --- building ----------------------------------------------------------------------------------------------------- */

static IrRef get(IrBuilder *b, unsigned slot)
{
    SlotState *st = here(b);

    if (!st->cur[slot])
        slot_set(b->r, st, slot, ir_append(b, (IrInsn){.op = IR_GET, .type = b->r->slots->slot[slot].type, .imm = slot}));
    return st->cur[slot];
}

static void put(IrBuilder *b, unsigned slot, IrRef val)
{
    slot_put(b->r, here(b), slot, val);
}

static void mark(IrBuilder *b, uint64_t pc, unsigned len)
{
    here(b)->pc = pc;
    if (((Online *)b->online)->marks)
        ir_append(b, (IrInsn){.op = IR_INSN, .imm = pc, .aux = (uint8_t)len});
}

static IrRef append(IrBuilder *b, const IrInsn *i)
{
    IrRef ref = ir_new_last(b);
    IrInsn *to = ir_insn(b->r, ref);
    IrRef prev = to->prev;

    *to = *i;
    to->prev = prev;
    to->next = 0;
    if (IR_CHECK_EMITTED || i->op == IR_BRIF)
        ir_emitted(b, ref);
    return ref;
}

static IrRef numbered(IrBuilder *b, IrInsn *i)
{
    Numbers *n = &((Online *)b->online)->numbers;
    Numbered *at;
    IrRef ref = number_find(n, b->block, i, &at);

    if (!ref) {
        ref = append(b, i);
        number_enter(n, b->block, ref, at);
    }
    return ref;
}

static IrRef emit(IrBuilder *b, IrInsn *i)
{
    Online *o = (Online *)b->online;
    unsigned flags = ir_ops[i->op].flags;
    SlotState *st = here(b);

    if (i->op == IR_CONST || i->op == IR_VCONST)
        return numbered(b, i);
    if (flags & IRF_PURE) {
        o->fold.s.ctx = b;
        IrRef same = fold_insn(&o->fold, i);
        if (same)
            return same;
    } else {
        fold_operands(&o->fold, i);
    }
    if (number_takes(i->op))
        return numbered(b, i);
    if (flags & IRF_SNAP)
        i->snap = slot_snap(b->r, st);
    return append(b, i);
}

static IrRef insert(Fold *f, const IrInsn *i)
{
    IrInsn copy = *i;

    return numbered(f->s.ctx, &copy);
}

static IrRef konst(IrSimplify *s, IrType t, uint64_t v)
{
    IrInsn i = {.op = IR_CONST, .type = t, .imm = v};

    return insert((Fold *)s, &i);
}

void opt_build(IrBuilder *b, bool marks)
{
    IrRegion *r = b->r;
    Online *o = ARENA_NEW(r->arena, Online);

    o->hook = (IrOnline){get, put, mark, emit};
    o->fold = (Fold){.s = {.r = r, .konst = konst}, .r = r, .insert = insert};
    number_init(&o->numbers, r, NUMBERS);
    o->numbers.dominates = above;
    o->numbers.ctx = o;
    o->r = r;
    o->marks = marks;
    o->block = b->block;
    o->place = NULL;
    o->nplace = 0;
    place_room(o, 4);
    CHECK(r->slots->count <= IR_MAX_SLOTS && b->block == 0);
    o->place[0].st.cur = arena_zalloc(r->arena, r->slots->count * sizeof(IrRef));
    o->place[0].st.pc = r->pc;
    o->st = &o->place[0].st;
    r->online = true;
    b->online = &o->hook;
}

/* --- the pass ----------------------------------------------------------------------------------------------------- */

/* Whether a snapshot names one of these slots < 64. Its entries are in their order: mostly the first one says it. */
static bool shows(const IrRegion *r, uint32_t snap, uint64_t set)
{
    const IrSnap *s = &r->snap[snap];
    const IrSnapEnt *e = &r->snapent[s->first], *end = e + s->count;

    for (; e < end && e->slot < 64 && set >> e->slot; e++)
        if (set >> e->slot & 1)
            return true;
    return false;
}

/* A snapshot like `snap` but for what is in `dead`. */
static uint32_t without(IrRegion *r, uint32_t snap, uint64_t dead)
{
    uint32_t id = ir_snap_new(r, r->snap[snap].pc);
    const IrSnap *s = &r->snap[snap];
    IrSnapEnt *e = ir_snapent_room(r, s->count);

    for (uint32_t k = 0; k < s->count; k++) {
        const IrSnapEnt *from = &r->snapent[s->first + k];
        if (from->slot >= 64 || !(dead >> from->slot & 1))
            e[r->snap[id].count++] = *from;
    }
    r->nsnapent += r->snap[id].count;
    return id;
}

static void finish_exit(const OptConfig *cfg, IrRegion *r, IrInsn *i)
{
    if (cfg->flags && !shows(r, i->snap, cfg->flags))
        return;
    uint64_t dead = slots_dead(cfg, i);
    if (dead && shows(r, i->snap, dead)) /* overwritten before anybody reads them */
        i->snap = without(r, i->snap, dead);
    else if (i->op == IR_EXIT && cfg->read && shows(r, i->snap, cfg->read(cfg->dead_ctx, i->imm)))
        i->aux |= IR_EXIT_FLAGS;
}

void opt_online(Opt *o)
{
    IrRegion *r = o->r;

    for (uint32_t b = 0; r->online && b < r->nblock; b++) {
        IrInsn *i = ir_insn(r, r->block[b].last);
        if (i->op == IR_EXIT || i->op == IR_EXIT_CALL)
            finish_exit(o->cfg, r, i);
    }
}
