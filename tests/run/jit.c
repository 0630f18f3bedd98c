/* A guest that makes code while other threads run it: changed, moved, unmapped, mapped again at the same address. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ROUNDS 300

typedef unsigned Fn(unsigned);

/* add w0, w0, #n; ret */
static void emit(uint32_t *code, unsigned n)
{
    code[0] = 0x11000000 | n << 10;
    code[1] = 0xd65f03c0;
    __builtin___clear_cache((char *)code, (char *)(code + 2));
}

static void *run(void *arg)
{
    int id = (int)(intptr_t)arg;
    unsigned bad = 0;
    uint32_t *code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    for (unsigned i = 0; i < ROUNDS; i++) {
        emit(code, i);
        for (int k = 0; k < 3; k++)
            bad += ((Fn *)code)(1000) != 1000 + i;
        if (i % 10 == 9) { /* another mapping at the same place, made executable only afterwards */
            code = mmap(code, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
            emit(code, 4000 - i - (unsigned)id);
            mprotect(code, 4096, PROT_READ | PROT_EXEC);
            bad += ((Fn *)code)(1) != 4001 - i - (unsigned)id;
            mprotect(code, 4096, PROT_READ | PROT_WRITE | PROT_EXEC);
        }
    }
    return (void *)(intptr_t)bad;
}

/* Code written through a second mapping of the same memory. */
static unsigned two_views(void)
{
    int fd = memfd_create("code", 0);
    unsigned bad = 0;

    if (fd < 0 || ftruncate(fd, 4096))
        return 1;
    uint32_t *w = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    uint32_t *x = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
    for (unsigned i = 1; i < 50; i++) {
        emit(w, i);
        __builtin___clear_cache((char *)x, (char *)(x + 2));
        bad += ((Fn *)x)(1) != 1 + i;
    }
    return bad;
}

int main(void)
{
    pthread_t t[4];
    unsigned bad = two_views();

    for (int i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, run, (void *)(intptr_t)i);
    for (int i = 0; i < 4; i++) {
        void *r;
        pthread_join(t[i], &r);
        bad += (unsigned)(intptr_t)r;
    }
    printf("%u bad\n", bad);
    return bad != 0;
}
