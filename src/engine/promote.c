/*
 * Promotion stubs: making, replacing and freeing them. What is promoted is promote_policy.c's affair.
 *
 * A stub is a Translation of a cell of its own (cells.h), in no table: its sites are chained, unchained and found like any
 * others. It is what the site of an indirect branch is linked to (Link.to), and belongs to it alone. The branch's translation
 * may be one of several of the same guest code: the record of the policy is the guest branch's, and each site gets a stub made from
 * it when an event of its own shows that it has none, or one that is out of date.
 *
 * promote_lock covers the records and the sites' stubs. Events are rare: one in `miss` misses at the most. An old stub is
 * retired like a translation (grace.c), for other threads may be in it.
 */
#include "engine/internal.h"

#include "base/check.h"
#include "base/log.h"
#include "base/os.h"

#include <stdlib.h>
#include <string.h>

/*
 * Until the policy hears of a branch for the first time it is missed so many times more: a short program has many branches that
 * run a few thousand times, and stubs for all of them would cost it more than they bring. (python3 -c pass: 66.9 ms with 1,
 * 49.5 with 128, 43.6 without promotion.) Not later than tier 2 asks for a hot branch's target.
 */
#define FIRST 128u
#define SETS 2048u
#define WAYS 4u

_Static_assert(PROMOTE_SLOTS_MAX == HOST_PROMOTE_MAX, "as many slots as a stub may have");
_Static_assert(PROMOTE_ROW == HOST_PROMOTE_ROW, "and as many while they are learnt");

typedef struct Promote {
    atomic_bool returns;            /* some record is of a return */
    _Atomic uint8_t used[SETS];     /* so many of its ways; without the lock: 0, as most look-ups, by all that is translated, find */
    uint16_t at[SETS][WAYS];        /* the record's number; they are taken from the front, for each page that is touched costs more than a look */
    unsigned n;
    uint64_t uses;
    size_t bytes;                   /* of a record, which is a PromoteSite and its room */
    uint8_t *record;                /* SETS * WAYS of them */
} Promote;

void promote_init(Engine *e)
{
    pthread_mutex_init(&e->promote_lock, NULL);
    if (e->cfg.promote.slots) {
        Promote *p = e->promote = os_alloc(sizeof *p);
        CHECK(p != NULL);
        p->bytes = sizeof(PromoteSite) + promote_site_room(&e->cfg.promote);
        p->record = os_alloc(SETS * WAYS * p->bytes);
        CHECK(p->record != NULL);
    }
}

void promote_done(Engine *e)
{
    if (e->promote) {
        os_free(e->promote->record, SETS * WAYS * e->promote->bytes);
        os_free(e->promote, sizeof *e->promote);
    }
    pthread_mutex_destroy(&e->promote_lock);
}

void promote_vcpu_init(Vcpu *cpu)
{
    for (unsigned i = 0; i < 1u << HOST_MISS_BITS; i++)
        cpu->h.miss[i] = cpu->e->cfg.promote.miss * FIRST;
}

/* The set of records among which that of the branch at pc is. */
static unsigned set_of(const Engine *e, uint64_t pc)
{
    uint64_t k = pc >> e->cfg.guest->pc_shift;

    return (k ^ k >> 11) % SETS;
}

/* Whether there may be a record of it: without the lock, which a look-up costs otherwise. */
static bool may_be_known(const Engine *e, uint64_t pc)
{
    return atomic_load_explicit(&e->promote->used[set_of(e, pc)], memory_order_relaxed) > 0;
}

static PromoteSite *record(const Promote *p, unsigned i)
{
    return (PromoteSite *)(void *)(p->record + i * p->bytes);
}

static PromoteSite *site_find_locked(Engine *e, uint64_t pc)
{
    Promote *p = e->promote;
    unsigned set = set_of(e, pc);

    for (unsigned i = 0; i < p->used[set]; i++)
        if (record(p, p->at[set][i])->pc == pc)
            return record(p, p->at[set][i]);
    return NULL;
}

/* Where in the set there is room. */
static unsigned oldest_way_locked(Promote *p, unsigned set)
{
    unsigned old = 0;

    if (p->used[set] < WAYS) {
        p->at[set][p->used[set]] = (uint16_t)p->n++;
        return p->used[set]++;
    }
    for (unsigned i = 1; i < WAYS; i++)
        if (record(p, p->at[set][i])->last_use < record(p, p->at[set][old])->last_use)
            old = i;
    return old;
}

/* The record of the branch at pc, a new one if need be: that which was used longest ago makes room. */
static PromoteSite *site_get_locked(Engine *e, uint64_t pc)
{
    PromoteSite *s = site_find_locked(e, pc);

    if (!s) {
        unsigned set = set_of(e, pc), way = oldest_way_locked(e->promote, set);
        s = record(e->promote, e->promote->at[set][way]);
        promote_site_init(s, &e->cfg.promote, pc, s + 1);
    }
    s->last_use = ++e->promote->uses;
    return s;
}

bool promote_known(Engine *e, uint64_t pc, uint64_t *target)
{
    if (!e->promote)
        return false;
    pthread_mutex_lock(&e->promote_lock);
    PromoteSite *s = site_find_locked(e, pc);
    bool known = s && promote_tell(s, target);
    pthread_mutex_unlock(&e->promote_lock);
    return known;
}

PromoteLead promote_trail(Engine *e, uint64_t pc, uint64_t to)
{
    pthread_mutex_lock(&e->promote_lock);
    PromoteSite *s = site_find_locked(e, pc);
    PromoteLead lead = s ? promote_lead(s, to) : LEAD_END;
    pthread_mutex_unlock(&e->promote_lock);
    return lead;
}

/*
 * Where the general lookup is cheap, as without hardening, the way over a site to the lookup costs more than what stubs
 * save on branches that no target dominates: a jump, and a line of the instruction cache. (sqlite3: 9 %.) So a jump has
 * a site only when its branch is worth one. Without, its misses, which are all executions, are counted nonetheless.
 */
static bool wants_site(const Engine *e, const PromoteSite *s)
{
    return e->cfg.harden != HARDEN_OFF || (s && promote_worth(s));
}

static IrHint return_hint(const Engine *e, const PromoteSite *s)
{
    if (!s || !e->cfg.ret_predict || s->as == RETURN_PAIRED)
        return IR_HINT_RET;
    return s->as == RETURN_JUMP ? IR_HINT_JUMP : IR_HINT_STRAY;
}

static void choose(Engine *e, const IrRegion *r, IrInsn *i)
{
    if (i->op != IR_EXIT_IND || (i->aux != IR_HINT_JUMP && i->aux != IR_HINT_RET))
        return;
    uint64_t pc = r->snap[i->snap].pc;
    bool known = may_be_known(e, pc);
    if (known)
        pthread_mutex_lock(&e->promote_lock);
    const PromoteSite *s = known ? site_find_locked(e, pc) : NULL;
    if (i->aux == IR_HINT_RET)
        i->aux = (uint8_t)return_hint(e, s);
    if (i->aux == IR_HINT_JUMP && !wants_site(e, s))
        i->aux = IR_HINT_MANY;
    if (known)
        pthread_mutex_unlock(&e->promote_lock);
}

static bool any_return(const Engine *e)
{
    return e->promote && atomic_load_explicit(&e->promote->returns, memory_order_relaxed);
}

IrHint promote_return_hint(Engine *e, uint64_t pc)
{
    if (!any_return(e))
        return IR_HINT_RET;
    pthread_mutex_lock(&e->promote_lock);
    IrHint hint = return_hint(e, site_find_locked(e, pc));
    pthread_mutex_unlock(&e->promote_lock);
    return hint;
}

void promote_choose(Engine *e, IrRegion *r)
{
    if (!e->promote || (e->cfg.harden != HARDEN_OFF && !any_return(e)))
        return;
    for (uint32_t b = 0; b < r->nblock; b++)
        if (r->block[b].last)
            choose(e, r, ir_insn(r, r->block[b].last));
}

/* --- stubs ---------------------------------------------------------------------------------------------------------- */

/* A site of a return in front of the host's own. */
static bool returns_paired(const Engine *e, const Link *l)
{
    return l->site.indirect == HOST_SITE_RETURN && e->cfg.ret_predict;
}

/* Whether t's trail goes on in the target behind a comparison of its own. */
static bool is_led(const Translation *t, uint64_t pc, uint64_t target)
{
    for (unsigned i = 0; t->met && i < t->met->nled; i++)
        if (t->met->led[i] == pc && t->met->led_to[i] == target)
            return true;
    return false;
}

/* What the site's stub is to compare with, by slot; returns how many. */
static unsigned stub_slots(const Link *l, const PromoteSite *s, unsigned slot[PROMOTE_SLOTS_MAX])
{
    unsigned n = 0;

    for (unsigned k = 0; k < s->n; k++)
        if (!is_led(l->from, s->pc, s->slot[k].target))
            slot[n++] = k;
    return n;
}

/* Few branches have many targets. */
static bool cell_for(Engine *e, unsigned n, CodeBuf *cb)
{
    unsigned most = e->cfg.promote.slots, few = most < PROMOTE_ROW ? most : PROMOTE_ROW;

    return n <= few ? cells_get(e, CELL_SHORT, HOST_PROMOTE_BYTES(few), cb) : cells_get(e, CELL_LONG, HOST_PROMOTE_BYTES(most), cb);
}

/* NULL: nothing is worth one, or there is no room. */
static Translation *stub_new(Engine *e, const Link *l, PromoteSite *s)
{
    HostSite site[HOST_PROMOTE_MAX];
    uint64_t target[HOST_PROMOTE_MAX], *hits[HOST_PROMOTE_MAX + 1];
    unsigned slot[PROMOTE_SLOTS_MAX], n = stub_slots(l, s, slot);
    HostPromotion what = {.pc = s->pc, .target = target, .n = n, .site = l->from->hpc + l->site.offset,
                          .lookup = l->from->hpc + l->site.stub, .hits = e->cfg.count_branches ? hits : NULL,
                          .counts = s->state != PROMOTE_SETTLED, .pops = returns_paired(e, l)};
    CodeBuf cb;

    if (!n || !cell_for(e, n, &cb))
        return NULL;
    for (unsigned k = 0; k < n; k++) {
        target[k] = s->slot[slot[k]].target;
        hits[k] = &s->hits[slot[k]];
    }
    hits[n] = &s->none;
    bool ok = e->host->promotion(e->plan, &cb, &what, site);
    CHECK(ok);
    Translation *t = translation_new(e, s->pc, l->from->mode);
    t->nlink = n;
    translation_links(e, t);
    for (unsigned k = 0; k < n; k++)
        t->link[k] = (Link){.from = t, .site = site[k]};
    t->rw = cb.start;
    t->hpc = cb.start + cb.delta;
    t->size = t->insns = (uint32_t)(cb.p - cb.start);
    t->promotion = s->changes + 1;
    atomic_store(&t->state, TRANSLATION_LIVE);
    cells_commit(e, &cb, t);
    return t;
}

/* Whether the site does not lead to a stub of what is promoted now. */
static bool is_stale(const Link *l, const PromoteSite *s)
{
    const Translation *stub = atomic_load(&l->to);
    unsigned slot[PROMOTE_SLOTS_MAX];

    return stub ? stub->promotion != s->changes + 1 : stub_slots(l, s, slot) > 0;
}

/* Lead the site to a stub of what is promoted now, or back to its lookup. */
static void renew_locked(Engine *e, Link *l, PromoteSite *s)
{
    Translation *old = atomic_load(&l->to), *t = stub_new(e, l, s);

    if (!link_point(e, l, t)) { /* a child of fork that may soon be another program */
        if (t)
            promote_stub_free(e, t);
        return;
    }
    s->rebuilds += t != NULL;
    atomic_store(&l->to, t);
    if (old)
        grace_retire(e, old);
}

/* Whether the branch's translation meets its target itself: what comes to its site is rare, and shows when it is not. */
static bool is_told(const Translation *t, const PromoteSite *s)
{
    for (unsigned i = 0; t->met && i < t->met->n; i++)
        if (t->met->pc[i] == s->pc)
            return true;
    return false;
}

/* Whether it compares with targets from the branch's table. */
static bool is_split(const Translation *t, const PromoteSite *s)
{
    for (unsigned i = 0; t->met && i < t->met->ntables; i++)
        if (t->met->table[i] == s->pc)
            return true;
    return false;
}

void promote_attach(Engine *e, Translation *t)
{
    for (uint32_t i = 0; e->promote && i < t->nlink; i++) {
        const HostSite *site = &t->link[i].site;
        if (!site->indirect || !may_be_known(e, site->target))
            continue;
        pthread_mutex_lock(&e->promote_lock);
        PromoteSite *s = site_find_locked(e, site->target);
        if (s && is_told(t, s))
            s->met = true;
        else if (s && site->indirect != HOST_SITE_PLAIN && is_stale(&t->link[i], s))
            renew_locked(e, &t->link[i], s);
        pthread_mutex_unlock(&e->promote_lock);
    }
}

void promote_stub_free(Engine *e, Translation *t)
{
    link_forget(e, t);
    cells_put(e, t->hpc);
    translation_free(&e->cache.pool, t);
}

void promote_forget(Engine *e, Link *l)
{
    Translation *t = atomic_load(&l->to);

    if (t)
        promote_stub_free(e, t);
}

/* --- events --------------------------------------------------------------------------------------------------------- */

static void log_event(const PromoteSite *s, uint64_t target)
{
    char text[24 * PROMOTE_SLOTS_MAX + 1] = "";

    for (unsigned k = 0, at = 0; k < s->n; k++)
        at += (unsigned)snprintf(text + at, sizeof text - at, " 0x%llx", (unsigned long long)s->slot[k].target);
    log_line("branch 0x%llx to 0x%llx: %s:%s", (unsigned long long)s->pc, (unsigned long long)target, promote_state_name(s), text);
}

/* The translation is to be made anew, a graph when it is hot again. */
static void drop(Engine *e, Translation *t)
{
    pthread_mutex_lock(&e->kill_lock);
    bool ok = t->kept ? persist_drop_locked(e, t->pc, t->mode, true) : kill_mark(e, t);
    if (ok && !t->kept)
        kill_replaced_locked(e, t);
    pthread_mutex_unlock(&e->kill_lock);
    if (ok)
        kill_replaced_finish(e);
}

/* Whether tier 2 has had its say about t; until then what it is going to make again has time. */
static bool is_final(const Engine *e, Translation *t)
{
    return t->graph || atomic_load(&t->refused) || e->cfg.tier2 <= 1;
}

/* Whether a jump has a site and should not, or the other way round. */
static bool is_wrong(const Engine *e, const Link *l, PromoteSite *s)
{
    if (l->site.indirect == HOST_SITE_RETURN)
        return e->cfg.ret_predict && (promote_pairs(s) || s->as != RETURN_SITE);
    if (l->site.indirect == HOST_SITE_CALL || !is_final(e, l->from))
        return false;
    return l->site.indirect == HOST_SITE_PLAIN ? wants_site(e, s) : s->state == PROMOTE_SETTLED && !wants_site(e, s);
}

static void event(Vcpu *cpu, Link *l, uint64_t target)
{
    Engine *e = cpu->e;
    uint64_t now = os_now_ns();
    bool anew = false;

    pthread_mutex_lock(&e->promote_lock);
    PromoteSite *s = site_get_locked(e, l->site.target);
    s->call = l->site.indirect == HOST_SITE_CALL;
    s->plain = l->site.indirect == HOST_SITE_PLAIN;
    if (l->site.indirect == HOST_SITE_RETURN && !s->ret) { /* in kept code */
        s->ret = true;
        s->as = RETURN_SITE;
        atomic_store_explicit(&e->promote->returns, true, memory_order_relaxed);
    }
    bool told = is_told(l->from, s);
    promote_event(s, &e->cfg.promote, target, now);
    if (told)
        anew = promote_stray(s, target, now);
    else if (is_split(l->from, s))
        anew = promote_widen(s, now);
    else
        anew = is_wrong(e, l, s) || (e->cfg.tier2 > 1 && is_final(e, l->from) && promote_resumes(s));
    cpu->h.miss[host_miss_index(s->pc, e->cfg.guest->pc_shift)] = told ? e->cfg.promote.miss : s->period;
    if (!told && l->site.indirect != HOST_SITE_PLAIN && is_stale(l, s))
        renew_locked(e, l, s);
    if (log_on_pc(LOG_LINK, s->pc))
        log_event(s, target);
    s->stray_ns = os_now_ns(); /* without what this has taken */
    pthread_mutex_unlock(&e->promote_lock);
    if (anew)
        drop(e, l->from);
}

const void *promote_miss(HostCpu *h)
{
    Vcpu *cpu = (Vcpu *)h;

    untag_pc(cpu);
    write_begin(cpu);
    Link *l = link_find(cpu->e, (const void *)(uintptr_t)h->link_site);
    if (l && l->site.indirect)
        event(cpu, l, h->ir.pc);
    const void *ret = l && returns_paired(cpu->e, l) ? l->from->hpc + l->site.stub : NULL;
    write_end(cpu);
    const void *hpc = link_lookup(h);
    return hpc && ret ? ret : hpc; /* the return stack still has the call */
}

bool promote_return(Vcpu *cpu, uint64_t pc, const PromoteWatched *seen)
{
    Engine *e = cpu->e;

    pthread_mutex_lock(&e->promote_lock);
    PromoteSite *s = promote_is_loose(seen) ? site_get_locked(e, pc) : site_find_locked(e, pc);
    bool anew = s && promote_watched(s, &e->cfg.promote, seen);
    if (anew) {
        atomic_store_explicit(&e->promote->returns, true, memory_order_relaxed);
        cpu->h.miss[host_miss_index(pc, e->cfg.guest->pc_shift)] = s->period;
    }
    pthread_mutex_unlock(&e->promote_lock);
    if (anew) {
        persist_learnt(e, pc);
        kill_page(e, pc);
    }
    if (anew && log_on_pc(LOG_LINK, pc))
        log_line("return 0x%llx: %u paired, %u loose, %u left", (unsigned long long)pc, seen->paired, seen->loose, seen->left);
    return anew;
}

void promote_remember(Vcpu *cpu, const PromoteKept *k)
{
    Engine *e = cpu->e;

    if (!e->promote)
        return;
    pthread_mutex_lock(&e->promote_lock);
    if (!site_find_locked(e, k->pc))
        promote_restore(site_get_locked(e, k->pc), k);
    if (k->as != RETURN_PAIRED)
        atomic_store_explicit(&e->promote->returns, true, memory_order_relaxed);
    if (k->as == RETURN_SITE) /* kept code has a site, and each miss there is dear */
        cpu->h.miss[host_miss_index(k->pc, e->cfg.guest->pc_shift)] = e->cfg.promote.miss;
    pthread_mutex_unlock(&e->promote_lock);
}

void promote_each(Engine *e, void (*fn)(void *ctx, const PromoteSite *s), void *ctx)
{
    pthread_mutex_lock(&e->promote_lock);
    for (unsigned i = 0; e->promote && i < e->promote->n; i++)
        fn(ctx, record(e->promote, i));
    pthread_mutex_unlock(&e->promote_lock);
}
