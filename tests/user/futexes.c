/* Waiting on several futexes, and the futex calls by themselves; epoll with nanoseconds; signals by descriptors of
 * processes. */
#include "t.h"

#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#define NR_futex_wake    454
#define NR_futex_wait    455
#define NR_futex_requeue 456
#define FLAGS            (FUTEX_32 | FUTEX_PRIVATE_FLAG)
#define MS               1000000l

static uint32_t word[4];
static volatile sig_atomic_t handled;

static struct futex_waitv waiter(uint32_t *w)
{
    return (struct futex_waitv){.val = *w, .uaddr = (uintptr_t)w, .flags = FLAGS};
}

static struct timespec in_ms(long ms)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_nsec += ms * MS;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return t;
}

static long wake(uint32_t *w, int n)
{
    return syscall(SYS_futex, w, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, n, NULL, NULL, 0);
}

static void *wake_third(void *arg)
{
    while (wake(&word[2], 1) == 0)
        usleep(1000);
    return NULL;
}

static void *interrupt(void *arg)
{
    for (int i = 1; i <= 3; i++) {
        usleep(5000);
        pthread_kill(*(pthread_t *)arg, SIGUSR1);
        while (handled < i)
            usleep(1000);
    }
    return wake_third(NULL);
}

static void on_signal(int sig)
{
    handled++;
}

static void test_waitv(void)
{
    struct futex_waitv v[4] = {waiter(&word[0]), waiter(&word[1]), waiter(&word[2]), waiter(&word[3])};
    struct timespec late = in_ms(20);
    pthread_t t, me = pthread_self();
    if (syscall(SYS_futex_waitv, v, 4, 0, &late, CLOCK_MONOTONIC) == -1 && errno == ENOSYS) {
        t_skip("no futex_waitv");
        return;
    }
    late = in_ms(20);
    OK(syscall(SYS_futex_waitv, v, 4, 0, &late, CLOCK_MONOTONIC) == -1 && errno == ETIMEDOUT);
    pthread_create(&t, NULL, wake_third, NULL);
    OK(syscall(SYS_futex_waitv, v, 4, 0, NULL, 0) == 2);
    pthread_join(t, NULL);
    v[1].val++;
    OK(syscall(SYS_futex_waitv, v, 4, 0, NULL, 0) == -1 && errno == EAGAIN);
    v[1].val--;
    OK(syscall(SYS_futex_waitv, v, 0, 0, NULL, 0) == -1 && errno == EINVAL);
    OK(syscall(SYS_futex_waitv, v, 129, 0, NULL, 0) == -1 && errno == EINVAL);
    v[3].uaddr = 8;
    OK(syscall(SYS_futex_waitv, v, 4, 0, NULL, 0) == -1 && errno == EFAULT);
    v[3] = waiter(&word[3]);
    struct sigaction a = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &a, NULL);
    pthread_create(&t, NULL, interrupt, &me);
    OK(syscall(SYS_futex_waitv, v, 4, 0, NULL, 0) == 2 && handled == 3);
    pthread_join(t, NULL);
}

static void *wait_in_turn(void *arg)
{
    return (void *)(syscall(NR_futex_wait, &word[0], 0ul, 1ul << (uintptr_t)arg, FLAGS, NULL, 0) == 0 ? arg : NULL);
}

/* Wait, wake by mask, move the rest to another word. */
static void test_calls(void)
{
    pthread_t t[3];
    void *ret;
    word[0] = 0;
    if (syscall(NR_futex_wait, &word[0], 1ul, 1ul, FLAGS, NULL, 0) == -1 && errno == ENOSYS) {
        t_skip("no futex_wait");
        return;
    }
    struct timespec late = in_ms(10);
    OK(syscall(NR_futex_wait, &word[0], 1ul, 1ul, FLAGS, NULL, 0) == -1 && errno == EAGAIN);
    OK(syscall(NR_futex_wait, &word[0], 0ul, 1ul, FLAGS, &late, CLOCK_MONOTONIC) == -1 && errno == ETIMEDOUT);
    OK(syscall(NR_futex_wait, &word[0], 0ul, 0ul, FLAGS, NULL, 0) == -1 && errno == EINVAL);
    for (uintptr_t i = 1; i < 3; i++)
        pthread_create(&t[i], NULL, wait_in_turn, (void *)i);
    while (syscall(NR_futex_wake, &word[0], 1ul << 2, 1, FLAGS) == 0)
        usleep(1000);
    OK(pthread_join(t[2], &ret) == 0 && ret == (void *)2);
    struct futex_waitv move[2] = {waiter(&word[0]), waiter(&word[1])};
    while (syscall(NR_futex_requeue, move, 0, 0, 1) == 0)
        usleep(1000);
    OK(syscall(NR_futex_wake, &word[0], 2ul, 9, FLAGS) == 0 && syscall(NR_futex_wake, &word[1], 2ul, 9, FLAGS) == 1);
    OK(pthread_join(t[1], &ret) == 0 && ret == (void *)1);
}

static void test_epoll(void)
{
    int ep = epoll_create1(0), fd = eventfd(0, 0);
    struct epoll_event e = {.events = EPOLLIN, .data.u64 = 77}, got = {0};
    struct timespec none = {0, 0}, some = {0, 5 * MS}, bad = {0, 2000000000};
    epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
    OK(syscall(SYS_epoll_pwait2, ep, &got, 1, &none, NULL, 8) == 0 &&
       syscall(SYS_epoll_pwait2, ep, &got, 1, &some, NULL, 8) == 0);
    OK(syscall(SYS_epoll_pwait2, ep, &got, 1, &bad, NULL, 8) == -1 && errno == EINVAL);
    write(fd, &(uint64_t){1}, 8);
    OK(syscall(SYS_epoll_pwait2, ep, &got, 1, NULL, NULL, 8) == 1 && got.data.u64 == 77 && got.events == EPOLLIN);
    sigset_t usr1, empty;
    sigemptyset(&empty);
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    struct sigaction a = {.sa_handler = on_signal};
    sigaction(SIGUSR1, &a, NULL);
    sigprocmask(SIG_BLOCK, &usr1, NULL);
    read(fd, &(uint64_t){0}, 8);
    raise(SIGUSR1);
    handled = 0;
    OK(syscall(SYS_epoll_pwait2, ep, &got, 1, NULL, &empty, 8) == -1 && errno == EINTR && handled == 1);
    sigprocmask(SIG_UNBLOCK, &usr1, NULL);
    close(ep);
    close(fd);
}

static siginfo_t sent;

static void on_info(int sig, siginfo_t *info, void *context)
{
    sent = *info;
}

static void test_pidfd(void)
{
    struct sigaction a = {.sa_sigaction = on_info, .sa_flags = SA_SIGINFO};
    siginfo_t info = {.si_signo = SIGUSR2, .si_code = SI_QUEUE};
    info.si_value.sival_int = 42;
    sigaction(SIGUSR2, &a, NULL);
    int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    OK(fd >= 0 && syscall(SYS_pidfd_send_signal, fd, SIGUSR2, &info, 0) == 0 && sent.si_value.sival_int == 42 &&
       sent.si_code == SI_QUEUE);
    OK(syscall(SYS_pidfd_send_signal, fd, SIGUSR2, NULL, 0) == 0 && sent.si_code == SI_USER && sent.si_pid == getpid());
    OK(syscall(SYS_rt_tgsigqueueinfo, getpid(), getpid(), SIGUSR2, &info) == 0 && sent.si_code == SI_QUEUE);
    OK(syscall(SYS_pidfd_send_signal, fd, SIGUSR2, NULL, 0x100) == -1 && errno == EINVAL);
    close(fd);
    pid_t pid = t_fork();
    if (pid == 0)
        for (;;)
            pause();
    fd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd p = {fd, POLLIN, 0};
    OK(poll(&p, 1, 0) == 0 && syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0) == 0 && poll(&p, 1, 10000) == 1);
    OK(waitid(3 /* P_PIDFD */, (id_t)fd, &info, WEXITED) == 0 && info.si_pid == pid && info.si_code == CLD_KILLED);
    OK(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0) == -1 && errno == ESRCH);
    OK(syscall(SYS_process_mrelease, fd, 1) == -1 && (errno == EINVAL || errno == ENOSYS));
    close(fd);
}

int main(void)
{
    test_waitv();
    test_calls();
    test_epoll();
    test_pidfd();
    return t_done();
}
