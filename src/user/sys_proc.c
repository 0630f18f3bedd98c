/* The process: identity, limits, ends. */
#include "user/process.h"
#include "user/ptrace.h"
#include "user/signal.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#define OLDEST_RELEASE "6.12.0" /* shown when the host's kernel is older than the system calls that the table knows */

int64_t sys_exit(UserThread *t, SysCall *c)
{
    t->exit_status = (int)c->arg[0] & 0xff;
    return SYS_EXIT;
}

int64_t sys_exit_group(UserThread *t, SysCall *c)
{
    t->exit_status = (int)c->arg[0] & 0xff;
    pthread_mutex_lock(&t->p->lock);
    bool last = t->p->nthreads == 1 && !t->attached;
    pthread_mutex_unlock(&t->p->lock);
    if ((!last || ptrace_on(t)) && !t->vforked)
        process_exit(t, t->exit_status);
    return SYS_EXIT;
}

int64_t sys_set_tid_address(UserThread *t, SysCall *c)
{
    t->clear_tid = c->arg[0];
    return t->tid;
}

int64_t sys_unshare(UserThread *t, SysCall *c)
{
    threads_settle(t);
    return host_pass(t, c);
}

int64_t sys_personality(UserThread *t, SysCall *c)
{
    uint64_t old = t->p->persona;
    if ((uint32_t)c->arg[0] != 0xffffffffu && (c->arg[0] & PER_MASK) == PER_LINUX32) /* as on a processor of 64 bits alone */
        return -EINVAL;
    if ((uint32_t)c->arg[0] != 0xffffffffu)
        t->p->persona = (uint32_t)c->arg[0];
    return (int64_t)old;
}

void guest_release(struct utsname *u)
{
    int major = 0, minor = 0;
    if (sscanf(u->release, "%d.%d", &major, &minor) < 2 || major < 6 || (major == 6 && minor < 12))
        strcpy(u->release, OLDEST_RELEASE);
}

int64_t sys_uname(UserThread *t, SysCall *c)
{
    struct utsname u;
    const uint64_t arg[6] = { (uintptr_t)&u };
    int64_t err = host_call_out(t, SYS_uname, arg, &u, sizeof u);
    if (err)
        return err;
    memset(u.machine, 0, sizeof u.machine);
    strcpy(u.machine, t->p->abi->machine);
    guest_release(&u);
    return guest_write(t->cpu, c->arg[0], &u, sizeof u) ? 0 : -EFAULT;
}

int64_t sys_getrandom(UserThread *t, SysCall *c)
{
    uint8_t buf[256];
    uint64_t n = c->arg[1] < INT32_MAX ? c->arg[1] : INT32_MAX;
    if ((c->arg[2] & ~7ull) || (c->arg[2] & (GRND_RANDOM | GRND_INSECURE)) == (GRND_RANDOM | GRND_INSECURE))
        return -EINVAL;
    for (uint64_t done = 0; done < n;) {
        uint64_t at = c->arg[0] + done, page = MM_PAGE - at % MM_PAGE; /* what is written is whole up to a page */
        size_t part = n - done < sizeof buf ? n - done : sizeof buf;
        if (part > page)
            part = page;
        t->p->nondet->ops->random(t->p->nondet, t->tid, buf, part);
        if (!guest_write(t->cpu, at, buf, part))
            return done ? (int64_t)done : -EFAULT;
        done += part;
    }
    return (int64_t)n;
}

/* --- limits --------------------------------------------------------------------------------------------------------- */

/* Limits of address space are remembered but not given to the host: the translator lives under them too. */
static struct rlimit *kept_limit(UserProc *p, uint64_t resource)
{
    return resource == RLIMIT_AS ? &p->limit_as : resource == RLIMIT_DATA ? &p->limit_data : NULL;
}

bool has_capability(UserThread *t, unsigned which)
{
    struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct cap[2] = { { 0 } };
    const uint64_t arg[6] = { (uintptr_t)&head, (uintptr_t)cap };
    return host_call_out(t, SYS_capget, arg, cap, sizeof cap) == 0 && (cap[which / 32].effective >> which % 32 & 1);
}

static int64_t set_kept(UserThread *t, struct rlimit *kept, const struct rlimit *new)
{
    if (new->rlim_cur > new->rlim_max)
        return -EINVAL;
    if (new->rlim_max > kept->rlim_max && !has_capability(t, CAP_SYS_RESOURCE))
        return -EPERM;
    *kept = *new;
    return 0;
}

int64_t sys_prlimit64(UserThread *t, SysCall *c)
{
    uint64_t pid = (uint32_t)c->arg[0];
    struct rlimit *kept = pid == 0 || pid == (uint64_t)t->p->pid ? kept_limit(t->p, c->arg[1]) : NULL;
    if (!kept)
        return host_pass(t, c);
    struct rlimit new, old = *kept;
    if (c->arg[2]) {
        if (!guest_read(t->cpu, &new, c->arg[2], sizeof new))
            return -EFAULT;
        int64_t err = set_kept(t, kept, &new);
        if (err)
            return err;
    }
    return c->arg[3] && !guest_write(t->cpu, c->arg[3], &old, sizeof old) ? -EFAULT : 0;
}

int64_t sys_getrlimit(UserThread *t, SysCall *c)
{
    struct rlimit *kept = kept_limit(t->p, c->arg[0]);
    if (!kept)
        return host_pass(t, c);
    return guest_write(t->cpu, c->arg[1], kept, sizeof *kept) ? 0 : -EFAULT;
}

int64_t sys_setrlimit(UserThread *t, SysCall *c)
{
    struct rlimit new, *kept = kept_limit(t->p, c->arg[0]);
    if (!kept)
        return host_pass(t, c);
    return guest_read(t->cpu, &new, c->arg[1], sizeof new) ? set_kept(t, kept, &new) : -EFAULT;
}
