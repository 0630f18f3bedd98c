/*
 * flame: on which stacks of functions the instructions were executed: as folded stacks ("main;parse;next 1234", a line
 * each, for any viewer of flame graphs), or with `svg` as a picture that needs nothing else.
 *
 * Instructions are counted inline, by blocks; calls and returns are calls of the tool, which keeps a tree of stacks for
 * each thread. A return goes to the frame whose return address it is, however many that skips (longjmp, exceptions).
 */
#include "dragoman/plugin.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 4096
#define WIDTH     1200.0
#define ROW       17

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

/* What has been executed since the last call or return belongs to the function on top. */
static Thread *attribute(DgThread *t)
{
    Thread *th = dg->thread_data(t, self, sizeof *th);
    uint64_t now = dg->cell_get(t, insns);
    Node *n = th->depth ? th->frame[th->depth - 1].node : &th->root;

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
    pthread_mutex_unlock(&lock);
}

/* --- the report ----------------------------------------------------------------------------------------------------
 */

static const char *name_of(uint64_t fn, char *buf, size_t len)
{
    DgSymbol s = {.size = sizeof s};

    if (fn && dg->symbol_at(self, fn, &s))
        snprintf(buf, len, "%s", s.name);
    else
        snprintf(buf, len, fn ? "0x%llx" : "(start)", (unsigned long long)fn);
    return buf;
}

/* `path` has the callers' names, `at` bytes of them. */
static void fold(const Node *n, char *path, size_t len, size_t at)
{
    char name[256];
    int got = snprintf(path + at, len - at, "%s%s", at ? ";" : "", name_of(n->fn, name, sizeof name));

    if (got < 0 || (size_t)got >= len - at)
        return;
    if (n->self)
        dg->print(self, "%s %llu\n", path, (unsigned long long)n->self);
    for (const Node *c = n->child; c; c = c->next)
        fold(c, path, len, at + (size_t)got);
    path[at] = 0;
}

static uint64_t sum(Node *n)
{
    n->all = n->self;
    for (Node *c = n->child; c; c = c->next)
        n->all += sum(c);
    return n->all;
}

static uint32_t height(const Node *n)
{
    uint32_t most = 0;

    for (const Node *c = n->child; c; c = c->next) {
        uint32_t h = height(c);
        most = h > most ? h : most;
    }
    return most + 1;
}

static void escape(char *to, size_t len, const char *from)
{
    size_t n = 0;

    for (; *from && n + 6 < len; from++)
        n += (size_t)snprintf(to + n, len - n,
                              *from == '<'   ? "&lt;"
                              : *from == '&' ? "&amp;"
                              : *from == '>' ? "&gt;"
                                             : "%c",
                              *from);
    to[n] = 0;
}

static void draw(const Node *n, double x, uint32_t row)
{
    double w = WIDTH * (double)n->all / (double)total.all;
    char name[256], text[512];
    uint32_t hue = (uint32_t)(n->fn * 2654435761u >> 24) % 50;
    int room = (int)(w / 7);

    if (w < 0.3)
        return;
    escape(text, sizeof text, name_of(n->fn, name, sizeof name));
    dg->print(self,
              "<g><title>%s: %llu (%.2f%%), self %llu</title><rect x='%.2f' y='%u' width='%.2f' height='%u' "
              "fill='hsl(%u,80%%,60%%)'/>",
              text, (unsigned long long)n->all, 100.0 * (double)n->all / (double)total.all, (unsigned long long)n->self,
              x, row * ROW, w, ROW - 1, hue);
    name[room < 255 ? room : 255] = 0;
    escape(text, sizeof text, name);
    if (room > 2)
        dg->print(self, "<text x='%.2f' y='%u'>%s</text>", x + 2, row * ROW + 12, text);
    dg->print(self, "</g>\n");
    for (const Node *c = n->child; c; c = c->next) {
        draw(c, x, row + 1);
        x += WIDTH * (double)c->all / (double)total.all;
    }
}

static void finish(void *data)
{
    char path[1 << 16];

    if (!svg) {
        fold(&total, path, sizeof path, 0);
        return;
    }
    if (!sum(&total))
        return;
    dg->print(self,
              "<?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg' width='%.0f' height='%u' "
              "font-family='monospace' "
              "font-size='11'>\n",
              WIDTH, height(&total) * ROW);
    draw(&total, 0, 0);
    dg->print(self, "</svg>\n");
}

static int start(DgHost *h)
{
    self = h;
    svg = dg->option(h, "svg") != NULL;
    insns = dg->cell_new(h, DG_SUM, 1);
    dg->on_translate(h, translate, h);
    dg->on_thread_end(h, thread_end, h);
    dg->on_finish(h, finish, h);
    return 0;
}

DG_TOOL("flame", "instructions by stack: folded stacks or a flame graph", start,
        "svg       a picture instead of folded stacks\n"
        "out=FILE  where to write (%p: the process id); default stderr")
