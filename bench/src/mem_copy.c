/* The C library's memcpy, memmove and memset at mixed sizes. */
#include "bench.h"

static char a[1 << 16], b[1 << 16];

int main(int argc, char **argv)
{
    long rounds = bench_scale(argc, argv, 1500000);
    uint32_t seed = 5, sum = 0;

    for (long i = 0; i < rounds; i++) {
        uint32_t r = bench_random(&seed);
        size_t n = r & 15 ? r >> 4 & 255 : r >> 4 & 8191, at = r >> 8 & 0x3fff;
        switch (r & 3) {
        case 0:
            memset(a + at, (int)r, n);
            break;
        case 1:
            memmove(a + at, a + at + (r >> 20 & 63), n);
            break;
        default:
            memcpy(b + at, a + (at ^ 77), n);
        }
        sum += (unsigned char)b[at] + (unsigned char)a[at];
    }
    printf("%u\n", sum);
    return 0;
}
