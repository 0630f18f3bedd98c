/*
 * What tools have attached becomes IR, between the operations that the guest's instructions were lifted to.
 *
 * Cells are slots where the region makes no call (see engine/instrument.h), memory otherwise: a call may look at them.
 * There are no branches in a tree but the guest's, so what happens under a condition is done always, with a value that
 * changes nothing when the condition does not hold; calls have a condition of their own.
 */
#include "plugin/code.h"

#include "base/check.h"

#include <string.h>

/* Where records of a stream go: in the block being written, and behind those that are. */
typedef struct Place {
    IrRef base;            /* 0: no test for room yet */
    uint32_t offset, used; /* bytes behind base; bytes since the test */
} Place;

/* Constants to be added to cells: what nothing can see is not done yet. */
#define PENDING_MAX 8

typedef struct Pending {
    DgCell cell;
    uint64_t value;
} Pending;

typedef struct Lower {
    Code *c;
    IrBuilder b;
    bool slots;
    Pending pending[PENDING_MAX];
    unsigned npending;
    Place place[STREAMS_MAX];
    Place *behind; /* by block and stream */
    /* Where we are: */
    const DgInsn *insn;
    DgPoint at;
    IrRef cond;           /* i8: whether it happens at all; 0: yes */
    IrRef base;           /* the access is at base + disp; 0: there is none */
    uint64_t disp;
    IrRef addr, value;    /* of the access (0: see addr_of); of the branch: where it goes */
    unsigned kind, bytes; /* of the access */
    unsigned half;        /* of a pair (FILTER_PAIRS): 1, 2; 0: the access is none */
    bool whole;           /* the second is done for both */
    IrRef first;          /* the value of the first */
} Lower;

static IrRef c64(Lower *l, uint64_t v)
{
    return ir_const(&l->b, IR_I64, v);
}

/* The address of the access or branch; 0: there is none. */
static IrRef addr_of(Lower *l)
{
    if (!l->addr && l->base)
        l->addr = l->disp ? ir_op2(&l->b, IR_ADD, IR_I64, l->base, c64(l, l->disp)) : l->base;
    return l->addr;
}

/* --- cells -------------------------------------------------------------------------------------------------------- */

static bool is_slot(const Lower *l, DgCell cell)
{
    return l->slots && cell < cell_slots(l->c->p->tools.e);
}

static unsigned slot_of(const Lower *l, DgCell cell)
{
    return cell_first_slot(l->c->p->tools.e) + cell;
}

static uint64_t disp_of(const Lower *l, DgCell cell)
{
    return cell_disp(l->c->p->tools.e, cell);
}

static IrRef cell_get(Lower *l, DgCell cell)
{
    if (is_slot(l, cell))
        return ir_get(&l->b, slot_of(l, cell));
    return ir_emit(&l->b, (IrInsn){.op = IR_CELL_GET, .type = IR_I64, .a = c64(l, 0), .imm = disp_of(l, cell)});
}

static void cell_put(Lower *l, DgCell cell, IrRef v)
{
    if (is_slot(l, cell))
        ir_put(&l->b, slot_of(l, cell), v);
    else
        ir_emit(&l->b, (IrInsn){.op = IR_CELL_PUT, .a = c64(l, 0), .b = v, .imm = disp_of(l, cell)});
}

static IrRef tally(Lower *l, IrRef v, uint64_t by)
{
    return by ? ir_emit(&l->b, (IrInsn){.op = IR_TALLY, .type = IR_I64, .a = v, .imm = by}) : v;
}

/* Do the additions that are pending. */
static void add_pending(Lower *l)
{
    for (const Pending *p = l->pending; p < l->pending + l->npending; p++) {
        if (is_slot(l, p->cell))
            ir_put(&l->b, slot_of(l, p->cell), tally(l, ir_get(&l->b, slot_of(l, p->cell)), p->value));
        else
            ir_emit(&l->b,
                    (IrInsn){.op = IR_CELL_ADD, .a = c64(l, 0), .b = c64(l, p->value), .imm = disp_of(l, p->cell)});
    }
    l->npending = 0;
}

static void cell_add_const(Lower *l, DgCell cell, uint64_t v)
{
    for (Pending *p = l->pending; p < l->pending + l->npending; p++)
        if (p->cell == cell) {
            p->value += v;
            return;
        }
    if (l->npending == PENDING_MAX)
        add_pending(l);
    l->pending[l->npending++] = (Pending){cell, v};
}

/* Whether an operation neither looks at cells, nor faults, nor leaves. */
static bool is_quiet(const IrInsn *i)
{
    if (i->op == IR_NOP || i->op == IR_GET || i->op == IR_PUT || i->op == IR_INSN)
        return true;
    return (ir_ops[i->op].flags & (IRF_PURE | IRF_FP)) && i->op != IR_CALL;
}

/* The next operation of the guest's. */
static void link_last(Lower *l, IrRef ref)
{
    if (l->npending && !is_quiet(ir_insn(l->b.r, ref)))
        add_pending(l);
    ir_link_last(l->b.r, l->b.block, ref);
}

/* Element number `index` of an array, in bytes from its start. */
static IrRef element(Lower *l, IrRef index, uint32_t length)
{
    IrRef n = ir_op2(&l->b, IR_AND, IR_I64, index, c64(l, length - 1));
    return ir_op2(&l->b, IR_SHL, IR_I64, n, ir_const(&l->b, IR_I8, 3));
}

/* The place of a counter that this region adds to. */
static DgCell place_of(const Lower *l, DgCell cell)
{
    return cell + (DgCell)((l->b.r->pc * UINT64_C(0x9e3779b97f4a7c15)) >> 56) % cell_places(l->c->p, cell);
}

static void lower_add(Lower *l, const Attach *a)
{
    DgCell cell = place_of(l, a->cell);

    if (!l->cond) {
        cell_add_const(l, cell, a->value);
        return;
    }
    IrRef v = ir_select(&l->b, l->cond, c64(l, a->value), c64(l, 0));
    if (is_slot(l, cell))
        cell_put(l, cell, ir_op2(&l->b, IR_ADD, IR_I64, cell_get(l, cell), v));
    else
        ir_emit(&l->b, (IrInsn){.op = IR_CELL_ADD, .a = c64(l, 0), .b = v, .imm = disp_of(l, cell)});
}

/* --- arguments ---------------------------------------------------------------------------------------------------- */

/* Any value's low 64 bits (`high`: the next), zero-extended. */
static IrRef as_i64(Lower *l, IrRef v, bool high)
{
    IrType t = (IrType)ir_insn(l->b.r, v)->type;

    if (t == IR_V128)
        return ir_opx(&l->b, IR_VGET, IR_I64, IR_I64, 2, 0, high, v, 0, 0);
    if (high)
        return c64(l, 0);
    if (ir_type_is_float(t)) {
        IrType n = t == IR_F16 ? IR_I16 : t == IR_F32 ? IR_I32 : IR_I64;
        v = ir_opx(&l->b, IR_BITCAST, n, t, 0, 0, 0, v, 0, 0);
    }
    return ir_zext(&l->b, IR_I64, v);
}

static IrRef value_arg(Lower *l, bool high)
{
    IrRef v = as_i64(l, l->value, high);

    if (high || l->bytes >= 8)
        return v;
    return ir_op2(&l->b, IR_AND, IR_I64, v, c64(l, (1ull << (8 * l->bytes)) - 1));
}

static IrRef arg(Lower *l, unsigned which, uint32_t number)
{
    switch (which) {
    case DG_ARG_PC:
        return c64(l, l->insn->info.pc);
    case DG_ARG_ADDR:
    case DG_ARG_TARGET:
        return addr_of(l) ? l->addr : c64(l, 0);
    case DG_ARG_BYTES:
        return c64(l, l->bytes);
    case DG_ARG_VALUE:
        return value_arg(l, false);
    case DG_ARG_VALUE_HIGH:
        return value_arg(l, true);
    case DG_ARG_KIND:
        return c64(l, l->kind);
    case DG_ARG_REG:
        return as_i64(l, ir_get(&l->b, number), false);
    default:
        return cell_get(l, l->c->p->thread_cell);
    }
}

/* --- calls -------------------------------------------------------------------------------------------------------- */

static Site *site_new(Lower *l, const Attach *a, DgCallFn *fn, void *data, unsigned access)
{
    Site *s = arena_zalloc(&l->c->p->arena, sizeof *s);

    *s = (Site){.h = a->h,
                .fn = fn,
                .data = data,
                .access = access,
                .order = a->order,
                .next_pc = l->insn->next,
                .ev = {.size = sizeof s->ev,
                       .point = (uint8_t)l->at,
                       .kind = (uint8_t)l->kind,
                       .bytes = (uint8_t)l->bytes,
                       .pc = l->insn->info.pc,
                       .length = l->bytes}};
    return s;
}

static void emit_tool(Lower *l, const Site *s, IrRef cond, IrRef addr, IrRef value)
{
    IrRef none = c64(l, 0);

    if (!cond)
        cond = ir_const(&l->b, IR_I8, 1);
    ir_emit(
        &l->b,
        (IrInsn){.op = IR_TOOL, .a = cond, .b = addr ? addr : none, .c = value ? value : none, .imm = (uintptr_t)s});
    for (unsigned k = 0; k < STREAMS_MAX; k++) /* it may have emptied them */
        l->place[k].base = 0;
}

/* A call of nothing but the tool's function, which empties no stream. */
static void emit_tell(Lower *l, Site *s, IrRef cond, IrRef addr, IrRef value)
{
    IrRef none = c64(l, 0);

    if (!cond)
        cond = ir_const(&l->b, IR_I8, 1);
    plugin_tells(s);
    ir_emit(&l->b, (IrInsn){.op = IR_TELL, .a = cond, .b = addr ? addr : none, .c = s->tell.value ? value : none, .imm = (uintptr_t)&s->tell});
}

static void emit_call(Lower *l, const Attach *a, Site *s, IrRef cond, IrRef value)
{
    if (a->tell && a->tell(s->data, l->kind, l->bytes, &s->tell))
        emit_tell(l, s, cond, addr_of(l), value);
    else
        emit_tool(l, s, cond, addr_of(l), value);
}

static void lower_call(Lower *l, const Attach *a)
{
    emit_call(l, a, site_new(l, a, a->fn, a->data, a->access), l->cond, l->at == DG_MEM_AFTER ? l->value : 0);
}

/* --- records ------------------------------------------------------------------------------------------------------ */

/* 0: always. */
static IrRef both(Lower *l, IrRef a, IrRef b)
{
    return !a ? b : !b ? a : ir_op2(&l->b, IR_AND, IR_I8, a, b);
}

static void test_room(Lower *l, const DgStream *s, Place *at)
{
    IrRef pos =
        ir_emit(&l->b, (IrInsn){.op = IR_ROOM, .type = IR_I64, .a = cell_get(l, s->pos), .imm = disp_of(l, s->limit)});

    cell_put(l, s->pos, pos);
    *at = (Place){.base = pos};
}

/* A piece of a record to be stored. */
typedef struct Piece {
    uint32_t offset, bytes;
    IrRef val; /* 0: the constant */
    uint64_t imm;
} Piece;

static Piece piece_of(Lower *l, const DgField *f)
{
    IrRef v = f->arg == DG_FIELD_CONST  ? c64(l, f->imm)
              : f->arg == DG_FIELD_CELL ? cell_get(l, f->number)
                                        : arg(l, f->arg, f->number);
    Piece p = {f->offset, f->bytes, v, 0};

    if (ir_is_const(l->b.r, v, &p.imm))
        p.val = 0;
    if (f->bytes < 8)
        p.imm &= (1ull << (8 * f->bytes)) - 1;
    return p;
}

/*
 * Two constants side by side become one: stores are what records cost. One of eight bytes takes a register, which a pair's two
 * accesses share.
 */
static bool join(Piece *to, const Piece *p)
{
    if (to->val || p->val || to->offset + to->bytes != p->offset || to->bytes != p->bytes || to->bytes > 4 ||
        to->offset % (2 * to->bytes))
        return false;
    to->imm |= p->imm << (8 * to->bytes);
    to->bytes *= 2;
    return true;
}

/* The pieces of a record; returns their number. */
static unsigned pieces(Lower *l, const Attach *a, Piece *out)
{
    unsigned n = 0;

    for (unsigned k = 0; k < a->n; k++) {
        out[n++] = piece_of(l, &a->field[k]);
        while (n > 1 && join(&out[n - 2], &out[n - 1]))
            n--;
    }
    return n;
}

/* Whether it is made at all; 0: yes. */
static IrRef record_cond(Lower *l, const Attach *a)
{
    if (a->start == a->end)
        return l->cond;
    IrRef into = ir_op2(&l->b, IR_SUB, IR_I64, addr_of(l), c64(l, a->start));
    return both(l, l->cond, ir_icmp(&l->b, IR_GT | IR_EQ, into, c64(l, a->end - a->start)));
}

static void lower_record(Lower *l, const Attach *a)
{
    static const uint8_t lane[] = {[1] = IR_I8, [2] = IR_I16, [4] = IR_I32, [8] = IR_I64};
    Piece piece[DG_FIELDS_MAX];
    const DgStream *s = a->stream;
    Place *at = &l->place[s->number];
    IrRef cond = record_cond(l, a);

    if (!at->base || at->used + a->bytes > STREAM_SLACK / 2)
        test_room(l, s, at);
    unsigned n = pieces(l, a, piece);
    for (unsigned k = 0; k < n; k++) {
        const Piece *p = &piece[k];
        IrType t = (IrType)lane[p->bytes];
        IrRef v = p->val ? ir_trunc(&l->b, t, p->val) : ir_const(&l->b, t, p->imm);
        ir_emit(&l->b,
                (IrInsn){.op = IR_STASH, .lane = (uint8_t)t, .a = at->base, .b = v, .imm = at->offset + p->offset});
    }
    at->used += a->bytes;
    at->offset += a->bytes;
    IrRef end = tally(l, at->base, at->offset);
    if (cond) {
        at->base = ir_select(&l->b, cond, end, tally(l, at->base, at->offset - a->bytes));
        at->offset = 0;
        end = at->base;
    }
    cell_put(l, s->pos, end);
}

static IrNote *note_new(Lower *l, const Attach *a)
{
    const DgFilter *f = a->note;
    DgSeen seen = {.number = a->number, .bytes = (uint8_t)l->bytes, .kind = (uint8_t)l->kind, .filter = (uint16_t)f->number};
    IrNote *n = arena_zalloc(&l->c->p->arena, sizeof *n);

    *n = (IrNote){.table = (uint32_t)disp_of(l, f->cell), .mask = (f->length - 1) << f->place, .low = (1ull << f->shift) - 1,
                  .pos = (uint32_t)disp_of(l, f->s->pos), .limit = (uint32_t)disp_of(l, f->s->limit), .place = 1u << f->place,
                  .ways = f->ways, .span = l->bytes ? l->bytes - 1 : 0,
                  .line_bits = (uint8_t)f->shift, .place_bits = (uint8_t)f->place, .forgets = f->forgets};
    memcpy(&n->word, &seen, sizeof n->word);
    seen.kind |= DG_SAME_ACCESS;
    memcpy(&n->again, &seen, sizeof n->again);
    return n;
}

static void lower_note(Lower *l, const Attach *a)
{
    IrNote *n = note_new(l, a);

    n->disp = l->base ? l->disp : a->addr;
    ir_emit(&l->b, (IrInsn){.op = IR_NOTE, .a = l->base ? l->base : c64(l, 0), .imm = (uintptr_t)n});
    l->place[a->note->s->number].base = 0;
}

/* --- inline programs ---------------------------------------------------------------------------------------------- */

typedef struct Program {
    IrRef temp[DG_TEMPS];
    struct Skip {
        unsigned end;
        IrRef taken;
    } skip[DG_PROGRAM_MAX];
    unsigned nskip;
} Program;

/* Whether operation number k is done; 0: always. */
static IrRef condition(Lower *l, const Program *p, unsigned k)
{
    IrRef cond = l->cond;

    for (unsigned n = 0; n < p->nskip; n++)
        if (k < p->skip[n].end)
            cond = both(l, cond, ir_op2(&l->b, IR_XOR, IR_I8, p->skip[n].taken, ir_const(&l->b, IR_I8, 1)));
    return cond;
}

static IrRef compare(Lower *l, uint64_t how, IrRef a, IrRef b)
{
    static const uint8_t pred[] = {
        [DG_EQ] = IR_EQ,          [DG_NE] = IR_LT | IR_GT,       [DG_LTU] = IR_LT,
        [DG_LEU] = IR_LT | IR_EQ, [DG_LTS] = IR_LT | IR_PSIGNED, [DG_LES] = IR_LT | IR_EQ | IR_PSIGNED};

    return ir_zext(&l->b, IR_I64, ir_icmp(&l->b, pred[how], a, b));
}

static IrRef is_set(Lower *l, IrRef v)
{
    return ir_icmp(&l->b, IR_LT | IR_GT, v, c64(l, 0));
}

static IrRef if_set(Lower *l, IrRef cond, IrRef yes, IrRef no)
{
    return cond ? ir_select(&l->b, cond, yes, no) : yes;
}

static void store(Lower *l, const DgOp *o, IrRef cond, IrRef index, IrRef v)
{
    if (!o->length) {
        cell_put(l, o->cell, cond ? ir_select(&l->b, cond, v, cell_get(l, o->cell)) : v);
        return;
    }
    IrRef at = element(l, index, o->length);
    IrInsn get = {.op = IR_CELL_GET, .type = IR_I64, .a = at, .imm = disp_of(l, o->cell)};
    v = cond ? ir_select(&l->b, cond, v, ir_emit(&l->b, get)) : v;
    ir_emit(&l->b, (IrInsn){.op = IR_CELL_PUT, .a = at, .b = v, .imm = disp_of(l, o->cell)});
}

static IrRef load(Lower *l, const DgOp *o, IrRef index)
{
    if (!o->length)
        return cell_get(l, o->cell);
    return ir_emit(
        &l->b,
        (IrInsn){.op = IR_CELL_GET, .type = IR_I64, .a = element(l, index, o->length), .imm = disp_of(l, o->cell)});
}

/* As dg_hash. */
static IrRef hash(Lower *l, IrRef key)
{
    IrRef x = ir_op2(&l->b, IR_MUL, IR_I64, key, c64(l, UINT64_C(0x9e3779b97f4a7c15)));
    return ir_op2(&l->b, IR_SHR, IR_I64, x, ir_const(&l->b, IR_I8, 32));
}

/* An operation that has a value. */
static IrRef compute(Lower *l, const DgOp *o, IrRef a, IrRef b)
{
    static const uint16_t op[] = {
        [DG_OP_ADD] = IR_ADD, [DG_OP_SUB] = IR_SUB, [DG_OP_AND] = IR_AND,  [DG_OP_OR] = IR_OR,
        [DG_OP_XOR] = IR_XOR, [DG_OP_MUL] = IR_MUL, [DG_OP_MIN] = IR_MINU, [DG_OP_MAX] = IR_MAXU};

    switch (o->kind) {
    case DG_OP_CONST:
        return c64(l, o->imm);
    case DG_OP_ARG:
        return arg(l, (unsigned)o->imm, o->a);
    case DG_OP_LOAD:
        return load(l, o, a);
    case DG_OP_CMP:
        return compare(l, o->imm, a, b);
    case DG_OP_SHL:
        return ir_op2(&l->b, IR_SHL, IR_I64, a, ir_const(&l->b, IR_I8, o->imm));
    case DG_OP_SHR:
        return ir_op2(&l->b, IR_SHR, IR_I64, a, ir_const(&l->b, IR_I8, o->imm));
    default:
        return ir_op2(&l->b, (IrOp)op[o->kind], IR_I64, a, b);
    }
}

static void lower_op(Lower *l, const Attach *at, Program *p, unsigned k)
{
    const DgOp *o = &at->op[k];
    IrRef cond = condition(l, p, k), a = o->kind == DG_OP_ARG ? 0 : p->temp[o->a], b = p->temp[o->b];

    switch (o->kind) {
    case DG_OP_STORE:
        store(l, o, cond, a, b);
        break;
    case DG_OP_COUNT: {
        IrRef where = element(l, hash(l, a), o->length);
        ir_emit(
            &l->b,
            (IrInsn){.op = IR_CELL_ADD, .a = where, .b = if_set(l, cond, b, c64(l, 0)), .imm = disp_of(l, o->cell)});
        break;
    }
    case DG_OP_SKIP: {
        IrRef taken = ir_icmp(&l->b, IR_EQ, a, c64(l, 0));
        p->skip[p->nskip++] = (struct Skip){k + 1 + (unsigned)o->imm, both(l, cond, taken)};
        break;
    }
    case DG_OP_CALL:
        emit_call(l, at, site_new(l, at, o->fn, o->data, o->access), both(l, cond, is_set(l, a)), b);
        break;
    default:
        p->temp[o->d] = if_set(l, cond, compute(l, o, a, b), p->temp[o->d]);
        break;
    }
}

static void lower_program(Lower *l, const Attach *a)
{
    Program p = {.nskip = 0};

    for (unsigned k = 0; k < DG_TEMPS; k++)
        p.temp[k] = c64(l, 0);
    for (unsigned k = 0; k < a->n; k++)
        lower_op(l, a, &p, k);
}

/* --- points ------------------------------------------------------------------------------------------------------- */

/* What is attached from `a` on. */
static void lower_list(Lower *l, const DgInsn *i, DgPoint at, const Attach *a)
{
    static void (*const lower[])(Lower *, const Attach *) = {[ATTACH_ADD] = lower_add,
                                                             [ATTACH_PROGRAM] = lower_program,
                                                             [ATTACH_CALL] = lower_call,
                                                             [ATTACH_RECORD] = lower_record,
                                                             [ATTACH_NOTE] = lower_note};
    l->insn = i;
    l->at = at;
    for (; a; a = a->next) {
        if ((at == DG_MEM_BEFORE || at == DG_MEM_AFTER) && !(a->filter & l->kind))
            continue;
        if (at == DG_MEM_AFTER && l->half && l->whole != ((a->filter & FILTER_PAIRS) != 0))
            continue;
        if (a->kind != ATTACH_ADD && a->kind != ATTACH_NOTE)
            add_pending(l);
        lower[a->kind](l, a);
    }
}

static void lower_point(Lower *l, const DgInsn *i, DgPoint at)
{
    lower_list(l, i, at, i->first[at]);
}

static void lower_plain(Lower *l, const DgInsn *i, DgPoint at)
{
    l->cond = l->base = l->addr = l->value = 0;
    l->kind = l->bytes = 0;
    lower_point(l, i, at);
}

/* Before an instruction that was begun already: what is behind the call that left for it. */
static void lower_rest(Lower *l, const DgInsn *i)
{
    const Attach *a = i->first[DG_BEFORE];

    while (a && (!l->c->after || a->order <= l->c->after->order))
        a = a->next;
    l->cond = l->base = l->addr = l->value = 0;
    l->kind = l->bytes = 0;
    lower_list(l, i, DG_BEFORE, a);
}

/* The instruction is over, and goes where the terminator `end` leads; 0: to a target that is in the same block. */
static void lower_end(Lower *l, const DgInsn *i, IrRef end)
{
    lower_plain(l, i, DG_AFTER);
    if (i->kind == LIFT_NEXT || i->kind == LIFT_LEFT || !i->first[DG_TAKEN])
        return;
    IrInsn x = end ? *ir_insn(l->b.r, end) : (IrInsn){0};
    if (i->kind == LIFT_BRANCH && x.op == IR_BRIF)
        l->cond = x.a;
    l->addr = c64(l, i->info.target);
    if (i->kind == LIFT_IND) /* in a graph a return is compared with where it must go to */
        l->addr = x.op == IR_BRIF ? ir_insn(l->b.r, x.a)->a : x.a;
    lower_point(l, i, DG_TAKEN);
}

/* Whether something wants the two accesses of this instruction as one. */
static bool has_pairs(const DgInsn *i)
{
    const Attach *a = i->info.naccess == 2 ? i->first[DG_MEM_AFTER] : NULL;

    while (a && !(a->filter & FILTER_PAIRS))
        a = a->next;
    return a != NULL;
}

/* Behind the second access of a pair: what takes both as one. */
static void lower_pair(Lower *l, const DgInsn *i)
{
    IrRef low = as_i64(l, l->first, false), high = as_i64(l, l->value, false);

    if (l->bytes == 8) {
        l->value = ir_op2(&l->b, IR_VPAIR, IR_V128, low, high);
    } else {
        low = ir_op2(&l->b, IR_AND, IR_I64, low, c64(l, UINT32_MAX));
        l->value = ir_op2(&l->b, IR_OR, IR_I64, low, ir_op2(&l->b, IR_SHL, IR_I64, high, ir_const(&l->b, IR_I8, 32)));
    }
    l->addr = ir_op2(&l->b, IR_SUB, IR_I64, addr_of(l), c64(l, l->bytes));
    l->bytes *= 2;
    l->whole = true;
    lower_point(l, i, DG_MEM_AFTER);
    l->whole = false;
}

static void lower_access(Lower *l, const DgInsn *i, IrRef ref)
{
    IrInsn x = *ir_insn(l->b.r, ref);
    bool plain = x.op == IR_LOAD || x.op == IR_STORE;
    unsigned kind = x.op == IR_LOAD ? DG_READ : x.op == IR_STORE ? DG_WRITE : DG_READ | DG_WRITE | DG_IS_ATOMIC;

    if (!i || (!i->first[DG_MEM_BEFORE] && !i->first[DG_MEM_AFTER])) {
        link_last(l, ref);
        return;
    }
    l->cond = l->addr = l->value = 0;
    l->base = x.a;
    l->disp = plain ? x.imm : 0;
    l->kind = kind;
    l->bytes = ir_type_size((IrType)x.lane);
    lower_point(l, i, DG_MEM_BEFORE);
    link_last(l, ref);
    l->value = x.op == IR_STORE ? x.b : ref;
    l->half = !has_pairs(i) ? 0 : l->half == 1 ? 2 : 1;
    lower_point(l, i, DG_MEM_AFTER);
    if (l->half == 2)
        lower_pair(l, i);
    else
        l->first = l->value;
}

/* Whether the instruction is over at its block's terminator: not at a test within it, nor where it leaves for an error.
 */
static bool ends_insn(const Lower *l, const DgInsn *i, const IrInsn *end)
{
    if (l->c->within[l->b.block] || end->op == IR_EXIT_STOP)
        return false;
    if (i->kind == LIFT_NEXT)
        return end->op == IR_BR || (end->op == IR_EXIT && end->imm == i->next);
    return i->kind == LIFT_LEFT || end->op != IR_EXIT_HELP;
}

/*
 * A block that is entered from one other only goes on where that one was: the test for room that was made there is good for what both
 * write, as long as that is less than the room behind the limit. (The first block is entered from outside as well.)
 */
static void places_begin(Lower *l, uint32_t block)
{
    unsigned n = l->c->p->nstream;
    uint32_t pred = block ? l->b.r->block[block].pred : 0;

    memset(l->place, 0, sizeof l->place);
    if (pred) /* one that is not written yet has none */
        memcpy(l->place, l->behind + (size_t)(pred - 1) * n, n * sizeof *l->place);
}

static void places_end(Lower *l)
{
    unsigned n = l->c->p->nstream;

    memcpy(l->behind + (size_t)l->b.block * n, l->place, n * sizeof *l->place);
}

static void lower_block(Lower *l, uint32_t block)
{
    IrRegion *r = l->b.r;
    const DgInsn *cur = l->c->begin[block];

    l->b.block = block;
    places_begin(l, block);
    IrRef ref = r->block[block].first, next;
    r->block[block].first = r->block[block].last = 0;
    for (; ref; ref = next) {
        IrInsn i = *ir_insn(r, ref);
        next = i.next;
        if (i.op == IR_INSN) {
            if (cur)
                lower_end(l, cur, 0);
            l->half = 0;
            link_last(l, ref);
            cur = l->c->at[ref];
            if (l->c->how->resumes && cur->info.pc == r->pc)
                lower_rest(l, cur);
            else
                lower_plain(l, cur, DG_BEFORE);
        } else if (i.op == IR_LOAD || i.op == IR_STORE || i.op == IR_CAS || i.op == IR_RMW) {
            lower_access(l, cur, ref);
        } else {
            if ((ir_ops[i.op].flags & IRF_END) && cur && ends_insn(l, cur, &i))
                lower_end(l, cur, ref);
            link_last(l, ref);
        }
    }
    places_end(l);
}

void code_lower(Code *c)
{
    Lower l = {.c = c, .slots = !c->calls};
    uint32_t n = c->r->nblock;

    l.behind = arena_zalloc(c->r->arena, (size_t)n * c->p->nstream * sizeof *l.behind);
    ir_builder_init(&l.b, c->r);
    for (uint32_t b = 0; b < n; b++)
        lower_block(&l, b);
}
