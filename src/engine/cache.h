/*
 * Translations and where their code lives.
 *
 * The code cache is one reserved range of addresses, cut into granules, at two addresses: writable and executable. A
 * CacheRegion is a run of granules with memory of its own (an object mapped at both addresses), owned by one vcpu that
 * emits into it without a lock. Regions start small and grow with the thread's appetite. Evicting means killing every
 * translation of the oldest region and giving its memory back after a grace period.
 *
 * After fork, parent and child still share the memory of all regions. Both then treat them as frozen: whoever wants
 * to write (emit, chain, unchain) first replaces that region by a copy of its own at the same addresses (cache_writable).
 * Nothing is copied for a child that soon calls execve.
 *
 * Life of a Translation: created (TRANSLATION_NEW) before its code is lifted, and listed under each guest page before that
 * page is read, so that an invalidation meanwhile finds it; made live and published in the table; killed by invalidation
 * or eviction: out of the table, unchained. A dead translation's code and side table stay until its region is evicted
 * and every vcpu has passed its run loop; some thread may be inside it until then.
 */
#ifndef ENGINE_CACHE_H
#define ENGINE_CACHE_H

#include "base/pool.h"
#include "base/spin.h"
#include "engine/cells.h"
#include "engine/engine.h"

#include <stdatomic.h>

#define CACHE_GRANULE (64u << 10)
#define CACHE_PAGE_BITS 10            /* index of code by host address: some four translations to look at */
#define TRANSLATION_MET 4             /* indirect branches of which a graph meets the target */
#define TRANSLATION_PAGES 4           /* guest pages that one region may read */
#define TRANSLATION_PAGES_NEAR 2      /* hardly any reads more; translations are many, so each byte counts */
#define GUEST_PAGE_BITS 12

typedef struct Translation Translation;
/* Parked: as good as dead, but may come to life again (invalidate.c). */
typedef enum TranslationState { TRANSLATION_NEW, TRANSLATION_LIVE, TRANSLATION_DEAD, TRANSLATION_PARKED } TranslationState;
typedef struct CacheRegion CacheRegion;

/* A chain site of `from`, and the translation that it leads to now. */
typedef struct Link {
    Translation *from;
    _Atomic(Translation *) to; /* changes under to's lock; of an indirect branch: its promotion stub, under promote_lock */
    struct Link *next, *prev;  /* to's incoming list */
    HostSite site;
} Link;

/*
 * Indirect branches of a graph, which meets their targets: the only one, those in a table that have run, or one of several, in which a
 * trail goes on.
 */
typedef struct Met {
    unsigned n, ntables, nled;
    uint64_t pc[TRANSLATION_MET], table[TRANSLATION_MET], led[TRANSLATION_MET], led_to[TRANSLATION_MET];
} Met;

/* A guest page that a translation was made from, and what of it. */
typedef struct PageRef {
    Translation *t;
    uint64_t page;
    _Atomic uint16_t lo, hi; /* offsets in the page, hi past the end: written by the translation's maker, until it is live */
    struct PageRef *next, *prev;
} PageRef;

/* Of one that died while it was made the maker may go on writing: who looks then sees one value or another. */
static inline unsigned page_ref_lo(const PageRef *ref)
{
    return atomic_load_explicit(&ref->lo, memory_order_relaxed);
}

static inline unsigned page_ref_hi(const PageRef *ref)
{
    return atomic_load_explicit(&ref->hi, memory_order_relaxed);
}

struct Translation {
    uint64_t pc;
    uint32_t mode;
    uint32_t guest_insns;
    atomic_uint state;                /* TranslationState; dead: never entered or linked to again; parked: not now */
    uint32_t promotion;               /* a promotion stub: what of (promote.c); 0: none */
    _Atomic(Translation *) hash_next; /* table bucket; kept after removal for readers that stand on it */
    const uint8_t *hpc;               /* executable address; NULL: interpreted */
    uint8_t *rw;                      /* the same, writable */
    uint32_t size, insns;             /* bytes: all, and those of instructions, which come first */
    uint32_t nlink;
    Spin lock;                        /* incoming */
    CacheRegion *region;
    _Atomic(Translation *) code_next; /* next lower start in the same page of the cache */
    Link *incoming;
    Link *link;                       /* own chain sites, by offset; reloc and side are in its block, unless kept */
    const uint8_t *side;              /* for host->recover */
    uint32_t side_len;
    uint32_t nreloc;
    const uint32_t *reloc;            /* references to common stubs, offset << 8 | stub */
    uint64_t parked_sum;              /* of the code that it was made from, when it was parked */
    bool kept;                        /* of a file of the persistent cache, whose memory side and reloc are */
    bool guarded;                     /* its pages are (EnvOps.guarded) */
    bool names_section;               /* it has a section's address (section.c): not kept, so that the next process looks again */
    uint8_t forms;                    /* careful ones that some instruction is in */
    uint8_t fp_traps;                 /* operations that trapped; atomic */
    bool graph;                       /* made of a graph region */
    atomic_bool asked, refused;       /* tier 2: a graph was asked for; there will be none */
    atomic_uint wanted;               /* times that a hot site wanted it through the engine */
    unsigned npages;
    PageRef page[TRANSLATION_PAGES_NEAR], *more_pages; /* see translation_page */
    IrRegion *ir;                     /* for the interpreter: lifted and optimised, one malloc block */
    IrRegion *check_ir;               /* --check: as lifted */
    /* Tier 2 (tier.c) */
    struct Met *met;                  /* branches whose targets it meets itself (promote_known, region.c); NULL: none */
    _Atomic(Translation *) counter;   /* counts for this one; written under kill_lock */
    Translation *counted;             /* what this one counts for; written under kill_lock */
    Translation *region_next;         /* in its region; interpreted ones: in the list of retired ones */
    uint64_t retired_epoch;
};

/* Of its guest pages number i. */
static inline PageRef *translation_page(const Translation *t, unsigned i)
{
    return i < TRANSLATION_PAGES_NEAR ? (PageRef *)&t->page[i] : &t->more_pages[i - TRANSLATION_PAGES_NEAR];
}

static inline bool translation_dead(Translation *t)
{
    return atomic_load_explicit(&t->state, memory_order_acquire) >= TRANSLATION_DEAD;
}

struct CacheRegion {
    uint8_t *rw, *rx;
    size_t size;
    size_t used;            /* by the owner; rounded up to granules when somebody copies */
    pthread_mutex_t lock;   /* patches and un-freezing */
    atomic_bool frozen;     /* shared with another process since fork */
    unsigned wanted;        /* patches left out because the region is frozen */
    unsigned made;          /* translations, dead ones too; the owner's */
    atomic_uint live;       /* those that are not dead */
    bool owned;             /* some vcpu emits here */
    bool fixed;             /* common stubs: never evicted */
    struct PersistImage *image; /* code of a file of the persistent cache: goes with all of it only */
    Translation *translations;
    uint64_t retired_epoch;
    CacheRegion *next;      /* engine's list, oldest first; then the retired list */
};

typedef struct Cache {
    uint8_t *rw, *rx;
    size_t size;
    unsigned ngranule;
    uint8_t *granule_used;               /* 1 where some region is */
    _Atomic(Translation *) *page_first;  /* by (hpc - rx) >> CACHE_PAGE_BITS: highest translation that starts there */
    pthread_mutex_t lock;
    CacheRegion *oldest, *newest;
    CacheRegion *retired;
    size_t used;                         /* bytes in regions */
    Cells cells[CELL_KINDS];
    Pool pool;                           /* of translations, and of what they keep */
} Cache;

bool cache_init(Cache *c, size_t size, Status *st);
void cache_done(Cache *c);
/*
 * A region of about `want` bytes, or NULL when the cache is full for now. Starts evicting when room gets short. `last`: at the
 * end of the cache, away from what belongs together.
 */
CacheRegion *cache_region_new(Engine *e, size_t want, bool last);
/* The vcpu's buffer to emit `need` bytes into: its region's rest, or a new region. False when the cache is full. */
bool cache_buf(Vcpu *cpu, size_t need, CodeBuf *cb);
/* Note what was emitted: [cb->start at cache_buf, cb->p) belongs to `t`. */
void cache_commit(Vcpu *cpu, CodeBuf *cb, Translation *t);
/*
 * Map `size` bytes (whole granules) at offset `off` of an open file as frozen regions of at most `chunk` bytes that belong
 * to `im`. NULL when there is no room or the host refuses; else their first, the others follow it in address and list.
 */
CacheRegion *cache_map_image(Cache *c, int fd, uint64_t off, size_t size, size_t chunk, struct PersistImage *im);
/* Take an image's regions, of which no translation lives, out of use: their memory is given back after a grace period. */
void cache_retire_image(Engine *e, struct PersistImage *im);
/* Whether some region could be had. */
bool cache_room(Cache *c);
/* Bytes of the cache that hold no translation which can be run: of parts that are not full, or hold dead ones. For statistics. */
size_t cache_wasted(Cache *c);
/* Give up the vcpu's region (its thread ends). */
void cache_release(Vcpu *cpu);
/* The translation whose code holds executable address hpc; NULL. Async-signal-safe. */
Translation *cache_find(const Cache *c, const void *hpc);
bool cache_contains(const Cache *c, const void *hpc);
/* Make a frozen region private. Caller holds r->lock. False when the host refuses memory. */
bool cache_writable_locked(CacheRegion *r);
/* Free regions whose grace period is over (epoch < min). */
void cache_collect(Engine *e, uint64_t min);
void cache_freeze(Cache *c);

#endif
