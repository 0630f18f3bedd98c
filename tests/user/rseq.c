/* Restartable sequences: processor numbers, sections that lose no update, and what aborts them. */
#include "t.h"

#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>

enum { REGISTER_RSEQ = 256, RSEQ_BARRIER = 128 }; /* of membarrier */
enum { THREADS = 8, BYTES = 32 };

static struct rseq *area(void)
{
    return (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);
}

static uint64_t armed(void)
{
    return *(volatile uint64_t *)&area()->rseq_cs;
}

static unsigned cpu_now(void)
{
    return *(volatile uint32_t *)&area()->cpu_id;
}

/* A section's descriptor is at 3, its code from 1 to 2, and 4 is where it is aborted to, with the signature in front. */
#define DESCRIPTOR(name) \
    ".pushsection __rseq_cs, \"aw\"\n.balign 32\n.globl " name "\n" name ":\n3: .word 0, 0\n.quad 1f, 2f - 1f, 4f\n.popsection\n"
#define ARM "adrp x9, 3b\nadd x9, x9, :lo12:3b\nstr x9, [%0, #8]\n"
#define ABORT ".inst 0xd428bc00\n4: b %l[aborted]\n"

/* --- counters ------------------------------------------------------------------------------------------------------- */

/* Add 1 to *slot on this processor, slowly. 0; 1: on another processor; 2: aborted. */
static __attribute__((noinline, noclone)) int increment(struct rseq *r, unsigned cpu, uint64_t *slot, unsigned delay)
{
    __asm__ goto(DESCRIPTOR("increment_section") ARM
                 "1: ldr w9, [%0, #4]\ncmp w9, %w1\nb.ne %l[elsewhere]\n"
                 "ldr x9, [%2]\nmov w10, %w3\n5: subs w10, w10, #1\nb.gt 5b\n"
                 "add x9, x9, #1\nstr x9, [%2]\n2: b 6f\n" ABORT "6:\n"
                 : : "r"(r), "r"(cpu), "r"(slot), "r"(delay) : "x9", "x10", "cc", "memory" : elsewhere, aborted);
    return 0;
elsewhere:
    return 1;
aborted:
    return 2;
}

static uint64_t counter[CPU_SETSIZE][8];
static uint64_t aborts;
static unsigned rounds = 20000;

static void *count(void *arg)
{
    uint64_t mine = 0;
    for (unsigned i = 0; i < rounds; i++) {
        unsigned cpu;
        int how;
        do {
            cpu = *(volatile uint32_t *)&area()->cpu_id_start;
            how = increment(area(), cpu, &counter[cpu][0], i % 64);
            mine += how == 2;
        } while (how);
        if (i % 512 == 0)
            sched_yield();
    }
    __atomic_add_fetch(&aborts, mine, __ATOMIC_RELAXED);
    return NULL;
}

static void counters(void)
{
    pthread_t t[THREADS];
    uint64_t sum = 0;
    for (int i = 0; i < THREADS; i++)
        pthread_create(&t[i], NULL, count, NULL);
    for (int i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
    for (int i = 0; i < CPU_SETSIZE; i++)
        sum += counter[i][0];
    OK(sum == (uint64_t)THREADS * rounds);
    printf("# %llu sections aborted\n", (unsigned long long)aborts);
}

/* --- what aborts a section ------------------------------------------------------------------------------------------ */

static volatile uint64_t handler_pc, handler_armed, handlers;
static volatile uint32_t in_section;

static void on_signal(int sig, siginfo_t *info, void *uc)
{
    handler_pc = ((ucontext_t *)uc)->uc_mcontext.pc;
    handler_armed = armed();
    handlers++;
}

extern const uint64_t spin_section[4], load_section[4];

/* For ever, until something aborts it. */
static __attribute__((noinline, noclone)) void spin(struct rseq *r)
{
    __asm__ goto(DESCRIPTOR("spin_section") ARM
                 "1: str %w2, [%1]\n5: b 5b\n2: nop\n" ABORT
                 : : "r"(r), "r"(&in_section), "r"(1) : "x9", "memory" : aborted);
aborted:
    in_section = 0;
}

static pthread_t main_thread;
static volatile int done;

/* Signals, as soon as the section's first store is seen. */
static void *send_when_inside(void *arg)
{
    while (!done) {
        if (in_section)
            pthread_kill(main_thread, SIGUSR1);
        usleep(1000);
    }
    return NULL;
}

static void by_signal(void)
{
    const struct sigaction act = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO };
    pthread_t t;
    sigaction(SIGUSR1, &act, NULL);
    main_thread = pthread_self();
    handlers = done = 0;
    pthread_create(&t, NULL, send_when_inside, NULL);
    int tries = 0;
    do { /* the scheduler may be the one that aborts it */
        handler_pc = 0;
        spin(area());
    } while (handler_pc != spin_section[3] && ++tries < 5000);
    OK(handler_pc == spin_section[3]);
    OK(handler_armed == 0 && armed() == 0);
    done = 1;
    pthread_join(t, NULL);
}

/* The load faults: the handler sees the place where the section is aborted to. */
static __attribute__((noinline, noclone)) int load_in_section(struct rseq *r, uint64_t *from, uint64_t *to)
{
    __asm__ goto(DESCRIPTOR("load_section") ARM "1: ldr x9, [%1]\nstr x9, [%2]\n2: b 6f\n" ABORT "6:\n"
                 : : "r"(r), "r"(from), "r"(to) : "x9", "memory" : aborted);
    return 0;
aborted:
    return 1;
}

static void by_fault(void)
{
    const struct sigaction act = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO };
    uint64_t from = 7, to = 0;
    void *none = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    while (load_in_section(area(), &from, &to))
        ;
    OK(to == 7);
    sigaction(SIGSEGV, &act, NULL);
    handlers = 0;
    while (!handlers) /* it may be preempted before it comes to the fault */
        OK(load_in_section(area(), none, &to) == 1);
    OK(handler_pc == load_section[3]);
    OK(to == 7);
    handlers = 0;
    mprotect(none, 4096, PROT_READ);
    while (!handlers)
        OK(load_in_section(area(), &from, none) == 1);
    OK(handler_pc == load_section[3]);
    signal(SIGSEGV, SIG_DFL);
    munmap(none, 4096);
}

static void *run_barrier(void *arg)
{
    while (!*(volatile int *)arg) {
        syscall(SYS_membarrier, RSEQ_BARRIER, 0, 0);
        usleep(500);
    }
    return NULL;
}

static void by_barrier(void)
{
    int stop = 0;
    pthread_t t;
    long can = syscall(SYS_membarrier, 0, 0, 0);
    if (!(can & RSEQ_BARRIER)) {
        t_skip("membarrier has no command for rseq");
        return;
    }
    OK(syscall(SYS_membarrier, RSEQ_BARRIER, 0, 0) == -1 && errno == EPERM);
    OK(syscall(SYS_membarrier, REGISTER_RSEQ, 0, 0) == 0);
    pthread_create(&t, NULL, run_barrier, &stop);
    spin(area()); /* or for ever */
    *(volatile int *)&stop = 1;
    pthread_join(t, NULL);
}

/* --- sections that only the area names ---------------------------------------------------------------------------- */

extern char hidden_start[], hidden_end[], hidden_abort[];

static __attribute__((noinline, noclone)) int hidden(struct rseq *r, uint64_t descriptor, int spins)
{
    __asm__ goto("str %1, [%0, #8]\n.globl hidden_start, hidden_end, hidden_abort\n"
                 "hidden_start: cbz %w2, hidden_end\n5: b 5b\nhidden_end: b 6f\n"
                 ".inst 0xd428bc00\nhidden_abort: b %l[aborted]\n6:\n"
                 : : "r"(r), "r"(descriptor), "r"(spins) : "x9", "memory" : aborted);
    return 0;
aborted:
    return 1;
}

static void on_heap(void)
{
    const struct sigaction act = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO };
    const struct itimerval soon = { .it_value = { 0, 20000 } };
    uint64_t *d = aligned_alloc(32, 32);
    d[0] = 0;
    d[1] = (uintptr_t)hidden_start;
    d[2] = (uint64_t)(hidden_end - hidden_start);
    d[3] = (uintptr_t)hidden_abort;
    for (int i = 0; i < 100; i++) {
        hidden(area(), (uintptr_t)d, 0);
        syscall(SYS_getppid);
    }
    sigaction(SIGALRM, &act, NULL);
    setitimer(ITIMER_REAL, &soon, NULL);
    OK(hidden(area(), (uintptr_t)d, 1) == 1);
    *(volatile uint64_t *)&area()->rseq_cs = 0;
    free(d);
}

/* --- registration --------------------------------------------------------------------------------------------------- */

static struct rseq own __attribute__((aligned(32)));

static long register_area(void *at, unsigned len, int flags, uint32_t sig)
{
    return syscall(SYS_rseq, at, len, flags, sig) ? -errno : 0;
}

static void *registration(void *arg)
{
    struct rseq *old = area();
    OK(register_area(old, BYTES, 0, RSEQ_SIG) == -EBUSY);
    OK(register_area(old, BYTES, 0, RSEQ_SIG + 1) == -EPERM);
    OK(register_area(&own, BYTES, 0, RSEQ_SIG) == -EINVAL);
    OK(register_area(old, BYTES, RSEQ_FLAG_UNREGISTER, RSEQ_SIG + 1) == -EPERM);
    OK(register_area(old, BYTES, RSEQ_FLAG_UNREGISTER, RSEQ_SIG) == 0);
    OK((int32_t)old->cpu_id < 0);
    OK(register_area((char *)&own + 8, BYTES, 0, RSEQ_SIG) == -EINVAL);
    OK(register_area(&own, 16, 0, RSEQ_SIG) == -EINVAL);
    OK(register_area(&own, BYTES, 4, RSEQ_SIG) == -EINVAL);
    OK(register_area(&own, BYTES, 0, RSEQ_SIG) == 0);
    OK(own.cpu_id < CPU_SETSIZE && own.cpu_id_start == own.cpu_id);
    return NULL; /* with its area registered */
}

static void numbers(void)
{
    cpu_set_t all, one;
    sched_getaffinity(0, sizeof all, &all);
    int good = 0, tried = 0;
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        unsigned kernel = -1u;
        if (!CPU_ISSET(cpu, &all))
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        sched_setaffinity(0, sizeof one, &one);
        syscall(SYS_getcpu, &kernel, NULL, NULL);
        good += cpu_now() == cpu && kernel == cpu;
        tried++;
    }
    sched_setaffinity(0, sizeof all, &all);
    OK(tried > 0 && good == tried);
}

/* In a child: its status. */
static int in_child(void (*fn)(void))
{
    int status = -1;
    fflush(stdout);
    pid_t pid = t_fork();
    if (pid == 0) {
        fn();
        _exit(0);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) /* a timer's last signal */
        ;
    return status;
}

static void child_counts(void)
{
    uint64_t n = 0;
    for (int i = 0; i < 100; i++) {
        while (increment(area(), cpu_now(), &n, 1))
            ;
    }
    _exit(n == 100 ? 3 : 4);
}

static void nothing(int sig)
{
}

/* No signature in front of where it would be aborted to: the kernel ends the process when it looks. */
static void bad_signature(void)
{
    static uint64_t d[4] __attribute__((aligned(32)));
    d[1] = (uintptr_t)hidden_start;
    d[2] = (uint64_t)(hidden_end - hidden_start);
    d[3] = (uintptr_t)hidden_abort + 4;
    signal(SIGUSR1, nothing);
    *(volatile uint64_t *)&area()->rseq_cs = (uintptr_t)d;
    raise(SIGUSR1);
}

int main(void)
{
    pthread_t t;
    if (__rseq_size == 0) {
        OK(syscall(SYS_rseq, &own, BYTES, 0, RSEQ_SIG) == -1 && (errno == ENOSYS || errno == EINVAL));
        t_skip("the kernel has no rseq");
        return t_done();
    }
    OK(cpu_now() < CPU_SETSIZE);
    pthread_create(&t, NULL, registration, NULL);
    pthread_join(t, NULL);
    numbers();
    counters();
    by_signal();
    by_fault();
    by_barrier();
    on_heap();
    int status = in_child(child_counts);
    OK(WIFEXITED(status) && WEXITSTATUS(status) == 3);
    status = in_child(bad_signature);
    OK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    return t_done();
}
