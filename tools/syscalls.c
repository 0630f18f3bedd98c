/*
 * syscalls: every system call with its arguments and result, as text or, with `json`, one object a line; and signals. With `trace`
 * when each began and how long it took, in Chrome's Trace Event Format, which Perfetto and other viewers of timelines read: an
 * array of events, X for a call, i for a signal, M for names.
 */
#include "dragoman/plugin.h"

#include "threads.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static bool json, trace;
static const char *only; /* "openat:read": these calls alone */

static bool wanted(const char *name)
{
    size_t n = name ? strlen(name) : 0;

    for (const char *p = only; p; p = strchr(p, ':') ? strchr(p, ':') + 1 : NULL)
        if (strcspn(p, ":") == n && memcmp(p, name, n) == 0)
            return true;
    return !only;
}

/* Appended at *at, quoted as JSON has it. */
static void quote(char *buf, size_t len, size_t *at, const char *text)
{
    for (; text && *text && *at + 8 < len; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            *at += (size_t)snprintf(buf + *at, len - *at, "\\%c", c);
        else if (c < 0x20 || c >= 0x7f)
            *at += (size_t)snprintf(buf + *at, len - *at, "\\u%04x", c);
        else
            buf[(*at)++] = (char)c;
    }
    buf[*at] = 0;
}

static void put_json(DgHost *h, DgThread *t, const DgSyscall *s)
{
    char text[4096];
    size_t n = 0;

    quote(text, sizeof text, &n, s->text);
    dg->print(h,
              "{\"thread\":%d,\"pc\":%llu,\"number\":%u,\"name\":%s%s%s,\"args\":[%llu,%llu,%llu,%llu,%llu,%llu],"
              "\"result\":%lld,\"text\":\"%s\"}\n",
              dg->thread_id(t), (unsigned long long)s->pc, s->number, s->name ? "\"" : "", s->name ? s->name : "null",
              s->name ? "\"" : "", (unsigned long long)s->arg[0], (unsigned long long)s->arg[1],
              (unsigned long long)s->arg[2], (unsigned long long)s->arg[3], (unsigned long long)s->arg[4],
              (unsigned long long)s->arg[5], (long long)s->result, text);
}

/* --- timelines ----------------------------------------------------------------------------------------------------- */

/* A call that a thread is in. */
typedef struct Open {
    int pid, tid;
    uint64_t began;   /* ns; 0: none */
    const char *name;
} Open;

#define OPEN_MAX 4

typedef struct Thread {
    ToolThread known;
    Open open[OPEN_MAX]; /* its own, and those of children of vfork, which run in its place while it is in the call that makes them */
} Thread;

static ToolThreads threads;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of threads */
static char *begun; /* the file whose array this process began, and ends; "": stderr; NULL: its parent's */

static uint64_t now(void)
{
    struct timespec at;

    clock_gettime(CLOCK_MONOTONIC, &at); /* one for all processes of a machine, so that their files fit together */
    return (uint64_t)at.tv_sec * 1000000000 + (uint64_t)at.tv_nsec;
}

static void put_call(DgHost *h, const Open *o, const DgSyscall *s)
{
    uint64_t began = o->began, end = now();
    char text[4096] = "", args[4400] = "";
    size_t n = 0;

    if (s) {
        quote(text, sizeof text, &n, s->text);
        snprintf(args, sizeof args, ",\"args\":{\"call\":\"%s\",\"result\":%lld}", text, (long long)s->result);
    }
    dg->print(h, ",{\"ph\":\"X\",\"cat\":\"syscall\",\"name\":\"%s\",\"pid\":%d,\"tid\":%d,\"ts\":%llu.%03llu,\"dur\":%llu.%03llu%s}\n",
              o->name ? o->name : "unknown", o->pid, o->tid, (unsigned long long)(began / 1000), (unsigned long long)(began % 1000),
              (unsigned long long)((end - began) / 1000), (unsigned long long)((end - began) % 1000), args);
}

static void put_signal(DgHost *h, DgThread *t, const DgSignal *s)
{
    uint64_t at = now();

    dg->print(h,
              ",{\"ph\":\"i\",\"s\":\"t\",\"cat\":\"signal\",\"name\":\"signal %d\",\"pid\":%d,\"tid\":%d,\"ts\":%llu.%03llu,"
              "\"args\":{\"code\":%d,\"addr\":\"0x%llx\",\"pc\":\"0x%llx\"}}\n",
              s->number, dg->pid(h), dg->thread_id(t), (unsigned long long)(at / 1000), (unsigned long long)(at % 1000), s->code,
              (unsigned long long)s->addr, (unsigned long long)s->pc);
}

/* The array, with the process's name, unless the file is one that the parent of a fork writes to as well. */
static void begin_array(DgHost *h)
{
    const char *path = dg->output(h), *program = dg->program(h), *slash = program ? strrchr(program, '/') : NULL;
    char name[512];
    size_t n = 0;

    quote(name, sizeof name, &n, slash ? slash + 1 : program);
    bool same = begun && strcmp(begun, path ? path : "") == 0;
    free(begun);
    begun = same ? NULL : strdup(path ? path : "");
    dg->print(h, "%s{\"ph\":\"M\",\"name\":\"process_name\",\"pid\":%d,\"args\":{\"name\":\"%s\"}}\n", same ? "," : "[", dg->pid(h), name);
}

static bool before(DgThread *t, void *data, DgSyscall *s)
{
    Thread *th = dg->thread_data(t, data, sizeof *th);
    int tid = dg->thread_id(t);

    pthread_mutex_lock(&lock);
    if (threads_add(&threads, &th->known, t))
        memset(th->open, 0, sizeof th->open);
    pthread_mutex_unlock(&lock);
    for (unsigned k = 0; k < OPEN_MAX; k++)
        if (!th->open[k].began || th->open[k].tid == tid) {
            th->open[k] = (Open){dg->pid(data), tid, now(), s->name};
            break;
        }
    return false;
}

/* The thread's own call is over, and so are those that its children did not come back from; s NULL: nor did it from its own. */
static void over(DgHost *h, DgThread *t, const DgSyscall *s)
{
    Thread *th = dg->thread_data(t, h, sizeof *th);
    Open own = {dg->pid(h), dg->thread_id(t), now(), s ? s->name : NULL}; /* of a forked child, which has not made the call that it returns from */
    unsigned n = 0;

    while (n < OPEN_MAX && th->open[n].began && th->open[n].tid != own.tid)
        n++;
    if (n < OPEN_MAX && th->open[n].began)
        own = th->open[n];
    else if (!s)
        return;
    for (unsigned k = OPEN_MAX; k-- > n + 1;)
        if (th->open[k].began && wanted(th->open[k].name))
            put_call(h, &th->open[k], NULL);
    if (wanted(own.name))
        put_call(h, &own, s);
    memset(th->open + n, 0, (OPEN_MAX - n) * sizeof *th->open);
}

/* A call that it does not come back from. */
static void thread_end(DgThread *t, void *data)
{
    Thread *th = dg->thread_data(t, data, sizeof *th);

    over(data, t, NULL);
    pthread_mutex_lock(&lock);
    threads_remove(&threads, &th->known);
    pthread_mutex_unlock(&lock);
}

static void finish(void *data)
{
    while (threads.first) /* they wait in their calls until the process's end */
        thread_end(threads.first->t, data);
    if (begun)
        dg->print(data, "]\n");
}

static void forked(void *data)
{
    threads_forked(&threads);
    pthread_mutex_init(&lock, NULL); /* another thread of the parent may have had it */
    begin_array(data);
}

static void start_trace(DgHost *h)
{
    dg->on_thread_end(h, thread_end, h);
    dg->on_finish(h, finish, h);
    dg->on_fork(h, forked, h);
    begin_array(h);
}

/* --- events -------------------------------------------------------------------------------------------------------- */

static void after(DgThread *t, void *data, const DgSyscall *s)
{
    if (trace)
        over(data, t, s);
    if (trace || !wanted(s->name))
        return;
    if (json)
        put_json(data, t, s);
    else
        dg->print(data, "[%d] %s\n", dg->thread_id(t), s->text);
}

static void on_signal(DgThread *t, void *data, const DgSignal *s)
{
    if (only)
        return;
    if (trace)
        put_signal(data, t, s);
    else if (json)
        dg->print(data, "{\"thread\":%d,\"pc\":%llu,\"signal\":%d,\"code\":%d,\"addr\":%llu,\"handler\":%llu}\n",
                  dg->thread_id(t), (unsigned long long)s->pc, s->number, s->code, (unsigned long long)s->addr,
                  (unsigned long long)s->handler);
    else
        dg->print(data, "[%d] --- signal %d code %d addr 0x%llx ---\n", dg->thread_id(t), s->number, s->code,
                  (unsigned long long)s->addr);
}

static int start(DgHost *h)
{
    json = dg->option(h, "json") != NULL;
    trace = dg->option(h, "trace") != NULL;
    only = dg->option(h, "only");
    dg->on_syscall(h, trace ? before : NULL, after, h, true);
    dg->on_signal(h, on_signal, h);
    if (trace)
        start_trace(h);
    return 0;
}

DG_TOOL("syscalls", "system calls and signals, as text, JSON or a timeline", start,
        "json      one JSON object a line\n"
        "trace     when and how long: a timeline in Chrome's Trace Event Format, for Perfetto\n"
        "only=A:B  these calls alone\n"
        "out=FILE  where to write (%p: the process id); default stderr")
