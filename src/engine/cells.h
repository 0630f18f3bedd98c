/*
 * Code memory in pieces of two sizes, given back one by one: for promotion stubs, which come and go while the rest of the
 * code cache is only evicted in large parts. One region of the cache for each size, taken at first use and kept.
 */
#ifndef ENGINE_CELLS_H
#define ENGINE_CELLS_H

#include "base/spin.h"
#include "host/host.h"

#include <stdatomic.h>

struct Translation;
struct CacheRegion;
struct Engine;
struct Pool;

typedef struct Cells {
    struct CacheRegion *region;
    size_t size;                          /* of a cell */
    unsigned n, fresh;                    /* cells; the first that was never used */
    unsigned *free, nfree;
    _Atomic(struct Translation *) *owner; /* by cell */
    _Atomic(const uint8_t *) rx, end;     /* of the region; NULL while there is none */
    unsigned refused;                     /* times that there was none left */
    Spin lock;
} Cells;

typedef enum CellKind { CELL_SHORT, CELL_LONG, CELL_KINDS } CellKind;

/* A cell of `size` bytes (of one kind the same at every call) to write a stub into. False when there is none. */
bool cells_get(struct Engine *e, CellKind kind, size_t size, CodeBuf *cb);
/* The cell at cb->start is t's from now on; t->hpc is its start. */
void cells_commit(struct Engine *e, const CodeBuf *cb, struct Translation *t);
/* Give back the cell of which hpc is the start: nobody runs it any more. */
void cells_put(struct Engine *e, const uint8_t *hpc);
/* Whose code is at hpc; NULL when hpc is in no cell in use. Async-signal-safe. `c`: of all kinds. */
struct Translation *cells_find(const Cells *c, const void *hpc);
void cells_done(Cells *c, struct Pool *pool);

#endif
