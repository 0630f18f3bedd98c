/*
 * io_uring. The rings are shared between the guest and the host's kernel as they are: a host that orders memory as strongly
 * as this one keeps what a guest's acquiring loads and releasing stores promise. What a submission holds that differs (paths, O_*
 * flags, struct epoll_event) is converted while io_uring_enter runs and put back before the guest sees it. So rings that the
 * kernel polls by itself (IORING_SETUP_SQPOLL) are refused; operations newer than Linux 6.12's are unknown.
 */
#ifndef USER_URING_H
#define USER_URING_H

#include "user/process.h"

/* The process ends. */
void uring_done(UserProc *p);
/* `at` is now a mapping of descriptor `fd` from `off` on: perhaps of a ring. */
void uring_note_map(UserProc *p, int fd, uint64_t off, uint64_t at);

#endif
