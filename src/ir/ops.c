/* The table of operations and small facts about types. */
#include "ir/ir.h"

/* The flag letters of ops.def. */
enum {
    P = IRF_PURE, F = IRF_FP, R = IRF_READ, W = IRF_WRITE, S = IRF_SNAP, C = IRF_COMM, E = IRF_END, G = IRF_SLOT
};

const IrOpInfo ir_ops[IR_NOPS] = {
#define IR_OP(op, text, res, x, y, z, fl, what) \
    [IR_##op] = {.name = text, .result = IRR_##res, .arg = {IRR_##x, IRR_##y, IRR_##z}, .flags = (fl), .doc = what},
#include "ir/ops.def"
#undef IR_OP
};

static const struct {
    const char *name;
    uint8_t size;
} types[IR_NTYPES] = {
    [IR_VOID] = {"void", 0}, [IR_I8] = {"i8", 1}, [IR_I16] = {"i16", 2}, [IR_I32] = {"i32", 4}, [IR_I64] = {"i64", 8},
    [IR_F16] = {"f16", 2}, [IR_F32] = {"f32", 4}, [IR_F64] = {"f64", 8},
    [IR_V128] = {"v128", 16}, [IR_V256] = {"v256", 32}, [IR_V512] = {"v512", 64}, [IR_P] = {"p", 0},
};

unsigned ir_type_size(IrType t)
{
    return types[t].size;
}

bool ir_type_is_int(IrType t)
{
    return t >= IR_I8 && t <= IR_I64;
}

bool ir_type_is_float(IrType t)
{
    return t >= IR_F16 && t <= IR_F64;
}

const char *ir_type_name(IrType t)
{
    return types[t].name;
}
