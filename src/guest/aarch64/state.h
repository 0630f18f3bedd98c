/*
 * The AArch64 guest's registers at EL0. May be included by guest/aarch64 and by user/abi_aarch64.c only.
 */
#ifndef GUEST_AARCH64_STATE_H
#define GUEST_AARCH64_STATE_H

#include "ir/ir.h"

#include <assert.h>

typedef struct A64Key {
    uint64_t lo, hi;
} A64Key;

/* A pointer authentication code computed before: a function's entry and exit ask for the same one. See pauth.c. */
typedef struct A64PacMemo {
    uint64_t text, tweak;
    A64Key key;
    uint64_t code;
} A64PacMemo;

enum { A64_PAC_MEMOS = 16 };

typedef struct A64State {
    uint64_t x[31], sp;
    uint8_t n, z, c, v;     /* PSTATE flags, 0 or 1 each */
    uint8_t btype, ssbs, dit; /* PSTATE.BTYPE (0..3), PSTATE.SSBS, PSTATE.DIT */
    uint64_t fpcr;          /* as written; the decoded form is cpu->fp */
    uint64_t tpidr;         /* TPIDR_EL0 */
    uint64_t excl_addr;     /* address of the open exclusive, A64_NO_EXCL when none */
    uint64_t excl_lo, excl_hi; /* value that it loaded */
    uint64_t excl_version;  /* and its granule's version */
    _Alignas(16) IrVal q[32];  /* V registers */
    IrVal qc;               /* any bit set: FPSR.QC */
    /* not slots */
    A64Key key_ia, key_ib, key_da, key_db, key_ga; /* pointer authentication, per process */
    const struct A64Features *features;
    A64PacMemo pac_memo[A64_PAC_MEMOS];
} A64State;

#define A64_NO_EXCL UINT64_MAX

/* CNTFRQ_EL0: ticks of the virtual counter a second */
#define A64_COUNTER_HZ 1000000000ull

/* cpu->mode bits */
enum {
    A64_MODE_SOFTFP = 1, /* FPCR asks for what the host cannot do: FZ, DN, FZ16, AHP */
    A64_MODE_BTI = 2,    /* the process has mapped guarded pages: track BTYPE */
    A64_MODE_VERSIONS = 8, /* the process keeps versions (ir.h) */
    A64_MODE_STRICT = 16,  /* its plain stores too */
    A64_MODE_FPSR = 4,   /* the thread has accessed FPSR: every flag in it must be exact from now on */
};

typedef enum A64Slot {
    A64_N, A64_Z, A64_C, A64_V,
    A64_X0,
    A64_X30 = A64_X0 + 30,
    A64_SP,
    A64_FPCR, A64_TPIDR, A64_EXCL_ADDR, A64_EXCL_LO, A64_EXCL_HI, A64_EXCL_VERSION, A64_BTYPE, A64_SSBS,
    A64_DIT,
    A64_V0,
    A64_V31 = A64_V0 + 31,
    A64_QC,
    A64_NSLOTS
} A64Slot;

static inline A64State *a64_state(IrCpu *cpu)
{
    return (A64State *)cpu->state;
}

/*
 * MIDR_EL1, which C libraries choose their routines by: Arm's Neoverse N1 r3p1, for which glibc copies memory with vector
 * registers. Those are what this translator has most of on its hosts; for a processor that it does not know it uses pairs of
 * integer registers.
 */
#define A64_MIDR UINT64_C(0x413fd0c1)

/* FPCR and FPSR as the architecture shows them. Setting FPCR updates cpu->fp and cpu->mode. */
uint64_t a64_get_fpsr(IrCpu *cpu);
void a64_set_fpsr(IrCpu *cpu, uint64_t v);
void a64_set_fpcr(IrCpu *cpu, uint64_t v);
/* HWCAP and HWCAP2 bits of a feature set, as Linux numbers them. */
uint64_t a64_hwcap(const void *features);
uint64_t a64_hwcap2(const void *features);
/* The process has guarded pages from now on: track BTYPE. False: the features lack BTI. */
bool a64_guard_pages(IrCpu *cpu);
/* Fill the pointer authentication keys (A to GA) from 80 random bytes. */
void a64_set_keys(IrCpu *cpu, const uint8_t random[80]);

#endif
