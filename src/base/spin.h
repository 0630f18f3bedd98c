/*
 * A lock of one word for critical sections of a few instructions. Never held across a call that may block or fault.
 */
#ifndef BASE_SPIN_H
#define BASE_SPIN_H

#include <sched.h>
#include <stdatomic.h>

typedef struct Spin {
    atomic_uint held;
} Spin;

static inline void spin_lock(Spin *s)
{
    unsigned tries = 0;

    while (atomic_exchange_explicit(&s->held, 1, memory_order_acquire)) {
        while (atomic_load_explicit(&s->held, memory_order_relaxed)) {
            /* The holder may have been descheduled: on a busy machine spinning only keeps it away. */
            if (++tries % 64 == 0)
                sched_yield();
        }
    }
}

static inline void spin_unlock(Spin *s)
{
    atomic_store_explicit(&s->held, 0, memory_order_release);
}

#endif
