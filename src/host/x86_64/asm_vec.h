/*
 * Encoder of vector and floating-point instructions (VEX, EVEX and the few legacy SSE ones without a VEX form). An
 * instruction is a row of insn_vec.def; here is one function for each operand form, so that rules can keep instructions in
 * tables by lane size: `x64_rvm(a, add[lane], d, x, y)`. A row used with the function of another form is a bug (CHECK).
 *
 * Example: vpaddd xmm1, xmm2, [r15+64] is x64_rvm_m(a, VPADDD, (Xmm){1}, (Xmm){2}, mem_b(R15, 64)).
 */
#ifndef HOST_X86_64_ASM_VEC_H
#define HOST_X86_64_ASM_VEC_H

#include "host/x86_64/asm.h"

typedef enum X64Vec {
#define X64_VEC(name, ...) name,
#include "host/x86_64/insn_vec.def"
#undef X64_VEC
    X64_NVEC
} X64Vec;

typedef enum X64VecForm {
    X64_RVM,    /* xmm, xmm, xmm/m */
    X64_RM,     /* xmm, xmm/m */
    X64_MR,     /* xmm/m, xmm */
    X64_RVMI,   /* xmm, xmm, xmm/m, imm8 */
    X64_RMI,    /* xmm, xmm/m, imm8 */
    X64_MRI,    /* xmm/m, xmm, imm8 */
    X64_VMI,    /* xmm, xmm, imm8; destination in vvvv */
    X64_RVMS,   /* xmm, xmm, xmm/m, xmm */
    X64_RVM_G,  /* xmm, xmm, gpr/m */
    X64_RM_XG,  /* xmm, gpr/m */
    X64_RM_GX,  /* gpr, xmm/m */
    X64_MR_GX,  /* gpr/m, xmm; the register in ModRM.reg is the xmm */
    X64_RVMI_G, /* xmm, xmm, gpr/m, imm8 */
    X64_MRI_GX, /* gpr/m, xmm, imm8 */
    X64_KVM,    /* k, xmm, xmm/m */
    X64_VSIB,   /* xmm, memory by gpr and xmm, xmm */
} X64VecForm;

typedef enum X64VecEnc { X64_VEX, X64_EVEX, X64_EVEX_SAE, X64_EVEX_Z, X64_EVEX_ZK, X64_LEG } X64VecEnc;

#define X64_VEC_NOMEM 0xff

typedef struct X64VecInfo {
    const char *name;
    uint8_t form, enc, pp, map, w, opcode, digit;
    uint8_t mem; /* log2 bytes of the memory operand; X64_VEC_NOMEM */
} X64VecInfo;

extern const X64VecInfo x64_vec[X64_NVEC];

/* Whether registers from 16 on are operands too: of EVEX rows, and of VEX rows that are known to have such a form, which is used then. */
bool x64_has_high(X64Vec op);

/* Immediate of VCMPxx (quiet and signalling comparisons) and of VROUNDxx. */
enum {
    X64_CMP_EQ_OQ = 0, X64_CMP_LT_OS, X64_CMP_LE_OS, X64_CMP_UNORD_Q, X64_CMP_NEQ_UQ, X64_CMP_NLT_US, X64_CMP_NLE_US,
    X64_CMP_ORD_Q, X64_CMP_EQ_UQ, X64_CMP_NGE_US, X64_CMP_NGT_US, X64_CMP_FALSE_OQ, X64_CMP_NEQ_OQ, X64_CMP_GE_OS,
    X64_CMP_GT_OS, X64_CMP_TRUE_UQ, X64_CMP_EQ_OS, X64_CMP_LT_OQ, X64_CMP_LE_OQ, X64_CMP_UNORD_S, X64_CMP_NEQ_US,
    X64_CMP_NLT_UQ, X64_CMP_NLE_UQ, X64_CMP_ORD_S, X64_CMP_EQ_US, X64_CMP_NGE_UQ, X64_CMP_NGT_UQ, X64_CMP_FALSE_OS,
    X64_CMP_NEQ_OS, X64_CMP_GE_OQ, X64_CMP_GT_OQ, X64_CMP_TRUE_US
};
enum { X64_ROUND_RNE, X64_ROUND_RDN, X64_ROUND_RUP, X64_ROUND_RTZ, X64_ROUND_CUR, X64_ROUND_QUIET = 8 /* no inexact */ };

void x64_rvm_xm(Asm *a, X64Vec op, Xmm d, Xmm x, RXm y);
void x64_kvm_m(Asm *a, X64Vec op, unsigned k, Xmm x, Mem y);
void x64_rm_xm(Asm *a, X64Vec op, Xmm d, RXm s);
void x64_rvmi_xm(Asm *a, X64Vec op, Xmm d, Xmm x, RXm y, unsigned imm);
void x64_rmi_xm(Asm *a, X64Vec op, Xmm d, RXm s, unsigned imm);
void x64_rvms_xm(Asm *a, X64Vec op, Xmm d, Xmm x, RXm y, Xmm z);
void x64_mr(Asm *a, X64Vec op, Xmm d, Xmm s);
void x64_mr_m(Asm *a, X64Vec op, Mem d, Xmm s);             /* stores: forms MR and MR_GX */
void x64_mri(Asm *a, X64Vec op, Xmm d, Xmm s, unsigned imm);
void x64_mri_m(Asm *a, X64Vec op, Mem d, Xmm s, unsigned imm); /* forms MRI and MRI_GX */
void x64_vmi(Asm *a, X64Vec op, Xmm d, Xmm s, unsigned imm);
void x64_vmi_m(Asm *a, X64Vec op, Xmm d, Mem s, unsigned imm); /* EVEX only */
void x64_rvm_g(Asm *a, X64Vec op, Xmm d, Xmm x, Gpr s);
void x64_rvm_gm(Asm *a, X64Vec op, Xmm d, Xmm x, Mem s);
void x64_xg(Asm *a, X64Vec op, Xmm d, Gpr s);
void x64_xg_m(Asm *a, X64Vec op, Xmm d, Mem s);
void x64_gx(Asm *a, X64Vec op, Gpr d, Xmm s);               /* forms RM_GX and MR_GX */
void x64_gx_m(Asm *a, X64Vec op, Gpr d, Mem s);             /* form RM_GX */
void x64_rvmi_g(Asm *a, X64Vec op, Xmm d, Xmm x, Gpr s, unsigned imm);
void x64_rvmi_gm(Asm *a, X64Vec op, Xmm d, Xmm x, Mem s, unsigned imm);
/* d = lanes at base + index's lanes, where `mask` has a sign bit; mask becomes zero. Three different registers below 16. */
void x64_gather(Asm *a, X64Vec op, Xmm d, Gpr base, Xmm index, Xmm mask);
void x64_gxi(Asm *a, X64Vec op, Gpr d, Xmm s, unsigned imm);

static inline void x64_rvm(Asm *a, X64Vec op, Xmm d, Xmm x, Xmm y)
{
    x64_rvm_xm(a, op, d, x, xm_x(y));
}

static inline void x64_rvm_m(Asm *a, X64Vec op, Xmm d, Xmm x, Mem y)
{
    x64_rvm_xm(a, op, d, x, xm_m(y));
}

static inline void x64_rm(Asm *a, X64Vec op, Xmm d, Xmm s)
{
    x64_rm_xm(a, op, d, xm_x(s));
}

static inline void x64_rm_m(Asm *a, X64Vec op, Xmm d, Mem s)
{
    x64_rm_xm(a, op, d, xm_m(s));
}

static inline void x64_rvmi(Asm *a, X64Vec op, Xmm d, Xmm x, Xmm y, unsigned imm)
{
    x64_rvmi_xm(a, op, d, x, xm_x(y), imm);
}

static inline void x64_rvmi_m(Asm *a, X64Vec op, Xmm d, Xmm x, Mem y, unsigned imm)
{
    x64_rvmi_xm(a, op, d, x, xm_m(y), imm);
}

static inline void x64_rmi(Asm *a, X64Vec op, Xmm d, Xmm s, unsigned imm)
{
    x64_rmi_xm(a, op, d, xm_x(s), imm);
}

static inline void x64_rmi_m(Asm *a, X64Vec op, Xmm d, Mem s, unsigned imm)
{
    x64_rmi_xm(a, op, d, xm_m(s), imm);
}

static inline void x64_rvms(Asm *a, X64Vec op, Xmm d, Xmm x, Xmm y, Xmm z)
{
    x64_rvms_xm(a, op, d, x, xm_x(y), z);
}

#endif
