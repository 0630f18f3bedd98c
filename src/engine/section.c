/*
 * Restartable sections (rseq): pieces of guest code that must not go on once their thread has been preempted. The
 * environment knows where they are and what the kernel tells of preemption; see user/rseq.c. Here:
 *
 *   - a region is all in one section or in none (fetch.c), and one that is in a section is interpreted;
 *   - each access of the interpreter in a section is done only while the thread's word is set, by the routines of
 *     base/restart.h; when it is not, the region is left with the state of that instruction, and the environment moves
 *     pc to where the section is aborted to;
 *   - a constant in code about to be compiled may be the address of a section's descriptor that nobody knew: what was
 *     translated of that section goes, and the region is formed again.
 */
#include "engine/internal.h"

#include "base/safe.h"

/* How far from code a descriptor's address may be: what a pair of instructions reaches on the guests that there are. */
#define REACH (UINT64_C(4) << 30)
#define FIRST_ADDRESS UINT64_C(0x10000)
#define ENTRIES_ENOUGH 100

const EnvSection *section_at(Vcpu *cpu, uint64_t pc)
{
    const EnvOps *env = cpu->e->cfg.env;

    return env->section ? env->section(cpu, pc) : NULL;
}

bool section_near(Vcpu *cpu, uint64_t pc)
{
    const EnvOps *env = cpu->e->cfg.env;

    return env->section_near && env->section_near(cpu, pc);
}

/*
 * The word is 0 where a section begins: the thread was preempted behind the store that set it, or the program sets it
 * in the section. The first is hardly ever so many times in a row.
 */
static bool sets_it_inside(Vcpu *cpu, const EnvSection *s)
{
    if (cpu->section.empty != s) {
        cpu->section.empty = s;
        cpu->section.entries = 0;
    }
    if (cpu->section.entries < ENTRIES_ENOUGH)
        cpu->section.entries++;
    return cpu->section.entries == ENTRIES_ENOUGH;
}

bool section_enter(Vcpu *cpu)
{
    const EnvSection *s = cpu->section.word ? section_at(cpu, cpu->h.ir.pc) : NULL;
    uint64_t armed = 0;

    cpu->section.waits = false;
    if (!s)
        return true;
    if (cpu->h.ir.pc == s->start)
        cpu->section.armed = cpu->section.disarmed = NULL;
    if (!safe_load8(cpu->section.word, &armed) && armed) {
        if (cpu->h.ir.pc == s->start && cpu->section.empty == s)
            cpu->section.entries = 0;
        cpu->section.armed = s;
        cpu->section.inside = true;
    } else if (cpu->section.disarmed == s || (cpu->section.armed != s && sets_it_inside(cpu, s))) {
        cpu->section.waits = true;
    } else {
        cpu->section.cleared = true; /* here, for it may be a loop without any access */
    }
    return !cpu->section.cleared;
}

void section_stored(Vcpu *cpu, const void *at, uint64_t val)
{
    if (at != cpu->section.word || !(cpu->section.waits || cpu->section.inside))
        return;
    cpu->section.inside = val != 0;
    cpu->section.waits = val == 0;
    cpu->section.disarmed = val ? NULL : section_at(cpu, cpu->h.ir.pc);
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

/* --- finding them ------------------------------------------------------------------------------------------------- */

static bool may_describe(const IrRegion *r, const IrInsn *i)
{
    return i->op == IR_CONST && i->type == IR_I64 && i->imm >= FIRST_ADDRESS && (i->imm & 7) == 0 &&
           i->imm - r->pc + REACH < 2 * REACH;
}

bool section_search(Vcpu *cpu, const IrRegion *r, Translation *t)
{
    const EnvOps *env = cpu->e->cfg.env;

    if (!env->section_named)
        return false;
    for (const IrInsn *i = r->insn + 1, *end = r->insn + r->ninsn; i < end; i++) {
        if (!may_describe(r, i) || cpu->nfound == SECTIONS_FOUND)
            continue;
        EnvNamed how = env->section_named(cpu, i->imm, &cpu->found[cpu->nfound]);
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
