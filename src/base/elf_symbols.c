#include "base/elf_symbols.h"

#include "base/check.h"
#include "base/search.h"

#include <elf.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- the file ----------------------------------------------------------------------------------------------------- */

bool elf_file_open(ElfFile *f, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat sb;

    *f = (ElfFile){0};
    if (fd >= 0 && fstat(fd, &sb) == 0 && S_ISREG(sb.st_mode) && sb.st_size > 0) {
        void *at = mmap(NULL, (size_t)sb.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (at != MAP_FAILED)
            *f = (ElfFile){at, (size_t)sb.st_size};
    }
    if (fd >= 0)
        close(fd);
    return f->data != NULL;
}

void elf_file_close(ElfFile *f)
{
    if (f->data)
        munmap((void *)(uintptr_t)f->data, f->size);
    f->data = NULL;
}

const void *elf_file_part(const ElfFile *f, uint64_t off, uint64_t size)
{
    return off <= f->size && size <= f->size - off ? f->data + off : NULL;
}

const void *elf_file_header(const ElfFile *f)
{
    const Elf64_Ehdr *eh = elf_file_part(f, 0, sizeof *eh);

    return eh && !memcmp(eh->e_ident, ELFMAG, SELFMAG) && eh->e_ident[EI_CLASS] == ELFCLASS64 ? eh : NULL;
}

const void *elf_file_segments(const ElfFile *f, unsigned *n)
{
    const Elf64_Ehdr *eh = elf_file_header(f);
    const void *ph = eh && eh->e_phoff % 8 == 0 ? elf_file_part(f, eh->e_phoff, (uint64_t)eh->e_phnum * sizeof(Elf64_Phdr)) : NULL;

    *n = ph ? eh->e_phnum : 0;
    return ph;
}

const void *elf_file_sections(const ElfFile *f, unsigned *n)
{
    const Elf64_Ehdr *eh = elf_file_header(f);
    const void *sh = eh && eh->e_shoff % 8 == 0 ? elf_file_part(f, eh->e_shoff, (uint64_t)eh->e_shnum * sizeof(Elf64_Shdr)) : NULL;

    *n = sh ? eh->e_shnum : 0;
    return sh;
}

/* The strings of a section; NULL unless they end within it. */
static const char *strings(const ElfFile *f, const Elf64_Shdr *s)
{
    const char *text = s->sh_type == SHT_STRTAB ? elf_file_part(f, s->sh_offset, s->sh_size) : NULL;

    return text && s->sh_size && !text[s->sh_size - 1] ? text : NULL;
}

const void *elf_file_section(const ElfFile *f, const char *name)
{
    unsigned n;
    const Elf64_Ehdr *eh = elf_file_header(f);
    const Elf64_Shdr *sh = elf_file_sections(f, &n);
    const char *text = sh && eh->e_shstrndx < n ? strings(f, &sh[eh->e_shstrndx]) : NULL;

    for (unsigned i = 0; text && i < n; i++)
        if (sh[i].sh_name < sh[eh->e_shstrndx].sh_size && strcmp(text + sh[i].sh_name, name) == 0)
            return &sh[i];
    return NULL;
}

/* --- symbols ------------------------------------------------------------------------------------------------------ */

static int by_start(const void *x, const void *y)
{
    const ElfSymbol *a = x, *b = y;

    if (a->start != b->start)
        return a->start < b->start ? -1 : 1;
    if (a->global != b->global)
        return a->global ? -1 : 1;
    if ((a->name[0] == '_') != (b->name[0] == '_')) /* of several names for one thing, the one that people use */
        return b->name[0] == '_' ? -1 : 1;
    return strcmp(a->name, b->name);
}

static bool is_function(const Elf64_Sym *s, const char *name)
{
    unsigned type = ELF64_ST_TYPE(s->st_info);

    return s->st_shndx != SHN_UNDEF && name[0] && name[0] != '$' && (type == STT_FUNC || type == STT_GNU_IFUNC || type == STT_NOTYPE);
}

static void add_symbols(ElfSymbols *t, const ElfFile *f, const Elf64_Shdr *tab, const Elf64_Shdr *strs)
{
    const uint8_t *sym = elf_file_part(f, tab->sh_offset, tab->sh_size);
    const char *text = strings(f, strs);
    size_t n = tab->sh_size / sizeof(Elf64_Sym);

    if (!sym || !text)
        return;
    t->symbol = realloc(t->symbol, (t->n + n) * sizeof *t->symbol);
    CHECK(t->symbol != NULL || t->n + n == 0);
    for (size_t i = 0; i < n; i++) {
        Elf64_Sym s;
        memcpy(&s, sym + i * sizeof s, sizeof s);
        if (s.st_name >= strs->sh_size || !is_function(&s, text + s.st_name))
            continue;
        char *name = strdup(text + s.st_name);
        CHECK(name != NULL);
        t->symbol[t->n++] = (ElfSymbol){s.st_value, s.st_value + s.st_size, name, ELF64_ST_BIND(s.st_info) != STB_LOCAL};
    }
}

void elf_symbols_read(ElfSymbols *t, const ElfFile *f)
{
    unsigned n;
    const Elf64_Shdr *sh = elf_file_sections(f, &n);

    for (unsigned i = 0; i < n; i++)
        if ((sh[i].sh_type == SHT_SYMTAB || sh[i].sh_type == SHT_DYNSYM) && sh[i].sh_link < n)
            add_symbols(t, f, &sh[i], &sh[sh[i].sh_link]);
    if (t->n)
        qsort(t->symbol, t->n, sizeof *t->symbol, by_start);
}

void elf_symbols_free(ElfSymbols *t)
{
    for (size_t k = 0; k < t->n; k++)
        free((char *)(uintptr_t)t->symbol[k].name);
    free(t->symbol);
    *t = (ElfSymbols){0};
}

const ElfSymbol *elf_symbols_before(const ElfSymbols *t, uint64_t at)
{
    size_t lo = SEARCH_UPTO(t->symbol, t->n, start, at);

    if (!lo)
        return NULL;
    while (lo > 1 && t->symbol[lo - 2].start == t->symbol[lo - 1].start)
        lo--;
    return &t->symbol[lo - 1];
}
