/* Images: finding and checking the file of a mapping, mapping its code, and letting go of it. See persist.h. */
#include "engine/persist.h"

#include "base/check.h"
#include "base/log.h"
#include "base/os.h"
#include "base/safe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PAGE (1u << GUEST_PAGE_BITS)
/* A file's time is its last use, as exactly as this, for eviction. */
#define TOUCH_SECONDS 3600

bool persist_page_hash(uint64_t va, uint64_t *hash)
{
    uint8_t copy[PAGE];

    if (safe_copy(copy, (const void *)(uintptr_t)va, PAGE) != 0)
        return false;
    *hash = hash64(copy, PAGE);
    return true;
}

/*
 * A file may be overwritten while it is mapped. So what is written at the end is compared with what was read, or the
 * translations of the old bytes would be kept for the new.
 */
void persist_reads(Engine *e, uint64_t va)
{
    PersistImage *im = e->persist ? persist_image_at(e->persist, va) : NULL;
    uint64_t hash;

    if (!im || !im->page_hash)
        return;
    _Atomic uint64_t *at = &im->page_hash[(va - im->start) >> GUEST_PAGE_BITS];
    if (!atomic_load_explicit(at, memory_order_relaxed) && persist_page_hash(va & ~(uint64_t)(PAGE - 1), &hash))
        atomic_store(at, hash ? hash : 1);
}

bool persist_pages_match(const PersistFile *f, uint64_t start, uint64_t end)
{
    for (uint32_t i = 0; i < f->h->npage; i++) {
        uint64_t va = start + (uint64_t)f->page[i].index * PAGE, hash;
        if (va + PAGE > end || !persist_page_hash(va, &hash) || hash != f->page[i].hash)
            return false;
    }
    return true;
}

/* Create DIR and what is missing above it. */
static void make_dirs(const char *dir)
{
    char path[PERSIST_PATH_MAX];
    size_t n = strlen(dir);

    if (n >= sizeof path)
        return;
    memcpy(path, dir, n + 1);
    for (size_t i = 1; i <= n; i++) {
        if (dir[i] != '/' && dir[i])
            continue;
        path[i] = 0;
        mkdir(path, 0700);
        path[i] = dir[i];
    }
}

bool persist_dir_ok(const Persist *p, bool make)
{
    struct stat sb;

    if (stat(p->dir, &sb) != 0) {
        if (!make || errno != ENOENT)
            return false;
        make_dirs(p->dir);
        if (stat(p->dir, &sb) != 0)
            return false;
    }
    if (S_ISDIR(sb.st_mode) && persist_own(&sb))
        return true;
    if (log_on(LOG_CACHE))
        log_line("cache: %s is not a directory that only this user may write: not used", p->dir);
    return false;
}

/* The key of a mapping: all that code depends on, and the first page, which in an ELF file has its headers and build id. */
static bool image_key(const Persist *p, const EnvImage *ei, Hash128 *key)
{
    struct {
        Hash128 build;
        uint64_t start, offset, guarded, first;
    } k = {p->build, ei->start, ei->offset, ei->guarded, 0};

    if (!persist_page_hash(ei->start, &k.first))
        return false;
    *key = hash128(&k, sizeof k);
    return true;
}

/* Map the code of an open file and check its sum there, where it is wanted. */
static const char *map_code(Engine *e, PersistImage *im, int fd)
{
    PersistFile *f = &im->file;

    CacheRegion *first = cache_map_image(&e->cache, fd, f->code_at, f->code_room, PERSIST_CHUNK, im);
    if (!first)
        return "there is no room for its code";
    im->rx = first->rx;
    im->rw = first->rw;
    im->first = first;
    im->regions = (unsigned)((f->code_room + PERSIST_CHUNK - 1) / PERSIST_CHUNK);
    return hash64(im->rx, f->h->code_len) == f->h->sum_code ? NULL : "damaged";
}

/* Take the file out of an image that nobody knows of. */
static void drop_file(Engine *e, PersistImage *im)
{
    if (im->first) {
        cache_retire_image(e, im);
        im->first = NULL;
    }
    persist_file_close(&im->file);
    im->file = (PersistFile){0};
    im->rx = im->rw = NULL;
}

static void touch(int fd)
{
    struct stat sb;

    if (fstat(fd, &sb) == 0 && time(NULL) - sb.st_mtime > TOUCH_SECONDS)
        futimens(fd, NULL);
}

static void load_file(Vcpu *cpu, PersistImage *im)
{
    Engine *e = cpu->e;
    Persist *p = e->persist;
    char path[PERSIST_PATH_MAX];
    const char *why = NULL;
    uint64_t begin = e->cfg.timing ? os_thread_ns() : 0;
    int fd = -1;

    if (!persist_path(path, p->dir, &im->key) || !persist_dir_ok(p, false))
        return;
    PersistOpen got = persist_file_open(path, &im->key, false, &im->file, &fd, &why);
    if (got == PERSIST_NONE)
        return;
    if (got == PERSIST_OPENED) {
        why = persist_pages_match(&im->file, im->start, im->end) ? map_code(e, im, fd) : "the guest's code is not what it was";
        if (!why)
            touch(fd);
        close(fd);
    }
    if (why) {
        drop_file(e, im);
        atomic_fetch_add(&p->n.rejected, 1);
        if (log_on(LOG_CACHE))
            log_line("cache: %s ignored: %s", path, why);
        return;
    }
    persist_branches_restore(cpu, im);
    atomic_store(&im->had, im->file.h->nentry);
    atomic_fetch_add(&p->n.files, 1);
    atomic_fetch_add(&p->n.kept_insns, im->file.h->guest_insns);
    atomic_fetch_add(&p->n.kept_bytes, im->file.h->code_len);
    atomic_fetch_add(&p->n.open_ns, e->cfg.timing ? os_thread_ns() - begin : 0);
    if (log_on(LOG_CACHE))
        log_line("cache: %s used for 0x%llx..0x%llx, %u translations", path, (unsigned long long)im->start,
                 (unsigned long long)im->end, im->file.h->nentry);
}

static bool was_lost(const Persist *p, uint64_t start)
{
    for (unsigned i = 0; i < p->nlost; i++) {
        if (p->lost[i] == start)
            return true;
    }
    return false;
}

/* Under p->lock, in a section between write_begin and write_end. */
static PersistImage *open_locked(Vcpu *cpu, uint64_t pc)
{
    Engine *e = cpu->e;
    Persist *p = e->persist;
    EnvImage ei;
    PersistImage *im = persist_image_at(p, pc);
    uint64_t changes = atomic_load(&p->changes);

    if (im || atomic_load(&p->off) || !e->cfg.env->image(cpu, pc, &ei))
        return im;
    im = calloc(1, sizeof *im);
    CHECK(im != NULL);
    im->start = ei.start;
    im->end = ei.end;
    im->offset = ei.offset;
    im->save = ei.end - ei.start <= UINT32_MAX && image_key(p, &ei, &im->key);
    im->page_hash = im->save ? calloc((im->end - im->start) >> GUEST_PAGE_BITS, sizeof im->page_hash[0]) : NULL;
    /* Where pointers with tags are everywhere, kept code is not careful enough. */
    if (im->save && !careful_everywhere(e))
        load_file(cpu, im);
    pthread_mutex_lock(&e->kill_lock);
    /* A program that changes its own code is not worth a file: what it began as may be in one. */
    if (!im->file.map && was_lost(p, im->start))
        im->save = false;
    atomic_store(&im->next, atomic_load(&p->images));
    atomic_store(&p->images, im);
    im->all_next = p->all;
    p->all = im;
    atomic_fetch_add(&p->n.images, 1);
    bool stale = atomic_load(&p->changes) != changes; /* what changed may have been read before it did */
    if (stale && !atomic_load(&im->dead))
        persist_image_kill_locked(e, im);
    pthread_mutex_unlock(&e->kill_lock);
    return stale ? NULL : im;
}

PersistImage *persist_image_open(Vcpu *cpu, uint64_t pc)
{
    Persist *p = cpu->e->persist;

    write_begin(cpu);
    atomic_fetch_add(&p->opening, 1);
    pthread_mutex_lock(&p->lock);
    PersistImage *im = open_locked(cpu, pc);
    pthread_mutex_unlock(&p->lock);
    atomic_fetch_sub(&p->opening, 1);
    write_end(cpu);
    return im;
}

/* --- the end of an image --------------------------------------------------------------------------------------------- */

static void unlist_locked(Persist *p, PersistImage *im)
{
    for (_Atomic(PersistImage *) *at = &p->images; atomic_load(at); at = &atomic_load(at)->next) {
        if (atomic_load(at) == im) {
            atomic_store(at, atomic_load(&im->next)); /* im's own link stays, for readers that stand on it */
            return;
        }
    }
}

void persist_forget_own(Engine *e, const PersistImage *im)
{
    Vcpu *self = fault_current();

    if (!self || self->e != e)
        return;
    link_drop_code(self, im->rx, im->file.code_room);
    self->drop_returns = true;
}

void persist_image_kill_locked(Engine *e, PersistImage *im)
{
    Persist *p = e->persist;

    atomic_store(&im->dead, true);
    if (p->nlost < sizeof p->lost / sizeof p->lost[0] && !was_lost(p, im->start))
        p->lost[p->nlost++] = im->start;
    if (!im->file.map) {
        unlist_locked(p, im);
        return;
    }
    for (CacheRegion *r = im->first; r && r->image == im; r = r->next) {
        for (Translation *t = r->translations; t; t = t->region_next) {
            if (kill_mark(e, t))
                kill_translation_locked(e, t);
        }
    }
    persist_forget_own(e, im);
    atomic_fetch_add(&e->flush_seq, 1);
    cache_retire_image(e, im);
}

void persist_region_gone_locked(Engine *e, PersistImage *im)
{
    if (!im->first)
        return; /* the file was let go of at once, the image lives */
    unlist_locked(e->persist, im); /* before the first one's addresses are used again */
    if (--im->regions)
        return;
    free(im->translation);
    im->translation = NULL;
    free(atomic_exchange(&im->gone, NULL));
    free(im->site_next);
    im->site_next = im->site_first = NULL;
    persist_file_close(&im->file);
}

void persist_changed(Engine *e)
{
    if (e->persist)
        atomic_fetch_add(&e->persist->changes, 1);
}

static bool overlaps(const PersistImage *im, uint64_t va, uint64_t len)
{
    return !atomic_load(&im->dead) && va < im->end && (va + len > im->start || va + len < va);
}

bool persist_concerns(Engine *e, uint64_t va, uint64_t len)
{
    if (!e->persist)
        return false;
    /* One that is not listed yet may have asked for its mapping before that changed. */
    bool any = atomic_load(&e->persist->opening) != 0;

    for (PersistImage *im = atomic_load(&e->persist->images); im && !any; im = atomic_load(&im->next))
        any = overlaps(im, va, len);
    return any;
}

bool persist_invalidate_locked(Engine *e, uint64_t va, uint64_t len)
{
    bool any = false;

    if (!e->persist)
        return false;
    for (PersistImage *im = atomic_load(&e->persist->images), *next; im; im = next) {
        next = atomic_load(&im->next);
        if (overlaps(im, va, len)) {
            any |= im->file.map != NULL;
            persist_image_kill_locked(e, im);
        }
    }
    return any;
}

void persist_fork_child(Engine *e)
{
    if (!e->persist)
        return;
    e->persist->forked = true;
    /* What was translated before is the parent's to write. */
    for (PersistImage *im = atomic_load(&e->persist->images); im; im = atomic_load(&im->next)) {
        atomic_fetch_add(&im->had, atomic_exchange(&im->made, 0));
        im->noted = 0;
    }
}
