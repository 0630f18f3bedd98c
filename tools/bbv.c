/*
 * bbv: basic-block vectors for SimPoint: for every interval of instructions of a thread, how many each block has
 * executed. One file a thread, FILE.0, FILE.1 ...; lines "T:block:instructions :block:instructions ...", blocks
 * numbered from 1.
 *
 * The thread counts inline; the interval's end is a guarded call at the first instruction of a block, so intervals are
 * longer than asked for by less than a block.
 */
#include "dragoman/plugin.h"

#include "pieces.h"
#include "threads.h"

#include <pthread.h>
#include <stdio.h>
#include <stdio_ext.h>

static uint64_t interval = 100000000;
static DgCell done;   /* instructions of this interval */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* code is translated while other threads count */
static Pieces blocks; /* by address; runs: instructions */

static ToolThreads threads; /* under lock */

typedef struct Thread {
    ToolThread known;
    FILE *f;
    bool begun; /* the file was made */
} Thread;

/* Under lock. */
static void put_blocks(DgThread *t, FILE *f)
{
    bool any = false;

    for (uint32_t k = 0; k < blocks.count; k++) {
        uint64_t n = dg->cell_get(t, blocks.piece[k].runs);
        if (!n)
            continue;
        fprintf(f, "%s:%u:%llu ", any ? "" : "T", k + 1, (unsigned long long)n);
        dg->cell_set(t, blocks.piece[k].runs, 0);
        any = true;
    }
    if (any)
        fputc('\n', f);
}

/* What a forked child finds of its parent's is not its own to write. */
static void leave_file(DgHost *h, Thread *th)
{
    if (th->f) {
        __fpurge(th->f);
        dg->file_close(h, th->f);
    }
    th->f = NULL;
    th->begun = false;
}

static void put_interval(DgHost *h, DgThread *t)
{
    Thread *th = dg->thread_data(t, h, sizeof *th);
    char path[4096];

    pthread_mutex_lock(&lock);
    if (threads_add(&threads, &th->known, t))
        leave_file(h, th);
    pthread_mutex_unlock(&lock);
    if (!th->f) {
        snprintf(path, sizeof path, "%s.%u", dg->output_file(h, "bbv.out"), dg->thread_number(t));
        th->f = dg->file_open(h, path, th->begun ? "a" : "w");
        th->begun = true;
        if (!th->f) {
            dg->fail(h, "cannot write %s", path);
            return;
        }
    }
    pthread_mutex_lock(&lock);
    put_blocks(t, th->f);
    pthread_mutex_unlock(&lock);
}

static void end_interval(DgThread *t, void *data, const DgEvent *ev)
{
    put_interval(data, t);
    dg->cell_set(t, done, 0);
}

static DgCell cell_for(DgHost *h, uint64_t pc)
{
    DgCell mine = DG_NO_CELL;

    pthread_mutex_lock(&lock);
    uint32_t k = pieces_find(&blocks, pc, 0);
    if (k != UINT32_MAX) {
        if (blocks.piece[k].runs == DG_NO_CELL)
            blocks.piece[k].runs = dg->cell_new(h, DG_SUM, 1);
        mine = blocks.piece[k].runs;
    }
    pthread_mutex_unlock(&lock);
    return mine;
}

static void translate(void *data, DgBlock *b)
{
    uint32_t n = dg->block_insns(b);
    DgCell mine = cell_for(data, dg->block_pc(b));

    if (mine == DG_NO_CELL)
        return;
    const DgOp op[] = {{.kind = DG_OP_LOAD, .d = 0, .cell = done},
                       {.kind = DG_OP_CONST, .d = 1, .imm = interval},
                       {.kind = DG_OP_CMP, .d = 2, .a = 1, .b = 0, .imm = DG_LEU},
                       {.kind = DG_OP_CALL, .a = 2, .fn = end_interval, .data = data},
                       {.kind = DG_OP_CONST, .d = 3, .imm = n},
                       {.kind = DG_OP_LOAD, .d = 0, .cell = done},
                       {.kind = DG_OP_ADD, .d = 0, .a = 0, .b = 3},
                       {.kind = DG_OP_STORE, .b = 0, .cell = done}};
    dg->program_at(dg->block_insn(b, 0), DG_BEFORE, 0, op, sizeof op / sizeof op[0]);
    dg->add(dg->block_insn(b, 0), DG_BEFORE, 0, mine, n);
}

static void thread_end(DgThread *t, void *data)
{
    Thread *th = dg->thread_data(t, data, sizeof *th);

    put_interval(data, t);
    pthread_mutex_lock(&lock);
    threads_remove(&threads, &th->known);
    pthread_mutex_unlock(&lock);
    if (th->f)
        dg->file_close(data, th->f);
    th->f = NULL;
}

static void thread_start(DgThread *t, void *data)
{
    Thread *th = dg->thread_data(t, data, sizeof *th);

    pthread_mutex_lock(&lock);
    threads_add(&threads, &th->known, t);
    pthread_mutex_unlock(&lock);
}

/* Other threads end with the process. */
static void finish(void *data)
{
    while (threads.first)
        thread_end(threads.first->t, data);
}

static void forked(void *data)
{
    threads_forked(&threads);
    pthread_mutex_init(&lock, NULL); /* another thread of the parent may have had it */
}

static int start(DgHost *h)
{
    const char *n = dg->option(h, "interval");

    if (n && (interval = strtoull(n, NULL, 10)) == 0) {
        dg->fail(h, "interval=%s is no number of instructions", n);
        return 1;
    }
    done = dg->cell_new(h, DG_SUM, 1);
    dg->on_translate(h, translate, h);
    dg->on_thread_start(h, thread_start, h);
    dg->on_thread_end(h, thread_end, h);
    dg->on_fork(h, forked, h);
    dg->on_finish(h, finish, h);
    return 0;
}

DG_TOOL("bbv", "basic-block vectors for SimPoint", start,
        "interval=N  instructions; default 100000000\n"
        "out=FILE    FILE.THREAD is written (%p: the process id); default bbv.out")
