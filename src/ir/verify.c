/*
 * Checking. ir_check_insn applies a row of ops.def to one instruction (the builder uses it too); ir_verify checks the whole
 * region: lists, edges, dominance, snapshots, and the shape on which tiers rely: a tree, or a reducible graph.
 */
#include "ir/cfg.h"
#include "ir/rules.h"

#include <stdarg.h>
#include <string.h>

/* --- one instruction ---------------------------------------------------------------------------------------------------- */

static bool bad_ref(const IrRegion *r, IrRef ref)
{
    return ref == 0 || ref >= r->ninsn || ir_insn(r, ref)->op == IR_NOP;
}

static IrType rule_type(const IrInsn *i, unsigned rule)
{
    switch (rule) {
    case IRR_T: return i->type;
    case IRR_L: return i->lane;
    case IRR_I8: return IR_I8;
    case IRR_I16: return IR_I16;
    case IRR_I32: return IR_I32;
    case IRR_I64: return IR_I64;
    case IRR_V128: return IR_V128;
    default: return IR_VOID;
    }
}

static const char *check_arg(const IrRegion *r, const IrInsn *i, unsigned rule, IrRef ref)
{
    if (rule == IRR_N)
        return ref ? "has an operand that it does not take" : NULL;
    if (rule == IRR_K)
        return NULL;
    if (i->op == IR_EXIT_IND && rule == IRR_X && ref == 0)
        return i->aux == IR_HINT_CALL ? "call without a return address" : NULL;
    if (bad_ref(r, ref))
        return "operand is not a value";
    IrType t = ir_insn(r, ref)->type;
    if (t == IR_VOID)
        return "operand has no value";
    if (rule != IRR_X && t != rule_type(i, rule))
        return "operand has the wrong type";
    return NULL;
}

static bool is_word(IrType t)
{
    return t == IR_I32 || t == IR_I64;
}

/* Operations that exist for lanes of a vector: they need a shape. */
static bool needs_shape(const IrInsn *i)
{
    switch (i->op) {
    case IR_CONST: case IR_VCONST: case IR_COPY: case IR_PARAM: case IR_SELECT: case IR_AND: case IR_OR: case IR_XOR:
    case IR_ANDN: case IR_ORN: case IR_NOT: case IR_BSL: case IR_XOR3: case IR_BCAX: case IR_VGET: case IR_VSET: case IR_VSETL:
    case IR_VZEXT: case IR_VPAIR: case IR_VCONCAT: case IR_VLOW: case IR_VHIGH: case IR_VANY: case IR_VBFCVT: case IR_BFDOT:
    case IR_BFMMLA: case IR_CALL:
        return false;
    }
    if (i->op >= IR_AESENC)
        return false;
    return i->type == IR_V128 || ir_ops[i->op].arg[0] == IRR_V128;
}

static const char *check_shape(const IrInsn *i)
{
    unsigned size = ir_type_size(i->lane);

    if (needs_shape(i) && (size == 0 || size > 8 || i->lanes == 0))
        return "vector operation without lanes";
    if (i->lanes && size * i->lanes > 16)
        return "more than 128 bits of lanes";
    return NULL;
}

static const char *check_field(const IrInsn *i)
{
    unsigned n = 8 * ir_type_size(i->type), lsb = i->imm & 255, width = (unsigned)(i->imm >> 8);
    return width == 0 || lsb + width > n ? "bit field outside the type" : NULL;
}

/* Limits on types and immediates that ops.def states in words. */
static const char *check_limits(const IrRegion *r, const IrInsn *i)
{
    unsigned size = ir_type_size(i->type), lane = ir_type_size(i->lane);

    switch (i->op) {
    case IR_CONST:
        return size < 8 && i->imm >> (8 * size) ? "constant wider than its type" : NULL;
    case IR_VCONST:
        return i->imm >= r->nvconst ? "no such vector constant" : NULL;
    case IR_DIVU: case IR_DIVS: case IR_ADC: case IR_SHL: case IR_SHR: case IR_SAR: case IR_ROR: case IR_CTZ:
        return is_word(i->type) ? NULL : "only for i32 and i64";
    case IR_MULHU: case IR_MULHS: case IR_CLZ: case IR_CLS: case IR_POPCNT: case IR_BITREV:
        return is_word(i->type) || i->type == IR_V128 ? NULL : "only for i32, i64 and vectors";
    case IR_ADC_C: case IR_ADC_V: case IR_ADD_C: case IR_ADD_V: case IR_SUB_V:
        return is_word(i->lane) ? NULL : "only for lanes i32 and i64";
    case IR_EXTR:
        return !is_word(i->type) ? "only for i32 and i64" : i->imm >= 8 * size ? "shift out of range" : NULL;
    case IR_UBFX: case IR_SBFX: case IR_BFI:
        return is_word(i->type) ? check_field(i) : "only for i32 and i64";
    case IR_BSWAP:
        return size >= 2 && ir_type_is_int(i->type) ? NULL : "only for i16, i32 and i64";
    case IR_CRC32:
        return ir_type_is_int(i->lane) ? NULL : "lane must be an integer";
    case IR_TRUNC:
        return ir_type_is_int(i->type) && ir_type_is_int(i->lane) && size < lane ? NULL : "not a narrowing of integers";
    case IR_ZEXT: case IR_SEXT:
        return ir_type_is_int(i->type) && ir_type_is_int(i->lane) && size > lane ? NULL : "not a widening of integers";
    case IR_BITCAST:
        return size == lane && size <= 8 ? NULL : "widths differ";
    case IR_ICMP:
        return ir_type_is_int(i->lane) ? NULL : "lane must be an integer";
    case IR_FCMP:
        return ir_type_is_float(i->lane) ? NULL : "lane must be a float";
    case IR_BSL: case IR_XOR3: case IR_BCAX:
        return i->type == IR_V128 ? NULL : "only for v128";
    case IR_VSHLI:
        return i->imm < 8 * lane ? NULL : "shift out of range";
    case IR_VSHRI: case IR_VSARI:
        return i->imm <= 8 * lane ? NULL : "shift out of range";
    case IR_VGET: case IR_VSUM: case IR_VMINV: case IR_VMAXV:
        return i->type == i->lane ? NULL : "result must have the lane's type";
    case IR_LOAD:
        return lane && lane <= size ? NULL : "memory type wider than the result";
    case IR_STORE:
        return lane && lane <= ir_type_size(ir_insn(r, i->b)->type) ? NULL : "memory type wider than the value";
    case IR_CAS: case IR_RMW:
        return !lane || lane > size ? "memory type wider than the value" : i->imm ? "takes no displacement" : NULL;
    case IR_GET:
        return i->imm >= r->slots->count || r->slots->slot[i->imm].type != i->type ? "no such slot of this type" : NULL;
    case IR_PUT:
        return i->imm >= r->slots->count || r->slots->slot[i->imm].type != ir_insn(r, i->a)->type
                   ? "no such slot of this type" : NULL;
    default:
        return NULL;
    }
}

static const char *check_list(const IrRegion *r, IrRef at, uint32_t n)
{
    if (n && (at == 0 || at >= r->npool || n > r->npool - at))
        return "argument list outside the pool";
    for (uint32_t k = 0; k < n; k++)
        if (bad_ref(r, r->pool[at + k]) || ir_insn(r, r->pool[at + k])->type == IR_VOID)
            return "argument is not a value";
    return NULL;
}

static const char *check_helper(const IrRegion *r, const IrInsn *i)
{
    if (i->imm >= r->nhelpers)
        return "no such helper";
    const IrHelper *h = &r->helpers[i->imm];
    const char *why = check_list(r, i->a, i->b);
    if (why)
        return why;
    if (i->b != h->nargs || (i->op == IR_CALL && i->type != h->ret))
        return "does not match its helper";
    for (uint32_t k = 0; k < i->b; k++)
        if (ir_insn(r, r->pool[i->a + k])->type != h->arg[k])
            return "argument has the wrong type";
    return NULL;
}

static const char *check_edge(const IrRegion *r, uint64_t to, IrRef at, uint32_t n)
{
    if (to >= r->nblock)
        return "branch to no block";
    if (n != r->block[to].nparams)
        return "wrong number of block arguments";
    return check_list(r, at, n);
}

static const char *check_branch(const IrRegion *r, const IrInsn *i)
{
    const char *why = NULL;

    if (i->op == IR_BR)
        return check_edge(r, i->imm, i->a, i->b);
    IrRef list[2] = {i->b, i->c};
    for (unsigned k = 0; k < 2 && !why; k++) {
        if (list[k] >= r->npool)
            return "argument list outside the pool";
        uint32_t n = list[k] ? r->pool[list[k]] : 0;
        why = check_edge(r, k ? i->imm >> 32 : (uint32_t)i->imm, n ? list[k] + 1 : 0, n);
    }
    return why;
}

const char *ir_check_insn(const IrRegion *r, const IrInsn *i)
{
    if (i->op >= IR_NOPS || i->op == IR_NOP)
        return "no such operation";
    if (i->type >= IR_NTYPES || i->lane >= IR_NTYPES)
        return "no such type";
    const IrOpInfo *o = &ir_ops[i->op];
    if (o->result == IRR_T ? i->type == IR_VOID && i->op != IR_CALL : i->type != rule_type(i, o->result))
        return "wrong result type";
    const char *why = check_arg(r, i, o->arg[0], i->a);
    if (!why)
        why = check_arg(r, i, o->arg[1], i->b);
    if (!why)
        why = check_arg(r, i, o->arg[2], i->c);
    if (!why)
        why = check_shape(i);
    if (!why)
        why = check_limits(r, i);
    if (!why && (i->op == IR_CALL || i->op == IR_EXIT_HELP))
        why = check_helper(r, i);
    if (!why && (i->op == IR_BR || i->op == IR_BRIF))
        why = check_branch(r, i);
    return why;
}

/* --- the region ----------------------------------------------------------------------------------------------------------- */

typedef struct Verify {
    const IrRegion *r;
    bool tree;
    char *err;
    size_t errlen;
    uint32_t *pos;     /* of each instruction: order within its block, from 1; 0: in no block */
    uint32_t *home;    /* block of each instruction */
    uint32_t *npred;
    const IrCfg *g;    /* non-tree */
    uint32_t block;    /* where we are */
    IrRef at;
} Verify;

__attribute__((format(printf, 2, 3))) static bool fail(Verify *v, const char *fmt, ...)
{
    va_list ap;
    int n = 0;

    if (v->at)
        n = snprintf(v->err, v->errlen, "block%u: %%%u %s: ", v->block, v->at, ir_ops[ir_insn(v->r, v->at)->op].name);
    else
        n = snprintf(v->err, v->errlen, "block%u: ", v->block);
    if (n < 0 || (size_t)n >= v->errlen)
        return false;
    va_start(ap, fmt);
    vsnprintf(v->err + n, v->errlen - (size_t)n, fmt, ap);
    va_end(ap);
    return false;
}

/* Each block's list: linked both ways, one terminator, at the end; parameters first. */
static bool check_lists(Verify *v)
{
    const IrRegion *r = v->r;

    for (v->block = 0; v->block < r->nblock; v->block++) {
        IrRef prev = 0;
        uint32_t n = 0, params = 0;
        bool head = true;
        v->at = 0;
        for (IrRef ref = r->block[v->block].first; ref; prev = ref, ref = ir_insn(r, ref)->next) {
            if (ref >= r->ninsn || v->pos[ref])
                return fail(v, "the list of instructions is broken");
            v->at = ref;
            v->pos[ref] = ++n;
            v->home[ref] = v->block;
            const IrInsn *i = ir_insn(r, ref);
            if (i->prev != prev)
                return fail(v, "not linked backwards");
            if (i->op == IR_PARAM) {
                if (!head || i->imm != params++)
                    return fail(v, "parameter out of order");
            } else if (i->op != IR_NOP) {
                head = false;
            }
            if (i->op < IR_NOPS && (ir_ops[i->op].flags & IRF_END) && i->next)
                return fail(v, "terminator inside a block");
        }
        v->at = 0;
        if (r->block[v->block].last != prev)
            return fail(v, "last is wrong");
        if (params != r->block[v->block].nparams)
            return fail(v, "has %u parameters, claims %u", params, r->block[v->block].nparams);
        if (!prev || ir_insn(r, prev)->op >= IR_NOPS || !(ir_ops[ir_insn(r, prev)->op].flags & IRF_END))
            return fail(v, "has no terminator");
    }
    return true;
}

static bool count_edge(Verify *v, uint32_t to)
{
    if (to == 0)
        return v->tree ? fail(v, "branch to the entry of a tree") : (v->npred[0]++, true);
    v->npred[to]++;
    if (v->tree && to <= v->block)
        return fail(v, "branch back to block%u in a tree", to);
    return true;
}

static bool check_edges(Verify *v)
{
    const IrRegion *r = v->r;

    for (v->block = 0; v->block < r->nblock; v->block++) {
        v->at = r->block[v->block].last;
        const IrInsn *i = ir_insn(r, v->at);
        if (i->op == IR_BR && !count_edge(v, (uint32_t)i->imm))
            return false;
        if (i->op == IR_BRIF && (!count_edge(v, (uint32_t)i->imm) || !count_edge(v, (uint32_t)(i->imm >> 32))))
            return false;
    }
    v->at = 0;
    for (v->block = 0; v->block < r->nblock; v->block++) {
        const IrBlock *b = &r->block[v->block];
        if (b->npreds != v->npred[v->block])
            return fail(v, "has %u predecessors, claims %u", v->npred[v->block], b->npreds);
        if (v->block == 0 && b->nparams)
            return fail(v, "the entry has parameters");
        if (v->tree && v->block && (b->npreds != 1 || b->pred == 0 || b->pred > v->block))
            return fail(v, "is not in a tree: needs one earlier predecessor");
    }
    return true;
}

/* Arguments have the types of the parameters; their number has been checked. */
static bool check_args(Verify *v)
{
    const IrRegion *r = v->r;

    for (v->block = 0; v->block < r->nblock; v->block++) {
        uint32_t to[2];
        v->at = r->block[v->block].last;
        const IrInsn *i = ir_insn(r, v->at);
        unsigned edges = ir_successors(r, v->block, to);
        for (unsigned e = 0; e < edges; e++) {
            IrRef list = i->op == IR_BR ? i->a : e ? i->c + 1 : i->b + 1;
            IrRef ref = r->block[to[e]].first;
            for (uint32_t k = 0; k < r->block[to[e]].nparams; ref = ir_insn(r, ref)->next)
                if (ir_insn(r, ref)->op == IR_PARAM && ir_insn(r, ref)->type != ir_insn(r, r->pool[list + k++])->type)
                    return fail(v, "argument %u for block%u has the wrong type", k - 1, to[e]);
        }
    }
    return true;
}

/* The shape that ir/cfg.h asks of a region that says it is a graph. */
static bool check_graph(Verify *v)
{
    v->block = 0;
    v->at = 0;
    if (v->r->block[0].npreds)
        return fail(v, "the entry of a graph has predecessors");
    return v->g->reducible || fail(v, "the graph is not reducible");
}

static bool block_dominates(const Verify *v, uint32_t d, uint32_t b)
{
    if (!v->tree) /* nothing is wrong in a block that cannot be reached */
        return v->g->at[b] == IR_NO_BLOCK || (v->g->at[d] != IR_NO_BLOCK && ir_cfg_dominates(v->g, d, b));
    while (b > d)
        b = v->r->block[b].pred - 1;
    return b == d;
}

static bool dominates(const Verify *v, IrRef def)
{
    if (def == 0 || def >= v->r->ninsn || !v->pos[def])
        return false;
    if (v->home[def] == v->block)
        return v->pos[def] < v->pos[v->at];
    return block_dominates(v, v->home[def], v->block);
}

typedef struct UseCheck {
    const Verify *v;
    bool ok;
} UseCheck;

static void check_use(void *ctx, IrRef *use)
{
    UseCheck *c = ctx;
    c->ok = c->ok && dominates(c->v, *use);
}

static bool check_snap(Verify *v, uint32_t snap)
{
    const IrRegion *r = v->r;

    if (snap >= r->nsnap)
        return fail(v, "no such snapshot");
    const IrSnap *s = &r->snap[snap];
    if (s->first > r->nsnapent || s->count > r->nsnapent - s->first)
        return fail(v, "snapshot outside its array");
    for (uint32_t k = 0; k < s->count; k++) {
        const IrSnapEnt *e = &r->snapent[s->first + k];
        if (e->slot >= r->slots->count)
            return fail(v, "snapshot of no slot");
        if (k && e[-1].slot >= e->slot)
            return fail(v, "snapshot is not sorted");
        if (!dominates(v, e->val))
            return fail(v, "snapshot of %s uses %%%u, which is not defined here", r->slots->slot[e->slot].name, e->val);
        if (ir_insn(r, e->val)->type != r->slots->slot[e->slot].type)
            return fail(v, "snapshot of %s has the wrong type", r->slots->slot[e->slot].name);
    }
    return true;
}

static bool check_insns(Verify *v, bool *any_snap, bool *any_missing, bool *any_put)
{
    const IrRegion *r = v->r;

    for (v->block = 0; v->block < r->nblock; v->block++) {
        bool put = false; /* since the instruction began */
        for (v->at = r->block[v->block].first; v->at; v->at = ir_insn(r, v->at)->next) {
            IrInsn i = *ir_insn(r, v->at);
            if (i.op == IR_NOP)
                continue;
            const char *why = ir_check_insn(r, &i);
            if (why)
                return fail(v, "%s", why);
            UseCheck c = {v, true};
            ir_each_use((IrRegion *)r, &i, check_use, &c); /* check_use writes nothing */
            if (!c.ok)
                return fail(v, "uses a value that is not defined here");
            if (i.op == IR_INSN)
                put = false;
            put |= i.op == IR_PUT && !r->slots->slot[i.imm].cell;
            *any_put |= i.op == IR_PUT;
            if (!(ir_ops[i.op].flags & IRF_SNAP)) {
                if (i.snap)
                    return fail(v, "takes no snapshot");
                continue;
            }
            /* A tool's call does not fault: it may look at what the instruction has done. */
            if (put && i.op != IR_TOOL && (ir_ops[i.op].flags & (IRF_READ | IRF_WRITE)))
                return fail(v, "may fault after a put of the same instruction");
            *any_snap |= i.snap != 0;
            *any_missing |= i.snap == 0;
            if (i.snap && !check_snap(v, i.snap))
                return false;
        }
    }
    return true;
}

bool ir_verify(const IrRegion *r, bool tree, char *err, size_t errlen)
{
    Verify v = {.r = r, .tree = tree, .err = err, .errlen = errlen};
    bool any_snap = false, any_missing = false, any_put = false;

    v.pos = arena_zalloc(r->arena, r->ninsn * sizeof *v.pos);
    v.home = arena_zalloc(r->arena, r->ninsn * sizeof *v.home);
    v.npred = arena_zalloc(r->arena, r->nblock * sizeof *v.npred);
    if (!check_lists(&v))
        return false;
    /* Instruction rules before edges: they make sure that branch targets exist. */
    for (uint32_t b = 0; b < r->nblock; b++) {
        const char *why = ir_check_insn(r, ir_insn(r, r->block[b].last));
        v.block = b;
        v.at = r->block[b].last;
        if (why)
            return fail(&v, "%s", why);
    }
    if (!check_edges(&v) || !check_args(&v))
        return false;
    if (!tree) {
        v.g = ir_cfg(r);
        if (r->graph && !check_graph(&v))
            return false;
    }
    if (!check_insns(&v, &any_snap, &any_missing, &any_put))
        return false;
    v.block = 0;
    v.at = 0;
    if (any_snap && (any_missing || any_put))
        return fail(&v, "half converted: snapshots beside %s", any_put ? "puts" : "operations without one");
    return true;
}
