/* Rules of shifts, fields, single bits and conversions between widths, on scalar integers. */
#include "host/x86_64/isel.h"
#include "host/x86_64/vsel.h"

static bool same_value(const Sel *s, IrRef a, IrRef b)
{
    return ra_root(s, a) == ra_root(s, b);
}

static unsigned bits_of(const IrInsn *i)
{
    return 8 * ir_type_size((IrType)i->type);
}

/* --- shifts, fields
 * --------------------------------------------------------------------------------------------------- */

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

bool isel_shl(Sel *s, const IrInsn *i)
{
    return shift(s, i, SH_SHL, x64_shlx);
}

bool isel_shr(Sel *s, const IrInsn *i)
{
    return shift(s, i, SH_SHR, x64_shrx);
}

bool isel_sar(Sel *s, const IrInsn *i)
{
    return shift(s, i, SH_SAR, x64_sarx);
}

bool isel_ror(Sel *s, const IrInsn *i)
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

bool isel_extr(Sel *s, const IrInsn *i)
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

bool isel_ubfx(Sel *s, const IrInsn *i)
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

bool isel_sbfx(Sel *s, const IrInsn *i)
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
bool isel_bfi(Sel *s, const IrInsn *i)
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

/* --- bits
 * ------------------------------------------------------------------------------------------------------------- */

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

bool isel_clz(Sel *s, const IrInsn *i)
{
    return unary(s, i, x64_lzcnt);
}

bool isel_ctz(Sel *s, const IrInsn *i)
{
    return unary(s, i, x64_tzcnt);
}

bool isel_popcnt(Sel *s, const IrInsn *i)
{
    return unary(s, i, x64_popcnt);
}

bool isel_cls(Sel *s, const IrInsn *i)
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

bool isel_bswap(Sel *s, const IrInsn *i)
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

bool isel_bitrev(Sel *s, const IrInsn *i)
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

bool isel_crc32(Sel *s, const IrInsn *i)
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

/* --- widths
 * ----------------------------------------------------------------------------------------------------------- */

bool isel_zext(Sel *s, const IrInsn *i)
{
    Width from = exact_width((IrType)i->lane);
    RGm a = sel_use_rm(s, i->a, op_bytes(from));
    Gpr d = sel_def_r_last(s, i);
    x64_movzx(s->a, from, d, a);
    return true;
}

bool isel_sext(Sel *s, const IrInsn *i)
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
