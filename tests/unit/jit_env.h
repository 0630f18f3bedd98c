/*
 * A small world to run regions in, translated and interpreted: slots like a RISC guest's, one buffer of guest memory
 * between inaccessible pages, a code cache mapped twice. Used by the tests of the host backend.
 */
#ifndef TESTS_JIT_ENV_H
#define TESTS_JIT_ENV_H

#include "host/host.h"
#include "opt/opt.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

enum { S_N, S_Z, S_C, S_V, S_X0, S_NX = 32, S_V0 = S_X0 + S_NX, S_NV = 32, S_COUNT = S_V0 + S_NV };
enum { MEM_SIZE = 4096, CODE_SIZE = 1 << 20, STATE_SIZE = 16 + 8 * S_NX + 16 * S_NV };

typedef struct Env {
    IrSlot slot[S_COUNT];
    char names[S_COUNT][8];
    IrSlots slots;
    HostPlan *plan;
    CodeBuf cb;
    uint8_t *code_start;       /* behind the stubs */
    HostCpu *cpu, *ref;
    uint8_t *mem;              /* MEM_SIZE bytes with an inaccessible page on both sides */
    uint8_t shadow[65536], altstack[65536];
    struct Env *earlier;       /* those made before: kept to the end */
    Arena arena;
    HostCode code;             /* the region being run */
    const uint8_t *code_rx;
    uint64_t faults, refused;
    IrWorld world;
    const IrHelper *helpers;
    unsigned nhelpers;
} Env;

static Env *env;

/* Any C code may use the vector registers from 16 on, where there are such. */
static __attribute__((unused)) void clobber_high(void)
{
    if (!__builtin_cpu_supports("avx512vl"))
        return;
    __asm__ volatile(".irp n, 16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
                     "vpternlogd $255, %%xmm\\n, %%xmm\\n, %%xmm\\n\n.endr" : : : "memory");
}

static bool env_ok(uint64_t va, unsigned size)
{
    uint64_t base = (uint64_t)(uintptr_t)env->mem;
    return va >= base && va + size <= base + MEM_SIZE && va + size >= va;
}

static bool env_access(uint64_t va, unsigned size, unsigned flags)
{
    return env_ok(va, size);
}

static bool env_load(IrCpu *cpu, uint64_t va, unsigned size, unsigned flags, IrVal *out)
{
    if (!env_access(va, size, flags))
        return false;
    memset(out, 0, sizeof *out);
    memcpy(out, (void *)(uintptr_t)va, size);
    return true;
}

static bool env_store(IrCpu *cpu, uint64_t va, unsigned size, unsigned flags, const IrVal *v)
{
    if (!env_access(va, size, flags))
        return false;
    memcpy((void *)(uintptr_t)va, v, size);
    return true;
}

static bool env_cas(IrCpu *cpu, uint64_t va, unsigned size, unsigned flags, const IrVal *expect, const IrVal *want,
                    IrVal *old)
{
    if (!env_load(cpu, va, size, flags, old))
        return false;
    if (!memcmp(old, expect, size))
        memcpy((void *)(uintptr_t)va, want, size);
    return true;
}

static bool env_rmw(IrCpu *cpu, uint64_t va, unsigned size, unsigned flags, IrRmw kind, const IrVal *v, IrVal *old)
{
    if (!env_load(cpu, va, size, flags, old))
        return false;
    uint64_t r = ir_rmw(kind, size, old->u64[0], v->u64[0]);
    memcpy((void *)(uintptr_t)va, &r, size);
    return true;
}

static const void *env_next(HostCpu *cpu)
{
    return NULL;
}

/* Nothing is linked: a site's own stub leaves to its target. */
static const void *env_link(HostCpu *cpu)
{
    const HostCode *code = &env->code;

    for (uint32_t k = 0; k < code->nsite; k++)
        if (env->code_rx + code->site[k].stub == (const uint8_t *)(uintptr_t)cpu->link_site)
            cpu->ir.pc = code->site[k].target;
    return NULL;
}

/* As the engine does: recover, and leave with the fault. */
static void env_signal(int sig, siginfo_t *info, void *ucv)
{
    ucontext_t *uc = ucv;
    const void *hpc = (const void *)(uintptr_t)uc->uc_mcontext.gregs[REG_RIP];
    if (sig == SIGFPE && env && env->cpu->in_code && host_native.fp_trap(env->cpu, uc))
        return;
    if (!env || !env->cpu->in_code ||
        !host_native.recover(env->plan, env->cpu, env->code_rx, env->code.side, env->code.side_len, hpc, uc)) {
        signal(sig, SIG_DFL);
        return;
    }
    env->faults++;
    host_native.leave(env->plan, env->cpu, uc, IR_STOP_FAULT);
}

static void env_slots(Env *e)
{
    unsigned off = 16 + 8 * S_NX;
    for (unsigned k = 0; k < S_COUNT; k++) {
        if (k < S_X0) {
            e->slot[k] = (IrSlot){.type = IR_I8, .offset = (uint16_t)(8 * S_NX + k)};
            e->names[k][0] = "nzcv"[k];
        } else if (k < S_V0) {
            e->slot[k] = (IrSlot){.type = IR_I64, .offset = (uint16_t)(8 * (k - S_X0))};
            snprintf(e->names[k], sizeof e->names[k], "x%u", k - S_X0);
        } else {
            e->slot[k] = (IrSlot){.type = IR_V128, .offset = (uint16_t)(off + 16 * (k - S_V0))};
            snprintf(e->names[k], sizeof e->names[k], "q%u", k - S_V0);
        }
        e->slot[k].name = e->names[k];
    }
    e->slots = (IrSlots){e->slot, S_COUNT, STATE_SIZE};
}

static void env_maps(Env *e)
{
    int fd = memfd_create("code", 0);
    if (fd < 0 || ftruncate(fd, CODE_SIZE))
        abort();
    uint8_t *rw = mmap(NULL, CODE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    uint8_t *rx = mmap(NULL, CODE_SIZE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
    close(fd);
    e->cb = (CodeBuf){.start = rw, .p = rw, .end = rw + CODE_SIZE, .delta = rx - rw};
    uint8_t *m = mmap(NULL, MEM_SIZE + 2 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(m + 4096, MEM_SIZE, PROT_READ | PROT_WRITE);
    e->mem = m + 4096;
}

static HostCpu *env_cpu(Env *e)
{
    HostCpu *cpu = aligned_alloc(64, (sizeof *cpu + 63) & ~(size_t)63);
    memset(cpu, 0, sizeof *cpu);
    cpu->ir.state = cpu->state;
    cpu->ir.world = &e->world;
    cpu->shadow_base = e->shadow + sizeof e->shadow - 64;
    cpu->shadow_limit = e->shadow;
    cpu->versions = calloc(1u << HOST_VERSION_BITS, sizeof *cpu->versions);
    cpu->link = env_link;
    cpu->lookup = env_next;
    for (unsigned k = 0; k < 1u << HOST_JCACHE_BITS; k++)
        cpu->jcache[k].pc = cpu->jcache2[k].pc = k ? 0 : 4; /* which no entry of that index can have */
    return cpu;
}

static bool env_tool_calls; /* HostConfig.tool_calls of the next */
static uint32_t (*env_combine)(void *, const HostCount *, unsigned, bool); /* its HostConfig.combine: integer slots are counters */
static unsigned env_lane; /* the first of the slots with lanes, an integer one; 0: HostConfig.lanes is off */

static void env_new(const IrHelper *helpers, unsigned nhelpers, bool ret_predict, const char *cpu_name)
{
    static const uint16_t flag_slot[] = {[FLAG_SIGN] = S_N, [FLAG_ZERO] = S_Z, [FLAG_CARRY] = S_C, [FLAG_OVERFLOW] = S_V};
    static const uint16_t pin_int[] = {S_X0, S_X0 + 1, S_X0 + 2, S_X0 + 3, S_X0 + 8, S_X0 + 19, S_X0 + 29, S_X0 + 31, 0xffff};
    static const uint16_t pin_vec[] = {S_V0,     S_V0 + 1, S_V0 + 2, S_V0 + 3, S_V0 + 4,
                                       S_V0 + 5, S_V0 + 6, S_V0 + 7, 0xffff};
    Status st = {0};
    Env *e = calloc(1, sizeof *e);
    struct sigaction sa = {.sa_sigaction = env_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    stack_t ss = {.ss_sp = e->altstack, .ss_size = sizeof e->altstack};

    e->earlier = env;
    env_slots(e);
    env_maps(e);
    arena_init(&e->arena);
    e->helpers = helpers;
    e->nhelpers = nhelpers;
    e->world.mem = (IrMemOps){.load = env_load, .store = env_store, .cas = env_cas, .rmw = env_rmw};
    for (unsigned k = S_X0; k < S_V0; k++) {
        e->slot[k].counter = env_combine || env_lane;
        e->slot[k].lane = env_lane && k >= env_lane && k < env_lane + HOST_LANES ? (uint8_t)(k - env_lane + 1) : 0;
    }
    HostConfig cfg = {.slots = &e->slots, .pin_int = pin_int, .pin_vec = pin_vec, .flags = flag_slot, .pc_shift = 2, .helpers = helpers,
                      .nhelpers = nhelpers, .cpu = cpu_name, .ret_predict = ret_predict, .tool_calls = env_tool_calls, .combine = env_combine,
                      .lanes = env_lane != 0};
    e->plan = host_native.plan_new(&cfg, &st);
    if (!e->plan || !host_native.stubs(e->plan, &e->cb)) {
        fprintf(stderr, "%s\n", st.text);
        exit(1);
    }
    e->code_start = e->cb.p;
    e->cpu = env_cpu(e);
    host_native.cpu_init(e->plan, e->cpu);
    e->ref = env_cpu(e);
    sigaltstack(&ss, NULL);
    sigaction(SIGSEGV, &sa, NULL);
    sigaction(SIGBUS, &sa, NULL);
    sigaction(SIGFPE, &sa, NULL);
    env = e;
}

static inline bool env_compile(const IrRegion *r)
{
    env->cb.p = env->code_start;
    env->cb.overflow = false;
    if (!host_native.compile(env->plan, r, &env->cb, &env->code))
        return false;
    env->code_rx = env->code.rw + env->cb.delta;
    return true;
}

static inline void env_disas(FILE *f)
{
    char text[128];
    for (uint32_t at = 0; at < env->code.size;) {
        unsigned n = host_native.disas(env->code_rx + at, (uint64_t)(uintptr_t)(env->code_rx + at), text, sizeof text);
        fprintf(f, "%p %04x %s\n", (void *)(env->code_rx + at), at, text);
        at += n;
    }
}

#endif
