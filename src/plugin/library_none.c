#include "plugin/library.h"

#include <stddef.h>

void *library_open(const char *path, const char **why)
{
    *why = "this dragoman is linked statically and loads no shared objects; the tools that ship are in it";
    return NULL;
}

void *library_symbol(void *library, const char *name)
{
    return NULL;
}

void library_share(const char *name)
{
}

void library_close(void *library)
{
}
