/*
 * Other processes that run guests. The kernel's auxiliary vector of each has an entry of our own (show_arguments, user.c): the
 * address of its UserProc, which is read through /proc/PID/mem, as far as the kernel lets this process. It is believed only of
 * a process whose program is the very file that this one's is, so that its structures are laid out alike.
 */
#include "user/procfs_files.h"

#include "user/mm_set.h"

#include <elf.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RANGES_MAX 65536 /* more is taken for nonsense */

static int open_in(int pid, const char *name)
{
    char path[40];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    return open(path, O_RDONLY | O_CLOEXEC);
}

static bool runs_dragoman(int pid)
{
    char path[32];
    struct stat theirs, ours;
    snprintf(path, sizeof path, "/proc/%d/exe", pid);
    return stat(path, &theirs) == 0 && stat("/proc/self/exe", &ours) == 0 && theirs.st_dev == ours.st_dev &&
           theirs.st_ino == ours.st_ino;
}

/* The address of its UserProc; 0 when there is none. */
static uint64_t find_process(int pid)
{
    Elf64_auxv_t v[64];
    int fd = open_in(pid, "auxv");
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, v, sizeof v);
    close(fd);
    for (ssize_t i = 0; (i + 1) * (ssize_t)sizeof v[0] <= n; i++)
        if (v[i].a_type == PROCFS_AUXV_TYPE)
            return v[i].a_un.a_val;
    return 0;
}

static bool fetch(int mem, uint64_t at, void *buf, size_t n)
{
    return pread(mem, buf, n, (off_t)at) == (ssize_t)n;
}

/* Its mappings, in an array of ours. It runs on meanwhile: what does not look like a sorted set is not taken. */
static MmRange *fetch_ranges(int mem, const UserProc *p, size_t *n)
{
    MmSet set;
    if (!fetch(mem, mm_set_address((uintptr_t)p->mm), &set, sizeof set) || set.n == 0 || set.n > RANGES_MAX)
        return NULL;
    MmRange *r = calloc(set.n, sizeof *r);
    if (!r)
        return NULL;
    bool ok = fetch(mem, (uintptr_t)set.r, r, set.n * sizeof *r);
    for (size_t i = 0; ok && i < set.n; i++)
        ok = r[i].start < r[i].end && (i == 0 || r[i - 1].end <= r[i].start);
    if (!ok) {
        free(r);
        return NULL;
    }
    *n = set.n;
    return r;
}

bool procfs_other_open(UserThread *t, int pid, ProcView *v)
{
    uint64_t at = runs_dragoman(pid) ? find_process(pid) : 0;
    int mem = at ? open_in(pid, "mem") : -1;
    UserProc *p = mem < 0 ? NULL : malloc(sizeof *p);
    if (!p || !fetch(mem, at, p, sizeof *p) || !memchr(p->exe, 0, sizeof p->exe) || !memchr(p->exe_guest, 0, sizeof p->exe_guest) ||
        !memchr(p->sysroot, 0, sizeof p->sysroot)) {
        free(p);
        if (mem >= 0)
            close(mem);
        return false;
    }
    p->abi = t->p->abi; /* its pointers lead nowhere here */
    p->cfg = t->p->cfg;
    *v = (ProcView){ .t = t, .p = p, .tid = pid, .mem = mem };
    v->range = fetch_ranges(mem, p, &v->nranges);
    return true;
}

void procfs_other_close(ProcView *v)
{
    if (v->mem < 0)
        return;
    close(v->mem);
    free((MmRange *)v->range);
    free((UserProc *)v->p);
}
