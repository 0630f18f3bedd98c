/*
 * A tool of the tests': does one thing in two ways, by inline operations and by calls, and prints both; or changes the guest.
 *
 *   mode=both   counts of instructions, taken branches, bytes accessed, a table by hash; values of accesses against memory
 *   mode=write  probe_me's argument becomes 5
 *   mode=skip   it returns at once, with 9
 *   mode=watch  watches between two calls of getppid, and counts calls of probe_me
 *   mode=wrap   wrap_me and jump_me are wrapped: how often, and whether results belong to arguments
 *   mode=around probe_me's argument becomes 5 and its result one more, by wrapping
 *   mode=instead probe_me is not run and returns 9
 *   mode=access what system calls and signals access, in order
 *   mode=counts counters, which are added to together, against sums, which are not; both are read and set at system calls
 *   mode=outside records of branches and accesses that go outside of something, against those of all
 *   mode=crash  dereferences nothing in the 10th call
 */
#include "dragoman/plugin.h"

#include <string.h>

enum { TABLE = 64 };

static DgCell insns, counter, taken, bytes, table, most, guarded;
static uint64_t c_insns, c_taken, c_bytes, c_guarded, c_most, bad_values, c_table[TABLE];
static const char *mode;
static DgStream *stream;
static uint64_t streamed, asked;
static int x0;

/* One thread only: these count without locks. */
static uint64_t branch, falls;

static void on_insn(DgThread *t, void *data, const DgEvent *ev)
{
    c_insns++;
    if (branch && ev->pc != falls)
        c_taken++;
    const DgInsnInfo *i = data;
    branch = i->class_ & DG_BRANCH;
    falls = i->pc + i->length;
    c_table[dg_hash(i->pc, TABLE)]++;
}

static void on_mem(DgThread *t, void *data, const DgEvent *ev)
{
    uint8_t now[16];

    c_bytes += ev->bytes;
    if (ev->bytes > c_most)
        c_most = ev->bytes;
    if (ev->bytes == 16)
        c_guarded++;
    /* What a load read is still there, unless it was an atomic operation; what a store wrote is. */
    if (!(ev->kind & DG_IS_ATOMIC) && (!dg->mem_read(t, ev->addr, now, ev->bytes) || memcmp(now, ev->value, ev->bytes)))
        bad_values++;
}

static void on_wide(DgThread *t, void *data, const DgEvent *ev)
{
    dg->cell_set(t, guarded, dg->cell_get(t, guarded) + (ev->value[0] == 16));
}

static void on_records(void *data, uint32_t thread, const void *records, size_t n)
{
    streamed += n / 8;
    asked = dg->cell_total(data, insns);
}

static void write_arg(DgThread *t, void *data, const DgEvent *ev)
{
    uint64_t v = 5;

    dg->reg_write(t, (uint32_t)x0, &v);
}

static void skip(DgThread *t, void *data, const DgEvent *ev)
{
    uint64_t v = 9, lr;

    dg->reg_read(t, (uint32_t)x0 + 30, &lr);
    dg->reg_write(t, (uint32_t)x0, &v);
    dg->pc_write(t, lr);
}

static void crash(DgThread *t, void *data, const DgEvent *ev)
{
    static unsigned n;

    if (++n == 10)
        *(volatile int *)data = 1;
}

/* --- wrapping --- */

typedef struct Depth {
    uint32_t n;
    uint64_t arg[64];
} Depth;

static uint64_t entered, left, jumps, jumped, bad_results;

static void wrap_enter(DgThread *t, void *data, const DgEvent *ev)
{
    Depth *d = dg->thread_data(t, data, sizeof *d);

    __atomic_fetch_add(&entered, 1, __ATOMIC_RELAXED);
    if (d->n < 64 && !dg->wrap_arg(t, 0, &d->arg[d->n++]))
        bad_results++;
}

static void wrap_leave(DgThread *t, void *data, const DgEvent *ev)
{
    Depth *d = dg->thread_data(t, data, sizeof *d);
    uint64_t n = d->n ? d->arg[--d->n] : 0, result;

    __atomic_fetch_add(&left, 1, __ATOMIC_RELAXED);
    if (!dg->wrap_result(t, &result) || result != n * (n + 1) / 2 + 1)
        __atomic_fetch_add(&bad_results, 1, __ATOMIC_RELAXED);
}

static void jump_enter(DgThread *t, void *data, const DgEvent *ev)
{
    __atomic_fetch_add(&jumps, 1, __ATOMIC_RELAXED);
}

static void jump_leave(DgThread *t, void *data, const DgEvent *ev)
{
    uint64_t result;

    __atomic_fetch_add(&jumped, 1, __ATOMIC_RELAXED);
    if (!dg->wrap_result(t, &result) || result != UINT64_MAX)
        __atomic_fetch_add(&bad_results, 1, __ATOMIC_RELAXED);
}

static void around_enter(DgThread *t, void *data, const DgEvent *ev)
{
    dg->wrap_set_arg(t, 0, 5);
}

static void around_leave(DgThread *t, void *data, const DgEvent *ev)
{
    uint64_t v = 0;

    if (dg->wrap_result(t, &v))
        dg->wrap_set_result(t, v + 1);
}

static void instead(DgThread *t, void *data, const DgEvent *ev)
{
    dg->wrap_skip(t, 9);
}

static void wrap_all(DgHost *h)
{
    bool ok = true;

    if (strcmp(mode, "wrap") == 0)
        ok = dg->wrap(h, "wrap_me", wrap_enter, wrap_leave, h) && dg->wrap(h, "jump_me", jump_enter, jump_leave, h);
    else if (strcmp(mode, "around") == 0)
        ok = dg->wrap(h, "probe_me", around_enter, around_leave, h);
    else if (strcmp(mode, "instead") == 0)
        ok = dg->wrap(h, "probe_me", instead, NULL, h);
    if (!ok)
        dg->fail(h, "wrap is refused");
}

/* --- accesses that no instruction makes --- */

static void on_access(DgThread *t, void *data, const DgEvent *ev)
{
    dg->print(data, "%s %s 0x%llx %llu\n",
              ev->kind & DG_BY_SIGNAL    ? "signal"
              : ev->kind & DG_BY_SYSCALL ? "syscall"
                                         : "helper",
              ev->kind & DG_WRITE ? "write" : "read", (unsigned long long)ev->addr, (unsigned long long)ev->length);
}

static void both(DgInsn *i)
{
    static DgInsnInfo infos[1 << 16];
    static uint32_t n;
    DgInsnInfo *info = &infos[n++ & 0xffff];
    const DgOp count_table[] = {{.kind = DG_OP_ARG, .d = 0, .imm = DG_ARG_PC},
                                {.kind = DG_OP_CONST, .d = 1, .imm = 1},
                                {.kind = DG_OP_COUNT, .a = 0, .b = 1, .cell = table, .length = TABLE}};
    const DgOp sizes[] = {{.kind = DG_OP_ARG, .d = 0, .imm = DG_ARG_BYTES},
                          {.kind = DG_OP_LOAD, .d = 1, .cell = bytes},
                          {.kind = DG_OP_ADD, .d = 1, .a = 0, .b = 1},
                          {.kind = DG_OP_STORE, .b = 1, .cell = bytes},
                          {.kind = DG_OP_LOAD, .d = 2, .cell = most},
                          {.kind = DG_OP_MAX, .d = 2, .a = 0, .b = 2},
                          {.kind = DG_OP_STORE, .b = 2, .cell = most},
                          {.kind = DG_OP_CONST, .d = 3, .imm = 16},
                          {.kind = DG_OP_CMP, .d = 4, .a = 0, .b = 3, .imm = DG_EQ},
                          {.kind = DG_OP_SKIP, .a = 4, .imm = 1},
                          {.kind = DG_OP_CALL, .a = 4, .b = 0, .fn = on_wide}};
    const DgField pc = {0, 8, DG_ARG_PC, 0, 0}, no_field = {0, 8, DG_FIELD_CELL, counter, 0};
    const DgOp no_load = {.kind = DG_OP_LOAD, .cell = counter}; /* a counter cannot be read in code */

    info->size = sizeof *info;
    dg->insn_info(i, info);
    dg->add(i, DG_BEFORE, 0, insns, 1);
    dg->add(i, DG_BEFORE, 0, counter, 1);
    dg->call(i, DG_BEFORE, 0, on_insn, info, DG_NONE);
    if (info->class_ & DG_BRANCH)
        dg->add(i, DG_TAKEN, 0, taken, 1);
    if (!dg->program_at(i, DG_BEFORE, 0, count_table, 3) || !dg->program_at(i, DG_MEM_AFTER, 0, sizes, 11) ||
        !dg->record(i, DG_BEFORE, 0, stream, &pc, 1) || dg->program_at(i, DG_BEFORE, 0, &no_load, 1) ||
        dg->record(i, DG_BEFORE, 0, stream, &no_field, 1))
        bad_values += 1000000;
    dg->call(i, DG_MEM_AFTER, 0, on_mem, NULL, DG_NONE);
}

/* Of each instruction some of the counters, so that many combinations come up. */
enum { NCOUNTS = 10 };

static DgCell together[NCOUNTS], apart[NCOUNTS];
static _Atomic uint64_t compared, different;

static void counts(DgInsn *i)
{
    uint64_t pc = dg->insn_pc(i);

    for (uint32_t k = 0; k < NCOUNTS; k++) {
        uint32_t h = (uint32_t)dg_hash(pc + k, 64);
        if (h % 3)
            continue;
        uint64_t by = h == 33 ? 1ull << 40 : h == 36 ? -7ull : h;
        dg->add(i, DG_BEFORE, 0, together[k], by);
        dg->add(i, DG_BEFORE, 0, apart[k], by);
    }
}

static bool compare_counts(DgThread *t, void *data, DgSyscall *s)
{
    for (uint32_t k = 0; k < NCOUNTS; k++) {
        uint64_t v = dg->cell_get(t, together[k]);
        compared++;
        different += v != dg->cell_get(t, apart[k]);
        if ((v + k) % 4 == 0) {
            dg->cell_set(t, together[k], v / 3);
            dg->cell_set(t, apart[k], v / 3);
        }
    }
    return false;
}

static void start_counts(DgHost *h)
{
    for (uint32_t k = 0; k < NCOUNTS; k++) {
        together[k] = dg->cell_new(h, DG_COUNTER, 1);
        apart[k] = dg->cell_new(h, DG_SUM, 1);
    }
    dg->on_syscall(h, compare_counts, NULL, h, false);
}

static void finish_counts(DgHost *h)
{
    for (uint32_t k = 0; k < NCOUNTS; k++)
        dg->print(h, "count %llu %llu\n", (unsigned long long)dg->cell_total(h, together[k]), (unsigned long long)dg->cell_total(h, apart[k]));
    dg->print(h, "compared %llu different %llu\n", (unsigned long long)compared, (unsigned long long)different);
}

/* Records of what goes somewhere, from where that is in front of `start` and from `end` on; in order. */
typedef struct Going {
    uint64_t to, start, end;
} Going;

typedef struct Gone {
    uint64_t all, n, order;
} Gone;

static Gone sorted_out, told_apart; /* here, and by translated code */
static DgStream *goings, *outside;

static void on_goings(void *data, uint32_t thread, const void *records, size_t n)
{
    Gone *to = data;

    for (const Going *g = records; (const char *)g < (const char *)records + n; g++) {
        to->all++;
        if (g->to >= g->start && g->to < g->end)
            continue;
        to->n++;
        to->order = to->order * 31 + g->to + g->start;
    }
}

static void going(DgInsn *i, DgPoint at, uint64_t near)
{
    uint64_t start = (dg->insn_pc(i) - near) & ~15ull, end = start + 2 * near;
    const DgField field[] = {{0, 8, at == DG_TAKEN ? DG_ARG_TARGET : DG_ARG_ADDR, 0, 0},
                             {8, 8, DG_FIELD_CONST, 0, start},
                             {16, 8, DG_FIELD_CONST, 0, end}};

    if (!dg->record(i, at, 0, goings, field, 3) || !dg->record_outside(i, at, 0, outside, field, 3, start, end) ||
        dg->record_outside(i, DG_BEFORE, 0, outside, field + 1, 2, start, end))
        bad_values++;
}

static void finish_goings(DgHost *h)
{
    const Gone *a = &sorted_out, *b = &told_apart;

    dg->print(h, "some %d outside %llu %llu only %llu %llu order %llu %llu bad %llu\n", a->n && a->all > a->n,
              (unsigned long long)a->n, (unsigned long long)b->n, (unsigned long long)b->all, (unsigned long long)b->n,
              (unsigned long long)a->order, (unsigned long long)b->order, (unsigned long long)bad_values);
}

static bool on_syscall(DgThread *t, void *data, DgSyscall *s)
{
    static bool on;

    if (s->name && strcmp(s->name, "getppid") == 0)
        dg->watch(data, on = !on);
    return false;
}

static bool is_probe(DgHost *h, uint64_t pc)
{
    DgSymbol s = {.size = sizeof s};

    return dg->symbol_at(h, pc, &s) && s.start == pc && strcmp(s.name, "probe_me") == 0;
}

/* Every flag of floating point, and results that the rounding mode decides: of no concern to the guest, nor its modes to this. */
static void compute(DgThread *t, void *data, const DgEvent *ev)
{
    static volatile double zero = 0, tiny = 1e-300, big = 1e300, three = 3, one = 1, minus = -1;
    volatile double v = zero / zero;

    v = one / zero;
    v = tiny * tiny;
    v = big * big;
    v = one / three;
    if (v + minus / three != 0 || v != 0x1.5555555555555p-2)
        bad_values++;
}

static void translate(void *data, DgBlock *b)
{
    for (uint32_t k = 0; k < dg->block_insns(b); k++) {
        DgInsn *i = dg->block_insn(b, k);
        if (strcmp(mode, "both") == 0) {
            both(i);
        } else if (strcmp(mode, "counts") == 0) {
            counts(i);
        } else if (strcmp(mode, "outside") == 0) {
            going(i, DG_TAKEN, 64);
            going(i, DG_MEM_AFTER, 1 << 20);
        } else if (strcmp(mode, "compute") == 0) {
            DgInsnInfo info = {.size = sizeof info};
            dg->insn_info(i, &info);
            if (info.class_ & (DG_BRANCH | DG_JUMP | DG_CALL | DG_RETURN)) /* what computes has no call in front */
                dg->call(i, DG_BEFORE, 0, compute, NULL, DG_NONE);
        } else if (strcmp(mode, "crash") == 0) {
            dg->call(i, DG_BEFORE, 0, crash, NULL, DG_NONE);
        } else if (strcmp(mode, "write") && strcmp(mode, "skip") && strcmp(mode, "watch") && strcmp(mode, "after")) {
            return;
        } else if (is_probe(data, dg->insn_pc(i)) && strcmp(mode, "watch") == 0) {
            dg->add(i, DG_BEFORE, 0, insns, 1);
        } else if (is_probe(data, dg->insn_pc(i))) {
            if (strcmp(mode, "skip") == 0)
                dg->call(i, DG_BEFORE, 0, skip, NULL, DG_PC_WRITE);
            else
                dg->call(i, strcmp(mode, "after") == 0 ? DG_AFTER : DG_BEFORE, 0, write_arg, NULL, DG_REGS_WRITE);
        }
    }
}

static void finish(void *data)
{
    DgHost *h = data;
    uint64_t wrong = 0;

    if (strcmp(mode, "compute") == 0)
        dg->print(h, "bad %llu\n", (unsigned long long)bad_values);
    if (strcmp(mode, "counts") == 0)
        finish_counts(h);
    if (strcmp(mode, "outside") == 0)
        finish_goings(h);
    if (strcmp(mode, "watch") == 0)
        dg->print(h, "watched %llu\n", (unsigned long long)dg->cell_total(h, insns));
    if (strcmp(mode, "wrap") == 0)
        dg->print(h, "entered %llu\nleft %llu\njumps %llu\njumped %llu\nbad %llu\n", (unsigned long long)entered, (unsigned long long)left,
                  (unsigned long long)jumps, (unsigned long long)jumped, (unsigned long long)bad_results);
    if (strcmp(mode, "both"))
        return;
    for (uint32_t k = 0; k < TABLE; k++)
        wrong += dg->cell_total(h, table + k) != c_table[k];
    dg->print(h,
              "insns %llu %llu\ncounter %llu %llu\ntaken %llu %llu\nbytes %llu %llu\nmost %llu %llu\nwide %llu %llu\nrecords %llu %llu\nasked %llu %llu\n"
              "table %llu 0\nvalues %llu 0\n",
              (unsigned long long)dg->cell_total(h, insns), (unsigned long long)c_insns,
              (unsigned long long)dg->cell_total(h, counter), (unsigned long long)c_insns,
              (unsigned long long)dg->cell_total(h, taken), (unsigned long long)c_taken,
              (unsigned long long)dg->cell_total(h, bytes), (unsigned long long)c_bytes,
              (unsigned long long)dg->cell_total(h, most), (unsigned long long)c_most,
              (unsigned long long)dg->cell_total(h, guarded), (unsigned long long)c_guarded,
              (unsigned long long)streamed, (unsigned long long)c_insns, (unsigned long long)asked, (unsigned long long)c_insns,
              (unsigned long long)wrong,
              (unsigned long long)bad_values);
}

static int start(DgHost *h)
{
    mode = dg->option(h, "mode");
    if (!mode) {
        dg->fail(h, "no mode");
        return 1;
    }
    insns = dg->cell_new(h, DG_SUM, 1);
    counter = dg->cell_new(h, DG_COUNTER, 1);
    taken = dg->cell_new(h, DG_SUM, 1);
    bytes = dg->cell_new(h, DG_SUM, 1);
    most = dg->cell_new(h, DG_MAX, 1);
    guarded = dg->cell_new(h, DG_SUM, 1);
    table = dg->cell_new(h, DG_SUM, TABLE);
    stream = dg->stream_new(h, 8, 4096, on_records, h, 0);
    goings = dg->stream_new(h, sizeof(Going), 0, on_goings, &sorted_out, 0);
    outside = dg->stream_new(h, sizeof(Going), 4096, on_goings, &told_apart, 0);
    x0 = dg->reg_find(h, "x0");
    dg->on_translate(h, translate, h);
    dg->on_finish(h, finish, h);
    wrap_all(h);
    if (strcmp(mode, "counts") == 0)
        start_counts(h);
    if (strcmp(mode, "access") == 0)
        dg->on_access(h, on_access, h);
    if (strcmp(mode, "watch") == 0) {
        dg->watch(h, false);
        dg->on_syscall(h, on_syscall, NULL, h, false);
    }
    return 0;
}

DG_TOOL("probe", "for tests", start, "mode=WHAT")
