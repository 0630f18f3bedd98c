/*
 * Forking. glibc's fork keeps its own locks consistent; this file does the same for the engine's, and freezes the code
 * cache (see cache.h): parent and child go on sharing what has been translated, and copy a region when they want to
 * write to it.
 */
#include "engine/internal.h"

#include "base/os.h"

/* Writers say so before they look at `forking`; the forking thread sets that before it looks at the writers. */
void write_begin(Vcpu *cpu)
{
    Engine *e = cpu->e;

    for (;;) {
        atomic_store(&cpu->writing, true);
        if (!atomic_load(&e->forking))
            return;
        atomic_store(&cpu->writing, false);
        pthread_mutex_lock(&e->fork_lock);
        pthread_mutex_unlock(&e->fork_lock);
    }
}

void write_end(Vcpu *cpu)
{
    atomic_store_explicit(&cpu->writing, false, memory_order_release);
}

static bool someone_writes(Engine *e)
{
    bool writes = false;

    pthread_mutex_lock(&e->vcpu_lock);
    for (Vcpu *v = e->vcpus; v && !writes; v = v->next)
        writes = atomic_load(&v->writing);
    pthread_mutex_unlock(&e->vcpu_lock);
    return writes;
}

/* The list's lock is not held while waiting: a writer may need it to finish. */
static void wait_for_writers(Engine *e)
{
    while (someone_writes(e))
        sched_yield();
}

void writers_stop(Engine *e)
{
    pthread_mutex_lock(&e->fork_lock);
    atomic_store(&e->forking, true);
    wait_for_writers(e);
}

void writers_go(Engine *e)
{
    atomic_store(&e->forking, false);
    pthread_mutex_unlock(&e->fork_lock);
}

/*
 * In the order in which they nest. Inside all of them are the table's and pages' spin locks, and the environment's own lock,
 * which EnvOps.code, guarded and image take: park_revive asks for code with kill_lock held. Writers (write_begin) come first
 * of all, fork_lock before them; Engine.making is taken by writers only, and free when there are none.
 */
static pthread_mutex_t *lock_at(Engine *e, unsigned i)
{
    pthread_mutex_t *all[] = {&e->tier.lock, &e->kill_lock, &e->careful_lock, &e->retire_lock, &e->cache.lock, &e->vcpu_lock,
                              &e->cache.pool.lock};

    return i < sizeof all / sizeof all[0] ? all[i] : NULL;
}

static void unlock_all(Engine *e)
{
    for (unsigned i = 0; lock_at(e, i); i++)
        pthread_mutex_unlock(lock_at(e, i));
    writers_go(e);
}

void engine_fork_prepare(Engine *e)
{
    Vcpu *self = fault_current();

    if (e->cfg.tools && self)
        rest_others(self); /* nobody is in a tool, with a lock of it that the child would wait for */
    if (e->cfg.tools)
        e->cfg.tools->ops->fork(e->cfg.tools, true);
    writers_stop(e);
    for (unsigned i = 0; lock_at(e, i); i++)
        pthread_mutex_lock(lock_at(e, i));
    cache_freeze(&e->cache);
}

void engine_fork_parent(Engine *e)
{
    unlock_all(e);
    if (e->cfg.tools)
        e->cfg.tools->ops->fork(e->cfg.tools, false);
    if (fault_current())
        engine_go_on(fault_current());
}

void engine_fork_child(Engine *e, Vcpu *self)
{
    Vcpu *others = NULL;

    for (Vcpu *v = e->vcpus, *next; v; v = next) {
        next = v->next;
        if (v != self) {
            v->next = others;
            others = v;
        }
    }
    e->vcpus = self;
    self->next = self->prev = NULL;
    self->thread = pthread_self();
    self->tid = os_tid();
    self->h.returns = NULL;
    tier_fork_child(e);
    hot_fork_child(e, self);
    perf_fork_child(e);
    atomic_store(&e->resting_for, NULL); /* that was the parent's */
    unlock_all(e);
    persist_fork_child(e);
    versions_fork_child(e);
    if (e->cfg.tools)
        e->cfg.tools->ops->fork_child(e->cfg.tools, self);
    while (others) {
        Vcpu *next = others->next;
        vcpu_bury(others);
        others = next;
    }
}
