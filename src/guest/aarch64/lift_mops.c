/*
 * Memory copy and set (FEAT_MOPS): Arm ARM C6.2, CPYP to SETE. We are an "option A" implementation: the prologue leaves
 * PSTATE.C 0 and arranges the registers, the main part does all the work, the epilogue what is left (nothing).
 *
 * Registers between the parts: forward, Xn holds minus the bytes left and Xd, Xs point to the ends; backward, Xn holds the
 * bytes left and Xd, Xs point to the beginnings. They are exact after each step, so a fault or a signal restarts the
 * instruction where it was. Options (non-temporal, unprivileged) make no difference at EL0.
 */
#include "guest/aarch64/helpers.h"
#include "guest/aarch64/lift.h"

enum { PROLOGUE, MAIN, EPILOGUE };

/* Bytes between polls for a pending request. */
#define STEP_BYTES (1u << 20)

/* Register numbers and kind of one instruction, as the helper gets them. */
static unsigned pack(unsigned d, unsigned s, unsigned n)
{
    return d | s << 5 | n << 10;
}

bool a64_lift_cpy(Lift *l, const A64Args *a)
{
    bool distinct = a->Rd != a->Rs && a->Rd != a->Rn && a->Rs != a->Rn;
    if (!distinct || a->Rd == 31 || a->Rs == 31 || a->Rn == 31)
        return false;
    IrRef args[] = {ir_const(&l->b, IR_I32, pack(a->Rd, a->Rs, a->Rn)), ir_const(&l->b, IR_I32, a->stage | a->both << 2)};
    lift_helper(l, A64_HELP_CPY, 2, args);
    return true;
}

bool a64_lift_set(Lift *l, const A64Args *a)
{
    bool distinct = a->Rd != a->Rs && a->Rd != a->Rn && a->Rs != a->Rn;
    if (!distinct || a->Rd == 31 || a->Rn == 31)
        return false;
    IrRef args[] = {ir_const(&l->b, IR_I32, pack(a->Rd, a->Rs, a->Rn)), ir_const(&l->b, IR_I32, a->stage)};
    lift_helper(l, A64_HELP_SET, 2, args);
    return true;
}

/* The instruction itself is at pc - 4, as helpers see it. */
static IrStop restart(IrCpu *cpu, IrStop why)
{
    cpu->pc -= 4;
    return why;
}

static uint64_t strip_tag(uint64_t va)
{
    return (uint64_t)((int64_t)(va << 8) >> 8);
}

static void clear_flags(A64State *s)
{
    s->n = s->z = s->c = s->v = 0;
}

/* Whether the destination begins inside the source, so that the copy must go down. Addresses without tags. */
static bool overlaps_down(uint64_t d, uint64_t s, uint64_t n)
{
    const uint64_t mask = (1ull << 56) - 1;
    return (s & mask) < (d & mask) && (s & mask) + n > (d & mask);
}

static void cpy_prologue(A64State *st, uint64_t *d, uint64_t *s, uint64_t *n, bool both)
{
    uint64_t max = both ? 0x007fffffffffffff : INT64_MAX;
    clear_flags(st);
    if (*n > max)
        *n = max;
    if (both && overlaps_down(*d, *s, *n))
        return;
    *d += *n;
    *s += *n;
    *n = -*n;
}

uint64_t a64_help_cpy(IrCpu *cpu, IrArgs *args)
{
    A64State *st = a64_state(cpu);
    uint32_t regs = args->arg[0].u32[0], kind = args->arg[1].u32[0];
    uint64_t *d = &st->x[regs & 31], *s = &st->x[regs >> 5 & 31], *n = &st->x[regs >> 10];
    if ((kind & 3) == PROLOGUE) {
        cpy_prologue(st, d, s, n, kind >> 2);
        return IR_STOP_NONE;
    }
    while (*n) {
        bool backward = (int64_t)*n > 0;
        uint64_t left = backward ? *n : -*n, step = left < STEP_BYTES ? left : STEP_BYTES;
        uint64_t offset = backward ? *n - step : *n;
        uint64_t done = cpu->world->mem.copy(cpu, strip_tag(*d + offset), strip_tag(*s + offset), step, backward);
        *n += backward ? -done : done;
        if (done < step)
            return restart(cpu, IR_STOP_FAULT);
        if (*n && cpu->world->poll(cpu))
            return restart(cpu, IR_STOP_CHECK);
    }
    return IR_STOP_NONE;
}

static void set_prologue(A64State *st, uint64_t *d, uint64_t *n)
{
    clear_flags(st);
    if (*n > INT64_MAX)
        *n = INT64_MAX;
    *d += *n;
    *n = -*n;
}

uint64_t a64_help_set(IrCpu *cpu, IrArgs *args)
{
    A64State *st = a64_state(cpu);
    uint32_t regs = args->arg[0].u32[0];
    unsigned source = regs >> 5 & 31;
    uint64_t *d = &st->x[regs & 31], *n = &st->x[regs >> 10];
    uint8_t byte = source == 31 ? 0 : st->x[source];
    if (args->arg[1].u32[0] == PROLOGUE) {
        set_prologue(st, d, n);
        return IR_STOP_NONE;
    }
    while (*n) {
        uint64_t left = -*n, step = left < STEP_BYTES ? left : STEP_BYTES;
        uint64_t done = cpu->world->mem.fill(cpu, strip_tag(*d + *n), byte, step);
        *n += done;
        if (done < step)
            return restart(cpu, IR_STOP_FAULT);
        if (*n && cpu->world->poll(cpu))
            return restart(cpu, IR_STOP_CHECK);
    }
    return IR_STOP_NONE;
}
