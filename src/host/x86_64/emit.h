/*
 * What selection writes besides instructions: labels, the constant pool, chain sites, relocations and the side table; and
 * putting the parts together. Layout of a translation: main path, cold code, constants, which are aligned to 16.
 *
 * Side table (HostCode.side): for each host instruction that may fault, where the guest state of its guest instruction's
 * start is. Numbers are LEB128 ("varint"); signed ones zigzag.
 *   region's pc (8 bytes); length of the main part's entries; these; offset of the cold part; its entries
 * An entry:
 *   host offset - previous entry's (of the part)
 *   signed: guest pc - region's pc
 *   count, then that many: slot (byte), place
 * A pinned slot that is not listed is in its register, any other in its home.
 * Place: 0..47 register; SIDE_SPILL, number (byte); SIDE_HOME, slot (byte); SIDE_CONST, value; SIDE_CONST16, 16 bytes;
 * SIDE_EVAL, operation (varint), type, lane, aux (bytes), and the places of its two operands (select: three)
 * SIDE_FLAGS, for the first of the condition flags: all of them, by their FlagForm: how it is computed (FlagHow, a byte),
 * and the places of its two operands
 */
#ifndef HOST_X86_64_EMIT_H
#define HOST_X86_64_EMIT_H

#include "host/x86_64/regalloc.h"

enum { SIDE_SPILL = 0x40, SIDE_HOME, SIDE_CONST, SIDE_CONST16, SIDE_EVAL, SIDE_FLAGS };

/* Label numbers with these bits are a common stub, a constant of the pool. */
#define LABEL_STUB 0x80000000u
#define LABEL_POOL 0x40000000u
#define LABEL_NONE UINT32_MAX

static inline uint32_t label_stub(Stub s)
{
    return LABEL_STUB | s;
}

void emit_init(Sel *s);

/*
 * A jump or call whose 32-bit displacement is an aligned chain site for guest address `target`. Its own stub, written to
 * the cold part here, asks the engine to link it. Nothing may follow it in its part but what is jumped to.
 *   kind   CHAIN_CALL: a call; CHAIN_HOT: HostSite.hot
 *   leave  LABEL_NONE, or a label for the stub: whoever jumps there goes on at the target by the engine, or leaves if an
 *          exit is requested
 */
enum { CHAIN_CALL = 1, CHAIN_HOT = 2 };
void emit_chain(Sel *s, unsigned kind, uint64_t target, uint32_t leave);
/*
 * The way on of an indirect branch at guest address pc to the guest address in rax (which the return stack is ready for):
 * a jump, or for HOST_SITE_CALL a call, to its own lookup in the cold part; a site that a promotion stub can take over.
 *   indirect  HostSite.indirect: JUMP, CALL or RETURN
 */
void emit_indirect(Sel *s, uint8_t indirect, uint64_t pc);
/* The same right here, a site that nothing takes over. */
void emit_plain_indirect(Sel *s, uint64_t pc);
/* Go on at rax by the jump cache. */
void emit_lookup(Sel *s);
/* Count a miss of the branch at pc; returns the label that the count's end leads to: emit_missed's. */
uint32_t emit_count_miss(Sel *s, uint64_t pc);
void emit_missed(Sel *s, uint32_t often, uint32_t site);
/* A guest address in a register: always in ten bytes. */
void emit_guest_addr(Sel *s, Gpr d, uint64_t addr);

/*
 * For regions whose blocks are counted: what follows belongs to `block`, whose execution is counted here (`begins`) or was; to the
 * guest instruction at pc; to nobody. They do nothing for other regions.
 */
void emit_mark_block(Sel *s, uint32_t block, bool begins);
/* The block that was marked last. */
uint32_t emit_block(const Sel *s);
void emit_mark_insn(Sel *s, uint64_t pc);
void emit_mark_rare(Sel *s);

/*
 * Collect where the state of operation `i`'s snapshot is now, for side_here. Before any of these places is changed by
 * code of the operation itself.
 */
void side_open(Sel *s, const IrInsn *i);
/* The next host instruction may fault: note the collected state for it. */
void side_here(Sel *s);

/*
 * Join the parts at cb->p, resolve labels, fill in *out, advance cb->p. False when out of room (cb->overflow), or when a short
 * jump does not reach.
 */
bool emit_finish(Sel *s, CodeBuf *cb, HostCode *out);

/* control.c, mem.c, call.c: the core's rules */
void sel_block(Sel *s, uint32_t block);
void sel_graph(Sel *s);
void sel_dispatch(Sel *s, const IrInsn *i);
bool sel_cond(Sel *s, const IrInsn *user, IrRef cond, SelCond *out);
void sel_cond_store(Sel *s, IrRef root, Mem m); /* a lazy boolean to memory */
void sel_lazy_cond(Sel *s, IrRef root, SelCond *c); /* a boolean, lazy or not, in flags */
void sel_jump_if(Sel *s, SelCond c, bool sense, uint32_t label);
void sel_eval(Sel *s, const IrInsn *i);
void sel_store_arg(Sel *s, unsigned n, IrRef v);
void sel_call(Sel *s, const IrInsn *i);
void sel_store_imm(Sel *s, Mem to, uint64_t v);
/* tool.c */
void sel_cell_get(Sel *s, const IrInsn *i);
void sel_cell_put(Sel *s, const IrInsn *i);
void sel_cell_add(Sel *s, const IrInsn *i);
void sel_room(Sel *s, const IrInsn *i);
void sel_stash(Sel *s, const IrInsn *i);
void sel_note(Sel *s, const IrInsn *i);
void sel_tool(Sel *s, const IrInsn *i);
/* At the start of a block: have the guest's FP environment there if the block needs it (HostConfig.tool_calls). Sets s->fp_block. */
void sel_fp_block(Sel *s);
void sel_load(Sel *s, const IrInsn *i);
void sel_store(Sel *s, const IrInsn *i);
void sel_cas(Sel *s, const IrInsn *i);
void sel_rmw(Sel *s, const IrInsn *i);
void sel_fence(Sel *s, const IrInsn *i);
void sel_version(Sel *s, const IrInsn *i);
void sel_vlock(Sel *s, const IrInsn *i);
/* Behind an operation with IR_MEM_UNLOCK; a CAS: with its outcome in the flags. `t` is overwritten. */
void sel_unlock(Sel *s, const IrInsn *i, Gpr t);
void sel_exit(Sel *s, const IrInsn *i);
void sel_owe(Sel *s, const IrInsn *i);
void sel_select(Sel *s, const IrInsn *i);

#endif
