/*
 * Flags of several kinds where paths meet in a loop. A block that is entered with the flags of a comparison on one edge and of
 * an addition on the other needs parameters for them, which are computed in each round for a fault that never comes: lazy.c can
 * only help where all edges bring one kind. But most such blocks set the flags themselves after a few instructions. What
 * stands before that is given to each edge as a copy of its own; where the copies meet, no flag matters.
 *
 *   outer:  adds ...                      outer:  adds ...;  ldr x1, [x2]
 *   inner:  ldr x1, [x2]           =>     inner:  cmp x1, x3
 *           cmp x1, x3                            ldr x1, [x2]  (flags of this cmp only)
 *           b.ne inner                            b.ne inner
 *
 * Works on the lifted form, in which values do not outlive their instruction but through slots.
 */
#include "opt/slots.h"

#include <string.h>

enum { MAX_EDGES = 3, MAX_OPS = 120 /* copied for one edge */ };

typedef struct Unmix {
    Opt *o;
    IrRegion *r;
    SlotLive *live;
    uint64_t flags;      /* slots (< 64) of booleans that the region puts */
    uint8_t *far;        /* by value: used outside its instruction */
    uint32_t *tail;      /* by block: the block that ends it now */
    uint32_t *like;      /* by block, new ones too: the block that it is a copy of, or itself */
    uint32_t cap_like;
    IrRef *copy;         /* by value, while copying: what stands for it in the copy */
    uint32_t ncopy;
} Unmix;

/* --- what the region is like -------------------------------------------------------------------------------------- */

typedef struct Far {
    Unmix *u;
    const uint32_t *insn; /* by value: number of its instruction */
    uint32_t now;
} Far;

static void note_far(void *ctx, IrRef *use)
{
    Far *f = ctx;

    if (f->insn[*use] != f->now)
        f->u->far[*use] = 1;
}

static void look(Unmix *u)
{
    IrRegion *r = u->r;
    uint32_t *insn = arena_zalloc(r->arena, r->ninsn * sizeof *insn);
    Far f = {u, insn, 0};

    for (uint32_t k = 0; k < u->o->g->n; k++) {
        f.now++;
        for (IrRef ref = r->block[u->o->g->rpo[k]].first; ref; ref = ir_insn(r, ref)->next) {
            IrInsn *i = ir_insn(r, ref);
            f.now += i->op == IR_INSN;
            insn[ref] = f.now;
            ir_each_use(r, i, note_far, &f);
            if (i->op == IR_PUT && i->imm < 64 && r->slots->slot[i->imm].type == IR_I8)
                u->flags |= 1ull << i->imm;
        }
    }
}

/* The instruction of `block`, not its first, from which on none of `flags` matters; 0: there is none that is near enough. */
static IrRef find_cut(const Unmix *u, uint32_t block, uint64_t flags)
{
    const IrRegion *r = u->r;
    uint32_t to[2];
    uint64_t live = 0;
    IrRef cut = 0;
    unsigned ops = 0;

    for (unsigned e = ir_successors(r, u->tail[block], to); e--;)
        live |= u->live[u->like[to[e]]].in.w[0];
    for (IrRef ref = r->block[block].last; ref; ref = ir_insn(r, ref)->prev) {
        const IrInsn *i = ir_insn(r, ref);
        if (i->op == IR_PUT && i->imm < 64)
            live &= ~(1ull << i->imm);
        else if (i->op == IR_GET && i->imm < 64)
            live |= 1ull << i->imm;
        else if (ir_ops[i->op].flags & IRF_SNAP)
            live |= ir_ops[i->op].flags & IRF_END ? ~u->live[block].dead : UINT64_MAX;
        else if (i->op == IR_INSN && i->prev && !(live & flags))
            cut = ref;
    }
    for (IrRef ref = r->block[block].first; cut && ref != cut; ref = ir_insn(r, ref)->next)
        if (++ops > MAX_OPS || u->far[ref] || ir_insn(r, ref)->op == IR_PARAM)
            return 0;
    return cut;
}

/* What kind of operation the slot was put with last on the way to the end of `block`; 0: not known. */
static uint32_t kind_of(const Unmix *u, uint32_t block, unsigned slot)
{
    const IrRegion *r = u->r;
    const IrCfg *g = u->o->g;

    for (unsigned limit = 4; limit--;) {
        for (IrRef ref = r->block[u->tail[block]].last; ref; ref = ir_insn(r, ref)->prev) {
            const IrInsn *i = ir_insn(r, ref), *v = ir_insn(r, i->a);
            if (i->op == IR_PUT && i->imm == slot)
                return v->op | (uint32_t)v->aux << 16 | (uint32_t)v->lane << 24;
        }
        if (g->pred_first[block + 1] - g->pred_first[block] != 1)
            return 0;
        block = g->pred[g->pred_first[block]];
    }
    return 0;
}

static bool mixed(const Unmix *u, const uint32_t *from, unsigned n, uint64_t flags)
{
    for (; flags; flags &= flags - 1) {
        unsigned slot = (unsigned)__builtin_ctzll(flags);
        uint32_t kind = kind_of(u, from[0], slot);
        for (unsigned k = 1; k < n; k++)
            if (kind == 0 || kind_of(u, from[k], slot) != kind)
                return true;
    }
    return false;
}

/* --- copying ------------------------------------------------------------------------------------------------------ */

static uint32_t note_block(Unmix *u, uint32_t b, uint32_t like)
{
    if (b == u->cap_like) {
        uint32_t *more = ARENA_ARRAY(u->r->arena, uint32_t, 2 * u->cap_like);
        memcpy(more, u->like, u->cap_like * sizeof *more);
        u->like = more;
        u->cap_like *= 2;
    }
    u->like[b] = like;
    return b;
}

/* Cut `block` before `cut`; the rest becomes a block of its own, to which it branches. */
static void cut_block(Unmix *u, uint32_t block, IrRef cut)
{
    IrRegion *r = u->r;
    uint32_t rest = note_block(u, ir_block_new(r), block);
    IrBlock *b = &r->block[block], *t = &r->block[rest];
    IrInsn br = {.op = IR_BR, .imm = rest};

    t->first = cut;
    t->last = b->last;
    t->cold = b->cold;
    b->last = ir_insn(r, cut)->prev;
    ir_insn(r, b->last)->next = 0;
    ir_insn(r, cut)->prev = 0;
    ir_link_last(r, block, ir_insn_new(r, &br));
    u->tail[block] = rest;
}

/* --- the pass ----------------------------------------------------------------------------------------------------- */

/* The blocks from which edges lead to `block`, the one last in order at the end; 0 when there are too many. */
static unsigned sources(const Opt *o, uint32_t block, uint32_t from[MAX_EDGES])
{
    const IrCfg *g = o->g;
    unsigned n = 0;

    for (uint32_t p = g->pred_first[block]; p < g->pred_first[block + 1]; p++) {
        if (n && from[n - 1] == g->pred[p])
            continue; /* both edges of a BRIF */
        if (n == MAX_EDGES)
            return 0;
        from[n++] = g->pred[p];
        for (unsigned k = n - 1; k && g->at[from[k]] < g->at[from[k - 1]]; k--) {
            uint32_t t = from[k];
            from[k] = from[k - 1];
            from[k - 1] = t;
        }
    }
    return n;
}

static bool unmix_block(Unmix *u, uint32_t block)
{
    uint64_t flags = u->live[block].in.w[0] & u->flags;
    uint32_t from[MAX_EDGES];
    unsigned n;

    if (flags == 0 || u->o->g->loop[block] == IR_NO_BLOCK || u->r->block[block].nparams)
        return false;
    n = sources(u->o, block, from);
    if (n < 2 || !mixed(u, from, n, flags))
        return false;
    IrRef cut = find_cut(u, block, flags);
    if (cut == 0)
        return false;
    cut_block(u, block, cut);
    for (unsigned k = 0; k + 1 < n; k++)
        opt_lead_to(u->r, u->tail[from[k]], block,
                    note_block(u, opt_copy_block(u->r, block, u->copy, u->ncopy), block));
    return true;
}

void opt_unmix(Opt *o)
{
    IrRegion *r = o->r;
    Unmix u = {.o = o, .r = r, .cap_like = 2 * r->nblock};
    bool changed = false;

    if (o->g->nloops == 0)
        return;
    u.live = slots_live(o);
    u.far = arena_zalloc(r->arena, r->ninsn);
    u.copy = opt_map_new(r, 0);
    u.ncopy = r->ninsn;
    u.like = ARENA_ARRAY(r->arena, uint32_t, u.cap_like);
    u.tail = ARENA_ARRAY(r->arena, uint32_t, r->nblock);
    for (uint32_t b = 0; b < r->nblock; b++)
        u.tail[b] = u.like[b] = b;
    look(&u);
    uint32_t n = o->g->n;
    for (uint32_t k = 0; k < n && u.flags; k++)
        changed |= unmix_block(&u, o->g->rpo[k]);
    if (changed)
        opt_join_blocks(o);
}
