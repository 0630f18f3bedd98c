/*
 * From guest code to something that runs: the whole pipeline is translate_make. Start reading there.
 *
 *   form      lift guest instructions along one trace into IR        guest->lift, through guest/lift.c; hot code: region.c, trail.c
 *   instrument  what tools ask for, as IR of its own                 plugin/, through engine/instrument.h
 *   optimise  slots become SSA values; passes                        opt/; of a trace most is done while it is formed (opt/online.c)
 *   compile   select, allocate, emit into this thread's region       host->compile
 *   publish   visible to every thread; the first one wins            table, cache
 *
 * Any number of threads do this at once; they meet only in the table's bucket. What is read of the guest is registered
 * by page before it is read, so that an invalidation during a translation voids it.
 */
#include "engine/internal.h"

#include "base/check.h"
#include "base/log.h"
#include "base/os.h"
#include "opt/opt.h"

#include <stdlib.h>
#include <string.h>

/* Guest instructions in a region: long enough for any straight code, short enough for a side table of 16-bit offsets. */
#define REGION_INSNS 96
/* Code at an exit's target that is looked at for what it overwrites. */
#define DEAD_BYTES 24
/* Conditional branches that a trace goes on past: of what is behind more of them a third never runs in short programs. Without a
 * limit `true`, `gcc --version` and `python3 -c pass` took 9 to 15 % longer to run cold, while kept code was 0 to 4 % faster. */
#define REGION_BRANCHES 3
/* Room to start a translation with; the host says when it was not enough. */
#define CODE_ROOM_MIN (4u << 10)
#define CODE_ROOM_MAX (512u << 10)
/* Translating takes no longer than this, however busy the machine is. */
#define MAKING_SECONDS 1

/* Time for the statistics, where they are asked for: this thread's own, so that a busy machine does not show in them. */
static uint64_t now(const Engine *e)
{
    return e->cfg.timing ? os_thread_ns() : 0;
}

/* Since `start`, without what it takes to look at the clock once. */
static uint64_t since(const Engine *e, uint64_t start)
{
    uint64_t ns = now(e) - start;

    return ns > e->clock_ns ? ns - e->clock_ns : 0;
}

bool translate_marks(const Engine *e)
{
    return !e->plan || e->cfg.jit_limit != UINT64_MAX || e->cfg.count || e->cfg.check || log_on(LOG_OPT);
}

/* --- forming a region --- */

/* Whether a tree at pc may be optimised while it is built: nobody takes its instructions apart, and no section runs it. */
static bool online_at(Vcpu *cpu, uint64_t pc)
{
    const Engine *e = cpu->e;

    return !e->cfg.tools && !e->cfg.check && !opt_skips_build(e->opt_skip) && !section_at(cpu, pc);
}

static IrRegion *form(Fetch *f, uint64_t pc, unsigned limit, bool online)
{
    Vcpu *cpu = f->cpu;
    Engine *e = cpu->e;
    const Guest *g = e->cfg.guest;

    if (pc & ((1u << g->pc_shift) - 1))
        return NULL;
    arena_reset(&cpu->arena);
    Lift l = fetch_lift_new(cpu, pc);
    IrRegion *r = l.b.r;
    l.pc = pc;
    if (online)
        opt_build(&l.b, translate_marks(e));
    if (f->t)
        f->t->forms |= (uint8_t)careful_forms(e, pc);
    for (unsigned branches = 0; !l.ended; l.pc = l.cont) {
        unsigned left = limit - r->guest_insns;
        uint32_t block = l.b.block;
        l.budget = left - 1;
        l.branch_ends = branches >= REGION_BRANCHES;
        if (left && fetch_lift(f, &l)) {
            r->guest_insns++;
            branches += l.b.block != block;
            continue;
        }
        if (r->guest_insns == 0)
            return NULL;
        ir_exit(&l.b, l.pc, 0);
        break;
    }
    return r;
}

IrRegion *translate_form(Vcpu *cpu, uint64_t pc, unsigned limit, Translation *t)
{
    Fetch f = {.cpu = cpu, .t = t};

    return form(&f, pc, limit, false);
}

IrRegion *translate_once(Vcpu *cpu, uint64_t pc, unsigned limit, bool resumes)
{
    Fetch f = {.cpu = cpu};
    IrRegion *r = form(&f, pc, limit, false);

    if (r)
        tools_region(&f, r, 0, resumes);
    return r;
}

/* --- after lifting --- */

static void log_region(LogCat cat, const char *what, const IrRegion *r)
{
    if (!log_on_pc(cat, r->pc))
        return;
    FILE *f = log_begin();
    fprintf(f, "%s: region 0x%llx\n", what, (unsigned long long)r->pc);
    ir_print(f, r);
    log_end(f);
}

static void log_pass(void *ctx, const char *pass, const IrRegion *r)
{
    log_region(LOG_OPT, pass, r);
}

/* Slots that the code at an exit's target overwrites before it reads them. */
static uint64_t dead_slots(void *ctx, uint64_t pc)
{
    Fetch *f = ctx;
    size_t avail;
    const uint8_t *code = fetch_look(f, pc, DEAD_BYTES, &avail);

    return code ? f->cpu->e->cfg.guest->dead_slots(code, avail) : 0;
}

/* Flags that it reads. */
static uint64_t read_flags(void *ctx, uint64_t pc)
{
    Fetch *f = ctx;
    size_t avail;
    const uint8_t *code = fetch_at(f, pc, &avail);

    return code ? f->cpu->e->cfg.guest->read_flags(code, avail) : 0;
}

static void optimise(Engine *e, IrRegion *r, Fetch *f)
{
    OptConfig cfg = {.skip = e->opt_skip, .dead_ctx = f, .read = read_flags};

    cfg.flags = e->cfg.guest->flags;
    cfg.no_marks = !translate_marks(e);

#ifdef DEBUG_CHECKS
    cfg.verify = true;
#endif
    if (!e->cfg.exact_flags)
        cfg.dead = dead_slots;
    if (log_on(LOG_OPT))
        cfg.after = log_pass;
    check_context("optimise", r->pc);
    opt_run(r, &cfg);
}

static void log_asm(const Host *h, const Translation *t)
{
    if (!log_on_pc(LOG_ASM, t->pc))
        return;
    FILE *f = log_begin();
    fprintf(f, "asm: region 0x%llx, %u bytes at %p\n", (unsigned long long)t->pc, t->size, (const void *)t->hpc);
    for (uint32_t at = 0; at < t->size;) {
        char text[160];
        unsigned n = h->disas(t->hpc + at, (uintptr_t)t->hpc + at, text, sizeof text);
        fprintf(f, "  %p  %s\n", (const void *)(t->hpc + at), text);
        at += n ? n : 1;
    }
    log_end(f);
}

/* The references to common stubs, then the side table, at `at`. */
static void keep_side(Translation *t, const HostCode *code, uint32_t *at)
{
    for (uint32_t i = 0; i < code->nreloc; i++)
        at[i] = code->reloc[i].offset << 8 | code->reloc[i].stub;
    t->reloc = at;
    t->side = memcpy(at + t->nreloc, code->side, code->side_len);
}

/* Keep what the host said about the code, in one block; `code`'s arrays live in the arena. */
static void keep_code(Engine *e, Translation *t, const HostCode *code, int64_t delta)
{
    t->rw = code->rw;
    t->hpc = code->rw + delta;
    t->size = code->size;
    t->insns = code->insns;
    t->nlink = code->nsite;
    t->nreloc = code->nreloc;
    t->side_len = code->side_len;
    translation_links(e, t);
    keep_side(t, code, (uint32_t *)(t->link + t->nlink));
    /* By offset, as link_find wants them; the host lists them as it meets them. */
    for (uint32_t i = 0; i < code->nsite; i++) {
        uint32_t k = i;
        for (; k > 0 && t->link[k - 1].site.offset > code->site[i].offset; k--)
            t->link[k] = t->link[k - 1];
        t->link[k] = (Link){.from = t, .site = code->site[i]};
    }
}

/* Compile into this thread's region. TRANSLATED_NOT: a graph that is too much for the host. */
static Translated compile(Vcpu *cpu, IrRegion *r, Translation *t)
{
    Engine *e = cpu->e;
    HostCode code;
    CodeBuf cb;

    check_context("compile", r->pc);
    promote_choose(e, r);
    hot_reserve(e, r);
    for (size_t room = CODE_ROOM_MIN; room <= CODE_ROOM_MAX; room *= 8) {
        if (!cache_buf(cpu, room, &cb))
            return TRANSLATED_FULL;
        if (e->host->compile(e->plan, r, &cb, &code)) {
            keep_code(e, t, &code, cb.delta);
            cache_commit(cpu, &cb, t);
            promote_attach(e, t);
            log_asm(e->host, t);
            hot_note(cpu, r, t, &code);
            perf_note(cpu, t);
            return TRANSLATED;
        }
        if (!cb.overflow)
            return TRANSLATED_NOT;
    }
    return TRANSLATED_FULL;
}

/* Whether the next region may be compiled (--engine, --jit-limit). */
static bool take_jit(Engine *e)
{
    return e->plan && atomic_fetch_add_explicit(&e->jit_count, 1, memory_order_relaxed) < e->cfg.jit_limit;
}

static void discard(Engine *e, Translation *t)
{
    page_remove_all(e, t);
    translation_free(&e->cache.pool, t);
}

/*
 * Make `t`, which is complete, visible. Returns what to run: t, or the translation that another thread published first;
 * NULL when the guest code changed meanwhile.
 */
static Translation *publish(Vcpu *cpu, Translation *t)
{
    Engine *e = cpu->e;
    unsigned new = TRANSLATION_NEW;

    if (!atomic_compare_exchange_strong(&t->state, &new, TRANSLATION_LIVE)) {
        cpu->stats.discarded++;
        /* Compiled code stays listed in its cache region, which owns it. */
        kill_count(t);
        page_remove_all(e, t);
        if (!t->hpc)
            translation_free(&e->cache.pool, t);
        return NULL;
    }
    Translation *first = table_insert(&e->table, t);
    if (first != t) {
        cpu->stats.discarded++;
        pthread_mutex_lock(&e->kill_lock);
        if (kill_mark(e, t))
            kill_translation_locked(e, t);
        pthread_mutex_unlock(&e->kill_lock);
    } else if (translation_dead(t)) {
        table_remove(&e->table, t); /* killed before it was inserted */
        first = NULL;
    }
    return first;
}

static void count(Vcpu *cpu, const IrRegion *r, const Translation *t, uint64_t start)
{
    cpu->stats.translations++;
    cpu->stats.guest_insns += r->guest_insns;
    cpu->stats.host_bytes += t->size;
    cpu->stats.interp_regions += !t->hpc;
    cpu->stats.translate_ns += since(cpu->e, start);
}

/* The pipeline, for a graph or a trace. */
static Translated translate_as(Vcpu *cpu, Translation *t, bool graph)
{
    Engine *e = cpu->e;
    uint64_t start = now(e);
    Fetch f = {.cpu = cpu, .t = t};
    IrRegion *r = graph ? region_form(&f, t->pc, false)
                        : form(&f, t->pc, e->cfg.one_insn ? 1 : REGION_INSNS, online_at(cpu, t->pc));
    Translated how = TRANSLATED;

    if (!r || (graph && f.section))
        return TRANSLATED_NOT;
    if (e->cfg.check && !f.section)
        r = lockstep_prepare(cpu, r, t);
    t->guest_insns = r->guest_insns;
    t->graph = r->graph;
    tools_region(&f, r, r->graph ? 2 : 1, false);
    log_region(LOG_IR, "ir", r);
    if (!f.section)
        optimise(e, r, &f);
    if (section_search(cpu, r, t))
        how = TRANSLATED_CHANGED;
    else if (f.section || !take_jit(e))
        t->ir = ir_pack(r);
    else
        how = compile(cpu, r, t);
    if (how == TRANSLATED)
        count(cpu, r, t, start);
    check_context(NULL, 0);
    return how;
}

/* Fills in t, which is discarded unless it returns TRANSLATED. */
static Translated translate_make(Vcpu *cpu, Translation *t)
{
    Translated how = TRANSLATED_NOT;

    if (cpu->e->cfg.tier2 == 1)
        how = translate_as(cpu, t, true);
    if (how == TRANSLATED_NOT) {
        free(t->check_ir);
        t->check_ir = NULL;
        how = translate_as(cpu, t, false);
    }
    return how;
}

Translated translate_graph(Vcpu *cpu, Translation *t, const Trail *trail)
{
    Engine *e = cpu->e;
    uint64_t start = now(e);
    Fetch f = {.cpu = cpu, .t = t};
    IrRegion *r = region_form(&f, t->pc, true);
    bool later = false;

    if (!r)
        r = trail_form(&f, trail, &later);
    Translated how = later ? TRANSLATED_LATER : TRANSLATED_NOT;
    if (r && !f.section && take_jit(e)) {
        t->graph = true; /* before the code can be found */
        t->guest_insns = r->guest_insns;
        tools_region(&f, r, 2, false);
        log_region(LOG_IR, "ir", r);
        optimise(e, r, &f);
        how = section_search(cpu, r, t) ? TRANSLATED_CHANGED : compile(cpu, r, t);
    }
    if (how == TRANSLATED) {
        cpu->stats.graphs++;
        cpu->stats.graph_insns += r->guest_insns;
        cpu->stats.graph_bytes += t->size;
        cpu->stats.graph_ns += since(e, start);
    } else {
        discard(e, t);
    }
    check_context(NULL, 0);
    return how;
}

void translate_replace(Vcpu *cpu, Translation *t)
{
    Engine *e = cpu->e;
    unsigned new = TRANSLATION_NEW;

    if (!atomic_compare_exchange_strong(&t->state, &new, TRANSLATION_LIVE)) { /* the code changed meanwhile */
        cpu->stats.discarded++;
        kill_count(t);
        page_remove_all(e, t);
        return;
    }
    table_put(&e->table, t);
    pthread_mutex_lock(&e->kill_lock);
    bool dead = translation_dead(t);
    if (dead)
        table_remove(&e->table, t); /* killed before it was put there */
    if (!dead) {
        persist_drop_locked(e, t->pc, t->mode, true);
        persist_improved(e, t);
    }
    for (Translation *old; !dead && (old = table_find_other(&e->table, t)) != NULL;) {
        if (kill_mark(e, old))
            kill_replaced_locked(e, old);
    }
    pthread_mutex_unlock(&e->kill_lock);
    kill_replaced_finish(e);
}

bool translate_counter(Vcpu *cpu, Translation *t)
{
    const Guest *g = cpu->e->cfg.guest;
    IrBuilder b;

    arena_reset(&cpu->arena);
    ir_builder_init(&b, ir_region_new(&cpu->arena, &cpu->e->slots, g->helpers, g->nhelpers, t->pc));
    b.r->fp = g->fp_mode(t->mode);
    ir_exit(&b, t->pc, IR_EXIT_COUNT);
    ir_insn(b.r, b.r->block[0].last)->snap = ir_snap_new(b.r, t->pc);
    return compile(cpu, b.r, t) == TRANSLATED;
}

pthread_mutex_t *translate_making(Engine *e, uint64_t pc)
{
    return &e->making[(pc >> 2 ^ pc >> 10) % MAKING_LOCKS];
}

/*
 * Threads that come to the same new code together, as all do that a barrier lets go, would each make it, into a part of the cache of its
 * own, for all but one to be thrown away. So one makes it and the others wait. Not for long: that one may be in a tool's function,
 * which waits for who knows whom. NULL: they do not wait any more.
 */
static pthread_mutex_t *making_begin(Engine *e, uint64_t pc)
{
    pthread_mutex_t *lock = translate_making(e, pc);
    struct timespec until;

    if (pthread_mutex_trylock(lock) == 0)
        return lock;
    clock_gettime(CLOCK_REALTIME, &until); /* the thread sanitizer knows no lock by another clock */
    until.tv_sec += MAKING_SECONDS;
    return pthread_mutex_timedlock(lock, &until) == 0 ? lock : NULL;
}

static Translation *make(Vcpu *cpu, uint64_t pc, Translated *why)
{
    Translation *t = translation_new(cpu->e, pc, cpu->h.ir.mode);

    *why = translate_make(cpu, t);
    if (*why != TRANSLATED) {
        discard(cpu->e, t);
        return NULL;
    }
    t = publish(cpu, t);
    *why = t ? TRANSLATED : TRANSLATED_CHANGED;
    return t;
}

Translation *translate_get(Vcpu *cpu, uint64_t pc, Translated *why)
{
    Engine *e = cpu->e;
    Translation *t = table_find(&e->table, pc, cpu->h.ir.mode);

    if (!t)
        t = park_revive(cpu, pc);
    if (!t)
        t = persist_get(cpu, pc);
    *why = t ? TRANSLATED : TRANSLATED_CHANGED;
    if (!t)
        section_disturb(cpu);
    while (!t && *why == TRANSLATED_CHANGED) {
        write_begin(cpu); /* first: in a child of fork nobody else would know of it */
        pthread_mutex_t *making = making_begin(e, pc);
        Translation *other = table_find(&e->table, pc, cpu->h.ir.mode);
        t = other ? other : make(cpu, pc, why);
        if (making)
            pthread_mutex_unlock(making);
        write_end(cpu);
        section_settle(cpu);
        if (other)
            *why = TRANSLATED;
        else if (t)
            persist_made(cpu, t);
    }
    return t;
}

Met *translation_met(Translation *t)
{
    if (!t->met)
        t->met = calloc(1, sizeof *t->met);
    CHECK(t->met != NULL);
    return t->met;
}

Translation *translation_new(Engine *e, uint64_t pc, uint32_t mode)
{
    Translation *t = memset(pool_alloc(&e->cache.pool, sizeof *t), 0, sizeof *t);

    t->pc = pc;
    t->mode = mode;
    return t;
}

/* Of the links' block: references and side table are in it too, unless a file has them. */
static size_t block_bytes(const Translation *t)
{
    return t->nlink * sizeof *t->link + (t->kept ? 0 : t->nreloc * sizeof *t->reloc + t->side_len);
}

void translation_links(Engine *e, Translation *t)
{
    t->link = pool_alloc(&e->cache.pool, block_bytes(t));
}

void translation_free(Pool *pool, Translation *t)
{
    pool_free(pool, t->link, block_bytes(t));
    free(t->more_pages);
    free(t->ir);
    free(t->check_ir);
    free(t->met);
    pool_free(pool, t, sizeof *t);
}
