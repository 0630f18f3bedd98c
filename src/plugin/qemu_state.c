/* Registers and memory for QEMU's plugins, and GLib, whose arrays they are handed over in. */
#include "plugin/qemu.h"

#include "base/check.h"
#include "plugin/library.h"

#include <stdlib.h>
#include <string.h>

/* What plugins see of GLib's arrays; the functions that make and fill them are those that the plugin itself is linked with. */
typedef struct ByteArray {
    uint8_t *data;
    unsigned len;
} ByteArray;

typedef struct Array {
    char *data;
    unsigned len;
} Array;

bool qemu_open(QemuPlugin *q, const char **why)
{
    q->library = library_open(q->path, why);
    if (!q->library) { /* some are not linked with GLib, for QEMU is */
        library_share("libglib-2.0.so.0");
        q->library = library_open(q->path, why);
        q->shares = true;
    }
    return q->library != NULL;
}

/* One of GLib's functions, when the plugin has it. */
static void *glib(const char *name)
{
    void *fn = library_symbol(qemu_plugin_any()->library, name);

    return fn || !qemu_plugin_any()->shares ? fn : library_symbol(NULL, name);
}

static void append(ByteArray *to, const void *from, unsigned n)
{
    ByteArray *(*fn)(ByteArray *, const uint8_t *, unsigned);

    *(void **)&fn = glib("g_byte_array_append");
    if (fn) {
        fn(to, from, n);
        return;
    }
    to->data = realloc(to->data, to->len + n + 1); /* a plugin without GLib: plain memory */
    CHECK(to->data != NULL);
    memcpy(to->data + to->len, from, n);
    to->len += n;
}

static Array *array_of(const qemu_plugin_reg_descriptor *d, unsigned n)
{
    Array *(*new)(int zero, int clear, unsigned size);
    Array *(*add)(Array *, const void *, unsigned);

    *(void **)&new = glib("g_array_new");
    *(void **)&add = glib("g_array_append_vals");
    if (new && add)
        return add(new (0, 0, sizeof *d), d, n);
    Array *a = malloc(sizeof *a);
    CHECK(a != NULL);
    *a = (Array){malloc(n * sizeof *d), n};
    CHECK(a->data != NULL);
    memcpy(a->data, d, n * sizeof *d);
    return a;
}

/* Handles are numbers of registers, from 1; behind the last is pc. */
QEMU_EXPORT void *qemu_plugin_get_registers(void)
{
    QemuPlugin *q = qemu_plugin_any();
    uint32_t n = q->api->reg_count(q->h);
    qemu_plugin_reg_descriptor *d = calloc(n + 1, sizeof *d);

    CHECK(d != NULL);
    for (uint32_t k = 0; k <= n; k++) {
        const char *name = k < n ? q->api->reg_name(q->h, k) : "pc";
        bool fp = k < n && (q->api->reg_bytes(q->h, k) == 16 || name[0] == 'f');
        d[k] = (qemu_plugin_reg_descriptor){(struct qemu_plugin_register *)(uintptr_t)(k + 1), name,
                                            fp ? "org.gnu.gdb.aarch64.fpu" : "org.gnu.gdb.aarch64.core"};
    }
    Array *a = array_of(d, n + 1);
    free(d);
    return a;
}

/* Its value to buf; returns its size, 0 when it cannot be read. */
static unsigned register_to(QemuPlugin *q, uint32_t k, uint8_t buf[16])
{
    uint32_t n = q->api->reg_count(q->h);
    uint64_t pc;

    if (!qemu_now.thread || k > n)
        return 0;
    if (k == n) {
        pc = q->api->pc_read(qemu_now.thread);
        memcpy(buf, &pc, sizeof pc);
        return sizeof pc;
    }
    return q->api->reg_read(qemu_now.thread, k, buf) ? q->api->reg_bytes(q->h, k) : 0;
}

/* Returns the number of bytes, or -1; from QEMU_API_BOOL on a bool. */
QEMU_EXPORT int qemu_plugin_read_register(struct qemu_plugin_register *handle, void *to)
{
    QemuPlugin *q = qemu_plugin_any();
    uint8_t buf[16];
    unsigned n = register_to(q, (uint32_t)(uintptr_t)handle - 1, buf);

    if (n)
        append(to, buf, n);
    return q->version >= QEMU_API_BOOL ? n != 0 : n ? (int)n : -1;
}

QEMU_EXPORT bool qemu_plugin_read_memory_vaddr(uint64_t va, void *to, size_t len)
{
    ByteArray *a = to;
    uint8_t *buf = malloc(len ? len : 1);
    bool ok = buf && qemu_caller() && len <= UINT32_MAX / 2 && qemu_plugin_any()->api->mem_read(qemu_caller(), va, buf, len);

    if (ok) {
        a->len = 0;
        append(a, buf, (unsigned)len);
    }
    free(buf);
    return ok;
}

/* Returns how many bytes were written; 0: none. From QEMU_API_BOOL on a bool. pc is changed by qemu_plugin_set_pc alone. */
QEMU_EXPORT int qemu_plugin_write_register(struct qemu_plugin_register *handle, const void *from)
{
    QemuPlugin *q = qemu_plugin_any();
    const ByteArray *a = from;
    uint32_t k = (uint32_t)(uintptr_t)handle - 1;

    if (!qemu_now.thread || k >= q->api->reg_count(q->h) || a->len < q->api->reg_bytes(q->h, k) ||
        !q->api->reg_write(qemu_now.thread, k, a->data))
        return 0;
    return q->version >= QEMU_API_BOOL ? 1 : (int)q->api->reg_bytes(q->h, k);
}

/* The guest goes on at va: what the callback would have done after this is not done. Returns only when that is not possible. */
QEMU_EXPORT void qemu_plugin_set_pc(uint64_t va)
{
    if (qemu_now.leave && qemu_plugin_any()->api->pc_write(qemu_now.thread, va))
        longjmp(*qemu_now.leave, 1);
}

QEMU_EXPORT bool qemu_plugin_write_memory_vaddr(uint64_t va, const void *from)
{
    const ByteArray *a = from;

    return qemu_caller() && a->len && qemu_plugin_any()->api->mem_write(qemu_caller(), va, a->data, a->len);
}

/* A process has no physical addresses. */
enum { QEMU_HWADDR_ERROR = 1 };

QEMU_EXPORT int qemu_plugin_read_memory_hwaddr(uint64_t pa, void *to, size_t len)
{
    return QEMU_HWADDR_ERROR;
}

QEMU_EXPORT int qemu_plugin_write_memory_hwaddr(uint64_t pa, const void *from)
{
    return QEMU_HWADDR_ERROR;
}

QEMU_EXPORT bool qemu_plugin_translate_vaddr(uint64_t va, uint64_t *pa)
{
    return false;
}
