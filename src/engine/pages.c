/*
 * Which translations were made from which guest page: for invalidation.
 */
#include "engine/internal.h"

static PageBucket *bucket_of(Engine *e, uint64_t page)
{
    return &e->page[(page ^ page >> 12) % PAGE_BUCKETS];
}

static bool has_page(const Translation *t, uint64_t page)
{
    for (unsigned i = 0; i < t->npages; i++) {
        if (t->page[i].page == page)
            return true;
    }
    return false;
}

bool page_add(Engine *e, Translation *t, uint64_t va)
{
    uint64_t page = va >> GUEST_PAGE_BITS;

    if (has_page(t, page))
        return true;
    if (t->npages == TRANSLATION_PAGES)
        return false;
    PageRef *ref = &t->page[t->npages++];
    PageBucket *b = bucket_of(e, page);
    ref->t = t;
    ref->page = page;
    ref->prev = NULL;
    spin_lock(&b->lock);
    ref->next = atomic_load_explicit(&b->head, memory_order_relaxed);
    if (ref->next)
        ref->next->prev = ref;
    /* Sequentially consistent: the page's bytes are read after this, and an invalidation looks here after they changed. */
    atomic_store(&b->head, ref);
    spin_unlock(&b->lock);
    return true;
}

void page_remove_all(Engine *e, Translation *t)
{
    for (unsigned i = 0; i < t->npages; i++) {
        PageRef *ref = &t->page[i];
        PageBucket *b = bucket_of(e, ref->page);

        spin_lock(&b->lock);
        if (ref->prev)
            ref->prev->next = ref->next;
        else
            atomic_store_explicit(&b->head, ref->next, memory_order_relaxed);
        if (ref->next)
            ref->next->prev = ref->prev;
        spin_unlock(&b->lock);
    }
    t->npages = 0;
}

/* The next translation of one bucket to be killed; NULL when none is left. */
static Translation *condemn_in(PageBucket *b, uint64_t first, uint64_t last)
{
    Translation *found = NULL;

    if (!atomic_load(&b->head))
        return NULL;
    spin_lock(&b->lock);
    for (PageRef *ref = atomic_load_explicit(&b->head, memory_order_relaxed); ref && !found; ref = ref->next) {
        if (ref->page < first || ref->page > last)
            continue;
        if (atomic_exchange(&ref->t->state, TRANSLATION_DEAD) == TRANSLATION_LIVE)
            found = ref->t;
    }
    spin_unlock(&b->lock);
    if (found)
        cache_note_dead(found);
    return found;
}

Translation *page_condemn(Engine *e, uint64_t first, uint64_t last)
{
    Translation *t = NULL;

    if (last - first >= PAGE_BUCKETS) {
        for (unsigned i = 0; i < PAGE_BUCKETS && !t; i++)
            t = condemn_in(&e->page[i], first, last);
        return t;
    }
    for (uint64_t page = first; page <= last && !t; page++)
        t = condemn_in(bucket_of(e, page), first, last);
    return t;
}
