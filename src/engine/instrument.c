/* The engine's side of tools: cells, looks at instructions, the way of calls and of other accesses to them. */
#include "engine/instrument.h"
#include "engine/internal.h"

#include "base/check.h"
#include "base/safe.h"

#include <stdlib.h>
#include <string.h>

Tools *engine_tools(const Engine *e)
{
    return e->cfg.tools;
}

/* --- cells -----------------------------------------------------------------------------------------------------------
 */

static size_t first_cell(const Guest *g)
{
    return (g->slots.state_size + 7u) & ~7u;
}

unsigned cell_first_slot(const Engine *e)
{
    return e->cfg.guest->slots.count;
}

unsigned cell_slots(const Engine *e)
{
    return e->slots.count - e->cfg.guest->slots.count;
}

uint32_t cell_limit(const Engine *e)
{
    return cell_slots(e) + CELL_BYTES / 8;
}

uint32_t cell_disp(const Engine *e, uint32_t n)
{
    if (n < cell_slots(e))
        return (uint32_t)(first_cell(e->cfg.guest) + 8 * n);
    if (n >= cell_limit(e))
        return CELL_NONE;
    return (uint32_t)(sizeof(Vcpu) - offsetof(Vcpu, h.state)) + 8 * (n - cell_slots(e));
}

void tools_init(Engine *e)
{
    const Guest *g = e->cfg.guest;
    unsigned room = (unsigned)(HOST_STATE_MAX - first_cell(g)) / 8, n = g->slots.count;

    e->slots = g->slots;
    if (!e->cfg.tools)
        return;
    e->cfg.tools->e = e;
    if (room > IR_MAX_SLOTS - 1 - n)
        room = IR_MAX_SLOTS - 1 - n;
    e->cell_slots = calloc(n + room, sizeof *e->cell_slots);
    CHECK(e->cell_slots != NULL);
    memcpy(e->cell_slots, g->slots.slot, n * sizeof *e->cell_slots);
    for (unsigned k = 0; k < room; k++)
        e->cell_slots[n + k] = (IrSlot){.name = "cell", .type = IR_I64, .offset = (uint16_t)(first_cell(g) + 8 * k), .cell = true};
    e->slots = (IrSlots){e->cell_slots, n + room, HOST_STATE_MAX};
}

void cell_counts(Engine *e, uint32_t n, unsigned lane)
{
    if (n >= cell_slots(e))
        return;
    e->cell_slots[cell_first_slot(e) + n].counter = true;
    e->cell_slots[cell_first_slot(e) + n].lane = (uint8_t)lane;
}

uint32_t tools_combine(void *tools, const HostCount *count, unsigned n, bool hot)
{
    Tools *t = tools;

    return t->ops->combine(t, count, n, hot);
}

void tools_done(Engine *e)
{
    free(e->cell_slots);
}

/* --- the stage of the pipeline ------------------------------------------------------------------------------------ */

void tools_region(Fetch *f, IrRegion *r, unsigned tier, bool resumes)
{
    Tools *t = f->cpu->e->cfg.tools;
    ToolRegion how = {.tier = f->cpu->e->plan ? tier : 0, .resumes = resumes};

    if (t)
        t->ops->region(t, f, r, &how);
}

const Guest *engine_guest(const Engine *e)
{
    return e->cfg.guest;
}

Vcpu *fetch_vcpu(const Fetch *f)
{
    return f->cpu;
}

const uint8_t *insn_bytes(Fetch *f, uint64_t pc, size_t *avail)
{
    return fetch_at(f, pc, avail);
}

bool insn_view(Fetch *f, uint64_t pc, IrRegion **scratch, InsnView *out)
{
    Engine *e = f->cpu->e;
    const Guest *g = e->cfg.guest;
    LiftFlow flow = {.kind = LIFT_NEXT};
    Lift l = {.guest = g, .pc = pc, .mode = f->cpu->h.ir.mode, .cpu_features = e->cfg.features, .flow = &flow};
    size_t avail;

    if (!*scratch)
        *scratch = ir_region_new(&f->cpu->arena, &e->slots, g->helpers, g->nhelpers, pc);
    ir_builder_init(&l.b, *scratch);
    l.b.block = ir_block_new(*scratch);
    out->first = (*scratch)->ninsn;
    const uint8_t *code = fetch_at(f, pc, &avail);
    if (!code)
        return false;
    memcpy(out->bytes, code, avail < sizeof out->bytes ? avail : sizeof out->bytes);
    if (!fetch_lift(f, &l))
        return false;
    out->pc = pc;
    out->next = l.next;
    out->length = (uint8_t)(l.next - pc);
    out->target = flow.target;
    out->kind = flow.kind;
    out->hint = flow.hint;
    out->helper = flow.helper;
    out->r = *scratch;
    return true;
}

unsigned insn_text(const Engine *e, uint64_t pc, char *buf, size_t len)
{
    const Guest *g = e->cfg.guest;
    uint8_t code[16];
    size_t n = sizeof code;

    while (n >= g->min_insn && !guest_peek(code, pc, n))
        n /= 2;
    return n >= g->min_insn ? g->disas(pc, code, n, buf, len) : 0;
}

void tools_set_state(Engine *e, unsigned state)
{
    atomic_store(&e->cfg.tools->state, state);
    engine_kick_all(e);
}

void tools_thread_begin(Vcpu *cpu)
{
    fault_attach(cpu);
}

void tools_thread_end(Vcpu *cpu)
{
    fault_detach(cpu);
}

bool tools_mode(Vcpu *cpu)
{
    Tools *t = cpu->e->cfg.tools;
    uint32_t had = cpu->h.ir.mode;

    if (!t)
        return false;
    if (atomic_load_explicit(&t->signalled, memory_order_relaxed))
        t->ops->signalled(t);
    cpu->h.ir.mode = (had & ((1u << TOOL_STATE_SHIFT) - 1)) | atomic_load(&t->state) << TOOL_STATE_SHIFT;
    return cpu->h.ir.mode != had;
}

static const Translation *live_code(const Engine *e, uint64_t pc)
{
    for (size_t k = 0; k < (size_t)1 << TABLE_BITS; k++) { /* a report has time */
        Translation *t = atomic_load_explicit(&e->table.bucket[k], memory_order_acquire);
        for (; t; t = atomic_load_explicit(&t->hash_next, memory_order_acquire))
            if (t->pc == pc && t->hpc && !translation_dead(t))
                return t;
    }
    return NULL;
}

bool host_text(const Engine *e, uint64_t pc, HostLineFn *line, void *data)
{
    const Translation *t = live_code(e, pc);
    char text[192];

    for (uint32_t at = 0, n; t && at < t->insns; at += n ? n : 1) {
        n = e->host->disas(t->hpc + at, (uintptr_t)t->hpc + at, text, sizeof text);
        line(data, text);
    }
    return t != NULL;
}

/* --- calls -------------------------------------------------------------------------------------------------------- */

typedef struct CodeShow {
    IrShow s;
    Vcpu *cpu;
} CodeShow;

/* Of a call from translated code: the side table of the translation that it is in says. */
static uint64_t see_code(const IrShow *show, uint8_t *state)
{
    Vcpu *cpu = ((const CodeShow *)show)->cpu;
    Engine *e = cpu->e;
    Translation *t = cache_find(&e->cache, (const uint8_t *)cpu->h.tool_at - 1);

    CHECK(t != NULL);
    return e->host->show(e->plan, &cpu->h, t->hpc, t->side, t->side_len, cpu->h.tool_at, state);
}

IrStop tools_code_call(HostCpu *h, uint64_t site)
{
    Vcpu *cpu = (Vcpu *)h;
    CodeShow show = {{see_code}, cpu};
    const IrVal *arg = h->ir.call.arg;

    if (site & 1) {
        h->ir.call.ret.u64[0] = tools_world_room(&h->ir, arg[0].u64[0], site >> 1);
        return IR_STOP_NONE;
    }
    if (site & 2) {
        ir_note(&h->ir, (const IrNote *)(uintptr_t)(site - 2), arg[1].u64[0]);
        return IR_STOP_NONE;
    }
    IrStop stop = cpu->e->cfg.tools->ops->code_call(cpu->e->cfg.tools, cpu, site, arg, &show.s);
    if (stop != IR_STOP_NONE)
        h->flags_from = 0; /* the vcpu's state has been put there whole, flags and all */
    return stop;
}

IrStop tools_world_call(IrCpu *ir, uint64_t site, const IrVal arg[2], IrShow *show)
{
    Vcpu *cpu = vcpu_of(ir);

    return cpu->e->cfg.tools->ops->call(cpu->e->cfg.tools, cpu, site, arg, show);
}

uint64_t tools_world_room(IrCpu *ir, uint64_t at, uint64_t limit)
{
    Vcpu *cpu = vcpu_of(ir);

    return cpu->e->cfg.tools->ops->room(cpu->e->cfg.tools, cpu, at, limit);
}

/* --- other accesses to guest memory ------------------------------------------------------------------------------- */

void tools_access(Vcpu *cpu, uint64_t va, uint64_t len, bool write, ToolAccess by)
{
    Tools *t = cpu->e->cfg.tools;

    if (t && len && !cpu->unseen)
        t->ops->access(t, cpu, va, len, write, by);
}

bool guest_peek(void *dst, uint64_t va, size_t n)
{
    return safe_copy(dst, (const void *)(uintptr_t)va, n) == 0;
}

bool guest_poke(uint64_t va, const void *src, size_t n)
{
    return safe_copy((void *)(uintptr_t)va, src, n) == 0;
}
