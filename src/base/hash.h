/*
 * Hashes of memory: checksums of files and keys made of contents. Not for secrets: who can write a file can write its
 * checksum too.
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

typedef struct Hash128 {
    uint64_t lo, hi;
} Hash128;

/* XXH3 of n bytes. */
uint64_t hash64(const void *p, size_t n);
Hash128 hash128(const void *p, size_t n);

#endif
