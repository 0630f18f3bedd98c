/* Threads that write functions and call each a few times, as a just-in-time compiler does; a page is used again when it is full. */
#include "bench.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#ifndef THREADS
#define THREADS 8
#endif

enum { BYTES = 128, AREA = 1 << 20, CALLS = 3 };

typedef unsigned Fn(unsigned);
static long per_thread;

/* A function that adds n, eight times n's low byte, and so on: fifteen instructions. */
static void emit(uint8_t *p, unsigned n)
{
#ifdef __aarch64__
    uint32_t *code = (uint32_t *)p;
    *code++ = 0x52800001 | (n & 0xffff) << 5;         /* mov w1, #n */
    for (unsigned k = 0; k < 12; k++)
        *code++ = 0x0b010000 | (k & 3) << 10;         /* add w0, w0, w1, lsl #(k & 3) */
    *code++ = 0x4b010000;                             /* sub w0, w0, w1 */
    *code++ = 0xd65f03c0;                             /* ret */
    __builtin___clear_cache((char *)p, (char *)code);
#else
    static const uint8_t shift[3] = {0xc1, 0xe2};     /* shl edx, imm8 */
    unsigned imm = n & 0xffff;
    memcpy(p, "\x89\xf8\xb9", 3);                     /* mov eax, edi; mov ecx, imm */
    memcpy(p + 3, &imm, 4);
    p += 7;
    for (unsigned k = 0; k < 12; k++) {
        memcpy(p, "\x89\xca", 2);                     /* mov edx, ecx */
        memcpy(p + 2, shift, 2);
        p[4] = k & 3;
        memcpy(p + 5, "\x01\xd0", 2);                 /* add eax, edx */
        p += 7;
    }
    memcpy(p, "\x29\xc8\xc3", 3);                     /* sub eax, ecx; ret */
#endif
}

static void *worker(void *arg)
{
    uint8_t *area = mmap(NULL, AREA, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uintptr_t sum = 0;

    if (area == MAP_FAILED)
        return NULL;
    for (long k = 0; k < per_thread; k++) {
        uint8_t *p = area + k * BYTES % AREA;
        emit(p, (unsigned)k);
        for (unsigned c = 0; c < CALLS; c++)
            sum += ((Fn *)p)((unsigned)(k + c));
    }
    return (void *)sum;
}

int main(int argc, char **argv)
{
    pthread_t t[THREADS];
    uintptr_t sum = 0;
    void *r;

    per_thread = bench_scale(argc, argv, 50000) / THREADS;
    for (int i = 0; i < THREADS; i++) {
        if (pthread_create(&t[i], NULL, worker, NULL))
            return 1;
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(t[i], &r);
        sum += (uintptr_t)r;
    }
    printf("%llu\n", (unsigned long long)sum);
    return 0;
}
