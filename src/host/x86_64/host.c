/* The x86-64 host as the engine sees it. Compiling a region is here: liveness, then selection with allocation, then layout. */
#include "base/check.h"
#include "host/x86_64/disas.h"
#include "host/x86_64/emit.h"
#include "host/x86_64/flags.h"
#include "host/x86_64/graph.h"
#include "host/x86_64/vsel.h"

#include <string.h>

/* Guest instructions of a tree whose jumps are tried in their short form: of 98 % of such (python3) all reach. */
#define NEAR_INSNS 14

typedef struct Attempt {
    size_t cold_cap;  /* bytes that the cold part may have at most */
    Lessons lessons;
    unsigned more;    /* attempts that may follow for what this one teaches */
    bool near;        /* conditional jumps are short */
    bool again;
} Attempt;

static bool compile_once(HostPlan *plan, const IrRegion *r, CodeBuf *cb, HostCode *out, Attempt *at)
{
    Sel *s = ARENA_NEW(r->arena, Sel);
    uint8_t *cold = arena_alloc(r->arena, at->cold_cap);
    uint32_t known = at->lessons.n;

    s->r = r;
    s->plan = plan;
    s->feat = &plan->feat;
    s->arena = r->arena;
    s->ra = ARENA_NEW(r->arena, SelAlloc);
    s->ra->lessons = &at->lessons;
    s->main = (Asm){.start = cb->p, .p = cb->p, .end = cb->end, .arena = (struct Arena *)r->arena};
    s->cold = (Asm){.start = cold, .p = cold, .end = cold + at->cold_cap, .arena = (struct Arena *)r->arena};
    s->main.near_below = s->cold.near_below = at->near ? LABEL_POOL : 0;
    s->a = &s->main;
    emit_init(s);
    if (r->graph)
        vsel_params(s);
    live_run(s);
    ra_begin(s);
    flags_entry(s);
    if (r->graph)
        sel_graph(s);
    else
        sel_block(s, 0);
    at->again = s->cold.overflow;
    if (at->again)
        at->cold_cap *= 2;
    else if (at->lessons.n > known && at->more && !s->main.overflow)
        at->again = at->more--;
    if (s->ra->full || at->again)
        return false;
    if (emit_finish(s, cb, out))
        return true;
    at->again = at->near && !cb->overflow;
    at->near = false;
    return false;
}

/*
 * Loops of graphs begin at multiples of 32. Most trails come back to where they begin, and have no loop within for that: they begin at a line.
 * (A comparison and its jump in two lines, at 48 of 64, made a loop of calls take 1.33 times as long.)
 */
static uintptr_t entry_align(const IrRegion *r)
{
    return r->deep ? 64 : r->graph ? 32 : 16;
}

static bool host_compile(HostPlan *plan, const IrRegion *r, CodeBuf *cb, HostCode *out)
{
    Attempt at = {.cold_cap = 4 * ASM_ROOM + 128 * (size_t)r->ninsn, .more = GRAPH_ATTEMPTS - 1,
                  .near = !r->graph && r->guest_insns <= NEAR_INSNS};
    uintptr_t align = entry_align(r);

    cb->p = (uint8_t *)(((uintptr_t)cb->p + align - 1) & ~(align - 1));
    if (cb->p > cb->end || (size_t)(cb->end - cb->p) < 2 * ASM_ROOM) {
        cb->overflow = true;
        return false;
    }
    do {
        if (compile_once(plan, r, cb, out, &at))
            return true;
    } while (at.again);
    return false;
}

static IrStop host_enter(HostPlan *plan, HostCpu *cpu, const void *hpc)
{
    IrStop (*fn)(HostCpu *, const void *) = (IrStop (*)(HostCpu *, const void *))(uintptr_t)plan->stub[STUB_ENTER];
    IrStop why = fn(cpu, hpc);

    x64_flags_settle(cpu, plan);
    return why;
}

static void host_patch(const HostSite *site, uint8_t *code_rw, int64_t delta, const void *target)
{
    const uint8_t *at = code_rw + delta + site->offset;
    const uint8_t *to = target ? target : code_rw + delta + site->stub;
    int64_t d = to - (at + 4);

    CHECK(d == (int32_t)d && ((uintptr_t)at & 3) == 0);
    __atomic_store_n((int32_t *)(code_rw + site->offset), (int32_t)d, __ATOMIC_RELEASE);
}

/* jmp [r15 + disp32]: the same bytes wherever they are. */
static void host_gates(const HostPlan *plan, uint8_t *buf)
{
    static const uint8_t op[3] = {0x41, 0xff, 0xa7};

    _Static_assert(STUB_COUNT <= HOST_GATES, "HostCpu.gate is too small");
    memset(buf, 0xcc, HOST_GATES * HOST_GATE_BYTES);
    for (unsigned k = 0; k < STUB_COUNT; k++) {
        int32_t disp = plan_cpu_disp(offsetof(HostCpu, gate) + k * sizeof(void *));
        memcpy(buf + k * HOST_GATE_BYTES, op, sizeof op);
        memcpy(buf + k * HOST_GATE_BYTES + sizeof op, &disp, sizeof disp);
    }
}

/*
 *  0  sub dword [r15 + disp32], 1
 *  8  jz 20
 * 15  jmp target                      the site, at 16
 * 20  mov rax, pc;  jmp STUB_HOT
 * 35  call STUB_LINK                  the site's stub
 */
static void host_counter(const HostPlan *plan, uint8_t *buf, uint64_t pc, HostSite *site, HostReloc reloc[2])
{
    static const uint8_t code[HOST_COUNTER_BYTES] = {
        0x41, 0x83, 0xaf, 0, 0, 0, 0, 1, 0x0f, 0x84, 6, 0, 0, 0, 0x90, 0xe9, 15, 0, 0, 0,
        0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0xe9, 0, 0, 0, 0, 0xe8, 0, 0, 0, 0};
    int32_t disp = plan_cpu_disp(offsetof(HostCpu, counter) + 4 * host_hot_index(pc, plan->cfg.pc_shift));

    memcpy(buf, code, sizeof code);
    memcpy(buf + 3, &disp, sizeof disp);
    memcpy(buf + 22, &pc, sizeof pc);
    *site = (HostSite){.offset = 16, .stub = 35, .target = pc};
    reloc[0] = (HostReloc){.offset = 31, .stub = STUB_HOT};
    reloc[1] = (HostReloc){.offset = 36, .stub = STUB_LINK};
}

static void host_cpu_init(const HostPlan *plan, HostCpu *cpu)
{
    for (unsigned k = 0; k < STUB_COUNT; k++)
        cpu->gate[k] = plan->stub[k];
}

static void host_drop_returns(HostPlan *plan, HostCpu *cpu)
{
    (void)plan;
    cpu->returns = NULL; /* outside helpers the next enter() empties the stack, or what leads there is polled for */
}

static void host_retarget(uint8_t *word, const uint8_t *to)
{
    int32_t d = (int32_t)(to - (word + 4));

    memcpy(word, &d, sizeof d);
}

static size_t host_features(const HostPlan *plan, void *buf, size_t len)
{
    size_t n = sizeof plan->feat < len ? sizeof plan->feat : len;

    memcpy(buf, &plan->feat, n);
    return n;
}

const Host host_native = {
    .name = "x86_64",
    .plan_new = plan_new,
    .plan_free = plan_free,
    .stubs = plan_stubs,
    .compile = host_compile,
    .promotion = x64_promotion,
    .enter = host_enter,
    .patch = host_patch,
    .recover = x64_recover,
    .show = x64_show,
    .leave = x64_leave,
    .abandon = x64_abandon,
    .fp_trap = x64_fp_trap,
    .shadow_overflow = x64_shadow_overflow,
    .drop_returns = host_drop_returns,
    .fp_load = x64_fp_load,
    .fp_store = x64_fp_store,
    .gates = host_gates,
    .counter = host_counter,
    .cpu_init = host_cpu_init,
    .retarget = host_retarget,
    .features = host_features,
    .unprotected = x64_unprotected,
    .disas = x64_disas,
};
