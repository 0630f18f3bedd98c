#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

_Thread_local CheckContext check_context_now;

_Noreturn void check_failed(const char *file, int line, const char *cond)
{
    fprintf(stderr, "dragoman: internal error: %s:%d: %s", file, line, cond);
    if (check_context_now.stage)
        fprintf(stderr, " (in %s, guest pc 0x%llx)", check_context_now.stage, (unsigned long long)check_context_now.pc);
    fputc('\n', stderr);
    abort();
}
