/*
 * What takes the translator's locks in every order that there is, at once: code made and unmade executable (its translations are
 * parked and looked for again), mappings that come and go, invalidation, threads, forks. It ends, or hangs.
 */
#include "t.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

enum { CODERS = 2, MAPPERS = 2, PAGE = 4096 };

static volatile int stop;
static uint64_t wrong, rounds[4];

static void write_code(uint32_t *code, unsigned n)
{
    code[0] = 0x52800000 | (n & 0xffff) << 5; /* mov w0, #n */
    code[1] = 0xd65f03c0;                     /* ret */
    __builtin___clear_cache((char *)code, (char *)(code + 2));
}

static void *coder(void *arg)
{
    uint32_t *code = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsigned (*fn)(void) = (unsigned (*)(void))code;
    unsigned n = 0;
    write_code(code, 0);
    for (unsigned i = 0; !stop; i++) {
        mprotect(code, PAGE, PROT_READ | PROT_EXEC);
        if (fn() != n)
            __atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED);
        mprotect(code, PAGE, PROT_READ | PROT_WRITE);
        if (i % 3 == 0)
            write_code(code, n = i & 0xffff);
        __atomic_add_fetch(&rounds[0], 1, __ATOMIC_RELAXED);
    }
    munmap(code, PAGE);
    return NULL;
}

static void *mapper(void *arg)
{
    while (!stop) {
        uint32_t *code = mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        write_code(code, 7);
        if (((unsigned (*)(void))code)() != 7)
            __atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED);
        munmap(code, PAGE);
        __atomic_add_fetch(&rounds[1], 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

static void *nothing(void *arg)
{
    return NULL;
}

static void *starter(void *arg)
{
    while (!stop) {
        pthread_t t;
        if (pthread_create(&t, NULL, nothing, NULL) == 0)
            pthread_join(t, NULL);
        rounds[2]++;
    }
    return NULL;
}

static void fork_for(unsigned ms)
{
    struct timespec now, end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_nsec += ms * 1000000L;
    end.tv_sec += end.tv_nsec / 1000000000;
    end.tv_nsec %= 1000000000;
    do {
        int status;
        pid_t pid = t_fork();
        if (pid == 0) {
            uint32_t *code = mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            write_code(code, 5);
            _exit((int)((unsigned (*)(void))code)());
        }
        if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 5)
            __atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED);
        rounds[3]++;
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (now.tv_sec < end.tv_sec || (now.tv_sec == end.tv_sec && now.tv_nsec < end.tv_nsec));
}

int main(void)
{
    pthread_t t[CODERS + MAPPERS + 1];
    unsigned n = 0;
    for (int i = 0; i < CODERS; i++)
        pthread_create(&t[n++], NULL, coder, NULL);
    for (int i = 0; i < MAPPERS; i++)
        pthread_create(&t[n++], NULL, mapper, NULL);
    pthread_create(&t[n++], NULL, starter, NULL);
    fork_for(700);
    stop = 1;
    while (n)
        pthread_join(t[--n], NULL);
    OK(wrong == 0);
    OK(rounds[0] && rounds[1] && rounds[2] && rounds[3]);
    printf("# %llu %llu %llu %llu\n", (unsigned long long)rounds[0], (unsigned long long)rounds[1], (unsigned long long)rounds[2],
           (unsigned long long)rounds[3]);
    return t_done();
}
