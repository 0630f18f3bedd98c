/* Scalar floating point: gravitation of five bodies. */
#include "bench.h"

#include <math.h>

static double p[5][3], v[5][3], m[5];

int main(int argc, char **argv)
{
    long steps = bench_scale(argc, argv, 400000);
    uint32_t seed = 11;
    double e = 0;

    for (int i = 0; i < 5; i++) {
        m[i] = 1.0 / (i + 1);
        for (int k = 0; k < 3; k++) {
            p[i][k] = bench_random(&seed) % 1000 / 50.0 + i * 10;
            v[i][k] = bench_random(&seed) % 1000 / 1e4;
        }
    }
    for (long s = 0; s < steps; s++) {
        for (int i = 0; i < 5; i++)
            for (int j = i + 1; j < 5; j++) {
                double d[3], r2 = 0;
                for (int k = 0; k < 3; k++)
                    d[k] = p[i][k] - p[j][k], r2 += d[k] * d[k];
                double f = 0.001 / (r2 * sqrt(r2));
                for (int k = 0; k < 3; k++)
                    v[i][k] -= d[k] * m[j] * f, v[j][k] += d[k] * m[i] * f;
            }
        for (int i = 0; i < 5; i++)
            for (int k = 0; k < 3; k++)
                p[i][k] += 0.001 * v[i][k];
    }
    for (int i = 0; i < 5; i++)
        for (int k = 0; k < 3; k++)
            e += m[i] * v[i][k] * v[i][k];
    printf("%.6f\n", e);
    return 0;
}
