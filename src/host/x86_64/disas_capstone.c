#include "host/x86_64/disas.h"

#include <capstone/capstone.h>
#include <stdio.h>

unsigned x64_disas(const uint8_t *rx, uint64_t addr, char *buf, size_t buflen)
{
    csh cs;
    cs_insn *insn;
    unsigned len = 1;

    snprintf(buf, buflen, ".byte 0x%02x", rx[0]);
    if (cs_open(CS_ARCH_X86, CS_MODE_64, &cs) != CS_ERR_OK)
        return len;
    if (cs_disasm(cs, rx, 15, addr, 1, &insn) == 1) {
        snprintf(buf, buflen, "%s%s%s", insn->mnemonic, *insn->op_str ? " " : "", insn->op_str);
        len = insn->size;
        cs_free(insn, 1);
    }
    cs_close(&cs);
    return len;
}
