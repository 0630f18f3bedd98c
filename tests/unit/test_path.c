/* Which host path a guest's path means: a small sysroot with links in every direction. */
#include "test.h"

#include "user/path.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[64];

static void put(const char *name, const char *link)
{
    char path[256];
    snprintf(path, sizeof path, "%s%s", root, name);
    if (link) {
        if (symlink(link, path) != 0)
            perror(path);
    } else if (name[strlen(name) - 1] == '/') {
        mkdir(path, 0755);
    } else {
        fclose(fopen(path, "w"));
    }
}

/* Whether `guest` leads to `want`; want starting with @ is in the sysroot. */
static bool leads(bool whole, const char *cwd, const char *guest, unsigned how, const char *want)
{
    char out[PATH_MAX], full[PATH_MAX];
    const PathEnv env = { root, cwd, whole, nondet_live(), 0 };
    int err = path_resolve(&env, guest, how, out);
    snprintf(full, sizeof full, "%s%s", want[0] == '@' ? root : "", want + (want[0] == '@'));
    if (err == 0 && strcmp(out, full) == 0)
        return true;
    printf("# %s: %s (%d), wanted %s\n", guest, out, err, full);
    return false;
}

int main(void)
{
    TEST_BEGIN();
    strcpy(root, "/tmp/dragoman-path-XXXXXX");
    if (!mkdtemp(root))
        return 1;
    put("/usr/", NULL);
    put("/usr/lib/", NULL);
    put("/usr/lib/libx.so.1", NULL);
    put("/usr/lib/libx.so", "libx.so.1");
    put("/lib", "usr/lib");
    put("/etc/", NULL);
    put("/etc/alt", "/usr/lib/libx.so");
    put("/etc/dangling", "/usr/lib/none");
    put("/etc/resolv.conf", "/run/resolv.conf");
    put("/loop", "/loop");
    put("/up", "../../../etc/alt");
    put("/only/", NULL);

    TEST("a file of the sysroot", leads(0, "", "/usr/lib/libx.so.1", 0, "@/usr/lib/libx.so.1"));
    TEST("a link is followed", leads(0, "", "/usr/lib/libx.so", 0, "@/usr/lib/libx.so.1"));
    TEST("or meant", leads(0, "", "/usr/lib/libx.so", PATH_NOFOLLOW, "@/usr/lib/libx.so"));
    TEST("through a linked directory", leads(0, "", "/lib/libx.so", PATH_NOFOLLOW, "@/usr/lib/libx.so"));
    TEST("an absolute link stays inside", leads(0, "", "/etc/alt", 0, "@/usr/lib/libx.so.1"));
    TEST("dots and slashes", leads(0, "", "//usr/./lib/../../etc//alt", PATH_NOFOLLOW, "@/etc/alt"));
    TEST("nothing is above the root", leads(0, "", "/up", 0, "@/usr/lib/libx.so.1"));
    TEST("a missing file is the host's", leads(0, "", "/usr/lib/none", 0, "/usr/lib/none"));
    TEST("unless the sysroot is whole", leads(1, "", "/usr/lib/none", 0, "@/usr/lib/none"));
    TEST("programs of the host remain", leads(1, "", "/usr/bin/none", 0, "/usr/bin/none"));
    TEST("a dangling link", leads(0, "", "/etc/dangling", 0, "/usr/lib/none"));
    TEST("a link to the host's", leads(0, "", "/etc/resolv.conf", 0, "/run/resolv.conf"));
    TEST("/proc is the host's", leads(0, "", "/proc/self/maps", 0, "/proc/self/maps"));
    TEST("/tmp is the host's", leads(0, "", "/tmp/x/y", PATH_NEW, "/tmp/x/y"));
    TEST("a new file where the host has the directory", leads(0, "", "/etc/new", PATH_NEW, "/etc/new"));
    TEST("and where only the sysroot has", leads(0, "", "/only/new", PATH_NEW, "@/only/new"));
    TEST("created through open", leads(0, "", "/only/new", PATH_CREATE, "@/only/new"));
    TEST("relative paths are the host's", leads(0, "", "usr/lib", 0, "usr/lib"));
    TEST("unless the directory is the sysroot's", leads(0, "/usr", "lib/libx.so", 0, "@/usr/lib/libx.so.1"));
    TEST("a slash at the end is kept", leads(0, "", "/usr/lib/", 0, "@/usr/lib/"));
    TEST("the root", leads(0, "", "/", 0, "@/"));
    TEST("an empty path", leads(0, "", "", 0, ""));
    char out[PATH_MAX];
    const PathEnv env = { root, "", false, nondet_live(), 0 };
    TEST("a loop", path_resolve(&env, "/loop", 0, out) == -ELOOP);
    char longname[PATH_MAX + 10];
    memset(longname, 'a', sizeof longname);
    longname[0] = '/';
    longname[sizeof longname - 1] = 0;
    TEST("too long", path_resolve(&env, longname, 0, out) == -ENAMETOOLONG);

    char cmd[128];
    snprintf(cmd, sizeof cmd, "rm -rf %s", root);
    return system(cmd) != 0 || TEST_END();
}
