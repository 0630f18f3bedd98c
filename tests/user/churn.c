/* A program that writes new code over old all the time, as JITs do: what it ran before is not kept. */
#include "t.h"

#include <sys/mman.h>

#define FUNCTIONS 128
#define INSNS 64
#define ROUNDS 200
#define WARM 40
#define MOST_KIB 8192 /* what memory may grow by; each round has 32 KiB of code */

static long resident_kib(void)
{
    char line[256];
    long kib = -1;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "VmRSS: %ld", &kib) == 1)
            break;
    if (f)
        fclose(f);
    return kib;
}

/* add x0, x0, #n and eor x0, x0, x1 in turn. */
static void write_function(uint32_t *p, unsigned n)
{
    for (int i = 0; i < INSNS - 1; i++)
        p[i] = i & 1 ? 0xca010000u : 0x91000000u | ((n + (unsigned)i) & 0xfff) << 10;
    p[INSNS - 1] = 0xd65f03c0u;
}

static uint64_t expected(uint64_t x, uint64_t y, unsigned n)
{
    for (int i = 0; i < INSNS - 1; i++)
        x = i & 1 ? x ^ y : x + ((n + (unsigned)i) & 0xfff);
    return x;
}

int main(void)
{
    uint32_t *code = mmap(NULL, FUNCTIONS * INSNS * 4, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    long warm = 0, end;
    int wrong = 0;
    for (unsigned r = 0; r < ROUNDS; r++) {
        for (unsigned i = 0; i < FUNCTIONS; i++)
            write_function(code + i * INSNS, r * 7 + i);
        __builtin___clear_cache((char *)code, (char *)(code + FUNCTIONS * INSNS));
        for (unsigned i = 0; i < FUNCTIONS; i++)
            wrong += ((uint64_t(*)(uint64_t, uint64_t))(void *)(code + i * INSNS))(r, i) != expected(r, i, r * 7 + i);
        if (r == WARM)
            warm = resident_kib();
    }
    end = resident_kib();
    printf("# %ld KiB, then %ld KiB\n", warm, end);
    OK(wrong == 0);
    if (t_sanitized("address") || t_sanitized("thread")) /* what is freed stays with its runtime for a while */
        t_skip("memory under a sanitizer");
    else
        OK(warm > 0 && end < warm + MOST_KIB);
    return t_done();
}
