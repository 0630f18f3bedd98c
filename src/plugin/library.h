/*
 * Shared objects, for tools that do not ship: library_load.c. A program that is linked statically cannot load any: library_none.c.
 */
#ifndef PLUGIN_LIBRARY_H
#define PLUGIN_LIBRARY_H

/* NULL: *why says why not. */
void *library_open(const char *path, const char **why);
void *library_symbol(void *library, const char *name); /* library NULL: of those that all may use */
/* Open one for good whose symbols all others may use, if it is there. */
void library_share(const char *name);
void library_close(void *library);

#endif
