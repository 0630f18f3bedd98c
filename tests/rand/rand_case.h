/* What passes between the driver (tests/rand/run), in files, and the program that runs the cases (rand_guest.c). */
#ifndef TESTS_RAND_CASE_H
#define TESTS_RAND_CASE_H

#include <stdint.h>

#define RAND_MAX_INSNS 28

/* One case: initial state from `seed`, then `n` instructions. */
typedef struct RandCase {
    uint64_t seed;
    uint32_t fpcr, n;
    uint32_t code[RAND_MAX_INSNS];
} RandCase;

/* The state before, and after, in the output file: one a case. */
typedef struct RandState {
    uint64_t x[31], sp;
    uint64_t pc;   /* after: bytes from the first instruction to the one that raised the signal, else 0 */
    uint32_t nzcv, fpcr, fpsr, sig;
    uint64_t v[32][2];
    uint64_t mem;  /* digest of the scratch memory, after */
} RandState;

/* Register conventions: x23..x28 and sp are addresses or offsets into the scratch memory; see fill_state. */
#define RAND_AREA 0x60000000ull /* low: where no sanitizer keeps its shadow */
#define RAND_EXIT (RAND_AREA + 2048) /* where a case ends */
#define RAND_SLOT_WORDS 32
#define RAND_BATCH 256               /* slots, one a case, one page above RAND_AREA */
#define RAND_AREA_SIZE (4096 + RAND_BATCH * RAND_SLOT_WORDS * 4)
#define RAND_MEM 0x61080000ull    /* middle of the scratch memory */
#define RAND_MEM_HALF 0x80000ull    /* mapped bytes on either side */
#define RAND_MEM_WINDOW 2048        /* filled before and digested after, on either side */

#endif
