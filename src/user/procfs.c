#include "user/procfs.h"

#include "base/check.h"
#include "user/path.h"
#include "user/ptrace.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The part of a path in /proc below the directory of a process, and which; NULL when it is not in one. */
static const char *entry_of(UserThread *t, const char *path, int *pid)
{
    const char *p = path + 6;
    *pid = t->p->pid;
    if (strncmp(p, "self/", 5) == 0) {
        p += 5;
    } else if (strncmp(p, "thread-self/", 12) == 0) {
        p += 12;
    } else {
        char *end;
        *pid = (int)strtol(p, &end, 10);
        if (!isdigit((unsigned char)*p) || *end != '/')
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
    static const char *const names[] = { "exe", "cpuinfo", "cmdline", "environ", "auxv", "maps", "smaps", "stat", "status", "mem" };
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

bool procfs_exe(UserThread *t, int dir, const char *path, bool host, char *out)
{
    int pid;
    const char *full = in_proc(t, dir, path, out), *p = full ? entry_of(t, full, &pid) : NULL;
    if (!p || strcmp(p, "exe") != 0)
        return false;
    if (pid == t->p->pid) {
        strcpy(out, host ? t->p->exe : t->p->exe_guest);
        return true;
    }
    size_t member = host ? offsetof(PtraceTable, exe) : offsetof(PtraceTable, exe_guest);
    uint64_t table = ptrace_table_of(t, pid, NULL);
    if (!table || !ptrace_read(t, pid, out, table + member, PATH_MAX) || out[0] != '/')
        return false;
    out[PATH_MAX - 1] = 0;
    return true;
}

/* --- the files ------------------------------------------------------------------------------------------------------ */

typedef void Writer(UserThread *t, FILE *f, FILE *host, int pid);

#define RANGES_MAX (1u << 20) /* of another process: more is no number of ranges */

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

static void write_cmdline(UserThread *t, FILE *f, FILE *host, int pid)
{
    copy_guest(t, f, t->p->arg_start, t->p->arg_end);
}

static void write_environ(UserThread *t, FILE *f, FILE *host, int pid)
{
    copy_guest(t, f, t->p->env_start, t->p->env_end);
}

static void write_auxv(UserThread *t, FILE *f, FILE *host, int pid)
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

/* The lines of smaps that belong to a mapping: "Size: ...", up to the next mapping, which begins with a digit in hexadecimal. */
static void read_details(FILE *host, char *buf, size_t len)
{
    size_t n = 0;
    int c;
    while ((c = fgetc(host)) != EOF) {
        ungetc(c, host);
        if (!isupper(c) || n + 1 >= len || !fgets(buf + n, (int)(len - n), host))
            break;
        n += strlen(buf + n);
    }
    buf[n] = 0;
}

/* maps, or smaps: what the host has, cut to what the guest owns. */
static void print_maps(UserThread *t, FILE *f, FILE *host, const Ranges *a)
{
    HostLine h;
    char details[4096];
    size_t i = 0;
    while (host && read_host_line(host, &h)) {
        read_details(host, details, sizeof details);
        while (i < a->n && a->r[i].end <= h.start)
            i++;
        for (size_t k = i; k < a->n && a->r[k].start < h.end; k++) {
            print_range(t, f, &a->r[k], &h);
            fputs(details, f);
        }
    }
}

static void write_maps(UserThread *t, FILE *f, FILE *host, int pid)
{
    Ranges a = { 0 };
    mm_each(t->p->mm, add_range, &a);
    print_maps(t, f, host, &a);
    free(a.r);
}

/* The fields of /proc/self/stat that tell where the program lies; the others are the host's. */
static void write_stat(UserThread *t, FILE *f, FILE *host, int pid)
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
static void write_status(UserThread *t, FILE *f, FILE *host, int pid)
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

static void write_cpuinfo(UserThread *t, FILE *f, FILE *host, int pid)
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
    { "maps", write_maps, true }, { "smaps", write_maps, true }, { "stat", write_stat, true },
    { "status", write_status, true },
};

/* Make a file of what `write` says; its descriptor is the guest's. */
static int64_t make_file(UserThread *t, const char *path, Writer *write, int pid, bool needs_host, int flags)
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
    write(t, f, host, pid);
    if (host)
        fclose(host);
    fclose(f);
    lseek(fd, 0, SEEK_SET);
    return fd;
}

/* The map of another guest process: of one that is stopped, exact. */
static void write_maps_of(UserThread *t, FILE *f, FILE *host, int pid)
{
    Ranges a = { 0 };
    uint64_t where[2], table = ptrace_table_of(t, pid, NULL);
    if (table && ptrace_read(t, pid, where, table + offsetof(PtraceTable, ranges), sizeof where)) {
        uint64_t at;
        if (ptrace_read(t, pid, &at, where[0], sizeof at) && ptrace_read(t, pid, &a.n, where[1], sizeof a.n) &&
            a.n < RANGES_MAX && (a.r = calloc(a.n + 1, sizeof *a.r)) && !ptrace_read(t, pid, a.r, at, a.n * sizeof *a.r))
            a.n = 0;
    }
    if (a.r)
        print_maps(t, f, host, &a);
    free(a.r);
}

/* A file of another process: its map is the guest's, and what is written into its memory may be code. */
static int64_t open_other(UserThread *t, int pid, const char *path, const char *name, int flags)
{
    if (strcmp(name, "mem") == 0 && (flags & O_ACCMODE) != O_RDONLY)
        t->p->wrote_mem = true;
    if ((strcmp(name, "maps") != 0 && strcmp(name, "smaps") != 0) || pid == t->p->pid || !ptrace_table_of(t, pid, NULL))
        return -ENXIO;
    return make_file(t, path, write_maps_of, pid, true, flags);
}

int64_t procfs_open(UserThread *t, int dir, const char *name_in_dir, int flags)
{
    char buf[PATH_MAX];
    int pid;
    const char *path = in_proc(t, dir, name_in_dir, buf);
    if (!path)
        return -ENXIO;
    if (strcmp(path, "/proc/cpuinfo") == 0)
        return make_file(t, path, write_cpuinfo, 0, false, flags);
    const char *name = entry_of(t, path, &pid);
    if (!name)
        return -ENXIO;
    if (pid != t->p->pid || strcmp(name, "mem") == 0)
        return open_other(t, pid, path, name, flags);
    for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++) {
        if (strcmp(name, entries[i].name) != 0)
            continue;
        if ((flags & O_ACCMODE) != O_RDONLY)
            return -EACCES;
        return make_file(t, path, entries[i].write, pid, entries[i].needs_host, flags);
    }
    return -ENXIO;
}

/* What /proc knows of a descriptor, in `to`. */
static bool read_fd_link(UserThread *t, int fd, char *to, size_t len)
{
    char link[40];

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const uint64_t arg[6] = { (uint64_t)AT_FDCWD, (uintptr_t)link, (uintptr_t)to, len - 1 };
    int64_t n = host_call_out(t, SYS_readlinkat, arg, to, len);
    if (n < 0)
        return false;
    to[n] = 0;
    return true;
}

/* The translator's own thread in the directory of threads that `fd` is; 0: it is none, or has no such thread. */
static int hidden_task(UserThread *t, int fd)
{
    char to[64];
    int pid, end = 0;
    int32_t tid = 0;

    if (!read_fd_link(t, fd, to, sizeof to) || sscanf(to, "/proc/%d/task%n", &pid, &end) != 1 || end == 0 || to[end])
        return 0;
    if (pid == t->p->pid)
        return engine_background_tid(t->p->engine);
    uint64_t table = ptrace_table_of(t, pid, NULL);
    return table && ptrace_read(t, pid, &tid, table + offsetof(PtraceTable, background_tid), sizeof tid) ? tid : 0;
}

void procfs_wrote(UserThread *t, const SysCall *c, int64_t n)
{
    char to[64];
    int pid, tid = 0, end = 0;
    static const char *const calls[] = { "write", "writev", "pwrite64", "pwritev", "pwritev2" };
    unsigned i = 0;

    while (i < sizeof calls / sizeof calls[0] && strcmp(c->d->name, calls[i]) != 0)
        i++;
    if (i == sizeof calls / sizeof calls[0] || !read_fd_link(t, (int)c->arg[0], to, sizeof to))
        return;
    if ((sscanf(to, "/proc/%d/task/%d/mem%n", &pid, &tid, &end) != 2 || end == 0) &&
        (sscanf(to, "/proc/%d/mem%n", &pid, &end) != 1 || end == 0))
        return;
    /* A position of its own, or the descriptor's, which has moved on. */
    bool placed = i >= 2 && c->arg[3] != UINT64_MAX;
    uint64_t at = placed ? c->arg[3] : (uint64_t)(HOST3(t, SYS_lseek, c->arg[0], 0, SEEK_CUR) - n);
    ptrace_code_changed(t, pid, at, (uint64_t)n);
}

size_t procfs_hide(UserThread *t, int fd, uint64_t va, size_t size)
{
    struct { uint64_t ino, off; uint16_t len; uint8_t type; char name[21]; } d;
    int tid = hidden_task(t, fd);
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
