/*
 * Making translations unreachable: because guest code changed, or to evict their part of the cache.
 */
#include "engine/internal.h"

#include "base/log.h"

bool kill_mark(Translation *t)
{
    unsigned live = TRANSLATION_LIVE;

    return atomic_compare_exchange_strong(&t->state, &live, TRANSLATION_DEAD);
}

/* The calling thread must not wait for its next poll: what it remembers of t goes now. */
static void forget_own(Vcpu *self, Translation *t)
{
    link_drop(self, t->pc);
    self->drop_returns = true;
}

/* No way leads to t any more but those that vcpus remember. The same goes for its counter. */
static void detach(Engine *e, Translation *t)
{
    Translation *c = tier_part_locked(t);

    table_remove(&e->table, t);
    link_unchain(e, t);
    page_remove_all(e, t);
    if (c && kill_mark(c))
        link_unchain(e, c);
}

void kill_translation_locked(Engine *e, Translation *t)
{
    Vcpu *self = fault_current();

    detach(e, t);
    if (self && self->e == e)
        forget_own(self, t);
    atomic_fetch_add_explicit(&e->killed, 1, memory_order_relaxed);
    /* Before the epoch moves on: who publishes the later epoch has looked at this after reading it (run_poll). */
    atomic_fetch_add(&e->flush_seq, 1);
    if (!t->hpc)
        grace_retire(e, t);
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

/* What vcpus remember for pc is only slower than what there is now: they drop it when they come by, entry by entry. */
void kill_note_replaced_locked(Engine *e, uint64_t pc)
{
    uint64_t seq = atomic_load_explicit(&e->replaced_seq, memory_order_relaxed);

    atomic_store_explicit(&e->replaced[seq % REPLACED], pc, memory_order_relaxed);
    atomic_store(&e->replaced_seq, seq + 1);
}

void kill_counter_locked(Engine *e, Translation *t)
{
    Translation *c = tier_part_locked(t);

    if (c && kill_mark(c))
        link_unchain(e, c);
    kill_note_replaced_locked(e, t->pc);
}

void kill_replaced_locked(Engine *e, Translation *t)
{
    detach(e, t);
    kill_note_replaced_locked(e, t->pc);
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
    if (t && kill_mark(t)) {
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

/* Translations of [va, va + len) are killed: because what is there changed, or to be made anew in careful forms. */
static void invalidate(Engine *e, uint64_t va, uint64_t len, bool changed)
{
    uint64_t first = va >> GUEST_PAGE_BITS, last = (va + len - 1) >> GUEST_PAGE_BITS;
    unsigned n = 0;
    Translation *t;

    if (changed)
        persist_changed(e);
    Vcpu *self = fault_current();
    if (self)
        write_begin(self);
    pthread_mutex_lock(&e->kill_lock);
    n += changed ? persist_invalidate_locked(e, va, len) : persist_drop_page_locked(e, va);
    while ((t = page_condemn(e, first, last)) != NULL) {
        kill_translation_locked(e, t);
        n++;
    }
    pthread_mutex_unlock(&e->kill_lock);
    if (n)
        kill_finish(e);
    if (self)
        write_end(self);
    if (n && log_on_pc(LOG_LINK, va))
        log_line("invalidate 0x%llx..0x%llx: %u translations", (unsigned long long)va, (unsigned long long)(va + len), n);
}

void engine_invalidate(Engine *e, uint64_t va, uint64_t len)
{
    if (len == 0)
        return;
    atomic_fetch_add_explicit(&e->invalidations, 1, memory_order_relaxed);
    if (e->cfg.tools)
        e->cfg.tools->ops->unmapped(e->cfg.tools, va, va + len);
    invalidate(e, va, len, true);
}

void kill_page(Engine *e, uint64_t va)
{
    invalidate(e, va, 1, false);
}
