/* /proc/PID/maps and smaps: the host's mappings, cut to what the guest owns of them, with its protections and names. */
#include "user/path.h"
#include "user/procfs_files.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_LEN (PATH_MAX + 128)
#define ATTR_MAX 40  /* lines of attributes after a mapping of smaps */
#define ATTR_LEN 96

/* One line of the host's map, cut to what the guest owns of it. */
typedef struct HostLine {
    uint64_t start, end;
    uint64_t offset, inode;
    char dev[16], path[PATH_MAX];
    char shared;
} HostLine;

/* False: it is no such line. */
static bool parse_line(char *line, HostLine *h)
{
    char perm[8];
    int at = 0;
    h->path[0] = 0;
    if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s %" SCNx64 " %15s %" SCNu64 " %n", &h->start, &h->end, perm, &h->offset, h->dev,
               &h->inode, &at) < 6)
        return false;
    h->shared = perm[3];
    if (at > 0) {
        line[strcspn(line, "\n")] = 0;
        snprintf(h->path, sizeof h->path, "%s", line + at);
    }
    return true;
}

/* The name that is shown; those that PR_SET_VMA gave are the host's too. */
static const char *range_name(const MmRange *r, const HostLine *h, const UserProc *p)
{
    switch (r->kind) {
    case MM_HEAP: return "[heap]";
    case MM_STACK: return "[stack]";
    case MM_VDSO: return "[vdso]";
    default: return h->path[0] == '/' ? path_guest_name(p, h->path) : strncmp(h->path, "[anon", 5) == 0 ? h->path : "";
    }
}

/* Where a range and a line of the host have something in common. */
static bool overlap(const MmRange *r, const HostLine *h, uint64_t *start, uint64_t *end)
{
    *start = r->start > h->start ? r->start : h->start;
    *end = r->end < h->end ? r->end : h->end;
    return *start < *end;
}

static void print_range(const ProcView *v, FILE *f, const MmRange *r, const HostLine *h, uint64_t start, uint64_t end)
{
    const char *name = range_name(r, h, v->p);
    int n = fprintf(f, "%08" PRIx64 "-%08" PRIx64 " %c%c%c%c %08" PRIx64 " %s %" PRIu64 " ", start, end,
                    r->prot & PROT_READ ? 'r' : '-', r->prot & PROT_WRITE ? 'w' : '-', r->prot & PROT_EXEC ? 'x' : '-',
                    h->shared, h->inode ? h->offset + (start - h->start) : 0, h->dev, h->inode);
    if (*name)
        fprintf(f, "%*s%s", n < 73 ? 73 - n : 0, "", name);
    fputc('\n', f);
}

void procfs_maps(const ProcView *v, FILE *f, FILE *host)
{
    char line[LINE_MAX_LEN];
    HostLine h;
    uint64_t start, end;
    size_t i = 0;
    while (host && fgets(line, sizeof line, host)) {
        if (!parse_line(line, &h))
            continue;
        while (i < v->nranges && v->range[i].end <= h.start)
            i++;
        for (size_t k = i; k < v->nranges && v->range[k].start < h.end; k++)
            if (overlap(&v->range[k], &h, &start, &end))
                print_range(v, f, &v->range[k], &h, start, end);
    }
}

typedef struct Attrs {
    char line[ATTR_MAX][ATTR_LEN];
    unsigned n;
} Attrs;

/* What a mapping's attributes say of one piece of it: its size; all that is counted goes to the first piece. */
static void print_attrs(FILE *f, const Attrs *a, uint64_t size, bool first)
{
    for (unsigned i = 0; i < a->n; i++) {
        const char *s = a->line[i];
        size_t n = strcspn(s, ":");
        bool counted = strstr(s, " kB") && !strstr(s, "PageSize");
        if (strncmp(s, "Size:", 5) == 0)
            fprintf(f, "Size:           %8" PRIu64 " kB\n", size / 1024);
        else if (counted && !first)
            fprintf(f, "%.*s:%*s%8u kB\n", (int)n, s, n < 15 ? (int)(15 - n) : 0, "", 0);
        else
            fputs(s, f);
    }
}

static void print_block(const ProcView *v, FILE *f, const HostLine *h, const Attrs *a)
{
    uint64_t start, end;
    bool first = true;
    for (size_t k = 0; k < v->nranges && v->range[k].start < h->end; k++) {
        if (!overlap(&v->range[k], h, &start, &end))
            continue;
        print_range(v, f, &v->range[k], h, start, end);
        print_attrs(f, a, end - start, first);
        first = false;
    }
}

void procfs_smaps(const ProcView *v, FILE *f, FILE *host)
{
    char line[LINE_MAX_LEN];
    HostLine h = { 0 }, next;
    Attrs a = { .n = 0 };
    while (host && fgets(line, sizeof line, host)) {
        if (!isupper((unsigned char)line[0]) && parse_line(line, &next)) {
            print_block(v, f, &h, &a);
            h = next;
            a.n = 0;
        } else if (a.n < ATTR_MAX) {
            line[ATTR_LEN - 1] = 0;
            memcpy(a.line[a.n++], line, ATTR_LEN);
        }
    }
    print_block(v, f, &h, &a);
}
