/*
 * Live slots of a graph in lifted form: backward data flow over sets of slots. An operation with a snapshot shows all slots,
 * an exit all but those that its target does not want.
 */
#include "opt/slots.h"

typedef struct Flow {
    Opt *o;
    unsigned words;
    SlotLive *live;
    SlotSet *use, *put; /* by block: used before it is put; put */
} Flow;

static void add(SlotSet *s, unsigned slot)
{
    s->w[slot / 64] |= 1ull << (slot % 64);
}

static bool has(const SlotSet *s, unsigned slot)
{
    return s->w[slot / 64] >> (slot % 64) & 1;
}

static void scan(Flow *f, uint32_t block)
{
    IrRegion *r = f->o->r;
    SlotSet *use = &f->use[block], *put = &f->put[block];

    for (IrRef ref = r->block[block].first; ref; ref = ir_insn(r, ref)->next) {
        const IrInsn *i = ir_insn(r, ref);
        if (i->op == IR_PUT) {
            add(put, (unsigned)i->imm);
        } else if (i->op == IR_GET) {
            if (!has(put, (unsigned)i->imm))
                add(use, (unsigned)i->imm);
        } else if (ir_ops[i->op].flags & IRF_SNAP) {
            if (ir_ops[i->op].flags & IRF_END)
                f->live[block].dead = slots_dead(f->o->cfg, i);
            for (unsigned w = 0; w < f->words; w++)
                use->w[w] |= ~put->w[w] & (w ? UINT64_MAX : ~f->live[block].dead);
        }
    }
}

/* Slots put in a loop, at its header; inner loops' puts count for outer ones too. */
static void gather_puts(Flow *f)
{
    const IrCfg *g = f->o->g;

    for (uint32_t k = 0; k < g->n; k++)
        for (uint32_t l = g->loop[g->rpo[k]]; l != IR_NO_BLOCK; l = g->loops[l].parent)
            for (unsigned w = 0; w < f->words; w++)
                f->live[g->loops[l].header].loop_put.w[w] |= f->put[g->rpo[k]].w[w];
}

static bool flow_block(Flow *f, uint32_t block)
{
    uint32_t to[2];
    unsigned n = ir_successors(f->o->r, block, to);
    bool changed = false;

    for (unsigned w = 0; w < f->words; w++) {
        uint64_t out = 0;
        for (unsigned e = 0; e < n; e++)
            out |= f->live[to[e]].in.w[w];
        uint64_t in = f->use[block].w[w] | (out & ~f->put[block].w[w]);
        changed |= in != f->live[block].in.w[w];
        f->live[block].in.w[w] = in;
    }
    return changed;
}

SlotLive *slots_live(Opt *o)
{
    IrRegion *r = o->r;
    Flow f = {.o = o, .words = (r->slots->count + 63) / 64};

    f.live = arena_zalloc(r->arena, r->nblock * sizeof *f.live);
    f.use = arena_zalloc(r->arena, r->nblock * sizeof *f.use);
    f.put = arena_zalloc(r->arena, r->nblock * sizeof *f.put);
    for (uint32_t k = 0; k < o->g->n; k++)
        scan(&f, o->g->rpo[k]);
    gather_puts(&f);
    /* Without loops one round backward is enough; with loops their depth more. */
    for (bool changed = true; changed;) {
        changed = false;
        for (uint32_t k = o->g->n; k-- > 0;)
            changed |= flow_block(&f, o->g->rpo[k]);
        changed &= o->g->nloops > 0;
    }
    return f.live;
}
