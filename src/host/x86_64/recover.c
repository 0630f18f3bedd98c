/* From a host fault back to guest state, and other changes to an interrupted context. The table's form is in emit.h. */
#include "host/x86_64/flags.h"

#include "base/check.h"

#include <string.h>
#include <ucontext.h>

static uint64_t get_varint(const uint8_t **p)
{
    uint64_t v = 0;
    for (unsigned shift = 0;; shift += 7) {
        uint8_t b = *(*p)++;
        v |= (uint64_t)(b & 0x7f) << shift;
        if (!(b & 0x80))
            return v;
    }
}

static int64_t get_signed(const uint8_t **p)
{
    uint64_t v = get_varint(p);
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

/* Skip one place. */
static const uint8_t *skip_place(const uint8_t *p)
{
    uint8_t kind = *p++;
    if (kind == SIDE_SPILL || kind == SIDE_HOME)
        p++;
    else if (kind == SIDE_CONST)
        get_varint(&p);
    else if (kind == SIDE_CONST16)
        p += 16;
    else if (kind == SIDE_EVAL) {
        bool three = get_varint(&p) == IR_SELECT;
        p = skip_place(skip_place(p + 3));
        if (three)
            p = skip_place(p);
    } else if (kind == SIDE_FLAGS) {
        p = skip_place(skip_place(p + 1));
    }
    return p;
}

/* The entry for host offset `want` in [p, end): returns what follows the offset, or NULL. */
static const uint8_t *find_entry(const uint8_t *p, const uint8_t *end, uint32_t base, uint32_t want)
{
    uint32_t at = base;
    while (p < end) {
        at += (uint32_t)get_varint(&p);
        if (at == want)
            return p;
        get_signed(&p);
        for (unsigned n = *p++; n; n--)
            p = skip_place(p + 1);
    }
    return NULL;
}

/* Where the values of registers are. */
typedef struct Regs {
    uint64_t r[REG_X];
    const uint8_t *x;    /* 16 bytes each */
    const uint8_t *high; /* from xmm16 on, at distances of `stride`; NULL: they are zero */
    unsigned stride;
} Regs;

/* What a place is read from. */
typedef struct Source {
    const HostPlan *plan;
    const HostCpu *cpu;
    const Regs *regs;
} Source;

static IrVal host_reg(const Regs *regs, unsigned reg)
{
    IrVal v = {.u64 = {0, 0}};
    if (reg < REG_X)
        v.u64[0] = regs->r[reg];
    else if (reg < REG_X + 16)
        memcpy(&v, regs->x + 16 * (reg - REG_X), 16);
    else if (regs->high)
        memcpy(&v, regs->high + regs->stride * (reg - REG_X - 16), 16);
    return v;
}

static IrVal read_place(const Source *from, const uint8_t **p);

/* A value that was not computed on the way. */
static IrVal read_eval(const Source *from, const uint8_t **p)
{
    IrInsn i = {.op = (uint16_t)get_varint(p)};
    FpEnv none = {0};
    IrVal v, arg[3] = {{.u64 = {0}}};
    i.type = *(*p)++;
    i.lane = *(*p)++;
    i.aux = *(*p)++;
    arg[0] = read_place(from, p);
    arg[1] = read_place(from, p);
    if (i.op == IR_SELECT)
        arg[2] = read_place(from, p);
    x64_eval(&i, arg, &none, &v);
    return v;
}

static IrVal read_place(const Source *from, const uint8_t **p)
{
    IrVal v = {.u64 = {0, 0}};
    uint8_t kind = *(*p)++;

    if (kind < REG_COUNT)
        return host_reg(from->regs, kind);
    switch (kind) {
    case SIDE_SPILL:
        memcpy(&v, from->cpu->spill + 8 * *(*p)++, 16);
        break;
    case SIDE_HOME:
        memcpy(&v, from->cpu->state + from->plan->cfg.slots->slot[*(*p)++].offset, 16);
        break;
    case SIDE_CONST:
        v.u64[0] = get_varint(p);
        break;
    case SIDE_EVAL:
        return read_eval(from, p);
    default:
        memcpy(&v, *p, 16);
        *p += 16;
        break;
    }
    return v;
}

static void write_slot(const HostPlan *plan, uint8_t *state, unsigned slot, const IrVal *v)
{
    const IrSlot *x = &plan->cfg.slots->slot[slot];
    memcpy(state + x->offset, v, ir_type_size((IrType)x->type));
}

/* All condition flags; `p` is behind SIDE_FLAGS. Returns how many slots they are. */
static unsigned read_flags(const Source *from, const uint8_t **p, uint8_t slot[FLAG_COUNT], IrVal val[FLAG_COUNT])
{
    unsigned how = *(*p)++;
    uint64_t x = read_place(from, p).u64[0], y = read_place(from, p).u64[0];
    bool flag[FLAG_COUNT];

    flags_values(how, x, y, flag);
    for (unsigned k = 0; k < FLAG_COUNT; k++) {
        slot[k] = (uint8_t)from->plan->cfg.flags[k];
        val[k] = (IrVal){.u64 = {flag[k], 0}};
    }
    return FLAG_COUNT;
}

/* `p` is behind the entry's offset. All places are read before any home is written. */
static void apply_entry(const Source *from, const uint8_t *p, uint8_t *state)
{
    const HostPlan *plan = from->plan;
    IrVal val[IR_MAX_SLOTS];
    uint8_t slot[IR_MAX_SLOTS];
    bool listed[PLAN_MAX_PINS] = {false};
    unsigned n = 0;

    for (unsigned entries = *p++; entries; entries--) {
        slot[n] = *p++;
        if (*p == SIDE_FLAGS) {
            p++;
            n += read_flags(from, &p, &slot[n], &val[n]);
            continue;
        }
        val[n] = read_place(from, &p);
        if (plan->slot_pin[slot[n]] != 0xff)
            listed[plan->slot_pin[slot[n]]] = true;
        n++;
    }
    for (unsigned k = 0; k < plan->npin; k++)
        if (!listed[k]) {
            IrVal v = host_reg(from->regs, plan->pin[k].reg);
            write_slot(plan, state, plan->pin[k].slot, &v);
        }
    for (unsigned k = 0; k < n; k++)
        write_slot(plan, state, slot[k], &val[k]);
}

/* The entry for host offset `want`: returns what follows the offset, with the guest pc that it begins with in *pc; or NULL. */
static const uint8_t *side_entry(const uint8_t *side, uint32_t side_len, uint32_t want, uint64_t *pc)
{
    const uint8_t *p = side + 8, *end = side + side_len;
    uint64_t region_pc;
    memcpy(&region_pc, side, 8);
    uint32_t main_len = (uint32_t)get_varint(&p);
    const uint8_t *entry = find_entry(p, p + main_len, 0, want);

    if (!entry) {
        p += main_len;
        uint32_t cold = (uint32_t)get_varint(&p);
        entry = find_entry(p, end, cold, want);
    }
    if (entry)
        *pc = region_pc + (uint64_t)get_signed(&entry);
    return entry;
}

/* Where a signal frame has xmm16-31. When they are zero they need not be there. */
static const uint8_t *frame_high(const HostPlan *plan, const ucontext_t *uc)
{
    const uint8_t *area = (const uint8_t *)uc->uc_mcontext.fpregs;
    uint64_t present;

    if (!plan->high_at)
        return NULL;
    memcpy(&present, area + XSAVE_PRESENT, 8);
    return present >> XSAVE_HIGH & 1 ? area + plan->high_at : NULL;
}

bool x64_recover(HostPlan *plan, HostCpu *cpu, const uint8_t *code_rx, const uint8_t *side, uint32_t side_len,
                 const void *hpc, void *ucv)
{
    static const int8_t gregs[REG_X] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                        REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
    const ucontext_t *uc = ucv;
    const uint8_t *entry = side_entry(side, side_len, (uint32_t)((const uint8_t *)hpc - code_rx), &cpu->ir.pc);

    if (!entry)
        return false;
    x64_flags_settle(cpu, plan);
    Regs regs = {.x = (const uint8_t *)uc->uc_mcontext.fpregs->_xmm, .high = frame_high(plan, uc), .stride = 64};
    for (unsigned k = 0; k < REG_X; k++)
        regs.r[k] = (uint64_t)uc->uc_mcontext.gregs[gregs[k]];
    apply_entry(&(Source){plan, cpu, &regs}, entry, cpu->state);
    if (plan->cfg.lanes)
        memcpy(cpu->counted, regs.x + 16 * REG_LANES.n, sizeof cpu->counted);
    if (!cpu->host_fp)
        cpu->mxcsr = uc->uc_mcontext.fpregs->mxcsr;
    x64_fp_store(cpu);
    return true;
}

/* The call is the instruction before hpc; its entry is that instruction's. */
uint64_t x64_show(HostPlan *plan, const HostCpu *cpu, const uint8_t *code_rx, const uint8_t *side, uint32_t side_len,
                  const void *hpc, uint8_t *state)
{
    uint64_t pc = 0;
    const uint8_t *entry = side_entry(side, side_len, (uint32_t)((const uint8_t *)hpc - code_rx) - CALL_BYTES, &pc);
    Regs regs = {.x = cpu->save + SAVE_XMM, .high = cpu->save + SAVE_XMM + 16 * 16, .stride = 16};

    CHECK(entry);
    memcpy(regs.r, cpu->save, sizeof regs.r);
    x64_flags_show(cpu, plan, state);
    apply_entry(&(Source){plan, cpu, &regs}, entry, state);
    return pc;
}

void x64_leave(HostPlan *plan, HostCpu *cpu, void *ucv, IrStop why)
{
    ucontext_t *uc = ucv;
    uc->uc_mcontext.gregs[REG_RIP] = (greg_t)(uintptr_t)plan->stub[STUB_RESUME];
    uc->uc_mcontext.gregs[REG_RAX] = why;
    uc->uc_mcontext.gregs[REG_R15] = (greg_t)(uintptr_t)(cpu->state + STATE_BIAS);
    uc->uc_mcontext.fpregs->mxcsr = cpu->mxcsr; /* the stub stores it back */
    cpu->host_fp = 0;
}

void x64_abandon(HostPlan *plan, HostCpu *cpu, void *ucv)
{
    ucontext_t *uc = ucv;
    uc->uc_mcontext.gregs[REG_RIP] = (greg_t)(uintptr_t)plan->stub[STUB_TOOL_LOST];
    uc->uc_mcontext.gregs[REG_R15] = (greg_t)(uintptr_t)(cpu->state + STATE_BIAS);
    uc->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)0x400; /* the direction of string instructions, which C keeps upwards */
}

bool x64_shadow_overflow(HostPlan *plan, HostCpu *cpu, void *ucv, const void *fault_addr)
{
    ucontext_t *uc = ucv;
    uintptr_t at = (uintptr_t)fault_addr, limit = (uintptr_t)cpu->shadow_limit;
    if (!cpu->in_code || at >= limit || limit - at > 65536)
        return false;
    uc->uc_mcontext.gregs[REG_RSP] = (greg_t)(uintptr_t)cpu->shadow_base;
    return true;
}
