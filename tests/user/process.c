/* Processes: fork, vfork, clone, exec, wait, pipes, scripts. */
#include "t.h"

#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

extern char **environ;

static int status_of(pid_t pid)
{
    int st;
    return waitpid(pid, &st, 0) != pid ? -1 : WIFEXITED(st) ? WEXITSTATUS(st) : -WTERMSIG(st);
}

static void test_fork(void)
{
    volatile int v = 1;
    pid_t parent = getpid(), pid = t_fork();
    if (pid == 0) {
        v = 2;
        _exit(getppid() == parent && getpid() != parent && gettid() == getpid() ? 5 : 6);
    }
    OK(status_of(pid) == 5 && v == 1);
    pid = vfork();
    if (pid == 0) {
        v = 3; /* seen by the parent: memory is shared */
        _exit(7);
    }
    OK(status_of(pid) == 7 && v == 3);
    OK(waitpid(-1, NULL, 0) == -1 && errno == ECHILD);
    pid = t_fork();
    if (pid == 0)
        for (;;)
            pause();
    siginfo_t info;
    OK(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG) == 0);
    kill(pid, SIGTERM);
    OK(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) == 0 && info.si_signo == SIGCHLD && info.si_code == CLD_KILLED &&
       info.si_status == SIGTERM && info.si_pid == pid);
    OK(status_of(pid) == -SIGTERM);
    struct rusage ru;
    int st;
    pid = t_fork();
    if (pid == 0)
        _exit(0);
    OK(wait4(pid, &st, 0, &ru) == pid && st == 0 && ru.ru_maxrss > 0);
}

static char stack[65536] __attribute__((aligned(16)));

static int clone_fn(void *arg)
{
    *(int *)arg += 1;
    return 33;
}

static volatile int released;

/* A child that shares memory with a parent that does not wait for it. */
static int beside(void *arg)
{
    while (!released)
        usleep(1000);
    *(int *)arg = getpid();
    pid_t pid = t_fork();
    if (pid == 0)
        _exit(11);
    return status_of(pid);
}

static int beside_exec(void *arg)
{
    execl("/proc/self/exe", "process", "plain", NULL);
    return 1;
}

static int beside_killed(void *arg)
{
    return raise(SIGKILL);
}

static int sister(void *arg)
{
    return 34;
}

static void test_sharing(void)
{
    static char stack2[65536] __attribute__((aligned(16)));
    int v = 0, pidfd = -1, tid = 0;
    pid_t pid = clone(beside, stack2 + sizeof stack2, CLONE_VM | CLONE_PARENT_SETTID | SIGCHLD, &v, &tid);
    OK(pid > 0 && tid == pid && v == 0);
    released = 1;
    OK(status_of(pid) == 11 && v == pid);
    OK(status_of(clone(beside_exec, stack2 + sizeof stack2, CLONE_VM | SIGCHLD, NULL)) == 42);
    OK(status_of(clone(beside_killed, stack2 + sizeof stack2, CLONE_VM | SIGCHLD, NULL)) == -SIGKILL);
    pid = clone(sister, stack2 + sizeof stack2, CLONE_VM | CLONE_FILES | CLONE_PIDFD | SIGCHLD, NULL, &pidfd);
    siginfo_t info;
    OK(waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED) == 0 && info.si_status == 34 && info.si_pid == pid);
    close(pidfd);
    pid = t_fork();
    if (pid == 0)
        _exit(clone(sister, stack2 + sizeof stack2, CLONE_PARENT | SIGCHLD, NULL) > 0 ? 12 : 13);
    OK(status_of(pid) == 12 && waitpid(-1, &v, 0) > 0 && WEXITSTATUS(v) == 34);
}

static void test_clone(void)
{
    int v = 1;
    pid_t pid = clone(clone_fn, stack + sizeof stack, SIGCHLD, &v);
    OK(status_of(pid) == 33 && v == 1);
    pid = clone(clone_fn, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, &v);
    OK(status_of(pid) == 33 && v == 2);
    pid_t ptid = 0;
    int pidfd = -1;
    pid = (pid_t)syscall(SYS_clone, CLONE_PARENT_SETTID | SIGCHLD, 0, &ptid, 0, 0);
    if (pid == 0)
        _exit(4);
    OK(ptid == pid && status_of(pid) == 4);
    pid = (pid_t)syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, 0, &pidfd, 0, 0);
    if (pid == 0)
        _exit(8);
    siginfo_t info;
    OK(pidfd >= 0 && waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED) == 0 && info.si_status == 8);
    close(pidfd);
    struct {
        uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
    } args = { 0 };
    args.exit_signal = SIGCHLD;
    pid = (pid_t)syscall(SYS_clone3, &args, sizeof args);
    if (pid == 0)
        _exit(44);
    OK(status_of(pid) == 44);
    OK(syscall(SYS_clone3, &args, 8) == -1 && errno == EINVAL);
    OK(syscall(SYS_clone, CLONE_THREAD | SIGCHLD, 0, 0, 0, 0) == -1 && errno == EINVAL);
}

static int run(const char *path, char *const argv[], char *const envp[])
{
    pid_t pid = t_fork();
    if (pid == 0) {
        execve(path, argv, envp);
        _exit(errno == ENOENT ? 100 : errno == ENOEXEC ? 101 : errno == EACCES ? 102 : 103);
    }
    return status_of(pid);
}

static char *make_file(const char *text, int mode)
{
    static char name[64];
    snprintf(name, sizeof name, "/tmp/dragoman-proc-XXXXXX");
    int fd = mkstemp(name);
    if (write(fd, text, strlen(text)) < 0)
        return NULL;
    fchmod(fd, (mode_t)mode);
    close(fd);
    return name;
}

static void test_exec(const char *self)
{
    char *argv[] = { "other name", "child", "a b", "", NULL }, *envp[] = { "X=1", "LD_PRELOAD=", "LD_TEST=two", NULL };
    OK(run(self, argv, envp) == 17);
    OK(run("/proc/self/exe", argv, envp) == 17);
    OK(run("/nonexistent/program", argv, envp) == 100);
    OK(run("/tmp", argv, envp) == 102);
    char text[5000];
    char *name = make_file("not a program", 0755);
    OK(run(name, argv, envp) == 101);
    chmod(name, 0644);
    OK(run(name, argv, envp) == 102);
    unlink(name);
    snprintf(text, sizeof text, "#! %s script arg  \nnothing\n", self);
    name = make_file(text, 0755);
    char *sargv[] = { "ignored", "last", NULL };
    setenv("SCRIPT", name, 1);
    OK(run(name, sargv, environ) == 18);
    unlink(name);
    name = make_file("#!/no/such/interpreter\n", 0755);
    OK(run(name, sargv, environ) == 100);
    unlink(name);
    int fd = open(self, O_RDONLY | O_CLOEXEC);
    pid_t pid = t_fork();
    if (pid == 0) {
        fexecve(fd, argv, envp);
        _exit(1);
    }
    OK(status_of(pid) == 17);
    close(fd);
}

static void test_spawn(const char *self)
{
    char *argv[] = { "x", "child", "a b", "", NULL }, *envp[] = { "X=1", "LD_TEST=two", "LD_PRELOAD=", NULL };
    pid_t pid;
    OK(posix_spawn(&pid, self, NULL, NULL, argv, envp) == 0 && status_of(pid) == 17);
    OK(posix_spawn(&pid, "/nonexistent", NULL, NULL, argv, envp) == ENOENT);
    sigset_t now;
    sigprocmask(SIG_BLOCK, NULL, &now);
    OK(!sigismember(&now, SIGCHLD) && !sigismember(&now, SIGTERM));
    int p[2];
    char buf[16] = "";
    OK(pipe2(p, O_CLOEXEC) == 0);
    pid = t_fork();
    if (pid == 0) {
        dup2(p[1], 1);
        execl(self, "x", "print", NULL);
        _exit(1);
    }
    close(p[1]);
    OK(read(p[0], buf, sizeof buf) == 6 && !memcmp(buf, "child\n", 6) && read(p[0], buf, 1) == 0);
    close(p[0]);
    OK(status_of(pid) == 0);
}

static volatile int chld;

static void on_chld(int sig, siginfo_t *info, void *uc)
{
    chld = info->si_pid;
}

static void test_inherit(const char *self)
{
    struct sigaction sa = { .sa_sigaction = on_chld, .sa_flags = SA_SIGINFO | SA_RESTART };
    sigaction(SIGCHLD, &sa, NULL);
    signal(SIGUSR2, SIG_IGN);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGSEGV);
    sigprocmask(SIG_BLOCK, &set, NULL);
    char *argv[] = { "x", "inherit", NULL };
    OK(run(self, argv, environ) == 19);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    OK(chld > 0);
    signal(SIGCHLD, SIG_IGN);
    pid_t pid = t_fork();
    if (pid == 0)
        _exit(0);
    OK(waitpid(pid, NULL, 0) == -1 && errno == ECHILD);
    signal(SIGCHLD, SIG_DFL);
    OK(setpgid(0, 0) == 0 || errno == EPERM);
    OK(getpgrp() == getpgid(0));
}

/* What the program was executed as, told by its exit status. */
static int child(int argc, char **argv)
{
    if (!strcmp(argv[1], "plain"))
        return 42;
    if (!strcmp(argv[1], "child"))
        return argc == 4 && !strcmp(argv[2], "a b") && !*argv[3] && getenv("X") && getenv("LD_TEST") &&
               !strcmp(getenv("LD_TEST"), "two") && getenv("LD_PRELOAD") && !getenv("HOME") ? 17 : 1;
    if (!strcmp(argv[1], "script arg"))
        return argc == 4 && !strcmp(argv[2], getenv("SCRIPT")) && !strcmp(argv[3], "last") ? 18 : 2;
    if (!strcmp(argv[1], "print"))
        return write(1, "child\n", 6) != 6;
    if (!strcmp(argv[1], "inherit")) {
        struct sigaction usr2, chld_act;
        sigset_t set;
        sigaction(SIGUSR2, NULL, &usr2);
        sigaction(SIGCHLD, NULL, &chld_act);
        sigprocmask(SIG_BLOCK, NULL, &set);
        return usr2.sa_handler == SIG_IGN && chld_act.sa_handler == SIG_DFL && sigismember(&set, SIGUSR1) &&
               sigismember(&set, SIGSEGV) && !sigismember(&set, SIGUSR2) ? 19 : 3;
    }
    return 4;
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return child(argc, argv);
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    OK(n > 0);
    self[n > 0 ? n : 0] = 0;
    test_fork();
    test_clone();
    test_sharing();
    test_exec(self);
    test_spawn(self);
    test_inherit(self);
    return t_done();
}
