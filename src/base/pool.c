#include "base/pool.h"

#include "base/check.h"
#include "base/os.h"

#include <stdlib.h>
#include <string.h>

#define PIECE_FIRST ((size_t)64 << 10)
#define PIECE_LARGE ((size_t)4 << 20) /* a huge page is in it wherever it begins */

struct PoolPiece {
    _Alignas(POOL_GRAIN) PoolPiece *older;
    size_t size;
};

struct PoolBlock {
    PoolBlock *next;
};

void pool_init(Pool *p)
{
    memset(p, 0, sizeof *p);
    pthread_mutex_init(&p->lock, NULL);
}

static size_t grains(size_t n)
{
    return n ? (n + POOL_GRAIN - 1) / POOL_GRAIN : 1;
}

/* Twice the last one, up to where small pages would do no longer. */
static void more(Pool *p)
{
    size_t last = p->piece ? p->piece->size : 0;
    size_t size = !last ? PIECE_FIRST : last < PIECE_LARGE / 8 ? 2 * last : PIECE_LARGE;
    PoolPiece *piece = size == PIECE_LARGE ? os_alloc_large(size) : os_alloc(size);

    CHECK(piece != NULL);
    *piece = (PoolPiece){p->piece, size};
    p->piece = piece;
    p->next = (char *)(piece + 1);
    p->end = (char *)piece + size;
    os_poison(p->next, (size_t)(p->end - p->next));
}

void *pool_alloc(Pool *p, size_t n)
{
    size_t g = grains(n);
    void *block;

    if (g > POOL_GRAINS) {
        block = malloc(n);
        CHECK(block != NULL);
        return block;
    }
    pthread_mutex_lock(&p->lock);
    PoolBlock *old = p->free[g];
    if (old) {
        block = old;
        os_unpoison(block, g * POOL_GRAIN);
        p->free[g] = old->next;
    } else {
        if ((size_t)(p->end - p->next) < g * POOL_GRAIN)
            more(p);
        block = p->next;
        p->next += g * POOL_GRAIN;
        os_unpoison(block, g * POOL_GRAIN);
    }
    pthread_mutex_unlock(&p->lock);
    return block;
}

void pool_free(Pool *p, void *block, size_t n)
{
    size_t g = grains(n);
    PoolBlock *b = block;

    if (!b)
        return;
    if (g > POOL_GRAINS) {
        free(b);
        return;
    }
    pthread_mutex_lock(&p->lock);
    b->next = p->free[g];
    p->free[g] = b;
    os_poison(b, g * POOL_GRAIN);
    pthread_mutex_unlock(&p->lock);
}

void pool_done(Pool *p)
{
    for (PoolPiece *piece = p->piece, *older; piece; piece = older) {
        older = piece->older;
        os_free(piece, piece->size);
    }
    pool_init(p);
}
