/*
 * The table of translations: (pc, mode) -> Translation. A fixed number of chained buckets in lazily zeroed memory: nothing
 * to set up, nothing to resize, no helper thread that fork would lose. Readers take no lock; what they may still stand
 * on is freed after a grace period (grace.c). Writers lock one of 256 words.
 */
#include "engine/internal.h"

#include "base/os.h"

#define TABLE_SIZE ((size_t)1 << TABLE_BITS)

/* Neighbouring instructions share pages of the bucket array: a program touches little of it. */
static size_t hash(uint64_t pc, uint32_t mode)
{
    uint64_t h = (pc >> 2) ^ (pc >> 19) ^ (pc >> 36) ^ pc << 14 ^ (uint64_t)mode << 9;

    return h & (TABLE_SIZE - 1);
}

bool table_init(Table *tb, Status *st)
{
    tb->bucket = os_alloc(TABLE_SIZE * sizeof tb->bucket[0]);
    return tb->bucket || status_set(st, STATUS_HOST, "out of memory");
}

void table_done(Table *tb, Pool *pool)
{
    /* Looking costs a page fault a page: only when there is something to find. */
    for (size_t i = 0; atomic_load(&tb->interpreted) && i < TABLE_SIZE; i++) {
        for (Translation *t = atomic_load(&tb->bucket[i]), *next; t; t = next) {
            next = atomic_load(&t->hash_next);
            if (!t->hpc)
                translation_free(pool, t); /* compiled ones are their cache region's */
        }
    }
    os_free(tb->bucket, TABLE_SIZE * sizeof tb->bucket[0]);
}

static Translation *find_from(Translation *t, uint64_t pc, uint32_t mode)
{
    while (t && (t->pc != pc || t->mode != mode || translation_dead(t)))
        t = atomic_load_explicit(&t->hash_next, memory_order_acquire);
    return t;
}

Translation *table_find(const Table *tb, uint64_t pc, uint32_t mode)
{
    return find_from(atomic_load_explicit(&tb->bucket[hash(pc, mode)], memory_order_acquire), pc, mode);
}

Translation *table_find_parked(const Table *tb, uint64_t pc, uint32_t mode)
{
    Translation *t = atomic_load_explicit(&tb->bucket[hash(pc, mode)], memory_order_acquire);

    while (t && (t->pc != pc || t->mode != mode || atomic_load(&t->state) != TRANSLATION_PARKED))
        t = atomic_load_explicit(&t->hash_next, memory_order_acquire);
    return t;
}

Translation *table_insert(Table *tb, Translation *t)
{
    size_t h = hash(t->pc, t->mode);
    Spin *lock = &tb->lock[h % TABLE_LOCKS];

    spin_lock(lock);
    Translation *head = atomic_load_explicit(&tb->bucket[h], memory_order_relaxed);
    Translation *first = find_from(head, t->pc, t->mode);
    if (!first) {
        if (!t->hpc)
            atomic_store_explicit(&tb->interpreted, true, memory_order_relaxed);
        atomic_store_explicit(&t->hash_next, head, memory_order_relaxed);
        atomic_store_explicit(&tb->bucket[h], t, memory_order_release);
        first = t;
    }
    spin_unlock(lock);
    return first;
}

Translation *table_find_other(const Table *tb, Translation *t)
{
    Translation *at = table_find(tb, t->pc, t->mode);

    return at == t ? find_from(atomic_load_explicit(&t->hash_next, memory_order_acquire), t->pc, t->mode) : at;
}

void table_put(Table *tb, Translation *t)
{
    size_t h = hash(t->pc, t->mode);
    Spin *lock = &tb->lock[h % TABLE_LOCKS];

    spin_lock(lock);
    if (!t->hpc)
        atomic_store_explicit(&tb->interpreted, true, memory_order_relaxed);
    atomic_store_explicit(&t->hash_next, atomic_load_explicit(&tb->bucket[h], memory_order_relaxed), memory_order_relaxed);
    atomic_store_explicit(&tb->bucket[h], t, memory_order_release);
    spin_unlock(lock);
}

void table_remove(Table *tb, Translation *t)
{
    size_t h = hash(t->pc, t->mode);
    Spin *lock = &tb->lock[h % TABLE_LOCKS];

    spin_lock(lock);
    _Atomic(Translation *) *p = &tb->bucket[h];
    Translation *at;
    while ((at = atomic_load_explicit(p, memory_order_relaxed)) && at != t)
        p = &at->hash_next;
    if (at)
        atomic_store_explicit(p, atomic_load_explicit(&t->hash_next, memory_order_relaxed), memory_order_release);
    spin_unlock(lock);
}
