/* Guest programs that test Dragoman: TAP on stdout, one line a fact. They pass under any correct AArch64 Linux. */
#ifndef T_H
#define T_H

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int t_count, t_bad;

#define OK(cond, ...) t_ok((cond) ? 1 : 0, #cond, __LINE__)

static inline void t_ok(int ok, const char *what, int line)
{
    t_count++;
    t_bad += !ok;
    printf("%sok %d - %s\n", ok ? "" : "not ", t_count, what);
    if (!ok)
        printf("# line %d, errno %d (%s)\n", line, errno, strerror(errno));
    fflush(stdout);
}

/* Whether dragoman was built with this sanitizer: for what its runtime makes impossible. */
static inline int t_sanitized(const char *which)
{
    const char *s = getenv("T_SANITIZER");
    return s && strstr(s, which);
}

static inline void t_skip(const char *why)
{
    printf("ok %d # SKIP %s\n", ++t_count, why);
    fflush(stdout);
}

/* fork, for tests that go on to send the child signals: kill(-1) would reach every process of the machine. */
static inline pid_t t_fork(void)
{
    pid_t pid = fork();
    if (pid < 0) {
        printf("Bail out! fork: %s\n", strerror(errno));
        exit(1);
    }
    return pid;
}

static inline int t_done(void)
{
    printf("1..%d\n", t_count);
    fflush(stdout);
    return t_bad != 0;
}

#endif
