/*
 * The guest's address space. The guest is mapped 1:1, so this file's business is where things go (one policy, here
 * alone), which addresses are the guest's, and what protection the guest believes each has: guest code is never
 * executable for the host.
 *
 * Layout (all addresses of guest and host share one 47-bit space):
 *   0x10000 .. 2 GiB            programs with fixed addresses, their heap
 *   mmap_low .. guest_top       position-independent programs at pie_base, brk after them; mmap from mmap_top downwards,
 *                               but shared objects where their size says; the main stack below guest_top
 *   above                       the host's: dragoman, its libraries, heaps and code cache, where the host kernel puts them
 * A fixed mapping outside the first two succeeds only where nothing of the host is.
 *
 * Threads: every function may be called by any thread; mm_stretch takes the lock for reading only and is called only when code
 * is translated. The lock is inside all of the engine's (engine/fork.c), which calls mm_stretch and its like with them held: so
 * nothing of the engine is called with it held (unlock_changed). tests/user/locks.c takes them from many threads at once.
 */
#ifndef USER_MM_H
#define USER_MM_H

#include "base/status.h"
#include "engine/engine.h"
#include "replay/nondet.h"

#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>

typedef struct UserMm UserMm;

#define MM_PAGE 4096u
#define MM_MIN_ADDR 0x10000u

/* Guest protections beyond PROT_READ, PROT_WRITE, PROT_EXEC. */
enum { MM_PROT_SEM = 8, MM_PROT_BTI = 0x10, MM_PROT_MTE = 0x20 };
/* All that a guest may ask for. A guest's executable page is never executable on the host. */
enum { MM_PROT_ALL = PROT_READ | PROT_WRITE | PROT_EXEC | MM_PROT_BTI }; /* of the guest */
/* Of a range: it was executable, and what was translated of it is parked (engine_park); and whether there may be translations. */
enum { MM_PROT_PARKED = 0x100, MM_PROT_CODE = PROT_EXEC | MM_PROT_PARKED };

/* One stretch of the guest's address space. */
typedef struct MmRange {
    uint64_t start, end;
    uint32_t prot;   /* the guest's */
    uint32_t kind;   /* MmKind */
} MmRange;

typedef enum MmKind { MM_PLAIN, MM_SHARED, MM_HEAP, MM_STACK, MM_VDSO, MM_SHM } MmKind;

UserMm *mm_new(Nondet *n, Status *st);
void mm_free(UserMm *mm);
/* Told once the engine exists: changes of code are reported to it. */
void mm_set_engine(UserMm *mm, Engine *e);
/* Limits that mappings are held to: RLIMIT_AS and RLIMIT_DATA, in the process's keeping. */
void mm_set_limits(UserMm *mm, const struct rlimit *as, const struct rlimit *data);
/* PR_SET_MDWE: MM_MDWE_* bits, which stay. */
enum { MM_MDWE_REFUSE = 1, MM_MDWE_NO_INHERIT = 2 };
void mm_set_mdwe(UserMm *mm, unsigned bits);
unsigned mm_mdwe(const UserMm *mm);
void mm_fork_prepare(UserMm *mm);
void mm_fork_parent(UserMm *mm);
void mm_fork_child(UserMm *mm);
/* In the child, after engine_fork_child. */
void mm_fork_told(UserMm *mm);

/* The calls, with the kernel's results (-errno on error). */
int64_t mm_map(UserMm *mm, uint64_t addr, uint64_t len, int prot, int flags, int fd, uint64_t off);
int64_t mm_unmap(UserMm *mm, uint64_t addr, uint64_t len);
int64_t mm_protect(UserMm *mm, uint64_t addr, uint64_t len, int prot);
int64_t mm_remap(UserMm *mm, uint64_t addr, uint64_t old_len, uint64_t new_len, int flags, uint64_t new_addr);
int64_t mm_brk(UserMm *mm, uint64_t addr);
int64_t mm_shmat(UserMm *mm, int id, uint64_t addr, int flags);
int64_t mm_shmdt(UserMm *mm, uint64_t addr);

/* mlockall of what is mapped now: dragoman's own memory is left alone. */
int64_t mm_lock_all(UserMm *mm, bool on_fault);

/* Where a position-independent program of `len` bytes goes; start of the heap after it; the kind of a range. */
uint64_t mm_pie_base(UserMm *mm, uint64_t len);
void mm_set_brk(UserMm *mm, uint64_t addr);
void mm_set_kind(UserMm *mm, uint64_t addr, uint64_t len, MmKind kind);
/* Map the main stack, `need` bytes of which are used at once and perhaps executable; returns its top, 0 when refused. */
uint64_t mm_map_stack(UserMm *mm, uint64_t need, bool exec);

/* Memory from va on that has one of the guest's protections in `prot`: EnvOps.code for PROT_EXEC. */
const uint8_t *mm_stretch(UserMm *mm, uint64_t va, int prot, size_t *len);
/* EnvOps.image. */
bool mm_image(UserMm *mm, uint64_t pc, EnvImage *out);
/* EnvOps.guarded: PROT_BTI. Make the code in a range so. */
bool mm_guarded(UserMm *mm, uint64_t pc);
void mm_guard(UserMm *mm, uint64_t start, uint64_t end);
/* Whether all of [addr, addr + len) is the guest's. */
bool mm_owned(UserMm *mm, uint64_t addr, uint64_t len);
/* Call fn for each range, in order of address, adjacent equal ones merged. */
void mm_each(UserMm *mm, void (*fn)(void *ctx, const MmRange *r), void *ctx);
/* Where in memory the MmSet of an address space lies, which may be another process's. */
uint64_t mm_set_address(uint64_t mm);
uint64_t mm_brk_start(const UserMm *mm);
/* Where the table of user/ptrace_table.h is: of this process, and of any (one place a layout; 0 after the last). */
uint64_t mm_ptrace_table(const UserMm *mm);
uint64_t mm_ptrace_at(unsigned i);

#endif
