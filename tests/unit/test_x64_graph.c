/*
 * Random graph regions, translated and interpreted: see jit_gen.h. Joins and loops nest, with parameters for slots and for
 * other values; loops have counters, and are left and begun anew from their middles; faults happen anywhere.
 *
 *   test_x64_graph [SEED [COUNT [SIZE]]]       LONG=1: many more
 */
#include "jit_gen.h"
#include "test.h"

enum { MAX_EXTRA = 24, MAX_WAYS = 32, MAX_DEPTH = 3 };

/* What a block with parameters has besides slots: values of these types. */
typedef struct Join {
    uint32_t to;
    IrType extra[MAX_EXTRA];
    unsigned nextra;
    struct Way {           /* edges that lead here, whose arguments are filled in when all are known */
        IrRef branch;
        unsigned edge;
        IrRef cur[S_COUNT], extra[MAX_EXTRA];
    } way[MAX_WAYS];
    unsigned nway;
} Join;

static IrRef entry[S_COUNT]; /* the slots' values on entry */

static Join *join_new(Gen *g, unsigned most)
{
    static const IrType types[] = {IR_I64, IR_I32, IR_I8, IR_I16, IR_V128, IR_F64, IR_F32};
    Join *j = arena_zalloc(&env->arena, sizeof *j);
    j->to = ir_block_new(g->b.r);
    for (j->nextra = pick(most + 1); most && pick(8) == 0 && j->nextra < MAX_EXTRA - 1; j->nextra++)
        ;
    if (most && pick(6) == 0)
        j->nextra = MAX_EXTRA - 1;
    IrType all = types[pick(7)];
    bool same = pick(4) == 0;
    for (unsigned k = 0; k < j->nextra; k++)
        j->extra[k] = same ? all : types[pick(7)];
    return j;
}

/* Before the branch is emitted: what it passes on. */
static struct Way *way_new(Gen *g, Join *j)
{
    struct Way *w = &j->way[j->nway++];
    for (unsigned k = 0; k < j->nextra; k++) {
        bool narrow = j->extra[k] == IR_I32 && pick(2); /* the register's upper half is not clear then */
        w->extra[k] = narrow ? ir_trunc(&g->b, IR_I32, get(g, IR_I64)) : get(g, j->extra[k]);
    }
    for (unsigned k = 0; k < S_COUNT; k++)
        w->cur[k] = g->cur[k];
    return w;
}

/* A branch whose arguments are still to come. */
static void branch(Gen *g, IrInsn proto)
{
    IrRef ref = ir_insn_new(g->b.r, &proto);
    ir_link_last(g->b.r, g->b.block, ref);
    ir_count_preds(g->b.r, g->b.block, &proto);
}

static void branch_to(Gen *g, uint32_t to)
{
    branch(g, (IrInsn){.op = IR_BR, .imm = to});
}

static void branch_if(Gen *g, IrRef cond, uint32_t yes, uint32_t no)
{
    branch(g, (IrInsn){.op = IR_BRIF, .a = cond, .imm = yes | (uint64_t)no << 32});
}

static void way_br(Gen *g, Join *j)
{
    struct Way *w = way_new(g, j);
    branch_to(g, j->to);
    w->branch = g->b.r->block[g->b.block].last;
    w->edge = 0;
}

static void set_args(IrRegion *r, const struct Way *w, unsigned n, const IrRef *args)
{
    if (!n)
        return;
    bool is_if = ir_insn(r, w->branch)->op == IR_BRIF;
    uint32_t at = ir_pool_new(r, n + is_if);
    IrInsn *i = ir_insn(r, w->branch);
    if (is_if)
        r->pool[at] = n;
    memcpy(&r->pool[at + is_if], args, n * sizeof *args);
    if (!is_if) {
        i->a = at;
        i->b = n;
    } else if (w->edge) {
        i->c = at;
    } else {
        i->b = at;
    }
}

static IrRef param(Gen *g, IrType t, unsigned k)
{
    return ir_emit(&g->b, (IrInsn){.op = IR_PARAM, .type = (uint8_t)t, .imm = k});
}

static void pass_args(Gen *g, const Join *j, const bool *slots)
{
    for (unsigned k = 0; k < j->nway; k++) {
        IrRef args[S_COUNT + MAX_EXTRA];
        unsigned n = 0;
        for (unsigned x = 0; x < S_COUNT; x++)
            if (slots[x])
                args[n++] = j->way[k].cur[x] ? j->way[k].cur[x] : entry[x];
        for (unsigned x = 0; x < j->nextra; x++)
            args[n++] = j->way[k].extra[x];
        set_args(g->b.r, &j->way[k], n, args);
    }
}

/* Go on in the join's block; parameters are in scope. */
static void join_enter(Gen *g, const Join *j, const bool *slots, IrRef *extra)
{
    unsigned n = 0;
    g->b.block = j->to;
    for (unsigned k = 0; k < S_COUNT; k++)
        g->cur[k] = slots[k] ? param(g, (IrType)env->slot[k].type, n++) : j->way[0].cur[k];
    for (unsigned k = 0; k < j->nextra; k++) {
        IrRef p = param(g, j->extra[k], n++);
        if (extra)
            extra[k] = p;
    }
}

static void add_extras(Gen *g, const Join *j, const IrRef *extra)
{
    for (unsigned k = 0; k < j->nextra; k++) {
        add_val(g, j->extra[k], extra[k]);
        if (j->extra[k] == IR_I32 && pick(2))
            add_val(g, IR_I64, ir_zext(&g->b, IR_I64, extra[k]));
    }
}

/* All ways are known: slots get parameters where they differ, and sometimes where not. */
static void join_end(Gen *g, Join *j)
{
    bool slots[S_COUNT] = {false};
    IrRef extra[MAX_EXTRA];
    for (unsigned k = 0; k < S_COUNT; k++)
        for (unsigned w = 1; w < j->nway; w++)
            slots[k] |= j->way[w].cur[k] != j->way[0].cur[k] || pick(400) == 0;
    pass_args(g, j, slots);
    join_enter(g, j, slots, extra);
    add_extras(g, j, extra);
}

static void gen_graph(Gen *g, unsigned size, unsigned depth);

typedef struct Scope {
    unsigned n[IR_NTYPES];
    bool fixed[S_COUNT];
} Scope;

static Scope scope_save(const Gen *g)
{
    Scope s;
    memcpy(s.n, g->n, sizeof s.n);
    memcpy(s.fixed, g->fixed, sizeof s.fixed);
    return s;
}

static void scope_restore(Gen *g, const Scope *s)
{
    memcpy(g->n, s->n, sizeof s->n);
    memcpy(g->fixed, s->fixed, sizeof s->fixed);
}

static void gen_if(Gen *g, unsigned size, unsigned depth)
{
    Join *j = join_new(g, 2);
    uint32_t yes = ir_block_new(g->b.r);
    IrRef cond = boolean(g), cur[S_COUNT];
    struct Way *w = NULL;
    uint32_t no = j->to;
    bool swap = pick(2);

    if (pick(2))
        w = way_new(g, j);
    else
        no = ir_block_new(g->b.r);
    memcpy(cur, g->cur, sizeof cur);
    branch_if(g, cond, swap ? no : yes, swap ? yes : no);
    if (w) {
        w->branch = g->b.r->block[g->b.block].last;
        w->edge = !swap;
    }
    Scope s = scope_save(g);
    g->b.block = yes;
    gen_graph(g, size, depth + 1);
    way_br(g, j);
    scope_restore(g, &s);
    if (!w) {
        g->b.block = no;
        memcpy(g->cur, cur, sizeof cur);
        gen_graph(g, pick(2) ? size : 0, depth + 1);
        way_br(g, j);
        scope_restore(g, &s);
    }
    join_end(g, j);
}

/* The end of a turn: count, ask whether to leave, go back. Goes to `after` at last. */
static void gen_back(Gen *g, Join *head, Join *after, IrRef counter)
{
    IrRef n = ir_op2(&g->b, IR_SUB, IR_I64, counter, ir_const(&g->b, IR_I64, 1)), zero = ir_const(&g->b, IR_I64, 0);
    if (pick(2)) {
        uint32_t leave = ir_block_new(g->b.r), on = ir_block_new(g->b.r);
        branch_if(g, ir_emit(&g->b, (IrInsn){.op = IR_POLL, .type = IR_I8}), leave, on);
        g->b.r->block[leave].cold = true;
        g->b.block = leave;
        gen_exit(g);
        g->b.block = on;
    }
    bool swap = pick(2);
    IrRef cond = ir_icmp(&g->b, swap ? IR_EQ : pick(2) ? IR_GT | IR_LT : IR_GT, n, zero);
    struct Way *h = way_new(g, head), *a = way_new(g, after);
    h->extra[0] = n;
    if (pick(2)) {
        uint32_t latch = ir_block_new(g->b.r);
        branch_if(g, cond, swap ? after->to : latch, swap ? latch : after->to);
        a->branch = g->b.r->block[g->b.block].last;
        a->edge = !swap;
        g->b.block = latch;
        branch_to(g, head->to);
        h->branch = g->b.r->block[latch].last;
        h->edge = 0;
    } else {
        branch_if(g, cond, swap ? after->to : head->to, swap ? head->to : after->to);
        a->branch = h->branch = g->b.r->block[g->b.block].last;
        a->edge = !swap;
        h->edge = swap;
    }
}

/* From the middle of a loop: on to its end, or to its next turn. */
static void gen_leap(Gen *g, Join *head, Join *after, IrRef counter, IrRef cond)
{
    uint32_t on = ir_block_new(g->b.r);
    IrRef cur[S_COUNT];

    if (after->nway > MAX_WAYS - 4 || head->nway > MAX_WAYS - 4) {
        branch_to(g, on);
    } else if (pick(2)) {
        struct Way *w = way_new(g, after);
        branch_if(g, cond, after->to, on);
        w->branch = g->b.r->block[g->b.block].last;
        w->edge = 0;
    } else {
        uint32_t again = ir_block_new(g->b.r);
        branch_if(g, cond, again, on);
        memcpy(cur, g->cur, sizeof cur);
        Scope s = scope_save(g);
        g->b.block = again;
        gen_back(g, head, after, counter);
        scope_restore(g, &s);
        memcpy(g->cur, cur, sizeof cur);
    }
    g->b.block = on;
}

static void gen_loop(Gen *g, unsigned size, unsigned depth)
{
    Join *head = join_new(g, pick(4) ? 3 : 20), *after = join_new(g, 2);
    bool slots[S_COUNT] = {false};
    IrRef extra[MAX_EXTRA];

    if (!head->nextra)
        head->nextra = 1;
    head->extra[0] = IR_I64;
    for (unsigned n = pick(4) ? pick(6) : pick(40); n--;) {
        unsigned k = pick(S_COUNT);
        slots[k] = !g->fixed[k];
    }
    if (pick(2))
        for (unsigned k = S_N; k < S_X0; k++)
            slots[k] = !g->fixed[k];
    IrRef turns = ir_const(&g->b, IR_I64, 1 + pick(5));
    if (pick(2)) /* unknown, small, not 0 */
        turns = ir_op2(&g->b, IR_ADD, IR_I64, ir_op2(&g->b, IR_AND, IR_I64, slot_get(g, S_X0 + pick(S_NX)),
                                                     ir_const(&g->b, IR_I64, 7)), ir_const(&g->b, IR_I64, 1));
    static const IrOp ops[] = {IR_SUB, IR_AND, IR_ADD, IR_XOR};
    struct Way *w = way_new(g, head);
    w->extra[0] = turns;
    IrRef before = ir_op2(&g->b, ops[pick(4)], IR_I64, get(g, IR_I64), get(g, IR_I64)); /* leaves flags */
    branch_to(g, head->to);
    w->branch = g->b.r->block[g->b.block].last;
    Scope s = scope_save(g);
    for (unsigned k = 0; k < S_COUNT; k++)
        g->fixed[k] |= !slots[k];
    join_enter(g, head, slots, extra);
    if (pick(2))
        add_extras(g, head, extra);
    if (pick(3) == 0) /* ask for them where they may be others */
        gen_leap(g, head, after, extra[0], ir_icmp(&g->b, IR_EQ, before, ir_const(&g->b, IR_I64, 0)));
    for (unsigned n = 1 + pick(3); n--;) {
        gen_graph(g, size, depth + 1);
        if (pick(4) == 0) /* used late: they live on while others come and go */
            add_extras(g, head, extra);
        if (n && pick(2))
            gen_leap(g, head, after, extra[0], boolean(g));
    }
    gen_back(g, head, after, extra[0]);
    pass_args(g, head, slots);
    scope_restore(g, &s);
    join_end(g, after);
}

static void gen_graph(Gen *g, unsigned size, unsigned depth)
{
    for (unsigned n = pick(size + 1); n--;) {
        unsigned how = depth < MAX_DEPTH ? pick(8) : 7;
        if (how == 0)
            gen_loop(g, size / 2, depth);
        else if (how < 3)
            gen_if(g, size / 2, depth);
        else
            gen_body(g, 1 + pick(4), 1);
    }
}

static IrRegion *generate(unsigned size)
{
    static Gen g;
    memset(g.n, 0, sizeof g.n);
    memset(g.cur, 0, sizeof g.cur);
    memset(g.fixed, 0, sizeof g.fixed);
    g.graph = true;
    g.pc = 0x10000;
    IrRegion *r = ir_region_new(&env->arena, &env->slots, env->helpers, env->nhelpers, g.pc);
    ir_builder_init(&g.b, r);
    r->fp.soft = pick(4) == 0;
    r->graph = true;
    for (unsigned k = 0; k < S_COUNT; k++)
        entry[k] = ir_get(&g.b, k);
    gen_graph(&g, 1 + pick(size), 0);
    if (pick(2))
        gen_loop(&g, 1 + pick(size), 0);
    gen_insn(&g);
    gen_exit(&g);
    return r;
}

static bool run_one(unsigned size, unsigned states)
{
    char err[256];

    arena_reset(&env->arena);
    IrRegion *r = generate(size);
    if (!ir_verify(r, false, err, sizeof err)) {
        ir_print(stderr, r);
        fprintf(stderr, "generator: %s\n", err);
        return false;
    }
    return same_runs(r, states);
}

int main(int argc, char **argv)
{
    unsigned count = getenv("LONG") ? 90000 : 1500;

    if (argc > 1)
        return random_main(argc, argv, 1, 8, "graphs", run_one);
    TEST_BEGIN();
    random_run("native", 1, count, 8, "graphs", run_one);
    random_run("native", 1 + count, count / 25, 24, "large graphs", run_one);
    random_run("native", 49569, 1, 8, "graphs, a parameter unused", run_one);
    random_run("native", 91721, 1, 24, "large graphs, the same", run_one);
    random_run("avx2", 1 + 2 * count, count, 4, "small graphs", run_one);
    return TEST_END();
}
