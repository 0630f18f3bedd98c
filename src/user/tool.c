/* What tools hear of a guest process: its system calls with the memory that they access, and its signals. */
#include "engine/instrument.h"
#include "user/process.h"
#include "user/signal.h"

#include <sys/uio.h>

#define TEXT 1024

/* How much of a buffer of `size` bytes a call that returned `ret` has accessed: many return just that. */
static uint64_t extent(uint64_t size, int64_t ret)
{
    return ret > 0 && (uint64_t)ret < size ? (uint64_t)ret : size;
}

/* The pieces of an array of struct iovec, as far as `ret` bytes go. */
static void see_iov(UserThread *t, uint64_t va, uint64_t count, int64_t ret, bool write)
{
    uint64_t left = ret > 0 ? (uint64_t)ret : 0;
    struct iovec iov;

    for (uint64_t k = 0; left && k < count && guest_peek(&iov, va + k * sizeof iov, sizeof iov); k++) {
        uint64_t n = iov.iov_len < left ? iov.iov_len : left;
        tools_access(t->cpu, (uintptr_t)iov.iov_base, n, write, TOOL_BY_SYSCALL);
        left -= n;
    }
}

/* The host's kernel has accessed what the table says; handlers' own accesses are seen as they are made. */
static void see_memory(UserThread *t, const SysCall *c, int64_t ret)
{
    if (ret < 0 || (c->d->handler != SC_PASS && c->d->handler != SC_BLOCK))
        return;
    for (unsigned i = 0; i < c->d->nargs; i++) {
        const SysArg *a = &c->d->arg[i];
        uint64_t va = c->arg[i], size = syscall_arg_size(t, a, c->arg);
        bool in = a->kind == SCA_IN || a->kind == SCA_STRUCT_IN || a->kind == SCA_STRUCT_IO;
        bool out = a->kind == SCA_OUT || a->kind == SCA_STRUCT_OUT || a->kind == SCA_STRUCT_IO;
        bool counted = (a->kind == SCA_IN || a->kind == SCA_OUT) && a->size_arg && !a->deref;
        if (!va)
            continue;
        if (in)
            tools_access(t->cpu, va, counted ? extent(size, ret) : size, false, TOOL_BY_SYSCALL);
        if (out)
            tools_access(t->cpu, va, counted ? extent(size, ret) : size, true, TOOL_BY_SYSCALL);
        if (a->kind == SCA_IOV || a->kind == SCA_OIOV)
            see_iov(t, va, size, ret, a->kind == SCA_OIOV);
    }
}

void tool_thread_over(UserThread *t)
{
    uint32_t tid;

    /* The word that is about to be cleared: who waits for it may end the process. */
    if (t->clear_tid && guest_peek(&tid, t->clear_tid, sizeof tid))
        tools_access(t->cpu, t->clear_tid, sizeof tid, true, TOOL_BY_SYSCALL);
    vcpu_over(t->cpu);
}

static ToolSyscall describe(const UserThread *t, const SysCall *c)
{
    ToolSyscall s = {.nr = c->nr, .name = c->d->name, .pc = t->cpu->h.ir.pc};

    for (unsigned i = 0; i < 6; i++)
        s.arg[i] = c->arg[i];
    return s;
}

bool tool_syscall_before(UserThread *t, const SysCall *c, int64_t *ret)
{
    Tools *tools = engine_tools(t->p->engine);
    ToolSyscall s = describe(t, c);
    bool answered = tools->ops->syscall_before(tools, t->cpu, &s);

    *ret = s.result;
    return answered;
}

/* A function of its own, so that the others touch no stack for the text. */
static __attribute__((noinline)) void tell_with_text(UserThread *t, const SysCall *c, ToolSyscall *s)
{
    Tools *tools = engine_tools(t->p->engine);
    char text[TEXT];

    t->cpu->unseen = true;
    strace_text(t, c, s->result, text, sizeof text);
    t->cpu->unseen = false;
    s->text = text;
    tools->ops->syscall_after(tools, t->cpu, s);
}

void tool_syscall_after(UserThread *t, const SysCall *c, int64_t ret)
{
    Tools *tools = engine_tools(t->p->engine);

    if (ret < -4095) /* made again, or it has no result */
        return;
    see_memory(t, c, ret);
    ToolSyscall s = describe(t, c);
    s.result = ret;
    if (tools->want_text)
        tell_with_text(t, c, &s);
    else
        tools->ops->syscall_after(tools, t->cpu, &s);
}

void tool_signal(UserThread *t, const siginfo_t *info, uint64_t handler)
{
    Tools *tools = engine_tools(t->p->engine);
    bool fault = info->si_signo == SIGSEGV || info->si_signo == SIGBUS || info->si_signo == SIGILL || info->si_signo == SIGFPE;

    tools->ops->signal(tools, t->cpu, info->si_signo, info->si_code, fault ? (uintptr_t)info->si_addr : 0, handler);
}
