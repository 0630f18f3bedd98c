/*
 * Random tree regions, translated and interpreted: see jit_gen.h.
 *
 *   test_x64_random [SEED [COUNT [SIZE]]]
 */
#include "jit_gen.h"
#include "test.h"

static IrRegion *generate(unsigned size)
{
    static Gen g;
    memset(g.n, 0, sizeof g.n);
    g.pc = 0x10000;
    IrRegion *r = ir_region_new(&env->arena, &env->slots, env->helpers, env->nhelpers, g.pc);
    ir_builder_init(&g.b, r);
    r->fp.soft = pick(4) == 0;
    gen_body(&g, 1 + pick(size), 0);
    gen_insn(&g);
    gen_exit(&g);
    return r;
}

static bool run_one(unsigned size, unsigned states)
{
    char err[256];
    OptConfig cfg = {.skip = pick(3) ? 0 : ~0u};

    arena_reset(&env->arena);
    IrRegion *r = generate(size);
    opt_run(r, &cfg);
    if (!ir_verify(r, true, err, sizeof err)) {
        fprintf(stderr, "generator: %s\n", err);
        ir_print(stderr, r);
        return false;
    }
    return same_runs(r, states);
}

int main(int argc, char **argv)
{
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
    unsigned count = argc > 2 ? (unsigned)atoi(argv[2]) : 3000, size = argc > 3 ? (unsigned)atoi(argv[3]) : 24, k;
    char name[64];

    TEST_BEGIN();
    env_new(helpers, 2, true, NULL);
    for (k = 0; k < count; k++) {
        rng = (seed + k) * 0x9e3779b97f4a7c15 + 1;
        if (!run_one(size, 4))
            break;
    }
    snprintf(name, sizeof name, "%u random regions from seed %lu", k, (unsigned long)seed);
    TEST(name, k == count);
    if (k < count)
        printf("# failed with seed %lu\n", (unsigned long)(seed + k));
    printf("# %lu faults recovered\n", (unsigned long)env->faults);
    return TEST_END();
}
