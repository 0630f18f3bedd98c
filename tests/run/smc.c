/*
 * What compilers that run in the guest do with code: pages made writable and executable in turns, two views of one memory, words
 * patched while other threads run them, functions by the hundred thousand in the same place, code on stack and heap, code that
 * changes what comes next in itself.
 *
 *   smc           prints "0 bad"
 *   smc churn N   N functions in memory that is used again; prints "0 bad"
 *   smc flip N    a page of functions, made writable and executable again N times for one more; prints "0 bad"
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef uint32_t u32;
typedef unsigned Fn(unsigned);

enum { PAGE = 4096, RW = PROT_READ | PROT_WRITE, RX = PROT_READ | PROT_EXEC };

static unsigned bad;

static void check(const char *what, uint64_t got, uint64_t want)
{
    if (got != want) {
        printf("%s: %llu, not %llu\n", what, (unsigned long long)got, (unsigned long long)want);
        bad++;
    }
}

static void flush(void *from, size_t bytes)
{
    __builtin___clear_cache(from, (char *)from + bytes);
}

#define NOP 0xd503201fu
#define RET 0xd65f03c0u
#define ISB 0xd5033fdfu
#define ADD(n) (0x11000000u | (u32)(n) << 10)   /* add w0, w0, #n */
#define MOV(n) (0x52800000u | (u32)(n) << 5)    /* mov w0, #n */
#define B(words) (0x14000000u | ((u32)(words) & 0x3ffffff))

/* add w0, w0, #n; ret at `code`, as seen at `at` */
static void emit(u32 *code, u32 *at, unsigned n)
{
    code[0] = ADD(n);
    code[1] = RET;
    flush(at, 8);
}

static void *map(size_t bytes, int prot)
{
    void *p = mmap(NULL, bytes, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        exit(3);
    return p;
}

/* --- pages writable and executable in turns ------------------------------------------------------------------------------ */

/* Functions of a page, 16 bytes each; all are run after each change, and what was not changed is what it was. */
static void flips(unsigned rounds)
{
    enum { FUNCTIONS = 64 };
    u32 *page = map(PAGE, RW);
    unsigned value[FUNCTIONS];

    for (unsigned k = 0; k < FUNCTIONS; k++)
        emit(page + 4 * k, page + 4 * k, value[k] = k);
    for (unsigned r = 0; r < rounds; r++) {
        unsigned k = r * 7 % FUNCTIONS;
        mprotect(page, PAGE, RW);
        emit(page + 4 * k, page + 4 * k, value[k] = r % 4000);
        mprotect(page, PAGE, RX);
        for (unsigned i = 0; i < FUNCTIONS; i++)
            check("flip", ((Fn *)(page + 4 * i))(5), 5 + value[i]);
    }
    munmap(page, PAGE);
}

/* The same page is another one: what was there before may not come back. */
static void replaced(void)
{
    u32 *page = map(PAGE, RW);
    for (unsigned r = 0; r < 50; r++) {
        emit(page, page, r);
        mprotect(page, PAGE, RX);
        check("replaced", ((Fn *)page)(1), 1 + r);
        mprotect(page, PAGE, PROT_NONE);
        if (r & 1) { /* under the same address, without a flush: none of this was ever in a cache */
            munmap(page, PAGE);
            page = mmap(page, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
            page[0] = ADD(1000 + r);
            page[1] = RET;
            mprotect(page, PAGE, RX);
            check("mapped anew", ((Fn *)page)(1), 1001 + r);
        }
        mprotect(page, PAGE, RW);
        page[0] = ADD(2000 + r); /* a change of protection without a flush: most processors show it */
        mprotect(page, PAGE, RX);
        check("not flushed", ((Fn *)page)(1), 2001 + r);
        mprotect(page, PAGE, RW);
    }
    munmap(page, PAGE);
}

static void views(void)
{
    int fd = memfd_create("code", 0);
    if (fd < 0 || ftruncate(fd, PAGE))
        exit(3);
    u32 *w = mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0), *x = mmap(NULL, PAGE, RX, MAP_SHARED, fd, 0);
    for (unsigned r = 0; r < 2000; r++) {
        unsigned at = r % 100 * 8;
        emit(w + at, x + at, r % 4000);
        check("views", ((Fn *)(x + at))(1), 1 + r % 4000);
        if (r > 100)
            check("views, another", ((Fn *)(x + (r - 1) % 100 * 8))(1), 1 + (r - 1) % 4000);
    }
}

/* --- patched while it runs ----------------------------------------------------------------------------------------------- */

static u32 *patched;
static unsigned stop, calls[2];

static void *runner(void *arg)
{
    (void)arg;
    while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
        unsigned v = ((Fn *)patched)(0);
        if (v != 1 && v != 2)
            __atomic_fetch_add(&bad, 1, __ATOMIC_RELAXED);
        else
            __atomic_fetch_add(&calls[v - 1], 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

/* The word that changes is a NOP or a B, as the architecture lets others run while it changes. */
static void patching(void)
{
    pthread_t t[3];
    patched = map(PAGE, RW | PROT_EXEC);
    u32 code[] = {NOP, MOV(1), RET, MOV(2), RET};
    memcpy(patched, code, sizeof code);
    flush(patched, sizeof code);
    for (int i = 0; i < 3; i++)
        pthread_create(&t[i], NULL, runner, NULL);
    for (unsigned r = 0; r < 300; r++) {
        __atomic_store_n(&patched[0], r & 1 ? NOP : B(3), __ATOMIC_RELEASE);
        flush(patched, 4);
        check("patched", ((Fn *)patched)(0), r & 1 ? 1 : 2);
        if (r % 10 == 0) { /* the others come to it in time */
            unsigned before = __atomic_load_n(&calls[1 - (r & 1)], __ATOMIC_RELAXED);
            for (unsigned k = 0; k < 5000 && __atomic_load_n(&calls[1 - (r & 1)], __ATOMIC_RELAXED) == before; k++)
                usleep(100);
            if (__atomic_load_n(&calls[1 - (r & 1)], __ATOMIC_RELAXED) == before)
                check("others see the patch", 0, 1);
        }
    }
    stop = 1;
    for (int i = 0; i < 3; i++)
        pthread_join(t[i], NULL);
}

/* A loop that is running when it is changed so that it ends. */
static void *looper(void *code)
{
    return (void *)(uintptr_t)((Fn *)code)(0);
}

static void stop_loop(void)
{
    u32 *code = map(PAGE, RW | PROT_EXEC);
    pthread_t t;
    void *r;
    code[0] = MOV(7);
    code[1] = NOP;
    code[2] = B(-1);
    code[3] = RET;
    flush(code, 16);
    pthread_create(&t, NULL, looper, code);
    usleep(20000);
    __atomic_store_n(&code[1], B(2), __ATOMIC_RELEASE);
    flush(code, 16);
    pthread_join(t, &r);
    check("loop", (uintptr_t)r, 7);
}

/* --- code in odd places -------------------------------------------------------------------------------------------------- */

static void places(void)
{
    u32 stack[2 * PAGE / 4];
    u32 *at = (u32 *)(((uintptr_t)stack + PAGE - 1) & -(uintptr_t)PAGE);
    u32 *heap = aligned_alloc(PAGE, PAGE);

    mprotect(at, PAGE, RW | PROT_EXEC);
    mprotect(heap, PAGE, RW | PROT_EXEC);
    for (unsigned r = 0; r < 20; r++) {
        emit(at, at, r);
        emit(heap, heap, 100 + r);
        check("stack", ((Fn *)at)(1), 1 + r);
        check("heap", ((Fn *)heap)(1), 101 + r);
    }
    mprotect(at, PAGE, RW);
    mprotect(heap, PAGE, RW);
    free(heap);
}

/* A function that writes its own next instruction (w1), in the same straight line: dc cvau, ic ivau, isb, and there it is. */
static void itself(void)
{
    u32 *code = map(PAGE, RW | PROT_EXEC);
    u32 text[] = {
        0x10000102u,             /* adr x2, the word to change: 8 words on */
        0xb9000041u,             /* str w1, [x2] */
        0xd50b7b22u,             /* dc cvau, x2 */
        0xd5033b9fu,             /* dsb ish */
        0xd50b7522u,             /* ic ivau, x2 */
        0xd5033b9fu,             /* dsb ish */
        ISB,
        NOP,
        MOV(0),                  /* this one */
        RET,
    };
    memcpy(code, text, sizeof text);
    flush(code, sizeof text);
    for (unsigned r = 1; r < 200; r++)
        check("itself", ((unsigned (*)(unsigned, unsigned))code)(0, MOV(r)), r);
}

/* A large range that holds a little code is unmapped, protected and flushed, often. */
static void large(void)
{
    enum { BYTES = 64 << 20, ROUNDS = 40, EACH = 30 };
    for (unsigned r = 0; r < ROUNDS; r++) {
        char *area = map(BYTES, RW | PROT_EXEC);
        for (unsigned k = 0; k < EACH; k++) {
            u32 *at = (u32 *)(area + (size_t)k * (BYTES / EACH) / 16 * 16);
            emit(at, at, k + r);
            check("large", ((Fn *)at)(2), 2 + k + r);
        }
        mprotect(area, BYTES, PROT_READ);
        mprotect(area, BYTES, RX);
        check("large again", ((Fn *)area)(2), 2 + r);
        munmap(area, BYTES);
    }
}

/* --- churn ---------------------------------------------------------------------------------------------------------------- */

static void churn(unsigned long n)
{
    enum { AREA = 256 << 10 };
    char *area = map(AREA, RW | PROT_EXEC);
    for (unsigned long k = 0; k < n; k++) {
        u32 *at = (u32 *)(area + k * 64 % AREA);
        emit(at, at, k % 4000);
        check("churn", ((Fn *)at)(3), 3 + k % 4000);
    }
}

int main(int argc, char **argv)
{
    unsigned long n = argc > 2 ? strtoul(argv[2], NULL, 0) : 0;
    if (argc > 2 && strcmp(argv[1], "churn") == 0) {
        churn(n);
    } else if (argc > 2 && strcmp(argv[1], "flip") == 0) {
        flips((unsigned)n);
    } else {
        flips(200);
        replaced();
        views();
        patching();
        stop_loop();
        places();
        itself();
        large();
        churn(20000);
    }
    printf("%u bad\n", bad);
    return bad != 0;
}
