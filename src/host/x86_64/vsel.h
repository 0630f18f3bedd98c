/*
 * What the rules for floating-point and vector operations share. See x64.h for the protocol of rules; the files are
 *
 *   select_fp16.c       half precision on hosts without it
 *   select_est.c        reciprocal estimates
 *   select_fp.c         scalar floating point and its comparisons; the table sel_fp_rules
 *   select_fp_cvt.c     its conversions
 *   select_vec_fp.c     vector floating point
 *   select_vec.c        vector integer arithmetic, logic, comparison; the table sel_vec_rules
 *   select_vec_mul.c    products, sums across lanes, widening and narrowing
 *   select_vec_shift.c  shifts and saturation
 *   select_vec_perm.c   lanes and permutations
 *   select_crypto.c     AES, SHA, CRC
 *
 * Exactness. Results are those of ir_eval, bit by bit, and so are the flags that accumulate: the host's in MXCSR, together
 * with those that ir_eval raises on the cold path or that a trap raises (fptrap.c). So no rule may run a host operation that
 * raises a flag which the guest's operation does not: unused lanes are cleared before arithmetic. NaN rules of the guest's
 * are left to traps; Arm's tininess before rounding, which shows in the underflow flag alone, is looked for in the results of
 * regions that must be exact (IrFpMode.exact) and redone by ir_eval.
 */
#ifndef HOST_X86_64_VSEL_H
#define HOST_X86_64_VSEL_H

#include "host/x86_64/asm_vec.h"
#include "host/x86_64/x64.h"

/* Index of tables by float type: f16 f32 f64. */
static inline unsigned fp_index(IrType t)
{
    return (unsigned)t - IR_F16;
}

/* Index of tables by integer lane: i8 i16 i32 i64; float lanes index by their width. */
static inline unsigned lane_index(IrType t)
{
    return t >= IR_F16 ? (unsigned)t - IR_F16 + 1 : (unsigned)t - IR_I8;
}

static inline unsigned lane_bits(const IrInsn *i)
{
    return 8u << lane_index((IrType)i->lane);
}

/* Whether the shape is 64 bits: the upper half of the result is zero, that of operands is to be ignored. */
static inline bool half_shape(const IrInsn *i)
{
    return i->lanes && i->lanes * lane_bits(i) == 64;
}

static inline bool full_shape(const IrInsn *i)
{
    return i->lanes && i->lanes * lane_bits(i) == 128;
}

/*
 * Whether operations trapped often in this region: then none may, and operands are looked at first. Else "invalid" traps,
 * and its handler (fptrap.c) knows the instructions that the rules emit: extend it with them.
 */
static inline bool sel_careful(const Sel *s)
{
    return s->r->fp.careful & IR_FP_CAREFUL_ARITH;
}

/* Find out, for the parameters of a graph, what vsel_bits says of them: the most that any edge brings. Before liveness. */
void vsel_params(Sel *s);
/* An upper bound of the number of low bits of a vector above which it is zero. */
unsigned vsel_bits(const Sel *s, IrRef v);
/* Whether bits 127:64 of the value are known to be zero. */
bool vsel_upper_zero(const Sel *s, IrRef v);
/* Operand whose bits 127:64 are zero (cleared in a temporary unless known). For arithmetic on 64-bit shapes. */
Xmm vsel_use_low(Sel *s, IrRef v);
/* The operand for an instruction that works on all 128 bits: as it is for full shapes, with upper bits cleared else. */
Xmm vsel_use_shaped(Sel *s, const IrInsn *i, IrRef v);
/* sel_use_x and sel_use_xm for the last operand of `op`, which is used for nothing else: perhaps a register from xmm16 on. */
Xmm vsel_use_x(Sel *s, X64Vec op, IrRef v);
RXm vsel_use_xm(Sel *s, X64Vec op, IrRef v, unsigned bytes);
/* Clear bits 127:64 of the result if the shape has 64 bits. */
void vsel_finish(Sel *s, const IrInsn *i, Xmm d);
/* A constant of `bits`-wide lanes, each x. */
Mem vsel_rep(Sel *s, unsigned bits, uint64_t x);
/* Branch to the cold evaluation when any bit of t is set. */
void vsel_cold_if_any(Sel *s, const IrInsn *i, Xmm t);
/* VCMPxx immediate of an FP relation set (aux of FCMP and VFCMP); false for the empty and the full set. */
bool vsel_cmp_imm(unsigned aux, unsigned *imm);
/* VROUNDxx immediate of an FpRound; false when there is none (ties away, to odd). */
bool vsel_round_imm(unsigned round, unsigned *imm);

/* The same, for operations that make zeros of zeros: nothing to do if the operands' upper halves are known to be zero. */
void vsel_finish_zero(Sel *s, const IrInsn *i, Xmm d);
/* d = lanes (index k) of a shifted right by n, 0..N; d may be a; t is spoiled. */
void vsel_shift_right(Sel *s, bool sign, unsigned k, Xmm d, Xmm a, unsigned n, Xmm t);

/* Rules, by file. */
SelRule vsel_fvec_arith, vsel_fvec_mulx, vsel_fvec_step, vsel_fvec_fma, vsel_fvec_sqrt, vsel_fvec_sign, vsel_fvec_minmax, vsel_fvec_rint, vsel_vfcmp,
    vsel_vftoi, vsel_vitof, vsel_vfwiden, vsel_vfnarrow;
/* Half precision without host arithmetic for it (select_fp16.c). */
SelRule vsel_f16_arith, vsel_f16_minmax, vsel_f16_rint, vsel_f16_vector;
void vsel_f16_widen(Sel *s, Xmm t, Xmm a); /* t = the f16 in a, as f32 */
void vsel_f16_compare(Sel *s, IrRef x, IrRef y, bool signalling); /* flags as of ucomiss */
SelRule vsel_estimate, vsel_fcadd, vsel_fcmla, vsel_fmlal, vsel_fvec_rintn;
SelRule vsel_crc32; /* aux 0 */
SelRule vsel_mul, vsel_mull, vsel_pmul, vsel_pmull, vsel_satdmulh, vsel_satdmull, vsel_rdmlah, vsel_dot, vsel_mmla, vsel_addp, vsel_paddl, vsel_sum,
    vsel_minmaxv, vsel_widen, vsel_narrow;
SelRule vsel_shift_imm, vsel_rotate, vsel_shift, vsel_sat;
SelRule vsel_dup, vsel_dupl, vsel_get, vsel_set, vsel_setl, vsel_zext, vsel_pair, vsel_concat, vsel_lowhigh, vsel_zip,
    vsel_uzp, vsel_trn, vsel_ext, vsel_rev, vsel_tbl;
SelRule vsel_aes, vsel_sha1, vsel_sha1su, vsel_sha256h, vsel_sha256su, vsel_sha512h, vsel_sha512su;

#endif
