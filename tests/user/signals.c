/* Signals: what handlers see and may change, masks, stacks, restarts, waiting. */
#include "t.h"

#include <linux/futex.h>
#include <pthread.h>
#include <setjmp.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <poll.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <asm/sigcontext.h>

static volatile int count, last_sig, nested_depth, nested_runs, max_depth;
static volatile siginfo_t seen;
static volatile uintptr_t handler_sp;
static sigset_t mask_in_handler;

static void on_signal(int sig, siginfo_t *info, void *uc)
{
    count++;
    last_sig = sig;
    memcpy((void *)&seen, info, sizeof seen);
    handler_sp = (uintptr_t)__builtin_frame_address(0);
    sigprocmask(SIG_BLOCK, NULL, &mask_in_handler);
}

static void install(int sig, void (*fn)(int, siginfo_t *, void *), int flags)
{
    struct sigaction sa = { .sa_sigaction = fn, .sa_flags = SA_SIGINFO | flags };
    sigemptyset(&sa.sa_mask);
    sigaddset(&sa.sa_mask, SIGHUP);
    sigaction(sig, &sa, NULL);
}

static void test_basic(void)
{
    install(SIGUSR1, on_signal, 0);
    count = 0;
    OK(raise(SIGUSR1) == 0 && count == 1 && last_sig == SIGUSR1);
    OK(seen.si_signo == SIGUSR1 && seen.si_code == SI_TKILL && seen.si_pid == getpid() && seen.si_uid == getuid());
    OK(sigismember(&mask_in_handler, SIGUSR1) == 1 && sigismember(&mask_in_handler, SIGHUP) == 1 &&
       sigismember(&mask_in_handler, SIGUSR2) == 0);
    sigset_t now;
    sigprocmask(SIG_BLOCK, NULL, &now);
    OK(sigismember(&now, SIGUSR1) == 0 && sigismember(&now, SIGHUP) == 0);
    OK(kill(getpid(), SIGUSR1) == 0 && count == 2 && seen.si_code == SI_USER);
    union sigval v = { .sival_ptr = (void *)0x123456789abc };
    OK(sigqueue(getpid(), SIGUSR1, v) == 0 && count == 3 && seen.si_code == SI_QUEUE && seen.si_value.sival_ptr == v.sival_ptr);
    struct sigaction old;
    OK(sigaction(SIGUSR1, NULL, &old) == 0 && old.sa_sigaction == on_signal && (old.sa_flags & SA_SIGINFO) &&
       sigismember(&old.sa_mask, SIGHUP) == 1);
    OK(sigaction(SIGKILL, &old, NULL) == -1 && errno == EINVAL);
    OK(sigaction(65, NULL, &old) == -1 && errno == EINVAL);
}

static void on_reset(int sig, siginfo_t *info, void *uc)
{
    count++;
}

static void on_nested(int sig, siginfo_t *info, void *uc)
{
    nested_depth++;
    if (nested_depth > max_depth)
        max_depth = nested_depth;
    if (nested_depth < 5 && ++nested_runs < 5)
        raise(sig);
    nested_depth--;
}

static void test_flags(void)
{
    install(SIGUSR2, on_reset, SA_RESETHAND);
    count = 0;
    raise(SIGUSR2);
    struct sigaction old;
    sigaction(SIGUSR2, NULL, &old);
    OK(count == 1 && old.sa_handler == SIG_DFL);
    install(SIGUSR2, on_nested, SA_NODEFER);
    raise(SIGUSR2);
    OK(max_depth == 5);
    max_depth = 0;
    nested_runs = 3;
    install(SIGUSR2, on_nested, 0); /* deferred: runs again after the handler, once */
    raise(SIGUSR2);
    OK(max_depth == 1 && nested_depth == 0 && nested_runs == 5);
    signal(SIGUSR2, SIG_IGN);
    raise(SIGUSR2);
    OK(1);
    signal(SIGUSR2, SIG_DFL);
}

static void test_mask(void)
{
    sigset_t set, old, pend;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    OK(sigprocmask(SIG_BLOCK, &set, &old) == 0);
    count = 0;
    raise(SIGUSR1);
    OK(count == 0 && sigpending(&pend) == 0 && sigismember(&pend, SIGUSR1));
    raise(SIGUSR1);
    OK(sigprocmask(SIG_UNBLOCK, &set, NULL) == 0 && count == 1); /* ordinary signals do not queue */
    int rt = SIGRTMIN + 3;
    install(rt, on_signal, 0);
    sigaddset(&set, rt);
    sigprocmask(SIG_BLOCK, &set, NULL);
    count = 0;
    for (int i = 0; i < 5; i++)
        sigqueue(getpid(), rt, (union sigval){ .sival_int = i });
    sigprocmask(SIG_SETMASK, &old, NULL);
    OK(count == 5 && seen.si_value.sival_int == 4); /* real-time ones do, in order */
    sigfillset(&set);
    OK(sigprocmask(SIG_SETMASK, &set, NULL) == 0 && sigprocmask(SIG_SETMASK, &old, &pend) == 0);
    OK(!sigismember(&pend, SIGKILL) && !sigismember(&pend, SIGSTOP) && sigismember(&pend, SIGSEGV));
    install(64, on_signal, 0);
    count = 0;
    OK(raise(64) == 0 && count == 1 && last_sig == 64);
}

static void test_wait(void)
{
    sigset_t set, old;
    siginfo_t info;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, &old);
    sigqueue(getpid(), SIGUSR1, (union sigval){ .sival_int = 77 });
    OK(sigwaitinfo(&set, &info) == SIGUSR1 && info.si_value.sival_int == 77);
    struct timespec ts = { 0, 1000000 };
    OK(sigtimedwait(&set, &info, &ts) == -1 && errno == EAGAIN);
    int fd = signalfd(-1, &set, SFD_NONBLOCK);
    struct signalfd_siginfo si;
    raise(SIGUSR1);
    OK(fd >= 0 && read(fd, &si, sizeof si) == sizeof si && si.ssi_signo == SIGUSR1);
    close(fd);
    count = 0;
    raise(SIGUSR1);
    OK(count == 0);
    OK(sigsuspend(&old) == -1 && errno == EINTR && count == 1);
    sigset_t now;
    sigprocmask(SIG_BLOCK, NULL, &now);
    OK(sigismember(&now, SIGUSR1));
    OK(!sigismember(&mask_in_handler, SIGUSR2));
    raise(SIGUSR1);
    struct timespec second = { 1, 0 };
    OK(ppoll(NULL, 0, &second, &old) == -1 && errno == EINTR && count == 2);
    raise(SIGUSR1);
    OK(pselect(0, NULL, NULL, NULL, &second, &old) == -1 && errno == EINTR && count == 3);
    OK(ppoll(NULL, 0, &ts, &old) == 0);
    sigprocmask(SIG_SETMASK, &old, NULL);
}

static void arm(int ms)
{
    struct itimerval it = { { 0, 0 }, { ms / 1000, ms % 1000 * 1000 } };
    setitimer(ITIMER_REAL, &it, NULL);
}

static void test_restart(void)
{
    int p[2];
    char c;
    OK(pipe(p) == 0);
    install(SIGALRM, on_signal, 0);
    count = 0;
    arm(30);
    OK(read(p[0], &c, 1) == -1 && errno == EINTR && count == 1);
    arm(30);
    struct timespec ts = { 5, 0 }, rem;
    OK(nanosleep(&ts, &rem) == -1 && errno == EINTR && rem.tv_sec >= 3 && count == 2);
    arm(30);
    OK(pause() == -1 && errno == EINTR && count == 3);
    install(SIGALRM, on_signal, SA_RESTART);
    if (t_fork() == 0) {
        usleep(150000);
        _exit(write(p[1], "x", 1) != 1);
    }
    arm(30);
    OK(read(p[0], &c, 1) == 1 && c == 'x' && count == 4);
    wait(NULL);
    arm(30);
    OK(poll(NULL, 0, 3000) == -1 && errno == EINTR && count == 5); /* never restarted */
    if (t_fork() == 0) {
        usleep(150000);
        _exit(3);
    }
    arm(30);
    int st;
    OK(wait(&st) > 0 && WEXITSTATUS(st) == 3 && count == 6);
    close(p[0]);
    close(p[1]);
}

static long futex(uint32_t *at, int op, uint32_t val, struct timespec *until, uint32_t *to)
{
    return syscall(SYS_futex, at, op, val, until, to, 0);
}

/* Futexes with priority inheritance wait on after a handler, whatever its flags. */
static void test_restart_pi(void)
{
    uint32_t *f = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    install(SIGALRM, on_signal, 0);
    count = 0;
    pid_t pid = t_fork();
    if (pid == 0) {
        long got = futex(f, FUTEX_LOCK_PI, 0, NULL, NULL);
        f[1] = 1;
        usleep(200000);
        _exit(got != 0 || futex(f, FUTEX_UNLOCK_PI, 0, NULL, NULL) != 0);
    }
    while (!*(volatile uint32_t *)&f[1])
        usleep(1000);
    arm(30);
    OK(futex(f, FUTEX_LOCK_PI, 0, NULL, NULL) == 0 && count == 1);
    waitpid(pid, NULL, 0);
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += 150000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    arm(30);
    OK(futex(&f[2], FUTEX_WAIT_REQUEUE_PI, 0, &until, f) == -1 && errno == ETIMEDOUT && count == 2);
    munmap(f, 4096);
}

static void on_fault(int sig, siginfo_t *info, void *ucv)
{
    ucontext_t *uc = ucv;
    on_signal(sig, info, ucv);
    uc->uc_mcontext.pc += 4;
    uc->uc_mcontext.regs[7] = 0x1234;
}

static void test_faults(void)
{
    install(SIGSEGV, on_fault, 0);
    install(SIGILL, on_fault, 0);
    install(SIGTRAP, on_fault, 0);
    register uint64_t x7 asm("x7") = 0;
    uint64_t bad = 0x10;
    count = 0;
    asm volatile("str %0, [%1]" : "+r"(x7) : "r"(bad) : "memory");
    OK(x7 == 0x1234);
    OK(count == 1 && seen.si_signo == SIGSEGV && seen.si_addr == (void *)0x10 && seen.si_code == SEGV_MAPERR);
    asm volatile("1: .inst 0x00000000\n\tadr %0, 1b" : "=r"(bad));
    OK(count == 2 && seen.si_signo == SIGILL && seen.si_code == ILL_ILLOPC && seen.si_addr == (void *)bad);
    asm volatile("1: brk #1\n\tadr %0, 1b" : "=r"(bad));
    OK(count == 3 && seen.si_signo == SIGTRAP && seen.si_code == TRAP_BRKPT && seen.si_addr == (void *)bad);
    OK(kill(getpid(), SIGSEGV) == -1 || 1);
}

/* A frame's registers are exact, and what the handler writes is what the program goes on with. */
static uint64_t saved_regs[31];
static uint8_t saved_v[32][16];
static uint32_t saved_fpcr;

static void on_regs(int sig, siginfo_t *info, void *ucv)
{
    ucontext_t *uc = ucv;
    struct fpsimd_context *fp = (void *)uc->uc_mcontext.__reserved;
    memcpy(saved_regs, uc->uc_mcontext.regs, sizeof saved_regs);
    count++;
    if (fp->head.magic == FPSIMD_MAGIC && fp->head.size == sizeof *fp) {
        memcpy(saved_v, fp->vregs, sizeof saved_v);
        saved_fpcr = fp->fpcr;
        memset(&fp->vregs[9], 0x5a, 16);
    }
    asm volatile("movi v8.16b, #1\n\tmovi v10.16b, #1\n\tmsr fpcr, xzr" ::: "v8", "v10");
}

static void test_frame(void)
{
    install(SIGUSR1, on_regs, 0);
    uint64_t pid = (uint64_t)getpid(), tid = (uint64_t)gettid(), got[2], x19, x28, fpcr, nzcv;
    count = 0;
    asm volatile("mov x0, %[pid]\n\tmov x1, %[tid]\n\tmov x2, #10\n\tmov x8, #131\n\t"
                 "mov x19, #0x1919\n\tmov x28, #0x2828\n\t"
                 "movi v8.16b, #8\n\tmovi v9.16b, #9\n\tmovi v10.16b, #10\n\t"
                 "mov x3, #0xc00000\n\tmsr fpcr, x3\n\t"
                 "cmp x3, x3\n\t"
                 "svc #0\n\t"
                 "mrs %[nzcv], nzcv\n\tmrs %[fpcr], fpcr\n\tmsr fpcr, xzr\n\t"
                 "mov %[x19], x19\n\tmov %[x28], x28\n\tstr q9, [%[got]]"
                 : [x19] "=&r"(x19), [x28] "=&r"(x28), [fpcr] "=&r"(fpcr), [nzcv] "=&r"(nzcv)
                 : [pid] "r"(pid), [tid] "r"(tid), [got] "r"(got)
                 : "x0", "x1", "x2", "x3", "x8", "x19", "x28", "v8", "v9", "v10", "memory", "cc");
    OK(count == 1);
    OK(saved_regs[19] == 0x1919 && saved_regs[28] == 0x2828 && saved_regs[0] == 0 && saved_regs[8] == 131);
    OK(saved_v[8][0] == 8 && saved_v[9][15] == 9 && saved_v[10][7] == 10 && saved_fpcr == 0xc00000);
    OK(x19 == 0x1919 && x28 == 0x2828 && fpcr == 0xc00000 && nzcv == 0x60000000);
    OK(got[0] == 0x5a5a5a5a5a5a5a5a && got[1] == got[0]);
}

static void test_altstack(void)
{
    static char stack[65536];
    stack_t ss = { .ss_sp = stack, .ss_size = sizeof stack }, old;
    OK(sigaltstack(NULL, &old) == 0 && old.ss_flags == SS_DISABLE);
    OK(sigaltstack(&ss, NULL) == 0);
    install(SIGUSR1, on_signal, SA_ONSTACK);
    raise(SIGUSR1);
    OK(handler_sp > (uintptr_t)stack && handler_sp <= (uintptr_t)stack + sizeof stack);
    install(SIGUSR1, on_signal, 0);
    raise(SIGUSR1);
    OK(!(handler_sp > (uintptr_t)stack && handler_sp <= (uintptr_t)stack + sizeof stack));
    OK(sigaltstack(NULL, &old) == 0 && old.ss_flags == 0 && old.ss_sp == stack && old.ss_size == sizeof stack);
    ss.ss_size = 100;
    OK(sigaltstack(&ss, NULL) == -1 && errno == ENOMEM);
    ss.ss_flags = SS_DISABLE;
    OK(sigaltstack(&ss, NULL) == 0 && sigaltstack(NULL, &old) == 0 && (old.ss_flags & SS_DISABLE));
}

static int overflow(volatile int n)
{
    volatile char pad[4096];
    pad[0] = (char)n;
    return n ? overflow(n - 1) + pad[0] : 0;
}

static sigjmp_buf back;

static void on_overflow(int sig, siginfo_t *info, void *uc)
{
    on_signal(sig, info, uc);
    siglongjmp(back, 1);
}

static void test_overflow(void)
{
    static char stack[65536];
    stack_t ss = { .ss_sp = stack, .ss_size = sizeof stack }, off = { .ss_flags = SS_DISABLE };
    sigaltstack(&ss, NULL);
    install(SIGSEGV, on_overflow, SA_ONSTACK);
    count = 0;
    for (volatile int i = 0; i < 2; i++)
        if (sigsetjmp(back, 1) == 0)
            overflow(1 << 30);
    OK(count == 2 && seen.si_signo == SIGSEGV && handler_sp > (uintptr_t)stack && handler_sp <= (uintptr_t)stack + sizeof stack);
    signal(SIGSEGV, SIG_DFL);
    sigaltstack(&off, NULL);
}

static void test_death(void)
{
    const int sigs[] = { SIGTERM, SIGSEGV, SIGABRT, SIGKILL, SIGUSR2, SIGRTMIN + 1 };
    int good = 1, st;
    for (unsigned i = 0; i < sizeof sigs / sizeof sigs[0]; i++) {
        pid_t pid = t_fork();
        if (pid == 0) {
            signal(sigs[i], SIG_DFL);
            kill(getpid(), sigs[i]);
            _exit(0);
        }
        good &= waitpid(pid, &st, 0) == pid && WIFSIGNALED(st) && WTERMSIG(st) == sigs[i];
    }
    OK(good);
    pid_t pid = t_fork();
    if (pid == 0) {
        signal(SIGSEGV, SIG_DFL);
        _exit(overflow(1 << 30));
    }
    OK(waitpid(pid, &st, 0) == pid && WIFSIGNALED(st) && WTERMSIG(st) == SIGSEGV);
    pid = t_fork();
    if (pid == 0) {
        sigset_t all;
        sigfillset(&all);
        sigprocmask(SIG_BLOCK, &all, NULL);
        *(volatile int *)8 = 1; /* a blocked fault kills all the same */
        _exit(0);
    }
    OK(waitpid(pid, &st, 0) == pid && WIFSIGNALED(st) && WTERMSIG(st) == SIGSEGV);
    int hold[2];
    char c;
    OK(pipe(hold) == 0);
    pid = t_fork();
    if (pid == 0) {
        close(hold[1]);
        kill(getpid(), SIGSTOP);
        while (read(hold[0], &c, 1) < 0) /* it must not end before its parent has seen it go on */
            ;
        _exit(9);
    }
    OK(waitpid(pid, &st, WUNTRACED) == pid && WIFSTOPPED(st) && WSTOPSIG(st) == SIGSTOP);
    OK(kill(pid, SIGCONT) == 0 && waitpid(pid, &st, WCONTINUED) == pid && WIFCONTINUED(st));
    close(hold[1]);
    OK(waitpid(pid, &st, 0) == pid && WIFEXITED(st) && WEXITSTATUS(st) == 9);
}

/* A frame that does not fit is a segmentation fault, whose handler may have a stack of its own; so is a bad frame's return. */
static sigjmp_buf out_of_it;

static void on_segv_aside(int sig, siginfo_t *info, void *uc)
{
    count++;
    last_sig = info->si_code;
    siglongjmp(out_of_it, 1);
}

static void call_with_stack(uint64_t sp, long nr, uint64_t a, uint64_t b, uint64_t c)
{
    asm volatile("mov x0, %1\n\tmov x1, %2\n\tmov x2, %3\n\tmov x8, %4\n\tmov x19, sp\n\tmov sp, %0\n\tsvc #0\n\tmov sp, x19"
                 : : "r"(sp), "r"(a), "r"(b), "r"(c), "r"(nr) : "x0", "x1", "x2", "x8", "x19", "memory");
}

static int spoil;

static void on_spoil(int sig, siginfo_t *info, void *ucv)
{
    struct sigcontext *mc = (struct sigcontext *)&((ucontext_t *)ucv)->uc_mcontext;
    const uint64_t pstate[] = { 0, 4, 5, 8, 9, 0x10, 0x40, 0x80, 0x100, 0x200 };
    struct fpsimd_context *fp = (struct fpsimd_context *)mc->__reserved;
    if (spoil < 10) {
        mc->pstate |= pstate[spoil];
    } else if (spoil == 10) { /* twice */
        memcpy(&fp[1], fp, sizeof *fp);
        memset(&fp[2], 0, 16);
    } else if (spoil == 11) { /* a kind that there is not */
        fp[1].head = (struct _aarch64_ctx){ 0x12345678, 16 };
        memset((char *)&fp[1] + 16, 0, 16);
    } else if (spoil == 12) {
        memset(fp, 0, 16); /* none */
    }
}

/* The state in a frame must be a process's, and each record of it known and there once. */
static void test_spoiled_frames(void)
{
    int st, good = 0;
    for (spoil = 0; spoil <= 12; spoil++) {
        pid_t pid = t_fork();
        if (pid == 0) {
            install(SIGUSR1, on_spoil, 0);
            signal(SIGSEGV, SIG_DFL);
            raise(SIGUSR1);
            _exit(5);
        }
        waitpid(pid, &st, 0);
        if (spoil == 0)
            OK(WIFEXITED(st) && WEXITSTATUS(st) == 5);
        else
            good += WIFSIGNALED(st) && WTERMSIG(st) == SIGSEGV;
    }
    OK(good == 12);
}

static void test_bad_frames(void)
{
    static char stack[65536];
    stack_t ss = { .ss_sp = stack, .ss_size = sizeof stack }, off = { .ss_flags = SS_DISABLE };
    sigaltstack(&ss, NULL);
    install(SIGSEGV, on_segv_aside, SA_ONSTACK);
    install(SIGUSR1, on_signal, 0);
    count = 0;
    if (!sigsetjmp(out_of_it, 1))
        call_with_stack(64, SYS_tgkill, (uint64_t)getpid(), (uint64_t)gettid(), SIGUSR1);
    OK(count == 1 && last_sig == SI_KERNEL);
    if (!sigsetjmp(out_of_it, 1))
        call_with_stack(64, SYS_rt_sigreturn, 0, 0, 0);
    OK(count == 2 && last_sig > 0 && last_sig != SI_KERNEL);
    sigaltstack(&off, NULL);
    int p[2];
    char c = 0;
    OK(pipe(p) == 0);
    install(SIGSEGV, on_signal, SA_RESTART); /* sent ones are like any other signal */
    count = 0;
    pid_t parent = getpid();
    if (t_fork() == 0) {
        usleep(50000);
        if (getppid() == parent) /* an orphan's parent is somebody else */
            kill(parent, SIGSEGV);
        usleep(50000);
        _exit(write(p[1], "y", 1) != 1);
    }
    OK(read(p[0], &c, 1) == 1 && c == 'y' && count == 1);
    wait(NULL);
    close(p[0]);
    close(p[1]);
}

/* A loop without system calls is interrupted too. */
static void test_loop(void)
{
    install(SIGALRM, on_signal, 0);
    count = 0;
    arm(20);
    uint64_t spins = 0;
    while (count == 0)
        spins++;
    OK(spins > 0 && count == 1);
    timer_t id;
    struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 2, .sigev_value.sival_int = 99 };
    struct itimerspec it = { { 0, 2000000 }, { 0, 2000000 } };
    install(SIGRTMIN + 2, on_signal, SA_RESTART);
    OK(timer_create(CLOCK_MONOTONIC, &ev, &id) == 0 && timer_settime(id, 0, &it, NULL) == 0);
    count = 0;
    while (count < 10)
        spins++;
    OK(timer_delete(id) == 0 && seen.si_code == SI_TIMER && seen.si_value.sival_int == 99);
}

int main(void)
{
    test_basic();
    test_flags();
    test_mask();
    test_wait();
    test_restart();
    test_restart_pi();
    test_faults();
    test_frame();
    test_altstack();
    test_overflow();
    test_bad_frames();
    test_spoiled_frames();
    test_death();
    test_loop();
    return t_done();
}
