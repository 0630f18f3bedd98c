/*
 * Condition flags between translations. Nearly every translation leaves them changed and hardly any reads them. An exit that would
 * have to compute all of HostConfig.flags into their homes leaves the comparison that they are of instead: its operands in
 * HostCpu.flags_x and (unless a small constant) flags_y, and in HostCpu.flags_from how to compute the homes from them (0: the homes hold them).
 *
 * Whoever reads the homes has that done first (settled): a translation that begins with what the flags were, at its entry; C code,
 * whenever it gets control of the guest's state (enter() returns, a helper that sees the slots, recovery from a fault). An exit
 * whose target begins with a read (IR_EXIT_FLAGS) computes them in line.
 */
#ifndef HOST_X86_64_FLAGS_H
#define HOST_X86_64_FLAGS_H

#include "host/x86_64/emit.h"

/* How a comparison is computed from two values, x and y. */
typedef enum FlagHow {
    FLAGS_CARRY = 1,  /* carry is set where there is no borrow; else never */
    FLAGS_32 = 2,     /* of the low 32 bits */
    FLAGS_SUM = 4,    /* of x + y and y: x holds their difference */
    FLAGS_BOTH = 8,   /* of x & y and zero */
} FlagHow;

/* A comparison that all flags at an exit are of. */
typedef struct FlagForm {
    bool known;      /* false: they are not of one */
    uint8_t how;     /* FlagHow */
    IrRef x, y;      /* the operands; y 0: zero */
    IrRef cond;      /* not 0: only if this boolean is true (a conditional comparison, later rounds of a loop), else */
    const struct FlagForm *other; /* of this one; NULL: */
    bool homes;        /* what homes hold; false: */
    uint8_t otherwise; /* sign 8, zero 4, carry 2, overflow 1 */
} FlagForm;

/* The form of all flags, whose values are given. */
FlagForm flags_form(Sel *s, const IrRef val[FLAG_COUNT]);
/* The values of the flags by a form, for these operands. */
void flags_values(unsigned how, uint64_t x, uint64_t y, bool flag[FLAG_COUNT]);
/* At an exit that changes flags: store the form, or if it is not known that homes hold them. Only HostCpu is written. */
void flags_store(Sel *s, const FlagForm *f);
/* At a region's entry, before all else, where only pinned registers hold anything: settle what it reads. */
void flags_entry(Sel *s);

#endif
