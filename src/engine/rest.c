/*
 * Rest: one thread has the others stand still at their run loops, where the state of each is in its vcpu and nothing more happens to
 * its cells. For what happens to a process under tools: at its end, what the others have done by then is told to the last instruction;
 * at a fork, none of them is in a tool's function.
 */
#include "engine/internal.h"

#include <unistd.h>

#define STEP_US 200
/* A thread that does not come to its run loop: in a call of the host's that was thought to be short. */
#define REACH_STEPS (1000000 / STEP_US)
/* Who rests waits for the end of the process; but it may be a child of vfork, which outlives it. */
#define REST_STEPS (20 * REACH_STEPS)

static bool any_runs(Engine *e, const Vcpu *self)
{
    bool any = false;

    pthread_mutex_lock(&e->vcpu_lock);
    for (Vcpu *v = e->vcpus; v && !any; v = v->next)
        any = v != self && v != e->tier.cpu && atomic_load(&v->epoch) != 0;
    pthread_mutex_unlock(&e->vcpu_lock);
    return any;
}

void rest_others(Vcpu *self)
{
    Engine *e = self->e;
    Vcpu *none = NULL;

    while (!atomic_compare_exchange_strong(&e->resting_for, &none, self) && none != self) { /* another thread is at it already */
        rest_here(self);
        none = NULL;
    }
    engine_kick_all(e);
    for (unsigned k = 0; k < REACH_STEPS && any_runs(e, self); k++)
        usleep(STEP_US);
}

void engine_go_on(Vcpu *self)
{
    Vcpu *me = self;

    atomic_compare_exchange_strong(&self->e->resting_for, &me, NULL);
}

void rest_here(Vcpu *cpu)
{
    if (!rest_wanted(cpu))
        return;
    atomic_store(&cpu->epoch, 0);
    for (unsigned k = 0; k < REST_STEPS && rest_wanted(cpu); k++)
        usleep(STEP_US);
    atomic_store(&cpu->epoch, grace_now(cpu->e));
}
