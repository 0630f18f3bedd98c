/* Memory: the calls of mm.c. */
#include "user/process.h"
#include "user/rseq.h"
#include "user/uring.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>

/* Whether a mapping may ask for this protection; a guarded one makes the processor look at landing pads. */
static bool prot_allowed(UserThread *t, uint64_t prot)
{
    return !(prot & MM_PROT_BTI) || t->p->abi->guard_pages(&t->cpu->h.ir);
}

int64_t sys_mmap(UserThread *t, SysCall *c)
{
    if (!prot_allowed(t, c->arg[2]))
        return -EINVAL;
    int64_t at = mm_map(t->p->mm, c->arg[0], c->arg[1], (int)c->arg[2], (int)c->arg[3], (int)c->arg[4], c->arg[5]);
    if (at >= 0 && t->p->rings && !(c->arg[3] & MAP_ANONYMOUS))
        uring_note_map(t->p, (int)c->arg[4], c->arg[5], (uint64_t)at);
    return at;
}

int64_t sys_munmap(UserThread *t, SysCall *c)
{
    if (c->arg[0] % MM_PAGE == 0) /* else it fails */
        rseq_unmap(t, c->arg[0], c->arg[1]);
    return mm_unmap(t->p->mm, c->arg[0], c->arg[1]);
}

int64_t sys_mprotect(UserThread *t, SysCall *c)
{
    if (!prot_allowed(t, c->arg[2]))
        return -EINVAL;
    return mm_protect(t->p->mm, c->arg[0], c->arg[1], (int)c->arg[2]);
}

int64_t sys_mremap(UserThread *t, SysCall *c)
{
    return mm_remap(t->p->mm, c->arg[0], c->arg[1], c->arg[2], (int)c->arg[3], c->arg[4]);
}

int64_t sys_brk(UserThread *t, SysCall *c)
{
    return mm_brk(t->p->mm, c->arg[0]);
}

int64_t sys_shmat(UserThread *t, SysCall *c)
{
    return mm_shmat(t->p->mm, (int)c->arg[0], c->arg[1], (int)c->arg[2]);
}

int64_t sys_shmdt(UserThread *t, SysCall *c)
{
    return mm_shmdt(t->p->mm, c->arg[0]);
}

int64_t sys_madvise(UserThread *t, SysCall *c)
{
    uint64_t addr = c->arg[0], len = (c->arg[1] + MM_PAGE - 1) & ~(uint64_t)(MM_PAGE - 1);
    if (addr & (MM_PAGE - 1))
        return -EINVAL;
    if (len && !mm_owned(t->p->mm, addr, len)) { /* it might be dragoman's own */
        int64_t err = HOST3(t, SYS_madvise, 0, 0, c->arg[2]); /* is there such an advice? */
        return err ? err : -ENOMEM;
    }
    return host_pass(t, c);
}

/* Later mappings are not locked (MCL_FUTURE): that would lock the translator's. */
int64_t sys_mlockall(UserThread *t, SysCall *c)
{
    if (c->arg[0] == 0 || (c->arg[0] & ~(uint64_t)(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT)) || c->arg[0] == MCL_ONFAULT)
        return -EINVAL;
    return c->arg[0] & MCL_CURRENT ? mm_lock_all(t->p->mm, c->arg[0] & MCL_ONFAULT) : 0;
}

/* --- newer calls ------------------------------------------------------------------------------------------------------ */

/* A mapping that is never to change; the host's kernel then refuses. */
int64_t sys_mseal(UserThread *t, SysCall *c)
{
    uint64_t addr = c->arg[0], len = (c->arg[1] + MM_PAGE - 1) & ~(uint64_t)(MM_PAGE - 1);
    if (c->arg[2] || (addr & (MM_PAGE - 1)) || len < c->arg[1] || addr + len < addr)
        return -EINVAL;
    if (len && !mm_owned(t->p->mm, addr, len))
        return -ENOMEM;
    return host_pass(t, c);
}

/* The pages of a shared mapping in another order: its place and protection stay. */
int64_t sys_remap_file_pages(UserThread *t, SysCall *c)
{
    uint64_t start = c->arg[0] & ~(uint64_t)(MM_PAGE - 1), len = c->arg[1] & ~(uint64_t)(MM_PAGE - 1);
    if (!len || !mm_owned(t->p->mm, start, len))
        return -EINVAL;
    return host_pass(t, c);
}

/* Protection keys, as on a processor without any: none can be had, and key -1 is plain mprotect. */
int64_t sys_pkey_mprotect(UserThread *t, SysCall *c)
{
    return (int)c->arg[3] == -1 ? sys_mprotect(t, c) : -EINVAL;
}

int64_t sys_pkey_alloc(UserThread *t, SysCall *c)
{
    return c->arg[0] || (c->arg[1] & ~UINT64_C(15)) ? -EINVAL : -ENOSPC;
}

int64_t sys_pkey_free(UserThread *t, SysCall *c)
{
    return -EINVAL;
}
