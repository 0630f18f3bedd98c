/* Symbols of an ELF file, for --log-pc=NAME. The file is untrusted input. */
#ifndef USER_SYMBOL_H
#define USER_SYMBOL_H

#include <stdbool.h>
#include <stdint.h>

/* The function or object `name` of the 64-bit little-endian ELF file in `fd`: its address in the file's terms and its size. */
bool elf_symbol(int fd, const char *name, uint64_t *value, uint64_t *size);

#endif
