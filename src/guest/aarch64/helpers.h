/* Numbers and prototypes of the helpers of helpers.def. */
#ifndef GUEST_AARCH64_HELPERS_H
#define GUEST_AARCH64_HELPERS_H

#include "ir/ir.h"

typedef enum A64Helper {
#define A64_HELPER(name, ...) A64_HELP_##name,
#include "guest/aarch64/helpers.def"
#undef A64_HELPER
    A64_NHELPERS
} A64Helper;

#define A64_HELPER(name, fn, ...) IrHelperFn fn;
#include "guest/aarch64/helpers.def"
#undef A64_HELPER

#endif
