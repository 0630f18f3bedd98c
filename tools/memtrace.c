/*
 * memtrace: every memory access of instructions, in order, to a file of compressed records
 * (include/dragoman/memtrace.h, which `dragoman memtrace` reads). With `insns` every instruction too. `null` makes the
 * records and drops them: for measuring.
 */
#include "dragoman/memtrace.h"
#include "dragoman/plugin.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Instructions by address; open addressing. */
static MemtraceInsn *code;
static uint32_t ncode, cap_code, written;
static uint32_t *table, table_size;

static FILE *file;
static char *path;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of the file */
static DgStream *stream;
static bool null, want_insns;
static unsigned long long nrecords;

/* --- instructions ------------------------------------------------------------------------------------------------- */

static uint32_t place(uint64_t pc, uint32_t class_, uint64_t target)
{
    uint32_t at = (uint32_t)(pc * 0x9e3779b97f4a7c15u >> 40) & (table_size - 1);

    for (; table[at]; at = (at + 1) & (table_size - 1)) {
        const MemtraceInsn *i = &code[table[at] - 1];
        if (i->pc == pc && i->class_ == class_ && i->target == target)
            break;
    }
    return at;
}

static void grow(void)
{
    free(table);
    table_size = table_size ? 2 * table_size : 1 << 12;
    cap_code = table_size / 2;
    code = realloc(code, cap_code * sizeof *code);
    table = calloc(table_size, sizeof *table);
    for (uint32_t k = 0; k < ncode; k++)
        table[place(code[k].pc, code[k].class_, code[k].target)] = k + 1;
}

static uint8_t list(const uint64_t *set, uint8_t *out)
{
    uint8_t n = 0;

    for (unsigned r = 0; r < 64 * DG_REGS_MAX && n < 8; r++)
        if (set[r / 64] >> r % 64 & 1)
            out[n++] = (uint8_t)r;
    return n;
}

/* Called under the translation's lock; the file's writer reads only what is there already. */
static uint32_t number_of(const DgInsn *i)
{
    DgInsnInfo info = {.size = sizeof info};

    dg->insn_info(i, &info);
    pthread_mutex_lock(&lock);
    if (ncode == cap_code)
        grow();
    uint32_t at = place(info.pc, info.class_, info.target);
    if (!table[at]) {
        MemtraceInsn *n = &code[ncode];
        *n = (MemtraceInsn){
            .pc = info.pc, .target = info.target, .number = ncode, .class_ = info.class_, .length = info.length};
        n->nread = list(info.reads, n->read);
        n->nwritten = list(info.writes, n->written);
        table[at] = ++ncode;
    }
    uint32_t number = table[at] - 1;
    pthread_mutex_unlock(&lock);
    return number;
}

static void translate(void *data, DgBlock *b)
{
    for (uint32_t k = 0; k < dg->block_insns(b); k++) {
        DgInsn *i = dg->block_insn(b, k);
        bool access = dg->insn_class(i) & (DG_LOAD | DG_STORE);
        if (!access && !want_insns)
            continue;
        uint32_t number = number_of(i);
        const DgField mem[] = {{0, 4, DG_FIELD_CONST, 0, number},
                               {4, 1, DG_ARG_BYTES, 0, 0},
                               {5, 1, DG_ARG_KIND, 0, 0},
                               {6, 2, DG_FIELD_CONST, 0, 0},
                               {8, 8, DG_ARG_ADDR, 0, 0}};
        const DgField insn[] = {
            {0, 4, DG_FIELD_CONST, 0, number}, {4, 4, DG_FIELD_CONST, 0, 0}, {8, 8, DG_ARG_PC, 0, 0}};
        if (want_insns)
            dg->record(i, DG_BEFORE, 0, stream, insn, 3);
        if (access)
            dg->record(i, DG_MEM_AFTER, 0, stream, mem, 5);
    }
}

/* --- the file ----------------------------------------------------------------------------------------------------- */

/* Under lock. */
static void put_chunk(uint32_t kind, uint32_t thread, size_t raw, const void *packed, size_t n)
{
    MemtraceChunk c = {kind, thread, raw, n};

    if (!file)
        return;
    if (fwrite(&c, sizeof c, 1, file) != 1 || fwrite(packed, 1, n, file) != n) {
        fprintf(stderr, "memtrace: cannot write %s\n", path);
        fclose(file);
        file = NULL;
    }
}

static size_t room_for(size_t n)
{
    return n + n / 128 + 512;
}

static void put_code(void)
{
    size_t raw = (ncode - written) * sizeof *code;
    void *packed = raw ? malloc(room_for(raw)) : NULL;

    if (packed)
        put_chunk(MEMTRACE_CODE, 0, raw, packed, dg->compress(packed, room_for(raw), code + written, raw));
    written = ncode;
    free(packed);
}

static void consume(void *data, uint32_t thread, const void *records, size_t bytes)
{
    if (null) {
        __atomic_add_fetch(&nrecords, bytes / sizeof(MemtraceRecord), __ATOMIC_RELAXED);
        return;
    }
    void *packed = malloc(room_for(bytes)); /* compressed before the lock is taken: threads do that at once */
    if (!packed)
        return;
    size_t n = dg->compress(packed, room_for(bytes), records, bytes);
    pthread_mutex_lock(&lock);
    nrecords += bytes / sizeof(MemtraceRecord);
    put_code();
    put_chunk(MEMTRACE_DATA, thread, bytes, packed, n);
    pthread_mutex_unlock(&lock);
    free(packed);
}

static bool open_file(DgHost *h)
{
    free(path);
    path = strdup(dg->output_file(h, "memtrace.out"));
    file = path ? dg->file_open(h, path, "w") : NULL;
    if (file) /* chunks are large; a fork must find nothing that is not written yet */
        setvbuf(file, NULL, _IONBF, 0);
    return file && fwrite(MEMTRACE_MAGIC, 8, 1, file) == 1;
}

static void forked(void *data)
{
    if (file)
        dg->file_close(data, file); /* the parent goes on with it */
    file = NULL;
    written = 0;
    nrecords = 0;
    if (!null && !open_file(data))
        dg->fail(data, "cannot write %s", path);
}

/* Accesses that no instruction of translated code makes. */
static void other_access(DgThread *t, void *data, const DgEvent *ev)
{
    MemtraceRecord r = {MEMTRACE_NO_INSN, (uint8_t)(ev->length < 256 ? ev->length : 0), ev->kind, 0, ev->addr};

    dg->stream_flush(t, stream);
    consume(data, dg->thread_number(t), &r, sizeof r);
}

static void finish(void *data)
{
    if (null) {
        dg->print(data, "memtrace: %llu records\n", nrecords);
        return;
    }
    pthread_mutex_lock(&lock);
    put_code();
    if (file)
        fflush(file);
    pthread_mutex_unlock(&lock);
}

static int start(DgHost *h)
{
    null = dg->option(h, "null") != NULL;
    want_insns = dg->option(h, "insns") != NULL;
    bool system = dg->option(h, "system") != NULL;
    bool thread = dg->option(h, "thread") != NULL;
    stream = dg->stream_new(h, sizeof(MemtraceRecord), 0, consume, h, thread ? DG_STREAM_OWN_THREAD : 0);
    if (!stream || (!null && !open_file(h))) {
        dg->fail(h, "cannot write %s", path ? path : "a trace");
        return 1;
    }
    dg->on_translate(h, translate, h);
    if (system)
        dg->on_access(h, other_access, h);
    dg->on_fork(h, forked, h);
    dg->on_finish(h, finish, h);
    return 0;
}

DG_TOOL("memtrace", "every memory access, to a compressed file", start,
        "out=FILE  the file (%p: the process id); default memtrace.out\n"
        "insns     every instruction as well\n"
        "system    accesses of system calls, signals and helpers as well\n"
        "thread    compress and write on a thread of its own, beside the program\n"
        "null      make the records and drop them: for measuring")
