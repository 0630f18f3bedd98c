/*
 * What all AArch64 lifters share: registers, flags and conditions as IR values, and small shorthands.
 *
 * A lifter is `bool a64_lift_NAME(Lift *l, const A64Args *a)`, one for each encoding of spec/aarch64 (or several that share
 * it), with operands named as in the Arm ARM (DDI 0487). It returns false for an encoding that its operands make undefined,
 * before it has put anything. Results are put after the last operation that may fault.
 */
#ifndef GUEST_AARCH64_LIFT_H
#define GUEST_AARCH64_LIFT_H

#include "a64_decode.h"
#include "guest/aarch64/features.h"
#include "guest/aarch64/helpers.h"
#include "guest/aarch64/state.h"
#include "guest/guest.h"

/* The guest's features. */
static inline const A64Features *a64_features(const Lift *l)
{
    return l->cpu_features;
}

/* IR_I64 for sf, else IR_I32. */
static inline IrType a64_type(unsigned sf)
{
    return sf ? IR_I64 : IR_I32;
}

/* Register n as 64 bits: 31 is zero (x) or the stack pointer (xsp). */
IrRef a64_get_x(Lift *l, unsigned n);
IrRef a64_get_xsp(Lift *l, unsigned n);
void a64_put_x(Lift *l, unsigned n, IrRef v);
void a64_put_xsp(Lift *l, unsigned n, IrRef v);
/* Register n as i64 or i32, as sf says; an i32 result is zero-extended into the register. */
IrRef a64_get(Lift *l, unsigned sf, unsigned n);
IrRef a64_get_sp(Lift *l, unsigned sf, unsigned n);
void a64_put(Lift *l, unsigned sf, unsigned n, IrRef v);
void a64_put_sp(Lift *l, unsigned sf, unsigned n, IrRef v);
/* Zero-extend an integer of any width and write it to register n (31: nowhere). */
void a64_put_zext(Lift *l, unsigned n, IrRef v);

/* V registers, all 128 bits. */
IrRef a64_get_v(Lift *l, unsigned n);
void a64_put_v(Lift *l, unsigned n, IrRef v);

/* Flags: four i8 booleans. */
void a64_put_nzcv(Lift *l, IrRef n, IrRef z, IrRef c, IrRef v);
/* N and Z of a result of type t; C and V zero. */
void a64_put_logic_flags(Lift *l, IrType t, IrRef result);
/* NZCV as bits 31:28 of an i64, and back from such a value. */
IrRef a64_pack_nzcv(Lift *l);
void a64_unpack_nzcv(Lift *l, IrRef v);
/* Whether the 4-bit condition holds, i8. */
IrRef a64_cond(Lift *l, unsigned cond);

/* Boolean not of an i8 that is 0 or 1. */
IrRef a64_not(Lift *l, IrRef b);
/* Constants. */
static inline IrRef a64_c64(Lift *l, uint64_t v)
{
    return ir_const(&l->b, IR_I64, v);
}

static inline IrRef a64_c8(Lift *l, uint8_t v)
{
    return ir_const(&l->b, IR_I8, v);
}

/* x + constant, 64 bits. */
IrRef a64_addi(Lift *l, IrRef x, int64_t v);

/* Register m extended (ExtendReg: option 0..3 unsigned, 4..7 signed, of 8 << (option & 3) bits) to type t, shifted left. */
IrRef a64_extend(Lift *l, IrType t, unsigned m, unsigned option, unsigned shift);

/* At the start of a region in a process with guarded pages: check PSTATE.BTYPE against the instruction, and clear it. */
void a64_landing(Lift *l, uint32_t insn);

/* Pointer authentication: key numbers, and AUT of a pointer with a modifier. See pauth.h. */
typedef enum A64KeyId { A64_KEY_IA, A64_KEY_IB, A64_KEY_DA, A64_KEY_DB, A64_KEY_GA } A64KeyId;
IrRef a64_auth(Lift *l, A64KeyId key, IrRef ptr, IrRef modifier);

/* The instruction at pc, on which the translation depends from now on; false: not to be had (Lift.ahead). */
bool a64_word_ahead(Lift *l, uint64_t pc, uint32_t *insn);

/* Low `bits` of v, sign-extended. */
static inline int64_t a64_sext(uint64_t v, unsigned bits)
{
    return (int64_t)(v << (64 - bits)) >> (64 - bits);
}

#endif
