/* What the files that make stubs share: stubs.c, and note.c for those of NOTE operations. */
#ifndef HOST_X86_64_STUBS_H
#define HOST_X86_64_STUBS_H

#include "host/x86_64/plan.h"

/* One Asm for all stubs; labels are not used: distances are known when they are needed. */
typedef struct Stubs {
    HostPlan *plan;
    Asm a;
    int64_t delta;
} Stubs;

static inline void stub_begin(Stubs *t, Stub s)
{
    x64_nop(&t->a, (16 - asm_here(&t->a) % 16) % 16);
    t->plan->stub[s] = t->a.p + t->delta;
}

/* A jump or conditional jump to a stub that exists already. */
static inline void stub_jump(Stubs *t, Stub s)
{
    asm_u8(&t->a, 0xe9);
    asm_u32(&t->a, (uint32_t)(t->plan->stub[s] - (t->a.p + t->delta + 4)));
}

void stubs_note(Stubs *t);

#endif
