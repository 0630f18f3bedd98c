/*
 * The options of `run`, from options.def.
 */
#ifndef CMD_OPTIONS_H
#define CMD_OPTIONS_H

#include "plugin/plugin.h"
#include "user/user.h"

#include <stdio.h>

typedef struct Options {
    UserConfig user;
    const char *cpu;          /* feature list for the guest */
    const char *cache;        /* --cache: directory or "off"; NULL: the default */
    char *skip;               /* list of passes to leave out, malloc'd; for engine.opt */
    char **set, **unset;      /* -E, -U in order; owned arrays of argv's strings */
    unsigned nset, nunset;
    const char **again;       /* user.reexec: owned array of owned strings; the first is --start-dir */
    unsigned nagain;
    Plugins *plugins;         /* --tool, --plugin; NULL: none */
    bool restarted;           /* by a dragoman, for an execve of the guest */
    bool help, version, help_tools;
} Options;

void options_init(Options *o);
void options_done(Options *o);
/* Parse options up to the first other argument; returns its index in argv, or -1 with `st` set. argv[0] is skipped. */
int options_parse(Options *o, int argc, char **argv, Status *st);
/*
 * The directory of the persistent cache, made absolute, and noted to be passed on to dragomans that this one starts, whose
 * environment may be another. NULL when there is to be none: --cache=off, or neither XDG_CACHE_HOME nor HOME is set.
 */
const char *options_cache(Options *o, char *buf, size_t len);
/* The table, for --help. */
void options_help(FILE *f);
/* The guest's environment: `base` changed by -E and -U. Owned array of borrowed strings. */
char **options_env(const Options *o, char **base);

#endif
