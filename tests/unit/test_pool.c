#include "base/pool.h"
#include "test.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { BLOCKS = 20000, LARGE = (POOL_GRAINS + 1) * POOL_GRAIN };

static unsigned char *block[BLOCKS];

static size_t size_of(unsigned k)
{
    return k % 700;
}

/* More than the first large piece holds; each block is full of what says which one it is. */
static bool fill(Pool *p, unsigned first, unsigned step)
{
    bool aligned = true;

    for (unsigned k = first; k < BLOCKS; k += step) {
        block[k] = pool_alloc(p, size_of(k));
        aligned = aligned && ((uintptr_t)block[k] & (POOL_GRAIN - 1)) == 0;
        memset(block[k], (int)(k % 251), size_of(k));
    }
    return aligned;
}

static bool intact(void)
{
    for (unsigned k = 0; k < BLOCKS; k++)
        for (size_t i = 0; i < size_of(k); i++)
            if (block[k][i] != k % 251)
                return false;
    return true;
}

int main(void)
{
    Pool p;

    TEST_BEGIN();
    pool_init(&p);
    TEST("aligned", fill(&p, 0, 1));
    TEST("blocks do not overlap", intact());
    PoolPiece *newest = p.piece;
    for (unsigned k = 0; k < BLOCKS; k += 3)
        pool_free(&p, block[k], size_of(k));
    TEST("aligned again", fill(&p, 0, 3));
    TEST("blocks that are had again do not overlap", intact());
    TEST("what was given back is enough", p.piece == newest);
    char *large = pool_alloc(&p, LARGE);
    memset(large, 1, LARGE);
    pool_free(&p, large, LARGE);
    pool_free(&p, NULL, 1);
    TEST("large ones are apart", p.piece == newest && intact());
    pool_done(&p);
    TEST("nothing is left", p.piece == NULL);
    return TEST_END();
}
