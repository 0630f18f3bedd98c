/* Recursion with bit tricks: all solutions of the queens problem. */
#include "bench.h"

static long solve(uint32_t all, uint32_t cols, uint32_t left, uint32_t right)
{
    long n = 0;
    if (cols == all)
        return 1;
    for (uint32_t free = all & ~(cols | left | right); free;) {
        uint32_t bit = free & -free;
        free ^= bit;
        n += solve(all, cols | bit, (left | bit) << 1, (right | bit) >> 1);
    }
    return n;
}

int main(int argc, char **argv)
{
    long n = bench_scale(argc, argv, 12);
    printf("%ld\n", solve((1u << n) - 1, 0, 0, 0));
    return 0;
}
