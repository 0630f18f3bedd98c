/*
 * The register allocator: one backward pass over the region's tree (live.c) notes every use of every value; then, as the
 * forward pass selects and emits, values are given registers on the spot (regalloc.c). It knows no operation: rules
 * say what they need through the calls of x64.h.
 *
 * Order. Instructions that may have code are numbered so that a side exit's block comes right behind its branch and the
 * main path goes on after it; code is emitted in that order too (into two parts, main and cold). A use in a side exit is
 * therefore a use just behind the branch for the main path, and uses are consumed in ascending order by one list a value.
 *
 * Where a value can be: in a register; in a spill slot; in the home (HostCpu.state) of a guest slot; or it is a constant,
 * which needs no place. Homes are written only where a region is left, so the entry value of a slot that is not pinned is
 * always in its home and costs nothing to evict. The entry value of a pinned slot starts in its register, as a pseudo
 * value numbered behind the instructions; evicted, it goes to its home. So does a value that an exit will store in a
 * home, once nothing that may come before needs what that held (Early).
 *
 * That is a tree region. What is different in a graph, with joins and loops, is in graph.h.
 *
 * With AVX-512 a vector that a graph spills goes to one of xmm16-31 while there is a free one: to move it there and back takes no
 * time, as storing and loading does. They are spill places only, since most instructions cannot name them. No stub keeps them: code
 * that calls C saves those that are taken (ra_call_stub).
 */
#ifndef HOST_X86_64_REGALLOC_H
#define HOST_X86_64_REGALLOC_H

#include "host/x86_64/plan.h"
#include "host/x86_64/x64.h"

#define NEVER UINT32_MAX

typedef struct Use {
    uint32_t pos;
    uint32_t next; /* index, 0 none */
    bool soft;     /* any place will do: the value need only be kept */
    bool turn;     /* no use but the end of a loop: the value is needed again in its next turn (soft: only kept) */
} Use;

enum {
    VAL_NEEDED = 1,  /* to be emitted */
    VAL_CONST = 2,   /* can be made anew anywhere */
    VAL_COND = 4,    /* of a BRIF or SELECT: its condition is evaluated with it, in flags */
    VAL_SNAP = 8,    /* some snapshot names it */
    VAL_LAZY = 16,   /* wanted by snapshots and fused conditions only: computed where needed, never kept */
    VAL_ALT = 32,    /* a comparison of a and b, computed from alt[] = a - b and b, so that a need not be kept */
    VAL_SETTLED = 64, /* a lazy value of which a use has been noted: whether VAL_ALT holds is settled */
    VAL_CLEAN = 128, /* a scalar float whose register is zero above it: its vzext needs no instruction */
    VAL_EARLY = 256, /* early[] has an entry for it */
    VAL_STAYS = 512, /* in a tree: the entry value of a pinned slot that nothing changes. Every exit wants it, without a use */
};

/*
 * A value, by the number of the instruction that defines it; for instructions without a value, its bookkeeping. All in
 * one place of half a cache line: every step of the backend begins with an operand's root.
 */
typedef struct Val {
    IrRef root;      /* the value that this instruction's result is in fact */
    uint32_t use;    /* first use not yet passed; index into use[] */
    uint32_t first;  /* its position, or NEVER; of a lazy value: position for which its operands were kept last */
    IrRef alt;       /* of a comparison: the subtraction of the same operands, or 0; of a carry: the addition */
    uint32_t count;  /* operand uses, those of fused conditions excepted */
    uint16_t spill;  /* spill place + 1 */
    uint16_t home;   /* guest slot + 1 whose home holds the value */
    uint16_t am;     /* of a memory operation: its address mode's number; of others: a VAL_AM */
    uint16_t flags;
    uint8_t reg;     /* or REG_NONE */
    uint8_t hint;    /* register that would suit, or REG_NONE */
    uint8_t type;    /* IrType */
} Val;

/* What else Val.am may say, of operations other than memory's. */
enum {
    VAL_AM_NONE,
    VAL_AM_FLAGS,    /* an addition or subtraction: its flags are asked for right away, so lea will not do */
    VAL_AM_INC_YES,  /* a SELECT: b is c + 1, and is not computed */
    VAL_AM_INC_NO,   /* ... c is b + 1 */
    VAL_AM_FIRST,    /* numbers of address modes begin here; an addition that has one is done as lea of it */
};

/* base + (index << scale) + disp; base and index are values, 0: none */
typedef struct AddrMode {
    IrRef base, index;
    uint8_t scale;
    int32_t disp;
} AddrMode;

typedef struct Trail {
    IrRef v;
    uint16_t spill, home;
} Trail;

/* An exit at position `to` stores the value in the home of `slot`. Snapshots behind `from` and up to there all list the slot. */
typedef struct Early {
    uint32_t from, to;
    uint16_t slot;
} Early;

/* Places for spilled values, a vector takes two: first xmm16-31, then the words of HostCpu.spill. */
enum {
    SPILL_SLOTS = sizeof(((HostCpu *)0)->spill) / 8,
    SPILL_MEM = 32,
    SPILL_PLACES = SPILL_MEM + SPILL_SLOTS,
    SPILL_WORDS = (SPILL_PLACES + 63) / 64,
};

/* State at a branch, to go back to after the side exit's code. */
typedef struct Scope {
    uint64_t used, at_pin, changed;
    IrRef reg_val[REG_COUNT];
    uint64_t spill_used[SPILL_WORDS];
    uint32_t ntrail, end;
} Scope;

typedef struct Graph Graph; /* of a region that is one: graph.h */

struct SelAlloc {
    Graph *g;        /* NULL in a tree */
    struct Lessons *lessons; /* of a graph: what attempts before have taught */
    bool full;       /* a graph that needs more spill slots than there are: it cannot be compiled */
    Val *val;
    Early *early;    /* by value, of those with VAL_EARLY */
    IrRef *home_val; /* by slot: the value that was evicted to its home last, here or on another path */
    IrRef *order;    /* by position: instructions that may have code; in a graph 0 where the edges of a block are */
    uint32_t norder;
    uint32_t nval;   /* instructions, then pseudo values */
    IrRef first_pin; /* the first pseudo value */
    const uint8_t *reg_pin; /* the plan's */
    bool mixed_flags; /* an exit changes some of the condition flags, and not others */
    IrRef *slot_get; /* by slot: the entry value, if it is not pinned and the region has it, or 0 */
    uint32_t *bend;  /* by block of a side: last position of its subtree */
    Use *use;        /* [0] is none, at NEVER */
    uint32_t nuse, cap_use;
    AddrMode *am;
    uint32_t nam, cap_am;
    uint32_t pos;    /* of the instruction being selected */
    uint32_t end;    /* last position of the present scope; NEVER on the main path */
    uint32_t block_end;       /* in a graph: last position of the present block; else NEVER */
    const uint64_t *live_out; /* in a graph: values that are needed behind that */
    unsigned depth;  /* scopes entered */
    uint64_t used, locked;
    uint64_t changed; /* registers that may hold something else than when the present scope was entered */
    uint64_t at_pin; /* pinned registers that hold the entry value of their slot */
    IrRef reg_val[REG_COUNT];
    bool high;            /* xmm16-31 may be taken */
    uint64_t spill_used[SPILL_WORDS];
    IrRef *spill_val;     /* by spill place, of those up to the last that was ever taken */
    unsigned nspill;      /* how many these are */
    Trail *trail;
    uint32_t ntrail, cap_trail;
};

/* number.c, live.c: number the instructions, find aliases, note uses, choose what is folded. */
void live_run(Sel *s);
/* Which of a BRIF's targets the code falls through to, and the other. */
void live_targets(const IrRegion *r, const IrInsn *brif, uint32_t *main, uint32_t *side);
bool live_sign_test(const Sel *s, const IrInsn *i); /* a comparison with zero for which no overflow matters */
bool live_has_cond(const IrInsn *i); /* whether a condition rule may take it */
#define LAZY_OPS (4 * IR_LAZY_CHOICES + 2)
/* The places that a lazy value is computed from: their roots in op[]; returns their number. */
unsigned live_lazy_operands(const Sel *s, IrRef root, IrRef op[LAZY_OPS]);

/* select_fp.c: whether VAL_CLEAN holds for an operation's result, by its rule and its operands' flags */
bool fp_clean(const Sel *s, const IrInsn *i);
/* A SELECT by FP comparison `cond`, which is not in a register, without a branch. False: nothing was done. select_fp.c */
bool fp_select(Sel *s, const IrInsn *i, const IrInsn *cond);

/* regalloc.c */
void ra_begin(Sel *s);                 /* state at the region's entry */
void ra_insn_begin(Sel *s, IrRef ref); /* next instruction */
void ra_insn_end(Sel *s);
void ra_scope_enter(Sel *s, Scope *save, uint32_t end);
void ra_scope_leave(Sel *s, const Scope *save);
void ra_forget(Sel *s);                              /* no value is in a register */
void ra_bind(SelAlloc *ra, unsigned reg, IrRef root); /* it is, already */

static inline IrRef ra_root(const Sel *s, IrRef v)
{
    return s->ra->val[v].root;
}

static inline Val *ra_val(const Sel *s, IrRef root)
{
    return &s->ra->val[root];
}

static inline IrRef ra_pin_ref(const Sel *s, unsigned pin)
{
    return s->r->ninsn + pin;
}

static inline IrType ra_type(const Sel *s, IrRef root)
{
    return (IrType)s->ra->val[root].type;
}

/* Position of the next use at or after the present instruction (`after`: strictly after it), or NEVER. */
uint32_t ra_next_use(const Sel *s, IrRef root, bool after);
bool ra_is_last_use(const Sel *s, IrRef root); /* ... none after the present instruction, in this turn of a loop */
uint32_t ra_use_new(Sel *s); /* a new entry of use[] */
/* Emit code that brings the value from wherever it is into `reg`, which stays unbound. */
void ra_load_into(Sel *s, unsigned reg, IrRef root);
void ra_move(Sel *s, unsigned to, unsigned from);
/* Memory operand of a spill slot or home that holds the value; false when it is in none, or in a high register. */
bool ra_memory(const Sel *s, IrRef root, Mem *m);
IrVal ra_const_value(const Sel *s, IrRef root);
static inline bool ra_const(const Sel *s, IrRef root, IrVal *c)
{
    if (!(s->ra->val[root].flags & VAL_CONST))
        return false;
    *c = ra_const_value(s, root);
    return true;
}
void ra_load_const(Sel *s, unsigned reg, const IrVal *c);
/* A value of type `t` from a spill slot (`spilled`) or home; a register to memory, whole. */
void ra_load_memory(Sel *s, unsigned reg, IrType t, bool spilled, Mem m);
void ra_store_reg(Sel *s, Mem m, unsigned reg);
/* These and ra_move also take the numbers of high registers. That of a spill place which is one, or REG_NONE. */
static inline unsigned ra_high(unsigned place)
{
    return place < SPILL_MEM ? REG_X + 16 + place / 2 : REG_NONE;
}
/* The high register that alone holds the value, or REG_NONE. */
static inline unsigned ra_in_high(const Sel *s, IrRef root)
{
    const Val *x = &s->ra->val[root];
    return x->reg == REG_NONE && x->spill ? ra_high(x->spill - 1u) : REG_NONE;
}
/* Save the high registers that are taken where stubs keep the others, or load them. No calls of the allocator in between. */
void ra_keep_high(Sel *s, bool save);
/* Call a stub that may call C. */
void ra_call_stub(Sel *s, Stub stub);
/*
 * A call that keeps none but the registers in `kept` follows: every value that is needed behind it, or `here` by the instruction's
 * snapshot, is somewhere else then. Registers still hold what they did until the call is made.
 */
void ra_call(Sel *s, uint64_t kept, bool here);
/* The registers whose values are needed behind the present instruction. */
uint64_t ra_live(Sel *s);
Mem ra_spill_mem(unsigned place); /* of one in memory */
/* The spill place that a value of a graph has for good. */
unsigned ra_graph_slot(Sel *s, IrRef root);
/* Give the value a spill place, without storing: which. */
unsigned ra_spill_place(Sel *s, IrRef root);
/* Note the present places of a value on the trail before changing them. */
void ra_trail(Sel *s, IrRef root);

#endif
