/* /proc/self as the program should see it. */
#include "t.h"

#include <dirent.h>
#include <elf.h>
#include <fcntl.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

static char buf[1 << 20];

static ssize_t slurp(const char *path)
{
    int fd = open(path, O_RDONLY);
    ssize_t n = 0, got;
    if (fd < 0)
        return -1;
    while ((got = read(fd, buf + n, sizeof buf - 1 - (size_t)n)) > 0)
        n += got;
    close(fd);
    buf[n] = 0;
    return n;
}

/* The permissions that maps shows for an address, or NULL. */
static const char *perms(const void *p)
{
    static char perm[8];
    slurp("/proc/self/maps");
    for (char *line = buf, *next; *line; line = next) {
        unsigned long start, end;
        next = strchr(line, '\n');
        next = next ? next + 1 : line + strlen(line);
        if (sscanf(line, "%lx-%lx %7s", &start, &end, perm) == 3 && (unsigned long)p >= start && (unsigned long)p < end)
            return perm;
    }
    return NULL;
}

static volatile unsigned work;

static int threads_listed(void)
{
    DIR *d = opendir("/proc/self/task");
    int n = 0;

    for (struct dirent *e; d && (e = readdir(d));)
        n += e->d_name[0] != '.';
    if (d)
        closedir(d);
    return n;
}

/* The rest of the line of /proc/self/FILE, now in buf, that begins with `key`. */
static const char *field(const char *key)
{
    char *p = strstr(buf, key);
    static char value[256];
    if (!p)
        return "";
    snprintf(value, sizeof value, "%.*s", (int)strcspn(p + strlen(key), "\n"), p + strlen(key));
    return value + strspn(value, " \t");
}

static void on_signal(int sig)
{
}

static void test_status(void)
{
    struct rlimit r;
    sigset_t set;
    slurp("/proc/self/status"); /* who started the test may ignore some */
    unsigned long long ignored = strtoull(field("\nSigIgn:"), NULL, 16);
    signal(SIGUSR1, on_signal);
    signal(SIGSEGV, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGTRAP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    raise(SIGTRAP);
    OK(slurp("/proc/self/status") > 0 && strtoull(field("\nSigCgt:"), NULL, 16) == 1u << (SIGUSR1 - 1));
    OK(strtoull(field("\nSigIgn:"), NULL, 16) == (ignored | 1u << (SIGSEGV - 1)) && strtoull(field("\nSigBlk:"), NULL, 16) == 1u << (SIGTRAP - 1));
    OK(strtoull(field("\nSigPnd:"), NULL, 16) == 1u << (SIGTRAP - 1));
    sigwaitinfo(&set, NULL);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    signal(SIGSEGV, SIG_DFL);
    getrlimit(RLIMIT_DATA, &r);
    r.rlim_cur = 1ul << 40;
    OK(setrlimit(RLIMIT_DATA, &r) == 0 && slurp("/proc/self/limits") > 0 && strtoull(field("Max data size"), NULL, 10) == 1ul << 40);
    int fd = open("/tmp", O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    char name[64];
    snprintf(name, sizeof name, "/proc/self/fdinfo/%d", fd);
    OK(slurp(name) > 0 && (strtoull(field("flags:"), NULL, 8) & (O_DIRECTORY | O_NOFOLLOW | O_DIRECT)) == (O_DIRECTORY | O_NOFOLLOW));
    OK(slurp("/proc/self/smaps") > 0 && strstr(buf, "[stack]\nSize:") && strtoull(field("\nRss:"), NULL, 10) > 0);
    if (slurp("/proc/sys/kernel/arch") > 0)
        OK(!strcmp(buf, "aarch64\n"));
    else
        t_skip("no /proc/sys/kernel/arch");
}

/* What is seen of a child, which runs a guest program too. */
static void test_other(const char *program)
{
    int fds[2], ready[2], st;
    char path[64], to[4096] = "", c = 0;
    pipe(fds);
    pipe(ready);
    pid_t pid = t_fork();
    if (pid == 0) {
        close(fds[1]);
        signal(SIGUSR2, on_signal);
        write(ready[1], &c, 1);
        read(fds[0], &c, 1);
        _exit(0);
    }
    read(ready[0], &c, 1);
    snprintf(path, sizeof path, "/proc/%d/exe", pid);
    OK(readlink(path, to, sizeof to - 1) > 0 && !strcmp(to, program));
    snprintf(path, sizeof path, "/proc/%d/maps", pid);
    OK(slurp(path) > 0 && strstr(buf, program) && strstr(buf, " r-xp ") && strstr(buf, "[stack]") && strstr(buf, "[vdso]"));
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    OK(slurp(path) > 0 && (strtoull(field("\nSigCgt:"), NULL, 16) & 1u << (SIGUSR2 - 1)) &&
       !(strtoull(field("\nSigCgt:"), NULL, 16) & 1u << (SIGSEGV - 1)));
    snprintf(path, sizeof path, "/proc/%d/auxv", pid);
    OK(slurp(path) > 0 && ((Elf64_auxv_t *)buf)->a_type == AT_SYSINFO_EHDR &&
       ((Elf64_auxv_t *)buf)->a_un.a_val == getauxval(AT_SYSINFO_EHDR));
    snprintf(path, sizeof path, "/proc/%d/syscall", pid);
    snprintf(to, sizeof to, "%d 0x%x 0x%lx 0x1 ", SYS_read, fds[0], (unsigned long)&c);
    unsigned long sp = 0, pc = 0;
    for (int i = 0; i < 1000 && strncmp(buf, to, strlen(to)) != 0 && slurp(path) > 0; i++)
        usleep(1000); /* until it waits */
    OK(!strncmp(buf, to, strlen(to)) && sscanf(buf, "%*s %*s %*s %*s %*s %*s %*s %lx %lx", &sp, &pc) == 2);
    OK(sp <= (unsigned long)&c && sp > (unsigned long)&c - 65536 && perms((void *)pc) && perms((void *)pc)[2] == 'x');
    close(fds[1]);
    OK(waitpid(pid, &st, 0) == pid && st == 0);
}

static int says(int fd, const char *what)
{
    ssize_t n = lseek(fd, 0, SEEK_SET) == 0 ? read(fd, buf, sizeof buf - 1) : -1;
    buf[n > 0 ? n : 0] = 0;
    return strstr(buf, what) != NULL;
}

/* Who goes back to the start of a file reads how things are now. */
static void test_again(void)
{
    char name[64];
    int st;
    pid_t pid = t_fork();
    if (pid == 0) {
        raise(SIGSTOP);
        for (;;)
            pause();
    }
    snprintf(name, sizeof name, "/proc/%d/status", pid);
    waitpid(pid, &st, WUNTRACED);
    int fd = open(name, O_RDONLY), own = open("/proc/self/status", O_RDONLY);
    OK(says(fd, "(stopped)") && says(fd, "(stopped)"));
    kill(pid, SIGCONT);
    waitpid(pid, &st, WCONTINUED);
    OK(!says(fd, "(stopped)") && says(fd, "Name:"));
    siginfo_t info;
    kill(pid, SIGKILL);
    waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
    OK(says(fd, "(zombie)"));
    waitpid(pid, &st, 0);
    char old[17] = "";
    prctl(PR_GET_NAME, old);
    OK(!says(own, "Name:\tnewname\n") && prctl(PR_SET_NAME, "newname") == 0 && says(own, "Name:\tnewname\n"));
    prctl(PR_SET_NAME, "third");
    OK(lseek(own, 7, SEEK_SET) == 7 && pread(own, buf, 12, 0) == 12 && !memcmp(buf, "Name:\tthird\n", 12) && lseek(own, 0, SEEK_CUR) == 7);
    struct iovec iov = { buf, 13 };
    prctl(PR_SET_NAME, "fourth");
    OK(preadv(own, &iov, 1, 0) == 13 && !memcmp(buf, "Name:\tfourth\n", 13));
    prctl(PR_SET_NAME, old);
    close(fd);
    close(own);
}

int main(int argc, char **argv)
{
    char path[4096], name[32] = "";
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    OK(n > 5 && !memcmp(path + n - 4, "self", 4));
    path[n > 0 ? n : 0] = 0;
    snprintf(buf, sizeof buf, "/proc/%d/exe", getpid());
    char other[4096];
    OK(readlink(buf, other, sizeof other) == n && !memcmp(other, path, (size_t)n));
    struct stat a, b;
    OK(stat("/proc/self/exe", &a) == 0 && stat(path, &b) == 0 && a.st_ino == b.st_ino);
    int fd = open("/proc/self/exe", O_RDONLY);
    unsigned char head[20];
    OK(read(fd, head, 20) == 20 && head[18] == EM_AARCH64);
    close(fd);
    OK(slurp("/proc/self/cmdline") == (ssize_t)(strlen(argv[0]) + 1 + 4) && !strcmp(buf, argv[0]));
    n = slurp("/proc/self/environ");
    OK(n > 0 && memmem(buf, (size_t)n, "T_START=", 8));
    Elf64_auxv_t *v = (Elf64_auxv_t *)buf;
    n = slurp("/proc/self/auxv");
    OK(n > 0 && n % (ssize_t)sizeof *v == 0);
    int good = 0;
    for (ssize_t i = 0; i < n / (ssize_t)sizeof *v; i++)
        good |= v[i].a_type == AT_ENTRY && v[i].a_un.a_val == getauxval(AT_ENTRY);
    OK(good);
    OK(perms((void *)main) && !strncmp(perms((void *)main), "r-xp", 4));
    OK(perms(&good) && !strncmp(perms(&good), "rw-p", 4));
    OK(slurp("/proc/self/maps") > 0 && strstr(buf, "[stack]") && strstr(buf, "[heap]") && strstr(buf, "[vdso]") && strstr(buf, path));
    OK(!strstr(buf, "dragoman") || strstr(path, "dragoman"));
    char *p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    OK(!strncmp(perms(p), "r--p", 4));
    mprotect(p, 4096, PROT_NONE);
    OK(!strncmp(perms(p), "---p", 4));
    munmap(p, 4096);
    OK(!perms(p));
    OK(slurp("/proc/self/stat") > 0 && atoi(buf) == getpid());
    OK(prctl(PR_GET_NAME, name) == 0 && strstr(argv[0], name));
    OK(prctl(PR_SET_NAME, "renamed") == 0 && slurp("/proc/self/comm") > 0 && !strcmp(buf, "renamed\n"));
    OK(slurp("/proc/cpuinfo") > 0 && strstr(buf, "asimd") && strstr(buf, "CPU architecture: 8"));
    OK(slurp("/proc/self/status") > 0);
    for (unsigned i = 0; i < 2000000; i++) /* long enough for a translator with a thread of its own to start it */
        work = work * 3 + i;
    OK(threads_listed() == 1);
    OK(slurp("/proc/self/status") > 0 && strstr(buf, "\nThreads:\t1\n"));
    int proc = open("/proc", O_RDONLY | O_DIRECTORY); /* the same names seen from a directory */
    fd = openat(proc, "cpuinfo", O_RDONLY);
    n = read(fd, buf, sizeof buf - 1);
    OK(n > 0 && memmem(buf, (size_t)n, "asimd", 5));
    close(fd);
    OK(readlinkat(proc, "self/exe", other, sizeof other) == (ssize_t)strlen(path) && !memcmp(other, path, strlen(path)));
    OK(fchdir(proc) == 0 && slurp("self/cmdline") == (ssize_t)(strlen(argv[0]) + 1 + 4) && !strcmp(buf, argv[0]));
    OK(fstatat(proc, "self/exe", &a, 0) == 0 && a.st_ino == b.st_ino);
    OK(open("/proc/self/maps", O_WRONLY) == -1);
    OK(personality(PER_LINUX32) == -1 && personality(0xffffffff) == PER_LINUX); /* no 32-bit programs */
    test_status();
    test_other(path);
    test_again();
    return t_done();
}
