/*
 * Cryptography: the host's rounds differ from the guest-independent primitives in what they add and in the order of words.
 */
#include "host/x86_64/vsel.h"

/* --- AES --------------------------------------------------------------------------------------------------------------- */

/* A last round with key zero is SubBytes and ShiftRows; a full round after the inverse of those is MixColumns. */
bool vsel_aes(Sel *s, const IrInsn *i)
{
    if (!s->feat->aes)
        return false;
    Xmm a = sel_use_x(s, i->a);
    Xmm d = sel_def_x_last(s, i);
    Mem zero = sel_vconst(s, 0, 0);
    switch (i->op) {
    case IR_AESENC:
        x64_rvm_m(s->a, i->aux ? VAESENC : VAESENCLAST, d, a, zero);
        break;
    case IR_AESDEC:
        x64_rvm_m(s->a, i->aux ? VAESDEC : VAESDECLAST, d, a, zero);
        break;
    case IR_AESMC:
        x64_rvm_m(s->a, VAESDECLAST, d, a, zero);
        x64_rvm_m(s->a, VAESENC, d, d, zero);
        break;
    default:
        x64_rm(s->a, VAESIMC, d, a);
        break;
    }
    return true;
}

/* --- SHA-1 --------------------------------------------------------------------------------------------------------------- */

/*
 * The host has the state's first word at the top, adds the round constant itself (ours is in the schedule already), and takes
 * e added to the first schedule word.
 */
bool vsel_sha1(Sel *s, const IrInsn *i)
{
    static const uint32_t k[] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc};

    if (!s->feat->sha)
        return false;
    Xmm a = sel_use_x(s, i->a);
    Gpr e = sel_use_r(s, i->b);
    Xmm w = sel_use_x(s, i->c);
    Xmm d = sel_def_x(s, i);
    Xmm t = sel_tmp_x(s);
    x64_xg(s->a, VMOVD_XG, t, e);
    x64_rvm_m(s->a, VPSUBD, d, w, vsel_rep(s, 32, k[i->aux]));
    x64_rvm(s->a, VPADDD, t, t, d);
    x64_rmi(s->a, VPSHUFD, t, t, 0x1b);
    x64_rmi(s->a, VPSHUFD, d, a, 0x1b);
    x64_rmi(s->a, SHA1RNDS4, d, t, i->aux);
    x64_rmi(s->a, VPSHUFD, d, d, 0x1b);
    return true;
}

static void rotate1(Sel *s, Xmm d, Xmm a, Xmm t)
{
    x64_vmi(s->a, VPSRLD_I, t, a, 31);
    x64_vmi(s->a, VPSLLD_I, d, a, 1);
    x64_rvm(s->a, VPOR, d, d, t);
}

static bool sha1su1(Sel *s, const IrInsn *i)
{
    Xmm a = sel_use_x(s, i->a);
    Xmm b = sel_use_x(s, i->b);
    Xmm d = sel_def_x(s, i);
    Xmm t = sel_tmp_x(s), u = sel_tmp_x(s);

    x64_vmi(s->a, VPSRLDQ_I, d, b, 4);
    x64_rvm(s->a, VPXOR, d, d, a);
    rotate1(s, d, d, t);
    x64_vmi(s->a, VPSLLDQ_I, u, d, 12); /* the top word takes the first one in, rotated once more */
    rotate1(s, u, u, t);
    x64_rvm(s->a, VPXOR, d, d, u);
    return true;
}

bool vsel_sha1su(Sel *s, const IrInsn *i)
{
    if (i->aux == 1)
        return sha1su1(s, i);
    Xmm a = sel_use_x(s, i->a);
    Xmm b = sel_use_x(s, i->b);
    Xmm c = sel_use_x(s, i->c);
    Xmm d = sel_def_x(s, i);
    x64_rvmi(s->a, VSHUFPD, d, a, b, 1); /* a's high half, b's low half */
    x64_rvm(s->a, VPXOR, d, d, a);
    x64_rvm(s->a, VPXOR, d, d, c);
    return true;
}

/* --- SHA-256 -------------------------------------------------------------------------------------------------------------- */

/*
 * Two host instructions make four rounds. They hold the state as f e b a and h g d c (from the lowest word), return the new
 * f e b a, and take two schedule words from xmm0, which may hold anything: it is put aside in `keep`.
 */
bool vsel_sha256h(Sel *s, const IrInsn *i)
{
    Xmm x0 = {0};

    if (!s->feat->sha)
        return false;
    Xmm abcd = sel_use_x(s, i->aux ? i->b : i->a);
    Xmm efgh = sel_use_x(s, i->aux ? i->a : i->b);
    Xmm w = sel_use_x(s, i->c);
    Xmm d = sel_def_x(s, i);
    Xmm r[4] = {sel_tmp_x(s), sel_tmp_x(s), sel_tmp_x(s), sel_tmp_x(s)};
    bool keep = d.n != 0;
    for (unsigned j = 1; j < 4; j++)
        if (r[j].n == 0) {
            r[j] = r[0];
            r[0] = x0;
        }
    keep = keep && r[0].n != 0;
    Xmm feba = r[1], hgdc = r[2], wk = r[3];
    x64_rvm(s->a, VPUNPCKLQDQ, feba, efgh, abcd);
    x64_rvm(s->a, VPUNPCKHQDQ, hgdc, efgh, abcd);
    x64_rmi(s->a, VPSHUFD, feba, feba, 0xb1);
    x64_rmi(s->a, VPSHUFD, hgdc, hgdc, 0xb1);
    x64_rm(s->a, VMOVAPS, wk, w);
    if (keep)
        x64_rm(s->a, VMOVAPS, r[0], x0);
    x64_rm(s->a, VMOVAPS, x0, wk);
    x64_rm(s->a, SHA256RNDS2, hgdc, feba);  /* after two rounds; the old f e b a is now h g d c */
    x64_rvm(s->a, VPUNPCKHQDQ, x0, wk, wk);
    x64_rm(s->a, SHA256RNDS2, feba, hgdc);  /* after four */
    if (keep)
        x64_rm(s->a, VMOVAPS, x0, r[0]);
    x64_rvm(s->a, i->aux ? VPUNPCKLQDQ : VPUNPCKHQDQ, d, feba, hgdc);
    x64_rmi(s->a, VPSHUFD, d, d, 0xb1);
    return true;
}

bool vsel_sha256su(Sel *s, const IrInsn *i)
{
    if (!s->feat->sha)
        return false;
    Xmm a = sel_use_x(s, i->a);
    Xmm b = sel_use_x(s, i->b);
    if (i->aux == 0) {
        Xmm d = sel_def_x(s, i);
        x64_rm(s->a, VMOVAPS, d, a);
        x64_rm(s->a, SHA256MSG1, d, b);
        return true;
    }
    Xmm c = sel_use_x(s, i->c);
    Xmm d = sel_def_x(s, i);
    x64_rvmi(s->a, VPALIGNR, d, c, b, 4);
    x64_rvm(s->a, VPADDD, d, d, a);
    x64_rm(s->a, SHA256MSG2, d, c);
    return true;
}

/* --- SHA-512: rounds in integer registers -------------------------------------------------------------------------------- */

typedef struct Sha512 {
    Gpr x0, x1, y, hi, lo, t;
} Sha512;

/* d = a rotated right by three amounts, combined. */
static void sigma(Sel *s, Gpr d, Gpr a, Gpr t, unsigned r1, unsigned r2, unsigned r3)
{
    x64_rorx(s->a, W64, d, rm_r(a), r1);
    x64_rorx(s->a, W64, t, rm_r(a), r2);
    x64_alu_rr(s->a, ALU_XOR, W64, d, t);
    x64_rorx(s->a, W64, t, rm_r(a), r3);
    x64_alu_rr(s->a, ALU_XOR, W64, d, t);
}

static void half(Sel *s, Gpr d, Xmm v, unsigned n)
{
    if (n)
        x64_gxi(s->a, VPEXTRQ, d, v, 1);
    else
        x64_gx(s->a, VMOVQ_GX, d, v);
}

static void add_half(Sel *s, Gpr d, Xmm v, unsigned n, Gpr t)
{
    half(s, t, v, n);
    x64_alu_rr(s->a, ALU_ADD, W64, d, t);
}

/* t = x ? y : z by bits */
static void choose(Sel *s, Gpr t, Gpr x, Gpr y, Gpr z)
{
    x64_mov_rr(s->a, W64, t, z);
    x64_alu_rr(s->a, ALU_XOR, W64, t, y);
    x64_alu_rr(s->a, ALU_AND, W64, t, x);
    x64_alu_rr(s->a, ALU_XOR, W64, t, z);
}

/* SHA512H: two rounds' values of e, from w (with schedule and constant), x = (f g), y = (d e). */
static void sha512_first(Sel *s, const Sha512 *g, Xmm w, Xmm x, Xmm y)
{
    half(s, g->y, y, 1);
    half(s, g->x0, x, 0);
    half(s, g->x1, x, 1);
    sigma(s, g->hi, g->y, g->t, 14, 18, 41);
    choose(s, g->t, g->y, g->x0, g->x1);
    x64_alu_rr(s->a, ALU_ADD, W64, g->hi, g->t);
    add_half(s, g->hi, w, 1, g->t);
    half(s, g->x1, y, 0);
    x64_alu_rr(s->a, ALU_ADD, W64, g->x1, g->hi);
    sigma(s, g->lo, g->x1, g->t, 14, 18, 41);
    choose(s, g->t, g->x1, g->y, g->x0);
    x64_alu_rr(s->a, ALU_ADD, W64, g->lo, g->t);
    add_half(s, g->lo, w, 0, g->t);
}

/* SHA512H2: two rounds' values of a. The majority of v, y0, y1 is (v & (y0 ^ y1)) ^ (y0 & y1). */
static void sha512_second(Sel *s, const Sha512 *g, Xmm w, Xmm x, Xmm y)
{
    Gpr differ = g->x1, both = g->y;

    half(s, g->y, y, 0);
    half(s, g->x0, y, 1);
    sigma(s, g->hi, g->y, g->t, 28, 34, 39);
    x64_mov_rr(s->a, W64, differ, g->y);
    x64_alu_rr(s->a, ALU_XOR, W64, differ, g->x0);
    x64_alu_rr(s->a, ALU_AND, W64, both, g->x0);
    half(s, g->t, x, 0);
    x64_alu_rr(s->a, ALU_AND, W64, g->t, differ);
    x64_alu_rr(s->a, ALU_XOR, W64, g->t, both);
    x64_alu_rr(s->a, ALU_ADD, W64, g->hi, g->t);
    add_half(s, g->hi, w, 1, g->t);
    sigma(s, g->lo, g->hi, g->t, 28, 34, 39);
    x64_alu_rr(s->a, ALU_AND, W64, differ, g->hi);
    x64_alu_rr(s->a, ALU_XOR, W64, differ, both);
    x64_alu_rr(s->a, ALU_ADD, W64, g->lo, differ);
    add_half(s, g->lo, w, 0, g->t);
}

bool vsel_sha512h(Sel *s, const IrInsn *i)
{
    Xmm w = sel_use_x(s, i->a);
    Xmm x = sel_use_x(s, i->b);
    Xmm y = sel_use_x(s, i->c);
    Xmm d = sel_def_x(s, i);
    Sha512 g = {sel_tmp_r(s), sel_tmp_r(s), sel_tmp_r(s), sel_tmp_r(s), sel_tmp_r(s), sel_tmp_r(s)};

    if (i->aux == 0)
        sha512_first(s, &g, w, x, y);
    else
        sha512_second(s, &g, w, x, y);
    x64_xg(s->a, VMOVQ_XG, d, g.lo);
    x64_rvmi_g(s->a, VPINSRQ, d, d, g.hi, 1);
    return true;
}

/* d ^= lanes of x rotated right by n */
static void xor_rotated(Sel *s, Xmm d, Xmm x, unsigned n, Xmm t)
{
    if (s->feat->avx512) {
        x64_vmi(s->a, VPRORQ, t, x, n);
        x64_rvm(s->a, VPXOR, d, d, t);
        return;
    }
    x64_vmi(s->a, VPSRLQ_I, t, x, n);
    x64_rvm(s->a, VPXOR, d, d, t);
    x64_vmi(s->a, VPSLLQ_I, t, x, 64 - n);
    x64_rvm(s->a, VPXOR, d, d, t);
}

/* The schedule: small sigma of x, added to a (and, for the second step, to c). */
bool vsel_sha512su(Sel *s, const IrInsn *i)
{
    bool second = i->aux == 1;
    Xmm a = sel_use_x(s, i->a);
    Xmm b = sel_use_x(s, i->b);
    Xmm c = second ? sel_use_x(s, i->c) : a;
    Xmm d = sel_def_x(s, i);
    Xmm t = sel_tmp_x(s), x = sel_tmp_x(s);

    if (second)
        x64_rm(s->a, VMOVAPS, x, b);
    else
        x64_rvmi(s->a, VPALIGNR, x, b, a, 8);
    x64_vmi(s->a, VPSRLQ_I, d, x, second ? 6 : 7);
    xor_rotated(s, d, x, second ? 19 : 1, t);
    xor_rotated(s, d, x, second ? 61 : 8, t);
    x64_rvm(s->a, VPADDQ, d, d, a);
    if (second)
        x64_rvm(s->a, VPADDQ, d, d, c);
    return true;
}

/* --- CRC-32 -------------------------------------------------------------------------------------------------------------- */

/*
 * t = the remainder of the 32 bits in t, by Barrett's reduction: their product with the reflected quotient, of whose low 32
 * bits the product with the reflected polynomial has the remainder in its upper half.
 */
static void crc_reduce(Sel *s, Xmm t)
{
    Mem k = sel_vconst(s, 0x1db710641, 0x1f7011641);

    x64_rvmi_m(s->a, VPCLMULQDQ, t, t, k, 0x10);
    x64_rvm_m(s->a, VPAND, t, t, sel_vconst(s, 0xffffffff, 0));
    x64_rvmi_m(s->a, VPCLMULQDQ, t, t, k, 0x00);
    x64_vmi(s->a, VPSRLQ_I, t, t, 32);
}

/* Polynomial 0x04C11DB7. Fewer than 32 bits are the last of a word whose first are zero; 64 are two words. */
bool vsel_crc32(Sel *s, const IrInsn *i)
{
    unsigned bits = 8 * ir_type_size((IrType)i->lane);

    if (!s->feat->pclmul)
        return false;
    Gpr a = sel_use_r(s, i->a);
    Gpr b = sel_use_r(s, i->b);
    Gpr d = sel_def_r(s, i);
    Gpr g = sel_tmp_r(s);
    Xmm t = sel_tmp_x(s);
    x64_mov_rr(s->a, W32, g, a);
    x64_alu_rr(s->a, ALU_XOR, W32, g, b);
    if (bits < 32)
        x64_shift_i(s->a, SH_SHL, W32, g, 32 - bits);
    x64_xg(s->a, VMOVD_XG, t, g);
    crc_reduce(s, t);
    x64_gx(s->a, VMOVD_GX, d, t);
    if (bits < 32) {
        x64_mov_rr(s->a, W32, g, a);
        x64_shift_i(s->a, SH_SHR, W32, g, bits);
        x64_alu_rr(s->a, ALU_XOR, W32, d, g);
    } else if (bits == 64) {
        x64_mov_rr(s->a, W64, g, b);
        x64_shift_i(s->a, SH_SHR, W64, g, 32);
        x64_alu_rr(s->a, ALU_XOR, W32, g, d);
        x64_xg(s->a, VMOVD_XG, t, g);
        crc_reduce(s, t);
        x64_gx(s->a, VMOVD_GX, d, t);
    }
    return true;
}
