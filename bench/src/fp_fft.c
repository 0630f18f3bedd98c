/* Floating point in memory: fast Fourier transforms there and back. */
#include "bench.h"

#include <math.h>

#define BITS 12
#define N (1 << BITS)

static double re[N], im[N], wr[N / 2], wi[N / 2];

static void fft(int back)
{
    for (int i = 0, j = 0; i < N; i++) {
        if (i < j) {
            double t = re[i];
            re[i] = re[j], re[j] = t;
            t = im[i], im[i] = im[j], im[j] = t;
        }
        int m = N >> 1;
        for (; m && j & m; m >>= 1)
            j ^= m;
        j |= m;
    }
    for (int len = 2; len <= N; len *= 2)
        for (int i = 0; i < N; i += len)
            for (int k = 0; k < len / 2; k++) {
                double cr = wr[k * (N / len)], ci = back ? -wi[k * (N / len)] : wi[k * (N / len)];
                int p = i + k, q = p + len / 2;
                double xr = re[q] * cr - im[q] * ci, xi = re[q] * ci + im[q] * cr;
                re[q] = re[p] - xr, im[q] = im[p] - xi;
                re[p] += xr, im[p] += xi;
            }
}

int main(int argc, char **argv)
{
    long rounds = bench_scale(argc, argv, 600);
    uint32_t seed = 43;
    double sum = 0;

    for (int i = 0; i < N; i++)
        re[i] = bench_random(&seed) % 100;
    for (int i = 0; i < N / 2; i++)
        wr[i] = cos(2 * M_PI * i / N), wi[i] = sin(2 * M_PI * i / N);
    for (long r = 0; r < rounds; r++) {
        fft(0);
        fft(1);
        for (int i = 0; i < N; i++)
            re[i] /= N, im[i] /= N;
    }
    for (int i = 0; i < N; i++)
        sum += re[i] * (i % 7);
    printf("%.2f\n", sum);
    return 0;
}
