/*
 * Tests of AArch64 lifting and of the interpreter:
 *   lift_test rand PATTERNS COUNT SEED ORACLE...   random cases against another implementation, COUNT in all
 *   lift_test record PATTERNS ORACLE...            print one case an encoding with the oracle's results, for cases.txt
 *   lift_test cases FILE                           check the cases of that file; needs no oracle
 */
#include "../unit/test.h"
#include "engine.h"
#include "values.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- the oracle ------------------------------------------------------------------------------------------------------ */

typedef struct Oracle {
    int to, from;
} Oracle;

static void fail(const char *what)
{
    perror(what);
    exit(2);
}

static Oracle oracle_start(char **command)
{
    int in[2], out[2];

    if (pipe(in) || pipe(out))
        fail("pipe");
    pid_t pid = fork();
    if (pid < 0)
        fail("fork");
    if (pid == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        close(in[1]);
        close(out[0]);
        execvp(command[0], command);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    return (Oracle){in[1], out[0]};
}

static void transfer(int fd, void *p, size_t n, bool out)
{
    for (char *c = p; n > 0;) {
        ssize_t k = out ? write(fd, c, n) : read(fd, c, n);
        if (k <= 0)
            fail("oracle");
        c += k;
        n -= (size_t)k;
    }
}

/* The oracle's results of n <= CASE_BATCH cases; ours are computed meanwhile. */
static void run_batch(const Oracle *o, const Case *before, Case *theirs, Case *ours, uint32_t n, bool optimise)
{
    transfer(o->to, &n, sizeof n, true);
    transfer(o->to, (void *)before, n * sizeof *before, true);
    for (uint32_t i = 0; i < n && ours; i++) {
        ours[i] = before[i];
        engine_run(&ours[i], optimise);
    }
    transfer(o->from, theirs, n * sizeof *theirs, false);
}

/* --- random cases ------------------------------------------------------------------------------------------------------ */

/* Where QEMU 7.2 departs from the manual. */
static bool oracle_is_wrong(const char *name, const Case *c)
{
    /* FCVTZS (scalar, fixed-point) of half precision: leaves the sign in bits 31:16 */
    if (!strcmp(name, "fcvtzs_isc_h"))
        return true;
    /* FJCVTZS: Z although FPCR.FZ flushed the operand to zero, which the manual calls inexact */
    return !strcmp(name, "fjcvtzs") && c->fpcr >> 24 & 1;
}

static void print_case(const char *what, const Case *before, const Case *theirs, const Case *ours)
{
    printf("# %s, fpcr %08x, insns:", what, before->fpcr);
    for (uint32_t i = 0; i < before->ninsn; i++)
        printf(" %08x", before->insn[i]);
    printf("\n");
    for (unsigned i = 0; i < 5; i++)
        printf("#   before: v%u %016" PRIx64 "%016" PRIx64 "\n", i, before->v[i][1], before->v[i][0]);
    case_differs(theirs, ours, true);
}

static bool single_cases(const Oracle *o, Random *r, const Pattern *list, size_t n, size_t each)
{
    static Case before[CASE_BATCH], theirs[CASE_BATCH], ours[CASE_BATCH];
    size_t bad = 0;

    for (size_t k = 0; k < n; k++) {
        size_t shown = bad + 2;
        for (size_t done = 0; done < each; done += CASE_BATCH) {
            uint32_t count = (uint32_t)(each - done < CASE_BATCH ? each - done : CASE_BATCH);
            for (uint32_t i = 0; i < count; i++) {
                random_registers(r, &before[i]);
                before[i].ninsn = 1;
                before[i].insn[0] = random_word(r, &list[k], false);
            }
            run_batch(o, before, theirs, ours, count, false);
            for (uint32_t i = 0; i < count; i++) {
                if (!case_differs(&theirs[i], &ours[i], false) || oracle_is_wrong(list[k].name, &before[i]))
                    continue;
                if (bad++ < shown)
                    print_case(list[k].name, &before[i], &theirs[i], &ours[i]);
            }
        }
    }
    return bad == 0;
}

static void random_sequence(Random *r, const Pattern *list, size_t n, Case *c)
{
    random_registers(r, c);
    c->ninsn = 0;
    while (c->ninsn < CASE_INSNS) {
        const Pattern *p = &list[random_next(r) % n];
        Case one = {.ninsn = 1, .insn = {random_word(r, p, true)}};
        if (!oracle_is_wrong(p->name, c) && engine_defined(&one))
            c->insn[c->ninsn++] = one.insn[0];
    }
}

/* Sequences of instructions that depend on each other, optimised */
static bool sequences(const Oracle *o, Random *r, const Pattern *list, size_t n, size_t count)
{
    static Case before[CASE_BATCH], theirs[CASE_BATCH], ours[CASE_BATCH];
    size_t bad = 0;

    for (size_t done = 0; done < count; done += CASE_BATCH) {
        for (unsigned i = 0; i < CASE_BATCH; i++)
            random_sequence(r, list, n, &before[i]);
        run_batch(o, before, theirs, ours, CASE_BATCH, true);
        for (unsigned i = 0; i < CASE_BATCH; i++) {
            if (case_differs(&theirs[i], &ours[i], false) && bad++ < 8)
                print_case("sequence", &before[i], &theirs[i], &ours[i]);
        }
    }
    return bad == 0;
}

static int test_random(const Pattern *list, size_t n, size_t count, uint64_t seed, char **command)
{
    Oracle o = oracle_start(command);
    Random r = {.state = seed * 2 + 0x9e3779b97f4a7c15};
    size_t each = count / 2 / n;

    TEST_BEGIN();
    TEST("every encoding alone", single_cases(&o, &r, list, n, each > 0 ? each : 1));
    TEST("sequences", sequences(&o, &r, list, n, count / 2));
    return TEST_END();
}

/* --- recorded cases ---------------------------------------------------------------------------------------------------- */

/* The registers of a recorded case come from its seed. */
static void recorded_registers(uint64_t seed, Case *c)
{
    Random r = {.state = seed};
    random_registers(&r, c);
}

/* A line: name, word, seed, FPSR, NZCV, and the registers that change. */
static void print_line(const char *name, uint64_t seed, const Case *before, const Case *after)
{
    printf("%s %08x %" PRIu64 " %x %x", name, before->insn[0], seed, after->fpsr, after->nzcv >> 28);
    for (unsigned i = 0; i < CASE_XREGS; i++) {
        if (before->x[i] != after->x[i])
            printf(" x%u=%" PRIx64, i, after->x[i]);
    }
    for (unsigned i = 0; i < 32; i++) {
        if (memcmp(before->v[i], after->v[i], 16))
            printf(" v%u=%" PRIx64 ":%" PRIx64, i, after->v[i][1], after->v[i][0]);
    }
    printf("\n");
}

static int record(const Pattern *list, size_t n, char **command)
{
    Oracle o = oracle_start(command);
    uint64_t seed = 1;

    printf("# Made by lift_test record; see main.c. NAME WORD SEED FPSR NZCV CHANGED-REGISTERS\n");
    for (size_t k = 0; k < n; k++) {
        for (unsigned tries = 0; tries < 100; tries++) {
            Random r = {.state = ++seed};
            Case before = {.ninsn = 1}, after;
            before.insn[0] = random_word(&r, &list[k], false);
            recorded_registers(seed, &before);
            run_batch(&o, &before, &after, NULL, 1, false);
            bool changes = memcmp(before.x, after.x, sizeof before.x + sizeof before.v) || before.nzcv != after.nzcv;
            if (after.status != CASE_OK || !changes || oracle_is_wrong(list[k].name, &before))
                continue;
            print_line(list[k].name, seed, &before, &after);
            break;
        }
    }
    return 0;
}

/* Apply the tokens "x1=..", "v2=hi:lo" to c; false when one is malformed. */
static bool parse_changes(char *text, Case *c)
{
    for (char *t = strtok(text, " \n"); t; t = strtok(NULL, " \n")) {
        unsigned i;
        uint64_t hi, lo;
        if (sscanf(t, "x%u=%" SCNx64, &i, &lo) == 2 && i < CASE_XREGS) {
            c->x[i] = lo;
        } else if (sscanf(t, "v%u=%" SCNx64 ":%" SCNx64, &i, &hi, &lo) == 3 && i < 32) {
            c->v[i][0] = lo;
            c->v[i][1] = hi;
        } else {
            return false;
        }
    }
    return true;
}

static bool check_line(char *line)
{
    char name[48];
    uint32_t word, fpsr, nzcv;
    uint64_t seed;
    int end;
    Case before = {.ninsn = 1};

    if (sscanf(line, "%47s %x %" SCNu64 " %x %x%n", name, &word, &seed, &fpsr, &nzcv, &end) != 5)
        return TEST("a readable line", false);
    recorded_registers(seed, &before);
    before.insn[0] = word;
    Case expected = before, plain = before, optimised = before;
    expected.fpsr = fpsr;
    expected.nzcv = nzcv << 28;
    bool ok = parse_changes(line + end, &expected);
    engine_run(&plain, false);
    engine_run(&optimised, true);
    ok = ok && !case_differs(&expected, &plain, true) && !case_differs(&expected, &optimised, true);
    return TEST(name, ok);
}

static int test_cases(const char *path)
{
    FILE *f = fopen(path, "r");
    char line[512];

    if (!f)
        fail(path);
    TEST_BEGIN();
    while (fgets(line, sizeof line, f)) {
        if (line[0] != '#')
            check_line(line);
    }
    fclose(f);
    return TEST_END();
}

int main(int argc, char **argv)
{
    size_t n;

    if (argc > 5 && !strcmp(argv[1], "rand")) {
        Pattern *list = patterns_read(argv[2], &n);
        int status = test_random(list, n, strtoull(argv[3], NULL, 0), strtoull(argv[4], NULL, 0), argv + 5);
        free(list);
        return status;
    }
    if (argc > 3 && !strcmp(argv[1], "record")) {
        Pattern *list = patterns_read(argv[2], &n);
        int status = record(list, n, argv + 3);
        free(list);
        return status;
    }
    if (argc == 3 && !strcmp(argv[1], "cases"))
        return test_cases(argv[2]);
    fprintf(stderr, "usage: lift_test rand PATTERNS COUNT SEED ORACLE... | record PATTERNS ORACLE... | cases FILE\n");
    return 2;
}
