/* Calls and returns: recursion. */
#include "bench.h"

static __attribute__((noinline)) uint64_t fib(unsigned n)
{
    return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

static __attribute__((noinline)) unsigned ack(unsigned m, unsigned n)
{
    return m == 0 ? n + 1 : n == 0 ? ack(m - 1, 1) : ack(m - 1, ack(m, n - 1));
}

int main(int argc, char **argv)
{
    long n = bench_scale(argc, argv, 36);

    printf("%llu %u\n", (unsigned long long)fib((unsigned)n), ack(2, 2000));
    return 0;
}
