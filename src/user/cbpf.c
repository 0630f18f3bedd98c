#include "user/cbpf.h"

#include <string.h>

#ifndef BPF_MOD
#define BPF_MOD 0x90
#endif
#ifndef BPF_XOR
#define BPF_XOR 0xa0
#endif

/* --- what a program may be ------------------------------------------------------------------------------------------- */

static bool valid_alu(const struct sock_filter *f)
{
    if (f->code == (BPF_ALU | BPF_NEG))
        return true;
    switch (BPF_OP(f->code)) {
    case BPF_DIV:
        return BPF_SRC(f->code) == BPF_X || f->k != 0;
    case BPF_LSH:
    case BPF_RSH:
        return BPF_SRC(f->code) == BPF_X || f->k < 32;
    default:
        return BPF_OP(f->code) <= BPF_AND || BPF_OP(f->code) == BPF_XOR;
    }
}

/* left: instructions that follow. */
static bool valid_jump(const struct sock_filter *f, size_t left)
{
    if (f->code == (BPF_JMP | BPF_JA))
        return f->k < left;
    return BPF_OP(f->code) >= BPF_JEQ && BPF_OP(f->code) <= BPF_JSET && f->jt < left && f->jf < left;
}

static bool valid_insn(const struct sock_filter *f, size_t left, size_t size)
{
    if (f->code & ~0xffu)
        return false;
    switch (f->code) {
    case BPF_LD | BPF_W | BPF_ABS:
        return f->k < size && (f->k & 3) == 0;
    case BPF_LD | BPF_W | BPF_LEN: case BPF_LDX | BPF_W | BPF_LEN: case BPF_LD | BPF_IMM: case BPF_LDX | BPF_IMM:
    case BPF_MISC | BPF_TAX: case BPF_MISC | BPF_TXA: case BPF_RET | BPF_K: case BPF_RET | BPF_A:
        return true;
    case BPF_LD | BPF_MEM: case BPF_LDX | BPF_MEM: case BPF_ST: case BPF_STX:
        return f->k < BPF_MEMWORDS;
    default:
        return BPF_CLASS(f->code) == BPF_ALU ? valid_alu(f) : BPF_CLASS(f->code) == BPF_JMP && valid_jump(f, left);
    }
}

/* Every scratch word is written on every way to where it is read. reach[i]: the words written on all ways to instruction i. */
static bool valid_scratch(const struct sock_filter *p, size_t n)
{
    uint16_t reach[CBPF_MAX_INSNS], now = 0;
    memset(reach, 0xff, n * sizeof reach[0]);
    for (size_t i = 0; i < n; i++) {
        now &= reach[i];
        switch (p[i].code) {
        case BPF_ST: case BPF_STX:
            now |= (uint16_t)(1u << p[i].k);
            break;
        case BPF_LD | BPF_MEM: case BPF_LDX | BPF_MEM:
            if (!(now >> p[i].k & 1))
                return false;
            break;
        case BPF_JMP | BPF_JA:
            reach[i + 1 + p[i].k] &= now;
            now = 0xffff;
            break;
        default:
            if (BPF_CLASS(p[i].code) != BPF_JMP)
                break;
            reach[i + 1 + p[i].jt] &= now;
            reach[i + 1 + p[i].jf] &= now;
            now = 0xffff;
        }
    }
    return true;
}

bool cbpf_valid(const struct sock_filter *p, size_t n, size_t size)
{
    for (size_t i = 0; i < n; i++)
        if (!valid_insn(&p[i], n - 1 - i, size))
            return false;
    return BPF_CLASS(p[n - 1].code) == BPF_RET && valid_scratch(p, n);
}

/* --- running --------------------------------------------------------------------------------------------------------- */

/* False: a division by zero. */
static bool alu(uint16_t code, uint32_t *a, uint32_t v)
{
    switch (BPF_OP(code)) {
    case BPF_ADD: *a += v; break;
    case BPF_SUB: *a -= v; break;
    case BPF_MUL: *a *= v; break;
    case BPF_OR: *a |= v; break;
    case BPF_AND: *a &= v; break;
    case BPF_XOR: *a ^= v; break;
    case BPF_LSH: *a <<= v & 31; break;
    case BPF_RSH: *a >>= v & 31; break;
    case BPF_NEG: *a = -*a; break;
    default: /* BPF_DIV */
        if (v == 0)
            return false;
        *a /= v;
    }
    return true;
}

static bool holds(uint16_t code, uint32_t a, uint32_t v)
{
    switch (BPF_OP(code)) {
    case BPF_JEQ: return a == v;
    case BPF_JGT: return a > v;
    case BPF_JGE: return a >= v;
    default: return (a & v) != 0; /* BPF_JSET */
    }
}

uint32_t cbpf_run(const struct sock_filter *p, const void *input, uint32_t size)
{
    uint32_t a = 0, x = 0, mem[BPF_MEMWORDS] = { 0 };
    for (;; p++) {
        uint32_t v = BPF_SRC(p->code) == BPF_X ? x : p->k;
        switch (BPF_CLASS(p->code)) {
        case BPF_LD:
            if (BPF_MODE(p->code) == BPF_ABS)
                memcpy(&a, (const uint8_t *)input + p->k, sizeof a);
            else
                a = BPF_MODE(p->code) == BPF_LEN ? size : BPF_MODE(p->code) == BPF_MEM ? mem[p->k] : p->k;
            break;
        case BPF_LDX:
            x = BPF_MODE(p->code) == BPF_LEN ? size : BPF_MODE(p->code) == BPF_MEM ? mem[p->k] : p->k;
            break;
        case BPF_ST:
            mem[p->k] = a;
            break;
        case BPF_STX:
            mem[p->k] = x;
            break;
        case BPF_ALU:
            if (!alu(p->code, &a, v))
                return 0;
            break;
        case BPF_JMP:
            p += BPF_OP(p->code) == BPF_JA ? p->k : holds(p->code, a, v) ? p->jt : p->jf;
            break;
        case BPF_RET:
            return BPF_RVAL(p->code) == BPF_A ? a : p->k;
        default: /* BPF_MISC */
            if (BPF_MISCOP(p->code) == BPF_TAX)
                x = a;
            else
                a = x;
        }
    }
}
