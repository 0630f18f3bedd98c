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

static bool acyclic(const Relation given, unsigned n)
{
    Relation r;

    memcpy(r, given, sizeof r);
    for (unsigned k = 0; k < n; k++) {
        for (unsigned i = 0; i < n; i++) {
            if (r[i] >> k & 1)
                r[i] |= r[k];
        }
    }
    for (unsigned i = 0; i < n; i++) {
        if (r[i] >> i & 1)
            return false;
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
            edge(f->po, a, b);
            if (arm_orders(p, a, b))
                edge(f->arm, a, b);
            if (x86_orders(p, a, b))
                edge(f->x86, a, b);
        }
    }
}

/* --- one execution ------------------------------------------------------------------------------------------------------ */

enum { INTERNAL = 1, EXTERNAL = 2 };

static bool wanted(const Program *p, unsigned a, unsigned b, unsigned which)
{
    return (p->e[a].thread == p->e[b].thread ? INTERNAL : EXTERNAL) & which;
}

/* Add rf (of kinds `rf`), and fr and co (of kinds `other`). */
static void communications(const Execution *x, unsigned rf, unsigned other, Relation r)
{
    const Program *p = x->p;

    for (unsigned a = 0; a < p->n; a++) {
        for (unsigned b = 0; b < p->n; b++) {
            const Event *e = &p->e[a], *w = &p->e[b];
            if (a == b || !w->write || is_fence(e) || e->loc != w->loc)
                continue;
            if (e->read && x->rf[a] == (int8_t)b && wanted(p, a, b, rf))
                edge(r, b, a);
            if (e->read && (x->rf[a] < 0 || x->rank[x->rf[a]] < x->rank[b]) && wanted(p, a, b, other))
                edge(r, a, b);
            if (e->write && x->rank[a] < x->rank[b] && wanted(p, a, b, other))
                edge(r, a, b);
        }
    }
}

/* Whether each read-modify-write's write comes right behind what its read read. */
static bool atomic(const Execution *x)
{
    for (unsigned b = 0; b < x->p->n; b++) {
        int8_t a = x->p->e[b].rmw;
        if (a < 0)
            continue;
        uint8_t from = x->rf[a] < 0 ? 0 : (uint8_t)(x->rank[x->rf[a]] + 1);
        if (x->rank[b] != from)
            return false;
    }
    return true;
}

bool model_coherent(const Execution *x, const Fixed *f)
{
    Relation r = {0};

    if (!atomic(x))
        return false;
    for (unsigned a = 0; a < x->p->n; a++) {
        for (unsigned b = 0; b < x->p->n; b++) {
            if ((f->po[a] >> b & 1) && x->p->e[a].loc == x->p->e[b].loc)
                edge(r, a, b);
        }
    }
    communications(x, INTERNAL | EXTERNAL, INTERNAL | EXTERNAL, r);
    return acyclic(r, x->p->n);
}

bool model_arm(const Execution *x, const Fixed *f)
{
    const Program *p = x->p;
    Relation r;

    memcpy(r, f->arm, sizeof r);
    communications(x, EXTERNAL, EXTERNAL, r);
    /* aob: from the write of a read-modify-write to an acquiring read of it by the same thread */
    for (unsigned a = 0; a < p->n; a++) {
        int8_t w = p->e[a].read ? x->rf[a] : -1;
        if (w >= 0 && p->e[w].rmw >= 0 && p->e[w].thread == p->e[a].thread && (p->e[a].acquire || p->e[a].acquire_pc))
            edge(r, (unsigned)w, a);
    }
    return acyclic(r, p->n);
}

bool model_x86(const Execution *x, const Fixed *f)
{
    Relation r;

    memcpy(r, f->x86, sizeof r);
    communications(x, EXTERNAL, INTERNAL | EXTERNAL, r);
    return acyclic(r, x->p->n);
}
