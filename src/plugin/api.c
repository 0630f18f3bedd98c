/* The public functions (DgApi) but for those about code: those are in code.c and attach.c. */
#include "plugin/code.h"

#include "base/check.h"
#include "base/os.h"
#include "base/own_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

/* --- safety ------------------------------------------------------------------------------------------------------- */

static void nothing(void)
{
}

void plugin_end(DgHost *h)
{
    atomic_store(&h->ended, true);
    for (Site *s = atomic_load(&h->told); s; s = s->next)
        __atomic_store_n(&s->tell.fn, nothing, __ATOMIC_RELAXED);
}

void plugin_tells(Site *s)
{
    s->next = atomic_load(&s->h->told);
    while (!atomic_compare_exchange_weak(&s->h->told, &s->next, s))
        ;
    if (atomic_load(&s->h->ended)) /* perhaps since the list was gone through */
        __atomic_store_n(&s->tell.fn, nothing, __ATOMIC_RELAXED);
}

void plugin_crashed(DgHost *h, const Vcpu *cpu, const char *where)
{
    plugin_end(h);
    own_err_line("tool '%s' crashed while %s, guest pc 0x%llx: the program goes on without it", h->tool->name, where,
                 (unsigned long long)cpu->h.ir.pc);
}

bool plugin_guard(DgHost *h, Vcpu *cpu, const char *where, Body *body, void *ctx)
{
    void *here[5]; /* which takes less time than a sigjmp_buf */
    void *outer = cpu ? cpu->escape : NULL;

    if (atomic_load_explicit(&h->ended, memory_order_relaxed))
        return false;
    if (!cpu) {
        body(ctx);
        return true;
    }
    if (__builtin_setjmp(here) == 0) {
        cpu->escape = here;
        body(ctx);
        cpu->escape = outer;
        return true;
    }
    cpu->escape = outer;
    plugin_crashed(h, cpu, where);
    return false;
}

/* --- options and output ------------------------------------------------------------------------------------------- */

static bool api_has(const char *name)
{
    static const char *const all[] = {"cells.1",   "programs.1", "streams.1", "regs.1",    "syscalls.1",
                                      "signals.1", "threads.1",  "images.1",  "symbols.1", "access.1",
                                      "fault.1",   "compress.1", "watch.1",   "windows.1",
                                      "wrap.1",    "streams.thread.1", "filters.1", "lines.1",
                                      "host.1",    "filters.2", "cells.2", "output.1", "files.1",
                                      "streams.outside.1",
                                      NULL};

    for (unsigned k = 0; all[k]; k++)
        if (strcmp(all[k], name) == 0)
            return true;
    return false;
}

static const char *api_option(DgHost *h, const char *name)
{
    for (unsigned k = 0; k < h->noption; k++)
        if (strcmp(h->option[k].name, name) == 0) {
            h->option[k].asked = true;
            return h->option[k].value;
        }
    return NULL;
}

/* An absolute path, with the process's id for %p. */
static char *expand(const char *path)
{
    const char *at = strstr(path, "%p");
    char *full = os_from_start(path, at ? (size_t)(at - path) : strlen(path)), *out = full;

    if (at) {
        CHECK(asprintf(&out, "%s%d%s", full, (int)getpid(), at + 2) >= 0);
        free(full);
    }
    return out;
}

static const char *api_output_file(DgHost *h, const char *name)
{
    const char *given = api_option(h, "out"), *path = given ? given : name;

    free(h->out_path);
    h->out_path = path ? expand(path) : NULL;
    return h->out_path;
}

static const char *api_output(DgHost *h)
{
    return api_output_file(h, NULL);
}

void plugin_print(DgHost *h, const char *text, size_t len)
{
    if (h->out < 0) {
        const char *path = api_output(h);
        h->out = path ? own_fd_take(open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)) : own_err();
        if (h->out < 0) {
            own_err_line("tool '%s': cannot write %s: %s", h->tool->name, path, strerror(errno));
            h->out = own_err();
        }
    }
    while (len) {
        ssize_t n = write(h->out, text, len);
        if (n < 0 && errno != EINTR)
            return;
        text += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
}

void plugin_output_fork_child(DgHost *h)
{
    const char *path = api_option(h, "out");

    if (h->out < 0 || !path || !strstr(path, "%p"))
        return;
    own_fd_close(h->out);
    h->out = -1;
}

static FILE *api_file_open(DgHost *h, const char *path, const char *mode)
{
    FILE *f = fopen(path, mode); /* which knows what the mode means; it has written nothing yet */
    int fd = f ? own_fd_take(fcntl(fileno(f), F_DUPFD_CLOEXEC, 0)) : -1, error = errno;

    if (f)
        fclose(f);
    if (fd < 0) {
        errno = error;
        return NULL;
    }
    f = fdopen(fd, mode[0] == 'w' ? "w" : mode);
    if (!f)
        own_fd_close(fd);
    return f;
}

static int api_file_close(DgHost *h, FILE *f)
{
    int fd = fileno(f), ret = fclose(f);

    own_fd_unmark(fd);
    return ret;
}

__attribute__((format(printf, 2, 3))) static void api_print(DgHost *h, const char *format, ...)
{
    char buf[512], *text = buf;
    va_list ap;

    va_start(ap, format);
    int n = vsnprintf(buf, sizeof buf, format, ap);
    va_end(ap);
    if (n >= (int)sizeof buf) {
        text = malloc((size_t)n + 1);
        CHECK(text != NULL);
        va_start(ap, format);
        vsnprintf(text, (size_t)n + 1, format, ap);
        va_end(ap);
    }
    if (n > 0)
        plugin_print(h, text, (size_t)n);
    if (text != buf)
        free(text);
}

__attribute__((format(printf, 2, 3))) static void api_fail(DgHost *h, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    vsnprintf(h->error, sizeof h->error, format, ap);
    va_end(ap);
    if (!h->p->running)
        return;
    plugin_end(h);
    own_err_line("tool '%s': %s", h->tool->name, h->error);
}

static const char *api_guest(DgHost *h)
{
    return engine_guest(h->p->tools.e)->name;
}

static const char *api_program(DgHost *h)
{
    return h->p->program;
}

static int api_pid(DgHost *h)
{
    return (int)getpid();
}

/* --- events ------------------------------------------------------------------------------------------------------- */

bool plugin_hook(DgHost *h, EventKind ev, void (*fn)(void), void *data)
{
    if (!fn)
        return true;
    if (h->nhook[ev] == HOOKS_MAX)
        return false;
    h->hook[ev][h->nhook[ev]++] = (Hook){fn, data};
    return true;
}

#define HOOK(h, ev, fn, data) plugin_hook(h, ev, (void (*)(void))(fn), data)

static void api_on_translate(DgHost *h, void (*fn)(void *data, DgBlock *b), void *data)
{
    HOOK(h, EV_TRANSLATE, fn, data);
}

static void api_on_access(DgHost *h, DgCallFn *fn, void *data)
{
    HOOK(h, EV_ACCESS, fn, data);
}

static void api_on_thread_start(DgHost *h, void (*fn)(DgThread *t, void *data), void *data)
{
    HOOK(h, EV_THREAD_START, fn, data);
}

static void api_on_thread_end(DgHost *h, void (*fn)(DgThread *t, void *data), void *data)
{
    HOOK(h, EV_THREAD_END, fn, data);
}

static void api_on_syscall(DgHost *h, bool (*before)(DgThread *t, void *data, DgSyscall *s),
                           void (*after)(DgThread *t, void *data, const DgSyscall *s), void *data, bool text)
{
    HOOK(h, EV_SYSCALL_BEFORE, before, data);
    HOOK(h, EV_SYSCALL_AFTER, after, data);
    h->p->tools.want_text |= text;
}

static void api_on_signal(DgHost *h, void (*fn)(DgThread *t, void *data, const DgSignal *s), void *data)
{
    HOOK(h, EV_SIGNAL, fn, data);
}

static void api_on_image(DgHost *h, void (*mapped)(void *data, const DgImage *i),
                         void (*unmapped)(void *data, const DgImage *i), void *data)
{
    HOOK(h, EV_MAPPED, mapped, data);
    HOOK(h, EV_UNMAPPED, unmapped, data);
}

static void api_on_fork(DgHost *h, void (*fn)(void *data), void *data)
{
    HOOK(h, EV_FORK, fn, data);
}

static void api_on_finish(DgHost *h, void (*fn)(void *data), void *data)
{
    HOOK(h, EV_FINISH, fn, data);
}

static void api_retranslate(DgHost *h)
{
    engine_invalidate(h->p->tools.e, 0, UINT64_MAX);
}

static void api_watch(DgHost *h, bool on)
{
    uint64_t bit = UINT64_C(1) << h->number;

    window_change(h->p, on ? 0 : bit, on ? bit : 0);
}

static bool api_window(DgHost *h, const DgTrigger *start, const DgTrigger *stop)
{
    Window *w = h->window ? NULL : window_new(h->p, start, stop, !start);

    if (w)
        h->window = w;
    return w != NULL;
}

/* --- cells -------------------------------------------------------------------------------------------------------- */

static uint64_t api_cell_total(DgHost *h, DgCell c)
{
    return cells_total(h->p, c);
}

static uint32_t api_cell_room(DgHost *h)
{
    return cell_limit(h->p->tools.e) - cell_slots(h->p->tools.e) - h->p->ncell;
}

/* --- threads ------------------------------------------------------------------------------------------------------ */

static uint32_t api_thread_number(const DgThread *t)
{
    return t->number;
}

static int api_thread_id(const DgThread *t)
{
    return fault_current() == t->cpu ? os_tid() : t->cpu->tid; /* a child of vfork runs on its parent's */
}

static void *api_thread_data(DgThread *t, DgHost *h, size_t bytes)
{
    for (ThreadData *d = t->data; d; d = d->next)
        if (d->h == h)
            return d->mem;
    ThreadData *d = malloc(sizeof *d);
    CHECK(d != NULL);
    *d = (ThreadData){h, calloc(1, bytes ? bytes : 1), t->data};
    CHECK(d->mem != NULL);
    t->data = d;
    return d->mem;
}

/* --- registers and memory ----------------------------------------------------------------------------------------- */

static uint32_t api_reg_count(DgHost *h)
{
    return engine_guest(h->p->tools.e)->slots.count;
}

static const IrSlot *slot(const Plugins *p, uint32_t reg)
{
    const IrSlots *s = &engine_guest(p->tools.e)->slots;

    return reg < s->count ? &s->slot[reg] : NULL;
}

static const char *api_reg_name(DgHost *h, uint32_t reg)
{
    const IrSlot *s = slot(h->p, reg);

    return s ? s->name : NULL;
}

static uint32_t api_reg_bytes(DgHost *h, uint32_t reg)
{
    const IrSlot *s = slot(h->p, reg);

    return s ? ir_type_size((IrType)s->type) : 0;
}

static int api_reg_find(DgHost *h, const char *name)
{
    const IrSlots *s = &engine_guest(h->p->tools.e)->slots;

    for (uint32_t k = 0; k < s->count; k++)
        if (strcmp(s->slot[k].name, name) == 0)
            return (int)k;
    return -1;
}

/* The thread's state: in the vcpu outside translated code, else found out when first asked for. */
uint8_t *thread_state(DgThread *t)
{
    if (!t->show)
        return t->cpu->h.state;
    if (!t->seen) {
        memcpy(t->state, t->cpu->h.state, sizeof t->state);
        t->pc = t->show->see(t->show, t->state);
        t->seen = true;
    }
    return t->state;
}

static bool api_reg_read(DgThread *t, uint32_t reg, void *buf)
{
    const IrSlot *s = slot(t->p, reg);

    if (!s || (t->show && !(t->access & DG_REGS_READ)))
        return false;
    memcpy(buf, thread_state(t) + s->offset, ir_type_size((IrType)s->type));
    return true;
}

static bool api_reg_write(DgThread *t, uint32_t reg, const void *buf)
{
    const IrSlot *s = slot(t->p, reg);

    if (!s || (t->show && (t->access & DG_REGS_WRITE) != DG_REGS_WRITE))
        return false;
    memcpy(thread_state(t) + s->offset, buf, ir_type_size((IrType)s->type));
    if (s->boolean)
        thread_state(t)[s->offset] &= 1;
    t->wrote = true;
    return true;
}

static uint64_t api_pc_read(DgThread *t)
{
    if (!t->show)
        return t->cpu->h.ir.pc;
    thread_state(t);
    return t->pc;
}

static bool api_pc_write(DgThread *t, uint64_t pc)
{
    if (t->show && (t->access & DG_PC_WRITE) != DG_PC_WRITE)
        return false;
    thread_state(t);
    if (!t->show)
        t->cpu->h.ir.pc = pc;
    t->pc = pc;
    t->wrote_pc = true;
    return true;
}

static bool api_mem_read(DgThread *t, uint64_t va, void *buf, size_t len)
{
    return guest_peek(buf, va, len);
}

static bool api_mem_write(DgThread *t, uint64_t va, const void *buf, size_t len)
{
    return guest_poke(va, buf, len);
}

/* --- images and symbols ------------------------------------------------------------------------------------------- */

static uint32_t api_image_count(DgHost *h)
{
    return h->p->nimage;
}

static bool api_image(DgHost *h, uint32_t number, DgImage *out)
{
    for (const Image *im = h->p->images; im; im = im->next)
        if (im->dg.number == number) {
            uint32_t size = out->size < sizeof im->dg ? out->size : (uint32_t)sizeof im->dg;
            memcpy(out, &im->dg, size);
            out->size = size;
            return true;
        }
    return false;
}

static bool api_symbol_at(DgHost *h, uint64_t va, DgSymbol *out)
{
    return symbol_at(h->p, va, out);
}

static bool api_line_at(DgHost *h, uint64_t va, DgLine *out)
{
    return line_at(h->p, va, out);
}

static bool api_symbol_find(DgHost *h, const char *name, DgSymbol *out)
{
    return symbol_find(h->p, name, out);
}

static size_t api_text_at(DgHost *h, uint64_t va, char *buf, size_t len, uint32_t *length)
{
    unsigned n = len ? insn_text(h->p->tools.e, va, buf, len) : 0;

    if (length)
        *length = n;
    return n ? strlen(buf) : 0;
}

static bool api_host_code(DgHost *h, uint64_t region, void (*line)(void *data, const char *text), void *data)
{
    return host_text(h->p->tools.e, region, line, data);
}

#define ZSTD_LEVEL 1 /* traces are long, and compress well anyway */

static size_t api_compress(void *to, size_t room, const void *from, size_t n)
{
    size_t got = ZSTD_compress(to, room, from, n, ZSTD_LEVEL);

    return ZSTD_isError(got) ? 0 : got;
}

static DgCell cell_new(DgHost *h, unsigned how, uint32_t length)
{
    return how <= DG_COUNTER ? cells_new(h, how, length) : DG_NO_CELL;
}

/* --- the table ---------------------------------------------------------------------------------------------------- */

const DgApi *plugin_api(void)
{
    static DgApi api = {
        .size = sizeof api,
        .abi = DG_ABI,
        .version = DRAGOMAN_VERSION,
        .has = api_has,
        .option = api_option,
        .print = api_print,
        .output = api_output,
        .output_file = api_output_file,
        .file_open = api_file_open,
        .file_close = api_file_close,
        .fail = api_fail,
        .guest = api_guest,
        .program = api_program,
        .pid = api_pid,
        .on_translate = api_on_translate,
        .cell_new = cell_new,
        .cell_total = api_cell_total,
        .cell_get = thread_cell_get,
        .cell_set = thread_cell_set,
        .cell_room = api_cell_room,
        .stream_new = stream_new,
        .filter_new = filter_new,
        .filter_lru = filter_lru,
        .stream_flush = stream_flush,
        .on_access = api_on_access,
        .thread_number = api_thread_number,
        .thread_id = api_thread_id,
        .thread_data = api_thread_data,
        .reg_count = api_reg_count,
        .reg_name = api_reg_name,
        .reg_bytes = api_reg_bytes,
        .reg_find = api_reg_find,
        .reg_read = api_reg_read,
        .reg_write = api_reg_write,
        .pc_read = api_pc_read,
        .pc_write = api_pc_write,
        .mem_read = api_mem_read,
        .mem_write = api_mem_write,
        .on_thread_start = api_on_thread_start,
        .on_thread_end = api_on_thread_end,
        .on_syscall = api_on_syscall,
        .on_signal = api_on_signal,
        .on_image = api_on_image,
        .on_fork = api_on_fork,
        .on_finish = api_on_finish,
        .image_count = api_image_count,
        .image = api_image,
        .symbol_at = api_symbol_at,
        .symbol_find = api_symbol_find,
        .line_at = api_line_at,
        .text_at = api_text_at,
        .host_code = api_host_code,
        .window = api_window, .watch = api_watch, .retranslate = api_retranslate, .compress = api_compress,
    };

    code_api(&api);
    attach_api(&api);
    wrap_api(&api);
    return &api;
}
