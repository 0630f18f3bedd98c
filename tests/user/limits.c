/* Limits of the address space, and that they go over execve. */
#include "t.h"

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

int main(int argc, char **argv)
{
    if (argc > 1)
        return child();
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
    pid_t pid = fork();
    if (pid == 0)
        execl("/proc/self/exe", argv[0], "child", NULL);
    int st;
    OK(waitpid(pid, &st, 0) == pid && WIFEXITED(st) && WEXITSTATUS(st) == 31);
    return t_done();
}
