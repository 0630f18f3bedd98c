/* Integer, rotations and logic: SHA-256 in C. */
#include "bench.h"

static uint32_t k[64];

static uint32_t ror(uint32_t x, int n)
{
    return x >> n | x << (32 - n);
}

static void block(uint32_t h[8], const uint32_t m[16])
{
    uint32_t w[64], s[8];

    memcpy(w, m, 64);
    for (int i = 16; i < 64; i++) {
        uint32_t a = ror(w[i - 15], 7) ^ ror(w[i - 15], 18) ^ w[i - 15] >> 3;
        uint32_t b = ror(w[i - 2], 17) ^ ror(w[i - 2], 19) ^ w[i - 2] >> 10;
        w[i] = w[i - 16] + a + w[i - 7] + b;
    }
    memcpy(s, h, 32);
    for (int i = 0; i < 64; i++) {
        uint32_t e1 = ror(s[4], 6) ^ ror(s[4], 11) ^ ror(s[4], 25), ch = (s[4] & s[5]) ^ (~s[4] & s[6]);
        uint32_t t1 = s[7] + e1 + ch + k[i] + w[i];
        uint32_t e0 = ror(s[0], 2) ^ ror(s[0], 13) ^ ror(s[0], 22), maj = (s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]);
        s[7] = s[6], s[6] = s[5], s[5] = s[4], s[4] = s[3] + t1, s[3] = s[2], s[2] = s[1], s[1] = s[0], s[0] = t1 + e0 + maj;
    }
    for (int i = 0; i < 8; i++)
        h[i] += s[i];
}

int main(int argc, char **argv)
{
    long rounds = bench_scale(argc, argv, 200000);
    uint32_t h[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };
    uint32_t m[16], seed = 7;

    for (int i = 0; i < 64; i++)
        k[i] = bench_random(&seed) * 2654435761u;
    for (long r = 0; r < rounds; r++) {
        for (int i = 0; i < 16; i++)
            m[i] = h[i & 7] + (uint32_t)(r * i);
        block(h, m);
    }
    printf("%08x\n", h[0] ^ h[7]);
    return 0;
}
