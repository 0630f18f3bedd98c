/* Calls through pointers: the C library's qsort and bsearch with a comparison function. */
#include "bench.h"

typedef struct Item {
    uint32_t key, weight;
} Item;

static Item item[100000];

static int by_key(const void *a, const void *b)
{
    const Item *x = a, *y = b;
    return x->key < y->key ? -1 : x->key > y->key;
}

int main(int argc, char **argv)
{
    long rounds = bench_scale(argc, argv, 20), n = sizeof item / sizeof *item;
    uint64_t sum = 0;

    for (long r = 0; r < rounds; r++) {
        uint32_t seed = 41 + (uint32_t)r;
        for (long i = 0; i < n; i++)
            item[i] = (Item){bench_random(&seed), (uint32_t)i};
        qsort(item, (size_t)n, sizeof *item, by_key);
        for (long i = 0; i < n; i++) {
            Item want = {bench_random(&seed), 0}, *got = bsearch(&want, item, (size_t)n, sizeof *item, by_key);
            sum += got ? got->weight : item[i].key;
        }
    }
    printf("%llu\n", (unsigned long long)sum);
    return 0;
}
