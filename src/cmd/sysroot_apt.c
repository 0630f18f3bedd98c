#include "cmd/sysroot_apt.h"

#include "cmd/sysroot_proc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Package lists older than this are fetched again. */
#define LISTS_MAX_AGE_S (24 * 3600)
#define APT_MAX_ARGS 512
/* It is there from when all packages of a request are in the archives until they are unpacked. */
#define DOWNLOADED "var/cache/apt/archives/downloaded"

static bool path_in(const SysrootApt *s, char *buf, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static bool path_in(const SysrootApt *s, char *buf, const char *fmt, ...)
{
    va_list ap;
    int n = snprintf(buf, PATH_MAX, "%s/", s->root);

    va_start(ap, fmt);
    n += vsnprintf(buf + n, (size_t)(PATH_MAX - n), fmt, ap);
    va_end(ap);
    return n < PATH_MAX;
}

static bool make_dir(const SysrootApt *s, const char *name, Status *st)
{
    char path[PATH_MAX];

    path_in(s, path, "%s", name);
    if (mkdir(path, 0755) && errno != EEXIST)
        return status_set(st, STATUS_HOST, "sysroot: cannot create %s: %s", path, strerror(errno));
    return true;
}

static bool write_new(const SysrootApt *s, const char *name, const char *text, Status *st)
{
    char path[PATH_MAX];

    path_in(s, path, "%s", name);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0 && errno == EEXIST)
        return true;
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text)) {
        status_set(st, STATUS_HOST, "sysroot: cannot write %s: %s", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return false;
    }
    close(fd);
    return true;
}

bool sysroot_prepare(SysrootApt *s, Status *st)
{
    static const char *const dirs[] = { "usr", "usr/bin", "usr/sbin", "usr/lib", "etc", "tmp", "var", "var/lib", "var/lib/dpkg",
                                        "var/lib/dpkg/info", "var/lib/apt", "var/lib/apt/lists", "var/lib/apt/lists/partial",
                                        "var/cache", "var/cache/apt", "var/cache/apt/archives",
                                        "var/cache/apt/archives/partial", NULL };
    static const char *const links[] = { "bin", "sbin", "lib", NULL };
    char path[PATH_MAX], target[64];

    for (int i = 0; dirs[i]; i++)
        if (!make_dir(s, dirs[i], st))
            return false;
    path_in(s, path, "tmp");
    chmod(path, 01777);
    for (int i = 0; links[i]; i++) {
        snprintf(target, sizeof target, "usr/%s", links[i]);
        path_in(s, path, "%s", links[i]);
        if (symlink(target, path) && errno != EEXIST)
            return status_set(st, STATUS_HOST, "sysroot: cannot create %s: %s", path, strerror(errno));
    }
    return write_new(s, "var/lib/dpkg/status", "", st) && write_new(s, "var/lib/dpkg/arch", s->arch, st);
}

bool sysroot_open(SysrootApt *s, const char *dir, Status *st)
{
    char path[PATH_MAX];
    FILE *f;

    if (!realpath(dir, s->root))
        return status_set(st, STATUS_HOST, "sysroot: %s: %s (make it with dragoman sysroot create)", dir, strerror(errno));
    path_in(s, path, "var/lib/dpkg/arch");
    f = fopen(path, "re");
    if (!f || fscanf(f, "%31s", s->arch) != 1) {
        if (f)
            fclose(f);
        return status_set(st, STATUS_HOST, "sysroot: %s was not made by dragoman sysroot create", dir);
    }
    fclose(f);
    return true;
}

/* Build an apt-get command line that works on the tree alone. `extra` ends with NULL. */
static char **apt_argv(const SysrootApt *s, char **extra, char **pkgs, int npkgs)
{
    static const char *const fixed[] = { "Dir::State=%s/var/lib/apt", "Dir::State::status=%s/var/lib/dpkg/status",
                                         "Dir::Cache=%s/var/cache/apt", "Dir::Log=%s/var/cache/apt", NULL };
    char **v = calloc(APT_MAX_ARGS + (size_t)npkgs, sizeof *v);
    int n = 0;

    v[n++] = strdup("apt-get");
    for (int i = 0; fixed[i]; i++) {
        v[n++] = strdup("-o");
        if (asprintf(&v[n], fixed[i], s->root) < 0)
            abort();
        n++;
    }
    const char *const opts[] = { "APT::Architecture=%s", "APT::Architectures=%s", NULL };
    for (int i = 0; opts[i]; i++) {
        v[n++] = strdup("-o");
        if (asprintf(&v[n], opts[i], s->arch) < 0)
            abort();
        n++;
    }
    for (int i = 0; extra[i]; i++)
        v[n++] = strdup(extra[i]);
    for (int i = 0; i < npkgs; i++)
        v[n++] = strdup(pkgs[i]);
    return v;
}

static void free_argv(char **v)
{
    for (int i = 0; v[i]; i++)
        free(v[i]);
    free(v);
}

static bool run_apt(const SysrootApt *s, const char *what, char **extra, char **pkgs, int npkgs, Status *st)
{
    char **v = apt_argv(s, extra, pkgs, npkgs);
    bool ok = proc_run(v, what, s->progress, st);

    free_argv(v);
    return ok;
}

static bool lists_fresh(const SysrootApt *s)
{
    char path[PATH_MAX];
    struct stat sb;

    path_in(s, path, "var/lib/apt/lists/fetched");
    return stat(path, &sb) == 0 && time(NULL) - sb.st_mtime < LISTS_MAX_AGE_S;
}

static bool fetch_lists(const SysrootApt *s, Status *st)
{
    char path[PATH_MAX];
    char *args[] = { "-q", "-o", "APT::Status-Fd=3", "-o", "APT::Get::List-Cleanup=false", "-o",
                     "Acquire::Languages=none", "update", NULL };

    if (lists_fresh(s))
        return true;
    if (!run_apt(s, "package lists", args, NULL, 0, st))
        return false;
    path_in(s, path, "var/lib/apt/lists/fetched");
    unlink(path);
    return write_new(s, "var/lib/apt/lists/fetched", "", st);
}

/* `update-alternatives --install LINK NAME PATH PRIORITY` of a package's postinst, which does not run: make the link. */
static void make_alternatives(const SysrootApt *s, char *script)
{
    char path[PATH_MAX], *save, *word, *next = script;

    while ((next = strstr(next, "--install"))) {
        char line[1024], *arg[3] = { 0 };
        int n = 0;
        snprintf(line, sizeof line, "%s", next + strlen("--install"));
        next++;
        for (word = strtok_r(line, " \t\n\\\"'", &save); word && n < 3; word = strtok_r(NULL, " \t\n\\\"'", &save))
            arg[n++] = word;
        if (n < 3 || arg[0][0] != '/' || arg[2][0] != '/' || strchr(arg[2], '$') || strchr(arg[0], '$'))
            continue;
        path_in(s, path, "%s", arg[2] + 1);
        if (access(path, F_OK))
            continue;
        path_in(s, path, "%s", arg[0] + 1);
        if (symlink(arg[2], path)) {
            /* There already: another package's alternative, which stays. */
        }
    }
}

/* What the unpacked package is called: the value of one field of its control file. */
static char *control_field(const char *control, const char *field)
{
    size_t n = strlen(field);

    for (const char *p = control; p && *p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL) {
        if (!strncmp(p, field, n) && p[n] == ':') {
            const char *v = p + n + 1;
            while (*v == ' ')
                v++;
            return strndup(v, strcspn(v, "\n"));
        }
    }
    return NULL;
}

/* Add the package's paragraph to var/lib/dpkg/status, replacing an older one of the same name. */
static bool note_installed(const SysrootApt *s, const char *name, const char *control, Status *st)
{
    char path[PATH_MAX];
    char *old = NULL;

    path_in(s, path, "var/lib/dpkg/status");
    if (!file_read(path, &old, st))
        return false;
    char *kept = status_without(old, name);
    char *text = NULL;
    const char *nl = strchr(control, '\n');
    if (!nl || asprintf(&text, "%s%.*s\nStatus: install ok installed\n%s\n", kept, (int)(nl - control), control, nl + 1) < 0)
        text = NULL;
    bool ok = text ? file_replace(path, text, st) : status_set(st, STATUS_HOST, "sysroot: %s has no control data", name);
    free(text);
    free(kept);
    free(old);
    return ok;
}

static bool unpack(const SysrootApt *s, const char *deb, Status *st)
{
    char list[PATH_MAX];
    char *control = NULL, *postinst = NULL, *name = NULL;
    bool ok = proc_capture((char *[]){ "dpkg-deb", "-f", (char *)deb, NULL }, &control, st);

    if (ok && !(name = control_field(control, "Package")))
        ok = status_set(st, STATUS_HOST, "sysroot: %s is not a Debian package", deb);
    if (ok) {
        path_in(s, list, "var/lib/dpkg/info/%s.list", name);
        ok = proc_untar(deb, s->root, list, st);
    }
    if (ok && proc_capture((char *[]){ "dpkg-deb", "-I", (char *)deb, "postinst", NULL }, &postinst, &(Status){ 0 }))
        make_alternatives(s, postinst);
    ok = ok && note_installed(s, name, control, st);
    if (ok)
        unlink(deb);
    free(control);
    free(postinst);
    free(name);
    return ok;
}

static int is_deb(const struct dirent *d)
{
    size_t n = strlen(d->d_name);
    return n > 4 && !strcmp(d->d_name + n - 4, ".deb");
}

static bool unpack_all(const SysrootApt *s, Status *st)
{
    char dir[PATH_MAX], deb[2 * PATH_MAX];
    struct dirent **ent = NULL;
    bool ok = true;

    path_in(s, dir, "var/cache/apt/archives");
    int n = scandir(dir, &ent, is_deb, alphasort);
    for (int i = 0; i < n; i++) {
        char what[300];
        snprintf(what, sizeof what, "unpacking %.*s", (int)strcspn(ent[i]->d_name, "_"), ent[i]->d_name);
        progress_show(s->progress, 100.0 * i / n, what);
        snprintf(deb, sizeof deb, "%s/%s", dir, ent[i]->d_name);
        ok = ok && unpack(s, deb, st);
        free(ent[i]);
    }
    free(ent);
    progress_end(s->progress);
    path_in(s, dir, DOWNLOADED);
    if (ok && n >= 0)
        unlink(dir);
    if (ok && n > 0)
        fprintf(stderr, "unpacked %d package%s into %s\n", n, n == 1 ? "" : "s", s->root);
    return ok && n >= 0;
}

/* Half of a request's packages unpacked is nothing that apt would go on from: that is finished before it looks. */
static bool unpack_rest(const SysrootApt *s, Status *st)
{
    char path[PATH_MAX];

    path_in(s, path, DOWNLOADED);
    return access(path, F_OK) || unpack_all(s, st);
}

bool sysroot_install(SysrootApt *s, char **pkgs, int npkgs, Status *st)
{
    char *args[] = { "-q", "-y", "-o", "APT::Status-Fd=3", "-o", "Debug::NoLocking=true", "--no-install-recommends",
                     "--download-only", "install", NULL };

    return unpack_rest(s, st) && fetch_lists(s, st) && run_apt(s, "packages", args, pkgs, npkgs, st) &&
           write_new(s, DOWNLOADED, "", st) && unpack_all(s, st);
}

bool sysroot_packages(const SysrootApt *s, FILE *out, Status *st)
{
    char path[PATH_MAX];
    char *text = NULL;

    path_in(s, path, "var/lib/dpkg/status");
    if (!file_read(path, &text, st))
        return false;
    for (char *p = text; *p;) {
        char *end = strstr(p, "\n\n");
        if (end)
            end[1] = 0;
        char *name = control_field(p, "Package"), *version = control_field(p, "Version");
        if (name && version)
            fprintf(out, "%s %s\n", name, version);
        free(name);
        free(version);
        p = end ? end + 2 : p + strlen(p);
    }
    free(text);
    return true;
}

/* Delete a package's files: those that no other package lists; directories when they are empty. */
static bool remove_files(const SysrootApt *s, const char *name, Status *st)
{
    char list[PATH_MAX], path[PATH_MAX];
    char *text = NULL;

    path_in(s, list, "var/lib/dpkg/info/%s.list", name);
    if (!file_read(list, &text, st))
        return false;
    char **line = NULL;
    size_t n = 0;
    for (char *save, *p = strtok_r(text, "\n", &save); p; p = strtok_r(NULL, "\n", &save)) {
        line = realloc(line, (n + 1) * sizeof *line);
        line[n++] = p;
    }
    unlink(list);
    while (n-- > 0) {
        const char *rel = line[n][0] == '.' && line[n][1] == '/' ? line[n] + 2 : line[n];
        if (!*rel || strstr(rel, ".."))
            continue;
        path_in(s, path, "%s", rel);
        struct stat sb;
        if (lstat(path, &sb))
            continue;
        if (S_ISDIR(sb.st_mode))
            rmdir(path); /* fails when shared: as wanted */
        else
            unlink(path);
    }
    free(line);
    free(text);
    return true;
}

bool sysroot_remove(SysrootApt *s, char **pkgs, int npkgs, FILE *out, Status *st)
{
    char *args[] = { "-q", "-s", "-o", "Debug::NoLocking=true", "remove", NULL };
    char **v = apt_argv(s, args, pkgs, npkgs);
    char *plan = NULL, path[PATH_MAX];
    bool ok = unpack_rest(s, st) && proc_capture(v, &plan, st);

    free_argv(v);
    for (char *save, *p = ok ? strtok_r(plan, "\n", &save) : NULL; ok && p; p = strtok_r(NULL, "\n", &save)) {
        char name[256], *old = NULL;
        if (sscanf(p, "Remv %255s", name) != 1)
            continue;
        name[strcspn(name, ":")] = 0;
        path_in(s, path, "var/lib/dpkg/status");
        ok = remove_files(s, name, st) && file_read(path, &old, st);
        if (ok) {
            char *kept = status_without(old, name);
            ok = file_replace(path, kept, st);
            free(kept);
            fprintf(out, "removed %s\n", name);
        }
        free(old);
    }
    free(plan);
    return ok;
}
