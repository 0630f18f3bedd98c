/*
 * Images and their symbols. An image is found when code of it is first translated: the host's kernel says what is
 * mapped there. One that may have gone is looked at again when next something is translated. All under Plugins.lock.
 */
#include "plugin/internal.h"

#include "base/check.h"

#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct Symbol {
    uint64_t start, end; /* as in the file */
    const char *name;
    bool global;
} Symbol;

typedef struct SymbolTable {
    Symbol *symbol; /* ascending by start */
    size_t n;
    bool read;             /* symbol[] is there */
    uint64_t entry, first; /* as in the file: where it starts; the address of its first segment */
} SymbolTable;

/* --- an ELF file's symbols ---------------------------------------------------------------------------------------- */

typedef struct File {
    const uint8_t *data;
    size_t size;
} File;

static bool inside(const File *f, uint64_t off, uint64_t size)
{
    return off <= f->size && size <= f->size - off;
}

static const void *part(const File *f, uint64_t off, uint64_t size)
{
    return inside(f, off, size) ? f->data + off : NULL;
}

static int by_start(const void *x, const void *y)
{
    const Symbol *a = x, *b = y;

    if (a->start != b->start)
        return a->start < b->start ? -1 : 1;
    if (a->global != b->global)
        return a->global ? -1 : 1;
    if ((a->name[0] == '_') != (b->name[0] == '_')) /* of several names for one thing, the one that people use */
        return b->name[0] == '_' ? -1 : 1;
    return strcmp(a->name, b->name);
}

static void add_symbols(SymbolTable *t, const File *f, const Elf64_Shdr *tab, const Elf64_Shdr *strs)
{
    const uint8_t *sym = part(f, tab->sh_offset, tab->sh_size);
    const char *text = part(f, strs->sh_offset, strs->sh_size);
    size_t n = tab->sh_size / sizeof(Elf64_Sym);

    if (!sym || !text || !strs->sh_size || text[strs->sh_size - 1])
        return;
    t->symbol = realloc(t->symbol, (t->n + n) * sizeof *t->symbol);
    CHECK(t->symbol != NULL || t->n + n == 0);
    for (size_t i = 0; i < n; i++) {
        Elf64_Sym s;
        memcpy(&s, sym + i * sizeof s, sizeof s);
        unsigned type = ELF64_ST_TYPE(s.st_info);
        if (s.st_shndx == SHN_UNDEF || s.st_name >= strs->sh_size || !text[s.st_name] ||
            (type != STT_FUNC && type != STT_GNU_IFUNC && type != STT_NOTYPE) || text[s.st_name] == '$')
            continue;
        char *name = strdup(text + s.st_name); /* lives as long as the process, as the API says */
        CHECK(name != NULL);
        t->symbol[t->n++] = (Symbol){s.st_value, s.st_value + s.st_size, name, ELF64_ST_BIND(s.st_info) != STB_LOCAL};
    }
}

static const Elf64_Ehdr *elf_header(const File *f)
{
    const Elf64_Ehdr *eh = part(f, 0, sizeof *eh);

    return eh && !memcmp(eh->e_ident, ELFMAG, SELFMAG) && eh->e_ident[EI_CLASS] == ELFCLASS64 ? eh : NULL;
}

/* What says where it is in memory. */
static void read_layout(SymbolTable *t, const File *f)
{
    const Elf64_Ehdr *eh = elf_header(f);
    const Elf64_Phdr *ph = eh ? part(f, eh->e_phoff, (uint64_t)eh->e_phnum * sizeof *ph) : NULL;

    if (eh)
        t->entry = eh->e_entry;
    for (unsigned i = 0; ph && i < eh->e_phnum; i++)
        if (ph[i].p_type == PT_LOAD && ph[i].p_flags & PF_X) {
            t->first = ph[i].p_vaddr - ph[i].p_offset;
            break;
        }
}

static void read_names(SymbolTable *t, const File *f)
{
    const Elf64_Ehdr *eh = elf_header(f);
    const Elf64_Shdr *sh = eh ? part(f, eh->e_shoff, (uint64_t)eh->e_shnum * sizeof *sh) : NULL;

    for (unsigned i = 0; sh && i < eh->e_shnum; i++)
        if ((sh[i].sh_type == SHT_SYMTAB || sh[i].sh_type == SHT_DYNSYM) && sh[i].sh_link < eh->e_shnum)
            add_symbols(t, f, &sh[i], &sh[sh[i].sh_link]);
    if (t->n)
        qsort(t->symbol, t->n, sizeof *t->symbol, by_start);
}

/* Read part of a file. */
static void with_file(const char *path, SymbolTable *t, void (*read)(SymbolTable *t, const File *f))
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat sb;

    if (fd >= 0 && fstat(fd, &sb) == 0 && S_ISREG(sb.st_mode) && sb.st_size > 0) {
        File f = {mmap(NULL, (size_t)sb.st_size, PROT_READ, MAP_PRIVATE, fd, 0), (size_t)sb.st_size};
        if (f.data != MAP_FAILED) {
            read(t, &f);
            munmap((void *)(uintptr_t)f.data, f.size);
        }
    }
    if (fd >= 0)
        close(fd);
}

/* An image's symbols, which are read when somebody asks for one. */
static const SymbolTable *symbols_of(const Image *im)
{
    if (im->symbols && !im->symbols->read) {
        im->symbols->read = true;
        with_file(im->dg.path, im->symbols, read_names);
    }
    return im->symbols;
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
        with_file(m->path, im->symbols, read_layout);
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

/* The last symbol at or before `at`; it may have ended. */
static const Symbol *last_before(const SymbolTable *t, uint64_t at)
{
    size_t lo = 0, hi = t->n;

    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (t->symbol[mid].start <= at)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (!lo)
        return NULL;
    while (lo > 1 && t->symbol[lo - 2].start == t->symbol[lo - 1].start)
        lo--;
    return &t->symbol[lo - 1];
}

static void fill(const Image *im, const Symbol *s, DgSymbol *out)
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
        const Symbol *s = last_before(im->symbols, va - im->dg.base);
        if (!s || (s->end > s->start && va - im->dg.base >= s->end))
            return false;
        fill(im, s, out);
        return true;
    }
    return false;
}

bool symbol_find(Plugins *p, const char *name, DgSymbol *out)
{
    for (const Image *im = p->images; im; im = im->next)
        for (size_t k = 0; im->mapped && symbols_of(im) && k < im->symbols->n; k++)
            if (strcmp(im->symbols->symbol[k].name, name) == 0) {
                fill(im, &im->symbols->symbol[k], out);
                return true;
            }
    return false;
}

void images_free(Plugins *p)
{
    for (Image *im = p->images, *next; im; im = next) {
        next = im->next;
        for (size_t k = 0; im->symbols && k < im->symbols->n; k++)
            free((char *)(uintptr_t)im->symbols->symbol[k].name);
        if (im->symbols)
            free(im->symbols->symbol);
        free(im->symbols);
        free((char *)(uintptr_t)im->dg.path);
        free(im);
    }
}
