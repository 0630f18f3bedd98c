/* Binary search in arrays that are sorted by a uint64_t member. */
#ifndef BASE_SEARCH_H
#define BASE_SEARCH_H

#include <stddef.h>
#include <stdint.h>

/* How many of the n elements have a key of at most `key`: `first` is the first one's key, `stride` an element's bytes. */
static inline size_t search_upto(const uint64_t *first, size_t n, size_t stride, uint64_t key)
{
    size_t lo = 0, hi = n;

    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (*(const uint64_t *)((const char *)first + mid * stride) <= key)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* The same of an array and the name of its member. */
#define SEARCH_UPTO(array, n, member, key) ((n) ? search_upto(&(array)->member, (n), sizeof *(array), (key)) : 0)

#endif
