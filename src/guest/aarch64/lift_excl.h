/*
 * What exclusive and atomic accesses share. Versions of granules are explained in ir/ir.h.
 *
 * Exclusive sequences are lifted in one of two ways. Where lift_fuse.c knows the instructions from the load to the store, and they
 * look at no other memory, the value loaded is all that the store depends on: a compare-exchange from that value, or one
 * read-modify-write, is exactly it. Otherwise (lift_excl.c) the load notes address, value and version, and the store succeeds
 * when the address is the same, the version still is, and a compare-exchange from the value does.
 */
#ifndef GUEST_AARCH64_LIFT_EXCL_H
#define GUEST_AARCH64_LIFT_EXCL_H

#include "guest/aarch64/lift_mem.h"

/* base + disp as an address, checked: where it is not a multiple of `size` the region ends in a fault. */
IrRef a64_aligned(Lift *l, IrRef base, int64_t disp, unsigned size);

/* Type of the register of an access of 1 << size bytes. */
static inline IrType a64_reg_type(unsigned size)
{
    return size == 3 ? IR_I64 : IR_I32;
}

static inline unsigned a64_order(bool acquire, bool release)
{
    return IR_MEM_ALIGNED | (acquire ? IR_ACQUIRE : 0) | (release ? IR_RELEASE : 0);
}

/* Where versions are kept, lock va's granule for the operation that comes next; returns a flag for that. */
unsigned a64_lock(Lift *l, IrRef va);
/* The same before a plain store: only in strict mode. */
unsigned a64_lock_store(Lift *l, A64Addr at);

/* Two registers as the value of a 16-byte or, sz 0, an 8-byte access. */
IrRef a64_pair(Lift *l, unsigned sz, IrRef lo, IrRef hi);
IrRef a64_pair_cas(Lift *l, unsigned sz, unsigned flags, IrRef va, IrRef expect, IrRef desired);

/* An exclusive access: operands of LDXR, STXR, LDXP and STXP. */
typedef struct A64Excl {
    const A64Args *a;
    bool pair;
    IrType mem, reg; /* in memory, as a value */
    unsigned bytes;
} A64Excl;

A64Excl a64_excl(const A64Args *a, bool pair);
/* Load, and put the registers and the monitor. `version`: of the granule, read before. */
IrRef a64_excl_load(Lift *l, const A64Excl *x, IrRef va, IrRef version);
/* Store where memory still holds `expect`; puts the status, closes the monitor. The granule is locked if `flags` says so. */
void a64_excl_store(Lift *l, const A64Excl *x, IrRef va, IrRef expect, unsigned flags);
/* Close the monitor. */
void a64_excl_clear(Lift *l);
/* When cond (i8) is 0 the store exclusive fails: status 1 and on at the next instruction. */
void a64_excl_check(Lift *l, unsigned Rs, IrRef cond);

/*
 * Lift the exclusive load at l->pc together with what follows, if that is a sequence which needs no monitor. False: it is
 * none, nothing was lifted.
 */
bool a64_fuse(Lift *l, const A64Excl *x);

#endif
