/*
 * Setting up and taking down; statistics.
 */
#include "engine/internal.h"

#include "base/log.h"
#include "base/os.h"
#include "opt/opt.h"

#include <stdlib.h>

#define CLOCK_LOOKS 16
#define CACHE_BYTES_DEFAULT ((size_t)256 << 20)
#define CACHE_BYTES_MIN ((size_t)1 << 20)
#define STUBS_BYTES CACHE_GRANULE

/* --- the doors of IrWorld, which hand on to the environment --- */

static IrStop world_syscall(IrCpu *cpu)
{
    IrStop stop = vcpu_of(cpu)->e->cfg.env->syscall(vcpu_of(cpu));

    return stop == IR_STOP_NONE && tools_mode(vcpu_of(cpu)) ? IR_STOP_CHECK : stop;
}

static uint64_t world_counter(IrCpu *cpu, uint64_t frequency)
{
    return vcpu_of(cpu)->e->cfg.env->counter(vcpu_of(cpu), frequency);
}

static uint64_t world_random(IrCpu *cpu)
{
    return vcpu_of(cpu)->e->cfg.env->random(vcpu_of(cpu));
}

static void world_invalidate(IrCpu *cpu, uint64_t va, uint64_t len)
{
    engine_invalidate(vcpu_of(cpu)->e, va, len);
}

static void world_yield(IrCpu *cpu)
{
    os_yield();
}

static bool world_poll(IrCpu *cpu)
{
    return __atomic_load_n(&vcpu_of(cpu)->h.exit_request, __ATOMIC_RELAXED) != 0;
}

/* --- setting up --- */

/* The plan and the common stubs, in a part of the cache that stays. */
static bool host_init(Engine *e, Status *st)
{
    const Guest *g = e->cfg.guest;
    HostConfig hc = {
        .slots = &e->slots, .pin_int = g->pin_int, .pin_vec = g->pin_vec, .pc_shift = g->pc_shift, .flags = g->flag_slot,
        .helpers = g->helpers, .nhelpers = g->nhelpers,
        .cpu = e->cfg.host_cpu ? e->cfg.host_cpu : "native", .ret_predict = e->cfg.ret_predict,
        .count_polls = e->cfg.check, .promote = e->cfg.promote.slots > 0, .harden = e->cfg.harden,
        .tool_calls = e->cfg.tools && e->cfg.tools->calls, .lanes = e->cfg.tools && !e->cfg.tools->calls,
        .combine = e->cfg.tools ? tools_combine : NULL, .combine_data = e->cfg.tools, .count_at = e->cfg.count ? vcpu_counters_at(e) : 0,
    };

    e->host = &host_native;
    e->plan = e->host->plan_new(&hc, st);
    if (!e->plan)
        return false;
    CacheRegion *r = cache_region_new(e, STUBS_BYTES, false);
    if (!r)
        return status_set(st, STATUS_HOST, "cannot map memory for translated code");
    r->fixed = true;
    CodeBuf cb = {.start = r->rw, .p = r->rw, .end = r->rw + r->size, .delta = r->rx - r->rw};
    if (!e->host->stubs(e->plan, &cb))
        return status_set(st, STATUS_HOST, "the common stubs do not fit in %u bytes", STUBS_BYTES);
    return true;
}

static void locks_init(Engine *e)
{
    pthread_mutex_init(&e->kill_lock, NULL);
    for (unsigned k = 0; k < MAKING_LOCKS; k++)
        pthread_mutex_init(&e->making[k], NULL);
    pthread_mutex_init(&e->careful_lock, NULL);
    pthread_mutex_init(&e->vcpu_lock, NULL);
    pthread_mutex_init(&e->retire_lock, NULL);
    pthread_mutex_init(&e->fork_lock, NULL);
    pthread_mutex_init(&e->hot.lock, NULL);
}

/* The least time between two looks at a thread's clock. */
static uint64_t clock_cost(void)
{
    uint64_t least = UINT64_MAX;

    for (unsigned k = 0; k < CLOCK_LOOKS; k++) {
        uint64_t start = os_thread_ns(), ns = os_thread_ns() - start;
        least = ns < least ? ns : least;
    }
    return least;
}

/* Options that follow from others. */
static bool settle(Engine *e, Status *st)
{
    const char *bad;

    e->clock_ns = e->cfg.timing ? clock_cost() : 0;
    if (!opt_parse_skip(e->cfg.opt, &e->opt_skip, &bad))
        return status_set(st, STATUS_USAGE, "--opt: no pass that can be left out at '%s'", bad);
    if (e->cfg.check && e->cfg.tools)
        return status_set(st, STATUS_USAGE, "--check compares what tools would change: it goes with no tool");
    if (e->cfg.tools || e->cfg.perf) /* code that is kept would be that of other tools, or have no names */
        e->cfg.persist_dir = NULL;
    if (e->cfg.check) {
        e->cfg.no_chain = true;
        e->cfg.ret_predict = false;
        e->cfg.exact_flags = true;
        e->cfg.fp_exact = true;
    }
    if (e->cfg.one_insn || (e->cfg.kind == ENGINE_INTERP && e->cfg.tier2 != 1))
        e->cfg.tier2 = 0;
    if (log_on(LOG_EXEC))
        e->cfg.no_chain = true;
    if (e->cfg.no_chain)
        e->cfg.ret_predict = false;
    if (e->cfg.promote.slots == PROMOTE_DEFAULT)
        e->cfg.promote.slots = e->cfg.harden ? PROMOTE_SLOTS_HARDENED : PROMOTE_SLOTS;
    if (e->cfg.promote.window == PROMOTE_DEFAULT)
        e->cfg.promote.window = e->cfg.harden ? PROMOTE_WINDOW_HARDENED : PROMOTE_WINDOW;
    if (e->cfg.no_chain || e->cfg.kind == ENGINE_INTERP)
        e->cfg.promote.slots = 0;
    if (e->cfg.no_chain && e->cfg.tier2 != 1) /* nothing is linked, so nothing counted */
        e->cfg.tier2 = 0;
    if (!e->cfg.cache_bytes)
        e->cfg.cache_bytes = CACHE_BYTES_DEFAULT;
    if (e->cfg.cache_bytes < CACHE_BYTES_MIN)
        e->cfg.cache_bytes = CACHE_BYTES_MIN;
    return true;
}

Engine *engine_new(const EngineConfig *cfg, Status *st)
{
    Engine *e = calloc(1, sizeof *e);

    if (!e) {
        status_set(st, STATUS_HOST, "out of memory");
        return NULL;
    }
    e->cfg = *cfg;
    e->world = (IrWorld){mem_ops, world_syscall, world_counter, world_random, world_invalidate, versions_monitor, world_yield, world_poll,
                         tools_world_call, tools_world_room};
    tools_init(e);
    atomic_store(&e->epoch, 1);
    locks_init(e);
    tier_init(e);
    if (settle(e, st) && versions_init(e) && table_init(&e->table, st) && cache_init(&e->cache, e->cfg.cache_bytes, st) &&
        (e->cfg.kind == ENGINE_INTERP || host_init(e, st)) && fault_install(e, st) && perf_init(e, st) &&
        (!e->cfg.tools || e->cfg.tools->ops->start(e->cfg.tools, st))) {
        promote_init(e);
        persist_init(e);
        return e;
    }
    engine_free(e);
    return NULL;
}

static void free_list(Pool *pool, Translation *t)
{
    while (t) {
        Translation *next = t->region_next;
        if (!t->promotion) /* such a one belongs to its cell */
            translation_free(pool, t);
        t = next;
    }
}

void engine_free(Engine *e)
{
    tier_done(e);
    perf_done(e);
    fault_uninstall();
    /* Compiled translations belong to their cache region; interpreted ones to the table or the list of retired ones. */
    table_done(&e->table, &e->cache.pool);
    free_list(&e->cache.pool, e->retired);
    cache_done(&e->cache);
    promote_done(e);
    persist_done(e);
    if (e->plan)
        e->host->plan_free(e->plan);
    careful_done(e);
    versions_done(e);
    tools_done(e);
    hot_done(e);
    free(e);
}

/* --- statistics --- */

static void print_rate(FILE *f, const char *name, uint64_t n, uint64_t of, const char *unit)
{
    fprintf(f, "  %-28s %12llu", name, (unsigned long long)n);
    if (of)
        fprintf(f, "   %.2f %s", (double)n / (double)of, unit);
    fputc('\n', f);
}

static void add_hardened(Engine *e, const Translation *t, uint64_t *bytes, uint64_t *bad)
{
    *bytes += t->insns;
    *bad += e->host->unprotected(e->plan, t->hpc, t->insns) != t->insns;
}

/* Look through all translated code for branches that are not protected. */
static void print_hardened(Engine *e, FILE *f)
{
    uint64_t bytes = 0, bad = e->host->unprotected(e->plan, NULL, 0) != 0;

    pthread_mutex_lock(&e->kill_lock);
    for (CacheRegion *r = e->cache.oldest; r; r = r->next)
        for (Translation *t = r->translations; t; t = t->region_next)
            add_hardened(e, t, &bytes, &bad);
    for (Cells *c = e->cache.cells; c < e->cache.cells + CELL_KINDS; c++)
        for (unsigned k = 0; k < c->n; k++) {
            Translation *t = atomic_load(&c->owner[k]);
            if (t)
                add_hardened(e, t, &bytes, &bad);
        }
    pthread_mutex_unlock(&e->kill_lock);
    print_rate(f, "hardened code, bytes", bytes, 0, "");
    print_rate(f, "  with unprotected branches", bad, 0, "");
}

static void print_stubs(const Cells *c, FILE *f)
{
    print_rate(f, "promotion stubs", c[CELL_SHORT].fresh - c[CELL_SHORT].nfree + c[CELL_LONG].fresh - c[CELL_LONG].nfree, 0, "");
    print_rate(f, "  not made for want of room", c[CELL_SHORT].refused + c[CELL_LONG].refused, 0, "");
}

void engine_stats(Engine *e, FILE *f)
{
    struct VcpuStats s = vcpu_sum_stats(e);

    fprintf(f, "dragoman statistics\n");
    print_rate(f, "translations", s.translations, 0, "");
    print_rate(f, "  interpreted", s.interp_regions, 0, "");
    print_rate(f, "  discarded", s.discarded, 0, "");
    print_rate(f, "guest instructions", s.guest_insns, s.translations, "a translation");
    print_rate(f, "host bytes", s.host_bytes, s.guest_insns, "a guest instruction");
    print_rate(f, "translation ns", s.translate_ns, s.guest_insns, "ns a guest instruction");
    if (e->cfg.tier2 > 1) {
        print_rate(f, "tier 2: hot places", s.hot, 0, "");
        print_rate(f, "  counters", s.counters, 0, "");
        print_rate(f, "  graphs", s.graphs, 0, "");
        print_rate(f, "  guest instructions", s.graph_insns, s.graphs, "a graph");
        print_rate(f, "  host bytes", s.graph_bytes, s.graph_insns, "a guest instruction");
        print_rate(f, "  translation ns", s.graph_ns, s.graphs, "a graph");
        print_rate(f, "  longest queue", e->tier.longest, 0, "");
    }
    print_rate(f, "cache bytes", e->cache.used, 0, "");
    print_rate(f, "cache bytes wasted", cache_wasted(&e->cache), 0, "");
    print_rate(f, "links", s.links, 0, "");
    print_rate(f, "lookups", s.lookups, 0, "");
    print_rate(f, "returns elsewhere", s.unpaired, 0, "");
    print_rate(f, "  watches", s.watches, 0, "");
    print_stubs(e->cache.cells, f);
    print_rate(f, "faults", s.faults, 0, "");
    print_rate(f, "floating-point traps", s.fp_traps, 0, "");
    print_rate(f, "careful sites", atomic_load(&e->careful_count), 0, "");
    print_rate(f, "invalidations", atomic_load(&e->invalidations), 0, "");
    print_rate(f, "  translations killed", atomic_load(&e->killed), 0, "");
    print_rate(f, "  parked, used again", atomic_load(&e->revived), 0, "");
    print_rate(f, "cache parts evicted", atomic_load(&e->evicted), 0, "");
    print_rate(f, "cache parts copied (fork)", atomic_load(&e->unshared), 0, "");
    persist_stats(e, f);
    if (e->cfg.harden)
        print_hardened(e, f);
    hot_stats(e, f);
}
