#include "base/capstone.h"

#include <dlfcn.h>

bool capstone_get(Capstone *c)
{
    /* Opened once more each time, and never closed: the loader remembers. */
    void *lib = dlopen("libcapstone.so.4", RTLD_LAZY | RTLD_LOCAL);

    if (!lib)
        return false;
    *(void **)&c->open = dlsym(lib, "cs_open");
    *(void **)&c->close = dlsym(lib, "cs_close");
    *(void **)&c->disasm = dlsym(lib, "cs_disasm");
    *(void **)&c->free = dlsym(lib, "cs_free");
    return c->open && c->close && c->disasm && c->free;
}
