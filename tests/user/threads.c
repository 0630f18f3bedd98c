/* Threads: creation, joining, thread-local data, futexes, signals to threads, ends. */
#include "t.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#define N 8

static _Thread_local int tls = 5;
static atomic_int total, ready;
static long counter;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static volatile int got_signal;
static volatile pid_t signal_tid;

static void *worker(void *arg)
{
    tls += (int)(intptr_t)arg;
    for (int i = 0; i < 20000; i++) {
        pthread_mutex_lock(&lock);
        counter++;
        pthread_mutex_unlock(&lock);
        atomic_fetch_add(&total, 1);
    }
    return (void *)(intptr_t)tls;
}

static void test_join(void)
{
    pthread_t t[N];
    int good = 1;
    for (int i = 0; i < N; i++)
        good &= pthread_create(&t[i], NULL, worker, (void *)(intptr_t)i) == 0;
    for (int i = 0; i < N; i++) {
        void *ret;
        good &= pthread_join(t[i], &ret) == 0 && (intptr_t)ret == 5 + i;
    }
    OK(good);
    OK(counter == N * 20000 && total == N * 20000 && tls == 5);
}

static void *consumer(void *arg)
{
    pthread_mutex_lock(&lock);
    atomic_fetch_add(&ready, 1);
    while (counter == 0)
        pthread_cond_wait(&cond, &lock);
    counter--;
    pthread_mutex_unlock(&lock);
    return NULL;
}

static void test_cond(void)
{
    pthread_t t[N];
    counter = 0;
    for (int i = 0; i < N; i++)
        pthread_create(&t[i], NULL, consumer, NULL);
    while (ready < N)
        sched_yield();
    pthread_mutex_lock(&lock);
    counter = N;
    pthread_cond_broadcast(&cond);
    pthread_mutex_unlock(&lock);
    for (int i = 0; i < N; i++)
        pthread_join(t[i], NULL);
    OK(counter == 0);
}

static void on_signal(int sig)
{
    got_signal = sig;
    signal_tid = gettid();
}

static atomic_int sleeper_tid;

static void *sleeper(void *arg)
{
    struct timespec ts = { 20, 0 };
    sleeper_tid = gettid();
    return (void *)(intptr_t)nanosleep(&ts, NULL);
}

static void test_kill(void)
{
    pthread_t t;
    void *ret;
    struct sigaction sa = { .sa_handler = on_signal };
    sigaction(SIGUSR1, &sa, NULL);
    pthread_create(&t, NULL, sleeper, NULL);
    while (!sleeper_tid)
        sched_yield();
    usleep(20000);
    OK(pthread_kill(t, SIGUSR1) == 0 && pthread_join(t, &ret) == 0 && (intptr_t)ret == -1);
    OK(got_signal == SIGUSR1 && signal_tid == sleeper_tid && signal_tid != getpid());
    int gone = 0;
    for (int i = 0; i < 1000 && !gone; i++) { /* the kernel forgets a joined thread a little later */
        gone = syscall(SYS_tgkill, getpid(), sleeper_tid, 0) == -1 && errno == ESRCH;
        usleep(1000);
    }
    OK(gone);
    sleeper_tid = 0;
    pthread_create(&t, NULL, sleeper, NULL);
    while (!sleeper_tid)
        sched_yield();
    OK(pthread_cancel(t) == 0 && pthread_join(t, &ret) == 0 && ret == PTHREAD_CANCELED);
}

static int futex_word;

static void *waker(void *arg)
{
    usleep(30000);
    __atomic_store_n(&futex_word, 1, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, &futex_word, FUTEX_WAKE, 1, NULL, NULL, 0);
    return NULL;
}

static void test_futex(void)
{
    pthread_t t;
    struct timespec ts = { 0, 1000000 };
    OK(syscall(SYS_futex, &futex_word, FUTEX_WAIT, 1, NULL, NULL, 0) == -1 && errno == EAGAIN);
    OK(syscall(SYS_futex, &futex_word, FUTEX_WAIT, 0, &ts, NULL, 0) == -1 && errno == ETIMEDOUT);
    pthread_create(&t, NULL, waker, NULL);
    while (__atomic_load_n(&futex_word, __ATOMIC_SEQ_CST) == 0)
        syscall(SYS_futex, &futex_word, FUTEX_WAIT, 0, NULL, NULL, 0);
    OK(pthread_join(t, NULL) == 0);
    /* A robust mutex whose owner ends is handed over. */
    pthread_mutex_t *m = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_mutexattr_t a;
    pthread_mutexattr_init(&a);
    pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
    pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
    pthread_mutex_init(m, &a);
    pid_t pid = t_fork();
    if (pid == 0) {
        pthread_mutex_lock(m);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    OK(pthread_mutex_lock(m) == EOWNERDEAD && pthread_mutex_consistent(m) == 0);
}

/* Threads that come and go while others translate new code and exchange data. */
static void *short_life(void *arg)
{
    volatile double d = (intptr_t)arg;
    for (int i = 0; i < 50; i++)
        d = d * 1.5 + i;
    free(malloc(1000));
    return NULL;
}

static void test_many(void)
{
    int good = 1;
    for (int round = 0; round < 40; round++) {
        pthread_t t[N];
        for (int i = 0; i < N; i++)
            good &= pthread_create(&t[i], NULL, short_life, (void *)(intptr_t)i) == 0;
        for (int i = 0; i < N; i++)
            good &= pthread_join(t[i], NULL) == 0;
    }
    OK(good);
}

static void *fork_in_thread(void *arg)
{
    int st;
    pid_t pid = t_fork();
    if (pid == 0)
        _exit(gettid() == getpid() ? 11 : 12);
    return (void *)(intptr_t)(waitpid(pid, &st, 0) == pid && WIFEXITED(st) && WEXITSTATUS(st) == 11);
}

static void *exits_all(void *arg)
{
    exit(21);
}

static void *outlives(void *arg)
{
    usleep(50000);
    _exit(22);
}

static void test_ends(void)
{
    pthread_t t;
    void *ret;
    int st;
    pthread_create(&t, NULL, fork_in_thread, NULL);
    OK(pthread_join(t, &ret) == 0 && ret);
    pid_t pid = t_fork();
    if (pid == 0) {
        pthread_create(&t, NULL, exits_all, NULL);
        pause();
    }
    OK(waitpid(pid, &st, 0) == pid && WIFEXITED(st) && WEXITSTATUS(st) == 21);
    pid = t_fork();
    if (pid == 0) {
        pthread_create(&t, NULL, outlives, NULL);
        syscall(SYS_exit, 0); /* the first thread alone */
    }
    OK(waitpid(pid, &st, 0) == pid && WIFEXITED(st) && WEXITSTATUS(st) == 22);
    pid = t_fork();
    if (pid == 0) {
        pthread_create(&t, NULL, sleeper, NULL);
        execl("/proc/self/exe", "threads", "exec", NULL); /* ends the other threads */
        _exit(1);
    }
    OK(waitpid(pid, &st, 0) == pid && WIFEXITED(st) && WEXITSTATUS(st) == 23);
}

static pthread_mutex_t robust;

static void *lock_and_end(void *arg)
{
    pthread_mutex_lock(&robust);
    return NULL;
}

/* Who has joined a thread finds its locks abandoned already. */
static void test_robust(int protocol)
{
    pthread_mutexattr_t attr;
    pthread_t t;
    int good = 1;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    pthread_mutexattr_setprotocol(&attr, protocol);
    pthread_mutex_init(&robust, &attr);
    for (int i = 0; i < 100 && good; i++) {
        pthread_create(&t, NULL, lock_and_end, NULL);
        pthread_join(t, NULL);
        good = pthread_mutex_trylock(&robust) == EOWNERDEAD && pthread_mutex_consistent(&robust) == 0 &&
               pthread_mutex_unlock(&robust) == 0;
    }
    OK(good);
}

static void *never_ends(void *arg)
{
    for (volatile unsigned long n = 0;; n++)
        if (arg)
            pause();
    return NULL;
}

/* Threads that the end of the process finds running and waiting. */
static void leave_some(void)
{
    for (intptr_t i = 0; i < 4; i++) {
        pthread_t t;
        pthread_create(&t, NULL, never_ends, (void *)(i & 1));
    }
}

static void *wait_for_word(void *arg)
{
    while (!*(volatile int *)arg)
        usleep(1000);
    return NULL;
}

/* In a process that has had no thread: setuid in all threads, by a signal that the C library keeps to itself. */
static int set_ids(void)
{
    pthread_t th;
    int word = 0;
    pthread_create(&th, NULL, wait_for_word, &word);
    int ret = setuid(getuid());
    word = 1;
    pthread_join(th, NULL);
    return ret == 0 ? 24 : 25;
}

static void test_ids(const char *self)
{
    int st;
    pid_t pid = t_fork();
    if (pid == 0)
        execl("/proc/self/exe", self, "ids", NULL);
    OK(waitpid(pid, &st, 0) == pid && WIFEXITED(st) && WEXITSTATUS(st) == 24);
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "exec"))
        return 23;
    if (argc > 1 && !strcmp(argv[1], "ids"))
        return set_ids();
    test_join();
    test_cond();
    test_kill();
    test_futex();
    test_many();
    test_ends();
    test_robust(PTHREAD_PRIO_NONE);
    test_robust(PTHREAD_PRIO_INHERIT);
    test_ids(argv[0]);
    OK(syscall(SYS_set_tid_address, &futex_word) == getpid());
    leave_some();
    return t_done();
}
