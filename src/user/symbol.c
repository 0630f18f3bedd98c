#include "user/symbol.h"

#include <elf.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_TABLE (256u << 20) /* larger symbol tables are damage, not programs */

/* A piece of the file in memory; NULL when it is not all there. */
static void *read_piece(int fd, uint64_t off, uint64_t size)
{
    char *p = size && size <= MAX_TABLE ? malloc(size) : NULL;

    for (uint64_t got = 0; p && got < size;) {
        ssize_t n = pread(fd, p + got, size - got, (off_t)(off + got));
        if (n <= 0) {
            free(p);
            return NULL;
        }
        got += (uint64_t)n;
    }
    return p;
}

static bool find_in(int fd, const Elf64_Shdr *tab, const Elf64_Shdr *strs, const char *name, Elf64_Sym *out)
{
    Elf64_Sym *sym = read_piece(fd, tab->sh_offset, tab->sh_size);
    char *text = read_piece(fd, strs->sh_offset, strs->sh_size);
    size_t len = strlen(name);
    bool found = false;

    for (uint64_t i = 0; sym && text && !found && i < tab->sh_size / sizeof *sym; i++) {
        uint64_t at = sym[i].st_name;
        if (sym[i].st_shndx == SHN_UNDEF || at >= strs->sh_size || strs->sh_size - at <= len)
            continue;
        found = memcmp(text + at, name, len + 1) == 0;
        if (found)
            *out = sym[i];
    }
    free(sym);
    free(text);
    return found;
}

/* Section headers, *n of them; NULL when the file has none. */
static Elf64_Shdr *read_sections(int fd, unsigned *n)
{
    Elf64_Ehdr *eh = read_piece(fd, 0, sizeof *eh);
    Elf64_Shdr *sh = NULL;

    if (eh && eh->e_shentsize == sizeof *sh)
        sh = read_piece(fd, eh->e_shoff, (uint64_t)eh->e_shnum * sizeof *sh);
    *n = sh ? eh->e_shnum : 0;
    free(eh);
    return sh;
}

static bool is_symbols(const Elf64_Shdr *s, unsigned n)
{
    return (s->sh_type == SHT_SYMTAB || s->sh_type == SHT_DYNSYM) && s->sh_link < n;
}

bool elf_symbol(int fd, const char *name, uint64_t *value, uint64_t *size)
{
    unsigned n;
    Elf64_Shdr *sh = read_sections(fd, &n);
    Elf64_Sym sym;
    bool found = false;

    for (unsigned i = 0; !found && i < n; i++)
        if (is_symbols(&sh[i], n))
            found = find_in(fd, &sh[i], &sh[sh[i].sh_link], name, &sym);
    if (found) {
        *value = sym.st_value;
        *size = sym.st_size;
    }
    free(sh);
    return found;
}

/* The address, in the file's terms, of the byte at `offset`. */
static bool address_of(int fd, uint64_t offset, uint64_t *va)
{
    Elf64_Ehdr *eh = read_piece(fd, 0, sizeof *eh);
    Elf64_Phdr *ph = NULL;
    bool found = false;

    if (eh && eh->e_phentsize == sizeof *ph)
        ph = read_piece(fd, eh->e_phoff, (uint64_t)eh->e_phnum * sizeof *ph);
    for (unsigned i = 0; ph && !found && i < eh->e_phnum; i++) {
        found = ph[i].p_type == PT_LOAD && offset - ph[i].p_offset < ph[i].p_filesz;
        if (found)
            *va = ph[i].p_vaddr + (offset - ph[i].p_offset);
    }
    free(ph);
    free(eh);
    return found;
}

static bool nearest_in(int fd, const Elf64_Shdr *tab, const Elf64_Shdr *strs, uint64_t va, char *name, size_t len, uint64_t *distance)
{
    Elf64_Sym *sym = read_piece(fd, tab->sh_offset, tab->sh_size);
    char *text = read_piece(fd, strs->sh_offset, strs->sh_size);
    bool found = false;

    for (uint64_t i = 0; sym && text && !found && i < tab->sh_size / sizeof *sym; i++) {
        uint64_t at = sym[i].st_name, d = va - sym[i].st_value;
        found = sym[i].st_shndx != SHN_UNDEF && d < sym[i].st_size && at < strs->sh_size && text[at];
        if (found) {
            snprintf(name, len, "%.*s", (int)strnlen(text + at, strs->sh_size - at), text + at);
            *distance = d;
        }
    }
    free(sym);
    free(text);
    return found;
}

bool elf_symbol_at(int fd, uint64_t offset, char *name, size_t len, uint64_t *distance)
{
    unsigned n;
    Elf64_Shdr *sh = read_sections(fd, &n);
    uint64_t va;
    bool found = false, placed = address_of(fd, offset, &va);

    for (unsigned i = 0; placed && !found && i < n; i++)
        if (is_symbols(&sh[i], n))
            found = nearest_in(fd, &sh[i], &sh[sh[i].sh_link], va, name, len, distance);
    free(sh);
    return found;
}
