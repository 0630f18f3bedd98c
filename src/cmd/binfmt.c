/*
 * dragoman binfmt install|remove|status: the kernel's table of program formats (Documentation/admin-guide/binfmt-misc.rst),
 * and being started by it. docs/containers.md.
 *
 * The flags of the entry: F opens dragoman's file at once, so that it serves in chroots and containers that have no such
 * file; P gives the program's argv[0]; C gives a set-user-ID program its rights (and with O its open file).
 */
#include "cmd/cmd.h"
#include "cmd/options.h"

#include "base/check.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mount.h>
#include <unistd.h>

#define DIR "/proc/sys/fs/binfmt_misc"
#define BOOT_DIR "/etc/binfmt.d" /* systemd-binfmt(8) registers what is in it at each start of the machine */
#define NAME "dragoman-aarch64"
#define FLAGS "POCF"
#define PRESERVED_ARGV0 1 /* AT_FLAGS of a program whose entry has P: linux/binfmts.h */

/*
 * An ELF header of a little-endian 64-bit EXEC or DYN for AArch64 (e_machine 183) of any OS ABI that Linux takes (System V
 * or GNU), as \x escapes: the kernel's line may not hold some bytes as they are.
 */
#define MAGIC "\\x7fELF\\x02\\x01\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x02\\x00\\xb7\\x00"
#define MASK "\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xfc\\x00\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xfe\\xff\\xff\\xff"

static int usage(FILE *f)
{
    fprintf(f, "usage: dragoman binfmt install [FILE]   start arm64 programs under FILE, a static dragoman (default: the one\n"
               "                                        beside this program), now and when the machine starts again\n"
               "       dragoman binfmt remove           no longer\n"
               "       dragoman binfmt status           what the kernel has; exit status 1 when nothing is installed\n");
    return f == stdout ? 0 : EXIT_USAGE;
}

/* --- the entry ------------------------------------------------------------------------------------------------------ */

/* Write `text` with one call, as the kernel wants it; an existing file only, unless `create`. */
static bool write_file(const char *path, const char *text, bool create, Status *st)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC | (create ? O_CREAT | O_TRUNC : 0), 0644);
    size_t len = strlen(text);

    if (fd < 0)
        return status_set(st, STATUS_HOST, "%s: %s%s", path, strerror(errno), errno == EACCES ? " (are you root?)" : "");
    ssize_t n = write(fd, text, len);
    int err = errno;
    close(fd);
    if (n != (ssize_t)len)
        return status_set(st, STATUS_HOST, "%s: %s", path, n < 0 ? strerror(err) : "written in part");
    return true;
}

static bool available(void)
{
    return access(DIR "/status", F_OK) == 0;
}

static bool mount_table(Status *st)
{
    if (available() || mount("binfmt_misc", DIR, "binfmt_misc", 0, NULL) == 0)
        return true;
    if (errno == EPERM)
        return status_set(st, STATUS_HOST, "binfmt_misc: %s (are you root?)", strerror(errno));
    return status_set(st, STATUS_HOST, "binfmt_misc: %s (does this kernel have it?)", strerror(errno));
}

static bool unregister(Status *st)
{
    return access(DIR "/" NAME, F_OK) != 0 || write_file(DIR "/" NAME, "-1", false, st);
}

/* Whether the program at `path` needs an interpreter of its own, which a chroot would not have. */
static bool is_dynamic(int fd)
{
    Elf64_Ehdr h;

    if (pread(fd, &h, sizeof h, 0) != sizeof h || memcmp(h.e_ident, ELFMAG, SELFMAG) || h.e_phentsize != sizeof(Elf64_Phdr))
        return true;
    for (unsigned i = 0; i < h.e_phnum; i++) {
        Elf64_Phdr ph;
        if (pread(fd, &ph, sizeof ph, (off_t)(h.e_phoff + i * sizeof ph)) != sizeof ph || ph.p_type == PT_INTERP)
            return true;
    }
    return false;
}

/* The static dragoman: `given`, or that beside this program; its absolute path in path[PATH_MAX]. */
static bool find_static(const char *given, char *path, Status *st)
{
    char beside[PATH_MAX + 32];
    ssize_t n = given ? 0 : readlink("/proc/self/exe", beside, PATH_MAX - 1);

    if (n < 0)
        return status_set(st, STATUS_HOST, "/proc/self/exe: %s", strerror(errno));
    beside[n] = 0;
    char *slash = given ? NULL : strrchr(beside, '/');
    if (slash)
        strcpy(slash + 1, "dragoman-static");
    if (!realpath(given ? given : beside, path))
        return status_set(st, STATUS_HOST, "%s: %s", given ? given : beside, strerror(errno));
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool dynamic = fd < 0 || is_dynamic(fd);
    if (fd >= 0)
        close(fd);
    if (dynamic || access(path, X_OK) != 0)
        return status_set(st, STATUS_USAGE, "%s: not a static program, which chroots and containers need", path);
    if (strlen(path) > 127 || strpbrk(path, ":\n"))
        return status_set(st, STATUS_USAGE, "%s: the kernel takes paths of 127 characters without colons", path);
    return true;
}

static int install(const char *given, Status *st)
{
    char path[PATH_MAX], line[512];

    if (!find_static(given, path, st) || !mount_table(st) || !unregister(st))
        return cmd_fail(st);
    snprintf(line, sizeof line, ":%s:M::%s:%s:%s:%s\n", NAME, MAGIC, MASK, path, FLAGS);
    if (!write_file(DIR "/register", line, false, st))
        return cmd_fail(st);
    printf("arm64 programs start under %s\n", path);
    if (access(BOOT_DIR, F_OK) != 0)
        printf("until the machine starts again: there is no " BOOT_DIR "\n");
    else if (!write_file(BOOT_DIR "/" NAME ".conf", line, true, st))
        return cmd_fail(st);
    return 0;
}

static int uninstall(Status *st)
{
    if (!unregister(st))
        return cmd_fail(st);
    if (unlink(BOOT_DIR "/" NAME ".conf") != 0 && errno != ENOENT) {
        status_set(st, STATUS_HOST, BOOT_DIR "/" NAME ".conf: %s", strerror(errno));
        return cmd_fail(st);
    }
    return 0;
}

/* --- status --------------------------------------------------------------------------------------------------------- */

/* Print the lines of a file, indented. False when it cannot be read. */
static bool show(const char *path)
{
    char line[512];
    FILE *f = fopen(path, "re");

    if (!f)
        return false;
    while (fgets(line, sizeof line, f))
        printf("  %s", line);
    fclose(f);
    return true;
}

static int status(void)
{
    char on[16] = "";
    FILE *f = fopen(DIR "/status", "re");

    if (!f) {
        printf("binfmt_misc is not mounted\n");
        return 1;
    }
    bool enabled = fgets(on, sizeof on, f) && !strncmp(on, "enabled", 7);
    fclose(f);
    printf("binfmt_misc is %s\n%s\n", enabled ? "enabled" : "disabled", NAME);
    bool there = show(DIR "/" NAME);
    if (!there)
        printf("  not installed\n");
    printf("at each start of the machine: %s\n", access(BOOT_DIR "/" NAME ".conf", F_OK) == 0 ? "yes" : "no");
    if (access(DIR "/qemu-aarch64", F_OK) == 0)
        printf("qemu-aarch64 is there too; the kernel takes the one that came last\n");
    return there && enabled ? 0 : 1;
}

int cmd_binfmt(int argc, char **argv)
{
    Status st = {0};

    if (argc == 2 && !strcmp(argv[1], "--help"))
        return usage(stdout);
    if (argc >= 2 && argc <= 3 && !strcmp(argv[1], "install"))
        return install(argc == 3 ? argv[2] : NULL, &st);
    if (argc == 2 && !strcmp(argv[1], "remove"))
        return uninstall(&st);
    if (argc == 2 && !strcmp(argv[1], "status"))
        return status();
    return usage(stderr);
}

/* --- started by the kernel ------------------------------------------------------------------------------------------ */

bool binfmt_started(void)
{
    return getauxval(AT_FLAGS) & PRESERVED_ARGV0;
}

/* $DRAGOMAN_OPTIONS as an argument list, split at blanks; argv[0] is a word that options_parse passes over. Owned by `text`. */
static int split_options(char *text, char **argv, int max)
{
    int n = 0;

    argv[n++] = "run";
    for (char *save, *w = strtok_r(text, " \t\n", &save); w && n < max; w = strtok_r(NULL, " \t\n", &save))
        argv[n++] = w;
    argv[n] = NULL;
    return n;
}

/*
 * The kernel passes the program's file as well, open, for programs that may be executed but not read. Otherwise the
 * guest must not find it among its descriptors.
 */
static const char *open_program(const char *name, char *by_fd, size_t len)
{
    unsigned long fd = getauxval(AT_EXECFD);
    int test = open(name, O_RDONLY | O_CLOEXEC);

    if (test >= 0) {
        close(test);
        if (fd)
            close((int)fd);
        return name;
    }
    snprintf(by_fd, len, "/proc/self/fd/%lu", fd);
    return fd ? by_fd : name;
}

int binfmt_run(int argc, char **argv)
{
    Status st = {0};
    Options o;
    char by_fd[48], *words[65], *text = NULL;
    bool secure = getauxval(AT_SECURE) != 0;
    const char *given = secure ? NULL : getenv("DRAGOMAN_OPTIONS");
    int code = EXIT_USAGE;

    options_init(&o);
    o.user.binfmt = true;
    o.user.secure = secure;
    text = strdup(given ? given : "");
    CHECK(text != NULL);
    int n = split_options(text, words, 64);
    if (argc < 3) {
        fprintf(stderr, "dragoman: started by the kernel without a program\n");
    } else if (options_parse(&o, n, words, &st) < 0) {
        code = cmd_fail(&st);
    } else {
        o.user.argv0 = argv[2];
        argv[2] = (char *)open_program(argv[1], by_fd, sizeof by_fd);
        code = run_program(&o, argv + 2);
    }
    options_done(&o);
    free(text);
    return code;
}
