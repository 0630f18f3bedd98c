/*
 * The intermediate representation: SSA in basic blocks with block parameters, one entry a region. It names no guest and
 * no host. `ops.def` says what each operation computes; this header says how a region is held and who may do what.
 *
 * Example: `adds w0, w1, #1; b.eq 0x2000` at 0x1000, as lifted (text form, see ir/print.c):
 *
 *   block0:
 *     insn 0x1000
 *     %1:i64 = get x1
 *     %2:i32 = trunc.i64 %1
 *     %3:i32 = const 1
 *     %4:i32 = add %2, %3
 *     %5:i64 = zext.i32 %4
 *     put x0, %5
 *     ... put n, z, c, v ...
 *     insn 0x1004
 *     brif %z, block1, block2
 *   block1:
 *     exit 0x2000
 *   block2:
 *     ...
 *
 * Precise state. As lifted, `get` and `put` are the only way to touch guest state and happen in program order: at an
 * operation that may fault, memory holds the guest state of the instruction's start (lifters put results after their last
 * faulting operation). The `slots` pass then turns slots into SSA values: afterwards `get` remains only for entry values,
 * there is no `put`, and each operation with flag S names a snapshot: the SSA value of each slot that differs from the
 * state at region entry. The interpreter runs both forms; backends take only the second.
 *
 * Tier-1 regions are trees: every block but the first has exactly one predecessor. Tier-2 regions are graphs (`graph` is
 * set): blocks meet, and loop; see ir/cfg.h for their shape and docs/tier2.md for how they come about.
 */
#ifndef IR_IR_H
#define IR_IR_H

#include "base/arena.h"
#include "base/fp.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef enum IrType {
    IR_VOID, IR_I8, IR_I16, IR_I32, IR_I64, IR_F16, IR_F32, IR_F64, IR_V128, IR_V256, IR_V512, IR_P, IR_NTYPES
} IrType;

typedef enum IrOp {
#define IR_OP(name, ...) IR_##name,
#include "ir/ops.def"
#undef IR_OP
    IR_NOPS
} IrOp;

/* Flags of an operation (the table's letters) */
enum {
    IRF_PURE = 1, IRF_FP = 2, IRF_READ = 4, IRF_WRITE = 8, IRF_SNAP = 16, IRF_COMM = 32, IRF_END = 64, IRF_SLOT = 128
};

/* Operand and result rules (the table's words) */
typedef enum IrRule {
    IRR_N, IRR_T, IRR_L, IRR_I8, IRR_I16, IRR_I32, IRR_I64, IRR_V128, IRR_X, IRR_K, IRR_V
} IrRule;

typedef struct IrOpInfo {
    const char *name;
    uint8_t result, arg[3]; /* IrRule */
    uint8_t flags;          /* IRF_* */
    uint8_t values;         /* which of a, b, c are values: bits 0, 1, 2; IR_VALUES_LISTED */
    const char *doc;
} IrOpInfo;

enum { IR_VALUES_LISTED = 8 }; /* it has values in the pool too */

extern const IrOpInfo ir_ops[IR_NOPS];

/* aux of ICMP, VICMP, FCMP, VFCMP: the set of relations that hold; boolean algebra on it is exact. */
enum {
    IR_LT = FP_LT, IR_EQ = FP_EQ, IR_GT = FP_GT, IR_UN = FP_UN,
    IR_PSIGNED = 16,    /* icmp: signed; never set for EQ or NE (LT|GT) alone */
    IR_SIGNALLING = 32, /* fcmp */
};

/* aux of vector and conversion operations. Low bits hold FpRound (0..7) or the half selector (bit 0). */
enum { IR_SIGNED = 16, IR_ROUNDING = 32, IR_SAT = 64, IR_SATU = 128, IR_EXACT = 32 };
enum { IR_NARROW_TRUNC, IR_NARROW_SS, IR_NARROW_UU, IR_NARROW_SU };

typedef enum IrRmw {
    IR_RMW_ADD, IR_RMW_CLR /* old & ~b */, IR_RMW_XOR, IR_RMW_OR, IR_RMW_MAXS, IR_RMW_MINS, IR_RMW_MAXU, IR_RMW_MINU,
    IR_RMW_SWAP
} IrRmw;

/*
 * Versions: how exclusive loads and stores notice writes that leave the value as it was. A small table, by address, holds a number
 * for each granule (16 bytes), which changes with each atomic write to it. An exclusive load notes it; the store locks the granule
 * at that version, and unlocks it under the next. So do all other atomic operations, whatever the version is. The lock is
 * held from VLOCK up to the next operation with IR_MEM_UNLOCK, which follows at once.
 */
typedef enum IrVersionLock {
    IR_LOCK_ANY = 1,     /* whatever the version is; fails only when another thread holds the lock */
    IR_LOCK_WATCHED = 2, /* only a granule that an exclusive load has named (IrWorld.monitor): for plain stores */
} IrVersionLock;

/* MANY: a jump that no comparison in front of its lookup is expected to help. STRAY: a return that hardly goes back to the last call. */
typedef enum IrHint { IR_HINT_JUMP, IR_HINT_CALL, IR_HINT_RET, IR_HINT_MANY, IR_HINT_STRAY } IrHint;

/* Why translated code returns to the run loop. Reported with cpu->pc at the instruction concerned. */
typedef enum IrStop {
    IR_STOP_NONE,     /* go on */
    IR_STOP_CHECK,    /* an exit request, a changed mode, code changed: look up pc again */
    IR_STOP_ILLEGAL,  /* undefined instruction at pc */
    IR_STOP_BREAK,    /* breakpoint instruction at pc */
    IR_STOP_FAULT,    /* a fault noted in the vcpu */
    IR_STOP_EXIT,     /* this thread ends */
    IR_STOP_FETCH,    /* the instruction at pc cannot be fetched */
    IR_STOP_RESUME,   /* a tool changed guest state: do the instruction at pc without what comes before it */
} IrStop;

/* flags of an instruction: memory order and attributes */
enum {
    IR_ORDER_MASK = 7,
    IR_PLAIN = 0, IR_ACQUIRE = 1, IR_RELEASE = 2, IR_ACQ_REL = 3, IR_SEQ_CST = 4, IR_TSO = 5,
    IR_ACQUIRE_PC = 6,   /* RCpc acquire: LDAPR */
    IR_MEM_SIGNED = 8,   /* LOAD: sign-extend */
    IR_MEM_SOFT = 16,    /* through the software TLB (system mode); else a host address */
    IR_MEM_WATCH = 32,   /* tools watch it */
    IR_MEM_CAREFUL = 64, /* the address may carry a tag in bits 63:56, which must be stripped (this site trapped) */
    IR_MEM_ALIGNED = 128, /* naturally aligned: the lifter has tested it where the guest would fault */
    IR_MEM_UNLOCK = 1024  /* STORE CAS RMW: then unlock the granule that VLOCK locked, under a new version if this one wrote */
};
/* FP operations (flag F): an equal operation before this one has raised all FP flags that it can raise, so it may be
 * removed when nobody uses its value. Set by passes. */
enum { IR_QUIET = 256 };
/* Pure operations: nobody uses the value but snapshots of operations that may fault, and other lazy operations. A backend
 * need not compute it, if it can do so when a fault happens (and keeps its operands until then). Set by passes. */
enum { IR_LAZY = 512 };
/* Choices between flags (SELECT) that may be lazy one in another, as operand c. */
enum { IR_LAZY_CHOICES = 2 };
/* PARAM: of a slot that is boolean. Set by passes. */
enum { IR_BOOL = 1024 };
/* aux of EXIT and EXIT_CALL (POLL) */
enum {
    IR_EXIT_POLL = 1,
    IR_EXIT_COUNT = 2, /* EXIT: count it, in HostCpu.counter */
    IR_EXIT_FLAGS = 4, /* EXIT: what runs next reads condition flags. Set by passes */
};
/* Condition flags by what they say of a comparison, x - y: negative, zero, no borrow, signed overflow. */
typedef enum FlagRole { FLAG_SIGN, FLAG_ZERO, FLAG_CARRY, FLAG_OVERFLOW, FLAG_COUNT } FlagRole;
/* FENCE orders: IR_ACQUIRE: earlier loads before later accesses (dmb ishld); IR_RELEASE: earlier stores before later
 * stores (dmb ishst); IR_SEQ_CST: everything. */

typedef uint32_t IrRef; /* index of an instruction in the region; 0: none */

typedef struct IrInsn {
    uint16_t op;    /* IrOp */
    uint16_t flags; /* order and memory attributes */
    uint8_t type;   /* IrType of the result */
    uint8_t lane;   /* IrType: operand, memory or lane type, by the operation */
    uint8_t lanes;  /* lane count in vector form; 0 otherwise */
    uint8_t aux;    /* predicate, rounding, kind: by the operation */
    IrRef a, b, c;
    uint32_t snap;  /* index into the region's snapshots; 0: none */
    uint64_t imm;
    IrRef prev, next; /* order within the block; 0 at the ends */
} IrInsn;

typedef struct IrBlock {
    IrRef first, last;
    uint16_t nparams;
    bool cold;         /* rarely taken: side exits */
    uint32_t pred;     /* the single predecessor + 1, or 0 (entry, or several) */
    uint32_t npreds;
} IrBlock;

/* One slot's value at a point. */
typedef struct IrSnapEnt {
    uint16_t slot;
    IrRef val;
} IrSnapEnt;

typedef struct IrSnap {
    uint64_t pc;           /* guest address of the instruction that it belongs to */
    uint32_t first, count; /* entries in region->snapent; sorted by slot */
} IrSnap;

/* One guest slot: a piece of guest state that is an SSA variable to the IR. */
typedef struct IrSlot {
    const char *name;
    uint8_t type;    /* IrType */
    uint16_t offset; /* bytes from the start of the guest state */
    bool cell;       /* a tool's, not the guest's: a fault keeps what was put there before it */
    bool counter;    /* a cell that code does nothing with but add to it: part of it may be kept elsewhere */
    uint8_t lane;    /* of a counter: number + 1 in HostCpu.counted; 0: none */
    bool boolean;    /* it holds 0 or 1 only */
} IrSlot;

typedef struct IrSlots {
    const IrSlot *slot;
    uint32_t count;  /* <= IR_MAX_SLOTS */
    uint32_t state_size;
} IrSlots;

#define IR_MAX_SLOTS 256

/* A 128-bit value. Scalars live in the low bits, zero above their width. */
typedef union IrVal {
    uint64_t u64[2];
    uint32_t u32[4];
    uint16_t u16[8];
    uint8_t u8[16];
} IrVal;

#define IR_MAX_ARGS 6

typedef struct IrArgs {
    _Alignas(16) IrVal arg[IR_MAX_ARGS];
    IrVal ret;
} IrArgs;

typedef struct IrCpu IrCpu;

/* How IR semantics reach guest memory from C: each returns false on a fault, having noted it in the vcpu. */
typedef struct IrMemOps {
    bool (*load)(IrCpu *cpu, uint64_t va, unsigned size, unsigned flags, IrVal *out);
    bool (*store)(IrCpu *cpu, uint64_t va, unsigned size, unsigned flags, const IrVal *val);
    bool (*cas)(IrCpu *cpu, uint64_t va, unsigned size, unsigned flags, const IrVal *expect, const IrVal *desired,
                IrVal *old);
    bool (*rmw)(IrCpu *cpu, uint64_t va, unsigned size, unsigned flags, IrRmw kind, const IrVal *val, IrVal *old);
    /* VERSION, VLOCK, IR_MEM_UNLOCK. */
    uint64_t (*version)(IrCpu *cpu, uint64_t va);
    bool (*lock)(IrCpu *cpu, uint64_t va, uint64_t version, unsigned how);
    void (*unlock)(IrCpu *cpu, bool wrote);
    /* Bulk copy (either direction of overlap handled as named) and fill; return the bytes done before a fault, n if none. */
    uint64_t (*copy)(IrCpu *cpu, uint64_t dst, uint64_t src, uint64_t n, bool backward);
    uint64_t (*fill)(IrCpu *cpu, uint64_t dst, uint8_t byte, uint64_t n);
} IrMemOps;

/* Where a TOOL operation is, for the engine: `see` writes the exact guest state there to `state`, and returns its pc. */
typedef struct IrShow {
    uint64_t (*see)(const struct IrShow *show, uint8_t *state);
} IrShow;

/* The doors that guest instructions have to the outside; the engine fills it in. Called from EXIT_HELP helpers. */
typedef struct IrWorld {
    IrMemOps mem;
    IrStop (*syscall)(IrCpu *cpu);                              /* pc is after the instruction */
    uint64_t (*counter)(IrCpu *cpu, uint64_t frequency);        /* virtual counter, in ticks of `frequency` */
    uint64_t (*random)(IrCpu *cpu);                             /* 64 random bits */
    void (*invalidate)(IrCpu *cpu, uint64_t va, uint64_t len);  /* guest asked that changed code be seen */
    /* An exclusive load of va cannot go on yet: the versions are not kept so far, or va's granule is locked. May change cpu->mode. */
    void (*monitor)(IrCpu *cpu, uint64_t va);
    void (*yield)(IrCpu *cpu);                                  /* let other threads run: what this one waits for is held by one */
    bool (*poll)(IrCpu *cpu);                                   /* whether an exit request is pending */
    /*
     * TOOL number `site`, or TELL of the IrTell there, which never leaves. `state` is how to see guest state: it writes the slots as they are at the operation to its second
     * argument. IR_STOP_NONE: go on; else leave with this: cpu->state and cpu->pc are what the guest goes on with.
     */
    IrStop (*tool)(IrCpu *cpu, uint64_t site, const IrVal arg[2], IrShow *show);
    uint64_t (*room)(IrCpu *cpu, uint64_t at, uint64_t limit);  /* ROOM of a buffer that is full; limit: the cell */
} IrWorld;

/*
 * What a NOTE operation is about. Displacements are those of cells, from the guest state. It lives as long as the code that
 * names it.
 */
typedef struct IrNote {
    uint32_t table;       /* the first of the cells that lines are remembered in, by their addresses: `ways` at each place, the one
                           * used last first; bytes of IR_NOTE_BYTE: none */
    uint32_t mask;        /* bytes of that table minus those of a place; both are powers of two */
    uint32_t pos, limit;  /* cells: where in the buffer the next record goes; above what there is no room, as for ROOM */
    uint64_t low;         /* bytes of a line minus 1 */
    uint64_t word, again; /* first half of the record, and of that of a second line when there is one of the first as well */
    uint64_t disp;        /* from operand a to the access */
    uint32_t place, ways; /* bytes of a place; lines that are remembered there */
    uint32_t span;        /* bytes of the access minus 1: less than those of a line */
    uint8_t line_bits, place_bits; /* log2 of low + 1 and of place */
    bool forgets;         /* the table is cleared when the buffer is emptied */
} IrNote;

/*
 * What a TELL operation is about: a C function and its arguments, in order. It lives as long as the code that names it. `fn` may be
 * changed while that code runs.
 */
#define IR_TELL_ARGS 4

typedef enum IrTellArg {
    IR_TELL_CONST,   /* arg[] */
    IR_TELL_CELL,    /* the 64 bits that are arg[] bytes from the guest state */
    IR_TELL_ADDRESS, /* operand b; of one argument at most */
} IrTellArg;

typedef struct IrTell {
    void (*fn)(void); /* cast from what it is */
    uint64_t arg[IR_TELL_ARGS];
    uint8_t kind[IR_TELL_ARGS]; /* IrTellArg */
    uint8_t nargs;
    bool value;       /* the function may look at operand c, which translated code leaves in IrCpu.call.arg[IR_TELL_VALUE] */
} IrTell;

#define IR_TELL_VALUE 1

/* Where in the table the lines are that share a place with the one of addr, in bytes. */
static inline uint32_t ir_note_index(const IrNote *n, uint64_t addr)
{
    return (uint32_t)(addr >> n->line_bits << n->place_bits) & n->mask;
}

/* A word of these is near no address of a guest's. */
#define IR_NOTE_BYTE 0x80

/* NOTE of an access at addr. For the engine: what a backend leaves to it. */
void ir_note(IrCpu *cpu, const IrNote *n, uint64_t addr);

/*
 * What IR semantics may see of a vcpu; first member of the host's and the engine's structures. Guest state (the slots)
 * follows at `state`.
 */
struct IrCpu {
    uint64_t pc;      /* guest pc; exact whenever translated code is left */
    uint8_t *state;   /* guest state, laid out by the guest's slot table */
    const IrWorld *world;
    FpEnv fp;         /* dynamic FP environment; see base/fp.h for `flags` */
    uint32_t mode;    /* guest mode bits that select translations (part of the lookup key) */
    IrArgs call;      /* arguments and result of the helper being called from translated code */
};

/*
 * A helper: a C function that IR calls by number. CALL helpers read only their arguments (and cpu->fp); EXIT_HELP
 * helpers find all slots in cpu->state, cpu->pc set to the next instruction, host FP state saved, and return an IrStop.
 */
typedef uint64_t IrHelperFn(IrCpu *cpu, IrArgs *args);

typedef struct IrHelper {
    const char *name;
    IrHelperFn *fn;
    uint8_t ret;               /* IrType; IR_VOID for EXIT_HELP helpers */
    uint8_t nargs;
    uint8_t arg[IR_MAX_ARGS];  /* IrType */
} IrHelper;

/*
 * Static FP facts of a region. When `soft`, the environment is not the host's (flush, default NaN ...) and every FP
 * operation must be done by base/fp. Unless `exact`, nobody has looked at the accumulated flags yet: an operation whose only
 * deviation is a missing "underflow" may stay as it is. `careful`: operations on NaNs trapped here often (IR_FP_CAREFUL_*),
 * so a host that would let them trap tests for them instead.
 */
enum { IR_FP_CAREFUL_ARITH = 1, IR_FP_CAREFUL_COMPARE = 2 };

typedef struct IrFpMode {
    uint8_t nan_rule; /* FpNanRule */
    bool soft, exact;
    uint8_t careful;
} IrFpMode;

typedef struct IrRegion {
    Arena *arena;
    const IrSlots *slots;
    const IrHelper *helpers;
    uint32_t nhelpers;
    IrFpMode fp;
    uint64_t pc;        /* guest address of the entry */
    bool graph;         /* blocks may have several predecessors; else the region is a tree */
    bool deep;          /* a tree that is hot: worth more passes */
    bool online;        /* a tree that was optimised while it was built: slots are values */

    IrInsn *insn;       /* [0] unused */
    uint32_t ninsn, cap_insn;
    IrBlock *block;
    uint32_t nblock, cap_block;
    IrRef *pool;        /* argument lists; [0] unused */
    uint32_t npool, cap_pool;
    IrSnap *snap;       /* [0] unused */
    uint32_t nsnap, cap_snap;
    IrSnapEnt *snapent;
    uint32_t nsnapent, cap_snapent;
    IrVal *vconst;
    uint32_t nvconst, cap_vconst;
    uint32_t guest_insns;
    uint32_t counters;  /* number + 1 of the counter of block 0's executions, the others' follow; 0: not counted */
} IrRegion;

static inline IrInsn *ir_insn(const IrRegion *r, IrRef ref)
{
    return &r->insn[ref];
}

extern const uint8_t ir_type_sizes[IR_NTYPES];

/* Size in bytes of a scalar or vector type; 0 for void and p. */
static inline unsigned ir_type_size(IrType t)
{
    return ir_type_sizes[t];
}

bool ir_type_is_int(IrType t);
bool ir_type_is_float(IrType t);
const char *ir_type_name(IrType t);

/* --- building (ir/build.c) --------------------------------------------------------------------------------------- */

struct IrOnline;

/* An insertion point. Folds constants and simple identities while building; see opt/fold.c for the rest. */
typedef struct IrBuilder {
    IrRegion *r;
    uint32_t block;          /* where instructions are appended */
    struct IrOnline *online; /* gets what is to be appended; NULL: nobody */
} IrBuilder;

/* An optimiser that works while a region is built (opt/online.c). */
typedef struct IrOnline {
    IrRef (*get)(IrBuilder *b, unsigned slot);
    void (*put)(IrBuilder *b, unsigned slot, IrRef val);
    void (*mark)(IrBuilder *b, uint64_t pc, unsigned len);
    /* Append *i, any other operation, or what it finds better; returns the value that stands for it. May change *i. */
    IrRef (*emit)(IrBuilder *b, IrInsn *i);
} IrOnline;

/* An empty region in `arena` with one block. All arrays grow inside the arena. */
IrRegion *ir_region_new(Arena *arena, const IrSlots *slots, const IrHelper *helpers, uint32_t nhelpers, uint64_t pc);
uint32_t ir_block_new(IrRegion *r);
void ir_builder_init(IrBuilder *b, IrRegion *r);
/* The inside of ir_append: a place at the block's end, of which `prev` is set; and what is to be done once it is filled. */
IrRef ir_new_last(IrBuilder *b);
void ir_emitted(IrBuilder *b, IrRef ref);
#ifdef DEBUG_CHECKS
enum { IR_CHECK_EMITTED = true };
#else
enum { IR_CHECK_EMITTED = false };
#endif

/* Append a raw instruction; `proto` has op, types, operands; returns its ref. CHECKs the table's type rules in debug.
 * In line, so that what callers name goes where it belongs without a copy on the stack between. */
static inline IrRef ir_append(IrBuilder *b, IrInsn proto)
{
    IrRef ref = ir_new_last(b);
    IrInsn *i = ir_insn(b->r, ref);

    proto.prev = i->prev;
    proto.next = 0;
    *i = proto;
    if (IR_CHECK_EMITTED || proto.op == IR_BR || proto.op == IR_BRIF || proto.op == IR_PARAM)
        ir_emitted(b, ref);
    return ref;
}

/* The same, or what the online optimiser makes of it. 0 where there is no value. */
static inline IrRef ir_emit(IrBuilder *b, IrInsn proto)
{
    return b->online ? b->online->emit(b, &proto) : ir_append(b, proto);
}

IrRef ir_const(IrBuilder *b, IrType t, uint64_t v);
IrRef ir_vconst(IrBuilder *b, uint64_t lo, uint64_t hi);
/* Operations by arity; result type `t` for T-ruled ones (lane/lanes zero). */
IrRef ir_op1(IrBuilder *b, IrOp op, IrType t, IrRef a);
IrRef ir_op2(IrBuilder *b, IrOp op, IrType t, IrRef x, IrRef y);
IrRef ir_op3(IrBuilder *b, IrOp op, IrType t, IrRef x, IrRef y, IrRef z);
/* The same with immediate. */
IrRef ir_op1i(IrBuilder *b, IrOp op, IrType t, IrRef a, uint64_t imm);
IrRef ir_op2i(IrBuilder *b, IrOp op, IrType t, IrRef x, IrRef y, uint64_t imm);
/* Everything at once: for vector, conversion and other operations with lane, lanes, aux, imm. Unused operands 0. */
IrRef ir_opx(IrBuilder *b, IrOp op, IrType t, IrType lane, unsigned lanes, unsigned aux, uint64_t imm, IrRef x, IrRef y,
             IrRef z);
/* Width change helpers: zext, sext, trunc; return the operand itself when the widths agree. */
IrRef ir_zext(IrBuilder *b, IrType to, IrRef a);
IrRef ir_sext(IrBuilder *b, IrType to, IrRef a);
IrRef ir_trunc(IrBuilder *b, IrType to, IrRef a);
IrRef ir_icmp(IrBuilder *b, unsigned pred, IrRef x, IrRef y);
IrRef ir_fcmp(IrBuilder *b, unsigned pred, IrRef x, IrRef y);
IrRef ir_select(IrBuilder *b, IrRef cond, IrRef x, IrRef y);
IrRef ir_load(IrBuilder *b, IrType t, IrType mem, IrRef addr, int64_t disp, unsigned flags);
void ir_store(IrBuilder *b, IrType mem, IrRef addr, int64_t disp, IrRef val, unsigned flags);
/* A guest instruction of `len` bytes begins. */
void ir_mark(IrBuilder *b, uint64_t pc, unsigned len);
IrRef ir_get(IrBuilder *b, unsigned slot);
void ir_put(IrBuilder *b, unsigned slot, IrRef val);
IrRef ir_call(IrBuilder *b, unsigned helper, unsigned nargs, const IrRef *args);
void ir_br(IrBuilder *b, uint32_t block, unsigned nargs, const IrRef *args);
void ir_brif(IrBuilder *b, IrRef cond, uint32_t yes, uint32_t no);
void ir_exit(IrBuilder *b, uint64_t pc, unsigned aux);
void ir_exit_call(IrBuilder *b, uint64_t pc, uint64_t ret);
void ir_exit_ind(IrBuilder *b, IrRef pc, IrHint hint, uint64_t ret);
void ir_exit_help(IrBuilder *b, unsigned helper, uint64_t next_pc, unsigned nargs, const IrRef *args);
void ir_exit_stop(IrBuilder *b, uint64_t pc, IrStop why);

/* Whether `ref` is a scalar constant; its value in *v. */
static inline bool ir_is_const(const IrRegion *r, IrRef ref, uint64_t *v)
{
    const IrInsn *i = ir_insn(r, ref);

    if (i->op != IR_CONST || i->type == IR_V128)
        return false;
    *v = i->imm;
    return true;
}

/* Operands of an instruction, all kinds (a, b, c, pool): calls fn(ctx, &ref) for each. Snapshots are not included. */
void ir_each_use(IrRegion *r, IrInsn *i, void (*fn)(void *ctx, IrRef *use), void *ctx);
/* Unlink an instruction from its block (becomes NOP). */
void ir_remove(IrRegion *r, uint32_t block, IrRef ref);

/* For passes: a new instruction in no block yet; link it at a block's end or before another one; unlink, keeping it. */
IrRef ir_insn_new(IrRegion *r, const IrInsn *proto);
void ir_link_last(IrRegion *r, uint32_t block, IrRef ref);
void ir_link_before(IrRegion *r, uint32_t block, IrRef before, IrRef ref);
void ir_unlink(IrRegion *r, uint32_t block, IrRef ref);
/* `n` uninitialised words of the pool; index of the first. */
uint32_t ir_pool_new(IrRegion *r, unsigned n);
/* A snapshot that begins at the end of snapent[]; and room there for `n` entries (nsnapent is the caller's to move). */
uint32_t ir_snap_new(IrRegion *r, uint64_t pc);
IrSnapEnt *ir_snapent_room(IrRegion *r, unsigned n);
/* Number of a constant in the region's pool, added when new. */
uint32_t ir_vconst_new(IrRegion *r, uint64_t lo, uint64_t hi);
/* Note the edges of the terminator `i` of `block` in the targets' pred and npreds. */
void ir_count_preds(IrRegion *r, uint32_t block, const IrInsn *i);

/* --- text (ir/print.c, ir/parse.c) -------------------------------------------------------------------------------- */

void ir_print(FILE *f, const IrRegion *r);
void ir_print_insn(FILE *f, const IrRegion *r, IrRef ref);
/* Parse ir_print's form. Returns NULL with a one-line message in err[]. */
IrRegion *ir_parse(Arena *arena, const char *text, const IrSlots *slots, const IrHelper *helpers, uint32_t nhelpers,
                   char *err, size_t errlen);

/* --- checking (ir/verify.c) ---------------------------------------------------------------------------------------- */

/* Structure, dominance, types, snapshots, tree shape when `tree`. Returns false with a one-line message in err[]. */
bool ir_verify(const IrRegion *r, bool tree, char *err, size_t errlen);

/* --- meaning (ir/eval.c, ir/interp.c) ------------------------------------------------------------------------------- */

/*
 * The value of one operation without memory, slots or control (flags P or F), the reference for every fold and backend.
 *   op     the instruction: op, type, lane, lanes, aux, imm are read
 *   arg    up to three operand values
 *   fp     environment: rounding and rules read, flags accumulated
 */
void ir_eval(const IrInsn *op, const IrVal arg[3], FpEnv *fp, IrVal *out);
/* What a read-modify-write of `size` bytes stores. Bits of `old` and `b` above the size are ignored; those of the result are 0. */
uint64_t ir_rmw(IrRmw kind, unsigned size, uint64_t old, uint64_t b);

/*
 * Run one region from its entry until it leaves. Slots are read and written in cpu->state; cpu->pc is the next guest
 * instruction. On a fault returns IR_STOP_FAULT with cpu->pc and slots of the faulting instruction's start.
 * Memory and polls go through cpu->world.
 *   scratch  arena for the value table; the caller resets it
 */
IrStop ir_interp(const IrRegion *r, IrCpu *cpu, Arena *scratch);

#endif
