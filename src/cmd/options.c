#include "cmd/options.h"

#include "cmd/cmd.h"

#include "base/check.h"
#include "base/log.h"
#include "base/os.h"
#include "opt/opt.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- one parser an option ------------------------------------------------------------------------------------------- */

static bool parse_number(const char *name, const char *arg, uint64_t *out, Status *st)
{
    char *end;

    errno = 0;
    *out = strtoull(arg, &end, 0);
    if (!isdigit((unsigned char)*arg) || *end || errno)
        return status_set(st, STATUS_USAGE, "--%s: '%s' is not a number", name, arg);
    return true;
}

static void push(char ***list, unsigned *n, char *s)
{
    *list = realloc(*list, (*n + 2) * sizeof **list);
    CHECK(*list != NULL);
    (*list)[(*n)++] = s;
    (*list)[*n] = NULL;
}

static bool opt_sysroot(Options *o, char *arg, Status *st)
{
    o->user.sysroot = arg;
    return true;
}

static bool opt_set_env(Options *o, char *arg, Status *st)
{
    if (!strchr(arg, '=') || *arg == '=')
        return status_set(st, STATUS_USAGE, "-E: '%s' is not VAR=VALUE", arg);
    push(&o->set, &o->nset, arg);
    return true;
}

static bool opt_unset_env(Options *o, char *arg, Status *st)
{
    if (!*arg || strchr(arg, '='))
        return status_set(st, STATUS_USAGE, "-U: '%s' is not the name of a variable", arg);
    push(&o->unset, &o->nunset, arg);
    return true;
}

static bool opt_argv0(Options *o, char *arg, Status *st)
{
    o->user.argv0 = arg;
    return true;
}

static bool opt_cpu(Options *o, char *arg, Status *st)
{
    if (!*arg)
        return status_set(st, STATUS_USAGE, "--cpu: no feature named (such as max or max,-lse)");
    o->cpu = arg;
    return true;
}

static bool opt_engine(Options *o, char *arg, Status *st)
{
    if (!strcmp(arg, "jit"))
        o->user.engine.kind = ENGINE_JIT;
    else if (!strcmp(arg, "interp"))
        o->user.engine.kind = ENGINE_INTERP;
    else
        return status_set(st, STATUS_USAGE, "--engine: '%s' is neither jit nor interp", arg);
    return true;
}

static bool opt_traced(Options *o, char *arg, Status *st)
{
    o->user.traced = arg;
    return true;
}

static bool opt_inherit(Options *o, char *arg, Status *st)
{
    uint64_t fd;
    if (!parse_number("inherit", arg, &fd, st))
        return false;
    if (fd > INT_MAX)
        return status_set(st, STATUS_USAGE, "--inherit: '%s' is not a descriptor", arg);
    o->user.inherit = (int)fd;
    return true;
}

static void start_from(Options *o, const char *dir)
{
    char *s;

    CHECK(asprintf(&s, "--start-dir=%s", dir) >= 0);
    os_start_dir_set(dir);
    if (o->nagain) {
        free((char *)o->again[0]);
        o->again[0] = s;
    } else {
        push((char ***)&o->again, &o->nagain, s);
        o->user.reexec = o->again;
    }
}

static bool opt_start_dir(Options *o, char *arg, Status *st)
{
    o->restarted = true;
    start_from(o, arg);
    return true;
}

static bool opt_strace(Options *o, char *arg, Status *st)
{
    o->user.strace = true;
    return true;
}

/* Tools are made here and now: a wrong name is an error of this option. */
static bool make_plugins(Options *o, Status *st)
{
    if (!o->plugins)
        o->plugins = plugins_new();
    return o->plugins || status_set(st, STATUS_HOST, "out of memory");
}

static bool opt_tool(Options *o, char *arg, Status *st)
{
    if (strcmp(arg, "help") == 0) {
        o->help_tools = true;
        return true;
    }
    return make_plugins(o, st) && plugins_add_tool(o->plugins, arg, st);
}

static bool opt_plugin(Options *o, char *arg, Status *st)
{
    return make_plugins(o, st) && plugins_add_file(o->plugins, arg, st);
}

static bool opt_window(Options *o, char *arg, Status *st)
{
    return make_plugins(o, st) && plugins_window(o->plugins, arg, st);
}

static bool opt_qemu_plugin(Options *o, char *arg, Status *st)
{
    return make_plugins(o, st) && plugins_add_qemu(o->plugins, arg, st);
}

static bool opt_stats(Options *o, char *arg, Status *st)
{
    if (arg && (!strcmp(arg, "branches") || !strcmp(arg, "branches,json"))) {
        o->user.stats |= USER_STATS_BRANCHES | (arg[8] ? USER_STATS_JSON : 0);
        o->user.engine.count_branches = true;
        return true;
    }
    if (arg && strcmp(arg, "hot"))
        return status_set(st, STATUS_USAGE, "--stats: '%s' is none of hot, branches, branches,json", arg);
    o->user.stats |= USER_STATS;
    o->user.engine.timing = true;
    o->user.engine.count |= arg != NULL;
    return true;
}

static bool opt_log(Options *o, char *arg, Status *st)
{
    return log_setup(arg, o->restarted, st);
}

static bool opt_log_pc(Options *o, char *arg, Status *st)
{
    return log_set_range(arg, st);
}

static bool opt_check(Options *o, char *arg, Status *st)
{
    o->user.engine.check = true;
    return true;
}

static bool opt_one_insn(Options *o, char *arg, Status *st)
{
    o->user.engine.one_insn = true;
    return true;
}

static bool opt_no_chain(Options *o, char *arg, Status *st)
{
    o->user.engine.no_chain = true;
    return true;
}

static bool opt_fp_exact(Options *o, char *arg, Status *st)
{
    o->user.engine.fp_exact = true;
    return true;
}

static bool opt_llsc(Options *o, char *arg, Status *st)
{
    o->user.engine.llsc_strict = strcmp(arg, "strict") == 0;
    if (!o->user.engine.llsc_strict && strcmp(arg, "versions") != 0)
        return status_set(st, STATUS_USAGE, "--llsc: '%s' is not versions or strict", arg);
    return true;
}

static bool opt_no_ret_predict(Options *o, char *arg, Status *st)
{
    o->user.engine.ret_predict = false;
    return true;
}

static void skip_passes(Options *o, const char *list)
{
    size_t had = o->skip ? strlen(o->skip) : 0;

    o->skip = realloc(o->skip, had + strlen(list) + 2);
    CHECK(o->skip != NULL);
    strcpy(o->skip + had, had ? "," : "");
    strcat(o->skip, list);
    o->user.engine.opt = o->skip;
}

static bool opt_opt(Options *o, char *arg, Status *st)
{
    uint32_t skip;
    const char *bad;

    if (!opt_parse_skip(arg, &skip, &bad))
        return status_set(st, STATUS_USAGE, "--opt: no pass that can be left out at '%s' (write -PASS,-PASS)", bad);
    skip_passes(o, arg);
    return true;
}

static bool opt_opt_limit(Options *o, char *arg, Status *st)
{
    uint64_t n;

    if (!parse_number("opt-limit", arg, &n, st))
        return false;
    uint32_t skip = opt_limit_skip(n < 32 ? (unsigned)n : 32);
    for (unsigned k = 0; k < 32 && opt_pass_name(k); k++) {
        char one[64];
        uint32_t ignored;
        const char *bad;
        snprintf(one, sizeof one, "-%s", opt_pass_name(k));
        if ((skip >> k & 1) && opt_parse_skip(one, &ignored, &bad))
            skip_passes(o, one);
    }
    return true;
}

static bool opt_jit_limit(Options *o, char *arg, Status *st)
{
    return parse_number("jit-limit", arg, &o->user.engine.jit_limit, st);
}

static bool opt_perf(Options *o, char *arg, Status *st)
{
    if (strcmp(arg, "map") == 0)
        o->user.engine.perf = PERF_MAP;
    else if (strcmp(arg, "jitdump") == 0)
        o->user.engine.perf = PERF_JITDUMP;
    else
        return status_set(st, STATUS_USAGE, "--perf: '%s' is neither map nor jitdump", arg);
    return true;
}

static bool opt_tier2(Options *o, char *arg, Status *st)
{
    uint64_t n = 0;

    if (strcmp(arg, "off") != 0 && (!parse_number("tier2", arg, &n, st) || n < 1 || n > INT32_MAX))
        return st->code ? false : status_set(st, STATUS_USAGE, "--tier2: off, or from 1 to %d", INT32_MAX);
    o->user.engine.tier2 = (uint32_t)n;
    o->user.engine.tier2_within = 0;
    return true;
}

/* One name=number of --promote's list. */
static bool promote_item(PromoteConfig *p, const char *item, size_t len, Status *st)
{
    static const struct {
        const char *name;
        size_t at;
        unsigned least, most;
    } table[] = {{"slots", offsetof(PromoteConfig, slots), 1, PROMOTE_SLOTS_MAX},
                 {"miss", offsetof(PromoteConfig, miss), 1, 1u << 20},
                 {"window", offsetof(PromoteConfig, window), 4, PROMOTE_WINDOW_MAX}};

    for (unsigned i = 0; i < sizeof table / sizeof table[0]; i++) {
        size_t n = strlen(table[i].name);
        char *end;
        if (len < n + 2 || memcmp(item, table[i].name, n) || item[n] != '=')
            continue;
        unsigned long v = isdigit((unsigned char)item[n + 1]) ? strtoul(item + n + 1, &end, 10) : 0;
        if (v < table[i].least || v > table[i].most || end != item + len)
            return status_set(st, STATUS_USAGE, "--promote: %s from %u to %u", table[i].name, table[i].least, table[i].most);
        *(unsigned *)((char *)p + table[i].at) = (unsigned)v;
        return true;
    }
    return status_set(st, STATUS_USAGE, "--promote: '%.*s' is none of on, off, slots=N, miss=N, window=N", (int)len, item);
}

static bool opt_promote(Options *o, char *arg, Status *st)
{
    PromoteConfig *p = &o->user.engine.promote;

    if (!strcmp(arg, "off")) {
        p->slots = 0;
        return true;
    }
    if (!p->slots)
        p->slots = PROMOTE_DEFAULT;
    if (!strcmp(arg, "on"))
        return true;
    for (const char *item = arg; ; item += strcspn(item, ",") + 1) {
        size_t len = strcspn(item, ",");
        if (!promote_item(p, item, len, st))
            return false;
        if (!item[len])
            return true;
    }
}

static bool opt_harden(Options *o, char *arg, Status *st)
{
    static const char *const kind[] = {[HARDEN_OFF] = "off", [HARDEN_RETPOLINE] = "retpoline", [HARDEN_LFENCE] = "lfence"};

    for (unsigned i = 0; i < sizeof kind / sizeof kind[0]; i++) {
        if (!strcmp(arg, kind[i])) {
            o->user.engine.harden = (HostHarden)i;
            return true;
        }
    }
    return status_set(st, STATUS_USAGE, "--harden: '%s' is none of retpoline, lfence, off", arg);
}

static bool opt_cache_size(Options *o, char *arg, Status *st)
{
    uint64_t mib;

    if (!parse_number("cache-size", arg, &mib, st))
        return false;
    if (mib < 1 || mib > 1024)
        return status_set(st, STATUS_USAGE, "--cache-size: from 1 to 1024 MiB");
    o->user.engine.cache_bytes = (size_t)mib << 20;
    return true;
}

static bool opt_cache(Options *o, char *arg, Status *st)
{
    if (!*arg)
        return status_set(st, STATUS_USAGE, "--cache: no directory named");
    o->cache = arg;
    return true;
}

static bool opt_cache_limit(Options *o, char *arg, Status *st)
{
    uint64_t mib;

    if (!parse_number("cache-limit", arg, &mib, st))
        return false;
    if (mib < 1 || mib > 1 << 20)
        return status_set(st, STATUS_USAGE, "--cache-limit: from 1 to 1048576 MiB");
    o->user.engine.persist_limit = mib << 20;
    return true;
}

static bool opt_host_cpu(Options *o, char *arg, Status *st)
{
    o->user.engine.host_cpu = arg;
    return true;
}

/* --- the table ------------------------------------------------------------------------------------------------------ */

typedef struct Option {
    char letter;
    const char *name, *arg;
    bool (*parse)(Options *o, char *arg, Status *st);
    bool again;
    const char *doc;
} Option;

static const Option table[] = {
#define OPT(letter, name, arg, fn, again, doc) {letter, name, arg, opt_##fn, again, doc},
#include "cmd/options.def"
#undef OPT
};

#define NOPTIONS (sizeof table / sizeof table[0])

/* Whether the argument may be left out: then it follows a `=` or is not there. */
static bool may_lack(const Option *t)
{
    return t->arg && t->arg[0] == '[';
}

void options_help(FILE *f)
{
    for (unsigned i = 0; i < NOPTIONS; i++) {
        const Option *t = &table[i];
        char left[64];
        const char *eq = !t->arg ? "" : may_lack(t) ? "[=" : "=";
        snprintf(left, sizeof left, "%c%c%s --%s%s%s", t->letter ? '-' : ' ', t->letter ? t->letter : ' ', t->letter ? "," : " ",
                 t->name, eq, t->arg ? t->arg + may_lack(t) : "");
        fprintf(f, "  %-28s %s\n", left, t->doc);
    }
    fprintf(f, "  %-28s %s\n", "    --help", "this text");
    fprintf(f, "  %-28s %s\n", "    --version", "version and host processor");
}

void options_init(Options *o)
{
    memset(o, 0, sizeof *o);
    o->user.inherit = -1;
    o->user.engine.kind = ENGINE_JIT;
    o->user.engine.ret_predict = true;
    o->user.engine.jit_limit = UINT64_MAX;
    o->user.engine.tier2 = TIER2_DEFAULT;
    o->user.engine.tier2_within = TIER2_WITHIN_NS;
    o->user.engine.promote = (PromoteConfig){PROMOTE_DEFAULT, PROMOTE_MISS, PROMOTE_DEFAULT};
}

void options_done(Options *o)
{
    for (unsigned i = 0; i < o->nagain; i++)
        free((char *)o->again[i]);
    free(o->again);
    free(o->set);
    free(o->unset);
    free(o->skip);
    plugins_free(o->plugins);
}

static void note_again(Options *o, const Option *t, const char *arg)
{
    char *s = malloc(strlen(t->name) + (arg ? strlen(arg) : 0) + 4);

    CHECK(s != NULL);
    sprintf(s, "--%s%s%s", t->name, arg ? "=" : "", arg ? arg : "");
    push((char ***)&o->again, &o->nagain, s);
    o->user.reexec = o->again;
}

static bool apply(Options *o, const Option *t, char *arg, Status *st)
{
    if (!t->parse(o, arg, st))
        return false;
    if (t->again)
        note_again(o, t, arg);
    return true;
}

static const Option *find_long(const char *name, size_t len)
{
    for (unsigned i = 0; i < NOPTIONS; i++) {
        if (strlen(table[i].name) == len && !memcmp(table[i].name, name, len))
            return &table[i];
    }
    return NULL;
}

static const Option *find_letter(char c)
{
    for (unsigned i = 0; i < NOPTIONS; i++) {
        if (table[i].letter && table[i].letter == c)
            return &table[i];
    }
    return NULL;
}

/* --name, --name=ARG or --name ARG. Advances *i over a separate argument. */
static bool parse_long(Options *o, int argc, char **argv, int *i, Status *st)
{
    char *name = argv[*i] + 2, *eq = strchr(name, '=');
    size_t len = eq ? (size_t)(eq - name) : strlen(name);

    if (!strcmp(name, "help"))
        return o->help = true;
    if (!strcmp(name, "version"))
        return o->version = true;
    const Option *t = find_long(name, len);
    if (!t)
        return status_set(st, STATUS_USAGE, "unknown option '--%.*s' (see dragoman --help)", (int)len, name);
    if (!t->arg && eq)
        return status_set(st, STATUS_USAGE, "option '--%s' takes no argument", t->name);
    char *arg = eq ? eq + 1 : NULL;
    if (t->arg && !arg && !may_lack(t)) {
        if (*i + 1 >= argc)
            return status_set(st, STATUS_USAGE, "option '--%s' needs an argument (%s)", t->name, t->arg);
        arg = argv[++*i];
    }
    return apply(o, t, arg, st);
}

/* -L DIR, -LDIR, -s. */
static bool parse_short(Options *o, int argc, char **argv, int *i, Status *st)
{
    char *p = argv[*i] + 1;

    if (*p == 'h' && !p[1])
        return o->help = true;
    while (*p) {
        const Option *t = find_letter(*p);
        if (!t)
            return status_set(st, STATUS_USAGE, "unknown option '-%c' (see dragoman --help)", *p);
        if (!t->arg) {
            if (!apply(o, t, NULL, st))
                return false;
            p++;
            continue;
        }
        char *arg = p[1] ? p + 1 : *i + 1 < argc ? argv[++*i] : NULL;
        if (!arg)
            return status_set(st, STATUS_USAGE, "option '-%c' needs an argument (%s)", t->letter, t->arg);
        return apply(o, t, arg, st);
    }
    return true;
}

int options_parse(Options *o, int argc, char **argv, Status *st)
{
    char here[PATH_MAX];
    int i = 1;

    if (getcwd(here, sizeof here) && *here == '/') /* not "(unreachable)" */
        start_from(o, here);
    for (; i < argc && argv[i][0] == '-' && argv[i][1]; i++) {
        if (!strcmp(argv[i], "--"))
            return i + 1;
        bool is_long = argv[i][1] == '-';
        if (!(is_long ? parse_long : parse_short)(o, argc, argv, &i, st))
            return -1;
    }
    return i;
}

/* --- the persistent cache ------------------------------------------------------------------------------------------- */

bool cache_default(char *buf, size_t len)
{
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int n = -1;

    if (xdg && *xdg == '/')
        n = snprintf(buf, len, "%s/dragoman", xdg);
    else if (home && *home == '/')
        n = snprintf(buf, len, "%s/.cache/dragoman", home);
    return n > 0 && (size_t)n < len;
}

const char *options_cache(Options *o, char *buf, size_t len)
{
    char *s, *dir = o->cache ? os_from_start(o->cache, strlen(o->cache)) : NULL;
    bool off = o->cache && !strcmp(o->cache, "off");

    buf[0] = 0;
    if (dir && strlen(dir) < len)
        strcpy(buf, dir);
    off = off || !(dir ? *buf : cache_default(buf, len));
    free(dir);
    CHECK(asprintf(&s, "--cache=%s", off ? "off" : buf) >= 0);
    push((char ***)&o->again, &o->nagain, s);
    o->user.reexec = o->again;
    return off ? NULL : buf;
}

/* --- the guest's environment ------------------------------------------------------------------------------------------ */

static size_t name_len(const char *var)
{
    return strcspn(var, "=");
}

static bool removed(const Options *o, const char *var)
{
    for (unsigned i = 0; i < o->nunset; i++) {
        if (strlen(o->unset[i]) == name_len(var) && !memcmp(o->unset[i], var, name_len(var)))
            return true;
    }
    for (unsigned i = 0; i < o->nset; i++) {
        if (name_len(o->set[i]) == name_len(var) && !memcmp(o->set[i], var, name_len(var)))
            return true;
    }
    return false;
}

char **options_env(const Options *o, char **base)
{
    char **env = NULL;
    unsigned n = 0;

    for (char **v = base; *v; v++) {
        if (!removed(o, *v))
            push(&env, &n, *v);
    }
    for (unsigned i = 0; i < o->nset; i++)
        push(&env, &n, o->set[i]);
    if (!env) {
        push(&env, &n, NULL);
    }
    return env;
}
