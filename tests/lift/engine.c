#include "engine.h"

#include "guest/aarch64/lift.h"
#include "opt/opt.h"

#include <inttypes.h>
#include <string.h>

enum { PC = 0x1000 };

static const IrSlot slot_list[A64_NSLOTS] = {
#define A64_SLOT(slot_name, slot_type, field) {.name = slot_name, .type = slot_type, .offset = offsetof(A64State, field)},
#define A64_FLAG(slot_name, field) {.name = slot_name, .type = IR_I8, .offset = offsetof(A64State, field), .boolean = true},
#include "guest/aarch64/slots.def"
#undef A64_FLAG
#undef A64_SLOT
};
static const IrSlots slots = {.slot = slot_list, .count = A64_NSLOTS, .state_size = sizeof(A64State)};

/* The region of the case's instructions, or NULL when one is undefined. */
static IrRegion *lift(Arena *arena, const Case *c)
{
    IrRegion *r = ir_region_new(arena, &slots, NULL, 0, PC);
    static const A64Features all = {.has = UINT64_MAX};
    Lift l = {.pc = PC, .cpu_features = &all};

    ir_builder_init(&l.b, r);
    for (uint32_t i = 0; i < c->ninsn; i++, l.pc += 4) {
        l.next = l.cont = l.pc + 4;
        ir_emit(&l.b, (IrInsn){.op = IR_INSN, .aux = 4, .imm = l.pc});
        if (!a64_decode_lift(&l, all.has, c->insn[i]))
            return NULL;
    }
    ir_exit(&l.b, l.pc, 0);
    return r;
}

static void load(IrCpu *cpu, A64State *s, const Case *c)
{
    memcpy(s->x, c->x, sizeof c->x);
    memcpy(s->q, c->v, sizeof c->v);
    s->n = c->nzcv >> 31 & 1;
    s->z = c->nzcv >> 30 & 1;
    s->c = c->nzcv >> 29 & 1;
    s->v = c->nzcv >> 28 & 1;
    s->qc.u64[0] = c->fpsr >> 27 & 1;
    cpu->state = (uint8_t *)s;
    cpu->fp.round = c->fpcr >> 22 & 3;
    cpu->fp.flush = c->fpcr >> 24 & 1;
    cpu->fp.default_nan = c->fpcr >> 25 & 1;
    cpu->fp.alt_half = c->fpcr >> 26 & 1;
    cpu->fp.flush16 = c->fpcr >> 19 & 1;
}

static void store(const IrCpu *cpu, const A64State *s, Case *c)
{
    uint32_t flags = cpu->fp.flags;

    memcpy(c->x, s->x, sizeof c->x);
    memcpy(c->v, s->q, sizeof c->v);
    c->nzcv = (uint32_t)s->n << 31 | (uint32_t)s->z << 30 | (uint32_t)s->c << 29 | (uint32_t)s->v << 28;
    c->fpsr = (flags & 31) | (flags & FP_DENORMAL ? 1u << 7 : 0) | (s->qc.u64[0] | s->qc.u64[1] ? 1u << 27 : 0);
}

void engine_run(Case *c, bool optimise)
{
    Arena arena, scratch;
    char err[200];

    arena_init(&arena);
    arena_init(&scratch);
    IrRegion *r = lift(&arena, c);
    if (!r) {
        c->status = CASE_UNDEFINED;
    } else if (!ir_verify(r, true, err, sizeof err)) {
        printf("# bad IR: %s\n", err);
        c->status = CASE_BAD_IR;
    } else {
        static const OptConfig cfg = {.verify = true};
        A64State state = {0};
        IrCpu cpu = {0};
        if (optimise)
            opt_run(r, &cfg);
        load(&cpu, &state, c);
        ir_interp(r, &cpu, &scratch);
        store(&cpu, &state, c);
        c->status = CASE_OK;
    }
    arena_done(&scratch);
    arena_done(&arena);
}

bool engine_defined(const Case *c)
{
    Arena arena;

    arena_init(&arena);
    bool defined = lift(&arena, c) != NULL;
    arena_done(&arena);
    return defined;
}

bool case_differs(const Case *e, const Case *g, bool print)
{
    bool same = e->status == g->status;

    if (!same && print)
        printf("#   status: expected %u, got %u\n", e->status, g->status);
    if (!same || e->status != CASE_OK)
        return !same;
    if (e->fpsr != g->fpsr || e->nzcv != g->nzcv) {
        same = false;
        if (print)
            printf("#   fpsr, nzcv: expected %x %x, got %x %x\n", e->fpsr, e->nzcv >> 28, g->fpsr, g->nzcv >> 28);
    }
    for (unsigned i = 0; i < CASE_XREGS; i++) {
        if (e->x[i] == g->x[i])
            continue;
        same = false;
        if (print)
            printf("#   x%u: expected %016" PRIx64 ", got %016" PRIx64 "\n", i, e->x[i], g->x[i]);
    }
    for (unsigned i = 0; i < 32; i++) {
        if (!memcmp(e->v[i], g->v[i], 16))
            continue;
        same = false;
        if (print)
            printf("#   v%u: expected %016" PRIx64 "%016" PRIx64 ", got %016" PRIx64 "%016" PRIx64 "\n", i, e->v[i][1],
                   e->v[i][0], g->v[i][1], g->v[i][0]);
    }
    return !same;
}
