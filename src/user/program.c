#include "user/program.h"

#include "base/check.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SCRIPT_LINE 255  /* bytes of a #! line that count */

static bool fail(Program *prog, Status *st, int err, StatusCode code, const char *what)
{
    prog->err = err;
    return status_set(st, code, "%s: %s", prog->path, what);
}

/* Open prog->path; checks what the kernel checks of a file to be executed. */
static bool open_file(const PathEnv *env, Program *prog, Status *st)
{
    struct stat sb;
    int err = path_resolve(env, prog->path, 0, prog->host);
    if (err)
        return fail(prog, st, -err, STATUS_NOT_FOUND, strerror(-err));
    if (stat(prog->host, &sb) != 0)
        return fail(prog, st, errno, STATUS_NOT_FOUND, errno == ENOENT ? "no such file" : strerror(errno));
    if (S_ISDIR(sb.st_mode))
        return fail(prog, st, EACCES, STATUS_NOT_RUN, "is a directory");
    if (!S_ISREG(sb.st_mode))
        return fail(prog, st, EACCES, STATUS_NOT_RUN, "not a file");
    if (faccessat(AT_FDCWD, prog->host, X_OK, AT_EACCESS) != 0)
        return fail(prog, st, errno, STATUS_NOT_RUN, "not executable");
    prog->fd = open(prog->host, O_RDONLY | O_CLOEXEC);
    if (prog->fd < 0)
        return fail(prog, st, errno, STATUS_NOT_RUN, strerror(errno));
    return true;
}

/* Split a #! line into the interpreter and at most one argument, in place. False when it names nothing. */
static bool split_line(char *line, char **interp, char **arg)
{
    char *p = line + strspn(line, " \t");
    size_t n = strcspn(p, " \t");
    *interp = p;
    *arg = NULL;
    if (n == 0)
        return false;
    if (p[n]) {
        p[n] = 0;
        char *a = p + n + 1;
        a += strspn(a, " \t");
        char *end = a + strlen(a);
        while (end > a && (end[-1] == ' ' || end[-1] == '\t'))
            *--end = 0;
        if (*a)
            *arg = a;
    }
    return true;
}

/* argv of the interpreter: {interp, arg, script, argv[1]...}. Strings are kept in prog->text. */
static void rewrite_argv(Program *prog, char **argv, const char *interp, const char *arg)
{
    size_t argc = 0;
    while (argv && argv[argc])
        argc++;
    size_t li = strlen(interp) + 1, la = arg ? strlen(arg) + 1 : 0, lp = strlen(prog->path) + 1;
    char *text = malloc(li + la + lp);
    char **v = calloc(argc + 4, sizeof *v);
    CHECK(text != NULL && v != NULL);
    size_t n = 0;
    v[n++] = memcpy(text, interp, li);
    if (arg)
        v[n++] = memcpy(text + li, arg, la);
    v[n++] = memcpy(text + li + la, prog->path, lp);
    for (size_t i = 1; i < argc; i++)
        v[n++] = argv[i];
    if (prog->script)
        free(prog->argv);
    prog->argv = v;
    prog->text[prog->ntext++] = text;
}

bool program_find(const PathEnv *env, const char *path, char **argv, Program *prog, Status *st)
{
    memset(prog, 0, sizeof *prog);
    prog->fd = -1;
    prog->argv = argv;
    if (strlen(path) >= sizeof prog->path) {
        prog->err = ENAMETOOLONG;
        return status_set(st, STATUS_NOT_FOUND, "program name too long");
    }
    strcpy(prog->path, path);
    for (int depth = 0; depth <= PROGRAM_MAX_SCRIPTS; depth++) {
        char line[SCRIPT_LINE + 1];
        if (!open_file(env, prog, st))
            return false;
        ssize_t n = pread(prog->fd, line, SCRIPT_LINE, 0);
        if (n < 2 || line[0] != '#' || line[1] != '!') {
            if (elf_probe(prog->fd, prog->path, &prog->elf, st))
                return true;
            prog->err = ENOEXEC;
            return false;
        }
        line[n] = 0;
        line[strcspn(line, "\n")] = 0;
        char *interp, *arg;
        if (!split_line(line + 2, &interp, &arg))
            return fail(prog, st, ENOEXEC, STATUS_NOT_RUN, "its first line names no interpreter");
        rewrite_argv(prog, prog->argv, interp, arg);
        prog->script = true;
        close(prog->fd);
        prog->fd = -1;
        strcpy(prog->path, interp);
    }
    return fail(prog, st, ELOOP, STATUS_NOT_RUN, "too many scripts that name scripts");
}

void program_close(Program *prog)
{
    if (prog->fd >= 0)
        close(prog->fd);
    prog->fd = -1;
    if (prog->script) {
        free(prog->argv);
        while (prog->ntext > 0)
            free(prog->text[--prog->ntext]);
    }
    prog->script = false;
}
