/* The tracee's side of ptrace: what a thread shows its tracer, and its stops. */
#include "user/ptrace.h"

#include "base/check.h"
#include "user/core.h"
#include "user/signal.h"

#include <errno.h>
#include <linux/ptrace.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define GROUP_OPTIONS (PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE)
#define STATUS_STOPPED(sig) ((uint32_t)(sig) << 8 | 0x7f)
#define STATUS_EVENT(event) (STATUS_STOPPED(SIGTRAP) | (uint32_t)(event) << 16)

/* --- table and blocks ------------------------------------------------------------------------------------------------ */

void ptrace_process_start(UserProc *p)
{
    void *at = (void *)(uintptr_t)mm_ptrace_table(p->mm);
    PtraceTable *table = mmap(at, sizeof *table, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    if (table == MAP_FAILED)
        return;
    if ((void *)table != at) {
        munmap(table, sizeof *table);
        return;
    }
    p->trace = table;
    __atomic_store_n(&table->magic, PTRACE_MAGIC, __ATOMIC_RELEASE);
}

void ptrace_thread_start(UserThread *t)
{
    PtraceTable *table = t->p->trace;
    t->pt = NULL;
    for (unsigned i = 0; table && i < PTRACE_SLOTS; i++) {
        int32_t none = 0;
        if (!__atomic_compare_exchange_n(&table->tid[i], &none, -1, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
            continue;
        PtraceBlock *b = &table->block[i];
        uint32_t used = __atomic_load_n(&table->used, __ATOMIC_RELAXED);
        while (used <= i &&
               !__atomic_compare_exchange_n(&table->used, &used, i + 1, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
            ;
        memset(b, 0, offsetof(PtraceBlock, regs));
        b->tid = t->tid;
        b->pid = t->p->pid;
        b->exit_request = (uintptr_t)&t->cpu->h.exit_request;
        t->pt = b;
        __atomic_store_n(&table->tid[i], t->tid, __ATOMIC_RELEASE);
        return;
    }
}

void ptrace_thread_end(UserThread *t)
{
    if (t->pt && !ptrace_on(t)) /* a tracer may still look at a thread that is gone from here: its block is lost */
        __atomic_store_n(&t->p->trace->tid[t->pt - t->p->trace->block], 0, __ATOMIC_RELEASE);
    t->pt = NULL;
}

void ptrace_fork_child(UserThread *t)
{
    PtraceTable *table = t->p->trace;
    if (!table)
        return;
    memset(table->tid, 0, table->used * sizeof table->tid[0]);
    table->used = 0;
    table->changes_head = table->changes_tail;
    t->pt = NULL;
}

/* --- code that a tracer changed -------------------------------------------------------------------------------------- */

static void take_changes(UserThread *t)
{
    PtraceTable *table = t->p->trace;
    uint32_t head = table->changes_head, tail = __atomic_load_n(&table->changes_tail, __ATOMIC_ACQUIRE);
    if (head == tail)
        return;
    if (tail - head > PTRACE_CHANGES) {
        engine_invalidate(t->p->engine, 0, UINT64_MAX);
    } else {
        for (uint32_t i = head; i != tail; i++)
            engine_invalidate(t->p->engine, table->changes[i % PTRACE_CHANGES].start, table->changes[i % PTRACE_CHANGES].len);
    }
    __atomic_store_n(&table->changes_head, tail, __ATOMIC_RELEASE); /* done twice by two threads is done */
}

/* --- stops ----------------------------------------------------------------------------------------------------------- */

/* Whether the kernel has a tracer for this thread. */
static bool has_tracer(void)
{
    char line[256];
    int tracer = 0;
    FILE *f = fopen("/proc/thread-self/status", "re");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "TracerPid: %d", &tracer) == 1)
            break;
    if (f)
        fclose(f);
    return tracer != 0;
}

void ptrace_publish(UserThread *t)
{
    PtraceBlock *b = t->pt;
    if (!b)
        return;
    t->p->abi->get_regs(t->cpu, b->regs);
    b->mask = t->mask;
    b->dirty = 0;
    t->p->trace->background_tid = engine_background_tid(t->p->engine, 0);
}

/* Take over what the tracer wrote. */
static void absorb(UserThread *t)
{
    PtraceBlock *b = t->pt;
    if (b->dirty)
        t->p->abi->set_regs(t->cpu, b->regs);
    t->mask = b->mask & ~(SIG_BIT(SIGKILL) | SIG_BIT(SIGSTOP));
    b->dirty = 0;
    b->op = PTRACE_OP_NONE;
    if (b->mode == PTRACE_CONT || !b->traced)
        b->mode = 0;
    t->cpu->stepping = false;
    t->cpu->step = b->mode == PTRACE_SINGLESTEP || b->mode == PTRACE_SYSEMU_SINGLESTEP;
    take_changes(t);
}

/* Stop until the tracer goes on with it; returns the signal that it gives. `sig`: what it would be without a tracer. */
static int stop(UserThread *t, uint32_t status, uint64_t msg, int sig)
{
    PtraceBlock *b = t->pt;
    siginfo_t trap = { .si_signo = SIGTRAP, .si_code = PTRACE_CODE_STOP };
    ptrace_publish(t);
    b->status = status;
    b->msg = msg;
    b->stops++;
    b->resume_sig = 0;
    trap.si_pid = t->p->pid;
    trap.si_value.sival_ptr = b;
    __atomic_store_n(&b->stop, 1, __ATOMIC_RELEASE);
    engine_block_begin(t->cpu);
    /* The host's kernel drops a second SIGTRAP while one is on its way: then there was another stop, and no word. */
    while (__atomic_load_n(&b->stop, __ATOMIC_ACQUIRE)) {
        HOST4(t, SYS_rt_tgsigqueueinfo, t->p->pid, t->tid, SIGTRAP, (uintptr_t)&trap);
        if (__atomic_load_n(&b->stop, __ATOMIC_ACQUIRE) && !has_tracer()) { /* it ended without detaching */
            b->traced = b->mode = b->stop = 0;
            b->resume_sig = (uint32_t)sig;
        }
    }
    engine_block_end(t->cpu);
    absorb(t);
    return (int)b->resume_sig;
}

bool ptrace_signal(UserThread *t, siginfo_t *info)
{
    int sig = info->si_signo;
    t->pt->info = *info;
    int next = stop(t, STATUS_STOPPED(sig), 0, sig);
    if (next == 0)
        return false;
    if (next == sig) {
        *info = t->pt->info;
        info->si_signo = sig;
    } else { /* as the kernel has it: from the tracer, whose identity the thread knows as its parent's */
        memset(info, 0, sizeof *info);
        info->si_signo = next;
        info->si_code = SI_USER;
        info->si_pid = getppid();
    }
    if (t->mask & SIG_BIT(next)) { /* blocked by now: it waits */
        HOST4(t, SYS_rt_tgsigqueueinfo, t->p->pid, t->tid, next, (uintptr_t)info);
        return false;
    }
    return true;
}

/* Act on the signal that a stop which is not a signal's was resumed with. */
static void send_self(UserThread *t, int sig)
{
    if (sig)
        HOST3(t, SYS_tgkill, t->p->pid, t->tid, sig);
}

static void event_stop(UserThread *t, unsigned event, uint64_t msg)
{
    memset(&t->pt->info, 0, sizeof t->pt->info);
    t->pt->info.si_signo = SIGTRAP;
    t->pt->info.si_code = (int)(event << 8 | SIGTRAP);
    t->pt->info.si_pid = t->tid;
    t->pt->info.si_uid = getuid();
    send_self(t, stop(t, STATUS_EVENT(event), msg, 0));
}

void ptrace_event(UserThread *t, unsigned event, uint64_t msg)
{
    if (ptrace_on(t) && (t->pt->options >> event & 1))
        event_stop(t, event, msg);
}

void ptrace_exiting(UserThread *t, int status)
{
    if (!ptrace_on(t))
        return;
    ptrace_event(t, PTRACE_EVENT_EXIT, (uint64_t)status << 8);
    t->pt->exiting = 1;
}

void ptrace_step(UserThread *t)
{
    siginfo_t info = { .si_signo = SIGTRAP, .si_code = TRAP_TRACE };
    if (!ptrace_on(t)) {
        t->cpu->step = false;
        return;
    }
    info.si_addr = (void *)(uintptr_t)t->cpu->h.ir.pc;
    t->pt->info = info;
    send_self(t, stop(t, STATUS_STOPPED(SIGTRAP), 0, 0));
}

/* --- between instructions -------------------------------------------------------------------------------------------- */

bool ptrace_pending(UserThread *t)
{
    const PtraceBlock *b = t->pt;
    if (__atomic_load_n(&t->p->dumping, __ATOMIC_ACQUIRE))
        return true;
    return b && (b->want || b->head != __atomic_load_n(&b->tail, __ATOMIC_ACQUIRE) ||
                 t->p->trace->changes_head != __atomic_load_n(&t->p->trace->changes_tail, __ATOMIC_ACQUIRE));
}

void ptrace_take_notes(UserThread *t)
{
    PtraceBlock *b = t->pt;
    while (b && b->head != __atomic_load_n(&b->tail, __ATOMIC_ACQUIRE) && signal_queue(t, &b->ring[b->head % PTRACE_RING]))
        __atomic_store_n(&b->head, b->head + 1, __ATOMIC_RELEASE);
}

void ptrace_boundary(UserThread *t)
{
    if (__atomic_load_n(&t->p->dumping, __ATOMIC_ACQUIRE))
        core_park(t);
    if (!t->pt)
        return;
    ptrace_take_notes(t);
    take_changes(t);
    uint32_t status = __atomic_exchange_n(&t->pt->want, 0, __ATOMIC_ACQ_REL);
    if (!status || !ptrace_on(t))
        return;
    memset(&t->pt->info, 0, sizeof t->pt->info);
    t->pt->info.si_signo = (int)(status >> 8 & 0xff);
    t->pt->info.si_code = (int)(status >> 8);
    stop(t, status, 0, 0);
}

/* --- system calls ---------------------------------------------------------------------------------------------------- */

static uint32_t call_status(const PtraceBlock *b)
{
    return STATUS_STOPPED(b->options & PTRACE_O_TRACESYSGOOD ? SIGTRAP | 0x80 : SIGTRAP);
}

static void call_stop(UserThread *t, uint32_t op)
{
    PtraceBlock *b = t->pt;
    b->op = op;
    memset(&b->info, 0, sizeof b->info);
    b->info.si_signo = SIGTRAP;
    b->info.si_code = b->options & PTRACE_O_TRACESYSGOOD ? SIGTRAP | 0x80 : SIGTRAP;
    b->info.si_pid = t->p->pid;
    bool entry = op == PTRACE_OP_ENTRY;
    send_self(t, stop(t, call_status(b), entry ? PTRACE_EVENTMSG_SYSCALL_ENTRY : PTRACE_EVENTMSG_SYSCALL_EXIT, 0));
}

static int32_t *call_number(UserThread *t)
{
    return (int32_t *)(t->pt->regs + t->p->abi->regs_call);
}

/* The number of no system call, which a tracer sets to have none made; the kernel's NO_SYSCALL. Other negative ones do not exist. */
enum { NO_CALL = -1 };

bool ptrace_call_enter(UserThread *t, SysCall *c)
{
    uint64_t ignored;
    uint32_t mode = t->pt->mode;
    *call_number(t) = (int32_t)c->nr;
    if (mode != PTRACE_SYSCALL && mode != PTRACE_SYSEMU && mode != PTRACE_SYSEMU_SINGLESTEP)
        return true;
    if (*call_number(t) == NO_CALL)
        t->p->abi->set_result(&t->cpu->h.ir, (uint64_t)-ENOSYS);
    call_stop(t, PTRACE_OP_ENTRY);
    t->p->abi->get_call(&t->cpu->h.ir, &ignored, c->arg);
    c->nr = (uint32_t)*call_number(t);
    return mode == PTRACE_SYSCALL && *call_number(t) != NO_CALL;
}

bool ptrace_seccomp(UserThread *t, SysCall *c, uint32_t data, int64_t *ret)
{
    uint64_t ignored;
    *ret = -ENOSYS;
    if (!ptrace_on(t) || !(t->pt->options & PTRACE_O_TRACESECCOMP))
        return false;
    *call_number(t) = (int32_t)c->nr;
    t->pt->op = PTRACE_OP_SECCOMP;
    event_stop(t, PTRACE_EVENT_SECCOMP, data);
    t->p->abi->get_call(&t->cpu->h.ir, &ignored, c->arg);
    c->nr = (uint32_t)*call_number(t);
    syscall_describe(c);
    *ret = SYS_NORETURN;
    return *call_number(t) >= 0;
}

/* What the exit stop of an interrupted call shows: the kernel's own codes, which no program sees. */
static int64_t shown_result(int64_t ret)
{
    enum { ERESTARTSYS = 512, ERESTARTNOINTR, ERESTARTNOHAND, ERESTART_RESTARTBLOCK = 516 };
    switch (ret) {
    case SYS_RESTART: return -ERESTARTSYS;
    case SYS_AGAIN: return -ERESTARTNOINTR;
    case SYS_RESTART_NOHAND: return -ERESTARTNOHAND;
    case SYS_RESTART_BLOCK: return -ERESTART_RESTARTBLOCK;
    default: return ret;
    }
}

int64_t ptrace_call_leave(UserThread *t, uint32_t stops, int64_t ret)
{
    IrCpu *ir = &t->cpu->h.ir;
    const UserAbi *abi = t->p->abi;
    uint64_t nr, before[6], after[6];
    if (!t->pt || t->pt->mode != PTRACE_SYSCALL || t->pt->stops == stops)
        return ret;
    abi->get_call(ir, &nr, before);
    int64_t shown = ret == SYS_NORETURN ? (int64_t)before[0] : shown_result(ret);
    abi->set_result(ir, (uint64_t)shown);
    call_stop(t, PTRACE_OP_EXIT);
    abi->get_call(ir, &nr, after);
    if (after[0] != (uint64_t)shown || ret == SYS_NORETURN)
        return SYS_NORETURN; /* registers are as they are to be */
    if (ret < -4095)
        abi->set_result(ir, before[0]); /* the argument, for the call is made again */
    return ret;
}

/* --- default actions, children, programs ------------------------------------------------------------------------------ */

void ptrace_raising(UserThread *t, int sig)
{
    if (!t->pt)
        return;
    if (sig)
        ptrace_publish(t);
    t->pt->raising = (uint32_t)sig;
    if (!sig && ptrace_on(t))
        absorb(t);
}

/* The first stop of a thread that the kernel attached as the child of a traced one. */
static void first_stop(UserThread *t)
{
    if (t->pt->seized) {
        event_stop(t, PTRACE_EVENT_STOP, 0);
        return;
    }
    siginfo_t info = { .si_signo = SIGSTOP, .si_code = SI_USER };
    t->pt->info = info;
    send_self(t, stop(t, STATUS_STOPPED(SIGSTOP), 0, 0));
}

PtraceHeritage ptrace_heritage(const UserThread *parent)
{
    if (!ptrace_on(parent))
        return (PtraceHeritage){ .traced = false };
    return (PtraceHeritage){ (parent->pt->options & GROUP_OPTIONS) != 0, parent->pt->options, parent->pt->seized };
}

void ptrace_child_start(UserThread *t, PtraceHeritage from)
{
    ptrace_thread_start(t);
    t->cpu->step = false;
    if (!t->pt || !from.traced || !has_tracer())
        return;
    t->pt->options = from.options;
    t->pt->seized = from.seized;
    t->pt->traced = 1;
    first_stop(t);
}

void ptrace_exec_state(UserThread *t, char *buf, size_t len)
{
    const PtraceBlock *b = t->pt;
    buf[0] = 0;
    if (ptrace_on(t))
        snprintf(buf, len, "%u,%u,%u,%d,%d", b->seized, b->options, b->mode, t->tid, *call_number(t));
}

void ptrace_exec_start(UserThread *t, const char *state)
{
    unsigned seized, options, mode;
    int tid, call;
    PtraceBlock *b = t->pt;
    if (!b || !state || sscanf(state, "%u,%u,%u,%d,%d", &seized, &options, &mode, &tid, &call) != 5 || !has_tracer())
        return;
    b->seized = seized != 0;
    b->options = options;
    b->mode = mode;
    b->traced = 1;
    *call_number(t) = call;
    if (options & PTRACE_O_TRACEEXEC)
        event_stop(t, PTRACE_EVENT_EXEC, (uint64_t)tid);
    if (b->mode == PTRACE_SYSCALL)
        call_stop(t, PTRACE_OP_EXIT);
    if (!(options & PTRACE_O_TRACEEXEC) && !seized) {
        b->info = (siginfo_t){ .si_signo = SIGTRAP, .si_code = SI_USER, .si_pid = t->p->pid };
        send_self(t, stop(t, STATUS_STOPPED(SIGTRAP), 0, 0));
    }
}
