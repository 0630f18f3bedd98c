/*
 * Source lines, from the DWARF line tables of an image's file or of the file with its debugging information, by elfutils' libdw,
 * which is loaded when somebody first asks. All under Plugins.lock.
 *
 * Debugging information of its own file is looked for as gdb does, but below every directory that the image's file is below: one of
 * them is the sysroot. ROOT/usr/lib/debug/.build-id/xx/yyy.debug, and by the name in .gnu_debuglink: beside the file, in .debug
 * beside it, in ROOT/usr/lib/debug/DIRECTORY. It must have the file's build id, or the checksum that the link says.
 */
#include "plugin/lines.h"

#include "base/check.h"
#include "base/search.h"
#include "plugin/library.h"

#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LIBRARY "libdw.so.1"
#define BUILD_ID_MAX 64

/* What of libdw's interface is used (elfutils/libdw.h). */
typedef struct Dwarf Dwarf;
typedef struct Dwarf_CU Dwarf_CU;
typedef struct Dwarf_Files Dwarf_Files;
typedef struct Dwarf_Lines Dwarf_Lines;
typedef struct Dwarf_Line Dwarf_Line;
enum { DWARF_C_READ };

struct LineReader {
    Dwarf *(*begin)(int fd, int cmd);
    int (*end)(Dwarf *);
    int (*next_lines)(Dwarf *, uint64_t off, uint64_t *next, Dwarf_CU **, Dwarf_Files **, size_t *nfiles, Dwarf_Lines **, size_t *nlines);
    Dwarf_Line *(*one)(Dwarf_Lines *, size_t n);
    int (*addr)(Dwarf_Line *, uint64_t *);
    int (*number)(Dwarf_Line *, int *);
    const char *(*source)(Dwarf_Line *, uint64_t *mtime, uint64_t *length);
    int (*end_sequence)(Dwarf_Line *, bool *);
    int (*dirs)(Dwarf_Files *, const char *const **, size_t *n);
};

typedef struct Row {
    uint64_t addr; /* as in the file */
    const char *file; /* NULL: nothing is known from here on */
    uint32_t line, order;
} Row;

struct LineTable {
    Row *row; /* ascending */
    size_t n, cap;
    char **file; /* names, each once */
    size_t nfile;
};

static bool load(LineReader *r, void *lib)
{
    *(void **)&r->begin = library_symbol(lib, "dwarf_begin");
    *(void **)&r->end = library_symbol(lib, "dwarf_end");
    *(void **)&r->next_lines = library_symbol(lib, "dwarf_next_lines");
    *(void **)&r->one = library_symbol(lib, "dwarf_onesrcline");
    *(void **)&r->addr = library_symbol(lib, "dwarf_lineaddr");
    *(void **)&r->number = library_symbol(lib, "dwarf_lineno");
    *(void **)&r->source = library_symbol(lib, "dwarf_linesrc");
    *(void **)&r->end_sequence = library_symbol(lib, "dwarf_lineendsequence");
    *(void **)&r->dirs = library_symbol(lib, "dwarf_getsrcdirs");
    return r->dirs && r->begin && r->end && r->next_lines && r->one && r->addr && r->number && r->source && r->end_sequence;
}

LineReader *lines_reader(void)
{
    const char *why;
    void *lib = library_open(LIBRARY, &why); /* never closed: the loader remembers */
    LineReader *r = calloc(1, sizeof *r);

    CHECK(r != NULL);
    if (lib && load(r, lib))
        return r;
    free(r);
    return NULL;
}

/* --- which file --------------------------------------------------------------------------------------------------- */

/* The build id among a file's notes; its length, 0: none. */
static size_t build_id(const ElfFile *f, uint8_t out[BUILD_ID_MAX])
{
    const Elf64_Shdr *s = elf_file_section(f, ".note.gnu.build-id");
    const Elf64_Nhdr *n = s && s->sh_size > sizeof *n + 4 ? elf_file_part(f, s->sh_offset, s->sh_size) : NULL;

    if (!n || n->n_type != NT_GNU_BUILD_ID || n->n_namesz != 4 || n->n_descsz > BUILD_ID_MAX || n->n_descsz > s->sh_size - sizeof *n - 4)
        return 0;
    memcpy(out, (const uint8_t *)(n + 1) + 4, n->n_descsz);
    return n->n_descsz;
}

/* The name in .gnu_debuglink, and the checksum behind it. NULL: there is none. */
static const char *debug_link(const ElfFile *f, uint32_t *sum)
{
    const Elf64_Shdr *s = elf_file_section(f, ".gnu_debuglink");
    const char *name = s ? elf_file_part(f, s->sh_offset, s->sh_size) : NULL;
    size_t len = name ? strnlen(name, s->sh_size) : 0, at = (len + 4) / 4 * 4;

    if (len == 0 || strchr(name, '/') || s->sh_size < 4 || at > s->sh_size - 4)
        return NULL;
    memcpy(sum, name + at, 4);
    return name;
}

/* CRC-32 as in IEEE 802.3, four bits at a time. */
static uint32_t checksum(const ElfFile *f)
{
    static const uint32_t table[16] = {0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
                                       0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
    uint32_t sum = ~0u;

    for (size_t k = 0; k < f->size; k++) {
        sum = table[(sum ^ f->data[k]) & 15] ^ sum >> 4;
        sum = table[(sum ^ f->data[k] >> 4) & 15] ^ sum >> 4;
    }
    return ~sum;
}

/* Whether the file at `path` has the debugging information of f. */
static bool belongs(const ElfFile *f, const char *path)
{
    uint8_t want[BUILD_ID_MAX], got[BUILD_ID_MAX];
    size_t n = build_id(f, want);
    uint32_t sum;
    ElfFile g;

    if (!elf_file_open(&g, path))
        return false;
    bool ok = n ? build_id(&g, got) == n && memcmp(want, got, n) == 0 : debug_link(f, &sum) && checksum(&g) == sum;
    elf_file_close(&g);
    return ok;
}

/* Try the places below one root, the first `root` bytes of `path`. */
static bool find_below(const ElfFile *f, const char *path, int root, const char *link, char *out)
{
    int dir = (int)(strrchr(path, '/') - path);
    uint8_t id[BUILD_ID_MAX];
    size_t n = build_id(f, id);

    if (n > 1) {
        int at = snprintf(out, PATH_MAX, "%.*s/usr/lib/debug/.build-id/%02x/", root, path, id[0]);
        for (size_t k = 1; k < n && at < PATH_MAX - 16; k++)
            at += snprintf(out + at, (size_t)(PATH_MAX - at), "%02x", id[k]);
        snprintf(out + at, (size_t)(PATH_MAX - at), ".debug");
        if (belongs(f, out))
            return true;
    }
    if (!link)
        return false;
    snprintf(out, PATH_MAX, "%.*s/usr/lib/debug%.*s/%s", root, path, dir - root, path + root, link);
    return belongs(f, out);
}

static bool find_debug(const ElfFile *f, const char *path, char *out)
{
    uint32_t sum;
    const char *link = debug_link(f, &sum);
    int dir = strrchr(path, '/') ? (int)(strrchr(path, '/') - path) : -1;

    if (dir < 0)
        return false;
    for (unsigned k = 0; link && k < 2; k++) {
        snprintf(out, PATH_MAX, "%.*s%s/%s", dir, path, k ? "/.debug" : "", link);
        if (belongs(f, out))
            return true;
    }
    for (int root = dir; root >= 0; root--)
        if ((path[root] == '/' || root == dir) && find_below(f, path, root, link, out))
            return true;
    return false;
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

static const char *keep_name(LineTable *t, const char *name)
{
    for (size_t k = t->nfile; k-- > 0 && t->nfile - k < 64;) /* the last ones: rows of a file stand together */
        if (strcmp(t->file[k], name) == 0)
            return t->file[k];
    t->file = realloc(t->file, (t->nfile + 1) * sizeof *t->file);
    CHECK(t->file != NULL);
    t->file[t->nfile] = strdup(name);
    CHECK(t->file[t->nfile] != NULL);
    return t->file[t->nfile++];
}

/* The name of a row's file, from where the compiler ran if it is relative. */
static const char *file_of(const LineReader *r, LineTable *t, Dwarf_Line *l, const char *dir)
{
    const char *name = r->source(l, NULL, NULL);
    char full[PATH_MAX];

    if (!name || name[0] == '/' || !dir)
        return name ? keep_name(t, name) : NULL;
    snprintf(full, sizeof full, "%s/%s", dir, name);
    return keep_name(t, full);
}

static void add_row(const LineReader *r, LineTable *t, Dwarf_Line *l, const char *dir)
{
    Row row = {.order = (uint32_t)t->n};
    bool end = false;
    int line = 0;

    if (!l || r->addr(l, &row.addr) || r->end_sequence(l, &end) || r->number(l, &line))
        return;
    row.file = end ? NULL : file_of(r, t, l, dir);
    row.line = line > 0 ? (uint32_t)line : 0;
    if (t->n == t->cap) {
        t->cap = t->cap ? 2 * t->cap : 1024;
        t->row = realloc(t->row, t->cap * sizeof *t->row);
        CHECK(t->row != NULL);
    }
    t->row[t->n++] = row;
}

/* Where one sequence ends and the next begins, the beginning counts: it is last. */
static int by_addr(const void *x, const void *y)
{
    const Row *a = x, *b = y;

    if (a->addr != b->addr)
        return a->addr < b->addr ? -1 : 1;
    if (!a->file != !b->file)
        return a->file ? 1 : -1;
    return a->order < b->order ? -1 : 1;
}

static void read_lines(const LineReader *r, LineTable *t, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    Dwarf *d = fd >= 0 ? r->begin(fd, DWARF_C_READ) : NULL;
    uint64_t off = 0, next;
    Dwarf_CU *cu = NULL;
    Dwarf_Files *files;
    Dwarf_Lines *lines;
    size_t nfiles, n;

    for (; d && r->next_lines(d, off, &next, &cu, &files, &nfiles, &lines, &n) == 0; off = next) {
        const char *const *dirs;
        size_t ndirs;
        const char *dir = r->dirs(files, &dirs, &ndirs) == 0 && ndirs ? dirs[0] : NULL;
        for (size_t k = 0; k < n; k++)
            add_row(r, t, r->one(lines, k), dir);
    }
    if (d)
        r->end(d);
    if (fd >= 0)
        close(fd);
}

LineTable *lines_read(const LineReader *r, const char *path)
{
    LineTable *t = calloc(1, sizeof *t);
    char debug[PATH_MAX];
    ElfFile f;

    CHECK(t != NULL);
    read_lines(r, t, path);
    if (!t->n && elf_file_open(&f, path)) {
        bool found = find_debug(&f, path, debug);
        elf_file_close(&f);
        if (found)
            read_lines(r, t, debug);
    }
    if (t->n)
        qsort(t->row, t->n, sizeof *t->row, by_addr);
    return t;
}

void lines_free(LineTable *t)
{
    for (size_t k = 0; t && k < t->nfile; k++)
        free(t->file[k]);
    if (t)
        free(t->file);
    if (t)
        free(t->row);
    free(t);
}

bool lines_at(const LineTable *t, uint64_t addr, LineRange *out)
{
    size_t lo = SEARCH_UPTO(t->row, t->n, addr, addr);

    *out = (LineRange){.end = lo < t->n ? t->row[lo].addr : UINT64_MAX};
    if (lo == 0)
        return false;
    const Row *r = &t->row[lo - 1];
    out->start = r->addr;
    out->file = r->file;
    out->line = r->line;
    return r->file != NULL && r->line != 0;
}
