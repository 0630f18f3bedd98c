/*
 * Pointer authentication (FEAT_PAuth) with the QARMA5 algorithm, for 48-bit user addresses under top-byte-ignore: the code
 * takes bits 54:48, bit 55 selects the range, bits 63:56 are the tag. A failed authentication makes the pointer
 * non-canonical (bits 54:53), it does not fault: FEAT_FPAC and FEAT_PAuth2 are not claimed.
 * Source: Arm ARM, pseudocode of AddPAC, Auth, Strip, ComputePAC; R. Avanzi, "The QARMA Block Cipher Family" (2016).
 */
#ifndef GUEST_AARCH64_PAUTH_H
#define GUEST_AARCH64_PAUTH_H

#include "guest/aarch64/state.h"

/* QARMA5-64 with the third S-box, 128-bit key hi:lo. */
uint64_t a64_qarma5(uint64_t text, uint64_t tweak, A64Key key);

uint64_t a64_pac_add(uint64_t ptr, uint64_t modifier, A64Key key);
/* `b`: authenticated with a B key, which shows in the error code. */
uint64_t a64_pac_auth(uint64_t ptr, uint64_t modifier, A64Key key, bool b);

/* Bits of a pointer that the code replaces, bit 55 included. */
#define A64_PAC_BITS 0x00ff000000000000ull

#endif
