/*
 * How control goes from one translation to the next without the run loop: direct exits are chained by patching, indirect
 * ones go through the vcpu's jump cache, which the lookup routine fills.
 */
#include "engine/internal.h"

#include "base/check.h"
#include "base/log.h"

#include <string.h>

/* After fork a region's sites stay unchained until so many were wanted: most children soon call execve or end. */
#define FROZEN_PATIENCE 64
/*
 * A branch that promotion hears of, which has been missed some dozens of times, counts for so many. A return that is missed
 * makes those of its callers miss too: enough of them, and a watch finds out again what is known (returns.c).
 */
#define WANTS_STUB 16
#define WANTS_RETURN 48
#define MUST UINT32_MAX

static bool exit_wanted(HostCpu *h)
{
    return __atomic_load_n(&h->exit_request, __ATOMIC_RELAXED) != 0;
}

Link *link_find(Engine *e, const void *hpc)
{
    Translation *t = persist_at(e, hpc);
    if (!t)
        t = cache_find(&e->cache, hpc);
    uint32_t lo = 0, hi = t ? t->nlink : 0, off = t ? (uint32_t)((const uint8_t *)hpc - t->hpc) : 0;

    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        if (t->link[mid].site.offset == off)
            return &t->link[mid];
        if (t->link[mid].site.offset < off)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

/* The site whose stub is at hpc; NULL when the code there is not linked any more. */
static Link *find_stub(Engine *e, const void *hpc)
{
    Translation *t = persist_at(e, hpc);
    if (!t)
        t = cache_find(&e->cache, hpc);
    uint32_t off = t ? (uint32_t)((const uint8_t *)hpc - t->hpc) : 0;

    for (uint32_t k = 0; t && k < t->nlink; k++) {
        if (t->link[k].site.stub == off && !t->link[k].site.indirect)
            return &t->link[k];
    }
    return NULL;
}

/* Where the site whose stub is at hpc is to lead: the calling thread is in that code, so it is there. */
static uint64_t stub_target(Engine *e, const void *hpc)
{
    uint64_t target;

    if (persist_target(e, hpc, &target))
        return target;
    Link *l = find_stub(e, hpc);
    CHECK(l != NULL);
    return l->site.target;
}

/* Whether to->incoming no longer has the site. Who kills `to` comes by afterwards, under the region's lock, if it still has. */
static bool is_unchained(Link *l, Translation *to)
{
    return translation_dead(to) || (!l->site.indirect && atomic_load(&l->to) != to);
}

/* Let a site lead to `to`, NULL: to its own stub, in memory of this process alone. `want`: how much it is wanted; MUST: even if that means copying the region. */
static bool patch(Engine *e, Link *l, Translation *to, unsigned want)
{
    CacheRegion *r = l->from->region;
    bool ok = true;

    pthread_mutex_lock(&r->lock);
    if (to && is_unchained(l, to)) {
        ok = false;
    } else if (atomic_load_explicit(&r->frozen, memory_order_relaxed)) {
        ok = (want == MUST || (r->wanted += want) > FROZEN_PATIENCE) && cache_writable_locked(r);
        if (ok)
            atomic_fetch_add_explicit(&e->unshared, 1, memory_order_relaxed);
        CHECK(ok || want != MUST);
    }
    if (ok)
        e->host->patch(&l->site, l->from->rw, l->from->hpc - l->from->rw, to ? to->hpc : NULL);
    pthread_mutex_unlock(&r->lock);
    return ok;
}

bool link_point(Engine *e, Link *l, Translation *to)
{
    return patch(e, l, to, l->site.indirect == HOST_SITE_RETURN ? WANTS_RETURN : WANTS_STUB);
}

static void link_to(Vcpu *cpu, Link *l, Translation *to)
{
    Translation *none = NULL;

    spin_lock(&to->lock);
    bool first = !translation_dead(to) && atomic_compare_exchange_strong(&l->to, &none, to);
    if (first) {
        l->prev = NULL;
        l->next = to->incoming;
        if (l->next)
            l->next->prev = l;
        to->incoming = l;
    }
    if (first || none == to) { /* again: the region was frozen when it was wanted before */
        spin_unlock(&to->lock);
        if (patch(cpu->e, l, to, 1)) /* outside the spin lock: it may take long */
            cpu->stats.links++;
        return;
    }
    spin_unlock(&to->lock);
}

const void *link_chain(HostCpu *h)
{
    Vcpu *cpu = (Vcpu *)h;
    Engine *e = cpu->e;
    const void *stub = (const void *)(uintptr_t)h->link_site;
    Translated why;

    h->ir.pc = stub_target(e, stub);
    if (e->cfg.no_chain || exit_wanted(h))
        return NULL;
    Translation *t = translate_get(cpu, h->ir.pc, &why);
    if (!t || !t->hpc)
        return NULL;
    Translation *to = t;
    write_begin(cpu);
    Link *l = find_stub(e, stub);
    if (l && (l->site.hot || l->from->graph))
        to = tier_entry(cpu, t);
    if (l && to && l->site.target == t->pc)
        link_to(cpu, l, to);
    write_end(cpu);
    if (log_on_pc(LOG_LINK, t->pc))
        log_line("link stub %p -> 0x%llx", stub, (unsigned long long)t->pc);
    return to ? to->hpc : t->hpc;
}

const void *link_lookup(HostCpu *h)
{
    Vcpu *cpu = (Vcpu *)h;
    Translated why;

    if (cpu->e->cfg.no_chain || exit_wanted(h))
        return NULL;
    cpu->stats.lookups++;
    untag_pc(cpu);
    Translation *t = table_find(&cpu->e->table, h->ir.pc, h->ir.mode);
    const void *hpc = t ? t->hpc : persist_code(cpu, h->ir.pc);
    if (!hpc) {
        t = translate_get(cpu, h->ir.pc, &why);
        hpc = t ? t->hpc : NULL;
    }
    if (!hpc)
        return NULL;
    if (t) { /* what comes from a file is not counted here: its loops and calls are, in link_chain */
        write_begin(cpu);
        Translation *to = tier_entry(cpu, t);
        write_end(cpu);
        if (!to)
            return hpc;
        hpc = to->hpc;
    }
    unsigned shift = cpu->e->cfg.guest->pc_shift;
    HostJump j = {h->ir.pc, hpc};
    h->jcache[host_jcache_index(j.pc, shift)] = j;
    h->jcache2[host_jcache2_index(j.pc, shift)] = j;
    return hpc;
}

void link_unchain(Engine *e, Translation *t)
{
    spin_lock(&t->lock);
    Link *l = t->incoming;
    t->incoming = NULL;
    spin_unlock(&t->lock);
    while (l) {
        Link *next = l->next;
        patch(e, l, NULL, MUST);
        /* Only now may the site be given another target. */
        l->next = l->prev = NULL;
        atomic_store(&l->to, NULL);
        l = next;
    }
}

void link_forget(Engine *e, Translation *t)
{
    for (uint32_t i = 0; i < t->nlink; i++) {
        Link *l = &t->link[i];
        if (l->site.indirect) {
            promote_forget(e, l);
            continue;
        }
        Translation *to = atomic_load(&l->to);

        if (!to)
            continue;
        spin_lock(&to->lock);
        if (l->prev)
            l->prev->next = l->next;
        else
            to->incoming = l->next;
        if (l->next)
            l->next->prev = l->prev;
        spin_unlock(&to->lock);
    }
}

void link_drop(Vcpu *cpu, uint64_t pc)
{
    unsigned shift = cpu->e->cfg.guest->pc_shift, i = host_jcache_index(pc, shift), k = host_jcache2_index(pc, shift);

    if (cpu->h.jcache[i].pc == pc)
        cpu->h.jcache[i].pc = jump_empty(i, shift);
    if (cpu->h.jcache2[k].pc == pc)
        cpu->h.jcache2[k].pc = jump_empty(k, shift);
}

void link_drop_code(Vcpu *cpu, const void *hpc, size_t size)
{
    for (unsigned i = 0; i < 1u << HOST_JCACHE_BITS; i++) {
        HostJump *both[] = {&cpu->h.jcache[i], &cpu->h.jcache2[i]};
        for (unsigned k = 0; k < 2; k++) {
            if ((uintptr_t)both[k]->hpc - (uintptr_t)hpc < size)
                both[k]->pc = jump_empty(i, cpu->e->cfg.guest->pc_shift);
        }
    }
}

void link_drop_replaced(Vcpu *cpu)
{
    Engine *e = cpu->e;
    uint64_t seq = atomic_load(&e->replaced_seq);
    bool missed = seq - cpu->replaced_seen > REPLACED;

    for (uint64_t k = missed ? seq : cpu->replaced_seen; k < seq; k++)
        link_drop(cpu, atomic_load_explicit(&e->replaced[k % REPLACED], memory_order_relaxed));
    /* Entries may have been written over while they were read. */
    if (missed || atomic_load(&e->replaced_seq) - cpu->replaced_seen > REPLACED)
        link_flush(cpu);
    cpu->replaced_seen = seq;
}

void link_init(Vcpu *cpu)
{
    /* No pc but 0, whose entry is the first, is in an entry of zeros. */
    cpu->h.jcache[0].pc = cpu->h.jcache2[0].pc = jump_empty(0, cpu->e->cfg.guest->pc_shift);
    if (cpu->e->plan && cpu->e->host->drop_returns)
        cpu->e->host->drop_returns(cpu->e->plan, &cpu->h);
}

void link_flush(Vcpu *cpu)
{
    memset(cpu->h.jcache, 0, sizeof cpu->h.jcache);
    memset(cpu->h.jcache2, 0, sizeof cpu->h.jcache2);
    link_init(cpu);
}
