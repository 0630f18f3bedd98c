/* The initial stack: argument and environment strings, the auxiliary vector. */
#ifndef USER_STACK_H
#define USER_STACK_H

#include "user/process.h"

/*
 * Map the main stack and fill it in; p->main and p->interp are loaded. Sets the process's arg_start and so on.
 *   execfn  AT_EXECFN: the path that was executed
 * Returns the initial stack pointer, 0 with st set.
 */
uint64_t stack_build(UserProc *p, char **argv, char **envp, const char *execfn, Status *st);

#endif
