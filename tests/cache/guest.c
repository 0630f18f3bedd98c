/* The guest program of the tests of the persistent cache; what it does is its first argument. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#ifndef VALUE
#define VALUE 7
#endif

static unsigned mix(unsigned x, unsigned rounds)
{
    for (unsigned i = 0; i < rounds; i++)
        x = x * 1664525u + 1013904223u + VALUE * (x >> 16 & 1);
    return x;
}

static int by_value(const void *a, const void *b)
{
    unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;
    return x < y ? -1 : x > y;
}

static void work(void)
{
    unsigned v[500];
    char line[200];
    for (unsigned i = 0; i < 500; i++)
        v[i] = mix(i, 20);
    qsort(v, 500, sizeof v[0], by_value);
    snprintf(line, sizeof line, "%08x %08x %08x %.6f", v[0], v[250], v[499], v[7] / 3.0);
    puts(line);
}

/* --- four of many small functions: each run has something new, but little --- */

#define PART(n) __attribute__((noinline)) static unsigned part##n(unsigned x) { return x * 5 + (n); }
#define NAME(n) part##n,
#define FOUR(m, n) m(n##0) m(n##1) m(n##2) m(n##3)
#define MORE(m, n) FOUR(m, n##1) FOUR(m, n##2) FOUR(m, n##3) FOUR(m, n##4) FOUR(m, n##5)
#define ALL(m) MORE(m, 1) MORE(m, 2) MORE(m, 3) MORE(m, 4) MORE(m, 5) MORE(m, 6) MORE(m, 7) MORE(m, 8)
ALL(PART)
static unsigned (*const parts[])(unsigned) = { ALL(NAME) };

static void four_parts(unsigned n)
{
    unsigned x = 3;
    for (unsigned i = 0; i < 4; i++)
        x = parts[(4 * n + i) % (sizeof parts / sizeof parts[0])](x);
    printf("%u\n", x);
}

/* --- a fault in code that may come from a file: registers must be exact --- */

static volatile uint64_t seen;

static void on_segv(int sig, siginfo_t *info, void *uc)
{
    ucontext_t *u = uc;
    seen = (uint64_t)info->si_addr ^ u->uc_mcontext.regs[1] ^ u->uc_mcontext.regs[2];
    u->uc_mcontext.pc += 4;
}

static void fault(void)
{
    struct sigaction sa = {.sa_sigaction = on_segv, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &sa, NULL);
    register uint64_t x0 __asm__("x0") = 64, x1 __asm__("x1") = 5, x2 __asm__("x2") = 0;
    __asm__ volatile("add x1, x1, #1000\n mov x2, x1\n add x2, x2, #1\n str x1, [x0, #16]\n add x1, x1, x2"
                     : "+r"(x1), "+r"(x2) : "r"(x0) : "memory");
    printf("%llx %llu %llu\n", (unsigned long long)seen, (unsigned long long)x1, (unsigned long long)x2);
}

/* --- code of the file itself, changed while it runs --- */

__attribute__((noinline, aligned(4096))) static int constant(void)
{
    int v;
    /* It fills its page: threads run what follows while this cannot be executed. */
    __asm__ volatile("mov %w0, #11\n b 1f\n .space 4096\n1:" : "=r"(v));
    return v;
}

static void self_modify(void)
{
    uintptr_t page = (uintptr_t)constant & ~(uintptr_t)4095;
    int before = constant();
    uint32_t *p = (uint32_t *)(uintptr_t)constant;
    if (mprotect((void *)page, 4096, PROT_READ | PROT_WRITE) != 0)
        return;
    while ((*p & 0xffffffe0) != 0x52800160) /* mov wN, #11 */
        p++;
    *p = 0x52800000 | 22 << 5 | (*p & 31);
    mprotect((void *)page, 4096, PROT_READ | PROT_EXEC);
    __builtin___clear_cache((char *)p, (char *)(p + 1));
    printf("%d %d\n", before, constant());
}

/* --- libraries that come and go --- */

static void libraries(const char *name, int times)
{
    int sum = 0;
    for (int i = 0; i < times; i++) {
        void *lib = dlopen(name, RTLD_NOW);
        int (*fn)(int) = lib ? (int (*)(int))dlsym(lib, "library_value") : NULL;
        sum += fn ? fn(i) : -1000;
        if (lib)
            dlclose(lib);
    }
    printf("%d\n", sum);
}

/* --- threads in code whose mapping changes all the time ---  */

static void *sorter(void *arg)
{
    unsigned v[200], sum = 0;
    for (unsigned round = 0; round < 300; round++) {
        for (unsigned i = 0; i < 200; i++)
            v[i] = mix(i ^ round, 5);
        qsort(v, 200, sizeof v[0], by_value);
        for (unsigned i = 0; i < 200; i++)
            sum = sum * 31 + v[i];
    }
    return (void *)(uintptr_t)sum;
}

static void threads(int n)
{
    pthread_t t[16];
    void *sum;
    for (int i = 0; i < n; i++)
        pthread_create(&t[i], NULL, sorter, NULL);
    uintptr_t page = (uintptr_t)constant & ~(uintptr_t)4095;
    int value = 0;
    for (int i = 0; i < 100; i++) {
        mprotect((void *)page, 4096, PROT_READ | PROT_WRITE);
        mprotect((void *)page, 4096, PROT_READ | PROT_EXEC);
        value += constant();
        usleep(500);
    }
    for (int i = 0; i < n; i++) {
        pthread_join(t[i], &sum);
        printf("%08x ", (unsigned)(uintptr_t)sum);
    }
    printf("%d\n", value);
}

/* --- code that is optimistic about its operands, kept from a run in which that was right --- */

__attribute__((noinline)) static double decay(const double *v, int n)
{
    double s = 1;
    for (int i = 0; i < n; i++)
        s = (s + v[i]) * 0.5;
    return s;
}

__attribute__((noinline)) static long total(const long *v, int n)
{
    long s = 0;
    for (int i = 0; i < n; i++)
        s += v[i];
    return s;
}

static void operands(int odd)
{
    double d[40];
    long n[40], sum = 0;
    const long *p = n;
    uint64_t bits = 0;
    for (int i = 0; i < 40; i++) {
        d[i] = odd && i % 3 == 1 ? __builtin_nan("123") : i;
        n[i] = i * i;
    }
    if (odd)
        p = (const long *)((uintptr_t)n | (uintptr_t)0x5a << 56);
    for (int i = 0; i < 200; i++) {
        double r = decay(d + i % 7, 30);
        uint64_t b;
        memcpy(&b, &r, 8);
        bits = bits * 31 + b;
        sum += total(p, i % 40);
    }
    printf("%016llx %ld\n", (unsigned long long)bits, sum);
}

static void children(int n)
{
    int sum = 0;
    for (int i = 0; i < n; i++) {
        int status = 0;
        if (fork() == 0)
            exit((int)(mix((unsigned)i, 10) & 15));
        wait(&status);
        sum += WEXITSTATUS(status);
    }
    printf("%d\n", sum);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "work";
    setvbuf(stdout, NULL, _IONBF, 0);
    if (!strcmp(what, "fault"))
        fault();
    else if (!strcmp(what, "modify"))
        self_modify();
    else if (!strcmp(what, "dlopen"))
        libraries(argv[2], atoi(argv[3]));
    else if (!strcmp(what, "threads"))
        threads(atoi(argv[2]));
    else if (!strcmp(what, "fork"))
        children(atoi(argv[2]));
    else if (!strcmp(what, "exec"))
        execl(argv[2], argv[2], "work", (char *)NULL);
    else if (!strcmp(what, "replace")) { /* our own file's bytes change under us: by another's hand, with the mapping as it is */
        printf("%d ", constant());
        system(argv[2]);
        printf("done\n");
    } else if (!strcmp(what, "constant"))
        printf("%d\n", constant());
    else if (!strcmp(what, "even") || !strcmp(what, "odd"))
        operands(what[0] == 'o');
    else if (!strcmp(what, "part"))
        four_parts((unsigned)atoi(argv[2]));
    else if (!strcmp(what, "limit")) {
        struct rlimit small = {4096, 4096};
        setrlimit(RLIMIT_FSIZE, &small);
        work();
    } else if (!strcmp(what, "crash"))
        *(volatile int *)16 = 0;
    else if (!strcmp(what, "loop"))
        for (;;)
            work();
    else
        work();
    return VALUE & 3;
}
