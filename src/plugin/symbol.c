/*
 * Images and their symbols. An image is found when code of it is first translated: the host's kernel says what is
 * mapped there. One that may have gone is looked at again when next something is translated. All under Plugins.lock.
 */
#include "plugin/internal.h"

#include "base/check.h"
#include "plugin/lines.h"

#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct SymbolTable {
    ElfSymbols names;
    bool read;             /* names are there */
    uint64_t entry, first; /* as in the file: where it starts; the address of its first segment */
} SymbolTable;

/* What says where it is in memory. */
static void read_layout(SymbolTable *t, const char *path)
{
    ElfFile f;
    unsigned n;

    if (!elf_file_open(&f, path))
        return;
    const Elf64_Ehdr *eh = elf_file_header(&f);
    const Elf64_Phdr *ph = elf_file_segments(&f, &n);
    if (eh)
        t->entry = eh->e_entry;
    for (unsigned i = 0; i < n; i++)
        if (ph[i].p_type == PT_LOAD && ph[i].p_flags & PF_X) {
            t->first = ph[i].p_vaddr - ph[i].p_offset;
            break;
        }
    elf_file_close(&f);
}

/* An image's symbols, which are read when somebody asks for one. */
static const ElfSymbols *symbols_of(const Image *im)
{
    ElfFile f;

    if (!im->symbols)
        return NULL;
    if (!im->symbols->read && elf_file_open(&f, im->dg.path)) {
        elf_symbols_read(&im->symbols->names, &f);
        elf_file_close(&f);
    }
    im->symbols->read = true;
    return &im->symbols->names;
}

/* --- images ------------------------------------------------------------------------------------------------------- */

typedef struct Mapping {
    uint64_t start, end, offset;
    char path[PATH_MAX]; /* "": no file */
} Mapping;

static bool parse(char *line, Mapping *m)
{
    unsigned long long start, end, off;
    int at = 0;

    line[strcspn(line, "\n")] = 0;
    if (sscanf(line, "%llx-%llx %*s %llx %*s %*s %n", &start, &end, &off, &at) != 3)
        return false;
    *m = (Mapping){.start = start, .end = end, .offset = off};
    if (line[at] == '/')
        snprintf(m->path, sizeof m->path, "%s", line + at);
    return true;
}

/* What is mapped at va now. */
static bool mapping_at(uint64_t va, Mapping *m)
{
    char line[PATH_MAX + 128];
    FILE *f = fopen("/proc/self/maps", "re");
    bool found = false;

    while (f && !found && fgets(line, sizeof line, f))
        found = parse(line, m) && va >= m->start && va < m->end;
    if (f)
        fclose(f);
    return found;
}

typedef void MappedFn(void *data, const DgImage *i);

static void tell(Plugins *p, EventKind ev, const Image *im)
{
    for (unsigned h = 0; h < p->nhost; h++)
        for (unsigned k = 0; k < p->host[h]->nhook[ev]; k++)
            ((MappedFn *)p->host[h]->hook[ev][k].fn)(p->host[h]->hook[ev][k].data, &im->dg);
}

static Image *add_image(Plugins *p, const Mapping *m)
{
    Image *im = calloc(1, sizeof *im), **at = &p->images;

    CHECK(im != NULL);
    im->mapped = true;
    im->dg =
        (DgImage){.size = sizeof im->dg, .number = p->nimage++, .start = m->start, .end = m->end, .offset = m->offset};
    if (m->path[0]) {
        im->dg.path = strdup(m->path);
        CHECK(im->dg.path != NULL);
        im->symbols = calloc(1, sizeof *im->symbols);
        CHECK(im->symbols != NULL);
        read_layout(im->symbols, m->path);
        im->dg.base = m->start - m->offset - im->symbols->first;
        im->dg.entry = im->symbols->entry ? im->dg.base + im->symbols->entry : 0;
    }
    while (*at)
        at = &(*at)->next;
    *at = im;
    tell(p, EV_MAPPED, im);
    return im;
}

/* Whether it is still what it was. */
static bool still_there(Image *im)
{
    Mapping m;

    if (!im->stale)
        return true;
    im->stale = false;
    return mapping_at(im->dg.start, &m) && m.offset == im->dg.offset &&
           strcmp(m.path, im->dg.path ? im->dg.path : "") == 0;
}

Image *image_at(Plugins *p, uint64_t va)
{
    Mapping m;

    for (Image *im = p->images; im; im = im->next) {
        if (!im->mapped || va < im->dg.start || va >= im->dg.end)
            continue;
        if (still_there(im))
            return im;
        im->mapped = false;
        tell(p, EV_UNMAPPED, im);
    }
    return mapping_at(va, &m) ? add_image(p, &m) : NULL;
}

void image_unmapped(Plugins *p, uint64_t start, uint64_t end)
{
    for (Image *im = p->images; im; im = im->next)
        if (im->mapped && im->dg.path && start < im->dg.end && end > im->dg.start)
            im->stale = true;
}

/* --- symbols ------------------------------------------------------------------------------------------------------ */

static void fill(const Image *im, const ElfSymbol *s, DgSymbol *out)
{
    DgSymbol v = {.size = sizeof v,
                  .image = im->dg.number,
                  .start = im->dg.base + s->start,
                  .end = im->dg.base + s->end,
                  .name = s->name};
    uint32_t size = out->size < sizeof v ? out->size : (uint32_t)sizeof v;

    v.size = size;
    memcpy(out, &v, size);
}

bool symbol_at(Plugins *p, uint64_t va, DgSymbol *out)
{
    for (const Image *im = p->images; im; im = im->next) {
        if (!im->mapped || va < im->dg.start || va >= im->dg.end || !symbols_of(im))
            continue;
        const ElfSymbol *s = elf_symbols_before(symbols_of(im), va - im->dg.base);
        if (!s || (s->end > s->start && va - im->dg.base >= s->end))
            return false;
        fill(im, s, out);
        return true;
    }
    return false;
}

bool symbol_is(Plugins *p, uint64_t va, const char *name)
{
    for (const Image *im = p->images; im; im = im->next) {
        if (!im->mapped || va < im->dg.start || va >= im->dg.end || !symbols_of(im))
            continue;
        const ElfSymbols *t = symbols_of(im);
        const ElfSymbol *s = elf_symbols_before(t, va - im->dg.base);
        for (; s && s < t->symbol + t->n && s->start == va - im->dg.base; s++)
            if (strcmp(s->name, name) == 0)
                return true;
        return false;
    }
    return false;
}

bool symbol_find(Plugins *p, const char *name, DgSymbol *out)
{
    for (const Image *im = p->images; im; im = im->next)
        for (size_t k = 0; im->mapped && symbols_of(im) && k < symbols_of(im)->n; k++)
            if (strcmp(symbols_of(im)->symbol[k].name, name) == 0) {
                fill(im, &symbols_of(im)->symbol[k], out);
                return true;
            }
    return false;
}

/* --- lines -------------------------------------------------------------------------------------------------------- */

bool lines_known(Plugins *p)
{
    if (!p->lines_asked)
        p->lines = lines_reader();
    p->lines_asked = true;
    return p->lines != NULL;
}

bool line_at(Plugins *p, uint64_t va, DgLine *out)
{
    DgLine v = {.size = sizeof v, .end = UINT64_MAX};
    uint32_t size = out->size < sizeof v ? out->size : (uint32_t)sizeof v;
    Image *im = NULL;
    LineRange r;
    bool found = false;

    for (Image *at = p->images; at; at = at->next) /* what is mapped there now, else what was last */
        if (va >= at->dg.start && va < at->dg.end && at->dg.path && (!im || at->mapped))
            im = at;
    if (im && lines_known(p)) {
        if (!im->lines)
            im->lines = lines_read(p->lines, im->dg.path);
        found = lines_at(im->lines, va - im->dg.base, &r);
        v = (DgLine){.size = size, .line = found ? r.line : 0, .file = found ? r.file : NULL, .start = im->dg.base + r.start,
                     .end = r.end == UINT64_MAX ? r.end : im->dg.base + r.end};
    }
    memcpy(out, &v, size);
    out->size = size;
    return found;
}

void images_free(Plugins *p)
{
    free(p->lines);
    for (Image *im = p->images, *next; im; im = next) {
        next = im->next;
        if (im->symbols)
            elf_symbols_free(&im->symbols->names);
        free(im->symbols);
        lines_free(im->lines);
        free((char *)(uintptr_t)im->dg.path);
        free(im);
    }
}
