/* Thousands of signals into every kind of waiting call: none lost, none twice, no call done twice or not at all. */
#include "t.h"

#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>

#define SIG_STORM (SIGRTMIN + 1)
#define SIG_ASIDE (SIGRTMIN + 2) /* blocked in the victim; taken by sigtimedwait */
#define ROUNDS 3000

static atomic_int handled, wrong_order, sent, ready, done, interrupted;
static int next_value;
static int data[2], back[2], listener;
static struct sockaddr_un address;
static _Atomic uint32_t word;
static int answered;

static void on_storm(int sig, siginfo_t *info, void *uc)
{
    if (info->si_value.sival_int != next_value++) /* the queue keeps its order */
        wrong_order++;
    handled++;
}

/* Whether the call was interrupted, which with SA_RESTART must not show. */
static int again(long ret)
{
    if (ret >= 0 || errno != EINTR)
        return 0;
    interrupted++;
    return 1;
}

/* --- victims --------------------------------------------------------------------------------------------------------- */

/* Every byte of a sequence, read one to three at a time. */
static void read_bytes(void)
{
    unsigned char buf[3], want = 0;
    for (int left = ROUNDS; left > 0;) {
        ssize_t n = read(data[0], buf, left < 3 ? (size_t)left : 3);
        if (again(n))
            continue;
        for (ssize_t i = 0; i < n; i++)
            answered += buf[i] == want++;
        left -= (int)n;
        if (n <= 0)
            return;
    }
}

static void *feed_bytes(void *arg)
{
    for (int i = 0; i < ROUNDS; i++) {
        unsigned char c = (unsigned char)i;
        if (write(data[1], &c, 1) != 1)
            return NULL;
        if (i % 64 == 0)
            usleep(100);
    }
    return NULL;
}

/* Into a full pipe, in pieces that do not fit at once. */
static void write_bytes(void)
{
    static char buf[ROUNDS * 64];
    for (size_t i = 0; i < sizeof buf; i++)
        buf[i] = (char)(i * 7 >> 3);
    for (size_t at = 0; at < sizeof buf;) {
        ssize_t n = write(back[1], buf + at, sizeof buf - at < 50000 ? sizeof buf - at : 50000);
        if (again(n))
            continue;
        if (n <= 0)
            return;
        at += (size_t)n;
    }
}

static void *drain_bytes(void *arg)
{
    char buf[1000];
    size_t at = 0;
    int good = 1;
    while (at < ROUNDS * 64) {
        ssize_t n = read(back[0], buf, sizeof buf);
        for (ssize_t i = 0; i < n; i++, at++)
            good &= buf[i] == (char)(at * 7 >> 3);
        if (n <= 0)
            return NULL;
        usleep(20);
    }
    answered = good ? ROUNDS : 0;
    return NULL;
}

static void wait_futex(void)
{
    for (uint32_t seen = 0; seen < ROUNDS;) {
        uint32_t now = word;
        if (now == seen) {
            struct timespec ts = { 10, 0 };
            again(syscall(SYS_futex, &word, FUTEX_WAIT, now, seen & 1 ? &ts : NULL, NULL, 0));
            continue;
        }
        answered += (int)(now - seen);
        seen = now;
    }
}

static void *wake_futex(void *arg)
{
    for (int i = 0; i < ROUNDS; i++) {
        word++;
        syscall(SYS_futex, &word, FUTEX_WAKE, 1, NULL, NULL, 0);
        if (i % 16 == 0)
            usleep(20);
    }
    return NULL;
}

/* What is left of a sleep is slept: never less than the whole. */
static void sleep_on(void)
{
    for (int i = 0; i < 20; i++) {
        struct timespec ts = { 0, 3000000 }, a, b;
        clock_gettime(CLOCK_MONOTONIC, &a);
        while (again(nanosleep(&ts, &ts)))
            ;
        clock_gettime(CLOCK_MONOTONIC, &b);
        if ((b.tv_sec - a.tv_sec) * 1000000000L + b.tv_nsec - a.tv_nsec >= 3000000)
            answered += ROUNDS / 20;
    }
}

static void accept_all(void)
{
    for (int n = 0; n < ROUNDS / 10;) {
        int fd = accept(listener, NULL, NULL);
        if (again(fd))
            continue;
        if (fd < 0)
            return;
        close(fd);
        n++;
        answered += 10;
    }
}

static void *connect_all(void *arg)
{
    for (int i = 0; i < ROUNDS / 10; i++) {
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
            return NULL;
        close(fd);
    }
    return NULL;
}

/* Signals that are not handled but fetched, while others are handled. */
static void fetch_signals(void)
{
    sigset_t set;
    siginfo_t info;
    sigemptyset(&set);
    sigaddset(&set, SIG_ASIDE);
    for (int i = 0; i < ROUNDS;) {
        int sig = sigwaitinfo(&set, &info);
        if (again(sig))
            continue;
        answered += sig == SIG_ASIDE && info.si_value.sival_int == i++;
    }
}

static pthread_t victim;

static void *send_aside(void *arg)
{
    for (int i = 0; i < ROUNDS; i++)
        while (pthread_sigqueue(victim, SIG_ASIDE, (union sigval){ .sival_int = i }) == EAGAIN)
            usleep(50);
    return NULL;
}

/* Masks that open for the time of a call only. */
static void poll_masked(void)
{
    sigset_t storm, none;
    sigemptyset(&none);
    sigaddset(&none, SIG_ASIDE);
    sigemptyset(&storm);
    sigaddset(&storm, SIG_STORM);
    pthread_sigmask(SIG_BLOCK, &storm, NULL);
    for (int i = 0; i < ROUNDS; i++) {
        int before = handled;
        struct timespec ts = { 0, 1000 };
        int n = ppoll(NULL, 0, &ts, &none);
        answered += n == 0 || (n == -1 && errno == EINTR && handled > before);
    }
    pthread_sigmask(SIG_UNBLOCK, &storm, NULL);
}

/* --- the storm ------------------------------------------------------------------------------------------------------- */

static void *run_victim(void *arg)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIG_ASIDE);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    sigemptyset(&set);
    sigaddset(&set, SIG_STORM);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    ready = 1;
    while (!sent) /* the storm may be late on a busy machine, and the rounds be over */
        sched_yield();
    ((void (*)(void))arg)();
    done = 1;
    while (done == 1 || handled < sent) /* what is on its way still comes */
        sched_yield();
    return NULL;
}

static void *storm(void *arg)
{
    int value = 0;
    while (!done) {
        if (value - handled > 32) { /* a victim that does nothing but handle signals would not get on */
            usleep(50);
            continue;
        }
        if (pthread_sigqueue(victim, SIG_STORM, (union sigval){ .sival_int = value }) == 0) {
            value++;
            sent = value;
        }
        if (value % 8 == 0)
            usleep(30);
    }
    done = 2;
    return NULL;
}

static void run(const char *what, void (*fn)(void), void *(*helper)(void *), int restart)
{
    struct sigaction sa = { .sa_sigaction = on_storm, .sa_flags = SA_SIGINFO | (restart ? SA_RESTART : 0) };
    sigset_t all, old;
    pthread_t s, h;
    sigaction(SIG_STORM, &sa, NULL);
    handled = wrong_order = sent = ready = done = interrupted = answered = next_value = 0;
    word = 0;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &old);
    pthread_create(&victim, NULL, run_victim, (void *)fn);
    while (!ready)
        sched_yield();
    pthread_create(&s, NULL, storm, NULL);
    if (helper)
        pthread_create(&h, NULL, helper, NULL);
    pthread_join(victim, NULL);
    pthread_join(s, NULL);
    if (helper)
        pthread_join(h, NULL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    printf("# %s%s: %d signals, %d handled, %d in wrong order, %d interrupted calls\n", what, restart ? " with SA_RESTART" : "", sent,
           handled, wrong_order, interrupted);
    OK(answered == ROUNDS);
    OK(handled == sent && wrong_order == 0 && sent > 0);
    if (restart)
        OK(interrupted == 0);
}

int main(void)
{
    address.sun_family = AF_UNIX;
    snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "dragoman-test-%d", getpid());
    listener = socket(AF_UNIX, SOCK_STREAM, 0);
    OK(pipe(data) == 0 && pipe(back) == 0 && bind(listener, (struct sockaddr *)&address, sizeof address) == 0 &&
       listen(listener, 16) == 0);
    for (int restart = 0; restart < 2; restart++) {
        run("read", read_bytes, feed_bytes, restart);
        run("write", write_bytes, drain_bytes, restart);
        run("accept", accept_all, connect_all, restart);
    }
    run("futex", wait_futex, wake_futex, 0);
    run("nanosleep", sleep_on, NULL, 0);
    run("sigwaitinfo", fetch_signals, send_aside, 0);
    run("ppoll", poll_masked, NULL, 0);
    return t_done();
}
