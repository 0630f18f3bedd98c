/* Feature lists, and that HWCAPs and ID registers follow from them. */
#include "guest/aarch64/features.h"
#include "guest/aarch64/state.h"
#include "test.h"

#include <string.h>

static bool parse(A64Features *f, const char *list)
{
    char err[100] = "";
    bool ok = a64_features_parse(f, list, err, sizeof err);
    return ok || err[0] == 0 ? ok : false;
}

static uint64_t id(const A64Features *f, unsigned crm, unsigned op2)
{
    uint64_t v = 0;
    return a64_id_register(f, crm, op2, &v) ? v : UINT64_MAX;
}

int main(void)
{
    A64Features f, g;
    TEST_BEGIN();
    TEST("max", parse(&f, "max") && a64_has(&f, A64_F_LSE) && a64_has(&f, A64_F_MOPS));
    TEST("nothing is all but MOPS", parse(&g, "") && g.has == (f.has & ~(1ull << A64_F_MOPS)));
    TEST("which the guest is not told of", !(a64_hwcap2(&g) >> 43 & 1) && id(&g, 6, 2) != id(&f, 6, 2));
    TEST("unless it is asked for", parse(&g, "+mops") && g.has == f.has);
    TEST("base", parse(&g, "base") && g.has == 0);
    TEST("base has FP, ASIMD, CPUID", a64_hwcap(&g) == (1 << 0 | 1 << 1 | 1 << 11) && a64_hwcap2(&g) == 0);
    TEST("base ID registers are empty", id(&g, 6, 0) == 0 && id(&g, 6, 1) == 0 && id(&g, 6, 2) == 0);
    TEST("add", parse(&g, "base,+crc32,lse") && g.has == (1ull << A64_F_CRC32 | 1ull << A64_F_LSE));
    TEST("their ID fields", id(&g, 6, 0) == (1ull << 16 | 2ull << 20));
    TEST("their HWCAPs", (a64_hwcap(&g) & ~(uint64_t)(1 << 0 | 1 << 1 | 1 << 11)) == (1 << 7 | 1 << 8));
    TEST("remove", parse(&g, "max,-lse") && g.has == (f.has & ~(1ull << A64_F_LSE)));
    TEST("starts from nothing", parse(&g, "-lse,mops") && g.has == (f.has & ~(1ull << A64_F_LSE)));
    TEST("what needs it goes too", parse(&g, "-aes") && !a64_has(&g, A64_F_PMULL));
    TEST("unknown", !parse(&g, "max,+sve9"));
    TEST("base is no addition", !parse(&g, "max,+base"));
    TEST("no SVE", (a64_hwcap(&f) >> 22 & 1) == 0 && (id(&f, 4, 0) >> 32 & 15) == 0 && id(&f, 4, 4) == 0);
    TEST("no register there", id(&f, 1, 0) == UINT64_MAX);
    return TEST_END();
}
