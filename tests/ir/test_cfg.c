/*
 * The shape of graphs (ir/cfg.h) against slow and simple computations, on random graphs: any (most not reducible) and those of
 * random_graph.h. With arguments: SEED [COUNT], to repeat.
 */
#include "../unit/test.h"
#include "ir/cfg.h"
#include "random_graph.h"
#include "support.h"

#define MAX_BLOCKS 512

typedef struct Slow {
    const IrRegion *r;
    uint32_t n;
    bool edge[MAX_BLOCKS][MAX_BLOCKS];
    bool dom[MAX_BLOCKS][MAX_BLOCKS]; /* [d][b]: d dominates b */
    bool reach[MAX_BLOCKS];
} Slow;

/* What can be reached from block 0 without block `gone`. */
static void reach(const Slow *s, uint32_t gone, bool *out)
{
    uint32_t stack[MAX_BLOCKS], depth = 0;

    memset(out, 0, s->n);
    if (gone != 0) {
        out[0] = true;
        stack[depth++] = 0;
    }
    while (depth) {
        uint32_t b = stack[--depth];
        for (uint32_t t = 0; t < s->n; t++)
            if (s->edge[b][t] && t != gone && !out[t]) {
                out[t] = true;
                stack[depth++] = t;
            }
    }
}

static void slow_shape(Slow *s, const IrRegion *r)
{
    memset(s, 0, sizeof *s);
    s->r = r;
    s->n = r->nblock;
    for (uint32_t b = 0; b < s->n; b++) {
        uint32_t to[2];
        for (unsigned e = ir_successors(r, b, to); e--;)
            s->edge[b][to[e]] = true;
    }
    reach(s, IR_NO_BLOCK, s->reach);
    for (uint32_t d = 0; d < s->n; d++) {
        bool out[MAX_BLOCKS];
        reach(s, d, out);
        for (uint32_t b = 0; b < s->n; b++)
            s->dom[d][b] = s->reach[d] && s->reach[b] && !out[b];
    }
}

static bool back_edge(const Slow *s, uint32_t from, uint32_t to)
{
    return s->edge[from][to] && s->dom[to][from];
}

/* Without back-edges a reducible graph has no cycle: blocks without predecessors can be taken away until none is left. */
static bool slow_reducible(const Slow *s)
{
    bool gone[MAX_BLOCKS] = {false};
    uint32_t left = 0, before;

    for (uint32_t b = 0; b < s->n; b++)
        left += s->reach[b];
    do {
        before = left;
        for (uint32_t b = 0; b < s->n; b++) {
            bool any = !s->reach[b] || gone[b];
            for (uint32_t p = 0; p < s->n && !any; p++)
                any = s->reach[p] && !gone[p] && s->edge[p][b] && !back_edge(s, p, b);
            if (!any) {
                gone[b] = true;
                left--;
            }
        }
    } while (left != before);
    return left == 0;
}

static bool check_order(const Slow *s, const IrCfg *g)
{
    bool seen[MAX_BLOCKS] = {false};

    for (uint32_t k = 0; k < g->n; k++) {
        if (seen[g->rpo[k]] || !s->reach[g->rpo[k]] || g->at[g->rpo[k]] != k)
            return false;
        seen[g->rpo[k]] = true;
    }
    for (uint32_t b = 0; b < s->n; b++) {
        if (s->reach[b] != seen[b] || (!s->reach[b] && g->at[b] != IR_NO_BLOCK))
            return false;
        for (uint32_t t = 0; t < s->n; t++)
            if (g->reducible && s->reach[b] && s->edge[b][t] && !back_edge(s, b, t) && g->at[b] >= g->at[t])
                return false;
    }
    return g->rpo[0] == 0;
}

static bool check_preds(const Slow *s, const IrCfg *g)
{
    for (uint32_t b = 0; b < s->n; b++) {
        uint32_t count = 0, to[2];
        for (uint32_t p = 0; p < s->n; p++)
            for (unsigned e = s->reach[p] ? ir_successors(s->r, p, to) : 0; e--;)
                count += to[e] == b;
        if (g->pred_first[b + 1] - g->pred_first[b] != count)
            return false;
        for (uint32_t k = g->pred_first[b]; k < g->pred_first[b + 1]; k++)
            if (!s->edge[g->pred[k]][b])
                return false;
    }
    return true;
}

static bool check_dominators(const Slow *s, const IrCfg *g)
{
    for (uint32_t b = 0; b < s->n; b++) {
        if (!s->reach[b])
            continue;
        /* of the strict dominators, the immediate one is dominated by all others */
        for (uint32_t d = 0; d < s->n; d++) {
            if (s->reach[d] && ir_cfg_dominates(g, d, b) != s->dom[d][b])
                return false;
            if (d != b && s->dom[d][b] && !s->dom[d][g->idom[b]])
                return false;
        }
        if (b ? g->idom[b] == b || !s->dom[g->idom[b]][b] : g->idom[b] != 0)
            return false;
    }
    return true;
}

/* The natural loop of header h: what reaches one of its back-edges without passing through it. */
static bool natural_loop(const Slow *s, uint32_t h, bool *in)
{
    uint32_t stack[MAX_BLOCKS], depth = 0;
    bool any = false;

    memset(in, 0, s->n);
    in[h] = true;
    for (uint32_t b = 0; b < s->n; b++)
        if (s->reach[b] && back_edge(s, b, h)) {
            any = true;
            if (!in[b]) {
                in[b] = true;
                stack[depth++] = b;
            }
        }
    while (depth) {
        uint32_t b = stack[--depth];
        for (uint32_t p = 0; p < s->n; p++)
            if (s->reach[p] && s->edge[p][b] && !in[p]) {
                in[p] = true;
                stack[depth++] = p;
            }
    }
    return any;
}

static bool check_loops(const Slow *s, const IrCfg *g)
{
    uint32_t loops = 0;

    for (uint32_t h = 0; h < s->n; h++) {
        bool in[MAX_BLOCKS];
        if (!s->reach[h] || !natural_loop(s, h, in))
            continue;
        loops++;
        uint32_t l = g->loop[h];
        if (l == IR_NO_BLOCK || g->loops[l].header != h || g->at[h] != g->loops[l].first)
            return false;
        uint32_t parent = g->loops[l].parent;
        if (g->loops[l].depth != (parent == IR_NO_BLOCK ? 1 : g->loops[parent].depth + 1))
            return false;
        if (parent != IR_NO_BLOCK && (parent >= l || !ir_cfg_in_loop(g, parent, h)))
            return false;
        for (uint32_t b = 0; b < s->n; b++)
            if (s->reach[b] && ir_cfg_in_loop(g, l, b) != in[b])
                return false;
    }
    /* a block's innermost loop: it is in it and in none of those inside */
    for (uint32_t b = 0; b < s->n; b++)
        for (uint32_t l = 0; s->reach[b] && l < g->nloops; l++)
            if (ir_cfg_in_loop(g, l, b) && g->loops[l].depth > ir_cfg_depth(g, b))
                return false;
    return loops == g->nloops;
}

static bool check_shape(const IrRegion *r)
{
    static Slow s;
    const IrCfg *g = ir_cfg(r);

    slow_shape(&s, r);
    return g->reducible == slow_reducible(&s) && check_order(&s, g) && check_preds(&s, g) && check_dominators(&s, g) &&
           (!g->reducible || check_loops(&s, g));
}

/* Any edges at all, but none to the entry. */
static IrRegion *random_edges(Arena *a, uint64_t seed)
{
    uint64_t s = seed * 0x9e3779b97f4a7c15ull + 1;
    IrRegion *r = ir_region_new(a, &test_slots, test_helpers, TEST_NHELPERS, 0x1000);
    uint32_t n = 2 + (uint32_t)(test_random(&s) % (seed % 4 ? 10 : 40));
    IrBuilder b;

    ir_builder_init(&b, r);
    r->graph = true;
    while (r->nblock < n)
        ir_block_new(r);
    for (b.block = 0; b.block < n; b.block++) {
        uint32_t x = 1 + (uint32_t)(test_random(&s) % (n - 1)), y = 1 + (uint32_t)(test_random(&s) % (n - 1));
        if (seed % 2 && test_random(&s) % 4) /* mostly forward: more of them are reducible */
            x = b.block + 1 < n ? b.block + 1 : x;
        switch (test_random(&s) % 6) {
        case 0: ir_exit(&b, 0x2000, 0); break;
        case 1: case 2: ir_br(&b, x, 0, NULL); break;
        default: ir_brif(&b, ir_get(&b, TEST_Z), x, y); break;
        }
    }
    return r;
}

static bool one(uint64_t seed)
{
    Arena a;
    char err[200];

    arena_init(&a);
    IrRegion *r = random_edges(&a, seed);
    bool ok = check_shape(r);
    ok = ok && ir_verify(r, false, err, sizeof err) == ir_cfg(r)->reducible;
    if (!ok)
        ir_print(stdout, r);
    IrRegion *graph = random_graph(&a, seed, false);
    if (ok && graph->nblock < MAX_BLOCKS)
        ok = check_shape(graph) && ir_cfg(graph)->reducible && ir_verify(graph, false, err, sizeof err);
    if (!ok)
        printf("# seed %llu\n", (unsigned long long)seed);
    arena_done(&a);
    return ok;
}

int main(int argc, char **argv)
{
    uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
    uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 0) : argc > 1 ? 1 : 1500;
    unsigned bad = 0;

    TEST_BEGIN();
    for (uint64_t k = 0; k < count && bad < 3; k++)
        bad += !one(first + k);
    TEST("order, predecessors, dominators and loops of random graphs", bad == 0);
    return TEST_END();
}
