/*
 * Reclamation by grace periods. A global epoch counts retirements; every vcpu publishes the epoch that it read when it last
 * was in its run loop, where it holds no pointer to a translation and none of its predicted returns leads into code
 * that was retired before. What was stamped with an epoch older than every vcpu's is free.
 *
 * Written here and not taken from liburcu: its QSBR registry keeps the threads that a fork leaves behind, which would end
 * every grace period in the child.
 */
#include "engine/internal.h"

/* So many retired interpreter regions are worth interrupting vcpus for. */
#define RETIRED_MANY 4096

uint64_t grace_now(Engine *e)
{
    return atomic_load(&e->epoch);
}

void grace_quiesce(Vcpu *cpu, uint64_t epoch)
{
    atomic_store(&cpu->epoch, epoch);
}

uint64_t grace_stamp(Engine *e)
{
    return atomic_fetch_add(&e->epoch, 1);
}

void grace_retire(Engine *e, Translation *t)
{
    t->retired_epoch = grace_stamp(e);
    pthread_mutex_lock(&e->retire_lock);
    t->region_next = e->retired;
    e->retired = t;
    bool many = ++e->nretired % RETIRED_MANY == 0;
    pthread_mutex_unlock(&e->retire_lock);
    if (many)
        engine_kick_all(e);
}

/* The oldest epoch that a running vcpu may still live in. */
static uint64_t oldest_epoch(Engine *e)
{
    uint64_t min = UINT64_MAX;

    pthread_mutex_lock(&e->vcpu_lock);
    for (Vcpu *v = e->vcpus; v; v = v->next) {
        uint64_t at = atomic_load(&v->epoch);
        if (at && at < min)
            min = at;
    }
    pthread_mutex_unlock(&e->vcpu_lock);
    return min;
}

void grace_collect(Engine *e)
{
    Translation *ready = NULL;
    uint64_t min = oldest_epoch(e);

    pthread_mutex_lock(&e->retire_lock);
    for (Translation **p = &e->retired; *p;) {
        Translation *t = *p;
        if (t->retired_epoch < min) {
            *p = t->region_next;
            t->region_next = ready;
            ready = t;
            e->nretired--;
        } else {
            p = &t->region_next;
        }
    }
    pthread_mutex_unlock(&e->retire_lock);
    while (ready) {
        Translation *next = ready->region_next;
        if (ready->promotion) {
            pthread_mutex_lock(&e->kill_lock); /* its sites are in other translations' lists */
            promote_stub_free(e, ready);
            pthread_mutex_unlock(&e->kill_lock);
        } else {
            translation_free(&e->cache.pool, ready);
        }
        ready = next;
    }
    cache_collect(e, min);
}
