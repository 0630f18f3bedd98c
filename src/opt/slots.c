/*
 * Slots become values. One walk down the tree carries what each slot holds: a get of a slot that holds a known value is
 * that value, a put only changes what is carried, and each operation that may leave gets a snapshot of the slots whose
 * value differs from what memory has held since the region was entered.
 *
 *   %1 = get x0            %1 = get x0
 *   %2 = add %1, %k        %2 = add %1, %k
 *   put x0, %2
 *   %3 = get x0
 *   %4 = load [%3]         %4 = load [%2] {0x1004 x0=%2}
 *   put x0, %1
 *   exit 0x2000            exit 0x2000 {0x1008}
 */
#include "base/check.h"
#include "opt/pass.h"

#include <string.h>

#define MASK_WORDS (IR_MAX_SLOTS / 64)

/* What is known at a point of the tree. */
typedef struct State {
    IrRef *cur;                 /* by slot: its value; 0: not read or written yet on this path */
    uint64_t dirty[MASK_WORDS]; /* slots whose value differs from memory's */
    uint64_t pc;                /* guest instruction */
    uint32_t snap;              /* snapshot of just this state; 0: none made yet */
} State;

typedef struct Slots {
    IrRegion *r;
    const OptConfig *cfg;
    IrRef *map;   /* gets that became other values */
    State *at;    /* by block: state at its end */
} Slots;

static void set_dirty(State *st, unsigned slot, bool dirty)
{
    uint64_t bit = 1ull << (slot % 64);

    if (dirty)
        st->dirty[slot / 64] |= bit;
    else
        st->dirty[slot / 64] &= ~bit;
}

/* Entries for the dirty slots but those in `dead` (slots < 64), in the order of slots. */
static uint32_t new_snap(Slots *s, const State *st, uint64_t dead)
{
    uint32_t id = ir_snap_new(s->r, st->pc);
    IrSnapEnt *e = ir_snapent_room(s->r, s->r->slots->count);
    IrSnapEnt *start = e;

    for (unsigned w = 0; w < MASK_WORDS; w++)
        for (uint64_t m = st->dirty[w] & (w ? UINT64_MAX : ~dead); m; m &= m - 1) {
            unsigned slot = 64 * w + (unsigned)__builtin_ctzll(m);
            *e++ = (IrSnapEnt){.slot = (uint16_t)slot, .val = st->cur[slot]};
        }
    s->r->snap[id].count = (uint32_t)(e - start);
    s->r->nsnapent += (uint32_t)(e - start);
    return id;
}

/* The snapshot for one operation; entries are shared while no slot changes. */
static uint32_t snap_for(Slots *s, State *st, const IrInsn *i)
{
    bool direct = i->op == IR_EXIT || i->op == IR_EXIT_CALL;
    uint64_t dead = direct && s->cfg->dead ? s->cfg->dead(s->cfg->dead_ctx, i->imm) : 0;

    if (dead & st->dirty[0])
        return new_snap(s, st, dead);
    if (!st->snap) {
        st->snap = new_snap(s, st, 0);
    } else if (s->r->snap[st->snap].pc != st->pc) {
        IrSnap same = s->r->snap[st->snap];
        st->snap = ir_snap_new(s->r, st->pc);
        same.pc = st->pc;
        s->r->snap[st->snap] = same;
    }
    return st->snap;
}

static void do_get(Slots *s, State *st, uint32_t block, IrRef ref, unsigned slot)
{
    if (st->cur[slot]) {
        s->map[ref] = st->cur[slot];
        ir_remove(s->r, block, ref);
    } else {
        st->cur[slot] = ref;
    }
}

static void do_put(Slots *s, State *st, uint32_t block, IrRef ref, unsigned slot)
{
    IrRef v = s->map[ir_insn(s->r, ref)->a];
    const IrInsn *def = ir_insn(s->r, v);

    ir_remove(s->r, block, ref);
    if (st->cur[slot] == v)
        return;
    st->cur[slot] = v;
    /* Putting back what was there at entry leaves nothing to store. */
    set_dirty(st, slot, !(def->op == IR_GET && def->imm == slot));
    st->snap = 0;
}

static void walk_block(Slots *s, uint32_t block)
{
    State *st = &s->at[block];
    IrRegion *r = s->r;

    for (IrRef ref = r->block[block].first, next; ref; ref = next) {
        IrInsn *i = ir_insn(r, ref);
        next = i->next;
        if (i->op == IR_INSN) {
            st->pc = i->imm;
        } else if (i->op == IR_GET) {
            do_get(s, st, block, ref, (unsigned)i->imm);
        } else if (i->op == IR_PUT) {
            do_put(s, st, block, ref, (unsigned)i->imm);
        } else {
            opt_map_uses(r, i, s->map);
            if (ir_ops[i->op].flags & IRF_SNAP)
                i->snap = snap_for(s, st, i);
        }
    }
}

void opt_slots(IrRegion *r, const OptConfig *cfg)
{
    Slots s = {.r = r, .cfg = cfg, .map = opt_map_new(r, 0), .at = ARENA_ARRAY(r->arena, State, r->nblock)};
    uint32_t nslots = r->slots->count;

    CHECK(nslots <= IR_MAX_SLOTS);
    for (uint32_t b = 0; b < r->nblock; b++) {
        IrRef *cur = ARENA_ARRAY(r->arena, IrRef, nslots);
        if (b == 0) {
            memset(&s.at[0], 0, sizeof s.at[0]);
            memset(cur, 0, nslots * sizeof *cur);
            s.at[0].pc = r->pc;
        } else {
            const State *parent = &s.at[r->block[b].pred - 1];
            s.at[b] = *parent;
            memcpy(cur, parent->cur, nslots * sizeof *cur);
        }
        s.at[b].cur = cur;
        walk_block(&s, b);
    }
}
