/*
 * Forks while other threads run, translate and chain: parent and children go on with the translations that they share, and
 * each makes new ones. Every result is checked.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static atomic_int stop;

/* Sixteen different functions, so that there is always something new to translate. */
#define WORK(n)                                                                                                        \
    __attribute__((noinline)) static unsigned work##n(unsigned x)                                                      \
    {                                                                                                                  \
        for (int i = 0; i < 50 + n; i++)                                                                               \
            x = (x ^ (x << (n % 7 + 1))) * 2654435761u + n;                                                            \
        return x;                                                                                                      \
    }
WORK(0) WORK(1) WORK(2) WORK(3) WORK(4) WORK(5) WORK(6) WORK(7)
WORK(8) WORK(9) WORK(10) WORK(11) WORK(12) WORK(13) WORK(14) WORK(15)
static unsigned (*const works[])(unsigned) = {work0, work1, work2,  work3,  work4,  work5,  work6,  work7,
                                              work8, work9, work10, work11, work12, work13, work14, work15};

static int compare(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

static unsigned mixture(unsigned seed)
{
    int v[200];
    char text[64];

    for (int i = 0; i < 200; i++)
        v[i] = (int)(seed = works[(seed >> 8) % 16](seed)) >> 1;
    qsort(v, 200, sizeof v[0], compare);
    snprintf(text, sizeof text, "%d %g", v[100], v[7] / 3.0);
    for (char *p = text; *p; p++)
        seed = seed * 31 + (unsigned char)*p;
    return seed;
}

static void *busy(void *arg)
{
    unsigned x = 1;

    while (!atomic_load(&stop))
        x = works[x % 16](x);
    return (void *)(long)x;
}

int main(void)
{
    pthread_t t[2];
    unsigned bad = 0;

    for (int i = 0; i < 2; i++)
        pthread_create(&t[i], NULL, busy, NULL);
    unsigned want = mixture(12345);
    for (int round = 0; round < 40; round++) {
        int fd[2];
        unsigned got = 0;
        if (pipe(fd))
            return 2;
        pid_t pid = fork();
        if (pid == 0) {
            unsigned x = mixture(12345);
            works[round % 16](x);
            if (round % 4 == 0) {
                pid_t inner = fork();
                if (inner == 0)
                    _exit(mixture(12345) == x ? 5 : 6);
                int status;
                if (waitpid(inner, &status, 0) != inner || WEXITSTATUS(status) != 5)
                    x = 0;
            }
            if (write(fd[1], &x, sizeof x) != sizeof x)
                _exit(1);
            _exit(round);
        }
        if (mixture(12345) != want)
            bad++;
        int status;
        if (read(fd[0], &got, sizeof got) != sizeof got || got != want)
            bad++;
        if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != round)
            bad++;
        close(fd[0]);
        close(fd[1]);
    }
    stop = 1;
    for (int i = 0; i < 2; i++)
        pthread_join(t[i], NULL);
    printf("%u bad\n", bad);
    return bad != 0;
}
