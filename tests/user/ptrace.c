/* ptrace between guest processes: every request, the stops and their statuses. */
#include "t.h"

#include <elf.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/ptrace.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

#define EVENT(n) (SIGTRAP | (n) << 8)
#define NT_SYSTEM_CALL 0x404

typedef struct Regs {
    uint64_t x[31], sp, pc, pstate;
} Regs;

static volatile int counter, stop_spinning;
static volatile sig_atomic_t handled;

static long trace(int request, pid_t pid, uintptr_t addr, uintptr_t data)
{
    return syscall(SYS_ptrace, request, pid, addr, data);
}

static long regset(int request, pid_t pid, int note, void *buf, size_t len)
{
    struct iovec v = { buf, len };
    return trace(request, pid, (uintptr_t)note, (uintptr_t)&v) == 0 ? (long)v.iov_len : -1;
}

/* The status of the next stop or end of `pid`, as wait gives it. */
static int next(pid_t pid)
{
    int st = -1;
    pid_t got = waitpid(pid, &st, __WALL);
    printf("# status 0x%x\n", (unsigned)st);
    return got == pid ? st : -1;
}

static int stopped_by(int st, int what)
{
    return st >> 8 == what && (st & 0xff) == 0x7f;
}

static void on_signal(int sig)
{
    handled++;
}

/* A child that asks to be traced and stops. */
static pid_t start(void (*fn)(void), unsigned options)
{
    pid_t pid = t_fork();
    if (pid == 0) {
        trace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        fn();
        _exit(42);
    }
    if (!stopped_by(next(pid), SIGSTOP))
        printf("# no first stop\n");
    if (trace(PTRACE_SETOPTIONS, pid, 0, options | PTRACE_O_EXITKILL) != 0)
        printf("# no options\n");
    return pid;
}

/* --- memory, registers, signals ------------------------------------------------------------------------------------- */

static uint64_t word = 0x1122334455667788;

static void child_signals(void)
{
    signal(SIGUSR1, on_signal);
    raise(SIGUSR1);  /* suppressed by the tracer */
    raise(SIGUSR1);  /* changed to SIGUSR2, which is ignored */
    raise(SIGUSR1);
    _exit(handled == 1 && word == 5 ? 7 : 8);
}

static void test_basic(void)
{
    pid_t pid = start(child_signals, 0);
    uint64_t got = 0, mask = 0;
    siginfo_t info;
    Regs r;
    OK(trace(PTRACE_PEEKDATA, pid, (uintptr_t)&word, (uintptr_t)&got) == 0 && got == word);
    OK(trace(PTRACE_POKEDATA, pid, (uintptr_t)&word, 5) == 0 && word != 5);
    OK(trace(PTRACE_PEEKTEXT, pid, 8, (uintptr_t)&got) == -1 && errno == EIO);
    OK(regset(PTRACE_GETREGSET, pid, NT_PRSTATUS, &r, sizeof r) == sizeof r && r.sp > (uintptr_t)&r - (1 << 20) &&
       r.sp < (uintptr_t)&r + (1 << 20));
    OK(regset(PTRACE_GETREGSET, pid, 0x7777, &r, sizeof r) == -1 && errno == EINVAL);
    OK(trace(PTRACE_GETSIGINFO, pid, 0, (uintptr_t)&info) == 0 && info.si_signo == SIGSTOP && info.si_pid == pid);
    OK(trace(PTRACE_GETSIGMASK, pid, 8, (uintptr_t)&mask) == 0 && !(mask & 1 << (SIGUSR1 - 1)));
    OK(trace(PTRACE_GETSIGMASK, pid, 4, (uintptr_t)&mask) == -1 && errno == EINVAL);
    OK(trace(0x7fff, pid, 0, 0) == -1 && errno == EIO);
    OK(trace(PTRACE_CONT, pid, 0, 0) == 0);
    OK(stopped_by(next(pid), SIGUSR1));
    OK(trace(PTRACE_CONT, pid, 0, 0) == 0 && stopped_by(next(pid), SIGUSR1));
    OK(trace(PTRACE_CONT, pid, 0, SIGWINCH) == 0 && stopped_by(next(pid), SIGUSR1));
    OK(trace(PTRACE_GETSIGINFO, pid, 0, (uintptr_t)&info) == 0 && info.si_code == SI_TKILL);
    OK(trace(PTRACE_CONT, pid, 0, SIGUSR1) == 0);
    int st = next(pid);
    OK(WIFEXITED(st) && WEXITSTATUS(st) == 7);
    OK(trace(PTRACE_CONT, pid, 0, 0) == -1 && errno == ESRCH);
}

/* Registers of all kinds, changed while it is stopped in the middle of a function. */
static uint64_t changed(void)
{
    register uint64_t x5 asm("x5") = 5, x19 asm("x19");
    register double d8 asm("d8") = 1.5, d9 asm("d9");
    asm volatile("brk #0\n\tmov %1, x5\n\tfmov %d2, d8" : "+r"(x5), "=r"(x19), "=w"(d9) : "w"(d8));
    return x19 == 77 && d9 == 2.5;
}

static void child_registers(void)
{
    _exit(changed() ? 3 : 4);
}

static void test_registers(void)
{
    pid_t pid = start(child_registers, 0);
    struct { uint64_t v[32][2]; uint32_t fpsr, fpcr, pad[2]; } fp;
    struct { uint32_t info, pad; uint64_t slot[16][2]; } debug = { 0 };
    Regs r;
    siginfo_t info;
    uint64_t tls = 0, insn = 0;
    double two = 2.5;
    OK(trace(PTRACE_CONT, pid, 0, 0) == 0 && stopped_by(next(pid), SIGTRAP));
    OK(trace(PTRACE_GETSIGINFO, pid, 0, (uintptr_t)&info) == 0 && info.si_code == TRAP_BRKPT);
    OK(regset(PTRACE_GETREGSET, pid, NT_PRSTATUS, &r, sizeof r) == sizeof r && r.x[5] == 5 && (uintptr_t)info.si_addr == r.pc);
    OK(trace(PTRACE_PEEKTEXT, pid, r.pc, (uintptr_t)&insn) == 0 && (uint32_t)insn == 0xd4200000);
    OK(regset(PTRACE_GETREGSET, pid, NT_PRFPREG, &fp, sizeof fp) == sizeof fp && fp.v[8][0] == 0x3ff8000000000000);
    OK(regset(PTRACE_GETREGSET, pid, NT_ARM_TLS, &tls, sizeof tls) == 8 && tls != 0);
    OK(regset(PTRACE_GETREGSET, pid, NT_ARM_HW_BREAK, &debug, sizeof debug) > 0 && (debug.info & 0xff) <= 16);
    OK(regset(PTRACE_GETREGSET, pid, NT_ARM_HW_WATCH, &debug, sizeof debug) > 0);
    OK(regset(PTRACE_GETREGSET, pid, NT_PRSTATUS, &r, 16) == 16);
    r.pc += 4;
    r.x[5] = 77;
    memcpy(&fp.v[8][0], &two, 8);
    OK(regset(PTRACE_SETREGSET, pid, NT_PRFPREG, &fp, sizeof fp) == sizeof fp);
    r.pstate |= 5; /* EL1h is no process's */
    errno = 0;
    OK(regset(PTRACE_SETREGSET, pid, NT_PRSTATUS, &r, sizeof r) == -1 && errno == EINVAL);
    r.pstate &= ~UINT64_C(5);
    OK(regset(PTRACE_SETREGSET, pid, NT_PRSTATUS, &r, sizeof r) == sizeof r);
    OK(trace(PTRACE_CONT, pid, 0, 0) == 0);
    int st = next(pid);
    OK(WIFEXITED(st) && WEXITSTATUS(st) == 3);
}

/* --- steps and breakpoints ------------------------------------------------------------------------------------------- */

__attribute__((noipa)) static int work(int n)
{
    for (int i = 0; i < n; i++)
        counter++;
    return counter;
}

static void child_work(void)
{
    work(3);
    raise(SIGUSR2);
    _exit(work(1000) == 1003 ? 5 : 6);
}

static void test_step(void)
{
    pid_t pid = start(child_work, 0);
    Regs a, b;
    int in_order = 1, steps;
    siginfo_t info;
    regset(PTRACE_GETREGSET, pid, NT_PRSTATUS, &a, sizeof a);
    for (steps = 0; steps < 2000 && in_order == 1; steps++) {
        uint64_t insn;
        trace(PTRACE_PEEKTEXT, pid, a.pc, (uintptr_t)&insn);
        trace(PTRACE_SINGLESTEP, pid, 0, 0);
        int st = next(pid);
        if (stopped_by(st, SIGUSR2))
            break;
        in_order = stopped_by(st, SIGTRAP) ? 1 : -1;
        regset(PTRACE_GETREGSET, pid, NT_PRSTATUS, &b, sizeof b);
        unsigned op = (uint32_t)insn >> 24; /* branches: b, bl, b.cond, cbz, tbz, br, ret */
        int branch = (op & 0x7c) == 0x14 || op == 0x54 || (op & 0x7c) == 0x34 || op == 0xd6 || op == 0xd4;
        if (!branch && b.pc != a.pc + 4)
            in_order = -2;
        a = b;
    }
    OK(in_order == 1 && steps > 20 && steps < 2000);
    /* a breakpoint in code that has run already, so that a translation of it exists */
    uint64_t old = 0, brk = 0xd4200000;
    uintptr_t at = (uintptr_t)work & ~7ul;
    unsigned shift = (uintptr_t)work & 4 ? 32 : 0;
    OK(trace(PTRACE_PEEKTEXT, pid, at, (uintptr_t)&old) == 0);
    uint64_t patched = (old & ~(0xffffffffull << shift)) | brk << shift;
    OK(trace(PTRACE_POKETEXT, pid, at, patched) == 0);
    OK(trace(PTRACE_CONT, pid, 0, 0) == 0 && stopped_by(next(pid), SIGTRAP));
    regset(PTRACE_GETREGSET, pid, NT_PRSTATUS, &a, sizeof a);
    OK(a.pc == (uintptr_t)work && a.x[0] == 1000);
    OK(trace(PTRACE_POKETEXT, pid, at, old) == 0);
    OK(trace(PTRACE_SINGLESTEP, pid, 0, 0) == 0 && stopped_by(next(pid), SIGTRAP));
    OK(trace(PTRACE_GETSIGINFO, pid, 0, (uintptr_t)&info) == 0 && info.si_code == TRAP_TRACE);
    OK(trace(PTRACE_CONT, pid, 0, 0) == 0);
    int st = next(pid);
    OK(WIFEXITED(st) && WEXITSTATUS(st) == 5);
}

/* --- system calls ---------------------------------------------------------------------------------------------------- */

static void child_calls(void)
{
    long a = syscall(SYS_getpid), b = syscall(SYS_getppid), c = syscall(SYS_gettid);
    _exit(a == 1234 && b == getpid() && c == -1 && errno == ENOSYS ? 9 : 10);
}

static long to_call(pid_t pid)
{
    trace(PTRACE_SYSCALL, pid, 0, 0);
    return next(pid);
}

static void test_calls(void)
{
    pid_t pid = start(child_calls, PTRACE_O_TRACESYSGOOD);
    struct ptrace_syscall_info i;
    Regs r;
    int nr = -1;
    uint64_t msg = 0;
    while (stopped_by((int)to_call(pid), SIGTRAP | 0x80) && trace(PTRACE_GET_SYSCALL_INFO, pid, sizeof i, (uintptr_t)&i) > 0 &&
           !(i.op == PTRACE_SYSCALL_INFO_ENTRY && i.entry.nr == SYS_getpid))
        ;
    OK(i.op == PTRACE_SYSCALL_INFO_ENTRY && i.entry.nr == SYS_getpid && i.arch == 0xc00000b7);
    OK(trace(PTRACE_GETEVENTMSG, pid, 0, (uintptr_t)&msg) == 0 && msg == PTRACE_EVENTMSG_SYSCALL_ENTRY);
    OK(stopped_by((int)to_call(pid), SIGTRAP | 0x80));
    OK(trace(PTRACE_GET_SYSCALL_INFO, pid, sizeof i, (uintptr_t)&i) == 33 && i.op == PTRACE_SYSCALL_INFO_EXIT &&
       i.exit.rval == pid && !i.exit.is_error);
    struct ptrace_rseq_configuration conf = { .signature = 1 };
    const uint64_t area = __rseq_size ? (uintptr_t)__builtin_thread_pointer() + (uintptr_t)__rseq_offset : 0; /* as in the child */
    OK(trace(PTRACE_GET_RSEQ_CONFIGURATION, pid, sizeof conf, (uintptr_t)&conf) == sizeof conf && conf.rseq_abi_pointer == area &&
       conf.signature == (area ? RSEQ_SIG : 0));
    regset(PTRACE_GETREGSET, pid, NT_PRSTATUS, &r, sizeof r);
    r.x[0] = 1234;
    OK(regset(PTRACE_SETREGSET, pid, NT_PRSTATUS, &r, sizeof r) == sizeof r); /* another result */
    OK(stopped_by((int)to_call(pid), SIGTRAP | 0x80));
    OK(regset(PTRACE_GETREGSET, pid, NT_SYSTEM_CALL, &nr, sizeof nr) == 4 && nr == SYS_getppid);
    nr = SYS_getpid;
    OK(regset(PTRACE_SETREGSET, pid, NT_SYSTEM_CALL, &nr, sizeof nr) == 4); /* another call */
    OK(stopped_by((int)to_call(pid), SIGTRAP | 0x80) && stopped_by((int)to_call(pid), SIGTRAP | 0x80));
    nr = -1;
    OK(regset(PTRACE_SETREGSET, pid, NT_SYSTEM_CALL, &nr, sizeof nr) == 4); /* none */
    regset(PTRACE_GETREGSET, pid, NT_PRSTATUS, &r, sizeof r);
    r.x[0] = (uint64_t)-ENOSYS;
    regset(PTRACE_SETREGSET, pid, NT_PRSTATUS, &r, sizeof r);
    OK(stopped_by((int)to_call(pid), SIGTRAP | 0x80));
    OK(trace(PTRACE_CONT, pid, 0, 0) == 0);
    int st = next(pid);
    OK(WIFEXITED(st) && WEXITSTATUS(st) == 9);
}

/* A filter leaves a call to the tracer, which makes another of it. */
static void child_filtered(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE | 7),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = { 4, code };
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0)
        _exit(20);
    if (getppid() != getpid())
        _exit(22);
    /* What the tracer makes of a call is put to the filters again. */
    code[1].k = SYS_getpid;
    code[2].k = SECCOMP_RET_ERRNO | EPERM;
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0)
        _exit(23);
    errno = 0;
    _exit(syscall(SYS_getppid) == -1 && errno == EPERM ? 21 : 24);
}

static void test_filter(void)
{
    pid_t pid = start(child_filtered, PTRACE_O_TRACESECCOMP);
    struct ptrace_syscall_info i = { 0 };
    uint64_t msg = 0;
    int nr = SYS_getpid;
    errno = 0;
    OK(trace(PTRACE_SECCOMP_GET_FILTER, pid, 0, 0) == -1 && (errno == EINVAL || errno == ENOENT));
    OK(trace(PTRACE_CONT, pid, 0, 0) == 0);
    int st = next(pid);
    OK(st >> 8 == EVENT(PTRACE_EVENT_SECCOMP));
    OK(trace(PTRACE_GETEVENTMSG, pid, 0, (uintptr_t)&msg) == 0 && msg == 7);
    OK(trace(PTRACE_GET_SYSCALL_INFO, pid, sizeof i, (uintptr_t)&i) == 84 && i.op == PTRACE_SYSCALL_INFO_SECCOMP &&
       i.seccomp.nr == SYS_getppid && i.seccomp.ret_data == 7);
    OK(regset(PTRACE_SETREGSET, pid, NT_SYSTEM_CALL, &nr, sizeof nr) == 4);
    OK(stopped_by((int)to_call(pid), SIGTRAP)); /* the end of the call */
    OK(trace(PTRACE_CONT, pid, 0, 0) == 0);
    st = next(pid);
    OK(st >> 8 == EVENT(PTRACE_EVENT_SECCOMP));
    OK(regset(PTRACE_SETREGSET, pid, NT_SYSTEM_CALL, &nr, sizeof nr) == 4);
    OK(trace(PTRACE_CONT, pid, 0, 0) == 0);
    st = next(pid);
    OK(WIFEXITED(st) && WEXITSTATUS(st) == 21);
}

static void child_strange(void)
{
    errno = 0;
    if (syscall(-1) != -1 || errno != ENOSYS)
        _exit(31);
    errno = 0;
    _exit(syscall(-101) == -1 && errno == ENOSYS ? 32 : 33);
}

/* Calls that there are not, whose numbers are negative, fail with a tracer as without. */
static void test_strange_calls(void)
{
    pid_t pid = start(child_strange, 0);
    int st, stops = 0;
    do {
        trace(PTRACE_SYSCALL, pid, 0, 0);
        st = next(pid);
        stops++;
    } while (WIFSTOPPED(st));
    OK(stops >= 6 && WIFEXITED(st) && WEXITSTATUS(st) == 32);
}

/* Through /proc/PID/mem, as debuggers write: into code that has run. */
static void test_mem_file(void)
{
    pid_t pid = start(child_work, 0);
    char name[64];
    uint32_t brk = 0xd4200000, old = 0;
    Regs r;
    OK(trace(PTRACE_CONT, pid, 0, 0) == 0 && stopped_by(next(pid), SIGUSR2));
    snprintf(name, sizeof name, "/proc/%d/mem", pid);
    int fd = open(name, O_RDWR);
    OK(fd >= 0 && pread(fd, &old, sizeof old, (off_t)(uintptr_t)work) == 4 && old == *(uint32_t *)work);
    OK(pwrite(fd, &brk, sizeof brk, (off_t)(uintptr_t)work) == 4);
    OK(trace(PTRACE_CONT, pid, 0, 0) == 0 && stopped_by(next(pid), SIGTRAP));
    regset(PTRACE_GETREGSET, pid, NT_PRSTATUS, &r, sizeof r);
    OK(r.pc == (uintptr_t)work);
    OK(lseek(fd, (off_t)(uintptr_t)work, SEEK_SET) >= 0 && write(fd, &old, sizeof old) == 4);
    OK(trace(PTRACE_CONT, pid, 0, 0) == 0);
    int st = next(pid);
    OK(WIFEXITED(st) && WEXITSTATUS(st) == 5);
    close(fd);
}

/* --- children and programs ------------------------------------------------------------------------------------------- */

static void *thread(void *arg)
{
    counter++;
    return NULL;
}

static void child_family(void)
{
    int st;
    pthread_t t;
    if (t_fork() == 0)
        _exit(1);
    wait(&st);
    if (vfork() == 0)
        _exit(2);
    wait(&st);
    pthread_create(&t, NULL, thread, NULL);
    pthread_join(t, NULL);
    execl("/proc/self/exe", "ptrace", "child", NULL);
}

static void test_family(void)
{
    pid_t pid = start(child_family, PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEVFORKDONE |
                                        PTRACE_O_TRACEEXEC | PTRACE_O_TRACEEXIT);
    int seen[8] = { 0 }, children = 0, ended = 0, st, status = -1;
    uint64_t msg, born[8] = { 0 };
    unsigned nborn = 0;
    pid_t who;
    trace(PTRACE_CONT, pid, 0, 0);
    while ((who = waitpid(-1, &st, __WALL)) > 0) {
        if (!WIFSTOPPED(st)) {
            ended++;
            if (who == pid)
                status = st;
            continue;
        }
        unsigned event = (unsigned)st >> 16;
        int sig = 0;
        if (event && event < 8) {
            seen[event]++;
            trace(PTRACE_GETEVENTMSG, who, 0, (uintptr_t)&msg);
            if (event <= PTRACE_EVENT_CLONE && nborn < 8)
                born[nborn++] = msg;
            if (event == PTRACE_EVENT_EXIT && who == pid)
                OK(msg == 11 << 8);
            if (event == PTRACE_EVENT_EXEC)
                OK(msg == (uint64_t)pid);
        } else if (WSTOPSIG(st) == SIGSTOP) {
            children++;
        } else {
            sig = WSTOPSIG(st);
        }
        trace(PTRACE_CONT, who, 0, (uintptr_t)sig);
    }
    OK(seen[PTRACE_EVENT_FORK] == 1 && seen[PTRACE_EVENT_VFORK] == 1 && seen[PTRACE_EVENT_CLONE] == 1);
    OK(seen[PTRACE_EVENT_VFORK_DONE] == 1 && seen[PTRACE_EVENT_EXEC] == 1 && seen[PTRACE_EVENT_EXIT] == 4);
    OK(children == 3 && ended == 4 && nborn == 3 && born[0] != born[1]);
    OK(WIFEXITED(status) && WEXITSTATUS(status) == 11);
}

/* Without PTRACE_O_TRACEEXEC a new program stops by SIGTRAP. */
static void child_exec(void)
{
    execl("/proc/self/exe", "ptrace", "child", NULL);
}

static void test_exec(void)
{
    pid_t pid = start(child_exec, 0);
    Regs r;
    OK(trace(PTRACE_CONT, pid, 0, 0) == 0 && stopped_by(next(pid), SIGTRAP));
    OK(regset(PTRACE_GETREGSET, pid, NT_PRSTATUS, &r, sizeof r) == sizeof r && r.x[30] == 0 && r.pc != 0);
    OK(trace(PTRACE_CONT, pid, 0, 0) == 0);
    int st = next(pid);
    OK(WIFEXITED(st) && WEXITSTATUS(st) == 11);
}

/* --- of a process that runs ------------------------------------------------------------------------------------------ */

static void spin(void)
{
    while (!stop_spinning)
        counter = 1;
    _exit(12);
}

static void test_attach(void)
{
    pid_t pid = t_fork();
    if (pid == 0)
        spin();
    OK(trace(PTRACE_ATTACH, pid, 0, 0) == 0);
    OK(stopped_by(next(pid), SIGSTOP));
    Regs r;
    OK(regset(PTRACE_GETREGSET, pid, NT_PRSTATUS, &r, sizeof r) == sizeof r && r.pc != 0);
    int one = 1;
    struct iovec mine = { &one, sizeof one }, theirs = { (void *)&stop_spinning, sizeof stop_spinning };
    OK(process_vm_writev(pid, &mine, 1, &theirs, 1, 0) == sizeof one);
    OK(trace(PTRACE_DETACH, pid, 0, 0) == 0);
    int st = next(pid);
    OK(WIFEXITED(st) && WEXITSTATUS(st) == 12);
}

static void test_seize(void)
{
    pid_t pid = t_fork();
    if (pid == 0) {
        struct timespec ts = { 1, 0 }; /* longer than the tracer takes, whatever else the machine does */
        struct timespec before, after;
        clock_gettime(CLOCK_MONOTONIC, &before);
        int err = nanosleep(&ts, NULL); /* goes on, for the tracer gives it no signal */
        clock_gettime(CLOCK_MONOTONIC, &after);
        int64_t ms = (after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000;
        _exit(err == 0 && ms >= 1000 ? 13 : 14);
    }
    usleep(50000);
    OK(trace(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACESYSGOOD) == 0);
    OK(trace(PTRACE_INTERRUPT, pid, 0, 0) == 0);
    int st = next(pid);
    OK(st >> 8 == EVENT(PTRACE_EVENT_STOP));
    OK(trace(PTRACE_CONT, pid, 0, 0) == 0);
    usleep(20000);
    OK(kill(pid, SIGSTOP) == 0 && stopped_by(next(pid), SIGSTOP));
    OK(trace(PTRACE_CONT, pid, 0, SIGSTOP) == 0);
    st = next(pid);
    OK(st >> 8 == (SIGSTOP | PTRACE_EVENT_STOP << 8)); /* a group stop */
    OK(trace(PTRACE_LISTEN, pid, 0, 0) == 0);
    OK(kill(pid, SIGCONT) == 0);
    st = next(pid);
    OK(st >> 8 == EVENT(PTRACE_EVENT_STOP));
    OK(trace(PTRACE_CONT, pid, 0, 0) == 0 && stopped_by(next(pid), SIGCONT));
    OK(trace(PTRACE_CONT, pid, 0, 0) == 0);
    st = next(pid);
    OK(WIFEXITED(st) && WEXITSTATUS(st) == 13);
}

static void test_end(void)
{
    pid_t pid = start(spin, 0);
    OK(trace(PTRACE_KILL, pid, 0, 0) == 0);
    int st = next(pid);
    OK(WIFSIGNALED(st) && WTERMSIG(st) == SIGKILL);
    pid = start(child_work, 0);
    OK(trace(PTRACE_CONT, pid, 0, SIGTERM) == 0);
    st = next(pid);
    OK(WIFSIGNALED(st) && WTERMSIG(st) == SIGTERM);
    OK(trace(PTRACE_ATTACH, getpid(), 0, 0) == -1 && errno == EPERM);
    OK(trace(PTRACE_PEEKDATA, getpid(), 0, 0) == -1 && errno == ESRCH);
    siginfo_t info = { 0 };
    pid = start(child_work, 0);
    trace(PTRACE_CONT, pid, 0, 0);
    OK(waitid(P_PID, pid, &info, WSTOPPED) == 0 && info.si_code == CLD_TRAPPED && info.si_status == SIGUSR2);
    kill(pid, SIGKILL);
    next(pid);
}

/* The tracer is told of faults in a program that has unmapped itself, its thread-local memory and rseq area included. */
static void child_unmaps(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGSEGV);
    sigprocmask(SIG_BLOCK, &set, NULL);
    munmap(NULL, 1ul << 46);
}

static void test_nothing_left(void)
{
    pid_t pid = start(child_unmaps, 0);
    trace(PTRACE_CONT, pid, 0, 0);
    for (int i = 0; i < 3; i++)
        OK(stopped_by(next(pid), SIGSEGV) && trace(PTRACE_CONT, pid, 0, 0) == 0);
    OK(stopped_by(next(pid), SIGSEGV) && trace(PTRACE_CONT, pid, 0, SIGSEGV) == 0);
    int st = next(pid);
    OK(WIFSIGNALED(st) && WTERMSIG(st) == SIGSEGV);
}

/* A parent that the child may not look at can still be its tracer. */
static void test_hidden_parent(void)
{
    prctl(PR_SET_DUMPABLE, 0);
    pid_t pid = t_fork();
    if (pid == 0) {
        char exe[64];
        if (geteuid() == 0 && setresuid(65534, 65534, 65534) != 0)
            _exit(1);
        snprintf(exe, sizeof exe, "/proc/%d/exe", getppid());
        if (access(exe, F_OK) == 0)
            _exit(2);
        _exit(trace(PTRACE_TRACEME, 0, 0, 0) == 0 ? 5 : 3);
    }
    int st = next(pid);
    OK(WIFEXITED(st) && WEXITSTATUS(st) == 5);
    prctl(PR_SET_DUMPABLE, 1);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return 11;
    test_basic();
    test_registers();
    test_step();
    test_calls();
    test_filter();
    test_strange_calls();
    test_mem_file();
    test_family();
    test_exec();
    test_attach();
    test_seize();
    test_end();
    test_nothing_left();
    test_hidden_parent();
    return t_done();
}
