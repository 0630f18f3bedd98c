/* The C library's formatted output and number parsing. */
#include "bench.h"

int main(int argc, char **argv)
{
    long n = bench_scale(argc, argv, 400000);
    double sum = 0;
    char line[128];

    for (long i = 0; i < n; i++) {
        snprintf(line, sizeof line, "%ld:%08lx:%s:%.6f", i * 7919, i ^ 0x5a5a, i & 1 ? "odd" : "even", (double)i / 37);
        char *p = strrchr(line, ':');
        sum += strtod(p + 1, NULL) + (double)(strtol(line, NULL, 10) % 97);
    }
    printf("%.3f\n", sum);
    return 0;
}
