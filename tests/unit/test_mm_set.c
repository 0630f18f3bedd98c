/* The set of address ranges against a plain array of pages. */
#include "test.h"

#include "user/mm_set.h"

#include <stdlib.h>
#include <string.h>

enum { PAGES = 64 };

typedef struct Model {
    uint32_t prot[PAGES], kind[PAGES];
    bool used[PAGES];
} Model;

static bool agrees(const MmSet *s, const Model *m)
{
    uint64_t last = 0;
    size_t i = 0;
    for (size_t k = 0; k < s->n; k++) {
        const MmRange *r = &s->r[k];
        if (r->start < last || r->end <= r->start)
            return false;
        last = r->end;
        for (; i < r->start / MM_PAGE; i++)
            if (m->used[i])
                return false;
        for (; i < r->end / MM_PAGE; i++)
            if (!m->used[i] || m->prot[i] != r->prot || m->kind[i] != r->kind)
                return false;
        if (k > 0 && s->r[k - 1].end == r->start && s->r[k - 1].prot == r->prot && s->r[k - 1].kind == r->kind &&
            r->kind != MM_SHM)
            return false; /* not merged */
    }
    for (; i < PAGES; i++)
        if (m->used[i])
            return false;
    return true;
}

static bool model_covers(const Model *m, unsigned a, unsigned b, bool want)
{
    for (unsigned i = a; i < b; i++)
        if (m->used[i] != want)
            return false;
    return true;
}

static uint64_t model_free(const Model *m, unsigned low, unsigned high, unsigned len)
{
    for (int at = (int)high - (int)len; at >= (int)low; at--)
        if (model_covers(m, (unsigned)at, (unsigned)at + len, false))
            return (uint64_t)at * MM_PAGE;
    return 0;
}

static bool step(MmSet *s, Model *m)
{
    unsigned a = (unsigned)rand() % PAGES, b = a + 1 + (unsigned)rand() % (PAGES - a);
    uint32_t prot = (uint32_t)rand() % 3, kind = (uint32_t)rand() % 2;
    uint64_t start = (uint64_t)a * MM_PAGE, end = (uint64_t)b * MM_PAGE;
    switch (rand() % 4) {
    case 0:
        mmset_insert(s, start, end, prot, kind);
        for (unsigned i = a; i < b; i++)
            m->used[i] = true, m->prot[i] = prot, m->kind[i] = kind;
        break;
    case 1:
        mmset_remove(s, start, end);
        for (unsigned i = a; i < b; i++)
            m->used[i] = false;
        break;
    case 2:
        mmset_set_prot(s, start, end, prot);
        for (unsigned i = a; i < b; i++)
            m->prot[i] = prot;
        break;
    default:
        if (mmset_covers(s, start, end) != model_covers(m, a, b, true) ||
            mmset_is_free(s, start, end) != model_covers(m, a, b, false))
            return false;
        if (mmset_find_free(s, MM_PAGE, end, MM_PAGE * 3) != model_free(m, 1, b, 3))
            return false;
    }
    return agrees(s, m);
}

int main(void)
{
    TEST_BEGIN();
    MmSet s = { 0 };
    Model m;
    memset(&m, 0, sizeof m);
    srand(1);
    bool good = true;
    for (int i = 0; good && i < 100000; i++)
        good = step(&s, &m);
    TEST("random operations agree with the model", good);
    mmset_done(&s);
    mmset_insert(&s, 0, 2 * MM_PAGE, 1, MM_SHM);
    mmset_insert(&s, 2 * MM_PAGE, 4 * MM_PAGE, 1, MM_SHM);
    TEST("shared segments stay apart", s.n == 2);
    mmset_done(&s);
    return TEST_END();
}
