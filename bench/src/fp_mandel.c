/* Floating point in registers with data-dependent exits: the Mandelbrot set. */
#include "bench.h"

int main(int argc, char **argv)
{
    long n = bench_scale(argc, argv, 600), sum = 0;

    for (long y = 0; y < n; y++)
        for (long x = 0; x < n; x++) {
            double cr = 3.0 * (double)x / (double)n - 2.1, ci = 2.4 * (double)y / (double)n - 1.2, r = 0, i = 0;
            int k = 0;
            for (; k < 200; k++) {
                double r2 = r * r, i2 = i * i;
                if (r2 + i2 > 4.0)
                    break;
                i = 2 * r * i + ci;
                r = r2 - i2 + cr;
            }
            sum += k;
        }
    printf("%ld\n", sum);
    return 0;
}
