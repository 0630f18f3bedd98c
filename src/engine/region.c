/*
 * Forming a graph region for tier 2: from one guest address, guest basic blocks along direct branches both ways, small leaf
 * functions taken in, everything else exits. An indirect branch that goes to one target only (promote.h) leads there behind a comparison.
 * In stages:
 *
 *   explore   lift into a scratch region, to learn where instructions go on; find the addresses where blocks begin (leaders)
 *   connect   blocks ("nodes") and their edges; cut the edges that would make the graph irreducible
 *   lift      once more, node by node, into the region
 *
 * A node is an address in a context. Context 0 is the region's own code. Each call that is taken in makes another, so a
 * function called twice is in the region twice. The callee's return compares the link register with the return address that it
 * must be; code that plays with it leaves by an ordinary return. An exit from within a callee that was taken in makes the call
 * good: it is an exit.call with that return address, for the host's return stack has not seen it yet.
 *
 * Loops. A region whose entry is a loop's header has that loop, those inside it, and what comes after them, but not the loops
 * around it: nothing in front of the header is taken in. (Entered in their middle they would have the wrong headers.) The way
 * back to an outer header is an exit, which is counted: the outer loop gets a region of its own, with this one inside.
 *
 * Each edge back to a loop's header polls, and leaves to the header's address when it must.
 *
 * Branch tables. The targets of an indirect branch that goes by a table (Guest.branch_targets), of them those that have run, are found by
 * halving: nodes without instructions of their own, which compare.
 *
 * Flags. A fault in a loop must show the flags as they are at its header: those of the region's entry at first, later those of the
 * block that led back. To have one definition of them, a region whose entry is a loop's header enters the loop at the last
 * instruction that sets flags in the block that leads back: the way from the header to there is in the region once more, as
 * context PEEL, before the loop:
 *
 *   0x1000 ldr x2, [x0], #8          PEEL  0x1000 ldr
 *   0x1004 subs x1, x1, #1           loop: 0x1004 subs      the flags at 0x1000 below are always those of this subs
 *   0x1008 b.ne 0x1000                     0x1008 b.ne  ->  0x1000 ldr  ->  loop
 */
#include "engine/region.h"

#include <stdlib.h>
#include <string.h>

#define GRAPH_INSNS 320       /* guest instructions in a region */
#define SPLIT_MOST 16         /* targets of a branch by a table */
#define LEAF_INSNS 48         /* in a function that is taken in */
#define WINDOW (16u << 10)    /* bytes to either side of the entry */
#define LEAF_WINDOW (1u << 10)
#define DECODE_MAX 1024       /* instructions looked at; half of the map */
#define PEEL_INSNS 48         /* on the way from the header to the flags */

/* --- explore ------------------------------------------------------------------------------------------------------- */

static uint16_t *map_at(Former *g, uint64_t pc)
{
    uint32_t mask = (1u << DECODE_BITS) - 1;
    uint32_t h = (uint32_t)(pc >> g->l.guest->pc_shift ^ pc >> 14) & mask;

    while (g->map[h] && g->insn[g->map[h] - 1].pc != pc)
        h = (h + 1) & mask;
    return &g->map[h];
}

/* An instruction that was looked at before. */
static Insn *known(Former *g, uint64_t pc)
{
    uint16_t at = *map_at(g, pc);

    return at ? &g->insn[at - 1] : NULL;
}

/* Whether one of the scratch region's instructions from `first` on is a put of a flag. */
static bool sets_flags(const Former *g, IrRef first)
{
    const IrRegion *r = g->look.b.r;

    for (IrRef k = first; k < r->ninsn; k++) {
        const IrInsn *i = ir_insn(r, k);
        if (i->op == IR_PUT && i->imm < 64 && (g->l.guest->flags >> i->imm & 1))
            return true;
    }
    return false;
}

static int by_address(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* Where the indirect branch goes by a table. */
static void look_at_table(Former *g, Insn *i)
{
    uint64_t to[SPLIT_MOST * 4];
    unsigned n = fetch_targets(g->f, i->next, i->pc, to, SPLIT_MOST * 4);

    i->targets = ARENA_ARRAY(g->l.b.r->arena, uint64_t, SPLIT_MOST * 4);
    for (unsigned k = 0; k < n && n < SPLIT_MOST * 4; k++)
        i->targets[i->ntargets++] = to[k];
    qsort(i->targets, i->ntargets, sizeof to[0], by_address);
}

/* NULL: it cannot be part of the region. */
static Insn *look_at(Former *g, uint64_t pc)
{
    Insn *i = known(g, pc);

    if (i)
        return i;
    if (g->ninsn == DECODE_MAX)
        return NULL;
    IrRef first = g->look.b.r->ninsn;
    g->look.b.block = ir_block_new(g->look.b.r);
    if (!fetch_lift_at(g->f, &g->look, pc, &g->flow))
        return NULL;
    /* --check: a helper's instruction is a region of its own (lockstep.c). */
    if (g->check && g->flow.helper)
        return NULL;
    i = &g->insn[g->ninsn++];
    *i = (Insn){.pc = pc, .next = g->look.next, .target = g->flow.target, .kind = g->flow.kind, .hint = g->flow.hint};
    i->flags = sets_flags(g, first);
    if (i->kind == LIFT_IND && i->hint == IR_HINT_JUMP && !g->flow.lands)
        look_at_table(g, i);
    if (i->kind == LIFT_IND && i->hint != IR_HINT_RET && i->hint != IR_HINT_STRAY && g->evidence && !g->flow.lands && !i->ntargets)
        i->known = promote_known(g->f->cpu->e, pc, &i->target);
    *map_at(g, pc) = (uint16_t)g->ninsn;
    return i;
}

static bool in_window(uint64_t pc, uint64_t center, uint64_t bytes)
{
    return pc - center + bytes < 2 * bytes;
}

/* Have a node at pc. */
static void want(Former *g, uint32_t ctx, uint64_t pc)
{
    if (ctx < CTX_CALLS && (!in_window(pc, g->entry, WINDOW) || (g->loop && pc < g->entry)))
        return;
    if (ctx == CTX_PEEL && pc == g->stop)
        return;
    Insn *i = look_at(g, pc);
    if (!i || (i->leads >> ctx & 1) || g->nnode == GRAPH_NODES)
        return;
    i->leads |= 1u << ctx;
    g->node[g->nnode++] = (Node){.ctx = ctx, .pc = pc, };
}

/*
 * Whether a side of a branch has run, as far as tier 1 tells. It translates a target when it is first jumped to, and goes on
 * behind a forward branch that it does not know.
 */
static bool has_run(Former *g, uint32_t ctx, uint64_t branch, uint64_t target, uint64_t side)
{
    if (!g->evidence || ctx >= CTX_CALLS || (side != target && target > branch))
        return true;
    return table_find(&g->f->cpu->e->table, side, g->l.mode) || persist_code(g->f->cpu, side);
}

/* Whether the function at pc is small and calls nothing. */
static bool is_leaf(Former *g, uint64_t pc)
{
    uint64_t todo[LEAF_INSNS];
    uint64_t seen[LEAF_INSNS];
    unsigned ntodo = 0, n = 0;
    bool returns = false;

    todo[ntodo++] = pc;
    while (ntodo) {
        uint64_t at = todo[--ntodo];
        for (;;) {
            unsigned k = 0;
            while (k < n && seen[k] != at)
                k++;
            if (k < n)
                break;
            Insn *i = in_window(at, pc, LEAF_WINDOW) && n < LEAF_INSNS ? look_at(g, at) : NULL;
            if (!i || i->kind == LIFT_CALL || (i->kind == LIFT_IND && i->hint != IR_HINT_RET))
                return false;
            seen[n++] = at;
            if (i->kind == LIFT_IND)
                returns = true;
            if (i->kind == LIFT_IND || i->kind == LIFT_LEFT)
                break;
            if (i->kind == LIFT_BRANCH) {
                if (ntodo == LEAF_INSNS)
                    return false;
                todo[ntodo++] = i->target;
            }
            at = i->kind == LIFT_JUMP ? i->target : i->next;
        }
    }
    return returns;
}

static uint32_t node_at(const Former *g, uint32_t ctx, uint64_t pc)
{
    for (uint32_t n = 0; n < g->nnode; n++) {
        if (g->node[n].pc == pc && g->node[n].ctx == ctx)
            return n;
    }
    return NO_NODE;
}

/* The context that a call makes; 0: it is not taken in. */
uint32_t region_context(const Former *g, uint32_t ctx, uint64_t call)
{
    for (uint32_t c = CTX_CALLS; ctx == CTX_REGION && c < g->nctx; c++) {
        if (g->ctx[c].call == call)
            return c;
    }
    return 0;
}

static void take_call(Former *g, uint32_t ctx, const Insn *call)
{
    uint64_t target = call->target, ret = call->next, pc = call->pc;

    if (ctx != CTX_REGION || g->nctx == GRAPH_CONTEXTS || g->taken + LEAF_INSNS > GRAPH_INSNS || g->nnode + 8 > GRAPH_NODES ||
        !is_leaf(g, target))
        return;
    g->ctx[g->nctx] = (Context){pc, ret};
    want(g, g->nctx++, target);
    want(g, ctx, ret);
}

bool region_meets(const Former *g, uint64_t pc)
{
    const Met *m = g->f->t ? g->f->t->met : NULL;

    for (unsigned i = 0; m && i < m->n; i++)
        if (m->pc[i] == pc)
            return true;
    return false;
}

static Met *met_of(Former *g)
{
    return g->f->t ? translation_met(g->f->t) : NULL;
}

/* The targets of a branch by a table that have run, unless they are many. */
static void take_table(Former *g, uint32_t ctx, Insn *i)
{
    unsigned n = 0;

    for (unsigned k = 0; k < i->ntargets; k++)
        if (has_run(g, ctx, i->pc, i->targets[k], i->targets[k]))
            i->targets[n++] = i->targets[k];
    i->ntargets = n <= SPLIT_MOST ? n : 0;
    for (unsigned k = 0; k < i->ntargets; k++)
        want(g, ctx, i->targets[k]);
}

/* An indirect branch. */
static void take_known(Former *g, uint32_t ctx, const Insn *i)
{
    Translation *t = g->f->t;
    bool met = region_meets(g, i->pc);

    if (!i->known || !t || (!met && t->met && t->met->n == TRANSLATION_MET))
        return;
    if (i->hint == IR_HINT_CALL)
        take_call(g, ctx, i);
    else
        want(g, ctx, i->target); /* else the region is left to it, behind the same comparison */
    bool call = i->hint == IR_HINT_CALL;
    bool taken = call ? region_context(g, ctx, i->pc) != 0 : node_at(g, ctx, i->target) != NO_NODE;
    if (met || (!taken && (call || !persist_links(g->f->cpu->e, i->pc, i->target))))
        return;
    Met *m = met_of(g);
    m->pc[m->n++] = i->pc;
}

/* Follow one node's instructions, noting nodes to follow later. */
static void explore(Former *g, uint32_t ctx, uint64_t pc)
{
    uint32_t limit = GRAPH_INSNS + (ctx == CTX_PEEL ? PEEL_INSNS : 0);

    for (;;) {
        Insn *i = look_at(g, pc);
        if (!i || (i->in >> ctx & 1) || g->taken == limit || (ctx == CTX_PEEL && pc == g->stop))
            return;
        i->in |= 1u << ctx;
        g->taken++;
        Insn at = *i;
        switch (at.kind) {
        case LIFT_NEXT:
            pc = at.next;
            continue;
        case LIFT_JUMP:
            want(g, ctx, at.target);
            return;
        case LIFT_BRANCH:
            if (has_run(g, ctx, pc, at.target, at.next))
                want(g, ctx, at.next);
            if (has_run(g, ctx, pc, at.target, at.target))
                want(g, ctx, at.target);
            return;
        case LIFT_CALL:
            take_call(g, ctx, &at);
            return;
        case LIFT_IND:
            if (i->ntargets)
                take_table(g, ctx, i);
            else
                take_known(g, ctx, &at);
            return;
        default:
            return;
        }
    }
}

/* --- connect ------------------------------------------------------------------------------------------------------- */

/* A node that may be gone on at: its first instruction is in the region. */
static uint32_t live_node(Former *g, uint32_t ctx, uint64_t pc)
{
    if (ctx == CTX_PEEL && pc == g->stop)
        ctx = CTX_REGION;
    const Insn *i = known(g, pc);

    return i && (i->in & i->leads) >> ctx & 1 ? node_at(g, ctx, pc) : NO_NODE;
}

/* Whether the node at `first` goes on with the instruction at pc. */
const Insn *region_goes_on(Former *g, uint32_t ctx, uint64_t first, uint64_t pc)
{
    const Insn *i = known(g, pc);

    if (!i || !(i->in >> ctx & 1) || (pc != first && (i->leads >> ctx & 1)))
        return NULL;
    return i;
}

static void edge_to(Former *g, Node *n, unsigned k, uint32_t ctx, uint64_t pc)
{
    n->to[k] = pc;
    n->succ[k] = live_node(g, ctx, pc);
}

/* Node n compares the target of the branch `by` with n ascending addresses, nodes of which are in the region. */
static void split(Former *g, uint32_t n, const uint64_t *to, unsigned nto)
{
    Node *nd = &g->node[n];

    if (nto == 1) {
        nd->than = 0;
        edge_to(g, nd, 0, nd->ctx, to[0]);
        return;
    }
    nd->than = to[nto / 2];
    for (unsigned k = 0; k < 2; k++) {
        nd->succ[k] = g->nnode++;
        g->node[nd->succ[k]] = (Node){.ctx = nd->ctx, .pc = NO_PC, .succ = {NO_NODE, NO_NODE}, .by = nd->by, .root = nd->root};
    }
    split(g, nd->succ[0], to, nto / 2);
    split(g, nd->succ[1], to + nto / 2, nto - nto / 2);
}

/* More targets that come to run are a reason to make the region anew. */
static void note_table(Former *g, uint64_t pc)
{
    Met *m = met_of(g);

    for (unsigned k = 0; m && k < m->ntables; k++)
        if (m->table[k] == pc)
            return;
    if (m && m->ntables < TRANSLATION_MET)
        m->table[m->ntables++] = pc;
}

static void split_table(Former *g, uint32_t n, const Insn *i)
{
    uint64_t to[SPLIT_MOST];
    unsigned nto = 0;

    for (unsigned k = 0; k < i->ntargets; k++)
        if (live_node(g, g->node[n].ctx, i->targets[k]) != NO_NODE)
            to[nto++] = i->targets[k];
    if (nto == 0 || g->nnode + 2 * nto > GRAPH_NODES)
        return;
    g->node[n].by = i;
    g->node[n].root = n;
    split(g, n, to, nto);
    note_table(g, i->pc);
}

static void connect(Former *g, Node *n)
{
    uint64_t pc = n->pc;
    const Insn *i;

    n->succ[0] = n->succ[1] = NO_NODE;
    n->by = NULL;
    while ((i = region_goes_on(g, n->ctx, n->pc, pc)) != NULL && i->kind == LIFT_NEXT)
        pc = i->next;
    if (!i) {
        edge_to(g, n, 0, n->ctx, pc);
    } else if (i->kind == LIFT_JUMP) {
        edge_to(g, n, 0, n->ctx, i->target);
    } else if (i->kind == LIFT_BRANCH) {
        edge_to(g, n, 0, n->ctx, i->target);
        edge_to(g, n, 1, n->ctx, i->next);
    } else if (i->kind == LIFT_CALL && region_context(g, n->ctx, pc)) {
        edge_to(g, n, 0, region_context(g, n->ctx, pc), i->target);
    } else if (i->kind == LIFT_IND && i->hint == IR_HINT_RET && n->ctx >= CTX_CALLS) {
        edge_to(g, n, 0, CTX_REGION, g->ctx[n->ctx].ret);
    } else if (i->kind == LIFT_IND && i->hint == IR_HINT_CALL && region_context(g, n->ctx, pc)) {
        edge_to(g, n, 0, region_context(g, n->ctx, pc), i->target);
    } else if (i->kind == LIFT_IND && i->hint == IR_HINT_JUMP && region_meets(g, pc)) {
        edge_to(g, n, 0, n->ctx, i->target);
    } else if (i->kind == LIFT_IND && i->ntargets) {
        split_table(g, (uint32_t)(n - g->node), i);
    }
}

/* The terminator of a node's block in the shape: only its edges count. */
static void shape_edges(Former *g, uint32_t n)
{
    const Node *nd = &g->node[n];
    IrInsn *i = ir_insn(g->shape, g->shape->block[n + 1].last);
    uint32_t a = nd->succ[0], b = nd->succ[1];

    if (a == NO_NODE && b == NO_NODE)
        i->op = IR_EXIT;
    else if (a == NO_NODE || b == NO_NODE)
        *i = (IrInsn){.op = IR_BR, .imm = (a == NO_NODE ? b : a) + 1, .prev = i->prev};
    else
        *i = (IrInsn){.op = IR_BRIF, .a = i->prev, .imm = (a + 1) | (uint64_t)(b + 1) << 32, .prev = i->prev};
}

static void shape_new(Former *g)
{
    IrBuilder b;

    g->shape = ir_region_new(g->l.b.r->arena, g->l.b.r->slots, NULL, 0, g->entry);
    ir_builder_init(&b, g->shape);
    for (uint32_t n = 0; n < g->nnode; n++) {
        b.block = ir_block_new(g->shape);
        ir_const(&b, IR_I8, 0);
        ir_exit(&b, g->node[n].pc, 0);
    }
    b.block = 0;
    ir_br(&b, g->first + 1, 0, NULL);
    for (uint32_t n = 0; n < g->nnode; n++)
        shape_edges(g, n);
}

bool region_dominates(const Former *g, uint32_t node, uint32_t other)
{
    return g->cfg->at[other + 1] != IR_NO_BLOCK && ir_cfg_dominates(g->cfg, node + 1, other + 1);
}

/* An edge that goes back, but not to a block that dominates its source, becomes an exit. */
static void cut_node(Former *g, uint32_t n)
{
    const uint32_t *at = g->cfg->at + 1;

    for (unsigned k = 0; k < 2; k++) {
        uint32_t to = g->node[n].succ[k];
        if (to != NO_NODE && at[n] != IR_NO_BLOCK && at[to] <= at[n] && !region_dominates(g, to, n))
            g->node[n].succ[k] = NO_NODE;
    }
    shape_edges(g, n);
}

static void make_graph(Former *g)
{
    g->ncode = g->nnode;
    for (uint32_t n = 0; n < g->ncode; n++)
        connect(g, &g->node[n]);
    shape_new(g);
    for (g->cfg = ir_cfg(g->shape); !g->cfg->reducible; g->cfg = ir_cfg(g->shape)) {
        for (uint32_t n = 0; n < g->nnode; n++)
            cut_node(g, n);
    }
}

/* --- where to enter -------------------------------------------------------------------------------------------------- */

static void explore_from(Former *g, uint32_t first)
{
    for (uint32_t n = first; n < g->nnode; n++)
        explore(g, g->node[n].ctx, g->node[n].pc);
}

static void explore_region(Former *g)
{
    for (uint32_t k = 0; k < g->ninsn; k++)
        g->insn[k].in = g->insn[k].leads = 0;
    g->nctx = CTX_CALLS;
    g->nnode = g->taken = 0;
    if (g->f->t && g->f->t->met)
        g->f->t->met->n = g->f->t->met->ntables = 0;
    want(g, CTX_REGION, g->entry);
    explore_from(g, 0);
    if (g->nnode)
        make_graph(g);
}

/* Whether the entry is a loop's header. */
static bool is_loop(const Former *g)
{
    for (uint32_t n = 0; n < g->nnode; n++) {
        if ((g->node[n].succ[0] == g->first || g->node[n].succ[1] == g->first) && region_dominates(g, g->first, n))
            return true;
    }
    return false;
}

/* The address of the last instruction that sets flags in a node that leads back to the entry; 0: none. */
static uint64_t flags_of_latch(Former *g)
{
    for (uint32_t n = g->nnode; n-- > 0;) {
        const Node *nd = &g->node[n];
        const Insn *i;
        uint64_t flags = 0;
        if (nd->ctx != CTX_REGION || (nd->succ[0] != g->first && nd->succ[1] != g->first) || !region_dominates(g, g->first, n))
            continue;
        for (uint64_t pc = nd->pc; (i = region_goes_on(g, nd->ctx, nd->pc, pc)) != NULL; pc = i->next) {
            if (i->flags)
                flags = pc;
            if (i->kind != LIFT_NEXT)
                break;
        }
        if (flags)
            return flags;
    }
    return 0;
}

/* Whether the ways from the entry to `stop` are short and simple. */
static bool can_peel(Former *g, uint64_t stop)
{
    uint64_t todo[PEEL_INSNS], seen[PEEL_INSNS];
    unsigned ntodo = 0, n = 0;

    todo[ntodo++] = g->entry;
    while (ntodo) {
        uint64_t at = todo[--ntodo];
        const Insn *i;
        for (; at != stop && (i = known(g, at)) && i->in & 1; at = i->kind == LIFT_JUMP ? i->target : i->next) {
            unsigned k = 0;
            while (k < n && seen[k] != at)
                k++;
            if (k < n || i->kind == LIFT_LEFT)
                break;
            bool back = (i->kind == LIFT_BRANCH || i->kind == LIFT_JUMP) && i->target <= at && i->target != g->entry;
            if (n == PEEL_INSNS || ntodo == PEEL_INSNS || i->kind == LIFT_CALL || i->kind == LIFT_IND || back)
                return false;
            seen[n++] = at;
            if (i->kind == LIFT_BRANCH)
                todo[ntodo++] = i->target;
        }
    }
    return g->taken + n < GRAPH_INSNS + PEEL_INSNS;
}

/* See the head of this file. Returns whether there are new nodes. */
static bool enter_at_flags(Former *g)
{
    uint64_t stop = flags_of_latch(g);
    uint32_t old;

    if (!stop || stop == g->entry || g->nnode + 8 > GRAPH_NODES || !can_peel(g, stop))
        return false;
    old = g->nnode = g->ncode;
    want(g, CTX_REGION, stop);
    g->stop = stop;
    g->first = g->nnode;
    want(g, CTX_PEEL, g->entry);
    explore_from(g, old);
    return true;
}

IrRegion *region_form(Fetch *f, uint64_t pc, bool evidence)
{
    Vcpu *cpu = f->cpu;

    if (pc & ((1u << cpu->e->cfg.guest->pc_shift) - 1))
        return NULL;
    if (f->t)
        f->t->forms |= (uint8_t)careful_forms(cpu->e, pc);
    arena_reset(&cpu->arena);
    Former *g = arena_zalloc(&cpu->arena, sizeof *g);
    g->f = f;
    g->evidence = evidence;
    g->check = cpu->e->cfg.check;
    g->entry = pc;
    g->l = fetch_lift_new(cpu, pc);
    g->l.b.r->graph = true;
    g->look = fetch_lift_new(cpu, pc);
    g->insn = ARENA_ARRAY(&cpu->arena, Insn, DECODE_MAX);
    g->loop = true;
    explore_region(g);
    if (!is_loop(g)) {
        if (evidence)
            return NULL;
        g->loop = false;
        explore_region(g);
    }
    if (g->nnode == 0)
        return NULL;
    if (enter_at_flags(g))
        make_graph(g);
    region_lift(g);
    if (g->changed)
        return NULL;
    return g->l.b.r;
}
