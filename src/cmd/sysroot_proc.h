/* Child processes, small files and the progress line of the sysroot command. */
#ifndef CMD_SYSROOT_PROC_H
#define CMD_SYSROOT_PROC_H

#include "base/status.h"

#include <stdbool.h>

/*
 * Run a program that reports on descriptor 3 in apt's status format; shows it as a progress line. Its own output is shown
 * only when it fails: then `st` gets its first error line.
 */
bool proc_run(char **argv, const char *what, bool progress, Status *st);
/* Run and return standard output, malloc'd and NUL-terminated, in *out. */
bool proc_capture(char **argv, char **out, Status *st);
/* Unpack the files of package `deb` under `root`, and write their names to the file `list`. */
bool proc_untar(const char *deb, const char *root, const char *list, Status *st);

bool file_read(const char *path, char **text, Status *st);
/* Write `text` to a new file and rename it over `path`: there is never half a file. */
bool file_replace(const char *path, const char *text, Status *st);
/* Copy of dpkg status text without the paragraph of one package; malloc'd. */
char *status_without(const char *text, const char *name);

void progress_show(bool on, double percent, const char *what);
void progress_end(bool on);

#endif
