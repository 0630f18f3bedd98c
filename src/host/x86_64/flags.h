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

/* A comparison that all flags at an exit are of. */
typedef struct FlagForm {
    uint32_t from;   /* HostCpu.flags_from; 0: they are not of one */
    IrRef x, y;      /* the operands; y 0: zero */
    bool sum;        /* the first operand is x + y: x holds their difference */
    bool both;       /* it is x & y, compared with zero */
} FlagForm;

/* The form of all flags, whose values are given; from is 0 if they have none. */
void flags_describe(const Sel *s, const IrRef val[FLAG_COUNT], FlagForm *f);
/* Store the form, or that homes hold the flags: at an exit that changes any. Only HostCpu is written. */
void flags_store(Sel *s, const FlagForm *f);
/* At a region's entry, where only pinned registers hold anything: settle what it reads. */
void flags_entry(Sel *s);

#endif
