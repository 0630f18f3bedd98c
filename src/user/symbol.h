/* Symbols of an ELF file, for --log-pc=NAME and statistics. The file is untrusted input. */
#ifndef USER_SYMBOL_H
#define USER_SYMBOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The function or object `name` of the 64-bit little-endian ELF file in `fd`: its address in the file's terms and its size. */
bool elf_symbol(int fd, const char *name, uint64_t *value, uint64_t *size);
/* The function or object that byte `offset` of the file belongs to: its name, cut to len, and how far in the byte is. */
bool elf_symbol_at(int fd, uint64_t offset, char *name, size_t len, uint64_t *distance);

#endif
