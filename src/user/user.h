/*
 * A Linux process of another instruction set: loads a program, answers its system calls, delivers its signals. cmd/ calls
 * user_run once a process. Guest-specific facts are in abi_X.c alone; everything that crosses to the host goes through
 * replay/nondet.h.
 */
#ifndef USER_USER_H
#define USER_USER_H

#include "base/status.h"
#include "engine/engine.h"

/* What is printed on stderr at the end: --stats. */
enum { USER_STATS = 1, USER_STATS_BRANCHES = 2, USER_STATS_JSON = 4 /* branches as JSON */ };

typedef struct UserConfig {
    const char *program;      /* path as the guest knows it: looked up in the sysroot, then on the host; may be a #! script */
    char **argv;              /* the guest's arguments, argv[0] included; NULL-terminated */
    char **envp;              /* the guest's whole environment; NULL-terminated */
    const char *argv0;        /* replaces argv[0]; NULL: as given */
    const char *sysroot;      /* absolute path of the tree that is searched first; NULL: none */
    int inherit;              /* descriptor of what the dragoman that started this one tells (inherit.h); -1: nothing */
    bool strace;              /* print system calls on stderr */
    bool binfmt;              /* the kernel starts dragoman for guest programs: execve need not, where there is no sysroot */
    bool secure;              /* the program has other rights than who started it: AT_SECURE, and the environment is not trusted */
    unsigned stats;           /* USER_STATS... */
    /*
     * Options with which dragoman starts itself again on execve of a guest program, in order, without the program's name:
     * {"--cpu=max", "-L", "/sysroot", ...}. -E and -U do not belong here: the environment is passed as the guest gives
     * it. NULL-terminated; NULL: none (the sysroot is then added alone).
     */
    const char *const *reexec;
    EngineConfig engine;      /* env, and kick_signal, are filled in by user_run */
} UserConfig;

/*
 * Run the program to its end. Returns its exit status (0..255); a fatal signal of the guest ends this process by the same
 * signal, and exit_group with several threads ends it at once, so that the call need not return. Returns -1 with `st` set
 * when the program cannot be started.
 */
int user_run(const UserConfig *cfg, Status *st);

/*
 * The guest of the program at `path` (after #! lines), without running it: so that cmd/ can choose the guest and the
 * default sysroot. NULL with `st` set when it is not a program of a known guest.
 *   sysroot  as in UserConfig; may be NULL
 */
const Guest *user_probe(const char *path, const char *sysroot, Status *st);

#endif
