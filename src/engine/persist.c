/* Looking up; what the cache's key is made of; statistics. See persist.h. */
#include "engine/persist.h"

#include "base/check.h"
#include "base/log.h"
#include "base/os.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_PAUSE_SECONDS 10
#define LIMIT_DEFAULT ((uint64_t)1 << 30)

/* --- setting up ----------------------------------------------------------------------------------------------------- */

/* Modes of work for which each process must translate itself. */
static bool wanted(const Engine *e)
{
    const EngineConfig *c = &e->cfg;

    return c->persist_dir && c->env->image && c->kind == ENGINE_JIT && !c->check && !c->one_insn && !c->no_chain && !c->harden &&
           !c->count &&
           c->jit_limit == UINT64_MAX && !log_on(LOG_IN) && !log_on(LOG_IR) && !log_on(LOG_OPT) && !log_on(LOG_RA) &&
           !log_on(LOG_ASM) && !log_on(LOG_EXEC);
}

static void add(char *buf, size_t size, size_t *at, const void *p, size_t n)
{
    CHECK(*at + n <= size);
    memcpy(buf + *at, p, n);
    *at += n;
}

/* Everything but guest code that a translation depends on. False when it cannot be told apart from another's. */
static bool build_key(const Engine *e, Hash128 *key)
{
    char buf[1024];
    uint8_t id[32], feat[128];
    size_t at = 0, idlen = os_build_id(id, sizeof id);
    const char *cpu = e->cfg.cpu_list ? e->cfg.cpu_list : "";
    uint32_t options[] = {PERSIST_VERSION, e->opt_skip, e->cfg.exact_flags, e->cfg.fp_exact, e->cfg.llsc_strict,
                          e->cfg.ret_predict, e->cfg.promote.slots > 0,
                          e->cfg.tier2 > 1 ? 2 : e->cfg.tier2, (uint32_t)strlen(cpu)};

    if (!idlen || strlen(cpu) > 512)
        return false;
    add(buf, sizeof buf, &at, id, idlen);
    add(buf, sizeof buf, &at, options, sizeof options);
    add(buf, sizeof buf, &at, e->cfg.guest->name, strlen(e->cfg.guest->name));
    add(buf, sizeof buf, &at, cpu, strlen(cpu));
    add(buf, sizeof buf, &at, feat, e->host->features(e->plan, feat, sizeof feat));
    *key = hash128(buf, at);
    return true;
}

void persist_init(Engine *e)
{
    Hash128 build;

    if (!wanted(e) || !build_key(e, &build))
        return;
    Persist *p = calloc(1, sizeof *p);
    CHECK(p != NULL);
    p->dir = e->cfg.persist_dir;
    p->limit = e->cfg.persist_limit ? e->cfg.persist_limit : LIMIT_DEFAULT;
    p->build = build;
    p->saved_at = os_now_ns();
    p->pause = (uint64_t)FIRST_PAUSE_SECONDS * 1000000000;
    pthread_mutex_init(&p->lock, NULL);
    e->persist = p;
}

void persist_done(Engine *e)
{
    Persist *p = e->persist;

    if (!p)
        return;
    for (PersistImage *im = p->all, *next; im; im = next) {
        next = im->all_next;
        persist_file_close(&im->file);
        free(im->translation);
        free(atomic_load(&im->gone));
        free(im->site_next);
        free((void *)im->page_hash);
        free(im);
    }
    pthread_mutex_destroy(&p->lock);
    free(p);
}

void engine_persist_off(Engine *e)
{
    if (e->persist)
        atomic_store(&e->persist->off, true);
}

/* --- looking up ----------------------------------------------------------------------------------------------------- */

PersistImage *persist_image_at(const Persist *p, uint64_t pc)
{
    PersistImage *im = atomic_load_explicit(&p->images, memory_order_acquire);

    while (im && (pc - im->start >= im->end - im->start || atomic_load_explicit(&im->dead, memory_order_relaxed)))
        im = atomic_load_explicit(&im->next, memory_order_acquire);
    return im;
}

bool persist_links(Engine *e, uint64_t from, uint64_t to)
{
    const Persist *p = e->persist;
    const PersistImage *im = p && !atomic_load(&p->off) ? persist_image_at(p, from) : NULL;

    return !im || persist_image_at(p, to) == im;
}

/* The image of pc with a file, and the file's entry for pc. */
static PersistImage *find(Vcpu *cpu, uint64_t pc, uint32_t *entry)
{
    Persist *p = cpu->e->persist;

    if (!p)
        return NULL;
    PersistImage *im = persist_image_at(p, pc);
    if (!im)
        im = persist_image_open(cpu, pc);
    if (!im || !im->file.map)
        return NULL;
    *entry = persist_file_find(&im->file, (uint32_t)(pc - im->start), cpu->h.ir.mode);
    if (*entry == UINT32_MAX)
        return NULL;
    const uint8_t *gone = atomic_load_explicit(&im->gone, memory_order_acquire);
    return gone && gone[*entry] ? NULL : im;
}

const void *persist_code(Vcpu *cpu, uint64_t pc)
{
    uint32_t k;
    PersistImage *im = find(cpu, pc, &k);

    if (!im)
        return NULL;
    atomic_fetch_add_explicit(&cpu->e->persist->n.hits, 1, memory_order_relaxed);
    uint32_t counter = im->file.more[k].counter;
    if (counter && counter <= im->file.h->nentry && cpu->e->cfg.tier2 > 1)
        k = counter - 1;
    return im->rx + im->file.entry[k].code;
}

/* --- Translations of entries ---------------------------------------------------------------------------------------- */

CacheRegion *persist_region_of(const PersistImage *im, uint32_t code)
{
    for (CacheRegion *r = atomic_load(&im->dead) ? NULL : im->first; r && r->image == im; r = r->next) {
        if (code - (uint32_t)(r->rx - im->rx) < r->size)
            return r;
    }
    return NULL;
}

static Translation *from_entry(Engine *e, PersistImage *im, uint32_t k)
{
    const PersistFile *f = &im->file;
    const PersistEntry *en = &f->entry[k];
    const PersistMore *m = &f->more[k];
    Translation *t = translation_new(e, im->start + en->pc, en->mode);

    *t = (Translation){.pc = im->start + en->pc, .mode = en->mode, .guest_insns = m->guest_insns, .hpc = im->rx + en->code,
                       .rw = im->rw + en->code, .size = en->size, .nlink = m->nsite, .side = f->side + m->side,
                       .side_len = m->side_len, .nreloc = m->nreloc, .reloc = f->reloc + m->reloc, .kept = true,
                       .graph = m->tier == 2, .forms = m->forms};
    atomic_init(&t->refused, m->refused);
    translation_links(e, t);
    for (unsigned i = 0; i < m->nsite; i++) {
        const PersistSite *s = &f->site[m->site + i];
        t->link[i] = (Link){.from = t, .site = {.offset = s->offset, .stub = s->stub, .target = s->target, .hot = s->hot,
                                                   .indirect = s->indirect}};
    }
    return t;
}

/* Under kill_lock, so that the image lives on and nobody else does the same. NULL when it is of no use. */
static Translation *materialise_locked(Engine *e, PersistImage *im, uint32_t k)
{
    const PersistFile *f = &im->file;

    const uint8_t *gone = atomic_load(&im->gone);
    if (atomic_load(&im->dead) || (gone && gone[k]) || !persist_entry_ok(f, k))
        return NULL;
    if (!im->translation)
        im->translation = calloc(f->h->nentry, sizeof im->translation[0]);
    CHECK(im->translation != NULL);
    if (im->translation[k])
        return translation_dead(im->translation[k]) ? NULL : im->translation[k];
    CacheRegion *r = persist_region_of(im, f->entry[k].code);
    if (!r)
        return NULL;
    Translation *t = im->translation[k] = from_entry(e, im, k);
    for (unsigned i = 0; i < f->more[k].nref; i++)
        page_add(e, t, im->start + ((uint64_t)f->page[f->ref[f->more[k].ref + i]].index << GUEST_PAGE_BITS));
    t->region = r;
    t->region_next = r->translations;
    r->translations = t;
    atomic_store(&t->state, TRANSLATION_LIVE);
    if (!f->more[k].is_counter)
        table_insert(&e->table, t); /* there may be a better one already, but this one's chain sites exist too */
    atomic_fetch_add_explicit(&e->persist->n.made, 1, memory_order_relaxed);
    return t;
}

Translation *persist_get(Vcpu *cpu, uint64_t pc)
{
    Engine *e = cpu->e;
    uint32_t k;
    PersistImage *im = find(cpu, pc, &k);

    if (!im)
        return NULL;
    write_begin(cpu);
    pthread_mutex_lock(&e->kill_lock);
    Translation *t = materialise_locked(e, im, k);
    pthread_mutex_unlock(&e->kill_lock);
    write_end(cpu);
    return t;
}

/* The image whose code holds hpc, dead or not, and the entry there. */
static PersistImage *find_host(const Persist *p, const void *hpc, uint32_t *entry)
{
    PersistImage *im = p ? atomic_load(&p->images) : NULL;

    for (; im; im = atomic_load(&im->next)) {
        /* Of an image that is going only these are looked at: no thread is in its code any more. */
        if ((uintptr_t)hpc - (uintptr_t)im->rx < im->file.code_room)
            break;
    }
    if (!im)
        return NULL;
    uint32_t at = (uint32_t)((const uint8_t *)hpc - im->rx), lo = 0, hi = im->file.h->nentry;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (im->file.entry[mid].code <= at)
            lo = mid + 1;
        else
            hi = mid;
    }
    *entry = lo - 1;
    return lo && at - im->file.entry[lo - 1].code < im->file.entry[lo - 1].size ? im : NULL;
}

Translation *persist_at(Engine *e, const void *hpc)
{
    uint32_t k;
    PersistImage *im = find_host(e->persist, hpc, &k);

    if (!im)
        return NULL;
    pthread_mutex_lock(&e->kill_lock);
    Translation *t = materialise_locked(e, im, k);
    pthread_mutex_unlock(&e->kill_lock);
    return t;
}

bool persist_target(Engine *e, const void *hpc, uint64_t *target)
{
    uint32_t k;
    PersistImage *im = find_host(e->persist, hpc, &k);

    if (!im || !persist_entry_ok(&im->file, k))
        return false;
    const PersistSite *s = im->file.site + im->file.more[k].site, *end = s + im->file.more[k].nsite;
    uint32_t off = (uint32_t)((const uint8_t *)hpc - im->rx) - im->file.entry[k].code;
    for (; s < end; s++) {
        if (s->stub == off && !s->indirect) {
            *target = s->target;
            return true;
        }
    }
    return false;
}

bool persist_place(Engine *e, const void *hpc, Translation *out)
{
    uint32_t k;
    PersistImage *im = find_host(e->persist, hpc, &k);

    if (!im || !persist_entry_ok(&im->file, k))
        return false;
    out->pc = im->start + im->file.entry[k].pc;
    out->mode = im->file.entry[k].mode;
    out->hpc = im->rx + im->file.entry[k].code;
    out->side = im->file.side + im->file.more[k].side;
    out->side_len = im->file.more[k].side_len;
    return true;
}

bool persist_drop_locked(Engine *e, uint64_t pc, uint32_t mode, bool replaced)
{
    PersistImage *im = e->persist ? persist_image_at(e->persist, pc) : NULL;

    return im && im->file.map && persist_image_drop_locked(e, im, pc, mode, replaced);
}

bool persist_drop_page_locked(Engine *e, uint64_t va)
{
    PersistImage *im = e->persist ? persist_image_at(e->persist, va) : NULL;

    return im && im->file.map && persist_image_drop_page_locked(e, im, va >> GUEST_PAGE_BITS);
}

/* --- statistics ------------------------------------------------------------------------------------------------------ */

static void print(FILE *f, const char *name, const _Atomic uint64_t *n)
{
    fprintf(f, "  %-28s %12llu\n", name, (unsigned long long)atomic_load(n));
}

void persist_stats(Engine *e, FILE *f)
{
    Persist *p = e->persist;

    if (!p)
        return;
    print(f, "persistent cache: files used", &p->n.files);
    print(f, "  files rejected", &p->n.rejected);
    print(f, "  guest instructions in them", &p->n.kept_insns);
    print(f, "  host bytes in them", &p->n.kept_bytes);
    print(f, "  ns to open and check", &p->n.open_ns);
    print(f, "  lookups answered", &p->n.hits);
    print(f, "  translations taken singly", &p->n.made);
    print(f, "  files written", &p->n.saved_files);
    print(f, "  translations written", &p->n.saved);
    print(f, "  bytes written", &p->n.saved_bytes);
    print(f, "  ns to write", &p->n.save_ns);
}
