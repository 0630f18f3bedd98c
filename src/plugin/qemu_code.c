/* What QEMU's plugins do when they are shown code: look at it, and say what is to happen when it runs. */
#include "plugin/qemu.h"

#include "base/check.h"
#include "plugin/code.h"

#include <stdlib.h>
#include <string.h>

struct qemu_plugin_insn {
    DgInsn *insn;
    DgInsnInfo info;
};

struct qemu_plugin_tb {
    DgBlock *block;
    size_t n;
    struct qemu_plugin_insn *insn;
};

static const DgApi *api(void)
{
    return qemu_now.plugin->api;
}

static void run_reset(DgThread *t, void *data, const DgEvent *ev)
{
    QemuPlugin *q = data;

    q->api->retranslate(q->h);
}

void qemu_translate(void *data, DgBlock *b)
{
    QemuPlugin *q = data;
    const QemuNow outer = qemu_now;

    if (!q->trans.fn)
        return;
    struct qemu_plugin_tb tb = {.block = b, .n = q->api->block_insns(b)};
    tb.insn = calloc(tb.n ? tb.n : 1, sizeof *tb.insn);
    CHECK(tb.insn != NULL);
    for (uint32_t k = 0; k < tb.n; k++) {
        tb.insn[k].insn = q->api->block_insn(b, k);
        tb.insn[k].info.size = sizeof tb.insn[k].info;
        q->api->insn_info(tb.insn[k].insn, &tb.insn[k].info);
    }
    qemu_now = (QemuNow){.plugin = q};
    q->shown = true;
    if (tb.n && qemu_has_data(q))
        ((QemuTransData *)q->trans.fn)(&tb, q->trans.data);
    else if (tb.n)
        ((QemuTrans *)q->trans.fn)(q->h->number + 1, &tb);
    q->shown = false;
    if (q->stale)
        q->api->call(tb.insn[0].insn, DG_BEFORE, 0, run_reset, q, DG_NONE);
    q->stale = false;
    qemu_now = outer;
    free(tb.insn);
}

/* --- looking ------------------------------------------------------------------------------------------------------------------ */

QEMU_EXPORT size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb)
{
    return tb->n;
}

QEMU_EXPORT uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb)
{
    return tb->insn[0].info.pc;
}

QEMU_EXPORT struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t k)
{
    return k < tb->n ? &tb->insn[k] : NULL;
}

QEMU_EXPORT size_t qemu_plugin_insn_data(const struct qemu_plugin_insn *i, void *to, size_t len)
{
    size_t n = len < i->info.length ? len : i->info.length;

    memcpy(to, i->info.bytes, n);
    return n;
}

QEMU_EXPORT size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *i)
{
    return i->info.length;
}

QEMU_EXPORT uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *i)
{
    return i->info.pc;
}

/* The guest is mapped 1:1. */
QEMU_EXPORT void *qemu_plugin_insn_haddr(const struct qemu_plugin_insn *i)
{
    return (void *)(uintptr_t)i->info.pc;
}

QEMU_EXPORT char *qemu_plugin_insn_disas(const struct qemu_plugin_insn *i)
{
    char text[256];

    api()->insn_text(i->insn, text, sizeof text);
    return strdup(text);
}

QEMU_EXPORT const char *qemu_plugin_insn_symbol(const struct qemu_plugin_insn *i)
{
    DgSymbol s = {.size = sizeof s};

    return api()->symbol_at(qemu_now.plugin->h, i->info.pc, &s) ? s.name : NULL;
}

/* --- saying ------------------------------------------------------------------------------------------------------------------- */

static unsigned access_of(int flags)
{
    static const uint8_t access[] = {[QEMU_CB_NO_REGS] = DG_NONE, [QEMU_CB_R_REGS] = DG_REGS_READ, [QEMU_CB_RW_REGS] = DG_REGS_WRITE,
                                     [QEMU_CB_RW_REGS_PC] = DG_PC_WRITE};

    return flags >= 0 && flags <= QEMU_CB_RW_REGS_PC ? access[flags] : DG_NONE;
}

static QemuHook *hook_new(const QemuHook *what)
{
    QemuHook *k = malloc(sizeof *k);

    CHECK(k != NULL);
    *k = *what;
    return k;
}

static bool same_call(const QemuCall *a, const QemuCall *b)
{
    const QemuHook *x = &a->hook, *y = &b->hook;

    return x->exec == y->exec && x->data == y->data && x->rw == y->rw && !memcmp(&x->view, &y->view, sizeof x->view) &&
           a->cond == b->cond && a->entry.score == b->entry.score && a->entry.offset == b->entry.offset && a->imm == b->imm;
}

/* Code is shown again when it is translated again, and says the same again: each is there once. */
static QemuCall *call_of(QemuCall what)
{
    uint64_t hash = ((uintptr_t)what.hook.exec ^ (uintptr_t)what.hook.data) * 0x9e3779b97f4a7c15;
    QemuCall **at = &qemu_now.plugin->call[hash >> (64 - QEMU_CALL_BITS)], *c = *at;

    while (c && !same_call(c, &what))
        c = c->next;
    if (c)
        return c;
    c = malloc(sizeof *c);
    CHECK(c != NULL);
    *c = what;
    c->q = qemu_now.plugin;
    c->next = *at;
    return *at = c; /* translation shows code to one tool at a time */
}

/* What comes between code and a plugin's function is short: plugins that count so are called for each instruction. */
static void call_begins(const QemuCall *c, DgThread *t, const DgEvent *ev)
{
    qemu_now.plugin = c->q;
    qemu_now.thread = t;
    qemu_now.ev = ev;
}

/* Such calls are not nested. */
static void call_ends(void)
{
    qemu_now.plugin = NULL;
    qemu_now.thread = NULL;
    qemu_now.ev = NULL;
}

/* The number of a vcpu is in a cell of each thread. */
static uint64_t vcpu_cell(const QemuCall *c)
{
    const Plugins *p = c->q->h->p;

    return cell_disp(p->tools.e, p->thread_cell);
}

/* TellFn: as run_exec. */
static bool exec_told(const void *data, unsigned kind, unsigned bytes, IrTell *out)
{
    const QemuCall *c = data;

    *out = (IrTell){.fn = (void (*)(void))c->hook.exec, .nargs = 2, .kind = {IR_TELL_CELL, IR_TELL_CONST},
                    .arg = {vcpu_cell(c), (uintptr_t)c->hook.data}};
    return true;
}

static void run_exec(DgThread *t, void *data, const DgEvent *ev)
{
    const QemuCall *c = data;

    call_begins(c, t, ev);
    c->hook.exec(t->number, c->hook.data);
    call_ends();
}

/* One that may end in qemu_plugin_set_pc. */
static void run_exec_pc(DgThread *t, void *data, const DgEvent *ev)
{
    const QemuCall *c = data;
    const QemuNow outer = qemu_now;
    jmp_buf leave;

    if (setjmp(leave) == 0) {
        qemu_now = (QemuNow){c->q, t, ev, &leave};
        c->hook.exec(t->number, c->hook.data);
    }
    qemu_now = outer;
}

static void on_exec(DgInsn *i, QemuVcpuData *fn, int flags, void *data)
{
    QemuCall *c = call_of((QemuCall){.hook = {.exec = fn, .data = data}});

    if (access_of(flags) == DG_NONE)
        attach_tell(i, DG_BEFORE, 0, run_exec, c, exec_told);
    else
        api()->call(i, DG_BEFORE, 0, flags == QEMU_CB_RW_REGS_PC ? run_exec_pc : run_exec, c, access_of(flags));
}

static bool holds(const QemuCall *c, uint64_t v)
{
    switch (c->cond) {
    case QEMU_COND_EQ: return v == c->imm;
    case QEMU_COND_NE: return v != c->imm;
    case QEMU_COND_LT: return v < c->imm;
    case QEMU_COND_LE: return v <= c->imm;
    case QEMU_COND_GT: return v > c->imm;
    default: return v >= c->imm;
    }
}

static void run_exec_if(DgThread *t, void *data, const DgEvent *ev)
{
    const QemuCall *c = data;

    if (holds(c, c->q->api->cell_get(t, qemu_entry_cell(c->entry))))
        run_exec_pc(t, data, ev);
}

/* if (entry cond imm) fn(): the comparison is inline, but for functions that may change registers. */
static void on_exec_if(DgInsn *i, QemuVcpuData *fn, int flags, int cond, qemu_plugin_u64 entry, uint64_t imm, void *data)
{
    static const struct {
        uint8_t relation;
        bool swap;
    } how[] = {[QEMU_COND_EQ] = {DG_EQ, false}, [QEMU_COND_NE] = {DG_NE, false}, [QEMU_COND_LT] = {DG_LTU, false},
               [QEMU_COND_LE] = {DG_LEU, false}, [QEMU_COND_GT] = {DG_LTU, true}, [QEMU_COND_GE] = {DG_LEU, true}};
    DgCell cell = qemu_entry_cell(entry);

    if (cond == QEMU_COND_ALWAYS)
        on_exec(i, fn, flags, data);
    if (cond < QEMU_COND_EQ || cond > QEMU_COND_GE || cell == DG_NO_CELL)
        return;
    if (flags >= QEMU_CB_RW_REGS) {
        QemuCall *c = call_of((QemuCall){.hook = {.exec = fn, .data = data}, .cond = cond, .entry = entry, .imm = imm});
        api()->call(i, DG_BEFORE, 0, run_exec_if, c, access_of(flags));
        return;
    }
    const DgOp op[] = {
        {.kind = DG_OP_LOAD, .d = 0, .cell = cell},
        {.kind = DG_OP_CONST, .d = 1, .imm = imm},
        {.kind = DG_OP_CMP, .d = 2, .a = how[cond].swap, .b = !how[cond].swap, .imm = how[cond].relation},
        {.kind = DG_OP_CALL, .a = 2, .fn = run_exec, .data = call_of((QemuCall){.hook = {.exec = fn, .data = data}}), .access = access_of(flags)},
    };
    attach_program(i, DG_BEFORE, 0, op, sizeof op / sizeof op[0], access_of(flags) == DG_NONE ? exec_told : NULL);
}

static void inline_op(DgInsn *i, DgPoint at, unsigned filter, int kind, qemu_plugin_u64 entry, uint64_t imm)
{
    DgCell cell = qemu_entry_cell(entry);

    if (cell == DG_NO_CELL)
        return;
    if (kind == QEMU_INLINE_ADD_U64) {
        api()->add(i, at, filter, cell, imm);
    } else if (kind == QEMU_INLINE_STORE_U64) {
        const DgOp op[] = {{.kind = DG_OP_CONST, .d = 0, .imm = imm}, {.kind = DG_OP_STORE, .b = 0, .cell = cell}};
        api()->program_at(i, at, filter, op, 2);
    }
}

QEMU_EXPORT void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb, QemuVcpuData *fn, int flags, void *data)
{
    on_exec(tb->insn[0].insn, fn, flags, data);
}

QEMU_EXPORT void qemu_plugin_register_vcpu_tb_exec_cond_cb(struct qemu_plugin_tb *tb, QemuVcpuData *fn, int flags, int cond,
                                                           qemu_plugin_u64 entry, uint64_t imm, void *data)
{
    on_exec_if(tb->insn[0].insn, fn, flags, cond, entry, imm, data);
}

QEMU_EXPORT void qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(struct qemu_plugin_tb *tb, int op, qemu_plugin_u64 entry, uint64_t imm)
{
    inline_op(tb->insn[0].insn, DG_BEFORE, 0, op, entry, imm);
}

QEMU_EXPORT void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *i, QemuVcpuData *fn, int flags, void *data)
{
    on_exec(i->insn, fn, flags, data);
}

QEMU_EXPORT void qemu_plugin_register_vcpu_insn_exec_cond_cb(struct qemu_plugin_insn *i, QemuVcpuData *fn, int flags, int cond,
                                                             qemu_plugin_u64 entry, uint64_t imm, void *data)
{
    on_exec_if(i->insn, fn, flags, cond, entry, imm, data);
}

QEMU_EXPORT void qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(struct qemu_plugin_insn *i, int op, qemu_plugin_u64 entry,
                                                                     uint64_t imm)
{
    inline_op(i->insn, DG_BEFORE, 0, op, entry, imm);
}

/* --- memory --------------------------------------------------------------------------------------------------------------------- */

/* Instructions that helpers serve: their accesses come as events, by pc. Hooks are added in front and never taken out. */
#define HELPED 1024u

static _Atomic(QemuHook *) helped[HELPED];

static unsigned filter_of(unsigned rw, GuestQemuView view)
{
    return (rw & QEMU_MEM_R ? DG_READ : 0) | (rw & QEMU_MEM_W ? DG_WRITE : 0) | (view.pair ? FILTER_PAIRS : 0);
}

static GuestQemuView view_of(const struct qemu_plugin_insn *i)
{
    return engine_guest(qemu_now.plugin->h->p->tools.e)->qemu_view(i->info.bytes);
}

static qemu_plugin_meminfo_t info_of(unsigned kind, unsigned bytes)
{
    return (bytes ? (unsigned)__builtin_ctz(bytes) : 0) | (kind & DG_SIGNED ? QEMU_INFO_SIGNED : 0);
}

/* One access, or one of the two that an atomic operation is there. */
static void tell_mem(const QemuCall *c, DgThread *t, const DgEvent *ev)
{
    qemu_plugin_meminfo_t info = info_of(ev->kind, ev->bytes);

    call_begins(c, t, ev);
    if ((ev->kind & DG_READ) && (c->hook.rw & QEMU_MEM_R))
        c->hook.mem(t->number, info, ev->addr, c->hook.data);
    if ((ev->kind & DG_WRITE) && (c->hook.rw & QEMU_MEM_W))
        c->hook.mem(t->number, info | QEMU_INFO_STORE, ev->addr, c->hook.data);
    call_ends();
}

static void run_mem(DgThread *t, void *data, const DgEvent *ev)
{
    const QemuCall *c = data;
    unsigned piece = c->hook.view.piece;
    DgEvent part = *ev;

    if (!piece || ev->bytes <= piece) {
        tell_mem(c, t, ev);
        return;
    }
    part.bytes = (uint8_t)piece;
    for (unsigned k = 0; k < ev->bytes; k += piece) {
        part.addr = ev->addr + k;
        part.value[0] = part.value[1] = 0;
        memcpy(part.value, (const uint8_t *)ev->value + k, piece);
        tell_mem(c, t, &part);
    }
}

/* TellFn: as run_mem, of what is one access there too. */
static bool mem_told(const void *data, unsigned kind, unsigned bytes, IrTell *out)
{
    const QemuCall *c = data;
    unsigned piece = c->hook.view.piece;
    bool write = kind & DG_WRITE;

    if ((write && (kind & DG_READ)) || (piece && bytes > piece))
        return false;
    *out = (IrTell){.fn = (void (*)(void))c->hook.mem, .nargs = 4, .value = true,
                    .kind = {IR_TELL_CELL, IR_TELL_CONST, IR_TELL_ADDRESS, IR_TELL_CONST},
                    .arg = {vcpu_cell(c), info_of(kind, bytes) | (write ? QEMU_INFO_STORE : 0), 0, (uintptr_t)c->hook.data}};
    return true;
}

/* QEMU's plugins are told of the accesses of an instruction, whoever makes them. */
void qemu_access(DgThread *t, void *data, const DgEvent *ev)
{
    if (!(ev->kind & DG_BY_HELPER) || ev->bytes == 0)
        return;
    for (QemuHook *k = atomic_load_explicit(&helped[ev->pc / 4 % HELPED], memory_order_acquire); k; k = k->next) {
        QemuCall *c = k->data;
        if (k->pc == ev->pc && c->q == data && (ev->kind & filter_of(k->rw, c->hook.view)))
            run_mem(t, c, ev);
    }
}

static bool known(const QemuHook *list, uint64_t pc, const QemuCall *c)
{
    for (const QemuHook *k = list; k; k = k->next) {
        const QemuCall *o = k->data;
        if (k->pc == pc && o->q == c->q && o->hook.mem == c->hook.mem && o->hook.data == c->hook.data)
            return true;
    }
    return false;
}

QEMU_EXPORT void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *i, QemuMem *fn, int flags, unsigned rw, void *data)
{
    const GuestQemuView view = view_of(i);

    if (view.none)
        return;
    QemuCall *c = call_of((QemuCall){.hook = {.mem = fn, .data = data, .rw = rw, .view = view}});
    if (access_of(flags) == DG_NONE)
        attach_tell(i->insn, DG_MEM_AFTER, filter_of(rw, view), run_mem, c, mem_told);
    else
        api()->call(i->insn, DG_MEM_AFTER, filter_of(rw, view), run_mem, c, access_of(flags));
    if (!(i->info.class_ & (DG_SYSTEM | DG_ATOMIC | DG_LOAD | DG_STORE)) || i->info.naccess)
        return;
    _Atomic(QemuHook *) *at = &helped[i->info.pc / 4 % HELPED];
    QemuHook *first = atomic_load(at);
    if (known(first, i->info.pc, c)) /* translated before */
        return;
    QemuHook *k = hook_new(&(QemuHook){.data = c, .pc = i->info.pc, .rw = rw, .next = first});
    atomic_store_explicit(at, k, memory_order_release); /* translation shows code to one tool at a time */
}

QEMU_EXPORT void qemu_plugin_register_vcpu_mem_inline_per_vcpu(struct qemu_plugin_insn *i, unsigned rw, int op, qemu_plugin_u64 entry,
                                                               uint64_t imm)
{
    const GuestQemuView view = view_of(i);

    if (view.none)
        return;
    if (op == QEMU_INLINE_ADD_U64 && view.piece)
        imm *= view.pieces;
    inline_op(i->insn, DG_MEM_AFTER, filter_of(rw, view), op, entry, imm);
    if ((i->info.class_ & DG_ATOMIC) && rw == QEMU_MEM_RW) /* two accesses there */
        inline_op(i->insn, DG_MEM_AFTER, filter_of(QEMU_MEM_W, view), op, entry, imm);
}

QEMU_EXPORT unsigned qemu_plugin_mem_size_shift(qemu_plugin_meminfo_t info)
{
    return info & QEMU_INFO_SHIFT;
}

QEMU_EXPORT bool qemu_plugin_mem_is_sign_extended(qemu_plugin_meminfo_t info)
{
    return info & QEMU_INFO_SIGNED;
}

QEMU_EXPORT bool qemu_plugin_mem_is_big_endian(qemu_plugin_meminfo_t info)
{
    return false;
}

QEMU_EXPORT bool qemu_plugin_mem_is_store(qemu_plugin_meminfo_t info)
{
    return info & QEMU_INFO_STORE;
}

QEMU_EXPORT qemu_plugin_mem_value qemu_plugin_mem_get_value(qemu_plugin_meminfo_t info)
{
    qemu_plugin_mem_value v = {.type = (int)(info & QEMU_INFO_SHIFT)};

    if (qemu_now.ev)
        memcpy(&v.data, qemu_now.ev->value, (size_t)1 << v.type);
    else if (qemu_told())
        memcpy(&v.data, &qemu_self.thread->cpu->h.ir.call.arg[IR_TELL_VALUE], (size_t)1 << v.type);
    return v;
}

/* A process has no physical addresses and no devices: as in QEMU's user mode. */
QEMU_EXPORT struct qemu_plugin_hwaddr *qemu_plugin_get_hwaddr(qemu_plugin_meminfo_t info, uint64_t va)
{
    return NULL;
}

QEMU_EXPORT bool qemu_plugin_hwaddr_is_io(const struct qemu_plugin_hwaddr *a)
{
    return false;
}

QEMU_EXPORT uint64_t qemu_plugin_hwaddr_phys_addr(const struct qemu_plugin_hwaddr *a)
{
    return 0;
}

QEMU_EXPORT const char *qemu_plugin_hwaddr_device_name(const struct qemu_plugin_hwaddr *a)
{
    return NULL;
}
