/*
 * Values that may be evicted to the home in which an exit ahead will store them: see Early. The backward pass notes for each exit
 * which value it stores in which home, until it comes to a snapshot that wants what that home held before.
 */
#include "host/x86_64/early.h"

#include "host/x86_64/graph.h"

/* In front of here homes are needed for what they held before: those of the slots in `mask`, in word `w`. */
static void end_slots(EarlyScan *e, const SelAlloc *ra, uint32_t pos, unsigned w, uint64_t mask)
{
    mask &= e->open[w];
    e->open[w] &= ~mask;
    for (; mask; mask &= mask - 1) {
        unsigned slot = 64 * w + (unsigned)__builtin_ctzll(mask);
        Early *x = &ra->early[e->val[slot]];
        if (x->slot == slot) /* the exit may store the value in others too */
            x->from = pos;
    }
}

void early_end(EarlyScan *e, const SelAlloc *ra, uint32_t pos, uint32_t last)
{
    for (unsigned w = 0; w < e->words; w++)
        for (uint64_t m = e->open[w]; m; m &= m - 1)
            if (ra->early[e->val[64 * w + (unsigned)__builtin_ctzll(m)]].to <= last)
                end_slots(e, ra, pos, w, m & (0 - m));
}

void early_note(EarlyScan *e, const SelAlloc *ra, const uint64_t listed[EARLY_WORDS], uint32_t pos)
{
    for (unsigned w = 0; w < e->words; w++)
        if (e->open[w] & ~listed[w])
            end_slots(e, ra, pos, w, ~listed[w]);
}

void early_exit(EarlyScan *e, SelAlloc *ra, IrRef root, unsigned slot, uint32_t pos)
{
    uint64_t bit = 1ull << (slot % 64);
    if ((e->open[slot / 64] & bit) && e->val[slot] == root)
        return;
    end_slots(e, ra, pos, slot / 64, bit);
    e->val[slot] = root;
    e->open[slot / 64] |= bit;
    ra->early[root] = (Early){.to = pos, .slot = (uint16_t)slot};
    ra->val[root].flags |= VAL_EARLY;
}

/* Whether the home of `slot` is where value `v` is, which is still needed. */
static bool is_at_home(const Sel *s, IrRef v, unsigned slot)
{
    return v && ra_val(s, v)->home == slot + 1 && ra_next_use(s, v, false) != NEVER;
}

bool early_home(const Sel *s, IrRef v)
{
    const SelAlloc *ra = s->ra;
    const Early *e = &ra->early[v];
    const IrSlot *slot;
    IrType t;

    if (!(ra->val[v].flags & VAL_EARLY))
        return false;
    slot = &s->r->slots->slot[e->slot];
    /* in a graph only where what is done is undone behind: on a way out */
    if (ra->pos <= e->from || ra->pos > e->to || (ra->g && !ra->depth) || slot->cell)
        return false;
    t = ra_type(s, v);
    if (slot->type == IR_I64 ? t != IR_I64 && t != IR_I32 : slot->type != IR_V128 || t != IR_V128)
        return false;
    return !is_at_home(s, ra->slot_get[e->slot], e->slot) && !is_at_home(s, ra->home_val[e->slot], e->slot);
}
