/*
 * flame: on which stacks of functions the instructions were executed: as folded stacks ("main;parse;next 1234", a line
 * each, for any viewer of flame graphs), or with `svg` as a picture that needs nothing else: in a browser a click shows a frame at full
 * width, and frames can be searched for (flame_svg.h).
 *
 * Instructions are counted inline, by blocks; calls and returns are calls of the tool, which keeps a tree of stacks for
 * each thread. A return goes to the frame whose return address it is, however many that skips (longjmp, exceptions).
 */
#include "dragoman/plugin.h"

#include "flame_svg.h"
#include "threads.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 4096

/* A function on one stack. */
typedef struct Node {
    uint64_t fn, self, all;
    struct Node *child, *next;
} Node;

typedef struct Frame {
    Node *node;
    uint64_t ret;
} Frame;

typedef struct Thread {
    ToolThread known;
    Node root;
    Frame frame[DEPTH_MAX];
    uint32_t depth; /* frames behind root; deeper ones are not told apart */
    uint64_t seen;  /* of the cell, when last attributed */
} Thread;

static Node total; /* of threads that are gone */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static DgCell insns;
static DgHost *self;
static bool svg;
static ToolThreads threads;

static Node *child(Node *n, uint64_t fn)
{
    Node **at = &n->child, *c;

    while (*at && (*at)->fn != fn)
        at = &(*at)->next;
    c = *at;
    if (!c) {
        c = calloc(1, sizeof *c);
        if (!c)
            return n;
        c->fn = fn;
    } else {
        *at = c->next;
    }
    c->next = n->child; /* in front: it will be called again soon */
    n->child = c;
    return c;
}

static void clear(Node *n)
{
    n->self = 0;
    for (Node *c = n->child; c; c = c->next)
        clear(c);
}

/* A new thread, or the one that a fork was called in: what it did before is its parent's to tell, but it is still on that stack. */
static void begin(Thread *th, DgThread *t)
{
    pthread_mutex_lock(&lock);
    if (threads_add(&threads, &th->known, t)) {
        clear(&th->root);
        th->seen = 0;
    }
    pthread_mutex_unlock(&lock);
}

/* What has been executed since the last call or return belongs to the function on top. */
static Thread *attribute(DgThread *t)
{
    Thread *th = dg->thread_data(t, self, sizeof *th);
    uint64_t now = dg->cell_get(t, insns);
    Node *n = th->depth ? th->frame[th->depth - 1].node : &th->root;

    if (!threads_known(&threads, &th->known))
        begin(th, t);
    n->self += now - th->seen;
    th->seen = now;
    return th;
}

static void on_call(DgThread *t, void *data, const DgEvent *ev)
{
    Thread *th = attribute(t);
    Node *n = th->depth ? th->frame[th->depth - 1].node : &th->root;

    if (th->depth < DEPTH_MAX) {
        th->frame[th->depth] = (Frame){child(n, ev->addr), ev->pc + (uint64_t)(uintptr_t)data};
        th->depth++;
    }
}

static void on_return(DgThread *t, void *data, const DgEvent *ev)
{
    Thread *th = attribute(t);

    for (uint32_t k = th->depth; k-- > 0;)
        if (th->frame[k].ret == ev->addr) {
            th->depth = k;
            break;
        }
}

static void translate(void *data, DgBlock *b)
{
    uint32_t n = dg->block_insns(b);
    DgInsn *last = dg->block_insn(b, n - 1);
    DgInsnInfo i = {.size = sizeof i};

    dg->insn_info(last, &i);
    dg->add(dg->block_insn(b, 0), DG_BEFORE, 0, insns, n);
    if (i.class_ & DG_CALL)
        dg->call(last, DG_TAKEN, 0, on_call, (void *)(uintptr_t)i.length, DG_NONE);
    if (i.class_ & DG_RETURN)
        dg->call(last, DG_TAKEN, 0, on_return, NULL, DG_NONE);
}

/* Add `from` and what it calls to `to`; its nodes are not needed any more. */
static void merge(Node *to, Node *from)
{
    to->self += from->self;
    for (Node *c = from->child, *next; c; c = next) {
        next = c->next;
        merge(child(to, c->fn), c);
        free(c);
    }
    from->child = NULL;
    from->self = 0;
}

static void thread_end(DgThread *t, void *data)
{
    Thread *th = attribute(t);

    pthread_mutex_lock(&lock);
    merge(&total, &th->root);
    th->depth = 0;
    threads_remove(&threads, &th->known);
    pthread_mutex_unlock(&lock);
}

static void forked(void *data)
{
    threads_forked(&threads);
    clear(&total);
    pthread_mutex_init(&lock, NULL); /* another thread of the parent may have had it */
}

/* --- the report ----------------------------------------------------------------------------------------------------
 *
 * Stacks may be thousands of frames deep: what these functions keep of each is small.
 */

/* The function's name; of one that has none its file's, with the address that the file gives it. */
static const char *name_of(uint64_t fn)
{
    static char name[256];
    DgSymbol s = {.size = sizeof s};
    DgImage i = {.size = sizeof i};

    if (!fn)
        return "(start)";
    if (dg->symbol_at(self, fn, &s))
        return s.name;
    for (uint32_t k = dg->image_count(self); k-- > 0;) { /* the latest at this address */
        if (dg->image(self, k, &i) && i.path && fn >= i.start && fn < i.end) {
            const char *slash = strrchr(i.path, '/');
            snprintf(name, sizeof name, "%s+0x%llx", slash ? slash + 1 : i.path, (unsigned long long)(fn - i.base));
            return name;
        }
    }
    snprintf(name, sizeof name, "0x%llx", (unsigned long long)fn);
    return name;
}

typedef struct Path {
    char *at;
    size_t len, room;
} Path;

/* False: out of memory. */
static bool put_name(Path *p, const char *name)
{
    size_t n = strlen(name);

    if (p->len + n + 2 > p->room) {
        size_t room = 2 * (p->len + n + 2);
        char *at = realloc(p->at, room);
        if (!at)
            return false;
        p->at = at;
        p->room = room;
    }
    if (p->len)
        p->at[p->len++] = ';';
    memcpy(p->at + p->len, name, n + 1);
    p->len += n;
    return true;
}

/* `p` has the callers' names. */
static void fold(const Node *n, Path *p)
{
    size_t len = p->len;

    if (!put_name(p, name_of(n->fn)))
        return;
    if (n->self)
        dg->print(self, "%s %llu\n", p->at, (unsigned long long)n->self);
    for (const Node *c = n->child; c; c = c->next)
        fold(c, p);
    p->len = len;
}

static uint64_t sum(Node *n)
{
    n->all = n->self;
    for (Node *c = n->child; c; c = c->next)
        n->all += sum(c);
    return n->all;
}

static double width(const Node *n)
{
    return SVG_WIDTH * (double)n->all / (double)total.all;
}

/* Rows of what is wide enough to be seen. */
static uint32_t height(const Node *n)
{
    uint32_t most = 0;

    for (const Node *c = n->child; c; c = c->next) {
        uint32_t h = width(c) < SVG_LEAST ? 0 : height(c);
        most = h > most ? h : most;
    }
    return most + 1;
}

static void draw(const Node *n, double x, uint32_t row)
{
    if (width(n) < SVG_LEAST)
        return;
    svg_frame(self, &(SvgFrame){.name = name_of(n->fn), .fn = n->fn, .all = n->all, .self = n->self, .of = total.all, .x = x, .w = width(n), .row = row});
    for (const Node *c = n->child; c; c = c->next) {
        draw(c, x, row + 1);
        x += width(c);
    }
}

static void finish(void *data)
{
    Path p = {0};

    while (threads.first) /* they end with the process */
        thread_end(threads.first->t, NULL);
    if (!svg) {
        fold(&total, &p);
        free(p.at);
        return;
    }
    if (!sum(&total))
        return;
    svg_begin(self, height(&total));
    draw(&total, 0, 0);
    svg_end(self);
}

static int start(DgHost *h)
{
    self = h;
    svg = dg->option(h, "svg") != NULL;
    insns = dg->cell_new(h, DG_SUM, 1);
    dg->on_translate(h, translate, h);
    dg->on_thread_end(h, thread_end, h);
    dg->on_fork(h, forked, h);
    dg->on_finish(h, finish, h);
    return 0;
}

DG_TOOL("flame", "instructions by stack: folded stacks or a flame graph", start,
        "svg       a picture instead of folded stacks\n"
        "out=FILE  where to write (%p: the process id); default stderr")
