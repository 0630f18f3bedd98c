/* The last stage of forming a graph region (region.c): lift its nodes, one by one, and join them. */
#include "engine/region.h"

/* A block that leaves to guest address pc. `back`: it must poll, as all that go back in guest code, and those out of callees,
 * whose call was not seen by anybody: no loop of the guest's is without a poll, however it runs through regions. */
static uint32_t exit_block(Former *g, uint32_t ctx, uint64_t pc, bool back)
{
    IrBuilder b = {.r = g->l.b.r, .block = ir_block_new(g->l.b.r)};
    uint8_t aux = back || ctx >= CTX_CALLS ? IR_EXIT_POLL : 0;

    b.r->block[b.block].cold = true;
    if (ctx < CTX_CALLS)
        ir_exit(&b, pc, aux);
    else
        ir_emit(&b, (IrInsn){.op = IR_EXIT_CALL, .aux = aux, .a = ir_const(&b, IR_I64, g->ctx[ctx].ret), .imm = pc});
    return b.block;
}

/* A block that polls on its way back to a loop's header. */
static uint32_t poll_block(Former *g, const Node *header)
{
    IrBuilder b = {.r = g->l.b.r, .block = ir_block_new(g->l.b.r)};
    IrRef asked = ir_emit(&b, (IrInsn){.op = IR_POLL, .type = IR_I8});

    ir_brif(&b, asked, exit_block(g, header->ctx, header->pc, true), header->block);
    return b.block;
}

/* Where edge k of node n leads. `from`: the branch's address. */
static uint32_t edge_block(Former *g, uint32_t n, unsigned k, uint32_t ctx, uint64_t from)
{
    const Node *nd = &g->node[n];
    uint32_t to = nd->succ[k];

    if (to != NO_NODE && g->node[to].pc == NO_PC)
        return g->node[to].block;
    if (to == NO_NODE)
        return exit_block(g, ctx, nd->to[k], nd->to[k] <= from);
    bool back = nd->ctx == g->node[to].ctx && g->node[to].pc <= from;
    return back || region_dominates(g, to, n) ? poll_block(g, &g->node[to]) : g->node[to].block;
}

static void end_call(Former *g, uint32_t n, const Insn *i)
{
    uint32_t inner = region_context(g, g->node[n].ctx, i->pc);

    if (inner && g->node[n].succ[0] != NO_NODE)
        ir_br(&g->l.b, edge_block(g, n, 0, inner, i->pc), 0, NULL);
    else
        ir_exit_call(&g->l.b, i->target, i->next);
}

static void end_ind(Former *g, uint32_t n, const Insn *i, IrRef to)
{
    const Node *nd = &g->node[n];
    IrBuilder *b = &g->l.b;
    uint32_t ctx = i->hint == IR_HINT_JUMP ? nd->ctx : i->hint == IR_HINT_RET ? CTX_REGION : region_context(g, nd->ctx, i->pc);

    if (nd->succ[0] != NO_NODE || (i->hint == IR_HINT_JUMP && region_meets(g, i->pc))) {
        IrRef same = ir_icmp(b, IR_EQ, to, ir_const(b, IR_I64, nd->to[0]));
        uint32_t meets = edge_block(g, n, 0, ctx, i->pc), other = ir_block_new(b->r);
        b->r->block[meets].cold = false;
        ir_brif(b, same, meets, other);
        b->block = other;
        b->r->block[other].cold = true;
    }
    ir_exit_ind(b, to, i->hint, i->next);
}

/* Node n, which takes part in a branch by a table: compare, and go on or leave. */
static void end_split(Former *g, uint32_t n)
{
    const Node *nd = &g->node[n];
    IrBuilder *b = &g->l.b;
    IrRef to = g->node[nd->root].val;

    if (!nd->than) {
        end_ind(g, n, nd->by, to);
        return;
    }
    IrRef less = ir_icmp(b, IR_LT, to, ir_const(b, IR_I64, nd->than));
    ir_brif(b, less, g->node[nd->succ[0]].block, g->node[nd->succ[1]].block);
}

static void end_node(Former *g, uint32_t n, const Insn *i)
{
    IrBuilder *b = &g->l.b;
    uint32_t ctx = g->node[n].ctx;

    switch (i->kind) {
    case LIFT_JUMP:
        ir_br(b, edge_block(g, n, 0, ctx, i->pc), 0, NULL);
        break;
    case LIFT_BRANCH: {
        uint32_t yes = edge_block(g, n, 0, ctx, i->pc);
        ir_brif(b, g->flow.val, yes, edge_block(g, n, 1, ctx, i->pc));
        break;
    }
    case LIFT_CALL:
        end_call(g, n, i);
        break;
    case LIFT_IND:
        g->node[n].val = g->flow.val;
        if (g->node[n].by)
            end_split(g, n);
        else
            end_ind(g, n, i, g->flow.val);
        break;
    default: /* LIFT_LEFT: done */
        break;
    }
}

static void lift_node(Former *g, uint32_t n)
{
    const Node *nd = &g->node[n];
    const Insn *i;

    g->l.b.block = nd->block;
    if (nd->pc == NO_PC) {
        end_split(g, n);
        return;
    }
    for (uint64_t pc = nd->pc; (i = region_goes_on(g, nd->ctx, nd->pc, pc)) != NULL; pc = i->next) {
        if (!fetch_lift_at(g->f, &g->l, pc, &g->flow) || g->flow.kind != i->kind ||
            (!i->known && g->flow.target != i->target) || g->l.next != i->next) {
            g->changed = true;
            return;
        }
        g->l.b.r->guest_insns++;
        if (i->kind != LIFT_NEXT) {
            end_node(g, n, i);
            return;
        }
    }
    ir_br(&g->l.b, edge_block(g, n, 0, nd->ctx, 0), 0, NULL);
}

void region_lift(Former *g)
{
    IrRegion *r = g->l.b.r;

    /* The entry is no loop's header, so that it needs no parameters: its block only leads to the first node's. */
    for (uint32_t n = 0; n < g->nnode; n++)
        g->node[n].block = g->cfg->at[n + 1] == IR_NO_BLOCK ? IR_NO_BLOCK : ir_block_new(r);
    ir_br(&g->l.b, g->node[g->first].block, 0, NULL);
    for (uint32_t k = 1; k < g->cfg->n && !g->changed; k++)
        lift_node(g, g->cfg->rpo[k] - 1);
}
