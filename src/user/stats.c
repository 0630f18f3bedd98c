/* --stats: what is printed at the end of a process. */
#include "base/own_fd.h"
#include "user/process.h"
#include "user/symbol.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The mapped file that holds guest address pc, by what the host's kernel says: its path and the offset in it. */
static bool file_at(uint64_t pc, char *path, size_t len, uint64_t *offset)
{
    char line[PATH_MAX + 128];
    bool found = false;
    FILE *f = fopen("/proc/self/maps", "re");

    while (f && !found && fgets(line, sizeof line, f)) {
        unsigned long long start, end, off;
        char *name = strchr(line, '/');
        if (sscanf(line, "%llx-%llx %*s %llx", &start, &end, &off) != 3 || pc < start || pc >= end)
            continue;
        line[strcspn(line, "\n")] = 0;
        if (!name)
            break;
        snprintf(path, len, "%s", name);
        *offset = off + (pc - start);
        found = true;
    }
    if (f)
        fclose(f);
    return found;
}

void user_image_name(uint64_t pc, char *buf, size_t len)
{
    uint64_t offset;

    if (!file_at(pc, buf, len, &offset))
        buf[0] = 0;
}

/* "function+0x12", or "" when no file's symbols have the address. */
static void name_of(uint64_t pc, char *buf, size_t len)
{
    char path[PATH_MAX];
    uint64_t offset, distance;

    buf[0] = 0;
    if (!file_at(pc, path, sizeof path, &offset))
        return;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && elf_symbol_at(fd, offset, buf, len, &distance) && distance) {
        size_t n = strlen(buf);
        snprintf(buf + n, len - n, "+0x%llx", (unsigned long long)distance);
    }
    if (fd >= 0)
        close(fd);
}

void user_stats(UserProc *p)
{
    FILE *f = own_err_stream();

    if (p->cfg->stats & USER_STATS)
        engine_stats(p->engine, f);
    if (p->cfg->stats & USER_STATS_BRANCHES)
        engine_branches(p->engine, f, p->cfg->stats & USER_STATS_JSON, name_of);
    fflush(f);
}
