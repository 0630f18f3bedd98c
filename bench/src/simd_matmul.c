/* SIMD floating point by the compiler's vectoriser: single-precision matrix product. */
#include "bench.h"

#define N 256
static float a[N][N], b[N][N], c[N][N];

int main(int argc, char **argv)
{
    long rounds = bench_scale(argc, argv, 8);
    uint32_t seed = 17;
    double sum = 0;

    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            a[i][j] = (float)(bench_random(&seed) % 16), b[i][j] = (float)(bench_random(&seed) % 16);
    for (long r = 0; r < rounds; r++) {
        memset(c, 0, sizeof c);
        for (int i = 0; i < N; i++)
            for (int k = 0; k < N; k++)
                for (int j = 0; j < N; j++)
                    c[i][j] += a[i][k] * b[k][j];
        sum += c[r][r * 3];
    }
    printf("%.1f\n", sum);
    return 0;
}
