/* prctl: what the host's kernel would do for dragoman and not for the guest. */
#include "user/process.h"
#include "user/seccomp.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/prctl.h>
#include <string.h>

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#define PR_GET_MDWE 66
#endif
#define PR_GET_AUXV_NR 0x41555856

static int64_t tagged_addr_ctrl(UserThread *t, const uint64_t arg[6])
{
    if (arg[0] == PR_GET_TAGGED_ADDR_CTRL)
        return arg[1] || arg[2] || arg[3] || arg[4] ? -EINVAL : t->p->tagged_addr;
    if ((arg[1] & ~(uint64_t)PR_TAGGED_ADDR_ENABLE) || arg[2] || arg[3] || arg[4])
        return -EINVAL;
    t->p->tagged_addr = arg[1] & PR_TAGGED_ADDR_ENABLE;
    return 0;
}

static int64_t deny_write_exec(UserThread *t, const uint64_t arg[6])
{
    uint64_t bits = arg[1], old = mm_mdwe(t->p->mm);
    if (arg[2] || arg[3] || arg[4] || (arg[0] == PR_GET_MDWE && bits))
        return -EINVAL;
    if (arg[0] == PR_GET_MDWE)
        return (int64_t)old;
    if ((bits & ~(uint64_t)(MM_MDWE_REFUSE | MM_MDWE_NO_INHERIT)) || bits == MM_MDWE_NO_INHERIT)
        return -EINVAL;
    if (old && old != bits)
        return -EPERM;
    mm_set_mdwe(t->p->mm, (unsigned)bits);
    return 0;
}

static int64_t get_auxv(UserThread *t, const uint64_t arg[6])
{
    uint8_t auxv[1024];
    uint64_t size = t->p->auxv_end - t->p->auxv_start, n = arg[2] < size ? arg[2] : size;
    if (arg[3] || arg[4])
        return -EINVAL;
    if (size > sizeof auxv || !guest_read(t->cpu, auxv, t->p->auxv_start, n) || !guest_write(t->cpu, arg[1], auxv, n))
        return -EFAULT;
    return (int64_t)size;
}

/* --- PR_SET_MM: where the process says its parts are --------------------------------------------------------------------- */

static uint64_t *mm_field(UserProc *p, uint64_t which)
{
    switch (which) {
    case PR_SET_MM_START_CODE: return &p->main.code_start;
    case PR_SET_MM_END_CODE: return &p->main.code_end;
    case PR_SET_MM_START_DATA: return &p->main.data_start;
    case PR_SET_MM_END_DATA: return &p->main.data_end;
    case PR_SET_MM_START_STACK: return &p->stack_start;
    case PR_SET_MM_ARG_START: return &p->arg_start;
    case PR_SET_MM_ARG_END: return &p->arg_end;
    case PR_SET_MM_ENV_START: return &p->env_start;
    case PR_SET_MM_ENV_END: return &p->env_end;
    default: return NULL;
    }
}

/* All at once, which needs no privilege. The heap stays where it is. */
static int64_t set_map(UserThread *t, const uint64_t arg[6])
{
    struct prctl_mm_map m;
    UserProc *p = t->p;
    if (arg[3] != sizeof m)
        return -EINVAL;
    if (!guest_read(t->cpu, &m, arg[2], sizeof m))
        return -EFAULT;
    if (m.arg_start > m.arg_end || m.env_start > m.env_end || m.start_code >= m.end_code || m.start_data >= m.end_data ||
        !mm_owned(p->mm, m.arg_start, m.arg_end - m.arg_start) || !mm_owned(p->mm, m.env_start, m.env_end - m.env_start))
        return -EINVAL;
    if (m.exe_fd != (uint32_t)-1)
        return -EPERM;
    p->main.code_start = m.start_code;
    p->main.code_end = m.end_code;
    p->main.data_start = m.start_data;
    p->main.data_end = m.end_data;
    p->stack_start = m.start_stack;
    p->arg_start = m.arg_start;
    p->arg_end = m.arg_end;
    p->env_start = m.env_start;
    p->env_end = m.env_end;
    show_arguments(p);
    return 0;
}

static int64_t set_mm(UserThread *t, const uint64_t arg[6])
{
    const uint32_t size = sizeof(struct prctl_mm_map);
    if (arg[4] || (arg[3] && arg[1] != PR_SET_MM_AUXV && arg[1] != PR_SET_MM_MAP && arg[1] != PR_SET_MM_MAP_SIZE))
        return -EINVAL;
    if (arg[1] == PR_SET_MM_MAP_SIZE)
        return guest_write(t->cpu, arg[2], &size, sizeof size) ? 0 : -EFAULT;
    if (arg[1] == PR_SET_MM_MAP)
        return set_map(t, arg);
    if (!has_capability(t, CAP_SYS_RESOURCE))
        return -EPERM;
    uint64_t *field = mm_field(t->p, arg[1]);
    if (!field || !mm_owned(t->p->mm, arg[2], 1))
        return -EINVAL;
    *field = arg[2];
    show_arguments(t->p);
    return 0;
}

int64_t sys_prctl(UserThread *t, SysCall *c)
{
    int64_t ret;
    if (t->p->abi->prctl(t->cpu, c->arg, &ret))
        return ret;
    switch ((int)c->arg[0]) {
    case PR_SET_TAGGED_ADDR_CTRL:
    case PR_GET_TAGGED_ADDR_CTRL:
        return tagged_addr_ctrl(t, c->arg);
    case PR_GET_TID_ADDRESS:
        return guest_write(t->cpu, c->arg[1], &t->clear_tid, 8) ? 0 : -EFAULT;
    case PR_SET_MM:
        return set_mm(t, c->arg);
    case PR_SET_MDWE:
    case PR_GET_MDWE:
        return deny_write_exec(t, c->arg);
    case PR_GET_AUXV_NR:
        return get_auxv(t, c->arg);
    case PR_SET_VMA: /* names of mappings; not of dragoman's */
        if (!mm_owned(t->p->mm, c->arg[2], c->arg[3]))
            return c->arg[2] % MM_PAGE ? -EINVAL : -ENOMEM;
        return host_pass(t, c);
    case PR_SET_SECCOMP:
        return seccomp_prctl(t, c->arg[1], c->arg[2]);
    case PR_GET_SECCOMP:
        return t->seccomp.mode;
    case PR_SET_TSC: /* the counter cannot be forbidden */
        return c->arg[1] == PR_TSC_ENABLE ? 0 : -EINVAL;
    case PR_GET_TSC:
        return guest_write(t->cpu, c->arg[1], &(uint32_t){ PR_TSC_ENABLE }, sizeof(uint32_t)) ? 0 : -EFAULT;
    case PR_SET_SYSCALL_USER_DISPATCH:
        return -EINVAL;
    default:
        return host_pass(t, c);
    }
}
