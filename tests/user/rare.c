/* Calls that few programs make: comparing processes, scheduling, page caches, reads and writes with flags, security
 * modules. */
#include "t.h"

#include <fcntl.h>
#include <linux/kcmp.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#define PAGE                       4096ul
#define NR_set_mempolicy_home_node 450
#define NR_cachestat               451
#define NR_fchmodat2               452
#define NR_lsm_get_self_attr       459
#define NR_lsm_list_modules        461

static int status_of(pid_t pid)
{
    int st;
    return waitpid(pid, &st, 0) != pid ? -1 : WIFEXITED(st) ? WEXITSTATUS(st) : -WTERMSIG(st);
}

static int missing(const char *what)
{
    if (errno != ENOSYS && errno != EPERM)
        return 0;
    t_skip(what);
    return 1;
}

static void test_compare(void)
{
    int fd = open("/", O_RDONLY), copy = dup(fd), other = open("/", O_RDONLY), go[2];
    pipe(go);
    pid_t me = getpid(), pid = t_fork();
    if (pid == 0) {
        char c;
        read(go[0], &c, 1);
        _exit(0);
    }
    if (syscall(SYS_kcmp, me, me, KCMP_FILE, fd, copy) == -1 && missing("no kcmp")) {
        kill(pid, SIGKILL);
    } else {
        OK(syscall(SYS_kcmp, me, me, KCMP_FILE, fd, copy) == 0 && syscall(SYS_kcmp, me, me, KCMP_FILE, fd, other) > 0);
        OK(syscall(SYS_kcmp, me, pid, KCMP_FILE, fd, fd) == 0 && syscall(SYS_kcmp, me, pid, KCMP_VM, 0, 0) > 0);
        OK(syscall(SYS_kcmp, me, me, KCMP_VM, 0, 0) == 0 && syscall(SYS_kcmp, me, me, 99, 0, 0) == -1 &&
           errno == EINVAL);
        write(go[1], "x", 1);
    }
    status_of(pid);
    close(fd);
    close(copy);
    close(other);
}

static void test_schedule(void)
{
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
        uint32_t min, max;
    } a = {.size = 1};
    OK(syscall(SYS_sched_getattr, 0, &a, sizeof a, 0) == 0 && a.size >= 48 && a.policy == SCHED_OTHER);
    pid_t pid = t_fork();
    if (pid == 0) {
        a.policy = SCHED_BATCH;
        a.nice = 7;
        a.size = 48;
        _exit(syscall(SYS_sched_setattr, 0, &a, 0) == 0 && sched_getscheduler(0) == SCHED_BATCH && nice(0) == 7 ? 3
                                                                                                                : 4);
    }
    OK(status_of(pid) == 3);
    a.size = 5000;
    OK(syscall(SYS_sched_setattr, 0, &a, 0) == -1 && errno == E2BIG);
    OK(syscall(SYS_sched_getattr, 0, &a, 4, 0) == -1 && errno == EINVAL);
}

static void test_files(void)
{
    char path[] = "/tmp/dragoman-rare-XXXXXX", text[8] = "";
    int fd = mkstemp(path);
    struct iovec out[2] = {{"abc", 3}, {"def", 3}}, in[2] = {{text, 3}, {text + 3, 3}};
    OK(pwritev2(fd, out, 2, 0, RWF_DSYNC) == 6 && pwritev2(fd, out, 1, 0, RWF_APPEND) == 3 &&
       lseek(fd, 0, SEEK_END) == 9);
    OK(preadv2(fd, in, 2, 3, 0) == 6 && !strcmp(text, "defabc"));
    OK(lseek(fd, 1, SEEK_SET) == 1 && preadv2(fd, in, 1, -1, RWF_HIPRI) == 3 && !memcmp(text, "bcd", 3) &&
       lseek(fd, 0, SEEK_CUR) == 4);
    OK(preadv2(fd, in, 1, 0, 0x40000000) == -1 && errno == EOPNOTSUPP);
    struct stat st;
    if (syscall(NR_fchmodat2, AT_FDCWD, path, 0640, AT_SYMLINK_NOFOLLOW) == 0)
        OK(stat(path, &st) == 0 && (st.st_mode & 07777) == 0640);
    else if (!missing("no fchmodat2"))
        OK(0);
    struct {
        uint64_t off, len;
    } range = {0, 0};
    uint64_t cached[5];
    if (syscall(NR_cachestat, fd, &range, cached, 0) == 0)
        OK(cached[0] >= 1 && syscall(NR_cachestat, fd, NULL, cached, 0) == -1 && errno == EFAULT);
    else if (!missing("no cachestat"))
        OK(0);
    OK(syscall(SYS_quotactl_fd, fd, 0x80000700u /* Q_GETINFO, users */, 0, text) == -1 && errno != EFAULT);
    unlink(path);
    close(fd);
}

static void test_policies(void)
{
    char *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsigned long mask = 1;
    int node = -1, status[1] = {-1};
    void *pages[1] = {p};
    p[0] = 1;
    if (syscall(SYS_mbind, p, PAGE, 2 /* MPOL_BIND */, &mask, 2, 0) == -1 && missing("no policies"))
        return;
    OK(syscall(SYS_get_mempolicy, &node, NULL, 0, p, 3 /* the page's node */) == 0 && node == 0);
    OK(syscall(NR_set_mempolicy_home_node, p, PAGE, 0, 0) == 0 || errno == ENOSYS);
    OK(syscall(SYS_move_pages, 0, 1ul, pages, NULL, status, 0) == 0 && status[0] == 0);
    munmap(p, PAGE);
}

static void test_modules(void)
{
    uint64_t ids[32];
    uint32_t size = sizeof ids, small = 1;
    long n = syscall(NR_lsm_list_modules, ids, &size, 0);
    if (n < 0 && missing("no lists of security modules"))
        return;
    OK(n >= 0 && size == (uint64_t)n * 8);
    OK(n == 0 || (syscall(NR_lsm_list_modules, ids, &small, 0) == -1 && errno == E2BIG));
    OK(syscall(NR_lsm_list_modules, ids, &size, 1) == -1 && errno == EINVAL);
    OK(syscall(NR_lsm_get_self_attr, 0, NULL, &size, 0) == -1 && (errno == EINVAL || errno == EOPNOTSUPP));
}

int main(void)
{
    test_compare();
    test_schedule();
    test_files();
    test_policies();
    test_modules();
    return t_done();
}
