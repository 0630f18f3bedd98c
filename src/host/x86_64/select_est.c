/*
 * FRECPE and FRSQRTE: Arm's 8-bit estimates, from a table of their fractions that stands with the common stubs. An exponent
 * and the fraction's leading bits are all that counts; no host operation takes part that could raise a flag. Zeros,
 * subnormals, infinities, NaNs, negative roots, and results that are subnormal go to ir_eval.
 */
#include "host/x86_64/plan.h"
#include "host/x86_64/vsel.h"

enum { RECIP = 0, ROOT = 256, BYTES = 768 };

/* By the fraction's 8 leading bits; for roots by 9 bits, of which the first is the exponent's last. */
void est_table(uint8_t table[EST_BYTES])
{
    FpEnv env = {0};

    _Static_assert(BYTES + 8 == EST_BYTES, "a gather reads 8 bytes");
    for (uint64_t i = 0; i < 256; i++)
        table[RECIP + i] = (uint8_t)(fp_recpe(FP_F32, 0x3f800000 | i << 15, &env) >> 15);
    for (uint64_t i = 0; i < 512; i++)
        table[ROOT + i] = (uint8_t)(fp_rsqrte(FP_F32, 0x3f000000 + (i << 15), &env) >> 15);
    for (unsigned i = BYTES; i < EST_BYTES; i++)
        table[i] = 0;
}

typedef struct Est {
    bool dbl, root;
    Xmm d, x, t, u, m;
    Gpr g;
    uint32_t slow;
} Est;

/* Exponents (in u) whose results are normal: 1..252, 1..2044; for roots of positive numbers all but the first and last. */
static void exponent_range(Sel *s, const Est *k)
{
    uint64_t last = k->dbl ? (k->root ? 2046 : 2044) : (k->root ? 254 : 252);
    unsigned n = k->dbl ? 64 : 32;

    /* the sign is above the exponent: as 32-bit numbers, negative ones are too large for a root */
    x64_rvm_m(s->a, VPADDD, k->t, k->u, vsel_rep(s, n, k->dbl ? 0xffffffff : ~0ull));
    x64_rvm_m(s->a, VPMINUD, k->m, k->t, vsel_rep(s, n, last - 1));
    x64_rvm(s->a, VPXOR, k->m, k->m, k->t);
    x64_rm(s->a, VPTEST, k->m, k->m);
    x64_jcc(s->a, CC_NE, k->slow);
}

/* m = table entries of the lanes of t, which are spoiled. */
static void look_up(Sel *s, const Est *k, unsigned bits)
{
    unsigned n = k->dbl ? 64 : 32;

    x64_rvm_m(s->a, VPAND, k->t, k->t, vsel_rep(s, n, (1u << bits) - 1));
    x64_mov_rm(s->a, W64, k->g, plan_cpu(offsetof(HostCpu, gate) + STUB_ESTIMATES * sizeof(void *)));
    x64_alu_ri(s->a, ALU_ADD, W64, k->g, k->root ? ROOT : RECIP);
    x64_rvm(s->a, VPCMPEQD, k->u, k->u, k->u);
    x64_rvm(s->a, VPXOR, k->m, k->m, k->m);
    x64_gather(s->a, k->dbl ? VPGATHERQQ : VPGATHERDD, k->m, k->g, k->t, k->u);
    x64_rvm_m(s->a, VPAND, k->m, k->m, vsel_rep(s, n, 255));
}

/* k->d = the estimates of k->x's lanes. */
static void estimate(Sel *s, const Est *k)
{
    unsigned n = k->dbl ? 64 : 32, fraction = k->dbl ? 52 : 23;
    uint64_t top = k->dbl ? 0x7ff0000000000000 : 0x7f800000, sign = k->dbl ? 1ull << 63 : 1u << 31;
    uint64_t base = k->dbl ? (k->root ? 3068ull : 2045ull) : (k->root ? 380 : 253);
    X64Vec shr = k->dbl ? VPSRLQ_I : VPSRLD_I, shl = k->dbl ? VPSLLQ_I : VPSLLD_I, sub = k->dbl ? VPSUBQ : VPSUBD;

    if (k->root) {
        x64_vmi(s->a, shr, k->u, k->x, fraction);
    } else {
        x64_vmi(s->a, shl, k->u, k->x, 1);
        x64_vmi(s->a, shr, k->u, k->u, fraction + 1);
    }
    exponent_range(s, k);
    x64_rm_m(s->a, VMOVAPS, k->d, vsel_rep(s, n, base));
    x64_rvm(s->a, sub, k->d, k->d, k->u);
    if (k->root)
        x64_vmi(s->a, shr, k->d, k->d, 1);
    x64_vmi(s->a, shl, k->d, k->d, fraction);
    x64_rvm_m(s->a, VPAND, k->d, k->d, vsel_rep(s, n, top));
    x64_vmi(s->a, shr, k->t, k->x, fraction - 8);
    look_up(s, k, k->root ? 9 : 8);
    x64_vmi(s->a, shl, k->m, k->m, fraction - 8);
    x64_rvm(s->a, VPOR, k->d, k->d, k->m);
    if (!k->root) {
        x64_rvm_m(s->a, VPAND, k->m, k->x, vsel_rep(s, n, sign));
        x64_rvm(s->a, VPOR, k->d, k->d, k->m);
    }
}

/* Lanes that are not the guest's become ones. */
bool vsel_estimate(Sel *s, const IrInsn *i)
{
    bool scalar = i->type != IR_V128;
    IrType f = (IrType)(scalar ? i->type : i->lane);
    Est k = {.dbl = f == IR_F64, .root = i->op == IR_FRSQRTE};
    uint64_t one = k.dbl ? 0x3ff0000000000000 : 0x3f800000;

    if (f == IR_F16)
        return false;
    Xmm a = sel_use_x(s, i->a);
    k.d = sel_def_x(s, i);
    k.t = sel_tmp_x(s);
    k.u = sel_tmp_x(s);
    k.m = sel_tmp_x(s);
    k.g = sel_tmp_r(s);
    k.x = a;
    k.slow = sel_label(s);
    if (scalar || half_shape(i)) {
        k.x = sel_tmp_x(s);
        if (scalar && !k.dbl)
            x64_rvmi_m(s->a, VPBLENDD, k.x, a, vsel_rep(s, 32, one), 0xe);
        else
            x64_rvm_m(s->a, VPUNPCKLQDQ, k.x, a, vsel_rep(s, k.dbl ? 64 : 32, one));
    }
    estimate(s, &k);
    vsel_finish(s, i, k.d);
    sel_cold_eval_at(s, i, k.slow);
    return true;
}
