/* Time that the guest reads: from src/clock. */
#include "user/process.h"

#include <errno.h>
#include <sys/time.h>
#include <time.h>

int64_t sys_clock_gettime(UserThread *t, SysCall *c)
{
    int64_t ns;
    if (!clock_now(&t->p->clock, t->tid, (clockid_t)c->arg[0], &ns))
        return -EINVAL;
    const int64_t ts[2] = { ns / 1000000000, ns % 1000000000 };
    return guest_write(t->cpu, c->arg[1], ts, sizeof ts) ? 0 : -EFAULT;
}

int64_t sys_gettimeofday(UserThread *t, SysCall *c)
{
    int64_t ns;
    if (!clock_now(&t->p->clock, t->tid, CLOCK_REALTIME, &ns))
        return -EINVAL;
    const int64_t tv[2] = { ns / 1000000000, ns % 1000000000 / 1000 };
    if (c->arg[0] && !guest_write(t->cpu, c->arg[0], tv, sizeof tv))
        return -EFAULT;
    const int32_t tz[2] = { 0, 0 };
    if (c->arg[1] && !guest_write(t->cpu, c->arg[1], tz, sizeof tz))
        return -EFAULT;
    return 0;
}
