/*
 * The thread that consumers of streams run on which want one (DG_STREAM_OWN_THREAD). Full buffers wait in a queue of limited
 * length, in order; a guest thread that finds no room there waits for it, so a slow consumer slows the guest down and memory stays
 * bounded. The thread is started with the first buffer. Whoever needs all to have been consumed waits for that (feed_drain).
 */
#include "plugin/internal.h"

#include "base/check.h"
#include "base/os.h"

#include <stdlib.h>
#include <unistd.h>

typedef struct Consume {
    const DgStream *s;
    const Buffer *b;
} Consume;

static void consume(void *ctx)
{
    const Consume *c = ctx;
    c->s->fn(c->s->data, c->b->thread, c->b->mem, c->b->bytes);
}

static Buffer take_locked(Feed *f)
{
    Buffer b = f->queue[f->first];

    f->first = (f->first + 1) % FEED_QUEUE;
    f->n--;
    f->busy = true;
    return b;
}

static void give_back_locked(DgStream *s, uint8_t *mem)
{
    *(uint8_t **)(void *)mem = s->spare;
    s->spare = mem;
}

static void *feed_main(void *arg)
{
    Plugins *p = arg;
    Feed *f = &p->feed;

    tools_thread_begin(f->cpu);
    atomic_store(&p->tools.thread, os_tid());
    pthread_mutex_lock(&f->lock);
    while (f->n || !f->stop) {
        if (!f->n) {
            pthread_cond_wait(&f->wake, &f->lock);
            continue;
        }
        Buffer b = take_locked(f);
        pthread_mutex_unlock(&f->lock);
        plugin_guard(b.s->h, f->cpu, "consuming a stream", consume, &(Consume){b.s, &b});
        pthread_mutex_lock(&f->lock);
        give_back_locked(b.s, b.mem);
        f->busy = false;
        pthread_cond_broadcast(&f->room);
    }
    pthread_mutex_unlock(&f->lock);
    tools_thread_end(f->cpu);
    return NULL;
}

/* False: in a child of vfork, whose thread it would be, or the host makes none. */
static bool start_locked(Plugins *p)
{
    Feed *f = &p->feed;

    if (f->running)
        return true;
    if (getpid() != f->pid)
        return false;
    if (!f->cpu)
        f->cpu = vcpu_new(p->tools.e);
    f->stop = false;
    f->running = engine_spawn(&f->thread, feed_main, p);
    return f->running;
}

void feed_init(Plugins *p)
{
    pthread_mutex_init(&p->feed.lock, NULL);
    pthread_cond_init(&p->feed.wake, NULL);
    pthread_cond_init(&p->feed.room, NULL);
    p->feed.pid = getpid();
}

uint8_t *feed_buffer(DgStream *s)
{
    Feed *f = &s->h->p->feed;

    pthread_mutex_lock(&f->lock);
    uint8_t *mem = s->spare;
    if (mem)
        s->spare = *(uint8_t **)(void *)mem;
    pthread_mutex_unlock(&f->lock);
    if (!mem)
        mem = os_alloc(s->buffer);
    CHECK(mem != NULL);
    return mem;
}

void feed_spare(DgStream *s, uint8_t *mem)
{
    Feed *f = &s->h->p->feed;

    pthread_mutex_lock(&f->lock);
    give_back_locked(s, mem);
    pthread_mutex_unlock(&f->lock);
}

void feed_put(Plugins *p, Vcpu *cpu, const Buffer *b)
{
    Feed *f = &p->feed;

    pthread_mutex_lock(&f->lock);
    while (f->n == FEED_QUEUE)
        pthread_cond_wait(&f->room, &f->lock);
    if (start_locked(p)) {
        f->queue[(f->first + f->n++) % FEED_QUEUE] = *b;
        pthread_cond_signal(&f->wake);
        pthread_mutex_unlock(&f->lock);
        return;
    }
    pthread_mutex_unlock(&f->lock);
    plugin_guard(b->s->h, cpu, "consuming a stream", consume, &(Consume){b->s, b});
    feed_spare(b->s, b->mem);
}

static void drain_locked(Feed *f)
{
    while (f->running && (f->n || f->busy))
        pthread_cond_wait(&f->room, &f->lock);
}

void feed_drain(Plugins *p)
{
    pthread_mutex_lock(&p->feed.lock);
    drain_locked(&p->feed);
    pthread_mutex_unlock(&p->feed.lock);
}

void feed_stop(Plugins *p)
{
    Feed *f = &p->feed;

    pthread_mutex_lock(&f->lock);
    drain_locked(f);
    bool was = f->running && getpid() == f->pid;
    if (was) {
        f->running = false;
        f->stop = true;
        pthread_cond_signal(&f->wake);
    }
    pthread_mutex_unlock(&f->lock);
    if (!was)
        return;
    pthread_join(f->thread, NULL);
    os_thread_gone(atomic_load(&p->tools.thread));
    vcpu_free(f->cpu);
    f->cpu = NULL;
    atomic_store(&p->tools.thread, 0);
}

void feed_fork_begin(Plugins *p)
{
    pthread_mutex_lock(&p->feed.lock);
    drain_locked(&p->feed);
}

void feed_fork_end(Plugins *p)
{
    pthread_mutex_unlock(&p->feed.lock);
}

void feed_fork_child(Plugins *p)
{
    Feed *f = &p->feed;

    f->running = f->busy = f->stop = false;
    f->cpu = NULL; /* it was buried with all others */
    feed_init(p);
    atomic_store(&p->tools.thread, 0);
}
