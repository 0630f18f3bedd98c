/* Rules of scalar integer arithmetic and logic. Each rule's IR meaning is in ir/ops.def. */
#include "host/x86_64/isel.h"

/* --- add, logic
 * ------------------------------------------------------------------------------------------------------- */

/* d = a op b for an operation that overwrites its first operand. */
static void alu(Sel *s, const IrInsn *i, Alu op, Width w)
{
    int32_t imm;
    IrRef x = i->a, y = i->b;
    bool comm = op != ALU_SUB;

    if (comm && sel_const(s, x, &(uint64_t){0})) {
        x = i->b;
        y = i->a;
    }
    if (imm32(s, y, w, &imm)) {
        Gpr d = sel_def_r_from(s, i, x);
        x64_alu_ri(s->a, op, w, d, imm);
        flags_set(s, op == ALU_SUB ? FL_SUB : op == ALU_ADD ? FL_SUM : FL_RES, (IrRef)(i - s->r->insn), 0, w);
        return;
    }
    if (comm && !sel_dies(s, x) && sel_dies(s, y) && s->ra->val[ra_root(s, y)].reg != REG_NONE) {
        IrRef t = x;
        x = y;
        y = t;
    }
    RGm b = sel_use_rm(s, y, op_bytes(w));
    Gpr d = sel_def_r_from(s, i, x);
    x64_alu_rm(s->a, op, w, d, b);
    flags_set(s, op == ALU_SUB ? FL_SUB : op == ALU_ADD ? FL_SUM : FL_RES, (IrRef)(i - s->r->insn), 0, w);
}

/* Whether the flags are asked for right away: then lea will not do, which has none. */
static bool flags_wanted(const Sel *s, const IrInsn *i)
{
    return ra_val(s, (IrRef)(i - s->r->insn))->am == VAL_AM_FLAGS;
}

/* Whether the flags are as something left them that is likely asked for: then lea had best keep them. */
static bool flags_held(const Sel *s)
{
    if (s->a->flags_at != s->a->p)
        return false;
    return (s->flags.kind != FL_SUM && s->flags.kind != FL_SUB && s->flags.kind != FL_RES) ||
           ra_val(s, s->flags.x)->am == VAL_AM_FLAGS;
}

static bool in_reg(const Sel *s, IrRef v)
{
    return s->ra->val[ra_root(s, v)].reg != REG_NONE;
}

static bool sel_add(Sel *s, const IrInsn *i)
{
    Width w = width_of((IrType)i->type);
    int32_t imm;
    IrRef x = i->a, y = i->b;

    if (sel_const(s, x, &(uint64_t){0})) {
        x = i->b;
        y = i->a;
    }
    unsigned am = ra_val(s, (IrRef)(i - s->r->insn))->am;
    if (am >= VAL_AM_FIRST) {
        AddrMode m = s->ra->am[am];
        Gpr base = sel_use_r(s, m.base), index = sel_use_r(s, m.index);
        x64_lea(s->a, w, sel_def_r_last(s, i), mem_bi(base, index, m.scale, m.disp));
        return true;
    }
    if (flags_wanted(s, i)) {
        alu(s, i, ALU_ADD, w);
        return true;
    }
    if (imm32(s, y, w, &imm)) {
        Gpr a = sel_use_r(s, x);
        Gpr d = sel_def_r_last(s, i);
        if (a.n == d.n && !flags_held(s)) {
            x64_alu_ri(s->a, ALU_ADD, w, d, imm);
            flags_set(s, FL_SUM, (IrRef)(i - s->r->insn), 0, w);
        } else {
            x64_lea(s->a, w, d, mem_b(a, imm));
        }
        return true;
    }
    if (!in_reg(s, x) || !in_reg(s, y)) {
        alu(s, i, ALU_ADD, w);
        return true;
    }
    Gpr a = sel_use_r(s, x), b = sel_use_r(s, y);
    Gpr d = sel_def_r_last(s, i);
    if (d.n == a.n && !flags_held(s))
        x64_alu_rr(s->a, ALU_ADD, w, d, b);
    else if (d.n == b.n && !flags_held(s))
        x64_alu_rr(s->a, ALU_ADD, w, d, a);
    else
        x64_lea(s->a, w, d, mem_bi(a, b, 0, 0));
    return true;
}

static bool sel_sub(Sel *s, const IrInsn *i)
{
    Width w = width_of((IrType)i->type);
    int32_t imm;

    if (imm32(s, i->b, w, &imm) && imm != INT32_MIN && !flags_wanted(s, i)) {
        Gpr a = sel_use_r(s, i->a);
        Gpr d = sel_def_r_last(s, i);
        if (a.n == d.n && !flags_held(s)) {
            x64_alu_ri(s->a, ALU_SUB, w, d, imm);
            flags_set(s, FL_SUB, (IrRef)(i - s->r->insn), 0, w);
        } else {
            x64_lea(s->a, w, d, mem_b(a, -imm));
        }
        return true;
    }
    alu(s, i, ALU_SUB, w);
    return true;
}

static bool sel_and(Sel *s, const IrInsn *i)
{
    uint64_t c;
    if (sel_const(s, i->b, &c) && (c == 0xff || c == 0xffff || (c == 0xffffffff && i->type == IR_I64))) {
        RGm a = sel_use_rm(s, i->a, c == 0xff ? 1 : c == 0xffff ? 2 : 4);
        Gpr d = sel_def_r_last(s, i);
        x64_movzx(s->a, c == 0xff ? W8 : c == 0xffff ? W16 : W32, d, a);
        return true;
    }
    if (sel_const(s, i->b, &c) && c <= INT32_MAX) { /* a 32-bit instruction clears the rest */
        Gpr d = sel_def_r_from(s, i, i->a);
        x64_alu_ri(s->a, ALU_AND, W32, d, (int32_t)c);
        return true;
    }
    alu(s, i, ALU_AND, width_of((IrType)i->type));
    return true;
}

static bool sel_or(Sel *s, const IrInsn *i)
{
    alu(s, i, ALU_OR, width_of((IrType)i->type));
    return true;
}

static bool sel_xor(Sel *s, const IrInsn *i)
{
    alu(s, i, ALU_XOR, width_of((IrType)i->type));
    return true;
}

static bool sel_andn(Sel *s, const IrInsn *i)
{
    Width w = width_of((IrType)i->type);
    uint64_t c;
    if (sel_const(s, i->b, &c)) {
        int64_t n = w == W64 ? (int64_t)~c : (int32_t) ~(uint32_t)c;
        if (n == (int32_t)n) {
            Gpr d = sel_def_r_from(s, i, i->a);
            x64_alu_ri(s->a, ALU_AND, w, d, (int32_t)n);
            flags_set(s, FL_RES, (IrRef)(i - s->r->insn), 0, w);
            return true;
        }
    }
    RGm a = sel_use_rm(s, i->a, op_bytes(w));
    Gpr b = sel_use_r(s, i->b);
    Gpr d = sel_def_r_last(s, i);
    x64_andn(s->a, w, d, b, a);
    flags_set(s, FL_RES, (IrRef)(i - s->r->insn), 0, w);
    return true;
}

static bool sel_orn(Sel *s, const IrInsn *i)
{
    Width w = width_of((IrType)i->type);
    RGm a = sel_use_rm(s, i->a, op_bytes(w));
    Gpr b = sel_use_r(s, i->b);
    Gpr d = sel_def_r(s, i);
    x64_mov_rr(s->a, w, d, b);
    x64_not(s->a, w, d);
    x64_alu_rm(s->a, ALU_OR, w, d, a);
    return true;
}

static bool sel_not(Sel *s, const IrInsn *i)
{
    Gpr d = sel_def_r_from(s, i, i->a);
    x64_not(s->a, width_of((IrType)i->type), d);
    return true;
}

static bool sel_neg(Sel *s, const IrInsn *i)
{
    Gpr d = sel_def_r_from(s, i, i->a);
    x64_neg(s->a, width_of((IrType)i->type), d);
    return true;
}

static bool sel_abs(Sel *s, const IrInsn *i)
{
    if (i->type != IR_I32 && i->type != IR_I64)
        return false;
    Width w = width_of((IrType)i->type);
    Gpr a = sel_use_r(s, i->a);
    Gpr d = sel_def_r(s, i);
    x64_mov_rr(s->a, w, d, a);
    x64_neg(s->a, w, d);
    x64_cmov(s->a, CC_S, w, d, rm_r(a));
    return true;
}

static bool minmax(Sel *s, const IrInsn *i, Cc take_b)
{
    if (i->type != IR_I32 && i->type != IR_I64)
        return false;
    Width w = width_of((IrType)i->type);
    Gpr a = sel_use_r(s, i->a), b = sel_use_r(s, i->b);
    Gpr d = sel_def_r(s, i);
    x64_mov_rr(s->a, w, d, a);
    x64_alu_rr(s->a, ALU_CMP, w, a, b);
    x64_cmov(s->a, take_b, w, d, rm_r(b));
    return true;
}

static bool sel_mins(Sel *s, const IrInsn *i)
{
    return minmax(s, i, CC_G);
}

static bool sel_maxs(Sel *s, const IrInsn *i)
{
    return minmax(s, i, CC_L);
}

static bool sel_minu(Sel *s, const IrInsn *i)
{
    return minmax(s, i, CC_A);
}

static bool sel_maxu(Sel *s, const IrInsn *i)
{
    return minmax(s, i, CC_B);
}

/* --- multiply, divide
 * ------------------------------------------------------------------------------------------------- */

#define PAIR_AHEAD 6 /* instructions that are looked at for the other half of a product */

/* The instruction soon behind `i` that wants the other half of its product, as operation `op`; NULL: there is none. */
static const IrInsn *other_half(const Sel *s, const IrInsn *i, IrOp op)
{
    IrRef a = ra_root(s, i->a), b = ra_root(s, i->b);
    const IrInsn *x = i;

    for (unsigned n = 0; n < PAIR_AHEAD && x->next; n++) {
        IrRef ref = x->next;
        x = &s->r->insn[ref];
        if (x->op != op || x->type != IR_I64 || !(ra_val(s, ref)->flags & VAL_NEEDED))
            continue;
        IrRef xa = ra_root(s, x->a), xb = ra_root(s, x->b);
        if ((xa == a && xb == b) || (xa == b && xb == a))
            return x;
    }
    return NULL;
}

/* Both halves by one instruction: the other one is there when its turn comes. */
static bool both_halves(Sel *s, const IrInsn *i, IrOp other)
{
    const IrInsn *x = i->type == IR_I64 ? other_half(s, i, other) : NULL;
    if (!x)
        return false;
    sel_use_r_in(s, i->a, RDX);
    RGm b = sel_use_rm(s, i->b, 8);
    Gpr d = sel_def_r(s, i), e = sel_def_r(s, x);
    bool high = i->op == IR_MULHU;
    x64_mulx(s->a, W64, high ? d : e, high ? e : d, b);
    return true;
}

/* Whether the instruction has been done with the other half of its product. */
static bool is_done(const Sel *s, const IrInsn *i)
{
    const Val *x = ra_val(s, (IrRef)(i - s->r->insn));
    return x->reg != REG_NONE || x->spill || x->home;
}

static bool sel_mul(Sel *s, const IrInsn *i)
{
    Width w = width_of((IrType)i->type);
    int32_t imm;
    if (is_done(s, i) || (!imm32(s, i->b, w, &imm) && both_halves(s, i, IR_MULHU)))
        return true;
    if (imm32(s, i->b, w, &imm)) {
        RGm a = sel_use_rm(s, i->a, op_bytes(w));
        Gpr d = sel_def_r_last(s, i);
        x64_imul_i(s->a, w, d, a, imm);
        return true;
    }
    RGm b = sel_use_rm(s, i->b, op_bytes(w));
    Gpr d = sel_def_r_from(s, i, i->a);
    x64_imul(s->a, w, d, b);
    return true;
}

static bool sel_mulhu(Sel *s, const IrInsn *i)
{
    if (i->type != IR_I32 && i->type != IR_I64)
        return false;
    Width w = width_of((IrType)i->type);
    if (is_done(s, i) || both_halves(s, i, IR_MUL))
        return true;
    sel_use_r_in(s, i->a, RDX);
    RGm b = sel_use_rm(s, i->b, op_bytes(w));
    Gpr d = sel_def_r(s, i);
    x64_mulx(s->a, w, d, d, b); /* twice the same register: it gets the high half */
    return true;
}

static bool sel_mulhs(Sel *s, const IrInsn *i)
{
    if (i->type != IR_I32 && i->type != IR_I64)
        return false;
    Width w = width_of((IrType)i->type);
    sel_use_r_in(s, i->a, RAX);
    sel_take_r(s, RDX);
    RGm b = sel_use_rm(s, i->b, op_bytes(w));
    sel_def_r_in(s, i, RDX);
    x64_imul1(s->a, w, b);
    return true;
}

static bool divide(Sel *s, const IrInsn *i, bool is_signed)
{
    if (i->type != IR_I32 && i->type != IR_I64)
        return false;
    Width w = width_of((IrType)i->type);
    uint64_t c;
    bool known = sel_const(s, i->b, &c) && c != 0 && (!is_signed || (w == W64 ? c != UINT64_MAX : c != UINT32_MAX));

    sel_use_r_in(s, i->a, RAX);
    sel_take_r(s, RDX);
    Gpr b = sel_use_r(s, i->b);
    sel_def_r_in(s, i, RAX);
    uint32_t zero = sel_label(s), minus = sel_label(s), back = sel_label(s);
    if (!known) {
        x64_test_rr(s->a, w, b, b);
        x64_jcc(s->a, CC_E, zero);
        if (is_signed) {
            x64_alu_ri(s->a, ALU_CMP, w, b, -1);
            x64_jcc(s->a, CC_E, minus);
        }
    }
    if (is_signed) {
        x64_cdq(s->a, w);
        x64_idiv(s->a, w, rm_r(b));
    } else {
        x64_alu_rr(s->a, ALU_XOR, W32, RDX, RDX);
        x64_div(s->a, w, rm_r(b));
    }
    sel_bind(s, back);
    sel_cold_begin(s);
    sel_bind(s, zero);
    if (!known) {
        x64_mov_ri(s->a, RAX, 0);
        x64_jmp(s->a, back);
    }
    sel_bind(s, minus); /* the most negative number stays what it is */
    if (!known && is_signed) {
        x64_neg(s->a, w, RAX);
        x64_jmp(s->a, back);
    }
    sel_cold_end(s);
    return true;
}

static bool sel_divu(Sel *s, const IrInsn *i)
{
    return divide(s, i, false);
}

static bool sel_divs(Sel *s, const IrInsn *i)
{
    return divide(s, i, true);
}

SelRule *const sel_int_rules[IR_NOPS] = {
    [IR_ADD] = sel_add,      [IR_SUB] = sel_sub,        [IR_MUL] = sel_mul,      [IR_MULHU] = sel_mulhu,
    [IR_MULHS] = sel_mulhs,  [IR_DIVU] = sel_divu,      [IR_DIVS] = sel_divs,    [IR_NEG] = sel_neg,
    [IR_ABS] = sel_abs,      [IR_MINS] = sel_mins,      [IR_MAXS] = sel_maxs,    [IR_MINU] = sel_minu,
    [IR_MAXU] = sel_maxu,    [IR_ADC] = isel_adc,       [IR_AND] = sel_and,      [IR_OR] = sel_or,
    [IR_XOR] = sel_xor,      [IR_ANDN] = sel_andn,      [IR_ORN] = sel_orn,      [IR_NOT] = sel_not,
    [IR_SHL] = isel_shl,     [IR_SHR] = isel_shr,       [IR_SAR] = isel_sar,     [IR_ROR] = isel_ror,
    [IR_EXTR] = isel_extr,   [IR_UBFX] = isel_ubfx,     [IR_SBFX] = isel_sbfx,   [IR_BFI] = isel_bfi,
    [IR_CLZ] = isel_clz,     [IR_CLS] = isel_cls,       [IR_CTZ] = isel_ctz,     [IR_POPCNT] = isel_popcnt,
    [IR_BSWAP] = isel_bswap, [IR_BITREV] = isel_bitrev, [IR_CRC32] = isel_crc32, [IR_ZEXT] = isel_zext,
    [IR_SEXT] = isel_sext,   [IR_TALLY] = sel_tally,
};
