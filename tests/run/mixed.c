/* A little of everything that a C library does at start and end: stdio, malloc, strings, floating point, qsort, signals. */
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static sigjmp_buf jump;
static volatile sig_atomic_t caught;

static void on_segv(int sig, siginfo_t *info, void *uc)
{
    caught = (uintptr_t)info->si_addr == 0x42;
    siglongjmp(jump, 1);
}

static int compare(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

static uint64_t fib(unsigned n)
{
    return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

int main(int argc, char **argv)
{
    struct sigaction sa = {.sa_sigaction = on_segv, .sa_flags = SA_SIGINFO};
    int v[1000];
    uint32_t seed = 1;
    double sum = 0;

    for (int i = 0; i < 1000; i++) {
        seed = seed * 1664525 + 1013904223;
        v[i] = (int)(seed >> 8);
    }
    qsort(v, 1000, sizeof v[0], compare);
    for (int i = 1; i < 1000; i++)
        if (v[i - 1] > v[i])
            return 1;
    for (int i = 1; i <= 1000; i++)
        sum += 1.0 / i;
    char *copy = malloc(100000);
    memset(copy, 'x', 99999);
    copy[99999] = 0;
    printf("%d %.12f %zu %llu %s\n", v[500], sum, strlen(copy), (unsigned long long)fib(20), argc > 1 ? argv[1] : "-");
    free(copy);
    sigaction(SIGSEGV, &sa, NULL);
    if (!sigsetjmp(jump, 1))
        *(volatile int *)0x42 = 1;
    printf("caught %d\n", (int)caught);
    return caught ? 7 : 1;
}
