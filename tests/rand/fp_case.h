/* The record that passes between fp_guest.c and fp_check.c. */
#ifndef TESTS_FP_CASE_H
#define TESTS_FP_CASE_H

#include <stdint.h>

typedef struct FpCase {
    uint32_t op, fpcr, fpsr, pad;
    uint64_t a, b, c, result;
} FpCase;

#endif
