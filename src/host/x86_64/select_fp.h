/*
 * What the files of scalar floating-point rules share: select_fp.c (arithmetic, rounding, comparison) and select_fp_cvt.c
 * (conversions).
 */
#ifndef HOST_X86_64_SELECT_FP_H
#define HOST_X86_64_SELECT_FP_H

#include "host/x86_64/vsel.h"

/* Whether the host has arithmetic for this type. */
static inline bool fp_host(const Sel *s, IrType t)
{
    return t == IR_F32 || t == IR_F64 || (t == IR_F16 && s->feat->fp16);
}

static inline unsigned fp_bytes(IrType t)
{
    return 2u << fp_index(t);
}

static inline uint64_t fp_sign_bit(IrType t)
{
    return 1ull << (8 * fp_bytes(t) - 1);
}

static inline uint64_t fp_min_normal(IrType t)
{
    static const uint64_t v[] = {0x0400, 0x00800000, 0x0010000000000000};
    return v[fp_index(t)];
}

/* What a rule does besides the operation. Made after the operands have been asked for, before the result. */
typedef struct FpExtra {
    bool careful, tiny, any;
    uint32_t slow;
    Gpr g; /* careful */
    Xmm t; /* tiny */
} FpExtra;

/*
 * `may_tiny`: the operation's result may have been tiny before rounding only. After the operands have been asked for; then
 * the result: fp_extra_def, or fp_def_above for operations of one operand whose upper bits fp_above gives.
 */
FpExtra fp_extra(Sel *s, bool may_tiny);
Xmm fp_extra_def(Sel *s, const IrInsn *i, const FpExtra *x);
Xmm fp_def_above(Sel *s, const IrInsn *i, const FpExtra *x);
Xmm fp_above(Sel *s, const IrInsn *i, Xmm d, Xmm a);
/* Before the operation, for each operand; and the end of the rule. */
void fp_extra_guard(Sel *s, const FpExtra *x, IrType f, Xmm a);
void fp_extra_guard_quiet(Sel *s, const FpExtra *x, IrType f, Xmm a); /* lets quiet NaNs pass */
void fp_extra_done(Sel *s, const IrInsn *i, const FpExtra *x, Xmm d);

/* Registers of the round-to-nearest, ties-away sequence. */
typedef struct FpAway {
    Xmm abs, frac;
} FpAway;

void fp_round_away(Sel *s, IrType f, Xmm d, Xmm a, FpAway w, uint32_t slow);
void fp_away_estimate(Sel *s, bool dbl, Xmm t, Xmm a);

/* select_fp_cvt.c */
SelRule fp_convert_rule, fp_to_int_rule, fp_js_to_int, fp_from_int_rule, fp_bitcast;

#endif
