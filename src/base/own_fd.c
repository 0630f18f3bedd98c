#include "base/own_fd.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIRST   900u /* programs that close "all" often stop at 256 or 1024, and none asks for one of these */
#define SECOND  200u /* where RLIMIT_NOFILE is so low */
#define NUMBERS 65536u

static _Atomic uint64_t own[NUMBERS / 64];
static int err_fd = STDERR_FILENO;

void own_fd_mark(int fd)
{
    if ((unsigned)fd < NUMBERS)
        atomic_fetch_or(&own[fd / 64], UINT64_C(1) << fd % 64);
}

void own_fd_unmark(int fd)
{
    if ((unsigned)fd < NUMBERS)
        atomic_fetch_and(&own[fd / 64], ~(UINT64_C(1) << fd % 64));
}

static int high(int fd)
{
    int to = fcntl(fd, F_DUPFD_CLOEXEC, FIRST);

    return to >= 0 ? to : fcntl(fd, F_DUPFD_CLOEXEC, SECOND);
}

int own_fd_take(int fd)
{
    int to = fd < 0 ? -1 : high(fd);

    if (to >= 0)
        close(fd);
    else
        to = fd;
    own_fd_mark(to);
    return to;
}

void own_fd_close(int fd)
{
    if (fd >= 0)
        close(fd);
    own_fd_unmark(fd);
}

bool own_fd_is(int fd)
{
    return (unsigned)fd < NUMBERS && (atomic_load_explicit(&own[fd / 64], memory_order_relaxed) >> fd % 64 & 1);
}

int own_fd_from(unsigned fd)
{
    for (unsigned w = fd / 64; w < NUMBERS / 64; w++) {
        uint64_t bits = atomic_load_explicit(&own[w], memory_order_relaxed);
        if (w == fd / 64)
            bits &= UINT64_MAX << fd % 64;
        if (bits)
            return (int)(w * 64 + (unsigned)__builtin_ctzll(bits));
    }
    return -1;
}

/* --- stderr ------------------------------------------------------------------------------------------------------ */

void own_err_keep(void)
{
    int to = err_fd == STDERR_FILENO ? high(STDERR_FILENO) : -1;

    if (to < 0)
        return;
    own_fd_mark(to);
    err_fd = to;
}

int own_err(void)
{
    return err_fd;
}

FILE *own_err_stream(void)
{
    static FILE *f;

    if (!f && err_fd != STDERR_FILENO)
        f = fdopen(err_fd, "w");
    return f ? f : stderr;
}

void own_err_line(const char *fmt, ...)
{
    char text[1024] = "dragoman: ";
    size_t at = strlen(text);
    va_list ap;

    va_start(ap, fmt);
    int n = vsnprintf(text + at, sizeof text - 1 - at, fmt, ap);
    va_end(ap);
    at += n < 0 ? 0 : (size_t)n < sizeof text - 2 - at ? (size_t)n : sizeof text - 2 - at;
    text[at++] = '\n';
    if (write(err_fd, text, at) < 0) /* one write, so that threads do not mix theirs */
        return;
}
