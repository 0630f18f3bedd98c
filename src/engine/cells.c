#include "engine/cells.h"

#include "engine/internal.h"

#include "base/check.h"

#include <stdlib.h>

#define CELLS_BYTES (512u << 10)
/*
 * Where in its region the first cell is, in hundredths: not where all other regions have their first and hottest code. Branch
 * predictors confuse branches whose addresses differ by some powers of two: a loop of calls took 5.6 ns and not 3.6.
 */
#define FIRST_CELL 61u

/* With c->lock held, which nobody waits for long: the first call of a process, or of a child that copies the region. */
static bool open_region_locked(Engine *e, Cells *c, size_t size)
{
    /* Last: between a thread's regions it would move the later ones, tier 2's, away from the first: loops that go to and
     * fro between the two took up to a tenth longer. */
    size_t bytes = e->cache.size / 16 < CELLS_BYTES ? e->cache.size / 16 : CELLS_BYTES;

    c->region = cache_region_new(e, bytes, true);
    if (!c->region)
        return false;
    c->region->used = c->region->size; /* all of it is copied when a child of fork wants to write */
    c->size = size;
    c->n = (unsigned)(c->region->size / size);
    c->owner = calloc(c->n, sizeof c->owner[0]);
    c->free = calloc(c->n, sizeof c->free[0]);
    CHECK(c->owner && c->free);
    atomic_store(&c->end, c->region->rx + c->n * size);
    atomic_store(&c->rx, c->region->rx);
    return true;
}

/* After fork the region is shared with another process until it is copied. */
static bool writable(Engine *e, CacheRegion *r)
{
    if (!atomic_load(&r->frozen))
        return true;
    pthread_mutex_lock(&r->lock);
    bool was = atomic_load(&r->frozen), ok = !was || cache_writable_locked(r);
    pthread_mutex_unlock(&r->lock);
    if (was && ok)
        atomic_fetch_add_explicit(&e->unshared, 1, memory_order_relaxed);
    return ok;
}

bool cells_get(Engine *e, CellKind kind, size_t size, CodeBuf *cb)
{
    Cells *c = &e->cache.cells[kind];
    bool ok = true;

    if (!c->region && !open_region_locked(e, c, size))
        return false;
    CHECK(size == c->size);
    if (!writable(e, c->region))
        return false;
    spin_lock(&c->lock);
    unsigned k = 0;
    if (c->nfree)
        k = c->free[--c->nfree];
    else if (c->fresh < c->n)
        k = (c->fresh++ + c->n * FIRST_CELL / 100) % c->n;
    else
        ok = false;
    c->refused += !ok;
    spin_unlock(&c->lock);
    if (!ok)
        return false;
    cb->start = cb->p = c->region->rw + k * size;
    cb->end = cb->start + size;
    cb->delta = c->region->rx - c->region->rw;
    cb->overflow = false;
    return true;
}

static bool is_in(const Cells *c, const void *hpc)
{
    const uint8_t *rx = atomic_load_explicit(&c->rx, memory_order_acquire);

    return rx && (const uint8_t *)hpc >= rx && (const uint8_t *)hpc < atomic_load_explicit(&c->end, memory_order_relaxed);
}

/* Those in which the cell at hpc is. */
static Cells *cells_of(Engine *e, const void *hpc)
{
    unsigned kind = 0;

    while (!is_in(&e->cache.cells[kind], hpc))
        CHECK(++kind < CELL_KINDS);
    return &e->cache.cells[kind];
}

static unsigned index_of(const Cells *c, const void *hpc)
{
    return (unsigned)((size_t)((const uint8_t *)hpc - atomic_load_explicit(&c->rx, memory_order_relaxed)) / c->size);
}

void cells_commit(Engine *e, const CodeBuf *cb, Translation *t)
{
    Cells *c = cells_of(e, cb->start + cb->delta);

    t->region = c->region;
    atomic_store_explicit(&c->owner[index_of(c, cb->start + cb->delta)], t, memory_order_release);
}

void cells_put(Engine *e, const uint8_t *hpc)
{
    Cells *c = cells_of(e, hpc);
    unsigned k = index_of(c, hpc);

    atomic_store(&c->owner[k], NULL);
    spin_lock(&c->lock);
    c->free[c->nfree++] = k;
    spin_unlock(&c->lock);
}

Translation *cells_find(const Cells *c, const void *hpc)
{
    for (const Cells *end = c + CELL_KINDS; c < end; c++)
        if (is_in(c, hpc))
            return atomic_load_explicit(&c->owner[index_of(c, hpc)], memory_order_acquire);
    return NULL;
}

static void free_cells(Cells *c, Pool *pool)
{
    for (unsigned k = 0; k < c->n; k++) {
        Translation *t = atomic_load(&c->owner[k]);
        if (t)
            translation_free(pool, t);
    }
    free((void *)c->owner);
    free(c->free);
}

void cells_done(Cells *c, Pool *pool)
{
    for (unsigned kind = 0; kind < CELL_KINDS; kind++)
        free_cells(&c[kind], pool);
}
