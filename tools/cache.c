/*
 * cache: what a hierarchy of caches and TLBs would make of the program: first-level instruction and data caches and TLBs of
 * each thread, a second level for each core or none, a last level that all share. Least recently used is replaced; a write is as a
 * read (write-allocate). Threads run on cores in order of creation, round and round.
 *
 * Accesses are counted inline, and looked for in the first level there; those that it misses are recorded (caches.h), and
 * each thread works off its own when its buffer is full.
 */
#include "dragoman/plugin.h"

#include "caches.h"
#include "pieces.h"

#define CORES_MAX 64

enum { AT_I1, AT_D1, AT_ITLB, AT_DTLB, FIRST_LEVELS }; /* filters, in this order */

#define BATCH 128 /* records worked off at a time: so many memory accesses of ours go on at once */

enum { OF_WRITE = 1, OF_SAME_ACCESS = 2, KINDS = 4 }; /* of records: DgSeen.kind */

/* Records of an instruction: in a loop they are often many of one kind, of which every other one is counted apart, as it would wait
 * for the one before. */
typedef struct Misses {
    uint64_t n[2][KINDS];
} Misses;

typedef struct Core {
    pthread_mutex_t lock; /* several threads may share it */
    uint64_t seen[FIRST_LEVELS][KINDS]; /* records that are not in `misses` */
    Cache l2;
    Misses *misses; /* of the first data level, by place */
    uint32_t nmisses;
} Core;

static Cache shape_i1, shape_d1, shape_l2, shape_tlb, ll;
static pthread_mutex_t ll_lock = PTHREAD_MUTEX_INITIALIZER, code_lock = PTHREAD_MUTEX_INITIALIZER;
static Core core[CORES_MAX];
static uint32_t ncores = 4, top = 10;
static bool want_tlb, want_l2;
static Pieces code; /* places of instructions; under code_lock */
static DgCell insns, reads, writes;
static DgStream *stream;
static DgFilter *filter_i1, *filter_d1, *filter_itlb, *filter_dtlb;

/* --- the hierarchy ------------------------------------------------------------------------------------------------ */

static bool room_for_misses(Core *c)
{
    pthread_mutex_lock(&code_lock);
    uint32_t cap = code.cap, n = code.count;
    pthread_mutex_unlock(&code_lock);
    if (c->nmisses >= n)
        return true;
    Misses *more = realloc(c->misses, cap * sizeof *more);
    if (!more)
        return false;
    memset(more + c->nmisses, 0, (cap - c->nmisses) * sizeof *more);
    c->misses = more;
    c->nmisses = cap;
    return true;
}

static unsigned kind_of(const DgSeen *r)
{
    return (r->kind & DG_WRITE ? OF_WRITE : 0) | (r->kind & DG_SAME_ACCESS ? OF_SAME_ACCESS : 0);
}

static void count(Core *c, const DgSeen *r, unsigned n, uint32_t places)
{
    for (unsigned k = 0; k < n; k++) {
        if (r[k].filter == AT_D1 && r[k].number < places)
            c->misses[r[k].number].n[k & 1][kind_of(&r[k])]++;
        else
            c->seen[r[k].filter][kind_of(&r[k])]++;
    }
}

static void add_misses(Cache *c, const DgSeen *r, unsigned n)
{
    unsigned w = 0;

    for (unsigned k = 0; k < n; k++)
        w += (r[k].kind & DG_WRITE) != 0;
    c->read_misses += n - w;
    c->write_misses += w;
}

/* Leave out those of TLBs, which have nothing behind them. */
static unsigned without_tlbs(const DgSeen *r, unsigned n, DgSeen *to)
{
    unsigned m = 0;

    for (unsigned k = 0; k < n; k++)
        if (r[k].filter <= AT_D1)
            to[m++] = r[k];
    return m;
}

/* The accesses of a level are the misses of the one before, and not counted again. All of a level are done before the next, whose
 * sets are asked for at once: the host's cache misses on them overlap. */
static void batch(Core *c, const DgSeen *r, unsigned n, uint32_t places)
{
    DgSeen left[BATCH];

    count(c, r, n, places);
    if (want_tlb) {
        n = without_tlbs(r, n, left);
        r = left;
    }
    if (want_l2) {
        n = cache_pass(&c->l2, r, n, left);
        add_misses(&c->l2, left, n);
        r = left;
    }
    if (!n)
        return;
    for (unsigned k = 0; k < n; k++)
        cache_soon(&ll, r[k].addr);
    pthread_mutex_lock(&ll_lock);
    n = cache_pass(&ll, r, n, left);
    add_misses(&ll, left, n);
    pthread_mutex_unlock(&ll_lock);
}

static void consume(void *data, uint32_t thread, const void *records, size_t bytes)
{
    Core *c = &core[thread % ncores];
    const DgSeen *r = records, *end = r + bytes / sizeof *r;

    pthread_mutex_lock(&c->lock);
    uint32_t places = room_for_misses(c) ? c->nmisses : 0;
    for (; r < end; r += BATCH)
        batch(c, r, end - r < BATCH ? (unsigned)(end - r) : BATCH, places);
    pthread_mutex_unlock(&c->lock);
}

/* --- code --------------------------------------------------------------------------------------------------------- */

static uint32_t number_of(uint64_t pc)
{
    pthread_mutex_lock(&code_lock);
    uint32_t n = pieces_find(&code, pc, 0);
    pthread_mutex_unlock(&code_lock);
    return n;
}

static void watch_memory(DgInsn *i)
{
    uint32_t number = number_of(dg->insn_pc(i));

    dg->add(i, DG_MEM_AFTER, DG_READ, reads, 1);
    dg->add(i, DG_MEM_AFTER, DG_WRITE, writes, 1);
    dg->record_new(i, DG_MEM_AFTER, 0, filter_d1, number, 0);
    if (want_tlb)
        dg->record_new(i, DG_MEM_AFTER, 0, filter_dtlb, number, 0);
}

static void translate(void *data, DgBlock *b)
{
    cache_fetches(b, filter_i1, &shape_i1, number_of);
    if (want_tlb)
        cache_fetches(b, filter_itlb, &shape_tlb, number_of);
    for (uint32_t k = 0, n = dg->block_insns(b); k < n; k++) {
        DgInsn *i = dg->block_insn(b, k);
        dg->add(i, DG_BEFORE, 0, insns, 1);
        if (dg->insn_class(i) & (DG_LOAD | DG_STORE))
            watch_memory(i);
    }
}

/* --- the report --------------------------------------------------------------------------------------------------- */

static void line(DgHost *h, const Cache *c)
{
    uint64_t all = c->reads + c->writes, misses = c->read_misses + c->write_misses;

    dg->print(h, "%-4s %15llu %15llu %15llu %15llu  %6.2f%%\n", c->name, (unsigned long long)c->reads,
              (unsigned long long)c->writes, (unsigned long long)c->read_misses, (unsigned long long)c->write_misses,
              all ? 100.0 * (double)misses / (double)all : 0);
}

typedef struct Place {
    uint64_t pc, misses;
} Place;

static int by_misses(const void *x, const void *y)
{
    const Place *a = x, *b = y;

    return a->misses > b->misses ? -1 : a->misses < b->misses ? 1 : a->pc < b->pc ? -1 : a->pc > b->pc;
}

static void put_place(DgHost *h, const Place *p)
{
    DgSymbol s = {.size = sizeof s};
    char text[128] = "";

    dg->text_at(h, p->pc, text, sizeof text, NULL);
    if (dg->symbol_at(h, p->pc, &s))
        dg->print(h, "%15llu  0x%llx  %-40s %s+0x%llx\n", (unsigned long long)p->misses, (unsigned long long)p->pc, text,
                  s.name, (unsigned long long)(p->pc - s.start));
    else
        dg->print(h, "%15llu  0x%llx  %s\n", (unsigned long long)p->misses, (unsigned long long)p->pc, text);
}

static void put_places(DgHost *h)
{
    Place *p = calloc(code.count + 1, sizeof *p);

    if (!p)
        return;
    for (uint32_t k = 0; k < code.count; k++) {
        p[k].pc = code.piece[k].pc;
        for (uint32_t c = 0; c < ncores; c++)
            for (unsigned kind = 0; k < core[c].nmisses && kind < OF_SAME_ACCESS; kind++)
                p[k].misses += core[c].misses[k].n[0][kind] + core[c].misses[k].n[1][kind];
    }
    qsort(p, code.count, sizeof *p, by_misses);
    dg->print(h, "\ninstructions with most D1 misses\n");
    for (uint32_t k = 0; k < code.count && k < top && p[k].misses; k++)
        put_place(h, &p[k]);
    free(p);
}

/* The misses of a first level, and what they make the next do. */
static void add_seen(Cache *first, Cache *next, const uint64_t seen[KINDS])
{
    for (unsigned kind = 0; kind < KINDS; kind++) {
        bool write = kind & OF_WRITE;
        *(write ? &first->write_misses : &first->read_misses) += kind & OF_SAME_ACCESS ? 0 : seen[kind];
        if (next)
            *(write ? &next->writes : &next->reads) += seen[kind];
    }
}

static void finish(void *data)
{
    Cache first[FIRST_LEVELS] = {{.name = "I1"}, {.name = "D1"}, {.name = "ITLB"}, {.name = "DTLB"}}, l2 = {.name = "L2"};

    for (uint32_t c = 0; c < ncores; c++) {
        for (unsigned k = 0; k < FIRST_LEVELS; k++)
            add_seen(&first[k], k <= AT_D1 ? &l2 : NULL, core[c].seen[k]);
        for (uint32_t k = 0; k < 2 * core[c].nmisses; k++)
            add_seen(&first[AT_D1], &l2, core[c].misses[k / 2].n[k % 2]);
        l2.read_misses += core[c].l2.read_misses;
        l2.write_misses += core[c].l2.write_misses;
    }
    first[AT_I1].reads = first[AT_ITLB].reads = dg->cell_total(data, insns);
    first[AT_D1].reads = first[AT_DTLB].reads = dg->cell_total(data, reads);
    first[AT_D1].writes = first[AT_DTLB].writes = dg->cell_total(data, writes);
    ll.reads = want_l2 ? l2.read_misses : l2.reads;
    ll.writes = want_l2 ? l2.write_misses : l2.writes;
    dg->print(data, "              reads          writes     read misses    write misses  misses\n");
    line(data, &first[AT_I1]);
    line(data, &first[AT_D1]);
    if (want_l2)
        line(data, &l2);
    line(data, &ll);
    if (want_tlb) {
        line(data, &first[AT_ITLB]);
        line(data, &first[AT_DTLB]);
    }
    put_places(data);
}

/* The child's caches are cold, and what its parent missed is not its own. */
static void on_fork(void *data)
{
    for (uint32_t c = 0; c < ncores; c++) {
        memset(core[c].seen, 0, sizeof core[c].seen);
        cache_clear(&core[c].l2);
        if (core[c].nmisses)
            memset(core[c].misses, 0, core[c].nmisses * sizeof *core[c].misses);
    }
    cache_clear(&ll);
}

static bool number(DgHost *h, const char *name, uint32_t *v, uint32_t min, uint32_t max)
{
    const char *text = dg->option(h, name);
    char *end;

    if (!text)
        return true;
    unsigned long n = strtoul(text, &end, 10);
    if (*end || end == text || n < min || n > max) {
        dg->fail(h, "%s=%s is not a number from %u to %u", name, text, min, max);
        return false;
    }
    *v = (uint32_t)n;
    return true;
}

static bool make_cores(void)
{
    for (uint32_t c = 0; c < ncores; c++) {
        pthread_mutex_init(&core[c].lock, NULL);
        if (want_l2 && !cache_new(&core[c].l2, &shape_l2))
            return false;
    }
    return true;
}

static bool make_stream(DgHost *h)
{
    stream = dg->stream_new(h, sizeof(DgSeen), 0, consume, h, DG_STREAM_FILTERED);
    filter_i1 = stream ? cache_filter(h, stream, &shape_i1) : NULL;
    filter_d1 = stream ? cache_filter(h, stream, &shape_d1) : NULL;
    filter_itlb = stream && want_tlb ? cache_filter(h, stream, &shape_tlb) : NULL;
    filter_dtlb = stream && want_tlb ? cache_filter(h, stream, &shape_tlb) : NULL;
    return filter_i1 && filter_d1 && ((filter_itlb && filter_dtlb) || !want_tlb);
}

static int start(DgHost *h)
{
    Cache shape_ll;

    memset(&shape_ll, 0, sizeof shape_ll);
    want_tlb = dg->option(h, "TLB") != NULL;
    want_l2 = !dg->option(h, "L2") || strcmp(dg->option(h, "L2"), "none") != 0;
    if (!number(h, "cores", &ncores, 1, CORES_MAX) || !number(h, "top", &top, 0, 1u << 20) ||
        !cache_option(h, "I1", &shape_i1, "32768:8:64") || !cache_option(h, "D1", &shape_d1, "32768:8:64") ||
        (want_l2 && !cache_option(h, "L2", &shape_l2, "524288:8:64")) || !cache_option(h, "LL", &shape_ll, "16777216:16:64") ||
        (want_tlb && !cache_option(h, "TLB", &shape_tlb, NULL)))
        return 1;
    if (!cache_new(&ll, &shape_ll) || !make_cores() || !make_stream(h)) {
        dg->fail(h, "no room for such caches");
        return 1;
    }
    insns = dg->cell_new(h, DG_COUNTER, 1);
    reads = dg->cell_new(h, DG_COUNTER, 1);
    writes = dg->cell_new(h, DG_COUNTER, 1);
    dg->on_translate(h, translate, h);
    dg->on_fork(h, on_fork, h);
    dg->on_finish(h, finish, h);
    return 0;
}

DG_TOOL("cache", "simulation of caches and a TLB", start,
        "I1=SIZE:WAYS:LINE  first level for instructions; default 32768:8:64\n"
        "D1=SIZE:WAYS:LINE  first level for data; default 32768:8:64\n"
        "L2=SIZE:WAYS:LINE  second level of a core; default 524288:8:64; L2=none: the first ones lead to the last\n"
        "LL=SIZE:WAYS:LINE  last level, shared; default 16777216:16:64\n"
        "TLB=SIZE:WAYS:PAGE TLBs too, for instructions and data: entries times the page's size, e.g. 262144:4:4096\n"
        "cores=N            cores that threads run on; default 4\n"
        "top=N              how many instructions with most misses; default 10\n"
        "out=FILE           where to write (%p: the process id); default stderr")
