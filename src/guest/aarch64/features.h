/*
 * Which optional parts of the architecture a guest processor has: what the decoder accepts, and what the guest is told
 * about it (HWCAP bits, ID registers). One list, features.def; both are derived from it, so they cannot disagree.
 */
#ifndef GUEST_AARCH64_FEATURES_H
#define GUEST_AARCH64_FEATURES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum A64Feature {
#define A64_FEATURE(name, ...) A64_F_##name,
#include "guest/aarch64/features.def"
#undef A64_FEATURE
    A64_NFEATURES
} A64Feature;

typedef struct A64Features {
    uint64_t has; /* bit k: feature k */
} A64Features;

static inline bool a64_has(const A64Features *f, A64Feature k)
{
    return f->has >> k & 1;
}

/*
 * Parse a feature list: comma-separated names, each with `+` (or nothing) to add and `-` to remove; `base` is Armv8.0
 * with FP and Advanced SIMD only, `max` everything. Without either, the changes are to what is shown when nothing is asked for:
 * everything that programs gain from.
 * Returns false with a one-line message in err.
 */
bool a64_features_parse(A64Features *f, const char *list, char *err, size_t errlen);

/*
 * The identification register op0=3, op1=0, CRn=0, CRm, op2 as Linux shows it to EL0 (it traps and emulates these).
 * Returns false where Linux leaves the access undefined.
 */
bool a64_id_register(const A64Features *f, unsigned crm, unsigned op2, uint64_t *value);

#endif
