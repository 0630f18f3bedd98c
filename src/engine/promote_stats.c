/* --stats=branches: the indirect branches that have a record (promote.h), for people and as JSON. */
#include "engine/internal.h"

#include "base/check.h"

#include <inttypes.h>
#include <stdlib.h>

typedef struct List {
    const PromoteSite **site;
    size_t n, room;
} List;

static void add(void *ctx, const PromoteSite *s)
{
    List *l = ctx;

    if (l->n == l->room) {
        l->room = l->room ? 2 * l->room : 256;
        l->site = realloc(l->site, l->room * sizeof l->site[0]);
        CHECK(l->site != NULL);
    }
    l->site[l->n++] = s;
}

static uint64_t hits(const PromoteSite *s)
{
    uint64_t n = 0;

    for (unsigned k = 0; k < s->nslot; k++)
        n += s->hits[k];
    return n;
}

static int most_first(const void *x, const void *y)
{
    const PromoteSite *a = *(const PromoteSite *const *)x, *b = *(const PromoteSite *const *)y;
    uint64_t na = hits(a) + a->events, nb = hits(b) + b->events;

    return na != nb ? (na < nb ? 1 : -1) : a->pc < b->pc ? -1 : 1;
}

typedef void (*Name)(uint64_t pc, char *buf, size_t len);

static void print_name(FILE *f, Name name, uint64_t pc, bool json)
{
    char buf[256];

    name(pc, buf, sizeof buf);
    if (!json) {
        fprintf(f, "0x%" PRIx64 "%s%s", pc, buf[0] ? " " : "", buf);
        return;
    }
    fprintf(f, "{\"pc\": \"0x%" PRIx64 "\", \"name\": \"", pc);
    for (const char *p = buf; *p; p++) {
        if (*p == '"' || *p == '\\')
            fprintf(f, "\\%c", *p);
        else if ((unsigned char)*p < 0x20)
            fprintf(f, "\\u%04x", (unsigned char)*p);
        else
            fputc(*p, f);
    }
    fprintf(f, "\"}");
}

static const char *kind(const PromoteSite *s)
{
    return s->ret ? "return" : s->call ? "call" : "jump";
}

static void print_text(FILE *f, const PromoteSite *s, Name name)
{
    print_name(f, name, s->pc, false);
    fprintf(f, " %s: %s%s, missed %" PRIu64 ", none of these %" PRIu64 ", stubs made %" PRIu64 "\n", kind(s), promote_state_name(s),
            s->met ? " (inlined)" : s->strays ? " (was inlined)" : "", s->events, s->none, s->rebuilds);
    for (unsigned k = 0; k < s->n; k++) {
        fprintf(f, "  %12" PRIu64 "  ", s->hits[k]);
        print_name(f, name, s->slot[k].target, false);
        fputc('\n', f);
    }
}

static void print_json(FILE *f, const PromoteSite *s, Name name)
{
    fprintf(f, "{\"branch\": ");
    print_name(f, name, s->pc, true);
    fprintf(f, ", \"kind\": \"%s\", \"state\": \"%s\", \"inlined\": %s, \"dropped\": %u, \"missed\": %" PRIu64 ", \"none\": %" PRIu64 ", \"stubs\": %" PRIu64 ", \"slots\": [",
            kind(s), promote_state_name(s), s->met ? "true" : "false", s->strays, s->events, s->none, s->rebuilds);
    for (unsigned k = 0; k < s->n; k++) {
        fprintf(f, "%s{\"hits\": %" PRIu64 ", \"target\": ", k ? ", " : "", s->hits[k]);
        print_name(f, name, s->slot[k].target, true);
        fputc('}', f);
    }
    fprintf(f, "]}");
}

void engine_branches(Engine *e, FILE *f, bool json, Name name)
{
    List l = {0};

    promote_each(e, add, &l);
    if (l.n)
        qsort(l.site, l.n, sizeof l.site[0], most_first);
    if (json)
        fprintf(f, "[");
    else
        fprintf(f, "indirect branches: %zu (executions by target; missed: not served by the first comparison)\n", l.n);
    for (size_t i = 0; i < l.n; i++) {
        if (json)
            fprintf(f, i ? ",\n " : "\n ");
        (json ? print_json : print_text)(f, l.site[i], name);
    }
    if (json)
        fprintf(f, "\n]\n");
    free(l.site);
}
