/* The AArch64 guest, for guest/registry.c. */
#ifndef GUEST_AARCH64_GUEST_H
#define GUEST_AARCH64_GUEST_H

#include "guest/guest.h"

extern const Guest guest_aarch64;

#endif
