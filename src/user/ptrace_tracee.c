/* What a tracer knows of its tracees, and how it reaches their memory. */
#include "user/ptrace.h"

#include "base/check.h"

#include <errno.h>
#include <linux/ptrace.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

/* --- the list -------------------------------------------------------------------------------------------------------- */

Tracee *tracee_find(UserThread *t, int tid, bool make)
{
    UserProc *p = t->p;
    pthread_mutex_lock(&p->lock);
    Tracee *w = p->tracees;
    while (w && w->tid != tid)
        w = w->next;
    if (!w && make) {
        w = calloc(1, sizeof *w);
        CHECK(w != NULL);
        w->tid = tid;
        w->next = p->tracees;
        p->tracees = w;
    }
    pthread_mutex_unlock(&p->lock);
    return w;
}

void tracee_forget(UserThread *t, int tid)
{
    pthread_mutex_lock(&t->p->lock);
    for (Tracee **at = &t->p->tracees; *at; at = &(*at)->next) {
        if ((*at)->tid != tid)
            continue;
        Tracee *w = *at;
        *at = w->next;
        free(w);
        break;
    }
    pthread_mutex_unlock(&t->p->lock);
}

void tracees_free(UserProc *p)
{
    while (p->tracees) {
        Tracee *next = p->tracees->next;
        free(p->tracees);
        p->tracees = next;
    }
}

/* --- memory of other processes --------------------------------------------------------------------------------------- */

static bool copy(UserThread *t, long call, int pid, void *local, uint64_t va, size_t n)
{
    struct iovec mine = { local, n }, theirs = { (void *)(uintptr_t)va, n };
    return HOST6(t, call, pid, (uintptr_t)&mine, 1, (uintptr_t)&theirs, 1, 0) == (int64_t)n;
}

bool ptrace_read(UserThread *t, int pid, void *dst, uint64_t va, size_t n)
{
    return copy(t, SYS_process_vm_readv, pid, dst, va, n);
}

bool ptrace_write(UserThread *t, int pid, uint64_t va, const void *src, size_t n)
{
    return copy(t, SYS_process_vm_writev, pid, (void *)(uintptr_t)src, va, n);
}

enum { PTRACE_CHUNK = 128 };

/* Some of a table's thread ids, from `base` on; false behind the last that was ever used. */
static bool read_tids(UserThread *t, int pid, uint64_t table, unsigned base, int32_t tid[PTRACE_CHUNK])
{
    uint32_t used;
    return ptrace_read(t, pid, &used, table + offsetof(PtraceTable, used), sizeof used) && base < used &&
           used <= PTRACE_SLOTS && ptrace_read(t, pid, tid, table + offsetof(PtraceTable, tid) + base * sizeof tid[0],
                                               PTRACE_CHUNK * sizeof tid[0]);
}

uint64_t ptrace_table_of(UserThread *t, int pid, int *slot)
{
    int32_t tid[PTRACE_CHUNK];
    uint64_t at;
    for (unsigned i = 0; (at = mm_ptrace_at(i)) != 0; i++) {
        uint64_t magic;
        if (!ptrace_read(t, pid, &magic, at, sizeof magic) || magic != PTRACE_MAGIC)
            continue;
        if (!slot)
            return at;
        for (unsigned base = 0; read_tids(t, pid, at, base, tid); base += PTRACE_CHUNK) {
            for (unsigned k = 0; k < PTRACE_CHUNK; k++) {
                if (tid[k] == pid) {
                    *slot = (int)(base + k);
                    return at;
                }
            }
        }
        return 0;
    }
    return 0;
}

static uint64_t block_at(const Tracee *w)
{
    return w->table + offsetof(PtraceTable, block) + (uint64_t)w->slot * sizeof(PtraceBlock);
}

bool tracee_block(UserThread *t, Tracee *w, PtraceBlock *b)
{
    uint64_t magic;
    if (w->table && ptrace_read(t, w->tid, &magic, w->table, sizeof magic) && magic == PTRACE_MAGIC &&
        ptrace_read(t, w->tid, b, block_at(w), sizeof *b) && b->tid == w->tid)
        return w->shown = true;
    w->table = ptrace_table_of(t, w->tid, &w->slot);
    return w->table && ptrace_read(t, w->tid, b, block_at(w), sizeof *b) && b->tid == w->tid && (w->shown = true);
}

bool tracee_put(UserThread *t, const Tracee *w, size_t offset, const void *src, size_t n)
{
    return w->table && ptrace_write(t, w->tid, block_at(w) + offset, src, n);
}

/* Every thread of the process leaves translated code soon, and looks at the list. */
static void poke_threads(UserThread *t, int pid, uint64_t table)
{
    int32_t tid[PTRACE_CHUNK];
    const uint32_t one = 1;
    for (unsigned base = 0; read_tids(t, pid, table, base, tid); base += PTRACE_CHUNK) {
        for (unsigned k = 0; k < PTRACE_CHUNK; k++) {
            uint64_t at, block = table + offsetof(PtraceTable, block) + (uint64_t)(base + k) * sizeof(PtraceBlock);
            if (tid[k] <= 0)
                continue;
            if (ptrace_read(t, pid, &at, block + offsetof(PtraceBlock, exit_request), sizeof at) && at)
                ptrace_write(t, pid, at, &one, sizeof one);
        }
    }
}

void ptrace_code_changed(UserThread *t, int pid, uint64_t va, uint64_t n)
{
    uint32_t tail;
    const uint64_t range[2] = { va, n };
    uint64_t table = n ? ptrace_table_of(t, pid, NULL) : 0;
    if (pid == t->p->pid) {
        engine_invalidate(t->p->engine, va, n);
        return;
    }
    if (!table || !ptrace_read(t, pid, &tail, table + offsetof(PtraceTable, changes_tail), sizeof tail))
        return;
    ptrace_write(t, pid, table + offsetof(PtraceTable, changes) + tail % PTRACE_CHANGES * sizeof range, range, sizeof range);
    tail++;
    ptrace_write(t, pid, table + offsetof(PtraceTable, changes_tail), &tail, sizeof tail);
    poke_threads(t, pid, table);
}

/* --- stops ----------------------------------------------------------------------------------------------------------- */

int64_t host_ptrace(UserThread *t, long request, int tid, uint64_t addr, uint64_t data)
{
    return HOST4(t, SYS_ptrace, request, tid, addr, data);
}

StopKind tracee_stopped(UserThread *t, Tracee *w, PtraceBlock *b)
{
    siginfo_t info;
    int64_t err = host_ptrace(t, PTRACE_GETSIGINFO, w->tid, 0, (uintptr_t)&info);
    if ((err && err != -EINVAL) || !tracee_block(t, w, b))
        return STOP_NONE;
    if (err == -EINVAL)
        return w->group ? STOP_GROUP : STOP_NONE;
    if (info.si_signo == SIGTRAP && info.si_code == PTRACE_CODE_STOP && b->stop)
        return STOP_SELF;
    switch (info.si_code >> 8) {
    case PTRACE_EVENT_VFORK: case PTRACE_EVENT_VFORK_DONE: case PTRACE_EVENT_EXIT:
        return STOP_EVENT;
    case PTRACE_EVENT_STOP:
        return w->group ? STOP_GROUP : STOP_NONE;
    default:
        return STOP_NONE;
    }
}

void tracee_settle(UserThread *t, Tracee *w, uint32_t status)
{
    int32_t pid = 0;
    ptrace_read(t, w->tid, &pid, block_at(w) + offsetof(PtraceBlock, pid), sizeof pid);
    TRACEE_PUT(t, w, want, status);
    HOST3(t, SYS_tgkill, pid, w->tid, SIGTRAP);
    host_ptrace(t, PTRACE_CONT, w->tid, 0, 0);
}

void tracee_settle_now(UserThread *t, Tracee *w, uint32_t status)
{
    int host;
    w->group = 0;
    tracee_settle(t, w, status);
    while (HOST4(t, SYS_wait4, w->tid, (uintptr_t)&host, __WALL, 0) == w->tid && WIFSTOPPED(host)) {
        uint32_t seen = (uint32_t)host;
        if (tracee_translate(t, w->tid, &seen))
            break;
    }
}
