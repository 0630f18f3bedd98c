/*
 * dragoman dev: what becomes of a few instructions, or of a file of IR, at each stage.
 *
 *   dragoman dev decode 91000420            disassembly
 *   dragoman dev lift   91000420 d65f03c0   IR as lifted
 *   dragoman dev opt    91000420            IR after each pass
 *   dragoman dev compile FILE               host instructions
 *   dragoman dev run    FILE                run, and show the registers
 *
 * FILE holds hexadecimal words, or IR in its text form (see ir/print.c).
 */
#include "cmd/cmd.h"
#include "cmd/options.h"

#include "base/log.h"
#include "engine/internal.h"
#include "opt/opt.h"

#include <stdlib.h>
#include <string.h>

#define DEV_PC 0x10000
#define DEV_MAX 4096

typedef enum Stage { STAGE_DECODE, STAGE_LIFT, STAGE_OPT, STAGE_COMPILE, STAGE_RUN } Stage;

static const char *const stage_names[] = {"decode", "lift", "opt", "compile", "run"};

/* The input: guest code, or a region of IR. */
typedef struct Dev {
    Stage stage;
    Options opt;
    uint8_t code[DEV_MAX];
    size_t len;
    char *ir; /* text */
} Dev;

/* --- the environment: the words are at DEV_PC, and the world ends where they do --- */

static const uint8_t *dev_code(Vcpu *cpu, uint64_t pc, size_t *len)
{
    const Dev *d = cpu->env;

    if (pc < DEV_PC || pc >= DEV_PC + d->len)
        return NULL;
    *len = d->len - (size_t)(pc - DEV_PC);
    return d->code + (pc - DEV_PC);
}

static bool dev_pending(Vcpu *cpu)
{
    return true;
}

static bool dev_fault(Vcpu *cpu, const GuestFault *f)
{
    if (cpu->h.ir.pc != DEV_PC + ((Dev *)cpu->env)->len)
        printf("signal %d, code %d, address 0x%llx\n", f->sig, f->code, (unsigned long long)f->addr);
    return false;
}

static IrStop dev_syscall(Vcpu *cpu)
{
    printf("system call\n");
    return IR_STOP_EXIT;
}

static uint64_t dev_counter(Vcpu *cpu, uint64_t frequency)
{
    return 0;
}

static uint64_t dev_random(Vcpu *cpu)
{
    return 0;
}

static const EnvOps dev_env = {dev_code, dev_pending, dev_fault, dev_syscall, dev_counter, dev_random, NULL};

/* --- input --- */

static bool add_word(Dev *d, const char *word, Status *st)
{
    char *end;
    unsigned long v = strtoul(word, &end, 16);

    if (end == word || *end || v > UINT32_MAX)
        return status_set(st, STATUS_USAGE, "'%s' is neither a file nor a hexadecimal word", word);
    if (d->len + 4 > sizeof d->code)
        return status_set(st, STATUS_USAGE, "too many words");
    for (unsigned k = 0; k < 4; k++)
        d->code[d->len++] = (uint8_t)(v >> (8 * k));
    return true;
}

static bool add_file(Dev *d, const char *name, FILE *f, Status *st)
{
    char *text = calloc(1, 1 << 20), *save;

    if (!text)
        return status_set(st, STATUS_HOST, "out of memory");
    size_t got = fread(text, 1, (1 << 20) - 1, f);
    if (got == 0) {
        free(text);
        return status_set(st, STATUS_USAGE, "'%s' cannot be read or is empty", name);
    }
    if (strstr(text, "block0:")) {
        d->ir = text;
        return true;
    }
    bool ok = true;
    for (char *w = strtok_r(text, " \t\n,", &save); w && ok; w = strtok_r(NULL, " \t\n,", &save))
        ok = add_word(d, w, st);
    free(text);
    return ok;
}

static bool add_input(Dev *d, const char *arg, Status *st)
{
    FILE *f = fopen(arg, "r");

    if (!f)
        return add_word(d, arg, st);
    bool ok = add_file(d, arg, f, st);
    fclose(f);
    return ok;
}

/* --- stages --- */

static void show_registers(Vcpu *cpu)
{
    vcpu_fp_sync(cpu);
    cpu->e->cfg.guest->dump(stdout, &cpu->h.ir);
}

/* Guest words: the engine's own log shows every stage. */
static bool dev_words(Dev *d, Engine *e, Vcpu *cpu, Status *st)
{
    static const char *const logs[] = {"in:/dev/stdout", "in,ir:/dev/stdout", "opt:/dev/stdout", "asm:/dev/stdout"};

    cpu->h.ir.pc = DEV_PC;
    if (d->stage == STAGE_RUN) {
        vcpu_run(cpu);
        show_registers(cpu);
        return true;
    }
    if (!log_setup(logs[d->stage], false, st))
        return false;
    for (uint64_t pc = DEV_PC; pc < DEV_PC + d->len;) {
        Translated why;
        const Translation *t = translate_get(cpu, pc, &why);
        pc += t ? t->guest_insns * e->cfg.guest->min_insn : d->len;
    }
    return true;
}

/* A region of IR. */
static bool dev_ir(Dev *d, Engine *e, Vcpu *cpu, Status *st)
{
    const Guest *g = e->cfg.guest;
    OptConfig cfg = {.skip = e->opt_skip, .verify = true};
    char err[200];
    IrRegion *r = ir_parse(&cpu->arena, d->ir, &g->slots, g->helpers, g->nhelpers, err, sizeof err);

    if (!r)
        return status_set(st, STATUS_USAGE, "%s", err);
    if (d->stage >= STAGE_OPT)
        opt_run(r, &cfg);
    if (d->stage == STAGE_RUN) {
        ir_interp(r, &cpu->h.ir, &cpu->interp_arena);
        show_registers(cpu);
    } else if (d->stage == STAGE_COMPILE) {
        CodeBuf cb;
        HostCode code;
        char text[160];
        if (!e->plan || !cache_buf(cpu, 64 << 10, &cb) || !e->host->compile(e->plan, r, &cb, &code))
            return status_set(st, STATUS_HOST, "the region does not fit");
        for (uint32_t at = 0, n; at < code.size; at += n ? n : 1) {
            n = e->host->disas(code.rw + at + cb.delta, at, text, sizeof text);
            printf("%6x  %s\n", at, text);
        }
    } else {
        ir_print(stdout, r);
    }
    return true;
}

static bool dev_engine(Dev *d, Status *st)
{
    EngineConfig *cfg = &d->opt.user.engine;
    char err[200] = "";

    cfg->guest = guest_by_name("aarch64");
    cfg->env = &dev_env;
    if (d->stage == STAGE_LIFT)
        cfg->opt = "-online"; /* what lifters say, all of it */
    void *features = cfg->guest->cpu_new(d->opt.cpu ? d->opt.cpu : "max", err, sizeof err);
    if (!features)
        return status_set(st, STATUS_USAGE, "--cpu: %s", err);
    cfg->features = features;
    Engine *e = engine_new(cfg, st);
    if (e) {
        Vcpu *cpu = vcpu_new(e);
        cpu->env = d;
        vcpu_attach(cpu);
        if (d->ir)
            dev_ir(d, e, cpu, st);
        else
            dev_words(d, e, cpu, st);
        vcpu_detach(cpu);
        vcpu_free(cpu);
        engine_free(e);
    }
    free(features);
    return st->code == STATUS_OK;
}

static bool parse(Dev *d, int argc, char **argv, Status *st)
{
    unsigned n = sizeof stage_names / sizeof stage_names[0], k = 0;

    while (argc > 1 && k < n && strcmp(argv[1], stage_names[k]))
        k++;
    if (argc < 2 || k == n)
        return status_set(st, STATUS_USAGE, "usage: dragoman dev decode|lift|opt|compile|run [OPTION...] WORD...|FILE");
    d->stage = (Stage)k;
    int first = options_parse(&d->opt, argc - 1, argv + 1, st);
    if (first < 0)
        return false;
    if (first >= argc - 1)
        return status_set(st, STATUS_USAGE, "no instruction words given");
    for (int i = first + 1; i < argc; i++) {
        if (!add_input(d, argv[i], st))
            return false;
    }
    return true;
}

int cmd_dev(int argc, char **argv)
{
    Status st = {0};
    Dev *d = calloc(1, sizeof *d);

    if (!d)
        return EXIT_HOST;
    options_init(&d->opt);
    bool ok = parse(d, argc, argv, &st) && dev_engine(d, &st);
    fflush(stdout);
    options_done(&d->opt);
    free(d->ir);
    free(d);
    return ok ? 0 : cmd_fail(&st);
}
