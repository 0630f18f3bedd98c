#include "base/log.h"

#include "base/os.h"
#include "base/own_fd.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

uint32_t log_mask;
static int log_fd = -1; /* of the file that was asked for; -1: stderr */
static uint64_t range_lo, range_hi = UINT64_MAX;
static const char *symbol;

static const struct {
    const char *name, *doc;
} cats[LOG_NCATS] = {
#define LOG_CAT(id, name, doc) {name, doc},
#include "base/log.def"
#undef LOG_CAT
};

static bool set_category(const char *name, size_t len, Status *st)
{
    if (len == 3 && !memcmp(name, "all", 3)) {
        log_mask = (1u << LOG_NCATS) - 1;
        return true;
    }
    if (len == 6 && !memcmp(name, "decode", 6)) {
        log_mask |= 1u << LOG_IN;
        return true;
    }
    for (unsigned i = 0; i < LOG_NCATS; i++) {
        if (strlen(cats[i].name) == len && !memcmp(cats[i].name, name, len)) {
            log_mask |= 1u << i;
            return true;
        }
    }
    return status_set(st, STATUS_USAGE, "--log: unknown category '%.*s' (see dragoman --help)", (int)len, name);
}

static bool open_file(const char *name, bool more, Status *st)
{
    char *path = os_from_start(name, strlen(name));
    int fd = open(path, O_WRONLY | O_CREAT | (more ? 0 : O_TRUNC) | O_APPEND | O_CLOEXEC, 0666);

    free(path);
    if (fd < 0)
        return status_set(st, STATUS_HOST, "cannot open log file '%s': %s", name, strerror(errno));
    log_fd = own_fd_take(fd);
    return true;
}

bool log_setup(const char *list, bool more, Status *st)
{
    const char *colon = strchr(list, ':');
    size_t len = colon ? (size_t)(colon - list) : strlen(list);

    if (len == 0 || (colon && !colon[1]))
        return status_set(st, STATUS_USAGE, "--log: '%s' is not CATEGORY,...[:FILE]", list);
    for (size_t i = 0; i < len;) {
        size_t n = strcspn(list + i, ",:");
        if (n && !set_category(list + i, n, st))
            return false;
        i += n + 1;
    }
    return !colon || open_file(colon + 1, more, st);
}

/* One address at *p, which is moved behind it. */
static bool parse_address(const char **p, uint64_t *out)
{
    char *end;

    if (!isdigit((unsigned char)**p))
        return false;
    errno = 0;
    *out = strtoull(*p, &end, 0);
    *p = end;
    return errno == 0;
}

bool log_set_range(const char *range, Status *st)
{
    const char *p = range;
    uint64_t lo = 0, hi;

    if (isalpha((unsigned char)*range) || *range == '_') {
        symbol = range;
        log_set_bounds(0, 0);
        return true;
    }
    bool ok = parse_address(&p, &lo);
    hi = lo + 1;
    if (ok && p[0] == '.' && p[1] == '.') {
        p += 2;
        ok = parse_address(&p, &hi);
    }
    if (!ok || *p || hi <= lo)
        return status_set(st, STATUS_USAGE, "--log-pc: bad address range '%s' (A..B)", range);
    log_set_bounds(lo, hi);
    return true;
}

const char *log_symbol(void)
{
    return symbol;
}

void log_set_bounds(uint64_t lo, uint64_t hi)
{
    range_lo = lo;
    range_hi = hi;
}

void log_help(FILE *f)
{
    for (unsigned i = 0; i < LOG_NCATS; i++)
        fprintf(f, "      %-8s %s\n", cats[i].name, cats[i].doc);
}

bool log_on_pc(LogCat c, uint64_t pc)
{
    return log_on(c) && pc >= range_lo && pc < range_hi;
}

/* The stream's buffer, found again by log_end: one record at a time a thread. */
static _Thread_local char *record;
static _Thread_local size_t record_len;

static int out_fd(void)
{
    return log_fd >= 0 ? log_fd : own_err();
}

FILE *log_begin(void)
{
    FILE *f = open_memstream(&record, &record_len);

    return f ? f : stderr;
}

void log_end(FILE *f)
{
    if (f == stderr)
        return;
    fclose(f);
    for (size_t done = 0; done < record_len;) {
        ssize_t n = write(out_fd(), record + done, record_len - done);
        if (n < 0 && errno != EINTR)
            break;
        if (n > 0)
            done += (size_t)n;
    }
    free(record);
    record = NULL;
}

void log_line(const char *fmt, ...)
{
    char buf[1024];
    va_list ap;

    va_start(ap, fmt);
    int n = vsnprintf(buf, sizeof buf - 1, fmt, ap);
    va_end(ap);
    if (n < 0)
        return;
    if ((size_t)n > sizeof buf - 2)
        n = sizeof buf - 2;
    buf[n++] = '\n';
    if (write(out_fd(), buf, (size_t)n) < 0)
        return; /* a log that cannot be written is not worth stopping for */
}
