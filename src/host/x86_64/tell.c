/*
 * Calls of tools' functions, TOOL and TELL. There may be one at each guest instruction, so they cost little more than C calls do: what
 * is needed behind one is evicted in front of it from registers that C does not keep, and only loaded again when it is used.
 *
 * A TELL in hot code needs no stub. What holds until the end of the block is done once: the host's FP environment stays, the return
 * stack's pointer is noted, and so are registers that C keeps, which are restored should the function crash (STUB_TOOL_LOST).
 */
#include "host/x86_64/isel.h"

#include "base/check.h"
#include "host/x86_64/asm_vec.h"

#include <string.h>

/* --- what is there between calls ---------------------------------------------------------------------------------------- */

static bool computes_fp(const IrInsn *i)
{
    return ir_ops[i->op].flags & IRF_FP;
}

/* Call the stub when HostCpu.host_fp compares so with 0. */
static void exchange_fp(Sel *s, Cc cc, Stub stub)
{
    uint32_t other = sel_label(s), back = sel_label(s);

    x64_alu_mi(s->a, ALU_CMP, W32, sel_cpu(s, offsetof(HostCpu, host_fp)), 0);
    x64_jcc(s->a, cc, other);
    sel_bind(s, back);
    sel_cold_begin(s);
    sel_bind(s, other);
    x64_call(s->a, label_stub(stub));
    x64_jmp(s->a, back);
    sel_cold_end(s);
}

void sel_calls_block(Sel *s)
{
    const SelAlloc *ra = s->ra;

    memset(&s->calls, 0, sizeof s->calls);
    for (uint32_t k = ra->pos; !s->calls.fp_block; k++) {
        const IrInsn *i = &s->r->insn[ra->order[k]];
        if (i->op == IR_BR || i->op == IR_BRIF || (ir_ops[i->op].flags & IRF_END))
            return;
        s->calls.fp_block = computes_fp(i);
    }
    exchange_fp(s, CC_NE, STUB_GUEST_FP);
}

/* Whether the operation may call other C code, which may leave another FP environment, or change the return stack. */
static bool ends_calls(const IrInsn *i)
{
    return (ir_ops[i->op].flags & IRF_END) || i->op == IR_CALL || i->op == IR_TOOL || i->op == IR_ROOM || i->op == IR_NOTE || i->op == IR_OWE;
}

void sel_calls_before(Sel *s, const IrInsn *i)
{
    SelCalls *c = &s->calls;
    const uint8_t *from = s->a->p;
    bool ends = ends_calls(i);

    if (c->told && ends) {
        x64_mov_mi(s->a, W64, sel_cpu(s, offsetof(HostCpu, told)), 0);
        c->told = c->rsp = false;
    }
    /* a comparison may be evaluated where its result is wanted */
    if (c->fp_block && c->fp_host && (ends || computes_fp(i) || i->op == IR_SELECT)) {
        x64_call(s->a, label_stub(STUB_GUEST_FP));
        c->fp_host = false;
    }
    c->fp_host &= !ends;
    asm_flags_kept(s->a, from);
}

/* --- TELL ------------------------------------------------------------------------------------------------------------------ */

static const Gpr c_args[IR_TELL_ARGS] = {{7}, {6}, {2}, {1}}; /* rdi rsi rdx rcx */

/* Argument n, which is no operand; rax: the IrTell. */
static void tell_arg(Sel *s, const IrTell *tell, unsigned n)
{
    uint64_t v = tell->arg[n];

    if (tell->kind[n] == IR_TELL_CELL)
        x64_mov_rm(s->a, W64, c_args[n], mem_b(R15, (int32_t)v - STATE_BIAS));
    else if (tell->kind[n] == IR_TELL_CONST && v <= UINT32_MAX)
        x64_mov_ri(s->a, c_args[n], v);
    else if (tell->kind[n] == IR_TELL_CONST)
        x64_mov_rm(s->a, W64, c_args[n], mem_b(RAX, (int32_t)(offsetof(IrTell, arg) + n * sizeof tell->arg[0])));
}

/* Where the address is before the call makes values move. */
typedef struct Address {
    IrRef root;
    unsigned reg; /* or REG_NONE */
} Address;

static Address tell_address(const Sel *s, const IrInsn *i)
{
    IrRef root = ra_root(s, i->b);

    return (Address){root, ra_val(s, root)->reg};
}

static void tell_args(Sel *s, const IrTell *tell, Address from)
{
    for (unsigned n = 0; n < tell->nargs; n++) { /* before another argument takes its place */
        if (tell->kind[n] != IR_TELL_ADDRESS)
            continue;
        if (from.reg != REG_NONE)
            ra_move(s, c_args[n].n, from.reg);
        else
            ra_load_into(s, c_args[n].n, from.root);
    }
    x64_mov_ri(s->a, RAX, (uintptr_t)tell);
    for (unsigned n = 0; n < tell->nargs; n++)
        tell_arg(s, tell, n);
}

/* Registers that C keeps, to where STUB_TOOL_LOST finds them, but for those that are there. */
static void note_kept(Sel *s)
{
    for (uint64_t m = s->ra->used & REG_KEPT; m; m &= m - 1) {
        unsigned reg = (unsigned)__builtin_ctzll(m);
        IrRef root = s->ra->reg_val[reg];
        if (s->calls.kept[reg] != root)
            ra_store_reg(s, sel_cpu(s, offsetof(HostCpu, save) + SAVE_KEPT + 8 * reg), reg);
        s->calls.kept[reg] = root;
    }
}

static void tell_here(Sel *s, const IrTell *tell, Address from)
{
    SelCalls *c = &s->calls;
    const Mem rsp = sel_cpu(s, offsetof(HostCpu, told_rsp));

    if (!c->fp_host)
        exchange_fp(s, CC_E, STUB_HOST_FP);
    if (!c->rsp)
        x64_mov_mr(s->a, W64, rsp, RSP);
    note_kept(s);
    tell_args(s, tell, from);
    x64_mov_mr(s->a, W64, sel_cpu(s, offsetof(HostCpu, told)), RAX);
    x64_mov_rm(s->a, W64, RSP, sel_cpu(s, offsetof(HostCpu, c_stack)));
    x64_call_m(s->a, mem_b(RAX, offsetof(IrTell, fn)));
    x64_mov_rm(s->a, W64, RSP, rsp);
    c->rsp = c->told = true;
}

static void tell_always(Sel *s, const IrInsn *i, const IrTell *tell)
{
    const HostConfig *cfg = &s->plan->cfg;
    Address from = tell_address(s, i);

    if (tell->value)
        sel_store_arg(s, IR_TELL_VALUE, i->c);
    ra_call(s, REG_KEPT, false);
    if ((s->r->graph || s->r->deep) && cfg->tool_calls && cfg->harden == HARDEN_OFF) {
        tell_here(s, tell, from);
    } else {
        tell_args(s, tell, from);
        ra_call_stub(s, STUB_TELL);
        s->calls.told = false;
    }
    s->calls.fp_host = cfg->tool_calls;
}

/* Those of `regs` to where stubs keep them, or back. */
static void keep_regs(Sel *s, uint64_t regs, bool save)
{
    for (; regs; regs &= regs - 1) {
        unsigned reg = (unsigned)__builtin_ctzll(regs);
        Mem m = sel_cpu(s, offsetof(HostCpu, save) + (reg < REG_X ? 8 * reg : SAVE_XMM + 16 * (reg - REG_X)));
        if (save)
            ra_store_reg(s, m, reg);
        else
            ra_load_memory(s, reg, reg < REG_X ? IR_I64 : IR_V128, true, m);
    }
}

/* In cold code: nothing has moved when it goes on. */
static void tell_sometimes(Sel *s, const IrInsn *i, const IrTell *tell)
{
    uint64_t live = ra_live(s) & ~REG_KEPT;

    if (tell->value)
        sel_store_arg(s, IR_TELL_VALUE, i->c);
    keep_regs(s, live, true);
    tell_args(s, tell, tell_address(s, i));
    ra_call_stub(s, STUB_TELL);
    keep_regs(s, live, false);
    if (s->calls.fp_block && !s->calls.fp_host)
        x64_call(s->a, label_stub(STUB_GUEST_FP));
}

void sel_tell(Sel *s, const IrInsn *i)
{
    const IrTell *tell = (const IrTell *)(uintptr_t)i->imm;
    uint64_t always;

    if (sel_const(s, i->a, &always)) {
        if (always)
            tell_always(s, i, tell);
        return;
    }
    Gpr guard = sel_use_r(s, i->a);
    uint32_t yes = sel_label(s), back = sel_label(s);
    x64_test_rr(s->a, W8, guard, guard);
    x64_jcc(s->a, CC_NE, yes);
    sel_bind(s, back);
    sel_cold_begin(s);
    sel_bind(s, yes);
    tell_sometimes(s, i, tell);
    x64_jmp(s->a, back);
    sel_cold_end(s);
}

/* --- TOOL ------------------------------------------------------------------------------------------------------------------ */

static void store_operands(Sel *s, const IrInsn *i)
{
    sel_store_arg(s, 0, i->b);
    sel_store_arg(s, 1, i->c);
}

/* Its operands have been stored. */
static void call_tool(Sel *s, const IrInsn *i, Stub stub)
{
    sel_store_imm(s, plan_scratch(SCRATCH_IMM), i->imm);
    ra_keep_high(s, true);
    side_here(s); /* of the call instruction itself: what follows it may have an entry of its own */
    x64_call(s->a, label_stub(stub));
    ra_keep_high(s, false);
}

static void tool_always(Sel *s, const IrInsn *i)
{
    bool clobbers = s->plan->cfg.tool_calls;

    store_operands(s, i);
    if (clobbers)
        ra_call(s, REG_KEPT, true);
    side_open(s, i);
    call_tool(s, i, clobbers ? STUB_TOOL_CALL : STUB_TOOL);
    s->calls.fp_host = clobbers;
}

void sel_tool(Sel *s, const IrInsn *i)
{
    uint64_t always;

    if (sel_const(s, i->a, &always)) {
        if (always)
            tool_always(s, i);
        return;
    }
    Gpr guard = sel_use_r(s, i->a);
    uint32_t yes = sel_label(s), back = sel_label(s);
    side_open(s, i);
    x64_test_rr(s->a, W8, guard, guard);
    x64_jcc(s->a, CC_NE, yes);
    sel_bind(s, back);
    sel_cold_begin(s);
    sel_bind(s, yes);
    store_operands(s, i);
    call_tool(s, i, STUB_TOOL);
    x64_jmp(s->a, back);
    sel_cold_end(s);
}
