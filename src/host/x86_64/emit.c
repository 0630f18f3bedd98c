#include "host/x86_64/flags.h"

#include "base/check.h"

#include <string.h>

enum { PART_NONE, PART_MAIN, PART_COLD };

typedef struct Label {
    uint32_t part, offset;
} Label;

typedef struct Site {
    uint32_t part, offset, stub; /* stub: offset in the cold part */
    uint64_t target;
    bool hot;
    uint8_t indirect;
} Site;

typedef struct Mark {
    uint32_t part;
    HostMark m;
} Mark;

typedef struct SideBuf {
    uint8_t *p;
    uint32_t len, cap;
    uint32_t last; /* host offset of the last entry */
} SideBuf;

typedef struct SelEmit {
    Label *label;
    uint32_t nlabel, cap_label;
    IrVal *pool;
    uint32_t npool, cap_pool;
    Site *site;
    uint32_t nsite, cap_site;
    SideBuf side[3];       /* by part */
    uint8_t *open;         /* collected by side_open */
    uint32_t open_len;
    Mark *mark;
    uint32_t nmark, cap_mark;
    uint32_t in_block;     /* whose code is being emitted */
    Asm *over_part;        /* sel_cold_begin inside cold code jumps over it */
    uint32_t over;
} SelEmit;

static void *grow(Arena *a, void *old, uint32_t n, uint32_t *cap, size_t size)
{
    if (n < *cap)
        return old;
    uint32_t want = *cap ? 2 * *cap : 16;
    void *p = arena_alloc(a, want * size);
    if (n)
        memcpy(p, old, n * size);
    *cap = want;
    return p;
}

void emit_init(Sel *s)
{
    s->em = ARENA_NEW(s->arena, SelEmit);
    /* a snapshot has at most one entry a slot, of at most 160 bytes */
    s->em->open = arena_alloc(s->arena, 32 + 160 * (size_t)s->r->slots->count);
}

/* --- labels ----------------------------------------------------------------------------------------------------------- */

static uint32_t part_of(const Sel *s)
{
    return s->a == &s->main ? PART_MAIN : PART_COLD;
}

uint32_t sel_label(Sel *s)
{
    SelEmit *em = s->em;
    em->label = grow(s->arena, em->label, em->nlabel, &em->cap_label, sizeof *em->label);
    em->label[em->nlabel] = (Label){PART_NONE, 0};
    return em->nlabel++;
}

void sel_bind(Sel *s, uint32_t label)
{
    CHECK(label < s->em->nlabel && s->em->label[label].part == PART_NONE);
    s->em->label[label] = (Label){part_of(s), asm_here(s->a)};
    sel_flags_forget(s);
}

void sel_cold_begin(Sel *s)
{
    SelEmit *em = s->em;
    em->over_part = s->a;
    if (s->a == &s->cold) {
        em->over = sel_label(s);
        x64_jmp(s->a, em->over);
    }
    s->a = &s->cold;
    emit_mark_rare(s);
}

void sel_cold_end(Sel *s)
{
    SelEmit *em = s->em;
    s->a = em->over_part;
    if (s->a == &s->cold) {
        sel_bind(s, em->over);
        emit_mark_block(s, em->in_block, false);
    }
}

/* --- marks ------------------------------------------------------------------------------------------------------------ */

static __attribute__((noinline)) void put_mark_here(Sel *s, HostMarkKind kind, uint64_t what)
{
    SelEmit *em = s->em;

    em->mark = grow(s->arena, em->mark, em->nmark, &em->cap_mark, sizeof *em->mark);
    em->mark[em->nmark++] = (Mark){part_of(s), {asm_here(s->a), (uint8_t)kind, what}};
}

static inline void put_mark(Sel *s, HostMarkKind kind, uint64_t what)
{
    if (__builtin_expect(s->r->counters, 0))
        put_mark_here(s, kind, what);
}

void emit_mark_block(Sel *s, uint32_t block, bool begins)
{
    put_mark(s, HOST_MARK_BLOCK, block);
    s->em->in_block = block;
    if (begins && s->r->counters)
        x64_alu_mi(s->a, ALU_ADD, W64, plan_cpu(s->plan->cfg.count_at + 8 * (size_t)(s->r->counters - 1 + block)), 1);
}

uint32_t emit_block(const Sel *s)
{
    return s->em->in_block;
}

void emit_mark_insn(Sel *s, uint64_t pc)
{
    put_mark(s, HOST_MARK_INSN, pc);
}

void emit_mark_rare(Sel *s)
{
    put_mark(s, HOST_MARK_RARE, 0);
}

/* --- constants and addresses ------------------------------------------------------------------------------------------ */

Mem sel_vconst(Sel *s, uint64_t lo, uint64_t hi)
{
    SelEmit *em = s->em;
    uint32_t k;
    for (k = 0; k < em->npool; k++)
        if (em->pool[k].u64[0] == lo && em->pool[k].u64[1] == hi)
            break;
    if (k == em->npool) {
        em->pool = grow(s->arena, em->pool, em->npool, &em->cap_pool, sizeof *em->pool);
        em->pool[em->npool++] = (IrVal){.u64 = {lo, hi}};
    }
    return (Mem){.base = MEM_NONE, .index = MEM_NONE, .rip = true, .label = LABEL_POOL | k};
}

Mem sel_cpu(const Sel *s, size_t offset)
{
    return plan_cpu(offset);
}

Mem sel_scratch(const Sel *s, unsigned n)
{
    return plan_scratch(n);
}

void emit_guest_addr(Sel *s, Gpr d, uint64_t addr)
{
    x64_mov_ri64(s->a, d, addr);
}

/* The displacement that has just been written is a site. */
static void note_site(Sel *s, Site as)
{
    SelEmit *em = s->em;

    as.part = part_of(s);
    as.offset = asm_here(s->a) - 4;
    em->site = grow(s->arena, em->site, em->nsite, &em->cap_site, sizeof *em->site);
    em->site[em->nsite++] = as;
}

/* A label for the displacement that has just been written. */
static uint32_t label_site(Sel *s)
{
    uint32_t site = sel_label(s);
    s->em->label[site] = (Label){part_of(s), asm_here(s->a) - 4};
    return site;
}

#define SITE_ALIGN 4u /* of displacements: one store patches them */

/* The jump or call of a site, whose displacement emit_finish fills in. */
static void put_site(Sel *s, unsigned kind, uint64_t target, uint8_t indirect)
{
    Asm *a = s->a;

    x64_nop(a, (3 - asm_here(a)) & 3);
    x64_rel0(a, kind & CHAIN_CALL ? REL_CALL : REL_JMP);
    note_site(s, (Site){.target = target, .hot = kind & CHAIN_HOT, .indirect = indirect});
}

/* On in the cold part with the site's stub. */
static void stub_begin(Sel *s, unsigned kind)
{
    SelEmit *em = s->em;

    if ((kind & CHAIN_CALL) && s->a == &s->cold) { /* the stub must not stand where the call returns to */
        sel_cold_begin(s);
    } else {
        s->a = &s->cold;
        emit_mark_rare(s);
    }
    sel_flags_forget(s);
    em->site[em->nsite - 1].stub = asm_here(s->a);
}

/* Back to the part of `a`, where the site is. */
static void stub_end(Sel *s, unsigned kind, Asm *a)
{
    if ((kind & CHAIN_CALL) && a == &s->cold)
        sel_cold_end(s);
    s->a = a;
}

/* Where the displacement of such a stub is. It is a call and nothing else: from where it comes says what is wanted. */
enum { CHAIN_LINK_AT = 1 };

void emit_chain(Sel *s, unsigned kind, uint64_t target, uint32_t leave)
{
    Asm *a = s->a;

    put_site(s, kind, target, 0);
    stub_begin(s, kind);
    if (leave != LABEL_NONE)
        sel_bind(s, leave);
    x64_rel0(s->a, REL_CALL);
    stub_end(s, kind, a);
}

void emit_indirect(Sel *s, uint8_t indirect, uint64_t pc)
{
    Asm *a = s->a;
    unsigned kind = indirect == HOST_SITE_CALL ? CHAIN_CALL : 0;

    put_site(s, kind, pc, indirect);
    uint32_t site = label_site(s);
    stub_begin(s, kind);
    uint32_t often = emit_count_miss(s, pc);
    if (indirect == HOST_SITE_RETURN && s->plan->cfg.ret_predict)
        x64_ret(s->a);
    else
        emit_lookup(s);
    emit_missed(s, often, site);
    stub_end(s, kind, a);
}

void emit_plain_indirect(Sel *s, uint64_t pc)
{
    Asm *a = s->a;
    uint32_t often = emit_count_miss(s, pc), site = label_site(s);

    note_site(s, (Site){.target = pc, .indirect = HOST_SITE_PLAIN});
    emit_lookup(s);
    stub_begin(s, 0);
    emit_missed(s, often, site);
    s->a = a;
}

/* --- side table ------------------------------------------------------------------------------------------------------- */

static uint8_t *put_varint(uint8_t *p, uint64_t v)
{
    while (v >= 0x80) {
        *p++ = (uint8_t)v | 0x80;
        v >>= 7;
    }
    *p++ = (uint8_t)v;
    return p;
}

static uint64_t zigzag(int64_t v)
{
    return (uint64_t)v << 1 ^ (uint64_t)(v >> 63);
}

static uint8_t *put_other(Sel *s, uint8_t *p, IrRef root);

/* Where a value is. Most are in registers. */
static inline uint8_t *put_place(Sel *s, uint8_t *p, IrRef root)
{
    const Val *x = &s->ra->val[root];
    if (x->reg == REG_NONE || (x->flags & VAL_LAZY))
        return put_other(s, p, root);
    *p = x->reg;
    return p + 1;
}

static inline uint8_t *put_eval(uint8_t *p, unsigned op, unsigned type, unsigned lane, unsigned aux)
{
    *p++ = SIDE_EVAL;
    p = put_varint(p, op);
    *p++ = (uint8_t)type;
    *p++ = (uint8_t)lane;
    *p++ = (uint8_t)aux;
    return p;
}

static uint8_t *put_lazy(Sel *s, uint8_t *p, IrRef root)
{
    const IrInsn *i = &s->r->insn[root];
    if (i->op == IR_TALLY) {
        p = put_place(s, put_eval(p, IR_ADD, IR_I64, 0, 0), ra_root(s, i->a));
        *p++ = SIDE_CONST;
        return put_varint(p, i->imm);
    }
    p = put_eval(p, i->op, i->type, i->lane, i->aux);
    if (ra_val(s, root)->flags & VAL_ALT) { /* a is the difference plus b */
        p = put_eval(p, IR_ADD, i->lane, 0, 0);
        p = put_place(s, p, s->ra->val[root].alt);
        p = put_place(s, p, ra_root(s, i->b));
    } else {
        p = put_place(s, p, ra_root(s, i->a));
    }
    p = put_place(s, p, ra_root(s, i->b));
    return i->op == IR_SELECT ? put_place(s, p, ra_root(s, i->c)) : p;
}

/* Of a value that is in no register. */
static uint8_t *put_other(Sel *s, uint8_t *p, IrRef root)
{
    const Val *x = &s->ra->val[root];
    IrVal c;
    if (x->flags & VAL_LAZY)
        return put_lazy(s, p, root);
    if (ra_const(s, root, &c)) {
        if (plan_is_x(ra_type(s, root))) {
            *p++ = SIDE_CONST16;
            memcpy(p, &c, 16);
            return p + 16;
        }
        *p++ = SIDE_CONST;
        return put_varint(p, c.u64[0]);
    }
    CHECK(x->spill || x->home);
    if (ra_in_high(s, root) != REG_NONE) {
        *p++ = (uint8_t)ra_in_high(s, root);
        return p;
    }
    *p++ = x->spill ? SIDE_SPILL : SIDE_HOME;
    *p++ = (uint8_t)(x->spill ? x->spill - 1 - SPILL_MEM : x->home - 1);
    return p;
}

/* The condition flags of a snapshot, 0 for those that it does not list. */
static uint8_t *put_flags(Sel *s, uint8_t *p, const IrRef val[FLAG_COUNT], unsigned n, unsigned *entries)
{
    const uint16_t *slot = s->plan->cfg.flags;
    FlagForm f = {0};

    if (n == FLAG_COUNT)
        f = flags_form(s, val);
    if (f.known && !f.cond) {
        *p++ = (uint8_t)slot[0];
        *p++ = SIDE_FLAGS;
        *p++ = f.how;
        p = put_place(s, p, ra_root(s, f.x));
        if (f.y)
            return put_place(s, p, ra_root(s, f.y));
        *p++ = SIDE_CONST;
        return put_varint(p, 0);
    }
    for (unsigned k = 0; k < FLAG_COUNT; k++)
        if (val[k]) {
            *p++ = (uint8_t)slot[k];
            p = put_place(s, p, ra_root(s, val[k]));
        }
    *entries += n - 1;
    return p;
}

void side_open(Sel *s, const IrInsn *i)
{
    const HostPlan *plan = s->plan;
    const IrSnap *snap = &s->r->snap[i->snap];
    const IrSnapEnt *e = &s->r->snapent[snap->first], *end = e + snap->count;
    const Val *val = s->ra->val;
    uint8_t *p = put_varint(s->em->open, zigzag((int64_t)(snap->pc - s->r->pc)));
    uint8_t *count = p++;
    uint64_t set = 0;
    IrRef flag[FLAG_COUNT] = {0};
    unsigned n = 0, nflag = 0;

    for (; e < end; e++) {
        IrRef root = val[e->val].root;
        unsigned pin = plan->slot_pin[e->slot], role = plan->slot_flag[e->slot];
        if (pin != 0xff) {
            set |= REG_BIT(plan->pin[pin].reg);
            if (val[root].reg == plan->pin[pin].reg)
                continue;
        } else if (role < FLAG_COUNT) {
            flag[role] = e->val;
            nflag++;
            continue;
        }
        *p++ = (uint8_t)e->slot;
        p = put_place(s, p, root);
        n++;
    }
    for (uint64_t m = plan->pinned & ~set & ~s->ra->at_pin; m; m &= m - 1) {
        unsigned k = plan->reg_pin[__builtin_ctzll(m)];
        *p++ = (uint8_t)plan->pin[k].slot;
        p = put_place(s, p, ra_pin_ref(s, k));
        n++;
    }
    if (nflag) {
        n++;
        p = put_flags(s, p, flag, nflag, &n);
    }
    CHECK(n < 256);
    *count = (uint8_t)n;
    s->em->open_len = (uint32_t)(p - s->em->open);
}

void side_here(Sel *s)
{
    SideBuf *b = &s->em->side[part_of(s)];
    uint32_t len = s->em->open_len;
    uint32_t here = asm_here(s->a);

    if (b->len + len + 10 > b->cap) {
        uint32_t cap = 2 * b->cap + len + 1024;
        uint8_t *p = arena_alloc(s->arena, cap);
        if (b->len)
            memcpy(p, b->p, b->len);
        b->p = p;
        b->cap = cap;
    }
    uint8_t *p = put_varint(b->p + b->len, here - b->last);
    memcpy(p, s->em->open, len);
    b->len = (uint32_t)(p - b->p) + len;
    b->last = here;
}

/* --- putting it together ---------------------------------------------------------------------------------------------- */

typedef struct Layout {
    uint32_t part[3]; /* offset of each part */
    uint32_t pool, size;
    uint8_t *rw;
    const uint8_t *rx;
} Layout;

static uint32_t align(uint32_t n, uint32_t to)
{
    return (n + to - 1) & ~(to - 1);
}

static int64_t label_offset(const Sel *s, const Layout *l, uint32_t label)
{
    if (label & LABEL_STUB)
        return s->plan->stub[label & ~LABEL_STUB] - l->rx;
    if (label & LABEL_POOL)
        return l->pool + 16 * (label & ~LABEL_POOL);
    const Label *x = &s->em->label[label];
    CHECK(x->part != PART_NONE);
    return l->part[x->part] + x->offset;
}

/* The displacement at offset `at` of the code: to offset `to`. */
static void put_rel(const Layout *l, uint32_t at, int64_t to)
{
    int32_t d = (int32_t)(to - (at + 4));
    memcpy(l->rw + at, &d, 4);
}

static void note_stub(HostCode *out, uint32_t at, Stub stub)
{
    out->reloc[out->nreloc++] = (HostReloc){at, (uint8_t)stub};
}

/* Returns whether what was to be near is. */
static bool resolve(Sel *s, const Layout *l, const Asm *a, uint32_t part, HostCode *out)
{
    for (const AsmFix *f = a->fix, *end = f + a->nfix; f < end; f++) {
        uint32_t at = l->part[part] + f->at;
        int64_t to = label_offset(s, l, f->label) + f->addend;
        if (f->near) {
            if (to - at != (int8_t)(to - at))
                return false;
            l->rw[at] = (uint8_t)(to - at);
            continue;
        }
        put_rel(l, at, to + 4);
        if (f->label & LABEL_STUB)
            note_stub(out, at, f->label & ~LABEL_STUB);
    }
    return true;
}

static void finish_sites(Sel *s, const Layout *l, HostCode *out)
{
    SelEmit *em = s->em;
    out->site = ARENA_ARRAY(s->arena, HostSite, em->nsite ? em->nsite : 1);
    out->nsite = em->nsite;
    for (uint32_t k = 0; k < em->nsite; k++) {
        const Site *x = &em->site[k];
        uint32_t at = l->part[x->part] + x->offset, stub = l->part[PART_COLD] + x->stub;
        CHECK(stub < 1u << 24);
        out->site[k] = (HostSite){at, stub, x->hot, x->indirect, x->target};
        if (x->indirect == HOST_SITE_PLAIN)
            continue;
        CHECK(((uintptr_t)(l->rw + at) & 3) == 0);
        put_rel(l, at, stub);
        if (x->indirect)
            continue;
        put_rel(l, stub + CHAIN_LINK_AT, s->plan->stub[STUB_LINK] - l->rx);
        note_stub(out, stub + CHAIN_LINK_AT, STUB_LINK);
    }
}

static void finish_side(Sel *s, const Layout *l, HostCode *out)
{
    const SideBuf *m = &s->em->side[PART_MAIN], *c = &s->em->side[PART_COLD];
    uint8_t *p = out->side = arena_alloc(s->arena, m->len + c->len + 28);
    memcpy(p, &s->r->pc, 8);
    p = put_varint(p + 8, m->len);
    if (m->len)
        memcpy(p, m->p, m->len);
    p = put_varint(p + m->len, l->part[PART_COLD]);
    if (c->len)
        memcpy(p, c->p, c->len);
    out->side_len = (uint32_t)(p + c->len - out->side);
}

static void finish_marks(Sel *s, const Layout *l, HostCode *out)
{
    SelEmit *em = s->em;

    out->mark = ARENA_ARRAY(s->arena, HostMark, em->nmark ? em->nmark : 1);
    for (unsigned part = PART_MAIN; part <= PART_COLD; part++) {
        for (uint32_t k = 0; k < em->nmark; k++) {
            if (em->mark[k].part != part)
                continue;
            out->mark[out->nmark] = em->mark[k].m;
            out->mark[out->nmark++].offset += l->part[part];
        }
    }
}

bool emit_finish(Sel *s, CodeBuf *cb, HostCode *out)
{
    SelEmit *em = s->em;
    Layout l = {.rw = s->main.start, .rx = s->main.start + cb->delta};
    uint32_t main_len = asm_here(&s->main), cold_len = asm_here(&s->cold);

    l.part[PART_COLD] = align(main_len, SITE_ALIGN);
    l.pool = align(l.part[PART_COLD] + cold_len, em->npool ? 16 : 1);
    l.size = l.pool + 16 * em->npool;
    if (s->main.overflow || l.size > (size_t)(cb->end - l.rw)) {
        cb->overflow = true;
        return false;
    }
    memset(l.rw + main_len, 0xcc, l.part[PART_COLD] - main_len);
    memcpy(l.rw + l.part[PART_COLD], s->cold.start, cold_len);
    memset(l.rw + l.part[PART_COLD] + cold_len, 0xcc, l.pool - l.part[PART_COLD] - cold_len);
    if (em->npool)
        memcpy(l.rw + l.pool, em->pool, 16 * (size_t)em->npool);

    memset(out, 0, sizeof *out);
    out->rw = l.rw;
    out->size = l.size;
    out->insns = l.pool;
    out->reloc = ARENA_ARRAY(s->arena, HostReloc, s->main.nfix + s->cold.nfix + em->nsite + 1);
    if (!resolve(s, &l, &s->main, PART_MAIN, out) || !resolve(s, &l, &s->cold, PART_COLD, out))
        return false;
    finish_sites(s, &l, out);
    finish_side(s, &l, out);
    finish_marks(s, &l, out);
    cb->p = l.rw + l.size;
    return true;
}
