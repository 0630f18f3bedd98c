/*
 * GLib's mutexes, as QEMU's plugins lock and unlock them: without atomic operations while the guest has one thread. Plugins of
 * QEMU's that are called for each access lock one each time, which is more than half of their time (`cache`, `hotpages`, `cflow`).
 *
 * The program exports functions of GLib's names, which are found before GLib's own. The first of the guest's threads that comes is
 * the *owner*: it reads and writes the mutex's word by plain instructions, unless mutexes are *shared*; then all use GLib's functions.
 * They are shared while another thread holds one or waits for it (that which makes graphs shows them to plugins; plugins may have threads
 * of their own), and for good when another thread of the guest comes. The word is the one that GLib uses, so its functions
 * find mutexes as they are left. Between the two it is Dekker's protocol, with the kernel's barrier in the owner on the other thread's side
 * (membarrier(2)): the owner says that it is busy and then looks whether mutexes are shared, the other says that they are and then waits
 * until the owner is not busy.
 */
#include "plugin/qemu.h"

#include "base/os.h"
#include "plugin/library.h"

#include <stdatomic.h>

typedef _Atomic(uint32_t) GMutexWord; /* the first of a GMutex: 0, or 1 when it is locked and nobody waits */
enum { UNLOCKED, LOCKED };

/* Times that others than the guest's threads come, at some microseconds each, before mutexes are shared for good. */
#define VISITS 50000

static _Alignas(64) atomic_bool busy;
static _Alignas(64) atomic_bool shared;
static _Thread_local __attribute__((tls_model("local-exec"))) bool owner;
static atomic_bool for_good;

static struct {
    pthread_mutex_t lock;
    bool owned, ready;
    unsigned visits, inside; /* of threads that are not the owner; those that hold a mutex or wait for one */
} who = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct {
    void (*lock)(GMutexWord *m), (*unlock)(GMutexWord *m);
    int (*trylock)(GMutexWord *m);
} glib;

/* --- where there is no GLib: its mutexes are this file's alone -------------------------------------------------------------- */

static int own_trylock(GMutexWord *m)
{
    uint32_t free = UNLOCKED;

    return atomic_compare_exchange_strong(m, &free, LOCKED);
}

static void own_lock(GMutexWord *m)
{
    while (!own_trylock(m))
        os_yield();
}

static void own_unlock(GMutexWord *m)
{
    atomic_store(m, UNLOCKED);
}

/* --- who comes --------------------------------------------------------------------------------------------------------------- */

static void find_glib(void)
{
    const char *why;
    void *lib = library_open("libglib-2.0.so.0", &why);

    if (lib) {
        *(void **)&glib.lock = library_symbol(lib, "g_mutex_lock");
        *(void **)&glib.unlock = library_symbol(lib, "g_mutex_unlock");
        *(void **)&glib.trylock = library_symbol(lib, "g_mutex_trylock");
    }
    if (!glib.lock || !glib.unlock || !glib.trylock) {
        glib.lock = own_lock;
        glib.unlock = own_unlock;
        glib.trylock = own_trylock;
    }
}

/* Whether GLib's mutexes are what this file takes them for. */
static bool is_as_known(void)
{
    GMutexWord m[4] = {UNLOCKED}; /* a GMutex is a pointer's size */

    glib.lock(m);
    bool ok = m[0] == LOCKED && m[1] == 0 && !glib.trylock(m) && m[0] == LOCKED;
    glib.unlock(m);
    ok = ok && m[0] == UNLOCKED;
    m[0] = LOCKED;
    ok = ok && !glib.trylock(m);
    glib.unlock(m);
    return ok && m[0] == UNLOCKED && m[1] == 0;
}

static void share_locked(void)
{
    atomic_store(&shared, true);
    os_barrier_all();
    while (atomic_load(&busy))
        os_yield();
}

/* Before the thread uses GLib's functions, which are known from here on. */
static void enter_locked(void)
{
    bool guest = qemu_self.thread != NULL;

    if (!who.ready) {
        find_glib();
        who.ready = true;
        atomic_store(&for_good, !is_as_known() || !os_barrier_all());
        atomic_store(&shared, atomic_load(&for_good));
    }
    if (guest && !who.owned && !who.inside && !atomic_load(&for_good)) {
        owner = who.owned = true;
        return;
    }
    if (!atomic_load(&shared))
        share_locked();
    who.inside++;
    if (guest || ++who.visits > VISITS)
        atomic_store(&for_good, true);
}

static void enter(void)
{
    if (owner || atomic_load_explicit(&for_good, memory_order_acquire))
        return;
    pthread_mutex_lock(&who.lock);
    enter_locked();
    pthread_mutex_unlock(&who.lock);
}

/* The thread has let go of a mutex. */
static void leave(void)
{
    if (owner || atomic_load_explicit(&for_good, memory_order_acquire))
        return;
    pthread_mutex_lock(&who.lock);
    if (who.inside && --who.inside == 0 && !atomic_load(&for_good))
        atomic_store(&shared, false);
    pthread_mutex_unlock(&who.lock);
}

void qemu_mutex_fork_child(void *unused)
{
    (void)unused;
    pthread_mutex_init(&who.lock, NULL);
    who.inside = 0;
    atomic_store(&busy, false);
    atomic_store(&shared, atomic_load(&for_good));
}

/* --- the functions ------------------------------------------------------------------------------------------------------------ */

/* The owner's way: true when the word was `from` and is `to` now. Looked at before too, as this may fault. */
static inline bool change(GMutexWord *m, uint32_t from, uint32_t to)
{
    bool done = false;

    if (!owner || atomic_load_explicit(m, memory_order_relaxed) != from)
        return false;
    atomic_store_explicit(&busy, true, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
    if (!atomic_load_explicit(&shared, memory_order_acquire)) {
        atomic_store_explicit(m, to, memory_order_release);
        done = true;
    }
    atomic_store_explicit(&busy, false, memory_order_release);
    return done;
}

static __attribute__((noinline)) void lock_any(GMutexWord *m)
{
    enter();
    glib.lock(m);
}

static __attribute__((noinline)) void unlock_any(GMutexWord *m)
{
    glib.unlock(m);
    leave();
}

QEMU_EXPORT void g_mutex_lock(GMutexWord *m)
{
    if (!change(m, UNLOCKED, LOCKED))
        lock_any(m);
}

QEMU_EXPORT void g_mutex_unlock(GMutexWord *m)
{
    if (!change(m, LOCKED, UNLOCKED))
        unlock_any(m);
}

QEMU_EXPORT int g_mutex_trylock(GMutexWord *m)
{
    if (change(m, UNLOCKED, LOCKED))
        return 1;
    enter();
    int got = glib.trylock(m);
    if (!got)
        leave();
    return got;
}
