/*
 * Vector shifts and saturating addition and subtraction.
 */
#include "host/x86_64/vsel.h"

/* Instructions by lane; there are no byte shifts, for those the word ones are masked. */
static const X64Vec shl_imm[] = {VPSLLW_I, VPSLLW_I, VPSLLD_I, VPSLLQ_I};
static const X64Vec shr_imm[] = {VPSRLW_I, VPSRLW_I, VPSRLD_I, VPSRLQ_I};
static const X64Vec sar_imm[] = {X64_NVEC, VPSRAW_I, VPSRAD_I, VPSRAQ_I};
static const X64Vec lane_add[] = {VPADDB, VPADDW, VPADDD, VPADDQ};
static const X64Vec lane_sub[] = {VPSUBB, VPSUBW, VPSUBD, VPSUBQ};
static const X64Vec lane_gt[] = {VPCMPGTB, VPCMPGTW, VPCMPGTD, VPCMPGTQ};
static const X64Vec lane_eq[] = {VPCMPEQB, VPCMPEQW, VPCMPEQD, VPCMPEQQ};

/* --- by an immediate ---------------------------------------------------------------------------------------------------- */

static void shift_left(Sel *s, unsigned k, Xmm d, Xmm a, unsigned n)
{
    x64_vmi(s->a, shl_imm[k], d, a, n);
    if (k == 0)
        x64_rvm_m(s->a, VPAND, d, d, vsel_rep(s, 8, 0xffu << n));
}

/* Arithmetic shift of 64-bit lanes without AVX-512: logical, with the sign's bits put in. */
static void shift_right_s64(Sel *s, Xmm d, Xmm a, unsigned n, Xmm t)
{
    x64_rvm(s->a, VPXOR, t, t, t);
    x64_rvm(s->a, VPCMPGTQ, t, t, a);
    if (n == 0) {
        x64_rm(s->a, VMOVAPS, d, a);
        return;
    }
    x64_vmi(s->a, VPSRLQ_I, d, a, n);
    x64_vmi(s->a, VPSLLQ_I, t, t, 64 - n);
    x64_rvm(s->a, VPOR, d, d, t);
}

/* Shifts above 63 are not asked for here: the caller limits n. */
static void shift_right_signed(Sel *s, unsigned k, Xmm d, Xmm a, unsigned n, Xmm t)
{
    if (k == 0) { /* logical, then sign extension of what is left */
        x64_vmi(s->a, VPSRLW_I, d, a, n);
        x64_rvm_m(s->a, VPAND, d, d, vsel_rep(s, 8, 0xffu >> n));
        Mem top = vsel_rep(s, 8, 0x80u >> n);
        x64_rvm_m(s->a, VPXOR, d, d, top);
        x64_rvm_m(s->a, VPSUBB, d, d, top);
    } else if (k == 3 && !s->feat->avx512) {
        shift_right_s64(s, d, a, n, t);
    } else {
        x64_vmi(s->a, sar_imm[k], d, a, n);
    }
}

void vsel_shift_right(Sel *s, bool sign, unsigned k, Xmm d, Xmm a, unsigned n, Xmm t)
{
    unsigned bits = 8u << k;

    if (sign) {
        shift_right_signed(s, k, d, a, n < bits ? n : bits - 1, t);
    } else {
        x64_vmi(s->a, shr_imm[k], d, a, n);
        if (k == 0)
            x64_rvm_m(s->a, VPAND, d, d, vsel_rep(s, 8, 0xffu >> n));
    }
}

bool vsel_shift_imm(Sel *s, const IrInsn *i)
{
    unsigned k = lane_index((IrType)i->lane), n = (unsigned)i->imm;
    Xmm a = sel_use_x(s, i->a);
    Xmm d = sel_def_x(s, i);
    Xmm t = sel_tmp_x(s);

    if (i->op == IR_VSHLI)
        shift_left(s, k, d, a, n);
    else
        vsel_shift_right(s, i->op == IR_VSARI, k, d, a, n, t);
    vsel_finish_zero(s, i, d);
    return true;
}

bool vsel_rotate(Sel *s, const IrInsn *i)
{
    unsigned k = lane_index((IrType)i->lane), bits = 8u << k, n = (unsigned)i->imm % bits;
    Xmm a = sel_use_x(s, i->a);
    Xmm d = sel_def_x(s, i);

    if (k >= 2 && s->feat->avx512) {
        x64_vmi(s->a, k == 2 ? VPRORD : VPRORQ, d, a, n);
    } else {
        Xmm t = sel_tmp_x(s);
        vsel_shift_right(s, false, k, d, a, n, t);
        if (n) {
            shift_left(s, k, t, a, bits - n);
            x64_rvm(s->a, VPOR, d, d, t);
        }
    }
    vsel_finish_zero(s, i, d);
    return true;
}

/* --- by a vector -------------------------------------------------------------------------------------------------------- */

static const X64Vec sllv[] = {X64_NVEC, VPSLLVW, VPSLLVD, VPSLLVQ};
static const X64Vec srlv[] = {X64_NVEC, VPSRLVW, VPSRLVD, VPSRLVQ};
static const X64Vec srav[] = {X64_NVEC, VPSRAVW, VPSRAVD, VPSRAVQ};

/* Registers of the variable shift. m: sign mask, where 64-bit lanes lack the arithmetic shift. */
typedef struct VarShift {
    bool sign, round;
    unsigned k;      /* lane: 1..3 */
    Xmm cnt, neg, m;
} VarShift;

/* t = x shifted right by the lanes of `count`; counts beyond the width shift everything out. */
static void right_var(Sel *s, const VarShift *v, Xmm t, Xmm x, Xmm count)
{
    if (!v->sign) {
        x64_rvm(s->a, srlv[v->k], t, x, count);
    } else if (v->k < 3 || s->feat->avx512) {
        x64_rvm(s->a, srav[v->k], t, x, count);
    } else { /* a negative value is shifted inverted */
        x64_rvm(s->a, VPXOR, v->m, v->m, v->m);
        x64_rvm(s->a, VPCMPGTQ, v->m, v->m, x);
        x64_rvm(s->a, VPXOR, t, x, v->m);
        x64_rvm(s->a, VPSRLVQ, t, t, count);
        x64_rvm(s->a, VPXOR, t, t, v->m);
    }
}

/* cnt = 0 - b and neg = its low byte: the count of right shifts. Left shifts make that large: what is shifted goes. */
static void right_counts(Sel *s, const VarShift *v, Xmm b)
{
    x64_rvm(s->a, VPXOR, v->neg, v->neg, v->neg);
    x64_rvm(s->a, lane_sub[v->k], v->neg, v->neg, b);
    if (v->round) /* one less: the last bit shifted out is added afterwards */
        x64_rvm_m(s->a, lane_add[v->k], v->neg, v->neg, vsel_rep(s, 64, ~0ull));
    x64_rvm_m(s->a, VPAND, v->neg, v->neg, vsel_rep(s, 8u << v->k, 0xff));
}

/*
 * d = x shifted by the signed low bytes of b, k lanes wide. t is spoiled; d may be neither x nor b.
 */
static void shift_var(Sel *s, const VarShift *v, Xmm d, Xmm x, Xmm b, Xmm t)
{
    unsigned bits = 8u << v->k;

    right_counts(s, v, b);
    right_var(s, v, d, x, v->neg);
    if (v->round) {
        x64_rvm_m(s->a, VPAND, t, d, vsel_rep(s, bits, 1));
        vsel_shift_right(s, v->sign, v->k, d, d, 1, v->m);
        x64_rvm(s->a, lane_add[v->k], d, d, t);
    }
    x64_rvm_m(s->a, VPAND, t, b, vsel_rep(s, bits, 0xff));
    x64_rvm(s->a, sllv[v->k], t, x, t);
    /* bit 7 of the count chooses the right shift: brought to the lane's top */
    x64_vmi(s->a, shl_imm[v->k], v->neg, b, bits - 8);
    if (v->k == 1)
        x64_vmi(s->a, VPSRAW_I, v->neg, v->neg, 15);
    x64_rvms(s->a, v->k == 1 ? VPBLENDVB : v->k == 2 ? VBLENDVPS : VBLENDVPD, d, t, d, v->neg);
}

/* Lanes without variable shifts, in twice the width: both halves of x and b, then the low halves of the lanes packed. */
static void shift_var_wide(Sel *s, VarShift *v, Xmm d, Xmm a, Xmm b, Xmm t, Xmm x, Xmm y, Xmm res)
{
    bool byte = v->k == 0;
    X64Vec ext = byte ? v->sign ? VPMOVSXBW : VPMOVZXBW : v->sign ? VPMOVSXWD : VPMOVZXWD;
    X64Vec ext_b = byte ? VPMOVZXBW : VPMOVZXWD;

    v->k++;
    x64_rm(s->a, ext, x, a);
    x64_rm(s->a, ext_b, y, b);
    shift_var(s, v, res, x, y, t);
    x64_rvm(s->a, VMOVHLPS, x, a, a);
    x64_rvm(s->a, VMOVHLPS, y, b, b);
    x64_rm(s->a, ext, x, x);
    x64_rm(s->a, ext_b, y, y);
    shift_var(s, v, d, x, y, t);
    Mem low = vsel_rep(s, byte ? 16 : 32, byte ? 0xff : 0xffff);
    x64_rvm_m(s->a, VPAND, res, res, low);
    x64_rvm_m(s->a, VPAND, d, d, low);
    x64_rvm(s->a, byte ? VPACKUSWB : VPACKUSDW, d, res, d);
}

/*
 * Saturation of left shifts, lanes of 32 and 64 bits: the value that comes back when the result is shifted right again
 * differs. `want_mask`: only where that is so.
 */
static void shift_sat(Sel *s, const VarShift *v, bool want_mask, Xmm d, Xmm x, Xmm b, Xmm t, Xmm u)
{
    unsigned bits = 8u << v->k;
    X64Vec blend = v->k == 2 ? VBLENDVPS : VBLENDVPD;

    x64_rvm_m(s->a, VPAND, v->cnt, b, vsel_rep(s, bits, 0xff));
    x64_rvm(s->a, sllv[v->k], t, x, v->cnt);
    right_var(s, v, u, t, v->cnt);
    x64_rvm(s->a, lane_eq[v->k], u, u, x); /* ones where nothing was lost */
    x64_vmi(s->a, shl_imm[v->k], v->cnt, b, bits - 8); /* sign of the count */
    x64_rvm(s->a, VPOR, u, u, v->cnt);     /* top bit: no saturation */
    if (want_mask) {
        x64_rvm_m(s->a, VPXOR, u, u, vsel_rep(s, bits, 1ull << (bits - 1)));
        vsel_shift_right(s, true, v->k, d, u, bits - 1, t);
        return;
    }
    if (v->sign) {
        x64_rvm(s->a, VPXOR, t, t, t);
        x64_rvm(s->a, lane_gt[v->k], t, t, x);
        x64_rvm_m(s->a, VPXOR, t, t, vsel_rep(s, bits, ~0ull >> (65 - bits)));
    } else {
        x64_rvm(s->a, lane_eq[v->k], t, t, t);
    }
    x64_rvms(s->a, blend, d, t, d, u);
}

/* The range of a saturating shift of narrow lanes, in lanes of twice the width (bits: of the wide lane). */
static void clamp(Sel *s, bool wide_word, bool to_signed, bool from_signed, Xmm d)
{
    unsigned bits = wide_word ? 16 : 32;
    uint64_t top = to_signed ? (1ull << (bits / 2 - 1)) - 1 : (1ull << bits / 2) - 1, low = to_signed ? ~top : 0;

    if (from_signed) {
        x64_rvm_m(s->a, wide_word ? VPMINSW : VPMINSD, d, d, vsel_rep(s, bits, top));
        x64_rvm_m(s->a, wide_word ? VPMAXSW : VPMAXSD, d, d, vsel_rep(s, bits, low));
    } else {
        x64_rvm_m(s->a, wide_word ? VPMINUW : VPMINUD, d, d, vsel_rep(s, bits, top));
    }
}

/* Registers and kind of a saturating shift of narrow lanes. */
typedef struct SatShift {
    VarShift v;     /* of the wide lanes */
    bool to_signed, mask;
    Xmm a, b, t, x, y;
} SatShift;

/*
 * One half: d = its shifted lanes within range, or (mask) ones where they had to be brought there. Left shifts by the
 * lane's width and more saturate as those by the width do, and twice the width holds these.
 */
static void sat_half(Sel *s, const SatShift *w, bool high, Xmm d)
{
    bool word = w->v.k == 1;
    X64Vec ext = word ? w->v.sign ? VPMOVSXBW : VPMOVZXBW : w->v.sign ? VPMOVSXWD : VPMOVZXWD;

    if (high) {
        x64_rvm(s->a, VMOVHLPS, w->x, w->a, w->a);
        x64_rvm(s->a, VMOVHLPS, w->y, w->b, w->b);
    }
    x64_rm(s->a, ext, w->x, high ? w->x : w->a);
    x64_rm(s->a, word ? VPMOVSXBW : VPMOVZXWD, w->y, high ? w->y : w->b);
    if (!word) { /* the count is the low byte */
        x64_vmi(s->a, VPSLLD_I, w->y, w->y, 24);
        x64_vmi(s->a, VPSRAD_I, w->y, w->y, 24);
    }
    x64_rvm_m(s->a, word ? VPMINSW : VPMINSD, w->y, w->y, vsel_rep(s, word ? 16 : 32, word ? 8 : 16));
    shift_var(s, &w->v, d, w->x, w->y, w->t);
    if (w->mask)
        x64_rm(s->a, VMOVAPS, w->t, d);
    clamp(s, word, w->to_signed, w->v.sign, d);
    if (w->mask) {
        x64_rvm(s->a, lane_eq[w->v.k], d, d, w->t);
        x64_rvm_m(s->a, VPXOR, d, d, vsel_rep(s, 64, ~0ull));
    }
}

static bool shift_sat_narrow(Sel *s, const IrInsn *i, VarShift v)
{
    SatShift w = {.v = v, .to_signed = v.sign && !(i->aux & IR_SATU), .mask = i->op == IR_VSHIFT_Q};
    bool byte = v.k == 0;

    if (byte && !s->feat->avx512)
        return false;
    w.a = sel_use_x(s, i->a);
    w.b = sel_use_x(s, i->b);
    Xmm d = sel_def_x(s, i);
    w.t = sel_tmp_x(s);
    w.x = sel_tmp_x(s);
    w.y = sel_tmp_x(s);
    w.v.neg = sel_tmp_x(s);
    w.v.m = sel_tmp_x(s);
    w.v.k++;
    Xmm low = sel_tmp_x(s);
    sat_half(s, &w, false, low);
    sat_half(s, &w, true, d);
    if (w.to_signed || w.mask)
        x64_rvm(s->a, byte ? VPACKSSWB : VPACKSSDW, d, low, d);
    else
        x64_rvm(s->a, byte ? VPACKUSWB : VPACKUSDW, d, low, d);
    vsel_finish(s, i, d);
    return true;
}

static bool shift_saturating(Sel *s, const IrInsn *i, VarShift v)
{
    v.sign = v.sign || (i->aux & IR_SATU);
    if (v.k < 2)
        return shift_sat_narrow(s, i, v);
    if (i->aux & IR_SATU)
        return false;
    Xmm a = sel_use_x(s, i->a);
    Xmm b = sel_use_x(s, i->b);
    Xmm d = sel_def_x(s, i);
    Xmm t = sel_tmp_x(s), u = sel_tmp_x(s);
    v.cnt = sel_tmp_x(s);
    v.neg = sel_tmp_x(s);
    v.m = sel_tmp_x(s);
    if (i->op == IR_VSHIFT)
        shift_var(s, &v, d, a, b, t);
    shift_sat(s, &v, i->op == IR_VSHIFT_Q, d, a, b, t, u);
    vsel_finish(s, i, d);
    return true;
}

bool vsel_shift(Sel *s, const IrInsn *i)
{
    VarShift v = {.sign = i->aux & IR_SIGNED, .round = i->aux & IR_ROUNDING, .k = lane_index((IrType)i->lane)};
    bool wide = v.k == 0 || (v.k == 1 && !s->feat->avx512);

    if (i->aux & (IR_SAT | IR_SATU))
        return shift_saturating(s, i, v);
    if (i->op == IR_VSHIFT_Q || (v.k == 0 && !s->feat->avx512))
        return false;
    Xmm a = sel_use_x(s, i->a);
    Xmm b = sel_use_x(s, i->b);
    Xmm d = sel_def_x(s, i);
    Xmm t = sel_tmp_x(s);
    v.neg = sel_tmp_x(s);
    v.m = sel_tmp_x(s);
    if (wide) {
        Xmm x = sel_tmp_x(s), y = sel_tmp_x(s), res = sel_tmp_x(s);
        shift_var_wide(s, &v, d, a, b, t, x, y, res);
    } else {
        shift_var(s, &v, d, a, b, t);
    }
    vsel_finish(s, i, d);
    return true;
}

/* --- saturating addition and subtraction ----------------------------------------------------------------------------------- */

/* What a saturating sequence works on; d is none of the others. */
typedef struct Sat {
    unsigned k;
    Xmm d, a, b, t, u;
} Sat;

/* Signed, 32 and 64 bits: where the sum's sign is wrong, the limit on a's side. */
static void signed_wide(Sel *s, const Sat *v, bool sub)
{
    unsigned bits = 8u << v->k;

    x64_rvm(s->a, (sub ? lane_sub : lane_add)[v->k], v->d, v->a, v->b);
    x64_rvm(s->a, VPXOR, v->t, v->a, v->d);
    x64_rvm(s->a, VPXOR, v->u, sub ? v->a : v->d, v->b);
    x64_rvm(s->a, VPAND, v->t, v->t, v->u); /* top bit: overflow */
    x64_rvm(s->a, VPXOR, v->u, v->u, v->u);
    x64_rvm(s->a, lane_gt[v->k], v->u, v->u, v->a);
    x64_rvm_m(s->a, VPXOR, v->u, v->u, vsel_rep(s, bits, ~0ull >> (65 - bits)));
    x64_rvms(s->a, v->k == 2 ? VBLENDVPS : VBLENDVPD, v->d, v->d, v->u, v->t);
}

/* Unsigned, 32 bits (64 with AVX-512): a + min(b, ~a), max(a, b) - b. */
static void unsigned_minmax(Sel *s, const Sat *v, bool sub)
{
    if (sub) {
        x64_rvm(s->a, v->k == 2 ? VPMAXUD : VPMAXUQ, v->d, v->a, v->b);
        x64_rvm(s->a, lane_sub[v->k], v->d, v->d, v->b);
    } else {
        x64_rvm_m(s->a, VPXOR, v->d, v->a, vsel_rep(s, 64, ~0ull));
        x64_rvm(s->a, v->k == 2 ? VPMINUD : VPMINUQ, v->d, v->d, v->b);
        x64_rvm(s->a, lane_add[v->k], v->d, v->d, v->a);
    }
}

/* Unsigned, 64 bits: ones where the sum is below a, zeros where a is below b. */
static void unsigned_compare64(Sel *s, const Sat *v, bool sub)
{
    Mem top = vsel_rep(s, 64, 1ull << 63);

    x64_rvm(s->a, sub ? VPSUBQ : VPADDQ, v->d, v->a, v->b);
    x64_rvm_m(s->a, VPXOR, v->t, v->a, top);
    x64_rvm_m(s->a, VPXOR, v->u, sub ? v->b : v->d, top);
    if (sub)
        x64_rvm(s->a, VPCMPGTQ, v->t, v->u, v->t);
    else
        x64_rvm(s->a, VPCMPGTQ, v->t, v->t, v->u);
    if (sub)
        x64_rvm(s->a, VPANDN, v->d, v->t, v->d);
    else
        x64_rvm(s->a, VPOR, v->d, v->d, v->t);
}

static void saturating(Sel *s, const Sat *v, bool sign, bool sub)
{
    static const X64Vec op[2][2][2] = {
        {{VPADDUSB, VPADDUSW}, {VPSUBUSB, VPSUBUSW}}, {{VPADDSB, VPADDSW}, {VPSUBSB, VPSUBSW}}};

    if (v->k < 2)
        x64_rvm(s->a, op[sign][sub][v->k], v->d, v->a, v->b);
    else if (sign)
        signed_wide(s, v, sub);
    else if (v->k == 2 || s->feat->avx512)
        unsigned_minmax(s, v, sub);
    else
        unsigned_compare64(s, v, sub);
}

/*
 * Mixed signs: with half the range added, a signed value saturates as an unsigned one does, and the other way round; the
 * result is moved back.
 */
bool vsel_sat(Sel *s, const IrInsn *i)
{
    bool mixed = i->op == IR_VADDSU_SAT || i->op == IR_VADDUS_SAT;
    bool sub = i->op == IR_VSUBS_SAT || i->op == IR_VSUBU_SAT;
    bool sign = i->op == IR_VADDS_SAT || i->op == IR_VSUBS_SAT || i->op == IR_VADDUS_SAT;
    Sat v = {.k = lane_index((IrType)i->lane)};
    Xmm moved = {0};

    v.a = sel_use_x(s, i->a);
    v.b = sel_use_x(s, i->b);
    v.d = sel_def_x(s, i);
    v.t = sel_tmp_x(s);
    v.u = sel_tmp_x(s);
    if (mixed)
        moved = sel_tmp_x(s);
    Mem top = vsel_rep(s, 8u << v.k, 1ull << ((8u << v.k) - 1));
    if (mixed) {
        x64_rvm_m(s->a, VPXOR, moved, v.a, top);
        v.a = moved;
    }
    saturating(s, &v, sign, sub);
    if (mixed)
        x64_rvm_m(s->a, VPXOR, v.d, v.d, top);
    vsel_finish_zero(s, i, v.d);
    return true;
}
