/*
 * The numbering pass, forward: instructions get their positions, values their roots; what is computed only where it is
 * needed is marked. See regalloc.h.
 */
#include "host/x86_64/graph.h"
#include "host/x86_64/live.h"

#include "base/check.h"

#include <string.h>

/* What numbering must know of an operation, besides its row in ir_ops. */
enum {
    NUM_NO_CODE = 1,  /* has no code of its own, whatever its operands are */
    NUM_NO_VALUE = 2, /* nor a value or operands */
    NUM_ALIAS = 4,    /* its result may be another value: see alias_of */
    NUM_NOTED = 8,    /* see note_arith */
    NUM_COND = 16,    /* its operand a may be computed together with it */
};

static const uint8_t kinds[IR_NOPS] = {
    [IR_NOP] = NUM_NO_CODE | NUM_NO_VALUE, [IR_INSN] = NUM_NO_CODE | NUM_NO_VALUE,
    [IR_CONST] = NUM_NO_CODE,       [IR_VCONST] = NUM_NO_CODE,
    [IR_GET] = NUM_NO_CODE | NUM_ALIAS, [IR_PARAM] = NUM_NO_CODE | NUM_ALIAS,
    [IR_COPY] = NUM_ALIAS,          [IR_TRUNC] = NUM_ALIAS,
    [IR_ZEXT] = NUM_ALIAS,          [IR_VZEXT] = NUM_ALIAS,
    [IR_VGET] = NUM_ALIAS,          [IR_ADD] = NUM_NOTED,
    [IR_SUB] = NUM_NOTED,           [IR_AND] = NUM_NOTED,
    [IR_ADD_V] = NUM_NOTED,         [IR_ADD_C] = NUM_NOTED,
    [IR_SUB_V] = NUM_NOTED,         [IR_ICMP] = NUM_NOTED,
    [IR_FCMP] = NUM_NOTED,          [IR_TALLY] = NUM_NOTED,
    [IR_SELECT] = NUM_NOTED | NUM_COND, [IR_BRIF] = NUM_COND,
};

/* --- order and aliases ------------------------------------------------------------------------------------------------ */

/* A block that goes straight back, as at the end of a loop's body: taken most of the time. */
static bool is_loop_exit(const IrRegion *r, uint32_t b)
{
    const IrInsn *i = &r->insn[r->block[b].last];
    return i->op == IR_EXIT && (i->aux & IR_EXIT_POLL);
}

void live_targets(const IrRegion *r, const IrInsn *brif, uint32_t *main, uint32_t *side)
{
    uint32_t yes = (uint32_t)brif->imm, no = (uint32_t)(brif->imm >> 32);
    bool through_yes = !r->block[yes].cold && (r->block[no].cold || is_loop_exit(r, yes));
    *main = through_yes ? yes : no;
    *side = through_yes ? no : yes;
}

static IrRef alias_get(Live *l, IrRef ref, const IrInsn *i)
{
    unsigned pin = l->s->plan->slot_pin[i->imm];
    if (pin != 0xff)
        return ra_pin_ref(l->s, pin);
    IrRef *get = &l->ra->slot_get[i->imm];
    if (*get)
        return *get;
    *get = ref;
    l->ra->val[ref].home = (uint16_t)(i->imm + 1);
    return ref;
}

/* The value that the instruction's result is: itself, or an operand when registers would hold the same (see x64.h). */
static IrRef alias_of(Live *l, uint32_t block, IrRef ref, const IrInsn *i)
{
    const Val *val = l->ra->val;
    switch (i->op) {
    case IR_ZEXT:
        return i->lane == IR_I32 && val[val[i->a].root].type == IR_I32 ? val[i->a].root : ref;
    case IR_VZEXT:
        return val[i->a].flags & VAL_CLEAN ? val[i->a].root : ref;
    case IR_VGET:
        return i->imm == 0 && plan_is_x((IrType)i->type) ? val[i->a].root : ref;
    case IR_PARAM:
        if (l->ra->g && graph_npreds(l->ra->g, block) > 1)
            return ref;
        return val[l->r->pool[l->args[block] + i->imm]].root;
    case IR_GET:
        return alias_get(l, ref, i);
    default: /* COPY, TRUNC */
        return val[i->a].root;
    }
}

bool live_has_cond(const IrInsn *i)
{
    if (i->op == IR_POLL)
        return true;
    if (plan_is_x((IrType)i->lane) || i->op == IR_VANY)
        return sel_fp_conds[i->op] != NULL;
    return sel_int_conds[i->op] != NULL;
}

bool live_can_fuse(const Live *l, IrRef cond)
{
    IrRef root = l->ra->val[cond].root;
    return root < l->r->ninsn && live_has_cond(&l->r->insn[root]);
}

static void count_operands(Live *l, const IrInsn *i, unsigned kind)
{
    Val *val = l->ra->val;
    unsigned mask = ir_ops[i->op].values;
    if ((kind & NUM_COND) && live_can_fuse(l, i->a))
        mask &= ~1u;
    /* what is no value counts for number 0 */
    val[val[mask & 1 ? i->a : 0].root].count++;
    val[val[mask & 2 ? i->b : 0].root].count++;
    val[val[mask & 4 ? i->c : 0].root].count++;
    if ((mask & IR_VALUES_LISTED) && (i->op == IR_CALL || i->op == IR_EXIT_HELP))
        for (uint32_t k = 0; k < i->b; k++)
            val[val[l->r->pool[i->a + k]].root].count++;
}

/* Whether what is defined by `ref` is done on every path to here, and as often: in a graph, by the same block. */
bool live_same_block(const Live *l, IrRef ref)
{
    return !l->ra->g || l->ra->g->at[ref] >= l->first;
}

static void note_sum(Live *l, IrRef ref, const IrInsn *i)
{
    Val *val = l->ra->val;
    const IrInsn *x = &l->r->insn[l->sum];
    if (l->sum && val[x->a].root == val[i->a].root && val[x->b].root == val[i->b].root && x->type == i->lane &&
        live_same_block(l, l->sum))
        val[ref].alt = l->sum;
}

static void note_sub(Live *l, IrRef ref, const IrInsn *i)
{
    Val *val = l->ra->val;
    for (uint32_t k = l->nsub; k-- && live_same_block(l, l->sub[k]);) {
        const IrInsn *x = &l->r->insn[l->sub[k]];
        if (val[x->a].root != val[i->a].root)
            continue;
        if (val[x->b].root == val[i->b].root && x->type == i->lane)
            val[ref].alt = l->sub[k];
        return;
    }
}

/* Remember subtractions of the main path; find that of a comparison's operands. Additions are only told that it comes. */
static void note_arith(Live *l, IrRef ref, const IrInsn *i)
{
    bool main = l->depth == 0 && !plan_is_x((IrType)i->type);

    if (i->op == IR_ADD_V || i->op == IR_ADD_C)
        note_sum(l, ref, i);
    else if (i->op == IR_ICMP || i->op == IR_SUB_V)
        note_sub(l, ref, i);
    else if (main && i->op == IR_ADD)
        l->sum = ref;
    else if (main && i->op == IR_SUB)
        l->sub[l->nsub++] = ref;
    l->lazy[l->nlazy++] = ref;
}

/* Its values' roots are known: they are defined before it. */
static void note_snapshot(Live *l, const IrInsn *i)
{
    const HostPlan *plan = l->s->plan;
    const IrSnap *snap = &l->r->snap[i->snap];
    const IrSnapEnt *e = &l->r->snapent[snap->first], *end = e + snap->count;
    Val *val = l->ra->val;
    if (live_is_kept(l, snap)) /* it names what the one before does */
        return;
    l->kept = *snap;
    for (; e < end; e++) {
        val[val[e->val].root].flags |= VAL_SNAP;
        l->changed |= 1ull << (plan->slot_pin[e->slot] & 63);
    }
}

/* Roots, counts and what comes of them. Returns whether the instruction may have code of its own. */
static bool number_insn(Live *l, uint32_t b, IrRef ref, const IrInsn *i)
{
    Val *x = &l->ra->val[ref];
    unsigned kind = kinds[i->op];
    bool code = !(kind & NUM_NO_CODE);

    *x = (Val){.first = NEVER, .reg = REG_NONE, .hint = REG_NONE};
    x->root = ref;
    x->type = i->type;
    if (kind & NUM_NO_VALUE)
        return i->op == IR_INSN && l->r->counters; /* which begins to be counted */
    if (kind & NUM_ALIAS)
        x->root = alias_of(l, b, ref, i);
    else if (!code)
        x->flags = VAL_CONST;
    if (code)
        count_operands(l, i, kind);
    if (kind & NUM_NOTED)
        note_arith(l, ref, i);
    if (plan_is_x((IrType)i->type) && fp_clean(l->s, i))
        x->flags |= VAL_CLEAN;
    if (i->snap)
        note_snapshot(l, i);
    return code && x->root == ref;
}

/* One block; returns its terminator. */
static const IrInsn *number_insns(Live *l, uint32_t b)
{
    SelAlloc *ra = l->ra;
    const IrInsn *i = NULL, *insn = l->r->insn;
    for (IrRef ref = l->r->block[b].first; ref; ref = i->next) {
        i = &insn[ref];
        if (ra->g)
            ra->g->at[ref] = l->pos;
        ra->order[l->pos] = ref;
        l->pos += number_insn(l, b, ref, i);
    }
    CHECK(i);
    if (i->op == IR_BR) {
        l->args[(uint32_t)i->imm] = i->a;
    } else if (i->op == IR_BRIF) {
        l->args[(uint32_t)i->imm] = i->b + 1;
        l->args[(uint32_t)(i->imm >> 32)] = i->c + 1;
    }
    return i;
}

static void number_block(Live *l, uint32_t b);

static void number_side(Live *l, uint32_t side)
{
    l->depth++;
    number_block(l, side);
    l->depth--;
    l->ra->bend[side] = l->pos - 1;
}

static void number_block(Live *l, uint32_t b)
{
    for (;;) {
        const IrInsn *i = number_insns(l, b);
        if (i->op == IR_BR) {
            b = (uint32_t)i->imm;
        } else if (i->op == IR_BRIF) {
            uint32_t side;
            live_targets(l->r, i, &b, &side);
            number_side(l, side);
        } else {
            return;
        }
    }
}

static void number_graph(Live *l)
{
    Graph *g = l->ra->g;
    for (uint32_t k = 0; k < g->cfg->n; k++) {
        uint32_t b = g->cfg->rpo[k], main, side;
        if (g->block[b].side)
            continue;
        g->block[b].first = l->first = l->pos;
        const IrInsn *i = number_insns(l, b);
        if (i->op == IR_BRIF && graph_side(l->s, i, &main, &side))
            number_side(l, side);
        g->block[b].last = l->pos;
        l->ra->order[l->pos++] = 0;
    }
}

/* --- lazy values ------------------------------------------------------------------------------------------------------- */

/* A comparison with zero that the flags of the operation itself answer: no overflow is involved. */
bool live_sign_test(const Sel *s, const IrInsn *i)
{
    uint64_t c;
    unsigned rel = i->aux & (IR_LT | IR_EQ | IR_GT);
    bool equality = rel == IR_EQ || rel == (IR_LT | IR_GT), sign = rel == IR_LT || rel == (IR_EQ | IR_GT);
    if (i->op != IR_ICMP || !(equality || (sign && (i->aux & IR_PSIGNED))))
        return false;
    return sel_const(s, i->b, &c) && c == 0;
}

static const IrInsn *choice(const Live *l, IrRef v)
{
    IrRef root = l->ra->val[v].root;

    return root < l->r->ninsn && l->r->insn[root].op == IR_SELECT ? &l->r->insn[root] : NULL;
}

/* A choice of flags, by what is no choice itself; what it is otherwise may be one. */
static bool lazy_select(const Live *l, const IrInsn *i)
{
    unsigned n = 0;

    for (; i; i = choice(l, i->c))
        if (++n > IR_LAZY_CHOICES || i->type != IR_I8 || choice(l, i->a) || choice(l, i->b))
            return false;
    return true;
}

static bool may_be_lazy(const Live *l, const IrInsn *i)
{
    const IrRegion *r = l->r;
    unsigned rel = i->aux & (IR_LT | IR_EQ | IR_GT);
    if (i->op == IR_TALLY)
        return (int64_t)i->imm == (int32_t)i->imm;
    if (i->op == IR_SELECT)
        return lazy_select(l, i);
    if (i->op == IR_FCMP) /* its value; the flags that it raises are another matter, see live_insn */
        return (i->lane == IR_F32 || i->lane == IR_F64) && (i->aux & 15) % 15 && !r->fp.soft;
    if (i->op == IR_ICMP ? rel == 0 || rel == 7 : i->op != IR_SUB_V && i->op != IR_ADD_C && i->op != IR_ADD_V)
        return false;
    return i->lane == IR_I32 || i->lane == IR_I64;
}

static void discount(Live *l, IrRef ref)
{
    l->ra->val[l->ra->val[ref].root].count--;
}

/*
 * Flags that only snapshots want are not computed on the way: exits compute them into memory, and faults from the side
 * table. Neither is a sum or difference that only they want, nor a count of tools.
 */
static void mark_lazy(Live *l)
{
    Val *val = l->ra->val;
    for (uint32_t k = l->nlazy; k--;) {
        IrRef ref = l->lazy[k];
        const IrInsn *i = &l->r->insn[ref];
        if (val[ref].count || val[ref].root != ref || !may_be_lazy(l, i))
            continue;
        val[ref].flags |= VAL_LAZY;
        if (i->op == IR_SELECT) { /* what it chooses from comes before it, and may be lazy too */
            if (!live_can_fuse(l, i->a))
                discount(l, i->a);
            discount(l, i->b);
            discount(l, i->c);
        } else if (live_sign_test(l->s, i)) {
            discount(l, i->a);
        }
    }
    for (uint32_t k = 0; k < l->nlazy; k++) { /* operands before what they are operands of */
        Val *x = &val[l->lazy[k]];
        const IrInsn *i = &l->r->insn[l->lazy[k]];
        bool arith = (i->op == IR_SUB || i->op == IR_ADD || i->op == IR_AND) && (i->type == IR_I32 || i->type == IR_I64);
        bool sub = i->op == IR_ICMP || i->op == IR_SUB_V;
        if (arith && !x->count && !(x->flags & VAL_SNAP))
            x->flags |= VAL_LAZY;
        else if (sub && (x->flags & VAL_LAZY) && x->alt && !(val[x->alt].flags & VAL_LAZY))
            x->flags |= VAL_ALT;
    }
}

/* --- the pass ---------------------------------------------------------------------------------------------------------- */

void live_number(Live *l)
{
    if (l->r->graph) {
        graph_begin(l->s);
        number_graph(l);
        graph_params(l->s);
    } else {
        number_block(l, 0);
    }
    l->ra->norder = l->pos;
    mark_lazy(l);
}
