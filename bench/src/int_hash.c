/* Integers and memory: a hash table with open addressing, inserted into, searched and deleted from. */
#include "bench.h"

#define SIZE (1u << 16)

static uint64_t key[SIZE];
static uint32_t val[SIZE];

static uint32_t slot_of(uint64_t k)
{
    uint64_t h = k * 0x9e3779b97f4a7c15ull;
    return (uint32_t)(h >> 40) & (SIZE - 1);
}

static uint32_t *find(uint64_t k, int make)
{
    uint32_t i = slot_of(k);
    while (key[i] && key[i] != k)
        i = (i + 1) & (SIZE - 1);
    if (!key[i]) {
        if (!make)
            return NULL;
        key[i] = k;
        val[i] = 0;
    }
    return &val[i];
}

int main(int argc, char **argv)
{
    long n = bench_scale(argc, argv, 100);
    uint64_t sum = 0;

    for (long r = 0; r < n; r++) {
        uint32_t seed = 31 + (uint32_t)r;
        memset(key, 0, sizeof key);
        for (int i = 0; i < 100000; i++)
            ++*find(1 + bench_random(&seed) % 40000, 1);
        for (int i = 0; i < 100000; i++) {
            uint32_t *v = find(1 + bench_random(&seed) % 80000, 0);
            sum += v ? *v : 1;
        }
    }
    printf("%llu\n", (unsigned long long)sum);
    return 0;
}
