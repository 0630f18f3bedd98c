/*
 * Dragoman's plugin API: tools that watch, count, trace and steer a guest program. MIT licence; needs nothing but a C
 * compiler (C99 or C++11). A tool is one file that includes this header and defines one DgTool with DG_TOOL:
 *
 *   static DgCell insns;
 *
 *   static void translate(void *data, DgBlock *b)          // once for each piece of code that is translated
 *   {
 *       DgHost *h = data;
 *       for (uint32_t i = 0; i < dg->block_insns(b); i++)
 *           dg->add(dg->block_insn(b, i), DG_BEFORE, 0, insns, 1);   // one host instruction, merged with its neighbours
 *   }
 *
 *   static void finish(void *data)
 *   {
 *       dg->print(data, "instructions %llu\n", (unsigned long long)dg->cell_total(data, insns));
 *   }
 *
 *   static int start(DgHost *h)
 *   {
 *       insns = dg->cell_new(h, DG_SUM, 1);
 *       dg->on_translate(h, translate, h);
 *       dg->on_finish(h, finish, h);
 *       return 0;
 *   }
 *
 *   DG_TOOL("insns", "count instructions", start, "")
 *
 * Build it with `cc -shared -fPIC -I DIR tool.c -o tool.so`, run it with `dragoman run --plugin tool.so PROGRAM`.
 *
 * Two times. At TRANSLATION the tool is shown each piece of guest code once for each time it is translated (any code may be
 * translated several times, by any thread, also at once) and says what is to happen when it runs. At RUN TIME that happens:
 * inline, without leaving translated code, wherever it can.
 *
 * What is exact. Everything is attached to guest instructions, not to translations: counts, records and calls are the same
 * in the interpreter and in both tiers of the translator, also when an instruction faults or a signal interrupts a loop.
 *   DG_BEFORE  an instruction that faults has been begun: its BEFORE things are done, and again when it is tried again
 *   DG_AFTER   done when the instruction has completed
 * Blocks as shown to tools are pieces of straight code, and where they begin depends on the translator; the instructions
 * with DG_ENDS_BLOCK set do not.
 *
 * Threads. Translation-time functions are called by any guest thread or by the translator's own, one at a time a tool.
 * Run-time calls and events come on the guest thread concerned, several at once. Cells and streams are each thread's own: no
 * lock and no shared cache line is involved until somebody asks for a total.
 *
 * Versions. DG_ABI changes when something that exists changes, which is not planned. Tables begin with their size in bytes and
 * only grow at their end: test DG_HAS(dg, function) before using what came later, or ask dg->has("name.version"). What a
 * dragoman does not offer is NULL in the table.
 */
#ifndef DRAGOMAN_PLUGIN_H
#define DRAGOMAN_PLUGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DG_ABI 1

typedef struct DgHost DgHost;     /* a tool that runs: the first argument of most functions */
typedef struct DgBlock DgBlock;   /* at translation: a piece of straight code; valid during the call that shows it */
typedef struct DgInsn DgInsn;     /* at translation: one instruction of it; the same */
typedef struct DgThread DgThread; /* at run time: a guest thread; valid during the call */
typedef struct DgStream DgStream; /* see "Streams" */

/* --- instructions --------------------------------------------------------------------------------------------------------- */

/* What an instruction is: a set. Derived from what it does, so it means the same for every guest. */
enum {
    DG_LOAD = 1 << 0,         /* reads memory */
    DG_STORE = 1 << 1,        /* writes memory */
    DG_ATOMIC = 1 << 2,       /* reads and writes it at once, or is exclusive */
    DG_ORDERED = 1 << 3,      /* acquires, releases, or is a barrier */
    DG_JUMP = 1 << 4,         /* direct, unconditional */
    DG_BRANCH = 1 << 5,       /* direct, conditional */
    DG_CALL = 1 << 6,         /* direct or indirect */
    DG_RETURN = 1 << 7,
    DG_INDIRECT = 1 << 8,     /* the target is in a register */
    DG_FP = 1 << 9,           /* floating-point arithmetic */
    DG_VECTOR = 1 << 10,      /* vector registers' arithmetic, integer or not */
    DG_CRYPTO = 1 << 11,
    DG_MULDIV = 1 << 12,      /* integer multiplication or division */
    DG_FLAGS = 1 << 13,       /* sets condition flags */
    DG_SYSTEM = 1 << 14,      /* a system call, a system register, cache maintenance ... */
    DG_ILLEGAL = 1 << 15,     /* undefined, a breakpoint, not fetchable */
    DG_ENDS_BLOCK = 1 << 16,  /* may go on elsewhere than at the next instruction, or stops for the system */
};

#define DG_INSN_MAX 16 /* bytes of an instruction */
#define DG_REGS_MAX 4  /* words of a register set */

typedef struct DgInsnInfo {
    uint32_t size;              /* sizeof(DgInsnInfo), set by the caller */
    uint32_t class_;            /* DG_LOAD ... */
    uint64_t pc;                /* guest address */
    uint64_t target;            /* of a direct jump, branch or call; else 0 */
    uint8_t length;             /* bytes */
    uint8_t naccess;            /* memory accesses of a plain kind that it makes when it completes; helpers' may vary */
    uint8_t bytes[DG_INSN_MAX];
    uint64_t reads[DG_REGS_MAX], writes[DG_REGS_MAX]; /* sets of register numbers, see dg->reg_name */
} DgInsnInfo;

typedef struct DgSymbol {
    uint32_t size;       /* sizeof(DgSymbol), set by the caller */
    uint32_t image;      /* number of the image (DgImage.number), or DG_NO_IMAGE */
    uint64_t start, end; /* guest addresses; end is start when the symbol has no size */
    const char *name;    /* lives as long as the tool */
} DgSymbol;

typedef struct DgLine {
    uint32_t size;       /* sizeof(DgLine), set by the caller */
    uint32_t line;       /* from 1; 0: not known */
    const char *file;    /* lives as long as the tool; NULL: not known */
    uint64_t start, end; /* the addresses around it of which the same is true: guest addresses, end past the last */
} DgLine;

#define DG_NO_IMAGE UINT32_MAX

/* --- where and what ------------------------------------------------------------------------------------------------------- */

typedef enum DgPoint {
    DG_BEFORE,       /* before the instruction */
    DG_AFTER,        /* when it has completed and goes on, at the next instruction or elsewhere (see DG_TAKEN). A DG_SYSTEM one:
                      * when what it asks for is about to be done; its own events tell of the rest */
    DG_TAKEN,        /* when a branch is taken; jumps, calls and returns always are */
    DG_FAULT,        /* when it faults, before the guest is told. Calls only */
    DG_MEM_BEFORE,   /* before each of its memory accesses */
    DG_MEM_AFTER,    /* after each, which has succeeded; the value is known */
} DgPoint;

/* Which accesses DG_MEM_* is about: a set; 0: both. Also what an access was, in DgEvent. */
enum { DG_READ = 1, DG_WRITE = 2, DG_IS_ATOMIC = 4, DG_BY_HELPER = 8, DG_BY_SYSCALL = 16, DG_BY_SIGNAL = 32, DG_SIGNED = 64 };

/* Register access that a call wants. Less is faster. */
enum { DG_NONE = 0, DG_REGS_READ = 1, DG_REGS_WRITE = 3, DG_PC_WRITE = 7 };

/* What a call is told. */
typedef struct DgEvent {
    uint32_t size;        /* bytes of this structure */
    uint8_t point;        /* DgPoint */
    uint8_t kind;         /* of a memory access: DG_READ ... */
    uint8_t bytes;        /* of a memory access: 1, 2, 4, 8 or 16; longer ones (DG_BY_*) are in `length` */
    uint8_t signal;       /* DG_FAULT: the signal that the guest would get */
    uint64_t pc;          /* of the instruction */
    uint64_t addr;        /* of a memory access or a fault, or where a branch goes (DG_TAKEN) */
    uint64_t value[2];    /* DG_MEM_AFTER: what was read, or what was written by a store; low half first */
    uint64_t length;      /* of a memory access */
} DgEvent;

typedef void DgCallFn(DgThread *t, void *data, const DgEvent *ev);

/* --- cells ---------------------------------------------------------------------------------------------------------------- */

/*
 * 64-bit numbers that each thread has its own of, in memory that never moves: new ones may be made at any time. How those of
 * several threads come to one number (cell_total) is said when they are made.
 */
typedef uint32_t DgCell; /* of an array: its first; the others follow */
enum {
    DG_SUM,
    DG_MIN,
    DG_MAX,
    DG_OR,
    /* Only where dg->has("cells.2"), else refused: a sum that code does nothing with but dg->add. It is kept in several places, so
     * that an addition need not wait for the one before, and what is added to several of them at once may be one addition; inline
     * programs and records that name it are refused. The first two that are made cost least. */
    DG_COUNTER,
};
#define DG_NO_CELL UINT32_MAX

/* --- inline programs -------------------------------------------------------------------------------------------------------- */

/*
 * Up to DG_PROGRAM_MAX micro-operations on eight 64-bit temporaries, compiled into the translated code and optimised with it.
 * A program is checked when it is attached; one that is not well-formed is refused. Temporaries are 0 at first.
 */
#define DG_PROGRAM_MAX 16
#define DG_TEMPS 8

typedef enum DgOpKind {
    DG_OP_CONST,    /* d = imm */
    DG_OP_ARG,      /* d = DgArg number imm; for DG_ARG_REG register number a */
    DG_OP_LOAD,     /* d = cell; of an array, element number temporary a (modulo `length` elements, a power of two) */
    DG_OP_STORE,    /* cell, or element a of it, = b */
    DG_OP_ADD,      /* d = a + b */
    DG_OP_SUB,      /* d = a - b */
    DG_OP_AND,      /* d = a & b */
    DG_OP_OR,       /* d = a | b */
    DG_OP_XOR,      /* d = a ^ b */
    DG_OP_SHL,      /* d = a << imm */
    DG_OP_SHR,      /* d = a >> imm */
    DG_OP_MUL,      /* d = a * b */
    DG_OP_MIN,      /* d = unsigned minimum of a and b */
    DG_OP_MAX,      /* d = unsigned maximum */
    DG_OP_CMP,      /* d = whether `a relation b`, imm: DG_EQ ... */
    DG_OP_COUNT,    /* add b to element number hash(a) of the array at cell, `length` elements, a power of two */
    DG_OP_SKIP,     /* unless temporary a is 0, do not do the next imm operations */
    DG_OP_CALL,     /* unless temporary a is 0, call fn with data; access as for calls; b: its DgEvent's value[0] */
} DgOpKind;

enum { DG_EQ, DG_NE, DG_LTU, DG_LEU, DG_LTS, DG_LES };

typedef enum DgArg {
    DG_ARG_PC,      /* the instruction's address */
    DG_ARG_ADDR,    /* of the access */
    DG_ARG_BYTES,   /* of the access */
    DG_ARG_VALUE,   /* of the access, its low 64 bits; DG_MEM_AFTER */
    DG_ARG_VALUE_HIGH, /* the next 64 */
    DG_ARG_KIND,    /* DG_READ or DG_WRITE ... */
    DG_ARG_TARGET,  /* DG_TAKEN: where it goes */
    DG_ARG_REG,     /* a register's low 64 bits */
    DG_ARG_THREAD,  /* number of the thread, from 0 in order of creation */
} DgArg;

typedef struct DgOp {
    uint8_t kind;        /* DgOpKind */
    uint8_t d, a, b;     /* temporaries */
    DgCell cell;
    uint32_t length;     /* of an array of cells; 0: a single one */
    uint32_t access;     /* DG_OP_CALL */
    uint64_t imm;
    DgCallFn *fn;
    void *data;
} DgOp;

/* Element of a DG_OP_COUNT array that a key is counted in: what tools need to read such a table. */
static inline uint32_t dg_hash(uint64_t key, uint32_t length)
{
    return (uint32_t)((key * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & (length - 1);
}

/* --- streams ---------------------------------------------------------------------------------------------------------------- */

/*
 * Records written inline into a buffer of the thread's own, with one test for room for each block. When the buffer is full, the
 * thread ends, or dg->stream_flush is called, all records so far go to the consumer. A record's fields have the places that
 * the tool gives them; what no field covers is not written. Records of one thread are in program order; an instruction that
 * faults leaves exactly the records of what it had done. A record whose fields reach over the size of one takes the place of
 * several, which are not divided between buffers.
 */
typedef void DgConsumeFn(void *data, uint32_t thread, const void *records, size_t bytes);

enum {
    /* Only where dg->has("streams.thread.1"), else refused. */
    DG_STREAM_OWN_THREAD = 1, /* the consumer runs on a thread of its own: buffers are handed over, in order for each guest thread */
    /* Only where dg->has("filters.1"): it has filters, and records of 16 bytes. */
    DG_STREAM_FILTERED = 2,
};

/*
 * Filters: records of addresses, but for those whose line (`1 << shift` bytes from a multiple of that) is one of the last
 * `ways` different ones at its place in a table of the thread's own, place number `line % length`. That is what a cache with so
 * many sets and ways has that replaces the line used least recently: what is recorded is what it misses, exactly. A comparison
 * says of most accesses that they need not be looked at further.
 *
 * An access that concerns two lines has a record for each that is new, the second with the address of the line, and with
 * DG_SAME_ACCESS in its kind if there is one of the first.
 */
typedef struct DgFilter DgFilter;

typedef struct DgSeen {
    uint32_t number;         /* as given to record_new */
    uint8_t bytes, kind;     /* of a memory access; else 0. DG_SAME_ACCESS: see above */
    uint16_t filter;         /* which: from 0 in each stream */
    uint64_t addr;
} DgSeen;

enum { DG_SAME_ACCESS = 128 };

#define DG_FIELDS_MAX 16 /* of one record */

typedef struct DgField {
    uint16_t offset;     /* in the record */
    uint8_t bytes;       /* 1, 2, 4 or 8 */
    uint8_t arg;         /* DgArg, or DG_FIELD_CONST, DG_FIELD_CELL */
    uint32_t number;     /* of the register or cell */
    uint64_t imm;        /* DG_FIELD_CONST: the value */
} DgField;

enum { DG_FIELD_CONST = 128, DG_FIELD_CELL };

/* --- events ----------------------------------------------------------------------------------------------------------------- */

typedef struct DgSyscall {
    uint32_t size;
    uint32_t number;      /* in the guest's table */
    const char *name;     /* "openat"; NULL: there is no such call */
    uint64_t arg[6];
    uint64_t pc;          /* behind the instruction: where the guest goes on */
    int64_t result;       /* after; or to be set, when `before` answers the call itself. Errors as in the kernel: -ENOENT */
    const char *text;     /* after: the call as --strace prints it, "openat(AT_FDCWD, \"x\", O_RDONLY) = 3"; NULL unless asked for */
} DgSyscall;

typedef struct DgSignal {
    uint32_t size;
    int32_t number, code;  /* as in the guest's siginfo */
    uint64_t pc;           /* the interrupted instruction, not done yet */
    uint64_t addr;         /* of a fault */
    uint64_t handler;      /* guest address; 0: the default action */
} DgSignal;

/* A file, or anonymous memory, that was mapped executable. */
typedef struct DgImage {
    uint32_t size;
    uint32_t number;       /* from 0, in order of mapping; the parts of one file have one number each */
    uint64_t start, end;   /* guest addresses */
    uint64_t offset;       /* of start in the file */
    uint64_t base;         /* start minus the address that the file gives it: add to the file's symbols; 0 for JIT code */
    uint64_t entry;        /* guest address; 0: not known */
    const char *path;      /* on the host; NULL: code that the guest made itself (a JIT) */
} DgImage;

/* --- windows ---------------------------------------------------------------------------------------------------------------- */

/*
 * When a tool watches. Outside its windows plain code runs, at full speed: code of both kinds is kept side by side. All conditions are
 * optional; the first that holds starts or ends a window. A count of instructions is each thread's own since its start, and starts a
 * window once; the count that ends one is that of the thread which began it (at the process's beginning: the first), since then. The
 * instruction that a window starts at is in it, the one that it ends at is not.
 */
typedef struct DgTrigger {
    uint32_t size;
    int32_t signal;        /* when the process gets this host signal, which the guest then never sees; 0: none */
    uint64_t count;        /* at this many instructions; 0: none */
    uint64_t addr;         /* when this guest address is reached; 0: none */
    const char *symbol;    /* the same by name; NULL: none */
    uint64_t times;        /* of reaching addr or symbol; 0 counts as 1 */
} DgTrigger;

/* --- the functions of the host ------------------------------------------------------------------------------------------------ */

typedef struct DgApi {
    uint32_t size;           /* bytes of this table */
    uint32_t abi;            /* DG_ABI */
    const char *version;     /* of dragoman */

    /* Whether this dragoman has "cells.1", "programs.1", "streams.1", "regs.1", "syscalls.1", "signals.1", "threads.1",
     * "images.1", "symbols.1", "access.1", "fault.1", "compress.1", "watch.1", "filters.1", "host.1"; "lines.1" (line_at), "wrap.1" (wrap),
     * "windows.1" (window), "streams.thread.1", "filters.2" (filter_lru), "cells.2" (DG_COUNTER), "output.1" (output_file),
     * "files.1" (file_open), "streams.outside.1" (record_outside). */
    bool (*has)(const char *capability);

    /* The tool's options, "NAME=VALUE" or "NAME" (value ""). Looked up in start(): those never asked for are an error. `out` and
     * the windows' options are dragoman's own. NULL: not given. */
    const char *(*option)(DgHost *h, const char *name);
    /* Text to the tool's output: stderr, or the file of option `out` (%p in it is the process id). One call is one write. */
    void (*print)(DgHost *h, const char *format, ...);
    /* The path of option `out`, from the directory that dragoman was started in, %p replaced; NULL: none was given. Valid to the
     * next call. For tools that write files of their own. */
    const char *(*output)(DgHost *h);
    /* In start() or later: the tool cannot go on. start() then returns non-zero; later the tool is ended and the guest goes on. */
    void (*fail)(DgHost *h, const char *format, ...);

    /* The process. */
    const char *(*guest)(DgHost *h);                    /* "aarch64" */
    const char *(*program)(DgHost *h);                  /* path on the host */
    int (*pid)(DgHost *h);

    /* Translation. */
    void (*on_translate)(DgHost *h, void (*fn)(void *data, DgBlock *b), void *data);
    uint64_t (*block_pc)(const DgBlock *b);
    uint32_t (*block_insns)(const DgBlock *b);
    uint32_t (*block_bytes)(const DgBlock *b);
    uint32_t (*block_tier)(const DgBlock *b);           /* 0 interpreter, 1, 2 */
    uint64_t (*block_region)(const DgBlock *b);         /* pc of the translation that it is part of */
    DgInsn *(*block_insn)(DgBlock *b, uint32_t n);      /* n < block_insns */
    void (*insn_info)(const DgInsn *i, DgInsnInfo *out);
    uint64_t (*insn_pc)(const DgInsn *i);
    uint32_t (*insn_class)(const DgInsn *i);
    size_t (*insn_text)(const DgInsn *i, char *buf, size_t len); /* disassembly */

    /* What is to happen; DG_MEM_* points take `filter`, a set of DG_READ, DG_WRITE. At one point things are done in the order in
     * which they were attached, tools in the order of the command line. */
    void (*add)(DgInsn *i, DgPoint at, unsigned filter, DgCell cell, uint64_t value);
    bool (*program_at)(DgInsn *i, DgPoint at, unsigned filter, const DgOp *op, unsigned n);
    void (*call)(DgInsn *i, DgPoint at, unsigned filter, DgCallFn *fn, void *data, unsigned access);
    bool (*record)(DgInsn *i, DgPoint at, unsigned filter, DgStream *s, const DgField *field, unsigned n);

    /* Cells. A total is over all threads, past and present; those that run go on counting meanwhile, the latest in registers. */
    DgCell (*cell_new)(DgHost *h, unsigned how, uint32_t length); /* `length` of them in a row; DG_NO_CELL: no room */
    uint64_t (*cell_total)(DgHost *h, DgCell c);
    uint64_t (*cell_get)(DgThread *t, DgCell c);
    void (*cell_set)(DgThread *t, DgCell c, uint64_t v);
    uint32_t (*cell_room)(DgHost *h);                   /* how many more there can be */

    /* Streams. `record` is the size of a record, `buffer` that of a thread's buffer in bytes, 0: a good one. NULL: refused. */
    DgStream *(*stream_new)(DgHost *h, uint32_t record, size_t buffer, DgConsumeFn *fn, void *data, unsigned flags);
    void (*stream_flush)(DgThread *t, DgStream *s);

    /* Memory accesses that no translated instruction makes: of helpers, system calls, signal frames. Called after each, with
     * DgEvent.kind saying by whom. Accesses of helpers' instructions come here too, not to DG_MEM_*. */
    void (*on_access)(DgHost *h, DgCallFn *fn, void *data);

    /* In run-time calls and events. Numbers and names of registers do not change while a program runs. */
    uint32_t (*thread_number)(const DgThread *t);       /* from 0, in order of creation */
    int (*thread_id)(const DgThread *t);                /* the guest's tid */
    void *(*thread_data)(DgThread *t, DgHost *h, size_t bytes); /* memory of this tool and thread, zeroed at first */
    uint32_t (*reg_count)(DgHost *h);
    const char *(*reg_name)(DgHost *h, uint32_t reg);   /* "x0"; NULL: no such register */
    uint32_t (*reg_bytes)(DgHost *h, uint32_t reg);
    int (*reg_find)(DgHost *h, const char *name);       /* -1: none */
    bool (*reg_read)(DgThread *t, uint32_t reg, void *buf);       /* needs DG_REGS_READ */
    bool (*reg_write)(DgThread *t, uint32_t reg, const void *buf); /* needs DG_REGS_WRITE */
    uint64_t (*pc_read)(DgThread *t);
    bool (*pc_write)(DgThread *t, uint64_t pc);         /* needs DG_PC_WRITE: the instruction is not done, execution goes on at pc */
    bool (*mem_read)(DgThread *t, uint64_t va, void *buf, size_t len);  /* false: not all of it can be accessed */
    bool (*mem_write)(DgThread *t, uint64_t va, const void *buf, size_t len);

    /* Events. */
    void (*on_thread_start)(DgHost *h, void (*fn)(DgThread *t, void *data), void *data);
    /* Also of the thread that ends the process, just before on_finish; not of others that it ends with it. */
    void (*on_thread_end)(DgHost *h, void (*fn)(DgThread *t, void *data), void *data);
    /* `before` returns true when it has answered the call itself (DgSyscall.result); either may be NULL. */
    void (*on_syscall)(DgHost *h, bool (*before)(DgThread *t, void *data, DgSyscall *s),
                       void (*after)(DgThread *t, void *data, const DgSyscall *s), void *data, bool text);
    void (*on_signal)(DgHost *h, void (*fn)(DgThread *t, void *data, const DgSignal *s), void *data);
    void (*on_image)(DgHost *h, void (*mapped)(void *data, const DgImage *i), void (*unmapped)(void *data, const DgImage *i),
                     void *data);
    /* In the child of a fork, before it runs: the parent's cells are zero in it and its streams empty. */
    void (*on_fork)(DgHost *h, void (*fn)(void *data), void *data);
    /* The last event: the process ends, or becomes another program. All streams have been flushed. */
    void (*on_finish)(DgHost *h, void (*fn)(void *data), void *data);

    /* Images and symbols. */
    uint32_t (*image_count)(DgHost *h);                 /* that were ever mapped */
    bool (*image)(DgHost *h, uint32_t number, DgImage *out);
    bool (*symbol_at)(DgHost *h, uint64_t va, DgSymbol *out);
    bool (*symbol_find)(DgHost *h, const char *name, DgSymbol *out); /* in the images mapped now, in order of mapping */
    /* Source line, from DWARF of the image's file or that with its debugging information. False: not known; out->end, if there is
     * room for it, is then where something may be known again, UINT64_MAX: nowhere. */
    bool (*line_at)(DgHost *h, uint64_t va, DgLine *out);
    size_t (*text_at)(DgHost *h, uint64_t va, char *buf, size_t len, uint32_t *length); /* disassembly of guest memory; 0: none */

    /* Function wrapping: `enter` at each entry of a function of this name in any image, `leave` when it has returned, both with
     * DG_PC_WRITE access; see wrap_arg and what follows it. Either may be NULL. To replace a function, set pc in `enter`. What is left
     * by longjmp or an exception has no `leave`. False: refused. */
    bool (*wrap)(DgHost *h, const char *name, DgCallFn *enter, DgCallFn *leave, void *data);

    /* In start(), once: when the tool watches; otherwise always. NULL: that end is not triggered; without a start the first window is
     * open from the beginning. False: refused. A window opens and closes for the whole process, exactly at the instruction for the
     * thread that causes it, for others at their next poll. */
    bool (*window)(DgHost *h, const DgTrigger *start, const DgTrigger *stop);
    /* By hand, from start(), any call or event. A tool that does not watch is shown no code, and code made meanwhile has nothing
     * of it; events and totals go on. */
    void (*watch)(DgHost *h, bool on);
    void (*retranslate)(DgHost *h);                     /* show all code to on_translate again as it runs next */

    /* A zstd frame of `n` bytes in `to`, which has room for `room`; returns its length, 0 when that is not enough (more than
     * n + n / 128 + 512 is). Any thread. */
    size_t (*compress)(void *to, size_t room, const void *from, size_t n);

    /* In functions given to wrap: the call's integer and pointer arguments, by the guest's calling convention, in `enter`; its result,
     * in `leave`. False: there is no such argument in a register. */
    bool (*wrap_arg)(DgThread *t, unsigned n, uint64_t *value);
    bool (*wrap_set_arg)(DgThread *t, unsigned n, uint64_t value);
    bool (*wrap_result)(DgThread *t, uint64_t *value);
    bool (*wrap_set_result)(DgThread *t, uint64_t value);
    /* In `enter`: the function is not run, and returns this. `leave` is not called. */
    bool (*wrap_skip)(DgThread *t, uint64_t result);
    /* Filters, of a stream that was made with DG_STREAM_FILTERED: up to 8 each. shift: 4 to 32; length: a power of two. In
     * start(). NULL: refused. This one has one way, and forgets everything when the buffer is emptied, so that a buffer can be
     * read without what came before it. See filter_lru. */
    DgFilter *(*filter_new)(DgHost *h, DgStream *s, unsigned shift, uint32_t length);
    /* A DgSeen, unless f knows the line: of the address of a memory access, elsewhere of `addr`. Not at DG_TAKEN or DG_FAULT. */
    bool (*record_new)(DgInsn *i, DgPoint at, unsigned filter, DgFilter *f, uint32_t number, uint64_t addr);

    /* "host.1": disassembly of the host code that a region (block_region) has now, an instruction at a time. False: it has none. */
    bool (*host_code)(DgHost *h, uint64_t region, void (*line)(void *data, const char *text), void *data);

    /* "filters.2": a filter of up to 1024 ways, which forgets nothing while its thread runs. */
    DgFilter *(*filter_lru)(DgHost *h, DgStream *s, unsigned shift, uint32_t length, uint32_t ways);

    /* As output; but where option `out` is not given, `name` in the directory that dragoman was started in, %p replaced. */
    const char *(*output_file)(DgHost *h, const char *name);
    /* "files.1": fopen and fclose, mode "w" or "a", of files that stay open while the guest runs. The guest, which has the same
     * descriptors, does not find these among its own, and cannot close them. Closed when it executes a program. NULL, with errno. */
    FILE *(*file_open)(DgHost *h, const char *path, const char *mode);
    int (*file_close)(DgHost *h, FILE *f);

    /* "streams.outside.1": as record, but only where the access's address, or where the branch goes (DG_TAKEN), is not from `start`
     * up to `end`. */
    bool (*record_outside)(DgInsn *i, DgPoint at, unsigned filter, DgStream *s, const DgField *field, unsigned n, uint64_t start,
                           uint64_t end);
} DgApi;

#define DG_HAS(api, function) ((api)->size > offsetof(DgApi, function) && (api)->function)

/* --- a tool ------------------------------------------------------------------------------------------------------------------- */

typedef struct DgTool {
    uint32_t size;            /* sizeof(DgTool) */
    uint32_t abi;             /* DG_ABI that it was compiled with */
    const char *name;
    const char *summary;      /* one line */
    const char *options;      /* one line each: "name=VALUE  what it does" */
    int (*start)(DgHost *h);  /* 0: running */
    const DgApi **api;        /* filled in before start is called */
} DgTool;

/* The functions of the host, for the whole file. Defined by DG_TOOL; DG_TOOL_ID names it when a tool ships inside dragoman. */
#ifdef DG_TOOL_ID
#define DG_PASTE2(a, b) a##b
#define DG_PASTE(a, b) DG_PASTE2(a, b)
#define DG_TOOL_SYMBOL DG_PASTE(dg_tool_, DG_TOOL_ID)
#else
#define DG_TOOL_SYMBOL dragoman_tool
#endif

#ifdef __GNUC__
__attribute__((unused))
#endif
static const DgApi *dg;

#define DG_TOOL(name_, summary_, start_, options_)                                                                          \
    extern const DgTool DG_TOOL_SYMBOL;                                                                                     \
    const DgTool DG_TOOL_SYMBOL = {sizeof(DgTool), DG_ABI, name_, summary_, options_, start_, &dg};

#ifdef __cplusplus
}
#endif

#endif
