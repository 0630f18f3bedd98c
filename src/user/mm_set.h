/*
 * A sorted set of address ranges with attributes: the data structure under mm.c. No locking, no system calls.
 */
#ifndef USER_MM_SET_H
#define USER_MM_SET_H

#include "user/mm.h"

typedef struct MmSet {
    MmRange *r;      /* sorted, disjoint */
    size_t n, cap;
    bool logged;     /* --log=mm shows its changes */
} MmSet;

void mmset_done(MmSet *s);
/* Index of the first range that ends above `addr`; s->n when there is none. */
size_t mmset_find(const MmSet *s, uint64_t addr);
/* Remove [start, end), splitting ranges at its ends. */
void mmset_remove(MmSet *s, uint64_t start, uint64_t end);
/* Remove, then insert; merges with equal neighbours except MM_SHM. */
void mmset_insert(MmSet *s, uint64_t start, uint64_t end, uint32_t prot, uint32_t kind);
/* Change the protection, or the kind, of what is there in [start, end). */
void mmset_set_prot(MmSet *s, uint64_t start, uint64_t end, uint32_t prot);
void mmset_set_kind(MmSet *s, uint64_t start, uint64_t end, uint32_t kind);
/* Whether every byte is in the set; whether none is; whether any has one of the protection bits. */
bool mmset_covers(const MmSet *s, uint64_t start, uint64_t end);
bool mmset_is_free(const MmSet *s, uint64_t start, uint64_t end);
bool mmset_any_prot(const MmSet *s, uint64_t start, uint64_t end, uint32_t prot);
/* The highest free stretch of `len` bytes inside [low, high); 0 when there is none. */
uint64_t mmset_find_free(const MmSet *s, uint64_t low, uint64_t high, uint64_t len);

#endif
