/*
 * Vector operations, lane by lane. Lanes are read zero-extended into 64 bits; signed operations extend them again. Nothing
 * here is fast; everything is meant to be read next to ops.def.
 */
#include "ir/eval.h"

/* What an operation works on, worked out once. */
typedef struct Shape {
    const IrInsn *op;
    const IrVal *a, *b, *c;
    unsigned size;  /* bytes a lane */
    unsigned n;     /* bits a lane */
    unsigned lanes;
    bool sign;      /* aux IR_SIGNED */
    bool high;      /* aux bit 0: the high halves */
} Shape;

static uint64_t low_lane(const Shape *s, const IrVal *v, unsigned i)
{
    return ir_lane(v, s->size, i);
}

/* Lane value as a number: sign-extended when `sign`. */
static __int128 num(const Shape *s, const IrVal *v, unsigned i, bool sign)
{
    uint64_t x = low_lane(s, v, i);
    return sign ? (__int128)ir_slow(x, s->n) : (__int128)x;
}

static __int128 max_of(unsigned n, bool sign)
{
    return ((__int128)1 << (sign ? n - 1 : n)) - 1;
}

static __int128 min_of(unsigned n, bool sign)
{
    return sign ? -((__int128)1 << (n - 1)) : 0;
}

static uint64_t saturate(__int128 x, unsigned n, bool sign)
{
    if (x > max_of(n, sign))
        x = max_of(n, sign);
    if (x < min_of(n, sign))
        x = min_of(n, sign);
    return (uint64_t)x;
}

static bool saturates(__int128 x, unsigned n, bool sign)
{
    return x > max_of(n, sign) || x < min_of(n, sign);
}

/* x >> k towards minus infinity, with rounding half up when asked; k may exceed every width. */
static __int128 shift_right(__int128 x, unsigned k, bool round)
{
    if (k == 0)
        return x;
    if (k > 120)
        return round ? 0 : x < 0 ? -1 : 0;
    return (x + (round ? (__int128)1 << (k - 1) : 0)) >> k;
}

/* --- one result lane from the lanes at the same place ----------------------------------------------------------------- */

static uint64_t shift_lane(const Shape *s, __int128 x, int by, bool *sat)
{
    unsigned aux = s->op->aux;
    bool to_signed = s->sign && !(aux & IR_SATU);
    __int128 r;

    if (by < 0)
        r = shift_right(x, (unsigned)-by, aux & IR_ROUNDING);
    else if (by < (int)s->n)
        r = x * ((__int128)1 << by);
    else /* everything is shifted out; any nonzero value lies beyond every range */
        r = aux & (IR_SAT | IR_SATU) ? (x > 0) * ((__int128)1 << 100) - (x < 0) * ((__int128)1 << 100) : 0;
    *sat = false;
    if (aux & (IR_SAT | IR_SATU)) {
        *sat = saturates(r, s->n, to_signed);
        r = (__int128)ir_low(saturate(r, s->n, to_signed), s->n);
    }
    return (uint64_t)r;
}

static uint64_t vshift(const Shape *s, unsigned i, bool want_sat)
{
    bool sat;
    bool sign = s->sign || (s->op->aux & IR_SATU);
    uint64_t r = shift_lane(s, num(s, s->a, i, sign), (int8_t)low_lane(s, s->b, i), &sat);
    return want_sat ? sat ? UINT64_MAX : 0 : r;
}

static uint64_t rdmlah(const Shape *s, unsigned i, bool want_sat)
{
    __int128 prod = 2 * num(s, s->b, i, true) * num(s, s->c, i, true);
    __int128 acc = num(s, s->a, i, true) * ((__int128)1 << s->n);
    __int128 r = (acc + (s->op->aux & 1 ? -prod : prod) + ((__int128)1 << (s->n - 1))) >> s->n;
    return want_sat ? saturates(r, s->n, true) ? UINT64_MAX : 0 : saturate(r, s->n, true);
}

static uint64_t dmulh(const Shape *s, unsigned i)
{
    __int128 r = 2 * num(s, s->a, i, true) * num(s, s->b, i, true);
    if (s->op->aux & IR_ROUNDING)
        r += (__int128)1 << (s->n - 1);
    return saturate(r >> s->n, s->n, true);
}

static uint64_t relation(const Shape *s, unsigned i)
{
    bool sign = s->op->aux & IR_PSIGNED;
    __int128 a = num(s, s->a, i, sign), b = num(s, s->b, i, sign);
    return s->op->aux & (a < b ? IR_LT : a == b ? IR_EQ : IR_GT) ? UINT64_MAX : 0;
}

static unsigned clz_lane(unsigned n, uint64_t x)
{
    return x ? (unsigned)__builtin_clzll(x) - (64 - n) : n;
}

static uint64_t cls_lane(const Shape *s, uint64_t x)
{
    uint64_t same = ir_low(x ^ (uint64_t)(ir_slow(x, s->n) >> (s->n - 1)), s->n);
    return clz_lane(s->n, same) - 1;
}

static uint64_t bitrev8(uint64_t x)
{
    uint64_t r = 0;
    for (unsigned k = 0; k < 8; k++)
        r |= (x >> k & 1) << (7 - k);
    return r;
}

/* Carry-less product of the low `n` bits, up to 128 bits wide. */
static unsigned __int128 clmul(unsigned n, uint64_t a, uint64_t b)
{
    unsigned __int128 r = 0;
    for (unsigned k = 0; k < n; k++)
        if (b >> k & 1)
            r ^= (unsigned __int128)a << k;
    return r;
}

static uint64_t ror_lane(unsigned n, uint64_t x, unsigned by)
{
    by %= n;
    return by ? x >> by | x << (n - by) : x;
}

/* Arm's RecipEstimate and RecipSqrtEstimate of 9-bit fixed point numbers, from the pseudocode's definition. */
static unsigned recip_estimate(unsigned a)
{
    a = a * 2 + 1;
    unsigned b = (1u << 19) / a;
    return (b + 1) / 2;
}

static unsigned rsqrt_estimate(unsigned a)
{
    a = a < 256 ? a * 2 + 1 : (a >> 1 << 1) * 2 + 2;
    uint64_t b = 512;
    while ((uint64_t)a * (b + 1) * (b + 1) < (1ull << 28))
        b++;
    return (unsigned)((b + 1) / 2);
}

static uint64_t urecpe(uint32_t x)
{
    return x >> 31 ? (uint64_t)recip_estimate(x >> 23) << 23 : 0xffffffff;
}

static uint64_t ursqrte(uint32_t x)
{
    return x >> 30 ? (uint64_t)rsqrt_estimate(x >> 23) << 23 : 0xffffffff;
}

static bool lane_arith(const Shape *s, unsigned i, uint64_t *res)
{
    uint64_t a = low_lane(s, s->a, i), b = low_lane(s, s->b, i);
    int64_t sa = ir_slow(a, s->n), sb = ir_slow(b, s->n);

    switch (s->op->op) {
    case IR_ADD:  *res = a + b; break;
    case IR_SUB:  *res = a - b; break;
    case IR_MUL:  *res = a * b; break;
    case IR_NEG:  *res = 0 - a; break;
    case IR_ABS:  *res = sa < 0 ? 0 - a : a; break;
    case IR_MINS: *res = sa < sb ? a : b; break;
    case IR_MAXS: *res = sa > sb ? a : b; break;
    case IR_MINU: *res = a < b ? a : b; break;
    case IR_MAXU: *res = a > b ? a : b; break;
    case IR_MULHU: *res = (uint64_t)((num(s, s->a, i, false) * num(s, s->b, i, false)) >> s->n); break;
    case IR_MULHS: *res = (uint64_t)((num(s, s->a, i, true) * num(s, s->b, i, true)) >> s->n); break;
    case IR_CLZ:  *res = clz_lane(s->n, a); break;
    case IR_CLS:  *res = cls_lane(s, a); break;
    case IR_POPCNT: *res = (unsigned)__builtin_popcountll(a); break;
    case IR_BITREV: *res = bitrev8(a); break;
    case IR_VICMP: *res = relation(s, i); break;
    default: return false;
    }
    return true;
}

static bool lane_shift(const Shape *s, unsigned i, uint64_t *res)
{
    uint64_t a = low_lane(s, s->a, i);
    unsigned by = (unsigned)s->op->imm;

    switch (s->op->op) {
    case IR_VSHLI:    *res = by < 64 ? a << by : 0; break;
    case IR_VSHRI:    *res = by < s->n ? a >> by : 0; break;
    case IR_VSARI:    *res = (uint64_t)(ir_slow(a, s->n) >> (by < s->n ? by : s->n - 1)); break;
    case IR_VROR:     *res = ror_lane(s->n, a, by); break;
    case IR_VSHIFT:   *res = vshift(s, i, false); break;
    case IR_VSHIFT_Q: *res = vshift(s, i, true); break;
    default: return false;
    }
    return true;
}

static bool lane_saturating(const Shape *s, unsigned i, uint64_t *res)
{
    __int128 ua = num(s, s->a, i, false), ub = num(s, s->b, i, false);
    __int128 sa = num(s, s->a, i, true), sb = num(s, s->b, i, true);
    unsigned n = s->n;

    switch (s->op->op) {
    case IR_VADDS_SAT:  *res = saturate(sa + sb, n, true); break;
    case IR_VADDU_SAT:  *res = saturate(ua + ub, n, false); break;
    case IR_VSUBS_SAT:  *res = saturate(sa - sb, n, true); break;
    case IR_VSUBU_SAT:  *res = saturate(ua - ub, n, false); break;
    case IR_VADDSU_SAT: *res = saturate(sa + ub, n, true); break;
    case IR_VADDUS_SAT: *res = saturate(ua + sb, n, false); break;
    case IR_VSATDMULH:  *res = dmulh(s, i); break;
    case IR_VRDMLAH:    *res = rdmlah(s, i, false); break;
    case IR_VRDMLAH_Q:  *res = rdmlah(s, i, true); break;
    default: return false;
    }
    return true;
}

static bool lane_other(const Shape *s, unsigned i, uint64_t *res)
{
    __int128 a = num(s, s->a, i, s->sign), b = num(s, s->b, i, s->sign);

    switch (s->op->op) {
    case IR_VHADD:    *res = (uint64_t)((a + b + !!(s->op->aux & IR_ROUNDING)) >> 1); break;
    case IR_VHSUB:    *res = (uint64_t)((a - b) >> 1); break;
    case IR_VABD:     *res = (uint64_t)(a > b ? a - b : b - a); break;
    case IR_VPMUL:    *res = (uint64_t)clmul(s->n, low_lane(s, s->a, i), low_lane(s, s->b, i)); break;
    case IR_VURECPE:  *res = urecpe((uint32_t)low_lane(s, s->a, i)); break;
    case IR_VURSQRTE: *res = ursqrte((uint32_t)low_lane(s, s->a, i)); break;
    default: return false;
    }
    return true;
}

static bool eval_lanes(const Shape *s, IrVal *out)
{
    for (unsigned i = 0; i < s->lanes; i++) {
        uint64_t x;
        if (!lane_arith(s, i, &x) && !lane_shift(s, i, &x) && !lane_saturating(s, i, &x) && !lane_other(s, i, &x))
            return false;
        ir_lane_set(out, s->size, i, x);
    }
    return true;
}

/* --- permutations ------------------------------------------------------------------------------------------------------ */

/* Lane `i` of a and b taken as one row of 2 * lanes. */
static uint64_t pair_lane(const Shape *s, unsigned i)
{
    return i < s->lanes ? low_lane(s, s->a, i) : low_lane(s, s->b, i - s->lanes);
}

/* Where result lane `i` comes from, in the row a, b. */
static unsigned perm_source(const Shape *s, unsigned i)
{
    unsigned n = s->lanes, from_b = i & 1 ? n : 0;

    switch (s->op->op) {
    case IR_VZIP1: return i / 2 + from_b;
    case IR_VZIP2: return n / 2 + i / 2 + from_b;
    case IR_VUZP1: return 2 * i;
    case IR_VUZP2: return 2 * i + 1;
    case IR_VTRN1: return (i & ~1u) + from_b;
    case IR_VTRN2: return (i | 1u) + from_b;
    case IR_VEXT:  return i + (unsigned)s->op->imm;
    default:       return (i & ~((unsigned)s->op->imm / s->n - 1)) + ((unsigned)s->op->imm / s->n - 1)
                          - (i & ((unsigned)s->op->imm / s->n - 1)); /* VREV: mirrored within its group */
    }
}

static void permute(const Shape *s, IrVal *out)
{
    for (unsigned i = 0; i < s->lanes; i++)
        ir_lane_set(out, s->size, i, pair_lane(s, perm_source(s, i)));
}

static void table_lookup(const Shape *s, IrVal *out)
{
    for (unsigned i = 0; i < s->lanes; i++) {
        unsigned k = s->b->u8[i];
        out->u8[i] = k < 16 ? s->a->u8[k] : s->op->op == IR_VTBX ? s->c->u8[i] : 0;
    }
}

static bool eval_permute(const Shape *s, IrVal *out)
{
    switch (s->op->op) {
    case IR_VZIP1: case IR_VZIP2: case IR_VUZP1: case IR_VUZP2: case IR_VTRN1: case IR_VTRN2: case IR_VEXT: case IR_VREV:
        permute(s, out);
        return true;
    case IR_VTBL: case IR_VTBX:
        table_lookup(s, out);
        return true;
    default:
        return false;
    }
}

/* --- moves between lanes and scalars ------------------------------------------------------------------------------------ */

static bool eval_move(const Shape *s, IrVal *out)
{
    unsigned imm = (unsigned)s->op->imm;

    switch (s->op->op) {
    case IR_VDUP:
    case IR_VDUPL:
        for (unsigned i = 0; i < s->lanes; i++)
            ir_lane_set(out, s->size, i, low_lane(s, s->a, s->op->op == IR_VDUP ? 0 : imm));
        break;
    case IR_VGET:  out->u64[0] = low_lane(s, s->a, imm); break;
    case IR_VSET:  *out = *s->a; ir_lane_set(out, s->size, imm, low_lane(s, s->b, 0)); break;
    case IR_VSETL: *out = *s->a; ir_lane_set(out, s->size, imm & 255, low_lane(s, s->b, imm >> 8)); break;
    case IR_VZEXT: out->u64[0] = low_lane(s, s->a, 0); break;
    case IR_VPAIR:
    case IR_VCONCAT: out->u64[0] = s->a->u64[0]; out->u64[1] = s->b->u64[0]; break;
    case IR_VLOW:  out->u64[0] = s->a->u64[0]; break;
    case IR_VHIGH: out->u64[0] = s->a->u64[1]; break;
    case IR_VANY:  out->u64[0] = (s->a->u64[0] | s->a->u64[1]) != 0; break;
    default: return false;
    }
    if ((s->op->op == IR_VSET || s->op->op == IR_VSETL) && s->lanes && s->lanes * s->size <= 8)
        out->u64[1] = 0;
    return true;
}

/* --- logic: by the shape's bits, lanes do not matter -------------------------------------------------------------------- */

static uint64_t logic_word(unsigned op, uint64_t a, uint64_t b, uint64_t c)
{
    switch (op) {
    case IR_AND:  return a & b;
    case IR_OR:   return a | b;
    case IR_XOR:  return a ^ b;
    case IR_ANDN: return a & ~b;
    case IR_ORN:  return a | ~b;
    case IR_NOT:  return ~a;
    case IR_BSL:  return (a & b) | (~a & c);
    case IR_XOR3: return a ^ b ^ c;
    case IR_BCAX: return a ^ (b & ~c);
    default:      return a; /* COPY */
    }
}

static bool eval_logic(const Shape *s, IrVal *out)
{
    switch (s->op->op) {
    case IR_AND: case IR_OR: case IR_XOR: case IR_ANDN: case IR_ORN: case IR_NOT: case IR_BSL: case IR_XOR3: case IR_BCAX:
    case IR_COPY:
        break;
    default:
        return false;
    }
    unsigned words = s->lanes && s->lanes * s->size <= 8 ? 1 : 2;
    for (unsigned k = 0; k < words; k++)
        out->u64[k] = logic_word(s->op->op, s->a->u64[k], s->b->u64[k], s->c->u64[k]);
    return true;
}

/* --- width changes, pairs and sums --------------------------------------------------------------------------------------- */

/* First source lane of an operation on the low or high half. */
static unsigned half_base(const Shape *s)
{
    return s->high ? 8 / s->size : 0;
}

static void widen(const Shape *s, IrVal *out)
{
    for (unsigned i = 0; i < s->lanes; i++)
        ir_lane_set(out, 2 * s->size, i, (uint64_t)num(s, s->a, half_base(s) + i, s->sign));
}

static void narrow(const Shape *s, IrVal *out)
{
    unsigned kind = s->op->aux;

    for (unsigned i = 0; i < s->lanes; i++) {
        __int128 x = num(s, s->a, i, kind == IR_NARROW_SS || kind == IR_NARROW_SU);
        uint64_t r = kind == IR_NARROW_TRUNC ? (uint64_t)x : saturate(x, s->n / 2, kind == IR_NARROW_SS);
        ir_lane_set(out, s->size / 2, i, r);
    }
}

static void widening_product(const Shape *s, IrVal *out)
{
    bool sat = s->op->op == IR_VSATDMULL;
    bool sign = s->sign || sat;

    for (unsigned i = 0; i < s->lanes; i++) {
        unsigned k = half_base(s) + i;
        __int128 p = num(s, s->a, k, sign) * num(s, s->b, k, sign);
        ir_lane_set(out, 2 * s->size, i, sat ? saturate(2 * p, 2 * s->n, true) : (uint64_t)p);
    }
}

static void poly_product(const Shape *s, IrVal *out)
{
    if (s->size == 8) {
        unsigned __int128 p = clmul(64, s->a->u64[s->high], s->b->u64[s->high]);
        out->u64[0] = (uint64_t)p;
        out->u64[1] = (uint64_t)(p >> 64);
        return;
    }
    for (unsigned i = 0; i < s->lanes; i++) {
        unsigned k = half_base(s) + i;
        ir_lane_set(out, 2 * s->size, i, (uint64_t)clmul(s->n, low_lane(s, s->a, k), low_lane(s, s->b, k)));
    }
}

static void pair_sums(const Shape *s, IrVal *out)
{
    for (unsigned i = 0; i < s->lanes; i++)
        ir_lane_set(out, s->size, i, pair_lane(s, 2 * i) + pair_lane(s, 2 * i + 1));
}

static void pair_sums_long(const Shape *s, IrVal *out)
{
    for (unsigned i = 0; i < s->lanes / 2; i++)
        ir_lane_set(out, 2 * s->size, i, (uint64_t)(num(s, s->a, 2 * i, s->sign) + num(s, s->a, 2 * i + 1, s->sign)));
}

static void reduce(const Shape *s, IrVal *out)
{
    __int128 acc = num(s, s->a, 0, s->sign);

    for (unsigned i = 1; i < s->lanes; i++) {
        __int128 x = num(s, s->a, i, s->sign);
        if (s->op->op == IR_VSUM)
            acc += x;
        else if (s->op->op == IR_VMINV ? x < acc : x > acc)
            acc = x;
    }
    out->u64[0] = ir_low((uint64_t)acc, s->n);
}

/* Sum of `count` byte products, starting at byte `i` of b and `j` of c. */
static uint32_t byte_products(const Shape *s, unsigned i, unsigned j, unsigned count)
{
    uint32_t sum = 0;

    for (unsigned k = 0; k < count; k++) {
        int b = s->op->aux & 1 ? (int8_t)s->b->u8[i + k] : s->b->u8[i + k];
        int c = s->op->aux & 2 ? (int8_t)s->c->u8[j + k] : s->c->u8[j + k];
        sum += (uint32_t)(b * c);
    }
    return sum;
}

static void dot(const Shape *s, IrVal *out)
{
    for (unsigned i = 0; i < s->lanes; i++)
        out->u32[i] = s->a->u32[i] + byte_products(s, 4 * i, 4 * i, 4);
}

static void matrix_product(const Shape *s, IrVal *out)
{
    for (unsigned row = 0; row < 2; row++)
        for (unsigned col = 0; col < 2; col++)
            out->u32[2 * row + col] = s->a->u32[2 * row + col] + byte_products(s, 8 * row, 8 * col, 8);
}

static bool eval_widths(const Shape *s, IrVal *out)
{
    switch (s->op->op) {
    case IR_VWIDEN: widen(s, out); break;
    case IR_VNARROW: narrow(s, out); break;
    case IR_VMULL:
    case IR_VSATDMULL: widening_product(s, out); break;
    case IR_VPMULL: poly_product(s, out); break;
    case IR_VADDP: pair_sums(s, out); break;
    case IR_VPADDL: pair_sums_long(s, out); break;
    case IR_VSUM:
    case IR_VMINV:
    case IR_VMAXV: reduce(s, out); break;
    case IR_VDOT: dot(s, out); break;
    case IR_VMMLA: matrix_product(s, out); break;
    default: return false;
    }
    return true;
}

bool ir_eval_vec(const IrInsn *op, const IrVal arg[3], IrVal *out)
{
    unsigned size = ir_type_size(op->lane);
    Shape s = {op, &arg[0], &arg[1], &arg[2], size, 8 * size, op->lanes, op->aux & IR_SIGNED, op->aux & 1};

    return eval_logic(&s, out) || eval_move(&s, out) || eval_permute(&s, out) || eval_widths(&s, out) ||
           eval_lanes(&s, out);
}
