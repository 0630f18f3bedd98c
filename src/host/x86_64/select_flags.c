/* Rules of carries and comparisons, whose results are in the host's flags. */
#include "host/x86_64/isel.h"

/* --- carries
 * ------------------------------------------------------------------------------------------------------------- */

bool isel_adc(Sel *s, const IrInsn *i)
{
    if (i->type != IR_I32 && i->type != IR_I64)
        return false;
    Width w = width_of((IrType)i->type);
    Gpr c = sel_use_r(s, i->c);
    RGm b = sel_use_rm(s, i->b, op_bytes(w));
    Gpr a = sel_use_r(s, i->a);
    Gpr d = sel_def_r(s, i);
    x64_mov_rr(s->a, w, d, a);
    x64_bt_i(s->a, BT_BT, W32, c, 0);
    x64_alu_rm(s->a, ALU_ADC, w, d, b);
    return true;
}

/* Whether the addition of these operands has left its flags. */
static bool sum_flags(const Sel *s, IrRef x, IrRef y, Width w)
{
    const IrInsn *i = &s->r->insn[s->flags.x];
    if (!flags_are(s, FL_SUM, s->flags.x, 0, w))
        return false;
    IrRef a = ra_root(s, i->a), b = ra_root(s, i->b);
    return (a == x && b == y) || (a == y && b == x);
}

/* a + b (+ c) for its flags */
static void add_flags(Sel *s, const IrInsn *i, Width w, bool carry_in)
{
    IrRef x = ra_root(s, i->a), y = ra_root(s, i->b);
    if (!carry_in && (flags_are(s, FL_ADD, x, y, w) || sum_flags(s, x, y, w)))
        return;
    int32_t imm;
    bool small = imm32(s, i->b, w, &imm);
    Gpr c = carry_in ? sel_use_r(s, i->c) : RAX;
    RGm b = small ? rm_r(RAX) : sel_use_rm(s, i->b, op_bytes(w));
    Gpr a = sel_use_r(s, i->a);
    Gpr t = sel_tmp_r(s);
    x64_mov_rr(s->a, w, t, a);
    if (carry_in)
        x64_bt_i(s->a, BT_BT, W32, c, 0);
    if (small)
        x64_alu_ri(s->a, carry_in ? ALU_ADC : ALU_ADD, w, t, imm);
    else
        x64_alu_rm(s->a, carry_in ? ALU_ADC : ALU_ADD, w, t, b);
    if (!carry_in)
        flags_set(s, FL_ADD, x, y, w);
}

static bool cond_add_c(Sel *s, const IrInsn *i, SelCond *out)
{
    add_flags(s, i, width_of((IrType)i->lane), false);
    *out = (SelCond){.cc = CC_B};
    return true;
}

static bool cond_add_v(Sel *s, const IrInsn *i, SelCond *out)
{
    add_flags(s, i, width_of((IrType)i->lane), false);
    *out = (SelCond){.cc = CC_O};
    return true;
}

static bool cond_adc_c(Sel *s, const IrInsn *i, SelCond *out)
{
    add_flags(s, i, width_of((IrType)i->lane), true);
    *out = (SelCond){.cc = CC_B};
    return true;
}

static bool cond_adc_v(Sel *s, const IrInsn *i, SelCond *out)
{
    add_flags(s, i, width_of((IrType)i->lane), true);
    *out = (SelCond){.cc = CC_O};
    return true;
}

/* --- comparisons
 * --------------------------------------------------------------------------------------------------------- */

/* Whether a comparison or subtraction of x and y, in this order, has left its flags. */
static bool compared(const Sel *s, IrRef x, IrRef y, Width w)
{
    const IrInsn *i = &s->r->insn[s->flags.x];
    if (flags_are(s, FL_CMP, x, y, w))
        return true;
    return flags_are(s, FL_SUB, s->flags.x, 0, w) && ra_root(s, i->a) == x && ra_root(s, i->b) == y;
}

static void compare(Sel *s, const IrInsn *i, Width w)
{
    IrRef x = ra_root(s, i->a), y = ra_root(s, i->b);
    int32_t imm;

    if (compared(s, x, y, w))
        return;
    if (imm32(s, i->b, w, &imm)) {
        if (w == W8)
            imm = (int8_t)imm;
        else if (w == W16)
            imm = (int16_t)imm;
        RGm a = sel_use_rm(s, i->a, op_bytes(w));
        if (a.mem)
            x64_alu_mi(s->a, ALU_CMP, w, a.m, imm);
        else if (imm == 0)
            x64_test_rr(s->a, w, a.r, a.r);
        else
            x64_alu_ri(s->a, ALU_CMP, w, a.r, imm);
    } else {
        RGm b = sel_use_rm(s, i->b, op_bytes(w));
        Gpr a = sel_use_r(s, i->a);
        x64_alu_rm(s->a, ALU_CMP, w, a, b);
    }
    flags_set(s, FL_CMP, x, y, w);
}

static bool test_flags(Sel *s, const IrInsn *i, Width w)
{
    IrRef x = ra_root(s, i->a), y = ra_root(s, i->b);
    int32_t imm;
    if (flags_are(s, FL_TEST, x, y, w))
        return true;
    if (imm32(s, i->b, w, &imm)) {
        x64_test_ri(s->a, w, sel_use_r(s, i->a), imm);
    } else {
        Gpr a = sel_use_r(s, i->a), b = sel_use_r(s, i->b);
        x64_test_rr(s->a, w, a, b);
    }
    flags_set(s, FL_TEST, x, y, w);
    return true;
}

/* The flags of a comparison of a and b from the difference r and b: carry and overflow of r + b are those of a - b. */
static Gpr add_back(Sel *s, IrRef r, const IrInsn *i, Width w)
{
    int32_t imm;
    bool small = imm32(s, i->b, w, &imm);
    RGm b = small ? rm_r(RAX) : sel_use_rm(s, i->b, op_bytes(w));
    Gpr d = sel_use_r(s, r);
    Gpr t = sel_tmp_r(s);
    x64_mov_rr(s->a, w, t, d);
    if (small)
        x64_alu_ri(s->a, ALU_ADD, w, t, imm);
    else
        x64_alu_rm(s->a, ALU_ADD, w, t, b);
    flags_set(s, FL_BACK, r, 0, w);
    return t;
}

static unsigned val_flags(const Sel *s, const IrInsn *i)
{
    return ra_val(s, (IrRef)(i - s->r->insn))->flags;
}

static bool cond_sub_v(Sel *s, const IrInsn *i, SelCond *out)
{
    Width w = width_of((IrType)i->lane);
    *out = (SelCond){.cc = CC_O};
    if (val_flags(s, i) & VAL_ALT) {
        IrRef r = s->ra->val[i - s->r->insn].alt;
        if (!flags_are(s, FL_SUB, r, 0, w) && !flags_are(s, FL_BACK, r, 0, w))
            add_back(s, r, i, w);
    } else {
        compare(s, i, w);
    }
    return true;
}

static Cc relation_cc(unsigned aux)
{
    static const uint8_t u[8] = {0, CC_B, CC_E, CC_BE, CC_A, CC_NE, CC_AE, 0};
    static const uint8_t g[8] = {0, CC_L, CC_E, CC_LE, CC_G, CC_NE, CC_GE, 0};
    unsigned rel = aux & (IR_LT | IR_EQ | IR_GT);
    return (Cc)((aux & IR_PSIGNED) ? g[rel] : u[rel]);
}

void isel_sign_flags(Sel *s, IrRef v, Width w)
{
    IrRef x = ra_root(s, v);
    if (flags_are(s, FL_RES, x, 0, w) || flags_are(s, FL_SUB, x, 0, w) || flags_are(s, FL_SUM, x, 0, w))
        return;
    if (x < s->r->ninsn && s->r->insn[x].op == IR_SUB &&
        flags_are(s, FL_CMP, ra_root(s, s->r->insn[x].a), ra_root(s, s->r->insn[x].b), w))
        return;
    RGm a = sel_use_rm(s, v, op_bytes(w));
    if (a.mem)
        x64_alu_mi(s->a, ALU_CMP, w, a.m, 0);
    else
        x64_test_rr(s->a, w, a.r, a.r);
    flags_set(s, FL_RES, x, 0, w);
}

static bool icmp_alt(Sel *s, const IrInsn *i, Width w, SelCond *out)
{
    IrRef r = s->ra->val[i - s->r->insn].alt;
    unsigned rel = i->aux & (IR_LT | IR_EQ | IR_GT);
    int32_t imm;

    *out = (SelCond){.cc = relation_cc(i->aux)};
    if (flags_are(s, FL_SUB, r, 0, w))
        return true;
    if (rel == IR_EQ || rel == (IR_LT | IR_GT)) {
        isel_sign_flags(s, r, w);
        return true;
    }
    bool carry = !(i->aux & IR_PSIGNED) && (rel == IR_LT || rel == (IR_EQ | IR_GT));
    if (carry && flags_are(s, FL_BACK, r, 0, w))
        return true;
    Gpr t = add_back(s, r, i, w);
    if (carry)
        return true;
    if (imm32(s, i->b, w, &imm)) {
        x64_alu_ri(s->a, ALU_CMP, w, t, imm);
    } else {
        RGm b = sel_use_rm(s, i->b, op_bytes(w));
        x64_alu_rm(s->a, ALU_CMP, w, t, b);
    }
    return true;
}

/* The conjunction with one bit that is in no immediate operand: its number; else -1. */
static int high_bit(const Sel *s, const IrInsn *i, Width w)
{
    uint64_t c;
    int32_t imm;
    if (i->op != IR_AND || imm32(s, i->b, w, &imm) || !sel_const(s, i->b, &c) || (c & (c - 1)))
        return -1;
    return __builtin_ctzll(c);
}

static bool icmp_sign(Sel *s, const IrInsn *i, Width w, SelCond *out)
{
    IrRef root = ra_root(s, i->a);
    unsigned rel = i->aux & (IR_LT | IR_EQ | IR_GT);

    if ((val_flags(s, i) & VAL_LAZY) && root < s->r->ninsn && (ra_val(s, root)->flags & VAL_LAZY) &&
        (rel == IR_EQ || rel == (IR_LT | IR_GT)) && high_bit(s, &s->r->insn[root], w) >= 0) {
        x64_bt_i(s->a, BT_BT, w, sel_use_r(s, s->r->insn[root].a), (unsigned)high_bit(s, &s->r->insn[root], w));
        *out = (SelCond){.cc = rel == IR_EQ ? CC_AE : CC_B};
        return true;
    }
    if ((val_flags(s, i) & VAL_LAZY) && root < s->r->ninsn && (ra_val(s, root)->flags & VAL_LAZY)) {
        const IrInsn *x = &s->r->insn[root];
        if (x->op == IR_SUB)
            compare(s, x, w);
        else if (x->op == IR_ADD)
            add_flags(s, x, w, false);
        else
            test_flags(s, x, w);
    } else {
        isel_sign_flags(s, i->a, w);
    }
    *out = (SelCond){.cc = rel == IR_EQ ? CC_E : rel == IR_LT ? CC_S : rel == (IR_LT | IR_GT) ? CC_NE : CC_NS};
    return true;
}

static bool cond_icmp(Sel *s, const IrInsn *i, SelCond *out)
{
    unsigned rel = i->aux & (IR_LT | IR_EQ | IR_GT);
    Width w = exact_width((IrType)i->lane);
    if (rel == 0 || rel == 7 || !ir_type_is_int((IrType)i->lane))
        return false;
    if (val_flags(s, i) & VAL_ALT)
        return icmp_alt(s, i, w, out);
    if (live_sign_test(s, i))
        return icmp_sign(s, i, w, out);
    if (compared(s, ra_root(s, i->b), ra_root(s, i->a), w)) { /* the other way round */
        unsigned turned = (rel & IR_EQ) | (rel & IR_LT ? IR_GT : 0) | (rel & IR_GT ? IR_LT : 0);
        *out = (SelCond){.cc = relation_cc(turned | (i->aux & IR_PSIGNED))};
        return true;
    }
    compare(s, i, w);
    *out = (SelCond){.cc = relation_cc(i->aux)};
    return true;
}

/* Logic on booleans, as guests with flags combine them into conditions. */
static bool cond_and(Sel *s, const IrInsn *i, SelCond *out)
{
    *out = (SelCond){.cc = CC_NE};
    return i->type == IR_I8 && test_flags(s, i, W8);
}

static bool cond_xor(Sel *s, const IrInsn *i, SelCond *out)
{
    uint64_t c;
    if (i->type != IR_I8)
        return false;
    if (sel_const(s, i->b, &c) && c == 1) {
        isel_sign_flags(s, i->a, W8);
        *out = (SelCond){.cc = CC_E};
    } else {
        compare(s, i, W8);
        *out = (SelCond){.cc = CC_NE};
    }
    return true;
}

SelCondRule *const sel_int_conds[IR_NOPS] = {
    [IR_ICMP] = cond_icmp,   [IR_ADD_C] = cond_add_c, [IR_ADD_V] = cond_add_v, [IR_ADC_C] = cond_adc_c,
    [IR_ADC_V] = cond_adc_v, [IR_SUB_V] = cond_sub_v, [IR_AND] = cond_and,     [IR_XOR] = cond_xor,
};
