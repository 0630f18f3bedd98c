/*
 * QARMA5 and the codes made of it: see pauth.h.
 *
 * The cipher's state is 16 cells of 4 bits, cell 0 in bits 63:60, in a 4 by 4 matrix row by row. Five forward rounds, a
 * reflector, five backward rounds that undo the tweak's schedule.
 */
#include "guest/aarch64/pauth.h"

#include "guest/aarch64/helpers.h"
#include "guest/aarch64/lift.h"

#include <string.h>

enum { ROUNDS = 4, CELLS = 16 };

static const uint64_t alpha = 0xc0ac29b7c97c50dd;
static const uint64_t round_const[ROUNDS + 1] = {
    0, 0x13198a2e03707344, 0xa4093822299f31d0, 0x082efa98ec4e6c89, 0x452821e638d01377,
};

/* The S-box and its inverse on two cells at once: row high cell, column low cell. */
#define SBOX_ROW(h, a, b, c, d, e, f, g, i, j, k, l, m, n, o, p, q)                                                         \
    h << 4 | a, h << 4 | b, h << 4 | c, h << 4 | d, h << 4 | e, h << 4 | f, h << 4 | g, h << 4 | i, h << 4 | j, h << 4 | k, \
        h << 4 | l, h << 4 | m, h << 4 | n, h << 4 | o, h << 4 | p, h << 4 | q
#define SBOX_FORWARD(h) SBOX_ROW(h, 11, 6, 8, 15, 12, 0, 9, 14, 3, 7, 4, 5, 13, 2, 1, 10)
#define SBOX_INVERSE(h) SBOX_ROW(h, 5, 14, 13, 8, 10, 11, 1, 9, 2, 6, 15, 0, 4, 12, 7, 3)

static const uint8_t sbox[256] = {
    SBOX_FORWARD(11), SBOX_FORWARD(6), SBOX_FORWARD(8), SBOX_FORWARD(15),
    SBOX_FORWARD(12), SBOX_FORWARD(0), SBOX_FORWARD(9), SBOX_FORWARD(14),
    SBOX_FORWARD(3), SBOX_FORWARD(7), SBOX_FORWARD(4), SBOX_FORWARD(5),
    SBOX_FORWARD(13), SBOX_FORWARD(2), SBOX_FORWARD(1), SBOX_FORWARD(10),
};
static const uint8_t sbox_inv[256] = {
    SBOX_INVERSE(5), SBOX_INVERSE(14), SBOX_INVERSE(13), SBOX_INVERSE(8),
    SBOX_INVERSE(10), SBOX_INVERSE(11), SBOX_INVERSE(1), SBOX_INVERSE(9),
    SBOX_INVERSE(2), SBOX_INVERSE(6), SBOX_INVERSE(15), SBOX_INVERSE(0),
    SBOX_INVERSE(4), SBOX_INVERSE(12), SBOX_INVERSE(7), SBOX_INVERSE(3),
};

/* Where each cell of the result comes from. */
static const uint8_t shuffle[CELLS] = {0, 11, 6, 13, 10, 1, 12, 7, 5, 14, 3, 8, 15, 4, 9, 2};
static const uint8_t shuffle_inv[CELLS] = {0, 5, 15, 10, 13, 8, 2, 7, 11, 14, 4, 1, 6, 3, 9, 12};
static const uint8_t tweak_shuffle[CELLS] = {6, 5, 14, 15, 0, 1, 2, 3, 7, 12, 13, 4, 8, 9, 10, 11};
static const uint8_t tweak_shuffle_inv[CELLS] = {4, 5, 6, 7, 11, 1, 0, 8, 12, 13, 14, 15, 9, 10, 2, 3};
/* Cells of the tweak that its feedback register steps: 0, 1, 3, 4, 8, 11, 13. */
static const uint64_t tweak_cells = 0xff0ff000f00f0f00;

/* Inlined with constant tables and unrolled, this is shifts and masks without dependency: what the cipher's time is. */
__attribute__((always_inline)) static inline uint64_t permute(uint64_t x, const uint8_t from[CELLS])
{
    uint64_t r = 0;
#pragma GCC unroll 16
    for (unsigned i = 0; i < CELLS; i++)
        r |= (x >> (60 - 4 * from[i]) & 15) << (60 - 4 * i);
    return r;
}

__attribute__((always_inline)) static inline uint64_t substitute(uint64_t x, const uint8_t box[256])
{
    uint64_t r = 0;
#pragma GCC unroll 8
    for (unsigned i = 0; i < 64; i += 8)
        r |= (uint64_t)box[x >> i & 255] << i;
    return r;
}

static uint64_t rotate_rows(uint64_t x, unsigned rows)
{
    return x << 16 * rows | x >> (64 - 16 * rows);
}

/* Each cell rotated left by one bit; by two bits. */
static uint64_t cells_rot1(uint64_t x)
{
    return (x << 1 & 0xeeeeeeeeeeeeeeee) | (x >> 3 & 0x1111111111111111);
}

static uint64_t cells_rot2(uint64_t x)
{
    return (x << 2 & 0xcccccccccccccccc) | (x >> 2 & 0x3333333333333333);
}

/* MixColumns by circ(0, rot1, rot2, rot1): an involution. */
static uint64_t mix(uint64_t x)
{
    return cells_rot1(rotate_rows(x, 1) ^ rotate_rows(x, 3)) ^ cells_rot2(rotate_rows(x, 2));
}

/* In each stepped cell, bits 3 2 1 0 become (0 ^ 1) 3 2 1. */
static uint64_t tweak_next(uint64_t t)
{
    t = permute(t, tweak_shuffle);
    uint64_t stepped = (t >> 1 & 0x7777777777777777) | ((t ^ t >> 1) & 0x1111111111111111) << 3;
    return (stepped & tweak_cells) | (t & ~tweak_cells);
}

/* ... and back: 2 1 0 (3 ^ 2 of before, which is 3 ^ 0 of now). */
static uint64_t tweak_back(uint64_t t)
{
    uint64_t stepped = (t << 1 & 0xeeeeeeeeeeeeeeee) | ((t ^ t >> 3) & 0x1111111111111111);
    return permute((stepped & tweak_cells) | (t & ~tweak_cells), tweak_shuffle_inv);
}

uint64_t a64_qarma5(uint64_t text, uint64_t tweak, A64Key key)
{
    uint64_t k0 = key.hi, k1 = key.lo, k0_ortho = k0 << 63 | (k0 >> 1 ^ k0 >> 63);
    uint64_t x = text ^ k0;
    for (unsigned i = 0; i <= ROUNDS; i++) {
        x ^= k1 ^ tweak ^ round_const[i];
        if (i > 0)
            x = mix(permute(x, shuffle));
        x = substitute(x, sbox);
        tweak = tweak_next(tweak);
    }
    x ^= k0_ortho ^ tweak;
    x = substitute(mix(permute(x, shuffle)), sbox);
    x = mix(permute(x, shuffle)) ^ k1;
    x = substitute(permute(x, shuffle_inv), sbox_inv);
    x = permute(mix(x), shuffle_inv) ^ k0 ^ tweak;
    for (unsigned i = 0; i <= ROUNDS; i++) {
        x = substitute(x, sbox_inv);
        if (i < ROUNDS)
            x = permute(mix(x), shuffle_inv);
        tweak = tweak_back(tweak);
        x ^= round_const[ROUNDS - i] ^ k1 ^ tweak ^ alpha;
    }
    return x ^ k0_ortho;
}

/* Where the code is in a pointer, and the bits that an error changes. */
typedef struct Layout {
    uint64_t code;       /* bits of the code, bit 55 not included */
    unsigned corrupt;    /* bit inverted when a pointer that was not canonical is signed */
    unsigned error;      /* lowest bit of the error code */
} Layout;

static Layout layout(uint64_t ptr)
{
    if (ptr >> 55 & 1)
        return (Layout){.code = A64_PAC_UPPER & ~(1ull << 55), .corrupt = 62, .error = 61};
    return (Layout){.code = A64_PAC_LOWER & ~(1ull << 55), .corrupt = 54, .error = 53};
}

/* The pointer without code. */
static uint64_t canonical(uint64_t ptr)
{
    return ptr >> 55 & 1 ? ptr | A64_PAC_UPPER : ptr & ~A64_PAC_LOWER;
}

/* a64_qarma5 through the thread's memos. They begin as zeros, which is not the code of zeros under a zero key. */
static uint64_t code_of(A64State *s, uint64_t text, uint64_t tweak, A64Key key)
{
    A64PacMemo *m = &s->pac_memo[(text >> 2 ^ tweak >> 4 ^ tweak >> 8) % A64_PAC_MEMOS];
    bool empty = m->code == 0;
    if (empty || m->text != text || m->tweak != tweak || m->key.lo != key.lo || m->key.hi != key.hi)
        *m = (A64PacMemo){text, tweak, key, a64_qarma5(text, tweak, key)};
    return m->code;
}

uint64_t a64_pac_add(A64State *s, uint64_t ptr, uint64_t modifier, A64Key key)
{
    Layout at = layout(ptr);
    uint64_t ext = canonical(ptr), pac = code_of(s, ext, modifier, key), field = ptr & (at.code | 1ull << 55);
    if (field != 0 && field != (at.code | 1ull << 55)) /* must not authenticate */
        pac ^= 1ull << at.corrupt;
    return (ext & ~at.code) | (pac & at.code);
}

uint64_t a64_pac_auth(A64State *s, uint64_t ptr, uint64_t modifier, A64Key key, bool b)
{
    Layout at = layout(ptr);
    uint64_t ext = canonical(ptr), pac = code_of(s, ext, modifier, key);
    if (((ptr ^ pac) & at.code) == 0)
        return ext;
    return (ext & ~(3ull << at.error)) | (b ? 2ull : 1ull) << at.error;
}

void a64_set_keys(IrCpu *cpu, const uint8_t random[80])
{
    A64State *s = a64_state(cpu);
    A64Key *const key[5] = {&s->key_ia, &s->key_ib, &s->key_da, &s->key_db, &s->key_ga};
    for (unsigned i = 0; i < 5; i++)
        memcpy(key[i], random + i * sizeof(A64Key), sizeof(A64Key));
}

/* --- helpers: pointer, modifier, key number --- */

static A64Key key_of(IrCpu *cpu, unsigned id)
{
    const A64State *s = a64_state(cpu);
    const A64Key key[5] = {s->key_ia, s->key_ib, s->key_da, s->key_db, s->key_ga};
    return key[id];
}

uint64_t a64_help_pac(IrCpu *cpu, IrArgs *args)
{
    uint64_t r = a64_pac_add(a64_state(cpu), args->arg[0].u64[0], args->arg[1].u64[0], key_of(cpu, args->arg[2].u32[0]));
    args->ret = (IrVal){{r, 0}};
    return r;
}

uint64_t a64_help_aut(IrCpu *cpu, IrArgs *args)
{
    unsigned id = args->arg[2].u32[0];
    uint64_t r = a64_pac_auth(a64_state(cpu), args->arg[0].u64[0], args->arg[1].u64[0], key_of(cpu, id), id & 1);
    args->ret = (IrVal){{r, 0}};
    return r;
}

uint64_t a64_help_pacga(IrCpu *cpu, IrArgs *args)
{
    uint64_t r = a64_qarma5(args->arg[0].u64[0], args->arg[1].u64[0], key_of(cpu, A64_KEY_GA)) & ~0xffffffffull;
    args->ret = (IrVal){{r, 0}};
    return r;
}
