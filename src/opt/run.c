/* Runs the passes of passes.def. */
#include "base/check.h"
#include "opt/pass.h"

#include <string.h>

typedef enum Kind { FORM, ANY, EARLY, DEEP, GRAPH } Kind;

static const struct {
    const char *name;
    void (*fn)(Opt *o);
    Kind kind;
} passes[] = {
#define OPT_PASS(name, fn, kind, what) {#name, fn, kind},
#include "opt/passes.def"
#undef OPT_PASS
};

#define NPASSES (sizeof passes / sizeof passes[0])

static void verify(const IrRegion *r, const char *when)
{
    char err[200];

    if (ir_verify(r, !r->graph, err, sizeof err))
        return;
    ir_print(stderr, r);
    fprintf(stderr, "dragoman: bad IR after %s: %s\n", when, err);
    CHECK(!"the region is valid");
}

/* What ir_cfg says of a tree, without looking: the blocks are in order already. */
static const IrCfg *tree_shape(const IrRegion *r)
{
    IrCfg *g = ARENA_NEW(r->arena, IrCfg);
    uint32_t *words = ARENA_ARRAY(r->arena, uint32_t, 6 * r->nblock + 2), n = r->nblock;

    g->n = n;
    g->reducible = true;
    g->rpo = g->at = words;
    g->idom = words + n;
    g->pred = words + 2 * n;
    g->loop = words + 3 * n;
    g->pred_first = words + 4 * n;
    g->pred_first[0] = 0;
    for (uint32_t b = 0; b < n; b++) {
        g->rpo[b] = b;
        g->idom[b] = b ? r->block[b].pred - 1 : 0;
        g->loop[b] = IR_NO_BLOCK;
        g->pred_first[b + 1] = b;
        if (b)
            g->pred[b - 1] = r->block[b].pred - 1;
    }
    return g;
}

void opt_shape(Opt *o)
{
    o->g = o->r->graph ? ir_cfg(o->r) : tree_shape(o->r);
}

void opt_run(IrRegion *r, const OptConfig *cfg)
{
    Opt o = {.r = r, .cfg = cfg};
    const bool serves[] = {
        [FORM] = !r->online, [ANY] = true, [EARLY] = !r->online || r->deep, [DEEP] = r->graph || r->deep, [GRAPH] = r->graph,
    };

    if (cfg->verify)
        verify(r, "lifting");
    if (r->graph)
        opt_join_blocks(&o);
    else if (!r->online || r->deep) /* otherwise no pass runs that asks for it */
        opt_shape(&o);
    for (unsigned k = 0; k < NPASSES; k++) {
        if (((cfg->skip >> k & 1) && passes[k].kind != FORM) || !serves[passes[k].kind])
            continue;
        passes[k].fn(&o);
        if (cfg->verify)
            verify(r, passes[k].name);
        if (cfg->after)
            cfg->after(cfg->after_ctx, passes[k].name, r);
    }
}

static int pass_named(const char *name, size_t n)
{
    for (unsigned k = 0; k < NPASSES; k++)
        if (passes[k].kind != FORM && strlen(passes[k].name) == n && memcmp(passes[k].name, name, n) == 0)
            return (int)k;
    return -1;
}

bool opt_parse_skip(const char *list, uint32_t *skip, const char **bad)
{
    *skip = 0;
    for (const char *p = list; p && *p; p += *p == ',') {
        size_t n = strcspn(p, ",");
        int k = *p == '-' ? pass_named(p + 1, n - 1) : -1;
        if (k < 0) {
            *bad = p;
            return false;
        }
        *skip |= 1u << k;
        p += n;
    }
    return true;
}

uint32_t opt_limit_skip(unsigned n)
{
    uint32_t skip = 0;

    for (unsigned k = 0; k < NPASSES; k++)
        if (passes[k].kind != FORM && n-- == 0) {
            skip = UINT32_MAX << k;
            break;
        }
    return skip;
}

bool opt_skips_build(uint32_t skip)
{
    return skip && (skip >> pass_named("online", 6) & 1);
}

const char *opt_pass_name(unsigned k)
{
    return k < NPASSES ? passes[k].name : NULL;
}

/* --- shared by the passes ----------------------------------------------------------------------------------------- */

static void map_list(IrRegion *r, IrRef at, uint32_t n, const IrRef *map)
{
    for (uint32_t k = 0; k < n; k++)
        r->pool[at + k] = map[r->pool[at + k]];
}

void opt_map_lists(IrRegion *r, IrInsn *i, const IrRef *map)
{
    if (i->op == IR_BRIF) {
        i->a = map[i->a];
        if (i->b)
            map_list(r, i->b + 1, r->pool[i->b], map);
        if (i->c)
            map_list(r, i->c + 1, r->pool[i->c], map);
    } else {
        map_list(r, i->a, i->b, map);
        i->c = map[i->c]; /* EXIT_HELP */
    }
}

void opt_map_snaps(IrRegion *r, const IrRef *map)
{
    for (uint32_t k = 0; k < r->nsnapent; k++)
        r->snapent[k].val = map[r->snapent[k].val];
}

static void map_grow(Opt *o, uint32_t need)
{
    uint32_t cap = need + need / 4 + 16;
    IrRef *map = ARENA_ARRAY(o->r->arena, IrRef, cap);

    if (o->cap_map)
        memcpy(map, o->map, o->cap_map * sizeof *map);
    for (IrRef k = o->cap_map; k < cap; k++)
        map[k] = k;
    o->map = map;
    o->cap_map = cap;
}

IrRef *opt_map(Opt *o)
{
    if (o->r->ninsn > o->cap_map)
        map_grow(o, o->r->ninsn);
    return o->map;
}

void opt_map_add(Opt *o, IrRef ref, IrRef to)
{
    if (ref >= o->cap_map)
        map_grow(o, ref + 1);
    o->map[ref] = to;
}

IrRef *opt_map_new(IrRegion *r, uint32_t extra)
{
    uint32_t n = r->ninsn + extra; /* not read in the loop, so that it becomes vectors */
    IrRef *map = ARENA_ARRAY(r->arena, IrRef, n);

    for (IrRef k = 0; k < n; k++)
        map[k] = k;
    return map;
}
