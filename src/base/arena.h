/*
 * A bump allocator: a translation takes all it needs from one arena and drops it whole. Not thread-safe; each
 * translating thread owns one. Memory is zeroed only where the name says so.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>

typedef struct ArenaChunk ArenaChunk;

typedef struct Arena {
    ArenaChunk *head;  /* chunk in use, newest first */
    char *next, *end;  /* free part of head */
} Arena;

void arena_init(Arena *a);
void arena_done(Arena *a);

/* Forget everything that was allocated; keeps the first chunk, so that a steady state never calls malloc. */
void arena_reset(Arena *a);

/* `n` bytes, a multiple of 16, from a new chunk. */
void *arena_more(Arena *a, size_t n);

/* `n` bytes aligned to 16. Never NULL: running out of host memory is fatal. */
static inline void *arena_alloc(Arena *a, size_t n)
{
    char *p = a->next;

    n = (n + 15) & ~(size_t)15;
    if (__builtin_expect((size_t)(a->end - p) < n, 0))
        return arena_more(a, n);
    a->next = p + n;
    return p;
}

void *arena_zalloc(Arena *a, size_t n);

#define ARENA_NEW(a, type) ((type *)arena_zalloc((a), sizeof(type)))
#define ARENA_ARRAY(a, type, n) ((type *)arena_alloc((a), sizeof(type) * (size_t)(n)))

#endif
