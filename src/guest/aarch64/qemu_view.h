/* Guest.qemu_view of AArch64. */
#ifndef GUEST_AARCH64_QEMU_VIEW_H
#define GUEST_AARCH64_QEMU_VIEW_H

#include "guest/guest.h"

GuestQemuView a64_qemu_view(const uint8_t *code);

#endif
