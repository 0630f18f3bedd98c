/*
 * dragoman memtrace: read what the memtrace tool wrote: as text, or as a trace for ChampSim.
 */
#include "cmd/cmd.h"

#include "dragoman/memtrace.h"
#include "dragoman/plugin.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#define CHUNK_MAX ((uint64_t)1 << 30) /* larger ones are damage */

/* One instruction as ChampSim has it. */
typedef struct ChampSim {
    uint64_t ip;
    uint8_t is_branch, taken;
    uint8_t to_reg[2], from_reg[4];
    uint64_t to_mem[2], from_mem[4];
} ChampSim;

/* Registers that ChampSim knows what branches are by. */
enum { CHAMPSIM_SP = 6, CHAMPSIM_FLAGS = 25, CHAMPSIM_IP = 26, CHAMPSIM_FIRST = 64 };

typedef struct Trace {
    const char *path;
    FILE *f, *champsim;
    uint32_t thread; /* of the ChampSim trace, which has one */
    MemtraceInsn *code;
    uint32_t ncode;
    uint64_t reads, writes, insns, chunks;
    bool quiet;
    ChampSim now; /* being put together */
    bool open;
    unsigned nto, nfrom;
    uint64_t after; /* where it goes on when it is no branch that is taken */
} Trace;

static bool damaged(const Trace *t, const char *what, Status *st)
{
    return status_set(st, STATUS_HOST, "%s: damaged: %s", t->path, what);
}

/* --- ChampSim ----------------------------------------------------------------------------------------------------- */

static void add_reg(uint8_t *list, unsigned n, unsigned reg)
{
    for (unsigned k = 0; k < n; k++) {
        if (list[k] == 0 || list[k] == reg) {
            list[k] = (uint8_t)reg;
            return;
        }
    }
}

/* What a branch reads and writes tells ChampSim its kind. */
static void branch_regs(ChampSim *c, const MemtraceInsn *i)
{
    bool call = i->class_ & DG_CALL, ret = i->class_ & DG_RETURN, cond = i->class_ & DG_BRANCH;

    add_reg(c->to_reg, 2, CHAMPSIM_IP);
    if (!ret && (cond || call))
        add_reg(c->from_reg, 4, CHAMPSIM_IP);
    if (call || ret) {
        add_reg(c->to_reg, 2, CHAMPSIM_SP);
        add_reg(c->from_reg, 4, CHAMPSIM_SP);
    }
    if (cond)
        add_reg(c->from_reg, 4, CHAMPSIM_FLAGS);
    if ((i->class_ & DG_INDIRECT) && !ret && i->nread)
        add_reg(c->from_reg, 4, CHAMPSIM_FIRST + i->read[0]);
}

static bool champsim_flush(Trace *t, uint64_t next)
{
    if (!t->open)
        return true;
    t->now.taken = t->now.is_branch && next != t->after;
    t->open = false;
    return fwrite(&t->now, sizeof t->now, 1, t->champsim) == 1;
}

static bool champsim_insn(Trace *t, const MemtraceInsn *i)
{
    if (!champsim_flush(t, i->pc))
        return false;
    t->now = (ChampSim){.ip = i->pc, .is_branch = (i->class_ & (DG_JUMP | DG_BRANCH | DG_CALL | DG_RETURN)) != 0};
    t->open = true;
    t->after = i->pc + i->length;
    t->nto = t->nfrom = 0;
    if (t->now.is_branch) {
        branch_regs(&t->now, i);
        return true;
    }
    for (unsigned k = 0; k < i->nread; k++)
        add_reg(t->now.from_reg, 4, CHAMPSIM_FIRST + i->read[k]);
    for (unsigned k = 0; k < i->nwritten; k++)
        add_reg(t->now.to_reg, 2, CHAMPSIM_FIRST + i->written[k]);
    return true;
}

static bool champsim_record(Trace *t, const MemtraceRecord *r, const MemtraceInsn *i)
{
    if (i && r->kind == 0)
        return champsim_insn(t, i);
    if (!t->open || !i)
        return true;
    if ((r->kind & DG_READ) && t->nfrom < 4)
        t->now.from_mem[t->nfrom++] = r->addr;
    if ((r->kind & DG_WRITE) && t->nto < 2)
        t->now.to_mem[t->nto++] = r->addr;
    return true;
}

/* --- text --------------------------------------------------------------------------------------------------------- */

static void print_record(uint32_t thread, const MemtraceRecord *r, const MemtraceInsn *i)
{
    static const char *const what[] = {"insn", "read", "write", "update"};

    printf("%u %-6s 0x%llx", thread, what[r->kind & (DG_READ | DG_WRITE)], (unsigned long long)r->addr);
    if (r->kind)
        printf(" %u", r->bytes);
    if (r->kind && i)
        printf(" pc=0x%llx", (unsigned long long)i->pc);
    if (r->kind & DG_BY_SYSCALL)
        printf(" system");
    if (r->kind & DG_BY_HELPER)
        printf(" helper");
    putchar('\n');
}

/* --- the file ----------------------------------------------------------------------------------------------------- */

static bool take_code(Trace *t, const uint8_t *data, uint64_t bytes, Status *st)
{
    uint64_t n = bytes / sizeof(MemtraceInsn);

    if (bytes % sizeof(MemtraceInsn) || n > UINT32_MAX - t->ncode)
        return damaged(t, "descriptions of instructions", st);
    MemtraceInsn *more = realloc(t->code, (t->ncode + n) * sizeof *more);
    if (!more && n)
        return status_set(st, STATUS_HOST, "out of memory");
    t->code = more;
    memcpy(t->code + t->ncode, data, bytes);
    for (uint64_t k = 0; k < n; k++) {
        const MemtraceInsn *i = &t->code[t->ncode];
        if (i->number != t->ncode || i->nread > 8 || i->nwritten > 8)
            return damaged(t, "the description of an instruction", st);
        t->ncode++;
    }
    return true;
}

static bool take_data(Trace *t, uint32_t thread, const uint8_t *data, uint64_t bytes, Status *st)
{
    if (bytes % sizeof(MemtraceRecord))
        return damaged(t, "records", st);
    for (uint64_t at = 0; at < bytes; at += sizeof(MemtraceRecord)) {
        MemtraceRecord r;
        memcpy(&r, data + at, sizeof r);
        if (r.insn != MEMTRACE_NO_INSN && r.insn >= t->ncode)
            return damaged(t, "a record of an instruction that is not described", st);
        const MemtraceInsn *i = r.insn == MEMTRACE_NO_INSN ? NULL : &t->code[r.insn];
        t->insns += r.kind == 0;
        t->reads += (r.kind & DG_READ) != 0;
        t->writes += (r.kind & DG_WRITE) != 0;
        if (t->champsim && thread == t->thread && !champsim_record(t, &r, i))
            return status_set(st, STATUS_HOST, "cannot write the ChampSim trace: %s", strerror(errno));
        if (!t->champsim && !t->quiet)
            print_record(thread, &r, i);
    }
    return true;
}

static bool take_chunk(Trace *t, const MemtraceChunk *c, Status *st)
{
    uint8_t *packed = NULL, *raw = NULL;
    bool ok = false;

    if (c->raw > CHUNK_MAX || c->packed > CHUNK_MAX)
        return damaged(t, "the size of a chunk", st);
    packed = malloc(c->packed + 1);
    raw = malloc(c->raw + 1);
    if (!packed || !raw)
        status_set(st, STATUS_HOST, "out of memory");
    else if (fread(packed, 1, c->packed, t->f) != c->packed)
        damaged(t, "it ends in the middle of a chunk", st);
    else if (ZSTD_decompress(raw, c->raw, packed, c->packed) != c->raw)
        damaged(t, "a chunk does not unpack", st);
    else if (c->kind == MEMTRACE_CODE)
        ok = take_code(t, raw, c->raw, st);
    else if (c->kind == MEMTRACE_DATA)
        ok = take_data(t, c->thread, raw, c->raw, st);
    else
        damaged(t, "an unknown kind of chunk", st);
    free(packed);
    free(raw);
    return ok;
}

static bool read_trace(Trace *t, Status *st)
{
    char magic[8];
    MemtraceChunk c;

    if (fread(magic, sizeof magic, 1, t->f) != 1 || memcmp(magic, MEMTRACE_MAGIC, sizeof magic))
        return status_set(st, STATUS_USAGE, "%s: not a trace of the memtrace tool", t->path);
    for (size_t n; (n = fread(&c, 1, sizeof c, t->f)) != 0; t->chunks++) {
        if (n != sizeof c)
            return damaged(t, "it ends in the middle of a chunk", st);
        if (!take_chunk(t, &c, st))
            return false;
    }
    return !t->champsim || champsim_flush(t, 0) || status_set(st, STATUS_HOST, "cannot write the ChampSim trace");
}

static int usage(FILE *to)
{
    fprintf(to, "usage: dragoman memtrace [--summary | --champsim=FILE [--thread=N]] TRACE\n\n"
                "Prints the records of a trace that `dragoman run --tool=memtrace` wrote, one a line; or their "
                "numbers; or writes\n"
                "one thread's instructions (of a trace made with `insns`) in ChampSim's format.\n");
    return to == stdout ? 0 : EXIT_USAGE;
}

static bool run(Trace *t, const char *champsim, Status *st)
{
    bool ok = false;

    t->f = fopen(t->path, "rbe");
    if (!t->f)
        return status_set(st, STATUS_NOT_FOUND, "%s: %s", t->path, strerror(errno));
    if (champsim && !(t->champsim = fopen(champsim, "wbe")))
        status_set(st, STATUS_HOST, "%s: %s", champsim, strerror(errno));
    else
        ok = read_trace(t, st);
    if (ok && t->quiet)
        printf("instructions %llu\nreads %llu\nwrites %llu\n", (unsigned long long)t->insns,
               (unsigned long long)t->reads, (unsigned long long)t->writes);
    fclose(t->f);
    if (t->champsim && fclose(t->champsim) != 0 && ok)
        ok = status_set(st, STATUS_HOST, "%s: %s", champsim, strerror(errno));
    free(t->code);
    return ok;
}

int cmd_memtrace(int argc, char **argv)
{
    Trace t = {0};
    const char *champsim = NULL;
    Status st = {0};

    for (int k = 1; k < argc; k++) {
        char *end = "";
        if (strcmp(argv[k], "--help") == 0)
            return usage(stdout);
        else if (strcmp(argv[k], "--summary") == 0)
            t.quiet = true;
        else if (strncmp(argv[k], "--champsim=", 11) == 0)
            champsim = argv[k] + 11;
        else if (strncmp(argv[k], "--thread=", 9) == 0)
            t.thread = (uint32_t)strtoul(argv[k] + 9, &end, 10);
        else if (argv[k][0] == '-' || t.path)
            return usage(stderr);
        else
            t.path = argv[k];
        if (*end)
            return usage(stderr);
    }
    if (!t.path)
        return usage(stderr);
    return run(&t, champsim, &st) ? 0 : cmd_fail(&st);
}
