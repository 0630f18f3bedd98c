/*
 * Returns that do not go back to the last call: finding which they are.
 *
 * A guest return is a return of the host's, which costs next to nothing as long as it goes back to the last call. One that does not
 * ends in a stub (host.h: the return stack is emptied), which knows where to it goes but not from where; and who comes
 * there is often not to blame. A function that jumps by `ret` is one whose callers' returns miss; switching stacks and longjmp
 * spoil all returns that follow. To note in each return where it is would cost all that are no trouble. So the stub counts. When it
 * is met often, the thread goes on in the interpreter for some instructions, a *watch*, and follows calls and returns on a
 * stack of its own:
 *
 *   paired   the return goes where the call on top says
 *   loose    it does not. The call stays on top: if it is returned to after all, the loose return has *left* it to others to do so
 *            (a jump). If what is below is returned to, the loose return should have taken the call away
 *
 * What comes of it is the policy's affair (promote.h).
 */
#include "engine/internal.h"

#include "base/check.h"
#include "base/os.h"

#include <stdlib.h>

/* A return without its call takes ten to twenty nanoseconds more: where they are so frequent, they are worth a look. */
#define PERIOD 1024u
#define PERIOD_MAX (1u << 20)
#define FREQUENT_NS 1000
/*
 * An instruction of a watch takes about a microsecond. It ends when so many loose returns were seen, or so many instructions. While
 * watches bring something they may take a part of the time, then ever less: both what is counted and the time until the next are doubled.
 */
#define WATCH_LOOSE 48
#define WATCH_INSNS 8192
#define WATCH_SHARE 16
#define WATCH_RETURNS 32
#define WATCH_CALLS 64
#define WATCH_DEPTH 4 /* calls that loose returns should have taken away, at once */

typedef struct Call {
    uint64_t ret;
    uint32_t passed;  /* loose returns that did not take it away, by number */
} Call;

struct Watch {
    uint64_t pc, began;
    uint32_t mode;
    bool rests;       /* within an instruction: a child that shares memory may run on the vcpu in the call that makes it */
    unsigned insns, loose, ncall, nret;
    Call call[WATCH_CALLS];
    uint64_t ret[WATCH_RETURNS];
    PromoteWatched seen[WATCH_RETURNS];
};

void returns_vcpu_init(Vcpu *cpu)
{
    cpu->h.unpaired_left = cpu->unpaired_period = PERIOD;
}

/* --- what was seen ------------------------------------------------------------------------------------------------- */

static void on_call(Watch *w, uint64_t ret)
{
    if (w->ncall == WATCH_CALLS) { /* what is at the bottom is returned to last */
        for (unsigned k = 1; k < WATCH_CALLS; k++)
            w->call[k - 1] = w->call[k];
        w->ncall--;
    }
    w->call[w->ncall++] = (Call){.ret = ret};
}

/* The number of the return at pc, WATCH_RETURNS: there are too many. */
static unsigned number(Watch *w, uint64_t pc)
{
    unsigned k = 0;

    while (k < w->nret && w->ret[k] != pc)
        k++;
    if (k == w->nret && k < WATCH_RETURNS)
        w->ret[w->nret++] = pc;
    return k;
}

/* How many calls lie on the one that is returned to, all of them to be taken away by loose returns; WATCH_DEPTH: it is none such. */
static unsigned depth(const Watch *w, uint64_t to)
{
    for (unsigned d = 0; d < WATCH_DEPTH && d < w->ncall; d++) {
        const Call *c = &w->call[w->ncall - 1 - d];
        if (c->ret == to)
            return d;
        if (!c->passed)
            break;
    }
    return WATCH_DEPTH;
}

static void on_return(Watch *w, uint64_t pc, uint64_t to)
{
    unsigned k = number(w, pc), d = depth(w, to);

    if (d == 0)
        for (uint32_t m = w->call[w->ncall - 1].passed; m; m &= m - 1)
            w->seen[__builtin_ctz(m)].left++;
    if (d < WATCH_DEPTH)
        w->ncall -= d + 1;
    else if (k < WATCH_RETURNS && w->ncall)
        w->call[w->ncall - 1].passed |= 1u << k;
    w->loose += d == WATCH_DEPTH;
    if (k < WATCH_RETURNS && d == WATCH_DEPTH)
        w->seen[k].loose++;
    else if (k < WATCH_RETURNS)
        w->seen[k].paired++;
}

/* --- the watch ----------------------------------------------------------------------------------------------------- */

static void begin(Vcpu *cpu)
{
    Watch *w = cpu->watch = calloc(1, sizeof *w);

    CHECK(w != NULL);
    w->pc = cpu->h.ir.pc;
    w->mode = cpu->h.ir.mode;
    w->began = os_thread_ns();
    cpu->stats.watches++;
}

static void finish(Vcpu *cpu, bool whole)
{
    Watch *w = cpu->watch;
    bool any = false;

    cpu->watch = NULL;
    for (unsigned k = 0; whole && k < w->nret; k++)
        any |= promote_return(cpu, w->ret[k], &w->seen[k]);
    uint64_t now = os_thread_ns(), took = now - w->began;
    if (whole)
        cpu->unpaired_period = any ? PERIOD : cpu->unpaired_period < PERIOD_MAX ? 2 * cpu->unpaired_period : PERIOD_MAX;
    cpu->h.unpaired_left = cpu->unpaired_period;
    cpu->unpaired_ns = now;
    cpu->watch_ns = os_now_ns() + took * WATCH_SHARE * (cpu->unpaired_period / PERIOD);
    free(w);
}

bool returns_rest(const Vcpu *cpu)
{
    return cpu->watch->rests;
}

/* The call or return that the region of one instruction ends with, if it is one. */
static const IrInsn *call_or_return(const IrRegion *r)
{
    for (uint32_t b = 0; b < r->nblock; b++) {
        const IrInsn *i = r->block[b].last ? ir_insn(r, r->block[b].last) : NULL;
        if (i && (i->op == IR_EXIT_CALL || (i->op == IR_EXIT_IND && i->aux != IR_HINT_JUMP)))
            return i;
    }
    return NULL;
}

IrStop returns_step(Vcpu *cpu)
{
    Watch *w = cpu->watch;
    const IrRegion *r = NULL;
    uint64_t ret;

    /* A signal came, or what makes translations of another kind. */
    bool same = cpu->h.ir.pc == w->pc && cpu->h.ir.mode == w->mode;
    if (same)
        r = translate_once(cpu, w->pc, 1, false);
    if (!r) {
        finish(cpu, false);
        return IR_STOP_NONE;
    }
    const IrInsn *end = call_or_return(r);
    bool returns = end && end->op == IR_EXIT_IND && end->aux == IR_HINT_RET;
    bool calls = end && !returns && ir_is_const(r, end->op == IR_EXIT_CALL ? end->a : end->b, &ret);
    w->rests = true;
    IrStop stop = run_region(cpu, r);
    w->rests = false;
    untag_pc(cpu);
    if (calls)
        on_call(w, ret);
    else if (returns)
        on_return(w, w->pc, cpu->h.ir.pc);
    w->pc = cpu->h.ir.pc;
    bool on = stop == IR_STOP_NONE || stop == IR_STOP_CHECK;
    if (!on || ++w->insns == WATCH_INSNS || w->loose == WATCH_LOOSE)
        finish(cpu, on);
    return stop;
}

/* Whether returns miss so often that it is worth while to know which. */
static bool worth(const Vcpu *cpu, uint64_t took)
{
    const EngineConfig *cfg = &cpu->e->cfg;

    if (!cpu->e->promote || !cfg->ret_predict || cfg->check || cfg->one_insn || cpu->trail || cpu->watch)
        return false;
    return took < (uint64_t)FREQUENT_NS * cpu->unpaired_period && os_now_ns() >= cpu->watch_ns;
}

const void *returns_unpaired(HostCpu *h)
{
    Vcpu *cpu = (Vcpu *)h;
    uint64_t now = os_thread_ns(); /* that of the thread alone: a busy machine does not show in it */
    bool watch = worth(cpu, now - cpu->unpaired_ns);

    cpu->stats.unpaired += cpu->unpaired_period;
    h->unpaired_left = cpu->unpaired_period;
    cpu->unpaired_ns = now;
    if (!watch)
        return link_lookup(h);
    begin(cpu);
    return NULL;
}
