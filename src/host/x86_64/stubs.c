/*
 * The common stubs at the start of the code cache: how C enters and leaves translated code, and how translated code calls
 * C. Their numbers and register conventions are in plan.h. They are made anew in every process, so they may hold absolute
 * addresses.
 */
#include "host/x86_64/stubs.h"

#include "base/check.h"
#include "host/x86_64/asm_vec.h"

#include <string.h>

#define CPU(field) plan_cpu(offsetof(HostCpu, field))

static const uint8_t callee_saved[] = {3, 5, 12, 13, 14, 15};       /* rbx rbp r12-r15 */
static const uint8_t caller_saved[] = {0, 1, 2, 6, 7, 8, 9, 10, 11}; /* rax rcx rdx rsi rdi r8-r11 */

enum { NXMM = 16, MXCSR_FLAGS = 0x3f };

/* Counts in REG_LANES, for C to find them or back. */
static void lanes(Stubs *t, bool store)
{
    if (t->plan->cfg.lanes && store)
        x64_mr_m(&t->a, VMOVDQU_ST, CPU(counted), REG_LANES);
    else if (t->plan->cfg.lanes)
        x64_rm_m(&t->a, VMOVDQU, REG_LANES, CPU(counted));
}

static void pins(Stubs *t, bool store)
{
    const HostPlan *p = t->plan;
    lanes(t, store);
    for (unsigned k = 0; k < p->npin; k++) {
        Mem m = plan_slot(p, p->pin[k].slot);
        unsigned reg = p->pin[k].reg;
        if (reg < REG_X && store)
            x64_mov_mr(&t->a, W64, m, (Gpr){(uint8_t)reg});
        else if (reg < REG_X)
            x64_mov_rm(&t->a, W64, (Gpr){(uint8_t)reg}, m);
        else if (store)
            x64_mr_m(&t->a, VMOVDQU_ST, m, (Xmm){(uint8_t)(reg - REG_X)});
        else
            x64_rm_m(&t->a, VMOVDQU, (Xmm){(uint8_t)(reg - REG_X)}, m);
    }
}

/* To the C stack, whose pointer enter() left aligned to 16, and first argument. */
static void to_c(Stubs *t)
{
    x64_mov_mr(&t->a, W64, plan_scratch(SCRATCH_RSP), RSP);
    x64_mov_rm(&t->a, W64, RSP, CPU(c_stack));
    x64_lea(&t->a, W64, RDI, plan_cpu(0));
}

static void from_c(Stubs *t)
{
    x64_mov_rm(&t->a, W64, RSP, plan_scratch(SCRATCH_RSP));
}

/*
 * The host's but for the flags, which may be anything in a C function. Loading others than there are takes some 15 ns each way, where
 * the rest of a call takes 3. rax is kept.
 */
static void load_call_fp(Stubs *t)
{
    Asm *a = &t->a;

    x64_mov_mr(a, W64, plan_scratch(SCRATCH_PC), RAX);
    x64_mov_rm(a, W32, RAX, CPU(mxcsr));
    x64_alu_rm(a, ALU_XOR, W32, RAX, rm_m(CPU(host_mxcsr)));
    x64_alu_ri(a, ALU_AND, W32, RAX, MXCSR_FLAGS);
    x64_alu_rm(a, ALU_XOR, W32, RAX, rm_m(CPU(host_mxcsr)));
    x64_mov_mr(a, W32, CPU(call_mxcsr), RAX);
    x64_ldmxcsr(a, CPU(call_mxcsr));
    x64_mov_rm(a, W64, RAX, plan_scratch(SCRATCH_PC));
}

static void swap_fp(Stubs *t, bool then)
{
    x64_stmxcsr(&t->a, CPU(mxcsr));
    if (!then) {
        x64_ldmxcsr(&t->a, CPU(host_mxcsr));
        return;
    }
    load_call_fp(t);
    x64_mov_mi(&t->a, W32, CPU(host_fp), 1);
}

/* `then`: whether the host's is still there in translated code that is gone on with, until STUB_GUEST_FP. */
static void host_fp(Stubs *t, bool then)
{
    Asm *a = &t->a;
    uint32_t there = 0;

    if (t->plan->cfg.tool_calls) {
        x64_alu_mi(a, ALU_CMP, W32, CPU(host_fp), 0);
        there = x64_jcc_short(a, CC_NE);
    }
    swap_fp(t, then);
    if (there)
        asm_short_here(a, there);
}

static void guest_fp(Stubs *t)
{
    x64_ldmxcsr(&t->a, CPU(mxcsr));
    if (t->plan->cfg.tool_calls)
        x64_mov_mi(&t->a, W32, CPU(host_fp), 0);
}

/*
 * Go where `to` says by a return that was predicted to lead to the loop below, and so to nowhere that an attacker has chosen
 * (retpoline). What it pushes it takes away again.
 */
static void thunk_jump(Stubs *t, Gpr to)
{
    Asm *a = &t->a;
    asm_u8(a, 0xe8);
    asm_u32(a, 7); /* over the loop */
    x64_pause(a);
    x64_lfence(a);
    asm_u8(a, 0xeb);
    asm_u8(a, (uint8_t)-7);
    x64_mov_mr(a, W64, mem_b(RSP, 0), to);
    x64_ret(a);
}

static void stub_thunk_jump(Stubs *t)
{
    stub_begin(t, STUB_THUNK);
    thunk_jump(t, RCX);
}

/* Jump to, or call, the address in rcx, as HostConfig.harden says. */
static void go_rcx(Stubs *t, bool call)
{
    Asm *a = &t->a;
    if (t->plan->cfg.harden == HARDEN_RETPOLINE) {
        if (!call) {
            stub_jump(t, STUB_THUNK);
            return;
        }
        asm_u8(a, 0xe8);
        asm_u32(a, (uint32_t)(t->plan->stub[STUB_THUNK] - (a->p + t->delta + 4)));
        return;
    }
    if (t->plan->cfg.harden == HARDEN_LFENCE)
        x64_lfence(a);
    (call ? x64_call_r : x64_jmp_r)(a, RCX);
}

static void jump_to(Stubs *t, Mem m)
{
    if (t->plan->cfg.harden == HARDEN_OFF) {
        x64_jmp_m(&t->a, m);
        return;
    }
    x64_mov_rm(&t->a, W64, RCX, m);
    go_rcx(t, false);
}

/* C functions: one whose address is in memory, and a given one; rcx is none of their arguments. */
static void call_at(Stubs *t, Mem fn)
{
    x64_mov_rm(&t->a, W64, RCX, fn);
    go_rcx(t, true);
}

static void call_abs(Stubs *t, uintptr_t fn)
{
    x64_mov_ri(&t->a, RCX, fn);
    go_rcx(t, true);
}

/* rdi: HostCpu, rsi: where to go */
static void stub_enter(Stubs *t)
{
    Asm *a = &t->a;
    stub_begin(t, STUB_ENTER);
    for (unsigned k = 0; k < sizeof callee_saved; k++)
        x64_push(a, (Gpr){callee_saved[k]});
    x64_alu_ri(a, ALU_SUB, W64, RSP, 8);
    x64_lea(a, W64, R15, mem_b(RDI, -plan_cpu_disp(0)));
    x64_mov_mr(a, W64, CPU(c_stack), RSP);
    x64_mov_mr(a, W64, plan_scratch(SCRATCH_PC), RSI);
    x64_mov_mi(a, W32, CPU(in_code), 1);
    x64_stmxcsr(a, CPU(host_mxcsr));
    guest_fp(t);
    pins(t, false);
    x64_mov_rm(a, W64, RSP, CPU(shadow_base));
    x64_mov_ri(a, RAX, (uintptr_t)t->plan->stub[STUB_RET_MISS]); /* the sentinel */
    x64_mov_mr(a, W64, mem_b(RSP, 0), RAX);
    jump_to(t, plan_scratch(SCRATCH_PC));
}

/* eax: IrStop */
static void stub_resume(Stubs *t)
{
    Asm *a = &t->a;
    stub_begin(t, STUB_RESUME);
    x64_mov_rm(a, W64, RSP, CPU(c_stack));
    host_fp(t, false);
    x64_mov_mi(a, W32, CPU(in_code), 0);
    if (t->plan->cfg.tool_calls) /* a fault came behind a call */
        x64_mov_mi(a, W64, CPU(told), 0);
    x64_alu_ri(a, ALU_ADD, W64, RSP, 8);
    for (unsigned k = sizeof callee_saved; k--;)
        x64_pop(a, (Gpr){callee_saved[k]});
    x64_ret(a);
}

static void stub_leave(Stubs *t)
{
    stub_begin(t, STUB_LEAVE);
    x64_mov_mr(&t->a, W64, CPU(ir.pc), RAX);
    pins(t, true);
    x64_mov_rr(&t->a, W32, RAX, RCX);
    stub_jump(t, STUB_RESUME);
}

/* Call the engine for an address to go on at: cpu->link, cpu->lookup or cpu->hot. */
static void call_engine(Stubs *t, Mem fn)
{
    Asm *a = &t->a;
    pins(t, true);
    to_c(t);
    host_fp(t, false);
    call_at(t, fn);
    guest_fp(t);
    from_c(t);
    x64_test_rr(a, W64, RAX, RAX);
    uint32_t found = x64_jcc_short(a, CC_NE);
    x64_mov_ri(a, RAX, IR_STOP_CHECK);
    stub_jump(t, STUB_RESUME);
    asm_short_here(a, found);
    x64_mov_mr(a, W64, plan_scratch(SCRATCH_PC), RAX);
    pins(t, false);
    x64_mov_rm(a, W64, RAX, CPU(ir.pc));
    jump_to(t, plan_scratch(SCRATCH_PC));
}

/* The same; it is to know the guest address in rax. */
static void stub_engine(Stubs *t, Mem fn)
{
    x64_mov_mr(&t->a, W64, CPU(ir.pc), RAX);
    call_engine(t, fn);
}

/* Called by the stub of a chain site, which is told by where the call is. */
static void stub_link(Stubs *t)
{
    stub_begin(t, STUB_LINK);
    x64_pop(&t->a, RCX);
    x64_alu_ri(&t->a, ALU_SUB, W64, RCX, HOST_CALL_BYTES);
    x64_mov_mr(&t->a, W64, CPU(link_site), RCX);
    call_engine(t, CPU(link));
}

/* Go on at rax if the jump cache at `table` has it. Its index is in the bits of ecx from pc_shift on. */
static void probe(Stubs *t, size_t table)
{
    Asm *a = &t->a;
    int32_t disp = plan_cpu_disp(table);
    x64_alu_ri(a, ALU_AND, W32, RCX, (int32_t)(((1u << HOST_JCACHE_BITS) - 1) << t->plan->cfg.pc_shift));
    x64_shift_i(a, SH_SHL, W32, RCX, 4 - t->plan->cfg.pc_shift);
    x64_alu_rm(a, ALU_CMP, W64, RAX, rm_m(mem_bi(R15, RCX, 0, disp)));
    uint32_t miss = x64_jcc_short(a, CC_NE);
    jump_to(t, mem_bi(R15, RCX, 0, disp + (int32_t)offsetof(HostJump, hpc)));
    asm_short_here(a, miss);
}

/* The first jump cache does not have rax. */
static void stub_lookup(Stubs *t)
{
    stub_begin(t, STUB_LOOKUP);
    x64_mov_rr(&t->a, W64, RCX, RAX);
    x64_shift_i(&t->a, SH_SHR, W64, RCX, HOST_JCACHE_BITS);
    x64_alu_rr(&t->a, ALU_XOR, W32, RCX, RAX);
    probe(t, offsetof(HostCpu, jcache2));
    stub_engine(t, CPU(lookup));
}

static void stub_hot(Stubs *t)
{
    stub_begin(t, STUB_HOT);
    stub_engine(t, CPU(hot));
}

static void stub_promote(Stubs *t)
{
    stub_begin(t, STUB_PROMOTE);
    x64_mov_mr(&t->a, W64, CPU(link_site), RCX);
    stub_engine(t, CPU(promote));
}

/* Go on at rax by the jump caches, or by the engine. */
static void probe_or_lookup(Stubs *t)
{
    x64_mov_rr(&t->a, W32, RCX, RAX);
    probe(t, offsetof(HostCpu, jcache));
    stub_jump(t, STUB_LOOKUP);
}

static void poll(Stubs *t)
{
    Asm *a = &t->a;
    x64_alu_mi(a, ALU_CMP, W32, CPU(exit_request), 0);
    uint32_t none = x64_jcc_short(a, CC_E);
    x64_mov_ri(a, RCX, IR_STOP_CHECK);
    stub_jump(t, STUB_LEAVE);
    asm_short_here(a, none);
}

static void stub_unpaired(Stubs *t)
{
    stub_begin(t, STUB_UNPAIRED);
    stub_engine(t, CPU(unpaired));
}

static void stub_ret_miss(Stubs *t)
{
    stub_begin(t, STUB_RET_MISS);
    x64_mov_rm(&t->a, W64, RSP, CPU(shadow_base));
    x64_alu_mi(&t->a, ALU_SUB, W32, CPU(unpaired_left), 1);
    uint32_t seldom = x64_jcc_short(&t->a, CC_NE);
    stub_jump(t, STUB_UNPAIRED);
    asm_short_here(&t->a, seldom);
    poll(t);
    probe_or_lookup(t);
}

/* ecx: helper. The code that jumped here may be gone when the helper returns, so execution goes on by pc. */
static void stub_help(Stubs *t)
{
    Asm *a = &t->a;
    stub_begin(t, STUB_HELP);
    pins(t, true);
    x64_mov_rr(a, W32, RDX, RCX);
    x64_mov_mr(a, W64, CPU(returns), RSP);
    to_c(t);
    host_fp(t, false);
    x64_mov_ri(a, RSI, (uintptr_t)t->plan);
    call_abs(t, (uintptr_t)x64_help_thunk);
    guest_fp(t);
    x64_test_rr(a, W64, RAX, RAX);
    uint32_t go_on = x64_jcc_short(a, CC_E);
    stub_jump(t, STUB_RESUME);
    asm_short_here(a, go_on);
    x64_mov_rm(a, W64, RSP, CPU(returns));
    x64_test_rr(a, W64, RSP, RSP);
    uint32_t kept = x64_jcc_short(a, CC_NE);
    x64_mov_rm(a, W64, RSP, CPU(shadow_base));
    asm_short_here(a, kept);
    pins(t, false);
    x64_mov_rm(a, W64, RAX, CPU(ir.pc));
    poll(t);
    probe_or_lookup(t);
}

static void caller_regs(Stubs *t, bool save)
{
    Asm *a = &t->a;
    Mem m = CPU(save);
    for (unsigned k = 0; k < sizeof caller_saved; k++, m.disp += 8) {
        if (save)
            x64_mov_mr(a, W64, m, (Gpr){caller_saved[k]});
        else
            x64_mov_rm(a, W64, (Gpr){caller_saved[k]}, m);
    }
    m = plan_cpu(offsetof(HostCpu, save) + SAVE_XMM);
    for (unsigned k = 0; k < NXMM; k++, m.disp += 16) {
        if (save)
            x64_mr_m(a, VMOVDQU_ST, m, (Xmm){(uint8_t)k});
        else
            x64_rm_m(a, VMOVDQU, (Xmm){(uint8_t)k}, m);
    }
}

/* Call C without any effect on registers. It neither uses nor changes the host's FP environment. */
static void stub_thunk(Stubs *t, Stub s, uintptr_t fn)
{
    stub_begin(t, s);
    caller_regs(t, true);
    lanes(t, true);
    to_c(t);
    x64_mov_ri(&t->a, RSI, (uintptr_t)t->plan);
    call_abs(t, fn);
    from_c(t);
    caller_regs(t, false);
    x64_ret(&t->a);
}

/* All registers but rsp and r15, where x64_show finds them. `kept`: those that C keeps are there. */
static void all_regs(Stubs *t, bool save, bool kept)
{
    Asm *a = &t->a;
    for (unsigned k = 0; k < 15; k++) {
        Mem m = plan_cpu(offsetof(HostCpu, save) + 8 * k);
        if (k == RSP.n || (kept && !memchr(caller_saved, (int)k, sizeof caller_saved)))
            continue;
        if (save)
            x64_mov_mr(a, W64, m, (Gpr){(uint8_t)k});
        else
            x64_mov_rm(a, W64, (Gpr){(uint8_t)k}, m);
    }
    for (unsigned k = 0; k < NXMM; k++) {
        Mem m = plan_cpu(offsetof(HostCpu, save) + SAVE_XMM + 16 * k);
        if (save)
            x64_mr_m(a, VMOVDQU_ST, m, (Xmm){(uint8_t)k});
        else
            x64_rm_m(a, VMOVDQU, (Xmm){(uint8_t)k}, m);
    }
}

/* The registers that C keeps, to `at` of HostCpu.save or from there. */
static void kept_regs(Stubs *t, size_t at, bool save)
{
    for (uint64_t m = REG_KEPT; m; m &= m - 1) {
        unsigned k = (unsigned)__builtin_ctzll(m);
        Mem to = plan_cpu(offsetof(HostCpu, save) + at + 8 * k);
        if (save)
            x64_mov_mr(&t->a, W64, to, (Gpr){(uint8_t)k});
        else
            x64_mov_rm(&t->a, W64, (Gpr){(uint8_t)k}, to);
    }
}

/* Tools are any C code, which may compute with floating point. `clobbers`: as C does, its FP environment too. */
static void stub_tool(Stubs *t, Stub s, bool clobbers)
{
    Asm *a = &t->a;
    stub_begin(t, s);
    if (clobbers)
        kept_regs(t, 0, true);
    else
        all_regs(t, true, false);
    x64_mov_rm(a, W64, RAX, mem_b(RSP, 0));
    x64_mov_mr(a, W64, CPU(tool_at), RAX);
    Mem site = plan_scratch(SCRATCH_IMM); /* which was stored in halves: loaded whole it would have to wait for both */
    x64_mov_rm(a, W32, RAX, site);
    site.disp += 4;
    x64_mov_rm(a, W32, RSI, site);
    x64_shift_i(a, SH_SHL, W64, RSI, 32);
    x64_alu_rr(a, ALU_OR, W64, RSI, RAX);
    lanes(t, true);
    to_c(t);
    host_fp(t, clobbers);
    call_at(t, CPU(tool));
    if (!clobbers)
        guest_fp(t);
    from_c(t);
    x64_test_rr(a, W32, RAX, RAX);
    uint32_t on = x64_jcc_short(a, CC_E);
    stub_jump(t, STUB_RESUME);
    asm_short_here(a, on);
    if (clobbers)
        lanes(t, false);
    else
        all_regs(t, false, true);
    x64_ret(a);
}

/* To the function of the IrTell in rax. */
static void call_told(Stubs *t, const uint8_t *thunk)
{
    Asm *a = &t->a;
    const Mem fn = mem_b(RAX, offsetof(IrTell, fn));

    if (t->plan->cfg.harden == HARDEN_OFF) {
        x64_call_m(a, fn);
        return;
    }
    x64_mov_rm(a, W64, RAX, fn);
    if (t->plan->cfg.harden == HARDEN_RETPOLINE) {
        asm_u8(a, 0xe8);
        asm_u32(a, (uint32_t)(thunk - (a->p + 4)));
        return;
    }
    x64_lfence(a);
    x64_call_r(a, RAX);
}

static void stub_tell(Stubs *t)
{
    Asm *a = &t->a;
    const uint8_t *thunk = a->p;

    if (t->plan->cfg.harden == HARDEN_RETPOLINE)
        thunk_jump(t, RAX);
    stub_begin(t, STUB_TELL);
    x64_mov_mr(a, W64, CPU(told), RAX);
    x64_mov_mr(a, W64, plan_scratch(SCRATCH_RSP), RSP);
    x64_mov_rm(a, W64, RSP, CPU(c_stack));
    host_fp(t, t->plan->cfg.tool_calls);
    kept_regs(t, SAVE_KEPT, true);
    lanes(t, true);
    call_told(t, thunk);
    if (!t->plan->cfg.tool_calls)
        guest_fp(t);
    from_c(t);
    lanes(t, false);
    x64_mov_mi(a, W64, CPU(told), 0);
    x64_ret(a);
}

/* A function that was told goes on as if it returned: where its caller's call put the address. */
static void stub_tool_lost(Stubs *t)
{
    Asm *a = &t->a;

    stub_begin(t, STUB_TOOL_LOST);
    x64_alu_mi(a, ALU_CMP, W64, CPU(told), 0);
    uint32_t tool = x64_jcc_short(a, CC_E);
    x64_ldmxcsr(a, CPU(host_mxcsr));
    kept_regs(t, SAVE_KEPT, false);
    x64_mov_rm(a, W64, RSP, CPU(c_stack));
    x64_alu_ri(a, ALU_SUB, W64, RSP, 8);
    x64_ret(a);
    asm_short_here(a, tool);
    guest_fp(t);
    from_c(t);
    all_regs(t, false, false);
    lanes(t, false);
    x64_ret(a);
}

/* In front of what computes with floating point. */
static void stub_guest_fp(Stubs *t)
{
    stub_begin(t, STUB_GUEST_FP);
    guest_fp(t);
    x64_ret(&t->a);
}

static void stub_host_fp(Stubs *t)
{
    stub_begin(t, STUB_HOST_FP);
    swap_fp(t, true);
    x64_ret(&t->a);
}

static void stub_estimates(Stubs *t)
{
    uint8_t table[EST_BYTES];

    stub_begin(t, STUB_ESTIMATES);
    est_table(table);
    for (unsigned i = 0; i < EST_BYTES; i++)
        asm_u8(&t->a, table[i]);
}

bool plan_stubs(HostPlan *p, CodeBuf *cb)
{
    Stubs t = {.plan = p, .delta = cb->delta};

    if ((size_t)(cb->end - cb->p) < 2 * ASM_ROOM) {
        cb->overflow = true;
        return false;
    }
    t.a = (Asm){.start = cb->p, .p = cb->p, .end = cb->end};
    stub_thunk_jump(&t);
    stub_resume(&t);
    stub_leave(&t);
    stub_link(&t);
    stub_lookup(&t);
    stub_hot(&t);
    stub_promote(&t);
    stub_unpaired(&t);
    stub_ret_miss(&t);
    stub_enter(&t);
    stub_help(&t);
    stub_thunk(&t, STUB_EVAL, (uintptr_t)x64_eval_thunk);
    stub_thunk(&t, STUB_CALL, (uintptr_t)x64_call_thunk);
    stub_tool(&t, STUB_TOOL, false);
    stub_tool(&t, STUB_TOOL_CALL, true);
    stub_tell(&t);
    stub_tool_lost(&t);
    stub_guest_fp(&t);
    stub_host_fp(&t);
    stubs_note(&t);
    stub_estimates(&t);
    x64_nop(&t.a, (16 - asm_here(&t.a) % 16) % 16);
    CHECK(t.a.p <= cb->end);
    cb->p = t.a.p;
    return true;
}
