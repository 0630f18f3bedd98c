/*
 * Counted executions, for --stats=hot: which translations run most, guest and host code side by side, and how many host
 * instructions a guest instruction takes. The persistent cache is off then, and each block of each translation adds one to a counter
 * of its own, behind the vcpu (HostConfig.count_at): one host instruction a block, which is left out of what is counted.
 *
 * The host marks which code belongs to which block and guest instruction. What is remembered of a translation, its code included, stays
 * when its part of the cache is evicted. Guest instructions are exact but for the rest of a block in which one faults. Host
 * instructions are those of a block times its executions: rare code (first times, polls that leave, careful forms) is left out, as are
 * the common stubs and the engine.
 */
#include "engine/internal.h"

#include "base/check.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define COUNTERS (1u << 20) /* blocks; what is translated beyond that is not counted */
#define INSN_BYTES 16
#define SHOWN 10            /* translations whose code is printed */
#define GUEST_WIDTH 46
#define TEXT 160

typedef struct HotMark {
    HostMark m;
    uint8_t insn[INSN_BYTES]; /* of the guest's, when it is of one */
    uint8_t len;
} HotMark;

typedef struct HotCode {
    struct HotCode *next;
    uint64_t pc;
    const char *kind;
    uint32_t first, nblock;   /* counters */
    HotMark *mark;
    uint32_t nmark, size;
    const uint8_t *hpc;       /* where it was */
    uint8_t *code;
    /* filled in for printing */
    uint64_t guest, host, entered;
} HotCode;

/* --- while the guest runs ------------------------------------------------------------------------------------------------ */

size_t hot_bytes(const Engine *e)
{
    return e->cfg.count ? COUNTERS * sizeof(uint64_t) : 0;
}

static uint64_t *counters(const Vcpu *cpu)
{
    return (uint64_t *)((char *)(uintptr_t)cpu + vcpu_counters_at(cpu->e));
}

void hot_reserve(Engine *e, IrRegion *r)
{
    Hot *hot = &e->hot;

    if (!e->cfg.count || r->counters)
        return;
    pthread_mutex_lock(&hot->lock);
    if (hot->next + r->nblock < COUNTERS) {
        r->counters = hot->next + 1;
        hot->next += r->nblock;
    }
    pthread_mutex_unlock(&hot->lock);
}

void hot_note(Vcpu *cpu, const IrRegion *r, const Translation *t, const HostCode *code)
{
    Hot *hot = &cpu->e->hot;
    Fetch f = {.cpu = cpu};
    size_t avail;

    if (!r->counters)
        return;
    HotCode *h = calloc(1, sizeof *h);
    CHECK(h != NULL);
    *h = (HotCode){.pc = t->pc, .kind = r->graph ? "graph" : r->deep ? "trail" : "trace", .first = r->counters - 1, .nblock = r->nblock, .nmark = code->nmark,
                   .size = t->size, .hpc = t->hpc, .code = malloc(t->size), .mark = calloc(code->nmark + 1, sizeof *h->mark)};
    CHECK(h->code && h->mark);
    memcpy(h->code, t->hpc, t->size);
    for (uint32_t i = 0; i < code->nmark; i++) {
        HotMark *m = &h->mark[i];
        m->m = code->mark[i];
        const uint8_t *insn = m->m.kind == HOST_MARK_INSN ? fetch_at(&f, m->m.what, &avail) : NULL;
        m->len = insn ? (uint8_t)(avail < INSN_BYTES ? avail : INSN_BYTES) : 0;
        if (insn)
            memcpy(m->insn, insn, m->len);
    }
    pthread_mutex_lock(&hot->lock);
    h->next = hot->codes;
    hot->codes = h;
    pthread_mutex_unlock(&hot->lock);
}

void hot_past_locked(Engine *e, const Vcpu *cpu)
{
    Hot *hot = &e->hot;

    if (!e->cfg.count)
        return;
    if (!hot->past)
        hot->past = calloc(COUNTERS, sizeof hot->past[0]);
    CHECK(hot->past != NULL);
    for (uint32_t i = 0; i < hot->next; i++)
        hot->past[i] += counters(cpu)[i];
}

/* What was counted before is the parent's. */
void hot_fork_child(Engine *e, Vcpu *self)
{
    if (!e->cfg.count)
        return;
    pthread_mutex_init(&e->hot.lock, NULL);
    memset(counters(self), 0, e->hot.next * sizeof(uint64_t));
    free(e->hot.past);
    e->hot.past = NULL;
}

void hot_done(Engine *e)
{
    for (HotCode *h = e->hot.codes, *next; h; h = next) {
        next = h->next;
        free(h->code);
        free(h->mark);
        free(h);
    }
    free(e->hot.past);
    pthread_mutex_destroy(&e->hot.lock);
}

/* --- adding up ----------------------------------------------------------------------------------------------------------- */

/* All vcpus' counters. Others may be counting: approximate while they run. */
static uint64_t *sum_counters(Engine *e)
{
    uint32_t n = e->hot.next;
    uint64_t *sum = calloc(n + 1, sizeof *sum);

    CHECK(sum != NULL);
    pthread_mutex_lock(&e->vcpu_lock);
    for (const Vcpu *v = e->vcpus; v; v = v->next) {
        for (uint32_t i = 0; i < n; i++)
            sum[i] += counters(v)[i];
    }
    for (uint32_t i = 0; e->hot.past && i < n; i++)
        sum[i] += e->hot.past[i];
    pthread_mutex_unlock(&e->vcpu_lock);
    return sum;
}

/* The code of mark k ends where the next one's begins. */
static uint32_t mark_end(const HotCode *h, uint32_t k)
{
    return k + 1 < h->nmark ? h->mark[k + 1].m.offset : h->size;
}

/* The next host instruction at *at, as text; false at the end. Padding ends the code. */
static bool next_host(const Engine *e, const HotCode *h, uint32_t *at, uint32_t end, char text[TEXT])
{
    if (*at >= end || h->code[*at] == 0xcc)
        return false;
    unsigned n = e->host->disas(h->code + *at, (uintptr_t)h->hpc + *at, text, TEXT);
    *at += n ? n : 1;
    return true;
}

/* Host instructions of mark k. */
static uint64_t host_insns(const Engine *e, const HotCode *h, uint32_t k)
{
    uint64_t n = 0;
    char text[TEXT];

    for (uint32_t at = h->mark[k].m.offset; next_host(e, h, &at, mark_end(h, k), text);)
        n++;
    return n;
}

/* The marks that make up h, each with how often its code ran. A block is named when it begins, and again behind what
 * interrupts it: the counting instruction is at the first of these. */
typedef struct Walk {
    const HotCode *h;
    const uint64_t *count;
    uint64_t times;
    uint8_t *seen;     /* by block */
} Walk;

static void walk_mark(Walk *w, uint32_t k, bool *begins)
{
    const HostMark *m = &w->h->mark[k].m;

    *begins = false;
    if (m->kind == HOST_MARK_RARE)
        w->times = 0;
    if (m->kind != HOST_MARK_BLOCK)
        return;
    w->times = w->count[w->h->first + m->what];
    *begins = !w->seen[m->what];
    w->seen[m->what] = 1;
}

static void add_up(const Engine *e, HotCode *h, const uint64_t *count)
{
    Walk w = {.h = h, .count = count, .seen = calloc(h->nblock + 1, 1)};
    bool begins;

    CHECK(w.seen != NULL);
    h->entered = count[h->first];
    for (uint32_t k = 0; k < h->nmark; k++) {
        walk_mark(&w, k, &begins);
        if (!w.times)
            continue;
        h->guest += h->mark[k].m.kind == HOST_MARK_INSN ? w.times : 0;
        h->host += (host_insns(e, h, k) - begins) * w.times;
    }
    free(w.seen);
}

/* --- printing ------------------------------------------------------------------------------------------------------------ */

static int by_host(const void *a, const void *b)
{
    const HotCode *x = *(HotCode *const *)a, *y = *(HotCode *const *)b;

    return x->host < y->host ? 1 : x->host > y->host ? -1 : x->pc > y->pc ? 1 : -1;
}

static void print_code(const Engine *e, const HotCode *h, const uint64_t *count, FILE *f)
{
    Walk w = {.h = h, .count = count, .seen = calloc(h->nblock + 1, 1)};
    bool begins;

    CHECK(w.seen != NULL);
    for (uint32_t k = 0; k < h->nmark; k++) {
        const HotMark *m = &h->mark[k];
        char left[TEXT] = "", right[TEXT];
        uint32_t at = m->m.offset;
        walk_mark(&w, k, &begins);
        if (!w.times)
            continue;
        if (begins) {
            fprintf(f, "    block %" PRIu64 ": %" PRIu64 " times\n", m->m.what, w.times);
            next_host(e, h, &at, mark_end(h, k), right); /* what counts */
        }
        if (m->m.kind == HOST_MARK_INSN) {
            int n = snprintf(left, sizeof left, "0x%" PRIx64 "  ", m->m.what);
            e->cfg.guest->disas(m->m.what, m->insn, m->len, left + n, sizeof left - (size_t)n);
        }
        bool any = next_host(e, h, &at, mark_end(h, k), right);
        if (any || left[0])
            fprintf(f, "      %-*s | %s\n", GUEST_WIDTH, left, any ? right : "");
        while (any && next_host(e, h, &at, mark_end(h, k), right))
            fprintf(f, "      %-*s | %s\n", GUEST_WIDTH, "", right);
    }
    free(w.seen);
}

static double ratio(uint64_t a, uint64_t b)
{
    return b ? (double)a / (double)b : 0;
}

static void print(const Engine *e, HotCode **all, uint32_t n, const uint64_t *count, FILE *f)
{
    uint64_t guest = 0, host = 0;

    for (uint32_t i = 0; i < n; i++) {
        guest += all[i]->guest;
        host += all[i]->host;
    }
    fprintf(f, "  %-28s %12" PRIu64 "\n", "guest instructions executed", guest);
    fprintf(f, "  %-28s %12" PRIu64 "   %.2f a guest instruction\n", "host instructions executed", host, ratio(host, guest));
    fprintf(f, "hottest translations, by host instructions executed\n");
    for (uint32_t i = 0; i < n && i < SHOWN && all[i]->host; i++) {
        const HotCode *h = all[i];
        fprintf(f, "%2u. %4.1f%%  0x%" PRIx64 ", %s, entered %" PRIu64 " times: %" PRIu64 " guest instructions, %.2f host instructions each\n",
                i + 1, 100 * ratio(h->host, host), h->pc, h->kind, h->entered, h->guest, ratio(h->host, h->guest));
        print_code(e, h, count, f);
    }
}

void hot_stats(Engine *e, FILE *f)
{
    HotCode **all;
    uint32_t n = 0;

    if (!e->cfg.count)
        return;
    pthread_mutex_lock(&e->hot.lock);
    uint64_t *count = sum_counters(e);
    for (HotCode *h = e->hot.codes; h; h = h->next)
        n++;
    all = calloc(n + 1, sizeof *all);
    CHECK(all != NULL);
    n = 0;
    for (HotCode *h = e->hot.codes; h; h = h->next) {
        h->guest = h->host = 0;
        add_up(e, h, count);
        all[n++] = h;
    }
    qsort(all, n, sizeof *all, by_host);
    print(e, all, n, count, f);
    free(all);
    free(count);
    pthread_mutex_unlock(&e->hot.lock);
}
