/* Time: clocks, sleeps, timers, limits, scheduling, random bytes. */
#include "t.h"

#include <sched.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/times.h>
#include <time.h>

static int64_t now(clockid_t id)
{
    struct timespec ts;
    return clock_gettime(id, &ts) ? -1 : ts.tv_sec * 1000000000ll + ts.tv_nsec;
}

static uint64_t counter(void)
{
    uint64_t v;
    asm volatile("mrs %0, cntvct_el0" : "=r"(v));
    return v;
}

int main(void)
{
    struct timespec res, ts = { 0, 20000000 };
    OK(clock_getres(CLOCK_MONOTONIC, &res) == 0 && res.tv_sec == 0 && res.tv_nsec >= 1);
    int64_t a = now(CLOCK_MONOTONIC), b = now(CLOCK_MONOTONIC);
    OK(a > 0 && b >= a);
    OK(clock_gettime(99, &res) == -1 && errno == EINVAL);
    uint64_t freq, c = counter();
    asm("mrs %0, cntfrq_el0" : "=r"(freq));
    a = now(CLOCK_MONOTONIC);
    OK(nanosleep(&ts, NULL) == 0);
    b = now(CLOCK_MONOTONIC);
    OK(b - a >= 20000000 && b - a < 5000000000);
    uint64_t ticks = counter() - c;
    OK(freq >= 1000000 && ticks >= freq / 50 - 1 && ticks < freq * 5);
    OK(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == 0);
    struct timeval tv;
    OK(gettimeofday(&tv, NULL) == 0 && llabs(tv.tv_sec - time(NULL)) <= 1 && tv.tv_usec < 1000000);
    OK(now(CLOCK_PROCESS_CPUTIME_ID) > 0 && now(CLOCK_THREAD_CPUTIME_ID) > 0 && now(CLOCK_BOOTTIME) > 0);
    OK(now(CLOCK_REALTIME) / 1000000000 - time(NULL) <= 1);
    ts.tv_nsec = 1000000000;
    OK(nanosleep(&ts, NULL) == -1 && errno == EINVAL);
    struct tms tms;
    OK(times(&tms) != (clock_t)-1);
    struct rusage ru;
    OK(getrusage(RUSAGE_SELF, &ru) == 0 && ru.ru_maxrss > 0);
    struct sysinfo si;
    OK(sysinfo(&si) == 0 && si.totalram > 0 && si.mem_unit > 0);
    cpu_set_t set;
    OK(sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0);
    OK(sched_getscheduler(0) == SCHED_OTHER && sched_get_priority_max(SCHED_FIFO) == 99 && sched_yield() == 0);
    unsigned cpu;
    OK(getcpu(&cpu, NULL) == 0 && cpu < 4096);
    char r1[16] = "", r2[16] = "";
    OK(getrandom(r1, 16, 0) == 16 && getrandom(r2, 16, 0) == 16 && memcmp(r1, r2, 16));
    struct rlimit rl, old;
    OK(getrlimit(RLIMIT_NOFILE, &old) == 0);
    rl = old;
    rl.rlim_cur = 64;
    OK(setrlimit(RLIMIT_NOFILE, &rl) == 0 && getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_cur == 64);
    OK(setrlimit(RLIMIT_NOFILE, &old) == 0);
    OK(getrlimit(RLIMIT_AS, &rl) == 0);
    struct itimerval it = { { 0, 0 }, { 100, 0 } }, got;
    OK(setitimer(ITIMER_REAL, &it, NULL) == 0 && getitimer(ITIMER_REAL, &got) == 0 && got.it_value.tv_sec >= 98);
    OK(alarm(0) > 90);
    return t_done();
}
