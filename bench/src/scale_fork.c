/* Processes, as many as the argument says, thirty-two at a time: each computes a little and ends. */
#include "bench.h"

#include <sys/wait.h>
#include <unistd.h>

enum { AT_ONCE = 32 };

static unsigned child(unsigned k)
{
    for (unsigned i = 0; i < 1000; i++)
        k = k * 1664525 + 1013904223;
    return k >> 24 & 127;
}

int main(int argc, char **argv)
{
    long n = bench_scale(argc, argv, 2000), alive = 0;
    unsigned long sum = 0;

    for (long k = 0; k < n || alive; k++) {
        int status;
        if (k < n) {
            pid_t pid = fork();
            if (pid < 0)
                return 1;
            if (pid == 0)
                _exit((int)child((unsigned)k));
            alive++;
        }
        if (k >= n || alive == AT_ONCE) {
            if (wait(&status) < 0 || !WIFEXITED(status))
                return 1;
            sum += (unsigned)WEXITSTATUS(status);
            alive--;
        }
    }
    printf("%lu\n", sum);
    return 0;
}
