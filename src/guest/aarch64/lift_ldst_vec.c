/*
 * Loads and stores of Advanced SIMD structures, LD1..LD4 and ST1..ST4: Arm ARM C7.2. All loads are done before a register
 * is written.
 */
#include "guest/aarch64/lift_mem.h"

#include <string.h>

/* Elements of 8 << size bits in registers of 64 (q 0) or 128 bits; `nregs` of them from Rt, interleaved or not. */
typedef struct Multi {
    unsigned q, size, nregs;
    bool interleaved;
} Multi;

static IrRef shuffle(Lift *l, const Multi *m, IrOp op, IrRef x, IrRef y)
{
    return ir_opx(&l->b, op, IR_V128, IR_I8 + m->size, (8u << m->q) >> m->size, 0, 0, x, y, 0);
}

/* --- three-element structures: gather by byte tables --- */

/*
 * Byte i of output k comes from byte src[i] of source which[i]. Each output is the union of three table lookups, with
 * index 0xff (reads as zero) where the byte comes from another source.
 */
typedef struct Gather {
    uint8_t which[16], src[16];
} Gather;

static IrRef gather(Lift *l, const Gather *g, unsigned bytes, const IrRef source[3])
{
    IrRef result = 0;
    for (unsigned s = 0; s < 3; s++) {
        uint8_t index[16];
        uint64_t half[2];
        for (unsigned i = 0; i < 16; i++)
            index[i] = i < bytes && g->which[i] == s ? g->src[i] : 0xff;
        memcpy(half, index, sizeof half);
        IrRef part = ir_opx(&l->b, IR_VTBL, IR_V128, IR_I8, 16, 0, 0, source[s], ir_vconst(&l->b, half[0], half[1]), 0);
        result = s ? ir_opx(&l->b, IR_OR, IR_V128, IR_I8, 16, 0, 0, result, part, 0) : part;
    }
    return result;
}

/* Element e of register k is element 3 * e + k of memory. */
static void deinterleave3(Lift *l, const Multi *m, IrRef v[4])
{
    unsigned bytes = 8u << m->q, esize = 1u << m->size;
    IrRef in[3] = {v[0], v[1], v[2]};
    for (unsigned k = 0; k < 3; k++) {
        Gather g = {{0}, {0}};
        for (unsigned i = 0; i < bytes; i++) {
            unsigned at = (3 * (i / esize) + k) * esize + i % esize;
            g.which[i] = at / bytes;
            g.src[i] = at % bytes;
        }
        v[k] = gather(l, &g, bytes, in);
    }
}

static void interleave3(Lift *l, const Multi *m, IrRef v[4])
{
    unsigned bytes = 8u << m->q, esize = 1u << m->size;
    IrRef in[3] = {v[0], v[1], v[2]};
    for (unsigned k = 0; k < 3; k++) {
        Gather g = {{0}, {0}};
        for (unsigned i = 0; i < bytes; i++) {
            unsigned element = (k * bytes + i) / esize;
            g.which[i] = element % 3;
            g.src[i] = element / 3 * esize + i % esize;
        }
        v[k] = gather(l, &g, bytes, in);
    }
}

/* --- two and four: unzip and zip --- */

static void unzip2(Lift *l, const Multi *m, IrRef *x, IrRef *y)
{
    IrRef even = shuffle(l, m, IR_VUZP1, *x, *y), odd = shuffle(l, m, IR_VUZP2, *x, *y);
    *x = even;
    *y = odd;
}

static void zip2(Lift *l, const Multi *m, IrRef *x, IrRef *y)
{
    IrRef low = shuffle(l, m, IR_VZIP1, *x, *y), high = shuffle(l, m, IR_VZIP2, *x, *y);
    *x = low;
    *y = high;
}

static void deinterleave(Lift *l, const Multi *m, IrRef v[4])
{
    if (m->nregs == 3) {
        deinterleave3(l, m, v);
        return;
    }
    unzip2(l, m, &v[0], &v[1]);
    if (m->nregs == 2)
        return;
    unzip2(l, m, &v[2], &v[3]);
    unzip2(l, m, &v[0], &v[2]); /* elements 0 and 2 of each structure */
    unzip2(l, m, &v[1], &v[3]);
}

static void interleave(Lift *l, const Multi *m, IrRef v[4])
{
    if (m->nregs == 3) {
        interleave3(l, m, v);
        return;
    }
    if (m->nregs == 4) {
        zip2(l, m, &v[0], &v[2]);
        zip2(l, m, &v[1], &v[3]);
        zip2(l, m, &v[0], &v[1]);
        zip2(l, m, &v[2], &v[3]);
        return;
    }
    zip2(l, m, &v[0], &v[1]);
}

/* --- multiple structures --- */

static Multi multi_shape(const A64Args *a)
{
    static const uint8_t nregs[16] = {[0] = 4, [2] = 4, [4] = 3, [6] = 3, [7] = 1, [8] = 2, [10] = 2};
    bool interleaved = a->opcode == 0 || a->opcode == 4 || a->opcode == 8;
    return (Multi){.q = a->Q, .size = a->size, .nregs = nregs[a->opcode], .interleaved = interleaved};
}

static void multi(Lift *l, const A64Args *a, const Multi *m)
{
    IrType mem = m->q ? IR_V128 : IR_I64;
    IrRef base = a64_get_xsp(l, a->Rn), v[4];
    if (a->L) {
        for (unsigned i = 0; i < m->nregs; i++)
            v[i] = a64_load(l, IR_V128, mem, a64_addr(l, base, i * (8 << m->q)), 0);
        if (m->interleaved)
            deinterleave(l, m, v);
        for (unsigned i = 0; i < m->nregs; i++)
            a64_put_v(l, (a->Rt + i) % 32, v[i]);
        return;
    }
    for (unsigned i = 0; i < m->nregs; i++)
        v[i] = a64_get_v(l, (a->Rt + i) % 32);
    if (m->interleaved)
        interleave(l, m, v);
    for (unsigned i = 0; i < m->nregs; i++)
        a64_store(l, mem, a64_addr(l, base, i * (8 << m->q)), v[i], 0);
}

/* Post-index: by Xm, or with Rm 31 by the bytes transferred. */
static void post_index(Lift *l, const A64Args *a, IrRef base, unsigned bytes)
{
    IrRef by = a->Rm == 31 ? a64_c64(l, bytes) : a64_get_x(l, a->Rm);
    a64_put_xsp(l, a->Rn, ir_op2(&l->b, IR_ADD, IR_I64, base, by));
}

bool a64_lift_ldst_multi(Lift *l, const A64Args *a)
{
    Multi m = multi_shape(a);
    multi(l, a, &m);
    return true;
}

bool a64_lift_ldst_multi_post(Lift *l, const A64Args *a)
{
    Multi m = multi_shape(a);
    IrRef base = a64_get_xsp(l, a->Rn);
    multi(l, a, &m);
    post_index(l, a, base, m.nregs * (8u << m.q));
    return true;
}

/* --- one structure, to or from one lane of each register --- */

/* Element size, lane number and register count, from opcode, R, Q, S and size. */
typedef struct Single {
    unsigned size, index, nregs;
} Single;

static Single single_shape(const A64Args *a)
{
    unsigned scale = a->opcode >> 1, index = a->Q << 3 | a->S << 2 | a->size;
    Single s = {.size = scale, .index = index >> scale, .nregs = ((a->opcode & 1) << 1 | a->R) + 1};
    if (scale == 2 && a->size & 1) {
        s.size = 3;
        s.index = a->Q;
    }
    return s;
}

static void single(Lift *l, const A64Args *a, const Single *s)
{
    IrType lane = IR_I8 + s->size;
    unsigned lanes = 16 >> s->size;
    IrRef base = a64_get_xsp(l, a->Rn), v[4];
    for (unsigned i = 0; i < s->nregs; i++) {
        IrRef reg = a64_get_v(l, (a->Rt + i) % 32);
        A64Addr at = a64_addr(l, base, i << s->size);
        if (a->L)
            v[i] = ir_opx(&l->b, IR_VSET, IR_V128, lane, lanes, 0, s->index, reg, a64_load(l, lane, lane, at, 0), 0);
        else
            a64_store(l, lane, at, ir_opx(&l->b, IR_VGET, lane, lane, lanes, 0, s->index, reg, 0, 0), 0);
    }
    for (unsigned i = 0; a->L && i < s->nregs; i++)
        a64_put_v(l, (a->Rt + i) % 32, v[i]);
}

bool a64_lift_ldst_single(Lift *l, const A64Args *a)
{
    Single s = single_shape(a);
    single(l, a, &s);
    return true;
}

bool a64_lift_ldst_single_post(Lift *l, const A64Args *a)
{
    Single s = single_shape(a);
    IrRef base = a64_get_xsp(l, a->Rn);
    single(l, a, &s);
    post_index(l, a, base, s.nregs << s.size);
    return true;
}

/* --- one structure, to all lanes --- */

static unsigned replicate(Lift *l, const A64Args *a)
{
    unsigned nregs = ((a->opcode & 1) << 1 | a->R) + 1, lanes = (8u << a->Q) >> a->size;
    IrType lane = IR_I8 + a->size;
    IrRef base = a64_get_xsp(l, a->Rn), v[4];
    for (unsigned i = 0; i < nregs; i++)
        v[i] = a64_load(l, lane, lane, a64_addr(l, base, i << a->size), 0);
    for (unsigned i = 0; i < nregs; i++)
        a64_put_v(l, (a->Rt + i) % 32, ir_opx(&l->b, IR_VDUP, IR_V128, lane, lanes, 0, 0, v[i], 0, 0));
    return nregs << a->size;
}

bool a64_lift_ldst_rep(Lift *l, const A64Args *a)
{
    replicate(l, a);
    return true;
}

bool a64_lift_ldst_rep_post(Lift *l, const A64Args *a)
{
    IrRef base = a64_get_xsp(l, a->Rn);
    unsigned bytes = replicate(l, a);
    post_index(l, a, base, bytes);
    return true;
}
