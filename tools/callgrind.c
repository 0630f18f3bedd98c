/*
 * callgrind: where instructions are executed, and on whose behalf: costs of each instruction and of each call, in the
 * format of Valgrind's tool of this name, for callgrind_annotate and KCachegrind. With `cache` also the accesses and the
 * misses of two levels of caches: first ones of each thread, a last one that all share.
 *
 * What an instruction costs is counted inline (pieces.h). Calls and returns are recorded, with what the thread has executed
 * until then, and worked off a buffer at a time (calls.h); so are accesses that change something in the caches (caches.h).
 */
#include "dragoman/plugin.h"

#include "caches.h"
#include "calls.h"
#include "callgrind_out.h"
#include "pieces.h"

#define THREADS_MAX 4096

enum { AT_I1, AT_D1 };                    /* filters, in this order */
#define IS_FLOW 255
#define FLOW_BYTES offsetof(CallRecord, reads) /* without `cache` */
#define BUFFER  (32u << 10) /* of a thread: stays in a first-level cache */

/* Its first half is as a DgSeen. */
typedef struct CallRecord {
    uint32_t site;       /* in sites[] */
    uint8_t bytes, kind; /* IS_FLOW. These, reads and writes only with `cache` */
    uint64_t to, sp, insns;
    uint64_t reads, writes;
} CallRecord;

/* What was missed at one instruction. */
typedef struct Misses {
    uint64_t n[COST_COUNT];
} Misses;

static bool want_cache;
static DgHost *self;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* everything below, at run time */
static Pieces pieces, places, starts;                    /* places: of accesses, by number; starts: of functions */
static DgCell *cells;                                    /* by place: reads; the next: writes */
static CallSite *sites;
static uint32_t nsites, cap_sites, ncells;
static Misses *misses; /* by place */
static uint32_t nmisses;
static Calls *threads[THREADS_MAX];
static DgCell insns, reads, writes;
static DgStream *stream;
static DgFilter *filter_i1, *filter_d1;
static Cache i1, d1, ll; /* the first two: shapes */
static int sp;

/* --- working off records ---------------------------------------------------------------------------------------------- */

static Calls *calls_of(uint32_t thread)
{
    if (thread >= THREADS_MAX)
        thread = THREADS_MAX - 1; /* the last ones are taken for one */
    if (!threads[thread] && (threads[thread] = calloc(1, sizeof **threads)))
        threads[thread]->costs = want_cache ? COST_COUNT : 1;
    return threads[thread];
}

/* A miss of the first level: an access that misses two lines is one, of the last level too if either is missing there. */
static void on_access(Calls *c, const DgSeen *r)
{
    unsigned kind = r->filter == AT_I1 ? COST_I1MR : r->kind & DG_WRITE ? COST_D1MW : COST_D1MR;
    bool known = r->number < nmisses, first = !(r->kind & DG_SAME_ACCESS), hit = cache_touch(&ll, r->addr);

    c->missed_last &= !first;
    c->now[kind] += first;
    if (known)
        misses[r->number].n[kind] += first;
    if (hit || c->missed_last)
        return;
    c->missed_last = true;
    kind += COST_ILMR - COST_I1MR;
    c->now[kind]++;
    if (known)
        misses[r->number].n[kind]++;
}

static bool begins_function(uint64_t pc)
{
    return starts.count && starts.slot[pieces_slot(&starts, pc, 0)];
}

/* One that calls_step leaves. */
static void on_rare(Calls *c, const CallRecord *r)
{
    const CallSite *s = &sites[r->site];
    Led *led = &c->led[r->site];

    if (s->what == IS_CALL)
        calls_call(c, s, led, r->to, r->sp);
    else if (s->what == IS_RETURN)
        calls_return(c, led, r->to, r->sp);
    else if (r->to < s->start || r->to >= s->end)
        calls_jump(c, s, led, r->to, r->sp, begins_function);
}

/* One among records of accesses. */
static void on_flow(Calls *c, const CallRecord *r)
{
    Frame *top = c->frame + c->depth - 1, *next = NULL;

    c->now[COST_IR] = r->insns;
    c->now[COST_DR] = r->reads;
    c->now[COST_DW] = r->writes;
    if (calls_room(c, top))
        next = calls_step(top, &c->led[r->site], r->to, r->sp, c->now, COST_COUNT);
    if (next)
        c->depth = (uint32_t)(next + 1 - c->frame);
    else
        on_rare(c, r);
}

/* Records of nothing else. */
static void on_flows(Calls *c, const char *at, const char *end)
{
    Frame *top = c->frame + c->depth - 1, *next;

    for (; at < end; at += FLOW_BYTES, top = next) {
        const CallRecord *r = (const void *)at;
        const Led *led = &c->led[r->site];
        next = NULL;
        if (calls_room(c, top) && ((next = calls_step(top, led, r->to, r->sp, &r->insns, 1)) ||
                                   (next = calls_step_tail(top, led, r->to, r->sp, &r->insns, 1))))
            continue;
        c->depth = (uint32_t)(top + 1 - c->frame);
        c->now[COST_IR] = r->insns;
        on_rare(c, r);
        next = c->frame + c->depth - 1;
    }
    c->depth = (uint32_t)(top + 1 - c->frame);
    c->now[COST_IR] = ((const CallRecord *)(const void *)(end - FLOW_BYTES))->insns;
}

static void room_for_misses(void)
{
    if (!want_cache || nmisses >= places.count)
        return;
    Misses *more = realloc(misses, places.cap * sizeof *more);
    if (!more)
        return;
    memset(more + nmisses, 0, (places.cap - nmisses) * sizeof *more);
    misses = more;
    nmisses = places.cap;
}

static void on_mixed(Calls *c, const char *at, const char *end)
{
    while (at < end) {
        if (((const DgSeen *)(const void *)at)->kind == IS_FLOW) {
            on_flow(c, (const void *)at);
            at += sizeof(CallRecord);
        } else {
            on_access(c, (const void *)at);
            at += sizeof(DgSeen);
        }
    }
}

static void consume(void *data, uint32_t thread, const void *records, size_t bytes)
{
    const char *at = records, *end = at + bytes;

    pthread_mutex_lock(&lock);
    room_for_misses();
    Calls *c = calls_of(thread);
    if (c && bytes && calls_ready(c, nsites))
        (want_cache ? on_mixed : on_flows)(c, at, end);
    pthread_mutex_unlock(&lock);
}

/* --- code ------------------------------------------------------------------------------------------------------------- */

static uint32_t number_of(uint64_t pc)
{
    uint32_t n = pieces_find(&places, pc, 0);

    if (n != UINT32_MAX && n >= ncells) {
        DgCell *more = realloc(cells, places.cap * sizeof *more);
        if (!more)
            return UINT32_MAX;
        cells = more;
        while (ncells < places.cap)
            cells[ncells++] = DG_NO_CELL;
    }
    return n;
}

/* Its number; UINT32_MAX: no memory. */
static uint32_t site_add(const CallSite *s)
{
    if (nsites == cap_sites) {
        uint32_t cap = cap_sites ? 2 * cap_sites : 1024;
        CallSite *more = realloc(sites, cap * sizeof *more);
        if (!more)
            return UINT32_MAX;
        sites = more;
        cap_sites = cap;
    }
    sites[nsites] = *s;
    return nsites++;
}

static CallSite site_of(const DgInsnInfo *i)
{
    DgSymbol f = {.size = sizeof f};
    bool known = dg->symbol_at(self, i->pc, &f);
    unsigned what = i->class_ & DG_CALL                  ? IS_CALL
                    : i->class_ & DG_RETURN              ? IS_RETURN
                    : i->class_ & (DG_JUMP | DG_BRANCH) ? IS_JUMP
                                                         : 0;

    return (CallSite){i->pc, i->pc + i->length, known ? f.start : 0, known ? f.end : 0, what};
}

/* A jump within a function is none of ours. */
static bool stays(const DgInsnInfo *i, const CallSite *s)
{
    return s->what == IS_JUMP && !(i->class_ & DG_INDIRECT) && i->target >= s->start && i->target < s->end;
}

static void watch_flow(DgInsn *insn)
{
    DgInsnInfo i = {.size = sizeof i};

    dg->insn_info(insn, &i);
    CallSite s = site_of(&i);
    uint32_t site = s.what && !stays(&i, &s) ? site_add(&s) : UINT32_MAX;
    if (site == UINT32_MAX)
        return;
    const DgField field[] = {{offsetof(CallRecord, site), 4, DG_FIELD_CONST, 0, site},
                             {offsetof(CallRecord, to), 8, DG_ARG_TARGET, 0, 0},
                             {offsetof(CallRecord, sp), 8, DG_ARG_REG, (uint32_t)sp, 0},
                             {offsetof(CallRecord, insns), 8, DG_FIELD_CELL, insns, 0},
                             {offsetof(CallRecord, bytes), 1, DG_FIELD_CONST, 0, 0},
                             {offsetof(CallRecord, kind), 1, DG_FIELD_CONST, 0, IS_FLOW},
                             {offsetof(CallRecord, reads), 8, DG_FIELD_CELL, reads, 0},
                             {offsetof(CallRecord, writes), 8, DG_FIELD_CELL, writes, 0}};
    unsigned n = want_cache ? 8 : 4;
    if (s.what == IS_JUMP)
        dg->record_outside(insn, DG_TAKEN, 0, stream, field, n, s.start, s.end);
    else
        dg->record(insn, DG_TAKEN, 0, stream, field, n);
}

static void watch_memory(DgInsn *i)
{
    uint32_t n = number_of(dg->insn_pc(i));

    if (n == UINT32_MAX)
        return;
    if (cells[n] == DG_NO_CELL)
        cells[n] = dg->cell_new(self, DG_SUM, 2);
    dg->add(i, DG_MEM_AFTER, DG_READ, reads, 1);
    dg->add(i, DG_MEM_AFTER, DG_WRITE, writes, 1);
    if (cells[n] != DG_NO_CELL) {
        dg->add(i, DG_MEM_AFTER, DG_READ, cells[n], 1);
        dg->add(i, DG_MEM_AFTER, DG_WRITE, cells[n] + 1, 1);
    }
    dg->record_new(i, DG_MEM_AFTER, 0, filter_d1, n, 0);
}

static void translate(void *data, DgBlock *b)
{
    DgSymbol s = {.size = sizeof s};

    pthread_mutex_lock(&lock);
    pieces_attach(&pieces, self, b);
    if (dg->symbol_at(self, dg->block_pc(b), &s) && s.start == dg->block_pc(b))
        pieces_find(&starts, s.start, 0);
    if (want_cache)
        cache_fetches(b, filter_i1, &i1, number_of);
    for (uint32_t k = 0, n = dg->block_insns(b); k < n; k++) {
        DgInsn *i = dg->block_insn(b, k);
        dg->add(i, DG_BEFORE, 0, insns, 1);
        if (want_cache && dg->insn_class(i) & (DG_LOAD | DG_STORE))
            watch_memory(i);
    }
    watch_flow(dg->block_insn(b, dg->block_insns(b) - 1));
    pthread_mutex_unlock(&lock);
}

/* --- events ------------------------------------------------------------------------------------------------------------- */

static void take_counts(Calls *c, DgThread *t)
{
    c->now[COST_IR] = dg->cell_get(t, insns);
    c->now[COST_DR] = dg->cell_get(t, reads);
    c->now[COST_DW] = dg->cell_get(t, writes);
}

/* A handler is called by nobody, at the instruction that was interrupted. */
static void on_signal(DgThread *t, void *data, const DgSignal *s)
{
    if (!s->handler)
        return;
    dg->stream_flush(t, stream);
    pthread_mutex_lock(&lock);
    Calls *c = calls_of(dg->thread_number(t));
    if (c) {
        take_counts(c, t);
        calls_push(c, arc_find(c, s->pc, s->handler), 0, 0, false);
    }
    pthread_mutex_unlock(&lock);
}

static void thread_end(DgThread *t, void *data)
{
    dg->stream_flush(t, stream);
    pthread_mutex_lock(&lock);
    Calls *c = calls_of(dg->thread_number(t));
    if (c) {
        take_counts(c, t);
        calls_end(c);
    }
    pthread_mutex_unlock(&lock);
}

static void on_fork(void *data)
{
    for (uint32_t k = 0; k < THREADS_MAX; k++)
        if (threads[k])
            calls_forget(threads[k]);
    if (nmisses)
        memset(misses, 0, nmisses * sizeof *misses);
    cache_clear(&ll);
}

/* --- the end -------------------------------------------------------------------------------------------------------------- */

/* Costs of one instruction, of which `l` has the number of times. */
static void cost_of(OutLine *to, const Line *l)
{
    to->pc = l->pc;
    to->cost[COST_IR] = l->runs;
    if (!want_cache || !places.count)
        return;
    uint32_t n = places.slot[pieces_slot(&places, l->pc, 0)];
    if (n-- == 0)
        return;
    if (n < ncells && cells[n] != DG_NO_CELL) {
        to->cost[COST_DR] = dg->cell_total(self, cells[n]);
        to->cost[COST_DW] = dg->cell_total(self, cells[n] + 1);
    }
    for (unsigned k = COST_I1MR; n < nmisses && k < COST_COUNT; k++)
        to->cost[k] = misses[n].n[k];
}

static void finish(void *data)
{
    Out out = {.costs = want_cache ? COST_COUNT : 1};
    size_t n = 0;

    pthread_mutex_lock(&lock);
    Line *lines = pieces_lines(&pieces, self, &n);
    for (uint32_t k = 0; k < THREADS_MAX; k++) {
        if (!threads[k])
            continue;
        calls_end(threads[k]);
        for (uint32_t a = 0; a < threads[k]->narc; a++)
            out_arc(&out, threads[k]->arc[a]);
    }
    for (size_t k = 0; lines && k < n; k++) {
        OutLine l = {.pc = 0};
        cost_of(&l, &lines[k]);
        out_line(&out, &l);
    }
    pthread_mutex_unlock(&lock);
    free(lines);
    out_write(&out, self, want_cache ? (const Cache *[]){&i1, &d1, &ll} : NULL);
}

static bool start_caches(DgHost *h)
{
    Cache shape;

    if (!cache_option(h, "I1", &i1, "32768:8:64") || !cache_option(h, "D1", &d1, "32768:8:64") ||
        !cache_option(h, "LL", &shape, "16777216:16:64"))
        return false;
    filter_i1 = cache_filter(h, stream, &i1);
    filter_d1 = cache_filter(h, stream, &d1);
    if (filter_i1 && filter_d1 && cache_new(&ll, &shape))
        return true;
    dg->fail(h, "no room for such caches");
    return false;
}

static int start(DgHost *h)
{
    self = h;
    sp = dg->reg_find(h, "sp");
    want_cache = dg->option(h, "cache") != NULL;
    insns = dg->cell_new(h, DG_SUM, 1);
    reads = dg->cell_new(h, DG_SUM, 1);
    writes = dg->cell_new(h, DG_SUM, 1);
    stream = dg->stream_new(h, want_cache ? sizeof(DgSeen) : FLOW_BYTES, want_cache ? 0 : BUFFER, consume, h,
                            want_cache ? DG_STREAM_FILTERED : 0);
    if (!stream || sp < 0 || (want_cache && !start_caches(h)))
        return 1;
    dg->on_translate(h, translate, h);
    dg->on_signal(h, on_signal, h);
    dg->on_thread_end(h, thread_end, h);
    dg->on_fork(h, on_fork, h);
    dg->on_finish(h, finish, h);
    return 0;
}

DG_TOOL("callgrind", "call graph with inclusive costs, for callgrind_annotate and KCachegrind", start,
        "cache              simulate caches too\n"
        "I1=SIZE:WAYS:LINE  first level for instructions; default 32768:8:64\n"
        "D1=SIZE:WAYS:LINE  first level for data; default 32768:8:64\n"
        "LL=SIZE:WAYS:LINE  last level; default 16777216:16:64\n"
        "out=FILE           where to write (%p: the process id); default callgrind.out.%p")
