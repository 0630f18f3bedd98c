/*
 * cover: which code has run, as a drcov file (version 3: offsets in segments, all modules) for Lighthouse, bncov and
 * the like. A block is marked by one store each time that it runs.
 */
#include "dragoman/plugin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Block {
    uint64_t pc;
    uint32_t image, bytes;
    DgCell ran;
} Block;

static Block *blocks;
static uint32_t nblocks, cap;
static uint32_t *table, table_size;

static uint32_t place(uint64_t pc, uint32_t bytes, uint32_t image)
{
    uint32_t at = (uint32_t)(pc * 0x9e3779b97f4a7c15u >> 40) & (table_size - 1);

    for (; table[at]; at = (at + 1) & (table_size - 1)) {
        const Block *b = &blocks[table[at] - 1];
        if (b->pc == pc && b->bytes == bytes && b->image == image)
            break;
    }
    return at;
}

static void grow(void)
{
    free(table);
    table_size = table_size ? 2 * table_size : 1 << 12;
    cap = table_size / 2;
    blocks = realloc(blocks, cap * sizeof *blocks);
    table = calloc(table_size, sizeof *table);
    for (uint32_t k = 0; k < nblocks; k++)
        table[place(blocks[k].pc, blocks[k].bytes, blocks[k].image)] = k + 1;
}

static uint32_t image_of(DgHost *h, uint64_t pc)
{
    DgImage i = {.size = sizeof i};

    for (uint32_t n = dg->image_count(h); n-- > 0;)
        if (dg->image(h, n, &i) && pc >= i.start && pc < i.end)
            return n;
    return DG_NO_IMAGE;
}

static void translate(void *data, DgBlock *b)
{
    DgHost *h = data;
    uint64_t pc = dg->block_pc(b);
    uint32_t bytes = dg->block_bytes(b), image = image_of(h, pc);

    if (nblocks == cap)
        grow();
    uint32_t at = place(pc, bytes, image);
    if (!table[at]) {
        blocks[nblocks] = (Block){pc, image, bytes, dg->cell_new(h, DG_OR, 1)};
        table[at] = ++nblocks;
    }
    DgCell ran = blocks[table[at] - 1].ran;
    const DgOp mark[] = {{.kind = DG_OP_CONST, .d = 0, .imm = 1}, {.kind = DG_OP_STORE, .b = 0, .cell = ran}};
    if (ran != DG_NO_CELL)
        dg->program_at(dg->block_insn(b, 0), DG_BEFORE, 0, mark, 2);
}

/* Modules in drcov have 16-bit numbers; code of no file has none and is left out. */
static bool shown(DgHost *h, const Block *b)
{
    DgImage i = {.size = sizeof i};

    return b->image < UINT16_MAX && b->ran != DG_NO_CELL && dg->image(h, b->image, &i) && i.path &&
           b->pc - i.start < UINT32_MAX && dg->cell_total(h, b->ran);
}

static void put_modules(DgHost *h, FILE *f)
{
    uint32_t n = dg->image_count(h);

    fprintf(f,
            "Module Table: version 5, count %u\n"
            "Columns: id, containing_id, start, end, entry, offset, preferred_base, path\n",
            n);
    for (uint32_t k = 0; k < n; k++) {
        DgImage i = {.size = sizeof i};
        dg->image(h, k, &i);
        fprintf(f, "%3u, %3u, 0x%016llx, 0x%016llx, 0x%016llx, 0x%016llx, 0x%016llx, %s\n", k, k,
                (unsigned long long)i.start, (unsigned long long)i.end, (unsigned long long)i.entry,
                (unsigned long long)i.offset, (unsigned long long)(i.start - i.base), i.path ? i.path : "<anonymous>");
    }
}

static void put_blocks(DgHost *h, FILE *f)
{
    uint32_t n = 0;

    for (uint32_t k = 0; k < nblocks; k++)
        n += shown(h, &blocks[k]);
    fprintf(f, "BB Table: %u bbs\n", n);
    for (uint32_t k = 0; k < nblocks; k++) {
        DgImage i = {.size = sizeof i};
        if (!shown(h, &blocks[k]))
            continue;
        dg->image(h, blocks[k].image, &i);
        struct {
            uint32_t start;
            uint16_t size, module;
        } e = {(uint32_t)(blocks[k].pc - i.start), (uint16_t)blocks[k].bytes, (uint16_t)blocks[k].image};
        fwrite(&e, sizeof e, 1, f);
    }
}

static void finish(void *data)
{
    DgHost *h = data;
    const char *path = dg->output(h);
    FILE *f = fopen(path ? path : "cover.drcov", "wbe");

    if (!f) {
        dg->fail(h, "cannot write %s", path ? path : "cover.drcov");
        return;
    }
    fprintf(f, "DRCOV VERSION: 3\nDRCOV FLAVOR: drcov-64\n");
    put_modules(h, f);
    put_blocks(h, f);
    if (fclose(f) != 0)
        dg->fail(h, "cannot write %s", path ? path : "cover.drcov");
}

static int start(DgHost *h)
{
    dg->on_translate(h, translate, h);
    dg->on_finish(h, finish, h);
    return 0;
}

DG_TOOL("cover", "which code has run, as a drcov file", start,
        "out=FILE  the file (%p: the process id); default cover.drcov")
