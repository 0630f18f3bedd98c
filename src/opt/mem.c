/*
 * Loads that need not be done: of what was loaded or stored at the same address before, on every way here. Facts go down an
 * extended basic block: a block with one predecessor knows what that knew at its end; where paths meet nothing is known. What
 * spilling code of guest compilers does, and code that was not optimised at all, is what this finds.
 *
 *   store.i64 [%sp + 8], %v              store.i64 [%sp + 8], %v
 *   %a = load.i64 [%sp + 8]         =>
 *   %b = add %a, 1                       %b = add %v, 1
 *
 * Why it is right.
 *   Faults: an access of the same bytes came before, so the load would not fault; what other threads unmap in between is a race.
 *   Aliases: a fact is an address `base + displacement`, base an SSA value. A store to another base ends all facts. One to the
 *   same base ends those that it may overlap; displacements are compared modulo the smallest page, as one page may be mapped
 *   at two addresses.
 *   Order: Arm lets a thread see its own store early, and lets two plain loads of one address give one value: nothing orders the
 *   second load after what stands between, but barriers, acquiring loads, read-modify-writes (all of which end every fact), and
 *   an address dependency. Both accesses have the same address value, so what the second depends on, the first did too.
 *   (ir_simplify must not hide a dependency: it does not fold `x ^ x` and `x - x` of whole registers.) Coherence holds:
 *   between the two no store of this thread to the address is left out, and the value is never older than what the first access
 *   has seen. A loop that waits for another thread loads again in each round, since a header knows nothing.
 */
#include "opt/pass.h"

#include <string.h>

enum { MAX_FACTS = 24, PAGE = 4096 };

/* The bytes at base + disp are the low `size` bytes of val. */
typedef struct Fact {
    IrRef base, val;
    uint64_t disp;
    uint8_t size, lane;
} Fact;

typedef struct Facts {
    Fact f[MAX_FACTS];
    unsigned n, oldest; /* oldest: the one to replace when all are taken */
} Facts;

typedef struct Mem {
    Opt *o;
    IrRegion *r;
    IrRef *map;
    Facts now;
    Facts **at_end;   /* by block */
    bool changed;
} Mem;

static bool plain(const IrInsn *i)
{
    return (i->flags & (IR_ORDER_MASK | IR_MEM_SOFT | IR_MEM_WATCH)) == IR_PLAIN;
}

/* Whether two ranges of bytes of one base may share some, whatever pages are mapped twice. */
static bool overlap(uint64_t d1, unsigned n1, uint64_t d2, unsigned n2)
{
    return (d2 - d1) % PAGE < n1 || (d1 - d2) % PAGE < n2;
}

static void forget(Mem *m, const IrInsn *store)
{
    unsigned kept = 0, size = ir_type_size(store->lane);

    for (unsigned k = 0; k < m->now.n; k++) {
        const Fact *f = &m->now.f[k];
        if (f->base == store->a && !overlap(f->disp, f->size, store->imm, size))
            m->now.f[kept++] = *f;
    }
    m->now.n = kept;
    m->now.oldest = 0;
}

static void note(Mem *m, const IrInsn *i, IrRef val)
{
    Fact f = {.base = i->a, .val = val, .disp = i->imm, .size = (uint8_t)ir_type_size(i->lane), .lane = i->lane};

    if (m->now.n < MAX_FACTS) {
        m->now.f[m->now.n++] = f;
    } else {
        m->now.f[m->now.oldest] = f;
        m->now.oldest = (m->now.oldest + 1) % MAX_FACTS;
    }
}

static const Fact *find(const Mem *m, const IrInsn *load)
{
    for (unsigned k = m->now.n; k-- > 0;) {
        const Fact *f = &m->now.f[k];
        if (f->base == load->a && f->disp == load->imm && f->size == ir_type_size(load->lane))
            return f;
    }
    return NULL;
}

/* Turn the load into an operation on the value that is known; or the value itself is what was wanted: its ref. */
static IrRef become(Mem *m, uint32_t block, IrRef ref, const Fact *f)
{
    IrInsn *i = ir_insn(m->r, ref);
    IrType t = (IrType)i->type, lane = (IrType)i->lane, from = (IrType)ir_insn(m->r, f->val)->type;
    unsigned size = ir_type_size(lane);
    bool is_signed = i->flags & IR_MEM_SIGNED;
    IrRef v = f->val;

    if (from == t && size == ir_type_size(t))
        return v;
    if (!ir_type_is_int(from) || !ir_type_is_int(t) || !ir_type_is_int(lane))
        return 0;
    if (from != lane) {
        IrInsn trunc = {.op = IR_TRUNC, .type = (uint8_t)lane, .lane = (uint8_t)from, .a = v};
        v = ir_insn_new(m->r, &trunc);
        ir_link_before(m->r, block, ref, v);
        i = ir_insn(m->r, ref);
    }
    if (lane == t)
        return v;
    *i = (IrInsn){.op = is_signed ? IR_SEXT : IR_ZEXT, .type = (uint8_t)t, .lane = (uint8_t)lane, .a = v, .prev = i->prev,
                  .next = i->next};
    return ref;
}

static void do_load(Mem *m, uint32_t block, IrRef ref)
{
    IrInsn *i = ir_insn(m->r, ref);
    const Fact *f = find(m, i);
    IrRef v = f ? become(m, block, ref, f) : 0;

    if (v == 0) {
        note(m, i, ref);
        return;
    }
    m->changed = true;
    if (v != ref) {
        m->map[ref] = v;
        ir_remove(m->r, block, ref);
    }
}

static void do_block(Mem *m, uint32_t block)
{
    IrRegion *r = m->r;

    for (IrRef ref = r->block[block].first, next; ref; ref = next) {
        IrInsn *i = ir_insn(r, ref);
        next = i->next;
        opt_map_uses(r, i, m->map);
        if (i->op == IR_LOAD && plain(i)) {
            do_load(m, block, ref);
        } else if (i->op == IR_STORE && plain(i)) {
            forget(m, i);
            note(m, i, i->b);
        } else if ((ir_ops[i->op].flags & (IRF_READ | IRF_WRITE)) || i->op == IR_CALL) {
            m->now.n = 0;
        }
    }
}

/* What is known where a block begins. */
static void start(Mem *m, uint32_t block)
{
    const IrCfg *g = m->o->g;

    m->now.n = m->now.oldest = 0;
    if (g->pred_first[block + 1] - g->pred_first[block] == 1) {
        const Facts *before = m->at_end[g->pred[g->pred_first[block]]];
        if (before)
            m->now = *before;
    }
}

void opt_mem(Opt *o)
{
    IrRegion *r = o->r;
    Mem *m = ARENA_NEW(r->arena, Mem);

    m->o = o;
    m->r = r;
    m->map = opt_map_new(r, r->ninsn); /* a load makes one value at most, which is in no list yet */
    m->at_end = arena_zalloc(r->arena, r->nblock * sizeof *m->at_end);
    for (uint32_t k = 0; k < o->g->n; k++) {
        uint32_t b = o->g->rpo[k];
        start(m, b);
        do_block(m, b);
        if (m->now.n) {
            m->at_end[b] = ARENA_NEW(r->arena, Facts);
            *m->at_end[b] = m->now;
        }
    }
    if (!m->changed)
        return;
    opt_map_snaps(r, m->map);
    opt_fold(o);
    opt_gvn(o);
}
