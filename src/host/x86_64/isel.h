/*
 * What the rules for scalar integer operations share. See x64.h for the protocol of rules; the files are
 *
 *   select_int.c     arithmetic and logic; the table sel_int_rules
 *   select_bits.c    shifts, fields, bits, widths
 *   select_flags.c   carries and comparisons; the table sel_int_conds
 */
#ifndef HOST_X86_64_ISEL_H
#define HOST_X86_64_ISEL_H

#include "host/x86_64/emit.h"

static inline Width width_of(IrType t)
{
    return t == IR_I64 ? W64 : W32;
}

static inline Width exact_width(IrType t)
{
    return t == IR_I8 ? W8 : t == IR_I16 ? W16 : t == IR_I32 ? W32 : W64;
}

/* A constant operand that fits an instruction's sign-extended 32-bit immediate at this width. */
static inline bool imm32(const Sel *s, IrRef v, Width w, int32_t *imm)
{
    uint64_t c;
    if (!sel_const(s, v, &c))
        return false;
    *imm = (int32_t)(uint32_t)c;
    return w != W64 || (int64_t)c == *imm;
}

static inline unsigned op_bytes(Width w)
{
    return 1u << w;
}

/* What the host's flags hold (Sel.flags): a later condition on the same values needs no instruction then. */
enum {
    FL_CMP = 1, /* cmp x, y */
    FL_SUB,     /* the subtraction that made x */
    FL_RES,     /* zero and sign of x */
    FL_ADD,     /* add x, y */
    FL_TEST,    /* test x, y */
    FL_SUM,     /* the addition that made x */
    FL_BACK,    /* add of a difference x and what was subtracted */
};

static inline bool flags_are(const Sel *s, unsigned kind, IrRef x, IrRef y, Width w)
{
    return s->a->flags_at == s->a->p && s->flags.kind == kind && s->flags.x == x && s->flags.y == y && s->flags.w == w;
}

static inline void flags_set(Sel *s, unsigned kind, IrRef x, IrRef y, Width w)
{
    sel_flags_forget(s);
    s->a->flags_at = s->a->p;
    s->flags = (struct SelFlags){x, y, (uint8_t)kind, (uint8_t)w};
}

/* Zero and sign of a value that is in a register or memory, or in the flags already (select_flags.c). */
void isel_sign_flags(Sel *s, IrRef v, Width w);

/* Rules, by file. */
SelRule isel_shl, isel_shr, isel_sar, isel_ror, isel_extr, isel_ubfx, isel_sbfx, isel_bfi, isel_clz, isel_ctz,
    isel_popcnt, isel_cls, isel_bswap, isel_bitrev, isel_crc32, isel_zext, isel_sext;
SelRule sel_tally; /* tool.c */
SelRule isel_adc; /* the others of select_flags.c are conditions */

#endif
