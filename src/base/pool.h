/*
 * Memory for many small blocks that live long, of any thread's: without words of an allocator's between them, and in pieces that grow
 * with what is there, so that little of it is there for nothing; large ones are huge pages where the host has some. What is
 * touched for the first time costs a fault a page otherwise, which is more than most of what is written there.
 */
#ifndef BASE_POOL_H
#define BASE_POOL_H

#include <pthread.h>
#include <stddef.h>

/* Blocks are multiples of a grain; larger ones than these are malloc's. */
enum { POOL_GRAIN = 16, POOL_GRAINS = 128 };

typedef struct PoolPiece PoolPiece;
typedef struct PoolBlock PoolBlock;

typedef struct Pool {
    pthread_mutex_t lock;
    PoolPiece *piece;                 /* newest first */
    char *next, *end;                 /* free part of it */
    PoolBlock *free[POOL_GRAINS + 1]; /* by grains */
} Pool;

void pool_init(Pool *p);
/* `n` bytes, aligned to a grain and not cleared. Never NULL: running out of host memory is fatal. */
void *pool_alloc(Pool *p, size_t n);
/* `n`: as it was allocated. */
void pool_free(Pool *p, void *block, size_t n);
/* All that was allocated, malloc's blocks excepted. */
void pool_done(Pool *p);

#endif
