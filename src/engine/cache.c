#include "engine/internal.h"

#include "base/check.h"
#include "base/log.h"
#include "base/os.h"

#include <stdlib.h>
#include <string.h>

/* A thread's first region is this large; each further one twice the last, up to the maximum. What a forked process has to
 * copy before it can write to a region is at most the maximum. */
#define REGION_MIN CACHE_GRANULE
#define REGION_MAX (8 * CACHE_GRANULE)
/* A small cache is cut into at least so many parts, or evicting one would empty it. */
#define REGIONS_LEAST 16
#define CODE_ALIGN 16
/* A region of whose translations less than one in so many lives is evicted before its time. */
#define WORN_PART 8

bool cache_init(Cache *c, size_t size, Status *st)
{
    c->size = (size + CACHE_GRANULE - 1) & ~(size_t)(CACHE_GRANULE - 1);
    c->ngranule = (unsigned)(c->size / CACHE_GRANULE);
    pthread_mutex_init(&c->lock, NULL);
    pool_init(&c->pool);
    c->rw = os_reserve(c->size, st);
    c->rx = c->rw ? os_reserve(c->size, st) : NULL;
    if (!c->rx)
        return false;
    c->granule_used = calloc(c->ngranule, 1);
    c->page_first = os_alloc((c->size >> CACHE_PAGE_BITS) * sizeof c->page_first[0]);
    if (!c->granule_used || !c->page_first)
        return status_set(st, STATUS_HOST, "out of memory");
    return true;
}

static void free_regions(Pool *pool, CacheRegion *r)
{
    while (r) {
        CacheRegion *next = r->next;
        for (Translation *t = r->translations, *tn; t; t = tn) {
            tn = t->region_next;
            translation_free(pool, t);
        }
        free(r);
        r = next;
    }
}

void cache_done(Cache *c)
{
    free_regions(&c->pool, c->oldest);
    free_regions(&c->pool, c->retired);
    cells_done(c->cells, &c->pool);
    pool_done(&c->pool);
    os_release(c->rw, c->size);
    os_release(c->rx, c->size);
    os_free(c->page_first, (c->size >> CACHE_PAGE_BITS) * sizeof c->page_first[0]);
    free(c->granule_used);
}

/* --- granules --- */

/* `want` free ones in a row: the first such, or the last. */
static int find_granules_locked(const Cache *c, unsigned want, bool last)
{
    unsigned run = 0;

    for (unsigned k = 0; k < c->ngranule; k++) {
        unsigned i = last ? c->ngranule - 1 - k : k;
        run = c->granule_used[i] ? 0 : run + 1;
        if (run == want)
            return (int)(last ? i : i + 1 - want);
    }
    return -1;
}

static void mark_granules_locked(Cache *c, const CacheRegion *r, uint8_t used)
{
    memset(c->granule_used + (size_t)(r->rw - c->rw) / CACHE_GRANULE, used, r->size / CACHE_GRANULE);
    c->used += used ? r->size : -r->size;
}

/* --- regions --- */

static CacheRegion *region_take(Cache *c, size_t size, bool last)
{
    CacheRegion *r = calloc(1, sizeof *r);

    if (!r)
        return NULL;
    pthread_mutex_lock(&c->lock);
    int g = find_granules_locked(c, (unsigned)(size / CACHE_GRANULE), last);
    if (g >= 0) {
        r->rw = c->rw + (size_t)g * CACHE_GRANULE;
        r->rx = c->rx + (size_t)g * CACHE_GRANULE;
        r->size = size;
        r->owned = true;
        pthread_mutex_init(&r->lock, NULL);
        mark_granules_locked(c, r, 1);
    }
    bool ok = g >= 0 && os_map_dual(r->rw, r->rx, size);
    if (ok) {
        if (c->newest)
            c->newest->next = r;
        else
            c->oldest = r;
        c->newest = r;
    } else if (g >= 0) {
        mark_granules_locked(c, r, 0);
    }
    pthread_mutex_unlock(&c->lock);
    if (!ok) {
        free(r);
        r = NULL;
    }
    return r;
}

/* Nearly all that was made in the region is dead. */
static bool is_worn(const CacheRegion *r)
{
    return atomic_load_explicit(&r->live, memory_order_relaxed) <= r->made / WORN_PART;
}

/* Take the oldest region that nobody emits into, and that is worn when `worn`, out of the list. */
static CacheRegion *pick_victim(Cache *c, bool worn)
{
    CacheRegion *prev = NULL, *r;

    pthread_mutex_lock(&c->lock);
    for (r = c->oldest; r && (r->owned || r->fixed || r->image || (worn && !is_worn(r))); r = r->next)
        prev = r;
    if (r) {
        if (prev)
            prev->next = r->next;
        else
            c->oldest = r->next;
        if (c->newest == r)
            c->newest = prev;
    }
    pthread_mutex_unlock(&c->lock);
    return r;
}

static bool evict_one(Engine *e, bool worn)
{
    Cache *c = &e->cache;

    pthread_mutex_lock(&e->kill_lock);
    CacheRegion *r = pick_victim(c, worn);
    for (Translation *t = r ? r->translations : NULL; t; t = t->region_next) {
        if (kill_mark(e, t))
            kill_translation_locked(e, t);
    }
    if (r) {
        pthread_mutex_lock(&c->lock);
        /* Not only killing: vcpus may remember translations here that others took the place of long ago. */
        atomic_fetch_add(&e->flush_seq, 1);
        r->retired_epoch = grace_stamp(e);
        r->next = c->retired;
        c->retired = r;
        pthread_mutex_unlock(&c->lock);
        atomic_fetch_add_explicit(&e->evicted, 1, memory_order_relaxed);
    }
    pthread_mutex_unlock(&e->kill_lock);
    if (r)
        kill_finish(e);
    return r != NULL;
}

bool cache_room(Cache *c)
{
    pthread_mutex_lock(&c->lock);
    int g = find_granules_locked(c, 1, false);
    pthread_mutex_unlock(&c->lock);
    return g >= 0;
}

size_t cache_wasted(Cache *c)
{
    size_t n = 0;

    pthread_mutex_lock(&c->lock);
    for (CacheRegion *r = c->oldest; r; r = r->next) {
        if (r->fixed || r->image)
            continue;
        n += r->size;
        for (Translation *t = r->translations; t; t = t->region_next)
            n -= translation_dead(t) ? 0 : t->size;
    }
    pthread_mutex_unlock(&c->lock);
    return n;
}

/* Bytes in regions that are not being evicted already. */
static size_t live_bytes(Cache *c)
{
    pthread_mutex_lock(&c->lock);
    size_t n = c->used;
    for (CacheRegion *r = c->retired; r; r = r->next)
        n -= r->size;
    pthread_mutex_unlock(&c->lock);
    return n;
}

CacheRegion *cache_region_new(Engine *e, size_t want, bool last)
{
    Cache *c = &e->cache;
    size_t size = (want + CACHE_GRANULE - 1) & ~(size_t)(CACHE_GRANULE - 1);
    CacheRegion *r = region_take(c, size, last);

    /* A guest that makes code all the time and throws it away: its memory comes back as it goes. */
    while (evict_one(e, true))
        ;
    /* Evict ahead of need, for the memory comes back only after a grace period. */
    while ((!r || live_bytes(c) > c->size - c->size / 8) && evict_one(e, false) && r)
        ;
    if (r && log_on(LOG_LINK))
        log_line("cache: region of %zu KiB at %zu KiB", size >> 10, (size_t)(r->rx - c->rx) >> 10);
    else if (log_on(LOG_LINK))
        log_line("cache: region of %zu KiB: none free", size >> 10);
    return r;
}

CacheRegion *cache_map_image(Cache *c, int fd, uint64_t off, size_t size, size_t chunk, struct PersistImage *im)
{
    CacheRegion *first = NULL, *last = NULL;
    int g = -1;

    pthread_mutex_lock(&c->lock);
    /* Half of the cache is for what is translated now. */
    if (c->used + size <= c->size / 2)
        g = find_granules_locked(c, (unsigned)(size / CACHE_GRANULE), false);
    size_t at = (size_t)g * CACHE_GRANULE;
    if (g >= 0 && os_map_code(c->rx + at, size, fd, off)) {
        for (size_t done = 0; done < size; done += last->size) {
            CacheRegion *r = calloc(1, sizeof *r);
            CHECK(r != NULL);
            *r = (CacheRegion){.rw = c->rw + at + done, .rx = c->rx + at + done, .image = im};
            r->size = r->used = size - done < chunk ? size - done : chunk;
            atomic_init(&r->frozen, true);
            pthread_mutex_init(&r->lock, NULL);
            mark_granules_locked(c, r, 1);
            if (c->newest)
                c->newest->next = r;
            else
                c->oldest = r;
            c->newest = last = r;
            first = first ? first : r;
        }
    }
    pthread_mutex_unlock(&c->lock);
    return first;
}

void cache_retire_image(Engine *e, struct PersistImage *im)
{
    Cache *c = &e->cache;
    CacheRegion *prev = NULL;
    uint64_t epoch = grace_stamp(e); /* one for all: when one is given back, nobody is in any of them */

    pthread_mutex_lock(&c->lock);
    for (CacheRegion **p = &c->oldest; *p;) {
        CacheRegion *r = *p;
        if (r->image != im) {
            prev = r;
            p = &r->next;
            continue;
        }
        *p = r->next;
        r->retired_epoch = epoch;
        r->next = c->retired;
        c->retired = r;
    }
    c->newest = prev;
    pthread_mutex_unlock(&c->lock);
}

static void give_up_region(Cache *c, CacheRegion *r)
{
    pthread_mutex_lock(&c->lock);
    r->owned = false;
    pthread_mutex_unlock(&c->lock);
}

void cache_release(Vcpu *cpu)
{
    if (cpu->region)
        give_up_region(&cpu->e->cache, cpu->region);
    cpu->region = NULL;
}

/* A region that fork froze: worth copying only while it has much room left. */
static bool thaw(CacheRegion *r)
{
    bool ok = true;

    if (!atomic_load(&r->frozen))
        return true;
    if (r->used > r->size / 2)
        return false;
    pthread_mutex_lock(&r->lock);
    if (atomic_load(&r->frozen))
        ok = cache_writable_locked(r);
    pthread_mutex_unlock(&r->lock);
    return ok;
}

bool cache_buf(Vcpu *cpu, size_t need, CodeBuf *cb)
{
    CacheRegion *r = cpu->region;

    if (!r || r->size - r->used < need || !thaw(r)) {
        size_t want = r ? r->size * 2 : REGION_MIN, most = cpu->e->cache.size / REGIONS_LEAST;
        if (want > REGION_MAX)
            want = REGION_MAX;
        if (want > most)
            want = most;
        if (want < need)
            want = need;
        cache_release(cpu);
        r = cache_region_new(cpu->e, want, false);
        if (!r)
            return false;
        cpu->region = r;
    }
    cb->start = cb->p = r->rw + r->used;
    cb->end = r->rw + r->size;
    cb->delta = r->rx - r->rw;
    cb->overflow = false;
    return true;
}

void cache_commit(Vcpu *cpu, CodeBuf *cb, Translation *t)
{
    Cache *c = &cpu->e->cache;
    CacheRegion *r = cpu->region;

    r->used = ((size_t)(cb->p - r->rw) + CODE_ALIGN - 1) & ~(size_t)(CODE_ALIGN - 1);
    if (r->used > r->size)
        r->used = r->size;
    t->region = r;
    r->made++;
    atomic_fetch_add_explicit(&r->live, 1, memory_order_relaxed);
    t->region_next = r->translations;
    r->translations = t;
    _Atomic(Translation *) *first = &c->page_first[(size_t)(t->hpc - c->rx) >> CACHE_PAGE_BITS];
    atomic_store_explicit(&t->code_next, atomic_load_explicit(first, memory_order_relaxed), memory_order_relaxed);
    atomic_store_explicit(first, t, memory_order_release);
}

bool cache_contains(const Cache *c, const void *hpc)
{
    return (uintptr_t)hpc - (uintptr_t)c->rx < c->size;
}

Translation *cache_find(const Cache *c, const void *hpc)
{
    if (!cache_contains(c, hpc))
        return NULL;
    Translation *stub = cells_find(c->cells, hpc);
    if (stub)
        return (const uint8_t *)hpc < stub->hpc + stub->size ? stub : NULL;
    size_t page = (size_t)((const uint8_t *)hpc - c->rx) >> CACHE_PAGE_BITS;
    /* A region begins with a translation's start, so walking back ends inside it. */
    for (;; page--) {
        Translation *t = atomic_load_explicit(&c->page_first[page], memory_order_acquire);
        while (t && t->hpc > (const uint8_t *)hpc)
            t = atomic_load_explicit(&t->code_next, memory_order_acquire);
        if (t)
            return (const uint8_t *)hpc < t->hpc + t->size ? t : NULL;
        if (page == 0)
            return NULL;
    }
}

/* --- fork --- */

static void freeze(CacheRegion *r)
{
    for (; r; r = r->next) {
        if (!r->fixed) {
            atomic_store(&r->frozen, true);
            r->wanted = 0;
        }
    }
}

void cache_freeze(Cache *c)
{
    freeze(c->oldest);
    freeze(c->retired); /* may still be run, and linked to what is new */
}

bool cache_writable_locked(CacheRegion *r)
{
    /* `used` belongs to the owner, who is not emitting while the region is frozen; copying all of it is always right. */
    if (!os_remap_dual(r->rw, r->rx, r->size, r->size))
        return false;
    atomic_store(&r->frozen, false);
    return true;
}

/* --- reclamation --- */

static void free_region(Engine *e, CacheRegion *r)
{
    Cache *c = &e->cache;

    pthread_mutex_lock(&e->kill_lock);
    for (Translation *t = r->translations, *next; t; t = next) {
        next = t->region_next;
        link_forget(e, t);
        translation_free(&c->pool, t);
    }
    if (r->image)
        persist_region_gone_locked(e, r->image);
    pthread_mutex_unlock(&e->kill_lock);
    size_t first = (size_t)(r->rx - c->rx) >> CACHE_PAGE_BITS;
    for (size_t i = 0; i < r->size >> CACHE_PAGE_BITS; i++)
        atomic_store_explicit(&c->page_first[first + i], NULL, memory_order_relaxed);
    os_decommit(r->rx, r->size);
    os_decommit(r->rw, r->size);
    pthread_mutex_lock(&c->lock);
    mark_granules_locked(c, r, 0);
    pthread_mutex_unlock(&c->lock);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

void cache_collect(Engine *e, uint64_t min)
{
    Cache *c = &e->cache;
    CacheRegion *ready = NULL;

    pthread_mutex_lock(&c->lock);
    for (CacheRegion **p = &c->retired; *p;) {
        CacheRegion *r = *p;
        if (r->retired_epoch < min) {
            *p = r->next;
            r->next = ready;
            ready = r;
        } else {
            p = &r->next;
        }
    }
    pthread_mutex_unlock(&c->lock);
    while (ready) {
        CacheRegion *next = ready->next;
        free_region(e, ready);
        ready = next;
    }
}
