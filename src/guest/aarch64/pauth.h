/*
 * Pointer authentication (FEAT_PAuth) with the QARMA5 algorithm, for 48-bit addresses under Linux: in the lower range
 * (bit 55 clear) the top byte is a tag and the code takes bits 54:48; in the upper range there are no tags and it takes
 * bits 63:56 too. A failed authentication makes the pointer non-canonical, it does not fault: FEAT_FPAC and FEAT_PAuth2
 * are not claimed.
 * Source: Arm ARM, pseudocode of AddPAC, Auth, Strip, ComputePAC; R. Avanzi, "The QARMA Block Cipher Family" (2016).
 */
#ifndef GUEST_AARCH64_PAUTH_H
#define GUEST_AARCH64_PAUTH_H

#include "guest/aarch64/state.h"

/* QARMA5-64 with the third S-box, 128-bit key hi:lo. */
uint64_t a64_qarma5(uint64_t text, uint64_t tweak, A64Key key);

uint64_t a64_pac_add(A64State *s, uint64_t ptr, uint64_t modifier, A64Key key);
/* `b`: authenticated with a B key, which shows in the error code. */
uint64_t a64_pac_auth(A64State *s, uint64_t ptr, uint64_t modifier, A64Key key, bool b);

/* Bits of a pointer that stripping makes equal to bit 55, by the range that it is in. */
#define A64_PAC_LOWER 0x00ff000000000000ull
#define A64_PAC_UPPER 0xffff000000000000ull

#endif
