/*
 * Host signals that mean a fault, and what becomes of them:
 *   - in a safe_* routine (base/safe.h): it returns failure, the caller asks fault_note what happened;
 *   - in translated code: the host's side table gives the exact guest state, the translation is left, and the run loop
 *     delivers the fault or repairs its cause (fault_handle); a floating-point operation that trapped is completed in place;
 *   - sent by somebody: the environment's business;
 *   - anything else is a bug of ours: one line, then the default action.
 *
 * Handlers run on an alternate stack, for the host stack pointer belongs to translated code.
 */
#include "engine/internal.h"

#include "base/check.h"
#include "base/log.h"
#include "base/os.h"
#include "base/safe.h"

#include <errno.h>
#include <setjmp.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#define ALTSTACK_BYTES (64u << 10)

/* A signal handler is given no context of ours: these are what it has to go by. */
static _Thread_local Vcpu *current;
static _Thread_local struct Noted {
    int sig, code;
    uint64_t addr;
    bool write;
} noted;
static _Thread_local bool crashing;
static const EnvOps *async_env;

static const int fault_signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};

Vcpu *fault_current(void)
{
    return current;
}

static void put_hex(char **p, uint64_t v)
{
    *(*p)++ = '0';
    *(*p)++ = 'x';
    int digits = 1;
    while (digits < 16 && v >> (4 * digits))
        digits++;
    while (digits-- > 0)
        *(*p)++ = "0123456789abcdef"[v >> (4 * digits) & 15];
}

static void put_text(char **p, const char *s)
{
    while (*s)
        *(*p)++ = *s++;
}

/* One line with what is async-signal-safe, then the default action when the handler returns. */
static void crash(int sig, const siginfo_t *info, void *uc)
{
    char buf[300], *p = buf;

    if (!crashing) {
        crashing = true;
        put_text(&p, "dragoman: internal error: ");
        put_text(&p, sig == SIGSEGV ? "SIGSEGV" : sig == SIGBUS ? "SIGBUS" : sig == SIGFPE ? "SIGFPE" : sig == SIGILL ? "SIGILL" : "SIGTRAP");
        put_text(&p, " at host address ");
        put_hex(&p, os_uc_pc(uc));
        put_text(&p, " accessing ");
        put_hex(&p, (uintptr_t)info->si_addr);
        if (current) {
            put_text(&p, cache_contains(&current->e->cache, (void *)os_uc_pc(uc)) ? ", in translated code" : "");
            put_text(&p, ", guest pc ");
            put_hex(&p, current->h.ir.pc);
        }
        *p++ = '\n';
        if (write(STDERR_FILENO, buf, (size_t)(p - buf)) < 0)
            p = buf;
    }
    struct sigaction dfl = {.sa_handler = SIG_DFL};
    sigaction(sig, &dfl, NULL);
}

/* Traps of one translation's operations after which it is made anew with inline tests. */
#define FP_TRAPS_MAX 3

/*
 * An FP operation whose result on the guest differs from the host's: the host's part computes it, and execution goes on
 * behind it. A trap costs microseconds: a translation that meets many is made anew, without them, from the next poll on.
 */
static bool fp_trap(Vcpu *cpu, const Translation *t, uint8_t *traps, void *uc)
{
    unsigned careful = cpu->e->host->fp_trap(&cpu->h, uc);

    if (!careful)
        return false;
    cpu->stats.fp_traps++;
    if (__atomic_add_fetch(traps, 1, __ATOMIC_RELAXED) >= FP_TRAPS_MAX) { /* other threads may be in it */
        __atomic_store_n(traps, 0, __ATOMIC_RELAXED);
        cpu->redo.pc = t->pc;
        cpu->redo.mode = t->mode;
        cpu->redo.forms = careful * LIFT_CAREFUL_FP;
        __atomic_store_n(&cpu->h.exit_request, 1, __ATOMIC_RELAXED);
    }
    return true;
}

/* A fault inside the code cache. False when it is not one of the guest's. */
static bool in_code(Vcpu *cpu, int sig, const siginfo_t *info, void *uc)
{
    Engine *e = cpu->e;
    const void *hpc = (const void *)os_uc_pc(uc);

    if (!e->plan || !cache_contains(&e->cache, hpc))
        return false;
    if (sig == SIGSEGV && e->host->shadow_overflow(e->plan, &cpu->h, uc, info->si_addr))
        return true;
    Translation kept;
    bool is_kept = persist_place(e, hpc, &kept);
    Translation *t = is_kept ? &kept : cache_find(&e->cache, hpc);
    if (!t)
        return false;
    uint8_t *traps = is_kept ? &cpu->kept_traps[(uintptr_t)t->hpc / 16 % sizeof cpu->kept_traps] : &t->fp_traps;
    if (sig == SIGFPE && fp_trap(cpu, t, traps, uc))
        return true;
    if (!e->host->recover(e->plan, &cpu->h, t->hpc, t->side, t->side_len, hpc, uc))
        return false;
    /* A non-canonical address in a form with rbp as its base is a stack fault, which arrives as SIGBUS. */
    if (info->si_code == SI_KERNEL)
        sig = SIGSEGV;
    cpu->fault = (GuestFault){
        .sig = sig, .code = info->si_code, .addr = (uintptr_t)info->si_addr, .write = os_uc_is_write(uc)};
    mem_ops.unlock(&cpu->h.ir, false);
    e->host->leave(e->plan, &cpu->h, uc, IR_STOP_FAULT);
    return true;
}

/* A tool crashed: back to who called it, with the signals that the thread had unblocked. */
static void escape(Vcpu *cpu, void *ucv)
{
    const ucontext_t *uc = ucv;
    void *to = cpu->escape;
    Tools *tools = cpu->e->cfg.tools;

    cpu->escape = NULL;
    if (!to || to == VCPU_CODE_CALL) {
        tools->ops->crash(tools, cpu, !to);
        cpu->e->host->abandon(cpu->e->plan, &cpu->h, ucv);
        return;
    }
    pthread_sigmask(SIG_SETMASK, &uc->uc_sigmask, NULL);
    __builtin_longjmp(to, 1);
}

static void on_fault(int sig, siginfo_t *info, void *uc)
{
    int saved_errno = errno;

    if (info->si_code <= 0 && async_env && async_env->async_signal) {
        async_env->async_signal(sig, info, uc);
    } else if ((sig == SIGSEGV || sig == SIGBUS) && (safe_fixup(uc) || (current && restart_fixup(current->section.by, uc)))) {
        noted = (struct Noted){sig, info->si_code, (uintptr_t)info->si_addr, os_uc_is_write(uc)};
    } else if (!current || !in_code(current, sig, info, uc)) {
        if (current && (current->escape || current->h.told))
            escape(current, uc);
        else
            crash(sig, info, uc);
    }
    errno = saved_errno;
}

void fault_unblocked(sigset_t *set)
{
    for (unsigned i = 0; i < sizeof fault_signals / sizeof fault_signals[0]; i++)
        sigdelset(set, fault_signals[i]);
}

bool fault_install(Engine *e, Status *st)
{
    struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER | SA_RESTART};

    async_env = e->cfg.env;
    /* Asynchronous signals wait until the handler is done: it must leave translated code in one piece. */
    sigfillset(&sa.sa_mask);
    fault_unblocked(&sa.sa_mask);
    for (unsigned i = 0; i < sizeof fault_signals / sizeof fault_signals[0]; i++) {
        if (sigaction(fault_signals[i], &sa, NULL) != 0)
            return status_set(st, STATUS_HOST, "cannot install a handler for signal %d: %s", fault_signals[i], strerror(errno));
    }
    return true;
}

void fault_uninstall(void)
{
    struct sigaction dfl = {.sa_handler = SIG_DFL};

    for (unsigned i = 0; i < sizeof fault_signals / sizeof fault_signals[0]; i++)
        sigaction(fault_signals[i], &dfl, NULL);
    async_env = NULL;
}

void fault_attach(Vcpu *cpu)
{
    sigset_t set;

    cpu->altstack = os_alloc(ALTSTACK_BYTES);
    CHECK(cpu->altstack != NULL);
    stack_t ss = {.ss_sp = cpu->altstack, .ss_size = ALTSTACK_BYTES};
    sigaltstack(&ss, NULL);
    current = cpu;
    sigemptyset(&set);
    for (unsigned i = 0; i < sizeof fault_signals / sizeof fault_signals[0]; i++)
        sigaddset(&set, fault_signals[i]);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

void fault_detach(Vcpu *cpu)
{
    stack_t off = {.ss_flags = SS_DISABLE};

    sigaltstack(&off, NULL);
    os_free(cpu->altstack, ALTSTACK_BYTES);
    cpu->altstack = NULL;
    current = NULL;
}

/* --- from host faults to the guest's --------------------------------------------------------------------------------- */

/* Not an address at all on this host: the kernel then cannot say which one was used. */
static bool non_canonical(uint64_t va)
{
    int64_t top = (int64_t)va >> 47;

    return top != 0 && top != -1;
}

void fault_note(Vcpu *cpu, uint64_t va, unsigned size, bool write)
{
    GuestFault f = {.sig = noted.sig, .code = noted.code, .addr = noted.addr, .write = write};

    if (noted.code == SI_KERNEL) {
        /* General protection: a non-canonical address, or a misaligned one where the host insists. */
        bool misaligned = !non_canonical(va) && (va & (size - 1));
        f.sig = misaligned ? SIGBUS : SIGSEGV;
        f.code = misaligned ? BUS_ADRALN : SEGV_MAPERR;
        f.addr = va;
    }
    cpu->fault = f;
}

void fault_note_bulk(Vcpu *cpu, uint64_t dst, uint64_t src)
{
    bool write = noted.code == SI_KERNEL ? non_canonical(dst) : noted.write;

    fault_note(cpu, write ? dst : src, 1, write);
}

/* The site at pc may have met a tagged pointer: it is translated in its careful form from now on. */
void fault_make_careful(Vcpu *cpu)
{
    Engine *e = cpu->e;
    unsigned forms = e->cfg.guest->careful & LIFT_CAREFUL_TAG;

    if (!forms || !careful_add(e, cpu->h.ir.pc, forms))
        return;
    if (careful_everywhere(e))
        engine_invalidate(e, 0, UINT64_MAX);
    else
        kill_page(e, cpu->h.ir.pc);
}

bool fault_is_tag(Vcpu *cpu)
{
    const GuestFault *f = &cpu->fault;

    return f->sig == SIGSEGV && (f->code == SI_KERNEL || non_canonical(f->addr)) &&
           (cpu->e->cfg.guest->careful & ~careful_forms(cpu->e, cpu->h.ir.pc) & LIFT_CAREFUL_TAG);
}

/* The fault may be that of an instruction behind the one at pc, with which it was translated as one: not any more. */
static bool part_it(Vcpu *cpu)
{
    const Guest *g = cpu->e->cfg.guest;
    uint64_t pc = cpu->h.ir.pc;
    uint8_t insn[4];
    size_t len;

    if (!g->joins || (careful_forms(cpu->e, pc) & LIFT_CAREFUL_ALONE))
        return false;
    const uint8_t *code = cpu->e->cfg.env->code(cpu, pc, &len);
    if (!code || len < sizeof insn || safe_copy(insn, code, sizeof insn) || !g->joins(insn, sizeof insn))
        return false;
    if (careful_add(cpu->e, pc, LIFT_CAREFUL_ALONE))
        kill_page(cpu->e, pc);
    return true;
}

/* The interpreter does the instruction at pc alone. Returns whether it came to another end than the fault. */
static bool redo_alone(Vcpu *cpu, bool *go_on)
{
    IrStop stop = run_resume_once(cpu);

    if (stop == IR_STOP_FAULT && !cpu->section.cleared)
        return false;
    *go_on = run_stop(cpu, stop);
    return true;
}

bool fault_handle(Vcpu *cpu)
{
    const GuestFault *f = &cpu->fault;
    bool go_on, alone = part_it(cpu);

    cpu->stats.faults++;
    if (log_on_pc(LOG_SIGNAL, cpu->h.ir.pc))
        log_line("fault at 0x%llx: signal %d code %d address 0x%llx%s", (unsigned long long)cpu->h.ir.pc, f->sig, f->code,
                 (unsigned long long)f->addr, f->write ? " (store)" : "");
    if (f->sig == SIGSEGV && (f->code == SI_KERNEL || non_canonical(f->addr))) {
        fault_make_careful(cpu);
        alone = true; /* or finds out the address, which the host did not tell */
    }
    if (alone && redo_alone(cpu, &go_on))
        return go_on;
    if (cpu->e->cfg.tools)
        cpu->e->cfg.tools->ops->fault(cpu->e->cfg.tools, cpu, &cpu->fault);
    return cpu->e->cfg.env->fault(cpu, &cpu->fault);
}

int fault_fetch_code(uint64_t pc)
{
    unsigned char vec;
    size_t page = os_page_size();

    return mincore((void *)(uintptr_t)(pc & ~(uint64_t)(page - 1)), page, &vec) == 0 ? SEGV_ACCERR : SEGV_MAPERR;
}
