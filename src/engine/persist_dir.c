/* The files in the cache's directory: one replaced, what it lacks noted in it, the oldest removed. See persist.h. */
#include "engine/persist.h"

#include "base/check.h"
#include "base/os.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define STALE_SECONDS 3600 /* temporary files older than this were left behind */

/* All bytes but the zeros at the end, which are left to the file system. */
static bool write_all(int fd, const void *file)
{
    const PersistFile *f = file;
    size_t n = f->code_at + f->h->code_len;

    for (size_t at = 0; at < n;) {
        ssize_t got = write(fd, f->map + at, n - at);
        if (got < 0 && errno != EINTR)
            return false;
        at += got > 0 ? (size_t)got : 0;
    }
    return ftruncate(fd, (off_t)(f->code_at + f->code_room)) == 0;
}

static bool write_missed(int fd, const void *missed)
{
    return pwrite(fd, missed, sizeof(uint32_t), offsetof(PersistHeader, missed)) == sizeof(uint32_t);
}

/* The guest may have set a limit to the size of files (RLIMIT_FSIZE): its signal must not reach the guest. */
static bool write_quietly(bool (*write_it)(int fd, const void *what), int fd, const void *what)
{
    sigset_t set, old;
    struct timespec now = {0, 0};

    sigemptyset(&set);
    sigaddset(&set, SIGXFSZ);
    pthread_sigmask(SIG_BLOCK, &set, &old);
    bool ok = write_it(fd, what);
    if (!ok && !sigismember(&old, SIGXFSZ))
        sigtimedwait(&set, NULL, &now);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return ok;
}

bool persist_replace(const Persist *p, const char *path, const PersistFile *f)
{
    char temp[PERSIST_PATH_MAX];

    if (snprintf(temp, sizeof temp, "%s/.new-%d-%d", p->dir, (int)getpid(), os_tid()) >= (int)sizeof temp)
        return false;
    int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 && errno == EEXIST && unlink(temp) == 0)
        fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return false;
    bool ok = write_quietly(write_all, fd, f);
    ok = close(fd) == 0 && ok && rename(temp, path) == 0;
    if (!ok)
        unlink(temp);
    return ok;
}

uint32_t persist_missed(const char *path, uint32_t more)
{
    struct stat sb;
    uint32_t was, missed = 0;
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    if (fd < 0)
        return 0;
    if (fstat(fd, &sb) == 0 && S_ISREG(sb.st_mode) && persist_own(&sb) && sb.st_size >= (off_t)sizeof(PersistHeader) &&
        pread(fd, &was, sizeof was, offsetof(PersistHeader, missed)) == sizeof was) {
        missed = !more ? 0 : was > UINT32_MAX - more ? UINT32_MAX : was + more;
        if (missed != was)
            write_quietly(write_missed, fd, &missed); /* if it is not written, it is missed once more */
    }
    close(fd);
    return missed;
}

typedef struct Victim {
    char name[48];
    int64_t time;
    uint64_t size;
} Victim;

static int by_time(const void *a, const void *b)
{
    int64_t x = ((const Victim *)a)->time, y = ((const Victim *)b)->time;

    return x < y ? -1 : x > y;
}

/* Look at one directory entry: add it to the list, or remove what a killed writer left. */
static void consider(int dir, const char *name, Victim **v, size_t *n, uint64_t *total)
{
    struct stat sb;

    if (fstatat(dir, name, &sb, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(sb.st_mode))
        return;
    if (strncmp(name, ".new-", 5) == 0 && time(NULL) - sb.st_mtime > STALE_SECONDS)
        unlinkat(dir, name, 0);
    if (!persist_is_name(name))
        return;
    if ((*n & (*n - 1)) == 0) {
        *v = realloc(*v, (*n ? 2 * *n : 1) * sizeof **v);
        CHECK(*v != NULL);
    }
    Victim *x = &(*v)[(*n)++];
    snprintf(x->name, sizeof x->name, "%.40s", name);
    x->time = (int64_t)sb.st_mtim.tv_sec * 1000000000 + sb.st_mtim.tv_nsec;
    x->size = (uint64_t)sb.st_blocks * 512;
    *total += x->size;
}

/* Remove the files that were used longest ago until all together are within the limit. */
void persist_evict(const Persist *p)
{
    Victim *v = NULL;
    size_t n = 0;
    uint64_t total = 0;
    DIR *d = opendir(p->dir);

    if (!d)
        return;
    for (struct dirent *de; (de = readdir(d)) != NULL;)
        consider(dirfd(d), de->d_name, &v, &n, &total);
    if (total > p->limit) {
        qsort(v, n, sizeof *v, by_time);
        for (size_t i = 0; i < n && total > p->limit - p->limit / 8; i++) {
            if (unlinkat(dirfd(d), v[i].name, 0) == 0)
                total -= v[i].size;
        }
    }
    free(v);
    closedir(d);
}
