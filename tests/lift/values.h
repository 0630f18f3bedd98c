/* Random registers and instructions for lifting tests: full of values at which instructions differ from simple ideas. */
#ifndef TESTS_LIFT_VALUES_H
#define TESTS_LIFT_VALUES_H

#include "case.h"

#include <stdbool.h>
#include <stddef.h>

/* The generator's state; not 0. Equal states give equal values. */
typedef struct Random {
    uint64_t state;
} Random;

uint64_t random_next(Random *r);
/* All registers, FPCR (rounding modes, sometimes FZ, DN, AHP, FZ16), QC and NZCV of a case. */
void random_registers(Random *r, Case *c);

/* One line of a table of encodings: words with (word & mask) == value. */
typedef struct Pattern {
    char name[48];
    uint32_t mask, value;
} Pattern;

/* A word of the pattern that names x0 to x15 or xzr only; `few`: registers 0 to 3, so that instructions depend on each
 * other. */
uint32_t random_word(Random *r, const Pattern *p, bool few);
/* Read patterns.py's output; exits with a message when it cannot. */
Pattern *patterns_read(const char *path, size_t *count);

#endif
