/* Another root: bind mounts, pivot_root, and programs executed after it; mount namespaces entered by setns. */
#include "t.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static char self[4096];

static int status_of(pid_t pid)
{
    int st;
    return waitpid(pid, &st, 0) != pid ? -1 : WIFEXITED(st) ? WEXITSTATUS(st) : -WTERMSIG(st);
}

/* A root of little more than this program; dragoman's libraries are in /usr, should it need any. */
static int make_root(const char *dir)
{
    static const char *const links[] = { "lib", "lib64", "bin" };
    char path[256], to[64];
    struct stat st;
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 || mount("small", dir, "tmpfs", 0, "size=1m") != 0)
        return 0;
    snprintf(path, sizeof path, "%s/usr", dir);
    if (mkdir(path, 0755) != 0 || mount("/usr", path, NULL, MS_BIND | MS_REC, NULL) != 0)
        return 0;
    for (unsigned i = 0; i < sizeof links / sizeof links[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, links[i]);
        snprintf(to, sizeof to, "usr/%s", links[i]);
        if (symlink(to, path) != 0)
            return 0;
    }
    snprintf(path, sizeof path, "%s/self", dir);
    close(open(path, O_CREAT | O_WRONLY, 0755));
    if (mount(self, path, NULL, MS_BIND, NULL) != 0 || stat(path, &st) != 0 || st.st_size == 0)
        return 0;
    snprintf(path, sizeof path, "%s/old", dir);
    return mkdir(path, 0755) == 0;
}

static int in_new_root(const char *dir)
{
    char old[256], cwd[256] = "";
    struct stat st;
    if (unshare(CLONE_NEWNS) != 0)
        return 77;
    if (!make_root(dir))
        return 1;
    snprintf(old, sizeof old, "%s/old", dir);
    if (syscall(SYS_pivot_root, dir, old) != 0 || chdir("/") != 0)
        return 2;
    if (!getcwd(cwd, sizeof cwd) || strcmp(cwd, "/") != 0 || stat("/old/proc", &st) != 0 || stat("/etc", &st) == 0)
        return 3;
    if (umount2("/old", MNT_DETACH) != 0 || access("/old/proc", F_OK) == 0)
        return 4;
    if (open("/proc/cpuinfo", O_RDONLY) != -1 || errno != ENOENT) /* no /proc is mounted here */
        return 5;
    pid_t pid = t_fork();
    if (pid == 0) {
        execl("/self", "self", "inside", NULL);
        _exit(5);
    }
    int status = status_of(pid);
    if (status != 19 || mkdir("/proc", 0755) != 0 || mount("proc", "/proc", "proc", 0, NULL) != 0)
        return status;
    execl("/self", "self", "once more", NULL); /* where /proc names a program that is out of reach */
    return 6;
}

static void test_pivot(void)
{
    char dir[] = "/tmp/dragoman-root-XXXXXX";
    OK(mkdtemp(dir) != NULL);
    pid_t pid = t_fork();
    if (pid == 0)
        _exit(in_new_root(dir));
    int st = status_of(pid);
    if (st == 77 || t_sanitized("address") || t_sanitized("thread"))
        t_skip("no mount namespaces, or a sanitizer's libraries, which the new root has not");
    else
        OK(st == 23);
    rmdir(dir);
}

static void test_setns(void)
{
    int fd = open("/proc/self/ns/mnt", O_RDONLY);
    pid_t pid = t_fork();
    if (pid == 0) {
        if (unshare(CLONE_NEWNS) != 0)
            _exit(77);
        if (setns(fd, CLONE_NEWNS) != 0)
            _exit(1);
        execl(self, "self", "outside", NULL);
        _exit(2);
    }
    int st = status_of(pid);
    if (st == 77)
        t_skip("no mount namespaces");
    else
        OK(st == 20);
    OK(setns(fd, CLONE_NEWUTS) == -1 && errno == EINVAL);
    OK(mount("/nowhere", "/tmp", NULL, MS_BIND, NULL) == -1 && (errno == ENOENT || errno == EPERM));
    OK(mount("none", (char *)8, "tmpfs", 0, NULL) == -1 && (errno == EFAULT || errno == EPERM));
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "once more"))
        return execl("/self", "self", "at last", NULL);
    if (argc > 1 && !strcmp(argv[1], "at last"))
        return 23;
    if (argc > 1)
        return !strcmp(argv[1], "inside") ? (access("/usr", F_OK) == 0 && access("/proc/self", F_OK) != 0 ? 19 : 21) : 20;
    self[readlink("/proc/self/exe", self, sizeof self - 1)] = 0;
    test_pivot();
    test_setns();
    return t_done();
}
