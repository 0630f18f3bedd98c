/*
 * The text form of a region: one instruction a line, `%N` being instruction number N, so that parsing gives the same
 * numbers back.
 *
 *   region 0x1000
 *   block0:
 *     insn 0x1000 4
 *     %2:i64 = get x1
 *     %3:v128 = vmull.i16x4 %5, %6 aux=0x11
 *     %7:i8 = icmp.i64 slt %2, %4
 *     %8:i64 = load.i32 [%2 + 8] acquire signed {0x1000 x0=%5 n=%7}
 *     store.i64 [%2 - 16], %8
 *     brif %7, block1, block2(%8)
 *   block1 cold:
 *     exit 0x2000 poll {0x1000}
 *
 * The first line may end with `soft` and `graph` (IrFpMode, IrRegion.graph). `lazy`, `quiet` and `bool` are IR_LAZY, IR_QUIET and IR_BOOL.
 * Braces hold a snapshot: the guest pc, and slot=value pairs.
 */
#include "ir/text.h"

#include <inttypes.h>

const char *const ir_icmp_names[] = {"never", "lt", "eq", "le", "gt", "ne", "ge", "always", NULL};
const char *const ir_fcmp_names[] = {"never", "lt", "eq", "le", "gt", "lg", "ge", "leg",
                                     "un", "ltu", "equ", "leu", "gtu", "lgu", "geu", "always", NULL};
const char *const ir_rmw_names[] = {"add", "clr", "xor", "or", "maxs", "mins", "maxu", "minu", "swap", NULL};
const char *const ir_hint_names[] = {"jump", "call", "ret", "many", "stray", NULL};
const char *const ir_stop_names[] = {"none", "check", "illegal", "break", "fault", "exit", "fetch", "resume", NULL};
const char *const ir_order_names[] = {"", "acquire", "release", "acq_rel", "seq_cst", "tso", "acquire_pc", "order7", NULL};
const char *const ir_attr_names[] = {"signed", "soft", "watch", "careful", "aligned", "attr5", "attr6", "unlock", NULL};

IrForm ir_form(unsigned op)
{
    switch (op) {
    case IR_CONST: return IR_FORM_CONST;
    case IR_VCONST: return IR_FORM_VCONST;
    case IR_PARAM: return IR_FORM_NUMBER;
    case IR_ICMP: case IR_VICMP: return IR_FORM_ICMP;
    case IR_FCMP: case IR_VFCMP: return IR_FORM_FCMP;
    case IR_LOAD: case IR_STORE: case IR_CAS: return IR_FORM_MEM;
    case IR_RMW: return IR_FORM_RMW;
    case IR_FENCE: return IR_FORM_FENCE;
    case IR_GET: return IR_FORM_GET;
    case IR_PUT: return IR_FORM_PUT;
    case IR_INSN: return IR_FORM_INSN;
    case IR_CALL: return IR_FORM_CALL;
    case IR_BR: return IR_FORM_BR;
    case IR_BRIF: return IR_FORM_BRIF;
    case IR_EXIT: case IR_EXIT_CALL: return IR_FORM_EXIT;
    case IR_EXIT_IND: return IR_FORM_EXIT_IND;
    case IR_EXIT_HELP: return IR_FORM_EXIT_HELP;
    case IR_EXIT_STOP: return IR_FORM_EXIT_STOP;
    default: return IR_FORM_PLAIN;
    }
}

unsigned ir_nargs(unsigned op)
{
    unsigned n = 0;

    while (n < 3 && ir_ops[op].arg[n] != IRR_N)
        n++;
    return n;
}

static void print_number(FILE *f, uint64_t v)
{
    fprintf(f, v < 10 ? "%" PRIu64 : "0x%" PRIx64, v);
}

static void print_args(FILE *f, const IrRegion *r, IrRef at, uint32_t n)
{
    fputc('(', f);
    for (uint32_t k = 0; k < n; k++)
        fprintf(f, "%s%%%u", k ? ", " : "", r->pool[at + k]);
    fputc(')', f);
}

static void print_target(FILE *f, const IrRegion *r, uint32_t block, IrRef list)
{
    fprintf(f, "block%u", block);
    if (list && r->pool[list])
        print_args(f, r, list + 1, r->pool[list]);
}

static void print_mem_flags(FILE *f, unsigned flags)
{
    if (flags & IR_ORDER_MASK)
        fprintf(f, " %s", ir_order_names[flags & IR_ORDER_MASK]);
    for (unsigned k = 0; ir_attr_names[k]; k++)
        if (flags >> (3 + k) & 1)
            fprintf(f, " %s", ir_attr_names[k]);
}

static void print_address(FILE *f, const IrInsn *i)
{
    int64_t d = (int64_t)i->imm;

    fprintf(f, " [%%%u", i->a);
    if (d) {
        fprintf(f, d < 0 ? " - " : " + ");
        print_number(f, d < 0 ? 0 - (uint64_t)d : (uint64_t)d);
    }
    fputc(']', f);
}

static void print_helper(FILE *f, const IrRegion *r, const IrInsn *i)
{
    if (i->imm < r->nhelpers)
        fprintf(f, " %s", r->helpers[i->imm].name);
    else
        fprintf(f, " #%" PRIu64, i->imm);
    print_args(f, r, i->a, i->b);
}

static void print_plain(FILE *f, const IrInsn *i, unsigned from)
{
    IrRef arg[3] = {i->a, i->b, i->c};

    for (unsigned k = from; k < ir_nargs(i->op); k++)
        fprintf(f, "%s%%%u", k ? ", " : " ", arg[k]);
}

static void print_attrs(FILE *f, const IrInsn *i)
{
    if (i->imm) {
        fprintf(f, " #");
        print_number(f, i->imm);
    }
    if (i->aux)
        fprintf(f, " aux=0x%x", i->aux);
    if (i->flags & ~IR_LAZY)
        fprintf(f, " flags=0x%x", i->flags & ~IR_LAZY);
}

static void print_slot(FILE *f, const IrRegion *r, uint64_t slot)
{
    if (slot < r->slots->count)
        fputs(r->slots->slot[slot].name, f);
    else
        fprintf(f, "#%" PRIu64, slot);
}

static void print_control(FILE *f, const IrRegion *r, const IrInsn *i)
{
    switch (ir_form(i->op)) {
    case IR_FORM_BR:
        fputc(' ', f);
        fprintf(f, "block%u", (uint32_t)i->imm);
        if (i->b)
            print_args(f, r, i->a, i->b);
        break;
    case IR_FORM_BRIF:
        fprintf(f, " %%%u, ", i->a);
        print_target(f, r, (uint32_t)i->imm, i->b);
        fprintf(f, ", ");
        print_target(f, r, (uint32_t)(i->imm >> 32), i->c);
        break;
    case IR_FORM_EXIT:
        fprintf(f, " 0x%" PRIx64, i->imm);
        if (i->op == IR_EXIT_CALL)
            fprintf(f, ", %%%u", i->a);
        if (i->aux & IR_EXIT_POLL)
            fprintf(f, " poll");
        if (i->aux & IR_EXIT_COUNT)
            fprintf(f, " count");
        if (i->aux & IR_EXIT_FLAGS)
            fprintf(f, " flags");
        break;
    case IR_FORM_EXIT_IND:
        fprintf(f, " %s %%%u", i->aux <= IR_HINT_STRAY ? ir_hint_names[i->aux] : "?", i->a);
        if (i->b)
            fprintf(f, ", %%%u", i->b);
        break;
    case IR_FORM_EXIT_HELP:
        print_helper(f, r, i);
        fprintf(f, ", %%%u", i->c);
        break;
    default: /* EXIT_STOP */
        fprintf(f, " 0x%" PRIx64 " %s", i->imm, i->aux <= IR_STOP_FETCH ? ir_stop_names[i->aux] : "?");
        break;
    }
}

static void print_operands(FILE *f, const IrRegion *r, const IrInsn *i)
{
    switch (ir_form(i->op)) {
    case IR_FORM_CONST: case IR_FORM_NUMBER:
        fputc(' ', f);
        print_number(f, i->imm);
        break;
    case IR_FORM_VCONST:
        if (i->imm < r->nvconst)
            fprintf(f, " 0x%" PRIx64 ":0x%" PRIx64, r->vconst[i->imm].u64[1], r->vconst[i->imm].u64[0]);
        break;
    case IR_FORM_ICMP:
        fprintf(f, " %s%s", i->aux & IR_PSIGNED ? "s" : (i->aux & 7) == 0 || (i->aux & 7) == 7 || (i->aux & 7) == 2 ||
                (i->aux & 7) == 5 ? "" : "u", ir_icmp_names[i->aux & 7]);
        print_plain(f, i, 0);
        break;
    case IR_FORM_FCMP:
        fprintf(f, " %s%s", ir_fcmp_names[i->aux & 15], i->aux & IR_SIGNALLING ? "!" : "");
        print_plain(f, i, 0);
        fputs(i->flags & IR_QUIET ? " quiet" : "", f);
        break;
    case IR_FORM_RMW:
        fprintf(f, " %s", i->aux <= IR_RMW_SWAP ? ir_rmw_names[i->aux] : "?");
        /* fall through */
    case IR_FORM_MEM:
        print_address(f, i);
        print_plain(f, i, 1);
        print_mem_flags(f, i->flags);
        break;
    case IR_FORM_FENCE:
        print_mem_flags(f, i->flags);
        break;
    case IR_FORM_GET:
        fputc(' ', f);
        print_slot(f, r, i->imm);
        break;
    case IR_FORM_PUT:
        fputc(' ', f);
        print_slot(f, r, i->imm);
        fprintf(f, ", %%%u", i->a);
        break;
    case IR_FORM_INSN:
        fprintf(f, " 0x%" PRIx64, i->imm);
        if (i->aux)
            fprintf(f, " %u", i->aux);
        break;
    case IR_FORM_CALL:
        print_helper(f, r, i);
        break;
    case IR_FORM_PLAIN:
        print_plain(f, i, 0);
        print_attrs(f, i);
        break;
    default:
        print_control(f, r, i);
        break;
    }
}

static void print_snap(FILE *f, const IrRegion *r, uint32_t snap)
{
    if (snap >= r->nsnap) {
        fprintf(f, " {?}");
        return;
    }
    const IrSnap *s = &r->snap[snap];
    fprintf(f, " {0x%" PRIx64, s->pc);
    for (uint32_t k = 0; k < s->count; k++) {
        fputc(' ', f);
        print_slot(f, r, r->snapent[s->first + k].slot);
        fprintf(f, "=%%%u", r->snapent[s->first + k].val);
    }
    fputc('}', f);
}

void ir_print_insn(FILE *f, const IrRegion *r, IrRef ref)
{
    const IrInsn *i = ir_insn(r, ref);

    if (i->op >= IR_NOPS) {
        fprintf(f, "  ; bad operation %u\n", i->op);
        return;
    }
    fprintf(f, "  ");
    if (i->type != IR_VOID)
        fprintf(f, "%%%u:%s = ", ref, ir_type_name(i->type));
    fprintf(f, "%s", ir_ops[i->op].name);
    if (i->lane)
        fprintf(f, ".%s", ir_type_name(i->lane));
    if (i->lanes)
        fprintf(f, "x%u", i->lanes);
    print_operands(f, r, i);
    if ((i->flags & IR_LAZY) && (ir_ops[i->op].flags & IRF_PURE))
        fprintf(f, " lazy");
    if (i->op == IR_PARAM && (i->flags & IR_BOOL))
        fprintf(f, " bool");
    if (i->snap)
        print_snap(f, r, i->snap);
    fputc('\n', f);
}

void ir_print(FILE *f, const IrRegion *r)
{
    fprintf(f, "region 0x%" PRIx64, r->pc);
    if (r->fp.nan_rule)
        fprintf(f, " nan=%u", r->fp.nan_rule);
    fprintf(f, "%s%s\n", r->fp.soft ? " soft" : "", r->graph ? " graph" : "");
    for (uint32_t b = 0; b < r->nblock; b++) {
        fprintf(f, "block%u%s:\n", b, r->block[b].cold ? " cold" : "");
        for (IrRef ref = r->block[b].first; ref; ref = ir_insn(r, ref)->next)
            if (ir_insn(r, ref)->op != IR_NOP)
                ir_print_insn(f, r, ref);
    }
}
