/*
 * Core files, as the kernel would write one for the guest: its registers, its mappings, where core_pattern says. The host's
 * kernel sees a translator die; it must not write its own over ours, but it sets the bit in the exit status.
 */
#ifndef USER_CORE_H
#define USER_CORE_H

#include "user/process.h"

/* Signals whose default action writes a core file. */
#define CORE_SIGNALS (SIG_BIT(SIGQUIT) | SIG_BIT(SIGILL) | SIG_BIT(SIGTRAP) | SIG_BIT(SIGABRT) | SIG_BIT(SIGFPE) | \
                      SIG_BIT(SIGSEGV) | SIG_BIT(SIGBUS) | SIG_BIT(SIGXCPU) | SIG_BIT(SIGXFSZ) | SIG_BIT(SIGSYS))

/*
 * The process is about to die by `sig`, every signal blocked. Writes the core file when the signal, RLIMIT_CORE and
 * PR_SET_DUMPABLE ask for one, and makes sure that the host's kernel writes no other. `info` may be NULL.
 */
void core_dump(UserThread *t, int sig, const siginfo_t *info);

/* At an instruction boundary while another thread dumps: show registers, and wait for the end. */
void core_park(UserThread *t);

#endif
