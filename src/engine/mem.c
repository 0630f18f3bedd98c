/*
 * The guest's memory as seen from C: the interpreter, helpers, system calls. Mapped 1:1; a fault becomes a value.
 */
#include "engine/internal.h"

#include "base/safe.h"

#include <string.h>

/* An address whose tag byte is to be ignored. */
static uint64_t strip(uint64_t va, unsigned flags)
{
    return flags & IR_MEM_CAREFUL ? (uint64_t)((int64_t)(va << 8) >> 8) : va;
}

static void *host_ptr(uint64_t va)
{
    return (void *)(uintptr_t)va;
}

static bool done(IrCpu *cpu, int failed, uint64_t va, unsigned size, bool write)
{
    if (failed)
        fault_note(vcpu_of(cpu), va, size, write);
    return !failed;
}

/* An access that must be aligned and is not: the guest's fault, noted. */
static bool misaligned(IrCpu *cpu, uint64_t va, unsigned size, unsigned flags)
{
    if (!(flags & IR_MEM_ALIGNED) || (va & (size - 1)) == 0)
        return false;
    vcpu_of(cpu)->fault = (GuestFault){.sig = SIGBUS, .code = BUS_ADRALN, .addr = va};
    return true;
}

/* In a restartable section each access is done only while the thread has not been preempted. */
static bool inside(IrCpu *cpu)
{
    return vcpu_of(cpu)->section.inside;
}

static unsigned log2_of(unsigned size)
{
    return (unsigned)__builtin_ctz(size);
}

static bool mem_load(IrCpu *cpu, uint64_t va, unsigned size, unsigned flags, IrVal *out)
{
    const void *p = host_ptr(strip(va, flags));
    int failed;

    *out = (IrVal){{0, 0}};
    if (misaligned(cpu, va, size, flags))
        return false;
    if (inside(cpu))
        return section_access(vcpu_of(cpu), vcpu_of(cpu)->section.by->load[log2_of(size)], (uintptr_t)p, size,
                              (SectionOperands){.val = out});
    switch (size) {
    case 1: failed = safe_load1(p, out); break;
    case 2: failed = safe_load2(p, out); break;
    case 4: failed = safe_load4(p, out); break;
    case 8: failed = safe_load8(p, out); break;
    default: failed = safe_load16(p, out); break;
    }
    return done(cpu, failed, (uintptr_t)p, size, false);
}

static bool store_inside(Vcpu *cpu, void *p, unsigned size, IrVal val)
{
    const SectionOperands o = {.val = &val, .write = true};
    bool ok = section_access(cpu, cpu->section.by->store[log2_of(size)], (uintptr_t)p, size, o);

    if (ok)
        section_stored(cpu, p, val.u64[0]);
    return ok;
}

static bool mem_store(IrCpu *cpu, uint64_t va, unsigned size, unsigned flags, const IrVal *val)
{
    void *p = host_ptr(strip(va, flags));
    unsigned order = flags & IR_ORDER_MASK;
    int failed;

    if (inside(cpu))
        return store_inside(vcpu_of(cpu), p, size, *val);
    switch (size) {
    case 1: failed = safe_store1(p, val); break;
    case 2: failed = safe_store2(p, val); break;
    case 4: failed = safe_store4(p, val); break;
    case 8: failed = safe_store8(p, val); break;
    default: failed = safe_store16(p, val); break;
    }
    section_stored(vcpu_of(cpu), p, val->u64[0]);
    if (order == IR_RELEASE || order == IR_ACQ_REL || order == IR_SEQ_CST)
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return done(cpu, failed, (uintptr_t)p, size, true);
}

static int cas(void *p, unsigned size, const IrVal *expect, const IrVal *desired, IrVal *old)
{
    *old = (IrVal){{0, 0}};
    switch (size) {
    case 1: return safe_cas1(p, expect, desired, old);
    case 2: return safe_cas2(p, expect, desired, old);
    case 4: return safe_cas4(p, expect, desired, old);
    case 8: return safe_cas8(p, expect, desired, old);
    default: return safe_cas16(p, expect, desired, old);
    }
}

static bool cas_at(IrCpu *cpu, void *p, unsigned size, const IrVal *expect, const IrVal *desired, IrVal *old)
{
    const Restart *by = vcpu_of(cpu)->section.by;
    IrVal new = *desired;

    if (!inside(cpu))
        return done(cpu, cas(p, size, expect, desired, old), (uintptr_t)p, size, true);
    *old = (IrVal){{0, 0}};
    return section_access(vcpu_of(cpu), by->cas[log2_of(size)], (uintptr_t)p, size,
                          (SectionOperands){.val = &new, .expect = expect, .old = old, .write = true});
}

static bool mem_cas(IrCpu *cpu, uint64_t va, unsigned size, unsigned flags, const IrVal *expect, const IrVal *desired,
                    IrVal *old)
{
    return cas_at(cpu, host_ptr(strip(va, flags)), size, expect, desired, old);
}

static bool mem_rmw(IrCpu *cpu, uint64_t va, unsigned size, unsigned flags, IrRmw kind, const IrVal *val, IrVal *old)
{
    void *p = host_ptr(strip(va, flags));
    IrVal expect, desired = {{0, 0}};

    if (!mem_load(cpu, va, size, flags, &expect)) {
        vcpu_of(cpu)->fault.write = true;
        return false;
    }
    for (;;) {
        desired.u64[0] = ir_rmw(kind, size, expect.u64[0], val->u64[0]);
        bool ok = cas_at(cpu, p, size, &expect, &desired, old);
        if (!ok || old->u64[0] == expect.u64[0])
            return ok;
        expect = *old;
    }
}

/* --- versions --- */

static uint64_t mem_version(IrCpu *cpu, uint64_t va)
{
    return __atomic_load_n(&vcpu_of(cpu)->h.versions[host_version_index(va)], __ATOMIC_ACQUIRE);
}

static bool mem_lock(IrCpu *cpu, uint64_t va, uint64_t version, unsigned how)
{
    HostCpu *h = &vcpu_of(cpu)->h;
    uint64_t *at = &h->versions[host_version_index(va)];
    uint64_t v = how & IR_LOCK_ANY ? __atomic_load_n(at, __ATOMIC_RELAXED) : version;

    if ((how & IR_LOCK_WATCHED) && !(v & HOST_VERSION_WATCHED))
        return true;
    if ((v & HOST_VERSION_LOCKED) ||
        !__atomic_compare_exchange_n(at, &v, v | HOST_VERSION_LOCKED, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
        return false;
    h->version_held = at;
    return true;
}

static void mem_unlock(IrCpu *cpu, bool wrote)
{
    HostCpu *h = &vcpu_of(cpu)->h;

    if (!h->version_held)
        return;
    uint64_t v = __atomic_load_n(h->version_held, __ATOMIC_RELAXED) - HOST_VERSION_LOCKED; /* others try to lock it */
    __atomic_store_n(h->version_held, v + (wrote ? HOST_VERSION_STEP : 0), __ATOMIC_RELEASE);
    h->version_held = NULL;
}

/* Byte by byte: each may find that the section is over. */
static uint64_t copy_inside(IrCpu *cpu, uint64_t dst, uint64_t src, uint64_t n, bool backward)
{
    IrVal byte;

    for (uint64_t k = 0; k < n; k++) {
        uint64_t at = backward ? n - 1 - k : k;
        if (!mem_load(cpu, src + at, 1, 0, &byte) || !mem_store(cpu, dst + at, 1, 0, &byte))
            return k;
    }
    return n;
}

static uint64_t mem_copy(IrCpu *cpu, uint64_t dst, uint64_t src, uint64_t n, bool backward)
{
    if (inside(cpu))
        return copy_inside(cpu, dst, src, n, backward);
    size_t rest = backward ? safe_copy_down(host_ptr(dst), host_ptr(src), n) : safe_copy(host_ptr(dst), host_ptr(src), n);

    if (rest) {
        uint64_t at = backward ? rest - 1 : n - rest;
        fault_note_bulk(vcpu_of(cpu), dst + at, src + at);
    }
    tools_access(vcpu_of(cpu), backward ? src + rest : src, n - rest, false, TOOL_BY_HELPER);
    tools_access(vcpu_of(cpu), backward ? dst + rest : dst, n - rest, true, TOOL_BY_HELPER);
    return n - rest;
}

static uint64_t mem_fill(IrCpu *cpu, uint64_t dst, uint8_t byte, uint64_t n)
{
    const IrVal val = {{byte, 0}};

    if (inside(cpu)) {
        for (uint64_t k = 0; k < n; k++) {
            if (!mem_store(cpu, dst + k, 1, 0, &val))
                return k;
        }
        return n;
    }
    size_t rest = safe_fill(host_ptr(dst), byte, n);

    if (rest)
        fault_note(vcpu_of(cpu), dst + (n - rest), 1, true);
    tools_access(vcpu_of(cpu), dst, n - rest, true, TOOL_BY_HELPER);
    return n - rest;
}

const IrMemOps mem_ops = {
    .load = mem_load,
    .store = mem_store,
    .cas = mem_cas,
    .rmw = mem_rmw,
    .version = mem_version,
    .lock = mem_lock,
    .unlock = mem_unlock,
    .copy = mem_copy,
    .fill = mem_fill,
};

static ToolAccess accessor(const Vcpu *cpu)
{
    return cpu->signalling ? TOOL_BY_SIGNAL : TOOL_BY_SYSCALL;
}

bool guest_read(Vcpu *cpu, void *dst, uint64_t va, size_t n)
{
    bool ok = safe_copy(dst, host_ptr(va), n) == 0;

    if (ok)
        tools_access(cpu, va, n, false, accessor(cpu));
    return ok;
}

bool guest_write(Vcpu *cpu, uint64_t va, const void *src, size_t n)
{
    bool ok = safe_copy(host_ptr(va), src, n) == 0;

    if (ok)
        tools_access(cpu, va, n, true, accessor(cpu));
    return ok;
}

ssize_t guest_strlen(Vcpu *cpu, uint64_t va, size_t max)
{
    char buf[256];

    for (size_t done_len = 0; done_len < max;) {
        size_t n = sizeof buf - (size_t)((va + done_len) % sizeof buf); /* never across a page for nothing */
        size_t got = n - safe_copy(buf, host_ptr(va + done_len), n);
        const char *end = memchr(buf, 0, got);
        if (end) {
            done_len += (size_t)(end - buf);
            return done_len < max ? (ssize_t)done_len : -1;
        }
        if (got < n)
            return -1;
        done_len += n;
    }
    return -1;
}
