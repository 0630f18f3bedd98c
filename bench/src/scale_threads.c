/* A thousand threads at once: each waits for the last to be born, then all take turns at counters and mutexes. */
#include "bench.h"

#include <pthread.h>

enum { THREADS = 1000, COUNTERS = 16 };

static struct {
    pthread_mutex_t lock;
    uint64_t n;
} counter[COUNTERS];
static pthread_barrier_t born;
static uint64_t total;
static long rounds;

static void *worker(void *arg)
{
    uintptr_t id = (uintptr_t)arg;

    pthread_barrier_wait(&born);
    for (long k = 0; k < rounds; k++) {
        pthread_mutex_lock(&counter[(id + k) % COUNTERS].lock);
        counter[(id + k) % COUNTERS].n += id;
        pthread_mutex_unlock(&counter[(id + k) % COUNTERS].lock);
        __atomic_fetch_add(&total, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    static pthread_t t[THREADS];
    pthread_attr_t attr;
    uint64_t sum = 0;

    rounds = bench_scale(argc, argv, 100);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 64 << 10);
    pthread_barrier_init(&born, NULL, THREADS);
    for (int i = 0; i < COUNTERS; i++)
        pthread_mutex_init(&counter[i].lock, NULL);
    for (uintptr_t i = 0; i < THREADS; i++) {
        if (pthread_create(&t[i], &attr, worker, (void *)i))
            return 1;
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
    for (int i = 0; i < COUNTERS; i++)
        sum += counter[i].n;
    printf("%llu %llu\n", (unsigned long long)sum, (unsigned long long)total);
    return 0;
}
