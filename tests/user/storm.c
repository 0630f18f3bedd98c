/* Everything at once for two seconds: threads that compute, map, take signals, fork, spawn and come and go. */
#include "t.h"

#include <pthread.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;
static atomic_int stop, signals, maps, forks, spawns, lives, wrong;

static void on_signal(int sig)
{
    atomic_fetch_add(&signals, 1);
}

static void *mapper(void *arg)
{
    while (!stop) {
        uint32_t *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED)
            continue;
        p[0] = 0x52800000u | (unsigned)(maps & 0xff) << 5; /* mov w0, #n; ret */
        p[1] = 0xd65f03c0u;
        __builtin___clear_cache((char *)p, (char *)(p + 2));
        unsigned want = p[0] >> 5 & 0xff;
        if (((unsigned (*)(void))p)() != want)
            wrong++;
        munmap(p, 8192);
        maps++;
    }
    return NULL;
}

static void *forker(void *arg)
{
    while (!stop) {
        pid_t pid = t_fork();
        if (pid == 0)
            _exit(17);
        int st = 0;
        while (pid > 0 && waitpid(pid, &st, 0) < 0 && errno == EINTR)
            ;
        if (pid < 0 || !WIFEXITED(st) || WEXITSTATUS(st) != 17)
            wrong++;
        forks++;
    }
    return NULL;
}

static void *spawner(void *arg)
{
    char *argv[] = { "storm", "child", NULL };
    while (!stop) {
        pid_t pid;
        int st = 0;
        if (posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv, environ) != 0) {
            wrong++;
            continue;
        }
        while (waitpid(pid, &st, 0) < 0 && errno == EINTR)
            ;
        if (!WIFEXITED(st) || WEXITSTATUS(st) != 18)
            wrong++;
        spawns++;
    }
    return NULL;
}

static void *brief(void *arg)
{
    volatile double d = 1;
    for (int i = 0; i < 1000; i++)
        d = d * 1.0001 + (intptr_t)arg;
    return NULL;
}

static void *parent(void *arg)
{
    while (!stop) {
        pthread_t t[3];
        for (int i = 0; i < 3; i++)
            if (pthread_create(&t[i], NULL, brief, arg))
                wrong++;
        for (int i = 0; i < 3; i++)
            pthread_join(t[i], NULL);
        lives++;
    }
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return 18;
    void *(*kind[])(void *) = { mapper, forker, spawner, parent, mapper };
    pthread_t t[5];
    struct sigaction sa = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
    sigaction(SIGALRM, &sa, NULL);
    struct itimerval it = { { 0, 500 }, { 0, 500 } }, off = { 0 };
    setitimer(ITIMER_REAL, &it, NULL);
    if (t_sanitized("address")) /* a child may find its allocator locked by a thread that it does not have */
        kind[1] = parent;
    for (int i = 0; i < 5; i++)
        pthread_create(&t[i], NULL, kind[i], NULL);
    time_t end = time(NULL) + 2;
    while (time(NULL) < end)
        usleep(1000);
    setitimer(ITIMER_REAL, &off, NULL);
    stop = 1;
    for (int i = 0; i < 5; i++)
        pthread_join(t[i], NULL);
    printf("# %d signals, %d maps, %d forks, %d spawns, %d lives\n", signals, maps, forks, spawns, lives);
    OK(wrong == 0);
    OK(signals > 0 && maps > 0 && (forks > 0 || kind[1] != forker) && spawns > 0 && lives > 0);
    return t_done();
}
