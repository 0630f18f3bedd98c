/* Operations done by C functions: the generic way for whatever has no rule, and CALL. The thunks keep every register. */
#include "host/x86_64/emit.h"

#include "base/check.h"
#include "host/x86_64/asm_vec.h"

#include <string.h>

static size_t arg_offset(unsigned n)
{
    return offsetof(HostCpu, ir.call.arg) + sizeof(IrVal) * n;
}

/* --- arguments and results -------------------------------------------------------------------------------------------- */

/* mem to mem through rax, which is kept in scratch 0; no allocator calls. */
static void copy_words(Sel *s, Mem to, Mem from, unsigned words)
{
    x64_mov_mr(s->a, W64, plan_scratch(0), RAX);
    for (unsigned k = 0; k < words; k++, to.disp += 8, from.disp += 8) {
        x64_mov_rm(s->a, W64, RAX, from);
        x64_mov_mr(s->a, W64, to, RAX);
    }
    x64_mov_rm(s->a, W64, RAX, plan_scratch(0));
}

void sel_store_imm(Sel *s, Mem to, uint64_t v)
{
    if ((int64_t)v == (int32_t)v) {
        x64_mov_mi(s->a, W64, to, (int32_t)v);
        return;
    }
    x64_mov_mi(s->a, W32, to, (int32_t)v);
    to.disp += 4;
    x64_mov_mi(s->a, W32, to, (int32_t)(v >> 32));
}

/* Value to argument `n`, from wherever it is, changing no register. Bits above its type are cleared by the thunk. */
void sel_store_arg(Sel *s, unsigned n, IrRef v)
{
    IrRef root = ra_root(s, v);
    const Val *x = ra_val(s, root);
    Mem to = plan_cpu(arg_offset(n)), from;
    bool vec = plan_is_x(ra_type(s, root));
    IrVal c;

    if (x->reg != REG_NONE && vec) {
        ra_store_reg(s, to, x->reg);
    } else if (ra_in_high(s, root) != REG_NONE) {
        ra_store_reg(s, to, ra_in_high(s, root));
    } else if (x->reg != REG_NONE) {
        x64_mov_mr(s->a, W64, to, (Gpr){x->reg});
    } else if (ra_const(s, root, &c)) {
        sel_store_imm(s, to, c.u64[0]);
        to.disp += 8;
        if (vec)
            sel_store_imm(s, to, c.u64[1]);
    } else {
        bool found = ra_memory(s, root, &from);
        CHECK(found);
        copy_words(s, to, from, vec ? 2 : 1);
    }
}

/* The operation as the thunk takes it: op, type, lane; lanes, aux; imm */
static void store_op(Sel *s, const IrInsn *i)
{
    Mem m = plan_scratch(SCRATCH_OP);
    x64_mov_mi(s->a, W32, m, (int32_t)(i->op | (uint32_t)i->type << 16 | (uint32_t)i->lane << 24));
    m.disp += 4;
    x64_mov_mi(s->a, W32, m, (int32_t)(i->lanes | (uint32_t)i->aux << 8));
    sel_store_imm(s, plan_scratch(SCRATCH_IMM), i->imm);
}

static void eval_here(Sel *s, const IrInsn *i)
{
    const uint8_t *k = ir_ops[i->op].arg;
    if (k[0] != IRR_N)
        sel_store_arg(s, 0, i->a);
    if (k[1] != IRR_N)
        sel_store_arg(s, 1, i->b);
    if (k[2] != IRR_N)
        sel_store_arg(s, 2, i->c);
    store_op(s, i);
    ra_call_stub(s, STUB_EVAL);
}

static void load_result(Sel *s, unsigned reg)
{
    Mem from = plan_cpu(offsetof(HostCpu, ir.call.ret));
    if (reg < REG_X)
        x64_mov_rm(s->a, W64, (Gpr){(uint8_t)reg}, from);
    else
        x64_rm_m(s->a, VMOVDQU, (Xmm){(uint8_t)(reg - REG_X)}, from);
}

static void define_result(Sel *s, const IrInsn *i)
{
    if (plan_is_x((IrType)i->type))
        load_result(s, REG_X + sel_def_x(s, i).n);
    else
        load_result(s, sel_def_r(s, i).n);
}

void sel_eval(Sel *s, const IrInsn *i)
{
    eval_here(s, i);
    define_result(s, i);
}

void sel_call(Sel *s, const IrInsn *i)
{
    for (uint32_t k = 0; k < i->b; k++)
        sel_store_arg(s, k, s->r->pool[i->a + k]);
    x64_mov_mi(s->a, W64, plan_scratch(SCRATCH_OP), (int32_t)i->imm);
    ra_call_stub(s, STUB_CALL);
    if (i->type != IR_VOID)
        define_result(s, i);
}

void sel_cold_eval_at(Sel *s, const IrInsn *i, uint32_t slow)
{
    uint32_t back = sel_label(s);
    unsigned reg = ra_val(s, (IrRef)(i - s->r->insn))->reg;

    CHECK(reg != REG_NONE);
    sel_bind(s, back);
    sel_cold_begin(s);
    sel_bind(s, slow);
    eval_here(s, i);
    load_result(s, reg);
    x64_jmp(s->a, back);
    sel_cold_end(s);
}

Mem sel_cold_call(Sel *s, const IrInsn *i)
{
    eval_here(s, i);
    return plan_cpu(offsetof(HostCpu, ir.call.ret));
}

void sel_cold_eval(Sel *s, const IrInsn *i, Cc cc)
{
    uint32_t slow = sel_label(s);
    x64_jcc(s->a, cc, slow);
    sel_cold_eval_at(s, i, slow);
}

/* --- the C side ------------------------------------------------------------------------------------------------------- */

/* Clear what is above the type: registers may hold anything there. */
static void trim(IrVal *v, IrType t)
{
    unsigned size = ir_type_size(t);
    if (size < 16)
        memset(v->u8 + size, 0, 16 - size);
}

static IrType rule_type(const IrInsn *i, unsigned rule)
{
    switch (rule) {
    case IRR_T: return (IrType)i->type;
    case IRR_L: return (IrType)i->lane;
    case IRR_I8: return IR_I8;
    case IRR_I16: return IR_I16;
    case IRR_I32: return IR_I32;
    case IRR_I64: return IR_I64;
    default: return IR_V128;
    }
}

void x64_eval(const IrInsn *i, IrVal arg[3], FpEnv *fp, IrVal *out)
{
    for (unsigned k = 0; k < 3; k++)
        if (ir_ops[i->op].arg[k] != IRR_N)
            trim(&arg[k], rule_type(i, ir_ops[i->op].arg[k]));
    ir_eval(i, arg, fp, out);
    trim(out, (IrType)i->type);
}

void x64_eval_thunk(HostCpu *cpu)
{
    uint32_t w0 = (uint32_t)cpu->scratch[SCRATCH_OP], w1 = (uint32_t)(cpu->scratch[SCRATCH_OP] >> 32);
    IrInsn i = {.op = (uint16_t)w0, .type = (uint8_t)(w0 >> 16), .lane = (uint8_t)(w0 >> 24), .lanes = (uint8_t)w1,
                .aux = (uint8_t)(w1 >> 8), .imm = cpu->scratch[SCRATCH_IMM]};

    x64_eval(&i, cpu->ir.call.arg, &cpu->ir.fp, &cpu->ir.call.ret);
}

static void trim_args(HostCpu *cpu, const IrHelper *h)
{
    for (unsigned k = 0; k < h->nargs; k++)
        trim(&cpu->ir.call.arg[k], (IrType)h->arg[k]);
}

void x64_call_thunk(HostCpu *cpu, const HostPlan *plan)
{
    const IrHelper *h = &plan->cfg.helpers[cpu->scratch[SCRATCH_OP]];
    trim_args(cpu, h);
    h->fn(&cpu->ir, &cpu->ir.call);
    trim(&cpu->ir.call.ret, (IrType)h->ret);
}

uint64_t x64_help_thunk(HostCpu *cpu, const HostPlan *plan, uint64_t number)
{
    const IrHelper *h = &plan->cfg.helpers[number];
    uint64_t stop;

    trim_args(cpu, h);
    x64_flags_settle(cpu, plan);
    x64_fp_store(cpu);
    stop = h->fn(&cpu->ir, &cpu->ir.call);
    x64_fp_load(cpu);
    return stop;
}

/* --- FP environment --------------------------------------------------------------------------------------------------- */

enum { MXCSR_IE = 1, MXCSR_DE = 2, MXCSR_ZE = 4, MXCSR_OE = 8, MXCSR_UE = 16, MXCSR_PE = 32, MXCSR_IM = 128, MXCSR_MASKS = 0x1f80 };

void x64_fp_load(HostCpu *cpu)
{
    static const uint8_t rc[4] = {[FP_RNE] = 0, [FP_RUP] = 2, [FP_RDN] = 1, [FP_RTZ] = 3};
    /* "invalid" traps, see fptrap.c */
    cpu->mxcsr = (MXCSR_MASKS & ~(uint32_t)MXCSR_IM) | (uint32_t)rc[cpu->ir.fp.round & 3] << 13;
}

void x64_fp_store(HostCpu *cpu)
{
    uint32_t m = cpu->mxcsr;
    cpu->ir.fp.flags |= (m & MXCSR_IE ? FP_INVALID : 0) | (m & MXCSR_ZE ? FP_DIVZERO : 0) |
                        (m & MXCSR_OE ? FP_OVERFLOW : 0) | (m & MXCSR_UE ? FP_UNDERFLOW : 0) |
                        (m & MXCSR_PE ? FP_INEXACT : 0);
    cpu->mxcsr = m & ~(uint32_t)(MXCSR_IE | MXCSR_DE | MXCSR_ZE | MXCSR_OE | MXCSR_UE | MXCSR_PE);
}
