/*
 * Restartable sequences (rseq). The guest's area is registered with the host's kernel, which keeps its processor numbers
 * and clears its `rseq_cs` when the thread is preempted, moved or sent a signal: the guest's sections are not where the
 * host executes. From there on it is the engine's business (engine/section.c): it asks here where sections are.
 *
 * A section is known from the constant address of its descriptor in code that is about to be translated, or, when there
 * is no such constant, from the first system call that finds the descriptor in the thread's area.
 */
#ifndef USER_RSEQ_H
#define USER_RSEQ_H

#include "user/process.h"

/* EnvOps.section, section_named, section_abort. */
bool rseq_section_near(Vcpu *cpu, uint64_t pc);
const EnvSection *rseq_section(Vcpu *cpu, uint64_t pc);
EnvNamed rseq_section_named(Vcpu *cpu, uint64_t va, EnvSection *out);
void rseq_section_abort(Vcpu *cpu);

/* A signal is about to be delivered: the section that the thread is in is aborted. */
void rseq_signal(UserThread *t);
/* At a system call: a section that the thread has used, and that nobody knew. */
void rseq_look(UserThread *t);
/* The thread ends, and its area with it: before that is announced. */
void rseq_thread_end(UserThread *t);
/* The thread is about to unmap [va, va + len): an area there would let the kernel deliver no signal to this thread any more. */
void rseq_unmap(UserThread *t, uint64_t va, uint64_t len);
/* A child that shares its parent's memory and vcpu has no area; rseq_return gives the parent its own back. */
void rseq_borrow(Vcpu *cpu);
void rseq_return(UserThread *t);

#endif
