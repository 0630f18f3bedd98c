/*
 * An AArch64 program that runs random instruction sequences and writes what they did: run by the translator under test and
 * by another implementation, the outputs must be equal byte for byte.
 *
 *   rand_guest CASES OUT [FIRST [COUNT]]   FIRST, COUNT: only those cases, one at a time (to find one that kills)
 *   rand_guest -s CASES                     print the initial state of each case
 *
 * Each case has a slot of code in one area; the code of a batch is written, made visible, then run. A slot is: load of x30,
 * up to 28 instructions, a branch out.
 */
#define _GNU_SOURCE
#include "rand_state.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* At RAND_AREA, one page for the state, then the slots. */
typedef struct Area {
    RandState st;
    uint64_t save[24]; /* the C code's registers while a case runs */
} Area;

_Static_assert(offsetof(Area, save) == 800, "used below");
_Static_assert(offsetof(RandState, sp) == 248 && offsetof(RandState, nzcv) == 264 && offsetof(RandState, v) == 280, "used below");

static Area *const area = (Area *)RAND_AREA;

void rand_enter(Area *a, const uint32_t *slot);
void rand_exit(void);
void rand_leave(void);

/* Load all registers of the state, go to the slot, come back through rand_exit, which stores them. */
__asm__(".text\n.balign 4\n.globl rand_enter, rand_exit, rand_leave\n"
        "rand_enter:\n"
        "add x2, x0, #800\n"
        "stp x19, x20, [x2]\nstp x21, x22, [x2, #16]\nstp x23, x24, [x2, #32]\nstp x25, x26, [x2, #48]\n"
        "stp x27, x28, [x2, #64]\nstp x29, x30, [x2, #80]\nmov x3, sp\nmrs x4, tpidr_el0\nstp x3, x4, [x2, #96]\n"
        "stp d8, d9, [x2, #112]\nstp d10, d11, [x2, #128]\nstp d12, d13, [x2, #144]\nstp d14, d15, [x2, #160]\n"
        "mov x30, x1\nadd x2, x0, #280\n"
        "ldp q0, q1, [x2]\nldp q2, q3, [x2, #32]\nldp q4, q5, [x2, #64]\nldp q6, q7, [x2, #96]\n"
        "ldp q8, q9, [x2, #128]\nldp q10, q11, [x2, #160]\nldp q12, q13, [x2, #192]\nldp q14, q15, [x2, #224]\n"
        "ldp q16, q17, [x2, #256]\nldp q18, q19, [x2, #288]\nldp q20, q21, [x2, #320]\nldp q22, q23, [x2, #352]\n"
        "ldp q24, q25, [x2, #384]\nldp q26, q27, [x2, #416]\nldp q28, q29, [x2, #448]\nldp q30, q31, [x2, #480]\n"
        "ldr w3, [x0, #264]\nmsr nzcv, x3\nldr w3, [x0, #268]\nmsr fpcr, x3\nldr w3, [x0, #272]\nmsr fpsr, x3\n"
        "ldr x3, [x0, #248]\nmov sp, x3\nclrex\n"
        "ldp x2, x3, [x0, #16]\nldp x4, x5, [x0, #32]\nldp x6, x7, [x0, #48]\nldp x8, x9, [x0, #64]\n"
        "ldp x10, x11, [x0, #80]\nldp x12, x13, [x0, #96]\nldp x14, x15, [x0, #112]\nldp x16, x17, [x0, #128]\n"
        "ldp x18, x19, [x0, #144]\nldp x20, x21, [x0, #160]\nldp x22, x23, [x0, #176]\nldp x24, x25, [x0, #192]\n"
        "ldp x26, x27, [x0, #208]\nldp x28, x29, [x0, #224]\nldp x0, x1, [x0]\nbr x30\n"
        "rand_exit:\n"
        "msr tpidr_el0, x0\nmovz x0, #0x6000, lsl #16\n"
        "stp x2, x3, [x0, #16]\nstp x4, x5, [x0, #32]\nstp x6, x7, [x0, #48]\nstp x8, x9, [x0, #64]\n"
        "stp x10, x11, [x0, #80]\nstp x12, x13, [x0, #96]\nstp x14, x15, [x0, #112]\nstp x16, x17, [x0, #128]\n"
        "stp x18, x19, [x0, #144]\nstp x20, x21, [x0, #160]\nstp x22, x23, [x0, #176]\nstp x24, x25, [x0, #192]\n"
        "stp x26, x27, [x0, #208]\nstp x28, x29, [x0, #224]\nmrs x2, tpidr_el0\nstp x2, x1, [x0]\n"
        "mov x3, sp\nstp x30, x3, [x0, #240]\n"
        "mrs x3, nzcv\nstr w3, [x0, #264]\nmrs x3, fpcr\nstr w3, [x0, #268]\nmrs x3, fpsr\nstr w3, [x0, #272]\n"
        "add x2, x0, #280\n"
        "stp q0, q1, [x2]\nstp q2, q3, [x2, #32]\nstp q4, q5, [x2, #64]\nstp q6, q7, [x2, #96]\n"
        "stp q8, q9, [x2, #128]\nstp q10, q11, [x2, #160]\nstp q12, q13, [x2, #192]\nstp q14, q15, [x2, #224]\n"
        "stp q16, q17, [x2, #256]\nstp q18, q19, [x2, #288]\nstp q20, q21, [x2, #320]\nstp q22, q23, [x2, #352]\n"
        "stp q24, q25, [x2, #384]\nstp q26, q27, [x2, #416]\nstp q28, q29, [x2, #448]\nstp q30, q31, [x2, #480]\n"
        "rand_leave:\n"
        "movz x0, #0x6000, lsl #16\nmsr fpcr, xzr\nadd x2, x0, #800\nldp x3, x4, [x2, #96]\nmov sp, x3\nmsr tpidr_el0, x4\n"
        "ldp x19, x20, [x2]\nldp x21, x22, [x2, #16]\nldp x23, x24, [x2, #32]\nldp x25, x26, [x2, #48]\n"
        "ldp x27, x28, [x2, #64]\nldp x29, x30, [x2, #80]\n"
        "ldp d8, d9, [x2, #112]\nldp d10, d11, [x2, #128]\nldp d12, d13, [x2, #144]\nldp d14, d15, [x2, #160]\n"
        "ret\n");

/* --- running ------------------------------------------------------------------------------------------------------------------- */

static volatile int running = -1; /* number of the slot */

static void on_signal(int sig, siginfo_t *si __attribute__((unused)), void *ctx)
{
    ucontext_t *uc = ctx;
    mcontext_t *mc = &uc->uc_mcontext;
    RandState *st = &area->st;

    if (running < 0 || mc->pc - (uint64_t)slots >= RAND_BATCH * RAND_SLOT_WORDS * 4) {
        fprintf(stderr, "rand_guest: signal %d at %llx\n", sig, (unsigned long long)mc->pc);
        _exit(3);
    }
    memcpy(st->x, mc->regs, sizeof st->x);
    st->sp = mc->sp;
    st->pc = mc->pc - (uint64_t)slot_code(running);
    st->nzcv = (uint32_t)mc->pstate & 0xf0000000;
    st->sig = (uint32_t)sig;
    struct fpsimd_context *fp = (struct fpsimd_context *)mc->__reserved;
    if (fp->head.magic == FPSIMD_MAGIC) {
        memcpy(st->v, fp->vregs, sizeof st->v);
        st->fpsr = fp->fpsr;
        st->fpcr = fp->fpcr;
    }
    mc->pc = (uint64_t)rand_leave;
}

static void run_case(int slot, const RandCase *c, RandState *out)
{
    fill_state(c, &area->st);
    running = slot;
    rand_enter(area, slot_code(slot) - 1);
    running = -1;
    *out = area->st;
    out->mem = digest();
}

/* Cases `first` to `first + n` of the file: each has the slot of its number, however the file is cut. */
static void run_batch(const RandCase *c, size_t first, size_t n, int fd)
{
    static RandState out[RAND_BATCH];

    for (size_t i = 0; i < n; i++)
        write_slot((int)((first + i) % RAND_BATCH), &c[first + i]);
    __builtin___clear_cache((char *)slots, (char *)(slots + RAND_BATCH * RAND_SLOT_WORDS));
    for (size_t i = 0; i < n; i++)
        run_case((int)((first + i) % RAND_BATCH), &c[first + i], &out[i]);
    put(fd, out, sizeof out[0] * n);
}

/* Map the areas, copy rand_exit next to the slots, so that their branches reach it, and take the signals. */
static void set_up(void)
{
    void *a = mmap((void *)RAND_AREA, RAND_AREA_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    void *m = mmap((void *)(RAND_MEM - RAND_MEM_HALF), 2 * RAND_MEM_HALF, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    static char stack[65536];
    stack_t ss = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction sa = {.sa_flags = SA_SIGINFO | SA_ONSTACK};

    if (a != (void *)RAND_AREA || m != (void *)(RAND_MEM - RAND_MEM_HALF)) {
        fprintf(stderr, "rand_guest: cannot map its areas\n");
        _exit(3);
    }
    memcpy((void *)(RAND_EXIT), (void *)rand_exit, (size_t)((char *)rand_leave - (char *)rand_exit) + 128);
    sa.sa_sigaction = on_signal;
    sigaltstack(&ss, NULL);
    sigaction(SIGILL, &sa, NULL);
    sigaction(SIGSEGV, &sa, NULL);
    sigaction(SIGBUS, &sa, NULL);
    sigaction(SIGTRAP, &sa, NULL);
    sigaction(SIGFPE, &sa, NULL);
}

static void show(const RandCase *c)
{
    RandState st;

    fill_state(c, &st);
    for (int i = 0; i < 30; i++)
        printf("x%d %llx\n", i, (unsigned long long)st.x[i]);
    uint64_t s = c->seed ^ 0x30;
    printf("x30 %llx\nsp %llx\n", (unsigned long long)rnd_int(&s), (unsigned long long)st.sp);
    for (int i = 0; i < 32; i++)
        printf("v%d %016llx%016llx\n", i, (unsigned long long)st.v[i][1], (unsigned long long)st.v[i][0]);
    printf("nzcv %x\nfpcr %x\nfpsr %x\n\n", st.nzcv, st.fpcr, st.fpsr);
}

int main(int argc, char **argv)
{
    size_t n;

    if (argc < 3) {
        fprintf(stderr, "usage: rand_guest CASES OUT [FIRST [COUNT]] | rand_guest -s CASES\n");
        return 2;
    }
    set_up();
    bool print = strcmp(argv[1], "-s") == 0;
    RandCase *c = read_cases(argv[print ? 2 : 1], &n);
    if (print) {
        for (size_t i = 0; i < n; i++)
            show(&c[i]);
        return 0;
    }
    int fd = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC, 0666);
    size_t first = argc > 3 ? strtoul(argv[3], NULL, 0) : 0, step = argc > 3 ? 1 : RAND_BATCH;
    if (argc > 4 && first + strtoul(argv[4], NULL, 0) < n)
        n = first + strtoul(argv[4], NULL, 0);
    for (size_t i = first; i < n; i += step)
        run_batch(c, i, n - i < step ? n - i : step, fd);
    return 0;
}
