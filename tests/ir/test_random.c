/*
 * Random regions, through every pass: the optimised region must do what the one as built did, on random states, whatever
 * passes are left out. Regions are trees such as lifters make: traces with side exits; and graphs (random_graph.h).
 * With arguments: tree|graph SEED [COUNT], to repeat.
 */
#include "../unit/test.h"
#include "opt/opt.h"
#include "random_gen.h"
#include "random_graph.h"
#include "support.h"

/* A conditional branch: a side exit, and on along the trace. */
static void side_exit(Gen *g)
{
    IrRef cond = gen_condition(g);
    uint32_t side = ir_block_new(g->b.r), on = ir_block_new(g->b.r);
    unsigned nval[3] = {g->nval[0], g->nval[1], g->nval[2]};

    if (gen_below(g, 2))
        ir_brif(&g->b, cond, side, on);
    else
        ir_brif(&g->b, cond, on, side);
    g->b.r->block[side].cold = true;
    g->b.block = side;
    /* values made here are out of scope afterwards */
    if (gen_below(g, 3) == 0 && gen_room(g))
        gen_insn(g);
    gen_leave(g);
    g->b.block = on;
    memcpy(g->nval, nval, sizeof nval);
}

static IrRegion *random_tree(Arena *a, uint64_t seed, bool raw)
{
    Gen g = {.raw = raw, .nput = 8, .seed = seed * 0x9e3779b97f4a7c15ull + 1, .pc = 0x1000};

    ir_builder_init(&g.b, ir_region_new(a, &test_slots, test_helpers, TEST_NHELPERS, g.pc));
    for (unsigned n = 3 + gen_below(&g, 20); n > 0; n--) {
        gen_insn(&g);
        if (gen_below(&g, 5) == 0)
            side_exit(&g);
    }
    gen_leave(&g);
    return g.b.r;
}

static uint64_t dead_at(void *ctx, uint64_t pc)
{
    return pc == 0xdead ? 0xf : 0;
}

typedef IrRegion *Make(Arena *a, uint64_t seed, bool raw);

static bool one(Make *make, uint64_t seed, bool loud)
{
    Arena a;
    OptConfig cfg = {.verify = true, .dead = dead_at};
    uint64_t s = seed;
    bool ok = true;

    arena_init(&a);
    IrRegion *before = make(&a, seed, true), *r = make(&a, seed, seed & 1);
    if (seed % 3 == 0)
        cfg.skip = (uint32_t)test_random(&s);
    if (loud)
        ir_print(stdout, before);
    opt_run(r, &cfg);
    if (loud)
        ir_print(stdout, r);
    for (uint64_t k = 0; k < 12 && ok; k++)
        ok = test_same_run(before, r, 0xf, seed * 1000 + k + 1);
    if (!ok)
        printf("# region of seed %llu\n", (unsigned long long)seed);
    arena_done(&a);
    return ok;
}

static bool many(Make *make, uint64_t first, uint64_t count, bool loud)
{
    unsigned bad = 0;

    for (uint64_t k = 0; k < count && bad < 5; k++)
        bad += !one(make, first + k, loud);
    return bad == 0;
}

int main(int argc, char **argv)
{
    uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 0) : 1, count = argc > 3 ? strtoull(argv[3], NULL, 0) : 1;
    const char *what = argc > 1 ? argv[1] : "";

    if (argc == 1)
        count = 3000;
    TEST_BEGIN();
    if (argc == 1 || strcmp(what, "tree") == 0)
        TEST("random trees", many(random_tree, first, count, argc == 3));
    if (argc == 1 || strcmp(what, "graph") == 0)
        TEST("random graphs", many(random_graph, first, count, argc == 3));
    return TEST_END();
}
