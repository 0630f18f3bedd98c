/*
 * cover: which code has run. As a drcov file (version 3: offsets in segments, all modules) for Lighthouse, bncov and the like: a block
 * is marked by one store each time that it runs. Or as an lcov file, for genhtml: how often each source line has run, which a counter
 * a block tells. A line counts as its most frequent instruction does.
 */
#include "dragoman/plugin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Block {
    uint64_t pc;
    uint32_t image, bytes, n;
    DgCell ran;
    uint8_t *length; /* lcov: of each of its n instructions, in bytes */
} Block;

static bool lcov;

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

static uint8_t *lengths(DgBlock *b)
{
    uint32_t n = dg->block_insns(b);
    uint8_t *l = malloc(n);

    for (uint32_t k = 0; l && k < n; k++) {
        DgInsnInfo i = {.size = sizeof i};
        dg->insn_info(dg->block_insn(b, k), &i);
        l[k] = i.length;
    }
    return l;
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
        blocks[nblocks] = (Block){.pc = pc, .image = image, .bytes = bytes, .n = dg->block_insns(b),
                                  .ran = dg->cell_new(h, lcov ? DG_SUM : DG_OR, 1), .length = lcov ? lengths(b) : NULL};
        table[at] = ++nblocks;
    }
    DgCell ran = blocks[table[at] - 1].ran;
    const DgOp mark[] = {{.kind = DG_OP_CONST, .d = 0, .imm = 1}, {.kind = DG_OP_STORE, .b = 0, .cell = ran}};
    if (ran != DG_NO_CELL && lcov)
        dg->add(dg->block_insn(b, 0), DG_BEFORE, 0, ran, 1);
    else if (ran != DG_NO_CELL)
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

/* --- lcov --------------------------------------------------------------------------------------------------------- */

typedef struct Ran {
    uint64_t pc, times;
} Ran;

typedef struct Line {
    const char *file, *function; /* function: that begins there; NULL: none does */
    uint32_t line;
    uint64_t times;
} Line;

static Ran *rans;
static Line *lines;
static size_t nrans, nlines, cap_lines;

static int by_pc(const void *x, const void *y)
{
    const Ran *a = x, *b = y;

    return a->pc < b->pc ? -1 : a->pc > b->pc;
}

/* By place; of several of one place that with a function first. */
static int by_place(const void *x, const void *y)
{
    const Line *a = x, *b = y;
    int c = strcmp(a->file, b->file);

    if (c)
        return c;
    if (a->line != b->line)
        return a->line < b->line ? -1 : 1;
    return !a->function - !b->function;
}

/* Every instruction that has run, ascending, and how often. */
static void sum_up(DgHost *h)
{
    size_t n = 0, m = 0;

    for (uint32_t k = 0; k < nblocks; k++)
        n += blocks[k].n;
    rans = calloc(n + 1, sizeof *rans);
    n = 0;
    for (uint32_t k = 0; rans && k < nblocks; k++) {
        uint64_t times = blocks[k].ran == DG_NO_CELL ? 0 : dg->cell_total(h, blocks[k].ran), pc = blocks[k].pc;
        for (uint32_t i = 0; times && blocks[k].length && i < blocks[k].n; pc += blocks[k].length[i++])
            rans[n++] = (Ran){pc, times};
    }
    if (n)
        qsort(rans, n, sizeof *rans, by_pc);
    for (size_t k = 0; k < n; k++) {
        if (m && rans[m - 1].pc == rans[k].pc)
            rans[m - 1].times += rans[k].times;
        else
            rans[m++] = rans[k];
    }
    nrans = m;
}

/* How often the most frequent instruction in [start, end) has run. */
static uint64_t most(uint64_t start, uint64_t end)
{
    size_t lo = 0, hi = nrans;
    uint64_t times = 0;

    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (rans[mid].pc < start)
            lo = mid + 1;
        else
            hi = mid;
    }
    for (; lo < nrans && rans[lo].pc < end; lo++)
        times = rans[lo].times > times ? rans[lo].times : times;
    return times;
}

static void add_line(DgHost *h, const DgLine *l)
{
    DgSymbol s = {.size = sizeof s};

    if (nlines == cap_lines) {
        cap_lines = cap_lines ? 2 * cap_lines : 1 << 12;
        lines = realloc(lines, cap_lines * sizeof *lines);
    }
    bool begins = dg->symbol_at(h, l->start, &s) && s.start == l->start;
    if (lines)
        lines[nlines++] = (Line){l->file, begins ? s.name : NULL, l->line, most(l->start, l->end)};
}

static void read_image(DgHost *h, uint32_t number)
{
    DgImage i = {.size = sizeof i};
    DgLine l = {.size = sizeof l};

    if (!dg->image(h, number, &i))
        return;
    for (uint64_t va = i.start; va < i.end; va = l.end) {
        l.size = sizeof l;
        if (dg->line_at(h, va, &l))
            add_line(h, &l);
        if (l.end <= va)
            break;
    }
}

/* One source file's lines [from, to), each once. */
static void put_source(FILE *f, size_t from, size_t to)
{
    size_t n = 0, hit = 0, functions = 0, called = 0;

    fprintf(f, "TN:\nSF:%s\n", lines[from].file);
    for (size_t k = from; k < to; k++)
        if (lines[k].function) {
            fprintf(f, "FN:%u,%s\nFNDA:%llu,%s\n", lines[k].line, lines[k].function, (unsigned long long)lines[k].times, lines[k].function);
            functions++;
            called += lines[k].times != 0;
        }
    fprintf(f, "FNF:%zu\nFNH:%zu\n", functions, called);
    for (size_t k = from; k < to;) {
        uint32_t line = lines[k].line;
        uint64_t times = 0;
        for (; k < to && lines[k].line == line; k++)
            times = lines[k].times > times ? lines[k].times : times;
        fprintf(f, "DA:%u,%llu\n", line, (unsigned long long)times);
        n++;
        hit += times != 0;
    }
    fprintf(f, "LF:%zu\nLH:%zu\nend_of_record\n", n, hit);
}

static void put_lcov(DgHost *h, FILE *f)
{
    sum_up(h);
    for (uint32_t k = 0; k < dg->image_count(h); k++)
        read_image(h, k);
    if (nlines)
        qsort(lines, nlines, sizeof *lines, by_place);
    for (size_t k = 0, from = 0; k < nlines; k++)
        if (k + 1 == nlines || strcmp(lines[k].file, lines[k + 1].file)) {
            put_source(f, from, k + 1);
            from = k + 1;
        }
    free(rans);
    free(lines);
}

static void finish(void *data)
{
    DgHost *h = data;
    const char *path = dg->output_file(h, lcov ? "cover.info" : "cover.drcov");
    FILE *f = fopen(path, "wbe");

    if (!f) {
        dg->fail(h, "cannot write %s", path);
        return;
    }
    if (lcov) {
        put_lcov(h, f);
    } else {
        fprintf(f, "DRCOV VERSION: 3\nDRCOV FLAVOR: drcov-64\n");
        put_modules(h, f);
        put_blocks(h, f);
    }
    if (fclose(f) != 0)
        dg->fail(h, "cannot write %s", path);
}

static int start(DgHost *h)
{
    lcov = dg->option(h, "lcov") != NULL;
    dg->on_translate(h, translate, h);
    dg->on_finish(h, finish, h);
    return 0;
}

DG_TOOL("cover", "which code has run, as a drcov or lcov file", start,
        "lcov      source lines, for genhtml; the program must have debugging information\n"
        "out=FILE  the file (%p: the process id); default cover.drcov or cover.info")
