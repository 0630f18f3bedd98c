/*
 * cache: what a hierarchy of caches and a TLB would make of the program: first-level instruction and data caches and a
 * second level for each core, a last level that all share. Least recently used is replaced; a write is as a read
 * (write-allocate). Threads run on cores in order of creation, round and round.
 *
 * Translated code writes records; each thread works off its own when its buffer is full. The last level has a lock,
 * which is taken once a buffer.
 */
#include "dragoman/plugin.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CORES_MAX 64

typedef struct Record {
    uint32_t insn;       /* number, in code[] */
    uint8_t bytes, kind; /* kind 0: `count` instructions, `size` bytes of them from addr on */
    uint16_t count;
    uint64_t addr;
} Record;

typedef struct Cache {
    const char *name;
    uint32_t sets, ways, line_bits;
    uint64_t *tag; /* by set, most recently used first; 0: empty, else line + 1 */
    uint64_t reads, writes, read_misses, write_misses;
} Cache;

typedef struct Core {
    pthread_mutex_t lock; /* several threads may share it */
    Cache i1, d1, l2, tlb;
    uint64_t insns;
    uint64_t *misses; /* of the first data level, by instruction */
    uint32_t nmisses;
} Core;

static Cache shape_i1 = {.name = "I1"}, shape_d1 = {.name = "D1"}, shape_l2 = {.name = "L2"},
             shape_tlb = {.name = "TLB"}, ll = {.name = "LL"};
static pthread_mutex_t ll_lock = PTHREAD_MUTEX_INITIALIZER, code_lock = PTHREAD_MUTEX_INITIALIZER;
static Core core[CORES_MAX];
static uint32_t ncores = 4, top = 10;
static uint64_t *code; /* addresses, by number */
static uint32_t ncode, cap_code;
static DgStream *stream;

/* --- one cache ---------------------------------------------------------------------------------------------------- */

static bool power_of_two(uint64_t n)
{
    return n && !(n & (n - 1));
}

/* "size:ways:line" */
static bool shape(Cache *c, const char *text)
{
    unsigned long long size, ways, line;
    char end;

    if (sscanf(text, "%llu:%llu:%llu%c", &size, &ways, &line, &end) != 3 || !power_of_two(line) || !ways ||
        ways > 1024 || size % (ways * line) || !power_of_two(size / (ways * line)) || size > 1ull << 32)
        return false;
    c->sets = (uint32_t)(size / (ways * line));
    c->ways = (uint32_t)ways;
    c->line_bits = (uint32_t)__builtin_ctzll(line);
    return true;
}

static bool make(Cache *c, const Cache *like)
{
    *c = *like;
    c->tag = calloc((size_t)c->sets * c->ways, sizeof *c->tag);
    return c->tag != NULL;
}

/* Put `line` in front; what was before it moves back, the last of the set goes when it was not there. Whether it was.
 */
static bool move_front(uint64_t *set, uint32_t ways, uint64_t line)
{
    uint64_t carry = line;

    for (uint32_t w = 0; w < ways; w++) {
        uint64_t old = set[w];
        set[w] = carry;
        if (old == line)
            return true;
        carry = old;
    }
    return false;
}

/* Whether the line of addr was there; it is now. Most often it is the one used last. */
static inline bool touch(Cache *c, uint64_t addr)
{
    uint64_t line = (addr >> c->line_bits) + 1, *set = c->tag + (size_t)((line - 1) & (c->sets - 1)) * c->ways;

    return set[0] == line || move_front(set, c->ways, line);
}

static bool count(Cache *c, uint64_t addr, bool write)
{
    bool hit = touch(c, addr);

    if (write) {
        c->writes++;
        c->write_misses += !hit;
    } else {
        c->reads++;
        c->read_misses += !hit;
    }
    return hit;
}

/* --- the hierarchy ------------------------------------------------------------------------------------------------ */

/* Whether the first level had it. An access that crosses lines is one, and a miss when either is missing. */
static bool access_memory(Core *c, Cache *first, uint64_t addr, uint32_t bytes, bool write)
{
    uint64_t last = addr + (bytes ? bytes - 1 : 0);
    bool one = last >> first->line_bits == addr >> first->line_bits;
    bool hit = touch(first, addr), second = one || touch(first, last);

    if (write) {
        first->writes++;
        first->write_misses += !(hit && second);
    } else {
        first->reads++;
        first->read_misses += !(hit && second);
    }
    if (!hit && !count(&c->l2, addr, write))
        count(&ll, addr, write);
    if (!second && !count(&c->l2, last, write))
        count(&ll, last, write);
    return hit && second;
}

static void fetch(Core *c, const Record *r)
{
    uint32_t line = 1u << c->i1.line_bits;
    uint64_t end = r->addr + 4u * r->count;

    c->insns += r->count;
    count(&c->tlb, r->addr, false);
    for (uint64_t a = r->addr & ~(uint64_t)(line - 1); a < end; a += line)
        access_memory(c, &c->i1, a, 1, false);
}

static void data_access(Core *c, const Record *r)
{
    count(&c->tlb, r->addr, r->kind & DG_WRITE);
    if (!access_memory(c, &c->d1, r->addr, r->bytes, r->kind & DG_WRITE) && r->insn < c->nmisses)
        c->misses[r->insn]++;
}

static void consume(void *data, uint32_t thread, const void *records, size_t bytes)
{
    Core *c = &core[thread % ncores];
    const Record *r = records, *end = r + bytes / sizeof *r;

    pthread_mutex_lock(&c->lock);
    pthread_mutex_lock(&code_lock);
    if (c->nmisses < ncode) {
        uint64_t *more = realloc(c->misses, cap_code * sizeof *more);
        if (more) {
            memset(more + c->nmisses, 0, (cap_code - c->nmisses) * sizeof *more);
            c->misses = more;
            c->nmisses = cap_code;
        }
    }
    pthread_mutex_unlock(&code_lock);
    pthread_mutex_lock(&ll_lock);
    for (; r < end; r++) {
        if (r->kind)
            data_access(c, r);
        else
            fetch(c, r);
    }
    pthread_mutex_unlock(&ll_lock);
    pthread_mutex_unlock(&c->lock);
}

/* --- code --------------------------------------------------------------------------------------------------------- */

static uint32_t number_of(uint64_t pc)
{
    pthread_mutex_lock(&code_lock);
    if (ncode == cap_code) {
        cap_code = cap_code ? 2 * cap_code : 1 << 14;
        code = realloc(code, cap_code * sizeof *code);
    }
    code[ncode] = pc;
    uint32_t n = ncode++;
    pthread_mutex_unlock(&code_lock);
    return n;
}

static void translate(void *data, DgBlock *b)
{
    uint32_t n = dg->block_insns(b);
    const DgField block[] = {{0, 4, DG_FIELD_CONST, 0, 0},
                             {4, 2, DG_FIELD_CONST, 0, 0},
                             {6, 2, DG_FIELD_CONST, 0, dg->block_bytes(b) / 4},
                             {8, 8, DG_FIELD_CONST, 0, dg->block_pc(b)}};

    dg->record(dg->block_insn(b, 0), DG_BEFORE, 0, stream, block, 4);
    for (uint32_t k = 0; k < n; k++) {
        DgInsn *i = dg->block_insn(b, k);
        if (!(dg->insn_class(i) & (DG_LOAD | DG_STORE)))
            continue;
        const DgField mem[] = {{0, 4, DG_FIELD_CONST, 0, number_of(dg->insn_pc(i))},
                               {4, 1, DG_ARG_BYTES, 0, 0},
                               {5, 1, DG_ARG_KIND, 0, 0},
                               {6, 2, DG_FIELD_CONST, 0, 0},
                               {8, 8, DG_ARG_ADDR, 0, 0}};
        dg->record(i, DG_MEM_AFTER, 0, stream, mem, 5);
    }
}

/* --- the report --------------------------------------------------------------------------------------------------- */

static void add(Cache *to, const Cache *from)
{
    to->reads += from->reads;
    to->writes += from->writes;
    to->read_misses += from->read_misses;
    to->write_misses += from->write_misses;
}

static void line(DgHost *h, const Cache *c)
{
    uint64_t all = c->reads + c->writes, misses = c->read_misses + c->write_misses;

    dg->print(h, "%-4s %15llu %15llu %15llu %15llu  %6.2f%%\n", c->name, (unsigned long long)c->reads,
              (unsigned long long)c->writes, (unsigned long long)c->read_misses, (unsigned long long)c->write_misses,
              all ? 100.0 * (double)misses / (double)all : 0);
}

typedef struct Place {
    uint64_t pc, misses;
} Place;

static int by_misses(const void *x, const void *y)
{
    const Place *a = x, *b = y;

    return a->misses > b->misses ? -1 : a->misses < b->misses ? 1 : a->pc < b->pc ? -1 : a->pc > b->pc;
}

static int by_pc(const void *x, const void *y)
{
    const Place *a = x, *b = y;

    return a->pc < b->pc ? -1 : a->pc > b->pc;
}

static void put_places(DgHost *h)
{
    Place *p = calloc(ncode + 1, sizeof *p);
    uint32_t n = 0;

    for (uint32_t k = 0; p && k < ncode; k++) {
        p[k].pc = code[k];
        for (uint32_t c = 0; c < ncores; c++)
            p[k].misses += k < core[c].nmisses ? core[c].misses[k] : 0;
    }
    if (!p)
        return;
    qsort(p, ncode, sizeof *p, by_pc); /* an address that was translated twice has two numbers */
    for (uint32_t k = 0; k < ncode; k++) {
        if (n && p[n - 1].pc == p[k].pc)
            p[n - 1].misses += p[k].misses;
        else
            p[n++] = p[k];
    }
    qsort(p, n, sizeof *p, by_misses);
    dg->print(h, "\ninstructions with most D1 misses\n");
    for (uint32_t k = 0; k < n && k < top && p[k].misses; k++) {
        DgSymbol s = {.size = sizeof s};
        char text[128] = "";
        dg->text_at(h, p[k].pc, text, sizeof text, NULL);
        if (dg->symbol_at(h, p[k].pc, &s))
            dg->print(h, "%15llu  0x%llx  %-40s %s+0x%llx\n", (unsigned long long)p[k].misses,
                      (unsigned long long)p[k].pc, text, s.name, (unsigned long long)(p[k].pc - s.start));
        else
            dg->print(h, "%15llu  0x%llx  %s\n", (unsigned long long)p[k].misses, (unsigned long long)p[k].pc, text);
    }
    free(p);
}

static void finish(void *data)
{
    Cache i1 = {.name = "I1"}, d1 = {.name = "D1"}, l2 = {.name = "L2"}, tlb = {.name = "TLB"};
    uint64_t insns = 0;

    for (uint32_t c = 0; c < ncores; c++) {
        add(&i1, &core[c].i1);
        add(&d1, &core[c].d1);
        add(&l2, &core[c].l2);
        add(&tlb, &core[c].tlb);
        insns += core[c].insns;
    }
    dg->print(data, "%llu instructions\n              reads          writes     read misses    write misses  misses\n",
              (unsigned long long)insns);
    line(data, &i1);
    line(data, &d1);
    line(data, &l2);
    line(data, &ll);
    line(data, &tlb);
    put_places(data);
}

static bool option(DgHost *h, const char *name, Cache *c, const char *def)
{
    const char *v = dg->option(h, name);

    if (shape(c, v ? v : def))
        return true;
    dg->fail(h, "%s=%s is not SIZE:WAYS:LINE, in bytes, with a power of two of sets and of bytes in a line", name, v);
    return false;
}

static bool number(DgHost *h, const char *name, uint32_t *v, uint32_t min, uint32_t max)
{
    const char *text = dg->option(h, name);
    char *end;

    if (!text)
        return true;
    unsigned long n = strtoul(text, &end, 10);
    if (*end || end == text || n < min || n > max) {
        dg->fail(h, "%s=%s is not a number from %u to %u", name, text, min, max);
        return false;
    }
    *v = (uint32_t)n;
    return true;
}

static int start(DgHost *h)
{
    if (!number(h, "cores", &ncores, 1, CORES_MAX) || !number(h, "top", &top, 0, 1u << 20) ||
        !option(h, "I1", &shape_i1, "32768:8:64") || !option(h, "D1", &shape_d1, "32768:8:64") ||
        !option(h, "L2", &shape_l2, "524288:8:64") || !option(h, "LL", &ll, "16777216:16:64") ||
        !option(h, "TLB", &shape_tlb, "262144:4:4096"))
        return 1;
    for (uint32_t c = 0; c < ncores; c++) {
        pthread_mutex_init(&core[c].lock, NULL);
        if (!make(&core[c].i1, &shape_i1) || !make(&core[c].d1, &shape_d1) || !make(&core[c].l2, &shape_l2) ||
            !make(&core[c].tlb, &shape_tlb))
            return 1;
    }
    Cache like = ll;
    stream = dg->stream_new(h, sizeof(Record), 0, consume, h, 0);
    if (!stream || !make(&ll, &like))
        return 1;
    dg->on_translate(h, translate, h);
    dg->on_finish(h, finish, h);
    return 0;
}

DG_TOOL("cache", "simulation of caches and a TLB", start,
        "I1=SIZE:WAYS:LINE  first level for instructions; default 32768:8:64\n"
        "D1=SIZE:WAYS:LINE  first level for data; default 32768:8:64\n"
        "L2=SIZE:WAYS:LINE  second level of a core; default 524288:8:64\n"
        "LL=SIZE:WAYS:LINE  last level, shared; default 16777216:16:64\n"
        "TLB=SIZE:WAYS:PAGE entries times the page's size; default 262144:4:4096\n"
        "cores=N            cores that threads run on; default 4\n"
        "top=N              how many instructions with most misses; default 10\n"
        "out=FILE           where to write (%p: the process id); default stderr")
