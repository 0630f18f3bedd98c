/* Wide multiplication and carries: modular exponentiation of 1024-bit numbers. */
#include "bench.h"

#define L 16
typedef unsigned __int128 u128;

static uint64_t mont_inv(uint64_t m)
{
    uint64_t x = 1;
    for (int i = 0; i < 6; i++)
        x *= 2 - m * x;
    return -x;
}

/* r = a * b / 2^(64 L) mod m, Montgomery */
static void mont_mul(uint64_t *r, const uint64_t *a, const uint64_t *b, const uint64_t *m, uint64_t inv)
{
    uint64_t t[L + 2] = {0};
    for (int i = 0; i < L; i++) {
        u128 c = 0;
        for (int j = 0; j < L; j++) {
            c += (u128)a[j] * b[i] + t[j];
            t[j] = (uint64_t)c;
            c >>= 64;
        }
        c += t[L];
        t[L] = (uint64_t)c, t[L + 1] = (uint64_t)(c >> 64);
        uint64_t q = t[0] * inv;
        c = (u128)q * m[0] + t[0];
        c >>= 64;
        for (int j = 1; j < L; j++) {
            c += (u128)q * m[j] + t[j];
            t[j - 1] = (uint64_t)c;
            c >>= 64;
        }
        c += t[L];
        t[L - 1] = (uint64_t)c;
        t[L] = t[L + 1] + (uint64_t)(c >> 64);
    }
    uint64_t d[L], borrow = 0;
    for (int j = 0; j < L; j++) {
        u128 x = (u128)t[j] - m[j] - borrow;
        d[j] = (uint64_t)x;
        borrow = (uint64_t)(x >> 64) & 1;
    }
    memcpy(r, t[L] || !borrow ? d : t, sizeof d);
}

int main(int argc, char **argv)
{
    long rounds = bench_scale(argc, argv, 500);
    uint64_t m[L], x[L], y[L], sum = 0;
    uint32_t seed = 37;

    for (int i = 0; i < L; i++) {
        m[i] = (uint64_t)bench_random(&seed) << 40 ^ (uint64_t)bench_random(&seed) << 16 ^ bench_random(&seed);
        x[i] = (uint64_t)bench_random(&seed) << 32 | bench_random(&seed);
    }
    m[0] |= 1, m[L - 1] |= 1ull << 63, x[L - 1] &= ~(1ull << 63);
    uint64_t inv = mont_inv(m[0]);
    for (long r = 0; r < rounds; r++) {
        memcpy(y, x, sizeof y);
        for (int bit = 0; bit < 1024; bit++) {
            mont_mul(y, y, y, m, inv);
            if (bit * 7 % 3 == 0)
                mont_mul(y, y, x, m, inv);
        }
        sum ^= y[0], x[1] += y[3];
    }
    printf("%016llx\n", (unsigned long long)sum);
    return 0;
}
