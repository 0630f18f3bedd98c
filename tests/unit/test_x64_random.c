/*
 * Random tree regions, translated and interpreted: see jit_gen.h.
 *
 *   test_x64_random [SEED [COUNT [SIZE]]]
 */
#include "jit_gen.h"

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
    return random_main(argc, argv, 3000, 24, "regions", run_one);
}
