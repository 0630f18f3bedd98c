/*
 * Cryptographic instructions: AES, SHA1, SHA2 (SHA-256), SHA512, SHA3. PMULL is in lift_simd_long.c.
 */
#include "guest/aarch64/lift_simd.h"

static const VShape doubles = {.lane = IR_I64, .lanes = 2};

static IrRef op3(Lift *l, IrOp op, unsigned aux, IrRef x, IrRef y, IrRef z)
{
    return ir_opx(&l->b, op, IR_V128, 0, 0, aux, 0, x, y, z);
}

/* op on the destination's old value, Vn and Vm */
static bool dnm(Lift *l, const A64Args *a, IrOp op, unsigned aux)
{
    IrRef d = a64_get_v(l, a->Rd);
    a64_put_v(l, a->Rd, op3(l, op, aux, d, a64_get_v(l, a->Rn), a64_get_v(l, a->Rm)));
    return true;
}

/* ... and Vn alone; operations that have a third operand ignore it here */
static bool dn(Lift *l, const A64Args *a, IrOp op, unsigned aux)
{
    IrRef d = a64_get_v(l, a->Rd), n = a64_get_v(l, a->Rn);
    a64_put_v(l, a->Rd, op3(l, op, aux, d, n, n));
    return true;
}

static bool aes_round(Lift *l, const A64Args *a, IrOp op)
{
    IrRef state = simd_op2(l, IR_XOR, doubles, a64_get_v(l, a->Rd), a64_get_v(l, a->Rn));
    a64_put_v(l, a->Rd, op3(l, op, 0, state, 0, 0));
    return true;
}

bool a64_lift_aese(Lift *l, const A64Args *a)
{
    return aes_round(l, a, IR_AESENC);
}

bool a64_lift_aesd(Lift *l, const A64Args *a)
{
    return aes_round(l, a, IR_AESDEC);
}

bool a64_lift_aesmc(Lift *l, const A64Args *a)
{
    a64_put_v(l, a->Rd, op3(l, IR_AESMC, 0, a64_get_v(l, a->Rn), 0, 0));
    return true;
}

bool a64_lift_aesimc(Lift *l, const A64Args *a)
{
    a64_put_v(l, a->Rd, op3(l, IR_AESIMC, 0, a64_get_v(l, a->Rn), 0, 0));
    return true;
}

/* SHA1C, SHA1P, SHA1M: opcode is the kind of IR_SHA1 */
bool a64_lift_sha1_hash(Lift *l, const A64Args *a)
{
    IrRef e = ir_opx(&l->b, IR_VGET, IR_I32, IR_I32, 0, 0, 0, a64_get_v(l, a->Rn), 0, 0);
    a64_put_v(l, a->Rd, op3(l, IR_SHA1, a->opcode, a64_get_v(l, a->Rd), e, a64_get_v(l, a->Rm)));
    return true;
}

/* SHA1H: rotate left by 30 */
bool a64_lift_sha1h(Lift *l, const A64Args *a)
{
    IrRef n = ir_opx(&l->b, IR_VGET, IR_I32, IR_I32, 0, 0, 0, a64_get_v(l, a->Rn), 0, 0);
    simd_put_scalar(l, IR_I32, a->Rd, ir_op2(&l->b, IR_ROR, IR_I32, n, ir_const(&l->b, IR_I8, 2)));
    return true;
}

bool a64_lift_sha1su0(Lift *l, const A64Args *a)
{
    return dnm(l, a, IR_SHA1SU, 0);
}

bool a64_lift_sha1su1(Lift *l, const A64Args *a)
{
    return dn(l, a, IR_SHA1SU, 1);
}

bool a64_lift_sha256h(Lift *l, const A64Args *a)
{
    return dnm(l, a, IR_SHA256H, 0);
}

bool a64_lift_sha256h2(Lift *l, const A64Args *a)
{
    return dnm(l, a, IR_SHA256H, 1);
}

bool a64_lift_sha256su0(Lift *l, const A64Args *a)
{
    return dn(l, a, IR_SHA256SU, 0);
}

bool a64_lift_sha256su1(Lift *l, const A64Args *a)
{
    return dnm(l, a, IR_SHA256SU, 1);
}

bool a64_lift_sha512h(Lift *l, const A64Args *a)
{
    return dnm(l, a, IR_SHA512H, 0);
}

bool a64_lift_sha512h2(Lift *l, const A64Args *a)
{
    return dnm(l, a, IR_SHA512H, 1);
}

bool a64_lift_sha512su0(Lift *l, const A64Args *a)
{
    return dn(l, a, IR_SHA512SU, 0);
}

bool a64_lift_sha512su1(Lift *l, const A64Args *a)
{
    return dnm(l, a, IR_SHA512SU, 1);
}

/* EOR3 */
bool a64_lift_eor3(Lift *l, const A64Args *a)
{
    IrRef n = a64_get_v(l, a->Rn), m = a64_get_v(l, a->Rm);
    a64_put_v(l, a->Rd, simd_op(l, IR_XOR3, doubles, 0, 0, n, m, a64_get_v(l, a->Ra)));
    return true;
}

/* BCAX */
bool a64_lift_bcax(Lift *l, const A64Args *a)
{
    IrRef n = a64_get_v(l, a->Rn), m = a64_get_v(l, a->Rm);
    a64_put_v(l, a->Rd, simd_op(l, IR_BCAX, doubles, 0, 0, n, m, a64_get_v(l, a->Ra)));
    return true;
}

/* RAX1: Vn ^ (Vm rotated left by 1) */
bool a64_lift_rax1(Lift *l, const A64Args *a)
{
    IrRef rotated = simd_shift(l, IR_VROR, doubles, a64_get_v(l, a->Rm), 63);
    a64_put_v(l, a->Rd, simd_op2(l, IR_XOR, doubles, a64_get_v(l, a->Rn), rotated));
    return true;
}

/* XAR: (Vn ^ Vm) rotated right by imm6 */
bool a64_lift_xar(Lift *l, const A64Args *a)
{
    IrRef x = simd_op2(l, IR_XOR, doubles, a64_get_v(l, a->Rn), a64_get_v(l, a->Rm));
    a64_put_v(l, a->Rd, simd_shift(l, IR_VROR, doubles, x, a->imm6));
    return true;
}
