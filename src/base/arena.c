#include "base/arena.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

/* Large enough for nearly every translation, so that a reset arena never needs a second chunk. */
#define CHUNK_BYTES (1u << 20)

struct ArenaChunk {
    ArenaChunk *prev;
    size_t size;
    _Alignas(16) char data[];
};

static void add_chunk(Arena *a, size_t need)
{
    size_t size = need > CHUNK_BYTES ? need : CHUNK_BYTES;
    ArenaChunk *c = malloc(sizeof *c + size);

    CHECK(c != NULL);
    c->prev = a->head;
    c->size = size;
    a->head = c;
    a->next = c->data;
    a->end = c->data + size;
}

void arena_init(Arena *a)
{
    memset(a, 0, sizeof *a);
}

void arena_done(Arena *a)
{
    while (a->head) {
        ArenaChunk *c = a->head;
        a->head = c->prev;
        free(c);
    }
    arena_init(a);
}

void arena_reset(Arena *a)
{
    if (!a->head)
        return;
    while (a->head->prev) {
        ArenaChunk *c = a->head;
        a->head = c->prev;
        free(c);
    }
    a->next = a->head->data;
    a->end = a->next + a->head->size;
}

void *arena_more(Arena *a, size_t n)
{
    add_chunk(a, n);
    a->next += n;
    return a->next - n;
}

void *arena_zalloc(Arena *a, size_t n)
{
    return memset(arena_alloc(a, n), 0, n);
}
