/*
 * Guest instructions and regions that trapped in their optimistic form and are translated in a careful one from then on.
 */
#include "engine/internal.h"

#include "base/check.h"

#include <stdlib.h>

/* A process in which so many sites trap is one that tags its pointers everywhere: all of it is careful then. */
#define CAREFUL_DEFAULT 64

static unsigned bucket(uint64_t pc)
{
    return (unsigned)((pc >> 2) ^ (pc >> 10)) % CAREFUL_BUCKETS;
}

static CarefulSite *find(Engine *e, uint64_t pc)
{
    CarefulSite *s = atomic_load_explicit(&e->careful[bucket(pc)], memory_order_acquire);

    while (s && s->pc != pc)
        s = s->next;
    return s;
}

unsigned careful_forms(Engine *e, uint64_t pc)
{
    unsigned n = atomic_load_explicit(&e->careful_count, memory_order_relaxed);
    unsigned always = e->cfg.tools ? e->cfg.guest->careful & LIFT_CAREFUL_ALONE : 0; /* tools see each instruction */

    if (n == 0)
        return always;
    CarefulSite *s = find(e, pc);
    return always | (s ? atomic_load_explicit(&s->forms, memory_order_relaxed) : 0) |
           (careful_everywhere(e) ? e->cfg.guest->careful & LIFT_CAREFUL_TAG : 0);
}

bool careful_everywhere(Engine *e)
{
    return atomic_load_explicit(&e->careful_tags, memory_order_relaxed) >= CAREFUL_DEFAULT;
}

IrFpMode careful_fp_mode(Engine *e, uint32_t mode, uint64_t pc)
{
    IrFpMode fp = e->cfg.guest->fp_mode(mode);

    fp.exact |= e->cfg.fp_exact;
    fp.careful = careful_forms(e, pc) / LIFT_CAREFUL_FP & (IR_FP_CAREFUL_ARITH | IR_FP_CAREFUL_COMPARE);
    return fp;
}

bool careful_add(Engine *e, uint64_t pc, unsigned forms)
{
    pthread_mutex_lock(&e->careful_lock);
    CarefulSite *s = find(e, pc);
    unsigned had = s ? atomic_load(&s->forms) : 0;
    if (s) {
        atomic_store(&s->forms, had | forms);
    } else {
        s = malloc(sizeof *s);
        CHECK(s != NULL);
        s->pc = pc;
        atomic_init(&s->forms, forms);
        s->next = atomic_load(&e->careful[bucket(pc)]);
        atomic_store_explicit(&e->careful[bucket(pc)], s, memory_order_release);
        atomic_fetch_add(&e->careful_count, 1);
    }
    if (forms & ~had & LIFT_CAREFUL_TAG)
        atomic_fetch_add(&e->careful_tags, 1);
    pthread_mutex_unlock(&e->careful_lock);
    return (forms & ~had) != 0;
}

void careful_done(Engine *e)
{
    for (unsigned i = 0; i < CAREFUL_BUCKETS; i++) {
        for (CarefulSite *s = atomic_load(&e->careful[i]), *next; s; s = next) {
            next = s->next;
            free(s);
        }
    }
}
