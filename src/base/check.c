#include "base/check.h"

#include "base/own_fd.h"

#include <stdio.h>
#include <stdlib.h>

_Thread_local CheckContext check_context_now;

_Noreturn void check_failed(const char *file, int line, const char *cond)
{
    const CheckContext *c = &check_context_now;

    if (c->stage)
        own_err_line("internal error: %s:%d: %s (in %s, guest pc 0x%llx)", file, line, cond, c->stage, (unsigned long long)c->pc);
    else
        own_err_line("internal error: %s:%d: %s", file, line, cond);
    abort();
}
