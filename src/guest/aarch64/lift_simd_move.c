/*
 * Advanced SIMD copies between elements and registers, permutations, table lookup and modified immediates.
 */
#include "guest/aarch64/lift_simd.h"

/* The size and index that imm5 of the copy group holds: xxxx1 byte, xxx10 halfword ... Size 4: undefined. */
static unsigned imm5_size(uint32_t imm5)
{
    return (imm5 & 15) ? (unsigned)__builtin_ctz(imm5) : 4;
}

static unsigned imm5_index(uint32_t imm5, unsigned size)
{
    return imm5 >> (size + 1);
}

static IrRef get_lane(Lift *l, IrType t, unsigned reg, unsigned index)
{
    return ir_opx(&l->b, IR_VGET, t, t, 0, 0, index, a64_get_v(l, reg), 0, 0);
}

/* DUP (element), vector */
bool a64_lift_dup_elem(Lift *l, const A64Args *a)
{
    unsigned size = imm5_size(a->imm5);
    if (size > 3 || (size == 3 && !a->Q))
        return false;
    VElem e = {.reg = a->Rn, .index = imm5_index(a->imm5, size)};
    a64_put_v(l, a->Rd, simd_dup_elem(l, simd_shape(size, a->Q), e));
    return true;
}

/* DUP (element), scalar */
bool a64_lift_dup_sc(Lift *l, const A64Args *a)
{
    unsigned size = imm5_size(a->imm5);
    if (size > 3)
        return false;
    IrType t = IR_I8 + size;
    simd_put_scalar(l, t, a->Rd, get_lane(l, t, a->Rn, imm5_index(a->imm5, size)));
    return true;
}

/* DUP (general) */
bool a64_lift_dup_gen(Lift *l, const A64Args *a)
{
    unsigned size = imm5_size(a->imm5);
    if (size > 3 || (size == 3 && !a->Q))
        return false;
    VShape s = simd_shape(size, a->Q);
    IrRef x = ir_trunc(&l->b, s.lane, a64_get_x(l, a->Rn));
    a64_put_v(l, a->Rd, simd_op1(l, IR_VDUP, s, x));
    return true;
}

/* SMOV */
bool a64_lift_smov(Lift *l, const A64Args *a)
{
    unsigned size = imm5_size(a->imm5);
    if (size > (a->Q ? 2 : 1))
        return false;
    IrRef e = get_lane(l, IR_I8 + size, a->Rn, imm5_index(a->imm5, size));
    a64_put_x(l, a->Rd, a->Q ? ir_sext(&l->b, IR_I64, e) : ir_zext(&l->b, IR_I64, ir_sext(&l->b, IR_I32, e)));
    return true;
}

/* UMOV */
bool a64_lift_umov(Lift *l, const A64Args *a)
{
    unsigned size = imm5_size(a->imm5);
    if (a->Q ? size != 3 : size > 2)
        return false;
    IrRef e = get_lane(l, IR_I8 + size, a->Rn, imm5_index(a->imm5, size));
    a64_put_x(l, a->Rd, ir_zext(&l->b, IR_I64, e));
    return true;
}

/* INS (general) */
bool a64_lift_ins_gen(Lift *l, const A64Args *a)
{
    unsigned size = imm5_size(a->imm5);
    if (size > 3)
        return false;
    VShape s = simd_shape(size, 1);
    IrRef x = ir_trunc(&l->b, s.lane, a64_get_x(l, a->Rn));
    IrRef d = a64_get_v(l, a->Rd);
    a64_put_v(l, a->Rd, simd_op(l, IR_VSET, s, 0, imm5_index(a->imm5, size), d, x, 0));
    return true;
}

/* INS (element) */
bool a64_lift_ins_elem(Lift *l, const A64Args *a)
{
    unsigned size = imm5_size(a->imm5);
    if (size > 3)
        return false;
    uint64_t imm = imm5_index(a->imm5, size) | (uint64_t)(a->imm4 >> size) << 8;
    IrRef d = a64_get_v(l, a->Rd);
    a64_put_v(l, a->Rd, simd_op(l, IR_VSETL, simd_shape(size, 1), 0, imm, d, a64_get_v(l, a->Rn), 0));
    return true;
}

/* UZP1, TRN1, ZIP1, UZP2, TRN2, ZIP2 */
bool a64_lift_simd_permute(Lift *l, const A64Args *a)
{
    static const IrOp op[8] = {
        [1] = IR_VUZP1, [2] = IR_VTRN1, [3] = IR_VZIP1, [5] = IR_VUZP2, [6] = IR_VTRN2, [7] = IR_VZIP2,
    };
    if (a->size == 3 && !a->Q)
        return false;
    VShape s = simd_shape(a->size, a->Q);
    a64_put_v(l, a->Rd, simd_op2(l, op[a->opcode], s, a64_get_v(l, a->Rn), a64_get_v(l, a->Rm)));
    return true;
}

/* EXT */
bool a64_lift_ext(Lift *l, const A64Args *a)
{
    if (!a->Q && a->imm4 >= 8)
        return false;
    VShape s = simd_shape(0, a->Q);
    a64_put_v(l, a->Rd, simd_op(l, IR_VEXT, s, 0, a->imm4, a64_get_v(l, a->Rn), a64_get_v(l, a->Rm), 0));
    return true;
}

/*
 * TBL, TBX: up to four 16-byte tables in consecutive registers. Table i sees the indices less 16 * i: those meant for
 * another one are then out of its range, also when they wrap.
 */
bool a64_lift_tbl(Lift *l, const A64Args *a)
{
    VShape s = simd_shape(0, a->Q);
    IrRef m = a64_get_v(l, a->Rm), res = a->op ? a64_get_v(l, a->Rd) : 0;
    for (unsigned i = 0; i <= a->len; i++) {
        IrRef table = a64_get_v(l, (a->Rn + i) & 31);
        IrRef index = i ? simd_op2(l, IR_SUB, s, m, simd_dup(l, s, 16 * i)) : m;
        if (a->op) {
            res = simd_op(l, IR_VTBX, s, 0, 0, table, index, res);
        } else {
            IrRef part = simd_op2(l, IR_VTBL, s, table, index);
            res = i ? simd_op2(l, IR_OR, s, res, part) : part;
        }
    }
    a64_put_v(l, a->Rd, res);
    return true;
}

/* AdvSIMDExpandImm for all but the FP forms: 64 bits that are repeated */
static uint64_t expand_imm(unsigned op, unsigned cmode, uint64_t imm8)
{
    if (cmode < 8)
        return (imm8 << 8 * (cmode >> 1)) * UINT64_C(0x100000001);
    if (cmode < 12)
        return (imm8 << 8 * (cmode >> 1 & 1)) * UINT64_C(0x1000100010001);
    if (cmode == 12)
        return (imm8 << 8 | 0xff) * UINT64_C(0x100000001);
    if (cmode == 13)
        return (imm8 << 16 | 0xffff) * UINT64_C(0x100000001);
    if (!op)
        return imm8 * UINT64_C(0x101010101010101);
    uint64_t v = 0;
    for (unsigned i = 0; i < 8; i++) {
        if (imm8 >> i & 1)
            v |= UINT64_C(0xff) << 8 * i;
    }
    return v;
}

static void put_imm(Lift *l, const A64Args *a, uint64_t v)
{
    a64_put_v(l, a->Rd, ir_vconst(&l->b, v, a->Q ? v : 0));
}

/* MOVI, MVNI, ORR, BIC (vector, immediate), FMOV (vector, immediate) single and double */
bool a64_lift_modimm(Lift *l, const A64Args *a)
{
    unsigned cmode = a->cmode;
    uint32_t imm8 = a->abc << 5 | a->defgh;
    if (cmode == 15) {
        if (a->op && !a->Q)
            return false;
        put_imm(l, a, a->op ? simd_fp_imm(IR_F64, imm8) : simd_fp_imm(IR_F32, imm8) * UINT64_C(0x100000001));
        return true;
    }
    uint64_t imm = expand_imm(a->op, cmode, imm8);
    if (cmode < 12 && (cmode & 1)) { /* ORR, BIC */
        VShape s = simd_shape(3, a->Q);
        IrRef d = a64_get_v(l, a->Rd), v = ir_vconst(&l->b, imm, imm);
        a64_put_v(l, a->Rd, simd_op2(l, a->op ? IR_ANDN : IR_OR, s, d, v));
        return true;
    }
    put_imm(l, a, a->op && cmode != 14 ? ~imm : imm);
    return true;
}

/* FMOV (vector, immediate), half precision */
bool a64_lift_fmov_v_h(Lift *l, const A64Args *a)
{
    put_imm(l, a, simd_fp_imm(IR_F16, a->abc << 5 | a->defgh) * UINT64_C(0x1000100010001));
    return true;
}
