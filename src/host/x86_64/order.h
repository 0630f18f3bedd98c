/*
 * What memory order becomes on this host: the one table of it. mem.c emits by it; tests/mm compares every small program's
 * outcomes under the host's model (x86-TSO) with those that the guest's model allows, and what is emitted with the table.
 *
 * The host keeps the order of loads, of stores, and of a store after a load; only a load may pass an earlier store. So acquire costs
 * nothing and release nothing by itself. But a load-acquire must stay behind an earlier store-release: that is an exchange, which
 * is cheaper there than a fence at every load-acquire. A full fence is a locked operation on the stack, a quarter of mfence's time.
 */
#ifndef HOST_X86_64_ORDER_H
#define HOST_X86_64_ORDER_H

#include "ir/ir.h"

/* The kinds of operation that have an order. */
typedef enum X64Access { X64_LOAD, X64_STORE, X64_RMW, X64_FENCE, X64_ACCESSES } X64Access;

typedef enum X64Order {
    X64_NOTHING, /* no instruction */
    X64_MOV,     /* a plain one */
    X64_LOCKED,  /* a locked one; for a store: an exchange, or where there is none, mov and a fence */
} X64Order;

static const uint8_t x64_orders[X64_ACCESSES][IR_ORDER_MASK + 1] = {
    [X64_LOAD] = {[IR_PLAIN] = X64_MOV, [IR_ACQUIRE] = X64_MOV, [IR_RELEASE] = X64_MOV, [IR_ACQ_REL] = X64_MOV,
                  [IR_SEQ_CST] = X64_MOV, [IR_TSO] = X64_MOV, [IR_ACQUIRE_PC] = X64_MOV},
    [X64_STORE] = {[IR_PLAIN] = X64_MOV, [IR_ACQUIRE] = X64_MOV, [IR_RELEASE] = X64_LOCKED, [IR_ACQ_REL] = X64_LOCKED,
                   [IR_SEQ_CST] = X64_LOCKED, [IR_TSO] = X64_MOV, [IR_ACQUIRE_PC] = X64_MOV},
    [X64_RMW] = {[IR_PLAIN] = X64_LOCKED, [IR_ACQUIRE] = X64_LOCKED, [IR_RELEASE] = X64_LOCKED, [IR_ACQ_REL] = X64_LOCKED,
                 [IR_SEQ_CST] = X64_LOCKED, [IR_TSO] = X64_LOCKED, [IR_ACQUIRE_PC] = X64_LOCKED},
    [X64_FENCE] = {[IR_SEQ_CST] = X64_LOCKED}, /* of loads alone, or stores alone: nothing */
};

#endif
