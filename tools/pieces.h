/*
 * For tools that keep something for each place of the code: a table of what was translated, by address and length, and
 * how often each instruction has run. Translations overlap and are made several times; here each piece is there once.
 *
 * Included by one file of a tool; uses its `dg`. Under the lock of translation, but for what is said otherwise.
 */
#ifndef TOOLS_PIECES_H
#define TOOLS_PIECES_H

#include "dragoman/plugin.h"

#include <stdlib.h>
#include <string.h>

/* A run of instructions of which none but the last may fault: all have run, or none but for what cannot be seen. */
typedef struct Piece {
    uint64_t pc, region; /* region: the translation that it was seen in last */
    uint32_t n;      /* instructions; a user of places alone may mean something else by it */
    DgCell runs;     /* DG_NO_CELL: there was no room */
    uint8_t *length; /* of each instruction, in bytes */
} Piece;

typedef struct Pieces {
    Piece *piece; /* in order of appearance: indices do not change */
    uint32_t count, cap, *slot, slots;
} Pieces;

static inline uint32_t pieces_slot(const Pieces *p, uint64_t pc, uint32_t n)
{
    uint32_t at = (uint32_t)(pc * 0x9e3779b97f4a7c15u >> 40) & (p->slots - 1);

    while (p->slot[at] && (p->piece[p->slot[at] - 1].pc != pc || p->piece[p->slot[at] - 1].n != n))
        at = (at + 1) & (p->slots - 1);
    return at;
}

static inline bool pieces_grow(Pieces *p)
{
    uint32_t slots = p->slots ? 2 * p->slots : 1 << 12, *slot = calloc(slots, sizeof *slot);
    Piece *piece = realloc(p->piece, slots / 2 * sizeof *piece);

    if (piece)
        p->piece = piece;
    if (!piece || !slot) {
        free(slot);
        return false;
    }
    free(p->slot);
    p->slot = slot;
    p->slots = slots;
    p->cap = slots / 2;
    for (uint32_t k = 0; k < p->count; k++)
        p->slot[pieces_slot(p, p->piece[k].pc, p->piece[k].n)] = k + 1;
    return true;
}

/* Of (pc, n); a new one has no cell and no lengths yet. UINT32_MAX: no memory. */
static inline uint32_t pieces_find(Pieces *p, uint64_t pc, uint32_t n)
{
    if (p->count == p->cap && !pieces_grow(p))
        return UINT32_MAX;
    uint32_t at = pieces_slot(p, pc, n);
    if (!p->slot[at]) {
        p->piece[p->count] = (Piece){pc, 0, n, DG_NO_CELL, NULL};
        p->slot[at] = ++p->count;
    }
    return p->slot[at] - 1;
}

/* --- how often each instruction runs ---------------------------------------------------------------------------------- */

static inline void pieces_count(Pieces *p, DgHost *h, DgBlock *b, uint32_t first, uint32_t n)
{
    uint32_t k = pieces_find(p, dg->insn_pc(dg->block_insn(b, first)), n);

    if (k == UINT32_MAX)
        return;
    Piece *x = &p->piece[k];
    x->region = dg->block_region(b);
    if (!x->length && (x->length = malloc(n))) {
        x->runs = dg->cell_new(h, DG_SUM, 1);
        for (uint32_t i = 0; i < n; i++) {
            DgInsnInfo info = {.size = sizeof info};
            dg->insn_info(dg->block_insn(b, first + i), &info);
            x->length[i] = info.length;
        }
    }
    if (x->runs != DG_NO_CELL)
        dg->add(dg->block_insn(b, first), DG_BEFORE, 0, x->runs, 1);
}

/* Count the runs of b's instructions: one addition for each piece of it. */
static inline void pieces_attach(Pieces *p, DgHost *h, DgBlock *b)
{
    const uint32_t may_fault = DG_LOAD | DG_STORE | DG_ATOMIC | DG_SYSTEM | DG_ILLEGAL;

    for (uint32_t k = 0, first = 0, n = dg->block_insns(b); k < n; k++) {
        if (k + 1 < n && !(dg->insn_class(dg->block_insn(b, k)) & may_fault))
            continue;
        pieces_count(p, h, b, first, k + 1 - first);
        first = k + 1;
    }
}

typedef struct Line {
    uint64_t pc, runs, n; /* n instructions from pc on, each of which has run so often */
    uint32_t bytes;       /* of all of them */
} Line;

static inline int line_by_pc(const void *x, const void *y)
{
    const Line *a = x, *b = y;

    return a->pc < b->pc ? -1 : a->pc > b->pc;
}

/* Every instruction that has run, ascending; to be freed. NULL: no memory. At the end. */
static inline Line *pieces_lines(const Pieces *p, DgHost *h, size_t *count)
{
    size_t n = 0, m = 0;

    for (uint32_t k = 0; k < p->count; k++)
        n += p->piece[k].n;
    Line *l = calloc(n + 1, sizeof *l);
    if (!l)
        return NULL;
    n = 0;
    for (uint32_t k = 0; k < p->count; k++) {
        const Piece *x = &p->piece[k];
        uint64_t runs = x->runs != DG_NO_CELL ? dg->cell_total(h, x->runs) : 0, pc = x->pc;
        for (uint32_t i = 0; runs && i < x->n; pc += x->length[i++])
            l[n++] = (Line){pc, runs, 1, x->length[i]};
    }
    qsort(l, n, sizeof *l, line_by_pc);
    for (size_t k = 0; k < n; k++) {
        if (m && l[m - 1].pc == l[k].pc)
            l[m - 1].runs += l[k].runs;
        else
            l[m++] = l[k];
    }
    *count = m;
    return l;
}

#endif
