/*
 * Random graph regions in lifted form, for tests of passes and backends: alternatives that meet again, loops that end after
 * a few rounds, polls at back-edges, ways out of loops, side exits. Instructions are those of random_gen.h.
 *
 * x5 is made to point into memory at the start and never changed after; x6 and x7 count loops.
 */
#ifndef TESTS_IR_RANDOM_GRAPH_H
#define TESTS_IR_RANDOM_GRAPH_H

#include "ir/ir.h"

/* The region of a seed; `raw`: without the builder's simplification, to the same effect. It ends on every state. */
IrRegion *random_graph(Arena *a, uint64_t seed, bool raw);

#endif
