/*
 * syscalls: every system call with its arguments and result, as text or, with `json`, one object a line; and signals.
 */
#include "dragoman/plugin.h"

#include <stdio.h>
#include <string.h>

static bool json;
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

static void after(DgThread *t, void *data, const DgSyscall *s)
{
    if (!wanted(s->name))
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
    if (json)
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
    only = dg->option(h, "only");
    dg->on_syscall(h, NULL, after, h, true);
    dg->on_signal(h, on_signal, h);
    return 0;
}

DG_TOOL("syscalls", "system calls and signals, as text or JSON", start,
        "json      one JSON object a line\n"
        "only=A:B  these calls alone\n"
        "out=FILE  where to write (%p: the process id); default stderr")
