/* Building regions: growing arrays in the arena, appending instructions, simplifying while at it. */
#include "base/check.h"
#include "ir/rules.h"
#include "ir/simplify.h"

#include <string.h>

/* Make room for `need` more elements of `size` bytes; the old array stays behind in the arena. */
static void *grow(Arena *a, void *old, uint32_t used, uint32_t need, uint32_t *cap, size_t size)
{
    uint32_t n = *cap;

    while (n - used < need)
        n *= 2;
    void *p = arena_alloc(a, n * size);
    memcpy(p, old, used * size);
    *cap = n;
    return p;
}

#define ROOM(r, arr, cap_, n, need) \
    do { \
        if ((r)->cap_ - (r)->n < (need)) \
            (r)->arr = grow((r)->arena, (r)->arr, (r)->n, (need), &(r)->cap_, sizeof *(r)->arr); \
    } while (0)

IrRegion *ir_region_new(Arena *arena, const IrSlots *slots, const IrHelper *helpers, uint32_t nhelpers, uint64_t pc)
{
    IrRegion *r = ARENA_NEW(arena, IrRegion);

    r->arena = arena;
    r->slots = slots;
    r->helpers = helpers;
    r->nhelpers = nhelpers;
    r->pc = pc;
    r->cap_insn = 256;
    r->cap_block = 16;
    r->cap_pool = 64;
    r->cap_snap = 64;
    r->cap_snapent = 256;
    r->cap_vconst = 16;
    r->insn = ARENA_ARRAY(arena, IrInsn, r->cap_insn);
    r->block = ARENA_ARRAY(arena, IrBlock, r->cap_block);
    r->pool = ARENA_ARRAY(arena, IrRef, r->cap_pool);
    r->snap = ARENA_ARRAY(arena, IrSnap, r->cap_snap);
    r->snapent = ARENA_ARRAY(arena, IrSnapEnt, r->cap_snapent);
    r->vconst = ARENA_ARRAY(arena, IrVal, r->cap_vconst);
    memset(&r->insn[0], 0, sizeof r->insn[0]);
    r->pool[0] = 0;
    memset(&r->snap[0], 0, sizeof r->snap[0]);
    r->ninsn = r->npool = r->nsnap = 1;
    ir_block_new(r);
    return r;
}

uint32_t ir_block_new(IrRegion *r)
{
    ROOM(r, block, cap_block, nblock, 1);
    memset(&r->block[r->nblock], 0, sizeof r->block[0]);
    return r->nblock++;
}

void ir_builder_init(IrBuilder *b, IrRegion *r)
{
    b->r = r;
    b->block = 0;
    b->online = NULL;
}

IrRef ir_insn_new(IrRegion *r, const IrInsn *proto)
{
    ROOM(r, insn, cap_insn, ninsn, 1);
    r->insn[r->ninsn] = *proto;
    return r->ninsn++;
}

uint32_t ir_pool_new(IrRegion *r, unsigned n)
{
    ROOM(r, pool, cap_pool, npool, n);
    r->npool += n;
    return r->npool - n;
}

uint32_t ir_snap_new(IrRegion *r, uint64_t pc)
{
    ROOM(r, snap, cap_snap, nsnap, 1);
    r->snap[r->nsnap] = (IrSnap){.pc = pc, .first = r->nsnapent};
    return r->nsnap++;
}

IrSnapEnt *ir_snapent_room(IrRegion *r, unsigned n)
{
    ROOM(r, snapent, cap_snapent, nsnapent, n);
    return &r->snapent[r->nsnapent];
}

uint32_t ir_vconst_new(IrRegion *r, uint64_t lo, uint64_t hi)
{
    for (uint32_t k = 0; k < r->nvconst; k++)
        if (r->vconst[k].u64[0] == lo && r->vconst[k].u64[1] == hi)
            return k;
    ROOM(r, vconst, cap_vconst, nvconst, 1);
    r->vconst[r->nvconst].u64[0] = lo;
    r->vconst[r->nvconst].u64[1] = hi;
    return r->nvconst++;
}

void ir_link_last(IrRegion *r, uint32_t block, IrRef ref)
{
    IrBlock *b = &r->block[block];
    IrInsn *i = ir_insn(r, ref);

    i->prev = b->last;
    i->next = 0;
    if (b->last)
        ir_insn(r, b->last)->next = ref;
    else
        b->first = ref;
    b->last = ref;
}

void ir_link_before(IrRegion *r, uint32_t block, IrRef before, IrRef ref)
{
    IrInsn *at = ir_insn(r, before), *i = ir_insn(r, ref);

    i->prev = at->prev;
    i->next = before;
    if (at->prev)
        ir_insn(r, at->prev)->next = ref;
    else
        r->block[block].first = ref;
    at->prev = ref;
}

void ir_unlink(IrRegion *r, uint32_t block, IrRef ref)
{
    IrBlock *b = &r->block[block];
    IrInsn *i = ir_insn(r, ref);

    if (i->prev)
        ir_insn(r, i->prev)->next = i->next;
    else
        b->first = i->next;
    if (i->next)
        ir_insn(r, i->next)->prev = i->prev;
    else
        b->last = i->prev;
    i->prev = i->next = 0;
}

void ir_remove(IrRegion *r, uint32_t block, IrRef ref)
{
    ir_unlink(r, block, ref);
    *ir_insn(r, ref) = (IrInsn){.op = IR_NOP};
}

static void add_pred(IrRegion *r, uint32_t from, uint32_t to)
{
    IrBlock *b = &r->block[to];

    b->npreds++;
    b->pred = b->npreds == 1 && to != 0 ? from + 1 : 0;
}

void ir_count_preds(IrRegion *r, uint32_t block, const IrInsn *i)
{
    if (i->op == IR_BR) {
        add_pred(r, block, (uint32_t)i->imm);
    } else if (i->op == IR_BRIF) {
        add_pred(r, block, (uint32_t)i->imm);
        add_pred(r, block, (uint32_t)(i->imm >> 32));
    }
}

static __attribute__((noinline)) void grow_insns(IrRegion *r)
{
    ROOM(r, insn, cap_insn, ninsn, 1);
}

IrRef ir_new_last(IrBuilder *b)
{
    IrRegion *r = b->r;

    if (__builtin_expect(r->ninsn == r->cap_insn, 0))
        grow_insns(r);
    IrRef ref = r->ninsn++;
    IrBlock *blk = &r->block[b->block];
    IrRef last = blk->last;
    *(last ? &r->insn[last].next : &blk->first) = ref;
    blk->last = ref;
    r->insn[ref].prev = last;
    return ref;
}

void ir_emitted(IrBuilder *b, IrRef ref)
{
    IrRegion *r = b->r;
    const IrInsn *i = ir_insn(r, ref);
    IrBlock *blk = &r->block[b->block];

#ifdef DEBUG_CHECKS /* the rules cost 4 % of translation time */
    CHECK(ir_check_insn(r, i) == NULL);
    CHECK(!i->prev || !(ir_ops[ir_insn(r, i->prev)->op].flags & IRF_END));
#endif
    if (i->op == IR_PARAM && blk->nparams <= i->imm)
        blk->nparams = (uint16_t)(i->imm + 1);
    else
        ir_count_preds(r, b->block, i);
}

static uint64_t type_mask(IrType t)
{
    unsigned n = ir_type_size(t);
    return n >= 8 ? UINT64_MAX : (1ull << (8 * n)) - 1;
}

IrRef ir_const(IrBuilder *b, IrType t, uint64_t v)
{
    return ir_emit(b, (IrInsn){.op = IR_CONST, .type = t, .imm = v & type_mask(t)});
}

IrRef ir_vconst(IrBuilder *b, uint64_t lo, uint64_t hi)
{
    if (hi == 0)
        return ir_emit(b, (IrInsn){.op = IR_CONST, .type = IR_V128, .imm = lo});
    return ir_emit(b, (IrInsn){.op = IR_VCONST, .type = IR_V128, .imm = ir_vconst_new(b->r, lo, hi)});
}

static IrRef builder_const(IrSimplify *s, IrType t, uint64_t v)
{
    return ir_const(s->ctx, t, v);
}

static IrRef emit_simple(IrBuilder *b, IrInsn i)
{
    if (b->online)
        return b->online->emit(b, &i);
    IrSimplify s = {b->r, builder_const, b};
    IrRef ref = ir_ops[i.op].flags & IRF_PURE ? ir_simplify(&s, &i) : 0;

    return ref ? ref : ir_append(b, i);
}

IrRef ir_op1(IrBuilder *b, IrOp op, IrType t, IrRef a)
{
    return emit_simple(b, (IrInsn){.op = op, .type = t, .a = a});
}

IrRef ir_op2(IrBuilder *b, IrOp op, IrType t, IrRef x, IrRef y)
{
    return emit_simple(b, (IrInsn){.op = op, .type = t, .a = x, .b = y});
}

IrRef ir_op3(IrBuilder *b, IrOp op, IrType t, IrRef x, IrRef y, IrRef z)
{
    return emit_simple(b, (IrInsn){.op = op, .type = t, .a = x, .b = y, .c = z});
}

IrRef ir_op1i(IrBuilder *b, IrOp op, IrType t, IrRef a, uint64_t imm)
{
    return emit_simple(b, (IrInsn){.op = op, .type = t, .a = a, .imm = imm});
}

IrRef ir_op2i(IrBuilder *b, IrOp op, IrType t, IrRef x, IrRef y, uint64_t imm)
{
    return emit_simple(b, (IrInsn){.op = op, .type = t, .a = x, .b = y, .imm = imm});
}

IrRef ir_opx(IrBuilder *b, IrOp op, IrType t, IrType lane, unsigned lanes, unsigned aux, uint64_t imm, IrRef x, IrRef y,
             IrRef z)
{
    return emit_simple(b, (IrInsn){.op = op, .type = t, .lane = lane, .lanes = (uint8_t)lanes, .aux = (uint8_t)aux,
                                   .a = x, .b = y, .c = z, .imm = imm});
}

static IrRef width(IrBuilder *b, IrOp op, IrType to, IrRef a)
{
    IrType from = ir_insn(b->r, a)->type;

    if (from == to)
        return a;
    return emit_simple(b, (IrInsn){.op = op, .type = to, .lane = from, .a = a});
}

IrRef ir_zext(IrBuilder *b, IrType to, IrRef a)
{
    return width(b, IR_ZEXT, to, a);
}

IrRef ir_sext(IrBuilder *b, IrType to, IrRef a)
{
    return width(b, IR_SEXT, to, a);
}

IrRef ir_trunc(IrBuilder *b, IrType to, IrRef a)
{
    return width(b, IR_TRUNC, to, a);
}

IrRef ir_icmp(IrBuilder *b, unsigned pred, IrRef x, IrRef y)
{
    /* Equality knows no sign; without this two spellings of it would differ. */
    unsigned set = pred & (IR_LT | IR_EQ | IR_GT);
    if (set == IR_EQ || set == (IR_LT | IR_GT))
        pred = set;
    return emit_simple(b, (IrInsn){.op = IR_ICMP, .type = IR_I8, .lane = ir_insn(b->r, x)->type, .aux = (uint8_t)pred,
                                   .a = x, .b = y});
}

IrRef ir_fcmp(IrBuilder *b, unsigned pred, IrRef x, IrRef y)
{
    return emit_simple(b, (IrInsn){.op = IR_FCMP, .type = IR_I8, .lane = ir_insn(b->r, x)->type, .aux = (uint8_t)pred,
                                   .a = x, .b = y});
}

IrRef ir_select(IrBuilder *b, IrRef cond, IrRef x, IrRef y)
{
    return emit_simple(b, (IrInsn){.op = IR_SELECT, .type = ir_insn(b->r, x)->type, .a = cond, .b = x, .c = y});
}

IrRef ir_load(IrBuilder *b, IrType t, IrType mem, IrRef addr, int64_t disp, unsigned flags)
{
    return ir_emit(b, (IrInsn){.op = IR_LOAD, .type = t, .lane = mem, .flags = (uint16_t)flags, .a = addr,
                               .imm = (uint64_t)disp});
}

void ir_store(IrBuilder *b, IrType mem, IrRef addr, int64_t disp, IrRef val, unsigned flags)
{
    ir_emit(b, (IrInsn){.op = IR_STORE, .lane = mem, .flags = (uint16_t)flags, .a = addr, .b = val,
                        .imm = (uint64_t)disp});
}

void ir_mark(IrBuilder *b, uint64_t pc, unsigned len)
{
    if (b->online)
        b->online->mark(b, pc, len);
    else
        ir_append(b, (IrInsn){.op = IR_INSN, .imm = pc, .aux = (uint8_t)len});
}

IrRef ir_get(IrBuilder *b, unsigned slot)
{
    if (b->online)
        return b->online->get(b, slot);
    return ir_append(b, (IrInsn){.op = IR_GET, .type = b->r->slots->slot[slot].type, .imm = slot});
}

void ir_put(IrBuilder *b, unsigned slot, IrRef val)
{
    if (b->online)
        b->online->put(b, slot, val);
    else
        ir_append(b, (IrInsn){.op = IR_PUT, .a = val, .imm = slot});
}

static uint32_t pool_args(IrRegion *r, unsigned nargs, const IrRef *args)
{
    if (nargs == 0)
        return 0;
    uint32_t at = ir_pool_new(r, nargs);
    memcpy(&r->pool[at], args, nargs * sizeof *args);
    return at;
}

IrRef ir_call(IrBuilder *b, unsigned helper, unsigned nargs, const IrRef *args)
{
    return ir_emit(b, (IrInsn){.op = IR_CALL, .type = b->r->helpers[helper].ret, .a = pool_args(b->r, nargs, args),
                               .b = nargs, .imm = helper});
}

void ir_br(IrBuilder *b, uint32_t block, unsigned nargs, const IrRef *args)
{
    ir_emit(b, (IrInsn){.op = IR_BR, .a = pool_args(b->r, nargs, args), .b = nargs, .imm = block});
}

void ir_brif(IrBuilder *b, IrRef cond, uint32_t yes, uint32_t no)
{
    ir_emit(b, (IrInsn){.op = IR_BRIF, .a = cond, .imm = yes | (uint64_t)no << 32});
}

void ir_exit(IrBuilder *b, uint64_t pc, unsigned aux)
{
    ir_emit(b, (IrInsn){.op = IR_EXIT, .aux = (uint8_t)aux, .imm = pc});
}

void ir_exit_call(IrBuilder *b, uint64_t pc, uint64_t ret)
{
    IrRef r = ir_const(b, IR_I64, ret);
    unsigned aux = pc < ret ? IR_EXIT_POLL : 0; /* backward: recursion must stay interruptible */
    ir_emit(b, (IrInsn){.op = IR_EXIT_CALL, .aux = (uint8_t)aux, .a = r, .imm = pc});
}

void ir_exit_ind(IrBuilder *b, IrRef pc, IrHint hint, uint64_t ret)
{
    IrRef r = hint == IR_HINT_CALL ? ir_const(b, IR_I64, ret) : 0;
    ir_emit(b, (IrInsn){.op = IR_EXIT_IND, .aux = (uint8_t)hint, .a = pc, .b = r});
}

void ir_exit_help(IrBuilder *b, unsigned helper, uint64_t next_pc, unsigned nargs, const IrRef *args)
{
    IrRef c = ir_const(b, IR_I64, next_pc);
    ir_emit(b, (IrInsn){.op = IR_EXIT_HELP, .a = pool_args(b->r, nargs, args), .b = nargs, .c = c, .imm = helper});
}

void ir_exit_stop(IrBuilder *b, uint64_t pc, IrStop why)
{
    ir_emit(b, (IrInsn){.op = IR_EXIT_STOP, .aux = (uint8_t)why, .imm = pc});
}

static void each_in_list(IrRegion *r, IrRef at, void (*fn)(void *ctx, IrRef *use), void *ctx)
{
    if (at)
        for (uint32_t k = 1; k <= r->pool[at]; k++)
            fn(ctx, &r->pool[at + k]);
}

void ir_each_use(IrRegion *r, IrInsn *i, void (*fn)(void *ctx, IrRef *use), void *ctx)
{
    unsigned values = ir_ops[i->op].values;
    IrRef *arg[3] = {&i->a, &i->b, &i->c};

    for (unsigned k = 0; k < 3; k++)
        if ((values >> k & 1) && *arg[k])
            fn(ctx, arg[k]);
    if (i->op == IR_CALL || i->op == IR_BR || i->op == IR_EXIT_HELP) {
        for (uint32_t k = 0; k < i->b; k++)
            fn(ctx, &r->pool[i->a + k]);
    } else if (i->op == IR_BRIF) {
        each_in_list(r, i->b, fn, ctx);
        each_in_list(r, i->c, fn, ctx);
    }
}
