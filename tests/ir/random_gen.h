/*
 * Random instructions for tests of passes and backends, in the made-up guest of support.h: arithmetic, flags and conditions
 * on them, vectors, loads and stores that sometimes fault. The shape of the region is the caller's.
 */
#ifndef TESTS_IR_RANDOM_GEN_H
#define TESTS_IR_RANDOM_GEN_H

#include "ir/ir.h"

#define GEN_MAX_VALS 64

typedef struct Gen {
    uint64_t seed;
    IrBuilder b;
    uint64_t pc;
    IrRef val[3][GEN_MAX_VALS]; /* values of types i64, i32, i8 (booleans) in scope */
    unsigned nval[3];
    unsigned nput;              /* only x0 .. x[nput - 1] are put */
    unsigned frame;             /* a slot near which most accesses go; 0: they go anywhere */
    bool local;                 /* values are used in their own instruction only, as lifters do */
    bool raw;                   /* emit as told, without the builder's simplification */
} Gen;

/* A number below n. */
unsigned gen_below(Gen *g, unsigned n);

/* One guest instruction, with its INSN. Values that it makes enter the scope. */
void gen_insn(Gen *g);

/* Whether there is room for values of one more instruction without replacing any: needed where a scope will end. */
bool gen_room(const Gen *g);

/* A condition from the flags. */
IrRef gen_condition(Gen *g);

/* End the block by leaving the region in some way. */
void gen_leave(Gen *g);

#endif
