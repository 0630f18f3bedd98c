/*
 * Code that threads change while they all run it, from the same call. One thread unmaps a page that it ran, another maps it and
 * runs other code there: while the first is still on its way out of munmap nothing of its code may be run. And each thread has
 * a cache line of its own in one function: what another has begun to forget of it must not be run either.
 */
#include "t.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#define THREADS 3
#define PAGE 4096
#define LINE 16 /* instructions */
#define KINDS 64 /* of code */

static atomic_int stop, wrong, turns, forks;
static char *place;
static uint32_t *common;
static int file;

/* The one call that all of it is run by. */
static __attribute__((noinline)) uint64_t call(const void *code)
{
    return ((uint64_t(*)(void))code)();
}

/* mov w0, #n; ret */
static void write_code(uint32_t *p, unsigned n)
{
    p[0] = 0x52800000u | n << 5;
    p[1] = 0xd65f03c0u;
}

/* Code that returns n at `place`, when that is free: written there, or a page of the file, as a library is loaded. */
static void *map_code(unsigned n, bool from_file)
{
    int flags = MAP_PRIVATE | MAP_FIXED_NOREPLACE;

    if (from_file)
        return mmap(place, PAGE, PROT_READ | PROT_EXEC, flags, file, n * PAGE);
    void *p = mmap(place, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, flags | MAP_ANONYMOUS, -1, 0);
    if (p != MAP_FAILED) {
        write_code(p, n);
        __builtin___clear_cache(p, (char *)p + 8);
    }
    return p;
}

/* A function that returns all threads' numbers, a line of code for each. */
static uint32_t *common_code(void)
{
    uint32_t *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    for (unsigned i = 0; i <= THREADS; i++)
        for (unsigned k = 0; k < LINE; k++)
            p[i * LINE + k] = k || i == THREADS ? 0xd503201fu : i ? 0xf2800000u | i << 21 : 0xd2800000u; /* nop, movk, movz */
    p[THREADS * LINE] = 0xd65f03c0u;
    return p;
}

/* Change this thread's number and run the function. */
static bool change_line(unsigned me, unsigned n)
{
    uint32_t *line = common + me * LINE;

    *line = (*line & ~0x1fffe0u) | n << 5;
    __builtin___clear_cache((char *)line, (char *)(line + LINE));
    return (call(common) >> 16 * me & 0xffff) == n;
}

static void *user(void *arg)
{
    unsigned me = (unsigned)(uintptr_t)arg;

    for (unsigned n = me; !stop; n += THREADS) {
        wrong += !change_line(me, n & 0xffff);
        void *p = map_code(n % KINDS, n & 1);
        if (p == MAP_FAILED)
            continue;
        for (int i = 0; i < 3; i++)
            wrong += call(p) != n % KINDS;
        munmap(p, PAGE);
        turns++;
    }
    return NULL;
}

/* Makes the translator change what it shares with a child in a copy, which takes a while. */
static void *forker(void *arg)
{
    while (!stop) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(0);
        while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
        forks++;
    }
    return NULL;
}

int main(void)
{
    pthread_t t[THREADS + 1];
    int n = t_sanitized("address") ? THREADS : THREADS + 1; /* a child may find its allocator locked */
    struct timespec start, now;

    file = memfd_create("code", 0);
    for (unsigned i = 0; i < KINDS; i++) {
        uint32_t code[2];
        write_code(code, i);
        wrong += pwrite(file, code, sizeof code, i * PAGE) != sizeof code;
    }
    common = common_code();
    wrong += ftruncate(file, KINDS * PAGE) != 0;
    place = (char *)mmap(NULL, 3 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) + PAGE;
    for (int i = 0; i < n; i++)
        pthread_create(&t[i], NULL, i < THREADS ? user : forker, (void *)(uintptr_t)i);
    munmap(place, PAGE); /* a hole between two other pages: nothing else goes there */
    clock_gettime(CLOCK_MONOTONIC, &start);
    do {
        usleep(1000);
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 < 1000);
    stop = 1;
    for (int i = 0; i < n; i++)
        pthread_join(t[i], NULL);
    printf("# %d turns, %d forks, %d wrong\n", turns, forks, wrong);
    OK(wrong == 0);
    OK(turns > 0);
    return t_done();
}
