/* New processes and programs: fork, vfork, clone without CLONE_THREAD, execve. */
#include "base/check.h"
#include "base/log.h"
#include "base/os.h"
#include "user/inherit.h"
#include "user/path.h"
#include "user/process.h"
#include "user/procfs.h"
#include "user/program.h"
#include "user/ptrace.h"
#include "user/signal.h"

#include <elf.h>
#include <errno.h>
#include <linux/ptrace.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SET_TID_MAX 32 /* depth of namespaces of process numbers */
#define CLONE3_FLAGS ((UINT64_C(0xffffff00) & ~(uint64_t)CLONE_DETACHED) | CLONE_NEWTIME | CLONE_CLEAR_SIGHAND_FLAG | \
                      CLONE_INTO_CGROUP_FLAG)
#define EXEC_MAX_STRINGS (1u << 20)

/* --- fork ----------------------------------------------------------------------------------------------------------- */

void put_tid(UserThread *t, uint64_t va, int tid)
{
    const uint32_t v = (uint32_t)tid;
    guest_write(t->cpu, va, &v, sizeof v);
}

void become_child(UserThread *t, const CloneArgs *a)
{
    const UserAbi *abi = t->p->abi;
    IrCpu *ir = &t->cpu->h.ir;
    t->tid = (int)syscall(SYS_gettid);
    t->p->pid = (int)syscall(SYS_getpid);
    t->p->forked_by = a->flags & CLONE_PARENT ? -1 : (int)syscall(SYS_getppid);
    t->npend = t->stop = 0;
    t->sync_pend = 0;
    t->clear_tid = a->flags & CLONE_CHILD_CLEARTID ? a->child_tid : 0;
    if (a->stack)
        abi->set_stack(ir, a->stack + a->stack_size);
    if (a->flags & CLONE_SETTLS)
        abi->set_tls(ir, a->tls);
    if (a->flags & CLONE_CHILD_SETTID)
        put_tid(t, a->child_tid, t->tid);
}

/* Only the calling thread came along. */
static void child_process(UserThread *t, const CloneArgs *a)
{
    UserProc *p = t->p;
    pthread_mutex_unlock(&p->sigs->lock);
    for (UserThread *o = p->threads, *next; o; o = next) {
        next = o->next;
        if (o != t)
            thread_free(o);
    }
    if (p->nthreads > 1 || p->nleaving > 0) /* what they had just allocated nobody can free here */
        os_leak_check_off();
    p->threads = t;
    p->nthreads = 1;
    p->nleaving = p->ngone = 0;
    t->next = t->prev = NULL;
    pthread_mutex_unlock(&p->lock);
    tracees_free(p);
    mm_fork_child(p->mm);
    engine_fork_child(p->engine, t->cpu);
    mm_fork_told(p->mm);
    if (a->flags & CLONE_CLEAR_SIGHAND_FLAG)
        sigs_reset(p->sigs);
    become_child(t, a);
    if (log_on(LOG_THREAD))
        log_line("process %d begins, forked by %d", (int)getpid(), (int)getppid());
    ptrace_fork_child(t);
}

/* libc's fork() keeps its own locks right; it knows no flags, so a call with any goes to the kernel. */
static long host_fork(UserThread *t, const CloneArgs *a)
{
    uint64_t flags = a->flags & ~(uint64_t)(CLONE_HANDLED_HERE | CLONE_VFORK | CLONE_CLEAR_SIGHAND_FLAG);
    uint64_t signal = flags & CLONE_PARENT ? 0 : a->exit_signal; /* a sister has the signal of her elder sister */
    if (flags == 0 && signal == SIGCHLD && !a->set_tid) {
        pid_t pid = fork();
        return pid < 0 ? -errno : pid;
    }
    const struct {
        uint64_t v[11];
    } args = { { flags, a->pidfd, 0, 0, signal, 0, 0, 0, a->set_tid, a->set_tid_size, a->cgroup } };
    return HOST2(t, SYS_clone3, (uintptr_t)&args, sizeof args);
}

/* The kind of event that the kernel makes of a new process. */
static void tell_tracer(UserThread *t, const CloneArgs *a, int64_t pid)
{
    unsigned event = a->flags & CLONE_VFORK ? PTRACE_EVENT_VFORK : a->exit_signal != SIGCHLD ? PTRACE_EVENT_CLONE : PTRACE_EVENT_FORK;
    if (pid > 0 && !(a->flags & CLONE_UNTRACED))
        ptrace_event(t, event, (uint64_t)pid);
}

static int64_t do_fork(UserThread *t, const CloneArgs *a)
{
    UserProc *p = t->p;
    const PtraceHeritage traced = ptrace_heritage(t);
    signal_block_all();
    if (t->npend) {
        return SYS_AGAIN;
    }
    if (os_tidy_exit())
        engine_stop_background(p->engine); /* a leak checker would go on looking for it in the child, and say so */
    engine_fork_prepare(p->engine); /* first: threads that it waits for may be asking for mappings */
    mm_fork_prepare(p->mm);
    pthread_mutex_lock(&p->lock);
    pthread_mutex_lock(&p->sigs->lock);
    long pid = host_fork(t, a);
    if (pid == 0) {
        child_process(t, a);
    } else {
        pthread_mutex_unlock(&p->sigs->lock);
        pthread_mutex_unlock(&p->lock);
        mm_fork_parent(p->mm);
        engine_fork_parent(p->engine);
        if (pid > 0 && (a->flags & CLONE_PARENT_SETTID))
            put_tid(t, a->parent_tid, (int)pid);
    }
    signal_unblock(t);
    if (pid == 0) {
        t->p->abi->set_result(&t->cpu->h.ir, 0);
        ptrace_child_start(t, traced);
    } else {
        tell_tracer(t, a, pid);
    }
    return pid;
}

int64_t clone_process(UserThread *t, const CloneArgs *a)
{
    if ((a->flags & CLONE_SIGHAND) && !(a->flags & CLONE_VM))
        return -EINVAL;
    return a->flags & CLONE_VM ? clone_sharing(t, a) : do_fork(t, a);
}

static int64_t do_clone(UserThread *t, const CloneArgs *a)
{
    if ((a->flags & CLONE_FS) && (a->flags & (CLONE_NEWNS | CLONE_NEWUSER)))
        return -EINVAL;
    return a->flags & CLONE_THREAD ? clone_thread(t, a) : clone_process(t, a);
}

int64_t sys_clone(UserThread *t, SysCall *c)
{
    CloneArgs a = { .flags = (uint32_t)c->arg[0] & ~0xffu, .exit_signal = c->arg[0] & 0xff, .stack = c->arg[1],
                    .parent_tid = c->arg[2] };
    t->p->abi->clone_args(c->arg, &a.tls, &a.child_tid);
    if (a.flags & CLONE_PIDFD) { /* it shares an argument with the parent's tid */
        if (a.flags & CLONE_PARENT_SETTID)
            return -EINVAL;
        a.pidfd = a.parent_tid;
    }
    return do_clone(t, &a);
}

int64_t sys_clone3(UserThread *t, SysCall *c)
{
    CloneArgs a = { 0 };
    uint64_t size = c->arg[1];
    if (size < 64)
        return -EINVAL;
    if (size > MM_PAGE)
        return -E2BIG;
    for (uint64_t i = sizeof a; i < size; i++) {
        uint8_t byte;
        if (!guest_read(t->cpu, &byte, c->arg[0] + i, 1))
            return -EFAULT;
        if (byte)
            return -E2BIG;
    }
    if (!guest_read(t->cpu, &a, c->arg[0], size < sizeof a ? size : sizeof a))
        return -EFAULT;
    if ((a.flags & ~CLONE3_FLAGS) || a.exit_signal > USER_NSIG || !a.stack != !a.stack_size)
        return -EINVAL;
    if ((a.flags & (CLONE_THREAD | CLONE_PARENT)) && a.exit_signal)
        return -EINVAL;
    if ((a.flags & CLONE_SIGHAND) && (a.flags & CLONE_CLEAR_SIGHAND_FLAG))
        return -EINVAL;
    if (!a.set_tid != !a.set_tid_size || a.set_tid_size > SET_TID_MAX)
        return -EINVAL;
    if ((a.flags & CLONE_INTO_CGROUP_FLAG) && (size < sizeof a || a.cgroup > INT32_MAX))
        return -EINVAL;
    return do_clone(t, &a);
}

/* --- execve --------------------------------------------------------------------------------------------------------- */

/* A growing NULL-terminated list of strings. */
typedef struct Strings {
    char **v;
    size_t n, cap;
} Strings;

static void add(Strings *s, const char *text)
{
    if (s->n + 1 >= s->cap) {
        s->cap = s->cap ? s->cap * 2 : 64;
        s->v = realloc(s->v, s->cap * sizeof *s->v);
        CHECK(s->v != NULL);
    }
    s->v[s->n++] = (char *)text;
    s->v[s->n] = NULL;
}

/* A guest's array of strings, left where they are: the guest is mapped 1:1. */
static int64_t read_strings(UserThread *t, uint64_t va, Strings *out)
{
    for (uint64_t i = 0; va; i++) {
        uint64_t p;
        if (!guest_read(t->cpu, &p, va + i * 8, sizeof p))
            return -EFAULT;
        if (!p)
            return 0;
        if (i >= EXEC_MAX_STRINGS)
            return -E2BIG;
        if (guest_strlen(t->cpu, p, 32 * MM_PAGE) < 0) /* the kernel's limit of one string */
            return -EFAULT;
        add(out, (char *)(uintptr_t)p);
    }
    return 0;
}

/* Variables that the host's own dynamic linker and C library act on: they reach the guest as options instead. */
static bool is_host_variable(const char *v)
{
    return strncmp(v, "LD_", 3) == 0 || strncmp(v, "GLIBC_TUNABLES=", 15) == 0 || strncmp(v, "MALLOC_", 7) == 0 ||
           strncmp(v, "ASAN_OPTIONS=", 13) == 0 || strncmp(v, "GCONV_PATH=", 11) == 0;
}

/*
 * The options that this dragoman was given, and the sysroot by its whole name: the program may have another directory or
 * another HOME by now. After a chroot there is none but the root.
 */
static void add_options(UserThread *t, Strings *a)
{
    for (const char *const *o = t->p->cfg->reexec; o && *o; o++)
        add(a, *o);
    add(a, "-L");
    add(a, t->p->sysroot[0] ? t->p->sysroot : "/");
}

/* What the next dragoman must know of this process. Fills arg; returns the descriptor to close should execve fail, or an error. */
static int add_inherited(UserThread *t, Strings *a, char arg[32])
{
    int fd = inherit_make(t);
    if (fd >= 0) {
        snprintf(arg, 32, "--inherit=%d", fd);
        add(a, arg);
    }
    return fd;
}

/* Start dragoman again for a guest program or script. */
static int64_t exec_guest(UserThread *t, const char *path, Strings *argv, Strings *envp)
{
    Strings a = { 0 }, e = { 0 };
    char self[PATH_MAX] = "";
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n < 0 && t->p->self_fd < 0)
        return -ENOENT;
    add(&a, "dragoman");
    add(&a, "run");
    add_options(t, &a);
    char traced[64];
    ptrace_exec_state(t, traced, sizeof traced);
    if (traced[0]) {
        add(&a, "--traced");
        add(&a, traced);
    }
    char inherit[32];
    int state = add_inherited(t, &a, inherit);
    if (state < -1) {
        free(a.v);
        return state;
    }
    add(&a, "-0");
    add(&a, argv->n ? argv->v[0] : "");
    for (size_t i = 0; i < envp->n; i++) {
        if (is_host_variable(envp->v[i])) {
            add(&a, "-E");
            add(&a, envp->v[i]);
        } else {
            add(&e, envp->v[i]);
        }
    }
    add(&a, "--");
    add(&a, path);
    for (size_t i = 1; i < argv->n; i++)
        add(&a, argv->v[i]);
    char *none[1] = { NULL };
    const uint64_t by_name[6] = { (uintptr_t)self, (uintptr_t)a.v, (uintptr_t)(e.v ? e.v : none) };
    const uint64_t by_fd[6] = { (uint64_t)t->p->self_fd, (uintptr_t)"", (uintptr_t)a.v, (uintptr_t)(e.v ? e.v : none), AT_EMPTY_PATH };
    int64_t err = t->p->self_fd < 0 ? signal_exec(t, by_name, SYS_execve) : signal_exec(t, by_fd, SYS_execveat);
    if (state >= 0)
        close(state);
    free(a.v);
    free(e.v);
    return err;
}

static int64_t exec_host(UserThread *t, const char *host_path, Strings *argv, Strings *envp)
{
    char *none[1] = { NULL };
    if (t->seccomp.mode) /* it would escape the guest's filters: as on a machine that does not run it */
        return -ENOEXEC;
    const uint64_t arg[6] = { (uintptr_t)host_path, (uintptr_t)(argv->v ? argv->v : none), (uintptr_t)(envp->v ? envp->v : none) };
    return signal_exec(t, arg, SYS_execve);
}

/* Whether the guest program's interpreter is there; the kernel answers ENOENT when it is not. */
static bool has_interp(const PathEnv *env, const Program *prog)
{
    char host[PATH_MAX];
    return !prog->elf.interp[0] || (path_resolve(env, prog->elf.interp, 0, host) == 0 && access(host, R_OK) == 0);
}

static int64_t do_exec(UserThread *t, const char *path, Strings *argv, Strings *envp)
{
    Program prog;
    Status st;
    char host[PATH_MAX];
    char cwd[PATH_MAX];
    memcpy(cwd, t->p->cwd, sizeof cwd);
    ProcExe exe;
    if (procfs_exe(t, AT_FDCWD, path, &exe))
        path = exe.guest;
    const PathEnv env = { t->p->sysroot, cwd, t->p->whole_sysroot, t->p->nondet, t->tid };
    int64_t err = path_resolve(&env, path, 0, host);
    if (err)
        return err;
    char *noargs[1] = { NULL };
    if (!program_find(&env, path, argv->v ? argv->v : noargs, &prog, &st))
        err = -prog.err;
    else if (prog.elf.guest && abi_by_guest(prog.elf.guest))
        err = !has_interp(&env, &prog) ? -ENOENT : t->p->landlocked ? landlock_may_execute(t, prog.host) : 0;
    else
        err = 1; /* not a guest's: the host's kernel knows what to do with it */
    program_close(&prog);
    if (err < 0)
        return err;
    if (!t->vforked)
        engine_save(t->cpu);
    if (t->p->cfg->binfmt && !t->p->sysroot[0])
        err = 1; /* and so it does here, with the rights of a set-user-ID program, and where /proc is out of reach */
    err = err ? exec_host(t, host, argv, envp) : exec_guest(t, path, argv, envp);
    engine_go_on(t->cpu); /* it failed */
    return err;
}

static int64_t exec_strings(UserThread *t, const char *path, uint64_t argv, uint64_t envp)
{
    Strings a = { 0 }, e = { 0 };
    int64_t err = read_strings(t, argv, &a);
    if (!err)
        err = read_strings(t, envp, &e);
    if (!err)
        err = do_exec(t, path, &a, &e);
    free(a.v);
    free(e.v);
    return err;
}

int64_t sys_execve(UserThread *t, SysCall *c)
{
    int64_t err = path_read(t, c->arg[0], t->path[0]);
    return err ? err : exec_strings(t, t->path[0], c->arg[1], c->arg[2]);
}

/* The path of a descriptor that is to be executed: by name when the file has one, else through a copy that stays open. */
static int64_t descriptor_path(UserThread *t, int fd, char *out)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int64_t n = HOST4(t, SYS_readlinkat, AT_FDCWD, (uintptr_t)link, (uintptr_t)out, PATH_MAX - 1);
    if (n < 0)
        return n == -ENOENT ? -EBADF : n;
    out[n] = 0;
    if (out[0] == '/' && access(out, F_OK) == 0) {
        const char *guest = path_guest_name(t->p, out);
        memmove(out, guest, strlen(guest) + 1);
        return 0;
    }
    int64_t copy = HOST3(t, SYS_fcntl, fd, F_DUPFD, 100);
    if (copy < 0)
        return copy;
    snprintf(out, PATH_MAX, "/proc/self/fd/%d", (int)copy);
    return 0;
}

int64_t sys_execveat(UserThread *t, SysCall *c)
{
    char *path = t->path[0];
    int64_t err = c->arg[4] & ~(uint64_t)(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) ? -EINVAL : path_read(t, c->arg[1], path);
    if (err)
        return err;
    if (path[0] == 0) {
        if (!(c->arg[4] & AT_EMPTY_PATH))
            return -ENOENT;
        err = descriptor_path(t, (int)c->arg[0], path);
    } else if (path[0] != '/' && (int)c->arg[0] != AT_FDCWD) {
        char dir[PATH_MAX];
        err = descriptor_path(t, (int)c->arg[0], dir);
        if (!err && snprintf(t->path[1], PATH_MAX, "%s/%s", dir, path) >= PATH_MAX)
            err = -ENAMETOOLONG;
        path = t->path[1];
    }
    return err ? err : exec_strings(t, path, c->arg[2], c->arg[3]);
}
