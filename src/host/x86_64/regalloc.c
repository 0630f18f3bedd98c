#include "host/x86_64/early.h"
#include "host/x86_64/emit.h"
#include "host/x86_64/graph.h"

#include "base/check.h"
#include "host/x86_64/asm_vec.h"

#include <string.h>

static uint64_t pool_of(const Sel *s, IrRef root)
{
    return plan_is_x(ra_type(s, root)) ? s->plan->pool_x : s->plan->pool_r;
}

static inline uint32_t next_use(const Sel *s, IrRef root, bool after)
{
    SelAlloc *ra = s->ra;
    Val *x = &ra->val[root];
    uint32_t next = x->first;
    if (next < ra->pos) { /* positions only grow: what has been passed is never asked for again */
        while (ra->use[x->use].pos < ra->pos)
            x->use = ra->use[x->use].next;
        next = x->first = ra->use[x->use].pos;
    }
    if (after && next == ra->pos)
        next = ra->use[ra->use[x->use].next].pos;
    if (next > ra->end)
        return x->flags & VAL_STAYS ? ra->pos + 1 : NEVER; /* an exit may be near: each would have to load it again */
    if (next > ra->block_end && !graph_bit(ra->live_out, root)) /* in a graph only */
        return NEVER;
    return next;
}

uint32_t ra_next_use(const Sel *s, IrRef root, bool after)
{
    return next_use(s, root, after);
}

bool ra_is_last_use(const Sel *s, IrRef root)
{
    const SelAlloc *ra = s->ra;
    uint32_t next = ra_next_use(s, root, true);
    if (next == NEVER || !ra->g)
        return next == NEVER;
    uint32_t u = ra->val[root].use;
    if (ra->use[u].pos == ra->pos)
        u = ra->use[u].next;
    return ra->use[u].turn;
}

/* --- places ----------------------------------------------------------------------------------------------------------- */

static inline IrVal const_value(const Sel *s, IrRef root)
{
    const IrInsn *i = &s->r->insn[root];
    if (i->op == IR_VCONST)
        return s->r->vconst[i->imm];
    unsigned size = ir_type_size((IrType)i->type);
    return (IrVal){.u64 = {size >= 8 ? i->imm : i->imm & ((1ull << 8 * size) - 1), 0}};
}

IrVal ra_const_value(const Sel *s, IrRef root)
{
    return const_value(s, root);
}

Mem ra_spill_mem(unsigned place)
{
    CHECK(place >= SPILL_MEM);
    return plan_cpu(offsetof(HostCpu, spill) + 8 * (size_t)(place - SPILL_MEM));
}

bool ra_memory(const Sel *s, IrRef root, Mem *m)
{
    const Val *x = &s->ra->val[root];
    if (x->spill > SPILL_MEM)
        *m = ra_spill_mem(x->spill - 1u);
    else if (x->home && !x->spill)
        *m = plan_slot(s->plan, x->home - 1u);
    else
        return false;
    return true;
}

void ra_trail(Sel *s, IrRef root)
{
    SelAlloc *ra = s->ra;
    if (ra->ntrail == ra->cap_trail) {
        Trail *t = ARENA_ARRAY(s->arena, Trail, ra->cap_trail ? 2 * ra->cap_trail : 64);
        if (ra->ntrail)
            memcpy(t, ra->trail, ra->ntrail * sizeof *t);
        ra->trail = t;
        ra->cap_trail = ra->cap_trail ? 2 * ra->cap_trail : 64;
    }
    ra->trail[ra->ntrail++] = (Trail){root, ra->val[root].spill, ra->val[root].home};
}

/* The bits of a place of n words in its word of spill_used[]. */
static uint64_t spill_bits(unsigned place, unsigned n)
{
    return (n == 2 ? 3ull : 1ull) << (place & 63);
}

/* A free place of n words in [from, to), or `to`. */
static unsigned spill_find(SelAlloc *ra, unsigned n, unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i += n) {
        uint64_t bits = spill_bits(i, n);
        if (!(ra->spill_used[i / 64] & bits)) {
            ra->spill_used[i / 64] |= bits;
            return i;
        }
    }
    return to;
}

static void spill_free(Sel *s, unsigned place)
{
    SelAlloc *ra = s->ra;
    IrRef v = ra->spill_val[place];
    ra->spill_used[place / 64] &= ~spill_bits(place, plan_is_x(ra_type(s, v)) ? 2 : 1);
    ra->spill_val[place] = 0;
}

/* Free the places of values that are not needed any more; on the main path only, where nothing is to be restored. */
static void spill_reclaim(Sel *s)
{
    SelAlloc *ra = s->ra;
    if (ra->depth)
        return;
    for (unsigned i = 0; i < ra->nspill; i++)
        if (ra->spill_val[i] &&
            (ra->g ? ra->g->spill_last[i] < ra->pos : ra_next_use(s, ra->spill_val[i], false) == NEVER))
            spill_free(s, i);
}

/* A place among [from, to), perhaps of a value that is not needed any more, or `to`. */
static unsigned spill_take(Sel *s, unsigned n, unsigned from, unsigned to)
{
    unsigned place = spill_find(s->ra, n, from, to);
    if (place == to) {
        spill_reclaim(s);
        place = spill_find(s->ra, n, from, to);
    }
    return place;
}

static unsigned spill_alloc(Sel *s, IrRef root)
{
    SelAlloc *ra = s->ra;
    unsigned n = plan_is_x(ra_type(s, root)) ? 2 : 1, place = SPILL_MEM;
    if (ra->high && n == 2)
        place = spill_take(s, n, 0, SPILL_MEM);
    if (place == SPILL_MEM)
        place = spill_take(s, n, SPILL_MEM, SPILL_PLACES);
    CHECK(place < SPILL_PLACES || ra->g);
    if (place == SPILL_PLACES) { /* the code is void */
        ra->full = true;
        return SPILL_MEM;
    }
    while (ra->nspill < place + n)
        ra->spill_val[ra->nspill++] = 0;
    ra->spill_val[place] = root;
    return place;
}

/* The place of the parameter that the value is to become, if nothing there is needed any more: the back-edge moves nothing then. */
static bool borrow_place(Sel *s, IrRef root)
{
    SelAlloc *ra = s->ra;
    Graph *g = ra->g;
    IrRef param = g->becomes[root], owner;
    unsigned place = g->slot[param] - 1u;
    uint64_t bits = spill_bits(place, plan_is_x(ra_type(s, root)) ? 2 : 1);

    if (!param || !g->slot[param] || ra_type(s, param) != ra_type(s, root) || (ra->spill_used[place / 64] & bits) != bits)
        return false;
    owner = ra->spill_val[place]; /* perhaps what has borrowed it, or an inner loop's parameter */
    if (!owner || g->last[owner] >= ra->pos || ra_type(s, owner) != ra_type(s, root))
        return false;
    g->slot[root] = g->slot[param];
    if (g->spill_last[place] < g->last[root])
        g->spill_last[place] = g->last[root];
    ra->spill_val[place] = root;
    return true;
}

unsigned ra_graph_slot(Sel *s, IrRef root)
{
    Graph *g = s->ra->g;
    if (!g->slot[root] && !borrow_place(s, root)) {
        unsigned place = spill_alloc(s, root);
        g->slot[root] = (uint16_t)(place + 1);
        g->spill_last[place] = g->last[root];
    }
    return g->slot[root] - 1u;
}

unsigned ra_spill_place(Sel *s, IrRef root)
{
    SelAlloc *ra = s->ra;
    unsigned place;
    if (ra->g && (!ra->depth || ra->g->slot[root])) {
        place = ra_graph_slot(s, root);
        graph_stored(s, root);
    } else {
        place = spill_alloc(s, root);
    }
    ra_trail(s, root);
    ra->val[root].spill = (uint16_t)(place + 1);
    return place;
}

/* --- registers -------------------------------------------------------------------------------------------------------- */

static bool is_high(unsigned reg)
{
    return reg >= REG_X + 16;
}

void ra_move(Sel *s, unsigned to, unsigned from)
{
    if (to < REG_X)
        x64_mov_rr(s->a, W64, (Gpr){(uint8_t)to}, (Gpr){(uint8_t)from});
    else
        x64_rm(s->a, VMOVAPS, (Xmm){(uint8_t)(to - REG_X)}, (Xmm){(uint8_t)(from - REG_X)});
}

void ra_load_const(Sel *s, unsigned reg, const IrVal *c)
{
    if (reg < REG_X) {
        x64_mov_ri(s->a, (Gpr){(uint8_t)reg}, c->u64[0]);
        return;
    }
    Xmm x = {(uint8_t)(reg - REG_X)};
    if (is_high(reg))
        x64_rm_m(s->a, VMOVDQU64, x, sel_vconst(s, c->u64[0], c->u64[1]));
    else if (!c->u64[0] && !c->u64[1])
        x64_rvm(s->a, VPXOR, x, x, x);
    else
        x64_rm_m(s->a, VMOVDQU, x, sel_vconst(s, c->u64[0], c->u64[1]));
}

/* Load a value of this type from its spill slot or its home. */
void ra_load_memory(Sel *s, unsigned reg, IrType t, bool spilled, Mem m)
{
    if (reg >= REG_X)
        x64_rm_m(s->a, is_high(reg) ? VMOVDQU64 : VMOVDQU, (Xmm){(uint8_t)(reg - REG_X)}, m);
    else if (spilled || t == IR_I64)
        x64_mov_rm(s->a, W64, (Gpr){(uint8_t)reg}, m);
    else
        x64_movzx(s->a, t == IR_I8 ? W8 : t == IR_I16 ? W16 : W32, (Gpr){(uint8_t)reg}, rm_m(m));
}

void ra_load_into(Sel *s, unsigned reg, IrRef root)
{
    const Val *x = &s->ra->val[root];
    IrVal c;
    Mem m;

    if (x->reg != REG_NONE) {
        if (x->reg != reg)
            ra_move(s, reg, x->reg);
    } else if (ra_const(s, root, &c)) {
        ra_load_const(s, reg, &c);
    } else if (ra_in_high(s, root) != REG_NONE) {
        ra_move(s, reg, ra_in_high(s, root));
    } else {
        bool found = ra_memory(s, root, &m);
        CHECK(found);
        ra_load_memory(s, reg, ra_type(s, root), x->spill != 0, m);
    }
}

static void release(SelAlloc *ra, unsigned reg)
{
    ra->val[ra->reg_val[reg]].reg = REG_NONE;
    ra->reg_val[reg] = 0;
    ra->changed |= REG_BIT(reg);
    ra->used &= ~REG_BIT(reg);
    ra->at_pin &= ~REG_BIT(reg);
}

static inline void bind(SelAlloc *ra, unsigned reg, IrRef root)
{
    if (root >= ra->first_pin && root - ra->first_pin == ra->reg_pin[reg])
        ra->at_pin |= REG_BIT(reg);
    ra->reg_val[reg] = root;
    ra->val[root].reg = (uint8_t)reg;
    ra->changed |= REG_BIT(reg);
    ra->used |= REG_BIT(reg);
    if (ra->g)
        ra->g->bound[reg] = ra->pos;
}

void ra_bind(SelAlloc *ra, unsigned reg, IrRef root)
{
    bind(ra, reg, root);
}

void ra_store_reg(Sel *s, Mem m, unsigned reg)
{
    if (reg < REG_X)
        x64_mov_mr(s->a, W64, m, (Gpr){(uint8_t)reg});
    else
        x64_mr_m(s->a, is_high(reg) ? VMOVDQU64_ST : VMOVDQU_ST, m, (Xmm){(uint8_t)(reg - REG_X)});
}

static void store_spill(Sel *s, unsigned place, unsigned reg)
{
    if (ra_high(place) != REG_NONE)
        ra_move(s, ra_high(place), reg);
    else
        ra_store_reg(s, ra_spill_mem(place), reg);
}

void ra_keep_high(Sel *s, bool save)
{
    for (uint64_t m = s->ra->spill_used[0] & ((1ull << SPILL_MEM) - 1); m; m &= m - 1) {
        unsigned place = (unsigned)__builtin_ctzll(m), reg = ra_high(place);
        Mem at = plan_cpu(offsetof(HostCpu, save) + SAVE_XMM + 16 * (size_t)(reg - REG_X));
        if (place & 1)
            continue;
        if (save)
            ra_store_reg(s, at, reg);
        else
            ra_load_memory(s, reg, IR_V128, true, at);
    }
}

void ra_call_stub(Sel *s, Stub stub)
{
    ra_keep_high(s, true);
    x64_call(s->a, label_stub(stub));
    ra_keep_high(s, false);
}

static bool has_other_place(const Val *x)
{
    return (x->flags & VAL_CONST) || x->spill || x->home;
}

static void evict(Sel *s, unsigned reg)
{
    SelAlloc *ra = s->ra;
    IrRef v = ra->reg_val[reg];
    Val *x = &ra->val[v];

    if (!has_other_place(x)) {
        if (early_home(s, v)) {
            unsigned slot = ra->early[v].slot;
            ra_store_reg(s, plan_slot(s->plan, slot), reg);
            ra_trail(s, v);
            x->home = (uint16_t)(slot + 1);
            ra->home_val[slot] = v;
        } else if (v >= s->r->ninsn) {
            unsigned slot = s->plan->pin[v - s->r->ninsn].slot;
            CHECK(s->r->slots->slot[slot].type == IR_I64 || reg >= REG_X);
            ra_store_reg(s, plan_slot(s->plan, slot), reg);
            ra_trail(s, v);
            x->home = (uint16_t)(slot + 1);
            if (ra->g)
                graph_stored(s, v);
        } else {
            store_spill(s, ra_spill_place(s, v), reg);
        }
    }
    release(ra, reg);
}

void ra_call(Sel *s, uint64_t kept, bool here)
{
    SelAlloc *ra = s->ra;
    for (uint64_t m = ra->used & ~kept; m; m &= m - 1) {
        unsigned reg = (unsigned)__builtin_ctzll(m);
        if (next_use(s, ra->reg_val[reg], !here) == NEVER)
            release(ra, reg);
        else
            evict(s, reg);
    }
}

uint64_t ra_live(Sel *s)
{
    uint64_t live = 0;
    for (uint64_t m = s->ra->used; m; m &= m - 1)
        if (next_use(s, s->ra->reg_val[__builtin_ctzll(m)], true) != NEVER)
            live |= m & (0 - m);
    return live;
}

/* Drop values that are not needed any more. */
static void reclaim(Sel *s, uint64_t pool)
{
    SelAlloc *ra = s->ra;
    for (uint64_t m = pool & ra->used & ~ra->locked; m; m &= m - 1) {
        unsigned reg = (unsigned)__builtin_ctzll(m);
        if (next_use(s, ra->reg_val[reg], false) == NEVER)
            release(ra, reg);
    }
}

/* Empty the register whose value is needed latest; a value that is in memory too, or constant, counts double. */
static void evict_one(Sel *s, uint64_t pool)
{
    SelAlloc *ra = s->ra;
    uint64_t m = pool & ra->used & ~ra->locked;
    unsigned best = REG_NONE;
    uint64_t best_score = 0;

    CHECK(m);
    for (; m; m &= m - 1) {
        unsigned reg = (unsigned)__builtin_ctzll(m);
        IrRef v = ra->reg_val[reg];
        uint64_t score = ra->g ? graph_distance(s, v) : (uint64_t)next_use(s, v, false) - ra->pos + 1;
        if (2 * score > best_score && (has_other_place(&ra->val[v]) || early_home(s, v)))
            score *= 2;
        if (score > best_score) {
            best_score = score;
            best = reg;
        }
    }
    evict(s, best);
}

/* Whether `reg` can be had for nothing. */
static bool reg_free(Sel *s, unsigned reg)
{
    SelAlloc *ra = s->ra;
    if (ra->locked & REG_BIT(reg))
        return false;
    if (!(ra->used & REG_BIT(reg)))
        return true;
    if (ra_next_use(s, ra->reg_val[reg], false) != NEVER)
        return false;
    release(ra, reg);
    return true;
}

static unsigned alloc(Sel *s, uint64_t pool, unsigned hint)
{
    SelAlloc *ra = s->ra;
    uint64_t avail;

    if (hint != REG_NONE && (pool & REG_BIT(hint)) && reg_free(s, hint))
        return hint;
    avail = pool & ~ra->used & ~ra->locked;
    if (!(avail & s->plan->temps)) {
        reclaim(s, pool & s->plan->temps);
        avail = pool & ~ra->used & ~ra->locked;
    }
    if (!avail) {
        reclaim(s, pool);
        avail = pool & ~ra->used & ~ra->locked;
    }
    if (!avail) {
        evict_one(s, pool);
        avail = pool & ~ra->used & ~ra->locked;
    }
    if (avail & s->plan->temps)
        avail &= s->plan->temps;
    return (unsigned)__builtin_ctzll(avail);
}

/* --- instructions and scopes ------------------------------------------------------------------------------------------ */

void ra_begin(Sel *s)
{
    SelAlloc *ra = s->ra;
    ra->used = ra->at_pin = s->plan->pinned;
    ra->high = ra->g && s->feat->avx512 && !s->plan->cfg.tool_calls; /* with which each guest instruction may call C */
    ra->end = NEVER - 1;
    ra->block_end = NEVER;
}

void ra_insn_begin(Sel *s, IrRef ref)
{
    s->ra->locked = 0;
    s->ref = ref;
    asm_room(&s->main);
    asm_room(&s->cold);
}

void ra_insn_end(Sel *s)
{
    SelAlloc *ra = s->ra;
    uint64_t m = ra->locked & ra->used;
    ra->locked = 0;
    for (; m; m &= m - 1) {
        unsigned reg = (unsigned)__builtin_ctzll(m);
        if (next_use(s, ra->reg_val[reg], true) == NEVER)
            release(ra, reg);
    }
}

void ra_scope_enter(Sel *s, Scope *save, uint32_t end)
{
    SelAlloc *ra = s->ra;
    save->used = ra->used;
    save->changed = ra->changed;
    ra->changed = 0;
    save->at_pin = ra->at_pin;
    memcpy(save->reg_val, ra->reg_val, sizeof save->reg_val);
    memcpy(save->spill_used, ra->spill_used, sizeof save->spill_used);
    save->ntrail = ra->ntrail;
    save->end = ra->end;
    ra->end = end;
    ra->depth++;
}

void ra_forget(Sel *s)
{
    SelAlloc *ra = s->ra;
    for (uint64_t m = ra->used; m; m &= m - 1)
        release(ra, (unsigned)__builtin_ctzll(m));
}

/* What the scope has taken is nobody's again: an owner left there would be freed together with the next one. */
static void spill_restore(SelAlloc *ra, const Scope *save)
{
    for (unsigned w = 0; w < SPILL_WORDS; w++)
        for (uint64_t m = ra->spill_used[w] & ~save->spill_used[w]; m; m &= m - 1)
            ra->spill_val[64 * w + (unsigned)__builtin_ctzll(m)] = 0;
    memcpy(ra->spill_used, save->spill_used, sizeof ra->spill_used);
}

void ra_scope_leave(Sel *s, const Scope *save)
{
    SelAlloc *ra = s->ra;
    for (uint64_t m = ra->changed & ra->used; m; m &= m - 1)
        ra->val[ra->reg_val[__builtin_ctzll(m)]].reg = REG_NONE;
    while (ra->ntrail > save->ntrail) {
        const Trail *t = &ra->trail[--ra->ntrail];
        ra->val[t->v].spill = t->spill;
        ra->val[t->v].home = t->home;
    }
    ra->used = save->used;
    ra->at_pin = save->at_pin;
    memcpy(ra->reg_val, save->reg_val, sizeof ra->reg_val);
    spill_restore(ra, save);
    for (uint64_t m = ra->changed & ra->used; m; m &= m - 1)
        ra->val[ra->reg_val[__builtin_ctzll(m)]].reg = (uint8_t)__builtin_ctzll(m);
    ra->changed = save->changed;
    ra->end = save->end;
    ra->depth--;
}

/* --- what rules ask for ----------------------------------------------------------------------------------------------- */

bool sel_const(const Sel *s, IrRef v, uint64_t *c)
{
    IrRef root = ra_root(s, v);
    if (!(s->ra->val[root].flags & VAL_CONST)) /* mostly */
        return false;
    unsigned size = ir_type_size(sel_type(s, v));
    if (size > 8)
        return false;
    uint64_t x = const_value(s, root).u64[0];
    *c = size == 8 ? x : x & ((1ull << 8 * size) - 1);
    return true;
}

bool sel_const128(const Sel *s, IrRef v, IrVal *c)
{
    return ra_const(s, ra_root(s, v), c);
}

/* An operation that may fault needs its operands' old values until it is done. */
bool sel_dies(const Sel *s, IrRef v)
{
    return !(ir_ops[s->r->insn[s->ref].op].flags & IRF_SNAP) && ra_next_use(s, ra_root(s, v), true) == NEVER;
}

static unsigned fetch(Sel *s, IrRef root)
{
    unsigned reg = alloc(s, pool_of(s, root), s->ra->val[root].hint);
    ra_load_into(s, reg, root);
    bind(s->ra, reg, root);
    return reg;
}

static inline unsigned use_reg(Sel *s, IrRef v, bool want_x)
{
    SelAlloc *ra = s->ra;
    IrRef root = ra_root(s, v);
    unsigned reg = ra->val[root].reg;
    CHECK(plan_is_x(ra_type(s, root)) == want_x);
    if (reg == REG_NONE)
        reg = fetch(s, root);
    ra->locked |= REG_BIT(reg);
    return reg;
}

Gpr sel_use_r(Sel *s, IrRef v)
{
    return (Gpr){(uint8_t)use_reg(s, v, false)};
}

Xmm sel_use_x(Sel *s, IrRef v)
{
    return (Xmm){(uint8_t)(use_reg(s, v, true) - REG_X)};
}

/* Whether the operand is best read where it is in memory: it is not in a register, and is not needed again. */
static bool use_mem(Sel *s, IrRef v, unsigned bytes, Mem *m)
{
    IrRef root = ra_root(s, v);
    const Val *x = &s->ra->val[root];
    if (x->reg != REG_NONE || (x->flags & VAL_CONST) || !ra_memory(s, root, m))
        return false;
    if (!x->spill && ir_type_size(ra_type(s, root)) < bytes)
        return false;
    return ra_is_last_use(s, root);
}

RGm sel_use_rm(Sel *s, IrRef v, unsigned bytes)
{
    Mem m;
    if (use_mem(s, v, bytes, &m))
        return rm_m(m);
    return rm_r(sel_use_r(s, v));
}

RXm sel_use_xm(Sel *s, IrRef v, unsigned bytes)
{
    Mem m;
    IrVal c;
    if (s->ra->val[ra_root(s, v)].reg == REG_NONE && ra_const(s, ra_root(s, v), &c) && (c.u64[0] | c.u64[1]) &&
        ra_is_last_use(s, ra_root(s, v)))
        return xm_m(sel_vconst(s, c.u64[0], c.u64[1]));
    if (use_mem(s, v, bytes, &m))
        return xm_m(m);
    return xm_x(sel_use_x(s, v));
}

bool sel_in_high(const Sel *s, IrRef v, Xmm *x)
{
    unsigned reg = ra_in_high(s, ra_root(s, v));
    *x = (Xmm){(uint8_t)(reg - REG_X)};
    return reg != REG_NONE;
}

void sel_take_r(Sel *s, Gpr r)
{
    SelAlloc *ra = s->ra;
    CHECK(!(ra->locked & REG_BIT(r.n)));
    if (ra->used & REG_BIT(r.n)) {
        IrRef v = ra->reg_val[r.n];
        uint64_t avail = s->plan->pool_r & ~ra->used & ~ra->locked;
        if (ra_next_use(s, v, false) == NEVER) {
            release(ra, r.n);
        } else if (avail && !has_other_place(&ra->val[v])) {
            unsigned to = (unsigned)__builtin_ctzll(avail & s->plan->temps ? avail & s->plan->temps : avail);
            ra_move(s, to, r.n);
            release(ra, r.n);
            bind(ra, to, v);
        } else {
            evict(s, r.n);
        }
    }
    ra->locked |= REG_BIT(r.n);
}

/* Whether `v` dies here and is one operand of the instruction only. */
static bool dies_once(const Sel *s, IrRef v)
{
    const IrInsn *i = &s->r->insn[s->ref];
    IrRef root = ra_root(s, v);
    unsigned n = (unsigned)(ra_root(s, i->a) == root) + (ra_root(s, i->b) == root) + (ra_root(s, i->c) == root);
    return n <= 1 && sel_dies(s, v);
}

void sel_use_r_in(Sel *s, IrRef v, Gpr r)
{
    SelAlloc *ra = s->ra;
    IrRef root = ra_root(s, v);
    if (ra->val[root].reg == r.n) {
        if (dies_once(s, v)) {
            release(ra, r.n);
            ra->locked |= REG_BIT(r.n);
        } else {
            ra->locked &= ~REG_BIT(r.n);
            sel_take_r(s, r); /* the register keeps its contents */
        }
        return;
    }
    sel_take_r(s, r);
    ra_load_into(s, r.n, root);
}

static unsigned def_bind(Sel *s, const IrInsn *i, unsigned reg)
{
    IrRef ref = (IrRef)(i - s->r->insn);
    if (s->ra->used & REG_BIT(reg))
        release(s->ra, reg);
    bind(s->ra, reg, ref);
    s->ra->locked |= REG_BIT(reg);
    return reg;
}

static unsigned def_reg(Sel *s, const IrInsn *i)
{
    IrRef ref = (IrRef)(i - s->r->insn);
    return def_bind(s, i, alloc(s, pool_of(s, ref), s->ra->val[ref].hint));
}

static unsigned def_last(Sel *s, const IrInsn *i)
{
    SelAlloc *ra = s->ra;
    IrRef ref = (IrRef)(i - s->r->insn);
    uint64_t pool = pool_of(s, ref), dying = 0;
    unsigned hint = ra->val[ref].hint;

    for (uint64_t m = pool & ra->locked & ra->used; m; m &= m - 1) {
        unsigned reg = (unsigned)__builtin_ctzll(m);
        if (ra_next_use(s, ra->reg_val[reg], true) == NEVER)
            dying |= REG_BIT(reg);
    }
    if (hint != REG_NONE && !(ra->locked & REG_BIT(hint)) && (ra->used & REG_BIT(hint)) &&
        ra_next_use(s, ra->reg_val[hint], true) == NEVER)
        return def_bind(s, i, hint); /* what a snapshot of this operation wants there is left until it is done */
    if (!dying || (hint != REG_NONE && !(dying & REG_BIT(hint)) && reg_free(s, hint)))
        return def_reg(s, i);
    if (hint != REG_NONE && (dying & REG_BIT(hint)))
        dying = REG_BIT(hint);
    else if (dying & s->plan->temps)
        dying &= s->plan->temps;
    return def_bind(s, i, (unsigned)__builtin_ctzll(dying));
}

static unsigned def_from(Sel *s, const IrInsn *i, IrRef v)
{
    SelAlloc *ra = s->ra;
    IrRef ref = (IrRef)(i - s->r->insn), root = ra_root(s, v);
    unsigned reg = ra->val[root].reg, hint = ra->val[ref].hint, to;

    if (reg != REG_NONE && sel_dies(s, v) && (hint == reg || hint == REG_NONE || !reg_free(s, hint)))
        return def_bind(s, i, reg);
    uint64_t keep = ra->locked;
    if (reg != REG_NONE)
        ra->locked |= REG_BIT(reg);
    to = alloc(s, pool_of(s, ref), hint);
    ra->locked = keep;
    ra_load_into(s, to, root);
    return def_bind(s, i, to);
}

Gpr sel_def_r(Sel *s, const IrInsn *i)
{
    return (Gpr){(uint8_t)def_reg(s, i)};
}

Xmm sel_def_x(Sel *s, const IrInsn *i)
{
    return (Xmm){(uint8_t)(def_reg(s, i) - REG_X)};
}

Gpr sel_def_r_last(Sel *s, const IrInsn *i)
{
    return (Gpr){(uint8_t)def_last(s, i)};
}

Xmm sel_def_x_last(Sel *s, const IrInsn *i)
{
    return (Xmm){(uint8_t)(def_last(s, i) - REG_X)};
}

Gpr sel_def_r_from(Sel *s, const IrInsn *i, IrRef v)
{
    return (Gpr){(uint8_t)def_from(s, i, v)};
}

Xmm sel_def_x_from(Sel *s, const IrInsn *i, IrRef v)
{
    return (Xmm){(uint8_t)(def_from(s, i, v) - REG_X)};
}

void sel_def_r_in(Sel *s, const IrInsn *i, Gpr r)
{
    s->ra->locked &= ~REG_BIT(r.n);
    sel_take_r(s, r);
    def_bind(s, i, r.n);
}

Gpr sel_tmp_r(Sel *s)
{
    unsigned reg = alloc(s, s->plan->pool_r, REG_NONE);
    s->ra->locked |= REG_BIT(reg);
    return (Gpr){(uint8_t)reg};
}

Xmm sel_tmp_x(Sel *s)
{
    unsigned reg = alloc(s, s->plan->pool_x, REG_NONE);
    s->ra->locked |= REG_BIT(reg);
    return (Xmm){(uint8_t)(reg - REG_X)};
}
