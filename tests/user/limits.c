/* Limits of the address space, and that they go over execve. */
#include "t.h"

#include <setjmp.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define MIB (1ul << 20)
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

static int refused(size_t len, int prot, int flags)
{
    void *p = mmap(NULL, len, prot, flags, -1, 0);
    if (p == MAP_FAILED)
        return errno == ENOMEM;
    munmap(p, len);
    return 0;
}

/* After execve. */
static int child(void)
{
    struct rlimit as, data;
    getrlimit(RLIMIT_AS, &as);
    getrlimit(RLIMIT_DATA, &data);
    return as.rlim_cur == 100 * MIB && data.rlim_cur == 10 * MIB && data.rlim_max == 50 * MIB && refused(200 * MIB, RW, ANON) &&
           refused(30 * MIB, RW, ANON) ? 31 : 32;
}

static sigjmp_buf back;
static char *bottom;
static volatile size_t depth;

static void on_fault(int sig)
{
    siglongjmp(back, 1);
}

static int dig(int n)
{
    volatile char block[4096];
    block[0] = (char)n;
    depth = (size_t)(bottom - (char *)block);
    return n < 1 << 30 ? dig(n + 1) + block[0] : 0;
}

/* How many MiB the stack takes before it overflows. */
static size_t stack_mib(void)
{
    if (sigsetjmp(back, 1) == 0)
        dig(0);
    return depth / MIB;
}

/* The main thread's stack grows as far as the limit of the moment lets it. */
static void test_stack(void)
{
    static char alt[65536];
    stack_t ss = { .ss_sp = alt, .ss_size = sizeof alt };
    struct sigaction sa = { .sa_handler = on_fault, .sa_flags = SA_ONSTACK };
    struct rlimit r, was;
    char here;
    bottom = &here;
    sigaltstack(&ss, NULL);
    sigaction(SIGSEGV, &sa, NULL);
    getrlimit(RLIMIT_STACK, &r);
    was = r;
    r.rlim_cur = 2 * MIB;
    OK(setrlimit(RLIMIT_STACK, &r) == 0 && stack_mib() <= 2);
    r.rlim_cur = 20 * MIB;
    OK(setrlimit(RLIMIT_STACK, &r) == 0 && stack_mib() >= 18 && stack_mib() <= 20);
    setrlimit(RLIMIT_STACK, &was);
}

static unsigned max_map_count(void)
{
    unsigned n = 0;
    FILE *f = fopen("/proc/sys/vm/max_map_count", "r");
    if (f) {
        if (fscanf(f, "%u", &n) != 1)
            n = 0;
        fclose(f);
    }
    return n;
}

/* As many mappings as there may be: then the program goes on, in much code that it has not run before, and gives them back. */
static void test_count(void)
{
    enum { PAGE = 4096, FUNCTIONS = 8192 };
    unsigned most = max_map_count(), bad = 0, n = 0;
    if (most == 0 || most > 100000) {
        t_skip("no usual vm.max_map_count");
        return;
    }
    uint32_t *code = mmap(NULL, FUNCTIONS * 8, RW | PROT_EXEC, ANON, -1, 0);
    for (unsigned i = 0; i < FUNCTIONS; i++) {
        code[2 * i] = 0x52800000 | i << 5; /* mov w0, #i */
        code[2 * i + 1] = 0xd65f03c0;      /* ret */
    }
    __builtin___clear_cache((char *)code, (char *)(code + 2 * FUNCTIONS));
    char *p, *low = NULL;
    int fd = memfd_create("page", 0);
    while ((p = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0)) != MAP_FAILED) { /* the kernel merges none */
        low = p;
        n++;
    }
    OK(ftruncate(fd, PAGE) == 0 && errno == ENOMEM && n > most / 10 * 9);
    for (unsigned i = 0; i < FUNCTIONS; i++)
        bad += ((unsigned (*)(void))(code + 2 * i))() != i;
    OK(bad == 0);
    OK(munmap(low + PAGE, PAGE) == 0 && munmap(low, n * (size_t)PAGE) == 0 && !refused(MIB, RW, ANON));
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return child();
    test_count();
    test_stack();
    struct rlimit r = { 100 * MIB, 100 * MIB };
    OK(!refused(200 * MIB, RW, ANON));
    OK(setrlimit(RLIMIT_AS, &r) == 0);
    OK(refused(200 * MIB, RW, ANON) && refused(200 * MIB, PROT_NONE, ANON) && !refused(50 * MIB, RW, ANON));
    char *p = mmap(NULL, 50 * MIB, RW, ANON, -1, 0);
    OK(mremap(p, 50 * MIB, 150 * MIB, MREMAP_MAYMOVE) == MAP_FAILED && errno == ENOMEM);
    OK(mmap(p, 60 * MIB, RW, ANON | MAP_FIXED, -1, 0) == p); /* what is replaced does not count */
    OK(munmap(p, 60 * MIB) == 0);
    void *top = sbrk(0);
    r = (struct rlimit){ 10 * MIB, 50 * MIB };
    OK(setrlimit(RLIMIT_DATA, &r) == 0);
    OK(sbrk(30 * MIB) == (void *)-1 && errno == ENOMEM && sbrk(0) == top);
    OK(refused(30 * MIB, RW, ANON) && !refused(30 * MIB, PROT_READ, ANON));
    OK(!refused(30 * MIB, RW, MAP_SHARED | MAP_ANONYMOUS));
    r.rlim_cur = 60 * MIB;
    OK(setrlimit(RLIMIT_DATA, &r) == -1 && errno == EINVAL);
    pid_t pid = t_fork();
    if (pid == 0)
        execl("/proc/self/exe", argv[0], "child", NULL);
    int st;
    OK(waitpid(pid, &st, 0) == pid && WIFEXITED(st) && WEXITSTATUS(st) == 31);
    return t_done();
}
