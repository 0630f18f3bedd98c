/* Source lines of an ELF file's code, by address. See lines.c for where they are looked for. */
#ifndef PLUGIN_LINES_H
#define PLUGIN_LINES_H

#include "base/elf_symbols.h"

typedef struct LineReader LineReader; /* the library that reads DWARF */
typedef struct LineTable LineTable;

/* Addresses [start, end) of one line. */
typedef struct LineRange {
    uint64_t start, end;
    const char *file; /* lives as long as the table */
    uint32_t line;
} LineRange;

/* NULL: there is no such library, or this program loads none. malloc'd. */
LineReader *lines_reader(void);
/* The lines of the file at `path`; an empty table when nothing is known. */
LineTable *lines_read(const LineReader *r, const char *path);
void lines_free(LineTable *t);
/* False: `addr`, as in the file, is of no known line; out->end is where something else may be known. */
bool lines_at(const LineTable *t, uint64_t addr, LineRange *out);

#endif
