/*
 * Taking single translations out of an image, which lives on: they are to be made anew in careful forms, or a graph has taken
 * their place. Their code stays where it is, for threads that are in it, but nothing leads to it any more: not the file's
 * hash table (`gone`), and not the other translations, whose sites go back to their stubs. Those sites are found through an index
 * that is made when the first translation is taken out. See persist.h.
 */
#include "engine/persist.h"

#include "base/check.h"

#include <stdlib.h>

/* --- which sites lead where ------------------------------------------------------------------------------------------- */

static uint32_t bucket_of(const PersistImage *im, uint64_t target)
{
    return persist_hash((uint32_t)(target - im->start), 0) & im->site_mask;
}

/* Lists of the sites with the same hash of their target: numbers of sites + 1, in one block behind the lists' links. */
static void index_sites(PersistImage *im)
{
    const PersistFile *f = &im->file;
    uint32_t n = f->h->nsite, size = 16;

    if (im->site_next)
        return;
    while (size < n / 2)
        size *= 2;
    im->site_mask = size - 1;
    im->site_next = calloc((size_t)n + size, sizeof im->site_next[0]);
    CHECK(im->site_next != NULL);
    im->site_first = im->site_next + n;
    for (uint32_t s = 0; s < n; s++) {
        uint32_t *first = &im->site_first[bucket_of(im, f->site[s].target)];
        im->site_next[s] = *first;
        *first = s + 1;
    }
}

/* The entry that a site belongs to; UINT32_MAX when a file that is not in order has none. */
static uint32_t owner_of(const PersistFile *f, uint32_t s)
{
    uint32_t lo = 0, hi = f->h->nentry;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (f->more[mid].site <= s)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo && s - f->more[lo - 1].site < f->more[lo - 1].nsite && persist_entry_ok(f, lo - 1) ? lo - 1 : UINT32_MAX;
}

static void unlink_site(Engine *e, PersistImage *im, uint32_t k, const PersistSite *s)
{
    const PersistEntry *en = &im->file.entry[k];
    HostSite site = {.offset = s->offset, .stub = s->stub, .target = s->target};
    CacheRegion *r = persist_region_of(im, en->code);

    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    bool own = !atomic_load(&r->frozen) || cache_writable_locked(r);
    CHECK(own);
    e->host->patch(&site, im->rw + en->code, im->rx - im->rw, NULL);
    pthread_mutex_unlock(&r->lock);
}

/* Point the sites that lead to (pc, mode), or to its counter, back at their stubs. */
static void unlink_sites_to(Engine *e, PersistImage *im, uint64_t pc, uint32_t mode)
{
    const PersistFile *f = &im->file;

    index_sites(im);
    for (uint32_t s = im->site_first[bucket_of(im, pc)]; s; s = im->site_next[s - 1]) {
        if (f->site[s - 1].target != pc || f->site[s - 1].indirect)
            continue;
        uint32_t k = owner_of(f, s - 1);
        if (k != UINT32_MAX && f->entry[k].mode == mode)
            unlink_site(e, im, k, &f->site[s - 1]);
    }
}

/* --- taking out --------------------------------------------------------------------------------------------------------- */

enum { GONE = 1, GOING = 2 };

static uint8_t *gone_of(PersistImage *im)
{
    uint8_t *gone = atomic_load(&im->gone);

    if (!gone) {
        gone = calloc(im->file.h->nentry + 1, 1);
        CHECK(gone != NULL);
        atomic_store(&im->gone, gone);
    }
    return gone;
}

static void take_out(Engine *e, PersistImage *im, uint32_t k, bool replaced)
{
    Translation *t = im->translation ? im->translation[k] : NULL;

    if (!t || !kill_mark(e, t))
        return;
    if (replaced)
        kill_replaced_locked(e, t);
    else
        kill_translation_locked(e, t);
}

bool persist_image_drop_locked(Engine *e, PersistImage *im, uint64_t pc, uint32_t mode, bool replaced)
{
    const PersistFile *f = &im->file;
    uint8_t *gone = gone_of(im);
    uint32_t k = persist_file_find(f, (uint32_t)(pc - im->start), mode);

    if (k == UINT32_MAX || gone[k])
        return false;
    uint32_t counter = f->more[k].counter - 1;
    gone[k] = GONE;
    take_out(e, im, k, replaced);
    if (counter < f->h->nentry && !gone[counter]) {
        gone[counter] = GONE;
        take_out(e, im, counter, replaced);
    }
    unlink_sites_to(e, im, pc, mode);
    if (replaced) {
        kill_note_replaced_locked(e, pc);
    } else {
        persist_forget_own(e, im);
        atomic_fetch_add(&e->flush_seq, 1);
    }
    return true;
}

static bool uses_page(const PersistImage *im, uint32_t k, uint64_t page)
{
    const PersistMore *m = &im->file.more[k];

    for (unsigned i = 0; i < m->nref; i++) {
        if ((im->start >> GUEST_PAGE_BITS) + im->file.page[im->file.ref[m->ref + i]].index == page)
            return true;
    }
    return false;
}

bool persist_image_drop_page_locked(Engine *e, PersistImage *im, uint64_t page)
{
    const PersistFile *f = &im->file;
    uint8_t *gone = gone_of(im);
    bool any = false;

    for (uint32_t k = 0; k < f->h->nentry; k++) {
        if (!gone[k] && uses_page(im, k, page)) {
            gone[k] = GOING;
            any = true;
            take_out(e, im, k, false);
        }
    }
    for (uint32_t k = 0; any && k < f->h->nentry; k++) {
        if (gone[k] == GOING)
            unlink_sites_to(e, im, im->start + f->entry[k].pc, f->entry[k].mode);
        gone[k] = gone[k] ? GONE : 0;
    }
    if (any) {
        persist_forget_own(e, im);
        atomic_fetch_add(&e->flush_seq, 1);
    }
    return any;
}
