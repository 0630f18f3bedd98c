/* Core files of programs that die: their notes, memory, name and limits. */
#include "t.h"

#include <elf.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/procfs.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

static uint64_t marker[1024] = { 0x6d61726b6d61726b };
static char name[64];
static uint8_t *file;
static size_t size;

static void *wait_for_ever(void *arg)
{
    for (;;)
        pause();
    return arg;
}

static void *spin(void *arg)
{
    for (;;)
        marker[1]++;
    return arg;
}

static int by_abort; /* by a signal that is sent, and no fault */

static void die(void)
{
    pthread_t t;
    marker[512] = 77;
    pthread_create(&t, NULL, wait_for_ever, NULL);
    pthread_create(&t, NULL, spin, NULL);
    usleep(20000);
    if (by_abort)
        abort();
    asm volatile("mov x19, #0x1234\n\tfmov d8, #1.5\n\tmov x20, #32\n\tstr x19, [x20]" ::: "x19", "x20", "d8", "memory");
    _exit(1);
}

/* Let a child die with at most `limit` bytes of core; returns its status. */
static int crash(rlim_t limit, int dumpable, pid_t *pid)
{
    int st = 0;
    unlink("core");
    *pid = t_fork();
    if (*pid == 0) {
        struct rlimit rl = { limit, limit };
        setrlimit(RLIMIT_CORE, &rl);
        if (!dumpable)
            prctl(PR_SET_DUMPABLE, 0);
        die();
    }
    waitpid(*pid, &st, 0);
    return st;
}

static int read_core(void)
{
    struct stat sb;
    int fd = open(name, O_RDONLY);
    if (fd < 0 || fstat(fd, &sb) != 0)
        return -1;
    size = (size_t)sb.st_size;
    file = malloc(size + 1);
    ssize_t n = read(fd, file, size);
    close(fd);
    unlink(name);
    return n == (ssize_t)size ? (int)(sb.st_mode & 0777) : -1;
}

static const Elf64_Phdr *segment(uint64_t va)
{
    const Elf64_Ehdr *h = (void *)file;
    const Elf64_Phdr *p = (void *)(file + h->e_phoff);
    for (int i = 0; i < h->e_phnum; i++)
        if (p[i].p_type == PT_LOAD && va >= p[i].p_vaddr && va < p[i].p_vaddr + p[i].p_filesz)
            return &p[i];
    return NULL;
}

static uint64_t word_at(const void *addr)
{
    const Elf64_Phdr *p = segment((uintptr_t)addr);
    uint64_t v = 0;
    if (p)
        memcpy(&v, file + p->p_offset + ((uintptr_t)addr - p->p_vaddr), sizeof v);
    return v;
}

/* The n-th note of a type, and how many there are. */
static const void *note(uint32_t type, int nth, int *count)
{
    const Elf64_Ehdr *h = (void *)file;
    const Elf64_Phdr *p = (void *)(file + h->e_phoff);
    const void *found = NULL;
    *count = 0;
    for (size_t at = p->p_offset, end = at + p->p_filesz; p->p_type == PT_NOTE && at < end;) {
        const Elf64_Nhdr *n = (void *)(file + at);
        const uint8_t *desc = (uint8_t *)(n + 1) + ((n->n_namesz + 3) & ~3u);
        if (n->n_type == type && (*count)++ == nth)
            found = desc;
        at = (size_t)(desc - file) + ((n->n_descsz + 3) & ~3u);
    }
    return found;
}

static void test_contents(pid_t pid)
{
    int n;
    const Elf64_Ehdr *h = (void *)file;
    OK(size > sizeof *h && memcmp(h->e_ident, ELFMAG, SELFMAG) == 0 && h->e_type == ET_CORE && h->e_machine == EM_AARCH64);
    const struct elf_prstatus *s = note(NT_PRSTATUS, 0, &n);
    OK(n == 3 && s->pr_pid == pid && s->pr_cursig == SIGSEGV && s->pr_reg[19] == 0x1234 && s->pr_reg[20] == 32);
    const struct elf_prstatus *other = note(NT_PRSTATUS, 1, &n);
    OK(other->pr_pid != pid && other->pr_reg[31] != s->pr_reg[31]); /* the stack pointer */
    const double *v = note(NT_PRFPREG, 0, &n);
    OK(n == 3 && v[16] == 1.5);
    const siginfo_t *info = note(NT_SIGINFO, 0, &n);
    OK(n == 1 && info->si_signo == SIGSEGV && info->si_addr == (void *)32);
    const struct elf_prpsinfo *ps = note(NT_PRPSINFO, 0, &n);
    OK(n == 1 && ps->pr_pid == pid && ps->pr_fname[0]);
    const Elf64_auxv_t *aux = note(NT_AUXV, 0, &n);
    int phdr = 0;
    for (; n == 1 && aux->a_type != AT_NULL; aux++)
        phdr |= aux->a_type == AT_PHDR;
    OK(phdr);
    const uint64_t *files = note(NT_FILE, 0, &n);
    OK(n == 1 && files[0] >= 2 && files[1] == 4096);
    OK(note(NT_ARM_TLS, 2, &n) && n == 3);
    OK(word_at(&marker[0]) == marker[0] && word_at(&marker[512]) == 77);
    OK(segment(s->pr_reg[31]) != NULL);
}

int main(void)
{
    char dir[] = "/tmp/t-core-XXXXXX", pattern[256] = "", uses_pid = '0';
    FILE *f = fopen("/proc/sys/kernel/core_pattern", "r");
    if (!f || !fgets(pattern, sizeof pattern, f) || strcmp(pattern, "core\n") != 0) {
        t_skip("core_pattern is not plain");
        return t_done();
    }
    fclose(f);
    f = fopen("/proc/sys/kernel/core_uses_pid", "r");
    OK(f && fread(&uses_pid, 1, 1, f) == 1 && mkdtemp(dir) && chdir(dir) == 0);
    pid_t pid;
    int st = crash(RLIM_INFINITY, 1, &pid);
    snprintf(name, sizeof name, uses_pid == '0' ? "core" : "core.%d", pid);
    OK(WIFSIGNALED(st) && WTERMSIG(st) == SIGSEGV && WCOREDUMP(st));
    OK(read_core() == 0600);
    if (size)
        test_contents(pid);
    st = crash(0, 1, &pid);
    OK(WIFSIGNALED(st) && WTERMSIG(st) == SIGSEGV && !WCOREDUMP(st) && read_core() < 0);
    st = crash(RLIM_INFINITY, 0, &pid);
    OK(WIFSIGNALED(st) && WTERMSIG(st) == SIGSEGV && !WCOREDUMP(st) && read_core() < 0);
    st = crash(8192, 1, &pid);
    snprintf(name, sizeof name, uses_pid == '0' ? "core" : "core.%d", pid);
    OK(WIFSIGNALED(st) && WTERMSIG(st) == SIGSEGV && read_core() == 0600 && size <= 8192 && size > 0);
    by_abort = 1;
    st = crash(RLIM_INFINITY, 1, &pid);
    snprintf(name, sizeof name, uses_pid == '0' ? "core" : "core.%d", pid);
    OK(WIFSIGNALED(st) && WTERMSIG(st) == SIGABRT && WCOREDUMP(st) && read_core() == 0600);
    const Elf64_Ehdr *h = (void *)file;
    OK(size > sizeof *h && h->e_type == ET_CORE && h->e_machine == EM_AARCH64);
    int n = 0;
    const struct elf_prstatus *s = size ? note(NT_PRSTATUS, 0, &n) : NULL;
    OK(n == 3 && s->pr_pid == pid && s->pr_cursig == SIGABRT);
    rmdir(dir);
    return t_done();
}
