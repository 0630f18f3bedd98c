/* The table of operations and small facts about types. */
#include "ir/ir.h"

/* The flag letters of ops.def. */
enum {
    P = IRF_PURE, F = IRF_FP, R = IRF_READ, W = IRF_WRITE, S = IRF_SNAP, C = IRF_COMM, E = IRF_END, G = IRF_SLOT
};

#define IS_VALUE(rule) ((rule) != IRR_N && (rule) != IRR_K)
#define LISTS(x, y, z) ((x) == IRR_K || (y) == IRR_K || (z) == IRR_K ? IR_VALUES_LISTED : 0)

const IrOpInfo ir_ops[IR_NOPS] = {
#define IR_OP(op, text, res, x, y, z, fl, what) \
    [IR_##op] = {.name = text, .result = IRR_##res, .arg = {IRR_##x, IRR_##y, IRR_##z}, .flags = (fl), .doc = what, \
                 .values = IS_VALUE(IRR_##x) | IS_VALUE(IRR_##y) << 1 | IS_VALUE(IRR_##z) << 2 | LISTS(IRR_##x, IRR_##y, IRR_##z)},
#include "ir/ops.def"
#undef IR_OP
};

static const char *const type_names[IR_NTYPES] = {
    [IR_VOID] = "void", [IR_I8] = "i8", [IR_I16] = "i16", [IR_I32] = "i32", [IR_I64] = "i64", [IR_F16] = "f16",
    [IR_F32] = "f32", [IR_F64] = "f64", [IR_V128] = "v128", [IR_V256] = "v256", [IR_V512] = "v512", [IR_P] = "p",
};

const uint8_t ir_type_sizes[IR_NTYPES] = {
    [IR_I8] = 1, [IR_I16] = 2, [IR_I32] = 4, [IR_I64] = 8, [IR_F16] = 2, [IR_F32] = 4, [IR_F64] = 8, [IR_V128] = 16,
    [IR_V256] = 32, [IR_V512] = 64,
};

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
    return type_names[t];
}
