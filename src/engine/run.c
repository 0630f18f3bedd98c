/*
 * The run loop of one guest thread: everything that translated code leaves for comes through here.
 */
#include "engine/internal.h"

#include "base/log.h"

#include <unistd.h>

/* How long a thread waits for room in the code cache before it interprets a little. */
#define ROOM_TRIES 50
#define ROOM_SLEEP_US 100
#define ROOM_INSNS 64

/* A fault that has nothing to do with memory. */
static bool raise_fault(Vcpu *cpu, int sig, int code)
{
    cpu->fault = (GuestFault){.sig = sig, .code = code, .addr = cpu->h.ir.pc};
    return cpu->e->cfg.env->fault(cpu, &cpu->fault);
}

static bool fetch_fault(Vcpu *cpu)
{
    uint64_t pc = cpu->h.ir.pc;

    if (pc & ((1u << cpu->e->cfg.guest->pc_shift) - 1))
        return raise_fault(cpu, SIGBUS, BUS_ADRALN);
    return raise_fault(cpu, SIGSEGV, fault_fetch_code(pc));
}

bool run_stop(Vcpu *cpu, IrStop stop)
{
    switch (stop) {
    case IR_STOP_NONE:
    case IR_STOP_CHECK:
        return true;
    case IR_STOP_ILLEGAL:
        return raise_fault(cpu, SIGILL, ILL_ILLOPC);
    case IR_STOP_BREAK:
        return raise_fault(cpu, SIGTRAP, TRAP_BRKPT);
    case IR_STOP_FAULT:
        return section_left(cpu) || fault_handle(cpu);
    case IR_STOP_FETCH:
        return fetch_fault(cpu);
    case IR_STOP_RESUME:
        return run_stop(cpu, run_resume_once(cpu));
    case IR_STOP_EXIT:
        break;
    }
    return false;
}

/* Between regions: nothing of a translation is held here. Returns false when the thread must end. */
static bool run_poll(Vcpu *cpu)
{
    Engine *e = cpu->e;
    bool collect = false;

    untag_pc(cpu);
    if (__atomic_load_n(&cpu->h.exit_request, __ATOMIC_RELAXED) &&
        __atomic_exchange_n(&cpu->h.exit_request, 0, __ATOMIC_ACQUIRE)) {
        if (!e->cfg.env->pending(cpu))
            return false;
        rest_here(cpu);
        untag_pc(cpu); /* a handler's */
        collect = true;
    }
    if (cpu->redo.forms)
        kill_redo(cpu);
    /* The epoch is read first, so that what was killed before it is forgotten before it is published. */
    uint64_t epoch = grace_now(e), flush = atomic_load(&e->flush_seq);
    versions_mode(cpu);
    tools_mode(cpu);
    if (flush != cpu->flush_seen || cpu->h.ir.mode != cpu->mode_seen) {
        link_flush(cpu);
        cpu->flush_seen = flush;
        cpu->mode_seen = cpu->h.ir.mode;
    }
    if (atomic_load_explicit(&e->replaced_seq, memory_order_acquire) != cpu->replaced_seen)
        link_drop_replaced(cpu);
    grace_quiesce(cpu, epoch);
    if (collect)
        grace_collect(e);
    return true;
}

static void log_exec(Vcpu *cpu, const Translation *t)
{
    FILE *f = log_begin();

    fprintf(f, "exec: 0x%llx%s\n", (unsigned long long)t->pc, t->hpc ? "" : " (interpreted)");
    cpu->e->cfg.guest->dump(f, &cpu->h.ir);
    log_end(f);
}

IrStop run_region(Vcpu *cpu, const IrRegion *r)
{
    arena_reset(&cpu->interp_arena);
    vcpu_fp_sync(cpu); /* flags and rounding of translated code are the host's */
    IrStop stop = section_enter(cpu) ? ir_interp(r, &cpu->h.ir, &cpu->interp_arena) : IR_STOP_FAULT;

    vcpu_fp_changed(cpu);
    cpu->section.inside = false;
    return stop;
}

IrStop run_interp_once(Vcpu *cpu, unsigned limit)
{
    IrRegion *r = translate_once(cpu, cpu->h.ir.pc, limit, false);

    return r ? run_region(cpu, r) : IR_STOP_FETCH;
}

IrStop run_resume_once(Vcpu *cpu)
{
    IrRegion *r = translate_once(cpu, cpu->h.ir.pc, 1, true);

    return r ? run_region(cpu, r) : IR_STOP_FETCH;
}

/* Interpreted regions are found again through the jump cache: no translated code runs that would misread it. */
static Translation *find(Vcpu *cpu, Translated *why)
{
    HostJump *j = &cpu->h.jcache[host_jcache_index(cpu->h.ir.pc, cpu->e->cfg.guest->pc_shift)];

    if (cpu->e->plan)
        return translate_get(cpu, cpu->h.ir.pc, why);
    if (j->pc == cpu->h.ir.pc && j->hpc)
        return (Translation *)(uintptr_t)j->hpc;
    Translation *t = translate_get(cpu, cpu->h.ir.pc, why);
    if (t)
        *j = (HostJump){t->pc, t};
    return t;
}

/* The code cache is full: wait until every vcpu has left what is being evicted, which all have been asked to. */
static IrStop wait_for_room(Vcpu *cpu)
{
    bool room = false;

    engine_block_begin(cpu);
    for (unsigned i = 0; i < ROOM_TRIES && !room; i++) {
        grace_collect(cpu->e);
        room = cache_room(&cpu->e->cache);
        if (!room)
            usleep(ROOM_SLEEP_US);
    }
    engine_block_end(cpu);
    return room ? IR_STOP_NONE : run_interp_once(cpu, ROOM_INSNS);
}

/* One instruction, by the interpreter. */
static IrStop run_step(Vcpu *cpu)
{
    cpu->stepping = true;
    IrStop stop = run_interp_once(cpu, 1);

    if (cpu->stepping && (stop == IR_STOP_NONE || stop == IR_STOP_CHECK))
        cpu->e->cfg.env->stepped(cpu);
    return stop;
}

static IrStop run_one(Vcpu *cpu)
{
    Translated why;

    if (cpu->step)
        return run_step(cpu);
    if (cpu->trail && !cpu->trail->rests)
        return trail_step(cpu);
    if (cpu->watch && !returns_rest(cpu))
        return returns_step(cpu);
    Translation *t = find(cpu, &why);

    if (!t)
        return why == TRANSLATED_FULL ? wait_for_room(cpu) : IR_STOP_FETCH;
    if (log_on_pc(LOG_EXEC, t->pc))
        log_exec(cpu, t);
    if (t->check_ir)
        return lockstep_run(cpu, t);
    if (t->hpc)
        return cpu->e->host->enter(cpu->e->plan, &cpu->h, t->hpc);
    return run_region(cpu, t->ir);
}

void vcpu_run(Vcpu *cpu)
{
    while (run_poll(cpu) && run_stop(cpu, run_one(cpu)))
        ;
}
