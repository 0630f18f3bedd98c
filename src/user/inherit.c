#include "user/inherit.h"

#include "user/seccomp.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char magic[8] = "dragom1";

typedef struct Inherited {
    char magic[8];
    struct rlimit limit_as, limit_data;
    uint32_t landlocked, mdwe;
} Inherited;

static bool same_limit(const struct rlimit *a, int resource)
{
    struct rlimit host;
    return getrlimit((__rlimit_resource_t)resource, &host) == 0 && memcmp(a, &host, sizeof host) == 0;
}

static bool is_plain(const UserThread *t)
{
    const UserProc *p = t->p;
    return t->seccomp.mode == 0 && !mm_mdwe(p->mm) && !p->landlocked && same_limit(&p->limit_as, RLIMIT_AS) &&
           same_limit(&p->limit_data, RLIMIT_DATA);
}

static bool save(UserThread *t, int fd)
{
    Inherited h = { .limit_as = t->p->limit_as, .limit_data = t->p->limit_data, .landlocked = t->p->landlocked };
    h.mdwe = mm_mdwe(t->p->mm) & MM_MDWE_NO_INHERIT ? 0 : mm_mdwe(t->p->mm);
    memcpy(h.magic, magic, sizeof magic);
    int copy = dup(fd);
    FILE *f = copy < 0 ? NULL : fdopen(copy, "w");
    if (!f) {
        if (copy >= 0)
            close(copy);
        return false;
    }
    bool ok = fwrite(&h, sizeof h, 1, f) == 1 && seccomp_save(t, f);
    return fclose(f) == 0 && ok;
}

int inherit_make(UserThread *t)
{
    if (is_plain(t))
        return -1;
    int fd = memfd_create("dragoman", 0), high = fd < 0 ? -1 : fcntl(fd, F_DUPFD, PRIVATE_FD);
    if (high >= 0) {
        close(fd);
        fd = high;
    }
    if (fd >= 0 && save(t, fd))
        return fd;
    if (fd >= 0)
        close(fd);
    return -ENOMEM;
}

bool inherit_take(UserProc *p, int fd, Status *st)
{
    Inherited h;
    FILE *f = lseek(fd, 0, SEEK_SET) == 0 ? fdopen(fd, "r") : NULL;
    bool ok = f && fread(&h, sizeof h, 1, f) == 1 && memcmp(h.magic, magic, sizeof magic) == 0 && seccomp_load(p, f);
    if (f)
        fclose(f);
    if (!ok)
        return status_set(st, STATUS_USAGE, "--inherit: descriptor %d holds no state of dragoman", fd);
    p->limit_as = h.limit_as;
    p->limit_data = h.limit_data;
    p->landlocked = h.landlocked;
    p->first_mdwe = h.mdwe;
    return true;
}
