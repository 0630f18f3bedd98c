/* io_uring: rings shared with the kernel, operations whose flags and structures differ between machines, signals. */
#include "t.h"

#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/stat.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define ENTRIES 8u

static int ring;
static struct io_uring_params par;
static uint8_t *sq;
static struct io_uring_sqe *sqes;

static struct io_uring_sqe *put(unsigned op, int fd, const void *addr, unsigned len, uint64_t off)
{
    unsigned tail = *(unsigned *)(sq + par.sq_off.tail), i = tail & (ENTRIES - 1);
    memset(&sqes[i], 0, sizeof sqes[i]);
    sqes[i].opcode = (uint8_t)op;
    sqes[i].fd = fd;
    sqes[i].addr = (uintptr_t)addr;
    sqes[i].len = len;
    sqes[i].off = off;
    sqes[i].user_data = op + 1000;
    ((unsigned *)(sq + par.sq_off.array))[i] = i;
    __atomic_store_n((unsigned *)(sq + par.sq_off.tail), tail + 1, __ATOMIC_RELEASE);
    return &sqes[i];
}

/* Submit one entry and return its result; errno is not touched. */
static int run(void)
{
    if (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) != 1)
        return -9999;
    unsigned head = *(unsigned *)(sq + par.cq_off.head);
    if (__atomic_load_n((unsigned *)(sq + par.cq_off.tail), __ATOMIC_ACQUIRE) == head)
        return -9998;
    struct io_uring_cqe *c = (struct io_uring_cqe *)(sq + par.cq_off.cqes) + (head & (par.cq_entries - 1));
    int res = c->res;
    __atomic_store_n((unsigned *)(sq + par.cq_off.head), head + 1, __ATOMIC_RELEASE);
    return res;
}

static int set_up(void)
{
    ring = (int)syscall(SYS_io_uring_setup, ENTRIES, &par);
    if (ring < 0)
        return 0;
    size_t size = par.cq_off.cqes + par.cq_entries * sizeof(struct io_uring_cqe);
    sq = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQ_RING);
    sqes = mmap(NULL, ENTRIES * sizeof *sqes, PROT_READ | PROT_WRITE, MAP_SHARED, ring, (off_t)IORING_OFF_SQES);
    return (par.features & IORING_FEAT_SINGLE_MMAP) && sq != MAP_FAILED && sqes != MAP_FAILED;
}

static void test_files(void)
{
    char dir[] = "/tmp/dragoman-uring-XXXXXX", name[64], buf[16] = "";
    OK(mkdtemp(dir) != NULL);
    put(IORING_OP_NOP, -1, NULL, 0, 0);
    OK(run() == 0);
    struct io_uring_sqe *s = put(IORING_OP_OPENAT, AT_FDCWD, dir, 0, 0);
    s->open_flags = O_RDONLY | O_DIRECTORY;
    struct io_uring_sqe was = *s;
    int fd = run();
    OK(fd >= 0 && !memcmp(&was, s, sizeof was)); /* nothing of it changed */
    snprintf(name, sizeof name, "%s/file", dir);
    s = put(IORING_OP_OPENAT, AT_FDCWD, name, 0600, 0);
    s->open_flags = O_RDWR | O_CREAT;
    int file = run();
    OK(file >= 0);
    s = put(IORING_OP_OPENAT, AT_FDCWD, name, 0, 0);
    s->open_flags = O_RDONLY | O_DIRECTORY;
    OK(run() == -ENOTDIR);
    struct { uint64_t flags, mode, resolve; } how = { O_RDONLY | O_NOFOLLOW, 0, 0 };
    put(IORING_OP_OPENAT2, AT_FDCWD, name, sizeof how, (uintptr_t)&how);
    int again = run();
    OK(again >= 0 && how.flags == (O_RDONLY | O_NOFOLLOW));
    put(IORING_OP_WRITE, file, "written", 7, 0);
    OK(run() == 7);
    put(IORING_OP_READ, again, buf, 7, 0);
    OK(run() == 7 && !strcmp(buf, "written"));
    struct statx st = { 0 };
    s = put(IORING_OP_STATX, AT_FDCWD, name, STATX_SIZE, (uintptr_t)&st);
    OK(run() == 0 && st.stx_size == 7);
    put(IORING_OP_READ, 999, buf, 7, 0);
    OK(run() == -EBADF);
    put(IORING_OP_READ, again, (void *)8, 7, 0);
    OK(run() == -EFAULT);
    put(IORING_OP_CLOSE, again, NULL, 0, 0);
    OK(run() == 0 && fcntl(again, F_GETFD) == -1);
    s = put(IORING_OP_UNLINKAT, AT_FDCWD, name, 0, 0);
    OK(run() == 0 && access(name, F_OK) == -1);
    rmdir(dir);
    put(250, -1, NULL, 0, 0);
    OK(run() == -EINVAL);
}

static void test_events(void)
{
    int ep = epoll_create1(0), ev = eventfd(1, 0);
    struct epoll_event e = { .events = EPOLLIN, .data.u64 = 0x1122334455667788 }, got = { 0 };
    put(IORING_OP_EPOLL_CTL, ep, &e, EPOLL_CTL_ADD, (uint64_t)ev);
    OK(run() == 0);
    OK(epoll_wait(ep, &got, 1, 0) == 1 && got.events == EPOLLIN && got.data.u64 == 0x1122334455667788);
    struct io_uring_sqe *s = put(IORING_OP_POLL_ADD, ev, NULL, 0, 0);
    s->poll32_events = EPOLLIN;
    OK(run() == EPOLLIN);
    struct __kernel_timespec ts = { 0, 1000000 };
    put(IORING_OP_TIMEOUT, -1, &ts, 1, 0);
    OK(run() == -ETIME);
}

static void on_signal(int sig)
{
}

static void test_calls(void)
{
    struct io_uring_params bad = { .flags = 1u << 31 };
    OK(syscall(SYS_io_uring_setup, 8, NULL) == -1 && errno == EFAULT);
    OK(syscall(SYS_io_uring_setup, 8, &bad) == -1 && errno == EINVAL);
    bad.flags = 0;
    OK(syscall(SYS_io_uring_setup, 0, &bad) == -1 && errno == EINVAL);
    OK(syscall(SYS_io_uring_enter, -1, 0, 0, 0, NULL, 0) == -1 && errno == EBADF);
    OK(syscall(SYS_io_uring_enter, 0, 0, 0, 0, NULL, 0) == -1 && errno == EOPNOTSUPP);
    struct { struct io_uring_probe p; struct io_uring_probe_op op[256]; } probe;
    memset(&probe, 0, sizeof probe);
    OK(syscall(SYS_io_uring_register, ring, IORING_REGISTER_PROBE, &probe, 256) == 0 &&
       (probe.op[IORING_OP_OPENAT].flags & IO_URING_OP_SUPPORTED));
    struct sigaction sa = { .sa_handler = on_signal };
    sigaction(SIGALRM, &sa, NULL);
    ualarm(20000, 20000); /* again, if the first comes before the call waits */
    OK(syscall(SYS_io_uring_enter, ring, 0, 1, IORING_ENTER_GETEVENTS, NULL, 0) == -1 && errno == EINTR);
    ualarm(0, 0);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGALRM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    raise(SIGALRM);
    sigemptyset(&set);
    OK(syscall(SYS_io_uring_enter, ring, 0, 1, IORING_ENTER_GETEVENTS, &set, 8) == -1 && errno == EINTR);
}

int main(void)
{
    if (!set_up()) {
        t_skip("no io_uring");
        return t_done();
    }
    test_files();
    test_events();
    test_calls();
    return t_done();
}
