/* Newer calls of the kernel: memory (mseal, memory barriers, remapping), Landlock, userfaultfd, perf events, AIO, keys. */
#include "t.h"

#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/keyctl.h>
#include <linux/landlock.h>
#include <linux/membarrier.h>
#include <linux/perf_event.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#define PAGE 4096ul
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define NR_memfd_secret 447
#define NR_mseal 462

static int status_of(pid_t pid)
{
    int st;
    return waitpid(pid, &st, 0) != pid ? -1 : WIFEXITED(st) ? WEXITSTATUS(st) : -WTERMSIG(st);
}

static void test_seal(void)
{
    char *p = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, ANON, -1, 0);
    OK(syscall(NR_mseal, p + 1, PAGE, 0) == -1 && (errno == EINVAL || errno == ENOSYS));
    if (syscall(NR_mseal, p + PAGE, PAGE, 0) != 0) {
        t_skip("no mseal");
        return;
    }
    OK(munmap(p + PAGE, PAGE) == -1 && errno == EPERM);
    OK(mprotect(p, 3 * PAGE, PROT_READ) == -1 && errno == EPERM);
    OK(mmap(p + PAGE, PAGE, PROT_READ, ANON | MAP_FIXED, -1, 0) == MAP_FAILED && errno == EPERM);
    OK(mremap(p + PAGE, PAGE, 2 * PAGE, MREMAP_MAYMOVE) == MAP_FAILED && errno == EPERM);
    p[PAGE] = 7;
    OK(p[PAGE] == 7 && munmap(p, PAGE) == 0 && munmap(p + 2 * PAGE, PAGE) == 0);
    OK(syscall(NR_mseal, p, PAGE, 0) == -1 && errno == ENOMEM);
}

static void test_memory(void)
{
    int fd = memfd_create("pages", 0);
    char page[PAGE];
    for (int i = 0; i < 4; i++) {
        memset(page, 'a' + i, PAGE);
        OK(write(fd, page, PAGE) == (ssize_t)PAGE);
    }
    char *p = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    OK(remap_file_pages(p, PAGE, 0, 3, 0) == 0 && p[0] == 'd' && p[PAGE] == 'b');
    OK(remap_file_pages(p, PAGE, PROT_READ, 3, 0) == -1 && errno == EINVAL);
    munmap(p, 4 * PAGE);
    OK(syscall(SYS_pkey_free, 99) == -1 && errno == EINVAL);
    OK(syscall(SYS_pkey_alloc, 1, 0) == -1 && errno == EINVAL);
    p = mmap(NULL, PAGE, PROT_READ, ANON, -1, 0);
    OK(syscall(SYS_pkey_mprotect, p, PAGE, PROT_READ | PROT_WRITE, -1) == 0 && (p[0] = 1));
    long cmds = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);
    OK(cmds > 0 && (cmds & MEMBARRIER_CMD_PRIVATE_EXPEDITED));
    OK(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0);
    OK(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0);
    OK(syscall(SYS_membarrier, 3, 0, 0) == -1 && errno == EINVAL);
    fd = (int)syscall(NR_memfd_secret, 0);
    if (fd < 0) {
        t_skip("no memfd_secret");
        return;
    }
    OK(ftruncate(fd, PAGE) == 0 && read(fd, page, 1) == -1);
    p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    OK(p != MAP_FAILED && (p[5] = 3) == 3);
    struct iovec in = { page, 1 }, out = { p + 5, 1 };
    OK(process_vm_readv(getpid(), &in, 1, &out, 1, 0) == -1 && errno == EFAULT);
}

static void test_process_memory(void)
{
    static char there[64] = "nothing yet";
    char here[16] = "written", back[64];
    int go[2], st;
    pipe(go);
    pid_t pid = t_fork();
    if (pid == 0) {
        read(go[0], &st, 1);
        _exit(strcmp(there, "written") == 0 ? 3 : 4);
    }
    struct iovec mine = { here, 8 }, theirs = { there, 8 }, all = { there, sizeof there }, to = { back, sizeof back };
    OK(process_vm_writev(pid, &mine, 1, &theirs, 1, 0) == 8);
    OK(process_vm_readv(pid, &to, 1, &all, 1, 0) == sizeof back && !strcmp(back, "written"));
    theirs.iov_base = (void *)8;
    OK(process_vm_readv(pid, &mine, 1, &theirs, 1, 0) == -1 && errno == EFAULT);
    OK(process_vm_readv(pid, &mine, 1, &all, 1, 1) == -1 && errno == EINVAL);
    write(go[1], "x", 1);
    OK(status_of(pid) == 3 && !strcmp(there, "nothing yet"));
    OK(process_vm_readv(pid, &mine, 1, &all, 1, 0) == -1 && errno == ESRCH);
    char *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, ANON, -1, 0);
    p[0] = 1;
    int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    struct iovec cold = { p, PAGE };
    OK(syscall(SYS_process_madvise, pidfd, &cold, 1, 20 /* MADV_COLD */, 0) == (long)PAGE);
    OK(syscall(SYS_process_madvise, -1, &cold, 1, 20, 0) == -1 && errno == EBADF);
}

static const char *self;

static int restrict_self(void)
{
    struct landlock_ruleset_attr attr = { .handled_access_fs = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_EXECUTE };
    int rules = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0);
    struct landlock_path_beneath_attr path = { LANDLOCK_ACCESS_FS_EXECUTE, open(self, O_PATH) };
    if (syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &path, 0) != 0)
        return 1;
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    return syscall(SYS_landlock_restrict_self, rules, 0) == 0 ? 0 : 2;
}

static int sandboxed(void)
{
    int failed = restrict_self();
    if (failed)
        return failed;
    if (open("/tmp", O_TMPFILE | O_RDWR, 0600) != -1 || errno != EACCES)
        return 3;
    if (access(self, R_OK) != 0)
        return 4;
    execl(self, self, "sandboxed", NULL);
    return 5;
}

static void test_landlock(void)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (abi < 1) {
        t_skip("no Landlock");
        return;
    }
    OK(syscall(SYS_landlock_create_ruleset, NULL, 0, 0) == -1 && (errno == EINVAL || errno == EFAULT));
    OK(syscall(SYS_landlock_restrict_self, -1, 0) == -1 && (errno == EBADF || errno == EPERM));
    pid_t pid = t_fork();
    if (pid == 0)
        _exit(sandboxed());
    OK(status_of(pid) == 21);
    pid = t_fork();
    if (pid == 0) /* which may not look at its parent, but may be looked at */
        _exit(restrict_self() ? 1 : ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0 ? 7 : 2);
    OK(status_of(pid) == 7);
}

static void *fill(void *arg)
{
    int fd = *(int *)arg;
    struct uffd_msg msg;
    static char page[PAGE];
    memset(page, 'u', PAGE);
    if (read(fd, &msg, sizeof msg) != sizeof msg || msg.event != UFFD_EVENT_PAGEFAULT)
        return NULL;
    struct uffdio_copy copy = { .dst = msg.arg.pagefault.address & ~(PAGE - 1), .src = (uintptr_t)page, .len = PAGE };
    return ioctl(fd, UFFDIO_COPY, &copy) == 0 ? arg : NULL;
}

static void test_userfault(void)
{
    int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
    if (fd < 0) {
        t_skip("no userfaultfd");
        return;
    }
    struct uffdio_api api = { .api = UFFD_API };
    OK(ioctl(fd, UFFDIO_API, &api) == 0);
    char *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, ANON, -1, 0);
    struct uffdio_register reg = { .range = { (uintptr_t)p, PAGE }, .mode = UFFDIO_REGISTER_MODE_MISSING };
    OK(ioctl(fd, UFFDIO_REGISTER, &reg) == 0);
    pthread_t th;
    void *ret;
    pthread_create(&th, NULL, fill, &fd);
    OK(p[100] == 'u');
    pthread_join(th, &ret);
    OK(ret == &fd);
    close(fd);
}

static void test_perf(void)
{
    struct perf_event_attr a = { .type = PERF_TYPE_SOFTWARE, .size = sizeof a, .config = PERF_COUNT_SW_PAGE_FAULTS, .disabled = 1,
                                 .exclude_kernel = 1 };
    int fd = (int)syscall(SYS_perf_event_open, &a, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
    if (fd < 0) {
        t_skip("no perf events");
        return;
    }
    uint64_t before = 0, after = 0;
    OK(ioctl(fd, PERF_EVENT_IOC_ENABLE, 0) == 0 && read(fd, &before, 8) == 8);
    char *p = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, ANON, -1, 0);
    for (int i = 0; i < 16; i++)
        p[i * (int)PAGE] = 1;
    OK(ioctl(fd, PERF_EVENT_IOC_DISABLE, 0) == 0 && read(fd, &after, 8) == 8 && after >= before + 16);
    void *ring = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    OK(ring != MAP_FAILED && ((struct perf_event_mmap_page *)ring)->compat_version == 0);
    munmap(ring, 2 * PAGE);
    close(fd);
    OK(syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0) == -1 && errno == EFAULT);
}

static void test_aio(void)
{
    aio_context_t ctx = 0;
    char name[] = "/tmp/dragoman-aio-XXXXXX", out[512] = "asynchronous", in[512] = "";
    int fd = mkstemp(name), ev = (int)syscall(SYS_eventfd2, 0, 0);
    unlink(name);
    OK(syscall(SYS_io_setup, 8, &ctx) == 0 && ctx != 0);
    struct iocb w = { .aio_data = 1, .aio_lio_opcode = IOCB_CMD_PWRITE, .aio_fildes = (unsigned)fd, .aio_buf = (uintptr_t)out,
                      .aio_nbytes = sizeof out, .aio_flags = IOCB_FLAG_RESFD, .aio_resfd = (unsigned)ev };
    struct iocb r = w, *list[1] = { &w };
    r.aio_data = 2;
    r.aio_lio_opcode = IOCB_CMD_PREAD;
    r.aio_buf = (uintptr_t)in;
    struct io_event e[2];
    OK(syscall(SYS_io_submit, ctx, 1, list) == 1);
    OK(syscall(SYS_io_getevents, ctx, 1, 2, e, NULL) == 1 && e[0].data == 1 && e[0].res == sizeof out);
    list[0] = &r;
    OK(syscall(SYS_io_submit, ctx, 1, list) == 1);
    sigset_t empty;
    sigemptyset(&empty);
    struct { sigset_t *set; size_t size; } mask = { &empty, 8 };
    OK(syscall(SYS_io_pgetevents, ctx, 1, 2, e, NULL, &mask) == 1 && e[0].data == 2 && !strcmp(in, out));
    uint64_t n = 0;
    OK(read(ev, &n, 8) == 8 && n == 2);
    OK(syscall(SYS_io_submit, ctx, 1, (struct iocb *[]){ (struct iocb *)8 }) == -1 && errno == EFAULT);
    OK(syscall(SYS_io_destroy, ctx) == 0 && syscall(SYS_io_destroy, ctx) == -1 && errno == EINVAL);
    OK(syscall(425 /* io_uring_setup */, 1, NULL) == -1 && (errno == ENOSYS || errno == EFAULT || errno == EPERM));
}

static void test_keys(void)
{
    long ring = syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL);
    if (ring < 0) {
        t_skip("no keys");
        return;
    }
    char buf[16] = "";
    long key = syscall(SYS_add_key, "user", "dragoman", "payload", 7, KEY_SPEC_SESSION_KEYRING);
    OK(key > 0 && syscall(SYS_keyctl, KEYCTL_READ, key, buf, sizeof buf) == 7 && !strcmp(buf, "payload"));
    OK(syscall(SYS_request_key, "user", "dragoman", NULL, 0) == key);
    OK(syscall(SYS_keyctl, KEYCTL_REVOKE, key) == 0 && syscall(SYS_keyctl, KEYCTL_READ, key, buf, sizeof buf) == -1 &&
       errno == EKEYREVOKED);
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "sandboxed"))
        return execl("/bin/true", "true", NULL) == -1 && errno == EACCES ? 21 : 22;
    static char path[4096];
    self = path;
    path[readlink("/proc/self/exe", path, sizeof path - 1)] = 0;
    test_seal();
    test_memory();
    test_process_memory();
    test_landlock();
    test_userfault();
    test_perf();
    test_aio();
    test_keys();
    return t_done();
}
