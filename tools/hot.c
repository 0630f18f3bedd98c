/*
 * hot: where the time goes, by instructions executed: the functions with most of them, and the blocks with most of
 * them, these with their code. Counted inline: one addition a block.
 *
 * Blocks as translations have them overlap and depend on the translator; here they are taken apart again: how often
 * each instruction has run is exact (but for instructions behind one that faulted), and neighbours that have run
 * equally often are shown as one block.
 */
#include "dragoman/plugin.h"

#include <stdlib.h>
#include <string.h>

typedef struct Piece {
    uint64_t pc;
    uint32_t n; /* instructions */
    DgCell runs;
    uint8_t *length; /* of each, in bytes */
} Piece;

/* One instruction; then a run of those that have run equally often. */
typedef struct Line {
    uint64_t pc, runs, n;
    uint32_t bytes; /* of all of them */
} Line;

typedef struct Function {
    const char *name;
    uint64_t start, insns;
} Function;

static Piece *pieces;
static uint32_t npieces, cap;
static uint32_t *table, table_size;
static uint32_t top = 20;

static uint32_t place(uint64_t pc, uint32_t n)
{
    uint32_t at = (uint32_t)(pc * 0x9e3779b97f4a7c15u >> 40) & (table_size - 1);

    while (table[at] && (pieces[table[at] - 1].pc != pc || pieces[table[at] - 1].n != n))
        at = (at + 1) & (table_size - 1);
    return at;
}

static void grow(void)
{
    free(table);
    table_size = table_size ? 2 * table_size : 1 << 12;
    cap = table_size / 2;
    pieces = realloc(pieces, cap * sizeof *pieces);
    table = calloc(table_size, sizeof *table);
    for (uint32_t k = 0; k < npieces; k++)
        table[place(pieces[k].pc, pieces[k].n)] = k + 1;
}

static uint8_t *lengths(DgBlock *b, uint32_t n)
{
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
    uint64_t pc = dg->block_pc(b);
    uint32_t n = dg->block_insns(b);

    if (npieces == cap)
        grow();
    uint32_t at = place(pc, n);
    if (!table[at]) {
        pieces[npieces] = (Piece){pc, n, dg->cell_new(data, DG_SUM, 1), lengths(b, n)};
        table[at] = ++npieces;
    }
    if (pieces[table[at] - 1].runs != DG_NO_CELL)
        dg->add(dg->block_insn(b, 0), DG_BEFORE, 0, pieces[table[at] - 1].runs, 1);
}

/* --- the report --------------------------------------------------------------------------------------------------- */

static int by_pc(const void *x, const void *y)
{
    const Line *a = x, *b = y;

    return a->pc < b->pc ? -1 : a->pc > b->pc;
}

static int by_weight(const void *x, const void *y)
{
    const Line *a = x, *b = y;
    uint64_t v = a->runs * a->n, w = b->runs * b->n;

    return v > w ? -1 : v < w ? 1 : by_pc(x, y);
}

static int by_insns(const void *x, const void *y)
{
    const Function *a = x, *b = y;

    return a->insns > b->insns ? -1 : a->insns < b->insns ? 1 : a->start < b->start ? -1 : 1;
}

/* Every instruction that has run, ascending. */
static Line *all_lines(DgHost *h, size_t *count)
{
    size_t n = 0, m = 0;

    for (uint32_t k = 0; k < npieces; k++)
        n += pieces[k].n;
    Line *l = calloc(n + 1, sizeof *l);
    if (!l)
        return NULL;
    n = 0;
    for (uint32_t k = 0; k < npieces; k++) {
        uint64_t runs = dg->cell_total(h, pieces[k].runs), pc = pieces[k].pc;
        for (uint32_t i = 0; runs && pieces[k].length && i < pieces[k].n; pc += pieces[k].length[i++])
            l[n++] = (Line){pc, runs, 1, pieces[k].length[i]};
    }
    qsort(l, n, sizeof *l, by_pc);
    for (size_t k = 0; k < n; k++) {
        if (m && l[m - 1].pc == l[k].pc)
            l[m - 1].runs += l[k].runs;
        else
            l[m++] = l[k];
    }
    *count = m;
    return l;
}

static const char *symbol(DgHost *h, uint64_t pc, uint64_t *start)
{
    DgSymbol s = {.size = sizeof s};

    if (!dg->symbol_at(h, pc, &s))
        return NULL;
    *start = s.start;
    return s.name;
}

static void put_functions(DgHost *h, const Line *l, size_t n, uint64_t total)
{
    Function *f = calloc(n + 1, sizeof *f);
    size_t m = 0;

    for (size_t k = 0; f && k < n; k++) {
        uint64_t start = 0;
        const char *name = symbol(h, l[k].pc, &start);
        if (!name)
            start = 0;
        if (!m || f[m - 1].start != start)
            f[m++] = (Function){name ? name : "(no symbol)", start, 0};
        f[m - 1].insns += l[k].runs;
    }
    if (!f)
        return;
    qsort(f, m, sizeof *f, by_insns);
    dg->print(h, "functions, by instructions executed\n");
    for (size_t k = 0; k < m && k < top; k++)
        dg->print(h, "%14llu %5.1f%%  %s\n", (unsigned long long)f[k].insns, 100.0 * (double)f[k].insns / (double)total,
                  f[k].name);
    free(f);
}

typedef struct Source {
    const char *file;
    uint32_t line;
    uint64_t insns;
} Source;

static int by_place(const void *x, const void *y)
{
    const Source *a = x, *b = y;
    int c = strcmp(a->file, b->file);

    return c ? c : a->line < b->line ? -1 : a->line > b->line;
}

static int by_source(const void *x, const void *y)
{
    const Source *a = x, *b = y;

    return a->insns > b->insns ? -1 : a->insns < b->insns ? 1 : by_place(x, y);
}

/* Source lines, where the program has debugging information. */
static void put_sources(DgHost *h, const Line *l, size_t n, uint64_t total)
{
    Source *s = calloc(n + 1, sizeof *s);
    size_t m = 0, each = 0;

    for (size_t k = 0; s && k < n; k++) {
        DgLine at = {.size = sizeof at};
        if (dg->line_at(h, l[k].pc, &at))
            s[m++] = (Source){at.file, at.line, l[k].runs};
    }
    if (m)
        qsort(s, m, sizeof *s, by_place);
    for (size_t k = 0; k < m; k++) {
        if (each && by_place(&s[each - 1], &s[k]) == 0)
            s[each - 1].insns += s[k].insns;
        else
            s[each++] = s[k];
    }
    if (each) {
        qsort(s, each, sizeof *s, by_source);
        dg->print(h, "\nsource lines, by instructions executed\n");
    }
    for (size_t k = 0; k < each && k < top; k++)
        dg->print(h, "%14llu %5.1f%%  %s:%u\n", (unsigned long long)s[k].insns, 100.0 * (double)s[k].insns / (double)total, s[k].file, s[k].line);
    free(s);
}

static void put_block(DgHost *h, const Line *b, uint64_t total)
{
    uint64_t start = 0, pc = b->pc;
    const char *name = symbol(h, pc, &start);
    char text[128];

    dg->print(h, "\n%14llu %5.1f%%  %llu times  0x%llx", (unsigned long long)(b->runs * b->n),
              100.0 * (double)(b->runs * b->n) / (double)total, (unsigned long long)b->runs, (unsigned long long)pc);
    if (name)
        dg->print(h, "  %s+0x%llx", name, (unsigned long long)(pc - start));
    dg->print(h, "\n");
    for (uint32_t length; pc < b->pc + b->bytes && dg->text_at(h, pc, text, sizeof text, &length); pc += length)
        dg->print(h, "                        0x%llx  %s\n", (unsigned long long)pc, text);
}

static void put_blocks(DgHost *h, Line *l, size_t n, uint64_t total)
{
    size_t m = 0;

    for (size_t k = 0; k < n; k++) {
        if (m && l[m - 1].runs == l[k].runs && l[m - 1].pc + l[m - 1].bytes == l[k].pc) {
            l[m - 1].n++;
            l[m - 1].bytes += l[k].bytes;
        } else {
            l[m++] = l[k];
        }
    }
    qsort(l, m, sizeof *l, by_weight);
    dg->print(h, "\nblocks, by instructions executed\n");
    for (size_t k = 0; k < m && k < top; k++)
        put_block(h, &l[k], total);
}

static void finish(void *data)
{
    DgHost *h = data;
    size_t n = 0;
    uint64_t total = 0;
    Line *l = all_lines(h, &n);

    if (!l)
        return;
    for (size_t k = 0; k < n; k++)
        total += l[k].runs;
    dg->print(h, "%14llu instructions\n\n", (unsigned long long)total);
    put_functions(h, l, n, total);
    put_sources(h, l, n, total);
    put_blocks(h, l, n, total);
    free(l);
}

static int start(DgHost *h)
{
    const char *n = dg->option(h, "top");

    if (n)
        top = (uint32_t)strtoul(n, NULL, 10);
    dg->on_translate(h, translate, h);
    dg->on_finish(h, finish, h);
    return 0;
}

DG_TOOL("hot", "the functions and blocks that execute most instructions, with their code", start,
        "top=N     how many of each; default 20\n"
        "out=FILE  where to write (%p: the process id); default stderr")
