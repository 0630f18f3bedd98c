#include "user/procfs.h"

#include "base/check.h"
#include "user/path.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The part of a path in /proc below this process's own directory, or NULL when it is somebody else's. */
static const char *own_entry(UserThread *t, const char *path)
{
    const char *p = path + 6;
    if (strncmp(p, "self/", 5) == 0) {
        p += 5;
    } else if (strncmp(p, "thread-self/", 12) == 0) {
        p += 12;
    } else {
        char *end;
        long pid = strtol(p, &end, 10);
        if (!isdigit((unsigned char)*p) || pid != t->p->pid || *end != '/')
            return NULL;
        p = end + 1;
    }
    if (strncmp(p, "task/", 5) == 0) {
        char *end;
        strtol(p + 5, &end, 10);
        if (end != p + 5 && *end == '/')
            p = end + 1;
    }
    return p;
}

/* Whether the last component is a name that may be ours in /proc: others need no look at where they are. */
static bool may_be_ours(const char *path)
{
    static const char *const names[] = { "exe", "cpuinfo", "cmdline", "environ", "auxv", "maps", "stat", "status" };
    const char *base = strrchr(path, '/');
    base = base ? base + 1 : path;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(base, names[i]) == 0)
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

bool procfs_is_exe(UserThread *t, int dir, const char *path)
{
    char buf[PATH_MAX];
    const char *full = in_proc(t, dir, path, buf), *p = full ? own_entry(t, full) : NULL;
    return p && strcmp(p, "exe") == 0;
}

/* --- the files ------------------------------------------------------------------------------------------------------ */

typedef void Writer(UserThread *t, FILE *f, FILE *host);

static void copy_guest(UserThread *t, FILE *f, uint64_t start, uint64_t end)
{
    char buf[4096];
    while (start < end) {
        size_t n = end - start < sizeof buf ? end - start : sizeof buf;
        if (!guest_read(t->cpu, buf, start, n))
            return;
        fwrite(buf, 1, n, f);
        start += n;
    }
}

static void write_cmdline(UserThread *t, FILE *f, FILE *host)
{
    copy_guest(t, f, t->p->arg_start, t->p->arg_end);
}

static void write_environ(UserThread *t, FILE *f, FILE *host)
{
    copy_guest(t, f, t->p->env_start, t->p->env_end);
}

static void write_auxv(UserThread *t, FILE *f, FILE *host)
{
    copy_guest(t, f, t->p->auxv_start, t->p->auxv_end);
}

/* One line of the host's map, cut to what the guest owns of it. */
typedef struct HostLine {
    uint64_t start, end;
    uint64_t offset, inode;
    char dev[16], path[PATH_MAX];
    char shared;
} HostLine;

typedef struct Ranges {
    MmRange *r;
    size_t n, cap;
} Ranges;

static void add_range(void *ctx, const MmRange *r)
{
    Ranges *a = ctx;
    if (a->n == a->cap) {
        a->cap = a->cap ? a->cap * 2 : 64;
        a->r = realloc(a->r, a->cap * sizeof *a->r);
        CHECK(a->r != NULL);
    }
    a->r[a->n++] = *r;
}

static bool read_host_line(FILE *host, HostLine *h)
{
    char line[PATH_MAX + 128], perm[8];
    if (!fgets(line, sizeof line, host))
        return false;
    int at = 0;
    h->path[0] = 0;
    if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s %" SCNx64 " %15s %" SCNu64 " %n", &h->start, &h->end, perm, &h->offset, h->dev,
               &h->inode, &at) < 6)
        return false;
    h->shared = perm[3];
    if (at > 0) {
        line[strcspn(line, "\n")] = 0;
        snprintf(h->path, sizeof h->path, "%s", line + at);
    }
    return true;
}

static const char *range_name(const MmRange *r, const HostLine *h, const UserProc *p)
{
    switch (r->kind) {
    case MM_HEAP: return "[heap]";
    case MM_STACK: return "[stack]";
    case MM_VDSO: return "[vdso]";
    default: return h->path[0] == '/' ? path_guest_name(p, h->path) : "";
    }
}

static void print_range(UserThread *t, FILE *f, const MmRange *r, const HostLine *h)
{
    uint64_t start = r->start > h->start ? r->start : h->start, end = r->end < h->end ? r->end : h->end;
    const char *name = range_name(r, h, t->p);
    int n = fprintf(f, "%08" PRIx64 "-%08" PRIx64 " %c%c%c%c %08" PRIx64 " %s %" PRIu64 " ", start, end,
                    r->prot & PROT_READ ? 'r' : '-', r->prot & PROT_WRITE ? 'w' : '-', r->prot & PROT_EXEC ? 'x' : '-',
                    h->shared, h->inode ? h->offset + (start - h->start) : 0, h->dev, h->inode);
    if (*name)
        fprintf(f, "%*s%s", n < 73 ? 73 - n : 0, "", name);
    fputc('\n', f);
}

static void write_maps(UserThread *t, FILE *f, FILE *host)
{
    Ranges a = { 0 };
    HostLine h;
    mm_each(t->p->mm, add_range, &a);
    size_t i = 0;
    while (host && read_host_line(host, &h)) {
        while (i < a.n && a.r[i].end <= h.start)
            i++;
        for (size_t k = i; k < a.n && a.r[k].start < h.end; k++)
            print_range(t, f, &a.r[k], &h);
    }
    free(a.r);
}

/* The fields of /proc/self/stat that tell where the program lies; the others are the host's. */
static void write_stat(UserThread *t, FILE *f, FILE *host)
{
    char line[2048];
    size_t n = host ? fread(line, 1, sizeof line - 1, host) : 0;
    line[n] = 0;
    char *p = strrchr(line, ')');
    if (!p)
        return;
    fwrite(line, 1, (size_t)(p + 1 - line), f);
    int field = 3;
    for (char *save, *w = strtok_r(p + 1, " \n", &save); w; w = strtok_r(NULL, " \n", &save), field++) {
        const UserProc *pr = t->p;
        uint64_t v = field == 26 ? pr->main.code_start : field == 27 ? pr->main.code_end : field == 28 ? pr->stack_start
                   : field == 45 ? pr->main.data_start : field == 46 ? pr->main.data_end : field == 47 ? mm_brk_start(pr->mm)
                   : field == 48 ? pr->arg_start : field == 49 ? pr->arg_end : field == 50 ? pr->env_start
                   : field == 51 ? pr->env_end : 0;
        if (field == 20) /* threads */
            v = strtoull(w, NULL, 10) - (engine_background_tid(t->p->engine) != 0);
        if (v)
            fprintf(f, " %" PRIu64, v);
        else
            fprintf(f, " %s", w);
    }
    fputc('\n', f);
}

/* As the host has it, but for the number of threads: the translator's own is not the guest's business. */
static void write_status(UserThread *t, FILE *f, FILE *host)
{
    char line[1024];
    unsigned n;

    while (host && fgets(line, sizeof line, host)) {
        if (sscanf(line, "Threads: %u", &n) == 1)
            fprintf(f, "Threads:\t%u\n", n - (engine_background_tid(t->p->engine) != 0));
        else
            fputs(line, f);
    }
}

static void write_cpuinfo(UserThread *t, FILE *f, FILE *host)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    t->p->abi->cpuinfo(f, t->p->cfg->engine.features, n > 0 ? (unsigned)n : 1);
}

static const struct {
    const char *name;
    Writer *write;
    bool needs_host;   /* starts from the host's file of that name */
} entries[] = {
    { "cmdline", write_cmdline, false }, { "environ", write_environ, false }, { "auxv", write_auxv, false },
    { "maps", write_maps, true }, { "stat", write_stat, true },
    { "status", write_status, true },
};

/* Make a file of what `write` says; its descriptor is the guest's. */
static int64_t make_file(UserThread *t, const char *path, Writer *write, bool needs_host, int flags)
{
    int fd = memfd_create("proc", flags & O_CLOEXEC ? MFD_CLOEXEC : 0);
    if (fd < 0)
        return -errno;
    int copy = dup(fd);
    FILE *f = copy < 0 ? NULL : fdopen(copy, "w");
    if (!f) {
        close(fd);
        return -EMFILE;
    }
    FILE *host = needs_host ? fopen(path, "re") : NULL;
    write(t, f, host);
    if (host)
        fclose(host);
    fclose(f);
    lseek(fd, 0, SEEK_SET);
    return fd;
}

int64_t procfs_open(UserThread *t, int dir, const char *name_in_dir, int flags)
{
    char buf[PATH_MAX];
    const char *path = in_proc(t, dir, name_in_dir, buf);
    if (!path)
        return -ENXIO;
    if (strcmp(path, "/proc/cpuinfo") == 0)
        return make_file(t, path, write_cpuinfo, false, flags);
    const char *name = own_entry(t, path);
    if (!name)
        return -ENXIO;
    for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++) {
        if (strcmp(name, entries[i].name) != 0)
            continue;
        if ((flags & O_ACCMODE) != O_RDONLY)
            return -EACCES;
        return make_file(t, path, entries[i].write, entries[i].needs_host, flags);
    }
    return -ENXIO;
}

/* Whether `fd` is this process's directory of threads. */
static bool is_task_dir(UserThread *t, int fd)
{
    char link[40], to[64], task[64];

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    snprintf(task, sizeof task, "/proc/%d/task", t->p->pid);
    const uint64_t arg[6] = { (uint64_t)AT_FDCWD, (uintptr_t)link, (uintptr_t)to, sizeof to - 1 };
    int64_t n = host_call_out(t, SYS_readlinkat, arg, to, sizeof to);
    if (n < 0)
        return false;
    to[n] = 0;
    return strcmp(to, task) == 0;
}

size_t procfs_hide(UserThread *t, int fd, uint64_t va, size_t size)
{
    struct { uint64_t ino, off; uint16_t len; uint8_t type; char name[21]; } d;
    int tid = engine_background_tid(t->p->engine);
    size_t head = offsetof(__typeof__(d), name);
    char rest[4096];

    if (!tid || !is_task_dir(t, fd))
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
