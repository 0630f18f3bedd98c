/* Waiting for descriptors: calls that take a signal mask, and struct epoll_event, which hosts pack differently. */
#include "user/process.h"
#include "user/signal.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/syscall.h>

#define MAX_EVENTS (1 << 20) /* as many as the descriptors that a process may have by default */

/* Read a signal set argument; *have is false when there is none. */
static int64_t read_mask(UserThread *t, uint64_t va, uint64_t size, uint64_t *mask, bool *have)
{
    *have = va != 0;
    if (!va)
        return 0;
    if (size != 8)
        return -EINVAL;
    return guest_read(t->cpu, mask, va, 8) ? 0 : -EFAULT;
}

/* Made again with what the kernel has left in its timeout, unless a handler runs. */
static int64_t without_mask(UserThread *t, const SysCall *c, const uint64_t arg[6])
{
    int64_t ret = host_block(t, c, arg);
    return ret == -EINTR ? SYS_RESTART_NOHAND : ret;
}

/* ppoll ended as `ret`. A signal that came before it was begun ends it, as one that comes later does, when nothing is ready. */
static int64_t poll_now(UserThread *t, const SysCall *c, int64_t ret)
{
    const struct timespec none = { 0, 0 };
    const uint64_t arg[6] = { c->arg[0], c->arg[1], (uintptr_t)&none };
    if (ret != SYS_AGAIN || t->npend == 0)
        return ret;
    ret = host_call_out(t, SYS_ppoll, arg, (void *)(uintptr_t)c->arg[0], c->arg[1] * sizeof(struct pollfd));
    return ret == 0 ? SYS_RESTART_NOHAND : ret;
}

int64_t sys_ppoll(UserThread *t, SysCall *c)
{
    uint64_t mask;
    bool have;
    int64_t err = read_mask(t, c->arg[3], c->arg[4], &mask, &have);
    if (err)
        return err;
    if (!have)
        return poll_now(t, c, without_mask(t, c, c->arg));
    uint64_t host = signal_host_set(mask);
    const uint64_t arg[6] = { c->arg[0], c->arg[1], c->arg[2], (uintptr_t)&host, 8 };
    return signal_wait_masked(t, c, arg, mask);
}

/* pselect6 and io_pgetevents take a pointer to {set, size} as their last argument. */
static int64_t wait_with_pair(UserThread *t, SysCall *c)
{
    struct {
        uint64_t set, size;
    } pair = { 0, 0 };
    uint64_t mask;
    bool have;
    if (c->arg[5] && !guest_read(t->cpu, &pair, c->arg[5], sizeof pair))
        return -EFAULT;
    int64_t err = read_mask(t, pair.set, pair.size, &mask, &have);
    if (err)
        return err;
    uint64_t arg[6];
    memcpy(arg, c->arg, sizeof arg);
    arg[5] = 0;
    if (!have)
        return without_mask(t, c, arg);
    uint64_t host = signal_host_set(mask);
    pair.set = (uintptr_t)&host;
    pair.size = 8;
    arg[5] = (uintptr_t)&pair;
    return signal_wait_masked(t, c, arg, mask);
}

int64_t sys_pselect6(UserThread *t, SysCall *c)
{
    return wait_with_pair(t, c);
}

int64_t sys_io_pgetevents(UserThread *t, SysCall *c)
{
    int64_t ret = wait_with_pair(t, c);
    return ret == SYS_RESTART_NOHAND ? -EINTR : ret; /* its timeout is not brought up to date */
}

/* --- epoll ---------------------------------------------------------------------------------------------------------- */

int64_t sys_epoll_ctl(UserThread *t, SysCall *c)
{
    struct epoll_event ev = { 0 };
    const UserAbi *abi = t->p->abi;
    if (c->arg[3] && (int)c->arg[1] != EPOLL_CTL_DEL) {
        uint8_t buf[16];
        if (!guest_read(t->cpu, buf, c->arg[3], abi->epoll_size))
            return -EFAULT;
        memcpy(&ev.events, buf, 4);
        memcpy(&ev.data, buf + abi->epoll_data, 8);
    }
    return HOST4(t, SYS_epoll_ctl, c->arg[0], c->arg[1], c->arg[2], c->arg[3] ? (uintptr_t)&ev : 0);
}

static int64_t give_events(UserThread *t, uint64_t va, const struct epoll_event *ev, int64_t n)
{
    const UserAbi *abi = t->p->abi;
    for (int64_t i = 0; i < n; i++) {
        uint8_t buf[16] = { 0 };
        memcpy(buf, &ev[i].events, 4);
        memcpy(buf + abi->epoll_data, &ev[i].data, 8);
        if (!guest_write(t->cpu, va + (uint64_t)i * abi->epoll_size, buf, abi->epoll_size))
            return -EFAULT;
    }
    return n;
}

static int64_t wait_events(UserThread *t, SysCall *c)
{
    uint64_t mask;
    bool have;
    int64_t err = read_mask(t, c->arg[4], c->arg[5], &mask, &have);
    int max = (int)c->arg[2];
    if (err)
        return err;
    if (max <= 0) /* whether that is said, or what else is wrong */
        return host_call(t, c->d->host, c->arg[0], (uintptr_t)&mask, (uint64_t)max, c->arg[3], 0, 0);
    if (max > MAX_EVENTS)
        max = MAX_EVENTS;
    struct epoll_event *ev = malloc((size_t)max * sizeof *ev); /* what is large is not touched but by the kernel */
    if (!ev)
        return -ENOMEM;
    uint64_t host = have ? signal_host_set(mask) : 0;
    const uint64_t arg[6] = { c->arg[0], (uintptr_t)ev, (uint64_t)max, c->arg[3], have ? (uintptr_t)&host : 0, 8 };
    int64_t n = have ? signal_wait_masked(t, c, arg, mask) : host_block(t, c, arg);
    if (n == SYS_RESTART_NOHAND)
        n = -EINTR; /* it is never restarted */
    if (n > 0)
        n = give_events(t, c->arg[1], ev, n);
    free(ev);
    return n;
}

int64_t sys_epoll_pwait(UserThread *t, SysCall *c)
{
    return wait_events(t, c);
}

int64_t sys_epoll_pwait2(UserThread *t, SysCall *c)
{
    return wait_events(t, c);
}
