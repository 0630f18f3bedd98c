/*
 * What the engine offers those who watch guest code (plugin/), and asks of them: one Tools an engine, made by cmd/
 * before it. Without one nothing here costs anything.
 *
 * Translation. Tools.ops->region is the stage between lifting and optimising (engine/translate.c): it puts operations
 * into the lifted region, which pass through the optimiser and every backend like the guest's own.
 *
 * Cells are 64-bit words of memory that each vcpu has of its own, at fixed displacements from its guest state. The
 * first CELL_SLOTS of them are slots of the IR, as guest registers are: the code of a region keeps them in host
 * registers, faults and exits find their exact values through snapshots, and adding a constant costs nothing but one
 * addition to memory where the region is left. The others are memory: `cell.add` is one host instruction.
 *
 * A slot may be a counter (cell_counts). What code adds to several of these where it is left, the tools may have it count as one
 * (ToolOps.combine), and what it adds to the first HOST_LANES counters is kept in a register (HostCpu.counted): then what the
 * counter comes to is more than what is in it.
 *
 * Exactness follows: whatever a tool's operations do to cells before an operation that faults has been done, and
 * nothing else.
 */
#ifndef ENGINE_INSTRUMENT_H
#define ENGINE_INSTRUMENT_H

#include "engine/engine.h"

/* Cells of a vcpu that are not slots. Never moved: address space, of which only what is used is memory. */
#define CELL_BYTES (16u << 20)

typedef struct Tools Tools;
typedef struct Fetch Fetch;

/* How a region came about. */
typedef struct ToolRegion {
    unsigned tier; /* 0: for the interpreter; 1, 2 */
    bool resumes;  /* its first instruction has been begun before: nothing that comes before it is done again */
} ToolRegion;

/* By whom a range of guest memory was read or written. */
typedef enum ToolAccess { TOOL_BY_HELPER, TOOL_BY_SYSCALL, TOOL_BY_SIGNAL } ToolAccess;

/*
 * States. Which of the tools watch may change while the guest runs: each combination that comes up is a state, a number that is part
 * of the mode of a vcpu, by which translations are found. So code of several states lies side by side, chained within its state
 * alone, and a change makes nothing anew.
 */
#define TOOL_STATES 128
#define TOOL_STATE_SHIFT 24 /* in Vcpu's mode; guests have the bits below */

static inline unsigned tool_state(uint32_t mode)
{
    return mode >> TOOL_STATE_SHIFT;
}

typedef struct ToolSyscall {
    uint64_t nr, arg[6], pc;
    const char *name;
    int64_t result;
    const char *text; /* after: as --strace shows it; NULL: nobody has asked (Tools.want_text) */
} ToolSyscall;

/* All may be called by several threads at once, `region` also by the engine's own. */
typedef struct ToolOps {
    /* The engine is there, nothing runs yet. False with st set: some tool refuses. */
    bool (*start)(Tools *t, Status *st);
    void (*region)(Tools *t, Fetch *f, IrRegion *r, const ToolRegion *how);
    /* Operation `tool` or `tell`; see IrWorld. */
    IrStop (*call)(Tools *t, Vcpu *cpu, uint64_t site, const IrVal arg[2], IrShow *show);
    /*
     * The first from translated code, with Vcpu.escape VCPU_CODE_CALL; and, in the handler of the signal, when what is called so
     * crashes, or by a `tell` (HostCpu.told).
     */
    IrStop (*code_call)(Tools *t, Vcpu *cpu, uint64_t site, const IrVal arg[2], IrShow *show);
    void (*crash)(Tools *t, Vcpu *cpu, bool told);
    uint64_t (*room)(Tools *t, Vcpu *cpu, uint64_t at, uint64_t limit);
    /* HostConfig.combine. */
    uint32_t (*combine)(Tools *t, const HostCount *count, unsigned n, bool hot);
    /* On the vcpu's own thread, before it runs and when it has ended. */
    void (*thread_start)(Tools *t, Vcpu *cpu);
    void (*thread_end)(Tools *t, Vcpu *cpu);
    /* Memory was accessed otherwise than by a LOAD, STORE, CAS or RMW of translated code. */
    void (*access)(Tools *t, Vcpu *cpu, uint64_t va, uint64_t len, bool write, ToolAccess by);
    /* The guest's own fault at cpu->h.ir.pc, before it is told. */
    void (*fault)(Tools *t, Vcpu *cpu, const GuestFault *f);
    /* Returns true when the call has been answered (s->result). */
    bool (*syscall_before)(Tools *t, Vcpu *cpu, ToolSyscall *s);
    void (*syscall_after)(Tools *t, Vcpu *cpu, const ToolSyscall *s);
    void (*signal)(Tools *t, Vcpu *cpu, int number, int code, uint64_t addr, uint64_t handler);
    /* Some of Tools.signals have come: Tools.signalled. */
    void (*signalled)(Tools *t);
    /* Code in [start, end) is no longer what it was: unmapped, mapped over, or written anew. */
    void (*unmapped)(Tools *t, uint64_t start, uint64_t end);
    /* Around a fork in the parent, with other threads at rest (rest.c); in the child. */
    void (*fork)(Tools *t, bool begin);
    void (*fork_child)(Tools *t, Vcpu *self);
    /* End threads of the tools' own for now: as engine_stop_background. */
    void (*stop_threads)(Tools *t);
    /* The process ends, or is about to become another program (which may fail: then it goes on, and ends once more). */
    void (*finish)(Tools *t, Vcpu *cpu);
} ToolOps;

struct Tools {
    const ToolOps *ops;
    Engine *e;      /* set by engine_new */
    bool want_text; /* of system calls */
    bool calls;     /* functions may be called from many places: HostConfig.tool_calls */
    uint64_t signals; /* host signals that are the tools' alone, by number - 1: set before the guest runs */
    _Atomic uint64_t signalled; /* of these, those that have come */
    atomic_uint state;
    atomic_int thread; /* kernel id of a thread of the tools' own, to hide it from the guest; 0: there is none */
};

/* All vcpus go over to code of another state: at their next poll, the calling thread when its system call or tool's call ends. */
void tools_set_state(Engine *e, unsigned state);

/* The engine's tools, or NULL. */
Tools *engine_tools(const Engine *e);

/* --- cells -----------------------------------------------------------------------------------------------------------
 */

/* How many cells are slots, and the first of these. */
unsigned cell_slots(const Engine *e);
unsigned cell_first_slot(const Engine *e);
/* The vcpu of the calling thread, which a child of vfork borrows; NULL: none. */
Vcpu *fault_current(void);
/* Cell n is a counter if it is a slot: before anything is translated. `lane`: IrSlot.lane. */
void cell_counts(Engine *e, uint32_t n, unsigned lane);
/* Displacement of cell n from the guest state; CELL_NONE when there are not so many. */
#define CELL_NONE UINT32_MAX
uint32_t cell_disp(const Engine *e, uint32_t n);
uint32_t cell_limit(const Engine *e);

static inline uint64_t *cell_of(Vcpu *cpu, uint32_t disp)
{
    return (uint64_t *)(void *)(cpu->h.state + disp);
}

/* --- a look at one instruction ------------------------------------------------------------------------------------ */

/* One guest instruction, lifted by itself: what it is follows from what it does. */
typedef struct InsnView {
    uint64_t pc, next, target; /* target: of a direct branch */
    uint8_t length, bytes[16];
    LiftKind kind;
    IrHint hint;       /* LIFT_IND */
    bool helper;       /* may leave by a helper */
    const IrRegion *r; /* its operations: [first, r->ninsn) */
    IrRef first;
} InsnView;

/* The bytes at pc, *avail of them; NULL when it cannot be fetched. */
const uint8_t *insn_bytes(Fetch *f, uint64_t pc, size_t *avail);
/* False when it cannot be fetched. `scratch` holds one region for all views of one translation: NULL at first. */
bool insn_view(Fetch *f, uint64_t pc, IrRegion **scratch, InsnView *out);
Vcpu *fetch_vcpu(const Fetch *f);
const Guest *engine_guest(const Engine *e);
/* Disassemble guest memory; returns the length of the instruction, 0 when it cannot be read. */
unsigned insn_text(const Engine *e, uint64_t pc, char *buf, size_t len);

/* Disassembly of the host code that the live translation of the region at pc has, in whichever mode it was made: `line` is called for
 * each instruction. False: there is none. */
typedef void HostLineFn(void *data, const char *text);
bool host_text(const Engine *e, uint64_t pc, HostLineFn *line, void *data);

/* --- for tools' calls --------------------------------------------------------------------------------------------- */

/* A thread of the tools' own (engine_spawn), with a vcpu that never runs: crashes in it are caught as on a guest's thread. */
void tools_thread_begin(Vcpu *cpu);
void tools_thread_end(Vcpu *cpu);

/* A tool's own code runs with Vcpu.escape set: when it crashes, execution goes on there. */

/* Do the instruction at cpu->h.ir.pc without what comes before it, by the interpreter; returns as vcpu code does. */
IrStop run_resume_once(Vcpu *cpu);

/* --- from the environment ----------------------------------------------------------------------------------------- */

/* Guest memory for tools themselves: as guest_read and guest_write, but nobody hears of it. */
bool guest_peek(void *dst, uint64_t va, size_t n);
bool guest_poke(uint64_t va, const void *src, size_t n);

void tools_access(Vcpu *cpu, uint64_t va, uint64_t len, bool write, ToolAccess by);

#endif
