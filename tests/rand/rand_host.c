/*
 * Runs the same cases as rand_guest.c, but in a process of the host: the engine with nothing around it, so that a difference
 * is the fault of decoder, lifter, optimiser or backend, and sanitizers see all of it.
 *
 *   rand_host [--interp] [--check] [--one-insn] [--no-chain] [--host-cpu=NAME] [--opt=-PASS,...] IGNORED CASES OUT
 *             [FIRST [COUNT]]
 */
#include "engine/engine.h"
#include "guest/aarch64/state.h"
#include "rand_state.h"

#include <sys/mman.h>

static RandState *now;       /* state being filled */
static int running;          /* slot */
static bool stopped_by_case; /* a signal, not the end of the case */

static const uint8_t *env_code(Vcpu *cpu, uint64_t pc, size_t *len)
{
    if (pc - RAND_AREA >= RAND_AREA_SIZE)
        return NULL;
    *len = RAND_AREA + RAND_AREA_SIZE - pc;
    return (const uint8_t *)pc;
}

static bool env_pending(Vcpu *cpu)
{
    return true;
}

static bool env_fault(Vcpu *cpu, const GuestFault *f)
{
    uint64_t pc = cpu->h.ir.pc;

    stopped_by_case = pc != RAND_EXIT;
    now->sig = stopped_by_case ? (uint32_t)f->sig : 0;
    now->pc = stopped_by_case ? pc - (uint64_t)slot_code(running) : 0;
    return false;
}

static IrStop env_syscall(Vcpu *cpu)
{
    return IR_STOP_EXIT;
}

static uint64_t env_number(Vcpu *cpu, uint64_t frequency)
{
    return 0;
}

static uint64_t env_random(Vcpu *cpu)
{
    return 0;
}

static const EnvOps env = {.code = env_code, .pending = env_pending, .fault = env_fault, .syscall = env_syscall,
                           .counter = env_number, .random = env_random};

static void load_state(Vcpu *cpu, const RandState *st, uint64_t x30)
{
    IrCpu *ir = &cpu->h.ir;
    A64State *a = a64_state(ir);

    memcpy(a->x, st->x, sizeof a->x);
    a->x[30] = x30;
    a->sp = st->sp;
    memcpy(a->q, st->v, sizeof st->v);
    a->n = st->nzcv >> 31 & 1;
    a->z = st->nzcv >> 30 & 1;
    a->c = st->nzcv >> 29 & 1;
    a->v = st->nzcv >> 28 & 1;
    a->btype = 0;
    a->excl_addr = A64_NO_EXCL;
    vcpu_fp_sync(cpu);
    a64_set_fpcr(ir, st->fpcr);
    a64_set_fpsr(ir, st->fpsr);
    vcpu_fp_changed(cpu);
}

static void store_state(Vcpu *cpu, RandState *st)
{
    IrCpu *ir = &cpu->h.ir;
    A64State *a = a64_state(ir);

    vcpu_fp_sync(cpu);
    memcpy(st->x, a->x, sizeof a->x);
    st->sp = a->sp;
    memcpy(st->v, a->q, sizeof st->v);
    st->nzcv = (uint32_t)a->n << 31 | (uint32_t)a->z << 30 | (uint32_t)a->c << 29 | (uint32_t)a->v << 28;
    st->fpcr = (uint32_t)a->fpcr;
    st->fpsr = (uint32_t)a64_get_fpsr(ir);
    st->mem = digest();
}

static void run_case(Vcpu *cpu, int slot, const RandCase *c, RandState *out)
{
    uint64_t s = c->seed ^ 0x30;

    fill_state(c, out);
    now = out;
    running = slot;
    load_state(cpu, out, rnd_int(&s));
    cpu->h.ir.pc = (uint64_t)slot_code(slot);
    vcpu_run(cpu);
    store_state(cpu, out);
}

static void run_batch(Vcpu *cpu, const RandCase *c, size_t first, size_t n, int fd)
{
    static RandState out[RAND_BATCH];

    for (size_t i = 0; i < n; i++)
        write_slot((int)((first + i) % RAND_BATCH), &c[first + i]);
    engine_invalidate(cpu->e, RAND_AREA, RAND_AREA_SIZE);
    for (size_t i = 0; i < n; i++)
        run_case(cpu, (int)((first + i) % RAND_BATCH), &c[first + i], &out[i]);
    put(fd, out, sizeof out[0] * n);
}

static void map_areas(void)
{
    void *a = mmap((void *)RAND_AREA, RAND_AREA_SIZE, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    void *m = mmap((void *)(RAND_MEM - RAND_MEM_HALF), 2 * RAND_MEM_HALF, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

    if (a != (void *)RAND_AREA || m != (void *)(RAND_MEM - RAND_MEM_HALF)) {
        fprintf(stderr, "rand_host: cannot map its areas\n");
        exit(3);
    }
    *(uint32_t *)RAND_EXIT = 0xd4200000; /* brk #0 */
}

static Vcpu *make_vcpu(EngineConfig *cfg)
{
    char err[128] = "";
    Status st = {0};

    cfg->guest = guest_by_name("aarch64");
    cfg->features = cfg->guest->cpu_new("max", err, sizeof err);
    cfg->env = &env;
    cfg->jit_limit = UINT64_MAX;
    Engine *e = cfg->features ? engine_new(cfg, &st) : NULL;
    if (!e) {
        fprintf(stderr, "rand_host: no engine: %s\n", err);
        exit(3);
    }
    Vcpu *cpu = vcpu_new(e);
    vcpu_attach(cpu);
    return cpu;
}

int main(int argc, char **argv)
{
    EngineConfig cfg = {.kind = ENGINE_JIT, .ret_predict = true};
    size_t n;

    for (; argc > 1 && strncmp(argv[1], "--", 2) == 0; argc--, argv++) {
        if (strcmp(argv[1], "--interp") == 0)
            cfg.kind = ENGINE_INTERP;
        cfg.check |= strcmp(argv[1], "--check") == 0;
        cfg.one_insn |= strcmp(argv[1], "--one-insn") == 0;
        cfg.no_chain |= strcmp(argv[1], "--no-chain") == 0;
        if (strncmp(argv[1], "--host-cpu=", 11) == 0)
            cfg.host_cpu = argv[1] + 11;
        if (strncmp(argv[1], "--opt=", 6) == 0)
            cfg.opt = argv[1] + 6;
    }
    if (argc < 4) {
        fprintf(stderr, "usage: rand_host [OPTION...] IGNORED CASES OUT [FIRST [COUNT]]\n");
        return 2;
    }
    map_areas();
    Vcpu *cpu = make_vcpu(&cfg);
    RandCase *c = read_cases(argv[2], &n);
    int fd = open(argv[3], O_WRONLY | O_CREAT | O_TRUNC, 0666);
    size_t first = argc > 4 ? strtoul(argv[4], NULL, 0) : 0, step = argc > 4 ? 1 : RAND_BATCH;
    if (argc > 5 && first + strtoul(argv[5], NULL, 0) < n)
        n = first + strtoul(argv[5], NULL, 0);
    for (size_t i = first; i < n; i += step)
        run_batch(cpu, c, i, n - i < step ? n - i : step, fd);
    return 0;
}
