#include "user/procfs_files.h"

#include "user/signal.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#define THREADS_MAX 32768 /* more is taken for a ring */

bool procfs_read(const ProcView *v, uint64_t va, void *buf, size_t n)
{
    return v->mem < 0 ? guest_read(v->t->cpu, buf, va, n) : pread(v->mem, buf, n, (off_t)va) == (ssize_t)n;
}

/* --- pieces of the guest's memory ---------------------------------------------------------------------------------------- */

static void copy_memory(const ProcView *v, FILE *f, uint64_t start, uint64_t end)
{
    char buf[4096];
    while (start < end) {
        size_t n = end - start < sizeof buf ? end - start : sizeof buf;
        if (!procfs_read(v, start, buf, n))
            return;
        fwrite(buf, 1, n, f);
        start += n;
    }
}

void procfs_cmdline(const ProcView *v, FILE *f, FILE *host)
{
    copy_memory(v, f, v->p->arg_start, v->p->arg_end);
}

void procfs_environ(const ProcView *v, FILE *f, FILE *host)
{
    copy_memory(v, f, v->p->env_start, v->p->env_end);
}

void procfs_auxv(const ProcView *v, FILE *f, FILE *host)
{
    copy_memory(v, f, v->p->auxv_start, v->p->auxv_end);
}

/* --- signals ------------------------------------------------------------------------------------------------------------- */

/* Sets of signals as the guest has them: the host's differ where the engine needs signals for itself. */
typedef struct Sets {
    uint64_t pending, blocked, ignored, caught;
    uint32_t seccomp;    /* its mode */
    bool have_actions;
    bool have_thread;    /* pending and blocked are those of a thread of this process */
} Sets;

static Sets signal_sets(const ProcView *v)
{
    Sets s = { 0 };
    UserProc *p = v->t->p;
    pthread_mutex_lock(&p->lock);
    for (UserThread *t = p->threads; t; t = t->next) {
        if (v->mem >= 0 || t->tid != v->tid)
            continue;
        s.pending = t->sync_pend;
        s.blocked = t->mask;
        s.seccomp = t->seccomp.mode;
        s.have_thread = true;
    }
    pthread_mutex_unlock(&p->lock);
    UserSigs sigs = { .restorer = 0 };
    if (v->mem < 0) /* a look, without the lock: signal handlers take it */
        memcpy(sigs.act, v->p->sigs->act, sizeof sigs.act);
    else if (!procfs_read(v, (uintptr_t)v->p->sigs + offsetof(UserSigs, act), sigs.act, sizeof sigs.act))
        return s;
    s.have_actions = true;
    for (int sig = 1; sig <= USER_NSIG; sig++) {
        uint64_t handler = sigs.act[sig].handler;
        s.ignored |= handler == 1 ? SIG_BIT(sig) : 0;
        s.caught |= handler > 1 ? SIG_BIT(sig) : 0;
    }
    return s;
}

/* --- status, stat -------------------------------------------------------------------------------------------------------- */

static unsigned hidden_threads(const ProcView *v)
{
    unsigned sum = 0;
    for (unsigned n = 0; v->mem < 0 && n < ENGINE_BACKGROUND; n++)
        sum += engine_background_tid(v->t->p->engine, n) != 0;
    return sum;
}

void procfs_status(const ProcView *v, FILE *f, FILE *host)
{
    char line[1024];
    unsigned n;
    uint64_t set;
    Sets s = signal_sets(v);
    if (v->mem < 0)
        threads_gone(v->t->p);
    while (host && fgets(line, sizeof line, host)) {
        if (sscanf(line, "Threads: %u", &n) == 1)
            fprintf(f, "Threads:\t%u\n", n - hidden_threads(v));
        else if (s.have_thread && sscanf(line, "SigPnd: %" SCNx64, &set) == 1)
            fprintf(f, "SigPnd:\t%016" PRIx64 "\n", set | s.pending);
        else if (s.have_thread && sscanf(line, "SigBlk: %" SCNx64, &set) == 1)
            fprintf(f, "SigBlk:\t%016" PRIx64 "\n", s.blocked);
        else if (s.have_actions && sscanf(line, "SigIgn: %" SCNx64, &set) == 1)
            fprintf(f, "SigIgn:\t%016" PRIx64 "\n", s.ignored);
        else if (s.have_actions && sscanf(line, "SigCgt: %" SCNx64, &set) == 1)
            fprintf(f, "SigCgt:\t%016" PRIx64 "\n", s.caught);
        else if (s.have_thread && sscanf(line, "Seccomp: %u", &n) == 1)
            fprintf(f, "Seccomp:\t%u\n", s.seccomp);
        else
            fputs(line, f);
    }
}

/* A field of stat, numbered as in proc(5), that the host has otherwise; `was` when it is the host's. */
static uint64_t stat_field(const ProcView *v, const Sets *s, int field, uint64_t was)
{
    const UserProc *p = v->p;
    switch (field) {
    case 20: return was - hidden_threads(v);
    case 26: return p->main.code_start;
    case 27: return p->main.code_end;
    case 28: return p->stack_start;
    case 31: return s->have_thread ? (was | s->pending) & INT32_MAX : was; /* the first 31 signals are shown */
    case 32: return s->have_thread ? s->blocked & INT32_MAX : was;
    case 33: return s->ignored & INT32_MAX;
    case 34: return s->caught & INT32_MAX;
    case 45: return p->main.data_start;
    case 46: return p->main.data_end;
    case 47: return mm_brk_start(p->mm);
    case 48: return p->arg_start;
    case 49: return p->arg_end;
    case 50: return p->env_start;
    case 51: return p->env_end;
    default: return was;
    }
}

void procfs_stat(const ProcView *v, FILE *f, FILE *host)
{
    char line[2048];
    if (v->mem < 0)
        threads_gone(v->t->p);
    size_t n = host ? fread(line, 1, sizeof line - 1, host) : 0;
    line[n] = 0;
    char *p = strrchr(line, ')');
    if (!p)
        return;
    Sets s = signal_sets(v);
    fwrite(line, 1, (size_t)(p + 1 - line), f);
    int field = 3;
    for (char *save, *w = strtok_r(p + 1, " \n", &save); w; w = strtok_r(NULL, " \n", &save), field++) {
        uint64_t was = strtoull(w, NULL, 10), is = stat_field(v, &s, field, was);
        if (is != was)
            fprintf(f, " %" PRIu64, is);
        else
            fprintf(f, " %s", w);
    }
    fputc('\n', f);
}

/* --- what a thread waits for --------------------------------------------------------------------------------------------- */

/* The call that the thread is in, as the memory of its process has it. Threads come and go meanwhile. False: none. */
static bool find_call(const ProcView *v, int mem, UserNow *now, SysCall *call)
{
    UserThread t;
    off_t at = (off_t)(uintptr_t)v->p->threads;
    const ssize_t head = offsetof(UserThread, path);
    for (unsigned i = 0; at && i < THREADS_MAX && pread(mem, &t, (size_t)head, at) == head; i++, at = (off_t)(uintptr_t)t.next) {
        if (t.tid != v->tid)
            continue;
        *now = t.now;
        return now->call && pread(mem, call, sizeof *call, (off_t)(uintptr_t)now->call) == sizeof *call;
    }
    return false;
}

/* The host's file says whether the thread waits at all. */
void procfs_syscall(const ProcView *v, FILE *f, FILE *host)
{
    char line[256];
    UserNow now;
    SysCall call;
    if (!host || !fgets(line, sizeof line, host))
        return;
    int mem = v->mem < 0 ? open("/proc/self/mem", O_RDONLY | O_CLOEXEC) : v->mem;
    bool waits = strncmp(line, "running", 7) != 0 && find_call(v, mem, &now, &call);
    if (v->mem < 0 && mem >= 0)
        close(mem);
    if (!waits) {
        fputs("running\n", f);
        return;
    }
    fprintf(f, "%" PRId64, (int64_t)call.nr);
    for (unsigned i = 0; i < 6; i++)
        fprintf(f, " 0x%" PRIx64, call.arg[i]);
    fprintf(f, " 0x%" PRIx64 " 0x%" PRIx64 "\n", now.sp, now.pc);
}

/* --- limits, descriptors ------------------------------------------------------------------------------------------------- */

static void print_limit(FILE *f, const char *name, const struct rlimit *r)
{
    char soft[24] = "unlimited", hard[24] = "unlimited";
    if (r->rlim_cur != RLIM_INFINITY)
        snprintf(soft, sizeof soft, "%llu", (unsigned long long)r->rlim_cur);
    if (r->rlim_max != RLIM_INFINITY)
        snprintf(hard, sizeof hard, "%llu", (unsigned long long)r->rlim_max);
    fprintf(f, "%-25s %-20s %-20s %-10s\n", name, soft, hard, "bytes");
}

void procfs_limits(const ProcView *v, FILE *f, FILE *host)
{
    static const char as[] = "Max address space", data[] = "Max data size";
    char line[256];
    while (host && fgets(line, sizeof line, host)) {
        if (strncmp(line, as, sizeof as - 1) == 0)
            print_limit(f, as, &v->p->limit_as);
        else if (strncmp(line, data, sizeof data - 1) == 0)
            print_limit(f, data, &v->p->limit_data);
        else
            fputs(line, f);
    }
}

/* The flags of an open file, in the guest's values. */
void procfs_fdinfo(const ProcView *v, FILE *f, FILE *host)
{
    char line[1024];
    uint64_t flags;
    while (host && fgets(line, sizeof line, host)) {
        if (sscanf(line, "flags: %" SCNo64, &flags) == 1)
            fprintf(f, "flags:\t0%" PRIo64 "\n", v->p->abi->open_flags_out(flags));
        else
            fputs(line, f);
    }
}

/* --- the machine --------------------------------------------------------------------------------------------------------- */

void procfs_cpuinfo(const ProcView *v, FILE *f, FILE *host)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    v->p->abi->cpuinfo(f, v->p->cfg->engine.features, n > 0 ? (unsigned)n : 1);
}

void procfs_arch(const ProcView *v, FILE *f, FILE *host)
{
    fprintf(f, "%s\n", v->p->abi->machine);
}

void procfs_osrelease(const ProcView *v, FILE *f, FILE *host)
{
    struct utsname u;
    if (uname(&u) == 0) {
        guest_release(&u);
        fprintf(f, "%s\n", u.release);
    }
}
