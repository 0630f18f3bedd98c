/*
 * For tools that simulate caches that replace what was used least recently. The first level is a filter of each thread
 * (DgFilter, dragoman/plugin.h): what is recorded is what it misses, and is worked off here in the levels behind it. A write is
 * as a read: it brings its line in.
 */
#ifndef TOOLS_CACHES_H
#define TOOLS_CACHES_H

#include "dragoman/plugin.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Cache {
    const char *name;
    uint32_t sets, ways, line_bits, tag_bits; /* tag_bits: those below the tag */
    /* By set, the way used last first, 0: empty. One of the two, neither in a first level. */
    uint32_t *tag;  /* of the address, plus 1 */
    uint64_t *line; /* the line's number plus 1: of shapes that `tag` is not for */
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
    c->tag_bits = c->line_bits + (uint32_t)__builtin_ctz(c->sets);
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

/* Whether 32 bits hold a tag, as addresses have 47: half the memory misses the host's own caches less often. */
static inline bool cache_narrow(const Cache *c)
{
    return c->tag_bits >= 16;
}

/* A level behind the first. */
static inline bool cache_new(Cache *c, const Cache *like)
{
    *c = *like;
    size_t way = cache_narrow(c) ? sizeof *c->tag : sizeof *c->line;
    char *mem = calloc(1, (size_t)c->sets * c->ways * way + 64); /* large ones: only what is used is memory */
    char *set = mem ? mem + (64 - (uintptr_t)mem % 64) : NULL;
    c->tag = cache_narrow(c) ? (uint32_t *)(void *)set : NULL;
    c->line = cache_narrow(c) ? NULL : (uint64_t *)(void *)set;
    return mem != NULL;
}

/* As when it was new. */
static inline void cache_clear(Cache *c)
{
    c->reads = c->writes = c->read_misses = c->write_misses = 0;
    if (c->tag)
        memset(c->tag, 0, (size_t)c->sets * c->ways * sizeof *c->tag);
    if (c->line)
        memset(c->line, 0, (size_t)c->sets * c->ways * sizeof *c->line);
}

/* The first way of the set of addr, counted over all sets. */
static inline size_t cache_set(const Cache *c, uint64_t addr)
{
    return (size_t)((addr >> c->line_bits) & (c->sets - 1)) * c->ways;
}

/* The line of addr will be looked for soon. */
static inline void cache_soon(const Cache *c, uint64_t addr)
{
    size_t set = cache_set(c, addr);

    if (c->tag)
        __builtin_prefetch(c->tag + set, 1);
    else
        __builtin_prefetch(c->line + set, 1);
}

static inline bool cache_touch_ways(Cache *c, uint64_t addr, uint32_t ways)
{
    uint64_t *set = c->line + cache_set(c, addr), line = (addr >> c->line_bits) + 1, newer = line;

    for (uint32_t k = 0; k < ways; k++) {
        uint64_t was = set[k];
        set[k] = newer;
        if (was == line)
            return true;
        newer = was;
    }
    return false;
}

/* As cache_touch_ways. */
static inline __attribute__((always_inline)) bool cache_touch_narrow(Cache *c, uint64_t addr, uint32_t ways)
{
    uint32_t *set = c->tag + cache_set(c, addr), tag = (uint32_t)(addr >> c->tag_bits) + 1, newer = tag;

#pragma GCC unroll 16
    for (uint32_t k = 0; k < ways; k++) {
        uint32_t was = set[k];
        set[k] = newer;
        if (was == tag)
            return true;
        newer = was;
    }
    return false;
}

/* Whether the line of addr was there. It is now, and is the one used last. */
static inline bool cache_touch(Cache *c, uint64_t addr)
{
    if (!c->tag)
        return cache_touch_ways(c, addr, c->ways);
    switch (c->ways) { /* loops of a length that the compiler knows */
    case 8:
        return cache_touch_narrow(c, addr, 8);
    case 16:
        return cache_touch_narrow(c, addr, 16);
    default:
        return cache_touch_narrow(c, addr, c->ways);
    }
}

/* The same, counted. */
static inline bool cache_access(Cache *c, uint64_t addr, bool write)
{
    bool hit = cache_touch(c, addr);

    *(write ? &c->writes : &c->reads) += 1;
    *(write ? &c->write_misses : &c->read_misses) += !hit;
    return hit;
}

static inline DgFilter *cache_filter(DgHost *h, DgStream *s, const Cache *c)
{
    return dg->filter_lru(h, s, c->line_bits, c->sets, c->ways);
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
