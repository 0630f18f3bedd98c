/* The address space: mappings, protections, faults, heap, code that changes. */
#include "t.h"

#include <fcntl.h>
#include <setjmp.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>

#define PAGE 4096ul
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

static sigjmp_buf back;
static siginfo_t seen;

static void on_fault(int sig, siginfo_t *info, void *uc)
{
    seen = *info;
    siglongjmp(back, 1);
}

/* Whether an access faults, and with which code. */
static int faults(volatile char *p, int write)
{
    if (sigsetjmp(back, 1) == 0) {
        if (write)
            *p = 1;
        else
            (void)*p;
        return 0;
    }
    return seen.si_addr == (void *)p ? seen.si_code : -1;
}

static void test_map(void)
{
    char *p = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, ANON, -1, 0);
    OK(p != MAP_FAILED && ((uintptr_t)p & (PAGE - 1)) == 0);
    p[0] = p[4 * PAGE - 1] = 5;
    OK(munmap(p + PAGE, PAGE) == 0);
    OK(faults(p + PAGE, 0) == SEGV_MAPERR);
    OK(p[0] == 5 && p[4 * PAGE - 1] == 5);
    OK(mmap(p + PAGE, PAGE, PROT_READ, ANON | MAP_FIXED_NOREPLACE, -1, 0) == p + PAGE);
    OK(mmap(p + PAGE, PAGE, PROT_READ, ANON | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED && errno == EEXIST);
    OK(faults(p + PAGE, 1) == SEGV_ACCERR);
    OK(mprotect(p, 4 * PAGE, PROT_NONE) == 0 && faults(p, 0) == SEGV_ACCERR);
    OK(mprotect(p, PAGE, PROT_READ | PROT_WRITE) == 0 && p[0] == 5);
    OK(mmap(p + 2 * PAGE, PAGE, PROT_READ, ANON | MAP_FIXED, -1, 0) == p + 2 * PAGE && p[2 * PAGE] == 0);
    OK(munmap(p, 4 * PAGE) == 0);
    OK(mprotect(p, PAGE, PROT_READ) == -1 && errno == ENOMEM);
    OK(mmap(p + 1, PAGE, PROT_READ, ANON | MAP_FIXED, -1, 0) == MAP_FAILED && errno == EINVAL);
    OK(mmap(NULL, 0, PROT_READ, ANON, -1, 0) == MAP_FAILED && errno == EINVAL);
    OK(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, 999, 0) == MAP_FAILED && errno == EBADF);
    OK(munmap((char *)1, PAGE) == -1 && errno == EINVAL);
    OK(mmap(NULL, 1ul << 60, PROT_READ, ANON, -1, 0) == MAP_FAILED && errno == ENOMEM);
    OK(faults((char *)8, 1) == SEGV_MAPERR);
    void *hint = (void *)0x30000000;
    p = mmap(hint, PAGE, PROT_READ, ANON, -1, 0);
    OK(p == hint);
    OK(mmap(hint, PAGE, PROT_READ, ANON, -1, 0) != hint);
    hint = (void *)0x4000000000; /* where Go puts its heap */
    p = mmap(hint, PAGE, PROT_READ | PROT_WRITE, ANON, -1, 0);
    if (t_sanitized("address"))
        t_skip("the address sanitizer's shadow is there");
    else
        OK(p == hint && (p[0] = 1));
    munmap(p, PAGE);
    p = mmap(NULL, 1ul << 36, PROT_NONE, ANON | MAP_NORESERVE, -1, 0);
    OK(p != MAP_FAILED && munmap(p, 1ul << 36) == 0);
}

static void test_remap(void)
{
    char *p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, ANON, -1, 0);
    strcpy(p + PAGE, "moved");
    char *q = mremap(p, 2 * PAGE, 64 * PAGE, MREMAP_MAYMOVE);
    OK(q != MAP_FAILED && !strcmp(q + PAGE, "moved") && q[64 * PAGE - 1] == 0);
    OK(mremap(q, 64 * PAGE, PAGE * 2, 0) == q && faults(q + 2 * PAGE, 0) == SEGV_MAPERR);
    char *r = mmap(NULL, 8 * PAGE, PROT_NONE, ANON, -1, 0);
    OK(mremap(q, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, r + 2 * PAGE) == r + 2 * PAGE);
    OK(!strcmp(r + 3 * PAGE, "moved") && faults(q, 0) == SEGV_MAPERR);
    OK(mremap(q, PAGE, 2 * PAGE, MREMAP_MAYMOVE) == MAP_FAILED && errno == EFAULT);
    OK(munmap(r, 8 * PAGE) == 0);
}

static void test_brk(void)
{
    char *at = sbrk(0);
    OK(sbrk(3 * PAGE) == at);
    at[3 * PAGE - 1] = 1;
    OK(at[0] == 0);
    OK(brk(at) == 0 && sbrk(0) == at);
    OK(sbrk(PAGE) == at && at[0] == 0);
    OK(syscall(SYS_brk, 0) == (long)(at + PAGE));
    OK(syscall(SYS_brk, 1) == (long)(at + PAGE));
}

static void test_file(void)
{
    char name[] = "/tmp/dragoman-mem-XXXXXX";
    int fd = mkstemp(name);
    unlink(name);
    OK(fd >= 0 && ftruncate(fd, PAGE + 10) == 0);
    char *p = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    OK(p != MAP_FAILED);
    strcpy(p + PAGE, "shared");
    char buf[7];
    OK(pread(fd, buf, 7, PAGE) == 7 && !strcmp(buf, "shared"));
    OK(msync(p, PAGE, MS_SYNC) == 0);
    OK(sigsetjmp(back, 1) || (p[2 * PAGE] = 1, 0)); /* beyond the end of the file */
    OK(seen.si_signo == SIGBUS && seen.si_code == BUS_ADRERR && seen.si_addr == p + 2 * PAGE);
    OK(madvise(p, PAGE, MADV_WILLNEED) == 0);
    munmap(p, 3 * PAGE);
    close(fd);
    p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, ANON, -1, 0);
    p[0] = 9;
    OK(madvise(p, PAGE, MADV_DONTNEED) == 0 && p[0] == 0);
    OK(mlock(p, PAGE) == 0 || errno == ENOMEM || errno == EPERM);
    OK(mlockall(0) == -1 && errno == EINVAL);
    OK(munlockall() == 0);
    unsigned char vec[1];
    OK(mincore(p, PAGE, vec) == 0);
}

/* mov w0, #n; ret */
static void put_code(uint32_t *at, unsigned n)
{
    at[0] = 0x52800000u | n << 5;
    at[1] = 0xd65f03c0u;
    __builtin___clear_cache((char *)at, (char *)(at + 2));
}

static void test_code(void)
{
    uint32_t *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, ANON, -1, 0);
    int (*fn)(void) = (int (*)(void))p;
    int good = 1;
    for (unsigned i = 0; i < 200; i++) {
        put_code(p, i);
        good &= fn() == (int)i && fn() == (int)i;
    }
    OK(good);
    put_code(p, 77);
    OK(mprotect(p, PAGE, PROT_READ | PROT_EXEC) == 0 && fn() == 77);
    OK(mprotect(p, PAGE, PROT_READ | PROT_WRITE) == 0);
    OK(sigsetjmp(back, 1) || (fn(), 0)); /* not executable now */
    OK(seen.si_signo == SIGSEGV && seen.si_code == SEGV_ACCERR && seen.si_addr == (void *)p);
    put_code(p, 78);
    OK(mprotect(p, PAGE, PROT_EXEC) == 0 && fn() == 78);
    munmap(p, PAGE);
    uint32_t *q = mmap(p, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, ANON | MAP_FIXED, -1, 0);
    put_code(q, 79);
    OK(q == p && fn() == 79);
    /* The same memory at two addresses: written through one, run through the other. */
    int fd = memfd_create("code", 0);
    OK(ftruncate(fd, PAGE) == 0);
    uint32_t *w = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    uint32_t *x = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
    good = 1;
    for (unsigned i = 0; i < 100; i++) {
        put_code(w, i);
        __builtin___clear_cache((char *)x, (char *)(x + 2));
        good &= ((int (*)(void))x)() == (int)i;
    }
    OK(good);
}

int main(void)
{
    struct sigaction sa = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };
    sigaction(SIGSEGV, &sa, NULL);
    sigaction(SIGBUS, &sa, NULL);
    test_map();
    test_remap();
    test_brk();
    test_file();
    test_code();
    return t_done();
}
