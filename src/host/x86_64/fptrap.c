/*
 * Floating-point operations that trapped. Translated code runs with "invalid operation" unmasked: every two-operand
 * addition, subtraction, multiplication, division and square root whose NaN result differs between guest and host raises
 * it, as do conversions out of range; so the code holds no test for them. Here the instruction at the interrupted pc is
 * decoded (it is one of those that the rules in select_fp*.c and select_vec_fp.c emit), its result computed by base/fp,
 * written into the interrupted context, and stepped over. Nothing is recorded at translation.
 *
 * The host's own sticky "invalid" is therefore never set while translated code runs: the guest's is in cpu->ir.fp.flags.
 *
 * Some rules emit sequences that are completed as a whole; their instructions are chosen so that nothing else looks alike:
 *   fused       vmovaps (vmovq, vinsertps, to clear what is above) d, c; vf[n]m{add,sub}231 d, a, b (registers); vcmp t, d, d, FALSE_OS, which traps when d is a quiet NaN:
 *               Arm and x86 choose another one, and 0 * infinity + quiet NaN is invalid on Arm only
 *   minimum     vmin t, a, b; vmin d, b, a; vorps d, t, d (minnum: vorpd; maxima: vmax and vandps, vandpd)
 *   to integer  vcvtt d, t of a rounded t; vcvt a's (not vcvtt) for the "inexact" flag
 *               or: vcvtt {sae} d, t of an estimate; vcvt of a, to nearest with ties away
 *   step        vfnmadd213 d(= a), b, 2.0: FRECPS; the same with d = a/2 and 1.5: FRSQRTS
 */
#include "host/x86_64/plan.h"

#include "base/check.h"
#include "base/safe.h"
#include "host/x86_64/asm_vec.h"
#include "ir/eval.h"

#include <cpuid.h>
#include <string.h>
#include <ucontext.h>

typedef enum Kind {
    K_NONE, K_ADD, K_SUB, K_MUL, K_DIV, K_SQRT, K_FMA, K_STEP, K_MIN, K_MAX, K_CMP, K_COMI, K_CVT, K_TO_HALF, K_ROUND, K_TO_INT,
    K_TO_INT_V, K_INEXACT, K_INEXACT_V
} Kind;

/* What an instruction computes. */
typedef struct Row {
    uint8_t kind;
    uint8_t fmt;    /* FpFmt of the operands */
    uint8_t lanes;  /* 0: scalar, the rest of the result comes from the second operand */
    uint8_t x;      /* K_FMA: 1 negates the product, 2 the addend; K_CVT: FpFmt of the result; to integer: bytes | signed << 7 */
} Row;

#define SIGNED 0x80
#define BY_FORMAT(op, kind, x)                                                                                             \
    [op##SS] = {kind, FP_F32, 0, x}, [op##SD] = {kind, FP_F64, 0, x}, [op##PS] = {kind, FP_F32, 4, x},                       \
    [op##PD] = {kind, FP_F64, 2, x}
#define WITH_HALF(op, kind, x) BY_FORMAT(op, kind, x), [op##SH] = {kind, FP_F16, 0, x}, [op##PH] = {kind, FP_F16, 8, x}

static const Row rows[X64_NVEC] = {
    WITH_HALF(VADD, K_ADD, 0), WITH_HALF(VSUB, K_SUB, 0), WITH_HALF(VMUL, K_MUL, 0), WITH_HALF(VDIV, K_DIV, 0),
    WITH_HALF(VSQRT, K_SQRT, 0), BY_FORMAT(VMIN, K_MIN, 0), BY_FORMAT(VMAX, K_MAX, 0), BY_FORMAT(VCMP, K_CMP, 0),
    WITH_HALF(VFMADD231, K_FMA, 0), WITH_HALF(VFNMADD231, K_FMA, 1), WITH_HALF(VFMSUB231, K_FMA, 2),
    WITH_HALF(VFNMSUB231, K_FMA, 3), BY_FORMAT(VFNMADD213, K_STEP, 0), BY_FORMAT(VROUND, K_ROUND, 0),
    [VUCOMISS] = {K_COMI, FP_F32, 0, 0}, [VUCOMISD] = {K_COMI, FP_F64, 0, 0}, [VCOMISS] = {K_COMI, FP_F32, 0, 0},
    [VCOMISD] = {K_COMI, FP_F64, 0, 0}, [VUCOMISH] = {K_COMI, FP_F16, 0, 0}, [VCOMISH] = {K_COMI, FP_F16, 0, 0},
    [VCVTSS2SD] = {K_CVT, FP_F32, 0, FP_F64}, [VCVTSD2SS] = {K_CVT, FP_F64, 0, FP_F32}, [VCVTPS2PD] = {K_CVT, FP_F32, 2, FP_F64},
    [VCVTPD2PS] = {K_CVT, FP_F64, 2, FP_F32}, [VCVTPH2PS] = {K_CVT, FP_F16, 4, FP_F32}, [VCVTPS2PH] = {K_TO_HALF, FP_F32, 4, FP_F16},
    [VCVTSD2SH] = {K_CVT, FP_F64, 0, FP_F16}, [VCVTSH2SD] = {K_CVT, FP_F16, 0, FP_F64},
    [VCVTTSS2SI] = {K_TO_INT, FP_F32, 0, 4 | SIGNED}, [VCVTTSS2SI_Q] = {K_TO_INT, FP_F32, 0, 8 | SIGNED},
    [VCVTTSD2SI] = {K_TO_INT, FP_F64, 0, 4 | SIGNED}, [VCVTTSD2SI_Q] = {K_TO_INT, FP_F64, 0, 8 | SIGNED},
    [VCVTTSS2USI] = {K_TO_INT, FP_F32, 0, 4}, [VCVTTSS2USI_Q] = {K_TO_INT, FP_F32, 0, 8},
    [VCVTTSD2USI] = {K_TO_INT, FP_F64, 0, 4}, [VCVTTSD2USI_Q] = {K_TO_INT, FP_F64, 0, 8},
    [VCVTSS2SI] = {K_INEXACT, FP_F32, 0, 4 | SIGNED}, [VCVTSS2SI_Q] = {K_INEXACT, FP_F32, 0, 8 | SIGNED},
    [VCVTSD2SI] = {K_INEXACT, FP_F64, 0, 4 | SIGNED}, [VCVTSD2SI_Q] = {K_INEXACT, FP_F64, 0, 8 | SIGNED},
    [VCVTSS2USI] = {K_INEXACT, FP_F32, 0, 4}, [VCVTSS2USI_Q] = {K_INEXACT, FP_F32, 0, 8},
    [VCVTSD2USI] = {K_INEXACT, FP_F64, 0, 4}, [VCVTSD2USI_Q] = {K_INEXACT, FP_F64, 0, 8},
    [VCVTTPS2DQ] = {K_TO_INT_V, FP_F32, 4, 4 | SIGNED}, [VCVTTPD2QQ] = {K_TO_INT_V, FP_F64, 2, 8 | SIGNED},
    [VCVTTPS2UDQ] = {K_TO_INT_V, FP_F32, 4, 4}, [VCVTTPD2UQQ] = {K_TO_INT_V, FP_F64, 2, 8},
    [VCVTPS2DQ] = {K_INEXACT_V, FP_F32, 4, 4 | SIGNED}, [VCVTPD2QQ] = {K_INEXACT_V, FP_F64, 2, 8 | SIGNED},
    [VCVTPS2UDQ] = {K_INEXACT_V, FP_F32, 4, 4}, [VCVTPD2UQQ] = {K_INEXACT_V, FP_F64, 2, 8},
};

/* --- the interrupted context ------------------------------------------------------------------------------------------ */

/* Register n's 128 bits in the signal frame. Those from 16 on are in a component that may be absent: then all are zero. */
static IrVal *xmm(ucontext_t *uc, unsigned n)
{
    uint8_t *area = (uint8_t *)uc->uc_mcontext.fpregs;
    unsigned size, offset, ecx, edx;
    uint64_t present;

    if (n < 16)
        return (IrVal *)&uc->uc_mcontext.fpregs->_xmm[n];
    __cpuid_count(13, XSAVE_HIGH, size, offset, ecx, edx);
    memcpy(&present, area + XSAVE_PRESENT, 8);
    if (!(present >> XSAVE_HIGH & 1)) {
        present |= 1ull << XSAVE_HIGH;
        memcpy(area + XSAVE_PRESENT, &present, 8);
        memset(area + offset, 0, size);
    }
    return (IrVal *)(area + offset + 64 * (n - 16));
}

static greg_t *gpr(ucontext_t *uc, unsigned n)
{
    static const int8_t index[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                     REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
    return &uc->uc_mcontext.gregs[index[n]];
}

/* --- decoding ----------------------------------------------------------------------------------------------------------- */

typedef struct Insn {
    X64Vec op;
    unsigned len, reg, v, rm, imm; /* registers; rm valid unless mem */
    bool mem, evex, rounding;      /* rounding: {sae} or a rounding mode of its own */
    IrVal src;                     /* value of the r/m operand, if of the vector class */
} Insn;

/* Prefixes as numbers, not inverted. */
typedef struct Prefix {
    unsigned r, x, b, v, w, pp, map;
} Prefix;

static const uint8_t *read_prefix(const uint8_t *p, Prefix *f, Insn *n)
{
    *f = (Prefix){.map = 1};
    if (p[0] == 0xC5) {
        f->r = ~p[1] >> 4 & 8;
        f->v = ~p[1] >> 3 & 15;
        f->pp = p[1] & 3;
        return p + 2;
    }
    if (p[0] != 0xC4 && p[0] != 0x62)
        return NULL;
    f->r = ~p[1] >> 4 & 8;
    f->x = ~p[1] >> 3 & 8;
    f->b = ~p[1] >> 2 & 8;
    f->w = p[2] >> 7;
    f->v = ~p[2] >> 3 & 15;
    f->pp = p[2] & 3;
    if (p[0] == 0xC4) {
        f->map = p[1] & 31;
        return p + 3;
    }
    f->map = p[1] & 7;
    f->r |= ~p[1] & 16;
    f->v |= (unsigned)(~p[3] & 8) << 1;
    n->evex = true;
    n->rounding = p[3] & 16;
    return p + 4;
}

/* VEX rows may be found in EVEX form too, which then has W set for f64. */
static X64Vec find_row(const Prefix *f, unsigned opcode, bool evex)
{
    X64Vec near = X64_NVEC;

    for (unsigned k = 0; k < X64_NVEC; k++) {
        const X64VecInfo *i = &x64_vec[k];
        if (!rows[k].kind && k != VMOVAPS && k != VMOVQ && k != VINSERTPS && k != VORPS && k != VORPD && k != VANDPS && k != VANDPD)
            continue;
        if (i->opcode != opcode || i->pp != f->pp || i->map != f->map || (!evex && i->enc != X64_VEX))
            continue;
        if (i->w == f->w)
            return (X64Vec)k;
        near = (X64Vec)k;
    }
    return evex ? near : X64_NVEC;
}

static bool has_imm(unsigned form)
{
    return form == X64_RVMI || form == X64_RMI || form == X64_MRI;
}

/* The address in a ModRM operand at p; *end is behind it. `next`: address after the instruction, once *end is known. */
static uint64_t address(ucontext_t *uc, const uint8_t *p, const Prefix *f, unsigned scale8, unsigned imm, const uint8_t **end)
{
    unsigned mod = *p >> 6, rm = *p & 7;
    uint64_t at = 0;
    int32_t disp = 0;
    bool base = true;

    p++;
    if (rm == 4) {
        unsigned sib = *p++, index = (sib >> 3 & 7) | f->x;
        if (index != 4)
            at += (uint64_t)*gpr(uc, index) << (sib >> 6);
        rm = sib & 7;
        base = rm != 5 || mod;
    } else if (rm == 5 && !mod) { /* relative to the next instruction */
        memcpy(&disp, p, 4);
        *end = p + 4;
        return (uint64_t)(uintptr_t)(p + 4 + imm) + (uint64_t)(int64_t)disp;
    }
    if (base)
        at += (uint64_t)*gpr(uc, rm | f->b);
    if (mod == 1) {
        at += (uint64_t)((int64_t)(int8_t)*p * scale8);
        p++;
    } else if (mod == 2 || !base) {
        memcpy(&disp, p, 4);
        at += (uint64_t)(int64_t)disp;
        p += 4;
    }
    *end = p;
    return at;
}

/* Decode the instruction at p. False when it is none that this file knows. */
static bool decode(ucontext_t *uc, const uint8_t *p, Insn *n)
{
    const uint8_t *start = p;
    Prefix f;

    memset(n, 0, sizeof *n);
    p = read_prefix(p, &f, n);
    if (!p || (n->op = find_row(&f, *p, n->evex)) == X64_NVEC)
        return false;
    const X64VecInfo *i = &x64_vec[n->op];
    unsigned imm = has_imm(i->form);
    p++;
    n->reg = (*p >> 3 & 7) | f.r;
    n->v = f.v;
    n->mem = *p >> 6 != 3;
    if (n->mem) {
        unsigned size = 1u << i->mem;
        uint64_t at = address(uc, p, &f, n->evex ? size : 1, imm, &p);
        if (safe_copy(&n->src, (const void *)(uintptr_t)at, size))
            return false;
    } else {
        n->rm = (*p & 7) | f.b | (n->evex ? f.x << 1 : 0);
        n->src = *xmm(uc, n->rm);
        p++;
    }
    n->imm = imm ? *p++ : 0;
    n->len = (unsigned)(p - start);
    return true;
}

/* --- computing ---------------------------------------------------------------------------------------------------------- */

static unsigned fmt_size(unsigned f)
{
    return f == FP_F64 ? 8 : f == FP_F32 ? 4 : 2;
}

static uint64_t lane(const IrVal *v, unsigned f, unsigned i)
{
    return ir_lane(v, fmt_size(f), i);
}

static FpRound round_of(unsigned imm)
{
    static const uint8_t r[4] = {FP_RNE, FP_RDN, FP_RUP, FP_RTZ};
    return imm & 4 ? FP_RCUR : (FpRound)r[imm & 3];
}

/* Relations (FP_LT ...) under which a VCMP predicate holds; its bit 4 only says whether it signals. */
static unsigned predicate(unsigned imm)
{
    static const uint8_t rel[16] = {FP_EQ, FP_LT, FP_LT | FP_EQ, FP_UN, FP_LT | FP_GT | FP_UN, FP_EQ | FP_GT | FP_UN, FP_GT | FP_UN,
                                    FP_LT | FP_EQ | FP_GT, FP_EQ | FP_UN, FP_LT | FP_UN, FP_LT | FP_EQ | FP_UN, 0, FP_LT | FP_GT,
                                    FP_EQ | FP_GT, FP_GT, FP_LT | FP_EQ | FP_GT | FP_UN};
    return rel[imm & 15];
}

static bool signals(unsigned imm)
{
    bool in_first = 0x6666 >> (imm & 15) & 1; /* 1 2 5 6 9 10 13 14 */
    return in_first != (imm >> 4 & 1);
}

static uint64_t from_step(FpFmt f, uint64_t a, uint64_t b, uint64_t k, FpEnv *e)
{
    FpEnv exact = {0};
    bool half = k == (f == FP_F64 ? 0x3ff8000000000000 : 0x3fc00000);

    return half ? fp_rsqrts(f, fp_add(f, a, a, &exact), b, e) : fp_recps(f, a, b, e);
}

/* One lane: `d` of the destination before, `v` of the second operand, `m` of the third. */
static uint64_t compute(const Row *r, unsigned imm, uint64_t d, uint64_t v, uint64_t m, FpEnv *e)
{
    FpFmt f = (FpFmt)r->fmt;
    uint64_t sign = 1ull << (8 * fmt_size(f) - 1);

    switch (r->kind) {
    case K_ADD: return fp_add(f, v, m, e);
    case K_SUB: return fp_sub(f, v, m, e);
    case K_MUL: return fp_mul(f, v, m, e);
    case K_DIV: return fp_div(f, v, m, e);
    case K_SQRT: return fp_sqrt(f, m, e);
    case K_FMA: return fp_fma(f, r->x & 1 ? v ^ sign : v, m, r->x & 2 ? d ^ sign : d, e);
    case K_STEP: return from_step(f, d, v, m, e);
    case K_CMP: return fp_compare(f, v, m, signals(imm), e) & predicate(imm) ? UINT64_MAX : 0;
    case K_CVT: return fp_convert((FpFmt)r->x, f, m, FP_RCUR, e);
    case K_TO_HALF: return fp_convert(FP_F16, f, d, round_of(imm), e);
    case K_ROUND: return fp_rint(f, m, round_of(imm), !(imm & X64_ROUND_QUIET), e);
    default: return fp_to_int(f, m, 8 * (r->x & ~SIGNED), r->x & SIGNED, 0, FP_RTZ, e);
    }
}

/* The whole result, in the destination's register. */
static void compute_all(ucontext_t *uc, const Row *r, const Insn *n, FpEnv *e)
{
    bool to_half = r->kind == K_TO_HALF;
    unsigned size = r->kind == K_CVT || to_half ? fmt_size(r->x) : fmt_size(r->fmt);
    IrVal d = *xmm(uc, n->reg), v = *xmm(uc, n->v), out = {.u64 = {0, 0}};

    if (r->kind == K_FMA || r->kind == K_STEP)
        out = d;
    else if (!r->lanes)
        out = v;
    for (unsigned i = 0; i < (r->lanes ? r->lanes : 1u); i++)
        ir_lane_set(&out, size, i,
                    compute(r, n->imm, lane(&d, r->fmt, i), lane(&v, r->fmt, i), lane(&n->src, r->fmt, i), e));
    *xmm(uc, to_half ? n->rm : n->reg) = out;
}

static void step_over(ucontext_t *uc, const Insn *n)
{
    uc->uc_mcontext.gregs[REG_RIP] += n->len;
}

static const uint8_t *here(const ucontext_t *uc)
{
    return (const uint8_t *)uc->uc_mcontext.gregs[REG_RIP];
}

/* --- sequences ---------------------------------------------------------------------------------------------------------- */

static bool is_fused_check(const Insn *n)
{
    return rows[n->op].kind == K_CMP && n->imm == X64_CMP_FALSE_OS && !n->mem && n->v == n->rm;
}

/* The instruction of `len` bytes that ends at `end`, with register operands only. */
static bool decode_before(ucontext_t *uc, const uint8_t *end, unsigned len, Insn *n)
{
    return decode(uc, end - len, n) && n->len == len && !n->mem;
}

/* The register form that ends at `end`. Its first byte and map field tell which of the possible lengths is meant. */
static bool decode_back(ucontext_t *uc, const uint8_t *end, Insn *n)
{
    if (end[-4] == 0xC5 && decode_before(uc, end, 4, n))
        return true;
    if (end[-5] == 0xC4 && decode_before(uc, end, 5, n))
        return true;
    return (end[-6] == 0x62 || end[-6] == 0xC4) && decode_before(uc, end, 6, n);
}

/* At the check after a fused multiplication, whose operands are still there: c where the move before it read it. */
static void redo_fused(ucontext_t *uc, const Insn *check, FpEnv *e)
{
    Insn fma, mov;
    bool found = decode_back(uc, here(uc), &fma) && rows[fma.op].kind == K_FMA && fma.reg == check->rm &&
                 decode_back(uc, here(uc) - fma.len, &mov) && !rows[mov.op].kind && mov.reg == fma.reg;
    CHECK(found);
    unsigned size = rows[fma.op].lanes ? 16 : fmt_size(rows[fma.op].fmt); /* above it the result is right */
    memcpy(xmm(uc, fma.reg), &mov.src, size);
    compute_all(uc, &rows[fma.op], &fma, e);
    step_over(uc, check);
}

static void fused(ucontext_t *uc, const Row *r, const Insn *n, FpEnv *e)
{
    Insn check;

    compute_all(uc, r, n, e);
    step_over(uc, n);
    if (decode(uc, here(uc), &check) && is_fused_check(&check) && check.rm == n->reg)
        step_over(uc, &check);
}

/* All three instructions of a minimum or maximum. */
static void min_max(ucontext_t *uc, const Row *r, const Insn *n, FpEnv *e)
{
    Insn second, last;
    IrVal a = *xmm(uc, n->v), out = {.u64 = {0, 0}};
    bool max = r->kind == K_MAX;

    step_over(uc, n);
    bool found = decode(uc, here(uc), &second) && second.op == n->op;
    step_over(uc, &second);
    found = found && decode(uc, here(uc), &last);
    step_over(uc, &last);
    CHECK(found);
    bool number = last.op == VORPD || last.op == VANDPD;
    if (!r->lanes)
        out = a;
    for (unsigned i = 0; i < (r->lanes ? r->lanes : 1u); i++) {
        uint64_t x = lane(&a, r->fmt, i), y = lane(&n->src, r->fmt, i);
        FpFmt f = (FpFmt)r->fmt;
        uint64_t z = number ? (max ? fp_maxnum : fp_minnum)(f, x, y, e) : (max ? fp_max : fp_min)(f, x, y, e);
        ir_lane_set(&out, fmt_size(f), i, z);
    }
    *xmm(uc, last.reg) = out;
}

/*
 * One lane of a conversion: m is rounded already if x follows, which then is the value before rounding; it is "inexact"
 * only if m fits.
 */
static uint64_t to_int_lane(const Row *r, uint64_t m, const uint64_t *x, FpEnv *e)
{
    FpEnv t = *e, u = *e;
    t.flags = u.flags = 0;
    uint64_t out = compute(r, 0, 0, 0, m, &t);
    if (x && !(t.flags & FP_INVALID))
        compute(r, 0, 0, 0, *x, &u);
    e->flags |= t.flags | u.flags;
    return out;
}

static void put_gpr(ucontext_t *uc, unsigned n, uint64_t v)
{
    *gpr(uc, n) = (greg_t)v;
}

static void to_int(ucontext_t *uc, const Row *r, const Insn *n, FpEnv *e)
{
    Insn next;
    bool vec = r->kind == K_TO_INT_V;
    IrVal out = {.u64 = {0, 0}};

    step_over(uc, n);
    bool rounded = decode(uc, here(uc), &next) && rows[next.op].kind == (vec ? K_INEXACT_V : K_INEXACT);
    for (unsigned i = 0; i < (vec ? r->lanes : 1u); i++) {
        uint64_t x = rounded ? lane(&next.src, r->fmt, i) : 0;
        ir_lane_set(&out, r->x & ~SIGNED, i, to_int_lane(r, lane(&n->src, r->fmt, i), rounded ? &x : NULL, e));
    }
    if (rounded)
        step_over(uc, &next);
    if (vec)
        *xmm(uc, n->reg) = out;
    else
        put_gpr(uc, n->reg, out.u64[0]);
}

/* The conversion that is there for its flag: after an estimate it also tells that the estimate is void. */
static void inexact(ucontext_t *uc, const Row *r, const Insn *n, FpEnv *e)
{
    Insn before;
    FpFmt f = (FpFmt)r->fmt;
    unsigned bytes = r->x & ~SIGNED, lanes = r->lanes ? r->lanes : 1;
    bool away = decode_back(uc, here(uc), &before) && before.rounding && before.op != n->op;
    IrVal out = {.u64 = {0, 0}};

    for (unsigned i = 0; i < lanes; i++)
        ir_lane_set(&out, bytes, i,
                    fp_to_int(f, lane(&n->src, f, i), 8 * bytes, r->x & SIGNED, 0, away ? FP_RNA : FP_RTZ, e));
    if (away && r->kind == K_INEXACT_V)
        *xmm(uc, before.reg) = out;
    else if (away)
        put_gpr(uc, before.reg, out.u64[0]);
    step_over(uc, n);
}

/* "Unordered": ZF, PF, CF. */
static void compare_flags(ucontext_t *uc, FpEnv *e)
{
    enum { CF = 1, PF = 4, AF = 16, ZF = 64, SF = 128, OF = 2048 };
    greg_t *f = &uc->uc_mcontext.gregs[REG_EFL];
    *f = (*f & ~(greg_t)(AF | SF | OF)) | CF | PF | ZF;
    e->flags |= FP_INVALID;
}

unsigned x64_fp_trap(HostCpu *cpu, void *ucv)
{
    ucontext_t *uc = ucv;
    FpEnv *e = &cpu->ir.fp;
    Insn n;

    if (!decode(uc, here(uc), &n) || !rows[n.op].kind)
        return 0;
    const Row *r = &rows[n.op];
    uc->uc_mcontext.fpregs->mxcsr &= ~(uint32_t)1;
    switch (r->kind) {
    case K_FMA: fused(uc, r, &n, e); break;
    case K_MIN: case K_MAX: min_max(uc, r, &n, e); break;
    case K_TO_INT: case K_TO_INT_V: to_int(uc, r, &n, e); break;
    case K_INEXACT: case K_INEXACT_V: inexact(uc, r, &n, e); break;
    case K_COMI:
        compare_flags(uc, e);
        step_over(uc, &n);
        return IR_FP_CAREFUL_COMPARE;
    default:
        if (is_fused_check(&n)) {
            redo_fused(uc, &n, e);
            break;
        }
        compute_all(uc, r, &n, e);
        step_over(uc, &n);
        return r->kind == K_CMP ? IR_FP_CAREFUL_COMPARE : IR_FP_CAREFUL_ARITH;
    }
    return IR_FP_CAREFUL_ARITH;
}
