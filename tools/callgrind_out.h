/*
 * Writing Callgrind's profile format (Valgrind manual, "Callgrind Format Specification"), version 1: costs by instruction and
 * line, calls with inclusive costs. Files, objects and functions are named in full once and by number after that.
 */
#ifndef TOOLS_CALLGRIND_OUT_H
#define TOOLS_CALLGRIND_OUT_H

#include "dragoman/plugin.h"

#include "caches.h"
#include "calls.h"

#include <stdio.h>

/* The events, in the order of the format's customary header. */
enum { COST_IR, COST_DR, COST_DW, COST_I1MR, COST_D1MR, COST_D1MW, COST_ILMR, COST_DLMR, COST_DLMW, COST_COUNT };
_Static_assert((int)COST_COUNT == COSTS_MAX, "calls.h has room for all");

typedef struct OutLine {
    uint64_t pc, cost[COSTS_MAX];
} OutLine;

typedef struct OutName {
    const char *name;
    uint64_t key; /* tells functions of one name apart */
    struct OutName *next;
    uint32_t number;
} OutName;

#define NAME_BUCKETS 4096

/* Names of one kind that have a number. */
typedef struct OutNames {
    OutName *bucket[NAME_BUCKETS];
    uint32_t count;
} OutNames;

typedef struct Out {
    unsigned costs; /* of each line: the first so many */
    OutLine *line;
    size_t nline, cap_line;
    Arc *arc;
    size_t narc, cap_arc;
    FILE *f;
    OutNames objects, files, functions;
} Out;

/* Where an address is. */
typedef struct OutPlace {
    const char *object, *function, *file;
    uint64_t start; /* of the function; 0: not known */
    uint32_t line;
} OutPlace;

static inline void *out_room(void *old, size_t n, size_t *cap, size_t size)
{
    if (n < *cap)
        return old;
    size_t more = *cap ? 2 * *cap : 1024;
    void *to = realloc(old, more * size);
    if (to)
        *cap = more;
    return to;
}

/* Lines in ascending order. */
static inline void out_line(Out *o, const OutLine *l)
{
    OutLine *to = out_room(o->line, o->nline, &o->cap_line, sizeof *to);

    if (!to)
        return;
    o->line = to;
    o->line[o->nline++] = *l;
}

static inline void out_arc(Out *o, const Arc *a)
{
    Arc *to = a->count ? out_room(o->arc, o->narc, &o->cap_arc, sizeof *to) : NULL;

    if (!to)
        return;
    o->arc = to;
    o->arc[o->narc++] = *a;
}

/* --- places and names --------------------------------------------------------------------------------------------------- */

static inline OutPlace out_place(DgHost *h, uint64_t pc)
{
    OutPlace p = {"???", "???", "???", 0, 0};
    DgSymbol s = {.size = sizeof s};
    DgLine l = {.size = sizeof l};
    DgImage i = {.size = sizeof i};

    if (dg->symbol_at(h, pc, &s)) {
        p.function = s.name;
        p.start = s.start;
        if (s.image != DG_NO_IMAGE && dg->image(h, s.image, &i) && i.path)
            p.object = i.path;
    }
    if (DG_HAS(dg, line_at) && dg->line_at(h, pc, &l) && l.file) {
        p.file = l.file;
        p.line = l.line;
    }
    return p;
}

/* "what=(number) name", and from the second time on "what=(number)". */
static inline void out_name(Out *o, OutNames *names, const char *what, const char *name, uint64_t key)
{
    uint64_t hash = key * 31;

    for (const char *c = name; *c; c++)
        hash = hash * 31 + (uint8_t)*c;
    OutName **at = &names->bucket[hash % NAME_BUCKETS];
    while (*at && ((*at)->key != key || strcmp((*at)->name, name) != 0))
        at = &(*at)->next;
    if (*at) {
        fprintf(o->f, "%s=(%u)\n", what, (*at)->number);
        return;
    }
    *at = calloc(1, sizeof **at);
    if (!*at) {
        fprintf(o->f, "%s=%s\n", what, name);
        return;
    }
    **at = (OutName){name, key, NULL, ++names->count};
    fprintf(o->f, "%s=(%u) %s\n", what, (*at)->number, name);
}

/* --- the body --------------------------------------------------------------------------------------------------------------- */

static inline void out_costs(const Out *o, uint64_t pc, uint32_t line, const uint64_t *cost)
{
    unsigned n = o->costs;

    while (n > 1 && !cost[n - 1]) /* missing ones are 0 */
        n--;
    fprintf(o->f, "0x%llx %u", (unsigned long long)pc, line);
    for (unsigned k = 0; k < n; k++)
        fprintf(o->f, " %llu", (unsigned long long)cost[k]);
    fputc('\n', o->f);
}

static inline void out_call(Out *o, DgHost *h, const Arc *a, const OutPlace *from)
{
    OutPlace to = out_place(h, a->to);

    out_name(o, &o->objects, "cob", to.object, 0);
    out_name(o, &o->files, "cfi", to.file, 0);
    out_name(o, &o->functions, "cfn", to.function, to.start);
    fprintf(o->f, "calls=%llu 0x%llx %u\n", (unsigned long long)a->count, (unsigned long long)a->to, to.line);
    out_costs(o, a->from, from->line, a->cost);
}

static inline int arc_by_place(const void *x, const void *y)
{
    const Arc *a = x, *b = y;

    return a->from != b->from ? (a->from < b->from ? -1 : 1) : a->to < b->to ? -1 : a->to > b->to;
}

/* The same arc of several threads. */
static inline void out_merge_arcs(Out *o)
{
    size_t m = 0;

    if (o->narc)
        qsort(o->arc, o->narc, sizeof *o->arc, arc_by_place);
    for (size_t k = 0; k < o->narc; k++) {
        if (m && arc_by_place(&o->arc[m - 1], &o->arc[k]) == 0) {
            o->arc[m - 1].count += o->arc[k].count;
            for (unsigned c = 0; c < o->costs; c++)
                o->arc[m - 1].cost[c] += o->arc[k].cost[c];
        } else {
            o->arc[m++] = o->arc[k];
        }
    }
    o->narc = m;
}

/* Another function, or another file in it. */
static inline void out_section(Out *o, const OutPlace *was, const OutPlace *now)
{
    if (!was->function || was->start != now->start || was->function != now->function) {
        fputc('\n', o->f);
        out_name(o, &o->objects, "ob", now->object, 0);
        out_name(o, &o->files, "fl", now->file, 0);
        out_name(o, &o->functions, "fn", now->function, now->start);
    } else if (strcmp(was->file, now->file) != 0) {
        out_name(o, &o->files, "fe", now->file, 0);
    }
}

static inline void out_body(Out *o, DgHost *h)
{
    OutPlace was = {.function = NULL};

    for (size_t k = 0, a = 0; k < o->nline; k++) {
        const OutLine *l = &o->line[k];
        OutPlace now = out_place(h, l->pc);
        out_section(o, &was, &now);
        out_costs(o, l->pc, now.line, l->cost);
        while (a < o->narc && o->arc[a].from < l->pc) /* of code that is not counted: there is none */
            a++;
        for (; a < o->narc && o->arc[a].from == l->pc; a++)
            out_call(o, h, &o->arc[a], &now);
        was = now;
    }
}

/* --- the whole file ----------------------------------------------------------------------------------------------------------- */

static inline void out_totals(const Out *o, const char *what)
{
    fprintf(o->f, "%s:", what);
    for (unsigned c = 0; c < o->costs; c++) {
        uint64_t sum = 0;
        for (size_t k = 0; k < o->nline; k++)
            sum += o->line[k].cost[c];
        fprintf(o->f, " %llu", (unsigned long long)sum);
    }
    fputc('\n', o->f);
}

static inline void out_head(const Out *o, DgHost *h, const Cache *const cache[3])
{
    fprintf(o->f, "# callgrind format\nversion: 1\ncreator: dragoman %s\npid: %d\ncmd: %s\npart: 1\n\n", dg->version, dg->pid(h),
            dg->program(h));
    for (unsigned k = 0; k < 3; k++) {
        fprintf(o->f, "desc: %s cache: ", (const char *[]){"I1", "D1", "LL"}[k]);
        if (cache)
            fprintf(o->f, "%llu B, %u B, %u-way associative", (unsigned long long)cache[k]->sets * cache[k]->ways << cache[k]->line_bits,
                    1u << cache[k]->line_bits, cache[k]->ways);
        fputc('\n', o->f);
    }
    fprintf(o->f, "\ndesc: Trigger: Program termination\n\npositions: instr line\nevents: Ir%s\n",
            o->costs > 1 ? " Dr Dw I1mr D1mr D1mw ILmr DLmr DLmw" : "");
    out_totals(o, "summary");
}

static inline void out_free(Out *o)
{
    OutNames *all[] = {&o->objects, &o->files, &o->functions};

    for (unsigned k = 0; k < 3; k++)
        for (unsigned b = 0; b < NAME_BUCKETS; b++)
            for (OutName *n = all[k]->bucket[b], *next; n; n = next) {
                next = n->next;
                free(n);
            }
    free(o->line);
    free(o->arc);
}

/* Write to the tool's output, and free what `o` has. cache: I1, D1, LL, or NULL. */
static inline void out_write(Out *o, DgHost *h, const Cache *const cache[3])
{
    const char *path = dg->output_file(h, "callgrind.out.%p");

    o->f = fopen(path, "we");
    if (o->f) {
        out_merge_arcs(o);
        out_head(o, h, cache);
        out_body(o, h);
        fputc('\n', o->f);
        out_totals(o, "totals");
        fclose(o->f);
    } else {
        dg->fail(h, "cannot write %s", path);
    }
    out_free(o);
}

#endif
