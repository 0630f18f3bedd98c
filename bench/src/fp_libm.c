/* The C library's mathematics. */
#include "bench.h"

#include <math.h>

int main(int argc, char **argv)
{
    long n = bench_scale(argc, argv, 500000);
    double sum = 0;

    for (long i = 0; i < n; i++) {
        double x = (double)i * 1e-4 + 0.1;
        sum += sin(x) * cos(x * 0.5) + exp(-x * 0.1) + log(x) + pow(x, 0.3) + atan2(x, 2.0) + cbrt(x);
    }
    printf("%.3f\n", sum);
    return 0;
}
