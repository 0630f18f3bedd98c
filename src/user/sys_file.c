/* Files: what differs in flags and structures, and paths that are not plain lookups. */
#include "base/own_fd.h"
#include "user/path.h"
#include "user/procfs.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int64_t open_at(UserThread *t, SysCall *c, int dir, const char *guest, uint64_t flags, uint64_t mode)
{
    uint64_t host = t->p->abi->open_flags_in(flags);
    int64_t fd = procfs_open(t, dir, guest, (int)host);
    if (fd != -ENXIO)
        return fd;
    unsigned how = host & O_NOFOLLOW ? PATH_NOFOLLOW : 0;
    if (host & O_CREAT)
        how |= host & O_EXCL ? PATH_NEW : PATH_CREATE;
    int64_t err = path_lookup(t, dir, guest, how, t->path[1]);
    if (err)
        return err;
    const uint64_t arg[6] = { (uint64_t)(int64_t)dir, (uintptr_t)t->path[1], host, mode };
    return host_block(t, c, arg); /* a FIFO waits for its other end */
}

int64_t sys_openat(UserThread *t, SysCall *c)
{
    int64_t err = path_read(t, c->arg[1], t->path[0]);
    return err ? err : open_at(t, c, (int)c->arg[0], t->path[0], (uint32_t)c->arg[2], c->arg[3]);
}

/* Of a structure that may have grown since: what is beyond `known` of its `size` bytes must be zero. */
static int64_t check_tail(UserThread *t, uint64_t va, uint64_t known, uint64_t size)
{
    if (size > MM_PAGE)
        return -E2BIG;
    for (uint64_t i = known; i < size; i++) {
        uint8_t byte;
        if (!guest_read(t->cpu, &byte, va + i, 1))
            return -EFAULT;
        if (byte)
            return -E2BIG;
    }
    return 0;
}

int64_t sys_openat2(UserThread *t, SysCall *c)
{
    struct {
        uint64_t flags, mode, resolve;
    } how;
    if (c->arg[3] < sizeof how)
        return -EINVAL;
    if (!guest_read(t->cpu, &how, c->arg[2], sizeof how))
        return -EFAULT;
    int64_t err = check_tail(t, c->arg[2], sizeof how, c->arg[3]);
    if (!err)
        err = path_read(t, c->arg[1], t->path[0]);
    if (err)
        return err;
    int64_t fd = how.resolve ? -ENXIO : procfs_open(t, (int)c->arg[0], t->path[0], (int)t->p->abi->open_flags_in(how.flags));
    if (fd != -ENXIO)
        return fd;
    how.flags = t->p->abi->open_flags_in(how.flags);
    unsigned flags = how.flags & O_NOFOLLOW ? PATH_NOFOLLOW : 0;
    if (how.flags & O_CREAT)
        flags |= how.flags & O_EXCL ? PATH_NEW : PATH_CREATE;
    err = path_lookup(t, (int)c->arg[0], t->path[0], flags, t->path[1]);
    if (err)
        return err;
    const uint64_t arg[6] = { c->arg[0], (uintptr_t)t->path[1], (uintptr_t)&how, sizeof how };
    return host_block(t, c, arg);
}

/* --- descriptors ---------------------------------------------------------------------------------------------------- */

int64_t sys_lseek(UserThread *t, SysCall *c)
{
    int64_t ret = host_pass(t, c);
    if (ret == 0 && c->arg[2] == SEEK_SET && t->p->made_proc)
        procfs_rewound(t, (int)c->arg[0]);
    return ret;
}

/* Reads at an offset, the fourth argument: of a file of /proc, from its start, what it would say by then. */
static int64_t read_at(UserThread *t, SysCall *c)
{
    if (c->arg[3] == 0 && t->p->made_proc)
        procfs_rewound(t, (int)c->arg[0]);
    return host_block(t, c, c->arg);
}

int64_t sys_pread64(UserThread *t, SysCall *c)
{
    return read_at(t, c);
}

int64_t sys_preadv(UserThread *t, SysCall *c)
{
    return read_at(t, c);
}

int64_t sys_preadv2(UserThread *t, SysCall *c)
{
    return read_at(t, c);
}

/* Dragoman's own descriptors are not the guest's to close, nor to replace: that number is beyond what is allowed. */
int64_t sys_close(UserThread *t, SysCall *c)
{
    return own_fd_is((int)c->arg[0]) ? -EBADF : host_pass(t, c);
}

int64_t sys_dup3(UserThread *t, SysCall *c)
{
    if (own_fd_is((int)c->arg[1]))
        return -EBADF;
    c->arg[2] = t->p->abi->open_flags_in((uint32_t)c->arg[2]);
    return host_pass(t, c);
}

int64_t sys_close_range(UserThread *t, SysCall *c)
{
    uint64_t first = (uint32_t)c->arg[0], last = (uint32_t)c->arg[1];
    if (first > last)
        return -EINVAL;
    for (int own; (own = own_fd_from((unsigned)first)) >= 0 && (uint64_t)own <= last; first = (uint64_t)own + 1) {
        int64_t err = (uint64_t)own > first ? HOST3(t, SYS_close_range, first, own - 1, c->arg[2]) : 0;
        if (err)
            return err;
    }
    return first <= last ? HOST3(t, SYS_close_range, first, last, c->arg[2]) : 0;
}

int64_t sys_fcntl(UserThread *t, SysCall *c)
{
    int64_t ret;
    switch ((int)c->arg[1]) {
    case F_GETFL:
        ret = host_pass(t, c);
        return ret < 0 ? ret : (int64_t)t->p->abi->open_flags_out((uint64_t)ret);
    case F_SETFL:
        c->arg[2] = t->p->abi->open_flags_in((uint32_t)c->arg[2]);
        return host_pass(t, c);
    case F_SETLKW:
    case F_OFD_SETLKW:
        return host_block(t, c, c->arg);
    default:
        return host_pass(t, c);
    }
}

/* --- stat ----------------------------------------------------------------------------------------------------------- */

static int64_t give_stat(UserThread *t, uint64_t va, const struct stat *st)
{
    uint8_t buf[256];
    t->p->abi->put_stat(buf, st);
    return guest_write(t->cpu, va, buf, t->p->abi->stat_size) ? 0 : -EFAULT;
}

int64_t sys_fstat(UserThread *t, SysCall *c)
{
    struct stat st;
    const uint64_t arg[6] = { c->arg[0], (uintptr_t)&st };
    int64_t err = host_call_out(t, SYS_fstat, arg, &st, sizeof st);
    return err ? err : give_stat(t, c->arg[1], &st);
}

int64_t sys_newfstatat(UserThread *t, SysCall *c)
{
    struct stat st;
    unsigned how = c->arg[3] & AT_SYMLINK_NOFOLLOW ? PATH_NOFOLLOW : 0;
    int64_t err = path_arg(t, (int)c->arg[0], c->arg[1], how, t->path[0]);
    if (err)
        return err;
    const uint64_t arg[6] = { c->arg[0], (uintptr_t)t->path[0], (uintptr_t)&st, c->arg[3] };
    err = host_call_out(t, SYS_newfstatat, arg, &st, sizeof st);
    return err ? err : give_stat(t, c->arg[2], &st);
}

/* --- names ---------------------------------------------------------------------------------------------------------- */

/* Whether the link is one of /proc's that lead to a path of the host's kernel's making. */
static bool names_host_path(const char *path)
{
    return strncmp(path, "/proc/", 6) == 0;
}

int64_t sys_readlinkat(UserThread *t, SysCall *c)
{
    int64_t err = path_read(t, c->arg[1], t->path[0]);
    if (err)
        return err;
    if ((int)c->arg[3] <= 0)
        return -EINVAL;
    const char *text = NULL;
    ProcExe exe;
    if (procfs_exe(t, (int)c->arg[0], t->path[0], &exe)) {
        text = exe.guest;
    } else {
        err = path_lookup(t, (int)c->arg[0], t->path[0], PATH_NOFOLLOW, t->path[1]);
        if (err)
            return err;
        const uint64_t arg[6] = { c->arg[0], (uintptr_t)t->path[1], (uintptr_t)t->path[2], PATH_MAX - 1 };
        int64_t n = host_call_out(t, SYS_readlinkat, arg, t->path[2], PATH_MAX);
        if (n < 0)
            return n;
        t->path[2][n] = 0;
        text = names_host_path(t->path[1]) ? path_guest_name(t->p, t->path[2]) : t->path[2];
    }
    size_t n = strlen(text);
    if (n > c->arg[3])
        n = c->arg[3];
    return guest_write(t->cpu, c->arg[2], text, n) ? (int64_t)n : -EFAULT;
}

int64_t sys_getcwd(UserThread *t, SysCall *c)
{
    const uint64_t arg[6] = { (uintptr_t)t->path[0], PATH_MAX };
    int64_t n = host_call_out(t, SYS_getcwd, arg, t->path[0], PATH_MAX);
    if (n < 0)
        return n;
    const char *name = path_guest_name(t->p, t->path[0]);
    size_t size = strlen(name) + 1;
    if (size > c->arg[1])
        return -ERANGE;
    return guest_write(t->cpu, c->arg[0], name, size) ? (int64_t)size : -EFAULT;
}

int64_t sys_getdents64(UserThread *t, SysCall *c)
{
    int64_t n, left;
    do { /* nothing left is not the end */
        n = host_pass(t, c);
        left = n > 0 ? (int64_t)procfs_hide(t, (int)c->arg[0], c->arg[1], (size_t)n) : n;
    } while (n > 0 && left == 0);
    return left;
}

static int64_t changed_directory(UserThread *t, int64_t err)
{
    if (err == 0) {
        pthread_mutex_lock(&t->p->lock);
        path_note_cwd(t->p, t->tid);
        pthread_mutex_unlock(&t->p->lock);
    }
    return err;
}

int64_t sys_chdir(UserThread *t, SysCall *c)
{
    int64_t err = path_arg(t, AT_FDCWD, c->arg[0], 0, t->path[0]);
    return err ? err : changed_directory(t, HOST1(t, SYS_chdir, (uintptr_t)t->path[0]));
}

int64_t sys_fchdir(UserThread *t, SysCall *c)
{
    return changed_directory(t, host_pass(t, c));
}
