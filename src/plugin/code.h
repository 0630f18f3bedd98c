/*
 * Code as tools see it: the instructions of a lifted region in pieces of straight code, what each of them is, and what
 * tools have asked for to be done at it. Made anew for each translation, in the translating vcpu's arena.
 */
#ifndef PLUGIN_CODE_H
#define PLUGIN_CODE_H

#include "plugin/internal.h"

#define POINTS (DG_MEM_AFTER + 1)

typedef enum AttachKind { ATTACH_ADD, ATTACH_PROGRAM, ATTACH_CALL, ATTACH_RECORD, ATTACH_NOTE } AttachKind;

/* In the filter of DG_MEM_AFTER: the accesses of an instruction that loads or stores two general registers are one, as in QEMU. */
enum { FILTER_PAIRS = 1 << 30 };

/*
 * How translated code calls by itself what a call with `data` comes to, for an access of this kind (DG_READ ...) and size, if it is
 * about one. False: it does not.
 */
typedef bool TellFn(const void *data, unsigned kind, unsigned bytes, IrTell *out);

typedef struct Attach {
    AttachKind kind;
    unsigned filter; /* DG_READ, DG_WRITE, FILTER_PAIRS */
    unsigned order;  /* at its point of the instruction */
    DgHost *h;
    struct Attach *next;
    DgCell cell;
    uint64_t value;
    DgOp *op;
    unsigned n; /* of op or field */
    DgCallFn *fn;
    void *data;
    unsigned access;
    TellFn *tell; /* NULL: it is called as DgCallFn is */
    DgStream *stream;
    DgField *field;
    uint32_t bytes; /* of the record */
    uint64_t start, end; /* it is of addresses outside of these; both 0: of all */
    const DgFilter *note;
    uint32_t number;
    uint64_t addr;
} Attach;

struct DgInsn {
    DgBlock *block;
    DgInsnInfo info;
    uint64_t next;
    LiftKind kind;
    IrHint hint;
    Attach *first[POINTS], **last[POINTS];
    unsigned count[POINTS];
};

struct DgBlock {
    struct Code *code;
    DgInsn **insn;
    uint32_t n, cap;
};

struct Code {
    Plugins *p;
    Fetch *f;
    IrRegion *r;
    const ToolRegion *how;
    DgHost *now;     /* the tool that is looking */
    bool calls;      /* something attached is a call */
    DgInsn **at;     /* by ref of an INSN mark */
    DgInsn **begin;  /* by block: the instruction that it begins in the middle of; NULL: none */
    bool *within;    /* by block: it ends in the middle of an instruction */
    DgBlock **block; /* all pieces */
    uint32_t nblock, cap_block;
    IrRegion *scratch;
    const Site *after; /* the first instruction goes on behind this; NULL: nothing in front of it is done (ToolRegion.resumes) */
};

/* code.c: find the pieces; code->block. */
void code_read(Code *c);
/* Let a piece begin at instruction `at` of b, which keeps those in front of it. */
void code_split(Code *c, DgBlock *b, uint32_t at);
void code_api(DgApi *api);

/* attach.c */
void attach_api(DgApi *api);
/* As DgApi.call of a function that sees no registers; as DgApi.program_at with such calls. */
void attach_tell(DgInsn *i, DgPoint at, unsigned filter, DgCallFn *fn, void *data, TellFn *tell);
bool attach_program(DgInsn *i, DgPoint at, unsigned filter, const DgOp *op, unsigned n, TellFn *tell);

/* lower.c: put what was attached into the region. */
void code_lower(Code *c);

#endif
