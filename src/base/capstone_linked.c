#include "base/capstone.h"

bool capstone_get(Capstone *c)
{
    *c = (Capstone){cs_open, cs_close, cs_disasm, cs_free};
    return true;
}
