/*
 * A file of the persistent cache: translations of the code of one mapping of one guest file, at one guest address, by one
 * build of dragoman under one set of options. docs/cache.md has the whole picture.
 *
 * Files are never changed, but for the count of what they lack: a new one is written beside and renamed over the old. All
 * numbers are in host byte order (the build is part of the key). Layout, each part right behind the one before, the code at a
 * multiple of 4096:
 *
 *   PersistHeader
 *   PersistPage[npage]      guest pages that translations were made from, with hashes of their bytes
 *   PersistEntry[nentry]    translations, by offset of their code
 *   uint32_t[nhash]         open hash table by (pc, mode): index of entry + 1, or 0
 *   PersistMore[nentry]     what is rarely needed of each translation
 *   PersistSite[nsite]      chain sites
 *   uint32_t[nref]          indices of pages
 *   uint32_t[nreloc]        references to common stubs: offset << 8 | stub
 *   PromoteKept[nbranch]    what was found out of indirect branches, by address
 *   uint8_t[side_len]       side tables
 *   code                    gates first (see Host.gates), then translations, linked with each other; zeros to a multiple
 *                           of CACHE_GRANULE. None crosses a multiple of PERSIST_CHUNK.
 *
 * What a file says is believed only after its owner, mode, checksums and bounds have been checked.
 */
#ifndef ENGINE_PERSIST_FILE_H
#define ENGINE_PERSIST_FILE_H

#include "base/hash.h"
#include "engine/promote.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#define PERSIST_MAGIC "DRGCACHE"
#define PERSIST_VERSION 4u
#define PERSIST_SUFFIX ".dgc"
#define PERSIST_CHUNK (256u << 10) /* this much is copied when something in it has to be patched */
#define PERSIST_CODE_MAX (128u << 20)
#define PERSIST_PATH_MAX 4096

typedef struct PersistHeader {
    char magic[8];
    uint32_t version, header_size;
    uint64_t sum_header;    /* of this structure with 0 here and in `missed` */
    uint64_t sum_data;      /* of what is between header and code */
    uint64_t sum_code;      /* of code_len bytes */
    Hash128 key;            /* also the file's name */
    Hash128 build;          /* of dragoman and everything else that the code depends on, but not of the guest's file */
    uint64_t start;         /* guest address of the mapping */
    uint64_t offset;        /* of the mapping in the guest's file */
    uint32_t npage, nentry, nhash, nsite, nref, nreloc, nbranch;
    uint32_t missed;        /* cost of what was made since it was written, in tier-1 translations; changes, and is in no sum */
    uint64_t side_len, code_len, guest_insns;
    char guest[128];        /* name of the guest's file, shortened from the left; for people */
} PersistHeader;

typedef struct PersistPage {
    uint64_t hash;
    uint32_t index;         /* page of the mapping */
    uint32_t unused;
} PersistPage;

typedef struct PersistEntry {
    uint32_t pc;            /* from the mapping's start */
    uint32_t mode;
    uint32_t code, size;    /* in the code */
} PersistEntry;

typedef struct PersistMore {
    uint32_t side, side_len;
    uint32_t site, ref, reloc; /* first of each */
    uint16_t nsite, nreloc;
    uint16_t guest_insns;
    uint8_t nref, tier;
    uint8_t forms;          /* careful ones, as in Lift.careful */
    bool is_counter;        /* counts for another one of the same pc and mode: not in the hash table */
    bool refused;           /* hot, but no graph will be made of it: not counted */
    uint8_t unused;
    uint32_t counter;       /* entry + 1 of the one that counts for it; 0: none */
} PersistMore;

typedef struct PersistSite {
    uint32_t offset, stub : 28, hot : 1, indirect : 3; /* as in HostSite */
    uint64_t target;
} PersistSite;

/* A file that is mapped for reading. */
typedef struct PersistFile {
    const uint8_t *map;     /* NULL: none */
    size_t len;             /* mapped */
    size_t code_at;         /* offset of the code */
    size_t code_room;       /* with its zeros */
    const PersistHeader *h;
    const PersistPage *page;
    const PersistEntry *entry;
    const uint32_t *hash;
    const PersistMore *more;
    const PersistSite *site;
    const uint32_t *ref, *reloc;
    const PromoteKept *branch;
    const uint8_t *side;
    const uint8_t *code;    /* only where the whole file is mapped */
} PersistFile;

typedef enum PersistOpen {
    PERSIST_OPENED,
    PERSIST_NONE,      /* there is no such file, or it cannot be read */
    PERSIST_FOREIGN,   /* its owner or mode would let somebody else write it: left alone */
    PERSIST_DAMAGED,
} PersistOpen;

/*
 * Open a file and check everything but the sum of its code.
 *   key    what its header must say; NULL: anything
 *   whole  map the code too, and check its sum, and every offset in the file
 *   fd     receives the open descriptor, to be closed by the caller; NULL: not wanted
 *   why    receives a phrase when it is not PERSIST_OPENED
 */
PersistOpen persist_file_open(const char *path, const Hash128 *key, bool whole, PersistFile *f, int *fd, const char **why);
void persist_file_close(PersistFile *f);
/* Whether a directory or file is this user's, and nobody else may write it. */
bool persist_own(const struct stat *sb);
/* Fill in h->nhash and the pointers of `f` from the counts in the header at f->map; returns the offset of the code. */
size_t persist_layout(PersistFile *f);
/* Entry of a translation; UINT32_MAX when there is none. */
uint32_t persist_file_find(const PersistFile *f, uint32_t pc, uint32_t mode);
uint32_t persist_hash(uint32_t pc, uint32_t mode);
/* Whether all that belongs to entry k is inside the file. */
bool persist_entry_ok(const PersistFile *f, uint32_t k);
/* "DIR/0123456789abcdef0123456789abcdef.dgc"; false when it is too long. */
bool persist_path(char buf[PERSIST_PATH_MAX], const char *dir, const Hash128 *key);
/* Whether a directory entry has the form of such a name. */
bool persist_is_name(const char *name);
uint64_t persist_header_sum(const PersistHeader *h);

#endif
