/*
 * Helpers that need the world or the FP environment: system calls, counters, FPCR and FPSR. They run between regions
 * (EXIT_HELP), with exact state; see helpers.def.
 */
#include "guest/aarch64/helpers.h"

#include "guest/aarch64/features.h"
#include "guest/aarch64/state.h"

static void set_x(IrCpu *cpu, unsigned n, uint64_t v)
{
    if (n != 31)
        a64_state(cpu)->x[n] = v;
}

/* The return from the exception would have cleared the exclusive monitor. */
uint64_t a64_help_svc(IrCpu *cpu, IrArgs *args)
{
    uint32_t mode = cpu->mode;
    a64_state(cpu)->excl_addr = A64_NO_EXCL;
    IrStop stop = cpu->world->syscall(cpu);
    return stop == IR_STOP_NONE && cpu->mode != mode ? IR_STOP_CHECK : stop;
}

/* An ordered access to an unaligned address: the memory layer raises the fault for an access that must be aligned. */
uint64_t a64_help_unaligned(IrCpu *cpu, IrArgs *args)
{
    IrVal v;
    cpu->world->mem.load(cpu, args->arg[0].u64[0], 16, IR_MEM_ALIGNED, &v);
    return IR_STOP_FAULT;
}

/* An exclusive load that has to wait, or is the first: then on at the same instruction. */
uint64_t a64_help_monitor(IrCpu *cpu, IrArgs *args)
{
    cpu->world->monitor(cpu, args->arg[0].u64[0]);
    return IR_STOP_CHECK;
}

/* An atomic operation whose granule another thread has locked: it is tried again. */
uint64_t a64_help_locked(IrCpu *cpu, IrArgs *args)
{
    cpu->world->yield(cpu);
    return IR_STOP_CHECK;
}

/* An indirect branch came to where none of its kind may: Linux sends SIGILL. */
uint64_t a64_help_bad_target(IrCpu *cpu, IrArgs *args)
{
    return IR_STOP_ILLEGAL;
}

uint64_t a64_help_counter(IrCpu *cpu, IrArgs *args)
{
    set_x(cpu, args->arg[0].u32[0], cpu->world->counter(cpu, A64_COUNTER_HZ));
    return IR_STOP_NONE;
}

/* RNDR, RNDRRS: NZCV is 0000 when a number could be had; we always can. */
uint64_t a64_help_random(IrCpu *cpu, IrArgs *args)
{
    A64State *s = a64_state(cpu);
    s->n = s->z = s->c = s->v = 0;
    set_x(cpu, args->arg[0].u32[0], cpu->world->random(cpu));
    return IR_STOP_NONE;
}

uint64_t a64_help_ic_ivau(IrCpu *cpu, IrArgs *args)
{
    uint64_t va = args->arg[0].u64[0] & ~63ull;
    cpu->world->invalidate(cpu, (uint64_t)((int64_t)(va << 8) >> 8), 64);
    return IR_STOP_CHECK;
}

bool a64_guard_pages(IrCpu *cpu)
{
    if (!a64_has(a64_state(cpu)->features, A64_F_BTI))
        return false;
    cpu->mode |= A64_MODE_BTI;
    return true;
}

/* --- FPCR and FPSR --- */

enum {
    FPCR_FZ16 = 1 << 19, FPCR_RMODE_SHIFT = 22, FPCR_FZ = 1 << 24, FPCR_DN = 1 << 25, FPCR_AHP = 1 << 26,
    FPSR_IDC = 1 << 7, FPSR_QC = 1 << 27,
};

/* RMode counts as FpRound does: nearest, up, down, zero. Trap enables and FEAT_AFP's bits are not implemented: zero. */
void a64_set_fpcr(IrCpu *cpu, uint64_t v)
{
    A64State *s = a64_state(cpu);
    uint64_t soft = FPCR_FZ | FPCR_DN | FPCR_AHP;
    if (s->features && a64_has(s->features, A64_F_FP16))
        soft |= FPCR_FZ16;
    v &= soft | 3 << FPCR_RMODE_SHIFT;
    s->fpcr = v;
    cpu->fp.round = v >> FPCR_RMODE_SHIFT & 3;
    cpu->fp.nan_rule = FP_NAN_ARM;
    cpu->fp.default_nan = (v & FPCR_DN) != 0;
    cpu->fp.flush = (v & FPCR_FZ) != 0;
    cpu->fp.flush16 = (v & FPCR_FZ16) != 0;
    cpu->fp.alt_half = (v & FPCR_AHP) != 0;
    cpu->mode = (cpu->mode & ~(uint32_t)A64_MODE_SOFTFP) | (v & soft ? A64_MODE_SOFTFP : 0);
}

/* FpFlag has FPSR's order, but for the denormal flag. */
uint64_t a64_get_fpsr(IrCpu *cpu)
{
    const A64State *s = a64_state(cpu);
    uint64_t v = cpu->fp.flags & 0x1f;
    v |= cpu->fp.flags & FP_DENORMAL ? FPSR_IDC : 0;
    v |= s->qc.u64[0] | s->qc.u64[1] ? FPSR_QC : 0;
    return v;
}

void a64_set_fpsr(IrCpu *cpu, uint64_t v)
{
    cpu->fp.flags = (v & 0x1f) | (v & FPSR_IDC ? FP_DENORMAL : 0);
    a64_state(cpu)->qc = (IrVal){{v & FPSR_QC ? 1 : 0, 0}};
}

uint64_t a64_help_write_fpcr(IrCpu *cpu, IrArgs *args)
{
    uint32_t mode = cpu->mode;
    a64_set_fpcr(cpu, args->arg[0].u64[0]);
    return cpu->mode != mode ? IR_STOP_CHECK : IR_STOP_NONE;
}

/* From the first access on, translations keep FPSR exact. */
static uint64_t look_at_fpsr(IrCpu *cpu)
{
    bool first = !(cpu->mode & A64_MODE_FPSR);
    cpu->mode |= A64_MODE_FPSR;
    return first ? IR_STOP_CHECK : IR_STOP_NONE;
}

uint64_t a64_help_read_fpsr(IrCpu *cpu, IrArgs *args)
{
    set_x(cpu, args->arg[0].u32[0], a64_get_fpsr(cpu));
    return look_at_fpsr(cpu);
}

uint64_t a64_help_write_fpsr(IrCpu *cpu, IrArgs *args)
{
    a64_set_fpsr(cpu, args->arg[0].u64[0]);
    return look_at_fpsr(cpu);
}
