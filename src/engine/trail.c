/*
 * Trails: for tier 2, the way that execution took from a hot place, over calls and returns, as one region.
 *
 * Code that is hot without being a loop is mostly functions that call each other. What a graph (region.c) can make of
 * one function is short, and each end of a translation costs: guest registers go where they are kept, flags to memory.
 * The way is followed once (trail_step): when the count of a place has come to zero, the thread interprets from
 * there, an instruction at a time, and notes where it comes by. If it is no loop, its region is formed along these
 * addresses:
 *
 *   branch      the side that was not taken is an exit
 *   call        goes on in the function; so deep as TRAIL_DEPTH, but not into a function that the trail is in already
 *   return      compares the link register with the address behind the call, and leaves when the return is to elsewhere
 *   indirect    the same with where it went: calls that mostly go there, and jumps that do so only, or to what is in a linker's table.
 *               When it went elsewhere than mostly, the way is noted another time
 *   way back, other indirect branches, return from where the trail began, helpers     end it
 *
 * Where the region is left within calls, the host's return stack has not seen these: the exit makes them good, the
 * outermost first (IR_OWE). No loop of the guest's is without a poll: all ways back and calls out poll, and so does
 * every exit behind a call or return that the trail went over.
 */
#include "engine/internal.h"

#include "base/check.h"
#include "opt/opt.h"

#include <stdlib.h>

#define TRAIL_DEPTH 6
#define TRAIL_LEAST 6   /* instructions that are worth it */
#define SELF_BYTES 1024 /* of a function in front of a call in it: see is_within */

/* --- the way ------------------------------------------------------------------------------------------------------- */

void trail_begin(Vcpu *cpu)
{
    Trail *t = cpu->trail = calloc(1, sizeof *cpu->trail);

    CHECK(t != NULL);
    t->mode = cpu->h.ir.mode;
    t->pc[t->n++] = cpu->h.ir.pc;
}

static void finish(Vcpu *cpu, bool whole)
{
    Trail *t = cpu->trail;

    cpu->trail = NULL;
    tier_trail(cpu, t, whole);
}

IrStop trail_step(Vcpu *cpu)
{
    Trail *t = cpu->trail;

    /* A signal came, or what makes translations of another kind. */
    if (cpu->h.ir.pc != t->pc[t->n - 1] || cpu->h.ir.mode != t->mode) {
        finish(cpu, false);
        return IR_STOP_NONE;
    }
    t->rests = true;
    IrStop stop = run_interp_once(cpu, 1);
    t->rests = false;
    bool on = stop == IR_STOP_NONE || stop == IR_STOP_CHECK;
    if (on)
        t->pc[t->n++] = cpu->h.ir.pc;
    if (!on || t->n == TRAIL_INSNS || cpu->h.ir.pc == t->pc[0])
        finish(cpu, on);
    return stop;
}

/* --- the region ---------------------------------------------------------------------------------------------------- */

/* A call that the trail is in. */
typedef struct Frame {
    uint64_t fn, ret;
} Frame;

typedef struct Walk {
    Fetch *f;
    const Trail *t;
    Lift l;            /* into the region */
    Lift look;         /* into a scratch region: what an instruction is, before it is taken */
    LiftFlow flow;
    Frame frame[TRAIL_DEPTH];
    unsigned depth;
    bool crossed;      /* it went over a call or a return */
    bool later;        /* another trail is likely to be better */
} Walk;

/* What the region owes the host's return stack where it is left. */
static void owe(Walk *w, IrBuilder *b)
{
    for (unsigned k = 0; k < w->depth; k++)
        ir_emit(b, (IrInsn){.op = IR_OWE, .imm = w->frame[k].ret});
}

static void leave(Walk *w, IrBuilder *b, uint64_t from, uint64_t to)
{
    owe(w, b);
    ir_exit(b, to, to <= from || w->crossed ? IR_EXIT_POLL : 0);
}

static uint32_t leave_block(Walk *w, uint64_t from, uint64_t to, bool cold)
{
    IrBuilder b = w->l.b;

    b.block = ir_block_new(b.r);
    b.r->block[b.block].cold = cold;
    leave(w, &b, from, to);
    return b.block;
}

static void over_branch(Walk *w, uint64_t pc, uint64_t to)
{
    IrBuilder *b = &w->l.b;
    bool taken = to == w->flow.target;
    uint32_t side = leave_block(w, pc, taken ? w->l.next : w->flow.target, true), on = ir_block_new(b->r);

    ir_brif(b, w->flow.val, taken ? on : side, taken ? side : on);
    b->block = on;
}

static void enter(Walk *w, uint64_t fn)
{
    w->frame[w->depth++] = (Frame){fn, w->l.next};
    w->crossed = true;
}

static void leave_ind(Walk *w, IrBuilder *b)
{
    if (w->flow.hint != IR_HINT_RET) /* a return to elsewhere has no use for the stack */
        owe(w, b);
    ir_exit_ind(b, w->flow.val, w->flow.hint, w->l.next);
}

/* An indirect branch that goes to `to` again, or leaves. */
static void over_ind(Walk *w, uint64_t to)
{
    IrBuilder *b = &w->l.b, out = *b;
    IrRef same = ir_icmp(b, IR_EQ, w->flow.val, ir_const(b, IR_I64, to));
    uint32_t on = ir_block_new(b->r), other = ir_block_new(b->r);

    ir_brif(b, same, on, other);
    b->r->block[other].cold = true;
    out.block = other;
    leave_ind(w, &out);
    b->block = on;
    if (w->flow.hint == IR_HINT_CALL)
        enter(w, to);
    else if (w->flow.hint == IR_HINT_RET || w->flow.hint == IR_HINT_STRAY)
        w->depth--;
    w->crossed = true;
}

/* Whether the function at fn has no end before pc, a little behind: then what is at pc is most likely of it. */
static bool is_within(Walk *w, uint64_t fn, uint64_t pc)
{
    const LiftFlow flow = w->flow;
    bool ends = pc - fn > SELF_BYTES; /* and when it is in front */

    for (uint64_t at = fn; !ends && at < pc; at = w->look.next) {
        w->look.b.block = ir_block_new(w->look.b.r);
        ends = !fetch_lift_at(w->f, &w->look, at, &w->flow) || (w->flow.kind == LIFT_IND && w->flow.hint == IR_HINT_RET);
    }
    w->flow = flow;
    return !ends;
}

/* Recursion is left to calls: what was noted is hardly ever how deep it goes the next time. */
static bool may_enter(Walk *w, uint64_t pc, uint64_t fn)
{
    bool in = fn == w->t->pc[0] || w->depth == TRAIL_DEPTH;

    for (unsigned k = 0; k < w->depth && !in; k++)
        in = w->frame[k].fn == fn;
    return !in && !is_within(w, fn, pc);
}

/* A branch to an address in a linker's table: a call of a shared object, or of a function chosen for the processor. */
static bool is_linked(const Walk *w)
{
    const IrRegion *r = w->l.b.r;
    const IrInsn *to = &r->insn[w->flow.val];
    uint64_t at;

    return to->op == IR_LOAD && ir_is_const(r, to->a, &at);
}

/*
 * Where branches are promoted, that decides whether one has a single target, and hears that it is met here. `several`: it may go on
 * in one of several; what comes to the stub instead is no surprise.
 */
static bool meet(Walk *w, uint64_t pc, uint64_t to, bool several)
{
    if (!w->f->cpu->e->promote)
        return true;
    Met *m = translation_met(w->f->t);
    switch (promote_trail(w->f->cpu->e, pc, to)) {
    case LEAD_ALONE:
        if (m->n == TRANSLATION_MET)
            return false;
        m->pc[m->n++] = pc;
        return true;
    case LEAD_ON:
        if (several && m->nled < TRANSLATION_MET) { /* else the stub compares once more */
            m->led[m->nled] = pc;
            m->led_to[m->nled++] = to;
        }
        return several;
    case LEAD_LATER:
        w->later = several;
        return false;
    case LEAD_END:
        return false;
    }
    return false;
}

static bool over_indirect(Walk *w, uint64_t pc, uint64_t to)
{
    if (w->flow.hint == IR_HINT_RET)
        return w->depth && to == w->frame[w->depth - 1].ret;
    if (w->flow.hint == IR_HINT_STRAY && !w->depth) /* what the return stack holds is to go, and that is not done here */
        return false;
    if (w->flow.lands || !persist_links(w->f->cpu->e, w->t->pc[0], to))
        return false;
    bool call = w->flow.hint == IR_HINT_CALL, several = call || is_linked(w);
    return (call ? may_enter(w, pc, to) : several || w->f->cpu->e->promote) && meet(w, pc, to, several);
}

/* Whether the trail goes on at `to` behind the instruction at pc, of which `l` and w->flow tell. */
static bool goes_on(Walk *w, const Lift *l, uint64_t pc, uint64_t to)
{
    switch (w->flow.kind) {
    case LIFT_NEXT:
        return to == l->next;
    case LIFT_JUMP:
        return to == w->flow.target && to > pc;
    case LIFT_BRANCH:
        return to == l->next || (to == w->flow.target && to > pc);
    case LIFT_CALL:
        return to == w->flow.target && may_enter(w, pc, to);
    case LIFT_IND:
        return over_indirect(w, pc, to);
    default:
        return false;
    }
}

static void go_on(Walk *w, uint64_t pc, uint64_t to)
{
    if (w->flow.kind == LIFT_BRANCH) {
        over_branch(w, pc, to);
    } else if (w->flow.kind == LIFT_CALL) {
        enter(w, to);
    } else if (w->flow.kind == LIFT_IND) {
        over_ind(w, to);
    }
}

static void end(Walk *w, uint64_t pc)
{
    IrBuilder *b = &w->l.b;

    switch (w->flow.kind) {
    case LIFT_NEXT:
        leave(w, b, pc, w->l.next);
        break;
    case LIFT_JUMP:
        leave(w, b, pc, w->flow.target);
        break;
    case LIFT_BRANCH: {
        uint32_t yes = leave_block(w, pc, w->flow.target, false);
        ir_brif(b, w->flow.val, yes, leave_block(w, pc, w->l.next, false));
        break;
    }
    case LIFT_CALL:
        owe(w, b);
        ir_exit_call(b, w->flow.target, w->l.next);
        break;
    case LIFT_IND:
        leave_ind(w, b);
        break;
    default: /* LIFT_LEFT: done */
        break;
    }
}

/* Take in the instructions of the trail as far as that goes. False: the code changed, or a later trail is wanted. */
static bool follow(Walk *w)
{
    const Trail *t = w->t;
    IrRegion *r = w->l.b.r;

    for (uint32_t k = 0; k + 1 < t->n; k++) {
        uint64_t pc = t->pc[k], to = t->pc[k + 1];
        w->look.b.block = ir_block_new(w->look.b.r);
        bool last = !fetch_lift_at(w->f, &w->look, pc, &w->flow) || (w->flow.kind == LIFT_LEFT && w->depth);
        if (last && k) {
            leave(w, &w->l.b, t->pc[k - 1], pc);
            return true;
        }
        if (last || !fetch_lift_at(w->f, &w->l, pc, &w->flow))
            return false;
        r->guest_insns++;
        bool on = k + 2 < t->n && goes_on(w, &w->l, pc, to);
        if (w->later)
            return false;
        if (!on) {
            end(w, pc);
            return true;
        }
        go_on(w, pc, to);
    }
    return false;
}

IrRegion *trail_form(Fetch *f, const Trail *t, bool *later)
{
    Vcpu *cpu = f->cpu;
    Walk *w;

    arena_reset(&cpu->arena);
    w = arena_zalloc(&cpu->arena, sizeof *w);
    w->f = f;
    w->t = t;
    f->t->forms |= (uint8_t)careful_forms(cpu->e, t->pc[0]);
    free(f->t->met); /* of the graph that there is not */
    f->t->met = NULL;
    w->l = fetch_lift_new(cpu, t->pc[0]);
    w->look = fetch_lift_new(cpu, t->pc[0]);
    if (!cpu->e->cfg.tools && !opt_skips_build(cpu->e->opt_skip))
        opt_build(&w->l.b, translate_marks(cpu->e));
    w->l.b.r->deep = true;
    bool ok = follow(w) && w->l.b.r->guest_insns >= TRAIL_LEAST;
    *later = w->later;
    return ok ? w->l.b.r : NULL;
}
