/*
 * What the fuzzers share: a generator of random numbers with a fixed seed a case, so that each case can be repeated alone, and
 * a handler that names the case when dragoman's own checks, or a sanitizer, end the program.
 */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static uint64_t fuzz_case;   /* being done */
static uint64_t fuzz_state;

static inline uint64_t fuzz_next(void)
{
    uint64_t z = fuzz_state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static inline uint32_t fuzz_below(uint32_t n)
{
    return (uint32_t)(fuzz_next() >> 32) % n;
}

/* True once in n. */
static inline int fuzz_one_in(uint32_t n)
{
    return fuzz_below(n) == 0;
}

static inline void fuzz_start(uint64_t k)
{
    fuzz_case = k;
    fuzz_state = k * 0x2545f4914f6cdd1d + 1;
}

/* Async-signal-safe. */
static void fuzz_on_abort(int sig)
{
    char buf[64] = "# in case ", digits[24];
    unsigned n = 10, d = 0;

    for (uint64_t v = fuzz_case; v || !d; v /= 10)
        digits[d++] = (char)('0' + v % 10);
    while (d)
        buf[n++] = digits[--d];
    buf[n++] = '\n';
    if (write(STDERR_FILENO, buf, n) < 0)
        _exit(1);
}

static inline void fuzz_init(void)
{
    struct sigaction sa = {.sa_handler = fuzz_on_abort, .sa_flags = (int)SA_RESETHAND};
    sigaction(SIGABRT, &sa, NULL);
}

#endif
