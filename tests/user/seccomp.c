/* seccomp: filters see this machine's numbers, arguments and architecture; every action; notification; threads; execve. */
#include "t.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#ifdef __aarch64__
#define ARCH AUDIT_ARCH_AARCH64
#else
#define ARCH AUDIT_ARCH_X86_64
#endif
#define FIELD(f) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, f))
#define RET(v) BPF_STMT(BPF_RET | BPF_K, v)
#define IF(v, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, v, yes, no)

static int install(const struct sock_filter *f, size_t n, unsigned flags)
{
    struct sock_fprog p = { (unsigned short)n, (struct sock_filter *)f };
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &p);
}

/* A filter that gives `action` for call `nr`, and allows the rest. */
static int on_call(long nr, unsigned action, unsigned flags)
{
    const struct sock_filter f[] = { FIELD(arch), IF(ARCH, 1, 0), RET(SECCOMP_RET_KILL_PROCESS), FIELD(nr),
                                     IF((unsigned)nr, 0, 1), RET(action), RET(SECCOMP_RET_ALLOW) };
    return install(f, sizeof f / sizeof f[0], flags);
}

static int status_of(pid_t pid)
{
    int st;
    return waitpid(pid, &st, 0) != pid ? -1 : WIFEXITED(st) ? WEXITSTATUS(st) : -WTERMSIG(st);
}

/* Run fn in a child without new privileges; its exit status, or minus the signal that it died of. */
static int in_child(int (*fn)(void))
{
    pid_t pid = t_fork();
    if (pid == 0) {
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        _exit(fn());
    }
    return status_of(pid);
}

static int refused(const struct sock_filter *f, size_t n)
{
    return install(f, n, 0) == -1 && errno == EINVAL;
}

static int bad_programs(void)
{
    static const struct sock_filter open_end[] = { FIELD(nr) }, beyond[] = { BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 64), RET(0) },
        crooked[] = { BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 2), RET(0) }, bytes[] = { BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0), RET(0) },
        jump[] = { IF(1, 1, 0), RET(0) }, zero[] = { BPF_STMT(BPF_ALU | BPF_DIV | BPF_K, 0), RET(0) },
        shift[] = { BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 32), RET(0) }, unset[] = { BPF_STMT(BPF_LD | BPF_MEM, 3), RET(0) },
        word[] = { BPF_STMT(BPF_ST, 16), RET(0) }, mod[] = { BPF_STMT(BPF_ALU | 0x90 | BPF_K, 3), RET(0) },
        half[] = { FIELD(nr), IF(1, 0, 1), BPF_STMT(BPF_ST, 3), BPF_STMT(BPF_LD | BPF_MEM, 3), RET(0) },
        away[] = { BPF_STMT(BPF_JMP | BPF_JA, 1), RET(0) };
    struct sock_filter many[4097];
    for (size_t i = 0; i < 4097; i++)
        many[i] = (struct sock_filter)RET(SECCOMP_RET_ALLOW);
    return refused(open_end, 1) && refused(beyond, 2) && refused(crooked, 2) && refused(bytes, 2) && refused(jump, 2) &&
           refused(zero, 2) && refused(shift, 2) && refused(unset, 2) && refused(word, 2) && refused(mod, 2) && refused(half, 5) &&
           refused(away, 2) && refused(many, 0) && refused(many, 4097);
}

static int bad_calls(void)
{
    unsigned action = SECCOMP_RET_TRAP, unknown = 0x7ffd0000;
    unsigned short sizes[3] = { 0 };
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, NULL) == -1 && errno == EFAULT &&
           syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0x4000, NULL) == -1 && errno == EINVAL &&
           syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 1, NULL) == -1 && errno == EINVAL &&
           syscall(SYS_seccomp, 99, 0, NULL) == -1 && errno == EINVAL &&
           syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0 &&
           syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &unknown) == -1 && errno == EOPNOTSUPP &&
           syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, sizes) == 0 && sizes[0] == sizeof(struct seccomp_notif) &&
           sizes[1] == sizeof(struct seccomp_notif_resp) && sizes[2] == sizeof(struct seccomp_data) &&
           prctl(PR_SET_SECCOMP, 7, 0) == -1 && errno == EINVAL && prctl(PR_GET_SECCOMP) == 0;
}

/* Arithmetic, scratch memory, jumps and the index register: the action depends on them all. */
static int machine(void)
{
    const struct sock_filter f[] = {
        FIELD(nr), IF(SYS_getpriority, 0, 17),
        FIELD(args[0]), BPF_STMT(BPF_ST, 5), BPF_STMT(BPF_LDX | BPF_MEM, 5), BPF_STMT(BPF_ALU | BPF_MUL | BPF_X, 0),
        BPF_STMT(BPF_ALU | BPF_ADD | BPF_K, 7), BPF_STMT(BPF_ALU | BPF_SUB | BPF_X, 0), BPF_STMT(BPF_MISC | BPF_TAX, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0), BPF_STMT(BPF_ALU | BPF_DIV | BPF_K, 2), BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 3),
        BPF_STMT(BPF_ALU | BPF_OR | BPF_X, 0), BPF_STMT(BPF_ALU | 0xa0 /* XOR */ | BPF_K, 1), BPF_STMT(BPF_ALU | BPF_NEG, 0),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xfff), BPF_STMT(BPF_ALU | BPF_OR | BPF_K, SECCOMP_RET_ERRNO),
        BPF_STMT(BPF_RET | BPF_A, 0), BPF_STMT(BPF_JMP | BPF_JA, 0), RET(SECCOMP_RET_ALLOW),
    };
    if (install(f, sizeof f / sizeof f[0], 0) != 0)
        return 1;
    unsigned x = 5, want = -(((64 / 2 << 3) | (x * x + 7 - x)) ^ 1u) & 0xfff;
    return syscall(SYS_getpriority, 5, 0) == -1 && errno == (int)want ? 0 : 2;
}

static int with_errno(void)
{
    if (on_call(SYS_getppid, SECCOMP_RET_ERRNO | 77, 0) != 0)
        return 1;
    if (syscall(SYS_getppid) != -1 || errno != 77 || prctl(PR_GET_SECCOMP) != 2)
        return 2;
    on_call(SYS_getppid, SECCOMP_RET_ERRNO | 78, 0); /* of equal actions the newest counts */
    if (syscall(SYS_getppid) != -1 || errno != 78)
        return 3;
    on_call(SYS_getppid, SECCOMP_RET_LOG, 0); /* weaker than what is there */
    if (syscall(SYS_getppid) != -1 || errno != 78)
        return 4;
    on_call(SYS_getppid, SECCOMP_RET_TRACE, 0); /* weaker too */
    on_call(SYS_getuid, SECCOMP_RET_TRACE, 0);
    if (syscall(SYS_getppid) != -1 || errno != 78 || syscall(SYS_getuid) != -1 || errno != ENOSYS)
        return 5;
    pid_t pid = t_fork(); /* children have it too */
    if (pid == 0)
        _exit(syscall(SYS_getppid) == -1 && errno == 78);
    if (status_of(pid) != 1)
        return 6;
    on_call(SYS_getppid, SECCOMP_RET_ERRNO, 0);
    return syscall(SYS_getppid) == 0 && on_call(SYS_getgid, SECCOMP_RET_ERRNO | 0xffff, 0) == 0 && syscall(SYS_getgid) == -1 &&
           errno == 4095 ? 0 : 7;
}

static siginfo_t trapped;

static void on_sigsys(int sig, siginfo_t *info, void *uc)
{
    trapped = *info;
}

static int with_trap(void)
{
    struct sigaction sa = { .sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO };
    sigaction(SIGSYS, &sa, NULL);
    if (on_call(SYS_getppid, SECCOMP_RET_TRAP | 9, 0) != 0)
        return 1;
    syscall(SYS_getppid);
    if (trapped.si_signo != SIGSYS || trapped.si_code != 1 || trapped.si_errno != 9 || trapped.si_syscall != SYS_getppid ||
        trapped.si_arch != ARCH || !trapped.si_call_addr)
        return 2;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGSYS);
    sigprocmask(SIG_BLOCK, &set, NULL); /* it cannot be put off */
    syscall(SYS_getppid);
    return 3;
}

static int with_kill_process(void)
{
    on_call(SYS_getppid, SECCOMP_RET_KILL_PROCESS, 0);
    syscall(SYS_getppid);
    return 1;
}

static void *die(void *arg)
{
    syscall(SYS_getppid);
    *(int *)arg = 1;
    return NULL;
}

static int with_kill_thread(void)
{
    pthread_t th;
    int survived = 0;
    on_call(SYS_getppid, SECCOMP_RET_KILL_THREAD, 0);
    pthread_create(&th, NULL, die, &survived);
    pthread_join(th, NULL);
    if (survived)
        return 1;
    syscall(SYS_getppid); /* the last thread: the process */
    return 2;
}

static int unknown_action(void)
{
    on_call(SYS_getppid, 0x12340000, 0);
    syscall(SYS_getppid);
    return 1;
}

static int strict(void)
{
    int fd[2];
    char c = 'x';
    if (pipe(fd) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0)
        return 1;
    if (write(fd[1], &c, 1) != 1 || read(fd[0], &c, 1) != 1)
        return 2;
    syscall(SYS_exit, 42);
    return 3;
}

static int strict_broken(void)
{
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
    syscall(SYS_getppid);
    return 1;
}

static int status_lines(void)
{
    char buf[8192], *p;
    on_call(SYS_getppid, SECCOMP_RET_ALLOW, 0);
    on_call(SYS_getppid, SECCOMP_RET_ALLOW, 0);
    FILE *f = fopen("/proc/self/status", "r");
    size_t n = f ? fread(buf, 1, sizeof buf - 1, f) : 0;
    buf[n] = 0;
    p = strstr(buf, "\nSeccomp_filters:\t2\n");
    return p && strstr(buf, "\nSeccomp:\t2\n") && strstr(buf, "\nNoNewPrivs:\t1\n") ? 0 : 1;
}

static int go[2], done[2];

static void *wait_and_see(void *arg)
{
    char c;
    read(go[0], &c, 1);
    *(int *)arg = syscall(SYS_getppid) == -1 && errno == 66;
    return NULL;
}

static void *diverge(void *arg)
{
    char c = 0;
    *(int *)arg = gettid();
    on_call(SYS_getegid, SECCOMP_RET_ERRNO | 3, 0);
    write(done[1], &c, 1);
    read(go[0], &c, 1);
    return NULL;
}

static int threads(void)
{
    pthread_t th;
    int seen = 0, tid = 0;
    char c;
    pipe(go);
    pipe(done);
    pthread_create(&th, NULL, wait_and_see, &seen);
    if (on_call(SYS_getppid, SECCOMP_RET_ERRNO | 66, SECCOMP_FILTER_FLAG_TSYNC) != 0)
        return 1;
    write(go[1], "x", 1);
    pthread_join(th, NULL);
    if (!seen)
        return 2;
    pthread_create(&th, NULL, diverge, &tid);
    read(done[0], &c, 1);
    int got = on_call(SYS_getgid, SECCOMP_RET_ERRNO | 5, SECCOMP_FILTER_FLAG_TSYNC);
    if (got != tid || syscall(SYS_getgid) == (long)-1)
        return 3;
    write(go[1], "x", 1);
    pthread_join(th, NULL);
    return 0;
}

static char self[4096];

static int over_exec(void)
{
    on_call(SYS_getppid, SECCOMP_RET_ERRNO | 55, 0);
    execl(self, self, "child", NULL);
    return 1;
}

/* The supervisor's part: answer the child's calls until it has ended. */
static int supervise(int fd, pid_t pid)
{
    struct seccomp_notif n;
    struct seccomp_notif_resp r;
    int good = 0;
    for (int i = 0; i < 3; i++) {
        memset(&n, 0, sizeof n);
        if (ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &n) != 0)
            return -1;
        good += n.data.nr == SYS_getpriority && n.data.arch == ARCH && n.data.args[1] == (unsigned)i + 10 && (pid_t)n.pid == pid;
        good += ioctl(fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &n.id) == 0;
        memset(&r, 0, sizeof r);
        r.id = n.id;
        if (i == 0)
            r.val = 1234;
        else if (i == 1)
            r.error = -EXDEV;
        else
            r.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
        good += ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &r) == 0;
    }
    r.id = 12345;
    return good == 9 && ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &r) == -1 && errno == ENOENT;
}

static void test_notify(void)
{
    int fds[2];
    pipe(fds);
    pid_t pid = t_fork();
    if (pid == 0) {
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        int fd = on_call(SYS_getpriority, SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER);
        write(fds[1], &fd, sizeof fd);
        if (on_call(SYS_getpriority, SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER) != -1 || errno != EBUSY)
            _exit(9);
        errno = 0;
        long a = syscall(SYS_getpriority, 0, 10);
        long b = syscall(SYS_getpriority, 0, 11);
        int e = errno;
        long c = syscall(SYS_getpriority, 99, 12);
        _exit(a == 1234 && b == -1 && e == EXDEV && c == -1 && errno == EINVAL ? 17 : 18);
    }
    int theirs, pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    OK(read(fds[0], &theirs, sizeof theirs) == sizeof theirs && theirs >= 0);
    int fd = (int)syscall(SYS_pidfd_getfd, pidfd, theirs, 0);
    OK(fd >= 0);
    OK(supervise(fd, pid) == 1);
    OK(status_of(pid) == 17);
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "child"))
        return syscall(SYS_getppid) == -1 && errno == 55 && prctl(PR_GET_SECCOMP) == 2 ? 44 : 45;
    self[readlink("/proc/self/exe", self, sizeof self - 1)] = 0;
    OK(in_child(bad_programs) == 1);
    OK(in_child(bad_calls) == 1);
    OK(in_child(machine) == 0);
    OK(in_child(with_errno) == 0);
    OK(in_child(with_trap) == -SIGSYS && trapped.si_signo == 0);
    OK(in_child(with_kill_process) == -SIGSYS);
    OK(in_child(with_kill_thread) == -SIGSYS);
    OK(in_child(unknown_action) == -SIGSYS);
    OK(in_child(strict) == 42);
    OK(in_child(strict_broken) == -SIGKILL);
    OK(in_child(status_lines) == 0);
    OK(in_child(threads) == 0);
    OK(in_child(over_exec) == 44);
    test_notify();
    return t_done();
}
