/* Corners of many calls: what they refuse, and with which error. */
#include "t.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/prctl.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define PAGE 4096ul
#define SET_MDWE 65
#define GET_MDWE 66
#define GET_AUXV 0x41555856
#define NEWTIME 0x80
#define CLEAR_SIGHAND UINT64_C(0x100000000)
#define INTO_CGROUP UINT64_C(0x200000000)
#define FAILS(call, err) OK((call) == -1 && errno == (err))

static int status_of(pid_t pid)
{
    int st;
    return waitpid(pid, &st, 0) != pid ? -1 : WIFEXITED(st) ? WEXITSTATUS(st) : -WTERMSIG(st);
}

static void test_files(void)
{
    char grown[64] = "";
    struct open_how how = { .flags = O_RDONLY };
    memcpy(grown, &how, sizeof how);
    OK(syscall(SYS_openat2, AT_FDCWD, "/", grown, 40) >= 0);
    grown[30] = 1;
    FAILS(syscall(SYS_openat2, AT_FDCWD, "/", grown, 40), E2BIG);
    FAILS(syscall(SYS_openat2, AT_FDCWD, "/", grown, 5000), E2BIG);
    FAILS(syscall(SYS_openat2, AT_FDCWD, "/", grown, 20), EINVAL);
    int ep = epoll_create1(0), fd = eventfd(0, 0);
    struct epoll_event e = { .events = EPOLLIN };
    OK(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) == 0 && epoll_ctl(ep, EPOLL_CTL_DEL, fd, (void *)8) == 0);
    FAILS(epoll_ctl(ep, EPOLL_CTL_ADD, fd, (void *)8), EFAULT);
    char *argv[] = { "x", NULL };
    FAILS(syscall(SYS_execveat, AT_FDCWD, "/bin/true", argv, NULL, 0x8888), EINVAL);
    FAILS(getrandom(grown, 8, GRND_RANDOM | GRND_INSECURE), EINVAL);
    FAILS(syscall(SYS_restart_syscall), EINTR);
}

static void test_mapping(void)
{
    char *p = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    OK(mprotect(p, PAGE, PROT_READ | 8 /* PROT_SEM */) == 0);
    FAILS(mprotect(p, PAGE, PROT_READ | PROT_GROWSDOWN), EINVAL);
    FAILS(mprotect(p, PAGE, PROT_READ | PROT_GROWSUP), EINVAL);
    char *stack = (char *)((uintptr_t)&p & ~(PAGE - 1));
    OK(mprotect(stack, PAGE, PROT_READ | PROT_WRITE | PROT_GROWSDOWN) == 0);
    void *huge = mmap(NULL, 100, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
    OK(huge == MAP_FAILED ? errno == ENOMEM : ((uintptr_t)huge & ((2ul << 20) - 1)) == 0);
    FAILS(syscall(SYS_mremap, p, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 1), EINVAL);
}

static void abort_by(int sig)
{
    abort();
}

static void test_clone3(void)
{
    struct {
        uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
    } a = { .flags = UINT64_C(1) << 40, .exit_signal = SIGCHLD };
    FAILS(syscall(SYS_clone3, &a, sizeof a), EINVAL);
    a.flags = CLONE_DETACHED;
    FAILS(syscall(SYS_clone3, &a, sizeof a), EINVAL);
    a.flags = CLONE_PARENT;
    FAILS(syscall(SYS_clone3, &a, sizeof a), EINVAL);
    a.flags = CLONE_FS | CLONE_NEWNS;
    FAILS(syscall(SYS_clone3, &a, sizeof a), EINVAL);
    a.flags = 0;
    a.set_tid_size = 1;
    FAILS(syscall(SYS_clone3, &a, sizeof a), EINVAL);
    a.set_tid_size = 0;
    long pid = syscall(SYS_clone3, &a, 64);
    if (pid == 0)
        _exit(3);
    OK(pid > 0 && status_of((pid_t)pid) == 3);
    pid_t wanted = 1; /* there is one; who may not choose is told so */
    a.set_tid = (uintptr_t)&wanted;
    a.set_tid_size = 1;
    long got = syscall(SYS_clone3, &a, sizeof a);
    if (got == 0)
        _exit(4);
    OK(got == -1 && (errno == EEXIST || errno == EPERM));
    wanted = (pid_t)pid; /* free again */
    got = syscall(SYS_clone3, &a, sizeof a);
    if (got == 0)
        _exit(getpid() == wanted ? 5 : 6);
    OK(got == wanted ? status_of(wanted) == 5 : got == -1 && errno == EPERM);
    a.set_tid = a.set_tid_size = 0;
    a.flags = NEWTIME;
    got = syscall(SYS_clone3, &a, sizeof a);
    if (got == 0)
        _exit(10);
    OK(got > 0 ? status_of((pid_t)got) == 10 : errno == EPERM);
    a.flags = CLEAR_SIGHAND;
    signal(SIGUSR1, abort_by);
    signal(SIGUSR2, SIG_IGN);
    got = syscall(SYS_clone3, &a, sizeof a);
    if (got == 0)
        _exit(signal(SIGUSR1, SIG_DFL) == SIG_DFL && signal(SIGUSR2, SIG_DFL) == SIG_IGN ? 7 : 8);
    OK(got > 0 && status_of((pid_t)got) == 7 && signal(SIGUSR1, SIG_DFL) == abort_by);
    a.flags = INTO_CGROUP;
    FAILS(syscall(SYS_clone3, &a, 80), EINVAL);
    a.cgroup = 9999;
    FAILS(syscall(SYS_clone3, &a, sizeof a), EBADF);
    int dir = open("/sys/fs/cgroup", O_RDONLY | O_DIRECTORY); /* the root of version 2, where that is mounted there */
    a.cgroup = (uint64_t)dir;
    got = dir < 0 || access("/sys/fs/cgroup/cgroup.procs", W_OK) != 0 ? -1 : syscall(SYS_clone3, &a, sizeof a);
    if (got == 0)
        _exit(9);
    if (got > 0)
        OK(status_of((pid_t)got) == 9);
    else
        t_skip("no control group to start in");
    close(dir);
}

static char stack[65536] __attribute__((aligned(16)));
static volatile int copy;

static int change(void *arg)
{
    umask(011);
    copy = dup(0);
    syscall(SYS_exit, 0);
    return 0;
}

static void run_thread(int flags)
{
    static volatile int tid;
    flags |= CLONE_VM | CLONE_THREAD | CLONE_SIGHAND | CLONE_SYSVSEM | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;
    OK(clone(change, stack + sizeof stack, flags, NULL, &tid, NULL, &tid) > 0);
    while (tid)
        usleep(1000);
}

/* Threads share what their flags say. */
static void test_shares(void)
{
    umask(022);
    run_thread(0);
    OK(umask(022) == 022 && fcntl(copy, F_GETFD) == -1);
    run_thread(CLONE_FILES | CLONE_FS);
    OK(umask(022) == 011 && fcntl(copy, F_GETFD) == 0);
    close(copy);
    FAILS(clone(change, stack + sizeof stack, CLONE_VM | CLONE_THREAD | CLONE_SIGHAND | CLONE_NEWPID, NULL), EINVAL);
}

static int refuses_exec(void)
{
    char *p = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *x = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p != MAP_FAILED && x != MAP_FAILED && mprotect(p, PAGE, PROT_READ | PROT_EXEC) == -1 && errno == EACCES &&
           mprotect(x, PAGE, PROT_EXEC) == 0 && mprotect(x, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC) == -1 && errno == EACCES &&
           mmap(NULL, PAGE, PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == EACCES;
}

static int deny_exec(void)
{
    if (prctl(SET_MDWE, 2, 0, 0, 0) != -1 || errno != EINVAL || prctl(SET_MDWE, 1, 0, 0, 0) != 0 || prctl(GET_MDWE, 0, 0, 0, 0) != 1 ||
        !refuses_exec() || prctl(SET_MDWE, 0, 0, 0, 0) != -1 || errno != EPERM)
        return 1;
    pid_t pid = t_fork();
    if (pid == 0)
        _exit(refuses_exec() ? 9 : 10);
    if (status_of(pid) != 9)
        return 2;
    execl("/proc/self/exe", "calls", "refuses", NULL);
    return 3;
}

static void test_prctl(void)
{
    unsigned size = 0;
    unsigned long auxv[128];
    if (prctl(GET_MDWE, 0, 0, 0, 0) == 0) {
        pid_t pid = t_fork();
        if (pid == 0)
            _exit(deny_exec());
        OK(status_of(pid) == 41);
    } else {
        t_skip("no PR_SET_MDWE");
    }
    int counter = 0;
    OK(prctl(PR_GET_TSC, &counter) == 0 && counter == PR_TSC_ENABLE && prctl(PR_SET_TSC, PR_TSC_ENABLE) == 0);
    FAILS(prctl(PR_SET_TSC, 7), EINVAL);
    FAILS(prctl(PR_GET_TSC, 8), EFAULT);
    OK(prctl(PR_SET_MM, PR_SET_MM_MAP_SIZE, &size, 0, 0) == 0 && size == sizeof(struct prctl_mm_map));
    FAILS(prctl(PR_SET_MM, PR_SET_MM_ARG_START, auxv, 1, 0), EINVAL);
    FAILS(prctl(PR_SET_MM, PR_SET_MM_MAP, auxv, 5, 0), EINVAL);
    if (prctl(GET_AUXV, auxv, sizeof auxv, 0, 0) > 0)
        OK(auxv[0] != 0);
    else
        t_skip("no PR_GET_AUXV");
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return refuses_exec() ? 41 : 42;
    test_files();
    test_mapping();
    test_clone3();
    test_shares();
    test_prctl();
    return t_done();
}
