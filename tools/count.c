/*
 * count: instructions, blocks and memory accesses, and with `classes` how many instructions of each class. All inline.
 */
#include "dragoman/plugin.h"

#include <string.h>

static const struct {
    uint32_t class_;
    const char *name;
} classes[] = {
    {DG_LOAD, "load"},
    {DG_STORE, "store"},
    {DG_ATOMIC, "atomic"},
    {DG_ORDERED, "ordered"},
    {DG_JUMP, "jump"},
    {DG_BRANCH, "branch"},
    {DG_CALL, "call"},
    {DG_RETURN, "return"},
    {DG_INDIRECT, "indirect"},
    {DG_FP, "floating-point"},
    {DG_VECTOR, "vector"},
    {DG_CRYPTO, "crypto"},
    {DG_MULDIV, "multiply-divide"},
    {DG_FLAGS, "sets flags"},
    {DG_SYSTEM, "system"},
    {DG_ILLEGAL, "illegal"},
};

#define NCLASSES (sizeof classes / sizeof classes[0])

static DgCell insns, blocks, reads, writes, of_class[NCLASSES];
static bool want_insns, want_blocks, want_mem, want_classes;

static void translate(void *data, DgBlock *b)
{
    for (uint32_t n = 0; n < dg->block_insns(b); n++) {
        DgInsn *i = dg->block_insn(b, n);
        uint32_t class_ = dg->insn_class(i);
        if (want_insns)
            dg->add(i, DG_BEFORE, 0, insns, 1);
        if (want_blocks && class_ & DG_ENDS_BLOCK)
            dg->add(i, DG_BEFORE, 0, blocks, 1);
        if (want_mem && class_ & DG_LOAD)
            dg->add(i, DG_MEM_AFTER, DG_READ, reads, 1);
        if (want_mem && class_ & DG_STORE)
            dg->add(i, DG_MEM_AFTER, DG_WRITE, writes, 1);
        for (size_t k = 0; want_classes && k < NCLASSES; k++)
            if (class_ & classes[k].class_)
                dg->add(i, DG_BEFORE, 0, of_class[k], 1);
    }
}

static void line(DgHost *h, const char *name, DgCell c)
{
    dg->print(h, "%-20s %15llu\n", name, (unsigned long long)dg->cell_total(h, c));
}

static void finish(void *data)
{
    DgHost *h = data;

    if (want_insns)
        line(h, "instructions", insns);
    if (want_blocks)
        line(h, "blocks", blocks);
    if (want_mem) {
        line(h, "reads", reads);
        line(h, "writes", writes);
    }
    for (size_t k = 0; want_classes && k < NCLASSES; k++)
        line(h, classes[k].name, of_class[k]);
}

static int start(DgHost *h)
{
    want_insns = dg->option(h, "insns") != NULL;
    want_blocks = dg->option(h, "blocks") != NULL;
    want_mem = dg->option(h, "mem") != NULL;
    want_classes = dg->option(h, "classes") != NULL;
    if (!want_insns && !want_blocks && !want_mem && !want_classes)
        want_insns = want_blocks = want_mem = true;
    if (want_insns) /* in order of how often they are added to: the first cost least */
        insns = dg->cell_new(h, DG_COUNTER, 1);
    if (want_blocks)
        blocks = dg->cell_new(h, DG_COUNTER, 1);
    if (want_mem) {
        reads = dg->cell_new(h, DG_COUNTER, 1);
        writes = dg->cell_new(h, DG_COUNTER, 1);
    }
    for (size_t k = 0; want_classes && k < NCLASSES; k++)
        of_class[k] = dg->cell_new(h, DG_COUNTER, 1);
    dg->on_translate(h, translate, h);
    dg->on_finish(h, finish, h);
    return 0;
}

DG_TOOL("count", "instructions, blocks, memory accesses", start,
        "insns     instructions begun\n"
        "blocks    instructions that end a block: branches, calls, system calls ...\n"
        "mem       memory accesses of instructions, that succeeded\n"
        "classes   instructions by class; without any of these: insns, blocks and mem\n"
        "out=FILE  where to write (%p: the process id); default stderr")
