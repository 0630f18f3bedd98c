/* The condition flags that a signal handler sees at a faulting access: for fault_flags.c and loop_flags.c. */
#ifndef FLAGS_SEEN_H
#define FLAGS_SEEN_H

#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <ucontext.h>

#define FLAGS (0xfull << 28)

static volatile uint64_t seen; /* at the last fault */
static sigjmp_buf away;        /* where execution goes on behind it */

static void on_fault(int sig, siginfo_t *info, void *uc)
{
    (void)sig;
    (void)info;
    seen = ((ucontext_t *)uc)->uc_mcontext.pstate & FLAGS;
    siglongjmp(away, 1);
}

static int catch_faults(void)
{
    struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    return sigaction(SIGSEGV, &sa, NULL);
}

#endif
