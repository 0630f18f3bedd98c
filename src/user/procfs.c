#include "user/procfs.h"

#include "base/check.h"
#include "user/path.h"
#include "user/procfs_files.h"
#include "user/ptrace.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Files of a process. */
static const struct {
    const char *name;    /* below its directory; one that ends in a slash: all in that directory */
    ProcWriter *write;
    bool needs_host;     /* starts from the host's file of that name */
    bool of_others;      /* also of other guests; what it is not, the host's kernel knows itself */
} entries[] = {
    { "cmdline", procfs_cmdline, false, true },
    { "environ", procfs_environ, false, true },
    { "auxv", procfs_auxv, false, true },
    { "maps", procfs_maps, true, true },
    { "smaps", procfs_smaps, true, true },
    { "syscall", procfs_syscall, true, true },
    { "stat", procfs_stat, true, false },
    { "status", procfs_status, true, true },
    { "limits", procfs_limits, true, false },
    { "fdinfo/", procfs_fdinfo, true, false },
};

#define NENTRIES (sizeof entries / sizeof entries[0])

/* Files of the whole machine. */
static const struct {
    const char *path;
    ProcWriter *write;
} machine[] = {
    { "/proc/cpuinfo", procfs_cpuinfo },
    { "/proc/sys/kernel/arch", procfs_arch },
    { "/proc/sys/kernel/osrelease", procfs_osrelease },
};

/* --- which file is meant ------------------------------------------------------------------------------------------ */

/* A file in a process's directory. */
typedef struct Place {
    int pid;             /* 0: this process */
    int tid;
    const char *name;    /* below the directory; NULL: it is in none */
} Place;

static Place find_place(UserThread *t, const char *path)
{
    Place at = { .tid = t->p->pid };
    const char *p = path + 6; /* after "/proc/" */
    char *end;
    if (strncmp(p, "self/", 5) == 0) {
        p += 5;
    } else if (strncmp(p, "thread-self/", 12) == 0) {
        p += 12;
        at.tid = t->tid;
    } else {
        long pid = strtol(p, &end, 10);
        if (!isdigit((unsigned char)*p) || *end != '/')
            return at;
        at.pid = pid == t->p->pid ? 0 : (int)pid;
        at.tid = (int)pid;
        p = end + 1;
    }
    if (strncmp(p, "task/", 5) == 0) {
        long tid = strtol(p + 5, &end, 10);
        if (end != p + 5 && *end == '/') {
            p = end + 1;
            at.tid = (int)tid;
        }
    }
    at.name = p;
    return at;
}

/* Whether the last component is a name that may be ours in /proc: others need no look at where they are. */
static bool may_be_ours(const char *path)
{
    const char *base = strrchr(path, '/');
    base = base ? base + 1 : path;
    if (strcmp(base, "exe") == 0 || strcmp(base, "mem") == 0)
        return true;
    for (size_t i = 0; i < NENTRIES; i++)
        if (strcmp(base, entries[i].name) == 0)
            return true;
    for (size_t i = 0; i < sizeof machine / sizeof machine[0]; i++)
        if (strcmp(base, strrchr(machine[i].path, '/') + 1) == 0)
            return true;
    return false;
}

/* `path` from the root, when it is in /proc and may be ours; else NULL. `buf` is for a relative one. */
static const char *in_proc(UserThread *t, int dir, const char *path, char buf[PATH_MAX])
{
    char link[40] = "/proc/self/cwd";
    if (path[0] == '/')
        return strncmp(path, "/proc/", 6) == 0 ? path : NULL;
    if (!may_be_ours(path))
        return NULL;
    if (dir != AT_FDCWD)
        snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
    const uint64_t arg[6] = { (uint64_t)AT_FDCWD, (uintptr_t)link, (uintptr_t)buf, PATH_MAX - 1 };
    int64_t n = host_call_out(t, SYS_readlinkat, arg, buf, PATH_MAX);
    if (n < 5 || strncmp(buf, "/proc", 5) != 0 || (n > 5 && buf[5] != '/') || n + (int64_t)strlen(path) + 2 > PATH_MAX)
        return NULL;
    buf[n] = '/';
    strcpy(buf + n + 1, path);
    return buf;
}

/* The two names of the program that `v` is about. */
static void set_exe_names(const UserProc *p, ProcExe *out)
{
    memcpy(out->host, p->exe, sizeof out->host);
    memcpy(out->guest, p->exe_guest, sizeof out->guest);
}

bool procfs_exe(UserThread *t, int dir, const char *path, ProcExe *out)
{
    char buf[PATH_MAX];
    ProcView v;
    const char *full = in_proc(t, dir, path, buf);
    if (!full)
        return false;
    Place at = find_place(t, full);
    if (!at.name || strcmp(at.name, "exe") != 0)
        return false;
    if (at.pid == 0) {
        set_exe_names(t->p, out);
        return true;
    }
    if (!procfs_other_open(t, at.pid, &v))
        return false;
    set_exe_names(v.p, out);
    procfs_other_close(&v);
    return true;
}

/* --- making files ------------------------------------------------------------------------------------------------- */

static void add_range(void *ctx, const MmRange *r)
{
    ProcView *v = ctx;
    if (v->nranges % 64 == 0) {
        v->range = realloc((MmRange *)v->range, (v->nranges + 64) * sizeof *v->range);
        CHECK(v->range != NULL);
    }
    ((MmRange *)v->range)[v->nranges++] = *r;
}

/* The name of a made file in memory: the process that has opened it, and its path. */
#define MADE "dragoman:%d:%s"

/* Fill `fd`, which is empty, with what `write` says; its reader stands where it stood. */
static bool fill(const ProcView *v, int fd, ProcWriter *write, FILE *host)
{
    off_t at = lseek(fd, 0, SEEK_CUR);
    int copy = dup(fd);
    FILE *f = copy < 0 ? NULL : fdopen(copy, "w");
    if (f) {
        lseek(fd, 0, SEEK_SET);
        write(v, f, host);
        fclose(f);
        lseek(fd, at, SEEK_SET);
    } else if (copy >= 0) {
        close(copy);
    }
    return f;
}

/* Make a file of what `write` says, or fill `fd` again when that is no -1; its descriptor is the guest's. */
static int64_t make_file(const ProcView *v, const char *path, ProcWriter *write, bool needs_host, int flags, int fd)
{
    char name[128];
    FILE *host = needs_host ? fopen(path, "re") : NULL;
    if (needs_host && !host)
        return -errno;
    snprintf(name, sizeof name, MADE, v->t->p->pid, path);
    bool again = fd >= 0;
    if (!again)
        fd = memfd_create(name, flags & O_CLOEXEC ? MFD_CLOEXEC : 0);
    bool ok = fd >= 0 && (!again || ftruncate(fd, 0) == 0) && fill(v, fd, write, host);
    if (host)
        fclose(host);
    if (!ok && fd >= 0 && !again)
        close(fd);
    return ok ? fd : -EMFILE;
}

static int64_t open_entry(UserThread *t, const Place *at, const char *path, size_t i, int flags, int again)
{
    if ((flags & O_ACCMODE) != O_RDONLY)
        return -EACCES;
    ProcView v = { .t = t, .p = t->p, .tid = at->tid, .mem = -1 };
    if (at->pid == 0)
        mm_each(t->p->mm, add_range, &v);
    else if (!entries[i].of_others || !procfs_other_open(t, at->pid, &v))
        return -ENXIO;
    v.tid = at->tid;
    int64_t fd = make_file(&v, path, entries[i].write, entries[i].needs_host, flags, again);
    t->p->made_proc = true;
    if (at->pid == 0)
        free((MmRange *)v.range);
    else
        procfs_other_close(&v);
    return fd;
}

static bool is_entry(const char *name, const char *entry)
{
    size_t n = strlen(entry);
    return entry[n - 1] == '/' ? strncmp(name, entry, n) == 0 && name[n] : strcmp(name, entry) == 0;
}

/* Which entry it is; NENTRIES: none. */
static size_t find_entry(const Place *at)
{
    size_t i = at->name ? 0 : NENTRIES;
    while (i < NENTRIES && !is_entry(at->name, entries[i].name))
        i++;
    return i;
}

int64_t procfs_open(UserThread *t, int dir, const char *name_in_dir, int flags)
{
    char buf[PATH_MAX];
    const char *path = in_proc(t, dir, name_in_dir, buf);
    if (!path)
        return -ENXIO;
    const ProcView whole = { .t = t, .p = t->p, .mem = -1 };
    for (size_t i = 0; i < sizeof machine / sizeof machine[0]; i++)
        if (strcmp(path, machine[i].path) == 0)
            return make_file(&whole, path, machine[i].write, true, flags, -1); /* there where the kernel has it */
    Place at = find_place(t, path);
    if (at.name && strcmp(at.name, "mem") == 0 && (flags & O_ACCMODE) != O_RDONLY)
        t->p->wrote_mem = true;
    size_t i = find_entry(&at);
    return i < NENTRIES ? open_entry(t, &at, path, i, flags, -1) : -ENXIO;
}

static void as_host(const ProcView *v, FILE *f, FILE *host)
{
    for (int ch; (ch = getc(host)) != EOF;)
        putc(ch, f);
}

/*
 * What the kernel shows from the start again is as things are by then. When the process is gone, and for another process or
 * thread than has opened it, the file stays as it was.
 */
void procfs_rewound(UserThread *t, int fd)
{
    char link[PATH_MAX], path[PATH_MAX];
    int pid;
    if (!procfs_fd_link(t, fd, link, sizeof link) || sscanf(link, "/memfd:dragoman:%d:%4095s", &pid, path) != 2 ||
        pid != t->p->pid || strncmp(path, "/proc/", 6) != 0 || strncmp(path, "/proc/thread-self/", 18) == 0)
        return;
    Place at = find_place(t, path);
    size_t i = find_entry(&at);
    const ProcView none = { .t = t, .p = t->p, .mem = -1 };
    if (i < NENTRIES && open_entry(t, &at, path, i, O_RDONLY, fd) == -ENXIO) /* a guest no more: a zombie */
        make_file(&none, path, as_host, true, O_RDONLY, fd);
}

/* The process whose directory of threads `fd` is; 0: it is none. */
static int tasks_of(UserThread *t, int fd)
{
    char to[64];
    int pid, end = 0;

    if (!procfs_fd_link(t, fd, to, sizeof to) || sscanf(to, "/proc/%d/task%n", &pid, &end) != 1 || end == 0 || to[end])
        return 0;
    return pid;
}

/* The translator's own thread number n there; 0: there is no such thread. */
static int hidden_task(UserThread *t, int pid, unsigned n)
{
    int32_t tid = 0;

    if (pid == t->p->pid)
        return engine_background_tid(t->p->engine, n);
    uint64_t table = n == 0 ? ptrace_table_of(t, pid, NULL) : 0;
    return table && ptrace_read(t, pid, &tid, table + offsetof(PtraceTable, background_tid), sizeof tid) ? tid : 0;
}

static size_t hide_one(UserThread *t, int tid, uint64_t va, size_t size)
{
    struct { uint64_t ino, off; uint16_t len; uint8_t type; char name[21]; } d;
    size_t head = offsetof(__typeof__(d), name);
    char rest[4096];

    if (!tid)
        return size;
    for (size_t at = 0; at + head < size; at += d.len) {
        memset(&d, 0, sizeof d);
        size_t n = size - at < sizeof d - 1 ? size - at : sizeof d - 1;
        if (!guest_read(t->cpu, &d, va + at, n) || d.len < head)
            break;
        if (atoi(d.name) != tid)
            continue;
        size_t end = at + d.len;
        for (size_t k = end; k < size; k += n) { /* the other entries close up */
            n = size - k < sizeof rest ? size - k : sizeof rest;
            if (!guest_read(t->cpu, rest, va + k, n) || !guest_write(t->cpu, va + k - d.len, rest, n))
                return size;
        }
        return size - d.len;
    }
    return size;
}

size_t procfs_hide(UserThread *t, int fd, uint64_t va, size_t size)
{
    int pid = tasks_of(t, fd), gone[GONE_MAX];
    for (unsigned n = 0; pid && n < ENGINE_BACKGROUND; n++)
        size = hide_one(t, hidden_task(t, pid, n), va, size);
    for (unsigned n = pid == t->p->pid ? threads_ended(t->p, gone) : 0; n > 0; n--)
        size = hide_one(t, gone[n - 1], va, size);
    return size;
}
