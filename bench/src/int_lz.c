/* Integers and bytes: an LZ77 compressor with a hash table, and its decompressor. */
#include "bench.h"

#define N (1 << 18)
#define HASH_BITS 14

static uint8_t text[N], packed[2 * N], back[N];
static int32_t head[1 << HASH_BITS];

static uint32_t hash(const uint8_t *p)
{
    uint32_t v = p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16;
    return (v * 2654435761u) >> (32 - HASH_BITS);
}

static size_t pack(void)
{
    uint8_t *o = packed;
    memset(head, 0xff, sizeof head);
    for (int i = 0; i < N;) {
        int len = 0, dist = 0;
        if (i + 3 < N) {
            uint32_t h = hash(text + i);
            int j = head[h];
            head[h] = i;
            if (j >= 0 && i - j < 65536)
                for (dist = i - j; len < 255 && i + len < N && text[j + len] == text[i + len];)
                    len++;
        }
        if (len >= 4) {
            *o++ = 1, *o++ = (uint8_t)len, *o++ = (uint8_t)dist, *o++ = (uint8_t)(dist >> 8);
            i += len;
        } else {
            *o++ = 0, *o++ = text[i++];
        }
    }
    return (size_t)(o - packed);
}

static void unpack(size_t n)
{
    uint8_t *o = back;
    for (const uint8_t *p = packed; p < packed + n;) {
        if (*p++) {
            int len = p[0], dist = p[1] | p[2] << 8;
            for (p += 3; len--; o++)
                *o = o[-dist];
        } else {
            *o++ = *p++;
        }
    }
}

int main(int argc, char **argv)
{
    long rounds = bench_scale(argc, argv, 60);
    uint32_t seed = 29;
    size_t sum = 0;

    for (int i = 0; i < N; i++) {
        uint32_t r = bench_random(&seed);
        text[i] = i > 1000 && r % 4 ? text[i - 997 + r % 3] : (uint8_t)('a' + r % 20);
    }
    for (long r = 0; r < rounds; r++) {
        size_t n = pack();
        unpack(n);
        sum += n + (memcmp(text, back, N) == 0);
        text[r * 31 % N] ^= 1;
    }
    printf("%zu\n", sum);
    return 0;
}
