/*
 * The commands of `dragoman COMMAND ...`: one file each, listed in main.c's table. Only this folder prints usage and
 * chooses exit statuses.
 */
#ifndef CMD_CMD_H
#define CMD_CMD_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Exit statuses of dragoman itself; otherwise the guest's own. Documented in --help and the manual page. */
enum {
    EXIT_USAGE = 2,       /* unknown option, missing or bad argument */
    EXIT_HOST = 125,      /* the host refused something, a download failed ... */
    EXIT_NOT_RUN = 126,   /* found, but cannot be run: not an ELF, wrong ISA, not permitted */
    EXIT_NOT_FOUND = 127, /* no such program */
};

/* argv[0] is the command's name. Returns the exit status. */
int cmd_sysroot(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_cache(int argc, char **argv);
int cmd_memtrace(int argc, char **argv);
int cmd_dev(int argc, char **argv);
int cmd_binfmt(int argc, char **argv);

/* Whether the kernel started this process for a guest's program, as `dragoman binfmt install` asked it to. */
bool binfmt_started(void);
/*
 * Run that program: argv is the kernel's, {interpreter, program, argv[0], argument...}; options come from $DRAGOMAN_OPTIONS,
 * unless the program has other rights than who started it. Returns the exit status.
 */
int binfmt_run(int argc, char **argv);
/* The rest of `run`, with options already parsed: argv[0] is the program. Returns the exit status. */
struct Options;
int run_program(struct Options *o, char **argv);

/* The table of commands, for --help. */
void cmd_list(FILE *f);
/* Exit status for a failure; cmd_fail prints its line as well. */
int cmd_exit_status(const Status *st);
int cmd_fail(const Status *st);

/*
 * Directory of the default sysroot for a Debian architecture ("arm64"): $XDG_DATA_HOME/dragoman/ARCH, else
 * ~/.local/share/dragoman/ARCH. Writes it to buf; false when neither variable is set or buf is too small.
 */
bool sysroot_default(const char *arch, char *buf, size_t len);

/* The same for the persistent cache: $XDG_CACHE_HOME/dragoman, else ~/.cache/dragoman. */
bool cache_default(char *buf, size_t len);

#endif
