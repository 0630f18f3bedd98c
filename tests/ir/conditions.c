/*
 * Conditions computed from flags must come out as comparisons. For every way of setting flags and every condition of a
 * guest with n, z, c and v, this builds the IR that a lifter makes for both instructions, with the flags dead afterwards,
 * optimises it, and prints what is left of it on one line. The lines are compared with the file on the command line
 * (rewritten when UPDATE=1 is set), and each case is executed before and after.
 */
#include "../unit/test.h"
#include "opt/opt.h"
#include "support.h"

static const char *const cond_name[] = {"eq", "ne", "cs", "cc", "mi", "pl", "vs", "vc", "hi", "ls", "ge", "lt", "gt", "le"};

/* How flags are set: the values %10..%13 become n, z, c, v. */
typedef struct Setter {
    const char *name, *text;
} Setter;

#define ARGS64 "  %1:i64 = get x0\n  %2:i64 = get x1\n  %4:i64 = const 0\n  %5:i64 = const 0x10\n"
#define ARGS32 "  %20:i64 = get x0\n  %21:i64 = get x1\n  %1:i32 = trunc.i64 %20\n  %2:i32 = trunc.i64 %21\n" \
               "  %4:i32 = const 0\n  %5:i32 = const 0x10\n"
#define NZ(t) "  %10:i8 = icmp." t " slt %3, %4\n  %11:i8 = icmp." t " eq %3, %4\n"
#define SUB_FLAGS(t, b) "  %3:" t " = sub %1, " b "\n" NZ(t) "  %12:i8 = icmp." t " uge %1, " b "\n  %13:i8 = sub.v." t " %1, " b "\n"
#define ADD_FLAGS(t, b) "  %3:" t " = add %1, " b "\n" NZ(t) "  %12:i8 = add.c." t " %1, " b "\n  %13:i8 = add.v." t " %1, " b "\n"
#define FARGS "  %1:f64 = bitcast.i64 %20\n  %2:f64 = bitcast.i64 %21\n"
#define GETS "  %20:i64 = get x0\n  %21:i64 = get x1\n"
#define FCMPS(bang) "  %10:i8 = fcmp.f64 lt" bang " %1, %2\n  %11:i8 = fcmp.f64 eq" bang " %1, %2\n" \
                    "  %12:i8 = fcmp.f64 geu" bang " %1, %2\n  %13:i8 = fcmp.f64 un" bang " %1, %2\n"

static const Setter setter[] = {
    {"cmp", ARGS64 SUB_FLAGS("i64", "%2")},
    {"cmp32", ARGS32 SUB_FLAGS("i32", "%2")},
    {"cmpi", ARGS64 SUB_FLAGS("i64", "%5")},
    {"cmp0", ARGS64 SUB_FLAGS("i64", "%4")},
    {"subs", ARGS64 SUB_FLAGS("i64", "%2") "  put x2, %3\n"},
    {"subsi32", ARGS32 SUB_FLAGS("i32", "%5") "  %22:i64 = zext.i32 %3\n  put x2, %22\n"},
    {"cmn", ARGS64 ADD_FLAGS("i64", "%2")},
    {"cmni", ARGS64 ADD_FLAGS("i64", "%5")},
    {"cmni32", ARGS32 ADD_FLAGS("i32", "%5")},
    {"tst", ARGS64 "  %3:i64 = and %1, %2\n" NZ("i64") "  %12:i8 = const 0\n  %13:i8 = const 0\n"},
    {"fcmp", GETS FARGS FCMPS("")},
    {"fcmpe", GETS FARGS FCMPS("!")},
    {"ccmp", ARGS64 "  %30:i64 = get x2\n  %31:i8 = icmp.i64 ult %30, %1\n"
        "  %3:i64 = sub %1, %2\n  %32:i8 = icmp.i64 slt %3, %4\n  %33:i8 = icmp.i64 eq %3, %4\n"
        "  %34:i8 = icmp.i64 uge %1, %2\n  %35:i8 = sub.v.i64 %1, %2\n"
        "  %36:i8 = const 0\n  %37:i8 = const 1\n"
        "  %10:i8 = select %31, %32, %36\n  %11:i8 = select %31, %33, %37\n"
        "  %12:i8 = select %31, %34, %36\n  %13:i8 = select %31, %35, %36\n"},
};

/* The condition with its low bit clear, as %50, from gets of the flags. */
static const char *const base_cond[] = {
    "  %50:i8 = get z\n", "  %50:i8 = get c\n", "  %50:i8 = get n\n", "  %50:i8 = get v\n",
    "  %41:i8 = get c\n  %42:i8 = get z\n  %43:i8 = xor %42, %40\n  %50:i8 = and %41, %43\n",
    "  %41:i8 = get n\n  %42:i8 = get v\n  %43:i8 = xor %41, %42\n  %50:i8 = xor %43, %40\n",
    "  %41:i8 = get n\n  %42:i8 = get v\n  %43:i8 = xor %41, %42\n  %44:i8 = xor %43, %40\n"
    "  %45:i8 = get z\n  %46:i8 = xor %45, %40\n  %50:i8 = and %44, %46\n",
};

static void case_text(char *buf, size_t len, const Setter *s, unsigned cond)
{
    snprintf(buf, len,
             "region 0x1000\nblock0:\n  insn 0x1000 4\n%s  put n, %%10\n  put z, %%11\n  put c, %%12\n  put v, %%13\n"
             "  insn 0x1004 4\n  %%40:i8 = const 1\n%s%s  brif %%%u, block1, block2\n"
             "block1:\n  %%60:i64 = get x6\n  put x5, %%60\n  exit 0xdead\nblock2:\n  exit 0xdead\n",
             s->text, base_cond[cond >> 1], cond & 1 ? "  %51:i8 = xor %50, %40\n" : "", cond & 1 ? 51 : 50);
}

static uint64_t flags_dead(void *ctx, uint64_t pc)
{
    return pc == 0xdead ? 0xf : 0;
}

/* What is left in the first block beside gets, constants and marks, on one line. */
static void residue(const IrRegion *r, FILE *out)
{
    for (IrRef ref = r->block[0].first; ref; ref = ir_insn(r, ref)->next) {
        unsigned op = ir_insn(r, ref)->op;
        char *buf = NULL;
        size_t len;
        if (op == IR_GET || op == IR_CONST || op == IR_INSN || op == IR_NOP)
            continue;
        FILE *f = open_memstream(&buf, &len);
        ir_print_insn(f, r, ref);
        fclose(f);
        buf[len - 1] = 0;
        fprintf(out, "%s;", buf + 1);
        free(buf);
    }
}

static bool do_case(const Setter *s, unsigned cond, FILE *out)
{
    static char text[4096];
    char err[200] = "";
    OptConfig cfg = {.verify = true, .dead = flags_dead};
    Arena a;
    bool ok = true;

    arena_init(&a);
    case_text(text, sizeof text, s, cond);
    IrRegion *before = ir_parse(&a, text, &test_slots, test_helpers, TEST_NHELPERS, err, sizeof err);
    IrRegion *r = ir_parse(&a, text, &test_slots, test_helpers, TEST_NHELPERS, err, sizeof err);
    if (!r || !ir_verify(r, true, err, sizeof err)) {
        printf("# %s\n%s", err, text);
        arena_done(&a);
        return false;
    }
    opt_run(r, &cfg);
    fprintf(out, "%s.%s:", s->name, cond_name[cond]);
    residue(r, out);
    fputc('\n', out);
    for (uint64_t k = 1; k <= 100; k++)
        ok = ok && test_same_run(before, r, 0xf, k * 0x9e3779b97f4a7c15ull);
    arena_done(&a);
    return ok;
}

int main(int argc, char **argv)
{
    char *got = NULL;
    size_t len;
    FILE *out = open_memstream(&got, &len);

    TEST_BEGIN();
    for (unsigned k = 0; k < sizeof setter / sizeof *setter; k++)
        for (unsigned cond = 0; cond < 14; cond++)
            TEST(setter[k].name, do_case(&setter[k], cond, out));
    fclose(out);
    if (argc > 1 && getenv("UPDATE")) {
        FILE *f = fopen(argv[1], "wb");
        if (f) {
            fputs(got, f);
            fclose(f);
        }
    }
    char *want = argc > 1 ? test_read_file(argv[1]) : NULL;
    if (!TEST("as expected", want && strcmp(got, want) == 0))
        printf("# got:\n%s", got);
    free(want);
    free(got);
    return TEST_END();
}
