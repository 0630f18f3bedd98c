/*
 * Regions that are graphs (IrRegion.graph), over what regalloc.h says of trees. number.c numbers, live.c notes uses, graph.c
 * finds which values live where, edge.c carries the allocation from block to block, select.c walks.
 *
 * Order. Blocks are taken in the order of ir/cfg.h, in which loops are contiguous. Small trees that end in exits ("sides")
 * are handled at the branch that leads to them, as in a tree region: numbered right behind it, allocated in a scope,
 * emitted to the cold part. All others are main blocks: each has a label, and a range of positions of which the last
 * stands for the edges that leave it.
 *
 * Liveness. Uses of a value ascend along this order. A value that is live into a loop from outside has a mark at the loop's
 * end (Use.turn), so [definition, last use] covers every place where it may be needed; which of the blocks in between need
 * it say the sets. The parameters of a block with several predecessors are values of their own; those of a block with one are
 * aliases of the arguments.
 *
 * Places. The first edge into a block that is emitted decides where the values that are live there, and its parameters, are on
 * entry; every other edge moves them there. A spill slot belongs to one value until its last position has been passed; a
 * loop's parameter lends its own to what it becomes.
 * Whether it holds the value is part of the state, as is whether the home of a pinned slot holds the entry value.
 */
#ifndef HOST_X86_64_GRAPH_H
#define HOST_X86_64_GRAPH_H

#include "host/x86_64/regalloc.h"
#include "ir/cfg.h"

/* Where a value is on entry to a block: in a register, in memory (its spill slot or home), or both. */
typedef struct Place {
    IrRef v;
    uint8_t reg;    /* or REG_NONE */
    bool mem;
    bool want;      /* while deciding: it should have a register */
    bool out;       /* ... and shall have none */
    uint32_t weight; /* how much its loop wants it in one */
    uint32_t bound; /* position at which it came into the register */
} Place;

typedef struct GraphBlock {
    bool side;             /* handled at its predecessor's branch */
    bool fixed;            /* place[] is decided */
    uint32_t first, last;  /* positions */
    uint32_t label;
    uint32_t next;         /* main block behind it, or IR_NO_BLOCK */
    uint64_t *in, *out;    /* values live on entry (without parameters), and behind it */
    Place *place;
    uint32_t nplace;
    uint16_t peak[2];      /* values that live at once, integers and vectors */
} GraphBlock;

/* What each loop of the cfg needs at once: its own blocks, and those of the loops inside. */
typedef struct GraphLoop {
    uint16_t own[2], inner[2];
    uint32_t end;          /* its last position */
} GraphLoop;

/*
 * What compiling a graph once shows, for doing it again: a value that loop `loop` had in a register on entry but did not
 * keep, nor use (out), or that it had to store although it had not made it.
 */
typedef struct Lesson {
    uint32_t loop;
    IrRef v;
    bool out;
} Lesson;

typedef struct Lessons {
    Lesson *l;
    uint32_t n, cap;
} Lessons;

#define GRAPH_ATTEMPTS 3

struct Graph {
    IrCfg *cfg;
    GraphBlock *block;
    GraphLoop *loop;
    uint32_t *block_at;    /* by position: the main block */
    uint32_t words;        /* of a set of values */
    uint32_t *at;          /* by instruction: its position */
    uint32_t *last;        /* by value: last position at which it is needed */
    uint32_t *stored;      /* by value: position at which it was last put into memory */
    uint16_t *slot;        /* by value: spill place + 1 */
    IrRef *becomes;        /* by value: the parameter in memory that it is an argument for at the end of a loop's turn, or 0 */
    uint32_t spill_last[SPILL_PLACES]; /* by place: last position at which it is taken */
    uint32_t bound[REG_COUNT];        /* by register: position at which it got its value */
};

static inline bool graph_bit(const uint64_t *set, IrRef v)
{
    return set[v / 64] >> (v % 64) & 1;
}

static inline uint32_t graph_npreds(const Graph *g, uint32_t b)
{
    return g->cfg->pred_first[b + 1] - g->cfg->pred_first[b] + (b == 0);
}

/* Argument list of an edge: index in the pool, and count. Edge 0 of a BR or BRIF, or edge 1 of a BRIF. */
static inline IrRef graph_args(const IrRegion *r, const IrInsn *i, unsigned edge, uint32_t *to, uint32_t *n)
{
    if (i->op == IR_BR) {
        *to = (uint32_t)i->imm;
        *n = i->b;
        return i->a;
    }
    IrRef list = edge ? i->c : i->b;
    *to = edge ? (uint32_t)(i->imm >> 32) : (uint32_t)i->imm;
    *n = list ? r->pool[list] : 0;
    return list + 1;
}

/* graph.c */
void graph_begin(Sel *s);  /* before numbering: the shape, what is a side */
/* Whether one target of the BRIF is a side: which, and the other. */
bool graph_side(const Sel *s, const IrInsn *brif, uint32_t *main, uint32_t *side);
void graph_params(Sel *s); /* behind numbering: which parameters are needed; counts arguments as operands */
void graph_live(Sel *s);   /* behind the backward pass: sets, marks at the ends of loops */

/* place.c */
/* Decide what block `to` expects, by the present state, which leads there with these arguments. */
void graph_place(Sel *s, uint32_t to, IrRef args);
/* `v` has been put into memory here, on the main path. */
void graph_stored(Sel *s, IrRef v);
void graph_learn(Sel *s, uint32_t loop, IrRef v, bool out);
/* The loop that block `b` is the header of, or IR_NO_BLOCK. */
uint32_t graph_headed(const Graph *g, uint32_t b);
/* How far off the next use of a value is, for choosing what to evict. */
uint64_t graph_distance(const Sel *s, IrRef v);
bool graph_in_memory(const Sel *s, IrRef v);
bool graph_is_param(const Sel *s, uint32_t block, IrRef v); /* of this very block */

/* edge.c */
void graph_start(Sel *s);                 /* behind ra_begin */
void graph_enter(Sel *s, uint32_t block); /* take the state that the block expects */
/* Code that makes the present state what `to` expects, and the first time decides that. Changes no state here. */
void graph_edge(Sel *s, const IrInsn *branch, unsigned edge);
/* Whether that would emit anything; decides as well. */
bool graph_edge_moves(Sel *s, const IrInsn *branch, unsigned edge);

#endif
