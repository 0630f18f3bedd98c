/* Writes to the memory of a process through /proc/PID/mem: they may change code. */
#include "user/procfs.h"
#include "user/procfs_files.h"
#include "user/ptrace.h"

#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

bool procfs_fd_link(UserThread *t, int fd, char *to, size_t len)
{
    char link[40];

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const uint64_t arg[6] = { (uint64_t)AT_FDCWD, (uintptr_t)link, (uintptr_t)to, len - 1 };
    int64_t n = host_call_out(t, SYS_readlinkat, arg, to, len);
    if (n < 0)
        return false;
    to[n] = 0;
    return true;
}

void procfs_wrote(UserThread *t, const SysCall *c, int64_t n)
{
    char to[64];
    int pid, tid = 0, end = 0;
    static const char *const calls[] = { "write", "writev", "pwrite64", "pwritev", "pwritev2" };
    unsigned i = 0;

    while (i < sizeof calls / sizeof calls[0] && strcmp(c->d->name, calls[i]) != 0)
        i++;
    if (i == sizeof calls / sizeof calls[0] || !procfs_fd_link(t, (int)c->arg[0], to, sizeof to))
        return;
    if ((sscanf(to, "/proc/%d/task/%d/mem%n", &pid, &tid, &end) != 2 || end == 0) &&
        (sscanf(to, "/proc/%d/mem%n", &pid, &end) != 1 || end == 0))
        return;
    /* A position of its own, or the descriptor's, which has moved on. */
    bool placed = i >= 2 && c->arg[3] != UINT64_MAX;
    uint64_t at = placed ? c->arg[3] : (uint64_t)(HOST3(t, SYS_lseek, c->arg[0], 0, SEEK_CUR) - n);
    ptrace_code_changed(t, pid, at, (uint64_t)n);
}

