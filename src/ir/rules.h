/* Private to ir/ and opt/: the type rules of ops.def, applied to one instruction. */
#ifndef IR_RULES_H
#define IR_RULES_H

#include "ir/ir.h"

/*
 * Whether the instruction obeys its row of ops.def and the operation's own limits (shape, immediates, attributes).
 * Operands must already be valid refs. Returns NULL, or a static text that says what is wrong.
 */
const char *ir_check_insn(const IrRegion *r, const IrInsn *i);

#endif
