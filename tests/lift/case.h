/*
 * One test of lifting: up to CASE_INSNS AArch64 instructions and the registers before, or after, they run. The record also
 * passes between the tester and oracle.c, which runs under another implementation of the architecture, so it has the same
 * layout on both sides.
 */
#ifndef TESTS_LIFT_CASE_H
#define TESTS_LIFT_CASE_H

#include <stdint.h>

enum { CASE_INSNS = 8, CASE_XREGS = 16, CASE_BATCH = 256 };
enum { CASE_OK, CASE_UNDEFINED, CASE_BAD_IR };

typedef struct Case {
    uint32_t status; /* after: CASE_* */
    uint32_t fpcr, fpsr, nzcv;
    uint64_t x[CASE_XREGS]; /* x0 to x15: no instruction of a case names another one but xzr */
    uint64_t v[32][2];
    uint32_t insn[CASE_INSNS];
    uint32_t ninsn, pad[3];
} Case;

#endif
