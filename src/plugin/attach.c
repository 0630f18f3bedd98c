/* What tools ask for at an instruction, checked here so that lowering cannot fail. */
#include "plugin/code.h"

#include "base/check.h"

#include <string.h>

static Attach *attach(DgInsn *i, DgPoint at, unsigned filter, AttachKind kind)
{
    Code *c = i->block->code;

    if ((unsigned)at >= POINTS || (at == DG_FAULT && kind != ATTACH_CALL))
        return NULL;
    Attach *a = arena_zalloc(&fetch_vcpu(c->f)->arena, sizeof *a);
    a->kind = kind;
    a->filter = filter & (DG_READ | DG_WRITE) ? filter : filter | DG_READ | DG_WRITE;
    a->h = c->now;
    a->order = i->count[at]++;
    *i->last[at] = a;
    i->last[at] = &a->next;
    return a;
}

static bool cell_ok(const Code *c, DgCell cell, uint32_t length)
{
    uint32_t limit = cell_limit(c->p->tools.e);

    return cell < limit && length <= limit - cell;
}

/* One that may be read. */
static bool plain_ok(const Code *c, DgCell cell, uint32_t length)
{
    return cell_ok(c, cell, length) && cell_places(c->p, cell) == 1;
}

static void api_add(DgInsn *i, DgPoint at, unsigned filter, DgCell cell, uint64_t value)
{
    Attach *a = cell_ok(i->block->code, cell, 1) ? attach(i, at, filter, ATTACH_ADD) : NULL;

    if (a) {
        a->cell = cell;
        a->value = value;
    }
}

static void *copy_of(const Code *c, const void *from, size_t size)
{
    return memcpy(arena_alloc(&fetch_vcpu(c->f)->arena, size ? size : 1), from, size);
}

/* --- inline programs ---------------------------------------------------------------------------------------------- */

static bool arg_ok(const Code *c, DgPoint at, uint64_t arg, uint32_t number)
{
    switch (arg) {
    case DG_ARG_PC:
    case DG_ARG_THREAD:
        return true;
    case DG_ARG_ADDR:
    case DG_ARG_BYTES:
    case DG_ARG_KIND:
        return at == DG_MEM_BEFORE || at == DG_MEM_AFTER;
    case DG_ARG_VALUE:
    case DG_ARG_VALUE_HIGH:
        return at == DG_MEM_AFTER;
    case DG_ARG_TARGET:
        return at == DG_TAKEN;
    case DG_ARG_REG:
        return number < engine_guest(c->p->tools.e)->slots.count;
    default:
        return false;
    }
}

static bool power_of_two(uint32_t n)
{
    return n && !(n & (n - 1));
}

static bool op_ok(const Code *c, DgPoint at, const DgOp *o, unsigned rest)
{
    /* DG_OP_ARG has a register's number in `a` */
    if (o->d >= DG_TEMPS || o->b >= DG_TEMPS || (o->kind != DG_OP_ARG && o->a >= DG_TEMPS))
        return false;
    switch (o->kind) {
    case DG_OP_ARG:
        return arg_ok(c, at, o->imm, o->a);
    case DG_OP_LOAD:
    case DG_OP_STORE:
        return (o->length == 0 || power_of_two(o->length)) && plain_ok(c, o->cell, o->length ? o->length : 1);
    case DG_OP_COUNT:
        return power_of_two(o->length) && plain_ok(c, o->cell, o->length);
    case DG_OP_SHL:
    case DG_OP_SHR:
        return o->imm < 64;
    case DG_OP_CMP:
        return o->imm <= DG_LES;
    case DG_OP_SKIP:
        return o->imm <= rest;
    case DG_OP_CALL:
        return o->fn && o->access <= DG_REGS_READ;
    default:
        return o->kind < DG_OP_CALL;
    }
}

bool attach_program(DgInsn *i, DgPoint at, unsigned filter, const DgOp *op, unsigned n, TellFn *tell)
{
    Code *c = i->block->code;

    if (n > DG_PROGRAM_MAX || at == DG_FAULT)
        return false;
    for (unsigned k = 0; k < n; k++)
        if (!op_ok(c, at, &op[k], n - k - 1))
            return false;
    Attach *a = attach(i, at, filter, ATTACH_PROGRAM);
    if (!a)
        return false;
    for (unsigned k = 0; k < n; k++)
        c->calls |= op[k].kind == DG_OP_CALL;
    a->op = copy_of(c, op, n * sizeof *op);
    a->n = n;
    a->tell = tell;
    return true;
}

static bool api_program(DgInsn *i, DgPoint at, unsigned filter, const DgOp *op, unsigned n)
{
    return attach_program(i, at, filter, op, n, NULL);
}

/* --- calls -------------------------------------------------------------------------------------------------------- */

/* Under lock: what to call when the instruction at pc faults. */
static void on_fault(Code *c, uint64_t pc, DgCallFn *fn, void *data)
{
    _Atomic(FaultHook *) *head = &c->p->faults[(pc >> 2) % FAULT_BUCKETS];

    for (const FaultHook *x = atomic_load(head); x; x = x->next)
        if (x->pc == pc && x->h == c->now && x->fn == fn && x->data == data)
            return;
    FaultHook *f = arena_zalloc(&c->p->arena, sizeof *f);
    *f = (FaultHook){pc, c->now, fn, data, atomic_load(head)};
    atomic_store(head, f);
    atomic_fetch_add(&c->p->nfault, 1);
}

static Attach *attach_call(DgInsn *i, DgPoint at, unsigned filter, DgCallFn *fn, void *data)
{
    Attach *a = fn ? attach(i, at, filter, ATTACH_CALL) : NULL;

    if (!a)
        return NULL;
    a->fn = fn;
    a->data = data;
    i->block->code->calls = true;
    return a;
}

static void api_call(DgInsn *i, DgPoint at, unsigned filter, DgCallFn *fn, void *data, unsigned access)
{
    if (at == DG_FAULT) {
        on_fault(i->block->code, i->info.pc, fn, data);
        return;
    }
    Attach *a = attach_call(i, at, filter, fn, data);
    if (a) /* in the middle of an instruction there is no state to go on from */
        a->access = at == DG_BEFORE || at == DG_AFTER ? access : access & DG_REGS_READ;
}

void attach_tell(DgInsn *i, DgPoint at, unsigned filter, DgCallFn *fn, void *data, TellFn *tell)
{
    Attach *a = attach_call(i, at, filter, fn, data);

    if (a)
        a->tell = tell;
}

/* --- records ------------------------------------------------------------------------------------------------------ */

static bool field_ok(const Code *c, DgPoint at, const DgField *f)
{
    if (!power_of_two(f->bytes) || f->bytes > 8 || (uint32_t)f->offset + f->bytes > RECORD_MAX)
        return false;
    if (f->arg == DG_FIELD_CONST)
        return true;
    if (f->arg == DG_FIELD_CELL)
        return plain_ok(c, f->number, 1);
    return arg_ok(c, at, f->arg, f->number);
}

/* NULL: refused. */
static Attach *attach_record(DgInsn *i, DgPoint at, unsigned filter, DgStream *s, const DgField *field, unsigned n)
{
    Code *c = i->block->code;

    uint32_t bytes = s ? s->record : 0;

    if (n > DG_FIELDS_MAX || !s)
        return NULL;
    for (unsigned k = 0; k < n; k++) {
        if (!field_ok(c, at, &field[k]))
            return NULL;
        while (bytes < (uint32_t)field[k].offset + field[k].bytes)
            bytes += s->record;
    }
    Attach *a = attach(i, at, filter, ATTACH_RECORD);
    if (!a)
        return NULL;
    a->stream = s;
    a->bytes = bytes;
    a->field = copy_of(c, field, n * sizeof *field);
    a->n = n;
    return a;
}

static bool api_record(DgInsn *i, DgPoint at, unsigned filter, DgStream *s, const DgField *field, unsigned n)
{
    return attach_record(i, at, filter, s, field, n) != NULL;
}

static bool api_record_outside(DgInsn *i, DgPoint at, unsigned filter, DgStream *s, const DgField *field, unsigned n, uint64_t start,
                               uint64_t end)
{
    bool address = at == DG_TAKEN || at == DG_MEM_BEFORE || at == DG_MEM_AFTER;
    Attach *a = address && start <= end ? attach_record(i, at, filter, s, field, n) : NULL;

    if (!a)
        return false;
    a->start = start;
    a->end = end;
    return true;
}

static bool api_record_new(DgInsn *i, DgPoint at, unsigned filter, DgFilter *f, uint32_t number, uint64_t addr)
{
    Attach *a = f && at != DG_TAKEN && at != DG_FAULT ? attach(i, at, filter, ATTACH_NOTE) : NULL;

    if (!a)
        return false;
    a->note = f;
    a->number = number;
    a->addr = addr;
    return true;
}

void attach_api(DgApi *api)
{
    api->record_new = api_record_new;
    api->add = api_add;
    api->program_at = api_program;
    api->call = api_call;
    api->record = api_record;
    api->record_outside = api_record_outside;
}
