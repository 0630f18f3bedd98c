/*
 * Flags in loops (graphs only). A snapshot shows all four flags, so a loop's header has parameters for them, though mostly nobody
 * but a fault would look. When all edges bring the results of one operation on different operands, the parameter gives way to
 * that operation on parameters for the operands:
 *
 *   block1(%n, %z, %i):                              block1(%i):
 *     %x = load [%p] {n=%n z=%z x0=%i}                 %n = icmp slt %i, 0;  %z = icmp eq %i, 0
 *     %j = sub %i, 1                                   %x = load [%p] {n=%n z=%z x0=%i}
 *     %n2 = icmp slt %j, 0;  %z2 = icmp eq %j, 0       %j = sub %i, 1
 *     brif ..., block1(%n2, %z2, %j)                   brif ..., block1(%j)
 *
 * Most often the operands are the loop's own counter and bound, which have parameters already, and the new operations are
 * lazy: nothing is left to do in the loop. Where that would need as many new parameters as it saves, the flags stay.
 *
 * When only the edges back bring results of one operation, and the loop is entered with something else (flags of the
 * region's entry, of an addition, of an outer loop's comparison), a parameter says whether an edge back was taken, and
 * the flag is a choice between the operation and what it was at the loop's entry. Both are lazy: what is left to do in
 * the loop is to move a constant.
 *
 *   block0: %e = get z; br block1(%e, %i0)           block0: %e = get z; br block1(0, %i0)
 *   block1(%z, %i):                                  block1(%again, %i):
 *     %x = load [%p] {z=%z x0=%i}                      %c = icmp eq %i, 0;  %z = select %again, %c, %e
 *     %j = sub %i, 1;  %z2 = icmp eq %j, 0             %x = load [%p] {z=%z x0=%i}
 *     brif ..., block1(%z2, %j)                        %j = sub %i, 1;  brif ..., block1(1, %j)
 */
#include "opt/pass.h"

#include <string.h>

enum { MAX_EDGES = 8, MAX_NEW = 4, MAX_MADE = 64, MAX_DEPTH = 3 };

/* The arguments for one parameter, by edge; 0: the parameter itself, which stays what it was along that edge; for the
 * edge into a loop: anything. */
typedef struct Args {
    IrRef v[MAX_EDGES];
} Args;

typedef struct Made {
    Args from;
    IrRef ref;
} Made;

typedef struct Lazy {
    Opt *o;
    IrRegion *r;
    const uint8_t *level;
    uint32_t nlevel;         /* values that have a level: those before the pass */
    IrRef *map;              /* by value: parameters that gave way */
    uint32_t *home;          /* by value: its block; */
    uint8_t *busy;           /* whether more than snapshots, and choices of inner loops, want it computed; */
    uint8_t *height;         /* how many choices of inner loops are made behind it */
    uint32_t block;
    uint32_t loop;           /* of which it is the header, entered by the last edge alone; else IR_NO_BLOCK */
    uint32_t nedge;          /* all of them ... */
    bool back;               /* ... or those back */
    struct Edge { uint32_t from; unsigned edge; } edge[MAX_EDGES];
    Made made[MAX_MADE];     /* operations, constants and new parameters at the start of the block, in order */
    unsigned nmade;
    unsigned nnew;           /* new parameters among them */
} Lazy;

static IrRef mapped(const Lazy *l, IrRef v)
{
    return v < l->nlevel ? l->map[v] : v;
}

/* The arguments that `block` gets for its parameter `p`. */
static Args args_of(const Lazy *l, IrRef p)
{
    uint32_t k = (uint32_t)ir_insn(l->r, p)->imm, n;
    Args a = {{0}};

    for (uint32_t e = 0; e < l->nedge; e++) {
        IrRef v = opt_edge_args(l->r, l->edge[e].from, l->edge[e].edge, &n)[k];
        a.v[e] = v == p ? 0 : mapped(l, v);
    }
    return a;
}

static bool same_args(const Lazy *l, const Args *x, const Args *y)
{
    return memcmp(x->v, y->v, l->nedge * sizeof x->v[0]) == 0;
}

static const IrInsn *some(const Lazy *l, const Args *a)
{
    for (uint32_t e = 0; e < l->nedge; e++)
        if (a->v[e])
            return ir_insn(l->r, a->v[e]);
    return NULL;
}

/* --- what stands at the start of the block ------------------------------------------------------------------------ */

static IrRef make(Lazy *l, const Args *from, IrInsn i)
{
    if (l->nmade == MAX_MADE)
        return 0;
    i.flags &= i.op == IR_FCMP ? IR_QUIET : i.op == IR_PARAM ? IR_BOOL : 0;
    i.prev = i.next = i.snap = 0;
    for (unsigned k = 0; k < l->nmade; k++) {
        const IrInsn *x = ir_insn(l->r, l->made[k].ref);
        if (i.op != IR_PARAM && x->op == i.op && x->type == i.type && x->lane == i.lane && x->lanes == i.lanes &&
            x->aux == i.aux && x->imm == i.imm && x->a == i.a && x->b == i.b && x->c == i.c)
            return l->made[k].ref;
    }
    IrRef ref = ir_insn_new(l->r, &i);
    l->made[l->nmade++] = (Made){*from, ref};
    return ref;
}

static IrRef find_made(const Lazy *l, const Args *a)
{
    for (unsigned k = 0; k < l->nmade; k++)
        if (same_args(l, &l->made[k].from, a))
            return l->made[k].ref;
    return 0;
}

/* Whether a parameter of the block is there to stay, so that it may be built upon. */
static bool stays(const Lazy *l, IrRef p)
{
    const IrInsn *i = ir_insn(l->r, p);

    return p < l->nlevel && l->map[p] == p && l->level[p] != OPT_UNWANTED && i->type != IR_I8;
}

/* The parameter of the block, there to stay, with arguments for which `is` says yes. */
static IrRef find_param(const Lazy *l, IrType t, bool (*is)(const Lazy *l, const Args *q, const void *what), const void *what)
{
    for (IrRef p = l->r->block[l->block].first; ir_insn(l->r, p)->op == IR_PARAM; p = ir_insn(l->r, p)->next) {
        if (ir_insn(l->r, p)->type != t || !stays(l, p))
            continue;
        Args q = args_of(l, p);
        if (is(l, &q, what))
            return p;
    }
    return 0;
}

static bool is_same(const Lazy *l, const Args *q, const void *what)
{
    return same_args(l, q, what);
}

/* Whether the narrow value v is the low part of the wide value w, as one of the two is defined. */
static bool is_low_part(const Lazy *l, IrRef v, IrRef w)
{
    const IrInsn *n = ir_insn(l->r, v), *x = ir_insn(l->r, w);

    if (n->type == IR_I32)
        return ((x->op == IR_ZEXT || x->op == IR_SEXT) && x->lane == IR_I32 && x->a == v) ||
               (n->op == IR_TRUNC && n->lane == IR_I64 && n->a == w);
    return (x->op == IR_VZEXT && x->lane == n->type && x->a == v) || (n->op == IR_VGET && n->imm == 0 && n->a == w);
}

static bool is_wider(const Lazy *l, const Args *q, const void *what)
{
    const Args *a = what;

    for (uint32_t e = 0; e < l->nedge; e++)
        if (q->v[e] == 0 || a->v[e] == 0 ? q->v[e] != a->v[e] : !is_low_part(l, a->v[e], q->v[e]))
            return false;
    return true;
}

/* The low part of a parameter for something wider. */
static IrRef find_wider(Lazy *l, const Args *a)
{
    IrType t = (IrType)some(l, a)->type;
    bool number = t == IR_I32;

    if (!number && t != IR_F32 && t != IR_F64)
        return 0;
    IrRef q = find_param(l, number ? IR_I64 : IR_V128, is_wider, a);
    if (q == 0)
        return 0;
    return make(l, a, number ? (IrInsn){.op = IR_TRUNC, .type = IR_I32, .lane = IR_I64, .a = q}
                             : (IrInsn){.op = IR_VGET, .type = (uint8_t)t, .lane = (uint8_t)t, .a = q});
}

/* --- building ----------------------------------------------------------------------------------------------------- */

/* Whether a value that edges back bring is made in the loop. What the pass has made so far is in front of it. */
static bool is_inside(const Lazy *l, IrRef v)
{
    return v < l->nlevel && ir_cfg_in_loop(l->o->g, l->loop, l->home[v]);
}

/* The one value that all edges bring, and the block may use; 0: there is none. */
static IrRef only_value(const Lazy *l, const Args *a)
{
    IrRef v = 0;

    for (uint32_t e = 0; e < l->nedge; e++) {
        if (a->v[e] && v && a->v[e] != v)
            return 0;
        v = v ? v : a->v[e];
    }
    return l->back && is_inside(l, v) ? 0 : v;
}

static bool same_const(const Lazy *l, const Args *a, uint64_t *k)
{
    uint64_t x;
    bool any = false;

    for (uint32_t e = 0; e < l->nedge; e++) {
        if (a->v[e] == 0)
            continue;
        if (!ir_is_const(l->r, a->v[e], &x) || (any && x != *k))
            return false;
        *k = x;
        any = true;
    }
    return any;
}

/* Whether all edges bring results of the same operation. */
static bool same_operation(const Lazy *l, const Args *a)
{
    const IrInsn *i = some(l, a);

    for (uint32_t e = 0; e < l->nedge; e++) {
        const IrInsn *x = ir_insn(l->r, a->v[e]);
        if (a->v[e] && (x->op != i->op || x->type != i->type || x->lane != i->lane || x->lanes != i->lanes ||
                        x->aux != i->aux || x->imm != i->imm))
            return false;
    }
    return true;
}

/* The operands number `k` of what the edges bring. */
static Args operands(const Lazy *l, const Args *a, unsigned k)
{
    Args out = {{0}};

    for (uint32_t e = 0; e < l->nedge; e++) {
        const IrInsn *i = ir_insn(l->r, a->v[e]);
        out.v[e] = a->v[e] ? mapped(l, k ? i->b : i->a) : 0;
    }
    return out;
}

static IrRef build(Lazy *l, const Args *a, unsigned depth);

/* The same operation on what the operands come to. */
static IrRef build_operation(Lazy *l, const Args *a, unsigned depth)
{
    IrInsn i = *some(l, a);
    IrRef *arg[2] = {&i.a, &i.b};

    for (unsigned k = 0; k < 2; k++) {
        if (ir_ops[i.op].arg[k] == IRR_N)
            continue;
        Args op = operands(l, a, k);
        *arg[k] = build(l, &op, depth + 1);
        if (!*arg[k])
            return 0;
    }
    if (i.op == IR_FCMP) /* its flags have been raised on every edge */
        i.flags |= IR_QUIET;
    return make(l, a, i);
}

/* Operations that a host computes lazily, or that cost it nothing. */
static bool may_rebuild(const IrInsn *i)
{
    return ((i->op == IR_ADD || i->op == IR_SUB || i->op == IR_AND) && i->type != IR_V128) ||
           (i->op == IR_TRUNC && i->type == IR_I32) || (i->op == IR_VGET && i->imm == 0);
}

static IrRef build(Lazy *l, const Args *a, unsigned depth)
{
    const IrInsn *i = some(l, a);
    IrRef v = only_value(l, a);
    uint64_t k = 0;

    if (v)
        return v;
    if (same_const(l, a, &k))
        return make(l, a, (IrInsn){.op = IR_CONST, .type = i->type, .imm = k});
    v = find_made(l, a);
    if (!v)
        v = find_param(l, (IrType)i->type, is_same, a);
    if (!v)
        v = find_wider(l, a);
    if (v)
        return v;
    unsigned nmade = l->nmade, nnew = l->nnew;
    if (depth < MAX_DEPTH && may_rebuild(i) && same_operation(l, a)) {
        v = build_operation(l, a, depth);
        if (v && l->nnew <= nnew + 1)
            return v;
        l->nmade = nmade;
        l->nnew = nnew;
    }
    if (l->nnew == MAX_NEW || i->type == IR_I8)
        return 0;
    l->nnew++;
    return make(l, a, (IrInsn){.op = IR_PARAM, .type = i->type});
}

/* --- counters: the flags of a - k by way of the difference -------------------------------------------------------- */

typedef struct Offset {
    const Args *a;
    IrType type;
    uint64_t k;
} Offset;

static uint64_t low(uint64_t v, IrType t)
{
    return t == IR_I32 ? (uint32_t)v : v;
}

/* Whether all arguments of q are a - k; extended, if these are of 32 bits. */
static bool is_difference(const Lazy *l, const Args *q, const void *what)
{
    const Offset *o = what;
    uint64_t k;

    for (uint32_t e = 0; e < l->nedge; e++) {
        const IrInsn *i = ir_insn(l->r, q->v[e]);
        if (q->v[e] == 0 || o->a->v[e] == 0) {
            if (q->v[e] != o->a->v[e])
                return false;
            continue;
        }
        if (o->type == IR_I32) {
            if ((i->op != IR_ZEXT && i->op != IR_SEXT) || i->lane != IR_I32)
                return false;
            i = ir_insn(l->r, i->a);
        }
        if ((i->op != IR_SUB && i->op != IR_ADD) || mapped(l, i->a) != o->a->v[e] || !ir_is_const(l->r, i->b, &k) ||
            low(i->op == IR_SUB ? k : 0 - k, o->type) != o->k)
            return false;
    }
    return true;
}

/*
 * A relation of a to the number k, or the overflow of a - k or a + k, where a parameter q holds the difference or sum:
 *   a == k      q == 0                     a >= k unsigned      q + k does not wrap: q <= ~k
 *   the overflow of a - k                  that of q + k, the way back
 */
static IrRef build_counter(Lazy *l, const Args *top)
{
    IrInsn i = *some(l, top);
    Args a = operands(l, top, 0), b = operands(l, top, 1);
    Offset o = {.a = &a, .type = (IrType)i.lane};
    unsigned set = i.aux & (IR_LT | IR_EQ | IR_GT);

    if (i.op == IR_FCMP || i.op == IR_ADD_C || !same_const(l, &b, &o.k))
        return 0;
    uint64_t k = o.k;
    if (i.op == IR_ADD_V)
        o.k = low(0 - k, o.type);
    IrRef q = find_param(l, IR_I64, is_difference, &o);
    if (!q)
        return 0;
    if (i.op == IR_ICMP && (set == IR_EQ || set == (IR_LT | IR_GT))) {
        k = 0;
    } else if (i.op == IR_ICMP) {
        if ((i.aux & IR_PSIGNED) || (set != (IR_EQ | IR_GT) && set != IR_LT))
            return 0;
        i.aux = set == IR_LT ? IR_GT : IR_LT | IR_EQ;
        k = low(~k, o.type);
    } else {
        i.op = i.op == IR_SUB_V ? IR_ADD_V : IR_SUB_V;
    }
    Args none = {{0}};
    if (o.type == IR_I32)
        q = make(l, &none, (IrInsn){.op = IR_TRUNC, .type = IR_I32, .lane = IR_I64, .a = q});
    i.a = q;
    i.b = make(l, &none, (IrInsn){.op = IR_CONST, .type = (uint8_t)o.type, .imm = k});
    return i.a && i.b ? make(l, &none, i) : 0;
}

/* One operation for the flag parameter with arguments `a`; 0: there is none. */
static IrRef build_flag(Lazy *l, const Args *a)
{
    const IrInsn *i = some(l, a);
    uint64_t k = 0;

    if (!i)
        return 0;
    if (same_const(l, a, &k))
        return make(l, a, (IrInsn){.op = IR_CONST, .type = i->type, .imm = k});
    if ((i->op != IR_ICMP && i->op != IR_FCMP && i->op != IR_SUB_V && i->op != IR_ADD_V && i->op != IR_ADD_C) ||
        !same_operation(l, a))
        return 0;
    unsigned nmade = l->nmade, nnew = l->nnew;
    IrRef v = build_counter(l, a);
    if (!v) {
        l->nmade = nmade;
        v = build_operation(l, a, 0);
    }
    if (!v) {
        l->nmade = nmade;
        l->nnew = nnew;
    }
    return v;
}

/* --- loops that are entered with something else --------------------------------------------------------------------- */

static void note_busy(void *ctx, IrRef *use)
{
    uint8_t *busy = ctx;

    busy[*use] = 1;
}

/* The arguments along an edge, but for what a parameter gets from itself, and for what a loop is entered with. */
static void note_args(Lazy *l, uint32_t from, unsigned edge, uint32_t to)
{
    const IrCfg *g = l->o->g;
    uint32_t n, k = 0;
    const IrRef *arg = opt_edge_args(l->r, from, edge, &n);

    if (g->loop[to] != IR_NO_BLOCK && g->loops[g->loop[to]].header == to && !ir_cfg_in_loop(g, g->loop[to], from))
        return;
    for (IrRef p = l->r->block[to].first; k < n; p = ir_insn(l->r, p)->next, k++)
        l->busy[arg[k]] |= arg[k] != p && l->level[p] != OPT_UNWANTED;
}

/* Of the region as it was before the pass. */
static void look(Lazy *l)
{
    IrRegion *r = l->r;
    uint32_t to[2];

    l->home = ARENA_ARRAY(r->arena, uint32_t, l->nlevel);
    l->busy = arena_zalloc(r->arena, l->nlevel);
    l->height = arena_zalloc(r->arena, l->nlevel);
    for (uint32_t k = 0; k < l->o->g->n; k++) {
        uint32_t b = l->o->g->rpo[k];
        for (IrRef ref = r->block[b].first; ref; ref = ir_insn(r, ref)->next) {
            IrInsn *i = ir_insn(r, ref);
            l->home[ref] = b;
            if (i->op != IR_BR && i->op != IR_BRIF)
                ir_each_use(r, i, note_busy, l->busy);
            else if (i->op == IR_BRIF)
                l->busy[i->a] = 1;
        }
        for (unsigned e = ir_successors(r, b, to); e--;)
            note_args(l, b, e, to[e]);
    }
}

/* How many choices are made, one behind another, for v. */
static unsigned choices(const Lazy *l, IrRef v)
{
    unsigned n = 0;

    for (const IrInsn *i = ir_insn(l->r, v); i->op == IR_SELECT && i->type == IR_I8; i = ir_insn(l->r, i->c))
        n++;
    return n;
}

/* The parameter that is 0 when the loop is entered, and 1 when one of the flag's operations was come by since. */
static IrRef build_again(Lazy *l, const Args *a)
{
    Args again = {{0}}, none = {{0}};
    IrRef one = make(l, &none, (IrInsn){.op = IR_CONST, .type = IR_I8, .imm = 1});

    for (uint32_t e = 0; e < l->nedge; e++)
        again.v[e] = a->v[e] ? one : 0;
    IrRef p = find_made(l, &again);
    if (p || !one || l->nnew == MAX_NEW)
        return p;
    l->nnew++;
    return make(l, &again, (IrInsn){.op = IR_PARAM, .type = IR_I8, .flags = IR_BOOL});
}

/*
 * What stands for the flag parameter p of a loop's header, by what the edges back bring and what the loop is entered
 * with. Where it must be computed in each round all the same, a parameter is better.
 */
static IrRef build_choice(Lazy *l, IrRef p, const Args *a)
{
    unsigned nmade = l->nmade, nnew = l->nnew;
    IrRef v, again, before;

    if (l->loop == IR_NO_BLOCK)
        return 0;
    before = a->v[l->nedge - 1];
    if (l->busy[p] || choices(l, before) + l->height[p] >= IR_LAZY_CHOICES)
        return 0;
    l->back = true; /* the loop's entry need not fit */
    l->nedge--;
    v = build_flag(l, a);
    again = v ? build_again(l, a) : 0;
    l->nedge++;
    l->back = false;
    if (again)
        v = make(l, a, (IrInsn){.op = IR_SELECT, .type = IR_I8, .a = again, .b = v, .c = before});
    if (again && v)
        return v;
    l->nmade = nmade;
    l->nnew = nnew;
    return 0;
}

/* --- the pass ----------------------------------------------------------------------------------------------------- */

/* Of a loop's header: put the one edge into the loop last. */
static void find_loop(Lazy *l)
{
    const IrCfg *g = l->o->g;
    uint32_t loop = g->loop[l->block], n = 0, in = 0;

    l->loop = IR_NO_BLOCK;
    if (loop == IR_NO_BLOCK || g->loops[loop].header != l->block)
        return;
    for (uint32_t e = 0; e < l->nedge; e++)
        if (!ir_cfg_in_loop(g, loop, l->edge[e].from)) {
            in = e;
            n++;
        }
    if (n != 1 || l->nedge < 2)
        return;
    struct Edge t = l->edge[in];
    l->edge[in] = l->edge[l->nedge - 1];
    l->edge[l->nedge - 1] = t;
    l->loop = loop;
}

static bool find_edges(Lazy *l)
{
    const IrCfg *g = l->o->g;
    uint32_t to[2];

    l->nedge = 0;
    for (uint32_t p = g->pred_first[l->block]; p < g->pred_first[l->block + 1]; p++) {
        if (p > g->pred_first[l->block] && g->pred[p] == g->pred[p - 1])
            continue; /* both edges of a BRIF: had with the first */
        for (unsigned e = ir_successors(l->r, g->pred[p], to); e--;) {
            if (to[e] != l->block)
                continue;
            if (l->nedge == MAX_EDGES)
                return false;
            l->edge[l->nedge].from = g->pred[p];
            l->edge[l->nedge++].edge = e;
        }
    }
    find_loop(l);
    return true;
}

/* What edge e brings for a new parameter. */
static IrRef argument(Lazy *l, const Made *m, uint32_t e)
{
    if (m->from.v[e])
        return m->from.v[e];
    if (l->loop == IR_NO_BLOCK || e + 1 < l->nedge)
        return m->ref;
    IrInsn zero = {.op = IR_CONST, .type = ir_insn(l->r, m->ref)->type};
    IrRef ref = ir_insn_new(l->r, &zero);
    ir_link_before(l->r, l->edge[e].from, l->r->block[l->edge[e].from].last, ref);
    return ref;
}

/* Put what was made into the block: new parameters behind the old ones, then the rest. */
static void commit(Lazy *l)
{
    IrRef before = l->r->block[l->block].first;

    while (ir_insn(l->r, before)->op == IR_PARAM)
        before = ir_insn(l->r, before)->next;
    for (unsigned k = 0; k < l->nmade; k++)
        if (ir_insn(l->r, l->made[k].ref)->op == IR_PARAM) {
            ir_insn(l->r, l->made[k].ref)->imm = l->r->block[l->block].nparams++;
            ir_link_before(l->r, l->block, before, l->made[k].ref);
        }
    for (unsigned k = 0; k < l->nmade; k++)
        if (ir_insn(l->r, l->made[k].ref)->op != IR_PARAM)
            ir_link_before(l->r, l->block, before, l->made[k].ref);
    for (uint32_t e = 0; e < l->nedge && l->nnew; e++) {
        IrRef arg[MAX_NEW];
        unsigned n = 0;
        for (unsigned k = 0; k < l->nmade; k++)
            if (ir_insn(l->r, l->made[k].ref)->op == IR_PARAM)
                arg[n++] = argument(l, &l->made[k], e);
        opt_edge_append(l->r, l->edge[e].from, l->edge[e].edge, arg, n);
    }
}

/* A test of a difference's sign is built last: what it is a difference of, other flags mostly have asked for. */
static bool is_sign_test(const Lazy *l, const Args *a)
{
    const IrInsn *i = some(l, a);

    return i && i->op == IR_ICMP && i->aux == (IR_LT | IR_PSIGNED);
}

/* The flag parameters of the block that give way, and what stands for them; how many: none when that is no gain. */
static unsigned choose(Lazy *l, IrRef flag[8], IrRef now[8])
{
    unsigned n = 0;

    l->nmade = l->nnew = 0;
    for (unsigned round = 0; round < 2; round++)
        for (IrRef p = l->r->block[l->block].first; ir_insn(l->r, p)->op == IR_PARAM && n < 8; p = ir_insn(l->r, p)->next) {
            if (ir_insn(l->r, p)->type != IR_I8 || p >= l->nlevel || l->level[p] != OPT_SHOWN)
                continue;
            Args a = args_of(l, p);
            if (is_sign_test(l, &a) != round)
                continue;
            flag[n] = p;
            now[n] = build_flag(l, &a);
            if (!now[n])
                now[n] = build_choice(l, p, &a);
            n += now[n] != 0;
        }
    return 2 * l->nnew > n ? 0 : n;
}

/* What a parameter that gives way, or stays, means for those of outer loops from which it comes. */
static void hand_out(Lazy *l, IrRef p, bool gives)
{
    Args a = args_of(l, p);

    for (uint32_t e = 0; e < l->nedge; e++) {
        IrRef v = a.v[e];
        if (v == 0)
            continue;
        if (!gives)
            l->busy[v] = 1;
        else if (l->height[v] <= l->height[p])
            l->height[v] = l->height[p] + 1;
    }
}

/* Find out what will give way, before blocks that lead here: it says what flags of outer loops are wanted for. */
static void plan_block(Lazy *l)
{
    IrRef flag[8], now[8];
    uint32_t n;

    if (l->r->block[l->block].nparams == 0)
        return;
    n = find_edges(l) ? choose(l, flag, now) : 0;
    for (IrRef p = l->r->block[l->block].first; ir_insn(l->r, p)->op == IR_PARAM; p = ir_insn(l->r, p)->next) {
        uint32_t k = 0;
        while (k < n && flag[k] != p)
            k++;
        if (ir_insn(l->r, p)->type == IR_I8 && l->level[p] != OPT_UNWANTED)
            hand_out(l, p, k < n);
    }
}

static void do_block(Lazy *l)
{
    IrRef flag[8], now[8];
    unsigned n;

    if (l->r->block[l->block].nparams == 0 || !find_edges(l))
        return;
    n = choose(l, flag, now);
    if (n == 0)
        return;
    commit(l);
    for (unsigned k = 0; k < n; k++)
        l->map[flag[k]] = now[k];
}

void opt_lazy(Opt *o)
{
    IrRegion *r = o->r;

    Lazy *l = ARENA_NEW(r->arena, Lazy);
    l->o = o;
    l->r = r;
    l->nlevel = r->ninsn;
    l->level = opt_demand(o);
    l->map = opt_map_new(r, 0);
    look(l);
    for (uint32_t k = o->g->n; o->g->nloops && k-- > 0;) {
        l->block = o->g->rpo[k];
        plan_block(l);
    }
    r->ninsn = l->nlevel; /* what plans have made is nowhere in the region */
    for (uint32_t k = 0; k < o->g->n; k++) {
        l->block = o->g->rpo[k];
        do_block(l);
    }
    if (r->ninsn == l->nlevel)
        return;
    uint32_t made = r->ninsn - l->nlevel;
    IrRef *map = ARENA_ARRAY(r->arena, IrRef, r->ninsn);
    memcpy(map, l->map, l->nlevel * sizeof *map);
    for (IrRef k = 0; k < made; k++)
        map[l->nlevel + k] = l->nlevel + k;
    for (uint32_t k = 0; k < o->g->n; k++)
        for (IrRef ref = r->block[o->g->rpo[k]].first; ref; ref = ir_insn(r, ref)->next)
            opt_map_uses(r, ir_insn(r, ref), map);
    opt_map_snaps(r, map);
}
