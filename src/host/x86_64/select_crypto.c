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
        x64_rvm_m(s->a, VAESENCLAST, d, a, zero);
        break;
    case IR_AESDEC:
        x64_rvm_m(s->a, VAESDECLAST, d, a, zero);
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
