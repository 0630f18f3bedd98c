/*
 * Before and after: each file given on the command line holds cases
 *
 *   === name [passes]
 *   region text
 *   ---
 *   the region as the passes leave it
 *
 * `passes` is a list such as `slots,fold`; without it all run. Beyond comparing texts, every case is executed by the
 * interpreter on random states, before and after. With UPDATE=1 in the environment the expected texts are rewritten.
 * Cases whose list contains `dead=MASK` treat the slots of that mask as dead at the exit to 0xdead.
 */
#include "../unit/test.h"
#include "opt/opt.h"
#include "support.h"

typedef struct Case {
    char name[64], passes[128];
    char *before, *after;
} Case;

static uint64_t dead_at(void *ctx, uint64_t pc)
{
    return pc == 0xdead ? *(uint64_t *)ctx : 0;
}

/* Leave out the passes that the list does not name. */
static void configure(const Case *c, OptConfig *cfg, uint64_t *dead)
{
    const char *d = strstr(c->passes, "dead=");
    char list[140];

    *cfg = (OptConfig){.verify = true};
    *dead = d ? strtoull(d + 5, NULL, 0) : 0;
    if (d) {
        cfg->dead = dead_at;
        cfg->dead_ctx = dead;
    }
    if (c->passes[0] == 0 || d == c->passes)
        return;
    snprintf(list, sizeof list, ",%s,", c->passes);
    for (unsigned k = 0; opt_pass_name(k); k++) {
        char name[40];
        snprintf(name, sizeof name, ",%s,", opt_pass_name(k));
        if (!strstr(list, name))
            cfg->skip |= 1u << k;
    }
}

static bool run_case(Case *c, bool update)
{
    Arena a;
    char err[200];
    OptConfig cfg;
    uint64_t dead;
    bool ok = true;

    arena_init(&a);
    configure(c, &cfg, &dead);
    IrRegion *before = ir_parse(&a, c->before, &test_slots, test_helpers, TEST_NHELPERS, err, sizeof err);
    IrRegion *r = ir_parse(&a, c->before, &test_slots, test_helpers, TEST_NHELPERS, err, sizeof err);
    if (!r || !ir_verify(r, !r->graph, err, sizeof err)) {
        printf("# %s: %s\n", c->name, err);
        arena_done(&a);
        return false;
    }
    opt_run(r, &cfg);
    char *text = test_print(r);
    if (strcmp(text, c->after) != 0) {
        if (update) {
            free(c->after);
            c->after = strdup(text);
        } else {
            printf("# %s became:\n%s# expected:\n%s", c->name, text, c->after);
            ok = false;
        }
    }
    for (uint64_t k = 1; k <= 300; k++)
        ok = ok && test_same_run(before, r, dead, k * 0x9e3779b97f4a7c15ull);
    free(text);
    arena_done(&a);
    return ok;
}

static char *cut(const char *from, const char *to)
{
    return strndup(from, (size_t)(to - from));
}

/* Split a file into cases; returns how many. */
static unsigned split(const char *text, Case *cases, unsigned max)
{
    unsigned n = 0;

    for (const char *p = strstr(text, "=== "); p && n < max; n++) {
        Case *c = &cases[n];
        memset(c, 0, sizeof *c);
        const char *body = strchr(p, '\n');
        char *line = cut(p + 4, body ? body : p + strlen(p));
        sscanf(line, "%63s %127s", c->name, c->passes);
        free(line);
        body = body ? body + 1 : p + strlen(p);
        const char *next = strstr(body, "\n=== "), *end = next ? next + 1 : body + strlen(body);
        const char *mid = strstr(body, "\n---\n");
        if (!mid || mid > end) {
            c->before = cut(body, end);
            c->after = strdup("");
        } else {
            c->before = cut(body, mid + 1);
            c->after = cut(mid + 5, end);
        }
        p = next ? next + 1 : NULL;
    }
    return n;
}

static void write_back(const char *path, const char *head, size_t head_len, const Case *c, unsigned n)
{
    FILE *f = fopen(path, "wb");

    if (!f)
        return;
    fwrite(head, 1, head_len, f);
    for (unsigned k = 0; k < n; k++)
        fprintf(f, "=== %s%s%s\n%s---\n%s", c[k].name, c[k].passes[0] ? " " : "", c[k].passes, c[k].before, c[k].after);
    fclose(f);
}

static void run_file(const char *path, bool update)
{
    static Case cases[200];
    char *text = test_read_file(path);

    if (!text) {
        TEST(path, false);
        return;
    }
    unsigned n = split(text, cases, 200);
    TEST(path, n > 0);
    for (unsigned k = 0; k < n; k++)
        TEST(cases[k].name, run_case(&cases[k], update));
    const char *first = strstr(text, "=== ");
    if (update && first)
        write_back(path, text, (size_t)(first - text), cases, n);
    for (unsigned k = 0; k < n; k++) {
        free(cases[k].before);
        free(cases[k].after);
    }
    free(text);
}

int main(int argc, char **argv)
{
    TEST_BEGIN();
    for (int k = 1; k < argc; k++)
        run_file(argv[k], getenv("UPDATE") != NULL);
    return TEST_END();
}
