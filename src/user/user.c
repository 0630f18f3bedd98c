/* A guest process from its program to its end. */
#include "user/user.h"

#include "base/check.h"
#include "base/log.h"
#include "base/os.h"
#include "base/own_fd.h"
#include "base/safe.h"
#include "engine/instrument.h"
#include "user/inherit.h"
#include "user/path.h"
#include "user/procfs_files.h"
#include "user/process.h"
#include "user/program.h"
#include "user/ptrace.h"
#include "user/rseq.h"
#include "user/seccomp.h"
#include "user/signal.h"
#include "user/stack.h"
#include "user/symbol.h"
#include "user/uring.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static const UserAbi *const abis[] = { &abi_aarch64 };

const UserAbi *abi_by_guest(const Guest *g)
{
    for (size_t i = 0; i < sizeof abis / sizeof abis[0]; i++)
        if (strcmp(abis[i]->guest, g->name) == 0)
            return abis[i];
    return NULL;
}

/* --- the vcpu's environment ----------------------------------------------------------------------------------------- */

static const uint8_t *env_code(Vcpu *cpu, uint64_t pc, size_t *len)
{
    return mm_stretch(user_thread(cpu)->p->mm, pc, PROT_EXEC, len);
}

static bool env_read(Vcpu *cpu, uint64_t va, void *buf, size_t n)
{
    size_t len;
    const uint8_t *data = mm_stretch(user_thread(cpu)->p->mm, va, PROT_READ, &len);

    return data && len >= n && safe_copy(buf, data, n) == 0;
}

static bool env_guarded(Vcpu *cpu, uint64_t pc)
{
    return mm_guarded(user_thread(cpu)->p->mm, pc);
}

static bool env_image(Vcpu *cpu, uint64_t pc, EnvImage *out)
{
    return mm_image(user_thread(cpu)->p->mm, pc, out);
}

static void env_image_name(Vcpu *cpu, uint64_t pc, char *buf, size_t len)
{
    user_image_name(pc, buf, len);
}

static uint64_t env_counter(Vcpu *cpu, uint64_t frequency)
{
    UserThread *t = user_thread(cpu);
    return clock_counter(&t->p->clock, t->tid, frequency);
}

static uint64_t env_random(Vcpu *cpu)
{
    UserThread *t = user_thread(cpu);
    uint64_t v = 0;
    t->p->nondet->ops->random(t->p->nondet, t->tid, &v, sizeof v);
    return v;
}

/* The engine's own thread asks for code alone: of its guest thread it needs to know the process. */
static void *env_translator(Vcpu *cpu)
{
    UserThread *t = calloc(1, sizeof *t);
    CHECK(t != NULL);
    t->p = user_thread(cpu)->p;
    return t;
}

static void env_stepped(Vcpu *cpu)
{
    ptrace_step(user_thread(cpu));
}

/* A tracer's options attach every thread that this one starts. */
static bool env_alone(Vcpu *cpu)
{
    return ptrace_on(user_thread(cpu));
}

static const EnvOps env_ops = {
    .code = env_code, .read = env_read, .guarded = env_guarded, .image = env_image, .image_name = env_image_name, .pending = signal_pending,
    .fault = signal_fault, .syscall = user_syscall, .counter = env_counter, .random = env_random,
    .section_near = rseq_section_near, .section = rseq_section, .section_named = rseq_section_named, .section_abort = rseq_section_abort,
    .async_signal = signal_async, .translator = env_translator, .stepped = env_stepped, .alone = env_alone,
};

/* --- finding the program -------------------------------------------------------------------------------------------- */

static PathEnv path_env(const UserProc *p)
{
    return (PathEnv){ p->sysroot, p->cwd, p->whole_sysroot, p->nondet, p->pid };
}

/* "big-endian 32-bit AArch64", in buf. */
static const char *describe_machine(const ElfInfo *elf, char *buf, size_t len)
{
    char name[32];
    bool narrow = !elf->wide && elf->machine != EM_386 && elf->machine != EM_ARM;
    snprintf(buf, len, "%s%s%s", elf->little ? "" : "big-endian ", narrow ? "32-bit " : "", elf_machine_name(elf->machine, name));
    return buf;
}

/* Say why a program that is a fine ELF file cannot be run here. */
static bool check_machine(const Program *prog, Status *st)
{
    char buf[64];
    if (prog->elf.guest && abi_by_guest(prog->elf.guest))
        return true;
    return status_set(st, STATUS_NOT_RUN, "%s: is for %s, which is not a guest that dragoman runs", prog->path,
                      describe_machine(&prog->elf, buf, sizeof buf));
}

/* A sysroot's path without links and a slash at its end, so that it is a prefix of what the host's kernel reports. */
static bool set_sysroot(UserProc *p, const char *dir, Status *st)
{
    p->sysroot[0] = 0;
    if (!dir || !*dir)
        return true;
    if (!realpath(dir, p->sysroot))
        return status_set(st, STATUS_NOT_FOUND, "sysroot %s: %s", dir, strerror(errno));
    if (strcmp(p->sysroot, "/") == 0)
        p->sysroot[0] = 0;
    char lib[PATH_MAX + 16];
    snprintf(lib, sizeof lib, "%s/usr/lib", p->sysroot);
    p->whole_sysroot = p->sysroot[0] && access(lib, F_OK) == 0;
    return true;
}

const Guest *user_probe(const char *path, const char *sysroot, Status *st)
{
    UserProc *p = calloc(1, sizeof *p);
    CHECK(p != NULL);
    p->nondet = nondet_live();
    const Guest *g = NULL;
    Program prog = { .fd = -1 };
    if (set_sysroot(p, sysroot, st)) {
        path_note_cwd(p, 0);
        PathEnv env = path_env(p);
        char *none[1] = { NULL };
        if (program_find(&env, path, none, &prog, st) && check_machine(&prog, st))
            g = prog.elf.guest;
        program_close(&prog);
    }
    free(p);
    return g;
}

static void set_exe(UserProc *p, const Program *prog)
{
    if (!realpath(prog->host, p->exe))
        snprintf(p->exe, sizeof p->exe, "%s", prog->host);
    snprintf(p->exe_guest, sizeof p->exe_guest, "%s", path_guest_name(p, p->exe));
}

static bool load_interp(UserProc *p, const Program *prog, Status *st)
{
    char host[PATH_MAX];
    const char *name = prog->elf.interp;
    if (!name[0])
        return true;
    PathEnv env = path_env(p);
    int err = path_resolve(&env, name, 0, host);
    int fd = err ? -1 : open(host, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return status_set(st, STATUS_NOT_RUN, "%s: its interpreter %s is missing%s%s: make a sysroot that has it "
                          "(dragoman sysroot create --arch %s DIR libc6) and give it with -L", prog->path, name,
                          p->sysroot[0] ? " in " : "", p->sysroot, prog->elf.guest->deb_arch);
    ElfInfo info;
    bool ok = elf_probe(fd, name, &info, st);
    if (ok && info.guest != prog->elf.guest) {
        char buf[64];
        ok = status_set(st, STATUS_NOT_RUN, "%s: its interpreter %s is for %s: give a sysroot of %s with -L", prog->path, host,
                        describe_machine(&info, buf, sizeof buf), prog->elf.guest->deb_arch);
    }
    ok = ok && elf_load(p->mm, fd, name, false, &p->interp, st);
    close(fd);
    return ok;
}

static bool map_vdso(UserProc *p, Status *st)
{
    const int rw = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE | MAP_ANONYMOUS;
    int64_t at = mm_map(p->mm, 0, MM_PAGE, rw, flags, -1, 0);
    if (at < 0)
        return status_set(st, STATUS_HOST, "no memory for the vDSO");
    memcpy((void *)(uintptr_t)at, p->abi->vdso, *p->abi->vdso_size);
    mm_protect(p->mm, (uint64_t)at, MM_PAGE, PROT_READ | PROT_EXEC);
    mm_set_kind(p->mm, (uint64_t)at, MM_PAGE, MM_VDSO);
    p->vdso = (uint64_t)at;
    return true;
}

/* --log-pc=NAME: the symbol's addresses, in the program or its interpreter, now that they are known. */
static bool find_log_symbol(UserProc *p, const Program *prog, Status *st)
{
    const char *name = log_symbol();
    uint64_t at, size;
    if (!name)
        return true;
    if (!elf_symbol(prog->fd, name, &at, &size))
        return status_set(st, STATUS_USAGE, "--log-pc: no symbol '%s' in %s", name, prog->path);
    at += p->main.base;
    log_set_bounds(at, at + (size ? size : 1));
    return true;
}

/* Map everything; returns the initial stack pointer, 0 with st set. */
static uint64_t load(UserProc *p, Program *prog, Status *st)
{
    const UserConfig *cfg = p->cfg;
    if (!elf_load(p->mm, prog->fd, prog->path, true, &p->main, st))
        return 0;
    mm_set_brk(p->mm, p->main.brk);
    if (!find_log_symbol(p, prog, st) || !load_interp(p, prog, st) || !map_vdso(p, st))
        return 0;
    const char *argv0 = prog->argv[0];
    if (cfg->argv0 && !prog->script && prog->argv[0])
        prog->argv[0] = (char *)cfg->argv0;
    uint64_t sp = stack_build(p, prog->argv, cfg->envp, cfg->program, st);
    prog->argv[0] = (char *)argv0;
    if (log_on(LOG_LOAD))
        log_line("load: vDSO at 0x%llx, heap from 0x%llx, stack 0x%llx", (unsigned long long)p->vdso,
                 (unsigned long long)p->main.brk, (unsigned long long)sp);
    return sp;
}

/* --- a process ------------------------------------------------------------------------------------------------------ */

/*
 * Under a chroot, the descriptor of dragoman's own file that a dragoman before this one started it by; -1. When the kernel started
 * it for a guest program (binfmt_misc), the descriptor may be that program's.
 */
static int inherited_self(void)
{
    struct stat self, file;
    int fd;
    const char *name = (const char *)getauxval(AT_EXECFN);
    if (!name || sscanf(name, "/dev/fd/%d", &fd) != 1 || fstat(fd, &file) != 0)
        return -1;
    bool other = stat("/proc/self/exe", &self) == 0 && (self.st_dev != file.st_dev || self.st_ino != file.st_ino);
    return other ? -1 : fd;
}

static UserProc *proc_new(const UserConfig *cfg, Status *st)
{
    UserProc *p = calloc(1, sizeof *p);
    CHECK(p != NULL);
    p->cfg = cfg;
    p->nondet = nondet_live();
    clock_init_host(&p->clock, p->nondet);
    pthread_mutex_init(&p->lock, NULL);
    p->pid = (int)getpid();
    p->forked_by = -1;
    p->self_fd = inherited_self();
    own_fd_mark(p->self_fd);
    if (cfg->strace || cfg->stats || cfg->engine.tools || log_mask)
        own_err_keep();
    getrlimit(RLIMIT_AS, &p->limit_as);
    getrlimit(RLIMIT_DATA, &p->limit_data);
    p->sigs = sigs_inherit();
    p->rseq = rseq_new();
    if ((cfg->inherit >= 0 && !inherit_take(p, cfg->inherit, st)) || !set_sysroot(p, cfg->sysroot, st))
        return p;
    path_note_cwd(p, p->pid);
    p->mm = mm_new(p->nondet, st);
    if (p->mm)
        mm_set_limits(p->mm, &p->limit_as, &p->limit_data);
    return p;
}

static void proc_free(UserProc *p)
{
    tracees_free(p);
    mm_free(p->mm);
    sigs_free(p->sigs);
    seccomp_done(p);
    uring_done(p);
    rseq_free(p->rseq);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

/* The name that ps and the kernel know the process by. */
static void set_name(const char *program)
{
    const char *base = strrchr(program, '/');
    prctl(PR_SET_NAME, base ? base + 1 : program);
}

#define HOST_AUXV 24 /* entries that every kernel has room for */

/* The host's auxiliary vector with an entry by which other dragomans find this process (procfs_other.c); its length, 0: none. */
static size_t add_own_entry(const UserProc *p, Elf64_auxv_t v[HOST_AUXV])
{
    int fd = open("/proc/self/auxv", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? 0 : read(fd, v, HOST_AUXV * sizeof v[0]);
    size_t n = got > 0 ? (size_t)got / sizeof v[0] : 0, end = 0;
    if (fd >= 0)
        close(fd);
    while (end < n && v[end].a_type != AT_NULL && v[end].a_type != PROCFS_AUXV_TYPE)
        end++;
    if (end == n || end + 2 > HOST_AUXV)
        return 0;
    v[end] = (Elf64_auxv_t){ .a_type = PROCFS_AUXV_TYPE, .a_un.a_val = (uintptr_t)p };
    v[end + 1] = (Elf64_auxv_t){ .a_type = AT_NULL };
    return end + 2;
}

/*
 * Let the kernel take the guest's arguments for the process's: ps, pgrep and /proc/PID/cmdline then show the guest's command.
 * Only arguments and environment change; everything else is given as it is. No matter if the kernel refuses.
 */
void show_arguments(const UserProc *p)
{
    struct prctl_mm_map m = { .brk = (uintptr_t)sbrk(0), .arg_start = p->arg_start, .arg_end = p->arg_end,
                              .env_start = p->env_start, .env_end = p->env_end, .exe_fd = (uint32_t)-1 };
    char text[2048];
    FILE *f = fopen("/proc/self/stat", "re");
    if (!f)
        return;
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = 0;
    char *at = strrchr(text, ')');
    int field = 2;
    for (char *save, *w = at ? strtok_r(at, " ", &save) : NULL; w; w = strtok_r(NULL, " ", &save), field++) {
        uint64_t v = strtoull(w, NULL, 10);
        switch (field) { /* numbered as in proc(5) */
        case 26: m.start_code = v; break;
        case 27: m.end_code = v; break;
        case 28: m.start_stack = v; break;
        case 45: m.start_data = v; break;
        case 46: m.end_data = v; break;
        case 47: m.start_brk = v; break;
        }
    }
    Elf64_auxv_t auxv[HOST_AUXV];
    m.auxv_size = (uint32_t)(add_own_entry(p, auxv) * sizeof auxv[0]);
    m.auxv = (__u64 *)auxv;
    if (prctl(PR_SET_MM, PR_SET_MM_MAP, &m, sizeof m, 0) == 0 || m.auxv_size == 0)
        return;
    m.auxv_size = 0; /* a kernel with fewer entries */
    m.auxv = NULL;
    prctl(PR_SET_MM, PR_SET_MM_MAP, &m, sizeof m, 0);
}

/* What Linux maps itself is guarded when it says so: the interpreter, or a static program. */
static void guard_program(UserProc *p, Vcpu *cpu)
{
    const ElfImage *img = p->interp.entry ? &p->interp : &p->main;
    if (img->bti && p->abi->guard_pages(&cpu->h.ir))
        mm_guard(p->mm, img->code_start, img->code_end);
}

/* Run the first thread to the end of the process. */
static int run_first(UserProc *p, uint64_t sp, uint64_t mask)
{
    Vcpu *cpu = vcpu_new(p->engine);
    UserThread *t = thread_new(p, cpu);
    uint8_t secrets[80];
    t->tid = p->pid;
    t->mask = mask;
    t->seccomp = p->seccomp;
    user_set_self(t);
    vcpu_attach(cpu);
    p->nondet->ops->random(p->nondet, t->tid, secrets, sizeof secrets);
    p->abi->set_secrets(&cpu->h.ir, secrets, 0);
    p->abi->start(&cpu->h.ir, p->interp.entry ? p->interp.entry : p->main.entry, sp);
    guard_program(p, cpu);
    signal_thread_start(t);
    ptrace_thread_start(t);
    ptrace_exec_start(t, p->cfg->traced);
    vcpu_run(cpu);
    int status = t->exit_status;
    thread_exit(t);
    pthread_mutex_lock(&p->lock);
    bool others = p->nthreads > 0;
    pthread_mutex_unlock(&p->lock);
    if (others) { /* exit of the first thread alone: the process lives on */
        vcpu_detach(cpu);
        for (;;)
            syscall(SYS_exit, status);
    }
    if (os_tidy_exit()) {
        vcpu_detach(cpu);
        vcpu_free(cpu);
        thread_free(t);
    }
    return status;
}

int user_run(const UserConfig *cfg, Status *st)
{
    st->code = STATUS_OK;
    uint64_t mask = signal_host_mask();
    UserProc *p = proc_new(cfg, st);
    Program prog = { .fd = -1 };
    int status = -1;
    if (!p->mm)
        goto out;
    PathEnv env = path_env(p);
    if (!program_find(&env, cfg->program, cfg->argv, &prog, st) || !check_machine(&prog, st))
        goto out;
    p->abi = abi_by_guest(prog.elf.guest);
    set_exe(p, &prog);
    uint64_t sp = load(p, &prog, st);
    if (!sp)
        goto out;
    set_name(prog.script ? cfg->program : p->exe_guest);
    show_arguments(p);
    program_close(&prog);
    EngineConfig ec = cfg->engine;
    ec.env = &env_ops;
    mm_set_mdwe(p->mm, p->first_mdwe);
    p->engine = engine_new(&ec, st);
    if (!p->engine)
        goto out;
    sigs_begin(p->sigs, ec.tools != NULL, ec.tools ? ec.tools->signals : 0);
    mm_set_engine(p->mm, p->engine);
    ptrace_process_start(p);
    status = run_first(p, sp, mask);
    engine_stop_background(p->engine); /* it uses what the caller is about to free; so do threads that end */
    threads_gone(p);
    user_stats(p);
    if (!os_tidy_exit())
        return status;
    engine_free(p->engine);
out:
    program_close(&prog);
    proc_free(p);
    return status;
}
