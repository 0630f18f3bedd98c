#include "user/path.h"

#include "user/procfs.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>

#define MAX_LINKS 40 /* as the kernel's */

static const char *const host_owned[] = {
    "/proc", "/sys", "/dev", "/run", "/tmp", "/var/tmp", "/home", "/root", "/mnt", "/media", "/srv",
};

static bool is_host_owned(const char *path)
{
    for (size_t i = 0; i < sizeof host_owned / sizeof host_owned[0]; i++)
        if (strcmp(path, host_owned[i]) == 0)
            return true;
    return false;
}

static bool is_below(const char *path, const char *dir)
{
    size_t n = strlen(dir);
    return strncmp(path, dir, n) == 0 && (path[n] == '/' || path[n] == 0);
}

/* Whether a whole system's path is never the host's. */
static bool is_guest_owned(const char *path)
{
    static const char *const shared[] = { "/usr/bin", "/usr/sbin", "/usr/share", "/usr/src", "/usr/games", "/usr/local" };
    if (is_below(path, "/lib") || is_below(path, "/lib64") || is_below(path, "/usr/local/lib"))
        return true;
    if (strcmp(path, "/etc/ld.so.cache") == 0 || strcmp(path, "/etc/ld.so.preload") == 0)
        return true;
    if (!is_below(path, "/usr") || strcmp(path, "/usr") == 0)
        return false;
    for (size_t i = 0; i < sizeof shared / sizeof shared[0]; i++)
        if (is_below(path, shared[i]))
            return false;
    return true;
}

static long env_call(const PathEnv *e, long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, void *out, size_t size)
{
    const uint64_t arg[6] = { a, b, c, d };
    const NondetOut o = { out, size };
    return e->nondet->ops->syscall(e->nondet, e->tid, NULL, nr, arg, &o, out ? 1 : 0);
}

/* A lookup in progress: `done` is the part that was found in the sysroot, `rest` what is still to be looked at. */
typedef struct Walk {
    const PathEnv *env;
    char done[PATH_MAX], rest[PATH_MAX];
    unsigned links;
} Walk;

/* Join into out[PATH_MAX]; false when too long. */
static bool join(char *out, const char *a, const char *b, const char *c)
{
    int n = snprintf(out, PATH_MAX, "%s%s%s", a, b, c);
    return n >= 0 && n < PATH_MAX;
}

/* Take the next component off w->rest into comp; false at the end. *last: nothing but slashes follows. */
static bool next_component(Walk *w, char comp[NAME_MAX + 1], bool *last, bool *slash)
{
    char *p = w->rest;
    while (*p == '/')
        p++;
    size_t n = strcspn(p, "/");
    if (n == 0 || n > NAME_MAX)
        return false;
    memcpy(comp, p, n);
    comp[n] = 0;
    char *q = p + n;
    *slash = *q == '/';
    while (*q == '/')
        q++;
    *last = *q == 0;
    memmove(w->rest, q, strlen(q) + 1);
    return true;
}

static void drop_last(char *path)
{
    char *p = strrchr(path, '/');
    if (p)
        *p = 0;
}

/* Put a link's target in front of what is left. */
static int follow(Walk *w, const char *target)
{
    char rest[PATH_MAX];
    if (++w->links > MAX_LINKS)
        return -ELOOP;
    if (!join(rest, target, w->rest[0] ? "/" : "", w->rest))
        return -ENAMETOOLONG;
    if (target[0] == '/')
        w->done[0] = 0;
    memcpy(w->rest, rest, strlen(rest) + 1);
    return 0;
}

/* The path is not in the sysroot from component `comp` on: the host's, or a new entry of a directory of the sysroot. */
static int leave_sysroot(Walk *w, const char *comp, bool last, bool slash, unsigned how, char *out)
{
    char path[PATH_MAX], tail[PATH_MAX];
    if (!join(tail, "/", comp, slash ? "/" : "") || !join(path, w->done, tail, w->rest))
        return -ENAMETOOLONG;
    if (w->env->whole && is_guest_owned(path))
        return join(out, w->env->sysroot, path, "") ? 0 : -ENAMETOOLONG;
    if (last && (how & (PATH_NEW | PATH_CREATE))) {
        const char *dir = w->done[0] ? w->done : "/";
        bool there = env_call(w->env, SYS_faccessat, (uint64_t)AT_FDCWD, (uint64_t)(uintptr_t)path, 0, 0, NULL, 0) == 0 ||
                     env_call(w->env, SYS_faccessat, (uint64_t)AT_FDCWD, (uint64_t)(uintptr_t)dir, 0, 0, NULL, 0) == 0;
        if (!there)
            return join(out, w->env->sysroot, path, "") ? 0 : -ENAMETOOLONG;
    }
    memcpy(out, path, strlen(path) + 1);
    return 0;
}

static int walk(Walk *w, unsigned how, char *out)
{
    char comp[NAME_MAX + 1], host[PATH_MAX], target[PATH_MAX];
    bool last = false, slash = false;
    while (next_component(w, comp, &last, &slash)) {
        if (strcmp(comp, ".") == 0)
            continue;
        if (strcmp(comp, "..") == 0) {
            drop_last(w->done);
            continue;
        }
        size_t keep = strlen(w->done);
        if (keep + strlen(comp) + 2 > sizeof w->done)
            return -ENAMETOOLONG;
        w->done[keep] = '/';
        strcpy(w->done + keep + 1, comp);
        if (is_host_owned(w->done))
            return join(out, w->done, w->rest[0] || slash ? "/" : "", w->rest) ? 0 : -ENAMETOOLONG;
        if (!join(host, w->env->sysroot, w->done, ""))
            return -ENAMETOOLONG;
        long n = env_call(w->env, SYS_readlinkat, (uint64_t)AT_FDCWD, (uint64_t)(uintptr_t)host, (uint64_t)(uintptr_t)target,
                          sizeof target - 1, target, sizeof target);
        if (n == -EINVAL || (n >= 0 && last && !slash && (how & (PATH_NOFOLLOW | PATH_NEW))))
            continue;
        w->done[keep] = 0;
        if (n < 0)
            return leave_sysroot(w, comp, last, slash, how, out);
        target[n] = 0;
        int err = follow(w, target);
        if (err)
            return err;
    }
    return join(out, w->env->sysroot, w->done, slash || !w->done[0] ? "/" : "") ? 0 : -ENAMETOOLONG;
}

int path_resolve(const PathEnv *env, const char *guest, unsigned how, char *out)
{
    Walk w = { .env = env };
    bool relative = guest[0] != '/';
    if (!env->sysroot[0] || guest[0] == 0 || (relative && !env->cwd[0]))
        return join(out, guest, "", "") ? 0 : -ENAMETOOLONG;
    if (!join(w.rest, relative ? env->cwd : "", relative ? "/" : "", guest))
        return -ENAMETOOLONG;
    return walk(&w, how, out);
}

int64_t path_lookup(UserThread *t, int dir, const char *guest, unsigned how, char *out)
{
    UserProc *p = t->p;
    ProcExe exe;
    if (!(how & PATH_NOFOLLOW) && procfs_exe(t, dir, guest, &exe))
        return join(out, exe.host, "", "") ? 0 : -ENAMETOOLONG;
    if (guest[0] != '/' && (dir != AT_FDCWD || !p->cwd[0]))
        return join(out, guest, "", "") ? 0 : -ENAMETOOLONG;
    char cwd[PATH_MAX];
    cwd[0] = 0;
    if (guest[0] != '/') {
        pthread_mutex_lock(&p->lock);
        memcpy(cwd, p->cwd, strlen(p->cwd) + 1);
        pthread_mutex_unlock(&p->lock);
    }
    const PathEnv env = { p->sysroot, cwd, p->whole_sysroot, p->nondet, t->tid };
    return path_resolve(&env, guest, how, out);
}

int64_t path_read(UserThread *t, uint64_t va, char *out)
{
    ssize_t n = guest_strlen(t->cpu, va, PATH_MAX);
    if (n < 0 || !guest_read(t->cpu, out, va, (size_t)n + 1)) {
        uint8_t byte;
        return guest_read(t->cpu, &byte, va + PATH_MAX - 1, 1) && guest_read(t->cpu, out, va, PATH_MAX) ? -ENAMETOOLONG : -EFAULT;
    }
    return n >= PATH_MAX ? -ENAMETOOLONG : 0;
}

int64_t path_arg(UserThread *t, int dir, uint64_t va, unsigned how, char *out)
{
    char guest[PATH_MAX];
    int64_t err = path_read(t, va, guest);
    return err ? err : path_lookup(t, dir, guest, how, out);
}

const char *path_guest_name(const UserProc *p, const char *host)
{
    size_t n = strlen(p->sysroot);
    if (n == 0 || strncmp(host, p->sysroot, n) != 0 || (host[n] != '/' && host[n] != 0))
        return host;
    return host[n] ? host + n : "/";
}

void path_note_cwd(UserProc *p, int tid)
{
    char host[PATH_MAX];
    const uint64_t arg[6] = { (uint64_t)(uintptr_t)host, sizeof host };
    const NondetOut out = { host, sizeof host };
    p->cwd[0] = 0;
    if (!p->sysroot[0] || p->nondet->ops->syscall(p->nondet, tid, NULL, SYS_getcwd, arg, &out, 1) < 0)
        return;
    const char *guest = path_guest_name(p, host);
    if (guest != host || strcmp(host, "/") == 0)
        memcpy(p->cwd, guest, strlen(guest) + 1);
}
