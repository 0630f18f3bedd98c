/*
 * The host's doing: a missing file, a refused mmap, a damaged recording. A Status carries one line of text for a person;
 * functions unwind with `goto out`, and cmd/ alone prints it and chooses the exit status.
 */
#ifndef BASE_STATUS_H
#define BASE_STATUS_H

#include <stdbool.h>

typedef enum StatusCode {
    STATUS_OK = 0,
    STATUS_USAGE,     /* bad option or argument: exit status 2 */
    STATUS_NOT_FOUND, /* program not found: exit status 127 */
    STATUS_NOT_RUN,   /* found, but cannot be run (format, ISA, permission): exit status 126 */
    STATUS_HOST,      /* the host refused something: exit status 125 */
} StatusCode;

typedef struct Status {
    StatusCode code;
    char text[512]; /* one line, no newline; empty when code is STATUS_OK */
} Status;

/* Fill `st` and return false, so that `return status_set(...)` reads well. `st` may not be NULL. */
bool status_set(Status *st, StatusCode code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
