/* QARMA5 against a published vector, and signing and authenticating of pointers. */
#include "guest/aarch64/pauth.h"
#include "test.h"

/* For the cipher of the paper with r = 5 and the third S-box. */
static const A64Key key = {.hi = 0x84be85ce9804e94b, .lo = 0xec2802d4e0a488e9};
static const uint64_t text = 0xfb623599da6e8127, tweak = 0x477d469dec0b8762;

static A64State state;

int main(void)
{
    TEST_BEGIN();
    TEST("published vector", a64_qarma5(text, tweak, key) == 0xc003b93999b33765);

    uint64_t ptr = 0x0000aaaabbbbccc0, modifier = 0x0000ffffdeadbee0;
    uint64_t pac = a64_pac_add(&state, ptr, modifier, key);
    TEST("only bits 54:48 change", ((pac ^ ptr) & ~0x007f000000000000ull) == 0);
    TEST("authenticates", a64_pac_auth(&state, pac, modifier, key, false) == ptr);
    uint64_t bad = a64_pac_auth(&state, pac ^ 1ull << 50, modifier, key, false);
    TEST("another code fails: error 01", bad == (ptr | 1ull << 53));
    TEST("with a B key: error 10", a64_pac_auth(&state, pac ^ 1ull << 50, modifier, key, true) == (ptr | 2ull << 53));
    uint64_t tagged = ptr | 5ull << 56;
    TEST("the tag is kept", a64_pac_auth(&state, a64_pac_add(&state, tagged, modifier, key), modifier, key, false) == tagged);
    uint64_t spoilt = a64_pac_add(&state, ptr | 1ull << 50, modifier, key);
    TEST("a pointer that was not canonical does not authenticate", a64_pac_auth(&state, spoilt, modifier, key, false) != ptr);
    uint64_t high = 0xffff800011112222;
    TEST("upper range", a64_pac_auth(&state, a64_pac_add(&state, high, modifier, key), modifier, key, false) == high);
    TEST("asked again", a64_pac_add(&state, ptr, modifier, key) == pac);
    A64Key other = {.hi = key.hi, .lo = key.lo + 1};
    TEST("another key, another code", a64_pac_add(&state, ptr, modifier, other) != pac);
    A64State zero = {0};
    TEST("all zeros", a64_pac_add(&zero, 0, 0, (A64Key){0}) == (a64_qarma5(0, 0, (A64Key){0}) & 0x007f000000000000ull));
    return TEST_END();
}
