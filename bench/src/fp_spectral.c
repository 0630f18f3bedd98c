/* Floating-point division and addition: the spectral norm of an infinite matrix's corner. */
#include "bench.h"

#include <math.h>

#define N 700

static double u[N], v[N], t[N];

static double at(int i, int j)
{
    return 1.0 / ((double)((i + j) * (i + j + 1) / 2 + i + 1));
}

static void mul(const double *x, double *out, int turned)
{
    for (int i = 0; i < N; i++) {
        double s = 0;
        for (int j = 0; j < N; j++)
            s += (turned ? at(j, i) : at(i, j)) * x[j];
        out[i] = s;
    }
}

int main(int argc, char **argv)
{
    long rounds = bench_scale(argc, argv, 30);
    double uv = 0, vv = 0;

    for (int i = 0; i < N; i++)
        u[i] = 1;
    for (long r = 0; r < rounds; r++) {
        mul(u, t, 0), mul(t, v, 1);
        mul(v, t, 0), mul(t, u, 1);
    }
    for (int i = 0; i < N; i++)
        uv += u[i] * v[i], vv += v[i] * v[i];
    printf("%.9f\n", sqrt(uv / vv));
    return 0;
}
