/*
 * Reading the text form (see print.c). Written for tests and for `dragoman dev`: it never crashes on bad text, and says
 * where it stopped. A value written %N becomes instruction N; instructions without a value take the numbers between.
 */
#include "ir/text.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define MAX_REF (1u << 16)
#define MAX_BLOCKS 4096u
#define MAX_LIST 256u

typedef struct Parse {
    const char *p;
    unsigned line;
    IrRegion *r;
    bool failed;
    char *err;
    size_t errlen;
    uint8_t *taken;    /* instruction numbers that the text gives to values */
    uint32_t free;     /* next candidate for an instruction without a value */
    uint32_t block;    /* being filled */
    bool started;      /* a block header was seen */
} Parse;

__attribute__((format(printf, 2, 3))) static void fail(Parse *s, const char *fmt, ...)
{
    va_list ap;

    if (s->failed)
        return;
    s->failed = true;
    int n = snprintf(s->err, s->errlen, "line %u: ", s->line);
    if (n < 0 || (size_t)n >= s->errlen)
        return;
    va_start(ap, fmt);
    vsnprintf(s->err + n, s->errlen - (size_t)n, fmt, ap);
    va_end(ap);
}

/* --- words ------------------------------------------------------------------------------------------------------------------ */

static void blanks(Parse *s)
{
    while (*s->p == ' ' || *s->p == '\t' || *s->p == '\r')
        s->p++;
}

static bool accept(Parse *s, const char *text)
{
    size_t n = strlen(text);

    blanks(s);
    if (strncmp(s->p, text, n) != 0)
        return false;
    s->p += n;
    return true;
}

static void expect(Parse *s, const char *text)
{
    if (!accept(s, text))
        fail(s, "expected '%s'", text);
}

static bool word_char(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '.';
}

/* The word at the cursor into buf; empty when there is none. */
static void word(Parse *s, char *buf, size_t len)
{
    size_t n = 0;

    blanks(s);
    while (word_char(*s->p) && n + 1 < len)
        buf[n++] = *s->p++;
    buf[n] = 0;
}

/* Accept `name` only as a whole word. */
static bool accept_word(Parse *s, const char *name)
{
    const char *at = s->p;

    if (*name && accept(s, name) && !word_char(*s->p))
        return true;
    s->p = at;
    return false;
}

static int one_of(Parse *s, const char *const *names)
{
    for (int k = 0; names[k]; k++)
        if (accept_word(s, names[k]))
            return k;
    return -1;
}

static uint64_t number(Parse *s)
{
    char *end;

    blanks(s);
    if (!isdigit((unsigned char)*s->p)) {
        fail(s, "expected a number");
        return 0;
    }
    uint64_t v = strtoull(s->p, &end, 0);
    s->p = end;
    return v;
}

static uint32_t limited(Parse *s, uint32_t below, const char *what)
{
    uint64_t v = number(s);

    if (v >= below) {
        fail(s, "%s out of range", what);
        return 0;
    }
    return (uint32_t)v;
}

static IrRef value(Parse *s)
{
    expect(s, "%");
    uint32_t ref = limited(s, MAX_REF, "value");
    if (!s->failed && (ref == 0 || !s->taken[ref])) {
        fail(s, "%%%u is nowhere defined", ref);
        return 0;
    }
    return ref;
}

static int type_named(const char *name)
{
    for (int t = 0; t < IR_NTYPES; t++)
        if (strcmp(ir_type_name(t), name) == 0)
            return t;
    return -1;
}

static uint32_t slot(Parse *s)
{
    char name[32];

    word(s, name, sizeof name);
    for (uint32_t k = 0; k < s->r->slots->count; k++)
        if (strcmp(s->r->slots->slot[k].name, name) == 0)
            return k;
    fail(s, "no slot '%s'", name);
    return 0;
}

static uint32_t block_name(Parse *s)
{
    expect(s, "block");
    return limited(s, MAX_BLOCKS, "block");
}

/* --- operation names ---------------------------------------------------------------------------------------------------------- */

static int op_named(const char *name, size_t n)
{
    for (int k = 0; k < IR_NOPS; k++)
        if (strlen(ir_ops[k].name) == n && memcmp(ir_ops[k].name, name, n) == 0)
            return k;
    return -1;
}

/* `.i32` or `.i8x16` at the end of an operation's word. */
static bool lane_suffix(const char *text, IrInsn *i)
{
    char name[8];
    size_t n = strcspn(text, "x");

    if (n >= sizeof name)
        return false;
    memcpy(name, text, n);
    name[n] = 0;
    int t = type_named(name);
    if (t < 0)
        return false;
    i->lane = (uint8_t)t;
    if (text[n] == 'x')
        i->lanes = (uint8_t)atoi(text + n + 1);
    return true;
}

static void operation(Parse *s, IrInsn *i)
{
    char name[48];

    word(s, name, sizeof name);
    int op = op_named(name, strlen(name));
    char *dot = strrchr(name, '.');
    if (op < 0 && dot && lane_suffix(dot + 1, i))
        op = op_named(name, (size_t)(dot - name));
    if (op <= 0)
        fail(s, "no operation '%s'", name);
    i->op = op > 0 ? (uint16_t)op : IR_NOP;
}

/* --- operands ------------------------------------------------------------------------------------------------------------------- */

static void operands(Parse *s, IrInsn *i, unsigned from)
{
    IrRef *arg[3] = {&i->a, &i->b, &i->c};

    for (unsigned k = from; k < ir_nargs(i->op) && !s->failed; k++) {
        if (k)
            expect(s, ",");
        *arg[k] = value(s);
    }
}

static void attributes(Parse *s, IrInsn *i)
{
    if (accept(s, "#"))
        i->imm = number(s);
    if (accept(s, "aux="))
        i->aux = (uint8_t)limited(s, 256, "aux");
    if (accept(s, "flags="))
        i->flags = (uint16_t)limited(s, 1 << 16, "flags");
}

/* (%1, %2) into list[]; nothing when there is no parenthesis. */
static uint32_t list(Parse *s, IrRef args[MAX_LIST])
{
    uint32_t n = 0;

    if (!accept(s, "("))
        return 0;
    if (accept(s, ")"))
        return 0;
    do {
        if (n == MAX_LIST)
            fail(s, "too many arguments");
        else
            args[n++] = value(s);
    } while (!s->failed && accept(s, ","));
    expect(s, ")");
    return n;
}

static IrRef pool_list(Parse *s, const IrRef *args, uint32_t n, bool counted)
{
    if (n == 0)
        return 0;
    uint32_t at = ir_pool_new(s->r, n + counted);
    if (counted)
        s->r->pool[at] = n;
    memcpy(&s->r->pool[at + counted], args, n * sizeof *args);
    return at;
}

static void memory_flags(Parse *s, IrInsn *i)
{
    bool more = true;

    while (more) {
        more = false;
        for (unsigned k = 1; k < 8 && !more; k++)
            if (accept_word(s, ir_order_names[k])) {
                i->flags = (uint16_t)((i->flags & ~IR_ORDER_MASK) | k);
                more = true;
            }
        int attr = more ? -1 : one_of(s, ir_attr_names);
        if (attr >= 0) {
            i->flags |= (uint16_t)(1u << (3 + attr));
            more = true;
        }
    }
}

static void memory(Parse *s, IrInsn *i)
{
    expect(s, "[");
    i->a = value(s);
    if (accept(s, "+"))
        i->imm = number(s);
    else if (accept(s, "-"))
        i->imm = 0 - number(s);
    expect(s, "]");
    operands(s, i, 1);
    memory_flags(s, i);
}

static void integer_relation(Parse *s, IrInsn *i)
{
    char name[16];

    word(s, name, sizeof name);
    for (unsigned k = 0; k < 8; k++) {
        if (strcmp(name, ir_icmp_names[k]) == 0 || (name[0] == 'u' && strcmp(name + 1, ir_icmp_names[k]) == 0)) {
            i->aux = (uint8_t)k;
            return;
        }
        if (name[0] == 's' && strcmp(name + 1, ir_icmp_names[k]) == 0) {
            i->aux = (uint8_t)(k | IR_PSIGNED);
            return;
        }
    }
    fail(s, "no relation '%s'", name);
}

static void float_relation(Parse *s, IrInsn *i)
{
    int k = one_of(s, ir_fcmp_names);

    if (k < 0)
        fail(s, "no such relation");
    else
        i->aux = (uint8_t)(k | (accept(s, "!") ? IR_SIGNALLING : 0));
}

static void helper(Parse *s, IrInsn *i)
{
    char name[64];
    IrRef args[MAX_LIST];

    if (accept(s, "#")) {
        i->imm = number(s);
    } else {
        word(s, name, sizeof name);
        uint32_t k = 0;
        while (k < s->r->nhelpers && strcmp(s->r->helpers[k].name, name) != 0)
            k++;
        if (k == s->r->nhelpers)
            fail(s, "no helper '%s'", name);
        i->imm = k;
    }
    i->b = list(s, args);
    i->a = pool_list(s, args, i->b, false);
}

static void vector_constant(Parse *s, IrInsn *i)
{
    uint64_t hi = number(s);

    expect(s, ":");
    i->imm = ir_vconst_new(s->r, number(s), hi);
}

static void named(Parse *s, const char *const *names, uint8_t *aux)
{
    int k = one_of(s, names);

    if (k < 0)
        fail(s, "unknown word");
    else
        *aux = (uint8_t)k;
}

static void branch(Parse *s, IrInsn *i)
{
    IrRef args[MAX_LIST];

    if (i->op == IR_BR) {
        i->imm = block_name(s);
        i->b = list(s, args);
        i->a = pool_list(s, args, i->b, false);
        return;
    }
    i->a = value(s);
    expect(s, ",");
    i->imm = block_name(s);
    i->b = pool_list(s, args, list(s, args), true);
    expect(s, ",");
    i->imm |= (uint64_t)block_name(s) << 32;
    i->c = pool_list(s, args, list(s, args), true);
}

static void leave(Parse *s, IrInsn *i)
{
    switch (ir_form(i->op)) {
    case IR_FORM_EXIT:
        i->imm = number(s);
        if (i->op == IR_EXIT_CALL) {
            expect(s, ",");
            i->a = value(s);
        }
        i->aux = accept_word(s, "poll") ? IR_EXIT_POLL : 0;
        i->aux |= accept_word(s, "count") ? IR_EXIT_COUNT : 0;
        i->aux |= accept_word(s, "flags") ? IR_EXIT_FLAGS : 0;
        break;
    case IR_FORM_EXIT_IND:
        named(s, ir_hint_names, &i->aux);
        i->a = value(s);
        i->b = accept(s, ",") ? value(s) : 0;
        break;
    case IR_FORM_EXIT_HELP:
        helper(s, i);
        expect(s, ",");
        i->c = value(s);
        break;
    default:
        i->imm = number(s);
        named(s, ir_stop_names, &i->aux);
        break;
    }
}

static void body(Parse *s, IrInsn *i)
{
    switch (ir_form(i->op)) {
    case IR_FORM_CONST: case IR_FORM_NUMBER: i->imm = number(s); break;
    case IR_FORM_VCONST: vector_constant(s, i); break;
    case IR_FORM_ICMP: integer_relation(s, i); operands(s, i, 0); break;
    case IR_FORM_FCMP: 
        float_relation(s, i);
        operands(s, i, 0);
        i->flags = accept_word(s, "quiet") ? IR_QUIET : 0;
        break;
    case IR_FORM_RMW: named(s, ir_rmw_names, &i->aux); memory(s, i); break;
    case IR_FORM_MEM: memory(s, i); break;
    case IR_FORM_FENCE: memory_flags(s, i); break;
    case IR_FORM_GET: i->imm = slot(s); break;
    case IR_FORM_PUT: i->imm = slot(s); expect(s, ","); i->a = value(s); break;
    case IR_FORM_INSN:
        i->imm = number(s);
        blanks(s);
        if (isdigit((unsigned char)*s->p))
            i->aux = (uint8_t)limited(s, 256, "length");
        break;
    case IR_FORM_CALL: helper(s, i); break;
    case IR_FORM_BR: case IR_FORM_BRIF: branch(s, i); break;
    case IR_FORM_PLAIN: operands(s, i, 0); attributes(s, i); break;
    default: leave(s, i); break;
    }
}

static void snapshot(Parse *s, IrInsn *i)
{
    if (!accept(s, "{"))
        return;
    IrRegion *r = s->r;
    i->snap = ir_snap_new(r, number(s));
    while (!s->failed && !accept(s, "}")) {
        IrSnapEnt e = {.slot = (uint16_t)slot(s)};
        expect(s, "=");
        e.val = value(s);
        *ir_snapent_room(r, 1) = e;
        r->nsnapent++;
        r->snap[i->snap].count++;
    }
}

/* --- lines ------------------------------------------------------------------------------------------------------------------------ */

static void end_of_line(Parse *s)
{
    blanks(s);
    if (*s->p == ';')
        s->p += strcspn(s->p, "\n");
    if (*s->p && *s->p != '\n')
        fail(s, "unexpected '%.10s'", s->p);
}

static void instruction(Parse *s)
{
    IrInsn i = {0};
    IrRef ref = 0;
    char type[8];

    if (accept(s, "%")) {
        ref = limited(s, MAX_REF, "value");
        if (ref == 0)
            fail(s, "values are numbered from 1");
        expect(s, ":");
        word(s, type, sizeof type);
        int t = type_named(type);
        if (t <= IR_VOID)
            fail(s, "no type '%s'", type);
        else
            i.type = (uint8_t)t;
        expect(s, "=");
    }
    operation(s, &i);
    if (s->failed)
        return;
    body(s, &i);
    if (accept_word(s, "lazy"))
        i.flags |= IR_LAZY;
    if (i.op == IR_PARAM && accept_word(s, "bool"))
        i.flags |= IR_BOOL;
    snapshot(s, &i);
    end_of_line(s);
    if (s->failed)
        return;
    if (ref == 0) {
        while (s->free < s->r->ninsn && s->taken[s->free])
            s->free++;
        ref = s->free++;
    }
    if (ref == 0 || ir_insn(s->r, ref)->op != IR_NOP) {
        fail(s, "%%%u is defined twice", ref);
        return;
    }
    *ir_insn(s->r, ref) = i;
    ir_link_last(s->r, s->block, ref);
    if (i.op == IR_PARAM)
        s->r->block[s->block].nparams++;
    else if (i.op == IR_INSN)
        s->r->guest_insns++;
}

static void header(Parse *s)
{
    uint32_t b = block_name(s);

    if (b != (s->started ? s->block + 1 : 0))
        fail(s, "block%u is out of order", b);
    if (s->started && !s->failed)
        s->block = ir_block_new(s->r);
    s->started = true;
    s->r->block[s->block].cold = accept_word(s, "cold");
    expect(s, ":");
    end_of_line(s);
}

static void region_line(Parse *s)
{
    s->r->pc = number(s);
    if (accept(s, "nan="))
        s->r->fp.nan_rule = (uint8_t)limited(s, 3, "NaN rule");
    s->r->fp.soft = accept_word(s, "soft");
    s->r->graph = accept_word(s, "graph");
    end_of_line(s);
}

static void line(Parse *s)
{
    blanks(s);
    if (*s->p == 0 || *s->p == '\n' || *s->p == ';')
        end_of_line(s);
    else if (strncmp(s->p, "block", 5) == 0)
        header(s);
    else if (accept_word(s, "region"))
        region_line(s);
    else if (!s->started)
        fail(s, "expected a block");
    else
        instruction(s);
}

/* Find the numbers that the text gives to values, and make room for every instruction. */
static void number_values(Parse *s, const char *text)
{
    uint32_t lines = 1, max = 0;

    for (const char *p = text; *p; p += strcspn(p, "\n"), p += *p == '\n') {
        const char *q = p + strspn(p, " \t");
        lines++;
        uint64_t n = *q == '%' ? strtoull(q + 1, NULL, 10) : 0;
        if (n == 0 || n >= MAX_REF)
            continue;
        s->taken[n] = 1;
        max = n > max ? (uint32_t)n : max;
    }
    for (uint32_t k = 0; k < max + lines; k++) {
        IrInsn nop = {.op = IR_NOP};
        ir_insn_new(s->r, &nop);
    }
}

IrRegion *ir_parse(Arena *arena, const char *text, const IrSlots *slots, const IrHelper *helpers, uint32_t nhelpers,
                   char *err, size_t errlen)
{
    Parse s = {.p = text, .line = 1, .err = err, .errlen = errlen, .free = 1};

    s.r = ir_region_new(arena, slots, helpers, nhelpers, 0);
    s.taken = arena_zalloc(arena, MAX_REF);
    if (strlen(text) > (1u << 22)) {
        fail(&s, "text too long");
        return NULL;
    }
    number_values(&s, text);
    while (*s.p && !s.failed) {
        line(&s);
        if (*s.p == '\n') {
            s.p++;
            s.line++;
        }
    }
    if (!s.failed && !s.started)
        fail(&s, "no blocks");
    if (s.failed)
        return NULL;
    for (uint32_t b = 0; b < s.r->nblock; b++) {
        const IrInsn *i = ir_insn(s.r, s.r->block[b].last);
        if (i->op != IR_BR && i->op != IR_BRIF)
            continue;
        if ((uint32_t)i->imm >= s.r->nblock || (i->op == IR_BRIF && i->imm >> 32 >= s.r->nblock)) {
            fail(&s, "branch to no block");
            return NULL;
        }
        ir_count_preds(s.r, b, i);
    }
    return s.r;
}
