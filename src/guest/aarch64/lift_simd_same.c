/*
 * Advanced SIMD integer instructions on three registers of one shape: vector, scalar and by-element forms, the rounding
 * doubling accumulations, and dot and matrix products.
 */
#include "guest/aarch64/lift_simd.h"

enum { SZ_B = 1, SZ_H = 2, SZ_S = 4, SZ_D = 8, SZ_BHS = 7, SZ_HS = 6, SZ_BHSD = 15 };

typedef struct Same Same;
typedef IrRef SameFn(Lift *l, VShape s, const Same *row, IrRef d, IrRef n, IrRef m);

struct Same {
    SameFn *fn;
    IrOp op;         /* the operation */
    IrOp op2;        /* the wrapping operation to compare with, the one that accumulates ... */
    uint8_t aux;     /* of op */
    uint8_t sizes;   /* element sizes of the vector forms */
    uint8_t scalars; /* of the scalar form */
};

static IrRef same_plain(Lift *l, VShape s, const Same *row, IrRef d, IrRef n, IrRef m)
{
    return simd_op(l, row->op, s, row->aux, 0, n, m, 0);
}

/* op saturates, op2 is the same without saturation */
static IrRef same_sat(Lift *l, VShape s, const Same *row, IrRef d, IrRef n, IrRef m)
{
    IrRef res = simd_op2(l, row->op, s, n, m);
    simd_qc_differ(l, s, res, simd_op2(l, row->op2, s, n, m));
    return res;
}

static IrRef same_shift_sat(Lift *l, VShape s, const Same *row, IrRef d, IrRef n, IrRef m)
{
    simd_qc(l, s, simd_op(l, IR_VSHIFT_Q, s, row->aux, 0, n, m, 0));
    return simd_op(l, IR_VSHIFT, s, row->aux, 0, n, m, 0);
}

/* d combined by op2 with op(n, m) */
static IrRef same_acc(Lift *l, VShape s, const Same *row, IrRef d, IrRef n, IrRef m)
{
    return simd_op2(l, row->op2, s, d, simd_op(l, row->op, s, row->aux, 0, n, m, 0));
}

static IrRef same_tst(Lift *l, VShape s, const Same *row, IrRef d, IrRef n, IrRef m)
{
    return simd_cmp(l, s, IR_LT | IR_GT, simd_op2(l, IR_AND, s, n, m), simd_zero(l));
}

static IrRef same_pair(Lift *l, VShape s, const Same *row, IrRef d, IrRef n, IrRef m)
{
    return simd_op2(l, row->op, s, simd_op2(l, IR_VUZP1, s, n, m), simd_op2(l, IR_VUZP2, s, n, m));
}

static IrRef same_sqdmulh(Lift *l, VShape s, const Same *row, IrRef d, IrRef n, IrRef m)
{
    return simd_sqdmulh(l, s, row->aux, n, m);
}

IrRef simd_sqdmulh(Lift *l, VShape s, bool rounding, IrRef n, IrRef m)
{
    /* only MIN * MIN saturates */
    IrRef min = simd_dup(l, s, UINT64_C(1) << (simd_bits(s) - 1));
    IrRef both = simd_op2(l, IR_AND, s, simd_cmp(l, s, IR_EQ, n, min), simd_cmp(l, s, IR_EQ, m, min));
    simd_qc(l, s, both);
    return simd_op(l, IR_VSATDMULH, s, rounding ? IR_ROUNDING : 0, 0, n, m, 0);
}

#define SR (IR_SIGNED | IR_ROUNDING)

/* by U and opcode */
static const Same same_table[2][24] = {
    {
        [0] = {same_plain, IR_VHADD, 0, IR_SIGNED, SZ_BHS},                 /* SHADD */
        [1] = {same_sat, IR_VADDS_SAT, IR_ADD, 0, SZ_BHSD, SZ_BHSD},        /* SQADD */
        [2] = {same_plain, IR_VHADD, 0, SR, SZ_BHS},                        /* SRHADD */
        [4] = {same_plain, IR_VHSUB, 0, IR_SIGNED, SZ_BHS},                 /* SHSUB */
        [5] = {same_sat, IR_VSUBS_SAT, IR_SUB, 0, SZ_BHSD, SZ_BHSD},        /* SQSUB */
        [6] = {same_plain, IR_VICMP, 0, IR_GT | IR_PSIGNED, SZ_BHSD, SZ_D}, /* CMGT */
        [7] = {same_plain, IR_VICMP, 0, IR_GT | IR_EQ | IR_PSIGNED, SZ_BHSD, SZ_D}, /* CMGE */
        [8] = {same_plain, IR_VSHIFT, 0, IR_SIGNED, SZ_BHSD, SZ_D},         /* SSHL */
        [9] = {same_shift_sat, 0, 0, IR_SIGNED | IR_SAT, SZ_BHSD, SZ_BHSD}, /* SQSHL */
        [10] = {same_plain, IR_VSHIFT, 0, SR, SZ_BHSD, SZ_D},               /* SRSHL */
        [11] = {same_shift_sat, 0, 0, SR | IR_SAT, SZ_BHSD, SZ_BHSD},       /* SQRSHL */
        [12] = {same_plain, IR_MAXS, 0, 0, SZ_BHS},                         /* SMAX */
        [13] = {same_plain, IR_MINS, 0, 0, SZ_BHS},                         /* SMIN */
        [14] = {same_plain, IR_VABD, 0, IR_SIGNED, SZ_BHS},                 /* SABD */
        [15] = {same_acc, IR_VABD, IR_ADD, IR_SIGNED, SZ_BHS},              /* SABA */
        [16] = {same_plain, IR_ADD, 0, 0, SZ_BHSD, SZ_D},                   /* ADD */
        [17] = {same_tst, 0, 0, 0, SZ_BHSD, SZ_D},                          /* CMTST */
        [18] = {same_acc, IR_MUL, IR_ADD, 0, SZ_BHS},                       /* MLA */
        [19] = {same_plain, IR_MUL, 0, 0, SZ_BHS},                          /* MUL */
        [20] = {same_pair, IR_MAXS, 0, 0, SZ_BHS},                          /* SMAXP */
        [21] = {same_pair, IR_MINS, 0, 0, SZ_BHS},                          /* SMINP */
        [22] = {same_sqdmulh, 0, 0, false, SZ_HS, SZ_HS},                   /* SQDMULH */
        [23] = {same_plain, IR_VADDP, 0, 0, SZ_BHSD},                       /* ADDP */
    },
    {
        [0] = {same_plain, IR_VHADD, 0, 0, SZ_BHS},                         /* UHADD */
        [1] = {same_sat, IR_VADDU_SAT, IR_ADD, 0, SZ_BHSD, SZ_BHSD},        /* UQADD */
        [2] = {same_plain, IR_VHADD, 0, IR_ROUNDING, SZ_BHS},               /* URHADD */
        [4] = {same_plain, IR_VHSUB, 0, 0, SZ_BHS},                         /* UHSUB */
        [5] = {same_sat, IR_VSUBU_SAT, IR_SUB, 0, SZ_BHSD, SZ_BHSD},        /* UQSUB */
        [6] = {same_plain, IR_VICMP, 0, IR_GT, SZ_BHSD, SZ_D},              /* CMHI */
        [7] = {same_plain, IR_VICMP, 0, IR_GT | IR_EQ, SZ_BHSD, SZ_D},      /* CMHS */
        [8] = {same_plain, IR_VSHIFT, 0, 0, SZ_BHSD, SZ_D},                 /* USHL */
        [9] = {same_shift_sat, 0, 0, IR_SAT, SZ_BHSD, SZ_BHSD},             /* UQSHL */
        [10] = {same_plain, IR_VSHIFT, 0, IR_ROUNDING, SZ_BHSD, SZ_D},      /* URSHL */
        [11] = {same_shift_sat, 0, 0, IR_ROUNDING | IR_SAT, SZ_BHSD, SZ_BHSD}, /* UQRSHL */
        [12] = {same_plain, IR_MAXU, 0, 0, SZ_BHS},                         /* UMAX */
        [13] = {same_plain, IR_MINU, 0, 0, SZ_BHS},                         /* UMIN */
        [14] = {same_plain, IR_VABD, 0, 0, SZ_BHS},                         /* UABD */
        [15] = {same_acc, IR_VABD, IR_ADD, 0, SZ_BHS},                      /* UABA */
        [16] = {same_plain, IR_SUB, 0, 0, SZ_BHSD, SZ_D},                   /* SUB */
        [17] = {same_plain, IR_VICMP, 0, IR_EQ, SZ_BHSD, SZ_D},             /* CMEQ */
        [18] = {same_acc, IR_MUL, IR_SUB, 0, SZ_BHS},                       /* MLS */
        [19] = {same_plain, IR_VPMUL, 0, 0, SZ_B},                          /* PMUL */
        [20] = {same_pair, IR_MAXU, 0, 0, SZ_BHS},                          /* UMAXP */
        [21] = {same_pair, IR_MINU, 0, 0, SZ_BHS},                          /* UMINP */
        [22] = {same_sqdmulh, 0, 0, true, SZ_HS, SZ_HS},                    /* SQRDMULH */
    },
};

/* C7.2, three registers of the same type: ADD (vector) to USHL, and their scalar forms */
bool a64_lift_simd_same(Lift *l, const A64Args *a)
{
    const Same *row = &same_table[a->U][a->opcode];
    unsigned sizes = a->scalar ? row->scalars : row->sizes;
    if (!(sizes >> a->size & 1) || (a->size == 3 && !a->Q && !a->scalar))
        return false;
    VShape s = a->scalar ? simd_shape_scalar(a->size) : simd_shape(a->size, a->Q);
    IrRef res = row->fn(l, s, row, a64_get_v(l, a->Rd), a64_get_v(l, a->Rn), a64_get_v(l, a->Rm));
    simd_put_shape(l, s, a->Rd, res);
    return true;
}

/* MLA, MLS, MUL, SQDMULH, SQRDMULH (by element): the row of the same instruction on whole vectors */
bool a64_lift_simd_same_elem(Lift *l, const A64Args *a)
{
    static const uint8_t row_of[16][2] = {
        [0] = {0, 18}, [4] = {0, 18}, [8] = {0, 19}, [12] = {0, 22}, [13] = {1, 22},
    };
    unsigned u = a->opcode == 4 ? 1 : row_of[a->opcode][0];
    const Same *row = &same_table[u][row_of[a->opcode][1]];
    VShape s = a->scalar ? simd_shape_scalar(a->size) : simd_shape(a->size, a->Q);
    IrRef m = simd_dup_elem(l, s, simd_elem(a, a->size));
    simd_put_shape(l, s, a->Rd, row->fn(l, s, row, a64_get_v(l, a->Rd), a64_get_v(l, a->Rn), m));
    return true;
}

/* AND, BIC, ORR, ORN, EOR, BSL, BIT, BIF (vector): by U and size */
bool a64_lift_simd_logic(Lift *l, const A64Args *a)
{
    static const IrOp plain[5] = {IR_AND, IR_ANDN, IR_OR, IR_ORN, IR_XOR};
    VShape s = simd_shape(3, a->Q);
    IrRef n = a64_get_v(l, a->Rn), m = a64_get_v(l, a->Rm), res;
    unsigned which = a->U << 2 | a->size;
    if (which < 5) {
        res = simd_op2(l, plain[which], s, n, m);
    } else {
        IrRef d = a64_get_v(l, a->Rd);
        if (a->size == 1)
            res = simd_op(l, IR_BSL, s, 0, 0, d, n, m);
        else if (a->size == 2)
            res = simd_op(l, IR_BSL, s, 0, 0, m, n, d);
        else
            res = simd_op(l, IR_BSL, s, 0, 0, m, d, n);
    }
    a64_put_v(l, a->Rd, res);
    return true;
}

IrRef simd_sqrdmlah(Lift *l, VShape s, bool subtract, IrRef d, IrRef n, IrRef m)
{
    simd_qc(l, s, simd_op(l, IR_VRDMLAH_Q, s, subtract, 0, d, n, m));
    return simd_op(l, IR_VRDMLAH, s, subtract, 0, d, n, m);
}

/* SQRDMLAH, SQRDMLSH (vector) */
bool a64_lift_simd_rdm(Lift *l, const A64Args *a)
{
    if (a->size == 0 || a->size == 3)
        return false;
    VShape s = a->scalar ? simd_shape_scalar(a->size) : simd_shape(a->size, a->Q);
    IrRef res = simd_sqrdmlah(l, s, a->S, a64_get_v(l, a->Rd), a64_get_v(l, a->Rn), a64_get_v(l, a->Rm));
    simd_put_shape(l, s, a->Rd, res);
    return true;
}

/* SQRDMLAH, SQRDMLSH (by element) */
bool a64_lift_simd_rdm_elem(Lift *l, const A64Args *a)
{
    VShape s = a->scalar ? simd_shape_scalar(a->size) : simd_shape(a->size, a->Q);
    IrRef m = simd_dup_elem(l, s, simd_elem(a, a->size));
    IrRef res = simd_sqrdmlah(l, s, a->opcode & 2, a64_get_v(l, a->Rd), a64_get_v(l, a->Rn), m);
    simd_put_shape(l, s, a->Rd, res);
    return true;
}

/* aux of VDOT and VMMLA */
enum { DOT_UU = 0, DOT_SU = 1, DOT_US = 2, DOT_SS = 3 };

static bool dot(Lift *l, const A64Args *a, unsigned signs, IrRef m)
{
    IrRef d = a64_get_v(l, a->Rd);
    a64_put_v(l, a->Rd, simd_op(l, IR_VDOT, simd_shape(2, a->Q), signs, 0, d, a64_get_v(l, a->Rn), m));
    return true;
}

/* SDOT, UDOT (vector) */
bool a64_lift_simd_dot(Lift *l, const A64Args *a)
{
    return dot(l, a, a->U ? DOT_UU : DOT_SS, a64_get_v(l, a->Rm));
}

/* SDOT, UDOT (by element): the element is a group of four bytes */
bool a64_lift_simd_dot_e(Lift *l, const A64Args *a)
{
    return dot(l, a, a->U ? DOT_UU : DOT_SS, simd_dup_elem(l, simd_shape(2, a->Q), simd_elem(a, 2)));
}

bool a64_lift_usdot_v(Lift *l, const A64Args *a)
{
    return dot(l, a, DOT_US, a64_get_v(l, a->Rm));
}

bool a64_lift_usdot_e(Lift *l, const A64Args *a)
{
    return dot(l, a, DOT_US, simd_dup_elem(l, simd_shape(2, a->Q), simd_elem(a, 2)));
}

bool a64_lift_sudot_e(Lift *l, const A64Args *a)
{
    return dot(l, a, DOT_SU, simd_dup_elem(l, simd_shape(2, a->Q), simd_elem(a, 2)));
}

/* SMMLA, UMMLA, USMMLA (vector) */
bool a64_lift_simd_mmla(Lift *l, const A64Args *a)
{
    unsigned signs = a->B ? DOT_US : a->U ? DOT_UU : DOT_SS;
    IrRef d = a64_get_v(l, a->Rd);
    a64_put_v(l, a->Rd, simd_op(l, IR_VMMLA, simd_shape(2, 1), signs, 0, d, a64_get_v(l, a->Rn), a64_get_v(l, a->Rm)));
    return true;
}
