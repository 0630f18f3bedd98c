/* Integer and byte memory: the sieve of Eratosthenes. */
#include "bench.h"

static unsigned char composite[2000000];

int main(int argc, char **argv)
{
    long rounds = bench_scale(argc, argv, 5), count = 0;

    for (long r = 0; r < rounds; r++) {
        memset(composite, 0, sizeof composite);
        count = 0;
        for (size_t i = 2; i < sizeof composite; i++) {
            if (composite[i])
                continue;
            count++;
            for (size_t j = i * 2; j < sizeof composite; j += i)
                composite[j] = 1;
        }
    }
    printf("%ld\n", count);
    return 0;
}
