/*
 * Accesses that take place only if the thread has not been preempted, moved to another processor, or sent a signal since a word
 * was set. The word is the `rseq_cs` of an area that the thread has registered with the kernel (rseq), which clears it on
 * each of these when it names code that the thread is not in. Each routine here puts a descriptor of its own in the word for as
 * long as test and access take, in a critical section of the host: so nothing comes between the two.
 *
 * The kernel wants a signature, given at registration, in front of each place that a section is aborted to: hence one copy of the
 * routines for each signature, in a page that is written before it is made executable.
 */
#ifndef BASE_RESTART_H
#define BASE_RESTART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum RestartResult {
    RESTART_DONE,
    RESTART_FAULT,   /* the access faulted; the word was set up to then */
    RESTART_CLEARED, /* the word is 0: nothing was done */
} RestartResult;

/* `val`: 16 bytes, the value loaded or to store. Of a compare-and-swap: `expect`, and where what was there goes. */
typedef RestartResult RestartFn(uint64_t *word, void *p, void *val, const void *expect, void *old);

/* By log2 of the size, 1 to 16 bytes. */
enum { RESTART_SIZES = 5 };
typedef struct Restart {
    RestartFn *load[RESTART_SIZES], *store[RESTART_SIZES], *cas[RESTART_SIZES];
    uint32_t sig;
    uintptr_t code;
    struct Restart *next; /* the owner's */
} Restart;

/* NULL: there is no memory for it. Never freed: threads may be inside. */
Restart *restart_new(uint32_t sig);

/* In a handler of a fault: when the interrupted context is inside one of the routines, make it return RESTART_FAULT; true then. */
bool restart_fixup(const Restart *r, void *uc);

/*
 * The C library of the host registers an area of its own for each thread: undo that, so that another one can be registered.
 * Nothing happens if there is none.
 */
void restart_release_own(void);
/* Whether an area that was registered with this signature is the C library's. */
bool restart_is_own(uint32_t sig);

#endif
