/* The meaning of every operation that has neither memory, slots nor control: dispatch by kind. */
#include "ir/eval.h"

#include "base/check.h"

static bool is_crypto(unsigned op)
{
    return op >= IR_AESENC && op <= IR_SHA512SU;
}

static bool is_fp(unsigned op)
{
    return op == IR_FCMP || op == IR_VFCMP || (op >= IR_FADD && op <= IR_FCMLA);
}

void ir_eval(const IrInsn *op, const IrVal arg[3], FpEnv *fp, IrVal *out)
{
    IrVal res = {{0, 0}};
    bool known;

    if (is_fp(op->op))
        known = ir_eval_fp(op, arg, fp, &res);
    else if (is_crypto(op->op))
        known = ir_eval_crypto(op, arg, &res);
    else
        known = ir_eval_int(op, arg, &res) || ir_eval_vec(op, arg, &res);
    CHECK(known);
    *out = res;
}
