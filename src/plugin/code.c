/* Reading a lifted region: which instructions it has, in which pieces, and what they are by what they do. */
#include "plugin/code.h"

#include "base/check.h"

#include <string.h>

/* --- what an instruction is --------------------------------------------------------------------------------------- */

static unsigned class_of_op(const IrInsn *i)
{
    switch (i->op) {
    case IR_LOAD:
        return DG_LOAD | (i->flags & IR_ORDER_MASK ? DG_ORDERED : 0);
    case IR_STORE:
        return DG_STORE | (i->flags & IR_ORDER_MASK ? DG_ORDERED : 0);
    case IR_CAS:
    case IR_RMW:
        return DG_LOAD | DG_STORE | DG_ATOMIC | (i->flags & IR_ORDER_MASK ? DG_ORDERED : 0);
    case IR_FENCE:
        return DG_ORDERED;
    case IR_EXIT_STOP:
        return DG_ILLEGAL;
    case IR_NOP:
    case IR_CONST:
    case IR_VCONST:
    case IR_COPY:
    case IR_GET:
    case IR_PUT:
    case IR_INSN:
        return 0;
    }
    if (i->op >= IR_AESENC && i->op <= IR_SHA512SU)
        return DG_CRYPTO;
    unsigned class = ir_ops[i->op].flags & IRF_FP && i->op != IR_CALL ? DG_FP : 0;
    if ((i->type == IR_V128 || i->lanes) && (ir_ops[i->op].flags & (IRF_PURE | IRF_FP)))
        class |= DG_VECTOR;
    if (i->op >= IR_MUL && i->op <= IR_DIVS && i->type != IR_V128)
        class |= DG_MULDIV;
    return class;
}

static unsigned class_of_flow(const InsnView *v)
{
    static const unsigned hint[] = {[IR_HINT_JUMP] = DG_JUMP, [IR_HINT_CALL] = DG_CALL, [IR_HINT_RET] = DG_RETURN};

    switch (v->kind) {
    case LIFT_JUMP:
        return DG_JUMP | DG_ENDS_BLOCK;
    case LIFT_BRANCH:
        return DG_BRANCH | DG_ENDS_BLOCK;
    case LIFT_CALL:
        return DG_CALL | DG_ENDS_BLOCK;
    case LIFT_IND:
        return hint[v->hint] | DG_INDIRECT | DG_ENDS_BLOCK;
    case LIFT_LEFT:
        return DG_SYSTEM | DG_ENDS_BLOCK;
    default:
        return 0;
    }
}

static void add_reg(uint64_t set[DG_REGS_MAX], uint64_t slot)
{
    set[slot / 64 % DG_REGS_MAX] |= 1ull << (slot % 64);
}

static void begin_info(DgInsnInfo *out, unsigned class, uint64_t pc, const uint8_t *bytes, unsigned length)
{
    *out = (DgInsnInfo){.size = sizeof *out, .class_ = class, .pc = pc, .length = (uint8_t)length};
    memcpy(out->bytes, bytes, length < DG_INSN_MAX ? length : DG_INSN_MAX);
}

/* One of its operations; `flags`: the guest's slots that are flags. */
static void add_op(DgInsnInfo *out, const IrInsn *i, uint64_t flags)
{
    out->class_ |= class_of_op(i);
    out->naccess += i->op == IR_LOAD || i->op == IR_STORE || i->op == IR_CAS || i->op == IR_RMW;
    if (i->op == IR_GET)
        add_reg(out->reads, i->imm);
    if (i->op != IR_PUT)
        return;
    add_reg(out->writes, i->imm);
    if (i->imm < 64 && (flags >> i->imm & 1))
        out->class_ |= DG_FLAGS;
}

static void describe(const Plugins *p, const InsnView *v, DgInsnInfo *out)
{
    begin_info(out, class_of_flow(v), v->pc, v->bytes, v->length);
    out->target = v->target;
    for (IrRef ref = v->first; ref < v->r->ninsn; ref++)
        add_op(out, ir_insn(v->r, ref), engine_guest(p->tools.e)->flags);
    if (out->class_ & DG_ILLEGAL)
        out->class_ &= ~(unsigned)DG_SYSTEM;
}

/*
 * What is simple is seen in the region itself: an instruction that does something, and goes on in the same block at the one
 * behind it. (A jump to there does nothing.)
 */
static bool read_simple(Code *c, IrRef mark, DgInsn *i)
{
    const IrInsn *m = ir_insn(c->r, mark);
    uint64_t flags = engine_guest(c->p->tools.e)->flags;
    IrRef ref = m->next;
    size_t avail = 0;

    while (ref && ir_insn(c->r, ref)->op != IR_INSN)
        ref = ir_insn(c->r, ref)->next;
    if (!ref || ref == m->next || ir_insn(c->r, ref)->imm != m->imm + m->aux)
        return false;
    const uint8_t *bytes = insn_bytes(c->f, m->imm, &avail);
    if (!bytes || avail < m->aux)
        return false;
    begin_info(&i->info, 0, m->imm, bytes, m->aux);
    for (ref = m->next; ir_insn(c->r, ref)->op != IR_INSN; ref = ir_insn(c->r, ref)->next)
        add_op(&i->info, ir_insn(c->r, ref), flags);
    i->next = m->imm + m->aux;
    i->kind = LIFT_NEXT;
    return true;
}

static DgInsn *look(Code *c, IrRef mark)
{
    DgInsn *i = arena_zalloc(&fetch_vcpu(c->f)->arena, sizeof *i);
    uint64_t pc = ir_insn(c->r, mark)->imm;
    InsnView v;

    if (read_simple(c, mark, i)) {
        /* all is known */
    } else if (insn_view(c->f, pc, &c->scratch, &v)) {
        describe(c->p, &v, &i->info);
        i->next = v.next;
        i->kind = v.kind;
        i->hint = v.hint;
    } else { /* the guest has changed it meanwhile: this translation will not be used */
        i->info = (DgInsnInfo){.size = sizeof i->info, .class_ = DG_ILLEGAL | DG_ENDS_BLOCK, .pc = pc};
        i->kind = LIFT_LEFT;
    }
    for (unsigned k = 0; k < POINTS; k++)
        i->last[k] = &i->first[k];
    return i;
}

/* --- pieces ------------------------------------------------------------------------------------------------------- */

static void *grown(Arena *a, void *old, uint32_t n, uint32_t *cap)
{
    if (n < *cap)
        return old;
    uint32_t more = *cap ? 2 * *cap : 16;
    void **to = ARENA_ARRAY(a, void *, more);
    if (n)
        memcpy(to, old, n * sizeof *to);
    *cap = more;
    return to;
}

static void append(Code *c, DgBlock *b, DgInsn *i)
{
    b->insn = grown(&fetch_vcpu(c->f)->arena, b->insn, b->n, &b->cap);
    b->insn[b->n++] = i;
    i->block = b;
}

/* The piece that goes on with i after `last`, or a new one. */
static DgBlock *piece_for(Code *c, const DgInsn *last, const DgInsn *i)
{
    if (last && last->kind == LIFT_NEXT && last->next == i->info.pc)
        return last->block;
    Arena *a = &fetch_vcpu(c->f)->arena;
    DgBlock *b = arena_zalloc(a, sizeof *b);
    b->code = c;
    c->block = grown(a, c->block, c->nblock, &c->cap_block);
    c->block[c->nblock++] = b;
    return b;
}

static void walk(Code *c, uint32_t block, DgInsn *last, bool *seen);

/* Whether a block is where an instruction leaves to a helper that lift_guard has put a test before. */
static bool fails(const Code *c, uint32_t block)
{
    const IrBlock *b = &c->r->block[block];

    return b->cold && b->npreds == 1 && ir_insn(c->r, b->last)->op == IR_EXIT_HELP;
}

/* A branch in the middle of instruction `last`: both ways belong to it. */
static void walk_on(Code *c, uint32_t block, DgInsn *last, bool *seen)
{
    const IrInsn *end = ir_insn(c->r, c->r->block[block].last);
    uint32_t yes = (uint32_t)end->imm, no = (uint32_t)(end->imm >> 32);

    if (end->op != IR_BRIF || !last || (last->kind != LIFT_NEXT && !fails(c, no)))
        return;
    c->within[block] = true;
    walk(c, yes, last, seen);
    walk(c, no, last, seen);
}

static void walk(Code *c, uint32_t block, DgInsn *last, bool *seen)
{
    if (seen[block])
        return;
    seen[block] = true;
    c->begin[block] = last;
    for (IrRef ref = c->r->block[block].first; ref; ref = ir_insn(c->r, ref)->next) {
        if (ir_insn(c->r, ref)->op != IR_INSN)
            continue;
        DgInsn *i = look(c, ref);
        append(c, piece_for(c, last, i), i);
        c->at[ref] = last = i;
    }
    walk_on(c, block, last, seen);
}

void code_read(Code *c)
{
    Arena *a = &fetch_vcpu(c->f)->arena;
    bool *seen = arena_zalloc(a, c->r->nblock * sizeof *seen);

    c->at = arena_zalloc(a, c->r->ninsn * sizeof *c->at);
    c->begin = arena_zalloc(a, c->r->nblock * sizeof *c->begin);
    c->within = arena_zalloc(a, c->r->nblock * sizeof *c->within);
    for (uint32_t b = 0; b < c->r->nblock; b++)
        walk(c, b, NULL, seen);
}

void code_split(Code *c, DgBlock *b, uint32_t at)
{
    if (at == 0 || at >= b->n)
        return;
    DgBlock *rest = piece_for(c, NULL, NULL);
    for (uint32_t k = at; k < b->n; k++)
        append(c, rest, b->insn[k]);
    b->n = at;
}

/* --- the public view ---------------------------------------------------------------------------------------------- */

static uint64_t block_pc(const DgBlock *b)
{
    return b->insn[0]->info.pc;
}

static uint32_t block_insns(const DgBlock *b)
{
    return b->n;
}

static uint32_t block_bytes(const DgBlock *b)
{
    const DgInsnInfo *last = &b->insn[b->n - 1]->info;

    return (uint32_t)(last->pc + last->length - block_pc(b));
}

static uint32_t block_tier(const DgBlock *b)
{
    return b->code->how->tier;
}

static uint64_t block_region(const DgBlock *b)
{
    return b->code->r->pc;
}

static DgInsn *block_insn(DgBlock *b, uint32_t n)
{
    return n < b->n ? b->insn[n] : NULL;
}

static void insn_info(const DgInsn *i, DgInsnInfo *out)
{
    uint32_t size = out->size < sizeof i->info ? out->size : (uint32_t)sizeof i->info;

    memcpy(out, &i->info, size);
    out->size = size;
}

static uint64_t insn_pc(const DgInsn *i)
{
    return i->info.pc;
}

static uint32_t insn_class(const DgInsn *i)
{
    return i->info.class_;
}

static size_t disassemble(const DgInsn *i, char *buf, size_t len)
{
    const Guest *g = engine_guest(i->block->code->p->tools.e);

    if (!i->info.length || !len)
        return 0;
    g->disas(i->info.pc, i->info.bytes, DG_INSN_MAX, buf, len);
    return strlen(buf);
}

void code_api(DgApi *api)
{
    api->block_pc = block_pc;
    api->block_insns = block_insns;
    api->block_bytes = block_bytes;
    api->block_tier = block_tier;
    api->block_region = block_region;
    api->block_insn = block_insn;
    api->insn_info = insn_info;
    api->insn_pc = insn_pc;
    api->insn_class = insn_class;
    api->insn_text = disassemble;
}
