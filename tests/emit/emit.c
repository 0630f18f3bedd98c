/*
 * The host instructions that guest snippets become, and how many: a change in code quality shows in review.
 *
 *   emit FILE           compare with FILE
 *   UPDATE=1 emit FILE  write it anew
 *
 * FILE is a list of cases: a line `case NAME`, a line of instruction words in hexadecimal, then what is generated: the guest
 * instructions behind `;`, the host instructions by offset, and a line of counts.
 */
#include "guest/guest.h"
#include "host/host.h"
#include "opt/opt.h"

#include <stdlib.h>
#include <string.h>

enum { PC = 0x10000, MAX_WORDS = 64, CODE_SIZE = 1 << 18 };

typedef struct Case {
    char name[64];
    uint32_t word[MAX_WORDS];
    unsigned nwords;
} Case;

static uint8_t code_buf[CODE_SIZE] __attribute__((aligned(4096)));
static const Guest *guest;
static const void *features;
static HostPlan *plan;
static CodeBuf cb;
static Arena arena;
static const Case *current;

static uint64_t dead(void *ctx, uint64_t pc)
{
    uint64_t at = pc - PC;
    if (at >= 4 * current->nwords)
        return 0;
    return guest->dead_slots((const uint8_t *)current->word + at, 4 * current->nwords - at);
}

static uint64_t read_flags(void *ctx, uint64_t pc)
{
    uint64_t at = pc - PC;
    if (at >= 4 * current->nwords)
        return 0;
    return guest->read_flags((const uint8_t *)current->word + at, 4 * current->nwords - at);
}

static IrRegion *form(const Case *c)
{
    IrRegion *r = ir_region_new(&arena, &guest->slots, guest->helpers, guest->nhelpers, PC);
    Lift l = {.guest = guest, .cpu_features = features};
    uint64_t pc = PC;

    ir_builder_init(&l.b, r);
    while (!l.ended && pc - PC < 4 * c->nwords) {
        l.pc = pc;
        l.cont = l.next = pc + 4;
        guest->lift(&l, (const uint8_t *)c->word + (pc - PC), 4 * c->nwords - (pc - PC));
        pc = l.cont;
    }
    if (!l.ended)
        ir_exit(&l.b, pc, 0);
    return r;
}

static const HostReloc *reloc_in(const HostCode *code, uint32_t at, unsigned n)
{
    for (uint32_t k = 0; k < code->nreloc; k++)
        if (code->reloc[k].offset >= at && code->reloc[k].offset < at + n)
            return &code->reloc[k];
    return NULL;
}

static void print_host(FILE *f, const HostCode *code)
{
    char text[128];
    unsigned count = 0;

    for (uint32_t at = 0; at < code->size;) {
        const uint8_t *p = code->rw + at;
        unsigned n = host_native.disas(p, at, text, sizeof text);
        const HostReloc *rel = reloc_in(code, at, n);
        if (*p == 0xcc) { /* padding */
            at++;
            continue;
        }
        if (rel)
            fprintf(f, "  %04x  %.*s stub%u\n", at, (int)strcspn(text, " "), text, rel->stub);
        else
            fprintf(f, "  %04x  %s\n", at, text);
        count++;
        at += n;
    }
    fprintf(f, "  %u instructions, %u bytes, side table %u\n", count, code->size, code->side_len);
}

static void print_case(FILE *f, const Case *c)
{
    OptConfig cfg = {.dead = dead, .read = read_flags};
    HostCode code;
    char text[128];

    current = c;
    arena_reset(&arena);
    cb.p = code_buf + CODE_SIZE / 2;
    IrRegion *r = form(c);
    opt_run(r, &cfg);
    fprintf(f, "case %s\n", c->name);
    for (unsigned k = 0; k < c->nwords; k++)
        fprintf(f, "%s%08x", k ? " " : "", c->word[k]);
    fprintf(f, "\n");
    for (unsigned k = 0; k < c->nwords; k++) {
        guest->disas(PC + 4 * k, (const uint8_t *)&c->word[k], 4, text, sizeof text);
        fprintf(f, "; %s\n", text);
    }
    if (!host_native.compile(plan, r, &cb, &code))
        fprintf(f, "  does not compile\n");
    else
        print_host(f, &code);
    fprintf(f, "\n");
}

static char *read_file(const char *path)
{
    FILE *f = fopen(path, "r");
    char *s = calloc(1, 1 << 20);
    if (f) {
        s[fread(s, 1, (1 << 20) - 1, f)] = 0;
        fclose(f);
    }
    return s;
}

static bool parse_case(const char **p, Case *c)
{
    const char *at = strstr(*p, "\ncase ");
    int n = 0;
    if (!at)
        return false;
    memset(c, 0, sizeof *c);
    sscanf(at, "\ncase %63[^\n]\n%n", c->name, &n);
    for (at += n; c->nwords < MAX_WORDS && *at != '\n' && sscanf(at, "%8x%n", &c->word[c->nwords], &n) == 1; at += n)
        c->nwords++;
    *p = at;
    return true;
}

static void setup(void)
{
    char err[256];
    Status st = {0};
    guest = guest_by_name("aarch64");
    features = guest->cpu_new("max", err, sizeof err);
    HostConfig cfg = {.slots = &guest->slots, .pin_int = guest->pin_int, .pin_vec = guest->pin_vec, .flags = guest->flag_slot, .pc_shift = guest->pc_shift,
                      .helpers = guest->helpers, .nhelpers = guest->nhelpers, .cpu = "avx2", .ret_predict = true};
    arena_init(&arena);
    plan = host_native.plan_new(&cfg, &st);
    cb = (CodeBuf){.start = code_buf, .p = code_buf, .end = code_buf + CODE_SIZE};
    if (!plan || !features || !host_native.stubs(plan, &cb)) {
        fprintf(stderr, "%s\n", st.text);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    char *old = read_file(argv[1]), *now = NULL;
    const char *p = old;
    size_t len = 0;
    Case c;
    setup();
    FILE *f = open_memstream(&now, &len);
    fprintf(f, "%.*s", (int)(strstr(old, "\ncase ") ? strstr(old, "\ncase ") + 1 - old : 0), old); /* the comment at the top */
    while (parse_case(&p, &c))
        print_case(f, &c);
    fclose(f);
    bool same = !strcmp(old, now);
    if (!same && getenv("UPDATE")) {
        f = fopen(argv[1], "w");
        fputs(now, f);
        fclose(f);
        same = true;
    }
    printf("%sok 1 - %s\n1..1\n", same ? "" : "not ", argv[1]);
    if (!same)
        printf("# UPDATE=1 writes the new form; review the difference\n");
    free(now);
    free(old);
    return !same;
}
