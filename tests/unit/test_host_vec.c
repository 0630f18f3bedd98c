/*
 * Floating-point, vector and cryptographic operations as compiled, against ir_eval: results and accumulated flags, in every
 * rounding mode, for the host as an AVX2 and as an AVX-512 machine. Prints how many operations have rules of their own: a
 * form without one calls ir_eval on every run, which the wrapped thunk counts.
 */
#include "base/check.h"
#include "host/host.h"
#include "opt/opt.h"

#include "fp_random.h"
#include "test.h"

#include <signal.h>
#include <sys/mman.h>

/* --- counting the calls of ir_eval from translated code -------------------------------------------------------------- */

void __real_x64_eval_thunk(HostCpu *cpu);
void __wrap_x64_eval_thunk(HostCpu *cpu);
static unsigned long evals;

void __wrap_x64_eval_thunk(HostCpu *cpu)
{
    evals++;
    __real_x64_eval_thunk(cpu);
}

/* --- operations that trap ---------------------------------------------------------------------------------------------- */

static HostCpu *trap_cpu;
static volatile unsigned long traps;

static void on_fpe(int sig, siginfo_t *info, void *uc)
{
    traps++;
    if (!trap_cpu->in_code || !host_native.fp_trap(trap_cpu, uc))
        signal(sig, SIG_DFL);
}

static void install_traps(void)
{
    static uint8_t stack[65536];
    struct sigaction sa = {.sa_sigaction = on_fpe, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    stack_t ss = {.ss_sp = stack, .ss_size = sizeof stack};

    sigaltstack(&ss, NULL);
    sigaction(SIGFPE, &sa, NULL);
}

/* --- guest state ------------------------------------------------------------------------------------------------------ */

enum { V0, V1, V2, VR, VK, X0, X1, X2, XR, NSLOTS };

static const IrSlot slot[NSLOTS] = {
    {"v0", IR_V128, 0}, {"v1", IR_V128, 16}, {"v2", IR_V128, 32}, {"vr", IR_V128, 48}, {"vk", IR_V128, 64},
    {"x0", IR_I64, 80}, {"x1", IR_I64, 88}, {"x2", IR_I64, 96}, {"xr", IR_I64, 104},
};
static const IrSlots slots = {slot, NSLOTS, 128};
static const uint16_t pin_int[] = {X1, XR, 0xffff}, pin_vec[] = {V1, VR, 0xffff};

typedef struct Bench {
    const char *cpu_name;
    HostPlan *plan;
    CodeBuf cb;
    uint8_t *free;  /* after the stubs */
    HostCpu *cpu;
    unsigned ops, rules;
    char missing[16384];
    size_t nmissing;
    _Alignas(16) uint64_t shadow[1024]; /* the return stack */
} Bench;

static Arena arena;

/* --- one operation as a region ------------------------------------------------------------------------------------------ */

typedef struct Case {
    IrInsn op;
    uint8_t arg[3]; /* IrType; 0: none */
} Case;

/* How the region around the operation is varied. */
typedef struct Variant {
    bool keep;      /* the operands live on, so that the result cannot take their registers */
    bool same;      /* b is a */
    unsigned clean; /* bit n: scalar float operand n has a register of its own, zero above it */
    bool loose;     /* nobody looks at the underflow flag: it may be missing */
    bool careful;   /* no operation may trap */
} Variant;

static IrRef operand(IrBuilder *b, unsigned n, IrType t, bool clean)
{
    if (t == IR_V128)
        return ir_get(b, V0 + n);
    if (ir_type_is_float(t) && clean) {
        IrType u = t == IR_F64 ? IR_I64 : t == IR_F32 ? IR_I32 : IR_I16;
        return ir_opx(b, IR_BITCAST, t, u, 0, 0, 0, ir_opx(b, IR_VGET, u, u, 0, 0, 0, ir_get(b, V0 + n), 0, 0), 0, 0);
    }
    if (ir_type_is_float(t))
        return ir_opx(b, IR_VGET, t, t, 16 / ir_type_size(t), 0, 0, ir_get(b, V0 + n), 0, 0);
    return ir_trunc(b, t, ir_get(b, X0 + n));
}

static void put_result(IrBuilder *b, IrType t, IrRef v)
{
    if (t == IR_V128)
        ir_put(b, VR, v);
    else if (ir_type_is_float(t))
        ir_put(b, VR, ir_opx(b, IR_VZEXT, IR_V128, t, 16 / ir_type_size(t), 0, 0, v, 0, 0));
    else
        ir_put(b, XR, ir_zext(b, IR_I64, v));
}

static const uint8_t *compile(Bench *h, const Case *c, Variant v)
{
    IrRegion *r = ir_region_new(&arena, &slots, NULL, 0, 0x1000);
    IrBuilder b;
    IrInsn i = c->op;
    IrRef ref[3] = {0};
    HostCode code;
    OptConfig cfg = {.verify = true, .skip = opt_limit_skip(0)};

    r->fp.exact = !v.loose;
    r->fp.careful = v.careful ? IR_FP_CAREFUL_ARITH | IR_FP_CAREFUL_COMPARE : 0;
    ir_builder_init(&b, r);
    ir_emit(&b, (IrInsn){.op = IR_INSN, .imm = 0x1000, .aux = 4});
    for (unsigned n = 0; n < 3 && c->arg[n]; n++)
        ref[n] = operand(&b, v.same && n == 1 && c->arg[0] == c->arg[1] ? 0 : n, (IrType)c->arg[n], v.clean >> n & 1);
    i.a = ref[0];
    i.b = ref[1];
    i.c = ref[2];
    put_result(&b, (IrType)i.type, ir_emit(&b, i));
    if (v.keep)
        for (unsigned n = 0; n < 3 && ref[n]; n++)
            if (c->arg[n] == IR_V128)
                ir_put(&b, n == 0 ? VK : V0 + (n + 1) % 3, ref[n]);
    ir_exit_stop(&b, 0x1004, IR_STOP_CHECK);
    opt_run(r, &cfg);
    h->cb.p = h->free;
    h->cb.overflow = false;
    CHECK(host_native.compile(h->plan, r, &h->cb, &code));
    return code.rw + h->cb.delta;
}

/* --- operands ------------------------------------------------------------------------------------------------------------- */

static uint64_t rnd_int(unsigned bits, uint64_t near)
{
    uint64_t m = low_mask((int)bits), v;

    switch (rnd() % 8) {
    case 0: v = 0; break;
    case 1: v = 1ull << (bits - 1); break;
    case 2: v = (1ull << (bits - 1)) - 1; break;
    case 3: v = ~0ull; break;
    case 4: v = near + rnd() % 3 - 1; break;
    case 5: v = rnd() % 40 - 20; break;
    default: v = rnd() >> rnd() % bits; break;
    }
    return v & m;
}

static FpFmt fmt(IrType t)
{
    return t == IR_F16 ? FP_F16 : t == IR_F32 ? FP_F32 : FP_F64;
}

/* `tame`: no NaN, infinity or extreme exponent, so that fast paths run to the end. */
static uint64_t rnd_float(IrType t, uint64_t near, bool tame)
{
    int fb = fmt_of[fmt(t)].fbits, eb = fmt_of[fmt(t)].ebits;

    if (!tame)
        return rnd_fp(fmt(t), near);
    uint64_t exp = low_mask(eb - 1) + rnd() % 9 - 4;
    return (rnd() & 1) << (eb + fb) | exp << fb | rnd_frac(fb);
}

static uint64_t rnd_value(IrType t, uint64_t near, bool tame)
{
    return ir_type_is_float(t) ? rnd_float(t, near, tame) : rnd_int(8 * ir_type_size(t), near);
}

static IrVal rnd_vector(IrType lane, const IrVal *near, bool tame)
{
    unsigned size = ir_type_size(lane) ? ir_type_size(lane) : 8;
    IrVal v;

    for (unsigned k = 0; k < 16 / size; k++) {
        uint64_t n = 0;
        memcpy(&n, &near->u8[k * size], size);
        uint64_t x = rnd_value(lane ? lane : IR_I64, n, tame);
        memcpy(&v.u8[k * size], &x, size);
    }
    return v;
}

/* The lane type by which operand n of vector operations is made. */
static IrType source_lane(const IrInsn *i, unsigned n)
{
    if (i->op == IR_VITOF)
        return i->lane == IR_F64 ? IR_I64 : i->lane == IR_F32 ? IR_I32 : IR_I16;
    if (n && i->op == IR_FMLAL)
        return IR_F16;
    if (n && (i->op == IR_VTBL || i->op == IR_VTBX || i->op == IR_VDOT || i->op == IR_VMMLA))
        return IR_I8;
    return (IrType)i->lane;
}

static void random_operands(const Case *c, IrVal arg[3], bool tame)
{
    memset(arg, 0, 3 * sizeof *arg);
    for (unsigned n = 0; n < 3 && c->arg[n]; n++) {
        IrType t = (IrType)c->arg[n];
        const IrVal *near = &arg[n ? n - 1 : 0];
        if (t == IR_V128)
            arg[n] = rnd_vector(source_lane(&c->op, n), near, tame);
        else
            arg[n].u64[0] = rnd_value(t, near->u64[0], tame);
    }
}

/* --- one run ---------------------------------------------------------------------------------------------------------------- */

static IrVal state_v(Bench *h, unsigned s)
{
    IrVal v;
    memcpy(&v, h->cpu->state + slot[s].offset, 16);
    return v;
}

static void run(Bench *h, const uint8_t *hpc, const Case *c, const IrVal arg[3], unsigned round, IrVal *out, uint32_t *flags)
{
    HostCpu *cpu = trap_cpu = h->cpu;

    for (unsigned n = 0; n < 3; n++) {
        IrVal v = arg[n];
        uint64_t x = arg[n].u64[0];
        if (c->arg[n] != IR_V128) { /* registers hold anything above a scalar */
            unsigned size = ir_type_size((IrType)c->arg[n]);
            for (unsigned k = size; k < 16; k++)
                v.u8[k] = (uint8_t)rnd();
            if (size < 8)
                x |= rnd() << (8 * size);
        }
        memcpy(cpu->state + slot[V0 + n].offset, &v, 16);
        memcpy(cpu->state + slot[X0 + n].offset, &x, 8);
    }
    cpu->ir.fp = (FpEnv){.round = (uint8_t)round};
    host_native.fp_load(cpu);
    CHECK(host_native.enter(h->plan, cpu, hpc) == IR_STOP_CHECK);
    host_native.fp_store(cpu);
    *flags = cpu->ir.fp.flags;
    memset(out, 0, sizeof *out);
    if (ir_type_is_int((IrType)c->op.type))
        memcpy(out, cpu->state + slot[XR].offset, 8);
    else
        *out = state_v(h, VR);
}

static void describe(const Case *c, char *buf, size_t n)
{
    const IrInsn *i = &c->op;
    snprintf(buf, n, "%s %s lane %s x %u aux %u imm %llu", ir_ops[i->op].name, ir_type_name((IrType)i->type),
             ir_type_name((IrType)i->lane), i->lanes, i->aux, (unsigned long long)i->imm);
}

static int reports;

static void report(Bench *h, const Case *c, const IrVal arg[3], unsigned round, const IrVal *got, const IrVal *want, uint32_t gf,
                   uint32_t wf)
{
    char text[128];

    if (reports++ > 40)
        return;
    describe(c, text, sizeof text);
    printf("# %s: %s round %u\n", h->cpu_name, text, round);
    for (unsigned n = 0; n < 3 && c->arg[n]; n++)
        printf("#   operand %016llx %016llx\n", (unsigned long long)arg[n].u64[1], (unsigned long long)arg[n].u64[0]);
    printf("#   got     %016llx %016llx flags %02x\n#   want    %016llx %016llx flags %02x\n", (unsigned long long)got->u64[1],
           (unsigned long long)got->u64[0], gf, (unsigned long long)want->u64[1], (unsigned long long)want->u64[0], wf);
}

static bool check_runs(Bench *h, const Case *c, Variant v, unsigned long runs)
{
    const uint8_t *hpc = compile(h, c, v);
    bool fp = ir_ops[c->op.op].flags & IRF_FP, ok = true;
    unsigned long trapped = traps;

    for (unsigned long k = 0; k < runs; k++) {
        IrVal arg[3], got, want = {{0}};
        unsigned round = fp ? k & 3 : 0;
        uint32_t flags;
        FpEnv env = {.round = (uint8_t)round};
        random_operands(c, arg, k & 4);
        if (v.same && c->arg[0] == c->arg[1])
            arg[1] = arg[0];
        run(h, hpc, c, arg, round, &got, &flags);
        ir_eval(&c->op, arg, &env, &want);
        if (v.loose && (env.flags & ~flags) == FP_UNDERFLOW)
            flags |= FP_UNDERFLOW;
        if (v.careful && traps != trapped) {
            printf("# a trap in careful code:\n");
            flags = ~0u;
        }
        if (memcmp(&got, &want, 16) || flags != env.flags) {
            report(h, c, arg, round, &got, &want, flags, env.flags);
            ok = false;
            break;
        }
    }
    return ok;
}

static void count_rule(Bench *h, const Case *c, bool rule)
{
    char text[128];

    h->ops++;
    h->rules += rule;
    if (rule)
        return;
    describe(c, text, sizeof text);
    h->nmissing += (size_t)snprintf(h->missing + h->nmissing, sizeof h->missing - h->nmissing, "#   %s\n", text);
    if (h->nmissing > sizeof h->missing - 256)
        h->nmissing = sizeof h->missing - 256;
}

static bool check_case(Bench *h, const Case *c)
{
    unsigned long runs = rnd_count(400), before = evals;
    bool ok = check_runs(h, c, (Variant){0}, runs);

    count_rule(h, c, evals - before < runs);
    ok &= check_runs(h, c, (Variant){.keep = true}, runs / 4);
    ok &= check_runs(h, c, (Variant){.same = true}, runs / 4);
    if (ir_type_is_float((IrType)c->arg[0]))
        for (unsigned m = 1; m < 8; m++)
            ok &= check_runs(h, c, (Variant){.clean = m, .keep = m & 1}, runs / 8);
    if (ir_ops[c->op.op].flags & IRF_FP)
        for (unsigned m = 1; m < 4; m++)
            ok &= check_runs(h, c, (Variant){.loose = m & 1, .careful = m >> 1, .keep = rnd() & 1}, runs);
    arena_reset(&arena);
    return ok;
}

/* --- all forms --------------------------------------------------------------------------------------------------------------- */

static Bench *bench;
static bool all_ok;

static void try(IrOp op, IrType type, IrType lane, unsigned lanes, unsigned aux, uint64_t imm, IrType a, IrType b, IrType c)
{
    Case k = {.op = {.op = (uint16_t)op, .type = type, .lane = lane, .lanes = (uint8_t)lanes, .aux = (uint8_t)aux, .imm = imm},
              .arg = {a, b, c}};
    all_ok &= check_case(bench, &k);
}

static void group(const char *name)
{
    char text[128];
    snprintf(text, sizeof text, "%s: %s", bench->cpu_name, name);
    TEST(text, all_ok);
    all_ok = true;
}

static const IrType floats[] = {IR_F32, IR_F64, IR_F16};
static const IrType ints[] = {IR_I8, IR_I16, IR_I32, IR_I64};

static void scalar_fp(void)
{
    static const IrOp two[] = {IR_FADD, IR_FSUB, IR_FMUL, IR_FDIV, IR_FMULX, IR_FMIN, IR_FMAX, IR_FMINNUM, IR_FMAXNUM,
                               IR_FRECPS, IR_FRSQRTS};
    static const IrOp one[] = {IR_FSQRT, IR_FNEG, IR_FABS, IR_FRECPE, IR_FRSQRTE, IR_FRECPX};

    for (unsigned f = 0; f < 3; f++) {
        IrType t = floats[f];
        for (unsigned k = 0; k < sizeof two / sizeof *two; k++)
            try(two[k], t, 0, 0, 0, 0, t, t, 0);
        for (unsigned k = 0; k < sizeof one / sizeof *one; k++)
            try(one[k], t, 0, 0, 0, 0, t, 0, 0);
        for (unsigned x = 0; x < 4; x++)
            try(IR_FMA, t, 0, 0, x, 0, t, t, t);
        for (unsigned r = 0; r < 8; r++)
            if (r <= FP_RNA || r == FP_RCUR)
                for (unsigned x = 0; x <= IR_EXACT; x += IR_EXACT)
                    try(IR_FRINT, t, 0, 0, r | x, 0, t, 0, 0);
        try(IR_FRINTN, t, 0, 0, FP_RTZ, 32, t, 0, 0);
        try(IR_FRINTN, t, 0, 0, FP_RCUR, 64, t, 0, 0);
    }
    group("scalar arithmetic");
}

static void scalar_conversions(void)
{
    for (unsigned f = 0; f < 3; f++) {
        IrType t = floats[f];
        for (unsigned g = 0; g < 3; g++)
            if (f != g)
                try(IR_FCVT, floats[g], t, 0, FP_RCUR, 0, t, 0, 0);
        for (unsigned w = 2; w < 4; w++)
            for (unsigned s = 0; s <= IR_SIGNED; s += IR_SIGNED) {
                for (unsigned r = 0; r <= FP_RNA; r++)
                    try(IR_FTOI, ints[w], t, 0, r | s, 0, t, 0, 0);
                try(IR_FTOI, ints[w], t, 0, FP_RCUR | s, 0, t, 0, 0);
                try(IR_FTOI, ints[w], t, 0, FP_RTZ | s, 7, t, 0, 0);
                try(IR_ITOF, t, ints[w], 0, s, 0, ints[w], 0, 0);
                try(IR_ITOF, t, ints[w], 0, s, 9, ints[w], 0, 0);
            }
    }
    try(IR_FJCVT, IR_I64, IR_F64, 0, 0, 0, IR_F64, 0, 0);
    try(IR_FCVT, IR_F32, IR_F64, 0, FP_RTO, 0, IR_F64, 0, 0);
    try(IR_BFCVT, IR_I16, IR_F32, 0, 0, 0, IR_F32, 0, 0);
    try(IR_BITCAST, IR_F64, IR_I64, 0, 0, 0, IR_I64, 0, 0);
    try(IR_BITCAST, IR_I64, IR_F64, 0, 0, 0, IR_F64, 0, 0);
    try(IR_BITCAST, IR_F32, IR_I32, 0, 0, 0, IR_I32, 0, 0);
    try(IR_BITCAST, IR_I32, IR_F32, 0, 0, 0, IR_F32, 0, 0);
    try(IR_BITCAST, IR_F16, IR_I16, 0, 0, 0, IR_I16, 0, 0);
    try(IR_BITCAST, IR_I16, IR_F16, 0, 0, 0, IR_F16, 0, 0);
    group("scalar conversions");
}

static void scalar_compare(void)
{
    for (unsigned f = 0; f < 3; f++)
        for (unsigned p = 1; p < 15; p++)
            for (unsigned s = 0; s <= IR_SIGNALLING; s += IR_SIGNALLING)
                try(IR_FCMP, IR_I8, floats[f], 0, p | s, 0, floats[f], floats[f], 0);
    group("scalar comparison");
}

/* Calls fn for both shapes of each lane type. */
static void each_shape(void (*fn)(IrType lane, unsigned lanes), const IrType *types, unsigned n)
{
    for (unsigned k = 0; k < n; k++)
        for (unsigned bytes = 16; bytes >= 8; bytes -= 8)
            fn(types[k], bytes / ir_type_size(types[k]));
}

static void fp_vector(IrType t, unsigned n)
{
    static const IrOp two[] = {IR_FADD, IR_FSUB, IR_FMUL, IR_FDIV, IR_FMULX, IR_FMIN, IR_FMAX, IR_FMINNUM, IR_FMAXNUM,
                               IR_FRECPS, IR_FRSQRTS};
    static const IrOp one[] = {IR_FSQRT, IR_FNEG, IR_FABS, IR_FRECPE, IR_FRSQRTE};

    for (unsigned k = 0; k < sizeof two / sizeof *two; k++)
        try(two[k], IR_V128, t, n, 0, 0, IR_V128, IR_V128, 0);
    for (unsigned k = 0; k < sizeof one / sizeof *one; k++)
        try(one[k], IR_V128, t, n, 0, 0, IR_V128, 0, 0);
    for (unsigned x = 0; x < 4; x++)
        try(IR_FMA, IR_V128, t, n, x, 0, IR_V128, IR_V128, IR_V128);
    for (unsigned x = 0; x < 4 && n > 1; x++)
        try(IR_FCMLA, IR_V128, t, n, x, 0, IR_V128, IR_V128, IR_V128);
    for (unsigned x = 0; x < 2 && n > 1; x++)
        try(IR_FCADD, IR_V128, t, n, x, 0, IR_V128, IR_V128, 0);
    for (unsigned x = 0; x < 4 && t == IR_F32; x++)
        try(IR_FMLAL, IR_V128, t, n, x, 0, IR_V128, IR_V128, IR_V128);
    try(IR_FRINTN, IR_V128, t, n, FP_RTZ, 32, IR_V128, 0, 0);
    try(IR_FRINTN, IR_V128, t, n, FP_RCUR, 64, IR_V128, 0, 0);
    for (unsigned r = 0; r < 8; r++)
        if (r <= FP_RNA || r == FP_RCUR)
            for (unsigned x = 0; x <= IR_EXACT; x += IR_EXACT)
                try(IR_FRINT, IR_V128, t, n, r | x, 0, IR_V128, 0, 0);
    for (unsigned p = 1; p < 15; p++)
        for (unsigned s = 0; s <= IR_SIGNALLING; s += IR_SIGNALLING)
            try(IR_VFCMP, IR_V128, t, n, p | s, 0, IR_V128, IR_V128, 0);
    for (unsigned s = 0; s <= IR_SIGNED; s += IR_SIGNED) {
        for (unsigned r = 0; r <= FP_RNA; r++)
            try(IR_VFTOI, IR_V128, t, n, r | s, 0, IR_V128, 0, 0);
        try(IR_VFTOI, IR_V128, t, n, FP_RTZ | s, 5, IR_V128, 0, 0);
        try(IR_VITOF, IR_V128, t, n, s, 0, IR_V128, 0, 0);
        try(IR_VITOF, IR_V128, t, n, s, 6, IR_V128, 0, 0);
    }
    if (t != IR_F16 && ir_type_size(t) * n == 16)
        try(IR_VFNARROW, IR_V128, t, n, FP_RCUR, 0, IR_V128, 0, 0);
    if (t != IR_F64 && ir_type_size(t) * n == 8)
        for (unsigned h = 0; h < 2; h++)
            try(IR_VFWIDEN, IR_V128, t, n, h, 0, IR_V128, 0, 0);
}

static void int_vector(IrType t, unsigned n)
{
    static const IrOp two[] = {
        IR_ADD, IR_SUB, IR_MUL, IR_MINS, IR_MAXS, IR_MINU, IR_MAXU, IR_AND, IR_OR, IR_XOR, IR_ANDN, IR_ORN, IR_VADDS_SAT,
        IR_VADDU_SAT, IR_VSUBS_SAT, IR_VSUBU_SAT, IR_VADDSU_SAT, IR_VADDUS_SAT, IR_VADDP, IR_VZIP1, IR_VZIP2, IR_VUZP1,
        IR_VUZP2, IR_VTRN1, IR_VTRN2};
    bool perm_ok = n > 1;

    for (unsigned k = 0; k < sizeof two / sizeof *two; k++)
        if (two[k] < IR_VADDP || perm_ok)
            if ((two[k] < IR_VZIP1 || two[k] > IR_VTRN2) || perm_ok)
                try(two[k], IR_V128, t, n, 0, 0, IR_V128, IR_V128, 0);
    try(IR_NOT, IR_V128, t, n, 0, 0, IR_V128, 0, 0);
    try(IR_NEG, IR_V128, t, n, 0, 0, IR_V128, 0, 0);
    try(IR_ABS, IR_V128, t, n, 0, 0, IR_V128, 0, 0);
    try(IR_BSL, IR_V128, t, n, 0, 0, IR_V128, IR_V128, IR_V128);
    try(IR_XOR3, IR_V128, t, n, 0, 0, IR_V128, IR_V128, IR_V128);
    try(IR_BCAX, IR_V128, t, n, 0, 0, IR_V128, IR_V128, IR_V128);
    for (unsigned p = 1; p < 7; p++)
        for (unsigned s = 0; s <= IR_PSIGNED; s += IR_PSIGNED)
            if (!s || (p != IR_EQ && p != (IR_LT | IR_GT)))
                try(IR_VICMP, IR_V128, t, n, p | s, 0, IR_V128, IR_V128, 0);
    for (unsigned s = 0; s <= IR_SIGNED; s += IR_SIGNED) {
        try(IR_VHADD, IR_V128, t, n, s, 0, IR_V128, IR_V128, 0);
        try(IR_VHADD, IR_V128, t, n, s | IR_ROUNDING, 0, IR_V128, IR_V128, 0);
        try(IR_VHSUB, IR_V128, t, n, s, 0, IR_V128, IR_V128, 0);
        try(IR_VABD, IR_V128, t, n, s, 0, IR_V128, IR_V128, 0);
        if (t != IR_I64)
            try(IR_VPADDL, IR_V128, t, n, s, 0, IR_V128, 0, 0);
        try(IR_VMINV, t, t, n, s, 0, IR_V128, 0, 0);
        try(IR_VMAXV, t, t, n, s, 0, IR_V128, 0, 0);
        for (unsigned r = 0; r <= IR_ROUNDING; r += IR_ROUNDING) {
            try(IR_VSHIFT, IR_V128, t, n, s | r, 0, IR_V128, IR_V128, 0);
            try(IR_VSHIFT, IR_V128, t, n, s | r | IR_SAT, 0, IR_V128, IR_V128, 0);
            try(IR_VSHIFT_Q, IR_V128, t, n, s | r | IR_SAT, 0, IR_V128, IR_V128, 0);
        }
    }
    try(IR_VSHIFT, IR_V128, t, n, IR_SIGNED | IR_SATU, 0, IR_V128, IR_V128, 0);
    try(IR_VSHIFT_Q, IR_V128, t, n, IR_SIGNED | IR_SATU, 0, IR_V128, IR_V128, 0);
    try(IR_VSUM, t, t, n, 0, 0, IR_V128, 0, 0);
    if (t != IR_I64) {
        try(IR_CLZ, IR_V128, t, n, 0, 0, IR_V128, 0, 0);
        try(IR_CLS, IR_V128, t, n, 0, 0, IR_V128, 0, 0);
    }
}

static void shifts(IrType t, unsigned n)
{
    unsigned bits = 8 * ir_type_size(t);

    for (unsigned k = 0; k <= bits; k += k < 2 || k + 2 >= bits ? 1 : bits > 16 ? 5 : 2) {
        if (k < bits) {
            try(IR_VSHLI, IR_V128, t, n, 0, k, IR_V128, 0, 0);
            try(IR_VROR, IR_V128, t, n, 0, k, IR_V128, 0, 0);
        }
        try(IR_VSHRI, IR_V128, t, n, 0, k, IR_V128, 0, 0);
        try(IR_VSARI, IR_V128, t, n, 0, k, IR_V128, 0, 0);
    }
}

static void lanes(IrType t, unsigned n)
{
    unsigned size = ir_type_size(t), whole = 16 / size;

    try(IR_VDUP, IR_V128, t, n, 0, 0, t, 0, 0);
    for (unsigned k = 0; k < whole; k++) {
        try(IR_VDUPL, IR_V128, t, n, 0, k, IR_V128, 0, 0);
        if (n == whole) {
            try(IR_VGET, t, t, n, 0, k, IR_V128, 0, 0);
            try(IR_VSET, IR_V128, t, n, 0, k, IR_V128, t, 0);
            for (unsigned j = 0; j < whole; j += 1 + (size == 1))
                try(IR_VSETL, IR_V128, t, n, 0, k | j << 8, IR_V128, IR_V128, 0);
        }
    }
    try(IR_VZEXT, IR_V128, t, n, 0, 0, t, 0, 0);
    for (unsigned g = 16; g <= 64; g *= 2)
        if (g > 8 * size && !ir_type_is_float(t))
            try(IR_VREV, IR_V128, t, n, 0, g, IR_V128, 0, 0);
}

static void widths(IrType t, unsigned n)
{
    unsigned size = ir_type_size(t);

    if (size * n == 16 && size > 1)
        for (unsigned k = IR_NARROW_TRUNC; k <= IR_NARROW_SU; k++)
            try(IR_VNARROW, IR_V128, t, n, k, 0, IR_V128, 0, 0);
    if (size * n == 8 && size < 8)
        for (unsigned h = 0; h < 2; h++) {
            for (unsigned s = 0; s <= IR_SIGNED; s += IR_SIGNED) {
                try(IR_VWIDEN, IR_V128, t, n, h | s, 0, IR_V128, 0, 0);
                try(IR_VMULL, IR_V128, t, n, h | s, 0, IR_V128, IR_V128, 0);
            }
            if (size > 1)
                try(IR_VSATDMULL, IR_V128, t, n, h, 0, IR_V128, IR_V128, 0);
        }
    if (size == 2 || size == 4) {
        try(IR_VSATDMULH, IR_V128, t, n, 0, 0, IR_V128, IR_V128, 0);
        try(IR_VSATDMULH, IR_V128, t, n, IR_ROUNDING, 0, IR_V128, IR_V128, 0);
        for (unsigned x = 0; x < 2; x++) {
            try(IR_VRDMLAH, IR_V128, t, n, x, 0, IR_V128, IR_V128, IR_V128);
            try(IR_VRDMLAH_Q, IR_V128, t, n, x, 0, IR_V128, IR_V128, IR_V128);
        }
    }
}

static void bytes_and_words(IrType t, unsigned n)
{
    if (t == IR_I32) {
        for (unsigned x = 0; x < 4; x++)
            try(IR_VDOT, IR_V128, t, n, x, 0, IR_V128, IR_V128, IR_V128);
        for (unsigned x = 0; x < 4 && n == 4; x++)
            try(IR_VMMLA, IR_V128, t, n, x, 0, IR_V128, IR_V128, IR_V128);
        try(IR_VURECPE, IR_V128, t, n, 0, 0, IR_V128, 0, 0);
        try(IR_VURSQRTE, IR_V128, t, n, 0, 0, IR_V128, 0, 0);
        return;
    }
    for (unsigned k = 0; k < n; k++)
        try(IR_VEXT, IR_V128, t, n, 0, k, IR_V128, IR_V128, 0);
    try(IR_VTBL, IR_V128, t, n, 0, 0, IR_V128, IR_V128, 0);
    try(IR_VTBX, IR_V128, t, n, 0, 0, IR_V128, IR_V128, IR_V128);
    try(IR_POPCNT, IR_V128, t, n, 0, 0, IR_V128, 0, 0);
    try(IR_BITREV, IR_V128, t, n, 0, 0, IR_V128, 0, 0);
    try(IR_VPMUL, IR_V128, t, n, 0, 0, IR_V128, IR_V128, 0);
    for (unsigned h = 0; h < 2 && n == 8; h++)
        try(IR_VPMULL, IR_V128, t, n, h, 0, IR_V128, IR_V128, 0);
}

static void moves(void)
{
    try(IR_VPAIR, IR_V128, 0, 0, 0, 0, IR_I64, IR_I64, 0);
    try(IR_VCONCAT, IR_V128, 0, 0, 0, 0, IR_V128, IR_V128, 0);
    try(IR_VLOW, IR_V128, 0, 0, 0, 0, IR_V128, 0, 0);
    try(IR_VHIGH, IR_V128, 0, 0, 0, 0, IR_V128, 0, 0);
    try(IR_VANY, IR_I8, 0, 0, 0, 0, IR_V128, 0, 0);
    try(IR_VPMULL, IR_V128, IR_I64, 1, 0, 0, IR_V128, IR_V128, 0);
    try(IR_VPMULL, IR_V128, IR_I64, 1, 1, 0, IR_V128, IR_V128, 0);
    static const IrOp logic[] = {IR_AND, IR_OR, IR_XOR, IR_ANDN, IR_ORN};
    for (unsigned k = 0; k < 5; k++)
        try(logic[k], IR_V128, 0, 0, 0, 0, IR_V128, IR_V128, 0);
    try(IR_NOT, IR_V128, 0, 0, 0, 0, IR_V128, 0, 0);
    try(IR_BSL, IR_V128, 0, 0, 0, 0, IR_V128, IR_V128, IR_V128);
    group("moves and logic without lanes");
}

static void crypto(void)
{
    static const IrOp one[] = {IR_AESENC, IR_AESDEC, IR_AESMC, IR_AESIMC};

    for (unsigned k = 0; k < 4; k++)
        for (unsigned x = 0; x < (k < 2 ? 2 : 1); x++)
            try(one[k], IR_V128, 0, 0, x, 0, IR_V128, 0, 0);
    for (unsigned x = 0; x < 3; x++)
        try(IR_SHA1, IR_V128, 0, 0, x, 0, IR_V128, IR_I32, IR_V128);
    for (unsigned x = 0; x < 2; x++) {
        try(IR_SHA1SU, IR_V128, 0, 0, x, 0, IR_V128, IR_V128, IR_V128);
        try(IR_SHA256H, IR_V128, 0, 0, x, 0, IR_V128, IR_V128, IR_V128);
        try(IR_SHA256SU, IR_V128, 0, 0, x, 0, IR_V128, IR_V128, IR_V128);
        try(IR_SHA512H, IR_V128, 0, 0, x, 0, IR_V128, IR_V128, IR_V128);
        try(IR_SHA512SU, IR_V128, 0, 0, x, 0, IR_V128, IR_V128, IR_V128);
        for (unsigned w = 0; w < 4; w++)
            try(IR_CRC32, IR_I32, ints[w], 0, x, 0, IR_I32, ints[w], 0);
    }
    group("cryptography");
}

/* --- the machine ---------------------------------------------------------------------------------------------------------------- */

static bool start(Bench *h, const char *cpu)
{
    size_t size = 1 << 20;
    Status st = {0};
    HostConfig cfg = {.slots = &slots, .pin_int = pin_int, .pin_vec = pin_vec, .pc_shift = 2, .cpu = cpu};

    memset(h, 0, sizeof *h);
    h->cpu_name = cpu;
    h->plan = host_native.plan_new(&cfg, &st);
    if (!h->plan)
        return false;
    uint8_t *mem = mmap(NULL, size, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(mem != MAP_FAILED);
    h->cb = (CodeBuf){.start = mem, .p = mem, .end = mem + size};
    CHECK(host_native.stubs(h->plan, &h->cb));
    h->free = h->cb.p;
    h->cpu = aligned_alloc(64, (sizeof *h->cpu + 63) & ~(size_t)63);
    CHECK(h->cpu);
    memset(h->cpu, 0, sizeof *h->cpu);
    h->cpu->ir.state = h->cpu->state;
    h->cpu->host_mxcsr = 0x1f80;
    host_native.cpu_init(h->plan, h->cpu);
    for (unsigned k = 0; k < 4; k++)
        h->shadow[sizeof h->shadow / 8 - 4 + k] = 1;
    h->cpu->shadow_base = &h->shadow[sizeof h->shadow / 8 - 4];
    h->cpu->shadow_limit = h->shadow;
    bench = h;
    all_ok = true;
    return true;
}

static void all(void)
{
    static const IrType bw[] = {IR_I8, IR_I32};

    scalar_fp();
    scalar_conversions();
    scalar_compare();
    moves();
    each_shape(int_vector, ints, 4);
    group("integer lanes");
    each_shape(shifts, ints, 4);
    group("shifts by immediates");
    each_shape(lanes, ints, 4);
    each_shape(lanes, floats, 3);
    group("lanes");
    each_shape(widths, ints, 4);
    each_shape(bytes_and_words, bw, 2);
    group("widths, products, tables");
    each_shape(fp_vector, floats, 3);
    group("FP vectors");
    crypto();
    printf("# %s: %u of %u forms have a rule; by ir_eval:\n%s", bench->cpu_name, bench->rules, bench->ops, bench->missing);
}

int main(void)
{
    static const char *const cpus[] = {"avx2", "avx512"};
    static Bench h;

    TEST_BEGIN();
    install_traps();
    arena_init(&arena);
    for (unsigned k = 0; k < 2; k++)
        if (start(&h, cpus[k])) {
            all();
            host_native.plan_free(h.plan);
            free(h.cpu);
        }
    return TEST_END();
}
