/* The C library's string functions. */
#include "bench.h"

static char text[1 << 16];

int main(int argc, char **argv)
{
    long rounds = bench_scale(argc, argv, 3000);
    uint32_t seed = 23;
    size_t sum = 0;

    for (size_t i = 0; i + 1 < sizeof text; i++) {
        uint32_t r = bench_random(&seed);
        text[i] = r % 97 == 0 ? '\n' : (char)('a' + r % 23);
    }
    for (long r = 0; r < rounds; r++) {
        char line[512], *nl;
        for (char *p = text; (nl = strchr(p, '\n')); p = nl + 1) {
            size_t n = (size_t)(nl - p);
            if (n >= sizeof line)
                n = sizeof line - 1;
            memcpy(line, p, n);
            line[n] = 0;
            sum += strlen(line) + (strrchr(line, 'q') != NULL) + (memchr(p, 'z', n) != NULL);
            sum += strcmp(line, p) < 0;
        }
    }
    printf("%zu\n", sum);
    return 0;
}
