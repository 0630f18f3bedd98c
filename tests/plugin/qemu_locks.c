/*
 * A plugin made for QEMU that counts under GLib's mutexes, and by itself checks that they exclude: at each instruction, by the guest's
 * threads, by those that translate, and, with `helper`, by a thread of its own, which waits for a condition first.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef uint64_t Id;
typedef struct Tb Tb;
typedef struct Insn Insn;
typedef struct Score Score;
typedef struct U64 {
    Score *score;
    size_t offset;
} U64;
typedef union Mutex {
    void *p;
    unsigned i[2];
} Mutex;
typedef struct Cond {
    void *p;
    unsigned i[2];
} Cond;

int qemu_plugin_version = 4;
void qemu_plugin_register_vcpu_tb_trans_cb(Id, void (*)(Id, Tb *));
void qemu_plugin_register_vcpu_insn_exec_cb(Insn *, void (*)(unsigned, void *), int, void *);
void qemu_plugin_register_atexit_cb(Id, void (*)(Id, void *), void *);
size_t qemu_plugin_tb_n_insns(const Tb *);
Insn *qemu_plugin_tb_get_insn(const Tb *, size_t);
Score *qemu_plugin_scoreboard_new(size_t);
void qemu_plugin_u64_add(U64, unsigned, uint64_t);
uint64_t qemu_plugin_u64_sum(U64);
void qemu_plugin_outs(const char *);
void g_mutex_lock(Mutex *);
void g_mutex_unlock(Mutex *);
int g_mutex_trylock(Mutex *);
void g_cond_wait(Cond *, Mutex *);
void g_cond_signal(Cond *);

static Mutex lock, other;
static Cond ready;
static bool is_ready, stop, helps;
static U64 each;                                        /* executions, counted by each vcpu */
static volatile uint64_t counted, helped, shown, inside; /* under lock */
static uint64_t bad;
static pthread_t helper;

/* Under lock. */
static void count(void)
{
    bad += inside++ != 0;
    counted++;
    bad += --inside != 0;
}

static void on_insn(unsigned vcpu, void *data)
{
    (void)data;
    qemu_plugin_u64_add(each, vcpu, 1);
    if (!g_mutex_trylock(&lock))
        g_mutex_lock(&lock);
    g_mutex_lock(&other);
    count();
    g_mutex_unlock(&lock);
    g_mutex_unlock(&other);
}

static void *help(void *unused)
{
    (void)unused;
    g_mutex_lock(&lock);
    is_ready = true;
    g_cond_signal(&ready);
    g_mutex_unlock(&lock);
    for (bool last = false; !last;) {
        g_mutex_lock(&lock);
        last = stop;
        for (int k = 0; k < 100; k++)
            count();
        helped += 100;
        g_mutex_unlock(&lock);
        usleep(20);
    }
    return NULL;
}

static void translate(Id id, Tb *tb)
{
    (void)id;
    g_mutex_lock(&lock);
    count();
    shown++;
    g_mutex_unlock(&lock);
    for (size_t k = 0; k < qemu_plugin_tb_n_insns(tb); k++)
        qemu_plugin_register_vcpu_insn_exec_cb(qemu_plugin_tb_get_insn(tb, k), on_insn, 0, NULL);
}

static void finish(Id id, void *data)
{
    char text[200];

    (void)id;
    (void)data;
    if (helps) {
        g_mutex_lock(&lock);
        stop = true;
        g_mutex_unlock(&lock);
        pthread_join(helper, NULL);
    }
    snprintf(text, sizeof text, "counted %llu\nexecuted %llu\nhelped %llu\nbad %llu\n", (unsigned long long)(counted - shown - helped),
             (unsigned long long)qemu_plugin_u64_sum(each), (unsigned long long)helped, (unsigned long long)bad);
    qemu_plugin_outs(text);
}

int qemu_plugin_install(Id id, const void *info, int argc, char **argv);
int qemu_plugin_install(Id id, const void *info, int argc, char **argv)
{
    (void)info;
    helps = argc == 1 && strcmp(argv[0], "helper") == 0;
    each = (U64){qemu_plugin_scoreboard_new(8), 0};
    g_mutex_lock(&lock);
    if (helps && pthread_create(&helper, NULL, help, NULL) != 0)
        return -1;
    while (helps && !is_ready)
        g_cond_wait(&ready, &lock);
    g_mutex_unlock(&lock);
    qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
    qemu_plugin_register_atexit_cb(id, finish, NULL);
    return 0;
}
