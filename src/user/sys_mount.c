/* Mounts, and calls that give the process another root. */
#include "base/own_fd.h"
#include "user/path.h"
#include "user/process.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MS_PROPAGATION (MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE)

/* Where to mount. A sysroot is a root by lookup alone, no mount: how mounts propagate from "/" on is asked of the host's. */
static int64_t find_target(UserThread *t, const SysCall *c, char *out)
{
    int64_t err = path_read(t, c->arg[1], out);
    if (err)
        return err;
    if ((c->arg[3] & MS_PROPAGATION) && out[0] == '/' && out[strspn(out, "/")] == 0)
        return 0;
    return path_arg(t, AT_FDCWD, c->arg[1], 0, out);
}

/* The source of a bind mount, and a device, are paths; of others it is only a name. */
int64_t sys_mount(UserThread *t, SysCall *c)
{
    int64_t err = find_target(t, c, t->path[1]);
    if (err)
        return err;
    const uint64_t target = (uintptr_t)t->path[1];
    uint64_t source = c->arg[0];
    if (source) {
        err = path_read(t, source, t->path[2]);
        if (err)
            return err == -ENAMETOOLONG ? -EINVAL : err;
        if (t->path[2][0] == '/' || (c->arg[3] & (MS_BIND | MS_MOVE))) {
            err = path_lookup(t, AT_FDCWD, t->path[2], 0, t->path[0]);
            if (err)
                return err;
            source = (uintptr_t)t->path[0];
        }
    }
    const uint64_t arg[6] = { source, target, c->arg[2], c->arg[3], c->arg[4] };
    return host_call_out(t, SYS_mount, arg, NULL, 0);
}

/* --- another root ---------------------------------------------------------------------------------------------------------- */

/* Dragoman's own file, for execve when /proc is out of reach; it stays open, so that the next dragoman has it as well. */
static int open_self(void)
{
    int fd = open("/proc/self/exe", O_PATH | O_CLOEXEC);
    int high = fd < 0 ? -1 : fcntl(fd, F_DUPFD, PRIVATE_FD);
    if (fd >= 0)
        close(fd);
    return high;
}

/*
 * The guest's root is a matter of lookup here until it asks for another one: then that is the host's root too. `self` was opened
 * before; `err` is what the call returned.
 */
static int64_t changed_root(UserThread *t, int self, int64_t err)
{
    UserProc *p = t->p;
    if (err) {
        if (self >= 0)
            close(self);
        return err;
    }
    if (self >= 0)
        p->self_fd = self;
    own_fd_mark(self);
    p->chrooted = true;
    engine_persist_off(p->engine);
    pthread_mutex_lock(&p->lock);
    p->sysroot[0] = p->cwd[0] = 0;
    pthread_mutex_unlock(&p->lock);
    return 0;
}

int64_t sys_chroot(UserThread *t, SysCall *c)
{
    int64_t err = path_arg(t, AT_FDCWD, c->arg[0], 0, t->path[0]);
    int self = open_self();
    if (!err)
        err = HOST1(t, SYS_chroot, (uintptr_t)t->path[0]);
    return changed_root(t, self, err);
}

int64_t sys_pivot_root(UserThread *t, SysCall *c)
{
    int64_t err = path_arg(t, AT_FDCWD, c->arg[0], 0, t->path[0]);
    if (!err)
        err = path_arg(t, AT_FDCWD, c->arg[1], 0, t->path[1]);
    int self = open_self();
    if (!err)
        err = HOST2(t, SYS_pivot_root, (uintptr_t)t->path[0], (uintptr_t)t->path[1]);
    return changed_root(t, self, err);
}

/* Another mount namespace has another root; where the sysroot is in it too, it stays in use. */
int64_t sys_setns(UserThread *t, SysCall *c)
{
    threads_settle(t);
    struct stat before, after;
    bool had = stat("/", &before) == 0;
    int self = open_self();
    int64_t err = host_pass(t, c);
    bool same = had && stat("/", &after) == 0 && before.st_dev == after.st_dev && before.st_ino == after.st_ino;
    if (err || same || (t->p->sysroot[0] && access(t->p->sysroot, F_OK) == 0)) {
        if (self >= 0)
            close(self);
        return err;
    }
    return changed_root(t, self, 0);
}
