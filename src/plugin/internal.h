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
#define OPTIONS_MAX 32

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
    atomic_bool blind;           /* it does not watch: it is shown no code */
    atomic_bool ended; /* crashed or failed: nothing of it is called any more */
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
};

/* Room behind a buffer's limit: what is written between two tests. */
#define STREAM_SLACK (64u << 10)

typedef struct ThreadData {
    DgHost *h;
    void *mem;
    struct ThreadData *next;
} ThreadData;

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
    unsigned access;
    bool seen, wrote, wrote_pc;
    uint64_t pc;
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
    struct Image *next;          /* by number */
} Image;

/* A call that translated code makes: operation `tool` number (uintptr_t)site. */
typedef struct Site {
    DgHost *h;
    DgCallFn *fn;
    void *data;
    unsigned access;
    uint64_t next; /* where the guest goes on after it, at DG_AFTER */
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
    uint64_t *past;        /* by cell: of threads that are gone */
    uint32_t npast;
    DgStream stream[STREAMS_MAX];
    unsigned nstream;
    DgThread *threads;
    uint32_t nthread; /* ever */
    Image *images;
    uint32_t nimage;
    _Atomic(FaultHook *) faults[FAULT_BUCKETS];
    atomic_uint nfault;
    bool any_code; /* some tool wants to be shown code */
};

/* api.c */
const DgApi *plugin_api(void);
/* Call something of a tool's; when it crashes the tool is ended and reported. False: it crashed. */
typedef void Body(void *ctx);
bool plugin_guard(DgHost *h, Vcpu *cpu, const char *where, Body *body, void *ctx);
bool plugin_hook(DgHost *h, EventKind ev, void (*fn)(void), void *data);
/* The tool's print: one write. */
void plugin_print(DgHost *h, const char *text, size_t len);

/* cells.c */
DgCell cells_new(DgHost *h, unsigned how, uint32_t length);
uint64_t cells_total(Plugins *p, DgCell c);
void cells_thread_end(Plugins *p, Vcpu *cpu);
void cells_fork_child(Plugins *p, Vcpu *self);

/* stream.c */
DgStream *stream_new(DgHost *h, uint32_t record, size_t buffer, DgConsumeFn *fn, void *data, unsigned flags);
void stream_flush(DgThread *t, DgStream *s);
uint64_t stream_room(Tools *t, Vcpu *cpu, uint64_t at, uint64_t limit);
void stream_thread_start(DgThread *t);
void stream_thread_end(DgThread *t);
void stream_fork_child(DgThread *t);

/* event.c */
extern const ToolOps plugin_ops;

/* load.c */
bool plugins_start(Tools *t, Status *st);
/* Add a tool of `library`, NULL: it ships; `options`: ",a=1,b". */
bool plugins_add(Plugins *p, const DgTool *tool, void *library, const char *options, Status *st);

/* symbol.c */
Image *image_at(Plugins *p, uint64_t va);
bool symbol_at(Plugins *p, uint64_t va, DgSymbol *out);
bool symbol_find(Plugins *p, const char *name, DgSymbol *out);
void image_unmapped(Plugins *p, uint64_t start, uint64_t end);
void images_free(Plugins *p);

#endif
