/*
 * The engine with a small environment of its own: code in a page, a system call that ends the thread. Runs the same
 * programs in every engine.
 */
#include "engine/engine.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define CODE 0x10000000ull
#define DATA 0x10010000ull

typedef struct Seen {
    GuestFault fault;
    unsigned faults;
    uint64_t fault_pc;
    unsigned syscalls;
} Seen;

static const uint8_t *env_code(Vcpu *cpu, uint64_t pc, size_t *len)
{
    if (pc < CODE || pc >= CODE + 4096)
        return NULL;
    *len = CODE + 4096 - pc;
    return (const uint8_t *)(uintptr_t)pc;
}

static bool env_pending(Vcpu *cpu)
{
    return true;
}

static bool env_fault(Vcpu *cpu, const GuestFault *f)
{
    Seen *s = cpu->env;

    s->fault = *f;
    s->fault_pc = cpu->h.ir.pc;
    s->faults++;
    return false;
}

static IrStop env_syscall(Vcpu *cpu)
{
    uint64_t x8;

    ((Seen *)cpu->env)->syscalls++;
    memcpy(&x8, cpu->h.state + 8 * 8, 8);
    return x8 == 93 ? IR_STOP_EXIT : IR_STOP_NONE;
}

static uint64_t env_counter(Vcpu *cpu, uint64_t frequency)
{
    return 0;
}

static uint64_t env_random(Vcpu *cpu)
{
    return 4;
}

static const EnvOps env = {env_code, env_pending, env_fault, env_syscall, env_counter, env_random, NULL};

typedef struct Result {
    uint64_t x[31];
    Seen seen;
} Result;

static Result run(const EngineConfig *base, const uint32_t *code, size_t bytes)
{
    EngineConfig cfg = *base;
    Status st = {0};
    Result res = {0};
    char err[200];

    memcpy((void *)(uintptr_t)CODE, code, bytes);
    cfg.guest = guest_by_name("arm64");
    void *features = cfg.guest->cpu_new("max", err, sizeof err);
    cfg.features = features;
    cfg.env = &env;
    if (!cfg.jit_limit)
        cfg.jit_limit = UINT64_MAX;
    Engine *e = engine_new(&cfg, &st);
    if (!e) {
        printf("# %s\n", st.text);
        exit(1);
    }
    Vcpu *cpu = vcpu_new(e);
    cpu->env = &res.seen;
    cpu->h.ir.pc = CODE;
    vcpu_attach(cpu);
    vcpu_run(cpu);
    memcpy(res.x, cpu->h.state, sizeof res.x);
    vcpu_detach(cpu);
    vcpu_free(cpu);
    engine_free(e);
    free(features);
    return res;
}

/* x0 = sum of 1..100, with a loop */
static const uint32_t prog_sum[] = {
    0xd2800000, /* mov x0, #0x0 */
    0xd2800c81, /* mov x1, #0x64 */
    0x8b010000, /* add x0, x0, x1 */
    0xf1000421, /* subs x1, x1, #0x1 */
    0x54ffffc1, /* b.ne prog_sum+0x8 */
    0xd2800ba8, /* mov x8, #0x5d */
    0xd4000001, /* svc #0x0 */
};

/* a call, a return, an indirect jump, a system call that goes on */
static const uint32_t prog_call[] = {
    0xd2800060, /* mov x0, #0x3 */
    0x94000007, /* bl f */
    0x94000006, /* bl f */
    0xd2800008, /* mov x8, #0x0 */
    0xd4000001, /* svc #0x0 */
    0x100000a1, /* adr x1, g */
    0xd61f0020, /* br x1 */
    0x00000000, /* udf #0 */
    0x8b000000, /* add x0, x0, x0 */
    0xd65f03c0, /* ret */
    0x91000400, /* add x0, x0, #0x1 */
    0xd2800ba8, /* mov x8, #0x5d */
    0xd4000001, /* svc #0x0 */
};

/* memory: store, load, pair; then a load from an address that is not mapped */
static const uint32_t prog_fault[] = {
    0xd2a20021, /* mov x1, #0x10010000 */
    0xd28acf02, /* mov x2, #0x5678 */
    0xf9000422, /* str x2, [x1, #8] */
    0xf9400423, /* ldr x3, [x1, #8] */
    0xb9400825, /* ldr w5, [x1, #8] */
    0xd2800004, /* mov x4, #0x0 */
    0x91000884, /* add x4, x4, #0x2 */
    0xf9402887, /* ldr x7, [x4, #80] */
    0xd2800004, /* mov x4, #0x0 */
};

/* a tagged pointer, then code that is changed under way */
static const uint32_t prog_tag[] = {
    0xd2a20021, /* mov x1, #0x10010000 */
    0xf2ea0001, /* movk x1, #0x5000, lsl #48 */
    0xd2800542, /* mov x2, #0x2a */
    0xf9000022, /* str x2, [x1] */
    0xf9400020, /* ldr x0, [x1] */
    0xd2800ba8, /* mov x8, #0x5d */
    0xd4000001, /* svc #0x0 */
};

/* writes over the instruction at 1f, which it has run before */
static const uint32_t prog_smc[] = {
    0xd2800000, /* mov x0, #0x0 */
    0xd2800004, /* mov x4, #0x0 */
    0x10000041, /* adr x1, prog_smc+0x10 */
    0x18000062, /* ldr w2, new */
    0x91000400, /* add x0, x0, #0x1 */
    0x14000002, /* b ac new+0x4 */
    0x91004000, /* add x0, x0, #0x10 */
    0xb5000124, /* cbnz x4, d0 new+0x28 */
    0xd2800024, /* mov x4, #0x1 */
    0xb9000022, /* str w2, [x1] */
    0xd50b7b21, /* dc cvau, x1 */
    0xd5033b9f, /* dsb ish */
    0xd50b7521, /* ic ivau, x1 */
    0xd5033b9f, /* dsb ish */
    0xd5033fdf, /* isb */
    0x17fffff3, /* b prog_smc+0x8 */
    0xd2800ba8, /* mov x8, #0x5d */
    0xd4000001, /* svc #0x0 */
};

#define RUN(prog) run(cfg, prog, sizeof prog)

static void run_all(const char *what, const EngineConfig *cfg)
{
    printf("# %s\n", what);
    Result r = RUN(prog_sum);
    TEST("loop", r.x[0] == 5050 && r.seen.syscalls == 1);
    r = RUN(prog_call);
    TEST("calls, indirect jump, system call", r.x[0] == 13 && r.seen.syscalls == 2);
    r = RUN(prog_fault);
    TEST("memory", r.x[3] == 0x5678 && r.x[5] == 0x5678);
    TEST("fault state", r.seen.faults == 1 && r.seen.fault.sig == SIGSEGV && r.seen.fault.code == SEGV_MAPERR &&
                            r.seen.fault.addr == 82 && !r.seen.fault.write && r.seen.fault_pc == CODE + 28 && r.x[4] == 2);
    r = RUN(prog_tag);
    TEST("tagged pointer", r.x[0] == 42 && r.seen.faults == 0);
    r = RUN(prog_smc);
    TEST("changed code", r.x[0] == 17);
}

int main(void)
{
    TEST_BEGIN();
    mmap((void *)(uintptr_t)CODE, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    mmap((void *)(uintptr_t)DATA, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    run_all("interpreter", &(EngineConfig){.kind = ENGINE_INTERP});
    run_all("interpreter, one instruction at a time", &(EngineConfig){.kind = ENGINE_INTERP, .one_insn = true});
    run_all("interpreter, optimised against lifted", &(EngineConfig){.kind = ENGINE_INTERP, .check = true});
    if (getenv("TEST_ENGINE_INTERP_ONLY"))
        return TEST_END();
    run_all("translated", &(EngineConfig){.ret_predict = true});
    run_all("translated, not chained", &(EngineConfig){.no_chain = true});
    run_all("translated and interpreted", &(EngineConfig){.jit_limit = 2});
    run_all("lock step", &(EngineConfig){.check = true});
    return TEST_END();
}
