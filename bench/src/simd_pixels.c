/* SIMD integers by the compiler's vectoriser: blends, differences and sums over bytes and 16-bit words. */
#include "bench.h"

#define N 65536
static uint8_t x[N], y[N], out[N];
static int16_t w[N];

int main(int argc, char **argv)
{
    long rounds = bench_scale(argc, argv, 1000);
    uint32_t seed = 19, sum = 0;

    for (int i = 0; i < N; i++)
        x[i] = (uint8_t)bench_random(&seed), y[i] = (uint8_t)bench_random(&seed), w[i] = (int16_t)bench_random(&seed);
    for (long r = 0; r < rounds; r++) {
        uint32_t sad = 0;
        for (int i = 0; i < N; i++)
            out[i] = (uint8_t)((x[i] * 3 + y[i] + 2) >> 2);
        for (int i = 0; i < N; i++)
            sad += (uint32_t)abs(x[i] - y[i]);
        for (int i = 0; i < N; i++)
            w[i] = (int16_t)((w[i] * 5 + x[i]) >> 1);
        for (int i = 0; i < N; i++)
            x[i] = out[i] > y[i] ? out[i] : y[i];
        sum += sad + (uint32_t)w[r & (N - 1)];
    }
    printf("%u\n", sum);
    return 0;
}
