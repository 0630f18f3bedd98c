/*
 * Feature lists, HWCAPs and identification registers. See features.h.
 */
#include "guest/aarch64/features.h"

#include "guest/aarch64/state.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    uint64_t hwcap, hwcap2;
} table[A64_NFEATURES] = {
#define A64_FEATURE(name, text, hwcap, hwcap2) [A64_F_##name] = {text, hwcap, hwcap2},
#include "guest/aarch64/features.def"
#undef A64_FEATURE
};

static const uint64_t all = (1ull << A64_NFEATURES) - 1;

/* Shown only when asked for: a guest that uses it is slower than one that does without. Each copy or fill is a helper that leaves
 * translated code, which for the few bytes that most calls of memcpy copy takes far longer than glibc's other routines. */
static const uint64_t unasked = 1ull << A64_F_MOPS;

/* FEAT_X requires FEAT_Y: a set without Y loses X. */
static const struct {
    uint8_t feature, needs;
} requires[] = {
    {A64_F_PMULL, A64_F_AES},   {A64_F_SHA2, A64_F_SHA1},     {A64_F_SHA512, A64_F_SHA2},   {A64_F_SHA3, A64_F_SHA512},
    {A64_F_FHM, A64_F_FP16},    {A64_F_LRCPC2, A64_F_LRCPC},  {A64_F_FLAGM2, A64_F_FLAGM},  {A64_F_DPB2, A64_F_DPB},
};

static int find(const char *name, size_t len)
{
    for (int k = 0; k < A64_NFEATURES; k++)
        if (strlen(table[k].name) == len && memcmp(table[k].name, name, len) == 0)
            return k;
    return -1;
}

static bool apply(A64Features *f, const char *item, size_t len, bool first, char *err, size_t errlen)
{
    char sign = len && (*item == '+' || *item == '-') ? *item : 0;
    const char *name = item + (sign != 0);
    size_t n = len - (sign != 0);
    if (first && !sign && n == 4 && memcmp(name, "base", 4) == 0) {
        f->has = 0;
        return true;
    }
    if (first && !sign && n == 3 && memcmp(name, "max", 3) == 0) {
        f->has = all;
        return true;
    }
    int k = find(name, n);
    if (k < 0) {
        snprintf(err, errlen, "unknown processor feature \"%.*s\"", (int)n, name);
        return false;
    }
    if (sign == '-')
        f->has &= ~(1ull << k);
    else
        f->has |= 1ull << k;
    return true;
}

bool a64_features_parse(A64Features *f, const char *list, char *err, size_t errlen)
{
    bool first = true;
    f->has = all & ~unasked;
    while (list && *list) {
        size_t len = strcspn(list, ",");
        if (len && !apply(f, list, len, first, err, errlen))
            return false;
        first = false;
        list += len + (list[len] == ',');
    }
    for (size_t i = 0; i < sizeof requires / sizeof *requires; i++)
        if (!a64_has(f, requires[i].needs))
            f->has &= ~(1ull << requires[i].feature);
    return true;
}

uint64_t a64_hwcap(const void *features)
{
    const A64Features *f = features;
    uint64_t caps = 1u << 0 | 1u << 1 | 1u << 11; /* FP, ASIMD, CPUID: ID registers can be read */
    for (int k = 0; k < A64_NFEATURES; k++)
        caps |= a64_has(f, k) ? table[k].hwcap : 0;
    return caps;
}

uint64_t a64_hwcap2(const void *features)
{
    const A64Features *f = features;
    uint64_t caps = 0;
    for (int k = 0; k < A64_NFEATURES; k++)
        caps |= a64_has(f, k) ? table[k].hwcap2 : 0;
    return caps;
}

/* A field of an ID register: `value` at `lsb` when the feature is there. */
static uint64_t id(const A64Features *f, A64Feature k, unsigned lsb, uint64_t value)
{
    return a64_has(f, k) ? value << lsb : 0;
}

static uint64_t isar0(const A64Features *f)
{
    uint64_t v = id(f, A64_F_SHA1, 8, 1) | id(f, A64_F_CRC32, 16, 1) | id(f, A64_F_LSE, 20, 2) | id(f, A64_F_RDM, 28, 1) |
                 id(f, A64_F_SHA3, 32, 1) | id(f, A64_F_DOTPROD, 44, 1) | id(f, A64_F_FHM, 48, 1) | id(f, A64_F_RNG, 60, 1);
    v |= a64_has(f, A64_F_PMULL) ? 2 << 4 : id(f, A64_F_AES, 4, 1);
    v |= a64_has(f, A64_F_SHA512) ? 2 << 12 : id(f, A64_F_SHA2, 12, 1);
    v |= a64_has(f, A64_F_FLAGM2) ? 2ull << 52 : id(f, A64_F_FLAGM, 52, 1);
    return v;
}

static uint64_t isar1(const A64Features *f)
{
    /* APA: QARMA5 as of FEAT_PAuth; GPA: its generic form */
    uint64_t v = id(f, A64_F_PAUTH, 4, 1) | id(f, A64_F_PAUTH, 24, 1) | id(f, A64_F_JSCVT, 12, 1) |
                 id(f, A64_F_FCMA, 16, 1) | id(f, A64_F_FRINTTS, 32, 1) | id(f, A64_F_SB, 36, 1) |
                 id(f, A64_F_BF16, 44, 1) | id(f, A64_F_DGH, 48, 1) | id(f, A64_F_I8MM, 52, 1);
    v |= a64_has(f, A64_F_DPB2) ? 2 : id(f, A64_F_DPB, 0, 1);
    v |= a64_has(f, A64_F_LRCPC2) ? 2 << 20 : id(f, A64_F_LRCPC, 20, 1);
    return v;
}

bool a64_id_register(const A64Features *f, unsigned crm, unsigned op2, uint64_t *value)
{
    *value = 0;
    switch (crm << 3 | op2) {
    case 000:
        *value = A64_MIDR;
        return true;
    case 005: /* MPIDR_EL1 */
        *value = 0x80000000;
        return true;
    case 006: /* REVIDR_EL1 */
        return true;
    case 040: /* ID_AA64PFR0_EL1: AArch64 only at EL0 and EL1; AdvSIMD, FP */
        *value = 0x11 | id(f, A64_F_FP16, 16, 1) | id(f, A64_F_FP16, 20, 1) | id(f, A64_F_DIT, 48, 1);
        return true;
    case 041: /* ID_AA64PFR1_EL1 */
        *value = id(f, A64_F_BTI, 0, 1) | id(f, A64_F_SSBS, 4, 2);
        return true;
    case 050: /* ID_AA64DFR0_EL1: Linux hides it behind this value */
        *value = 6;
        return true;
    case 060:
        *value = isar0(f);
        return true;
    case 061:
        *value = isar1(f);
        return true;
    case 062: /* ID_AA64ISAR2_EL1 */
        *value = id(f, A64_F_WFXT, 0, 2) | id(f, A64_F_MOPS, 16, 1);
        return true;
    case 070: /* ID_AA64MMFR0_EL1: translation granules hidden as "not implemented" */
        *value = 0xff000000 | id(f, A64_F_ECV, 60, 1);
        return true;
    }
    return crm >= 2 && crm <= 7;
}
