#include "base/arena.h"
#include "test.h"

#include <stdint.h>
#include <string.h>

int main(void)
{
    Arena a;

    TEST_BEGIN();
    arena_init(&a);
    char *p = arena_alloc(&a, 1);
    char *q = arena_alloc(&a, 5u << 20);
    TEST("aligned to 16", ((uintptr_t)p & 15) == 0 && ((uintptr_t)q & 15) == 0);
    memset(q, 1, 5u << 20);
    arena_reset(&a);
    TEST("reset keeps the first chunk", arena_alloc(&a, 1) == p);
    char *z = arena_zalloc(&a, 64);
    TEST("zalloc zeroes", z[0] == 0 && z[63] == 0);
    arena_done(&a);
    return TEST_END();
}
