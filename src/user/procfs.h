/*
 * /proc as the guest should see it: files about the process itself that the host's kernel would fill with facts about
 * dragoman. Each is made when it is opened, in memory, and again when its reader goes back to the start.
 */
#ifndef USER_PROCFS_H
#define USER_PROCFS_H

#include "user/process.h"

/* A program: the host's path of it, and the name that guests know it by. */
typedef struct ProcExe {
    char host[PATH_MAX], guest[PATH_MAX];
} ProcExe;

/* Whether `path`, relative to `dir`, names the link to a guest's program: /proc/self/exe and its like, or another guest's. */
bool procfs_exe(UserThread *t, int dir, const char *path, ProcExe *out);
/* Open `path`, relative to `dir`, when it is one of ours: a host descriptor, or -errno. -ENXIO: not one of ours. `flags` are the host's. */
int64_t procfs_open(UserThread *t, int dir, const char *path, int flags);

/* `fd` is to be read from its start again, and this process has opened files of ours: if it is one, it is made anew. */
void procfs_rewound(UserThread *t, int fd);

/* `c` has written n bytes, and this process has opened a /proc/PID/mem: perhaps that was one, and they are code. */
void procfs_wrote(UserThread *t, const SysCall *c, int64_t n);

/* Take the translator's own thread out of `size` bytes at `va`, which getdents64 of `fd` has given; returns how many are left. */
size_t procfs_hide(UserThread *t, int fd, uint64_t va, size_t size);

#endif
