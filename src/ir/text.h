/* Private to print.c and parse.c: the words of the text form. Each table ends with NULL. */
#ifndef IR_TEXT_H
#define IR_TEXT_H

#include "ir/ir.h"

/* `icmp` relations by aux & 7, to which a sign letter is prefixed where it matters; fcmp relations by aux & 15. */
extern const char *const ir_icmp_names[8 + 1], *const ir_fcmp_names[16 + 1];
extern const char *const ir_rmw_names[], *const ir_hint_names[], *const ir_stop_names[];
extern const char *const ir_order_names[8 + 1]; /* by flags & IR_ORDER_MASK; "" for plain */
/* Memory attributes: bit 3 + k of flags. */
extern const char *const ir_attr_names[];

/* How an operation is written, where it is not `name a, b, c #imm aux=N`. */
typedef enum IrForm {
    IR_FORM_PLAIN, IR_FORM_CONST, IR_FORM_VCONST, IR_FORM_NUMBER /* param */, IR_FORM_ICMP, IR_FORM_FCMP, IR_FORM_MEM,
    IR_FORM_RMW, IR_FORM_FENCE, IR_FORM_GET, IR_FORM_PUT, IR_FORM_INSN, IR_FORM_CALL, IR_FORM_BR, IR_FORM_BRIF,
    IR_FORM_EXIT, IR_FORM_EXIT_IND, IR_FORM_EXIT_HELP, IR_FORM_EXIT_STOP
} IrForm;

IrForm ir_form(unsigned op);
/* Number of value operands of an operation, by its row. */
unsigned ir_nargs(unsigned op);

#endif
