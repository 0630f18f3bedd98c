/*
 * A plugin made for QEMU that changes the guest, by what versions 5 and 6 of the interface have added. Argument: mode=MODE
 *   regs  probe_me returns 9, by a register written before its return
 *   late  the same from the 101st call on
 *   pc    the same, by leaving it at once
 *   quiet  system calls that write are answered here
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
typedef struct U64 {
    void *score;
    size_t offset;
} U64;
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

int qemu_plugin_version = 6;
void qemu_plugin_register_vcpu_tb_trans_cb(Id, void (*)(Id, Tb *));
void qemu_plugin_register_vcpu_insn_exec_cb(Insn *, void (*)(unsigned, void *), int, void *);
void qemu_plugin_register_vcpu_insn_exec_cond_cb(Insn *, void (*)(unsigned, void *), int, int, U64, uint64_t, void *);
void qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(Insn *, int, U64, uint64_t);
size_t qemu_plugin_tb_n_insns(const Tb *);
Insn *qemu_plugin_tb_get_insn(const Tb *, size_t);
size_t qemu_plugin_insn_data(const Insn *, void *, size_t);
const char *qemu_plugin_insn_symbol(const Insn *);
Regs *qemu_plugin_get_registers(void);
bool qemu_plugin_read_register(void *, Bytes *);
bool qemu_plugin_write_register(void *, Bytes *);
void qemu_plugin_set_pc(uint64_t);
bool qemu_plugin_read_memory_vaddr(uint64_t, Bytes *, size_t);
bool qemu_plugin_write_memory_vaddr(uint64_t, Bytes *);
int qemu_plugin_read_memory_hwaddr(uint64_t, Bytes *, size_t);
int qemu_plugin_write_memory_hwaddr(uint64_t, Bytes *);
bool qemu_plugin_translate_vaddr(uint64_t, uint64_t *);
void *qemu_plugin_scoreboard_new(size_t);
void qemu_plugin_outs(const char *);
void qemu_plugin_register_vcpu_discon_cb(Id, int, void (*)(Id, unsigned, int, uint64_t, uint64_t));
void qemu_plugin_register_vcpu_syscall_filter_cb(Id, bool (*)(Id, unsigned, int64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                                                              uint64_t, uint64_t, uint64_t, uint64_t *));

enum { RW_REGS = 2, RW_REGS_PC };
enum { ADD = 0, GT = 6 };
enum { WRITE = 64 };

static const char *mode;
static U64 calls;

static void bad_if(bool bad, const char *what)
{
    if (bad) {
        qemu_plugin_outs("bad: ");
        qemu_plugin_outs(what);
        qemu_plugin_outs("\n");
    }
}

static void *reg(const char *name)
{
    Regs *r = qemu_plugin_get_registers();
    void *handle = NULL;

    for (unsigned k = 0; k < r->len; k++)
        if (strcmp(r->data[k].name, name) == 0)
            handle = r->data[k].handle;
    free(r->data);
    free(r);
    return handle;
}

static void nine(unsigned vcpu, void *data)
{
    uint64_t v = 9;
    Bytes b = {(uint8_t *)&v, sizeof v}, small = {(uint8_t *)&v, 4};

    bad_if(qemu_plugin_write_register(reg("x0"), &small), "a value that is too small");
    bad_if(!qemu_plugin_write_register(reg("x0"), &b), "writing x0");
}

static void away(unsigned vcpu, void *data)
{
    Bytes b = {NULL, 0};
    uint64_t to;

    nine(vcpu, data);
    bad_if(qemu_plugin_read_register(NULL, &b), "reading no register");
    bad_if(!qemu_plugin_read_register(reg("x30"), &b) || b.len != 8, "reading x30");
    memcpy(&to, b.data, sizeof to);
    free(b.data);
    qemu_plugin_set_pc(to);
    bad_if(true, "coming back from set_pc");
}

static void watch(Insn *i)
{
    uint32_t code = 0;

    qemu_plugin_insn_data(i, &code, sizeof code);
    if (strcmp(mode, "pc") == 0)
        qemu_plugin_register_vcpu_insn_exec_cb(i, away, RW_REGS_PC, NULL);
    if (code != 0xd65f03c0) /* ret */
        return;
    qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(i, ADD, calls, 1);
    if (strcmp(mode, "regs") == 0)
        qemu_plugin_register_vcpu_insn_exec_cb(i, nine, RW_REGS, NULL);
    if (strcmp(mode, "late") == 0)
        qemu_plugin_register_vcpu_insn_exec_cond_cb(i, nine, RW_REGS, GT, calls, 100, NULL);
}

static void translate(Id id, Tb *tb)
{
    for (size_t k = 0; k < qemu_plugin_tb_n_insns(tb); k++) {
        const char *name = qemu_plugin_insn_symbol(qemu_plugin_tb_get_insn(tb, k));
        if (name && strcmp(name, "probe_me") == 0)
            watch(qemu_plugin_tb_get_insn(tb, k));
    }
}

/* What is written begins with a capital letter, or is not written. */
static bool filter(Id id, unsigned vcpu, int64_t n, uint64_t fd, uint64_t buf, uint64_t len, uint64_t d, uint64_t e, uint64_t f, uint64_t g,
                   uint64_t h, uint64_t *result)
{
    Bytes b = {NULL, 0};
    uint64_t pa;

    if (n != WRITE)
        return false;
    bad_if(!qemu_plugin_read_memory_vaddr(buf, &b, 1), "reading memory");
    b.data[0] = (uint8_t)(b.data[0] - 32);
    bad_if(!qemu_plugin_write_memory_vaddr(buf, &b), "writing memory");
    bad_if(qemu_plugin_write_memory_vaddr(8, &b), "writing memory that is not there");
    bad_if(qemu_plugin_read_memory_hwaddr(buf, &b, 1) != 1 || qemu_plugin_write_memory_hwaddr(buf, &b) != 1 ||
               qemu_plugin_translate_vaddr(buf, &pa),
           "physical addresses");
    free(b.data);
    *result = len;
    return strcmp(mode, "quiet") == 0;
}

static void discon(Id id, unsigned vcpu, int type, uint64_t from, uint64_t to)
{
    bad_if(true, "an interrupt of a process");
}

int qemu_plugin_install(Id id, const void *info, int argc, char **argv);
int qemu_plugin_install(Id id, const void *info, int argc, char **argv)
{
    if (argc != 1 || strncmp(argv[0], "mode=", 5) != 0)
        return -1;
    mode = argv[0] + 5;
    calls.score = qemu_plugin_scoreboard_new(sizeof(uint64_t));
    qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
    qemu_plugin_register_vcpu_syscall_filter_cb(id, filter);
    qemu_plugin_register_vcpu_discon_cb(id, -1, discon);
    return 0;
}
