#include "values.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

/* Zeros, subnormals, limits, infinities, NaNs of both kinds, and the edges of conversions. */
static const uint64_t doubles[] = {
    0x0000000000000000, 0x8000000000000000, 0x0000000000000001, 0x8000000000000001, 0x000fffffffffffff, 0x0010000000000000,
    0x7fefffffffffffff, 0x7ff0000000000000, 0xfff0000000000000, 0x7ff8000000000000, 0x7ff0000000000001, 0xfff4000000001234,
    0x7ffc0000dead0000, 0x3ff0000000000000, 0xbff0000000000000, 0x3fe0000000000000, 0x3fdfffffffffffff, 0x4000000000000000,
    0x4330000000000000, 0x433fffffffffffff, 0x41dfffffffc00000, 0x41e0000000000000, 0xc1e0000000000000, 0xc1e0000000200000,
    0x43e0000000000000, 0xc3e0000000000000, 0x43dfffffffffffff, 0x43f0000000000000, 0x43efffffffffffff, 0x3690000000000000,
    0x36a0000000000001, 0x380fffffffffffff, 0x47efffffe0000000, 0x47efffffefffffff, 0x47eff00000000000, 0x7fffffffffffffff,
    0xffffffffffffffff, 0x40efffe000000000, 0x40effff000000000, 0x3f10000000000000, 0x3e70000000000000, 0x3ff8000000000000,
    0x4004000000000000, 0xc00c000000000000,
};
static const uint32_t singles[] = {
    0x00000000, 0x80000000, 0x00000001, 0x80000001, 0x007fffff, 0x00800000, 0x7f7fffff, 0x7f800000, 0xff800000, 0x7fc00000,
    0x7f800001, 0xffa01234, 0x7fe0dead, 0x3f800000, 0xbf800000, 0x3f000000, 0x3effffff, 0x40000000, 0x4b000000, 0x4b7fffff,
    0x4effffff, 0x4f000000, 0xcf000000, 0xcf000001, 0x5f000000, 0xdf000000, 0x5effffff, 0x5f800000, 0x477fe000, 0x477ff000,
    0x477fefff, 0x38800000, 0x387fc000, 0x33800000, 0x33000000, 0x33000001, 0x7fffffff, 0xffffffff, 0x3fc00000, 0x40200000,
    0xc0600000, 0x00400000, 0x7e800000, 0x7e800001, 0x7f000000, 0x477fff00, 0x437f0000, 0x7f7f8000, 0x3f808000, 0x3f818000,
    0x3f80ffff,
};
static const uint16_t halves[] = {
    0x0000, 0x8000, 0x0001, 0x8001, 0x03ff, 0x0400, 0x7bff, 0x7c00, 0xfc00, 0x7e00, 0x7c01, 0xfd12, 0x7f34, 0x3c00, 0xbc00,
    0x3800, 0x37ff, 0x4000, 0x6400, 0x67ff, 0x7800, 0xf800, 0x7fff, 0xffff, 0x3e00, 0x4100, 0xc300, 0x77ff, 0x0200, 0x7a00,
};
static const uint8_t bytes[] = {
    0, 1, 0x7f, 0x80, 0xff, 0xfe, 0x81, 2, 7, 8, 9, 15, 16, 31, 32, 33, 63, 64, 65, 0xf8, 0xf0, 0xc0, 0xe0, 0xdf, 0xbf,
};

uint64_t random_next(Random *r)
{
    uint64_t x = r->state;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    r->state = x;
    return x * 0x2545f4914f6cdd1d;
}

static uint64_t below(Random *r, uint64_t n)
{
    return random_next(r) % n;
}

/* A number of the format near 1: `frac` fraction bits, exponent bias `bias`, exponents within `range` of it. */
static uint64_t near_one(Random *r, unsigned bits, unsigned frac, unsigned bias, unsigned range)
{
    uint64_t word = random_next(r), exp = bias - range + below(r, 2 * range);

    return (word >> 63) << (bits - 1) | exp << frac | (word & ((UINT64_C(1) << frac) - 1));
}

/* The order in which random numbers are drawn is part of the recorded cases: one a statement. */
static int64_t shifted(Random *r, unsigned bits)
{
    uint64_t v = random_next(r), n = below(r, bits);

    return bits == 16 ? (int16_t)v >> n : (int64_t)v >> n;
}

static uint64_t round_double(Random *r)
{
    uint64_t sign = below(r, 2), exp = below(r, 2047), frac = below(r, 16);

    return sign << 63 | exp << 52 | frac << 48;
}

enum { KINDS = 14 };

/* 64 bits of one of KINDS kinds. */
static uint64_t value(Random *r, unsigned kind)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < 64; i += 8) {
        if (kind == 0 || kind == 1)
            return doubles[below(r, COUNT(doubles))];
        else if ((kind == 2 || kind == 3) && i % 32 == 0)
            v |= (uint64_t)singles[below(r, COUNT(singles))] << i;
        else if ((kind == 4 || kind == 5) && i % 16 == 0)
            v |= (uint64_t)halves[below(r, COUNT(halves))] << i;
        else if (kind == 6)
            v |= (uint64_t)bytes[below(r, COUNT(bytes))] << i;
        else if (kind == 7)
            return near_one(r, 64, 52, 1023, 40);
        else if (kind == 8 && i % 32 == 0)
            v |= near_one(r, 32, 23, 127, 30) << i;
        else if (kind == 9 && i % 16 == 0)
            v |= near_one(r, 16, 10, 15, 8) << i;
        else if (kind == 10) /* small integers of either sign */
            return shifted(r, 64);
        else if (kind == 11 && i % 16 == 0)
            v |= (uint64_t)(uint16_t)shifted(r, 16) << i;
        else if (kind == 12) /* round doubles of any magnitude */
            return round_double(r);
        else if (kind == 13)
            return random_next(r);
    }
    return v;
}

void random_registers(Random *r, Case *c)
{
    unsigned kind = (unsigned)below(r, KINDS);
    bool repeat = below(r, 4) == 0;

    for (unsigned i = 0; i < 32; i++) {
        for (unsigned half = 0; half < 2; half++)
            c->v[i][half] = value(r, below(r, 4) ? kind : (unsigned)below(r, KINDS));
        if (repeat)
            c->v[i][1] = c->v[i][0];
    }
    for (unsigned i = 0; i < CASE_XREGS; i++)
        c->x[i] = value(r, (unsigned)below(r, KINDS));
    c->fpcr = below(r, 2) ? (uint32_t)below(r, 4) << 22 : 0;
    if (below(r, 4) == 0)
        c->fpcr |= (uint32_t)below(r, 8) << 24;
    if (below(r, 8) == 0)
        c->fpcr |= 1u << 19;
    c->fpsr = below(r, 8) ? 0 : 1u << 27;
    c->nzcv = (uint32_t)below(r, 16) << 28;
    c->status = CASE_OK;
}

/* Field [lsb, lsb + 5) of w: one of `limit` low registers, or 31. */
static uint32_t pick_register(Random *r, uint32_t w, unsigned lsb, unsigned limit)
{
    uint32_t n = below(r, 16) ? (uint32_t)below(r, limit) : 31;

    return (w & ~(31u << lsb)) | n << lsb;
}

uint32_t random_word(Random *r, const Pattern *p, bool few)
{
    uint32_t w = (uint32_t)random_next(r);

    w = pick_register(r, w, 0, few ? 4 : 16);
    w = pick_register(r, w, 5, few ? 4 : 16);
    if (few)
        w = pick_register(r, w, 16, 4);
    if (below(r, 6) == 0 && (w >> 16 & 31) < CASE_XREGS)
        w = (w & ~31u) | (w >> 16 & 31);
    return p->value | (w & ~p->mask);
}

Pattern *patterns_read(const char *path, size_t *count)
{
    FILE *f = fopen(path, "r");
    size_t n = 0, cap = 256;
    Pattern *list = malloc(cap * sizeof *list);

    if (!f || !list) {
        perror(path);
        exit(2);
    }
    while (fscanf(f, "%47s %x %x", list[n].name, &list[n].mask, &list[n].value) == 3) {
        if (++n == cap)
            list = realloc(list, (cap *= 2) * sizeof *list);
    }
    fclose(f);
    *count = n;
    return list;
}
