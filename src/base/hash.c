#include "base/hash.h"

#define XXH_INLINE_ALL /* no library to be found and relocated at every start */
#include <xxhash.h>

uint64_t hash64(const void *p, size_t n)
{
    return XXH3_64bits(p, n);
}

Hash128 hash128(const void *p, size_t n)
{
    XXH128_hash_t h = XXH3_128bits(p, n);

    return (Hash128){h.low64, h.high64};
}
