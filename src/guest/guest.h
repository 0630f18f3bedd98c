/*
 * What every guest instruction set provides, and what its lifters build on. Knows no host and no operating system.
 *
 * A lifter turns one instruction into IR through `Lift`. Branches go through the lift_* calls below, which decide
 * whether the region goes on (a trace along fall-through and unconditional branches) or ends: guests never do.
 */
#ifndef GUEST_GUEST_H
#define GUEST_GUEST_H

#include "ir/ir.h"

/*
 * Why a site must be translated in its careful form: it trapped in the common one (see engine/fault.c). Tagged pointers
 * concern an instruction, floating point a whole region, by its first pc (IrFpMode.careful).
 */
enum {
    LIFT_CAREFUL_TAG = 1,    /* tagged pointers */
    LIFT_CAREFUL_FP = 2,     /* times IR_FP_CAREFUL_* */
    LIFT_CAREFUL_ALONE = 8,  /* not one with the instructions behind it (Guest.joins) */
};

/* How a graph region goes on after an instruction: noted by the lift_* calls, for engine/region.c to act on. */
typedef enum LiftKind {
    LIFT_NEXT,   /* at the next instruction */
    LIFT_JUMP,   /* at `target` */
    LIFT_BRANCH, /* at `target` when `val` (i8) is not 0, else at the next instruction */
    LIFT_CALL,   /* direct call of `target`; the return address is the next instruction */
    LIFT_IND,    /* at `val` (i64), `hint` says how */
    LIFT_LEFT,   /* nowhere: the region has its terminator */
} LiftKind;

typedef struct LiftFlow {
    LiftKind kind;
    IrHint hint;
    bool lands;               /* the target looks at how it was reached (LIFT_IND): it must begin a region */
    bool helper;              /* the instruction may leave by an EXIT_HELP helper */
    IrRef val;
    uint64_t target;
} LiftFlow;

typedef struct Lift Lift;

struct Lift {
    IrBuilder b;              /* append here */
    const struct Guest *guest;
    uint64_t pc;              /* address of the instruction being lifted */
    uint64_t next;            /* address after it; set by Guest.lift */
    uint32_t mode;            /* guest mode bits of the region */
    unsigned careful;         /* LIFT_CAREFUL_* for this instruction */
    bool guarded;             /* its page is guarded (EnvOps.guarded); known only when mode is not 0 */
    const void *cpu_features; /* the guest's own structure, from Guest.cpu_new */
    LiftFlow *flow;           /* graph regions: where control flow is noted; NULL: a trace, see lift.c */
    bool inside;              /* of several instructions lifted as one: branches lead out at the side, and it goes on behind them */
    uint32_t budget;          /* guest instructions that the region may still take after this one; 0: lift_* end it */
    bool branch_ends;         /* the next conditional branch ends the region */
    /* set by lift: */
    bool ended;               /* the region has its terminator */
    uint64_t cont;            /* address at which the region goes on, when !ended: next, or the target of a jump */
    /* Code at any address, at least one smallest instruction of it; NULL when it cannot be fetched. What `lift` was given is
     * gone after it. NULL itself: nobody knows. */
    const uint8_t *(*ahead)(void *ctx, uint64_t pc, size_t *avail);
    void *ahead_ctx;
    /* Copy n bytes of code at pc, for a guess: the translation does not depend on them. Before it may they are read `ahead`. */
    bool (*peek)(void *ctx, uint64_t pc, void *buf, size_t n);
};

/* How functions are called, as slots: for tools. */
typedef struct GuestCall {
    uint16_t sp, link, result; /* link: where the return address is on entry */
    uint16_t nargs, args[8];   /* integers and pointers */
} GuestCall;

/* Copies n bytes of guest memory at va; false: they cannot be read. */
typedef bool GuestRead(void *ctx, uint64_t va, void *buf, size_t n);

/* Where QEMU's plugins see other accesses of an instruction than its operations in IR: all zero is none of these. */
typedef struct GuestQemuView {
    bool none;      /* they see none */
    bool pair;      /* its two accesses are one */
    uint8_t piece;  /* each is made in so many `pieces` of this size, in bytes */
    uint8_t pieces;
} GuestQemuView;

typedef struct Guest {
    const char *name;         /* "aarch64" */
    const char *deb_arch;     /* Debian's name: "arm64" */
    uint16_t elf_machine;     /* EM_AARCH64 */
    unsigned min_insn;        /* bytes: 4 for AArch64, 2 for RISC-V, 1 for x86 */
    unsigned pc_shift;        /* low pc bits that are always zero */
    unsigned pc_tag_bits;     /* high bits of a branch's target that are ignored (cleared) when the bit below them is clear */
    IrSlots slots;
    /* Slots in the order in which they deserve host registers, integer and vector; ends with 0xffff. Chosen from dynamic
     * counts over real programs; the host takes as many as it can pin. */
    const uint16_t *pin_int, *pin_vec;
    const IrHelper *helpers;
    uint32_t nhelpers;
    const uint16_t *flag_slot; /* the slots by FlagRole, NULL: it has no such flags */
    /* Mode bits of a process that keeps versions (ir.h), and of one whose plain stores do too; 0: such a guest has none. */
    uint32_t mode_versions, mode_strict;
    const GuestCall *call;    /* NULL: not known */
    uint64_t flags;           /* slots (bit set, < 64 only) that are condition flags: see engine/region.c */
    unsigned careful;         /* LIFT_CAREFUL_* forms that this guest's lifters have */

    /* Parse a feature list ("max", "-lse", "base,+crc32"; NULL: the default); returns a malloc'd structure, NULL with text in err. */
    void *(*cpu_new)(const char *list, char *err, size_t errlen);
    /* Set the architectural reset state of a new thread: cpu->state zeroed first, cpu->fp, cpu->mode set. */
    void (*reset)(IrCpu *cpu, const void *features);
    /* Static FP mode of a region translated under `mode`. */
    IrFpMode (*fp_mode)(uint32_t mode);
    /*
     * Lift the instruction at l->pc: sets l->next and l->cont, appends the INSN mark and the rest. `code` has at least
     * `avail` readable bytes. Returns its length in bytes, 0 when more bytes are needed than there are. Undefined
     * encodings lift to EXIT_STOP ILLEGAL and return their length. When it neither ended the region nor the budget is
     * left, the caller appends the EXIT to l->cont.
     */
    unsigned (*lift)(Lift *l, const uint8_t *code, size_t avail);
    /* Disassemble into buf; returns the length in bytes (always > 0). */
    unsigned (*disas)(uint64_t pc, const uint8_t *code, size_t avail, char *buf, size_t buflen);
    /*
     * Slots (bit set, slots < 64 only) that the code at pc certainly overwrites before reading: looked ahead a few
     * instructions along straight code. Used to drop dead flags at exits. May return 0.
     */
    uint64_t (*dead_slots)(const uint8_t *code, size_t avail);
    /* Flags (Guest.flags) that the code at pc reads before it overwrites them, by the same look ahead. May return 0. */
    uint64_t (*read_flags)(const uint8_t *code, size_t avail);
    /*
     * Different addresses that the indirect branch at pc may go to, by a table that the code in front of it reads: at most `max` of
     * them in `out`; returns how many. Guesses, to be compared with. `code` is n bytes up to the branch's end.
     */
    unsigned (*branch_targets)(const uint8_t *code, size_t n, uint64_t pc, GuestRead *read, void *ctx, uint64_t *out, unsigned max);
    /* Whether the instruction at `code` may be lifted as one with those behind it, so that a fault at it may be one of theirs:
     * in that case it is to be done alone. */
    bool (*joins)(const uint8_t *code, size_t avail);
    /* How QEMU's plugins see the accesses of the instruction at `code`. */
    GuestQemuView (*qemu_view)(const uint8_t *code);
    /* Print registers for --log=exec, --check and crash reports. */
    void (*dump)(FILE *f, const IrCpu *cpu);
} Guest;

/* Guests register here (guest/registry.c). NULL when there is none of that machine. */
const Guest *guest_by_elf(uint16_t machine);
const Guest *guest_by_name(const char *name);

/* --- for lifters (guest/lift.c) -------------------------------------------------------------------------------------- */

/* Continue at `target` (direct branch). May continue the region there. */
void lift_jump(Lift *l, uint64_t target);
/* Conditional direct branch: to `target` when cond (i8) is not 0, else on at l->next. */
void lift_branch(Lift *l, IrRef cond, uint64_t target);
/* Direct call: the link register has been put already. */
void lift_call(Lift *l, uint64_t target, uint64_t ret);
/* Indirect: target value (i64). `ret` only for IR_HINT_CALL. */
void lift_jump_ind(Lift *l, IrRef target, IrHint hint, uint64_t ret);
/* End the region by calling an EXIT_HELP helper that sees and may change all guest state; then on at l->next. */
void lift_helper(Lift *l, unsigned helper, unsigned nargs, const IrRef *args);
/* End with a stop at this instruction (pc of the instruction itself). */
void lift_stop(Lift *l, IrStop why);
/* Go on when cond (i8) is not 0, else leave by an EXIT_HELP helper with cpu->pc at this instruction. */
void lift_guard(Lift *l, IrRef cond, unsigned helper, unsigned nargs, const IrRef *args);
/* End the region by calling an EXIT_HELP helper instead of this instruction, with cpu->pc at it. */
void lift_instead(Lift *l, unsigned helper, unsigned nargs, const IrRef *args);
/* End the region and go on at l->next: what follows may have been changed by other code. */
void lift_sync(Lift *l);
/* Address for a guest access: strips the tag byte where this site needs it (LIFT_CAREFUL_TAG); else unchanged. */
IrRef lift_addr(Lift *l, IrRef va);

#endif
