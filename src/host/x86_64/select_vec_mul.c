/*
 * Vector products, pairwise and across-lane operations, widening and narrowing.
 */
#include "host/x86_64/vsel.h"

static const X64Vec lane_add[] = {VPADDB, VPADDW, VPADDD, VPADDQ};
static const X64Vec lane_sext[] = {VPMOVSXBW, VPMOVSXWD, VPMOVSXDQ};
static const X64Vec lane_zext[] = {VPMOVZXBW, VPMOVZXWD, VPMOVZXDQ};

/* --- products in the lane's width ------------------------------------------------------------------------------------- */

/* Bytes: as words, even ones directly, odd ones in place by b's upper bytes alone. */
static void mul_bytes(Sel *s, Xmm d, Xmm a, Xmm b, Xmm t)
{
    x64_vmi(s->a, VPSRLW_I, t, a, 8);
    x64_rvm_m(s->a, VPAND, d, b, vsel_rep(s, 16, 0xff00));
    x64_rvm(s->a, VPMULLW, t, t, d);
    x64_rvm(s->a, VPMULLW, d, a, b);
    x64_rvm_m(s->a, VPAND, d, d, vsel_rep(s, 16, 0x00ff));
    x64_rvm(s->a, VPOR, d, d, t);
}

/* 64 bits: low * low + (low * high + high * low) << 32 */
static void mul_quads(Sel *s, Xmm d, Xmm a, Xmm b, Xmm t)
{
    x64_vmi(s->a, VPSRLQ_I, t, a, 32);
    x64_rvm(s->a, VPMULUDQ, t, t, b);
    x64_vmi(s->a, VPSRLQ_I, d, b, 32);
    x64_rvm(s->a, VPMULUDQ, d, d, a);
    x64_rvm(s->a, VPADDQ, t, t, d);
    x64_vmi(s->a, VPSLLQ_I, t, t, 32);
    x64_rvm(s->a, VPMULUDQ, d, a, b);
    x64_rvm(s->a, VPADDQ, d, d, t);
}

bool vsel_mul(Sel *s, const IrInsn *i)
{
    static const X64Vec op[] = {X64_NVEC, VPMULLW, VPMULLD, VPMULLQ};
    unsigned k = lane_index((IrType)i->lane);
    Xmm a = sel_use_x(s, i->a);
    Xmm b = sel_use_x(s, i->b);
    Xmm d = sel_def_x(s, i);
    Xmm t = sel_tmp_x(s);

    if (k == 0)
        mul_bytes(s, d, a, b, t);
    else if (k == 3 && !s->feat->avx512)
        mul_quads(s, d, a, b, t);
    else
        x64_rvm(s->a, op[k], d, a, b);
    vsel_finish_zero(s, i, d);
    return true;
}

/* The only product that saturates is least * least: its high half comes out as the least value, and nothing else does. */
static void fix_least(Sel *s, X64Vec eq, unsigned bits, Xmm d, Xmm t)
{
    x64_rvm_m(s->a, eq, t, d, vsel_rep(s, bits, 1ull << (bits - 1)));
    x64_rvm(s->a, VPXOR, d, d, t);
}

/* High halves of the doubled products of 32-bit lanes: even and odd lanes apart. */
static void dmulh_words(Sel *s, bool round, Xmm d, Xmm a, Xmm b, Xmm t, Xmm u)
{
    x64_rvm(s->a, VPMULDQ, d, a, b);
    x64_vmi(s->a, VPSRLQ_I, t, a, 32);
    x64_vmi(s->a, VPSRLQ_I, u, b, 32);
    x64_rvm(s->a, VPMULDQ, t, t, u);
    x64_rvm(s->a, VPADDQ, d, d, d);
    x64_rvm(s->a, VPADDQ, t, t, t);
    if (round) {
        x64_rvm_m(s->a, VPADDQ, d, d, vsel_rep(s, 64, 1u << 31));
        x64_rvm_m(s->a, VPADDQ, t, t, vsel_rep(s, 64, 1u << 31));
    }
    x64_vmi(s->a, VPSRLQ_I, d, d, 32);
    x64_rvmi(s->a, VPBLENDD, d, d, t, 0xa);
}

bool vsel_satdmulh(Sel *s, const IrInsn *i)
{
    bool round = i->aux & IR_ROUNDING, word = i->lane == IR_I16;
    Xmm a = sel_use_x(s, i->a);
    Xmm b = sel_use_x(s, i->b);
    Xmm d = sel_def_x(s, i);
    Xmm t = sel_tmp_x(s), u = sel_tmp_x(s);

    if (!word) {
        dmulh_words(s, round, d, a, b, t, u);
    } else if (round) {
        x64_rvm(s->a, VPMULHRSW, d, a, b);
    } else {
        x64_rvm(s->a, VPMULHW, d, a, b);
        x64_rvm(s->a, VPMULLW, t, a, b);
        x64_vmi(s->a, VPSRLW_I, t, t, 15);
        x64_rvm(s->a, VPADDW, d, d, d);
        x64_rvm(s->a, VPOR, d, d, t);
    }
    fix_least(s, word ? VPCMPEQW : VPCMPEQD, word ? 16 : 32, d, t);
    vsel_finish_zero(s, i, d);
    return true;
}

/* --- double-width products ----------------------------------------------------------------------------------------------- */

/* d = products of the low or high halves of a and b, each twice as wide. */
static void mul_long(Sel *s, unsigned k, bool sign, bool high, Xmm d, Xmm a, Xmm b, Xmm t)
{
    if (k == 0) {
        if (high) {
            x64_rvm(s->a, VMOVHLPS, d, a, a);
            x64_rvm(s->a, VMOVHLPS, t, b, b);
        }
        x64_rm(s->a, (sign ? lane_sext : lane_zext)[0], d, high ? d : a);
        x64_rm(s->a, (sign ? lane_sext : lane_zext)[0], t, high ? t : b);
        x64_rvm(s->a, VPMULLW, d, d, t);
    } else if (k == 1) {
        x64_rvm(s->a, VPMULLW, d, a, b);
        x64_rvm(s->a, sign ? VPMULHW : VPMULHUW, t, a, b);
        x64_rvm(s->a, high ? VPUNPCKHWD : VPUNPCKLWD, d, d, t);
    } else {
        x64_rmi(s->a, VPSHUFD, d, a, high ? 0xfa : 0x50);
        x64_rmi(s->a, VPSHUFD, t, b, high ? 0xfa : 0x50);
        x64_rvm(s->a, sign ? VPMULDQ : VPMULUDQ, d, d, t);
    }
}

/* Whether the operation takes all of one half of its operands: its result then fills the register. */
static bool whole_half(const IrInsn *i)
{
    return i->lanes * lane_bits(i) == 64 && lane_index((IrType)i->lane) < 3;
}

bool vsel_mull(Sel *s, const IrInsn *i)
{
    if (!whole_half(i))
        return false;
    Xmm a = sel_use_x(s, i->a);
    Xmm b = sel_use_x(s, i->b);
    Xmm d = sel_def_x(s, i);
    Xmm t = sel_tmp_x(s);
    mul_long(s, lane_index((IrType)i->lane), i->aux & IR_SIGNED, i->aux & 1, d, a, b, t);
    return true;
}

bool vsel_satdmull(Sel *s, const IrInsn *i)
{
    unsigned k = lane_index((IrType)i->lane);

    if (!whole_half(i) || k == 0)
        return false;
    Xmm a = sel_use_x(s, i->a);
    Xmm b = sel_use_x(s, i->b);
    Xmm d = sel_def_x(s, i);
    Xmm t = sel_tmp_x(s);
    mul_long(s, k, true, i->aux & 1, d, a, b, t);
    x64_rvm(s->a, lane_add[k + 1], d, d, d);
    fix_least(s, k == 1 ? VPCMPEQD : VPCMPEQQ, 16u << k, d, t);
    return true;
}

/* Registers of the rounding multiply-accumulate. */
typedef struct Rdmlah {
    bool sub, mask;
    Xmm a, t, u;
} Rdmlah;

/*
 * d, products of one half, becomes (a << 15) +- product + round >> 15 in 32 bits, which holds it: half of what ops.def
 * says, with one bit less to shift out. `mask`: then ones where that does not fit 16 bits.
 */
static void rdmlah_half(Sel *s, const Rdmlah *r, bool high, Xmm d)
{
    if (high)
        x64_rvm(s->a, VMOVHLPS, r->t, r->a, r->a);
    x64_rm(s->a, VPMOVSXWD, r->t, high ? r->t : r->a);
    x64_vmi(s->a, VPSLLD_I, r->t, r->t, 15);
    x64_rvm_m(s->a, VPADDD, r->t, r->t, vsel_rep(s, 32, 1u << 14));
    x64_rvm(s->a, r->sub ? VPSUBD : VPADDD, d, r->t, d);
    x64_vmi(s->a, VPSRAD_I, d, d, 15);
    if (!r->mask)
        return;
    x64_vmi(s->a, VPSLLD_I, r->t, d, 16);
    x64_vmi(s->a, VPSRAD_I, r->t, r->t, 16);
    x64_rvm(s->a, VPCMPEQD, d, d, r->t);
    x64_rvm_m(s->a, VPXOR, d, d, vsel_rep(s, 32, 0xffffffff));
}

bool vsel_rdmlah(Sel *s, const IrInsn *i)
{
    Rdmlah r = {.sub = i->aux & 1, .mask = i->op == IR_VRDMLAH_Q};

    if (i->lane != IR_I16)
        return false;
    r.a = sel_use_x(s, i->a);
    Xmm b = sel_use_x(s, i->b);
    Xmm c = sel_use_x(s, i->c);
    Xmm d = sel_def_x(s, i);
    r.t = sel_tmp_x(s);
    r.u = sel_tmp_x(s);
    mul_long(s, 1, true, false, d, b, c, r.t);
    rdmlah_half(s, &r, false, d);
    mul_long(s, 1, true, true, r.u, b, c, r.t);
    rdmlah_half(s, &r, true, r.u);
    x64_rvm(s->a, VPACKSSDW, d, d, r.u);
    vsel_finish(s, i, d);
    return true;
}

/* Carry-less products of bytes, one bit of b at a time, in words. d = sum over j of (bit j of b) * a << j. */
static void clmul_words(Sel *s, Xmm d, Xmm a, Xmm b, Xmm t, Xmm u)
{
    x64_rvm(s->a, VPXOR, d, d, d);
    for (unsigned j = 0; j < 8; j++) {
        x64_vmi(s->a, VPSLLW_I, t, b, 15 - j);
        x64_vmi(s->a, VPSRAW_I, t, t, 15);
        x64_vmi(s->a, VPSLLW_I, u, a, j);
        x64_rvm(s->a, VPAND, t, t, u);
        x64_rvm(s->a, VPXOR, d, d, t);
    }
}

bool vsel_pmull(Sel *s, const IrInsn *i)
{
    bool high = i->aux & 1, bytes = i->lane == IR_I8;

    if ((!bytes && !s->feat->pclmul) || (bytes && !whole_half(i)))
        return false;
    Xmm a = sel_use_x(s, i->a);
    Xmm b = sel_use_x(s, i->b);
    if (!bytes) {
        Xmm d = sel_def_x_last(s, i);
        x64_rvmi(s->a, VPCLMULQDQ, d, a, b, high ? 0x11 : 0x00);
        return true;
    }
    Xmm d = sel_def_x(s, i);
    Xmm x = sel_tmp_x(s), y = sel_tmp_x(s), t = sel_tmp_x(s), u = sel_tmp_x(s);
    if (high) {
        x64_rvm(s->a, VMOVHLPS, x, a, a);
        x64_rvm(s->a, VMOVHLPS, y, b, b);
    }
    x64_rm(s->a, VPMOVZXBW, x, high ? x : a);
    x64_rm(s->a, VPMOVZXBW, y, high ? y : b);
    clmul_words(s, d, x, y, t, u);
    return true;
}

/* Low bytes of the products: of odd bytes in place, where only the upper byte's own bits may reach. */
bool vsel_pmul(Sel *s, const IrInsn *i)
{
    Xmm a = sel_use_x(s, i->a);
    Xmm b = sel_use_x(s, i->b);
    Xmm d = sel_def_x(s, i);
    Xmm x = sel_tmp_x(s), y = sel_tmp_x(s), t = sel_tmp_x(s), u = sel_tmp_x(s);

    x64_vmi(s->a, VPSRLW_I, x, a, 8);
    x64_vmi(s->a, VPSRLW_I, y, b, 8);
    clmul_words(s, d, x, y, t, u);
    x64_vmi(s->a, VPSLLW_I, x, d, 8);
    clmul_words(s, d, a, b, t, u);
    x64_rvm_m(s->a, VPAND, d, d, vsel_rep(s, 16, 0x00ff));
    x64_rvm(s->a, VPOR, d, d, x);
    vsel_finish_zero(s, i, d);
    return true;
}

/* Four byte products a lane: as words, summed in pairs twice. aux: 1 b signed, 2 c signed. */
bool vsel_dot(Sel *s, const IrInsn *i)
{
    X64Vec ext_b = i->aux & 1 ? VPMOVSXBW : VPMOVZXBW, ext_c = i->aux & 2 ? VPMOVSXBW : VPMOVZXBW;
    Xmm a = sel_use_x(s, i->a);
    Xmm b = sel_use_x(s, i->b);
    Xmm c = sel_use_x(s, i->c);
    Xmm d = sel_def_x(s, i);
    Xmm t = sel_tmp_x(s), u = sel_tmp_x(s);

    x64_rm(s->a, ext_b, d, b);
    x64_rm(s->a, ext_c, t, c);
    x64_rvm(s->a, VPMADDWD, d, d, t);
    x64_rvm(s->a, VMOVHLPS, t, b, b);
    x64_rvm(s->a, VMOVHLPS, u, c, c);
    x64_rm(s->a, ext_b, t, t);
    x64_rm(s->a, ext_c, u, u);
    x64_rvm(s->a, VPMADDWD, t, t, u);
    x64_rvm(s->a, VPHADDD, d, d, t);
    x64_rvm(s->a, VPADDD, d, d, a);
    vsel_finish(s, i, d);
    return true;
}

/* Row n of eight bytes as words. */
static void row_words(Sel *s, Xmm d, Xmm v, unsigned n, bool sign)
{
    if (n)
        x64_rvm(s->a, VMOVHLPS, d, v, v);
    x64_rm(s->a, sign ? VPMOVSXBW : VPMOVZXBW, d, n ? d : v);
}

/* Each of the four results: a row of b times a row of c, summed by three levels of pairs. */
bool vsel_mmla(Sel *s, const IrInsn *i)
{
    bool sb = i->aux & 1, sc = i->aux & 2;
    Xmm a = sel_use_x(s, i->a);
    Xmm b = sel_use_x(s, i->b);
    Xmm c = sel_use_x(s, i->c);
    Xmm d = sel_def_x(s, i);
    Xmm b0 = sel_tmp_x(s), b1 = sel_tmp_x(s), c1 = sel_tmp_x(s), t = sel_tmp_x(s);

    row_words(s, b0, b, 0, sb);
    row_words(s, b1, b, 1, sb);
    row_words(s, c1, c, 1, sc);
    row_words(s, d, c, 0, sc);
    x64_rvm(s->a, VPMADDWD, t, b0, d);
    x64_rvm(s->a, VPMADDWD, b0, b0, c1);
    x64_rvm(s->a, VPHADDD, t, t, b0);
    x64_rvm(s->a, VPMADDWD, d, b1, d);
    x64_rvm(s->a, VPMADDWD, b1, b1, c1);
    x64_rvm(s->a, VPHADDD, d, d, b1);
    x64_rvm(s->a, VPHADDD, d, t, d);
    x64_rvm(s->a, VPADDD, d, d, a);
    return true;
}

/* --- pairs ------------------------------------------------------------------------------------------------------------------ */

/* Bytes of x summed in pairs, as words whose upper byte is zero. d may be x. */
static void pair_bytes(Sel *s, Xmm d, Xmm x, Xmm t)
{
    x64_vmi(s->a, VPSRLW_I, t, x, 8);
    x64_rvm(s->a, VPADDB, d, x, t);
    x64_rvm_m(s->a, VPAND, d, d, vsel_rep(s, 16, 0x00ff));
}

/* The 64-bit shape: both operands in one register, sums in its low half. */
static bool addp_half(Sel *s, const IrInsn *i, unsigned k)
{
    Xmm a = sel_use_x(s, i->a);
    Xmm b = sel_use_x(s, i->b);
    Xmm d = sel_def_x(s, i);
    Xmm t = sel_tmp_x(s);

    x64_rvm(s->a, VPUNPCKLQDQ, d, a, b);
    if (k == 0) {
        pair_bytes(s, d, d, t);
        x64_rvm_m(s->a, VPACKUSWB, d, d, vsel_rep(s, 64, 0));
    } else {
        x64_rvm_m(s->a, k == 1 ? VPHADDW : VPHADDD, d, d, vsel_rep(s, 64, 0));
    }
    return true;
}

bool vsel_addp(Sel *s, const IrInsn *i)
{
    unsigned k = lane_index((IrType)i->lane);

    if (half_shape(i))
        return k == 3 ? false : addp_half(s, i, k);
    Xmm a = sel_use_x(s, i->a);
    Xmm b = sel_use_x(s, i->b);
    Xmm d = sel_def_x(s, i);
    Xmm t = sel_tmp_x(s), u = sel_tmp_x(s);
    if (k == 0 && a.n == b.n) {
        pair_bytes(s, d, a, t);
        x64_rvm(s->a, VPACKUSWB, d, d, d);
    } else if (k == 0) {
        pair_bytes(s, d, a, t);
        pair_bytes(s, u, b, t);
        x64_rvm(s->a, VPACKUSWB, d, d, u);
    } else if (k == 3) {
        x64_rvm(s->a, VPUNPCKLQDQ, d, a, b);
        x64_rvm(s->a, VPUNPCKHQDQ, t, a, b);
        x64_rvm(s->a, VPADDQ, d, d, t);
    } else {
        x64_rvm(s->a, k == 1 ? VPHADDW : VPHADDD, d, a, b);
    }
    return true;
}

/* Unsigned lanes of n bits in pairs into lanes of 2n. */
static void paddl_unsigned(Sel *s, unsigned k, Xmm d, Xmm a, Xmm t)
{
    unsigned n = 8u << k;

    x64_vmi(s->a, k == 1 ? VPSRLD_I : VPSRLQ_I, t, a, n);
    x64_rvm_m(s->a, VPAND, d, a, vsel_rep(s, 2 * n, (1ull << n) - 1));
    x64_rvm(s->a, k == 1 ? VPADDD : VPADDQ, d, d, t);
}

bool vsel_paddl(Sel *s, const IrInsn *i)
{
    unsigned k = lane_index((IrType)i->lane);
    bool sign = i->aux & IR_SIGNED;
    Xmm a = sel_use_x(s, i->a);
    Xmm d = sel_def_x(s, i);
    Xmm t = sel_tmp_x(s);

    if (k == 0 && sign) {
        x64_rm_m(s->a, VMOVDQA, t, vsel_rep(s, 8, 1));
        x64_rvm(s->a, VPMADDUBSW, d, t, a);
    } else if (k == 0) {
        x64_rvm_m(s->a, VPMADDUBSW, d, a, vsel_rep(s, 8, 1));
    } else if (k == 1 && sign) {
        x64_rvm_m(s->a, VPMADDWD, d, a, vsel_rep(s, 16, 1));
    } else if (sign) {
        x64_rmi(s->a, VPSHUFD, d, a, 0x08);
        x64_rmi(s->a, VPSHUFD, t, a, 0x0d);
        x64_rm(s->a, VPMOVSXDQ, d, d);
        x64_rm(s->a, VPMOVSXDQ, t, t);
        x64_rvm(s->a, VPADDQ, d, d, t);
    } else {
        paddl_unsigned(s, k, d, a, t);
    }
    vsel_finish_zero(s, i, d);
    return true;
}

/* --- across lanes ------------------------------------------------------------------------------------------------------------ */

/* Sum of all lanes; unused upper lanes are cleared first and add nothing. */
bool vsel_sum(Sel *s, const IrInsn *i)
{
    unsigned k = lane_index((IrType)i->lane);
    bool half = half_shape(i);
    Xmm a = vsel_use_shaped(s, i, i->a);
    Gpr d = sel_def_r(s, i);
    Xmm t = sel_tmp_x(s), u = sel_tmp_x(s);
    unsigned bytes = 8;

    x64_rm(s->a, VMOVAPS, t, a);
    if (k == 0) { /* sums of eight bytes each */
        x64_rvm_m(s->a, VPSADBW, t, t, vsel_rep(s, 64, 0));
        k = 3;
    }
    for (bytes = half ? 4 : 8; bytes >= 1u << k; bytes /= 2) {
        x64_vmi(s->a, VPSRLDQ_I, u, t, bytes);
        x64_rvm(s->a, lane_add[k], t, t, u);
    }
    x64_gx(s->a, i->lane == IR_I64 ? VMOVQ_GX : VMOVD_GX, d, t);
    return true;
}

/*
 * The host finds the unsigned minimum of eight words. Other orders are turned into that by inverting bits: all for the
 * maximum, the sign for signed lanes. Bytes: the smaller of each pair as a word.
 */
static bool minmax_small(Sel *s, const IrInsn *i, unsigned k, bool max, bool sign)
{
    unsigned n = 8u << k;
    uint64_t turn = (max ? (1ull << n) - 1 : 0) ^ (sign ? 1ull << (n - 1) : 0);
    Xmm a = sel_use_x(s, i->a);
    Gpr d = sel_def_r(s, i);
    Xmm t = sel_tmp_x(s), u = sel_tmp_x(s);

    x64_rm(s->a, half_shape(i) ? VMOVDDUP : VMOVAPS, t, a);
    if (turn)
        x64_rvm_m(s->a, VPXOR, t, t, vsel_rep(s, n, turn));
    if (k == 0) {
        x64_vmi(s->a, VPSRLW_I, u, t, 8);
        x64_rvm(s->a, VPMINUB, t, t, u);
    }
    x64_rm(s->a, VPHMINPOSUW, t, t);
    x64_gx(s->a, VMOVD_GX, d, t);
    if (turn)
        x64_alu_ri(s->a, ALU_XOR, W32, d, (int32_t)turn);
    return true;
}

bool vsel_minmaxv(Sel *s, const IrInsn *i)
{
    static const X64Vec op[2][2] = {{VPMINUD, VPMINSD}, {VPMAXUD, VPMAXSD}};
    unsigned k = lane_index((IrType)i->lane);
    bool max = i->op == IR_VMAXV, sign = i->aux & IR_SIGNED;

    if (k < 2)
        return minmax_small(s, i, k, max, sign);
    if (k == 3)
        return false;
    Xmm a = sel_use_x(s, i->a);
    Gpr d = sel_def_r(s, i);
    Xmm t = sel_tmp_x(s), u = sel_tmp_x(s);
    x64_rm(s->a, half_shape(i) ? VMOVDDUP : VMOVAPS, t, a);
    x64_rmi(s->a, VPSHUFD, u, t, 0x4e);
    x64_rvm(s->a, op[max][sign], t, t, u);
    x64_rmi(s->a, VPSHUFD, u, t, 0xb1);
    x64_rvm(s->a, op[max][sign], t, t, u);
    x64_gx(s->a, VMOVD_GX, d, t);
    return true;
}

/* --- widening and narrowing ---------------------------------------------------------------------------------------------------- */

bool vsel_widen(Sel *s, const IrInsn *i)
{
    unsigned k = lane_index((IrType)i->lane);
    bool high = i->aux & 1;

    if (!whole_half(i))
        return false;
    Xmm a = sel_use_x(s, i->a);
    Xmm d = sel_def_x_last(s, i);
    if (high)
        x64_rvm(s->a, VMOVHLPS, d, a, a);
    x64_rm(s->a, (i->aux & IR_SIGNED ? lane_sext : lane_zext)[k], d, high ? d : a);
    return true;
}

/* Low halves of the lanes brought together, zero above. d may be a. */
static void narrow_truncate(Sel *s, unsigned k, Xmm d, Xmm a)
{
    static const uint64_t pick[] = {0, 0x0e0c0a0806040200, 0x0d0c090805040100, 0x0b0a090803020100};
    x64_rvm_m(s->a, VPSHUFB, d, a, sel_vconst(s, pick[k], 0x8080808080808080));
}

/* 16 and 32 bits: the packing instructions take signed lanes; unsigned ones are limited first. */
static void narrow_pack(Sel *s, unsigned k, unsigned kind, Xmm d, Xmm a)
{
    if (kind == IR_NARROW_UU) {
        x64_rvm_m(s->a, k == 1 ? VPMINUW : VPMINUD, d, a, vsel_rep(s, 8u << k, k == 1 ? 0xff : 0xffff));
        a = d;
    }
    X64Vec op = kind == IR_NARROW_SS ? k == 1 ? VPACKSSWB : VPACKSSDW : k == 1 ? VPACKUSWB : VPACKUSDW;
    x64_rvm_m(s->a, op, d, a, vsel_rep(s, 64, 0));
}

/* 64 bits to signed 32: limited from both sides. */
static void narrow_quads_signed(Sel *s, Xmm d, Xmm a, Xmm t, Xmm u)
{
    x64_rm_m(s->a, VMOVDQA, u, vsel_rep(s, 64, 0x7fffffff));
    x64_rvm(s->a, VPCMPGTQ, t, a, u);
    x64_rvms(s->a, VBLENDVPD, d, a, u, t);
    x64_rm_m(s->a, VMOVDQA, u, vsel_rep(s, 64, 0xffffffff80000000));
    x64_rvm(s->a, VPCMPGTQ, t, u, a);
    x64_rvms(s->a, VBLENDVPD, d, d, u, t);
    narrow_truncate(s, 3, d, d);
}

/* 64 bits to unsigned 32: negative values (when `sign`) are 0, those with upper bits all ones. */
static void narrow_quads_unsigned(Sel *s, bool sign, Xmm d, Xmm a, Xmm t)
{
    x64_rvm(s->a, VPXOR, t, t, t);
    if (sign) {
        x64_rvm(s->a, VPCMPGTQ, t, t, a);
        x64_rvm(s->a, VPANDN, d, t, a);
        a = d;
    }
    x64_vmi(s->a, VPSRLQ_I, t, a, 32);
    x64_rvm_m(s->a, VPCMPEQQ, t, t, vsel_rep(s, 64, 0)); /* ones where it fits */
    x64_rvm_m(s->a, VPXOR, t, t, vsel_rep(s, 64, ~0ull));
    x64_rvm(s->a, VPOR, d, a, t);
    narrow_truncate(s, 3, d, d);
}

bool vsel_narrow(Sel *s, const IrInsn *i)
{
    unsigned k = lane_index((IrType)i->lane), kind = i->aux;

    if (!full_shape(i) || k == 0)
        return false;
    Xmm a = sel_use_x(s, i->a);
    Xmm d = sel_def_x(s, i);
    Xmm t = sel_tmp_x(s), u = sel_tmp_x(s);
    if (kind == IR_NARROW_TRUNC)
        narrow_truncate(s, k, d, a);
    else if (k < 3)
        narrow_pack(s, k, kind, d, a);
    else if (kind == IR_NARROW_SS)
        s->feat->avx512 ? x64_mr(s->a, VPMOVSQD, d, a) : narrow_quads_signed(s, d, a, t, u);
    else if (kind == IR_NARROW_UU && s->feat->avx512)
        x64_mr(s->a, VPMOVUSQD, d, a);
    else
        narrow_quads_unsigned(s, kind == IR_NARROW_SU, d, a, t);
    return true;
}
