/*
 * Random guest code through the whole translator, but for running it: decode, lift, verify, optimise (verified after each
 * pass), compile. Nothing of it may fail a check, whatever the words are.
 *
 *     fuzz_translate PATTERNS FIRST COUNT      cases FIRST to FIRST + COUNT - 1
 *
 * PATTERNS: lines "name mask value" (hexadecimal), the encodings of the guest's tables; most words are random ones of them.
 */
#include "fuzz.h"

#include "base/status.h"
#include "engine/internal.h"
#include "opt/opt.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define PC 0x10000
#define NOP 0xd503201f
#define WORDS 112        /* a little more than a region takes */
#define ROOM (512u << 10)

typedef struct Pattern {
    uint32_t mask, value;
} Pattern;

typedef struct Fuzz {
    Pattern *pattern;
    size_t npattern;
    uint32_t code[WORDS];
    size_t len;          /* bytes of code */
    uint64_t regions, insns, bytes;
} Fuzz;

static const uint8_t *env_code(Vcpu *cpu, uint64_t pc, size_t *len)
{
    const Fuzz *f = cpu->env;

    if (pc < PC || pc >= PC + f->len)
        return NULL;
    *len = f->len - (size_t)(pc - PC);
    return (const uint8_t *)f->code + (pc - PC);
}

static const EnvOps env_ops = {.code = env_code};

static bool read_patterns(Fuzz *f, const char *path)
{
    FILE *in = fopen(path, "r");
    char line[256];
    Pattern p;

    if (!in)
        return false;
    while (fgets(line, sizeof line, in)) {
        if (sscanf(line, "%*s %" SCNx32 " %" SCNx32, &p.mask, &p.value) != 2)
            continue;
        f->pattern = realloc(f->pattern, (f->npattern + 1) * sizeof p);
        if (!f->pattern)
            abort();
        f->pattern[f->npattern++] = p;
    }
    fclose(in);
    return f->npattern > 0;
}

static uint32_t random_word(const Fuzz *f)
{
    const Pattern *p = &f->pattern[fuzz_below((uint32_t)f->npattern)];
    uint32_t w = (uint32_t)fuzz_next();

    if (fuzz_one_in(16))
        return w;
    if (fuzz_one_in(4)) /* few registers, small immediates: operations meet each other's results */
        w &= (uint32_t)fuzz_next() & (uint32_t)fuzz_next();
    w = (w & ~p->mask) | p->value;
    return fuzz_one_in(64) ? w ^ 1u << fuzz_below(32) : w;
}

/* Whether a region goes on after this word. */
static bool goes_on(Vcpu *cpu, Fuzz *f, uint32_t word)
{
    f->code[0] = word;
    f->code[1] = NOP;
    f->len = 8;
    const IrRegion *r = translate_form(cpu, PC, 2, NULL);
    return r && r->guest_insns == 2;
}

/* Branches, system and undefined instructions end regions: half of the cases have next to none, and are long. */
static void random_code(Vcpu *cpu, Fuzz *f)
{
    uint32_t n = 1 + fuzz_below(fuzz_one_in(2) ? 8 : WORDS), palette[12];
    bool few = fuzz_one_in(2);

    for (unsigned i = 0; i < 12; i++) {
        unsigned tries = few ? 20 : 0;
        do
            palette[i] = random_word(f);
        while (tries-- && !goes_on(cpu, f, palette[i]));
    }
    for (uint32_t i = 0; i < n; i++) {
        f->code[i] = few ? palette[fuzz_below(12)] : random_word(f);
        if (few)
            f->code[i] ^= (uint32_t)fuzz_next() & 0x000003de; /* other registers */
    }
    f->len = 4 * n - (fuzz_one_in(32) ? fuzz_below(4) : 0);
}

static bool fail(const char *what, const char *why, const IrRegion *r)
{
    printf("# case %" PRIu64 ": %s: %s\n", fuzz_case, what, why);
    if (r)
        ir_print(stdout, r);
    return false;
}

static uint64_t no_slots(void *ctx, uint64_t pc)
{
    return fuzz_next() & fuzz_next();
}

static bool compile(Vcpu *cpu, Fuzz *f, const IrRegion *r)
{
    Engine *e = cpu->e;
    HostCode code;
    CodeBuf cb;

    if (!cache_buf(cpu, ROOM, &cb))
        return fail("compile", "no room in the cache", NULL);
    if (fuzz_one_in(16)) /* too little room is said, not overrun */
        cb.end = cb.start + fuzz_below(256);
    if (!e->host->compile(e->plan, r, &cb, &code))
        return cb.end != cb.start + ROOM && cb.end - cb.start < 256 ? true : fail("compile", "does not fit", r);
    f->bytes += code.size;
    return cb.p <= cb.end || fail("compile", "ran over the end", r);
}

static bool one(Vcpu *cpu, Fuzz *f)
{
    OptConfig cfg = {.verify = true};
    char err[256];

    cpu->h.ir.mode = fuzz_below(4);
    random_code(cpu, f);
    IrRegion *r = translate_form(cpu, PC, 1 + fuzz_below(96), NULL);
    if (!r)
        return f->len < 4 || fail("lift", "no region", NULL);
    if (!ir_verify(r, true, err, sizeof err))
        return fail("lift", err, r);
    f->regions++;
    f->insns += r->guest_insns;
    if (fuzz_one_in(4))
        cfg.skip = (uint32_t)fuzz_next();
    if (fuzz_one_in(4))
        cfg.dead = no_slots;
    if (fuzz_one_in(8))
        free(ir_pack(r));
    opt_run(r, &cfg);
    if (!ir_verify(r, true, err, sizeof err))
        return fail("optimise", err, r);
    return compile(cpu, f, r);
}

/* One kind of guest and host processor. */
static bool run(Fuzz *f, const char *features, const char *host_cpu, uint64_t first, uint64_t count)
{
    char err[256];
    Status st = {0};
    EngineConfig cfg = {.guest = guest_by_name("aarch64"), .env = &env_ops, .jit_limit = UINT64_MAX, .host_cpu = host_cpu,
                        .ret_predict = true, .cache_bytes = 4 << 20};
    void *has = cfg.guest->cpu_new(features, err, sizeof err);
    cfg.features = has;
    Engine *e = has ? engine_new(&cfg, &st) : NULL;
    bool ok = e || fail("engine", st.text, NULL);

    if (e) {
        Vcpu *cpu = vcpu_new(e);
        cpu->env = f;
        vcpu_attach(cpu);
        for (uint64_t k = first; ok && k < first + count; k++) {
            fuzz_start(k);
            ok = one(cpu, f);
        }
        vcpu_detach(cpu);
        vcpu_free(cpu);
        engine_free(e);
    }
    free(has);
    return ok;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *features, *host_cpu;
    } kinds[] = {{"max", NULL}, {"max", "avx2"}, {"base", NULL}};
    Fuzz f = {0};

    if (argc != 4 || !read_patterns(&f, argv[1])) {
        fprintf(stderr, "usage: fuzz_translate PATTERNS FIRST COUNT\n");
        return 2;
    }
    uint64_t first = strtoull(argv[2], NULL, 0), count = strtoull(argv[3], NULL, 0);
    if (getenv("LONG"))
        count *= 50;
    fuzz_init();
    printf("1..3\n");
    bool all = true;
    for (unsigned i = 0; i < 3; i++) {
        uint64_t regions = f.regions, insns = f.insns;
        bool ok = run(&f, kinds[i].features, kinds[i].host_cpu, first + i * count, count);
        printf("%sok %u - guest %s, host %s: %" PRIu64 " regions of %" PRIu64 " instructions\n", ok ? "" : "not ", i + 1,
               kinds[i].features, kinds[i].host_cpu ? kinds[i].host_cpu : "native", f.regions - regions, f.insns - insns);
        fflush(stdout);
        all &= ok;
    }
    free(f.pattern);
    return !all;
}
