/*
 * Branch tables: where a `br` goes by a table that compilers make for a `switch`.
 *
 *   cmp  w1, #9                          bound
 *   b.hi default
 *   adrp x2, table                       often far in front, in what is done once before a loop
 *   add  x2, x2, :lo12:table
 *   ldrb w1, [x2, w1, uxtw]              entry: 1, 2 or 4 bytes, from a base
 *   adr  x3, base
 *   add  x1, x3, w1, sxtb #2
 *   br   x1
 *
 * What is found are guesses: a register may be written elsewhere than in the instruction that is nearest in front. Who uses the
 * targets compares with them. A table of labels, as interpreters have (`ldr x0, [x1, x0, lsl #3]; br x0`), is not taken for one: it has a
 * branch behind each piece, all with the same many targets, which the engine's trails serve better.
 */
#include "guest/aarch64/branch_table.h"
#include "guest/aarch64/lift.h"

#include <string.h>

enum {
    NEAR = 12,   /* instructions between parts of the idiom */
    BOUND = 10,  /* to the comparison with the bound */
};

enum { ENTRIES = 256, ENTRIES_UNBOUNDED = 32 };

enum { UXTB, UXTH, UXTW, UXTX, SXTB, SXTH, SXTW, SXTX, EXTEND_NONE }; /* as A64 numbers them */

/* A target is base + (entry, extended, << shift). */
typedef struct Table {
    uint64_t table, base;
    unsigned size; /* bytes of an entry */
    bool sign;     /* sign-extended by the load */
    unsigned extend, shift;
    unsigned count; /* entries; 0: no bound was found */
} Table;

/* Code in front of the branch. */
typedef struct Code {
    const uint8_t *bytes;
    uint64_t pc; /* of bytes[0] */
} Code;

static uint32_t word(const Code *c, size_t k)
{
    uint32_t insn;

    memcpy(&insn, c->bytes + 4 * k, 4);
    return insn;
}

static unsigned field(uint32_t insn, unsigned lsb, unsigned width)
{
    return insn >> lsb & ((1u << width) - 1);
}

static int id_of(uint32_t insn)
{
    return a64_decode(UINT64_MAX, insn);
}

/* Address that an ADR or ADRP says. */
static uint64_t pc_relative(uint32_t insn, uint64_t pc, bool page)
{
    int64_t imm = a64_sext(field(insn, 5, 19) << 2 | field(insn, 29, 2), 21);

    return page ? (pc & ~(uint64_t)4095) + (uint64_t)imm * 4096 : pc + (uint64_t)imm;
}

/*
 * The address that the nearest ADR, or ADRP and ADD, in front of instruction k puts in a register, at most `most` instructions
 * away.
 */
static bool address_in(const Code *c, size_t k, unsigned reg, size_t most, uint64_t *out)
{
    uint64_t add = 0;

    for (size_t n = 0; k-- > 0 && n < most; n++) {
        uint32_t insn = word(c, k);
        if (field(insn, 0, 5) != reg)
            continue;
        switch (id_of(insn)) {
        case A64_INSN_adr:
        case A64_INSN_adrp:
            *out = pc_relative(insn, c->pc + 4 * k, id_of(insn) == A64_INSN_adrp) + add;
            return true;
        case A64_INSN_add_imm:
            if (add || !field(insn, 31, 1) || field(insn, 22, 1))
                return false;
            add = field(insn, 10, 12);
            reg = field(insn, 5, 5);
            break;
        }
    }
    return false;
}

/* The load of an entry into a register, nearest in front of instruction k. */
static bool entry_load(const Code *c, size_t k, unsigned reg, Table *t)
{
    for (size_t n = 0; k-- > 0 && n < NEAR; n++) {
        uint32_t insn = word(c, k);
        int id = id_of(insn);
        if (field(insn, 0, 5) != reg || (id != A64_INSN_ldr_reg && id != A64_INSN_ldrs_x_reg && id != A64_INSN_ldrs_w_reg))
            continue;
        t->size = 1u << field(insn, 30, 2);
        t->sign = id != A64_INSN_ldr_reg;
        t->count = 0;
        for (size_t m = k, far = 0; m-- > 0 && far < BOUND && !t->count; far++) {
            uint32_t cmp = word(c, m);
            if (id_of(cmp) == A64_INSN_subs_imm && field(cmp, 0, 5) == 31 && !field(cmp, 22, 1))
                t->count = field(cmp, 10, 12) + 1;
        }
        return address_in(c, k, field(insn, 5, 5), SIZE_MAX, &t->table);
    }
    return false;
}

/* base + entry: how the entry is extended and shifted. */
static bool entry_add(const Code *c, size_t k, unsigned reg, Table *t, unsigned *entry)
{
    for (size_t n = 0; k-- > 0 && n < NEAR; n++) {
        uint32_t insn = word(c, k);
        int id = id_of(insn);
        if (field(insn, 0, 5) != reg || !field(insn, 31, 1) || (id != A64_INSN_add_ext && id != A64_INSN_add_shift))
            continue;
        *entry = field(insn, 16, 5);
        t->extend = id == A64_INSN_add_ext ? field(insn, 13, 3) : EXTEND_NONE;
        t->shift = id == A64_INSN_add_ext ? field(insn, 10, 3) : field(insn, 10, 6);
        return address_in(c, k, field(insn, 5, 5), NEAR, &t->base) || address_in(c, k, field(insn, 5, 5), SIZE_MAX, &t->base);
    }
    return false;
}

static bool find(const uint8_t *code, size_t n, uint64_t pc, Table *t)
{
    size_t k = n / 4 - 1;
    Code c = {code, pc - 4 * k};
    uint32_t br = word(&c, k);
    unsigned entry, reg = field(br, 5, 5);

    *t = (Table){.extend = EXTEND_NONE};
    if (id_of(br) != A64_INSN_br)
        return false;
    return entry_add(&c, k, reg, t, &entry) && entry_load(&c, k, entry, t) && t->size < 8;
}

static uint64_t target(const Table *t, uint64_t entry)
{
    static const uint8_t bits[] = {[UXTB] = 8, [UXTH] = 16, [UXTW] = 32, [SXTB] = 8, [SXTH] = 16, [SXTW] = 32};

    if (t->sign)
        entry = (uint64_t)a64_sext(entry, 8 * t->size);
    if (t->extend < UXTX)
        entry &= (UINT64_C(1) << bits[t->extend]) - 1;
    else if (t->extend >= SXTB && t->extend < SXTX)
        entry = (uint64_t)a64_sext(entry, bits[t->extend]);
    return t->base + (entry << t->shift);
}

static unsigned add(uint64_t *out, unsigned n, unsigned max, uint64_t to)
{
    unsigned k = 0;

    while (k < n && out[k] != to)
        k++;
    if (k == n && n < max)
        out[n++] = to;
    return n;
}

unsigned a64_branch_targets(const uint8_t *code, size_t n, uint64_t pc, GuestRead *read, void *ctx, uint64_t *out, unsigned max)
{
    Table t;
    unsigned found = 0;

    if (n < 4 || !find(code, n, pc, &t))
        return 0;
    unsigned entries = t.count ? t.count : ENTRIES_UNBOUNDED;
    for (unsigned k = 0; k < entries && k < ENTRIES; k++) {
        uint64_t entry = 0;
        if (!read(ctx, t.table + (uint64_t)k * t.size, &entry, t.size))
            break;
        uint64_t to = target(&t, entry);
        if (to & 3)
            break;
        found = add(out, found, max, to);
    }
    return found;
}
