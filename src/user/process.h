/*
 * The guest process and its threads, as the files of this folder share them. One UserProc a process; one UserThread a
 * guest thread, owned by the host thread that runs it, whose kernel thread id is the guest's too.
 */
#ifndef USER_PROCESS_H
#define USER_PROCESS_H

#include "clock/clock.h"
#include "user/abi.h"
#include "user/elf.h"
#include "user/mm.h"
#include "user/syscall.h"
#include "user/user.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <time.h>

#define USER_NSIG 64
#define PRIVATE_FD 200 /* dragoman's own descriptors are numbered from here, out of the guest's way */

/* A guest's struct sigaction, as the kernel has it. */
typedef struct UserSigAction {
    uint64_t handler, flags, restorer, mask;
} UserSigAction;

typedef struct UserSigs {
    pthread_mutex_t lock;
    UserSigAction act[USER_NSIG + 1];
    uint64_t restorer;         /* the host's own return trampoline */
    uint64_t of_tools;         /* signals that the guest has no part in (Tools.signals) */
    bool tell_end;             /* somebody wants to know of the end by a signal */
} UserSigs;

/* What a thread may do: see seccomp.h. */
typedef struct Seccomp {
    const struct SeccompFilter *newest;
    uint32_t mode;             /* SECCOMP_MODE_* */
} Seccomp;

#define GONE_MAX 4096

typedef struct UserProc {
    const UserConfig *cfg;
    const UserAbi *abi;
    Engine *engine;
    Nondet *nondet;
    Clock clock;
    UserMm *mm;
    UserSigs *sigs;
    pthread_mutex_t lock;      /* of the members below */
    UserThread *threads;
    unsigned nthreads, nleaving; /* those that run no more are still counted: see thread_exit */
    int gone[GONE_MAX];        /* of those that ended: the kernel may still count them */
    unsigned ngone;
    int pid;
    int forked_by;             /* the guest process that is its parent, as long as that lives; -1: not known */
    bool chrooted;             /* the sysroot was left behind */
    int self_fd;               /* dragoman's own file, once chrooted; -1 */
    bool tagged_addr;          /* PR_SET_TAGGED_ADDR_CTRL: system calls take tagged pointers */
    bool landlocked;           /* execve must ask whether the program may be executed: see sys_sandbox.c */
    uint64_t persona;
    Seccomp seccomp;           /* the first thread's, inherited */
    unsigned first_mdwe;       /* in force once the program is mapped, inherited */
    struct rlimit limit_as, limit_data; /* not the host's: the translator lives in the same space; mm.c enforces them */
    char sysroot[PATH_MAX];    /* absolute, no slash at its end; "" when there is none */
    bool whole_sysroot;        /* it has a /usr/lib: see path.h */
    char cwd[PATH_MAX];        /* the guest's name of the directory, while relative paths are looked up in the sysroot; or "" */
    char exe[PATH_MAX];        /* host path of the program */
    char exe_guest[PATH_MAX];  /* the guest's name of it */
    ElfImage main, interp;     /* what was loaded; interp.entry 0 when there is none */
    uint64_t arg_start, arg_end, env_start, env_end, auxv_start, auxv_end, stack_start;
    uint64_t vdso;
    struct PtraceTable *trace; /* what a tracer reads; NULL: this process cannot be traced */
    struct Tracee *tracees;    /* that this process traces */
    bool dumping;              /* a thread writes a core file */
    bool wrote_mem;            /* it has opened a /proc/PID/mem for writing */
    bool made_proc;            /* it has opened a file of /proc that is made here */
    struct SeccompFilter *filters; /* seccomp.c */
    struct Uring *rings;       /* sys_uring.c */
    struct RseqSections *rseq; /* rseq.c */
} UserProc;

/* A call that may go on as restart_syscall: see sys_restart.c. */
typedef struct UserRestart {
    int64_t (*fn)(UserThread *t, struct UserRestart *r); /* NULL: none */
    uint64_t arg[3];
    struct timespec deadline;
} UserRestart;

/* The system call that a thread is in, for others to look at: /proc/PID/syscall. */
typedef struct UserNow {
    const SysCall *call;       /* as the guest made it; NULL: none */
    uint64_t sp, pc;
} UserNow;

struct UserThread {
    UserProc *p;
    Vcpu *cpu;
    int tid;
    bool attached;             /* this host thread was made for it */
    bool vforked;              /* it borrows its parent's vcpu and memory */
    UserThread *next, *prev;

    /* Signals: see signal.c. */
    volatile uint32_t stop;    /* something is in `pend`; tested on the way into a host call that may wait */
    volatile uint32_t npend;   /* written by the host's handler, or with every signal blocked */
    siginfo_t pend[8];
    uint64_t mask;             /* blocked by the guest */
    bool restore_mask;         /* a call waited under another mask: `saved_mask` is the one that a frame must show */
    uint64_t saved_mask;
    uint64_t sync_pend;        /* sent SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, which the host never blocks: blocked here */
    siginfo_t sync_info[5];
    uint64_t alt_sp, alt_size;
    uint32_t alt_flags;
    void *host_alt;            /* the host's signal stack, when it is ours */

    UserNow now;               /* the call being answered */
    int64_t restart;           /* SYS_* of the interrupted call that restart_pc is backed up to; 0: none */
    uint64_t restart_pc;
    UserRestart again;
    struct PtraceBlock *pt;    /* this thread's, in p->trace; NULL: none was free */

    struct {                   /* rseq.c */
        uint64_t area;         /* registered; 0: none */
        uint32_t len, calls;
        uint64_t seen;         /* descriptor that the area held last */
        const Restart *by;
        bool own_released;     /* the host's C library has no area for this thread any more */
    } rseq;

    void *core_regs;           /* registers for a core file, once it waits for its end */

    int exit_status;           /* of exit or exit_group */
    uint64_t clear_tid;        /* cleared and woken when the thread ends */
    Seccomp seccomp;           /* other threads change it, under p->lock (SECCOMP_FILTER_FLAG_TSYNC) */
    char path[3][PATH_MAX];    /* looked-up paths of the call being answered */
};

/* The thread that runs here; NULL in host threads that run no guest. Async-signal-safe. */
UserThread *user_self(void);
void user_set_self(UserThread *t);

/* stats.c: print what --stats asked for; the path of the file that is mapped at guest address pc, "" when there is none. */
void user_stats(UserProc *p);
void user_image_name(uint64_t pc, char *buf, size_t len);

static inline UserThread *user_thread(Vcpu *cpu)
{
    return cpu->env;
}

/* thread.c: a thread structure for `cpu`, in the process's list. */
UserThread *thread_new(UserProc *p, Vcpu *cpu);
void thread_free(UserThread *t);
/* The thread ends: clear_tid, list. */
void thread_exit(UserThread *t);
/* Those of which the kernel may not know yet that they have ended, into `tid`: how many. */
unsigned threads_ended(UserProc *p, int tid[GONE_MAX]);
/* Wait until the kernel counts no thread that has ended for the guest. */
void threads_gone(UserProc *p);
/* Before a call that the kernel refuses to a process of several threads: have it count none but the guest's. */
void threads_settle(UserThread *t);
/* End the process at once with `status`. */
_Noreturn void process_exit(UserThread *t, int status);

/* clone, clone3, fork and vfork after their arguments were decoded (thread.c, proc.c). */
typedef struct CloneArgs {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
} CloneArgs;
int64_t clone_thread(UserThread *t, const CloneArgs *a);
int64_t clone_process(UserThread *t, const CloneArgs *a);
/* rseq.c: what UserProc.rseq starts with. */
struct RseqSections *rseq_new(void);
void rseq_free(struct RseqSections *s);
/* vfork.c: a new process in the same memory. */
int64_t clone_sharing(UserThread *t, const CloneArgs *a);
/* proc.c: registers and identity of the child, in the child; a thread's number as the kernel writes it for clone. */
void become_child(UserThread *t, const CloneArgs *a);
void put_tid(UserThread *t, uint64_t va, int tid);

/* sys_proc.c: whether the thread has a capability (CAP_*) in effect. */
bool has_capability(UserThread *t, unsigned which);
struct utsname;
/* sys_proc.c: the version of Linux that the guest is shown. */
void guest_release(struct utsname *u);
/* user.c: let the kernel take p's arguments and environment for the process's own. */
void show_arguments(const UserProc *p);

#define CLONE_CLEAR_SIGHAND_FLAG UINT64_C(0x100000000)
#define CLONE_INTO_CGROUP_FLAG UINT64_C(0x200000000)
/* Flags that the kernel is not told of: they are about the guest's registers and memory. */
#define CLONE_HANDLED_HERE (CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID)

#endif
