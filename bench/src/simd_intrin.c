/* SIMD as written by hand with the compiler's 128-bit vectors: byte shuffles, compares, multiplications and sums. */
#include "bench.h"

typedef uint8_t V16 __attribute__((vector_size(16)));
typedef int16_t V8 __attribute__((vector_size(16)));
typedef uint32_t V4 __attribute__((vector_size(16)));
typedef float F4 __attribute__((vector_size(16)));

#define N 1024
static V16 a[N], b[N];
static F4 f[N];

int main(int argc, char **argv)
{
    long rounds = bench_scale(argc, argv, 60000);
    uint32_t seed = 53;
    V4 acc = {0};
    F4 facc = {0};

    for (int i = 0; i < N; i++)
        for (int k = 0; k < 16; k++)
            a[i][k] = (uint8_t)bench_random(&seed), b[i][k] = (uint8_t)bench_random(&seed), f[i][k & 3] = (float)(k + i % 7);
    for (long r = 0; r < rounds; r++)
        for (int i = 0; i < N; i++) {
            V16 m = (V16)(a[i] > b[i]), x = (a[i] & m) | (b[i] & ~m);
            V16 s = __builtin_shuffle(x, (V16){3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12});
            V8 p = (V8)s * (V8)b[i];
            acc += (V4)p ^ ((V4)x >> 3);
            facc = facc * 0.5f + f[i];
            a[i] = s;
        }
    printf("%u %u %.3f\n", acc[0] ^ acc[1], acc[2] ^ acc[3], (double)(facc[0] + facc[3]));
    return 0;
}
