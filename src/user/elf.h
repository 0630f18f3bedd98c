/*
 * ELF files: parsed defensively (a file is untrusted input), mapped into the guest's address space.
 */
#ifndef USER_ELF_H
#define USER_ELF_H

#include "base/status.h"
#include "guest/guest.h"
#include "user/mm.h"

#include <limits.h>

/* What a file says, without mapping anything. */
typedef struct ElfInfo {
    const Guest *guest;      /* NULL: for a machine that dragoman has no guest of */
    uint16_t type, machine;  /* ET_EXEC or ET_DYN; EM_* */
    uint8_t wide;            /* 64-bit */
    bool little;
    char interp[PATH_MAX];   /* PT_INTERP, "" when there is none */
} ElfInfo;

/* A program mapped into the guest. */
typedef struct ElfImage {
    uint64_t base;           /* added to the file's addresses */
    uint64_t entry;
    uint64_t phdr;           /* address of the program headers in memory; 0 when not mapped */
    uint64_t phnum, phent;
    uint64_t start, end;     /* page-aligned extent */
    uint64_t code_start, code_end, data_start, data_end;
    uint64_t brk;            /* end of the last segment's memory */
    bool exec_stack;         /* PT_GNU_STACK asks for it; without one, AArch64's is not */
    bool bti;                /* the file says that its code has landing pads */
} ElfImage;

/* Name of an ELF machine ("x86-64"), for messages; "machine N" for strange ones. */
const char *elf_machine_name(uint16_t machine, char buf[32]);

/*
 * Read and check the headers of an open file. `name` is for messages.
 * Returns false with st set: not an ELF file, truncated, damaged, not a program.
 */
bool elf_probe(int fd, const char *name, ElfInfo *info, Status *st);

/*
 * Map the program in `fd`, which elf_probe accepted.
 *   main   it is the main program (placed at the program base, brk after it); else an interpreter
 */
bool elf_load(UserMm *mm, int fd, const char *name, bool main, ElfImage *img, Status *st);

#endif
