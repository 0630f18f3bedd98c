/*
 * The optimiser: passes over one region, in the order of passes.def. Passes never fail and take linear time; they take
 * what memory they need from the region's arena. `slots` must always run: it makes the form that backends take.
 *
 *     OptConfig cfg = {.verify = true};
 *     opt_run(region, &cfg);
 */
#ifndef OPT_OPT_H
#define OPT_OPT_H

#include "ir/ir.h"

typedef struct OptConfig {
    uint32_t skip;   /* bit k: leave out pass k of passes.def, unless it is mandatory */
    bool no_marks;   /* nobody will look at instruction boundaries (IR_INSN): snapshots say which one an operation belongs to */
    bool verify;     /* check the region before the first pass and after each one */
    /*
     * Slots (bit k: slot k < 64) whose value nobody will read when the guest goes on at `pc`; they are not stored at direct
     * exits to there. NULL: every slot counts.
     */
    uint64_t (*dead)(void *ctx, uint64_t pc);
    /* Slots (bit k: slot k < 64) that are read soon when the guest goes on at `pc`: see IR_EXIT_FLAGS. NULL: none. */
    uint64_t (*read)(void *ctx, uint64_t pc);
    void *dead_ctx; /* of both */
    /* The slots that these two may name: they are asked only about exits where one of them is to be stored. 0: any slot. */
    uint64_t flags;
    /* Called after each pass that ran, for --log=opt. May be NULL. */
    void (*after)(void *ctx, const char *pass, const IrRegion *r);
    void *after_ctx;
} OptConfig;

/*
 * From now on `b`, at the beginning of an empty region that is to be a tree, builds the form that backends take: `slots`, `fold` and
 * `gvn` are done for each operation at once. For trees whose instructions nobody will take apart again: an instruction's
 * operations use values of earlier ones. opt_run must follow. `marks`: keep instruction boundaries, see no_marks.
 */
void opt_build(IrBuilder *b, bool marks);

/* Whether the pass that opt_build belongs to is left out. */
bool opt_skips_build(uint32_t skip);

/* Run the passes on a verified region in lifted form (gets and puts), a tree or a graph as in ir/cfg.h, or as opt_build made it. */
void opt_run(IrRegion *r, const OptConfig *cfg);

/*
 * Passes to leave out, for OptConfig.skip.
 *   list   "-gvn,-dce", as --opt takes it; NULL or empty: none
 * Returns false when a name is unknown or the pass is mandatory, which *bad then points at (inside list).
 */
bool opt_parse_skip(const char *list, uint32_t *skip, const char **bad);

/* Leave out all optional passes but the first `n`, for --opt-limit: add the result to OptConfig.skip. */
uint32_t opt_limit_skip(unsigned n);

/* Name of pass k, NULL when there are not so many. */
const char *opt_pass_name(unsigned k);

#endif
