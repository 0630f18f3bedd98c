#include "user/mm.h"

#include "base/check.h"
#include "base/os.h"
#include "user/mm_room.h"
#include "user/mm_set.h"
#include "user/process.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>

#define TASK_END 0x7ffffffff000u /* 47 bits, less the guard page that the host's kernel keeps */

#define X86_ONLY_FLAGS 0xc0     /* MAP_32BIT, MAP_ABOVE4G: nothing to this guest */
#define STACK_COUNTED (132u << 10) /* of a stack that is not much used */
#define LOW_END 0x7fff0000u      /* below the address sanitizer's tables */

/* Shared objects: see is_image. The area is below mmap_top and big enough that two of one program seldom meet. */
#define IMAGE_SLOT  (UINT64_C(2) << 20)
#define IMAGE_SLOTS 8192u
#define IMAGE_AREA  (UINT64_C(64) << 30)
#define IMAGE_LEAST (64u << 10)
#define IMAGE_MOST  (UINT64_C(512) << 20)
#define IMAGE_TRIES 64

/* Where things go. The first layout whose window holds nothing of the host is used: sanitizers take the usual places. */
typedef struct Layout {
    uint64_t pie_base, mmap_low, mmap_top, guest_top;
} Layout;

static const Layout layouts[] = {
    { 0x2aaaaaaa0000, 0x110000000000, 0x3ff000000000, 0x400000000000 },
    { 0x5500000000, 0x1000000000, 0x7a00000000, 0x7b00000000 },      /* 39 bits: under the thread sanitizer */
};

struct UserMm {
    pthread_rwlock_t *lock;
    pthread_rwlock_t *child_lock; /* between mm_fork_prepare and the other two: what a child is to use */
    Nondet *nondet;
    Engine *engine;
    const Layout *at;
    MmSet set;
    MmSet files;     /* private mappings of files that were executable when made; see note_file */
    uint64_t brk_start, brk;
    unsigned mdwe;   /* MM_MDWE_* */
    atomic_uint telling; /* threads that have changed code and not yet told the engine */
    const struct rlimit *limit_as, *limit_data; /* NULL: none */
    MmRoom room;
};

static long call(UserMm *mm, long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
    const uint64_t arg[6] = { a, b, c, d, e, f };
    UserThread *t = user_self();
    return mm->nondet->ops->syscall(mm->nondet, t ? t->tid : 0, NULL, nr, arg, NULL, 0);
}

/* Whether the host has nothing between the bounds of `l`: asked by reserving it all, or where that is refused, by looking. */
static bool layout_is_free(const Layout *l)
{
    void *want = (void *)(uintptr_t)l->mmap_low;
    void *got = mmap(want, l->guest_top - l->mmap_low, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    if (got != MAP_FAILED) {
        munmap(got, l->guest_top - l->mmap_low);
        return got == want;
    }
    FILE *f = fopen("/proc/self/maps", "re");
    if (!f)
        return true;
    char line[512];
    bool ok = true;
    while (ok && fgets(line, sizeof line, f)) {
        uint64_t start, end;
        if (sscanf(line, "%" SCNx64 "-%" SCNx64, &start, &end) == 2)
            ok = end <= l->mmap_low || start >= l->guest_top;
    }
    fclose(f);
    return ok;
}

static pthread_rwlock_t *lock_new(void)
{
    pthread_rwlock_t *lock = malloc(sizeof *lock);
    CHECK(lock != NULL);
    pthread_rwlock_init(lock, NULL);
    return lock;
}

static void lock_free(pthread_rwlock_t *lock)
{
    pthread_rwlock_destroy(lock);
    free(lock);
}

UserMm *mm_new(Nondet *n, Status *st)
{
    const Layout *at = NULL;
    for (size_t i = 0; !at && i < sizeof layouts / sizeof layouts[0]; i++)
        if (layout_is_free(&layouts[i]))
            at = &layouts[i];
    if (!at) {
        status_set(st, STATUS_HOST, "no room for the guest's address space");
        return NULL;
    }
    UserMm *mm = calloc(1, sizeof *mm);
    CHECK(mm != NULL);
    mm->lock = lock_new();
    mm->nondet = n;
    mm->at = at;
    mm->set.logged = true;
    return mm;
}

void mm_free(UserMm *mm)
{
    if (!mm)
        return;
    for (size_t i = 0; i < mm->set.n; i++)
        call(mm, SYS_munmap, mm->set.r[i].start, mm->set.r[i].end - mm->set.r[i].start, 0, 0, 0, 0);
    mmset_done(&mm->set);
    mmset_done(&mm->files);
    lock_free(mm->lock);
    free(mm);
}

void mm_set_engine(UserMm *mm, Engine *e)
{
    mm->engine = e;
}

void mm_set_limits(UserMm *mm, const struct rlimit *as, const struct rlimit *data)
{
    mm->limit_as = as;
    mm->limit_data = data;
}

void mm_set_mdwe(UserMm *mm, unsigned bits)
{
    mm->mdwe = bits;
}

unsigned mm_mdwe(const UserMm *mm)
{
    return mm->mdwe;
}

/* Bytes that the kernel would count: the stack is mapped whole here, but natively grows with use. */
static uint64_t counted(const UserMm *mm, uint64_t start, uint64_t end, bool data)
{
    uint64_t sum = 0;
    for (size_t i = mmset_find(&mm->set, start); i < mm->set.n && mm->set.r[i].start < end; i++) {
        const MmRange *r = &mm->set.r[i];
        bool private = r->kind == MM_PLAIN || r->kind == MM_HEAP;
        if (r->kind == MM_STACK ? data : data && !(private && (r->prot & PROT_WRITE)))
            continue;
        uint64_t from = r->start > start ? r->start : start, to = r->end < end ? r->end : end;
        sum += r->kind == MM_STACK && to - from > STACK_COUNTED ? STACK_COUNTED : to - from;
    }
    return sum;
}

static bool fits(const UserMm *mm, const struct rlimit *limit, uint64_t start, uint64_t end, bool data)
{
    if (!limit || limit->rlim_cur == RLIM_INFINITY)
        return true;
    uint64_t sum = counted(mm, 0, TASK_END, data) - counted(mm, start, end, data) + (end - start);
    return sum <= (limit->rlim_cur & ~(rlim_t)(MM_PAGE - 1));
}

/* Whether the limits allow a mapping of that kind in the place of what is at [start, end). */
static bool may_grow(UserMm *mm, uint64_t start, uint64_t end, uint32_t prot, uint32_t kind)
{
    bool data = (prot & PROT_WRITE) && (kind == MM_PLAIN || kind == MM_HEAP);
    return mm_room_for(&mm->room, MM_ROOM_NEW) && fits(mm, mm->limit_as, start, end, false) &&
           (!data || fits(mm, mm->limit_data, start, end, true));
}

void mm_fork_prepare(UserMm *mm)
{
    pthread_rwlock_rdlock(mm->lock); /* no changes while the process is copied */
    mm->child_lock = lock_new();
}

void mm_fork_parent(UserMm *mm)
{
    lock_free(mm->child_lock);
    pthread_rwlock_unlock(mm->lock);
}

/* Threads that are gone may have been reading: the child's lock is a new one. */
void mm_fork_child(UserMm *mm)
{
    pthread_rwlock_unlock(mm->lock);
    free(mm->lock);
    mm->lock = mm->child_lock;
    if (mm->mdwe & MM_MDWE_NO_INHERIT)
        mm->mdwe = 0;
}

/* The engine works again. Threads that are gone cannot tell it any more what they were about to. */
void mm_fork_told(UserMm *mm)
{
    if (atomic_exchange(&mm->telling, 0) && mm->engine)
        engine_invalidate(mm->engine, 0, UINT64_MAX);
}

static int host_prot(int prot)
{
    int h = prot & (PROT_READ | PROT_WRITE);
    return prot & PROT_EXEC ? h | PROT_READ : h; /* the translator reads code; nobody executes it */
}

static uint64_t page_up(uint64_t v)
{
    return (v + MM_PAGE - 1) & ~(uint64_t)(MM_PAGE - 1);
}

static bool page_aligned(uint64_t v)
{
    return (v & (MM_PAGE - 1)) == 0;
}

typedef enum Told { TOLD_NOTHING, TOLD_CHANGED, TOLD_PARKED } Told;

/* Unlock; then tell the engine what became of the code that was there. Not before: it asks for mappings while it works. */
static void unlock_telling(UserMm *mm, uint64_t start, uint64_t end, Told what)
{
    if (what == TOLD_NOTHING || !mm->engine) {
        pthread_rwlock_unlock(mm->lock);
        return;
    }
    atomic_fetch_add(&mm->telling, 1);
    pthread_rwlock_unlock(mm->lock);
    (what == TOLD_PARKED ? engine_park : engine_invalidate)(mm->engine, start, end - start);
    atomic_fetch_sub(&mm->telling, 1);
}

static void unlock_changed(UserMm *mm, uint64_t start, uint64_t end, bool had_code)
{
    unlock_telling(mm, start, end, had_code ? TOLD_CHANGED : TOLD_NOTHING);
}

/*
 * The guest is about to hear that it may execute something. Another thread may just have unmapped what was at the same address,
 * and not told the engine yet: nothing of that may be run. Without a lock held.
 */
static void await_told(UserMm *mm, int prot)
{
    while ((prot & PROT_EXEC) && atomic_load(&mm->telling))
        os_yield();
}

/* Whether all of it lies where the host never puts anything: the low 2 GiB and the layout's window. */
static bool in_window(UserMm *mm, uint64_t start, uint64_t end)
{
    return end <= LOW_END || (start >= mm->at->mmap_low && end <= mm->at->guest_top);
}

/* Make sure that [start, end), asked for by address, may be replaced: outside the windows, what is not the guest's must be
 * free on the host, which reserving it shows. */
static int claim(UserMm *mm, uint64_t start, uint64_t end)
{
    if (in_window(mm, start, end))
        return 0;
    uint64_t p = start;
    while (p < end) {
        size_t i = mmset_find(&mm->set, p);
        if (i < mm->set.n && mm->set.r[i].start <= p) {
            p = mm->set.r[i].end;
            continue;
        }
        uint64_t stop = i < mm->set.n && mm->set.r[i].start < end ? mm->set.r[i].start : end;
        long got = call(mm, SYS_mmap, p, stop - p, PROT_NONE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, (uint64_t)-1, 0);
        if (got < 0)
            return -ENOMEM;
        mmset_insert(&mm->set, p, stop, PROT_NONE, MM_PLAIN);
        p = stop;
    }
    return 0;
}

/*
 * Shared objects go where their size says, not where the last one ended: then the same library is at the same address in
 * every program, and what was translated of it for one can serve all (engine/persist.h). They show as a mapping of
 * executable code, or as the reservation that glibc makes before it, which is like no other: no access, no flags.
 */
static bool is_image(uint64_t len, int prot, int flags, int fd)
{
    if (len < IMAGE_LEAST || len > IMAGE_MOST || (flags & MAP_TYPE) != MAP_PRIVATE)
        return false;
    if (fd >= 0 && !(flags & MAP_ANONYMOUS))
        return prot & PROT_EXEC;
    return prot == PROT_NONE && (flags & ~MAP_TYPE) == MAP_ANONYMOUS;
}

static uint64_t place_image(UserMm *mm, uint64_t len)
{
    uint64_t slot = (len / MM_PAGE * 0x9e3779b97f4a7c15u) >> 40;
    for (unsigned tries = 0; tries < IMAGE_TRIES; tries++, slot++) {
        uint64_t at = mm->at->mmap_top - IMAGE_AREA + slot % IMAGE_SLOTS * IMAGE_SLOT;
        if (mmset_is_free(&mm->set, at, at + len))
            return at;
    }
    return 0;
}

/* What a mapping's address and length are multiples of: huge pages are 2 MiB unless the flags name another size. */
static uint64_t map_unit(int flags)
{
    unsigned log = (unsigned)flags >> MAP_HUGE_SHIFT & MAP_HUGE_MASK;
    return (flags & MAP_HUGETLB) && (flags & MAP_ANONYMOUS) ? UINT64_C(1) << (log ? log : 21) : MM_PAGE;
}

/* Choose or check the address of a new mapping; `image` when is_image. */
static int64_t place(UserMm *mm, uint64_t addr, uint64_t len, int flags, bool image)
{
    if (len > TASK_END)
        return -ENOMEM;
    if (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) {
        if (!page_aligned(addr))
            return -EINVAL;
        if (addr > TASK_END - len)
            return -ENOMEM;
        if ((flags & MAP_FIXED_NOREPLACE) && !mmset_is_free(&mm->set, addr, addr + len))
            return -EEXIST;
        int err = claim(mm, addr, addr + len);
        return err ? err : (int64_t)addr;
    }
    /* A hint is taken where there is room: programs choose addresses for their pointers' sake. */
    addr = addr & ~(uint64_t)(MM_PAGE - 1);
    if (addr >= MM_MIN_ADDR && addr <= TASK_END - len && mmset_is_free(&mm->set, addr, addr + len) &&
        claim(mm, addr, addr + len) == 0)
        return (int64_t)addr;
    uint64_t found = image ? place_image(mm, len) : 0, unit = map_unit(flags);
    if (!found)
        found = mmset_find_free(&mm->set, mm->at->mmap_low, mm->at->mmap_top, len + unit - MM_PAGE);
    found = (found + unit - 1) & ~(unit - 1);
    return found ? (int64_t)found : -ENOMEM;
}

/*
 * Remember that [start, end) shows a file from `off` on. What a range of `files` carries is the distance between address
 * and offset, in pages, in its two attributes: neighbours that merge belong together.
 */
static void note_file(UserMm *mm, uint64_t start, uint64_t end, int prot, int flags, int fd, uint64_t off)
{
    uint64_t pages = (start - off) / MM_PAGE;
    if (fd >= 0 && !(flags & MAP_ANONYMOUS) && (flags & MAP_TYPE) == MAP_PRIVATE && (prot & PROT_EXEC))
        mmset_insert(&mm->files, start, end, (uint32_t)pages, (uint32_t)(pages >> 32));
    else
        mmset_remove(&mm->files, start, end);
}

int64_t mm_map(UserMm *mm, uint64_t addr, uint64_t len, int prot, int flags, int fd, uint64_t off)
{
    if (len == 0 || !page_aligned(off))
        return -EINVAL;
    if (len > TASK_END)
        return -ENOMEM;
    if (map_unit(flags) > TASK_END)
        return -EINVAL; /* no pages are that large */
    if (mm->mdwe && (prot & PROT_WRITE) && (prot & PROT_EXEC))
        return -EACCES;
    len = (len + map_unit(flags) - 1) & ~(map_unit(flags) - 1);
    flags &= ~(X86_ONLY_FLAGS | MAP_GROWSDOWN);
    pthread_rwlock_wrlock(mm->lock);
    int64_t at = place(mm, addr, len, flags, is_image(len, prot, flags, fd));
    if (at < 0) {
        pthread_rwlock_unlock(mm->lock);
        return at;
    }
    uint64_t start = (uint64_t)at, end = start + len;
    MmKind kind = (flags & MAP_TYPE) == MAP_PRIVATE ? MM_PLAIN : MM_SHARED;
    if (!may_grow(mm, start, end, (uint32_t)prot, kind)) {
        pthread_rwlock_unlock(mm->lock);
        return -ENOMEM;
    }
    bool had_code = mmset_any_prot(&mm->set, start, end, MM_PROT_CODE);
    long got = call(mm, SYS_mmap, start, len, (uint64_t)host_prot(prot),
                    (uint64_t)((flags & ~MAP_FIXED_NOREPLACE) | MAP_FIXED), (uint64_t)(int64_t)fd, off);
    if (got == -EINVAL && fd >= 0 && !(flags & (MAP_FIXED | MAP_FIXED_NOREPLACE | MAP_ANONYMOUS))) {
        /* rings of io_uring go where the kernel says, and nowhere else */
        got = call(mm, SYS_mmap, 0, len, (uint64_t)host_prot(prot), (uint64_t)flags, (uint64_t)(int64_t)fd, off);
        start = got >= 0 ? (uint64_t)got : start;
        end = start + len;
    }
    if (got >= 0) {
        mmset_insert(&mm->set, start, end, (uint32_t)prot & MM_PROT_ALL, kind);
        note_file(mm, start, end, prot, flags, fd, off);
    }
    unlock_changed(mm, start, end, had_code);
    await_told(mm, prot);
    return got;
}

int64_t mm_unmap(UserMm *mm, uint64_t addr, uint64_t len)
{
    if (len == 0 || !page_aligned(addr) || len > TASK_END || addr > TASK_END - len)
        return -EINVAL;
    uint64_t end = addr + page_up(len);
    pthread_rwlock_wrlock(mm->lock);
    bool had_code = mmset_any_prot(&mm->set, addr, end, MM_PROT_CODE);
    long err = 0;
    for (size_t i = mmset_find(&mm->set, addr); err == 0 && i < mm->set.n && mm->set.r[i].start < end; i++) {
        uint64_t s = mm->set.r[i].start > addr ? mm->set.r[i].start : addr;
        uint64_t e = mm->set.r[i].end < end ? mm->set.r[i].end : end;
        bool splits = s > mm->set.r[i].start && e < mm->set.r[i].end;
        err = splits && !mm_room_for(&mm->room, MM_ROOM_SPLIT) ? -ENOMEM : call(mm, SYS_munmap, s, e - s, 0, 0, 0, 0);
    }
    if (err == 0) {
        mmset_remove(&mm->set, addr, end);
        mmset_remove(&mm->files, addr, end);
    }
    unlock_changed(mm, addr, end, had_code);
    return err;
}

/* What memory-deny-write-execute does not let happen to [start, end): code that is writable, or was not code before. */
static bool gains_exec(const UserMm *mm, uint64_t start, uint64_t end, int prot)
{
    if (!mm->mdwe || !(prot & PROT_EXEC))
        return false;
    for (size_t i = mmset_find(&mm->set, start); i < mm->set.n && mm->set.r[i].start < end; i++)
        if (!(mm->set.r[i].prot & PROT_EXEC))
            return true;
    return prot & PROT_WRITE;
}

static bool is_stack(const UserMm *mm, uint64_t addr)
{
    size_t i = mmset_find(&mm->set, addr);
    return i < mm->set.n && mm->set.r[i].start <= addr && mm->set.r[i].kind == MM_STACK;
}

/* Whether code in [start, end) stays what it is when the protection changes: it is of no file, nor guarded otherwise than before. */
static bool keeps_code(UserMm *mm, uint64_t start, uint64_t end, int prot)
{
    if (!mmset_is_free(&mm->files, start, end))
        return false;
    for (size_t i = mmset_find(&mm->set, start); i < mm->set.n && mm->set.r[i].start < end; i++) {
        if ((prot & mm->set.r[i].prot & PROT_EXEC) && ((mm->set.r[i].prot ^ (uint32_t)prot) & MM_PROT_BTI))
            return false;
    }
    return true;
}

int64_t mm_protect(UserMm *mm, uint64_t addr, uint64_t len, int prot)
{
    const int known = MM_PROT_ALL | MM_PROT_SEM | PROT_GROWSDOWN;
    if (!page_aligned(addr) || (prot & ~known))
        return -EINVAL;
    if (len == 0)
        return 0;
    if (len > TASK_END || addr > TASK_END - len)
        return -ENOMEM;
    uint64_t end = addr + page_up(len);
    pthread_rwlock_wrlock(mm->lock);
    uint64_t grows = prot & PROT_GROWSDOWN, low = addr; /* PROT_GROWSDOWN: all of the stack below too */
    if (grows && !is_stack(mm, addr)) {
        pthread_rwlock_unlock(mm->lock);
        return -EINVAL;
    }
    prot &= MM_PROT_ALL;
    if (grows)
        low = mm->set.r[mmset_find(&mm->set, addr)].start;
    bool possible = mmset_covers(&mm->set, addr, end) && mm_room_for(&mm->room, MM_ROOM_SPLIT);
    if (!possible || gains_exec(mm, addr, end, prot)) {
        pthread_rwlock_unlock(mm->lock);
        return possible ? -EACCES : -ENOMEM;
    }
    bool had_code = mmset_any_prot(&mm->set, addr, end, MM_PROT_CODE);
    bool keeps = keeps_code(mm, addr, end, prot), park = had_code && keeps && !(prot & PROT_EXEC);
    long err = call(mm, SYS_mprotect, addr, end - addr, (uint64_t)host_prot(prot) | grows, 0, 0, 0);
    if (err == 0)
        mmset_set_prot(&mm->set, low, end, (uint32_t)prot | (park ? MM_PROT_PARKED : 0));
    unlock_telling(mm, addr, end, park ? TOLD_PARKED : had_code && !keeps ? TOLD_CHANGED : TOLD_NOTHING);
    await_told(mm, prot);
    return err;
}

/* Where a growing mapping moves to. */
static int64_t remap_place(UserMm *mm, uint64_t addr, uint64_t old_len, uint64_t new_len, int flags, uint64_t new_addr)
{
    if (flags & MREMAP_FIXED) {
        if (!page_aligned(new_addr) || (new_addr < addr + old_len && addr < new_addr + new_len))
            return -EINVAL;
        return place(mm, new_addr, new_len, MAP_FIXED, false);
    }
    return place(mm, new_addr, new_len, 0, false);
}

static int64_t remap_move(UserMm *mm, uint64_t addr, uint64_t old_len, uint64_t new_len, int flags, uint64_t new_addr,
                          const MmRange *was)
{
    int64_t to = remap_place(mm, addr, old_len, new_len, flags, new_addr);
    if (to < 0)
        return to;
    long got = call(mm, SYS_mremap, addr, old_len, new_len, (uint64_t)(flags | MREMAP_MAYMOVE | MREMAP_FIXED), (uint64_t)to, 0);
    if (got < 0)
        return got;
    if (old_len != 0 && !(flags & MREMAP_DONTUNMAP))
        mmset_remove(&mm->set, addr, addr + old_len);
    mmset_remove(&mm->files, addr, addr + old_len);
    mmset_remove(&mm->files, (uint64_t)to, (uint64_t)to + new_len);
    mmset_insert(&mm->set, (uint64_t)to, (uint64_t)to + new_len, was->prot, was->kind == MM_HEAP ? MM_PLAIN : was->kind);
    return to;
}

static int64_t remap_locked(UserMm *mm, uint64_t addr, uint64_t old_len, uint64_t new_len, int flags, uint64_t new_addr)
{
    size_t i = mmset_find(&mm->set, addr);
    if (i == mm->set.n || mm->set.r[i].start > addr || !mmset_covers(&mm->set, addr, addr + old_len))
        return -EFAULT;
    MmRange was = mm->set.r[i];
    if (old_len == 0 && was.kind != MM_SHARED && was.kind != MM_SHM) /* only a shared mapping can be had twice */
        return -EINVAL;
    if (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP))
        return flags & MREMAP_MAYMOVE ? remap_move(mm, addr, old_len, new_len, flags, new_addr, &was) : -EINVAL;
    if (old_len != 0 && new_len <= old_len) {
        if (new_len < old_len) {
            long err = call(mm, SYS_munmap, addr + new_len, old_len - new_len, 0, 0, 0, 0);
            if (err)
                return err;
            mmset_remove(&mm->set, addr + new_len, addr + old_len);
            mmset_remove(&mm->files, addr + new_len, addr + old_len);
        }
        return (int64_t)addr;
    }
    uint64_t end = addr + old_len;
    if (!may_grow(mm, end, addr + new_len, was.prot, was.kind))
        return -ENOMEM;
    if (old_len != 0 && in_window(mm, addr, addr + new_len) &&
        mmset_is_free(&mm->set, end, addr + new_len)) {
        long got = call(mm, SYS_mremap, addr, old_len, new_len, 0, 0, 0);
        if (got >= 0) {
            mmset_insert(&mm->set, end, addr + new_len, was.prot, was.kind);
            return got;
        }
    }
    if (!(flags & MREMAP_MAYMOVE))
        return -ENOMEM;
    return remap_move(mm, addr, old_len, new_len, flags, 0, &was);
}

int64_t mm_remap(UserMm *mm, uint64_t addr, uint64_t old_len, uint64_t new_len, int flags, uint64_t new_addr)
{
    old_len = page_up(old_len);
    new_len = page_up(new_len); /* 0 as well when it was too large to be rounded */
    if (!page_aligned(addr) || (flags & ~7) || new_len == 0)
        return -EINVAL;
    if (old_len > TASK_END || new_len > TASK_END)
        return -ENOMEM;
    if (addr > TASK_END - old_len)
        return -EFAULT;
    if ((flags & MREMAP_FIXED) && new_addr > TASK_END - new_len)
        return -EINVAL;
    if ((flags & MREMAP_DONTUNMAP) && (!page_aligned(new_addr) || old_len != new_len)) /* there it is a hint */
        return -EINVAL;
    pthread_rwlock_wrlock(mm->lock);
    bool had_code = mmset_any_prot(&mm->set, addr, addr + old_len, MM_PROT_CODE);
    bool over = (flags & MREMAP_FIXED) && mmset_any_prot(&mm->set, new_addr, new_addr + new_len, MM_PROT_CODE);
    int64_t ret = remap_locked(mm, addr, old_len, new_len, flags, new_addr);
    unlock_changed(mm, addr, addr + old_len, had_code);
    if (over && mm->engine)
        engine_invalidate(mm->engine, new_addr, new_len);
    await_told(mm, had_code ? PROT_EXEC : 0);
    return ret;
}

/* --- heap, stack, programs ---------------------------------------------------------------------------------------- */

int64_t mm_brk(UserMm *mm, uint64_t addr)
{
    pthread_rwlock_wrlock(mm->lock);
    uint64_t old = page_up(mm->brk), new = page_up(addr);
    bool ok = addr >= mm->brk_start && addr < mm->at->guest_top;
    bool had_code = ok && new < old && mmset_any_prot(&mm->set, new, old, MM_PROT_CODE);
    if (ok && new > old) {
        /* one page is left free above, so that the heap never touches a mapping */
        ok = mmset_is_free(&mm->set, old, new + MM_PAGE) && may_grow(mm, old, new, PROT_WRITE, MM_HEAP) &&
             call(mm, SYS_mmap, old, new - old, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, (uint64_t)-1, 0) >= 0;
        if (ok)
            mmset_insert(&mm->set, old, new, PROT_READ | PROT_WRITE, MM_HEAP);
    } else if (ok && new < old) {
        ok = call(mm, SYS_munmap, new, old - new, 0, 0, 0, 0) == 0;
        if (ok)
            mmset_remove(&mm->set, new, old);
    }
    if (ok)
        mm->brk = addr;
    int64_t ret = (int64_t)mm->brk;
    unlock_changed(mm, new, old, ok && had_code);
    return ret;
}

void mm_set_brk(UserMm *mm, uint64_t addr)
{
    mm->brk_start = mm->brk = page_up(addr);
}

uint64_t mm_set_address(uint64_t mm)
{
    return mm + offsetof(UserMm, set);
}

uint64_t mm_brk_start(const UserMm *mm)
{
    return mm->brk_start;
}

uint64_t mm_pie_base(UserMm *mm, uint64_t len)
{
    return mm->at->pie_base;
}

void mm_set_kind(UserMm *mm, uint64_t addr, uint64_t len, MmKind kind)
{
    pthread_rwlock_wrlock(mm->lock);
    mmset_set_kind(&mm->set, addr, addr + len, kind);
    pthread_rwlock_unlock(mm->lock);
}

/*
 * The kernel lets the stack grow as it is used, as far as RLIMIT_STACK says at that time; all that it may ever take is the
 * stack's in the set. Nothing else is ever placed there.
 */
uint64_t mm_map_stack(UserMm *mm, uint64_t need, bool exec)
{
    uint64_t top = mm->at->guest_top - 16 * MM_PAGE, low = mm->at->mmap_top + 256 * (uint64_t)MM_PAGE;
    uint64_t size = page_up(need + STACK_COUNTED);
    if (size > top - low)
        return 0;
    long got = call(mm, SYS_mmap, top - size, size, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_GROWSDOWN | MAP_FIXED, (uint64_t)-1, 0);
    if (got < 0)
        return 0;
    pthread_rwlock_wrlock(mm->lock);
    mmset_insert(&mm->set, low, top, PROT_READ | PROT_WRITE | (exec ? PROT_EXEC : 0), MM_STACK);
    pthread_rwlock_unlock(mm->lock);
    return top;
}

/* --- System V shared memory ----------------------------------------------------------------------------------------- */

int64_t mm_shmat(UserMm *mm, int id, uint64_t addr, int flags)
{
    struct shmid_ds ds;
    long err = call(mm, SYS_shmctl, (uint64_t)id, IPC_STAT, (uint64_t)(uintptr_t)&ds, 0, 0, 0);
    if (err < 0)
        return err;
    uint64_t len = page_up(ds.shm_segsz);
    if (addr && (flags & SHM_RND))
        addr &= ~(uint64_t)(MM_PAGE - 1);
    if (addr && !page_aligned(addr))
        return -EINVAL;
    if (!addr && (flags & SHM_REMAP))
        return -EINVAL;
    pthread_rwlock_wrlock(mm->lock);
    int how = !addr ? 0 : flags & SHM_REMAP ? MAP_FIXED : MAP_FIXED_NOREPLACE;
    int64_t at = place(mm, addr, len, how, false);
    if (at < 0) {
        pthread_rwlock_unlock(mm->lock);
        return at == -EEXIST ? -EINVAL : at;
    }
    if (!may_grow(mm, (uint64_t)at, (uint64_t)at + len, PROT_READ, MM_SHM)) {
        pthread_rwlock_unlock(mm->lock);
        return -ENOMEM;
    }
    bool had_code = mmset_any_prot(&mm->set, (uint64_t)at, (uint64_t)at + len, MM_PROT_CODE);
    long got = call(mm, SYS_shmat, (uint64_t)id, (uint64_t)at, (uint64_t)((flags & SHM_RDONLY) | SHM_REMAP), 0, 0, 0);
    if (got >= 0) {
        uint32_t prot = PROT_READ | (flags & SHM_RDONLY ? 0 : PROT_WRITE) | (flags & SHM_EXEC ? PROT_EXEC : 0);
        mmset_insert(&mm->set, (uint64_t)at, (uint64_t)at + len, prot, MM_SHM);
    }
    unlock_changed(mm, (uint64_t)at, (uint64_t)at + len, had_code);
    await_told(mm, flags & SHM_EXEC ? PROT_EXEC : 0);
    return got;
}

int64_t mm_shmdt(UserMm *mm, uint64_t addr)
{
    pthread_rwlock_wrlock(mm->lock);
    size_t i = mmset_find(&mm->set, addr);
    if (i == mm->set.n || mm->set.r[i].start != addr || mm->set.r[i].kind != MM_SHM) {
        pthread_rwlock_unlock(mm->lock);
        return -EINVAL;
    }
    MmRange r = mm->set.r[i];
    long err = call(mm, SYS_shmdt, addr, 0, 0, 0, 0, 0);
    if (err == 0)
        mmset_remove(&mm->set, r.start, r.end);
    unlock_changed(mm, r.start, r.end, (r.prot & MM_PROT_CODE) != 0);
    return err;
}

/* --- questions ------------------------------------------------------------------------------------------------------ */

const uint8_t *mm_stretch(UserMm *mm, uint64_t va, int prot, size_t *len)
{
    pthread_rwlock_rdlock(mm->lock);
    size_t i = mmset_find(&mm->set, va);
    uint64_t end = va;
    while (i < mm->set.n && mm->set.r[i].start <= end && (mm->set.r[i].prot & prot))
        end = mm->set.r[i++].end;
    pthread_rwlock_unlock(mm->lock);
    *len = end - va;
    return end > va ? (const uint8_t *)(uintptr_t)va : NULL;
}

bool mm_image(UserMm *mm, uint64_t pc, EnvImage *out)
{
    pthread_rwlock_rdlock(mm->lock);
    size_t f = mmset_find(&mm->files, pc), i = mmset_find(&mm->set, pc);
    bool yes = f < mm->files.n && mm->files.r[f].start <= pc && i < mm->set.n && mm->set.r[i].start <= pc &&
               (mm->set.r[i].prot & PROT_EXEC) && !(mm->set.r[i].prot & PROT_WRITE);
    if (yes) {
        const MmRange *file = &mm->files.r[f], *r = &mm->set.r[i];
        uint64_t pages = file->prot | (uint64_t)file->kind << 32;
        out->start = file->start > r->start ? file->start : r->start;
        out->end = file->end < r->end ? file->end : r->end;
        out->offset = out->start - pages * MM_PAGE;
        out->guarded = r->prot & MM_PROT_BTI;
    }
    pthread_rwlock_unlock(mm->lock);
    return yes;
}

bool mm_guarded(UserMm *mm, uint64_t pc)
{
    pthread_rwlock_rdlock(mm->lock);
    size_t i = mmset_find(&mm->set, pc);
    bool yes = i < mm->set.n && mm->set.r[i].start <= pc && (mm->set.r[i].prot & MM_PROT_BTI);
    pthread_rwlock_unlock(mm->lock);
    return yes;
}

void mm_guard(UserMm *mm, uint64_t start, uint64_t end)
{
    pthread_rwlock_wrlock(mm->lock);
    for (size_t i = mmset_find(&mm->set, start); i < mm->set.n && mm->set.r[i].start < end; i++)
        if (mm->set.r[i].prot & PROT_EXEC)
            mm->set.r[i].prot |= MM_PROT_BTI;
    pthread_rwlock_unlock(mm->lock);
}

typedef struct LockAll {
    UserMm *mm;
    uint64_t flags;
    long err;
} LockAll;

static void lock_range(void *ctx, const MmRange *r)
{
    LockAll *l = ctx;
    uint64_t start = r->kind == MM_STACK && r->end - r->start > STACK_COUNTED ? r->end - STACK_COUNTED : r->start;
    if (l->err == 0 && r->prot != PROT_NONE)
        l->err = call(l->mm, SYS_mlock2, start, r->end - start, l->flags, 0, 0, 0);
}

int64_t mm_lock_all(UserMm *mm, bool on_fault)
{
    LockAll l = { mm, on_fault ? MLOCK_ONFAULT : 0, 0 };
    mm_each(mm, lock_range, &l);
    return l.err;
}

bool mm_owned(UserMm *mm, uint64_t addr, uint64_t len)
{
    pthread_rwlock_rdlock(mm->lock);
    bool yes = len <= TASK_END && addr <= TASK_END - len && mmset_covers(&mm->set, addr, addr + len);
    pthread_rwlock_unlock(mm->lock);
    return yes;
}

void mm_each(UserMm *mm, void (*fn)(void *ctx, const MmRange *r), void *ctx)
{
    pthread_rwlock_rdlock(mm->lock);
    for (size_t i = 0; i < mm->set.n; i++)
        fn(ctx, &mm->set.r[i]);
    pthread_rwlock_unlock(mm->lock);
}

/* Above the guest's own addresses, which end at guest_top. */
uint64_t mm_ptrace_table(const UserMm *mm)
{
    return mm->at->guest_top;
}

uint64_t mm_ptrace_at(unsigned i)
{
    return i < sizeof layouts / sizeof layouts[0] ? layouts[i].guest_top : 0;
}
