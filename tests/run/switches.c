/*
 * Loops around a `switch` that goes by a table (guest/aarch64/branch_table.c): entries of a byte, a half and a word; values in and out of
 * bounds; targets that come late; arms that fault, jump out and call. Prints how many results were wrong.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define NOINLINE __attribute__((noinline, noclone))
#define ROUNDS 60000

static unsigned bad;
static sigjmp_buf fault_out;
static jmp_buf out;
static volatile uint64_t *nowhere;

static void expect(uint64_t is, uint64_t should)
{
    bad += is != should;
}

/* The arms, one at a time. */
static uint64_t step(unsigned op, uint64_t a, uint64_t k)
{
    if (op == 0)
        return a + k;
    if (op == 1)
        return a ^ a >> 3;
    if (op == 2)
        return a * 5 + 1;
    if (op == 3)
        return a - 77;
    if (op == 4)
        return a << 1 | 1;
    if (op == 5)
        return a ^ k << 7;
    if (op == 6)
        return a >> 1;
    if (op == 7)
        return a * k;
    if (op >= 8 && op < 14)
        return (a ^ op) + (k << (op - 8));
    return ~a;
}

#define ARM(n, filler) \
    case n: \
        __asm__ volatile(filler); \
        a = step(n, a, k); \
        break;
#define ARMS(filler) \
    ARM(0, filler) ARM(1, filler) ARM(2, filler) ARM(3, filler) ARM(4, filler) ARM(5, filler) ARM(6, filler) ARM(7, filler) \
    ARM(8, filler) ARM(9, filler) ARM(10, filler) ARM(11, filler) ARM(12, filler) ARM(13, filler) \
    default: \
        a = ~a;
#define FEW ""
#define NOP4 "nop\n nop\n nop\n nop\n"
#define NOP16 NOP4 NOP4 NOP4 NOP4
#define MANY NOP16 NOP16 NOP16 NOP16 /* the compiler counts lines */

NOINLINE static uint64_t bytes(const uint8_t *code, uint64_t n, uint64_t a)
{
    for (uint64_t k = 0; k < n; k++)
        switch (code[k % 1024]) {
            ARMS(FEW)
        }
    return a;
}

/* Arms that are far apart need entries of a half. */
NOINLINE static uint64_t halves(const uint8_t *code, uint64_t n, uint64_t a)
{
    for (uint64_t k = 0; k < n; k++)
        switch (code[k % 1024]) {
            ARMS(MANY)
        }
    return a;
}

/* Entries of a word, from the table itself: another compiler's form. */
NOINLINE static uint64_t words(const uint8_t *code, uint64_t n, uint64_t a)
{
    uint64_t k = 0, t, u;

    __asm__ volatile(
        "    b 9f\n"
        "1:  and %[t], %[k], #1023\n"
        "    ldrb %w[t], [%[code], %[t]]\n"
        "    cmp %w[t], #3\n"
        "    b.hi 5f\n"
        "    adrp %[u], 8f\n"
        "    add %[u], %[u], :lo12:8f\n"
        "    ldrsw %[t], [%[u], %[t], lsl #2]\n"
        "    add %[t], %[u], %[t]\n"
        "    br %[t]\n"
        "2:  add %[a], %[a], %[k]\n"
        "    b 6f\n"
        "3:  eor %[a], %[a], %[a], lsr #3\n"
        "    b 6f\n"
        "4:  add %[a], %[a], %[a], lsl #2\n"
        "    add %[a], %[a], #1\n"
        "    b 6f\n"
        "7:  sub %[a], %[a], #77\n"
        "    b 6f\n"
        "5:  mvn %[a], %[a]\n"
        "6:  add %[k], %[k], #1\n"
        "9:  cmp %[k], %[n]\n"
        "    b.lo 1b\n"
        "    .pushsection .rodata\n"
        "    .balign 4\n"
        "8:  .word 2b - 8b, 3b - 8b, 4b - 8b, 7b - 8b\n"
        "    .popsection\n"
        : [a] "+r"(a), [k] "+r"(k), [t] "=&r"(t), [u] "=&r"(u) : [code] "r"(code), [n] "r"(n) : "cc", "memory");
    return a;
}

static uint64_t should_be(const uint8_t *code, unsigned ops, uint64_t n, uint64_t a)
{
    for (uint64_t k = 0; k < n; k++)
        a = step(code[k % 1024] < ops ? code[k % 1024] : 99, a, k);
    return a;
}

NOINLINE static uint64_t call(uint64_t x)
{
    __asm__ volatile("" ::: "x19");
    return x * 3;
}

/* Arms with faults, long jumps and calls: what was done before them must be there. */
NOINLINE static uint64_t ways_out(const uint8_t *code, uint64_t n, volatile uint64_t *sum)
{
    uint64_t a = 1;

    for (uint64_t k = 0; k < n; k++)
        switch (code[k % 1024]) {
        case 0: a += 3; break;
        case 1: a = call(a); break;
        case 2: *sum = a; break;
        case 3: a ^= 5; break;
        case 4: *sum = a; a += *nowhere; break;
        case 5: *sum = a; longjmp(out, 1);
        case 6: a -= k; break;
        case 7: a += k; break;
        case 8: a ^= k; break;
        case 9: a -= 9; break;
        case 10: a *= 9; break;
        case 11: a += 11; break;
        case 12: a ^= 12; break;
        default: a++;
        }
    return a;
}

static void on_fault(int sig)
{
    siglongjmp(fault_out, sig);
}

static void fill(uint8_t *code, unsigned kinds, uint64_t seed)
{
    for (unsigned k = 0; k < 1024; k++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        code[k] = (uint8_t)((seed >> 40) % kinds);
    }
}

static void test_ways_out(uint8_t *code)
{
    volatile uint64_t sum = 0;

    fill(code, 4, 9);
    uint64_t all = ways_out(code, ROUNDS, &sum), a = 1;
    for (uint64_t k = 0; k < ROUNDS; k++)
        a = code[k % 1024] == 0 ? a + 3 : code[k % 1024] == 1 ? a * 3 : code[k % 1024] == 3 ? a ^ 5 : a;
    expect(all, a);
    uint64_t before = 1;
    for (unsigned k = 0; k < 700; k++)
        before = code[k] == 0 ? before + 3 : code[k] == 1 ? before * 3 : code[k] == 3 ? before ^ 5 : before;
    code[700] = 4;
    if (sigsetjmp(fault_out, 1) == 0) {
        ways_out(code, ROUNDS, &sum);
        bad++;
    }
    expect(sum, before);
    code[700] = 5;
    sum = 0;
    if (setjmp(out) == 0) {
        ways_out(code, ROUNDS, &sum);
        bad++;
    }
    expect(sum, before);
}

int main(void)
{
    static uint8_t code[1024];

    signal(SIGSEGV, on_fault);
    for (unsigned kinds = 1; kinds <= 16; kinds += kinds < 4 ? 1 : 4) {
        fill(code, kinds, kinds);
        expect(bytes(code, ROUNDS, 1), should_be(code, 14, ROUNDS, 1));
        expect(halves(code, ROUNDS / 4, 1), should_be(code, 14, ROUNDS / 4, 1));
        expect(words(code, ROUNDS, 1), should_be(code, 4, ROUNDS, 1));
    }
    test_ways_out(code);
    printf("%u bad\n", bad);
    return 0;
}
