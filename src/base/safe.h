/*
 * Access to memory that may not be there (the guest's): each routine is a piece of assembly that a fault handler knows,
 * so that a fault makes it return failure instead of ending the program. Needs a SIGSEGV and SIGBUS handler that calls
 * safe_fixup (engine/fault.c). Async-signal-safe.
 */
#ifndef BASE_SAFE_H
#define BASE_SAFE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Copy n bytes upwards; returns the number of bytes NOT copied. */
size_t safe_copy(void *dst, const void *src, size_t n);
/* Copy n bytes from the last to the first; returns the number of bytes NOT copied (those at the start). */
size_t safe_copy_down(void *dst, const void *src, size_t n);
/* Set n bytes; returns the number of bytes NOT set. */
size_t safe_fill(void *dst, int byte, size_t n);

/*
 * One access of 1, 2, 4, 8 or 16 bytes, single-copy atomic where the host is (aligned). `v` points to 16 bytes. Return 0,
 * or 1 after a fault.
 */
int safe_load1(const void *p, void *v);
int safe_load2(const void *p, void *v);
int safe_load4(const void *p, void *v);
int safe_load8(const void *p, void *v);
int safe_load16(const void *p, void *v);
int safe_store1(void *p, const void *v);
int safe_store2(void *p, const void *v);
int safe_store4(void *p, const void *v);
int safe_store8(void *p, const void *v);
int safe_store16(void *p, const void *v);
/* Sequentially consistent compare-and-swap: *old receives what was there. 16 bytes need an aligned address. */
int safe_cas1(void *p, const void *expect, const void *desired, void *old);
int safe_cas2(void *p, const void *expect, const void *desired, void *old);
int safe_cas4(void *p, const void *expect, const void *desired, void *old);
int safe_cas8(void *p, const void *expect, const void *desired, void *old);
int safe_cas16(void *p, const void *expect, const void *desired, void *old);

/* In a fault handler: when the interrupted context is inside one of these routines, make it return failure; true then. */
bool safe_fixup(void *uc);

#endif
