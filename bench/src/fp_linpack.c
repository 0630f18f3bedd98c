/* Floating point in memory: LU factorisation with partial pivoting. */
#include "bench.h"

#include <math.h>

#define N 200
static double a[N][N], b[N];

int main(int argc, char **argv)
{
    long rounds = bench_scale(argc, argv, 6);
    uint32_t seed = 13;
    double sum = 0;

    for (long r = 0; r < rounds; r++) {
        for (int i = 0; i < N; i++) {
            b[i] = 1;
            for (int j = 0; j < N; j++)
                a[i][j] = bench_random(&seed) % 2000 / 1000.0 - 1 + (i == j) * 4;
        }
        for (int k = 0; k < N; k++) {
            int piv = k;
            for (int i = k + 1; i < N; i++)
                if (fabs(a[i][k]) > fabs(a[piv][k]))
                    piv = i;
            for (int j = k; j < N; j++) {
                double t = a[k][j];
                a[k][j] = a[piv][j], a[piv][j] = t;
            }
            double t = b[k];
            b[k] = b[piv], b[piv] = t;
            for (int i = k + 1; i < N; i++) {
                double f = a[i][k] / a[k][k];
                for (int j = k; j < N; j++)
                    a[i][j] -= f * a[k][j];
                b[i] -= f * b[k];
            }
        }
        for (int i = N; i-- > 0;) {
            for (int j = i + 1; j < N; j++)
                b[i] -= a[i][j] * b[j];
            b[i] /= a[i][i];
            sum += b[i];
        }
    }
    printf("%.4f\n", sum);
    return 0;
}
