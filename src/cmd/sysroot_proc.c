#include "cmd/sysroot_proc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

void progress_show(bool on, double percent, const char *what)
{
    if (on)
        fprintf(stderr, "\r\033[K[%3.0f%%] %.100s", percent, what);
}

void progress_end(bool on)
{
    if (on)
        fputs("\r\033[K", stderr);
}

/* Fork and exec argv with stdin from /dev/null and descriptors 1, 2, 3 as given (-1: /dev/null). Returns the pid or -1. */
static pid_t spawn(char **argv, int out, int err, int status)
{
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    int null = open("/dev/null", O_RDWR);
    int fds[4] = { null, out < 0 ? null : out, err < 0 ? null : err, status < 0 ? null : status };
    /* Move the sources out of the way of 0..3 first. */
    for (int i = 0; i < 4; i++)
        fds[i] = fcntl(fds[i], F_DUPFD, 10);
    for (int i = 0; i < 4; i++)
        dup2(fds[i], i);
    for (int i = 4; i < 64; i++)
        close(i);
    setenv("LC_ALL", "C", 1);
    setenv("DEBIAN_FRONTEND", "noninteractive", 1);
    execvp(argv[0], argv);
    dprintf(2, "E: cannot run %s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

static bool wait_ok(pid_t pid)
{
    int ws;

    while (waitpid(pid, &ws, 0) < 0)
        if (errno != EINTR)
            return false;
    return WIFEXITED(ws) && WEXITSTATUS(ws) == 0;
}

static char *read_all(int fd)
{
    size_t len = 0, cap = 4096;
    char *buf = malloc(cap);
    ssize_t n;

    while ((n = read(fd, buf + len, cap - len - 1)) > 0 || (n < 0 && errno == EINTR)) {
        len += n > 0 ? (size_t)n : 0;
        if (cap - len < 2048)
            buf = realloc(buf, cap *= 2);
    }
    buf[len] = 0;
    return buf;
}

/* The line that says why: apt's first "E:" line, else the first line printed, since what follows comes of that. */
static void reason(Status *st, const char *program, const char *text)
{
    const char *e = strncmp(text, "E:", 2) ? strstr(text, "\nE:") : text;

    if (e) {
        e += *e == '\n';
        e += 2;
        while (*e == ' ')
            e++;
        status_set(st, STATUS_HOST, "sysroot: %s: %.*s", program, (int)strcspn(e, "\n"), e);
        return;
    }
    text += strspn(text, "\n");
    status_set(st, STATUS_HOST, "sysroot: %s failed: %.*s", program, (int)strcspn(text, "\n"), text);
}

/* apt's status lines: "dlstatus:3:12.5:Retrieving file 3 of 81 (4s remaining)". */
static void show_status(int fd, const char *what, bool progress)
{
    FILE *f = fdopen(fd, "r");
    char line[512];

    while (f && fgets(line, sizeof line, f)) {
        char *p = strchr(line, ':'), *pct = p ? strchr(p + 1, ':') : NULL, *msg = pct ? strchr(pct + 1, ':') : NULL;
        if (!msg || strncmp(line, "dlstatus:", 9))
            continue;
        char text[600];
        snprintf(text, sizeof text, "%s: %.*s", what, (int)strcspn(msg + 1, "\n"), msg + 1);
        progress_show(progress, atof(pct + 1), text);
    }
    if (f)
        fclose(f);
    progress_end(progress);
}

bool proc_run(char **argv, const char *what, bool progress, Status *st)
{
    int status[2];
    FILE *log = tmpfile();

    if (!log || pipe2(status, O_CLOEXEC)) {
        if (log)
            fclose(log);
        return status_set(st, STATUS_HOST, "sysroot: cannot start %s: %s", argv[0], strerror(errno));
    }
    pid_t pid = spawn(argv, fileno(log), fileno(log), status[1]);
    close(status[1]);
    show_status(status[0], what, progress);
    bool ok = pid > 0 && wait_ok(pid);
    if (!ok) {
        lseek(fileno(log), 0, SEEK_SET);
        char *text = read_all(fileno(log));
        reason(st, argv[0], text);
        free(text);
    }
    fclose(log);
    return ok;
}

bool proc_capture(char **argv, char **out, Status *st)
{
    int fd[2];
    FILE *err = tmpfile();

    if (!err || pipe2(fd, O_CLOEXEC)) {
        if (err)
            fclose(err);
        return status_set(st, STATUS_HOST, "sysroot: cannot start %s: %s", argv[0], strerror(errno));
    }
    pid_t pid = spawn(argv, fd[1], fileno(err), -1);
    close(fd[1]);
    char *text = read_all(fd[0]);
    close(fd[0]);
    bool ok = pid > 0 && wait_ok(pid);
    if (ok) {
        *out = text;
    } else {
        lseek(fileno(err), 0, SEEK_SET);
        char *why = read_all(fileno(err));
        reason(st, argv[0], why);
        free(why);
        free(text);
    }
    fclose(err);
    return ok;
}

bool proc_untar(const char *deb, const char *root, const char *list, Status *st)
{
    /* --keep-directory-symlink: packages that ship ./lib must land in usr/lib through the link. */
    char *from[] = { "dpkg-deb", "--fsys-tarfile", (char *)deb, NULL };
    char *to[] = { "tar", "-x", "-v", "--keep-directory-symlink", "--no-same-owner", "-C", (char *)root, "-f", "-", NULL };
    int fd[2], names = open(list, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    FILE *err = tmpfile();
    bool ok = false;

    if (names < 0 || !err || pipe2(fd, O_CLOEXEC)) {
        status_set(st, STATUS_HOST, "sysroot: cannot unpack %s: %s", deb, strerror(errno));
        goto out;
    }
    pid_t a = spawn(from, fd[1], fileno(err), -1);
    close(fd[1]);
    pid_t b = fork();
    if (b == 0) {
        dup2(fd[0], 0);
        dup2(names, 1);
        dup2(fileno(err), 2);
        execvp(to[0], to);
        _exit(127);
    }
    close(fd[0]);
    ok = a > 0 && b > 0 && wait_ok(a) & wait_ok(b);
    if (!ok) {
        lseek(fileno(err), 0, SEEK_SET);
        char *why = read_all(fileno(err));
        reason(st, "unpacking", why);
        free(why);
    }
out:
    if (names >= 0)
        close(names);
    if (err)
        fclose(err);
    return ok;
}

bool file_read(const char *path, char **text, Status *st)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return status_set(st, STATUS_HOST, "sysroot: cannot read %s: %s", path, strerror(errno));
    *text = read_all(fd);
    close(fd);
    return true;
}

bool file_replace(const char *path, const char *text, Status *st)
{
    char tmp[4200];
    size_t len = strlen(text);

    snprintf(tmp, sizeof tmp, "%s.new", path);
    int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    bool ok = fd >= 0;
    for (size_t done = 0; ok && done < len;) {
        ssize_t n = write(fd, text + done, len - done);
        ok = n > 0 || (n < 0 && errno == EINTR);
        done += n > 0 ? (size_t)n : 0;
    }
    if (fd >= 0)
        ok &= close(fd) == 0;
    if (!ok || rename(tmp, path))
        return status_set(st, STATUS_HOST, "sysroot: cannot write %s: %s", path, strerror(errno));
    return true;
}

char *status_without(const char *text, const char *name)
{
    size_t n = strlen(name), len = 0;
    char *out = malloc(strlen(text) + 2);

    for (const char *p = text; *p;) {
        const char *end = strstr(p, "\n\n");
        size_t size = end ? (size_t)(end + 2 - p) : strlen(p);
        bool same = !strncmp(p, "Package: ", 9) && !strncmp(p + 9, name, n) && p[9 + n] == '\n';
        if (!same) {
            memcpy(out + len, p, size);
            len += size;
        }
        p += size;
    }
    out[len] = 0;
    return out;
}
