#include "host/x86_64/asm.h"

#include "base/arena.h"
#include "base/check.h"

#include <string.h>

/* An opcode: its byte, the map it is in, its mandatory prefix. */
enum { M0F = 0x100, M38 = 0x200, M3A = 0x300, P66 = 0x1000, PF3 = 0x2000, PF2 = 0x3000, BYTE_REG = 0x10000, BYTE_RM = 0x20000 };

static void add_fix(Asm *a, uint32_t label, int32_t addend, bool near)
{
    if (a->nfix == a->cap_fix) {
        uint32_t cap = a->cap_fix ? 2 * a->cap_fix : 32;
        AsmFix *fix = ARENA_ARRAY((Arena *)a->arena, AsmFix, cap);
        if (a->nfix)
            memcpy(fix, a->fix, a->nfix * sizeof *fix);
        a->fix = fix;
        a->cap_fix = cap;
    }
    a->fix[a->nfix++] = (AsmFix){asm_here(a), label, addend, near};
}

void asm_fix32(Asm *a, uint32_t label, int32_t addend)
{
    add_fix(a, label, addend, false);
    asm_u32(a, 0);
}

static bool fits8(int32_t v)
{
    return v >= -128 && v <= 127;
}

static __attribute__((noinline)) void modrm_rip(Asm *a, uint8_t *p, unsigned reg, Mem m, unsigned imm_bytes)
{
    *p = (uint8_t)((reg & 7) << 3 | 5);
    a->p = p + 1;
    asm_fix32(a, m.label, m.disp - 4 - (int32_t)imm_bytes);
}

static inline void modrm_mem(Asm *a, uint8_t *p, unsigned reg, Mem m, unsigned imm_bytes, unsigned disp8)
{
    unsigned base = m.base & 7, mod = 2, len = 4, shift = (unsigned)__builtin_ctz(disp8);
    int32_t d = m.disp;

    if (m.rip) {
        modrm_rip(a, p, reg, m, imm_bytes);
        return;
    }
    if (m.base == MEM_NONE) { /* index or nothing, and a 32-bit displacement */
        mod = 0;
        base = 5;
    } else if (d == 0 && base != 5) {
        mod = len = 0;
    } else if (!((uint32_t)d & (disp8 - 1)) && fits8(d >> shift)) {
        mod = len = 1;
        d >>= shift;
    }
    reg = mod << 6 | (reg & 7) << 3;
    if (m.index != MEM_NONE || (m.base & 7) == 4) { /* so is MEM_NONE */
        *p++ = (uint8_t)(reg | 4);
        *p++ = (uint8_t)(m.scale << 6 | (m.index & 7) << 3 | base);
    } else {
        *p++ = (uint8_t)(reg | base);
    }
    memcpy(p, &d, 4); /* there is room for all of it */
    a->p = p + len;
}

void asm_modrm_mem(Asm *a, unsigned reg, Mem m, unsigned imm_bytes, unsigned disp8)
{
    modrm_mem(a, a->p, reg, m, imm_bytes, disp8);
}

/*
 * An opcode as it is put: its bytes, from the lowest; their number (OP_LEN); what else is in `op`, above OP_REST. Where
 * `op` is a constant, so is this.
 */
enum { OP_LEN = 24, OP_REST = 14 };

static inline uint32_t op_pack(unsigned op)
{
    unsigned map = op & 0xf00, byte = op & 0xff, rest = op >> 12 << (12 + OP_REST);
    switch (map) {
    case M0F: return rest | 2u << OP_LEN | byte << 8 | 0x0f;
    case M38: return rest | 3u << OP_LEN | byte << 16 | 0x380f;
    case M3A: return rest | 3u << OP_LEN | byte << 16 | 0x3a0f;
    default: return rest | 1u << OP_LEN | byte;
    }
}

static uint8_t *op_prefix(uint8_t *p, uint32_t code, Width w)
{
    unsigned pfx = code >> OP_REST & 0xf000;
    if (w == W16 || pfx == P66)
        *p++ = 0x66;
    if (pfx == PF3)
        *p++ = 0xf3;
    if (pfx == PF2)
        *p++ = 0xf2;
    return p;
}

/* Prefixes, REX if it says something or is needed, opcode. */
static inline uint8_t *op_head(uint8_t *p, uint32_t code, Width w, unsigned rex, bool need)
{
    if (w == W16 || (code >> OP_REST & 0xf000))
        p = op_prefix(p, code, w);
    rex |= (w == W64) << 3;
    *p = (uint8_t)(0x40 | rex);
    p += rex || need;
    memcpy(p, &code, 4);
    return p + (code >> OP_LEN & 3);
}

/* An instruction with a register (or opcode extension) and a register ... */
static void op_reg(Asm *a, uint32_t code, Width w, unsigned reg, Gpr r)
{
    bool need = ((code >> OP_REST & BYTE_REG) && reg >= 4) || ((code >> OP_REST & BYTE_RM) && r.n >= 4);
    uint8_t *p = op_head(a->p, code, w, (reg >> 3 & 1) << 2 | r.n >> 3, need);
    *p = (uint8_t)(0xc0 | (reg & 7) << 3 | (r.n & 7));
    a->p = p + 1;
}

/* ... or memory operand. */
static void op_mem(Asm *a, uint32_t code, Width w, unsigned reg, Mem m, unsigned imm_bytes)
{
    unsigned rex = (reg >> 3 & 1) << 2 | (m.index >> 3 & 1u) << 1 | (m.base >> 3 & 1u);
    modrm_mem(a, op_head(a->p, code, w, rex, (code >> OP_REST & BYTE_REG) && reg >= 4), reg, m, imm_bytes, 1);
}

static inline void op_rm(Asm *a, unsigned op, Width w, unsigned reg, RGm s, unsigned imm_bytes)
{
    if (s.mem)
        op_mem(a, op_pack(op), w, reg, s.m, imm_bytes);
    else
        op_reg(a, op_pack(op), w, reg, s.r);
}

/* Instructions whose opcode has an 8-bit form one below the others'. */
static inline void op_sized(Asm *a, unsigned op, Width w, unsigned reg, RGm s, unsigned imm_bytes, unsigned byte_flags)
{
    op_rm(a, w == W8 ? op | byte_flags : op + 1, w, reg, s, imm_bytes);
}

static void imm_sized(Asm *a, Width w, int32_t imm)
{
    if (w == W8) {
        asm_u8(a, (unsigned)imm);
    } else if (w == W16) {
        asm_u8(a, (unsigned)imm);
        asm_u8(a, (unsigned)imm >> 8);
    } else {
        asm_u32(a, (uint32_t)imm);
    }
}

static unsigned imm_size(Width w)
{
    return w == W8 ? 1 : w == W16 ? 2 : 4;
}

/* --- mov ------------------------------------------------------------------------------------------------------------ */

void x64_mov_rr(Asm *a, Width w, Gpr d, Gpr s)
{
    const uint8_t *start = a->p;
    op_rm(a, 0x8b, w == W64 ? W64 : W32, d.n, rm_r(s), 0);
    asm_flags_kept(a, start);
}

void x64_mov_ri(Asm *a, Gpr d, uint64_t imm)
{
    const uint8_t *start = a->p;
    if (imm <= UINT32_MAX) {
        if (d.n >= 8)
            asm_u8(a, 0x41);
        asm_u8(a, 0xb8 | (d.n & 7));
        asm_u32(a, (uint32_t)imm);
    } else if ((int64_t)imm == (int32_t)imm) {
        op_rm(a, 0xc7, W64, 0, rm_r(d), 4);
        asm_u32(a, (uint32_t)imm);
    } else {
        x64_mov_ri64(a, d, imm);
    }
    asm_flags_kept(a, start);
}

void x64_mov_ri64(Asm *a, Gpr d, uint64_t imm)
{
    const uint8_t *start = a->p;
    asm_u8(a, d.n >= 8 ? 0x49 : 0x48);
    asm_u8(a, 0xb8 | (d.n & 7));
    asm_u64(a, imm);
    asm_flags_kept(a, start);
}

void x64_mov_rm(Asm *a, Width w, Gpr d, Mem m)
{
    const uint8_t *start = a->p;
    CHECK(w >= W32);
    op_rm(a, 0x8b, w, d.n, rm_m(m), 0);
    asm_flags_kept(a, start);
}

void x64_mov_mr(Asm *a, Width w, Mem m, Gpr s)
{
    const uint8_t *start = a->p;
    op_sized(a, 0x88, w, s.n, rm_m(m), 0, BYTE_REG);
    asm_flags_kept(a, start);
}

void x64_mov_mi(Asm *a, Width w, Mem m, int32_t imm)
{
    const uint8_t *start = a->p;
    op_sized(a, 0xc6, w, 0, rm_m(m), imm_size(w), 0);
    imm_sized(a, w, imm);
    asm_flags_kept(a, start);
}

void x64_movzx(Asm *a, Width from, Gpr d, RGm s)
{
    const uint8_t *start = a->p;
    if (from == W32)
        op_rm(a, 0x8b, W32, d.n, s, 0);
    else
        op_rm(a, from == W8 ? M0F | 0xb6 | BYTE_RM : M0F | 0xb7, W32, d.n, s, 0);
    asm_flags_kept(a, start);
}

void x64_movsx(Asm *a, Width to, Width from, Gpr d, RGm s)
{
    const uint8_t *start = a->p;
    if (from == W32)
        op_rm(a, 0x63, W64, d.n, s, 0);
    else
        op_rm(a, from == W8 ? M0F | 0xbe | BYTE_RM : M0F | 0xbf, to, d.n, s, 0);
    asm_flags_kept(a, start);
}

void x64_movbe_rm(Asm *a, Width w, Gpr d, Mem m)
{
    const uint8_t *start = a->p;
    op_rm(a, M38 | 0xf0, w, d.n, rm_m(m), 0);
    asm_flags_kept(a, start);
}

void x64_movbe_mr(Asm *a, Width w, Mem m, Gpr s)
{
    const uint8_t *start = a->p;
    op_rm(a, M38 | 0xf1, w, s.n, rm_m(m), 0);
    asm_flags_kept(a, start);
}

void x64_lea(Asm *a, Width w, Gpr d, Mem m)
{
    const uint8_t *start = a->p;
    op_rm(a, 0x8d, w, d.n, rm_m(m), 0);
    asm_flags_kept(a, start);
}

void x64_xchg_rr(Asm *a, Width w, Gpr x, Gpr y)
{
    op_sized(a, 0x86, w, y.n, rm_r(x), 0, BYTE_REG | BYTE_RM);
}

void x64_xchg_mr(Asm *a, Width w, Mem m, Gpr s)
{
    op_sized(a, 0x86, w, s.n, rm_m(m), 0, BYTE_REG);
}

void x64_push(Asm *a, Gpr s)
{
    if (s.n >= 8)
        asm_u8(a, 0x41);
    asm_u8(a, 0x50 | (s.n & 7));
}

void x64_push_i(Asm *a, int32_t imm)
{
    if (fits8(imm)) {
        asm_u8(a, 0x6a);
        asm_u8(a, (unsigned)imm);
    } else {
        asm_u8(a, 0x68);
        asm_u32(a, (uint32_t)imm);
    }
}

void x64_push_m(Asm *a, Mem m)
{
    op_rm(a, 0xff, W32, 6, rm_m(m), 0);
}

void x64_pop(Asm *a, Gpr d)
{
    if (d.n >= 8)
        asm_u8(a, 0x41);
    asm_u8(a, 0x58 | (d.n & 7));
}

/* --- arithmetic ----------------------------------------------------------------------------------------------------- */

void x64_alu_rr(Asm *a, Alu op, Width w, Gpr d, Gpr s)
{
    x64_alu_rm(a, op, w, d, rm_r(s));
}

void x64_alu_rm(Asm *a, Alu op, Width w, Gpr d, RGm s)
{
    op_sized(a, (unsigned)op << 3 | 2, w, d.n, s, 0, BYTE_REG | BYTE_RM);
}

void x64_alu_mr(Asm *a, Alu op, Width w, Mem m, Gpr s)
{
    op_sized(a, (unsigned)op << 3, w, s.n, rm_m(m), 0, BYTE_REG);
}

static void alu_imm(Asm *a, Alu op, Width w, RGm d, int32_t imm)
{
    if (w == W8) {
        op_rm(a, 0x80 | BYTE_RM, w, op, d, 1);
        asm_u8(a, (unsigned)imm);
    } else if (fits8(imm)) {
        op_rm(a, 0x83, w, op, d, 1);
        asm_u8(a, (unsigned)imm);
    } else {
        op_rm(a, 0x81, w, op, d, imm_size(w));
        imm_sized(a, w, imm);
    }
}

void x64_alu_ri(Asm *a, Alu op, Width w, Gpr d, int32_t imm)
{
    alu_imm(a, op, w, rm_r(d), imm);
}

void x64_alu_mi(Asm *a, Alu op, Width w, Mem m, int32_t imm)
{
    alu_imm(a, op, w, rm_m(m), imm);
}

void x64_test_rr(Asm *a, Width w, Gpr x, Gpr y)
{
    op_sized(a, 0x84, w, y.n, rm_r(x), 0, BYTE_REG | BYTE_RM);
}

void x64_test_ri(Asm *a, Width w, Gpr x, int32_t imm)
{
    if (imm >= 0 && imm <= 127) /* no flag can differ */
        w = W8;
    op_sized(a, 0xf6, w, 0, rm_r(x), imm_size(w), BYTE_RM);
    imm_sized(a, w, imm);
}

void x64_test_mi(Asm *a, Width w, Mem m, int32_t imm)
{
    op_sized(a, 0xf6, w, 0, rm_m(m), imm_size(w), 0);
    imm_sized(a, w, imm);
}

void x64_inc(Asm *a, Width w, Gpr d)
{
    op_sized(a, 0xfe, w, 0, rm_r(d), 0, BYTE_RM);
}

void x64_dec(Asm *a, Width w, Gpr d)
{
    op_sized(a, 0xfe, w, 1, rm_r(d), 0, BYTE_RM);
}

void x64_neg(Asm *a, Width w, Gpr d)
{
    op_sized(a, 0xf6, w, 3, rm_r(d), 0, BYTE_RM);
}

void x64_not(Asm *a, Width w, Gpr d)
{
    op_sized(a, 0xf6, w, 2, rm_r(d), 0, BYTE_RM);
}

void x64_mul(Asm *a, Width w, RGm s)
{
    op_sized(a, 0xf6, w, 4, s, 0, BYTE_RM);
}

void x64_imul1(Asm *a, Width w, RGm s)
{
    op_sized(a, 0xf6, w, 5, s, 0, BYTE_RM);
}

void x64_div(Asm *a, Width w, RGm s)
{
    op_sized(a, 0xf6, w, 6, s, 0, BYTE_RM);
}

void x64_idiv(Asm *a, Width w, RGm s)
{
    op_sized(a, 0xf6, w, 7, s, 0, BYTE_RM);
}

void x64_cdq(Asm *a, Width w)
{
    if (w == W64)
        asm_u8(a, 0x48);
    asm_u8(a, 0x99);
}

void x64_imul(Asm *a, Width w, Gpr d, RGm s)
{
    op_rm(a, M0F | 0xaf, w, d.n, s, 0);
}

void x64_imul_i(Asm *a, Width w, Gpr d, RGm s, int32_t imm)
{
    if (fits8(imm)) {
        op_rm(a, 0x6b, w, d.n, s, 1);
        asm_u8(a, (unsigned)imm);
    } else {
        op_rm(a, 0x69, w, d.n, s, imm_size(w));
        imm_sized(a, w, imm);
    }
}

void x64_shift_i(Asm *a, Shift op, Width w, Gpr d, unsigned n)
{
    if (n == 1) {
        op_sized(a, 0xd0, w, op, rm_r(d), 0, BYTE_RM);
        return;
    }
    op_sized(a, 0xc0, w, op, rm_r(d), 1, BYTE_RM);
    asm_u8(a, n);
}

void x64_shift_cl(Asm *a, Shift op, Width w, Gpr d)
{
    op_sized(a, 0xd2, w, op, rm_r(d), 0, BYTE_RM);
}

void x64_shld_i(Asm *a, Width w, Gpr d, Gpr s, unsigned n)
{
    op_rm(a, M0F | 0xa4, w, s.n, rm_r(d), 1);
    asm_u8(a, n);
}

void x64_shrd_i(Asm *a, Width w, Gpr d, Gpr s, unsigned n)
{
    op_rm(a, M0F | 0xac, w, s.n, rm_r(d), 1);
    asm_u8(a, n);
}

void x64_bt_i(Asm *a, Bt op, Width w, Gpr d, unsigned bit)
{
    op_rm(a, M0F | 0xba, w, op, rm_r(d), 1);
    asm_u8(a, bit);
}

void x64_bt_r(Asm *a, Bt op, Width w, Gpr d, Gpr bit)
{
    op_rm(a, M0F | 0x83 | (unsigned)op << 3, w, bit.n, rm_r(d), 0);
}

void x64_bswap(Asm *a, Width w, Gpr d)
{
    unsigned rex = (w == W64 ? 8u : 0u) | d.n >> 3;
    if (rex)
        asm_u8(a, 0x40 | rex);
    asm_u8(a, 0x0f);
    asm_u8(a, 0xc8 | (d.n & 7));
}

void x64_popcnt(Asm *a, Width w, Gpr d, RGm s)
{
    op_rm(a, PF3 | M0F | 0xb8, w, d.n, s, 0);
}

void x64_lzcnt(Asm *a, Width w, Gpr d, RGm s)
{
    op_rm(a, PF3 | M0F | 0xbd, w, d.n, s, 0);
}

void x64_tzcnt(Asm *a, Width w, Gpr d, RGm s)
{
    op_rm(a, PF3 | M0F | 0xbc, w, d.n, s, 0);
}

void x64_crc32(Asm *a, Width from, Gpr d, RGm s)
{
    if (from == W8)
        op_rm(a, PF2 | M38 | 0xf0 | BYTE_RM, W32, d.n, s, 0);
    else
        op_rm(a, PF2 | M38 | 0xf1, from, d.n, s, 0);
}

void x64_setcc(Asm *a, Cc cc, Gpr d)
{
    const uint8_t *start = a->p;
    op_rm(a, M0F | 0x90 | cc | BYTE_RM, W32, 0, rm_r(d), 0);
    asm_flags_kept(a, start);
}

void x64_setcc_m(Asm *a, Cc cc, Mem m)
{
    const uint8_t *start = a->p;
    op_rm(a, M0F | 0x90 | cc, W32, 0, rm_m(m), 0);
    asm_flags_kept(a, start);
}

void x64_cmov(Asm *a, Cc cc, Width w, Gpr d, RGm s)
{
    const uint8_t *start = a->p;
    op_rm(a, M0F | 0x40 | cc, w, d.n, s, 0);
    asm_flags_kept(a, start);
}

void x64_clc(Asm *a)
{
    asm_u8(a, 0xf8);
}

void x64_stc(Asm *a)
{
    asm_u8(a, 0xf9);
}

void x64_cmc(Asm *a)
{
    asm_u8(a, 0xf5);
}

/* --- BMI ------------------------------------------------------------------------------------------------------------ */

enum { PP0, PP66, PPF3, PPF2 };

/* Three-byte VEX, L = 0. map: 1 0F, 2 0F38, 3 0F3A */
static void vex_rm(Asm *a, unsigned map, unsigned pp, unsigned op, Width w, unsigned reg, unsigned vvvv, RGm s,
                   unsigned imm_bytes)
{
    unsigned r = reg >> 3 & 1, x = 0, b = 0;
    if (!s.mem) {
        b = s.r.n >> 3;
    } else {
        x = s.m.index >> 3 & 1u;
        b = s.m.base >> 3 & 1u;
    }
    asm_u8(a, 0xc4);
    asm_u8(a, (r ^ 1) << 7 | (x ^ 1) << 6 | (b ^ 1) << 5 | map);
    asm_u8(a, (w == W64 ? 0x80u : 0u) | (~vvvv & 15) << 3 | pp);
    asm_u8(a, op);
    if (s.mem)
        asm_modrm_mem(a, reg, s.m, imm_bytes, 1);
    else
        asm_u8(a, 0xc0 | (reg & 7) << 3 | (s.r.n & 7));
}

void x64_andn(Asm *a, Width w, Gpr d, Gpr inverted, RGm s)
{
    vex_rm(a, 2, PP0, 0xf2, w, d.n, inverted.n, s, 0);
}

void x64_bextr(Asm *a, Width w, Gpr d, RGm s, Gpr control)
{
    vex_rm(a, 2, PP0, 0xf7, w, d.n, control.n, s, 0);
}

void x64_bzhi(Asm *a, Width w, Gpr d, RGm s, Gpr index)
{
    vex_rm(a, 2, PP0, 0xf5, w, d.n, index.n, s, 0);
}

void x64_blsr(Asm *a, Width w, Gpr d, RGm s)
{
    vex_rm(a, 2, PP0, 0xf3, w, 1, d.n, s, 0);
}

void x64_blsmsk(Asm *a, Width w, Gpr d, RGm s)
{
    vex_rm(a, 2, PP0, 0xf3, w, 2, d.n, s, 0);
}

/* AVX-512DQ */
void x64_kmovb_gk(Asm *a, Gpr d, unsigned k)
{
    vex_rm(a, 1, PP66, 0x93, W32, d.n, 0, rm_r((Gpr){(uint8_t)k}), 0);
}

void x64_kmovb_kg(Asm *a, unsigned k, Gpr s)
{
    vex_rm(a, 1, PP66, 0x92, W32, k, 0, rm_r(s), 0);
}

void x64_shlx(Asm *a, Width w, Gpr d, RGm s, Gpr count)
{
    vex_rm(a, 2, PP66, 0xf7, w, d.n, count.n, s, 0);
}

void x64_shrx(Asm *a, Width w, Gpr d, RGm s, Gpr count)
{
    vex_rm(a, 2, PPF2, 0xf7, w, d.n, count.n, s, 0);
}

void x64_sarx(Asm *a, Width w, Gpr d, RGm s, Gpr count)
{
    vex_rm(a, 2, PPF3, 0xf7, w, d.n, count.n, s, 0);
}

void x64_rorx(Asm *a, Width w, Gpr d, RGm s, unsigned n)
{
    vex_rm(a, 3, PPF2, 0xf0, w, d.n, 0, s, 1);
    asm_u8(a, n);
}

void x64_mulx(Asm *a, Width w, Gpr hi, Gpr lo, RGm s)
{
    const uint8_t *start = a->p;
    vex_rm(a, 2, PPF2, 0xf6, w, hi.n, lo.n, s, 0);
    asm_flags_kept(a, start);
}

void x64_pdep(Asm *a, Width w, Gpr d, Gpr s, RGm mask)
{
    vex_rm(a, 2, PPF2, 0xf5, w, d.n, s.n, mask, 0);
}

void x64_pext(Asm *a, Width w, Gpr d, Gpr s, RGm mask)
{
    vex_rm(a, 2, PPF3, 0xf5, w, d.n, s.n, mask, 0);
}

/* --- atomics -------------------------------------------------------------------------------------------------------- */

void x64_lock(Asm *a)
{
    asm_u8(a, 0xf0);
}

void x64_cmpxchg(Asm *a, Width w, Mem m, Gpr s)
{
    x64_lock(a);
    op_sized(a, M0F | 0xb0, w, s.n, rm_m(m), 0, BYTE_REG);
}

void x64_cmpxchg16b(Asm *a, Mem m)
{
    x64_lock(a);
    op_rm(a, M0F | 0xc7, W64, 1, rm_m(m), 0);
}

void x64_xadd(Asm *a, Width w, Mem m, Gpr s)
{
    x64_lock(a);
    op_sized(a, M0F | 0xc0, w, s.n, rm_m(m), 0, BYTE_REG);
}

/* --- control -------------------------------------------------------------------------------------------------------- */

void x64_jmp(Asm *a, uint32_t label)
{
    asm_u8(a, 0xe9);
    asm_fix32(a, label, -4);
}

void x64_jcc(Asm *a, Cc cc, uint32_t label)
{
    if (label < a->near_below) {
        asm_u8(a, 0x70 | cc);
        add_fix(a, label, -1, true);
        asm_u8(a, 0);
        return;
    }
    asm_u8(a, 0x0f);
    asm_u8(a, 0x80 | cc);
    asm_fix32(a, label, -4);
}

void x64_call(Asm *a, uint32_t label)
{
    asm_u8(a, 0xe8);
    asm_fix32(a, label, -4);
}

void x64_rel0(Asm *a, RelOp op)
{
    asm_u8(a, op == REL_JMP ? 0xe9 : 0xe8);
    asm_u32(a, 0);
}

uint32_t x64_jmp_short(Asm *a)
{
    asm_u8(a, 0xeb);
    asm_u8(a, 0);
    return asm_here(a);
}

uint32_t x64_jcc_short(Asm *a, Cc cc)
{
    asm_u8(a, 0x70 | cc);
    asm_u8(a, 0);
    return asm_here(a);
}

void asm_short_here(Asm *a, uint32_t mark)
{
    uint32_t n = asm_here(a) - mark;
    CHECK(n <= 127);
    a->start[mark - 1] = (uint8_t)n;
}

void asm_short_to(Asm *a, uint32_t mark, uint32_t to)
{
    CHECK(mark >= to && mark - to <= 128);
    a->start[mark - 1] = (uint8_t)(to - mark);
}

void x64_jmp_r(Asm *a, Gpr r)
{
    op_rm(a, 0xff, W32, 4, rm_r(r), 0);
}

void x64_jmp_m(Asm *a, Mem m)
{
    op_rm(a, 0xff, W32, 4, rm_m(m), 0);
}

void x64_call_r(Asm *a, Gpr r)
{
    op_rm(a, 0xff, W32, 2, rm_r(r), 0);
}

void x64_call_m(Asm *a, Mem m)
{
    op_rm(a, 0xff, W32, 2, rm_m(m), 0);
}

void x64_ret(Asm *a)
{
    asm_u8(a, 0xc3);
}

void x64_ud2(Asm *a)
{
    asm_u8(a, 0x0f);
    asm_u8(a, 0x0b);
}

void x64_int3(Asm *a)
{
    asm_u8(a, 0xcc);
}

void x64_lfence(Asm *a)
{
    asm_u8(a, 0x0f);
    asm_u8(a, 0xae);
    asm_u8(a, 0xe8);
}

void x64_pause(Asm *a)
{
    asm_u8(a, 0xf3);
    asm_u8(a, 0x90);
}

void x64_prefetch(Asm *a, Mem m, bool write)
{
    op_rm(a, M0F | (write ? 0x0d : 0x18), W32, 1, rm_m(m), 0);
}

void x64_ldmxcsr(Asm *a, Mem m)
{
    vex_rm(a, 1, PP0, 0xae, W32, 2, 0, rm_m(m), 0);
}

void x64_stmxcsr(Asm *a, Mem m)
{
    vex_rm(a, 1, PP0, 0xae, W32, 3, 0, rm_m(m), 0);
}

void x64_nop(Asm *a, unsigned bytes)
{
    static const uint8_t nops[9][9] = {
        {0x90},
        {0x66, 0x90},
        {0x0f, 0x1f, 0x00},
        {0x0f, 0x1f, 0x40, 0x00},
        {0x0f, 0x1f, 0x44, 0x00, 0x00},
        {0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00},
        {0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00},
        {0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00},
        {0x66, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00},
    };
    const uint8_t *start = a->p;
    while (bytes) {
        unsigned n = bytes < 9 ? bytes : 9;
        memcpy(a->p, nops[n - 1], n);
        a->p += n;
        bytes -= n;
    }
    asm_flags_kept(a, start);
}
