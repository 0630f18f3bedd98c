/*
 * Descriptors of dragoman's own. The guest shares their table: it is given the lowest free one for each file that it opens, may count
 * on that, and may close what it never opened. So ours are numbered high, and the guest's close passes over them (user/sys_file.c).
 */
#ifndef BASE_OWN_FD_H
#define BASE_OWN_FD_H

#include <stdbool.h>
#include <stdio.h>

/* Give the open file `fd` a number out of the guest's way, to be closed on exec; `fd` itself where there is none. -1: -1. */
int own_fd_take(int fd);
/* From now on `fd`, as it is, is not the guest's to close; or it is again. */
void own_fd_mark(int fd);
void own_fd_unmark(int fd);
/* Close what own_fd_take returned. */
void own_fd_close(int fd);
bool own_fd_is(int fd);
/* The first of ours from number `fd` on; -1: none. */
int own_fd_from(unsigned fd);

/*
 * Where what dragoman itself says goes: stderr, until the guest, which may make another file of descriptor 2, begins; with own_err_keep,
 * which is called before that, what stderr is then.
 */
void own_err_keep(void);
int own_err(void);
/* The same as a stream, to be flushed by who uses it. */
FILE *own_err_stream(void);
/* A line for a person: "dragoman: ". */
void own_err_line(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
