/*
 * The files of /proc that are made here, each by a writer: from the host's own file, which it starts from, and from what
 * the guest is. procfs.c finds out which file is meant.
 */
#ifndef USER_PROCFS_FILES_H
#define USER_PROCFS_FILES_H

#include "user/process.h"

#include <stdio.h>

/*
 * Of whom a file speaks: this process, or another that runs a guest (procfs_other.c), whose structures are then copies and
 * whose memory is `mem`.
 */
typedef struct ProcView {
    UserThread *t;         /* who asks */
    const UserProc *p;
    int tid;               /* the thread, when it is one's file; else the process */
    int mem;               /* -1: this process */
    const MmRange *range;  /* its mappings, in order */
    size_t nranges;
} ProcView;

/* host: the host's file of that name, NULL when it has none. */
typedef void ProcWriter(const ProcView *v, FILE *f, FILE *host);

ProcWriter procfs_maps, procfs_smaps;                                              /* procfs_maps.c */
ProcWriter procfs_cmdline, procfs_environ, procfs_auxv, procfs_stat, procfs_status, procfs_limits, procfs_fdinfo;
ProcWriter procfs_syscall;
ProcWriter procfs_cpuinfo, procfs_arch, procfs_osrelease;                          /* procfs_files.c */

/* Whether `pid` runs a guest under a dragoman like this one; then fills *v, for procfs_other_close. */
bool procfs_other_open(UserThread *t, int pid, ProcView *v);
void procfs_other_close(ProcView *v);
/* Bytes of the memory that `v` is about; false when they cannot be read. */
bool procfs_read(const ProcView *v, uint64_t va, void *buf, size_t n);

/* What /proc says that a descriptor is, in to[len]. */
bool procfs_fd_link(UserThread *t, int fd, char *to, size_t len);

/* The private entry of the host's auxiliary vector that leads another dragoman to this one's UserProc. */
#define PROCFS_AUXV_TYPE 0x647261676fu

#endif
