/* Dispatch of system calls by the table. */
#include "user/syscall.h"

#include "base/check.h"
#include "engine/instrument.h"
#include "user/path.h"
#include "user/process.h"
#include "user/procfs.h"
#include "user/ptrace.h"
#include "user/rseq.h"
#include "user/seccomp.h"
#include "user/signal.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/uio.h>

#define MAX_OUTS 16
#define AT_NOFOLLOW 0x100u
#define TAG_SHIFT 8

static_assert((int)SYS_RESTART == (int)NONDET_RESTART && (int)SYS_AGAIN == (int)NONDET_NOT_BEGUN, "one set of values");

/* --- the way to the host -------------------------------------------------------------------------------------------- */

int64_t host_call_out(UserThread *t, long nr, const uint64_t arg[6], void *out, size_t out_size)
{
    NondetOut o = { out, out_size };
    return t->p->nondet->ops->syscall(t->p->nondet, t->tid, NULL, nr, arg, &o, out ? 1 : 0);
}

int64_t host_call(UserThread *t, long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
    const uint64_t arg[6] = { a, b, c, d, e, f };
    return host_call_out(t, nr, arg, NULL, 0);
}

uint64_t syscall_arg_size(UserThread *t, const SysArg *a, const uint64_t arg[6])
{
    uint32_t len = 0;
    if (!a->size_arg)
        return a->size;
    uint64_t v = arg[a->size_arg - 1];
    if (!a->deref)
        return v;
    return v && guest_read(t->cpu, &len, v, sizeof len) ? len : 0;
}

/* Every piece of guest memory that a call may write, as the table says. */
static unsigned list_outs(UserThread *t, const SysDesc *d, const uint64_t arg[6], NondetOut outs[MAX_OUTS])
{
    unsigned n = 0;
    for (unsigned i = 0; i < d->nargs && n < MAX_OUTS; i++) {
        const SysArg *a = &d->arg[i];
        if (!arg[i])
            continue;
        if (a->kind == SCA_OUT || a->kind == SCA_STRUCT_OUT || a->kind == SCA_STRUCT_IO)
            outs[n++] = (NondetOut){ (void *)(uintptr_t)arg[i], syscall_arg_size(t, a, arg) };
        if (a->kind == SCA_OIOV) {
            uint64_t count = syscall_arg_size(t, a, arg);
            struct iovec iov;
            for (uint64_t k = 0; k < count && n < MAX_OUTS && guest_read(t->cpu, &iov, arg[i] + k * sizeof iov, sizeof iov); k++)
                outs[n++] = (NondetOut){ iov.iov_base, iov.iov_len };
        }
    }
    return n;
}

int64_t host_block_out(UserThread *t, const SysCall *c, const uint64_t arg[6], const NondetOut *outs, unsigned nouts)
{
    engine_block_begin(t->cpu);
    int64_t ret = t->p->nondet->ops->syscall(t->p->nondet, t->tid, &t->stop, c->d->host, arg, outs, nouts);
    engine_block_end(t->cpu);
    return ret;
}

int64_t host_block(UserThread *t, const SysCall *c, const uint64_t arg[6])
{
    NondetOut outs[MAX_OUTS];
    unsigned n = list_outs(t, c->d, arg, outs);
    return host_block_out(t, c, arg, outs, n);
}

int64_t host_block_nr(UserThread *t, long nr, const uint64_t arg[6])
{
    engine_block_begin(t->cpu);
    int64_t ret = t->p->nondet->ops->syscall(t->p->nondet, t->tid, &t->stop, nr, arg, NULL, 0);
    engine_block_end(t->cpu);
    return ret;
}

int64_t host_pass(UserThread *t, const SysCall *c)
{
    if (c->d->host < 0)
        return -ENOSYS;
    if (c->d->handler == SC_BLOCK) {
        int64_t ret = host_block(t, c, c->arg);
        if (t->p->wrote_mem && ret > 0)
            procfs_wrote(t, c, ret);
        return ret;
    }
    NondetOut outs[MAX_OUTS];
    unsigned n = list_outs(t, c->d, c->arg, outs);
    return t->p->nondet->ops->syscall(t->p->nondet, t->tid, NULL, c->d->host, c->arg, outs, n);
}

/* --- paths ---------------------------------------------------------------------------------------------------------- */

static unsigned path_how(const SysCall *c, uint8_t kind)
{
    switch (kind) {
    case SCA_LPATH:
        return PATH_NOFOLLOW;
    case SCA_NPATH:
        return PATH_NEW;
    case SCA_APATH:
        return c->d->at_flags && (c->arg[c->d->at_flags - 1] & AT_NOFOLLOW) ? PATH_NOFOLLOW : 0;
    default:
        return 0;
    }
}

/* Replace each path argument by the host's path for it. */
static int64_t lookup_paths(UserThread *t, SysCall *c)
{
    unsigned buf = 0;
    for (unsigned i = 0; i < c->d->nargs; i++) {
        if (!(c->d->paths >> i & 1) || !c->arg[i])
            continue;
        int dir = i > 0 && c->d->arg[i - 1].kind == SCA_DIRFD ? (int)c->arg[i - 1] : AT_FDCWD;
        int64_t err = path_arg(t, dir, c->arg[i], path_how(c, c->d->arg[i].kind), t->path[buf]);
        if (err < 0)
            return err;
        c->arg[i] = (uint64_t)(uintptr_t)t->path[buf++];
    }
    return 0;
}

/* O_* flags of a call that is passed on. */
static void convert_flags(UserThread *t, SysCall *c)
{
    for (unsigned i = 0; i < c->d->nargs; i++)
        if (c->d->open_flags >> i & 1)
            c->arg[i] = t->p->abi->open_flags_in((uint32_t)c->arg[i]);
}

/* --- dispatch ------------------------------------------------------------------------------------------------------- */

static int64_t dispatch(UserThread *t, SysCall *c)
{
    switch (c->d->handler) {
    case SC_PASS:
    case SC_BLOCK: {
        int64_t err = c->d->paths ? lookup_paths(t, c) : 0;
        if (c->d->open_flags)
            convert_flags(t, c);
        return err ? err : host_pass(t, c);
    }
    case SC_FN:
        return c->d->fn(t, c);
    case SC_EPERM:
        return -EPERM;
    default:
        return -ENOSYS;
    }
}

/* With PR_SET_TAGGED_ADDR_CTRL the kernel takes pointers with a tag in their top byte. */
static void untag(SysCall *c)
{
    for (unsigned i = 0; i < 6; i++)
        if (c->d->pointers >> i & 1)
            c->arg[i] = (uint64_t)((int64_t)(c->arg[i] << TAG_SHIFT) >> TAG_SHIFT);
}

void syscall_describe(SysCall *c)
{
    static const SysDesc unknown = { .name = NULL, .handler = SC_NONE, .host = -1 };
    c->d = c->nr < SYSCALL_LIMIT && syscall_table[c->nr].name ? &syscall_table[c->nr] : &unknown;
}

static int64_t answer(UserThread *t, SysCall *c)
{
    syscall_describe(c);
    SysCall shown = *c;
    t->now = (UserNow){ &shown, t->p->abi->get_stack(&t->cpu->h.ir), t->cpu->h.ir.pc };
    if (strace_on(t))
        strace_enter(t, &shown);
    bool tools = engine_tools(t->p->engine) != NULL;
    int64_t ret;
    if ((t->seccomp.mode == 0 || seccomp_allows(t, c, &ret)) && (!tools || !tool_syscall_before(t, &shown, &ret))) {
        if (t->p->tagged_addr)
            untag(c);
        ret = dispatch(t, c);
    }
    if (strace_on(t))
        strace_leave(t, &shown, ret);
    if (tools)
        tool_syscall_after(t, &shown, ret);
    t->now.call = NULL;
    return ret;
}

/* The same under a tracer, which may stop before and after it, and change it. */
static IrStop traced_call(UserThread *t, SysCall *c)
{
    const int tid = t->tid;
    const uint32_t stops = t->pt->stops;
    int64_t ret = ptrace_call_enter(t, c) ? answer(t, c) : SYS_NORETURN;
    if (ret == SYS_EXIT)
        return IR_STOP_EXIT;
    if (t->tid == tid) /* else this is the child of a fork, which has made no call */
        ret = ptrace_call_leave(t, stops, ret);
    return signal_after_call(t, ret) ? IR_STOP_CHECK : IR_STOP_EXIT;
}

IrStop user_syscall(Vcpu *cpu)
{
    UserThread *t = user_thread(cpu);
    SysCall c;
    t->p->abi->get_call(&cpu->h.ir, &c.nr, c.arg);
    rseq_look(t);
    if (ptrace_on(t))
        return traced_call(t, &c);
    int64_t ret = answer(t, &c);
    if (ret == SYS_EXIT)
        return IR_STOP_EXIT;
    if (ret >= -4095 && !t->stop) {
        t->p->abi->set_result(&cpu->h.ir, (uint64_t)ret);
        return IR_STOP_NONE;
    }
    return signal_after_call(t, ret) ? IR_STOP_CHECK : IR_STOP_EXIT;
}
