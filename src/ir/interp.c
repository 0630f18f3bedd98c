/*
 * The interpreter: runs a region as lifted (gets and puts) or as optimised (snapshots). It is the reference for backends,
 * and an engine in its own right where there is none, so the common scalar operations are done in place and only the rest
 * goes through ir_eval.
 */
#include "base/check.h"
#include "ir/eval.h"

typedef struct Interp {
    const IrRegion *r;
    IrCpu *cpu;
    IrVal *val;        /* by instruction number */
    uint32_t block;
    uint64_t insn_pc;  /* guest instruction being done */
    IrStop stop;
} Interp;

static void get_slot(const Interp *t, const IrInsn *i, IrVal *out)
{
    const IrSlot *s = &t->r->slots->slot[i->imm];

    *out = (IrVal){{0, 0}};
    memcpy(out, t->cpu->state + s->offset, ir_type_size(s->type));
}

static void put_slot(const Interp *t, unsigned slot, const IrVal *v)
{
    const IrSlot *s = &t->r->slots->slot[slot];

    memcpy(t->cpu->state + s->offset, v, ir_type_size(s->type));
}

/* Write a snapshot's values to the guest state. */
static void store_snap(const Interp *t, uint32_t snap)
{
    const IrSnap *s = &t->r->snap[snap];

    for (uint32_t k = 0; k < s->count; k++)
        put_slot(t, t->r->snapent[s->first + k].slot, &t->val[t->r->snapent[s->first + k].val]);
}

/* The guest state of the instruction's start, for a fault at `i`. */
static IrStop fault(const Interp *t, const IrInsn *i)
{
    if (i->snap)
        store_snap(t, i->snap);
    t->cpu->pc = i->snap ? t->r->snap[i->snap].pc : t->insn_pc;
    return IR_STOP_FAULT;
}

static void extend(IrVal *v, const IrInsn *i)
{
    unsigned n = 8 * ir_type_size(i->lane);

    if ((i->flags & IR_MEM_SIGNED) && n < 64)
        v->u64[0] = ir_low((uint64_t)ir_slow(v->u64[0], n), 8 * ir_type_size(i->type));
}

static bool do_memory(Interp *t, const IrInsn *i, IrVal *out)
{
    const IrMemOps *m = &t->cpu->world->mem;
    IrCpu *cpu = t->cpu;
    unsigned size = ir_type_size(i->lane);
    uint64_t va = t->val[i->a].u64[0] + i->imm;
    IrVal res = {{0, 0}};
    bool ok;

    switch (i->op) {
    case IR_LOAD:
        ok = m->load(cpu, va, size, i->flags, &res);
        extend(&res, i);
        break;
    case IR_STORE:
        ok = m->store(cpu, va, size, i->flags, &t->val[i->b]);
        break;
    case IR_CAS:
        ok = m->cas(cpu, va, size, i->flags, &t->val[i->b], &t->val[i->c], &res);
        break;
    default:
        ok = m->rmw(cpu, va, size, i->flags, (IrRmw)i->aux, &t->val[i->b], &res);
        break;
    }
    if (i->flags & IR_MEM_UNLOCK)
        m->unlock(cpu, ok && (i->op != IR_CAS || memcmp(&res, &t->val[i->b], size) == 0));
    *out = res;
    return ok;
}

static void do_version(Interp *t, const IrInsn *i, IrVal *out)
{
    const IrMemOps *m = &t->cpu->world->mem;
    uint64_t va = t->val[i->a].u64[0];

    *out = (IrVal){{i->op == IR_VERSION ? m->version(t->cpu, va) : m->lock(t->cpu, va, t->val[i->b].u64[0], i->aux), 0}};
}

static void do_fence(const IrInsn *i)
{
    if ((i->flags & IR_ORDER_MASK) == IR_SEQ_CST)
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
    else
        __atomic_thread_fence(__ATOMIC_ACQ_REL);
}

static uint64_t call_helper(Interp *t, const IrInsn *i)
{
    IrCpu *cpu = t->cpu;

    for (uint32_t k = 0; k < i->b; k++)
        cpu->call.arg[k] = t->val[t->r->pool[i->a + k]];
    return t->r->helpers[i->imm].fn(cpu, &cpu->call);
}

static void do_call(Interp *t, const IrInsn *i, IrVal *out)
{
    IrVal res = {{0, 0}};

    call_helper(t, i);
    memcpy(&res, &t->cpu->call.ret, ir_type_size(i->type));
    *out = res;
}

/* Hand `n` values to the parameters of `block`, all at once, and go there. */
static IrRef enter_block(Interp *t, uint32_t block, const IrRef *args, uint32_t n)
{
    IrRef ref = t->r->block[block].first;
    IrVal tmp[IR_MAX_SLOTS];

    CHECK(n <= IR_MAX_SLOTS);
    for (uint32_t k = 0; k < n; k++)
        tmp[k] = t->val[args[k]];
    for (uint32_t k = 0; k < n; ref = ir_insn(t->r, ref)->next)
        if (ir_insn(t->r, ref)->op == IR_PARAM)
            t->val[ref] = tmp[k++];
    return ref;
}

/* --- tools -------------------------------------------------------------------------------------------------------- */

static uint64_t *cell(const Interp *t, const IrInsn *i)
{
    return (uint64_t *)(void *)(t->cpu->state + i->imm + (i->op == IR_ROOM ? 0 : t->val[i->a].u64[0]));
}

static void do_cell(Interp *t, const IrInsn *i, IrVal *out)
{
    uint64_t *at = cell(t, i), pos = t->val[i->a].u64[0];

    *out = (IrVal){{0, 0}};
    switch (i->op) {
    case IR_CELL_GET: out->u64[0] = *at; break;
    case IR_CELL_PUT: *at = t->val[i->b].u64[0]; break;
    case IR_CELL_ADD: *at += t->val[i->b].u64[0]; break;
    case IR_ROOM: out->u64[0] = pos <= *at ? pos : t->cpu->world->room(t->cpu, pos, i->imm); break;
    default: memcpy((void *)(uintptr_t)(pos + i->imm), &t->val[i->b], ir_type_size(i->lane)); break;
    }
}

static uint64_t *cell_at(const IrCpu *cpu, uint64_t disp)
{
    return (uint64_t *)(void *)(cpu->state + disp);
}

/* Whether the line was among those remembered; it is the one used last now. */
static bool note_line(IrCpu *cpu, const IrNote *n, uint64_t line, uint64_t index)
{
    uint64_t *at = cell_at(cpu, n->table + index), newer = line;

    for (uint32_t k = 0; k < n->ways; k++) {
        uint64_t was = at[k];
        at[k] = newer;
        if (was == line)
            return true;
        newer = was;
    }
    return false;
}

static void note_record(IrCpu *cpu, const IrNote *n, uint64_t word, uint64_t addr)
{
    uint64_t *pos = cell_at(cpu, n->pos);
    const uint64_t record[2] = {word, addr};

    memcpy((void *)(uintptr_t)*pos, record, sizeof record);
    *pos += sizeof record;
}

void ir_note(IrCpu *cpu, const IrNote *n, uint64_t addr)
{
    uint32_t index = ir_note_index(n, addr);
    uint64_t line = addr & ~n->low, last = (addr + n->span) & ~n->low;
    uint64_t *pos = cell_at(cpu, n->pos);
    bool known = note_line(cpu, n, line, index);
    bool second = last != line && !note_line(cpu, n, last, (index + n->place) & n->mask);

    if (known && !second)
        return;
    if (*pos > *cell_at(cpu, n->limit)) /* where there is room for one record there is some for two */
        *pos = cpu->world->room(cpu, *pos, n->limit);
    if (!known)
        note_record(cpu, n, n->word, addr);
    if (second)
        note_record(cpu, n, known ? n->word : n->again, last);
}

static void do_note(const Interp *t, const IrInsn *i)
{
    const IrNote *n = (const IrNote *)(uintptr_t)i->imm;

    ir_note(t->cpu, n, t->val[i->a].u64[0] + n->disp);
}

typedef struct Show {
    IrShow s;
    const Interp *t;
    const IrInsn *i;
} Show;

static uint64_t see(const IrShow *show, uint8_t *state)
{
    const Show *w = (const Show *)show;
    const IrRegion *r = w->t->r;

    if (!w->i->snap)
        return w->t->insn_pc;
    const IrSnap *s = &r->snap[w->i->snap];
    for (uint32_t k = 0; k < s->count; k++) {
        const IrSnapEnt *e = &r->snapent[s->first + k];
        memcpy(state + r->slots->slot[e->slot].offset, &w->t->val[e->val], ir_type_size(r->slots->slot[e->slot].type));
    }
    return s->pc;
}

static IrStop do_tool(Interp *t, const IrInsn *i)
{
    const IrVal arg[2] = {t->val[i->b], t->val[i->c]};
    Show w = {{see}, t, i};

    return t->val[i->a].u8[0] ? t->cpu->world->tool(t->cpu, i->imm, arg, &w.s) : IR_STOP_NONE;
}

/* The world knows whom it is about. */
static void do_tell(Interp *t, const IrInsn *i)
{
    const IrVal arg[2] = {t->val[i->b], t->val[i->c]};
    Show w = {{see}, t, i};

    if (t->val[i->a].u8[0])
        t->cpu->world->tool(t->cpu, i->imm, arg, &w.s);
}

static IrRef branch_if(Interp *t, const IrInsn *i)
{
    bool yes = t->val[i->a].u8[0] != 0;
    IrRef at = yes ? i->b : i->c;
    uint32_t to = yes ? (uint32_t)i->imm : (uint32_t)(i->imm >> 32);

    return enter_block(t, to, &t->r->pool[at + 1], at ? t->r->pool[at] : 0);
}

static IrStop jump(Interp *t, uint64_t pc, bool poll)
{
    const IrWorld *w = t->cpu->world;

    t->cpu->pc = pc;
    return poll && w->poll && w->poll(t->cpu) ? IR_STOP_CHECK : IR_STOP_NONE;
}

static IrStop do_exit(Interp *t, const IrInsn *i)
{
    uint64_t target = i->op == IR_EXIT_IND ? t->val[i->a].u64[0] : i->op == IR_EXIT_HELP ? t->val[i->c].u64[0] : i->imm;

    if (i->snap)
        store_snap(t, i->snap);
    switch (i->op) {
    case IR_EXIT:
    case IR_EXIT_CALL:
        return jump(t, target, i->aux & IR_EXIT_POLL);
    case IR_EXIT_IND:
        return jump(t, target, i->aux != IR_HINT_RET);
    case IR_EXIT_HELP:
        t->cpu->pc = target;
        return (IrStop)call_helper(t, i);
    default:
        t->cpu->pc = target;
        return (IrStop)i->aux;
    }
}

/* Operations worth doing in place: the scalar ones that make up most of any program. */
static inline bool do_common(const IrInsn *i, const IrVal *val, IrVal *out)
{
    unsigned n = i->type == IR_I64 ? 64 : 32;
    uint64_t a = val[i->a].u64[0], b = val[i->b].u64[0], res;

    switch (i->op) {
    case IR_CONST: res = i->imm; break;
    case IR_ADD: res = a + b; break;
    case IR_SUB: res = a - b; break;
    case IR_MUL: res = a * b; break;
    case IR_AND: res = a & b; break;
    case IR_OR: res = a | b; break;
    case IR_XOR: res = a ^ b; break;
    case IR_SHL: res = a << (b & (n - 1)); break;
    case IR_SHR: res = a >> (b & (n - 1)); break;
    case IR_SAR: res = (uint64_t)(ir_slow(a, n) >> (b & (n - 1))); break;
    default: return false;
    }
    out->u64[0] = n == 64 ? res : (uint32_t)res;
    out->u64[1] = 0;
    return true;
}

static void do_eval(Interp *t, const IrInsn *i, IrVal *out)
{
    IrVal arg[3] = {t->val[i->a], t->val[i->b], t->val[i->c]};

    if (i->op == IR_VCONST)
        *out = t->r->vconst[i->imm];
    else
        ir_eval(i, arg, &t->cpu->fp, out);
}

static bool compare(const IrInsn *i, const IrVal *val)
{
    uint64_t a = val[i->a].u64[0], b = val[i->b].u64[0];

    if (i->aux & IR_PSIGNED) {
        unsigned n = 8 * ir_type_size(i->lane);
        int64_t x = ir_slow(a, n), y = ir_slow(b, n);
        return i->aux & (x < y ? IR_LT : x == y ? IR_EQ : IR_GT);
    }
    return i->aux & (a < b ? IR_LT : a == b ? IR_EQ : IR_GT);
}

static void scalar_out(IrVal *out, uint64_t x)
{
    out->u64[0] = x;
    out->u64[1] = 0;
}

/* Run from `ref` on; returns when the region is left, t->stop telling how. */
static void run(Interp *t, IrRef ref)
{
    const IrInsn *insn = t->r->insn;
    IrVal *val = t->val;

    for (;;) {
        const IrInsn *i = &insn[ref];
        IrVal *out = &val[ref];
        ref = i->next;
        switch (i->op) {
        case IR_NOP: case IR_PARAM: case IR_PREFETCH: break;
        case IR_INSN: t->insn_pc = i->imm; break;
        case IR_GET: get_slot(t, i, out); break;
        case IR_PUT: put_slot(t, (unsigned)i->imm, &val[i->a]); break;
        case IR_TRUNC: scalar_out(out, ir_low(val[i->a].u64[0], 8 * ir_type_size(i->type))); break;
        case IR_ZEXT: scalar_out(out, val[i->a].u64[0]); break;
        case IR_ICMP: scalar_out(out, compare(i, val)); break;
        case IR_LOAD: case IR_STORE: case IR_CAS: case IR_RMW:
            if (!do_memory(t, i, out)) {
                t->stop = fault(t, i);
                return;
            }
            break;
        case IR_FENCE: do_fence(i); break;
        case IR_VERSION: case IR_VLOCK: do_version(t, i, out); break;
        case IR_POLL: scalar_out(out, t->cpu->world->poll && t->cpu->world->poll(t->cpu)); break;
        case IR_CALL: do_call(t, i, out); break;
        case IR_OWE: break;
        case IR_TALLY: scalar_out(out, val[i->a].u64[0] + i->imm); break;
        case IR_CELL_GET: case IR_CELL_PUT: case IR_CELL_ADD: case IR_ROOM: case IR_STASH: do_cell(t, i, out); break;
        case IR_NOTE: do_note(t, i); break;
        case IR_TOOL:
            t->stop = do_tool(t, i);
            if (t->stop != IR_STOP_NONE)
                return;
            break;
        case IR_TELL: do_tell(t, i); break;
        case IR_BR: ref = enter_block(t, (uint32_t)i->imm, &t->r->pool[i->a], i->b); break;
        case IR_BRIF: ref = branch_if(t, i); break;
        case IR_EXIT: case IR_EXIT_CALL: case IR_EXIT_IND: case IR_EXIT_HELP: case IR_EXIT_STOP:
            t->stop = do_exit(t, i);
            return;
        default:
            if ((i->type != IR_I64 && i->type != IR_I32) || !do_common(i, val, out))
                do_eval(t, i, out);
            break;
        }
    }
}

IrStop ir_interp(const IrRegion *r, IrCpu *cpu, Arena *scratch)
{
    Interp t = {.r = r, .cpu = cpu, .val = ARENA_ARRAY(scratch, IrVal, r->ninsn), .insn_pc = r->pc};

    t.val[0] = (IrVal){{0, 0}}; /* operand that is not there */
    run(&t, r->block[0].first);
    return t.stop;
}
