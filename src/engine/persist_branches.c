/* What was found out of indirect branches (promote.h), in files of the persistent cache. See persist.h. */
#include "engine/persist.h"

#include "base/check.h"

#include <stdlib.h>

#define BRANCHES_MAX 65536u /* of an image; what one process knows is a part of that */

typedef struct List {
    const PersistImage *im;
    PromoteKept *at;
    uint32_t n, room;
} List;

static void push(List *l, const PromoteKept *k)
{
    if (l->n == l->room) {
        l->room = l->room ? 2 * l->room : 64;
        l->at = realloc(l->at, l->room * sizeof l->at[0]);
        CHECK(l->at != NULL);
    }
    l->at[l->n++] = *k;
}

static bool is_of(const PersistImage *im, uint64_t pc)
{
    return pc - im->start < im->end - im->start;
}

static void add(void *ctx, const PromoteSite *s)
{
    List *l = ctx;
    PromoteKept k;

    if (is_of(l->im, s->pc) && promote_keep(s, &k))
        push(l, &k);
}

static int by_pc(const void *a, const void *b)
{
    uint64_t x = ((const PromoteKept *)a)->pc, y = ((const PromoteKept *)b)->pc;

    return x < y ? -1 : x > y;
}

static void sort(List *l)
{
    if (l->n)
        qsort(l->at, l->n, sizeof l->at[0], by_pc);
}

PromoteKept *persist_branches_collect(Engine *e, const PersistImage *im, const PersistFile *base, uint32_t *n)
{
    List l = {.im = im};

    promote_each(e, add, &l);
    sort(&l);
    uint32_t own = l.n, there = base->map ? base->h->nbranch : 0;
    for (uint32_t i = 0; i < there && l.n < BRANCHES_MAX; i++) {
        if (!own || !bsearch(&base->branch[i], l.at, own, sizeof l.at[0], by_pc))
            push(&l, &base->branch[i]);
    }
    sort(&l);
    *n = l.n;
    return l.at;
}

void persist_branches_restore(Vcpu *cpu, const PersistImage *im)
{
    const PersistFile *f = &im->file;

    for (uint32_t i = 0; i < f->h->nbranch; i++) {
        const PromoteKept *k = &f->branch[i];
        if (is_of(im, k->pc) && k->n <= PROMOTE_KEPT && k->as <= RETURN_JUMP)
            promote_remember(cpu, k);
    }
}
