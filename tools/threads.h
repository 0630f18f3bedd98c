/*
 * The threads that a tool keeps something of: those that are still there when the process ends have no end of their own
 * (on_thread_end). All of it under the tool's lock.
 */
#ifndef TOOLS_THREADS_H
#define TOOLS_THREADS_H

#include "dragoman/plugin.h"

/* In what the tool keeps of a thread (thread_data), zeroed at first. */
typedef struct ToolThread {
    DgThread *t;             /* NULL: not listed */
    struct ToolThread *next;
    uint32_t born;           /* ToolThreads.forks when last listed, plus 1 */
} ToolThread;

typedef struct ToolThreads {
    ToolThread *first;
    uint32_t forks; /* how often this process came out of a fork */
} ToolThreads;

static inline bool threads_known(const ToolThreads *l, const ToolThread *x)
{
    return x->t && x->born == l->forks + 1;
}

/* True when what the tool keeps of it was its parent's until a fork. */
static inline bool threads_add(ToolThreads *l, ToolThread *x, DgThread *t)
{
    bool inherited = x->born && x->born != l->forks + 1;

    if (!threads_known(l, x)) {
        *x = (ToolThread){t, l->first, l->forks + 1};
        l->first = x;
    }
    return inherited;
}

static inline void threads_remove(ToolThreads *l, ToolThread *x)
{
    ToolThread **at = &l->first;

    while (*at && *at != x)
        at = &(*at)->next;
    if (*at)
        *at = x->next;
    x->t = NULL;
}

/* In the child of a fork: the others are gone. */
static inline void threads_forked(ToolThreads *l)
{
    l->first = NULL;
    l->forks++;
}

#endif
