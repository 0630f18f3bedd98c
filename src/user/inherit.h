/*
 * What execve keeps that only dragoman knows: limits that it enforces itself, seccomp filters. The dragoman that is to
 * run the new program gets it as a file, in option --inherit.
 */
#ifndef USER_INHERIT_H
#define USER_INHERIT_H

#include "user/process.h"

/* A descriptor for the next dragoman, open over execve; -1 when there is nothing to tell; -errno below that. */
int inherit_make(UserThread *t);
/* Take over what descriptor `fd` tells and close it. False with `st` set when that is not what a dragoman wrote. */
bool inherit_take(UserProc *p, int fd, Status *st);

#endif
