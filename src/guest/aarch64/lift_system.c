/*
 * System instructions of EL0: Arm ARM C5, C6.2, in the order of spec/aarch64/system.insn.
 */
#include "guest/aarch64/lift_mem.h"

/* --- exceptions and hints --- */

bool a64_lift_svc(Lift *l, const A64Args *a)
{
    lift_helper(l, A64_HELP_SVC, 0, NULL);
    return true;
}

bool a64_lift_brk(Lift *l, const A64Args *a)
{
    lift_stop(l, IR_STOP_BREAK);
    return true;
}

bool a64_lift_nop(Lift *l, const A64Args *a)
{
    return true;
}

/* A landing pad; it does its work in a64_landing. */
bool a64_lift_bti(Lift *l, const A64Args *a)
{
    return true;
}

/* The values of BTYPE with which an indirect branch may come to this instruction, as a bit set. */
static unsigned accepted(uint32_t insn)
{
    enum { X16 = 1 << 1, CALL = 1 << 2, JUMP = 1 << 3 };
    switch (insn) {
    case 0xd503245f: /* BTI c */
    case 0xd503233f: /* PACIASP: as BTI c, since Linux sets SCTLR_EL1.BT0 */
    case 0xd503237f: /* PACIBSP */
        return X16 | CALL;
    case 0xd503249f: /* BTI j */
        return X16 | JUMP;
    case 0xd50324df: /* BTI jc */
        return X16 | CALL | JUMP;
    default:
        return 0;
    }
}

void a64_landing(Lift *l, uint32_t insn)
{
    if (l->guarded) {
        IrRef set = ir_const(&l->b, IR_I32, accepted(insn) | 1);
        IrRef bit = ir_op2(&l->b, IR_SHR, IR_I32, set, ir_get(&l->b, A64_BTYPE));
        IrRef ok = ir_trunc(&l->b, IR_I8, ir_op2(&l->b, IR_AND, IR_I32, bit, ir_const(&l->b, IR_I32, 1)));
        lift_guard(l, ok, A64_HELP_BAD_TARGET, 0, NULL);
    }
}

/* --- barriers --- */

/* DMB, DSB: CRm<1:0> 01 loads, 10 stores, else all. */
bool a64_lift_barrier(Lift *l, const A64Args *a)
{
    static const uint8_t order[4] = {IR_SEQ_CST, IR_ACQUIRE, IR_RELEASE, IR_SEQ_CST};
    ir_emit(&l->b, (IrInsn){.op = IR_FENCE, .flags = order[a->CRm & 3]});
    return true;
}

bool a64_lift_isb(Lift *l, const A64Args *a)
{
    lift_sync(l);
    return true;
}

/* --- cache maintenance --- */

enum { CACHE_LINE = 64 };

/* Zero the line of 64 bytes (DCZID_EL0) that holds the address. */
bool a64_lift_dc_zva(Lift *l, const A64Args *a)
{
    IrRef va = a64_addr(l, a64_get_x(l, a->Rt), 0).base, zero = ir_vconst(&l->b, 0, 0);
    IrRef line = ir_op2(&l->b, IR_AND, IR_I64, va, a64_c64(l, -(uint64_t)CACHE_LINE));
    for (unsigned i = 0; i < CACHE_LINE; i += 16)
        a64_store(l, IR_V128, (A64Addr){line, i}, zero, 0);
    return true;
}

/* Cleaning changes nothing that a guest can see, but faults where it cannot read. */
bool a64_lift_dc_clean(Lift *l, const A64Args *a)
{
    a64_load(l, IR_I64, IR_I8, a64_addr(l, a64_get_x(l, a->Rt), 0), 0);
    return true;
}

bool a64_lift_ic_ivau(Lift *l, const A64Args *a)
{
    IrRef va = a64_get_x(l, a->Rt);
    lift_helper(l, A64_HELP_IC_IVAU, 1, &va);
    return true;
}

/* --- registers that are constant --- */

bool a64_lift_mrs_id(Lift *l, const A64Args *a)
{
    uint64_t v;
    if (!a64_id_register(a64_features(l), a->CRm, a->op2, &v))
        return false;
    a64_put_x(l, a->Rt, a64_c64(l, v));
    return true;
}

/* Caches of 64-byte lines, physically tagged; IDC and DIC 0: changed code needs DC CVAU and IC IVAU, which we hear. */
bool a64_lift_mrs_ctr(Lift *l, const A64Args *a)
{
    a64_put_x(l, a->Rt, a64_c64(l, 0x8444c004));
    return true;
}

/* DC ZVA is permitted and zeroes 4 << 4 bytes. */
bool a64_lift_mrs_dczid(Lift *l, const A64Args *a)
{
    a64_put_x(l, a->Rt, a64_c64(l, 4));
    return true;
}

bool a64_lift_mrs_cntfrq(Lift *l, const A64Args *a)
{
    a64_put_x(l, a->Rt, a64_c64(l, A64_COUNTER_HZ));
    return true;
}

/* --- registers that are slots --- */

bool a64_lift_mrs_tpidr(Lift *l, const A64Args *a)
{
    a64_put_x(l, a->Rt, ir_get(&l->b, A64_TPIDR));
    return true;
}

bool a64_lift_msr_tpidr(Lift *l, const A64Args *a)
{
    ir_put(&l->b, A64_TPIDR, a64_get_x(l, a->Rt));
    return true;
}

/* Linux leaves it zero for 64-bit processes. */
bool a64_lift_mrs_tpidrro(Lift *l, const A64Args *a)
{
    a64_put_x(l, a->Rt, a64_c64(l, 0));
    return true;
}

bool a64_lift_mrs_nzcv(Lift *l, const A64Args *a)
{
    a64_put_x(l, a->Rt, a64_pack_nzcv(l));
    return true;
}

bool a64_lift_msr_nzcv(Lift *l, const A64Args *a)
{
    a64_unpack_nzcv(l, a64_get_x(l, a->Rt));
    return true;
}

/* One bit of PSTATE, kept as an i8. */
static bool read_bit(Lift *l, const A64Args *a, unsigned slot, unsigned lsb)
{
    IrRef bit = ir_zext(&l->b, IR_I64, ir_get(&l->b, slot));
    a64_put_x(l, a->Rt, ir_op2(&l->b, IR_SHL, IR_I64, bit, a64_c8(l, lsb)));
    return true;
}

static bool write_bit(Lift *l, const A64Args *a, unsigned slot, unsigned lsb)
{
    IrRef bit = ir_op1i(&l->b, IR_UBFX, IR_I64, a64_get_x(l, a->Rt), lsb | 1 << 8);
    ir_put(&l->b, slot, ir_trunc(&l->b, IR_I8, bit));
    return true;
}

bool a64_lift_mrs_dit(Lift *l, const A64Args *a)
{
    return read_bit(l, a, A64_DIT, 24);
}

bool a64_lift_msr_dit(Lift *l, const A64Args *a)
{
    return write_bit(l, a, A64_DIT, 24);
}

bool a64_lift_msr_dit_imm(Lift *l, const A64Args *a)
{
    ir_put(&l->b, A64_DIT, a64_c8(l, a->CRm & 1));
    return true;
}

bool a64_lift_mrs_ssbs(Lift *l, const A64Args *a)
{
    return read_bit(l, a, A64_SSBS, 12);
}

bool a64_lift_msr_ssbs(Lift *l, const A64Args *a)
{
    return write_bit(l, a, A64_SSBS, 12);
}

bool a64_lift_msr_ssbs_imm(Lift *l, const A64Args *a)
{
    ir_put(&l->b, A64_SSBS, a64_c8(l, a->CRm & 1));
    return true;
}

/* --- registers behind helpers --- */

static bool helper_to_register(Lift *l, const A64Args *a, A64Helper helper)
{
    IrRef rt = ir_const(&l->b, IR_I32, a->Rt);
    lift_helper(l, helper, 1, &rt);
    return true;
}

static bool helper_of_register(Lift *l, const A64Args *a, A64Helper helper)
{
    IrRef v = a64_get_x(l, a->Rt);
    lift_helper(l, helper, 1, &v);
    return true;
}

bool a64_lift_mrs_fpcr(Lift *l, const A64Args *a)
{
    a64_put_x(l, a->Rt, ir_get(&l->b, A64_FPCR));
    return true;
}

bool a64_lift_msr_fpcr(Lift *l, const A64Args *a)
{
    return helper_of_register(l, a, A64_HELP_WRITE_FPCR);
}

bool a64_lift_mrs_fpsr(Lift *l, const A64Args *a)
{
    return helper_to_register(l, a, A64_HELP_READ_FPSR);
}

bool a64_lift_msr_fpsr(Lift *l, const A64Args *a)
{
    return helper_of_register(l, a, A64_HELP_WRITE_FPSR);
}

bool a64_lift_mrs_cntvct(Lift *l, const A64Args *a)
{
    return helper_to_register(l, a, A64_HELP_COUNTER);
}

bool a64_lift_mrs_rndr(Lift *l, const A64Args *a)
{
    return helper_to_register(l, a, A64_HELP_RANDOM);
}
