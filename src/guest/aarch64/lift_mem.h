/* What the lifters of loads and stores share: addresses and ordered accesses. */
#ifndef GUEST_AARCH64_LIFT_MEM_H
#define GUEST_AARCH64_LIFT_MEM_H

#include "guest/aarch64/lift.h"

/* An address: a 64-bit value and a displacement that the access itself adds. */
typedef struct A64Addr {
    IrRef base;
    int64_t disp;
} A64Addr;

/* base + disp as the address of a data access, tag byte stripped where this site needs it. */
A64Addr a64_addr(Lift *l, IrRef base, int64_t disp);
IrRef a64_load(Lift *l, IrType t, IrType mem, A64Addr at, unsigned flags);
void a64_store(Lift *l, IrType mem, A64Addr at, IrRef v, unsigned flags);

#endif
