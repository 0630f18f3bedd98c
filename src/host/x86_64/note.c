/* The stubs of NOTE operations: what code in translations (tool.c) leaves to them. */
#include "host/x86_64/stubs.h"

#include "host/x86_64/asm_vec.h"

/* Some registers, where all_regs has them. */
static void few_regs(Stubs *t, bool save)
{
    static const uint8_t few[] = {0, 1, 2, 6, 7, 8}; /* rax rcx rdx rsi rdi r8 */

    for (unsigned k = 0; k < sizeof few; k++) {
        Mem m = plan_cpu(offsetof(HostCpu, save) + 8 * few[k]);
        if (save)
            x64_mov_mr(&t->a, W64, m, (Gpr){few[k]});
        else
            x64_mov_rm(&t->a, W64, (Gpr){few[k]}, m);
    }
}

/* A member of the note that rcx points to, 2 bytes behind its start (host_note_site). */
#define NOTE(member) mem_b(RCX, (int32_t)offsetof(IrNote, member) - 2)

static Mem call_arg(unsigned n)
{
    return plan_cpu(offsetof(HostCpu, ir.call.arg) + n * sizeof(IrVal));
}

/* Leave to C what has no room for a record, or as many ways as the loop below does not take. */
static void note_for_c(Stubs *t, bool eight)
{
    Asm *a = &t->a;
    const Mem cell = mem_bi(R15, RAX, 0, -STATE_BIAS);

    x64_mov_rm(a, W32, RAX, NOTE(pos));
    x64_mov_rm(a, W64, RDX, cell);
    x64_mov_rm(a, W32, RAX, NOTE(limit));
    x64_alu_rm(a, ALU_CMP, W64, RDX, rm_m(cell));
    uint32_t full = 0, on;
    if (eight) {
        on = x64_jcc_short(a, CC_BE);
    } else {
        full = x64_jcc_short(a, CC_A);
        x64_test_mi(a, W32, NOTE(ways), 3);
        on = x64_jcc_short(a, CC_E);
        asm_short_here(a, full);
    }
    few_regs(t, false);
    stub_jump(t, STUB_TOOL);
    asm_short_here(a, on);
}

/* Registers from xmm`first` on, where all_regs has them. */
static void some_xmm(Stubs *t, unsigned first, unsigned n, bool save)
{
    for (unsigned k = first; k < first + n; k++) {
        Mem m = plan_cpu(offsetof(HostCpu, save) + SAVE_XMM + 16 * k);
        if (save)
            x64_mr_m(&t->a, VMOVDQU_ST, m, (Xmm){(uint8_t)k});
        else
            x64_rm_m(&t->a, VMOVDQU, (Xmm){(uint8_t)k}, m);
    }
}

/* As note_search, of a set of eight at base. */
static void search_eight(Stubs *t, Mem base, uint32_t found[4])
{
    const Xmm line = {0}, set = {1};
    Asm *a = &t->a;

    some_xmm(t, 0, 2, true);
    x64_xg(a, VPBROADCASTQ_Z_XG, line, RDX);
    x64_rm_m(a, VMOVDQU64_Z, set, base);
    x64_kvm_m(a, VPCMPEQQ_Z, 1, line, base);
    x64_kmovb_gk(a, RSI, 1);
    x64_blsmsk(a, W32, RDI, rm_r(RSI)); /* all of them when it is none */
    x64_kmovb_kg(a, 1, RDI);
    x64_rvmi(a, VALIGNQ_ZK, set, set, line, 7);
    x64_mr_m(a, VMOVDQU64_Z_ST, base, set);
    some_xmm(t, 0, 2, false);
    x64_test_rr(a, W32, RSI, RSI);
    found[0] = x64_jcc_short(a, CC_NE);
    for (unsigned k = 1; k < 4; k++)
        found[k] = found[0];
}

/*
 * Look for line rdx at the place of the table that rax says, and put it in front; those before it, or all, move back by one.
 * `found`: jumps when it is there.
 */
static void note_search(Stubs *t, bool eight, uint32_t found[4])
{
    Asm *a = &t->a;
    const Mem base = mem_bi(R15, RAX, 0, -STATE_BIAS);

    x64_mov_rm(a, W32, RSI, NOTE(table));
    x64_alu_rr(a, ALU_ADD, W64, RAX, RSI);
    if (eight) {
        search_eight(t, base, found);
        return;
    }
    x64_mov_rm(a, W32, RSI, NOTE(ways));
    x64_mov_rr(a, W64, RDI, RDX);
    uint32_t loop = asm_here(a);
    for (unsigned k = 0; k < 4; k++) {
        Gpr newer = k & 1 ? R8 : RDI, was = k & 1 ? RDI : R8;
        Mem m = base;
        m.disp += 8 * (int32_t)k;
        x64_mov_rm(a, W64, was, m);
        x64_mov_mr(a, W64, m, newer);
        x64_alu_rr(a, ALU_CMP, W64, was, RDX);
        found[k] = x64_jcc_short(a, CC_E);
    }
    x64_alu_ri(a, ALU_ADD, W64, RAX, 32);
    x64_alu_ri(a, ALU_SUB, W32, RSI, 4);
    uint32_t more = x64_jcc_short(a, CC_NE);
    asm_short_to(a, more, loop);
}

static void all_here(Stubs *t, const uint32_t found[4])
{
    for (unsigned k = 0; k < 4; k++)
        asm_short_here(&t->a, found[k]);
}

/* A record of first half rsi and of address rdi. */
static void note_record(Stubs *t)
{
    Asm *a = &t->a;
    const Mem cell = mem_bi(R15, RAX, 0, -STATE_BIAS);

    x64_mov_rm(a, W32, RAX, NOTE(pos));
    x64_mov_rm(a, W64, R8, cell);
    x64_mov_mr(a, W64, mem_b(R8, 0), RSI);
    x64_mov_mr(a, W64, mem_b(R8, 8), RDI);
    x64_alu_mi(a, ALU_ADD, W64, cell, 16);
}

/* The access goes on in line rax; rsi: the first half of a record of it. */
static void note_second(Stubs *t, bool eight)
{
    Asm *a = &t->a;
    uint32_t found[4];

    x64_mov_mr(a, W64, call_arg(2), RSI);
    x64_mov_rr(a, W64, RDX, RAX);
    x64_mov_rm(a, W32, RAX, call_arg(0));
    x64_alu_rm(a, ALU_ADD, W32, RAX, rm_m(NOTE(place)));
    x64_alu_rm(a, ALU_AND, W32, RAX, rm_m(NOTE(mask)));
    note_search(t, eight, found);
    x64_mov_rm(a, W64, RSI, call_arg(2));
    x64_mov_rr(a, W64, RDI, RDX);
    note_record(t);
    all_here(t, found);
}

/* As ir_note. Two records have room where there is some for one: STREAM_SLACK. */
static void stub_note(Stubs *t, bool eight)
{
    Asm *a = &t->a;
    uint32_t found[4];

    stub_begin(t, eight ? STUB_NOTE_EIGHT : STUB_NOTE);
    few_regs(t, true);
    /* written in two halves: one load of both would wait for them to reach the cache */
    x64_mov_rm(a, W32, RCX, plan_scratch(SCRATCH_IMM));
    x64_mov_rm(a, W32, RAX, plan_cpu(offsetof(HostCpu, scratch) + 8 * SCRATCH_IMM + 4));
    x64_shift_i(a, SH_SHL, W64, RAX, 32);
    x64_alu_rr(a, ALU_OR, W64, RCX, RAX);
    note_for_c(t, eight);
    x64_mov_rm(a, W64, RAX, NOTE(low));
    x64_mov_rm(a, W64, RDX, call_arg(1));
    x64_alu_rr(a, ALU_OR, W64, RDX, RAX);
    x64_alu_rr(a, ALU_XOR, W64, RDX, RAX);
    x64_mov_rm(a, W32, RAX, call_arg(0));
    note_search(t, eight, found);
    x64_mov_rm(a, W64, RSI, NOTE(word));
    x64_mov_rm(a, W64, RDI, call_arg(1));
    note_record(t);
    x64_mov_rm(a, W64, RSI, NOTE(again));
    uint32_t missed = x64_jmp_short(a);
    all_here(t, found);
    x64_mov_rm(a, W64, RSI, NOTE(word));
    asm_short_here(a, missed);
    x64_mov_rm(a, W32, RAX, NOTE(span));
    x64_alu_rm(a, ALU_ADD, W64, RAX, rm_m(call_arg(1)));
    x64_mov_rm(a, W64, RDI, NOTE(low));
    x64_alu_rr(a, ALU_OR, W64, RAX, RDI);
    x64_alu_rr(a, ALU_XOR, W64, RAX, RDI);
    x64_alu_rr(a, ALU_CMP, W64, RAX, RDX);
    uint32_t two = x64_jcc_short(a, CC_NE);
    few_regs(t, false);
    x64_ret(a);
    asm_short_here(a, two);
    note_second(t, eight);
    few_regs(t, false);
    x64_ret(a);
}

/* Where the line is cannot be predicted: each of the eight moves back, or stays when the line was before it, without a
 * branch. */
static void stub_note_hit(Stubs *t)
{
    const Xmm line = {0}, before = {1}, same = {4}, stays = {5}, moved = {6};
    Asm *a = &t->a;

    stub_begin(t, STUB_NOTE_HIT);
    x64_mov_mr(a, W64, plan_cpu(offsetof(HostCpu, save)), RAX);
    x64_mov_rm(a, W64, RAX, call_arg(0));
    some_xmm(t, 3, 4, true);
    for (unsigned part = 0; part < 4; part++) {
        const Xmm x = {part & 1 ? 3 : 2}, last = {part & 1 ? 2 : 3};
        Mem m = mem_b(RAX, 16 * (int32_t)part);
        x64_rm_m(a, VMOVDQU, x, m);
        x64_rvm(a, VPCMPEQQ, same, x, line);
        x64_vmi(a, VPSLLDQ_I, stays, same, 8);
        if (part == 0) {
            x64_rvm(a, VPUNPCKLQDQ, moved, line, x);
        } else {
            x64_rvmi(a, VPALIGNR, moved, x, last, 8);
            x64_rvm(a, VPOR, stays, stays, before);
        }
        x64_rvms(a, VBLENDVPD, moved, moved, x, stays);
        x64_mr_m(a, VMOVDQU_ST, m, moved);
        x64_rmi(a, VPSHUFD, stays, same, 0x4e);
        x64_rvm(a, VPOR, same, same, stays);
        if (part == 0)
            x64_rm(a, VMOVDQA, before, same);
        else
            x64_rvm(a, VPOR, before, before, same);
    }
    some_xmm(t, 3, 4, false);
    x64_mov_rm(a, W64, RAX, plan_cpu(offsetof(HostCpu, save)));
    x64_ret(a);
}

void stubs_note(Stubs *t)
{
    stub_note(t, false);
    if (t->plan->feat.avx512)
        stub_note(t, true);
    stub_note_hit(t);
}
