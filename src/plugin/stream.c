/*
 * Streams: a buffer for each thread and stream, which translated code writes records to. Two cells of the thread say
 * where the next record goes and from where on there is no room (behind that is slack for what one block writes between
 * two tests).
 */
#include "plugin/internal.h"

#include "base/check.h"
#include "base/os.h"

#include <string.h>

#define BUFFER_DEFAULT ((size_t)256 << 10)
#define BUFFER_MAX     ((size_t)1 << 30)

DgStream *stream_new(DgHost *h, uint32_t record, size_t buffer, DgConsumeFn *fn, void *data, unsigned flags)
{
    Plugins *p = h->p;
    size_t page = os_page_size();

    bool filtered = flags & DG_STREAM_FILTERED;

    if (p->running || p->nstream == STREAMS_MAX || record == 0 || record > RECORD_MAX || buffer > BUFFER_MAX || !fn ||
        (flags & ~(DG_STREAM_OWN_THREAD | DG_STREAM_FILTERED)) || (filtered && record != sizeof(DgSeen)))
        return NULL;
    DgStream *s = &p->stream[p->nstream];
    *s = (DgStream){.h = h, .number = p->nstream, .record = record, .fn = fn, .data = data, .own_thread = flags & DG_STREAM_OWN_THREAD};
    s->buffer = ((buffer ? buffer : BUFFER_DEFAULT) + STREAM_SLACK + page - 1) / page * page;
    /* Filters find the position in memory, so it is no slot then: an array never is. */
    s->pos = cells_new(h, DG_SUM, filtered ? 2 : 1);
    s->limit = cells_new(h, DG_SUM, 1);
    if (s->pos == DG_NO_CELL || s->limit == DG_NO_CELL)
        return NULL;
    p->nstream++;
    return s;
}

static DgFilter *filter_add(DgHost *h, DgStream *s, unsigned shift, uint32_t length, uint32_t ways, bool forgets)
{
    unsigned place = 0;

    if (h->p->running || !s || s->record != sizeof(DgSeen) || s->nfilter == FILTERS_MAX || shift < 4 || shift > 32 || !length ||
        (length & (length - 1)) || length > 1u << 20 || !ways || ways > 1024)
        return NULL;
    while (1u << place < ways)
        place++;
    uint64_t cells = (uint64_t)length << place;
    if (cells > cell_limit(h->p->tools.e))
        return NULL;
    DgFilter *f = arena_zalloc(&h->p->arena, sizeof *f);
    *f = (DgFilter){s, s->nfilter, shift, place + 3, length, ways, forgets, 0};
    f->cell = cells_new(h, CELLS_OWN, cells < 2 ? 2 : (uint32_t)cells);
    if (f->cell == DG_NO_CELL)
        return NULL;
    s->filter[s->nfilter++] = f;
    return f;
}

DgFilter *filter_new(DgHost *h, DgStream *s, unsigned shift, uint32_t length)
{
    return filter_add(h, s, shift, length, 1, true);
}

DgFilter *filter_lru(DgHost *h, DgStream *s, unsigned shift, uint32_t length, uint32_t ways)
{
    return filter_add(h, s, shift, length, ways, false);
}

static uint64_t *cell(const DgThread *t, DgCell c)
{
    return cell_of(t->cpu, cell_disp(t->p->tools.e, c));
}

static void forget_seen(DgThread *t, const DgStream *s, bool all)
{
    for (unsigned k = 0; k < s->nfilter; k++)
        if (all || s->filter[k]->forgets)
            memset(cell(t, s->filter[k]->cell), IR_NOTE_BYTE, (size_t)s->filter[k]->length << s->filter[k]->place);
}

typedef struct Consume {
    const DgThread *t;
    const DgStream *s;
    size_t bytes;
} Consume;

static void consume(void *ctx)
{
    const Consume *c = ctx;
    c->s->fn(c->s->data, c->t->number, c->t->buffer[c->s->number], c->bytes);
}

/* Hand over the records up to `at`. */
static void empty(DgThread *t, DgStream *s, uint64_t at)
{
    uint64_t start = (uintptr_t)t->buffer[s->number];
    Consume c = {t, s, (size_t)(at - start)};

    if (start && at > start)
        plugin_guard(s->h, t->cpu, "consuming a stream", consume, &c);
}

static void buffer_new(DgThread *t, DgStream *s)
{
    uint8_t *mem = s->own_thread ? feed_buffer(s) : os_alloc(s->buffer);

    CHECK(mem != NULL);
    t->buffer[s->number] = mem;
    *cell(t, s->limit) = (uintptr_t)mem + s->buffer - STREAM_SLACK;
}

/* Let what is in the buffer up to `at` be consumed; the buffer, or another one, is empty then. */
static void hand_over(DgThread *t, DgStream *s, uint64_t at)
{
    uint8_t *mem = t->buffer[s->number];

    if (!s->own_thread) {
        empty(t, s, at);
    } else if (at > (uintptr_t)mem) {
        feed_put(t->p, t->cpu, &(Buffer){s, t->number, mem, (size_t)(at - (uintptr_t)mem)});
        buffer_new(t, s);
    }
    forget_seen(t, s, false);
}

uint64_t stream_room(Tools *tools, Vcpu *cpu, uint64_t at, uint64_t limit)
{
    DgThread *t = cpu->tool;
    Plugins *p = t->p;

    for (unsigned k = 0; k < p->nstream; k++) {
        DgStream *s = &p->stream[k];
        if (cell_disp(p->tools.e, s->limit) != limit)
            continue;
        if (t->buffer[k])
            hand_over(t, s, at);
        else
            buffer_new(t, s);
        return (uintptr_t)t->buffer[k];
    }
    CHECK(!"the stream is known");
    return 0;
}

/* No position is above a limit of 0 but one that is not 0: the first record makes the buffer. */
static void forget(DgThread *t, DgStream *s)
{
    *cell(t, s->pos) = 1;
    *cell(t, s->limit) = 0;
    if (t->buffer[s->number] && s->own_thread)
        feed_spare(s, t->buffer[s->number]);
    else if (t->buffer[s->number])
        os_free(t->buffer[s->number], s->buffer);
    t->buffer[s->number] = NULL;
}

void stream_flush(DgThread *t, DgStream *s)
{
    if (!t->buffer[s->number])
        return;
    hand_over(t, s, *cell(t, s->pos));
    *cell(t, s->pos) = (uintptr_t)t->buffer[s->number];
    if (s->own_thread)
        feed_drain(t->p);
}

void stream_thread_start(DgThread *t)
{
    for (unsigned k = 0; k < t->p->nstream; k++) {
        forget(t, &t->p->stream[k]);
        forget_seen(t, &t->p->stream[k], true);
    }
}

void stream_thread_end(DgThread *t)
{
    for (unsigned k = 0; k < t->p->nstream; k++) {
        DgStream *s = &t->p->stream[k];
        if (t->buffer[k])
            hand_over(t, s, *cell(t, s->pos));
        forget(t, s);
    }
}

void stream_fork_child(DgThread *t)
{
    stream_thread_start(t); /* what has not been consumed is the parent's */
}
