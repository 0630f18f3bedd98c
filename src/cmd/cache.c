/*
 * dragoman cache list|verify|clear: what the persistent cache holds (docs/cache.md).
 */
#include "cmd/cmd.h"

#include "engine/persist_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int usage(FILE *f)
{
    fprintf(f, "usage: dragoman cache [--cache=DIR] list      show each file: size, use, guest file and translations\n"
               "       dragoman cache [--cache=DIR] verify    check each file; exit status 1 when one is damaged\n"
               "       dragoman cache [--cache=DIR] clear     remove all files\n");
    return f == stdout ? 0 : EXIT_USAGE;
}

typedef struct Totals {
    unsigned files, bad;
    uint64_t bytes, translations;
} Totals;

/* What one file is, or what is wrong with it. */
typedef struct Item {
    const char *name;
    struct stat sb;
    PersistOpen open;
    const char *why;
    PersistFile file;
} Item;

static void print_age(time_t then)
{
    long s = (long)(time(NULL) - then);

    if (s < 120)
        printf("%4lds", s > 0 ? s : 0);
    else if (s < 7200)
        printf("%4ldm", s / 60);
    else if (s < 48 * 3600)
        printf("%4ldh", s / 3600);
    else
        printf("%4ldd", s / 86400);
}

static void list_one(const Item *it, Totals *t)
{
    printf("%.12s %8" PRIu64 " ", it->name, (uint64_t)it->sb.st_blocks / 2);
    print_age(it->sb.st_mtime);
    if (it->open != PERSIST_OPENED) {
        printf("  (%s)\n", it->why);
        return;
    }
    const PersistHeader *h = it->file.h;
    printf(" %016llx %7u %8" PRIu64 "  0x%012" PRIx64 " %s\n", (unsigned long long)h->build.lo, h->nentry, h->guest_insns, h->start,
           h->guest);
    t->translations += h->nentry;
}

static void verify_one(const Item *it, Totals *t)
{
    if (it->open != PERSIST_OPENED)
        printf("%s: %s\n", it->name, it->why);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_ours(const struct dirent *d)
{
    return persist_is_name(d->d_name);
}

/* Do something with each file of the cache, in order of name. */
static bool each(const char *dir, void (*fn)(const Item *, Totals *), Totals *t, Status *st)
{
    struct dirent **list;
    char path[PERSIST_PATH_MAX];
    int n = scandir(dir, &list, is_ours, by_name);

    if (n < 0 && errno == ENOENT)
        return true;
    if (n < 0)
        return status_set(st, STATUS_HOST, "%s: %s", dir, strerror(errno));
    for (int i = 0; i < n; i++) {
        Item it = {.name = list[i]->d_name};
        if (snprintf(path, sizeof path, "%s/%s", dir, it.name) < (int)sizeof path && lstat(path, &it.sb) == 0) {
            it.open = persist_file_open(path, NULL, true, &it.file, NULL, &it.why);
            t->files++;
            t->bad += it.open != PERSIST_OPENED;
            t->bytes += (uint64_t)it.sb.st_blocks * 512;
            fn(&it, t);
            persist_file_close(&it.file);
        }
        free(list[i]);
    }
    free(list);
    return true;
}

static bool list(const char *dir, Status *st)
{
    Totals t = {0};

    printf("file              KiB  used build            transl.   insns  at\n");
    if (!each(dir, list_one, &t, st))
        return false;
    printf("%u files, %" PRIu64 " KiB, %" PRIu64 " translations in %s\n", t.files, t.bytes / 1024, t.translations, dir);
    return true;
}

static int verify(const char *dir, Status *st)
{
    Totals t = {0};
    struct stat sb;

    if (stat(dir, &sb) == 0 && !persist_own(&sb)) {
        printf("%s: somebody else may write here: it is not used\n", dir);
        t.bad++;
    }
    if (!each(dir, verify_one, &t, st))
        return cmd_fail(st);
    printf("%u files, %u bad\n", t.files, t.bad);
    return t.bad ? 1 : 0;
}

static bool clear(const char *dir, Status *st)
{
    DIR *d = opendir(dir);
    unsigned n = 0;

    if (!d && errno != ENOENT)
        return status_set(st, STATUS_HOST, "%s: %s", dir, strerror(errno));
    for (struct dirent *e; d && (e = readdir(d)) != NULL;) {
        if (!persist_is_name(e->d_name) && strncmp(e->d_name, ".new-", 5) != 0)
            continue;
        if (unlinkat(dirfd(d), e->d_name, 0) != 0) {
            status_set(st, STATUS_HOST, "%s/%s: %s", dir, e->d_name, strerror(errno));
            closedir(d);
            return false;
        }
        n++;
    }
    if (d)
        closedir(d);
    printf("%u files removed\n", n);
    return true;
}

int cmd_cache(int argc, char **argv)
{
    char buf[PERSIST_PATH_MAX];
    const char *dir = NULL;
    Status st = {0};
    bool ok;

    if (argc > 1 && !strcmp(argv[1], "--help"))
        return usage(stdout);
    if (argc > 1 && !strncmp(argv[1], "--cache=", 8)) {
        dir = argv[1] + 8;
        argc--;
        argv++;
    }
    if (argc != 2)
        return usage(stderr);
    if (!dir)
        dir = cache_default(buf, sizeof buf) ? buf : NULL;
    if (!dir) {
        status_set(&st, STATUS_USAGE, "no cache: neither XDG_CACHE_HOME nor HOME is set, and no --cache=DIR given");
        return cmd_fail(&st);
    }
    if (!strcmp(argv[1], "list"))
        ok = list(dir, &st);
    else if (!strcmp(argv[1], "verify"))
        return verify(dir, &st);
    else if (!strcmp(argv[1], "clear"))
        ok = clear(dir, &st);
    else
        return usage(stderr);
    return ok ? 0 : cmd_fail(&st);
}
