/* Mounts by descriptors, what is told of them, watched directories, file handles; processes with namespaces of their
 * own. */
#include "t.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <poll.h>
#include <sched.h>
#include <sys/fanotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

int mount(const char *, const char *, const char *, unsigned long,
          const void *); /* <sys/mount.h> does not go with <linux/mount.h> */
int umount2(const char *, int);

#define NR_statmount 457
#define NR_listmount 458
#define NO_MOUNTS    77

static char dir[] = "/tmp/dragoman-mounts-XXXXXX";

static int status_of(pid_t pid)
{
    int st;
    return waitpid(pid, &st, 0) != pid ? -1 : WIFEXITED(st) ? WEXITSTATUS(st) : -WTERMSIG(st);
}

static int in_child(int (*fn)(void))
{
    pid_t pid = t_fork();
    if (pid == 0)
        _exit(fn());
    return status_of(pid);
}

static int sys(long nr, long a, long b, long c, long d, long e)
{
    return (int)syscall(nr, a, b, c, d, e);
}

#define S(nr, a, b, c, d, e) sys(nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e))

/* A file system made, set and mounted step by step, and made read-only. */
static int new_mount(void)
{
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, 0x44000 /* MS_REC | MS_PRIVATE */, NULL) != 0)
        return NO_MOUNTS;
    if (chdir(dir) != 0 || mkdir("a", 0755) != 0 || mkdir("b", 0755) != 0)
        return 1;
    int fs = S(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC, 0, 0, 0);
    if (fs < 0 || S(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "size", "1m", 0) ||
        S(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, 0, 0, 0))
        return 2;
    int at = S(SYS_fsmount, fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NODEV, 0, 0);
    if (at < 0 || S(SYS_move_mount, at, "", AT_FDCWD, "a", MOVE_MOUNT_F_EMPTY_PATH))
        return 3;
    int fd = open("a/file", O_CREAT | O_RDWR, 0600);
    if (fd < 0 || write(fd, "x", 1) != 1 || close(fd) != 0)
        return 4;
    int copy = S(SYS_open_tree, AT_FDCWD, "a", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC, 0, 0);
    struct mount_attr ro = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOEXEC};
    if (copy < 0 || S(SYS_mount_setattr, copy, "", AT_EMPTY_PATH, &ro, sizeof ro))
        return 5;
    if (S(SYS_move_mount, copy, "", AT_FDCWD, "b", MOVE_MOUNT_F_EMPTY_PATH))
        return 6;
    if (open("b/other", O_CREAT | O_RDWR, 0600) != -1 || errno != EROFS || access("b/file", R_OK) != 0)
        return 7;
    if (S(SYS_mount_setattr, AT_FDCWD, "a", 0, &ro, 8) != -1 || errno != EINVAL)
        return 8;
    int again = S(SYS_fspick, AT_FDCWD, "a", FSPICK_CLOEXEC, 0, 0);
    if (again < 0 || S(SYS_fsconfig, again, FSCONFIG_SET_FLAG, "ro", 0, 0) ||
        S(SYS_fsconfig, again, FSCONFIG_CMD_RECONFIGURE, 0, 0, 0))
        return 9;
    if (open("a/other", O_CREAT | O_RDWR, 0600) != -1 || errno != EROFS)
        return 10;
    return umount2("b", 2) == 0 && umount2("a", 2) == 0 ? 0 : 11;
}

/* listmount and statmount: the root's mount is among the root's children's parents. */
static void test_told(void)
{
    struct {
        uint32_t size, spare;
        uint64_t id, param;
    } ask = {.size = sizeof ask, .id = UINT64_MAX /* LSMT_ROOT */};
    uint64_t ids[512];
    struct {
        uint32_t size, spare;
        uint64_t mask;
        uint32_t rest[500];
    } told;
    long n = syscall(NR_listmount, &ask, ids, 512, 0);
    if (n < 0 && (errno == ENOSYS || errno == EPERM)) {
        t_skip("no listmount");
        return;
    }
    OK(n > 0);
    ask.id = ids[0];
    ask.param = 2; /* STATMOUNT_MNT_BASIC */
    OK(syscall(NR_statmount, &ask, &told, sizeof told, 0) == 0 && (told.mask & 2));
    OK(syscall(NR_statmount, &ask, &told, sizeof told, 1) == -1 && errno == EINVAL);
    OK(syscall(NR_statmount, NULL, &told, sizeof told, 0) == -1 && errno == EFAULT);
}

static void test_watch(void)
{
    char buf[1024];
    struct fanotify_event_metadata *e = (void *)buf;
    int fan = fanotify_init(FAN_CLASS_NOTIF | FAN_CLOEXEC | FAN_NONBLOCK | FAN_REPORT_FID | FAN_REPORT_DFID_NAME,
                            O_RDONLY | O_LARGEFILE);
    if (fan < 0) {
        t_skip("no fanotify");
        return;
    }
    OK(fcntl(fan, F_GETFL) & O_NONBLOCK);
    if (fanotify_mark(fan, FAN_MARK_ADD | FAN_MARK_ONLYDIR, FAN_CREATE | FAN_DELETE, AT_FDCWD, dir) != 0) {
        t_skip("a file system without handles");
        close(fan);
        return;
    }
    OK(read(fan, buf, sizeof buf) == -1 && errno == EAGAIN);
    int at = open(dir, O_RDONLY | O_DIRECTORY), fd = openat(at, "made", O_CREAT | O_WRONLY, 0600);
    struct pollfd p = {fan, POLLIN, 0};
    OK(fd >= 0 && poll(&p, 1, 10000) == 1);
    ssize_t n = read(fan, buf, sizeof buf);
    OK(n > (ssize_t)sizeof *e && e->vers == FANOTIFY_METADATA_VERSION && (e->mask & FAN_CREATE) && e->fd == FAN_NOFD &&
       e->pid == getpid());
    OK(memmem(buf, (size_t)n, "made", 5) != NULL);
    OK(fanotify_mark(fan, FAN_MARK_REMOVE, FAN_CREATE, AT_FDCWD, dir) == 0 &&
       fanotify_mark(fan, 0, 0, AT_FDCWD, dir) == -1 && errno == EINVAL);
    unlinkat(at, "made", 0);
    close(fd);
    close(at);
    close(fan);
}

static void test_handles(void)
{
    struct {
        struct file_handle h;
        unsigned char room[128];
    } f = {.h.handle_bytes = 0};
    int mount_id;
    OK(name_to_handle_at(AT_FDCWD, "/", &f.h, &mount_id, 0) == -1 && (errno == EOVERFLOW || errno == EOPNOTSUPP));
    f.h.handle_bytes = 128;
    if (name_to_handle_at(AT_FDCWD, dir, &f.h, &mount_id, 0) != 0) {
        t_skip("a file system without handles");
        return;
    }
    int at = open(dir, O_RDONLY | O_DIRECTORY), fd = open_by_handle_at(at, &f.h, O_RDONLY | O_DIRECTORY);
    struct stat a, b;
    OK(fd >= 0 ? fstat(fd, &a) == 0 && fstat(at, &b) == 0 && a.st_ino == b.st_ino : errno == EPERM);
    f.h.handle_type ^= 0x55;
    OK(open_by_handle_at(at, &f.h, O_RDONLY) == -1);
    close(fd);
    close(at);
}

static int put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY);
    ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));
    close(fd);
    return n == (ssize_t)strlen(text);
}

/* As bubblewrap starts its sandbox: one call, every namespace; the child is the first process there. */
static void test_sandbox(void)
{
    char map[64];
    int go[2], st;
    pipe(go);
    uid_t uid = getuid();
    const unsigned long flags =
        CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWCGROUP;
    pid_t pid = (pid_t)syscall(SYS_clone, flags | SIGCHLD, NULL, NULL, NULL, NULL);
    if (pid == 0) {
        char c, name[65] = "";
        if (read(go[0], &c, 1) != 1)
            _exit(1);
        if (getpid() != 1 || getppid() != 0 || getuid() != 0)
            _exit(2);
        if (sethostname("inside", 6) != 0 || gethostname(name, 64) != 0 || strcmp(name, "inside") != 0)
            _exit(3);
        if (mount("proc", "/proc", "proc", 0, NULL) == 0 && (readlink("/proc/self", name, 64) != 1 || name[0] != '1'))
            _exit(4);
        pid_t grandchild = fork();
        if (grandchild == 0)
            _exit(getpid() == 2 && getppid() == 1 ? 6 : 7);
        _exit(waitpid(grandchild, &st, 0) == 2 && WEXITSTATUS(st) == 6 ? 5 : 8);
    }
    if (pid < 0) {
        t_skip("no user namespaces");
        return;
    }
    snprintf(map, sizeof map, "/proc/%d/uid_map", pid);
    char line[32];
    snprintf(line, sizeof line, "0 %u 1\n", uid);
    OK(put(map, line));
    write(go[1], "x", 1);
    OK(status_of(pid) == 5);
    OK(syscall(SYS_clone, CLONE_NEWUSER | CLONE_FS | SIGCHLD, NULL, NULL, NULL, NULL) == -1 && errno == EINVAL);
}

int main(void)
{
    if (!mkdtemp(dir))
        return 1;
    int st = in_child(new_mount);
    if (st == NO_MOUNTS)
        t_skip("no mount namespaces");
    else
        OK(st == 0);
    test_told();
    test_watch();
    test_handles();
    test_sandbox();
    char path[64];
    for (const char *const *n = (const char *const[]){"/a", "/b", "", NULL}; *n; n++) {
        snprintf(path, sizeof path, "%s%s", dir, *n);
        rmdir(path);
    }
    return t_done();
}
