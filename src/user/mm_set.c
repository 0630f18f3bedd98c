#include "user/mm_set.h"

#include "base/check.h"
#include "base/log.h"
#include "base/search.h"

#include <stdlib.h>
#include <string.h>

void mmset_done(MmSet *s)
{
    free(s->r);
    memset(s, 0, sizeof *s);
}

size_t mmset_find(const MmSet *s, uint64_t addr)
{
    return SEARCH_UPTO(s->r, s->n, end, addr);
}

/* Make room for `extra` entries at index i. */
static void open_gap(MmSet *s, size_t i, size_t extra)
{
    if (s->n + extra > s->cap) {
        s->cap = s->cap ? s->cap * 2 : 64;
        s->r = realloc(s->r, s->cap * sizeof *s->r);
        CHECK(s->r != NULL);
    }
    memmove(s->r + i + extra, s->r + i, (s->n - i) * sizeof *s->r);
    s->n += extra;
}

static void close_gap(MmSet *s, size_t i, size_t count)
{
    if (count)
        memmove(s->r + i, s->r + i + count, (s->n - i - count) * sizeof *s->r);
    s->n -= count;
}

/* Make `addr` a boundary: no range has it in its inside. */
static void split(MmSet *s, uint64_t addr)
{
    size_t i = mmset_find(s, addr);
    if (i == s->n || s->r[i].start >= addr)
        return;
    open_gap(s, i, 1);
    s->r[i] = s->r[i + 1];
    s->r[i].end = addr;
    s->r[i + 1].start = addr;
}

static bool mergeable(const MmRange *a, const MmRange *b)
{
    return a->end == b->start && a->prot == b->prot && a->kind == b->kind && a->kind != MM_SHM;
}

/* Merge neighbours from index i - 1 to those that touch [.., end]. */
static void merge_around(MmSet *s, size_t i, uint64_t end)
{
    if (i > 0)
        i--;
    while (i + 1 < s->n && s->r[i].start <= end) {
        if (mergeable(&s->r[i], &s->r[i + 1])) {
            s->r[i].end = s->r[i + 1].end;
            close_gap(s, i + 1, 1);
        } else {
            i++;
        }
    }
}

static void log_change(const MmSet *s, const char *what, uint64_t start, uint64_t end, uint32_t prot)
{
    if (s->logged && log_on(LOG_MM))
        log_line("mm: %s 0x%llx..0x%llx %c%c%c", what, (unsigned long long)start, (unsigned long long)end,
                 prot & PROT_READ ? 'r' : '-', prot & PROT_WRITE ? 'w' : '-', prot & PROT_EXEC ? 'x' : '-');
}

static void take_out(MmSet *s, uint64_t start, uint64_t end)
{
    split(s, start);
    split(s, end);
    size_t i = mmset_find(s, start), k = i;
    while (k < s->n && s->r[k].start < end)
        k++;
    close_gap(s, i, k - i);
}

void mmset_remove(MmSet *s, uint64_t start, uint64_t end)
{
    log_change(s, "unmap", start, end, PROT_NONE);
    take_out(s, start, end);
}

void mmset_insert(MmSet *s, uint64_t start, uint64_t end, uint32_t prot, uint32_t kind)
{
    log_change(s, "map", start, end, prot);
    take_out(s, start, end);
    size_t i = mmset_find(s, start);
    open_gap(s, i, 1);
    s->r[i] = (MmRange){ start, end, prot, kind };
    merge_around(s, i, end);
}

void mmset_set_prot(MmSet *s, uint64_t start, uint64_t end, uint32_t prot)
{
    log_change(s, "protect", start, end, prot);
    split(s, start);
    split(s, end);
    size_t first = mmset_find(s, start);
    for (size_t i = first; i < s->n && s->r[i].start < end; i++)
        s->r[i].prot = prot;
    merge_around(s, first, end);
}

void mmset_set_kind(MmSet *s, uint64_t start, uint64_t end, uint32_t kind)
{
    split(s, start);
    split(s, end);
    size_t first = mmset_find(s, start);
    for (size_t i = first; i < s->n && s->r[i].start < end; i++)
        s->r[i].kind = kind;
    merge_around(s, first, end);
}

bool mmset_covers(const MmSet *s, uint64_t start, uint64_t end)
{
    for (size_t i = mmset_find(s, start); start < end; i++) {
        if (i == s->n || s->r[i].start > start)
            return false;
        start = s->r[i].end;
    }
    return true;
}

bool mmset_is_free(const MmSet *s, uint64_t start, uint64_t end)
{
    size_t i = mmset_find(s, start);
    return i == s->n || s->r[i].start >= end;
}

bool mmset_any_prot(const MmSet *s, uint64_t start, uint64_t end, uint32_t prot)
{
    for (size_t i = mmset_find(s, start); i < s->n && s->r[i].start < end; i++)
        if (s->r[i].prot & prot)
            return true;
    return false;
}

uint64_t mmset_find_free(const MmSet *s, uint64_t low, uint64_t high, uint64_t len)
{
    size_t i = mmset_find(s, high);
    if (i < s->n && s->r[i].start < high)
        high = s->r[i].start;
    for (;;) {
        uint64_t below = i > 0 ? s->r[i - 1].end : 0;
        if (below < low)
            below = low;
        if (high > below && high - below >= len)
            return high - len;
        if (i == 0 || below == low)
            return 0;
        i--;
        high = s->r[i].start;
    }
}
