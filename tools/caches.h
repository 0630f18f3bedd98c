/*
 * For tools that simulate caches: a cache that replaces what was used least recently, what is behind it, and the
 * filters that keep accesses from being recorded that change nothing in it (DgFilter, dragoman/plugin.h): those to the
 * line that a set has used last. A write is as a read: it brings its line in.
 */
#ifndef TOOLS_CACHES_H
#define TOOLS_CACHES_H

#include "dragoman/plugin.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct Cache {
    const char *name;
    uint32_t sets, ways, line_bits;
    uint64_t *tag;         /* by set: of each way line + 1, 0: empty; then when each was used last */
    uint64_t clock;
    pthread_mutex_t *lock; /* of a cache that several threads come to; NULL: none */
    struct Cache *next;    /* where its misses go; NULL: memory */
    uint64_t reads, writes, read_misses, write_misses;
} Cache;

static inline bool power_of_two(uint64_t n)
{
    return n && !(n & (n - 1));
}

/* "size:ways:line" */
static inline bool cache_shape(Cache *c, const char *text)
{
    unsigned long long size, ways, line;
    char end;

    if (sscanf(text, "%llu:%llu:%llu%c", &size, &ways, &line, &end) != 3 || !power_of_two(line) || line < 16 ||
        line > 1u << 30 || !ways || ways > 1024 || size > 1ull << 32 || size % (ways * line) ||
        !power_of_two(size / (ways * line)) || size / (ways * line) > 1u << 20)
        return false;
    c->sets = (uint32_t)(size / (ways * line));
    c->ways = (uint32_t)ways;
    c->line_bits = (uint32_t)__builtin_ctzll(line);
    return true;
}

/* The shape that option `name` gives, or `def`; a message when it is none. */
static inline bool cache_option(DgHost *h, const char *name, Cache *c, const char *def)
{
    const char *v = dg->option(h, name);

    c->name = name;
    if (cache_shape(c, v ? v : def))
        return true;
    dg->fail(h, "%s=%s is not SIZE:WAYS:LINE, in bytes, with a power of two of sets and of bytes in a line", name, v);
    return false;
}

static inline bool cache_new(Cache *c, const Cache *like, Cache *next)
{
    *c = *like;
    c->next = next;
    c->tag = calloc((size_t)c->sets * c->ways, 2 * sizeof *c->tag);
    return c->tag != NULL;
}

/* Which of `ways` words is v; `ways` when none is. Without branches, which would be guessed wrong. */
static inline __attribute__((always_inline)) uint32_t cache_find(const uint64_t *word, uint32_t ways, uint64_t v)
{
    uint32_t at = ways;

#pragma GCC unroll 16
    for (uint32_t k = 0; k < ways; k++)
        at = word[k] == v ? k : at;
    return at;
}

static inline __attribute__((always_inline)) uint32_t cache_oldest(const uint64_t *used, uint32_t ways)
{
    uint64_t least = used[0];
    uint32_t at = 0;

#pragma GCC unroll 16
    for (uint32_t k = 1; k < ways; k++) {
        at = used[k] < least ? k : at;
        least = used[k] < least ? used[k] : least;
    }
    return at;
}

static inline __attribute__((always_inline)) bool cache_touch_ways(Cache *c, uint64_t line, uint32_t ways)
{
    uint64_t *tag = c->tag + (size_t)(line & (c->sets - 1)) * 2 * ways, *used = tag + ways;
    uint32_t at = cache_find(tag, ways, line + 1);
    bool hit = at < ways;

    if (!hit) {
        at = cache_oldest(used, ways);
        tag[at] = line + 1;
    }
    used[at] = ++c->clock;
    return hit;
}

/* Whether the line of addr was there. It is now, and is the one used last. */
static inline bool cache_touch(Cache *c, uint64_t addr)
{
    uint64_t line = addr >> c->line_bits;

    switch (c->ways) { /* loops of a length that the compiler knows */
    case 4:
        return cache_touch_ways(c, line, 4);
    case 8:
        return cache_touch_ways(c, line, 8);
    case 16:
        return cache_touch_ways(c, line, 16);
    default:
        return cache_touch_ways(c, line, c->ways);
    }
}

/* One line of a level behind the first, and so on. How many levels have missed it. */
static inline unsigned cache_behind(Cache *c, uint64_t addr, bool write)
{
    if (!c)
        return 0;
    if (c->lock)
        pthread_mutex_lock(c->lock);
    bool hit = cache_touch(c, addr);
    *(write ? &c->writes : &c->reads) += 1;
    *(write ? &c->write_misses : &c->read_misses) += !hit;
    if (c->lock)
        pthread_mutex_unlock(c->lock);
    return hit ? 0 : 1 + cache_behind(c->next, addr, write);
}

/*
 * A recorded access, to the first level. Returns how many levels have missed it; one that crosses lines is one access, and a
 * miss when either line is missing. It does not count accesses: those that are not recorded are accesses too.
 */
static inline unsigned cache_access(Cache *c, const DgSeen *r)
{
    bool write = r->kind & DG_WRITE;
    uint64_t end = r->addr + (r->bytes ? r->bytes - 1 : 0);
    unsigned missed = cache_touch(c, r->addr) ? 0 : 1 + cache_behind(c->next, r->addr, write);

    if (end >> c->line_bits != r->addr >> c->line_bits && !cache_touch(c, end)) {
        unsigned second = 1 + cache_behind(c->next, end, write);
        missed = second > missed ? second : missed;
    }
    *(write ? &c->write_misses : &c->read_misses) += missed != 0;
    return missed;
}

static inline DgFilter *cache_filter(DgHost *h, DgStream *s, const Cache *c)
{
    return dg->filter_new(h, s, c->line_bits, c->sets);
}

/* Record b's fetches by lines, each at the first of its instructions that is on it; `number` says what to call them. */
static inline void cache_fetches(DgBlock *b, DgFilter *f, const Cache *c, uint32_t (*number)(uint64_t pc))
{
    uint64_t seen = UINT64_MAX;

    for (uint32_t k = 0, n = dg->block_insns(b); k < n; k++) {
        DgInsnInfo i = {.size = sizeof i};
        dg->insn_info(dg->block_insn(b, k), &i);
        uint64_t last = (i.pc + (i.length ? i.length - 1u : 0)) >> c->line_bits;
        for (uint64_t line = i.pc >> c->line_bits; line <= last; line++) {
            if (line == seen)
                continue;
            seen = line;
            dg->record_new(dg->block_insn(b, k), DG_BEFORE, 0, f, number(i.pc), line << c->line_bits);
        }
    }
}

#endif
