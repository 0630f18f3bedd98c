#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

static _Thread_local const char *context_stage;
static _Thread_local uint64_t context_pc;

void check_context(const char *stage, uint64_t pc)
{
    context_stage = stage;
    context_pc = pc;
}

_Noreturn void check_failed(const char *file, int line, const char *cond)
{
    fprintf(stderr, "dragoman: internal error: %s:%d: %s", file, line, cond);
    if (context_stage)
        fprintf(stderr, " (in %s, guest pc 0x%llx)", context_stage, (unsigned long long)context_pc);
    fputc('\n', stderr);
    abort();
}
