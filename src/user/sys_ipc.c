/* System V semaphores: struct semid_ds has padding on x86-64 that the generic one lacks. */
#include "user/process.h"

#include <errno.h>
#include <string.h>
#include <sys/sem.h>
#include <sys/syscall.h>

typedef struct GenericSemid {
    uint8_t perm[48];          /* struct ipc64_perm, the same everywhere */
    int64_t otime, ctime;
    uint64_t nsems, unused[2];
} GenericSemid;

static int64_t give_semid(UserThread *t, uint64_t va, const struct semid_ds *ds)
{
    GenericSemid g = { .otime = ds->sem_otime, .ctime = ds->sem_ctime, .nsems = ds->sem_nsems };
    memcpy(g.perm, &ds->sem_perm, sizeof g.perm);
    return guest_write(t->cpu, va, &g, sizeof g) ? 0 : -EFAULT;
}

int64_t sys_semctl(UserThread *t, SysCall *c)
{
    struct semid_ds ds;
    memset(&ds, 0, sizeof ds);
    const uint64_t arg[6] = { c->arg[0], c->arg[1], c->arg[2], (uintptr_t)&ds };
    int64_t ret;
    switch ((int)c->arg[2]) {
    case IPC_STAT:
    case SEM_STAT:
    case SEM_STAT_ANY:
        ret = host_call_out(t, SYS_semctl, arg, &ds, sizeof ds);
        if (ret < 0)
            return ret;
        return give_semid(t, c->arg[3], &ds) ? -EFAULT : ret;
    case IPC_SET:
        if (!guest_read(t->cpu, &ds.sem_perm, c->arg[3], sizeof(GenericSemid){ 0 }.perm))
            return -EFAULT;
        return host_call_out(t, SYS_semctl, arg, NULL, 0);
    default:
        return host_pass(t, c);
    }
}
