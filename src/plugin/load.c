/* Which tools run: those that ship and those of shared objects; their options; starting them. */
#include "plugin/internal.h"

#include "base/check.h"
#include "base/os.h"
#include "plugin/library.h"

#include <stdlib.h>
#include <string.h>

/* tools/meson.build makes the list. */
#define DG_SHIPPED(id) extern const DgTool dg_tool_##id;
#include "tools_gen.h"
#undef DG_SHIPPED

static const DgTool *const shipped[] = {
#define DG_SHIPPED(id) &dg_tool_##id,
#include "tools_gen.h"
#undef DG_SHIPPED
};

#define NSHIPPED (sizeof shipped / sizeof shipped[0])

static const DgTool own = {.size = sizeof own, .abi = DG_ABI, .name = "dragoman"};

Plugins *plugins_new(void)
{
    Plugins *p = calloc(1, sizeof *p);

    if (!p)
        return NULL;
    p->tools.ops = &plugin_ops;
    pthread_mutex_init(&p->lock, NULL);
    pthread_mutex_init(&p->list_lock, NULL);
    pthread_mutex_init(&p->state_lock, NULL);
    p->self = calloc(1, sizeof *p->self);
    CHECK(p->self != NULL);
    *p->self = (DgHost){.p = p, .tool = &own, .out = -1};
    arena_init(&p->arena);
    feed_init(p);
    return p;
}

static void free_host(DgHost *h)
{
    for (unsigned k = 0; k < h->noption; k++)
        free(h->option[k].name);
    free(h->out_path);
    if (h->library)
        library_close(h->library);
    free(h);
}

void plugins_free(Plugins *p)
{
    if (!p)
        return;
    for (unsigned k = 0; k < p->nhost; k++)
        free_host(p->host[k]);
    images_free(p);
    windows_free(p);
    wraps_free(p);
    free(p->self);
    free(p->range);
    free(p->combination);
    free(p->program);
    arena_done(&p->arena);
    pthread_mutex_destroy(&p->lock);
    pthread_mutex_destroy(&p->list_lock);
    pthread_mutex_destroy(&p->state_lock);
    free(p);
}

Tools *plugins_tools(Plugins *p, const char *program)
{
    free(p->program);
    p->program = strdup(program);
    CHECK(p->program != NULL);
    return &p->tools;
}

void plugins_list(FILE *f, bool options)
{
    for (unsigned k = 0; k < NSHIPPED; k++) {
        fprintf(f, "  %-10s %s\n", shipped[k]->name, shipped[k]->summary);
        for (const char *o = shipped[k]->options; options && *o; o += strcspn(o, "\n"), o += *o == '\n')
            fprintf(f, "             %.*s\n", (int)strcspn(o, "\n"), o);
    }
}

/* "a=1,b" after the tool's name: options of h, which keeps one copy of each. */
static bool take_options(DgHost *h, const char *text, Status *st)
{
    while (*text == ',') {
        size_t n = strcspn(++text, ",");
        if (h->noption == OPTIONS_MAX)
            return status_set(st, STATUS_USAGE, "tool '%s': too many options", h->tool->name);
        char *copy = strndup(text, n), *eq = strchr(copy, '=');
        CHECK(copy != NULL);
        if (eq)
            *eq = 0;
        h->option[h->noption++] = (Option){copy, eq ? eq + 1 : copy + strlen(copy), strcmp(copy, "out") == 0};
        text += n;
    }
    return true;
}

bool plugins_add(Plugins *p, const DgTool *tool, void *library, const char *options, Status *st)
{
    if (p->nhost == TOOLS_MAX)
        return status_set(st, STATUS_USAGE, "more than %d tools", TOOLS_MAX);
    for (unsigned k = 0; k < p->nhost; k++) /* a tool's variables are there once */
        if (p->host[k]->tool == tool)
            return status_set(st, STATUS_USAGE, "tool '%s' is given twice", tool->name);
    DgHost *h = calloc(1, sizeof *h);
    CHECK(h != NULL);
    *h = (DgHost){.p = p, .tool = tool, .number = p->nhost, .out = -1};
    h->library = library;
    p->tools.calls |= library != NULL;
    p->host[p->nhost++] = h;
    return take_options(h, options, st);
}

bool plugins_add_tool(Plugins *p, const char *spec, Status *st)
{
    size_t n = strcspn(spec, ",");

    for (unsigned k = 0; k < NSHIPPED; k++)
        if (strlen(shipped[k]->name) == n && memcmp(shipped[k]->name, spec, n) == 0)
            return plugins_add(p, shipped[k], NULL, spec + n, st);
    return status_set(st, STATUS_USAGE, "--tool: there is no tool '%.*s' (--tool=help lists them)", (int)n, spec);
}

bool plugins_add_file(Plugins *p, const char *spec, Status *st)
{
    size_t n = strcspn(spec, ",");
    char *path = os_from_start(spec, n);
    const char *why;
    void *library = library_open(path, &why);
    const DgTool *tool = library ? library_symbol(library, "dragoman_tool") : NULL;
    bool ok = false;
    if (!library)
        status_set(st, STATUS_USAGE, "--plugin: %s", why);
    else if (!tool)
        status_set(st, STATUS_USAGE, "--plugin: %s is no tool: it has no symbol dragoman_tool", path);
    else if (tool->abi != DG_ABI || tool->size < sizeof *tool)
        status_set(st, STATUS_USAGE, "--plugin: %s is for version %u of the tool interface, this is %u", path,
                   tool->abi, DG_ABI);
    else
        ok = plugins_add(p, tool, library, spec + n, st);
    if (!ok && library && !(p->nhost && p->host[p->nhost - 1]->library == library))
        library_close(library);
    free(path);
    return ok;
}

static bool start_one(DgHost *h, Status *st)
{
    *h->tool->api = plugin_api();
    if (h->tool->start(h) != 0)
        return status_set(st, STATUS_USAGE, "tool '%s': %s", h->tool->name, h->error[0] ? h->error : "does not start");
    for (unsigned k = 0; k < h->noption; k++)
        if (!h->option[k].asked)
            return status_set(st, STATUS_USAGE, "tool '%s' has no option '%s'", h->tool->name, h->option[k].name);
    return true;
}

bool plugins_start(Tools *t, Status *st)
{
    Plugins *p = (Plugins *)t;

    for (unsigned k = 0; k < p->nhost; k++)
        if (!start_one(p->host[k], st))
            return false;
    if (p->nhost)
        p->thread_cell = cells_new(p->host[0], DG_MAX, 1);
    if (!windows_start(p, st))
        return false;
    atomic_init(&p->state[0], p->key);
    p->nstate = 1;
    p->running = true;
    combinations_start(p);
    return true;
}
