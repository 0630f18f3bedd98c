/* The sets of tools that simulate caches, of every kind of shape, against lists of when each line was used last. */
#include "tools/caches.h"

#include "test.h"

enum { TOUCHES = 200000, LINES = 4096, BATCH = 50 };

static uint64_t used[LINES]; /* when; 0: never, or no longer there */

/* Whether line x was there, among those that share its set; it is now. */
static bool model(const Cache *c, uint64_t x, uint64_t now)
{
    uint32_t n = 0;
    uint64_t oldest = x;
    bool hit = used[x] != 0;

    for (uint64_t k = x % c->sets; k < LINES; k += c->sets) {
        n += used[k] != 0;
        if (used[k] && (oldest == x || used[k] < used[oldest]))
            oldest = k;
    }
    if (!hit && n == c->ways)
        used[oldest] = 0;
    used[x] = now;
    return hit;
}

static uint64_t next(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed >> 33;
}

static bool follows(const char *shape, bool avx512)
{
    Cache like = {.name = "test"}, c = {0};
    uint64_t seed = 1;
    bool ok = cache_shape(&like, shape) && cache_new(&c, &like);

    memset(used, 0, sizeof used);
    c.avx512 &= avx512;
    for (uint64_t t = 1; ok && t < TOUCHES; t += BATCH) {
        DgSeen r[BATCH], missed[BATCH];
        unsigned want = 0, got;
        for (unsigned k = 0; k < BATCH; k++) /* now among few lines, now among many */
            r[k] = (DgSeen){.number = k, .addr = next(&seed) % (t / BATCH % 2 ? LINES / 16 : LINES) << c.line_bits};
        got = t % 3 ? cache_pass(&c, r, BATCH, missed) : 0;
        for (unsigned k = 0; k < BATCH; k++) {
            bool hit = model(&c, r[k].addr >> c.line_bits, t + k);
            if (t % 3 == 0)
                ok &= cache_touch(&c, r[k].addr) == hit;
            else if (!hit)
                ok &= want < got && missed[want++].number == k;
        }
        ok &= want == got;
    }
    free(c.memory);
    return ok;
}

int main(void)
{
    static const char *const shapes[] = {"524288:8:64", "32768:8:64", "1048576:16:64", "16384:16:1024", "786432:12:64", "65536:1:64",
                                         "4096:64:64", "8192:8:64", "4096:16:16", "2048:2:32"};

    TEST_BEGIN();
    for (unsigned k = 0; k < sizeof shapes / sizeof *shapes; k++)
        TEST(shapes[k], follows(shapes[k], false) && follows(shapes[k], true));
    return TEST_END();
}
