/*
 * A plugin made for QEMU whose functions see no registers: code calls them by itself. Argument: mode=MODE
 *   values   what memory callbacks in run_lines are told is summed up; so is what else functions may ask for there
 *   crash    dereferences nothing in the 10th call in probe_me
 *   leave    the 10th call there uninstalls it, after which there must be none
 *   compute  computes with floating point at every instruction
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t Id;
typedef struct Tb Tb;
typedef struct Insn Insn;
typedef struct Bytes {
    uint8_t *data;
    unsigned len;
} Bytes;
typedef struct Reg {
    void *handle;
    const char *name, *feature;
} Reg;
typedef struct Regs {
    Reg *data;
    unsigned len;
} Regs;
typedef struct Value {
    int type;
    union {
        uint8_t u8;
        uint16_t u16;
        uint32_t u32;
        uint64_t u64;
        struct {
            uint64_t low, high;
        } u128;
    } data;
} Value;

int qemu_plugin_version = 6;
void qemu_plugin_register_vcpu_tb_trans_cb(Id, void (*)(Id, Tb *));
void qemu_plugin_register_vcpu_tb_exec_cb(Tb *, void (*)(unsigned, void *), int, void *);
void qemu_plugin_register_vcpu_insn_exec_cb(Insn *, void (*)(unsigned, void *), int, void *);
void qemu_plugin_register_vcpu_mem_cb(Insn *, void (*)(unsigned, uint32_t, uint64_t, void *), int, int, void *);
void qemu_plugin_register_atexit_cb(Id, void (*)(Id, void *), void *);
size_t qemu_plugin_tb_n_insns(const Tb *);
Insn *qemu_plugin_tb_get_insn(const Tb *, size_t);
const char *qemu_plugin_insn_symbol(const Insn *);
Value qemu_plugin_mem_get_value(uint32_t);
bool qemu_plugin_mem_is_store(uint32_t);
Regs *qemu_plugin_get_registers(void);
bool qemu_plugin_read_register(void *, Bytes *);
bool qemu_plugin_write_register(void *, Bytes *);
bool qemu_plugin_read_memory_vaddr(uint64_t, Bytes *, size_t);
void qemu_plugin_outs(const char *);
void qemu_plugin_uninstall(Id, void (*)(Id));

static const char *mode;
static Id self;
static uint64_t calls, accesses, sum, bad;
static volatile double sink = 1;

static void add(uint64_t v)
{
    sum = (sum + v) * 0x9e3779b97f4a7c15u;
    sum ^= sum >> 29;
}

static void on_mem(unsigned vcpu, uint32_t info, uint64_t va, void *data)
{
    Value v = qemu_plugin_mem_get_value(info);
    Bytes b = {NULL, 0};
    uint64_t x = 1;
    Bytes from = {(uint8_t *)&x, sizeof x};
    uint64_t low = v.type < 3 ? v.data.u64 & ((1ull << (8 << v.type)) - 1) : v.data.u64;

    accesses++;
    add((uint64_t)v.type + (qemu_plugin_mem_is_store(info) ? 8 : 0));
    add(va & 15);
    add(low);
    if (v.type == 4)
        add(v.data.u128.high);
    bad += vcpu != 0 || data != &accesses;
    if (!qemu_plugin_read_memory_vaddr(va, &b, 1u << v.type) || b.len != 1u << v.type || memcmp(b.data, &low, b.len > 8 ? 8 : b.len))
        bad++; /* nobody else writes there */
    bad += qemu_plugin_read_register((void *)1, &b) || qemu_plugin_write_register((void *)1, &from);
    free(b.data);
}

static void on_insn(unsigned vcpu, void *data)
{
    calls++;
    bad += vcpu != 0 || data != (void *)mode;
}

static void on_far_insn(unsigned vcpu, void *data) /* the second at one instruction */
{
    calls++;
    bad += data != (void *)7;
}

static void on_crash(unsigned vcpu, void *data)
{
    if (++calls == 10)
        *(volatile int *)data = 1;
}

static void gone(Id id)
{
    qemu_plugin_outs("gone\n");
}

static void on_leave(unsigned vcpu, void *data)
{
    if (++calls == 10)
        qemu_plugin_uninstall(self, gone);
    else if (calls > 10)
        qemu_plugin_outs("bad: a call\n");
}

static void on_compute(unsigned vcpu, void *data)
{
    sink = (sink + 1) / 3;
    sink *= 1e-300;
    sink = sink * sink + 1; /* too small: in QEMU and here the guest hears of none of it */
}

static void translate(Id id, Tb *tb)
{
    for (size_t k = 0; k < qemu_plugin_tb_n_insns(tb); k++) {
        Insn *i = qemu_plugin_tb_get_insn(tb, k);
        const char *name = qemu_plugin_insn_symbol(i);
        bool probe = name && strcmp(name, "probe_me") == 0, lines = name && strcmp(name, "run_lines") == 0;

        if (strcmp(mode, "compute") == 0)
            qemu_plugin_register_vcpu_insn_exec_cb(i, on_compute, 0, NULL);
        else if (strcmp(mode, "crash") == 0 && probe)
            qemu_plugin_register_vcpu_insn_exec_cb(i, on_crash, 0, NULL);
        else if (strcmp(mode, "leave") == 0 && probe)
            qemu_plugin_register_vcpu_insn_exec_cb(i, on_leave, 0, NULL);
        if (strcmp(mode, "values") != 0 || !lines)
            continue;
        qemu_plugin_register_vcpu_insn_exec_cb(i, on_insn, 0, (void *)mode);
        qemu_plugin_register_vcpu_insn_exec_cb(i, on_far_insn, 0, (void *)7);
        qemu_plugin_register_vcpu_mem_cb(i, on_mem, 0, 3, &accesses);
    }
}

static void finish(Id id, void *data)
{
    char text[200];

    snprintf(text, sizeof text, "calls %llu\naccesses %llu\nsum %llu\nbad %llu\n", (unsigned long long)calls, (unsigned long long)accesses,
             (unsigned long long)sum, (unsigned long long)bad);
    qemu_plugin_outs(text);
}

int qemu_plugin_install(Id id, const void *info, int argc, char **argv);
int qemu_plugin_install(Id id, const void *info, int argc, char **argv)
{
    if (argc != 1 || strncmp(argv[0], "mode=", 5) != 0)
        return -1;
    self = id;
    mode = argv[0] + 5;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
    if (strcmp(mode, "values") == 0)
        qemu_plugin_register_atexit_cb(id, finish, NULL);
    return 0;
}
