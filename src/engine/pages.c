/*
 * Which translations were made from which guest page: for invalidation.
 */
#include "engine/internal.h"

#include "base/check.h"

#include <stdlib.h>

#define PAGE_MASK ((1u << GUEST_PAGE_BITS) - 1)

static PageBucket *bucket_of(Engine *e, uint64_t page)
{
    return &e->page[(page ^ page >> 12) % PAGE_BUCKETS];
}

static PageRef *has_page(Translation *t, uint64_t page)
{
    for (unsigned i = 0; i < t->npages; i++) {
        if (translation_page(t, i)->page == page)
            return translation_page(t, i);
    }
    return NULL;
}

static void put_bytes(PageRef *ref, unsigned lo, unsigned hi)
{
    atomic_store_explicit(&ref->lo, (uint16_t)lo, memory_order_relaxed);
    atomic_store_explicit(&ref->hi, (uint16_t)hi, memory_order_relaxed);
}

PageRef *page_add(Engine *e, Translation *t, uint64_t va)
{
    uint64_t page = va >> GUEST_PAGE_BITS;
    PageRef *ref = has_page(t, page);

    if (ref || t->npages == TRANSLATION_PAGES)
        return ref;
    if (t->npages == TRANSLATION_PAGES_NEAR) {
        t->more_pages = malloc((TRANSLATION_PAGES - TRANSLATION_PAGES_NEAR) * sizeof *ref);
        CHECK(t->more_pages != NULL);
    }
    ref = translation_page(t, t->npages++);
    PageBucket *b = bucket_of(e, page);
    ref->t = t;
    ref->page = page;
    put_bytes(ref, UINT16_MAX, 0);
    ref->prev = NULL;
    spin_lock(&b->lock);
    ref->next = atomic_load_explicit(&b->head, memory_order_relaxed);
    if (ref->next)
        ref->next->prev = ref;
    /* Sequentially consistent: the page's bytes are read after this, and an invalidation looks here after they changed. */
    atomic_store(&b->head, ref);
    spin_unlock(&b->lock);
    return ref;
}

void page_note(PageRef *ref, uint64_t va, size_t n)
{
    unsigned lo = (unsigned)va & PAGE_MASK, hi = n < PAGE_MASK + 1 - lo ? lo + (unsigned)n : PAGE_MASK + 1;

    if (lo < page_ref_lo(ref))
        atomic_store_explicit(&ref->lo, (uint16_t)lo, memory_order_relaxed);
    if (hi > page_ref_hi(ref))
        atomic_store_explicit(&ref->hi, (uint16_t)hi, memory_order_relaxed);
}

void page_remove_all(Engine *e, Translation *t)
{
    for (unsigned i = 0; i < t->npages; i++) {
        PageRef *ref = translation_page(t, i);
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

/* --- invalidation ---------------------------------------------------------------------------------------------------- */

PageWalk page_walk(uint64_t va, uint64_t len)
{
    PageWalk w = {.va = va, .last = va + len - 1};

    w.page = (w.last >> GUEST_PAGE_BITS) - (va >> GUEST_PAGE_BITS) >= PAGE_BUCKETS ? 0 : va >> GUEST_PAGE_BITS;
    return w;
}

/* Whether something of `ref` is in the range: of one that is still being made the whole page is. */
static bool is_in(const PageRef *ref, const PageWalk *w)
{
    uint64_t base = ref->page << GUEST_PAGE_BITS;
    unsigned lo = 0, hi = PAGE_MASK + 1;

    if (atomic_load_explicit(&ref->t->state, memory_order_acquire) != TRANSLATION_NEW) {
        lo = page_ref_lo(ref);
        hi = page_ref_hi(ref);
    }
    return hi > lo && base + lo <= w->last && base + hi - 1 >= w->va;
}

/* Take the state of one in the range from it. Returns whether the caller is to see to the rest. */
static bool condemn(Engine *e, Translation *t, bool park)
{
    unsigned state = atomic_load(&t->state), to;

    do {
        if (state == TRANSLATION_DEAD || (park && state == TRANSLATION_PARKED))
            return false;
        to = park && state == TRANSLATION_LIVE && t->hpc ? TRANSLATION_PARKED : TRANSLATION_DEAD;
    } while (!atomic_compare_exchange_weak(&t->state, &state, to));
    if (state == TRANSLATION_NEW) /* its maker will see */
        return false;
    if (to == TRANSLATION_PARKED)
        atomic_fetch_add(&e->parked, 1);
    else
        kill_count(t);
    if (state == TRANSLATION_PARKED)
        atomic_fetch_sub(&e->parked, 1);
    return true;
}

/* The next translation of one bucket to be killed; NULL when none is left. */
static Translation *condemn_in(Engine *e, PageBucket *b, const PageWalk *w)
{
    Translation *found = NULL;

    if (!atomic_load(&b->head))
        return NULL;
    spin_lock(&b->lock);
    for (PageRef *ref = atomic_load_explicit(&b->head, memory_order_relaxed); ref && !found; ref = ref->next) {
        if (is_in(ref, w) && condemn(e, ref->t, w->park))
            found = ref->t;
    }
    spin_unlock(&b->lock);
    return found;
}

Translation *page_condemn(Engine *e, PageWalk *w)
{
    uint64_t last = w->last >> GUEST_PAGE_BITS;
    bool all = last - (w->va >> GUEST_PAGE_BITS) >= PAGE_BUCKETS;
    Translation *t = NULL;

    for (; w->page <= (all ? PAGE_BUCKETS - 1 : last); w->page++) {
        t = condemn_in(e, all ? &e->page[w->page] : bucket_of(e, w->page), w);
        if (t)
            break;
    }
    return t;
}

bool page_concerns(Engine *e, uint64_t va, uint64_t len)
{
    PageWalk w = page_walk(va, len);
    bool any = false;

    if ((w.last - va) >> GUEST_PAGE_BITS)
        return true;
    for (uint64_t page = va >> GUEST_PAGE_BITS; page <= w.last >> GUEST_PAGE_BITS && !any; page++) {
        PageBucket *b = bucket_of(e, page);
        if (!atomic_load(&b->head))
            continue;
        spin_lock(&b->lock);
        for (PageRef *ref = atomic_load_explicit(&b->head, memory_order_relaxed); ref && !any; ref = ref->next)
            any = is_in(ref, &w); /* dead ones too: ways may still lead there */
        spin_unlock(&b->lock);
    }
    return any;
}
