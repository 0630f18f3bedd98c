/* Private to plugin/: tools that run, their threads, cells, streams, images, and the code that they have been shown. */
#ifndef PLUGIN_INTERNAL_H
#define PLUGIN_INTERNAL_H

#include "plugin/plugin.h"

#include "base/arena.h"
#include "dragoman/plugin.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>

#define TOOLS_MAX   16
#define HOOKS_MAX   8  /* functions for one event of one tool */
#define STREAMS_MAX 16 /* of all tools */
#define RECORD_MAX  4096
#define FILTERS_MAX 8  /* of one stream */
#define OPTIONS_MAX 32
#define WINDOWS_MAX 8
#define PLACE_BUCKETS 256
#define FEED_QUEUE  32 /* full buffers that wait for a consumer's thread */

/* A function of a tool's for an event. */
typedef struct Hook {
    void (*fn)(void); /* cast to what the event has */
    void *data;
} Hook;

typedef enum EventKind {
    EV_TRANSLATE,
    EV_ACCESS,
    EV_THREAD_START,
    EV_THREAD_END,
    EV_SYSCALL_BEFORE,
    EV_SYSCALL_AFTER,
    EV_SIGNAL,
    EV_MAPPED,
    EV_UNMAPPED,
    EV_FORK,
    EV_FINISH,
    EV_COUNT
} EventKind;

typedef struct Option {
    char *name, *value;
    bool asked;
} Option;

struct DgHost {
    Plugins *p;
    const DgTool *tool;
    unsigned number;
    void *library; /* from dlopen; NULL: it ships */
    Option option[OPTIONS_MAX];
    unsigned noption;
    int out; /* where print writes; -1: not opened yet */
    char *out_path;
    Hook hook[EV_COUNT][HOOKS_MAX];
    unsigned nhook[EV_COUNT];
    struct Window *window; /* NULL: it watches always, unless it has said that it does not */
    atomic_bool ended; /* crashed or failed: nothing of it is called any more */
    _Atomic(struct Site *) told; /* whose functions translated code calls by itself (IrTell); only ever longer */
    char error[200];   /* from fail() in start() */
};

struct DgStream {
    DgHost *h;
    unsigned number;
    uint32_t record;
    size_t buffer; /* bytes, slack included */
    DgConsumeFn *fn;
    void *data;
    uint32_t pos, limit; /* cells */
    bool own_thread;     /* consumed by feed.c's */
    uint8_t *spare;      /* its buffers that nobody uses, each with a pointer to the next; under Feed.lock */
    DgFilter *filter[FILTERS_MAX];
    unsigned nfilter;
};

struct DgFilter {
    DgStream *s;
    unsigned number, shift, place; /* log2 of the bytes of a line, and of a place of the table */
    uint32_t length, ways;
    bool forgets; /* all, when the buffer is emptied */
    DgCell cell;  /* of the table: see IrNote */
};

/* Records on their way to a consumer. */
typedef struct Buffer {
    DgStream *s;
    uint32_t thread;
    uint8_t *mem;
    size_t bytes;
} Buffer;

/* See feed.c. */
typedef struct Feed {
    pthread_mutex_t lock;
    pthread_cond_t wake, room; /* something to do; something has been done */
    Buffer queue[FEED_QUEUE];
    unsigned first, n;
    bool running, busy, stop;
    int pid;                   /* whose thread it may be */
    pthread_t thread;
    Vcpu *cpu;                 /* for catching crashes */
} Feed;

/* Room behind a buffer's limit: what is written between two tests. */
#define STREAM_SLACK (64u << 10)

typedef struct ThreadData {
    DgHost *h;
    void *mem;
    struct ThreadData *next;
} ThreadData;

/* When tools watch: window.c. */
typedef struct Window {
    unsigned number;
    DgTrigger start, stop;       /* size 0: that end has none */
    bool counts;                 /* instructions, in cell `count` of each thread; at `limit` something happens */
    bool counted;                /* its start by count has been */
    DgCell count, limit;
    pthread_mutex_t lock;        /* of those who open and close it */
    atomic_bool open;
    atomic_ullong reached;       /* times that the place of the next trigger has been */
    uint32_t opener;             /* number of the thread, and its count then */
    uint64_t opened_at;
} Window;

/* A function of a name, to be told of: wrap.c. */
typedef struct Wrap {
    DgHost *h;
    char *name;
    DgCallFn *enter, *leave;
    void *data;
    struct Wrap *next;
} Wrap;

/* One that a thread is in. */
typedef struct WrapFrame {
    const Wrap *w;
    uint64_t sp, ret;
} WrapFrame;

/* A guest address that wrapped functions return to. */
typedef struct ReturnPlace {
    uint64_t pc;
    struct ReturnPlace *next;
} ReturnPlace;

struct DgThread {
    Plugins *p;
    Vcpu *cpu;
    uint32_t number;
    ThreadData *data;
    uint8_t *buffer[STREAMS_MAX];
    DgThread *next;
    bool finished; /* tools have heard of its end, with that of the process */
    /* during a call */
    IrShow *show; /* NULL: guest state is in the vcpu */
    const struct Site *calling;
    unsigned access;
    bool seen, wrote, wrote_pc;
    bool leave;   /* translated code, before the instruction and all that is done before it */
    bool again;   /* leave it, and do the instruction */
    bool skipped; /* the wrapped function */
    uint64_t pc;
    /* between calls */
    const struct Site *resume; /* what was done last before the instruction that is done next; NULL: everything */
    const Window *turned;      /* the window that was opened or closed last, at this instruction */
    uint64_t turned_at;
    WrapFrame *frame;
    unsigned nframe, cap_frame;
    _Alignas(16) uint8_t state[HOST_STATE_MAX];
};

/* How a range of cells is summed up over threads. */
typedef struct CellRange {
    uint32_t first, length;
    unsigned how;
} CellRange;

typedef struct Image {
    DgImage dg;
    bool mapped, stale;          /* stale: something there was unmapped or changed */
    struct SymbolTable *symbols; /* NULL: not read yet */
    struct LineTable *lines;     /* the same */
    struct Image *next;          /* by number */
} Image;

/* A call that translated code makes: operation `tool` number (uintptr_t)site, or `tell`. */
typedef struct Site {
    IrTell tell; /* first */
    struct Site *next; /* DgHost.told */
    DgHost *h;
    DgCallFn *fn;
    void *data;
    unsigned access;
    unsigned order; /* among what is done at its point of the instruction */
    uint64_t next_pc; /* where the guest goes on after it, at DG_AFTER */
    DgEvent ev;    /* but for what is known at run time only */
} Site;

/* Something to be done when an instruction faults. */
typedef struct FaultHook {
    uint64_t pc;
    DgHost *h;
    DgCallFn *fn;
    void *data;
    struct FaultHook *next;
} FaultHook;

#define FAULT_BUCKETS 256

struct Plugins {
    Tools tools; /* first */
    DgHost *host[TOOLS_MAX];
    unsigned nhost;
    char *program;
    pthread_mutex_t lock;      /* translation, cells, images: everything below */
    pthread_mutex_t list_lock; /* of threads, and `past` */
    Arena arena;               /* sites, fault hooks; under lock */
    CellRange *range;
    unsigned nrange;
    DgCell thread_cell;    /* the thread's number */
    uint32_t ncell, nslot; /* cells taken: from the end of the slots on, and of the slots */
    bool running;          /* start() of all tools is over: new cells are no slots any more */
    struct Combination *combination; /* under list_lock, but to look at the first `ncombination`; NULL: no cell is a counter */
    atomic_uint ncombination;
    DgCell combination_cell; /* of the first; the others' follow */
    DgCell lane[HOST_LANES]; /* the counters that have lanes, `nlane` of them */
    unsigned nlane;
    uint64_t lane_past[HOST_LANES]; /* of threads that are gone */
    uint64_t *past;        /* by cell: of threads that are gone */
    uint32_t npast;
    DgStream stream[STREAMS_MAX];
    unsigned nstream;
    Feed feed;
    DgThread *threads;
    uint32_t nthread; /* ever */
    struct LineReader *lines; /* NULL: not there, or nobody has asked */
    bool lines_asked;
    Image *images;
    uint32_t nimage;
    _Atomic(FaultHook *) faults[FAULT_BUCKETS];
    atomic_uint nfault;
    DgHost *self;          /* what the program itself attaches to code */
    pthread_mutex_t state_lock;
    uint64_t key;          /* which tools do not watch, by number; which windows are open or near */
    _Atomic uint64_t state[TOOL_STATES]; /* the keys that the engine's states stand for */
    unsigned nstate;
    Window window[WINDOWS_MAX];
    unsigned nwindow;
    char *window_spec; /* of --window; NULL: none */
    Wrap *wraps;
    _Atomic(ReturnPlace *) place[PLACE_BUCKETS];
};

/* api.c */
const DgApi *plugin_api(void);
/* Nothing of a tool is called any more. */
void plugin_end(DgHost *h);
/* Translated code is about to be made that calls s->tell's function. */
void plugin_tells(Site *s);
/* A tool crashed: it is ended, and reported. */
void plugin_crashed(DgHost *h, const Vcpu *cpu, const char *where);
/* Call something of a tool's; when it crashes the tool is ended and reported. False: it crashed. */
typedef void Body(void *ctx);
bool plugin_guard(DgHost *h, Vcpu *cpu, const char *where, Body *body, void *ctx);
bool plugin_hook(DgHost *h, EventKind ev, void (*fn)(void), void *data);
/* The guest state of a thread during a call: found out when first asked for. */
uint8_t *thread_state(DgThread *t);
/* The tool's print: one write. */
void plugin_print(DgHost *h, const char *text, size_t len);
/* A forked child writes a file of its own, where the option `out` has its process id. */
void plugin_output_fork_child(DgHost *h);

/* cells.c */
/* Besides DG_SUM ...: what threads keep there is no number; it is memory, which a forked child has as it was. */
enum { CELLS_OWN = DG_COUNTER + 1, CELLS_MEMORY };
#define COUNTER_PLACES 8
/* How many cells from c on are the number c: COUNTER_PLACES of a DG_COUNTER, else 1. */
unsigned cell_places(const Plugins *p, DgCell c);
DgCell cells_new(DgHost *h, unsigned how, uint32_t length);
uint64_t cells_total(Plugins *p, DgCell c);
/* What c is of one thread: 0 when there is no such cell. */
uint64_t thread_cell_get(DgThread *t, DgCell c);
void thread_cell_set(DgThread *t, DgCell c, uint64_t v);
/* See HostConfig.combine; all counters are there. */
void combinations_start(Plugins *p);
uint32_t cells_combine(Tools *t, const HostCount *count, unsigned n, bool hot);
void cells_thread_end(Plugins *p, Vcpu *cpu);
void cells_fork_child(Plugins *p, Vcpu *self);

/* qemu_score.c: a thread ends, or a process is forked that will not have it: its scoreboards are kept. */
void qemu_scores_keep(DgThread *t);

/* stream.c */
DgStream *stream_new(DgHost *h, uint32_t record, size_t buffer, DgConsumeFn *fn, void *data, unsigned flags);
DgFilter *filter_new(DgHost *h, DgStream *s, unsigned shift, uint32_t length);
DgFilter *filter_lru(DgHost *h, DgStream *s, unsigned shift, uint32_t length, uint32_t ways);
void stream_flush(DgThread *t, DgStream *s);
uint64_t stream_room(Tools *t, Vcpu *cpu, uint64_t at, uint64_t limit);
void stream_thread_start(DgThread *t);
void stream_thread_end(DgThread *t);
void stream_fork_child(DgThread *t);

/* feed.c */
void feed_init(Plugins *p);
/* A buffer to be filled, and one that is not needed any more. */
uint8_t *feed_buffer(DgStream *s);
void feed_spare(DgStream *s, uint8_t *mem);
/* Hand a buffer over; waits while the queue is full. */
void feed_put(Plugins *p, Vcpu *cpu, const Buffer *b);
/* Wait until everything has been consumed; the same, and end the thread, which is started again when it is needed. */
void feed_drain(Plugins *p);
void feed_stop(Plugins *p);
/* Between the two the thread stands still. */
void feed_fork_begin(Plugins *p);
void feed_fork_end(Plugins *p);
void feed_fork_child(Plugins *p);

/* window.c */
typedef struct Code Code;
/* The key of an engine's state; whether a tool watches under it. */
uint64_t window_key(const Plugins *p, unsigned state);
bool window_watches(const DgHost *h, uint64_t key);
/* Set and clear bits of the key. Every thread goes over to code of the new one at its next poll. */
void window_change(Plugins *p, uint64_t set, uint64_t clear);
Window *window_new(Plugins *p, const DgTrigger *start, const DgTrigger *stop, bool open);
/* Attach what opens and closes windows: before anything of tools. */
void window_attach(Code *c, uint64_t key);
void window_signalled(Plugins *p, uint64_t signals);
void window_thread_start(DgThread *t);
/* Make that of --window, for all tools that have none. */
bool windows_start(Plugins *p, Status *st);
void windows_free(Plugins *p);

/* wrap.c */
void wrap_attach(Code *c);
void wrap_api(DgApi *api);
void wraps_free(Plugins *p);

/* event.c */
extern const ToolOps plugin_ops;

/* load.c */
bool plugins_start(Tools *t, Status *st);
/* Add a tool of `library`, NULL: it ships; `options`: ",a=1,b". */
bool plugins_add(Plugins *p, const DgTool *tool, void *library, const char *options, Status *st);

/* symbol.c */
Image *image_at(Plugins *p, uint64_t va);
bool line_at(Plugins *p, uint64_t va, DgLine *out);
/* Whether line_at can work at all. */
bool lines_known(Plugins *p);
bool symbol_at(Plugins *p, uint64_t va, DgSymbol *out);
/* Whether some symbol of that name is at va. */
bool symbol_is(Plugins *p, uint64_t va, const char *name);
bool symbol_find(Plugins *p, const char *name, DgSymbol *out);
void image_unmapped(Plugins *p, uint64_t start, uint64_t end);
void images_free(Plugins *p);

#endif
