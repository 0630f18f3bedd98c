/* Plugins made for QEMU: loading them, their events, and the functions about the process. */
#include "plugin/qemu.h"

#include "base/check.h"
#include "base/os.h"
#include "plugin/library.h"

#include <stdlib.h>
#include <string.h>

_Thread_local QemuNow qemu_now;
_Thread_local QemuSelf qemu_self = {.vcpu = QEMU_NO_VCPU};

static QemuPlugin *list; /* QEMU's interface has no argument to find it by */

QemuPlugin *qemu_plugin_by_id(qemu_plugin_id_t id)
{
    for (QemuPlugin *q = list; q; q = q->next)
        if (q->h->number + 1 == id)
            return q;
    CHECK(!"a plugin passes the id that it was given");
    return NULL;
}

const QemuCall *qemu_told(void)
{
    const Site *s = qemu_self.thread ? (const Site *)qemu_self.thread->cpu->h.told : NULL;

    return s ? s->data : NULL;
}

DgThread *qemu_caller(void)
{
    return qemu_now.thread ? qemu_now.thread : qemu_told() ? qemu_self.thread : NULL;
}

QemuPlugin *qemu_plugin_any(void)
{
    const QemuCall *told = qemu_told();

    CHECK(list != NULL);
    return qemu_now.plugin ? qemu_now.plugin : told ? told->q : list;
}

/* --- events ----------------------------------------------------------------------------------------------------------------- */

static qemu_plugin_id_t id_of(const QemuPlugin *q)
{
    return q->h->number + 1;
}

static void call_simple(const QemuPlugin *q, QemuFn f)
{
    if (qemu_has_data(q))
        ((QemuSimpleData *)f.fn)(f.data);
    else
        ((QemuSimple *)f.fn)(id_of(q));
}

static void call_vcpu(const QemuPlugin *q, QemuFn f, unsigned vcpu)
{
    if (qemu_has_data(q))
        ((QemuVcpuData *)f.fn)(vcpu, f.data);
    else
        ((QemuVcpu *)f.fn)(id_of(q), vcpu);
}

static void thread_start(DgThread *t, void *data)
{
    QemuPlugin *q = data;
    const QemuNow outer = qemu_now;

    qemu_self = (QemuSelf){t, t->cpu->h.state, t->number};
    if (q == list) /* once for all plugins */
        qemu_scores_start(t);
    qemu_now = (QemuNow){.plugin = q, .thread = t};
    if (q->vcpu_init.fn)
        call_vcpu(q, q->vcpu_init, t->number);
    qemu_now = outer;
}

static void thread_end(DgThread *t, void *data)
{
    QemuPlugin *q = data;
    const QemuNow outer = qemu_now;

    qemu_self = (QemuSelf){.vcpu = QEMU_NO_VCPU};
    qemu_now = (QemuNow){.plugin = q, .thread = t};
    if (q->vcpu_exit.fn)
        call_vcpu(q, q->vcpu_exit, t->number);
    qemu_now = outer;
    if (!q->next) /* the last one */
        qemu_scores_keep(t);
}

static void call_syscall(const QemuPlugin *q, unsigned vcpu, const DgSyscall *s)
{
    const uint64_t *a = s->arg;
    QemuFn f = q->syscall;

    if (qemu_has_data(q))
        ((QemuSyscallData *)f.fn)(vcpu, s->number, a[0], a[1], a[2], a[3], a[4], a[5], 0, 0, f.data);
    else
        ((QemuSyscall *)f.fn)(id_of(q), vcpu, s->number, a[0], a[1], a[2], a[3], a[4], a[5], 0, 0);
}

static bool call_filter(const QemuPlugin *q, unsigned vcpu, const DgSyscall *s, uint64_t *result)
{
    const uint64_t *a = s->arg;
    QemuFn f = q->filter;

    if (qemu_has_data(q))
        return ((QemuFilterData *)f.fn)(vcpu, s->number, a[0], a[1], a[2], a[3], a[4], a[5], 0, 0, result, f.data);
    return ((QemuFilter *)f.fn)(id_of(q), vcpu, s->number, a[0], a[1], a[2], a[3], a[4], a[5], 0, 0, result);
}

static bool syscall_before(DgThread *t, void *data, DgSyscall *s)
{
    QemuPlugin *q = data;
    const QemuNow outer = qemu_now;

    uint64_t result = 0;
    bool answered = false;

    qemu_now = (QemuNow){.plugin = q, .thread = t};
    if (q->syscall.fn)
        call_syscall(q, t->number, s);
    if (q->filter.fn)
        answered = call_filter(q, t->number, s, &result);
    qemu_now = outer;
    if (answered)
        s->result = (int64_t)result;
    return answered;
}

static void syscall_after(DgThread *t, void *data, const DgSyscall *s)
{
    QemuPlugin *q = data;
    const QemuNow outer = qemu_now;
    QemuFn f = q->syscall_ret;

    qemu_now = (QemuNow){.plugin = q, .thread = t};
    if (f.fn && qemu_has_data(q))
        ((QemuSyscallRetData *)f.fn)(t->number, s->number, s->result, f.data);
    else if (f.fn)
        ((QemuSyscallRet *)f.fn)(id_of(q), t->number, s->number, s->result);
    qemu_now = outer;
}

static void finish(void *data)
{
    QemuPlugin *q = data;
    const QemuNow outer = qemu_now;
    QemuFn f = q->atexit;

    qemu_now = (QemuNow){.plugin = q};
    if (f.fn && qemu_has_data(q))
        ((QemuSimpleData *)f.fn)(f.data);
    else if (f.fn)
        ((QemuData *)f.fn)(id_of(q), f.data);
    qemu_now = outer;
}

/* --- loading ------------------------------------------------------------------------------------------------------------------ */

static int start(DgHost *h)
{
    QemuPlugin *q = (QemuPlugin *)h->tool; /* its first member */
    QemuInstall *install;
    *(void **)&install = library_symbol(q->library, "qemu_plugin_install");
    const qemu_info_t info = {.target_name = q->api->guest(h), .version = {QEMU_API_MIN, QEMU_API_CUR}};

    q->api->on_translate(h, qemu_translate, q);
    q->api->on_access(h, qemu_access, q);
    q->api->on_thread_start(h, thread_start, q);
    q->api->on_thread_end(h, thread_end, q);
    q->api->on_syscall(h, syscall_before, syscall_after, q, false);
    q->api->on_finish(h, finish, q);
    q->api->on_fork(h, qemu_mutex_fork_child, NULL);
    qemu_now = (QemuNow){.plugin = q};
    int r = install(id_of(q), &info, q->argc, q->argv);
    qemu_now = (QemuNow){0};
    if (r != 0)
        q->api->fail(h, "qemu_plugin_install returned %d", r);
    return r;
}

/* "a=1,b" behind the file's name: argv, as QEMU divides it. */
static void divide(QemuPlugin *q, const char *args)
{
    while (*args == ',') {
        size_t n = strcspn(++args, ",");
        q->argv = realloc(q->argv, ((size_t)q->argc + 2) * sizeof *q->argv);
        CHECK(q->argv != NULL);
        q->argv[q->argc++] = strndup(args, n);
        q->argv[q->argc] = NULL;
        args += n;
    }
}

static bool load(QemuPlugin *q, Status *st)
{
    const char *why;
    if (!qemu_open(q, &why))
        return status_set(st, STATUS_USAGE, "--qemu-plugin: %s", why);
    const int *version = library_symbol(q->library, "qemu_plugin_version");
    if (!version || !library_symbol(q->library, "qemu_plugin_install"))
        return status_set(st, STATUS_USAGE, "--qemu-plugin: %s is no plugin for QEMU: it has no %s", q->path,
                          version ? "qemu_plugin_install" : "qemu_plugin_version");
    if (*version < QEMU_API_MIN || *version > QEMU_API_CUR)
        return status_set(st, STATUS_USAGE, "--qemu-plugin: %s is for version %d of QEMU's interface; here are %d to %d", q->path, *version,
                          QEMU_API_MIN, QEMU_API_CUR);
    q->version = *version;
    return true;
}

static void discard(QemuPlugin *q)
{
    for (int k = 0; k < q->argc; k++)
        free(q->argv[k]);
    free(q->argv);
    if (q->library)
        library_close(q->library);
    free(q->path);
    free(q);
}

/* Its path and arguments from "FILE,a=1,b". */
static QemuPlugin *plugin_of(const char *spec)
{
    size_t n = strcspn(spec, ",");
    QemuPlugin *q = calloc(1, sizeof *q);

    CHECK(q != NULL);
    q->path = os_from_start(spec, n);
    divide(q, spec + n);
    return q;
}

bool plugins_add_qemu(Plugins *p, const char *spec, Status *st)
{
    static const DgApi *api; /* where DgTool wants the table to be put */
    QemuPlugin *q = plugin_of(spec);

    q->tool = (DgTool){.size = sizeof q->tool, .abi = DG_ABI, .name = strrchr(q->path, '/') + 1, .summary = "a plugin for QEMU",
                       .options = "", .start = start, .api = &api};
    q->api = plugin_api();
    if (!load(q, st) || !plugins_add(p, &q->tool, q->library, "", st)) {
        discard(q);
        return false;
    }
    q->h = p->host[p->nhost - 1];
    QemuPlugin **at = &list;
    while (*at)
        at = &(*at)->next;
    *at = q; /* it and its library's functions are used until the process ends */
    return true;
}

/* --- registrations -------------------------------------------------------------------------------------------------------------- */

/* Before QEMU_API_DATA most of these have no last argument: what is there then is never looked at. */

QEMU_EXPORT void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, void (*fn)(void), void *data)
{
    qemu_plugin_by_id(id)->trans = (QemuFn){fn, data};
}

QEMU_EXPORT void qemu_plugin_register_vcpu_init_cb(qemu_plugin_id_t id, void (*fn)(void), void *data)
{
    qemu_plugin_by_id(id)->vcpu_init = (QemuFn){fn, data};
}

QEMU_EXPORT void qemu_plugin_register_vcpu_exit_cb(qemu_plugin_id_t id, void (*fn)(void), void *data)
{
    qemu_plugin_by_id(id)->vcpu_exit = (QemuFn){fn, data};
}

/* The vcpus of a process do not idle, and nothing is ever flushed: as in QEMU's user mode these are never called. */
QEMU_EXPORT void qemu_plugin_register_vcpu_idle_cb(qemu_plugin_id_t id, void (*fn)(void), void *data)
{
}

QEMU_EXPORT void qemu_plugin_register_vcpu_resume_cb(qemu_plugin_id_t id, void (*fn)(void), void *data)
{
}

QEMU_EXPORT void qemu_plugin_register_flush_cb(qemu_plugin_id_t id, void (*fn)(void), void *data)
{
}

QEMU_EXPORT void qemu_plugin_register_vcpu_syscall_cb(qemu_plugin_id_t id, void (*fn)(void), void *data)
{
    qemu_plugin_by_id(id)->syscall = (QemuFn){fn, data};
}

QEMU_EXPORT void qemu_plugin_register_vcpu_syscall_ret_cb(qemu_plugin_id_t id, void (*fn)(void), void *data)
{
    qemu_plugin_by_id(id)->syscall_ret = (QemuFn){fn, data};
}

QEMU_EXPORT void qemu_plugin_register_vcpu_syscall_filter_cb(qemu_plugin_id_t id, void (*fn)(void), void *data)
{
    qemu_plugin_by_id(id)->filter = (QemuFn){fn, data};
}

/* Interrupts, exceptions and calls of a hypervisor: a process sees none, and QEMU's user mode never calls this. */
QEMU_EXPORT void qemu_plugin_register_vcpu_discon_cb(qemu_plugin_id_t id, int types, void (*fn)(void), void *data)
{
}

/* With data in all versions. */
QEMU_EXPORT void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id, void (*fn)(void), void *data)
{
    qemu_plugin_by_id(id)->atexit = (QemuFn){fn, data};
}

static void forget(QemuPlugin *q)
{
    q->trans = q->vcpu_init = q->vcpu_exit = q->syscall = q->syscall_ret = q->filter = q->atexit = (QemuFn){NULL, NULL};
}

/* All registrations are undone, also those at instructions that have been translated; then fn makes new ones. */
QEMU_EXPORT void qemu_plugin_reset(qemu_plugin_id_t id, void (*fn)(void), void *data)
{
    QemuPlugin *q = qemu_plugin_by_id(id);

    forget(q);
    if (q->shown)
        q->stale = true; /* code cannot be shown again meanwhile: when the block runs */
    else
        q->api->retranslate(q->h);
    call_simple(q, (QemuFn){fn, data});
}

QEMU_EXPORT void qemu_plugin_uninstall(qemu_plugin_id_t id, void (*fn)(void), void *data)
{
    QemuPlugin *q = qemu_plugin_by_id(id);

    forget(q);
    call_simple(q, (QemuFn){fn, data});
    plugin_end(q->h);
}

/* --- the process ---------------------------------------------------------------------------------------------------------------- */

QEMU_EXPORT void qemu_plugin_outs(const char *text)
{
    plugin_print(qemu_plugin_any()->h, text, strlen(text));
}

QEMU_EXPORT bool qemu_plugin_bool_parse(const char *name, const char *value, bool *out)
{
    static const char *const words[] = {"off", "on", "no", "yes", "false", "true", "n", "y"};

    for (unsigned k = 0; name && value && k < sizeof words / sizeof words[0]; k++) {
        if (strcmp(value, words[k]) == 0) {
            *out = k & 1;
            return true;
        }
    }
    return false;
}

QEMU_EXPORT int qemu_plugin_num_vcpus(void)
{
    Plugins *p = qemu_plugin_any()->h->p;

    pthread_mutex_lock(&p->list_lock);
    int n = (int)p->nthread;
    pthread_mutex_unlock(&p->list_lock);
    return n;
}

QEMU_EXPORT void qemu_plugin_vcpu_for_each(qemu_plugin_id_t id, void (*fn)(void), void *data)
{
    int n = qemu_plugin_num_vcpus();

    for (int k = 0; k < n; k++)
        call_vcpu(qemu_plugin_by_id(id), (QemuFn){fn, data}, (unsigned)k);
}

QEMU_EXPORT const char *qemu_plugin_path_to_binary(void)
{
    QemuPlugin *q = qemu_plugin_any();

    return strdup(q->api->program(q->h));
}

/* The program's file is the first image. */
static bool main_image(DgImage *i)
{
    QemuPlugin *q = qemu_plugin_any();

    *i = (DgImage){.size = sizeof *i};
    return q->api->image(q->h, 0, i);
}

QEMU_EXPORT uint64_t qemu_plugin_start_code(void)
{
    DgImage i;
    return main_image(&i) ? i.start : 0;
}

QEMU_EXPORT uint64_t qemu_plugin_end_code(void)
{
    DgImage i;
    return main_image(&i) ? i.end : 0;
}

QEMU_EXPORT uint64_t qemu_plugin_entry_code(void)
{
    DgImage i;
    return main_image(&i) ? i.entry : 0;
}

/* Time is the host's in a process: as in QEMU's user mode, who controls it changes nothing. */
QEMU_EXPORT const void *qemu_plugin_request_time_control(void)
{
    static atomic_flag taken = ATOMIC_FLAG_INIT;

    return atomic_flag_test_and_set(&taken) ? NULL : &qemu_now;
}

QEMU_EXPORT void qemu_plugin_update_ns(const void *handle, int64_t ns)
{
}
