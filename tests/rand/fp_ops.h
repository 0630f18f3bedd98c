/*
 * Floating-point instructions and what base/fp says they compute, for the comparison with another implementation of the
 * architecture (fp_guest.c runs the instructions, fp_check.c the expressions). Operands a, b, c arrive in v0, v1, v2; the
 * result is v3.
 *   FPV(format of the operands, instruction, expression)
 */
#define FPV_BOTH(h, s, d)                                                                                                   \
    FPV_BIN(h, s, d, "fadd", fp_add) FPV_BIN(h, s, d, "fsub", fp_sub) FPV_BIN(h, s, d, "fmul", fp_mul)                      \
    FPV_BIN(h, s, d, "fdiv", fp_div) FPV_BIN(h, s, d, "fmulx", fp_mulx) FPV_BIN(h, s, d, "fmin", fp_min)                    \
    FPV_BIN(h, s, d, "fmax", fp_max) FPV_BIN(h, s, d, "fminnm", fp_minnum) FPV_BIN(h, s, d, "fmaxnm", fp_maxnum)            \
    FPV_BIN(h, s, d, "frecps", fp_recps) FPV_BIN(h, s, d, "frsqrts", fp_rsqrts)

#define FPV_BIN(F, r, R, insn, fn) FPV(F, insn " " r "3, " r "0, " r "1", fn(F, a, b, e))
#define FPV_UN(F, r, R, insn, fn) FPV(F, insn " " r "3, " r "0", fn(F, a, e))
#define FPV_RINT(F, r, insn, mode, exact) FPV(F, insn " " r "3, " r "0", fp_rint(F, a, mode, exact, e))
#define FPV_RINTN(F, r, insn, mode, bits) FPV(F, insn " " r "3, " r "0", fp_rint_n(F, a, mode, bits, e))
#define FPV_TOI(F, r, insn, x, bits, sg, fb, mode, imm)                                                                     \
    FPV(F, insn " " x "4, " r "0" imm "; fmov d3, x4", fp_to_int(F, a, bits, sg, fb, mode, e))
#define FPV_TOI4(F, r, x, bits)                                                                                             \
    FPV_TOI(F, r, "fcvtns", x, bits, true, 0, FP_RNE, "") FPV_TOI(F, r, "fcvtnu", x, bits, false, 0, FP_RNE, "")            \
    FPV_TOI(F, r, "fcvtps", x, bits, true, 0, FP_RUP, "") FPV_TOI(F, r, "fcvtpu", x, bits, false, 0, FP_RUP, "")            \
    FPV_TOI(F, r, "fcvtms", x, bits, true, 0, FP_RDN, "") FPV_TOI(F, r, "fcvtmu", x, bits, false, 0, FP_RDN, "")            \
    FPV_TOI(F, r, "fcvtas", x, bits, true, 0, FP_RNA, "") FPV_TOI(F, r, "fcvtau", x, bits, false, 0, FP_RNA, "")            \
    FPV_TOI(F, r, "fcvtzs", x, bits, true, 0, FP_RTZ, "") FPV_TOI(F, r, "fcvtzu", x, bits, false, 0, FP_RTZ, "")            \
    FPV_TOI(F, r, "fcvtzs", x, bits, true, 1, FP_RTZ, ", #1") FPV_TOI(F, r, "fcvtzu", x, bits, false, 7, FP_RTZ, ", #7")    \
    FPV_TOI(F, r, "fcvtzs", x, bits, true, bits, FP_RTZ, ", #" #bits)                                                       \
    FPV_TOI(F, r, "fcvtzu", x, bits, false, bits, FP_RTZ, ", #" #bits)
#define FPV_FROMI(F, r, insn, x, bits, sg, fb, imm)                                                                         \
    FPV(F, "fmov x4, d0; " insn " " r "3, " x "4" imm, fp_from_int(F, a, bits, sg, fb, e))
#define FPV_FROMI6(F, r, x, bits)                                                                                           \
    FPV_FROMI(F, r, "scvtf", x, bits, true, 0, "") FPV_FROMI(F, r, "ucvtf", x, bits, false, 0, "")                          \
    FPV_FROMI(F, r, "scvtf", x, bits, true, 5, ", #5") FPV_FROMI(F, r, "ucvtf", x, bits, false, bits, ", #" #bits)          \
    FPV_FROMI(F, r, "scvtf", x, bits, true, bits, ", #" #bits) FPV_FROMI(F, r, "ucvtf", x, bits, false, 16, ", #16")
#define FPV_CMP(F, r, insn, sg) FPV(F, insn " " r "0, " r "1; mrs x4, nzcv; fmov d3, x4", nzcv(fp_compare(F, a, b, sg, e)))

#define FPV_FORMAT(F, r)                                                                                                    \
    FPV_BOTH(F, r, 0)                                                                                                       \
    FPV(F, "fmadd " r "3, " r "0, " r "1, " r "2", fp_fma(F, a, b, c, e))                                                   \
    FPV(F, "fmsub " r "3, " r "0, " r "1, " r "2", fp_fma(F, a ^ SIGN(F), b, c, e))                                         \
    FPV(F, "fnmadd " r "3, " r "0, " r "1, " r "2", fp_fma(F, a ^ SIGN(F), b, c ^ SIGN(F), e))                              \
    FPV_UN(F, r, 0, "fsqrt", fp_sqrt) FPV_UN(F, r, 0, "frecpe", fp_recpe) FPV_UN(F, r, 0, "frsqrte", fp_rsqrte)             \
    FPV_UN(F, r, 0, "frecpx", fp_recpx)                                                                                     \
    FPV_CMP(F, r, "fcmp", false) FPV_CMP(F, r, "fcmpe", true)                                                               \
    FPV_RINT(F, r, "frintn", FP_RNE, false) FPV_RINT(F, r, "frintp", FP_RUP, false)                                         \
    FPV_RINT(F, r, "frintm", FP_RDN, false) FPV_RINT(F, r, "frintz", FP_RTZ, false)                                         \
    FPV_RINT(F, r, "frinta", FP_RNA, false) FPV_RINT(F, r, "frinti", FP_RCUR, false)                                        \
    FPV_RINT(F, r, "frintx", FP_RCUR, true)                                                                                 \
    FPV_TOI4(F, r, "w", 32) FPV_TOI4(F, r, "x", 64)                                                                         \
    FPV_FROMI6(F, r, "w", 32) FPV_FROMI6(F, r, "x", 64)

FPV_FORMAT(FP_F16, "h")
FPV_FORMAT(FP_F32, "s")
FPV_FORMAT(FP_F64, "d")
FPV_RINTN(FP_F32, "s", "frint32z", FP_RTZ, 32)
FPV_RINTN(FP_F32, "s", "frint32x", FP_RCUR, 32)
FPV_RINTN(FP_F32, "s", "frint64z", FP_RTZ, 64)
FPV_RINTN(FP_F64, "d", "frint32x", FP_RCUR, 32)
FPV_RINTN(FP_F64, "d", "frint64x", FP_RCUR, 64)
FPV_RINTN(FP_F64, "d", "frint64z", FP_RTZ, 64)
FPV(FP_F16, "fcvt s3, h0", fp_convert(FP_F32, FP_F16, a, FP_RCUR, e))
FPV(FP_F16, "fcvt d3, h0", fp_convert(FP_F64, FP_F16, a, FP_RCUR, e))
FPV(FP_F32, "fcvt h3, s0", fp_convert(FP_F16, FP_F32, a, FP_RCUR, e))
FPV(FP_F32, "fcvt d3, s0", fp_convert(FP_F64, FP_F32, a, FP_RCUR, e))
FPV(FP_F64, "fcvt h3, d0", fp_convert(FP_F16, FP_F64, a, FP_RCUR, e))
FPV(FP_F64, "fcvt s3, d0", fp_convert(FP_F32, FP_F64, a, FP_RCUR, e))
FPV(FP_F64, "fcvtxn s3, d0", fp_convert(FP_F32, FP_F64, a, FP_RTO, e))
FPV(FP_F32, "bfcvt h3, s0", fp_convert(FP_BF16, FP_F32, a, FP_RCUR, e))
FPV(FP_F64, "fjcvtzs w4, d0; mrs x5, nzcv; orr x4, x4, x5, lsl #2; fmov d3, x4", js(a, e))
