/* Making the initial state of a case, its slot of code, and the digest of memory: the same in every program that runs cases. */
#ifndef TESTS_RAND_STATE_H
#define TESTS_RAND_STATE_H

#include "rand_case.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- initial state --------------------------------------------------------------------------------------------------------- */

static inline uint64_t rnd(uint64_t *s)
{
    uint64_t z = *s += 0x9e3779b97f4a7c15;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static inline uint64_t rnd_int(uint64_t *s)
{
    static const uint64_t special[] = {0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff,
                                       0x100000000, 0x7fffffffffffffff, 0x8000000000000000, UINT64_MAX};
    uint64_t kind = rnd(s), v = rnd(s);

    switch (kind & 7) {
    case 0: case 1: return special[v & 15];
    case 2: return v & 127;
    case 3: return -(v & 127);
    case 4: return v >> (kind >> 8 & 63);
    case 5: return (uint64_t)((int64_t)v >> (kind >> 8 & 63));
    default: return v;
    }
}

/* A float of `ebits` and `fbits`, rich in the values where rules differ. */
static inline uint64_t rnd_float(uint64_t *s, int ebits, int fbits)
{
    uint64_t kind = rnd(s), v = rnd(s), ones = (1ull << ebits) - 1, fmask = (1ull << fbits) - 1;
    uint64_t exp = v >> 3 & ones, frac = rnd(s) & fmask, bias = ones >> 1;

    switch (kind & 15) {
    case 0: exp = 0; break;
    case 1: exp = ones; break;
    case 2: exp = 0, frac = 0; break;
    case 3: exp = ones, frac = 0; break;
    case 4: exp = 1 + (v & 3); break;
    case 5: exp = ones - 1 - (v & 3); break;
    case 6: case 7: case 8: exp = bias - 4 + (v & 7); break;
    case 9: exp = bias + (v & 63); break;
    case 10: exp = bias / 2 + (v & 7); break;
    }
    exp &= ones;
    switch (kind >> 4 & 3) {
    case 0: frac &= ~(fmask >> 4); break;
    case 1: frac = kind & 64 ? 0 : fmask; break;
    }
    return (v & 1) << (ebits + fbits) | exp << fbits | frac;
}

static inline void rnd_vector(uint64_t *s, uint64_t out[2])
{
    uint64_t kind = rnd(s);

    for (int i = 0; i < 2; i++) {
        switch (kind & 7) {
        case 0: case 1: out[i] = rnd_float(s, 11, 52); break;
        case 2: case 3:
            out[i] = rnd_float(s, 8, 23);
            out[i] |= rnd_float(s, 8, 23) << 32;
            break;
        case 4: case 5:
            out[i] = 0;
            for (int k = 0; k < 64; k += 16)
                out[i] |= (kind & 8 ? rnd_float(s, 5, 10) : rnd_float(s, 8, 7)) << k;
            break;
        case 6: out[i] = rnd_int(s); break;
        default:
            out[i] = 0;
            for (int k = 0; k < 64; k += 8)
                out[i] |= (rnd_int(s) & 255) << k;
        }
    }
}

static inline uint64_t *scratch(void)
{
    return (uint64_t *)(RAND_MEM - RAND_MEM_WINDOW);
}

static inline void fill_state(const RandCase *c, RandState *st)
{
    uint64_t s = c->seed, r = rnd(&s);

    memset(st, 0, sizeof *st);
    for (int i = 0; i < 30; i++)
        st->x[i] = rnd_int(&s);
    for (int i = 0; i < 32; i++)
        rnd_vector(&s, st->v[i]);
    st->nzcv = (uint32_t)(r & 15) << 28;
    st->fpcr = c->fpcr;
    st->fpsr = r & 0x70 ? 0 : (uint32_t)rnd(&s) & 0x0800009f;
    st->x[24] = RAND_MEM | (r >> 8 & 255) << 56;  /* tagged */
    st->x[25] = 0x100 + (r >> 16 & 0xff);         /* faults */
    st->x[26] = RAND_MEM + (r >> 24 & 0xff);      /* unaligned */
    st->x[27] = (uint64_t)((int64_t)(r << 24) >> 57); /* a small index */
    st->x[28] = RAND_MEM;                         /* stays aligned: no write-back changes it */
    st->x[23] = RAND_MEM + (r >> 48 & 0xf0);
    st->sp = RAND_MEM + (r >> 40 & 0xf0);
    for (int i = 0; i < 2 * RAND_MEM_WINDOW / 8; i++)
        scratch()[i] = s += 0x9e3779b97f4a7c15;
}

static inline uint64_t digest(void)
{
    uint64_t h = 0;

    for (int i = 0; i < 2 * RAND_MEM_WINDOW / 8; i++)
        h = (h ^ scratch()[i]) * 0x9e3779b97f4a7c15, h ^= h >> 29;
    return h;
}

/* --- code: load of x30, up to 28 instructions, a branch to RAND_EXIT, and the value of x30 --------------------------------- */

static uint32_t *const slots = (uint32_t *)(RAND_AREA + 4096);

static inline uint32_t *slot_code(int slot)
{
    return slots + slot * RAND_SLOT_WORDS + 1; /* after the load of x30 */
}

static inline uint32_t branch(const uint32_t *from, uint64_t to)
{
    return 0x14000000 | (uint32_t)((to - (uint64_t)from) >> 2 & 0x3ffffff);
}

static inline void write_slot(int slot, const RandCase *c)
{
    uint32_t *code = slot_code(slot), *p = code;
    uint64_t s = c->seed ^ 0x30, x30 = rnd_int(&s);

    code[-1] = 0x58000000 | (RAND_SLOT_WORDS - 2) << 5 | 30; /* ldr x30, end of the slot */
    memset(code, 0, (RAND_SLOT_WORDS - 1) * 4);
    for (uint32_t i = 0; i < c->n; i++)
        *p++ = c->code[i];
    *p = branch(p, RAND_EXIT);
    memcpy(code - 1 + RAND_SLOT_WORDS - 2, &x30, 8);
}

/* --- files ------------------------------------------------------------------------------------------------------------------------- */

static inline void put(int fd, const void *p, size_t n)
{
    for (const char *s = p; n;) {
        ssize_t k = write(fd, s, n);
        if (k <= 0)
            _exit(4);
        s += k, n -= (size_t)k;
    }
}

static inline RandCase *read_cases(const char *path, size_t *n)
{
    int fd = open(path, O_RDONLY);
    off_t size = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
    RandCase *c = size < 0 ? NULL : malloc((size_t)size + 1);

    if (!c || pread(fd, c, (size_t)size, 0) != size) {
        fprintf(stderr, "cannot read %s\n", path);
        _exit(2);
    }
    close(fd);
    *n = (size_t)size / sizeof *c;
    return c;
}

#endif
