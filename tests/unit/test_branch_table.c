/* Tables of branches (guest/aarch64/branch_table.c): compilers' forms, and code that only looks like one. */
#include "guest/aarch64/branch_table.h"
#include "test.h"

#include <string.h>

#define PC 0x400000u
#define TABLE 0x401010u
#define N(a) (sizeof(a) / sizeof((a)[0]))

static uint8_t memory[64];

static bool read_memory(void *ctx, uint64_t va, void *buf, size_t n)
{
    if (va < TABLE || va + n > TABLE + sizeof memory)
        return false;
    memcpy(buf, memory + (va - TABLE), n);
    return true;
}

static unsigned targets(const uint32_t *code, size_t words, uint64_t *out, unsigned max)
{
    return a64_branch_targets((const uint8_t *)code, 4 * words, PC + 4 * (words - 1), read_memory, NULL, out, max);
}

static const uint32_t bytes[] = {
    0x7100083f, /* 00: cmp w1, #2 */
    0x54000108, /* 04: b.hi */
    0xb0000002, /* 08: adrp x2, 0x401000 */
    0x91004042, /* 0c: add x2, x2, #0x10 */
    0x38614841, /* 10: ldrb w1, [x2, w1, uxtw] */
    0x10000063, /* 14: adr x3, 0x400020 */
    0x8b218861, /* 18: add x1, x3, w1, sxtb #2 */
    0xd61f0020, /* 1c: br x1 */
};

static const uint32_t words[] = {
    0xf1000c3f, /* cmp x1, #3 */
    0x54000108, /* b.hi */
    0xb0000002, /* adrp x2, 0x401000 */
    0x91004042, /* add x2, x2, #0x10 */
    0xb8a17841, /* ldrsw x1, [x2, x1, lsl #2] */
    0x8b010041, /* add x1, x2, x1 */
    0xd61f0020, /* br x1 */
};

int main(void)
{
    uint64_t out[8];
    uint32_t code[8];

    TEST_BEGIN();
    memory[0] = 0;
    memory[1] = 0xff; /* -1 */
    memory[2] = 4;
    memory[3] = 9; /* behind the bound */
    bool ok = targets(bytes, N(bytes), out, 8) == 3 && out[0] == 0x400020 && out[1] == 0x40001c && out[2] == 0x400030;
    TEST("bytes from a base", ok);
    TEST("no more than asked for", targets(bytes, N(bytes), out, 2) == 2);
    memory[1] = 0;
    TEST("each target once", targets(bytes, N(bytes), out, 8) == 2);
    TEST("without a bound", targets(bytes + 2, N(bytes) - 2, out, 8) >= 2);
    for (unsigned k = 3; k < N(bytes); k++)
        if (targets(bytes + k, N(bytes) - k, out, 8) != 0)
            ok = false;
    TEST("cut short", ok && targets(bytes, 0, out, 8) == 0);
    memcpy(code, bytes, sizeof code);
    code[7] = 0xd65f0020; /* ret x1 */
    TEST("a return has no table", targets(code, 8, out, 8) == 0);
    code[7] = bytes[7];
    code[2] = 0xd0000002; /* adrp x2, 0x402000 */
    TEST("a table that cannot be read", targets(code, 8, out, 8) == 0);

    int32_t entry[4] = {-0x1000, -0xff0, 3, 0};
    memcpy(memory, entry, sizeof entry);
    TEST("words from the table, until one is no address", targets(words, N(words), out, 8) == 2 && out[0] == 0x400010 && out[1] == 0x400020);
    return TEST_END();
}
