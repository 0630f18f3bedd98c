/* What a path would run: an ELF program, after the #! lines of scripts. Shared by start-up and execve. */
#ifndef USER_PROGRAM_H
#define USER_PROGRAM_H

#include "user/path.h"

#define PROGRAM_MAX_SCRIPTS 5 /* scripts that name scripts, as the kernel allows */

typedef struct Program {
    int fd;                    /* the ELF file, open; -1 after program_close */
    char path[PATH_MAX];       /* the guest's name of it, as it was named */
    char host[PATH_MAX];       /* host's path */
    ElfInfo elf;
    bool script;
    char **argv;               /* rewritten for scripts: interpreter, its argument, script, the rest; malloc'd, NULL-terminated */
    char *text[PROGRAM_MAX_SCRIPTS + 1]; /* strings that argv points to */
    unsigned ntext;
    int err;                   /* errno for execve when it cannot run */
} Program;

/*
 * Find and open the program.
 *   argv   the arguments given; kept (not copied) except for scripts, may be NULL when only the kind is wanted
 * Returns false with st and prog->err set.
 */
bool program_find(const PathEnv *env, const char *path, char **argv, Program *prog, Status *st);
void program_close(Program *prog);

#endif
