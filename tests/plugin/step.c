/*
 * The reference for tools' numbers: a debugger, itself a guest program, that has another one execute an instruction at a time and
 * decodes each for itself.
 *
 * usage: step PROGRAM [ARGUMENT...]   prints how many instructions, blocks, reads and writes
 *        step -p PROGRAM ...          prints the address of each instruction instead
 *
 * An instruction that faults has been begun: it counts, its accesses before the one that faults do. A pair is two accesses; what a store
 * exclusive has written it has compared as well, as docs/tools.md says.
 */
#include <elf.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct Kind {
    unsigned reads, writes; /* when it completes */
    int status;             /* register that says 0 when the write was done; -1: it always is */
    int pair;               /* bytes of each half; 0: it is none */
} Kind;

static unsigned bits(uint32_t w, unsigned hi, unsigned lo)
{
    return w >> lo & ((1u << (hi - lo + 1)) - 1);
}

static Kind load(unsigned n)
{
    return (Kind){n, 0, -1, 0};
}

static Kind store(unsigned n)
{
    return (Kind){0, n, -1, 0};
}

static void unknown(uint64_t pc, uint32_t w)
{
    fprintf(stderr, "step: no rule for %08x at 0x%llx\n", w, (unsigned long long)pc);
    exit(3);
}

/* LDXR, STXR, LDAR, STLR, CAS ... */
static Kind exclusive(uint64_t pc, uint32_t w)
{
    unsigned o2 = bits(w, 23, 23), l = bits(w, 22, 22), o1 = bits(w, 21, 21);

    if (o2 && o1)
        return (Kind){1, 1, -1, 0};
    if (o1)
        unknown(pc, w);
    if (l)
        return load(1);
    return (Kind){0, 1, o2 ? -1 : (int)bits(w, 20, 16), 0};
}

static Kind single(uint32_t w)
{
    unsigned size = bits(w, 31, 30), v = bits(w, 26, 26), opc = bits(w, 23, 22);

    if (!bits(w, 24, 24) && bits(w, 21, 21) && bits(w, 11, 10) == 0) /* atomic operations, LDAPR */
        return bits(w, 15, 12) == 12 ? load(1) : (Kind){1, 1, -1, 0};
    if (!v && size == 3 && opc == 2) /* PRFM */
        return load(0);
    return (v ? opc & 1 : opc != 0) ? load(1) : store(1);
}

/* LD1 and ST1 of whole registers. */
static Kind structures(uint64_t pc, uint32_t w)
{
    static const uint8_t n[16] = {[7] = 1, [10] = 2, [6] = 3, [2] = 4};

    if (!n[bits(w, 15, 12)] || bits(w, 24, 24))
        unknown(pc, w);
    return bits(w, 22, 22) ? load(n[bits(w, 15, 12)]) : store(n[bits(w, 15, 12)]);
}

static Kind decode(uint64_t pc, uint32_t w)
{
    if ((w & ~31u) == 0xd50b7420) /* DC ZVA, of 64 bytes: as wide as accesses are */
        return store(4);
    if ((bits(w, 28, 25) & 5) != 4)
        return load(0);
    if (bits(w, 29, 24) == 8)
        return exclusive(pc, w);
    if (bits(w, 29, 27) == 5) {
        unsigned size = bits(w, 26, 26) ? 4u << bits(w, 31, 30) : bits(w, 31, 31) ? 8 : 4;
        Kind k = bits(w, 22, 22) ? load(2) : store(2);
        k.pair = (int)size;
        return k;
    }
    if (bits(w, 29, 27) == 3 && !bits(w, 24, 24)) /* literal */
        return load(!(bits(w, 31, 30) == 3 && !bits(w, 26, 26)));
    if (bits(w, 29, 27) == 7)
        return single(w);
    if (bits(w, 29, 25) == 6)
        return structures(pc, w);
    unknown(pc, w);
    return load(0);
}

/* Branches of all kinds, and exceptions: B, BL, B.cond, CBZ, TBZ, BR ..., SVC ... */
static int ends_block(uint32_t w)
{
    return bits(w, 28, 26) == 5 && (bits(w, 31, 24) != 0xd5);
}

static struct user_regs_struct registers(pid_t pid)
{
    struct user_regs_struct r;
    struct iovec iov = {&r, sizeof r};

    if (ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &iov)) {
        perror("step: registers");
        exit(3);
    }
    return r;
}

/* How many of the accesses of an instruction that faulted at `addr` were done. */
static unsigned done_before(const Kind *k, const struct user_regs_struct *r, uint32_t w, uint64_t addr)
{
    unsigned mode = bits(w, 24, 23), n = bits(w, 9, 5);
    uint64_t base = n == 31 ? r->sp : r->regs[n];
    int64_t imm = (int32_t)(bits(w, 21, 15) << 25) >> 25;

    return k->pair && addr >= base + (uint64_t)(mode == 1 ? 0 : imm * k->pair) + (uint64_t)k->pair;
}

int main(int argc, char **argv)
{
    int pcs = argc > 1 && strcmp(argv[1], "-p") == 0, status;
    unsigned long long insns = 0, blocks = 0, reads = 0, writes = 0;
    pid_t pid = fork();

    if (pid == 0) {
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        execv(argv[1 + pcs], argv + 1 + pcs);
        _exit(127);
    }
    waitpid(pid, &status, 0);
    for (long sig = 0; WIFSTOPPED(status);) {
        struct user_regs_struct r = registers(pid);
        uint32_t w = (uint32_t)ptrace(PTRACE_PEEKTEXT, pid, (void *)(uintptr_t)r.pc, NULL);
        if (ptrace(PTRACE_SINGLESTEP, pid, NULL, (void *)sig) || waitpid(pid, &status, 0) != pid)
            return 3;
        if (sig) { /* to the beginning of the handler: no instruction */
            sig = 0;
            continue;
        }
        if (WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP && registers(pid).pc == r.pc) /* nothing was done yet */
            continue;
        Kind k = decode(r.pc, w);
        insns++;
        blocks += ends_block(w);
        if (pcs)
            printf("0x%llx\n", (unsigned long long)r.pc);
        if (WIFSTOPPED(status) && WSTOPSIG(status) != SIGTRAP) {
            siginfo_t info;
            sig = WSTOPSIG(status);
            ptrace(PTRACE_GETSIGINFO, pid, NULL, &info);
            unsigned n = done_before(&k, &r, w, (uintptr_t)info.si_addr);
            reads += k.reads ? n : 0;
            writes += k.writes ? n : 0;
            continue;
        }
        reads += k.reads;
        if (k.status >= 0)
            k.writes = WIFSTOPPED(status) && registers(pid).regs[k.status] == 0;
        writes += k.writes;
        reads += k.status >= 0 ? k.writes : 0;
    }
    if (!pcs)
        printf("instructions %llu\nblocks %llu\nreads %llu\nwrites %llu\n", insns, blocks, reads, writes);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
