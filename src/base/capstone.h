/*
 * capstone, which disassembles for logs. Linked like other libraries it would cost every start half a millisecond and 300
 * pages, to relocate tables that hardly any run looks at: so it is loaded when it is first asked for (capstone_load.c).
 * Where everything is linked statically it is there from the start (capstone_linked.c).
 */
#ifndef BASE_CAPSTONE_H
#define BASE_CAPSTONE_H

#include <capstone/capstone.h>

typedef struct Capstone {
    cs_err (*open)(cs_arch arch, cs_mode mode, csh *handle);
    cs_err (*close)(csh *handle);
    size_t (*disasm)(csh handle, const uint8_t *code, size_t size, uint64_t address, size_t count, cs_insn **insn);
    void (*free)(cs_insn *insn, size_t count);
} Capstone;

/* Fill in *c; false when the library is not installed. Any thread. */
bool capstone_get(Capstone *c);

#endif
