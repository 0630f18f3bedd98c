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
#ifdef __AVX2__
#include <immintrin.h>
#endif

typedef struct Cache {
    void *memory; /* of the sets */
    const char *name;
    uint32_t sets, ways, line_bits, tag_bits; /* tag_bits: those below the tag */
    /* By set, the way used last first, 0: empty. One of the two, neither in a first level. */
    uint32_t *tag;  /* of the address, plus 1 */
    uint64_t *line; /* the line's number plus 1: of shapes that `tag` is not for */
    bool avx512;    /* the host has it: a set of 8 or 16 is one vector */
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

static inline bool cache_avx512(void)
{
#ifdef __AVX2__
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl");
#else
    return false;
#endif
}

/* A level behind the first. */
static inline bool cache_new(Cache *c, const Cache *like)
{
    *c = *like;
    size_t way = cache_narrow(c) ? sizeof *c->tag : sizeof *c->line;
    char *mem = calloc(1, (size_t)c->sets * c->ways * way + 64); /* large ones: only what is used is memory */
    char *set = mem ? mem + (64 - (uintptr_t)mem % 64) : NULL;
    c->memory = mem;
    c->tag = cache_narrow(c) ? (uint32_t *)(void *)set : NULL;
    c->line = cache_narrow(c) ? NULL : (uint64_t *)(void *)set;
    c->avx512 = cache_avx512();
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

static inline bool cache_touch_wide(uint64_t *set, uint64_t line, uint32_t ways)
{
    uint64_t newer = line;

    for (uint32_t k = 0; k < ways; k++) {
        uint64_t was = set[k];
        set[k] = newer;
        if (was == line)
            return true;
        newer = was;
    }
    return false;
}

/* As cache_touch_wide. */
static inline bool cache_touch_narrow(uint32_t *set, uint32_t tag, uint32_t ways)
{
    uint32_t newer = tag;

    for (uint32_t k = 0; k < ways; k++) {
        uint32_t was = set[k];
        set[k] = newer;
        if (was == tag)
            return true;
        newer = was;
    }
    return false;
}

#ifdef __AVX2__

/* Without a branch on where the tag is, which nobody predicts: eight lanes of a set, those up to `last`, after what comes
 * before them moved back by one. */
static inline __m256i cache_move(__m256i set, __m256i before, int last)
{
    const __m256i back = _mm256_setr_epi32(7, 0, 1, 2, 3, 4, 5, 6), lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    __m256i moved = _mm256_blend_epi32(_mm256_permutevar8x32_epi32(set, back), before, 1);

    return _mm256_blendv_epi8(moved, set, _mm256_cmpgt_epi32(lane, _mm256_set1_epi32(last)));
}

static inline unsigned cache_equal(__m256i set, __m256i tag)
{
    return (unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpeq_epi32(set, tag)));
}

/* As cache_touch_narrow, of 8 ways. */
static inline bool cache_touch_8(uint32_t *at, uint32_t tag)
{
    __m256i *set = (__m256i *)(void *)at, x = _mm256_set1_epi32((int)tag), was = _mm256_loadu_si256(set);
    unsigned hit = cache_equal(was, x);

    _mm256_storeu_si256(set, cache_move(was, x, __builtin_ctz(hit | 1u << 7)));
    return hit != 0;
}

/* As cache_touch_narrow, of 16 ways. */
static inline bool cache_touch_16(uint32_t *at, uint32_t tag)
{
    __m256i *set = (__m256i *)(void *)at, x = _mm256_set1_epi32((int)tag);
    __m256i a = _mm256_loadu_si256(set), b = _mm256_loadu_si256(set + 1);
    unsigned hit = cache_equal(a, x) | cache_equal(b, x) << 8;
    int last = __builtin_ctz(hit | 1u << 15);

    _mm256_storeu_si256(set + 1, cache_move(b, _mm256_permutevar8x32_epi32(a, _mm256_set1_epi32(7)), last - 8));
    _mm256_storeu_si256(set, cache_move(a, x, last));
    return hit != 0;
}

#else

static inline bool cache_touch_8(uint32_t *at, uint32_t tag)
{
    return cache_touch_narrow(at, tag, 8);
}

static inline bool cache_touch_16(uint32_t *at, uint32_t tag)
{
    return cache_touch_narrow(at, tag, 16);
}

#endif

/* As cache_touch, where the compiler knows the shape. */
static inline __attribute__((always_inline)) bool cache_touch_as(const Cache *c, uint64_t addr, bool narrow, uint32_t ways)
{
    size_t set = cache_set(c, addr);
    uint32_t tag = (uint32_t)(addr >> c->tag_bits) + 1;

    if (!narrow)
        return cache_touch_wide(c->line + set, (addr >> c->line_bits) + 1, c->ways);
    return ways == 8    ? cache_touch_8(c->tag + set, tag)
           : ways == 16 ? cache_touch_16(c->tag + set, tag)
                        : cache_touch_narrow(c->tag + set, tag, c->ways);
}

/* Whether the line of addr was there. It is now, and is the one used last. */
static inline bool cache_touch(Cache *c, uint64_t addr)
{
    return c->tag ? cache_touch_as(c, addr, true, c->ways) : cache_touch_as(c, addr, false, 0);
}

static inline __attribute__((always_inline)) unsigned cache_pass_as(const Cache *c, bool narrow, uint32_t ways, const DgSeen *r,
                                                                    unsigned n, DgSeen *missed)
{
    const Cache mine = *c; /* no store to a set is one to this */
    unsigned m = 0;

    for (unsigned k = 0; k < n; k++) {
        DgSeen x = r[k];
        missed[m] = x;
        m += !cache_touch_as(&mine, x.addr, narrow, ways);
    }
    return m;
}

#ifdef __AVX2__

#define CACHE_AVX512 __attribute__((target("avx512f,avx512vl")))

/* Lanes up to that of the tag, or all: these are moved back by one, behind the tag. */
static inline unsigned cache_moves(unsigned hit)
{
    return hit ^ (hit - 1);
}

CACHE_AVX512 static inline bool cache_touch_8_at_once(uint32_t *at, uint32_t tag)
{
    __m256i x = _mm256_set1_epi32((int)tag), set = _mm256_loadu_si256((const void *)at);
    unsigned hit = _mm256_cmpeq_epi32_mask(set, x);

    _mm256_storeu_si256((void *)at, _mm256_mask_alignr_epi32(set, (__mmask8)cache_moves(hit), set, x, 7));
    return hit != 0;
}

CACHE_AVX512 static inline bool cache_touch_16_at_once(uint32_t *at, uint32_t tag)
{
    __m512i x = _mm512_set1_epi32((int)tag), set = _mm512_loadu_si512(at);
    unsigned hit = _mm512_cmpeq_epi32_mask(set, x);

    _mm512_storeu_si512(at, _mm512_mask_alignr_epi32(set, (__mmask16)cache_moves(hit), set, x, 15));
    return hit != 0;
}

CACHE_AVX512 static inline __attribute__((always_inline)) unsigned cache_pass_at_once(const Cache *c, bool eight, const DgSeen *r, unsigned n,
                                                                                       DgSeen *missed)
{
    const Cache mine = *c;
    unsigned m = 0;

    for (unsigned k = 0; k < n; k++) {
        DgSeen x = r[k];
        uint32_t *at = mine.tag + cache_set(&mine, x.addr), tag = (uint32_t)(x.addr >> mine.tag_bits) + 1;
        missed[m] = x;
        m += !(eight ? cache_touch_8_at_once(at, tag) : cache_touch_16_at_once(at, tag));
    }
    return m;
}

CACHE_AVX512 static inline unsigned cache_pass_8_at_once(const Cache *c, const DgSeen *r, unsigned n, DgSeen *missed)
{
    return cache_pass_at_once(c, true, r, n, missed);
}

CACHE_AVX512 static inline unsigned cache_pass_16_at_once(const Cache *c, const DgSeen *r, unsigned n, DgSeen *missed)
{
    return cache_pass_at_once(c, false, r, n, missed);
}

#else

static inline unsigned cache_pass_8_at_once(const Cache *c, const DgSeen *r, unsigned n, DgSeen *missed)
{
    return cache_pass_as(c, true, 8, r, n, missed);
}

static inline unsigned cache_pass_16_at_once(const Cache *c, const DgSeen *r, unsigned n, DgSeen *missed)
{
    return cache_pass_as(c, true, 16, r, n, missed);
}

#endif

/* Touch the lines of n records, in order. `missed`, which may be `r`, gets those that were not there; returns how many. */
static inline unsigned cache_pass(const Cache *c, const DgSeen *r, unsigned n, DgSeen *missed)
{
    if (!c->tag)
        return cache_pass_as(c, false, 0, r, n, missed);
    switch (c->ways) {
    case 8:
        return c->avx512 ? cache_pass_8_at_once(c, r, n, missed) : cache_pass_as(c, true, 8, r, n, missed);
    case 16:
        return c->avx512 ? cache_pass_16_at_once(c, r, n, missed) : cache_pass_as(c, true, 16, r, n, missed);
    default:
        return cache_pass_as(c, true, 0, r, n, missed);
    }
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
