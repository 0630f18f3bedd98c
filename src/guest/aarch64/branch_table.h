/* Guest.branch_targets of AArch64. */
#ifndef GUEST_AARCH64_BRANCH_TABLE_H
#define GUEST_AARCH64_BRANCH_TABLE_H

#include "guest/guest.h"

unsigned a64_branch_targets(const uint8_t *code, size_t n, uint64_t pc, GuestRead *read, void *ctx, uint64_t *out, unsigned max);

#endif
