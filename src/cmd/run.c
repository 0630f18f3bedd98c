/*
 * dragoman run: start a guest program. Chooses the sysroot and the guest, then hands over to user/.
 */
#include "cmd/cmd.h"
#include "cmd/options.h"

#include "base/log.h"
#include "base/os.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

extern char **environ;

static int help(void)
{
    printf("usage: dragoman [run] [OPTION...] PROGRAM [ARGUMENT...]\n"
           "       dragoman COMMAND ...\n\n"
           "Runs Linux programs built for AArch64 on this machine.\n\n"
           "commands:\n");
    cmd_list(stdout);
    printf("\noptions of run:\n");
    options_help(stdout);
    printf("\ntools:\n");
    plugins_list(stdout, false);
    printf("\nlog categories:\n");
    log_help(stdout);
    printf("\nexit status: the program's own; a fatal signal of the program is dragoman's too. Of dragoman itself:\n"
           "  %3d  unknown option, bad or missing argument\n"
           "  %3d  the host refused something\n"
           "  %3d  the program was found but cannot be run\n"
           "  %3d  the program was not found\n",
           EXIT_USAGE, EXIT_HOST, EXIT_NOT_RUN, EXIT_NOT_FOUND);
    return 0;
}

static int version(void)
{
    char features[512];

    os_cpu_features(features, sizeof features);
    printf("dragoman %s\nguests: aarch64\nhost: %s\n", DRAGOMAN_VERSION, features);
    return 0;
}

/* The sysroot that `dragoman sysroot create` makes by default, when it is there. */
static const char *default_sysroot(char *buf, size_t len)
{
    struct stat sb;

    return sysroot_default("arm64", buf, len) && stat(buf, &sb) == 0 && S_ISDIR(sb.st_mode) ? buf : NULL;
}

/* `name` in the directories of `dirs`, in the sysroot alone or anywhere. Fills path; NULL when there is none. */
static const Guest *search(const UserConfig *u, const char *dirs, bool in_sysroot, char *path, size_t len)
{
    char full[8192];

    for (const char *p = dirs; *p; p += strcspn(p, ":"), p += *p == ':') {
        Status ignored = {0};
        int n = (int)strcspn(p, ":");
        if (n == 0 || snprintf(path, len, "%.*s/%s", n, p, u->program) >= (int)len)
            continue;
        if (in_sysroot && (snprintf(full, sizeof full, "%s%s", u->sysroot, path) >= (int)sizeof full || access(full, X_OK)))
            continue;
        const Guest *g = user_probe(path, u->sysroot, &ignored);
        if (g)
            return g;
    }
    return NULL;
}

/*
 * A name without a slash that is not a file here is looked up along PATH: first in the sysroot (also where Debian keeps
 * programs, whatever PATH says), so that a host's script of that name does not win, then as a shell would.
 */
static const Guest *find_program(UserConfig *u, char *path, size_t len, Status *st)
{
    static const char usual[] = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin";
    const char *dirs = getenv("PATH");
    const Guest *g = user_probe(u->program, u->sysroot, st);

    if (g || st->code != STATUS_NOT_FOUND || strchr(u->program, '/'))
        return g;
    if (!dirs)
        dirs = usual;
    if (u->sysroot)
        g = search(u, dirs, true, path, len);
    if (!g && u->sysroot)
        g = search(u, usual, true, path, len);
    if (!g)
        g = search(u, dirs, false, path, len);
    if (g) {
        u->program = path;
        *st = (Status){0};
    }
    return g;
}

static int start(Options *o, char **argv, Status *st)
{
    UserConfig *u = &o->user;
    char sysroot[4096], absolute[4096], path[4096], cache[4096], err[256] = "";
    struct stat sb;

    if (!u->sysroot)
        u->sysroot = u->secure ? NULL : default_sysroot(sysroot, sizeof sysroot);
    else if (!realpath(u->sysroot, absolute))
        return status_set(st, STATUS_USAGE, "-L: no directory '%s'", u->sysroot), -1;
    else if (stat(absolute, &sb) != 0 || !S_ISDIR(sb.st_mode))
        return status_set(st, STATUS_USAGE, "-L: '%s' is not a directory", u->sysroot), -1;
    else
        u->sysroot = absolute;
    u->program = argv[0];
    u->argv = argv;
    u->engine.guest = find_program(u, path, sizeof path, st);
    if (!u->engine.guest)
        return -1;
    void *features = u->engine.guest->cpu_new(o->cpu, err, sizeof err);
    if (!features)
        return status_set(st, STATUS_USAGE, "--cpu: %s", err), -1;
    u->engine.features = features;
    u->engine.cpu_list = o->cpu;
    u->engine.persist_dir = u->secure ? NULL : options_cache(o, cache, sizeof cache);
    u->envp = options_env(o, environ);
    if (o->plugins)
        u->engine.tools = plugins_tools(o->plugins, u->program);
    int status = user_run(u, st);
    free(u->envp);
    free(features);
    return status;
}

int run_program(Options *o, char **argv)
{
    Status st = {0};
    int status = start(o, argv, &st);

    return status < 0 ? cmd_fail(&st) : status;
}

int cmd_run(int argc, char **argv)
{
    Status st = {0};
    Options o;
    int status = EXIT_USAGE;

    options_init(&o);
    int first = options_parse(&o, argc, argv, &st);
    if (first < 0) {
        status = cmd_fail(&st);
    } else if (o.help_tools) {
        plugins_list(stdout, true);
        status = 0;
    } else if (o.help || o.version) {
        status = o.help ? help() : version();
    } else if (first >= argc) {
        fprintf(stderr, "dragoman: no program given (see dragoman --help)\n");
    } else {
        status = run_program(&o, argv + first);
    }
    options_done(&o);
    return status;
}
