/*
 * seccomp: a guest's filters see the guest's calls, their numbers and its architecture, and run here, in user_syscall,
 * before anything else of a call.
 *
 * For each of them the host's kernel is given one too, which allows everything. So the kernel itself asks for no_new_privs
 * or CAP_SYS_ADMIN, keeps threads together (TSYNC), counts in /proc/PID/status, and makes listeners: a filter's
 * SECCOMP_RET_USER_NOTIF becomes a host call of a number that no call has, which the host's filter gives to the supervisor;
 * user/sys_ioctl.c shows it there as the guest's call.
 *
 * Over execve the kernel keeps its filters; the guest's travel in a file (user/inherit.h). A host program cannot be
 * executed then: nothing would run the filters.
 */
#ifndef USER_SECCOMP_H
#define USER_SECCOMP_H

#include "user/process.h"

#include <linux/filter.h>

/* A filter and those that were there before it. Filters stay for the life of the process: other threads may run them. */
typedef struct SeccompFilter SeccompFilter;
struct SeccompFilter {
    const SeccompFilter *older;
    SeccompFilter *next;   /* of all that the process has */
    uint32_t total; /* instructions of this and the older ones, and 4 for each, as the kernel counts */
    uint16_t n;
    struct sock_filter insn[];
};

/*
 * Ask the filters of `t`, which has some, about the call of `c` whose arguments are as the guest gave them.
 * Returns whether the call is to be made; else *ret is what the call returns (perhaps a SYS_* value).
 */
bool seccomp_allows(UserThread *t, const SysCall *c, int64_t *ret);
/* prctl(PR_SET_SECCOMP, mode, args). */
int64_t seccomp_prctl(UserThread *t, uint64_t mode, uint64_t args);

/* The filters of `t` as bytes, oldest first, for another dragoman; and back. Both keep the mode. */
bool seccomp_save(const UserThread *t, FILE *f);
bool seccomp_load(UserProc *p, FILE *f);
/* The process ends. */
void seccomp_done(UserProc *p);

/* Requests on a listener's descriptor: SECCOMP_IOCTL_NOTIF_*. */
int64_t seccomp_ioctl(UserThread *t, SysCall *c);
/* Whether a request is one of these. */
bool seccomp_is_ioctl(uint32_t request);

#endif
