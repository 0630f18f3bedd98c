/* Scoreboards: memory of each vcpu that plugins read and write as they like, and that inline operations change. */
#include "plugin/qemu.h"

#include "base/check.h"
#include "base/own_fd.h"

#include <stdlib.h>
#include <string.h>

static struct qemu_plugin_scoreboard *scores; /* under list_lock; QEMU's interface gives no context to keep it in */

static Plugins *plugins(void)
{
    return qemu_plugin_any()->h->p;
}

static void place(struct qemu_plugin_scoreboard *s)
{
    const Engine *e = s->h->p->tools.e;

    if (e)
        s->disp = cell_disp(e, s->first);
}

QEMU_EXPORT struct qemu_plugin_scoreboard *qemu_plugin_scoreboard_new(size_t size)
{
    QemuPlugin *q = qemu_plugin_any();
    struct qemu_plugin_scoreboard *s = calloc(1, sizeof *s);

    CHECK(s != NULL);
    s->h = q->h;
    s->cells = (uint32_t)((size + 7) / 8);
    s->first = cells_new(q->h, CELLS_MEMORY, s->cells < 2 ? 2 : s->cells); /* a single one might have no memory of its own */
    if (s->first == DG_NO_CELL) {
        own_err_line("tool '%s': no room for a scoreboard of %zu bytes", q->h->tool->name, size);
        free(s);
        return NULL;
    }
    place(s);
    pthread_mutex_lock(&q->h->p->list_lock);
    s->next = scores;
    scores = s;
    pthread_mutex_unlock(&q->h->p->list_lock);
    return s;
}

QEMU_EXPORT void qemu_plugin_scoreboard_free(struct qemu_plugin_scoreboard *s)
{
    Plugins *p = plugins();

    pthread_mutex_lock(&p->list_lock);
    for (struct qemu_plugin_scoreboard **at = &scores; *at; at = &(*at)->next) {
        if (*at == s) {
            *at = s->next;
            break;
        }
    }
    pthread_mutex_unlock(&p->list_lock);
    for (uint32_t k = 0; k < s->ngone; k++)
        free(s->gone[k]);
    free(s->gone);
    free(s); /* its cells stay taken: translated code may still count there */
}

static uint8_t *live(const struct qemu_plugin_scoreboard *s, const DgThread *t)
{
    return (uint8_t *)cell_of(t->cpu, s->disp);
}

static DgThread *thread_locked(Plugins *p, unsigned vcpu)
{
    for (DgThread *t = p->threads; t; t = t->next)
        if (t->number == vcpu)
            return t;
    return NULL;
}

/* Memory of a vcpu that is not running. */
static uint8_t *kept_locked(struct qemu_plugin_scoreboard *s, unsigned vcpu)
{
    if (vcpu >= s->ngone) {
        s->gone = realloc(s->gone, (vcpu + 1) * sizeof *s->gone);
        CHECK(s->gone != NULL);
        memset(s->gone + s->ngone, 0, (vcpu + 1 - s->ngone) * sizeof *s->gone);
        s->ngone = vcpu + 1;
    }
    if (!s->gone[vcpu]) {
        s->gone[vcpu] = calloc(s->cells ? s->cells : 1, 8);
        CHECK(s->gone[vcpu] != NULL);
    }
    return s->gone[vcpu];
}

static uint8_t *find_locked(Plugins *p, struct qemu_plugin_scoreboard *s, unsigned vcpu)
{
    DgThread *t = thread_locked(p, vcpu);

    return t ? live(s, t) : kept_locked(s, vcpu);
}

static __attribute__((noinline)) void *find_any(struct qemu_plugin_scoreboard *s, unsigned vcpu)
{
    Plugins *p = plugins();
    pthread_mutex_lock(&p->list_lock);
    void *at = find_locked(p, s, vcpu);
    pthread_mutex_unlock(&p->list_lock);
    return at;
}

/* Plugins that count in functions come here for each instruction: what is the thread's own needs neither a lock nor a look at others. */
static inline bool is_own(unsigned vcpu)
{
    return __builtin_expect(vcpu == qemu_self.vcpu, true);
}

QEMU_EXPORT void *qemu_plugin_scoreboard_find(struct qemu_plugin_scoreboard *s, unsigned vcpu)
{
    return is_own(vcpu) ? qemu_self.state + s->disp : find_any(s, vcpu);
}

/* What was written before the vcpu started is its own from now on. */
void qemu_scores_start(DgThread *t)
{
    pthread_mutex_lock(&t->p->list_lock);
    for (struct qemu_plugin_scoreboard *s = scores; s; s = s->next) {
        if (!s->disp)
            place(s);
        if (t->number < s->ngone && s->gone[t->number])
            memcpy(live(s, t), s->gone[t->number], 8 * (size_t)s->cells);
    }
    pthread_mutex_unlock(&t->p->list_lock);
}

void qemu_scores_keep(DgThread *t)
{
    pthread_mutex_lock(&t->p->list_lock);
    for (struct qemu_plugin_scoreboard *s = scores; s; s = s->next)
        memcpy(kept_locked(s, t->number), live(s, t), 8 * (size_t)s->cells);
    pthread_mutex_unlock(&t->p->list_lock);
}

/* --- numbers ---------------------------------------------------------------------------------------------------------------- */

DgCell qemu_entry_cell(qemu_plugin_u64 e)
{
    return e.score && e.offset % 8 == 0 && e.offset / 8 < e.score->cells ? e.score->first + (uint32_t)(e.offset / 8) : DG_NO_CELL;
}

static inline uint64_t *own(qemu_plugin_u64 e)
{
    return (uint64_t *)(void *)(qemu_self.state + e.score->disp + e.offset);
}

static uint64_t *any(qemu_plugin_u64 e, unsigned vcpu)
{
    return (uint64_t *)(void *)((uint8_t *)find_any(e.score, vcpu) + e.offset);
}

static __attribute__((noinline)) void add_any(qemu_plugin_u64 e, unsigned vcpu, uint64_t n)
{
    *any(e, vcpu) += n;
}

QEMU_EXPORT void qemu_plugin_u64_add(qemu_plugin_u64 e, unsigned vcpu, uint64_t n)
{
    if (is_own(vcpu))
        *own(e) += n;
    else
        add_any(e, vcpu, n); /* out of line: registers would have to be kept for it */
}

QEMU_EXPORT uint64_t qemu_plugin_u64_get(qemu_plugin_u64 e, unsigned vcpu)
{
    return is_own(vcpu) ? *own(e) : *any(e, vcpu);
}

static __attribute__((noinline)) void set_any(qemu_plugin_u64 e, unsigned vcpu, uint64_t v)
{
    *any(e, vcpu) = v;
}

QEMU_EXPORT void qemu_plugin_u64_set(qemu_plugin_u64 e, unsigned vcpu, uint64_t v)
{
    if (is_own(vcpu))
        *own(e) = v;
    else
        set_any(e, vcpu, v);
}

QEMU_EXPORT uint64_t qemu_plugin_u64_sum(qemu_plugin_u64 e)
{
    Plugins *p = plugins();
    uint64_t sum = 0;

    pthread_mutex_lock(&p->list_lock);
    for (uint32_t k = 0; k < p->nthread; k++) {
        DgThread *t = thread_locked(p, k);
        uint64_t v = 0;
        if (t || (k < e.score->ngone && e.score->gone[k]))
            memcpy(&v, (t ? live(e.score, t) : e.score->gone[k]) + e.offset, sizeof v);
        sum += v;
    }
    pthread_mutex_unlock(&p->list_lock);
    return sum;
}
