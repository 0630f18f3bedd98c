/*
 * The host's operating system: memory, time, threads and the interrupted context of a signal. With log.c and the signal
 * set-up of engine/fault.c these are the only places that call it for Dragoman's own sake (what is done on the guest's
 * behalf goes through replay/nondet.h).
 */
#ifndef BASE_OS_H
#define BASE_OS_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

size_t os_page_size(void);
/*
 * Whether to free large structures at the end of the process: only when a leak checker watches. The kernel takes memory back
 * without touching it, which after a fork would copy every page.
 */
static inline bool os_tidy_exit(void)
{
#ifdef __SANITIZE_ADDRESS__
    return true;
#else
    return false;
#endif
}

/* Look for leaks now, where a leak checker watches: before an end that it would not see. */
void os_leak_check(void);
/* Never look for leaks in this process, at its end neither. */
void os_leak_check_off(void);

/* Kernel thread id of the calling thread. */
int os_tid(void);
/* Processor time of the calling thread in nanoseconds. */
uint64_t os_thread_ns(void);
/* Monotonic time in nanoseconds: for statistics and logs only, never shown to the guest. */
uint64_t os_now_ns(void);

void os_yield(void);
/*
 * Wait until the kernel has no thread `tid` of this process any more: it still counts one for a while that has been joined, or
 * has said that it ends. A second at the most.
 */
void os_thread_gone(int tid);
/* Whether the kernel has a thread `tid` of this process. */
bool os_thread_there(int tid);
/* A full barrier in every thread of the process, each at some point during the call. False: the kernel has none. */
bool os_barrier_all(void);

/*
 * The directory that files named on the command line are found from: the current one when dragoman was started, which the
 * guest may have left since, or what the dragoman that started this one for an execve passed on. Set before any thread runs.
 */
void os_start_dir_set(const char *dir);
const char *os_start_dir(void);
/* The `len` bytes of `path`, from the start directory when they are a relative name; malloc'd. */
char *os_from_start(const char *path, size_t len);

/* The host processor in words, for --version: "x86_64 avx2 avx512f ...". */
void os_cpu_features(char *buf, size_t len);

/* Address space without memory: any access faults. NULL with `st` set when refused. */
void *os_reserve(size_t size, Status *st);
void os_release(void *p, size_t size);
/* Zeroed private memory; NULL when refused. */
void *os_alloc(size_t size);
/* The same, in large pages where there are any: all of it is about to be touched. */
void *os_alloc_large(size_t size);
/* Have memory put behind all of it at once, not a page at each first touch. Only a hint. */
void os_populate(void *p, size_t size);
void os_free(void *p, size_t size);
/* For the address sanitizer: nobody may touch these bytes; they may again. */
void os_poison(void *p, size_t size);
void os_unpoison(void *p, size_t size);
/* Give reserved address space [p, p + size) private zeroed memory, or take memory back from it. */
bool os_commit(void *p, size_t size);
void os_decommit(void *p, size_t size);

/*
 * Put the same fresh, zeroed memory at two reserved addresses: writable at `rw`, executable at `rx`. What was mapped
 * there is replaced. No file descriptor exists at any time: the guest has the process's descriptor table to itself.
 * Each call makes an object of its own, so that a process that forked can replace one part and leave the others shared.
 */
bool os_map_dual(void *rw, void *rx, size_t size);
/*
 * The same, but filled with the bytes that are at `rx` now. Other threads may be executing at `rx`: they see the old
 * or the new mapping, which are equal, provided that nobody writes to `rw` meanwhile.
 */
bool os_remap_dual(void *rw, void *rx, size_t size, size_t used);

/* Map `size` bytes at offset `off` of an open file, readable and executable, over reserved addresses. */
bool os_map_code(void *rx, size_t size, int fd, uint64_t off);

/* The program's build id, which the linker made of its contents; returns its length, 0 when it has none. */
size_t os_build_id(uint8_t *buf, size_t len);

/* The interrupted context (ucontext_t *) of a signal handler. */
uintptr_t os_uc_pc(const void *uc);
void os_uc_set_pc(void *uc, uintptr_t pc);
/* Whether a page fault was caused by a store. */
bool os_uc_is_write(const void *uc);

#endif
