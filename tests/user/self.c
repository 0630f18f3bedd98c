/* /proc/self as the program should see it. */
#include "t.h"

#include <dirent.h>
#include <elf.h>
#include <fcntl.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/stat.h>

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
    return t_done();
}
