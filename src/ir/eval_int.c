/* Scalar integer operations, straight from their lines in ops.def. */
#include "ir/eval.h"

static unsigned type_bits(unsigned t)
{
    return 8 * ir_type_size(t);
}

static uint64_t mulh_u64(uint64_t a, uint64_t b)
{
    return (uint64_t)(((unsigned __int128)a * b) >> 64);
}

static uint64_t mulh_s64(int64_t a, int64_t b)
{
    return (uint64_t)(((__int128)a * b) >> 64);
}

static uint64_t high_product(bool is_signed, unsigned n, uint64_t a, uint64_t b)
{
    if (n == 64)
        return is_signed ? mulh_s64((int64_t)a, (int64_t)b) : mulh_u64(a, b);
    return is_signed ? (uint64_t)((ir_slow(a, n) * ir_slow(b, n)) >> n) : (a * b) >> n;
}

static uint64_t div_signed(unsigned n, uint64_t a, uint64_t b)
{
    int64_t x = ir_slow(a, n), y = ir_slow(b, n);

    if (y == 0)
        return 0;
    return y == -1 ? 0 - (uint64_t)x : (uint64_t)(x / y);
}

static bool add_carry(unsigned n, uint64_t a, uint64_t b, unsigned c)
{
    return (((unsigned __int128)a + b + c) >> n) & 1;
}

static bool add_overflow(unsigned n, uint64_t a, uint64_t b, unsigned c)
{
    uint64_t s = a + b + c;
    return ((a ^ s) & (b ^ s)) >> (n - 1) & 1;
}

static bool sub_overflow(unsigned n, uint64_t a, uint64_t b)
{
    return ((a ^ b) & (a ^ (a - b))) >> (n - 1) & 1;
}

static bool int_relation(unsigned aux, unsigned n, uint64_t a, uint64_t b)
{
    bool less = aux & IR_PSIGNED ? ir_slow(a, n) < ir_slow(b, n) : a < b;
    return aux & (a == b ? IR_EQ : less ? IR_LT : IR_GT);
}

static unsigned leading_zeros(unsigned n, uint64_t a)
{
    return a ? (unsigned)__builtin_clzll(a) - (64 - n) : n;
}

static uint64_t reverse_bits(unsigned n, uint64_t a)
{
    uint64_t r = 0;

    for (unsigned k = 0; k < n; k++)
        r |= (a >> k & 1) << (n - 1 - k);
    return r;
}

static uint32_t crc_step(uint32_t acc, uint64_t v, unsigned bytes, bool castagnoli)
{
    uint32_t poly = castagnoli ? 0x82F63B78 : 0xEDB88320; /* bit-reflected forms */

    for (unsigned k = 0; k < bytes; k++) {
        acc ^= (uint8_t)(v >> (8 * k));
        for (unsigned bit = 0; bit < 8; bit++)
            acc = acc >> 1 ^ (acc & 1 ? poly : 0);
    }
    return acc;
}

static uint64_t rotate_right(unsigned n, uint64_t a, unsigned by)
{
    by &= n - 1;
    return by ? a >> by | a << (n - by) : a;
}

static uint64_t extract(unsigned n, uint64_t hi, uint64_t lo, unsigned by)
{
    return by ? lo >> by | hi << (n - by) : lo;
}

static uint64_t insert_field(uint64_t a, uint64_t b, unsigned lsb, unsigned width)
{
    uint64_t mask = ir_low(UINT64_MAX, width) << lsb;
    return (a & ~mask) | (b << lsb & mask);
}

/* Results that are booleans or of another type than the operands: compares, carries, width changes. */
static bool eval_mixed(const IrInsn *op, uint64_t a, uint64_t b, uint64_t c, uint64_t *res)
{
    unsigned n = type_bits(op->lane);

    switch (op->op) {
    case IR_ADC_C:   *res = add_carry(n, ir_low(a, n), ir_low(b, n), c & 1); break;
    case IR_ADC_V:   *res = add_overflow(n, a, b, c & 1); break;
    case IR_ADD_C:   *res = add_carry(n, ir_low(a, n), ir_low(b, n), 0); break;
    case IR_ADD_V:   *res = add_overflow(n, a, b, 0); break;
    case IR_SUB_V:   *res = sub_overflow(n, a, b); break;
    case IR_ICMP:    *res = int_relation(op->aux, n, ir_low(a, n), ir_low(b, n)); break;
    case IR_TRUNC:   *res = a; break;
    case IR_ZEXT:    *res = ir_low(a, n); break;
    case IR_SEXT:    *res = (uint64_t)ir_slow(a, n); break;
    case IR_BITCAST: *res = ir_low(a, n); break;
    case IR_CRC32:   *res = crc_step((uint32_t)a, b, n / 8, op->aux & 1); break;
    default: return false;
    }
    return true;
}

static bool eval_arith(unsigned op, unsigned n, uint64_t a, uint64_t b, uint64_t c, uint64_t *res)
{
    int64_t sa = ir_slow(a, n), sb = ir_slow(b, n);

    switch (op) {
    case IR_COPY:  *res = a; break;
    case IR_ADD:   *res = a + b; break;
    case IR_SUB:   *res = a - b; break;
    case IR_MUL:   *res = a * b; break;
    case IR_MULHU: *res = high_product(false, n, a, b); break;
    case IR_MULHS: *res = high_product(true, n, a, b); break;
    case IR_DIVU:  *res = b ? a / b : 0; break;
    case IR_DIVS:  *res = div_signed(n, a, b); break;
    case IR_NEG:   *res = 0 - a; break;
    case IR_ABS:   *res = sa < 0 ? 0 - a : a; break;
    case IR_MINS:  *res = sa < sb ? a : b; break;
    case IR_MAXS:  *res = sa > sb ? a : b; break;
    case IR_MINU:  *res = a < b ? a : b; break;
    case IR_MAXU:  *res = a > b ? a : b; break;
    case IR_ADC:   *res = a + b + (c & 1); break;
    case IR_AND:   *res = a & b; break;
    case IR_OR:    *res = a | b; break;
    case IR_XOR:   *res = a ^ b; break;
    case IR_ANDN:  *res = a & ~b; break;
    case IR_ORN:   *res = a | ~b; break;
    case IR_NOT:   *res = ~a; break;
    default: return false;
    }
    return true;
}

static bool eval_bits(unsigned op, unsigned n, uint64_t a, uint64_t b, uint64_t imm, uint64_t *res)
{
    unsigned by = b & (n - 1), lsb = imm & 255, width = imm >> 8 & 255;
    uint64_t same;

    switch (op) {
    case IR_SHL:    *res = a << by; break;
    case IR_SHR:    *res = a >> by; break;
    case IR_SAR:    *res = (uint64_t)(ir_slow(a, n) >> by); break;
    case IR_ROR:    *res = rotate_right(n, a, by); break;
    case IR_EXTR:   *res = extract(n, a, b, (unsigned)imm & (n - 1)); break;
    case IR_UBFX:   *res = ir_low(a >> lsb, width); break;
    case IR_SBFX:   *res = (uint64_t)ir_slow(a >> lsb, width); break;
    case IR_BFI:    *res = insert_field(a, b, lsb, width); break;
    case IR_CLZ:    *res = leading_zeros(n, a); break;
    case IR_CLS:    same = ir_low(a ^ (uint64_t)(ir_slow(a, n) >> (n - 1)), n);
                    *res = leading_zeros(n, same) - 1; break;
    case IR_CTZ:    *res = a ? (unsigned)__builtin_ctzll(a) : n; break;
    case IR_POPCNT: *res = (unsigned)__builtin_popcountll(a); break;
    case IR_BSWAP:  *res = __builtin_bswap64(a) >> (64 - n); break;
    case IR_BITREV: *res = reverse_bits(n, a); break;
    default: return false;
    }
    return true;
}

bool ir_eval_int(const IrInsn *op, const IrVal arg[3], IrVal *out)
{
    uint64_t res;

    if (op->op == IR_CONST) {
        out->u64[0] = op->imm;
        return true;
    }
    if (op->op == IR_SELECT) {
        *out = arg[arg[0].u8[0] ? 1 : 2];
        return true;
    }
    if (op->op == IR_TALLY) {
        out->u64[0] = arg[0].u64[0] + op->imm;
        return true;
    }
    if (op->type == IR_V128)
        return false;
    unsigned n = type_bits(op->type);
    uint64_t a = arg[0].u64[0], b = arg[1].u64[0], c = arg[2].u64[0];
    if (!eval_mixed(op, a, b, c, &res)) {
        a = ir_low(a, n);
        b = ir_low(b, n);
        if (!eval_arith(op->op, n, a, b, c, &res) && !eval_bits(op->op, n, a, b, op->imm, &res))
            return false;
    }
    out->u64[0] = ir_low(res, n);
    return true;
}

uint64_t ir_rmw(IrRmw kind, unsigned size, uint64_t old, uint64_t b)
{
    unsigned up = 64 - 8 * size;
    int64_t so = (int64_t)(old << up) >> up, sb = (int64_t)(b << up) >> up;

    old = ir_low(old, 8 * size);
    b = ir_low(b, 8 * size);
    switch (kind) {
    case IR_RMW_ADD: return ir_low(old + b, 8 * size);
    case IR_RMW_CLR: return old & ~b;
    case IR_RMW_XOR: return old ^ b;
    case IR_RMW_OR: return old | b;
    case IR_RMW_MAXS: return so > sb ? old : b;
    case IR_RMW_MINS: return so < sb ? old : b;
    case IR_RMW_MAXU: return old > b ? old : b;
    case IR_RMW_MINU: return old < b ? old : b;
    default: return b;
    }
}
