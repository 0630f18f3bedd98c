/* The shape of a graph region as the backend sees it, and where values are live. */
#include "host/x86_64/graph.h"

#include "base/check.h"

#include <string.h>

#define SIDE_INSNS 24 /* a larger tree of blocks that is not cold is worth a place in the main part */

/* --- shape -------------------------------------------------------------------------------------------------------------- */

static uint32_t block_insns(const IrRegion *r, uint32_t b)
{
    uint32_t n = 0;
    for (IrRef ref = r->block[b].first; ref; ref = r->insn[ref].next)
        n += r->insn[ref].op != IR_INSN;
    return n;
}

/* Mark blocks whose only ways on are exits. Successors stand behind a block in the order, but for back-edges. */
static void find_sides(const IrRegion *r, Graph *g)
{
    uint32_t *size = arena_zalloc(r->arena, r->nblock * sizeof *size); /* of a tree; 0: none */
    for (uint32_t k = g->cfg->n; k-- > 0;) {
        uint32_t b = g->cfg->rpo[k], to[2];
        uint32_t sum = block_insns(r, b);
        bool tree = b != 0 && graph_npreds(g, b) == 1;
        for (unsigned n = ir_successors(r, b, to); n-- && tree;) {
            tree = g->cfg->at[to[n]] > k && size[to[n]];
            sum += size[to[n]];
        }
        size[b] = tree ? sum : 0;
    }
    for (uint32_t k = 0; k < g->cfg->n; k++) {
        uint32_t b = g->cfg->rpo[k], to[2], side = IR_NO_BLOCK, main;
        unsigned n = ir_successors(r, b, to);
        bool fits[2] = {false, false};
        for (unsigned j = 0; j < n; j++) {
            fits[j] = size[to[j]] && (r->block[to[j]].cold || size[to[j]] <= SIDE_INSNS || g->block[b].side);
            if (g->block[b].side)
                g->block[to[j]].side = true;
        }
        if (g->block[b].side || n < 2)
            continue;
        if (fits[0] && fits[1])
            live_targets(r, &r->insn[r->block[b].last], &main, &side);
        else if (fits[0] || fits[1])
            side = fits[0] ? to[0] : to[1];
        if (side != IR_NO_BLOCK)
            g->block[side].side = true;
    }
}

bool graph_side(const Sel *s, const IrInsn *brif, uint32_t *main, uint32_t *side)
{
    const Graph *g = s->ra->g;
    uint32_t yes = (uint32_t)brif->imm, no = (uint32_t)(brif->imm >> 32);
    bool is_yes = g->block[yes].side;
    if (!is_yes && !g->block[no].side)
        return false;
    *side = is_yes ? yes : no;
    *main = is_yes ? no : yes;
    return true;
}

void graph_begin(Sel *s)
{
    const IrRegion *r = s->r;
    Graph *g = s->ra->g = ARENA_NEW(s->arena, Graph);
    g->cfg = ir_cfg(r);
    g->block = arena_zalloc(s->arena, r->nblock * sizeof *g->block);
    g->words = (s->ra->nval + 63) / 64;
    g->at = arena_zalloc(s->arena, r->ninsn * sizeof *g->at);
    g->last = arena_zalloc(s->arena, s->ra->nval * sizeof *g->last);
    g->stored = arena_zalloc(s->arena, s->ra->nval * sizeof *g->stored);
    g->slot = arena_zalloc(s->arena, s->ra->nval * sizeof *g->slot);
    g->becomes = arena_zalloc(s->arena, s->ra->nval * sizeof *g->becomes);
    find_sides(r, g);
    uint32_t before = IR_NO_BLOCK;
    for (uint32_t k = 0; k < g->cfg->n; k++) {
        uint32_t b = g->cfg->rpo[k];
        if (g->block[b].side)
            continue;
        if (before != IR_NO_BLOCK)
            g->block[before].next = b;
        g->block[b].next = IR_NO_BLOCK;
        g->block[b].label = sel_label(s);
        before = b;
    }
}

/* --- parameters --------------------------------------------------------------------------------------------------------- */

typedef void EdgeFn(Sel *s, IrRef param, IrRef arg, bool *changed);

static void each_arg(Sel *s, EdgeFn *fn, bool *changed)
{
    const IrRegion *r = s->r;
    const Graph *g = s->ra->g;
    for (uint32_t k = 0; k < g->cfg->n; k++) {
        const IrInsn *i = &r->insn[r->block[g->cfg->rpo[k]].last];
        unsigned edges = i->op == IR_BR ? 1 : i->op == IR_BRIF ? 2 : 0;
        for (unsigned e = 0; e < edges; e++) {
            uint32_t to, n, p = 0;
            IrRef args = graph_args(r, i, e, &to, &n);
            if (!n || graph_npreds(g, to) < 2)
                continue;
            for (IrRef ref = r->block[to].first; p < n; ref = r->insn[ref].next)
                if (r->insn[ref].op == IR_PARAM)
                    fn(s, ref, r->pool[args + p++], changed);
        }
    }
}

static bool is_param(const Sel *s, IrRef root)
{
    return root < s->r->ninsn && s->r->insn[root].op == IR_PARAM;
}

static void pass_need(Sel *s, IrRef param, IrRef arg, bool *changed)
{
    IrRef root = ra_root(s, arg);
    if (is_param(s, root) && (ra_val(s, param)->flags & VAL_NEEDED) && !(ra_val(s, root)->flags & VAL_NEEDED)) {
        ra_val(s, root)->flags |= VAL_NEEDED;
        *changed = true;
    }
}

static void count_arg(Sel *s, IrRef param, IrRef arg, bool *changed)
{
    if (ra_val(s, param)->flags & VAL_NEEDED)
        ra_val(s, ra_root(s, arg))->count++;
}

void graph_params(Sel *s)
{
    const IrRegion *r = s->r;
    for (uint32_t b = 0; b < r->nblock; b++)
        for (IrRef ref = r->block[b].first, n = r->block[b].nparams; ref && n; ref = r->insn[ref].next)
            if (r->insn[ref].op == IR_PARAM) {
                n--;
                if (ra_root(s, ref) == ref && (ra_val(s, ref)->count || (ra_val(s, ref)->flags & VAL_SNAP)))
                    ra_val(s, ref)->flags |= VAL_NEEDED;
            }
    for (bool changed = true; changed;) {
        changed = false;
        each_arg(s, pass_need, &changed);
    }
    each_arg(s, count_arg, NULL);
}

/* --- liveness ----------------------------------------------------------------------------------------------------------- */

/* The block that defines a value; IR_NO_BLOCK for what is there from the start. */
static uint32_t def_block(const Sel *s, const uint32_t *block_at, IrRef v)
{
    if (v >= s->r->ninsn || s->r->insn[v].op == IR_GET)
        return IR_NO_BLOCK;
    return block_at[s->ra->g->at[v]];
}

/* `v`, defined in block `def`, is needed in block `b`: it is live into it and all that lies between. */
static void mark_up(Graph *g, IrRef v, uint32_t def, uint32_t b, uint32_t *stack)
{
    uint32_t n = 0;
    stack[n++] = b;
    while (n) {
        b = stack[--n];
        if (b == def || graph_bit(g->block[b].in, v))
            continue;
        g->block[b].in[v / 64] |= 1ull << (v % 64);
        for (uint32_t p = g->cfg->pred_first[b]; p < g->cfg->pred_first[b + 1]; p++) {
            uint32_t x = g->cfg->pred[p];
            g->block[x].out[v / 64] |= 1ull << (v % 64);
            stack[n++] = x;
        }
    }
}

static void find_live(Sel *s, const uint32_t *block_at)
{
    SelAlloc *ra = s->ra;
    Graph *g = ra->g;
    uint32_t *stack = ARENA_ARRAY(s->arena, uint32_t, 4 * s->r->nblock + 4);
    for (IrRef v = 1; v < ra->nval; v++) {
        if (!ra->val[v].use)
            continue;
        uint32_t def = def_block(s, block_at, v), seen = IR_NO_BLOCK;
        for (uint32_t u = ra->val[v].use; u; u = ra->use[u].next) {
            uint32_t b = block_at[ra->use[u].pos];
            g->last[v] = ra->use[u].pos;
            if (b != seen)
                mark_up(g, v, def, b, stack);
            seen = b;
        }
    }
}

/* Whether something in the loop wants the value in a register. `u`: its first use. */
static bool wanted_between(const SelAlloc *ra, uint32_t u, uint32_t first, uint32_t last)
{
    for (; u && ra->use[u].pos <= last; u = ra->use[u].next)
        if (ra->use[u].pos >= first && !ra->use[u].soft)
            return true;
    return false;
}

/* A mark at the loop's end in the ascending list of the value's uses. */
static void mark_turn(Sel *s, IrRef v, uint32_t first, uint32_t end)
{
    SelAlloc *ra = s->ra;
    uint32_t before = 0, u = ra->val[v].use;
    bool soft = !wanted_between(ra, u, first, end);
    while (u && ra->use[u].pos < end) {
        before = u;
        u = ra->use[u].next;
    }
    if (u && ra->use[u].pos == end)
        return;
    uint32_t n = ra_use_new(s);
    ra->use[n] = (Use){.pos = end, .next = u, .soft = soft, .turn = true};
    if (before) {
        ra->use[before].next = n;
    } else {
        ra->val[v].use = n;
        ra->val[v].first = end;
    }
    if (ra->g->last[v] < end)
        ra->g->last[v] = end;
}

/* Inner loops first: what they want, those around them do. */
static void mark_loops(Sel *s)
{
    Graph *g = s->ra->g;
    for (uint32_t k = g->cfg->nloops; k-- > 0;) {
        const IrLoop *l = &g->cfg->loops[k];
        const GraphBlock *head = &g->block[l->header];
        g->loop[k].end = g->block[g->cfg->rpo[l->last]].last;
        for (uint32_t w = 0; w < g->words; w++)
            for (uint64_t m = head->in[w]; m; m &= m - 1)
                mark_turn(s, 64 * w + (uint32_t)__builtin_ctzll(m), head->first, g->loop[k].end);
    }
}

/* --- pressure ----------------------------------------------------------------------------------------------------------- */

/* Whether a value takes a register while it lives: small constants are part of instructions. */
static bool takes_register(const Sel *s, IrRef v, bool x)
{
    unsigned flags = ra_val(s, v)->flags;
    return !(flags & VAL_LAZY) && (x || !(flags & VAL_CONST));
}

/* Changes of the number of values by position: where they begin, and behind the last use in a block that they do not outlive. */
static void count_value(const Sel *s, IrRef v, int16_t *delta)
{
    const SelAlloc *ra = s->ra;
    const Graph *g = ra->g;
    uint32_t last = 0, b = IR_NO_BLOCK;
    if (v < s->r->ninsn && s->r->insn[v].op != IR_GET)
        delta[g->at[v]]++;
    for (uint32_t u = ra->val[v].use;; u = ra->use[u].next) {
        uint32_t at = u ? g->block_at[ra->use[u].pos] : IR_NO_BLOCK;
        if (at != b && b != IR_NO_BLOCK && last != g->block[b].last && !graph_bit(g->block[b].out, v))
            delta[last + 1]--;
        if (!u)
            return;
        b = at;
        last = ra->use[u].pos;
    }
}

static void find_peaks(Sel *s, unsigned class, const uint64_t *set, const int16_t *delta)
{
    Graph *g = s->ra->g;
    for (uint32_t k = 0; k < g->cfg->n; k++) {
        uint32_t b = g->cfg->rpo[k];
        GraphBlock *x = &g->block[b];
        if (x->side)
            continue;
        int n = 0, peak;
        for (uint32_t w = 0; w < g->words; w++)
            n += __builtin_popcountll(x->in[w] & set[w]);
        peak = n;
        for (uint32_t pos = x->first; pos <= x->last; pos++) {
            n += delta[pos];
            peak = n > peak ? n : peak;
        }
        x->peak[class] = (uint16_t)peak;
        for (uint32_t l = g->cfg->loop[b], own = l; l != IR_NO_BLOCK; l = g->cfg->loops[l].parent) {
            uint16_t *most = l == own ? &g->loop[l].own[class] : &g->loop[l].inner[class];
            if (*most < peak)
                *most = (uint16_t)peak;
        }
    }
}

static void find_pressure(Sel *s)
{
    SelAlloc *ra = s->ra;
    for (unsigned class = 0; class < 2; class++) {
        int16_t *delta = arena_zalloc(s->arena, (ra->norder + 2) * sizeof *delta);
        uint64_t *set = arena_zalloc(s->arena, ra->g->words * sizeof *set);
        for (IrRef v = 1; v < ra->nval; v++) {
            if (!ra->val[v].use || plan_is_x(ra_type(s, v)) != class || !takes_register(s, v, class))
                continue;
            set[v / 64] |= 1ull << (v % 64);
            count_value(s, v, delta);
        }
        find_peaks(s, class, set, delta);
    }
}

void graph_live(Sel *s)
{
    SelAlloc *ra = s->ra;
    Graph *g = ra->g;
    g->block_at = ARENA_ARRAY(s->arena, uint32_t, ra->norder + 1);
    g->loop = arena_zalloc(s->arena, (g->cfg->nloops + 1) * sizeof *g->loop);
    for (uint32_t k = 0; k < g->cfg->n; k++) {
        uint32_t b = g->cfg->rpo[k];
        GraphBlock *x = &g->block[b];
        if (x->side)
            continue;
        x->in = arena_zalloc(s->arena, g->words * sizeof *x->in);
        x->out = arena_zalloc(s->arena, g->words * sizeof *x->out);
        for (uint32_t pos = x->first; pos <= x->last; pos++)
            g->block_at[pos] = b;
    }
    find_live(s, g->block_at);
    mark_loops(s);
    if (g->cfg->nloops)
        find_pressure(s);
}
