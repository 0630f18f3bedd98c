/*
 * Tier 2: what runs often is translated again, as a graph region (region.c), and takes the place of its tier-1 translation.
 *
 * Counting. Sites from which something may be run often (loops' ways back, calls, the exits of graphs; indirect branches) are
 * not linked to a tier-1 translation at once. The first few times they go through the engine, which costs little and spares
 * most of a program's code the rest. Then the translation gets a counter: a translation of its own, in no table, of one
 * instruction that counts down in the vcpu and a chained jump to the translation proper. Hot sites lead to the counter.
 * When the count has come to zero the engine puts the translation into a queue (tier_hot). Both the graph that takes the
 * translation's place and the decision that there will be none unlink the counter: nothing is counted from then on.
 *
 * Compiling happens on a thread of its own, started at the first request, with a vcpu of its own that never runs; or at once,
 * by the thread that counted, where there is one processor only. Rules that this thread keeps:
 *   - fork: while it works it is a writer, which a fork waits for; the child has no such thread and starts another one;
 *   - reclamation: while it works it is counted as a vcpu (grace.c), for it holds pointers to translations;
 *   - invalidation: as for every translation, by pages registered before they are read;
 *   - signals: all are blocked in it but the faults of base/safe.h.
 */
#include "engine/internal.h"

#include "base/check.h"
#include "base/log.h"
#include "base/os.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Times that a hot site goes through the engine before its target gets a counter. */
#define WANTED 4
#define HELPER_STACK (4u << 20) /* what a sanitizer makes of the decoder takes most of it; only what is used is memory */

/* --- counters ------------------------------------------------------------------------------------------------------ */

static bool counts(const Engine *e, const Translation *t)
{
    return e->cfg.tier2 > 1 && t->hpc && !t->graph && !atomic_load_explicit(&t->refused, memory_order_relaxed);
}

/* Make c the counter of t. False when t is dead or has one already. */
static bool attach(Engine *e, Translation *t, Translation *c)
{
    pthread_mutex_lock(&e->kill_lock);
    bool ok = !translation_dead(t) && !atomic_load(&t->counter);
    if (ok) {
        c->counted = t;
        atomic_store(&t->counter, c);
    } else {
        kill_mark(e, c);
    }
    pthread_mutex_unlock(&e->kill_lock);
    return ok;
}

static Translation *counter_new(Vcpu *cpu, Translation *t)
{
    Engine *e = cpu->e;
    Translation *c = translation_new(e, t->pc, t->mode);

    if (!translate_counter(cpu, c)) {
        translation_free(&e->cache.pool, c);
        return NULL;
    }
    atomic_store(&c->state, TRANSLATION_LIVE);
    cpu->stats.counters++;
    return attach(e, t, c) ? c : NULL;
}

Translation *tier_entry(Vcpu *cpu, Translation *t)
{
    Engine *e = cpu->e;

    if (!counts(e, t))
        return t;
    Translation *c = atomic_load_explicit(&t->counter, memory_order_acquire);
    if (c && !translation_dead(c))
        return c;
    if (atomic_fetch_add_explicit(&t->wanted, 1, memory_order_relaxed) < WANTED)
        return NULL;
    pthread_mutex_t *making = translate_making(e, t->pc);
    if (pthread_mutex_trylock(making) != 0) /* another thread is at it */
        return NULL;
    c = atomic_load_explicit(&t->counter, memory_order_acquire);
    if (!c || translation_dead(c))
        c = counter_new(cpu, t);
    pthread_mutex_unlock(making);
    return c;
}

Translation *tier_part_locked(Translation *t)
{
    Translation *c = atomic_load(&t->counter);

    if (c) {
        atomic_store(&t->counter, NULL);
        c->counted = NULL;
    }
    if (t->counted) { /* it is a counter itself */
        atomic_store(&t->counted->counter, NULL);
        t->counted = NULL;
    }
    return c;
}

/* --- one request --------------------------------------------------------------------------------------------------- */

/* There will be no graph of t: count it no more. */
static void refuse(Engine *e, Translation *t)
{
    atomic_store(&t->refused, true);
    persist_learnt(e, t->pc);
    pthread_mutex_lock(&e->kill_lock);
    kill_counter_locked(e, t);
    pthread_mutex_unlock(&e->kill_lock);
    kill_replaced_finish(e);
}

static void log_made(const Engine *e, const Translation *t, uint64_t pc, Translated how)
{
    static const char *const why[] = {"", "not worth while", "no room", "code changed", "not now"};

    if (!log_on_pc(LOG_TIER, pc))
        return;
    if (how == TRANSLATED)
        log_line("tier: 0x%llx: %u guest instructions, %u bytes", (unsigned long long)pc, t->guest_insns, t->size);
    else
        log_line("tier: 0x%llx: %s", (unsigned long long)pc, why[how]);
}

/* Translate again what is hot, and let that take the place of its translation. */
static void promote(Vcpu *cpu, const TierRequest *rq)
{
    Engine *e = cpu->e;
    uint64_t pc = rq->pc;
    Translation *old = table_find(&e->table, pc, cpu->h.ir.mode);

    if (!old || old->graph)
        return;
    Translation *t = translation_new(e, pc, cpu->h.ir.mode);
    Translated how = translate_graph(cpu, t, rq->trail);
    log_made(e, t, pc, how);
    if (how == TRANSLATED)
        translate_replace(cpu, t);
    else if (how == TRANSLATED_NOT)
        refuse(e, old);
    else
        atomic_store(&old->asked, false);
}

static void work(Vcpu *cpu, TierRequest rq)
{
    write_begin(cpu);
    grace_quiesce(cpu, grace_now(cpu->e));
    cpu->h.ir.mode = rq.mode;
    promote(cpu, &rq);
    free(rq.trail);
    pthread_mutex_lock(&cpu->e->tier.lock);
    cpu->e->tier.busy = false; /* while it still is a writer: a child of fork would begin with it again */
    pthread_mutex_unlock(&cpu->e->tier.lock);
    atomic_store(&cpu->epoch, 0);
    write_end(cpu);
    section_settle(cpu);
}

/* --- the thread ---------------------------------------------------------------------------------------------------- */

static void *tier_main(void *arg)
{
    Engine *e = arg;
    Tier *tier = &e->tier;

    atomic_store(&tier->tid, os_tid());
    pthread_mutex_lock(&tier->lock);
    while (!tier->stop) {
        if (tier->n == 0) {
            pthread_cond_wait(&tier->wake, &tier->lock);
            continue;
        }
        tier->current = tier->queue[tier->first];
        tier->busy = true;
        tier->first = (tier->first + 1) % TIER_QUEUE;
        tier->n--;
        pthread_mutex_unlock(&tier->lock);
        work(tier->cpu, tier->current);
        pthread_mutex_lock(&tier->lock);
    }
    pthread_mutex_unlock(&tier->lock);
    return NULL;
}

bool engine_spawn(pthread_t *thread, void *(*fn)(void *), void *arg)
{
    pthread_attr_t attr;
    sigset_t block, old;

    sigfillset(&block);
    fault_unblocked(&block);
    pthread_sigmask(SIG_SETMASK, &block, &old);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, HELPER_STACK);
    bool ok = pthread_create(thread, &attr, fn, arg) == 0;
    pthread_attr_destroy(&attr);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return ok;
}

/* Called by a guest's thread, whose environment the new vcpu sees guest code with. */
static bool start_locked(Tier *tier, Vcpu *cpu)
{
    Engine *e = cpu->e;

    if (tier->running)
        return true;
    /* A child of vfork, which is another process in this memory: the thread would be of the wrong one. */
    if (getpid() != tier->pid || (e->cfg.env->alone && e->cfg.env->alone(cpu)))
        return false;
    if (!tier->cpu) {
        tier->cpu = vcpu_new(e);
        if (!tier->env && e->cfg.env->translator)
            tier->env = e->cfg.env->translator(cpu);
        tier->cpu->env = tier->env ? tier->env : cpu->env;
    }
    tier->running = engine_spawn(&tier->thread, tier_main, e);
    return tier->running;
}

/* Returns whether the request was taken. */
static bool ask(Vcpu *cpu, TierRequest rq)
{
    Tier *tier = &cpu->e->tier;

    pthread_mutex_lock(&tier->lock);
    bool ok = tier->n < TIER_QUEUE && start_locked(tier, cpu);
    if (ok) {
        tier->queue[(tier->first + tier->n++) % TIER_QUEUE] = rq;
        if (tier->n > tier->longest)
            tier->longest = tier->n;
    }
    pthread_mutex_unlock(&tier->lock);
    if (ok) /* not under the lock, for which it would wait again at once */
        pthread_cond_signal(&tier->wake);
    return ok;
}

void tier_trail(Vcpu *cpu, Trail *trail, bool whole)
{
    Engine *e = cpu->e;
    Translation *t = table_find(&e->table, trail->pc[0], trail->mode);
    TierRequest rq = {trail->pc[0], trail->mode, trail};
    bool asked = whole && t && counts(e, t);

    if (asked && e->tier.at_once) {
        write_begin(cpu);
        promote(cpu, &rq);
        write_end(cpu);
    } else if (asked && ask(cpu, rq)) {
        return;
    } else if (t) {
        atomic_store(&t->asked, false);
    }
    free(trail);
}

/*
 * Whether what has come to zero counter k is what did so the last time, and a short time of the thread ago. Many places have a
 * counter in common: one whose code is executed here and there has all of it come to be hot in time.
 */
static bool is_frequent(Vcpu *cpu, unsigned k)
{
    uint64_t pc = cpu->h.ir.pc, within = cpu->e->cfg.tier2_within;

    if (!within)
        return true;
    uint64_t now = os_thread_ns();
    bool again = cpu->hot[k].pc == pc && now - cpu->hot[k].ns <= within;
    cpu->hot[k].pc = pc;
    cpu->hot[k].ns = now;
    return again;
}

const void *tier_hot(HostCpu *h)
{
    Vcpu *cpu = (Vcpu *)h;
    Engine *e = cpu->e;
    Translated why;
    unsigned k = host_hot_index(h->ir.pc, e->cfg.guest->pc_shift);

    h->counter[k] = e->cfg.tier2;
    Translation *t = translate_get(cpu, h->ir.pc, &why);
    if (!t || !t->hpc)
        return NULL;
    if (!counts(e, t) || cpu->trail || !is_frequent(cpu, k) || atomic_exchange(&t->asked, true))
        return t->hpc;
    cpu->stats.hot++;
    trail_begin(cpu);
    return NULL;
}

/* --- setting up ---------------------------------------------------------------------------------------------------- */

void tier_init(Engine *e)
{
    cpu_set_t set;

    pthread_mutex_init(&e->tier.lock, NULL);
    pthread_cond_init(&e->tier.wake, NULL);
    pthread_cond_init(&e->tier.ended, NULL);
    e->tier.pid = getpid();
    e->tier.at_once = sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) == 1;
}

void tier_vcpu_init(Vcpu *cpu)
{
    for (unsigned i = 0; cpu->e->cfg.tier2 > 1 && i < 1u << HOST_HOT_BITS; i++)
        cpu->h.counter[i] = cpu->e->cfg.tier2;
}

void engine_stop_background(Engine *e)
{
    Tier *tier = &e->tier;

    if (e->cfg.tools)
        e->cfg.tools->ops->stop_threads(e->cfg.tools);
    pthread_mutex_lock(&tier->lock);
    while (tier->stop) /* another thread of the guest is at it: a thread is joined once */
        pthread_cond_wait(&tier->ended, &tier->lock);
    if (tier->running) {
        tier->stop = true;
        pthread_cond_signal(&tier->wake);
        pthread_mutex_unlock(&tier->lock);
        pthread_join(tier->thread, NULL);
        os_thread_gone(atomic_load(&tier->tid));
        pthread_mutex_lock(&tier->lock);
        tier->running = tier->stop = false;
        atomic_store(&tier->tid, 0);
        pthread_cond_broadcast(&tier->ended);
    }
    pthread_mutex_unlock(&tier->lock);
}

void tier_fork_child(Engine *e)
{
    Tier *tier = &e->tier;

    /* What the thread had taken out of the queue and not begun with: it was no writer yet. */
    if (tier->busy && tier->n < TIER_QUEUE)
        tier->queue[(tier->first + tier->n++) % TIER_QUEUE] = tier->current;
    else if (tier->busy)
        free(tier->current.trail);
    tier->busy = tier->running = tier->stop = false;
    tier->cpu = NULL; /* one of those that are buried */
    tier->pid = getpid();
    atomic_store(&tier->tid, 0);
    pthread_cond_init(&tier->wake, NULL);
    pthread_cond_init(&tier->ended, NULL);
#ifdef __SANITIZE_THREAD__ /* its runtime starts no thread in the child of a process that had several */
    tier->at_once = true;
#endif
}

int engine_background_tid(Engine *e, unsigned n)
{
    if (n == 1)
        return e->cfg.tools ? atomic_load(&e->cfg.tools->thread) : 0;
    for (;;) {
        pthread_mutex_lock(&e->tier.lock);
        bool running = e->tier.running;
        int tid = atomic_load(&e->tier.tid);
        pthread_mutex_unlock(&e->tier.lock);
        if (tid || !running)
            return tid;
        os_yield(); /* it has just been started, and has not said yet who it is */
    }
}

void tier_done(Engine *e)
{
    engine_stop_background(e);
    for (unsigned k = 0; k < e->tier.n; k++)
        free(e->tier.queue[(e->tier.first + k) % TIER_QUEUE].trail);
    if (e->tier.cpu)
        vcpu_free(e->tier.cpu);
    free(e->tier.env);
    pthread_cond_destroy(&e->tier.wake);
    pthread_cond_destroy(&e->tier.ended);
    pthread_mutex_destroy(&e->tier.lock);
}
