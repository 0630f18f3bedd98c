/* Each program does a fixed amount of work, scaled by its argument, and prints a checksum that all runs must agree on. */
#ifndef BENCH_H
#define BENCH_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline uint32_t bench_random(uint32_t *s)
{
    *s = *s * 1664525u + 1013904223u;
    return *s >> 8;
}

static inline long bench_scale(int argc, char **argv, long def)
{
    return argc > 1 ? atol(argv[1]) : def;
}

#endif
