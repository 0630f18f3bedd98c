#include "plugin/library.h"

#include <dlfcn.h>
#include <stddef.h>

void *library_open(const char *path, const char **why)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);

    *why = library ? NULL : dlerror();
    return library;
}

void *library_symbol(void *library, const char *name)
{
    return dlsym(library, name);
}

void library_share(const char *name)
{
    dlopen(name, RTLD_NOW | RTLD_GLOBAL);
}

void library_close(void *library)
{
    dlclose(library);
}
