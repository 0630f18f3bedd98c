#include "user/uring.h"

#include "base/check.h"
#include "user/path.h"
#include "user/signal.h"

#include <errno.h>
#include <linux/io_uring.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>

/* Newer than some hosts' headers. */
#define SETUP_REGISTERED_FD_ONLY (1u << 15)
#define SETUP_NO_MMAP (1u << 14)
#define SETUP_NO_SQARRAY (1u << 16)
#define USE_REGISTERED_RING (1u << 31)
#define SQE_SIZE 64u
#define LAST_OP 57u          /* IORING_OP_LISTEN, the last of Linux 6.12 */
#define UNKNOWN_OP 0xffu
#define SUBMIT_MAX 32768u    /* entries of a ring at most */
#define OFF_RING UINT64_C(0)
#define OFF_SQES UINT64_C(0x10000000)

/* A ring of the guest's, by its descriptor. Entries stay when that is closed, and give way to a new one of the number. */
typedef struct Uring {
    struct Uring *next;
    int fd;
    uint32_t flags, entries;
    uint32_t head, tail, array;  /* offsets in the ring */
    uint64_t ring, sqes;         /* where the guest has mapped them; 0: not */
} Uring;

/* --- which rings there are ----------------------------------------------------------------------------------------------- */

static Uring *find_ring(UserProc *p, int fd)
{
    Uring *r = p->rings;
    while (r && r->fd != fd)
        r = r->next;
    return r;
}

static void note_ring(UserProc *p, int fd, const struct io_uring_params *q)
{
    pthread_mutex_lock(&p->lock);
    Uring *r = find_ring(p, fd);
    if (!r) {
        r = calloc(1, sizeof *r);
        CHECK(r != NULL);
        r->next = p->rings;
        p->rings = r;
    }
    Uring *next = r->next;
    *r = (Uring){ next, fd, q->flags, q->sq_entries, q->sq_off.head, q->sq_off.tail, q->sq_off.array, 0, 0 };
    if (q->flags & SETUP_NO_MMAP) {
        memcpy(&r->sqes, (const uint8_t *)&q->sq_off + 32, sizeof r->sqes); /* user_addr of both */
        memcpy(&r->ring, (const uint8_t *)&q->cq_off + 32, sizeof r->ring);
    }
    pthread_mutex_unlock(&p->lock);
}

void uring_done(UserProc *p)
{
    while (p->rings) {
        Uring *r = p->rings;
        p->rings = r->next;
        free(r);
    }
}

void uring_note_map(UserProc *p, int fd, uint64_t off, uint64_t at)
{
    pthread_mutex_lock(&p->lock);
    Uring *r = find_ring(p, fd);
    if (r && off == OFF_RING)
        r->ring = at;
    else if (r && off == OFF_SQES)
        r->sqes = at;
    pthread_mutex_unlock(&p->lock);
}

int64_t sys_io_uring_setup(UserThread *t, SysCall *c)
{
    struct io_uring_params q;
    if (!guest_read(t->cpu, &q, c->arg[1], sizeof q))
        return -EFAULT;
    if (q.flags & SETUP_REGISTERED_FD_ONLY)
        return -EINVAL;
    const bool polls = (q.flags & IORING_SETUP_SQPOLL) != 0;
    const uint64_t arg[6] = { c->arg[0], (uintptr_t)&q };
    int64_t fd = host_call_out(t, SYS_io_uring_setup, arg, &q, sizeof q);
    if (fd < 0)
        return fd;
    if (polls) { /* refused, when nothing else is wrong with it */
        close((int)fd);
        return -EPERM;
    }
    note_ring(t->p, (int)fd, &q);
    return guest_write(t->cpu, c->arg[1], &q, sizeof q) ? fd : -EFAULT;
}

/* --- conversion of what is submitted ------------------------------------------------------------------------------------- */

/* One entry while it is converted: where it is, what it was, and memory that the kernel reads instead of the guest's. */
typedef struct Entry {
    struct Entry *next;
    uint64_t va;
    struct io_uring_sqe was;
    char path[2][PATH_MAX];
    struct epoll_event event;
    uint64_t how[3];
} Entry;

static uint64_t host_path(UserThread *t, Entry *e, unsigned which, int dir, uint64_t va, unsigned how)
{
    /* A path that cannot be read or is too long stays: the kernel then answers for it. */
    return va && path_arg(t, dir, va, how, e->path[which]) == 0 ? (uintptr_t)e->path[which] : va;
}

static unsigned open_how(uint64_t host_flags)
{
    if (host_flags & O_CREAT)
        return host_flags & O_EXCL ? PATH_NEW : PATH_CREATE;
    return host_flags & O_NOFOLLOW ? PATH_NOFOLLOW : 0;
}

static void convert_openat2(UserThread *t, Entry *e, struct io_uring_sqe *s)
{
    if (s->len != sizeof e->how || !guest_read(t->cpu, e->how, s->off, sizeof e->how))
        return;
    e->how[0] = t->p->abi->open_flags_in(e->how[0]);
    s->off = (uintptr_t)e->how;
    s->addr = host_path(t, e, 0, s->fd, s->addr, open_how(e->how[0]));
}

static void convert_event(UserThread *t, Entry *e, struct io_uring_sqe *s)
{
    const UserAbi *abi = t->p->abi;
    uint8_t buf[16];
    if (!s->addr || !guest_read(t->cpu, buf, s->addr, abi->epoll_size))
        return;
    memcpy(&e->event.events, buf, 4);
    memcpy(&e->event.data, buf + abi->epoll_data, 8);
    s->addr = (uintptr_t)&e->event;
}

/* What the kernel is to see in place of an entry. False: it is right as it is. */
static bool convert(UserThread *t, Entry *e, struct io_uring_sqe *s)
{
    switch (s->opcode) {
    case IORING_OP_OPENAT:
        s->open_flags = (uint32_t)t->p->abi->open_flags_in(s->open_flags);
        s->addr = host_path(t, e, 0, s->fd, s->addr, open_how(s->open_flags));
        return true;
    case IORING_OP_OPENAT2:
        convert_openat2(t, e, s);
        return true;
    case IORING_OP_STATX:
        s->addr = host_path(t, e, 0, s->fd, s->addr, s->statx_flags & AT_SYMLINK_NOFOLLOW ? PATH_NOFOLLOW : 0);
        return true;
    case IORING_OP_UNLINKAT:
        s->addr = host_path(t, e, 0, s->fd, s->addr, PATH_NOFOLLOW);
        return true;
    case IORING_OP_MKDIRAT:
        s->addr = host_path(t, e, 0, s->fd, s->addr, PATH_NEW);
        return true;
    case IORING_OP_SYMLINKAT: /* addr is text */
        s->addr2 = host_path(t, e, 1, s->fd, s->addr2, PATH_NEW);
        return true;
    case IORING_OP_RENAMEAT:
    case IORING_OP_LINKAT:
        s->addr = host_path(t, e, 0, s->fd, s->addr, PATH_NOFOLLOW);
        s->addr2 = host_path(t, e, 1, (int)s->len, s->addr2, s->opcode == IORING_OP_LINKAT ? PATH_NEW : PATH_NOFOLLOW);
        return true;
    case IORING_OP_SETXATTR:
    case IORING_OP_GETXATTR:
        s->addr3 = host_path(t, e, 0, AT_FDCWD, s->addr3, 0);
        return true;
    case IORING_OP_EPOLL_CTL:
        convert_event(t, e, s);
        return true;
    default:
        if (s->opcode <= LAST_OP)
            return false;
        s->opcode = UNKNOWN_OP;
        return true;
    }
}

/* Convert the entry at `va`; on top of `list` when it was changed. */
static Entry *convert_entry(UserThread *t, uint64_t va, Entry *list)
{
    struct io_uring_sqe s;
    if (!guest_read(t->cpu, &s, va, sizeof s))
        return list;
    Entry *e = malloc(sizeof *e);
    if (!e)
        return list;
    e->va = va;
    e->was = s;
    e->next = list;
    if (convert(t, e, &s) && guest_write(t->cpu, va, &s, sizeof s))
        return e;
    free(e);
    return list;
}

static Entry *convert_all(UserThread *t, const Uring *r, uint32_t submit)
{
    uint32_t head, tail, mask = r->entries - 1;
    Entry *list = NULL;
    if (!r->ring || !r->sqes || !guest_read(t->cpu, &head, r->ring + r->head, 4) ||
        !guest_read(t->cpu, &tail, r->ring + r->tail, 4))
        return NULL;
    uint32_t n = tail - head < submit ? tail - head : submit;
    uint64_t size = r->flags & IORING_SETUP_SQE128 ? 2 * SQE_SIZE : SQE_SIZE;
    for (uint32_t i = 0; i < n && i < SUBMIT_MAX; i++) {
        uint32_t index = (head + i) & mask;
        if (!(r->flags & SETUP_NO_SQARRAY) && !guest_read(t->cpu, &index, r->ring + r->array + index * 4ull, 4))
            break;
        if (index < r->entries)
            list = convert_entry(t, r->sqes + index * size, list);
    }
    return list;
}

static void put_back(UserThread *t, Entry *list)
{
    while (list) {
        Entry *next = list->next;
        guest_write(t->cpu, list->va, &list->was, sizeof list->was);
        free(list);
        list = next;
    }
}

/* --- the other calls ----------------------------------------------------------------------------------------------------- */

/* Make the call, under the signal mask that its argument may hold. */
static int64_t enter_masked(UserThread *t, SysCall *c)
{
    struct io_uring_getevents_arg ext = { .sigmask_sz = 8 };
    uint64_t set, host, arg[6];
    bool extended = c->arg[3] & IORING_ENTER_EXT_ARG;
    memcpy(arg, c->arg, sizeof arg);
    if (extended && (c->arg[5] != sizeof ext || !guest_read(t->cpu, &ext, c->arg[4], sizeof ext)))
        return c->arg[5] != sizeof ext ? -EINVAL : -EFAULT;
    uint64_t at = extended ? ext.sigmask : c->arg[4];
    if (!at)
        return host_block(t, c, arg);
    if ((extended ? ext.sigmask_sz : c->arg[5]) != 8)
        return -EINVAL;
    if (!guest_read(t->cpu, &set, at, sizeof set))
        return -EFAULT;
    host = signal_host_set(set);
    ext.sigmask = (uintptr_t)&host;
    arg[4] = extended ? (uintptr_t)&ext : (uintptr_t)&host;
    return signal_wait_masked(t, c, arg, set);
}

int64_t sys_io_uring_enter(UserThread *t, SysCall *c)
{
    if (c->arg[3] & IORING_ENTER_REGISTERED_RING)
        return -EINVAL;
    pthread_mutex_lock(&t->p->lock);
    Uring *found = find_ring(t->p, (int)c->arg[0]);
    Uring ring = found ? *found : (Uring){ .fd = -1 };
    pthread_mutex_unlock(&t->p->lock);
    Entry *changed = found ? convert_all(t, &ring, (uint32_t)c->arg[1]) : NULL;
    int64_t ret = enter_masked(t, c);
    put_back(t, changed);
    return ret;
}

/* Of a probe's answer: hide what is newer. */
static int64_t show_probe(UserThread *t, SysCall *c)
{
    struct io_uring_probe head;
    int64_t ret = host_block(t, c, c->arg);
    if (ret < 0 || !guest_read(t->cpu, &head, c->arg[2], sizeof head))
        return ret;
    struct io_uring_probe_op none = { 0 };
    for (unsigned i = LAST_OP + 1; i < head.ops_len && i < c->arg[3]; i++)
        guest_write(t->cpu, c->arg[2] + sizeof head + i * sizeof none, &none, sizeof none);
    head.last_op = head.last_op < LAST_OP ? head.last_op : (uint8_t)LAST_OP;
    head.ops_len = head.ops_len < LAST_OP + 1 ? head.ops_len : (uint8_t)(LAST_OP + 1);
    return guest_write(t->cpu, c->arg[2], &head, sizeof head) ? ret : -EFAULT;
}

int64_t sys_io_uring_register(UserThread *t, SysCall *c)
{
    uint32_t op = (uint32_t)c->arg[1];
    if ((op & USE_REGISTERED_RING) || op == IORING_REGISTER_RING_FDS || op == IORING_UNREGISTER_RING_FDS)
        return -EINVAL; /* a ring is known by its descriptor */
    return op == IORING_REGISTER_PROBE ? show_probe(t, c) : host_block(t, c, c->arg);
}
