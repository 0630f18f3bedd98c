/*
 * Indirect branches: their sites, the lookup behind each, and the promotion stubs that stand in front of it
 * (engine/promote.h). Convention: the guest address to go to is in rax, the guest state where it is between translations;
 * rcx is free.
 */
#include "host/x86_64/emit.h"

#include "base/check.h"
#include "host/x86_64/disas.h"

#include <string.h>

/* --- hardening ---------------------------------------------------------------------------------------------------------- */

/* Jump to an address in memory. */
static void jump_to(Sel *s, Mem m)
{
    switch (s->plan->cfg.harden) {
    case HARDEN_OFF:
        x64_jmp_m(s->a, m);
        break;
    case HARDEN_LFENCE: /* the load is over before anything behind the jump is run on a guess */
        x64_mov_rm(s->a, W64, RCX, m);
        x64_lfence(s->a);
        x64_jmp_r(s->a, RCX);
        break;
    case HARDEN_RETPOLINE:
        x64_mov_rm(s->a, W64, RCX, m);
        x64_jmp(s->a, label_stub(STUB_THUNK));
        break;
    }
}

/* --- in translations ------------------------------------------------------------------------------------------------------ */

/* The jump cache's entry for rax: flags say whether it matches; its hpc's operand is returned. Changes rcx. */
static Mem probe(Asm *a, unsigned shift)
{
    int32_t disp = plan_cpu_disp(offsetof(HostCpu, jcache));
    unsigned scale = shift < 3 ? (unsigned[]){3, 3, 2}[shift] : 1;

    x64_mov_rr(a, W32, RCX, RAX);
    if (shift == 0)
        x64_shift_i(a, SH_SHL, W32, RCX, 1);
    x64_alu_ri(a, ALU_AND, W32, RCX, (int32_t)(((1u << HOST_JCACHE_BITS) - 1) << (shift ? shift : 1)));
    x64_alu_rm(a, ALU_CMP, W64, RAX, rm_m(mem_bi(R15, RCX, scale, disp)));
    return mem_bi(R15, RCX, scale, disp + (int32_t)offsetof(HostJump, hpc));
}

void emit_lookup(Sel *s)
{
    Mem hpc = probe(s->a, s->plan->cfg.pc_shift);

    x64_jcc(s->a, CC_NE, label_stub(STUB_LOOKUP));
    jump_to(s, hpc);
}

uint32_t emit_count_miss(Sel *s, uint64_t pc)
{
    uint32_t often = sel_label(s), k = host_miss_index(pc, s->plan->cfg.pc_shift);

    x64_alu_mi(s->a, ALU_SUB, W32, sel_cpu(s, offsetof(HostCpu, miss) + 4 * k), 1);
    x64_jcc(s->a, CC_E, often);
    return often;
}

void emit_missed(Sel *s, uint32_t often, uint32_t site)
{
    sel_bind(s, often);
    x64_lea(s->a, W64, RCX, (Mem){.base = MEM_NONE, .index = MEM_NONE, .rip = true, .label = site});
    x64_jmp(s->a, label_stub(STUB_PROMOTE));
}

/* --- promotion stubs ------------------------------------------------------------------------------------------------------ */

/*
 * What targets are compared with: the guest address in rax, by a number of 32 bits when all fit; its distance from the first target, which
 * is in rcx behind the first comparison; or each by a number of 64 bits.
 */
typedef enum Compare { BY_NUMBER, BY_DISTANCE, BY_ADDRESS } Compare;

typedef struct Stubs {
    const HostPlan *plan;
    Asm a;
    int64_t delta;
    const HostPromotion *w;
    HostSite *site;
    Compare by;
} Stubs;

/* Of many targets so many, the hottest, are compared one after the other ... */
#define FRONT 8
/* ... and the others halved by their addresses until so few are left. */
#define HALVED 3

static const uint8_t *here(const Stubs *t)
{
    return t->a.p + t->delta;
}

/* A 32-bit displacement to an executable address. */
static void rel32(Stubs *t, const void *to)
{
    asm_u32(&t->a, (uint32_t)((const uint8_t *)to - (here(t) + 4)));
}

/* lea rcx, [to] */
static void lea_rcx(Stubs *t, const void *to)
{
    asm_u8(&t->a, 0x48);
    asm_u8(&t->a, 0x8d);
    asm_u8(&t->a, 0x0d);
    rel32(t, to);
}

static void jump(Stubs *t, const void *to)
{
    asm_u8(&t->a, 0xe9);
    rel32(t, to);
}

/* The signed number that stands for the k'th target. */
static int64_t number_of(const Stubs *t, unsigned k)
{
    const uint64_t *target = t->w->target;

    return (int64_t)(t->by == BY_DISTANCE ? target[0] - target[k] : target[k]);
}

static Compare compare_by(const HostPromotion *w)
{
    bool small = true, near = w->n > 1;

    for (unsigned k = 0; k < w->n; k++) {
        int64_t pc = (int64_t)w->target[k], distance = (int64_t)(w->target[0] - w->target[k]);
        small &= pc == (int32_t)pc;
        near &= distance == (int32_t)distance;
    }
    return small ? BY_NUMBER : near ? BY_DISTANCE : BY_ADDRESS;
}

static void compare(Stubs *t, unsigned k)
{
    int64_t number = number_of(t, k);

    if (t->by == BY_NUMBER) {
        x64_alu_ri(&t->a, ALU_CMP, W64, RAX, (int32_t)number);
    } else if (t->by == BY_DISTANCE && k > 0) {
        x64_alu_ri(&t->a, ALU_CMP, W64, RCX, (int32_t)number);
    } else {
        x64_mov_ri(&t->a, RCX, t->w->target[k]);
        if (t->by == BY_DISTANCE)
            x64_alu_rr(&t->a, ALU_SUB, W64, RCX, RAX);
        else
            x64_alu_rr(&t->a, ALU_CMP, W64, RAX, RCX);
    }
}

static void count(Stubs *t, uint64_t *cell)
{
    x64_mov_ri(&t->a, RCX, (uintptr_t)cell);
    x64_alu_mi(&t->a, ALU_ADD, W64, mem_b(RCX, 0), 1);
}

/* A forward jump, for `here_is`. */
static uint8_t *jcc(Stubs *t, Cc cc)
{
    asm_u8(&t->a, 0x0f);
    asm_u8(&t->a, (uint8_t)(0x80 + cc));
    asm_u32(&t->a, 0);
    return t->a.p - 4;
}

static void here_is(Stubs *t, uint8_t *at)
{
    int32_t d = (int32_t)(t->a.p - (at + 4));

    memcpy(at, &d, sizeof d);
}

/* The aligned displacement of a jump of `opcode` bytes just to come. */
static void align_site(Stubs *t, unsigned opcode)
{
    x64_nop(&t->a, (unsigned)(-((uintptr_t)t->a.p + opcode) & 3));
}

/* As the return would have: the last call is over. There may be none. */
static void pop_return(Stubs *t)
{
    x64_alu_rm(&t->a, ALU_CMP, W64, RSP, rm_m(plan_cpu(offsetof(HostCpu, shadow_base))));
    uint32_t none = x64_jcc_short(&t->a, CC_E);
    x64_lea(&t->a, W64, RSP, mem_b(RSP, 8));
    asm_short_here(&t->a, none);
}

/*
 * A comparison and a jump are all that the first target costs, which is the hottest. While their order is being found out, the others count down the
 * same count as misses do, which takes a taken jump more: a fifth of the time of a loop that calls four functions in turn.
 */
static void one_target(Stubs *t, unsigned k, uint8_t **often)
{
    const HostPromotion *w = t->w;
    HostSite *site = &t->site[k];
    unsigned miss = host_miss_index(w->pc, t->plan->cfg.pc_shift);
    bool counts = k > 0 && w->counts;

    compare(t, k);
    if (!counts && !w->hits && !w->pops) {
        align_site(t, 2);
        asm_u8(&t->a, 0x0f);
        asm_u8(&t->a, 0x84);
        site->offset = (uint32_t)(t->a.p - t->a.start);
        asm_u32(&t->a, 0);
        return;
    }
    uint32_t next = x64_jcc_short(&t->a, CC_NE);
    if (w->hits)
        count(t, w->hits[k]);
    if (counts) {
        x64_alu_mi(&t->a, ALU_SUB, W32, plan_cpu(offsetof(HostCpu, miss) + 4 * miss), 1);
        *often = jcc(t, CC_E);
    }
    if (w->pops)
        pop_return(t);
    align_site(t, 1);
    asm_u8(&t->a, 0xe9);
    site->offset = (uint32_t)(t->a.p - t->a.start);
    asm_u32(&t->a, 0);
    asm_short_here(&t->a, next);
}

/* What the site of a target leads to until it is linked. */
static void link_stub(Stubs *t, HostSite *site)
{
    here_is(t, t->a.start + site->offset);
    site->stub = (uint32_t)(t->a.p - t->a.start);
    asm_u8(&t->a, 0xe8);
    rel32(t, t->plan->stub[STUB_LINK]);
}

static void no_target(Stubs *t)
{
    if (t->w->hits)
        count(t, t->w->hits[t->w->n]);
    jump(t, t->w->lookup);
}

/* The targets k[0..n), in the order of their numbers. */
static void halve(Stubs *t, const uint8_t *k, unsigned n)
{
    if (n <= HALVED) {
        for (unsigned i = 0; i < n; i++)
            one_target(t, k[i], NULL);
        no_target(t);
        return;
    }
    compare(t, k[n / 2]);
    uint8_t *above = jcc(t, CC_GE);
    halve(t, k, n / 2);
    here_is(t, above);
    halve(t, k + n / 2, n - n / 2);
}

static void sort(const Stubs *t, uint8_t *k, unsigned n)
{
    for (unsigned i = 1; i < n; i++)
        for (unsigned j = i; j > 0 && number_of(t, k[j]) < number_of(t, k[j - 1]); j--) {
            uint8_t less = k[j];
            k[j] = k[j - 1];
            k[j - 1] = less;
        }
}

/* Many targets: what is regular enough to have so many, processors guess as well by halves as in a row. */
static void long_stub(Stubs *t)
{
    unsigned n = t->w->n - FRONT;
    uint8_t k[HOST_PROMOTE_MAX];

    for (unsigned i = 0; i < FRONT; i++)
        one_target(t, i, NULL);
    for (unsigned i = 0; i < n; i++)
        k[i] = (uint8_t)(FRONT + i);
    sort(t, k, n);
    halve(t, k, n);
}

static void short_stub(Stubs *t)
{
    const HostPromotion *w = t->w;
    uint8_t *often[HOST_PROMOTE_ROW];

    for (unsigned k = 0; k < w->n; k++)
        one_target(t, k, &often[k]);
    no_target(t);
    if (w->n == 1 || !w->counts)
        return;
    for (unsigned k = 1; k < w->n; k++)
        here_is(t, often[k]);
    lea_rcx(t, w->site);
    jump(t, t->plan->stub[STUB_PROMOTE]);
}

bool x64_promotion(const HostPlan *plan, CodeBuf *cb, const HostPromotion *w, HostSite *site)
{
    Stubs t = {.plan = plan, .delta = cb->delta, .a = {.start = cb->p, .p = cb->p, .end = cb->end}, .w = w, .site = site, .by = compare_by(w)};

    CHECK(w->n >= 1 && w->n <= (w->counts ? HOST_PROMOTE_ROW : HOST_PROMOTE_MAX));
    if ((size_t)(cb->end - cb->p) < HOST_PROMOTE_BYTES(w->n)) {
        cb->overflow = true;
        return false;
    }
    for (unsigned k = 0; k < w->n; k++)
        site[k] = (HostSite){.target = w->target[k], .hot = true};
    if (w->n <= HOST_PROMOTE_ROW)
        short_stub(&t);
    else
        long_stub(&t);
    for (unsigned k = 0; k < w->n; k++)
        link_stub(&t, &site[k]);
    CHECK(t.a.p <= cb->end);
    cb->p = t.a.p;
    return true;
}

/* --- proof ---------------------------------------------------------------------------------------------------------------- */

/* A jump or call, as the disassembler writes it, to what is in a register or in memory. */
static bool is_indirect(const char *text)
{
    const char *p = !strncmp(text, "jmp ", 4) ? text + 4 : !strncmp(text, "call ", 5) ? text + 5 : NULL;

    return p && strncmp(p, "0x", 2) != 0;
}

size_t x64_unprotected(const HostPlan *plan, const uint8_t *code, size_t len)
{
    bool fenced = false, stubs = !code;

    if (stubs) {
        code = plan->stub[STUB_THUNK];
        len = (size_t)(plan->stub[STUB_ESTIMATES] - code);
    }
    for (size_t at = 0; at < len;) {
        char text[128];
        unsigned n = x64_disas(code + at, (uint64_t)(uintptr_t)(code + at), text, sizeof text);
        CHECK(n > 0);
        if (is_indirect(text) && !(fenced && plan->cfg.harden == HARDEN_LFENCE))
            return at + stubs;
        fenced = !strncmp(text, "lfence", 6);
        at += n;
    }
    return stubs ? 0 : len;
}
