/*
 * unshare() from several threads at once, while there is always something hot: each call first ends the compiling thread. And
 * unshare() of what only a process with one thread may, right behind the end of another; which /proc does not show either,
 * but does show a new one that has its id.
 */
#include "t.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define LOOP(n)                                                 \
    static unsigned loop##n(unsigned x)                         \
    {                                                           \
        for (int i = 0; i < 200; i++)                           \
            x = x * 1664525u + (x >> 7) + (n);                  \
        return x;                                               \
    }
#define EIGHT(m, n) m(n##0) m(n##1) m(n##2) m(n##3) m(n##4) m(n##5) m(n##6) m(n##7)
#define NAME(n) loop##n,
EIGHT(LOOP, 1) EIGHT(LOOP, 2) EIGHT(LOOP, 3) EIGHT(LOOP, 4) EIGHT(LOOP, 5) EIGHT(LOOP, 6) EIGHT(LOOP, 7) EIGHT(LOOP, 8)
static unsigned (*const loops[])(unsigned) = { EIGHT(NAME, 1) EIGHT(NAME, 2) EIGHT(NAME, 3) EIGHT(NAME, 4) EIGHT(NAME, 5)
                                                   EIGHT(NAME, 6) EIGHT(NAME, 7) EIGHT(NAME, 8) };

static void *unsharer(void *arg)
{
    unsigned x = 1;
    for (size_t i = 0; i < sizeof loops / sizeof loops[0]; i++) {
        x = loops[i](x);
        if (unshare(0) != 0)
            return NULL;
    }
    return (void *)(uintptr_t)(x | 1u);
}

static void *briefly(void *arg)
{
    return arg;
}

/* How many threads /proc says that there are: by the directory, or by status. */
static int threads_shown(bool directory)
{
    int n = 0;
    char line[256];
    FILE *f = directory ? NULL : fopen("/proc/self/status", "r");
    DIR *d = directory ? opendir("/proc/self/task") : NULL;
    for (struct dirent *e; d && (e = readdir(d)) != NULL;)
        n += e->d_name[0] != '.';
    while (f && fgets(line, sizeof line, f))
        sscanf(line, "Threads: %d", &n);
    if (d)
        closedir(d);
    if (f)
        fclose(f);
    return n;
}

static void *own_id(void *arg)
{
    return arg == NULL ? (void *)syscall(SYS_gettid) : NULL;
}

/* Tells its id through a pipe, and stays until it is told to end through another. */
static void *stays(void *arg)
{
    int *fd = arg, id = (int)syscall(SYS_gettid);
    char c;
    if (write(fd[1], &id, sizeof id) != sizeof id || read(fd[2], &c, 1) != 1)
        return NULL;
    return arg;
}

static bool task_shown(int id)
{
    DIR *d = opendir("/proc/self/task");
    bool found = false;
    for (struct dirent *e; d && (e = readdir(d)) != NULL;)
        found |= atoi(e->d_name) == id;
    if (d)
        closedir(d);
    return found;
}

/* Whether /proc shows a thread that has the id of one that has just ended. -1: the kernel gave it another, or it cannot be asked to. */
static int same_id_shown(void)
{
    pthread_t th;
    void *old;
    int fd[4], id = 0, shown = -1;
    char text[16];
    if (pthread_create(&th, NULL, own_id, NULL) != 0 || pthread_join(th, &old) != 0 || pipe(fd) != 0 || pipe(fd + 2) != 0)
        return -1;
    usleep(1000); /* until the id is free */
    int last = open("/proc/sys/kernel/ns_last_pid", O_WRONLY);
    int n = snprintf(text, sizeof text, "%d", (int)(intptr_t)old - 1);
    bool asked = last >= 0 && write(last, text, (size_t)n) == n;
    if (asked && pthread_create(&th, NULL, stays, fd) == 0 && read(fd[0], &id, sizeof id) == sizeof id) {
        if (id == (int)(intptr_t)old)
            shown = task_shown(id);
        if (write(fd[3], "", 1) != 1 || pthread_join(th, NULL) != 0)
            shown = 0;
    }
    close(last);
    for (int i = 0; i < 4; i++)
        close(fd[i]);
    return shown;
}

/* How a process ends whose first thread ends as threads do, right behind another. */
static int last_of_two(void)
{
    pid_t pid = t_fork();
    if (pid == 0) {
        pthread_t th;
        if (pthread_create(&th, NULL, briefly, NULL) == 0 && pthread_join(th, NULL) == 0)
            syscall(SYS_exit, 7);
        _exit(1);
    }
    int st = -1;
    waitpid(pid, &st, 0);
    return st;
}

/* What unshare(CLONE_NEWUSER) says in a new process that has joined `n` threads. */
static int new_user(int n)
{
    pid_t pid = t_fork();
    if (pid == 0) {
        pthread_t th;
        for (int i = 0; i < n; i++)
            if (pthread_create(&th, NULL, briefly, NULL) != 0 || pthread_join(th, NULL) != 0)
                _exit(1);
        _exit(unshare(CLONE_NEWUSER) == 0 ? 0 : errno);
    }
    int st = -1;
    waitpid(pid, &st, 0);
    return st;
}

int main(void)
{
    pthread_t t[6];
    void *got[6];
    alarm(240);
    for (int round = 0; round < 4; round++) {
        pid_t pid = t_fork(); /* each child finds nothing translated again */
        if (pid == 0) {
            int bad = 0;
            for (int i = 0; i < 6; i++)
                pthread_create(&t[i], NULL, unsharer, NULL);
            for (int i = 0; i < 6; i++)
                pthread_join(t[i], &got[i]);
            for (int i = 0; i < 6; i++)
                bad += got[i] == NULL || got[i] != got[0];
            _exit(bad);
        }
        int st = 0;
        OK(waitpid(pid, &st, 0) == pid && st == 0);
    }
    const int alone = new_user(0); /* not everybody may */
    int as_alone = 0;
    for (int round = 0; round < 100; round++)
        as_alone += new_user(1 + round % 3) == alone;
    OK(as_alone == 100);
    int seven = 0;
    for (int round = 0; round < 25; round++)
        seven += last_of_two() == 7 << 8;
    OK(seven == 25);
    int first = 0, shown = 0; /* 1, but for a thread that a sanitizer starts with the first one */
    if (pthread_create(&t[0], NULL, briefly, NULL) == 0 && pthread_join(t[0], NULL) == 0 && usleep(100000) == 0)
        first = threads_shown(true);
    for (int round = 0; round < 300; round++)
        shown += pthread_create(&t[0], NULL, briefly, NULL) != 0 || pthread_join(t[0], NULL) != 0 || threads_shown(round & 1) != first;
    OK(shown == 0);
    int same = 0;
    for (int round = 0; round < 20; round++)
        same += same_id_shown() == 0;
    OK(same == 0);
    return t_done();
}
