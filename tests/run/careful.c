/*
 * A vector conversion that has met NaNs often enough to be translated with tests in front, between values that need all vector
 * registers: once its temporaries were spilled behind the first test. Random vectors, every fifth one with NaNs. Prints a
 * hash of all results, which is what qemu-aarch64 10 prints.
 */
#include <stdint.h>
#include <stdio.h>

static uint64_t rnd(void)
{
    static uint64_t s = 88172645463325252u;
    s ^= s << 13;
    s ^= s >> 7;
    return s ^= s << 17;
}

/* v: q4 q6 q9 q15 q17 q24 q12 in that order, read and written */
static void step(uint64_t *v)
{
    __asm__ volatile("ldp q4, q6, [%0]\n ldp q9, q15, [%0, #32]\n ldp q17, q24, [%0, #64]\n ldr q12, [%0, #96]\n"
                     "mov x9, #2\n"
                     "b 1f\n"
                     "1: .inst 0xce66822f\n" /* sha512h q15, q17, v6.2d */
                     "uqxtn2 v24.8h, v4.4s\n"
                     "mov x10, #2\n"
                     "fcvtzu v12.4s, v9.4s, #31\n"
                     "sub x9, x9, #1\n"
                     "cbnz x9, 1b\n"
                     "stp q4, q6, [%0]\n stp q9, q15, [%0, #32]\n stp q17, q24, [%0, #64]\n str q12, [%0, #96]\n"
                     :
                     : "r"(v)
                     : "memory", "cc", "x9", "x10", "v4", "v6", "v9", "v12", "v15", "v17", "v24");
}

int main(void)
{
    uint64_t hash = 0;
    for (int k = 0; k < 3000; k++) {
        uint64_t v[14];
        for (int i = 0; i < 14; i++) {
            v[i] = rnd();
            if (k % 5 == 0 && rnd() % 3 == 0)
                v[i] |= 0x7fa000017fc00001u;
        }
        step(v);
        for (int i = 0; i < 14; i++)
            hash = hash * 31 + v[i];
    }
    printf("%016llx\n", (unsigned long long)hash);
    return 0;
}
