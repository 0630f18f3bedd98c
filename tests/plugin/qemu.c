/*
 * A plugin made for QEMU, which declares QEMU's interface for itself, from its documentation, and uses all of it. It counts, in
 * several ways that must agree, and prints what it found. Arguments: reset (undo all at the first block and register again).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t Id;
typedef struct Info {
    const char *target;
    struct {
        int min, cur;
    } version;
    bool system;
    int smp, max;
} Info;
typedef struct Tb Tb;
typedef struct Insn Insn;
typedef struct Score Score;
typedef struct U64 {
    Score *score;
    size_t offset;
} U64;
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
typedef void Simple(Id), Data(Id, void *), VcpuFn(Id, unsigned), VcpuData(unsigned, void *), Trans(Id, Tb *);
typedef void MemFn(unsigned, uint32_t, uint64_t, void *);
typedef void SysFn(Id, unsigned, int64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);
typedef void RetFn(Id, unsigned, int64_t, int64_t);

int qemu_plugin_version = 4;
void qemu_plugin_uninstall(Id, Simple *);
void qemu_plugin_reset(Id, Simple *);
void qemu_plugin_register_vcpu_init_cb(Id, VcpuFn *);
void qemu_plugin_register_vcpu_exit_cb(Id, VcpuFn *);
void qemu_plugin_register_vcpu_idle_cb(Id, VcpuFn *);
void qemu_plugin_register_vcpu_resume_cb(Id, VcpuFn *);
void qemu_plugin_register_vcpu_tb_trans_cb(Id, Trans *);
void qemu_plugin_register_vcpu_tb_exec_cb(Tb *, VcpuData *, int, void *);
void qemu_plugin_register_vcpu_tb_exec_cond_cb(Tb *, VcpuData *, int, int, U64, uint64_t, void *);
void qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(Tb *, int, U64, uint64_t);
void qemu_plugin_register_vcpu_insn_exec_cb(Insn *, VcpuData *, int, void *);
void qemu_plugin_register_vcpu_insn_exec_cond_cb(Insn *, VcpuData *, int, int, U64, uint64_t, void *);
void qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(Insn *, int, U64, uint64_t);
size_t qemu_plugin_tb_n_insns(const Tb *);
uint64_t qemu_plugin_tb_vaddr(const Tb *);
Insn *qemu_plugin_tb_get_insn(const Tb *, size_t);
size_t qemu_plugin_insn_data(const Insn *, void *, size_t);
size_t qemu_plugin_insn_size(const Insn *);
uint64_t qemu_plugin_insn_vaddr(const Insn *);
void *qemu_plugin_insn_haddr(const Insn *);
char *qemu_plugin_insn_disas(const Insn *);
const char *qemu_plugin_insn_symbol(const Insn *);
unsigned qemu_plugin_mem_size_shift(uint32_t);
bool qemu_plugin_mem_is_sign_extended(uint32_t);
bool qemu_plugin_mem_is_big_endian(uint32_t);
bool qemu_plugin_mem_is_store(uint32_t);
Value qemu_plugin_mem_get_value(uint32_t);
void *qemu_plugin_get_hwaddr(uint32_t, uint64_t);
bool qemu_plugin_hwaddr_is_io(const void *);
uint64_t qemu_plugin_hwaddr_phys_addr(const void *);
const char *qemu_plugin_hwaddr_device_name(const void *);
void qemu_plugin_register_vcpu_mem_cb(Insn *, MemFn *, int, int, void *);
void qemu_plugin_register_vcpu_mem_inline_per_vcpu(Insn *, int, int, U64, uint64_t);
const void *qemu_plugin_request_time_control(void);
void qemu_plugin_update_ns(const void *, int64_t);
void qemu_plugin_register_vcpu_syscall_cb(Id, SysFn *);
void qemu_plugin_register_vcpu_syscall_ret_cb(Id, RetFn *);
void qemu_plugin_vcpu_for_each(Id, VcpuFn *);
void qemu_plugin_register_flush_cb(Id, Simple *);
void qemu_plugin_register_atexit_cb(Id, Data *, void *);
int qemu_plugin_num_vcpus(void);
void qemu_plugin_outs(const char *);
bool qemu_plugin_bool_parse(const char *, const char *, bool *);
const char *qemu_plugin_path_to_binary(void);
uint64_t qemu_plugin_start_code(void);
uint64_t qemu_plugin_end_code(void);
uint64_t qemu_plugin_entry_code(void);
Regs *qemu_plugin_get_registers(void);
bool qemu_plugin_read_memory_vaddr(uint64_t, Bytes *, size_t);
int qemu_plugin_read_register(void *, Bytes *);
Score *qemu_plugin_scoreboard_new(size_t);
void qemu_plugin_scoreboard_free(Score *);
void *qemu_plugin_scoreboard_find(Score *, unsigned);
void qemu_plugin_u64_add(U64, unsigned, uint64_t);
uint64_t qemu_plugin_u64_get(U64, unsigned);
void qemu_plugin_u64_set(U64, unsigned, uint64_t);
uint64_t qemu_plugin_u64_sum(U64);

enum { NO_REGS, R_REGS };
enum { ADD, STORE };
enum { EQ = 2, NE, LT, LE, GT, GE };

typedef struct Counts { /* of each vcpu */
    uint64_t insns, called, accesses, mem_called, stores, tbs, last, every, hundred;
} Counts;

static Score *score, *spare;
static Id self;
static bool do_reset;
static uint64_t inits, exits, flushes, syscalls, returns, vcpus, bad, cond_hits, regs_read, bytes_read, symbols, texts;
static const void *handle;

static U64 at(size_t offset)
{
    return (U64){score, offset};
}

#define AT(field) at(offsetof(Counts, field))

static void bad_if(bool b, const char *what)
{
    if (b && bad++ < 5) {
        char text[100];
        snprintf(text, sizeof text, "bad: %s\n", what);
        qemu_plugin_outs(text);
    }
}

static void on_insn(unsigned vcpu, void *data)
{
    ((Counts *)qemu_plugin_scoreboard_find(score, vcpu))->called++;
}

static void on_hundred(unsigned vcpu, void *data)
{
    bad_if(qemu_plugin_u64_get(AT(every), vcpu) != 100, "a condition that does not hold");
    qemu_plugin_u64_set(AT(every), vcpu, 0);
    qemu_plugin_u64_add(AT(hundred), vcpu, 1);
    __atomic_fetch_add(&cond_hits, 1, __ATOMIC_RELAXED);
}

static Reg *find_reg(const char *name)
{
    static Regs *all;
    if (!all)
        all = qemu_plugin_get_registers();
    for (unsigned k = 0; k < all->len; k++)
        if (!strcmp(all->data[k].name, name))
            return &all->data[k];
    return NULL;
}

static void on_tb(unsigned vcpu, void *data)
{
    Bytes b = {NULL, 0};
    uint64_t pc = 0;
    Reg *r = find_reg("pc"), *sp = find_reg("sp");
    bad_if(!r || !sp || !sp->feature, "no pc or sp");
    if (r && qemu_plugin_read_register(r->handle, &b) == 8)
        memcpy(&pc, b.data, 8);
    bad_if(pc != (uint64_t)(uintptr_t)data, "pc in a block is not the block's");
    regs_read++;
    Bytes m = {NULL, 0};
    bad_if(!qemu_plugin_read_memory_vaddr(pc, &m, 4) || m.len != 4, "code cannot be read");
    bytes_read += m.len;
    bad_if(qemu_plugin_read_memory_vaddr(8, &m, 4), "address 8 can be read");
    free(m.data);
    free(b.data);
}

static void on_mem(unsigned vcpu, uint32_t info, uint64_t va, void *data)
{
    Counts *c = qemu_plugin_scoreboard_find(score, vcpu);
    Value v = qemu_plugin_mem_get_value(info);
    c->mem_called++;
    c->stores += qemu_plugin_mem_is_store(info);
    bad_if(v.type != (int)qemu_plugin_mem_size_shift(info) || v.type > 4, "size of a value");
    bad_if(qemu_plugin_mem_is_big_endian(info) || (qemu_plugin_mem_is_sign_extended(info) && qemu_plugin_mem_is_store(info)), "kind of an access");
    bad_if(qemu_plugin_get_hwaddr(info, va) || qemu_plugin_hwaddr_is_io(NULL) || qemu_plugin_hwaddr_phys_addr(NULL) ||
           qemu_plugin_hwaddr_device_name(NULL), "a physical address");
    Bytes m = {NULL, 0};
    /* Where there are other threads they may have written there meanwhile. */
    if (data && qemu_plugin_num_vcpus() == 1 && v.type == 3 && qemu_plugin_mem_is_store(info) && qemu_plugin_read_memory_vaddr(va, &m, 8) && m.len == 8)
        bad_if(memcmp(m.data, &v.data.u64, 8) != 0, "a stored value is not in memory");
    free(m.data);
}

static void translate(Id id, Tb *tb);

static void register_all(Id id);

static void translate(Id id, Tb *tb)
{
    size_t n = qemu_plugin_tb_n_insns(tb);
    uint64_t pc = qemu_plugin_tb_vaddr(tb);
    bad_if(id != self || n == 0 || qemu_plugin_tb_get_insn(tb, n), "a block");
    qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(tb, ADD, AT(tbs), 1);
    qemu_plugin_register_vcpu_tb_exec_cb(tb, on_tb, R_REGS, (void *)(uintptr_t)pc);
    qemu_plugin_register_vcpu_tb_exec_cond_cb(tb, on_hundred, NO_REGS, LT, AT(every), 0, NULL); /* never */
    for (size_t k = 0; k < n; k++) {
        Insn *i = qemu_plugin_tb_get_insn(tb, k);
        uint8_t raw[8];
        uint64_t va = qemu_plugin_insn_vaddr(i);
        char *text = qemu_plugin_insn_disas(i);
        bad_if(va != pc + 4 * k || qemu_plugin_insn_size(i) != 4 || qemu_plugin_insn_data(i, raw, sizeof raw) != 4, "an instruction");
        bad_if(memcmp(qemu_plugin_insn_haddr(i), raw, 4) != 0, "an instruction's bytes");
        bool plain = text && !strncmp(text, "st", 2) && text[2] != 'x' && text[2] != 'l'; /* a store, and nothing else */
        texts += text && text[0];
        free(text);
        symbols += qemu_plugin_insn_symbol(i) != NULL;
        qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(i, ADD, AT(insns), 1);
        qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(i, STORE, AT(last), va);
        qemu_plugin_register_vcpu_insn_exec_cb(i, on_insn, NO_REGS, NULL);
        qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(i, ADD, AT(every), 1);
        qemu_plugin_register_vcpu_insn_exec_cond_cb(i, on_hundred, NO_REGS, GE, AT(every), 100, NULL);
        qemu_plugin_register_vcpu_mem_inline_per_vcpu(i, 3, ADD, AT(accesses), 1);
        qemu_plugin_register_vcpu_mem_cb(i, on_mem, NO_REGS, 3, (void *)(uintptr_t)plain);
    }
    if (do_reset) {
        do_reset = false;
        qemu_plugin_reset(id, register_all);
    }
}

static void vcpu_init(Id id, unsigned vcpu) { __atomic_fetch_add(&inits, 1, __ATOMIC_RELAXED); }
static void vcpu_exit(Id id, unsigned vcpu) { __atomic_fetch_add(&exits, 1, __ATOMIC_RELAXED); }
static void vcpu_other(Id id, unsigned vcpu) { flushes++; }
static void flush(Id id) { flushes++; }
static void each(Id id, unsigned vcpu) { vcpus++; }
static void on_syscall(Id id, unsigned vcpu, int64_t n, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f, uint64_t g, uint64_t h)
{
    __atomic_fetch_add(&syscalls, 1, __ATOMIC_RELAXED);
}
static void on_return(Id id, unsigned vcpu, int64_t n, int64_t r) { __atomic_fetch_add(&returns, 1, __ATOMIC_RELAXED); }
static void gone(Id id) { qemu_plugin_outs("uninstalled\n"); }

static void finish(Id id, void *data)
{
    char text[600];
    const char *path = qemu_plugin_path_to_binary();
    uint64_t start = qemu_plugin_start_code(), end = qemu_plugin_end_code(), entry = qemu_plugin_entry_code();
    qemu_plugin_vcpu_for_each(id, each);
    bad_if((int)vcpus != qemu_plugin_num_vcpus(), "number of vcpus");
    bad_if(!path || !strstr(path, "plugin_"), "path of the program");
    bad_if(entry < start || entry >= end, "where the program starts");
    bad_if(flushes, "something that never happens");
    snprintf(text, sizeof text,
             "insns %llu\ncalled %llu\naccesses %llu\ntold %llu\nstores %llu\nhundred %llu\nconditions %llu\nblocks %d\n"
             "inits %llu\nexits %llu\nsyscalls %llu\nreturns %llu\nvcpus %llu\ntexts %d\nsymbols %d\ndata %s\nbad %llu\n",
             (unsigned long long)qemu_plugin_u64_sum(AT(insns)), (unsigned long long)qemu_plugin_u64_sum(AT(called)),
             (unsigned long long)qemu_plugin_u64_sum(AT(accesses)), (unsigned long long)qemu_plugin_u64_sum(AT(mem_called)),
             (unsigned long long)qemu_plugin_u64_sum(AT(stores)), (unsigned long long)qemu_plugin_u64_sum(AT(hundred)),
             (unsigned long long)cond_hits, qemu_plugin_u64_sum(AT(tbs)) == regs_read && bytes_read == 4 * regs_read,
             (unsigned long long)inits, (unsigned long long)exits, (unsigned long long)syscalls, (unsigned long long)returns,
             (unsigned long long)vcpus, texts > 0, symbols > 0, (const char *)data, (unsigned long long)bad);
    qemu_plugin_outs(text);
    qemu_plugin_scoreboard_free(spare);
    qemu_plugin_uninstall(id, gone);
}

static void register_all(Id id)
{
    qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
    qemu_plugin_register_vcpu_init_cb(id, vcpu_init);
    qemu_plugin_register_vcpu_exit_cb(id, vcpu_exit);
    qemu_plugin_register_vcpu_idle_cb(id, vcpu_other);
    qemu_plugin_register_vcpu_resume_cb(id, vcpu_other);
    qemu_plugin_register_flush_cb(id, flush);
    qemu_plugin_register_vcpu_syscall_cb(id, on_syscall);
    qemu_plugin_register_vcpu_syscall_ret_cb(id, on_return);
    qemu_plugin_register_atexit_cb(id, finish, "mine");
}

int qemu_plugin_install(Id id, const Info *info, int argc, char **argv);
int qemu_plugin_install(Id id, const Info *info, int argc, char **argv)
{
    bool on = false;
    self = id;
    bad_if(strcmp(info->target, "aarch64") != 0 || info->version.min > 4 || info->version.cur < 4 || info->system, "what it is told");
    for (int k = 0; k < argc; k++) {
        if (!strcmp(argv[k], "reset=on"))
            bad_if(!qemu_plugin_bool_parse("reset", "on", &do_reset), "on");
        else
            return -1;
    }
    bad_if(qemu_plugin_bool_parse("x", "maybe", &on) || !qemu_plugin_bool_parse("x", "false", &on) || on, "words for booleans");
    handle = qemu_plugin_request_time_control();
    bad_if(!handle || qemu_plugin_request_time_control(), "time control");
    qemu_plugin_update_ns(handle, 12345);
    score = qemu_plugin_scoreboard_new(sizeof(Counts));
    spare = qemu_plugin_scoreboard_new(1);
    register_all(id);
    return 0;
}
