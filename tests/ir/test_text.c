/*
 * Text form, verifier and interpreter: printing and parsing are inverse, wrong regions are refused with a reason, and the
 * parser survives damaged text.
 */
#include "../unit/test.h"
#include "opt/opt.h"
#include "support.h"

static Arena arena;
static char err[200];

static IrRegion *parse(const char *text)
{
    err[0] = 0;
    return ir_parse(&arena, text, &test_slots, test_helpers, TEST_NHELPERS, err, sizeof err);
}

/* One of every form of line. */
static const char every_form[] =
    "region 0x1000 nan=2 soft\n"
    "block0:\n"
    "  insn 0x1000 4\n"
    "  %2:i64 = get x0\n"
    "  %3:v128 = get v0\n"
    "  %4:i64 = const 0x123456789abcdef0\n"
    "  %5:v128 = vconst 0x1:0x2\n"
    "  %6:v128 = const 7\n"
    "  %7:i32 = trunc.i64 %2\n"
    "  %8:i8 = icmp.i64 slt %2, %4\n"
    "  %9:i8 = icmp.i64 ne %2, %4\n"
    "  %10:i8 = icmp.i32 uge %7, %7\n"
    "  %11:f64 = bitcast.i64 %2\n"
    "  %12:i8 = fcmp.f64 geu! %11, %11\n"
    "  %13:i8 = fcmp.f64 lg %11, %11 quiet\n"
    "  %14:v128 = vicmp.i8x16 sge %3, %5\n"
    "  %15:v128 = vfcmp.f32x2 un %3, %5\n"
    "  %16:v128 = vmull.i16x4 %3, %5 aux=0x11\n"
    "  %17:i64 = ubfx %2 #0x803\n"
    "  %18:i64 = load.i32 [%2 + 0x10] acquire signed careful\n"
    "  %19:i64 = load.i64 [%2 - 8]\n"
    "  store.i8 [%2 + 1], %7 release watch aligned\n"
    "  %21:i64 = cas.i32 [%2], %18, %19 acq_rel\n"
    "  %22:i32 = rmw.i16 maxs [%2], %7 seq_cst soft\n"
    "  fence seq_cst\n"
    "  prefetch %2 aux=0x1\n"
    "  %25:i64 = call sum(%2, %19)\n"
    "  %26:i64 = select %8, %2, %25\n"
    "  put x1, %26\n"
    "  brif %8, block1(%2, %26), block2\n"
    "block1 cold:\n"
    "  %29:i64 = param 0\n"
    "  %30:i64 = param 1\n"
    "  owe #0x1004\n"
    "  exit.call 0x2000, %29 poll\n"
    "block2:\n"
    "  brif %9, block3, block4\n"
    "block3:\n"
    "  exit.ind call %2, %4\n"
    "block4:\n"
    "  brif %10, block5, block6\n"
    "block5:\n"
    "  exit.help leave(%2), %4\n"
    "block6:\n"
    "  brif %12, block7, block8\n"
    "block7:\n"
    "  exit.stop 0x1004 illegal\n"
    "block8:\n"
    "  br block9(%2)\n"
    "block9:\n"
    "  %41:i64 = param 0\n"
    "  exit 0x3000 poll\n";

static const char with_bool[] =
    "region 0x1000 graph\n"
    "block0:\n"
    "  %1:i8 = get z\n"
    "  br block1(%1)\n"
    "block1:\n"
    "  %2:i8 = param 0 bool\n"
    "  exit 0x2000 {0x1000 z=%2}\n";

static void round_trip(void)
{
    IrRegion *r = parse(every_form);

    if (!TEST("parse", r != NULL)) {
        printf("# %s\n", err);
        return;
    }
    if (!TEST("verify", ir_verify(r, true, err, sizeof err)))
        printf("# %s\n", err);
    char *text = test_print(r);
    if (!TEST("print gives the text back", strcmp(text, every_form) == 0))
        printf("# %s", text);
    free(text);
    opt_run(r, &(OptConfig){.verify = true});
    char *one = test_print(r);
    IrRegion *again = parse(one);
    TEST("snapshots parse", again != NULL && ir_verify(again, true, err, sizeof err));
    char *two = again ? test_print(again) : strdup("");
    TEST("snapshots round trip", strcmp(one, two) == 0);
    free(one);
    free(two);
    r = parse(with_bool);
    text = r ? test_print(r) : strdup("");
    TEST("boolean parameters round trip", strcmp(text, with_bool) == 0);
    free(text);
}

/* --- the verifier's refusals ------------------------------------------------------------------------------------------ */

static const struct {
    const char *why, *text;
} refused[] = {
    {"wrong type", "block0:\n %1:i64 = get x0\n %2:i32 = add %1, %1\n exit 0\n"},
    {"no such slot", "block0:\n %1:i32 = get x0\n exit 0\n"},
    {"no such slot", "block0:\n %1:i32 = const 0\n put x0, %1\n exit 0\n"},
    {"not defined here", "block0:\n %2:i64 = add %1, %1\n %1:i64 = get x0\n exit 0\n"},
    {"no terminator", "block0:\n %1:i64 = get x0\n"},
    {"inside a block", "block0:\n exit 0\n exit 0\n"},
    {"constant wider", "block0:\n %1:i8 = const 0x100\n exit 0\n"},
    {"not a narrowing", "block0:\n %1:i32 = const 1\n %2:i32 = trunc.i32 %1\n exit 0\n"},
    {"not a widening", "block0:\n %1:i64 = const 1\n %2:i32 = zext.i64 %1\n exit 0\n"},
    {"bit field", "block0:\n %1:i64 = get x0\n %2:i64 = ubfx %1 #0x4001\n exit 0\n"},
    {"without lanes", "block0:\n %1:v128 = get v0\n %2:v128 = add %1, %1\n exit 0\n"},
    {"more than 128", "block0:\n %1:v128 = get v0\n %2:v128 = add.i32x8 %1, %1\n exit 0\n"},
    {"only for i32", "block0:\n %1:i8 = const 1\n %2:i8 = shl %1, %1\n exit 0\n"},
    {"memory type", "block0:\n %1:i64 = get x0\n %2:i32 = load.i64 [%1]\n exit 0\n"},
    {"displacement", "block0:\n %1:i64 = get x0\n %2:i64 = rmw.i64 add [%1 + 8], %1\n exit 0\n"},
    {"helper", "block0:\n %1:i64 = get x0\n %2:i64 = call sum(%1)\n exit 0\n"},
    {"wrong type", "block0:\n %1:i64 = get x0\n %2:i8 = const 0\n %3:i64 = call sum(%1, %2)\n exit 0\n"},
    {"return address", "block0:\n %1:i64 = get x0\n exit.ind call %1\n"},
    {"block arguments", "block0:\n br block1\nblock1:\n %1:i64 = param 0\n exit 0\n"},
    {"in a tree", "block0:\n %1:i8 = get z\n brif %1, block1, block1\nblock1:\n exit 0\n"},
    {"in a tree", "block0:\n exit 0\nblock1:\n exit 0\n"},
    {"a tree", "block0:\n br block0\n"},
    {"in a tree", "block0:\n br block2\nblock1:\n exit 0\nblock2:\n br block1\n"},
    {"not defined here", "block0:\n %1:i8 = get z\n brif %1, block1, block2\nblock1:\n %2:i64 = get x0\n exit 0\nblock2:\n"
                         " put x1, %2\n exit 0\n"},
    {"after a put", "block0:\n insn 0 4\n %1:i64 = get x0\n put x0, %1\n %2:i64 = load.i64 [%1]\n exit 0\n"},
    {"not sorted", "block0:\n %1:i64 = get x0\n exit 0 {0 x1=%1 x0=%1}\n"},
    {"wrong type", "block0:\n %1:i64 = get x0\n exit 0 {0 z=%1}\n"},
    {"half converted", "block0:\n %1:i64 = get x0\n put x1, %1\n exit 0 {0 x0=%1}\n"},
    {"half converted", "block0:\n %1:i64 = get x0\n %2:i64 = load.i64 [%1] {0}\n exit 0\n"},
    {"entry of a graph", "region 0 graph\nblock0:\n %1:i8 = get z\n brif %1, block0, block1\nblock1:\n exit 0\n"},
    {"not reducible", "region 0 graph\nblock0:\n %1:i8 = get z\n brif %1, block1, block2\nblock1:\n brif %1, block2, block3\n"
                      "block2:\n brif %1, block1, block3\nblock3:\n exit 0\n"},
    {"argument 1 for block1", "region 0 graph\nblock0:\n %1:i64 = get x0\n br block1(%1, %1)\nblock1:\n"
                              " %2:i64 = param 0\n %3:i8 = param 1\n exit 0\n"},
    {"block arguments", "region 0 graph\nblock0:\n %1:i8 = get z\n brif %1, block1(%1), block1\nblock1:\n %2:i8 = param 0\n"
                        " exit 0\n"},
    {"parameter out of order", "region 0 graph\nblock0:\n %1:i8 = get z\n br block1(%1)\nblock1:\n insn 0x10\n"
                               " %2:i8 = param 0\n exit 0\n"},
    {"not defined here", "region 0 graph\nblock0:\n %1:i8 = get z\n brif %1, block1(%2), block2\nblock1:\n"
                         " %3:i64 = param 0\n exit 0\nblock2:\n %2:i64 = get x0\n exit 0\n"},
    {"out of order", "block0:\n br block1(%1)\nblock1:\n %1:i64 = get x0\n %2:i64 = param 0\n exit 0\n"},
};

static void refusals(void)
{
    for (unsigned k = 0; k < sizeof refused / sizeof *refused; k++) {
        IrRegion *r = parse(refused[k].text);
        bool bad = r && !ir_verify(r, !r->graph, err, sizeof err);
        if (!TEST(refused[k].why, bad && strstr(err, refused[k].why)))
            printf("# case %u: %s\n", k, err);
    }
    TEST("a loop is no tree, but valid",
         ir_verify(parse("block0:\n %1:i64 = get x0\n br block1(%1)\nblock1:\n %2:i64 = param 0\n %3:i8 = get z\n"
                         " brif %3, block1(%2), block2\nblock2:\n put x0, %2\n exit 0\n"), false, err, sizeof err));
    TEST("dominance in a graph",
         !ir_verify(parse("block0:\n %1:i8 = get z\n brif %1, block1, block2\nblock1:\n %2:i64 = get x0\n br block3\n"
                          "block2:\n br block3\nblock3:\n put x1, %2\n exit 0\n"), false, err, sizeof err));
}

/* A loop with parameters, in the form that ir_print gives it. */
static void graph_text(void)
{
    static const char text[] = "region 0x1000 graph\nblock0:\n  %1:i64 = get x0\n  %2:i8 = get z\n  br block1(%1, %2)\n"
                               "block1:\n  %3:i64 = param 0\n  %4:i8 = param 1\n  %5:i64 = load.i64 [%3] {0x1000 z=%4 x0=%3}\n"
                               "  %6:i8 = poll\n  brif %6, block2, block1(%5, %6)\nblock2 cold:\n  exit 0x1000 {0x1000 x0=%5}\n";
    IrRegion *r = parse(text);
    char *out = NULL;
    size_t len;

    TEST("graph parses", r != NULL && r->graph && ir_verify(r, false, err, sizeof err));
    FILE *f = open_memstream(&out, &len);
    if (r)
        ir_print(f, r);
    fclose(f);
    TEST("graph prints as it was", strcmp(out, text) == 0);
    free(out);
}

/* --- the parser on bad text --------------------------------------------------------------------------------------------- */

static const char *const not_ir[] = {
    "", "hello", "block1:\n exit 0\n", "block0:\n frob %1\n", "block0:\n %1:i64 = get x99\n", "block0:\n %0:i64 = get x0\n",
    "block0:\n %1:i64 = add %7, %7\n", "block0:\n %1:i64 = get x0\n %1:i64 = get x1\n", "block0:\n br block7\n",
    "block0:\n exit zero\n", "block0:\n %70000:i64 = get x0\n", "block0:\n exit 0 {0 x0\n", "block0:\n exit 0 trailing\n",
    "block0:\n %1:i64 = call nobody()\n", "block0:\n %1:i64 = load.i64 [x0]\n", "block0:\nblock0:\n", "region 1\n",
};

static void bad_text(void)
{
    for (unsigned k = 0; k < sizeof not_ir / sizeof *not_ir; k++)
        if (!TEST("refuses", parse(not_ir[k]) == NULL && strstr(err, "line")))
            printf("# case %u\n", k);
}

/* Damage the sample text at random: parse, and verify what parses; nothing may crash. */
static void damaged_text(void)
{
    static char text[sizeof every_form + 1];
    uint64_t seed = 12345;
    unsigned parsed = 0, valid = 0;

    for (unsigned k = 0; k < 20000; k++) {
        memcpy(text, every_form, sizeof every_form);
        for (unsigned n = 1 + test_random(&seed) % 3; n > 0; n--) {
            unsigned at = test_random(&seed) % (sizeof every_form - 1);
            unsigned from = test_random(&seed) % (sizeof every_form - 1);
            if (test_random(&seed) & 1)
                text[at] = every_form[from];
            else
                memmove(text + at, text + at + 1, strlen(text + at));
        }
        arena_reset(&arena);
        IrRegion *r = parse(text);
        parsed += r != NULL;
        valid += r && ir_verify(r, test_random(&seed) & 1, err, sizeof err);
    }
    TEST("damaged text", parsed > valid && valid > 0);
}

/* --- the interpreter --------------------------------------------------------------------------------------------------- */

static TestCpu cpu;

static IrStop run(const char *text)
{
    Arena scratch;
    uint64_t seed = 99;
    IrRegion *r = parse(text);

    if (!r) {
        printf("# %s\n", err);
        return IR_STOP_NONE;
    }
    test_cpu_init(&cpu, &seed);
    cpu.poll = false;
    cpu.state.x[0] = TEST_MEM_BASE;
    cpu.state.x[1] = 10;
    arena_init(&scratch);
    IrStop stop = ir_interp(r, &cpu.cpu, &scratch);
    arena_done(&scratch);
    return stop;
}

static void interpreter(void)
{
    /* Sum of 1..x1, through block parameters. */
    IrStop stop = run("block0:\n %1:i64 = get x1\n %2:i64 = const 0\n %3:i64 = const 1\n br block1(%1, %2)\n"
                      "block1:\n %4:i64 = param 0\n %5:i64 = param 1\n %6:i64 = add %5, %4\n %7:i64 = sub %4, %3\n"
                      " %8:i8 = icmp.i64 ne %7, %2\n brif %8, block1(%7, %6), block2(%6)\n"
                      "block2:\n %9:i64 = param 0\n put x2, %9\n exit 0x44\n");
    TEST("a loop", stop == IR_STOP_NONE && cpu.cpu.pc == 0x44 && cpu.state.x[2] == 55);
    stop = run("block0:\n insn 0x100 4\n %1:i64 = get x1\n put x3, %1\n insn 0x104 4\n %2:i64 = load.i64 [%1]\n put x4, %2\n exit 0\n");
    TEST("a fault, lifted form", stop == IR_STOP_FAULT && cpu.cpu.pc == 0x104 && cpu.state.x[3] == 10 && cpu.fault_va == 10);
    stop = run("block0:\n %1:i64 = get x1\n %2:i64 = load.i64 [%1] {0x104 x3=%1}\n exit 0 {0x104 x3=%1 x4=%2}\n");
    TEST("a fault, snapshot form", stop == IR_STOP_FAULT && cpu.cpu.pc == 0x104 && cpu.state.x[3] == 10);
    stop = run("block0:\n %1:i64 = get x0\n %2:i32 = const 0xfffffff0\n store.i8 [%1 + 4], %2\n %3:i64 = load.i8 [%1 + 4] signed\n"
               " put x2, %3\n %4:i32 = load.i8 [%1 + 4] signed\n %5:i64 = zext.i32 %4\n put x3, %5\n exit 0x8 poll\n");
    TEST("sign extension", cpu.state.x[2] == 0xfffffffffffffff0 && cpu.state.x[3] == 0xfffffff0 && stop == IR_STOP_NONE);
    stop = run("block0:\n %1:i64 = get x0\n %2:i64 = const 5\n store.i64 [%1], %2\n %3:i64 = rmw.i64 add [%1], %2\n"
               " %4:i64 = const 10\n %5:i64 = cas.i64 [%1], %4, %2\n put x2, %3\n put x3, %5\n exit.stop 0x20 break\n");
    TEST("atomics and stop", stop == IR_STOP_BREAK && cpu.cpu.pc == 0x20 && cpu.state.x[2] == 5 && cpu.state.x[3] == 10 &&
                             cpu.mem[0] == 5);
    stop = run("block0:\n %1:i64 = get x1\n %2:i64 = call sum(%1, %1)\n put x2, %2\n %3:i64 = const 3\n %4:i64 = const 0x500\n"
               " exit.help leave(%3), %4\n");
    TEST("helpers", stop == IR_STOP_CHECK && cpu.cpu.pc == 0x500 && cpu.state.x[2] == 20);
    stop = run("block0:\n %1:i64 = get x1\n %2:i64 = const 0x30\n exit.ind call %1, %2\n");
    TEST("indirect exit", stop == IR_STOP_NONE && cpu.cpu.pc == 10);
    stop = run("block0:\n %1:i64 = get x1\n exit.ind many %1\n");
    TEST("to one of many targets", stop == IR_STOP_NONE && cpu.cpu.pc == 10);
}

/* Building simplifies. */
static void builder(void)
{
    IrRegion *r = ir_region_new(&arena, &test_slots, test_helpers, TEST_NHELPERS, 0x1000);
    IrBuilder b;

    ir_builder_init(&b, r);
    IrRef x = ir_get(&b, TEST_X0), zero = ir_const(&b, IR_I64, 0), one = ir_const(&b, IR_I8, 1);
    TEST("x + 0", ir_op2(&b, IR_ADD, IR_I64, x, zero) == x);
    TEST("0 + x", ir_op2(&b, IR_ADD, IR_I64, zero, x) == x);
    IrRef w = ir_trunc(&b, IR_I32, x);
    TEST("trunc of zext is the value", ir_trunc(&b, IR_I32, ir_zext(&b, IR_I64, w)) == w);
    TEST("same width", ir_zext(&b, IR_I32, w) == w);
    uint64_t v;
    IrRef k = ir_op2(&b, IR_SUB, IR_I32, ir_const(&b, IR_I32, 1), ir_const(&b, IR_I32, 2));
    TEST("constants", ir_is_const(r, k, &v) && v == 0xffffffff);
    IrRef lt = ir_icmp(&b, IR_LT | IR_PSIGNED, x, zero), ge = ir_op2(&b, IR_XOR, IR_I8, lt, one);
    TEST("not of icmp", ir_insn(r, ge)->op == IR_ICMP && ir_insn(r, ge)->aux == (IR_EQ | IR_GT | IR_PSIGNED));
    IrRef wide = ir_zext(&b, IR_I64, lt), mask = ir_const(&b, IR_I64, 0xff);
    TEST("x & 0xff of a boolean", ir_op2(&b, IR_AND, IR_I64, wide, mask) == wide);
    ir_put(&b, TEST_X0 + 1, ir_zext(&b, IR_I64, ge));
    for (unsigned n = 0; n < 3000; n++) /* arrays grow */
        ir_put(&b, TEST_X0 + 2, ir_op2(&b, IR_XOR, IR_I64, ir_get(&b, TEST_X0 + 2), x));
    ir_exit(&b, 0x2000, 0);
    bool ok = ir_verify(r, true, err, sizeof err);
    if (!TEST("verify", ok))
        printf("# %s\n", err);
}

int main(void)
{
    TEST_BEGIN();
    arena_init(&arena);
    round_trip();
    refusals();
    graph_text();
    bad_text();
    damaged_text();
    interpreter();
    arena_reset(&arena);
    builder();
    arena_done(&arena);
    return TEST_END();
}
