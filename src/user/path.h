/*
 * Which host path a guest's path means. The guest sees the sysroot laid over the host:
 *
 *   - an absolute path that exists in the sysroot is that one (symbolic links on the way are followed inside the
 *     sysroot, absolute ones from its root);
 *   - otherwise it is the host's path;
 *   - but a sysroot with a /usr/lib is a whole system: libraries and what belongs to a toolchain (/lib, /usr/lib, /usr/include,
 *     /usr/TRIPLET, /usr/local/lib ...) are then its own alone, so that host code is never mistaken for the guest's. Programs
 *     (/bin, /usr/bin ...) and data (/usr/share, /etc, other places) still come from the host when it lacks them;
 *   - a new entry goes where its directory is: on the host if that exists there, else in the sysroot;
 *   - /proc, /sys, /dev, /run, /tmp, /var/tmp, /home, /root, /mnt, /media and /srv are always the host's.
 *
 * Relative paths are the host's, except while the working directory is "/" or inside the sysroot: then they are looked up
 * as the absolute path that they stand for. Paths relative to a directory descriptor are the host's.
 */
#ifndef USER_PATH_H
#define USER_PATH_H

#include "user/process.h"

#include <fcntl.h>

/* How the last component is treated. */
enum {
    PATH_NOFOLLOW = 1, /* it may be a symbolic link: that is meant */
    PATH_NEW = 2,      /* it is to be made; it is not followed either */
    PATH_CREATE = 4,   /* followed, or made when it is not there: open with O_CREAT */
};

typedef struct PathEnv {
    const char *sysroot; /* "" for none; no slash at its end */
    const char *cwd;     /* the guest's name of the working directory when relative paths are looked up; else "" */
    bool whole;          /* the sysroot is a whole system */
    Nondet *nondet;
    int tid;
} PathEnv;

/* The host's path for `guest`, in out[PATH_MAX]. Returns 0, -ENAMETOOLONG or -ELOOP; existence is not an error here. */
int path_resolve(const PathEnv *env, const char *guest, unsigned how, char *out);

/* The same for a path argument of a call, at `va`, relative to `dir`. Also sends /proc/self/exe to the program. */
int64_t path_arg(UserThread *t, int dir, uint64_t va, unsigned how, char *out);
/* The same for a string. */
int64_t path_lookup(UserThread *t, int dir, const char *guest, unsigned how, char *out);
/* Copy a string argument: 0, -EFAULT or -ENAMETOOLONG. */
int64_t path_read(UserThread *t, uint64_t va, char *out);

/* The guest's name of a host path: the sysroot's prefix is dropped. Returns a pointer into `host`, or "/". */
const char *path_guest_name(const UserProc *p, const char *host);
/* After chdir: whether relative paths are to be looked up. Call with p->lock held, or before there are threads. */
void path_note_cwd(UserProc *p, int tid);

#endif
