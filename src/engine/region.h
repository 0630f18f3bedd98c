/* Private to region.c and region_lift.c: what forming a graph region knows. */
#ifndef ENGINE_REGION_H
#define ENGINE_REGION_H

#include "engine/internal.h"

#include "ir/cfg.h"

#define GRAPH_NODES 160
#define GRAPH_CONTEXTS 24
#define DECODE_BITS 11

#define NO_NODE UINT32_MAX
#define NO_PC UINT64_MAX

enum { CTX_REGION, CTX_PEEL, CTX_CALLS };

/* What is known of an instruction. */
typedef struct Insn {
    uint64_t pc, next, target;
    LiftKind kind;
    IrHint hint;
    bool flags;        /* it sets condition flags */
    bool known;        /* of an indirect branch: it goes to `target` */
    unsigned ntargets; /* of one by a table: where to, ascending */
    uint64_t *targets;
    uint32_t in;       /* contexts that have it in the region */
    uint32_t leads;    /* contexts in which a node begins here */
} Insn;

typedef struct Node {
    uint32_t ctx;
    uint64_t pc;
    uint32_t succ[2];  /* nodes; NO_NODE: the region is left there */
    uint64_t to[2];    /* the guest addresses of these edges */
    uint32_t block;    /* in the region */
    const Insn *by;    /* it ends in this branch by a table, or takes part in it: compares its target */
    uint32_t root;     /* node of the branch, */
    IrRef val;         /* where its target is; */
    uint64_t than;     /* and with this: leads to succ[0] when the target is less; 0: when it is to[0] */
} Node;

/* A call that was taken in. */
typedef struct Context {
    uint64_t call;     /* its instruction's address */
    uint64_t ret;
} Context;

typedef struct Former {
    Fetch *f;
    bool evidence, check;
    uint64_t entry;
    uint32_t first;    /* node of the entry */
    bool loop;         /* nothing in front of the entry */
    uint64_t stop;     /* where context PEEL goes over into the region's own; 0: there is none */
    Lift l;            /* into the region */
    Lift look;         /* into the scratch region */
    LiftFlow flow;
    Insn *insn;
    uint32_t ninsn;
    uint16_t map[1 << DECODE_BITS]; /* by hash of the address: index into insn[], plus one */
    uint32_t taken;    /* instructions in the region so far */
    Node node[GRAPH_NODES];
    uint32_t nnode;
    uint32_t ncode;    /* of them, those with instructions; behind them are others */
    Context ctx[GRAPH_CONTEXTS];
    uint32_t nctx;
    IrRegion *shape;   /* a block for each node, behind one for the entry: for ir_cfg */
    IrCfg *cfg;
    bool changed;      /* the code is not what it was */
} Former;

/* Whether the node at `first` of a context goes on with the instruction at pc; what is known of that. */
const Insn *region_goes_on(Former *g, uint32_t ctx, uint64_t first, uint64_t pc);
/* Whether a node dominates another one. */
bool region_dominates(const Former *g, uint32_t node, uint32_t other);
/* The context that the call at `call` makes; 0: it is not taken in. */
uint32_t region_context(const Former *g, uint32_t ctx, uint64_t call);
/* Whether the graph meets the one target of the indirect branch at pc. */
bool region_meets(const Former *g, uint64_t pc);

/* The last stage: lift the nodes into g->l's region. Sets g->changed when the code is not what it was. */
void region_lift(Former *g);

#endif
