/*
 * Private to the evaluator: ir_eval (eval.c) hands an operation to the file that knows its kind. Each part returns false,
 * leaving *out alone, when the operation is not one of its own. *out arrives zeroed, so that a part sets only the bits
 * that the type or shape has; upper bits must stay zero. Operands may have any bits above their shape: ignore them.
 */
#ifndef IR_EVAL_H
#define IR_EVAL_H

#include "ir/ir.h"

#include <string.h>

/* Scalar integer operations (eval_int.c). */
bool ir_eval_int(const IrInsn *op, const IrVal arg[3], IrVal *out);
/* Vector integer operations and permutations, URECPE and URSQRTE among them (eval_vec.c). */
bool ir_eval_vec(const IrInsn *op, const IrVal arg[3], IrVal *out);
/* FCMP, VFCMP, and FADD to FCMLA of ops.def, scalar and vector; FNEG, FABS, BFDOT and BFMMLA too (eval_fp.c). */
bool ir_eval_fp(const IrInsn *op, const IrVal arg[3], FpEnv *fp, IrVal *out);
/* AESENC to SHA512SU of ops.def (eval_crypto.c). */
bool ir_eval_crypto(const IrInsn *op, const IrVal arg[3], IrVal *out);

/* Lane `i` of `v`, zero-extended; lanes are `size` bytes: 1, 2, 4 or 8. */
static inline uint64_t ir_lane(const IrVal *v, unsigned size, unsigned i)
{
    switch (size) {
    case 1: return v->u8[i & 15];
    case 2: return v->u16[i & 7];
    case 4: return v->u32[i & 3];
    default: return v->u64[i & 1];
    }
}

static inline void ir_lane_set(IrVal *v, unsigned size, unsigned i, uint64_t x)
{
    switch (size) {
    case 1: v->u8[i & 15] = (uint8_t)x; break;
    case 2: v->u16[i & 7] = (uint16_t)x; break;
    case 4: v->u32[i & 3] = (uint32_t)x; break;
    default: v->u64[i & 1] = x; break;
    }
}

/* The low `bits` (1..64) of x, zero-extended and sign-extended. */
static inline uint64_t ir_low(uint64_t x, unsigned bits)
{
    return bits >= 64 ? x : x & ((1ull << bits) - 1);
}

static inline int64_t ir_slow(uint64_t x, unsigned bits)
{
    return (int64_t)(x << (64 - bits)) >> (64 - bits);
}

#endif
