/*
 * Disassembly of host code for logs. One of two files provides it: disas_zydis.c, or disas_capstone.c where everything is
 * linked statically (Debian has no static Zydis; capstone knows less of AVX-512).
 */
#ifndef HOST_X86_64_DISAS_H
#define HOST_X86_64_DISAS_H

#include <stddef.h>
#include <stdint.h>

/* The instruction at rx, as if at addr, into buf; returns its length in bytes (> 0). */
unsigned x64_disas(const uint8_t *rx, uint64_t addr, char *buf, size_t buflen);

#endif
