/*
 * Writing: the translations of this process and those of the file that is there are put together into a new file, which
 * replaces the old one by a rename. So a reader sees one or the other, whole; of two writers at once the last wins, and
 * what the other had is found out and written again by a later process.
 */
#include "engine/persist.h"

#include "base/check.h"
#include "base/log.h"
#include "base/os.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/*
 * A file is written again when what was made anew took as long as making this part of it: writing a translation costs a
 * tenth of making it. A small one, such as the C library's, is written in some milliseconds, and what it lacks is made by
 * each run of a short program (gcc --version: 1 ms of 6). Children of a shell are many, and all translate the same few things.
 * What is too little is noted in the file, and when all that was noted there has taken as long as writing it, it is written too:
 * python3 -c pass made 14 graphs anew each time, an eighth of its processor time.
 */
#define NEW_PART 32
#define MISSED_PART 10
#define SMALL 16384        /* translations */
#define NEW_PART_SMALL 128
#define NEW_LEAST 8
#define NEW_LEAST_FORKED 64
#define LOOK_AT_CLOCK 256  /* translations; see Persist.pause */
#define CODE_ALIGN 16
#define GRAPH_ALIGN 64     /* of what tier 2 made: hosts put loops where their processors like to fetch, from its beginning on */

/* One translation on its way into a file. */
typedef struct Kept {
    PersistEntry entry;      /* code is set by place_code */
    PersistMore more;
    const uint8_t *code, *side;
    const Link *link;        /* chain sites: of a living translation, or ... */
    const PersistSite *site; /* ... of a file */
    const uint32_t *reloc;
    uint32_t page[TRANSLATION_PAGES];
} Kept;

typedef struct MadeAt {
    uint64_t pc;
    const Translation *t;
} MadeAt;

typedef struct Made {
    MadeAt *at;
    uint32_t n;
} Made;

typedef struct Writer {
    Engine *e;
    Persist *p;
    PersistImage *im;
    PersistFile base, out;   /* what is there; what is made */
    Kept *kept;
    uint32_t n, cap, nnew;
    bool refused;            /* some of what is there has been refused tier 2 */
    uint32_t *find, find_mask; /* hash table of these, but no counters, by pc and mode: index + 1 */
    uint8_t *counter_code;   /* HOST_COUNTER_BYTES each */
    PersistSite *counter_site;
    uint32_t *counter_reloc;
    uint32_t *page_of;       /* by page of the image: index in out.page + 1 */
    PromoteKept *branch;
    uint32_t nbranch;
    uint8_t *unchanged;      /* by page of the image: since it was translated from; 1 yes, 2 no, 0 not asked yet */
    uint64_t nsite, nref, nreloc, side_len, guest_insns;
} Writer;

/* --- collecting ------------------------------------------------------------------------------------------------------- */

static Kept *push(Writer *w)
{
    if (w->n == w->cap) {
        w->cap = w->cap ? 2 * w->cap : 1024;
        w->kept = realloc(w->kept, w->cap * sizeof w->kept[0]);
        CHECK(w->kept != NULL);
    }
    memset(&w->kept[w->n], 0, sizeof w->kept[0]);
    return &w->kept[w->n++];
}

/* Whether a page of the image is what it was when it was first read. */
static bool unchanged(Writer *w, uint64_t va)
{
    PersistImage *im = w->im;
    uint64_t hash, page = (va - im->start) >> GUEST_PAGE_BITS;

    if (!w->unchanged)
        w->unchanged = calloc(((im->end - im->start) >> GUEST_PAGE_BITS) + 1, 1);
    CHECK(w->unchanged != NULL);
    if (!w->unchanged[page]) {
        uint64_t then = im->page_hash ? atomic_load(&im->page_hash[page]) : 0;
        w->unchanged[page] = then && persist_page_hash(va, &hash) && then == (hash ? hash : 1) ? 1 : 2;
    }
    return w->unchanged[page] == 1;
}

/* Whether t can be kept: it lives, was made here, read nothing outside the image, and suits other runs too. */
static bool keepable(Writer *w, const Translation *t)
{
    if (atomic_load(&t->state) != TRANSLATION_LIVE || t->kept || t->names_section || (t->met && t->met->n) || t->size > PERSIST_CHUNK / 2 || t->nlink > UINT16_MAX ||
        t->nreloc > UINT16_MAX || t->guest_insns > UINT16_MAX)
        return false;
    for (unsigned i = 0; i < t->npages; i++) {
        uint64_t va = translation_page(t, i)->page << GUEST_PAGE_BITS;
        if (va < w->im->start || va >= w->im->end || !unchanged(w, va))
            return false;
    }
    return t->npages > 0;
}

static void add_new(Writer *w, const Translation *t)
{
    Kept *k = push(w);

    k->entry = (PersistEntry){(uint32_t)(t->pc - w->im->start), t->mode, 0, t->size};
    k->more = (PersistMore){.side_len = t->side_len, .nsite = (uint16_t)t->nlink, .nreloc = (uint16_t)t->nreloc,
                            .guest_insns = (uint16_t)t->guest_insns, .nref = (uint8_t)t->npages, .tier = t->graph ? 2 : 1,
                            .forms = t->forms, .refused = atomic_load(&t->refused)};
    k->code = t->hpc;
    k->side = t->side;
    k->link = t->link;
    k->reloc = t->reloc;
    for (unsigned i = 0; i < t->npages; i++)
        k->page[i] = (uint32_t)(translation_page(t, i)->page - (w->im->start >> GUEST_PAGE_BITS));
}

/* What this process translated, in the order in which it did, of all images: the lists are looked through once. */
static void gather(Engine *e, Made *m)
{
    uint32_t cap = 0;

    for (CacheRegion *r = e->cache.oldest; r; r = r->next) {
        uint32_t first = m->n;
        for (const Translation *t = r->image ? NULL : r->translations; t; t = t->region_next) {
            if (m->n == cap) {
                cap = cap ? 2 * cap : 4096;
                m->at = realloc(m->at, cap * sizeof m->at[0]);
                CHECK(m->at != NULL);
            }
            m->at[m->n++] = (MadeAt){t->pc, t};
        }
        for (uint32_t x = first, y = m->n; y > x && x < --y; x++) { /* the list has the last one first */
            MadeAt swap = m->at[x];
            m->at[x] = m->at[y];
            m->at[y] = swap;
        }
    }
}

static void collect_new(Writer *w, const Made *m)
{
    for (uint32_t i = 0; i < m->n; i++) {
        if (m->at[i].pc - w->im->start < w->im->end - w->im->start && keepable(w, m->at[i].t))
            add_new(w, m->at[i].t);
    }
    w->nnew = w->n;
}

/* Whether a kept translation was found not to become a graph, in this run. */
static bool refused_now(const Writer *w, const PersistEntry *en)
{
    const Translation *t = w->refused ? table_find(&w->e->table, w->im->start + en->pc, en->mode) : NULL;

    return t && t->kept && atomic_load(&t->refused);
}

static void add_old(Writer *w, uint32_t i)
{
    const PersistFile *f = &w->base;
    Kept *k = push(w);

    k->entry = f->entry[i];
    k->more = f->more[i];
    k->more.counter = 0;
    k->more.refused |= refused_now(w, &k->entry);
    k->code = f->code + f->entry[i].code;
    k->side = f->side + f->more[i].side;
    k->site = f->site + f->more[i].site;
    k->reloc = f->reloc + f->more[i].reloc;
    for (unsigned p = 0; p < k->more.nref; p++)
        k->page[p] = f->page[f->ref[f->more[i].ref + p]].index;
}

/* What the file has that is not made anew. */
static void collect_old(Writer *w)
{
    uint8_t *again;

    if (!w->base.map)
        return;
    again = calloc(w->base.h->nentry + 1, 1);
    CHECK(again != NULL);
    for (uint32_t i = 0; i < w->nnew; i++) {
        uint32_t k = persist_file_find(&w->base, w->kept[i].entry.pc, w->kept[i].entry.mode);
        if (k != UINT32_MAX)
            again[k] = 1;
    }
    for (uint32_t k = 0; k < w->base.h->nentry; k++) {
        if (!again[k] && !w->base.more[k].is_counter)
            add_old(w, k);
    }
    free(again);
}

static int by_place(const void *a, const void *b)
{
    const Kept *x = a, *y = b;

    if (x->more.tier != y->more.tier)
        return x->more.tier > y->more.tier ? -1 : 1;
    if (x->entry.pc != y->entry.pc)
        return x->entry.pc < y->entry.pc ? -1 : 1;
    return x->entry.mode < y->entry.mode ? -1 : x->entry.mode > y->entry.mode;
}

/*
 * Graphs first, which are what runs, and either in the order of guest code: what calls what, or goes on behind a call, is
 * then mostly on the same few pages. In the order in which they were made half of cc1's time went into fetching the first
 * instruction of a translation; in this one it takes 9 to 15 % less in all.
 */
static void put_in_order(Writer *w)
{
    qsort(w->kept, w->n, sizeof w->kept[0], by_place);
}

/* The file that is there now, if it is of use: not damaged, and made from the same bytes. */
static void open_base(Writer *w, const char *path)
{
    const char *why;
    PersistOpen got = persist_file_open(path, &w->im->key, true, &w->base, NULL, &why);

    if (got == PERSIST_OPENED && !persist_pages_match(&w->base, w->im->start, w->im->end))
        persist_file_close(&w->base);
}

/* --- counters ---------------------------------------------------------------------------------------------------------- */

static uint32_t hash_size(uint32_t n)
{
    uint32_t size = 16;

    while (size < n + n / 2)
        size *= 2;
    return size;
}

static void index_kept(Writer *w)
{
    free(w->find);
    w->find_mask = hash_size(w->n) - 1;
    w->find = calloc((size_t)w->find_mask + 1, sizeof w->find[0]);
    CHECK(w->find != NULL);
    for (uint32_t i = 0; i < w->n; i++) {
        uint32_t at = persist_hash(w->kept[i].entry.pc, w->kept[i].entry.mode) & w->find_mask;
        if (w->kept[i].more.is_counter)
            continue;
        while (w->find[at])
            at = (at + 1) & w->find_mask;
        w->find[at] = i + 1;
    }
}

/* The kept translation that a site's target is; UINT32_MAX for none. */
static uint32_t find_kept(const Writer *w, uint64_t target, uint32_t mode)
{
    uint64_t pc = target - w->im->start;
    uint32_t at = persist_hash((uint32_t)pc, mode) & w->find_mask, k;

    if (pc >= w->im->end - w->im->start)
        return UINT32_MAX;
    for (; (k = w->find[at]) != 0; at = (at + 1) & w->find_mask) {
        if (w->kept[k - 1].entry.pc == pc && w->kept[k - 1].entry.mode == mode)
            return k - 1;
    }
    return UINT32_MAX;
}

static PersistSite site_of(const HostSite *s)
{
    return (PersistSite){.offset = s->offset, .stub = s->stub & 0xfffffff, .hot = s->hot, .indirect = s->indirect,
                         .target = s->target};
}

static PersistSite kept_site(const Kept *k, unsigned i)
{
    return k->link ? site_of(&k->link[i].site) : k->site[i];
}

enum { REACHED_DIRECTLY = 1, REACHED_HOT = 2 };

/* How each translation is reached from the others. */
static uint8_t *find_reached(const Writer *w)
{
    uint8_t *reached = calloc(w->n + 1, 1);

    CHECK(reached != NULL);
    for (uint32_t i = 0; i < w->n; i++) {
        const Kept *k = &w->kept[i];
        for (unsigned s = 0; s < k->more.nsite; s++) {
            PersistSite x = kept_site(k, s);
            uint32_t to = x.indirect ? UINT32_MAX : find_kept(w, x.target, k->entry.mode);
            if (to != UINT32_MAX)
                reached[to] |= x.hot || k->more.tier > 1 ? REACHED_HOT : REACHED_DIRECTLY;
        }
    }
    return reached;
}

/* The counter of a translation: the c-th. */
static void fill_counter(Writer *w, Kept *k, const Kept *of, uint32_t c)
{
    static const uint8_t no_side[16]; /* nothing in a counter faults */
    uint8_t *code = w->counter_code + (size_t)c * HOST_COUNTER_BYTES;
    HostSite site;
    HostReloc reloc[2];

    k->entry = (PersistEntry){of->entry.pc, of->entry.mode, 0, HOST_COUNTER_BYTES};
    k->more = (PersistMore){.side_len = sizeof no_side, .nsite = 1, .nreloc = 2, .nref = of->more.nref, .tier = 1,
                            .is_counter = true};
    memcpy(k->page, of->page, sizeof k->page);
    k->code = code;
    k->side = no_side;
    k->site = &w->counter_site[c];
    k->reloc = &w->counter_reloc[2 * c];
    w->e->host->counter(w->e->plan, code, w->im->start + of->entry.pc, &site, reloc);
    w->counter_site[c] = site_of(&site);
    w->counter_reloc[2 * c] = reloc[0].offset << 8 | reloc[0].stub;
    w->counter_reloc[2 * c + 1] = reloc[1].offset << 8 | reloc[1].stub;
}

/*
 * What tier.c does with counters in a process: what may turn out to be hot, because a hot site leads to it or only
 * indirect branches do, gets a counter of its own, in front of it.
 */
static void add_counters(Writer *w)
{
    uint8_t *reached = find_reached(w);
    Kept *of = w->kept;
    uint32_t n = w->n, c = 0;

    w->counter_code = malloc((size_t)n * HOST_COUNTER_BYTES + 1);
    w->counter_site = malloc((size_t)n * sizeof w->counter_site[0] + 1);
    w->counter_reloc = malloc((size_t)n * 2 * sizeof w->counter_reloc[0] + 1);
    CHECK(w->counter_code && w->counter_site && w->counter_reloc);
    w->kept = NULL;
    w->n = w->cap = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (of[i].more.tier < 2 && !of[i].more.refused && reached[i] != REACHED_DIRECTLY) {
            fill_counter(w, push(w), &of[i], c++);
            of[i].more.counter = w->n; /* its index + 1 */
        }
        *push(w) = of[i];
    }
    free(of);
    free(reached);
    index_kept(w);
}

/* --- laying out ------------------------------------------------------------------------------------------------------- */

/* Give each its place in the code, after the gates. Returns the length of the code. */
static uint64_t place_code(Writer *w)
{
    uint64_t at = HOST_GATES * HOST_GATE_BYTES;

    for (uint32_t i = 0; i < w->n; i++) {
        Kept *k = &w->kept[i];
        uint64_t align = k->more.tier > 1 ? GRAPH_ALIGN : CODE_ALIGN;
        at = (at + align - 1) & ~(align - 1);
        if (at / PERSIST_CHUNK != (at + k->entry.size - 1) / PERSIST_CHUNK)
            at = (at / PERSIST_CHUNK + 1) * PERSIST_CHUNK;
        if (at + k->entry.size > PERSIST_CODE_MAX) {
            w->n = i;
            break;
        }
        k->entry.code = (uint32_t)at;
        at += k->entry.size;
        w->nsite += k->more.nsite;
        w->nref += k->more.nref;
        w->nreloc += k->more.nreloc;
        w->side_len += k->more.side_len;
        w->guest_insns += k->more.guest_insns;
    }
    return at;
}

/* Number the pages that are used; returns how many. */
static uint32_t number_pages(Writer *w)
{
    uint32_t n = 0, total = (uint32_t)((w->im->end - w->im->start) >> GUEST_PAGE_BITS);

    w->page_of = calloc(total + 1, sizeof w->page_of[0]);
    CHECK(w->page_of != NULL);
    for (uint32_t i = 0; i < w->n; i++) {
        for (unsigned p = 0; p < w->kept[i].more.nref; p++)
            w->page_of[w->kept[i].page[p]] = 1;
    }
    for (uint32_t i = 0; i < total; i++) {
        if (w->page_of[i])
            w->page_of[i] = ++n;
    }
    return n;
}

static bool fill_pages(Writer *w)
{
    PersistPage *page = (PersistPage *)(uintptr_t)w->out.page;
    uint32_t total = (uint32_t)((w->im->end - w->im->start) >> GUEST_PAGE_BITS);

    for (uint32_t i = 0; i < total; i++) {
        uint32_t k = w->page_of[i];
        if (!k)
            continue;
        page[k - 1].index = i;
        if (!persist_page_hash(w->im->start + ((uint64_t)i << GUEST_PAGE_BITS), &page[k - 1].hash))
            return false;
    }
    return true;
}

static void fill_hash(Writer *w)
{
    uint32_t *hash = (uint32_t *)(uintptr_t)w->out.hash;

    for (uint32_t i = 0; i <= w->find_mask; i++)
        hash[i] = w->find[i] <= w->n ? w->find[i] : 0;
}

/* Copy the parts of one translation but its code; the counters in `next` say where. */
static void fill_one(Writer *w, uint32_t i, PersistMore *next)
{
    Kept *k = &w->kept[i];
    PersistMore *m = (PersistMore *)(uintptr_t)&w->out.more[i];
    PersistSite *site = (PersistSite *)(uintptr_t)w->out.site + next->site;
    uint32_t *ref = (uint32_t *)(uintptr_t)w->out.ref + next->ref, *reloc = (uint32_t *)(uintptr_t)w->out.reloc + next->reloc;

    ((PersistEntry *)(uintptr_t)w->out.entry)[i] = k->entry;
    *m = k->more;
    m->side = next->side;
    m->site = next->site;
    m->ref = next->ref;
    m->reloc = next->reloc;
    for (unsigned s = 0; s < m->nsite; s++)
        site[s] = kept_site(k, s);
    for (unsigned p = 0; p < m->nref; p++)
        ref[p] = w->page_of[k->page[p]] - 1;
    memcpy(reloc, k->reloc, m->nreloc * sizeof *reloc);
    memcpy((uint8_t *)(uintptr_t)w->out.side + next->side, k->side, m->side_len);
    next->side += m->side_len;
    next->site += m->nsite;
    next->ref += m->nref;
    next->reloc += m->nreloc;
}

/* The entry that a site of `from` is linked to in the file, UINT32_MAX for none: as link_chain does. */
static uint32_t site_entry(const Writer *w, const Kept *from, const PersistSite *x)
{
    uint32_t k = x->indirect ? UINT32_MAX : find_kept(w, x->target, from->entry.mode);

    const PersistMore *to = k < w->n ? &w->kept[k].more : NULL;
    if (to && !from->more.is_counter && (x->hot || from->more.tier > 1) && to->tier < 2 && !to->refused)
        k = to->counter - 1;
    return k < w->n ? k : UINT32_MAX;
}

/* Copy the code, point it at the gates, and link what can be linked: what it was linked to here does not matter. */
static void fill_code(Writer *w, uint32_t i)
{
    const Host *host = w->e->host;
    uint8_t *code = (uint8_t *)(uintptr_t)w->out.code, *to = code + w->kept[i].entry.code;
    const PersistMore *m = &w->out.more[i];

    memcpy(to, w->kept[i].code, w->kept[i].entry.size);
    for (unsigned r = 0; r < m->nreloc; r++) {
        uint32_t reloc = w->out.reloc[m->reloc + r];
        host->retarget(to + (reloc >> 8), code + (reloc & 0xff) * HOST_GATE_BYTES);
    }
    for (unsigned s = 0; s < m->nsite; s++) {
        const PersistSite *x = &w->out.site[m->site + s];
        HostSite site = {.offset = x->offset, .stub = x->stub, .target = x->target};
        uint32_t k = site_entry(w, &w->kept[i], x);
        if (x->indirect != HOST_SITE_PLAIN) /* which leads where it always does */
            host->patch(&site, to, 0, k == UINT32_MAX ? NULL : code + w->out.entry[k].code);
    }
}

static void fill_header(Writer *w, PersistHeader *h, Vcpu *cpu)
{
    const EnvOps *env = w->e->cfg.env;
    char name[PERSIST_PATH_MAX] = "";

    memcpy(h->magic, PERSIST_MAGIC, sizeof h->magic);
    h->version = PERSIST_VERSION;
    h->header_size = sizeof *h;
    h->key = w->im->key;
    h->build = w->p->build;
    h->start = w->im->start;
    h->offset = w->im->offset;
    if (env->image_name)
        env->image_name(cpu, w->im->start, name, sizeof name);
    size_t n = strlen(name), room = sizeof h->guest - 1;
    memcpy(h->guest, name + (n > room ? n - room : 0), n > room ? room : n);
}

/* The whole file in memory; false when a page of the guest has gone. */
static bool build(Writer *w, Vcpu *cpu)
{
    PersistHeader h = {0};
    PersistMore next = {0};

    h.code_len = place_code(w);
    h.npage = number_pages(w);
    h.nentry = w->n;
    h.nhash = w->find_mask + 1;
    h.nsite = (uint32_t)w->nsite;
    h.nref = (uint32_t)w->nref;
    h.nreloc = (uint32_t)w->nreloc;
    h.nbranch = w->nbranch;
    h.side_len = w->side_len;
    h.guest_insns = w->guest_insns;
    w->out.map = (uint8_t *)&h;
    w->out.len = persist_layout(&w->out) + w->out.code_room;
    uint8_t *map = os_alloc_large(w->out.len);
    w->out.map = map;
    if (!map)
        return false;
    memcpy(map, &h, sizeof h);
    persist_layout(&w->out);
    w->out.code = map + w->out.code_at;
    w->e->host->gates(w->e->plan, map + w->out.code_at);
    for (uint32_t i = 0; i < w->n; i++)
        fill_one(w, i, &next);
    fill_hash(w);
    if (w->nbranch)
        memcpy((PromoteKept *)(uintptr_t)w->out.branch, w->branch, w->nbranch * sizeof *w->branch);
    for (uint32_t i = 0; i < w->n; i++)
        fill_code(w, i);
    PersistHeader *out = (PersistHeader *)map;
    fill_header(w, out, cpu);
    if (!fill_pages(w))
        return false;
    out->sum_data = hash64(map + sizeof *out, w->out.code_at - sizeof *out);
    out->sum_code = hash64(w->out.code, out->code_len);
    out->sum_header = persist_header_sum(out);
    return true;
}

/* --- when --------------------------------------------------------------------------------------------------------------- */

static bool worth_it(const Persist *p, uint32_t made, uint32_t had)
{
    uint32_t least = p->forked ? NEW_LEAST_FORKED : NEW_LEAST, part = had / (had < SMALL ? NEW_PART_SMALL : NEW_PART);

    return made >= (part > least ? part : least) || (made && !had);
}

static bool missed_enough(uint32_t missed, uint32_t had)
{
    return missed >= NEW_LEAST_FORKED && missed >= had / MISSED_PART;
}

/* Note in the file what this process made; whether it comes to enough with what others noted. */
static bool note_missed(PersistImage *im, const char *path, uint32_t made)
{
    uint32_t more = made - im->noted;

    im->noted = made;
    return more && missed_enough(persist_missed(path, more), atomic_load(&im->had));
}

/* Whether the file that is there lacks enough of what is new; others may have written it meanwhile. */
static bool lacking(const Writer *w)
{
    uint32_t n = 0;

    if (!w->base.map || w->refused)
        return true;
    for (uint32_t i = 0; i < w->nnew; i++) {
        const Kept *x = &w->kept[i];
        uint32_t k = persist_file_find(&w->base, x->entry.pc, x->entry.mode);
        if (k != UINT32_MAX && (x->more.forms & ~w->base.more[k].forms))
            return true; /* worth more than its making: it costs traps in every run */
        if (k == UINT32_MAX || w->base.more[k].tier < x->more.tier)
            n += x->more.tier > 1 ? PERSIST_GRAPH_COST : 1;
    }
    return worth_it(w->p, n, w->base.h->nentry) || (n && missed_enough(w->base.h->missed, w->base.h->nentry));
}

static void free_writer(Writer *w)
{
    persist_file_close(&w->base);
    if (w->out.map)
        os_free((void *)(uintptr_t)w->out.map, w->out.len);
    free(w->kept);
    free(w->page_of);
    free(w->find);
    free(w->counter_code);
    free(w->counter_site);
    free(w->counter_reloc);
    free(w->branch);
    free(w->unchanged);
}

/* Writers of the code cache stand still. Returns whether a file was written. */
static bool save_image(Vcpu *cpu, PersistImage *im, Made *m)
{
    Engine *e = cpu->e;
    Persist *p = e->persist;
    Writer w = {.e = e, .p = p, .im = im};
    char path[PERSIST_PATH_MAX];
    bool ok = false;
    uint32_t made = atomic_load(&im->made);

    if (atomic_load(&im->dead) || !im->save || !persist_path(path, p->dir, &im->key) ||
        !(atomic_load(&im->careful) || worth_it(p, made, atomic_load(&im->had)) || note_missed(im, path, made)))
        return false;
    if (!m->at)
        gather(e, m);
    collect_new(&w, m);
    w.refused = atomic_exchange(&im->refused, false);
    if (w.nnew || w.refused)
        open_base(&w, path);
    if ((w.nnew || (w.refused && w.base.map)) && lacking(&w)) {
        collect_old(&w);
        put_in_order(&w);
        index_kept(&w);
        add_counters(&w);
        w.branch = persist_branches_collect(e, im, &w.base, &w.nbranch);
        ok = build(&w, cpu) && persist_replace(p, path, &w.out);
        if (ok) {
            atomic_fetch_add(&p->n.saved_files, 1);
            atomic_fetch_add(&p->n.saved, w.nnew);
            atomic_fetch_add(&p->n.saved_bytes, w.out.code_at + w.out.h->code_len);
        }
        if (log_on(LOG_CACHE))
            log_line("cache: %s %s: %u translations, %u of them new", path, ok ? "written" : "not written", w.n, w.nnew);
    }
    if (!ok)
        persist_missed(path, 0); /* it was not what can be kept */
    atomic_store(&im->made, 0);
    im->noted = 0;
    atomic_fetch_add(&im->had, w.nnew);
    atomic_store(&im->careful, false);
    free_writer(&w);
    return ok;
}

void engine_save(Vcpu *cpu)
{
    Engine *e = cpu->e;
    Persist *p = e->persist;
    bool wrote = false, any = false;
    Made m = {0};

    if (e->cfg.tools) {
        rest_others(cpu);
        e->cfg.tools->ops->finish(e->cfg.tools, cpu);
    }
    if (!p || atomic_load(&p->off))
        return;
    for (PersistImage *im = atomic_load(&p->images); im && !any; im = atomic_load(&im->next))
        any = atomic_load(&im->made) != 0;
    if (!any || !persist_dir_ok(p, true))
        return;
    uint64_t begin = os_thread_ns();
    writers_stop(e);
    for (PersistImage *im = atomic_load(&p->images); im; im = atomic_load(&im->next))
        wrote |= save_image(cpu, im, &m);
    writers_go(e);
    free(m.at);
    if (wrote)
        persist_evict(p);
    p->saved_at = os_now_ns();
    p->pause *= 2;
    atomic_fetch_add(&p->n.save_ns, os_thread_ns() - begin);
}

void persist_improved(Engine *e, const Translation *t)
{
    PersistImage *im = e->persist ? persist_image_at(e->persist, t->pc) : NULL;

    if (im)
        atomic_fetch_add(&im->made, PERSIST_GRAPH_COST);
}

void persist_learnt(Engine *e, uint64_t pc)
{
    PersistImage *im = e->persist ? persist_image_at(e->persist, pc) : NULL;

    if (!im)
        return;
    atomic_store(&im->refused, true);
    atomic_fetch_add(&im->made, PERSIST_REFUSAL_COST);
}

void persist_made(Vcpu *cpu, const Translation *t)
{
    Persist *p = cpu->e->persist;
    PersistImage *im = p ? persist_image_at(p, t->pc) : NULL;

    if (!im || t->kept || !t->hpc)
        return;
    unsigned n = atomic_fetch_add(&im->made, 1) + 1;
    if (t->forms)
        atomic_store(&im->careful, true);
    if (n % LOOK_AT_CLOCK == 0 && os_now_ns() - p->saved_at > p->pause)
        engine_save(cpu);
}
