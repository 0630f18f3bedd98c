/*
 * Control flow for lifters: whether a region goes on past an instruction or ends, decided for all guests here.
 *
 * A tier-1 region is a trace: it goes on along fall-through, forward direct jumps and the fall-through of forward
 * conditional branches, while the engine's budget lasts. It ends at anything backward (a likely loop: the head should be
 * the start of a region, shared by all who jump there), at calls, indirect jumps, helpers and stops. Since it only goes
 * forward, no instruction is in it twice.
 *
 * For a tier-2 region, a graph, branches only note what they do: engine/region.c knows the blocks.
 */
#include "guest/guest.h"

static void end(Lift *l)
{
    l->ended = true;
}

/* Graph regions: the engine makes the terminator. */
static void note(Lift *l, LiftKind kind, IrRef val, uint64_t target)
{
    l->flow->kind = kind;
    l->flow->val = val;
    l->flow->target = target;
    end(l);
}

static void note_helper(Lift *l, bool left)
{
    if (!l->flow)
        return;
    l->flow->helper = true;
    if (left)
        l->flow->kind = LIFT_LEFT;
}

/* Leave to `target`; backward exits poll, so that no loop is without a poll. */
static void exit_to(Lift *l, uint64_t target)
{
    ir_exit(&l->b, target, target <= l->pc ? IR_EXIT_POLL : 0);
}

void lift_jump(Lift *l, uint64_t target)
{
    if (l->flow) {
        note(l, LIFT_JUMP, 0, target);
        return;
    }
    if (target > l->pc && l->budget) {
        l->cont = target;
        return;
    }
    exit_to(l, target);
    end(l);
}

/* A fresh block that leaves to `target`. */
static uint32_t exit_block(Lift *l, uint64_t target, bool cold)
{
    uint32_t here = l->b.block;
    uint32_t block = ir_block_new(l->b.r);
    l->b.block = block;
    exit_to(l, target);
    l->b.block = here;
    l->b.r->block[block].cold = cold;
    return block;
}

void lift_branch(Lift *l, IrRef cond, uint64_t target)
{
    uint64_t known;
    if (ir_is_const(l->b.r, cond, &known)) {
        lift_jump(l, known ? target : l->next);
        return;
    }
    if (target == l->next) {
        lift_jump(l, target);
        return;
    }
    if (l->flow) {
        note(l, LIFT_BRANCH, cond, target);
        return;
    }
    bool go_on = l->inside || (target > l->pc && l->budget);
    uint32_t yes = exit_block(l, target, go_on);
    uint32_t no = go_on ? ir_block_new(l->b.r) : exit_block(l, l->next, false);
    ir_brif(&l->b, cond, yes, no);
    if (go_on) {
        l->b.block = no;
        l->cont = l->next;
    } else {
        end(l);
    }
}

void lift_call(Lift *l, uint64_t target, uint64_t ret)
{
    if (l->flow) {
        note(l, LIFT_CALL, 0, target);
        return;
    }
    ir_exit_call(&l->b, target, ret);
    end(l);
}

void lift_jump_ind(Lift *l, IrRef target, IrHint hint, uint64_t ret)
{
    if (l->flow) {
        l->flow->hint = hint;
        note(l, LIFT_IND, target, 0);
        return;
    }
    ir_exit_ind(&l->b, target, hint, ret);
    end(l);
}

void lift_helper(Lift *l, unsigned helper, unsigned nargs, const IrRef *args)
{
    ir_exit_help(&l->b, helper, l->next, nargs, args);
    note_helper(l, true);
    end(l);
}

void lift_stop(Lift *l, IrStop why)
{
    ir_exit_stop(&l->b, l->pc, why);
    if (l->flow)
        l->flow->kind = LIFT_LEFT;
    end(l);
}

void lift_guard(Lift *l, IrRef cond, unsigned helper, unsigned nargs, const IrRef *args)
{
    uint32_t on = ir_block_new(l->b.r), failed = ir_block_new(l->b.r);
    ir_brif(&l->b, cond, on, failed);
    l->b.block = failed;
    ir_exit_help(&l->b, helper, l->pc, nargs, args);
    l->b.r->block[failed].cold = true;
    note_helper(l, false);
    l->b.block = on;
}

void lift_instead(Lift *l, unsigned helper, unsigned nargs, const IrRef *args)
{
    ir_exit_help(&l->b, helper, l->pc, nargs, args);
    note_helper(l, true);
    end(l);
}

void lift_sync(Lift *l)
{
    ir_exit(&l->b, l->next, 0);
    if (l->flow)
        l->flow->kind = LIFT_LEFT;
    end(l);
}

IrRef lift_addr(Lift *l, IrRef va)
{
    if (!(l->careful & LIFT_CAREFUL_TAG))
        return va;
    return ir_op1i(&l->b, IR_SBFX, IR_I64, va, 56 << 8);
}
