/*
 * A Debian tree of another architecture, made with apt and dpkg-deb in directories of its own: the machine's package
 * state is neither read nor written, except for its list of sources and their keys. Maintainer scripts do not run.
 *
 * Layout inside the tree, as Debian has it: var/lib/dpkg/status and info/NAME.list say what is unpacked, var/lib/apt and
 * var/cache/apt belong to apt. An interrupted operation is finished by the next one.
 */
#ifndef CMD_SYSROOT_APT_H
#define CMD_SYSROOT_APT_H

#include "base/status.h"

#include <stdbool.h>
#include <stdio.h>

typedef struct SysrootApt {
    char root[4096];  /* the tree, absolute */
    char arch[32];    /* Debian architecture */
    bool progress;    /* draw a progress line on stderr (it is a terminal) */
} SysrootApt;

/* Make the directories and links (merged /usr) that must be there before anything is unpacked. Keeps what exists. */
bool sysroot_prepare(SysrootApt *s, Status *st);
/* Open an existing tree: reads its architecture. */
bool sysroot_open(SysrootApt *s, const char *dir, Status *st);
/* Fetch the package lists (skipped when they are younger than a day) and then `npkgs` packages with dependencies; unpack. */
bool sysroot_install(SysrootApt *s, char **pkgs, int npkgs, Status *st);
/* Remove packages and those that depend on them; prints what it removes to `out`. */
bool sysroot_remove(SysrootApt *s, char **pkgs, int npkgs, FILE *out, Status *st);
/* Print "name version" of each unpacked package. */
bool sysroot_packages(const SysrootApt *s, FILE *out, Status *st);

#endif
