/* dragoman sysroot create|list|add|remove: see sysroot_apt.h for how. */
#include "cmd/cmd.h"
#include "cmd/sysroot_apt.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char usage[] =
    "Usage: dragoman sysroot create [DIR] [--arch ARCH] PACKAGE...\n"
    "       dragoman sysroot add    [DIR] PACKAGE...\n"
    "       dragoman sysroot remove [DIR] PACKAGE...\n"
    "       dragoman sysroot list   [DIR]\n"
    "\n"
    "A sysroot is a tree of Debian packages of another architecture: the essential ones and those named, with their\n"
    "dependencies, for programs run by dragoman. The machine's own packages are not touched; its list of sources is used. An interrupted create or add\n"
    "goes on where it stopped when it is run again.\n"
    "\n"
    "  DIR          contains a slash; without it the default sysroot, $XDG_DATA_HOME/dragoman/ARCH\n"
    "               (~/.local/share/dragoman/ARCH), which `dragoman PROGRAM` finds by itself\n"
    "  --arch ARCH  Debian's name of the architecture: arm64 (the default)\n"
    "\n"
    "Needs apt-get, dpkg-deb and tar. Exit status: 0 done, 2 usage, 125 failed.\n";

bool sysroot_default(const char *arch, char *buf, size_t len)
{
    const char *xdg = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    int n = -1;

    if (xdg && xdg[0] == '/')
        n = snprintf(buf, len, "%s/dragoman/%s", xdg, arch);
    else if (home && home[0] == '/')
        n = snprintf(buf, len, "%s/.local/share/dragoman/%s", home, arch);
    return n > 0 && (size_t)n < len;
}

static int fail(const Status *st)
{
    fprintf(stderr, "dragoman: %s\n", st->text);
    return st->code == STATUS_USAGE ? EXIT_USAGE : EXIT_HOST;
}

typedef struct SysrootArgs {
    const char *verb, *dir, *arch;
    char **pkgs;
    int npkgs;
} SysrootArgs;

/* Sorts argv into verb, directory and packages. Package names never contain a slash; directories must. */
static bool parse(SysrootArgs *a, int argc, char **argv, Status *st)
{
    a->pkgs = argv;
    a->arch = "arm64";
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--arch")) {
            if (++i == argc)
                return status_set(st, STATUS_USAGE, "sysroot: --arch needs an architecture (arm64)");
            a->arch = argv[i];
        } else if (argv[i][0] == '-') {
            return status_set(st, STATUS_USAGE, "sysroot: unknown option '%s' (try dragoman sysroot --help)", argv[i]);
        } else if (!a->verb) {
            a->verb = argv[i];
        } else if (strchr(argv[i], '/') && !a->dir) {
            a->dir = argv[i];
        } else if (strchr(argv[i], '/')) {
            return status_set(st, STATUS_USAGE, "sysroot: two directories given, '%s' and '%s'", a->dir, argv[i]);
        } else {
            a->pkgs[a->npkgs++] = argv[i];
        }
    }
    if (strcmp(a->arch, "arm64"))
        return status_set(st, STATUS_USAGE, "sysroot: no guest of architecture '%s'; this dragoman knows arm64", a->arch);
    if (!a->verb)
        return status_set(st, STATUS_USAGE, "sysroot: say create, add, remove or list (try dragoman sysroot --help)");
    return true;
}

static bool resolve_dir(const SysrootArgs *a, char *buf, size_t len, Status *st)
{
    if (a->dir) {
        if ((size_t)snprintf(buf, len, "%s", a->dir) < len)
            return true;
    } else if (sysroot_default(a->arch, buf, len)) {
        return true;
    }
    return status_set(st, STATUS_HOST, "sysroot: no directory given and neither XDG_DATA_HOME nor HOME is set");
}

static bool make_dirs(char *path, Status *st)
{
    for (char *p = path + 1;; p++) {
        if (*p && *p != '/')
            continue;
        char c = *p;
        *p = 0;
        if (mkdir(path, 0755) && errno != EEXIST)
            return status_set(st, STATUS_HOST, "sysroot: cannot create %s: %s", path, strerror(errno));
        *p = c;
        if (!c)
            return true;
    }
}

static bool create(const SysrootArgs *a, char *dir, Status *st)
{
    SysrootApt s = { .progress = isatty(2) };

    snprintf(s.arch, sizeof s.arch, "%s", a->arch);
    if (!a->npkgs)
        return status_set(st, STATUS_USAGE, "sysroot create: name at least one package, such as bash");
    if (!make_dirs(dir, st))
        return false;
    if (!realpath(dir, s.root))
        return status_set(st, STATUS_HOST, "sysroot: %s: %s", dir, strerror(errno));
    /* Debian's essential packages (sh, grep, sed ...) are what every other package counts on without saying so. */
    char *essential = "?essential";
    if (!sysroot_prepare(&s, st) || !sysroot_install(&s, &essential, 1, st) || !sysroot_install(&s, a->pkgs, a->npkgs, st))
        return false;
    printf("sysroot ready: %s\n", s.root);
    return true;
}

static bool change(const SysrootArgs *a, const char *dir, Status *st)
{
    SysrootApt s = { .progress = isatty(2) };
    bool list = !strcmp(a->verb, "list");

    if (!list && !a->npkgs)
        return status_set(st, STATUS_USAGE, "sysroot %s: name at least one package", a->verb);
    if (list && a->npkgs)
        return status_set(st, STATUS_USAGE, "sysroot list: takes no packages, but '%s' was given", a->pkgs[0]);
    if (!sysroot_open(&s, dir, st))
        return false;
    if (list)
        return sysroot_packages(&s, stdout, st);
    if (!strcmp(a->verb, "add"))
        return sysroot_prepare(&s, st) && sysroot_install(&s, a->pkgs, a->npkgs, st);
    return sysroot_remove(&s, a->pkgs, a->npkgs, stdout, st);
}

int cmd_sysroot(int argc, char **argv)
{
    SysrootArgs a = { 0 };
    Status st = { 0 };
    char dir[PATH_MAX];

    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
            fputs(usage, stdout);
            return 0;
        }
    }
    if (!parse(&a, argc, argv, &st) || !resolve_dir(&a, dir, sizeof dir, &st))
        return fail(&st);
    if (!strcmp(a.verb, "create"))
        return create(&a, dir, &st) ? 0 : fail(&st);
    if (!strcmp(a.verb, "add") || !strcmp(a.verb, "remove") || !strcmp(a.verb, "list"))
        return change(&a, dir, &st) ? 0 : fail(&st);
    status_set(&st, STATUS_USAGE, "sysroot: unknown action '%s': create, add, remove or list", a.verb);
    return fail(&st);
}
