/*
 * Every small program of AArch64's ordered accesses and barriers: what it can come to on the host, as it is translated, must be
 * allowed by the Arm model. No run on an x86 machine could show that a barrier is missing where the host's own order hides it, nor
 * count on showing it elsewhere.
 *
 *   sweep           the programs that take seconds
 *   sweep long      more kinds of instructions, longer threads
 *
 * Each instruction is lifted; the order that its IR operation then has is looked up in host/x86_64/order.h, which is also what
 * emits. Afterwards entries of that table are changed one by one: each change that makes it weaker must make the sweep fail.
 * Last, each instruction is compiled, and the locked operations among the host instructions are compared with the table.
 */
#include "model.h"

#include "guest/guest.h"
#include "host/host.h"
#include "host/x86_64/order.h"
#include "opt/opt.h"

#include <stdlib.h>
#include <string.h>

enum { PC = 0x10000, CODE_SIZE = 1 << 16 };

/* Guest instructions, and what the Arm model calls them. */
typedef struct Kind {
    const char *name;
    uint32_t word[4];
    bool read, write, acquire, acquire_pc, release, amo, full, load_fence, store_fence;
    uint8_t access, order; /* found by lifting */
} Kind;

static Kind kinds[] = {
    {.name = "ldr", .word = {0xf9400020}, .read = true},
    {.name = "ldar", .word = {0xc8dffc20}, .read = true, .acquire = true},
    {.name = "str", .word = {0xf9000020}, .write = true},
    {.name = "stlr", .word = {0xc89ffc20}, .write = true, .release = true},
    {.name = "dmb ish", .word = {0xd5033bbf}, .full = true},
    {.name = "ldapr", .word = {0xf8bfc020}, .read = true, .acquire_pc = true},
    {.name = "dmb ishld", .word = {0xd50339bf}, .load_fence = true},
    {.name = "dmb ishst", .word = {0xd5033abf}, .store_fence = true},
    {.name = "swp", .word = {0xf8208020}, .read = true, .write = true, .amo = true},
    {.name = "swpal", .word = {0xf8e08020}, .read = true, .write = true, .amo = true, .acquire = true, .release = true},
    {.name = "ldxr, stxr", .word = {0xc85f7c22, 0xc8047c20, 0x35ffffc4}, .read = true, .write = true},
    {.name = "ldaxr, stlxr", .word = {0xc85ffc22, 0xc804fc20, 0x35ffffc4}, .read = true, .write = true, .acquire = true, .release = true},
    {.name = "dsb ish", .word = {0xd5033b9f}, .full = true},
    {.name = "stlur", .word = {0xd9000020}, .write = true, .release = true},
    {.name = "ldapur", .word = {0xd9400020}, .read = true, .acquire_pc = true},
    {.name = "ldadda", .word = {0xf8a20020}, .read = true, .write = true, .amo = true, .acquire = true},
    {.name = "ldaddl", .word = {0xf8620020}, .read = true, .write = true, .amo = true, .release = true},
    {.name = "stadd", .word = {0xf822003f}, .read = true, .write = true, .amo = true},
    {.name = "casal", .word = {0xc8e2fc20}, .read = true, .write = true, .amo = true, .acquire = true, .release = true},
};
enum { NKINDS = sizeof kinds / sizeof kinds[0], KINDS_SHORT = 5, KINDS_PAIRS = NKINDS };

static uint8_t table[X64_ACCESSES][IR_ORDER_MASK + 1];
static unsigned long programs, unsound, candidates;
static unsigned tests, failures;

/* --- from instruction to order ---------------------------------------------------------------------------------------- */

static Arena arena;
static const void *features;

static const uint8_t *ahead(void *ctx, uint64_t pc, size_t *avail)
{
    const Kind *k = ctx;

    *avail = sizeof k->word - (size_t)(pc - PC);
    return pc - PC < sizeof k->word ? (const uint8_t *)k->word + (pc - PC) : NULL;
}

static IrRegion *lift_kind(Kind *k)
{
    const Guest *g = guest_by_name("aarch64");
    Lift l = {.guest = g, .pc = PC, .cpu_features = features, .budget = 8, .ahead = ahead, .ahead_ctx = k};

    arena_reset(&arena);
    ir_builder_init(&l.b, ir_region_new(&arena, &g->slots, g->helpers, g->nhelpers, PC));
    g->lift(&l, (const uint8_t *)k->word, sizeof k->word);
    if (!l.ended)
        ir_exit(&l.b, l.cont, 0);
    return l.b.r;
}

static void find_order(Kind *k)
{
    const IrRegion *r = lift_kind(k);
    unsigned found = 0;

    for (IrRef i = 1; i < r->ninsn; i++) {
        const IrInsn *insn = ir_insn(r, i);
        unsigned access = insn->op == IR_LOAD ? X64_LOAD : insn->op == IR_STORE ? X64_STORE : insn->op == IR_FENCE ? X64_FENCE
                          : insn->op == IR_CAS || insn->op == IR_RMW ? X64_RMW : X64_ACCESSES;
        if (access == X64_ACCESSES)
            continue;
        k->access = (uint8_t)access;
        k->order = insn->flags & IR_ORDER_MASK;
        found++;
    }
    if (found != 1) {
        printf("# %s: %u operations with an order\n", k->name, found);
        exit(1);
    }
}

/* --- one program -------------------------------------------------------------------------------------------------------- */

typedef struct Step {
    uint8_t kind, loc;
} Step;

static void add_event(Program *p, Event e)
{
    p->e[p->n++] = e;
}

static void add_step(Program *p, unsigned thread, Step s)
{
    const Kind *k = &kinds[s.kind];
    unsigned host = table[k->access][k->order];
    Event e = {.thread = (uint8_t)thread, .loc = s.loc, .rmw = -1, .amo = k->amo, .full = k->full, .load_fence = k->load_fence,
               .store_fence = k->store_fence, .locked = host == X64_LOCKED};

    if (!k->read && !k->write)
        add_event(p, e);
    if (k->read) {
        e.read = true;
        e.acquire = k->acquire;
        e.acquire_pc = k->acquire_pc;
        add_event(p, e);
        e.read = e.acquire = e.acquire_pc = false;
        e.rmw = (int8_t)(p->n - 1);
    }
    if (k->write) {
        e.write = true;
        e.release = k->release;
        add_event(p, e);
    }
}

/* What one location can do by itself: what its reads read from (`reads`, a digit each), its last write, and what that orders. */
typedef struct Local {
    uint64_t reads;
    unsigned last; /* the event + 1; 0: the initial value */
    Relation arm, x86;
} Local;

typedef struct Locals {
    Local *at; /* those with the same reads and last write are next to each other */
    size_t n, cap;
} Locals;

/* The search through a program's executions: through those of each location, and then through all pairs of them. */
typedef struct Search {
    Execution x;
    Fixed f;
    uint8_t event[LOCATIONS][MAX_EVENTS], nevent[LOCATIONS]; /* the accesses */
    uint8_t write[LOCATIONS][MAX_EVENTS], nwrite[LOCATIONS];
} Search;

static Locals locals[LOCATIONS];

static void add_local(const Search *s, unsigned loc)
{
    Locals *l = &locals[loc];

    if (l->n == l->cap) {
        l->cap = l->cap ? 2 * l->cap : 256;
        l->at = realloc(l->at, l->cap * sizeof *l->at);
        if (!l->at)
            exit(1);
    }
    Local *new = &l->at[l->n++];
    memset(new, 0, sizeof *new);
    for (unsigned k = 0; k < s->nevent[loc]; k++) {
        unsigned e = s->event[loc][k];
        if (s->x.p->e[e].read)
            new->reads = new->reads * (MAX_EVENTS + 1) + (unsigned)(s->x.rf[e] + 1);
        else if (s->x.rank[e] == s->nwrite[loc] - 1)
            new->last = e + 1;
    }
    model_edges(&s->x, loc, new->arm, new->x86);
}

/* Let the reads from access number k on read from everything that they can. */
static void choose_rf(Search *s, unsigned loc, unsigned k)
{
    const Program *p = s->x.p;

    if (k == s->nevent[loc]) {
        add_local(s, loc);
        return;
    }
    unsigned e = s->event[loc][k];
    if (!p->e[e].read) {
        if (model_coherent(&s->x, e))
            choose_rf(s, loc, k + 1);
        return;
    }
    int own = k + 1 < s->nevent[loc] && p->e[s->event[loc][k + 1]].rmw == (int8_t)e ? s->event[loc][k + 1] : -1;
    for (int w = -1; w < s->nwrite[loc]; w++) {
        s->x.rf[e] = w < 0 ? -1 : (int8_t)s->write[loc][w];
        unsigned place = w < 0 ? 0 : s->x.rank[s->write[loc][w]] + 1u;
        /* nothing comes between the halves of a read-modify-write */
        if ((own < 0 || s->x.rank[own] == place) && model_coherent(&s->x, e))
            choose_rf(s, loc, k + 1);
    }
}

/* Give the writes to `loc` from number k on every order. */
static void choose_co(Search *s, unsigned loc, unsigned k, unsigned taken)
{
    if (k == s->nwrite[loc]) {
        choose_rf(s, loc, 0);
        return;
    }
    for (unsigned r = 0; r < s->nwrite[loc]; r++) {
        if (taken >> r & 1)
            continue;
        s->x.rank[s->write[loc][k]] = (uint8_t)r;
        choose_co(s, loc, k + 1, taken | 1u << r);
    }
}

static int by_outcome(const void *p, const void *q)
{
    const Local *a = p, *b = q;

    if (a->reads != b->reads)
        return a->reads < b->reads ? -1 : 1;
    return a->last < b->last ? -1 : a->last > b->last;
}

/* How many from `at` on have the same outcome. */
static size_t same_outcome(const Locals *l, size_t at)
{
    size_t n = 1;

    while (at + n < l->n && by_outcome(&l->at[at], &l->at[at + n]) == 0)
        n++;
    return n;
}

static void find_locals(Search *s)
{
    for (unsigned loc = 0; loc < LOCATIONS; loc++) {
        locals[loc].n = 0;
        choose_co(s, loc, 0, 0);
        qsort(locals[loc].at, locals[loc].n, sizeof(Local), by_outcome);
    }
}

/* Whether one of these executions of the two locations is allowed. */
static bool allowed(const Search *s, const Local *a, size_t na, const Local *b, size_t nb, bool arm)
{
    const Relation *fixed = arm ? &s->f.arm : &s->f.x86;

    for (size_t i = 0; i < na; i++) {
        for (size_t k = 0; k < nb; k++) {
            candidates++;
            if (model_acyclic(*fixed, arm ? a[i].arm : a[i].x86, arm ? b[k].arm : b[k].x86, s->x.p->n))
                return true;
        }
    }
    return false;
}

static bool is_sound(Search *s)
{
    const Locals *x = &locals[0], *y = &locals[1];

    find_locals(s);
    for (size_t a = 0, na; a < x->n; a += na) {
        na = same_outcome(x, a);
        for (size_t b = 0, nb; b < y->n; b += nb) {
            nb = same_outcome(y, b);
            if (allowed(s, &x->at[a], na, &y->at[b], nb, false) && !allowed(s, &x->at[a], na, &y->at[b], nb, true))
                return false;
        }
    }
    return true;
}

static void begin_search(Search *s)
{
    const Program *p = s->x.p;

    for (unsigned k = 0; k < p->n; k++) {
        if (p->e[k].read || p->e[k].write)
            s->event[p->e[k].loc][s->nevent[p->e[k].loc]++] = (uint8_t)k;
        if (p->e[k].write)
            s->write[p->e[k].loc][s->nwrite[p->e[k].loc]++] = (uint8_t)k;
    }
    model_fix(p, &s->f);
}

static void report(bool ok, const char *what)
{
    printf("%sok %u - %s\n", ok ? "" : "not ", ++tests, what);
    failures += !ok;
    fflush(stdout);
}

static void print_program(const Step *step, const unsigned *len, unsigned threads)
{
    for (unsigned t = 0; t < threads; step += len[t++]) {
        printf("#  %s", t ? "||" : "");
        for (unsigned k = 0; k < len[t]; k++) {
            const Kind *kind = &kinds[step[k].kind];
            printf(" %s%s;", kind->name, !kind->read && !kind->write ? "" : step[k].loc ? " y" : " x");
        }
        printf("\n");
    }
}

static void try_program(const Step *step, const unsigned *len, unsigned threads)
{
    Program p = {.n = 0};
    Search s = {.x.p = &p};

    for (unsigned t = 0, k = 0; t < threads; t++) {
        for (unsigned i = 0; i < len[t]; i++)
            add_step(&p, t, step[k++]);
    }
    begin_search(&s);
    programs++;
    if (is_sound(&s))
        return;
    if (unsound++ == 0)
        print_program(step, len, threads);
}

/* --- all programs of a shape -------------------------------------------------------------------------------------------- */

typedef struct Shape {
    const char *name;
    unsigned threads, len[4], nkinds;
} Shape;

static bool is_barrier(Step s)
{
    return kinds[s.kind].access == X64_FENCE;
}

/* A program like another one that is looked at: barriers at ends do nothing, locations may change names, threads places. */
static bool is_new(const Shape *sh, const Step *step, unsigned n)
{
    for (unsigned t = 0, at = 0; t < sh->threads; at += sh->len[t++]) {
        if (is_barrier(step[at]) || is_barrier(step[at + sh->len[t] - 1]))
            return false;
        if (t && sh->len[t] == sh->len[t - 1] && memcmp(&step[at - sh->len[t]], &step[at], sh->len[t] * sizeof *step) > 0)
            return false;
    }
    for (unsigned k = 0; k < n; k++) {
        if (!is_barrier(step[k]))
            return step[k].loc == 0;
    }
    return true;
}

/* Stops at the first that is unsound when `until_unsound`. */
static void sweep(const Shape *sh, bool until_unsound)
{
    Step step[MAX_EVENTS] = {{0}};
    unsigned n = 0;

    programs = unsound = candidates = 0;
    for (unsigned t = 0; t < sh->threads; t++)
        n += sh->len[t];
    for (;;) {
        if (is_new(sh, step, n))
            try_program(step, sh->len, sh->threads);
        if (until_unsound && unsound)
            return;
        unsigned k = 0;
        for (; k < n; k++) {
            if (!is_barrier(step[k]) && step[k].loc == 0) {
                step[k].loc = 1;
                break;
            }
            step[k].loc = 0;
            if (++step[k].kind < sh->nkinds)
                break;
            step[k].kind = 0;
        }
        if (k == n)
            return;
    }
}

/* --- the tests ---------------------------------------------------------------------------------------------------------- */

static void sweeps(bool full)
{
    const Shape shapes[] = {
        {"two threads of two, every kind", 2, {2, 2}, NKINDS},
        {"two threads of three", 2, {3, 3}, full ? 9 : KINDS_SHORT},
        {"three threads of two", 3, {2, 2, 2}, full ? KINDS_SHORT : 4},
        {"two of one, two of two", 4, {1, 1, 2, 2}, full ? 10 : KINDS_SHORT},
        {"two of one, two of three", 4, {1, 1, 3, 3}, full ? KINDS_SHORT : 0},
    };
    for (unsigned k = 0; k < sizeof shapes / sizeof shapes[0]; k++) {
        if (!shapes[k].nkinds)
            continue;
        sweep(&shapes[k], false);
        printf("# %s: %lu programs, %lu candidates, %lu unsound\n", shapes[k].name, programs, candidates, unsound);
        report(!unsound, shapes[k].name);
    }
}

/* --- the models themselves: known tests ---------------------------------------------------------------------------------- */

enum { LDR, LDAR, STR, STLR, DMB, LDAPR, DMB_LD, DMB_ST, SWP, SWPAL };

/* An outcome: for each step that reads, the step that it reads from (-1: the initial value); the last write to x and y, by step. */
typedef struct Classic {
    const char *name;
    unsigned threads, len[4];
    Step step[8];
    int8_t from[8];
    int8_t last[LOCATIONS]; /* -1: any */
    bool arm, x86;          /* allowed */
} Classic;

static const Classic classics[] = {
    {"SB", 2, {2, 2}, {{STR, 0}, {LDR, 1}, {STR, 1}, {LDR, 0}}, {0, -1, 0, -1}, {-1, -1}, true, true},
    {"SB+dmbs", 2, {3, 3}, {{STR, 0}, {DMB, 0}, {LDR, 1}, {STR, 1}, {DMB, 0}, {LDR, 0}}, {0, 0, -1, 0, 0, -1}, {-1, -1}, false, false},
    {"SB+dmb.lds", 2, {3, 3}, {{STR, 0}, {DMB_LD, 0}, {LDR, 1}, {STR, 1}, {DMB_LD, 0}, {LDR, 0}}, {0, 0, -1, 0, 0, -1}, {-1, -1}, true, true},
    {"SB+rel+acqs", 2, {2, 2}, {{STLR, 0}, {LDAR, 1}, {STLR, 1}, {LDAR, 0}}, {0, -1, 0, -1}, {-1, -1}, false, false},
    {"SB+rel+acqpcs", 2, {2, 2}, {{STLR, 0}, {LDAPR, 1}, {STLR, 1}, {LDAPR, 0}}, {0, -1, 0, -1}, {-1, -1}, true, false},
    {"SB+swps", 2, {2, 2}, {{SWP, 0}, {LDR, 1}, {SWP, 1}, {LDR, 0}}, {-1, -1, -1, -1}, {-1, -1}, true, false},
    {"SB+swpals", 2, {2, 2}, {{SWPAL, 0}, {LDR, 1}, {SWPAL, 1}, {LDR, 0}}, {-1, -1, -1, -1}, {-1, -1}, false, false},
    {"MP", 2, {2, 2}, {{STR, 0}, {STR, 1}, {LDR, 1}, {LDR, 0}}, {0, 0, 1, -1}, {-1, -1}, true, false},
    {"MP+rel+acq", 2, {2, 2}, {{STR, 0}, {STLR, 1}, {LDAR, 1}, {LDR, 0}}, {0, 0, 1, -1}, {-1, -1}, false, false},
    {"MP+rel+acqpc", 2, {2, 2}, {{STR, 0}, {STLR, 1}, {LDAPR, 1}, {LDR, 0}}, {0, 0, 1, -1}, {-1, -1}, false, false},
    {"MP+rel+po", 2, {2, 2}, {{STR, 0}, {STLR, 1}, {LDR, 1}, {LDR, 0}}, {0, 0, 1, -1}, {-1, -1}, true, false},
    {"MP+dmb.st+dmb.ld", 2, {3, 3}, {{STR, 0}, {DMB_ST, 0}, {STR, 1}, {LDR, 1}, {DMB_LD, 0}, {LDR, 0}}, {0, 0, 0, 1 + 1, 0, -1}, {-1, -1}, false, false},
    {"LB", 2, {2, 2}, {{LDR, 0}, {STR, 1}, {LDR, 1}, {STR, 0}}, {3, 0, 1, 0}, {-1, -1}, true, false},
    {"LB+acqs", 2, {2, 2}, {{LDAR, 0}, {STR, 1}, {LDAR, 1}, {STR, 0}}, {3, 0, 1, 0}, {-1, -1}, false, false},
    {"IRIW", 4, {1, 1, 2, 2}, {{STR, 0}, {STR, 1}, {LDR, 0}, {LDR, 1}, {LDR, 1}, {LDR, 0}}, {0, 0, 0, -1, 1, -1}, {-1, -1}, true, false},
    {"IRIW+acqs", 4, {1, 1, 2, 2}, {{STR, 0}, {STR, 1}, {LDAR, 0}, {LDR, 1}, {LDAR, 1}, {LDR, 0}}, {0, 0, 0, -1, 1, -1}, {-1, -1}, false, false},
    {"CoRR", 2, {1, 2}, {{STR, 0}, {LDR, 0}, {LDR, 0}}, {0, 0, -1}, {-1, -1}, false, false},
    {"CoWW", 1, {2}, {{STR, 0}, {STR, 0}}, {0, 0}, {0, -1}, false, false},
    {"2+2W", 2, {2, 2}, {{STR, 0}, {STR, 1}, {STR, 1}, {STR, 0}}, {0, 0, 0, 0}, {0, 2}, true, false},
    {"2+2W+rels", 2, {2, 2}, {{STR, 0}, {STLR, 1}, {STR, 1}, {STLR, 0}}, {0, 0, 0, 0}, {0, 2}, false, false},
};

/* Whether the outcome is one that `l` has: what reads of `loc` read from, and its last write. */
static bool is_outcome(const Classic *c, const Search *s, unsigned loc, const uint8_t *write, const Local *l)
{
    uint64_t reads = 0;

    for (unsigned k = 0; k < s->nevent[loc]; k++) {
        unsigned e = s->event[loc][k];
        if (s->x.p->e[e].read)
            reads = reads * (MAX_EVENTS + 1) + (unsigned)(s->x.rf[e] + 1);
    }
    return reads == l->reads && (c->last[loc] < 0 || l->last == write[c->last[loc]] + 1u);
}

static void classic(const Classic *c)
{
    Program p = {.n = 0};
    Search s = {.x.p = &p};
    uint8_t read[8], write[8];
    bool arm = false, x86 = false;

    for (unsigned t = 0, k = 0; t < c->threads; t++) {
        for (unsigned i = 0; i < c->len[t]; i++, k++) {
            read[k] = (uint8_t)p.n;
            add_step(&p, t, c->step[k]);
            write[k] = (uint8_t)(p.n - 1);
        }
    }
    begin_search(&s);
    find_locals(&s);
    for (unsigned t = 0, k = 0; t < c->threads; t++) {
        for (unsigned i = 0; i < c->len[t]; i++, k++) {
            if (kinds[c->step[k].kind].read)
                s.x.rf[read[k]] = c->from[k] < 0 ? -1 : (int8_t)write[c->from[k]];
        }
    }
    for (size_t a = 0; a < locals[0].n; a++) {
        for (size_t b = 0; b < locals[1].n; b++) {
            const Local *x = &locals[0].at[a], *y = &locals[1].at[b];
            if (!is_outcome(c, &s, 0, write, x) || !is_outcome(c, &s, 1, write, y))
                continue;
            x86 |= allowed(&s, x, 1, y, 1, false);
            arm |= allowed(&s, x, 1, y, 1, true);
        }
    }
    report(arm == c->arm && x86 == c->x86, c->name);
}

/* Weaker tables: the sweep must find a program that tells. */
static void mutations(void)
{
    static const struct {
        const char *name;
        uint8_t access, order, to;
    } m[] = {
        {"without the exchange of stlr", X64_STORE, IR_RELEASE, X64_MOV},
        {"without the fence of dmb", X64_FENCE, IR_SEQ_CST, X64_NOTHING},
        {"with a plain instruction for swpal", X64_RMW, IR_ACQ_REL, X64_MOV},
    };
    const Shape sh = {"", 2, {3, 3}, 12};

    for (unsigned k = 0; k < sizeof m / sizeof m[0]; k++) {
        table[m[k].access][m[k].order] = m[k].to;
        sweep(&sh, true);
        report(unsound != 0, m[k].name);
        memcpy(table, x64_orders, sizeof table);
    }
}

/* Locked host instructions of the emitted code. */
static unsigned count_locked(const HostCode *code)
{
    unsigned n = 0;
    char text[160];

    for (uint32_t at = 0; at < code->size;) {
        unsigned len = host_native.disas(code->rw + at, (uintptr_t)code->rw + at, text, sizeof text);
        n += strstr(text, "lock") || strstr(text, "xchg [") || strstr(text, "xchg qword ptr [");
        if (strstr(text, "fence"))
            n += 100;
        at += len ? len : 1;
    }
    return n;
}

static void emitted(HostPlan *plan)
{
    static uint8_t buf[CODE_SIZE] __attribute__((aligned(4096)));
    const OptConfig cfg = {.skip = 0};

    for (unsigned k = 0; k < NKINDS; k++) {
        CodeBuf cb = {.start = buf, .p = buf, .end = buf + sizeof buf};
        HostCode code;
        IrRegion *r = lift_kind(&kinds[k]);
        opt_run(r, &cfg);
        bool ok = host_native.stubs(plan, &cb) && host_native.compile(plan, r, &cb, &code);
        unsigned n = ok ? count_locked(&code) : 0, want = x64_orders[kinds[k].access][kinds[k].order] == X64_LOCKED;
        if (n != want)
            printf("# %u locked host instructions, not %u\n", n, want);
        report(ok && n == want, kinds[k].name);
    }
}

int main(int argc, char **argv)
{
    const Guest *g = guest_by_name("aarch64");
    HostConfig hc = {.slots = &g->slots, .pin_int = g->pin_int, .pin_vec = g->pin_vec, .pc_shift = g->pc_shift,
                     .helpers = g->helpers, .nhelpers = g->nhelpers, .cpu = "native", .ret_predict = true};
    char err[100];
    Status st = {0};

    features = g->cpu_new("max", err, sizeof err);
    HostPlan *plan = host_native.plan_new(&hc, &st);
    if (!features || !plan)
        return 1;
    arena_init(&arena);
    for (unsigned k = 0; k < NKINDS; k++)
        find_order(&kinds[k]);
    memcpy(table, x64_orders, sizeof table);
    for (unsigned k = 0; k < sizeof classics / sizeof classics[0]; k++)
        classic(&classics[k]);
    sweeps(argc > 1 && strcmp(argv[1], "long") == 0);
    mutations();
    emitted(plan);
    printf("1..%u\n", tests);
    host_native.plan_free(plan);
    arena_done(&arena);
    for (unsigned loc = 0; loc < LOCATIONS; loc++)
        free(locals[loc].at);
    free((void *)(uintptr_t)features);
    return failures != 0;
}
