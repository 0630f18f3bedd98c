/* --strace and --log=sys: one line a call, decoded by the table. */
#include "base/log.h"
#include "base/own_fd.h"
#include "user/ioctls.h"
#include "user/process.h"
#include "user/signal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define LINE 4096
#define SHOWN 48 /* bytes of a buffer, entries of an array ... that are shown */

typedef struct Line {
    char text[LINE];
    size_t n;
} Line;

__attribute__((format(printf, 2, 3))) static void put(Line *l, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(l->text + l->n, sizeof l->text - l->n, fmt, ap);
    va_end(ap);
    if (n > 0)
        l->n = l->n + (size_t)n < sizeof l->text ? l->n + (size_t)n : sizeof l->text - 1;
}

/* One write a line, so that threads do not mix theirs. */
static void flush_line(UserThread *t, Line *l)
{
    if (l->n + 1 >= sizeof l->text)
        l->n = sizeof l->text - 2;
    l->text[l->n++] = '\n';
    if (log_on(LOG_SYS))
        log_line("%.*s", (int)l->n - 1, l->text);
    if (t->p->cfg->strace && write(own_err(), l->text, l->n) < 0)
        l->n = 0;
}

bool strace_on(const UserThread *t)
{
    return t->p->cfg->strace || log_on(LOG_SYS);
}

/* --- scalars -------------------------------------------------------------------------------------------------------- */

static void put_flags(Line *l, const SysName *names, uint64_t v)
{
    const char *sep = "";
    uint64_t left = v;
    for (; names->name; names++) {
        if ((left & (uint64_t)names->mask) == (uint64_t)names->value) {
            put(l, "%s%s", sep, names->name);
            left &= ~(uint64_t)names->mask;
            sep = "|";
        }
    }
    if (left || !*sep)
        put(l, left > 9 ? "%s0x%" PRIx64 : "%s%" PRIu64, sep, left);
}

static void put_enum(Line *l, const SysName *names, uint64_t v)
{
    for (; names->name; names++) {
        if ((int32_t)names->value == (int32_t)v) {
            put(l, "%s", names->name);
            return;
        }
    }
    put(l, (uint32_t)v > 999 ? "0x%x" : "%d", (unsigned)v);
}

static void put_signal(Line *l, int sig)
{
    const char *name = sig > 0 && sig < 32 ? sigabbrev_np(sig) : NULL;
    if (name)
        put(l, "SIG%s", name);
    else if (sig >= 32 && sig <= USER_NSIG)
        put(l, "SIGRT_%d", sig - 32);
    else
        put(l, "%d", sig);
}

static void put_bytes(Line *l, const uint8_t *p, size_t n, bool more)
{
    put(l, "\"");
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '"' || p[i] == '\\')
            put(l, "\\%c", p[i]);
        else if (p[i] == '\n')
            put(l, "\\n");
        else if (p[i] >= 32 && p[i] < 127)
            put(l, "%c", p[i]);
        else
            put(l, "\\%o", p[i]);
    }
    put(l, more ? "\"..." : "\"");
}

static void put_buffer(UserThread *t, Line *l, uint64_t va, uint64_t n)
{
    uint8_t buf[SHOWN];
    size_t shown = n < sizeof buf ? n : sizeof buf;
    if (!va)
        put(l, "NULL");
    else if (guest_read(t->cpu, buf, va, shown))
        put_bytes(l, buf, shown, n > shown);
    else
        put(l, "0x%" PRIx64, va);
}

static void put_string(UserThread *t, Line *l, uint64_t va)
{
    char buf[256];
    ssize_t n = va ? guest_strlen(t->cpu, va, PATH_MAX) : -1;
    if (n < 0) {
        put(l, va ? "0x%" PRIx64 : "NULL", va);
        return;
    }
    size_t shown = (size_t)n < sizeof buf ? (size_t)n : sizeof buf;
    if (guest_read(t->cpu, buf, va, shown))
        put_bytes(l, (uint8_t *)buf, shown, (size_t)n > shown);
}

static void put_strings(UserThread *t, Line *l, uint64_t va)
{
    uint64_t p;
    put(l, "[");
    for (unsigned i = 0; va && guest_read(t->cpu, &p, va + i * 8, 8) && p; i++) {
        if (i == 16) {
            put(l, ", ...");
            break;
        }
        put(l, i ? ", " : "");
        put_string(t, l, p);
    }
    put(l, "]");
}

/* --- structures ----------------------------------------------------------------------------------------------------- */

static void put_sigset(Line *l, uint64_t set)
{
    const char *sep = "";
    bool most = __builtin_popcountll(set) > USER_NSIG / 2; /* then those that it lacks */
    put(l, most ? "~[" : "[");
    for (int sig = 1; sig <= USER_NSIG; sig++) {
        if ((most ? ~set : set) >> (sig - 1) & 1) {
            put(l, "%s", sep);
            put_signal(l, sig);
            sep = " ";
        }
    }
    put(l, "]");
}

static void put_struct(UserThread *t, Line *l, const SysArg *a, uint64_t va)
{
    uint64_t v[16] = { 0 };
    if (!va) {
        put(l, "NULL");
        return;
    }
    if (!guest_read(t->cpu, v, va, a->size < sizeof v ? a->size : sizeof v)) {
        put(l, "0x%" PRIx64, va);
        return;
    }
    switch ((SysStruct)a->set) {
    case SCS_int:
        put(l, "[%d]", (int)v[0]);
        break;
    case SCS_long: case SCS_loff: case SCS_ptr:
        put(l, "[%" PRId64 "]", (int64_t)v[0]);
        break;
    case SCS_fds2:
        put(l, "[%d, %d]", (int)v[0], (int)(v[0] >> 32));
        break;
    case SCS_timespec:
        put(l, "{%" PRId64 ".%09" PRId64 "}", (int64_t)v[0], (int64_t)v[1]);
        break;
    case SCS_timeval:
        put(l, "{%" PRId64 ".%06" PRId64 "}", (int64_t)v[0], (int64_t)v[1]);
        break;
    case SCS_timespec2: case SCS_itimerspec: case SCS_itimerval:
        put(l, "{{%" PRId64 ", %" PRId64 "}, {%" PRId64 ", %" PRId64 "}}", (int64_t)v[0], (int64_t)v[1], (int64_t)v[2], (int64_t)v[3]);
        break;
    case SCS_sigset:
        put_sigset(l, v[0]);
        break;
    case SCS_sigaction:
        put(l, v[0] == 0 ? "{SIG_DFL" : v[0] == 1 ? "{SIG_IGN" : "{0x%" PRIx64, v[0]);
        put(l, ", flags=0x%" PRIx64 ", mask=", v[1]);
        put_sigset(l, v[3]);
        put(l, "}");
        break;
    case SCS_stack_t:
        put(l, "{sp=0x%" PRIx64 ", flags=%u, size=%" PRIu64 "}", v[0], (unsigned)v[1], v[2]);
        break;
    case SCS_rlimit:
        put(l, "{%" PRId64 ", %" PRId64 "}", (int64_t)v[0], (int64_t)v[1]);
        break;
    case SCS_stat: /* dev, ino, mode and nlink, uid and gid, rdev, pad, size */
        put(l, "{mode=0%o, size=%" PRIu64 "}", (unsigned)v[2], v[6]);
        break;
    case SCS_sched_param:
        put(l, "[%d]", (int)v[0]);
        break;
    case SCS_epoll_event: /* the guest's layout has its data at the next 64 bits */
        put(l, "{events=0x%x, data=0x%" PRIx64 "}", (unsigned)v[0], v[1]);
        break;
    case SCS_clone_args: /* flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls */
        put(l, "{flags=0x%" PRIx64 ", exit_signal=", v[0]);
        put_signal(l, (int)v[4]);
        put(l, ", stack=0x%" PRIx64 ", size=0x%" PRIx64 "}", v[5], v[6]);
        break;
    case SCS_open_how:
        put(l, "{flags=0%" PRIo64 ", mode=0%" PRIo64 ", resolve=0x%" PRIx64 "}", v[0], v[1], v[2]);
        break;
    case SCS_perf_event_attr:
        put(l, "{type=%u, config=0x%" PRIx64 "}", (unsigned)v[0], v[1]);
        break;
    case SCS_utsname:
        put(l, "{...}");
        break;
    default:
        put(l, "0x%" PRIx64, va);
        break;
    }
}

static void put_sockaddr(UserThread *t, Line *l, uint64_t va, uint64_t len)
{
    union {
        struct sockaddr sa;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
    } u;
    char ip[INET6_ADDRSTRLEN];
    memset(&u, 0, sizeof u);
    if (len > sizeof u - 1)
        len = sizeof u - 1;
    if (!va || len < 2 || !guest_read(t->cpu, &u, va, len)) {
        put(l, va ? "0x%" PRIx64 : "NULL", va);
        return;
    }
    switch (u.sa.sa_family) {
    case AF_INET:
        put(l, "{AF_INET, %s:%u}", inet_ntop(AF_INET, &u.in.sin_addr, ip, sizeof ip), ntohs(u.in.sin_port));
        break;
    case AF_INET6:
        put(l, "{AF_INET6, [%s]:%u}", inet_ntop(AF_INET6, &u.in6.sin6_addr, ip, sizeof ip), ntohs(u.in6.sin6_port));
        break;
    case AF_UNIX:
        put(l, "{AF_UNIX, \"%s%s\"}", u.un.sun_path[0] ? "" : "@", u.un.sun_path[0] ? u.un.sun_path : u.un.sun_path + 1);
        break;
    default:
        put(l, "{family=%u}", u.sa.sa_family);
    }
}

/* --- arguments ------------------------------------------------------------------------------------------------------ */

static uint64_t size_of(UserThread *t, const SysCall *c, const SysArg *a)
{
    uint32_t len = 0;
    if (!a->size_arg)
        return a->size;
    if (!a->deref)
        return c->arg[a->size_arg - 1];
    return guest_read(t->cpu, &len, c->arg[a->size_arg - 1], sizeof len) ? len : 0;
}

/* Whether a buffer argument is a socket address: the calls on sockets that have one name it so by its size argument. */
static bool is_sockaddr(const SysCall *c, unsigned i)
{
    return strcmp(c->d->name, "bind") == 0 || strcmp(c->d->name, "connect") == 0 ||
           (c->d->arg[i].deref && strcmp(c->d->name, "getsockopt") != 0) || (strcmp(c->d->name, "sendto") == 0 && i == 4);
}

static void put_pointer(UserThread *t, Line *l, const SysCall *c, unsigned i, int64_t ret, bool done)
{
    const SysArg *a = &c->d->arg[i];
    uint64_t v = c->arg[i];
    bool out = a->kind == SCA_OUT || a->kind == SCA_STRUCT_OUT;
    if (out && (!done || ret < 0)) {
        put(l, v ? "0x%" PRIx64 : "NULL", v);
    } else if (a->kind == SCA_IN || a->kind == SCA_OUT) {
        uint64_t n = size_of(t, c, a);
        if (is_sockaddr(c, i)) {
            put_sockaddr(t, l, v, n);
            return;
        }
        if (out && !a->deref && (uint64_t)ret < n)
            n = (uint64_t)ret;
        put_buffer(t, l, v, n);
    } else {
        put_struct(t, l, a, v);
    }
}

static void put_request(Line *l, uint32_t request)
{
    IoctlDesc d = ioctl_describe(request);
    if (d.name)
        put(l, "%s", d.name);
    else
        put(l, "0x%x", request);
}

static void put_ioctl_arg(UserThread *t, Line *l, uint32_t request, uint64_t v, int64_t ret, bool done)
{
    IoctlDesc d = ioctl_describe(request);
    uint64_t word = 0;
    bool valid = d.arg == IOA_IN || (d.arg >= IOA_OUT && done && ret >= 0);
    if (d.arg == IOA_NONE || d.arg == IOA_INT)
        put(l, "%" PRId64, (int64_t)v);
    else if (valid && d.size == sizeof(int) && v && guest_read(t->cpu, &word, v, d.size))
        put(l, "[%d]", (int)word);
    else if (valid && d.size <= sizeof word && v && guest_read(t->cpu, &word, v, d.size))
        put(l, "[0x%" PRIx64 "]", word);
    else if (valid && d.size <= SHOWN)
        put_buffer(t, l, v, d.size);
    else
        put(l, v ? "0x%" PRIx64 : "NULL", v);
}

static void put_arg(UserThread *t, Line *l, const SysCall *c, unsigned i, int64_t ret, bool done)
{
    const SysArg *a = &c->d->arg[i];
    uint64_t v = c->arg[i];
    switch ((SysArgKind)a->kind) {
    case SCA_DIRFD:
        if ((int)v == -100) {
            put(l, "AT_FDCWD");
            break;
        } /* fall through */
    case SCA_INT: case SCA_FD: case SCA_PID: case SCA_UID: case SCA_CLOCK:
        put(l, "%d", (int)v);
        break;
    case SCA_UINT: case SCA_DEV:
        put(l, "%u", (unsigned)v);
        break;
    case SCA_LONG: case SCA_OFF:
        put(l, "%" PRId64, (int64_t)v);
        break;
    case SCA_SIZE:
        put(l, "%" PRIu64, v);
        break;
    case SCA_OCT:
        put(l, "0%o", (unsigned)v);
        break;
    case SCA_SIG:
        put_signal(l, (int)v);
        break;
    case SCA_FLAGS:
        put_flags(l, a->names, (uint32_t)v);
        break;
    case SCA_ENUM:
        put_enum(l, a->names, v);
        break;
    case SCA_PATH: case SCA_LPATH: case SCA_NPATH: case SCA_APATH: case SCA_STR:
        put_string(t, l, v);
        break;
    case SCA_STRS:
        put_strings(t, l, v);
        break;
    case SCA_IOCTL:
        put_request(l, (uint32_t)v);
        break;
    case SCA_IOARG:
        put_ioctl_arg(t, l, (uint32_t)c->arg[i - 1], v, ret, done);
        break;
    case SCA_IN: case SCA_OUT: case SCA_STRUCT_IN: case SCA_STRUCT_OUT: case SCA_STRUCT_IO:
        put_pointer(t, l, c, i, ret, done);
        break;
    default:
        put(l, v || a->kind == SCA_HEX ? "0x%" PRIx64 : "NULL", v);
    }
}

static void put_call(UserThread *t, Line *l, const SysCall *c, int64_t ret, bool done)
{
    if (!c->d->name) {
        put(l, "syscall_%" PRIu64 "(0x%" PRIx64 ", 0x%" PRIx64 ", 0x%" PRIx64 ", ...)", c->nr, c->arg[0], c->arg[1], c->arg[2]);
        return;
    }
    put(l, "%s(", c->d->name);
    for (unsigned i = 0; i < c->d->nargs; i++) {
        put(l, "%s", i ? ", " : "");
        put_arg(t, l, c, i, ret, done);
    }
    put(l, ")");
}

/* Calls that may not return are printed when they begin. */
static bool prints_early(const SysCall *c)
{
    const char *n = c->d->name;
    return n && (strncmp(n, "exit", 4) == 0 || strncmp(n, "execve", 6) == 0 || strcmp(n, "rt_sigreturn") == 0);
}

void strace_enter(UserThread *t, const SysCall *c)
{
    Line l = { .n = 0 };
    if (!prints_early(c))
        return;
    put(&l, "[%d] ", t->tid);
    put_call(t, &l, c, 0, false);
    put(&l, strncmp(c->d->name, "execve", 6) == 0 ? " ..." : " = ?");
    flush_line(t, &l);
}

static void put_result(Line *l, const SysCall *c, int64_t ret)
{
    if (ret < -4095)
        put(l, " = ? (interrupted)");
    else if (ret < 0 && ret >= -4095)
        put(l, " = -1 %s (%s)", strerrorname_np((int)-ret) ? strerrorname_np((int)-ret) : "E?", strerror((int)-ret));
    else
        put(l, c->d->hex_result ? " = 0x%" PRIx64 : " = %" PRId64, ret);
}

void strace_text(UserThread *t, const SysCall *c, int64_t ret, char *buf, size_t len)
{
    Line l = { .n = 0 };
    put_call(t, &l, c, ret, true);
    put_result(&l, c, ret);
    snprintf(buf, len, "%s", l.text);
}

void strace_leave(UserThread *t, const SysCall *c, int64_t ret)
{
    Line l = { .n = 0 };
    if (prints_early(c) && ret < -4095)
        return;
    put(&l, "[%d] ", t->tid);
    if (prints_early(c))
        put(&l, "... %s", c->d->name);
    else
        put_call(t, &l, c, ret, true);
    put_result(&l, c, ret);
    flush_line(t, &l);
}

void strace_signal(UserThread *t, const siginfo_t *info)
{
    Line l = { .n = 0 };
    put(&l, "[%d] --- ", t->tid);
    put_signal(&l, info->si_signo);
    put(&l, " {si_code=%d", info->si_code);
    if (info->si_code <= 0)
        put(&l, ", si_pid=%d, si_uid=%u", (int)info->si_pid, info->si_uid);
    else if (info->si_signo == SIGCHLD)
        put(&l, ", si_pid=%d, si_status=%d", (int)info->si_pid, info->si_status);
    else
        put(&l, ", si_addr=%p", info->si_addr);
    put(&l, "} ---");
    flush_line(t, &l);
}
