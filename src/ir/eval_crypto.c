/*
 * The meaning of the cryptographic operations: AES rounds (FIPS 197) and steps of SHA-1, SHA-256, SHA-512 (FIPS 180-4), cut
 * as Arm's instructions cut them. Plain C: no table lookup here is meant to be constant-time.
 */
#include "ir/eval.h"

/* The S-box: multiplicative inverse in GF(2^8) modulo x^8+x^4+x^3+x+1, then the affine map; and its inverse. */
static const uint8_t sbox[256] = {
    0x63, 0x7c, 0x77, 0x7b, 0xf2, 0x6b, 0x6f, 0xc5, 0x30, 0x01, 0x67, 0x2b, 0xfe, 0xd7, 0xab, 0x76,
    0xca, 0x82, 0xc9, 0x7d, 0xfa, 0x59, 0x47, 0xf0, 0xad, 0xd4, 0xa2, 0xaf, 0x9c, 0xa4, 0x72, 0xc0,
    0xb7, 0xfd, 0x93, 0x26, 0x36, 0x3f, 0xf7, 0xcc, 0x34, 0xa5, 0xe5, 0xf1, 0x71, 0xd8, 0x31, 0x15,
    0x04, 0xc7, 0x23, 0xc3, 0x18, 0x96, 0x05, 0x9a, 0x07, 0x12, 0x80, 0xe2, 0xeb, 0x27, 0xb2, 0x75,
    0x09, 0x83, 0x2c, 0x1a, 0x1b, 0x6e, 0x5a, 0xa0, 0x52, 0x3b, 0xd6, 0xb3, 0x29, 0xe3, 0x2f, 0x84,
    0x53, 0xd1, 0x00, 0xed, 0x20, 0xfc, 0xb1, 0x5b, 0x6a, 0xcb, 0xbe, 0x39, 0x4a, 0x4c, 0x58, 0xcf,
    0xd0, 0xef, 0xaa, 0xfb, 0x43, 0x4d, 0x33, 0x85, 0x45, 0xf9, 0x02, 0x7f, 0x50, 0x3c, 0x9f, 0xa8,
    0x51, 0xa3, 0x40, 0x8f, 0x92, 0x9d, 0x38, 0xf5, 0xbc, 0xb6, 0xda, 0x21, 0x10, 0xff, 0xf3, 0xd2,
    0xcd, 0x0c, 0x13, 0xec, 0x5f, 0x97, 0x44, 0x17, 0xc4, 0xa7, 0x7e, 0x3d, 0x64, 0x5d, 0x19, 0x73,
    0x60, 0x81, 0x4f, 0xdc, 0x22, 0x2a, 0x90, 0x88, 0x46, 0xee, 0xb8, 0x14, 0xde, 0x5e, 0x0b, 0xdb,
    0xe0, 0x32, 0x3a, 0x0a, 0x49, 0x06, 0x24, 0x5c, 0xc2, 0xd3, 0xac, 0x62, 0x91, 0x95, 0xe4, 0x79,
    0xe7, 0xc8, 0x37, 0x6d, 0x8d, 0xd5, 0x4e, 0xa9, 0x6c, 0x56, 0xf4, 0xea, 0x65, 0x7a, 0xae, 0x08,
    0xba, 0x78, 0x25, 0x2e, 0x1c, 0xa6, 0xb4, 0xc6, 0xe8, 0xdd, 0x74, 0x1f, 0x4b, 0xbd, 0x8b, 0x8a,
    0x70, 0x3e, 0xb5, 0x66, 0x48, 0x03, 0xf6, 0x0e, 0x61, 0x35, 0x57, 0xb9, 0x86, 0xc1, 0x1d, 0x9e,
    0xe1, 0xf8, 0x98, 0x11, 0x69, 0xd9, 0x8e, 0x94, 0x9b, 0x1e, 0x87, 0xe9, 0xce, 0x55, 0x28, 0xdf,
    0x8c, 0xa1, 0x89, 0x0d, 0xbf, 0xe6, 0x42, 0x68, 0x41, 0x99, 0x2d, 0x0f, 0xb0, 0x54, 0xbb, 0x16,
};

static const uint8_t inv_sbox[256] = {
    0x52, 0x09, 0x6a, 0xd5, 0x30, 0x36, 0xa5, 0x38, 0xbf, 0x40, 0xa3, 0x9e, 0x81, 0xf3, 0xd7, 0xfb,
    0x7c, 0xe3, 0x39, 0x82, 0x9b, 0x2f, 0xff, 0x87, 0x34, 0x8e, 0x43, 0x44, 0xc4, 0xde, 0xe9, 0xcb,
    0x54, 0x7b, 0x94, 0x32, 0xa6, 0xc2, 0x23, 0x3d, 0xee, 0x4c, 0x95, 0x0b, 0x42, 0xfa, 0xc3, 0x4e,
    0x08, 0x2e, 0xa1, 0x66, 0x28, 0xd9, 0x24, 0xb2, 0x76, 0x5b, 0xa2, 0x49, 0x6d, 0x8b, 0xd1, 0x25,
    0x72, 0xf8, 0xf6, 0x64, 0x86, 0x68, 0x98, 0x16, 0xd4, 0xa4, 0x5c, 0xcc, 0x5d, 0x65, 0xb6, 0x92,
    0x6c, 0x70, 0x48, 0x50, 0xfd, 0xed, 0xb9, 0xda, 0x5e, 0x15, 0x46, 0x57, 0xa7, 0x8d, 0x9d, 0x84,
    0x90, 0xd8, 0xab, 0x00, 0x8c, 0xbc, 0xd3, 0x0a, 0xf7, 0xe4, 0x58, 0x05, 0xb8, 0xb3, 0x45, 0x06,
    0xd0, 0x2c, 0x1e, 0x8f, 0xca, 0x3f, 0x0f, 0x02, 0xc1, 0xaf, 0xbd, 0x03, 0x01, 0x13, 0x8a, 0x6b,
    0x3a, 0x91, 0x11, 0x41, 0x4f, 0x67, 0xdc, 0xea, 0x97, 0xf2, 0xcf, 0xce, 0xf0, 0xb4, 0xe6, 0x73,
    0x96, 0xac, 0x74, 0x22, 0xe7, 0xad, 0x35, 0x85, 0xe2, 0xf9, 0x37, 0xe8, 0x1c, 0x75, 0xdf, 0x6e,
    0x47, 0xf1, 0x1a, 0x71, 0x1d, 0x29, 0xc5, 0x89, 0x6f, 0xb7, 0x62, 0x0e, 0xaa, 0x18, 0xbe, 0x1b,
    0xfc, 0x56, 0x3e, 0x4b, 0xc6, 0xd2, 0x79, 0x20, 0x9a, 0xdb, 0xc0, 0xfe, 0x78, 0xcd, 0x5a, 0xf4,
    0x1f, 0xdd, 0xa8, 0x33, 0x88, 0x07, 0xc7, 0x31, 0xb1, 0x12, 0x10, 0x59, 0x27, 0x80, 0xec, 0x5f,
    0x60, 0x51, 0x7f, 0xa9, 0x19, 0xb5, 0x4a, 0x0d, 0x2d, 0xe5, 0x7a, 0x9f, 0x93, 0xc9, 0x9c, 0xef,
    0xa0, 0xe0, 0x3b, 0x4d, 0xae, 0x2a, 0xf5, 0xb0, 0xc8, 0xeb, 0xbb, 0x3c, 0x83, 0x53, 0x99, 0x61,
    0x17, 0x2b, 0x04, 0x7e, 0xba, 0x77, 0xd6, 0x26, 0xe1, 0x69, 0x14, 0x63, 0x55, 0x21, 0x0c, 0x7d,
};

static uint32_t rol32(uint32_t x, unsigned n)
{
    return x << n | x >> (32 - n);
}

static uint32_t ror32(uint32_t x, unsigned n)
{
    return x >> n | x << (32 - n);
}

static uint64_t ror64(uint64_t x, unsigned n)
{
    return x >> n | x << (64 - n);
}

/* --- AES: byte 4c + r is row r of column c ---------------------------------------------------------------------------- */

static void aes_sub_shift(const IrVal *a, bool inverse, IrVal *out)
{
    for (unsigned c = 0; c < 4; c++) {
        for (unsigned r = 0; r < 4; r++) {
            unsigned from = inverse ? c - r : c + r;
            uint8_t byte = a->u8[4 * (from & 3) + r];
            out->u8[4 * c + r] = inverse ? inv_sbox[byte] : sbox[byte];
        }
    }
}

/* Product in the field of the S-box. */
static uint8_t gf_mul(uint8_t a, uint8_t b)
{
    uint8_t r = 0;

    for (; b; b >>= 1) {
        if (b & 1)
            r ^= a;
        a = (uint8_t)(a << 1 ^ (a >> 7) * 0x1b);
    }
    return r;
}

/* Each column times a circulant matrix whose first row is m. */
static void aes_mix(const IrVal *a, const uint8_t m[4], IrVal *out)
{
    for (unsigned c = 0; c < 4; c++) {
        for (unsigned r = 0; r < 4; r++) {
            uint8_t sum = 0;
            for (unsigned k = 0; k < 4; k++)
                sum ^= gf_mul(a->u8[4 * c + k], m[(k - r) & 3]);
            out->u8[4 * c + r] = sum;
        }
    }
}

/* --- SHA-1 and SHA-256 ---------------------------------------------------------------------------------------------------- */

static uint32_t choose(uint32_t x, uint32_t y, uint32_t z)
{
    return (x & y) | (~x & z);
}

static uint32_t majority(uint32_t x, uint32_t y, uint32_t z)
{
    return (x & y) | (x & z) | (y & z);
}

static void sha1_rounds(const IrVal *abcd, uint32_t e, const IrVal *w, unsigned kind, IrVal *out)
{
    uint32_t a = abcd->u32[0], b = abcd->u32[1], c = abcd->u32[2], d = abcd->u32[3];

    for (unsigned i = 0; i < 4; i++) {
        uint32_t f = kind == 0 ? choose(b, c, d) : kind == 1 ? b ^ c ^ d : majority(b, c, d);
        uint32_t t = e + rol32(a, 5) + f + w->u32[i];
        e = d;
        d = c;
        c = rol32(b, 30);
        b = a;
        a = t;
    }
    out->u32[0] = a;
    out->u32[1] = b;
    out->u32[2] = c;
    out->u32[3] = d;
}

static void sha1_schedule(const IrVal arg[3], unsigned part, IrVal *out)
{
    const IrVal *a = &arg[0], *b = &arg[1], *c = &arg[2];

    if (part == 0) {
        out->u64[0] = a->u64[1] ^ a->u64[0] ^ c->u64[0];
        out->u64[1] = b->u64[0] ^ a->u64[1] ^ c->u64[1];
        return;
    }
    uint32_t first = a->u32[0] ^ b->u32[1];
    for (unsigned i = 0; i < 3; i++)
        out->u32[i] = rol32(a->u32[i] ^ b->u32[i + 1], 1);
    out->u32[3] = rol32(a->u32[3], 1) ^ rol32(first, 2);
}

/* Four rounds; x is a, b, c, d and y is e, f, g, h, lowest lane first. Gives x, or y when `second`. */
static void sha256_rounds(const IrVal *abcd, const IrVal *efgh, const IrVal *w, bool second, IrVal *out)
{
    uint32_t s[8];

    memcpy(s, abcd, 16);
    memcpy(s + 4, efgh, 16);
    for (unsigned i = 0; i < 4; i++) {
        uint32_t sigma1 = ror32(s[4], 6) ^ ror32(s[4], 11) ^ ror32(s[4], 25);
        uint32_t sigma0 = ror32(s[0], 2) ^ ror32(s[0], 13) ^ ror32(s[0], 22);
        uint32_t t = s[7] + sigma1 + choose(s[4], s[5], s[6]) + w->u32[i];
        uint32_t head = t + sigma0 + majority(s[0], s[1], s[2]);
        memmove(s + 1, s, 28);
        s[4] += t;
        s[0] = head;
    }
    memcpy(out, second ? s + 4 : s, 16);
}

static void sha256_schedule(const IrVal arg[3], unsigned part, IrVal *out)
{
    const IrVal *d = &arg[0], *n = &arg[1], *m = &arg[2];

    for (unsigned i = 0; i < 4; i++) {
        if (part == 0) {
            uint32_t x = i < 3 ? d->u32[i + 1] : n->u32[0];
            out->u32[i] = d->u32[i] + (ror32(x, 7) ^ ror32(x, 18) ^ x >> 3);
        } else {
            uint32_t x = i < 2 ? m->u32[2 + i] : out->u32[i - 2];
            uint32_t past = i < 3 ? n->u32[i + 1] : m->u32[0];
            out->u32[i] = d->u32[i] + past + (ror32(x, 17) ^ ror32(x, 19) ^ x >> 10);
        }
    }
}

/* --- SHA-512: two rounds in two instructions ---------------------------------------------------------------------------------- */

static uint64_t choose64(uint64_t x, uint64_t y, uint64_t z)
{
    return (x & y) | (~x & z);
}

static uint64_t majority64(uint64_t x, uint64_t y, uint64_t z)
{
    return (x & y) | (x & z) | (y & z);
}

static uint64_t big_sigma1(uint64_t x)
{
    return ror64(x, 14) ^ ror64(x, 18) ^ ror64(x, 41);
}

static uint64_t big_sigma0(uint64_t x)
{
    return ror64(x, 28) ^ ror64(x, 34) ^ ror64(x, 39);
}

static void sha512_rounds(const IrVal arg[3], unsigned part, IrVal *out)
{
    const IrVal *d = &arg[0], *n = &arg[1], *m = &arg[2];

    if (part == 0) {
        uint64_t hi = choose64(m->u64[1], n->u64[0], n->u64[1]) + big_sigma1(m->u64[1]) + d->u64[1];
        uint64_t e = hi + m->u64[0];
        out->u64[0] = choose64(e, m->u64[1], n->u64[0]) + big_sigma1(e) + d->u64[0];
        out->u64[1] = hi;
    } else {
        uint64_t hi = majority64(n->u64[0], m->u64[1], m->u64[0]) + big_sigma0(m->u64[0]) + d->u64[1];
        out->u64[0] = majority64(hi, m->u64[0], m->u64[1]) + big_sigma0(hi) + d->u64[0];
        out->u64[1] = hi;
    }
}

static void sha512_schedule(const IrVal arg[3], unsigned part, IrVal *out)
{
    const IrVal *d = &arg[0], *n = &arg[1], *m = &arg[2];

    for (unsigned i = 0; i < 2; i++) {
        if (part == 0) {
            uint64_t x = i == 0 ? d->u64[1] : n->u64[0];
            out->u64[i] = d->u64[i] + (ror64(x, 1) ^ ror64(x, 8) ^ x >> 7);
        } else {
            uint64_t x = n->u64[i];
            out->u64[i] = d->u64[i] + m->u64[i] + (ror64(x, 19) ^ ror64(x, 61) ^ x >> 6);
        }
    }
}

bool ir_eval_crypto(const IrInsn *op, const IrVal arg[3], IrVal *out)
{
    static const uint8_t mix[4] = {2, 3, 1, 1}, inv_mix[4] = {14, 11, 13, 9};

    switch (op->op) {
    case IR_AESENC: case IR_AESDEC: {
        IrVal t;
        aes_sub_shift(&arg[0], op->op == IR_AESDEC, &t);
        if (op->aux)
            aes_mix(&t, op->op == IR_AESENC ? mix : inv_mix, out);
        else
            *out = t;
        break;
    }
    case IR_AESMC: aes_mix(&arg[0], mix, out); break;
    case IR_AESIMC: aes_mix(&arg[0], inv_mix, out); break;
    case IR_SHA1: sha1_rounds(&arg[0], arg[1].u32[0], &arg[2], op->aux, out); break;
    case IR_SHA1SU: sha1_schedule(arg, op->aux, out); break;
    case IR_SHA256H:
        if (op->aux == 0)
            sha256_rounds(&arg[0], &arg[1], &arg[2], false, out);
        else
            sha256_rounds(&arg[1], &arg[0], &arg[2], true, out);
        break;
    case IR_SHA256SU: sha256_schedule(arg, op->aux, out); break;
    case IR_SHA512H: sha512_rounds(arg, op->aux, out); break;
    case IR_SHA512SU: sha512_schedule(arg, op->aux, out); break;
    default: return false;
    }
    return true;
}
