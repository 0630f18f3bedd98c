#include "model.h"

#include <string.h>

static bool is_fence(const Event *e)
{
    return !e->read && !e->write;
}

static void edge(Relation r, unsigned a, unsigned b)
{
    r[a] |= (Row)(1u << b);
}

bool model_acyclic(const Relation fixed, const Relation a, const Relation b, unsigned n)
{
    Relation r;

    for (unsigned k = 0; k < n; k++)
        r[k] = fixed[k] | a[k] | b[k];
    for (unsigned k = 0; k < n; k++) {
        if (r[k] >> k & 1)
            return false;
        for (unsigned i = 0; i < n && r[k]; i++) {
            if (r[i] >> k & 1)
                r[i] |= r[k];
        }
    }
    return true;
}

/* --- what program order alone orders ---------------------------------------------------------------------------------- */

/*
 * AArch64: bob, and rmw of aob. (Arm ARM B2.3.6, "Barrier-ordered-before"; "Atomic-ordered-before".) Fences are no events of
 * the order itself: what they order is looked for between a and b.
 */
static bool arm_orders(const Program *p, unsigned a, unsigned b)
{
    const Event *x = &p->e[a], *y = &p->e[b];

    if (y->rmw == (int8_t)a)
        return true;
    if (x->acquire || x->acquire_pc || y->release || (x->release && y->acquire))
        return true;
    /* the write of an atomic operation that both acquires and releases */
    if (x->write && x->rmw >= 0 && x->amo && x->release && p->e[x->rmw].acquire)
        return true;
    for (unsigned k = a + 1; k < b; k++) {
        const Event *f = &p->e[k];
        if (f->full || (f->load_fence && x->read) || (f->store_fence && x->write && y->write))
            return true;
    }
    return false;
}

/* x86-TSO: everything but a read after a write; locked operations and fences order that too. */
static bool x86_orders(const Program *p, unsigned a, unsigned b)
{
    if (!(p->e[a].write && p->e[b].read) || p->e[a].locked || p->e[b].locked)
        return true;
    for (unsigned k = a + 1; k < b; k++) {
        if (p->e[k].locked)
            return true;
    }
    return false;
}

void model_fix(const Program *p, Fixed *f)
{
    memset(f, 0, sizeof *f);
    for (unsigned a = 0; a < p->n; a++) {
        for (unsigned b = a + 1; b < p->n && p->e[b].thread == p->e[a].thread; b++) {
            if (is_fence(&p->e[a]) || is_fence(&p->e[b]))
                continue;
            if (arm_orders(p, a, b))
                edge(f->arm, a, b);
            if (x86_orders(p, a, b))
                edge(f->x86, a, b);
        }
    }
}

/* --- one location of an execution ---------------------------------------------------------------------------------------- */

/* Where in the order of the writes an access stands: 0 is the initial value. */
static unsigned place(const Execution *x, unsigned e)
{
    return x->p->e[e].write ? x->rank[e] + 1u : x->rf[e] < 0 ? 0 : x->rank[x->rf[e]] + 1u;
}

bool model_coherent(const Execution *x, unsigned e)
{
    const Program *p = x->p;

    for (unsigned a = 0; a < e; a++) {
        if (p->e[a].thread != p->e[e].thread || p->e[a].loc != p->e[e].loc || is_fence(&p->e[a]))
            continue;
        unsigned before = place(x, a), after = place(x, e);
        if (p->e[e].write ? before >= after : before > after)
            return false;
    }
    return true;
}

void model_edges(const Execution *x, unsigned loc, Relation arm, Relation x86)
{
    const Program *p = x->p;

    for (unsigned a = 0; a < p->n; a++) {
        const Event *e = &p->e[a];
        if (is_fence(e) || e->loc != loc)
            continue;
        int8_t from = e->read ? x->rf[a] : -1;
        bool inside = from >= 0 && p->e[from].thread == e->thread;
        if (from >= 0 && !inside) {
            edge(arm, (unsigned)from, a);
            edge(x86, (unsigned)from, a);
        }
        /* aob: from the write of a read-modify-write to an acquiring read of it by the same thread */
        if (inside && p->e[from].rmw >= 0 && (e->acquire || e->acquire_pc))
            edge(arm, (unsigned)from, a);
        for (unsigned b = 0; b < p->n; b++) {
            if (a == b || !p->e[b].write || p->e[b].loc != loc || place(x, a) >= x->rank[b] + 1u)
                continue;
            edge(x86, a, b); /* fr or co */
            if (e->thread != p->e[b].thread)
                edge(arm, a, b);
        }
    }
}
