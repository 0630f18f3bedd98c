/*
 * Vector integers: logic, addition, comparison, minimum and maximum, averages, bit counts; what the vector rules share; and
 * the table of vector rules.
 */
#include "host/x86_64/vsel.h"

#include "base/check.h"

/* --- shared (vsel.h) --------------------------------------------------------------------------------------------------- */

unsigned vsel_bits(const Sel *s, IrRef v)
{
    const IrInsn *i = &s->r->insn[v];

    switch (i->op) {
    case IR_CONST:
        return 64;
    case IR_VCONST:
        return s->r->vconst[i->imm].u64[1] ? 128 : 64;
    case IR_COPY:
        return vsel_bits(s, i->a);
    case IR_VLOW: case IR_VHIGH: case IR_VFNARROW: case IR_VNARROW: case IR_VBFCVT:
        return 64;
    case IR_VZEXT: case IR_LOAD:
        return 8 * ir_type_size((IrType)i->lane);
    case IR_VDUP: case IR_VDUPL: case IR_VFTOI: case IR_VITOF:
        return half_shape(i) ? 64 : 128;
    case IR_PARAM:
        return s->param_bits ? s->param_bits[v] : 128;
    default:
        return ir_ops[i->op].result == IRR_T && i->type == IR_V128 && half_shape(i) ? 64 : 128;
    }
}

/* Raise the bounds of a block's parameters to what an edge with these arguments brings. */
static bool raise_bounds(Sel *s, uint8_t *bits, uint32_t block, const IrRef *arg)
{
    bool changed = false;

    for (IrRef p = s->r->block[block].first; p && s->r->insn[p].op == IR_PARAM; p = s->r->insn[p].next) {
        const IrInsn *i = &s->r->insn[p];
        unsigned n = i->type == IR_V128 ? vsel_bits(s, arg[i->imm]) : 0;
        if (n > bits[p]) {
            bits[p] = (uint8_t)n;
            changed = true;
        }
    }
    return changed;
}

/* From nothing up, until no edge brings more: a loop that only ever makes scalars keeps them so. */
void vsel_params(Sel *s)
{
    const IrRegion *r = s->r;
    uint8_t *bits = arena_zalloc(s->arena, r->ninsn);

    s->param_bits = bits;
    for (bool changed = true; changed;) {
        changed = false;
        for (uint32_t b = 0; b < r->nblock; b++) {
            if (!r->block[b].last)
                continue;
            const IrInsn *t = &r->insn[r->block[b].last];
            if (t->op == IR_BR && t->b)
                changed |= raise_bounds(s, bits, (uint32_t)t->imm, &r->pool[t->a]);
            if (t->op == IR_BRIF && t->b)
                changed |= raise_bounds(s, bits, (uint32_t)t->imm, &r->pool[t->b + 1]);
            if (t->op == IR_BRIF && t->c)
                changed |= raise_bounds(s, bits, (uint32_t)(t->imm >> 32), &r->pool[t->c + 1]);
        }
    }
}

bool vsel_upper_zero(const Sel *s, IrRef v)
{
    return vsel_bits(s, v) <= 64;
}

Xmm vsel_use_low(Sel *s, IrRef v)
{
    Xmm x = sel_use_x(s, v);

    if (vsel_upper_zero(s, v))
        return x;
    Xmm t = sel_tmp_x(s);
    x64_rm(s->a, VMOVQ, t, x);
    return t;
}

RXm vsel_use_xm(Sel *s, X64Vec op, IrRef v, unsigned bytes)
{
    Xmm x;

    return x64_has_high(op) && sel_in_high(s, v, &x) ? xm_x(x) : sel_use_xm(s, v, bytes);
}

Xmm vsel_use_x(Sel *s, X64Vec op, IrRef v)
{
    Xmm x;

    return x64_has_high(op) && sel_in_high(s, v, &x) ? x : sel_use_x(s, v);
}

Xmm vsel_use_shaped(Sel *s, const IrInsn *i, IrRef v)
{
    return half_shape(i) ? vsel_use_low(s, v) : sel_use_x(s, v);
}

void vsel_finish(Sel *s, const IrInsn *i, Xmm d)
{
    if (half_shape(i))
        x64_rm(s->a, VMOVQ, d, d);
}

void vsel_finish_zero(Sel *s, const IrInsn *i, Xmm d)
{
    bool zero = true;

    for (unsigned k = 0; k < 3; k++) {
        IrRef v = k == 0 ? i->a : k == 1 ? i->b : i->c;
        zero = zero && (!v || vsel_upper_zero(s, v));
    }
    if (!zero)
        vsel_finish(s, i, d);
}

Mem vsel_rep(Sel *s, unsigned bits, uint64_t x)
{
    if (bits < 64)
        x &= (1ull << bits) - 1;
    for (; bits < 64; bits *= 2)
        x |= x << bits;
    return sel_vconst(s, x, x);
}

void vsel_cold_if_any(Sel *s, const IrInsn *i, Xmm t)
{
    x64_rm(s->a, VPTEST, t, t);
    sel_cold_eval(s, i, CC_NE);
}

bool vsel_cmp_imm(unsigned aux, unsigned *imm)
{
    static const uint8_t quiet[16] = {
        [IR_LT] = X64_CMP_LT_OQ, [IR_EQ] = X64_CMP_EQ_OQ, [IR_LT | IR_EQ] = X64_CMP_LE_OQ, [IR_GT] = X64_CMP_GT_OQ,
        [IR_LT | IR_GT] = X64_CMP_NEQ_OQ, [IR_EQ | IR_GT] = X64_CMP_GE_OQ, [IR_LT | IR_EQ | IR_GT] = X64_CMP_ORD_Q,
        [IR_UN] = X64_CMP_UNORD_Q, [IR_LT | IR_UN] = X64_CMP_NGE_UQ, [IR_EQ | IR_UN] = X64_CMP_EQ_UQ,
        [IR_LT | IR_EQ | IR_UN] = X64_CMP_NGT_UQ, [IR_GT | IR_UN] = X64_CMP_NLE_UQ,
        [IR_LT | IR_GT | IR_UN] = X64_CMP_NEQ_UQ, [IR_EQ | IR_GT | IR_UN] = X64_CMP_NLT_UQ,
    };
    unsigned rel = aux & 15;

    if (rel == 0 || rel == 15)
        return false;
    *imm = quiet[rel] ^ (aux & IR_SIGNALLING ? 16 : 0); /* bit 4 swaps quiet and signalling */
    return true;
}

bool vsel_round_imm(unsigned round, unsigned *imm)
{
    switch (round) {
    case FP_RNE: *imm = X64_ROUND_RNE; return true;
    case FP_RUP: *imm = X64_ROUND_RUP; return true;
    case FP_RDN: *imm = X64_ROUND_RDN; return true;
    case FP_RTZ: *imm = X64_ROUND_RTZ; return true;
    case FP_RCUR: *imm = X64_ROUND_CUR; return true;
    default: return false;
    }
}

/* --- one instruction, two operands ------------------------------------------------------------------------------------ */

/* Instructions by lane for i8 i16 i32 i64; X64_NVEC: none. */
static const X64Vec lane_add[] = {VPADDB, VPADDW, VPADDD, VPADDQ};
static const X64Vec lane_sub[] = {VPSUBB, VPSUBW, VPSUBD, VPSUBQ};
static const X64Vec lane_eq[] = {VPCMPEQB, VPCMPEQW, VPCMPEQD, VPCMPEQQ};
static const X64Vec lane_gt[] = {VPCMPGTB, VPCMPGTW, VPCMPGTD, VPCMPGTQ};
static const X64Vec lane_mins[] = {VPMINSB, VPMINSW, VPMINSD, VPMINSQ};
static const X64Vec lane_maxs[] = {VPMAXSB, VPMAXSW, VPMAXSD, VPMAXSQ};
static const X64Vec lane_minu[] = {VPMINUB, VPMINUW, VPMINUD, VPMINUQ};
static const X64Vec lane_maxu[] = {VPMAXUB, VPMAXUW, VPMAXUD, VPMAXUQ};

/* d = op(a, b), zero halves giving zero. */
static bool emit_two(Sel *s, const IrInsn *i, X64Vec op)
{
    Xmm high;
    bool swap = (ir_ops[i->op].flags & IRF_COMM) && sel_in_high(s, i->a, &high);
    Xmm a = sel_use_x(s, swap ? i->b : i->a);
    RXm b = vsel_use_xm(s, op, swap ? i->a : i->b, 16);
    Xmm d = sel_def_x_last(s, i);
    x64_rvm_xm(s->a, op, d, a, b);
    vsel_finish_zero(s, i, d);
    return true;
}

static bool add_sub(Sel *s, const IrInsn *i)
{
    return emit_two(s, i, (i->op == IR_ADD ? lane_add : lane_sub)[lane_index((IrType)i->lane)]);
}

static bool logic(Sel *s, const IrInsn *i)
{
    return emit_two(s, i, i->op == IR_AND ? VPAND : i->op == IR_OR ? VPOR : VPXOR);
}

/* a & ~b: the instruction inverts its first operand. */
static bool and_not(Sel *s, const IrInsn *i)
{
    Xmm b = sel_use_x(s, i->b);
    RXm a = vsel_use_xm(s, VPANDN, i->a, 16);
    Xmm d = sel_def_x_last(s, i);
    x64_rvm_xm(s->a, VPANDN, d, b, a);
    vsel_finish_zero(s, i, d);
    return true;
}

static bool or_not(Sel *s, const IrInsn *i)
{
    Xmm a = sel_use_x(s, i->a);
    Xmm b = sel_use_x(s, i->b);
    Xmm d = sel_def_x(s, i);
    x64_rvm_m(s->a, VPXOR, d, b, vsel_rep(s, 64, ~0ull));
    x64_rvm(s->a, VPOR, d, d, a);
    vsel_finish(s, i, d);
    return true;
}

static bool not_(Sel *s, const IrInsn *i)
{
    bool half = half_shape(i) && vsel_upper_zero(s, i->a);
    Xmm a = sel_use_x(s, i->a);
    Xmm d = sel_def_x_last(s, i);
    x64_rvm_m(s->a, VPXOR, d, a, sel_vconst(s, ~0ull, half ? 0 : ~0ull));
    if (!half)
        vsel_finish(s, i, d);
    return true;
}

/*
 * Three operands by truth table: bit 4x+2y+z of the immediate is the result for bits x of the destination's old value, y,
 * z. The destination starts as a.
 */
static bool ternary(Sel *s, const IrInsn *i, unsigned table)
{
    Xmm b = sel_use_x(s, i->b);
    RXm c = vsel_use_xm(s, VPTERNLOGQ, i->c, 16);
    Xmm d = sel_def_x_from(s, i, i->a);
    x64_rvmi_xm(s->a, VPTERNLOGQ, d, b, c, table);
    vsel_finish_zero(s, i, d);
    return true;
}

static bool bit_select(Sel *s, const IrInsn *i)
{
    if (s->feat->avx512)
        return ternary(s, i, 0xca);
    Xmm a = sel_use_x(s, i->a);
    Xmm b = sel_use_x(s, i->b);
    Xmm c = sel_use_x(s, i->c);
    Xmm d = sel_def_x(s, i);
    Xmm t = sel_tmp_x(s);
    x64_rvm(s->a, VPAND, t, a, b);
    x64_rvm(s->a, VPANDN, d, a, c);
    x64_rvm(s->a, VPOR, d, d, t);
    vsel_finish_zero(s, i, d);
    return true;
}

static bool xor3(Sel *s, const IrInsn *i)
{
    if (s->feat->avx512)
        return ternary(s, i, 0x96);
    Xmm a = sel_use_x(s, i->a);
    Xmm b = sel_use_x(s, i->b);
    Xmm c = sel_use_x(s, i->c);
    Xmm d = sel_def_x(s, i);
    x64_rvm(s->a, VPXOR, d, a, b);
    x64_rvm(s->a, VPXOR, d, d, c);
    vsel_finish_zero(s, i, d);
    return true;
}

static bool bcax(Sel *s, const IrInsn *i)
{
    if (s->feat->avx512)
        return ternary(s, i, 0xb4);
    Xmm a = sel_use_x(s, i->a);
    Xmm b = sel_use_x(s, i->b);
    Xmm c = sel_use_x(s, i->c);
    Xmm d = sel_def_x(s, i);
    x64_rvm(s->a, VPANDN, d, c, b);
    x64_rvm(s->a, VPXOR, d, d, a);
    vsel_finish_zero(s, i, d);
    return true;
}

/* --- sign, minimum, maximum, comparison -------------------------------------------------------------------------------- */

static bool negate(Sel *s, const IrInsn *i)
{
    RXm a = sel_use_xm(s, i->a, 16);
    Xmm d = sel_def_x(s, i);
    x64_rvm(s->a, VPXOR, d, d, d);
    x64_rvm_xm(s->a, lane_sub[lane_index((IrType)i->lane)], d, d, a);
    vsel_finish_zero(s, i, d);
    return true;
}

static bool absolute(Sel *s, const IrInsn *i)
{
    static const X64Vec op[] = {VPABSB, VPABSW, VPABSD, VPABSQ};
    unsigned k = lane_index((IrType)i->lane);

    Xmm a = sel_use_x(s, i->a);
    if (k < 3 || s->feat->avx512) {
        Xmm d = sel_def_x_last(s, i);
        x64_rm(s->a, op[k], d, a);
        vsel_finish_zero(s, i, d);
        return true;
    }
    Xmm d = sel_def_x(s, i);
    Xmm t = sel_tmp_x(s);
    x64_rvm(s->a, VPXOR, t, t, t);
    x64_rvm(s->a, VPCMPGTQ, t, t, a);
    x64_rvm(s->a, VPXOR, d, a, t);
    x64_rvm(s->a, VPSUBQ, d, d, t);
    vsel_finish_zero(s, i, d);
    return true;
}

/* t = a > b in 64-bit lanes, without AVX-512. d is spoiled; it may be neither a nor b. */
static void greater64(Sel *s, bool sign, Xmm t, Xmm d, Xmm a, Xmm b)
{
    if (sign) {
        x64_rvm(s->a, VPCMPGTQ, t, a, b);
        return;
    }
    Mem top = vsel_rep(s, 64, 1ull << 63);
    x64_rvm_m(s->a, VPXOR, t, a, top);
    x64_rvm_m(s->a, VPXOR, d, b, top);
    x64_rvm(s->a, VPCMPGTQ, t, t, d);
}

static bool min_max(Sel *s, const IrInsn *i)
{
    bool max = i->op == IR_MAXS || i->op == IR_MAXU, sign = i->op == IR_MINS || i->op == IR_MAXS;
    unsigned k = lane_index((IrType)i->lane);

    if (k < 3 || s->feat->avx512)
        return emit_two(s, i, (sign ? max ? lane_maxs : lane_mins : max ? lane_maxu : lane_minu)[k]);
    Xmm a = sel_use_x(s, i->a);
    Xmm b = sel_use_x(s, i->b);
    Xmm d = sel_def_x(s, i);
    Xmm t = sel_tmp_x(s);
    greater64(s, sign, t, d, a, b);
    x64_rvms(s->a, VBLENDVPD, d, max ? b : a, max ? a : b, t);
    vsel_finish_zero(s, i, d);
    return true;
}

/* How a relation is computed: `base` is EQ or GT, of swapped operands perhaps, then perhaps inverted. */
typedef struct Relation {
    bool gt, swap, inv;
} Relation;

static Relation relation(unsigned rel)
{
    switch (rel) {
    case IR_EQ: return (Relation){0};
    case IR_LT | IR_GT: return (Relation){.inv = true};
    case IR_GT: return (Relation){.gt = true};
    case IR_LT: return (Relation){.gt = true, .swap = true};
    case IR_GT | IR_EQ: return (Relation){.gt = true, .swap = true, .inv = true};
    default: return (Relation){.gt = true, .inv = true}; /* LT | EQ */
    }
}

/* Unsigned lanes up to 32 bits: a >= b is max(a, b) == a, a > b is its opposite swapped. */
static void greater_unsigned(Sel *s, Relation *r, unsigned k, Xmm d, Xmm a, Xmm b)
{
    x64_rvm(s->a, lane_maxu[k], d, a, b);
    x64_rvm(s->a, lane_eq[k], d, d, b); /* b >= a, that is, not a > b */
    r->inv = !r->inv;
}

static bool compare(Sel *s, const IrInsn *i)
{
    unsigned rel = i->aux & 7, k = lane_index((IrType)i->lane);
    bool sign = i->aux & IR_PSIGNED;

    if (rel == 0 || rel == 7)
        return false;
    Relation r = relation(rel);
    Xmm a = sel_use_x(s, r.swap ? i->b : i->a);
    Xmm b = sel_use_x(s, r.swap ? i->a : i->b);
    Xmm d = sel_def_x(s, i);
    Xmm t = sel_tmp_x(s);
    if (!r.gt)
        x64_rvm(s->a, lane_eq[k], d, a, b);
    else if (sign)
        x64_rvm(s->a, lane_gt[k], d, a, b);
    else if (k == 3)
        greater64(s, false, d, t, a, b);
    else
        greater_unsigned(s, &r, k, d, a, b);
    if (r.inv)
        x64_rvm_m(s->a, VPXOR, d, d, sel_vconst(s, ~0ull, half_shape(i) ? 0 : ~0ull));
    vsel_finish(s, i, d);
    return true;
}

/* --- averages and differences ------------------------------------------------------------------------------------------ */

/* (a + b + 1) >> 1 by the average instructions; signed values are made unsigned by adding half the range. */
static bool average(Sel *s, const IrInsn *i)
{
    unsigned k = lane_index((IrType)i->lane), n = 8u << k;
    bool sign = i->aux & IR_SIGNED;
    Xmm a = sel_use_x(s, i->a);
    Xmm b = sel_use_x(s, i->b);
    Xmm d = sel_def_x(s, i);
    Xmm t = sel_tmp_x(s);

    if (sign) {
        Mem top = vsel_rep(s, n, 1ull << (n - 1));
        x64_rvm_m(s->a, VPXOR, d, a, top);
        x64_rvm_m(s->a, VPXOR, t, b, top);
        x64_rvm(s->a, k ? VPAVGW : VPAVGB, d, d, t);
        x64_rvm_m(s->a, VPXOR, d, d, top);
    } else {
        x64_rvm(s->a, k ? VPAVGW : VPAVGB, d, a, b);
    }
    vsel_finish_zero(s, i, d);
    return true;
}

/* a + b is 2 (a & b) + (a ^ b), and also 2 (a | b) - (a ^ b); a - b is (a ^ b) - 2 (~a & b). Each is halved. */
static bool halving(Sel *s, const IrInsn *i)
{
    unsigned k = lane_index((IrType)i->lane);
    bool sub = i->op == IR_VHSUB, round = i->aux & IR_ROUNDING, sign = i->aux & IR_SIGNED;

    if (k == 3)
        return false;
    if (!sub && round && k < 2)
        return average(s, i);
    Xmm a = sel_use_x(s, i->a);
    Xmm b = sel_use_x(s, i->b);
    Xmm d = sel_def_x(s, i);
    Xmm t = sel_tmp_x(s), u = sel_tmp_x(s);
    x64_rvm(s->a, VPXOR, t, a, b);
    vsel_shift_right(s, sign, k, t, t, 1, u);
    x64_rvm(s->a, sub ? VPANDN : round ? VPOR : VPAND, d, a, b);
    if (sub)
        x64_rvm(s->a, lane_sub[k], d, t, d);
    else
        x64_rvm(s->a, (round ? lane_sub : lane_add)[k], d, d, t);
    vsel_finish_zero(s, i, d);
    return true;
}

static bool abs_difference(Sel *s, const IrInsn *i)
{
    unsigned k = lane_index((IrType)i->lane);
    bool sign = i->aux & IR_SIGNED;

    if (k == 3)
        return false;
    Xmm a = sel_use_x(s, i->a);
    Xmm b = sel_use_x(s, i->b);
    Xmm d = sel_def_x(s, i);
    Xmm t = sel_tmp_x(s);
    x64_rvm(s->a, (sign ? lane_maxs : lane_maxu)[k], d, a, b);
    x64_rvm(s->a, (sign ? lane_mins : lane_minu)[k], t, a, b);
    x64_rvm(s->a, lane_sub[k], d, d, t);
    vsel_finish_zero(s, i, d);
    return true;
}

/* --- bits ------------------------------------------------------------------------------------------------------------------ */

/*
 * d = table_lo[low nibble] op table_hi[high nibble] of each byte of a. t and u are spoiled; d may be a.
 * The tables are 16 bytes each.
 */
static void nibble_tables(Sel *s, X64Vec op, Xmm d, Xmm a, Xmm t, Xmm u, const uint64_t lo[2], const uint64_t hi[2])
{
    Mem mask = vsel_rep(s, 8, 15);

    x64_vmi(s->a, VPSRLW_I, t, a, 4);
    x64_rvm_m(s->a, VPAND, t, t, mask);
    x64_rm_m(s->a, VMOVDQA, u, sel_vconst(s, hi[0], hi[1]));
    x64_rvm(s->a, VPSHUFB, t, u, t);
    x64_rvm_m(s->a, VPAND, d, a, mask);
    x64_rm_m(s->a, VMOVDQA, u, sel_vconst(s, lo[0], lo[1]));
    x64_rvm(s->a, VPSHUFB, d, u, d);
    x64_rvm(s->a, op, d, d, t);
}

static bool popcount(Sel *s, const IrInsn *i)
{
    static const uint64_t table[2] = {0x0302020102010100, 0x0403030203020201};

    if (i->lane != IR_I8)
        return false;
    Xmm a = sel_use_x(s, i->a);
    Xmm d = sel_def_x(s, i);
    if (s->feat->bitalg) {
        x64_rm(s->a, VPOPCNTB, d, a);
    } else {
        Xmm t = sel_tmp_x(s), u = sel_tmp_x(s);
        nibble_tables(s, VPADDB, d, a, t, u, table, table);
    }
    vsel_finish_zero(s, i, d);
    return true;
}

static bool reverse_bits(Sel *s, const IrInsn *i)
{
    static const uint64_t lo[2] = {0xe060a020c0408000, 0xf070b030d0509010};
    static const uint64_t hi[2] = {0x0e060a020c040800, 0x0f070b030d050901};

    if (i->lane != IR_I8)
        return false;
    Xmm a = sel_use_x(s, i->a);
    Xmm d = sel_def_x(s, i);
    if (s->feat->gfni) {
        x64_rvmi_m(s->a, VGF2P8AFFINEQB, d, a, vsel_rep(s, 64, 0x8040201008040201), 0);
    } else {
        Xmm t = sel_tmp_x(s), u = sel_tmp_x(s);
        nibble_tables(s, VPOR, d, a, t, u, lo, hi);
    }
    vsel_finish_zero(s, i, d);
    return true;
}

/*
 * Leading zeros of lane k in d, from a (may be d). Bytes: those of the high nibble, or 4 and those of the low: the tables
 * give for the high nibble 8 where it is 0, and minimum takes the smaller. Wider lanes: the count of the upper half, and that
 * of the lower where the upper is all zero.
 */
static void leading_zeros(Sel *s, unsigned k, Xmm d, Xmm a, Xmm t, Xmm u)
{
    static const uint64_t lo[2] = {0x0505050506060708, 0x0404040404040404};
    static const uint64_t hi[2] = {0x0101010102020308, 0x0000000000000000};

    nibble_tables(s, VPMINUB, d, a, t, u, lo, hi);
    if (k >= 1) {
        x64_rvm_m(s->a, VPCMPEQB, t, d, vsel_rep(s, 8, 8));
        x64_vmi(s->a, VPSLLW_I, u, d, 8);
        x64_rvm(s->a, VPAND, t, t, u);
        x64_rvm(s->a, VPADDB, d, d, t);
        x64_vmi(s->a, VPSRLW_I, d, d, 8);
    }
    if (k >= 2) {
        x64_rvm_m(s->a, VPCMPEQW, t, d, vsel_rep(s, 16, 16));
        x64_vmi(s->a, VPSLLD_I, u, d, 16);
        x64_rvm(s->a, VPAND, t, t, u);
        x64_rvm(s->a, VPADDW, d, d, t);
        x64_vmi(s->a, VPSRLD_I, d, d, 16);
    }
}

static bool count_leading(Sel *s, const IrInsn *i)
{
    unsigned k = lane_index((IrType)i->lane);
    bool sign = i->op == IR_CLS;

    if (k == 3)
        return false;
    Xmm a = sel_use_x(s, i->a);
    Xmm d = sel_def_x(s, i);
    Xmm t = sel_tmp_x(s), u = sel_tmp_x(s);
    if (sign) { /* bits that differ from the sign */
        x64_rvm(s->a, VPXOR, d, d, d);
        x64_rvm(s->a, lane_gt[k], d, d, a);
        x64_rvm(s->a, VPXOR, d, d, a);
        a = d;
    }
    leading_zeros(s, k, d, a, t, u);
    if (sign)
        x64_rvm_m(s->a, lane_add[k], d, d, vsel_rep(s, 64, ~0ull));
    vsel_finish(s, i, d);
    return true;
}

/* --- tables ----------------------------------------------------------------------------------------------------------------- */

SelRule *const sel_vec_rules[IR_NOPS] = {
    [IR_ADD] = add_sub, [IR_SUB] = add_sub, [IR_NEG] = negate, [IR_ABS] = absolute,
    [IR_MINS] = min_max, [IR_MAXS] = min_max, [IR_MINU] = min_max, [IR_MAXU] = min_max,
    [IR_AND] = logic, [IR_OR] = logic, [IR_XOR] = logic, [IR_ANDN] = and_not, [IR_ORN] = or_not, [IR_NOT] = not_,
    [IR_BSL] = bit_select, [IR_XOR3] = xor3, [IR_BCAX] = bcax, [IR_VICMP] = compare,
    [IR_VHADD] = halving, [IR_VHSUB] = halving, [IR_VABD] = abs_difference,
    [IR_POPCNT] = popcount, [IR_BITREV] = reverse_bits, [IR_CLZ] = count_leading, [IR_CLS] = count_leading,
    [IR_MUL] = vsel_mul, [IR_VMULL] = vsel_mull, [IR_VPMUL] = vsel_pmul, [IR_VPMULL] = vsel_pmull,
    [IR_VSATDMULH] = vsel_satdmulh, [IR_VSATDMULL] = vsel_satdmull, [IR_VDOT] = vsel_dot, [IR_VMMLA] = vsel_mmla,
    [IR_VRDMLAH] = vsel_rdmlah, [IR_VRDMLAH_Q] = vsel_rdmlah,
    [IR_VADDP] = vsel_addp, [IR_VPADDL] = vsel_paddl, [IR_VSUM] = vsel_sum, [IR_VMINV] = vsel_minmaxv,
    [IR_VMAXV] = vsel_minmaxv, [IR_VWIDEN] = vsel_widen, [IR_VNARROW] = vsel_narrow,
    [IR_VSHLI] = vsel_shift_imm, [IR_VSHRI] = vsel_shift_imm, [IR_VSARI] = vsel_shift_imm, [IR_VROR] = vsel_rotate,
    [IR_VSHIFT] = vsel_shift, [IR_VSHIFT_Q] = vsel_shift,
    [IR_VADDS_SAT] = vsel_sat, [IR_VADDU_SAT] = vsel_sat, [IR_VSUBS_SAT] = vsel_sat, [IR_VSUBU_SAT] = vsel_sat,
    [IR_VADDSU_SAT] = vsel_sat, [IR_VADDUS_SAT] = vsel_sat,
    [IR_VDUP] = vsel_dup, [IR_VDUPL] = vsel_dupl, [IR_VGET] = vsel_get, [IR_VSET] = vsel_set, [IR_VSETL] = vsel_setl,
    [IR_VZEXT] = vsel_zext, [IR_VPAIR] = vsel_pair, [IR_VCONCAT] = vsel_concat, [IR_VLOW] = vsel_lowhigh,
    [IR_VHIGH] = vsel_lowhigh, [IR_VZIP1] = vsel_zip, [IR_VZIP2] = vsel_zip, [IR_VUZP1] = vsel_uzp, [IR_VUZP2] = vsel_uzp,
    [IR_VTRN1] = vsel_trn, [IR_VTRN2] = vsel_trn, [IR_VEXT] = vsel_ext, [IR_VREV] = vsel_rev, [IR_VTBL] = vsel_tbl,
    [IR_VTBX] = vsel_tbl,
    [IR_FADD] = vsel_fvec_arith, [IR_FSUB] = vsel_fvec_arith, [IR_FMUL] = vsel_fvec_arith, [IR_FDIV] = vsel_fvec_arith,
    [IR_FRINTN] = vsel_fvec_rintn, [IR_FCADD] = vsel_fcadd, [IR_FCMLA] = vsel_fcmla, [IR_FMLAL] = vsel_fmlal,
    [IR_FRECPE] = vsel_estimate, [IR_FRSQRTE] = vsel_estimate, [IR_FMULX] = vsel_fvec_mulx, [IR_FRECPS] = vsel_fvec_step, [IR_FRSQRTS] = vsel_fvec_step,
    [IR_FSQRT] = vsel_fvec_sqrt, [IR_FMA] = vsel_fvec_fma, [IR_FNEG] = vsel_fvec_sign, [IR_FABS] = vsel_fvec_sign,
    [IR_FMIN] = vsel_fvec_minmax, [IR_FMAX] = vsel_fvec_minmax, [IR_FMINNUM] = vsel_fvec_minmax,
    [IR_FMAXNUM] = vsel_fvec_minmax, [IR_FRINT] = vsel_fvec_rint, [IR_VFCMP] = vsel_vfcmp, [IR_VFTOI] = vsel_vftoi,
    [IR_VITOF] = vsel_vitof, [IR_VFWIDEN] = vsel_vfwiden, [IR_VFNARROW] = vsel_vfnarrow,
    [IR_AESENC] = vsel_aes, [IR_AESDEC] = vsel_aes, [IR_AESMC] = vsel_aes, [IR_AESIMC] = vsel_aes,
    [IR_SHA1] = vsel_sha1, [IR_SHA1SU] = vsel_sha1su, [IR_SHA256H] = vsel_sha256h, [IR_SHA256SU] = vsel_sha256su,
    [IR_SHA512H] = vsel_sha512h, [IR_SHA512SU] = vsel_sha512su,
};
