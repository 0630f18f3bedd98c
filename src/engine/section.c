/*
 * Restartable sections (rseq): pieces of guest code that must not go on once their thread has been preempted. The environment
 * knows where they are and what the kernel tells of preemption; see user/rseq.c. Here:
 *
 *   - a region is all in one section or in none (fetch.c), and one that is in a section is interpreted;
 *   - each access of the interpreter in a section is done only while the thread's word is armed, by the routines of base/restart.h;
 *     when it is not, the region is left with the state of that instruction, and the environment moves pc to where the section
 *     is aborted to;
 *   - a constant in compiled code may be the address of a section's descriptor, which the environment has not heard of so far: what was
 *     translated of that section goes, and the region is formed again.
 */
#include "engine/internal.h"

#include "base/safe.h"

/* Code within which a descriptor's address may be made: what one pair of instructions reaches on the guests that there are. */
#define REACH (UINT64_C(4) << 30)
#define FIRST_ADDRESS UINT64_C(0x10000)

const void *section_at(Vcpu *cpu, uint64_t pc)
{
    const EnvOps *env = cpu->e->cfg.env;

    return env->section ? env->section(cpu, pc) : NULL;
}

bool section_enter(Vcpu *cpu)
{
    uint64_t armed = 0;

    cpu->section.inside = cpu->section.word && section_at(cpu, cpu->h.ir.pc);
    /* It may be a loop without any access: that ends here. */
    cpu->section.cleared = cpu->section.inside && (safe_load8(cpu->section.word, &armed) || !armed);
    return !cpu->section.cleared;
}

void section_disturb(Vcpu *cpu)
{
    const uint64_t none = 0;

    if (cpu->section.word && section_at(cpu, cpu->h.ir.pc))
        safe_store8(cpu->section.word, &none);
}

bool section_access(Vcpu *cpu, RestartFn *fn, uint64_t va, unsigned size, SectionOperands o)
{
    RestartResult res = fn(cpu->section.word, (void *)(uintptr_t)va, o.val, o.expect, o.old);

    if (res == RESTART_FAULT)
        fault_note(cpu, va, size, o.write);
    cpu->section.cleared = res == RESTART_CLEARED;
    return res == RESTART_DONE;
}

bool section_left(Vcpu *cpu)
{
    if (!cpu->section.cleared)
        return false;
    cpu->section.cleared = false;
    cpu->e->cfg.env->section_abort(cpu);
    return true;
}

/* --- finding them ---------------------------------------------------------------------------------------------------- */

static bool may_describe(const IrRegion *r, const IrInsn *i)
{
    return i->op == IR_CONST && i->type == IR_I64 && i->imm >= FIRST_ADDRESS && (i->imm & 7) == 0 && i->imm - r->pc + REACH < 2 * REACH;
}

bool section_search(Vcpu *cpu, const IrRegion *r, Translation *t)
{
    const EnvOps *env = cpu->e->cfg.env;

    for (IrRef k = 1; k < r->ninsn && env->section_named && cpu->nfound < SECTIONS_FOUND; k++) {
        const IrInsn *i = ir_insn(r, k);
        EnvNamed how = may_describe(r, i) ? env->section_named(cpu, i->imm, &cpu->found[cpu->nfound]) : ENV_NAMED_NONE;
        t->names_section |= how != ENV_NAMED_NONE;
        cpu->nfound += how == ENV_NAMED_NEW;
    }
    return cpu->nfound > 0;
}

void section_settle(Vcpu *cpu)
{
    while (cpu->nfound) {
        EnvSection s = cpu->found[--cpu->nfound];
        engine_invalidate(cpu->e, s.start, s.end - s.start);
    }
}
