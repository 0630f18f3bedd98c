/* What tools must get right: faults in the middle of blocks and pairs, loops that timers interrupt, threads, forks. */
#define _GNU_SOURCE
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

static volatile sig_atomic_t faults, ticks;

static void on_fault(int sig, siginfo_t *info, void *uc)
{
    ((ucontext_t *)uc)->uc_mcontext.pc += 4;
    faults++;
}

/* The last one ends the timer: it may come again before a handler that a tool slows down has returned. */
static void on_tick(int sig)
{
    const struct itimerval none = {{0, 0}, {0, 0}};
    if (++ticks == 50)
        setitimer(ITIMER_REAL, &none, NULL);
}

/* Each round faults at its third access: the pair crosses into the page that is not there. */
__attribute__((noinline)) static long rounds(char *edge, long n)
{
    long sum = 0;
    for (long i = 0; i < n; i++) {
        long a = 0, b = 0, c;
        c = *(volatile long *)(edge - 64);
        __asm__ volatile("ldp %0, %1, [%2, #-8]" : "+r"(a), "+r"(b) : "r"(edge) : "memory");
        *(volatile long *)(edge - 32) = i;
        sum += a + b + c + *(volatile long *)(edge - 32);
    }
    return sum;
}

__attribute__((noinline)) long probe_me(long x)
{
    return x * 3 + 1;
}

/* Accesses of all sizes and alignments, over lines and pages, near and far in no order. */
__attribute__((noinline)) static long run_lines(void)
{
    static unsigned char mem[1 << 15];
    long sum = 0;
    unsigned at = 1;

    for (int i = 0; i < 6000; i++) {
        at = at * 1103515245 + 12345;
        unsigned char *p = mem + (at >> 8) % (i % 3 ? 512 : sizeof mem - 32);
        long one, two, low, high;
        __asm__ volatile("ldrh %w0, [%4]\n ldr %1, [%4, #5]\n ldr q0, [%4, #1]\n str q0, [%4, #15]\n"
                         "ldp %2, %3, [%4, #8]\n strb %w0, [%4]"
                         : "=&r"(one), "=&r"(two), "=&r"(low), "=&r"(high) : "r"(p) : "v0", "memory");
        sum += one + two + low + high;
    }
    return sum;
}

static char *closed; /* a page that the first fault there opens */

static void on_closed(int sig, siginfo_t *info, void *uc)
{
    mprotect(closed, 4096, PROT_READ | PROT_WRITE);
    faults++;
}

/* Memory-copy instructions, whose accesses helpers make; the last one is interrupted by a fault and goes on. */
static void run_mops(void)
{
    char *mem = mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *to = mem + 3, *from = mem + 8192 + 5;
    long n = 3001;

    __asm__ volatile(".arch_extension mops\n cpyfp [%0]!, [%1]!, %2!\n cpyfm [%0]!, [%1]!, %2!\n cpyfe [%0]!, [%1]!, %2!"
                     : "+r"(to), "+r"(from), "+r"(n) : : "cc", "memory");
    closed = mem + 4096;
    mprotect(closed, 4096, PROT_NONE);
    signal(SIGSEGV, SIG_DFL);
    sigaction(SIGSEGV, &(struct sigaction){.sa_sigaction = on_closed, .sa_flags = SA_SIGINFO}, NULL);
    to = mem + 3500;
    n = 2000;
    __asm__ volatile(".arch_extension mops\n setp [%0]!, %1!, %2\n setm [%0]!, %1!, %2\n sete [%0]!, %1!, %2"
                     : "+r"(to), "+r"(n) : "r"(0x5al) : "cc", "memory");
    printf("mops %p %d %d\n", (void *)mem, mem[5499], (int)faults);
}

/* What tools wrap: recursion, and what is left by a jump. */
__attribute__((noinline)) long wrap_me(long n)
{
    volatile long here = n;
    return here <= 0 ? 1 : here + wrap_me(here - 1);
}

__attribute__((noinline)) long jump_me(jmp_buf *to, long n)
{
    volatile long here = n;
    if (here == 0)
        longjmp(*to, 1);
    return here < 0 ? here : jump_me(to, here - 1);
}

static void *wrap_thread(void *arg)
{
    long sum = 0;
    for (volatile long i = 0; i < 50; i++) {
        jmp_buf to;
        sum += wrap_me(i % 12);
        if (setjmp(to) == 0) /* it returns every third time */
            sum += jump_me(&to, i % 3 ? i % 3 : -1);
    }
    return (void *)sum;
}

static long run_wrap(void)
{
    pthread_t t[3];
    void *sum;
    long all = (long)wrap_thread(NULL);
    for (int i = 0; i < 3; i++)
        pthread_create(&t[i], NULL, wrap_thread, NULL);
    for (int i = 0; i < 3; i++) {
        pthread_join(t[i], &sum);
        all += (long)sum;
    }
    return all;
}

static long spin(long n)
{
    volatile long x = 0;
    for (long i = 0; i < n; i++)
        x += i;
    return x;
}

static void *thread(void *arg)
{
    static _Atomic long shared;
    for (long i = 0; i < 20000; i++)
        shared++;
    return (void *)spin((long)arg);
}

static void run_threads(void)
{
    pthread_t t[4];
    for (long i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, thread, (void *)(20000 + i));
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
}

/* Waves of threads that a barrier lets go together into much code that none of them has been in. */
enum { CROWD = 250, WAVES = 3 };
static pthread_barrier_t crowd_born;

__attribute__((noinline)) static long blocks(long x)
{
    __asm__ volatile(".rept 2000\n"
                     "tbz %0, #63, 1f\n"
                     "eor %0, %0, #1\n"
                     "1: add %0, %0, #3\n"
                     ".endr"
                     : "+r"(x));
    return x;
}

static void *crowd_thread(void *arg)
{
    pthread_barrier_wait(&crowd_born);
    return (void *)blocks((long)arg);
}

static void run_crowd(void)
{
    static pthread_t t[CROWD];
    long sum = 0;

    for (int wave = 0; wave < WAVES; wave++) {
        pthread_barrier_init(&crowd_born, NULL, CROWD);
        for (long i = 0; i < CROWD; i++)
            pthread_create(&t[i], NULL, crowd_thread, (void *)i);
        for (int i = 0; i < CROWD; i++) {
            void *part;
            pthread_join(t[i], &part);
            sum += (long)part;
        }
    }
    printf("crowd %ld\n", sum);
}

/* Each of n threads, at most 8, does the same work. */
static void *work_thread(void *arg)
{
    return (void *)spin((long)arg);
}

static void run_work(int n, long rounds)
{
    pthread_t t[8];
    for (int i = 0; i < n && i < 8; i++)
        pthread_create(&t[i], NULL, work_thread, (void *)rounds);
    for (int i = 0; i < n && i < 8; i++)
        pthread_join(t[i], NULL);
}

/* The process ends as soon as the last of 8 threads can be known to be over. */
static void *over_thread(void *word)
{
    syscall(SYS_set_tid_address, word);
    return NULL;
}

static void run_over(void)
{
    static volatile int word[8];
    pthread_t t[8];
    for (int i = 0; i < 8; i++)
        word[i] = 1;
    for (int i = 0; i < 8; i++)
        pthread_create(&t[i], NULL, over_thread, (void *)&word[i]);
    for (int i = 0; i < 8; i++)
        while (word[i])
            ;
    _exit(0);
}

/* It ends while 3 others run. */
static void *endless(void *running)
{
    ++*(_Atomic int *)running;
    for (;;)
        spin(100);
}

static void run_leave(void)
{
    static _Atomic int running;
    pthread_t t;
    for (int i = 0; i < 3; i++)
        pthread_create(&t, NULL, endless, &running);
    while (running < 3)
        ;
    spin(50000);
    _exit(0);
}

/* It is given the descriptors that are free, closes all, has others under their numbers, and another file as stderr. */
static void run_files(void)
{
    int a = dup(0), b = dup(0), fd[40], n = 0;
    char text[64] = "";

    spin(3000);
    for (int i = 3; i < 2048; i++)
        close(i);
    syscall(SYS_close_range, 3, ~0u, 0);
    fd[0] = memfd_create("first", 0);
    while (++n < 40)
        fd[n] = dup(fd[0]);
    close(2);
    int err = memfd_create("second", 0);
    spin(3000);
    ssize_t wrote = write(fd[39], "mine\n", 5);
    printf("files %d %d %d %d %d %ld %ld %ld %s", a, b, fd[0], fd[39], err, (long)wrote, (long)lseek(fd[0], 0, SEEK_END),
           (long)lseek(err, 0, SEEK_END), pread(fd[0], text, 63, 0) > 0 ? text : "none\n");
}

static int waits[2];

static void *stay(void *arg)
{
    char c = (char)spin(7000);
    while (write(waits[1], &c, 1) == 1) /* then it waits for ever */
        pause();
    return NULL;
}

/* A forked child, one of vfork, which is in its parent's memory, and a thread that is still there at the end. */
static void run_family(void)
{
    pthread_t th;
    char c;

    spin(5000);
    if (fork() == 0)
        _exit((int)spin(300) & 1);
    wait(NULL);
    if (vfork() == 0)
        _exit((int)spin(4000) & 1);
    wait(NULL);
    if (pipe(waits) || pthread_create(&th, NULL, stay, NULL) || read(waits[0], &c, 1) != 1)
        exit(1);
    usleep(20000); /* until it waits */
    spin(600);
}

int main(int argc, char **argv)
{
    struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO}, tick = {.sa_handler = on_tick};
    const char *what = argc > 1 ? argv[1] : "faults";
    char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    sigaction(SIGSEGV, &sa, NULL);
    sigaction(SIGALRM, &tick, NULL);
    mprotect(p + 4096, 4096, PROT_NONE);
    if (strcmp(what, "faults") == 0) {
        printf("sum %ld faults %d\n", rounds(p + 4096, argc > 2 ? atol(argv[2]) : 500), (int)faults);
    } else if (strcmp(what, "ticks") == 0) {
        struct itimerval it = {{0, 500}, {0, 500}};
        setitimer(ITIMER_REAL, &it, NULL);
        while (ticks < 50)
            spin(1000);
        printf("ticks\n");
    } else if (strcmp(what, "threads") == 0) {
        run_threads();
        printf("threads\n");
    } else if (strcmp(what, "crowd") == 0) {
        run_crowd();
    } else if (strcmp(what, "over") == 0) {
        run_over();
    } else if (strcmp(what, "leave") == 0) {
        run_leave();
    } else if (strcmp(what, "probe") == 0) {
        long sum = 0;
        for (long i = 0; i < 200; i++)
            sum += probe_me(i);
        printf("probe %ld\n", sum);
    } else if (strcmp(what, "mops") == 0) {
        run_mops();
    } else if (strcmp(what, "lines") == 0) {
        printf("lines %ld\n", run_lines());
    } else if (strcmp(what, "wrap") == 0) {
        printf("wrap %ld\n", run_wrap());
    } else if (strcmp(what, "watch") == 0) {
        long sum = 0;
        for (long i = 0; i < 300; i++) { /* what is watched lies between the calls of getppid */
            if (i == 100 || i == 250)
                getppid();
            sum += probe_me(i);
        }
        printf("watch %ld\n", sum);
    } else if (strcmp(what, "sleep") == 0) {
        static char line[2] = "\n";
        setvbuf(stdout, NULL, _IONBF, 0);
        printf("ready\n");
        for (int i = 0; i < 3 && read(0, line, 1) == 1; i++) {
            spin(20000); /* of these the second is watched */
            printf("line\n");
        }
    } else if (strcmp(what, "files") == 0) {
        run_files();
    } else if (strcmp(what, "family") == 0) {
        run_family();
        printf("family\n");
    } else if (strcmp(what, "work") == 0 && argc > 3) {
        run_work(atoi(argv[2]), atol(argv[3]));
    } else if (strcmp(what, "spin") == 0) {
        spin(20000000);
    } else if (strcmp(what, "abort") == 0) {
        spin(10000);
        abort();
    } else if (strcmp(what, "fork") == 0) {
        if (fork() == 0)
            _exit((int)spin(10) & 1);
        wait(NULL);
        printf("fork\n");
    }
    return 0;
}
