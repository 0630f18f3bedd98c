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

/* --- filters ------------------------------------------------------------------------------------------------------ */

/* A NOTE being emitted. */
typedef struct Note {
    const IrInsn *i;
    const IrNote *n;
    bool fixed;      /* the key is an immediate: that of a line of code */
    int32_t imm;
    Gpr key, t;      /* t: to use, as is `addr` for reading when the access is longer than a byte */
    Gpr addr;
    Mem line[3];     /* what is remembered, the line used last first */
    uint32_t back, rare;
} Note;

/* Everything that is not seen to be simple is left to a stub. */
static void note_by_stub(Sel *s, const Note *k)
{
    sel_store_arg(s, 0, k->i->b);
    sel_store_arg(s, 1, k->i->c);
    sel_store_imm(s, plan_scratch(SCRATCH_IMM), host_note_site(k->i->imm));
    x64_call(s->a, label_stub(STUB_NOTE));
}

static void compare_key(Sel *s, const Note *k, Mem with)
{
    if (k->fixed)
        x64_alu_mi(s->a, ALU_CMP, W64, with, k->imm);
    else
        x64_alu_rm(s->a, ALU_CMP, W64, k->key, rm_m(with));
}

static void shift_line(Sel *s, const Note *k, unsigned from)
{
    x64_mov_rm(s->a, W64, k->t, k->line[from]);
    x64_mov_mr(s->a, W64, k->line[from + 1], k->t);
}

/* Not the line used last: perhaps one of the next two, which goes to the front then. */
static void note_near(Sel *s, const Note *k)
{
    for (unsigned at = 1; at < 3 && at < k->n->ways; at++) {
        uint32_t not = sel_label(s);
        compare_key(s, k, k->line[at]);
        x64_jcc(s->a, CC_NE, not);
        for (unsigned from = at; from--;)
            shift_line(s, k, from);
        if (k->fixed)
            x64_mov_mi(s->a, W64, k->line[0], k->imm);
        else
            x64_mov_mr(s->a, W64, k->line[0], k->key);
        x64_jmp(s->a, k->back);
        sel_bind(s, not);
    }
}

/* An access that is not aligned, but within the line used last. */
static void note_unaligned(Sel *s, const Note *k)
{
    x64_lea(s->a, W64, k->t, mem_b(k->addr, (int32_t)k->n->span));
    x64_alu_ri(s->a, ALU_AND, W64, k->t, (int32_t)~k->n->low);
    x64_alu_rm(s->a, ALU_CMP, W64, k->t, rm_m(k->line[0]));
    x64_jcc(s->a, CC_NE, k->rare);
    x64_mov_rr(s->a, W64, k->t, k->addr);
    x64_alu_ri(s->a, ALU_AND, W64, k->t, (int32_t)~k->n->low);
    x64_alu_rm(s->a, ALU_CMP, W64, k->t, rm_m(k->line[0]));
    x64_jcc(s->a, CC_E, k->back);
}

/* Only the comparison with the line used last is on the way. */
void sel_note(Sel *s, const IrInsn *i)
{
    const IrNote *n = (const IrNote *)(uintptr_t)i->imm;
    Note k = {.i = i, .n = n, .key = RAX, .addr = RAX, .back = sel_label(s), .rare = sel_label(s)};
    int32_t disp = (int32_t)n->table - STATE_BIAS;
    uint32_t fresh = sel_label(s);
    uint64_t index;

    k.fixed = imm32(s, i->a, W64, &k.imm);
    if (!k.fixed)
        k.key = sel_use_r(s, i->a);
    if (n->span)
        k.addr = sel_use_r(s, i->c);
    bool known = sel_const(s, i->b, &index);
    Gpr place = known ? RAX : sel_use_r(s, i->b);
    for (unsigned at = 0; at < 3; at++, disp += 8)
        k.line[at] = known ? mem_b(R15, disp + (int32_t)index) : mem_bi(R15, place, 0, disp);
    k.t = sel_tmp_r(s);

    compare_key(s, &k, k.line[0]);
    x64_jcc(s->a, CC_NE, fresh);
    sel_bind(s, k.back);
    sel_cold_begin(s);
    sel_bind(s, fresh);
    if (!s->r->graph) { /* code that has not run often: small, and soon made */
        note_by_stub(s, &k);
        x64_jmp(s->a, k.back);
        sel_cold_end(s);
        return;
    }
    if (n->span && n->low <= INT32_MAX) {
        uint32_t aligned = sel_label(s);
        x64_test_ri(s->a, W32, k.addr, (int32_t)n->span);
        x64_jcc(s->a, CC_E, aligned);
        note_unaligned(s, &k);
        sel_bind(s, k.rare);
        note_by_stub(s, &k);
        x64_jmp(s->a, k.back);
        sel_bind(s, aligned);
    }
    note_near(s, &k);
    note_by_stub(s, &k);
    x64_jmp(s->a, k.back);
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
