/*
 * Typed encoder for the x86-64 instructions that the backend uses. Register classes are one-member structs, so that a
 * vector register in an integer place does not compile. Bytes appear only in asm.c (integer) and asm_vec.c (VEX, EVEX).
 *
 * Encoders never fail: the caller makes room first (asm_room), which is done once an IR instruction.
 */
#ifndef HOST_X86_64_ASM_H
#define HOST_X86_64_ASM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Gpr {
    uint8_t n; /* 0..15 */
} Gpr;

typedef struct Xmm {
    uint8_t n; /* 0..31; 16 and up need EVEX */
} Xmm;

#define RAX ((Gpr){0})
#define RCX ((Gpr){1})
#define RDX ((Gpr){2})
#define RBX ((Gpr){3})
#define RSP ((Gpr){4})
#define RBP ((Gpr){5})
#define RSI ((Gpr){6})
#define RDI ((Gpr){7})
#define R8  ((Gpr){8})
#define R9  ((Gpr){9})
#define R10 ((Gpr){10})
#define R11 ((Gpr){11})
#define R12 ((Gpr){12})
#define R13 ((Gpr){13})
#define R14 ((Gpr){14})
#define R15 ((Gpr){15})

typedef enum Width { W8, W16, W32, W64 } Width;

/* Condition codes, numbered as the instructions encode them; cc ^ 1 is the opposite. */
typedef enum Cc {
    CC_O, CC_NO, CC_B, CC_AE, CC_E, CC_NE, CC_BE, CC_A, CC_S, CC_NS, CC_P, CC_NP, CC_L, CC_GE, CC_LE, CC_G
} Cc;

/* The eight two-operand operations, numbered as the instructions encode them. */
typedef enum Alu { ALU_ADD, ALU_OR, ALU_ADC, ALU_SBB, ALU_AND, ALU_SUB, ALU_XOR, ALU_CMP } Alu;
typedef enum Shift { SH_ROL, SH_ROR, SH_RCL, SH_RCR, SH_SHL, SH_SHR, SH_SAR = 7 } Shift;
typedef enum Bt { BT_BT = 4, BT_BTS, BT_BTR, BT_BTC } Bt;

/* A memory operand: base + (index << scale) + disp, or rip-relative to a label (constant pool). */
#define MEM_NONE 0x84 /* as the encoding has it: 4 for no index in the byte of base and index, no bit of REX */
typedef struct Mem {
    uint8_t base, index; /* register numbers or MEM_NONE */
    uint8_t scale;       /* 0..3 */
    bool rip;            /* relative to `label`; base, index unused */
    int32_t disp;        /* with rip: added to the label's address */
    uint32_t label;
} Mem;

static inline Mem mem_b(Gpr base, int32_t disp)
{
    return (Mem){.base = base.n, .index = MEM_NONE, .disp = disp};
}

/* `index` is not RSP, which has no encoding as one. */
static inline Mem mem_bi(Gpr base, Gpr index, unsigned scale, int32_t disp)
{
    return (Mem){.base = base.n, .index = index.n, .scale = (uint8_t)scale, .disp = disp};
}

/* Register or memory, as most instructions take for one source. */
typedef struct RGm {
    bool mem;
    Gpr r;
    Mem m;
} RGm;

typedef struct RXm {
    bool mem;
    Xmm x;
    Mem m;
} RXm;

static inline RGm rm_r(Gpr r)
{
    return (RGm){.r = r};
}

static inline RGm rm_m(Mem m)
{
    return (RGm){.mem = true, .m = m};
}

static inline RXm xm_x(Xmm x)
{
    return (RXm){.x = x};
}

static inline RXm xm_m(Mem m)
{
    return (RXm){.mem = true, .m = m};
}

/* A displacement to be filled in when the label's place is known. */
typedef struct AsmFix {
    uint32_t at;    /* offset of the displacement in its Asm */
    uint32_t label;
    int32_t addend; /* value = label - address of the displacement + addend */
    bool near;      /* it has 8 bits, not 32 */
} AsmFix;

struct Arena;

/* One run of code being written; a translation has two (see x64.h): the main path and the cold code. */
typedef struct Asm {
    uint8_t *start, *p, *end;
    bool overflow;     /* no room: what was written is void (p goes back to start, so nothing is written past end) */
    AsmFix *fix;       /* grows in the arena */
    uint32_t nfix, cap_fix;
    struct Arena *arena;
    uint32_t near_below; /* conditional jumps to labels below this number are of the short form */
    const uint8_t *flags_at; /* the caller's: it is at p when the host's flags are as the caller knows them. Moves keep it there */
} Asm;

#define ASM_ROOM 4096 /* bytes that one IR instruction may emit at most */

/* Make sure that ASM_ROOM bytes can be written. */
static inline void asm_room(Asm *a)
{
    if ((size_t)(a->end - a->p) < ASM_ROOM) {
        a->overflow = true;
        a->p = a->start;
    }
}

static inline uint32_t asm_here(const Asm *a)
{
    return (uint32_t)(a->p - a->start);
}

/* What has been written since `from` has not changed the host's flags. */
static inline void asm_flags_kept(Asm *a, const uint8_t *from)
{
    if (a->flags_at == from)
        a->flags_at = a->p;
}

static inline void asm_u8(Asm *a, unsigned v)
{
    *a->p++ = (uint8_t)v;
}

static inline void asm_u32(Asm *a, uint32_t v)
{
    __builtin_memcpy(a->p, &v, 4);
    a->p += 4;
}

static inline void asm_u64(Asm *a, uint64_t v)
{
    __builtin_memcpy(a->p, &v, 8);
    a->p += 8;
}

/* Note that the four bytes at the write position are the distance to `label` plus `addend`, and write them as 0. */
void asm_fix32(Asm *a, uint32_t label, int32_t addend);
/*
 * ModRM, SIB and displacement of memory operand `m` with `reg` (3 low bits) in the reg field.
 *   imm_bytes  bytes of the instruction after the displacement (for rip-relative operands)
 *   disp8      bytes that an 8-bit displacement is scaled by: 1, or EVEX's N
 */
void asm_modrm_mem(Asm *a, unsigned reg, Mem m, unsigned imm_bytes, unsigned disp8);

/* mov */
void x64_mov_rr(Asm *a, Width w, Gpr d, Gpr s);            /* W32 and W64 (W8, W16: low part only) */
void x64_mov_ri(Asm *a, Gpr d, uint64_t imm);              /* shortest form; 0 too is a mov: flags are kept */
void x64_mov_ri64(Asm *a, Gpr d, uint64_t imm);            /* always the 10-byte form (relocatable) */
void x64_mov_rm(Asm *a, Width w, Gpr d, Mem m);            /* W32 and W64 */
void x64_mov_mr(Asm *a, Width w, Mem m, Gpr s);
void x64_mov_mi(Asm *a, Width w, Mem m, int32_t imm);      /* W64: sign-extended */
void x64_movzx(Asm *a, Width from, Gpr d, RGm s);          /* W8, W16, W32 to 64 bits */
void x64_movsx(Asm *a, Width to, Width from, Gpr d, RGm s);/* to W32 (upper half zero) or W64 */
void x64_movbe_rm(Asm *a, Width w, Gpr d, Mem m);
void x64_movbe_mr(Asm *a, Width w, Mem m, Gpr s);
void x64_lea(Asm *a, Width w, Gpr d, Mem m);
void x64_xchg_rr(Asm *a, Width w, Gpr x, Gpr y);
void x64_xchg_mr(Asm *a, Width w, Mem m, Gpr s);           /* locked by definition */
void x64_push(Asm *a, Gpr s);
void x64_push_i(Asm *a, int32_t imm);                      /* sign-extended to 64 bits */
void x64_push_m(Asm *a, Mem m);
void x64_pop(Asm *a, Gpr d);

/* arithmetic */
void x64_alu_rr(Asm *a, Alu op, Width w, Gpr d, Gpr s);
void x64_alu_rm(Asm *a, Alu op, Width w, Gpr d, RGm s);
void x64_alu_mr(Asm *a, Alu op, Width w, Mem m, Gpr s);
void x64_alu_ri(Asm *a, Alu op, Width w, Gpr d, int32_t imm);
void x64_alu_mi(Asm *a, Alu op, Width w, Mem m, int32_t imm);
void x64_test_rr(Asm *a, Width w, Gpr x, Gpr y);
void x64_test_ri(Asm *a, Width w, Gpr x, int32_t imm);     /* shortens to a byte where the flags allow */
void x64_test_mi(Asm *a, Width w, Mem m, int32_t imm);
void x64_inc(Asm *a, Width w, Gpr d);
void x64_dec(Asm *a, Width w, Gpr d);
void x64_neg(Asm *a, Width w, Gpr d);
void x64_not(Asm *a, Width w, Gpr d);
void x64_mul(Asm *a, Width w, RGm s);                      /* rdx:rax = rax * s */
void x64_imul1(Asm *a, Width w, RGm s);
void x64_div(Asm *a, Width w, RGm s);
void x64_idiv(Asm *a, Width w, RGm s);
void x64_cdq(Asm *a, Width w);                             /* sign of rax into rdx */
void x64_imul(Asm *a, Width w, Gpr d, RGm s);
void x64_imul_i(Asm *a, Width w, Gpr d, RGm s, int32_t imm);
void x64_shift_i(Asm *a, Shift op, Width w, Gpr d, unsigned n);
void x64_shift_cl(Asm *a, Shift op, Width w, Gpr d);
void x64_shld_i(Asm *a, Width w, Gpr d, Gpr s, unsigned n);
void x64_shrd_i(Asm *a, Width w, Gpr d, Gpr s, unsigned n);
void x64_bt_i(Asm *a, Bt op, Width w, Gpr d, unsigned bit);
void x64_bt_r(Asm *a, Bt op, Width w, Gpr d, Gpr bit);
void x64_bswap(Asm *a, Width w, Gpr d);                    /* W32, W64 */
void x64_popcnt(Asm *a, Width w, Gpr d, RGm s);
void x64_lzcnt(Asm *a, Width w, Gpr d, RGm s);
void x64_tzcnt(Asm *a, Width w, Gpr d, RGm s);
void x64_crc32(Asm *a, Width from, Gpr d, RGm s);          /* d: 32-bit accumulator */
void x64_setcc(Asm *a, Cc cc, Gpr d);                      /* low byte */
void x64_setcc_m(Asm *a, Cc cc, Mem m);
void x64_cmov(Asm *a, Cc cc, Width w, Gpr d, RGm s);       /* W32, W64 */
void x64_clc(Asm *a);
void x64_stc(Asm *a);
void x64_cmc(Asm *a);

/* BMI: W32, W64 */
void x64_andn(Asm *a, Width w, Gpr d, Gpr inverted, RGm s);
void x64_bextr(Asm *a, Width w, Gpr d, RGm s, Gpr control);
void x64_bzhi(Asm *a, Width w, Gpr d, RGm s, Gpr index);
void x64_blsr(Asm *a, Width w, Gpr d, RGm s);
void x64_blsmsk(Asm *a, Width w, Gpr d, RGm s);
void x64_shlx(Asm *a, Width w, Gpr d, RGm s, Gpr count);
void x64_shrx(Asm *a, Width w, Gpr d, RGm s, Gpr count);
void x64_sarx(Asm *a, Width w, Gpr d, RGm s, Gpr count);
/* Mask registers, AVX-512: their low eight bits. */
void x64_kmovb_gk(Asm *a, Gpr d, unsigned k);
void x64_kmovb_kg(Asm *a, unsigned k, Gpr s);
void x64_rorx(Asm *a, Width w, Gpr d, RGm s, unsigned n);
void x64_mulx(Asm *a, Width w, Gpr hi, Gpr lo, RGm s);     /* rdx * s */
void x64_pdep(Asm *a, Width w, Gpr d, Gpr s, RGm mask);
void x64_pext(Asm *a, Width w, Gpr d, Gpr s, RGm mask);

/* atomics */
void x64_lock(Asm *a);                                     /* prefix of the next instruction */
void x64_cmpxchg(Asm *a, Width w, Mem m, Gpr s);           /* lock included */
void x64_cmpxchg16b(Asm *a, Mem m);                        /* lock included */
void x64_xadd(Asm *a, Width w, Mem m, Gpr s);              /* lock included */

/* control; displacements to labels are 32 bits */
void x64_jmp(Asm *a, uint32_t label);
void x64_jcc(Asm *a, Cc cc, uint32_t label);
void x64_call(Asm *a, uint32_t label);
/* Instructions that end in a 32-bit displacement, which the caller fills in when it knows it. */
typedef enum RelOp { REL_JMP, REL_CALL } RelOp;
void x64_rel0(Asm *a, RelOp op);
/* Short forward jumps inside one rule: returns a mark for asm_short_here. */
uint32_t x64_jmp_short(Asm *a);
uint32_t x64_jcc_short(Asm *a, Cc cc);
void asm_short_here(Asm *a, uint32_t mark); /* CHECKs that the distance fits */
void asm_short_to(Asm *a, uint32_t mark, uint32_t to); /* the same to where we have been: `to` from asm_here */
void x64_jmp_r(Asm *a, Gpr r);
void x64_jmp_m(Asm *a, Mem m);
void x64_call_r(Asm *a, Gpr r);
void x64_call_m(Asm *a, Mem m);
void x64_ret(Asm *a);
void x64_ud2(Asm *a);
void x64_int3(Asm *a);
void x64_lfence(Asm *a);
void x64_pause(Asm *a);
void x64_prefetch(Asm *a, Mem m, bool write);
void x64_ldmxcsr(Asm *a, Mem m);                           /* VEX forms: no state transition penalty */
void x64_stmxcsr(Asm *a, Mem m);
/* Pad with the recommended multi-byte nops. */
void x64_nop(Asm *a, unsigned bytes);

#endif
