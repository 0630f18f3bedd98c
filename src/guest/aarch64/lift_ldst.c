/*
 * Loads and stores of general and SIMD&FP registers: Arm ARM C6.2 and C7.2, in the order of spec/aarch64/ldst.insn. Results
 * (loaded values, then the written-back base) are put after the last access.
 */
#include "guest/aarch64/lift_excl.h"

A64Addr a64_addr(Lift *l, IrRef base, int64_t disp)
{
    if (l->careful & LIFT_CAREFUL_TAG)
        return (A64Addr){lift_addr(l, a64_addi(l, base, disp)), 0};
    return (A64Addr){base, disp};
}

IrRef a64_load(Lift *l, IrType t, IrType mem, A64Addr at, unsigned flags)
{
    return ir_load(&l->b, t, mem, at.base, at.disp, flags);
}

void a64_store(Lift *l, IrType mem, A64Addr at, IrRef v, unsigned flags)
{
    flags |= a64_lock_store(l, at);
    ir_store(&l->b, mem, at.base, at.disp, v, flags);
}

/* One transfer of Rt: which way, what it looks like in memory and in the register. */
typedef struct Access {
    bool load;
    IrType mem, reg;
    unsigned flags;
} Access;

/* General registers: opc 00 store, 01 load, 10 load signed to X, 11 load signed to W. */
static Access access_x(const A64Args *a)
{
    static const IrType reg[4] = {IR_I64, IR_I64, IR_I64, IR_I32};
    return (Access){.load = a->opc != 0, .mem = IR_I8 + a->size, .reg = reg[a->opc], .flags = a->opc >= 2 ? IR_MEM_SIGNED : 0};
}

/* SIMD&FP registers: opc<0> load, opc<1>:size log2 of the bytes. */
static unsigned scale_v(const A64Args *a)
{
    return (a->opc & 2) << 1 | a->size;
}

static Access access_v(const A64Args *a)
{
    return (Access){.load = a->opc & 1, .mem = a->opc & 2 ? IR_V128 : IR_I8 + a->size, .reg = IR_V128};
}

static IrRef get_value(Lift *l, Access x, unsigned n)
{
    return x.reg == IR_V128 ? a64_get_v(l, n) : a64_get_x(l, n);
}

static void put_value(Lift *l, Access x, unsigned n, IrRef v)
{
    if (x.reg == IR_V128)
        a64_put_v(l, n, v);
    else
        a64_put_zext(l, n, v);
}

static void transfer(Lift *l, Access x, unsigned n, A64Addr at)
{
    if (x.load)
        put_value(l, x, n, a64_load(l, x.reg, x.mem, at, x.flags));
    else
        a64_store(l, x.mem, at, get_value(l, x, n), x.flags);
}

/* --- unsigned scaled offset --- */

bool a64_lift_ldst_uimm(Lift *l, const A64Args *a)
{
    transfer(l, access_x(a), a->Rt, a64_addr(l, a64_get_xsp(l, a->Rn), (int64_t)a->imm12 << a->size));
    return true;
}

bool a64_lift_ldst_uimm_fp(Lift *l, const A64Args *a)
{
    transfer(l, access_v(a), a->Rt, a64_addr(l, a64_get_xsp(l, a->Rn), (int64_t)a->imm12 << scale_v(a)));
    return true;
}

/* --- 9-bit offset: idx 00 unscaled, 01 post-index, 10 unprivileged (the same at EL0), 11 pre-index --- */

static bool imm9(Lift *l, const A64Args *a, Access x)
{
    IrRef base = a64_get_xsp(l, a->Rn);
    int64_t imm = a64_sext(a->imm9, 9);
    transfer(l, x, a->Rt, a64_addr(l, base, a->idx == 1 ? 0 : imm));
    if (a->idx & 1)
        a64_put_xsp(l, a->Rn, a64_addi(l, base, imm));
    return true;
}

bool a64_lift_ldst_imm9(Lift *l, const A64Args *a)
{
    return imm9(l, a, access_x(a));
}

bool a64_lift_ldst_imm9_fp(Lift *l, const A64Args *a)
{
    return imm9(l, a, access_v(a));
}

/* --- register offset --- */

static A64Addr reg_offset(Lift *l, const A64Args *a, unsigned scale)
{
    IrRef offset = a64_extend(l, IR_I64, a->Rm, a->option, a->S ? scale : 0);
    return a64_addr(l, ir_op2(&l->b, IR_ADD, IR_I64, a64_get_xsp(l, a->Rn), offset), 0);
}

bool a64_lift_ldst_reg(Lift *l, const A64Args *a)
{
    transfer(l, access_x(a), a->Rt, reg_offset(l, a, a->size));
    return true;
}

bool a64_lift_ldst_reg_fp(Lift *l, const A64Args *a)
{
    transfer(l, access_v(a), a->Rt, reg_offset(l, a, scale_v(a)));
    return true;
}

/* --- prefetch: Rt<4:3> 00 for load, 01 of instructions, 10 for store --- */

static bool prefetch(Lift *l, const A64Args *a, A64Addr at)
{
    if (a->Rt >> 3 == 0 || a->Rt >> 3 == 2)
        ir_emit(&l->b, (IrInsn){.op = IR_PREFETCH, .aux = a->Rt >> 4, .a = a64_addi(l, at.base, at.disp)});
    return true;
}

bool a64_lift_prfm_uimm(Lift *l, const A64Args *a)
{
    return prefetch(l, a, a64_addr(l, a64_get_xsp(l, a->Rn), (int64_t)a->imm12 << 3));
}

bool a64_lift_prfm_unscaled(Lift *l, const A64Args *a)
{
    return prefetch(l, a, a64_addr(l, a64_get_xsp(l, a->Rn), a64_sext(a->imm9, 9)));
}

bool a64_lift_prfm_reg(Lift *l, const A64Args *a)
{
    return prefetch(l, a, reg_offset(l, a, 3));
}

/* --- literal --- */

static A64Addr literal(Lift *l, const A64Args *a)
{
    return (A64Addr){a64_c64(l, l->pc + a64_sext(a->imm19, 19) * 4), 0};
}

bool a64_lift_ldr_lit(Lift *l, const A64Args *a)
{
    Access x = {.load = true, .mem = a->opc == 1 ? IR_I64 : IR_I32, .reg = IR_I64, .flags = a->opc == 2 ? IR_MEM_SIGNED : 0};
    transfer(l, x, a->Rt, literal(l, a));
    return true;
}

static const IrType fp_width[3] = {IR_I32, IR_I64, IR_V128};

bool a64_lift_ldr_lit_fp(Lift *l, const A64Args *a)
{
    transfer(l, (Access){.load = true, .mem = fp_width[a->opc], .reg = IR_V128}, a->Rt, literal(l, a));
    return true;
}

/* --- pairs: mode 000 non-temporal, 001 post-index, 010 offset, 011 pre-index --- */

static bool pair(Lift *l, const A64Args *a, Access x)
{
    int64_t size = ir_type_size(x.mem), imm = a64_sext(a->imm7, 7) * size, disp = a->mode == 1 ? 0 : imm;
    IrRef base = a64_get_xsp(l, a->Rn);
    A64Addr first = a64_addr(l, base, disp), second = a64_addr(l, base, disp + size);
    if (x.load) {
        IrRef v1 = a64_load(l, x.reg, x.mem, first, x.flags), v2 = a64_load(l, x.reg, x.mem, second, x.flags);
        put_value(l, x, a->Rt, v1);
        put_value(l, x, a->Rt2, v2);
    } else {
        IrRef v1 = get_value(l, x, a->Rt), v2 = get_value(l, x, a->Rt2);
        a64_store(l, x.mem, first, v1, 0);
        a64_store(l, x.mem, second, v2, 0);
    }
    if (a->mode & 1)
        a64_put_xsp(l, a->Rn, a64_addi(l, base, imm));
    return true;
}

bool a64_lift_ldstp(Lift *l, const A64Args *a)
{
    return pair(l, a, (Access){.load = a->L, .mem = a->opc == 2 ? IR_I64 : IR_I32, .reg = IR_I64,
                               .flags = a->opc == 1 ? IR_MEM_SIGNED : 0});
}

bool a64_lift_ldstp_fp(Lift *l, const A64Args *a)
{
    return pair(l, a, (Access){.load = a->L, .mem = fp_width[a->opc], .reg = IR_V128});
}

/* --- with pointer authentication: LDRAA, LDRAB; M: key B, W: write back --- */

bool a64_lift_ldra(Lift *l, const A64Args *a)
{
    IrRef base = a64_auth(l, a->M ? A64_KEY_DB : A64_KEY_DA, a64_get_xsp(l, a->Rn), a64_c64(l, 0));
    int64_t imm = a64_sext(a->S << 9 | a->imm9, 10) * 8;
    IrRef v = a64_load(l, IR_I64, IR_I64, a64_addr(l, base, imm), 0);
    a64_put_x(l, a->Rt, v);
    if (a->W)
        a64_put_xsp(l, a->Rn, a64_addi(l, base, imm));
    return true;
}
