/*
 * What every host provides: compiling a region to host code, and the few routines that enter and leave translated
 * code. Knows no guest (slots and pins are data) and no operating system.
 *
 * Conventions of translated code:
 *   - One host register holds the address of the guest state (HostCpu is reached from it at fixed displacements).
 *   - HostPlan says which slots live in host registers whenever control is between translations ("pinned").
 *   - Calls of helpers clobber nothing: arguments and result pass through HostCpu.ir.call, a thunk in the code cache saves
 *     every register and runs the C function on the thread's C stack. Calls of tools' functions, of which there may be one at each
 *     guest instruction, are made as C calls are: values that are needed behind them are where C code leaves them alone.
 *   - Condition flags may be left as what they are computed from (HostCpu.flags_from); to C code that sees the guest's state they
 *     are always in their slots.
 *   - The host's "invalid operation" is unmasked: operations on NaNs whose results differ between guest and host trap, and
 *     fp_trap completes them. C code that thunks call without leaving the guest's FP environment must not compute in it.
 *   - The host stack pointer is the return predictor's stack: a guest call is a call, a guest return is a return with the
 *     wanted guest address in a register, and where the call returns to that is compared with the address behind the call. The
 *     stack is a small mapping of its own with guard pages; its lowest entry is a sentinel, which takes any address for a
 *     mismatch. On a mismatch the stack is reset to that.
 */
#ifndef HOST_HOST_H
#define HOST_HOST_H

#include "base/status.h"
#include "ir/ir.h"

#define HOST_JCACHE_BITS 12
#define HOST_HOT_BITS 10
#define HOST_MISS_BITS 8
#define HOST_STATE_MAX 2048 /* bytes of guest state */
#define HOST_GATES 24       /* room for the common stubs that translations refer to */
#define HOST_GATE_BYTES 16
#define HOST_COUNTER_BYTES 40
#define HOST_LANES 2 /* counters that live in a register between translations */

typedef struct HostJump {
    uint64_t pc;     /* guest pc; an empty one holds a pc that has another index */
    const void *hpc; /* executable address */
} HostJump;

/*
 * One thread's state as translated code sees it: the first member of the engine's Vcpu. Fields up to `state` are reached
 * by negative displacements from the pinned register.
 */
typedef struct HostCpu {
    IrCpu ir;
    uint32_t mxcsr;          /* host FP control and status while outside translated code: guest's rounding and flags */
    uint32_t host_mxcsr;     /* what C code runs with */
    uint32_t call_mxcsr;     /* the same but for its flags, which are the guest's: what tools' functions run with (tool_calls) */
    uint32_t host_fp;        /* the processor has call_mxcsr while in translated code (HostConfig.tool_calls), and mxcsr is the guest's */
    void *shadow_base;       /* address of the sentinel of the return stack: 8 bytes, filled in by enter() */
    void *shadow_limit;      /* lowest usable address */
    const void *gate[HOST_GATES]; /* where the gates of code from the persistent cache lead; set by Host.cpu_init */
    uint64_t scratch[8];     /* host's use: spills around special sequences */
    _Alignas(64) uint8_t save[2048 + 512]; /* register save area of helper thunks; C signal handlers never use it */
    /* Routines that stubs call; set once by the engine. `link`: translate-and-chain, sets cpu->ir.pc to the site's
     * target and returns the executable address to continue at, or NULL to leave to the run loop. `lookup`: the same for
     * indirect branches, whose target is in cpu->ir.pc, and fills in the jump cache. All slots are in `state`. Neither may pass a
     * quiescent state of code reclamation: the return stack holds addresses of code. Helpers of EXIT_HELP may; when code was given
     * up since the last, they clear `returns`. */
    const void *(*link)(struct HostCpu *cpu);
    const void *(*lookup)(struct HostCpu *cpu);
    /* Called, under the same rules, by an exit with IR_EXIT_COUNT whose counter has come to zero: sets it anew. */
    const void *(*hot)(struct HostCpu *cpu);
    /* Called, under the same rules, by an indirect branch at ir.pc's lookup whose count of misses has come to zero: sets it
     * anew. The site's displacement is at link_site. */
    const void *(*promote)(struct HostCpu *cpu);
    _Alignas(64) uint8_t spill[2048];      /* spill slots of translations */
    void *c_stack;           /* saved C stack pointer while in translated code */
    uint64_t *versions;      /* the process's table of versions (ir.h): by host_version_index */
    uint64_t *version_held;  /* the one that this thread has locked; NULL: none */
    uint64_t link_site;      /* executable address of a chain site's own stub (`link`), of its displacement (`promote`) */
    uint32_t polls_left;     /* see HostConfig.count_polls */
    uint32_t in_code;        /* 1 while translated code or its thunks run (fault handler) */
    uint64_t flags_y;        /* what was compared, when flags_from is not 0 */
    /* Translated code has much to do with these three: they are next to the guest's registers, where addresses are short. */
    uint64_t flags_x;
    uint32_t flags_from;     /* how to compute condition flags into their slots before they are read; its low byte 0: they are there */
    uint32_t exit_request;   /* set by any thread or signal handler: leave at the next poll */
    _Alignas(64) uint8_t state[HOST_STATE_MAX];
    HostJump jcache[1 << HOST_JCACHE_BITS];  /* by host_jcache_index: probed inline */
    HostJump jcache2[1 << HOST_JCACHE_BITS]; /* by host_jcache2_index: probed by the stub that inline misses go through */
    uint32_t counter[1 << HOST_HOT_BITS];  /* by host_hot_index: times until the target counts as hot */
    uint32_t miss[1 << HOST_MISS_BITS];    /* by host_miss_index: misses of an indirect branch until `promote` is called */
    /* A TOOL operation: number `site`, a multiple of 4, operands in ir.call.arg. IR_STOP_NONE, or leave (slots and pc are exact
     * then). Or ROOM with no room: host_room_site; position in ir.call.arg[0], the new one in ir.call.ret. Or host_note_site. */
    IrStop (*tool)(struct HostCpu *cpu, uint64_t site);
    const void *tool_at;                  /* behind the call of the TOOL operation that is calling */
    const IrTell *told;                   /* of the TELL operation that is calling, or was last; NULL: none is. See Host.abandon */
    void *told_rsp;                       /* where the return stack was before that */
    /* Called, under the same rules, when `unpaired_left` has come to zero: sets it anew. ir.pc is where a return goes to. */
    const void *(*unpaired)(struct HostCpu *cpu);
    uint32_t unpaired_left;               /* returns that did not go back to the last call until `unpaired` is called */
    uint64_t counted[HOST_LANES];         /* see HostConfig.lanes; while in_code a register has it */
    void *returns;                        /* while the helper of an EXIT_HELP runs: the return stack, which goes on to be used behind
                                           * it; NULL: what it holds is not to be returned to any more */
} HostCpu;

/* Index of a pc in the jump cache; translated code computes the same. */
static inline uint32_t host_jcache_index(uint64_t pc, unsigned pc_shift)
{
    return (uint32_t)(pc >> pc_shift) & ((1u << HOST_JCACHE_BITS) - 1);
}

/* The same in the second one, where pcs that share an entry in the first seldom meet again. */
static inline uint32_t host_jcache2_index(uint64_t pc, unsigned pc_shift)
{
    return (uint32_t)(pc >> pc_shift ^ pc >> (pc_shift + HOST_JCACHE_BITS)) & ((1u << HOST_JCACHE_BITS) - 1);
}

/* Index of the counter of guest address pc; translated code has it as a displacement. */
static inline uint32_t host_hot_index(uint64_t pc, unsigned pc_shift)
{
    return (uint32_t)(pc >> pc_shift ^ pc >> (pc_shift + HOST_HOT_BITS)) & ((1u << HOST_HOT_BITS) - 1);
}

/*
 * An entry of the table of versions: bit 0 locked, bit 1 watched (IR_LOCK_WATCHED), the version above. As IR_VERSION shows it.
 */
#define HOST_VERSION_BITS 14
#define HOST_VERSION_GRANULE 4 /* log2 of its bytes */
enum { HOST_VERSION_LOCKED = 1, HOST_VERSION_WATCHED = 2, HOST_VERSION_STEP = 4 };

static inline uint32_t host_version_index(uint64_t va)
{
    return (uint32_t)(va >> HOST_VERSION_GRANULE) & ((1u << HOST_VERSION_BITS) - 1);
}

/* Index of the count of misses of the indirect branch at guest address pc. */
static inline uint32_t host_miss_index(uint64_t pc, unsigned pc_shift)
{
    return (uint32_t)(pc >> pc_shift ^ pc >> (pc_shift + HOST_MISS_BITS)) & ((1u << HOST_MISS_BITS) - 1);
}

/* What HostCpu.tool is called with for a NOTE operation that finds no room: what it is about; its operands are in ir.call.arg. */
static inline uint64_t host_note_site(uint64_t note)
{
    return note | 2;
}

/* What HostCpu.tool is called with for a ROOM operation of the cell at `limit`. */
static inline uint64_t host_room_site(uint64_t limit)
{
    return limit << 1 | 1;
}

/* Which slots are pinned to which host registers: fixed for the life of a process. */
typedef struct HostPlan HostPlan;

/* A growing buffer in a thread's part of the code cache: written through `rw`, run at `rw + delta`. */
typedef struct CodeBuf {
    uint8_t *start, *p, *end; /* writable view */
    int64_t delta;            /* executable address - writable address */
    bool overflow;            /* ran out of room: nothing was written past end; the code is void */
} CodeBuf;

/* A chain site: an aligned 32-bit displacement that now leads to its own stub and can be patched with one store. */
typedef struct HostSite {
    uint32_t offset;      /* of the displacement, from the code's start */
    uint32_t stub : 24;   /* of the stub that it first leads to, from the code's start */
    uint32_t hot : 1;     /* a loop's way back, or a call: may be taken often */
    uint32_t indirect : 7; /* HOST_SITE_*: an indirect branch, whose stub looks the target up; 0: a direct one */
    uint64_t target;      /* guest pc; of an indirect branch its own */
} HostSite;

/*
 * PLAIN: a jump that looks its target up where it is (IR_HINT_MANY). Only names the branch, and is never patched.
 * RETURN: with HostConfig.ret_predict its stub does not look the target up, but returns (IR_HINT_STRAY).
 */
enum { HOST_SITE_JUMP = 1, HOST_SITE_CALL, HOST_SITE_PLAIN, HOST_SITE_RETURN };

/*
 * Position-dependent words, for the persistent cache. Guest addresses are everywhere: code is valid only at the one that
 * it was made for.
 */
typedef struct HostReloc {
    uint32_t offset;   /* of a 32-bit displacement to a common stub */
    uint8_t stub;      /* which */
} HostReloc;

/* With HostConfig.count_at: whose the code from `offset` on is, up to the next mark. In ascending order. */
typedef enum HostMarkKind {
    HOST_MARK_INSN,  /* of the guest instruction at `what`, in the block that was named before */
    HOST_MARK_BLOCK, /* of block `what` of the region */
    HOST_MARK_RARE,  /* nobody's: run once, or hardly ever */
} HostMarkKind;
typedef struct HostMark {
    uint32_t offset;
    uint8_t kind;
    uint64_t what;
} HostMark;

/* The result of compiling: arrays live in the region's arena. */
typedef struct HostCode {
    uint8_t *rw;       /* start of the code, writable view */
    uint32_t size;     /* bytes, padding included */
    uint32_t insns;    /* bytes of it that are instructions or padding; constants follow */
    HostSite *site;   /* as they were met: hardly in order */
    uint32_t nsite;
    HostReloc *reloc;
    uint32_t nreloc;
    /* Side table from host offsets to guest state: see host_recover. Byte-packed, position-independent. */
    uint8_t *side;
    uint32_t side_len;
    HostMark *mark;
    uint32_t nmark;
} HostCode;

/* A promotion stub: what an indirect branch whose targets are known leads to. */
typedef struct HostPromotion {
    uint64_t pc;             /* guest address of the branch */
    const uint64_t *target;  /* guest addresses, to be compared in this order; when they are many those behind are halved */
    unsigned n;              /* from 1 to HOST_PROMOTE_MAX */
    const void *site;        /* executable address of the branch's displacement ... */
    const void *lookup;      /* and of its own stub, for all other targets */
    bool counts;             /* executions of others than the first are counted like misses: their order may be wrong */
    bool pops;               /* a HOST_SITE_RETURN: what the last call has left on the return stack goes */
    uint64_t *const *hits;   /* counters: by target, then one for the rest; NULL: none */
} HostPromotion;

#define HOST_PROMOTE_MAX 64
#define HOST_PROMOTE_ROW 16 /* up to so many are compared one after the other, and only these may count */
#define HOST_PROMOTE_BYTES(n) ((64u + 96u * (n) + 63) & ~63u) /* room for a stub of n targets, in whole lines of the cache */

/* How indirect branches of translated code are kept from being predicted by what an attacker has trained. */
typedef enum HostHarden { HARDEN_OFF, HARDEN_RETPOLINE, HARDEN_LFENCE } HostHarden;

/* Something constant to be added to a slot that is a counter. */
typedef struct HostCount {
    uint32_t slot;
    int32_t by;
} HostCount;

#define HOST_COMBINE_MAX 8

typedef struct HostConfig {
    const IrSlots *slots;
    const uint16_t *pin_int, *pin_vec; /* from the guest, in order of merit */
    const uint16_t *flags; /* slots of type i8 by FlagRole (ir.h), or NULL: none are special */
    unsigned pc_shift;
    const IrHelper *helpers;
    uint32_t nhelpers;
    const char *cpu;       /* --host-cpu: "native", "avx2", "avx512" */
    bool ret_predict;      /* use the host's return predictor */
    bool promote;          /* indirect branches are sites that can be patched */
    HostHarden harden;
    bool count_polls;      /* POLL counts down HostCpu.polls_left, and is true when that comes to zero: for --check */
    /*
     * Tools' functions are called from many places: slots are pinned only in registers that C code keeps, and the host's FP
     * environment, which C code needs, stays after such a call until something is computed with floating point. Loading it takes as
     * long as all else about a call.
     */
    bool tool_calls;
    /*
     * What code adds to several counters at once, 2 to HOST_COMBINE_MAX of them: where, in bytes from the guest state, a uint64_t says
     * how often just this was added. Code adds 1 to that instead. 0: nowhere. NULL: never. `hot`: it will be executed often.
     */
    uint32_t (*combine)(void *data, const HostCount *count, unsigned n, bool hot);
    void *combine_data;
    /*
     * What code adds to counters that have a lane (IrSlot.lane), where it is left, it may add to HostCpu.counted instead, which lives in a
     * register between translations: a short translation spends more on one addition to memory than on most of what else it does.
     * Not with tool_calls.
     */
    bool lanes;
    uint32_t count_at;     /* where counters (uint64_t) are, from HostCpu; 0: IrRegion.counters is always 0 */
} HostConfig;

typedef struct Host {
    const char *name;      /* "x86_64" */
    /* Check the processor, choose the plan. NULL with `st` when the processor lacks what is required. */
    HostPlan *(*plan_new)(const HostConfig *cfg, Status *st);
    void (*plan_free)(HostPlan *plan);
    /* Emit the common stubs (enter, exits, thunks) at the start of the cache; once. Returns false when out of room. */
    bool (*stubs)(HostPlan *plan, CodeBuf *cb);
    /*
     * Compile a verified, slot-converted region at cb->p: a tree, or a graph. On success advances cb->p and fills *out.
     * Returns false with cb->overflow when there is no room: try again with a larger buffer. False without it: a graph with
     * more values at once than this host can hold.
     */
    bool (*compile)(HostPlan *plan, const IrRegion *r, CodeBuf *cb, HostCode *out);
    /*
     * Write a promotion stub at cb->p; advances it and fills site[] with a chain site for each target. False (cb->overflow)
     * when there is no room.
     */
    bool (*promotion)(const HostPlan *plan, CodeBuf *cb, const HostPromotion *what, HostSite *site);
    /* Run translated code from `hpc` (executable address) until it leaves; returns the IrStop. */
    IrStop (*enter)(HostPlan *plan, HostCpu *cpu, const void *hpc);
    /* Point a chain site at `target` or, with NULL, back at its stub. Any thread may be running it. */
    void (*patch)(const HostSite *site, uint8_t *code_rw, int64_t delta, const void *target);
    /*
     * For a fault at `hpc` inside translated code: write the guest state of the faulting instruction's start into
     * cpu->ir (state, pc, fp flags), reading host registers from `uc` (ucontext_t *). False when hpc is at no operation
     * that may fault.
     *   code, side, side_len  of the translation that holds hpc
     */
    bool (*recover)(HostPlan *plan, HostCpu *cpu, const uint8_t *code_rx, const uint8_t *side, uint32_t side_len,
                    const void *hpc, void *uc);
    /*
     * For a SIGFPE inside translated code: complete the floating-point operation at the interrupted context's pc as the
     * guest's architecture has it, flags in cpu->ir.fp, and step over it. Returns the IR_FP_CAREFUL_* under which such
     * an operation does not trap; 0 when it is none.
     */
    unsigned (*fp_trap)(HostCpu *cpu, void *uc);
    /*
     * While a TOOL operation's call is being made: write the slots as they are at it to `state`, which holds a copy of
     * cpu->state, and return the pc. `hpc` is cpu->tool_at.
     */
    uint64_t (*show)(HostPlan *plan, const HostCpu *cpu, const uint8_t *code_rx, const uint8_t *side, uint32_t side_len,
                     const void *hpc, uint8_t *state);
    /*
     * Make the interrupted context `uc` continue in the exit stub, so that enter() returns `why`. Call after recover, or
     * when pc and slots are otherwise exact.
     */
    void (*leave)(HostPlan *plan, HostCpu *cpu, void *uc, IrStop why);
    /* The interrupted context is in what code has called through cpu->tool, or cpu->told: make it continue as if that had returned. */
    void (*abandon)(HostPlan *plan, HostCpu *cpu, void *uc);
    /* Whether the interrupted context faulted by overrunning the return stack; if so resets it in `uc`. */
    bool (*shadow_overflow)(HostPlan *plan, HostCpu *cpu, void *uc, const void *fault_addr);
    /*
     * Forget every predicted return: nothing that is on the return stack now is returned to any more. Called
     * on the vcpu's own thread, by the run loop or inside a helper or link routine (translated code is suspended).
     */
    void (*drop_returns)(HostPlan *plan, HostCpu *cpu);
    /* Push cpu->ir.fp's rounding and flags into cpu->mxcsr and back; call around anything that changes or reads them. */
    void (*fp_load)(HostCpu *cpu);  /* ir.fp -> mxcsr; clears host sticky flags */
    void (*fp_store)(HostCpu *cpu); /* host sticky flags -> ir.fp.flags */
    /*
     * For the persistent cache, whose code is mapped at any address: it refers to the common stubs through gates, one of
     * HOST_GATE_BYTES for each stub, which find the stub through the HostCpu that is running.
     *   gates     write HOST_GATES gates
     *   counter   as compiled for a region that only counts
     *   cpu_init  fill in cpu->gate
     *   retarget  make the displacement at `word`, a HostReloc's, lead to `to`, both in one buffer of code
     *   features  copy what of the processor the code depends on to buf; returns its size (at most `len`)
     */
    void (*gates)(const HostPlan *plan, uint8_t *buf);
    /* Write a counter for guest address pc (see IR_EXIT_COUNT) of HOST_COUNTER_BYTES, and say what in it is to be filled in. */
    void (*counter)(const HostPlan *plan, uint8_t *buf, uint64_t pc, HostSite *site, HostReloc reloc[2]);
    void (*cpu_init)(const HostPlan *plan, HostCpu *cpu);
    void (*retarget)(uint8_t *word, const uint8_t *to);
    size_t (*features)(const HostPlan *plan, void *buf, size_t len);
    /*
     * The offset of the first jump or call in code[len) that a branch predictor could lead astray (HostConfig.harden), or
     * len. Returns from subroutines are none: they are paired with calls. `code` NULL: the common stubs; 0 when all is well.
     */
    size_t (*unprotected)(const HostPlan *plan, const uint8_t *code, size_t len);
    /* Disassemble one host instruction for --log=asm; returns its length. */
    unsigned (*disas)(const uint8_t *rx, uint64_t addr, char *buf, size_t buflen);
} Host;

/* The host that this program was built for. */
extern const Host host_native;

#endif
