/*
 * An AArch64 program that runs cases: reads a count and as many Case records from stdin, writes the records as they are
 * afterwards to stdout, until the input ends.
 */
#include "case.h"

#include <setjmp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

_Static_assert(offsetof(Case, fpcr) == 4 && offsetof(Case, x) == 16 && offsetof(Case, v) == 144, "oracle.S knows them");

/* oracle.S: load the registers, call the code, store them. */
void oracle_run(Case *c, const uint32_t *code);

enum { RET = 0xd65f03c0 };

static sigjmp_buf undefined;

static void on_signal(int sig)
{
    siglongjmp(undefined, 1);
}

static int read_all(void *p, size_t n)
{
    for (char *c = p; n > 0;) {
        ssize_t k = read(0, c, n);
        if (k <= 0)
            return 0;
        c += k;
        n -= (size_t)k;
    }
    return 1;
}

static int write_all(const void *p, size_t n)
{
    for (const char *c = p; n > 0;) {
        ssize_t k = write(1, c, n);
        if (k <= 0)
            return 0;
        c += k;
        n -= (size_t)k;
    }
    return 1;
}

static void run(Case *c, uint32_t *code)
{
    Case before = *c;

    for (uint32_t i = 0; i < c->ninsn; i++)
        code[i] = c->insn[i];
    code[c->ninsn] = RET;
    __builtin___clear_cache((char *)code, (char *)(code + CASE_INSNS + 1));
    if (!sigsetjmp(undefined, 1)) {
        oracle_run(c, code);
    } else {
        *c = before;
        c->status = CASE_UNDEFINED;
    }
}

int main(void)
{
    static Case batch[CASE_BATCH];
    uint32_t n;
    size_t size = (CASE_INSNS + 1) * 4 * CASE_BATCH;
    uint32_t *code = mmap(NULL, size, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    signal(SIGILL, on_signal);
    while (read_all(&n, sizeof n) && n <= CASE_BATCH && read_all(batch, n * sizeof *batch)) {
        for (volatile uint32_t i = 0; i < n; i++)
            run(&batch[i], code + (CASE_INSNS + 1) * i);
        if (!write_all(batch, n * sizeof *batch))
            return 1;
    }
    return 0;
}
