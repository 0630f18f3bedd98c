#include "user/symbol.h"

#include <elf.h>
#include <stddef.h>
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

bool elf_symbol(int fd, const char *name, uint64_t *value, uint64_t *size)
{
    Elf64_Ehdr *eh = read_piece(fd, 0, sizeof *eh);
    Elf64_Shdr *sh = NULL;
    Elf64_Sym sym;
    bool found = false;

    if (eh && eh->e_shentsize == sizeof *sh)
        sh = read_piece(fd, eh->e_shoff, (uint64_t)eh->e_shnum * sizeof *sh);
    for (unsigned i = 0; sh && !found && i < eh->e_shnum; i++) {
        if ((sh[i].sh_type == SHT_SYMTAB || sh[i].sh_type == SHT_DYNSYM) && sh[i].sh_link < eh->e_shnum)
            found = find_in(fd, &sh[i], &sh[sh[i].sh_link], name, &sym);
    }
    if (found) {
        *value = sym.st_value;
        *size = sym.st_size;
    }
    free(sh);
    free(eh);
    return found;
}
