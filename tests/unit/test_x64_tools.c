/*
 * The operations of tools: cells, counts, records in buffers, filters, calls. Random regions of them leave the same cells, registers
 * and records translated and interpreted; and a filter passes exactly what a cache of its shape would miss.
 *
 *   test_x64_tools [SEED [COUNT [SIZE]]]
 */
#include "jit_gen.h"

/* Cells, from the guest's state on: behind the slots. */
enum { POS = 896, LIMIT = 904, POS2 = 912, LIMIT2 = 920, CELLS = 928, NCELLS = 8, TABLE = 1024, TABLE_BYTES = 1024 };
enum { BUFFER = 512, SLACK = 2048, LOG = 1 << 16, NOTES = 64 };

/* What comes out of one run. */
typedef struct Log {
    uint8_t bytes[LOG];
    unsigned n, emptied, calls;
} Log;

static uint8_t buffer[2][BUFFER + SLACK];
static Log logs[2], *out; /* interpreted, translated */
static IrNote notes[NOTES];
static unsigned nnotes;
static IrTell tells[NOTES];
static unsigned ntells;

static void put(const void *from, size_t n)
{
    if (out->n + n <= LOG) {
        memcpy(out->bytes + out->n, from, n);
        out->n += (unsigned)n;
    }
}

static unsigned which(uint64_t limit)
{
    return limit == LIMIT2;
}

/* A buffer is full. */
static uint64_t room(IrCpu *cpu, uint64_t at, uint64_t limit)
{
    uint8_t *start = buffer[which(limit)];

    put(start, (size_t)(at - (uintptr_t)start));
    out->emptied++;
    return (uintptr_t)start;
}

static uint64_t *cell(HostCpu *cpu, unsigned at)
{
    return (uint64_t *)(void *)(cpu->state + at);
}

/* What a C function may leave in registers. */
static void clobber(void)
{
    static volatile double third = 3;

    __asm__ volatile("mov $-1, %%rax\n mov %%rax, %%rcx\n mov %%rax, %%rdx\n mov %%rax, %%rsi\n mov %%rax, %%rdi\n mov %%rax, %%r8\n"
                     "mov %%rax, %%r9\n mov %%rax, %%r10\n mov %%rax, %%r11\n"
                     "pcmpeqd %%xmm0, %%xmm0\n movaps %%xmm0, %%xmm1\n movaps %%xmm0, %%xmm2\n movaps %%xmm0, %%xmm3\n"
                     "movaps %%xmm0, %%xmm4\n movaps %%xmm0, %%xmm5\n movaps %%xmm0, %%xmm6\n movaps %%xmm0, %%xmm7\n"
                     "movaps %%xmm0, %%xmm8\n movaps %%xmm0, %%xmm9\n movaps %%xmm0, %%xmm10\n movaps %%xmm0, %%xmm11\n"
                     "movaps %%xmm0, %%xmm12\n movaps %%xmm0, %%xmm13\n movaps %%xmm0, %%xmm14\n movaps %%xmm0, %%xmm15"
                     : : : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5",
                       "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "memory", "cc");
    clobber_high();
    third = 1e-300 / third * 1e-300;
}

static void tell(uint64_t cell_value, uint64_t small, uint64_t address, uint64_t large, uint64_t value)
{
    const uint64_t all[] = {cell_value, small, address, large, value};

    put(all, sizeof all);
    out->calls++;
    clobber();
}

/* From translated code. */
static void told(uint64_t cell_value, uint64_t small, uint64_t address, uint64_t large)
{
    tell(cell_value, small, address, large, env->cpu->ir.call.arg[IR_TELL_VALUE].u64[0]);
}

static void told_short(uint64_t large, uint64_t cell_value)
{
    tell(cell_value, 0, 0, large, 0);
}

/* What the interpreter calls. */
static bool tell_by_world(uint64_t site, const IrVal arg[2])
{
    const IrTell *x = (const IrTell *)(uintptr_t)site;

    if (x < tells || x >= tells + NOTES)
        return false;
    if (x->nargs == 2)
        tell(*cell(env->ref, (unsigned)x->arg[1]), 0, 0, x->arg[0], 0);
    else
        tell(*cell(env->ref, (unsigned)x->arg[0]), x->arg[1], arg[0].u64[0], x->arg[3], arg[1].u64[0]);
    return true;
}

/* The vectors that the guest has at the call. */
static void put_vectors(const IrCpu *cpu, const IrShow *show)
{
    uint8_t state[STATE_SIZE];

    memcpy(state, cpu->state, sizeof state);
    show->see(show, state);
    put(state + STATE_SIZE - 16 * S_NV, 16 * S_NV);
}

static uint64_t see_code(const IrShow *show, uint8_t *state)
{
    return host_native.show(env->plan, env->cpu, env->code_rx, env->code.side, env->code.side_len, env->cpu->tool_at, state);
}

static IrStop called(IrCpu *cpu, uint64_t site, const IrVal arg[2], IrShow *show)
{
    if (tell_by_world(site, arg))
        return IR_STOP_NONE;
    put_vectors(cpu, show);
    put(&site, sizeof site);
    put(&arg[0], 8);
    put(&arg[1], 8);
    out->calls++;
    clobber();
    return IR_STOP_NONE;
}

/* As the engine answers. */
static IrStop called_from_code(HostCpu *cpu, uint64_t site)
{
    const IrVal *arg = cpu->ir.call.arg;

    if (site & 1)
        cpu->ir.call.ret.u64[0] = room(&cpu->ir, arg[0].u64[0], site >> 1);
    else if (site & 2)
        ir_note(&cpu->ir, (const IrNote *)(uintptr_t)(site - 2), arg[1].u64[0]);
    else
        return called(&cpu->ir, site, arg, &(IrShow){see_code});
    return IR_STOP_NONE;
}

/* --- combinations of additions ------------------------------------------------------------------------------------------ */

enum { COMBINED = 1016 }; /* the cell that is added to, in front of TABLE */

static HostCount combined[HOST_COMBINE_MAX];
static unsigned ncombined, times_combined, times_in_lanes;

/* Of one region one combination; all others are refused. */
static uint32_t combine(void *data, const HostCount *count, unsigned n, bool hot)
{
    if (n < 2 || n > HOST_COMBINE_MAX || (ncombined && pick(2)))
        return 0;
    if (ncombined && (ncombined != n || memcmp(combined, count, n * sizeof *count)))
        return 0;
    memcpy(combined, count, n * sizeof *count);
    ncombined = n;
    return COMBINED;
}

/* What was added together, one by one. */
static void uncombine(HostCpu *cpu)
{
    uint64_t *times = cell(cpu, COMBINED);

    for (unsigned k = 0; k < ncombined; k++)
        *cell(cpu, env->slot[combined[k].slot].offset) += *times * (uint64_t)combined[k].by;
    times_combined += (unsigned)*times;
    *times = 0;
}

/* What is in lanes. */
static void add_lanes(HostCpu *cpu)
{
    for (unsigned k = 0; env_lane && k < HOST_LANES; k++) {
        *cell(cpu, env->slot[env_lane + k].offset) += cpu->counted[k];
        times_in_lanes += cpu->counted[k] != 0;
        cpu->counted[k] = 0;
    }
}

/* --- regions ------------------------------------------------------------------------------------------------------------ */

static IrRef c64(Gen *g, uint64_t v)
{
    return ir_const(&g->b, IR_I64, v);
}

static unsigned log2_of(unsigned n)
{
    return (unsigned)__builtin_ctz(n);
}

/* A filter of some shape. */
static void shape(IrNote *n, unsigned ways, unsigned line)
{
    unsigned place = 8;

    while (place < 8 * ways)
        place *= 2;
    *n = (IrNote){.table = TABLE, .mask = TABLE_BYTES - place, .pos = POS, .limit = LIMIT, .low = line - 1, .place = place,
                  .ways = ways, .line_bits = (uint8_t)log2_of(line), .place_bits = (uint8_t)log2_of(place)};
}

/* As plugin/lower.c has it. */
static void gen_note(Gen *g, const IrNote *shape_, IrRef base, uint64_t disp, unsigned bytes)
{
    IrNote *n = &notes[nnotes++];

    *n = *shape_;
    n->span = bytes - 1;
    n->word = rnd();
    n->again = ~n->word;
    n->disp = disp;
    ir_emit(&g->b, (IrInsn){.op = IR_NOTE, .a = base, .imm = (uintptr_t)n});
}

/* Of code's fetches: a constant; of data: few lines, or many. */
static IrRef gen_address(Gen *g)
{
    static const uint64_t code[] = {0x400000, 0x7f0012345600, 0x40003f};
    IrRef x = slot_get(g, S_X0 + pick(6));

    if (pick(4) == 0)
        return c64(g, code[pick(3)] + 16 * pick(64));
    return ir_op2(&g->b, IR_AND, IR_I64, x, c64(g, pick(2) ? 0x7f : 0x3fff));
}

static void gen_cell(Gen *g)
{
    IrRef at = pick(2) ? c64(g, 8 * pick(NCELLS)) : ir_op2(&g->b, IR_AND, IR_I64, get(g, IR_I64), c64(g, 8 * (NCELLS - 1)));
    IrInsn i = {.op = IR_CELL_GET, .type = IR_I64, .a = at, .imm = CELLS};

    switch (pick(3)) {
    case 0:
        slot_put(g, S_X0 + pick(S_NX), ir_emit(&g->b, i));
        break;
    case 1:
        ir_emit(&g->b, (IrInsn){.op = IR_CELL_PUT, .a = at, .b = get(g, IR_I64), .imm = CELLS});
        break;
    default:
        ir_emit(&g->b, (IrInsn){.op = IR_CELL_ADD, .a = at, .b = get(g, IR_I64), .imm = CELLS});
        break;
    }
}

enum { S_COUNTS = S_X0 + 9, NCOUNTS = 10 }; /* slots that have no register of their own, as no cell has */

/* Additions to several slots. */
static void gen_counts(Gen *g)
{
    static const uint64_t by[] = {1, 2, 5, 0x7fffffff, -3ull, 1ull << 40};

    for (unsigned n = 1 + pick(NCOUNTS), slot = S_COUNTS + pick(NCOUNTS + 1 - n); n--; slot++)
        slot_put(g, slot, ir_emit(&g->b, (IrInsn){.op = IR_TALLY, .type = IR_I64, .a = slot_get(g, slot), .imm = by[pick(6) * pick(2)]}));
}

/* Room, and pieces of a record of all widths. */
static void gen_record(Gen *g)
{
    static const IrType types[] = {IR_I8, IR_I16, IR_I32, IR_I64, IR_V128};
    IrRef zero = c64(g, 0), pos = ir_emit(&g->b, (IrInsn){.op = IR_CELL_GET, .type = IR_I64, .a = zero, .imm = POS2});
    unsigned used = 0;

    pos = ir_emit(&g->b, (IrInsn){.op = IR_ROOM, .type = IR_I64, .a = pos, .imm = LIMIT2});
    for (unsigned n = 1 + pick(5); n--; used += 16) {
        IrType t = types[pick(5)];
        IrRef v = pick(3) || t == IR_V128 ? get(g, t) : ir_const(&g->b, t, rnd() & (t == IR_I64 ? UINT64_MAX : (1ull << (8 * ir_type_size(t))) - 1));
        ir_emit(&g->b, (IrInsn){.op = IR_STASH, .lane = (uint8_t)t, .a = pos, .b = v, .imm = used});
    }
    IrRef end = ir_emit(&g->b, (IrInsn){.op = IR_TALLY, .type = IR_I64, .a = pos, .imm = used});
    ir_emit(&g->b, (IrInsn){.op = IR_CELL_PUT, .a = zero, .b = end, .imm = POS2});
}

static void gen_call(Gen *g)
{
    IrRef cond = pick(2) ? ir_const(&g->b, IR_I8, pick(3) != 0) : boolean(g), value = get(g, pick(3) ? IR_I64 : IR_V128);

    ir_emit(&g->b, (IrInsn){.op = IR_TOOL, .a = cond, .b = get(g, IR_I64), .c = value, .imm = 4 * (1 + pick(1000))});
    snapped(g);
}

static void gen_tell(Gen *g)
{
    IrTell *x = &tells[ntells++];
    uint64_t at = CELLS + 8 * pick(NCELLS);
    IrRef address = pick(4) ? get(g, IR_I64) : c64(g, rnd()), cond = pick(2) ? ir_const(&g->b, IR_I8, pick(5) != 0) : boolean(g);

    if (pick(2))
        *x = (IrTell){.fn = (void (*)(void))told_short, .nargs = 2, .arg = {rnd(), at}, .kind = {IR_TELL_CONST, IR_TELL_CELL}};
    else
        *x = (IrTell){.fn = (void (*)(void))told, .nargs = 4, .arg = {at, pick(100), 0, rnd()}, .value = true,
                      .kind = {IR_TELL_CELL, IR_TELL_CONST, IR_TELL_ADDRESS, IR_TELL_CONST}};
    ir_emit(&g->b, (IrInsn){.op = IR_TELL, .a = cond, .b = address, .c = get(g, pick(3) ? IR_I64 : IR_V128), .imm = (uintptr_t)x});
}

static void gen_tool(Gen *g, const IrNote *shape_)
{
    switch (pick(8)) {
    case 4:
        gen_counts(g);
        break;
    case 0:
        gen_cell(g);
        break;
    case 1:
        gen_record(g);
        break;
    case 2:
        gen_call(g);
        break;
    case 3:
        if (ntells < NOTES)
            gen_tell(g);
        break;
    default:
        if (nnotes < NOTES)
            gen_note(g, shape_, gen_address(g), pick(2) ? 0 : rnd() % 4096 - 2048, 1u << pick(5));
        break;
    }
}

/* Change every vector: between two of these there are more values than registers, which no exit stores. */
static void gen_wide(Gen *g)
{
    for (unsigned k = S_V0; k < S_V0 + S_NV; k++)
        ir_put(&g->b, k, ir_opx(&g->b, IR_ADD, IR_V128, IR_I32, 4, 0, 0, ir_get(&g->b, k), ir_get(&g->b, S_V0 + pick(S_NV)), 0));
}

static IrRegion *generate(unsigned size)
{
    static const uint8_t ways[] = {1, 2, 4, 8, 12, 16};
    static Gen g;
    IrNote filter;

    memset(g.n, 0, sizeof g.n);
    memset(g.cur, 0, sizeof g.cur);
    g.pc = 0x10000;
    nnotes = ntells = ncombined = 0;
    shape(&filter, ways[pick(sizeof ways)], 16u << pick(3));
    IrRegion *r = ir_region_new(&env->arena, &env->slots, env->helpers, env->nhelpers, g.pc);
    ir_builder_init(&g.b, r);
    g.graph = r->graph = pick(2);
    bool wide = pick(3) == 0;
    if (wide)
        gen_wide(&g);
    for (unsigned n = 1 + pick(size); n--;) {
        gen_insn(&g);
        for (unsigned k = pick(4); k--;)
            gen_tool(&g, &filter);
    }
    if (wide)
        gen_wide(&g);
    gen_exit(&g);
    return r;
}

/* --- running ------------------------------------------------------------------------------------------------------------ */

static void run_begin(HostCpu *cpu, unsigned n)
{
    out = &logs[n];
    *out = (Log){.n = 0};
    memset(buffer, 0, sizeof buffer);
    memset(cpu->state + TABLE, IR_NOTE_BYTE, TABLE_BYTES);
    for (unsigned k = 0; k < NCELLS; k++)
        *cell(cpu, CELLS + 8 * k) = 1000 * k;
    for (unsigned k = 0; k < 2; k++) {
        *cell(cpu, k ? POS2 : POS) = (uintptr_t)buffer[k];
        *cell(cpu, k ? LIMIT2 : LIMIT) = (uintptr_t)buffer[k] + 64;
    }
}

/* What is in the buffers comes behind what they were emptied of. */
static void run_end(HostCpu *cpu)
{
    *cell(cpu, POS) = room(&cpu->ir, *cell(cpu, POS), LIMIT);
    *cell(cpu, POS2) = room(&cpu->ir, *cell(cpu, POS2), LIMIT2);
}

static bool same_output(void)
{
    return logs[0].n == logs[1].n && logs[0].emptied == logs[1].emptied && logs[0].calls == logs[1].calls &&
           !memcmp(logs[0].bytes, logs[1].bytes, logs[0].n) &&
           !memcmp(env->cpu->state + POS, env->ref->state + POS, sizeof env->cpu->state - POS);
}

/* Several times over the same tables. */
static bool same_tools(const IrRegion *r, unsigned states)
{
    IrStop stop[2];

    if (!env_compile(r))
        return false;
    run_begin(env->cpu, 1);
    run_begin(env->ref, 0);
    while (states--) {
        memset(buffer, 0, sizeof buffer);
        random_state(env->ref);
        memcpy(env->cpu->state, env->ref->state, STATE_SIZE);
        memset(env->mem, 0, MEM_SIZE);
        env->ref->ir.pc = env->cpu->ir.pc = r->pc;
        env->ref->ir.fp = env->cpu->ir.fp = (FpEnv){0};
        env->cpu->exit_request = 0;
        out = &logs[0];
        stop[0] = ir_interp(r, &env->ref->ir, &env->arena);
        run_end(env->ref);
        memset(buffer, 0, sizeof buffer);
        memset(env->mem, 0, MEM_SIZE);
        out = &logs[1];
        host_native.fp_load(env->cpu);
        stop[1] = host_native.enter(env->plan, env->cpu, env->code_rx);
        host_native.fp_store(env->cpu);
        uncombine(env->cpu);
        add_lanes(env->cpu);
        run_end(env->cpu);
        if (!same(env->cpu, env->ref, stop[1], stop[0]) || !same_output()) {
            report(r, stop[1], stop[0], env->mem);
            return false;
        }
    }
    return true;
}

static bool run_one(unsigned size, unsigned states)
{
    char err[256];
    OptConfig cfg = {.skip = pick(3) ? 0 : ~0u};

    arena_reset(&env->arena);
    env->world.tool = called;
    env->world.room = room;
    env->cpu->tool = called_from_code;
    IrRegion *r = generate(size);
    opt_run(r, &cfg);
    if (!ir_verify(r, true, err, sizeof err)) {
        fprintf(stderr, "generator: %s\n", err);
        ir_print(stderr, r);
        return false;
    }
    return same_tools(r, states);
}

/* --- filters against a cache -------------------------------------------------------------------------------------------- */

/* By set, the line used last first. */
typedef struct Model {
    uint64_t line[TABLE_BYTES / 8][16];
    unsigned n[TABLE_BYTES / 8];
} Model;

static bool model_misses(Model *m, unsigned sets, unsigned ways, uint64_t line)
{
    unsigned s = (unsigned)(line % sets), k = 0;

    while (k < m->n[s] && m->line[s][k] != line)
        k++;
    bool miss = k == m->n[s];
    if (miss && m->n[s] < ways)
        m->n[s]++;
    for (k = miss ? m->n[s] - 1 : k; k > 0; k--)
        m->line[s][k] = m->line[s][k - 1];
    m->line[s][0] = line;
    return miss;
}

/* One NOTE after another, in code of its own of either tier: records of each against what a cache misses. */
static bool as_a_cache(unsigned ways, unsigned line, unsigned bytes, bool graph)
{
    static Gen g;
    static Model m;
    IrNote filter;

    memset(&m, 0, sizeof m);
    arena_reset(&env->arena);
    nnotes = 0;
    shape(&filter, ways, line);
    IrRegion *r = ir_region_new(&env->arena, &env->slots, env->helpers, env->nhelpers, 0x10000);
    ir_builder_init(&g.b, r);
    g.pc = 0x10000;
    g.graph = r->graph = graph;
    gen_insn(&g);
    gen_note(&g, &filter, slot_get(&g, S_X0), 0, bytes);
    gen_exit(&g);
    opt_run(r, &(OptConfig){.verify = true});
    if (!env_compile(r))
        return false;
    run_begin(env->cpu, 1);
    *cell(env->cpu, LIMIT) += BUFFER - 64;
    unsigned sets = TABLE_BYTES / filter.place;
    for (unsigned n = 0; n < 20000; n++) {
        uint64_t addr = rnd() % (pick(4) ? 2048 : 1 << 15), first = addr / line, last = (addr + bytes - 1) / line, want[4];
        unsigned k = 0;
        memcpy(env->cpu->state + env->slot[S_X0].offset, &addr, 8);
        *cell(env->cpu, POS) = (uintptr_t)buffer[0];
        host_native.fp_load(env->cpu);
        host_native.enter(env->plan, env->cpu, env->code_rx);
        if (model_misses(&m, sets, ways, first)) {
            want[k++] = notes[0].word;
            want[k++] = addr;
        }
        if (last != first && model_misses(&m, sets, ways, last)) {
            want[k] = k ? notes[0].again : notes[0].word;
            want[k + 1] = last * line;
            k += 2;
        }
        if (*cell(env->cpu, POS) != (uintptr_t)buffer[0] + 8 * k || memcmp(buffer[0], want, 8 * k))
            return false;
    }
    return true;
}

static bool all_caches(void)
{
    static const uint8_t ways[] = {1, 2, 3, 4, 8, 12, 16};
    bool ok = true;

    rng = 1;
    for (unsigned k = 0; k < sizeof ways; k++)
        for (unsigned line = 16; line <= 64; line *= 2)
            for (unsigned bytes = 1; bytes <= 16; bytes *= 4)
                ok &= as_a_cache(ways[k], line, bytes, false) && as_a_cache(ways[k], line, bytes, true);
    return ok;
}

int main(int argc, char **argv)
{
    TEST_BEGIN();
    env_tool_calls = true;
    random_run("native", argc > 1 ? strtoull(argv[1], NULL, 0) : 1, argc > 2 ? (unsigned)atoi(argv[2]) : 1500,
               argc > 3 ? (unsigned)atoi(argv[3]) : 12, "tools, called from many places", run_one);
    env_tool_calls = false;
    random_run("native", argc > 1 ? strtoull(argv[1], NULL, 0) : 1, argc > 2 ? (unsigned)atoi(argv[2]) : 1500,
               argc > 3 ? (unsigned)atoi(argv[3]) : 12, "tools", run_one);
    env_combine = combine;
    random_run("native", argc > 1 ? strtoull(argv[1], NULL, 0) : 1, argc > 2 ? (unsigned)atoi(argv[2]) : 1500,
               argc > 3 ? (unsigned)atoi(argv[3]) : 12, "tools, additions combined", run_one);
    TEST("additions to several counters were combined", times_combined > 100);
    env_lane = S_COUNTS + 1;
    random_run("native", argc > 1 ? strtoull(argv[1], NULL, 0) : 1, argc > 2 ? (unsigned)atoi(argv[2]) : 1500,
               argc > 3 ? (unsigned)atoi(argv[3]) : 12, "tools, additions in lanes and combined", run_one);
    TEST("additions to counters with lanes were made there", times_in_lanes > 100);
    env_lane = 0;
    env_combine = NULL;
    TEST("a filter passes what a cache of its shape misses", all_caches());
    return TEST_END();
}
