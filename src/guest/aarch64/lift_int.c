/*
 * Data processing on general registers: Arm ARM C6.2, in the order of spec/aarch64/base.insn.
 */
#include "guest/aarch64/lift.h"

static IrRef op2(Lift *l, IrOp op, IrType t, IrRef x, IrRef y)
{
    return ir_op2(&l->b, op, t, x, y);
}

/* x shifted by a constant. */
static IrRef shift_const(Lift *l, IrOp op, IrType t, IrRef x, unsigned amount)
{
    return amount ? op2(l, op, t, x, a64_c8(l, amount)) : x;
}

/* --- PC-relative --- */

bool a64_lift_adr(Lift *l, const A64Args *a)
{
    a64_put_x(l, a->Rd, a64_c64(l, l->pc + a64_sext(a->immhi << 2 | a->immlo, 21)));
    return true;
}

bool a64_lift_adrp(Lift *l, const A64Args *a)
{
    uint64_t imm = (uint64_t)a64_sext(a->immhi << 2 | a->immlo, 21) << 12;
    a64_put_x(l, a->Rd, a64_c64(l, (l->pc & ~0xfffull) + imm));
    return true;
}

/* --- add and subtract --- */

static IrRef flag_op(Lift *l, IrOp op, IrType t, IrRef x, IrRef y, IrRef z)
{
    return ir_opx(&l->b, op, IR_I8, t, 0, 0, 0, x, y, z);
}

static void add_flags(Lift *l, IrType t, IrRef x, IrRef y, IrRef sum)
{
    IrRef zero = ir_const(&l->b, t, 0);
    a64_put_nzcv(l, ir_icmp(&l->b, IR_LT | IR_PSIGNED, sum, zero), ir_icmp(&l->b, IR_EQ, sum, zero),
                 flag_op(l, IR_ADD_C, t, x, y, 0), flag_op(l, IR_ADD_V, t, x, y, 0));
}

/* C is "no borrow". */
static void sub_flags(Lift *l, IrType t, IrRef x, IrRef y, IrRef diff)
{
    IrRef zero = ir_const(&l->b, t, 0);
    a64_put_nzcv(l, ir_icmp(&l->b, IR_LT | IR_PSIGNED, diff, zero), ir_icmp(&l->b, IR_EQ, x, y),
                 ir_icmp(&l->b, IR_GT | IR_EQ, x, y), flag_op(l, IR_SUB_V, t, x, y, 0));
}

/* x + y or x - y as op says; with flags when S. */
static IrRef add_sub(Lift *l, const A64Args *a, IrRef x, IrRef y)
{
    IrType t = a64_type(a->sf);
    IrRef r = op2(l, a->op ? IR_SUB : IR_ADD, t, x, y);
    if (a->S && a->op)
        sub_flags(l, t, x, y, r);
    else if (a->S)
        add_flags(l, t, x, y, r);
    return r;
}

bool a64_lift_addsub_imm(Lift *l, const A64Args *a)
{
    IrRef imm = ir_const(&l->b, a64_type(a->sf), (uint64_t)a->imm12 << (a->sh ? 12 : 0));
    IrRef r = add_sub(l, a, a64_get_sp(l, a->sf, a->Rn), imm);
    if (a->S)
        a64_put(l, a->sf, a->Rd, r);
    else
        a64_put_sp(l, a->sf, a->Rd, r);
    return true;
}

static const IrOp shift_op[4] = {IR_SHL, IR_SHR, IR_SAR, IR_ROR};

static IrRef shifted(Lift *l, const A64Args *a)
{
    return shift_const(l, shift_op[a->shift], a64_type(a->sf), a64_get(l, a->sf, a->Rm), a->imm6);
}

bool a64_lift_addsub_shift(Lift *l, const A64Args *a)
{
    a64_put(l, a->sf, a->Rd, add_sub(l, a, a64_get(l, a->sf, a->Rn), shifted(l, a)));
    return true;
}

bool a64_lift_addsub_ext(Lift *l, const A64Args *a)
{
    IrRef y = a64_extend(l, a64_type(a->sf), a->Rm, a->option, a->imm3);
    IrRef r = add_sub(l, a, a64_get_sp(l, a->sf, a->Rn), y);
    if (a->S)
        a64_put(l, a->sf, a->Rd, r);
    else
        a64_put_sp(l, a->sf, a->Rd, r);
    return true;
}

bool a64_lift_addsub_carry(Lift *l, const A64Args *a)
{
    IrType t = a64_type(a->sf);
    IrRef x = a64_get(l, a->sf, a->Rn), y = a64_get(l, a->sf, a->Rm), c = ir_get(&l->b, A64_C);
    if (a->op)
        y = ir_op1(&l->b, IR_NOT, t, y);
    IrRef r = ir_op3(&l->b, IR_ADC, t, x, y, c);
    if (a->S) {
        IrRef zero = ir_const(&l->b, t, 0);
        a64_put_nzcv(l, ir_icmp(&l->b, IR_LT | IR_PSIGNED, r, zero), ir_icmp(&l->b, IR_EQ, r, zero),
                     flag_op(l, IR_ADC_C, t, x, y, c), flag_op(l, IR_ADC_V, t, x, y, c));
    }
    a64_put(l, a->sf, a->Rd, r);
    return true;
}

/* --- logic --- */

/* DecodeBitMasks: a run of ones, rotated, repeated in elements of 2..64 bits. The tables exclude reserved values. */
static uint64_t logical_imm(unsigned n, unsigned imms, unsigned immr)
{
    unsigned len = 31 - __builtin_clz(n << 6 | (~imms & 63));
    unsigned size = 1u << len, s = imms & (size - 1), r = immr & (size - 1);
    uint64_t ones = size == 64 ? UINT64_MAX : (1ull << size) - 1;
    uint64_t elem = s == 63 ? UINT64_MAX : (1ull << (s + 1)) - 1;
    if (r)
        elem = (elem >> r | elem << (size - r)) & ones;
    for (; size < 64; size *= 2)
        elem |= elem << size;
    return elem;
}

bool a64_lift_logical_imm(Lift *l, const A64Args *a)
{
    static const IrOp op[4] = {IR_AND, IR_OR, IR_XOR, IR_AND};
    IrType t = a64_type(a->sf);
    uint64_t imm = logical_imm(a->N, a->imms, a->immr);
    IrRef r = op2(l, op[a->opc], t, a64_get(l, a->sf, a->Rn), ir_const(&l->b, t, a->sf ? imm : (uint32_t)imm));
    if (a->opc == 3) {
        a64_put_logic_flags(l, t, r);
        a64_put(l, a->sf, a->Rd, r);
    } else {
        a64_put_sp(l, a->sf, a->Rd, r);
    }
    return true;
}

bool a64_lift_logical_shift(Lift *l, const A64Args *a)
{
    static const IrOp op[4] = {IR_AND, IR_OR, IR_XOR, IR_AND};
    IrType t = a64_type(a->sf);
    IrRef x = a64_get(l, a->sf, a->Rn), y = shifted(l, a);
    if (a->N)
        y = ir_op1(&l->b, IR_NOT, t, y);
    IrRef r = op2(l, op[a->opc], t, x, y);
    if (a->opc == 3)
        a64_put_logic_flags(l, t, r);
    a64_put(l, a->sf, a->Rd, r);
    return true;
}

/* --- move wide --- */

bool a64_lift_movn(Lift *l, const A64Args *a)
{
    uint64_t v = ~((uint64_t)a->imm16 << 16 * a->hw);
    a64_put_x(l, a->Rd, a64_c64(l, a->sf ? v : (uint32_t)v));
    return true;
}

bool a64_lift_movz(Lift *l, const A64Args *a)
{
    a64_put_x(l, a->Rd, a64_c64(l, (uint64_t)a->imm16 << 16 * a->hw));
    return true;
}

bool a64_lift_movk(Lift *l, const A64Args *a)
{
    uint64_t field = 0xffffull << 16 * a->hw, imm = (uint64_t)a->imm16 << 16 * a->hw;
    uint64_t keep = (a->sf ? UINT64_MAX : UINT32_MAX) & ~field;
    IrRef kept = op2(l, IR_AND, IR_I64, a64_get_x(l, a->Rd), a64_c64(l, keep));
    a64_put_x(l, a->Rd, op2(l, IR_OR, IR_I64, kept, a64_c64(l, imm)));
    return true;
}

/* --- bit fields --- */

static IrRef field_op(Lift *l, IrOp op, IrType t, IrRef x, unsigned lsb, unsigned width)
{
    return ir_op1i(&l->b, op, t, x, lsb | width << 8);
}

/* Low `width` bits of x, extended to the type. */
static IrRef extend_low(Lift *l, bool is_signed, IrType t, IrRef x, unsigned width)
{
    IrType narrow = width == 8 ? IR_I8 : width == 16 ? IR_I16 : width == 32 ? IR_I32 : IR_VOID;
    if (width == 8 * ir_type_size(t))
        return x;
    if (narrow == IR_VOID)
        return field_op(l, is_signed ? IR_SBFX : IR_UBFX, t, x, 0, width);
    x = ir_trunc(&l->b, narrow, x);
    return is_signed ? ir_sext(&l->b, t, x) : ir_zext(&l->b, t, x);
}

/* SBFM and UBFM: a field moved down to bit 0 (imms >= immr), or the low bits moved up; the rest sign or zero. */
static IrRef bitfield(Lift *l, const A64Args *a, bool is_signed)
{
    unsigned n = a->sf ? 64 : 32;
    IrType t = a64_type(a->sf);
    IrRef x = a64_get(l, a->sf, a->Rn);
    if (a->imms == n - 1)
        return shift_const(l, is_signed ? IR_SAR : IR_SHR, t, x, a->immr);
    if (a->imms >= a->immr && a->immr)
        return field_op(l, is_signed ? IR_SBFX : IR_UBFX, t, x, a->immr, a->imms - a->immr + 1);
    unsigned width = a->imms + 1, up = (n - a->immr) % n;
    if (width + up < n)
        x = extend_low(l, is_signed, t, x, width);
    return shift_const(l, IR_SHL, t, x, up);
}

bool a64_lift_sbfm(Lift *l, const A64Args *a)
{
    a64_put(l, a->sf, a->Rd, bitfield(l, a, true));
    return true;
}

bool a64_lift_ubfm(Lift *l, const A64Args *a)
{
    a64_put(l, a->sf, a->Rd, bitfield(l, a, false));
    return true;
}

bool a64_lift_bfm(Lift *l, const A64Args *a)
{
    unsigned n = a->sf ? 64 : 32, lsb = 0, width = a->imms + 1;
    IrType t = a64_type(a->sf);
    IrRef x = a64_get(l, a->sf, a->Rn);
    if (a->imms >= a->immr) {
        width = a->imms - a->immr + 1;
        x = shift_const(l, IR_SHR, t, x, a->immr);
    } else {
        lsb = n - a->immr;
    }
    a64_put(l, a->sf, a->Rd, ir_op2i(&l->b, IR_BFI, t, a64_get(l, a->sf, a->Rd), x, lsb | width << 8));
    return true;
}

bool a64_lift_extr(Lift *l, const A64Args *a)
{
    IrRef x = a64_get(l, a->sf, a->Rn), y = a64_get(l, a->sf, a->Rm);
    IrType t = a64_type(a->sf);
    IrRef r = a->Rn == a->Rm ? shift_const(l, IR_ROR, t, x, a->imms) : ir_op2i(&l->b, IR_EXTR, t, x, y, a->imms);
    a64_put(l, a->sf, a->Rd, r);
    return true;
}

/* --- flags: FEAT_FlagM --- */

bool a64_lift_rmif(Lift *l, const A64Args *a)
{
    static const uint8_t slot[4] = {A64_V, A64_C, A64_Z, A64_N};
    IrRef x = shift_const(l, IR_ROR, IR_I64, a64_get_x(l, a->Rn), a->imm6);
    for (unsigned i = 0; i < 4; i++)
        if (a->mask >> i & 1)
            ir_put(&l->b, slot[i], ir_trunc(&l->b, IR_I8, field_op(l, IR_UBFX, IR_I64, x, i, 1)));
    return true;
}

bool a64_lift_setf(Lift *l, const A64Args *a)
{
    unsigned bits = a->sz ? 16 : 8;
    IrRef x = a64_get(l, 0, a->Rn);
    IrRef n = ir_trunc(&l->b, IR_I8, field_op(l, IR_UBFX, IR_I32, x, bits - 1, 1));
    IrRef above = ir_trunc(&l->b, IR_I8, field_op(l, IR_UBFX, IR_I32, x, bits, 1));
    IrRef low = field_op(l, IR_UBFX, IR_I32, x, 0, bits);
    ir_put(&l->b, A64_N, n);
    ir_put(&l->b, A64_Z, ir_icmp(&l->b, IR_EQ, low, ir_const(&l->b, IR_I32, 0)));
    ir_put(&l->b, A64_V, op2(l, IR_XOR, IR_I8, n, above));
    return true;
}

bool a64_lift_cfinv(Lift *l, const A64Args *a)
{
    ir_put(&l->b, A64_C, a64_not(l, ir_get(&l->b, A64_C)));
    return true;
}

/* From the alternative representation of an FP comparison to Arm's. */
bool a64_lift_xaflag(Lift *l, const A64Args *a)
{
    IrRef z = ir_get(&l->b, A64_Z), c = ir_get(&l->b, A64_C), not_c = a64_not(l, c);
    a64_put_nzcv(l, op2(l, IR_AND, IR_I8, not_c, a64_not(l, z)), op2(l, IR_AND, IR_I8, z, c), op2(l, IR_OR, IR_I8, z, c),
                 op2(l, IR_AND, IR_I8, not_c, z));
    return true;
}

bool a64_lift_axflag(Lift *l, const A64Args *a)
{
    IrRef z = ir_get(&l->b, A64_Z), c = ir_get(&l->b, A64_C), v = ir_get(&l->b, A64_V), none = a64_c8(l, 0);
    a64_put_nzcv(l, none, op2(l, IR_OR, IR_I8, z, v), op2(l, IR_AND, IR_I8, c, a64_not(l, v)), none);
    return true;
}

/* --- conditional --- */

bool a64_lift_ccmp(Lift *l, const A64Args *a)
{
    static const uint8_t slot[4] = {A64_V, A64_C, A64_Z, A64_N};
    IrType t = a64_type(a->sf);
    IrRef cond = a64_cond(l, a->cond), x = a64_get(l, a->sf, a->Rn);
    IrRef y = a->reg ? ir_const(&l->b, t, a->Rm) : a64_get(l, a->sf, a->Rm);
    if (a->op)
        sub_flags(l, t, x, y, op2(l, IR_SUB, t, x, y));
    else
        add_flags(l, t, x, y, op2(l, IR_ADD, t, x, y));
    for (unsigned i = 0; i < 4; i++)
        ir_put(&l->b, slot[i], ir_select(&l->b, cond, ir_get(&l->b, slot[i]), a64_c8(l, a->nzcv >> i & 1)));
    return true;
}

bool a64_lift_csel(Lift *l, const A64Args *a)
{
    IrType t = a64_type(a->sf);
    IrRef cond = a64_cond(l, a->cond);
    if (a->Rn == 31 && a->Rm == 31 && a->op != a->o2) { /* CSET, CSETM of the inverse condition */
        IrRef r = ir_zext(&l->b, t, a64_not(l, cond));
        a64_put(l, a->sf, a->Rd, a->op ? ir_op1(&l->b, IR_NEG, t, r) : r);
        return true;
    }
    IrRef x = a64_get(l, a->sf, a->Rn), y = a64_get(l, a->sf, a->Rm);
    if (a->op)
        y = ir_op1(&l->b, a->o2 ? IR_NEG : IR_NOT, t, y);
    else if (a->o2)
        y = op2(l, IR_ADD, t, y, ir_const(&l->b, t, 1));
    a64_put(l, a->sf, a->Rd, ir_select(&l->b, cond, x, y));
    return true;
}

/* --- two sources --- */

bool a64_lift_div(Lift *l, const A64Args *a)
{
    IrRef x = a64_get(l, a->sf, a->Rn), y = a64_get(l, a->sf, a->Rm);
    a64_put(l, a->sf, a->Rd, op2(l, a->U ? IR_DIVS : IR_DIVU, a64_type(a->sf), x, y));
    return true;
}

bool a64_lift_shiftv(Lift *l, const A64Args *a)
{
    IrRef x = a64_get(l, a->sf, a->Rn), amount = ir_trunc(&l->b, IR_I8, a64_get_x(l, a->Rm));
    a64_put(l, a->sf, a->Rd, op2(l, shift_op[a->shift], a64_type(a->sf), x, amount));
    return true;
}

bool a64_lift_crc32(Lift *l, const A64Args *a)
{
    IrType lane = IR_I8 + a->sz;
    IrRef acc = a64_get(l, 0, a->Rn), data = ir_trunc(&l->b, lane, a64_get_x(l, a->Rm));
    a64_put(l, 0, a->Rd, ir_opx(&l->b, IR_CRC32, IR_I32, lane, 0, a->C, 0, acc, data, 0));
    return true;
}

/* --- one source --- */

static bool one_source(Lift *l, const A64Args *a, IrOp op)
{
    a64_put(l, a->sf, a->Rd, ir_op1(&l->b, op, a64_type(a->sf), a64_get(l, a->sf, a->Rn)));
    return true;
}

bool a64_lift_rbit(Lift *l, const A64Args *a)
{
    return one_source(l, a, IR_BITREV);
}

bool a64_lift_clz(Lift *l, const A64Args *a)
{
    return one_source(l, a, IR_CLZ);
}

bool a64_lift_cls(Lift *l, const A64Args *a)
{
    return one_source(l, a, IR_CLS);
}

/* Bytes reversed in each halfword. */
static IrRef rev16(Lift *l, IrType t, IrRef x)
{
    IrRef low = ir_const(&l->b, t, t == IR_I64 ? 0x00ff00ff00ff00ff : 0x00ff00ff);
    IrRef up = shift_const(l, IR_SHL, t, op2(l, IR_AND, t, x, low), 8);
    return op2(l, IR_OR, t, up, op2(l, IR_AND, t, shift_const(l, IR_SHR, t, x, 8), low));
}

/* REV16, REV32, REV: containers of 2 << (opc - 1) bytes. */
bool a64_lift_rev(Lift *l, const A64Args *a)
{
    IrType t = a64_type(a->sf);
    IrRef x = a64_get(l, a->sf, a->Rn), r;
    if (a->opc == 1)
        r = rev16(l, t, x);
    else
        r = ir_op1(&l->b, IR_BSWAP, t, x);
    if (a->opc == 2 && a->sf)
        r = shift_const(l, IR_ROR, t, r, 32);
    a64_put(l, a->sf, a->Rd, r);
    return true;
}

/* --- three sources --- */

static bool multiply_add(Lift *l, const A64Args *a, IrOp op)
{
    IrType t = a64_type(a->sf);
    IrRef product = op2(l, IR_MUL, t, a64_get(l, a->sf, a->Rn), a64_get(l, a->sf, a->Rm));
    a64_put(l, a->sf, a->Rd, op2(l, op, t, a64_get(l, a->sf, a->Ra), product));
    return true;
}

bool a64_lift_madd(Lift *l, const A64Args *a)
{
    return multiply_add(l, a, IR_ADD);
}

bool a64_lift_msub(Lift *l, const A64Args *a)
{
    return multiply_add(l, a, IR_SUB);
}

bool a64_lift_maddl(Lift *l, const A64Args *a)
{
    IrRef x = a64_get(l, 0, a->Rn), y = a64_get(l, 0, a->Rm);
    x = a->U ? ir_zext(&l->b, IR_I64, x) : ir_sext(&l->b, IR_I64, x);
    y = a->U ? ir_zext(&l->b, IR_I64, y) : ir_sext(&l->b, IR_I64, y);
    IrRef product = op2(l, IR_MUL, IR_I64, x, y);
    a64_put_x(l, a->Rd, op2(l, a->o0 ? IR_SUB : IR_ADD, IR_I64, a64_get_x(l, a->Ra), product));
    return true;
}

bool a64_lift_mulh(Lift *l, const A64Args *a)
{
    IrOp op = a->U ? IR_MULHU : IR_MULHS;
    a64_put_x(l, a->Rd, op2(l, op, IR_I64, a64_get_x(l, a->Rn), a64_get_x(l, a->Rm)));
    return true;
}
