/* The cryptographic operations, put together to whole algorithms, against the standards' examples. */
#include "ir/eval.h"
#include "test.h"

static IrVal op3(IrOp op, unsigned aux, IrVal a, IrVal b, IrVal c)
{
    IrInsn i = {.op = (uint16_t)op, .type = IR_V128, .aux = (uint8_t)aux};
    IrVal arg[3] = {a, b, c}, out;
    FpEnv fp = {0};

    ir_eval(&i, arg, &fp, &out);
    return out;
}

static IrVal add32(IrVal a, const uint32_t *k)
{
    for (int i = 0; i < 4; i++)
        a.u32[i] += k[i];
    return a;
}

/* The one padded block of "abc": 32-bit or 64-bit words. */
static const uint32_t abc32[16] = {0x61626380, [15] = 24};

static bool sha1_abc(void)
{
    static const uint32_t key[4] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};
    static const uint32_t want[5] = {0xa9993e36, 0x4706816a, 0xba3e2571, 0x7850c26c, 0x9cd0d89d};
    static const uint32_t init[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    static const uint8_t kind[4] = {0, 1, 2, 1};
    IrVal w[20], abcd = {.u32 = {init[0], init[1], init[2], init[3]}}, e = {.u32 = {init[4]}}, zero = {{0, 0}};

    memcpy(w, abc32, 64);
    for (int i = 4; i < 20; i++)
        w[i] = op3(IR_SHA1SU, 1, op3(IR_SHA1SU, 0, w[i - 4], w[i - 3], w[i - 2]), w[i - 1], zero);
    for (int i = 0; i < 20; i++) {
        uint32_t k[4] = {key[i / 5], key[i / 5], key[i / 5], key[i / 5]};
        IrVal next = {.u32 = {abcd.u32[0] << 30 | abcd.u32[0] >> 2}};
        abcd = op3(IR_SHA1, kind[i / 5], abcd, e, add32(w[i], k));
        e = next;
    }
    for (int i = 0; i < 4; i++)
        if (abcd.u32[i] + init[i] != want[i])
            return false;
    return e.u32[0] + init[4] == want[4];
}

/* The round constants of SHA-2 are fractions of cube roots of primes, so they need no table. */
static unsigned nth_prime(unsigned n)
{
    for (unsigned p = 2;; p++) {
        unsigned d = 2;
        while (d * d <= p && p % d)
            d++;
        if (d * d > p && n-- == 0)
            return p;
    }
}

/* The first 64 bits of the fraction of the cube root of p, bit by bit. */
static uint64_t cube_root_fraction(unsigned p)
{
    unsigned whole = 1;
    uint64_t frac = 0;

    while ((whole + 1) * (whole + 1) * (whole + 1) <= p)
        whole++;
    for (int bit = 63; bit >= 0; bit--) {
        uint64_t t = frac | 1ull << bit;
        /* (whole + t / 2^64)^3 against p, in 32-bit limbs: the last three hold the integer part */
        uint32_t x[3] = {(uint32_t)t, (uint32_t)(t >> 32), whole}, sq[6] = {0}, cu[9] = {0};
        for (int i = 0; i < 3; i++) {
            uint64_t carry = 0;
            for (int j = 0; j < 3; j++) {
                uint64_t v = (uint64_t)x[i] * x[j] + sq[i + j] + carry;
                sq[i + j] = (uint32_t)v;
                carry = v >> 32;
            }
            sq[i + 3] = (uint32_t)carry;
        }
        for (int i = 0; i < 6; i++) {
            uint64_t carry = 0;
            for (int j = 0; j < 3; j++) {
                uint64_t v = (uint64_t)sq[i] * x[j] + cu[i + j] + carry;
                cu[i + j] = (uint32_t)v;
                carry = v >> 32;
            }
            if (i + 3 < 9)
                cu[i + 3] = (uint32_t)carry;
        }
        if (cu[6] < p)
            frac = t;
    }
    return frac;
}

static bool sha256_abc(void)
{
    static const uint32_t init[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab,
                                     0x5be0cd19};
    static const uint32_t want[8] = {0xba7816bf, 0x8f01cfea, 0x414140de, 0x5dae2223, 0xb00361a3, 0x96177a9c, 0xb410ff61,
                                     0xf20015ad};
    IrVal w[16], s[2];
    uint32_t got[8];

    memcpy(w, abc32, 64);
    memcpy(s, init, 32);
    for (int i = 4; i < 16; i++)
        w[i] = op3(IR_SHA256SU, 1, op3(IR_SHA256SU, 0, w[i - 4], w[i - 3], (IrVal){{0, 0}}), w[i - 2], w[i - 1]);
    for (int i = 0; i < 16; i++) {
        uint32_t k[4];
        for (int j = 0; j < 4; j++)
            k[j] = (uint32_t)(cube_root_fraction(nth_prime((unsigned)(4 * i + j))) >> 32);
        IrVal wk = add32(w[i], k), abcd = s[0];
        s[0] = op3(IR_SHA256H, 0, s[0], s[1], wk);
        s[1] = op3(IR_SHA256H, 1, s[1], abcd, wk);
    }
    memcpy(got, s, 32);
    for (int i = 0; i < 8; i++)
        if (got[i] + init[i] != want[i])
            return false;
    return true;
}

static IrVal pair(uint64_t lo, uint64_t hi)
{
    return (IrVal){{lo, hi}};
}

/* The rounds as the instructions want them: state in pairs ab, cd, ef, gh with the first of a pair in the low half. */
static bool sha512_abc(void)
{
    static const uint64_t init[8] = {0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
                                     0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179};
    static const uint64_t want[8] = {0xddaf35a193617aba, 0xcc417349ae204131, 0x12e6fa4e89a97ea2, 0x0a9eeee64b55d39a,
                                     0x2192992a274fc1a8, 0x36ba3c23a3feebbd, 0x454d4423643ce80e, 0x2a9ac94fa54ca49f};
    IrVal w[40] = {pair(0x6162638000000000, 0), [7] = pair(0, 24)}, ab, cd, ef, gh;

    for (int i = 8; i < 40; i++) {
        IrVal past = pair(w[i - 4].u64[1], w[i - 3].u64[0]);
        w[i] = op3(IR_SHA512SU, 1, op3(IR_SHA512SU, 0, w[i - 8], w[i - 7], past), w[i - 1], past);
    }
    ab = pair(init[0], init[1]), cd = pair(init[2], init[3]), ef = pair(init[4], init[5]), gh = pair(init[6], init[7]);
    for (int i = 0; i < 40; i++) {
        uint64_t k0 = cube_root_fraction(nth_prime((unsigned)(2 * i))), k1 = cube_root_fraction(nth_prime((unsigned)(2 * i + 1)));
        IrVal sum = pair(w[i].u64[1] + k1 + gh.u64[0], w[i].u64[0] + k0 + gh.u64[1]);
        IrVal t = op3(IR_SHA512H, 0, sum, pair(ef.u64[1], gh.u64[0]), pair(cd.u64[1], ef.u64[0]));
        gh = ef;
        ef = pair(cd.u64[0] + t.u64[0], cd.u64[1] + t.u64[1]);
        IrVal n = op3(IR_SHA512H, 1, t, cd, ab);
        cd = ab;
        ab = n;
    }
    return ab.u64[0] + init[0] == want[0] && ab.u64[1] + init[1] == want[1] && cd.u64[0] + init[2] == want[2] &&
           cd.u64[1] + init[3] == want[3] && ef.u64[0] + init[4] == want[4] && ef.u64[1] + init[5] == want[5] &&
           gh.u64[0] + init[6] == want[6] && gh.u64[1] + init[7] == want[7];
}

static IrVal xor(IrVal a, IrVal b)
{
    return pair(a.u64[0] ^ b.u64[0], a.u64[1] ^ b.u64[1]);
}

/* FIPS 197, appendix C.1: AES-128 both ways. */
static bool aes128(void)
{
    static const uint8_t cipher[16] = {0x69, 0xc4, 0xe0, 0xd8, 0x6a, 0x7b, 0x04, 0x30, 0xd8, 0xcd, 0xb7, 0x80, 0x70, 0xb4, 0xc5,
                                       0x5a};
    IrVal key[11], zero = {{0, 0}}, plain, s;
    uint8_t rcon = 1;

    for (int i = 0; i < 16; i++) {
        key[0].u8[i] = (uint8_t)i;
        plain.u8[i] = (uint8_t)(i * 0x11);
    }
    for (int r = 1; r <= 10; r++) {
        uint32_t last = key[r - 1].u32[3], rot = last >> 8 | last << 24;
        IrVal same = {.u32 = {rot, rot, rot, rot}};
        uint32_t t = op3(IR_AESENC, 0, same, zero, zero).u32[0] ^ rcon; /* equal columns: no shift to see */
        for (int i = 0; i < 4; i++)
            key[r].u32[i] = t ^= key[r - 1].u32[i];
        rcon = (uint8_t)(rcon << 1 ^ (rcon >> 7) * 0x1b);
    }
    s = plain;
    for (int r = 0; r < 9; r++)
        s = op3(IR_AESMC, 0, op3(IR_AESENC, 0, xor(s, key[r]), zero, zero), zero, zero);
    s = xor(op3(IR_AESENC, 0, xor(s, key[9]), zero, zero), key[10]);
    if (memcmp(&s, cipher, 16))
        return false;
    s = xor(s, key[10]);
    for (int r = 9; r > 0; r--)
        s = op3(IR_AESIMC, 0, xor(op3(IR_AESDEC, 0, s, zero, zero), key[r]), zero, zero);
    s = xor(op3(IR_AESDEC, 0, s, zero, zero), key[0]);
    return memcmp(&s, &plain, 16) == 0;
}

int main(void)
{
    TEST_BEGIN();
    TEST("SHA-1 of abc", sha1_abc());
    TEST("SHA-256 of abc", sha256_abc());
    TEST("SHA-512 of abc", sha512_abc());
    TEST("AES-128 example", aes128());
    return TEST_END();
}
