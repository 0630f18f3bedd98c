/*
 * Exact IEEE-754 arithmetic in integers, with each guest's NaN, flush and tininess rules. It is the reference for the
 * host FP that translated code uses, the interpreter's arithmetic, and the out-of-line repair of the cases in which
 * host and guest differ. It never touches the host's FP state.
 *
 * Values are raw bit patterns in the low bits of a uint64_t; unused upper bits of results are zero.
 */
#ifndef BASE_FP_H
#define BASE_FP_H

#include <stdbool.h>
#include <stdint.h>

typedef enum FpFmt { FP_F16, FP_BF16, FP_F32, FP_F64 } FpFmt;

typedef enum FpRound {
    FP_RNE, /* to nearest, ties to even */
    FP_RUP, /* towards +infinity */
    FP_RDN, /* towards -infinity */
    FP_RTZ, /* towards zero */
    FP_RNA, /* to nearest, ties away from zero */
    FP_RTO, /* to odd (Von Neumann): for double rounding-safe narrowing */
    FP_RCUR = 7, /* "as FpEnv.round says"; only in IR attributes */
} FpRound;

typedef enum FpFlag {
    FP_INVALID = 1,
    FP_DIVZERO = 2,
    FP_OVERFLOW = 4,
    FP_UNDERFLOW = 8,
    FP_INEXACT = 16,
    FP_DENORMAL = 32, /* an input subnormal was flushed to zero (Arm's IDC) */
} FpFlag;

typedef enum FpNanRule {
    FP_NAN_ARM,   /* first signalling operand, else first quiet one; default NaN positive */
    FP_NAN_RISCV, /* always the default NaN, positive */
    FP_NAN_X86,   /* first NaN operand, quieted; default NaN negative */
} FpNanRule;

/* The dynamic floating-point environment of one vcpu. */
typedef struct FpEnv {
    uint8_t round;       /* FpRound, 0..3 */
    uint8_t nan_rule;    /* FpNanRule */
    uint8_t default_nan; /* FPCR.DN */
    uint8_t flush;       /* FPCR.FZ: flush f32/f64 subnormal inputs and results */
    uint8_t flush16;     /* FPCR.FZ16: the same for f16 */
    uint8_t alt_half;    /* FPCR.AHP: alternative half precision in conversions */
    uint8_t tiny_after;  /* tininess detected after rounding (x86, RISC-V) instead of before (Arm) */
    uint8_t pad;
    uint32_t flags;      /* FpFlag, sticky: those raised by software; the host's own may wait in MXCSR */
} FpEnv;

uint64_t fp_add(FpFmt f, uint64_t a, uint64_t b, FpEnv *e);
uint64_t fp_sub(FpFmt f, uint64_t a, uint64_t b, FpEnv *e);
uint64_t fp_mul(FpFmt f, uint64_t a, uint64_t b, FpEnv *e);
uint64_t fp_div(FpFmt f, uint64_t a, uint64_t b, FpEnv *e);
uint64_t fp_sqrt(FpFmt f, uint64_t a, FpEnv *e);
/* a * b + c, rounded once. NaN priority is that of the guest's fused operation (Arm: the addend c first). */
uint64_t fp_fma(FpFmt f, uint64_t a, uint64_t b, uint64_t c, FpEnv *e);
/* Arm's FMULX: as multiplication, but 0 * infinity is 2.0 with the product's sign. */
uint64_t fp_mulx(FpFmt f, uint64_t a, uint64_t b, FpEnv *e);
/* NaN-propagating minimum and maximum, -0 < +0 (Arm FMIN/FMAX, IEEE 754-2019 minimum/maximum). */
uint64_t fp_min(FpFmt f, uint64_t a, uint64_t b, FpEnv *e);
uint64_t fp_max(FpFmt f, uint64_t a, uint64_t b, FpEnv *e);
/* IEEE 754-2008 minNum and maxNum (Arm FMINNM/FMAXNM). */
uint64_t fp_minnum(FpFmt f, uint64_t a, uint64_t b, FpEnv *e);
uint64_t fp_maxnum(FpFmt f, uint64_t a, uint64_t b, FpEnv *e);
/* Arm's 8-bit estimates and Newton steps: FRECPE, FRSQRTE, FRECPX; 2 - a*b and (3 - a*b) / 2, fused. */
uint64_t fp_recpe(FpFmt f, uint64_t a, FpEnv *e);
uint64_t fp_rsqrte(FpFmt f, uint64_t a, FpEnv *e);
uint64_t fp_recpx(FpFmt f, uint64_t a, FpEnv *e);
uint64_t fp_recps(FpFmt f, uint64_t a, uint64_t b, FpEnv *e);
uint64_t fp_rsqrts(FpFmt f, uint64_t a, uint64_t b, FpEnv *e);

/* Relation of two values, as the bits of IrPred: FP_LT, FP_EQ, FP_GT or FP_UN (unordered). */
enum { FP_LT = 1, FP_EQ = 2, FP_GT = 4, FP_UN = 8 };
/* `signalling`: raise FP_INVALID for quiet NaNs too (FCMPE). */
unsigned fp_compare(FpFmt f, uint64_t a, uint64_t b, bool signalling, FpEnv *e);

/* Round to an integral value. `exact`: raise FP_INEXACT when the value changes (FRINTX). */
uint64_t fp_rint(FpFmt f, uint64_t a, FpRound r, bool exact, FpEnv *e);
/* FRINT32/64: as fp_rint, but values that do not fit an integer of `bits` give the most negative one, FP_INVALID. */
uint64_t fp_rint_n(FpFmt f, uint64_t a, FpRound r, unsigned bits, FpEnv *e);
/*
 * To a two's complement or unsigned integer of `bits` (16, 32, 64), times 2^fbits first, saturating, NaN to 0 with
 * FP_INVALID (Arm's rule; other guests adjust in their lifters). The result is zero-extended from `bits`.
 */
uint64_t fp_to_int(FpFmt f, uint64_t a, unsigned bits, bool is_signed, unsigned fbits, FpRound r, FpEnv *e);
/* From an integer of `bits`, divided by 2^fbits, rounded once by e->round. */
uint64_t fp_from_int(FpFmt f, uint64_t a, unsigned bits, bool is_signed, unsigned fbits, FpEnv *e);
/* Between formats. Narrowing rounds by `r` (FP_RCUR: e->round; FP_RTO for FCVTXN). */
uint64_t fp_convert(FpFmt to, FpFmt from, uint64_t a, FpRound r, FpEnv *e);
/* FJCVTZS: to int32 modulo 2^32, towards zero. *exact: whether nothing was lost (Arm's Z flag). */
uint32_t fp_js_to_int32(uint64_t a, bool *exact, FpEnv *e);

#endif
