#include "host/x86_64/disas.h"

#include <Zydis/Zydis.h>
#include <dlfcn.h>
#include <stdio.h>

unsigned x64_disas(const uint8_t *rx, uint64_t addr, char *buf, size_t buflen)
{
    ZyanStatus (*disassemble)(ZydisMachineMode, ZyanU64, const void *, ZyanUSize, ZydisDisassembledInstruction *);
    ZydisDisassembledInstruction insn;
    void *lib = dlopen("libZydis.so.4.0", RTLD_LAZY | RTLD_LOCAL); /* as base/capstone.h */

    *(void **)&disassemble = lib ? dlsym(lib, "ZydisDisassembleIntel") : NULL;
    if (!disassemble || !ZYAN_SUCCESS(disassemble(ZYDIS_MACHINE_MODE_LONG_64, addr, rx, 15, &insn))) {
        snprintf(buf, buflen, ".byte 0x%02x", rx[0]);
        return 1;
    }
    snprintf(buf, buflen, "%s", insn.text);
    return insn.info.length;
}
