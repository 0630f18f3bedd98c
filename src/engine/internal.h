/*
 * The engine's own structures and the functions that its files offer each other.
 */
#ifndef ENGINE_INTERNAL_H
#define ENGINE_INTERNAL_H

#include "engine/cache.h"
#include "engine/instrument.h"

#define TABLE_BITS 17
#define TABLE_LOCKS 256
#define PAGE_BUCKETS 4096
#define CAREFUL_BUCKETS 256
#define MAKING_LOCKS 64

/* Translations by (pc, mode): chained buckets, read without locks. */
typedef struct Table {
    _Atomic(Translation *) *bucket;
    atomic_bool interpreted; /* some entry has no code in the cache, which owns the others */
    Spin lock[TABLE_LOCKS]; /* writers of the buckets that are equal modulo TABLE_LOCKS */
} Table;

/* Translations by guest page. */
typedef struct PageBucket {
    Spin lock;
    _Atomic(PageRef *) head;
} PageBucket;

/* Guest instructions (or starts of regions) that trapped in their common form. Nodes are never removed: being careful in vain is harmless. */
typedef struct CarefulSite {
    uint64_t pc;
    _Atomic unsigned forms; /* LIFT_CAREFUL_* */
    struct CarefulSite *next;
} CarefulSite;

/* Where execution came by from a hot place: the addresses of instructions, the last one not executed yet (trail.c). */
#define TRAIL_INSNS 240
struct Trail {
    uint32_t n, mode;
    bool rests;              /* within an instruction: a child that shares memory may run on the vcpu in the call that makes it */
    uint64_t pc[TRAIL_INSNS];
};

/* Something hot that is to be translated again. */
typedef struct TierRequest {
    uint64_t pc;
    uint32_t mode;
    Trail *trail;                /* the way from there */
} TierRequest;

#define TIER_QUEUE 256

/* The thread that does it (tier.c). */
typedef struct Tier {
    pthread_mutex_t lock;        /* of all below */
    pthread_cond_t wake, ended;  /* something for the thread; its end, for all but the one who stops it */
    TierRequest queue[TIER_QUEUE], current;
    unsigned first, n, longest;
    bool running, busy, stop;
    bool at_once;                /* one processor only: no thread */
    int pid;                     /* whose thread it may be */
    atomic_int tid;              /* kernel id of the thread; 0: there is none */
    pthread_t thread;
    Vcpu *cpu;
    void *env;                   /* from EnvOps.translator: of the thread's vcpus, this one and those after forks */
} Tier;

/* Translations that others took the place of, for vcpus to drop from their jump caches. */
#define REPLACED 256

/* Counted executions (hot.c). */
typedef struct Hot {
    pthread_mutex_t lock;        /* of the list */
    struct HotCode *codes;
    uint32_t next;               /* counter that is free; under lock */
    uint64_t *past;              /* of vcpus that are gone; under vcpu_lock */
} Hot;

struct Engine {
    EngineConfig cfg;
    const Host *host;
    HostPlan *plan;
    IrWorld world;
    uint32_t opt_skip;           /* passes that are left out */
    uint64_t clock_ns;           /* time that it takes to look at the clock; cfg.timing only */
    IrSlots slots;               /* the guest's, and cells (instrument.c) */
    IrSlot *cell_slots;          /* these together; NULL without tools */

    Cache cache;
    Table table;
    PageBucket page[PAGE_BUCKETS];
    pthread_mutex_t kill_lock;   /* one killer of translations at a time */
    pthread_mutex_t making[MAKING_LOCKS]; /* by guest pc: who makes a translation has it, the others wait (translate.c) */

    uint64_t *versions;          /* versions.c */
    atomic_bool versions_on;

    struct Persist *persist;     /* persist.c; NULL: none */

    _Atomic(CarefulSite *) careful[CAREFUL_BUCKETS];
    atomic_uint careful_count;   /* sites */
    atomic_uint careful_tags;    /* those of tagged pointers */
    pthread_mutex_t careful_lock;

    pthread_mutex_t vcpu_lock;   /* the list of vcpus */
    Vcpu *vcpus;
    struct VcpuStats past;       /* of vcpus that are gone; under vcpu_lock */

    /* Reclamation (grace.c) */
    _Atomic uint64_t epoch;
    pthread_mutex_t retire_lock;
    Translation *retired;
    unsigned nretired;

    pthread_mutex_t promote_lock;
    struct Promote *promote;     /* promote.c; NULL: off */

    struct Perf *perf;           /* perf.c; NULL: off */

    Tier tier;
    Hot hot;
    _Atomic uint64_t replaced[REPLACED], replaced_seq; /* guest pcs; written under kill_lock */

    _Atomic uint64_t flush_seq;  /* kills so far: vcpus that have seen fewer drop their jump cache and return stack */
    _Atomic uint64_t jit_count;  /* translations made, for jit_limit */
    _Atomic uint64_t parked;     /* translations that are */
    _Atomic uint64_t invalidations, killed, revived, unshared, evicted;

    /* Writers of the code cache stand aside while a thread forks (fork.c). */
    atomic_bool forking;
    _Atomic(Vcpu *) resting_for; /* all others stand still for this one (rest.c); NULL: they run */
    pthread_mutex_t fork_lock;
};

/* A pc that the jump cache's entry i can never be asked for: marks it empty. */
static inline uint64_t jump_empty(unsigned i, unsigned pc_shift)
{
    return (uint64_t)(i ^ 1) << pc_shift;
}

/*
 * After an indirect branch pc may have a tag, which the branch should have removed. Translations do not care: a tagged
 * target is in no jump cache, so everything that looks it up comes through here first.
 */
static inline void untag_pc(Vcpu *cpu)
{
    unsigned n = cpu->e->cfg.guest->pc_tag_bits;

    cpu->h.ir.pc &= (uint64_t)((int64_t)(cpu->h.ir.pc << n) >> n);
}

static inline bool rest_wanted(Vcpu *cpu)
{
    Vcpu *by = atomic_load(&cpu->e->resting_for);

    return by && by != cpu;
}

/* --- vcpu.c ------------------------------------------------------------------------------------------------------- */
/* Offset of hot.c's counters, which follow a vcpu and its tools' cells (instrument.h). */
size_t vcpu_counters_at(const Engine *e);
/* Free a vcpu that is in no list any more. */
void vcpu_bury(Vcpu *cpu);
/* Of all vcpus, past and present. Others may be counting: approximate while they run. */
struct VcpuStats vcpu_sum_stats(Engine *e);

/* --- table.c ------------------------------------------------------------------------------------------------------ */
bool table_init(Table *tb, Status *st);
void table_done(Table *tb, Pool *pool);
Translation *table_find(const Table *tb, uint64_t pc, uint32_t mode);
Translation *table_find_parked(const Table *tb, uint64_t pc, uint32_t mode);
/* Insert; returns `t`, or the live translation of the same key that was there first. */
Translation *table_insert(Table *tb, Translation *t);
/* A live translation of t's key that is not t. */
Translation *table_find_other(const Table *tb, Translation *t);
/* Insert in front of all others of the same key, so that it is found and not they. */
void table_put(Table *tb, Translation *t);
/* Remove if present. */
void table_remove(Table *tb, Translation *t);

/* --- pages.c: which translations were made from which guest page ----------------------------------------------------- */
/* Note that t reads the page of va. NULL when t has too many pages already. */
PageRef *page_add(Engine *e, Translation *t, uint64_t va);
void page_remove_all(Engine *e, Translation *t);
/* ref's translation, which is being made, depends on the n bytes from va on, of those that are in its page. */
void page_note(PageRef *ref, uint64_t va, size_t n);
/* A range of guest addresses whose translations are to go, page by page. */
typedef struct PageWalk {
    uint64_t va, last; /* both included */
    uint64_t page;     /* next to be looked at; for a range of many pages: bucket */
    bool park;         /* those that can be are to be parked instead */
} PageWalk;
PageWalk page_walk(uint64_t va, uint64_t len);
/* Mark dead (or parked) the next live translation of something in the range and return it, to be seen to; NULL: no more. Those
 * still being made from a page of it are marked as well: their maker will drop them. */
Translation *page_condemn(Engine *e, PageWalk *w);
/* Whether page_condemn would find or mark something, or somebody is at it: what another thread has marked may be run until that has
 * unlinked it, for which the caller is to wait (kill_lock). */
bool page_concerns(Engine *e, uint64_t va, uint64_t len);

/* --- fetch.c ------------------------------------------------------------------------------------------------------ */
#define FETCH_BYTES 128

/* A window of guest code, copied. */
struct Fetch {
    Vcpu *cpu;
    Translation *t;         /* to be registered with each page; may be NULL */
    PageRef *page;          /* the one that buf is of; NULL without t */
    uint64_t va;            /* guest address of buf[0] */
    size_t len;
    uint8_t buf[FETCH_BYTES];
    bool sections;          /* there may be some on the page */
    bool begun;             /* an instruction was lifted; it is in: */
    const EnvSection *section; /* NULL: none */
};

/* Code at pc, at least one smallest instruction of it; NULL when it cannot be fetched. */
const uint8_t *fetch_at(Fetch *f, uint64_t pc, size_t *avail);
/* The same, of at most `most` bytes, all of which the translation then depends on. */
const uint8_t *fetch_look(Fetch *f, uint64_t pc, size_t most, size_t *avail);
/*
 * Where the indirect branch at pc, which ends at `end`, may go by a table in front of it (Guest.branch_targets): at most `max`
 * addresses, which the translation does not depend on.
 */
unsigned fetch_targets(Fetch *f, uint64_t end, uint64_t pc, uint64_t *out, unsigned max);
/* Lift the instruction at l->pc. False when it cannot be fetched. */
bool fetch_lift(Fetch *f, Lift *l);
/* What lifts into a new region at pc, in the vcpu's arena. */
Lift fetch_lift_new(Vcpu *cpu, uint64_t pc);
/* The one at pc alone, for who forms regions: where it leads is told in `flow`, and not emitted. */
bool fetch_lift_at(Fetch *f, Lift *l, uint64_t pc, LiftFlow *flow);

/* --- region.c ----------------------------------------------------------------------------------------------------- */
/*
 * Form a graph region with its entry at pc, in the vcpu's arena. NULL when that cannot be done, or is not worth while: the
 * first instruction cannot be fetched, or the code changed meanwhile.
 *   evidence  take in only what tier 1 has run, and only if pc is a loop's header: elsewhere trails are better
 */
IrRegion *region_form(Fetch *f, uint64_t pc, bool evidence);

/* --- trail.c ------------------------------------------------------------------------------------------------------ */
/* Note the way from cpu's pc: the run loop calls trail_step as long as cpu->trail is there. Then tier_trail gets it. */
void trail_begin(Vcpu *cpu);
IrStop trail_step(Vcpu *cpu);
/* Form a region along it, in the vcpu's arena. NULL: too short, the code changed meanwhile, or `later`: it is to be noted again. */
IrRegion *trail_form(Fetch *f, const Trail *t, bool *later);

/* --- translate.c ---------------------------------------------------------------------------------------------------- */
typedef enum Translated {
    TRANSLATED,
    TRANSLATED_NOT,     /* the instruction cannot be fetched; a graph cannot be made or is not worth while */
    TRANSLATED_FULL,    /* no room in the code cache until a grace period ends (run.c waits for it) */
    TRANSLATED_CHANGED, /* the guest changed the code meanwhile: try again */
    TRANSLATED_LATER,   /* the trail did not go where most do: try again when the place is hot again */
} Translated;
/* The translation of (pc, cpu's mode): found, or made now; NULL with *why set. One without hpc is to be interpreted. */
Translation *translate_get(Vcpu *cpu, uint64_t pc, Translated *why);
/* Who makes code for guest address pc has it (of Engine.making), in a section between write_begin and write_end. */
pthread_mutex_t *translate_making(Engine *e, uint64_t pc);
/* Make `t`, for a pc that tier 1 has found hot, of a graph region, or of the trail. TRANSLATED_NOT: not worth while. */
Translated translate_graph(Vcpu *cpu, Translation *t, const Trail *trail);
/* Make it visible in the place of every other translation of its pc and mode. */
void translate_replace(Vcpu *cpu, Translation *t);
/* Make `t` a counter for its pc (tier.c). False when the cache is full. */
bool translate_counter(Vcpu *cpu, Translation *t);
/* Whether somebody looks at instruction boundaries (IR_INSN) once a region is optimised. */
bool translate_marks(const Engine *e);
/* Lift up to `limit` instructions at pc into the vcpu's arena; NULL when the first cannot be fetched. `t` may be NULL. */
IrRegion *translate_form(Vcpu *cpu, uint64_t pc, unsigned limit, Translation *t);
/* The same for running them once, with what tools ask for. `resumes`: see ToolRegion. */
IrRegion *translate_once(Vcpu *cpu, uint64_t pc, unsigned limit, bool resumes);
Translation *translation_new(Engine *e, uint64_t pc, uint32_t mode);
/* The block of its links, which nlink, nreloc and side_len say the size of from now on. */
void translation_links(Engine *e, Translation *t);
void translation_free(Pool *pool, Translation *t);
/* What it meets itself, made when it is not there yet. */
Met *translation_met(Translation *t);

/* --- pack.c --------------------------------------------------------------------------------------------------------- */
/* A copy of a region in one malloc block, for keeping. */
IrRegion *ir_pack(const IrRegion *r);

/* --- careful.c ------------------------------------------------------------------------------------------------------ */
unsigned careful_forms(Engine *e, uint64_t pc);
/* The FP mode of a region that begins at pc. */
IrFpMode careful_fp_mode(Engine *e, uint32_t mode, uint64_t pc);
/* So many sites met tagged pointers that every instruction is translated for them. */
bool careful_everywhere(Engine *e);
/* Add forms to pc's; false when it had them all. */
bool careful_add(Engine *e, uint64_t pc, unsigned forms);
void careful_done(Engine *e);

/* --- link.c --------------------------------------------------------------------------------------------------------- */
/* The routines behind HostCpu.link and HostCpu.lookup. */
const void *link_chain(HostCpu *h);
const void *link_lookup(HostCpu *h);
/* Point every site that leads to t back at its own stub. t is dead. */
void link_unchain(Engine *e, Translation *t);
/* Take t's own sites out of their targets' lists, and free its indirect branches' stubs; t is about to be freed. Caller holds
 * kill_lock. */
void link_forget(Engine *e, Translation *t);
/* The site whose displacement is at executable address `hpc`; NULL. In a section between write_begin and write_end. */
Link *link_find(Engine *e, const void *hpc);
/* Let a site lead to `to`'s code, NULL: to its own stub. False when it may not be written to yet (after fork). */
bool link_point(Engine *e, Link *l, Translation *to);
/* Drop (pc), or all that leads to [hpc, hpc + size), from a vcpu's jump caches. Own thread. */
void link_drop(Vcpu *cpu, uint64_t pc);
void link_drop_code(Vcpu *cpu, const void *hpc, size_t size);
/* Of a new vcpu, all zeros: jump caches and return stack are empty. */
void link_init(Vcpu *cpu);
/* Empty a vcpu's jump caches and return stack. Own thread, outside translated code. */
void link_flush(Vcpu *cpu);

/* --- promote.c ---------------------------------------------------------------------------------------------------- */
void promote_init(Engine *e);
void promote_done(Engine *e);
void promote_vcpu_init(Vcpu *cpu);
/* Before a region is compiled: say of its indirect jumps which are better off without a site (IR_HINT_MANY), and of its returns
 * which are no use to the return predictor (IR_HINT_STRAY or _JUMP). */
void promote_choose(Engine *e, IrRegion *r);
/* What the return at pc is to whoever forms a region that goes over calls: IR_HINT_RET, _STRAY or _JUMP. */
IrHint promote_return_hint(Engine *e, uint64_t pc);
/* Give the indirect branches of a translation that nobody runs yet the stubs that others of the same guest code have. */
void promote_attach(Engine *e, Translation *t);
/* Whether the branch at pc has only one target so far, which tier 2 may meet itself (Translation.met). */
bool promote_known(Engine *e, uint64_t pc, uint64_t *target);
/* What was seen of the return at pc. Returns whether it is to be translated otherwise. Outside translated code. */
bool promote_return(Vcpu *cpu, uint64_t pc, const PromoteWatched *seen);
/* Whether a trail goes on at `to`, where the branch at pc went as it was noted. */
PromoteLead promote_trail(Engine *e, uint64_t pc, uint64_t to);
/* The routine behind HostCpu.promote. */
const void *promote_miss(HostCpu *h);
/* What another process has found out of a branch, unless there is a record of it already. Own thread. */
void promote_remember(Vcpu *cpu, const PromoteKept *k);
/* Call fn for each branch that there is a record of. */
void promote_each(Engine *e, void (*fn)(void *ctx, const PromoteSite *s), void *ctx);
/* Free a stub that nobody runs any more. Caller holds kill_lock. */
void promote_stub_free(Engine *e, Translation *t);
/* The same for the stub of an indirect branch whose translation goes. */
void promote_forget(Engine *e, Link *l);

/* --- invalidate.c --------------------------------------------------------------------------------------------------- */
/* Finish killing a translation whose state has been set to dead by the caller, who holds kill_lock. */
void kill_translation_locked(Engine *e, Translation *t);
/* Set a live translation's state to dead; false when somebody else did. */
bool kill_mark(Engine *e, Translation *t);
/* A translation whose code is in a region is dead now. */
void kill_count(Translation *t);
/* The parked translation of (pc, cpu's mode), live again; NULL when there is none that is still right. */
Translation *park_revive(Vcpu *cpu, uint64_t pc);
/* Kill the translations of va's page, which has not changed: they are to be made in careful forms. */
void kill_page(Engine *e, uint64_t va);
/* Make cpu->redo's translation anew at its next execution, in its careful forms. */
void kill_redo(Vcpu *cpu);
/* After kills: make every vcpu drop what it remembers. */
void kill_finish(Engine *e);

/* Take t, which is dead now, out of everything: another one has its place. Caller holds kill_lock. */
void kill_replaced_locked(Engine *e, Translation *t);
/* The same for t's counter alone. */
void kill_counter_locked(Engine *e, Translation *t);
/* Vcpus are to drop what they remember for pc. */
void kill_note_replaced_locked(Engine *e, uint64_t pc);
/* After such: ask every vcpu to look at what was replaced. */
void kill_replaced_finish(Engine *e);
/* Drop from the jump caches of the vcpu what was replaced. Own thread, outside translated code. */
void link_drop_replaced(Vcpu *cpu);

/* --- tier.c ------------------------------------------------------------------------------------------------------- */
void tier_init(Engine *e);
void tier_done(Engine *e);
void tier_vcpu_init(Vcpu *cpu);
void tier_fork_child(Engine *e);
/* The routine behind HostCpu.hot. */
const void *tier_hot(HostCpu *h);
/* A trail has ended; it is the callee's now. `whole`: not given up. Outside translated code. */
void tier_trail(Vcpu *cpu, Trail *trail, bool whole);
/* What a hot site that leads to t is to be linked to: t, or a counter in front of it. NULL: leave it unlinked this time. In a
 * section between write_begin and write_end. */
Translation *tier_entry(Vcpu *cpu, Translation *t);
/* A translation and its counter part; returns the counter, if t had one. */
Translation *tier_part_locked(Translation *t);

/* --- grace.c -------------------------------------------------------------------------------------------------------- */
uint64_t grace_now(Engine *e);
/* This vcpu is in its run loop, and since `epoch` was read it has dropped every pointer to a translation. */
void grace_quiesce(Vcpu *cpu, uint64_t epoch);
void grace_retire(Engine *e, Translation *t);
/* Epoch to stamp something that was made unreachable just now. */
uint64_t grace_stamp(Engine *e);
/* Free what nobody can be using. */
void grace_collect(Engine *e);

/* --- fork.c: a thread that writes to the cache is between these ------------------------------------------------------ */
void write_begin(Vcpu *cpu);
void write_end(Vcpu *cpu);

/* --- perf.c --------------------------------------------------------------------------------------------------------- */
bool perf_init(Engine *e, Status *st);
void perf_done(Engine *e);
/* Code was made. */
void perf_note(Vcpu *cpu, const Translation *t);
void perf_fork_child(Engine *e);

/* --- rest.c --------------------------------------------------------------------------------------------------------- */
/* Let every other thread come to rest, for as long as the process lives or until engine_go_on. Outside translated code. */
void rest_others(Vcpu *self);
/* Stand still while another thread wants it. Own thread, with nothing of a translation held. */
void rest_here(Vcpu *cpu);

/* --- versions.c --------------------------------------------------------------------------------------------------- */
bool versions_init(Engine *e);
void versions_done(Engine *e);
void versions_fork_child(Engine *e);
/* Give the vcpu the mode in which versions are kept, if they are. Own thread, before it runs translated code again. */
void versions_mode(Vcpu *cpu);
/* IrWorld.monitor */
void versions_monitor(IrCpu *ir, uint64_t va);

/* --- mem.c ---------------------------------------------------------------------------------------------------------- */
extern const IrMemOps mem_ops;

/* --- fault.c -------------------------------------------------------------------------------------------------------- */
bool fault_install(Engine *e, Status *st);
void fault_uninstall(void);
/* Alternate signal stack and thread pointer of the calling thread. */
void fault_attach(Vcpu *cpu);
void fault_detach(Vcpu *cpu);
/* Take out of `set` the signals that mean a fault of the thread itself. */
void fault_unblocked(sigset_t *set);
/* What the handler saw of the fault that made a safe_* routine of this thread fail, as a guest fault at `va`. */
void fault_note(Vcpu *cpu, uint64_t va, unsigned size, bool write);
/* The same for a bulk copy that stopped at dst, src. */
void fault_note_bulk(Vcpu *cpu, uint64_t dst, uint64_t src);
/* si_code for an instruction that cannot be fetched. */
int fault_fetch_code(uint64_t pc);
/*
 * The run loop's part: cpu->fault holds what happened at cpu->pc. Repairs it (careful form) or delivers it. Returns
 * false when the thread must end.
 */
bool fault_handle(Vcpu *cpu);
/* Whether cpu->fault may come from a tagged pointer at a site that is not careful yet; makes cpu's pc such a site. */
bool fault_is_tag(Vcpu *cpu);
void fault_make_careful(Vcpu *cpu);

/* Stop all writers until the other: no thread is between write_begin and write_end. The caller must not be one. */
void writers_stop(Engine *e);
void writers_go(Engine *e);

/* --- persist.c: the persistent cache; see persist.h ----------------------------------------------------------------- */
void persist_init(Engine *e);
void persist_done(Engine *e);
/* The translation of (pc, cpu's mode) from a file; NULL when there is none. */
Translation *persist_get(Vcpu *cpu, uint64_t pc);
/* The same, but only its code. */
const void *persist_code(Vcpu *cpu, uint64_t pc);
/*
 * False: code at `from` is kept, and a direct exit to `to`, in another image, would be linked by every process
 * that uses it. (python3 -c pass took a tenth longer when library calls were: each copied a part of the kept code.)
 */
bool persist_links(Engine *e, uint64_t from, uint64_t to);
/* The translation whose code holds hpc, if that is of a file; NULL. In a section between write_begin and write_end. */
Translation *persist_at(Engine *e, const void *hpc);
/*
 * What the direct chain site of it leads to whose stub is at hpc; false when that is in no file's code. Also of code that was
 * dropped.
 */
bool persist_target(Engine *e, const void *hpc, uint64_t *target);
/* Of that translation pc, mode, hpc and side table alone. Async-signal-safe. */
bool persist_place(Engine *e, const void *hpc, Translation *out);
/* No kept translation of (pc, mode), or of va's page, is entered any more: they are to be made anew in careful forms, or have
 * been `replaced` by better ones. Whether there were any. Caller holds kill_lock, in a section between write_begin and write_end. */
bool persist_drop_locked(Engine *e, uint64_t pc, uint32_t mode, bool replaced);
bool persist_drop_page_locked(Engine *e, uint64_t va);
/* The page of va is about to be translated from. */
void persist_reads(Engine *e, uint64_t va);
/* `t` has been made just now. */
void persist_made(Vcpu *cpu, const Translation *t);
/* Of the code at pc was found out what other processes are to know: there will be no graph of it, or its return is no use to the predictor. */
void persist_learnt(Engine *e, uint64_t pc);
/* `t` has taken the place of another. */
void persist_improved(Engine *e, const Translation *t);
/* Guest memory [va, va + len) changed. Returns whether something was killed. Caller holds kill_lock. */
bool persist_invalidate_locked(Engine *e, uint64_t va, uint64_t len);
/* Something is about to look for what persist_invalidate_locked has to do: before kill_lock is taken. */
void persist_changed(Engine *e);
/* Whether persist_invalidate_locked would find something in the range, or something is being made that may be in it. */
bool persist_concerns(Engine *e, uint64_t va, uint64_t len);
/* A region of an image that is dead is given back. Caller holds kill_lock. */
void persist_region_gone_locked(Engine *e, struct PersistImage *im);
void persist_fork_child(Engine *e);
void persist_stats(Engine *e, FILE *f);

/* --- instrument.c --------------------------------------------------------------------------------------------------- */
void tools_init(Engine *e);
void tools_done(Engine *e);
/* HostConfig.combine of `tools`. */
uint32_t tools_combine(void *tools, const HostCount *count, unsigned n, bool hot);
/* The stage of the pipeline; `tier` if it will be translated at all. */
void tools_region(Fetch *f, IrRegion *r, unsigned tier, bool resumes);
/* Give the vcpu the mode of the tools' state. Own thread, before it runs translated code again. Whether that is another one. */
bool tools_mode(Vcpu *cpu);
/* The routines behind HostCpu.tool, IrWorld.tool and IrWorld.room. */
IrStop tools_code_call(HostCpu *h, uint64_t site);
IrStop tools_world_call(IrCpu *ir, uint64_t site, const IrVal arg[2], IrShow *show);
uint64_t tools_world_room(IrCpu *ir, uint64_t at, uint64_t limit);

/* --- hot.c: counting executions for --stats=hot; each does nothing when that was not asked for ------------------------------ */
/* Bytes behind each Vcpu for its counters. */
size_t hot_bytes(const Engine *e);
/* Give the blocks of a region counters. */
void hot_reserve(Engine *e, IrRegion *r);
/* Remember what was made of it. */
void hot_note(Vcpu *cpu, const IrRegion *r, const Translation *t, const HostCode *code);
/* A vcpu ends. Caller holds vcpu_lock. */
void hot_past_locked(Engine *e, const Vcpu *cpu);
void hot_fork_child(Engine *e, Vcpu *self);
void hot_stats(Engine *e, FILE *f);
void hot_done(Engine *e);

/* --- section.c ------------------------------------------------------------------------------------------------------ */
/* Whether there may be one on the page of pc. */
bool section_near(Vcpu *cpu, uint64_t pc);
/* What pc is in; NULL. */
const EnvSection *section_at(Vcpu *cpu, uint64_t pc);
/* The interpreter is about to run from cpu's pc. False: that is in an aborted section, which section_left has to know. */
bool section_enter(Vcpu *cpu);
/* It stored at `at`, which may be the word. */
void section_stored(Vcpu *cpu, const void *at, uint64_t val);
/* The thread does more at cpu's pc than the guest's instructions: if that is in a section, it is aborted at its next access. */
void section_disturb(Vcpu *cpu);
/* One access, while the word is armed. False when it was not done: a fault has been noted, or section_left has to know. */
typedef struct SectionOperands {
    void *val;
    const void *expect;
    void *old;
    bool write;
} SectionOperands;
bool section_access(Vcpu *cpu, RestartFn *fn, uint64_t va, unsigned size, SectionOperands o);
/* The interpreter returned IR_STOP_FAULT: whether it has left an aborted section, which is dealt with. */
bool section_left(Vcpu *cpu);
/* Whether the constants of a region, optimised, which t is to be made of, name sections that nobody knew: it is to be made anew, after section_settle. */
bool section_search(Vcpu *cpu, const IrRegion *r, Translation *t);
/* Drop what was translated of those that were found. Not in a section between write_begin and write_end. */
void section_settle(Vcpu *cpu);

/* --- returns.c ---------------------------------------------------------------------------------------------------- */
void returns_vcpu_init(Vcpu *cpu);
/* Returns that went elsewhere and are not in the statistics yet. */
uint32_t returns_counted(const Vcpu *cpu);
/* The routine behind HostCpu.unpaired. */
const void *returns_unpaired(HostCpu *h);
/* One instruction of a watch, as long as cpu->watch is there: the run loop's part. Not while it rests. */
IrStop returns_step(Vcpu *cpu);
bool returns_rest(const Vcpu *cpu);

/* --- run.c ---------------------------------------------------------------------------------------------------------- */
/* Interpret a region at cpu's pc. */
IrStop run_region(Vcpu *cpu, const IrRegion *r);
/* Interpret one region as lifted from pc, at most `limit` instructions, without keeping it. */
IrStop run_interp_once(Vcpu *cpu, unsigned limit);
/* Do what a stop asks for. Returns false when the thread must end. */
bool run_stop(Vcpu *cpu, IrStop stop);

/* --- lockstep.c ----------------------------------------------------------------------------------------------------- */
/* Cut a region so that it can be checked, and keep its IR in t->check_ir; a helper's instruction stays alone, unchecked. */
IrRegion *lockstep_prepare(Vcpu *cpu, IrRegion *r, Translation *t);
/* One region in both engines; ends the program with a report when they differ. */
IrStop lockstep_run(Vcpu *cpu, Translation *t);

#endif
