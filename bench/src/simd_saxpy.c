/* SIMD floating point by the compiler's vectoriser: scaled sums, dot products and square roots of floats. */
#include "bench.h"

#include <math.h>

#define N 4096
static float x[N], y[N], z[N];

int main(int argc, char **argv)
{
    long rounds = bench_scale(argc, argv, 100000);
    uint32_t seed = 47;
    double sum = 0;

    for (int i = 0; i < N; i++)
        x[i] = (float)(bench_random(&seed) % 1000) / 8, y[i] = (float)(bench_random(&seed) % 1000) / 16;
    for (long r = 0; r < rounds; r++) {
        float k = (float)(r & 15) / 16;
        for (int i = 0; i < N; i++)
            z[i] = x[i] * k + y[i];
        for (int i = 0; i < N; i++)
            y[i] = z[i] > 100 ? z[i] * 0.25f : z[i];
        sum += y[r & (N - 1)];
    }
    printf("%.2f\n", sum);
    return 0;
}
