/* ioctl, by the table of requests. */
#include "user/ioctls.h"
#include "user/process.h"
#include "user/seccomp.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>

static int compare(const void *key, const void *entry)
{
    uint32_t a = *(const uint32_t *)key, b = ((const IoctlDesc *)entry)->request;
    return a < b ? -1 : a > b;
}

IoctlDesc ioctl_describe(uint32_t request)
{
    static const uint8_t by_direction[] = { IOA_PTR, IOA_IN, IOA_OUT, IOA_IO };
    const IoctlDesc *d = bsearch(&request, ioctl_table, ioctl_count, sizeof ioctl_table[0], compare);
    if (d)
        return *d;
    return (IoctlDesc){ request, _IOC_SIZE(request), by_direction[_IOC_DIR(request)], NULL };
}

static bool is_refused(uint32_t request)
{
    for (size_t i = 0; i < ioctl_nrefusals; i++)
        if (ioctl_refusals[i].type == _IOC_TYPE(request))
            return true;
    return false;
}

int64_t sys_ioctl(UserThread *t, SysCall *c)
{
    uint32_t request = (uint32_t)c->arg[1];
    if (is_refused(request))
        return -ENOTTY;
    if (seccomp_is_ioctl(request))
        return seccomp_ioctl(t, c);
    IoctlDesc d = ioctl_describe(request);
    bool writes = d.arg == IOA_OUT || d.arg == IOA_IO;
    const NondetOut out = { (void *)(uintptr_t)c->arg[2], d.size };
    return host_block_out(t, c, c->arg, &out, writes);
}
