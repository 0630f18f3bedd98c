/*
 * Every system call of the table with arguments that are right, that are wrong, and that are nonsense: prints what each
 * answered. Built for the guest and for the host; sweep.py compares.
 *
 *   sweep DIR      DIR: an empty directory; as root it goes on as nobody
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096, ARGS = 6, CHOICES = 5, VECTORS = 1 + ARGS * (CHOICES - 1), LIMIT_SECONDS = 20 };

typedef struct Call {
    const char *name;
    long nr;
    const char *kinds; /* a letter an argument: see choices(); '=': `value` */
    long value;
} Call;

static const Call calls[] = {
#include "sweep_calls.h"
};

/* What the child that makes a call's vectors tells its parent. */
static struct Shared {
    int next;            /* the vector that is being made */
    int result[VECTORS]; /* 0 or -errno; what ended the child is the parent's to add */
} * shared;

#define FATAL  100000 /* added to a signal's number */
#define UNMADE 200000

static int file, directory, pipes[2];
static char *buffer, long_path[5000];
static const char *path = "file";

/* The values that an argument of this kind is tried with; the first is what a right call has. */
static int choices(char kind, long out[CHOICES])
{
    const long fds[] = {file, -1, pipes[0], directory, 1000}, dirs[] = {AT_FDCWD, -1, file, directory};
    const long paths[] = {(long)path, 8, (long)"", (long)"nowhere/x", (long)long_path};
    const long buffers[] = {(long)buffer, 0, 8, (long)buffer + PAGE - 2, 1L << 51}; /* the next page is closed */
    const long timeouts[] = {(long)buffer, 8}, strings[] = {(long)"name", 8, 0, (long)long_path};
    const long sizes[] = {8, 0, 1, PAGE, -1}, flags[] = {0, 1, 0x40000000, -1}, ints[] = {0, 1, -1, 0x7ffffff0};
    const long any[] = {(long)buffer, 0, 1, -1, 8}, offsets[] = {0, 1, -1, 1L << 62};
    static const char letters[] = "fdpbtsnioxg";
    const struct {
        const long *v;
        unsigned size;
    } sets[] = {
        {fds, sizeof fds},           {dirs, sizeof dirs},       {paths, sizeof paths}, {buffers, sizeof buffers},
        {timeouts, sizeof timeouts}, {strings, sizeof strings}, {sizes, sizeof sizes}, {ints, sizeof ints},
        {offsets, sizeof offsets},   {any, sizeof any},         {flags, sizeof flags},
    };
    const char *at = strchr(letters, kind);
    if (!at)
        return 0;
    memcpy(out, sets[at - letters].v, sets[at - letters].size);
    return (int)(sets[at - letters].size / sizeof(long));
}

/* Arguments of vector v; returns whether there is one, and which argument is not as in the first: -1 none. */
static int vector(const Call *c, int v, long arg[ARGS], int *which)
{
    long set[CHOICES];
    memset(arg, 0, ARGS * sizeof(long));
    *which = -1;
    for (int i = 0; c->kinds[i]; i++) {
        int n = choices(c->kinds[i], set);
        arg[i] = n ? set[0] : c->value;
    }
    if (v-- == 0)
        return 1;
    for (int i = 0; c->kinds[i]; i++) {
        int n = choices(c->kinds[i], set);
        if (n > 0 && v < n - 1) {
            arg[i] = set[v + 1];
            *which = i;
            return 1;
        }
        v -= n > 0 ? n - 1 : 0;
    }
    return 0;
}

static void fresh_file(void)
{
    fchmod(directory, 0700); /* a call may have changed that */
    unlink(path);
    int fd = open(path, O_CREAT | O_RDWR | O_TRUNC, 0600);
    if (fd < 0 || dup2(fd, file) != file || write(file, "some bytes", 10) != 10 || lseek(file, 0, SEEK_SET) != 0)
        exit(3);
    close(fd);
}

static void child(const Call *c)
{
    long arg[ARGS];
    int which;
    alarm(LIMIT_SECONDS);
    for (; vector(c, shared->next, arg, &which); shared->next++) {
        shared->result[shared->next] = UNMADE;
        memset(buffer, 0, PAGE);
        long ret = syscall(c->nr, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
        shared->result[shared->next] = ret == -1 ? -errno : 0;
    }
    kill(getpid(), SIGKILL); /* exit might not be what it was */
}

static void sweep(const Call *c)
{
    long arg[ARGS];
    int status, which, n = 0;
    while (vector(c, n, arg, &which))
        n++;
    for (shared->next = 0; shared->next < n; shared->next++) {
        fresh_file();
        pid_t pid = fork();
        if (pid == 0)
            child(c);
        waitpid(pid, &status, 0);
        if (WIFSTOPPED(status)) {
            kill(pid, SIGKILL);
            waitpid(pid, NULL, 0);
        }
        if (shared->next < n && shared->result[shared->next] == UNMADE)
            shared->result[shared->next] = FATAL + (WIFSIGNALED(status) ? WTERMSIG(status) : 0);
    }
    for (int v = 0; vector(c, v, arg, &which); v++) {
        printf("%s", c->name);
        if (which >= 0)
            printf(" with argument %d = %s%ld", which + 1, arg[which] > 65536 ? "..." : "",
                   arg[which] > 65536 ? v : arg[which]);
        printf(": %d\n", shared->result[v]);
    }
}

int main(int argc, char **argv)
{
    if (argc != 2 || chdir(argv[1]) != 0)
        return 2;
    if (geteuid() == 0 && (chown(".", 65534, 65534) != 0 || setgroups(0, NULL) != 0 ||
                           setresgid(65534, 65534, 65534) != 0 || setresuid(65534, 65534, 65534) != 0))
        return 2;
    memset(long_path, 'x', sizeof long_path - 1);
    shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    /* The same for guest and host, should a call take it for a number. */
    buffer = mmap((void *)0x20000000, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    file = dup(0);
    directory = open(".", O_RDONLY | O_DIRECTORY);
    if (mprotect(buffer + PAGE, PAGE, PROT_NONE) != 0 || file < 0 || directory < 0 || pipe2(pipes, O_NONBLOCK) != 0)
        return 2;
    for (unsigned i = 0; i < sizeof calls / sizeof calls[0]; i++)
        sweep(&calls[i]);
    return 0;
}
