/*
 * The persistent cache inside a process. A PersistImage is a mapping of guest code that translate.c has asked for; when
 * the directory has a file for it, the file's code is mapped into the code cache as it is, translations linked with each
 * other, and shared with all processes that do the same. Only what is asked for by address goes through here:
 *
 *   persist_code   a jump cache miss: one probe of the file's hash table
 *   persist_get    something needs a Translation (a chain site to be patched): it is made from the file's entry
 *   persist_at     the same, by host address
 *
 * An image lives or dies as a whole: when anything of its guest range changes, it leaves the list, every Translation made
 * from it is killed, all vcpus forget what they remember, and its regions are retired like evicted ones. A thread that
 * is in its code leaves it at the next poll: no loop is without one.
 *
 * Writing is in persist_save.c and persist_dir.c, what a file is in persist_file.h.
 */
#ifndef ENGINE_PERSIST_H
#define ENGINE_PERSIST_H

#include "engine/internal.h"
#include "engine/persist_file.h"

typedef struct PersistImage PersistImage;

/* What it takes to make a graph, or to find out that there will be none, in tier-1 translations. */
#define PERSIST_GRAPH_COST 32
#define PERSIST_REFUSAL_COST 8

struct PersistImage {
    _Atomic(PersistImage *) next;
    uint64_t start, end;     /* guest addresses */
    uint64_t offset;
    Hash128 key;
    bool save;               /* what is translated here may be written */
    PersistFile file;        /* map NULL: none */
    uint8_t *rx, *rw;        /* of its code */
    CacheRegion *first;      /* of its regions, which are neighbours in the cache's list while it lives */
    unsigned regions;        /* not yet given back */
    Translation **translation; /* by entry, where one was made; the regions own them */
    atomic_bool dead;        /* found by host address only, for a thread that is still inside */
    PersistImage *all_next;
    _Atomic uint64_t *page_hash; /* by page: when it was first translated from in this process; 0: it was not */
    _Atomic(uint8_t *) gone; /* by entry: not to be used any more; NULL: none */
    uint32_t *site_first, *site_next, site_mask; /* the file's sites by target (persist_drop.c); NULL: not wanted yet */
    atomic_bool careful;     /* some of `made` are in careful form */
    atomic_uint made;        /* cost of what this process made since the last save, or since it was forked */
    uint32_t noted;          /* of `made`, in the file as missed; while writers stand still */
    atomic_uint had;         /* translations before, and those of the file */
    atomic_bool refused;     /* some of its translations have been, or a return was found to be no use to the predictor, since the last save */
};

typedef struct Persist {
    const char *dir;
    uint64_t limit;
    Hash128 build;           /* of everything that is the same for all images */
    atomic_bool off;
    pthread_mutex_t lock;    /* one thread at a time opens an image */
    _Atomic(PersistImage *) images; /* changes under kill_lock */
    PersistImage *all;       /* these and former ones: the structures are never freed, readers have no lock */
    atomic_uint opening;          /* threads that are making an image, which is not listed yet */
    atomic_uint_fast64_t changes; /* of guest code, as announced by persist_changed */
    uint64_t lost[64];       /* starts of images that died */
    unsigned nlost;
    bool forked;             /* a child that has not become another program */
    uint64_t saved_at;       /* os_now_ns of the last save, or of the start */
    uint64_t pause;          /* a process that runs on writes after so many ns, for it may be killed; then twice as many */
    struct PersistCounts {
        _Atomic uint64_t files, rejected, kept_insns, kept_bytes, open_ns, hits, made, images, saved_files, saved, saved_bytes, save_ns;
    } n;
} Persist;

/* The image that holds pc, or NULL. Lock-free, async-signal-safe. */
PersistImage *persist_image_at(const Persist *p, uint64_t pc);
/* Make the image of pc's mapping, with its file if there is a good one. NULL when pc is in no such mapping. */
PersistImage *persist_image_open(Vcpu *cpu, uint64_t pc);
/* Its region that holds the code at an offset. Caller holds kill_lock; NULL when the image is dead. */
CacheRegion *persist_region_of(const PersistImage *im, uint32_t code);
/* Kill an image. Caller holds kill_lock. */
void persist_image_kill_locked(Engine *e, PersistImage *im);
/* Drop what the calling thread remembers of an image's code; others do at their next poll. */
void persist_forget_own(Engine *e, const PersistImage *im);
/*
 * Take the translation of (pc, mode), or all of guest page `page`, out of an image that has a file (persist_drop.c). Returns
 * whether there was one. Caller holds kill_lock, in a section between write_begin and write_end.
 *   replaced  what vcpus remember of it is only slower than what there is now
 */
bool persist_image_drop_locked(Engine *e, PersistImage *im, uint64_t pc, uint32_t mode, bool replaced);
bool persist_image_drop_page_locked(Engine *e, PersistImage *im, uint64_t page);
/* Whether the guest's memory is what the file's translations were made from. */
bool persist_pages_match(const PersistFile *f, uint64_t start, uint64_t end);
/* Hash of one page of guest memory; false when it cannot be read. */
bool persist_page_hash(uint64_t va, uint64_t *hash);
/*
 * What is known of the indirect branches of an image, by this process and, where it knows nothing, by the file that is there (persist_branches.c).
 * Returns *n of them, to be freed. Restoring tells the policy what the image's own file knows.
 */
PromoteKept *persist_branches_collect(Engine *e, const PersistImage *im, const PersistFile *base, uint32_t *n);
void persist_branches_restore(Vcpu *cpu, const PersistImage *im);
/* Replace the file at `path` by f, whole or not at all (persist_dir.c). */
bool persist_replace(const Persist *p, const char *path, const PersistFile *f);
/* Note that `more`, in tier-1 translations, was made that the file at `path` lacks; 0: forget what was noted. Returns the sum of what is noted, 0 without a file. */
uint32_t persist_missed(const char *path, uint32_t more);
/* Remove the files that were used longest ago until all together are within the limit. */
void persist_evict(const Persist *p);
/* The directory can be used: it is this user's alone. `make`: create it if it is not there. */
bool persist_dir_ok(const Persist *p, bool make);

#endif
