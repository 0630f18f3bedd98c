/*
 * Making translations unreachable: because guest code changed, or to evict their part of the cache.
 */
#include "engine/internal.h"

#include "base/hash.h"
#include "base/log.h"
#include "base/safe.h"

void kill_count(Translation *t)
{
    if (t->region && !t->kept)
        atomic_fetch_sub_explicit(&t->region->live, 1, memory_order_relaxed);
}

bool kill_mark(Engine *e, Translation *t)
{
    unsigned live = TRANSLATION_LIVE, parked = TRANSLATION_PARKED;

    if (atomic_compare_exchange_strong(&t->state, &parked, TRANSLATION_DEAD))
        atomic_fetch_sub(&e->parked, 1);
    else if (!atomic_compare_exchange_strong(&t->state, &live, TRANSLATION_DEAD))
        return false;
    kill_count(t);
    return true;
}

/* The calling thread must not wait for its next poll: what it remembers of t goes now. */
static void forget_own(Vcpu *self, Translation *t)
{
    link_drop(self, t->pc);
    self->drop_returns = true;
}

/* No link leads to t or its counter any more. */
static void unlink_locked(Engine *e, Translation *t)
{
    Translation *c = tier_part_locked(t);

    link_unchain(e, t);
    if (c && kill_mark(e, c))
        link_unchain(e, c);
}

/* What vcpus remember for pc is dead, or slower than what there is now: they drop it when they come by, entry by entry. */
void kill_note_replaced_locked(Engine *e, uint64_t pc)
{
    uint64_t seq = atomic_load_explicit(&e->replaced_seq, memory_order_relaxed);

    atomic_store_explicit(&e->replaced[seq % REPLACED], pc, memory_order_relaxed);
    atomic_store(&e->replaced_seq, seq + 1);
}

/* No way leads to t any more but those that vcpus remember, which are told. The same goes for its counter. */
static void detach(Engine *e, Translation *t)
{
    table_remove(&e->table, t);
    unlink_locked(e, t);
    /* Before the epoch moves on: who publishes the later epoch has looked at this after reading it (run_poll). */
    kill_note_replaced_locked(e, t->pc);
    /* Last: who changes the page's code meanwhile finds t there and waits (page_concerns). */
    page_remove_all(e, t);
}

void kill_translation_locked(Engine *e, Translation *t)
{
    Vcpu *self = fault_current();

    detach(e, t);
    if (self && self->e == e)
        forget_own(self, t);
    atomic_fetch_add_explicit(&e->killed, 1, memory_order_relaxed);
    if (!t->hpc)
        grace_retire(e, t);
}

/*
 * Parking. Compilers of managed languages make their code writable, change a little, and make it executable again: what they have
 * not named (ic ivau) in between is the same. Parked translations stay in the table and in the lists of pages, but nobody finds or
 * enters them. Code that was changed and not named is not found either, although the architecture would allow that: many processors
 * show such a change, and programs rely on it without knowing.
 */

/* A sum of the guest code that t was made from; false when it cannot be read. */
static bool code_sum(const Translation *t, uint64_t *sum)
{
    uint8_t buf[1 << GUEST_PAGE_BITS];

    *sum = 0;
    for (unsigned i = 0; i < t->npages; i++) {
        const PageRef *ref = translation_page(t, i);
        unsigned lo = page_ref_lo(ref), hi = page_ref_hi(ref);
        size_t n = hi > lo ? hi - lo : 0;
        if (safe_copy(buf, (const void *)(uintptr_t)((ref->page << GUEST_PAGE_BITS) + lo), n))
            return false;
        *sum = *sum * 31 + hash64(buf, n);
    }
    return true;
}

static void park_locked(Engine *e, Translation *t)
{
    Vcpu *self = fault_current();

    if (!code_sum(t, &t->parked_sum)) {
        kill_mark(e, t);
        kill_translation_locked(e, t);
        return;
    }
    unlink_locked(e, t);
    atomic_store(&t->asked, false);
    if (self && self->e == e)
        forget_own(self, t);
    kill_note_replaced_locked(e, t->pc);
}

/* Whether t's pages can be executed, as those that it was made from could. */
static bool still_right(Vcpu *cpu, const Translation *t)
{
    const EnvOps *env = cpu->e->cfg.env;
    uint64_t sum;
    size_t len;

    for (unsigned i = 0; i < t->npages; i++) {
        uint64_t va = translation_page(t, i)->page << GUEST_PAGE_BITS;
        if (!env->code(cpu, va, &len) || (t->mode && env->guarded && env->guarded(cpu, va) != t->guarded))
            return false;
    }
    return t->npages > 0 && code_sum(t, &sum) && sum == t->parked_sum;
}

Translation *park_revive(Vcpu *cpu, uint64_t pc)
{
    Engine *e = cpu->e;
    unsigned parked = TRANSLATION_PARKED;

    if (atomic_load_explicit(&e->parked, memory_order_relaxed) == 0)
        return NULL;
    pthread_mutex_lock(&e->kill_lock); /* it must not be killed while its pages are looked at */
    Translation *t = table_find_parked(&e->table, pc, cpu->h.ir.mode);
    if (t && (!still_right(cpu, t) || !atomic_compare_exchange_strong(&t->state, &parked, TRANSLATION_LIVE)))
        t = NULL;
    pthread_mutex_unlock(&e->kill_lock);
    if (t) {
        atomic_fetch_sub(&e->parked, 1);
        atomic_fetch_add_explicit(&e->revived, 1, memory_order_relaxed);
    }
    return t;
}

static void kick_others(Engine *e, const Vcpu *self)
{
    pthread_mutex_lock(&e->vcpu_lock);
    for (Vcpu *v = e->vcpus; v; v = v->next) {
        if (v != self)
            engine_kick(v);
    }
    pthread_mutex_unlock(&e->vcpu_lock);
}

void kill_counter_locked(Engine *e, Translation *t)
{
    Translation *c = tier_part_locked(t);

    if (c && kill_mark(e, c))
        link_unchain(e, c);
    kill_note_replaced_locked(e, t->pc);
}

void kill_replaced_locked(Engine *e, Translation *t)
{
    detach(e, t);
    if (!t->hpc)
        grace_retire(e, t);
}

void kill_replaced_finish(Engine *e)
{
    Vcpu *self = fault_current();

    kick_others(e, self);
    if (self && self->e == e)
        link_drop_replaced(self);
}

void kill_finish(Engine *e)
{
    Vcpu *self = fault_current();

    kick_others(e, self);
    if (!self || self->e != e || !self->drop_returns)
        return;
    self->drop_returns = false;
    if (e->plan && e->host->drop_returns)
        e->host->drop_returns(e->plan, &self->h);
    /* Its own jump cache is clean already, but its grace period has to go on. */
    __atomic_store_n(&self->h.exit_request, 1, __ATOMIC_RELAXED);
}

void kill_redo(Vcpu *cpu)
{
    Engine *e = cpu->e;
    uint64_t pc = cpu->redo.pc;
    unsigned forms = cpu->redo.forms;

    cpu->redo.forms = 0;
    careful_add(e, pc, forms); /* already there: this translation was made before it was */
    write_begin(cpu);
    pthread_mutex_lock(&e->kill_lock);
    bool killed = persist_drop_locked(e, pc, cpu->redo.mode, false);
    Translation *t = table_find(&e->table, pc, cpu->redo.mode);
    if (t && kill_mark(e, t)) {
        kill_translation_locked(e, t);
        killed = true;
    }
    pthread_mutex_unlock(&e->kill_lock);
    if (killed)
        kill_finish(e);
    write_end(cpu);
    if (log_on_pc(LOG_LINK, pc))
        log_line("careful 0x%llx: forms 0x%x", (unsigned long long)pc, forms);
}

/* Why translations are to go: what is there changed, is to be made anew in careful forms, cannot be executed any more. */
typedef enum Reason { CODE_CHANGED, CODE_CAREFUL, CODE_PARKED } Reason;

static void invalidate(Engine *e, uint64_t va, uint64_t len, Reason why)
{
    PageWalk walk = page_walk(va, len);
    unsigned n = 0;
    Translation *t;

    walk.park = why == CODE_PARKED;
    if (why == CODE_CHANGED)
        persist_changed(e);
    Vcpu *self = fault_current();
    if (self)
        write_begin(self);
    pthread_mutex_lock(&e->kill_lock);
    if (why != CODE_PARKED)
        n += why == CODE_CHANGED ? persist_invalidate_locked(e, va, len) : persist_drop_page_locked(e, va);
    for (; (t = page_condemn(e, &walk)) != NULL; n++) {
        if (atomic_load(&t->state) == TRANSLATION_PARKED)
            park_locked(e, t);
        else
            kill_translation_locked(e, t);
    }
    pthread_mutex_unlock(&e->kill_lock);
    if (n)
        kill_finish(e);
    else if (self && self->e == e) /* another thread has killed what this one may remember */
        __atomic_store_n(&self->h.exit_request, 1, __ATOMIC_RELAXED);
    if (self)
        write_end(self);
    if (n && log_on_pc(LOG_LINK, va))
        log_line("invalidate 0x%llx..0x%llx: %u translations", (unsigned long long)va, (unsigned long long)(va + len), n);
}

/*
 * A compiler that runs in the guest names all that it writes: mostly code that was never run. Where there is no translation, and
 * no file whose translations might be kept, nothing is locked.
 */
static bool concerns(Engine *e, uint64_t va, uint64_t len)
{
    Vcpu *self = fault_current();

    if (self)
        write_begin(self); /* not during a fork, whose child would find the spin lock of a page taken for ever */
    bool any = page_concerns(e, va, len) || persist_concerns(e, va, len);
    if (self)
        write_end(self);
    return any;
}

void engine_invalidate(Engine *e, uint64_t va, uint64_t len)
{
    if (len == 0)
        return;
    atomic_fetch_add_explicit(&e->invalidations, 1, memory_order_relaxed);
    if (e->cfg.tools)
        e->cfg.tools->ops->unmapped(e->cfg.tools, va, va + len);
    /* The change is visible to who registers a page after this. */
    atomic_thread_fence(memory_order_seq_cst);
    if (!concerns(e, va, len))
        return;
    invalidate(e, va, len, CODE_CHANGED);
}

void engine_park(Engine *e, uint64_t va, uint64_t len)
{
    if (len)
        invalidate(e, va, len, CODE_PARKED);
}

void kill_page(Engine *e, uint64_t va)
{
    invalidate(e, va, 1, CODE_CAREFUL);
}
