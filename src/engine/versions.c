/*
 * The table of versions (ir.h) and when it is kept. Few programs have exclusive loads that are not part of a sequence which is
 * one host operation, so atomic operations leave the table alone until the first such load: it stops there, a flag is set for
 * the process, and it goes on when every thread has seen the flag, which is when it runs translations of the mode that keeps
 * versions.
 *
 * Under --llsc=strict that mode and the one in which plain stores take part are on from the start. So that they cost little, they
 * lock only granules that are watched: which an exclusive load makes its own, once.
 */
#include "engine/internal.h"

#include "base/check.h"
#include "base/os.h"

#include <string.h>
#include <unistd.h>

#define TABLE_BYTES (sizeof(uint64_t) << HOST_VERSION_BITS)
#define WAIT_US 20

bool versions_init(Engine *e)
{
    e->versions = os_alloc(TABLE_BYTES);
    /* With tools from the start: what switches it on runs an instruction twice. */
    atomic_init(&e->versions_on, e->cfg.llsc_strict || e->cfg.tools);
    return e->versions != NULL;
}

void versions_done(Engine *e)
{
    if (e->versions)
        os_free(e->versions, TABLE_BYTES);
}

/* A thread that held a lock is not there any more; the child's own monitor is closed, as after every system call. */
void versions_fork_child(Engine *e)
{
    if (!atomic_load(&e->versions_on))
        return;
    for (size_t i = 0; i < TABLE_BYTES / sizeof e->versions[0]; i++)
        e->versions[i] &= ~(uint64_t)HOST_VERSION_LOCKED;
}

void versions_mode(Vcpu *cpu)
{
    const Guest *g = cpu->e->cfg.guest;

    if (atomic_load(&cpu->e->versions_on))
        cpu->h.ir.mode |= g->mode_versions | (cpu->e->cfg.llsc_strict ? g->mode_strict : 0);
}

/* Whether a vcpu may still run what it ran when the epoch was `stamp`. */
static bool lags(Engine *e, uint64_t stamp)
{
    bool any = false;

    pthread_mutex_lock(&e->vcpu_lock);
    for (Vcpu *v = e->vcpus; v && !any; v = v->next) {
        uint64_t at = atomic_load(&v->epoch);
        any = at && at <= stamp;
    }
    pthread_mutex_unlock(&e->vcpu_lock);
    return any;
}

/* Until every other thread has been in its run loop, or where it will pass there before it runs translated code. */
static void wait_for_all(Vcpu *cpu)
{
    Engine *e = cpu->e;
    uint64_t stamp = grace_stamp(e);

    pthread_mutex_lock(&e->vcpu_lock);
    for (Vcpu *v = e->vcpus; v; v = v->next) {
        if (v != cpu)
            __atomic_store_n(&v->h.exit_request, 1, __ATOMIC_SEQ_CST);
    }
    pthread_mutex_unlock(&e->vcpu_lock);
    engine_block_begin(cpu);
    while (lags(e, stamp))
        usleep(WAIT_US);
    engine_block_end(cpu);
}

/* A store that was on its way past the watch mark is done, or will find it: the barrier in every thread is behind the mark. */
static void watch(Vcpu *cpu, uint64_t va)
{
    uint64_t *at = &cpu->h.versions[host_version_index(va)];

    __atomic_fetch_or(at, HOST_VERSION_WATCHED, __ATOMIC_SEQ_CST);
    if (!os_barrier_all())
        wait_for_all(cpu);
}

void versions_monitor(IrCpu *ir, uint64_t va)
{
    Vcpu *cpu = vcpu_of(ir);
    Engine *e = cpu->e;
    uint64_t v = mem_ops.version(ir, va);

    if (v & HOST_VERSION_LOCKED)
        os_yield();
    if (e->cfg.llsc_strict && !(v & HOST_VERSION_WATCHED))
        watch(cpu, va);
    if (!(ir->mode & e->cfg.guest->mode_versions)) {
        atomic_store(&e->versions_on, true);
        wait_for_all(cpu);
        versions_mode(cpu);
    }
}
