/*
 * Windows: when tools watch. What the translator makes of code depends on a key: which tools watch, which windows are open. Each key
 * that comes up gets a number, which the engine has as part of the mode of a vcpu: versions of the same code for different keys lie
 * side by side, none is made anew when a window opens or closes, and none leads into another.
 *
 * What opens and closes a window is itself code that is put in, by calls that leave translated code: at an address, one call there.
 * A count is exact and still costs little: code adds up instructions and tests once a piece of straight code whether the limit is
 * in it. If so the window is `near`, and code of that key tests at each instruction.
 */
#include "plugin/code.h"

#include "base/check.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define NEVER UINT64_MAX

static uint64_t open_bit(const Window *w)
{
    return UINT64_C(1) << (TOOLS_MAX + 2 * w->number);
}

static uint64_t near_bit(const Window *w)
{
    return open_bit(w) << 1;
}

bool window_watches(const DgHost *h, uint64_t key)
{
    return !(key >> h->number & 1) && (!h->window || (key & open_bit(h->window)));
}

/* --- keys --------------------------------------------------------------------------------------------------------- */

uint64_t window_key(const Plugins *p, unsigned state)
{
    return atomic_load_explicit(&p->state[state], memory_order_acquire);
}

/* The number of a key. When there are too many the last number is used again, for which code is made anew. */
static unsigned number_of(Plugins *p, uint64_t key, bool *again)
{
    unsigned k = 0;

    while (k < p->nstate && atomic_load(&p->state[k]) != key)
        k++;
    *again = k == TOOL_STATES;
    if (*again)
        k--;
    atomic_store_explicit(&p->state[k], key, memory_order_release);
    if (k == p->nstate)
        p->nstate++;
    return k;
}

void window_change(Plugins *p, uint64_t set, uint64_t clear)
{
    bool again = false;

    pthread_mutex_lock(&p->state_lock);
    uint64_t key = (p->key | set) & ~clear;
    bool change = key != p->key;
    p->key = key;
    if (change && p->running)
        tools_set_state(p->tools.e, number_of(p, key, &again));
    pthread_mutex_unlock(&p->state_lock);
    if (again)
        engine_invalidate(p->tools.e, 0, UINT64_MAX);
}

/* --- opening and closing ------------------------------------------------------------------------------------------ */

static bool concerns(Plugins *p, const DgTrigger *g, uint64_t pc)
{
    return (g->addr && g->addr == pc) || (g->symbol && symbol_is(p, pc, g->symbol));
}

static uint64_t *limit_of(DgThread *t, const Window *w)
{
    return cell_of(t->cpu, cell_disp(t->p->tools.e, w->limit));
}

static uint64_t count_of(const DgThread *t, const Window *w)
{
    return *cell_of(t->cpu, cell_disp(t->p->tools.e, w->count));
}

/* Whether the thread's own count opens the window, or closes it. */
static uint64_t next_limit(const Window *w, const DgThread *t, bool open)
{
    if (open)
        return w->stop.count && w->opener == t->number ? w->opened_at + w->stop.count : NEVER;
    return w->start.count && !w->counted ? w->start.count : NEVER;
}

/* The window becomes open, or closed, by what thread t does, which is NULL for a signal. */
static void turn(Plugins *p, Window *w, bool open, DgThread *t)
{
    pthread_mutex_lock(&w->lock);
    bool was = atomic_load(&w->open);
    atomic_store(&w->open, open);
    atomic_store(&w->reached, 0);
    if (open && !was && t) {
        w->opener = t->number;
        w->opened_at = w->counts ? count_of(t, w) : 0;
    }
    if (t && w->counts)
        *limit_of(t, w) = next_limit(w, t, open);
    pthread_mutex_unlock(&w->lock);
    window_change(p, open ? open_bit(w) : 0, near_bit(w) | (open ? 0 : open_bit(w)));
}

/* An address that opens or closes the window has been reached. */
static void on_reach(DgThread *t, void *data, const DgEvent *ev)
{
    Window *w = data;
    bool open = atomic_load(&w->open);
    const DgTrigger *g = open ? &w->stop : &w->start, *other = open ? &w->start : &w->stop;

    if (t->turned == w && t->turned_at == ev->pc) { /* just now, and here */
        t->turned = NULL;
        return;
    }
    if (atomic_fetch_add(&w->reached, 1) + 1 < (g->times ? g->times : 1))
        return;
    bool both = other->addr == ev->pc || (other->symbol && g->symbol && strcmp(other->symbol, g->symbol) == 0);
    t->turned = both ? w : NULL;
    t->turned_at = ev->pc;
    turn(t->p, w, !open, t);
    t->leave = true;
}

/* The limit is in the piece of code that begins here. */
static void on_near(DgThread *t, void *data, const DgEvent *ev)
{
    const Window *w = data;

    window_change(t->p, near_bit(w), 0);
    t->leave = true;
}

static void on_limit(DgThread *t, void *data, const DgEvent *ev)
{
    Window *w = data;
    bool open = atomic_load(&w->open);

    if (next_limit(w, t, open) <= count_of(t, w)) {
        w->counted |= !open;
        turn(t->p, w, !open, t);
    } else { /* another thread has opened it before */
        *limit_of(t, w) = next_limit(w, t, open);
        window_change(t->p, 0, near_bit(w));
    }
    t->leave = true;
}

void window_signalled(Plugins *p, uint64_t signals)
{
    for (unsigned k = 0; k < p->nwindow; k++) {
        Window *w = &p->window[k];
        bool open = atomic_load(&w->open);
        int by = open ? w->stop.signal : w->start.signal;
        if (by && (signals >> (by - 1) & 1))
            turn(p, w, !open, NULL);
    }
}

/* --- code --------------------------------------------------------------------------------------------------------- */

/* Count; and call fn, in front of that, if the limit is less than `ahead` instructions away. */
static void attach_test(DgInsn *i, Window *w, uint64_t ahead, unsigned relation, DgCallFn *fn)
{
    const DgOp test[] = {{.kind = DG_OP_LOAD, .d = 0, .cell = w->count},
                         {.kind = DG_OP_CONST, .d = 1, .imm = ahead},
                         {.kind = DG_OP_ADD, .d = 0, .a = 0, .b = 1},
                         {.kind = DG_OP_LOAD, .d = 2, .cell = w->limit},
                         {.kind = DG_OP_CMP, .d = 3, .a = 2, .b = 0, .imm = relation},
                         {.kind = DG_OP_CALL, .a = 3, .fn = fn, .data = w}};
    bool ok = plugin_api()->program_at(i, DG_BEFORE, 0, test, sizeof test / sizeof test[0]);

    CHECK(ok);
}

static void attach_counts(Code *c, DgBlock *b, Window *w, bool near)
{
    if (near)
        code_split(c, b, 1); /* what is behind it is seen to as a piece of its own */
    if (near)
        attach_test(b->insn[0], w, 0, DG_LEU, on_limit);
    else
        attach_test(b->insn[0], w, b->n, DG_LTU, on_near);
    for (uint32_t k = 0; k < b->n; k++)
        plugin_api()->add(b->insn[k], DG_BEFORE, 0, w->count, 1);
}

/* Pieces begin where the window opens or closes: what tools count by pieces is exact then. */
static void attach_place(Code *c, DgBlock *b, Window *w, const DgTrigger *g)
{
    for (uint32_t i = 0; i < b->n; i++)
        if (concerns(c->p, g, b->insn[i]->info.pc)) {
            plugin_api()->call(b->insn[i], DG_BEFORE, 0, on_reach, w, DG_PC_WRITE);
            code_split(c, b, i);
        }
}

static bool has_place(const DgTrigger *g)
{
    return g->addr || g->symbol;
}

void window_attach(Code *c, uint64_t key)
{
    Plugins *p = c->p;

    for (unsigned k = 0; k < p->nwindow; k++) {
        Window *w = &p->window[k];
        const DgTrigger *g = key & open_bit(w) ? &w->stop : &w->start;
        for (uint32_t b = 0, n = c->nblock; has_place(g) && b < n; b++)
            attach_place(c, c->block[b], w, g);
    }
    for (unsigned k = 0; k < p->nwindow; k++)
        for (uint32_t b = 0; p->window[k].counts && b < c->nblock; b++)
            attach_counts(c, c->block[b], &p->window[k], key & near_bit(&p->window[k]));
}

/* --- making them -------------------------------------------------------------------------------------------------- */

static char *copy_of(const char *s)
{
    char *copy = s ? strdup(s) : NULL;

    CHECK(!s || copy);
    return copy;
}

static bool known(const DgTrigger *g)
{
    return g->count || has_place(g) || g->signal;
}

/* Those of faults are the engine's, two cannot be caught. */
static bool may_be_ours(int32_t sig)
{
    static const int32_t no[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGKILL, SIGSTOP};

    for (unsigned k = 0; k < sizeof no / sizeof no[0]; k++)
        if (sig == no[k])
            return false;
    return sig >= 0 && sig <= 64;
}

static bool take(DgTrigger *to, const DgTrigger *from)
{
    if (!from)
        return true;
    memcpy(to, from, from->size < sizeof *to ? from->size : sizeof *to);
    to->symbol = copy_of(to->symbol);
    return may_be_ours(to->signal) && known(to);
}

Window *window_new(Plugins *p, const DgTrigger *start, const DgTrigger *stop, bool open)
{
    Window *w = &p->window[p->nwindow];

    if (p->running || p->nwindow == WINDOWS_MAX)
        return NULL;
    *w = (Window){.number = p->nwindow};
    if (!take(&w->start, start) || !take(&w->stop, stop))
        return NULL;
    w->counts = w->start.count || w->stop.count;
    if (w->counts) {
        w->count = cells_new(p->self, DG_SUM, 1);
        w->limit = cells_new(p->self, DG_MIN, 1);
        if (w->count == DG_NO_CELL || w->limit == DG_NO_CELL)
            return NULL;
    }
    pthread_mutex_init(&w->lock, NULL);
    atomic_init(&w->open, open);
    if (open)
        p->key |= open_bit(w);
    for (unsigned k = 0; k < 2; k++) {
        int sig = k ? w->stop.signal : w->start.signal;
        p->tools.signals |= sig ? UINT64_C(1) << (sig - 1) : 0;
    }
    p->nwindow++;
    return w;
}

void window_thread_start(DgThread *t)
{
    for (unsigned k = 0; k < t->p->nwindow; k++) {
        Window *w = &t->p->window[k];
        if (w->counts)
            *limit_of(t, w) = next_limit(w, t, atomic_load(&w->open));
    }
}

void windows_free(Plugins *p)
{
    free(p->window_spec);
    for (unsigned k = 0; k < p->nwindow; k++) {
        free((char *)(uintptr_t)p->window[k].start.symbol);
        free((char *)(uintptr_t)p->window[k].stop.symbol);
        pthread_mutex_destroy(&p->window[k].lock);
    }
}

/* --- the option --------------------------------------------------------------------------------------------------- */

static bool parse_number(const char *s, uint64_t *out)
{
    char *end;

    *out = strtoull(s, &end, 0);
    return end != s && *end == 0;
}

static bool parse_signal(const char *s, int32_t *out)
{
    uint64_t n;

    if (strncmp(s, "SIG", 3) == 0)
        s += 3;
    for (int sig = 1; sig < NSIG; sig++) {
        const char *name = sigabbrev_np(sig);
        if (name && strcmp(name, s) == 0) {
            *out = sig;
            return may_be_ours(sig);
        }
    }
    if (!parse_number(s, &n) || n == 0 || n > 64)
        return false;
    *out = (int32_t)n;
    return may_be_ours(*out);
}

/* "insns:N", "addr:N", "signal:NAME" or "symbol:NAME"; those of a place may end in "*TIMES". */
static bool parse_trigger(char *s, DgTrigger *g)
{
    char *value = strchr(s, ':'), *times = value ? strchr(value, '*') : NULL;

    if (!value)
        return false;
    *value++ = 0;
    if (times) {
        *times++ = 0;
        if (!parse_number(times, &g->times) || !g->times || (strcmp(s, "addr") && strcmp(s, "symbol")))
            return false;
    }
    g->size = sizeof *g;
    if (strcmp(s, "insns") == 0)
        return parse_number(value, &g->count) && g->count;
    if (strcmp(s, "addr") == 0)
        return parse_number(value, &g->addr) && g->addr;
    if (strcmp(s, "signal") == 0)
        return parse_signal(value, &g->signal);
    g->symbol = value;
    return strcmp(s, "symbol") == 0 && *value;
}

/* Takes `text` apart; the triggers keep pointers to it. */
static bool parse_window(char *text, DgTrigger *start, DgTrigger *stop, bool *open)
{
    bool ok = true, off = false;

    for (char *item; ok && (item = strsep(&text, ",")) != NULL;) {
        if (strcmp(item, "off") == 0)
            ok = !off, off = true;
        else if (strncmp(item, "start=", 6) == 0)
            ok = !known(start) && parse_trigger(item + 6, start);
        else if (strncmp(item, "stop=", 5) == 0)
            ok = !known(stop) && parse_trigger(item + 5, stop);
        else
            ok = false;
    }
    *open = !off && !known(start);
    return ok;
}

bool plugins_window(Plugins *p, const char *spec, Status *st)
{
    char *text = copy_of(spec);
    DgTrigger start = {0}, stop = {0};
    bool open, ok = parse_window(text, &start, &stop, &open);

    free(text);
    if (!ok)
        return status_set(st, STATUS_USAGE,
                          "--window: off, start=WHEN or stop=WHEN wanted, not '%s'; WHEN: insns:N, addr:N, symbol:NAME, signal:NAME", spec);
    free(p->window_spec);
    p->window_spec = copy_of(spec);
    return true;
}

bool windows_start(Plugins *p, Status *st)
{
    DgTrigger start = {0}, stop = {0};
    bool open;

    if (!p->window_spec)
        return true;
    if (!p->nhost)
        return status_set(st, STATUS_USAGE, "--window: there is no tool that it could be for");
    char *text = copy_of(p->window_spec);
    parse_window(text, &start, &stop, &open);
    Window *w = window_new(p, known(&start) ? &start : NULL, known(&stop) ? &stop : NULL, open);
    free(text);
    for (unsigned k = 0; w && k < p->nhost; k++)
        if (!p->host[k]->window) /* a tool that has one of its own keeps it */
            p->host[k]->window = w;
    return w || status_set(st, STATUS_USAGE, "--window: there are too many windows");
}
