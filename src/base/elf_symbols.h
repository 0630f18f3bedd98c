/*
 * Functions that the symbol tables of a 64-bit ELF file name, by address. The file is untrusted input: what does not fit in it is
 * left out.
 */
#ifndef BASE_ELF_SYMBOLS_H
#define BASE_ELF_SYMBOLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ElfSymbol {
    uint64_t start, end; /* as in the file; end is start when the symbol has no size */
    const char *name;
    bool global;
} ElfSymbol;

typedef struct ElfSymbols {
    ElfSymbol *symbol; /* ascending by start; of several at one address the best name first */
    size_t n;
} ElfSymbols;

/* A file in memory. */
typedef struct ElfFile {
    const uint8_t *data;
    size_t size;
} ElfFile;

/* False when it cannot be mapped. */
bool elf_file_open(ElfFile *f, const char *path);
void elf_file_close(ElfFile *f);
/* `size` bytes at `off`; NULL when they are not all there. */
const void *elf_file_part(const ElfFile *f, uint64_t off, uint64_t size);
/* The ELF header (Elf64_Ehdr), program headers (Elf64_Phdr) and section headers (Elf64_Shdr), *n of them; NULL: there are none. */
const void *elf_file_header(const ElfFile *f);
const void *elf_file_segments(const ElfFile *f, unsigned *n);
const void *elf_file_sections(const ElfFile *f, unsigned *n);
/* The section of that name (Elf64_Shdr); NULL. */
const void *elf_file_section(const ElfFile *f, const char *name);

void elf_symbols_read(ElfSymbols *t, const ElfFile *f);
void elf_symbols_free(ElfSymbols *t);
/* The last symbol at or before `at`, which may have ended; the first of those at one address. NULL: there is none. */
const ElfSymbol *elf_symbols_before(const ElfSymbols *t, uint64_t at);

#endif
