/* Rules of the scalar integer operations. Each rule's IR meaning is in ir/ops.def. */
#include "host/x86_64/emit.h"
#include "host/x86_64/vsel.h"

#include "base/check.h"

static Width width_of(IrType t)
{
    return t == IR_I64 ? W64 : W32;
}

static Width exact_width(IrType t)
{
    return t == IR_I8 ? W8 : t == IR_I16 ? W16 : t == IR_I32 ? W32 : W64;
}

static unsigned bits_of(const IrInsn *i)
{
    return 8 * ir_type_size((IrType)i->type);
}

/* A constant operand that fits an instruction's sign-extended 32-bit immediate at this width. */
static bool imm32(const Sel *s, IrRef v, Width w, int32_t *imm)
{
    uint64_t c;
    if (!sel_const(s, v, &c))
        return false;
    *imm = (int32_t)(uint32_t)c;
    return w != W64 || (int64_t)c == *imm;
}

static bool same_value(const Sel *s, IrRef a, IrRef b)
{
    return ra_root(s, a) == ra_root(s, b);
}

static unsigned op_bytes(Width w)
{
    return 1u << w;
}

/* --- what is in the flags ---------------------------------------------------------------------------------------------- */

enum {
    FL_CMP = 1, /* cmp x, y */
    FL_SUB,     /* the subtraction that made x */
    FL_RES,     /* zero and sign of x */
    FL_ADD,     /* add x, y */
    FL_TEST,    /* test x, y */
    FL_BACK,    /* add of a difference x and what was subtracted */
};

static bool flags_are(const Sel *s, unsigned kind, IrRef x, IrRef y, Width w)
{
    return s->flags.at == s->a->p && s->flags.kind == kind && s->flags.x == x && s->flags.y == y && s->flags.w == w;
}

static void flags_set(Sel *s, unsigned kind, IrRef x, IrRef y, Width w)
{
    s->flags = (struct SelFlags){s->a->p, x, y, (uint8_t)kind, (uint8_t)w};
}

/* --- add, logic ------------------------------------------------------------------------------------------------------- */

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
        flags_set(s, op == ALU_SUB ? FL_SUB : FL_RES, (IrRef)(i - s->r->insn), 0, w);
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
    flags_set(s, op == ALU_SUB ? FL_SUB : FL_RES, (IrRef)(i - s->r->insn), 0, w);
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
    if (imm32(s, y, w, &imm)) {
        Gpr a = sel_use_r(s, x);
        Gpr d = sel_def_r_last(s, i);
        if (a.n == d.n) {
            x64_alu_ri(s->a, ALU_ADD, w, d, imm);
            flags_set(s, FL_RES, (IrRef)(i - s->r->insn), 0, w);
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
    if (d.n == a.n)
        x64_alu_rr(s->a, ALU_ADD, w, d, b);
    else if (d.n == b.n)
        x64_alu_rr(s->a, ALU_ADD, w, d, a);
    else
        x64_lea(s->a, w, d, mem_bi(a, b, 0, 0));
    return true;
}

static bool sel_sub(Sel *s, const IrInsn *i)
{
    Width w = width_of((IrType)i->type);
    int32_t imm;

    if (imm32(s, i->b, w, &imm) && imm != INT32_MIN) {
        Gpr a = sel_use_r(s, i->a);
        Gpr d = sel_def_r_last(s, i);
        if (a.n == d.n) {
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
        int64_t n = w == W64 ? (int64_t)~c : (int32_t)~(uint32_t)c;
        if (n == (int32_t)n) {
            Gpr d = sel_def_r_from(s, i, i->a);
            x64_alu_ri(s->a, ALU_AND, w, d, (int32_t)n);
            return true;
        }
    }
    RGm a = sel_use_rm(s, i->a, op_bytes(w));
    Gpr b = sel_use_r(s, i->b);
    Gpr d = sel_def_r_last(s, i);
    x64_andn(s->a, w, d, b, a);
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

/* --- multiply, divide ------------------------------------------------------------------------------------------------- */

static bool sel_mul(Sel *s, const IrInsn *i)
{
    Width w = width_of((IrType)i->type);
    int32_t imm;
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

/* --- shifts, fields --------------------------------------------------------------------------------------------------- */

static bool shift(Sel *s, const IrInsn *i, Shift op, void (*var)(Asm *, Width, Gpr, RGm, Gpr))
{
    if (i->type != IR_I32 && i->type != IR_I64)
        return false;
    Width w = width_of((IrType)i->type);
    uint64_t c;
    if (sel_const(s, i->b, &c)) {
        Gpr d = sel_def_r_from(s, i, i->a);
        c &= bits_of(i) - 1;
        if (c)
            x64_shift_i(s->a, op, w, d, (unsigned)c);
        else if (w == W32)
            x64_mov_rr(s->a, W32, d, d);
        return true;
    }
    RGm a = sel_use_rm(s, i->a, op_bytes(w));
    Gpr n = sel_use_r(s, i->b);
    Gpr d = sel_def_r_last(s, i);
    var(s->a, w, d, a, n);
    return true;
}

static bool sel_shl(Sel *s, const IrInsn *i)
{
    return shift(s, i, SH_SHL, x64_shlx);
}

static bool sel_shr(Sel *s, const IrInsn *i)
{
    return shift(s, i, SH_SHR, x64_shrx);
}

static bool sel_sar(Sel *s, const IrInsn *i)
{
    return shift(s, i, SH_SAR, x64_sarx);
}

static bool sel_ror(Sel *s, const IrInsn *i)
{
    if (i->type != IR_I32 && i->type != IR_I64)
        return false;
    Width w = width_of((IrType)i->type);
    uint64_t c;
    if (sel_const(s, i->b, &c)) {
        RGm a = sel_use_rm(s, i->a, op_bytes(w));
        Gpr d = sel_def_r_last(s, i);
        x64_rorx(s->a, w, d, a, (unsigned)c & (bits_of(i) - 1));
        return true;
    }
    sel_use_r_in(s, i->b, RCX);
    Gpr d = sel_def_r_from(s, i, i->a);
    x64_shift_cl(s->a, SH_ROR, w, d);
    if (w == W32) /* a count of 0 leaves the upper half as it was */
        x64_mov_rr(s->a, W32, d, d);
    return true;
}

static bool sel_extr(Sel *s, const IrInsn *i)
{
    if (i->type != IR_I32 && i->type != IR_I64)
        return false;
    Width w = width_of((IrType)i->type);
    unsigned n = (unsigned)i->imm & (bits_of(i) - 1);
    if (same_value(s, i->a, i->b)) {
        RGm a = sel_use_rm(s, i->a, op_bytes(w));
        Gpr d = sel_def_r_last(s, i);
        x64_rorx(s->a, w, d, a, n);
        return true;
    }
    Gpr a = sel_use_r(s, i->a);
    Gpr d = sel_def_r_from(s, i, i->b);
    if (n)
        x64_shrd_i(s->a, w, d, a, n);
    else if (w == W32)
        x64_mov_rr(s->a, W32, d, d);
    return true;
}

static bool sel_ubfx(Sel *s, const IrInsn *i)
{
    Width w = width_of((IrType)i->type);
    unsigned n = w == W64 ? 64 : 32, lsb = i->imm & 0xff, width = i->imm >> 8 & 0xff;
    if (lsb == 0 && (width == 8 || width == 16 || width == 32)) {
        RGm a = sel_use_rm(s, i->a, width / 8);
        Gpr d = sel_def_r_last(s, i);
        x64_movzx(s->a, width == 8 ? W8 : width == 16 ? W16 : W32, d, a);
        return true;
    }
    Gpr d = sel_def_r_from(s, i, i->a);
    if (lsb + width == n) {
        if (lsb)
            x64_shift_i(s->a, SH_SHR, w, d, lsb);
        else if (w == W32)
            x64_mov_rr(s->a, W32, d, d);
    } else if (width < 32) {
        if (lsb)
            x64_shift_i(s->a, SH_SHR, w, d, lsb);
        if (width == 8)
            x64_movzx(s->a, W8, d, rm_r(d));
        else if (width == 16)
            x64_movzx(s->a, W16, d, rm_r(d));
        else
            x64_alu_ri(s->a, ALU_AND, W32, d, (int32_t)((1u << width) - 1));
    } else if (width == 32) {
        x64_shift_i(s->a, SH_SHR, w, d, lsb);
        x64_mov_rr(s->a, W32, d, d);
    } else {
        x64_shift_i(s->a, SH_SHL, w, d, n - lsb - width);
        x64_shift_i(s->a, SH_SHR, w, d, n - width);
    }
    return true;
}

static bool sel_sbfx(Sel *s, const IrInsn *i)
{
    Width w = width_of((IrType)i->type);
    unsigned n = w == W64 ? 64 : 32, lsb = i->imm & 0xff, width = i->imm >> 8 & 0xff;
    if (lsb == 0 && (width == 8 || width == 16 || (width == 32 && w == W64))) {
        RGm a = sel_use_rm(s, i->a, width / 8);
        Gpr d = sel_def_r_last(s, i);
        x64_movsx(s->a, w, width == 8 ? W8 : width == 16 ? W16 : W32, d, a);
        return true;
    }
    Gpr d = sel_def_r_from(s, i, i->a);
    if (lsb + width < n)
        x64_shift_i(s->a, SH_SHL, w, d, n - lsb - width);
    if (width < n)
        x64_shift_i(s->a, SH_SAR, w, d, n - width);
    else if (w == W32)
        x64_mov_rr(s->a, W32, d, d);
    return true;
}

/* Rotate the field to the bottom, shift it out at the bottom and the new one in at the top, rotate back. */
static bool sel_bfi(Sel *s, const IrInsn *i)
{
    Width w = width_of((IrType)i->type);
    unsigned n = w == W64 ? 64 : 32, lsb = i->imm & 0xff, width = i->imm >> 8 & 0xff;
    RGm a = sel_use_rm(s, i->a, op_bytes(w));
    Gpr b = sel_use_r(s, i->b);
    Gpr d = sel_def_r(s, i);
    if (width >= n) {
        x64_mov_rr(s->a, w, d, b);
        return true;
    }
    x64_rorx(s->a, w, d, a, lsb);
    x64_shrd_i(s->a, w, d, b, width);
    if ((lsb + width) % n)
        x64_shift_i(s->a, SH_ROL, w, d, (lsb + width) % n);
    return true;
}

/* --- bits ------------------------------------------------------------------------------------------------------------- */

static bool unary(Sel *s, const IrInsn *i, void (*emit)(Asm *, Width, Gpr, RGm))
{
    if (i->type != IR_I32 && i->type != IR_I64)
        return false;
    Width w = width_of((IrType)i->type);
    RGm a = sel_use_rm(s, i->a, op_bytes(w));
    Gpr d = sel_def_r_last(s, i);
    emit(s->a, w, d, a);
    return true;
}

static bool sel_clz(Sel *s, const IrInsn *i)
{
    return unary(s, i, x64_lzcnt);
}

static bool sel_ctz(Sel *s, const IrInsn *i)
{
    return unary(s, i, x64_tzcnt);
}

static bool sel_popcnt(Sel *s, const IrInsn *i)
{
    return unary(s, i, x64_popcnt);
}

static bool sel_cls(Sel *s, const IrInsn *i)
{
    if (i->type != IR_I32 && i->type != IR_I64)
        return false;
    Width w = width_of((IrType)i->type);
    Gpr a = sel_use_r(s, i->a);
    Gpr d = sel_def_r(s, i);
    x64_mov_rr(s->a, w, d, a);
    x64_shift_i(s->a, SH_SAR, w, d, 1);
    x64_alu_rr(s->a, ALU_XOR, w, d, a);
    x64_lzcnt(s->a, w, d, rm_r(d));
    x64_alu_ri(s->a, ALU_SUB, w, d, 1);
    return true;
}

static bool sel_bswap(Sel *s, const IrInsn *i)
{
    Gpr d = sel_def_r_from(s, i, i->a);
    if (i->type == IR_I16)
        x64_shift_i(s->a, SH_ROL, W16, d, 8);
    else
        x64_bswap(s->a, width_of((IrType)i->type), d);
    return true;
}

/* Exchange groups of n bits with their neighbours. */
static void swap_groups(Sel *s, Width w, Gpr d, Gpr t, Gpr m, unsigned n, uint64_t mask)
{
    x64_mov_ri(s->a, m, w == W64 ? mask : (uint32_t)mask);
    x64_mov_rr(s->a, w, t, d);
    x64_shift_i(s->a, SH_SHR, w, t, n);
    x64_alu_rr(s->a, ALU_AND, w, t, m);
    x64_alu_rr(s->a, ALU_AND, w, d, m);
    x64_shift_i(s->a, SH_SHL, w, d, n);
    x64_alu_rr(s->a, ALU_OR, w, d, t);
}

static bool sel_bitrev(Sel *s, const IrInsn *i)
{
    if (i->type != IR_I32 && i->type != IR_I64)
        return false;
    Width w = width_of((IrType)i->type);
    Gpr t = sel_tmp_r(s), m = sel_tmp_r(s);
    Gpr d = sel_def_r_from(s, i, i->a);
    x64_bswap(s->a, w, d);
    swap_groups(s, w, d, t, m, 4, 0x0f0f0f0f0f0f0f0f);
    swap_groups(s, w, d, t, m, 2, 0x3333333333333333);
    swap_groups(s, w, d, t, m, 1, 0x5555555555555555);
    return true;
}

static bool sel_crc32(Sel *s, const IrInsn *i)
{
    if (i->aux != 1)
        return vsel_crc32(s, i);
    Width w = exact_width((IrType)i->lane);
    RGm b = sel_use_rm(s, i->b, op_bytes(w));
    Gpr d = sel_def_r_from(s, i, i->a);
    if (w != W64)
        x64_mov_rr(s->a, W32, d, d);
    x64_crc32(s->a, w, d, b);
    return true;
}

/* --- widths ----------------------------------------------------------------------------------------------------------- */

static bool sel_zext(Sel *s, const IrInsn *i)
{
    Width from = exact_width((IrType)i->lane);
    RGm a = sel_use_rm(s, i->a, op_bytes(from));
    Gpr d = sel_def_r_last(s, i);
    x64_movzx(s->a, from, d, a);
    return true;
}

static bool sel_sext(Sel *s, const IrInsn *i)
{
    Width from = exact_width((IrType)i->lane), to = width_of((IrType)i->type);
    RGm a = sel_use_rm(s, i->a, op_bytes(from));
    Gpr d = sel_def_r_last(s, i);
    if (from == W32 && to == W32)
        x64_movzx(s->a, W32, d, a);
    else
        x64_movsx(s->a, to, from, d, a);
    return true;
}

/* --- carries and comparisons: results in flags --------------------------------------------------------------------------- */

static bool sel_adc(Sel *s, const IrInsn *i)
{
    if (i->type != IR_I32 && i->type != IR_I64)
        return false;
    Width w = width_of((IrType)i->type);
    Gpr c = sel_use_r(s, i->c);
    RGm b = sel_use_rm(s, i->b, op_bytes(w));
    Gpr a = sel_use_r(s, i->a);
    Gpr d = sel_def_r(s, i);
    x64_mov_rr(s->a, w, d, a);
    x64_bt_i(s->a, BT_BT, W32, c, 0);
    x64_alu_rm(s->a, ALU_ADC, w, d, b);
    return true;
}

/* a + b (+ c) for its flags */
static void add_flags(Sel *s, const IrInsn *i, Width w, bool carry_in)
{
    IrRef x = ra_root(s, i->a), y = ra_root(s, i->b);
    if (!carry_in && flags_are(s, FL_ADD, x, y, w))
        return;
    Gpr c = carry_in ? sel_use_r(s, i->c) : RAX;
    RGm b = sel_use_rm(s, i->b, op_bytes(w));
    Gpr a = sel_use_r(s, i->a);
    Gpr t = sel_tmp_r(s);
    x64_mov_rr(s->a, w, t, a);
    if (carry_in)
        x64_bt_i(s->a, BT_BT, W32, c, 0);
    x64_alu_rm(s->a, carry_in ? ALU_ADC : ALU_ADD, w, t, b);
    if (!carry_in)
        flags_set(s, FL_ADD, x, y, w);
}

static bool cond_add_c(Sel *s, const IrInsn *i, SelCond *out)
{
    add_flags(s, i, width_of((IrType)i->lane), false);
    *out = (SelCond){.cc = CC_B};
    return true;
}

static bool cond_add_v(Sel *s, const IrInsn *i, SelCond *out)
{
    add_flags(s, i, width_of((IrType)i->lane), false);
    *out = (SelCond){.cc = CC_O};
    return true;
}

static bool cond_adc_c(Sel *s, const IrInsn *i, SelCond *out)
{
    add_flags(s, i, width_of((IrType)i->lane), true);
    *out = (SelCond){.cc = CC_B};
    return true;
}

static bool cond_adc_v(Sel *s, const IrInsn *i, SelCond *out)
{
    add_flags(s, i, width_of((IrType)i->lane), true);
    *out = (SelCond){.cc = CC_O};
    return true;
}

static void compare(Sel *s, const IrInsn *i, Width w)
{
    IrRef x = ra_root(s, i->a), y = ra_root(s, i->b);
    int32_t imm;

    if (flags_are(s, FL_CMP, x, y, w))
        return;
    if (imm32(s, i->b, w, &imm)) {
        if (w == W8)
            imm = (int8_t)imm;
        else if (w == W16)
            imm = (int16_t)imm;
        RGm a = sel_use_rm(s, i->a, op_bytes(w));
        if (a.mem)
            x64_alu_mi(s->a, ALU_CMP, w, a.m, imm);
        else if (imm == 0)
            x64_test_rr(s->a, w, a.r, a.r);
        else
            x64_alu_ri(s->a, ALU_CMP, w, a.r, imm);
    } else {
        RGm b = sel_use_rm(s, i->b, op_bytes(w));
        Gpr a = sel_use_r(s, i->a);
        x64_alu_rm(s->a, ALU_CMP, w, a, b);
    }
    flags_set(s, FL_CMP, x, y, w);
}

static bool test_flags(Sel *s, const IrInsn *i, Width w)
{
    IrRef x = ra_root(s, i->a), y = ra_root(s, i->b);
    int32_t imm;
    if (flags_are(s, FL_TEST, x, y, w))
        return true;
    if (imm32(s, i->b, w, &imm)) {
        x64_test_ri(s->a, w, sel_use_r(s, i->a), imm);
    } else {
        Gpr a = sel_use_r(s, i->a), b = sel_use_r(s, i->b);
        x64_test_rr(s->a, w, a, b);
    }
    flags_set(s, FL_TEST, x, y, w);
    return true;
}

/* The flags of a comparison of a and b from the difference r and b: carry and overflow of r + b are those of a - b. */
static Gpr add_back(Sel *s, IrRef r, const IrInsn *i, Width w)
{
    int32_t imm;
    bool small = imm32(s, i->b, w, &imm);
    RGm b = small ? rm_r(RAX) : sel_use_rm(s, i->b, op_bytes(w));
    Gpr d = sel_use_r(s, r);
    Gpr t = sel_tmp_r(s);
    x64_mov_rr(s->a, w, t, d);
    if (small)
        x64_alu_ri(s->a, ALU_ADD, w, t, imm);
    else
        x64_alu_rm(s->a, ALU_ADD, w, t, b);
    flags_set(s, FL_BACK, r, 0, w);
    return t;
}

static unsigned val_flags(const Sel *s, const IrInsn *i)
{
    return ra_val(s, (IrRef)(i - s->r->insn))->flags;
}

static bool cond_sub_v(Sel *s, const IrInsn *i, SelCond *out)
{
    Width w = width_of((IrType)i->lane);
    *out = (SelCond){.cc = CC_O};
    if (val_flags(s, i) & VAL_ALT) {
        IrRef r = s->ra->alt[i - s->r->insn];
        if (!flags_are(s, FL_SUB, r, 0, w) && !flags_are(s, FL_BACK, r, 0, w))
            add_back(s, r, i, w);
    } else {
        compare(s, i, w);
    }
    return true;
}

static Cc relation_cc(unsigned aux)
{
    static const uint8_t u[8] = {0, CC_B, CC_E, CC_BE, CC_A, CC_NE, CC_AE, 0};
    static const uint8_t g[8] = {0, CC_L, CC_E, CC_LE, CC_G, CC_NE, CC_GE, 0};
    unsigned rel = aux & (IR_LT | IR_EQ | IR_GT);
    return (Cc)((aux & IR_PSIGNED) ? g[rel] : u[rel]);
}

/* Zero and sign of a value that is in a register or memory, or in the flags already. */
static void sign_flags(Sel *s, IrRef v, Width w)
{
    IrRef x = ra_root(s, v);
    if (flags_are(s, FL_RES, x, 0, w) || flags_are(s, FL_SUB, x, 0, w))
        return;
    RGm a = sel_use_rm(s, v, op_bytes(w));
    if (a.mem)
        x64_alu_mi(s->a, ALU_CMP, w, a.m, 0);
    else
        x64_test_rr(s->a, w, a.r, a.r);
    flags_set(s, FL_RES, x, 0, w);
}

static bool icmp_alt(Sel *s, const IrInsn *i, Width w, SelCond *out)
{
    IrRef r = s->ra->alt[i - s->r->insn];
    unsigned rel = i->aux & (IR_LT | IR_EQ | IR_GT);
    int32_t imm;

    *out = (SelCond){.cc = relation_cc(i->aux)};
    if (flags_are(s, FL_SUB, r, 0, w))
        return true;
    if (rel == IR_EQ || rel == (IR_LT | IR_GT)) {
        sign_flags(s, r, w);
        return true;
    }
    bool carry = !(i->aux & IR_PSIGNED) && (rel == IR_LT || rel == (IR_EQ | IR_GT));
    if (carry && flags_are(s, FL_BACK, r, 0, w))
        return true;
    Gpr t = add_back(s, r, i, w);
    if (carry)
        return true;
    if (imm32(s, i->b, w, &imm)) {
        x64_alu_ri(s->a, ALU_CMP, w, t, imm);
    } else {
        RGm b = sel_use_rm(s, i->b, op_bytes(w));
        x64_alu_rm(s->a, ALU_CMP, w, t, b);
    }
    return true;
}

static bool icmp_sign(Sel *s, const IrInsn *i, Width w, SelCond *out)
{
    IrRef root = ra_root(s, i->a);
    unsigned rel = i->aux & (IR_LT | IR_EQ | IR_GT);

    if ((val_flags(s, i) & VAL_LAZY) && root < s->r->ninsn && (ra_val(s, root)->flags & VAL_LAZY)) {
        const IrInsn *x = &s->r->insn[root];
        if (x->op == IR_SUB)
            compare(s, x, w);
        else if (x->op == IR_ADD)
            add_flags(s, x, w, false);
        else
            test_flags(s, x, w);
    } else {
        sign_flags(s, i->a, w);
    }
    *out = (SelCond){.cc = rel == IR_EQ ? CC_E : rel == IR_LT ? CC_S : rel == (IR_LT | IR_GT) ? CC_NE : CC_NS};
    return true;
}

static bool cond_icmp(Sel *s, const IrInsn *i, SelCond *out)
{
    unsigned rel = i->aux & (IR_LT | IR_EQ | IR_GT);
    Width w = exact_width((IrType)i->lane);
    if (rel == 0 || rel == 7 || !ir_type_is_int((IrType)i->lane))
        return false;
    if (val_flags(s, i) & VAL_ALT)
        return icmp_alt(s, i, w, out);
    if (live_sign_test(s, i))
        return icmp_sign(s, i, w, out);
    compare(s, i, w);
    *out = (SelCond){.cc = relation_cc(i->aux)};
    return true;
}

/* Logic on booleans, as guests with flags combine them into conditions. */
static bool cond_and(Sel *s, const IrInsn *i, SelCond *out)
{
    *out = (SelCond){.cc = CC_NE};
    return i->type == IR_I8 && test_flags(s, i, W8);
}

static bool cond_xor(Sel *s, const IrInsn *i, SelCond *out)
{
    uint64_t c;
    if (i->type != IR_I8)
        return false;
    if (sel_const(s, i->b, &c) && c == 1) {
        sign_flags(s, i->a, W8);
        *out = (SelCond){.cc = CC_E};
    } else {
        compare(s, i, W8);
        *out = (SelCond){.cc = CC_NE};
    }
    return true;
}

SelRule *const sel_int_rules[IR_NOPS] = {
    [IR_ADD] = sel_add,       [IR_SUB] = sel_sub,       [IR_MUL] = sel_mul,     [IR_MULHU] = sel_mulhu,
    [IR_MULHS] = sel_mulhs,   [IR_DIVU] = sel_divu,     [IR_DIVS] = sel_divs,   [IR_NEG] = sel_neg,
    [IR_ABS] = sel_abs,       [IR_MINS] = sel_mins,     [IR_MAXS] = sel_maxs,   [IR_MINU] = sel_minu,
    [IR_MAXU] = sel_maxu,     [IR_ADC] = sel_adc,       [IR_AND] = sel_and,     [IR_OR] = sel_or,
    [IR_XOR] = sel_xor,       [IR_ANDN] = sel_andn,     [IR_ORN] = sel_orn,     [IR_NOT] = sel_not,
    [IR_SHL] = sel_shl,       [IR_SHR] = sel_shr,       [IR_SAR] = sel_sar,     [IR_ROR] = sel_ror,
    [IR_EXTR] = sel_extr,     [IR_UBFX] = sel_ubfx,     [IR_SBFX] = sel_sbfx,   [IR_BFI] = sel_bfi,
    [IR_CLZ] = sel_clz,       [IR_CLS] = sel_cls,       [IR_CTZ] = sel_ctz,     [IR_POPCNT] = sel_popcnt,
    [IR_BSWAP] = sel_bswap,   [IR_BITREV] = sel_bitrev, [IR_CRC32] = sel_crc32, [IR_ZEXT] = sel_zext,
    [IR_SEXT] = sel_sext,
};

SelCondRule *const sel_int_conds[IR_NOPS] = {
    [IR_ICMP] = cond_icmp,   [IR_ADD_C] = cond_add_c, [IR_ADD_V] = cond_add_v, [IR_ADC_C] = cond_adc_c,
    [IR_ADC_V] = cond_adc_v, [IR_SUB_V] = cond_sub_v, [IR_AND] = cond_and,     [IR_XOR] = cond_xor,
};
