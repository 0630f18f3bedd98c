/* The C library's memory functions on short blocks, as programs mostly call them. */
#include "bench.h"

static char buf[1 << 14], out[1 << 14];

int main(int argc, char **argv)
{
    long rounds = bench_scale(argc, argv, 20000000);
    uint32_t seed = 59;
    size_t sum = 0;

    for (size_t i = 0; i < sizeof buf; i++)
        buf[i] = (char)('a' + bench_random(&seed) % 26);
    for (long r = 0; r < rounds; r++) {
        uint32_t x = bench_random(&seed);
        size_t n = x % 61, from = (x >> 6) % 8192, to = (x >> 12) % 8192;
        memcpy(out + to, buf + from, n);
        if ((r & 7) == 0)
            memset(out + from, (int)n, n);
        sum += (size_t)(memcmp(out + to, buf + from, n) == 0) + (unsigned char)out[to];
        if ((r & 63) == 0)
            memmove(buf + from, buf + from + 5, n);
    }
    printf("%zu\n", sum);
    return 0;
}
