/* Files and directories: flags and structures that differ between architectures, names, positions. */
#include "t.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/xattr.h>

int main(void)
{
    char dir[] = "/tmp/dragoman-files-XXXXXX", cwd[4096], link[100];
    OK(mkdtemp(dir) && chdir(dir) == 0 && getcwd(cwd, sizeof cwd) && !strcmp(cwd, dir));
    int fd = open("f", O_CREAT | O_EXCL | O_RDWR | O_APPEND, 0640);
    OK(fd >= 0 && fcntl(fd, F_GETFL) == (O_RDWR | O_APPEND | 0400000)); /* O_LARGEFILE is on */
    OK(write(fd, "0123456789", 10) == 10 && lseek(fd, 0, SEEK_CUR) == 10);
    struct stat st;
    umask(022);
    OK(fstat(fd, &st) == 0 && st.st_size == 10 && S_ISREG(st.st_mode) && st.st_nlink == 1 && st.st_uid == getuid() &&
       st.st_blksize > 0 && st.st_mtime > 1600000000);
    struct stat st2;
    OK(stat("f", &st2) == 0 && st2.st_ino == st.st_ino && st2.st_dev == st.st_dev && st2.st_ctim.tv_nsec == st.st_ctim.tv_nsec);
    OK(stat("/dev/null", &st2) == 0 && S_ISCHR(st2.st_mode) && st2.st_rdev == makedev(1, 3));
    OK(symlink("f", "l") == 0 && readlink("l", link, sizeof link) == 1 && link[0] == 'f');
    OK(lstat("l", &st2) == 0 && S_ISLNK(st2.st_mode) && stat("l", &st2) == 0 && st2.st_ino == st.st_ino);
    OK(open("l", O_RDONLY | O_NOFOLLOW) == -1 && errno == ELOOP);
    OK(open("f", O_RDONLY | O_DIRECTORY) == -1 && errno == ENOTDIR);
    int d = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    OK(d >= 0 && fcntl(d, F_GETFD) == FD_CLOEXEC && (fcntl(d, F_GETFL) & (O_DIRECTORY | O_NOFOLLOW)) == O_DIRECTORY);
    int t = open(".", O_TMPFILE | O_RDWR, 0600);
    OK(t >= 0 || errno == EOPNOTSUPP);
    OK(openat(d, "f", O_RDONLY) >= 0 && openat(d, "none", O_RDONLY) == -1 && errno == ENOENT);
    OK(link[0] && linkat(d, "f", d, "h", 0) == 0 && fstat(fd, &st) == 0 && st.st_nlink == 2);
    OK(renameat2(d, "h", d, "g", 1) == 0 && access("h", F_OK) == -1 && faccessat(d, "g", R_OK, 0) == 0);
    struct statx sx;
    OK(statx(d, "f", 0, STATX_BASIC_STATS, &sx) == 0 && sx.stx_size == 10 && sx.stx_ino == st.st_ino);
    struct statfs sf;
    OK(statfs(".", &sf) == 0 && sf.f_bsize > 0 && sf.f_namelen >= 100);
    DIR *dp = opendir(".");
    int names = 0;
    for (struct dirent *e; dp && (e = readdir(dp));)
        names += !strcmp(e->d_name, "f") || !strcmp(e->d_name, "g") || !strcmp(e->d_name, "l");
    OK(names == 3);
    char buf[20];
    struct iovec iov[2] = { { buf, 3 }, { buf + 10, 4 } };
    OK(preadv(fd, iov, 2, 1) == 7 && !memcmp(buf, "123", 3) && !memcmp(buf + 10, "4567", 4));
    OK(pwrite(fd, "x", 1, 0) == 1 && ftruncate(fd, 5) == 0 && lseek(fd, 0, SEEK_END) == 5);
    OK(lseek(fd, -1, SEEK_SET) == -1 && errno == EINVAL);
    OK(flock(fd, LOCK_EX | LOCK_NB) == 0);
    struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1 };
    OK(fcntl(fd, F_SETLK, &fl) == 0 && fcntl(fd, F_GETLK, &fl) == 0 && fl.l_type == F_UNLCK);
    struct timespec times[2] = { { 1000000000, 5 }, { 1234567890, 123456789 } };
    OK(utimensat(AT_FDCWD, "f", times, 0) == 0 && stat("f", &st) == 0 && st.st_mtim.tv_sec == 1234567890 &&
       st.st_mtim.tv_nsec == 123456789 && st.st_atim.tv_sec == 1000000000);
    OK(chmod("f", 0604) == 0 && stat("f", &st) == 0 && (st.st_mode & 07777) == 0604);
    OK(mkdir("sub", 0700) == 0 && mkdir("sub", 0700) == -1 && errno == EEXIST && rmdir("sub") == 0);
    OK(mkfifo("fifo", 0600) == 0 && stat("fifo", &st) == 0 && S_ISFIFO(st.st_mode));
    int src = open("f", O_RDONLY), dst = open("copy", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    OK(sendfile(dst, src, NULL, 100) == 5);
    loff_t off = 0;
    OK(copy_file_range(src, &off, dst, NULL, 3, 0) == 3 && off == 3);
    int dup = fcntl(fd, F_DUPFD_CLOEXEC, 50);
    OK(dup >= 50 && dup3(fd, 60, O_CLOEXEC) == 60 && syscall(SYS_close_range, 60, 60, 0) == 0 && fcntl(60, F_GETFD) == -1);
    OK(setxattr("f", "user.t", "v", 1, 0) == 0 ? getxattr("f", "user.t", buf, 20) == 1 && buf[0] == 'v' : errno == EOPNOTSUPP);
    OK(fcntl(fd, F_SETFL, O_NONBLOCK | O_DIRECT) == 0 ? fcntl(fd, F_GETFL) == (O_RDWR | O_NONBLOCK | O_DIRECT | 0400000)
                                                      : errno == EINVAL);
    OK(open((char *)8, O_RDONLY) == -1 && errno == EFAULT);
    void *volatile nowhere = (void *)8;
    OK(pread(src, nowhere, 1, 0) == -1 && errno == EFAULT);
    char longname[5000];
    memset(longname, 'a', sizeof longname - 1);
    longname[sizeof longname - 1] = 0;
    OK(open(longname, O_RDONLY) == -1 && errno == ENAMETOOLONG);
    OK(open("", O_RDONLY) == -1 && errno == ENOENT);
    struct {
        uint64_t flags, mode, resolve;
    } how = { O_RDONLY | O_NOFOLLOW, 0, 0 };
    OK(syscall(SYS_openat2, AT_FDCWD, "l", &how, sizeof how) == -1 && errno == ELOOP);
    OK(close(999) == -1 && errno == EBADF);
    static const char *const all[] = { "f", "g", "l", "fifo", "copy" };
    for (unsigned i = 0; i < 5; i++)
        unlink(all[i]);
    OK(fchdir(d) == 0 && chdir("/") == 0 && getcwd(cwd, sizeof cwd) && !strcmp(cwd, "/") && rmdir(dir) == 0);
    OK(syscall(1000) == -1 && errno == ENOSYS);
    return t_done();
}
