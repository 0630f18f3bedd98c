/*
 * Slots become values. One walk down the region carries what each slot holds: a get of a slot that holds a known value is
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
 *
 * In a graph, where paths meet with different values of a slot, the block gets a parameter for it; a loop's header gets one
 * for each slot that the loop puts. Gets that remain stand in block 0, which dominates all edges that may need them as
 * arguments. Only slots that matter at a block get a parameter there (live.c): those that some path reads, or shows in a
 * snapshot, before it puts them. Parameters that turn out to stand for one value only are taken out at the end.
 */
#include "opt/slots.h"

#include "base/check.h"

#include <string.h>

typedef struct Slots {
    Opt *o;
    IrRegion *r;
    uint32_t nslots, words;
    SlotState *at;           /* by block: state at its end */
    SlotLive *live;      /* graphs only */
    IrRef *entry;        /* graphs only: by slot, the get in block 0; 0: none */
    uint16_t **param;    /* graphs only: by block, the slots of the parameters made here */
    uint32_t *nparam;
} Slots;

/* --- values ------------------------------------------------------------------------------------------------------- */

/* The value that a slot had when the region was entered. */
static IrRef entry_value(Slots *s, unsigned slot)
{
    if (s->entry[slot] == 0) {
        IrInsn get = {.op = IR_GET, .type = s->r->slots->slot[slot].type, .imm = slot};
        s->entry[slot] = ir_insn_new(s->r, &get);
        ir_link_before(s->r, 0, s->r->block[0].last, s->entry[slot]);
        opt_map_add(s->o, s->entry[slot], s->entry[slot]);
    }
    return s->entry[slot];
}

void slot_set(const IrRegion *r, SlotState *st, unsigned slot, IrRef v)
{
    if (st->shared) {
        uint32_t n = r->slots->count;
        IrRef *own = ARENA_ARRAY(r->arena, IrRef, n);
        memcpy(own, st->cur, n * sizeof *own);
        st->cur = own;
        st->shared = false;
    }
    st->cur[slot] = v;
}

void slot_put(const IrRegion *r, SlotState *st, unsigned slot, IrRef v)
{
    const IrInsn *def = ir_insn(r, v);

    if (st->cur[slot] == v)
        return;
    slot_set(r, st, slot, v);
    /* Putting back what was there at entry leaves nothing to store. */
    slot_set_dirty(st, slot, !(def->op == IR_GET && def->imm == slot));
    st->snap = 0;
}

/* --- snapshots ---------------------------------------------------------------------------------------------------- */

/* Entries in the order of slots. */
uint32_t slot_snap_new(IrRegion *r, const SlotState *st, uint64_t dead)
{
    uint32_t id = ir_snap_new(r, st->pc), words = (r->slots->count + 63) / 64;
    IrSnapEnt *e = ir_snapent_room(r, r->slots->count);
    IrSnapEnt *start = e;

    for (unsigned w = 0; w < words; w++)
        for (uint64_t m = st->dirty.w[w] & (w ? UINT64_MAX : ~dead); m; m &= m - 1) {
            unsigned slot = 64 * w + (unsigned)__builtin_ctzll(m);
            *e++ = (IrSnapEnt){.slot = (uint16_t)slot, .val = st->cur[slot]};
        }
    r->snap[id].count = (uint32_t)(e - start);
    r->nsnapent += (uint32_t)(e - start);
    return id;
}

uint32_t slot_snap(IrRegion *r, SlotState *st)
{
    if (!st->snap) {
        st->snap = slot_snap_new(r, st, 0);
    } else if (r->snap[st->snap].pc != st->pc) {
        IrSnap same = r->snap[st->snap];
        st->snap = ir_snap_new(r, st->pc);
        same.pc = st->pc;
        r->snap[st->snap] = same;
    }
    return st->snap;
}

/* Whether something may be known of what runs next that concerns this state. */
static bool may_ask(const Slots *s, const SlotState *st)
{
    return !s->o->cfg->flags || (st->dirty.w[0] & s->o->cfg->flags);
}

/* The snapshot for one operation. */
static uint32_t snap_for(Slots *s, SlotState *st, uint32_t block, const IrInsn *i)
{
    uint64_t dead = s->live ? s->live[block].dead : may_ask(s, st) ? slots_dead(s->o->cfg, i) : 0;

    if ((ir_ops[i->op].flags & IRF_END) && (dead & st->dirty.w[0]))
        return slot_snap_new(s->r, st, dead);
    return slot_snap(s->r, st);
}

/* --- the walk ----------------------------------------------------------------------------------------------------- */

static void do_get(Slots *s, SlotState *st, uint32_t block, IrRef ref, unsigned slot)
{
    if (st->cur[slot]) {
        s->o->map[ref] = st->cur[slot];
        ir_remove(s->r, block, ref);
        return;
    }
    if (s->entry) {
        if (s->entry[slot]) {
            s->o->map[ref] = s->entry[slot];
            ir_remove(s->r, block, ref);
            return;
        }
        s->entry[slot] = ref;
        if (block) {
            ir_unlink(s->r, block, ref);
            ir_link_before(s->r, 0, s->r->block[0].last, ref);
        }
    }
    slot_set(s->r, st, slot, ref);
}

static void do_put(Slots *s, SlotState *st, uint32_t block, IrRef ref, unsigned slot)
{
    slot_put(s->r, st, slot, s->o->map[ir_insn(s->r, ref)->a]);
    ir_remove(s->r, block, ref);
}

static void walk_block(Slots *s, uint32_t block)
{
    SlotState *st = &s->at[block];
    IrRegion *r = s->r;

    for (IrRef ref = r->block[block].first, next; ref; ref = next) {
        IrInsn *i = ir_insn(r, ref);
        next = i->next;
        if (i->op == IR_INSN) {
            st->pc = i->imm;
            if (s->o->cfg->no_marks)
                ir_remove(r, block, ref);
        } else if (i->op == IR_GET) {
            do_get(s, st, block, ref, (unsigned)i->imm);
        } else if (i->op == IR_PUT) {
            do_put(s, st, block, ref, (unsigned)i->imm);
        } else {
            opt_map_uses(r, i, s->o->map);
            if (ir_ops[i->op].flags & IRF_SNAP)
                i->snap = snap_for(s, st, block, i);
            if (i->op == IR_EXIT && s->o->cfg->read && may_ask(s, st) && (s->o->cfg->read(s->o->cfg->dead_ctx, i->imm) & st->dirty.w[0]))
                i->aux |= IR_EXIT_FLAGS;
        }
    }
}

/* --- where paths meet --------------------------------------------------------------------------------------------- */

/* A parameter of `block` for the slot, after those that it has; before the instruction `before`. */
static void add_param(Slots *s, uint32_t block, IrRef before, unsigned slot)
{
    SlotState *st = &s->at[block];
    const IrSlot *is = &s->r->slots->slot[slot];
    IrInsn p = {.op = IR_PARAM, .type = is->type, .flags = is->boolean ? IR_BOOL : 0, .imm = s->r->block[block].nparams++};
    IrRef ref = ir_insn_new(s->r, &p);

    ir_link_before(s->r, block, before, ref);
    opt_map_add(s->o, ref, ref);
    s->param[block][s->nparam[block]++] = (uint16_t)slot;
    st->cur[slot] = ref;
    slot_set_dirty(st, slot, true);
}

/* The one value that all predecessors met so far leave in a slot; 0 when they differ. Clean slots hold the entry's value. */
static IrRef agreed(Slots *s, uint32_t block, unsigned slot)
{
    const IrCfg *g = s->o->g;
    IrRef v = 0;

    for (uint32_t p = g->pred_first[block]; p < g->pred_first[block + 1]; p++) {
        const SlotState *from = &s->at[g->pred[p]];
        if (g->at[g->pred[p]] >= g->at[block])
            continue; /* a back-edge */
        if (!slot_is_dirty(from, slot) || (v && v != from->cur[slot]))
            return 0;
        v = from->cur[slot];
    }
    return v;
}

/* State at the start of a block with several predecessors. */
static void meet(Slots *s, uint32_t block)
{
    const IrCfg *g = s->o->g;
    SlotState *st = &s->at[block];
    const SlotLive *live = &s->live[block];
    IrRef before = s->r->block[block].first;
    uint32_t loop = g->loop[block];
    bool header = loop != IR_NO_BLOCK && g->loops[loop].header == block;

    memset(st, 0, sizeof *st);
    st->pc = s->at[g->idom[block]].pc; /* unless a block begins with an instruction, its predecessors are within one */
    st->cur = arena_zalloc(s->r->arena, s->nslots * sizeof *st->cur);
    s->param[block] = ARENA_ARRAY(s->r->arena, uint16_t, s->nslots);
    while (ir_insn(s->r, before)->op == IR_PARAM)
        before = ir_insn(s->r, before)->next;
    for (unsigned w = 0; w < s->words; w++) {
        uint64_t dirty = 0, put = header ? s->live[block].loop_put.w[w] : 0;
        for (uint32_t p = g->pred_first[block]; p < g->pred_first[block + 1]; p++)
            if (g->at[g->pred[p]] < g->at[block])
                dirty |= s->at[g->pred[p]].dirty.w[w];
        for (uint64_t m = (dirty | put) & live->in.w[w]; m; m &= m - 1) {
            unsigned slot = 64 * w + (unsigned)__builtin_ctzll(m);
            IrRef v = put & m & (0 - m) ? 0 : agreed(s, block, slot);
            if (v) {
                st->cur[slot] = v;
                slot_set_dirty(st, slot, true);
            } else {
                add_param(s, block, before, slot);
            }
        }
    }
}

/* Hand what slots hold at the end of a block to the parameters of its successors. */
static void give_args(Slots *s, uint32_t block)
{
    uint32_t to[2];

    for (unsigned e = ir_successors(s->r, block, to); e--;) {
        IrRef arg[IR_MAX_SLOTS];
        for (uint32_t k = 0; k < s->nparam[to[e]]; k++) {
            unsigned slot = s->param[to[e]][k];
            arg[k] = slot_is_dirty(&s->at[block], slot) ? s->at[block].cur[slot] : entry_value(s, slot);
        }
        if (s->nparam[to[e]])
            opt_edge_append(s->r, block, e, arg, s->nparam[to[e]]);
    }
}

/* Take out entries that say what memory holds anyway. */
static void trim_snaps(IrRegion *r)
{
    uint32_t *done = arena_zalloc(r->arena, (r->nsnapent + 1) * sizeof *done); /* by first entry: what remains + 1 */

    for (uint32_t k = 1; k < r->nsnap; k++) {
        IrSnap *s = &r->snap[k];
        uint32_t kept = 0;
        if (s->count == 0)
            continue;
        if (done[s->first]) { /* shared by several snapshots */
            s->count = done[s->first] - 1;
            continue;
        }
        for (uint32_t j = 0; j < s->count; j++) {
            IrSnapEnt e = r->snapent[s->first + j];
            const IrInsn *i = ir_insn(r, e.val);
            if (i->op != IR_GET || i->imm != e.slot)
                r->snapent[s->first + kept++] = e;
        }
        s->count = kept;
        done[s->first] = kept + 1;
    }
}

/* --- the pass ----------------------------------------------------------------------------------------------------- */

static void start_block(Slots *s, uint32_t block)
{
    const IrCfg *g = s->o->g;
    SlotState *st = &s->at[block];

    if (block == 0) {
        memset(st, 0, sizeof *st);
        st->cur = arena_zalloc(s->r->arena, s->nslots * sizeof *st->cur);
        st->pc = s->r->pc;
    } else if (g->pred_first[block + 1] - g->pred_first[block] == 1) {
        *st = s->at[g->pred[g->pred_first[block]]];
        st->shared = true;
    } else {
        meet(s, block);
    }
}

void opt_slots(Opt *o)
{
    IrRegion *r = o->r;
    if (r->graph)
        opt_preheaders(o);
    const IrCfg *g = o->g;
    Slots s = {.o = o, .r = r, .nslots = r->slots->count};

    opt_map(o);
    CHECK(s.nslots <= IR_MAX_SLOTS);
    s.words = (s.nslots + 63) / 64;
    s.at = ARENA_ARRAY(r->arena, SlotState, r->nblock);
    if (r->graph) {
        s.live = slots_live(o);
        s.entry = arena_zalloc(r->arena, s.nslots * sizeof *s.entry);
        s.param = arena_zalloc(r->arena, r->nblock * sizeof *s.param);
        s.nparam = arena_zalloc(r->arena, r->nblock * sizeof *s.nparam);
    }
    for (uint32_t k = 0; k < g->n; k++) {
        start_block(&s, g->rpo[k]);
        walk_block(&s, g->rpo[k]);
    }
    if (!r->graph)
        return;
    for (uint32_t k = 0; k < g->n; k++)
        give_args(&s, g->rpo[k]);
    if (opt_prune_params(o))
        trim_snaps(r);
}
