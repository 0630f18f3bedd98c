/*
 * VEX and EVEX encoding. Everything about an instruction comes from its row of insn_vec.def; here the prefixes are put
 * together from that and the register numbers. Source: Intel SDM volume 2, sections 2.3 and 2.7.
 */
#include "host/x86_64/asm_vec.h"

#include "base/check.h"

enum { PP0, PP66, PPF3, PPF2 };
enum { M0F = 1, M0F38, M0F3A, M5 = 5, M6 };
#define NOMEM X64_VEC_NOMEM

const X64VecInfo x64_vec[X64_NVEC] = {
#define X64_VEC(n, f, e, pp_, m, w_, o, d, mem_) \
    {.name = #n, .form = X64_##f, .enc = X64_##e, .pp = pp_, .map = m, .w = w_, .opcode = o, .digit = d, .mem = mem_},
#include "host/x86_64/insn_vec.def"
#undef X64_VEC
};

/* VEX rows with an EVEX form that differs in nothing but the prefix: W of that, plus 1. That of logic names lanes, which are all one. */
static const uint8_t high_form[X64_NVEC] = {
    [VMOVAPS] = 1, [VPAND] = 1, [VPANDN] = 1, [VPOR] = 1, [VPXOR] = 1,
    [VPADDB] = 1, [VPADDW] = 1, [VPADDD] = 1, [VPADDQ] = 2, [VPSUBB] = 1, [VPSUBW] = 1, [VPSUBD] = 1, [VPSUBQ] = 2,
    [VPMULLW] = 1, [VPMULLD] = 1,
    [VPMINSB] = 1, [VPMINSW] = 1, [VPMINSD] = 1, [VPMINUB] = 1, [VPMINUW] = 1, [VPMINUD] = 1,
    [VPMAXSB] = 1, [VPMAXSW] = 1, [VPMAXSD] = 1, [VPMAXUB] = 1, [VPMAXUW] = 1, [VPMAXUD] = 1,
    [VADDSS] = 1, [VSUBSS] = 1, [VMULSS] = 1, [VDIVSS] = 1, [VADDSD] = 2, [VSUBSD] = 2, [VMULSD] = 2, [VDIVSD] = 2,
    [VADDPS] = 1, [VSUBPS] = 1, [VMULPS] = 1, [VDIVPS] = 1, [VADDPD] = 2, [VSUBPD] = 2, [VMULPD] = 2, [VDIVPD] = 2,
};

/* With the scale of a displacement of one byte. */
static bool is_evex(const X64VecInfo *i)
{
    return i->enc == X64_EVEX || i->enc == X64_EVEX_Z || i->enc == X64_EVEX_ZK;
}

bool x64_has_high(X64Vec op)
{
    return is_evex(&x64_vec[op]) || high_form[op];
}

/* The r/m operand of either register class, or memory. */
typedef struct Rm {
    bool mem;
    uint8_t reg;
    Mem m;
} Rm;

static Rm rm_of(RXm x)
{
    return (Rm){.mem = x.mem, .reg = x.x.n, .m = x.m};
}

static Rm rm_reg(unsigned n)
{
    return (Rm){.reg = (uint8_t)n};
}

static Rm rm_mem(Mem m)
{
    return (Rm){.mem = true, .m = m};
}

/* Bits 3 (and for EVEX registers 4) of the r/m operand as the prefix fields X and B, not yet inverted. */
static void rm_ext(Rm rm, unsigned *x, unsigned *b)
{
    if (!rm.mem) {
        *b = rm.reg >> 3 & 1;
        *x = rm.reg >> 4 & 1;
        return;
    }
    *b = rm.m.base >> 3 & 1;
    *x = rm.m.index >> 3 & 1;
}

static void vex_prefix(Asm *a, const X64VecInfo *i, unsigned reg, unsigned v, unsigned x, unsigned b)
{
    unsigned last = (~v & 15) << 3 | i->pp;

    if (!i->w && !x && !b && i->map == M0F) {
        asm_u8(a, 0xC5);
        asm_u8(a, (~reg >> 3 & 1) << 7 | last);
        return;
    }
    asm_u8(a, 0xC4);
    asm_u8(a, (~reg >> 3 & 1) << 7 | (x ^ 1) << 6 | (b ^ 1) << 5 | i->map);
    asm_u8(a, (unsigned)i->w << 7 | last);
}

static void evex_prefix(Asm *a, const X64VecInfo *i, unsigned w, unsigned reg, unsigned v, unsigned x, unsigned b)
{
    asm_u8(a, 0x62);
    asm_u8(a, (~reg >> 3 & 1) << 7 | (x ^ 1) << 6 | (b ^ 1) << 5 | (~reg >> 4 & 1) << 4 | i->map);
    asm_u8(a, w << 7 | (~v & 15) << 3 | 4 | i->pp);
    asm_u8(a, (~v >> 4 & 1) << 3 | (i->enc == X64_EVEX_SAE ? 0x10 : i->enc == X64_EVEX_Z ? 0x40 : i->enc == X64_EVEX_ZK ? 0x41 : 0));
}

static void legacy_prefix(Asm *a, const X64VecInfo *i, unsigned reg, unsigned x, unsigned b)
{
    unsigned rex = (reg >> 3 & 1) << 2 | x << 1 | b;

    if (rex)
        asm_u8(a, 0x40 | rex);
    asm_u8(a, 0x0F);
    asm_u8(a, i->map == M0F38 ? 0x38 : 0x3A);
}

/*
 * One instruction. Operands by place: `reg` in ModRM.reg, `v` in vvvv (0 when unused), `rm`.
 *   imm_bytes  immediate bytes that the caller writes afterwards
 */
static void emit(Asm *a, X64Vec op, unsigned reg, unsigned v, Rm rm, unsigned imm_bytes)
{
    const X64VecInfo *i = &x64_vec[op];
    bool low = (reg | v) < 16 && (rm.mem || rm.reg < 16), other = !low && high_form[op];
    unsigned x, b;

    CHECK(!rm.mem || i->mem != NOMEM);
    rm_ext(rm, &x, &b);
    if (is_evex(i) || i->enc == X64_EVEX_SAE || other) {
        evex_prefix(a, i, other ? high_form[op] - 1u : i->w, reg, v, x, b);
    } else {
        CHECK(low);
        if (i->enc == X64_VEX)
            vex_prefix(a, i, reg, v, x, b);
        else
            legacy_prefix(a, i, reg, x, b);
    }
    asm_u8(a, i->opcode);
    if (rm.mem)
        asm_modrm_mem(a, reg & 7, rm.m, imm_bytes, is_evex(i) || other ? 1u << i->mem : 1);
    else
        asm_u8(a, 0xC0 | (reg & 7) << 3 | (rm.reg & 7));
}

static void want(X64Vec op, X64VecForm form)
{
    CHECK(x64_vec[op].form == form);
}

static void want2(X64Vec op, X64VecForm f1, X64VecForm f2)
{
    CHECK(x64_vec[op].form == f1 || x64_vec[op].form == f2);
}

void x64_rvm_xm(Asm *a, X64Vec op, Xmm d, Xmm x, RXm y)
{
    want(op, X64_RVM);
    emit(a, op, d.n, x.n, rm_of(y), 0);
}

void x64_kvm_m(Asm *a, X64Vec op, unsigned k, Xmm x, Mem y)
{
    want(op, X64_KVM);
    emit(a, op, k, x.n, rm_mem(y), 0);
}

void x64_rm_xm(Asm *a, X64Vec op, Xmm d, RXm s)
{
    want(op, X64_RM);
    emit(a, op, d.n, 0, rm_of(s), 0);
}

void x64_rvmi_xm(Asm *a, X64Vec op, Xmm d, Xmm x, RXm y, unsigned imm)
{
    want(op, X64_RVMI);
    emit(a, op, d.n, x.n, rm_of(y), 1);
    asm_u8(a, imm);
}

void x64_rmi_xm(Asm *a, X64Vec op, Xmm d, RXm s, unsigned imm)
{
    want(op, X64_RMI);
    emit(a, op, d.n, 0, rm_of(s), 1);
    asm_u8(a, imm);
}

void x64_rvms_xm(Asm *a, X64Vec op, Xmm d, Xmm x, RXm y, Xmm z)
{
    want(op, X64_RVMS);
    CHECK(z.n < 16);
    emit(a, op, d.n, x.n, rm_of(y), 1);
    asm_u8(a, (unsigned)z.n << 4);
}

void x64_mr(Asm *a, X64Vec op, Xmm d, Xmm s)
{
    want(op, X64_MR);
    emit(a, op, s.n, 0, rm_reg(d.n), 0);
}

void x64_mr_m(Asm *a, X64Vec op, Mem d, Xmm s)
{
    want2(op, X64_MR, X64_MR_GX);
    emit(a, op, s.n, 0, rm_mem(d), 0);
}

void x64_mri(Asm *a, X64Vec op, Xmm d, Xmm s, unsigned imm)
{
    want(op, X64_MRI);
    emit(a, op, s.n, 0, rm_reg(d.n), 1);
    asm_u8(a, imm);
}

void x64_mri_m(Asm *a, X64Vec op, Mem d, Xmm s, unsigned imm)
{
    want2(op, X64_MRI, X64_MRI_GX);
    emit(a, op, s.n, 0, rm_mem(d), 1);
    asm_u8(a, imm);
}

void x64_vmi(Asm *a, X64Vec op, Xmm d, Xmm s, unsigned imm)
{
    want(op, X64_VMI);
    emit(a, op, x64_vec[op].digit, d.n, rm_reg(s.n), 1);
    asm_u8(a, imm);
}

void x64_vmi_m(Asm *a, X64Vec op, Xmm d, Mem s, unsigned imm)
{
    want(op, X64_VMI);
    emit(a, op, x64_vec[op].digit, d.n, rm_mem(s), 1);
    asm_u8(a, imm);
}

void x64_rvm_g(Asm *a, X64Vec op, Xmm d, Xmm x, Gpr s)
{
    want(op, X64_RVM_G);
    emit(a, op, d.n, x.n, rm_reg(s.n), 0);
}

void x64_rvm_gm(Asm *a, X64Vec op, Xmm d, Xmm x, Mem s)
{
    want(op, X64_RVM_G);
    emit(a, op, d.n, x.n, rm_mem(s), 0);
}

void x64_xg(Asm *a, X64Vec op, Xmm d, Gpr s)
{
    want(op, X64_RM_XG);
    emit(a, op, d.n, 0, rm_reg(s.n), 0);
}

void x64_xg_m(Asm *a, X64Vec op, Xmm d, Mem s)
{
    want(op, X64_RM_XG);
    emit(a, op, d.n, 0, rm_mem(s), 0);
}

void x64_gx(Asm *a, X64Vec op, Gpr d, Xmm s)
{
    want2(op, X64_RM_GX, X64_MR_GX);
    if (x64_vec[op].form == X64_RM_GX)
        emit(a, op, d.n, 0, rm_reg(s.n), 0);
    else
        emit(a, op, s.n, 0, rm_reg(d.n), 0);
}

void x64_gx_m(Asm *a, X64Vec op, Gpr d, Mem s)
{
    want(op, X64_RM_GX);
    emit(a, op, d.n, 0, rm_mem(s), 0);
}

void x64_rvmi_g(Asm *a, X64Vec op, Xmm d, Xmm x, Gpr s, unsigned imm)
{
    want(op, X64_RVMI_G);
    emit(a, op, d.n, x.n, rm_reg(s.n), 1);
    asm_u8(a, imm);
}

void x64_rvmi_gm(Asm *a, X64Vec op, Xmm d, Xmm x, Mem s, unsigned imm)
{
    want(op, X64_RVMI_G);
    emit(a, op, d.n, x.n, rm_mem(s), 1);
    asm_u8(a, imm);
}

void x64_gxi(Asm *a, X64Vec op, Gpr d, Xmm s, unsigned imm)
{
    want(op, X64_MRI_GX);
    emit(a, op, s.n, 0, rm_reg(d.n), 1);
    asm_u8(a, imm);
}

void x64_gather(Asm *a, X64Vec op, Xmm d, Gpr base, Xmm index, Xmm mask)
{
    const X64VecInfo *i = &x64_vec[op];

    want(op, X64_VSIB);
    CHECK((d.n | index.n | mask.n) < 16 && d.n != index.n && d.n != mask.n && index.n != mask.n);
    vex_prefix(a, i, d.n, mask.n, index.n >> 3, base.n >> 3);
    asm_u8(a, i->opcode);
    asm_u8(a, 1 << 6 | (d.n & 7) << 3 | 4); /* a displacement of one byte, 0 */
    asm_u8(a, (index.n & 7u) << 3 | (base.n & 7));
    asm_u8(a, 0);
}
