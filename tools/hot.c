/*
 * hot: where the time goes, by instructions executed: the functions with most of them, and the blocks with most of
 * them, these with their code. Counted inline (pieces.h).
 *
 * Blocks as translations have them overlap and depend on the translator; here they are taken apart again: how often
 * each instruction has run is exact, and neighbours that have run equally often are shown as one block.
 */
#include "dragoman/plugin.h"

#include "pieces.h"

#include <pthread.h>

typedef struct Function {
    const char *name;
    uint64_t start, insns;
} Function;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* code is translated while the process ends */
static Pieces pieces;
static uint32_t top = 20, host; /* host: lines of host code of each block */

static void translate(void *data, DgBlock *b)
{
    pthread_mutex_lock(&lock);
    pieces_attach(&pieces, data, b);
    pthread_mutex_unlock(&lock);
}

/* --- the report --------------------------------------------------------------------------------------------------- */

static int by_weight(const void *x, const void *y)
{
    const Line *a = x, *b = y;
    uint64_t v = a->runs * a->n, w = b->runs * b->n;

    return v > w ? -1 : v < w ? 1 : line_by_pc(x, y);
}

static int by_insns(const void *x, const void *y)
{
    const Function *a = x, *b = y;

    return a->insns > b->insns ? -1 : a->insns < b->insns ? 1 : a->start < b->start ? -1 : 1;
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

typedef struct HostLines {
    DgHost *h;
    uint32_t n;
} HostLines;

static void put_host_line(void *data, const char *text)
{
    HostLines *l = data;

    if (l->n++ < host)
        dg->print(l->h, "                                %s\n", text);
}

/* The host code of the translation that the instruction at pc was seen in last. */
static void put_host(DgHost *h, uint64_t pc)
{
    uint64_t region = 0;
    HostLines l = {h, 0};

    for (uint32_t k = 0; k < pieces.count && !region; k++) {
        const Piece *x = &pieces.piece[k];
        uint64_t end = x->pc;
        for (uint32_t i = 0; x->length && i < x->n; i++)
            end += x->length[i];
        if (pc >= x->pc && pc < end)
            region = x->region;
    }
    dg->print(h, "                      host code of the translation at 0x%llx\n", (unsigned long long)region);
    dg->host_code(h, region, put_host_line, &l);
    if (l.n > host)
        dg->print(h, "                                (%u more)\n", l.n - host);
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
    if (host && DG_HAS(dg, host_code))
        put_host(h, b->pc);
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

    pthread_mutex_lock(&lock);
    Line *l = pieces_lines(&pieces, h, &n);
    pthread_mutex_unlock(&lock);

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
    const char *n = dg->option(h, "top"), *lines = dg->option(h, "host");

    if (lines)
        host = *lines ? (uint32_t)strtoul(lines, NULL, 10) : 60;
    if (n)
        top = (uint32_t)strtoul(n, NULL, 10);
    dg->on_translate(h, translate, h);
    dg->on_finish(h, finish, h);
    return 0;
}

DG_TOOL("hot", "the functions and blocks that execute most instructions, with their code", start,
        "top=N     how many of each; default 20\n"
        "host=N    show N instructions of the host code too, that of the whole translation; without a number 60\n"
        "out=FILE  where to write (%p: the process id); default stderr")
