/*
 * Two memory models, as axioms on candidate executions of small programs without dependencies. A candidate is a choice of what each
 * read reads from (rf) and of the order of the writes to each location (co).
 */
#ifndef TESTS_MM_MODEL_H
#define TESTS_MM_MODEL_H

#include <stdbool.h>
#include <stdint.h>

enum { MAX_EVENTS = 12, LOCATIONS = 2 };

/* One access or fence of a thread, in both models' words. */
typedef struct Event {
    uint8_t thread, loc;
    bool read, write;
    int8_t rmw;                  /* the read that this write is one operation with; -1: none */
    /* Arm */
    bool acquire, acquire_pc, release, amo, full, load_fence, store_fence;
    /* x86 */
    bool locked;                 /* a full barrier, as well */
} Event;

typedef struct Program {
    Event e[MAX_EVENTS];         /* by thread, in program order */
    unsigned n;
} Program;

typedef uint16_t Row;            /* set of events */
typedef Row Relation[MAX_EVENTS];

typedef struct Execution {
    const Program *p;
    int8_t rf[MAX_EVENTS];       /* of a read: the write, or -1 for the initial value */
    uint8_t rank[MAX_EVENTS];    /* of a write: its place in co */
} Execution;

/* What of a program is the same for all of its executions. */
typedef struct Fixed {
    Relation arm;                /* bob and the fixed part of aob */
    Relation x86;                /* preserved program order and fences */
} Fixed;

void model_fix(const Program *p, Fixed *f);
/*
 * Both models: one location behaves as one. Whether access `e` may stand where rf and co put it, behind what comes before it in its
 * thread: the patterns CoWW, CoRW, CoWR and CoRR are all that there are to forbid ("Herding Cats", 2014, 4.2).
 */
bool model_coherent(const Execution *x, unsigned e);
/* What rf, co and fr of one location add to either model's order. */
void model_edges(const Execution *x, unsigned loc, Relation arm, Relation x86);
/* Whether the three together have no cycle: then the model allows the execution. */
bool model_acyclic(const Relation fixed, const Relation a, const Relation b, unsigned n);

#endif
