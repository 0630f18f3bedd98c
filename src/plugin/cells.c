/*
 * Cells: which there are, and what they come to over all threads.
 *
 * Combinations. Short code that adds to several counters would spend much of its time on that, so it adds to one cell, which says how
 * often just these constants were added to just these counters. There is one for each combination that code has had so far, up to
 * COMBINATIONS of them, half of them kept for code that is hot; when they are used up, additions are made one by one. What a counter
 * comes to is what is in its own places and, of each combination that it is in, how often times how much. Nothing reads a counter but
 * the functions here (DG_COUNTER), and nothing is ever moved from one to the other: a counter that is set is set to what, with its
 * combinations, makes the number.
 *
 * Lanes. The first counters are better off: translated code keeps in a register what it adds to them, which is in HostCpu.counted
 * when the thread is out of it (HostConfig.lanes). That is a part of such a counter as combinations are.
 */
#include "plugin/internal.h"

#include "base/check.h"
#include "base/os.h"

#include <stdlib.h>
#include <string.h>

#define COMBINATIONS 2048

typedef struct Combination {
    HostCount count[HOST_COMBINE_MAX];
    uint16_t n;
    uint16_t next;   /* of its bucket: number + 1 */
    uint16_t bucket; /* the first of bucket number k, in the k-th: number + 1 */
} Combination;

/* Single cells, and counters, of tools that are being started become slots of the IR while there are any: see engine/instrument.h. */
static DgCell take(Plugins *p, uint32_t length, bool slot)
{
    uint32_t slots = cell_slots(p->tools.e);

    if (slot && !p->running && length <= slots - p->nslot) {
        p->nslot += length;
        return p->nslot - length;
    }
    if (length >= 8) /* a vector of eight of them is within one of the host's cache lines */
        p->ncell = (p->ncell + 7) & ~7u;
    if (length > cell_limit(p->tools.e) - slots || p->ncell > cell_limit(p->tools.e) - slots - length)
        return DG_NO_CELL;
    p->ncell += length;
    return slots + p->ncell - length;
}

static void counter_new(Plugins *p, DgCell c, uint32_t places)
{
    unsigned lane = 0;

    if (p->nlane < HOST_LANES && c < cell_slots(p->tools.e)) {
        p->lane[p->nlane] = c;
        lane = ++p->nlane;
    }
    for (uint32_t k = 0; k < places; k++)
        cell_counts(p->tools.e, c + k, lane);
}

DgCell cells_new(DgHost *h, unsigned how, uint32_t length)
{
    Plugins *p = h->p;

    if (length == 0 || how > CELLS_MEMORY)
        return DG_NO_CELL;
    if (how == DG_COUNTER && (length > 1 || p->running)) /* in memory it is one as any other */
        how = DG_SUM;
    bool slot = length == 1;
    if (how == DG_COUNTER)
        length = COUNTER_PLACES;
    DgCell c = take(p, length, slot);
    if (c == DG_NO_CELL)
        return c;
    if (how == DG_COUNTER)
        counter_new(p, c, length);
    if (p->nrange && p->range[p->nrange - 1].how == how &&
        p->range[p->nrange - 1].first + p->range[p->nrange - 1].length == c) {
        p->range[p->nrange - 1].length += length;
        return c;
    }
    p->range = realloc(p->range, (p->nrange + 1) * sizeof *p->range);
    CHECK(p->range != NULL);
    p->range[p->nrange++] = (CellRange){c, length, how};
    return c;
}

static uint64_t join(unsigned how, uint64_t a, uint64_t b)
{
    switch (how) {
    case DG_MIN:
        return a < b ? a : b;
    case DG_MAX:
        return a > b ? a : b;
    case DG_OR:
        return a | b;
    default:
        return a + b;
    }
}

static unsigned how_of(const Plugins *p, DgCell c)
{
    for (unsigned k = 0; k < p->nrange; k++)
        if (c - p->range[k].first < p->range[k].length)
            return p->range[k].how;
    return DG_SUM;
}

unsigned cell_places(const Plugins *p, DgCell c)
{
    return how_of(p, c) == DG_COUNTER ? COUNTER_PLACES : 1;
}

static uint64_t *past_of(Plugins *p, DgCell c)
{
    if (!p->past) { /* address space: only what is written to is memory */
        p->past = os_alloc(8 * (size_t)cell_limit(p->tools.e));
        CHECK(p->past != NULL);
    }
    return &p->past[c];
}

/* Of one cell. */
static uint64_t total_locked(Plugins *p, DgCell c, unsigned how)
{
    uint32_t disp = cell_disp(p->tools.e, c);
    uint64_t sum = 0;
    bool first = p->npast == 0;

    if (disp == CELL_NONE)
        return 0;
    if (!first)
        sum = *past_of(p, c);
    for (const DgThread *t = p->threads; t; t = t->next) {
        uint64_t v = *cell_of(t->cpu, disp);
        sum = first ? v : join(how, sum, v);
        first = false;
    }
    return sum;
}

/* What is in the lane of cell c over all threads; 0 when it has none. */
static uint64_t lane_total_locked(const Plugins *p, DgCell c)
{
    uint64_t sum = 0;

    for (unsigned k = 0; k < p->nlane; k++) {
        if (p->lane[k] != c)
            continue;
        sum = p->lane_past[k];
        for (const DgThread *t = p->threads; t; t = t->next)
            sum += t->cpu->h.counted[k];
    }
    return sum;
}

/* --- combinations ------------------------------------------------------------------------------------------------- */

void combinations_start(Plugins *p)
{
    bool any = false;

    for (unsigned k = 0; k < p->nrange; k++)
        any |= p->range[k].how == DG_COUNTER;
    DgCell c = any ? cells_new(p->self, CELLS_OWN, COMBINATIONS) : DG_NO_CELL;
    if (c == DG_NO_CELL)
        return;
    p->combination = calloc(COMBINATIONS, sizeof *p->combination);
    CHECK(p->combination != NULL);
    p->combination_cell = c;
}

static unsigned bucket_of(const HostCount *count, unsigned n)
{
    uint32_t h = n;

    for (unsigned k = 0; k < n; k++)
        h = (h ^ count[k].slot << 16 ^ (uint32_t)count[k].by) * UINT32_C(0x9e3779b1);
    return (h >> 16) % COMBINATIONS;
}

/* Number + 1 of a combination, a new one if it has to be; 0: there are too many. */
static unsigned combine_locked(Plugins *p, const HostCount *count, unsigned n, bool hot)
{
    unsigned used = atomic_load(&p->ncombination);
    uint16_t *bucket = &p->combination[bucket_of(count, n)].bucket;

    for (unsigned k = *bucket; k; k = p->combination[k - 1].next)
        if (p->combination[k - 1].n == n && memcmp(p->combination[k - 1].count, count, n * sizeof *count) == 0)
            return k;
    if (used >= (hot ? COMBINATIONS : COMBINATIONS / 2))
        return 0;
    Combination *x = &p->combination[used];
    memcpy(x->count, count, n * sizeof *count);
    x->n = (uint16_t)n;
    x->next = *bucket;
    *bucket = (uint16_t)(used + 1);
    atomic_store(&p->ncombination, used + 1);
    return used + 1;
}

uint32_t cells_combine(Tools *t, const HostCount *count, unsigned n, bool hot)
{
    Plugins *p = (Plugins *)t;

    if (!p->combination)
        return 0;
    pthread_mutex_lock(&p->list_lock);
    unsigned k = combine_locked(p, count, n, hot);
    pthread_mutex_unlock(&p->list_lock);
    return k ? cell_disp(t->e, p->combination_cell + k - 1) : 0;
}

/* How much combination number k adds to the `places` cells from c on. */
static uint64_t part_of(const Plugins *p, unsigned k, DgCell c, unsigned places)
{
    const Combination *x = &p->combination[k];
    uint64_t by = 0;

    for (unsigned n = 0; n < x->n; n++)
        if (x->count[n].slot - cell_first_slot(p->tools.e) - c < places)
            by += (uint64_t)x->count[n].by;
    return by;
}

/* --- what they come to -------------------------------------------------------------------------------------------- */

uint64_t cells_total(Plugins *p, DgCell c)
{
    uint64_t sum = 0;

    pthread_mutex_lock(&p->list_lock);
    unsigned how = how_of(p, c), places = cell_places(p, c);
    if (how == DG_COUNTER)
        sum = lane_total_locked(p, c);
    for (unsigned k = 0; k < places; k++)
        sum += total_locked(p, c + k, how);
    for (unsigned k = 0, n = how == DG_COUNTER ? atomic_load(&p->ncombination) : 0; k < n; k++) {
        uint64_t by = part_of(p, k, c, places);
        if (by)
            sum += by * total_locked(p, p->combination_cell + k, DG_SUM);
    }
    pthread_mutex_unlock(&p->list_lock);
    return sum;
}

/* What combinations have added to counter c of a thread, and its lane. */
static uint64_t combined(const DgThread *t, DgCell c, unsigned places)
{
    const Plugins *p = t->p;
    uint64_t sum = 0;

    for (unsigned k = 0; k < p->nlane; k++)
        if (p->lane[k] == c)
            sum += t->cpu->h.counted[k];
    for (unsigned k = 0, n = atomic_load(&p->ncombination); k < n; k++)
        sum += part_of(p, k, c, places) * *cell_of(t->cpu, cell_disp(p->tools.e, p->combination_cell + k));
    return sum;
}

uint64_t thread_cell_get(DgThread *t, DgCell c)
{
    uint32_t disp = cell_disp(t->p->tools.e, c);
    unsigned places = cell_places(t->p, c);

    if (disp == CELL_NONE)
        return 0;
    if (places == 1)
        return *cell_of(t->cpu, disp);
    uint64_t sum = combined(t, c, places);
    for (unsigned k = 0; k < places; k++)
        sum += *cell_of(t->cpu, cell_disp(t->p->tools.e, c + k));
    return sum;
}

void thread_cell_set(DgThread *t, DgCell c, uint64_t v)
{
    uint32_t disp = cell_disp(t->p->tools.e, c);
    unsigned places = cell_places(t->p, c);

    if (disp == CELL_NONE)
        return;
    *cell_of(t->cpu, disp) = places == 1 ? v : v - combined(t, c, places);
    for (unsigned k = 1; k < places; k++)
        *cell_of(t->cpu, cell_disp(t->p->tools.e, c + k)) = 0;
}

static void add_to_past(Plugins *p, Vcpu *cpu, DgCell first, uint32_t n, unsigned how)
{
    for (DgCell c = first; c < first + n; c++) {
        uint64_t v = *cell_of(cpu, cell_disp(p->tools.e, c));
        if (p->npast == 0)
            *past_of(p, c) = v;
        else if (v || how == DG_MIN)
            *past_of(p, c) = join(how, *past_of(p, c), v);
    }
}

/* Under list_lock: add a thread's cells to those of the past. */
void cells_thread_end(Plugins *p, Vcpu *cpu)
{
    for (unsigned k = 0; k < p->nrange; k++)
        if (p->range[k].how < CELLS_OWN)
            add_to_past(p, cpu, p->range[k].first, p->range[k].length, p->range[k].how);
    /* Of these only as many as there are: those behind may be memory that was never touched. */
    add_to_past(p, cpu, p->combination_cell, atomic_load(&p->ncombination), DG_SUM);
    for (unsigned k = 0; k < p->nlane; k++)
        p->lane_past[k] += cpu->h.counted[k];
    p->npast++;
}

/* What the parent counted is the parent's. */
void cells_fork_child(Plugins *p, Vcpu *self)
{
    for (unsigned k = 0; k < p->nrange; k++) {
        if (p->range[k].how == CELLS_MEMORY)
            continue;
        for (uint32_t c = p->range[k].first; c < p->range[k].first + p->range[k].length; c++) {
            uint64_t *at = cell_of(self, cell_disp(p->tools.e, c));
            if (*at)
                *at = 0;
        }
    }
    if (p->past)
        os_free(p->past, 8 * (size_t)cell_limit(p->tools.e));
    memset(self->h.counted, 0, sizeof self->h.counted);
    memset(p->lane_past, 0, sizeof p->lane_past);
    p->past = NULL;
    p->npast = 0;
}
