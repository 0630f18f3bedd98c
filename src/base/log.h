/*
 * The log: categories of log.def, written to stderr or to a file, each line whole (one write a record). Filtered by
 * guest address where a record has one. Off, a category costs one load and one branch.
 *
 *     if (log_on_pc(LOG_IR, pc)) {
 *         FILE *f = log_begin();
 *         ir_print(f, r);
 *         log_end(f);
 *     }
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/status.h"

typedef enum LogCat {
#define LOG_CAT(id, name, doc) LOG_##id,
#include "base/log.def"
#undef LOG_CAT
    LOG_NCATS
} LogCat;

/* Set once by log_setup before threads start; bit k: category k is on. */
extern uint32_t log_mask;

/* Parse "in,asm[:FILE]" ("all" for every category). `more`: what is in the file already stays. */
bool log_setup(const char *list, bool more, Status *st);
/*
 * Parse "A..B" or "A": only records about guest addresses in [A, B) are shown. Anything that does not begin with a digit
 * is the name of a symbol, which the loader turns into bounds (log_symbol, log_set_bounds).
 */
bool log_set_range(const char *range, Status *st);
/* The symbol that log_set_range was given, NULL if it was given addresses or nothing. Nothing is shown before it is found. */
const char *log_symbol(void);
/* Only records about guest addresses in [lo, hi). */
void log_set_bounds(uint64_t lo, uint64_t hi);
/* Print the table of categories, for --help. */
void log_help(FILE *f);

static inline bool log_on(LogCat c)
{
    return (log_mask >> c) & 1;
}

/* Whether category c is on and `pc` passes the filter. */
bool log_on_pc(LogCat c, uint64_t pc);

/* One record built with stdio: a memory stream until log_end writes it at once. */
FILE *log_begin(void);
void log_end(FILE *f);
/* One line. A newline is added. */
void log_line(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
