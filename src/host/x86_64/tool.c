/* Rules for the operations of tools: cells at fixed displacements from the pinned register, records in buffers, calls.
 */
#include "host/x86_64/isel.h"

#include "base/check.h"
#include "host/x86_64/asm_vec.h"

/* --- cells -------------------------------------------------------------------------------------------------------- */

/* The cell that an operation is about. */
static Mem cell_at(Sel *s, const IrInsn *i)
{
    int32_t disp = (int32_t)i->imm - STATE_BIAS;
    uint64_t index;

    if (i->op == IR_ROOM)
        return mem_b(R15, disp);
    if (sel_const(s, i->a, &index))
        return mem_b(R15, disp + (int32_t)index);
    return mem_bi(R15, sel_use_r(s, i->a), 0, disp);
}

void sel_cell_get(Sel *s, const IrInsn *i)
{
    Mem m = cell_at(s, i);
    x64_mov_rm(s->a, W64, sel_def_r_last(s, i), m);
}

void sel_cell_put(Sel *s, const IrInsn *i)
{
    Mem m = cell_at(s, i);
    int32_t imm;

    if (imm32(s, i->b, W64, &imm))
        x64_mov_mi(s->a, W64, m, imm);
    else
        x64_mov_mr(s->a, W64, m, sel_use_r(s, i->b));
}

void sel_cell_add(Sel *s, const IrInsn *i)
{
    Mem m = cell_at(s, i);
    int32_t imm;

    if (imm32(s, i->b, W64, &imm))
        x64_alu_mi(s->a, ALU_ADD, W64, m, imm);
    else
        x64_alu_mr(s->a, ALU_ADD, W64, m, sel_use_r(s, i->b));
}

/* Nothing but lea, which leaves the flags as they are. */
bool sel_tally(Sel *s, const IrInsn *i)
{
    Gpr a = sel_use_r(s, i->a);
    Gpr d = sel_def_r_last(s, i);

    if ((int64_t)i->imm == (int32_t)i->imm) {
        x64_lea(s->a, W64, d, mem_b(a, (int32_t)i->imm));
    } else {
        Gpr t = sel_tmp_r(s);
        x64_mov_ri(s->a, t, i->imm);
        x64_lea(s->a, W64, d, mem_bi(a, t, 0, 0));
    }
    return true;
}

/* --- records ------------------------------------------------------------------------------------------------------ */

void sel_room(Sel *s, const IrInsn *i)
{
    Gpr d = sel_def_r_from(s, i, i->a);
    uint32_t full = sel_label(s), back = sel_label(s);

    x64_alu_rm(s->a, ALU_CMP, W64, d, rm_m(cell_at(s, i)));
    x64_jcc(s->a, CC_A, full);
    sel_bind(s, back);
    sel_cold_begin(s);
    sel_bind(s, full);
    x64_mov_mr(s->a, W64, sel_cpu(s, offsetof(HostCpu, ir.call.arg)), d);
    x64_mov_mi(s->a, W64, plan_scratch(SCRATCH_IMM), (int32_t)host_room_site(i->imm));
    x64_call(s->a, label_stub(STUB_TOOL));
    x64_mov_rm(s->a, W64, d, sel_cpu(s, offsetof(HostCpu, ir.call.ret)));
    x64_jmp(s->a, back);
    sel_cold_end(s);
}

static Width stash_width(const IrInsn *i)
{
    static const uint8_t w[] = {[1] = W8, [2] = W16, [4] = W32, [8] = W64};
    return (Width)w[ir_type_size((IrType)i->lane)];
}

void sel_stash(Sel *s, const IrInsn *i)
{
    Mem m = mem_b(sel_use_r(s, i->a), (int32_t)i->imm);
    int32_t imm;

    if (plan_is_x(ra_type(s, ra_root(s, i->b)))) {
        unsigned size = ir_type_size((IrType)i->lane);
        Xmm x = sel_use_x(s, i->b);
        CHECK(size >= 4);
        x64_mr_m(s->a, size == 16 ? VMOVDQU_ST : size == 8 ? VMOVQ_ST : VMOVD_GX, m, x);
    } else if (imm32(s, i->b, stash_width(i), &imm)) {
        x64_mov_mi(s->a, stash_width(i), m, imm);
    } else {
        x64_mov_mr(s->a, stash_width(i), m, sel_use_r(s, i->b));
    }
}

/* What a stub does: the buffer is full, or the key concerns two elements of the table. */
static void note_by_stub(Sel *s, const IrInsn *i)
{
    sel_store_arg(s, 0, i->a);
    sel_store_arg(s, 1, i->b);
    sel_store_arg(s, 2, i->c);
    sel_store_imm(s, plan_scratch(SCRATCH_IMM), host_note_site(i->imm));
    x64_call(s->a, label_stub(STUB_NOTE));
}

static Mem cell_mem(uint32_t disp)
{
    return mem_b(R15, (int32_t)disp - STATE_BIAS);
}

/* A key that is new, by ir_note: t is free. */
static void note_new(Sel *s, const IrInsn *i, Gpr key, Gpr value, Gpr t, Mem known)
{
    const IrNote *n = (const IrNote *)(uintptr_t)i->imm;
    uint32_t rare = sel_label(s);

    x64_test_ri(s->a, W64, key, (int32_t)n->low);
    x64_jcc(s->a, CC_NE, rare);
    x64_mov_rm(s->a, W64, t, cell_mem(n->pos));
    x64_alu_rm(s->a, ALU_CMP, W64, t, rm_m(cell_mem(n->limit)));
    x64_jcc(s->a, CC_A, rare);
    x64_mov_mr(s->a, W64, mem_b(t, 8), value);
    x64_mov_mi(s->a, W32, mem_b(t, 0), (int32_t)n->word);
    x64_mov_mi(s->a, W32, mem_b(t, 4), (int32_t)(n->word >> 32));
    x64_alu_mi(s->a, ALU_ADD, W64, cell_mem(n->pos), 16);
    x64_mov_mr(s->a, W64, known, key);
    uint32_t done = sel_label(s);
    x64_jmp(s->a, done);
    sel_bind(s, rare);
    note_by_stub(s, i);
    sel_bind(s, done);
}

/* Only the comparison is on the way; a constant key, that of a line of code, is compared as it is and otherwise left to the stub. */
void sel_note(Sel *s, const IrInsn *i)
{
    const IrNote *n = (const IrNote *)(uintptr_t)i->imm;
    int32_t imm, disp = (int32_t)n->table - STATE_BIAS;
    uint32_t fresh = sel_label(s), back = sel_label(s);
    uint64_t index;
    bool fixed = imm32(s, i->a, W64, &imm), simple = !fixed && n->low <= INT32_MAX;
    Gpr key = fixed ? RAX : sel_use_r(s, i->a), value = simple ? sel_use_r(s, i->c) : RAX;
    Mem known = sel_const(s, i->b, &index) ? mem_b(R15, disp + (int32_t)index) : mem_bi(R15, sel_use_r(s, i->b), 0, disp);
    Gpr t = simple ? sel_tmp_r(s) : RAX;

    if (fixed)
        x64_alu_mi(s->a, ALU_CMP, W64, known, imm);
    else
        x64_alu_rm(s->a, ALU_CMP, W64, key, rm_m(known));
    x64_jcc(s->a, CC_NE, fresh);
    sel_bind(s, back);
    sel_cold_begin(s);
    sel_bind(s, fresh);
    if (simple)
        note_new(s, i, key, value, t, known);
    else
        note_by_stub(s, i);
    x64_jmp(s->a, back);
    sel_cold_end(s);
}

/* --- calls -------------------------------------------------------------------------------------------------------- */

static void call_tool(Sel *s, const IrInsn *i)
{
    sel_store_arg(s, 0, i->b);
    sel_store_arg(s, 1, i->c);
    sel_store_imm(s, plan_scratch(SCRATCH_IMM), i->imm);
    side_here(s); /* of the call instruction itself: what follows it may have an entry of its own */
    x64_call(s->a, label_stub(STUB_TOOL));
}

void sel_tool(Sel *s, const IrInsn *i)
{
    uint64_t always;

    if (sel_const(s, i->a, &always)) {
        side_open(s, i);
        if (always)
            call_tool(s, i);
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
    call_tool(s, i);
    x64_jmp(s->a, back);
    sel_cold_end(s);
}
