/* What is not computed for itself but as part of the instruction that uses it: parts of addresses, scaled sums, increments. */
#include "host/x86_64/live.h"

#include <string.h>

/* Whether a value is in a register later anyway, or needs none. */
static bool stays(const Live *l, IrRef ref)
{
    const SelAlloc *ra = l->ra;
    IrRef root = ra->val[ref].root;
    uint32_t u = ra->val[root].use;
    if (ra->val[root].flags & VAL_CONST)
        return true;
    for (unsigned k = 0; u && ra->use[u].soft && k < 4; k++)
        u = ra->use[u].next;
    return u && !ra->use[u].soft;
}

/*
 * `root` when it is an operation `op` that can be done where it is used, as part of an address: because nothing else needs it,
 * or nothing behind this does and its operands stay. In the latter case it may turn out that all its uses do it themselves.
 */
static const IrInsn *sole(Live *l, IrRef root, IrOp op)
{
    const IrInsn *i = &l->r->insn[root];
    if (root >= l->r->ninsn || i->op != op || l->ra->val[root].use || !live_same_block(l, root))
        return NULL;
    if (l->ra->val[root].count == 1 || (l->ra->val[root].count <= 4 && stays(l, i->a) && stays(l, i->b)))
        return i;
    /* the shift is free, so what is merely kept will do */
    if (op == IR_SHL && l->ra->val[root].count <= 4 && live_is_wanted(&l->ra->val[l->ra->val[i->a].root]))
        return i;
    return NULL;
}

static bool small_const(Live *l, IrRef ref, int64_t *v)
{
    IrVal c;
    IrRef root = l->ra->val[ref].root;
    if (!ra_const(l->s, root, &c) || plan_is_x(ra_type(l->s, root)))
        return false;
    *v = (int64_t)c.u64[0];
    return *v == (int32_t)*v;
}

static void addr_index(Live *l, AddrMode *m, IrRef x, IrRef y)
{
    for (int swap = 0; swap < 2; swap++) {
        IrRef idx = swap ? x : y;
        int64_t k;
        const IrInsn *i = sole(l, l->ra->val[idx].root, IR_SHL);
        if (i && i->type == l->r->insn[idx].type && small_const(l, i->b, &k) && k >= 0 && k <= 3) {
            m->base = swap ? y : x;
            m->index = i->a;
            m->scale = (uint8_t)k;
            return;
        }
    }
    m->base = x;
    m->index = y;
}

/* The address of memory operation `i` as an x86 address mode; adds that only it needs are folded. */
static AddrMode addr_match(Live *l, const IrInsn *i)
{
    AddrMode m = {.base = i->a};
    int64_t disp = (int64_t)i->imm, k;
    bool has_disp = i->op == IR_LOAD || i->op == IR_STORE;

    if (!has_disp)
        disp = 0;
    if (disp != (int32_t)disp)
        return m; /* the rule adds the displacement itself */
    for (int depth = 0; depth < 4; depth++) {
        const IrInsn *add = sole(l, l->ra->val[m.base].root, IR_ADD);
        if (!add)
            break;
        if (small_const(l, add->b, &k) && disp + k == (int32_t)(disp + k)) {
            disp += k;
            m.base = add->a;
        } else {
            addr_index(l, &m, add->a, add->b);
            break;
        }
    }
    m.disp = (int32_t)disp;
    return m;
}

static void use_mode(Live *l, IrRef ref, AddrMode m)
{
    SelAlloc *ra = l->ra;
    if (ra->nam == ra->cap_am) {
        AddrMode *am = ARENA_ARRAY(l->s->arena, AddrMode, 2 * ra->cap_am);
        memcpy(am, ra->am, ra->nam * sizeof *am);
        ra->am = am;
        ra->cap_am *= 2;
    }
    ra->val[ref].am = (uint16_t)ra->nam;
    ra->am[ra->nam++] = m;
    live_use(l, m.base);
    live_use(l, m.index);
}

void live_use_address(Live *l, IrRef ref, const IrInsn *i)
{
    use_mode(l, ref, addr_match(l, i));
}

/* An addition of a value that is shifted left a little is one lea. */
bool live_use_sum(Live *l, IrRef ref, const IrInsn *i)
{
    AddrMode m = {0};
    if ((i->type != IR_I64 && i->type != IR_I32) || l->ra->val[ref].am)
        return false;
    addr_index(l, &m, i->a, i->b);
    if (!m.scale || (l->ra->val[l->ra->val[m.base].root].flags & VAL_CONST))
        return false;
    use_mode(l, ref, m);
    return true;
}

/* Whether condition `cond` is the host's carry, or no carry. */
static bool is_carry(const Live *l, IrRef cond)
{
    const IrInsn *i = &l->r->insn[l->ra->val[cond].root];
    unsigned rel = i->aux & (IR_LT | IR_EQ | IR_GT);
    if (!live_can_fuse(l, cond))
        return false;
    return i->op == IR_ADD_C || (i->op == IR_ICMP && !(i->aux & IR_PSIGNED) && (rel == IR_LT || rel == (IR_EQ | IR_GT)));
}

/* A choice between a value and one more: the value, which the carry is added to. */
bool live_use_increment(Live *l, IrRef ref, const IrInsn *i)
{
    if ((i->type != IR_I32 && i->type != IR_I64) || !is_carry(l, i->a))
        return false;
    for (unsigned no = 0; no < 2; no++) {
        IrRef same = no ? i->b : i->c;
        const IrInsn *more = sole(l, l->ra->val[no ? i->c : i->b].root, IR_ADD);
        int64_t one;
        if (!more || l->ra->val[more->a].root != l->ra->val[same].root || !small_const(l, more->b, &one) || one != 1)
            continue;
        l->ra->val[ref].am = no ? VAL_AM_INC_NO : VAL_AM_INC_YES;
        live_use(l, same);
        return true;
    }
    return false;
}
