/* Rules for the operations of tools: cells at fixed displacements from the pinned register, records in buffers, filters. Calls: tell.c. */
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
    ra_call_stub(s, STUB_TOOL);
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
    const IrNote *n;
    bool fixed;   /* the address and its line are immediates: code's are */
    int32_t imm, addr;
    uint32_t index;
    Gpr x, at, t; /* the address, or by what it differs from the line used last; its place; to use */
    Mem line[4];  /* what is remembered, the line used last first */
    int32_t last; /* bytes into a line at which the access may begin to be in it whole */
    uint32_t back;
} Note;

/* Whether a set is a vector. */
static bool in_a_vector(const Sel *s, const Note *k)
{
    return s->feat->avx512 && k->n->ways == 8;
}

/* Everything that is not seen to be simple is left to a stub. */
static void note_by_stub(Sel *s, const Note *k)
{
    const int32_t at = offsetof(HostCpu, ir.call.arg), addr = at + (int32_t)sizeof(IrVal);

    if (k->fixed) {
        x64_mov_mi(s->a, W64, sel_cpu(s, at), (int32_t)k->index);
        x64_mov_mi(s->a, W64, sel_cpu(s, addr), k->addr);
    } else {
        x64_mov_mr(s->a, W64, sel_cpu(s, at), k->at);
        x64_mov_mr(s->a, W64, sel_cpu(s, addr), k->x);
    }
    sel_store_imm(s, plan_scratch(SCRATCH_IMM), host_note_site((uintptr_t)k->n));
    ra_call_stub(s, in_a_vector(s, k) ? STUB_NOTE_EIGHT : STUB_NOTE);
    x64_jmp(s->a, k->back);
}

/* Whether the access is within the line at `with`: the difference is left in `d`, the jump taken when it is not. */
static void unless_within(Sel *s, const Note *k, Gpr d, RGm with, uint32_t not)
{
    x64_alu_rm(s->a, ALU_XOR, W64, d, with);
    x64_alu_ri(s->a, ALU_CMP, W64, d, k->last);
    x64_jcc(s->a, CC_A, not);
}

/* Into at, the place of what is at `addr`. */
static void note_place(Sel *s, const Note *k, Gpr addr)
{
    const IrNote *n = k->n;
    unsigned right = n->line_bits > n->place_bits ? n->line_bits - n->place_bits : 0;
    unsigned left = n->line_bits < n->place_bits ? n->place_bits - n->line_bits : 0;
    Width w = right ? W64 : W32;

    x64_mov_rr(s->a, w, k->at, addr);
    if (left || right)
        x64_shift_i(s->a, left ? SH_SHL : SH_SHR, w, k->at, left + right);
    x64_alu_ri(s->a, ALU_AND, W32, k->at, (int32_t)n->mask);
}

/* Not the line used last: perhaps one of the next three, which goes to the front then. */
static void note_near(Sel *s, const Note *k)
{
    for (unsigned at = 1; at < 4 && at < k->n->ways; at++) {
        uint32_t not = sel_label(s);
        if (k->fixed) {
            x64_alu_mi(s->a, ALU_CMP, W64, k->line[at], k->imm);
            x64_jcc(s->a, CC_NE, not);
        } else {
            x64_mov_rm(s->a, W64, k->t, k->line[at]);
            unless_within(s, k, k->t, rm_r(k->x), not);
            x64_mov_rm(s->a, W64, k->t, k->line[at]);
        }
        for (unsigned from = at; from--;) {
            x64_mov_rm(s->a, W64, k->x, k->line[from]);
            x64_mov_mr(s->a, W64, k->line[from + 1], k->x);
        }
        if (k->fixed)
            x64_mov_mi(s->a, W64, k->line[0], k->imm);
        else
            x64_mov_mr(s->a, W64, k->line[0], k->t);
        x64_jmp(s->a, k->back);
        sel_bind(s, not);
    }
}

static void miss_xmm(Sel *s, unsigned n, bool save)
{
    for (unsigned k = 0; k < n; k++) {
        Mem m = sel_cpu(s, offsetof(HostCpu, save) + SAVE_XMM + 16 * k);
        if (save)
            x64_mr_m(s->a, VMOVDQU_ST, m, (Xmm){(uint8_t)k});
        else
            x64_rm_m(s->a, VMOVDQU, (Xmm){(uint8_t)k}, m);
    }
}

static Mem set_part(const Note *k, unsigned part)
{
    Mem m = k->line[0];

    m.disp += 16 * (int32_t)part;
    return m;
}

/* Put line t in front of the eight of its set, of which the last is forgotten; to `not` if it is one of them. */
static void miss_insert(Sel *s, const Note *k, uint32_t not)
{
    const Xmm line = {0}, x = {1}, same = {2};

    x64_xg(s->a, VMOVQ_XG, line, k->t);
    x64_rvm(s->a, VPUNPCKLQDQ, line, line, line);
    x64_rvm_m(s->a, VPCMPEQQ, same, line, set_part(k, 0));
    for (unsigned part = 1; part < 4; part++) {
        x64_rvm_m(s->a, VPCMPEQQ, x, line, set_part(k, part));
        x64_rvm(s->a, VPOR, same, same, x);
    }
    x64_rm(s->a, VPTEST, same, same);
    x64_jcc(s->a, CC_NE, not);
    for (unsigned part = 3; part > 0; part--) {
        x64_rm_m(s->a, VMOVDQU, x, set_part(k, part));
        x64_rvmi_m(s->a, VPALIGNR, x, x, set_part(k, part - 1), 8);
        x64_mr_m(s->a, VMOVDQU_ST, set_part(k, part), x);
    }
    x64_rvm_m(s->a, VPUNPCKLQDQ, line, line, set_part(k, 0));
    x64_mr_m(s->a, VMOVDQU_ST, set_part(k, 0), line);
}

/* An access to two lines, whose address has the low bits t: nothing changes when either is what its set has used last. */
static void note_across(Sel *s, const Note *k)
{
    uint32_t no = sel_label(s), second = sel_label(s);

    x64_alu_rr(s->a, ALU_XOR, W64, k->t, k->x);
    x64_alu_rm(s->a, ALU_CMP, W64, k->t, rm_m(k->line[0]));
    x64_jcc(s->a, CC_NE, no);
    x64_alu_ri(s->a, ALU_ADD, W64, k->t, (int32_t)k->n->low + 1);
    note_place(s, k, k->t);
    x64_alu_rm(s->a, ALU_CMP, W64, k->t, rm_m(k->line[0]));
    x64_jcc(s->a, CC_NE, second);
    x64_jmp(s->a, k->back);
    sel_bind(s, second);
    note_place(s, k, k->x);
    sel_bind(s, no);
}

/* Of the access to the first line, where t says. */
static void note_record(Sel *s, const Note *k, Mem pos)
{
    x64_mov_mi(s->a, W32, mem_b(k->t, 0), (int32_t)k->n->word);
    x64_mov_mi(s->a, W32, mem_b(k->t, 4), (int32_t)(k->n->word >> 32));
    x64_mov_mr(s->a, W64, mem_b(k->t, 8), k->x);
    x64_alu_mi(s->a, ALU_ADD, W64, pos, 16);
    x64_jmp(s->a, k->back);
}

/* An access to one line, in its set of eight or not, where a set is a vector. */
static void note_in_vector(Sel *s, const Note *k)
{
    const IrNote *n = k->n;
    const Xmm line = {0}, set = {1};
    Mem pos = mem_b(R15, (int32_t)n->pos - STATE_BIAS);
    uint32_t stub = sel_label(s), miss = sel_label(s), across = sel_label(s), full = sel_label(s);

    x64_mov_rr(s->a, W32, k->t, k->x);
    x64_alu_ri(s->a, ALU_AND, W32, k->t, (int32_t)n->low);
    x64_alu_ri(s->a, ALU_CMP, W32, k->t, k->last);
    x64_jcc(s->a, CC_A, across);
    x64_alu_rr(s->a, ALU_XOR, W64, k->t, k->x);
    miss_xmm(s, 2, true);
    x64_xg(s->a, VPBROADCASTQ_Z_XG, line, k->t);
    x64_rm_m(s->a, VMOVDQU64_Z, set, k->line[0]);
    x64_kvm_m(s->a, VPCMPEQQ_Z, 1, line, k->line[0]);
    x64_kmovb_gk(s->a, k->t, 1);
    x64_test_rr(s->a, W32, k->t, k->t);
    x64_jcc(s->a, CC_E, miss);
    x64_blsmsk(s->a, W32, k->t, rm_r(k->t));
    x64_kmovb_kg(s->a, 1, k->t);
    x64_rvmi(s->a, VALIGNQ_ZK, set, set, line, 7);
    x64_mr_m(s->a, VMOVDQU64_Z_ST, k->line[0], set);
    miss_xmm(s, 2, false);
    x64_jmp(s->a, k->back);
    sel_bind(s, miss);
    x64_mov_rm(s->a, W64, k->t, pos);
    x64_alu_rm(s->a, ALU_CMP, W64, k->t, rm_m(mem_b(R15, (int32_t)n->limit - STATE_BIAS)));
    x64_jcc(s->a, CC_A, full);
    x64_rvmi(s->a, VALIGNQ_Z, set, set, line, 7);
    x64_mr_m(s->a, VMOVDQU64_Z_ST, k->line[0], set);
    miss_xmm(s, 2, false);
    note_record(s, k, pos);
    sel_bind(s, full);
    miss_xmm(s, 2, false);
    x64_jmp(s->a, stub);
    sel_bind(s, across);
    note_across(s, k);
    sel_bind(s, stub);
}

/* An access to one line, which is not in its set of eight, is recorded here: the stub takes twice as long. Nor is that
 * stub called when the line is there. */
static void note_miss(Sel *s, const Note *k)
{
    const IrNote *n = k->n;
    Mem pos = mem_b(R15, (int32_t)n->pos - STATE_BIAS);
    uint32_t stub = sel_label(s), hit = sel_label(s), across = sel_label(s);

    x64_mov_rm(s->a, W64, k->t, pos);
    x64_alu_rm(s->a, ALU_CMP, W64, k->t, rm_m(mem_b(R15, (int32_t)n->limit - STATE_BIAS)));
    x64_jcc(s->a, CC_A, stub);
    x64_mov_rr(s->a, W32, k->t, k->x);
    x64_alu_ri(s->a, ALU_AND, W32, k->t, (int32_t)n->low);
    x64_alu_ri(s->a, ALU_CMP, W32, k->t, k->last);
    x64_jcc(s->a, CC_A, across);
    x64_alu_rr(s->a, ALU_XOR, W64, k->t, k->x);
    miss_xmm(s, 3, true);
    miss_insert(s, k, hit);
    miss_xmm(s, 3, false);
    x64_mov_rm(s->a, W64, k->t, pos);
    note_record(s, k, pos);
    sel_bind(s, hit);
    x64_lea(s->a, W64, k->t, k->line[0]);
    x64_mov_mr(s->a, W64, sel_cpu(s, offsetof(HostCpu, ir.call.arg)), k->t);
    x64_call(s->a, label_stub(STUB_NOTE_HIT));
    miss_xmm(s, 3, false);
    x64_jmp(s->a, k->back);
    sel_bind(s, across);
    note_across(s, k);
    sel_bind(s, stub);
}

/* Code that has not run often is small, and soon made. */
static void note_rest(Sel *s, const Note *k)
{
    bool hot = sel_is_hot(s);

    if (hot)
        note_near(s, k);
    if (hot && in_a_vector(s, k) && !k->fixed)
        note_in_vector(s, k);
    else if (hot && k->n->ways == 8 && !k->fixed)
        note_miss(s, k);
    note_by_stub(s, k);
}

/* At an address that is known. */
static bool note_fixed(Sel *s, Note *k, uint64_t addr)
{
    const IrNote *n = k->n;
    uint64_t line = addr & ~n->low;

    if (addr > INT32_MAX || ((addr + n->span) & ~n->low) != line)
        return false;
    k->fixed = true;
    k->addr = (int32_t)addr;
    k->imm = (int32_t)line;
    k->index = ir_note_index(n, addr);
    for (unsigned at = 0; at < 4; at++)
        k->line[at] = mem_b(R15, (int32_t)(n->table + k->index + 8 * at) - STATE_BIAS);
    k->x = sel_tmp_r(s);
    uint32_t fresh = sel_label(s);
    x64_alu_mi(s->a, ALU_CMP, W64, k->line[0], k->imm);
    x64_jcc(s->a, CC_NE, fresh);
    sel_bind(s, k->back);
    sel_cold_begin(s);
    sel_bind(s, fresh);
    note_rest(s, k);
    sel_cold_end(s);
    return true;
}

static bool is_imm32(uint64_t v)
{
    return (int64_t)v == (int32_t)v;
}

/* Into x, the address. */
static void note_address(Sel *s, const Note *k, Gpr base)
{
    if (k->n->disp == 0) {
        x64_mov_rr(s->a, W64, k->x, base);
    } else if (is_imm32(k->n->disp)) {
        x64_lea(s->a, W64, k->x, mem_b(base, (int32_t)k->n->disp));
    } else {
        x64_mov_ri(s->a, k->x, k->n->disp);
        x64_alu_rr(s->a, ALU_ADD, W64, k->x, base);
    }
}

/* Only the comparison with the line used last is on the way. Whatever its alignment, an access is within that line when its
 * address differs from the line's by no more than a line's bytes minus its own. */
void sel_note(Sel *s, const IrInsn *i)
{
    const IrNote *n = (const IrNote *)(uintptr_t)i->imm;
    Note k = {.n = n, .last = (int32_t)(n->low - n->span), .back = sel_label(s)};
    uint64_t base;

    if (sel_const(s, i->a, &base) && note_fixed(s, &k, base + n->disp))
        return;
    Gpr a = sel_use_r(s, i->a);
    uint32_t fresh = sel_label(s);
    k.x = sel_tmp_r(s);
    k.at = sel_tmp_r(s);
    k.t = sel_tmp_r(s);
    for (unsigned at = 0; at < 4; at++)
        k.line[at] = mem_bi(R15, k.at, 0, (int32_t)(n->table + 8 * at) - STATE_BIAS);
    note_address(s, &k, a);
    note_place(s, &k, k.x);
    if (n->low > INT32_MAX) {
        note_by_stub(s, &k);
        sel_bind(s, k.back);
        return;
    }
    unless_within(s, &k, k.x, rm_m(k.line[0]), fresh);
    sel_bind(s, k.back);
    sel_cold_begin(s);
    sel_bind(s, fresh);
    x64_alu_rm(s->a, ALU_XOR, W64, k.x, rm_m(k.line[0]));
    note_rest(s, &k);
    sel_cold_end(s);
}
