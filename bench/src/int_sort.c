/* Integer, branches: quicksort and heapsort of random words. */
#include "bench.h"

#define N 200000
static uint32_t a[N];

static void quick(uint32_t *v, long lo, long hi)
{
    while (lo < hi) {
        uint32_t p = v[(lo + hi) / 2];
        long i = lo, j = hi;
        while (i <= j) {
            while (v[i] < p)
                i++;
            while (v[j] > p)
                j--;
            if (i <= j) {
                uint32_t t = v[i];
                v[i++] = v[j];
                v[j--] = t;
            }
        }
        quick(v, lo, j);
        lo = i;
    }
}

static void sift(uint32_t *v, long root, long n)
{
    for (long c; (c = 2 * root + 1) < n; root = c) {
        if (c + 1 < n && v[c] < v[c + 1])
            c++;
        if (v[root] >= v[c])
            return;
        uint32_t t = v[root];
        v[root] = v[c];
        v[c] = t;
    }
}

static void heap(uint32_t *v, long n)
{
    for (long i = n / 2; i-- > 0;)
        sift(v, i, n);
    for (long i = n; --i > 0;) {
        uint32_t t = v[0];
        v[0] = v[i];
        v[i] = t;
        sift(v, 0, i);
    }
}

int main(int argc, char **argv)
{
    long rounds = bench_scale(argc, argv, 2);
    uint32_t seed = 1, sum = 0;

    for (long r = 0; r < rounds; r++) {
        for (int i = 0; i < N; i++)
            a[i] = bench_random(&seed);
        if (r & 1)
            heap(a, N);
        else
            quick(a, 0, N - 1);
        for (int i = 1; i < N; i++)
            sum += (a[i - 1] <= a[i]) + a[i] * (uint32_t)i;
    }
    printf("%u\n", sum);
    return 0;
}
