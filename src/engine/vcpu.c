#include "engine/internal.h"

#include "base/check.h"
#include "base/log.h"
#include "base/os.h"

#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The return stack: a loop of calls deeper than this only mispredicts. Guard zones catch overruns either way. */
#define SHADOW_BYTES (256u << 10)
#define SHADOW_GUARD (64u << 10)
/* Room above the sentinel frame. */
#define SHADOW_TOP 256

static void add_to_list(Vcpu *cpu)
{
    Engine *e = cpu->e;

    pthread_mutex_lock(&e->vcpu_lock);
    cpu->next = e->vcpus;
    if (cpu->next)
        cpu->next->prev = cpu;
    e->vcpus = cpu;
    pthread_mutex_unlock(&e->vcpu_lock);
}

static void add_stats(struct VcpuStats *to, const struct VcpuStats *from)
{
    const uint64_t *f = (const uint64_t *)from;
    uint64_t *t = (uint64_t *)to;

    for (size_t i = 0; i < sizeof *to / sizeof *t; i++)
        t[i] += f[i];
}

static void remove_from_list(Vcpu *cpu)
{
    Engine *e = cpu->e;

    pthread_mutex_lock(&e->vcpu_lock);
    if (cpu->prev)
        cpu->prev->next = cpu->next;
    else
        e->vcpus = cpu->next;
    if (cpu->next)
        cpu->next->prev = cpu->prev;
    add_stats(&e->past, &cpu->stats);
    e->past.unpaired += returns_counted(cpu);
    hot_past_locked(e, cpu);
    pthread_mutex_unlock(&e->vcpu_lock);
}

static void shadow_init(Vcpu *cpu)
{
    Status st = {0};
    size_t total = SHADOW_BYTES + 2 * SHADOW_GUARD;
    char *p = os_reserve(total, &st);

    CHECK(p && os_commit(p + SHADOW_GUARD, SHADOW_BYTES));
    cpu->shadow = p;
    cpu->h.shadow_limit = p + SHADOW_GUARD;
    cpu->h.shadow_base = p + SHADOW_GUARD + SHADOW_BYTES - SHADOW_TOP;
}

size_t vcpu_counters_at(const Engine *e)
{
    return sizeof(Vcpu) + (e->cfg.tools ? CELL_BYTES : 0);
}

Vcpu *vcpu_new(Engine *e)
{
    Vcpu *cpu = os_alloc(vcpu_counters_at(e) + hot_bytes(e));

    CHECK(cpu != NULL);
    os_populate(cpu, sizeof *cpu);
    cpu->e = e;
    cpu->h.ir.state = cpu->h.state;
    cpu->h.ir.world = &e->world;
    cpu->h.link = link_chain;
    cpu->h.lookup = link_lookup;
    cpu->h.hot = tier_hot;
    cpu->h.versions = e->versions;
    cpu->h.tool = tools_code_call;
    cpu->h.promote = promote_miss;
    cpu->h.unpaired = returns_unpaired;
    arena_init(&cpu->arena);
    arena_init(&cpu->interp_arena);
    e->cfg.guest->reset(&cpu->h.ir, e->cfg.features);
    versions_mode(cpu);
    tools_mode(cpu);
    cpu->mode_seen = cpu->h.ir.mode;
    if (e->plan) {
        shadow_init(cpu);
        e->host->fp_load(&cpu->h);
        e->host->cpu_init(e->plan, &cpu->h);
    }
    tier_vcpu_init(cpu);
    promote_vcpu_init(cpu);
    returns_vcpu_init(cpu);
    link_init(cpu);
    add_to_list(cpu);
    return cpu;
}

size_t vcpu_state_size(const Vcpu *cpu)
{
    return cpu->e->cfg.guest->slots.state_size;
}

Vcpu *vcpu_clone(const Vcpu *from)
{
    Vcpu *cpu = vcpu_new(from->e);

    memcpy(cpu->h.state, from->h.state, vcpu_state_size(from));
    cpu->h.ir.pc = from->h.ir.pc;
    cpu->h.ir.fp = from->h.ir.fp;
    cpu->h.ir.mode = from->h.ir.mode;
    cpu->h.mxcsr = from->h.mxcsr;
    return cpu;
}

void vcpu_bury(Vcpu *cpu)
{
    cache_release(cpu);
    arena_done(&cpu->arena);
    arena_done(&cpu->interp_arena);
    free(cpu->lockstep);
    free(cpu->trail);
    free(cpu->watch);
    os_release(cpu->shadow, SHADOW_BYTES + 2 * SHADOW_GUARD);
    os_free(cpu, vcpu_counters_at(cpu->e) + hot_bytes(cpu->e));
}

void vcpu_free(Vcpu *cpu)
{
    remove_from_list(cpu);
    vcpu_bury(cpu);
}

void vcpu_attach(Vcpu *cpu)
{
    cpu->thread = pthread_self();
    cpu->tid = os_tid();
    fault_attach(cpu);
    grace_quiesce(cpu, grace_now(cpu->e));
    if (cpu->e->cfg.tools)
        cpu->e->cfg.tools->ops->thread_start(cpu->e->cfg.tools, cpu);
}

void vcpu_over(Vcpu *cpu)
{
    if (cpu->tool)
        cpu->e->cfg.tools->ops->thread_end(cpu->e->cfg.tools, cpu);
}

void vcpu_detach(Vcpu *cpu)
{
    vcpu_over(cpu);
    atomic_store(&cpu->epoch, 0);
    fault_detach(cpu);
}

/* Handlers call it, in the middle of a store that the thread sanitizer is about to note with a lock of its own. */
__attribute__((no_sanitize("thread"))) void engine_kick(Vcpu *cpu)
{
    __atomic_store_n(&cpu->h.exit_request, 1, __ATOMIC_SEQ_CST);
    if (cpu->e->cfg.kick_signal && atomic_load(&cpu->blocked))
        syscall(SYS_tgkill, getpid(), cpu->tid, cpu->e->cfg.kick_signal);
}

void engine_kick_all(Engine *e)
{
    pthread_mutex_lock(&e->vcpu_lock);
    for (Vcpu *v = e->vcpus; v; v = v->next)
        engine_kick(v);
    pthread_mutex_unlock(&e->vcpu_lock);
}

void engine_block_begin(Vcpu *cpu)
{
    /*
     * After a helper execution goes on by pc, and returns to nothing that was given up meanwhile (engine_block_end): this thread delays
     * nobody's grace period.
     */
    cpu->block_epoch = atomic_load(&cpu->epoch);
    atomic_store(&cpu->epoch, 0);
    atomic_store(&cpu->blocked, true);
}

void engine_block_end(Vcpu *cpu)
{
    atomic_store(&cpu->blocked, false);
    /* First counted again, then a look at what was killed meanwhile: the jump cache may lead there. */
    uint32_t mode = cpu->h.ir.mode;
    atomic_store(&cpu->epoch, grace_now(cpu->e));
    rest_here(cpu);
    versions_mode(cpu);
    if (cpu->epoch != cpu->block_epoch || mode != cpu->h.ir.mode || atomic_load(&cpu->e->replaced_seq) != cpu->replaced_seen)
        cpu->h.returns = NULL;
    uint64_t flush = atomic_load(&cpu->e->flush_seq);
    if (flush != cpu->flush_seen) {
        link_flush(cpu);
        cpu->flush_seen = flush;
    }
    if (atomic_load(&cpu->e->replaced_seq) != cpu->replaced_seen)
        link_drop_replaced(cpu);
}

void vcpu_fp_sync(Vcpu *cpu)
{
    if (cpu->e->plan)
        cpu->e->host->fp_store(&cpu->h);
}

void vcpu_fp_changed(Vcpu *cpu)
{
    if (cpu->e->plan)
        cpu->e->host->fp_load(&cpu->h);
}

struct VcpuStats vcpu_sum_stats(Engine *e)
{
    pthread_mutex_lock(&e->vcpu_lock);
    struct VcpuStats sum = e->past;
    for (Vcpu *v = e->vcpus; v; v = v->next) {
        add_stats(&sum, &v->stats);
        sum.unpaired += returns_counted(v);
    }
    pthread_mutex_unlock(&e->vcpu_lock);
    return sum;
}
