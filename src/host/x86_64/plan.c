#include "host/x86_64/plan.h"

#include <cpuid.h>
#include <stdlib.h>
#include <string.h>

/*
 * Registers for pinned slots, in order of use; the numbers of both classes are a matter of tuning. The rest are the
 * allocator's temporaries: too few of them and every longer expression spills.
 */
static const uint8_t pin_regs_int[] = {3, 5, 6, 7, 12, 13, 14, 11, 10, 9, 8}; /* rbx rbp rsi rdi r12 r13 r14 r11 r10 r9 r8 */
static const uint8_t pin_regs_vec[] = {8, 9, 10, 11, 12, 13, 14, 15}; /* the last may be REG_LANES */
/* The same with HostConfig.tool_calls: what C functions keep. A slot that is in its home costs less than one that each call moves. */
static const uint8_t pin_regs_kept[] = {3, 5, 12, 13, 14};

typedef struct CpuBit {
    uint8_t leaf, reg; /* reg: 0 ebx, 1 ecx, 2 edx (leaf 7); leaf 1: ecx */
    uint8_t bit;
    const char *name;
} CpuBit;

/* x86-64-v3 */
static const CpuBit required[] = {
    {1, 1, 12, "FMA"}, {1, 1, 13, "CMPXCHG16B"}, {1, 1, 20, "SSE4.2"}, {1, 1, 22, "MOVBE"}, {1, 1, 23, "POPCNT"},
    {1, 1, 28, "AVX"}, {1, 1, 29, "F16C"},       {7, 0, 3, "BMI1"},    {7, 0, 5, "AVX2"},   {7, 0, 8, "BMI2"},
};

/* What the processor says of itself, asked once: on a virtual machine every question costs tens of microseconds. */
typedef struct CpuWords {
    unsigned leaf1[4], leaf7[4], leaf7_1[4], extended[4]; /* eax ebx ecx edx */
    unsigned high[4]; /* leaf 13, of the component of xmm16-31 */
} CpuWords;

static void read_cpu(CpuWords *w)
{
    unsigned max = 0, r[3];
    memset(w, 0, sizeof *w);
    __cpuid(0, max, r[0], r[1], r[2]);
    __cpuid(1, w->leaf1[0], w->leaf1[1], w->leaf1[2], w->leaf1[3]);
    __cpuid(0x80000001, w->extended[0], w->extended[1], w->extended[2], w->extended[3]);
    if (max < 7)
        return;
    __cpuid_count(7, 0, w->leaf7[0], w->leaf7[1], w->leaf7[2], w->leaf7[3]);
    if (w->leaf7[0] >= 1)
        __cpuid_count(7, 1, w->leaf7_1[0], w->leaf7_1[1], w->leaf7_1[2], w->leaf7_1[3]);
    if (w->leaf7[1] >> 16 & 1)
        __cpuid_count(13, XSAVE_HIGH, w->high[0], w->high[1], w->high[2], w->high[3]);
}

static bool has_bit(const CpuWords *w, unsigned leaf, unsigned reg, unsigned bit)
{
    return (leaf == 1 ? w->leaf1 : w->leaf7)[reg + 1] >> bit & 1;
}

/* Register state that the operating system saves. */
static uint64_t xcr0(void)
{
    uint32_t lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return (uint64_t)hi << 32 | lo;
}

static void find_features(const CpuWords *w, X64Features *f, bool want_avx512)
{
    f->aes = has_bit(w, 1, 1, 25);
    f->pclmul = has_bit(w, 1, 1, 1);
    f->sha = has_bit(w, 7, 0, 29);
    f->gfni = has_bit(w, 7, 1, 8);
    f->vaes = has_bit(w, 7, 1, 9);
    f->vpclmul = has_bit(w, 7, 1, 10);
    if (!want_avx512 || (xcr0() & 0xe6) != 0xe6)
        return;
    f->avx512 = has_bit(w, 7, 0, 16) && has_bit(w, 7, 0, 31) && has_bit(w, 7, 0, 30) && has_bit(w, 7, 0, 17);
    if (!f->avx512)
        return;
    f->vbmi = has_bit(w, 7, 1, 1);
    f->vbmi2 = has_bit(w, 7, 1, 6);
    f->vnni512 = has_bit(w, 7, 1, 11);
    f->bitalg = has_bit(w, 7, 1, 12);
    f->vpopcntdq = has_bit(w, 7, 1, 14);
    f->ifma = has_bit(w, 7, 0, 21);
    f->fp16 = has_bit(w, 7, 2, 23);
    f->bf16 = w->leaf7_1[0] >> 5 & 1;
}

static bool check_required(const CpuWords *w, Status *st)
{
    for (size_t k = 0; k < sizeof required / sizeof *required; k++)
        if (!has_bit(w, required[k].leaf, required[k].reg, required[k].bit))
            return status_set(st, STATUS_HOST, "this processor lacks %s: x86-64-v3 is required", required[k].name);
    if (!(w->extended[2] >> 5 & 1))
        return status_set(st, STATUS_HOST, "this processor lacks LZCNT: x86-64-v3 is required");
    return true;
}

static void pin_slots(HostPlan *p, const uint16_t *slot, const uint8_t *reg, unsigned n, unsigned base)
{
    for (unsigned k = 0; slot && k < n && slot[k] != 0xffff; k++) {
        p->slot_pin[slot[k]] = p->reg_pin[reg[k] + base] = (uint8_t)p->npin;
        p->pinned |= REG_BIT(reg[k] + base);
        p->pin[p->npin++] = (Pin){slot[k], (uint8_t)(reg[k] + base), p->cfg.slots->slot[slot[k]].type};
    }
}

static void fill(HostPlan *p, const HostConfig *cfg)
{
    p->cfg = *cfg;
    memset(p->slot_pin, 0xff, sizeof p->slot_pin);
    memset(p->slot_flag, 0xff, sizeof p->slot_flag);
    memset(p->reg_pin, 0xff, sizeof p->reg_pin);
    for (unsigned k = 0; cfg->flags && k < FLAG_COUNT; k++) {
        p->slot_flag[cfg->flags[k]] = (uint8_t)k;
        p->flag_slots[cfg->flags[k] / 64] |= 1ull << (cfg->flags[k] % 64);
    }
    if (cfg->tool_calls) {
        pin_slots(p, cfg->pin_int, pin_regs_kept, sizeof pin_regs_kept, 0);
    } else {
        pin_slots(p, cfg->pin_int, pin_regs_int, sizeof pin_regs_int, 0);
        pin_slots(p, cfg->pin_vec, pin_regs_vec, sizeof pin_regs_vec - cfg->lanes, REG_X);
    }
    p->pool_r = REG_ALL_R & ~REG_BIT(RSP.n) & ~REG_BIT(R15.n);
    p->pool_x = REG_ALL_R << REG_X;
    if (cfg->lanes)
        p->pool_x &= ~REG_BIT(REG_LANES.n + REG_X);
    p->temps = (p->pool_r | p->pool_x) & ~p->pinned;
}

HostPlan *plan_new(const HostConfig *cfg, Status *st)
{
    bool native = !cfg->cpu || !strcmp(cfg->cpu, "native");
    bool avx512 = cfg->cpu && !strcmp(cfg->cpu, "avx512");

    if (!native && !avx512 && strcmp(cfg->cpu, "avx2")) {
        status_set(st, STATUS_USAGE, "unknown host processor '%s': native, avx2 or avx512", cfg->cpu);
        return NULL;
    }
    CpuWords w;
    read_cpu(&w);
    if (!check_required(&w, st))
        return NULL;
    HostPlan *p = calloc(1, sizeof *p);
    if (!p) {
        status_set(st, STATUS_HOST, "out of memory");
        return NULL;
    }
    fill(p, cfg);
    find_features(&w, &p->feat, native || avx512);
    if (p->feat.avx512)
        p->high_at = w.high[1];
    if (avx512 && !p->feat.avx512) {
        status_set(st, STATUS_HOST, "this processor has no AVX-512");
        free(p);
        return NULL;
    }
    return p;
}

void plan_free(HostPlan *p)
{
    free(p);
}
