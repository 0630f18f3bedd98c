#include "user/seccomp.h"

#include "base/check.h"
#include "user/cbpf.h"
#include "user/ptrace.h"
#include "user/signal.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FILTERS_MAX 32768u /* the kernel's limit of SeccompFilter.total */
#define FILTER_COST 4u
#define SI_SECCOMP 1       /* si_code SYS_SECCOMP */

/* Host calls of these numbers, NOTIFY_NR + the guest's, are for a listener's eyes; nothing else makes them. */
#define NOTIFY_NR 0x3f000000u
#define NOTIFY_END (NOTIFY_NR + 0x1000u)
#define NOTIFY_CONTINUE INT64_C(0x647261676f6d616e) /* what such a call returns when the supervisor says: make it */

#define FLAG_WAIT_KILLABLE_RECV (1u << 5)
#define FLAGS_ALL (SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_SPEC_ALLOW | \
                   SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_TSYNC_ESRCH | FLAG_WAIT_KILLABLE_RECV)

/* --- what a filter says ------------------------------------------------------------------------------------------- */

/* The newest filter's word wins among equals; else the action with the least signed value. */
static uint32_t run_filters(const SeccompFilter *f, const struct seccomp_data *d)
{
    uint32_t best = SECCOMP_RET_ALLOW;
    for (; f; f = f->older) {
        uint32_t r = cbpf_run(f->insn, d, sizeof *d);
        if ((int32_t)(r & SECCOMP_RET_ACTION_FULL) < (int32_t)(best & SECCOMP_RET_ACTION_FULL))
            best = r;
    }
    return best;
}

static siginfo_t violation(UserThread *t, const SysCall *c, uint32_t data)
{
    siginfo_t info;
    memset(&info, 0, sizeof info);
    info.si_signo = SIGSYS;
    info.si_code = SI_SECCOMP;
    info.si_errno = (int)data;
    info.si_call_addr = (void *)(uintptr_t)t->cpu->h.ir.pc;
    info.si_syscall = (int)c->nr;
    info.si_arch = t->p->abi->audit_arch;
    return info;
}

/* The process ends by `sig`, or this thread alone when it has others and `whole` is not asked for. */
static int64_t end_by(UserThread *t, int sig, bool whole)
{
    pthread_mutex_lock(&t->p->lock);
    bool last = t->p->nthreads == 1;
    pthread_mutex_unlock(&t->p->lock);
    if (!whole && !last)
        return SYS_EXIT;
    signal_block_all();
    const siginfo_t info = { .si_signo = sig, .si_code = SI_KERNEL };
    signal_default(t, sig, &info);
    return SYS_EXIT;
}

/* Wait for what the supervisor says. Returns whether it says: make the call. */
static bool ask_supervisor(UserThread *t, const SysCall *c, int64_t *ret)
{
    engine_block_begin(t->cpu);
    *ret = t->p->nondet->ops->syscall(t->p->nondet, t->tid, &t->stop, (long)(NOTIFY_NR + c->nr), c->arg, NULL, 0);
    engine_block_end(t->cpu);
    return *ret == NOTIFY_CONTINUE;
}

/* `traced`: the tracer has been asked, and what it made of the call is looked at again, as seccomp(2) says. */
static bool filters_allow(UserThread *t, SysCall *c, bool traced, int64_t *ret)
{
    struct seccomp_data d = { .nr = (int)c->nr, .arch = t->p->abi->audit_arch, .instruction_pointer = t->cpu->h.ir.pc };
    memcpy(d.args, c->arg, sizeof d.args);
    uint32_t word = run_filters(t->seccomp.newest, &d), data = word & SECCOMP_RET_DATA;
    siginfo_t info;
    switch (word & SECCOMP_RET_ACTION_FULL) {
    case SECCOMP_RET_ALLOW:
    case SECCOMP_RET_LOG:
        return true;
    case SECCOMP_RET_ERRNO:
        *ret = -(int64_t)(data < 4095 ? data : 4095);
        return false;
    case SECCOMP_RET_TRAP:
        info = violation(t, c, data);
        signal_force(t, &info);
        *ret = SYS_NORETURN;
        return false;
    case SECCOMP_RET_TRACE:
        return traced || (ptrace_seccomp(t, c, data, ret) && filters_allow(t, c, true, ret));
    case SECCOMP_RET_USER_NOTIF:
        return c->nr < NOTIFY_END - NOTIFY_NR && ask_supervisor(t, c, ret);
    default:
        *ret = end_by(t, SIGSYS, (word & SECCOMP_RET_ACTION_FULL) != SECCOMP_RET_KILL_THREAD);
        return false;
    }
}

bool seccomp_allows(UserThread *t, SysCall *c, int64_t *ret)
{
    if (t->seccomp.mode == SECCOMP_MODE_FILTER)
        return filters_allow(t, c, false, ret);
    switch (c->d->host) { /* strict: these alone */
    case SYS_read: case SYS_write: case SYS_exit: case SYS_rt_sigreturn:
        return true;
    default:
        *ret = end_by(t, SIGKILL, false);
        return false;
    }
}

/* --- installing --------------------------------------------------------------------------------------------------- */

/* A filter of `n` instructions on top of `older`; NULL when there are too many. */
static SeccompFilter *filter_new(const SeccompFilter *older, unsigned n)
{
    uint32_t had = older ? older->total : 0;
    if (had + n + FILTER_COST > FILTERS_MAX)
        return NULL;
    SeccompFilter *f = malloc(sizeof *f + n * sizeof f->insn[0]);
    CHECK(f != NULL);
    f->older = older;
    f->total = had + n + FILTER_COST;
    f->n = (uint16_t)n;
    return f;
}

static int64_t read_filter(UserThread *t, uint64_t va, SeccompFilter **out)
{
    struct {
        uint16_t len;
        uint64_t insn;
    } prog;
    if (!guest_read(t->cpu, &prog, va, sizeof prog))
        return -EFAULT;
    if (prog.len == 0 || prog.len > CBPF_MAX_INSNS)
        return -EINVAL;
    SeccompFilter *f = filter_new(t->seccomp.newest, prog.len);
    if (!f)
        return -ENOMEM;
    int64_t err = !guest_read(t->cpu, f->insn, prog.insn, prog.len * sizeof f->insn[0]) ? -EFAULT :
                  !cbpf_valid(f->insn, f->n, sizeof(struct seccomp_data)) ? -EINVAL : 0;
    if (err)
        free(f);
    else
        *out = f;
    return err;
}

/* Keep a filter that is in force from now on. */
static void keep(UserProc *p, SeccompFilter *f)
{
    f->next = p->filters;
    p->filters = f;
}

void seccomp_done(UserProc *p)
{
    while (p->filters) {
        SeccompFilter *f = p->filters;
        p->filters = f->next;
        free(f);
    }
}

/* The host's own filter: everything is allowed; what a listener is to see goes to it. */
static int64_t host_filter(UserThread *t, uint64_t flags)
{
    struct sock_filter insn[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, NOTIFY_NR, 0, 2),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, NOTIFY_END, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    if (!(flags & SECCOMP_FILTER_FLAG_NEW_LISTENER))
        insn[3].k = SECCOMP_RET_ALLOW;
    const struct sock_fprog prog = { sizeof insn / sizeof insn[0], insn };
    return HOST3(t, SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, (uintptr_t)&prog);
}

static void share_filters(UserThread *t)
{
    for (UserThread *o = t->p->threads; o; o = o->next) { /* filters first: a mode without any would find none */
        o->seccomp.newest = t->seccomp.newest;
        o->seccomp.mode = t->seccomp.mode;
    }
}

static int64_t set_filter(UserThread *t, uint64_t flags, uint64_t va)
{
    SeccompFilter *f;
    if (flags & ~(uint64_t)FLAGS_ALL)
        return -EINVAL;
    if ((flags & SECCOMP_FILTER_FLAG_TSYNC) && (flags & SECCOMP_FILTER_FLAG_NEW_LISTENER) &&
        !(flags & SECCOMP_FILTER_FLAG_TSYNC_ESRCH))
        return -EINVAL;
    if ((flags & FLAG_WAIT_KILLABLE_RECV) && !(flags & SECCOMP_FILTER_FLAG_NEW_LISTENER))
        return -EINVAL;
    int64_t err = read_filter(t, va, &f);
    if (err)
        return err;
    if (flags & SECCOMP_FILTER_FLAG_TSYNC)
        threads_settle(t); /* the kernel would take others for threads that go their own way */
    pthread_mutex_lock(&t->p->lock);
    int64_t ret = t->seccomp.mode == SECCOMP_MODE_STRICT ? -EINVAL : host_filter(t, flags);
    bool listens = flags & SECCOMP_FILTER_FLAG_NEW_LISTENER;
    bool done = listens ? ret >= 0 : ret == 0; /* TSYNC returns the thread that it failed for */
    if (done) {
        keep(t->p, f);
        t->seccomp.newest = f;
        t->seccomp.mode = SECCOMP_MODE_FILTER;
        if (flags & SECCOMP_FILTER_FLAG_TSYNC)
            share_filters(t);
    }
    pthread_mutex_unlock(&t->p->lock);
    if (!done)
        free(f);
    return ret;
}

static int64_t set_strict(UserThread *t)
{
    if (t->seccomp.mode == SECCOMP_MODE_FILTER)
        return -EINVAL;
    t->seccomp.mode = SECCOMP_MODE_STRICT;
    return 0;
}

int64_t seccomp_prctl(UserThread *t, uint64_t mode, uint64_t args)
{
    if (mode == SECCOMP_MODE_STRICT)
        return set_strict(t);
    return mode == SECCOMP_MODE_FILTER ? set_filter(t, 0, args) : -EINVAL;
}

static int64_t action_available(UserThread *t, uint64_t va)
{
    static const uint32_t known[] = {
        SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_THREAD, SECCOMP_RET_TRAP, SECCOMP_RET_ERRNO,
        SECCOMP_RET_USER_NOTIF, SECCOMP_RET_TRACE, SECCOMP_RET_LOG, SECCOMP_RET_ALLOW,
    };
    uint32_t action;
    if (!guest_read(t->cpu, &action, va, sizeof action))
        return -EFAULT;
    for (unsigned i = 0; i < sizeof known / sizeof known[0]; i++)
        if (known[i] == action)
            return 0;
    return -EOPNOTSUPP;
}

int64_t sys_seccomp(UserThread *t, SysCall *c)
{
    static const uint16_t sizes[3] = { sizeof(struct seccomp_notif), sizeof(struct seccomp_notif_resp),
                                       sizeof(struct seccomp_data) };
    uint32_t flags = (uint32_t)c->arg[1];
    switch ((uint32_t)c->arg[0]) {
    case SECCOMP_SET_MODE_STRICT:
        return flags || c->arg[2] ? -EINVAL : set_strict(t);
    case SECCOMP_SET_MODE_FILTER:
        return set_filter(t, flags, c->arg[2]);
    case SECCOMP_GET_ACTION_AVAIL:
        return flags ? -EINVAL : action_available(t, c->arg[2]);
    case SECCOMP_GET_NOTIF_SIZES:
        return flags ? -EINVAL : guest_write(t->cpu, c->arg[2], sizes, sizeof sizes) ? 0 : -EFAULT;
    default:
        return -EINVAL;
    }
}

/* --- over execve -------------------------------------------------------------------------------------------------- */

static bool save_chain(const SeccompFilter *f, FILE *out)
{
    return !f || (save_chain(f->older, out) && fwrite(&f->n, sizeof f->n, 1, out) == 1 &&
                  fwrite(f->insn, sizeof f->insn[0], f->n, out) == f->n);
}

bool seccomp_save(const UserThread *t, FILE *f)
{
    uint32_t head[2] = { t->seccomp.mode, 0 };
    for (const SeccompFilter *i = t->seccomp.newest; i; i = i->older)
        head[1]++;
    return fwrite(head, sizeof head, 1, f) == 1 && save_chain(t->seccomp.newest, f);
}

bool seccomp_load(UserProc *p, FILE *f)
{
    Seccomp *s = &p->seccomp;
    uint32_t head[2];
    if (fread(head, sizeof head, 1, f) != 1 || head[0] > SECCOMP_MODE_FILTER ||
        (head[0] == SECCOMP_MODE_FILTER) != (head[1] != 0))
        return false;
    for (uint32_t i = 0; i < head[1]; i++) {
        uint16_t n;
        if (fread(&n, sizeof n, 1, f) != 1 || n == 0 || n > CBPF_MAX_INSNS)
            return false;
        SeccompFilter *new = filter_new(s->newest, n);
        if (!new || fread(new->insn, sizeof new->insn[0], n, f) != n ||
            !cbpf_valid(new->insn, n, sizeof(struct seccomp_data))) {
            free(new);
            return false;
        }
        keep(p, new);
        s->newest = new;
    }
    s->mode = head[0];
    return true;
}

/* --- the supervisor's side ---------------------------------------------------------------------------------------- */

bool seccomp_is_ioctl(uint32_t request)
{
    return _IOC_TYPE(request) == SECCOMP_IOC_MAGIC;
}

/* A notification of the host's kernel: the call is one of NOTIFY_NR's, made by another dragoman. */
static int64_t receive(UserThread *t, SysCall *c)
{
    struct seccomp_notif n;
    int64_t ret = host_block(t, c, c->arg);
    if (ret != 0 || !guest_read(t->cpu, &n, c->arg[2], sizeof n))
        return ret;
    if ((uint32_t)n.data.nr < NOTIFY_NR || (uint32_t)n.data.nr >= NOTIFY_END)
        return ret;
    n.data.nr -= (int)NOTIFY_NR;
    n.data.arch = t->p->abi->audit_arch;
    n.data.instruction_pointer = 0; /* the host's, of no use */
    return guest_write(t->cpu, c->arg[2], &n, sizeof n) ? 0 : -EFAULT;
}

static int64_t respond(UserThread *t, SysCall *c)
{
    struct seccomp_notif_resp r;
    if (!guest_read(t->cpu, &r, c->arg[2], sizeof r))
        return -EFAULT;
    if (r.flags == SECCOMP_USER_NOTIF_FLAG_CONTINUE && r.error == 0 && r.val == 0) {
        r.flags = 0;
        r.val = NOTIFY_CONTINUE;
    }
    return HOST3(t, SYS_ioctl, c->arg[0], c->arg[1], (uintptr_t)&r);
}

int64_t seccomp_ioctl(UserThread *t, SysCall *c)
{
    switch ((uint32_t)c->arg[1]) {
    case SECCOMP_IOCTL_NOTIF_RECV:
        return receive(t, c);
    case SECCOMP_IOCTL_NOTIF_SEND:
        return respond(t, c);
    default:
        return host_block(t, c, c->arg);
    }
}
