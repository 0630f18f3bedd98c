/*
 * ptrace between guest processes. The host's own ptrace carries it: a guest tracer's thread is the host tracer of the guest
 * tracee's thread, so that attachment, permission, wait, SIGCHLD, auto-attachment, EXITKILL and death are the kernel's. What
 * the kernel cannot know is where guest instructions end. Therefore
 *
 *   - a tracee stops itself, between two guest instructions, with its registers in its block (ptrace_table.h);
 *   - a tracer's wait hides every other stop of the host: it passes on what belongs to the translator (faults in translated
 *     code), and gives signals back to the thread as notes, which become signal stops at the next boundary.
 *
 * ptrace_stop.c is the tracee's side, ptrace.c the tracer's requests, ptrace_wait.c its wait. docs/ptrace.md argues all this.
 */
#ifndef USER_PTRACE_H
#define USER_PTRACE_H

#include "user/process.h"
#include "user/ptrace_table.h"

/* --- the tracee ------------------------------------------------------------------------------------------------------ */

/* Map the process's table; without it nothing can be traced. Then a block for each thread, which it takes itself. */
void ptrace_process_start(UserProc *p);
void ptrace_thread_start(UserThread *t);
void ptrace_thread_end(UserThread *t);
/* The table is a copy of the parent's. */
void ptrace_fork_child(UserThread *t);

static inline bool ptrace_on(const UserThread *t)
{
    return t->pt && __atomic_load_n(&t->pt->traced, __ATOMIC_RELAXED);
}

/* Whether there is something for ptrace_boundary to do. */
bool ptrace_pending(UserThread *t);
/* At an instruction boundary: code that others changed, stops that were asked for. */
void ptrace_boundary(UserThread *t);
/* Take notes out of the ring into t->pend. In the host's handler, or with every signal blocked. */
void ptrace_take_notes(UserThread *t);
/* A signal is about to be delivered: the tracer may change it. Returns whether there is still one. */
bool ptrace_signal(UserThread *t, siginfo_t *info);
/* One instruction was executed under PTRACE_SINGLESTEP. */
void ptrace_step(UserThread *t);
/* PTRACE_EVENT_* with its message, if its option is set. */
void ptrace_event(UserThread *t, unsigned event, uint64_t msg);
/* The thread ends with `status`: PTRACE_EVENT_EXIT, before anybody else can see that it is over. */
void ptrace_exiting(UserThread *t, int status);
/*
 * What a child has from the thread that makes it. Then on the child's own thread, before its first instruction: it gets a
 * block, and if the kernel attached it, it stops.
 */
typedef struct PtraceHeritage {
    bool traced;
    uint32_t options, seized;
} PtraceHeritage;
PtraceHeritage ptrace_heritage(const UserThread *parent);
void ptrace_child_start(UserThread *t, PtraceHeritage from);

/* A call begins: false when the tracer wants it left out. It may have changed c. */
bool ptrace_call_enter(UserThread *t, SysCall *c);
/*
 * It ended with ret (perhaps SYS_RESTART ...): returns what to go on with. `stops`: PtraceBlock.stops before it began; of a
 * call in which the tracer has seen nothing it does not see the end.
 */
int64_t ptrace_call_leave(UserThread *t, uint32_t stops, int64_t ret);
/* A filter has the tracer decide (SECCOMP_RET_TRACE with `data`). As seccomp_allows. */
bool ptrace_seccomp(UserThread *t, SysCall *c, uint32_t data, int64_t *ret);
/* Registers of the block, for stops that the host's kernel makes (vfork, exit). */
void ptrace_publish(UserThread *t);
/* The thread takes the default action of `sig` on the host; 0 when it has come back from a stop. */
void ptrace_raising(UserThread *t, int sig);

/* How the program was traced, for the dragoman that execve starts ("" when it was not), and the stops after it. */
void ptrace_exec_state(UserThread *t, char *buf, size_t len);
void ptrace_exec_start(UserThread *t, const char *state);

/* --- the tracer ------------------------------------------------------------------------------------------------------ */

/* A thread that this process traces or has seen stop. */
typedef struct Tracee {
    struct Tracee *next;
    int tid;
    int slot;           /* of its block, when last seen */
    uint64_t table;     /* address of its table; 0: not known */
    bool seized;
    bool begun;         /* it has had its first stop on the host */
    bool shown;         /* it has had a block: a guest program, not one that is starting */
    uint32_t group;     /* status of the group stop that the guest was shown; 0: none */
    siginfo_t held;     /* a stop signal that came before it had a block; si_signo 0: none */
} Tracee;

Tracee *tracee_find(UserThread *t, int tid, bool make);
void tracee_forget(UserThread *t, int tid);
void tracees_free(UserProc *p);

typedef enum StopKind { STOP_NONE, STOP_SELF, STOP_EVENT, STOP_GROUP } StopKind;

/* Copy of the thread's block; false when it has none. */
bool tracee_block(UserThread *t, Tracee *w, PtraceBlock *b);
/* Write `n` bytes at `offset` of it. */
bool tracee_put(UserThread *t, const Tracee *w, size_t offset, const void *src, size_t n);
#define TRACEE_PUT(t, w, member, value) \
    tracee_put(t, w, offsetof(PtraceBlock, member), &(__typeof__(((PtraceBlock *)0)->member)){ value }, \
               sizeof ((PtraceBlock *)0)->member)
/* Whether and how it is stopped for the guest to see. Fills b. */
StopKind tracee_stopped(UserThread *t, Tracee *w, PtraceBlock *b);
/* The host's ptrace. */
int64_t host_ptrace(UserThread *t, long request, int tid, uint64_t addr, uint64_t data);

/*
 * A wait of the host's gave `*status` for a stop of `tid`: false when the guest is not to see it; the thread goes on then.
 * Else *status is what the guest sees.
 */
bool tracee_translate(UserThread *t, int tid, uint32_t *status);

/* Make a thread that the host stopped somewhere stop at a boundary with `status`; the next wait shows it. */
void tracee_settle(UserThread *t, Tracee *w, uint32_t status);
/* The same, and wait for it. */
void tracee_settle_now(UserThread *t, Tracee *w, uint32_t status);

/* The table of another guest process: 0 when `pid` is none. */
uint64_t ptrace_table_of(UserThread *t, int pid, int *slot);
/* Copy from or to a process's memory; false unless all of it was copied. */
bool ptrace_read(UserThread *t, int pid, void *dst, uint64_t va, size_t n);
bool ptrace_write(UserThread *t, int pid, uint64_t va, const void *src, size_t n);
/* Guest code in [va, va + n) of process `pid` (of any tid in it) was written to. */
void ptrace_code_changed(UserThread *t, int pid, uint64_t va, uint64_t n);

#endif
