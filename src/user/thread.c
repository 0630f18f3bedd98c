/* Guest threads: one host thread each, whose kernel thread id is the guest's. */
#include "base/check.h"
#include "base/log.h"
#include "base/os.h"
#include "user/process.h"
#include "user/ptrace.h"
#include "user/rseq.h"
#include "user/signal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/ptrace.h>
#include <sched.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define HOST_STACK (1u << 20) /* of a thread's C code: the translator and handlers; touched pages only cost memory */

UserThread *thread_new(UserProc *p, Vcpu *cpu)
{
    UserThread *t = malloc(sizeof *t);
    CHECK(t != NULL);
    memset(t, 0, offsetof(UserThread, path)); /* the paths, several pages, need no value */
    t->p = p;
    t->cpu = cpu;
    cpu->env = t;
    pthread_mutex_lock(&p->lock);
    t->next = p->threads;
    if (p->threads)
        p->threads->prev = t;
    p->threads = t;
    p->nthreads++;
    pthread_mutex_unlock(&p->lock);
    return t;
}

void thread_free(UserThread *t)
{
    free(t);
}

static void unlink_thread(UserThread *t)
{
    UserProc *p = t->p;
    pthread_mutex_lock(&p->lock);
    if (t->prev)
        t->prev->next = t->next;
    else
        p->threads = t->next;
    if (t->next)
        t->next->prev = t->prev;
    pthread_mutex_unlock(&p->lock);
}

/* The guest hears of a thread's end before the host's thread ends. */
unsigned threads_ended(UserProc *p, int tid[GONE_MAX])
{
    pthread_mutex_lock(&p->lock);
    unsigned n = p->ngone;
    memcpy(tid, p->gone, n * sizeof tid[0]);
    pthread_mutex_unlock(&p->lock);
    return n;
}

void threads_gone(UserProc *p)
{
    pthread_mutex_lock(&p->lock);
    while (p->ngone) {
        int tid = p->gone[--p->ngone];
        pthread_mutex_unlock(&p->lock);
        os_thread_gone(tid);
        pthread_mutex_lock(&p->lock);
    }
    pthread_mutex_unlock(&p->lock);
}

/* Under the lock: take those out of the list that the kernel has no more. Nobody waits: a thousand may end at once. */
static void forget_gone(UserProc *p)
{
    unsigned n = 0;
    for (unsigned k = 0; k < p->ngone; k++)
        if (os_thread_there(p->gone[k]))
            p->gone[n++] = p->gone[k];
    p->ngone = n;
}

/* The kernel gives ids out again: who begins with one is not the thread that ended with it. */
static void not_gone(UserThread *t)
{
    UserProc *p = t->p;
    pthread_mutex_lock(&p->lock);
    for (unsigned n = 0; n < p->ngone; n++)
        if (p->gone[n] == t->tid)
            p->gone[n--] = p->gone[--p->ngone];
    pthread_mutex_unlock(&p->lock);
}

void threads_settle(UserThread *t)
{
    engine_stop_background(t->p->engine);
    threads_gone(t->p);
}

/* It runs no more. Returns whether none of the others does. */
static bool is_last(UserThread *t)
{
    pthread_mutex_lock(&t->p->lock);
    bool last = ++t->p->nleaving == t->p->nthreads;
    pthread_mutex_unlock(&t->p->lock);
    return last;
}

/* It counts no more: before others hear of its end, so that the last one knows that it is. */
static void count_out(UserThread *t, bool leaving)
{
    UserProc *p = t->p;
    pthread_mutex_lock(&p->lock);
    if (p->ngone == GONE_MAX)
        forget_gone(p);
    p->nthreads--;
    p->nleaving -= leaving;
    if (t->tid > 0 && t->tid != p->pid && p->ngone < GONE_MAX) /* it has run; the first stays as long as the process */
        p->gone[p->ngone++] = t->tid;
    pthread_mutex_unlock(&p->lock);
}

/* --- robust mutexes ------------------------------------------------------------------------------------------------- */

#define ROBUST_MAX 2048 /* entries of a list that are looked at, as in the kernel: it may be a ring */
#define ROBUST_PI 1u    /* in an entry's pointer */

typedef struct RobustHead {
    uint64_t next, offset, pending;
} RobustHead;

/*
 * The thread that held the lock is gone: say so in its word, and wake one who waits. The kernel keeps who waits for a lock with
 * priority inheritance: it hands that over when the host's thread ends.
 */
static void owner_died(UserThread *t, uint64_t va, bool pi, bool pending)
{
    IrVal old, expect = { { 0 } }, new = { { 0 } };
    uint32_t word;
    if ((va & 3) || !guest_read(t->cpu, &word, va, sizeof word))
        return;
    if (pending && !pi && word == 0) /* unlocked, but it came not to waking */
        HOST3(t, SYS_futex, va, FUTEX_WAKE, 1);
    while ((word & FUTEX_TID_MASK) == (uint32_t)t->tid && !(pi && (word & FUTEX_WAITERS))) {
        expect.u64[0] = word;
        new.u64[0] = (word & FUTEX_WAITERS) | FUTEX_OWNER_DIED;
        if (!t->cpu->h.ir.world->mem.cas(&t->cpu->h.ir, va, 4, 0, &expect, &new, &old))
            return;
        if (old.u32[0] == word) {
            if (word & FUTEX_WAITERS)
                HOST3(t, SYS_futex, va, FUTEX_WAKE, 1);
            return;
        }
        word = old.u32[0];
    }
}

/*
 * The host's kernel would do this when the host's thread ends, which is later than the guest's: one who has joined it must
 * find its locks abandoned.
 */
static void abandon_locks(UserThread *t)
{
    RobustHead h;
    uint64_t head = 0, len = 0, e, next;
    const uint64_t arg[6] = { 0, (uintptr_t)&head, (uintptr_t)&len };
    if (host_call_out(t, SYS_get_robust_list, arg, &head, sizeof head) < 0 || !head || !guest_read(t->cpu, &h, head, sizeof h))
        return;
    uint64_t pending = h.pending & ~(uint64_t)ROBUST_PI;
    e = h.next;
    for (unsigned n = 0; (e & ~(uint64_t)ROBUST_PI) != head && n < ROBUST_MAX; n++, e = next) {
        uint64_t at = e & ~(uint64_t)ROBUST_PI;
        bool more = guest_read(t->cpu, &next, at, sizeof next); /* first: the word's owner may free the entry */
        if (at != pending)
            owner_died(t, at + h.offset, e & ROBUST_PI, false);
        if (!more)
            return;
    }
    if (pending)
        owner_died(t, pending + h.offset, h.pending & ROBUST_PI, true);
}

/* --- ends ----------------------------------------------------------------------------------------------------------- */

void thread_exit(UserThread *t)
{
    if (log_on(LOG_THREAD))
        log_line("thread %d ends", t->tid);
    if (is_last(t) && !t->vforked)
        engine_save(t->cpu);
    signal_block_all();
    ptrace_exiting(t, t->exit_status);
    count_out(t, true);
    if (!t->vforked)
        abandon_locks(t);
    rseq_thread_end(t);
    if (!t->vforked)
        tool_thread_over(t);
    if (t->clear_tid) {
        const uint32_t zero = 0;
        if (guest_write(t->cpu, t->clear_tid, &zero, sizeof zero))
            HOST3(t, SYS_futex, t->clear_tid, FUTEX_WAKE, 1);
    }
    ptrace_thread_end(t);
    unlink_thread(t);
    signal_thread_end(t);
    user_set_self(NULL);
}

void process_exit(UserThread *t, int status)
{
    if (log_on(LOG_THREAD))
        log_line("process %d ends: status %d", (int)getpid(), status);
    ptrace_exiting(t, status);
    if (!t->vforked)
        engine_save(t->cpu);
    user_stats(t->p);
    /* The child of a thread that forked has no main thread: the checker misses its stack. And it is a tracer itself. */
    if (!t->attached && !ptrace_on(t))
        os_leak_check();
    for (;;)
        HOST1(t, SYS_exit_group, status);
}

typedef struct Birth {
    UserThread *t;
    const CloneArgs *args;
    PtraceHeritage traced;
    int64_t tid;               /* or -errno */
    sem_t born;
} Birth;

/* Set what the kernel sets before a child runs. */
static void announce(UserThread *t, const CloneArgs *a)
{
    const uint32_t tid = (uint32_t)t->tid;
    if (a->flags & CLONE_PARENT_SETTID)
        guest_write(t->cpu, a->parent_tid, &tid, sizeof tid);
    if (a->flags & CLONE_CHILD_SETTID)
        guest_write(t->cpu, a->child_tid, &tid, sizeof tid);
}

/* Host threads share everything: what this one is to have for itself it takes apart. 0 or -errno. */
static int64_t separate(UserThread *t, const CloneArgs *a)
{
    const uint64_t shared = CLONE_FS | CLONE_FILES | CLONE_SYSVSEM;
    const uint64_t namespaces = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWCGROUP |
                                CLONE_NEWTIME;
    uint64_t apart = (~a->flags & shared) | (a->flags & namespaces);
    int64_t err = apart ? HOST1(t, SYS_unshare, apart) : 0;
    if (err || !(a->flags & CLONE_PIDFD))
        return err;
    int64_t fd = HOST2(t, SYS_pidfd_open, t->tid, O_EXCL /* PIDFD_THREAD, since Linux 6.9 */);
    const int32_t pidfd = (int32_t)fd;
    return fd < 0 ? fd : guest_write(t->cpu, a->pidfd, &pidfd, sizeof pidfd) ? 0 : -EFAULT;
}

static void thread_end(UserThread *t)
{
    Vcpu *cpu = t->cpu;
    thread_exit(t);
    vcpu_detach(cpu);
    vcpu_free(cpu);
    thread_free(t);
}

static void *thread_main(void *arg)
{
    Birth *b = arg;
    UserThread *t = b->t;
    t->tid = (int)syscall(SYS_gettid);
    not_gone(t);
    user_set_self(t);
    vcpu_attach(t->cpu);
    int64_t err = separate(t, b->args);
    if (!err)
        announce(t, b->args);
    else
        t->clear_tid = 0;
    b->tid = err ? err : t->tid;
    PtraceHeritage traced = b->traced;
    sem_post(&b->born); /* b is gone from here on */
    if (!err) {
        if (log_on(LOG_THREAD))
            log_line("thread %d begins", t->tid);
        signal_thread_start(t);
        ptrace_child_start(t, traced);
        vcpu_run(t->cpu);
    }
    thread_end(t);
    return NULL;
}

static int start_host_thread(Birth *b)
{
    pthread_attr_t attr;
    pthread_t id;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, HOST_STACK);
    int err = pthread_create(&id, &attr, thread_main, b);
    pthread_attr_destroy(&attr);
    return err;
}

static void setup_child(UserThread *child, const UserThread *parent, const CloneArgs *a)
{
    const UserAbi *abi = parent->p->abi;
    IrCpu *ir = &child->cpu->h.ir;
    child->mask = parent->mask;
    child->seccomp = parent->seccomp;
    abi->set_result(ir, 0);
    if (a->stack)
        abi->set_stack(ir, a->stack + a->stack_size);
    if (a->flags & CLONE_SETTLS)
        abi->set_tls(ir, a->tls);
    if (a->flags & CLONE_CHILD_CLEARTID)
        child->clear_tid = a->child_tid;
}

int64_t clone_thread(UserThread *t, const CloneArgs *a)
{
    const uint64_t needed = CLONE_VM | CLONE_SIGHAND | CLONE_THREAD;
    if ((a->flags & needed) != needed || (a->flags & (CLONE_NEWUSER | CLONE_NEWPID)) || a->set_tid)
        return -EINVAL;
    signal_block_all(); /* the child starts with everything blocked */
    Vcpu *cpu = vcpu_clone(t->cpu);
    UserThread *child = thread_new(t->p, cpu);
    child->attached = true;
    setup_child(child, t, a);
    Birth b = { .t = child, .args = a, .traced = ptrace_heritage(t) };
    sem_init(&b.born, 0, 0);
    int64_t ret;
    if (start_host_thread(&b) == 0) {
        while (sem_wait(&b.born) != 0)
            ;
        ret = b.tid; /* the child itself may be gone already */
    } else {
        count_out(child, false);
        unlink_thread(child);
        vcpu_free(cpu);
        thread_free(child);
        ret = -EAGAIN;
    }
    sem_destroy(&b.born);
    signal_keep_own(t);
    signal_unblock(t);
    if (ret > 0 && !(a->flags & CLONE_UNTRACED))
        ptrace_event(t, PTRACE_EVENT_CLONE, (uint64_t)ret);
    return ret;
}
