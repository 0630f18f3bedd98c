#include "random_graph.h"

#include "random_gen.h"
#include "support.h"

#define FRAME (TEST_X0 + 5)
#define COUNTER(depth) (TEST_X0 + 6 + (depth))
enum { MAX_DEPTH = 2, MAX_ROUNDS = 6 };

typedef struct Graph {
    Gen g;
    unsigned left;    /* instructions still to be made */
    unsigned depth;   /* of loops */
    uint32_t header, after; /* of the innermost loop; 0: none */
} Graph;

typedef struct Scope {
    unsigned nval[3];
} Scope;

static Scope open_scope(const Graph *s)
{
    return (Scope){{s->g.nval[0], s->g.nval[1], s->g.nval[2]}};
}

static void close_scope(Graph *s, Scope scope)
{
    memcpy(s->g.nval, scope.nval, sizeof scope.nval);
    if (s->g.local) /* what was made outside has been replaced */
        memset(s->g.nval, 0, sizeof s->g.nval);
}

static void mark(Graph *s)
{
    ir_emit(&s->g.b, (IrInsn){.op = IR_INSN, .imm = s->g.pc, .aux = 4});
    s->g.pc += 4;
}

/* Branch on a condition to two new blocks, in either order. */
static void fork_to(Graph *s, IrRef cond, uint32_t *x, uint32_t *y)
{
    *x = ir_block_new(s->g.b.r);
    *y = ir_block_new(s->g.b.r);
    if (gen_below(&s->g, 2))
        ir_brif(&s->g.b, cond, *x, *y);
    else
        ir_brif(&s->g.b, cond, *y, *x);
}

static void items(Graph *s, unsigned n);

/* Values of what is made inside are not used behind it: one instruction needs room for them. */
static void nested(Graph *s, unsigned n)
{
    Scope scope = open_scope(s);

    if (gen_room(&s->g))
        items(s, n);
    close_scope(s, scope);
}

static void side_exit(Graph *s)
{
    uint32_t out, on;

    mark(s);
    fork_to(s, gen_condition(&s->g), &out, &on);
    s->g.b.r->block[out].cold = gen_below(&s->g, 2);
    s->g.b.block = out;
    nested(s, gen_below(&s->g, 2));
    mark(s);
    gen_leave(&s->g);
    s->g.b.block = on;
}

/* if, with or without else; one side may leave the loop, or go on with its next round. */
static void alternative(Graph *s)
{
    uint32_t yes, no, join = ir_block_new(s->g.b.r);
    unsigned jump = s->header ? gen_below(&s->g, 4) : 0;

    mark(s);
    IrRef cond = gen_condition(&s->g);
    if (jump == 0 && gen_below(&s->g, 3) == 0) {
        no = join;
        yes = ir_block_new(s->g.b.r);
        ir_brif(&s->g.b, cond, yes, no);
    } else {
        fork_to(s, cond, &yes, &no);
    }
    s->g.b.block = yes;
    nested(s, 1 + gen_below(&s->g, 3));
    ir_br(&s->g.b, jump == 1 ? s->after : join, 0, NULL);
    if (no != join) {
        s->g.b.block = no;
        nested(s, gen_below(&s->g, 3));
        ir_br(&s->g.b, join, 0, NULL);
    }
    s->g.b.block = join;
}

/* Count down, set the flags as the guest does, and say whether there is another round. */
static IrRef count_down(Graph *s)
{
    IrBuilder *b = &s->g.b;
    unsigned slot = COUNTER(s->depth - 1);

    mark(s);
    IrRef one = ir_const(b, IR_I64, 1), zero = ir_const(b, IR_I64, 0);
    IrRef a = ir_get(b, slot), r = ir_emit(b, (IrInsn){.op = IR_SUB, .type = IR_I64, .a = a, .b = one});
    ir_put(b, slot, r);
    IrRef z = ir_icmp(b, IR_EQ, r, zero);
    if (gen_below(&s->g, 2)) {
        ir_put(b, TEST_N, ir_icmp(b, IR_LT | IR_PSIGNED, r, zero));
        ir_put(b, TEST_Z, z);
        ir_put(b, TEST_C, ir_icmp(b, IR_EQ | IR_GT, a, one));
        ir_put(b, TEST_V, ir_emit(b, (IrInsn){.op = IR_SUB_V, .type = IR_I8, .lane = IR_I64, .a = a, .b = one}));
        mark(s);
        z = ir_get(b, TEST_Z);
    }
    return z;
}

/* Back to the header, through a poll that may leave. */
static void go_back(Graph *s, uint32_t header)
{
    IrBuilder *b = &s->g.b;

    if (gen_below(&s->g, 2)) {
        ir_br(b, header, 0, NULL);
        return;
    }
    uint32_t out = ir_block_new(b->r);
    ir_brif(b, ir_emit(b, (IrInsn){.op = IR_POLL, .type = IR_I8}), out, header);
    b->r->block[out].cold = true;
    b->block = out;
    ir_exit(b, s->g.pc, IR_EXIT_POLL);
}

static void loop(Graph *s)
{
    uint32_t outer_header = s->header, outer_after = s->after;
    IrBuilder *b = &s->g.b;
    Scope scope = open_scope(s);

    mark(s);
    ir_put(b, COUNTER(s->depth), ir_const(b, IR_I64, 1 + gen_below(&s->g, MAX_ROUNDS)));
    s->depth++;
    s->header = ir_block_new(b->r);
    s->after = ir_block_new(b->r);
    ir_br(b, s->header, 0, NULL);
    b->block = s->header;
    uint32_t header = s->header, after = s->after;
    nested(s, 1 + gen_below(&s->g, 5));
    if (gen_below(&s->g, 4) == 0) { /* a second way back */
        uint32_t back = ir_block_new(b->r), on = ir_block_new(b->r), done = ir_block_new(b->r);
        mark(s);
        ir_brif(b, gen_condition(&s->g), back, on);
        b->block = back;
        IrRef last = count_down(s);
        ir_brif(b, last, after, done);
        b->block = done;
        go_back(s, header);
        b->block = on;
        nested(s, 1 + gen_below(&s->g, 2));
    }
    uint32_t back = ir_block_new(b->r);
    IrRef last = count_down(s);
    if (gen_below(&s->g, 3)) {
        ir_brif(b, last, after, back);
        b->block = back;
        go_back(s, header);
    } else {
        ir_brif(b, last, after, header);
        b->block = back; /* left over: cannot be reached */
        ir_exit(b, 0x7000, 0);
    }
    s->depth--;
    s->header = outer_header;
    s->after = outer_after;
    b->block = after;
    close_scope(s, scope);
}

static void items(Graph *s, unsigned n)
{
    for (; n && s->left; n--) {
        unsigned what = gen_below(&s->g, 12);
        s->left--;
        if (what < 2 && s->depth < MAX_DEPTH)
            loop(s);
        else if (what < 5)
            alternative(s);
        else if (what == 5)
            side_exit(s);
        else
            gen_insn(&s->g);
    }
}

IrRegion *random_graph(Arena *a, uint64_t seed, bool raw)
{
    Graph s = {.g = {.raw = raw, .nput = 5, .frame = FRAME, .seed = seed * 0x9e3779b97f4a7c15ull + 1, .pc = 0x1000}};
    IrBuilder *b = &s.g.b;

    ir_builder_init(b, ir_region_new(a, &test_slots, test_helpers, TEST_NHELPERS, s.g.pc));
    b->r->graph = true;
    s.g.local = gen_below(&s.g, 2);
    s.left = 8 + gen_below(&s.g, 50);
    mark(&s);
    IrRef in = ir_op2(b, IR_AND, IR_I64, ir_get(b, FRAME), ir_const(b, IR_I64, 0x7ff8));
    ir_put(b, FRAME, ir_op2(b, IR_ADD, IR_I64, in, ir_const(b, IR_I64, TEST_MEM_BASE + 64)));
    items(&s, s.left);
    mark(&s);
    gen_leave(&s.g);
    return b->r;
}
