/* From a host fault back to guest state, and other changes to an interrupted context. The table's form is in emit.h. */
#include "host/x86_64/emit.h"

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

static IrVal host_reg(const ucontext_t *uc, unsigned reg)
{
    static const int8_t gregs[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                     REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
    IrVal v = {.u64 = {0, 0}};
    if (reg < REG_X)
        v.u64[0] = (uint64_t)uc->uc_mcontext.gregs[gregs[reg]];
    else
        memcpy(&v, &uc->uc_mcontext.fpregs->_xmm[reg - REG_X], 16);
    return v;
}

static IrVal read_place(const HostPlan *plan, const HostCpu *cpu, const ucontext_t *uc, const uint8_t **p);

/* A value that was not computed on the way. */
static IrVal read_eval(const HostPlan *plan, const HostCpu *cpu, const ucontext_t *uc, const uint8_t **p)
{
    IrInsn i = {.op = (uint16_t)get_varint(p)};
    FpEnv none = {0};
    IrVal v, arg[3] = {{.u64 = {0}}};
    i.type = *(*p)++;
    i.lane = *(*p)++;
    i.aux = *(*p)++;
    arg[0] = read_place(plan, cpu, uc, p);
    arg[1] = read_place(plan, cpu, uc, p);
    if (i.op == IR_SELECT)
        arg[2] = read_place(plan, cpu, uc, p);
    x64_eval(&i, arg, &none, &v);
    return v;
}

static IrVal read_place(const HostPlan *plan, const HostCpu *cpu, const ucontext_t *uc, const uint8_t **p)
{
    IrVal v = {.u64 = {0, 0}};
    uint8_t kind = *(*p)++;

    if (kind < REG_COUNT)
        return host_reg(uc, kind);
    switch (kind) {
    case SIDE_SPILL:
        memcpy(&v, cpu->spill + 8 * *(*p)++, 16);
        break;
    case SIDE_HOME:
        memcpy(&v, cpu->state + plan->cfg.slots->slot[*(*p)++].offset, 16);
        break;
    case SIDE_CONST:
        v.u64[0] = get_varint(p);
        break;
    case SIDE_EVAL:
        return read_eval(plan, cpu, uc, p);
    default:
        memcpy(&v, *p, 16);
        *p += 16;
        break;
    }
    return v;
}

static void write_slot(const HostPlan *plan, HostCpu *cpu, unsigned slot, const IrVal *v)
{
    const IrSlot *x = &plan->cfg.slots->slot[slot];
    memcpy(cpu->state + x->offset, v, ir_type_size((IrType)x->type));
}

/* `p` is behind the entry's offset. All places are read before any home is written. */
static void apply_entry(const HostPlan *plan, HostCpu *cpu, const ucontext_t *uc, const uint8_t *p)
{
    IrVal val[IR_MAX_SLOTS];
    uint8_t slot[IR_MAX_SLOTS];
    bool listed[PLAN_MAX_PINS] = {false};
    unsigned n = *p++;

    for (unsigned k = 0; k < n; k++) {
        slot[k] = *p++;
        val[k] = read_place(plan, cpu, uc, &p);
        if (plan->slot_pin[slot[k]] != 0xff)
            listed[plan->slot_pin[slot[k]]] = true;
    }
    for (unsigned k = 0; k < plan->npin; k++)
        if (!listed[k]) {
            IrVal v = host_reg(uc, plan->pin[k].reg);
            write_slot(plan, cpu, plan->pin[k].slot, &v);
        }
    for (unsigned k = 0; k < n; k++)
        write_slot(plan, cpu, slot[k], &val[k]);
}

bool x64_recover(HostPlan *plan, HostCpu *cpu, const uint8_t *code_rx, const uint8_t *side, uint32_t side_len,
                 const void *hpc, void *ucv)
{
    const ucontext_t *uc = ucv;
    uint32_t want = (uint32_t)((const uint8_t *)hpc - code_rx);
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
    if (!entry)
        return false;
    cpu->ir.pc = region_pc + (uint64_t)get_signed(&entry);
    x64_flags_settle(cpu, plan);
    apply_entry(plan, cpu, uc, entry);
    cpu->mxcsr = uc->uc_mcontext.fpregs->mxcsr;
    x64_fp_store(cpu);
    return true;
}

void x64_leave(HostPlan *plan, HostCpu *cpu, void *ucv, IrStop why)
{
    ucontext_t *uc = ucv;
    uc->uc_mcontext.gregs[REG_RIP] = (greg_t)(uintptr_t)plan->stub[STUB_RESUME];
    uc->uc_mcontext.gregs[REG_RAX] = why;
    uc->uc_mcontext.gregs[REG_R15] = (greg_t)(uintptr_t)(cpu->state + STATE_BIAS);
    uc->uc_mcontext.fpregs->mxcsr = cpu->mxcsr; /* the stub stores it back */
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
