/* From the engine's events to the tools': one function for each of ToolOps. */
#include "plugin/code.h"

#include "base/check.h"
#include "base/os.h"

#include <stdlib.h>
#include <string.h>

static Plugins *of(Tools *t)
{
    return (Plugins *)t;
}

/* --- calling tools ------------------------------------------------------------------------------------------------ */

typedef struct Call {
    Hook hook;
    void *arg;
    DgThread *t;
    bool result;
} Call;

/* Call each hook for an event, through `body`, with cx->hook set. Stops when one has answered (cx->result). */
static void each(Plugins *p, Vcpu *cpu, EventKind ev, const char *where, Body *body, Call *cx)
{
    for (unsigned h = 0; h < p->nhost; h++)
        for (unsigned k = 0; k < p->host[h]->nhook[ev] && !cx->result; k++) {
            cx->hook = p->host[h]->hook[ev][k];
            plugin_guard(p->host[h], cpu, where, body, cx);
        }
}

static bool wanted(const Plugins *p, EventKind ev)
{
    for (unsigned h = 0; h < p->nhost; h++)
        if (p->host[h]->nhook[ev])
            return true;
    return false;
}

/* --- translation -------------------------------------------------------------------------------------------------- */

typedef void TranslateFn(void *data, DgBlock *b);

static void body_translate(void *ctx)
{
    const Call *c = ctx;
    ((TranslateFn *)c->hook.fn)(c->hook.data, c->arg);
}

static void show_code(Code *c)
{
    uint64_t key = window_key(c->p, tool_state(fetch_vcpu(c->f)->h.ir.mode));

    c->now = c->p->self;
    window_attach(c, key);
    wrap_attach(c);
    for (unsigned h = 0; h < c->p->nhost; h++) {
        c->now = c->p->host[h];
        if (!window_watches(c->now, key))
            continue;
        for (unsigned k = 0; k < c->now->nhook[EV_TRANSLATE]; k++)
            for (uint32_t b = 0; b < c->nblock; b++) {
                Call cx = {.hook = c->now->hook[EV_TRANSLATE][k], .arg = c->block[b]};
                plugin_guard(c->now, fetch_vcpu(c->f), "looking at code", body_translate, &cx);
            }
    }
}

static void on_region(Tools *t, Fetch *f, IrRegion *r, const ToolRegion *how)
{
    Plugins *p = of(t);
    Code c = {.p = p, .f = f, .r = r, .how = how};
    DgThread *thread = fetch_vcpu(f)->tool;

    if (thread && how->resumes) {
        c.after = thread->resume;
        thread->resume = NULL;
    }
    if (!wanted(p, EV_TRANSLATE) && !p->nwindow && !p->wraps)
        return;
    code_read(&c);
    pthread_mutex_lock(&p->lock);
    for (uint32_t b = 0; b < c.nblock; b++)
        image_at(p, c.block[b]->insn[0]->info.pc);
    show_code(&c);
    code_lower(&c);
    pthread_mutex_unlock(&p->lock);
}

/* --- calls from translated code ----------------------------------------------------------------------------------- */

typedef struct SiteCall {
    const Site *s;
    DgThread *t;
    const DgEvent *ev;
} SiteCall;

static void body_site(void *ctx)
{
    const SiteCall *c = ctx;
    c->s->fn(c->t, c->s->data, c->ev);
}

/* The site's event with what is known only now. */
static DgEvent event_now(const Site *s, const IrVal arg[2])
{
    DgEvent ev = s->ev;
    unsigned bytes = ev.bytes ? ev.bytes : 8;

    ev.addr = arg[0].u64[0];
    ev.value[0] = bytes < 8 ? arg[1].u64[0] & ((1ull << (8 * bytes)) - 1) : arg[1].u64[0];
    ev.value[1] = bytes > 8 ? arg[1].u64[1] : 0;
    return ev;
}

/* The thread leaves translated code, and goes on with what a tool has written. */
static IrStop go_on(DgThread *t, Vcpu *cpu, const Site *s)
{
    memcpy(cpu->h.state, thread_state(t), sizeof t->state);
    vcpu_fp_changed(cpu);
    if (t->wrote_pc || t->leave) {
        cpu->h.ir.pc = t->wrote_pc ? t->pc : s->ev.pc;
        return IR_STOP_CHECK;
    }
    t->resume = s;
    cpu->h.ir.pc = s->ev.point == DG_AFTER ? s->next_pc : s->ev.pc;
    return s->ev.point == DG_AFTER ? IR_STOP_CHECK : IR_STOP_RESUME;
}

static void call_begins(DgThread *t, Vcpu *cpu, const Site *s, IrShow *show)
{
    cpu->h.ir.pc = s->ev.pc; /* for reports; whoever leaves translated code sets it */
    t->show = show;
    t->calling = s;
    t->access = s->access;
    t->seen = t->wrote = t->wrote_pc = t->leave = t->again = false;
}

static IrStop call_ends(DgThread *t, Vcpu *cpu, const Site *s)
{
    IrStop stop = t->wrote | t->wrote_pc | t->leave | t->again ? go_on(t, cpu, s) : IR_STOP_NONE;

    t->show = NULL;
    t->access = 0;
    return stop;
}

static bool knows_all(const Site *s)
{
    return s->ev.point == DG_BEFORE || s->ev.point == DG_AFTER;
}

/* From the interpreter. */
static IrStop on_call(Tools *tools, Vcpu *cpu, uint64_t site, const IrVal arg[2], IrShow *show)
{
    const Site *s = (const Site *)(uintptr_t)site;
    DgEvent ev = event_now(s, arg);
    SiteCall c = {s, cpu->tool, &ev};

    call_begins(c.t, cpu, s, show);
    plugin_guard(s->h, cpu, "being called", body_site, &c);
    return call_ends(c.t, cpu, s);
}

/* From translated code, by the hundred million: on_crash is the guard. */
static IrStop on_code_call(Tools *tools, Vcpu *cpu, uint64_t site, const IrVal arg[2], IrShow *show)
{
    const Site *s = (const Site *)(uintptr_t)site;
    DgThread *t = cpu->tool;
    DgEvent ev;

    if (atomic_load_explicit(&s->h->ended, memory_order_relaxed))
        return IR_STOP_NONE;
    call_begins(t, cpu, s, show);
    cpu->escape = VCPU_CODE_CALL;
    if (knows_all(s)) {
        s->fn(t, s->data, &s->ev);
    } else {
        ev = event_now(s, arg);
        s->fn(t, s->data, &ev);
    }
    cpu->escape = NULL;
    return call_ends(t, cpu, s);
}

static void on_crash(Tools *tools, Vcpu *cpu, bool told)
{
    DgThread *t = cpu->tool;
    const Site *s = told ? (const Site *)cpu->h.told : t->calling;

    cpu->h.ir.pc = s->ev.pc;
    plugin_crashed(s->h, cpu, "being called");
    t->show = NULL;
    t->access = 0;
}

/* --- events with guest state in the vcpu -------------------------------------------------------------------------- */

static void body_event(void *ctx)
{
    const Call *c = ctx;
    ((DgCallFn *)c->hook.fn)(c->t, c->hook.data, c->arg);
}

static void on_access(Tools *tools, Vcpu *cpu, uint64_t va, uint64_t len, bool write, ToolAccess by)
{
    static const uint8_t kind[] = {
        [TOOL_BY_HELPER] = DG_BY_HELPER, [TOOL_BY_SYSCALL] = DG_BY_SYSCALL, [TOOL_BY_SIGNAL] = DG_BY_SIGNAL};
    DgEvent ev = {.size = sizeof ev,
                  .point = DG_MEM_AFTER,
                  .kind = (uint8_t)(kind[by] | (write ? DG_WRITE : DG_READ)),
                  .bytes = (uint8_t)(len <= 16 ? len : 0),
                  .pc = cpu->h.ir.pc,
                  .addr = va,
                  .length = len};
    Call c = {.arg = &ev, .t = cpu->tool};

    if (c.t)
        each(of(tools), cpu, EV_ACCESS, "hearing of a memory access", body_event, &c);
}

static void on_fault(Tools *tools, Vcpu *cpu, const GuestFault *f)
{
    Plugins *p = of(tools);
    DgEvent ev = {.size = sizeof ev,
                  .point = DG_FAULT,
                  .kind = f->write ? DG_WRITE : DG_READ,
                  .signal = (uint8_t)f->sig,
                  .pc = cpu->h.ir.pc,
                  .addr = f->addr};
    Call c = {.arg = &ev, .t = cpu->tool};

    if (!c.t || !atomic_load_explicit(&p->nfault, memory_order_relaxed))
        return;
    for (const FaultHook *x = atomic_load(&p->faults[(ev.pc >> 2) % FAULT_BUCKETS]); x; x = x->next)
        if (x->pc == ev.pc) {
            c.hook = (Hook){(void (*)(void))x->fn, x->data};
            plugin_guard(x->h, cpu, "hearing of a fault", body_event, &c);
        }
}

typedef bool BeforeFn(DgThread *t, void *data, DgSyscall *s);
typedef void AfterFn(DgThread *t, void *data, const DgSyscall *s);

static void body_before(void *ctx)
{
    Call *c = ctx;
    c->result = ((BeforeFn *)c->hook.fn)(c->t, c->hook.data, c->arg);
}

static void body_after(void *ctx)
{
    const Call *c = ctx;
    ((AfterFn *)c->hook.fn)(c->t, c->hook.data, c->arg);
}

static DgSyscall public_syscall(const ToolSyscall *s)
{
    DgSyscall d = {.size = sizeof d,
                   .number = (uint32_t)s->nr,
                   .name = s->name,
                   .pc = s->pc,
                   .result = s->result,
                   .text = s->text};

    memcpy(d.arg, s->arg, sizeof d.arg);
    return d;
}

static bool on_syscall_before(Tools *tools, Vcpu *cpu, ToolSyscall *s)
{
    DgSyscall d = public_syscall(s);
    Call c = {.arg = &d, .t = cpu->tool};

    each(of(tools), cpu, EV_SYSCALL_BEFORE, "hearing of a system call", body_before, &c);
    s->result = d.result;
    return c.result;
}

static void on_syscall_after(Tools *tools, Vcpu *cpu, const ToolSyscall *s)
{
    DgSyscall d = public_syscall(s);
    Call c = {.arg = &d, .t = cpu->tool};

    each(of(tools), cpu, EV_SYSCALL_AFTER, "hearing of a system call's end", body_after, &c);
}

typedef void SignalFn(DgThread *t, void *data, const DgSignal *s);

static void body_signal(void *ctx)
{
    const Call *c = ctx;
    ((SignalFn *)c->hook.fn)(c->t, c->hook.data, c->arg);
}

static void on_signalled(Tools *tools)
{
    window_signalled(of(tools), atomic_exchange(&tools->signalled, 0));
}

static void on_signal(Tools *tools, Vcpu *cpu, int number, int code, uint64_t addr, uint64_t handler)
{
    DgSignal s = {
        .size = sizeof s, .number = number, .code = code, .pc = cpu->h.ir.pc, .addr = addr, .handler = handler};
    Call c = {.arg = &s, .t = cpu->tool};

    if (c.t)
        each(of(tools), cpu, EV_SIGNAL, "hearing of a signal", body_signal, &c);
}

/* --- threads and processes ---------------------------------------------------------------------------------------- */

typedef void ThreadFn(DgThread *t, void *data);
typedef void PlainFn(void *data);

static void body_thread(void *ctx)
{
    const Call *c = ctx;
    ((ThreadFn *)c->hook.fn)(c->t, c->hook.data);
}

static void body_plain(void *ctx)
{
    const Call *c = ctx;
    ((PlainFn *)c->hook.fn)(c->hook.data);
}

static void on_thread_start(Tools *tools, Vcpu *cpu)
{
    Plugins *p = of(tools);
    DgThread *t = aligned_alloc(64, (sizeof *t + 63) / 64 * 64);
    Call c = {.t = t};

    CHECK(t != NULL);
    memset(t, 0, sizeof *t);
    t->p = p;
    t->cpu = cpu;
    cpu->tool = t;
    pthread_mutex_lock(&p->list_lock);
    t->number = p->nthread++;
    t->next = p->threads;
    p->threads = t;
    pthread_mutex_unlock(&p->list_lock);
    *cell_of(cpu, cell_disp(p->tools.e, p->thread_cell)) = t->number;
    stream_thread_start(t);
    window_thread_start(t);
    each(p, cpu, EV_THREAD_START, "hearing of a new thread", body_thread, &c);
}

static void unlink_thread(Plugins *p, const DgThread *t)
{
    DgThread **at = &p->threads;

    while (*at != t)
        at = &(*at)->next;
    *at = t->next;
}

static void on_thread_end(Tools *tools, Vcpu *cpu)
{
    Plugins *p = of(tools);
    DgThread *t = cpu->tool;
    Call c = {.t = t};

    if (!t->finished)
        each(p, cpu, EV_THREAD_END, "hearing of a thread's end", body_thread, &c);
    stream_thread_end(t);
    pthread_mutex_lock(&p->list_lock);
    cells_thread_end(p, cpu);
    unlink_thread(p, t);
    pthread_mutex_unlock(&p->list_lock);
    cpu->tool = NULL;
    for (ThreadData *d = t->data, *next; d; d = next) {
        next = d->next;
        free(d->mem);
        free(d);
    }
    free(t->frame);
    free(t);
}

static void on_fork_child(Tools *tools, Vcpu *self)
{
    Plugins *p = of(tools);
    Call c = {.t = self->tool};

    feed_fork_child(p);
    p->threads = c.t; /* the others are not here: their memory was the parent's */
    c.t->next = NULL;
    cells_fork_child(p, self);
    *cell_of(self, cell_disp(p->tools.e, p->thread_cell)) = c.t->number;
    stream_fork_child(c.t);
    for (unsigned k = 0; k < p->nhost; k++)
        plugin_output_fork_child(p->host[k]);
    each(p, self, EV_FORK, "hearing of a fork", body_plain, &c);
}

/* Other threads rest, and the child will not have them. */
static void on_fork(Tools *tools, bool begin)
{
    Plugins *p = of(tools);

    if (!begin) {
        feed_fork_end(p);
        return;
    }
    feed_fork_begin(p);
    for (DgThread *t = p->threads; t; t = t->next)
        qemu_scores_keep(t);
}

static void on_stop_threads(Tools *tools)
{
    feed_stop(of(tools));
}

/* All other threads rest. Not under list_lock: consumers may ask what cells come to. */
static void flush_all(Plugins *p)
{
    pthread_mutex_lock(&p->list_lock);
    DgThread *t = p->threads;
    pthread_mutex_unlock(&p->list_lock);
    while (t) {
        for (unsigned k = 0; k < p->nstream; k++)
            stream_flush(t, &p->stream[k]);
        pthread_mutex_lock(&p->list_lock);
        t = t->next;
        pthread_mutex_unlock(&p->list_lock);
    }
}

static void on_finish(Tools *tools, Vcpu *cpu)
{
    Plugins *p = of(tools);
    Call c = {.t = cpu->tool};

    each(p, cpu, EV_THREAD_END, "hearing of a thread's end", body_thread, &c);
    c.t->finished = true;
    flush_all(p);
    each(p, cpu, EV_FINISH, "finishing", body_plain, &c);
}

/* --- images ------------------------------------------------------------------------------------------------------- */

static void on_unmapped(Tools *tools, uint64_t start, uint64_t end)
{
    Plugins *p = of(tools);

    pthread_mutex_lock(&p->lock);
    image_unmapped(p, start, end);
    pthread_mutex_unlock(&p->lock);
}

const ToolOps plugin_ops = {
    .start = plugins_start,
    .region = on_region,
    .call = on_call,
    .code_call = on_code_call,
    .crash = on_crash,
    .room = stream_room,
    .combine = cells_combine,
    .thread_start = on_thread_start,
    .thread_end = on_thread_end,
    .access = on_access,
    .fault = on_fault,
    .syscall_before = on_syscall_before,
    .syscall_after = on_syscall_after,
    .signal = on_signal,
    .signalled = on_signalled,
    .unmapped = on_unmapped,
    .fork = on_fork,
    .fork_child = on_fork_child,
    .stop_threads = on_stop_threads,
    .finish = on_finish,
};
