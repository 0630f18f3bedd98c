/* Cells: which there are, and what they come to over all threads. */
#include "plugin/internal.h"

#include "base/check.h"
#include "base/os.h"

#include <stdlib.h>
#include <string.h>

/* Single cells, and counters, of tools that are being started become slots of the IR while there are any: see engine/instrument.h. */
static DgCell take(Plugins *p, uint32_t length, bool slot)
{
    uint32_t slots = cell_slots(p->tools.e);

    if (slot && !p->running && length <= slots - p->nslot) {
        p->nslot += length;
        return p->nslot - length;
    }
    if (length > cell_limit(p->tools.e) - slots - p->ncell)
        return DG_NO_CELL;
    p->ncell += length;
    return slots + p->ncell - length;
}

DgCell cells_new(DgHost *h, unsigned how, uint32_t length)
{
    Plugins *p = h->p;

    if (length == 0 || how > CELLS_OWN)
        return DG_NO_CELL;
    if (how == DG_COUNTER && (length > 1 || p->running)) /* in memory it is one as any other */
        how = DG_SUM;
    bool slot = length == 1;
    if (how == DG_COUNTER)
        length = COUNTER_PLACES;
    DgCell c = take(p, length, slot);
    if (c == DG_NO_CELL)
        return c;
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

uint64_t cells_total(Plugins *p, DgCell c)
{
    uint64_t sum = 0;

    pthread_mutex_lock(&p->list_lock);
    unsigned how = how_of(p, c);
    for (unsigned k = 0, n = cell_places(p, c); k < n; k++)
        sum += total_locked(p, c + k, how);
    pthread_mutex_unlock(&p->list_lock);
    return sum;
}

/* Under list_lock: add a thread's cells to those of the past. */
void cells_thread_end(Plugins *p, Vcpu *cpu)
{
    for (unsigned k = 0; k < p->nrange; k++) {
        if (p->range[k].how == CELLS_OWN)
            continue;
        for (uint32_t c = p->range[k].first; c < p->range[k].first + p->range[k].length; c++) {
            uint64_t v = *cell_of(cpu, cell_disp(p->tools.e, c));
            if (p->npast == 0)
                *past_of(p, c) = v;
            else if (v || p->range[k].how == DG_MIN)
                *past_of(p, c) = join(p->range[k].how, *past_of(p, c), v);
        }
    }
    p->npast++;
}

/* What the parent counted is the parent's. */
void cells_fork_child(Plugins *p, Vcpu *self)
{
    for (unsigned k = 0; k < p->nrange; k++)
        for (uint32_t c = p->range[k].first; c < p->range[k].first + p->range[k].length; c++) {
            uint64_t *at = cell_of(self, cell_disp(p->tools.e, c));
            if (*at)
                *at = 0;
        }
    if (p->past)
        os_free(p->past, 8 * (size_t)cell_limit(p->tools.e));
    p->past = NULL;
    p->npast = 0;
}
