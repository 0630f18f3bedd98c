#include "engine/internal.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

/* Lay `n` elements of `size` bytes at *at, 16-aligned; copy them when there is a block. */
static void *put(uint8_t *block, size_t *at, const void *from, uint32_t n, size_t size)
{
    void *to = block ? block + *at : NULL;

    if (block && n)
        memcpy(to, from, n * size);
    *at = (*at + n * size + 15) & ~(size_t)15;
    return to;
}

static size_t lay_out(IrRegion *to, const IrRegion *r, uint8_t *block)
{
    size_t at = (sizeof *to + 15) & ~(size_t)15;

    to->insn = put(block, &at, r->insn, r->ninsn, sizeof r->insn[0]);
    to->block = put(block, &at, r->block, r->nblock, sizeof r->block[0]);
    to->pool = put(block, &at, r->pool, r->npool, sizeof r->pool[0]);
    to->snap = put(block, &at, r->snap, r->nsnap, sizeof r->snap[0]);
    to->snapent = put(block, &at, r->snapent, r->nsnapent, sizeof r->snapent[0]);
    to->vconst = put(block, &at, r->vconst, r->nvconst, sizeof r->vconst[0]);
    return at;
}

IrRegion *ir_pack(const IrRegion *r)
{
    IrRegion dummy = *r;
    size_t size = lay_out(&dummy, r, NULL);
    uint8_t *block = aligned_alloc(16, size);

    CHECK(block != NULL);
    IrRegion *to = (IrRegion *)block;
    *to = *r;
    lay_out(to, r, block);
    to->arena = NULL;
    to->cap_insn = to->ninsn;
    to->cap_block = to->nblock;
    to->cap_pool = to->npool;
    to->cap_snap = to->nsnap;
    to->cap_snapent = to->nsnapent;
    to->cap_vconst = to->nvconst;
    return to;
}
