/*
 * The file that the memtrace tool writes. MIT licence. All numbers little-endian.
 *
 *   MEMTRACE_MAGIC, 8 bytes; then chunks until the end of the file: a MemtraceChunk, then `packed` bytes, a zstd frame of `raw`
 *
 * Chunks of one thread are in program order, and so are the records in each. An instruction is described, in a chunk of kind
 * MEMTRACE_CODE, before the first record that names it; the same address has a new number when there is other code at it.
 */
#ifndef DRAGOMAN_MEMTRACE_H
#define DRAGOMAN_MEMTRACE_H

#include <stdint.h>

#define MEMTRACE_MAGIC "DGTRACE1"

enum { MEMTRACE_CODE = 1 /* MemtraceInsn */, MEMTRACE_DATA /* MemtraceRecord */ };

typedef struct MemtraceChunk {
    uint32_t kind;
    uint32_t thread;      /* of data: number of the thread, from 0 in order of creation */
    uint64_t raw, packed; /* bytes */
} MemtraceChunk;

typedef struct MemtraceInsn {
    uint64_t pc, target;  /* target of a direct branch */
    uint32_t number;
    uint32_t class_;      /* DG_LOAD ... of plugin.h */
    uint8_t length;       /* bytes */
    uint8_t nread, nwritten;
    uint8_t zero[5];
    uint8_t read[8], written[8]; /* register numbers, the first of them */
} MemtraceInsn;

typedef struct MemtraceRecord {
    uint32_t insn;        /* number; MEMTRACE_NO_INSN: the system's doing */
    uint8_t bytes;        /* of the access; 0 when it is longer than 255 */
    uint8_t kind;         /* DG_READ, DG_WRITE, DG_BY_HELPER ... of plugin.h; 0: the instruction itself begins */
    uint16_t zero;
    uint64_t addr;        /* of the access; of the instruction */
} MemtraceRecord;

#define MEMTRACE_NO_INSN UINT32_MAX

#endif
