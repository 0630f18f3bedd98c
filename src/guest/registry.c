/*
 * The guests there are. The one file outside a guest's folder that names it; adding a guest is adding it here.
 */
#include "guest/aarch64/guest.h"

#include <string.h>

static const Guest *const guests[] = {&guest_aarch64};

const Guest *guest_by_elf(uint16_t machine)
{
    for (size_t i = 0; i < sizeof guests / sizeof *guests; i++)
        if (guests[i]->elf_machine == machine)
            return guests[i];
    return NULL;
}

const Guest *guest_by_name(const char *name)
{
    for (size_t i = 0; i < sizeof guests / sizeof *guests; i++)
        if (strcmp(guests[i]->name, name) == 0 || strcmp(guests[i]->deb_arch, name) == 0)
            return guests[i];
    return NULL;
}
