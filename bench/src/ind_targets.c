/*
 * Indirect calls from one place: ind_targets SCALE [TARGETS [PATTERN]], PATTERN: periodic, skewed (nine in ten to the first), random,
 * or phases (one target for 20,000 calls each).
 */
#include "bench.h"

#include <string.h>

#define F(n) \
    static __attribute__((noinline)) uint64_t f##n(uint64_t x) \
    { \
        return x * 3 + n; \
    }
#define F8(n) F(n##0) F(n##1) F(n##2) F(n##3) F(n##4) F(n##5) F(n##6) F(n##7)
F8(1) F8(2) F8(3) F8(4) F8(5) F8(6) F8(7) F8(8)
#define P8(n) f##n##0, f##n##1, f##n##2, f##n##3, f##n##4, f##n##5, f##n##6, f##n##7
static uint64_t (*const fn[64])(uint64_t) = {P8(1), P8(2), P8(3), P8(4), P8(5), P8(6), P8(7), P8(8)};

enum { PERIODIC, SKEWED, RANDOM, PHASES };

static __attribute__((noinline)) uint64_t run(const uint8_t *which, long n, long rounds)
{
    uint64_t x = 1;
    for (long r = 0; r < rounds; r++)
        for (long i = 0; i < n; i++)
            x = fn[which[i]](x);
    return x;
}

int main(int argc, char **argv)
{
    static uint8_t which[1 << 14];
    long n = bench_scale(argc, argv, 4000), targets = argc > 2 ? atol(argv[2]) : 4;
    const char *pattern = argc > 3 ? argv[3] : "skewed";
    uint64_t seed = 12345, x = 0;

    for (long part = 0; part < 64; part++) {
        for (unsigned i = 0; i < sizeof which; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            unsigned r = (unsigned)(seed >> 40);
            which[i] = (uint8_t)(!strcmp(pattern, "periodic") ? i % targets
                       : !strcmp(pattern, "random")           ? r % targets
                       : !strcmp(pattern, "phases")           ? part % targets
                       : r % 10                               ? 0
                                                              : (r / 10) % targets);
        }
        x += run(which, sizeof which, n / 64 ? n / 64 : 1);
    }
    printf("%llu\n", (unsigned long long)x);
    return 0;
}
