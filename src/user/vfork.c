/*
 * New processes that share memory: vfork, posix_spawn, clone with CLONE_VM.
 *
 * The child runs on a host thread's data while that thread waits in the kernel (CLONE_VFORK): it has structures of its own
 * and a C stack of its own, borrows the vcpu, and the thread finds its registers again from a copy. So what the child
 * writes is seen by the parent, as posix_spawn in the guest's C library expects. When the guest's parent is not to wait, a
 * host thread made for the purpose does, with a vcpu of its own for the child.
 */
#include "base/check.h"
#include "base/os.h"
#include "user/process.h"
#include "user/ptrace.h"
#include "user/rseq.h"
#include "user/signal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ptrace.h>
#include <sched.h>
#include <semaphore.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define VFORK_STACK (1u << 20)
#define PARENT_STACK (256u << 10) /* of the thread that waits for a child in its parent's place */

/* The other name of the C library's clone(2): the thread sanitizer takes what is called clone for a fork, memory and all. */
extern int __clone(int (*fn)(void *), void *stack, int flags, void *arg, ...);

/* What a parent that does not wait for the end waits for. */
typedef struct Birth {
    sem_t sem;
    int64_t tid;           /* or -errno */
    int pidfd;
} Birth;

typedef struct Vfork {
    UserThread *child;
    CloneArgs args;
    PtraceHeritage traced;
    int id;                /* the child's pidfd, or else its tid: written by the kernel before the child runs */
    Birth *birth;          /* gone once announced; NULL: nobody waits for that */
} Vfork;

static void announce(Vfork *v, int64_t tid)
{
    Birth *b = v->birth;
    v->birth = NULL;
    if (!b)
        return;
    b->pidfd = v->args.flags & CLONE_PIDFD ? v->id : -1;
    b->tid = tid;
    sem_post(&b->sem);
}

/* CLONE_INTO_CGROUP, which clone(2) does not know: the child goes there itself before it does anything else. */
static void enter_cgroup(UserThread *t, const CloneArgs *a)
{
    int64_t fd = HOST4(t, SYS_openat, a->cgroup, (uintptr_t)"cgroup.procs", O_WRONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return;
    HOST3(t, SYS_write, fd, (uintptr_t)"0", 1);
    HOST1(t, SYS_close, fd);
}

static int vfork_child(void *arg)
{
    Vfork *v = arg;
    UserThread *t = v->child;
    const CloneArgs *a = &v->args;
    engine_block_end(t->cpu);
    user_set_self(t);
    t->cpu->env = t;
    rseq_borrow(t->cpu);
    become_child(t, a);
    t->p->abi->set_result(&t->cpu->h.ir, 0);
    if (a->flags & CLONE_CLEAR_SIGHAND_FLAG)
        sigs_reset(t->p->sigs);
    if (a->flags & CLONE_INTO_CGROUP_FLAG)
        enter_cgroup(t, a);
    const PtraceHeritage traced = v->traced;
    announce(v, a->flags & CLONE_PIDFD ? t->tid : v->id);
    signal_unblock(t);
    ptrace_child_start(t, traced);
    vcpu_run(t->cpu);
    int status = t->exit_status;
    thread_exit(t);
    engine_block_begin(t->cpu);
    _exit(status);
}

/* What a new process has from the thread that made it. */
static void inherit(UserThread *to, const UserThread *from)
{
    to->mask = from->mask;
    to->seccomp = from->seccomp;
    to->alt_sp = from->alt_sp;
    to->alt_size = from->alt_size;
    to->alt_flags = from->alt_flags;
}

static UserThread *child_structures(UserThread *t)
{
    UserProc *p = malloc(sizeof *p);
    CHECK(p != NULL);
    pthread_mutex_lock(&t->p->lock); /* others may come and go */
    *p = *t->p;
    pthread_mutex_unlock(&t->p->lock);
    pthread_mutex_init(&p->lock, NULL);
    p->sigs = sigs_copy(t->p->sigs);
    p->threads = NULL;
    p->nthreads = p->nleaving = p->ngone = 0;
    p->tracees = NULL;
    UserThread *child = thread_new(p, t->cpu);
    t->cpu->env = t;
    inherit(child, t);
    child->vforked = true;
    return child;
}

/*
 * What the child's run changes of a vcpu; not exit_request, which other threads set at any time, nor the cells of tools: they go on
 * with what the child did.
 */
typedef struct Saved {
    char before[offsetof(HostCpu, exit_request)];
    char state[HOST_STATE_MAX];
} Saved;

static void save(Saved *to, const Vcpu *cpu)
{
    memcpy(to->before, &cpu->h, sizeof to->before);
    memcpy(to->state, cpu->h.state, vcpu_state_size(cpu));
}

static void restore(Vcpu *cpu, const Saved *from)
{
    memcpy(&cpu->h, from->before, sizeof from->before);
    memcpy(cpu->h.state, from->state, vcpu_state_size(cpu));
}

/* Make the child and wait until it has ended or executed a program. Every signal is blocked. Returns its pid or -errno. */
static int64_t run_child(UserThread *t, Vfork *v)
{
    char *stack = os_alloc(VFORK_STACK);
    if (!stack)
        return -ENOMEM;
    const CloneArgs *a = &v->args;
    Saved saved;
    save(&saved, t->cpu);
    UserThread *child = v->child = child_structures(t);
    uint64_t passed = a->flags & ~(uint64_t)(CLONE_HANDLED_HERE | CLONE_CLEAR_SIGHAND_FLAG | CLONE_INTO_CGROUP_FLAG | CLONE_SIGHAND);
    passed |= CLONE_VM | CLONE_VFORK | (a->flags & CLONE_PIDFD ? 0 : CLONE_PARENT_SETTID);
    bool step = t->cpu->step;
    ptrace_publish(t); /* the kernel stops it in the middle of this */
    engine_block_begin(t->cpu);
    int pid = __clone(vfork_child, stack + VFORK_STACK, (int)(passed | a->exit_signal), v, &v->id);
    int64_t ret = pid < 0 ? -errno : pid;
    engine_block_end(t->cpu);
    restore(t->cpu, &saved);
    t->cpu->h.returns = NULL; /* the child has used that stack */
    t->cpu->env = t;
    t->cpu->step = step;
    rseq_return(t);
    user_set_self(t);
    engine_kick(t->cpu); /* the child has taken a request made meanwhile for its own */
    sigs_free(child->p->sigs);
    free(child->p);
    thread_free(child);
    os_free(stack, VFORK_STACK);
    return ret;
}

/* --- without CLONE_VFORK ----------------------------------------------------------------------------------------------- */

typedef struct Nurse {
    Vfork v;
    UserThread *t;         /* stands for the parent; in no list, since it is no guest thread */
} Nurse;

static void nurse_free(Nurse *n)
{
    vcpu_free(n->t->cpu);
    thread_free(n->t);
    free(n);
}

static void *nurse_main(void *arg)
{
    Nurse *n = arg;
    UserThread *t = n->t;
    t->tid = (int)syscall(SYS_gettid);
    user_set_self(t);
    vcpu_attach(t->cpu);
    announce(&n->v, run_child(t, &n->v)); /* it failed, unless the child has announced itself */
    user_set_self(NULL);
    vcpu_detach(t->cpu);
    nurse_free(n);
    return NULL;
}

static Nurse *nurse_new(UserThread *t, const CloneArgs *a, Birth *b)
{
    Nurse *n = calloc(1, sizeof *n);
    UserThread *stand_in = calloc(1, sizeof *stand_in);
    CHECK(n != NULL && stand_in != NULL);
    stand_in->p = t->p;
    stand_in->cpu = vcpu_clone(t->cpu);
    stand_in->cpu->env = stand_in;
    inherit(stand_in, t);
    n->t = stand_in;
    n->v = (Vfork){ .args = *a, .traced = ptrace_heritage(t), .birth = b };
    return n;
}

static int64_t start_nurse(Nurse *n)
{
    pthread_attr_t attr;
    pthread_t id;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, PARENT_STACK);
    int err = pthread_create(&id, &attr, nurse_main, n);
    pthread_attr_destroy(&attr);
    if (err)
        nurse_free(n);
    return -err;
}

/* The child runs beside its parent. */
static int64_t run_beside(UserThread *t, const CloneArgs *a, int *pidfd)
{
    Birth b = { .tid = 0 };
    sem_init(&b.sem, 0, 0);
    int64_t ret = start_nurse(nurse_new(t, a, &b));
    if (ret == 0) {
        while (sem_wait(&b.sem) != 0)
            ;
        ret = b.tid;
        *pidfd = b.pidfd;
    }
    sem_destroy(&b.sem);
    signal_keep_own(t);
    return ret;
}

int64_t clone_sharing(UserThread *t, const CloneArgs *a)
{
    signal_block_all();
    if (t->npend)
        return SYS_AGAIN;
    Vfork v = { .args = *a, .traced = ptrace_heritage(t) };
    int64_t ret = a->flags & CLONE_VFORK ? run_child(t, &v) : run_beside(t, a, &v.id);
    if (ret > 0 && (a->flags & CLONE_PARENT_SETTID))
        put_tid(t, a->parent_tid, (int)ret);
    if (ret > 0 && (a->flags & CLONE_PIDFD))
        guest_write(t->cpu, a->pidfd, &v.id, sizeof v.id);
    signal_unblock(t);
    if (ret > 0 && !(a->flags & (CLONE_VFORK | CLONE_UNTRACED))) /* the kernel makes the other kind of event */
        ptrace_event(t, a->exit_signal != SIGCHLD ? PTRACE_EVENT_CLONE : PTRACE_EVENT_FORK, (uint64_t)ret);
    return ret;
}
