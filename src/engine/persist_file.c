#include "engine/persist_file.h"

#include "engine/cache.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Beyond these a file is not one of ours; sums of products with them stay far from overflow. */
#define COUNT_MAX (1u << 24)
#define SIDE_MAX ((uint64_t)1 << 30)

bool persist_own(const struct stat *sb)
{
    return sb->st_uid == geteuid() && !(sb->st_mode & (S_IWGRP | S_IWOTH));
}

uint32_t persist_hash(uint32_t pc, uint32_t mode)
{
    return ((pc >> 1 ^ mode << 20) * 0x9e3779b1u) >> 4;
}

uint64_t persist_header_sum(const PersistHeader *h)
{
    PersistHeader copy;

    memcpy(&copy, h, sizeof copy);
    copy.sum_header = 0;
    copy.missed = 0;
    return hash64(&copy, sizeof copy);
}

/* Advance *at over n elements, aligned to 8; returns where they are. */
static const void *part(const uint8_t *map, size_t *at, uint64_t n, size_t size)
{
    const void *p = map + *at;

    *at = (size_t)((*at + n * size + 7) & ~(uint64_t)7);
    return p;
}

size_t persist_layout(PersistFile *f)
{
    const PersistHeader *h = (const PersistHeader *)f->map;
    size_t at = sizeof *h;

    f->h = h;
    f->page = part(f->map, &at, h->npage, sizeof *f->page);
    f->entry = part(f->map, &at, h->nentry, sizeof *f->entry);
    f->hash = part(f->map, &at, h->nhash, sizeof *f->hash);
    f->more = part(f->map, &at, h->nentry, sizeof *f->more);
    f->site = part(f->map, &at, h->nsite, sizeof *f->site);
    f->ref = part(f->map, &at, h->nref, sizeof *f->ref);
    f->reloc = part(f->map, &at, h->nreloc, sizeof *f->reloc);
    f->branch = part(f->map, &at, h->nbranch, sizeof *f->branch);
    f->side = part(f->map, &at, h->side_len, 1);
    f->code_at = (at + 4095) & ~(size_t)4095;
    f->code_room = (size_t)((h->code_len + CACHE_GRANULE - 1) & ~(uint64_t)(CACHE_GRANULE - 1));
    return f->code_at;
}

static bool header_ok(const PersistHeader *h, const Hash128 *key)
{
    return !memcmp(h->magic, PERSIST_MAGIC, sizeof h->magic) && h->version == PERSIST_VERSION && h->header_size == sizeof *h &&
           h->sum_header == persist_header_sum(h) && (!key || !memcmp(key, &h->key, sizeof *key)) && h->npage <= COUNT_MAX &&
           h->nentry <= COUNT_MAX && h->nhash <= 4 * COUNT_MAX && h->nhash && !(h->nhash & (h->nhash - 1)) &&
           h->nsite <= COUNT_MAX && h->nref <= COUNT_MAX && h->nreloc <= COUNT_MAX && h->nbranch <= COUNT_MAX && h->side_len <= SIDE_MAX &&
           h->code_len <= PERSIST_CODE_MAX && memchr(h->guest, 0, sizeof h->guest) != NULL;
}

static bool range_ok(uint64_t first, uint64_t n, uint64_t of)
{
    return first <= of && n <= of - first;
}

bool persist_entry_ok(const PersistFile *f, uint32_t k)
{
    const PersistHeader *h = f->h;
    const PersistEntry *e = &f->entry[k];
    const PersistMore *m = &f->more[k];

    if (!range_ok(e->code, e->size, h->code_len) || !range_ok(m->side, m->side_len, h->side_len) ||
        !range_ok(m->site, m->nsite, h->nsite) || !range_ok(m->ref, m->nref, h->nref) || !range_ok(m->reloc, m->nreloc, h->nreloc) ||
        !e->size || m->nref > TRANSLATION_PAGES || m->counter > h->nentry)
        return false;
    for (unsigned i = 0; i < m->nsite; i++) {
        const PersistSite *s = &f->site[m->site + i];
        /* a site that is patched is aligned */
        if ((s->offset & 3 && s->indirect != HOST_SITE_PLAIN) || !range_ok(s->offset, 4, e->size) || s->stub >= e->size)
            return false;
    }
    for (unsigned i = 0; i < m->nref; i++) {
        if (f->ref[m->ref + i] >= h->npage)
            return false;
    }
    for (unsigned i = 0; i < m->nreloc; i++) {
        uint32_t r = f->reloc[m->reloc + i];
        if (!range_ok(r >> 8, 4, e->size) || (r & 0xff) >= HOST_GATES)
            return false;
    }
    return true;
}

static bool all_ok(const PersistFile *f)
{
    uint32_t end = 0;

    for (uint32_t k = 0; k < f->h->nentry; k++) {
        if (!persist_entry_ok(f, k) || f->entry[k].code < end)
            return false;
        end = f->entry[k].code + f->entry[k].size;
    }
    for (uint32_t i = 0; i < f->h->nhash; i++) {
        if (f->hash[i] > f->h->nentry)
            return false;
    }
    return f->h->sum_code == hash64(f->code, f->h->code_len);
}

/* Map and check; `size` is the file's. Leaves f->map set when it could be mapped. */
static bool check(int fd, uint64_t size, const Hash128 *key, bool whole, PersistFile *f)
{
    PersistHeader h, again;

    if (size < sizeof h || pread(fd, &h, sizeof h, 0) != (ssize_t)sizeof h || !header_ok(&h, key))
        return false;
    f->map = (const uint8_t *)&h;
    persist_layout(f);
    f->map = NULL;
    if (size != f->code_at + f->code_room)
        return false;
    f->len = whole ? size : f->code_at;
    void *map = mmap(NULL, f->len, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    if (map == MAP_FAILED)
        return false;
    f->map = map;
    persist_layout(f);
    f->code = whole ? f->map + f->code_at : NULL;
    /* The header is read again: it is what the sums were checked with that counts. */
    memcpy(&again, f->h, sizeof again);
    again.missed = h.missed;
    return !memcmp(&again, &h, sizeof h) && f->h->sum_data == hash64(f->map + sizeof h, f->code_at - sizeof h) && (!whole || all_ok(f));
}

PersistOpen persist_file_open(const char *path, const Hash128 *key, bool whole, PersistFile *f, int *fd_out, const char **why)
{
    struct stat sb;
    PersistOpen result = PERSIST_OPENED;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    memset(f, 0, sizeof *f);
    *why = "cannot be read";
    if (fd < 0)
        return PERSIST_NONE;
    if (fstat(fd, &sb) != 0 || !S_ISREG(sb.st_mode) || !persist_own(&sb)) {
        *why = "it is not this user's alone";
        result = PERSIST_FOREIGN;
    } else if (!check(fd, (uint64_t)sb.st_size, key, whole, f)) {
        *why = "damaged";
        result = PERSIST_DAMAGED;
        persist_file_close(f);
    }
    if (fd_out && result == PERSIST_OPENED)
        *fd_out = fd;
    else
        close(fd);
    return result;
}

void persist_file_close(PersistFile *f)
{
    if (f->map)
        munmap((void *)(uintptr_t)f->map, f->len);
    f->map = NULL;
}

uint32_t persist_file_find(const PersistFile *f, uint32_t pc, uint32_t mode)
{
    uint32_t mask = f->h->nhash - 1, at = persist_hash(pc, mode) & mask;

    for (uint32_t tries = 0; tries <= mask; tries++, at = (at + 1) & mask) {
        uint32_t k = f->hash[at] - 1;
        if (k >= f->h->nentry)
            return UINT32_MAX;
        if (f->entry[k].pc == pc && f->entry[k].mode == mode)
            return range_ok(f->entry[k].code, f->entry[k].size, f->h->code_len) ? k : UINT32_MAX;
    }
    return UINT32_MAX;
}

bool persist_path(char buf[PERSIST_PATH_MAX], const char *dir, const Hash128 *key)
{
    int n = snprintf(buf, PERSIST_PATH_MAX, "%s/%016llx%016llx" PERSIST_SUFFIX, dir, (unsigned long long)key->hi,
                     (unsigned long long)key->lo);

    return n > 0 && n < PERSIST_PATH_MAX;
}

bool persist_is_name(const char *name)
{
    size_t digits = strspn(name, "0123456789abcdef");

    return digits == 32 && !strcmp(name + digits, PERSIST_SUFFIX);
}
