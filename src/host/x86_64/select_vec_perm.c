/*
 * Lanes and permutations: between scalars and lanes, interleaving, reversal, table lookup.
 */
#include "base/check.h"
#include "host/x86_64/vsel.h"

#include <string.h>

static bool lane_is_float(const IrInsn *i)
{
    return ir_type_is_float((IrType)i->lane);
}

/* A 16-byte constant from bytes. */
static Mem const_bytes(Sel *s, const uint8_t b[16])
{
    uint64_t lo, hi;

    memcpy(&lo, b, 8);
    memcpy(&hi, b + 8, 8);
    return sel_vconst(s, lo, hi);
}

/* --- scalars and lanes -------------------------------------------------------------------------------------------------- */

static const X64Vec broadcast[] = {VPBROADCASTB, VPBROADCASTW, VPBROADCASTD, VPBROADCASTQ};

/* The lowest lane of x everywhere in the shape. d may be x. */
static void spread(Sel *s, const IrInsn *i, Xmm d, Xmm x)
{
    unsigned k = lane_index((IrType)i->lane);

    if (k == 3 && half_shape(i))
        x64_rm(s->a, VMOVQ, d, x);
    else {
        x64_rm(s->a, broadcast[k], d, x);
        vsel_finish(s, i, d);
    }
}

bool vsel_dup(Sel *s, const IrInsn *i)
{
    if (lane_is_float(i)) {
        Xmm a = sel_use_x(s, i->a);
        Xmm d = sel_def_x_last(s, i);
        spread(s, i, d, a);
        return true;
    }
    Gpr a = sel_use_r(s, i->a);
    Xmm d = sel_def_x(s, i);
    x64_xg(s->a, i->lane == IR_I64 ? VMOVQ_XG : VMOVD_XG, d, a);
    spread(s, i, d, d);
    return true;
}

bool vsel_dupl(Sel *s, const IrInsn *i)
{
    static const uint8_t pair[] = {0x00, 0x55, 0xaa, 0xff};
    unsigned k = lane_index((IrType)i->lane), n = (unsigned)i->imm;
    Xmm a = sel_use_x(s, i->a);
    Xmm d = sel_def_x_last(s, i);

    if (n == 0) {
        spread(s, i, d, a);
        return true;
    }
    if (k == 3)
        x64_rvm(s->a, VPUNPCKHQDQ, d, a, a);
    else if (k == 2)
        x64_rmi(s->a, VPSHUFD, d, a, pair[n]);
    else
        x64_rvm_m(s->a, VPSHUFB, d, a, vsel_rep(s, 16, k ? 0x0100 + n * 0x0202 : n * 0x0101));
    vsel_finish(s, i, d);
    return true;
}

/* A float lane stays in the vector registers: the bits above it are of no interest. */
static bool get_float(Sel *s, const IrInsn *i)
{
    unsigned bytes = 1u << lane_index((IrType)i->lane), n = (unsigned)i->imm;
    Xmm a = sel_use_x(s, i->a);
    Xmm d = sel_def_x_last(s, i);

    if (n * bytes == 0)
        x64_rm(s->a, VMOVAPS, d, a);
    else if (n * bytes == 8)
        x64_rvm(s->a, VPUNPCKHQDQ, d, a, a);
    else
        x64_vmi(s->a, VPSRLDQ_I, d, a, n * bytes);
    return true;
}

bool vsel_get(Sel *s, const IrInsn *i)
{
    static const X64Vec extract[] = {VPEXTRB, VPEXTRW, VPEXTRD, VPEXTRQ};
    unsigned k = lane_index((IrType)i->lane), n = (unsigned)i->imm;

    if (lane_is_float(i))
        return get_float(s, i);
    Xmm a = sel_use_x(s, i->a);
    Gpr d = sel_def_r(s, i);
    if (n == 0)
        x64_gx(s->a, k == 3 ? VMOVQ_GX : VMOVD_GX, d, a);
    else
        x64_gxi(s->a, extract[k], d, a, n);
    return true;
}

/* a with lane n replaced by the low lane of x. d may be a. */
static void insert_x(Sel *s, unsigned k, Xmm d, Xmm a, Xmm x, unsigned n, Gpr g)
{
    if (k == 3) {
        if (n)
            x64_rvm(s->a, VPUNPCKLQDQ, d, a, x);
        else
            x64_rvm(s->a, VMOVSD, d, a, x);
    } else if (k == 2) {
        x64_rvmi(s->a, VINSERTPS, d, a, x, n << 4);
    } else {
        x64_gx(s->a, VMOVD_GX, g, x);
        x64_rvmi_g(s->a, k ? VPINSRW : VPINSRB, d, a, g, n);
    }
}

bool vsel_set(Sel *s, const IrInsn *i)
{
    static const X64Vec insert[] = {VPINSRB, VPINSRW, VPINSRD, VPINSRQ};
    unsigned k = lane_index((IrType)i->lane), n = (unsigned)i->imm;
    Xmm a = sel_use_x(s, i->a);

    if (lane_is_float(i)) {
        Xmm b = sel_use_x(s, i->b);
        Xmm d = sel_def_x_last(s, i);
        Gpr g = sel_tmp_r(s);
        insert_x(s, k, d, a, b, n, g);
    } else {
        Gpr b = sel_use_r(s, i->b);
        Xmm d = sel_def_x_last(s, i);
        x64_rvmi_g(s->a, insert[k], d, a, b, n);
    }
    return true;
}

bool vsel_setl(Sel *s, const IrInsn *i)
{
    unsigned k = lane_index((IrType)i->lane), to = i->imm & 255, from = (unsigned)(i->imm >> 8);
    Xmm a = sel_use_x(s, i->a);
    Xmm b = sel_use_x(s, i->b);
    Xmm d = sel_def_x_last(s, i);
    Gpr g = sel_tmp_r(s);

    if (k == 3)
        x64_rvmi(s->a, VSHUFPD, d, to ? a : b, to ? b : a, to ? from << 1 : from | 2);
    else if (k == 2)
        x64_rvmi(s->a, VINSERTPS, d, a, b, from << 6 | to << 4);
    else {
        x64_gxi(s->a, k ? VPEXTRW : VPEXTRB, g, b, from);
        x64_rvmi_g(s->a, k ? VPINSRW : VPINSRB, d, a, g, to);
    }
    return true;
}

bool vsel_zext(Sel *s, const IrInsn *i)
{
    unsigned k = lane_index((IrType)i->lane);

    if (lane_is_float(i)) {
        Xmm a = sel_use_x(s, i->a);
        Xmm d = sel_def_x_last(s, i);
        if (k == 3)
            x64_rm(s->a, VMOVQ, d, a);
        else if (k == 2)
            x64_rvmi(s->a, VINSERTPS, d, a, a, 0x0e);
        else
            x64_rvm_m(s->a, VPAND, d, a, sel_vconst(s, 0xffff, 0));
        return true;
    }
    Gpr a = sel_use_r(s, i->a);
    Xmm d = sel_def_x(s, i);
    if (k >= 2) {
        x64_xg(s->a, k == 3 ? VMOVQ_XG : VMOVD_XG, d, a);
    } else {
        Gpr g = sel_tmp_r(s);
        x64_movzx(s->a, k ? W16 : W8, g, rm_r(a));
        x64_xg(s->a, VMOVD_XG, d, g);
    }
    return true;
}

bool vsel_pair(Sel *s, const IrInsn *i)
{
    Gpr a = sel_use_r(s, i->a);
    Gpr b = sel_use_r(s, i->b);
    Xmm d = sel_def_x(s, i);
    x64_xg(s->a, VMOVQ_XG, d, a);
    x64_rvmi_g(s->a, VPINSRQ, d, d, b, 1);
    return true;
}

bool vsel_concat(Sel *s, const IrInsn *i)
{
    Xmm a = sel_use_x(s, i->a);
    Xmm b = sel_use_x(s, i->b);
    Xmm d = sel_def_x_last(s, i);
    x64_rvm(s->a, VPUNPCKLQDQ, d, a, b);
    return true;
}

bool vsel_lowhigh(Sel *s, const IrInsn *i)
{
    Xmm a = sel_use_x(s, i->a);
    Xmm d = sel_def_x_last(s, i);
    if (i->op == IR_VLOW)
        x64_rm(s->a, VMOVQ, d, a);
    else
        x64_vmi(s->a, VPSRLDQ_I, d, a, 8);
    return true;
}

/* --- two vectors ---------------------------------------------------------------------------------------------------------- */

bool vsel_zip(Sel *s, const IrInsn *i)
{
    static const X64Vec low[] = {VPUNPCKLBW, VPUNPCKLWD, VPUNPCKLDQ, VPUNPCKLQDQ};
    static const X64Vec high[] = {VPUNPCKHBW, VPUNPCKHWD, VPUNPCKHDQ, VPUNPCKHQDQ};
    unsigned k = lane_index((IrType)i->lane);
    bool second = i->op == IR_VZIP2;

    if (half_shape(i) && k == 3)
        return false;
    Xmm a = sel_use_x(s, i->a);
    Xmm b = sel_use_x(s, i->b);
    Xmm d = sel_def_x_last(s, i);
    if (!half_shape(i)) {
        x64_rvm(s->a, (second ? high : low)[k], d, a, b);
        return true;
    }
    x64_rvm(s->a, low[k], d, a, b); /* both halves of the 64-bit shape, one after the other */
    if (second)
        x64_vmi(s->a, VPSRLDQ_I, d, d, 8);
    else
        x64_rm(s->a, VMOVQ, d, d);
    return true;
}

/* Bytes of the shuffle that brings the even (or odd) lanes of 8 or 16 bytes together, from byte `to` on. */
static void gather_lanes(uint8_t m[16], unsigned lane_bytes, unsigned odd, unsigned bytes, unsigned to)
{
    memset(m, 0x80, 16);
    for (unsigned n = 0; n < bytes / lane_bytes / 2; n++)
        for (unsigned j = 0; j < lane_bytes; j++)
            m[to + n * lane_bytes + j] = (uint8_t)((2 * n + odd) * lane_bytes + j);
}

/* The 64-bit shape: both operands in one register, even or odd lanes gathered. */
static bool unzip_half(Sel *s, const IrInsn *i, unsigned k, unsigned odd)
{
    uint8_t m[16];
    Xmm a = sel_use_x(s, i->a);
    Xmm b = sel_use_x(s, i->b);
    Xmm d = sel_def_x_last(s, i);

    x64_rvm(s->a, VPUNPCKLQDQ, d, a, b);
    gather_lanes(m, 1u << k, odd, 16, 0);
    x64_rvm_m(s->a, VPSHUFB, d, d, const_bytes(s, m));
    return true;
}

bool vsel_uzp(Sel *s, const IrInsn *i)
{
    unsigned k = lane_index((IrType)i->lane), odd = i->op == IR_VUZP2;
    uint8_t m[16];

    if (half_shape(i))
        return k == 3 ? false : unzip_half(s, i, k, odd);
    Xmm a = sel_use_x(s, i->a);
    if (i->a == i->b && k < 2) { /* the same lanes twice: one shuffle */
        Xmm d = sel_def_x_last(s, i);
        gather_lanes(m, 1u << k, odd, 16, 0);
        memcpy(m + 8, m, 8);
        x64_rvm_m(s->a, VPSHUFB, d, a, const_bytes(s, m));
        return true;
    }
    Xmm b = sel_use_x(s, i->b);
    if (k >= 2) {
        Xmm d = sel_def_x_last(s, i);
        if (k == 3)
            x64_rvm(s->a, odd ? VPUNPCKHQDQ : VPUNPCKLQDQ, d, a, b);
        else
            x64_rvmi(s->a, VSHUFPS, d, a, b, odd ? 0xdd : 0x88);
        return true;
    }
    Xmm d = sel_def_x(s, i);
    Xmm t = sel_tmp_x(s);
    gather_lanes(m, 1u << k, odd, 16, 0);
    x64_rvm_m(s->a, VPSHUFB, d, a, const_bytes(s, m));
    x64_rvm_m(s->a, VPSHUFB, t, b, const_bytes(s, m));
    x64_rvm(s->a, VPUNPCKLQDQ, d, d, t);
    return true;
}

bool vsel_trn(Sel *s, const IrInsn *i)
{
    unsigned k = lane_index((IrType)i->lane), odd = i->op == IR_VTRN2, bits = 8u << k;

    if (half_shape(i) && k == 3)
        return false;
    Xmm a = sel_use_x(s, i->a);
    Xmm b = sel_use_x(s, i->b);
    Xmm d = sel_def_x(s, i);
    Xmm t = sel_tmp_x(s);
    if (k == 3) {
        x64_rvm(s->a, odd ? VPUNPCKHQDQ : VPUNPCKLQDQ, d, a, b);
    } else if (k == 2) {
        x64_vmi(s->a, odd ? VPSRLQ_I : VPSLLQ_I, t, odd ? a : b, 32);
        x64_rvmi(s->a, VPBLENDD, d, odd ? t : a, odd ? b : t, 0xa);
    } else if (k == 1) {
        x64_vmi(s->a, odd ? VPSRLD_I : VPSLLD_I, t, odd ? a : b, bits);
        x64_rvmi(s->a, VPBLENDW, d, odd ? t : a, odd ? b : t, 0xaa);
    } else {
        Mem even = vsel_rep(s, 16, 0x00ff);
        x64_vmi(s->a, odd ? VPSRLW_I : VPSLLW_I, t, odd ? a : b, bits);
        if (odd) { /* t has its odd bytes cleared already */
            x64_rvm_m(s->a, VPAND, d, b, vsel_rep(s, 16, 0xff00));
        } else {
            x64_rvm_m(s->a, VPAND, d, a, even);
        }
        x64_rvm(s->a, VPOR, d, d, t);
    }
    vsel_finish(s, i, d);
    return true;
}

bool vsel_ext(Sel *s, const IrInsn *i)
{
    unsigned n = (unsigned)i->imm;
    Xmm a = sel_use_x(s, i->a);
    Xmm b = sel_use_x(s, i->b);
    Xmm d = sel_def_x_last(s, i);

    if (!half_shape(i)) {
        x64_rvmi(s->a, VPALIGNR, d, b, a, n);
        return true;
    }
    x64_rvm(s->a, VPUNPCKLQDQ, d, a, b);
    x64_vmi(s->a, VPSRLDQ_I, d, d, n);
    x64_rm(s->a, VMOVQ, d, d);
    return true;
}

/* Lanes mirrored within groups of imm bits. */
bool vsel_rev(Sel *s, const IrInsn *i)
{
    unsigned size = 1u << lane_index((IrType)i->lane), group = (unsigned)i->imm / 8, bytes = half_shape(i) ? 8 : 16;
    uint8_t m[16];

    memset(m, 0x80, 16);
    for (unsigned j = 0; j < bytes; j++) {
        unsigned in = j % group;
        m[j] = (uint8_t)(j - in + (group - size - in / size * size) + in % size);
    }
    Xmm a = sel_use_x(s, i->a);
    Xmm d = sel_def_x_last(s, i);
    x64_rvm_m(s->a, VPSHUFB, d, a, const_bytes(s, m));
    return true;
}

/*
 * Indices of 16 and more must give zero: adding 0x70 with saturation sets their top bit, as the shuffle wants, and leaves the
 * low four bits of the others.
 */
bool vsel_tbl(Sel *s, const IrInsn *i)
{
    bool keep = i->op == IR_VTBX;
    Xmm a = sel_use_x(s, i->a);
    Xmm b = sel_use_x(s, i->b);
    Xmm c = {0};

    if (keep)
        c = sel_use_x(s, i->c);
    Xmm d = sel_def_x(s, i);
    Xmm t = sel_tmp_x(s);
    x64_rvm_m(s->a, VPADDUSB, t, b, vsel_rep(s, 8, 0x70));
    x64_rvm(s->a, VPSHUFB, d, a, t);
    if (keep)
        x64_rvms(s->a, VPBLENDVB, d, d, c, t);
    vsel_finish(s, i, d);
    return true;
}
