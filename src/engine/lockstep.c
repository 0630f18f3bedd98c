/*
 * --check: every region runs in both engines from the same state. The interpreter goes first, on the IR as lifted; its
 * stores go to an overlay that its loads see. Then the translation runs for real, unchained, and registers, flags, FP
 * flags, pc, the way it ended and every stored byte are compared. An instruction that leaves through a helper (a system
 * call) is a region of its own and runs once. The first difference ends the program with a report.
 *
 * A graph region may loop for long: its polls leave it after some iterations, which the interpreter chooses, and the translation
 * is made to leave at the same one.
 *
 * Other threads that write what a region reads make false alarms: meant for programs of one thread.
 */
#include "engine/internal.h"

#include "base/check.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>

#define OVERLAY_BITS 13 /* granules */
#define OVERLAY_ENOUGH (1u << (OVERLAY_BITS - 3)) /* to leave a loop with: what follows up to the next poll has room */
#define POLLS_MAX 40    /* iterations */
#define GRANULE_BITS 4

/* What the interpreter stored: 16-byte granules with a mask of the bytes that were written. */
typedef struct Granule {
    uint64_t key;  /* va >> GRANULE_BITS */
    uint32_t mask; /* 0: free */
    uint8_t byte[1 << GRANULE_BITS];
} Granule;

/* Everything that a region changes but memory. */
typedef struct Snapshot {
    uint8_t state[HOST_STATE_MAX];
    FpEnv fp;
    uint64_t pc;
    IrStop stop;
    GuestFault fault;
} Snapshot;

typedef struct Lockstep {
    IrWorld world; /* the engine's, with memory operations that use the overlay */
    IrWorld again; /* the engine's, for an interpreted translation */
    Snapshot start, interp, jit;
    unsigned polls, leave_at; /* so far; the first one that was answered with yes, or 0 */
    unsigned used;
    uint16_t order[1 << OVERLAY_BITS]; /* granules in use */
    Granule granule[1 << OVERLAY_BITS];
} Lockstep;

/* --- the overlay --- */

static Granule *granule_at(Lockstep *ls, uint64_t va, bool create)
{
    uint64_t key = va >> GRANULE_BITS;
    unsigned mask = (1u << OVERLAY_BITS) - 1, i = (unsigned)(key ^ key >> 12) & mask;

    while (ls->granule[i].mask && ls->granule[i].key != key)
        i = (i + 1) & mask;
    if (ls->granule[i].mask)
        return &ls->granule[i];
    if (!create)
        return NULL;
    CHECK(ls->used < mask / 2);
    ls->order[ls->used++] = (uint16_t)i;
    ls->granule[i].key = key;
    return &ls->granule[i];
}

static void overlay_clear(Lockstep *ls)
{
    while (ls->used)
        ls->granule[ls->order[--ls->used]].mask = 0;
}

static void overlay_put(Lockstep *ls, uint64_t va, unsigned size, const IrVal *val)
{
    for (unsigned k = 0; k < size; k++, va++) {
        Granule *g = granule_at(ls, va, true);
        g->byte[va & 15] = val->u8[k];
        g->mask |= 1u << (va & 15);
    }
}

static void overlay_get(Lockstep *ls, uint64_t va, unsigned size, IrVal *val)
{
    for (unsigned k = 0; k < size; k++, va++) {
        const Granule *g = granule_at(ls, va, false);
        if (g && g->mask >> (va & 15) & 1)
            val->u8[k] = g->byte[va & 15];
    }
}

static uint64_t strip(uint64_t va, unsigned flags)
{
    return flags & IR_MEM_CAREFUL ? (uint64_t)((int64_t)(va << 8) >> 8) : va;
}

static bool check_load(IrCpu *cpu, uint64_t va, unsigned size, unsigned flags, IrVal *out)
{
    va = strip(va, flags);
    if (!mem_ops.load(cpu, va, size, flags, out))
        return false;
    overlay_get(vcpu_of(cpu)->lockstep, va, size, out);
    return true;
}

/* Whether [va, va + size) can be written: exchanges its first and last byte for themselves. */
static bool can_store(IrCpu *cpu, uint64_t va, unsigned size)
{
    for (unsigned k = 0; k < size; k += size > 1 ? size - 1 : 1) {
        IrVal v, old;
        if (!mem_ops.load(cpu, va + k, 1, 0, &v) || !mem_ops.cas(cpu, va + k, 1, 0, &v, &v, &old)) {
            vcpu_of(cpu)->fault.write = true;
            return false;
        }
    }
    return true;
}

static bool check_store(IrCpu *cpu, uint64_t va, unsigned size, unsigned flags, const IrVal *val)
{
    va = strip(va, flags);
    if (!can_store(cpu, va, size))
        return false;
    overlay_put(vcpu_of(cpu)->lockstep, va, size, val);
    return true;
}

static bool check_cas(IrCpu *cpu, uint64_t va, unsigned size, unsigned flags, const IrVal *expect, const IrVal *desired,
                      IrVal *old)
{
    IrVal e = {{0, 0}};

    memcpy(&e, expect, size);
    if (!check_load(cpu, va, size, flags, old))
        return false;
    return memcmp(old, &e, sizeof e) != 0 || check_store(cpu, va, size, flags, desired);
}

static bool check_rmw(IrCpu *cpu, uint64_t va, unsigned size, unsigned flags, IrRmw kind, const IrVal *val, IrVal *old)
{
    IrVal new = {{0, 0}};

    if (!check_load(cpu, va, size, flags, old))
        return false;
    new.u64[0] = ir_rmw(kind, size, old->u64[0], val->u64[0]);
    return check_store(cpu, va, size, flags, &new);
}

/* One thread: nobody else holds it. The translation is the one that locks. */
static bool check_lock(IrCpu *cpu, uint64_t va, uint64_t version, unsigned how)
{
    return (how & IR_LOCK_ANY) || mem_ops.version(cpu, va) == version;
}

static void check_unlock(IrCpu *cpu, bool wrote)
{
}

/* How exits poll makes no difference: they leave either way. */
static bool check_poll(IrCpu *cpu)
{
    Lockstep *ls = vcpu_of(cpu)->lockstep;

    bool leave = ++ls->polls >= POLLS_MAX || ls->used > OVERLAY_ENOUGH;
    if (leave && !ls->leave_at)
        ls->leave_at = ls->polls;
    return leave;
}

/* The same for a translation that is interpreted: what POLL does in compiled ones. */
static bool check_poll_again(IrCpu *cpu)
{
    return --vcpu_of(cpu)->h.polls_left == 0;
}

static Lockstep *lockstep_of(Vcpu *cpu)
{
    Lockstep *ls = cpu->lockstep;

    if (!ls) {
        ls = calloc(1, sizeof *ls);
        CHECK(ls != NULL);
        ls->world = cpu->e->world;
        ls->world.poll = check_poll;
        ls->again = cpu->e->world;
        ls->again.poll = check_poll_again;
        ls->world.mem = (IrMemOps){.load = check_load, .store = check_store, .cas = check_cas, .rmw = check_rmw,
                                   .version = mem_ops.version, .lock = check_lock, .unlock = check_unlock};
        cpu->lockstep = ls;
    }
    return ls;
}

/* --- preparing --- */

static bool leaves_by_helper(const IrRegion *r)
{
    for (uint32_t b = 0; b < r->nblock; b++) {
        if (r->block[b].last && ir_insn(r, r->block[b].last)->op == IR_EXIT_HELP)
            return true;
    }
    return false;
}

IrRegion *lockstep_prepare(Vcpu *cpu, IrRegion *r, Translation *t)
{
    /* A helper's instruction is the last one of its region. */
    while (r->guest_insns > 1 && leaves_by_helper(r)) {
        r = translate_form(cpu, r->pc, r->guest_insns - 1, t);
        CHECK(r != NULL);
    }
    if (!leaves_by_helper(r))
        t->check_ir = ir_pack(r);
    return r;
}

/* --- running and comparing --- */

static void take(const Vcpu *cpu, Snapshot *s, IrStop stop)
{
    memcpy(s->state, cpu->h.state, cpu->e->cfg.guest->slots.state_size);
    s->fp = cpu->h.ir.fp;
    s->pc = cpu->h.ir.pc;
    s->stop = stop == IR_STOP_NONE ? IR_STOP_CHECK : stop;
    s->fault = cpu->fault;
}

static void restore(Vcpu *cpu, const Snapshot *s)
{
    memcpy(cpu->h.state, s->state, cpu->e->cfg.guest->slots.state_size);
    cpu->h.ir.fp = s->fp;
    cpu->h.ir.pc = s->pc;
}

static bool same_slots(const IrSlots *slots, const Snapshot *a, const Snapshot *b)
{
    for (uint32_t i = 0; i < slots->count; i++) {
        const IrSlot *s = &slots->slot[i];
        if (memcmp(a->state + s->offset, b->state + s->offset, ir_type_size(s->type)) != 0)
            return false;
    }
    return true;
}

static bool same_memory(Vcpu *cpu, const Lockstep *ls, FILE *f)
{
    bool same = true;

    for (unsigned n = 0; n < ls->used; n++) {
        const Granule *g = &ls->granule[ls->order[n]];
        for (unsigned k = 0; k < 16; k++) {
            uint64_t va = (g->key << GRANULE_BITS) + k;
            uint8_t now = 0;
            if (!(g->mask >> k & 1) || (guest_read(cpu, &now, va, 1) && now == g->byte[k]))
                continue;
            same = false;
            if (f)
                fprintf(f, "  byte 0x%llx: interpreter %02x, translation %02x\n", (unsigned long long)va, g->byte[k], now);
        }
    }
    return same;
}

static void print_slot(FILE *f, const IrSlot *s, const Snapshot *snap, const char *who)
{
    unsigned size = ir_type_size(s->type);

    fprintf(f, "  %s ", who);
    while (size-- > 0)
        fprintf(f, "%02x", snap->state[s->offset + size]);
}

static void print_slots(FILE *f, const Vcpu *cpu, const Lockstep *ls)
{
    const IrSlots *slots = &cpu->e->cfg.guest->slots;

    for (uint32_t i = 0; i < slots->count; i++) {
        const IrSlot *s = &slots->slot[i];
        if (memcmp(ls->interp.state + s->offset, ls->jit.state + s->offset, ir_type_size(s->type)) == 0)
            continue;
        fprintf(f, "  %-6s", s->name);
        print_slot(f, s, &ls->start, "before");
        print_slot(f, s, &ls->interp, "interpreter");
        print_slot(f, s, &ls->jit, "translation");
        fputc('\n', f);
    }
}

/* Disassemble the guest instructions of the region, from its IR's marks. */
static void print_code(FILE *f, Vcpu *cpu, const IrRegion *r)
{
    for (uint32_t i = 1; i < r->ninsn; i++) {
        const IrInsn *insn = ir_insn(r, i);
        char text[128];
        size_t avail;
        if (insn->op != IR_INSN)
            continue;
        const uint8_t *code = cpu->e->cfg.env->code(cpu, insn->imm, &avail);
        if (code && cpu->e->cfg.guest->disas(insn->imm, code, avail, text, sizeof text))
            fprintf(f, "  0x%llx  %s\n", (unsigned long long)insn->imm, text);
    }
}

static void print_end(FILE *f, const char *who, const Snapshot *s)
{
    fprintf(f, "  %s: pc 0x%llx, stop %d, FP flags 0x%x", who, (unsigned long long)s->pc, s->stop, s->fp.flags);
    if (s->stop == IR_STOP_FAULT)
        fprintf(f, ", signal %d code %d address 0x%llx", s->fault.sig, s->fault.code, (unsigned long long)s->fault.addr);
    fputc('\n', f);
}

static _Noreturn void report(Vcpu *cpu, const Lockstep *ls, const Translation *t)
{
    FILE *f = stderr;

    fprintf(f, "dragoman: --check: the engines differ after the region at 0x%llx (%u instructions):\n",
            (unsigned long long)t->pc, t->guest_insns);
    print_code(f, cpu, t->check_ir);
    print_end(f, "interpreter", &ls->interp);
    print_end(f, "translation", &ls->jit);
    print_slots(f, cpu, ls);
    same_memory(cpu, ls, f);
    fprintf(f, "state before the region:\n");
    restore(cpu, &ls->start);
    cpu->e->cfg.guest->dump(f, &cpu->h.ir);
    fprintf(f, "(--one-insn --check names the instruction; --log=ir,opt,asm --log-pc=0x%llx shows the translation)\n",
            (unsigned long long)t->pc);
    fflush(f);
    abort();
}

static bool same_end(const Snapshot *a, const Snapshot *b)
{
    if (a->pc != b->pc || a->stop != b->stop || a->fp.flags != b->fp.flags)
        return false;
    return a->stop != IR_STOP_FAULT || a->fault.sig == b->fault.sig;
}

static IrStop interpret(Vcpu *cpu, const IrRegion *r)
{
    arena_reset(&cpu->interp_arena);
    return ir_interp(r, &cpu->h.ir, &cpu->interp_arena);
}

static IrStop interpret_overlay(Vcpu *cpu, Lockstep *ls, const Translation *t)
{
    cpu->h.ir.world = &ls->world;
    IrStop stop = interpret(cpu, t->check_ir);
    cpu->h.ir.world = &cpu->e->world;
    return stop;
}

static IrStop translation_run(Vcpu *cpu, const Translation *t)
{
    vcpu_fp_changed(cpu);
    cpu->h.ir.world = &cpu->lockstep->again;
    IrStop stop = t->hpc ? cpu->e->host->enter(cpu->e->plan, &cpu->h, t->hpc) : interpret(cpu, t->ir);
    cpu->h.ir.world = &cpu->e->world;
    vcpu_fp_sync(cpu);
    return stop;
}

IrStop lockstep_run(Vcpu *cpu, Translation *t)
{
    Lockstep *ls = lockstep_of(cpu);

    overlay_clear(ls);
    ls->polls = ls->leave_at = 0;
    vcpu_fp_sync(cpu);
    take(cpu, &ls->start, IR_STOP_NONE);
    take(cpu, &ls->interp, interpret_overlay(cpu, ls, t));
    if (ls->interp.stop == IR_STOP_FAULT && fault_is_tag(cpu)) {
        /* The translation would be made again after its fault: do that now, before anything was stored. */
        fault_make_careful(cpu);
        restore(cpu, &ls->start);
        return IR_STOP_CHECK;
    }
    restore(cpu, &ls->start);
    cpu->h.polls_left = ls->leave_at ? ls->leave_at : ls->polls + 1;
    IrStop stop = translation_run(cpu, t);
    take(cpu, &ls->jit, stop);
    if (!same_end(&ls->interp, &ls->jit) || !same_slots(&cpu->e->cfg.guest->slots, &ls->interp, &ls->jit) ||
        !same_memory(cpu, ls, NULL))
        report(cpu, ls, t);
    return stop;
}
